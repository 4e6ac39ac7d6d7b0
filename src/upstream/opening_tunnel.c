/* SPDX-License-Identifier: Apache-2.0
 *
 * The tunnel through a proxy: request out, answer in, on the winner's socket.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/limits.h"
#include "upstream/opening_internal.h"

static size_t answer_max(void)
{
    return (size_t)pn_limit_value(PN_LIMIT_PROXY_ANSWER);
}

static void tunnel_failed(struct pn_opening *opening, const char *code, const char *what)
{
    const struct pn_proxy *proxy = opening->spec.proxy;

    pn_failure_set(opening->spec.failure, code, "the proxy %s:%u of the backend %s", proxy->host,
                   proxy->port, what);
    pn_opening_set_peer(opening, opening->winner);
    pn_opening_fail(opening);
}

static void tunnel_refused(struct pn_opening *opening, enum pn_proxy_answer answer, int status)
{
    char what[128];

    switch (answer) {
    case PN_PROXY_AUTH_REQUIRED:
        tunnel_failed(opening, "proxy_auth_required",
                      "wants other credentials (407): check the proxy's username and password");
        return;
    case PN_PROXY_REFUSED:
        snprintf(what, sizeof(what), "refused the tunnel to the backend with status %d", status);
        tunnel_failed(opening, "proxy_refused", what);
        return;
    case PN_PROXY_MALFORMED:
        if (opening->tunnel.len >= answer_max())
            pn_limit_hit(PN_LIMIT_PROXY_ANSWER);
        tunnel_failed(opening, "proxy_malformed",
                      "answered CONNECT with something that is not an answer to it");
        return;
    case PN_PROXY_MORE:
    case PN_PROXY_OPEN:
        return;
    }
}

static void tunnel_open(struct pn_opening *opening)
{
    struct pn_attempt *winner = opening->winner;
    int fd = winner->fd;

    pn_loop_disarm(opening->spec.loop, &winner->timer);
    pn_loop_unwatch(&winner->watch);
    winner->fd = -1; /* the stream's */
    pn_buf_fini(&opening->tunnel);
    if (pn_opening_secure(opening, fd) != PN_AGAIN)
        pn_opening_fail(opening);
}

static void tunnel_read(struct pn_opening *opening)
{
    for (;;) {
        enum pn_proxy_answer answer;
        int status = 0;
        ssize_t n;

        size_t room = answer_max() - opening->tunnel.len;

        if (pn_buf_reserve(&opening->tunnel, room) != PN_OK) {
            tunnel_failed(opening, "out_of_memory", "cannot be read: no memory");
            return;
        }
        n = recv(opening->winner->fd, opening->tunnel.ptr + opening->tunnel.len, room, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            tunnel_failed(opening, "proxy_closed", "closed the connection instead of an answer");
            return;
        }
        opening->tunnel.len += (size_t)n;
        answer = pn_proxy_read(pn_buf_slice(&opening->tunnel), answer_max(), &status);
        if (answer == PN_PROXY_MORE)
            continue;
        if (answer == PN_PROXY_OPEN)
            tunnel_open(opening);
        else
            tunnel_refused(opening, answer, status);
        return;
    }
}

static void tunnel_step(struct pn_opening *opening)
{
    struct pn_buf *out = &opening->tunnel;

    while (!opening->is_answering) {
        ssize_t n = send(opening->winner->fd, out->ptr + opening->tunnel_sent,
                         out->len - opening->tunnel_sent, MSG_NOSIGNAL);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0) {
            tunnel_failed(opening, "proxy_closed", "closed the connection");
            return;
        }
        opening->tunnel_sent += (size_t)n;
        if (opening->tunnel_sent < out->len)
            continue;
        opening->is_answering = true;
        pn_buf_clear(out);
    }
    tunnel_read(opening);
}

static void on_tunnel_event(struct pn_watch *watch, unsigned events)
{
    (void)events;
    tunnel_step(watch->ctx);
}

static void on_tunnel_timeout(struct pn_timer *timer)
{
    struct pn_attempt *attempt = timer->ctx;

    tunnel_failed(attempt->opening, "proxy_timeout", "did not answer in time");
}

enum pn_rc pn_opening_tunnel(struct pn_opening *opening)
{
    struct pn_attempt *winner = opening->winner;
    enum pn_rc rc;

    pn_buf_fini(&opening->tunnel);
    pn_buf_init_secret(&opening->tunnel, PN_PROXY_REQUEST_MAX + answer_max());
    opening->tunnel_sent = 0;
    opening->is_answering = false;
    rc = pn_proxy_request(opening->spec.proxy, opening->spec.host, opening->spec.port,
                          &opening->tunnel);
    if (rc == PN_OK)
        rc = pn_loop_watch(opening->spec.loop, &winner->watch, winner->fd,
                           PN_LOOP_READ | PN_LOOP_WRITE, PN_WATCH_EDGE, on_tunnel_event, opening);
    if (rc == PN_OK) {
        pn_timer_init(&winner->timer, on_tunnel_timeout, winner);
        pn_loop_arm(opening->spec.loop, &winner->timer, opening->spec.timeout_ms);
        return PN_AGAIN;
    }
    pn_failure_set(opening->spec.failure, "connect_failed", "no memory for a tunnel");
    return rc;
}
