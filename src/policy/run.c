/* SPDX-License-Identifier: Apache-2.0
 *
 * Run: one step after the other until something takes time, ends the request, or fails. Allocates
 * in the request's arena only.
 */
#include <string.h>

#include "http/uri.h"
#include "policy/internal.h"

void pn_policy_run_init(struct pn_policy_run *run, const struct pn_policy_program *program,
                        enum pn_policy_section section)
{
    *run = (struct pn_policy_run){.program = program, .section = section};
}

static enum pn_rc no_memory(struct pn_policy_fault *fault)
{
    *fault = (struct pn_policy_fault){
        "OutOfMemory", "The request needs more memory than one request may have.", "policy_failed"};
    return PN_NOMEM;
}

static bool has_header(const struct pn_headers *headers, struct pn_slice name)
{
    for (size_t i = 0; i < headers->count; i++)
        if (pn_slice_case_eq(headers->items[i].name, name))
            return true;
    return false;
}

/** All values are known before anything is changed: they may be made of what is changed. */
static enum pn_rc apply_header(struct pn_policy_context *context, struct pn_headers *headers,
                               const struct pn_policy_change *change, struct pn_policy_fault *fault)
{
    struct pn_policy_values values;
    enum pn_rc rc = pn_policy_change_values(context, change, &values, fault);

    if (rc != PN_OK || (change->action == PN_ACTION_SKIP && has_header(headers, values.name)))
        return rc;
    if (change->action == PN_ACTION_OVERRIDE || change->action == PN_ACTION_DELETE)
        (void)pn_headers_remove(headers, values.name);
    if (change->action == PN_ACTION_DELETE)
        return PN_OK;
    for (size_t i = 0; rc == PN_OK && i < values.count; i++)
        rc = pn_headers_add(headers, values.name, values.items[i]);
    return rc == PN_OK ? rc : no_memory(fault);
}

static enum pn_rc apply_query(struct pn_policy_context *context,
                              const struct pn_policy_change *change, struct pn_policy_fault *fault)
{
    struct pn_policy_values values;
    enum pn_rc rc = pn_policy_change_values(context, change, &values, fault);

    if (rc == PN_OK && pn_policy_apply_query(context, change->action, &values) != PN_OK)
        rc = no_memory(fault);
    return rc;
}

static enum pn_rc read_status(struct pn_policy_context *context,
                              const struct pn_policy_status_line *line, int *status,
                              struct pn_slice *reason, struct pn_policy_fault *fault)
{
    int64_t code = line->status;
    enum pn_rc rc = PN_OK;

    if (line->code.expr)
        rc = pn_policy_number(context, line->code.expr, 200, 599, "The status code", &code, fault);
    if (rc == PN_OK)
        rc = pn_policy_text(context, line->reason.expr, line->reason.text, reason, fault);
    if (rc == PN_OK && line->reason.expr) {
        *reason = pn_slice_trim(*reason);
        if (reason->len > 0 && !pn_header_value_is_valid(*reason))
            rc = pn_policy_value_fault(context, "The reason", "is more than one line of text",
                                       fault);
    }
    *status = (int)code;
    return rc;
}

/* A response of its own: nothing of a backend's answer is left in it; what it is made of may be, so
 * all is evaluated before. */
static enum pn_rc apply_response(struct pn_policy_context *context,
                                 const struct pn_policy_statement *statement,
                                 struct pn_policy_fault *fault)
{
    struct pn_headers headers;
    struct pn_slice reason, body;
    int status = 0;
    enum pn_rc rc = read_status(context, &statement->response.line, &status, &reason, fault);

    pn_headers_init(&headers, context->arena);
    for (size_t i = 0; rc == PN_OK && i < statement->response.header_count; i++)
        rc = apply_header(context, &headers, &statement->response.headers[i], fault);
    if (rc == PN_OK)
        rc = pn_policy_text(context, statement->response.body.expr, statement->response.body.text,
                            &body, fault);
    if (rc != PN_OK)
        return rc;
    context->has_response = true;
    context->status = status;
    context->reason = reason;
    context->response_headers = headers;
    context->has_response_body = true;
    context->response_body = body;
    return PN_OK;
}

/* A URL that an expression has made, perhaps of what the client sent: it stays below the path that
 * its author has begun. */
static const char *path_problem(struct pn_slice url, struct pn_arena *arena)
{
    struct pn_uri uri;
    struct pn_slice normal;

    if (pn_uri_parse(url, &uri, NULL) != PN_OK)
        return "is not a URL";
    if (pn_path_has_dots(uri.path))
        return "has a dot segment in its path";
    if (pn_path_normalise(uri.path, arena, &normal) == PN_MALFORMED)
        return "has a '%' that is no escape, or %00, in its path";
    return NULL;
}

