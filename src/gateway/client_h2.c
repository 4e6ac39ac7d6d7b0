/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections that speak HTTP/2: reading, writing, timeouts, drain, the end. The engine's events
 * are handed to the turns.
 */
#include "gateway/client_h2.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"
#include "gateway/client_h2_internal.h"

#define READS_MAX       8            /* in a row, before others get their turn */
#define WRITES_MAX      32           /* likewise */
#define PLAIN_OUT_BYTES (64 * 1024)  /* one write without TLS; with it, one record */
#define OUT_BYTES_MAX   (256 * 1024) /* above what one output may be; a bound against mistakes */
#define TICK_MS         1000

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

bool pn_h2_is_preface(struct pn_slice bytes, bool *is_whole)
{
    size_t len = bytes.len < sizeof(preface) - 1 ? bytes.len : sizeof(preface) - 1;

    *is_whole = len == sizeof(preface) - 1;
    return len > 0 && memcmp(bytes.ptr, preface, len) == 0;
}

/* --- what a worker keeps --- */

enum pn_rc pn_h2_worker_init(struct pn_worker *worker)
{
    pn_buf_init(&worker->h2_out, OUT_BYTES_MAX);
    worker->h2_memory = pn_h2_memory_create();
    return worker->h2_memory ? PN_OK : PN_NOMEM;
}

void pn_h2_worker_fini(struct pn_worker *worker)
{
    pn_h2_turns_free_spare(worker);
    pn_h2_memory_destroy(worker->h2_memory);
    pn_buf_fini(&worker->h2_out);
}

/* --- the end --- */

void pn_h2_cancel(struct pn_client *client)
{
    struct pn_h2_link *link = client->h2;

    client->h2 = NULL;
    pn_h2_destroy(link->h2); /* tells each turn */
    pn_buf_fini(&link->out);
    free(link);
}

/** Everything that the engine had to say has been sent. */
static void finish(struct pn_client *client)
{
    pn_h2_cancel(client);
    pn_client_linger(client);
}

static void end_with(struct pn_h2_link *link, enum pn_rc rc)
{
    link->is_over = true;
    if (rc == PN_EOF)
        return;
    pn_log(PN_LOG_INFO, "http2_ended", "cause", PN_S(pn_h2_failure(link->h2)), "rc",
           PN_S(pn_rc_name(rc)), NULL);
}

/* --- writing --- */

/** Writes what waits. PN_OK: nothing waits; PN_AGAIN; PN_IO. */
static enum pn_rc write_out(struct pn_h2_link *link, struct pn_buf *out, size_t *sent)
{
    while (*sent < out->len) {
        size_t written = 0;
        enum pn_rc rc =
            pn_stream_write(link->client->stream, out->ptr + *sent, out->len - *sent, &written);

        if (rc != PN_OK)
            return rc;
        *sent += written;
        link->is_stalled = false;
    }
    pn_buf_clear(out);
    *sent = 0;
    return PN_OK;
}

/** The connection takes no more: what it did not take moves out of the worker's buffer. */
static enum pn_rc stall(struct pn_h2_link *link, struct pn_buf *out, size_t sent)
{
    if (!link->is_stalled)
        link->stalled_ms = pn_loop_now_ms(link->client->worker->loop);
    link->is_stalled = true;
    if (out == &link->out) {
        link->out_sent = sent;
        return PN_AGAIN;
    }
    link->out = *out;
    link->out_sent = sent;
    pn_buf_init(out, OUT_BYTES_MAX);
    return PN_AGAIN;
}

/** One buffer full of frames. PN_OK: it is written; PN_AGAIN, PN_IO; PN_EOF: that was the last. */
static enum pn_rc write_once(struct pn_h2_link *link)
{
    struct pn_worker *worker = link->client->worker;
    bool has_rest = link->out.len > 0;
    struct pn_buf *out = has_rest ? &link->out : &worker->h2_out;
    size_t sent = has_rest ? link->out_sent : 0;
    enum pn_rc filled = PN_OK;
    enum pn_rc rc;

    if (!has_rest)
        filled = pn_h2_output(link->h2, out,
                              link->client->origin.is_tls ? PN_STREAM_RECORD_MAX : PLAIN_OUT_BYTES,
                              pn_loop_now_ms(worker->loop));
    if (filled != PN_OK && filled != PN_EOF) {
        pn_buf_clear(out);
        return PN_IO;
    }
    rc = write_out(link, out, &sent);
    if (rc == PN_AGAIN) {
        if (filled == PN_EOF)
            link->is_over = true;
        return stall(link, out, sent);
    }
    if (has_rest)
        pn_buf_fini(&link->out);
    else if (rc != PN_OK)
        pn_buf_clear(out);
    return rc == PN_OK ? filled : rc;
}

