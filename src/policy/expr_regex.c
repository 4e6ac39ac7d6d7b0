/* SPDX-License-Identifier: Apache-2.0
 *
 * Regex, by PCRE2. A pattern is a literal of the expression and is compiled with it, so that a
 * wrong one is refused when the document is written and a client can never bring one of its own. A
 * match is bounded by PCRE2's match limit (expression-regex-steps), its heap by the limits below;
 * its memory is in the request's arena.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "policy/expr_internal.h"

#define PATTERN_BYTES_MAX 4096u
#define HEAP_KIB_MAX      256u /* of one match */
#define DEPTH_MAX         10000u
#define NESTING_MAX       50u /* brackets in a pattern */

struct pn_expr_regex {
    pcre2_code *code;
    struct pn_expr_regex *next;
};

/* The groups of a match; items of the value. Its code knows their names. */
struct match {
    const pcre2_code *code;
    struct pn_slice groups[];
};

/* ---- compiling */

void pn_expr_home_fini(struct pn_expr_home *home)
{
    for (struct pn_expr_regex *regex = home->regexes; regex; regex = regex->next)
        pcre2_code_free(regex->code);
    home->regexes = NULL;
}

static bool refuse(struct expr_compiler *c, const struct expr_node *pattern, int error,
                   size_t offset)
{
    unsigned char reason[120] = "";

    (void)pcre2_get_error_message(error, reason, sizeof(reason));
    expr_fail(&c->lexer, pattern->offset,
              "the regular expression is not one, at its character %zu: %s", offset + 1,
              (const char *)reason);
    return false;
}

bool expr_regex_compile(struct expr_compiler *c, struct expr_node *call)
{
    const struct expr_node *pattern = call->list[1];
    const struct expr_node *last = call->list[call->count - 1];
    uint32_t options = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C;
    struct pn_expr_regex *regex = pn_arena_zalloc(c->home->arena, sizeof(*regex));
    pcre2_compile_context *context;
    int error = 0;
    PCRE2_SIZE offset = 0;

    if (!regex) {
        expr_no_memory(&c->lexer);
        return false;
    }
    if (pattern->kind != EXPR_VALUE || pattern->type != PN_EXPR_STRING ||
        pattern->value.s.len > PATTERN_BYTES_MAX) {
        expr_fail(&c->lexer, pattern->offset,
                  "a regular expression must be a literal here, of at most %u bytes",
                  PATTERN_BYTES_MAX);
        return false;
    }
    if (last->type == PN_EXPR_REGEX_OPTIONS) {
        if (last->kind != EXPR_VALUE) {
            expr_fail(&c->lexer, last->offset, "RegexOptions must be written out here");
            return false;
        }
        options |= (uint32_t)last->value.i;
    }
    context = pcre2_compile_context_create(NULL);
    if (!context || pcre2_set_parens_nest_limit(context, NESTING_MAX) != 0) {
        pcre2_compile_context_free(context);
        expr_no_memory(&c->lexer);
        return false;
    }
    regex->code = pcre2_compile((PCRE2_SPTR)pattern->value.s.ptr, pattern->value.s.len, options,
                                &error, &offset, context);
    pcre2_compile_context_free(context);
    if (!regex->code)
        return refuse(c, pattern, error, offset);
    regex->next = c->home->regexes;
    c->home->regexes = regex;
    call->call.regex = regex;
    return true;
}

/* ---- matching */

static void *take(size_t bytes, void *ctx)
{
    return expr_alloc(ctx, bytes);
}

static void give_back(void *ptr, void *ctx)
{
    (void)ptr; /* the arena's */
    (void)ctx;
}

struct matcher {
    pcre2_general_context *general;
    pcre2_match_context *context;
    pcre2_match_data *data;
};

static bool prepare(struct expr_run *run, struct matcher *m)
{
    uint64_t limit = pn_limit_value(PN_LIMIT_EXPRESSION_REGEX_STEPS);

    m->general = pcre2_general_context_create(take, give_back, run);
    m->context = m->general ? pcre2_match_context_create(m->general) : NULL;
    m->data = m->context
                  ? pcre2_match_data_create_from_pattern(run->node->call.regex->code, m->general)
                  : NULL;
    if (!m->data)
        return run->rc != PN_OK ? false : expr_throw(run, "out of memory");
    return pcre2_set_match_limit(m->context, (uint32_t)limit) == 0 &&
           pcre2_set_depth_limit(m->context, DEPTH_MAX) == 0 &&
           pcre2_set_heap_limit(m->context, HEAP_KIB_MAX) == 0;
}

