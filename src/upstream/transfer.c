/* SPDX-License-Identifier: Apache-2.0
 *
 * Buffers, inlets, and the one loop that moves bodies both ways.
 */
#include "upstream/transfer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define TRANSFER_ROUNDS_MAX 32 /* reads in a row before others get their turn */

/* --- buffers --- */

struct pn_io_spare {
    struct pn_io_spare *next;
};

void pn_io_buffers_init(struct pn_io_buffers *buffers)
{
    memset(buffers, 0, sizeof(*buffers));
}

void pn_io_buffers_fini(struct pn_io_buffers *buffers)
{
    while (buffers->spare) {
        struct pn_io_spare *next = buffers->spare->next;

        free(buffers->spare);
        buffers->spare = next;
    }
    buffers->count = 0;
}

static char *buffer_take(struct pn_io_buffers *buffers)
{
    struct pn_io_spare *spare = buffers->spare;

    if (!spare)
        return malloc(PN_IO_BUFFER_BYTES);
    buffers->spare = spare->next;
    buffers->count--;
    return (char *)spare;
}

static void buffer_give_back(struct pn_io_buffers *buffers, char *base)
{
    struct pn_io_spare *spare = (struct pn_io_spare *)(void *)base;

    if (buffers->count >= PN_IO_SPARE_MAX) {
        free(base);
        return;
    }
    spare->next = buffers->spare;
    buffers->spare = spare;
    buffers->count++;
}

/* --- inlets --- */

void pn_inlet_init(struct pn_inlet *inlet, struct pn_io_buffers *buffers)
{
    memset(inlet, 0, sizeof(*inlet));
    inlet->buffers = buffers;
}

void pn_inlet_fini(struct pn_inlet *inlet)
{
    if (inlet->base)
        buffer_give_back(inlet->buffers, inlet->base);
    inlet->base = NULL;
    inlet->start = 0;
    inlet->end = 0;
}

void pn_inlet_rest(struct pn_inlet *inlet)
{
    if (inlet->start == inlet->end)
        pn_inlet_fini(inlet);
}

struct pn_slice pn_inlet_bytes(const struct pn_inlet *inlet)
{
    return pn_slice(inlet->base ? inlet->base + inlet->start : "", inlet->end - inlet->start);
}

void pn_inlet_consume(struct pn_inlet *inlet, size_t len)
{
    assert(len <= inlet->end - inlet->start);
    inlet->start += len;
}

enum pn_rc pn_inlet_read(struct pn_inlet *inlet, struct pn_stream *stream)
{
    size_t room, len = 0;
    enum pn_rc rc;

    if (inlet->is_drained && !pn_stream_has_pending(stream))
        return PN_AGAIN;
    if (!inlet->base) {
        inlet->base = buffer_take(inlet->buffers);
        if (!inlet->base)
            return PN_NOMEM;
    }
    if (inlet->start == inlet->end) {
        inlet->start = 0;
        inlet->end = 0;
    } else if (inlet->start > 0 && PN_IO_BUFFER_BYTES - inlet->end < PN_IO_BUFFER_BYTES / 4) {
        memmove(inlet->base, inlet->base + inlet->start, inlet->end - inlet->start);
        inlet->end -= inlet->start;
        inlet->start = 0;
    }
    room = PN_IO_BUFFER_BYTES - inlet->end;
    if (room == 0)
        return PN_LIMIT;
    rc = pn_stream_read(stream, inlet->base + inlet->end, room, &len);
    if (rc == PN_OK)
        inlet->end += len;
    /* Whether a short read has emptied the socket only the stream can tell: when the peer's end
     * came with the same event as its last bytes, no further event follows, and the end is still
     * unread. */
    inlet->is_drained = rc == PN_AGAIN;
    return rc;
}

/* --- bodies --- */

static struct pn_body_in *body_of(struct pn_source *source)
{
    return PN_CONTAINER(source, struct pn_body_in, source);
}

static enum pn_rc body_next(struct pn_source *source)
{
    struct pn_body_in *body = body_of(source);
    struct pn_slice data;
    size_t used = 0;
    enum pn_rc rc =
        pn_h1_body_next(&body->framing, pn_inlet_bytes(body->inlet), &data, &used, &source->fault);

    pn_inlet_consume(body->inlet, used);
    if (rc == PN_OK)
        source->held = data;
    return rc;
}

static enum pn_rc body_read(struct pn_source *source)
{
    struct pn_body_in *body = body_of(source);
    enum pn_rc rc = pn_inlet_read(body->inlet, body->stream);

    return rc == PN_EOF ? pn_h1_body_close(&body->framing, &source->fault) : rc;
}

static const struct pn_source_ops body_ops = {.next = body_next, .read = body_read};

void pn_body_in_init(struct pn_body_in *body, struct pn_inlet *inlet, struct pn_stream *stream,
                     enum pn_h1_side side, enum pn_framing framing, uint64_t content_length,
                     const struct pn_http_limits *limits, struct pn_headers *trailers)
{
    bool has_ended = framing == PN_BODY_NONE || (framing == PN_BODY_LENGTH && content_length == 0);

    pn_source_init(&body->source, &body_ops, has_ended);
    body->source.trailers = trailers;
    body->inlet = inlet;
    body->stream = stream;
    pn_h1_body_init(&body->framing, side, framing, content_length, limits, trailers);
}

void pn_body_out_init(struct pn_body_out *body)
{
    memset(body, 0, sizeof(*body));
    pn_buf_init(&body->out, PN_TRANSFER_OUT_MAX);
}

void pn_body_out_fini(struct pn_body_out *body)
{
    pn_buf_fini(&body->out);
}

