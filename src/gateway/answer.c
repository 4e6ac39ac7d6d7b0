/* SPDX-License-Identifier: Apache-2.0
 *
 * What is answered: the backend's answer, a policy's, our own; and errors. How it leaves is the
 * front's business.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"
#include "gateway/call.h"
#include "gateway/trace.h"

/* --- heads --- */

static bool has_no_body(const struct pn_call *call, int status)
{
    /* also of a head that could not be read, but for its method */
    return pn_slice_eq_str(call->request.method, "HEAD") || status == 204 || status == 304 ||
           status < 200;
}

/** How long the body is, as far as that is known. */
static void set_length(const struct pn_call *call, struct pn_answer *answer)
{
    const struct pn_response_head *response = &call->exchange.response;
    struct pn_slice length;

    if (answer->is_tunnel) {
        answer->has_length = false;
    } else if (answer->is_own) {
        answer->has_length = answer->status != 204 && answer->status != 304;
        answer->length = call->context.response_body.len;
    } else if (response->framing == PN_BODY_LENGTH) {
        answer->has_length = answer->status != 204; /* set-status may have said so */
        answer->length = response->content_length;
    } else if (response->framing == PN_BODY_NONE && !answer->is_bodiless) {
        answer->has_length = true; /* a policy made a HEAD of it, and the client waits for a body */
    } else if (response->framing == PN_BODY_NONE) {
        /* HEAD and 304: the length that a GET would have had (RFC 9110 §8.6). */
        length = pn_headers_get(&response->headers, "Content-Length");
        answer->has_length = answer->status != 204 && length.ptr &&
                             pn_slice_to_u64(length, UINT64_MAX, &answer->length);
    }
}

void pn_call_answer(struct pn_call *call)
{
    struct pn_answer answer = {.status = call->context.status,
                               .reason = call->context.reason,
                               .headers = &call->context.response_headers};

    pn_trace_tell(call);
    if (call->context.has_response_body)
        call->sends_exchange_body = false;
    answer.is_own = !call->sends_exchange_body;
    answer.is_tunnel = !answer.is_own && call->exchange.state == PN_EXCHANGE_TUNNEL;
    if (answer.is_tunnel)
        answer.status = 101; /* what is said by then is said; a policy cannot take it back */
    answer.is_bodiless = !answer.is_tunnel && has_no_body(call, answer.status);
    set_length(call, &answer);
    if (answer.is_own) {
        pn_exchange_cancel(&call->exchange);
        pn_source_init_memory(&call->own_body,
                              answer.is_bodiless ? pn_slice("", 0) : call->context.response_body);
        answer.body = &call->own_body;
    } else {
        answer.body = call->exchange.answer;
        answer.is_uploading = !call->exchange.request_sent;
    }
    call->state = PN_CALL_ANSWERING;
    call->is_tunnel = answer.is_tunnel;
    call->front->ops->answer(call->front, &answer);
}

/** Fills the context with it. false: no memory; it is aborted. */
static bool set_text(struct pn_call *call, int status, const char *content_type,
                     struct pn_slice body)
{
    struct pn_policy_context *context = &call->context;

    (void)pn_headers_remove(&context->response_headers, PN_LIT("Content-Type"));
    if (content_type && pn_headers_add(&context->response_headers, PN_LIT("Content-Type"),
                                       pn_slice_str(content_type)) != PN_OK) {
        pn_call_abort(call);
        return false;
    }
    context->status = status;
    context->reason = pn_slice("", 0);
    context->has_response_body = true;
    context->response_body = body;
    return true;
}

void pn_call_answer_text(struct pn_call *call, int status, const char *content_type,
                         struct pn_slice body)
{
    if (set_text(call, status, content_type, body))
        pn_call_answer(call);
}

/* --- errors --- */

