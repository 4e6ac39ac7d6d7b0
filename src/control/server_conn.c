/* SPDX-License-Identifier: Apache-2.0
 *
 * One connection of the HTTPS server; the states are drawn in server_internal.h. Reading goes on
 * only in HEAD, BODY and LINGER: while a handler works or an answer is written, bytes wait in the
 * kernel.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/secret.h"
#include "control/server_internal.h"

enum {
    READ_BYTES = 16 * 1024, /* one TLS record */
    ARENA_BLOCK_BYTES = 16 * 1024,
    OUT_BYTES_MAX = 128 * 1024,    /* the heads of answers */
    ARENA_HEAD_BYTES = 256 * 1024, /* room for the head beside what the handler may take */
};

static void conn_run(struct pn_server_conn *conn);

/* ---- ending ---- */

static void end_request(struct pn_server_conn *conn)
{
    if (conn->has_response)
        pn_response_fini(&conn->response);
    conn->has_response = false;
    pn_buf_fini(&conn->body);
    pn_buf_init_secret(&conn->body, conn->server->limits.body_bytes_max);
    if (conn->arena) {
        if (pn_arena_is_exhausted(conn->arena))
            pn_limit_hit(PN_LIMIT_CONTROL_CALL_MEMORY);
        pn_arena_reset(conn->arena);
    }
    conn->request = (struct pn_request){0};
    conn->head = (struct pn_request_head){0};
    conn->scan = (struct pn_h1_scan){0};
    conn->is_head = false;
}

static void free_conn(void *object)
{
    struct pn_server_conn *conn = object;

    if (conn->has_response)
        pn_response_fini(&conn->response);
    pn_buf_fini(&conn->in);
    pn_buf_fini(&conn->body);
    pn_buf_fini(&conn->out);
    pn_arena_destroy(conn->arena);
    free(conn);
}

static void reap(struct pn_server_conn *conn)
{
    struct pn_server *server = conn->server;

    pn_list_remove(&conn->entry);
    server->conn_count--;
    pn_loop_defer_free(server->loop, &conn->deferred, free_conn, conn);
    pn_server_on_conn_gone(server);
}

void pn_server_conn_close(struct pn_server_conn *conn)
{
    bool is_with_worker = conn->state == PN_SERVER_WORKING;

    if (conn->state == PN_SERVER_CLOSED)
        return;
    conn->state = PN_SERVER_CLOSED;
    pn_loop_disarm(conn->server->loop, &conn->timer);
    pn_stream_destroy(conn->stream);
    conn->stream = NULL;
    if (!is_with_worker)
        reap(conn);
}

bool pn_server_conn_is_idle(const struct pn_server_conn *conn)
{
    return conn->state == PN_SERVER_HEAD && conn->in.len == 0;
}

static void arm(struct pn_server_conn *conn, uint32_t timeout_ms)
{
    pn_loop_arm(conn->server->loop, &conn->timer, timeout_ms);
}

/* ---- writing ---- */

/* What is left of out and of the response's body, as at most two pieces. */
static int pieces(const struct pn_server_conn *conn, struct iovec iov[2])
{
    struct pn_slice parts[2] = {pn_buf_slice(&conn->out), {NULL, 0}};
    size_t skip = conn->out_sent;
    int count = 0;

    if (conn->state == PN_SERVER_WRITING && conn->has_response && !conn->is_head)
        parts[1] = pn_buf_slice(&conn->response.body);
    for (size_t i = 0; i < 2; i++) {
        if (skip >= parts[i].len) {
            skip -= parts[i].len;
            continue;
        }
        iov[count].iov_base = (void *)(uintptr_t)(parts[i].ptr + skip);
        iov[count].iov_len = parts[i].len - skip;
        skip = 0;
        count++;
    }
    return count;
}

/* PN_OK: all is on its way. PN_AGAIN: on_writable goes on. Else it is broken. */
static enum pn_rc flush(struct pn_server_conn *conn)
{
    struct iovec iov[2];
    int count = pieces(conn, iov);

