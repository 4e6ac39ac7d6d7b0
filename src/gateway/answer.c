/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing answers: the backend's, a policy's, our own; and errors.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"
#include "gateway/call.h"

/* --- heads --- */

static bool is_ours(struct pn_slice name)
{
    return pn_slice_case_eq_str(name, "Content-Length") ||
           pn_slice_case_eq_str(name, "Transfer-Encoding") ||
           pn_slice_case_eq_str(name, "Connection");
}

struct framing {
    enum pn_framing framing;
    bool has_length;
    uint64_t length;
};

static bool is_head_request(const struct pn_call *call)
{
    return call->has_request && pn_slice_eq_str(call->request.method, "HEAD");
}

static bool has_no_body(const struct pn_call *call, int status)
{
    return is_head_request(call) || status == 204 || status == 304 || status < 200;
}

/** How the answer's body is delimited for this client. */
static struct framing choose_framing(struct pn_call *call)
{
    const struct pn_response_head *response = &call->exchange.response;
    struct framing chosen = {.framing = PN_BODY_NONE};
    struct pn_slice length;

    if (!call->sends_exchange_body) {
        chosen.framing = PN_BODY_LENGTH;
        chosen.has_length = call->context.status != 204 && call->context.status != 304;
        chosen.length = call->context.response_body.len;
        return chosen;
    }
    if (response->framing == PN_BODY_LENGTH) {
        chosen.framing = PN_BODY_LENGTH;
        chosen.has_length = true;
        chosen.length = response->content_length;
    } else if (response->framing == PN_BODY_NONE) {
        /* HEAD and 304: the length that a GET would have had (RFC 9110 §8.6). */
        length = pn_headers_get(&response->headers, "Content-Length");
        chosen.has_length = call->context.status != 204 && length.ptr &&
                            pn_slice_to_u64(length, UINT64_MAX, &chosen.length);
    } else if (call->has_request && call->request.minor_version >= 1) {
        chosen.framing = PN_BODY_STREAMED;
    } else {
        chosen.framing = PN_BODY_UNTIL_CLOSE;
        call->keep_alive = false;
    }
    return chosen;
}

static enum pn_rc write_fields(struct pn_call *call, const struct framing *framing)
{
    struct pn_buf *out = &call->out.out;
    bool has_date = false;
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; rc == PN_OK && i < call->context.response_headers.count; i++) {
        const struct pn_header *header = &call->context.response_headers.items[i];

        if (is_ours(header->name))
            continue;
        has_date = has_date || pn_slice_case_eq_str(header->name, "Date");
        rc = pn_h1_write_field(out, header->name, header->value);
    }
    if (rc == PN_OK && !has_date)
        rc = pn_h1_write_field(out, PN_LIT("Date"), pn_worker_date(call->worker));
    if (rc == PN_OK && framing->has_length)
        rc = pn_h1_write_content_length(out, framing->length);
    if (rc == PN_OK && framing->framing == PN_BODY_STREAMED &&
        !has_no_body(call, call->context.status))
        rc = pn_h1_write_field(out, PN_LIT("Transfer-Encoding"), PN_LIT("chunked"));
    if (rc == PN_OK && !call->keep_alive)
        rc = pn_h1_write_field(out, PN_LIT("Connection"), PN_LIT("close"));
    else if (rc == PN_OK && call->request.minor_version == 0)
        rc = pn_h1_write_field(out, PN_LIT("Connection"), PN_LIT("keep-alive"));
    return rc == PN_OK ? pn_h1_write_end(out) : rc;
}

/** The part of the request's body that nobody read would be taken for the next request. */
static void settle_keep_alive(struct pn_call *call)
{
    bool is_uploading = call->sends_exchange_body && !call->exchange.request_sent;

    if (!call->body->has_ended && !is_uploading && call->keep_alive)
        call->keep_alive = pn_source_skip(call->body);
    if (call->worker->is_draining)
        call->keep_alive = false;
}

