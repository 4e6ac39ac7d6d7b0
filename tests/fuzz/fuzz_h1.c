/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzzes the HTTP/1.1 engine. First byte: bit 0 response, bit 1 the request was HEAD; the rest of
 * it the size of the pieces. Checked: a message read in pieces is the same message, with the same
 * verdict, as when it is read at once; what was accepted is written again without complaint; and a
 * request that is written as it goes to a backend is one request to who reads it there, with the
 * same body, and what comes behind it is the next one.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/h1_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
    enum pn_rc head_rc;
    enum pn_rc body_rc;
    size_t head_bytes;
    size_t left;
    struct pn_buf body;
    struct pn_headers headers;
    struct pn_headers trailers;
    struct pn_slice connection;
    struct pn_slice method, target;
    enum pn_framing framing;
};

static const struct pn_http_limits limits = {2048, 16, 256, 256, 4, 64};

static void must(bool holds)
{
    if (!holds)
        abort();
}

static enum pn_rc read_head(struct pn_slice in, size_t step, enum pn_h1_side side, bool is_head,
                            struct pn_arena *arena, struct result *result, enum pn_framing *framing,
                            uint64_t *length)
{
    struct pn_h1_scan scan = {0};
    struct pn_http_fault fault = {0, NULL};
    struct pn_request_head request;
    struct pn_response_head response;
    enum pn_rc rc = PN_AGAIN;
    size_t arrived = 0;

    while (rc == PN_AGAIN && arrived < in.len) {
        arrived = in.len - arrived > step ? arrived + step : in.len;
        rc = pn_h1_scan(&scan, side, pn_slice(in.ptr, arrived), &limits, &result->head_bytes,
                        &fault);
    }
    if (rc != PN_OK)
        return rc;
    must(result->head_bytes <= arrived && result->head_bytes <= limits.header_bytes_max);
    in.len = result->head_bytes;
    if (side == PN_H1_REQUEST) {
        pn_headers_init(&request.headers, arena);
        rc = pn_h1_request_parse(in, &limits, &request, &fault);
        result->headers = request.headers;
        result->connection = request.connection;
        result->method = request.method;
        result->target = request.target;
        *framing = request.framing;
        *length = request.content_length;
        must(rc != PN_OK || (request.method.len > 0 && request.path.ptr[0] == '/' &&
                             request.framing != PN_BODY_UNTIL_CLOSE));
    } else {
        pn_headers_init(&response.headers, arena);
        rc = pn_h1_response_parse(in, &limits, is_head ? PN_LIT("HEAD") : PN_LIT("GET"), &response,
                                  &fault);
        result->headers = response.headers;
        result->connection = response.connection;
        *framing = response.framing;
        *length = response.content_length;
    }
    must(rc == PN_OK || (fault.status >= 400 && fault.status < 600 && fault.cause));
    return rc;
}

static enum pn_rc read_body(struct pn_slice in, size_t step, enum pn_h1_side side,
                            enum pn_framing framing, uint64_t length, struct result *result)
{
    struct pn_http_fault fault = {0, NULL};
    struct pn_h1_body body;
    size_t done = 0;
    size_t arrived = 0;

    pn_h1_body_init(&body, side, framing, length, &limits, &result->trailers);
    body.connection = result->connection;
    for (;;) {
        struct pn_slice part;
        size_t used = 0;
        enum pn_rc rc =
            pn_h1_body_next(&body, pn_slice(in.ptr + done, arrived - done), &part, &used, &fault);

        must(used <= arrived - done);
        if (rc == PN_OK)
            must(part.len > 0 && pn_buf_append_slice(&result->body, part) == PN_OK);
        done += used;
        result->left = in.len - done;
        if (rc == PN_OK)
            continue;
        if (rc != PN_AGAIN)
            return rc;
        must(arrived - done <= limits.trailer_bytes_max);
        if (arrived == in.len)
            return pn_h1_body_close(&body, &fault);
        arrived = in.len - arrived > step ? arrived + step : in.len;
    }
}

static void read_all(struct pn_slice in, size_t step, enum pn_h1_side side, bool is_head,
                     struct pn_arena *arena, struct result *result)
{
    enum pn_framing framing = PN_BODY_NONE;
    uint64_t length = 0;

    pn_buf_init(&result->body, 1u << 20);
    pn_headers_init(&result->trailers, arena);
    result->head_rc = read_head(in, step, side, is_head, arena, result, &framing, &length);
    result->framing = framing;
    if (result->head_rc == PN_OK)
        result->body_rc =
            read_body(pn_slice(in.ptr + result->head_bytes, in.len - result->head_bytes), step,
                      side, framing, length, result);
}

static void must_be_same(const struct pn_headers *a, const struct pn_headers *b)
{
    must(a->count == b->count);
    for (size_t i = 0; i < a->count; i++)
        must(pn_slice_eq(a->items[i].name, b->items[i].name) &&
             pn_slice_eq(a->items[i].value, b->items[i].value));
}

static enum pn_rc write_body(struct pn_buf *out, const struct result *request)
{
    enum pn_rc rc = PN_OK;

