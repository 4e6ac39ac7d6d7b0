/* SPDX-License-Identifier: Apache-2.0
 *
 * The statements of "@{ … }": variables, assignments, if, foreach over arrays, return. Every way
 * through them ends with a return; that is checked here, as in C#.
 */
#include <string.h>

#include "policy/expr_internal.h"

static struct expr_statement *new_statement(struct expr_compiler *c, enum expr_statement_kind kind)
{
    struct expr_statement *statement = pn_arena_zalloc(c->home->arena, sizeof(*statement));

    if (statement)
        statement->kind = kind;
    else
        expr_no_memory(&c->lexer);
    return statement;
}

static struct expr_local *find(struct expr_compiler *c, struct pn_slice name)
{
    for (unsigned i = c->local_count; i > 0; i--)
        if (pn_slice_eq(c->locals[i - 1].name, name))
            return &c->locals[i - 1];
    return NULL;
}

static struct expr_local *declare(struct expr_compiler *c, const struct expr_token *name,
                                  enum pn_expr_type type, bool is_nullable)
{
    struct expr_local *local;

    if (name->kind != EXPR_IDENTIFIER) {
        expr_fail(&c->lexer, name->start, "the name of a variable is expected here");
        return NULL;
    }
    if (find(c, name->raw) || pn_slice_eq_str(name->raw, "context")) {
        expr_fail(&c->lexer, name->start, "there is a variable '%.*s' already",
                  PN_FMT(pn_slice_sub(name->raw, 0, EXPR_NAME_MAX)));
        return NULL;
    }
    if (c->local_count == EXPR_LOCALS_MAX) {
        expr_fail(&c->lexer, name->start, "an expression has at most %d variables",
                  EXPR_LOCALS_MAX);
        return NULL;
    }
    local = &c->locals[c->local_count++];
    *local = (struct expr_local){name->raw, type, is_nullable};
    return local;
}

/** What a variable without a value has until it gets one. */
static struct expr_node *default_of(struct expr_compiler *c, enum pn_expr_type type, size_t offset)
{
    struct pn_expr_value value = {.type = type};

    if (expr_is_reference(type))
        value = pn_expr_null();
    if (type == PN_EXPR_GUID)
        value.s = PN_LIT("00000000-0000-0000-0000-000000000000");
    return expr_literal(c, offset, value);
}

/** Behind the type: name = value; or name;. PN_EXPR_NULL: var. */
static struct expr_statement *parse_declaration(struct expr_compiler *c, enum pn_expr_type type)
{
    struct expr_statement *statement = new_statement(c, EXPR_ASSIGN);
    struct expr_token name = c->token;
    struct expr_local *local;
    bool is_var = type == PN_EXPR_NULL;

    if (!statement)
        return NULL;
    expr_next(c);
    if (expr_accept(c, "=")) {
        statement->node = expr_parse(c);
        if (statement->node && !is_var)
            statement->node = expr_coerce(c, statement->node, type, "the value of this variable");
    } else if (is_var) {
        expr_fail(&c->lexer, name.start, "'var' needs a value: var x = …;");
    } else {
        statement->node = default_of(c, type, name.start);
    }
    if (!statement->node)
        return NULL;
    if (is_var && (statement->node->type == PN_EXPR_NULL || statement->node->kind == EXPR_CLASS)) {
        expr_fail(&c->lexer, statement->node->offset,
                  "'var' takes its type from the value, and this has none; write the type, as in "
                  "string x = null;");
        return NULL;
    }
    local = declare(c, &name, is_var ? statement->node->type : type,
                    is_var && statement->node->is_nullable);
    if (!local)
        return NULL;
    statement->slot = (unsigned)(local - c->locals);
    return expr_expect(c, ";") ? statement : NULL;
}

/** x = …; x += …; x -= …; x++; x--; */
static struct expr_statement *parse_assignment(struct expr_compiler *c)
{
    struct expr_statement *statement = new_statement(c, EXPR_ASSIGN);
    struct expr_token name = c->token;
    const struct expr_local *local = find(c, name.raw);
    struct expr_node *value, *target;
    struct expr_token sign_token;
    char sign;

