/* SPDX-License-Identifier: Apache-2.0
 *
 * The tunnel through a proxy: TLS with it, if it is reached by https; request out, answer in, on
 * the winner's socket or in that TLS.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/limits.h"
#include "tls/session.h"
#include "upstream/opening_internal.h"

static size_t answer_max(void)
{
    return (size_t)pn_limit_value(PN_LIMIT_PROXY_ANSWER);
}

static void set_failure(struct pn_opening *opening, const char *code, const char *what)
{
    const struct pn_proxy *proxy = opening->spec.proxy;

    pn_failure_set(opening->spec.failure, code, "the proxy %s:%u of the backend %s", proxy->host,
                   proxy->port, what);
    pn_opening_set_peer(opening, opening->winner);
}

static void tunnel_failed(struct pn_opening *opening, const char *code, const char *what)
{
    set_failure(opening, code, what);
    pn_opening_fail(opening);
}

/** Nobody has answered at this address of the proxy; at another one somebody may. */
static void tunnel_lost(struct pn_opening *opening, const char *code, const char *what)
{
    set_failure(opening, code, what);
    pn_opening_tell(opening, PN_OPENING_LOST, opening->winner, NULL);
    pn_opening_close_attempt(opening->winner);
    pn_stream_destroy(opening->outer);
    opening->outer = NULL;
    if (!pn_opening_go_on(opening))
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

/* --- bytes, of the socket or of the TLS around the tunnel --- */

static void ignore_event(void *ctx, struct pn_stream *stream)
{
    (void)ctx;
    (void)stream;
}

static const struct pn_stream_events no_events = {
    .on_open = ignore_event,
    .on_readable = ignore_event,
    .on_writable = ignore_event,
};

/** PN_OK, PN_AGAIN; anything else: the proxy has hung up. */
static enum pn_rc proxy_read(struct pn_opening *opening, char *bytes, size_t room, size_t *len)
{
    ssize_t n;

    if (opening->outer)
        return pn_stream_read(opening->outer, bytes, room, len);
    n = recv(opening->winner->fd, bytes, room, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return PN_AGAIN;
    *len = n > 0 ? (size_t)n : 0;
    return n > 0 ? PN_OK : PN_EOF;
}

static enum pn_rc proxy_write(struct pn_opening *opening, const char *bytes, size_t len,
                              size_t *written)
{
    ssize_t n;

    if (opening->outer)
        return pn_stream_write(opening->outer, bytes, len, written);
    n = send(opening->winner->fd, bytes, len, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return PN_AGAIN;
    *written = n > 0 ? (size_t)n : 0;
    return n >= 0 ? PN_OK : PN_IO;
}

/* --- the tunnel --- */

static void tunnel_open(struct pn_opening *opening)
{
    struct pn_attempt *winner = opening->winner;
    struct pn_stream *outer = opening->outer;
    int fd = winner->fd;

    pn_loop_disarm(opening->spec.loop, &winner->timer);
    pn_loop_unwatch(&winner->watch);
    winner->fd = -1; /* the stream's */
    opening->outer = NULL;
    if (outer)
        pn_stream_set_events(outer, &no_events, NULL);
    pn_buf_fini(&opening->tunnel);
    if (pn_opening_secure(opening, fd, outer) != PN_AGAIN)
        pn_opening_fail(opening);
}

/** How much may be read at once. A backend of HTTP/2 without TLS may speak first, right behind the
 * proxy's answer (RFC 9113 §3.4): what is its is left where it is. */
static size_t read_max(const struct pn_opening *opening)
{
    static const char end[] = "\r\n\r\n";
    struct pn_slice answer = pn_buf_slice(&opening->tunnel);
    size_t max = answer_max() - answer.len;
    size_t seen = sizeof(end) - 1;

    if (!opening->spec.is_h2c)
        return max;
    while (seen > answer.len || memcmp(answer.ptr + answer.len - seen, end, seen) != 0)
        seen--;
    return sizeof(end) - 1 - seen < max ? sizeof(end) - 1 - seen : max;
}

static void tunnel_read(struct pn_opening *opening)
{
    for (;;) {
        enum pn_proxy_answer answer;
        int status = 0;
        size_t len = 0;
        enum pn_rc rc;
        size_t room = read_max(opening);

        if (pn_buf_reserve(&opening->tunnel, room) != PN_OK) {
            tunnel_failed(opening, "out_of_memory", "cannot be read: no memory");
            return;
        }
        rc = proxy_read(opening, opening->tunnel.ptr + opening->tunnel.len, room, &len);
        if (rc == PN_AGAIN)
            return;
        if (rc != PN_OK) {
            tunnel_lost(opening, "proxy_closed", "closed the connection instead of an answer");
            return;
        }
        opening->tunnel.len += len;
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
        size_t written = 0;
        enum pn_rc rc = proxy_write(opening, out->ptr + opening->tunnel_sent,
                                    out->len - opening->tunnel_sent, &written);

        if (rc == PN_AGAIN)
            return;
        if (rc != PN_OK) {
            tunnel_lost(opening, "proxy_closed", "closed the connection");
            return;
        }
        opening->tunnel_sent += written;
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

    pn_limit_hit(PN_LIMIT_BACKEND_CONNECT_TIMEOUT);
    tunnel_lost(attempt->opening, "proxy_timeout", "did not answer in time");
}

/** Asks for the tunnel. PN_AGAIN, or failure tells. */
static enum pn_rc tunnel_begin(struct pn_opening *opening)
{
    struct pn_attempt *winner = opening->winner;
    enum pn_rc rc;

    pn_buf_fini(&opening->tunnel);
    pn_buf_init_secret(&opening->tunnel, PN_PROXY_REQUEST_MAX + answer_max());
    opening->tunnel_sent = 0;
    opening->is_answering = false;
    rc = pn_proxy_request(opening->spec.proxy, opening->spec.host, opening->spec.port,
                          &opening->tunnel);
    if (rc == PN_OK && !opening->outer)
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

/* --- TLS with the proxy --- */

static void on_outer_event(void *ctx, struct pn_stream *stream)
{
    (void)stream;
    tunnel_step(ctx);
}

static void on_outer_open(void *ctx, struct pn_stream *stream)
{
    struct pn_opening *opening = ctx;

    (void)stream;
    if (tunnel_begin(opening) == PN_AGAIN)
        tunnel_step(opening);
    else
        pn_opening_fail(opening);
}

static void on_outer_failed(void *ctx, struct pn_stream *stream, const struct pn_tls_report *report)
{
    struct pn_opening *opening = ctx;
    const struct pn_opening_spec *spec = &opening->spec;
    char sentence[PN_TLS_SENTENCE_MAX];
    bool may_help = pn_opening_may_help(report);

    if (report->cause == PN_CAUSE_HANDSHAKE_TIMEOUT)
        pn_limit_hit(PN_LIMIT_BACKEND_CONNECT_TIMEOUT);
    pn_tls_report_sentence(report, sentence);
    pn_failure_set(spec->failure, "proxy_tls", "TLS with the proxy %s:%u of the backend: %s",
                   spec->proxy->host, spec->proxy->port, sentence);
    pn_opening_set_peer(opening, opening->winner);
    if (spec->story)
        pn_stream_story(stream, spec->story);
    pn_opening_tell(opening, PN_OPENING_LOST, opening->winner, stream);
    opening->outer = NULL;
    pn_stream_destroy(stream);
    if (!may_help || !pn_opening_go_on(opening))
        pn_opening_fail(opening);
}

static const struct pn_stream_events outer_events = {
    .on_open = on_outer_open,
    .on_failed = on_outer_failed,
    .on_readable = on_outer_event,
    .on_writable = on_outer_event,
};

static enum pn_rc outer_begin(struct pn_opening *opening)
{
    struct pn_attempt *winner = opening->winner;
    const struct pn_opening_spec *spec = &opening->spec;
    struct pn_tls_identity identity;
    struct pn_error err = {.rc = PN_OK};
    struct pn_stream_connect_spec connect = {.identity = &identity,
                                             .tls = spec->proxy_tls,
                                             .timeout_ms = spec->timeout_ms,
                                             .fd = winner->fd};
    enum pn_rc rc = pn_tls_client_identity(spec->proxy_tls, &winner->peer,
                                           pn_slice_str(spec->proxy->host), &identity);

    if (rc == PN_OK) {
        winner->fd = -1; /* the stream's */
        rc = pn_stream_connect(spec->loop, &connect, &outer_events, opening, &opening->outer, &err);
    }
    if (rc == PN_OK)
        return PN_AGAIN;
    pn_failure_set(spec->failure, "proxy_tls", "TLS with the proxy %s:%u of the backend: %s",
                   spec->proxy->host, spec->proxy->port,
                   err.message[0] ? err.message : "not a host name that TLS can check");
    pn_opening_set_peer(opening, winner);
    return rc;
}

enum pn_rc pn_opening_tunnel(struct pn_opening *opening)
{
    return opening->spec.proxy_tls ? outer_begin(opening) : tunnel_begin(opening);
}
