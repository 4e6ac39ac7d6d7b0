/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/1.1 requests of a connection: their heads, keep-alive, and the front of the one under way
 * (RFC 9112 §9.3). Answers: client_h1_answer.c.
 */
#include "gateway/client_h1.h"

#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"
#include "gateway/client_h1_internal.h"
#include "gateway/client_h2.h"

#define SKIPS_MAX 16 /* reads in a row of a body that nobody wants */

/* --- turns --- */

static struct pn_h1_turn *turn_take(struct pn_client *client)
{
    struct pn_worker *worker = client->worker;
    struct pn_h1_turn *turn = worker->spare_h1_turns;

    if (turn) {
        worker->spare_h1_turns = turn->next_spare;
        worker->spare_h1_turn_count--;
    } else {
        turn = calloc(1, sizeof(*turn));
        if (!turn)
            return NULL;
        turn->front.ops = &pn_h1_front_ops;
        pn_body_out_init(&turn->out);
        pn_task_init(&turn->again, pn_h1_on_again, turn);
    }
    turn->client = client;
    turn->front.origin = &client->origin;
    turn->front.timer = &client->timer;
    turn->front.body = &turn->in.source;
    turn->front.closes = false;
    turn->answer = NULL;
    turn->interim_cut = false;
    turn->is_half_closed = false;
    turn->is_keepable = false;
    turn->is_tunnel = false;
    turn->is_half_done = false;
    turn->has_continued = false;
    turn->is_skipping = false;
    turn->front.upgrade = pn_slice(NULL, 0);
    return turn;
}

static void turn_free(struct pn_h1_turn *turn)
{
    pn_body_out_fini(&turn->out);
    free(turn);
}

static void turn_give_back(struct pn_h1_turn *turn)
{
    struct pn_worker *worker = turn->client->worker;

    pn_loop_soon_cancel(&turn->again);
    turn->client->turn = NULL;
    turn->client = NULL;
    turn->front.call = NULL;
    if (worker->spare_h1_turn_count >= PN_CALLS_SPARE_MAX) {
        turn_free(turn);
        return;
    }
    turn->next_spare = worker->spare_h1_turns;
    worker->spare_h1_turns = turn;
    worker->spare_h1_turn_count++;
}

void pn_h1_turns_free_spare(struct pn_worker *worker)
{
    while (worker->spare_h1_turns) {
        struct pn_h1_turn *next = worker->spare_h1_turns->next_spare;

        turn_free(worker->spare_h1_turns);
        worker->spare_h1_turns = next;
    }
    worker->spare_h1_turn_count = 0;
}

/** NULL: no memory; the connection is closed. Its body is for the caller to set. */
static struct pn_h1_turn *turn_begin(struct pn_client *client)
{
    struct pn_h1_turn *turn = turn_take(client);
    struct pn_call *call = turn ? pn_call_create(client->worker, &turn->front) : NULL;

    client->state = PN_CLIENT_CALL;
    client->turn = turn;
    if (!call) {
        if (turn)
            turn_give_back(turn);
        pn_client_close(client, true);
        return NULL;
    }
    turn->front.call = call;
    pn_headers_init(&turn->trailers, call->arena);
    return turn;
}

/** Without a head there is no body. */
static void refuse(struct pn_h1_turn *turn, const struct pn_http_fault *fault)
{
    struct pn_client *client = turn->client;

    pn_body_in_init(&turn->in, &client->inlet, client->stream, PN_H1_REQUEST, PN_BODY_NONE, 0,
                    &client->worker->http_limits, NULL);
    pn_call_refuse(turn->front.call, fault->status, fault->cause);
}

void pn_h1_cancel(struct pn_client *client)
{
    struct pn_h1_turn *turn = client->turn;

    if (turn->front.call)
        pn_call_cancel(turn->front.call);
    turn_give_back(turn);
}

/* --- heads --- */

/** One protocol that the connection may become (RFC 9110 §7.8). A client that asks for what no
 *  tunnel may carry goes on in HTTP/1.1. */
static struct pn_slice find_upgrade(const struct pn_request_head *request)
{
    struct pn_slice protocol;

    if (!pn_headers_may_have(&request->headers, PN_HEADER_UPGRADE))
        return pn_slice(NULL, 0);
    protocol = pn_headers_get(&request->headers, "Upgrade");
    if (!protocol.ptr || request->minor_version == 0 || request->framing != PN_BODY_NONE ||
        pn_headers_count(&request->headers, "Upgrade") != 1 ||
        !pn_http_list_has(&request->headers, "Connection", "Upgrade") ||
        !pn_front_may_become(protocol))
        return pn_slice(NULL, 0);
    return protocol;
}

