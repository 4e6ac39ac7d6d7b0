/* SPDX-License-Identifier: Apache-2.0
 *
 * $filter, the part of OData that API Management offers:
 *
 *   filter     = and *( "or" and )
 *   and        = term *( "and" term )
 *   term       = "(" filter ")" | "not" term | function | field op literal
 *   op         = ge | le | eq | ne | gt | lt
 *   function   = contains(field,'x') | startswith | endswith | substringof('x',field)
 *   literal    = 'text' (a quote is doubled) | datetime'...' | true | false | null | number | date
 *
 * Texts compare without regard to ASCII case, dates by their time.
 */
#include "arm/arm_internal.h"

#include <string.h>
#include <strings.h>

#include "base/clock.h"

enum node_kind { NODE_AND, NODE_OR, NODE_NOT, NODE_COMPARE, NODE_CONTAINS, NODE_STARTS, NODE_ENDS };
enum compare_op { OP_EQ, OP_NE, OP_GT, OP_GE, OP_LT, OP_LE };

struct arm_filter {
    enum node_kind kind;
    enum compare_op op;
    struct arm_filter *left, *right;
    const char *field;
    struct pn_slice literal; /* decoded */
};

struct parser {
    struct pn_arena *arena;
    struct pn_slice text;
    size_t at;
    size_t terms;
    int depth;
    const char *const *fields;
    struct pn_error *err;
};

static struct arm_filter *parse_or(struct parser *parser);

static struct arm_filter *fail(struct parser *parser, const char *expected)
{
    pn_error_set(parser->err, PN_INVALID, "invalid_filter",
                 "The $filter is not valid at character %zu: %s is expected.", parser->at + 1,
                 expected);
    (void)pn_error_target(parser->err, "$filter");
    return NULL;
}

static struct arm_filter *new_node(struct parser *parser, enum node_kind kind)
{
    struct arm_filter *node = pn_arena_zalloc(parser->arena, sizeof(*node));

    if (node)
        node->kind = kind;
    else
        pn_error_set(parser->err, PN_NOMEM, "out_of_memory", "out of memory");
    return node;
}

static void skip_space(struct parser *parser)
{
    while (parser->at < parser->text.len &&
           (parser->text.ptr[parser->at] == ' ' || parser->text.ptr[parser->at] == '\t'))
        parser->at++;
}

static bool is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           memchr("_-.:/+", c, 6) != NULL;
}

/** The word at the front, not taken. */
static struct pn_slice peek_word(struct parser *parser)
{
    size_t end = 0;

    skip_space(parser);
    end = parser->at;
    while (end < parser->text.len && is_word_byte(parser->text.ptr[end]))
        end++;
    return pn_slice_sub(parser->text, parser->at, end - parser->at);
}

static bool take_word(struct parser *parser, const char *word)
{
    struct pn_slice next = peek_word(parser);

    if (!pn_slice_case_eq_str(next, word))
        return false;
    parser->at += next.len;
    return true;
}

static bool take_byte(struct parser *parser, char byte)
{
    skip_space(parser);
    if (parser->at == parser->text.len || parser->text.ptr[parser->at] != byte)
        return false;
    parser->at++;
    return true;
}

static bool take_field(struct parser *parser, const char **field)
{
    struct pn_slice word = peek_word(parser);

    if (pn_slice_case_starts_with(word, PN_LIT("properties/"))) {
        parser->at += 11;
        word = pn_slice_sub(word, 11, word.len - 11);
    }
    for (size_t i = 0; parser->fields[i]; i++) {
        if (!pn_slice_case_eq_str(word, parser->fields[i]))
            continue;
        *field = parser->fields[i];
        parser->at += word.len;
        return true;
    }
    return false;
}

