/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzzes how bodies flow through the HTTP/2 engine, as server and as client. The bytes are no
 * frames but moves: of a peer that keeps to the protocol and knows each window, and of owners that
 * keep to http/h2.h. So whatever stops is the engine's fault.
 *
 * Checked: bytes arrive as they were sent; no window is overrun; the output keeps to its size and
 * to its memory; it has nothing to say only when nothing can go: no byte for which there is window,
 * and no end at all; it asks when it has; it does not ask without saying something; when all is
 * there and windows are open each stream ends.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "http/h2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };
enum {
    CALLS = 8,
    BODY_BYTES_MAX = 150000,
    WINDOW_MAX = 1 << 24,
    FRAME_BYTES_MAX = 16384,
    FRAME_HEADER_BYTES = 9,
    DEFAULT_WINDOW = 65535,
    IDLE_OUTPUTS_MAX = 3, /* in a row, with nothing in them and more wanted */
    OUT_BYTES = 16384,
    MOVES_MAX = 4000,
};

struct call {
    struct pn_h2_stream *stream; /* NULL: not begun, or over */
    struct pn_arena *arena;
    uint32_t id;
    bool is_used;
    /* the body that the engine sends */
    struct pn_source out;
    struct pn_headers trailers;
    size_t total;
    size_t there;   /* the source has so many ... */
    size_t at_hand; /* ... and so many when it is asked to read */
    size_t given;
    size_t piece; /* at once */
    bool has_trailers;
    bool drops_trailers;
    bool is_ended;       /* behind `total` */
    bool fails;          /* in its place */
    bool has_been_told;  /* pn_h2_resume() */
    bool is_source_done; /* on_sent() */
    bool is_answered;    /* server: pn_h2_respond() */
    /* what the peer has seen of it */
    int64_t window;
    size_t seen;
    size_t informs; /* 1xx on their way */
    bool has_seen_head;
    bool has_seen_end;
    bool has_seen_reset;
    /* the body that the peer sends */
    int64_t peer_window;
    size_t peer_total;
    size_t peer_sent;
    bool peer_has_begun;
    bool peer_has_ended;
    bool peer_has_reset;
    size_t read;
    bool has_read_end;
    bool has_failed;
    bool is_closed;
    bool is_reset; /* by its owner */
};

struct flow {
    const uint8_t *data; /* the moves */
    size_t left;
    bool is_client;
    struct pn_h2_memory *memory;
    struct pn_h2 *h2;
    struct pn_h2_config config;
    struct call calls[CALLS];
    size_t count;
    struct pn_buf wire; /* what the engine has sent, in part not read yet */
    bool has_preface;
    bool has_table; /* the peer has changed HPACK's: an end may be trailers without a field */
    int64_t window; /* that the peer gives */
    int64_t initial_window;
    int64_t peer_window; /* that it has */
    int64_t peer_initial_window;
    uint64_t now_ms;
    size_t sent;
    bool has_asked;
    bool is_inside; /* the engine is on the stack, and need not ask */
    bool is_over;
};

static void must_hold(bool holds, const char *what, int line)
{
    if (holds)
        return;
    (void)fprintf(stderr, "line %d: %s\n", line, what);
    abort();
}
#define must(holds) must_hold(holds, #holds, __LINE__)

static unsigned next_byte(struct flow *flow)
{
    if (flow->left == 0)
        return 0;
    flow->left--;
    return *flow->data++;
}

/* Of sizes both the small ones and those around a border matter. */
static size_t next_size(struct flow *flow, size_t max)
{
    static const size_t sizes[] = {0,    1,    2,     9,     10,    100,   255,   256,
                                   1000, 4096, 16383, 16384, 16385, 30000, 65535, 65536};
    unsigned how = next_byte(flow);
    size_t size = 0;

    if (how < 64)
        size = sizes[how % 16];
    else if (how < 160)
        size = next_byte(flow);
    else
        size = (size_t)next_byte(flow) << 8 | next_byte(flow);
    return size < max ? size : max;
}

static char pattern(uint32_t id, size_t at)
{
    return (char)(id * 31 + at * 7 + at / 251);
}

