/* SPDX-License-Identifier: Apache-2.0
 *
 * The backend section: where the request goes, with which certificate, and what comes back.
 *
 * Fail closed (promise 2): a certificate that is named but unknown, expired or not yet valid ends
 * the request; so does one for a backend without TLS. There is no way on without it.
 */
#include <string.h>

#include "base/log.h"
#include "gateway/call.h"
#include "http/uri.h"

static void fail(struct pn_call *call, const char *code, const char *detail)
{
    struct pn_call_error error = {.status = 500,
                                  .code = code,
                                  .source = "forward-request",
                                  .reason = "BackendConnectionFailure",
                                  .message = "The request could not be forwarded to the backend.",
                                  .detail = detail};

    pn_call_fail(call, &error);
}

/* --- where --- */

static const struct pn_target *choose_target(struct pn_call *call)
{
    const struct pn_policy_context *context = &call->context;
    struct pn_error err = {.rc = PN_OK};

    call->backend = NULL;
    if (context->backend_id.ptr) {
        call->backend = pn_snapshot_backend(call->pin->snapshot, context->backend_id);
        if (call->backend)
            return &call->backend->target;
        fail(call, "backend_unknown", "the policy names a backend that does not exist");
        return NULL;
    }
    if (context->base_url.ptr) {
        if (pn_target_parse(context->base_url, &call->own_target, &err) == PN_OK)
            return &call->own_target;
        fail(call, "base_url_invalid", err.message);
        return NULL;
    }
    if (call->api->has_target)
        return &call->api->target;
    fail(call, "no_backend", "the API has no serviceUrl and no policy sets a backend");
    return NULL;
}

/* --- which certificate --- */

struct choice {
    bool is_demanded;
    const struct pn_client_certificate *certificate; /* NULL though demanded: unknown */
    const char *detail;
};

/** A policy's certificate wins over the backend's; ids over thumbprints. */
static struct choice choose_certificate(const struct pn_call *call)
{
    const struct pn_policy_context *context = &call->context;
    const struct pn_pin *pin = call->identity_pin ? call->identity_pin : call->pin;
    const struct pn_snapshot *snapshot = pin->snapshot;
    const struct pn_backend *backend = call->backend;
    struct choice choice = {.is_demanded = true};

    if (context->certificate_id.ptr) {
        choice.certificate = pn_snapshot_certificate(snapshot, context->certificate_id);
        choice.detail = "the policy names a certificate id that does not exist";
    } else if (context->certificate_thumbprint.ptr) {
        choice.certificate =
            pn_snapshot_certificate_by_thumbprint(snapshot, context->certificate_thumbprint);
        choice.detail = "the policy names a thumbprint that no certificate has";
    } else if (context->certificate_embedded.ptr) {
        choice.certificate =
            pn_snapshot_certificate_embedded(snapshot, context->certificate_embedded);
        choice.detail = "the policy's own certificate is not there";
    } else if (backend && backend->certificate_id_count > 0) {
        choice.certificate =
            pn_snapshot_certificate(snapshot, pn_slice_str(backend->certificate_ids[0]));
        choice.detail = "the backend names a certificate id that does not exist";
    } else if (backend && backend->thumbprint_count > 0) {
        choice.certificate =
            pn_snapshot_certificate_by_thumbprint(snapshot, pn_slice_str(backend->thumbprints[0]));
        choice.detail = "the backend names a thumbprint that no certificate has";
    } else {
        choice.is_demanded = false;
    }
    return choice;
}

/** false: the call has failed. */
static bool fix_identity(struct pn_call *call, const struct pn_target *target,
                         struct pn_demand *demand)
{
    struct choice choice = choose_certificate(call);
    struct pn_error err = {.rc = PN_OK};
    enum pn_rc rc;

    call->certificate = choice.certificate;
    demand->target = target;
    demand->tls = NULL;
    if (choice.is_demanded && !choice.certificate) {
        fail(call, "certificate_unknown", choice.detail);
        return false;
    }
    if (choice.certificate && !target->is_tls) {
        fail(call, "certificate_needs_tls",
             "a client certificate can be presented to an https:// backend only");
        return false;
    }
    if (choice.certificate &&
        pn_tls_certificate_check_time(choice.certificate->tls, pn_clock_unix_s(), &err) != PN_OK) {
        fail(call,
             strcmp(err.code, "certificate_not_yet_valid") == 0 ? "client_certificate_not_yet_valid"
                                                                : "client_certificate_expired",
             err.message);
        return false;
    }
    if (!target->is_tls)
        return true;
    rc = pn_worker_tls_client(
        call->worker, choice.certificate, call->backend ? call->backend->validate_chain : true,
        call->backend ? call->backend->validate_name : true, &demand->tls, &err);
    if (rc == PN_OK)
        return true;
    fail(call, rc == PN_UNAVAILABLE ? "no_trusted_ca" : "internal", err.message);
    return false;
}

