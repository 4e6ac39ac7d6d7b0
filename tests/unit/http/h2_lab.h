/* SPDX-License-Identifier: Apache-2.0
 *
 * For the tests of HTTP/2: frames built by hand, an engine that writes down what it is told, and a
 * reader of the frames it sends. Static, because each test is an executable of its own.
 */
#pragma once

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "http/h2.h"
#include "http/support.h"

/* ---- frames ---- */

enum {
    DATA,
    HEADERS,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    PUSH_PROMISE,
    PING,
    GOAWAY,
    WINDOW_UPDATE,
    CONTINUATION
};
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8, WITH_PRIORITY = 32 };

#define PREFACE PN_LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

static inline void put(struct pn_buf *out, const void *bytes, size_t len)
{
    assert_int_equal(pn_buf_append(out, bytes, len), PN_OK);
}

static inline void put_u32(struct pn_buf *out, uint32_t value)
{
    unsigned char bytes[4] = {(unsigned char)(value >> 24), (unsigned char)(value >> 16),
                              (unsigned char)(value >> 8), (unsigned char)value};

    put(out, bytes, 4);
}

static inline void put_frame_head(struct pn_buf *out, size_t len, int type, int flags, uint32_t id)
{
    unsigned char bytes[5] = {(unsigned char)(len >> 16), (unsigned char)(len >> 8),
                              (unsigned char)len, (unsigned char)type, (unsigned char)flags};

    put(out, bytes, 5);
    put_u32(out, id);
}

static inline void put_frame(struct pn_buf *out, int type, int flags, uint32_t id,
                             struct pn_slice payload)
{
    put_frame_head(out, payload.len, type, flags, id);
    put(out, payload.ptr, payload.len);
}

static inline void put_frame_u32(struct pn_buf *out, int type, uint32_t id, uint32_t value)
{
    put_frame_head(out, 4, type, 0, id);
    put_u32(out, value);
}

static inline void put_setting(struct pn_buf *out, unsigned id, uint32_t value)
{
    unsigned char bytes[2] = {(unsigned char)(id >> 8), (unsigned char)id};

    put_frame_head(out, 6, SETTINGS, 0, 0);
    put(out, bytes, 2);
    put_u32(out, value);
}

/* RFC 7541 §5.1, §5.2: a string without Huffman code. */
static inline void put_hpack_string(struct pn_buf *out, struct pn_slice text)
{
    unsigned char byte = 0;
    size_t left = text.len;

    if (left < 127) {
        byte = (unsigned char)left;
        put(out, &byte, 1);
    } else {
        byte = 127;
        put(out, &byte, 1);
        for (left -= 127; left >= 128; left /= 128) {
            byte = (unsigned char)(left % 128 + 128);
            put(out, &byte, 1);
        }
        byte = (unsigned char)left;
        put(out, &byte, 1);
    }
    put(out, text.ptr, text.len);
}

/* A literal without indexing, with a new name. */
static inline void put_field(struct pn_buf *block, struct pn_slice name, struct pn_slice value)
{
    put(block, "", 1);
    put_hpack_string(block, name);
    put_hpack_string(block, value);
}

/* Lines "name|value\n" into a header block. */
static inline void put_fields(struct pn_buf *block, const char *lines)
{
    struct pn_slice rest = pn_slice_str(lines);
    struct pn_slice line;

    while (pn_slice_cut(&rest, '\n', &line)) {
        size_t bar = pn_slice_find(line, '|');

        put_field(block, pn_slice(line.ptr, bar), pn_slice_sub(line, bar + 1, line.len));
    }
}

static inline void put_headers(struct pn_buf *out, uint32_t id, int flags, const char *lines)
{
    struct pn_buf block;

    pn_buf_init(&block, 1u << 24);
    put_fields(&block, lines);
    put_frame(out, HEADERS, flags | END_HEADERS, id, pn_buf_slice(&block));
    pn_buf_fini(&block);
}

#define GET_FIELDS  ":method|GET\n:scheme|https\n:path|/\n:authority|a.example\n"
#define POST_FIELDS ":method|POST\n:scheme|https\n:path|/\n:authority|a.example\n"

/* ---- an engine that is watched ---- */

enum { CALLS = 64, SENT_FRAMES = 4096 };

