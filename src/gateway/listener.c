/* SPDX-License-Identifier: Apache-2.0
 *
 * Accepting. Out of descriptors or memory: wait a moment instead of spinning.
 */
#include "gateway/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"
#include "gateway/client.h"
#include "gateway/newcomer.h"

#define ACCEPT_BATCH    16 /* connections taken in one go, so that other workers get theirs */
#define ACCEPT_PAUSE_MS 100
#define QUEUE_MAX       65536

static void on_resume(struct pn_timer *timer)
{
    struct pn_listener *listener = timer->ctx;

    listener->is_paused = false;
    if (pn_loop_watch_change(&listener->watch, PN_LOOP_READ) != PN_OK)
        pn_log(PN_LOG_ERROR, "listener_lost", NULL);
}

static void pause_accepting(struct pn_listener *listener, int error)
{
    pn_log(PN_LOG_ERROR, "accept_failed", "errno", PN_I(error), NULL);
    if (pn_loop_watch_change(&listener->watch, 0) != PN_OK)
        return;
    listener->is_paused = true;
    pn_loop_arm(listener->worker->loop, &listener->resume, ACCEPT_PAUSE_MS);
}

/** At the limit. A plain client is told so; one that speaks TLS would take it for a broken
 *  handshake. What it has sent is read, because closing would else reset what we say. */
static void turn_away(const struct pn_listener_socket *socket, int fd)
{
    static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n"
                                 "Connection: close\r\nContent-Length: 0\r\n\r\n";
    char scratch[4096];

    pn_metric_add(PN_METRIC_CLIENT_REFUSED, 1);
    pn_limit_hit(PN_LIMIT_CLIENT_CONNECTIONS);
    if (!socket->is_tls && send(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
        (void)shutdown(fd, SHUT_WR);
        (void)!recv(fd, scratch, sizeof(scratch), MSG_DONTWAIT);
    }
    close(fd);
}

/** A connection that one worker has accepted and another one shall serve. */
struct given {
    struct pn_message message;
    struct pn_worker *worker;
    const struct pn_listener_socket *socket;
    struct pn_peer_address peer;
    int fd;
};

static void serve(struct pn_worker *worker, const struct pn_listener_socket *socket, int fd,
                  const struct pn_peer_address *peer)
{
    if (socket->wants_proxy)
        pn_newcomer_accept(worker, socket, fd, peer);
    else
        pn_client_accept(worker, fd, socket->is_tls, peer);
}

static void deliver_given(struct pn_message *message)
{
    struct given *given = PN_CONTAINER(message, struct given, message);

    serve(given->worker, given->socket, given->fd, &given->peer);
    free(given);
}

/** False: it has to be served here. */
static bool give(struct pn_worker *worker, const struct pn_listener_socket *socket, int fd,
                 const struct pn_peer_address *peer)
{
    struct given *given = calloc(1, sizeof(*given));

    if (!given)
        return false;
    *given = (struct given){.worker = worker, .socket = socket, .peer = *peer, .fd = fd};
    given->message.deliver = deliver_given;
    if (pn_loop_post(worker->loop, &given->message) == PN_OK)
        return true;
    free(given);
    return false;
}

static void take_client(struct pn_worker *worker, const struct pn_listener_socket *socket, int fd,
                        const struct sockaddr_storage *from)
{
    const struct pn_worker_spec *spec = &worker->spec;
    unsigned index = spec->index;
    struct pn_peer_address peer;

    if (!pn_spread_enter(spec->spread, spec->index, !worker->is_draining, &index)) {
        turn_away(socket, fd);
        return;
    }
    if (pn_peer_address_from((const struct sockaddr *)from, &peer) != PN_OK)
        peer.family = AF_UNSPEC; /* by a Unix socket */
    if (index != spec->index && give(spec->workers[index], socket, fd, &peer))
        return;
    if (index != spec->index)
        pn_spread_move(spec->spread, index, spec->index);
    serve(worker, socket, fd, &peer);
}

/** False: there is none, or none can be taken now. */
static bool accept_one(struct pn_listener *listener)
{
    struct sockaddr_storage from = {0};
    socklen_t len = sizeof(from);
    int fd =
        accept4(listener->watch.fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd >= 0) {
        take_client(listener->worker, listener->socket, fd, &from);
        return true;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        pause_accepting(listener, errno);
    return errno == EINTR || errno == ECONNABORTED;
}

static void on_acceptable(struct pn_watch *watch, unsigned events)
{
    (void)events;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        if (!accept_one(watch->ctx))
            return;
    }
}

static enum pn_rc open_one(struct pn_worker *worker, const struct pn_listener_socket *socket,
                           struct pn_error *err)
{
    struct pn_listener *listener = &worker->listeners[worker->listener_count++];
    enum pn_rc rc;

    listener->worker = worker;
    listener->socket = socket;
    pn_timer_init(&listener->resume, on_resume, listener);
    rc = pn_loop_watch(worker->loop, &listener->watch, socket->fd, PN_LOOP_READ, PN_WATCH_SHARED,
                       on_acceptable, listener);
    return rc == PN_OK ? rc : pn_error_from_errno(err, errno, "cannot watch a listening socket");
}

enum pn_rc pn_listeners_open(struct pn_worker *worker, struct pn_error *err)
{
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; rc == PN_OK && i < worker->spec.socket_count; i++)
        rc = open_one(worker, &worker->spec.sockets[i], err);
    return rc;
}

void pn_listeners_close(struct pn_worker *worker)
{
    for (size_t i = 0; i < worker->listener_count; i++) {
        pn_loop_unwatch(&worker->listeners[i].watch);
        pn_loop_disarm(worker->loop, &worker->listeners[i].resume);
    }
    worker->listener_count = 0;
}

void pn_listeners_finish(struct pn_worker *worker)
{
    for (size_t i = 0; i < worker->spec.socket_count; i++) {
        const struct pn_listener_socket *socket = &worker->spec.sockets[i];
        struct sockaddr_storage from = {0};
        socklen_t len = sizeof(from);
        int fd = accept4(socket->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        for (size_t k = 0; k < QUEUE_MAX && fd >= 0; k++) {
            take_client(worker, socket, fd, &from);
            len = sizeof(from);
            fd = accept4(socket->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        }
        if (fd >= 0)
            close(fd);
        close(socket->fd);
    }
}
