/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/2 connections to backends: who uses them, how they are kept alive, how they end.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "upstream/conn_h2_internal.h"
#include "upstream/exchange_internal.h"

/* --- the end --- */

void pn_conn_h2_set_broken(struct pn_conn_h2 *link)
{
    const struct pn_tls_report *report = pn_stream_report(link->conn->stream);

    snprintf(link->failure.peer, sizeof(link->failure.peer), "%s", report->peer);
    link->is_broken = true;
    link->is_closing = true;
    pn_conn_h2_work_soon(link);
}

void pn_conn_h2_end(struct pn_conn *conn)
{
    struct pn_conn_h2 *link = conn->h2;

    if (!link->is_broken)
        pn_failure_set(&link->failure, "connection_closed", "the gateway ended the connection");
    link->is_broken = true;
    link->is_closing = true;
    pn_conn_h2_tell_waiting(link);
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

    /* GOAWAY waits until the last stream has ended: a client's says nothing that a server needs,
     * and servers have been seen to cut off what was on its way when it came. */
    link->is_closing = true;
    pn_conn_h2_work_soon(link);
}

/* --- events of the engine --- */

/** nginx, for one, takes HEADERS behind a request's body for a new stream with a wrong number, and
 * all requests on the connection are lost. Once is enough. */
static void note_refused_trailers(const struct pn_conn_h2 *link)
{
    const struct pn_pool_group *group = link->conn->group;

    if (pn_quota_refuses_trailers(group->host_of->quota))
        return;
    pn_quota_refuse_trailers(group->host_of->quota);
    pn_log(PN_LOG_WARN, "backend_refuses_trailers", "host",
           PN_SL(pn_slice(group->host, group->host_len)), "port", PN_I(group->port), "detail",
           PN_S("it ended an HTTP/2 connection on which a request had trailers: they are left out "
                "from now on"),
           NULL);
}

bool pn_conn_h2_refuses_trailers(const struct pn_conn *conn)
{
    return pn_quota_refuses_trailers(conn->group->host_of->quota);
}

static void on_goaway(void *ctx, int32_t last_id, uint32_t code)
{
    struct pn_conn_h2 *link = ctx;

    if (code != PN_H2_NO_ERROR)
        pn_log(PN_LOG_WARN, "backend_goaway", "host",
               PN_SL(pn_slice(link->conn->group->host, link->conn->group->host_len)), "code",
               PN_S(pn_exchange_h2_code_name(code)), "last_stream", PN_I(last_id), NULL);
    if (code == PN_H2_PROTOCOL_ERROR && pn_h2_has_sent_trailers(link->h2))
        note_refused_trailers(link);
    link->is_closing = true;
    pn_conn_h2_work_soon(link);
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
    pn_conn_h2_work_soon(ctx);
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
    pn_list_init(&link->waiting);
    link->heard_ms = pn_loop_now_ms(pool->loop);
    pn_buf_init(&link->out, PN_CONN_H2_OUT_BYTES);
    pn_task_init(&link->work, pn_conn_h2_on_work, link);
    link->h2 = pn_h2_create(PN_H2_CLIENT, &pool->h2_config, &engine_events, link, pool->h2_memory,
                            link->heard_ms);
    if (!link->h2) {
        free(link);
        return PN_NOMEM;
    }
    conn->h2 = link;
    pn_stream_set_events(conn->stream, &pn_conn_h2_stream_events, link);
    pn_list_push_back(&conn->group->shared, &conn->entry);
    link->reads_on = true; /* SETTINGS may have come with the handshake */
    pn_conn_h2_work_soon(link);
    return PN_OK;
}

bool pn_conn_h2_is_usable(const struct pn_conn *conn)
{
    const struct pn_conn_h2 *link = conn->h2;

    if (link->is_closing || link->is_finished || conn->group->is_retired || pn_conn_is_old(conn) ||
        pn_conn_has_expired(conn) || pn_conn_has_had_its_turn(conn))
        return false;
    if (!pn_h2_has_settings(link->h2) && pn_h2_streams_open(link->h2) > 0)
        return false;
    if (pn_h2_streams_open(link->h2) >= conn->group->pool->limits.streams_max) {
        pn_limit_hit(PN_LIMIT_H2_BACKEND_STREAMS);
        return false;
    }
    return pn_h2_can_open(link->h2) > 0;
}

bool pn_conn_h2_is_idle(const struct pn_conn *conn)
{
    return pn_conn_h2_is_unused(conn->h2);
}