/* "A base document's backend-id can be overridden only by another backend-id, not by base-url." */
static enum pn_rc apply_backend(struct pn_policy_context *context,
                                const struct pn_policy_step *step, struct pn_policy_fault *fault)
{
    const struct pn_policy_statement *statement = step->statement;
    bool is_url = statement->backend.base_url.ptr || statement->backend.url_expr;
    struct pn_slice url = statement->backend.base_url;
    struct pn_slice id = statement->backend.backend_id;
    const char *problem = NULL;
    enum pn_rc rc;

    if (is_url && context->backend_id.ptr && context->backend_scope < step->scope)
        return PN_OK;
    rc = pn_policy_text(context, statement->backend.url_expr, url, &url, fault);
    if (rc == PN_OK)
        rc = pn_policy_text(context, statement->backend.id_expr, id, &id, fault);
    if (rc != PN_OK)
        return rc;
    if (statement->backend.url_expr) {
        url = pn_slice_trim(url);
        problem = pn_policy_url_problem(url);
        if (!problem)
            problem = path_problem(url, context->arena);
    }
    if (problem)
        return pn_policy_value_fault(context, "What base-url gives", problem, fault);
    if (statement->backend.id_expr && !pn_policy_is_resource_name(id))
        return pn_policy_value_fault(context, "What backend-id gives",
                                     "is not the name of a backend", fault);
    context->base_url = url;
    context->backend_id = id;
    context->backend_scope = step->scope;
    return PN_OK;
}

static enum pn_rc apply_forward(struct pn_policy_run *run, struct pn_policy_context *context,
                                const struct pn_policy_statement *statement,
                                struct pn_policy_fault *fault)
{
    int64_t number = 0;
    enum pn_rc rc = PN_OK;

    run->forward = statement->forward.how;
    if (statement->forward.timeout) {
        rc = pn_policy_number(context, statement->forward.timeout, 1, PN_POLICY_TIMEOUT_S_MAX,
                              "The timeout", &number, fault);
        run->forward.timeout_ms = (uint64_t)number * 1000;
    }
    if (rc == PN_OK && statement->forward.timeout_ms) {
        rc = pn_policy_number(context, statement->forward.timeout_ms, 1,
                              PN_POLICY_TIMEOUT_S_MAX * INT64_C(1000), "The timeout", &number,
                              fault);
        run->forward.timeout_ms = (uint64_t)number;
    }
    if (rc == PN_OK && statement->forward.follows_redirects) {
        const struct pn_policy_condition follows = {.expr = statement->forward.follows_redirects};

        rc = pn_policy_holds(context, &follows, &run->forward.follows_redirects, fault);
    }
    return rc;
}

static enum pn_rc apply_method(struct pn_policy_context *context,
                               const struct pn_policy_statement *statement,
                               struct pn_policy_fault *fault)
{
    struct pn_slice method = {0};
    const char *problem;
    enum pn_rc rc =
        pn_policy_text(context, statement->method.expr, statement->method.text, &method, fault);

    if (rc != PN_OK)
        return rc;
    method = pn_slice_trim(method);
    problem = pn_policy_method_problem(method);
    if (problem)
        return pn_policy_value_fault(context, "What set-method gives", problem, fault);
    context->method = method;
    return PN_OK;
}

/** The rest of a fault of rewrite-uri, which has reasons of its own. */
static enum pn_rc explain_rewrite(struct pn_policy_context *context, enum pn_rc rc,
                                  struct pn_slice missing, struct pn_policy_fault *fault)
{
    const char *message;

    if (rc == PN_MALFORMED) {
        *fault = (struct pn_policy_fault){
            "TemplateParameterInvalid",
            "A parameter's value makes a dot segment in the path of rewrite-uri.", "policy_failed"};
        return rc;
    }
    if (rc == PN_INVALID) {
        *fault = (struct pn_policy_fault){"TemplateParameterInvalid",
                                          "The path that rewrite-uri makes has a '%' that is no "
                                          "escape, or %00.",
                                          "policy_failed"};
        return rc;
    }
    if (rc != PN_NOT_FOUND)
        return rc == PN_OK ? rc : no_memory(fault);
    message = pn_arena_printf(context->arena,
                              "The template of rewrite-uri names the parameter '%.*s', "
                              "which the operation's URL template "
                              "does not have.",
                              PN_FMT(missing));
    *fault = (struct pn_policy_fault){
        "TemplateParameterNotFound",
        message ? message : "A parameter of rewrite-uri's template is missing.", "policy_failed"};
    return rc;
}

static enum pn_rc apply_rewrite(struct pn_policy_context *context,
                                const struct pn_policy_statement *statement,
                                struct pn_policy_fault *fault)
{
    struct pn_slice path = statement->rewrite.path;
    struct pn_slice query = statement->rewrite.query;
    struct pn_slice missing = {0};
    struct pn_slice text = {0};
    const char *problem;
    enum pn_rc rc = PN_OK;

