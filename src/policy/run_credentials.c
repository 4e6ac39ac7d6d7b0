/* SPDX-License-Identifier: Apache-2.0
 *
 * Run: what becomes of the Authorization header. Fail closed: without the token that a policy asks
 * for the request goes no further, unless the policy says that it may.
 */
#include "policy/internal.h"

static enum pn_rc set_authorization(struct pn_policy_context *context, struct pn_slice value)
{
    (void)pn_headers_remove(&context->request_headers, PN_LIT("Authorization"));
    return pn_headers_add(&context->request_headers, PN_LIT("Authorization"), value);
}

enum pn_rc pn_policy_apply_basic(struct pn_policy_context *context,
                                 const struct pn_policy_statement *statement)
{
    return set_authorization(context, statement->authorization);
}

static enum pn_rc set_variable(struct pn_policy_context *context, struct pn_slice name,
                               struct pn_slice value)
{
    struct pn_policy_variable *variable = pn_arena_zalloc(context->arena, sizeof(*variable));

    if (!variable)
        return PN_NOMEM;
    variable->name = name;
    variable->value = pn_expr_string(pn_arena_dup(context->arena, value));
    if (!variable->value.s.ptr)
        return PN_NOMEM;
    variable->next = context->variables;
    context->variables = variable;
    return PN_OK;
}

static const char *explain(struct pn_policy_context *context,
                           const struct pn_policy_statement *statement, const char *cause)
{
    bool is_system = statement->identity.client_id.len == 0;
    const char *text = pn_arena_printf(
        context->arena, "There is no token of the %s identity%s%.*s for %.*s: %s",
        is_system ? "system-assigned" : "user-assigned", is_system ? "" : " with client id ",
        PN_FMT(statement->identity.client_id), PN_FMT(statement->identity.resource), cause);

    return text ? text : "There is no token of the managed identity.";
}

enum pn_rc pn_policy_apply_identity(struct pn_policy_context *context,
                                    const struct pn_policy_statement *statement, const char **why)
{
    const char *cause = "this gateway has no tokens";
    struct pn_slice token = {0};
    const char *value;

    if (!context->find_token ||
        !context->find_token(context->host, statement->identity.token, &token, &cause)) {
        if (statement->identity.ignores_error)
            return PN_OK;
        *why = explain(context, statement, cause);
        return PN_DENIED;
    }
    if (statement->identity.variable.len > 0)
        return set_variable(context, statement->identity.variable, token);
    value = pn_arena_printf(context->arena, "Bearer %.*s", PN_FMT(token));
    return value ? set_authorization(context, pn_slice_str(value)) : PN_NOMEM;
}
