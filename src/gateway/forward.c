/* SPDX-License-Identifier: Apache-2.0
 *
 * The backend section: sending the request to where backend_choice.c says, with what
 * backend_identity.c says, and what comes back.
 */
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"
#include "gateway/call.h"

void pn_call_fail_forward(struct pn_call *call, const char *code, const char *detail)
{
    struct pn_call_error error = {.status = 500,
                                  .code = code,
                                  .source = "forward-request",
                                  .reason = "BackendConnectionFailure",
                                  .message = "The request could not be forwarded to the backend.",
                                  .detail = detail};

    pn_call_fail(call, &error);
}

/* --- sending --- */

static void on_exchange_failed(void *ctx);

/** A request may open its connection long after it began. If its certificate was replaced
 * meanwhile, the request goes on with the certificate that has the name now (promise 4): nothing is
 * opened with the former one, whose key is gone, by a resumed session neither. false: there is no
 * newer snapshot, or the body is no longer whole. */
static bool try_newer_identity(struct pn_call *call)
{
    const struct pn_pin *former = call->identity_pin ? call->identity_pin : call->pin;
    struct pn_exchange_spec spec = call->exchange.spec;

    if (call->worker->pin == former || !pn_source_can_rewind(spec.request_body))
        return false;
    pn_source_rewind(spec.request_body);
    spec.was_retried = call->exchange.was_retried;
    if (call->identity_pin)
        pn_worker_unpin(call->worker, call->identity_pin);
    call->identity_pin = pn_worker_pin(call->worker);
    if (pn_call_fix_identity(call, spec.demand.target, &spec.demand) &&
        pn_exchange_start(&call->exchange, &spec) != PN_OK)
        on_exchange_failed(call);
    return true;
}

/** What the connection may speak. WebSocket goes by HTTP/2 where the policy asks for that; any
 * other upgrade needs HTTP/1.1. */
static enum pn_alpn choose_alpn(const struct pn_call *call, struct pn_slice upgrade)
{
    if (call->needs_http1 || (upgrade.ptr && !pn_slice_case_eq_str(upgrade, "websocket")))
        return PN_ALPN_HTTP11;
    if (upgrade.ptr && call->run.forward.http_version == PN_POLICY_HTTP_DEFAULT)
        return PN_ALPN_HTTP11;
    switch (call->run.forward.http_version) {
    case PN_POLICY_HTTP_DEFAULT:
        return call->api->is_grpc ? PN_ALPN_H2 : PN_ALPN_HTTP11;
    case PN_POLICY_HTTP_1:
        return PN_ALPN_HTTP11;
    case PN_POLICY_HTTP_2_OR_1:
        return PN_ALPN_H2_HTTP11;
    case PN_POLICY_HTTP_2:
        return PN_ALPN_H2;
    }
    return PN_ALPN_HTTP11;
}

/** A WebSocket that the backend does not take over HTTP/2 goes over HTTP/1.1, with the same
 * certificate and checks, where the policy allows both. Nothing of it was sent. */
static bool try_http1(struct pn_call *call)
{
    struct pn_exchange_spec spec = call->exchange.spec;
    const char *code = call->exchange.failure.code;

    if (!spec.upgrade.ptr || call->needs_http1 || call->alpn != PN_ALPN_H2_HTTP11 ||
        (strcmp(code, "connect_not_offered") != 0 && strcmp(code, "http1_required") != 0))
        return false;
    call->needs_http1 = true;
    pn_call_send(call, &spec, spec.demand.target);
    return true;
}

static void send_request(struct pn_call *call, const struct pn_target *target);

/** Once, to another member of the pool: when nothing of the request can have been acted on, or when
 * it may be repeated (RFC 9110 §9.2.2) and its body is still whole. */
static bool try_other_member(struct pn_call *call)
{
    const struct pn_failure *failure = &call->exchange.failure;
    const struct pn_target *target = NULL;

    if (!call->pool || call->was_rerouted || call->redirects > 0)
        return false;
    if (!failure->is_unsent &&
        (failure->is_timeout || !pn_http_method_is_idempotent(call->context.method)))
        return false;
    if (!pn_exchange_can_repeat_body(&call->exchange))
        return false;
    target = pn_call_choose_other(call);
    if (!target)
        return false;
    call->was_rerouted = true;
    pn_source_rewind(call->exchange.spec.request_body);
    pn_metric_add(PN_METRIC_BACKEND_REROUTED, 1);
    send_request(call, target);
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

    if (failure->is_replaced && try_newer_identity(call))
        return;
    if (try_http1(call))
        return;
    pn_call_backend_failed(call, failure);
    if (try_other_member(call))
        return;
    if (strcmp(failure->code, "backend_queue_full") == 0) {
        error.status = 503;
        error.message = "Service unavailable";
        error.retry_after_s = PN_RETRY_AFTER_S;
    }
    pn_call_fail(call, &error);
}

struct pn_source *pn_call_sent_body(struct pn_call *call)
{
    uint64_t max = pn_limit_value(PN_LIMIT_REQUEST_REPLAY);
    bool is_longer = call->request.framing == PN_BODY_LENGTH && call->request.content_length > max;

