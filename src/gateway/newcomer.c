/* SPDX-License-Identifier: Apache-2.0
 *
 * Waiting for PROXY headers. See newcomer.h.
 */
#include "gateway/newcomer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"
#include "gateway/client.h"
#include "gateway/proxy_protocol.h"

#define PEEK_BYTES 65551 /* the longest header there can be */

struct newcomer {
    struct pn_list entry; /* in worker->newcomers */
    struct pn_worker *worker;
    struct pn_watch watch;
    struct pn_timer timer;
    struct pn_deferred deferred;
    struct pn_peer_address peer;
    bool is_tls;
};

static void newcomer_free(void *object)
{
    free(object);
}

/** The descriptor is somebody else's from here on. */
static void forget(struct newcomer *newcomer)
{
    struct pn_worker *worker = newcomer->worker;

    pn_loop_unwatch(&newcomer->watch);
    pn_loop_disarm(worker->loop, &newcomer->timer);
    pn_list_remove(&newcomer->entry);
    pn_loop_defer_free(worker->loop, &newcomer->deferred, newcomer_free, newcomer);
}

static void log_refused(const struct pn_peer_address *peer, const char *cause)
{
    char text[PN_PEER_ADDRESS_TEXT] = "unix";

    if (peer->family != AF_UNSPEC)
        pn_peer_address_print(peer, text);
    pn_metric_add(PN_METRIC_PROXY_REFUSED, 1);
    pn_metric_add(PN_METRIC_CLIENT_REFUSED, 1);
    pn_log(PN_LOG_INFO, "proxy_header_refused", "peer", PN_S(text), "cause", PN_S(cause), NULL);
}

static void refuse(struct newcomer *newcomer, const char *cause)
{
    int fd = newcomer->watch.fd;

    log_refused(&newcomer->peer, cause);
    forget(newcomer);
    close(fd);
    pn_worker_left(newcomer->worker); /* it is freed when the turn ends */
}

/** ::ffff:a.b.c.d, a client of a proxy's IPv6 socket, is a.b.c.d (RFC 4291 §2.5.5.2): for policies,
 *  logs, and limits, where all of IPv4 would else be one network. */
static void unmap(struct pn_peer_address *peer)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    if (peer->family != AF_INET6 || memcmp(peer->ip, mapped, sizeof(mapped)) != 0)
        return;
    peer->family = AF_INET;
    memmove(peer->ip, peer->ip + 12, 4);
    memset(peer->ip + 4, 0, 12);
}

/** Where the connection comes from, as the header says. */
static void take_source(struct pn_peer_address *peer, const struct pn_proxy_header *header)
{
    if (!header->has_addresses)
        return;
    memset(peer, 0, sizeof(*peer));
    if (header->family == AF_UNIX) /* AF_UNSPEC: a process of the proxy's machine */
        return;
    peer->family = (uint16_t)header->family;
    peer->port = header->source_port;
    memcpy(peer->ip, header->source_ip, header->family == AF_INET ? 4 : 16);
    unmap(peer);
}

static void let_in(struct newcomer *newcomer, const struct pn_proxy_header *header, char *scratch)
{
    struct pn_worker *worker = newcomer->worker;
    struct pn_peer_address peer = newcomer->peer;
    bool is_tls = newcomer->is_tls;
    int fd = newcomer->watch.fd;

    if (recv(fd, scratch, header->len, 0) != (ssize_t)header->len) { /* it was all there */
        refuse(newcomer, "the connection broke");
        return;
    }
    take_source(&peer, header);
    forget(newcomer);
    pn_client_accept(worker, fd, is_tls, &peer);
}

