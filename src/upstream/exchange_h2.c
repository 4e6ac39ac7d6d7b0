/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP/2 client's side of one request (RFC 9113 §8): a stream on a connection that others
 * share.
 *
 * The answer's body is a source of our own in front of the stream's, for a stream may be gone
 * before its reader has looked. What a reset means for the client's own stream:
 * pn_exchange_h2_code_out().
 */
#include <stdio.h>

#include "base/encode.h"
#include "base/metrics.h"
#include "upstream/conn_h2.h"
#include "upstream/exchange_internal.h"

/* --- error codes --- */

const char *pn_exchange_h2_code_name(uint32_t code)
{
    static const char *const names[] = {"NO_ERROR",
                                        "PROTOCOL_ERROR",
                                        "INTERNAL_ERROR",
                                        "FLOW_CONTROL_ERROR",
                                        "SETTINGS_TIMEOUT",
                                        "STREAM_CLOSED",
                                        "FRAME_SIZE_ERROR",
                                        "REFUSED_STREAM",
                                        "CANCEL",
                                        "COMPRESSION_ERROR",
                                        "CONNECT_ERROR",
                                        "ENHANCE_YOUR_CALM",
                                        "INADEQUATE_SECURITY",
                                        "HTTP_1_1_REQUIRED"};

    return code < sizeof(names) / sizeof(names[0]) ? names[code] : "an unknown code";
}

uint32_t pn_exchange_h2_code_out(uint32_t code)
{
    switch (code) {
    case PN_H2_CANCEL:
    case PN_H2_ENHANCE_YOUR_CALM:
    case PN_H2_INADEQUATE_SECURITY:
        return code;
    default: /* REFUSED_STREAM would promise that nothing was done; the others are hop by hop */
        return PN_H2_INTERNAL_ERROR;
    }
}

/* --- the answer's body --- */

static struct pn_exchange *exchange_of(struct pn_source *source)
{
    return PN_CONTAINER(source, struct pn_exchange, h2.answer);
}

/** Both sources end, or ours is told why not. */
static void take_over(struct pn_exchange *exchange, const struct pn_source *in)
{
    struct pn_source *answer = &exchange->h2.answer;

    answer->fault = in->fault;
    answer->has_ended = in->has_ended;
    if (in->has_ended && in->trailers)
        exchange->trailers = *in->trailers;
}

static enum pn_rc answer_next(struct pn_source *source)
{
    struct pn_exchange *exchange = exchange_of(source);
    struct pn_h2_stream *stream = exchange->h2.stream;
    enum pn_rc rc;

    if (!stream)
        return source->failure == PN_OK ? PN_EOF : source->failure;
    rc = pn_source_peek(&stream->in);
    take_over(exchange, &stream->in);
    if (rc == PN_OK)
        source->held = stream->in.held;
    return rc;
}

static enum pn_rc answer_read(struct pn_source *source)
{
    struct pn_exchange *exchange = exchange_of(source);
    struct pn_h2_stream *stream = exchange->h2.stream;

    if (!stream)
        return source->failure == PN_OK ? PN_EOF : source->failure;
    return pn_source_read(&stream->in);
}

static void answer_used(struct pn_source *source, size_t len)
{
    struct pn_h2_stream *stream = exchange_of(source)->h2.stream;

    if (stream) /* the window is the peer's again */
        pn_source_use(&stream->in, len);
}

static const struct pn_source_ops answer_ops = {
    .next = answer_next, .read = answer_read, .used = answer_used};

static void start_answer(struct pn_exchange *exchange)
{
    pn_source_init(&exchange->h2.answer, &answer_ops, false);
    exchange->h2.answer.trailers = &exchange->trailers;
    exchange->answer = &exchange->h2.answer;
}

static void break_answer(struct pn_exchange *exchange, enum pn_rc rc)
{
    exchange->answer->held = pn_slice("", 0);
    exchange->answer->failure = rc;
    exchange->events->on_body(exchange->ctx);
}

/* --- WebSocket by extended CONNECT (RFC 8441) --- */

static enum pn_rc tunnel_next(struct pn_source *source)
{
    struct pn_exchange *exchange = PN_CONTAINER(source, struct pn_exchange, h2.tunnel);
    enum pn_rc rc;

    if (exchange->state != PN_EXCHANGE_TUNNEL || exchange->request_sent)
        return PN_AGAIN; /* there is nobody yet who sends */
    rc = pn_source_peek(exchange->spec.request_body);
    if (rc == PN_OK)
        source->held = exchange->spec.request_body->held;
    return rc;
}

