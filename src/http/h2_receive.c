/* SPDX-License-Identifier: Apache-2.0
 *
 * What nghttp2 tells of the peer's frames. It checks frames, states, windows and HPACK (RFC 9113 §4
 * to §6, RFC 7541); what is counted here are frames that are allowed, and cost us more than the
 * peer: each kind has its bucket. A callback that fails makes nghttp2 return at once; nothing is
 * given to it after that.
 */
#include "http/h2_internal.h"

static int result(const struct pn_h2 *h2)
{
    return h2->verdict == PN_OK ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

/* A frame's header has come. Not called for frames that nghttp2 passes over (of streams that have
 * been reset, of unknown types). */
static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user)
{
    struct pn_h2 *h2 = user;

    if (hd->type == NGHTTP2_CONTINUATION) {
        h2->head.continuations++;
        /* nghttp2 1.52 counts how often it looks at a header of CONTINUATION, of which the bytes
         * may come one by one; its own limit is set higher for that. */
        if (h2->head.continuations > h2->config.continuations_max)
            pn_h2_over(h2, PN_LIMIT_H2_CONTINUATIONS,
                       "a head has more CONTINUATION frames than the limit h2-continuations");
    } else if (hd->type == NGHTTP2_HEADERS) {
        h2->head.continuations = 0;
    } else if (hd->type == NGHTTP2_DATA) {
        h2->watch.taken_bytes += hd->length;
    } else if (hd->type == NGHTTP2_PRIORITY) { /* nghttp2 looks at none, as we use none */
        (void)pn_h2_flood_take(h2, H2_PRIORITIES);
        if (hd->stream_id == 0)
            pn_h2_fail(h2, PN_MALFORMED, PN_H2_PROTOCOL_ERROR, "PRIORITY on stream 0");
    }
    if (nghttp2_session_get_outbound_queue_size(session) > h2->config.queued_frames_max)
        pn_h2_over(h2, PN_LIMIT_H2_QUEUED_FRAMES,
                   "more frames than the limit h2-queued-frames wait for the peer to read");
    return result(h2);
}

/* REFUSED_STREAM: surely not processed. */
static int refuse_stream(struct pn_h2 *h2, int32_t id)
{
    if (nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, id, PN_H2_REFUSED_STREAM) != 0)
        pn_h2_fail(h2, PN_NOMEM, PN_H2_INTERNAL_ERROR, "out of memory");
    else
        (void)pn_h2_flood_take(h2, H2_RESETS);
    return h2->verdict == PN_OK ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : result(h2);
}

static int begin_request(struct pn_h2 *h2, int32_t id)
{
    static const nghttp2_extpri fair = {NGHTTP2_EXTPRI_DEFAULT_URGENCY, 1};
    struct h2_stream *stream = NULL;

    h2->head.stream = NULL;
    if (h2->is_shut_down) /* the GOAWAY that does not name it waits to be sent */
        return refuse_stream(h2, id);
    stream = pn_h2_stream_create(h2, id, NULL);
    if (!stream) {
        pn_h2_fail(h2, PN_NOMEM, PN_H2_INTERNAL_ERROR, "out of memory");
        return result(h2);
    }
    stream->arena = h2->events->on_begin(h2->ctx, &stream->pub);
    if (!stream->arena) {
        pn_h2_stream_destroy(stream);
        return refuse_stream(h2, id);
    }
    pn_headers_init(&stream->trailers, stream->arena);
    if (nghttp2_session_set_stream_user_data(h2->session, id, stream) != 0 ||
        nghttp2_session_change_extpri_stream_priority(h2->session, id, &fair, 1) != 0)
        pn_h2_fail(h2, PN_NOMEM, PN_H2_INTERNAL_ERROR, "out of memory");
    else
        h2->found = stream;
    pn_h2_head_begin(h2, stream, false);
    return result(h2);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct pn_h2 *h2 = user;
    struct h2_stream *stream = NULL;
    size_t continuations = h2->head.continuations;
    int rc = 0;

    (void)session;
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        rc = begin_request(h2, frame->hd.stream_id);
    } else {
        stream = pn_h2_stream_find(h2, frame->hd.stream_id);
        if (stream && (stream->is_detached || stream->is_reset))
            stream = NULL;
        pn_h2_head_begin(h2, stream, stream && stream->has_final_head);
    }
    h2->head.continuations = continuations;
    return rc;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *user)
{
    struct pn_h2 *h2 = user;

    (void)session;
    (void)flags;
    if (frame->hd.type == NGHTTP2_HEADERS)
        pn_h2_head_field(h2, name, value);
    return result(h2);
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                         size_t len, void *user)
{
    struct pn_h2 *h2 = user;
    struct h2_stream *stream = pn_h2_stream_find(h2, id);
    bool is_wanted = stream && !stream->is_detached && !stream->is_reset && !stream->is_refused;

    (void)flags;
    if (is_wanted) {
        bool is_client_before_head = !h2->is_server && !stream->has_final_head;

        stream->received_bytes += len;
        if (is_client_before_head) {
            pn_h2_stream_fail(stream, PN_H2_PROTOCOL_ERROR, PN_MALFORMED, 502,
                              "a body comes before the answer's head");
            is_wanted = false;
        } else if (len > 0 &&
                   (stream->has_no_body ||
                    (stream->has_length && stream->received_bytes > stream->expected_bytes))) {
            pn_h2_stream_fail(stream, PN_H2_PROTOCOL_ERROR, PN_MALFORMED, h2->is_server ? 400 : 502,
                              "the body is longer than its Content-Length");
            is_wanted = false;
        }
    }
    if (!is_wanted) {
        if (nghttp2_session_consume(session, id, len) != 0)
            pn_h2_fail(h2, PN_NOMEM, PN_H2_INTERNAL_ERROR, "out of memory");
        return result(h2);
    }
    if (pn_h2_stream_append(stream, data, len) != PN_OK)
        pn_h2_fail(h2, PN_NOMEM, PN_H2_INTERNAL_ERROR, "out of memory");
    /* Streams' windows fit into it, once the peer keeps to our SETTINGS; till then, more than that
     * may have been under way. */
    if (h2->is_server &&
        h2->buffered_bytes > (size_t)h2->config.connection_window_bytes + H2_DEFAULT_WINDOW_BYTES)
        pn_h2_over(h2, PN_LIMIT_H2_CONNECTION_WINDOW,
                   "more of bodies waits to be sent on than the limit h2-connection-window");
    pn_h2_stream_tell(stream, H2_TELL_DATA);
    return result(h2);
}