    if (!statement)
        return NULL;
    if (!local) {
        expr_fail(&c->lexer, name.start,
                  "a statement is expected here: a variable, an assignment, if, foreach or return");
        return NULL;
    }
    expr_next(c);
    sign_token = c->token;
    sign = expr_is(c, "+=") || expr_is(c, "++")   ? '+'
           : expr_is(c, "-=") || expr_is(c, "--") ? '-'
                                                  : '\0';
    if (!sign && !expr_is(c, "=")) {
        expr_fail(&c->lexer, name.start,
                  "this does nothing: assign it to a variable, or return it");
        return NULL;
    }
    expr_next(c);
    if (sign_token.raw.len == 2 && sign_token.raw.ptr[1] != '=')
        value = expr_literal(c, sign_token.start, pn_expr_int(1));
    else
        value = expr_parse(c);
    if (!value)
        return NULL;
    if (sign) {
        target = expr_node(c, EXPR_LOCAL, local->type, name.start, NULL, NULL, NULL);
        if (!target)
            return NULL;
        target->is_nullable = local->is_nullable;
        target->slot = (unsigned)(local - c->locals);
        value = expr_operate(c, sign, sign_token.start, target, value);
    }
    statement->slot = (unsigned)(local - c->locals);
    if (!value || local->is_nullable)
        statement->node = value && value->type == local->type ? value : NULL;
    else
        statement->node = expr_coerce(c, value, local->type, "the value of this variable");
    if (value && !statement->node)
        expr_fail(&c->lexer, value->offset, "the value must be a %s", expr_type_name(local->type));
    return statement->node && expr_expect(c, ";") ? statement : NULL;
}

static struct expr_statement *parse_statement(struct expr_compiler *c, bool *returns);

/** A block's variables end with it. */
static struct expr_statement *parse_inner(struct expr_compiler *c, bool *returns)
{
    unsigned count = c->local_count;
    struct expr_statement *statement;

    if (!expr_enter(c))
        return NULL;
    statement = parse_statement(c, returns);
    expr_leave(c);
    c->local_count = count;
    return statement;
}

static struct expr_statement *parse_if(struct expr_compiler *c, bool *returns)
{
    struct expr_statement *statement = new_statement(c, EXPR_WHEN);
    bool first = false;
    bool second = false;

    if (!statement || !expr_expect(c, "("))
        return NULL;
    statement->node = expr_coerce(c, expr_parse(c), PN_EXPR_BOOL, "the condition of 'if'");
    if (!statement->node || !expr_expect(c, ")"))
        return NULL;
    statement->body = parse_inner(c, &first);
    if (!statement->body)
        return NULL;
    if (expr_accept_word(c, "else")) {
        statement->otherwise = parse_inner(c, &second);
        if (!statement->otherwise)
            return NULL;
    }
    *returns = first && second;
    return statement;
}

static struct expr_statement *parse_foreach(struct expr_compiler *c)
{
    struct expr_statement *statement = new_statement(c, EXPR_FOREACH);
    unsigned count = c->local_count;
    struct expr_token name;
    enum pn_expr_type type = PN_EXPR_STRING;
    struct expr_local *local;
    bool is_var, returns = false;

    if (!statement || !expr_expect(c, "("))
        return NULL;
    is_var = expr_is_word(c, "var");
    if (!is_var && (!expr_find_type(c->token.raw, &type) ||
                    (type != PN_EXPR_STRING && type != PN_EXPR_CHAR))) {
        expr_fail(&c->lexer, c->token.start,
                  "'foreach' goes through texts here: foreach (var x in …)");
        return NULL;
    }
    expr_next(c);
    name = c->token;
    expr_next(c);
    if (!expr_accept_word(c, "in")) {
        expr_fail(&c->lexer, c->token.start, "'in' is expected here: foreach (var x in …)");
        return NULL;
    }
    statement->node = expr_parse(c);
    if (!statement->node || !expr_expect(c, ")"))
        return NULL;
    if (statement->node->kind == EXPR_CLASS ||
        (statement->node->type != PN_EXPR_STRINGS && statement->node->type != PN_EXPR_CHARS) ||
        (!is_var &&
         type != (statement->node->type == PN_EXPR_STRINGS ? PN_EXPR_STRING : PN_EXPR_CHAR))) {
        expr_fail(&c->lexer, statement->node->offset,
                  "'foreach' goes through a string[] or char[] here, this is a %s",
                  expr_type_name(statement->node->type));
        return NULL;
    }
    type = statement->node->type == PN_EXPR_STRINGS ? PN_EXPR_STRING : PN_EXPR_CHAR;
    local = declare(c, &name, type, false);
    if (!local)
        return NULL;
    statement->slot = (unsigned)(local - c->locals);
    c->loops++;
    statement->body = parse_inner(c, &returns);
    c->loops--;
    c->local_count = count;
    return statement->body ? statement : NULL;
}

static struct expr_statement *parse_return(struct expr_compiler *c)
{
    struct expr_statement *statement = new_statement(c, EXPR_RETURN);

    if (!statement)
        return NULL;
    if (expr_is(c, ";")) {
        expr_fail(&c->lexer, c->token.start, "'return' needs a value");
        return NULL;
    }
    statement->node = expr_parse(c);
    if (statement->node)
        statement->node = expr_want(c, statement->node);
    return statement->node && expr_expect(c, ";") ? statement : NULL;
}

