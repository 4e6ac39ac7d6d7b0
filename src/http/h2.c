/* SPDX-License-Identifier: Apache-2.0
 *
 * One HTTP/2 connection: its life, and the two doors through which bytes pass.
 */
#include "http/h2.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/h2_internal.h"

enum {
    SENT_HEAD_BYTES_MAX = 256 * 1024, /* of a head that we send, compressed */
    STREAM_ID_MAX = INT32_MAX,
};

/* ---- life ---- */

static enum pn_rc make_session(struct pn_h2 *h2)
{
    nghttp2_option *option = NULL;
    nghttp2_session_callbacks *callbacks = pn_h2_memory_callbacks(h2->memory);
    nghttp2_mem *mem = pn_h2_memory_of_nghttp2(h2->memory);
    const struct pn_h2_config *config = &h2->config;
    int code = 0;

    if (nghttp2_option_new(&option) != 0)
        return PN_NOMEM;
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_http_messaging(option, 1); /* h2_head.c does */
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_max_send_header_block_length(option, SENT_HEAD_BYTES_MAX);
    nghttp2_option_set_max_outbound_ack(option, config->queued_frames_max);
    /* Ours, however large the peer's may be. */
    nghttp2_option_set_max_deflate_dynamic_table_size(option, config->hpack_table_bytes);
    /* Ours are counted in h2_receive.c; these stand behind them. See on_begin_frame() there. */
    nghttp2_option_set_max_continuations(option,
                                         (config->continuations_max + 1) * H2_FRAME_HEADER_BYTES);
    nghttp2_option_set_stream_reset_rate_limit(option, UINT32_MAX, UINT32_MAX);
    if (h2->is_server)
        code = nghttp2_session_server_new3(&h2->session, callbacks, h2, option, mem);
    else
        code = nghttp2_session_client_new3(&h2->session, callbacks, h2, option, mem);
    nghttp2_option_del(option);
    return code == 0 ? PN_OK : PN_NOMEM;
}

static enum pn_rc submit_settings(struct pn_h2 *h2)
{
    const struct pn_h2_config *config = &h2->config;
    nghttp2_settings_entry entries[6];
    size_t count = 0;

    if (config->hpack_table_bytes != NGHTTP2_DEFAULT_HEADER_TABLE_SIZE)
        entries[count++] =
            (nghttp2_settings_entry){NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, config->hpack_table_bytes};

    entries[count++] =
        (nghttp2_settings_entry){NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, config->first_window_bytes};
    entries[count++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE,
                                                (uint32_t)config->http.header_bytes_max};
    if (h2->is_server) {
        entries[count++] =
            (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, config->streams_max};
        /* RFC 9218 §2.1: nothing of RFC 7540's priorities. nghttp2 then keeps no tree of them. */
        entries[count++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1};
        if (config->allows_connect)
            entries[count++] =
                (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1};
    } else {
        entries[count++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
    }
    if (nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, entries, count) != 0 ||
        nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
                                              pn_h2_flow_window(config)) != 0)
        return PN_NOMEM;
    return PN_OK;
}

static void init_floods(struct pn_h2 *h2)
{
    const struct pn_h2_config *config = &h2->config;

    pn_h2_bucket_init(&h2->floods[H2_RESETS], config->resets_per_minute, h2->now_ms);
    pn_h2_bucket_init(&h2->floods[H2_PINGS], config->pings_per_minute, h2->now_ms);
    pn_h2_bucket_init(&h2->floods[H2_SETTINGS], config->settings_per_minute, h2->now_ms);
    pn_h2_bucket_init(&h2->floods[H2_PRIORITIES], config->priorities_per_minute, h2->now_ms);
    pn_h2_bucket_init(&h2->floods[H2_EMPTY_DATA], config->empty_data_per_minute, h2->now_ms);
    pn_h2_bucket_init(&h2->floods[H2_WINDOW_UPDATES], config->window_updates_per_minute,
                      h2->now_ms);
}

