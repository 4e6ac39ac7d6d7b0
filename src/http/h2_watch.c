/* SPDX-License-Identifier: Apache-2.0
 *
 * The headers of the peer's frames, read before nghttp2 reads them: of a stream that is over it
 * knows nothing more, and passes over what still comes of it. RFC 9113 §5.1 lets us do that for
 * ever; we do it only where the peer may not have known better.
 *
 *   DATA or HEADERS of a stream that the peer itself has ended, by END_STREAM or RST_STREAM: an
 *   error of the connection, STREAM_CLOSED. That is remembered of the last H2_WATCHED streams.
 *
 *   The same of a stream that the client has passed over: PROTOCOL_ERROR (§5.1.1).
 *
 *   DATA of a stream that we have reset was under way: nghttp2 counts it and gives its window back.
 *   More than the windows of the streams that were reset had room for cannot have been under way:
 *   FLOW_CONTROL_ERROR. No clock is asked (§5.1: "SHOULD NOT use timers").
 */
#include <string.h>

#include "http/h2_internal.h"

enum { PREFACE_BYTES = 24 };

static const struct h2_fault stream_closed = {PN_H2_STREAM_CLOSED,
                                              "a frame comes of a stream that its peer has ended"};
static const struct h2_fault passed_over = {PN_H2_PROTOCOL_ERROR,
                                            "a stream is opened below one that was opened before"};

void pn_h2_watch_init(struct pn_h2 *h2)
{
    h2->watch.payload = h2->is_server ? PREFACE_BYTES : 0; /* a client's; passed like a payload */
    h2->watch.late_bytes_max = (uint64_t)pn_h2_flow_window(&h2->config);
}

/* ---- streams, by the half of their id ---- */

static uint64_t *ended_word(struct h2_watch *watch, uint32_t number)
{
    return &watch->ended[number % H2_WATCHED / 64];
}

static uint64_t ended_bit(uint32_t number)
{
    return 1ull << number % 64;
}

static bool has_ended(struct h2_watch *watch, uint32_t number)
{
    return number < watch->next && watch->next - number <= H2_WATCHED &&
           (*ended_word(watch, number) & ended_bit(number)) != 0;
}

static void note_end(struct h2_watch *watch, uint32_t number)
{
    if (number < watch->next && watch->next - number <= H2_WATCHED)
        *ended_word(watch, number) |= ended_bit(number);
}

static bool is_passed_over(const struct h2_watch *watch, uint32_t number)
{
    if (number >= watch->gaps_end)
        return false;
    for (size_t i = 0; i < H2_GAPS; i++) {
        if (number >= watch->gaps[i].first && number < watch->gaps[i].end)
            return true;
    }
    return false;
}

static void open_stream(struct h2_watch *watch, uint32_t number)
{
    uint32_t first = watch->next;

    if (number > first) {
        watch->gaps[watch->next_gap] = (struct h2_gap){first, number};
        watch->next_gap = (watch->next_gap + 1) % H2_GAPS;
        watch->gaps_end = number;
    }
    if (number - first >= H2_WATCHED)
        first = number - H2_WATCHED + 1;
    for (; first <= number; first++)
        *ended_word(watch, first) &= ~ended_bit(first);
    watch->next = number + 1;
}

void pn_h2_watch_opened(struct pn_h2 *h2, int32_t id)
{
    open_stream(&h2->watch, (uint32_t)id / 2);
}

void pn_h2_watch_reset(struct pn_h2 *h2, int32_t id)
{
    uint32_t window = h2->config.stream_window_bytes;

    /* The peer may not have seen our SETTINGS when it sent. */
    if (!has_ended(&h2->watch, (uint32_t)id / 2))
        h2->watch.late_bytes_max +=
            window > H2_DEFAULT_WINDOW_BYTES ? window : H2_DEFAULT_WINDOW_BYTES;
}

/* ---- frames ---- */