    if (request->framing == PN_BODY_STREAMED && request->body.len > 0) {
        rc = pn_h1_write_chunk_head(out, request->body.len);
        if (rc == PN_OK)
            rc = pn_buf_append_slice(out, pn_buf_slice(&request->body));
        if (rc == PN_OK)
            rc = pn_buf_append_slice(out, PN_H1_CHUNK_END);
    } else {
        rc = pn_buf_append_slice(out, pn_buf_slice(&request->body));
    }
    if (rc == PN_OK && request->framing == PN_BODY_STREAMED)
        rc = pn_h1_write_last_chunk(out, &request->trailers);
    return rc;
}

/* As upstream/exchange_h1.c does. */
static enum pn_rc write_request(struct pn_buf *out, const struct result *request)
{
    enum pn_rc rc = pn_h1_write_request_line(out, request->method, request->target);

    for (size_t i = 0; rc == PN_OK && i < request->headers.count; i++) {
        const struct pn_header *field = &request->headers.items[i];

        if (!pn_slice_case_eq_str(field->name, "Content-Length"))
            rc = pn_h1_write_field(out, field->name, field->value);
    }
    if (rc == PN_OK && request->framing == PN_BODY_STREAMED)
        rc = pn_h1_write_field(out, PN_LIT("Transfer-Encoding"), PN_LIT("chunked"));
    if (rc == PN_OK && request->framing == PN_BODY_LENGTH)
        rc = pn_h1_write_content_length(out, request->body.len);
    if (rc == PN_OK && request->headers.count == 0) /* HTTP/1.0 may do without a host */
        rc = pn_h1_write_field(out, PN_LIT("Host"), PN_LIT("h"));
    if (rc == PN_OK)
        rc = pn_h1_write_end(out);
    return rc == PN_OK ? write_body(out, request) : rc;
}

/* `request`: its hop-by-hop fields are gone. */
static void must_be_one_request(const struct result *request, struct pn_arena *arena)
{
    static const char next[] = "GET /next HTTP/1.1\r\nHost: n\r\n\r\n";
    struct result again = {0};
    struct pn_buf out;

    pn_buf_init(&out, 1u << 21);
    must(write_request(&out, request) == PN_OK);
    /* The writer puts spaces behind colons, which may lead over a limit. */
    if (pn_headers_has(&request->headers, "Host") && request->trailers.count == 0 &&
        out.len - request->body.len < limits.header_bytes_max) {
        must(pn_buf_append(&out, next, sizeof(next) - 1) == PN_OK);
        read_all(pn_buf_slice(&out), SIZE_MAX, PN_H1_REQUEST, false, arena, &again);
        must(again.head_rc == PN_OK && again.body_rc == PN_EOF && again.left == sizeof(next) - 1);
        must(pn_slice_eq(again.method, request->method));
        must(pn_slice_eq(again.target, request->target));
        must(pn_slice_eq(pn_buf_slice(&again.body), pn_buf_slice(&request->body)));
        pn_buf_fini(&again.body);
    }
    pn_buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pn_arena *arena = NULL;
    struct result whole = {0};
    struct result pieces = {0};
    struct pn_buf out;
    struct pn_slice in;
    enum pn_h1_side side;

    if (size < 1)
        return 0;
    arena = pn_arena_create(4096, 1u << 20);
    must(arena != NULL);
    in = pn_slice(data + 1, size - 1);
    side = (data[0] & 1) != 0 ? PN_H1_RESPONSE : PN_H1_REQUEST;
    read_all(in, SIZE_MAX, side, (data[0] & 2) != 0, arena, &whole);
    read_all(in, (size_t)(data[0] >> 2) + 1, side, (data[0] & 2) != 0, arena, &pieces);
    must(whole.head_rc == pieces.head_rc);
    if (whole.head_rc == PN_OK) {
        must(whole.head_bytes == pieces.head_bytes && whole.body_rc == pieces.body_rc);
        must(pn_slice_eq(pn_buf_slice(&whole.body), pn_buf_slice(&pieces.body)));
        must(whole.body_rc != PN_EOF || whole.left == pieces.left);
        must_be_same(&whole.headers, &pieces.headers);
        must_be_same(&whole.trailers, &pieces.trailers);
        pn_buf_init(&out, 1u << 20);
        must(pn_h1_write_fields(&out, &whole.headers) == PN_OK);
        pn_http_strip_hop_by_hop(&whole.headers);
        must(!pn_headers_has(&whole.headers, "Connection"));
        must(!pn_headers_has(&whole.headers, "Transfer-Encoding"));
        for (size_t i = 0; i < whole.headers.count; i++)
            must(pn_header_kind_of(whole.headers.items[i].name) != PN_HEADER_LOOKALIKE);
        for (size_t i = 0; i < whole.trailers.count; i++)
            must(!pn_http_is_listed(whole.connection, whole.trailers.items[i].name));
        if (side == PN_H1_REQUEST && whole.body_rc == PN_EOF)
            must_be_one_request(&whole, arena);
        pn_buf_fini(&out);
    }
    pn_buf_fini(&whole.body);
    pn_buf_fini(&pieces.body);
    pn_arena_destroy(arena);
    return 0;
}