struct pn_h2 *pn_h2_create(enum pn_h2_side side, const struct pn_h2_config *config,
                           const struct pn_h2_events *events, void *ctx,
                           struct pn_h2_memory *memory, uint64_t now_ms)
{
    struct pn_h2 *h2 = pn_h2_alloc(memory, sizeof(*h2));

    assert(side == PN_H2_CLIENT || (uint64_t)config->streams_max * config->first_window_bytes <=
                                       config->connection_window_bytes);
    if (!h2)
        return NULL;
    memset(h2, 0, sizeof(*h2));
    h2->memory = memory;
    h2->events = events;
    h2->ctx = ctx;
    h2->side = side;
    h2->is_server = side == PN_H2_SERVER;
    h2->config = *config;
    h2->now_ms = now_ms;
    pn_list_init(&h2->streams);
    pn_list_init(&h2->ready);
    init_floods(h2);
    pn_h2_watch_init(h2);
    if (make_session(h2) != PN_OK || submit_settings(h2) != PN_OK) {
        nghttp2_session_del(h2->session);
        pn_h2_free(h2);
        return NULL;
    }
    h2->capacity_told = h2->is_server ? 0 : pn_h2_can_open(h2);
    return h2;
}

void pn_h2_destroy(struct pn_h2 *h2)
{
    if (!h2)
        return;
    assert(!h2->is_busy && !h2->is_telling);
    h2->verdict = h2->verdict == PN_OK ? PN_EOF : h2->verdict;
    h2->has_asked = true; /* nobody will be asked any more */
    while (!pn_list_is_empty(&h2->streams)) {
        struct h2_stream *stream = PN_CONTAINER(h2->streams.next, struct h2_stream, link);

        if (!stream->is_closed)
            pn_h2_stream_closed(stream, PN_H2_CANCEL); /* gone, if nobody is to be told */
        else if (!stream->is_detached)
            pn_h2_stream_tell(stream, H2_TELL_CLOSED);
        else
            pn_h2_stream_destroy(stream);
        pn_h2_tell(h2);
    }
    nghttp2_session_del(h2->session);
    pn_h2_free(h2);
}

/* ---- the end ---- */

void pn_h2_fail(struct pn_h2 *h2, enum pn_rc rc, uint32_t code, const char *why)
{
    if (h2->verdict != PN_OK)
        return;
    h2->verdict = rc;
    (void)snprintf(h2->failure, sizeof(h2->failure), "%s", why);
    (void)nghttp2_session_terminate_session(h2->session, code);
}

void pn_h2_over(struct pn_h2 *h2, enum pn_limit limit, const char *why)
{
    if (h2->verdict != PN_OK)
        return;
    pn_limit_hit(limit);
    pn_h2_fail(h2, PN_LIMIT, PN_H2_ENHANCE_YOUR_CALM, why);
}

bool pn_h2_flood_take(struct pn_h2 *h2, enum h2_flood flood)
{
    static const struct {
        enum pn_limit limit;
        const char *why;
    } rules[H2_FLOODS] = {
        [H2_RESETS] = {PN_LIMIT_H2_RESETS, "more streams are reset than the limit h2-resets"},
        [H2_PINGS] = {PN_LIMIT_H2_PINGS, "more PING frames than the limit h2-pings"},
        [H2_SETTINGS] = {PN_LIMIT_H2_SETTINGS, "more SETTINGS frames than the limit h2-settings"},
        [H2_PRIORITIES] = {PN_LIMIT_H2_PRIORITIES,
                           "more PRIORITY frames than the limit h2-priorities"},
        [H2_EMPTY_DATA] = {PN_LIMIT_H2_EMPTY_DATA,
                           "more empty DATA frames than the limit h2-empty-data"},
        [H2_WINDOW_UPDATES] = {PN_LIMIT_H2_WINDOW_UPDATES,
                               "more WINDOW_UPDATE frames than the limit h2-window-updates"},
    };

    if (pn_h2_bucket_take(&h2->floods[flood], h2->now_ms))
        return true;
    pn_h2_over(h2, rules[flood].limit, rules[flood].why);
    return false;
}

