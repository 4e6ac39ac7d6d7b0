/* SPDX-License-Identifier: Apache-2.0
 *
 * Attributes and texts that may be expressions. A fault in one is told at its own line and column:
 * what the tree holds are decoded texts, so the place is looked for in the user's text again, from
 * the tag on. Only for an error.
 */
#include <stdio.h>
#include <string.h>

#include "policy/internal.h"

/* ---- places */

struct finder {
    struct pn_slice text;
    size_t at;
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static char here(const struct finder *f)
{
    return f->at < f->text.len ? f->text.ptr[f->at] : '\0';
}

static void skip_space(struct finder *f)
{
    while (f->at < f->text.len && is_space(here(f)))
        f->at++;
}

static struct pn_slice rest(const struct finder *f)
{
    return pn_slice_sub(f->text, f->at, f->text.len);
}

/** Behind the value that begins here, and its quote. */
static void skip_value(struct finder *f, char quote, bool is_raw)
{
    if (is_raw && pn_policy_is_expression(rest(f)))
        f->at += pn_policy_expression_len(rest(f));
    f->at += pn_slice_find(rest(f), quote) + 1;
}

/** To the value of that attribute, or, for NULL, behind the start tag. */
static void find_attribute(struct finder *f, const char *name, bool is_raw)
{
    while (f->at < f->text.len && here(f) != '>') {
        size_t start;
        struct pn_slice found;
        char quote;

        while (f->at < f->text.len && !is_space(here(f)) && here(f) != '>')
            f->at++; /* the element's name, or what is between */
        skip_space(f);
        start = f->at;
        while (f->at < f->text.len && !is_space(here(f)) && here(f) != '=' && here(f) != '>')
            f->at++;
        found = pn_slice_sub(f->text, start, f->at - start);
        skip_space(f);
        if (here(f) != '=')
            continue;
        f->at++;
        skip_space(f);
        quote = here(f);
        f->at++;
        if (name && pn_slice_eq_str(found, name))
            return;
        skip_value(f, quote, is_raw);
    }
    f->at++;
}

/** From behind the start tag to the expression that is the element's text. */
static void find_text(struct finder *f)
{
    for (;;) {
        skip_space(f);
        if (pn_slice_starts_with(rest(f), PN_LIT("<!--")))
            f->at += pn_slice_find_slice(rest(f), PN_LIT("-->")) + 3;
        else if (pn_slice_starts_with(rest(f), PN_LIT("<![CDATA[")))
            f->at += 9;
        else
            return;
    }
}

/** Bytes that "&#8364;" stands for; f->at is on the '&', and then behind the ';'. */
static size_t skip_reference(struct finder *f)
{
    struct pn_slice name = pn_slice_sub(rest(f), 1, pn_slice_find(rest(f), ';') - 1);
    uint64_t code = 0;

    f->at += name.len + 2;
    if (name.len < 2 || name.ptr[0] != '#')
        return 1;
    if (name.ptr[1] == 'x') {
        for (size_t i = 2; i < name.len && code < 0x110000; i++)
            code = code << 4 | (uint64_t)((name.ptr[i] & 0xF) + (name.ptr[i] > '9' ? 9 : 0));
    } else {
        (void)pn_slice_to_u64(pn_slice_sub(name, 1, name.len), 0x110000, &code);
    }
    return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

/** Over `count` bytes of the decoded text. */
static void skip_decoded(struct finder *f, size_t count, bool has_references)
{
    while (count > 0 && f->at < f->text.len) {
        size_t bytes = 1;

        if (has_references && here(f) == '&')
            bytes = skip_reference(f);
        else if (here(f) == '\r' && f->at + 1 < f->text.len && f->text.ptr[f->at + 1] == '\n')
            f->at += 2;
        else
            f->at++;
        count -= bytes < count ? bytes : count;
    }
}

/** Whether the value is as it stands in the text: no named value was put in, and it is not from a
 *  fragment, which has a text of its own. */
static bool is_as_written(const struct pn_policy_node *node, const char *name)
{
    if (node->fragment)
        return false;
    if (!node->origin)
        return true;
    return name ? pn_slice_eq(pn_policy_attribute(node, name),
                              pn_policy_attribute(node->origin, name))
                : pn_slice_eq(node->text, node->origin->text);
}

static enum pn_rc fail_at(struct pn_policy_check *check, const struct pn_policy_node *node,
                          const char *name, size_t offset, const char *message)
{
    struct finder f = {.text = check->text, .at = node->offset};
    bool is_raw = check->is_raw;
    int line, column;

    if (!is_as_written(node, name))
        return pn_policy_node_error(check->err, node, "%s", message);
    find_attribute(&f, name, is_raw);
    if (name) {
        is_raw = is_raw && pn_policy_is_expression(rest(&f));
        skip_space(&f);
    } else {
        find_text(&f);
    }
    skip_decoded(&f, offset, !is_raw);
    pn_policy_position(check->text, f.at, &line, &column);
    return pn_policy_error(check->err, PN_INVALID, node->name, line, column, "%s", message);
}

/* ---- operands */

static enum pn_rc no_memory(struct pn_policy_check *check)
{
    return pn_error_set(check->err, PN_NOMEM, "out_of_memory", "out of memory");
}

/** `name`: the attribute, NULL for the element's text. */
static enum pn_rc compile(struct pn_policy_check *check, const struct pn_policy_node *node,
                          const char *name, struct pn_slice text, enum pn_expr_want want,
                          const struct pn_expr **result)
{
    struct pn_expr_fault fault;
    struct pn_expr *expr = NULL;
    enum pn_rc rc = pn_expr_compile(check->home, text, want, &expr, &fault);
    char message[PN_EXPR_MESSAGE_MAX + 40];

    if (rc == PN_NOMEM)
        return no_memory(check);
    if (rc == PN_OK && pn_policy_expression_len(text) != text.len) {
        /* Cannot be: what the compiler takes is balanced. Else it would not be read back. */
        rc = PN_INVALID;
        fault = (struct pn_expr_fault){.message = "the brackets are not balanced"};
    }
    if (rc != PN_OK) {
        snprintf(message, sizeof(message), "policy expression: %s", fault.message);
        return fail_at(check, node, name, fault.offset, message);
    }
    *result = expr;
    return PN_OK;
}

enum pn_rc pn_policy_check_operand(struct pn_policy_check *check, const struct pn_policy_node *node,
                                   const char *name, enum pn_expr_want want,
                                   struct pn_policy_operand *operand)
{
    struct pn_slice text = name ? pn_policy_attribute(node, name) : node->text;
    char where[160] = "text";

    *operand = (struct pn_policy_operand){.text = text};
    if (pn_policy_is_expression(pn_slice_trim(text)))
        return compile(check, node, name, pn_slice_trim(text), want, &operand->expr);
    if (name)
        snprintf(where, sizeof(where), "attribute '%.100s'", name);
    return pn_policy_check_literal(check, node, where, text);
}

enum pn_rc pn_policy_check_condition(struct pn_policy_check *check,
                                     const struct pn_policy_node *node,
                                     struct pn_policy_condition *condition)
{
    struct pn_policy_operand operand;
    enum pn_rc rc = pn_policy_check_operand(check, node, "condition", PN_EXPR_WANT_BOOL, &operand);

    if (rc != PN_OK)
        return rc;
    condition->expr = operand.expr;
    if (operand.expr)
        return PN_OK;
    if (!operand.text.ptr)
        return pn_policy_node_error(check->err, node, "the attribute 'condition' is required");
    operand.text = pn_slice_trim(operand.text);
    condition->holds = pn_slice_case_eq_str(operand.text, "true");
    if (condition->holds || pn_slice_case_eq_str(operand.text, "false"))
        return PN_OK;
    return pn_policy_node_error(check->err, node,
                                "the attribute 'condition' must be an expression, @(…), or "
                                "\"true\" or \"false\"");
}
