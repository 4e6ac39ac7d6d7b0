/* SPDX-License-Identifier: Apache-2.0
 *
 * Life of a call, and what its front tells it.
 */
#include "gateway/call.h"
#include "gateway/trace.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"

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
    pn_exchange_init(&call->exchange, worker->pool, &pn_call_exchange_events, call);
    return call;
}

static void call_free(struct pn_call *call)
{
    pn_exchange_fini(&call->exchange);
    pn_arena_destroy(call->arena);
    free(call);
}

struct pn_call *pn_call_create(struct pn_worker *worker, struct pn_front *front)
{
    struct pn_call *call = call_make(worker);

    if (!call)
        return NULL;
    call->front = front;
    call->body = front->body;
    call->state = PN_CALL_ROUTING;
    call->has_request = false;
    call->request.method = pn_slice("", 0);
    call->has_replay = false;
    call->redirects = 0;
    call->accepts_trailers = false;
    call->is_traced = false;
    call->sends_exchange_body = false;
    call->is_tunnel = false;
    call->pin = NULL;
    call->identity_pin = NULL;
    call->api = NULL;
    call->operation = NULL;
    call->product = NULL;
    call->subscription = NULL;
    call->began_us = pn_loop_now_us(worker->loop);
    call->program = NULL;
    call->backend = NULL;
    call->pool = NULL;
    call->was_rerouted = false;
    call->trial_until_ms = 0;
    call->needs_http1 = false;
    call->certificate = NULL;
    call->request_id[0] = '\0';
    memset(&call->context, 0, sizeof(call->context));
    call->context.arena = call->arena;
    pn_headers_init(&call->request.headers, call->arena);
    pn_headers_init(&call->context.request_headers, call->arena);
    pn_headers_init(&call->context.response_headers, call->arena);
    pn_metric_add(PN_METRIC_CALLS, 1);
    pn_overload_opened(&worker->overload);
    return call;
}

void pn_call_arm(struct pn_call *call, uint64_t delay_ms)
{
    pn_loop_arm(call->worker->loop, call->front->timer, delay_ms);
}

void pn_call_abort(struct pn_call *call)
{
    call->front->ops->abort(call->front);
}

/** Gives it back to the worker; its front has forgotten it already or does so next. */
static void call_release(struct pn_call *call)
{
    struct pn_worker *worker = call->worker;

    pn_exchange_cancel(&call->exchange);
    pn_call_give_up_trial(call);
    if (call->has_replay)
        pn_replay_fini(&call->replay);
    if (call->pin)
        pn_worker_unpin(worker, call->pin);
    call->pin = NULL;
    if (call->identity_pin)
        pn_worker_unpin(worker, call->identity_pin);
    call->identity_pin = NULL;
    call->front = NULL;
    pn_metric_add(PN_METRIC_CALLS, -1);
    pn_overload_closed(&worker->overload);
    pn_rest_served(&worker->rest, pn_loop_now_us(worker->loop) - call->began_us);
    if (pn_arena_is_exhausted(call->arena))
        pn_limit_hit(PN_LIMIT_CALL_MEMORY);
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
    if (call->state == PN_CALL_FORWARDING || call->state == PN_CALL_BUFFERING)
        pn_log(PN_LOG_INFO, "client_aborted", "api", PN_S(call->api ? call->api->id : ""), "reason",
               PN_S("ClientConnectionFailure"), NULL);
    call_release(call);
}

void pn_call_answered(struct pn_call *call)
{
    if (call->sends_exchange_body && !call->is_tunnel)
        pn_exchange_finish(&call->exchange);
    call_release(call);
}

/** It should come on another connection: RFC 9110 §7.4. */
static bool is_misdirected(const struct pn_call *call)
{
    const struct pn_origin *origin = call->front->origin;
    const struct pn_tls_server *server =
        origin->is_tls ? pn_snapshot_listener(call->worker->pin->snapshot) : NULL;

    return server && !pn_stream_has_asked(origin->stream) &&
           pn_tls_server_is_misdirected(server, pn_stream_server_name(origin->stream),
                                        call->request.host);
}