    while (count > 0) {
        size_t written = 0;
        enum pn_rc rc = pn_stream_writev(conn->stream, iov, count, &written);

        if (rc != PN_OK)
            return rc;
        conn->out_sent += written;
        if (conn->state == PN_SERVER_WRITING)
            arm(conn, conn->server->limits.write_timeout_ms);
        count = pieces(conn, iov);
    }
    pn_buf_clear(&conn->out);
    conn->out_sent = 0;
    return PN_OK;
}

static void log_request(const struct pn_server_conn *conn, int status)
{
    uint64_t now = pn_loop_now_ms(conn->server->loop);

    if (!pn_log_enabled(PN_LOG_DEBUG))
        return;
    pn_log(PN_LOG_DEBUG, "request", "server", PN_S(conn->server->name), "method",
           PN_SL(conn->head.method), "path", PN_SL(conn->head.path), "status", PN_I(status),
           "duration_ms", PN_I(now - conn->started_ms), "request_id", PN_S(conn->request_id),
           "peer", PN_S(conn->peer), NULL);
}

/* The answer is out: next request, or the end. */
static void finish_answer(struct pn_server_conn *conn)
{
    end_request(conn);
    if (conn->keep_alive && !conn->server->is_draining) {
        conn->state = PN_SERVER_HEAD;
        arm(conn, conn->server->limits.idle_timeout_ms);
        pn_list_remove(&conn->entry);
        pn_list_push_back(&conn->server->conns, &conn->entry);
        return;
    }
    pn_buf_clear(&conn->in);
    pn_stream_shutdown(conn->stream);
    conn->state = PN_SERVER_LINGER;
    arm(conn, PN_SERVER_LINGER_TIMEOUT_MS);
}

static void write_on(struct pn_server_conn *conn)
{
    enum pn_rc rc = flush(conn);

    if (rc == PN_OK)
        finish_answer(conn);
    else if (rc != PN_AGAIN)
        pn_server_conn_close(conn);
}

/* An answer of the server's own. After a fault the rest of the input has no meaning: it is the
 * last. */
static void fail_request(struct pn_server_conn *conn, int status, const char *message,
                         bool keep_alive)
{
    conn->keep_alive = keep_alive && conn->keep_alive;
    conn->state = PN_SERVER_WRITING;
    if (conn->has_response) /* whatever the handler made is not sent */
        pn_response_fini(&conn->response);
    conn->has_response = false;
    if (pn_server_write_error(conn, status, message) != PN_OK) {
        pn_server_conn_close(conn);
        return;
    }
    arm(conn, conn->server->limits.write_timeout_ms);
    log_request(conn, status);
    write_on(conn);
}

static void fail_with(struct pn_server_conn *conn, const struct pn_http_fault *fault)
{
    if (fault->status == 431)
        pn_limit_hit(PN_LIMIT_HEADER_BYTES);
    fail_request(conn, fault->status, fault->cause, false);
}

static void fail_body_limit(struct pn_server_conn *conn)
{
    pn_limit_hit(PN_LIMIT_CONTROL_BODY_BYTES);
    fail_request(conn, 413, "The request body is larger than this server takes", false);
}

/* ---- handling ---- */

static enum pn_rc prepare_request(struct pn_server_conn *conn)
{
    struct pn_request_head *head = &conn->head;
    const char *origin = pn_arena_printf(conn->arena, "%s://%.*s",
                                         conn->server->tls ? "https" : "http", PN_FMT(head->host));

    if (!origin)
        return PN_NOMEM;
    conn->request = (struct pn_request){
        .arena = conn->arena,
        .method = head->method,
        .path = head->path,
        .query = head->query,
        .headers = head->headers,
        .body = pn_buf_slice(&conn->body),
        .host = head->host,
        .origin = pn_slice_str(origin),
        .peer = conn->peer,
        .request_id = conn->request_id,
    };
    pn_response_init(&conn->response, conn->arena, conn->server->limits.response_bytes_max);
    conn->has_response = true;
    return PN_OK;
}