/* --- the backend entity's other credentials --- */

static enum pn_rc apply_headers(struct pn_call *call, json_t *map)
{
    struct pn_headers *headers = &call->context.request_headers;
    const char *name;
    json_t *values, *value;
    size_t i;

    json_object_foreach(map, name, values)
    {
        (void)pn_headers_remove(headers, pn_slice_str(name));
        json_array_foreach(values, i, value)
        {
            enum pn_rc rc =
                pn_headers_add(headers, pn_slice_str(name), pn_slice_str(json_string_value(value)));

            if (rc != PN_OK)
                return rc;
        }
    }
    return PN_OK;
}

static enum pn_rc apply_query(struct pn_call *call, json_t *map)
{
    struct pn_policy_context *context = &call->context;
    const char *name;
    json_t *values, *value;
    size_t i;

    json_object_foreach(map, name, values)
    {
        enum pn_rc rc =
            pn_query_remove(context->query, pn_slice_str(name), call->arena, &context->query);

        json_array_foreach(values, i, value)
        {
            if (rc == PN_OK)
                rc = pn_query_append(context->query, pn_slice_str(name),
                                     pn_slice_str(json_string_value(value)), call->arena,
                                     &context->query);
        }
        if (rc != PN_OK)
            return rc;
    }
    return PN_OK;
}

static enum pn_rc apply_credentials(struct pn_call *call)
{
    const struct pn_backend *backend = call->backend;
    const char *value;
    enum pn_rc rc;

    if (!backend)
        return PN_OK;
    rc = apply_headers(call, backend->headers);
    if (rc == PN_OK)
        rc = apply_query(call, backend->query);
    if (rc != PN_OK || !backend->authorization_scheme)
        return rc;
    (void)pn_headers_remove(&call->context.request_headers, PN_LIT("Authorization"));
    value = pn_arena_printf(call->arena, "%s %s", backend->authorization_scheme,
                            backend->authorization_parameter);
    if (!value)
        return PN_NOMEM;
    return pn_headers_add(&call->context.request_headers, PN_LIT("Authorization"),
                          pn_slice_str(value));
}

/* --- sending --- */

static void on_exchange_failed(void *ctx);

/** A request may open its connection long after it began. If its certificate was replaced
 * meanwhile, the former key is gone: the request goes on with the certificate that has the name now
 * (promise 4). false: there is no newer snapshot, or the body is no longer whole. */
static bool try_newer_identity(struct pn_call *call)
{
    const struct pn_pin *former = call->identity_pin ? call->identity_pin : call->pin;
    struct pn_exchange_spec spec = call->exchange.spec;

    if (call->worker->pin == former || call->body->taken_bytes > 0)
        return false;
    if (call->identity_pin)
        pn_worker_unpin(call->worker, call->identity_pin);
    call->identity_pin = pn_worker_pin(call->worker);
    if (fix_identity(call, spec.demand.target, &spec.demand) &&
        pn_exchange_start(&call->exchange, &spec) != PN_OK)
        on_exchange_failed(call);
    return true;
}

static void on_exchange_failed(void *ctx)
{
    struct pn_call *call = ctx;
    const struct pn_failure *failure = &call->exchange.failure;
    struct pn_call_error error = {.status = 500,
                                  .code = failure->code,
                                  .source = "forward-request",
                                  .reason =
                                      failure->is_timeout ? "Timeout" : "BackendConnectionFailure",
                                  .message = failure->text,
                                  .detail = failure->text};

    if (failure->is_key_gone && try_newer_identity(call))
        return;
    if (strcmp(failure->code, "backend_queue_full") == 0) {
        error.status = 503;
        error.message = "Service unavailable";
    }
    pn_call_fail(call, &error);
}

static void forward(struct pn_call *call)
{
    const struct pn_target *target = choose_target(call);
    struct pn_exchange_spec spec = {.method = call->context.method,
                                    .headers = &call->context.request_headers,
                                    .framing = call->request.framing,
                                    .content_length = call->request.content_length,
                                    .request_body = call->body,
                                    .expects_continue = call->request.expects_continue &&
                                                        call->request.minor_version >= 1 &&
                                                        !call->body->has_ended,
                                    .accepts_trailers = call->accepts_trailers,
                                    .timeout_ms = call->run.forward.timeout_ms,
                                    .continue_timeout_ms = call->run.forward.continue_timeout_ms,
                                    .limits = &call->worker->http_limits,
                                    .arena = call->arena};

    if (!target || !fix_identity(call, target, &spec.demand))
        return;
    if (apply_credentials(call) != PN_OK ||
        pn_target_request(target, call->context.path, call->context.query, call->arena,
                          &spec.request_target) != PN_OK) {
        fail(call, "out_of_memory", "no memory for the request");
        return;
    }
    call->state = PN_CALL_FORWARDING;
    if (!call->body->has_ended)
        pn_call_arm(call, PN_CLIENT_BODY_TIMEOUT_MS);
    if (pn_exchange_start(&call->exchange, &spec) != PN_OK)
        on_exchange_failed(call);
}