const char *pn_h2_failure(const struct pn_h2 *h2)
{
    return h2->failure;
}

/* What nghttp2 could not do. */
static void judge(struct pn_h2 *h2, ssize_t code)
{
    switch (code) {
    case NGHTTP2_ERR_NOMEM:
        pn_h2_fail(h2, PN_NOMEM, PN_H2_INTERNAL_ERROR, "out of memory");
        break;
    case NGHTTP2_ERR_FLOODED:
        pn_h2_over(h2, PN_LIMIT_H2_QUEUED_FRAMES,
                   "more frames than the limit h2-queued-frames wait for the peer to read");
        break;
    case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
        pn_h2_fail(h2, PN_MALFORMED, PN_H2_PROTOCOL_ERROR, "the connection preface is wrong");
        break;
    default: /* TOO_MANY_CONTINUATIONS has no name in this version's header */
        pn_h2_fail(h2, PN_LIMIT, PN_H2_ENHANCE_YOUR_CALM, nghttp2_strerror((int)code));
        break;
    }
}

static bool is_over(const struct pn_h2 *h2)
{
    return nghttp2_session_want_read(h2->session) == 0 &&
           nghttp2_session_want_write(h2->session) == 0;
}

/* ---- bytes ---- */

enum pn_rc pn_h2_receive(struct pn_h2 *h2, struct pn_slice bytes, uint64_t now_ms)
{
    ssize_t taken = 0;
    size_t len = 0;

    assert(!h2->is_busy);
    h2->now_ms = now_ms;
    if (h2->verdict != PN_OK)
        return h2->verdict;
    h2->is_busy = true;
    len = pn_h2_watch(h2, bytes);
    if (h2->verdict == PN_OK)
        taken = nghttp2_session_mem_recv(h2->session, (const uint8_t *)bytes.ptr, len);
    if (taken < 0)
        judge(h2, taken);
    else
        pn_h2_watch_end(h2);
    h2->is_busy = false;
    pn_h2_tell(h2);
    if (h2->verdict == PN_OK && is_over(h2) && pn_list_is_empty(&h2->streams))
        return PN_EOF;
    return h2->verdict;
}

/* nghttp2 says that a head was sent only when it is asked for what comes behind it; till then the
 * output may have arrived, or the connection may be gone. */
static void note_head(struct pn_h2 *h2, const uint8_t *frame, size_t len)
{
    bool is_head = len >= H2_FRAME_HEADER_BYTES && (frame[H2_AT_TYPE] == NGHTTP2_HEADERS ||
                                                    frame[H2_AT_TYPE] == NGHTTP2_CONTINUATION);

    h2->rest_head = 0;
    if (is_head && !h2->is_server && (frame[H2_AT_FLAGS] & NGHTTP2_FLAG_END_HEADERS) != 0)
        h2->rest_head = (int32_t)pn_h2_frame_id(frame);
}

static void begin_stream(struct pn_h2 *h2, int32_t id)
{
    struct h2_stream *stream = pn_h2_stream_find(h2, id);

    if (stream)
        stream->is_begun = true;
}

/* Puts what fits of h2->rest into the output. False: it is full, or cannot grow. */
static bool put_rest(struct pn_h2 *h2)
{
    size_t room = h2->out_max - h2->out->len;
    size_t len = h2->rest.len < room ? h2->rest.len : room;

    h2->out_rc = pn_buf_append(h2->out, h2->rest.ptr, len);
    if (h2->out_rc != PN_OK)
        return false;
    h2->rest = pn_slice_sub(h2->rest, len, h2->rest.len);
    if (h2->rest.len > 0)
        return false;
    if (h2->rest_head > 0)
        begin_stream(h2, h2->rest_head);
    return true;
}

/* Streams may stand whose bodies have come to their end. */
static bool has_window_closed(const struct pn_h2 *h2)
{
    return h2->has_new_windows ||
           (h2->had_window && nghttp2_session_get_remote_window_size(h2->session) <= 0);
}