static bool take_quoted(struct parser *parser, struct pn_slice *literal)
{
    char *decoded = NULL;
    size_t len = 0;

    if (!take_byte(parser, '\''))
        return false;
    decoded = pn_arena_alloc(parser->arena, parser->text.len + 1);
    if (!decoded)
        return false;
    while (parser->at < parser->text.len) {
        char c = parser->text.ptr[parser->at++];

        if (c == '\'') {
            if (parser->at == parser->text.len || parser->text.ptr[parser->at] != '\'') {
                *literal = pn_slice(decoded, len);
                return true;
            }
            parser->at++;
        }
        decoded[len++] = c;
    }
    return false;
}

static bool take_literal(struct parser *parser, struct pn_slice *literal)
{
    struct pn_slice word = peek_word(parser);

    if (word.len > 0) {
        parser->at += word.len;
        if (pn_slice_case_eq_str(word, "datetime") && parser->at < parser->text.len &&
            parser->text.ptr[parser->at] == '\'')
            return take_quoted(parser, literal);
        *literal = word;
        return true;
    }
    return take_quoted(parser, literal);
}

static struct arm_filter *parse_function(struct parser *parser, enum node_kind kind,
                                         bool literal_first)
{
    struct arm_filter *node = new_node(parser, kind);

    if (!node)
        return NULL;
    if (!take_byte(parser, '('))
        return fail(parser, "'('");
    if (literal_first && (!take_quoted(parser, &node->literal) || !take_byte(parser, ',')))
        return fail(parser, "a quoted text and ','");
    if (!take_field(parser, &node->field))
        return fail(parser, "a field that can be filtered");
    if (!literal_first && (!take_byte(parser, ',') || !take_quoted(parser, &node->literal)))
        return fail(parser, "',' and a quoted text");
    if (!take_byte(parser, ')'))
        return fail(parser, "')'");
    return node;
}

static struct arm_filter *parse_comparison(struct parser *parser)
{
    static const char *const ops[] = {"eq", "ne", "gt", "ge", "lt", "le"};
    struct arm_filter *node = new_node(parser, NODE_COMPARE);

    if (!node)
        return NULL;
    if (!take_field(parser, &node->field))
        return fail(parser, "a field that can be filtered");
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        if (!take_word(parser, ops[i]))
            continue;
        node->op = (enum compare_op)i;
        if (!take_literal(parser, &node->literal))
            return fail(parser, "a literal");
        return node;
    }
    return fail(parser, "one of eq, ne, gt, ge, lt, le");
}

static struct arm_filter *parse_term(struct parser *parser)
{
    struct arm_filter *node = NULL;

    if (++parser->terms > PN_FILTER_TERMS_MAX || parser->depth > PN_FILTER_TERMS_MAX)
        return fail(parser, "fewer terms");
    if (take_byte(parser, '(')) {
        parser->depth++;
        node = parse_or(parser);
        parser->depth--;
        if (node && !take_byte(parser, ')'))
            return fail(parser, "')'");
        return node;
    }
    if (take_word(parser, "not")) {
        node = new_node(parser, NODE_NOT);
        if (!node)
            return NULL;
        parser->depth++;
        node->left = parse_term(parser);
        parser->depth--;
        return node->left ? node : NULL;
    }
    if (take_word(parser, "contains"))
        return parse_function(parser, NODE_CONTAINS, false);
    if (take_word(parser, "substringof"))
        return parse_function(parser, NODE_CONTAINS, true);
    if (take_word(parser, "startswith"))
        return parse_function(parser, NODE_STARTS, false);
    if (take_word(parser, "endswith"))
        return parse_function(parser, NODE_ENDS, false);
    return parse_comparison(parser);
}

static struct arm_filter *parse_and(struct parser *parser)
{
    struct arm_filter *left = parse_term(parser);

    while (left && take_word(parser, "and")) {
        struct arm_filter *node = new_node(parser, NODE_AND);

        if (!node)
            return NULL;
        node->left = left;
        node->right = parse_term(parser);
        left = node->right ? node : NULL;
    }
    return left;
}

static struct arm_filter *parse_or(struct parser *parser)
{
    struct arm_filter *left = parse_and(parser);

