/* SPDX-License-Identifier: Apache-2.0
 *
 * One stream: its life, and what is told to its owner.
 *
 * nghttp2 forgets a stream when both sides have ended it, its owner when on_closed() was called or
 * he has reset it. The struct goes when both have.
 */
#include <assert.h>
#include <string.h>

#include "http/h2_internal.h"

struct h2_stream *pn_h2_stream_create(struct pn_h2 *h2, int32_t id, struct pn_arena *arena)
{
    struct h2_stream *stream = pn_h2_alloc(h2->memory, sizeof(*stream));

    if (!stream)
        return NULL;
    memset(stream, 0, sizeof(*stream));
    stream->pub.h2 = h2;
    stream->pub.id = id;
    pn_source_init(&stream->pub.in, &pn_h2_source_ops, false);
    stream->arena = arena;
    pn_headers_init(&stream->trailers, arena);
    pn_list_init(&stream->ready);
    pn_list_push_back(&h2->streams, &stream->link);
    h2->streams_open++;
    h2->streams_total++;
    return stream;
}

struct h2_stream *pn_h2_stream_find(struct pn_h2 *h2, int32_t id)
{
    if (!h2->found || h2->found->pub.id != id)
        h2->found = nghttp2_session_get_stream_user_data(h2->session, id);
    return h2->found;
}

/* It is not to be found any more. */
static void forget(struct h2_stream *stream)
{
    if (stream->pub.h2->found == stream)
        stream->pub.h2->found = NULL;
}

void pn_h2_stream_destroy(struct h2_stream *stream)
{
    struct pn_h2 *h2 = stream->pub.h2;

    forget(stream);
    if (h2->head.stream == stream)
        h2->head.stream = NULL;
    pn_h2_stream_drop(stream);
    pn_list_remove(&stream->ready);
    pn_list_remove(&stream->link);
    h2->streams_open--;
    h2->lent_bytes -= stream->lent_bytes;
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

/* What has come stays until the stream goes: its reader, or who reads through it, may hold a piece.
 */
static void fail_in(struct h2_stream *stream, enum pn_rc rc, int status, const char *cause)
{
    struct pn_source *in = &stream->pub.in;

    if (stream->is_end_received || in->failure != PN_OK)
        return;
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
    forget(stream);
    /* When both have ended, nghttp2 does not wait for RST_STREAM. */
    stream->close_code = code == PN_H2_NO_ERROR ? stream->reset_code : code;
    stream->body = NULL;
    if (!h2->is_server)
        stream->pub.is_unprocessed = !stream->is_begun || code == PN_H2_REFUSED_STREAM;
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

bool pn_h2_has_begun(const struct pn_h2_stream *pub)
{
    return pn_h2_stream_of_const(pub)->is_begun;
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