static void dispatch(struct pn_server_conn *conn)
{
    pn_loop_disarm(conn->server->loop, &conn->timer);
    if (prepare_request(conn) != PN_OK) {
        fail_request(conn, 500, "The server is out of memory", true);
        return;
    }
    conn->state = PN_SERVER_WORKING;
    if (pn_server_pool_submit(conn->server, conn) != PN_OK) {
        pn_limit_hit(PN_LIMIT_CONTROL_QUEUE);
        fail_request(conn, 503, "The server is busy; try again", true);
    }
}

void pn_server_conn_on_finished(struct pn_message *message)
{
    struct pn_server_conn *conn = message->ctx;

    conn->server->in_flight--;
    if (conn->state == PN_SERVER_CLOSED) {
        reap(conn);
        return;
    }
    if (conn->response.status < 200 || conn->response.status > 599) {
        fail_request(conn, 500, "The handler gave no answer", true);
    } else {
        conn->keep_alive = conn->keep_alive && !conn->server->is_draining;
        conn->state = PN_SERVER_WRITING;
        if (conn->response.status == 204 || conn->response.status == 304)
            pn_buf_clear(&conn->response.body);
        if (pn_server_write_response(conn) != PN_OK) {
            pn_server_conn_close(conn);
            return;
        }
        arm(conn, conn->server->limits.write_timeout_ms);
        log_request(conn, conn->response.status);
        write_on(conn);
    }
    conn_run(conn);
}

/* ---- reading ---- */

/* The head is whole: keep it in the arena, read it, and prepare for its body. */
static void on_head(struct pn_server_conn *conn, size_t head_bytes)
{
    struct pn_server *server = conn->server;
    struct pn_http_fault fault = {500, "The server is out of memory"};
    struct pn_slice head = pn_arena_dup(conn->arena, pn_slice(conn->in.ptr, head_bytes));

    pn_buf_consume(&conn->in, head_bytes);
    pn_headers_init(&conn->head.headers, conn->arena);
    if (!head.ptr || pn_h1_request_parse(head, &server->h1_limits, &conn->head, &fault) != PN_OK) {
        fail_with(conn, &fault);
        return;
    }
    conn->keep_alive = conn->head.keep_alive;
    conn->is_head = pn_slice_eq_str(conn->head.method, "HEAD");
    if (conn->head.form == PN_AUTHORITY_FORM || conn->head.form == PN_ASTERISK_FORM) {
        fail_request(conn, 400, "The request target must be a path", false);
        return;
    }
    if (conn->head.host.len == 0) {
        fail_request(conn, 400, "Host is missing", false);
        return;
    }
    if (conn->head.content_length > server->limits.body_bytes_max) {
        fail_body_limit(conn);
        return;
    }
    pn_h1_body_init(&conn->body_reader, PN_H1_REQUEST, conn->head.framing,
                    conn->head.content_length, &server->h1_limits, NULL);
    conn->state = PN_SERVER_BODY;
    arm(conn, server->limits.body_timeout_ms);
    if (conn->head.expects_continue && conn->in.len == 0) {
        enum pn_rc rc = pn_buf_append_slice(&conn->out, PN_H1_CONTINUE);

        if (rc == PN_OK)
            rc = flush(conn);
        if (rc != PN_OK && rc != PN_AGAIN)
            pn_server_conn_close(conn);
    }
}

/* Each step: PN_OK: something happened, look at the state. PN_AGAIN: more input is needed. */
static enum pn_rc step_head(struct pn_server_conn *conn)
{
    struct pn_server *server = conn->server;
    struct pn_http_fault fault = {0, NULL};
    size_t head_bytes = 0;
    enum pn_rc rc = PN_OK;

