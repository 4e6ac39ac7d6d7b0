/* SPDX-License-Identifier: Apache-2.0
 *
 * Run: one step after the other until something takes time, ends the request, or fails. Allocates
 * in the request's arena only.
 */
#include <string.h>

#include "policy/internal.h"

void pn_policy_run_init(struct pn_policy_run *run, const struct pn_policy_program *program,
                        enum pn_policy_section section)
{
    *run = (struct pn_policy_run){.program = program, .section = section};
}

static void apply_certificate(struct pn_policy_context *context, const struct pn_policy_step *step)
{
    const struct pn_policy_statement *statement = step->statement;

    context->certificate_scope = step->scope;
    context->certificate_id = statement->certificate.certificate_id;
    context->certificate_ids = statement->certificate.certificate_ids;
    context->certificate_id_count = statement->certificate.certificate_id_count;
    context->certificate_thumbprint = statement->certificate.thumbprint;
    context->certificate_embedded = statement->certificate.embedded;
}

static enum pn_rc apply_header(struct pn_headers *headers, const struct pn_policy_change *change)
{
    enum pn_rc rc = PN_OK;

    switch (change->action) {
    case PN_ACTION_DELETE:
        (void)pn_headers_remove(headers, change->name);
        return PN_OK;
    case PN_ACTION_SKIP:
        for (size_t i = 0; i < headers->count; i++)
            if (pn_slice_case_eq(headers->items[i].name, change->name))
                return PN_OK;
        break;
    case PN_ACTION_OVERRIDE:
        (void)pn_headers_remove(headers, change->name);
        break;
    case PN_ACTION_APPEND:
        break;
    }
    for (size_t i = 0; rc == PN_OK && i < change->value_count; i++)
        rc = pn_headers_add(headers, change->name, change->values[i]);
    return rc;
}

/* A response of its own: nothing of a backend's answer is left in it. */
static enum pn_rc apply_response(struct pn_policy_context *context,
                                 const struct pn_policy_statement *statement)
{
    enum pn_rc rc = PN_OK;

    context->has_response = true;
    context->status = statement->response.status;
    context->reason = statement->response.reason;
    pn_headers_init(&context->response_headers, context->arena);
    context->has_response_body = true;
    context->response_body = statement->response.body;
    for (size_t i = 0; rc == PN_OK && i < statement->response.header_count; i++)
        rc = apply_header(&context->response_headers, &statement->response.headers[i]);
    return rc;
}

static enum pn_policy_event fail(const struct pn_policy_run *run, struct pn_policy_context *context,
                                 const struct pn_policy_step *step, const char *reason,
                                 const char *message)
{
    context->last_error.source = step->statement->element;
    context->last_error.reason = reason;
    context->last_error.message = message;
    context->last_error.scope = pn_policy_scope_name(step->scope);
    context->last_error.section = pn_policy_section_name(run->section);
    context->last_error.policy_id = step->statement->id;
    context->last_error.code = "policy_failed";
    return PN_POLICY_FAIL;
}

static enum pn_policy_event fail_rewrite(const struct pn_policy_run *run,
                                         struct pn_policy_context *context,
                                         const struct pn_policy_step *step, struct pn_slice missing)
{
    const char *message = pn_arena_printf(context->arena,
                                          "The template of rewrite-uri names the parameter '%.*s', "
                                          "which the operation's URL template "
                                          "does not have.",
                                          PN_FMT(missing));

    return fail(run, context, step, "TemplateParameterNotFound",
                message ? message : "A parameter of rewrite-uri's template is missing.");
}

static enum pn_policy_event fail_identity(const struct pn_policy_run *run,
                                          struct pn_policy_context *context,
                                          const struct pn_policy_step *step, const char *why)
{
    enum pn_policy_event event = fail(run, context, step, "ManagedIdentityTokenNotAcquired", why);

    context->last_error.code = "identity_token_missing";
    return event;
}

enum pn_policy_event pn_policy_resume(struct pn_policy_run *run, struct pn_policy_context *context)
{
    const struct pn_policy_step *steps = run->program->sections[run->section].steps;
    size_t count = run->program->sections[run->section].count;
    bool is_request = run->section == PN_SECTION_INBOUND || run->section == PN_SECTION_BACKEND;

    while (run->position < count) {
        const struct pn_policy_step *step = &steps[run->position++];
        const struct pn_policy_statement *statement = step->statement;
        struct pn_slice missing = {0};
        const char *why = NULL;
        enum pn_rc rc = PN_OK;

        switch (statement->kind) {
        case PN_STATEMENT_BASE: /* replaced when the program was compiled */
            break;
        case PN_STATEMENT_CERTIFICATE:
            apply_certificate(context, step);
            break;
        case PN_STATEMENT_BASIC:
            rc = pn_policy_apply_basic(context, statement);
            break;
        case PN_STATEMENT_IDENTITY:
            rc = pn_policy_apply_identity(context, statement, &why);
            break;
        case PN_STATEMENT_BACKEND:
            context->base_url = statement->backend.base_url;
            context->backend_id = statement->backend.backend_id;
            context->backend_scope = step->scope;
            break;
        case PN_STATEMENT_FORWARD:
            run->forward = statement->forward;
            return PN_POLICY_FORWARD;
        case PN_STATEMENT_HEADER:
            rc = apply_header(is_request ? &context->request_headers : &context->response_headers,
                              &statement->change);
            break;
        case PN_STATEMENT_QUERY:
            rc = pn_policy_apply_query(context, &statement->change);
            break;
        case PN_STATEMENT_REWRITE:
            rc = pn_policy_apply_rewrite(context, statement, &missing);
            break;
        case PN_STATEMENT_RESPONSE:
            rc = apply_response(context, statement);
            if (rc == PN_OK)
                return PN_POLICY_RESPOND;
            break;
        }
        if (rc == PN_DENIED)
            return fail_identity(run, context, step, why);
        if (rc == PN_NOT_FOUND)
            return fail_rewrite(run, context, step, missing);
        if (rc == PN_MALFORMED)
            return fail(run, context, step, "TemplateParameterInvalid",
                        "A parameter's value makes a dot segment in the path of rewrite-uri.");
        if (rc != PN_OK)
            return fail(run, context, step, "OutOfMemory",
                        "The request needs more memory than one request may have.");
    }
    return PN_POLICY_DONE;
}