static void look(struct newcomer *newcomer, bool is_at_end)
{
    size_t bytes_max = (size_t)pn_limit_value(PN_LIMIT_PROXY_HEADER_BYTES);
    struct pn_proxy_header header;
    const char *cause = NULL;
    char scratch[PEEK_BYTES];
    ssize_t n = recv(newcomer->watch.fd, scratch, bytes_max, MSG_PEEK);

    if (n < 0 && (errno == EAGAIN || errno == EINTR) && !is_at_end)
        return;
    if (n <= 0) {
        refuse(newcomer, "the connection ended before its PROXY header");
        return;
    }
    switch (pn_proxy_header_parse(pn_slice(scratch, (size_t)n), bytes_max, &header, &cause)) {
    case PN_OK:
        let_in(newcomer, &header, scratch);
        return;
    case PN_AGAIN:
        if (is_at_end)
            refuse(newcomer, "the connection ended within its PROXY header");
        return;
    case PN_LIMIT:
        pn_limit_hit(PN_LIMIT_PROXY_HEADER_BYTES);
        refuse(newcomer, "the PROXY header is longer than the limit proxy-header-bytes");
        return;
    case PN_EOF:
    case PN_MALFORMED:
    case PN_INVALID:
    case PN_DENIED:
    case PN_NOT_FOUND:
    case PN_EXISTS:
    case PN_CONFLICT:
    case PN_UNAVAILABLE:
    case PN_TIMEOUT:
    case PN_UNSUPPORTED:
    case PN_NOMEM:
    case PN_IO:
    case PN_INTERNAL:
        break;
    }
    refuse(newcomer, cause ? cause : "the PROXY header cannot be read");
}

static void on_event(struct pn_watch *watch, unsigned events)
{
    look(watch->ctx, (events & (PN_LOOP_END | PN_LOOP_ERROR)) != 0);
}

static void on_late(struct pn_timer *timer)
{
    pn_limit_hit(PN_LIMIT_PROXY_HEADER_TIMEOUT);
    refuse(timer->ctx, "no PROXY header came within the limit proxy-header-timeout");
}

/** A peer of a Unix socket passed the socket's mode: that is its trust. */
static bool is_trusted(const struct pn_listener_socket *socket, const struct pn_peer_address *peer)
{
    if (peer->family == AF_UNSPEC)
        return true;
    for (size_t i = 0; i < socket->trusted_count; i++) {
        if (pn_cidr_has(&socket->trusted[i], peer->family, peer->ip))
            return true;
    }
    return false;
}

void pn_newcomer_accept(struct pn_worker *worker, const struct pn_listener_socket *socket, int fd,
                        const struct pn_peer_address *peer)
{
    struct newcomer *newcomer;

    if (!is_trusted(socket, peer)) {
        log_refused(peer, "the address is not among those that the listener trusts");
        close(fd);
        pn_worker_left(worker);
        return;
    }
    newcomer = calloc(1, sizeof(*newcomer));
    if (!newcomer || pn_loop_watch(worker->loop, &newcomer->watch, fd, PN_LOOP_READ | PN_LOOP_END,
                                   PN_WATCH_EDGE, on_event, newcomer) != PN_OK) {
        pn_metric_add(PN_METRIC_CLIENT_REFUSED, 1);
        free(newcomer);
        close(fd);
        pn_worker_left(worker);
        return;
    }
    newcomer->worker = worker;
    newcomer->peer = *peer;
    newcomer->is_tls = socket->is_tls;
    pn_list_push_back(&worker->newcomers, &newcomer->entry);
    pn_timer_init(&newcomer->timer, on_late, newcomer);
    pn_loop_arm(worker->loop, &newcomer->timer, pn_limit_value(PN_LIMIT_PROXY_HEADER_TIMEOUT));
    look(newcomer, false);
}

void pn_newcomers_end(struct pn_worker *worker)
{
    while (!pn_list_is_empty(&worker->newcomers)) {
        struct newcomer *newcomer = PN_CONTAINER(worker->newcomers.next, struct newcomer, entry);
        int fd = newcomer->watch.fd;

        forget(newcomer);
        close(fd);
    }
}
