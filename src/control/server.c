/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTPS server: its listeners, its limits on connections, and how it ends.
 */
#include "control/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"
#include "control/server_internal.h"

enum {
    ACCEPTS_PER_TURN = 64, /* a flood of connections must not starve the others */
    ACCEPT_PAUSE_MS = 100,
};

/* ---- accepting ---- */

static void set_accepting(struct pn_server *server, bool is_accepting)
{
    if (server->is_accepting == is_accepting)
        return;
    server->is_accepting = is_accepting;
    for (size_t i = 0; i < server->listener_count; i++) {
        if (pn_loop_watch_change(&server->listeners[i], is_accepting ? PN_LOOP_READ : 0) != PN_OK)
            pn_log(PN_LOG_ERROR, "listener_watch_failed", "server", PN_S(server->name), NULL);
    }
}

/* At the limit the connection that has been idle longest makes room. */
static bool make_room(struct pn_server *server)
{
    if (server->conn_count < server->limits.connections_max)
        return true;
    for (struct pn_list *entry = server->conns.next; entry != &server->conns; entry = entry->next) {
        struct pn_server_conn *conn = PN_CONTAINER(entry, struct pn_server_conn, entry);

        if (pn_server_conn_is_idle(conn)) {
            pn_server_conn_close(conn);
            return true;
        }
    }
    return false;
}

static void on_accept_error(struct pn_server *server, int error)
{
    if (error == EAGAIN || error == EINTR || error == ECONNABORTED)
        return;
    pn_log(PN_LOG_WARN, "accept_failed", "server", PN_S(server->name), "errno", PN_I(error), NULL);
    set_accepting(server, false); /* EMFILE, ENFILE, ENOMEM: a pause, not a busy loop */
    pn_loop_arm(server->loop, &server->accept_timer, ACCEPT_PAUSE_MS);
}

static void on_accept_pause_over(struct pn_timer *timer)
{
    struct pn_server *server = timer->ctx;

    if (!server->is_draining)
        set_accepting(server, true);
}

static void on_acceptable(struct pn_watch *watch, unsigned events)
{
    struct pn_server *server = watch->ctx;

    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0) {
            on_accept_error(server, errno);
            return;
        }
        if (!make_room(server)) {
            pn_limit_hit(PN_LIMIT_CONTROL_CONNECTIONS);
            (void)close(fd);
            continue;
        }
        if (pn_server_conn_create(server, fd) != PN_OK)
            pn_log(PN_LOG_WARN, "connection_failed", "server", PN_S(server->name), NULL);
    }
}

/* ---- draining ---- */

static void on_drained_task(struct pn_task *task)
{
    struct pn_server *server = task->ctx;
    void (*on_drained)(void *ctx) = server->on_drained;

    server->on_drained = NULL;
    if (on_drained)
        on_drained(server->drained_ctx);
}

static void end_drain(struct pn_server *server)
{
    pn_loop_disarm(server->loop, &server->drain_timer);
    if (server->on_drained)
        pn_loop_soon(server->loop, &server->drained);
}

void pn_server_on_conn_gone(struct pn_server *server)
{
    if (server->is_draining && server->conn_count == 0)
        end_drain(server);
}

static void close_all(struct pn_server *server, bool only_idle)
{
    struct pn_list *entry = server->conns.next;

    while (entry != &server->conns) {
        struct pn_server_conn *conn = PN_CONTAINER(entry, struct pn_server_conn, entry);

        entry = entry->next;
        if (!only_idle || pn_server_conn_is_idle(conn) || conn->state == PN_SERVER_HANDSHAKE)
            pn_server_conn_close(conn);
    }
}

static void on_drain_timeout(struct pn_timer *timer)
{
    struct pn_server *server = timer->ctx;

    pn_log(PN_LOG_WARN, "drain_cut_off", "server", PN_S(server->name), "connections",
           PN_I(server->conn_count), NULL);
    close_all(server, false);
    end_drain(server);
}

static void stop_listening(struct pn_server *server)
{
    pn_loop_disarm(server->loop, &server->accept_timer);
    for (size_t i = 0; i < server->listener_count; i++)
        pn_loop_unwatch(&server->listeners[i]);
    server->listener_count = 0;
    server->is_accepting = false;
}

void pn_server_drain(struct pn_server *server, uint32_t limit_ms, void (*on_drained)(void *ctx),
                     void *ctx)
{
    stop_listening(server);
    server->is_draining = true;
    server->on_drained = on_drained;
    server->drained_ctx = ctx;
    pn_loop_arm(server->loop, &server->drain_timer, limit_ms);
    close_all(server, true);
    if (server->conn_count == 0)
        end_drain(server);
}

/* ---- life ---- */

#define DEFAULT(member, limit)                                                                     \
    do {                                                                                           \
        if (limits->member == 0)                                                                   \
            limits->member = (__typeof__(limits->member))pn_limit_value(limit);                    \
    } while (0)

