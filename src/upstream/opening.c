/* SPDX-License-Identifier: Apache-2.0
 *
 * The race of the addresses, and what follows for the winner.
 */
#include "upstream/opening.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "network/address.h"
#include "tls/session.h"
#include "upstream/opening_internal.h"

static enum pn_rc dial(struct pn_opening *opening);

/* --- the end --- */

void pn_opening_close_attempt(struct pn_attempt *attempt)
{
    pn_loop_disarm(attempt->opening->spec.loop, &attempt->timer);
    pn_loop_unwatch(&attempt->watch);
    if (attempt->fd >= 0)
        close(attempt->fd);
    attempt->fd = -1;
}

/** The losers of a race may be tried again if the winner turns out to be of no use. */
static void stop_race(struct pn_opening *opening)
{
    pn_loop_disarm(opening->spec.loop, &opening->stagger);
    for (size_t i = 0; i < opening->count; i++) {
        if (opening->attempts[i].state != PN_ATTEMPT_RUNNING)
            continue;
        pn_opening_close_attempt(&opening->attempts[i]);
        opening->attempts[i].state = PN_ATTEMPT_UNTRIED;
    }
    opening->running = 0;
}

void pn_opening_cancel(struct pn_opening *opening)
{
    if (!opening)
        return;
    if (opening->is_resolving)
        pn_resolve_cancel(&opening->resolve);
    stop_race(opening);
    if (opening->winner)
        pn_opening_close_attempt(opening->winner);
    pn_stream_destroy(opening->stream);
    pn_stream_destroy(opening->outer);
    pn_buf_fini(&opening->tunnel);
    pn_loop_defer_free(opening->spec.loop, &opening->deferred, free, opening);
}

void pn_opening_fail(struct pn_opening *opening)
{
    struct pn_opening_spec spec = opening->spec;

    pn_opening_cancel(opening);
    spec.on_failed(spec.ctx);
}

void pn_opening_set_peer(struct pn_opening *opening, const struct pn_attempt *attempt)
{
    char text[PN_PEER_ADDRESS_TEXT];

    pn_peer_address_print(&attempt->peer, text);
    snprintf(opening->spec.failure->peer, sizeof(opening->spec.failure->peer), "%s", text);
}

void pn_opening_tell(const struct pn_opening *opening, enum pn_opening_step step,
                     const struct pn_attempt *attempt, const struct pn_stream *stream)
{
    const struct pn_opening_spec *spec = &opening->spec;

    if (spec->on_step)
        spec->on_step(spec->ctx, step, attempt ? &attempt->peer : NULL,
                      step == PN_OPENING_LOST ? spec->failure->code : NULL, stream);
}

static struct pn_slice dialled_host(const struct pn_opening *opening)
{
    const struct pn_proxy *proxy = opening->spec.proxy;

    return proxy ? pn_slice_str(proxy->host) : opening->spec.host;
}

bool pn_opening_may_connect(struct pn_opening *opening, const struct pn_peer_address *peer)
{
    struct pn_failure *failure = opening->spec.failure;
    struct pn_slice host;
    char words[PN_FAILURE_TEXT_MAX];

    host = dialled_host(opening);
    if (pn_resolver_may_connect(opening->spec.resolver, host, peer))
        return true;
    (void)snprintf(opening->denied_by, sizeof(opening->denied_by), "%s",
                   pn_resolver_explain(opening->spec.resolver, host, peer, words, sizeof(words)));
    pn_failure_set(failure, "network_rule", "'%.*s': %s", PN_FMT(pn_slice_sub(host, 0, 200)),
                   words);
    pn_peer_address_print(peer, failure->peer);
    return false;
}

/** failure tells why; nothing that could be connected to is allowed. */
static void note_denial(const struct pn_opening *opening, const char *rule)
{
    pn_denial_note(opening->spec.kind, rule, opening->spec.failure->text);
}

bool pn_opening_go_on(struct pn_opening *opening)
{
    return opening->running > 0 || dial(opening) == PN_AGAIN;
}

/* --- TLS --- */

bool pn_opening_may_help(const struct pn_tls_report *report)
{
    return report->stage == PN_STAGE_CONNECT || report->cause == PN_CAUSE_HANDSHAKE_TIMEOUT ||
           report->cause == PN_CAUSE_CLOSED_IN_HANDSHAKE || report->cause == PN_CAUSE_RESET;
}

