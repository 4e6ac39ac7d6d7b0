/* SPDX-License-Identifier: Apache-2.0
 *
 * The body that comes on a stream, as a source: pieces that DATA was copied into, at most a window
 * full; what is used gives window back.
 *
 * Streams of which nobody takes anything must not hold up the others of their connection. So each
 * has a window of its own from the beginning, and no more streams are open than have such: a
 * client's is small. One that moves gets more, out of what the connection has to lend; it goes back
 * when the stream does. The connection's own window is never what stops a stream. ADR 288.
 */
#include <assert.h>
#include <string.h>

#include "http/h2_internal.h"

enum { PIECE_BYTES = 16 * 1024 - 64, PIECE_BYTES_SMALL = 2048 - 64 };

static struct h2_stream *stream_of_source(struct pn_source *source)
{
    return pn_h2_stream_of(PN_CONTAINER(source, struct pn_h2_stream, in));
}

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
    if (stream->is_closed) {
        pn_h2_stream_tell(stream, H2_TELL_CLOSED);
        pn_h2_ask(stream->pub.h2);
    }
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

/* More is to come, and what has come was taken. */
static void widen(struct h2_stream *stream)
{
    struct pn_h2 *h2 = stream->pub.h2;
    const struct pn_h2_config *config = &h2->config;
    uint32_t first = config->first_window_bytes;
    uint32_t most = config->stream_window_bytes - first;
    uint32_t left = config->connection_window_bytes - config->streams_max * first - h2->lent_bytes;
    uint32_t more = most < left ? most : left;
    bool comes_soon =
        stream->has_length && stream->expected_bytes - stream->received_bytes <= first;

    /* Before the peer has our SETTINGS, the window is another one. */
    if (more < first || stream->is_end_received || stream->is_closed || comes_soon ||
        nghttp2_session_get_local_settings(h2->session, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE) !=
            first)
        return;
    if (nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, stream->pub.id,
                                              (int32_t)(first + more)) != 0) {
        pn_h2_fail(h2, PN_NOMEM, PN_H2_INTERNAL_ERROR, "out of memory");
        return;
    }
    stream->lent_bytes = more;
    h2->lent_bytes += more;
}

/* nghttp2 sends WINDOW_UPDATE when half of a window was used. A stream that has ended needs none.
 */
static void give_back(struct h2_stream *stream, size_t len)
{
    struct pn_h2 *h2 = stream->pub.h2;
    int code = stream->is_end_received ? nghttp2_session_consume_connection(h2->session, len)
                                       : nghttp2_session_consume(h2->session, stream->pub.id, len);

    if (code != 0)
        pn_h2_fail(h2, PN_NOMEM, PN_H2_INTERNAL_ERROR, "out of memory");
}

static void on_used(struct pn_source *source, size_t len)
{
    struct h2_stream *stream = stream_of_source(source);
    struct pn_h2 *h2 = stream->pub.h2;
    struct h2_piece *piece = stream->first;

    assert(piece && len <= piece->end - piece->start);
    piece->start += len;
    stream->buffered_bytes -= len;
    h2->buffered_bytes -= len;
    if (piece->start == piece->end) {
        stream->first = piece->next;
        if (!stream->first)
            stream->last = NULL;
        pn_h2_free(piece);
    }
    if (h2->is_server && stream->lent_bytes == 0 &&
        stream->received_bytes >= h2->config.first_window_bytes / 2)
        widen(stream);
    give_back(stream, len);
    if (stream->is_closed && source->has_ended && stream->buffered_bytes == 0)
        pn_h2_stream_tell(stream, H2_TELL_CLOSED);
    pn_h2_ask(h2);
}

const struct pn_source_ops pn_h2_source_ops = {.next = on_next, .read = on_read, .used = on_used};

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
        stream->pub.h2->buffered_bytes += part;
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
    if (stream->buffered_bytes > 0 && h2->session)
        give_back(stream, stream->buffered_bytes);
    h2->buffered_bytes -= stream->buffered_bytes;
    stream->buffered_bytes = 0;
}