void pn_call_answer(struct pn_call *call)
{
    struct framing framing;
    enum pn_rc rc;

    if (call->context.has_response_body)
        call->sends_exchange_body = false;
    if (!call->sends_exchange_body)
        pn_exchange_cancel(&call->exchange);
    if (call->interim_cut) {
        pn_client_close(call->client, true);
        return;
    }
    settle_keep_alive(call);
    framing = choose_framing(call);
    call->state = PN_CALL_ANSWERING;
    pn_body_out_start(&call->out, call->client->stream, framing.framing);
    call->out.discards = has_no_body(call, call->context.status);
    rc = pn_h1_write_status_line(&call->out.out, call->context.status, call->context.reason);
    if (rc == PN_OK)
        rc = write_fields(call, &framing);
    if (rc != PN_OK) { /* a header that cannot be written: nothing has left yet, but nothing can */
        pn_log(PN_LOG_ERROR, "answer_not_writable", "rc", PN_S(pn_rc_name(rc)), NULL);
        pn_client_close(call->client, true);
        return;
    }
    if (!call->sends_exchange_body && !call->out.discards)
        call->out.piece = call->context.response_body;
    pn_client_arm(call->client, PN_CLIENT_WRITE_TIMEOUT_MS);
    pn_call_move_answer(call);
}

void pn_call_answer_text(struct pn_call *call, int status, const char *content_type,
                         struct pn_slice body)
{
    struct pn_headers *headers = &call->context.response_headers;

    (void)pn_headers_remove(headers, PN_LIT("Content-Type"));
    if (content_type &&
        pn_headers_add(headers, PN_LIT("Content-Type"), pn_slice_str(content_type)) != PN_OK) {
        pn_client_close(call->client, true);
        return;
    }
    call->context.status = status;
    call->context.reason = pn_slice("", 0);
    call->context.has_response_body = true;
    call->context.response_body = body;
    pn_call_answer(call);
}

/* --- bodies --- */

static void end(struct pn_call *call)
{
    struct pn_client *client = call->client;
    bool keep = call->keep_alive && pn_source_is_done(call->body);

    if (call->sends_exchange_body)
        pn_exchange_finish(&call->exchange);
    client->call = NULL;
    pn_call_cancel(call);
    pn_client_call_ended(client, keep);
}

/** The answer has begun: all we can do is to make its cut visible. */
static void broken_off(struct pn_call *call)
{
    pn_log(PN_LOG_WARN, "answer_broken_off", "code",
           PN_S(call->exchange.answer->failure == PN_TIMEOUT ? "timeout"
                : call->exchange.answer->fault.cause         ? "malformed_response"
                                                             : "connection_closed"),
           "api", PN_S(call->api ? call->api->id : ""), NULL);
    pn_client_close(call->client, true);
}

void pn_call_move_answer(struct pn_call *call)
{
    uint64_t sent = call->out.sent_bytes;
    enum pn_rc rc;

    if (!call->sends_exchange_body) {
        rc = pn_body_out_flush(&call->out, NULL);
        if (rc == PN_OK)
            end(call);
        else if (rc != PN_AGAIN)
            pn_client_close(call->client, true);
        return;
    }
    if (call->exchange.answer->failure != PN_OK) {
        broken_off(call);
        return;
    }
    switch (pn_transfer(call->exchange.answer, &call->out)) {
    case PN_TRANSFER_DONE:
        end(call);
        return;
    case PN_TRANSFER_WAIT_READ: /* the exchange has its own timer */
        pn_loop_disarm(call->worker->loop, &call->client->timer);
        pn_exchange_wait(&call->exchange);
        return;
    case PN_TRANSFER_WAIT_WRITE:
        if (call->out.sent_bytes != sent || !pn_timer_is_armed(&call->client->timer))
            pn_client_arm(call->client, PN_CLIENT_WRITE_TIMEOUT_MS);
        pn_exchange_hold(&call->exchange);
        return;
    case PN_TRANSFER_YIELD:
        pn_loop_soon(call->worker->loop, &call->again);
        return;
    case PN_TRANSFER_SOURCE_FAILED:
        broken_off(call);
        return;
    case PN_TRANSFER_SINK_FAILED:
        pn_client_close(call->client, true);
        return;
    }
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
    if (rc != PN_OK) /* without them the answer still says what it must */
        pn_headers_init(&context->response_headers, call->arena);
    context->has_response = true;
    context->status = error->status;
    context->reason = pn_slice("", 0);
    context->has_response_body = true;
    context->response_body = stock_body(call, error);
}

void pn_call_fail(struct pn_call *call, const struct pn_call_error *error)
{
    struct pn_policy_run run;
    const struct pn_policy_program *program =
        call->operation && !call->operation->is_broken ? call->operation->program : NULL;

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
    pn_call_answer(call);
}
