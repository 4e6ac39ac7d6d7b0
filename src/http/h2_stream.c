/* SPDX-License-Identifier: Apache-2.0
 *
 * One stream: the body that comes, as a source; what is to be told to its owner; its end.
 *
 * nghttp2 forgets a stream when both sides have ended it, its owner when on_closed() was called or
 * he has reset it. The struct goes when both have.
 */
#include <assert.h>
#include <string.h>

#include "http/h2_internal.h"

enum { PIECE_BYTES = 16 * 1024 - 64, PIECE_BYTES_SMALL = 2048 - 64 };

static struct h2_stream *stream_of_source(struct pn_source *source)
{
    return pn_h2_stream_of(PN_CONTAINER(source, struct pn_h2_stream, in));
}

/* ---- the body that comes ---- */

static enum pn_rc on_next(struct pn_source *source)
{
    struct h2_stream *stream = stream_of_source(source);
    struct h2_piece *piece = stream->first;

    if (source->failure != PN_OK)
        return source->failure;
    if (piece && piece->end > piece->start) {
        source->held = pn_slice(piece->bytes + piece->start, piece->end - piece->start);
        if (stream->is_end_received && !piece->next)
            source->has_ended = true;
        return PN_OK;
    }
    if (!stream->is_end_received)
        return PN_AGAIN;
    source->has_ended = true;
    if (stream->is_closed)
        pn_h2_stream_tell(stream, H2_TELL_CLOSED);
    return PN_EOF;
}

/* Nothing can be asked of the peer: it sends as the window lets it. */
static enum pn_rc on_read(struct pn_source *source)
{
    struct h2_stream *stream = stream_of_source(source);

    if (source->failure != PN_OK)
        return source->failure;
    if (stream->buffered_bytes > 0)
        return PN_OK;
    return stream->is_end_received ? PN_EOF : PN_AGAIN;
}

static void on_used(struct pn_source *source, size_t len)
{
    struct h2_stream *stream = stream_of_source(source);
    struct pn_h2 *h2 = stream->pub.h2;
    struct h2_piece *piece = stream->first;

    assert(piece && len <= piece->end - piece->start);
    piece->start += len;
    stream->buffered_bytes -= len;
    if (piece->start == piece->end) {
        stream->first = piece->next;
        if (!stream->first)
            stream->last = NULL;
        pn_h2_free(piece);
    }
    /* nghttp2 sends WINDOW_UPDATE when half of the window was used. */
    if (nghttp2_session_consume(h2->session, stream->pub.id, len) != 0)
        pn_h2_fail(h2, PN_NOMEM, PN_H2_INTERNAL_ERROR, "out of memory");
    if (stream->is_closed && source->has_ended && stream->buffered_bytes == 0)
        pn_h2_stream_tell(stream, H2_TELL_CLOSED);
    pn_h2_ask(h2);
}

static const struct pn_source_ops source_ops = {on_next, on_read, on_used};

enum pn_rc pn_h2_stream_append(struct h2_stream *stream, const uint8_t *data, size_t len)
{
    while (len > 0) {
        struct h2_piece *piece = stream->last;
        size_t part = 0;

        if (!piece || piece->end == piece->size) {
            size_t size = len <= PIECE_BYTES_SMALL && !piece ? PIECE_BYTES_SMALL : PIECE_BYTES;

            piece = pn_h2_alloc(stream->pub.h2->memory, sizeof(*piece) + size);
            if (!piece)
                return PN_NOMEM;
            piece->next = NULL;
            piece->start = 0;
            piece->end = 0;
            piece->size = size;
            if (stream->last)
                stream->last->next = piece;
            else
                stream->first = piece;
            stream->last = piece;
        }
        part = piece->size - piece->end < len ? piece->size - piece->end : len;
        memcpy(piece->bytes + piece->end, data, part);
        piece->end += part;
        stream->buffered_bytes += part;
        data += part;
        len -= part;
    }
    return PN_OK;
}

void pn_h2_stream_drop(struct h2_stream *stream)
{
    struct pn_h2 *h2 = stream->pub.h2;

    while (stream->first) {
        struct h2_piece *piece = stream->first;

        stream->first = piece->next;
        pn_h2_free(piece);
    }
    stream->last = NULL;
    stream->pub.in.held = pn_slice(NULL, 0);
    if (stream->buffered_bytes > 0 && h2->session &&
        nghttp2_session_consume(h2->session, stream->pub.id, stream->buffered_bytes) != 0)
        pn_h2_fail(h2, PN_NOMEM, PN_H2_INTERNAL_ERROR, "out of memory");
    stream->buffered_bytes = 0;
}

/* ---- life ---- */