/** Which limit of the table a refused head has hit, if any: a method's length is fixed. */
static void count_limit(enum pn_rc rc, int status, enum pn_limit otherwise)
{
    if (rc == PN_LIMIT && status == 414)
        pn_limit_hit(PN_LIMIT_TARGET_BYTES);
    else if (rc == PN_LIMIT && status == 431)
        pn_limit_hit(otherwise);
}

/** A whole head is there: the call takes it from here. */
static void begin_call(struct pn_client *client, size_t head_bytes)
{
    struct pn_slice head = pn_slice_sub(pn_inlet_bytes(&client->inlet), 0, head_bytes);
    struct pn_http_fault fault = {.status = 500, .cause = "out of memory"};
    const struct pn_http_limits *limits = &client->worker->http_limits;
    enum pn_rc rc = PN_NOMEM;
    struct pn_h1_turn *turn;
    struct pn_request_head *request;

    memset(&client->scan, 0, sizeof(client->scan));
    client->requests++;
    pn_loop_disarm(client->worker->loop, &client->timer);
    turn = turn_begin(client);
    if (!turn)
        return;
    request = &turn->front.call->request;
    head = pn_arena_dup(turn->front.call->arena, head);
    pn_inlet_consume(&client->inlet, head_bytes);
    pn_inlet_rest(&client->inlet); /* the next connection reads into what is in the cache */
    pn_metric_add(PN_METRIC_REQUESTS, 1);
    if (head.ptr)
        rc = pn_h1_request_parse(head, limits, request, &fault);
    if (rc != PN_OK) {
        count_limit(rc, fault.status, PN_LIMIT_HEADER_COUNT);
        refuse(turn, &fault);
        return;
    }
    turn->is_keepable =
        request->keep_alive && !client->worker->is_draining && !pn_client_is_used_up(client);
    pn_body_in_init(&turn->in, &client->inlet, client->stream, PN_H1_REQUEST, request->framing,
                    request->content_length, limits, &turn->trailers);
    turn->in.framing.connection = request->connection;
    turn->front.upgrade = find_upgrade(request);
    pn_call_begin(turn->front.call);
}

/** The head cannot be read: answer, then close. */
static void refuse_head(struct pn_client *client, enum pn_rc rc, const struct pn_http_fault *fault)
{
    struct pn_h1_turn *turn;

    count_limit(rc, fault->status, PN_LIMIT_HEADER_BYTES);
    turn = turn_begin(client);
    if (turn)
        refuse(turn, fault);
}

void pn_h1_head_timeout(struct pn_client *client)
{
    struct pn_http_fault fault = {
        .status = 408,
        .cause = "the request's head took too long: the limit client-header-timeout"};

    refuse_head(client, PN_TIMEOUT, &fault);
}

static void on_no_head(struct pn_client *client)
{
    if (pn_inlet_bytes(&client->inlet).len > 0 && client->state == PN_CLIENT_IDLE) {
        client->state = PN_CLIENT_HEAD;
        pn_client_arm(client, PN_CLIENT_HEADER_TIMEOUT_MS);
    }
    pn_inlet_rest(&client->inlet);
}

/** The first bytes of a connection without TLS. True: they are a preface, as far as they go; whole,
 *  the connection is HTTP/2's now, or gone. */
static bool looks_like_h2(struct pn_client *client)
{
    bool is_whole = false;

    if (pn_inlet_bytes(&client->inlet).len == 0)
        return false;
    client->may_be_h2 = pn_h2_is_preface(pn_inlet_bytes(&client->inlet), &is_whole);
    if (client->may_be_h2 && is_whole)
        pn_h2_begin(client);
    return client->may_be_h2;
}

void pn_h1_read_requests(struct pn_client *client)
{
    while (client->state == PN_CLIENT_IDLE || client->state == PN_CLIENT_HEAD) {
        struct pn_http_fault fault = {0};
        size_t head_bytes = 0;
        enum pn_rc rc = PN_AGAIN;

        if (client->may_be_h2 && looks_like_h2(client)) {
            if (client->state == PN_CLIENT_H2 || client->state == PN_CLIENT_CLOSED)
                return;
        } else if (pn_inlet_bytes(&client->inlet).len > 0)
            rc = pn_h1_scan(&client->scan, PN_H1_REQUEST, pn_inlet_bytes(&client->inlet),
                            &client->worker->http_limits, &head_bytes, &fault);
        if (rc == PN_OK) {
            begin_call(client, head_bytes);
            return;
        }
        if (rc != PN_AGAIN) {
            refuse_head(client, rc, &fault);
            return;
        }
        rc = pn_inlet_read(&client->inlet, client->stream);
        if (rc == PN_AGAIN) {
            on_no_head(client);
            return;
        }
        if (rc == PN_LIMIT) {
            fault.status = 431;
            fault.cause = "the head is too large";
            refuse_head(client, rc, &fault);
            return;
        }
        if (rc != PN_OK) {
            pn_client_close(client, false);
            return;
        }
    }
}

/* --- the request under way --- */