/* A body's owner says once that it goes on (pn_h2_resume()). If there was a window then, and there
 * is none when nghttp2 comes to it, by the peer's SETTINGS or by another stream's bytes, nobody
 * would ask again whether all that is left is the end. False: nothing was found. */
static bool end_without_window(struct pn_h2 *h2)
{
    bool is_found = false;

    h2->has_new_windows = false;
    h2->had_window = nghttp2_session_get_remote_window_size(h2->session) > 0;
    for (struct pn_list *at = h2->streams.next; at != &h2->streams; at = at->next) {
        struct h2_stream *stream = PN_CONTAINER(at, struct h2_stream, link);

        if (stream->is_head_sent && !stream->is_waiting && pn_h2_end_without_window(stream))
            is_found = true;
    }
    return is_found;
}

static void send_frames(struct pn_h2 *h2)
{
    while (h2->out->len < h2->out_max) {
        const uint8_t *frame = NULL;
        ssize_t len = 0;

        if (h2->rest.len > 0) {
            if (!put_rest(h2))
                return;
            continue;
        }
        if (h2->out_max - h2->out->len <= H2_FRAME_HEADER_BYTES)
            return; /* no DATA would fit */
        len = nghttp2_session_mem_send(h2->session, &frame);
        if (len < 0 && h2->out_rc == PN_OK)
            h2->out_rc = len == NGHTTP2_ERR_NOMEM ? PN_NOMEM : PN_INTERNAL;
        if (len == 0 && has_window_closed(h2) && end_without_window(h2))
            continue;
        if (len <= 0)
            return;
        note_head(h2, frame, (size_t)len);
        h2->rest = pn_h2_end_frame(h2, frame, (size_t)len);
    }
}

enum pn_rc pn_h2_output(struct pn_h2 *h2, struct pn_buf *out, size_t max, uint64_t now_ms)
{
    assert(!h2->is_busy);
    h2->now_ms = now_ms;
    h2->has_asked = false;
    h2->is_busy = true;
    h2->out = out;
    h2->out_max = max;
    h2->out_rc = PN_OK;
    if (nghttp2_session_get_remote_window_size(h2->session) > 0)
        h2->had_window = true;
    send_frames(h2);
    h2->out = NULL;
    h2->is_busy = false;
    pn_h2_tell(h2);
    if (h2->out_rc != PN_OK)
        return h2->out_rc;
    if (h2->rest.len == 0 && is_over(h2) && pn_list_is_empty(&h2->ready))
        return PN_EOF;
    return PN_OK;
}

bool pn_h2_wants_output(const struct pn_h2 *h2)
{
    return h2->rest.len > 0 || nghttp2_session_want_write(h2->session) != 0 ||
           !pn_list_is_empty(&h2->ready) || has_window_closed(h2);
}

bool pn_h2_wants_input(const struct pn_h2 *h2)
{
    return h2->verdict == PN_OK && nghttp2_session_want_read(h2->session) != 0 &&
           nghttp2_session_get_outbound_queue_size(h2->session) <= h2->config.queued_frames_max / 2;
}

void pn_h2_ask(struct pn_h2 *h2)
{
    if (h2->is_busy || h2->is_telling || h2->has_asked || !h2->events->on_wants_output ||
        !pn_h2_wants_output(h2))
        return;
    h2->has_asked = true;
    h2->events->on_wants_output(h2->ctx);
}

/* ---- the connection as a whole ---- */

void pn_h2_shutdown(struct pn_h2 *h2)
{
    int code = 0;

    if (h2->is_shut_down || h2->verdict != PN_OK)
        return;
    if (h2->is_server && !h2->is_noticed) { /* RFC 9113 §6.8 */
        h2->is_noticed = true;
        code = nghttp2_submit_shutdown_notice(h2->session);
    } else {
        h2->is_shut_down = true;
        code = nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE,
                                     nghttp2_session_get_last_proc_stream_id(h2->session),
                                     PN_H2_NO_ERROR, NULL, 0);
    }
    if (code == NGHTTP2_ERR_NOMEM)
        pn_h2_fail(h2, PN_NOMEM, PN_H2_INTERNAL_ERROR, "out of memory");
    pn_h2_ask(h2);
}

