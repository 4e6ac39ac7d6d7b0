/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP/1.1 client (RFC 9112): the connection is the exchange's alone until the answer was read.
 */
#include <string.h>

#include "upstream/exchange_internal.h"

/* --- failures of the connection --- */

static bool may_retry(const struct pn_exchange *exchange)
{
    return exchange->is_reused && !exchange->was_retried && exchange->h1.scan.checked == 0 &&
           pn_inlet_bytes(&exchange->conn->inlet).len == 0 && exchange->informational == 0 &&
           (exchange->h1.out.sent_bytes == 0 ||
            pn_http_method_is_idempotent(exchange->spec.method)) &&
           pn_exchange_can_repeat_body(exchange);
}

static void connection_failed(struct pn_exchange *exchange)
{
    if (may_retry(exchange))
        pn_exchange_retry(exchange);
    else
        pn_exchange_connection_failed(exchange);
}

/* --- the answer --- */

/** One head out of the inlet. PN_OK: exchange->response; PN_AGAIN: not whole. */
static enum pn_rc parse_head(struct pn_exchange *exchange)
{
    struct pn_inlet *inlet = &exchange->conn->inlet;
    struct pn_http_fault fault = {0};
    struct pn_slice head;
    size_t len = 0;
    enum pn_rc rc = pn_h1_scan(&exchange->h1.scan, PN_H1_RESPONSE, pn_inlet_bytes(inlet),
                               exchange->spec.limits, &len, &fault);

    if (rc == PN_AGAIN)
        return rc;
    if (rc == PN_LIMIT)
        pn_limit_hit(PN_LIMIT_HEADER_BYTES);
    if (rc != PN_OK)
        return pn_exchange_malformed(exchange, rc, fault.cause);
    head = pn_arena_dup(exchange->spec.arena, pn_slice_sub(pn_inlet_bytes(inlet), 0, len));
    pn_inlet_consume(inlet, len);
    if (!head.ptr)
        return pn_exchange_malformed(exchange, PN_NOMEM, "no memory for its head");
    pn_headers_init(&exchange->response.headers, exchange->spec.arena);
    rc = pn_h1_response_parse(head, exchange->spec.limits, exchange->spec.method,
                              &exchange->response, &fault);
    memset(&exchange->h1.scan, 0, sizeof(exchange->h1.scan));
    if (rc == PN_LIMIT)
        pn_limit_hit(PN_LIMIT_HEADER_COUNT);
    return rc == PN_OK ? PN_OK : pn_exchange_malformed(exchange, rc, fault.cause);
}

/** PN_OK: the final head. PN_AGAIN: the stream must be read. Else exchange->failure. */
static enum pn_rc next_head(struct pn_exchange *exchange)
{
    for (;;) {
        enum pn_rc rc = parse_head(exchange);

        if (rc != PN_OK)
            return rc;
        rc = pn_exchange_take_head(exchange);
        if (rc != PN_AGAIN)
            return rc;
    }
}

/** false: an event was told, and the exchange may be gone. */
static bool read_head(struct pn_exchange *exchange)
{
    for (;;) {
        enum pn_rc rc = next_head(exchange);

        if (rc == PN_OK)
            break;
        if (rc != PN_AGAIN) {
            pn_exchange_fail(exchange);
            return false;
        }
        rc = pn_inlet_read(&exchange->conn->inlet, exchange->conn->stream);
        if (rc == PN_AGAIN)
            return true;
        if (rc != PN_OK) {
            connection_failed(exchange);
            return false;
        }
    }
    if (pn_headers_may_have(&exchange->response.headers, PN_HEADER_KEEP_ALIVE))
        pn_exchange_h1_heed_keep_alive(exchange);
    pn_body_in_init(
        &exchange->h1.body, &exchange->conn->inlet, exchange->conn->stream, PN_H1_RESPONSE,
        exchange->response.status == 101 ? PN_BODY_UNTIL_CLOSE : exchange->response.framing,
        exchange->response.content_length, exchange->spec.limits, &exchange->trailers);
    exchange->h1.body.framing.connection = exchange->response.connection;
    exchange->answer = &exchange->h1.body.source;
    pn_exchange_answering(exchange);
    return false;
}

/* --- the request --- */

/** `asks`: how long the backend keeps the connection; apache2, for one, tells nobody else. */
static struct pn_slice connection_of(const struct pn_exchange_spec *spec, bool asks)
{
    if (spec->upgrade.ptr)
        return spec->accepts_trailers ? PN_LIT("Upgrade, TE") : PN_LIT("Upgrade");
    if (spec->accepts_trailers)
        return asks ? PN_LIT("keep-alive, TE") : PN_LIT("TE");
    return asks ? PN_LIT("keep-alive") : pn_slice("", 0);
}

/** Connection and the fields it speaks of, and Expect. */
static enum pn_rc write_hop_fields(const struct pn_exchange *exchange, struct pn_buf *out)
{
    const struct pn_exchange_spec *spec = &exchange->spec;
    bool upgrades = spec->upgrade.ptr != NULL;
    bool asks = exchange->conn->requests == 0;
    enum pn_rc rc = PN_OK;

    if (upgrades)
        rc = pn_h1_write_field(out, PN_LIT("Upgrade"), spec->upgrade);
    if (rc == PN_OK && spec->accepts_trailers)
        rc = pn_h1_write_field(out, PN_LIT("TE"), PN_LIT("trailers"));
    if (rc == PN_OK && (upgrades || spec->accepts_trailers || asks))
        rc = pn_h1_write_field(out, PN_LIT("Connection"), connection_of(spec, asks));
    if (rc == PN_OK && spec->expects_continue)
        rc = pn_h1_write_field(out, PN_LIT("Expect"), PN_LIT("100-continue"));
    return rc;
}

