/* SPDX-License-Identifier: Apache-2.0
 *
 * What a policy expression works with: the value of an expression, of a variable, of a fact about
 * the request. A value borrows its bytes: they are in the request's arena, or live as long as the
 * program.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum pn_expr_type {
    PN_EXPR_NULL,
    PN_EXPR_BOOL,
    PN_EXPR_INT,     /* 32 bits, in `i` */
    PN_EXPR_LONG,    /* 64 bits, in `i` */
    PN_EXPR_DOUBLE,  /* in `d` */
    PN_EXPR_CHAR,    /* a UTF-16 code unit, in `i` */
    PN_EXPR_STRING,  /* UTF-8, in `s` */
    PN_EXPR_STRINGS, /* string[], in `list` */
    PN_EXPR_CHARS,   /* char[], in `list`: each item is one character */
    PN_EXPR_BYTES,   /* byte[], in `s` */
    PN_EXPR_GUID,    /* its 36 characters, in `s` */
    PN_EXPR_TIME,    /* DateTime, UTC: milliseconds since 1970, in `i` */
    PN_EXPR_SPAN,    /* TimeSpan: milliseconds, in `i` */
    PN_EXPR_OBJECT,  /* any of these: the type of an expression, never of a value */

    PN_EXPR_COMPARISON,    /* StringComparison, in `i`: 1 ignores case */
    PN_EXPR_REGEX_OPTIONS, /* in `i`: PCRE2's */
    PN_EXPR_SPLIT_OPTIONS, /* in `i`: 1 leaves empty entries out */
    PN_EXPR_ENCODING,
    PN_EXPR_MATCH,       /* in `list`: the groups, 0 the whole; none: it does not match */
    PN_EXPR_GROUPS,      /* the same */
    PN_EXPR_GROUP,       /* in `list`: one item, or none */
    PN_EXPR_CREDENTIALS, /* in `list`: name and password */

    PN_EXPR_CONTEXT,
    PN_EXPR_REQUEST,
    PN_EXPR_RESPONSE,
    PN_EXPR_HEADERS, /* in `p`: struct pn_headers */
    PN_EXPR_URL,     /* in `list`: enum of its parts (expr_context.c) */
    PN_EXPR_QUERY,   /* in `s`: raw */
    PN_EXPR_PARAMETERS,
    PN_EXPR_VARIABLES,
    PN_EXPR_API,
    PN_EXPR_OPERATION,
    PN_EXPR_PRODUCT,
    PN_EXPR_SUBSCRIPTION,
    PN_EXPR_DEPLOYMENT,
    PN_EXPR_LAST_ERROR,
    PN_EXPR_CERTIFICATE,
    PN_EXPR_NAME, /* X500DistinguishedName, in `s` */

    /* Classes: a name in front of a member, never a value. */
    PN_EXPR_CLASS_CONVERT,
    PN_EXPR_CLASS_URI,
    PN_EXPR_CLASS_REGEX,
    PN_EXPR_CLASS_WEB,
    PN_EXPR_CLASS_MATH,
    PN_EXPR_CLASS_OFFSET, /* DateTimeOffset */
};

struct pn_expr_value {
    enum pn_expr_type type;
    union {
        bool b;
        int64_t i;
        double d;
        struct pn_slice s;
        struct {
            const struct pn_slice *items;
            size_t count;
        } list;
        const void *p;
    };
};

static inline struct pn_expr_value pn_expr_null(void)
{
    return (struct pn_expr_value){.type = PN_EXPR_NULL};
}

static inline struct pn_expr_value pn_expr_string(struct pn_slice s)
{
    return (struct pn_expr_value){.type = PN_EXPR_STRING, .s = s};
}

/** Null where there is no text. */
static inline struct pn_expr_value pn_expr_text(const char *text)
{
    return text ? pn_expr_string(pn_slice_str(text)) : pn_expr_null();
}

static inline struct pn_expr_value pn_expr_int(int64_t i)
{
    return (struct pn_expr_value){.type = PN_EXPR_INT, .i = i};
}

static inline struct pn_expr_value pn_expr_bool(bool b)
{
    return (struct pn_expr_value){.type = PN_EXPR_BOOL, .b = b};
}

static inline struct pn_expr_value pn_expr_time(int64_t unix_ms)
{
    return (struct pn_expr_value){.type = PN_EXPR_TIME, .i = unix_ms};
}