static struct expr_statement *parse_jump(struct expr_compiler *c, enum expr_statement_kind kind)
{
    struct expr_statement *statement = new_statement(c, kind);

    if (c->loops == 0) {
        expr_fail(&c->lexer, c->token.start, "there is no loop around this");
        return NULL;
    }
    return statement && expr_expect(c, ";") ? statement : NULL;
}

/** A type in front of the name of a variable. */
static bool accept_type(struct expr_compiler *c, enum pn_expr_type *type)
{
    struct expr_compiler saved = *c;

    *type = PN_EXPR_NULL;
    if (find(c, c->token.raw))
        return false;
    if (!expr_is_word(c, "var") && !pn_slice_eq_str(c->token.raw, "byte") &&
        !expr_find_type(c->token.raw, type)) {
        if (!expr_is_missing_type(c->token.raw))
            return false;
        expr_next(c);
        if (c->token.kind == EXPR_IDENTIFIER || expr_is(c, "<") || expr_is(c, "["))
            expr_fail(&c->lexer, saved.token.start,
                      "'%.*s' is not available in this release; docs/policies.md lists the types "
                      "that are",
                      PN_FMT(saved.token.raw));
        else
            *c = saved;
        return false;
    }
    expr_next(c);
    if (expr_is(c, "[") && saved.token.raw.ptr[0] != 'v') {
        expr_next(c);
        if (expr_accept(c, "]")) {
            *type = *type == PN_EXPR_STRING ? PN_EXPR_STRINGS
                    : *type == PN_EXPR_CHAR ? PN_EXPR_CHARS
                                            : PN_EXPR_BYTES;
            return true;
        }
    }
    if (c->token.kind == EXPR_IDENTIFIER && !expr_is_class(*type))
        return true;
    *c = saved;
    return false;
}

static bool refuse_word(struct expr_compiler *c)
{
    static const char *const words[] = {"for",   "while", "do",    "switch", "try",  "throw",
                                        "using", "lock",  "const", "goto",   "yield"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!expr_is_word(c, words[i]))
            continue;
        expr_fail(&c->lexer, c->token.start,
                  "'%s' is not available in this release; there are variables, assignments, if, "
                  "foreach and return",
                  words[i]);
        return true;
    }
    return false;
}

static struct expr_statement *parse_block(struct expr_compiler *c, bool *returns)
{
    struct expr_statement *block = new_statement(c, EXPR_BLOCK);
    unsigned count = c->local_count;
    struct expr_statement **last = block ? &block->body : NULL;

    while (block && !expr_is(c, "}") && c->token.kind != EXPR_END) {
        if (*returns) {
            expr_fail(&c->lexer, c->token.start, "this is never reached: there is a return before");
            return NULL;
        }
        *last = parse_statement(c, returns);
        if (!*last)
            return NULL;
        last = &(*last)->next;
    }
    c->local_count = count;
    return block && expr_expect(c, "}") ? block : NULL;
}

/* Recursion: bounded by expr_enter(). */
static struct expr_statement *parse_statement(struct expr_compiler *c, bool *returns)
{
    struct expr_statement *block;
    enum pn_expr_type type;

    *returns = false;
    if (expr_accept(c, "{")) {
        if (!expr_enter(c))
            return NULL;
        block = parse_block(c, returns);
        expr_leave(c);
        return block;
    }
    if (expr_accept(c, ";"))
        return new_statement(c, EXPR_BLOCK);
    if (c->token.kind == EXPR_IDENTIFIER && refuse_word(c))
        return NULL;
    if (expr_accept_word(c, "if"))
        return parse_if(c, returns);
    if (expr_accept_word(c, "foreach"))
        return parse_foreach(c);
    if (expr_accept_word(c, "return")) {
        *returns = true;
        return parse_return(c);
    }
    if (expr_accept_word(c, "break"))
        return parse_jump(c, EXPR_BREAK);
    if (expr_accept_word(c, "continue"))
        return parse_jump(c, EXPR_CONTINUE);
    if (c->token.kind == EXPR_IDENTIFIER && accept_type(c, &type))
        return parse_declaration(c, type);
    return c->lexer.has_failed ? NULL : parse_assignment(c);
}

bool expr_parse_body(struct expr_compiler *c, struct expr_statement **first)
{
    struct expr_statement *block;
    size_t start = c->token.start;
    bool returns = false;

    block = parse_block(c, &returns);
    if (!block)
        return false;
    if (!returns) {
        expr_fail(&c->lexer, start,
                  "not every way through these statements ends with 'return': add a return at the "
                  "end");
        return false;
    }
    *first = block->body;
    return true;
}
