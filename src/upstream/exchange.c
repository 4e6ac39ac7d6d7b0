/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP/1.1 client. Every way out is pn_exchange_finish() or pn_exchange_cancel().
 */
#include "upstream/exchange.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"

static void begin(struct pn_exchange *exchange, struct pn_conn *conn);

static void arm(struct pn_exchange *exchange, uint64_t delay_ms)
{
    pn_loop_arm(pn_pool_loop(exchange->pool), &exchange->timer, delay_ms);
}

static void release(struct pn_exchange *exchange, bool keep)
{
    struct pn_conn *conn = exchange->conn;

    exchange->conn = NULL;
    exchange->state = PN_EXCHANGE_IDLE;
    pn_loop_disarm(pn_pool_loop(exchange->pool), &exchange->timer);
    pn_loop_soon_cancel(&exchange->again);
    if (!conn)
        return;
    if (keep)
        pn_pool_give_back(conn);
    else
        pn_pool_drop(conn);
}

static void fail(struct pn_exchange *exchange)
{
    release(exchange, false);
    exchange->events->on_failed(exchange->ctx);
}

static void on_acquire_failed(void *ctx)
{
    struct pn_exchange *exchange = ctx;

    exchange->failure = exchange->acquire.failure;
    fail(exchange);
}

static void on_acquired(void *ctx, struct pn_conn *conn)
{
    struct pn_exchange *exchange = ctx;

    begin(exchange, conn);
}

/* --- failures of the connection, and the one retry --- */

static bool may_retry(const struct pn_exchange *exchange)
{
    return exchange->is_reused && !exchange->was_retried && exchange->scan.checked == 0 &&
           pn_inlet_bytes(&exchange->conn->inlet).len == 0 && exchange->informational == 0 &&
           exchange->spec.request_body->taken_bytes == 0 &&
           (exchange->out.sent_bytes == 0 || pn_http_method_is_idempotent(exchange->spec.method));
}

static void retry(struct pn_exchange *exchange)
{
    struct pn_conn *conn = NULL;
    enum pn_rc rc;

    release(exchange, false);
    exchange->was_retried = true;
    exchange->state = PN_EXCHANGE_ACQUIRING;
    arm(exchange, exchange->spec.timeout_ms);
    rc = pn_pool_take(exchange->pool, &exchange->acquire, &exchange->spec.demand, true, &conn);
    if (rc == PN_AGAIN)
        return;
    exchange->failure = exchange->acquire.failure;
    fail(exchange);
}

/** Before the head. The report says why when TLS knows (a late alert of TLS 1.3). */
static void connection_failed(struct pn_exchange *exchange)
{
    const struct pn_tls_report *report = pn_stream_report(exchange->conn->stream);

    if (may_retry(exchange)) {
        retry(exchange);
        return;
    }
    if (report && report->cause != PN_CAUSE_NONE)
        pn_failure_from_report(&exchange->failure, report);
    else
        pn_failure_set(&exchange->failure, "connection_closed",
                       "the backend closed the connection before it answered");
    if (report)
        snprintf(exchange->failure.peer, sizeof(exchange->failure.peer), "%s", report->peer);
    fail(exchange);
}

static void on_timeout(struct pn_timer *timer)
{
    struct pn_exchange *exchange = timer->ctx;

    pn_metric_add(PN_METRIC_TIMEOUTS, 1);
    if (exchange->state == PN_EXCHANGE_ACQUIRING)
        pn_acquire_cancel(&exchange->acquire);
    if (exchange->state == PN_EXCHANGE_ANSWERING) {
        exchange->answer->failure = PN_TIMEOUT;
        exchange->events->on_body(exchange->ctx);
        return;
    }
    pn_failure_set(&exchange->failure, "timeout", "the backend did not answer within %llu ms",
                   (unsigned long long)exchange->spec.timeout_ms);
    exchange->failure.is_timeout = true;
    fail(exchange);
}

/* --- the answer --- */