static void on_stream_open(void *ctx, struct pn_stream *stream)
{
    struct pn_opening *opening = ctx;
    struct pn_opening_spec spec = opening->spec;

    /* The rules may have changed since it was dialled; those of the pool were judged anew then. */
    if (!pn_opening_may_connect(opening, &opening->winner->peer)) {
        note_denial(opening, opening->denied_by);
        pn_opening_tell(opening, PN_OPENING_LOST, opening->winner, stream);
        opening->stream = NULL;
        pn_stream_destroy(stream);
        pn_opening_fail(opening);
        return;
    }
    pn_opening_tell(opening, PN_OPENING_WON, opening->winner, stream);
    opening->stream = NULL; /* the receiver's */
    pn_opening_cancel(opening);
    spec.on_open(spec.ctx, stream);
}

static void on_stream_failed(void *ctx, struct pn_stream *stream,
                             const struct pn_tls_report *report)
{
    struct pn_opening *opening = ctx;
    bool may_help = pn_opening_may_help(report);

    if (report->cause == PN_CAUSE_HANDSHAKE_TIMEOUT)
        pn_limit_hit(PN_LIMIT_BACKEND_CONNECT_TIMEOUT);
    pn_failure_from_report(opening->spec.failure, report);
    pn_opening_set_peer(opening, opening->winner);
    pn_opening_tell(opening, PN_OPENING_LOST, opening->winner, stream);
    opening->stream = NULL;
    pn_stream_destroy(stream);
    if (!may_help || !pn_opening_go_on(opening))
        pn_opening_fail(opening);
}

static void ignore_event(void *ctx, struct pn_stream *stream)
{
    (void)ctx;
    (void)stream;
}

static const struct pn_stream_events stream_events = {
    .on_open = on_stream_open,
    .on_failed = on_stream_failed,
    .on_readable = ignore_event,
    .on_writable = ignore_event,
};

/** What the connection will be to the pool: through a proxy the backend's address is unknown. */
static enum pn_rc make_identity(struct pn_opening *opening, struct pn_tls_identity *identity)
{
    const struct pn_opening_spec *spec = &opening->spec;
    struct pn_peer_address peer = opening->winner->peer;

    peer.port = spec->port;
    if (spec->proxy)
        pn_proxy_peer(spec->proxy, spec->port, &peer);
    if (spec->tls)
        return pn_tls_client_identity(spec->tls, &peer, spec->host, identity);
    pn_tls_identity_init(identity, &peer);
    if (spec->is_h2c)
        identity->alpn = PN_ALPN_H2;
    pn_tls_identity_seal(identity);
    return PN_OK;
}

enum pn_rc pn_opening_secure(struct pn_opening *opening, int fd, struct pn_stream *below)
{
    struct pn_tls_identity identity;
    struct pn_stream_connect_spec spec = {.identity = &identity,
                                          .tls = opening->spec.tls,
                                          .timeout_ms = opening->spec.timeout_ms,
                                          .fd = fd,
                                          .below = below,
                                          .story = opening->spec.story};
    struct pn_error err = {.rc = PN_OK};
    const char *code = "connect_failed";
    enum pn_rc rc = make_identity(opening, &identity);

    if (rc != PN_OK) {
        if (fd >= 0)
            close(fd);
        pn_stream_destroy(below);
        pn_failure_set(opening->spec.failure, "dns_failed", "not a host name that TLS can check");
        return rc;
    }
    rc = pn_stream_connect(opening->spec.loop, &spec, &stream_events, opening, &opening->stream,
                           &err);
    if (rc == PN_OK)
        return PN_AGAIN;
    if (rc == PN_CONFLICT)
        code = "identity_mismatch";
    else if (rc == PN_INVALID) /* our certificate is not valid now: no connection was made */
        code = strcmp(err.code, "certificate_not_yet_valid") == 0
                   ? "client_certificate_not_yet_valid"
                   : "client_certificate_expired";
    pn_failure_set(opening->spec.failure, code, "%s", err.message);
    pn_opening_set_peer(opening, opening->winner);
    return rc;
}

/* --- the race --- */

/** `attempt` has a TCP connection. */
static enum pn_rc win(struct pn_opening *opening, struct pn_attempt *attempt)
{
    int fd = attempt->fd;

    pn_loop_disarm(opening->spec.loop, &attempt->timer);
    pn_loop_unwatch(&attempt->watch);
    attempt->state = PN_ATTEMPT_USED;
    opening->running--;
    stop_race(opening);
    opening->winner = attempt;
    if (opening->spec.proxy)
        return pn_opening_tunnel(opening);
    attempt->fd = -1;
    return pn_opening_secure(opening, fd, NULL);
}