struct call {                    /* what was told of one stream */
    struct pn_h2_stream *stream; /* NULL: gone */
    struct pn_arena *arena;
    int32_t id;
    const struct pn_request_head *request;
    const struct pn_response_head *response;
    struct pn_buf body;
    int informs;
    int refused; /* status */
    const char *cause;
    bool has_ended;
    enum pn_rc failure;
    enum pn_rc source_rc;
    bool is_sent;
    bool is_closed;
    bool is_unprocessed;
    bool is_reset_by_peer;
    uint32_t code;
    struct pn_slice trailer; /* value of "x-trailer" */
    struct pn_source out;
    struct pn_slice out_text;
    size_t out_piece;   /* what the source gives at once; 0: all */
    bool reads_nothing; /* leaves the body where it is */
};

struct sent {
    unsigned type;
    unsigned flags;
    uint32_t id;
    uint32_t value; /* code, increment, last id */
    size_t len;
    int status;
};

struct lab {
    struct pn_h2_memory *memory;
    struct pn_h2_config config;
    struct pn_h2 *h2;
    struct pn_buf in;  /* frames to be given to it */
    struct pn_buf out; /* what it sent, not yet read */
    uint64_t now_ms;
    struct call calls[CALLS];
    size_t count;
    struct sent sent[SENT_FRAMES];
    size_t sent_count;
    uint32_t goaway; /* code of the last one */
    bool has_goaway;
    int32_t peer_goaway_last_id;
    int pongs;
    int goaways;
    int capacities;
    int asks;
    bool is_overloaded;
    bool answers;        /* 200 to each request that has ended */
    int answers_refused; /* with its status */
    nghttp2_hd_inflater *inflater;
    enum pn_rc rc; /* of the last receive */
    enum pn_rc out_rc;
};

static inline struct call *call_of(struct lab *lab, struct pn_h2_stream *stream)
{
    (void)lab;
    return stream->user;
}

/* A source that gives `out_text`. */
static inline enum pn_rc lab_next(struct pn_source *source)
{
    struct call *call = PN_CONTAINER(source, struct call, out);

    if (call->source_rc != PN_OK)
        return call->source_rc;
    if (call->out_text.len == 0)
        return PN_EOF;
    source->held = call->out_text;
    if (call->out_piece > 0)
        source->held = pn_slice_sub(call->out_text, 0, call->out_piece);
    call->out_text = pn_slice_sub(call->out_text, source->held.len, call->out_text.len);
    return PN_OK;
}

static inline enum pn_rc lab_read(struct pn_source *source)
{
    (void)source;
    return PN_AGAIN;
}

static const struct pn_source_ops lab_source_ops = {.next = lab_next, .read = lab_read};

static inline struct pn_arena *lab_begin(void *ctx, struct pn_h2_stream *stream)
{
    struct lab *lab = ctx;
    struct call *call = &lab->calls[lab->count];

    if (lab->is_overloaded)
        return NULL;
    assert_true(lab->count < CALLS);
    lab->count++;
    call->stream = stream;
    call->id = stream->id;
    call->arena = pn_arena_create(4096, 1u << 22);
    pn_buf_init(&call->body, 1u << 26);
    stream->user = call;
    return call->arena;
}

static inline void lab_answer(struct lab *lab, struct call *call)
{
    struct pn_headers headers;

    pn_headers_init(&headers, call->arena);
    assert_int_equal(pn_headers_add(&headers, PN_LIT("X-Answer"), PN_LIT("yes")), PN_OK);
    assert_int_equal(pn_h2_respond(call->stream, 200, &headers, NULL), PN_OK);
    (void)lab;
}

static inline void lab_pull(struct lab *lab, struct call *call)
{
    struct pn_source *in = &call->stream->in;
    enum pn_rc rc = PN_OK;

    if (call->reads_nothing || call->has_ended || call->failure != PN_OK)
        return;
    for (rc = pn_source_peek(in); rc == PN_OK; rc = pn_source_peek(in)) {
        size_t part = in->held.len > 3000 ? 3000 : in->held.len;

        put(&call->body, in->held.ptr, part);
        pn_source_use(in, part);
    }
    if (rc == PN_EOF) {
        call->has_ended = true;
        if (in->trailers)
            call->trailer = pn_headers_get(in->trailers, "X-Trailer");
        if (lab->answers && call->request)
            lab_answer(lab, call);
    } else if (rc != PN_AGAIN) {
        call->failure = rc;
        call->cause = in->fault.cause;
    }
}

static inline void lab_request(void *ctx, struct pn_h2_stream *stream,
                               const struct pn_request_head *request)
{
    struct call *call = call_of(ctx, stream);

    assert_null(call->request);
    call->request = request;
    lab_pull(ctx, call);
}