void pn_h2_terminate(struct pn_h2 *h2, uint32_t code)
{
    if (h2->verdict != PN_OK)
        return;
    h2->verdict = PN_EOF;
    h2->is_shut_down = true;
    (void)nghttp2_session_terminate_session(h2->session, code);
    pn_h2_ask(h2);
}

void pn_h2_ping(struct pn_h2 *h2)
{
    if (h2->is_pinging || h2->verdict != PN_OK)
        return;
    h2->is_pinging = true;
    if (nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, NULL) != 0)
        pn_h2_fail(h2, PN_NOMEM, PN_H2_INTERNAL_ERROR, "out of memory");
    pn_h2_ask(h2);
}

/* The peer gives no window, and there are bytes that it has asked for. */
static bool is_stalled(const struct pn_h2 *h2, const struct h2_stream *stream)
{
    if (!stream->body || stream->is_waiting || stream->is_dry || stream->is_reset ||
        stream->is_closed)
        return false;
    return nghttp2_session_get_remote_window_size(h2->session) <= 0 ||
           nghttp2_session_get_stream_remote_window_size(h2->session, stream->pub.id) <= 0;
}

void pn_h2_check(struct pn_h2 *h2, uint64_t now_ms)
{
    struct pn_list *next = NULL;

    assert(!h2->is_busy);
    h2->now_ms = now_ms;
    if (h2->config.stall_timeout_ms == 0 || h2->verdict != PN_OK)
        return;
    for (struct pn_list *at = h2->streams.next; at != &h2->streams; at = next) {
        struct h2_stream *stream = PN_CONTAINER(at, struct h2_stream, link);

        next = at->next;
        if (!is_stalled(h2, stream)) {
            stream->stalled_ms = 0;
        } else if (stream->stalled_ms == 0 ||
                   stream->sent_bytes - stream->checked_sent_bytes >= PN_H2_STALL_BYTES) {
            stream->stalled_ms = now_ms;
            stream->checked_sent_bytes = stream->sent_bytes;
        } else if (now_ms - stream->stalled_ms >= h2->config.stall_timeout_ms) {
            pn_limit_hit(PN_LIMIT_H2_STALL_TIMEOUT);
            pn_h2_stream_fail(stream, PN_H2_CANCEL, PN_TIMEOUT, 408,
                              "the peer takes nothing within the limit h2-stall-timeout");
        }
    }
    pn_h2_ask(h2);
}

size_t pn_h2_can_open(const struct pn_h2 *h2)
{
    size_t max = h2->config.streams_max;
    uint32_t allowed =
        nghttp2_session_get_remote_settings(h2->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

    if (h2->is_server || h2->verdict != PN_OK || pn_h2_is_shut_down(h2))
        return 0;
    if (!h2->has_peer_settings && allowed > PN_H2_FIRST_STREAMS_MAX)
        allowed = PN_H2_FIRST_STREAMS_MAX; /* before it has said how many it takes */
    max = max < allowed ? max : allowed;
    return max > h2->streams_open ? max - h2->streams_open : 0;
}

bool pn_h2_has_settings(const struct pn_h2 *h2)
{
    return h2->has_peer_settings;
}

bool pn_h2_has_sent_trailers(const struct pn_h2 *h2)
{
    return h2->has_sent_trailers;
}

bool pn_h2_allows_connect(const struct pn_h2 *h2)
{
    return nghttp2_session_get_remote_settings(h2->session,
                                               NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

size_t pn_h2_streams_open(const struct pn_h2 *h2)
{
    return h2->streams_open;
}

uint64_t pn_h2_streams_total(const struct pn_h2 *h2)
{
    return h2->streams_total;
}

bool pn_h2_is_shut_down(const struct pn_h2 *h2)
{
    return h2->is_shut_down || h2->is_noticed || h2->has_peer_goaway;
}