static enum pn_rc malformed(struct pn_exchange *exchange, enum pn_rc rc, const char *cause)
{
    pn_failure_set(&exchange->failure,
                   rc == PN_LIMIT ? "response_header_too_large" : "malformed_response",
                   "the backend's answer: %s", cause);
    if (rc == PN_LIMIT)
        pn_metric_add(PN_METRIC_LIMIT_HEADER_BYTES, 1);
    return rc;
}

/** One head out of the inlet. PN_OK: exchange->response; PN_AGAIN: not whole. */
static enum pn_rc parse_head(struct pn_exchange *exchange)
{
    struct pn_inlet *inlet = &exchange->conn->inlet;
    struct pn_http_fault fault = {0};
    struct pn_slice head;
    size_t len = 0;
    enum pn_rc rc = pn_h1_scan(&exchange->scan, PN_H1_RESPONSE, pn_inlet_bytes(inlet),
                               exchange->spec.limits, &len, &fault);

    if (rc == PN_AGAIN)
        return rc;
    if (rc != PN_OK)
        return malformed(exchange, rc, fault.cause);
    head = pn_arena_dup(exchange->spec.arena, pn_slice_sub(pn_inlet_bytes(inlet), 0, len));
    pn_inlet_consume(inlet, len);
    if (!head.ptr)
        return malformed(exchange, PN_NOMEM, "no memory for its head");
    pn_headers_init(&exchange->response.headers, exchange->spec.arena);
    rc = pn_h1_response_parse(head, exchange->spec.limits, exchange->spec.method,
                              &exchange->response, &fault);
    memset(&exchange->scan, 0, sizeof(exchange->scan));
    return rc == PN_OK ? PN_OK : malformed(exchange, rc, fault.cause);
}

/** PN_OK: a final head; PN_AGAIN: look for another one. */
static enum pn_rc take_head(struct pn_exchange *exchange)
{
    int status = exchange->response.status;

    if (status >= 200)
        return PN_OK;
    if (status == 101)
        return malformed(exchange, PN_MALFORMED, "101 to a request without Upgrade");
    if (++exchange->informational > PN_INFORMATIONAL_MAX)
        return malformed(exchange, PN_MALFORMED, "too many 1xx answers");
    if (status != 100)
        exchange->events->on_informational(exchange->ctx);
    return PN_AGAIN;
}

/** false: an event was told, and the exchange may be gone. */
static bool read_head(struct pn_exchange *exchange)
{
    for (;;) {
        enum pn_rc rc = parse_head(exchange);

        if (rc == PN_OK) {
            rc = take_head(exchange);
            if (rc == PN_OK)
                break;
            if (rc == PN_AGAIN)
                continue;
        }
        if (rc == PN_AGAIN) {
            rc = pn_inlet_read(&exchange->conn->inlet, exchange->conn->stream);
            if (rc == PN_OK)
                continue;
            if (rc == PN_AGAIN)
                return true;
            connection_failed(exchange);
            return false;
        }
        fail(exchange);
        return false;
    }
    exchange->state = PN_EXCHANGE_ANSWERING;
    pn_headers_init(&exchange->trailers, exchange->spec.arena);
    pn_body_in_init(&exchange->body, &exchange->conn->inlet, exchange->conn->stream, PN_H1_RESPONSE,
                    exchange->response.framing, exchange->response.content_length,
                    exchange->spec.limits, &exchange->trailers);
    exchange->answer = &exchange->body.source;
    pn_exchange_wait(exchange);
    exchange->events->on_head(exchange->ctx);
    return false;
}

/* --- the request --- */

static bool is_ours(struct pn_slice name)
{
    return pn_slice_case_eq_str(name, "Host") || pn_slice_case_eq_str(name, "Content-Length") ||
           pn_slice_case_eq_str(name, "Transfer-Encoding") ||
           pn_slice_case_eq_str(name, "Connection") || pn_slice_case_eq_str(name, "Expect");
}