static enum pn_rc write_head(struct pn_exchange *exchange)
{
    const struct pn_exchange_spec *spec = &exchange->spec;
    struct pn_buf *out = &exchange->h1.out.out;
    enum pn_rc rc = pn_h1_write_request_line(out, spec->method, spec->request_target);

    if (rc == PN_OK)
        rc = pn_h1_write_field(out, PN_LIT("Host"), spec->demand.target->authority);
    if (rc == PN_OK)
        rc = pn_h1_write_fields_but(out, spec->headers, PN_EXCHANGE_OWN_FIELDS);
    if (rc == PN_OK && spec->framing == PN_BODY_STREAMED)
        rc = pn_h1_write_field(out, PN_LIT("Transfer-Encoding"), PN_LIT("chunked"));
    if (rc == PN_OK && spec->framing == PN_BODY_LENGTH)
        rc = pn_h1_write_content_length(out, spec->content_length);
    if (rc == PN_OK)
        rc = write_hop_fields(exchange, out);
    if (rc == PN_OK)
        rc = pn_h1_write_end(out);
    return rc;
}

/** The last byte is written. */
static void sent(struct pn_exchange *exchange)
{
    exchange->request_sent = true;
    if (exchange->state != PN_EXCHANGE_TUNNEL)
        return;
    pn_stream_shutdown(exchange->conn->stream);
    if (exchange->events->on_request_sent)
        exchange->events->on_request_sent(exchange->ctx);
}

/** The backend takes no more: perhaps it has answered, or sent an alert, before it closed. */
static void sink_failed(struct pn_exchange *exchange)
{
    exchange->request_sent = true;
    exchange->h1.is_cut = true;
    exchange->conn->inlet.is_drained = false;
    if (exchange->state == PN_EXCHANGE_SENDING) {
        if (read_head(exchange))
            connection_failed(exchange);
    } else if (exchange->state == PN_EXCHANGE_TUNNEL) {
        exchange->events->on_body(exchange->ctx);
    }
}

void pn_exchange_h1_send(struct pn_exchange *exchange)
{
    struct pn_body_out *out = &exchange->h1.out;
    uint64_t former = out->sent_bytes;
    enum pn_transfer moved = pn_transfer(exchange->spec.request_body, out);

    if (out->sent_bytes != former)
        pn_exchange_sent_some(exchange);
    switch (moved) {
    case PN_TRANSFER_DONE:
        sent(exchange);
        return;
    case PN_TRANSFER_WAIT_READ:
    case PN_TRANSFER_WAIT_WRITE:
        return;
    case PN_TRANSFER_YIELD:
        pn_loop_soon(pn_pool_loop(exchange->pool), &exchange->h1.again);
        return;
    case PN_TRANSFER_SOURCE_FAILED:
        exchange->events->on_request_failed(exchange->ctx);
        return;
    case PN_TRANSFER_SINK_FAILED:
        sink_failed(exchange);
        return;
    }
}

void pn_exchange_h1_tunnel(struct pn_exchange *exchange)
{
    pn_body_out_start(&exchange->h1.out, exchange->conn->stream, PN_BODY_UNTIL_CLOSE);
    pn_exchange_h1_send(exchange);
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
    if (exchange->conn->is_bounded)
        exchange->conn->heard_ms = pn_loop_now_ms(pn_pool_loop(exchange->pool));
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
    struct pn_conn *conn = exchange->conn;
    enum pn_rc rc;

    if (!exchange->is_reused || (exchange->spec.request_body->has_ended &&
                                 pn_http_method_is_idempotent(exchange->spec.method)))
        return false;
    conn->inlet.is_drained = false;
    rc = pn_inlet_read(&conn->inlet, conn->stream);
    pn_inlet_rest(&conn->inlet);
    return rc != PN_AGAIN;
}

void pn_exchange_h1_begin(struct pn_exchange *exchange)
{
    struct pn_conn *conn = exchange->conn;
    enum pn_rc rc;

    memset(&exchange->h1.scan, 0, sizeof(exchange->h1.scan));
    exchange->h1.is_cut = false;
    pn_stream_set_events(conn->stream, &stream_events, exchange);
    pn_body_out_start(&exchange->h1.out, conn->stream, exchange->spec.framing);
    if (is_stale(exchange)) {
        pn_exchange_retry(exchange);
        return;
    }
    rc = write_head(exchange);
    if (rc != PN_OK) {
        pn_failure_set(&exchange->failure, "internal", "the request cannot be written: %s",
                       rc == PN_MALFORMED ? "a header or the path is not valid" : "out of memory");
        pn_exchange_fail(exchange);
        return;
    }
    if (!pn_exchange_check_identity(exchange))
        return;
    pn_exchange_sending(exchange);
    pn_exchange_h1_send(exchange);
}

bool pn_exchange_h1_wants_body(const struct pn_exchange *exchange)
{
    return pn_body_out_is_empty(&exchange->h1.out);
}

bool pn_exchange_h1_is_clean(const struct pn_exchange *exchange)
{
    return exchange->request_sent && !exchange->h1.is_cut && exchange->response.keep_alive &&
           pn_source_is_done(exchange->answer);
}

void pn_exchange_h1_init(struct pn_exchange *exchange)
{
    pn_body_out_init(&exchange->h1.out);
    pn_task_init(&exchange->h1.again, on_again, exchange);
}

void pn_exchange_h1_fini(struct pn_exchange *exchange)
{
    pn_body_out_fini(&exchange->h1.out);
}