/** The client has said its last word behind a whole request: it may have gone, or wait for the
 *  answer (RFC 9112 §9.6). A FIN does not tell which; time does. */
static void half_closed(struct pn_h1_turn *turn)
{
    uint64_t grace_ms = pn_limit_value(PN_LIMIT_CLIENT_HALF_CLOSED_TIMEOUT);

    if (turn->is_half_closed || !pn_call_awaits_answer(turn->front.call))
        return;
    turn->is_half_closed = true;
    if (grace_ms > 0)
        pn_client_arm(turn->client, grace_ms);
    else
        pn_client_close(turn->client, false);
}

/** Has the client gone? A pipelined request stays in the inlet. While the answer is under way, a
 *  client that has only said its last word still reads. */
static void look_for_end(struct pn_h1_turn *turn)
{
    struct pn_client *client = turn->client;
    enum pn_rc rc;

    do
        rc = pn_inlet_read(&client->inlet, client->stream);
    while (rc == PN_OK);
    if (rc == PN_IO)
        pn_client_close(client, true);
    else if (rc == PN_EOF)
        half_closed(turn);
}

void pn_h1_on_readable(struct pn_client *client)
{
    if (client->turn->is_skipping) {
        pn_h1_skip_body(client->turn);
        return;
    }
    if (client->turn->is_tunnel && pn_body_out_is_empty(&client->turn->out))
        pn_client_arm(client, PN_TUNNEL_IDLE_TIMEOUT_MS);
    if (client->turn->in.source.has_ended)
        look_for_end(client->turn);
    else
        pn_call_on_body(client->turn->front.call);
}

static enum pn_limit limit_of_timeout(const struct pn_h1_turn *turn)
{
    if (turn->is_skipping)
        return PN_LIMIT_CLIENT_BODY_TIMEOUT;
    return turn->is_tunnel && pn_body_out_is_empty(&turn->out) ? PN_LIMIT_TUNNEL_IDLE_TIMEOUT
                                                               : PN_LIMIT_CLIENT_WRITE_TIMEOUT;
}

void pn_h1_on_timeout(struct pn_client *client)
{
    if (!client->turn->answer && client->turn->is_half_closed) {
        pn_limit_hit(PN_LIMIT_CLIENT_HALF_CLOSED_TIMEOUT);
        pn_client_close(client, false);
        return;
    }
    if (!client->turn->answer) {
        pn_call_on_timeout(client->turn->front.call);
        return;
    }
    pn_limit_hit(limit_of_timeout(client->turn));
    pn_metric_add(PN_METRIC_TIMEOUTS, 1);
    pn_client_close(client, true);
}

/** Both messages are over: the next request, or the end. */
static void turn_over(struct pn_h1_turn *turn)
{
    struct pn_client *client = turn->client;
    bool keep = turn->is_keepable && pn_source_is_done(&turn->in.source);

    turn_give_back(turn);
    /* An answer that began before the drain has promised another one. */
    if (!keep || (client->worker->is_draining && pn_worker_last_wait_ms(client->worker) == 0)) {
        pn_client_linger(client);
        return;
    }
    client->state = PN_CLIENT_IDLE;
    memset(&client->scan, 0, sizeof(client->scan));
    if (client->worker->is_draining)
        pn_client_arm(client, pn_worker_last_wait_ms(client->worker));
    else
        pn_client_arm_idle(client, PN_CLIENT_IDLE_TIMEOUT_MS);
    if (pn_inlet_bytes(&client->inlet).len > 0 || !client->inlet.is_drained)
        pn_loop_soon(client->worker->loop, &client->next);
    else
        pn_inlet_rest(&client->inlet);
}

void pn_h1_skip_body(struct pn_h1_turn *turn)
{
    struct pn_client *client = turn->client;
    struct pn_source *body = &turn->in.source;
    enum pn_rc rc = PN_OK;

    for (int i = 0; rc == PN_OK && i < SKIPS_MAX; i++) {
        for (rc = pn_source_peek(body); rc == PN_OK; rc = pn_source_peek(body))
            pn_source_use(body, body->held.len);
        if (rc == PN_AGAIN)
            rc = pn_source_read(body);
    }
    if (rc == PN_OK)
        pn_loop_soon(client->worker->loop, &turn->again);
    else if (rc == PN_AGAIN)
        pn_client_arm(client, PN_CLIENT_BODY_TIMEOUT_MS);
    else if (rc == PN_EOF)
        turn_over(turn);
    else
        pn_client_close(client, rc != PN_IO);
}

void pn_h1_turn_end(struct pn_h1_turn *turn)
{
    pn_call_answered(turn->front.call);
    turn->front.call = NULL;
    turn->is_skipping = turn->is_keepable && !pn_source_is_done(&turn->in.source);
    if (turn->is_skipping)
        pn_h1_skip_body(turn);
    else
        turn_over(turn);
}
