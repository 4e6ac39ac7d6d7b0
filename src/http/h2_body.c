/* SPDX-License-Identifier: Apache-2.0
 *
 * Bodies that go. Their bytes are copied once, from where the source holds them to their place in
 * the output, behind the frame header that nghttp2 then writes: it is told that the frame is sent
 * without a copy of its own, and asks for a body only when the frame goes out at once.
 */
#include <assert.h>
#include <string.h>

#include "http/h2_internal.h"

enum {
    FRAME_BYTES_MAX =
        16384,            /* of a payload, even if the peer takes more: the room of a TLS record */
    CREDITS_PER_DATA = 2, /* WINDOW_UPDATE frames that a DATA frame of ours may bring: one for the
                             stream, one for the connection */
};

static bool has_room(const struct pn_h2 *h2)
{
    return h2->out_max - h2->out->len > H2_FRAME_HEADER_BYTES;
}

static ssize_t on_read_length(nghttp2_session *session, uint8_t type, int32_t id,
                              int32_t connection_window, int32_t stream_window,
                              uint32_t frame_bytes_max, void *user)
{
    struct pn_h2 *h2 = user;
    size_t room = 0;

    (void)session;
    (void)type;
    (void)id;
    h2->out_window = connection_window < stream_window ? connection_window : stream_window;
    assert(h2->out && has_room(h2));
    room = h2->out_max - h2->out->len - H2_FRAME_HEADER_BYTES;
    if (room > FRAME_BYTES_MAX)
        room = FRAME_BYTES_MAX;
    return (ssize_t)(room < frame_bytes_max ? room : frame_bytes_max);
}

/* Room for `part` bytes behind a frame header and `copied` bytes, which the buffer does not count
 * yet and must not lose when it grows. */
static bool make_room(struct pn_h2 *h2, size_t copied, size_t part)
{
    size_t begun = copied > 0 ? H2_FRAME_HEADER_BYTES + copied : 0;

    h2->out->len += begun;
    h2->out_rc = pn_buf_reserve(h2->out, begun > 0 ? part : H2_FRAME_HEADER_BYTES + part);
    h2->out->len -= begun;
    return h2->out_rc == PN_OK;
}

/* What comes behind what was taken of a body, asking for more. PN_OK: more; else as peek says. */
static enum pn_rc look_ahead(struct pn_source *body)
{
    enum pn_rc rc = pn_source_peek(body);

    if (rc == PN_AGAIN)
        rc = pn_source_read(body);
    return rc == PN_OK ? pn_source_peek(body) : rc;
}

/* Copies up to `len` bytes to where the frame's payload will be. *copied: how many. PN_OK: full;
 * PN_AGAIN, PN_EOF: the source has no more now, or ever; else it has failed. */
static enum pn_rc pull(struct pn_h2 *h2, struct pn_source *body, size_t len, size_t *copied)
{
    bool has_read = false;

    *copied = 0;
    while (*copied < len) {
        enum pn_rc rc = pn_source_peek(body);
        size_t part = 0;

        if (rc == PN_AGAIN && *copied == 0 && !has_read) {
            has_read = true;
            rc = pn_source_read(body);
            if (rc == PN_OK)
                continue;
        }
        if (rc != PN_OK)
            return rc;
        part = body->held.len < len - *copied ? body->held.len : len - *copied;
        if (!make_room(h2, *copied, part))
            return h2->out_rc;
        memcpy(h2->out->ptr + h2->out->len + H2_FRAME_HEADER_BYTES + *copied, body->held.ptr, part);
        *copied += part;
        pn_source_use(body, part);
    }
    /* Whether that was the end is asked now: END_STREAM alone would need window, says nghttp2. */
    if ((size_t)h2->out_window > len) {
        enum pn_rc rc = pn_source_peek(body);

        return rc == PN_EOF ? PN_EOF : PN_OK;
    }
    return look_ahead(body);
}

/* The trailers go behind the body. *is_sent: HEADERS with END_STREAM are on their way; of no fields
 * only if it `must_send`. */
static enum pn_rc submit_trailers(struct pn_h2 *h2, struct h2_stream *stream,
                                  const struct pn_headers *trailers, bool must_send, bool *is_sent)
{
    nghttp2_nv stack[H2_NV_STACK];
    nghttp2_nv *nva = stack;
    enum pn_rc rc = PN_OK;
    size_t count = 0;

    if (trailers && trailers->count > H2_NV_STACK)
        nva = pn_h2_alloc(h2->memory, trailers->count * sizeof(*nva));
    if (!nva)
        return PN_NOMEM;
    if (trailers)
        count = pn_h2_put_fields(nva, trailers, true, &rc);
    if (count > 0 && !h2->is_server)
        h2->has_sent_trailers = true;
    *is_sent = (rc == PN_OK && count > 0) || must_send;
    if (*is_sent && nghttp2_submit_trailer(h2->session, stream->pub.id, nva, count) != 0)
        rc = PN_NOMEM;
    if (nva != stack)
        pn_h2_free(nva);
    return rc;
}

