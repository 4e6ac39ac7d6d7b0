/* SPDX-License-Identifier: Apache-2.0
 *
 * Streams: life, handshake and events. Bytes: session_io.c. States: session.h.
 */
#include "tls/session.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "signer/signer.h"
#include "tls/below.h"
#include "tls/session_records.h"
#include "tls/takeover.h"

static void stream_free(void *object)
{
    struct pn_stream *stream = object;

    SSL_free(stream->ssl);
    pn_stream_records_free(stream->records);
    pn_tls_client_unref(stream->client);
    pn_tls_link_fini(&stream->link);
    pn_tls_server_unref(stream->server);
    free(stream->link.below);
    free(stream);
}

static void on_stream_event(struct pn_watch *watch, unsigned events);
static void on_stream_timeout(struct pn_timer *timer);

/* `identity` NULL: an accepted one. */
static struct pn_stream *stream_new(struct pn_loop *loop, int fd,
                                    const struct pn_tls_identity *identity,
                                    const struct pn_stream_events *events, void *ctx)
{
    struct pn_stream *stream = calloc(1, sizeof(*stream) + (identity ? sizeof(*identity) : 0));

    if (!stream)
        return NULL;
    stream->loop = loop;
    stream->events = events;
    stream->ctx = ctx;
    stream->link.fd = fd;
    if (identity) {
        stream->is_client = true;
        stream->identity[0] = *identity;
        stream->link.identity = stream->identity;
    }
    pn_timer_init(&stream->timer, on_stream_timeout, stream);
    return stream;
}

/* Small writes go out at once: HTTP fills records by itself. Socketpairs of tests do not know it.
 */
