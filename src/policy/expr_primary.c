/* SPDX-License-Identifier: Apache-2.0
 *
 * What operators stand between: literals, interpolated strings, names, casts, arrays, and the
 * members, calls and indexers behind them.
 */
#include <string.h>

#include "policy/expr_internal.h"

#define ARRAY_MAX  64
#define PIECES_MAX 64 /* of an interpolated string */

static struct expr_node *fail(struct expr_compiler *c, size_t offset, const char *message)
{
    expr_fail(&c->lexer, offset, "%s", message);
    return NULL;
}

/* ---- interpolated strings */

/** Behind '{': an expression, perhaps ",align" and ":format". The token '}' is the last one read.
 */
static struct expr_node *parse_hole(struct expr_compiler *c)
{
    struct expr_node *value, *node;
    struct pn_slice rest;
    size_t len;
    int64_t align = 0;
    bool is_negative;

    expr_next(c);
    value = expr_parse(c);
    if (!value)
        return NULL;
    if (expr_is(c, "}"))
        return value;
    node = expr_node(c, EXPR_FORMAT, PN_EXPR_STRING, value->offset, value, NULL, NULL);
    if (!node)
        return NULL;
    if (expr_accept(c, ",")) {
        is_negative = expr_accept(c, "-");
        if (c->token.kind != EXPR_NUMBER || c->token.value.type != PN_EXPR_INT ||
            c->token.value.i > 1000)
            return fail(c, c->token.start, "the width of a hole must be a number up to 1000");
        align = is_negative ? -c->token.value.i : c->token.value.i;
        expr_next(c);
    }
    node->format.align = (int)align;
    if (expr_is(c, ":")) {
        rest = pn_slice_sub(c->lexer.text, c->token.end, c->lexer.text.len);
        len = pn_slice_find(rest, '}');
        if (len > EXPR_NAME_MAX || len >= rest.len || len == 0)
            return fail(c, c->token.start, "the format of a hole must end with '}'");
        node->format.text = pn_slice_sub(rest, 0, len);
        c->lexer.at = c->token.end + len;
        expr_next(c);
    }
    if (!expr_is(c, "}"))
        return fail(c, c->token.start, "'}' is expected at the end of the hole");
    return node;
}

static struct expr_node *parse_interpolated(struct expr_compiler *c)
{
    struct expr_node *parts[PIECES_MAX];
    size_t count = 0;
    size_t offset = c->token.start;
    bool is_verbatim = c->token.is_verbatim;
    bool has_hole = true;
    struct expr_node *node;

    if (!expr_enter(c))
        return NULL;
    while (has_hole) {
        struct pn_slice piece;

        if (count + 2 > PIECES_MAX)
            return fail(c, offset, "the interpolated string has too many holes; at most 31");
        has_hole = expr_lex_piece(&c->lexer, is_verbatim, &piece);
        if (c->lexer.has_failed)
            return NULL;
        if (piece.len > 0) {
            /* Not among the expression's literals: it is a part of a text, not the name of
             * anything.
             */
            node = expr_node(c, EXPR_VALUE, PN_EXPR_STRING, offset, NULL, NULL, NULL);
            if (!node)
                return NULL;
            node->value = pn_expr_string(piece);
            parts[count++] = node;
        }
        if (!has_hole)
            break;
        parts[count] = parse_hole(c);
        if (!parts[count])
            return NULL;
        if (!expr_converts(parts[count], PN_EXPR_OBJECT) || parts[count]->type >= PN_EXPR_CONTEXT)
            return fail(c, parts[count]->offset, "this has no text that could be put in");
        count++;
        c->lexer.at = c->token.end; /* behind '}': text follows, no token */
    }
    expr_leave(c);
    expr_next(c);
    node = expr_node(c, EXPR_CONCAT, PN_EXPR_STRING, offset, NULL, NULL, NULL);
    return node && expr_set_list(c, node, parts, count) ? node : NULL;
}

/* ---- types */