/* ---- the owner ---- */

static char chunk[CALLS][FRAME_BYTES_MAX];

static struct call *call_of_source(struct pn_source *source)
{
    return PN_CONTAINER(source, struct call, out);
}

static size_t index_of(const struct call *call)
{
    return call->id / 2 % CALLS;
}

static enum pn_rc out_next(struct pn_source *source)
{
    struct call *call = call_of_source(source);
    size_t len = call->there - call->given;

    must(!call->is_closed && !call->is_reset && !call->is_source_done);
    if (len == 0 && call->given == call->total && call->is_ended) {
        if (call->fails)
            return PN_IO;
        if (call->has_trailers)
            source->trailers = &call->trailers;
        return PN_EOF;
    }
    if (len == 0)
        return PN_AGAIN;
    len = len < call->piece ? len : call->piece;
    for (size_t i = 0; i < len; i++)
        chunk[index_of(call)][i] = pattern(call->id, call->given + i);
    source->held = pn_slice(chunk[index_of(call)], len);
    call->given += len;
    return PN_OK;
}

static enum pn_rc out_read(struct pn_source *source)
{
    struct call *call = call_of_source(source);

    if (call->at_hand == 0)
        return PN_AGAIN;
    call->there += call->at_hand;
    call->at_hand = 0;
    return PN_OK;
}

static const struct pn_source_ops out_ops = {.next = out_next, .read = out_read};

static void init_call(struct flow *flow, struct call *call, uint32_t id)
{
    static const size_t pieces[] = {1, 7, 255, 1000, 16383, 16384};
    unsigned how = next_byte(flow);

    call->is_used = true;
    call->id = id;
    call->window = flow->initial_window;
    call->peer_window = flow->peer_initial_window;
    call->arena = pn_arena_create(1024, 1u << 20);
    must(call->arena != NULL);
    call->total = next_size(flow, BODY_BYTES_MAX);
    if (how % 8 == 7)
        call->total = call->total * 2 < BODY_BYTES_MAX ? call->total * 2 : BODY_BYTES_MAX;
    call->piece = pieces[how % 6];
    if (call->piece < 255 && call->total > 5000)
        call->piece = 1000;
    call->has_trailers = (how & 64) != 0;
    call->drops_trailers = (how & 128) != 0 && flow->is_client;
    call->fails = how % 13 == 12;
    call->peer_total = next_size(flow, BODY_BYTES_MAX);
    pn_source_init(&call->out, &out_ops, false);
    pn_headers_init(&call->trailers, call->arena);
    must(pn_headers_add(&call->trailers, PN_LIT("x-trailer"), PN_LIT("1")) == PN_OK);
}

static void add_at_hand(struct flow *flow, struct call *call)
{
    size_t rest = call->total - call->there - call->at_hand;
    size_t len = next_size(flow, rest);

    if (next_byte(flow) % 4 == 0)
        call->at_hand += len;
    else
        call->there += len;
    call->is_ended =
        call->is_ended || (call->there + call->at_hand == call->total && next_byte(flow) % 2 == 0);
    call->has_been_told = false;
}

/* Something was done from outside: if there is something to say now, it was asked for. */
static void check_asked(struct flow *flow, bool wanted)
{
    must(wanted || flow->has_asked || flow->is_inside || flow->is_over ||
         !pn_h2_wants_output(flow->h2));
}

static void resume(struct flow *flow, struct call *call)
{
    bool wanted = pn_h2_wants_output(flow->h2);

    call->has_been_told = true;
    if (call->stream)
        pn_h2_resume(call->stream);
    check_asked(flow, wanted);
}

static void reset(struct flow *flow, struct call *call)
{
    bool wanted = pn_h2_wants_output(flow->h2);
    struct pn_h2_stream *stream = call->stream;

    call->stream = NULL;
    call->is_reset = true;
    pn_h2_reset(stream, PN_H2_CANCEL);
    check_asked(flow, wanted);
}

