/* SPDX-License-Identifier: Apache-2.0
 *
 * Expressions with operators, by their precedence (C# specification, operator precedence). Types
 * are found as it goes: every name is declared before it is used.
 */
#include <string.h>

#include "policy/expr_internal.h"

void expr_next(struct expr_compiler *c)
{
    expr_lex(&c->lexer, &c->token);
}

bool expr_is(const struct expr_compiler *c, const char *punctuation)
{
    return c->token.kind == EXPR_PUNCTUATION && pn_slice_eq_str(c->token.raw, punctuation);
}

bool expr_is_word(const struct expr_compiler *c, const char *word)
{
    return c->token.kind == EXPR_IDENTIFIER && pn_slice_eq_str(c->token.raw, word);
}

bool expr_accept(struct expr_compiler *c, const char *punctuation)
{
    if (!expr_is(c, punctuation))
        return false;
    expr_next(c);
    return true;
}

bool expr_accept_word(struct expr_compiler *c, const char *word)
{
    if (!expr_is_word(c, word))
        return false;
    expr_next(c);
    return true;
}

bool expr_expect(struct expr_compiler *c, const char *punctuation)
{
    if (expr_accept(c, punctuation))
        return true;
    if (c->token.kind == EXPR_END)
        expr_fail(&c->lexer, c->token.start, "'%s' is expected at the end", punctuation);
    else
        expr_fail(&c->lexer, c->token.start, "'%s' is expected here", punctuation);
    return false;
}

bool expr_enter(struct expr_compiler *c)
{
    if (++c->nesting <= EXPR_NESTING_MAX)
        return true;
    expr_fail(&c->lexer, c->token.start,
              "the expression is nested more than %d deep here; use variables (set-variable, or "
              "var in @{ … })",
              EXPR_NESTING_MAX);
    return false;
}

void expr_leave(struct expr_compiler *c)
{
    c->nesting--;
}

static bool set_depth(struct expr_compiler *c, struct expr_node *node, const struct expr_node *part)
{
    if (part && part->depth >= node->depth)
        node->depth = (uint16_t)(part->depth + 1);
    if (node->depth <= EXPR_DEPTH_MAX)
        return true;
    expr_fail(&c->lexer, node->offset,
              "the expression has more than %d operations in a row here; use variables "
              "(set-variable, or var in @{ … })",
              EXPR_DEPTH_MAX);
    return false;
}

struct expr_node *expr_node(struct expr_compiler *c, enum expr_kind kind, enum pn_expr_type type,
                            size_t offset, struct expr_node *a, struct expr_node *b,
                            struct expr_node *third)
{
    struct expr_node *node = pn_arena_zalloc(c->home->arena, sizeof(*node));

    if (!node) {
        expr_no_memory(&c->lexer);
        return NULL;
    }
    node->kind = kind;
    node->type = type;
    node->offset = (uint32_t)offset;
    node->a = a;
    node->b = b;
    node->c = third;
    node->depth = 1;
    return set_depth(c, node, a) && set_depth(c, node, b) && set_depth(c, node, third) ? node
                                                                                       : NULL;
}

struct expr_node *expr_literal(struct expr_compiler *c, size_t offset, struct pn_expr_value value)
{
    struct expr_node *node = expr_node(c, EXPR_VALUE, value.type, offset, NULL, NULL, NULL);
    struct expr_literal *literal;

    if (!node)
        return NULL;
    node->value = value;
    if (value.type != PN_EXPR_STRING)
        return node;
    literal = pn_arena_zalloc(c->home->arena, sizeof(*literal));
    if (!literal) {
        expr_no_memory(&c->lexer);
        return NULL;
    }
    *literal = (struct expr_literal){value.s, c->expr->literals};
    c->expr->literals = literal;
    return node;
}

bool expr_set_list(struct expr_compiler *c, struct expr_node *node, struct expr_node *const *list,
                   size_t count)
{
    bool is_good = true;
    size_t capacity = 1;

    while (capacity < count)
        capacity *= 2; /* concat() counts on that */
    node->list = pn_arena_alloc(c->home->arena, capacity * sizeof(struct expr_node *));
    if (!node->list) {
        expr_no_memory(&c->lexer);
        return false;
    }
    if (count > 0)
        memcpy(node->list, list, count * sizeof(struct expr_node *));
    node->count = count;
    for (size_t i = 0; is_good && i < count; i++)
        is_good = set_depth(c, node, list[i]);
    return is_good;
}

/* ---- operators */