/** "[]" behind a type: string[], char[], byte[]. */
static bool accept_array(struct expr_compiler *c, struct pn_slice name, enum pn_expr_type *type,
                         bool is_known)
{
    if (!expr_is(c, "["))
        return is_known;
    expr_next(c);
    if (!expr_expect(c, "]"))
        return false;
    if (is_known && *type == PN_EXPR_STRING)
        *type = PN_EXPR_STRINGS;
    else if (is_known && *type == PN_EXPR_CHAR)
        *type = PN_EXPR_CHARS;
    else if (pn_slice_eq_str(name, "byte"))
        *type = PN_EXPR_BYTES;
    else
        return false;
    return true;
}

static struct expr_node *no_type(struct expr_compiler *c, size_t offset, struct pn_slice name)
{
    if (name.len > EXPR_NAME_MAX)
        name.len = EXPR_NAME_MAX;
    if (expr_is_missing_type(name))
        expr_fail(&c->lexer, offset,
                  "'%.*s' is not available in this release; docs/policies.md lists the types that "
                  "are",
                  PN_FMT(name));
    else
        expr_fail(&c->lexer, offset, "the type '%.*s' is not known", PN_FMT(name));
    return NULL;
}

/** System.Text.Encoding is Encoding: leaves the last name as the token. */
static bool skip_namespace(struct expr_compiler *c)
{
    static const char *const spaces[] = {"System",
                                         "Text",
                                         "RegularExpressions",
                                         "Net",
                                         "Collections",
                                         "Generic",
                                         "IO",
                                         "Linq",
                                         "Security",
                                         "Cryptography",
                                         "Newtonsoft",
                                         "Json",
                                         "Xml",
                                         "X509Certificates"};
    bool is_in = expr_is_word(c, "System") || expr_is_word(c, "Newtonsoft");

    while (is_in) {
        bool is_space = false;

        for (size_t i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++)
            is_space = is_space || expr_is_word(c, spaces[i]);
        if (!is_space)
            break;
        expr_next(c);
        if (!expr_expect(c, "."))
            return false;
    }
    return true;
}

static const struct expr_local *find_local(const struct expr_compiler *c, struct pn_slice name)
{
    for (unsigned i = c->local_count; i > 0; i--)
        if (pn_slice_eq(c->locals[i - 1].name, name))
            return &c->locals[i - 1];
    return NULL;
}

/** "(string)x": whether a type in brackets starts here. Leaves everything as it was. */
static bool is_cast(struct expr_compiler *c)
{
    struct expr_compiler saved = *c;
    bool is = false;

    expr_next(c);
    if (c->token.kind == EXPR_IDENTIFIER && !find_local(c, c->token.raw) &&
        !expr_is_word(c, "context") && !expr_is_word(c, "true") && !expr_is_word(c, "false") &&
        !expr_is_word(c, "null") && skip_namespace(c)) {
        expr_next(c);
        if (expr_is(c, "[")) {
            expr_next(c); /* ']', or there will be an error */
            expr_next(c);
        }
        if (expr_is(c, "?"))
            expr_next(c);
        is = expr_is(c, ")");
    }
    *c = saved;
    return is;
}

static struct expr_node *parse_cast(struct expr_compiler *c)
{
    size_t offset = c->token.start;
    struct expr_token token;
    enum pn_expr_type type = PN_EXPR_NULL;
    struct expr_node *operand;
    bool is_known;

    expr_next(c);
    if (!skip_namespace(c))
        return NULL;
    token = c->token;
    is_known = expr_find_type(token.raw, &type);
    expr_next(c);
    is_known = accept_array(c, token.raw, &type, is_known);
    if (c->lexer.has_failed)
        return NULL;
    if (!is_known || expr_is_class(type))
        return no_type(c, token.start, token.raw);
    if (expr_is(c, "?"))
        return fail(c, c->token.start,
                    "casts to types that may be null (int?) are not available "
                    "in this release; use Variables.GetValueOrDefault<T>");
    if (!expr_expect(c, ")"))
        return NULL;
    if (!expr_enter(c))
        return NULL;
    operand = expr_parse_unary(c);
    expr_leave(c);
    return expr_cast(c, operand, type, offset);
}

/* ---- new */