struct h2_stream *pn_h2_stream_create(struct pn_h2 *h2, int32_t id, struct pn_arena *arena)
{
    struct h2_stream *stream = pn_h2_alloc(h2->memory, sizeof(*stream));

    if (!stream)
        return NULL;
    memset(stream, 0, sizeof(*stream));
    stream->pub.h2 = h2;
    stream->pub.id = id;
    pn_source_init(&stream->pub.in, &source_ops, false);
    stream->arena = arena;
    pn_headers_init(&stream->trailers, arena);
    pn_list_init(&stream->ready);
    pn_list_push_back(&h2->streams, &stream->link);
    h2->streams_open++;
    h2->streams_total++;
    return stream;
}

void pn_h2_stream_destroy(struct h2_stream *stream)
{
    struct pn_h2 *h2 = stream->pub.h2;

    if (h2->head.stream == stream)
        h2->head.stream = NULL;
    pn_h2_stream_drop(stream);
    pn_list_remove(&stream->ready);
    pn_list_remove(&stream->link);
    h2->streams_open--;
    pn_h2_free(stream);
}

void pn_h2_stream_tell(struct h2_stream *stream, unsigned what)
{
    if (stream->is_detached)
        return;
    stream->tells |= what;
    if (pn_list_is_empty(&stream->ready))
        pn_list_push_back(&stream->pub.h2->ready, &stream->ready);
}

void pn_h2_stream_ended(struct h2_stream *stream)
{
    if (stream->is_end_received)
        return;
    if (stream->has_length && !stream->has_no_body &&
        stream->received_bytes != stream->expected_bytes) { /* RFC 9113 §8.1.1 */
        pn_h2_stream_fail(stream, PN_H2_PROTOCOL_ERROR, PN_MALFORMED,
                          stream->pub.h2->is_server ? 400 : 502,
                          "the body is shorter than its Content-Length");
        return;
    }
    stream->is_end_received = true;
    if (stream->buffered_bytes == 0 && stream->received_bytes == 0)
        stream->pub.in.has_ended = true;
    if (stream->trailers.count > 0)
        stream->pub.in.trailers = &stream->trailers;
}

static void fail_in(struct h2_stream *stream, enum pn_rc rc, int status, const char *cause)
{
    struct pn_source *in = &stream->pub.in;

    if (stream->is_end_received || in->failure != PN_OK)
        return;
    pn_h2_stream_drop(stream);
    in->failure = rc;
    in->fault = (struct pn_http_fault){status, cause};
    pn_h2_stream_tell(stream, H2_TELL_DATA);
}

void pn_h2_stream_fail(struct h2_stream *stream, uint32_t code, enum pn_rc rc, int status,
                       const char *cause)
{
    struct pn_h2 *h2 = stream->pub.h2;

    if (stream->is_closed || stream->is_reset)
        return;
    fail_in(stream, rc, status, cause);
    stream->is_reset = true;
    stream->reset_code = code;
    if (nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, stream->pub.id, code) != 0)
        pn_h2_fail(h2, PN_NOMEM, PN_H2_INTERNAL_ERROR, "out of memory");
    if (h2->is_server)
        (void)pn_h2_flood_take(h2, H2_RESETS); /* the peer made us reset: as if it had itself */
}

/* Whether what has come must still be taken before the stream may go. */
static bool has_unread(const struct h2_stream *stream)
{
    bool is_wanted = !stream->pub.h2->is_server || stream->pub.protocol.len > 0;

    return is_wanted && stream->is_end_received &&
           (!stream->pub.in.has_ended || stream->buffered_bytes > 0);
}

void pn_h2_stream_closed(struct h2_stream *stream, uint32_t code)
{
    struct pn_h2 *h2 = stream->pub.h2;

    stream->is_closed = true;
    /* When both have ended, nghttp2 does not wait for RST_STREAM. */
    stream->close_code = code == PN_H2_NO_ERROR ? stream->reset_code : code;
    stream->body = NULL;
    if (!h2->is_server)
        stream->pub.is_unprocessed = !stream->is_request_sent || code == PN_H2_REFUSED_STREAM;
    if (stream->is_detached) {
        if (!stream->is_telling)
            pn_h2_stream_destroy(stream);
        return;
    }
    fail_in(stream, PN_IO, h2->is_server ? 400 : 502, "the stream was reset by the peer");
    if (!has_unread(stream))
        pn_h2_stream_tell(stream, H2_TELL_CLOSED);
}