static void lose(struct pn_opening *opening, struct pn_attempt *attempt, int error)
{
    struct pn_tls_report report = {.stage = PN_STAGE_CONNECT, .alert = -1, .system_error = error};

    pn_peer_address_print(&attempt->peer, report.peer);
    if (error == ECONNREFUSED)
        report.cause = PN_CAUSE_CONNECT_REFUSED;
    else if (error == ENETUNREACH || error == EHOSTUNREACH)
        report.cause = PN_CAUSE_CONNECT_UNREACHABLE;
    else if (error == ETIMEDOUT)
        report.cause = PN_CAUSE_CONNECT_TIMEOUT;
    else
        report.cause = PN_CAUSE_CONNECT_FAILED;
    pn_failure_from_report(opening->spec.failure, &report);
    pn_opening_tell(opening, PN_OPENING_LOST, attempt, NULL);
    pn_opening_close_attempt(attempt);
    attempt->state = PN_ATTEMPT_USED;
    opening->running--;
}

static void on_connect_event(struct pn_watch *watch, unsigned events)
{
    struct pn_attempt *attempt = watch->ctx;
    struct pn_opening *opening = attempt->opening;
    int error = 0;
    socklen_t len = sizeof(error);

    if (!(events & (PN_LOOP_WRITE | PN_LOOP_ERROR)))
        return;
    (void)getsockopt(attempt->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error == 0) {
        if (win(opening, attempt) != PN_AGAIN)
            pn_opening_fail(opening);
        return;
    }
    lose(opening, attempt, error);
    if (dial(opening) != PN_AGAIN && opening->running == 0)
        pn_opening_fail(opening);
}

static void on_connect_timeout(struct pn_timer *timer)
{
    struct pn_attempt *attempt = timer->ctx;
    struct pn_opening *opening = attempt->opening;

    pn_limit_hit(PN_LIMIT_BACKEND_CONNECT_TIMEOUT);
    lose(opening, attempt, ETIMEDOUT);
    if (!pn_opening_go_on(opening))
        pn_opening_fail(opening);
}

