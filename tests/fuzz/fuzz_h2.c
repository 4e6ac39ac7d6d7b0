/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzzes the HTTP/2 engine, as server and as client. First byte: bit 0 client, bit 1 the rest is
 * bytes as they are (else: type, flags, stream, length, payload of frames, whose headers are made
 * here, so that most are whole), bit 2 the output is taken after each piece; the rest of it the
 * size of the pieces.
 *
 * Checked: what comes in pieces means the same as what comes at once; a head that was taken can be
 * written as HTTP/1.1, has one Host and nothing of a connection; what the engine sends are whole
 * frames of allowed sizes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "http/h1.h"
#include "http/h2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CALLS = 64, OUT_BYTES_MAX = 1 << 22, ROUNDS_MAX = 1000, REQUESTS = 3 };

struct call {
    struct pn_h2_stream *stream;
    struct pn_arena *arena;
    struct pn_buf heads;
    struct pn_buf body;
    struct pn_source out;
    struct pn_slice text;
    int told; /* final heads */
    bool has_ended;
};

struct run {
    struct pn_h2 *h2;
    struct pn_h2_memory *memory;
    struct call calls[CALLS];
    size_t count;
    struct pn_buf out;
    enum pn_rc rc;
    enum pn_rc out_rc;
    bool is_client;
};

static void must(bool holds)
{
    if (!holds)
        abort();
}

static enum pn_rc on_next(struct pn_source *source)
{
    struct call *call = PN_CONTAINER(source, struct call, out);

    if (call->text.len == 0)
        return PN_EOF;
    source->held = pn_slice_sub(call->text, 0, 7);
    call->text = pn_slice_sub(call->text, 7, call->text.len);
    return PN_OK;
}

static enum pn_rc on_read(struct pn_source *source)
{
    (void)source;
    return PN_AGAIN;
}

static const struct pn_source_ops source_ops = {.next = on_next, .read = on_read};

static struct call *add_call(struct run *run)
{
    struct call *call = &run->calls[run->count];

    run->count++;
    call->arena = pn_arena_create(1024, 1u << 20);
    must(call->arena != NULL);
    pn_buf_init(&call->heads, 1u << 20);
    pn_buf_init(&call->body, 1u << 20);
    pn_source_init(&call->out, &source_ops, false);
    call->text = PN_LIT("a body of some length");
    return call;
}

static struct pn_arena *on_begin(void *ctx, struct pn_h2_stream *stream)
{
    struct run *run = ctx;
    struct call *call = NULL;

    if (run->count == CALLS)
        return NULL;
    call = add_call(run);
    call->stream = stream;
    stream->user = call;
    return call->arena;
}

static void check_fields(const struct pn_headers *headers, struct pn_buf *out)
{
    must(pn_h1_write_fields(out, headers) == PN_OK);
    must(!pn_headers_has(headers, "connection") && !pn_headers_has(headers, "transfer-encoding"));
    must(!pn_headers_has(headers, "upgrade") && !pn_headers_has(headers, "keep-alive"));
    must(pn_headers_count(headers, "content-length") <= 1);
}

static void pull(struct call *call)
{
    struct pn_source *in = &call->stream->in;
    enum pn_rc rc = PN_OK;

    for (rc = pn_source_peek(in); rc == PN_OK; rc = pn_source_peek(in)) {
        size_t len = in->held.len > 5 ? 5 : in->held.len;

        must(in->held.len > 0);
        must(pn_buf_append(&call->body, in->held.ptr, len) == PN_OK);
        pn_source_use(in, len);
    }
    if (rc == PN_EOF && !call->has_ended) {
        call->has_ended = true;
        if (in->trailers)
            check_fields(in->trailers, &call->heads);
    }
}

static void on_request(void *ctx, struct pn_h2_stream *stream,
                       const struct pn_request_head *request)
{
    struct call *call = stream->user;
    int32_t id = stream->id;

    (void)ctx;
    call->told++;
    must(call->told == 1);
    must(pn_h1_write_request_line(&call->heads, request->method, request->target) == PN_OK);
    check_fields(&request->headers, &call->heads);
    must(pn_headers_count(&request->headers, "host") == 1);
    must(pn_headers_count(&request->headers, "cookie") <= 1);
    must(request->path.len > 0 && request->path.ptr[0] == '/');
    must(request->framing != PN_BODY_UNTIL_CLOSE);
    pull(call);
    if (id % 16 == 1)
        must(pn_h2_inform(stream, 103, NULL) == PN_OK);
    if (id % 8 == 1)
        must(pn_h2_respond(stream, 200, NULL, &call->out) == PN_OK);
    else if (id % 8 == 3)
        must(pn_h2_respond(stream, 404, NULL, NULL) == PN_OK);
    else if (id % 8 == 5) {
        call->stream = NULL;
        pn_h2_reset(stream, PN_H2_CANCEL);
    }
}

