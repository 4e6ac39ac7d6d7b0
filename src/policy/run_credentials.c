/* SPDX-License-Identifier: Apache-2.0
 *
 * Run: what becomes of the Authorization header. Fail closed: without the token that a policy asks
 * for the request goes no further, unless the policy says that it may.
 */
#include "base/encode.h"
#include "policy/internal.h"

static enum pn_rc set_authorization(struct pn_policy_context *context, struct pn_slice value)
{
    (void)pn_headers_remove(&context->request_headers, PN_LIT("Authorization"));
    return pn_headers_add(&context->request_headers, PN_LIT("Authorization"), value);
}

static enum pn_rc no_memory(struct pn_policy_fault *fault)
{
    *fault = (struct pn_policy_fault){
        "OutOfMemory", "The request needs more memory than one request may have.", "policy_failed"};
    return PN_NOMEM;
}

/** As it is written for literals when the document is read; the buffer is wiped, and so is, in the
 *  end, what the arena has of it. */
static enum pn_rc make_authorization(struct pn_policy_context *context, struct pn_slice username,
                                     struct pn_slice password, struct pn_slice *value)
{
    struct pn_buf text;
    enum pn_rc rc;

    pn_arena_mark_secret(context->arena);
    pn_buf_init_secret(&text, 2 * (username.len + password.len) + 16);
    rc = pn_basic_credentials(username, password, &text);
    *value = rc == PN_OK ? pn_arena_dup(context->arena, pn_buf_slice(&text)) : pn_slice(NULL, 0);
    pn_buf_fini(&text);
    return value->ptr ? PN_OK : PN_NOMEM;
}

enum pn_rc pn_policy_apply_basic(struct pn_policy_context *context,
                                 const struct pn_policy_statement *statement,
                                 struct pn_policy_fault *fault)
{
    struct pn_slice value = statement->basic.authorization;
    struct pn_slice username, password;
    const char *problem;
    enum pn_rc rc = PN_OK;

    if (!value.ptr) {
        rc = pn_policy_text(context, statement->basic.username.expr, statement->basic.username.text,
                            &username, fault);
        if (rc == PN_OK)
            rc = pn_policy_text(context, statement->basic.password.expr,
                                statement->basic.password.text, &password, fault);
        if (rc != PN_OK)
            return rc;
        problem = pn_policy_user_problem(username);
        if (problem)
            return pn_policy_value_fault(context, "The user name", problem, fault);
        problem = pn_policy_password_problem(password);
        if (problem)
            return pn_policy_value_fault(context, "The password", problem, fault);
        rc = make_authorization(context, username, password, &value);
    }
    if (rc == PN_OK)
        rc = set_authorization(context, value);
    return rc == PN_OK ? rc : no_memory(fault);
}

/* ---- which client certificate */

/** Fail closed: what names no certificate fails the request, here or, of one that is unknown, where
 *  the identity is fixed. The former choice is kept only by a statement that does not run. */
enum pn_rc pn_policy_apply_certificate(struct pn_policy_context *context,
                                       const struct pn_policy_step *step,
                                       struct pn_policy_fault *fault)
{
    const struct pn_policy_statement *statement = step->statement;
    struct pn_slice id = statement->certificate.certificate_id;
    struct pn_slice thumbprint = statement->certificate.thumbprint;
    enum pn_rc rc = pn_policy_text(context, statement->certificate.id_expr, id, &id, fault);

    if (rc == PN_OK)
        rc = pn_policy_text(context, statement->certificate.thumbprint_expr, thumbprint,
                            &thumbprint, fault);
    if (rc != PN_OK)
        return rc;
    if (statement->certificate.id_expr && !pn_policy_is_resource_name(id))
        return pn_policy_value_fault(context, "What certificate-id gives",
                                     "is not the name of a certificate", fault);
    if (statement->certificate.thumbprint_expr) {
        thumbprint = pn_policy_thumbprint(context->arena, thumbprint);
        if (!thumbprint.ptr)
            return pn_policy_value_fault(context, "What thumbprint gives",
                                         "is not a SHA-1 thumbprint of 40 hex digits", fault);
    }
    context->certificate_scope = step->scope;
    context->certificate_id = id;
    context->certificate_ids = statement->certificate.certificate_ids;
    context->certificate_id_count = statement->certificate.certificate_id_count;
    context->certificate_thumbprint = thumbprint;
    context->certificate_embedded = statement->certificate.embedded;
    return PN_OK;
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