static inline void lab_refused(void *ctx, struct pn_h2_stream *stream,
                               const struct pn_request_head *request,
                               const struct pn_http_fault *fault)
{
    struct lab *lab = ctx;
    struct call *call = call_of(ctx, stream);

    (void)request;
    call->refused = fault->status;
    call->cause = fault->cause;
    if (lab->answers_refused)
        assert_int_equal(pn_h2_respond(stream, fault->status, NULL, NULL), PN_OK);
}

static inline void lab_informational(void *ctx, struct pn_h2_stream *stream,
                                     const struct pn_response_head *response)
{
    struct call *call = call_of(ctx, stream);

    assert_null(call->response);
    call->informs = call->informs * 1000 + response->status;
}

static inline void lab_response(void *ctx, struct pn_h2_stream *stream,
                                const struct pn_response_head *response)
{
    struct call *call = call_of(ctx, stream);

    assert_null(call->response);
    call->response = response;
    lab_pull(ctx, call);
}

static inline void lab_data(void *ctx, struct pn_h2_stream *stream)
{
    lab_pull(ctx, call_of(ctx, stream));
}

static inline void lab_source_failed(void *ctx, struct pn_h2_stream *stream, enum pn_rc rc)
{
    struct call *call = call_of(ctx, stream);

    assert_int_equal(rc, call->source_rc);
    call->stream = NULL;
    pn_h2_reset(stream, PN_H2_INTERNAL_ERROR);
}

static inline void lab_sent(void *ctx, struct pn_h2_stream *stream)
{
    call_of(ctx, stream)->is_sent = true;
}

static inline void lab_closed(void *ctx, struct pn_h2_stream *stream, uint32_t code)
{
    struct call *call = call_of(ctx, stream);

    assert_false(call->is_closed);
    call->is_closed = true;
    call->code = code;
    call->is_unprocessed = stream->is_unprocessed;
    call->is_reset_by_peer = stream->is_reset_by_peer;
    if (!call->cause)
        call->cause = stream->in.fault.cause;
    call->stream = NULL;
}

static inline void lab_goaway(void *ctx, int32_t last_id, uint32_t code)
{
    struct lab *lab = ctx;

    (void)code;
    lab->goaways++;
    lab->peer_goaway_last_id = last_id;
}

static inline void lab_capacity(void *ctx)
{
    ((struct lab *)ctx)->capacities++;
}

static inline void lab_pong(void *ctx)
{
    ((struct lab *)ctx)->pongs++;
}

static inline void lab_asks(void *ctx)
{
    ((struct lab *)ctx)->asks++;
}

static const struct pn_h2_events lab_events = {
    .on_begin = lab_begin,
    .on_request = lab_request,
    .on_refused = lab_refused,
    .on_informational = lab_informational,
    .on_response = lab_response,
    .on_data = lab_data,
    .on_source_failed = lab_source_failed,
    .on_sent = lab_sent,
    .on_closed = lab_closed,
    .on_goaway = lab_goaway,
    .on_capacity = lab_capacity,
    .on_pong = lab_pong,
    .on_wants_output = lab_asks,
};

static inline struct lab *lab_create(void)
{
    struct lab *lab = calloc(1, sizeof(*lab));

    assert_non_null(lab);
    lab->memory = pn_h2_memory_create();
    assert_non_null(lab->memory);
    assert_int_equal(nghttp2_hd_inflate_new(&lab->inflater), 0);
    pn_buf_init(&lab->in, 1u << 26);
    pn_buf_init(&lab->out, 1u << 26);
    lab->now_ms = 1000000;
    lab->answers = true;
    lab->answers_refused = 1;
    return lab;
}

static inline void lab_open(struct lab *lab, enum pn_h2_side side)
{
    if (lab->config.streams_max == 0)
        pn_h2_config_init(&lab->config, side);
    lab->h2 = pn_h2_create(side, &lab->config, &lab_events, lab, lab->memory, lab->now_ms);
    assert_non_null(lab->h2);
}

static inline void lab_destroy(struct lab *lab)
{
    pn_h2_destroy(lab->h2);
    pn_h2_memory_destroy(lab->memory);
    nghttp2_hd_inflate_del(lab->inflater);
    for (size_t i = 0; i < lab->count; i++) {
        pn_arena_destroy(lab->calls[i].arena);
        pn_buf_fini(&lab->calls[i].body);
    }
    pn_buf_fini(&lab->in);
    pn_buf_fini(&lab->out);
    free(lab);
}