/** "{a, b}" */
static struct expr_node *parse_items(struct expr_compiler *c, enum pn_expr_type type, size_t offset)
{
    struct expr_node *items[ARRAY_MAX];
    size_t count = 0;
    struct expr_node *node;

    if (!expr_expect(c, "{"))
        return NULL;
    while (!expr_is(c, "}")) {
        if (count == ARRAY_MAX)
            return fail(c, c->token.start, "an array has at most 64 items here");
        items[count] = expr_parse(c);
        if (!items[count])
            return NULL;
        if (type == PN_EXPR_NULL)
            type = items[count]->type == PN_EXPR_CHAR ? PN_EXPR_CHARS : PN_EXPR_STRINGS;
        items[count] =
            expr_coerce(c, items[count], type == PN_EXPR_CHARS ? PN_EXPR_CHAR : PN_EXPR_STRING,
                        "an item of this array");
        if (!items[count++])
            return NULL;
        if (!expr_accept(c, ","))
            break;
    }
    if (!expr_expect(c, "}"))
        return NULL;
    node = expr_node(c, EXPR_ARRAY, type == PN_EXPR_NULL ? PN_EXPR_STRINGS : type, offset, NULL,
                     NULL, NULL);
    return node && expr_set_list(c, node, items, count) ? node : NULL;
}

static struct expr_node *parse_new(struct expr_compiler *c)
{
    struct expr_token token = c->token;
    enum pn_expr_type type = PN_EXPR_NULL;

    expr_next(c);
    if (expr_accept(c, "["))
        return expr_expect(c, "]") ? parse_items(c, type, token.start) : NULL;
    if (!skip_namespace(c))
        return NULL;
    token = c->token;
    if (token.kind != EXPR_IDENTIFIER)
        return fail(c, token.start, "'new' needs a type");
    (void)expr_find_type(token.raw, &type);
    expr_next(c);
    if ((type == PN_EXPR_STRING || type == PN_EXPR_CHAR) && expr_accept(c, "["))
        return expr_expect(c, "]")
                   ? parse_items(c, type == PN_EXPR_STRING ? PN_EXPR_STRINGS : PN_EXPR_CHARS,
                                 token.start)
                   : NULL;
    if (expr_is_missing_type(token.raw))
        return no_type(c, token.start, token.raw);
    expr_fail(&c->lexer, token.start,
              "'new %.*s' is not available in this release; new makes string[] and char[] only",
              PN_FMT(pn_slice_sub(token.raw, 0, EXPR_NAME_MAX)));
    return NULL;
}

/* ---- names */

static struct expr_node *unavailable(struct expr_compiler *c, const struct expr_token *token)
{
    static const char *const words[] = {"typeof",     "nameof",   "default", "sizeof",   "checked",
                                        "await",      "delegate", "throw",   "ref",      "out",
                                        "stackalloc", "from",     "async",   "unchecked"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (pn_slice_eq_str(token->raw, words[i])) {
            expr_fail(&c->lexer, token->start, "'%s' is not available in this release", words[i]);
            return NULL;
        }
    }
    if (expr_is_missing_type(token->raw))
        return no_type(c, token->start, token->raw);
    if (expr_is(c, "=>"))
        return fail(c, token->start, "lambdas (x => …) are not available in this release");
    expr_fail(&c->lexer, token->start,
              "the name '%.*s' is not known here; there are 'context', the variables of this "
              "expression, and types",
              PN_FMT(pn_slice_sub(token->raw, 0, EXPR_NAME_MAX)));
    return NULL;
}

static struct expr_node *parse_name(struct expr_compiler *c)
{
    const struct expr_local *local;
    struct expr_token token;
    struct expr_node *node;
    enum pn_expr_type type;