    if (statement->rewrite.expr) {
        rc = pn_policy_text(context, statement->rewrite.expr, text, &text, fault);
        if (rc != PN_OK)
            return rc;
        text = pn_slice_trim(text);
        problem = pn_policy_template_problem(text);
        if (problem)
            return pn_policy_value_fault(context, "What template gives", problem, fault);
        path = pn_slice_sub(text, 0, pn_slice_find(text, '?'));
        query = pn_slice_sub(text, path.len + 1, text.len);
    }
    rc = pn_policy_apply_rewrite(context, path, query, statement->rewrite.copy_unmatched, &missing);
    return explain_rewrite(context, rc, missing, fault);
}

static enum pn_rc apply_identity(struct pn_policy_context *context,
                                 const struct pn_policy_statement *statement,
                                 struct pn_policy_fault *fault)
{
    const char *why = NULL;
    enum pn_rc rc = pn_policy_apply_identity(context, statement, &why);

    if (rc == PN_DENIED)
        *fault = (struct pn_policy_fault){"ManagedIdentityTokenNotAcquired", why,
                                          "identity_token_missing"};
    else if (rc != PN_OK)
        return no_memory(fault);
    return rc;
}

static enum pn_policy_event fail(const struct pn_policy_run *run, struct pn_policy_context *context,
                                 const struct pn_policy_step *step,
                                 const struct pn_policy_fault *fault)
{
    context->last_error.source = step->statement->element;
    context->last_error.reason = fault->reason;
    context->last_error.message = fault->message;
    context->last_error.scope = pn_policy_scope_name(step->scope);
    context->last_error.section = pn_policy_section_name(run->section);
    context->last_error.policy_id = step->statement->id;
    context->last_error.code = fault->code;
    return PN_POLICY_FAIL;
}

/** Takes the step; *event PN_POLICY_DONE: the run goes on. */
static enum pn_rc take_step(struct pn_policy_run *run, struct pn_policy_context *context,
                            const struct pn_policy_step *step, enum pn_policy_event *event,
                            struct pn_policy_fault *fault)
{
    const struct pn_policy_statement *statement = step->statement;
    bool is_request = run->section == PN_SECTION_INBOUND || run->section == PN_SECTION_BACKEND;
    bool holds = false;
    enum pn_rc rc;

    *event = PN_POLICY_DONE;
    switch (statement->kind) {
    case PN_STATEMENT_BASE: /* replaced when the program was compiled */
    case PN_STATEMENT_CHOOSE:
        return PN_OK;
    case PN_STATEMENT_UNLESS:
        rc = pn_policy_holds(context, step->condition, &holds, fault);
        if (rc == PN_OK && !holds)
            run->position = step->target;
        return rc;
    case PN_STATEMENT_GOTO:
        run->position = step->target;
        return PN_OK;
    case PN_STATEMENT_CERTIFICATE:
        return pn_policy_apply_certificate(context, step, fault);
    case PN_STATEMENT_BASIC:
        return pn_policy_apply_basic(context, statement, fault);
    case PN_STATEMENT_IDENTITY:
        return apply_identity(context, statement, fault);
    case PN_STATEMENT_BACKEND:
        return apply_backend(context, step, fault);
    case PN_STATEMENT_FORWARD:
        *event = PN_POLICY_FORWARD;
        return apply_forward(run, context, statement, fault);
    case PN_STATEMENT_HEADER:
        return apply_header(context,
                            is_request ? &context->request_headers : &context->response_headers,
                            &statement->change, fault);
    case PN_STATEMENT_QUERY:
        return apply_query(context, &statement->change, fault);
    case PN_STATEMENT_REWRITE:
        return apply_rewrite(context, statement, fault);
    case PN_STATEMENT_RESPONSE:
        *event = PN_POLICY_RESPOND;
        return apply_response(context, statement, fault);
    case PN_STATEMENT_STATUS:
        return read_status(context, &statement->status, &context->status, &context->reason, fault);
    case PN_STATEMENT_METHOD:
        return apply_method(context, statement, fault);
    case PN_STATEMENT_VARIABLE:
        return pn_policy_set_variable(context, statement->variable.name, &statement->variable.value,
                                      fault);
    }
    return PN_INTERNAL;
}

/** Jumps go forward only, so that a run ends. */
enum pn_policy_event pn_policy_resume(struct pn_policy_run *run, struct pn_policy_context *context)
{
    const struct pn_policy_step *steps = run->program->sections[run->section].steps;
    size_t count = run->program->sections[run->section].count;

    while (run->position < count) {
        const struct pn_policy_step *step = &steps[run->position++];
        struct pn_policy_fault fault = {0};
        enum pn_policy_event event;

        if (take_step(run, context, step, &event, &fault) != PN_OK)
            return fail(run, context, step, &fault);
        if (event != PN_POLICY_DONE)
            return event;
    }
    return PN_POLICY_DONE;
}