static struct expr_node *no_operator(struct expr_compiler *c, const struct expr_token *token,
                                     const struct expr_node *a, const struct expr_node *b)
{
    if (a->type == PN_EXPR_OBJECT || b->type == PN_EXPR_OBJECT)
        expr_fail(&c->lexer, token->start,
                  "'%.*s' does not take an object: cast it first, as in (string)… or (int)…",
                  PN_FMT(token->raw));
    else if (a->is_nullable || b->is_nullable)
        expr_fail(&c->lexer, token->start,
                  "'%.*s' does not take what may be null: say what then, as in (… ?? 0)",
                  PN_FMT(token->raw));
    else
        expr_fail(&c->lexer, token->start, "'%.*s' is not possible between %s and %s",
                  PN_FMT(token->raw), expr_type_name(a->type), expr_type_name(b->type));
    return NULL;
}

/** What has a text of its own. */
static bool is_text(const struct expr_node *node)
{
    switch ((int)node->type) {
    case PN_EXPR_NULL:
    case PN_EXPR_BOOL:
    case PN_EXPR_INT:
    case PN_EXPR_LONG:
    case PN_EXPR_DOUBLE:
    case PN_EXPR_CHAR:
    case PN_EXPR_STRING:
    case PN_EXPR_GUID:
    case PN_EXPR_TIME:
    case PN_EXPR_SPAN:
    case PN_EXPR_OBJECT:
        return node->kind != EXPR_CLASS;
    default:
        return false;
    }
}

/** Appends to what is a concatenation already: a + b + c is one of three. The list has room for the
 *  next power of two. */
static struct expr_node *concat(struct expr_compiler *c, struct expr_node *a, struct expr_node *b,
                                size_t offset)
{
    struct expr_node *pair[] = {a, b};
    struct expr_node **grown;

    if (a->kind != EXPR_CONCAT || a->count < 2) {
        a = expr_node(c, EXPR_CONCAT, PN_EXPR_STRING, offset, NULL, NULL, NULL);
        return a && expr_set_list(c, a, pair, 2) ? a : NULL;
    }
    if ((a->count & (a->count - 1)) == 0) {
        grown = pn_arena_alloc(c->home->arena, 2 * a->count * sizeof(struct expr_node *));
        if (!grown) {
            expr_no_memory(&c->lexer);
            return NULL;
        }
        memcpy(grown, a->list, a->count * sizeof(struct expr_node *));
        a->list = grown;
    }
    a->list[a->count++] = b;
    return set_depth(c, a, b) ? a : NULL;
}

static struct expr_node *times(struct expr_compiler *c, const struct expr_token *token,
                               struct expr_node *a, struct expr_node *b)
{
    bool adds = token->raw.ptr[0] == '+';
    enum pn_expr_type type = PN_EXPR_NULL;
    struct expr_node *node;

    if (token->raw.ptr[0] != '+' && token->raw.ptr[0] != '-')
        return no_operator(c, token, a, b);
    if (a->type == PN_EXPR_TIME && b->type == PN_EXPR_SPAN)
        type = PN_EXPR_TIME;
    if (a->type == PN_EXPR_SPAN && b->type == PN_EXPR_SPAN)
        type = PN_EXPR_SPAN;
    if (a->type == PN_EXPR_TIME && b->type == PN_EXPR_TIME && !adds)
        type = PN_EXPR_SPAN;
    if (type == PN_EXPR_NULL)
        return no_operator(c, token, a, b);
    node = expr_node(c, EXPR_ARITHMETIC, type, token->start, a, b, NULL);
    if (node)
        node->op = token->raw.ptr[0];
    return node;
}

static struct expr_node *arithmetic(struct expr_compiler *c, const struct expr_token *token,
                                    struct expr_node *a, struct expr_node *b)
{
    enum pn_expr_type type;
    struct expr_node *node;
    bool is_nullable;

    if (token->raw.ptr[0] == '+' && (a->type == PN_EXPR_STRING || b->type == PN_EXPR_STRING)) {
        if (!is_text(a) || !is_text(b))
            return no_operator(c, token, a, b);
        return concat(c, a, b, a->offset);
    }
    if (a->is_nullable || b->is_nullable)
        return no_operator(c, token, a, b);
    if (!expr_is_number(a->type) || !expr_is_number(b->type))
        return times(c, token, a, b);
    if (!expr_unify(c, &a, &b, &type, &is_nullable))
        return NULL;
    if (type == PN_EXPR_CHAR) { /* two of them: C# adds ints */
        a = expr_coerce(c, a, PN_EXPR_INT, "this");
        b = expr_coerce(c, b, PN_EXPR_INT, "this");
        type = PN_EXPR_INT;
    }
    node = a && b ? expr_node(c, EXPR_ARITHMETIC, type, token->start, a, b, NULL) : NULL;
    if (node)
        node->op = token->raw.ptr[0];
    return node;
}