static bool explain(struct expr_run *run, int error)
{
    if (error == PCRE2_ERROR_MATCHLIMIT || error == PCRE2_ERROR_DEPTHLIMIT ||
        error == PCRE2_ERROR_HEAPLIMIT) {
        if (run->rc == PN_OK) {
            run->rc = PN_LIMIT;
            run->why = "a regular expression takes more steps than the limit "
                       "expression-regex-steps allows";
            pn_limit_hit(PN_LIMIT_EXPRESSION_REGEX_STEPS);
        }
        return false;
    }
    return expr_throw(run, "a regular expression failed");
}

/** -1: no match; else the number of groups. False: a fault. */
static bool match(struct expr_run *run, struct pn_slice subject, struct matcher *m, int *groups)
{
    int found;

    if (!prepare(run, m))
        return false;
    found = pcre2_match(run->node->call.regex->code, (PCRE2_SPTR)(subject.ptr ? subject.ptr : ""),
                        subject.len, 0, 0, m->data, m->context);
    if (found < 0 && found != PCRE2_ERROR_NOMATCH)
        return explain(run, found);
    *groups = found;
    return run->rc == PN_OK;
}

EXPR_FN(is_match)
{
    struct matcher m;
    int groups = -1;

    if (!match(run, args[0].s, &m, &groups))
        return false;
    *out = pn_expr_bool(groups > 0);
    return true;
}

EXPR_FN(match_text)
{
    const pcre2_code *code = run->node->call.regex->code;
    const PCRE2_SIZE *offsets;
    struct matcher m;
    struct match *result;
    uint32_t all = 0;
    int groups = -1;

    if (!match(run, args[0].s, &m, &groups))
        return false;
    *out = (struct pn_expr_value){.type = PN_EXPR_MATCH};
    if (groups <= 0)
        return true;
    (void)pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &all);
    result = expr_alloc(run, sizeof(*result) + (all + 1) * sizeof(struct pn_slice));
    if (!result)
        return false;
    result->code = code;
    offsets = pcre2_get_ovector_pointer(m.data);
    for (size_t i = 0; i <= all; i++) {
        bool is_set = i < (size_t)groups && offsets[2 * i] != PCRE2_UNSET;

        result->groups[i] =
            is_set ? pn_slice(args[0].s.ptr + offsets[2 * i], offsets[2 * i + 1] - offsets[2 * i])
                   : pn_slice(NULL, 0);
        if (is_set && !result->groups[i].ptr)
            result->groups[i].ptr = "";
    }
    out->list.items = result->groups;
    out->list.count = all + 1;
    return true;
}

static bool substitute(struct expr_run *run, struct pn_slice subject, struct pn_slice with,
                       size_t size, struct pn_slice *result, int *error)
{
    struct matcher m;
    PCRE2_SIZE len = size;
    char *buffer = expr_alloc(run, size);

    if (!buffer || !prepare(run, &m))
        return false;
    *error = pcre2_substitute(run->node->call.regex->code,
                              (PCRE2_SPTR)(subject.ptr ? subject.ptr : ""), subject.len, 0,
                              PCRE2_SUBSTITUTE_GLOBAL | PCRE2_SUBSTITUTE_UNSET_EMPTY |
                                  PCRE2_SUBSTITUTE_UNKNOWN_UNSET | PCRE2_SUBSTITUTE_OVERFLOW_LENGTH,
                              m.data, m.context, (PCRE2_SPTR)(with.ptr ? with.ptr : ""), with.len,
                              (PCRE2_UCHAR *)buffer, &len);
    *result = pn_slice(buffer, len);
    return run->rc == PN_OK;
}

