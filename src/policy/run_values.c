/* SPDX-License-Identifier: Apache-2.0
 *
 * Run: what operands give for this request. A literal costs nothing; an expression is evaluated,
 * and what it gives is held to the same rules as a literal was when the document was written.
 * Nothing of a value is in a message.
 */
#include "policy/internal.h"

static enum pn_rc no_memory(struct pn_policy_fault *fault)
{
    *fault = (struct pn_policy_fault){
        "OutOfMemory", "The request needs more memory than one request may have.", "policy_failed"};
    return PN_NOMEM;
}

static enum pn_rc failed(struct pn_policy_context *context, enum pn_rc rc, const char *why,
                         struct pn_policy_fault *fault)
{
    const char *message;

    if (rc == PN_NOMEM)
        return no_memory(fault);
    message = pn_arena_printf(context->arena, "Expression evaluation failed. %s", why ? why : "");
    fault->reason = "ExpressionValueEvaluationFailure";
    fault->message = message ? message : "Expression evaluation failed.";
    fault->code = rc == PN_LIMIT ? "expression_limit" : "expression_failed";
    return rc;
}

static enum pn_rc evaluate(struct pn_policy_context *context, const struct pn_expr *expr,
                           struct pn_expr_value *value, struct pn_policy_fault *fault)
{
    struct pn_expr_result result;
    enum pn_rc rc = pn_expr_run(expr, context, &result);

    if (rc != PN_OK)
        return failed(context, rc, result.why, fault);
    *value = result.value;
    return PN_OK;
}

enum pn_rc pn_policy_value_fault(struct pn_policy_context *context, const char *what,
                                 const char *problem, struct pn_policy_fault *fault)
{
    const char *why = pn_arena_printf(context->arena, "%s %s", what, problem);

    return failed(context, PN_INVALID, why, fault);
}

enum pn_rc pn_policy_text(struct pn_policy_context *context, const struct pn_expr *expr,
                          struct pn_slice literal, struct pn_slice *text,
                          struct pn_policy_fault *fault)
{
    struct pn_expr_value value = pn_expr_null();
    enum pn_rc rc;

    *text = literal;
    if (!expr)
        return PN_OK;
    rc = evaluate(context, expr, &value, fault);
    *text = value.s.ptr ? value.s : pn_slice("", 0);
    return rc;
}

enum pn_rc pn_policy_holds(struct pn_policy_context *context,
                           const struct pn_policy_condition *condition, bool *holds,
                           struct pn_policy_fault *fault)
{
    struct pn_expr_value value = pn_expr_bool(condition->holds);
    enum pn_rc rc = condition->expr ? evaluate(context, condition->expr, &value, fault) : PN_OK;

    *holds = rc == PN_OK && value.b;
    return rc;
}

enum pn_rc pn_policy_number(struct pn_policy_context *context, const struct pn_expr *expr,
                            int64_t min, int64_t max, const char *what, int64_t *number,
                            struct pn_policy_fault *fault)
{
    struct pn_expr_value value = pn_expr_null();
    enum pn_rc rc = evaluate(context, expr, &value, fault);

    if (rc != PN_OK)
        return rc;
    *number = value.i;
    if (value.i >= min && value.i <= max)
        return PN_OK;
    return pn_policy_value_fault(context, what, "is out of its range", fault);
}

enum pn_rc pn_policy_set_variable(struct pn_policy_context *context, struct pn_slice name,
                                  const struct pn_policy_operand *value,
                                  struct pn_policy_fault *fault)
{
    struct pn_policy_variable *variable = context->variables;
    struct pn_expr_value result = pn_expr_string(value->text);
    enum pn_rc rc = value->expr ? evaluate(context, value->expr, &result, fault) : PN_OK;

    if (rc != PN_OK)
        return rc;
    while (variable && !pn_slice_eq(variable->name, name))
        variable = variable->next;
    if (variable) { /* set again: the memory of a request does not grow by that */
        variable->value = result;
        return PN_OK;
    }
    variable = pn_arena_zalloc(context->arena, sizeof(*variable));
    if (!variable)
        return no_memory(fault);
    *variable =
        (struct pn_policy_variable){.name = name, .value = result, .next = context->variables};
    context->variables = variable;
    return PN_OK;
}

/** A value that a header may have; of a query parameter, any. */
static enum pn_rc change_value(struct pn_policy_context *context,
                               const struct pn_policy_change *change,
                               const struct pn_policy_operand *operand, struct pn_slice *value,
                               struct pn_policy_fault *fault)
{
    enum pn_rc rc = pn_policy_text(context, operand->expr, operand->text, value, fault);

    if (rc != PN_OK || !operand->expr)
        return rc;
    *value = pn_slice_trim(*value);
    if (change->is_header && value->len > 0 && !pn_header_value_is_valid(*value))
        return pn_policy_value_fault(context, "The value of a header",
                                     "has a line end or a control character in it", fault);
    return PN_OK;
}

enum pn_rc pn_policy_change_values(struct pn_policy_context *context,
                                   const struct pn_policy_change *change,
                                   struct pn_policy_values *values, struct pn_policy_fault *fault)
{
    struct pn_slice *items = NULL;
    const char *problem;
    enum pn_rc rc =
        pn_policy_text(context, change->name.expr, change->name.text, &values->name, fault);

    if (rc == PN_OK && change->name.expr) {
        problem = pn_policy_name_problem(values->name, change->is_header);
        if (problem)
            rc = pn_policy_value_fault(context, "The name", problem, fault);
    }
    values->count = change->value_count;
    values->items = NULL;
    if (rc != PN_OK || change->value_count == 0)
        return rc;
    items = pn_arena_alloc(context->arena, change->value_count * sizeof(items[0]));
    if (!items)
        return no_memory(fault);
    for (size_t i = 0; rc == PN_OK && i < change->value_count; i++)
        rc = change_value(context, change, &change->values[i], &items[i], fault);
    values->items = items;
    return rc;
}