static void read_in(struct flow *flow, struct call *call, size_t max)
{
    bool wanted = pn_h2_wants_output(flow->h2);
    struct pn_source *in = NULL;
    enum pn_rc rc = PN_OK;

    if (!call->stream || call->has_read_end || call->has_failed)
        return;
    in = &call->stream->in;
    for (rc = pn_source_peek(in); rc == PN_OK && max > 0; rc = pn_source_peek(in)) {
        size_t len = in->held.len < max ? in->held.len : max;

        for (size_t i = 0; i < len; i++)
            must(in->held.ptr[i] == pattern(call->id, call->read + i));
        call->read += len;
        max -= len;
        pn_source_use(in, len);
    }
    if (rc == PN_EOF) {
        must(call->peer_has_ended && call->read == call->peer_total);
        call->has_read_end = true;
    } else if (rc != PN_OK && rc != PN_AGAIN) {
        must(call->peer_has_reset || call->has_seen_reset || flow->is_over ||
             pn_h2_is_shut_down(flow->h2));
        call->has_failed = true;
    }
    check_asked(flow, wanted);
}

static struct call *call_of_id(struct flow *flow, uint32_t id)
{
    for (size_t i = 0; i < flow->count; i++)
        if (flow->calls[i].id == id)
            return &flow->calls[i];
    return NULL;
}

/* ---- events ---- */

static struct pn_arena *on_begin(void *ctx, struct pn_h2_stream *stream)
{
    struct call *call = call_of_id(ctx, (uint32_t)stream->id);

    must(call != NULL);
    call->stream = stream;
    stream->user = call;
    return call->arena;
}

static void on_request(void *ctx, struct pn_h2_stream *stream,
                       const struct pn_request_head *request)
{
    (void)ctx;
    (void)stream;
    (void)request;
}

static void on_refused(void *ctx, struct pn_h2_stream *stream,
                       const struct pn_request_head *request, const struct pn_http_fault *fault)
{
    (void)ctx;
    (void)stream;
    (void)request;
    (void)fault;
    must(false);
}

static void on_response(void *ctx, struct pn_h2_stream *stream,
                        const struct pn_response_head *response)
{
    (void)ctx;
    (void)stream;
    (void)response;
}

static void on_source_failed(void *ctx, struct pn_h2_stream *stream, enum pn_rc rc)
{
    struct call *call = stream->user;

    must(call->fails && rc == PN_IO);
    reset(ctx, call);
}

static void on_sent(void *ctx, struct pn_h2_stream *stream)
{
    struct call *call = stream->user;

    (void)ctx;
    must(!call->is_source_done && pn_h2_has_sent(stream));
    call->is_source_done = true;
}

static void on_closed(void *ctx, struct pn_h2_stream *stream, uint32_t code)
{
    struct flow *flow = ctx;
    struct call *call = stream->user;

    must(!call->is_closed);
    if (code == PN_H2_NO_ERROR && !call->peer_has_reset && !flow->is_over)
        must(call->is_source_done);
    if (flow->is_client && call->has_seen_head)
        must(!stream->is_unprocessed);
    call->is_closed = true;
    call->stream = NULL;
}

static void on_wants_output(void *ctx)
{
    ((struct flow *)ctx)->has_asked = true;
}

static const struct pn_h2_events flow_events = {
    .on_begin = on_begin,
    .on_request = on_request,
    .on_refused = on_refused,
    .on_response = on_response,
    .on_source_failed = on_source_failed,
    .on_sent = on_sent,
    .on_closed = on_closed,
    .on_wants_output = on_wants_output,
};

/* ---- frames of the peer ---- */

static void put_u32(char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (char)(value >> (24 - 8 * i));
}

static uint32_t get_u32(const char *from)
{
    const unsigned char *b = (const unsigned char *)from;

    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* The engine may not read over the end: it gets memory of its own. */
static void receive(struct flow *flow, const char *bytes, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);
    enum pn_rc rc = PN_OK;

    must(copy != NULL);
    memcpy(copy, bytes, len);
    flow->is_inside = true;
    rc = pn_h2_receive(flow->h2, pn_slice(copy, len), flow->now_ms);
    flow->is_inside = false;
    free(copy);
    must(rc == PN_OK || (rc == PN_EOF && pn_h2_is_shut_down(flow->h2)));
    if (rc == PN_EOF)
        flow->is_over = true;
}