static const struct h2_fault *on_stream_frame(struct pn_h2 *h2, uint8_t type, uint8_t flags,
                                              uint32_t id)
{
    struct h2_watch *watch = &h2->watch;
    uint32_t number = id / 2;

    if (id % 2 == 0)
        return NULL; /* nghttp2 ends the connection */
    if (number >= watch->next) {
        if (type != NGHTTP2_HEADERS || !h2->is_server)
            return NULL; /* so it does for one that is idle */
        open_stream(watch, number);
    } else if (type == NGHTTP2_RST_STREAM) {
        note_end(watch, number);
    } else if (has_ended(watch, number)) {
        return &stream_closed;
    } else if (is_passed_over(watch, number)) {
        return &passed_over;
    }
    if (type != NGHTTP2_RST_STREAM && (flags & NGHTTP2_FLAG_END_STREAM) != 0)
        note_end(watch, number);
    return NULL;
}

static const struct h2_fault *on_header(struct pn_h2 *h2, const uint8_t *header)
{
    struct h2_watch *watch = &h2->watch;
    uint32_t len = (uint32_t)header[0] << 16 | (uint32_t)header[1] << 8 | header[2];
    uint8_t type = header[H2_AT_TYPE];
    uint8_t flags = header[H2_AT_FLAGS];
    uint32_t id = pn_h2_frame_id(header);

    watch->payload = len;
    if (watch->is_in_block) { /* anything but CONTINUATION is an error, says nghttp2 */
        watch->is_in_block = (flags & NGHTTP2_FLAG_END_HEADERS) == 0;
        return NULL;
    }
    switch (type) {
    case NGHTTP2_DATA:
        watch->data_bytes += len;
        if (len == 0 && (flags & NGHTTP2_FLAG_END_STREAM) == 0)
            (void)pn_h2_flood_take(h2, H2_EMPTY_DATA);
        return on_stream_frame(h2, type, flags, id);
    case NGHTTP2_HEADERS:
        watch->is_in_block = (flags & NGHTTP2_FLAG_END_HEADERS) == 0;
        return on_stream_frame(h2, type, flags, id);
    case NGHTTP2_RST_STREAM:
        return on_stream_frame(h2, type, flags, id);
    default:
        return NULL;
    }
}

size_t pn_h2_watch(struct pn_h2 *h2, struct pn_slice bytes)
{
    struct h2_watch *watch = &h2->watch;
    const uint8_t *at = (const uint8_t *)bytes.ptr;
    size_t left = bytes.len;

    while (left > 0 && h2->verdict == PN_OK) {
        const uint8_t *header = at;
        size_t part = H2_FRAME_HEADER_BYTES;

        if (watch->payload > 0) {
            part = left < watch->payload ? left : watch->payload;
            watch->payload -= (uint32_t)part;
        } else if (watch->header_len == 0 && left >= H2_FRAME_HEADER_BYTES) {
            watch->fault = on_header(h2, header);
        } else {
            part = H2_FRAME_HEADER_BYTES - watch->header_len;
            part = left < part ? left : part;
            memcpy(watch->header + watch->header_len, at, part);
            watch->header_len += part;
            if (watch->header_len == H2_FRAME_HEADER_BYTES) {
                watch->header_len = 0;
                watch->fault = on_header(h2, watch->header);
            }
        }
        if (watch->fault)
            break;
        at += part;
        left -= part;
    }
    return bytes.len - left;
}

void pn_h2_watch_end(struct pn_h2 *h2)
{
    const struct h2_watch *watch = &h2->watch;

    if (watch->fault)
        pn_h2_fail(h2, PN_MALFORMED, watch->fault->code, watch->fault->why);
    else if (watch->data_bytes - watch->taken_bytes > watch->late_bytes_max &&
             !pn_h2_is_shut_down(h2)) /* then it passes over new streams, too */
        pn_h2_fail(h2, PN_MALFORMED, PN_H2_FLOW_CONTROL_ERROR,
                   "more comes of streams that were reset than their windows had room for");
}