    if (expr_is_word(c, "new"))
        return parse_new(c);
    if (!skip_namespace(c))
        return NULL;
    token = c->token;
    expr_next(c);
    if (pn_slice_eq_str(token.raw, "true") || pn_slice_eq_str(token.raw, "false"))
        return expr_literal(c, token.start, pn_expr_bool(token.raw.ptr[0] == 't'));
    if (pn_slice_eq_str(token.raw, "null"))
        return expr_literal(c, token.start, pn_expr_null());
    local = find_local(c, token.raw);
    if (local) {
        node = expr_node(c, EXPR_LOCAL, local->type, token.start, NULL, NULL, NULL);
        if (node) {
            node->is_nullable = local->is_nullable;
            node->slot = (unsigned)(local - c->locals);
        }
        return node;
    }
    if (pn_slice_eq_str(token.raw, "context"))
        return expr_literal(c, token.start, (struct pn_expr_value){.type = PN_EXPR_CONTEXT});
    if (token.kind != EXPR_IDENTIFIER || !expr_find_type(token.raw, &type))
        return unavailable(c, &token);
    return expr_node(c, EXPR_CLASS, type, token.start, NULL, NULL, NULL);
}

static struct expr_node *parse_primary(struct expr_compiler *c)
{
    struct expr_token token = c->token;
    struct expr_node *node = NULL;

    switch (token.kind) {
    case EXPR_IDENTIFIER:
        return parse_name(c);
    case EXPR_NUMBER:
    case EXPR_TEXT:
    case EXPR_CHARACTER:
        expr_next(c);
        return expr_literal(c, token.start, token.value);
    case EXPR_INTERPOLATED:
        return parse_interpolated(c);
    case EXPR_PUNCTUATION:
        if (!expr_accept(c, "("))
            break;
        node = expr_parse(c);
        return node && expr_expect(c, ")") ? node : NULL;
    case EXPR_END:
        return fail(c, token.start, "the expression ends where a value is expected");
    case EXPR_BROKEN:
        return NULL;
    }
    expr_fail(&c->lexer, token.start, "a value is expected here, not '%.*s'",
              PN_FMT(pn_slice_sub(token.raw, 0, EXPR_NAME_MAX)));
    return NULL;
}

/* ---- members */

/** <type> in front of '('. Leaves everything as it was when it is none. */
static bool accept_generic(struct expr_compiler *c, enum pn_expr_type *type)
{
    struct expr_compiler saved = *c;
    struct pn_slice name;
    bool is_known;

    if (!expr_accept(c, "<") || !skip_namespace(c))
        goto none;
    name = c->token.raw;
    is_known = c->token.kind == EXPR_IDENTIFIER && expr_find_type(name, type);
    if (!is_known && !expr_is_missing_type(name))
        goto none;
    expr_next(c);
    is_known = accept_array(c, name, type, is_known);
    if (!expr_accept(c, ">") || !expr_is(c, "("))
        goto none;
    if (is_known && !expr_is_class(*type))
        return true;
    expr_fail(&c->lexer, saved.token.start,
              "'%.*s' is not available in this release; docs/policies.md lists the types that are",
              PN_FMT(name));
    return false;
none:
    *c = saved;
    *type = PN_EXPR_NULL;
    return true;
}

/** To and with the closing bracket. */
static bool parse_arguments(struct expr_compiler *c, const char *end, struct expr_node **list,
                            size_t *count)
{
    *count = 0;
    while (!expr_is(c, end)) {
        if (*count == EXPR_ARGS_MAX) {
            expr_fail(&c->lexer, c->token.start, "a call has at most %d arguments here",
                      EXPR_ARGS_MAX);
            return false;
        }
        if (expr_is_word(c, "out") || expr_is_word(c, "ref")) {
            expr_fail(&c->lexer, c->token.start,
                      "'out' and 'ref' are not available in this release; use Parse, or "
                      "GetValueOrDefault");
            return false;
        }
        list[*count] = expr_parse(c);
        if (!list[(*count)++])
            return false;
        if (!expr_accept(c, ","))
            break;
    }
    return expr_expect(c, end);
}

static struct expr_node *parse_member(struct expr_compiler *c, struct expr_node *self)
{
    struct expr_node *list[EXPR_ARGS_MAX];
    struct expr_token name = c->token;
    enum pn_expr_type generic = PN_EXPR_NULL;
    size_t count;

    if (name.kind != EXPR_IDENTIFIER)
        return fail(c, name.start, "the name of a member is expected behind '.'");
    expr_next(c);
    if (expr_is(c, "<") && !accept_generic(c, &generic))
        return NULL;
    if (!expr_accept(c, "("))
        return expr_property(c, self, name.raw, name.start);
    if (!parse_arguments(c, ")", list, &count))
        return NULL;
    return expr_call(c, self, name.raw, generic, list, count, name.start);
}