static enum pn_rc tunnel_read(struct pn_source *source)
{
    struct pn_exchange *exchange = PN_CONTAINER(source, struct pn_exchange, h2.tunnel);

    if (exchange->state != PN_EXCHANGE_TUNNEL || exchange->request_sent)
        return PN_AGAIN;
    return pn_source_read(exchange->spec.request_body);
}

static void tunnel_used(struct pn_source *source, size_t len)
{
    pn_source_use(PN_CONTAINER(source, struct pn_exchange, h2.tunnel)->spec.request_body, len);
}

static const struct pn_source_ops tunnel_ops = {
    .next = tunnel_next, .read = tunnel_read, .used = tunnel_used};

/** The only upgrade whose bytes are the same in both versions of HTTP. */
static bool is_websocket(const struct pn_exchange *exchange)
{
    return pn_slice_case_eq_str(exchange->spec.upgrade, "websocket");
}

#define WEBSOCKET_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455 §4.2.2 */

/** Sec-WebSocket-Accept: HTTP/2 does without, but a client of HTTP/1.1 looks for it. */
static bool add_accept(struct pn_exchange *exchange)
{
    struct pn_headers *headers = &exchange->response.headers;
    struct pn_arena *arena = exchange->spec.arena;
    struct pn_slice key = pn_headers_get(exchange->spec.headers, "Sec-WebSocket-Key");
    uint8_t digest[PN_SHA1_BYTES];
    struct pn_buf text;
    const char *joined;
    struct pn_slice accept = pn_slice("", 0);

    (void)pn_headers_remove(headers, PN_LIT("Sec-WebSocket-Accept"));
    if (!key.ptr)
        return true;
    joined = pn_arena_printf(arena, "%.*s" WEBSOCKET_GUID, PN_FMT(key));
    if (!joined)
        return false;
    pn_sha1(pn_slice_str(joined), digest);
    pn_buf_init(&text, 64);
    if (pn_base64_encode(pn_slice(digest, sizeof(digest)), &text) == PN_OK)
        accept = pn_arena_dup(arena, pn_buf_slice(&text));
    pn_buf_fini(&text);
    return accept.len > 0 &&
           pn_headers_add(headers, PN_LIT("Sec-WebSocket-Accept"), accept) == PN_OK;
}

/** The backend's 2xx, as HTTP/1.1 says it. */
static bool say_switched(struct pn_exchange *exchange)
{
    exchange->response.status = 101;
    exchange->response.framing = PN_BODY_STREAMED;
    return pn_headers_add(&exchange->response.headers, PN_LIT("Upgrade"), exchange->spec.upgrade) ==
               PN_OK &&
           add_accept(exchange);
}

/** The request's fields without what HTTP/2 does without. PN_NOMEM. */
static enum pn_rc copy_fields(const struct pn_exchange_spec *spec, struct pn_headers *out)
{
    pn_headers_init(out, spec->arena);
    for (size_t i = 0; i < spec->headers->count; i++) {
        const struct pn_header *field = &spec->headers->items[i];

        if (!pn_slice_case_eq_str(field->name, "Sec-WebSocket-Key") &&
            pn_headers_add(out, field->name, field->value) != PN_OK)
            return PN_NOMEM;
    }
    return PN_OK;
}

static void on_settings(void *ctx)
{
    struct pn_exchange *exchange = ctx;

    if (!pn_conn_h2_failure(exchange->conn)) {
        pn_exchange_h2_begin(exchange);
    } else if (!exchange->was_retried) {
        pn_exchange_retry(exchange);
    } else {
        exchange->failure = *pn_conn_h2_failure(exchange->conn);
        exchange->failure.is_unsent = true;
        pn_exchange_fail(exchange);
    }
}

static void await_settings(struct pn_exchange *exchange)
{
    struct pn_conn_h2_waiter *waiter = &exchange->h2.waiter;

    pn_list_init(&waiter->entry);
    waiter->on_settings = on_settings;
    waiter->ctx = exchange;
    exchange->h2.stream = NULL;
    pn_conn_h2_await_settings(exchange->conn, waiter);
    pn_exchange_arm(exchange, exchange->spec.timeout_ms);
}

/* --- events of the stream --- */

void pn_exchange_h2_on_informational(void *ctx, struct pn_h2_stream *stream,
                                     const struct pn_response_head *response)
{
    struct pn_exchange *exchange = stream->user;

    (void)ctx;
    exchange->response = *response;
    if (pn_exchange_take_head(exchange) != PN_AGAIN)
        pn_exchange_fail(exchange);
}