struct expr_node *expr_operate(struct expr_compiler *c, char sign, size_t offset,
                               struct expr_node *a, struct expr_node *b)
{
    const struct expr_token token = {.start = offset, .raw = pn_slice(sign == '+' ? "+" : "-", 1)};

    return arithmetic(c, &token, a, b);
}

static struct expr_node *relation(struct expr_compiler *c, const struct expr_token *token,
                                  struct expr_node *a, struct expr_node *b)
{
    enum pn_expr_type type;
    bool is_nullable;
    struct expr_node *node;

    if (!(expr_is_number(a->type) && expr_is_number(b->type)) &&
        !(a->type == b->type && (a->type == PN_EXPR_TIME || a->type == PN_EXPR_SPAN)))
        return no_operator(c, token, a, b);
    if (!expr_unify(c, &a, &b, &type, &is_nullable))
        return NULL;
    node = expr_node(c, EXPR_COMPARE, PN_EXPR_BOOL, token->start, a, b, NULL);
    if (node) {
        node->op = token->raw.ptr[0];
        if (token->raw.len == 2)
            node->op = node->op == '<' ? 'l' : 'g';
    }
    return node;
}

static struct expr_node *equality(struct expr_compiler *c, const struct expr_token *token,
                                  struct expr_node *a, struct expr_node *b)
{
    const struct expr_node *other = a->type == PN_EXPR_NULL ? b : a;
    enum pn_expr_type type;
    bool is_nullable;

    if ((a->type == PN_EXPR_NULL) != (b->type == PN_EXPR_NULL)) {
        if (other->kind != EXPR_CLASS && !expr_is_reference(other->type) && !other->is_nullable) {
            expr_fail(&c->lexer, other->offset, "this is a %s, which is never null",
                      expr_type_name(other->type));
            return NULL;
        }
    } else if (a->type == PN_EXPR_OBJECT || b->type == PN_EXPR_OBJECT) {
        return no_operator(c, token, a, b);
    }
    if (!expr_unify(c, &a, &b, &type, &is_nullable))
        return no_operator(c, token, a, b);
    return expr_node(c, token->raw.ptr[0] == '=' ? EXPR_EQUAL : EXPR_UNEQUAL, PN_EXPR_BOOL,
                     token->start, a, b, NULL);
}

static struct expr_node *logic(struct expr_compiler *c, const struct expr_token *token,
                               struct expr_node *a, struct expr_node *b)
{
    a = expr_coerce(c, a, PN_EXPR_BOOL, "the left side");
    b = expr_coerce(c, b, PN_EXPR_BOOL, "the right side");
    if (!a || !b)
        return NULL;
    return expr_node(c, token->raw.ptr[0] == '&' ? EXPR_AND : EXPR_OR, PN_EXPR_BOOL, token->start,
                     a, b, NULL);
}

static struct expr_node *coalesce(struct expr_compiler *c, const struct expr_token *token,
                                  struct expr_node *a, struct expr_node *b)
{
    enum pn_expr_type type;
    bool is_nullable;
    struct expr_node *node;

    if (!a->is_nullable && !expr_is_reference(a->type)) {
        expr_fail(&c->lexer, token->start, "the left side of '?\?' is a %s, which is never null",
                  expr_type_name(a->type));
        return NULL;
    }
    if (!expr_unify(c, &a, &b, &type, &is_nullable))
        return no_operator(c, token, a, b);
    node = expr_node(c, EXPR_COALESCE, type, token->start, a, b, NULL);
    if (node)
        node->is_nullable = b->is_nullable || (b->type == PN_EXPR_NULL && !expr_is_reference(type));
    return node;
}

/** RegexOptions.A | RegexOptions.B, both written out. */
static struct expr_node *join_options(struct expr_compiler *c, const struct expr_token *token,
                                      struct expr_node *a, struct expr_node *b)
{
    struct expr_node *node = NULL;

    if (a->type == PN_EXPR_REGEX_OPTIONS && b->type == a->type && a->kind == EXPR_VALUE &&
        b->kind == EXPR_VALUE) {
        node = expr_node(c, EXPR_VALUE, a->type, a->offset, NULL, NULL, NULL);
        if (node)
            node->value = (struct pn_expr_value){.type = a->type, .i = a->value.i | b->value.i};
        return node;
    }
    expr_fail(&c->lexer, token->start,
              "'|' is for RegexOptions here; between conditions write '||'");
    return NULL;
}

static struct expr_node *type_test(struct expr_compiler *c, const struct expr_token *token,
                                   struct expr_node *a)
{
    enum pn_expr_type type;
    struct expr_node *node;
    bool is_as = pn_slice_eq_str(token->raw, "as");

