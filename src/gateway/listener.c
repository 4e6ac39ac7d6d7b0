/* SPDX-License-Identifier: Apache-2.0
 *
 * Accepting. Out of descriptors or memory: wait a moment instead of spinning.
 */
#include "gateway/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"
#include "gateway/client.h"

#define ACCEPT_BATCH    16 /* connections taken in one go, so that other workers get theirs */
#define ACCEPT_PAUSE_MS 100

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

static void take_client(struct pn_listener *listener, int fd, const struct sockaddr_storage *from)
{
    struct pn_worker *worker = listener->worker;
    struct pn_peer_address peer = {0};
    int on = 1;

    if (worker->client_count >= worker->spec.clients_max) {
        pn_metric_add(PN_METRIC_CLIENT_REFUSED, 1);
        pn_limit_hit(PN_LIMIT_CLIENT_CONNECTIONS);
        close(fd);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (pn_peer_address_from((const struct sockaddr *)from, &peer) != PN_OK)
        peer.family = AF_INET;
    pn_client_accept(worker, fd, listener->is_tls, &peer);
}

static void on_acceptable(struct pn_watch *watch, unsigned events)
{
    struct pn_listener *listener = watch->ctx;

    (void)events;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        struct sockaddr_storage from;
        socklen_t len = sizeof(from);
        int fd = accept4(watch->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            take_client(listener, fd, &from);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            pause_accepting(listener, errno);
        if (errno != EINTR && errno != ECONNABORTED)
            return;
    }
}

static enum pn_rc open_one(struct pn_worker *worker, int fd, bool is_tls, struct pn_error *err)
{
    struct pn_listener *listener;
    enum pn_rc rc;

    if (worker->listener_count == PN_WORKER_LISTENERS_MAX)
        return pn_error_set(err, PN_LIMIT, "too_many_listeners", "more than %d listening sockets",
                            PN_WORKER_LISTENERS_MAX);
    listener = &worker->listeners[worker->listener_count++];
    listener->worker = worker;
    listener->is_tls = is_tls;
    pn_timer_init(&listener->resume, on_resume, listener);
    rc = pn_loop_watch(worker->loop, &listener->watch, fd, PN_LOOP_READ, PN_WATCH_SHARED,
                       on_acceptable, listener);
    return rc == PN_OK ? rc : pn_error_from_errno(err, errno, "cannot watch a listening socket");
}

enum pn_rc pn_listeners_open(struct pn_worker *worker, struct pn_error *err)
{
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; rc == PN_OK && i < worker->spec.plain_count; i++)
        rc = open_one(worker, worker->spec.plain_fds[i], false, err);
    for (size_t i = 0; rc == PN_OK && i < worker->spec.tls_count; i++)
        rc = open_one(worker, worker->spec.tls_fds[i], true, err);
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
