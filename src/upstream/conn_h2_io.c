/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/2 connections to backends: bytes between the stream and the engine.
 */
#include "upstream/conn_h2_internal.h"

#define READS_MAX  16 /* in a row before others get their turn */
#define WRITES_MAX 16

/* --- what breaks it --- */

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
    pn_conn_h2_set_broken(link);
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
    pn_conn_h2_set_broken(link);
}

/* --- bytes --- */

static void receive(struct pn_conn_h2 *link)
{
    struct pn_inlet *inlet = &link->conn->inlet;
    struct pn_slice bytes = pn_inlet_bytes(inlet);
    bool was_starting = !pn_h2_has_settings(link->h2);
    enum pn_rc rc = pn_h2_receive(link->h2, bytes, pn_conn_h2_now(link));

    if (was_starting && pn_h2_has_settings(link->h2))
        pn_pool_serve_soon(link->conn->group->pool);
    pn_inlet_consume(inlet, bytes.len);
    link->heard_ms = pn_conn_h2_now(link);
    if (rc == PN_EOF)
        link->is_finished = true;
    else if (rc != PN_OK)
        engine_failed(link, rc);
    else if (pn_h2_has_settings(link->h2))
        pn_conn_h2_tell_waiting(link);
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
    pn_conn_h2_work_soon(link);
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
    rc = pn_h2_output(link->h2, &link->out, PN_CONN_H2_OUT_BYTES, pn_conn_h2_now(link));
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
            pn_conn_h2_work_soon(link);
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
        pn_conn_h2_work_soon(link);
    }
}

static bool is_done(const struct pn_conn_h2 *link)
{
    if (link->is_broken)
        return true;
    if (link->out_sent < link->out.len)
        return false;
    return link->is_finished || (link->is_closing && pn_conn_h2_is_unused(link));
}

void pn_conn_h2_on_work(struct pn_task *task)
{
    struct pn_conn_h2 *link = task->ctx;

    if (link->is_checking)
        pn_h2_check(link->h2, pn_conn_h2_now(link));
    link->is_checking = false;
    if (link->reads_on)
        read_some(link);
    if (!link->is_closing && pn_conn_h2_is_idle(link->conn) &&
        (pn_group_gives_way(link->conn->group) || pn_conn_has_had_its_turn(link->conn)))
        link->is_closing = true;
    if (link->is_closing && !link->is_broken && !link->has_said_goodbye &&
        pn_conn_h2_is_unused(link)) {
        link->has_said_goodbye = true;
        pn_h2_shutdown(link->h2);
    }
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
        pn_conn_h2_work_soon(link);
}

static void on_writable(void *ctx, struct pn_stream *stream)
{
    (void)stream;
    pn_conn_h2_work_soon(ctx);
}

static void on_open(void *ctx, struct pn_stream *stream)
{
    (void)ctx;
    (void)stream;
}

const struct pn_stream_events pn_conn_h2_stream_events = {
    .on_open = on_open,
    .on_readable = on_readable,
    .on_writable = on_writable,
};