    if (conn->in.len == 0)
        return PN_AGAIN;
    if (conn->scan.checked == 0) { /* its first bytes */
        conn->started_ms = pn_loop_now_ms(server->loop);
        pn_uuid_v4(conn->request_id);
        arm(conn, server->limits.header_timeout_ms);
    }
    rc = pn_h1_scan(&conn->scan, PN_H1_REQUEST, pn_buf_slice(&conn->in), &server->h1_limits,
                    &head_bytes, &fault);
    if (rc == PN_AGAIN)
        return rc;
    if (rc == PN_OK)
        on_head(conn, head_bytes);
    else
        fail_with(conn, &fault);
    return PN_OK;
}

static enum pn_rc step_body(struct pn_server_conn *conn)
{
    struct pn_http_fault fault = {0, NULL};
    struct pn_slice data = {NULL, 0};
    size_t used = 0;
    enum pn_rc rc =
        pn_h1_body_next(&conn->body_reader, pn_buf_slice(&conn->in), &data, &used, &fault);
    enum pn_rc append_rc = data.len > 0 ? pn_buf_append_slice(&conn->body, data) : PN_OK;

    pn_buf_consume(&conn->in, used);
    if (append_rc == PN_LIMIT)
        fail_body_limit(conn);
    else if (append_rc != PN_OK)
        fail_request(conn, 500, "The server is out of memory", false);
    else if (rc == PN_EOF)
        dispatch(conn);
    else if (rc == PN_AGAIN)
        return rc;
    else if (rc != PN_OK)
        fail_with(conn, &fault);
    return PN_OK;
}

/* One read into `in`. PN_AGAIN, PN_EOF, PN_IO, PN_NOMEM, PN_LIMIT. */
static enum pn_rc fill(struct pn_server_conn *conn)
{
    size_t len = 0;
    enum pn_rc rc = pn_buf_reserve(&conn->in, READ_BYTES);

    if (rc != PN_OK)
        return rc;
    rc = pn_stream_read(conn->stream, conn->in.ptr + conn->in.len, READ_BYTES, &len);
    if (rc == PN_OK)
        conn->in.len += len;
    return rc;
}

static void linger(struct pn_server_conn *conn)
{
    for (;;) {
        enum pn_rc rc = fill(conn);

        if (rc == PN_AGAIN)
            return;
        conn->lingered += conn->in.len;
        pn_buf_clear(&conn->in);
        if (rc != PN_OK || conn->lingered > PN_SERVER_LINGER_BYTES_MAX) {
            pn_server_conn_close(conn);
            return;
        }
    }
}

/* Works until nothing more can be done now. */
static void conn_run(struct pn_server_conn *conn)
{
    while (conn->state == PN_SERVER_HEAD || conn->state == PN_SERVER_BODY) {
        enum pn_rc rc = conn->state == PN_SERVER_HEAD ? step_head(conn) : step_body(conn);

        if (rc == PN_AGAIN) {
            rc = fill(conn);
            if (rc == PN_AGAIN)
                return;
        }
        if (rc != PN_OK) { /* gone, in the middle of a request or between two */
            pn_server_conn_close(conn);
            return;
        }
    }
    if (conn->state == PN_SERVER_LINGER)
        linger(conn);
}

/* ---- events ---- */

static void on_open(void *ctx, struct pn_stream *stream)
{
    struct pn_server_conn *conn = ctx;

    (void)stream;
    conn->state = PN_SERVER_HEAD;
    arm(conn, conn->server->limits.idle_timeout_ms);
    if (conn->server->is_draining)
        pn_server_conn_close(conn);
    else
        conn_run(conn);
}

static void on_failed(void *ctx, struct pn_stream *stream, const struct pn_tls_report *report)
{
    struct pn_server_conn *conn = ctx;

    (void)stream;
    if (report->cause == PN_CAUSE_HANDSHAKE_TIMEOUT)
        pn_limit_hit(PN_LIMIT_CONTROL_TLS_TIMEOUT);
    pn_log(PN_LOG_DEBUG, "handshake_failed", "server", PN_S(conn->server->name), "peer",
           PN_S(conn->peer), NULL);
    pn_server_conn_close(conn);
}