    if (c->token.kind != EXPR_IDENTIFIER || !expr_find_type(c->token.raw, &type) ||
        expr_is_class(type)) {
        expr_fail(&c->lexer, c->token.start, "'%.*s' needs a type that is available here",
                  PN_FMT(token->raw));
        return NULL;
    }
    expr_next(c);
    if (expr_accept(c, "[")) {
        if (!expr_expect(c, "]"))
            return NULL;
        type = type == PN_EXPR_STRING ? PN_EXPR_STRINGS : PN_EXPR_CHARS;
    }
    if (!expr_is_reference(a->type) || (is_as && !expr_is_reference(type))) {
        expr_fail(&c->lexer, token->start, "'%.*s' is for objects and texts", PN_FMT(token->raw));
        return NULL;
    }
    node = expr_node(c, is_as ? EXPR_AS : EXPR_IS, is_as ? type : PN_EXPR_BOOL, token->start, a,
                     NULL, NULL);
    if (node)
        node->value.type = type;
    return node;
}

typedef struct expr_node *(*operator_fn)(struct expr_compiler *, const struct expr_token *,
                                         struct expr_node *, struct expr_node *);

static const struct {
    const char *text;
    int precedence;
    operator_fn make; /* NULL: a type follows */
} operators[] = {
    {"?\?", 1, coalesce},  {"||", 2, logic},     {"&&", 3, logic},      {"|", 4, join_options},
    {"==", 6, equality},   {"!=", 6, equality},  {"<", 7, relation},    {">", 7, relation},
    {"<=", 7, relation},   {">=", 7, relation},  {"is", 7, NULL},       {"as", 7, NULL},
    {"+", 9, arithmetic},  {"-", 9, arithmetic}, {"*", 10, arithmetic}, {"/", 10, arithmetic},
    {"%", 10, arithmetic},
};

#define OPERATORS      (sizeof(operators) / sizeof(operators[0]))
#define RIGHT_TO_LEFT  1 /* the precedence of '??' */
#define PRECEDENCE_MIN 1

static size_t find_operator(const struct expr_compiler *c)
{
    for (size_t i = 0; i < OPERATORS; i++)
        if ((c->token.kind == EXPR_PUNCTUATION || c->token.kind == EXPR_IDENTIFIER) &&
            pn_slice_eq_str(c->token.raw, operators[i].text))
            return i;
    return OPERATORS;
}

/* Recursion: at most once for each level of precedence, and '??', which counts as nesting. */
static struct expr_node *parse_binary(struct expr_compiler *c, int min)
{
    struct expr_node *a = expr_parse_unary(c);

    while (a) {
        size_t i = find_operator(c);
        struct expr_token token = c->token;
        struct expr_node *b;

        if (i == OPERATORS || operators[i].precedence < min)
            break;
        expr_next(c);
        if (!operators[i].make) {
            a = type_test(c, &token, a);
            continue;
        }
        if (!expr_enter(c))
            return NULL;
        b = parse_binary(c, operators[i].precedence +
                                (operators[i].precedence == RIGHT_TO_LEFT ? 0 : 1));
        expr_leave(c);
        a = b ? operators[i].make(c, &token, a, b) : NULL;
    }
    return a;
}

static struct expr_node *parse_ternary(struct expr_compiler *c, struct expr_node *condition)
{
    size_t offset = c->token.start;
    struct expr_node *a, *b, *node;
    enum pn_expr_type type;
    bool is_nullable;

    expr_next(c);
    condition = expr_coerce(c, condition, PN_EXPR_BOOL, "the condition before '?'");
    a = condition ? expr_parse(c) : NULL;
    if (!a || !expr_expect(c, ":"))
        return NULL;
    b = expr_parse(c);
    if (!b)
        return NULL;
    if (!expr_unify(c, &a, &b, &type, &is_nullable)) {
        expr_fail(&c->lexer, offset, "'?:' must give values of one type, these are %s and %s",
                  expr_type_name(a->type), expr_type_name(b->type));
        return NULL;
    }
    node = expr_node(c, EXPR_TERNARY, type, offset, condition, a, b);
    if (node)
        node->is_nullable = is_nullable;
    return node;
}

struct expr_node *expr_parse(struct expr_compiler *c)
{
    struct expr_node *node = NULL;

    if (!expr_enter(c))
        return NULL;
    node = parse_binary(c, PRECEDENCE_MIN);
    if (node && expr_is(c, "?"))
        node = parse_ternary(c, node);
    if (node && expr_is(c, "=>")) {
        expr_fail(&c->lexer, c->token.start, "lambdas (=>) are not available in this release");
        node = NULL;
    } else if (node && expr_is(c, "=")) {
        expr_fail(&c->lexer, c->token.start,
                  "'=' assigns, and only in a statement of @{ … }; to compare write '=='");
        node = NULL;
    }
    expr_leave(c);
    return node;
}