void pn_body_out_start(struct pn_body_out *body, struct pn_stream *stream, enum pn_framing framing)
{
    pn_buf_clear(&body->out);
    body->stream = stream;
    body->out_sent = 0;
    body->piece = pn_slice("", 0);
    body->tail = pn_slice("", 0);
    body->framing = framing;
    body->discards = false;
    body->has_ended = false;
    body->sent_bytes = 0;
}

bool pn_body_out_is_empty(const struct pn_body_out *body)
{
    return body->out_sent == body->out.len && body->piece.len == 0 && body->tail.len == 0;
}

static size_t drop_front(struct pn_slice *slice, size_t len)
{
    size_t n = len < slice->len ? len : slice->len;

    *slice = pn_slice_sub(*slice, n, slice->len - n);
    return len - n;
}

/** `len` bytes of out, piece and tail, in this order, are gone. */
static void account(struct pn_body_out *body, struct pn_source *in, size_t len)
{
    size_t first = body->out.len - body->out_sent;
    size_t n = len < first ? len : first;

    body->sent_bytes += len;
    body->out_sent += n;
    len -= n;
    if (body->out_sent == body->out.len) {
        pn_buf_clear(&body->out);
        body->out_sent = 0;
    }
    if (in && body->piece.len > 0)
        pn_source_use(in, len < body->piece.len ? len : body->piece.len);
    len = drop_front(&body->piece, len);
    drop_front(&body->tail, len);
}

static int add_iov(struct iovec *iov, int count, const char *ptr, size_t len)
{
    if (len == 0)
        return count;
    iov[count].iov_base = (void *)(uintptr_t)ptr;
    iov[count].iov_len = len;
    return count + 1;
}

enum pn_rc pn_body_out_flush(struct pn_body_out *body, struct pn_source *in)
{
    while (!pn_body_out_is_empty(body)) {
        struct iovec iov[3];
        size_t written = 0;
        int count = 0;
        enum pn_rc rc;

        count = add_iov(iov, count, body->out.ptr + body->out_sent, body->out.len - body->out_sent);
        count = add_iov(iov, count, body->piece.ptr, body->piece.len);
        count = add_iov(iov, count, body->tail.ptr, body->tail.len);
        if (count == 1)
            rc = pn_stream_write(body->stream, iov[0].iov_base, iov[0].iov_len, &written);
        else
            rc = pn_stream_writev(body->stream, iov, count, &written);
        if (rc != PN_OK)
            return rc;
        account(body, in, written);
    }
    return PN_OK;
}

/* --- the loop --- */

static enum pn_rc put_copied(struct pn_body_out *out, struct pn_slice data)
{
    enum pn_rc rc = PN_OK;

    if (out->framing == PN_BODY_STREAMED)
        rc = pn_h1_write_chunk_head(&out->out, data.len);
    if (rc == PN_OK)
        rc = pn_buf_append_slice(&out->out, data);
    if (rc == PN_OK && out->framing == PN_BODY_STREAMED)
        rc = pn_buf_append_slice(&out->out, PN_H1_CHUNK_END);
    return rc;
}

static enum pn_rc put_piece(struct pn_body_out *out, struct pn_slice data)
{
    if (out->framing == PN_BODY_STREAMED) {
        enum pn_rc rc = pn_h1_write_chunk_head(&out->out, data.len);

        if (rc != PN_OK)
            return rc;
        out->tail = PN_H1_CHUNK_END;
    }
    out->piece = data;
    return PN_OK;
}

/** Takes from the source's buffer until something large waits or it is used up. PN_EOF: the end has
 *  been put; PN_AGAIN: the source must be read; PN_OK: flush first; else the source is broken. */
static enum pn_rc fill(struct pn_source *in, struct pn_body_out *out)
{
    while (out->piece.len == 0 && out->tail.len == 0) {
        enum pn_rc rc = pn_source_peek(in);

        if (rc == PN_EOF && !out->has_ended) {
            out->has_ended = true;
            if (out->framing == PN_BODY_STREAMED && !out->discards &&
                pn_h1_write_last_chunk(&out->out, in->trailers) != PN_OK)
                return PN_NOMEM;
        }
        if (rc != PN_OK)
            return rc;
        if (out->discards) {
            pn_source_use(in, in->held.len);
            continue;
        }
        if (in->held.len > PN_TRANSFER_COPY)
            return put_piece(out, in->held);
        if (out->out.len > PN_IO_BUFFER_BYTES)
            return PN_OK;
        rc = put_copied(out, in->held);
        if (rc != PN_OK)
            return rc;
        pn_source_use(in, in->held.len);
    }
    return PN_OK;
}

static enum pn_transfer source_failed(struct pn_source *in, enum pn_rc rc)
{
    in->failure = rc;
    return PN_TRANSFER_SOURCE_FAILED;
}

enum pn_transfer pn_transfer(struct pn_source *in, struct pn_body_out *out)
{
    for (int round = 0; round < TRANSFER_ROUNDS_MAX;) {
        enum pn_rc filled = fill(in, out);
        enum pn_rc rc;

        if (filled != PN_OK && filled != PN_EOF && filled != PN_AGAIN)
            return source_failed(in, filled);
        rc = pn_body_out_flush(out, in);
        if (rc == PN_AGAIN)
            return PN_TRANSFER_WAIT_WRITE;
        if (rc != PN_OK)
            return PN_TRANSFER_SINK_FAILED;
        if (filled == PN_EOF)
            return PN_TRANSFER_DONE;
        if (filled == PN_OK)
            continue; /* what waited is gone: take the next from the buffer */
        round++;
        rc = pn_source_read(in);
        if (rc == PN_AGAIN)
            return PN_TRANSFER_WAIT_READ;
        if (rc != PN_OK && rc != PN_EOF)
            return source_failed(in, rc);
    }
    return PN_TRANSFER_YIELD;
}