static void log_failure(struct pn_call *call, const struct pn_call_error *error)
{
    pn_log(error->status >= 500 ? PN_LOG_WARN : PN_LOG_INFO, "request_failed", "code",
           PN_S(error->code), "status", PN_I(error->status), "api",
           PN_S(call->api ? call->api->id : ""), "operation",
           PN_S(call->operation ? call->operation->id : ""), "backend",
           PN_SL(call->context.backend_id), "host",
           PN_SL(call->exchange.spec.demand.target && call->state == PN_CALL_FORWARDING
                     ? call->exchange.spec.demand.target->authority
                     : pn_slice("", 0)),
           "peer", PN_S(call->exchange.failure.code ? call->exchange.failure.peer : ""), "identity",
           PN_S(call->certificate ? call->certificate->thumbprint : ""), "request",
           PN_S(call->request_id), "detail", PN_S(error->detail ? error->detail : ""), NULL);
}

static struct pn_slice stock_body(struct pn_call *call, const struct pn_call_error *error)
{
    if (error->status == 500)
        return pn_slice_str(pn_arena_printf(call->arena,
                                            "{ \"statusCode\": 500, \"message\": \"Internal server "
                                            "error\", \"activityId\": \"%s\" }",
                                            call->request_id));
    return pn_slice_str(pn_arena_printf(call->arena, "{ \"statusCode\": %d, \"message\": \"%s\" }",
                                        error->status, error->message));
}

void pn_call_refuse(struct pn_call *call, int status, const char *cause)
{
    const struct pn_call_error error = {.status = status, .message = cause ? cause : ""};

    pn_log(PN_LOG_INFO, "request_refused", "status", PN_I(status), "cause", PN_S(error.message),
           NULL);
    call->front->closes = true;
    if (!set_text(
            call, status, "application/json",
            pn_slice_str(pn_arena_printf(call->arena, "{ \"statusCode\": %d, \"message\": \"%s\" }",
                                         status, error.message))))
        return;
    pn_call_speak_grpc(call, &error);
    pn_call_answer(call);
}

/** Fills the context with the stock answer; on-error may change it. */
static void set_stock(struct pn_call *call, const struct pn_call_error *error)
{
    struct pn_policy_context *context = &call->context;
    enum pn_rc rc;

    pn_headers_init(&context->response_headers, call->arena);
    rc = pn_headers_add(&context->response_headers, PN_LIT("Content-Type"),
                        PN_LIT("application/json"));
    if (rc == PN_OK && error->www_authenticate)
        rc = pn_headers_add(&context->response_headers, PN_LIT("WWW-Authenticate"),
                            pn_slice_str(error->www_authenticate));
    if (rc == PN_OK && error->retry_after_s > 0)
        rc = pn_headers_add(&context->response_headers, PN_LIT("Retry-After"),
                            pn_slice_str(pn_arena_printf(
                                call->arena, "%llu", (unsigned long long)error->retry_after_s)));
    if (rc != PN_OK) /* without them the answer still says what it must */
        pn_headers_init(&context->response_headers, call->arena);
    context->has_response = true;
    context->status = error->status;
    context->reason = pn_slice("", 0);
    context->has_response_body = true;
    context->response_body = stock_body(call, error);
}

void pn_call_fail_policy(struct pn_call *call)
{
    const char *code = call->context.last_error.code;
    const struct pn_call_error error = {.status = 500,
                                        .code = code ? code : "policy_failed",
                                        .detail = call->context.last_error.message};

    pn_call_fail(call, &error);
}

void pn_call_fail(struct pn_call *call, const struct pn_call_error *error)
{
    struct pn_policy_run run;
    const struct pn_policy_program *program = call->program;

    if (call->request_id[0] == '\0') /* else an expression has asked for it */
        pn_uuid_v4(call->request_id);
    if (error->status >= 500)
        pn_metric_add(PN_METRIC_REQUESTS_FAILED, 1);
    if (error->code)
        log_failure(call, error);
    call->sends_exchange_body = false;
    pn_exchange_cancel(&call->exchange);
    set_stock(call, error);
    if (error->source && !call->context.last_error.source) {
        call->context.last_error.source = error->source;
        call->context.last_error.reason = error->reason;
        call->context.last_error.message = error->message;
    }
    if (program && pn_policy_has_section(program, PN_SECTION_ON_ERROR)) {
        pn_policy_run_init(&run, program, PN_SECTION_ON_ERROR);
        if (pn_policy_resume(&run, &call->context) == PN_POLICY_FAIL)
            set_stock(call, error); /* on-error itself failed */
    }
    pn_call_speak_grpc(call, error);
    pn_call_answer(call);
}