static void on_end_stream(struct pn_h2 *h2, struct h2_stream *stream)
{
    if (!stream || stream->is_detached || stream->is_reset)
        return;
    if (!h2->is_server && !stream->has_final_head) {
        pn_h2_stream_fail(stream, PN_H2_PROTOCOL_ERROR, PN_MALFORMED, 502,
                          "the answer ends without a head");
        return;
    }
    if (stream->is_refused) {
        stream->is_end_received = true;
        return;
    }
    pn_h2_stream_ended(stream);
    pn_h2_stream_tell(stream, H2_TELL_DATA);
}

/* A server that says by RST_STREAM that nothing is wrong, behind as many bytes as it has announced,
 * means the end: Node's sends no END_STREAM when the last byte has used up the window (nghttp2
 * holds back the empty frame), and closes. Without a length the body may have been cut. */
static bool is_end_of_answer(const struct pn_h2 *h2, const struct h2_stream *stream, uint32_t code)
{
    return !h2->is_server && code == PN_H2_NO_ERROR && stream->has_final_head &&
           stream->has_length && stream->received_bytes == stream->expected_bytes;
}

static void on_rst_stream(struct pn_h2 *h2, const struct h2_stream *stream)
{
    if (!h2->is_server || (stream && (stream->is_end_sent || stream->is_reset)))
        return;
    (void)pn_h2_flood_take(h2, H2_RESETS);
}

static void on_goaway(struct pn_h2 *h2, const nghttp2_goaway *goaway)
{
    h2->has_peer_goaway = true;
    h2->tells_goaway = true;
    h2->goaway_last_id = goaway->last_stream_id;
    h2->goaway_code = goaway->error_code;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct pn_h2 *h2 = user;
    bool is_ack = (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0;
    bool is_end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    struct h2_stream *stream =
        frame->hd.stream_id > 0 ? pn_h2_stream_find(h2, frame->hd.stream_id) : NULL;

    (void)session;
    switch (frame->hd.type) {
    case NGHTTP2_DATA:
        if (is_end)
            on_end_stream(h2, stream);
        else if (frame->hd.length > 0 && frame->hd.length <= frame->data.padlen)
            (void)pn_h2_flood_take(h2, H2_EMPTY_DATA);
        break;
    case NGHTTP2_HEADERS:
        pn_h2_head_end(h2, is_end);
        if (is_end)
            on_end_stream(h2, stream);
        break;
    case NGHTTP2_RST_STREAM:
        if (stream && is_end_of_answer(h2, stream, frame->rst_stream.error_code))
            on_end_stream(h2, stream);
        else if (stream)
            stream->pub.is_reset_by_peer = true;
        on_rst_stream(h2, stream);
        break;
    case NGHTTP2_SETTINGS:
        if (!is_ack) {
            h2->has_peer_settings = true;
            h2->has_new_windows = true; /* it may have made them smaller */
            (void)pn_h2_flood_take(h2, H2_SETTINGS);
        }
        break;
    case NGHTTP2_PING:
        if (!is_ack) {
            (void)pn_h2_flood_take(h2, H2_PINGS);
        } else if (h2->is_pinging) {
            h2->is_pinging = false;
            h2->tells_pong = true;
        }
        break;
    case NGHTTP2_GOAWAY:
        on_goaway(h2, &frame->goaway);
        break;
    case NGHTTP2_WINDOW_UPDATE:
        (void)pn_h2_flood_take(h2, H2_WINDOW_UPDATES);
        break;
    default:
        break;
    }
    return result(h2);
}

/* A frame that made nghttp2 reset a stream: on_stream_close() comes when RST_STREAM is sent. */
static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int code,
                            void *user)
{
    struct pn_h2 *h2 = user;

    (void)session;
    /* A stream too many: refused, or, once our number was acknowledged, the connection's end. */
    if (h2->is_server && frame->hd.type == NGHTTP2_HEADERS &&
        (code == NGHTTP2_ERR_REFUSED_STREAM ||
         (code == NGHTTP2_ERR_PROTO && pn_h2_streams_open(h2) >= h2->config.streams_max)))
        pn_limit_hit(PN_LIMIT_H2_STREAMS);
    if (h2->is_server)
        (void)pn_h2_flood_take(h2, H2_RESETS);
    return result(h2);
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct pn_h2 *h2 = user;
    struct h2_stream *stream = pn_h2_stream_find(h2, id);

    (void)session;
    if (stream)
        pn_h2_stream_closed(stream, code);
    return 0;
}

void pn_h2_receive_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
}
