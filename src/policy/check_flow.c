/* SPDX-License-Identifier: Apache-2.0
 *
 * The statements around others, and about variables: choose, set-variable; and set-method,
 * set-status.
 */
#include <string.h>

#include "policy/internal.h"

#define VARIABLE_LENGTH_MAX 256u
#define METHOD_LENGTH_MAX   32u

static enum pn_rc no_content(struct pn_policy_check *check, const struct pn_policy_node *node)
{
    enum pn_rc rc = pn_policy_check_no_text(check, node);

    return rc == PN_OK ? pn_policy_check_no_children(check, node) : rc;
}

/* ---- choose */

static enum pn_rc check_branch(struct pn_policy_check *check, struct pn_policy_node *branch)
{
    static const char *const known[] = {"condition", NULL};
    bool is_when = strcmp(branch->name, "when") == 0;
    struct pn_policy_condition *condition;
    enum pn_rc rc;

    if (is_when)
        rc = pn_policy_check_mixed(check, branch, known, known, NULL, false);
    else
        rc = pn_policy_check_attributes(check, branch, NULL, NULL, false);
    if (rc != PN_OK)
        return rc;
    condition = pn_arena_zalloc(check->arena, sizeof(*condition));
    if (!condition)
        return pn_error_set(check->err, PN_NOMEM, "out_of_memory", "out of memory");
    condition->holds = true;
    branch->branch = condition;
    if (is_when)
        rc = pn_policy_check_condition(check, branch, condition);
    return rc == PN_OK ? pn_policy_check_statements(check, branch, false) : rc;
}

/* Recursion by what is in the branches: as deep as the document (PN_POLICY_DEPTH_MAX). */
enum pn_rc pn_policy_check_choose(struct pn_policy_check *check, struct pn_policy_node *node,
                                  struct pn_policy_statement *statement)
{
    enum { NOTHING, WHEN, OTHERWISE } last = NOTHING;
    enum pn_rc rc = pn_policy_check_attributes(check, node, NULL, NULL, true);

    if (rc == PN_OK)
        rc = pn_policy_check_no_text(check, node);
    for (struct pn_policy_node *child = pn_policy_element(node->first_child); rc == PN_OK && child;
         child = pn_policy_element(child->next)) {
        bool is_when = strcmp(child->name, "when") == 0;

        if (last == OTHERWISE || (!is_when && strcmp(child->name, "otherwise") != 0) ||
            (!is_when && last == NOTHING))
            return pn_policy_node_error(check->err, child,
                                        "choose takes, in this order: when (at least one), "
                                        "otherwise (at most one)");
        last = is_when ? WHEN : OTHERWISE;
        rc = check_branch(check, child);
    }
    if (rc == PN_OK && last == NOTHING)
        return pn_policy_node_error(check->err, node, "choose needs at least one <when>");
    statement->choose = node;
    return rc;
}

/* ---- set-variable */

enum pn_rc pn_policy_check_variable(struct pn_policy_check *check, struct pn_policy_node *node,
                                    struct pn_policy_statement *statement)
{
    static const char *const known[] = {"name", "value", NULL};
    static const char *const mixed[] = {"value", NULL};
    struct pn_slice name = pn_policy_attribute(node, "name");
    enum pn_rc rc = pn_policy_check_mixed(check, node, known, mixed, NULL, true);

    if (rc == PN_OK)
        rc = no_content(check, node);
    if (rc == PN_OK)
        rc = pn_policy_check_operand(check, node, "value", PN_EXPR_WANT_ANY,
                                     &statement->variable.value);
    if (rc != PN_OK)
        return rc;
    if (name.len == 0 || name.len > VARIABLE_LENGTH_MAX)
        return pn_policy_node_error(check->err, node,
                                    "the attribute 'name' must have 1 to %u characters",
                                    VARIABLE_LENGTH_MAX);
    if (!statement->variable.value.text.ptr)
        return pn_policy_node_error(check->err, node, "the attribute 'value' is required");
    statement->variable.name = name;
    return PN_OK;
}

/* ---- set-method */

enum pn_rc pn_policy_check_method(struct pn_policy_check *check, struct pn_policy_node *node,
                                  struct pn_policy_statement *statement)
{
    enum pn_rc rc = pn_policy_check_attributes(check, node, NULL, NULL, true);
    const char *problem;

    if (rc == PN_OK)
        rc = pn_policy_check_no_children(check, node);
    if (rc == PN_OK)
        rc = pn_policy_check_operand(check, node, NULL, PN_EXPR_WANT_TEXT, &statement->method);
    if (rc != PN_OK || statement->method.expr)
        return rc;
    statement->method.text = pn_slice_trim(statement->method.text);
    problem = pn_policy_method_problem(statement->method.text);
    return problem ? pn_policy_node_error(check->err, node, "the text %s", problem) : PN_OK;
}

const char *pn_policy_method_problem(struct pn_slice method)
{
    if (method.len == 0 || method.len > METHOD_LENGTH_MAX || !pn_header_name_is_valid(method))
        return "must be a method, such as GET, of at most 32 letters"; /* a token, RFC 9110 §9.1 */
    /* Its answer is no message but a tunnel. */
    return pn_slice_eq_str(method, "CONNECT") ? "must not be CONNECT" : NULL;
}

/* ---- set-status */

enum pn_rc pn_policy_check_status(struct pn_policy_check *check, struct pn_policy_node *node,
                                  struct pn_policy_statement *statement)
{
    return pn_policy_check_status_line(check, node, &statement->status, true);
}