static void output(struct flow *flow, size_t max, size_t cap);

static void give(struct flow *flow, int type, int flags, uint32_t id, struct pn_slice payload)
{
    static char frame[FRAME_HEADER_BYTES + FRAME_BYTES_MAX];
    size_t len = FRAME_HEADER_BYTES + payload.len;

    if (flow->is_over)
        return;
    put_u32(frame, (uint32_t)payload.len << 8 | (uint32_t)type);
    frame[4] = (char)flags;
    put_u32(frame + 5, id);
    if (payload.len > 0)
        memcpy(frame + FRAME_HEADER_BYTES, payload.ptr, payload.len);
    if (next_byte(flow) % 4 == 3) { /* in two pieces */
        size_t first = next_size(flow, len);

        receive(flow, frame, first);
        if (!flow->is_over)
            receive(flow, frame + first, len - first);
    } else {
        receive(flow, frame, len);
    }
}

static void give_setting(struct flow *flow, unsigned id, uint32_t value)
{
    char payload[6] = {(char)(id >> 8), (char)id};

    put_u32(payload + 2, value);
    give(flow, SETTINGS, 0, 0, pn_slice(payload, sizeof(payload)));
}

static void give_initial_window(struct flow *flow, size_t value)
{
    int64_t change = (int64_t)value - flow->initial_window;

    give_setting(flow, 4, (uint32_t)value);
    flow->initial_window += change;
    for (size_t i = 0; i < flow->count; i++)
        flow->calls[i].window += change;
}

static void give_u32(struct flow *flow, int type, uint32_t id, uint32_t value)
{
    char payload[4];

    put_u32(payload, value);
    give(flow, type, 0, id, pn_slice(payload, sizeof(payload)));
}

static void give_window(struct flow *flow, struct call *call, size_t more)
{
    int64_t *window = call ? &call->window : &flow->window;

    if (more == 0 || *window + (int64_t)more > WINDOW_MAX)
        return;
    *window += (int64_t)more;
    give_u32(flow, WINDOW_UPDATE, call ? call->id : 0, (uint32_t)more);
}

/* RFC 7541 §6.2.2: literals without indexing. */
static size_t put_field(char *to, const char *name, const char *value)
{
    size_t name_len = strlen(name);
    size_t value_len = strlen(value);

    to[0] = 0;
    to[1] = (char)name_len;
    memcpy(to + 2, name, name_len);
    to[2 + name_len] = (char)value_len;
    memcpy(to + 3 + name_len, value, value_len);
    return 3 + name_len + value_len;
}

static void give_head(struct flow *flow, struct call *call, int flags)
{
    char block[200];
    size_t len = 0;

    if (flow->is_client) {
        len += put_field(block + len, ":status", "200");
    } else {
        len += put_field(block + len, ":method", "POST");
        len += put_field(block + len, ":scheme", "https");
        len += put_field(block + len, ":path", "/");
        len += put_field(block + len, ":authority", "a.example");
    }
    call->peer_has_begun = true;
    call->peer_has_ended = (flags & END_STREAM) != 0;
    give(flow, HEADERS, flags | END_HEADERS, call->id, pn_slice(block, len));
}

static bool may_peer_send(const struct flow *flow, const struct call *call)
{
    return call->is_used && call->peer_has_begun && !call->peer_has_ended &&
           !call->peer_has_reset && !call->has_seen_reset && !flow->is_over;
}

static void give_data(struct flow *flow, struct call *call, size_t len, bool ends)
{
    static char payload[FRAME_BYTES_MAX];
    int64_t window = flow->peer_window < call->peer_window ? flow->peer_window : call->peer_window;

    if (!may_peer_send(flow, call))
        return;
    if (len > call->peer_total - call->peer_sent)
        len = call->peer_total - call->peer_sent;
    if (len > sizeof(payload))
        len = sizeof(payload);
    if ((int64_t)len > window)
        len = window > 0 ? (size_t)window : 0;
    for (size_t i = 0; i < len; i++)
        payload[i] = pattern(call->id, call->peer_sent + i);
    call->peer_sent += len;
    flow->peer_window -= (int64_t)len;
    call->peer_window -= (int64_t)len;
    ends = ends && call->peer_sent == call->peer_total;
    if (len == 0 && !ends)
        return;
    call->peer_has_ended = ends;
    give(flow, DATA, ends ? END_STREAM : 0, call->id, pn_slice(payload, len));
}