    if (!call->has_replay && max > 0 && !is_longer && call->request.framing != PN_BODY_NONE) {
        pn_replay_init(&call->replay, call->body, (size_t)max);
        call->has_replay = true;
    }
    return call->has_replay ? &call->replay.source : call->body;
}

void pn_call_send(struct pn_call *call, struct pn_exchange_spec *spec,
                  const struct pn_target *target)
{
    call->alpn = choose_alpn(call, spec->upgrade);
    if (!pn_call_fix_identity(call, target, &spec->demand))
        return;
    call->state = PN_CALL_FORWARDING;
    if (!call->body->has_ended)
        pn_call_arm(call, PN_CLIENT_BODY_TIMEOUT_MS);
    if (pn_exchange_start(&call->exchange, spec) != PN_OK)
        on_exchange_failed(call);
}

static void send_request(struct pn_call *call, const struct pn_target *target)
{
    struct pn_exchange_spec spec = {.method = call->context.method,
                                    .headers = &call->context.request_headers,
                                    .framing = call->request.framing,
                                    .content_length = call->request.content_length,
                                    .request_body = pn_call_sent_body(call),
                                    .expects_continue = call->request.expects_continue &&
                                                        call->request.minor_version >= 1 &&
                                                        !call->body->has_ended,
                                    .accepts_trailers = call->accepts_trailers,
                                    .upgrade = call->front->upgrade,
                                    .timeout_ms = call->run.forward.timeout_ms,
                                    .continue_timeout_ms = call->run.forward.continue_timeout_ms,
                                    .limits = &call->worker->http_limits,
                                    .arena = call->arena};

    if (spec.timeout_ms == 0)
        spec.timeout_ms = pn_limit_value(PN_LIMIT_BACKEND_RESPONSE_TIMEOUT);
    if (pn_call_apply_credentials(call) != PN_OK ||
        pn_target_request(target, call->context.path, call->context.query, call->arena,
                          &spec.request_target) != PN_OK) {
        pn_call_fail_forward(call, "out_of_memory", "no memory for the request");
        return;
    }
    pn_call_send(call, &spec, target);
}

static void forward(struct pn_call *call)
{
    const struct pn_target *target = pn_call_choose_target(call);

    if (target)
        send_request(call, target);
}

void pn_call_buffered(struct pn_call *call)
{
    forward(call);
}

/* --- the answer --- */

static void run_outbound(struct pn_call *call)
{
    struct pn_policy_run run;

    if (pn_policy_has_section(call->program, PN_SECTION_OUTBOUND)) {
        pn_policy_run_init(&run, call->program, PN_SECTION_OUTBOUND);
        switch (pn_policy_resume(&run, &call->context)) {
        case PN_POLICY_DONE:
            break;
        case PN_POLICY_RESPOND:
            call->context.has_response_body = true;
            break;
        case PN_POLICY_FORWARD:
        case PN_POLICY_FAIL:
            pn_call_fail_policy(call);
            return;
        }
    }
    pn_call_answer(call);
}

/** Runs the backend section on: to the forward-request, or to its end. */
static void resume_backend(struct pn_call *call, bool has_forwarded)
{
    switch (pn_policy_resume(&call->run, &call->context)) {
    case PN_POLICY_FORWARD:
        if (!has_forwarded) {
            if (!pn_call_begin_buffering(call))
                forward(call);
            return;
        }
        pn_call_fail_policy(call); /* refused when the policy was written */
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
        pn_call_fail_policy(call);
        return;
    }
}

void pn_call_run_backend(struct pn_call *call)
{
    pn_policy_run_init(&call->run, call->program, PN_SECTION_BACKEND);
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

    pn_call_backend_answered(call, response);
    if (call->run.forward.follows_redirects && pn_call_follow_redirect(call))
        return;
    if (call->has_replay)
        pn_replay_settle(&call->replay);
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
    /* RFC 9110 §8.6: there is no body to count, and who counted would lose its step. */
    (void)pn_headers_remove(&response->headers, PN_LIT("Content-Length"));
    call->front->ops->inform(call->front, response->status, response->reason, &response->headers);
}

/** Of a tunnel: the client's half has ended. */
static void on_request_sent(void *ctx)
{
    struct pn_call *call = ctx;

    if (call->is_tunnel)
        call->front->ops->resume(call->front);
}

static void on_request_failed(void *ctx)
{
    struct pn_call *call = ctx;
    const struct pn_source *body = call->exchange.spec.request_body;

    if (body->failure == PN_IO || body->failure == PN_EOF || call->state == PN_CALL_ANSWERING ||
        !body->fault.cause) {
        pn_call_abort(call);
        return;
    }
    pn_exchange_cancel(&call->exchange);
    pn_call_refuse(call, body->fault.status, body->fault.cause);
}

const struct pn_exchange_events pn_call_exchange_events = {
    .on_informational = on_informational,
    .on_continue = on_continue,
    .on_head = on_head,
    .on_body = on_body,
    .on_request_failed = on_request_failed,
    .on_request_sent = on_request_sent,
    .on_failed = on_exchange_failed,
};