void pn_exchange_h2_on_response(void *ctx, struct pn_h2_stream *stream,
                                const struct pn_response_head *response)
{
    struct pn_exchange *exchange = stream->user;

    (void)ctx;
    exchange->response = *response;
    if (stream->protocol.len > 0 && response->status / 100 == 2 && !say_switched(exchange)) {
        (void)pn_exchange_malformed(exchange, PN_NOMEM, "no memory for its head");
        pn_exchange_fail(exchange);
        return;
    }
    start_answer(exchange);
    take_over(exchange, &stream->in); /* there may be no body at all */
    pn_exchange_answering(exchange);
}

void pn_exchange_h2_on_data(void *ctx, struct pn_h2_stream *stream)
{
    struct pn_exchange *exchange = stream->user;

    (void)ctx;
    /* Of a stream that failed, on_closed() says more. */
    if ((exchange->state == PN_EXCHANGE_ANSWERING || exchange->state == PN_EXCHANGE_TUNNEL) &&
        stream->in.failure == PN_OK)
        exchange->events->on_body(exchange->ctx);
}

void pn_exchange_h2_on_source_failed(void *ctx, struct pn_h2_stream *stream, enum pn_rc rc)
{
    struct pn_exchange *exchange = stream->user;

    (void)ctx;
    if (exchange->spec.request_body->failure == PN_OK)
        exchange->spec.request_body->failure = rc;
    exchange->events->on_request_failed(exchange->ctx);
}

void pn_exchange_h2_on_sent(void *ctx, struct pn_h2_stream *stream)
{
    struct pn_exchange *exchange = stream->user;

    (void)ctx;
    exchange->request_sent = true;
    if (exchange->state == PN_EXCHANGE_SENDING)
        pn_exchange_sent_some(exchange);
    else if (exchange->state == PN_EXCHANGE_TUNNEL && exchange->events->on_request_sent)
        exchange->events->on_request_sent(exchange->ctx);
}

/* --- the stream's end --- */

static void set_failure(struct pn_exchange *exchange, const struct pn_h2_stream *stream,
                        uint32_t code)
{
    const struct pn_source *in = &stream->in;
    const struct pn_failure *of_connection = pn_conn_h2_failure(exchange->conn);
    const struct pn_tls_report *report = pn_stream_report(exchange->conn->stream);

    if (of_connection) {
        exchange->failure = *of_connection;
        if (report->is_late)
            pn_pool_tell(exchange->pool, exchange->spec.demand.backend, of_connection,
                         exchange->conn->stream);
        return;
    }
    if (stream->is_unprocessed)
        pn_failure_set(&exchange->failure, "stream_refused",
                       "the backend did not take the request (REFUSED_STREAM or GOAWAY)");
    else if (in->fault.cause && in->failure != PN_IO && !stream->is_reset_by_peer)
        (void)pn_exchange_malformed(exchange, in->failure == PN_LIMIT ? PN_LIMIT : PN_MALFORMED,
                                    in->fault.cause);
    else if (code == PN_H2_HTTP_1_1_REQUIRED)
        pn_failure_set(&exchange->failure, "http1_required",
                       "the backend wants this request over HTTP/1.1: use http-version=\"1\"");
    else
        pn_failure_set(&exchange->failure,
                       code == PN_H2_REFUSED_STREAM ? "stream_refused" : "stream_reset",
                       "the backend ended the request's stream with %s before it answered",
                       pn_exchange_h2_code_name(code));
    snprintf(exchange->failure.peer, sizeof(exchange->failure.peer), "%s", report->peer);
}

static bool may_retry(const struct pn_exchange *exchange, bool is_unprocessed)
{
    if (exchange->was_retried || exchange->informational > 0)
        return false;
    /* Else only as over HTTP/1.1: a reused connection that turned out to be closed. */
    return (is_unprocessed || (pn_conn_h2_was_lost(exchange->conn) && exchange->is_reused &&
                               pn_http_method_is_idempotent(exchange->spec.method))) &&
           pn_exchange_can_repeat_body(exchange);
}

