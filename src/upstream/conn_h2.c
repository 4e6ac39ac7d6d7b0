/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/2 connections to backends.
 */
#include "upstream/conn_h2.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/metrics.h"
#include "upstream/exchange_internal.h"
#include "upstream/pool_internal.h"

#define READS_MAX  16 /* in a row before others get their turn */
#define WRITES_MAX 16

struct pn_conn_h2 {
    struct pn_conn *conn;
    struct pn_h2 *h2;
    struct pn_buf out; /* frames, not yet written */
    size_t out_sent;
    struct pn_task work;
    bool reads_on;    /* there may be more to read */
    bool is_checking; /* look for streams that do not move */
    bool is_closing;
    bool is_finished; /* the engine has nothing to say or to hear any more */
    bool is_broken;   /* `failure` says why */
    bool awaits_pong;
    uint64_t heard_ms, pinged_ms;
    struct pn_failure failure;
};

static uint64_t now_of(const struct pn_conn_h2 *link)
{
    return pn_loop_now_ms(link->conn->group->pool->loop);
}

static void work_soon(struct pn_conn_h2 *link)
{
    pn_loop_soon(link->conn->group->pool->loop, &link->work);
}

/* --- the end --- */

/** The requests on it are told when no event is on the stack. */
static void set_broken(struct pn_conn_h2 *link)
{
    const struct pn_tls_report *report = pn_stream_report(link->conn->stream);

    snprintf(link->failure.peer, sizeof(link->failure.peer), "%s", report->peer);
    link->is_broken = true;
    link->is_closing = true;
    work_soon(link);
}

static void connection_lost(struct pn_conn_h2 *link)
{
    const struct pn_tls_report *report = pn_stream_report(link->conn->stream);

    if (link->is_broken)
        return;
    if (report->cause != PN_CAUSE_NONE)
        pn_failure_from_report(&link->failure, report);
    else
        pn_failure_set(&link->failure, "connection_closed",
                       "the backend closed the connection before it answered");
    set_broken(link);
}

static void engine_failed(struct pn_conn_h2 *link, enum pn_rc rc)
{
    if (rc == PN_LIMIT)
        pn_failure_set(&link->failure, "http2_limit", "the backend goes over a limit of HTTP/2: %s",
                       pn_h2_failure(link->h2));
    else if (rc == PN_NOMEM)
        pn_failure_set(&link->failure, "out_of_memory", "no memory for an HTTP/2 connection");
    else
        pn_failure_set(&link->failure, "http2_protocol", "the backend breaks HTTP/2: %s",
                       pn_h2_failure(link->h2));
    set_broken(link);
}

void pn_conn_h2_end(struct pn_conn *conn)
{
    struct pn_conn_h2 *link = conn->h2;

    if (!link->is_broken)
        pn_failure_set(&link->failure, "connection_closed", "the gateway ended the connection");
    link->is_broken = true;
    link->is_closing = true;
    pn_h2_destroy(link->h2); /* tells the requests that are left */
    pn_loop_soon_cancel(&link->work);
    pn_buf_fini(&link->out);
    conn->h2 = NULL;
    free(link);
    pn_conn_end(conn);
}

void pn_conn_h2_close(struct pn_conn *conn)
{
    struct pn_conn_h2 *link = conn->h2;

    if (!link->is_closing)
        pn_h2_shutdown(link->h2);
    link->is_closing = true;
    work_soon(link);
}

/* --- bytes --- */

static void receive(struct pn_conn_h2 *link)
{
    struct pn_inlet *inlet = &link->conn->inlet;
    struct pn_slice bytes = pn_inlet_bytes(inlet);
    bool was_starting = !pn_h2_has_settings(link->h2);
    enum pn_rc rc = pn_h2_receive(link->h2, bytes, now_of(link));

    if (was_starting && pn_h2_has_settings(link->h2))
        pn_pool_serve_soon(link->conn->group->pool);
    pn_inlet_consume(inlet, bytes.len);
    link->heard_ms = now_of(link);
    if (rc == PN_EOF)
        link->is_finished = true;
    else if (rc != PN_OK)
        engine_failed(link, rc);
}

static void read_some(struct pn_conn_h2 *link)
{
    struct pn_conn *conn = link->conn;

    link->reads_on = false;
    for (int round = 0; round < READS_MAX; round++) {
        enum pn_rc rc;

        if (link->is_broken || link->is_finished)
            return;
        if (!pn_h2_wants_input(link->h2)) /* flush() reads on */
            return;
        rc = pn_inlet_read(&conn->inlet, conn->stream);
        if (rc == PN_AGAIN) {
            pn_inlet_rest(&conn->inlet);
            return;
        }
        if (rc != PN_OK) {
            connection_lost(link);
            return;
        }
        receive(link);
    }
    link->reads_on = true;
    work_soon(link);
}