EXPR_FN(replace)
{
    struct pn_slice with = args[2].s;
    struct pn_slice result;
    int error = 0;

    if (!substitute(run, args[0].s, with, args[0].s.len + with.len + 64, &result, &error))
        return false;
    if (error == PCRE2_ERROR_NOMEMORY && /* its length is what is needed */
        !substitute(run, args[0].s, with, result.len + 1, &result, &error))
        return false;
    if (error == PCRE2_ERROR_BADREPLACEMENT)
        return expr_throw(run, "ArgumentException: the replacement of a regular expression is "
                               "wrong: a '$' itself is written '$$'");
    if (error < 0)
        return explain(run, error);
    *out = pn_expr_string(result);
    return true;
}

/* ---- matches */

EXPR_FN(success)
{
    *out = pn_expr_bool(self->list.count > 0 && self->list.items[0].ptr);
    return true;
}

EXPR_FN(value)
{
    *out = pn_expr_string(self->list.count > 0 && self->list.items[0].ptr ? self->list.items[0]
                                                                          : PN_LIT(""));
    return true;
}

EXPR_FN(groups)
{
    *out = *self;
    out->type = PN_EXPR_GROUPS;
    return true;
}

EXPR_FN(group_at)
{
    const struct match *match = NULL;
    int64_t number = -1;
    char name[EXPR_NAME_MAX + 1];

    *out = (struct pn_expr_value){.type = PN_EXPR_GROUP};
    if (self->list.count == 0)
        return true;
    if (args[0].type == PN_EXPR_INT) {
        number = args[0].i;
    } else if (args[0].s.len < sizeof(name)) {
        match = (const struct match *)(const void *)((const char *)self->list.items -
                                                     offsetof(struct match, groups));
        memcpy(name, args[0].s.ptr ? args[0].s.ptr : "", args[0].s.len);
        name[args[0].s.len] = '\0';
        number = pcre2_substring_number_from_name(match->code, (PCRE2_SPTR)name);
    }
    if (number >= 0 && (uint64_t)number < self->list.count) {
        out->list.items = &self->list.items[number];
        out->list.count = 1;
    }
    return true;
}

EXPR_FN(group_count)
{
    *out = pn_expr_int((int64_t)self->list.count);
    return true;
}

#define R PN_EXPR_CLASS_REGEX
#define O PN_EXPR_REGEX_OPTIONS
#define S PN_EXPR_STRING
#define B PN_EXPR_BOOL

const struct expr_member expr_regex_members[] = {
    {R, "IsMatch", "ss", B, is_match, true, 0},
    {R, "IsMatch", "ssR", B, is_match, true, 0},
    {R, "Match", "ss", PN_EXPR_MATCH, match_text, true, 0},
    {R, "Match", "ssR", PN_EXPR_MATCH, match_text, true, 0},
    {R, "Replace", "sss", S, replace, true, 0},
    {R, "Replace", "sssR", S, replace, true, 0},
    {PN_EXPR_MATCH, "Success", NULL, B, success, false, 0},
    {PN_EXPR_MATCH, "Value", NULL, S, value, false, 0},
    {PN_EXPR_MATCH, "Groups", NULL, PN_EXPR_GROUPS, groups, false, 0},
    {PN_EXPR_GROUPS, "Count", NULL, PN_EXPR_INT, group_count, false, 0},
    {PN_EXPR_GROUPS, "[]", "i", PN_EXPR_GROUP, group_at, false, 0},
    {PN_EXPR_GROUPS, "[]", "s", PN_EXPR_GROUP, group_at, false, 0},
    {PN_EXPR_GROUP, "Success", NULL, B, success, false, 0},
    {PN_EXPR_GROUP, "Value", NULL, S, value, false, 0},
    {O, "None", NULL, O, NULL, true, 0},
    {O, "IgnoreCase", NULL, O, NULL, true, PCRE2_CASELESS},
    {O, "Multiline", NULL, O, NULL, true, PCRE2_MULTILINE},
    {O, "Singleline", NULL, O, NULL, true, PCRE2_DOTALL},
    {O, "IgnorePatternWhitespace", NULL, O, NULL, true, PCRE2_EXTENDED},
    {O, "CultureInvariant", NULL, O, NULL, true, 0},
    {O, "Compiled", NULL, O, NULL, true, 0},
    {.name = NULL},
};