void pn_h2_reset(struct pn_h2_stream *pub, uint32_t code)
{
    struct h2_stream *stream = pn_h2_stream_of(pub);
    struct pn_h2 *h2 = pub->h2;

    assert(!stream->is_detached);
    stream->is_detached = true;
    stream->tells = 0;
    stream->body = NULL;
    stream->arena = NULL;
    if (h2->head.stream == stream)
        h2->head.stream = NULL; /* trailers in work */
    pn_list_remove(&stream->ready);
    pn_h2_stream_drop(stream);
    if (stream->is_closed) {
        if (!stream->is_telling)
            pn_h2_stream_destroy(stream);
        return;
    }
    if (!stream->is_reset &&
        nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, pub->id, code) != 0)
        pn_h2_fail(h2, PN_NOMEM, PN_H2_INTERNAL_ERROR, "out of memory");
    stream->is_reset = true;
    pn_h2_ask(h2);
}

bool pn_h2_has_sent(const struct pn_h2_stream *pub)
{
    return pn_h2_stream_of_const(pub)->is_end_sent;
}

bool pn_h2_has_received(const struct pn_h2_stream *pub)
{
    return pn_h2_stream_of_const(pub)->is_end_received;
}

/* ---- telling ---- */

static void tell_informational(struct h2_stream *stream)
{
    struct pn_h2 *h2 = stream->pub.h2;

    while (stream->informs && !stream->is_detached) {
        struct h2_inform *inform = stream->informs;

        stream->informs = inform->next;
        if (h2->events->on_informational)
            h2->events->on_informational(h2->ctx, &stream->pub, &inform->head);
    }
}

static void tell_head(struct h2_stream *stream)
{
    struct pn_h2 *h2 = stream->pub.h2;

    if (h2->is_server)
        h2->events->on_request(h2->ctx, &stream->pub, stream->head.request);
    else
        h2->events->on_response(h2->ctx, &stream->pub, stream->head.response);
}

static void tell_refused(struct h2_stream *stream)
{
    struct pn_h2 *h2 = stream->pub.h2;

    if (h2->events->on_refused)
        h2->events->on_refused(h2->ctx, &stream->pub, stream->head.request, &stream->pub.in.fault);
    else
        pn_h2_reset(&stream->pub, PN_H2_PROTOCOL_ERROR);
}

static void tell_one(struct h2_stream *stream, unsigned what)
{
    struct pn_h2 *h2 = stream->pub.h2;
    const struct pn_h2_events *events = h2->events;

    switch (what) {
    case H2_TELL_INFORMATIONAL:
        tell_informational(stream);
        break;
    case H2_TELL_HEAD:
        tell_head(stream);
        break;
    case H2_TELL_REFUSED:
        tell_refused(stream);
        break;
    case H2_TELL_DATA:
        if (events->on_data)
            events->on_data(h2->ctx, &stream->pub);
        break;
    case H2_TELL_SOURCE_FAILED:
        if (events->on_source_failed)
            events->on_source_failed(h2->ctx, &stream->pub, stream->source_rc);
        break;
    case H2_TELL_SENT:
        if (events->on_sent)
            events->on_sent(h2->ctx, &stream->pub);
        break;
    case H2_TELL_CLOSED:
        events->on_closed(h2->ctx, &stream->pub, stream->close_code);
        stream->is_detached = true;
        break;
    default:
        assert(false);
    }
}

static void tell_stream(struct h2_stream *stream)
{
    stream->is_telling = true;
    while (stream->tells != 0 && !stream->is_detached) {
        unsigned what = stream->tells & (0u - stream->tells);

        stream->tells &= ~what;
        tell_one(stream, what);
    }
    stream->is_telling = false;
    if (stream->is_detached && stream->is_closed)
        pn_h2_stream_destroy(stream);
}

static void tell_connection(struct pn_h2 *h2)
{
    if (h2->tells_goaway) {
        h2->tells_goaway = false;
        if (h2->events->on_goaway)
            h2->events->on_goaway(h2->ctx, h2->goaway_last_id, h2->goaway_code);
    }
    if (h2->tells_pong) {
        h2->tells_pong = false;
        if (h2->events->on_pong)
            h2->events->on_pong(h2->ctx);
    }
    if (!h2->is_server) {
        size_t capacity = pn_h2_can_open(h2);
        bool is_more = capacity > h2->capacity_told;

        h2->capacity_told = capacity;
        if (is_more && h2->events->on_capacity)
            h2->events->on_capacity(h2->ctx);
    }
}

void pn_h2_tell(struct pn_h2 *h2)
{
    if (h2->is_telling)
        return; /* the one further up the stack goes on */
    h2->is_telling = true;
    while (!pn_list_is_empty(&h2->ready)) {
        struct h2_stream *stream = PN_CONTAINER(h2->ready.next, struct h2_stream, ready);

        pn_list_remove(&stream->ready);
        tell_stream(stream);
    }
    tell_connection(h2);
    h2->is_telling = false;
}