/** false: the connection is gone. */
static bool flush(struct pn_client *client)
{
    struct pn_h2_link *link = client->h2;
    enum pn_rc rc = PN_OK;

    for (int i = 0; rc == PN_OK && i < WRITES_MAX; i++) {
        if (link->out.len == 0 && !pn_h2_wants_output(link->h2)) {
            if (!link->is_over)
                return true;
            rc = PN_EOF;
            break;
        }
        rc = write_once(link);
    }
    if (rc == PN_AGAIN)
        return true;
    if (rc == PN_OK) {
        pn_loop_soon(client->worker->loop, &client->next);
        return true;
    }
    if (rc == PN_EOF)
        finish(client);
    else
        pn_client_close(client, true);
    return false;
}

/* --- reading --- */

/** What the inlet holds goes to the engine, all of it. */
static void receive(struct pn_h2_link *link)
{
    struct pn_client *client = link->client;
    struct pn_slice bytes = pn_inlet_bytes(&client->inlet);
    enum pn_rc rc = pn_h2_receive(link->h2, bytes, pn_loop_now_ms(client->worker->loop));

    pn_inlet_consume(&client->inlet, bytes.len);
    if (rc != PN_OK && !link->is_over)
        end_with(link, rc);
}

static void watch_opening(struct pn_h2_link *link, const struct pn_h2_turn *before)
{
    if (link->opening && link->opening != before)
        link->opening_ms = pn_loop_now_ms(link->client->worker->loop);
}

static void read_all(struct pn_client *client)
{
    struct pn_h2_link *link = client->h2;
    const struct pn_h2_turn *opening = link->opening;
    enum pn_rc rc = PN_OK;

    link->is_read_pending = false;
    if (pn_inlet_bytes(&client->inlet).len > 0)
        receive(link);
    for (int i = 0; rc == PN_OK; i++) {
        if (i == READS_MAX || link->is_over || !pn_h2_wants_input(link->h2)) {
            link->is_read_pending = true;
            break;
        }
        rc = pn_inlet_read(&client->inlet, client->stream);
        if (rc == PN_OK)
            receive(link);
    }
    pn_inlet_rest(&client->inlet);
    if (rc == PN_EOF || rc == PN_IO || rc == PN_NOMEM) {
        pn_client_close(client, rc != PN_EOF);
        return;
    }
    watch_opening(link, opening);
    if (pn_h2_wants_output(link->h2) || link->is_over || link->is_read_pending)
        pn_loop_soon(client->worker->loop, &client->next);
}

void pn_h2_on_readable(struct pn_client *client)
{
    read_all(client);
}

void pn_h2_on_writable(struct pn_client *client)
{
    pn_h2_on_soon(client);
}

void pn_h2_on_soon(struct pn_client *client)
{
    if (flush(client) && client->h2->is_read_pending && !client->h2->is_over &&
        pn_h2_wants_input(client->h2->h2))
        read_all(client);
}

/* --- timeouts --- */

static void say_last(struct pn_h2_link *link);

static bool is_too_long(const struct pn_h2_link *link, uint64_t since_ms, uint64_t limit_ms)
{
    return pn_loop_now_ms(link->client->worker->loop) - since_ms >= limit_ms;
}

/** Each second while there is something to watch; else when the connection has idled enough. */
void pn_h2_on_timer(struct pn_client *client)
{
    struct pn_h2_link *link = client->h2;
    uint64_t now_ms = pn_loop_now_ms(client->worker->loop);
    uint64_t idle_max =
        client->requests > 0 ? PN_CLIENT_IDLE_TIMEOUT_MS : PN_CLIENT_HEADER_TIMEOUT_MS;

    say_last(link);
    if (link->is_stalled && is_too_long(link, link->stalled_ms, PN_CLIENT_WRITE_TIMEOUT_MS)) {
        pn_limit_hit(PN_LIMIT_CLIENT_WRITE_TIMEOUT);
        pn_metric_add(PN_METRIC_TIMEOUTS, 1);
        pn_client_close(client, true);
        return;
    }
    if (link->opening && is_too_long(link, link->opening_ms, PN_CLIENT_HEADER_TIMEOUT_MS)) {
        pn_limit_hit(PN_LIMIT_CLIENT_HEADER_TIMEOUT);
        pn_metric_add(PN_METRIC_TIMEOUTS, 1);
        pn_h2_terminate(link->h2, PN_H2_ENHANCE_YOUR_CALM);
        link->is_over = true;
    } else if (pn_h2_streams_open(link->h2) > 0) {
        link->idle_ms = now_ms;
        pn_h2_check(link->h2, now_ms);
    } else if (!link->is_over && is_too_long(link, link->idle_ms, idle_max)) {
        pn_limit_hit(client->requests > 0 ? PN_LIMIT_CLIENT_IDLE_TIMEOUT
                                          : PN_LIMIT_CLIENT_HEADER_TIMEOUT);
        pn_h2_terminate(link->h2, PN_H2_NO_ERROR);
        link->is_over = true;
    } else if (client->origin.is_tls && is_too_long(link, link->idle_ms, TICK_MS)) {
        pn_stream_trim(client->stream);
    }
    pn_client_arm(client, TICK_MS);
    (void)flush(client);
}

