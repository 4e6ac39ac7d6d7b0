/* SPDX-License-Identifier: Apache-2.0
 *
 * The front of HTTP/2: one stream, from its request to its answer (RFC 9113 §8), and WebSocket over
 * it (RFC 8441).
 *
 * A turn lives as long as its stream; its call may be over earlier only when the stream is reset
 * here, and then the turn goes with it.
 */
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "base/log.h"
#include "base/metrics.h"
#include "gateway/client_h2_internal.h"

#define WEBSOCKET_KEY_BYTES 16

static struct pn_h2_turn *turn_of(struct pn_front *front)
{
    return PN_CONTAINER(front, struct pn_h2_turn, front);
}

/* --- life --- */

static void turn_give_back(struct pn_h2_turn *turn)
{
    struct pn_worker *worker = turn->link->client->worker;

    pn_metric_add(PN_METRIC_CLIENT_STREAMS, -1);
    pn_loop_disarm(worker->loop, &turn->timer);
    turn->link = NULL;
    turn->stream = NULL;
    if (worker->spare_h2_turn_count >= PN_CALLS_SPARE_MAX) {
        free(turn);
        return;
    }
    turn->next_spare = worker->spare_h2_turns;
    worker->spare_h2_turns = turn;
    worker->spare_h2_turn_count++;
}

void pn_h2_turns_free_spare(struct pn_worker *worker)
{
    while (worker->spare_h2_turns) {
        struct pn_h2_turn *next = worker->spare_h2_turns->next_spare;

        free(worker->spare_h2_turns);
        worker->spare_h2_turns = next;
    }
    worker->spare_h2_turn_count = 0;
}

/** The stream ends here and now, for a reason that its client shall see. */
static void turn_reset(struct pn_h2_turn *turn, uint32_t code)
{
    struct pn_call *call = turn->front.call;

    pn_h2_reset(turn->stream, code);
    turn->front.call = NULL;
    turn_give_back(turn);
    pn_call_cancel(call);
}

static void on_timer(struct pn_timer *timer)
{
    struct pn_h2_turn *turn = timer->ctx;

    if (!turn->answer) {
        pn_call_on_timeout(turn->front.call);
        return;
    }
    if (!turn->is_tunnel) /* the engine watches what waits for the client */
        return;
    pn_limit_hit(PN_LIMIT_TUNNEL_IDLE_TIMEOUT);
    pn_metric_add(PN_METRIC_TIMEOUTS, 1);
    turn_reset(turn, PN_H2_CANCEL);
}

static const struct pn_front_ops front_ops;

static struct pn_h2_turn *turn_take(struct pn_worker *worker)
{
    struct pn_h2_turn *turn = worker->spare_h2_turns;

    if (turn) {
        worker->spare_h2_turns = turn->next_spare;
        worker->spare_h2_turn_count--;
        return turn;
    }
    turn = calloc(1, sizeof(*turn));
    if (!turn)
        return NULL;
    turn->front.ops = &front_ops;
    turn->front.timer = &turn->timer;
    pn_timer_init(&turn->timer, on_timer, turn);
    return turn;
}

struct pn_arena *pn_h2_turn_begin(struct pn_h2_link *link, struct pn_h2_stream *stream)
{
    struct pn_worker *worker = link->client->worker;
    struct pn_h2_turn *turn = turn_take(worker);

    if (!turn)
        return NULL;
    pn_metric_add(PN_METRIC_CLIENT_STREAMS, 1);
    turn->link = link;
    turn->stream = stream;
    turn->answer = NULL;
    turn->is_sent = false;
    turn->is_tunnel = false;
    turn->front.origin = &link->client->origin;
    turn->front.body = &stream->in;
    turn->front.upgrade = pn_slice(NULL, 0);
    turn->front.closes = false;
    turn->front.call = pn_call_create(worker, &turn->front);
    if (!turn->front.call) {
        turn_give_back(turn);
        return NULL;
    }
    stream->user = turn;
    link->opening = turn;
    return turn->front.call->arena;
}

/* --- the request --- */

/** An extended CONNECT becomes what HTTP/1.1 would have sent: a GET with Upgrade, whose key the
 *  backend wants and the client has not sent (RFC 8441 §5). */