/** true: there is something in link->out. */
static bool make_frames(struct pn_conn_h2 *link)
{
    enum pn_rc rc;

    if (link->out_sent < link->out.len)
        return true;
    pn_buf_clear(&link->out);
    link->out_sent = 0;
    if (!pn_h2_wants_output(link->h2))
        return false;
    rc = pn_h2_output(link->h2, &link->out, PN_CONN_H2_OUT_BYTES, now_of(link));
    if (rc == PN_EOF)
        link->is_finished = true;
    else if (rc != PN_OK)
        engine_failed(link, rc);
    return link->out.len > 0;
}

static void flush(struct pn_conn_h2 *link)
{
    for (int round = 0; make_frames(link); round++) {
        size_t written = 0;
        enum pn_rc rc;

        if (round == WRITES_MAX) {
            work_soon(link);
            return;
        }
        rc = pn_stream_write(link->conn->stream, link->out.ptr + link->out_sent,
                             link->out.len - link->out_sent, &written);
        if (rc == PN_AGAIN)
            return;
        if (rc != PN_OK) { /* it may have said why before it closed */
            link->conn->inlet.is_drained = false;
            read_some(link);
            connection_lost(link);
            return;
        }
        link->out_sent += written;
    }
    if (!link->conn->inlet.is_drained && !link->reads_on && !link->is_broken &&
        pn_h2_wants_input(link->h2)) {
        link->reads_on = true; /* reading had paused */
        work_soon(link);
    }
}

static bool is_done(const struct pn_conn_h2 *link)
{
    if (link->is_broken)
        return true;
    if (link->out_sent < link->out.len)
        return false;
    return link->is_finished || (link->is_closing && pn_h2_streams_open(link->h2) == 0);
}

static void on_work(struct pn_task *task)
{
    struct pn_conn_h2 *link = task->ctx;

    if (link->is_checking)
        pn_h2_check(link->h2, now_of(link));
    link->is_checking = false;
    if (link->reads_on)
        read_some(link);
    if (!link->is_broken)
        flush(link);
    else if (make_frames(link)) /* GOAWAY, if it can leave at once */
        (void)!pn_stream_write(link->conn->stream, link->out.ptr + link->out_sent,
                               link->out.len - link->out_sent, &(size_t){0});
    if (is_done(link))
        pn_conn_h2_end(link->conn);
}

/* --- events of the stream --- */

static void on_readable(void *ctx, struct pn_stream *stream)
{
    struct pn_conn_h2 *link = ctx;

    (void)stream;
    link->conn->inlet.is_drained = false;
    read_some(link);
    if (pn_h2_wants_output(link->h2) || is_done(link))
        work_soon(link);
}