static void fd_no_delay(int fd)
{
    int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static enum pn_rc stream_watch(struct pn_stream *stream, uint32_t timeout_ms)
{
    enum pn_rc rc = PN_OK;

    if (stream->link.below)
        pn_below_watch(stream->link.below);
    else
        rc = pn_loop_watch(stream->loop, &stream->watch, stream->link.fd,
                           PN_LOOP_READ | PN_LOOP_WRITE, PN_WATCH_EDGE, on_stream_event, stream);

    if (rc == PN_OK)
        pn_loop_arm(stream->loop, &stream->timer,
                    timeout_ms ? timeout_ms : PN_STREAM_CONNECT_TIMEOUT_MS);
    return rc;
}

/* ---- connecting */

static bool identity_is_of_client(const struct pn_tls_identity *identity,
                                  const struct pn_tls_client *client)
{
    struct pn_tls_identity expected;

    if (!client)
        return !identity->is_tls;
    if (pn_tls_client_identity(client, &identity->peer, pn_slice_str(identity->server_name),
                               &expected) != PN_OK)
        return false;
    return pn_tls_identity_equal(identity, &expected);
}

/* Nothing is opened for an identity that is not the context's, or with a certificate out of its
 * time. */
static enum pn_rc connect_check(const struct pn_stream_connect_spec *spec, struct pn_error *err)
{
    if (!identity_is_of_client(spec->identity, spec->tls)) {
        pn_metric_add(PN_METRIC_IDENTITY_MISMATCH, 1);
        return pn_error_set(
            err, PN_CONFLICT, "identity_mismatch",
            "The connection's identity is not that of its TLS context; it was not opened.");
    }
    if (!spec->tls)
        return PN_OK;
    return pn_tls_client_check_time(spec->tls,
                                    spec->now_unix_s ? spec->now_unix_s : pn_clock_unix_s(), err);
}

static void connect_describe(struct pn_stream *stream, const struct pn_tls_identity *identity)
{
    struct pn_tls_report *report = pn_tls_link_report(&stream->link);
    const struct pn_tls_certificate *certificate =
        stream->client ? pn_tls_client_certificate(stream->client) : NULL;

    report->stage = PN_STAGE_CONNECT;
    pn_peer_address_print(&identity->peer, report->peer);
    (void)snprintf(report->server_name, sizeof(report->server_name), "%s", identity->server_name);
    if (certificate)
        pn_tls_link_name(&stream->link, certificate);
}

/* A refusal that connect() gives at once is reported like one that comes later: from the loop. */
static int connect_start(struct pn_stream *stream, const struct pn_tls_identity *identity)
{
    struct sockaddr_storage address;
    socklen_t len = pn_peer_address_to(&identity->peer, &address);
    int fd = socket(identity->peer.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    fd_no_delay(fd);
    if (connect(fd, (struct sockaddr *)&address, len) < 0 && errno != EINPROGRESS)
        stream->connect_error = errno;
    return fd;
}

static void on_below_event(struct pn_stream *stream, unsigned events)
{
    on_stream_event(&stream->watch, events);
}

/* Without memory there is no stream below. */
static void connect_below(struct pn_stream *stream, struct pn_stream *below)
{
    stream->watch.ctx = stream;
    stream->link.below = pn_below_create(stream, below, on_below_event);
    stream->link.fd = pn_stream_fd(below);
}

enum pn_rc pn_stream_connect(struct pn_loop *loop, const struct pn_stream_connect_spec *spec,
                             const struct pn_stream_events *events, void *ctx,
                             struct pn_stream **out, struct pn_error *err)
{
    struct pn_stream *stream = NULL;
    enum pn_rc rc = connect_check(spec, err);

    if (rc != PN_OK)
        goto fail;
    stream = stream_new(loop, spec->fd, spec->identity, events, ctx);
    if (stream && spec->below)
        connect_below(stream, spec->below);
    if (!stream || (spec->below && !stream->link.below)) {
        rc = pn_error_set(err, PN_NOMEM, "no_memory", "No memory for a connection.");
        goto fail;
    }
    stream->link.now_unix_s = spec->now_unix_s;
    stream->link.story = spec->story;
    if (spec->tls) {
        stream->client = pn_tls_client_ref(spec->tls);
        stream->link.client = stream->client;
    }
    connect_describe(stream, spec->identity);
    stream->state = PN_STREAM_CONNECTING;
    stream->is_connected = spec->fd >= 0 || spec->below;
    if (!stream->is_connected)
        stream->link.fd = connect_start(stream, spec->identity);
    if (stream->link.fd < 0) {
        rc = pn_error_from_errno(err, errno, "No socket for a connection");
        goto fail;
    }
    rc = stream_watch(stream, spec->timeout_ms);
    if (rc != PN_OK) {
        rc = pn_error_from_errno(err, errno, "The connection cannot be watched");
        goto fail;
    }
    *out = stream;
    return PN_OK;
fail:
    if (spec->below)
        pn_stream_destroy(spec->below);
    else if (stream && stream->link.fd >= 0)
        close(stream->link.fd);
    else if (spec->fd >= 0)
        close(spec->fd);
    if (stream)
        stream_free(stream);
    return rc;
}

enum pn_rc pn_stream_accept(struct pn_loop *loop, int fd, struct pn_tls_server *tls,
                            uint32_t timeout_ms, const struct pn_stream_events *events, void *ctx,
                            struct pn_stream **out)
{
    enum pn_rc rc = PN_NOMEM;
    struct pn_stream *stream = stream_new(loop, fd, NULL, events, ctx);

    if (!stream) {
        close(fd);
        return PN_NOMEM;
    }
    fd_no_delay(fd);
    stream->state = PN_STREAM_CONNECTING; /* until the first event, which comes at once */
    if (tls) {
        stream->server = pn_tls_server_ref(tls);
        stream->ssl = pn_tls_server_ssl(tls, &stream->link);
    }
    if (!tls || stream->ssl)
        rc = stream_watch(stream, timeout_ms);
    if (rc != PN_OK) {
        close(fd);
        stream_free(stream);
        return rc;
    }
    *out = stream;
    return PN_OK;
}

/* ---- what the loop tells */

static void fail_open(struct pn_stream *stream)
{
    if (stream->client && stream->ssl)
        pn_tls_client_forget_sessions(stream->client, stream->identity);
    stream->state = PN_STREAM_FAILED;
    pn_loop_disarm(stream->loop, &stream->timer);
    pn_loop_unwatch(&stream->watch);
    stream->events->on_failed(stream->ctx, stream, pn_tls_link_report(&stream->link));
}

static void fail_connect(struct pn_stream *stream, int error)
{
    struct pn_tls_report *report = pn_tls_link_report(&stream->link);

    report->stage = PN_STAGE_CONNECT;
    report->system_error = error;
    if (error == ECONNREFUSED)
        report->cause = PN_CAUSE_CONNECT_REFUSED;
    else if (error == ENETUNREACH || error == EHOSTUNREACH)
        report->cause = PN_CAUSE_CONNECT_UNREACHABLE;
    else if (error == ETIMEDOUT)
        report->cause = PN_CAUSE_CONNECT_TIMEOUT;
    else
        report->cause = PN_CAUSE_CONNECT_FAILED;
    fail_open(stream);
}

static void on_stream_timeout(struct pn_timer *timer)
{
    struct pn_stream *stream = timer->ctx;
    struct pn_tls_report *report = pn_tls_link_report(&stream->link);
    bool is_connecting = stream->state == PN_STREAM_CONNECTING;

    pn_metric_add(PN_METRIC_TIMEOUTS, 1);
    report->stage = is_connecting ? PN_STAGE_CONNECT : PN_STAGE_HANDSHAKE;
    report->cause = is_connecting ? PN_CAUSE_CONNECT_TIMEOUT : PN_CAUSE_HANDSHAKE_TIMEOUT;
    fail_open(stream);
}

static void count_handshake(const struct pn_stream *stream)
{
    bool is_resumed = stream->link.report && stream->link.report->is_resumed;

    if (stream->is_client)
        pn_metric_add(is_resumed ? PN_METRIC_BACKEND_RESUMED : PN_METRIC_BACKEND_HANDSHAKES, 1);
    else
        pn_metric_add(is_resumed ? PN_METRIC_CLIENT_RESUMED : PN_METRIC_CLIENT_HANDSHAKES, 1);
}

static void stream_open(struct pn_stream *stream)
{
    stream->state = PN_STREAM_OPEN;
    stream->link.is_handshake_over = true;
    if (stream->is_client)
        stream->link.report->stage = PN_STAGE_OPEN;
    stream->opened_ms = pn_loop_now_ms(stream->loop);
    pn_loop_disarm(stream->loop, &stream->timer);
    if (stream->ssl) {
        pn_tls_report_open(&stream->link, stream->ssl);
        if (stream->link.story)
            pn_tls_story_collect(stream->link.story, &stream->link, stream->ssl);
        count_handshake(stream);
        if (stream->server) {
            stream->link.peer = pn_tls_peer_of(stream->ssl);
            pn_stream_records_take(
                stream); /* our tickets are sent, the client's Finished is read */
        }
        /* The socket's edge may have been used up by the handshake, with more bytes behind it. */
        stream->has_input = true;
    }
    stream->events->on_open(stream->ctx, stream);
    /* Whoever wants to know has looked: thousands of idle clients shall cost little. */
    if (!stream->is_client && stream->state == PN_STREAM_OPEN && !stream->is_broken &&
        !stream->is_write_broken) {
        free(stream->link.report);
        stream->link.report = NULL;
    }
}

static void handshake_step(struct pn_stream *stream)
{
    int done, ssl_error, system_error;

    pn_signer_clear_error();
    ERR_clear_error();
    errno = 0;
    pn_tls_takeover_watch(&stream->link);
    stream->link.is_holding = stream->is_client;
    done = SSL_do_handshake(stream->ssl);
    stream->link.is_holding = false;
    system_error = errno;
    pn_signer_watch_secrets(NULL, NULL);
    if (done == 1) {
        stream_open(stream);
        if (stream->state == PN_STREAM_OPEN) /* else it is closed, and the socket with it */
            pn_tls_bio_flush(&stream->link);
        return;
    }
    pn_tls_bio_flush(&stream->link);
    ssl_error = SSL_get_error(stream->ssl, done);
    if (ssl_error == SSL_ERROR_WANT_READ || ssl_error == SSL_ERROR_WANT_WRITE)
        return;
    pn_tls_report_failure(&stream->link, stream->ssl, ssl_error, system_error);
    if (stream->link.story)
        pn_tls_story_collect(stream->link.story, &stream->link, stream->ssl);
    fail_open(stream);
}

static void connecting_event(struct pn_stream *stream)
{
    int error = stream->connect_error;
    socklen_t len = sizeof(error);

    if (stream->is_client && !error && !stream->is_connected)
        (void)getsockopt(stream->link.fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error) {
        fail_connect(stream, error);
        return;
    }
    if (stream->is_client && stream->client) {
        stream->ssl = pn_tls_client_ssl(stream->client, &stream->link);
        if (!stream->ssl) {
            fail_connect(stream, ENOMEM);
            return;
        }
    }
    if (stream->ssl) {
        stream->state = PN_STREAM_HANDSHAKE;
        pn_tls_link_report(&stream->link)->stage = PN_STAGE_HANDSHAKE;
        handshake_step(stream);
    } else {
        stream_open(stream);
    }
}

static void open_event(struct pn_stream *stream, unsigned events)
{
    if (events & PN_LOOP_READ)
        stream->has_input = true;
    if ((events & PN_LOOP_WRITE) && stream->read_wants_write)
        stream->has_input = true;
    if (stream->has_input) {
        stream->has_input = false;
        stream->read_wants_write = false;
        stream->events->on_readable(stream->ctx, stream);
    }
    if (stream->state != PN_STREAM_OPEN || !stream->wants_writable)
        return;
    if ((events & PN_LOOP_WRITE) || (stream->write_wants_read && (events & PN_LOOP_READ))) {
        stream->wants_writable = false;
        stream->write_wants_read = false;
        stream->events->on_writable(stream->ctx, stream);
    }
}

static void on_stream_event(struct pn_watch *watch, unsigned events)
{
    struct pn_stream *stream = watch->ctx;

    if (events & (PN_LOOP_READ | PN_LOOP_END | PN_LOOP_ERROR))
        stream->link.is_drained = false;
    if (events & (PN_LOOP_END | PN_LOOP_ERROR))
        stream->link.peer_ended = true;
    if (events & PN_LOOP_WRITE)
        pn_tls_bio_flush(&stream->link);
    if (stream->state == PN_STREAM_CONNECTING) {
        /* A listener's peer may have come and gone; a client's is there once it is writable. */
        if (stream->is_client && !(events & (PN_LOOP_WRITE | PN_LOOP_ERROR)) &&
            !stream->connect_error)
            return;
        connecting_event(stream);
    } else if (stream->state == PN_STREAM_HANDSHAKE) {
        handshake_step(stream);
    }
    if (stream->state == PN_STREAM_OPEN)
        open_event(stream, events);
}

/* ---- ending */

static void stream_close(struct pn_stream *stream)
{
    stream->state = PN_STREAM_CLOSED;
    pn_loop_disarm(stream->loop, &stream->timer);
    pn_loop_unwatch(&stream->watch);
    if (stream->link.below)
        pn_below_end(stream->link.below);
    else
        close(stream->link.fd);
    pn_loop_defer_free(stream->loop, &stream->deferred, stream_free, stream);
}

void pn_stream_destroy(struct pn_stream *stream)
{
    if (!stream || stream->state == PN_STREAM_CLOSED)
        return;
    if (stream->records && pn_stream_is_open(stream) && !stream->is_shut_down)
        pn_stream_records_close(stream);
    if (stream->ssl && stream->state == PN_STREAM_OPEN && !stream->is_broken &&
        !stream->is_write_broken) {
        ERR_clear_error();
        stream->link.is_last = true;
        if (!stream->is_shut_down)
            (void)SSL_shutdown(stream->ssl);
        /* It ended as it should: its session stays good for resumption. */
        SSL_set_shutdown(stream->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        ERR_clear_error();
    }
    stream_close(stream);
}

void pn_stream_abort(struct pn_stream *stream)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};

    if (!stream || stream->state == PN_STREAM_CLOSED)
        return;
    (void)setsockopt(stream->link.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    if (stream->link.below)
        pn_stream_abort(stream->link.below->stream);
    stream_close(stream);
}

/* ---- facts */

void pn_stream_set_events(struct pn_stream *stream, const struct pn_stream_events *events,
                          void *ctx)
{
    stream->events = events;
    stream->ctx = ctx;
}

void *pn_stream_ctx(const struct pn_stream *stream)
{
    return stream->ctx;
}

bool pn_stream_is_open(const struct pn_stream *stream)
{
    return stream->state == PN_STREAM_OPEN && !stream->is_broken && !stream->is_write_broken;
}

bool pn_stream_is_tls(const struct pn_stream *stream)
{
    return stream->ssl || stream->records || stream->client;
}

bool pn_stream_peer_ended(const struct pn_stream *stream)
{
    return stream->link.peer_ended;
}

uint64_t pn_stream_opened_ms(const struct pn_stream *stream)
{
    return stream->opened_ms;
}

void pn_stream_story(const struct pn_stream *stream, struct pn_tls_story *story)
{
    if (stream->ssl)
        pn_tls_story_collect(story, &stream->link, stream->ssl);
}

const struct pn_tls_certificate *pn_stream_certificate(const struct pn_stream *stream)
{
    struct pn_tls_certificate *const *certificates;
    size_t count;

    if (!stream->client)
        return NULL;
    certificates = pn_tls_client_certificates(stream->client, &count);
    if (count == 1)
        return certificates[0];
    return stream->link.chosen > 0 ? certificates[stream->link.chosen - 1] : NULL;
}

const struct pn_tls_identity *pn_stream_identity(const struct pn_stream *stream)
{
    return stream->is_client ? stream->identity : NULL;
}

const struct pn_tls_report *pn_stream_report(const struct pn_stream *stream)
{
    static const struct pn_tls_report nothing_wrong = {.stage = PN_STAGE_OPEN, .alert = -1};

    return stream->link.report ? stream->link.report : &nothing_wrong;
}

enum pn_alpn pn_stream_alpn(const struct pn_stream *stream)
{
    return stream->link.alpn;
}

const char *pn_stream_server_name(const struct pn_stream *stream)
{
    return stream->link.peer_name ? stream->link.peer_name : "";
}

bool pn_stream_has_asked(const struct pn_stream *stream)
{
    return stream->link.has_asked;
}

const struct pn_tls_peer *pn_stream_peer(const struct pn_stream *stream)
{
    return stream->link.peer;
}

int pn_stream_fd(const struct pn_stream *stream)
{
    return stream->link.fd;
}

struct pn_loop *pn_stream_loop(const struct pn_stream *stream)
{
    return stream->loop;
}