bool pn_conn_h2_is_closing(const struct pn_conn *conn)
{
    return conn->h2->is_closing || conn->h2->is_finished || pn_h2_is_shut_down(conn->h2->h2);
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
    pn_conn_h2_work_soon(conn->h2);
    return rc;
}

bool pn_conn_h2_has_settings(const struct pn_conn *conn)
{
    return pn_h2_has_settings(conn->h2->h2);
}

void pn_conn_h2_await_settings(struct pn_conn *conn, struct pn_conn_h2_waiter *waiter)
{
    pn_list_push_back(&conn->h2->waiting, &waiter->entry);
}

void pn_conn_h2_stop_waiting(struct pn_conn_h2_waiter *waiter)
{
    if (waiter->entry.next)
        pn_list_remove(&waiter->entry);
}

void pn_conn_h2_tell_waiting(struct pn_conn_h2 *link)
{
    while (!pn_list_is_empty(&link->waiting)) {
        struct pn_conn_h2_waiter *waiter =
            PN_CONTAINER(link->waiting.next, struct pn_conn_h2_waiter, entry);

        pn_list_remove(&waiter->entry);
        waiter->on_settings(waiter->ctx);
    }
}

void pn_conn_h2_left(struct pn_conn *conn)
{
    conn->idle_since_ms = pn_conn_h2_now(conn->h2);
    pn_stream_settle(conn->stream);
    if (conn->group->is_retired)
        pn_conn_h2_close(conn);
    else
        pn_conn_h2_work_soon(conn->h2);
    pn_pool_serve_soon(conn->group->pool);
}

const struct pn_failure *pn_conn_h2_failure(const struct pn_conn *conn)
{
    return conn->h2->is_broken ? &conn->h2->failure : NULL;
}

bool pn_conn_h2_was_lost(const struct pn_conn *conn)
{
    return conn->h2->is_broken && !conn->h2->has_drained;
}

/** Does it live? (RFC 9113 §6.7) */
static void keep_alive(struct pn_conn_h2 *link)
{
    const struct pn_pool_limits *limits = &link->conn->group->pool->limits;
    uint64_t now_ms = pn_conn_h2_now(link);

    if (!pn_h2_has_settings(link->h2) &&
        now_ms - pn_stream_opened_ms(link->conn->stream) >= limits->connect_timeout_ms) {
        pn_limit_hit(PN_LIMIT_BACKEND_CONNECT_TIMEOUT);
        pn_failure_set(&link->failure, "http2_protocol",
                       "the backend sent no SETTINGS within the limit backend-connect-timeout");
        pn_conn_h2_set_broken(link);
        return;
    }
    if (link->awaits_pong && now_ms - link->pinged_ms >= limits->ping_timeout_ms) {
        pn_limit_hit(PN_LIMIT_BACKEND_PING_TIMEOUT);
        pn_failure_set(&link->failure, "ping_timeout",
                       "the backend's HTTP/2 connection did not answer PING within %llu ms",
                       (unsigned long long)limits->ping_timeout_ms);
        pn_conn_h2_set_broken(link);
    } else if (!link->awaits_pong && limits->ping_interval_ms > 0 &&
               now_ms - link->heard_ms >= limits->ping_interval_ms) {
        link->awaits_pong = true;
        link->pinged_ms = now_ms;
        pn_h2_ping(link->h2);
        pn_conn_h2_work_soon(link);
    }
}

void pn_conn_h2_tick(struct pn_conn *conn)
{
    struct pn_conn_h2 *link = conn->h2;
    const struct pn_pool_group *group = conn->group;
    uint64_t now_ms = pn_conn_h2_now(link);
    bool is_idle = pn_conn_h2_is_unused(link);

    if (link->is_broken)
        return;
    if (is_idle && now_ms - conn->idle_since_ms >= group->pool->limits.idle_timeout_ms)
        pn_limit_hit(PN_LIMIT_BACKEND_IDLE_TIMEOUT);
    if (group->ends_at_ms > 0 || group->is_retired || pn_conn_is_old(conn) ||
        pn_conn_has_expired(conn) ||
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
    if ((group->ends_at_ms > 0 && now_ms >= group->ends_at_ms) || pn_conn_must_end(conn)) {
        pn_conn_fail_drained(conn, &link->failure);
        link->has_drained = true;
        pn_conn_h2_set_broken(link);
        return;
    }
    keep_alive(link);
    link->is_checking = true;
    pn_conn_h2_work_soon(link);
}
