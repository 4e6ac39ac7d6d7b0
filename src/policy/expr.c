/* SPDX-License-Identifier: Apache-2.0
 *
 * Compiling one expression, and what can be told of it without running it.
 */
#include "policy/expr_internal.h"

#include <string.h>

static bool is_wanted(const struct expr_node *node, enum pn_expr_want want)
{
    switch (want) {
    case PN_EXPR_WANT_TEXT:
        return node->type <= PN_EXPR_STRING || node->type == PN_EXPR_GUID ||
               node->type == PN_EXPR_TIME || node->type == PN_EXPR_SPAN ||
               node->type == PN_EXPR_OBJECT;
    case PN_EXPR_WANT_BOOL:
        return node->type == PN_EXPR_BOOL || node->type == PN_EXPR_OBJECT;
    case PN_EXPR_WANT_NUMBER:
        return node->type == PN_EXPR_INT || node->type == PN_EXPR_LONG ||
               node->type == PN_EXPR_OBJECT || node->type == PN_EXPR_STRING;
    case PN_EXPR_WANT_ANY:
        return node->type <= PN_EXPR_OBJECT;
    }
    return false;
}

static const char *wanted(enum pn_expr_want want)
{
    switch (want) {
    case PN_EXPR_WANT_TEXT:
        return "a text";
    case PN_EXPR_WANT_BOOL:
        return "a bool";
    case PN_EXPR_WANT_NUMBER:
        return "a number";
    case PN_EXPR_WANT_ANY:
        return "a value that a variable can hold";
    }
    return "";
}

struct expr_node *expr_want(struct expr_compiler *c, struct expr_node *node)
{
    if (node->kind != EXPR_CLASS && is_wanted(node, c->expr->want)) {
        if (!node->is_nullable || c->expr->want != PN_EXPR_WANT_BOOL)
            return node;
        expr_fail(&c->lexer, node->offset,
                  "the result must be a bool, and this may be null: compare it with true, or say "
                  "what then: (… ?\? false)");
        return NULL;
    }
    expr_fail(&c->lexer, node->offset, "the result must be %s here, this is a %s%s",
              wanted(c->expr->want), expr_type_name(node->type),
              node->type == PN_EXPR_STRINGS ? "; use string.Join, or one of its items" : "");
    return NULL;
}

static bool compile(struct expr_compiler *c, char open)
{
    expr_next(c);
    if (open == '{') {
        if (!expr_parse_body(c, &c->expr->body))
            return false;
    } else {
        c->expr->node = expr_parse(c);
        if (!c->expr->node)
            return false;
        c->expr->node = expr_want(c, c->expr->node);
        if (!c->expr->node)
            return false;
        if (expr_is(c, ";")) {
            expr_fail(&c->lexer, c->token.start,
                      "'@(…)' holds one expression without ';'; statements stand in '@{ … }'");
            return false;
        }
        if (!expr_expect(c, ")"))
            return false;
    }
    if (c->token.kind == EXPR_END)
        return true;
    expr_fail(&c->lexer, c->token.start,
              "the expression ends before this; the whole value must be one expression (texts are "
              "joined inside of it, with + or $\"…\")");
    return false;
}

enum pn_rc pn_expr_compile(struct pn_expr_home *home, struct pn_slice text, enum pn_expr_want want,
                           struct pn_expr **expr, struct pn_expr_fault *fault)
{
    struct expr_compiler c = {
        .lexer = {.text = text, .at = 2, .arena = home->arena, .fault = fault}, .home = home};
    bool is_good;

    *fault = (struct pn_expr_fault){0};
    if (text.len < 2 || text.ptr[0] != '@' || (text.ptr[1] != '(' && text.ptr[1] != '{')) {
        expr_fail(&c.lexer, 0, "an expression begins with '@(' or '@{'");
        return PN_INVALID;
    }
    c.expr = pn_arena_zalloc(home->arena, sizeof(*c.expr));
    if (!c.expr)
        return PN_NOMEM;
    c.expr->want = want;
    is_good = compile(&c, text.ptr[1]) && !c.lexer.has_failed;
    if (c.lexer.is_out_of_memory)
        return PN_NOMEM;
    if (!is_good) {
        if (!c.lexer.has_failed)
            expr_fail(&c.lexer, c.token.start, "the expression cannot be understood here");
        return PN_INVALID;
    }
    *expr = c.expr;
    return PN_OK;
}

/* ---- literals */

/** Depth is bounded. NULL fn: only asks. */
static bool tell_results(const struct expr_node *node, pn_expr_literal_fn fn, void *ctx)
{
    bool first, second;

    switch ((int)node->kind) {
    case EXPR_VALUE:
        if (node->type == PN_EXPR_STRING && fn)
            fn(ctx, node->value.s);
        return node->type == PN_EXPR_STRING || node->type == PN_EXPR_NULL;
    case EXPR_TERNARY:
        first = tell_results(node->b, fn, ctx);
        second = tell_results(node->c, fn, ctx);
        return first && second;
    case EXPR_COALESCE:
        first = tell_results(node->a, fn, ctx);
        second = tell_results(node->b, fn, ctx);
        return first && second;
    default:
        return false;
    }
}

static bool tell_returns(const struct expr_statement *statement, pn_expr_literal_fn fn, void *ctx)
{
    bool are_all = true;

    for (; statement; statement = statement->next) {
        if (statement->kind == EXPR_RETURN)
            are_all = tell_results(statement->node, fn, ctx) && are_all;
        are_all = tell_returns(statement->body, fn, ctx) && are_all;
        are_all = tell_returns(statement->otherwise, fn, ctx) && are_all;
    }
    return are_all;
}

static bool tell(const struct pn_expr *expr, pn_expr_literal_fn fn, void *ctx)
{
    return expr->node ? tell_results(expr->node, fn, ctx) : tell_returns(expr->body, fn, ctx);
}

bool pn_expr_literals(const struct pn_expr *expr, pn_expr_literal_fn fn, void *ctx)
{
    if (tell(expr, NULL, NULL))
        return tell(expr, fn, ctx);
    for (const struct expr_literal *literal = expr->literals; literal; literal = literal->next)
        fn(ctx, literal->text);
    return false;
}