static ssize_t source_failed(struct h2_stream *stream, enum pn_rc rc)
{
    stream->source_rc = rc;
    stream->body = NULL;
    pn_h2_stream_tell(stream, H2_TELL_SOURCE_FAILED);
    return NGHTTP2_ERR_DEFERRED;
}

ssize_t pn_h2_read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t len,
                        uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct pn_h2 *h2 = user;
    struct h2_stream *stream = source->ptr;
    struct pn_source *body = stream->body;
    size_t copied = 0;
    enum pn_rc rc = PN_OK;

    (void)session;
    (void)id;
    (void)buf;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (!body) /* reset by its owner, or failed */
        return NGHTTP2_ERR_DEFERRED;
    rc = pull(h2, body, len, &copied);
    stream->is_dry = rc == PN_AGAIN;
    if (h2->out_rc != PN_OK)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    if (rc == PN_EOF) {
        bool has_trailers = false;

        if (copied == 0 && !make_room(h2, 0, 0)) /* the frame has a header all the same */
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (body->trailers && body->trailers->count > 0 && !stream->drops_trailers)
            rc = submit_trailers(h2, stream, body->trailers, false, &has_trailers);
        if (has_trailers)
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (rc == PN_NOMEM) {
            h2->out_rc = rc;
            return NGHTTP2_ERR_CALLBACK_FAILURE;
        }
        stream->body = NULL;
    } else if (copied == 0 && rc == PN_AGAIN) {
        stream->is_waiting = true;
        return NGHTTP2_ERR_DEFERRED;
    } else if (copied == 0) {
        return source_failed(stream, rc);
    } else if (rc != PN_OK && rc != PN_AGAIN) { /* nobody will ask again: the window is used up */
        (void)source_failed(stream, rc);
    }
    return (ssize_t)copied;
}

/* RFC 9113 §6.9: the end of a body needs no window, but nghttp2 sends no empty DATA without. It is
 * told of trailers instead, which are not flow-controlled; of none it makes an empty HEADERS frame,
 * in whose place pn_h2_end_frame() puts the DATA frame that it stands for. */
bool pn_h2_end_without_window(struct h2_stream *stream)
{
    struct pn_h2 *h2 = stream->pub.h2;
    struct pn_source *body = stream->body;
    bool is_sent = false;
    enum pn_rc rc = PN_OK;

    /* Of a stream that is not open yet nghttp2 knows no window, and would send trailers first. */
    if (!body || stream->is_reset || (!h2->is_server && !stream->is_head_sent) ||
        (nghttp2_session_get_remote_window_size(h2->session) > 0 &&
         nghttp2_session_get_stream_remote_window_size(h2->session, stream->pub.id) > 0))
        return false;
    rc = look_ahead(body);
    stream->is_dry = rc == PN_AGAIN;
    if (rc == PN_OK || rc == PN_AGAIN)
        return false;
    if (rc != PN_EOF) {
        (void)source_failed(stream, rc);
        return true;
    }
    if (submit_trailers(h2, stream, stream->drops_trailers ? NULL : body->trailers, true,
                        &is_sent) == PN_NOMEM)
        pn_h2_fail(h2, PN_NOMEM, PN_H2_INTERNAL_ERROR, "out of memory");
    stream->body = NULL;
    return true;
}

/* Only an end without trailers is HEADERS without a byte. Where the peer has just changed the size
 * of HPACK's table there is one, and trailers without a field it remains. */
struct pn_slice pn_h2_end_frame(struct pn_h2 *h2, const uint8_t *frame, size_t len)
{
    if (len != H2_FRAME_HEADER_BYTES || frame[H2_AT_TYPE] != NGHTTP2_HEADERS)
        return pn_slice(frame, len);
    memcpy(h2->end_frame, frame, len);
    h2->end_frame[H2_AT_TYPE] = NGHTTP2_DATA;
    h2->end_frame[H2_AT_FLAGS] = NGHTTP2_FLAG_END_STREAM;
    return pn_slice(h2->end_frame, len);
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *header,
                        size_t len, nghttp2_data_source *source, void *user)
{
    struct pn_h2 *h2 = user;
    struct h2_stream *stream = source->ptr;

    (void)session;
    (void)frame;
    assert(h2->out->cap - h2->out->len >= H2_FRAME_HEADER_BYTES + len);
    memcpy(h2->out->ptr + h2->out->len, header, H2_FRAME_HEADER_BYTES);
    h2->out->len += H2_FRAME_HEADER_BYTES + len;
    stream->sent_bytes += len;
    for (int i = 0; i < CREDITS_PER_DATA; i++)
        pn_h2_bucket_give(&h2->floods[H2_WINDOW_UPDATES]);
    return has_room(h2) ? 0 : NGHTTP2_ERR_PAUSE;
}

void pn_h2_body_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_data_source_read_length_callback(callbacks, on_read_length);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
}