/* ---- what it sends ---- */

static inline uint32_t get_u32(const char *bytes)
{
    const unsigned char *b = (const unsigned char *)bytes;

    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static inline int status_of(struct lab *lab, struct pn_slice block)
{
    int status = 0;

    for (;;) {
        nghttp2_nv nv;
        int flags = 0;
        ssize_t used = nghttp2_hd_inflate_hd2(lab->inflater, &nv, &flags,
                                              (const uint8_t *)block.ptr, block.len, 1);

        assert_true(used >= 0);
        block = pn_slice_sub(block, (size_t)used, block.len);
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0 && nv.namelen == 7 &&
            memcmp(nv.name, ":status", 7) == 0)
            status = (nv.value[0] - '0') * 100 + (nv.value[1] - '0') * 10 + nv.value[2] - '0';
        if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0)
            break;
    }
    (void)nghttp2_hd_inflate_end_headers(lab->inflater);
    return status;
}

/* Reads the frames out of lab->out. */
static inline void lab_parse(struct lab *lab)
{
    struct pn_slice rest = pn_buf_slice(&lab->out);

    if (pn_slice_starts_with(rest, PREFACE))
        rest = pn_slice_sub(rest, 24, rest.len);
    while (rest.len > 0) {
        size_t len = rest.len >= 9 ? get_u32(rest.ptr) >> 8 : 0;
        struct pn_slice payload = pn_slice_sub(rest, 9, len);
        struct sent sent = {0};

        assert_true(rest.len >= 9 && payload.len == len);
        sent.type = (unsigned char)rest.ptr[3];
        sent.flags = (unsigned char)rest.ptr[4];
        sent.id = get_u32(rest.ptr + 5);
        sent.len = len;
        if (sent.type == HEADERS)
            sent.status = status_of(lab, payload);
        else if (sent.type == GOAWAY) {
            lab->has_goaway = true;
            lab->goaway = get_u32(payload.ptr + 4);
            sent.value = get_u32(payload.ptr);
        } else if (sent.type == RST_STREAM || sent.type == WINDOW_UPDATE) {
            sent.value = get_u32(payload.ptr);
        }
        assert_true(lab->sent_count < SENT_FRAMES);
        lab->sent[lab->sent_count++] = sent;
        rest = pn_slice_sub(rest, 9 + len, rest.len);
    }
    pn_buf_clear(&lab->out);
}

/* Takes all that it has to send. */
static inline void lab_flush(struct lab *lab)
{
    do {
        size_t before = lab->out.len;

        lab->out_rc = pn_h2_output(lab->h2, &lab->out, lab->out.len + 16384, lab->now_ms);
        assert_true(lab->out.len <= lab->out.cap);
        if (lab->out.len == before && lab->out_rc == PN_OK && !pn_h2_wants_output(lab->h2))
            break;
    } while (lab->out_rc == PN_OK);
}

/* Gives it lab->in, in pieces of `step` (0: at once), reads what it says to that. */
static inline void lab_run(struct lab *lab, size_t step)
{
    struct pn_slice rest = pn_buf_slice(&lab->in);

    while (rest.len > 0) {
        size_t len = step > 0 && step < rest.len ? step : rest.len;
        char *copy = malloc(len);

        assert_non_null(copy);
        memcpy(copy, rest.ptr, len);
        lab->rc = pn_h2_receive(lab->h2, pn_slice(copy, len), lab->now_ms);
        free(copy);
        rest = pn_slice_sub(rest, len, rest.len);
        lab_flush(lab);
        if (lab->out_rc == PN_EOF)
            break;
    }
    pn_buf_clear(&lab->in);
    lab_flush(lab);
    lab_parse(lab);
}

static inline const struct sent *find_sent(const struct lab *lab, unsigned type, uint32_t id)
{
    for (size_t i = 0; i < lab->sent_count; i++) {
        if (lab->sent[i].type == type && lab->sent[i].id == id &&
            (type != SETTINGS && type != PING ? true : (lab->sent[i].flags & ACK) != 0))
            return &lab->sent[i];
    }
    return NULL;
}

/* The beginning of a client. */
static inline void put_start(struct lab *lab)
{
    put(&lab->in, PREFACE.ptr, PREFACE.len);
    put_frame(&lab->in, SETTINGS, 0, 0, pn_slice("", 0));
}