static void on_writable(void *ctx, struct pn_stream *stream)
{
    (void)stream;
    work_soon(ctx);
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

/* --- events of the engine --- */

static void on_goaway(void *ctx, int32_t last_id, uint32_t code)
{
    struct pn_conn_h2 *link = ctx;

    if (code != PN_H2_NO_ERROR)
        pn_log(PN_LOG_WARN, "backend_goaway", "host",
               PN_SL(pn_slice(link->conn->group->host, link->conn->group->host_len)), "code",
               PN_S(pn_exchange_h2_code_name(code)), "last_stream", PN_I(last_id), NULL);
    link->is_closing = true;
    work_soon(link);
}

static void on_capacity(void *ctx)
{
    struct pn_conn_h2 *link = ctx;

    pn_pool_serve_soon(link->conn->group->pool);
}

static void on_pong(void *ctx)
{
    struct pn_conn_h2 *link = ctx;

    link->awaits_pong = false;
}

static void on_wants_output(void *ctx)
{
    work_soon(ctx);
}

static const struct pn_h2_events engine_events = {
    .on_informational = pn_exchange_h2_on_informational,
    .on_response = pn_exchange_h2_on_response,
    .on_data = pn_exchange_h2_on_data,
    .on_source_failed = pn_exchange_h2_on_source_failed,
    .on_sent = pn_exchange_h2_on_sent,
    .on_closed = pn_exchange_h2_on_closed,
    .on_goaway = on_goaway,
    .on_capacity = on_capacity,
    .on_pong = on_pong,
    .on_wants_output = on_wants_output,
};

/* --- its user: the pool and the exchanges --- */

enum pn_rc pn_conn_h2_create(struct pn_conn *conn)
{
    struct pn_pool *pool = conn->group->pool;
    struct pn_conn_h2 *link = calloc(1, sizeof(*link));

    if (!link)
        return PN_NOMEM;
    link->conn = conn;
    link->heard_ms = pn_loop_now_ms(pool->loop);
    pn_buf_init(&link->out, PN_CONN_H2_OUT_BYTES);
    pn_task_init(&link->work, on_work, link);
    link->h2 = pn_h2_create(PN_H2_CLIENT, &pool->h2_config, &engine_events, link, pool->h2_memory,
                            link->heard_ms);
    if (!link->h2) {
        free(link);
        return PN_NOMEM;
    }
    conn->h2 = link;
    pn_stream_set_events(conn->stream, &stream_events, link);
    pn_list_push_back(&conn->group->shared, &conn->entry);
    link->reads_on = true; /* SETTINGS may have come with the handshake */
    work_soon(link);
    return PN_OK;
}

bool pn_conn_h2_is_usable(const struct pn_conn *conn)
{
    const struct pn_conn_h2 *link = conn->h2;

    if (link->is_closing || link->is_finished || conn->group->is_retired || pn_conn_is_old(conn) ||
        pn_group_has_expired(conn->group))
        return false;
    if (!pn_h2_has_settings(link->h2) && pn_h2_streams_open(link->h2) > 0)
        return false;
    if (pn_h2_streams_open(link->h2) >= conn->group->pool->limits.streams_max) {
        pn_limit_hit(PN_LIMIT_H2_BACKEND_STREAMS);
        return false;
    }
    return pn_h2_can_open(link->h2) > 0;
}

bool pn_conn_h2_is_starting(const struct pn_conn *conn)
{
    return !conn->h2->is_closing && !pn_h2_has_settings(conn->h2->h2);
}

enum pn_rc pn_conn_h2_request(struct pn_conn *conn, const struct pn_h2_request *request,
                              struct pn_h2_stream **stream)
{
    enum pn_rc rc = pn_h2_request(conn->h2->h2, request, stream);

    if (rc == PN_EOF)
        conn->h2->is_closing = true;
    work_soon(conn->h2);
    return rc;
}

void pn_conn_h2_left(struct pn_conn *conn)
{
    conn->idle_since_ms = now_of(conn->h2);
    if (conn->group->is_retired)
        pn_conn_h2_close(conn);
    else
        work_soon(conn->h2);
    pn_pool_serve_soon(conn->group->pool);
}

const struct pn_failure *pn_conn_h2_failure(const struct pn_conn *conn)
{
    return conn->h2->is_broken ? &conn->h2->failure : NULL;
}

/** Does it live? (RFC 9113 §6.7) */
static void keep_alive(struct pn_conn_h2 *link)
{
    const struct pn_pool_limits *limits = &link->conn->group->pool->limits;
    uint64_t now_ms = now_of(link);

    if (!pn_h2_has_settings(link->h2) &&
        now_ms - pn_stream_opened_ms(link->conn->stream) >= limits->connect_timeout_ms) {
        pn_limit_hit(PN_LIMIT_BACKEND_CONNECT_TIMEOUT);
        pn_failure_set(&link->failure, "http2_protocol",
                       "the backend sent no SETTINGS within the limit backend-connect-timeout");
        set_broken(link);
        return;
    }
    if (link->awaits_pong && now_ms - link->pinged_ms >= limits->ping_timeout_ms) {
        pn_limit_hit(PN_LIMIT_BACKEND_PING_TIMEOUT);
        pn_failure_set(&link->failure, "ping_timeout",
                       "the backend's HTTP/2 connection did not answer PING within %llu ms",
                       (unsigned long long)limits->ping_timeout_ms);
        set_broken(link);
    } else if (!link->awaits_pong && limits->ping_interval_ms > 0 &&
               now_ms - link->heard_ms >= limits->ping_interval_ms) {
        link->awaits_pong = true;
        link->pinged_ms = now_ms;
        pn_h2_ping(link->h2);
        work_soon(link);
    }
}

void pn_conn_h2_tick(struct pn_conn *conn)
{
    struct pn_conn_h2 *link = conn->h2;
    const struct pn_pool_group *group = conn->group;
    uint64_t now_ms = now_of(link);
    bool is_idle = pn_h2_streams_open(link->h2) == 0;

    if (link->is_broken)
        return;
    if (group->ends_at_ms > 0 || group->is_retired || pn_conn_is_old(conn) ||
        (is_idle && now_ms - conn->idle_since_ms >= group->pool->limits.idle_timeout_ms))
        pn_conn_h2_close(conn);
    if (is_idle) {
        if (link->out_sent == link->out.len) {
            pn_buf_fini(&link->out);
            link->out_sent = 0;
        }
        pn_stream_trim(conn->stream);
        return;
    }
    if (group->ends_at_ms > 0 && now_ms >= group->ends_at_ms) {
        pn_limit_hit(PN_LIMIT_BACKEND_DRAIN_TIMEOUT);
        pn_failure_set(&link->failure, "drain_timeout",
                       "the connection's certificate was replaced or has expired, and the request "
                       "did not end within the drain limit");
        set_broken(link);
        return;
    }
    keep_alive(link);
    link->is_checking = true;
    work_soon(link);
}