static enum pn_rc make_upgrade(struct pn_h2_turn *turn)
{
    struct pn_call *call = turn->front.call;
    unsigned char key[WEBSOCKET_KEY_BYTES];
    struct pn_buf text;
    enum pn_rc rc = PN_OK;

    call->request.method = PN_LIT("GET");
    call->request.framing = PN_BODY_NONE;
    turn->front.upgrade = turn->stream->protocol;
    pn_source_init_memory(&turn->no_body, pn_slice("", 0));
    turn->front.body = &turn->no_body;
    call->body = turn->front.body;
    if (!pn_slice_case_eq_str(turn->stream->protocol, "websocket"))
        return PN_OK;
    if (RAND_bytes(key, sizeof(key)) != 1)
        return PN_INTERNAL;
    pn_buf_init(&text, 64);
    rc = pn_base64_encode(pn_slice(key, sizeof(key)), &text);
    (void)pn_headers_remove(&call->request.headers, PN_LIT("Sec-WebSocket-Key"));
    if (rc == PN_OK)
        rc = pn_headers_add_copy(&call->request.headers, PN_LIT("Sec-WebSocket-Key"),
                                 pn_buf_slice(&text));
    pn_buf_fini(&text);
    return rc;
}

void pn_h2_turn_request(struct pn_h2_turn *turn, const struct pn_request_head *request)
{
    struct pn_call *call = turn->front.call;

    pn_metric_add(PN_METRIC_REQUESTS, 1);
    call->request = *request;
    if (turn->stream->protocol.len > 0 && !pn_front_may_become(turn->stream->protocol)) {
        pn_call_refuse(call, 501, "this :protocol is not served");
        return;
    }
    if (turn->stream->protocol.len > 0 && make_upgrade(turn) != PN_OK) {
        turn_reset(turn, PN_H2_INTERNAL_ERROR);
        return;
    }
    pn_call_begin(call);
}

void pn_h2_turn_refuse(struct pn_h2_turn *turn, const struct pn_request_head *request,
                       const struct pn_http_fault *fault)
{
    pn_metric_add(PN_METRIC_REQUESTS, 1);
    turn->front.call->request.method = request->method;
    turn->front.call->request.headers = request->headers; /* perhaps of gRPC */
    pn_call_refuse(turn->front.call, fault->status, fault->cause);
}

static void watch_tunnel(struct pn_h2_turn *turn)
{
    pn_loop_arm(turn->link->client->worker->loop, &turn->timer,
                pn_limit_value(PN_LIMIT_TUNNEL_IDLE_TIMEOUT));
}

void pn_h2_turn_data(struct pn_h2_turn *turn)
{
    if (turn->is_tunnel)
        watch_tunnel(turn);
    if (turn->front.body == &turn->stream->in)
        pn_call_on_body(turn->front.call);
}

/* --- the answer, as the engine pulls it --- */

static struct pn_h2_turn *turn_of_out(struct pn_source *source)
{
    return PN_CONTAINER(source, struct pn_h2_turn, out);
}

/** One piece of the answer. While there is one, it is the client who is waited for. */
static enum pn_rc out_next(struct pn_source *source)
{
    struct pn_h2_turn *turn = turn_of_out(source);
    struct pn_source *answer = turn->answer;
    enum pn_rc rc = answer->failure != PN_OK ? answer->failure : pn_source_peek(answer);

    source->trailers = answer->trailers;
    if (rc == PN_OK) {
        source->held = answer->held;
        if (turn->is_tunnel)
            watch_tunnel(turn);
        else
            pn_call_awaits_client(turn->front.call);
    } else if (rc == PN_AGAIN && !turn->is_tunnel) {
        pn_call_awaits_source(turn->front.call);
    }
    return rc;
}

static enum pn_rc out_read(struct pn_source *source)
{
    return pn_source_read(turn_of_out(source)->answer);
}

static void out_used(struct pn_source *source, size_t len)
{
    pn_source_use(turn_of_out(source)->answer, len);
}

static const struct pn_source_ops out_ops = {.next = out_next, .read = out_read, .used = out_used};

void pn_h2_turn_source_failed(struct pn_h2_turn *turn)
{
    uint32_t code = turn->front.call->exchange.reset_code;

    pn_call_broke_off(turn->front.call);
    turn_reset(turn, code);
}

void pn_h2_turn_sent(struct pn_h2_turn *turn)
{
    turn->is_sent = true;
}