void pn_call_begin(struct pn_call *call)
{
    uint64_t body_bytes_max = pn_limit_value(PN_LIMIT_REQUEST_BODY_BYTES);

    call->has_request = true;
    pn_trace_take(call);
    call->body->bytes_max = body_bytes_max;
    if (body_bytes_max > 0 && call->request.framing == PN_BODY_LENGTH &&
        call->request.content_length > body_bytes_max) {
        pn_limit_hit(PN_LIMIT_REQUEST_BODY_BYTES);
        pn_call_refuse(call, 413, "the body is too large: the limit request-body-bytes");
        return;
    }
    if (call->request.form == PN_AUTHORITY_FORM) {
        pn_call_refuse(call, 400, "CONNECT is not served here");
        return;
    }
    if (is_misdirected(call)) {
        pn_call_refuse(call, 421,
                       "this host asks clients for a certificate: use a connection of its own");
        return;
    }
    pn_call_route(call);
}

void pn_call_on_body(struct pn_call *call)
{
    if (call->state == PN_CALL_BUFFERING) {
        pn_call_buffer(call);
        return;
    }
    if (call->body->has_ended && call->body->held.len == 0 && call->exchange.request_sent)
        return;
    if (call->state == PN_CALL_FORWARDING) {
        pn_call_arm(call, PN_CLIENT_BODY_TIMEOUT_MS);
        pn_exchange_send(&call->exchange);
    } else if (call->state == PN_CALL_ANSWERING && call->sends_exchange_body) {
        pn_exchange_send(&call->exchange);
    }
}

/** A call of gRPC may say nothing for long while its server has not answered yet either. Over
 * HTTP/2 it holds a stream, and the exchange watches how long. */
static bool may_be_silent(const struct pn_call *call)
{
    return call->state == PN_CALL_FORWARDING && call->alpn == PN_ALPN_H2 && pn_call_is_grpc(call);
}

void pn_call_on_timeout(struct pn_call *call)
{
    if (call->state != PN_CALL_FORWARDING && call->state != PN_CALL_BUFFERING)
        return;
    /* No byte of the body came; but perhaps nobody asked for one: the backend's time is the
     * exchange's to watch. */
    if (call->state == PN_CALL_BUFFERING || (!call->body->has_ended && !may_be_silent(call) &&
                                             pn_exchange_wants_body(&call->exchange))) {
        pn_limit_hit(PN_LIMIT_CLIENT_BODY_TIMEOUT);
        pn_metric_add(PN_METRIC_TIMEOUTS, 1);
        pn_exchange_cancel(&call->exchange);
        pn_call_refuse(call, 408,
                       "the request's body took too long: the limit client-body-timeout");
    } else if (!call->body->has_ended) {
        pn_call_arm(call, PN_CLIENT_BODY_TIMEOUT_MS);
    }
}

bool pn_call_awaits_answer(const struct pn_call *call)
{
    return call->state == PN_CALL_FORWARDING;
}

void pn_call_awaits_source(struct pn_call *call)
{
    if (call->sends_exchange_body && !call->is_tunnel)
        pn_exchange_wait(&call->exchange);
}

void pn_call_awaits_client(struct pn_call *call)
{
    if (call->sends_exchange_body && !call->is_tunnel)
        pn_exchange_hold(&call->exchange);
}

void pn_call_tunnel(struct pn_call *call)
{
    call->body = call->front->body;
    pn_exchange_tunnel(&call->exchange, call->body);
}

bool pn_call_has_sent(const struct pn_call *call)
{
    return call->exchange.request_sent;
}

void pn_call_broke_off(struct pn_call *call)
{
    const struct pn_source *answer = call->exchange.answer;

    pn_log(PN_LOG_WARN, "answer_broken_off", "code",
           PN_S(answer->failure == PN_TIMEOUT                     ? "timeout"
                : answer->fault.cause && answer->failure != PN_IO ? "malformed_response"
                                                                  : "connection_closed"),
           "api", PN_S(call->api ? call->api->id : ""), NULL);
}