static void give_trailers(struct flow *flow, struct call *call)
{
    char block[32];
    size_t len = put_field(block, "x-trailer", "1");

    if (!may_peer_send(flow, call) || call->peer_sent != call->peer_total)
        return;
    call->peer_has_ended = true;
    give(flow, HEADERS, END_STREAM | END_HEADERS, call->id, pn_slice(block, len));
}

static void give_reset(struct flow *flow, struct call *call)
{
    bool is_open = call->has_seen_head || call->peer_has_begun;

    if (!is_open || call->peer_has_reset || call->has_seen_reset ||
        (call->peer_has_ended && call->has_seen_end) || flow->is_over)
        return;
    call->peer_has_reset = true;
    give_u32(flow, RST_STREAM, call->id, PN_H2_CANCEL);
}

/* ---- frames of the engine ---- */

static void see_settings(struct flow *flow, const char *payload, size_t len)
{
    for (size_t i = 0; i + 6 <= len; i += 6) {
        if (payload[i] == 0 && payload[i + 1] == 4) {
            int64_t change = (int64_t)get_u32(payload + i + 2) - flow->peer_initial_window;

            flow->peer_initial_window += change;
            for (size_t k = 0; k < flow->count; k++)
                flow->calls[k].peer_window += change;
        }
    }
}

static void see_end(const struct flow *flow, struct call *call, unsigned type)
{
    call->has_seen_end = true;
    must(call->seen == call->total && call->is_ended && !call->fails);
    if (call->has_trailers && !call->drops_trailers)
        must(type == HEADERS);
    else if (!flow->has_table)
        must(type == DATA);
}

static void see_data(struct flow *flow, struct call *call, const char *payload, size_t len)
{
    must(call->has_seen_head);
    if (len > 0) {
        flow->window -= (int64_t)len;
        call->window -= (int64_t)len;
        must(flow->window >= 0 && call->window >= 0);
    }
    for (size_t i = 0; i < len; i++)
        must(payload[i] == pattern(call->id, call->seen + i));
    call->seen += len;
}

static bool see_frame(struct flow *flow, const char *frame, size_t len)
{
    unsigned type = (unsigned char)frame[3];
    unsigned flags = (unsigned char)frame[4];
    uint32_t id = get_u32(frame + 5);
    const char *payload = frame + FRAME_HEADER_BYTES;
    struct call *call = id > 0 ? call_of_id(flow, id) : NULL;

    must(len <= FRAME_BYTES_MAX && (id == 0) == !call);
    if (call)
        must(!call->has_seen_reset && (!call->has_seen_end || type > HEADERS));
    switch (type) {
    case DATA:
        see_data(flow, call, payload, len);
        break;
    case HEADERS:
        if (call->informs > 0)
            call->informs--;
        else
            call->has_seen_head = true;
        break;
    case RST_STREAM:
        call->has_seen_reset = true;
        break;
    case SETTINGS:
        if ((flags & ACK) == 0) {
            see_settings(flow, payload, len);
            return true;
        }
        break;
    case WINDOW_UPDATE:
        *(call ? &call->peer_window : &flow->peer_window) += get_u32(payload);
        break;
    default:
        must(type == PING || type == GOAWAY);
    }
    if (type <= HEADERS && (flags & END_STREAM) != 0)
        see_end(flow, call, type);
    return false;
}