void pn_h2_turn_closed(struct pn_h2_turn *turn, uint32_t code)
{
    struct pn_call *call = turn->front.call;
    bool is_whole = turn->is_sent && code == PN_H2_NO_ERROR;

    turn->front.call = NULL;
    turn_give_back(turn);
    if (is_whole)
        pn_call_answered(call);
    else
        pn_call_cancel(call);
}

/* --- what the call asks for --- */

/** What HTTP/2 wants of the fields. Connection fields are left out by the engine. */
static enum pn_rc set_fields(struct pn_h2_turn *turn, const struct pn_answer *answer)
{
    struct pn_headers *headers = answer->headers;
    struct pn_slice length = pn_headers_get_kind(headers, PN_HEADER_CONTENT_LENGTH);
    enum pn_rc rc = PN_OK;
    uint64_t number;

    if (answer->is_tunnel)
        (void)pn_headers_remove(headers, PN_LIT("Sec-WebSocket-Accept"));
    if (length.ptr && (!answer->has_length || !pn_slice_to_u64(length, UINT64_MAX, &number) ||
                       number != answer->length)) {
        (void)pn_headers_remove(headers, PN_LIT("Content-Length"));
        length.ptr = NULL;
    }
    if (!length.ptr && answer->has_length) {
        const char *text =
            pn_arena_printf(turn->front.call->arena, "%llu", (unsigned long long)answer->length);

        rc =
            text ? pn_headers_add(headers, PN_LIT("Content-Length"), pn_slice_str(text)) : PN_NOMEM;
    }
    if (rc == PN_OK && !pn_headers_has_kind(headers, PN_HEADER_DATE))
        rc = pn_headers_add_copy(headers, PN_LIT("Date"),
                                 pn_worker_date(turn->link->client->worker));
    return rc;
}

/** Known to be: END_STREAM goes with the head (of gRPC, an answer that is trailers only). */
static bool is_empty(const struct pn_source *body)
{
    return pn_source_is_done(body) && (!body->trailers || body->trailers->count == 0);
}

static void front_answer(struct pn_front *front, const struct pn_answer *answer)
{
    struct pn_h2_turn *turn = turn_of(front);
    bool has_body = !answer->is_bodiless && !(answer->has_length && answer->length == 0) &&
                    !is_empty(answer->body);
    enum pn_rc rc = set_fields(turn, answer);

    pn_loop_disarm(turn->link->client->worker->loop, &turn->timer);
    turn->answer = answer->body;
    turn->is_tunnel = answer->is_tunnel;
    if (turn->is_tunnel) {
        front->body = &turn->stream->in;
        watch_tunnel(turn);
    }
    pn_source_init(&turn->out, &out_ops, false);
    if (rc == PN_OK)
        rc = pn_h2_respond(turn->stream, answer->is_tunnel ? 200 : answer->status, answer->headers,
                           has_body ? &turn->out : NULL);
    if (rc == PN_OK && turn->is_tunnel)
        pn_call_tunnel(front->call);
    if (rc == PN_OK)
        return;
    pn_log(PN_LOG_ERROR, "answer_not_writable", "rc", PN_S(pn_rc_name(rc)), NULL);
    turn_reset(turn, PN_H2_INTERNAL_ERROR);
}

static void front_resume(struct pn_front *front)
{
    struct pn_h2_turn *turn = turn_of(front);

    if (!turn->answer)
        return;
    if (turn->answer->failure != PN_OK) /* the piece goes with the backend's stream */
        turn->out.held = pn_slice("", 0);
    pn_h2_resume(turn->stream);
}

static void front_inform(struct pn_front *front, int status, struct pn_slice reason,
                         const struct pn_headers *headers)
{
    struct pn_h2_turn *turn = turn_of(front);
    enum pn_rc rc;

    (void)reason;
    if (turn->answer)
        return;
    rc = pn_h2_inform(turn->stream, status, headers);
    if (rc != PN_OK)
        pn_log(PN_LOG_DEBUG, "interim_answer_dropped", "rc", PN_S(pn_rc_name(rc)), NULL);
}

static void front_abort(struct pn_front *front)
{
    turn_reset(turn_of(front), front->call->exchange.reset_code);
}

static const struct pn_front_ops front_ops = {
    .answer = front_answer,
    .resume = front_resume,
    .inform = front_inform,
    .abort = front_abort,
};