static enum pn_rc write_head(struct pn_exchange *exchange)
{
    const struct pn_exchange_spec *spec = &exchange->spec;
    struct pn_buf *out = &exchange->out.out;
    enum pn_rc rc = pn_h1_write_request_line(out, spec->method, spec->request_target);

    if (rc == PN_OK)
        rc = pn_h1_write_field(out, PN_LIT("Host"), spec->demand.target->authority);
    for (size_t i = 0; rc == PN_OK && i < spec->headers->count; i++) {
        const struct pn_header *header = &spec->headers->items[i];

        if (!is_ours(header->name))
            rc = pn_h1_write_field(out, header->name, header->value);
    }
    if (rc == PN_OK && spec->framing == PN_BODY_STREAMED)
        rc = pn_h1_write_field(out, PN_LIT("Transfer-Encoding"), PN_LIT("chunked"));
    if (rc == PN_OK && spec->framing == PN_BODY_LENGTH)
        rc = pn_h1_write_content_length(out, spec->content_length);
    if (rc == PN_OK)
        rc = pn_h1_write_end(out);
    return rc;
}

void pn_exchange_send(struct pn_exchange *exchange)
{
    enum pn_transfer moved;
    uint64_t sent = exchange->out.sent_bytes;

    if (!exchange->conn || exchange->request_sent)
        return;
    moved = pn_transfer(exchange->spec.request_body, &exchange->out);
    if (exchange->state == PN_EXCHANGE_SENDING && exchange->out.sent_bytes != sent)
        arm(exchange, exchange->spec.timeout_ms);
    switch (moved) {
    case PN_TRANSFER_DONE:
        exchange->request_sent = true;
        return;
    case PN_TRANSFER_WAIT_READ:
    case PN_TRANSFER_WAIT_WRITE:
        return;
    case PN_TRANSFER_YIELD:
        pn_loop_soon(pn_pool_loop(exchange->pool), &exchange->again);
        return;
    case PN_TRANSFER_SOURCE_FAILED:
        exchange->events->on_request_failed(exchange->ctx);
        return;
    case PN_TRANSFER_SINK_FAILED:
        break;
    }
    /* The backend takes no more: perhaps it has answered, or sent an alert, before it closed. */
    exchange->request_sent = true;
    exchange->is_cut = true;
    if (exchange->state == PN_EXCHANGE_SENDING) {
        exchange->conn->inlet.is_drained = false;
        if (read_head(exchange))
            connection_failed(exchange);
    }
}

static void on_again(struct pn_task *task)
{
    pn_exchange_send(task->ctx);
}

static void on_readable(void *ctx, struct pn_stream *stream)
{
    struct pn_exchange *exchange = ctx;

    (void)stream;
    exchange->conn->inlet.is_drained = false;
    if (exchange->state == PN_EXCHANGE_SENDING) {
        (void)read_head(exchange);
    } else {
        exchange->events->on_body(exchange->ctx);
    }
}

static void on_writable(void *ctx, struct pn_stream *stream)
{
    (void)stream;
    pn_exchange_send(ctx);
}

static void on_open(void *ctx, struct pn_stream *stream)
{
    (void)ctx;
    (void)stream;
}

static const struct pn_stream_events stream_events = {
    .on_open = on_open,
    .on_readable = on_readable,
    .on_writable = on_writable,
};

/** A request that cannot be sent twice (its method, or its body, which is not kept) is not given to
 *  a connection that is already closed. */
static bool is_stale(struct pn_exchange *exchange)
{
    enum pn_rc rc;

    if (!exchange->is_reused || (exchange->spec.request_body->has_ended &&
                                 pn_http_method_is_idempotent(exchange->spec.method)))
        return false;
    exchange->conn->inlet.is_drained = false;
    rc = pn_inlet_read(&exchange->conn->inlet, exchange->conn->stream);
    pn_inlet_rest(&exchange->conn->inlet);
    return rc != PN_AGAIN;
}