static void on_refused(void *ctx, struct pn_h2_stream *stream,
                       const struct pn_request_head *request, const struct pn_http_fault *fault)
{
    (void)ctx;
    (void)request;
    must(fault->status >= 400 && fault->status <= 599 && fault->cause);
    must(pn_h2_respond(stream, fault->status, NULL, NULL) == PN_OK);
}

static void on_informational(void *ctx, struct pn_h2_stream *stream,
                             const struct pn_response_head *response)
{
    struct call *call = stream->user;

    (void)ctx;
    must(call->told == 0 && response->status < 200 && response->status != 101);
    check_fields(&response->headers, &call->heads);
}

static void on_response(void *ctx, struct pn_h2_stream *stream,
                        const struct pn_response_head *response)
{
    struct call *call = stream->user;

    (void)ctx;
    call->told++;
    must(call->told == 1);
    must(pn_h1_write_status_line(&call->heads, response->status, response->reason) == PN_OK);
    check_fields(&response->headers, &call->heads);
    pull(call);
}

static void on_data(void *ctx, struct pn_h2_stream *stream)
{
    (void)ctx;
    pull(stream->user);
}

static void on_closed(void *ctx, struct pn_h2_stream *stream, uint32_t code)
{
    struct call *call = stream->user;

    (void)ctx;
    (void)code;
    call->stream = NULL;
}

static const struct pn_h2_events events = {.on_begin = on_begin,
                                           .on_request = on_request,
                                           .on_refused = on_refused,
                                           .on_informational = on_informational,
                                           .on_response = on_response,
                                           .on_data = on_data,
                                           .on_closed = on_closed};

static void ask(struct run *run, const char *method)
{
    struct call *call = add_call(run);
    struct pn_headers none = {0};
    struct pn_h2_request request = {.method = pn_slice_str(method),
                                    .scheme = PN_LIT("https"),
                                    .authority = PN_LIT("a"),
                                    .path = PN_LIT("/"),
                                    .headers = &none,
                                    .body = &call->out,
                                    .arena = call->arena,
                                    .user = call};

    must(pn_h2_request(run->h2, &request, &call->stream) == PN_OK);
}