/* --- drain --- */

/** The second GOAWAY, when its time has come. The first one has had a round trip by then. */
static void say_last(struct pn_h2_link *link)
{
    if (!link->is_leaving || link->is_last_said ||
        pn_loop_now_ms(link->client->worker->loop) < link->leaving_ms)
        return;
    link->is_last_said = true;
    pn_h2_shutdown(link->h2);
}

static void leave(struct pn_h2_link *link, uint64_t idle_ms)
{
    link->is_leaving = true;
    link->leaving_ms = pn_loop_now_ms(link->client->worker->loop) + idle_ms;
    if (idle_ms > 0 && idle_ms <= TICK_MS)
        pn_client_arm(link->client, idle_ms);
    pn_h2_shutdown(link->h2);
    pn_h2_ping(link->h2); /* its answer: the client has seen the GOAWAY */
}

void pn_h2_drain(struct pn_client *client, uint64_t idle_ms)
{
    if (client->h2->is_leaving)
        return;
    leave(client->h2, idle_ms);
    (void)flush(client);
}

/* --- events of the engine --- */

static struct pn_arena *on_begin(void *ctx, struct pn_h2_stream *stream)
{
    return pn_h2_turn_begin(ctx, stream);
}

/** The head of one is whole. After the last that the connection may have, it winds up. */
static void count_request(struct pn_h2_link *link)
{
    link->opening = NULL;
    link->client->requests++;
    if (!link->is_leaving && pn_client_is_used_up(link->client))
        leave(link, 0);
}

static void on_request(void *ctx, struct pn_h2_stream *stream,
                       const struct pn_request_head *request)
{
    struct pn_h2_link *link = ctx;

    count_request(link);
    pn_h2_turn_request(stream->user, request);
}

static void on_refused(void *ctx, struct pn_h2_stream *stream,
                       const struct pn_request_head *request, const struct pn_http_fault *fault)
{
    struct pn_h2_link *link = ctx;

    count_request(link);
    pn_h2_turn_refuse(stream->user, request, fault);
}

static void on_data(void *ctx, struct pn_h2_stream *stream)
{
    (void)ctx;
    pn_h2_turn_data(stream->user);
}

static void on_source_failed(void *ctx, struct pn_h2_stream *stream, enum pn_rc rc)
{
    (void)ctx;
    (void)rc;
    pn_h2_turn_source_failed(stream->user);
}

static void on_sent(void *ctx, struct pn_h2_stream *stream)
{
    (void)ctx;
    pn_h2_turn_sent(stream->user);
}

static void on_closed(void *ctx, struct pn_h2_stream *stream, uint32_t code)
{
    struct pn_h2_link *link = ctx;

    if (link->opening == stream->user)
        link->opening = NULL;
    link->idle_ms = pn_loop_now_ms(link->client->worker->loop);
    pn_h2_turn_closed(stream->user, code);
}

static void on_pong(void *ctx)
{
    say_last(ctx);
}

static void on_wants_output(void *ctx)
{
    struct pn_h2_link *link = ctx;

    if (!link->is_stalled)
        pn_loop_soon(link->client->worker->loop, &link->client->next);
}

const struct pn_h2_events pn_h2_link_events = {
    .on_begin = on_begin,
    .on_request = on_request,
    .on_refused = on_refused,
    .on_data = on_data,
    .on_source_failed = on_source_failed,
    .on_sent = on_sent,
    .on_closed = on_closed,
    .on_pong = on_pong,
    .on_wants_output = on_wants_output,
};

/* --- the beginning --- */

void pn_h2_begin(struct pn_client *client)
{
    struct pn_worker *worker = client->worker;
    struct pn_h2_link *link = calloc(1, sizeof(*link));
    uint64_t now_ms = pn_loop_now_ms(worker->loop);
    struct pn_h2_config config;

    pn_h2_config_init(&config, PN_H2_SERVER);
    if (link)
        link->h2 = pn_h2_create(PN_H2_SERVER, &config, &pn_h2_link_events, link, worker->h2_memory,
                                now_ms);
    if (!link || !link->h2) {
        free(link);
        pn_client_close(client, true);
        return;
    }
    link->client = client;
    link->idle_ms = now_ms;
    client->h2 = link;
    client->state = PN_CLIENT_H2;
    pn_client_arm(client, TICK_MS);
    if (worker->is_draining)
        leave(link, pn_worker_last_wait_ms(worker));
    read_all(client);
}