/* --- the answer --- */

static void run_outbound(struct pn_call *call)
{
    static const struct pn_call_error failed = {.status = 500, .code = "policy_failed"};
    struct pn_policy_run run;

    if (pn_policy_has_section(call->operation->program, PN_SECTION_OUTBOUND)) {
        pn_policy_run_init(&run, call->operation->program, PN_SECTION_OUTBOUND);
        switch (pn_policy_resume(&run, &call->context)) {
        case PN_POLICY_DONE:
            break;
        case PN_POLICY_RESPOND:
            call->context.has_response_body = true;
            break;
        case PN_POLICY_FORWARD:
        case PN_POLICY_FAIL:
            pn_call_fail(call, &failed);
            return;
        }
    }
    pn_call_answer(call);
}

/** Runs the backend section on: to the forward-request, or to its end. */
static void resume_backend(struct pn_call *call, bool has_forwarded)
{
    static const struct pn_call_error failed = {.status = 500, .code = "policy_failed"};

    switch (pn_policy_resume(&call->run, &call->context)) {
    case PN_POLICY_FORWARD:
        if (!has_forwarded) {
            forward(call);
            return;
        }
        pn_call_fail(call, &failed); /* refused when the policy was written */
        return;
    case PN_POLICY_DONE:
        if (!call->context.has_response) { /* no forward-request: an empty 200 */
            call->context.has_response = true;
            call->context.status = 200;
            call->context.has_response_body = true;
        }
        run_outbound(call);
        return;
    case PN_POLICY_RESPOND:
        call->context.has_response_body = true;
        pn_call_answer(call);
        return;
    case PN_POLICY_FAIL:
        pn_call_fail(call, &failed);
        return;
    }
}

void pn_call_run_backend(struct pn_call *call)
{
    pn_policy_run_init(&call->run, call->operation->program, PN_SECTION_BACKEND);
    resume_backend(call, false);
}

static void on_head(void *ctx)
{
    struct pn_call *call = ctx;
    const struct pn_response_head *response = &call->exchange.response;
    struct pn_call_error error = {.source = "forward-request",
                                  .reason = "BackendErrorStatusCode",
                                  .code = "backend_error_status",
                                  .message = "The backend answered with an error status."};

    call->context.has_response = true;
    call->context.status = response->status;
    call->context.reason = response->reason;
    call->context.response_headers = response->headers;
    pn_http_strip_hop_by_hop(&call->context.response_headers);
    if (call->run.forward.fail_on_error_status_code && response->status >= 400) {
        error.status = response->status;
        pn_call_fail(call, &error);
        return;
    }
    call->sends_exchange_body = true;
    resume_backend(call, true);
}

static void on_body(void *ctx)
{
    struct pn_call *call = ctx;

    call->front->ops->resume(call->front);
}

static void on_continue(void *ctx)
{
    struct pn_call *call = ctx;

    if (call->body->taken_bytes == 0)
        call->front->ops->inform(call->front, 100, pn_slice("", 0), NULL);
}

static void on_informational(void *ctx)
{
    struct pn_call *call = ctx;
    struct pn_response_head *response = &call->exchange.response;

    pn_http_strip_hop_by_hop(&response->headers);
    call->front->ops->inform(call->front, response->status, response->reason, &response->headers);
}

static void on_request_failed(void *ctx)
{
    struct pn_call *call = ctx;
    enum pn_rc rc = call->body->failure;

    if (rc == PN_IO || rc == PN_EOF || call->state == PN_CALL_ANSWERING ||
        !call->body->fault.cause) {
        pn_call_abort(call);
        return;
    }
    pn_exchange_cancel(&call->exchange);
    pn_call_refuse(call, call->body->fault.status, call->body->fault.cause);
}

const struct pn_exchange_events pn_call_exchange_events = {
    .on_informational = on_informational,
    .on_continue = on_continue,
    .on_head = on_head,
    .on_body = on_body,
    .on_request_failed = on_request_failed,
    .on_failed = on_exchange_failed,
};