static struct expr_node *parse_postfix(struct expr_compiler *c, struct expr_node *node);

/** a?.b.c: the rest of the chain is not run when a is null. */
static struct expr_node *parse_if_not_null(struct expr_compiler *c, struct expr_node *self)
{
    size_t offset = c->token.start;
    struct expr_node *hole, *rest, *node;

    expr_next(c);
    if (self->kind == EXPR_CLASS || (!self->is_nullable && !expr_is_reference(self->type)))
        return fail(c, offset, "what stands before '?.' is never null");
    if (!expr_enter(c))
        return NULL;
    hole = expr_node(c, EXPR_HOLE, self->type, self->offset, NULL, NULL, NULL);
    rest = hole ? parse_member(c, hole) : NULL;
    rest = rest ? parse_postfix(c, rest) : NULL;
    expr_leave(c);
    node = rest ? expr_node(c, EXPR_IF_NOT_NULL, rest->type, offset, self, rest, NULL) : NULL;
    if (node)
        node->is_nullable = !expr_is_reference(rest->type);
    return node;
}

static struct expr_node *parse_postfix(struct expr_compiler *c, struct expr_node *node)
{
    struct expr_node *list[EXPR_ARGS_MAX];
    size_t offset, count;

    while (node && c->token.kind == EXPR_PUNCTUATION) {
        offset = c->token.start;
        if (expr_accept(c, ".")) {
            node = parse_member(c, node);
        } else if (expr_is(c, "?.")) {
            node = parse_if_not_null(c, node);
        } else if (expr_accept(c, "[")) {
            if (!parse_arguments(c, "]", list, &count))
                return NULL;
            node = expr_call(c, node, PN_LIT("[]"), PN_EXPR_NULL, list, count, offset);
        } else if (expr_is(c, "(")) {
            return fail(c, offset, "this is no method that could be called");
        } else if (expr_is(c, "++") || expr_is(c, "--")) {
            return fail(c, offset, "'++' and '--' are statements of their own, in @{ … }");
        } else {
            break;
        }
    }
    return node;
}

/* ---- signs */

static struct expr_node *negate(struct expr_compiler *c, struct expr_node *node, size_t offset)
{
    if (!node)
        return NULL;
    if (node->kind == EXPR_VALUE && expr_is_number(node->type) && node->type != PN_EXPR_CHAR) {
        if (node->type == PN_EXPR_DOUBLE)
            node->value.d = -node->value.d;
        else
            node->value.i = -node->value.i; /* never the smallest one: literals have no sign */
        return node;
    }
    if (node->type == PN_EXPR_CHAR)
        node = expr_coerce(c, node, PN_EXPR_INT, "this");
    if (!node)
        return NULL;
    if (!expr_is_number(node->type) || node->is_nullable) {
        expr_fail(&c->lexer, offset, "'-' needs a number, this is a %s",
                  expr_type_name(node->type));
        return NULL;
    }
    return expr_node(c, EXPR_NEGATE, node->type, offset, node, NULL, NULL);
}

struct expr_node *expr_parse_unary(struct expr_compiler *c)
{
    size_t offset = c->token.start;
    struct expr_node *node;
    bool is_not = expr_is(c, "!");

    if (is_not || expr_is(c, "-") || expr_is(c, "+")) {
        bool is_minus = expr_is(c, "-");

        expr_next(c);
        if (!expr_enter(c))
            return NULL;
        node = expr_parse_unary(c);
        expr_leave(c);
        if (!is_not)
            return is_minus ? negate(c, node, offset) : node;
        node = expr_coerce(c, node, PN_EXPR_BOOL, "what stands behind '!'");
        return node ? expr_node(c, EXPR_NOT, PN_EXPR_BOOL, offset, node, NULL, NULL) : NULL;
    }
    if (expr_is(c, "(") && is_cast(c))
        return parse_cast(c);
    node = parse_primary(c);
    return node ? parse_postfix(c, node) : NULL;
}