/* Reads what is whole. */
static void see(struct flow *flow)
{
    size_t at = 0;
    int settings = 0;

    if (flow->is_client && !flow->has_preface) {
        if (flow->wire.len < 24)
            return;
        flow->has_preface = true;
        at = 24;
    }
    while (flow->wire.len - at >= FRAME_HEADER_BYTES) {
        size_t len = get_u32(flow->wire.ptr + at) >> 8;

        if (flow->wire.len - at < FRAME_HEADER_BYTES + len)
            break;
        settings += see_frame(flow, flow->wire.ptr + at, len);
        at += FRAME_HEADER_BYTES + len;
    }
    memmove(flow->wire.ptr, flow->wire.ptr + at, flow->wire.len - at);
    flow->wire.len -= at;
    for (; settings > 0; settings--)
        give(flow, SETTINGS, ACK, 0, pn_slice("", 0));
}

/* Into memory of `cap` bytes, of which those before `max` may be used; it grows if it must. */
static void output(struct flow *flow, size_t max, size_t cap)
{
    struct pn_buf out;
    enum pn_rc rc = PN_OK;

    pn_buf_init(&out, 1u << 20);
    if (cap > 0) {
        out.ptr = malloc(cap);
        must(out.ptr != NULL);
        out.cap = cap;
    }
    flow->has_asked = false;
    flow->is_inside = true;
    rc = pn_h2_output(flow->h2, &out, max, flow->now_ms);
    flow->is_inside = false;
    must(rc == PN_OK || (rc == PN_EOF && pn_h2_is_shut_down(flow->h2)));
    must(out.len <= max && out.len <= out.cap);
    if (rc == PN_EOF)
        flow->is_over = true;
    must(pn_buf_append(&flow->wire, out.ptr ? out.ptr : "", out.len) == PN_OK);
    flow->sent += out.len;
    pn_buf_fini(&out);
    see(flow);
}

/* Of a stream that lives: all that can go has gone. */
static void check_gone(const struct flow *flow, const struct call *call)
{
    int64_t window = flow->window < call->window ? flow->window : call->window;

    if (!call->stream || call->is_closed || call->peer_has_reset || call->has_seen_reset ||
        (!flow->is_client && !call->is_answered))
        return;
    must(call->has_seen_head);
    if (!call->has_been_told)
        return;
    must(call->seen == call->there || window <= 0);
    must(call->at_hand == 0 || window <= 0);
    if (call->there == call->total && call->seen == call->total && call->is_ended)
        must(call->has_seen_end);
}

/* Until it has nothing to say. */
static void flush(struct flow *flow, size_t max)
{
    int idle = 0;

    while (!flow->is_over && pn_h2_wants_output(flow->h2)) {
        size_t before = flow->sent;

        output(flow, max, max);
        idle = flow->sent == before ? idle + 1 : 0;
        must(idle <= IDLE_OUTPUTS_MAX);
    }
    for (size_t i = 0; i < flow->count && !flow->is_over; i++)
        if (flow->calls[i].is_used)
            check_gone(flow, &flow->calls[i]);
}

/* ---- moves ---- */

static struct call *pick(struct flow *flow)
{
    return flow->count > 0 ? &flow->calls[next_byte(flow) % flow->count] : NULL;
}

static void respond(struct flow *flow, struct call *call)
{
    bool wanted = pn_h2_wants_output(flow->h2);

    if (!call->stream || call->is_answered)
        return;
    if (next_byte(flow) % 4 == 3) {
        must(pn_h2_inform(call->stream, 103, NULL) == PN_OK);
        call->informs++;
    }
    call->is_answered = true;
    call->has_been_told = true;
    must(pn_h2_respond(call->stream, 200, NULL, &call->out) == PN_OK);
    check_asked(flow, wanted);
}

static void begin(struct flow *flow)
{
    static const struct pn_headers none = {0};
    struct call *call = &flow->calls[flow->count];
    struct pn_h2_request request = {.method = PN_LIT("POST"),
                                    .scheme = PN_LIT("https"),
                                    .authority = PN_LIT("a.example"),
                                    .path = PN_LIT("/"),
                                    .headers = &none};
    bool wanted = pn_h2_wants_output(flow->h2);

    if (flow->count == CALLS || pn_h2_is_shut_down(flow->h2) || flow->is_over)
        return;
    init_call(flow, call, (uint32_t)(2 * flow->count + 1));
    flow->count++;
    if (!flow->is_client) {
        give_head(flow, call, next_byte(flow) % 8 == 0 && call->peer_total == 0 ? END_STREAM : 0);
        return;
    }
    request.body = &call->out;
    request.arena = call->arena;
    request.drops_trailers = call->drops_trailers;
    request.user = call;
    call->has_been_told = true;
    must(pn_h2_request(flow->h2, &request, &call->stream) == PN_OK);
    must((uint32_t)call->stream->id == call->id);
    check_asked(flow, wanted);
}