    while (left && take_word(parser, "or")) {
        struct arm_filter *node = new_node(parser, NODE_OR);

        if (!node)
            return NULL;
        node->left = left;
        node->right = parse_and(parser);
        left = node->right ? node : NULL;
    }
    return left;
}

enum pn_rc arm_filter_parse(struct pn_arena *arena, struct pn_slice text, const char *const *fields,
                            struct arm_filter **filter, struct pn_error *err)
{
    struct parser parser = {.arena = arena, .text = text, .fields = fields, .err = err};

    if (text.len > PN_FILTER_BYTES_MAX) {
        pn_error_set(err, PN_INVALID, "invalid_filter", "The $filter is longer than %d bytes.",
                     PN_FILTER_BYTES_MAX);
        return pn_error_target(err, "$filter");
    }
    *filter = parse_or(&parser);
    if (!*filter)
        return err->rc;
    skip_space(&parser);
    if (parser.at < text.len) {
        fail(&parser, "'and', 'or' or the end");
        return PN_INVALID;
    }
    return PN_OK;
}

bool arm_field_text(const json_t *entity, const char *field, struct pn_slice *value)
{
    const json_t *member = json_object_get(json_object_get(entity, "properties"), field);

    if (strcmp(field, "name") == 0)
        member = json_object_get(entity, "name");
    if (json_is_string(member)) {
        *value = pn_slice(json_string_value(member), json_string_length(member));
        return true;
    }
    if (json_is_boolean(member)) {
        *value = json_is_true(member) ? PN_LIT("true") : PN_LIT("false");
        return true;
    }
    return false;
}

static bool value_of(const struct arm_filter *node, const json_t *entity, struct pn_slice *value)
{
    return arm_field_text(entity, node->field, value);
}

static int compare_case(struct pn_slice a, struct pn_slice b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common > 0 ? strncasecmp(a.ptr, b.ptr, common) : 0;

    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

static bool compare_matches(const struct arm_filter *node, struct pn_slice value)
{
    int64_t left = 0;
    int64_t right = 0;
    int order = 0;

    if (pn_time_parse_iso8601(value, &left) && pn_time_parse_iso8601(node->literal, &right))
        order = (left > right) - (left < right);
    else
        order = compare_case(value, node->literal);
    switch (node->op) {
    case OP_EQ:
        return order == 0;
    case OP_NE:
        return order != 0;
    case OP_GT:
        return order > 0;
    case OP_GE:
        return order >= 0;
    case OP_LT:
        return order < 0;
    case OP_LE:
        return order <= 0;
    }
    return false;
}

static bool contains(struct pn_slice value, struct pn_slice part)
{
    for (size_t i = 0; i + part.len <= value.len; i++)
        if (pn_slice_case_eq(pn_slice_sub(value, i, part.len), part))
            return true;
    return false;
}

bool arm_filter_matches(const struct arm_filter *filter, const json_t *entity)
{
    struct pn_slice value = {0};
    struct pn_slice part = filter->literal;

    switch (filter->kind) {
    case NODE_AND:
        return arm_filter_matches(filter->left, entity) &&
               arm_filter_matches(filter->right, entity);
    case NODE_OR:
        return arm_filter_matches(filter->left, entity) ||
               arm_filter_matches(filter->right, entity);
    case NODE_NOT:
        return !arm_filter_matches(filter->left, entity);
    case NODE_COMPARE:
        if (!value_of(filter, entity, &value))
            return (filter->op == OP_EQ) == pn_slice_case_eq_str(part, "null") &&
                   (filter->op == OP_EQ || filter->op == OP_NE);
        return compare_matches(filter, value);
    case NODE_CONTAINS:
        return value_of(filter, entity, &value) && contains(value, part);
    case NODE_STARTS:
        return value_of(filter, entity, &value) && pn_slice_case_starts_with(value, part);
    case NODE_ENDS:
        return value_of(filter, entity, &value) && value.len >= part.len &&
               pn_slice_case_eq(pn_slice_sub(value, value.len - part.len, part.len), part);
    }
    return false;
}