/** 0: connected; EINPROGRESS: it is watched; else it failed. */
static int attempt_start(struct pn_opening *opening, struct pn_attempt *attempt)
{
    struct sockaddr_storage address;
    socklen_t len = pn_peer_address_to(&attempt->peer, &address);
    int on = 1;

    attempt->state = PN_ATTEMPT_RUNNING;
    opening->running++;
    attempt->fd = socket(attempt->peer.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (attempt->fd < 0)
        return errno;
    (void)setsockopt(attempt->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(attempt->fd, (struct sockaddr *)&address, len) == 0)
        return 0;
    if (errno == EINPROGRESS) {
        struct pollfd now = {.fd = attempt->fd, .events = POLLOUT};
        int error = 0;
        socklen_t error_len = sizeof(error);

        /* On this machine it is there or refused already: spare the loop a watch. */
        if (poll(&now, 1, 0) == 1 &&
            (now.revents == POLLOUT ||
             getsockopt(attempt->fd, SOL_SOCKET, SO_ERROR, &error, &error_len) == 0))
            return error;
        if (pn_loop_watch(opening->spec.loop, &attempt->watch, attempt->fd,
                          PN_LOOP_READ | PN_LOOP_WRITE, PN_WATCH_EDGE, on_connect_event,
                          attempt) != PN_OK)
            return ENOMEM;
        pn_timer_init(&attempt->timer, on_connect_timeout, attempt);
        pn_loop_arm(opening->spec.loop, &attempt->timer, opening->spec.timeout_ms);
        return EINPROGRESS;
    }
    return errno;
}

/** Starts the next address, and those after it while they fail at once. PN_AGAIN: under way. Else
 *  failure tells; others may still be running. */
static enum pn_rc dial(struct pn_opening *opening)
{
    for (size_t i = 0; i < opening->count; i++) {
        struct pn_attempt *attempt = &opening->attempts[i];
        int error;

        if (attempt->state != PN_ATTEMPT_UNTRIED)
            continue;
        error = attempt_start(opening, attempt);
        if (error == 0)
            return win(opening, attempt);
        if (error == EINPROGRESS) {
            pn_loop_arm(opening->spec.loop, &opening->stagger, PN_OPENING_STAGGER_MS);
            return PN_AGAIN;
        }
        lose(opening, attempt, error);
    }
    return PN_UNAVAILABLE;
}

static void on_stagger(struct pn_timer *timer)
{
    struct pn_opening *opening = timer->ctx;

    if (dial(opening) != PN_AGAIN && opening->running == 0)
        pn_opening_fail(opening);
}

/* --- the name --- */

static void set_dns_failure(struct pn_opening *opening, struct pn_slice host)
{
    pn_failure_set(opening->spec.failure, "dns_failed", "cannot resolve '%.*s': %s", PN_FMT(host),
                   opening->resolve.reason ? opening->resolve.reason : "no answer");
}

/** Takes the addresses out that must not be connected to. False: none is left, failure tells. */
static bool drop_denied(struct pn_opening *opening)
{
    const struct pn_proxy *proxy = opening->spec.proxy;
    struct pn_resolve *resolve = &opening->resolve;
    struct pn_address target;
    bool is_denied = false; /* by a rule */
    size_t kept = 0;

    for (size_t i = 0; i < resolve->count; i++) {
        struct pn_peer_address *peer = &resolve->addresses[i];

        peer->port = proxy ? proxy->port : opening->spec.port;
        if (!pn_resolver_allows(opening->spec.resolver, peer)) {
            is_denied = false;
            pn_peer_address_print(peer, opening->spec.failure->peer);
        } else if (!pn_opening_may_connect(opening, peer)) {
            is_denied = true;
        } else {
            resolve->addresses[kept++] = *peer;
        }
    }
    resolve->count = kept;
    /* Behind a proxy a name is the proxy's to look up, but an address is what it is. */
    if (kept > 0 && opening->spec.proxy && pn_address_parse_loosely(opening->spec.host, &target)) {
        struct pn_peer_address peer = {.family = (sa_family_t)target.family};

        memcpy(peer.ip, target.ip, sizeof(peer.ip));
        if (!pn_resolver_allows(opening->spec.resolver, &peer)) {
            kept = 0;
            is_denied = false;
        }
    }
    if (kept == 0 && !is_denied)
        pn_failure_set(opening->spec.failure, "address_guarded",
                       "'%.*s' has a link-local address or that of a metadata service, which no "
                       "backend may have (--link-local-backends deny)",
                       PN_FMT(opening->spec.host));
    if (kept == 0)
        note_denial(opening, is_denied ? opening->denied_by : PN_DENIED_GUARDED);
    return kept > 0;
}

/** PN_AGAIN, or failure tells. */
static enum pn_rc dial_all(struct pn_opening *opening)
{
    struct pn_resolve *resolve = &opening->resolve;
    const struct pn_proxy *proxy = opening->spec.proxy;

    if (!drop_denied(opening))
        return PN_DENIED;
    pn_opening_tell(opening, PN_OPENING_RESOLVED, NULL, NULL);
    pn_opening_order(resolve->addresses, resolve->count, resolve->turn);
    opening->count = resolve->count;
    for (size_t i = 0; i < resolve->count; i++) {
        struct pn_attempt *attempt = &opening->attempts[i];

        attempt->opening = opening;
        attempt->fd = -1;
        attempt->peer = resolve->addresses[i];
        attempt->peer.port = proxy ? proxy->port : opening->spec.port;
        pn_timer_init(&attempt->timer, on_connect_timeout, attempt);
    }
    if (proxy || opening->count > 1)
        return dial(opening);
    opening->winner = &opening->attempts[0]; /* nobody to race with: the stream connects */
    opening->winner->state = PN_ATTEMPT_USED;
    return pn_opening_secure(opening, -1, NULL);
}

static void on_resolved(struct pn_resolve *query)
{
    struct pn_opening *opening = query->ctx;

    opening->is_resolving = false;
    if (query->rc != PN_OK)
        set_dns_failure(opening, dialled_host(opening));
    else if (dial_all(opening) == PN_AGAIN)
        return;
    pn_opening_fail(opening);
}

enum pn_rc pn_opening_start(const struct pn_opening_spec *spec, struct pn_opening **out)
{
    struct pn_opening *opening = calloc(1, sizeof(*opening));
    enum pn_rc rc;

    if (!opening) {
        pn_failure_set(spec->failure, "out_of_memory", "no memory for a connection");
        return PN_NOMEM;
    }
    opening->spec = *spec;
    pn_buf_init_secret(&opening->tunnel, PN_PROXY_REQUEST_MAX);
    pn_timer_init(&opening->stagger, on_stagger, opening);
    opening->resolve.on_done = on_resolved;
    opening->resolve.ctx = opening;
    rc = pn_resolver_start(spec->resolver, &opening->resolve, dialled_host(opening));
    opening->is_resolving = rc == PN_AGAIN;
    if (rc == PN_OK)
        rc = dial_all(opening);
    else if (rc != PN_AGAIN)
        set_dns_failure(opening, dialled_host(opening));
    if (rc == PN_AGAIN) {
        *out = opening;
        return rc;
    }
    pn_opening_cancel(opening);
    return rc;
}