static void answer(struct flow *flow, struct call *call)
{
    if (!flow->is_client)
        respond(flow, call);
    else if (call->has_seen_head && !call->peer_has_begun && !call->peer_has_reset &&
             !call->has_seen_reset && !flow->is_over)
        give_head(flow, call, 0);
}

/* As http/h2.h says: a client not while a head has yet to leave. */
static bool may_shut_down(const struct flow *flow)
{
    for (size_t i = 0; i < flow->count; i++) {
        if (flow->is_client && flow->calls[i].stream && !flow->calls[i].has_seen_head)
            return false;
    }
    return true;
}

static void move(struct flow *flow)
{
    unsigned what = next_byte(flow) % 20;
    struct call *call = what > 7 ? pick(flow) : NULL;
    size_t max = 0;
    bool wanted = false;

    if (what > 7 && !call)
        return;
    switch (what) {
    case 0:
    case 1:
        begin(flow);
        break;
    case 2:
    case 3:
        max = 10 + next_size(flow, 65526);
        output(flow, max, next_byte(flow) % 2 == 0 ? next_size(flow, 65536) : 0);
        break;
    case 4:
        flush(flow, next_byte(flow) % 4 == 0 ? 10 + next_size(flow, 300) : OUT_BYTES);
        break;
    case 5:
        if (next_byte(flow) % 8 == 7) {
            flow->has_table = true;
            give_setting(flow, 1, (uint32_t)next_size(flow, 4096));
            break;
        }
        give_initial_window(flow, next_byte(flow) % 2 == 0 ? 0 : next_size(flow, 65536));
        break;
    case 6:
        give_window(flow, NULL, next_size(flow, 65536));
        break;
    case 7:
        wanted = pn_h2_wants_output(flow->h2);
        if (next_byte(flow) % 16 == 0 && may_shut_down(flow))
            pn_h2_shutdown(flow->h2);
        else
            pn_h2_ping(flow->h2);
        check_asked(flow, wanted);
        if (next_byte(flow) % 2 == 0)
            give(flow, PING, 0, 0, PN_LIT("12345678"));
        break;
    case 8:
        if (call->has_seen_head || call->peer_has_begun)
            give_window(flow, call, next_size(flow, 65536));
        break;
    case 9:
    case 10:
        add_at_hand(flow, call);
        resume(flow, call);
        break;
    case 11:
        add_at_hand(flow, call);
        break;
    case 12:
        resume(flow, call);
        break;
    case 13:
        answer(flow, call);
        break;
    case 14:
    case 15:
        give_data(flow, call, next_size(flow, FRAME_BYTES_MAX), next_byte(flow) % 2 == 0);
        break;
    case 16:
        give_trailers(flow, call);
        break;
    case 17:
        read_in(flow, call, next_size(flow, SIZE_MAX));
        break;
    case 18:
        if (next_byte(flow) % 4 == 0)
            give_reset(flow, call);
        break;
    default:
        if (next_byte(flow) % 4 == 0 && call->stream)
            reset(flow, call);
    }
}

/* ---- one run ---- */