static void check_frames(struct run *run)
{
    struct pn_slice rest = pn_buf_slice(&run->out);

    if (run->is_client && rest.len >= 24) {
        must(pn_slice_starts_with(rest, PN_LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")));
        rest = pn_slice_sub(rest, 24, rest.len);
    }
    while (rest.len > 0) {
        const unsigned char *head = (const unsigned char *)rest.ptr;
        size_t len = 0;

        must(rest.len >= 9);
        len = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2];
        must(len <= 16384 && len + 9 <= rest.len && head[3] <= 9);
        rest = pn_slice_sub(rest, 9 + len, rest.len);
    }
}

static void flush(struct run *run)
{
    for (int i = 0; i < ROUNDS_MAX && run->out_rc == PN_OK; i++) {
        size_t before = run->out.len;

        run->out_rc = pn_h2_output(run->h2, &run->out, before + 100, 0);
        must(run->out.len <= before + 100);
        must(run->out_rc == PN_OK || run->out_rc == PN_EOF);
        if (run->out.len == before)
            break;
    }
}

static void go(struct run *run, struct pn_slice in, size_t step, bool is_client, bool flushes)
{
    struct pn_h2_config config;

    memset(run, 0, sizeof(*run));
    run->is_client = is_client;
    pn_buf_init(&run->out, OUT_BYTES_MAX);
    run->memory = pn_h2_memory_create();
    must(run->memory != NULL);
    pn_h2_config_init(&config, is_client ? PN_H2_CLIENT : PN_H2_SERVER);
    config.http = (struct pn_http_limits){2048, 16, 256, 256, 4, 64};
    config.streams_max = 16;
    config.head_bytes_hard_max = 65536;
    run->h2 = pn_h2_create(is_client ? PN_H2_CLIENT : PN_H2_SERVER, &config, &events, run,
                           run->memory, 0);
    must(run->h2 != NULL);
    if (is_client) {
        ask(run, "GET");
        ask(run, "HEAD");
        ask(run, "POST");
        flush(run); /* requests must be on their way to be answered */
    }
    while (in.len > 0) {
        size_t len = in.len < step ? in.len : step;
        uint8_t *copy = malloc(len);

        must(copy != NULL);
        memcpy(copy, in.ptr, len);
        run->rc = pn_h2_receive(run->h2, pn_slice(copy, len), 0);
        free(copy);
        if (flushes)
            flush(run);
        in = pn_slice_sub(in, len, in.len);
    }
}

static void end(struct run *run)
{
    flush(run);
    pn_h2_check(run->h2, 1000);
    flush(run);
    if (run->out_rc == PN_EOF || !pn_h2_wants_output(run->h2))
        check_frames(run);
    pn_h2_destroy(run->h2);
    pn_h2_memory_destroy(run->memory);
    for (size_t i = 0; i < run->count; i++) {
        must(run->calls[i].stream == NULL);
        pn_arena_destroy(run->calls[i].arena);
        pn_buf_fini(&run->calls[i].heads);
        pn_buf_fini(&run->calls[i].body);
    }
    pn_buf_fini(&run->out);
}

/* A body that is cut short may have been read up to there, or not. */
static void must_agree(struct run *a, struct run *b)
{
    if (pn_h2_is_shut_down(a->h2))
        return; /* after a GOAWAY of the peer, nghttp2 reads on until it has returned once */
    if (strncmp(pn_h2_failure(a->h2), "Too many", 8) == 0 ||
        strncmp(pn_h2_failure(b->h2), "Too many", 8) == 0)
        return; /* nghttp2's own count of CONTINUATION depends on the pieces */
    must(a->rc == b->rc && a->count == b->count);
    for (size_t i = 0; i < a->count; i++) {
        struct pn_slice body_a = pn_buf_slice(&a->calls[i].body);
        struct pn_slice body_b = pn_buf_slice(&b->calls[i].body);

        must(pn_slice_eq(pn_buf_slice(&a->calls[i].heads), pn_buf_slice(&b->calls[i].heads)) ||
             !a->calls[i].has_ended || !b->calls[i].has_ended);
        if (a->calls[i].has_ended && b->calls[i].has_ended)
            must(pn_slice_eq(body_a, body_b));
        else
            must(pn_slice_starts_with(body_a, body_b) || pn_slice_starts_with(body_b, body_a));
    }
}

/* type, flags, stream, length (one byte each), payload; cut short: the last bytes as they are. */
static void make_frames(struct pn_slice in, struct pn_buf *out)
{
    while (in.len >= 4) {
        const unsigned char *from = (const unsigned char *)in.ptr;
        size_t len = from[3] < in.len - 4 ? from[3] : in.len - 4;
        unsigned char head[9] = {0, 0, (unsigned char)len, from[0] % 12, from[1], 0, 0, 0, from[2]};

        must(pn_buf_append(out, head, sizeof(head)) == PN_OK);
        must(pn_buf_append(out, in.ptr + 4, len) == PN_OK);
        in = pn_slice_sub(in, 4 + len, in.len);
    }
    must(pn_buf_append_slice(out, in) == PN_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct run whole;
    static struct run pieces;
    bool is_client = size > 0 && (data[0] & 1) != 0;
    bool flushes = size > 0 && (data[0] & 4) != 0;
    struct pn_buf in;

    if (size < 1 || size > 40000)
        return 0;
    pn_buf_init(&in, 1u << 20);
    if ((data[0] & 2) != 0) {
        must(pn_buf_append(&in, data + 1, size - 1) == PN_OK);
    } else {
        if (!is_client)
            must(pn_buf_append_str(&in, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == PN_OK);
        must(pn_buf_append(&in, "\0\0\0\4\0\0\0\0\0", 9) == PN_OK);
        make_frames(pn_slice(data + 1, size - 1), &in);
    }
    go(&whole, pn_buf_slice(&in), SIZE_MAX, is_client, flushes);
    go(&pieces, pn_buf_slice(&in), (size_t)(data[0] >> 3) + 1, is_client, flushes);
    if (!flushes)
        must_agree(&whole, &pieces);
    end(&whole);
    end(&pieces);
    pn_buf_fini(&in);
    return 0;
}