static void fill_limits(struct pn_server_limits *limits)
{
    DEFAULT(connections_max, PN_LIMIT_CONTROL_CONNECTIONS);
    DEFAULT(queue_max, PN_LIMIT_CONTROL_QUEUE);
    DEFAULT(body_bytes_max, PN_LIMIT_CONTROL_BODY_BYTES);
    DEFAULT(response_bytes_max, PN_LIMIT_CONTROL_RESPONSE_BYTES);
    DEFAULT(arena_bytes_max, PN_LIMIT_CONTROL_CALL_MEMORY);
    DEFAULT(handshake_timeout_ms, PN_LIMIT_CONTROL_TLS_TIMEOUT);
    DEFAULT(idle_timeout_ms, PN_LIMIT_CONTROL_IDLE_TIMEOUT);
    DEFAULT(header_timeout_ms, PN_LIMIT_CONTROL_HEADER_TIMEOUT);
    DEFAULT(body_timeout_ms, PN_LIMIT_CONTROL_BODY_TIMEOUT);
    DEFAULT(write_timeout_ms, PN_LIMIT_CONTROL_WRITE_TIMEOUT);
}

static enum pn_rc listen_on(struct pn_server *server, const struct pn_server_spec *spec,
                            struct pn_error *err)
{
    for (size_t i = 0; i < spec->listen_count; i++) {
        int fd = spec->listen_fds[i];
        int flags = fcntl(fd, F_GETFL);
        enum pn_rc rc = PN_OK;

        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
            return pn_error_from_errno(err, errno, "listening socket %d of server %s", fd,
                                       spec->name);
        rc = pn_loop_watch(server->loop, &server->listeners[i], fd, PN_LOOP_READ, PN_WATCH_LEVEL,
                           on_acceptable, server);
        if (rc != PN_OK)
            return pn_error_set(err, rc, "listener",
                                "cannot watch listening socket %d of server %s", fd, spec->name);
        server->listener_count++;
    }
    server->is_accepting = true;
    return PN_OK;
}

enum pn_rc pn_server_create(struct pn_loop *loop, const struct pn_server_spec *spec,
                            struct pn_server **server, struct pn_error *err)
{
    const struct pn_http_limits h1_limits = PN_HTTP_LIMITS_IN_FORCE;
    size_t workers = spec->worker_count > 0 ? spec->worker_count : PN_SERVER_WORKERS;
    struct pn_server *made = NULL;
    enum pn_rc rc = PN_NOMEM;

    if (spec->listen_count == 0 || spec->listen_count > PN_SERVER_LISTENERS_MAX ||
        workers > PN_SERVER_WORKERS_MAX || !spec->handler)
        return pn_error_set(err, PN_INVALID, "server",
                            "server %s needs 1 to %u listeners, at most %u workers and a handler",
                            spec->name, PN_SERVER_LISTENERS_MAX, PN_SERVER_WORKERS_MAX);
    made = calloc(1, sizeof(*made));
    if (!made)
        return pn_error_set(err, PN_NOMEM, "memory", "out of memory");
    made->loop = loop;
    made->name = spec->name;
    made->tls = spec->tls ? pn_tls_server_ref(spec->tls) : NULL;
    made->limits = spec->limits;
    fill_limits(&made->limits);
    made->h1_limits = h1_limits;
    made->handler = spec->handler;
    made->ctx = spec->ctx;
    made->on_worker_start = spec->on_worker_start;
    made->on_worker_end = spec->on_worker_end;
    pn_list_init(&made->conns);
    pn_timer_init(&made->accept_timer, on_accept_pause_over, made);
    pn_timer_init(&made->drain_timer, on_drain_timeout, made);
    pn_task_init(&made->drained, on_drained_task, made);
    rc = pn_server_pool_start(made, workers, made->limits.queue_max, err);
    if (rc == PN_OK)
        rc = listen_on(made, spec, err);
    if (rc != PN_OK) {
        pn_server_destroy(made);
        return rc;
    }
    *server = made;
    return PN_OK;
}

void pn_server_set_tls(struct pn_server *server, struct pn_tls_server *tls)
{
    struct pn_tls_server *former = server->tls;

    server->tls = pn_tls_server_ref(tls);
    pn_tls_server_unref(former);
}

void pn_server_destroy(struct pn_server *server)
{
    struct pn_error err;

    if (!server)
        return;
    stop_listening(server);
    server->on_drained = NULL;
    pn_server_pool_stop(server);
    close_all(server, false);
    do { /* the workers' last messages are in the mailbox; the turn's end frees streams */
        if (pn_loop_turn(server->loop, 0, &err) != PN_OK)
            abort();
    } while (server->in_flight > 0);
    pn_loop_disarm(server->loop, &server->drain_timer);
    pn_loop_soon_cancel(&server->drained);
    pn_tls_server_unref(server->tls);
    free(server);
}

size_t pn_server_connection_count(const struct pn_server *server)
{
    return server->conn_count;
}