static void start(struct flow *flow, const uint8_t *data, size_t size)
{
    static const uint32_t windows[] = {1000, 16384, 65535, 100000};
    unsigned how = 0;

    memset(flow, 0, sizeof(*flow));
    flow->data = data;
    flow->left = size;
    how = next_byte(flow);
    flow->is_client = (how & 1) != 0;
    flow->now_ms = 1000;
    flow->window = flow->initial_window = DEFAULT_WINDOW;
    flow->peer_window = flow->peer_initial_window = DEFAULT_WINDOW;
    pn_buf_init(&flow->wire, 1u << 24);
    flow->memory = pn_h2_memory_create();
    must(flow->memory != NULL);
    pn_h2_config_init(&flow->config, flow->is_client ? PN_H2_CLIENT : PN_H2_SERVER);
    flow->config.streams_max = CALLS;
    flow->config.first_window_bytes = windows[how / 2 % 4];
    flow->config.stream_window_bytes = flow->config.first_window_bytes << (how / 8 % 4);
    flow->config.connection_window_bytes =
        CALLS * flow->config.first_window_bytes + (how / 32 % 4) * 50000;
    flow->config.stall_timeout_ms = 0;
    flow->config.window_updates_per_minute = 1000000;
    flow->config.settings_per_minute = 1000000;
    flow->config.resets_per_minute = 1000000;
    flow->config.pings_per_minute = 1000000;
    flow->config.empty_data_per_minute = 1000000;
    flow->h2 = pn_h2_create(flow->is_client ? PN_H2_CLIENT : PN_H2_SERVER, &flow->config,
                            &flow_events, flow, flow->memory, flow->now_ms);
    must(flow->h2 != NULL);
    if (!flow->is_client)
        receive(flow, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    give(flow, SETTINGS, 0, 0, pn_slice("", 0));
}

/* All is there now; the owners are told, and the peer reads. */
static void say_all(struct flow *flow)
{
    for (size_t i = 0; i < flow->count; i++) {
        struct call *call = &flow->calls[i];

        call->there += call->at_hand;
        call->at_hand = 0;
        call->there = call->total;
        call->is_ended = true;
        answer(flow, call);
        resume(flow, call);
    }
    flush(flow, OUT_BYTES);
    for (size_t i = 0; i < flow->count; i++)
        answer(flow, &flow->calls[i]);
    while (flow->window <= WINDOW_MAX / 2 && !flow->is_over)
        give_window(flow, NULL, WINDOW_MAX / 4);
    for (size_t i = 0; i < flow->count; i++) {
        struct call *call = &flow->calls[i];

        if (call->has_seen_head && !call->has_seen_end && !call->has_seen_reset &&
            !call->peer_has_reset)
            while (call->window <= BODY_BYTES_MAX && !flow->is_over)
                give_window(flow, call, BODY_BYTES_MAX);
    }
    flush(flow, OUT_BYTES);
}

/* And the peer sends all that it has, as the windows let it. */
static void hear_all(struct flow *flow)
{
    bool has_moved = true;

    while (has_moved) {
        has_moved = false;
        for (size_t i = 0; i < flow->count; i++) {
            struct call *call = &flow->calls[i];
            size_t before = call->peer_sent + call->read;

            give_data(flow, call, FRAME_BYTES_MAX, true);
            read_in(flow, call, SIZE_MAX);
            has_moved = has_moved || call->peer_sent + call->read != before;
        }
        flush(flow, OUT_BYTES);
    }
}

static void check_end(const struct flow *flow)
{
    for (size_t i = 0; i < flow->count; i++) {
        const struct call *call = &flow->calls[i];

        if (call->is_reset || call->peer_has_reset || flow->is_over)
            continue;
        must(call->has_seen_end);
        must(call->peer_has_ended || call->has_seen_reset);
        must(call->is_closed && !call->stream);
        must(call->read == call->peer_total || !flow->is_client);
    }
    must(pn_h2_streams_open(flow->h2) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct flow flow;

    start(&flow, data, size);
    for (int i = 0; flow.left > 0 && !flow.is_over && i < MOVES_MAX; i++)
        move(&flow);
    flow.left = 0;
    if (!flow.is_over) {
        say_all(&flow);
        hear_all(&flow);
    }
    if (!flow.is_over)
        check_end(&flow);
    pn_h2_destroy(flow.h2);
    pn_h2_memory_destroy(flow.memory);
    for (size_t i = 0; i < flow.count; i++) {
        must(!flow.calls[i].stream);
        pn_arena_destroy(flow.calls[i].arena);
    }
    pn_buf_fini(&flow.wire);
    return 0;
}
