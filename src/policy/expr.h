/* SPDX-License-Identifier: Apache-2.0
 *
 * Policy expressions: a bounded part of C# 7, as API Management has it. "@(expression)" and
 * "@{ statements }" are compiled when a document is parsed: names, types and calls are resolved
 * then, and what this release does not have is refused with its place. A run computes one value for
 * one request.
 *
 * Not Turing-complete by much (foreach over arrays is the only loop), and bounded all the same: by
 * steps, bytes and, for regular expressions, PCRE2's match limit (base/limits.h). Depth is bounded
 * when it is compiled.
 *
 * Source: the C# language reference; the policy expression reference of API Management.
 */
#pragma once

#include "base/arena.h"
#include "base/rc.h"
#include "policy/value.h"

struct pn_expr;
struct pn_expr_regex;
struct pn_policy_context;

#define PN_EXPR_MESSAGE_MAX 320

/* Where compiled expressions live. Zeroed but for `arena` at first. */
struct pn_expr_home {
    struct pn_arena *arena;
    struct pn_expr_regex *regexes; /* of all expressions */
};
/** Frees what is not in the arena; no expression of it may be used after. */
void pn_expr_home_fini(struct pn_expr_home *home);

enum pn_expr_want {
    PN_EXPR_WANT_TEXT,   /* any value but bytes; null is "" */
    PN_EXPR_WANT_BOOL,   /* bool, or an object that holds one */
    PN_EXPR_WANT_NUMBER, /* int or long; or an object or string that holds one */
    PN_EXPR_WANT_ANY,    /* set-variable */
};

struct pn_expr_fault {
    size_t offset; /* in the text: where it is wrong */
    char message[PN_EXPR_MESSAGE_MAX];
};

/** `text`: the whole of it is one expression; borrowed as long as the expression. PN_INVALID: fault
 *  says what is wrong and what to do. PN_NOMEM. */
enum pn_rc pn_expr_compile(struct pn_expr_home *home, struct pn_slice text, enum pn_expr_want want,
                           struct pn_expr **expr, struct pn_expr_fault *fault) PN_MUST_USE;

/** Calls back for string literals; those are all results that it can have, when the answer is true
 *  (then `fn` was called for each of them and for no other literal). */
typedef void (*pn_expr_literal_fn)(void *ctx, struct pn_slice literal);
bool pn_expr_literals(const struct pn_expr *expr, pn_expr_literal_fn fn, void *ctx);

struct pn_expr_result {
    struct pn_expr_value value;
    const char *why; /* without PN_OK: a sentence, static or in the context's arena; no value of the
                        request is in it */
};
/** In the context's arena. PN_INVALID: C# would have thrown. PN_LIMIT: it takes too much. PN_NOMEM:
 *  the request has no memory left. */
enum pn_rc pn_expr_run(const struct pn_expr *expr, const struct pn_policy_context *context,
                       struct pn_expr_result *result) PN_MUST_USE;
