/* SPDX-License-Identifier: Apache-2.0
 *
 * Life of a call, and the events of its client's connection.
 */
#include "gateway/call.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"

static void on_again(struct pn_task *task)
{
    pn_call_move_answer(task->ctx);
}

static struct pn_call *call_make(struct pn_worker *worker)
{
    struct pn_call *call = worker->spare_calls;

    if (call) {
        worker->spare_calls = call->next_spare;
        worker->spare_call_count--;
        return call;
    }
    call = calloc(1, sizeof(*call));
    if (!call)
        return NULL;
    call->arena = pn_arena_create(PN_CALL_ARENA_BLOCK_BYTES, PN_CALL_ARENA_BYTES_MAX);
    if (!call->arena) {
        free(call);
        return NULL;
    }
    call->worker = worker;
    pn_body_out_init(&call->out);
    pn_task_init(&call->again, on_again, call);
    pn_exchange_init(&call->exchange, worker->pool, &pn_call_exchange_events, call);
    return call;
}

static void call_free(struct pn_call *call)
{
    pn_exchange_fini(&call->exchange);
    pn_body_out_fini(&call->out);
    pn_arena_destroy(call->arena);
    free(call);
}

struct pn_call *pn_call_create(struct pn_client *client)
{
    struct pn_call *call = call_make(client->worker);

    if (!call)
        return NULL;
    call->client = client;
    call->state = PN_CALL_ROUTING;
    call->has_request = false;
    call->keep_alive = false;
    call->sends_exchange_body = false;
    call->interim_cut = false;
    call->pin = NULL;
    call->identity_pin = NULL;
    call->api = NULL;
    call->operation = NULL;
    call->backend = NULL;
    call->certificate = NULL;
    call->request_id[0] = '\0';
    memset(&call->context, 0, sizeof(call->context));
    call->context.arena = call->arena;
    pn_headers_init(&call->context.request_headers, call->arena);
    pn_headers_init(&call->context.response_headers, call->arena);
    pn_headers_init(&call->request_trailers, call->arena);
    pn_body_in_init(&call->h1_body, &client->inlet, client->stream, PN_H1_REQUEST, PN_BODY_NONE, 0,
                    &client->worker->http_limits, NULL);
    call->body = &call->h1_body.source;
    return call;
}

/** Gives it back to the worker; its client has forgotten it already or does so next. */
static void call_release(struct pn_call *call)
{
    struct pn_worker *worker = call->worker;

    pn_loop_soon_cancel(&call->again);
    pn_exchange_cancel(&call->exchange);
    if (call->pin)
        pn_worker_unpin(worker, call->pin);
    call->pin = NULL;
    if (call->identity_pin)
        pn_worker_unpin(worker, call->identity_pin);
    call->identity_pin = NULL;
    call->client = NULL;
    pn_arena_reset(call->arena);
    if (worker->spare_call_count >= PN_CALLS_SPARE_MAX) {
        call_free(call);
        return;
    }
    call->next_spare = worker->spare_calls;
    worker->spare_calls = call;
    worker->spare_call_count++;
}

void pn_calls_free_spare(struct pn_worker *worker)
{
    while (worker->spare_calls) {
        struct pn_call *next = worker->spare_calls->next_spare;

        call_free(worker->spare_calls);
        worker->spare_calls = next;
    }
    worker->spare_call_count = 0;
}

void pn_call_cancel(struct pn_call *call)
{
    if (call->state == PN_CALL_FORWARDING)
        pn_log(PN_LOG_INFO, "client_aborted", "api", PN_S(call->api ? call->api->id : ""), "reason",
               PN_S("ClientConnectionFailure"), NULL);
    call_release(call);
}

void pn_call_begin(struct pn_call *call, struct pn_slice head)
{
    struct pn_http_fault fault = {0};
    struct pn_client *client = call->client;
    struct pn_slice copy = pn_arena_dup(call->arena, head);
    enum pn_rc rc = PN_NOMEM;

    pn_inlet_consume(&client->inlet, head.len);
    pn_inlet_rest(&client->inlet); /* the next connection reads into what is in the cache */
    pn_metric_add(PN_METRIC_REQUESTS, 1);
    fault.status = 500;
    fault.cause = "out of memory";
    pn_headers_init(&call->request.headers, call->arena);
    if (copy.ptr)
        rc = pn_h1_request_parse(copy, &call->worker->http_limits, &call->request, &fault);
    if (rc != PN_OK) {
        pn_call_refuse(call, fault.status, fault.cause);
        return;
    }
    call->has_request = true;
    call->keep_alive = call->request.keep_alive && !call->worker->is_draining;
    pn_body_in_init(&call->h1_body, &client->inlet, client->stream, PN_H1_REQUEST,
                    call->request.framing, call->request.content_length, &call->worker->http_limits,
                    &call->request_trailers);
    if (call->request.form == PN_AUTHORITY_FORM) {
        pn_call_refuse(call, 400, "CONNECT is not served here");
        return;
    }
    pn_call_route(call);
}

void pn_call_refuse(struct pn_call *call, int status, const char *cause)
{
    const char *text = pn_arena_printf(call->arena, "{ \"statusCode\": %d, \"message\": \"%s\" }",
                                       status, cause ? cause : "");

    pn_log(PN_LOG_INFO, "request_refused", "status", PN_I(status), "cause",
           PN_S(cause ? cause : ""), NULL);
    call->keep_alive = false;
    pn_call_answer_text(call, status, "application/json", pn_slice_str(text));
}

/** Has the client gone? A pipelined request stays in the inlet. While the answer is under way, a
 *  client that has only said its last word still reads. */
static void look_for_end(struct pn_call *call)
{
    struct pn_client *client = call->client;
    enum pn_rc rc;

    if (!call->body->has_ended)
        return;
    do
        rc = pn_inlet_read(&client->inlet, client->stream);
    while (rc == PN_OK);
    if (rc == PN_IO || (rc == PN_EOF && call->state == PN_CALL_FORWARDING))
        pn_client_close(client, rc == PN_IO);
}

void pn_call_on_readable(struct pn_call *call)
{
    if (call->state == PN_CALL_FORWARDING && !call->body->has_ended) {
        pn_client_arm(call->client, PN_CLIENT_BODY_TIMEOUT_MS);
        pn_exchange_send(&call->exchange);
        return;
    }
    if (call->state == PN_CALL_ANSWERING && call->sends_exchange_body && !call->body->has_ended) {
        pn_exchange_send(&call->exchange);
        return;
    }
    if (call->body->has_ended)
        look_for_end(call);
}

void pn_call_on_writable(struct pn_call *call)
{
    if (call->state == PN_CALL_ANSWERING)
        pn_call_move_answer(call);
}

/** No byte of the body came; but perhaps nobody asked for one: the backend's time is the exchange's
 *  to watch. */
static bool waits_for_body(const struct pn_call *call)
{
    return !call->body->has_ended && pn_exchange_wants_body(&call->exchange);
}

void pn_call_on_timeout(struct pn_call *call)
{
    if (call->state == PN_CALL_FORWARDING && waits_for_body(call)) {
        pn_metric_add(PN_METRIC_TIMEOUTS, 1);
        pn_exchange_cancel(&call->exchange);
        pn_call_refuse(call, 408, "the request's body took too long");
    } else if (call->state == PN_CALL_FORWARDING && !call->body->has_ended) {
        pn_client_arm(call->client, PN_CLIENT_BODY_TIMEOUT_MS);
    } else if (call->state == PN_CALL_ANSWERING) {
        pn_metric_add(PN_METRIC_TIMEOUTS, 1);
        pn_client_close(call->client, true);
    }
}