static void begin(struct pn_exchange *exchange, struct pn_conn *conn)
{
    enum pn_rc rc;

    exchange->conn = conn;
    exchange->is_reused = conn->requests > 0;
    exchange->state = PN_EXCHANGE_SENDING;
    memset(&exchange->scan, 0, sizeof(exchange->scan));
    exchange->request_sent = false;
    exchange->is_cut = false;
    pn_stream_set_events(conn->stream, &stream_events, exchange);
    pn_body_out_start(&exchange->out, conn->stream, exchange->spec.framing);
    if (is_stale(exchange)) {
        retry(exchange);
        return;
    }
    rc = write_head(exchange);
    if (rc != PN_OK) {
        pn_failure_set(&exchange->failure, "internal", "the request cannot be written: %s",
                       rc == PN_MALFORMED ? "a header or the path is not valid" : "out of memory");
        fail(exchange);
        return;
    }
    rc = pn_conn_check(conn, &exchange->spec.demand);
    if (rc != PN_OK) { /* promise 1: counted there; nothing was written */
        pn_failure_set(&exchange->failure, "identity_mismatch",
                       "the connection carries another identity than the request demands");
        fail(exchange);
        return;
    }
    conn->requests++;
    arm(exchange, exchange->spec.timeout_ms);
    exchange->events->on_sending(exchange->ctx);
    pn_exchange_send(exchange);
}

enum pn_rc pn_exchange_start(struct pn_exchange *exchange, const struct pn_exchange_spec *spec)
{
    struct pn_conn *conn = NULL;
    enum pn_rc rc;

    exchange->spec = *spec;
    exchange->was_retried = false;
    exchange->informational = 0;
    exchange->failure.code = NULL;
    exchange->failure.peer[0] = '\0';
    exchange->failure.is_timeout = false;
    exchange->state = PN_EXCHANGE_ACQUIRING;
    exchange->acquire.on_ready = on_acquired;
    exchange->acquire.on_failed = on_acquire_failed;
    exchange->acquire.ctx = exchange;
    rc = pn_pool_take(exchange->pool, &exchange->acquire, &spec->demand, false, &conn);
    if (rc == PN_OK) {
        begin(exchange, conn);
        return PN_OK;
    }
    if (rc == PN_AGAIN) {
        arm(exchange, spec->timeout_ms);
        return PN_OK;
    }
    exchange->failure = exchange->acquire.failure;
    exchange->state = PN_EXCHANGE_IDLE;
    return rc;
}

void pn_exchange_hold(struct pn_exchange *exchange)
{
    pn_loop_disarm(pn_pool_loop(exchange->pool), &exchange->timer);
}

void pn_exchange_wait(struct pn_exchange *exchange)
{
    arm(exchange, PN_BODY_IDLE_TIMEOUT_MS);
}

void pn_exchange_finish(struct pn_exchange *exchange)
{
    release(exchange, exchange->request_sent && !exchange->is_cut &&
                          exchange->response.keep_alive && pn_source_is_done(exchange->answer));
}

void pn_exchange_cancel(struct pn_exchange *exchange)
{
    if (exchange->state == PN_EXCHANGE_ACQUIRING)
        pn_acquire_cancel(&exchange->acquire);
    release(exchange, false);
}

void pn_exchange_init(struct pn_exchange *exchange, struct pn_pool *pool,
                      const struct pn_exchange_events *events, void *ctx)
{
    memset(exchange, 0, sizeof(*exchange));
    exchange->pool = pool;
    exchange->events = events;
    exchange->ctx = ctx;
    pn_body_out_init(&exchange->out);
    pn_timer_init(&exchange->timer, on_timeout, exchange);
    pn_task_init(&exchange->again, on_again, exchange);
}

void pn_exchange_fini(struct pn_exchange *exchange)
{
    pn_exchange_cancel(exchange);
    pn_body_out_fini(&exchange->out);
}