static void on_readable(void *ctx, struct pn_stream *stream)
{
    (void)stream;
    conn_run(ctx);
}

static void on_writable(void *ctx, struct pn_stream *stream)
{
    struct pn_server_conn *conn = ctx;

    (void)stream;
    if (conn->state == PN_SERVER_WRITING) {
        write_on(conn);
        conn_run(conn);
    } else if (conn->state == PN_SERVER_BODY || conn->state == PN_SERVER_WORKING) {
        enum pn_rc rc = flush(conn); /* "100 Continue" */

        if (rc != PN_OK && rc != PN_AGAIN)
            pn_server_conn_close(conn);
    }
}

static void on_timeout(struct pn_timer *timer)
{
    struct pn_server_conn *conn = timer->ctx;

    if (pn_server_conn_is_idle(conn)) {
        pn_limit_hit(PN_LIMIT_CONTROL_IDLE_TIMEOUT);
        pn_server_conn_close(conn);
        return;
    }
    pn_metric_add(PN_METRIC_TIMEOUTS, 1);
    if (conn->state == PN_SERVER_HEAD || conn->state == PN_SERVER_BODY) {
        pn_limit_hit(conn->state == PN_SERVER_HEAD ? PN_LIMIT_CONTROL_HEADER_TIMEOUT
                                                   : PN_LIMIT_CONTROL_BODY_TIMEOUT);
        fail_request(conn, 408, "The request did not arrive in time", false);
        conn_run(conn);
    } else {
        if (conn->state == PN_SERVER_WRITING)
            pn_limit_hit(PN_LIMIT_CONTROL_WRITE_TIMEOUT);
        pn_server_conn_close(conn);
    }
}

static void read_peer(int fd, char peer[64])
{
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof(address);
    const void *bytes = NULL;

    (void)snprintf(peer, 64, "unknown");
    if (getpeername(fd, (struct sockaddr *)&address, &len) != 0)
        return;
    if (address.ss_family == AF_INET)
        bytes = &((const struct sockaddr_in *)&address)->sin_addr;
    else if (address.ss_family == AF_INET6)
        bytes = &((const struct sockaddr_in6 *)&address)->sin6_addr;
    else if (address.ss_family == AF_UNIX)
        (void)snprintf(peer, 64, "unix");
    if (bytes)
        (void)inet_ntop(address.ss_family, bytes, peer, 64);
}

enum pn_rc pn_server_conn_create(struct pn_server *server, int fd)
{
    static const struct pn_stream_events events = {on_open, on_failed, on_readable, on_writable};
    struct pn_server_conn *conn = calloc(1, sizeof(*conn));
    enum pn_rc rc = PN_NOMEM;
    int on = 1;

    if (conn)
        conn->arena =
            pn_arena_create(ARENA_BLOCK_BYTES, server->limits.arena_bytes_max + ARENA_HEAD_BYTES);
    if (!conn || !conn->arena) {
        (void)close(fd);
        free(conn);
        return PN_NOMEM;
    }
    pn_arena_mark_secret(conn->arena);
    conn->server = server;
    pn_buf_init_secret(&conn->in, server->h1_limits.header_bytes_max + 2 * READ_BYTES);
    pn_buf_init_secret(&conn->body, server->limits.body_bytes_max);
    pn_buf_init_secret(&conn->out, OUT_BYTES_MAX);
    pn_timer_init(&conn->timer, on_timeout, conn);
    pn_list_init(&conn->job);
    conn->finished = (struct pn_message){.deliver = pn_server_conn_on_finished, .ctx = conn};
    read_peer(fd, conn->peer);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    rc = pn_stream_accept(server->loop, fd, server->tls, server->limits.handshake_timeout_ms,
                          &events, conn, &conn->stream);
    if (rc != PN_OK) {
        free_conn(conn);
        return rc;
    }
    pn_list_push_back(&server->conns, &conn->entry);
    server->conn_count++;
    return PN_OK;
}