void pn_exchange_h2_on_closed(void *ctx, struct pn_h2_stream *stream, uint32_t code)
{
    struct pn_exchange *exchange = stream->user;
    bool is_unprocessed = stream->is_unprocessed;
    bool is_whole = pn_h2_has_received(stream) && pn_source_is_done(&stream->in);

    (void)ctx;
    exchange->h2.stream = NULL;
    exchange->request_sent = true; /* nothing more can be */
    pn_metric_add(PN_METRIC_BACKEND_STREAMS, -1);
    if (exchange->state == PN_EXCHANGE_ANSWERING || exchange->state == PN_EXCHANGE_TUNNEL) {
        bool is_lost = pn_conn_h2_failure(exchange->conn) != NULL;

        /* The connection may end before the reader has looked. */
        pn_conn_h2_left(exchange->conn);
        exchange->conn = NULL;
        take_over(exchange, &stream->in);
        if (is_whole) {
            if (exchange->state == PN_EXCHANGE_TUNNEL) /* which ends with both halves */
                exchange->events->on_body(exchange->ctx);
            return; /* its reader sees the end */
        }
        exchange->reset_code = is_lost ? PN_H2_INTERNAL_ERROR : pn_exchange_h2_code_out(code);
        break_answer(exchange, stream->in.failure != PN_OK ? stream->in.failure : PN_IO);
        return;
    }
    if (may_retry(exchange, is_unprocessed)) {
        pn_exchange_retry(exchange);
        return;
    }
    set_failure(exchange, stream, code);
    exchange->failure.is_unsent = is_unprocessed;
    pn_exchange_fail(exchange);
}

/* --- the request --- */

void pn_exchange_h2_begin(struct pn_exchange *exchange)
{
    const struct pn_exchange_spec *spec = &exchange->spec;
    const struct pn_target *target = spec->demand.target;
    struct pn_h2_request request = {
        .method = spec->method,
        .scheme = target->is_tls ? PN_LIT("https") : PN_LIT("http"),
        .authority = target->authority,
        .path = spec->request_target,
        .headers = spec->headers,
        .body = spec->framing == PN_BODY_NONE ? NULL : spec->request_body,
        .arena = spec->arena,
        .sends_te_trailers = spec->accepts_trailers,
        .drops_trailers = pn_conn_h2_refuses_trailers(exchange->conn),
        .user = exchange,
    };
    struct pn_headers fields;
    bool is_tunnel = is_websocket(exchange);
    enum pn_rc rc = PN_OK;

    if (!pn_exchange_check_identity(exchange))
        return;
    if (is_tunnel && !pn_conn_h2_has_settings(exchange->conn)) {
        await_settings(exchange);
        return;
    }
    if (is_tunnel) {
        pn_source_init(&exchange->h2.tunnel, &tunnel_ops, false);
        request.method = PN_LIT("CONNECT");
        request.protocol = PN_LIT("websocket");
        request.headers = &fields;
        request.body = &exchange->h2.tunnel;
        rc = copy_fields(spec, &fields);
    }
    if (rc == PN_OK)
        rc = pn_conn_h2_request(exchange->conn, &request, &exchange->h2.stream);
    if (rc == PN_OK) {
        pn_metric_add(PN_METRIC_BACKEND_STREAMS, 1);
        exchange->request_sent = request.body == NULL;
        pn_exchange_sending(exchange);
        return;
    }
    exchange->h2.stream = NULL;
    if ((rc == PN_AGAIN || rc == PN_EOF) && !exchange->was_retried) {
        pn_exchange_retry(exchange); /* it was used up meanwhile */
        return;
    }
    if (rc == PN_AGAIN || rc == PN_EOF) {
        pn_failure_set(&exchange->failure, "stream_refused",
                       "the backend's HTTP/2 connections take no further request");
        exchange->failure.is_unsent = true;
        pn_exchange_fail(exchange);
        return;
    }
    if (rc == PN_UNSUPPORTED) {
        pn_failure_set(&exchange->failure, "connect_not_offered",
                       "the backend's HTTP/2 does not offer WebSocket: its SETTINGS have no "
                       "ENABLE_CONNECT_PROTOCOL (RFC 8441)");
        exchange->failure.is_unsent = true;
        pn_exchange_fail(exchange);
        return;
    }
    pn_failure_set(&exchange->failure, "internal", "the request cannot be written: %s",
                   rc == PN_MALFORMED ? "a header or the path is not valid" : pn_rc_name(rc));
    pn_exchange_fail(exchange);
}

bool pn_exchange_h2_is_unsent(const struct pn_exchange *exchange)
{
    return !exchange->h2.stream || !pn_h2_has_begun(exchange->h2.stream);
}

void pn_exchange_h2_send(struct pn_exchange *exchange)
{
    if (exchange->h2.stream)
        pn_h2_resume(exchange->h2.stream);
}

void pn_exchange_h2_release(struct pn_exchange *exchange, struct pn_conn *conn)
{
    struct pn_h2_stream *stream = exchange->h2.stream;

    exchange->h2.stream = NULL;
    pn_conn_h2_stop_waiting(&exchange->h2.waiter);
    if (stream) {
        pn_metric_add(PN_METRIC_BACKEND_STREAMS, -1);
        pn_h2_reset(stream, PN_H2_CANCEL); /* no frame is sent for one that has ended */
    }
    pn_conn_h2_left(conn);
}
