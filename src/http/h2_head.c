/* SPDX-License-Identifier: Apache-2.0
 *
 * Header blocks into heads (RFC 9113 §8). nghttp2 is told to check nothing of this: it would drop
 * or reset without a reason, and what passes here must pass the rules of HTTP/1.1 too, because it
 * may be written as that. Stricter than the RFC asks, as in http/h1.h: a repeated Content-Length or
 * Host, an authority that differs from Host, "te" with more than "trailers".
 *
 * A field that breaks a rule makes the head bad, not the connection: the rest of the block is
 * decoded (HPACK has a state) and dropped. Only above head_bytes_hard_max that is no longer done.
 */
#include <string.h>

#include "base/limits.h"
#include "http/h1_internal.h"
#include "http/h2_internal.h"
#include "http/uri.h"

enum { FIELD_OVERHEAD = 32 }; /* RFC 9113 §6.5.2 */

static void refuse(struct h2_head *head, enum pn_rc rc, int status, const char *cause)
{
    if (head->fault.cause)
        return;
    head->rc = rc;
    head->fault = (struct pn_http_fault){status, cause};
}

static void over(struct h2_head *head, enum pn_limit limit, int status, const char *cause)
{
    pn_limit_hit(limit);
    refuse(head, PN_LIMIT, status, cause);
}

static void malformed(struct h2_head *head, const char *cause)
{
    refuse(head, PN_MALFORMED, 400, cause);
}

void pn_h2_head_begin(struct pn_h2 *h2, struct h2_stream *stream, bool is_trailer)
{
    struct h2_head *head = &h2->head;

    memset(head, 0, sizeof(*head));
    head->stream = stream;
    head->is_trailer = is_trailer;
    if (!stream)
        return;
    pn_headers_init(&head->headers, stream->arena);
    pn_headers_init(&head->crumbs, stream->arena);
}

static struct pn_slice slice_of(nghttp2_rcbuf *rcbuf)
{
    nghttp2_vec vec = nghttp2_rcbuf_get_buf(rcbuf);

    return pn_slice(vec.base, vec.len);
}

/* nghttp2's static table lives for ever; all else is copied into the arena of the head. */
static struct pn_slice keep(struct h2_head *head, nghttp2_rcbuf *rcbuf)
{
    struct pn_slice text = slice_of(rcbuf);
    struct pn_slice copy = {"", 0};

    if (text.len == 0)
        return copy;
    if (nghttp2_rcbuf_is_static(rcbuf))
        return text;
    copy = pn_arena_dup(head->stream->arena, text);
    if (!copy.ptr)
        refuse(head, PN_NOMEM, 500, "out of memory");
    return copy;
}

/* ---- fields ---- */

static void on_pseudo(struct pn_h2 *h2, struct pn_slice name, nghttp2_rcbuf *value)
{
    struct h2_head *head = &h2->head;
    struct pn_slice *place = NULL;

    if (head->is_trailer) {
        malformed(head, "a trailer begins with a colon");
        return;
    }
    if (head->has_regular) {
        malformed(head, "a pseudo-header comes after other headers");
        return;
    }
    if (h2->is_server) {
        if (pn_slice_eq_str(name, ":method"))
            place = &head->method;
        else if (pn_slice_eq_str(name, ":path"))
            place = &head->path;
        else if (pn_slice_eq_str(name, ":scheme"))
            place = &head->scheme;
        else if (pn_slice_eq_str(name, ":authority"))
            place = &head->authority;
        else if (pn_slice_eq_str(name, ":protocol") && h2->config.allows_connect)
            place = &head->protocol;
    } else if (pn_slice_eq_str(name, ":status")) {
        place = &head->status;
    }
    if (!place) {
        malformed(head, "a pseudo-header is unknown here");
        return;
    }
    if (place->ptr) {
        malformed(head, "a pseudo-header is repeated");
        return;
    }
    if (place == &head->path && slice_of(value).len > h2->config.http.target_bytes_max) {
        over(head, PN_LIMIT_TARGET_BYTES, 414,
             "the request target is longer than the limit target-bytes");
        return;
    }
    *place = keep(head, value);
}

static bool is_name(struct pn_slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];

        if (!pn_h1_is_tchar(c) || (c >= 'A' && c <= 'Z'))
            return false;
    }
    return name.len > 0;
}

/* RFC 9113 §8.2.2. */
static bool is_of_connection(struct pn_slice name)
{
    switch (name.len) {
    case 7:
        return pn_slice_eq_str(name, "upgrade");
    case 10:
        return pn_slice_eq_str(name, "connection") || pn_slice_eq_str(name, "keep-alive");
    case 16:
        return pn_slice_eq_str(name, "proxy-connection");
    case 17:
        return pn_slice_eq_str(name, "transfer-encoding");
    default:
        return false;
    }
}

static void add(struct h2_head *head, struct pn_slice name, struct pn_slice value)
{
    if (pn_headers_add(&head->headers, name, value) != PN_OK)
        refuse(head, PN_NOMEM, 500, "out of memory");
}

/* Host is made of :authority, in front of the fields, as HTTP/1.1 has it. */
static void begin_regular(struct h2_head *head)
{
    if (head->has_regular)
        return;
    head->has_regular = true;
    if (head->authority.len > 0) {
        add(head, PN_LIT("host"), head->authority);
        head->has_host = true;
    }
}

static void on_host(struct h2_head *head, struct pn_slice value)
{
    if (!head->has_host) {
        head->has_host = true;
        head->authority = value;
        add(head, PN_LIT("host"), value);
    } else if (!head->is_trailer && !pn_slice_case_eq(head->authority, value)) {
        malformed(head, "host differs from :authority, or is repeated");
    }
}

static void on_length(struct h2_head *head, struct pn_slice value)
{
    if (head->length.ptr) {
        malformed(head, "content-length is repeated");
        return;
    }
    head->length = value;
    add(head, PN_LIT("content-length"), value);
}

static void on_crumb(struct h2_head *head, struct pn_slice value)
{
    head->crumb_count++;
    if (head->crumb_count == 1)
        add(head, PN_LIT("cookie"), value); /* its value is put together at the end */
    if (value.len == 0)                     /* at the end it would leave a space there */
        return;
    head->crumb_bytes += value.len + 2;
    if (pn_headers_add(&head->crumbs, PN_LIT("cookie"), value) != PN_OK)
        refuse(head, PN_NOMEM, 500, "out of memory");
}

static void on_regular(struct pn_h2 *h2, nghttp2_rcbuf *name_buf, nghttp2_rcbuf *value_buf)
{
    struct h2_head *head = &h2->head;
    struct pn_slice name = slice_of(name_buf);
    struct pn_slice value = slice_of(value_buf);

    if (!nghttp2_rcbuf_is_static(name_buf) && !is_name(name)) {
        malformed(head, "a header name is no token in lower case");
        return;
    }
    if (!nghttp2_rcbuf_is_static(value_buf) && !pn_header_value_is_valid(value)) {
        malformed(head, "a header value has a control character, or begins or ends with a space");
        return;
    }
    if (is_of_connection(name) ||
        (pn_slice_eq_str(name, "te") && !pn_slice_case_eq_str(value, "trailers"))) {
        malformed(head, "a header of the connection, which HTTP/2 does not have");
        return;
    }
    if (!head->is_trailer)
        begin_regular(head);
    else if (!pn_http_is_trailer_allowed(name))
        return;
    value = keep(head, value_buf);
    if (h2->is_server && pn_slice_eq_str(name, "host"))
        on_host(head, value);
    else if (pn_slice_eq_str(name, "content-length"))
        on_length(head, value);
    else if (h2->is_server && pn_slice_eq_str(name, "cookie"))
        on_crumb(head, value);
    else
        add(head, keep(head, name_buf), value);
}

void pn_h2_head_field(struct pn_h2 *h2, nghttp2_rcbuf *name, nghttp2_rcbuf *value)
{
    struct h2_head *head = &h2->head;
    const struct pn_http_limits *limits = &h2->config.http;
    struct pn_slice text = slice_of(name);

    head->bytes += text.len + slice_of(value).len + FIELD_OVERHEAD;
    head->count++;
    if (head->bytes > h2->config.head_bytes_hard_max) {
        pn_limit_hit(PN_LIMIT_H2_HEAD_BYTES);
        pn_h2_fail(h2, PN_LIMIT, PN_H2_ENHANCE_YOUR_CALM,
                   "a head is longer than the limit h2-head-bytes");
        return;
    }
    if (!head->stream || head->fault.cause)
        return;
    if (head->is_trailer && head->bytes > limits->trailer_bytes_max)
        over(head, PN_LIMIT_TRAILER_BYTES, 431,
             "trailer fields are longer than the limit trailer-bytes");
    else if (head->is_trailer && head->count > limits->trailer_count_max)
        over(head, PN_LIMIT_TRAILER_COUNT, 431, "more trailer fields than the limit trailer-count");
    else if (head->bytes > limits->header_bytes_max)
        over(head, PN_LIMIT_HEADER_BYTES, 431, "the head is longer than the limit header-bytes");
    else if (head->count > limits->header_count_max)
        over(head, PN_LIMIT_HEADER_COUNT, 431, "more header fields than the limit header-count");
    else if (text.len > 0 && text.ptr[0] == ':')
        on_pseudo(h2, text, value);
    else
        on_regular(h2, name, value);
}

/* ---- whole heads ---- */

/* RFC 9113 §8.2.3. */
static void join_crumbs(struct h2_head *head)
{
    char *joined = NULL;
    size_t len = 0;

    if (head->crumb_count < 2)
        return;
    joined = pn_arena_alloc(head->stream->arena, head->crumb_bytes + 1);
    if (!joined) {
        refuse(head, PN_NOMEM, 500, "out of memory");
        return;
    }
    for (size_t i = 0; i < head->crumbs.count; i++) {
        struct pn_slice crumb = head->crumbs.items[i].value;

        if (i > 0) {
            memcpy(joined + len, "; ", 2);
            len += 2;
        }
        memcpy(joined + len, crumb.ptr, crumb.len);
        len += crumb.len;
    }
    for (size_t i = 0; i < head->headers.count; i++) {
        if (pn_slice_eq_str(head->headers.items[i].name, "cookie"))
            head->headers.items[i].value = pn_slice(joined, len);
    }
}

static void check_scheme_and_host(struct h2_head *head)
{
    struct pn_slice host;
    uint16_t port = 0;

    if (!pn_slice_case_eq_str(head->scheme, "http") && !pn_slice_case_eq_str(head->scheme, "https"))
        malformed(head, ":scheme is missing, or neither http nor https");
    else if (!head->authority.ptr)
        malformed(head, "both :authority and host are missing");
    else if (pn_uri_parse_host(head->authority, &host, &port, NULL) != PN_OK)
        malformed(head, ":authority is not a host name with optional port");
}

static void read_path(struct h2_head *head, struct pn_request_head *request)
{
    struct pn_slice target = head->path;
    size_t question = 0;

    if (target.len == 0) {
        malformed(head, ":path is missing or empty");
        return;
    }
    for (size_t i = 0; i < target.len; i++) {
        if (!pn_h1_is_target_byte((unsigned char)target.ptr[i])) {
            malformed(head, ":path has a byte that must be percent-encoded");
            return;
        }
    }
    if (pn_slice_eq_str(target, "*") && pn_slice_eq_str(head->method, "OPTIONS")) {
        request->form = PN_ASTERISK_FORM;
        request->path = PN_LIT("/");
        return;
    }
    if (target.ptr[0] != '/') {
        malformed(head, ":path does not begin with a slash");
        return;
    }
    question = pn_slice_find(target, '?');
    request->form = PN_ORIGIN_FORM;
    request->path = pn_slice(target.ptr, question);
    request->has_query = question < target.len;
    request->query = request->has_query ? pn_slice_sub(target, question + 1, target.len)
                                        : pn_slice(target.ptr + target.len, 0);
}

static void read_request_framing(struct h2_head *head, struct pn_request_head *request,
                                 bool is_end_stream)
{
    request->framing = is_end_stream ? PN_BODY_NONE : PN_BODY_STREAMED;
    if (!head->length.ptr)
        return;
    if (!pn_slice_to_u64(head->length, INT64_MAX, &request->content_length)) {
        malformed(head, "content-length is not a plain decimal number");
        return;
    }
    request->framing = PN_BODY_LENGTH;
    if (is_end_stream && request->content_length > 0)
        malformed(head, "content-length is there, but no body");
}

static void read_method(struct h2_head *head)
{
    bool is_connect = pn_slice_eq_str(head->method, "CONNECT");

    if (!pn_header_name_is_valid(head->method))
        malformed(head, ":method is missing, or no token");
    else if (head->method.len > PN_METHOD_BYTES_MAX)
        refuse(head, PN_LIMIT, 501, "the request method is longer than PN_METHOD_BYTES_MAX");
    else if (head->protocol.ptr && (!is_connect || !pn_header_name_is_valid(head->protocol)))
        malformed(head, ":protocol is no token, or does not go with CONNECT");
    else if (is_connect && !head->protocol.ptr) /* RFC 9113 §8.5: a proxy's tunnel */
        refuse(head, PN_UNSUPPORTED, 501, "CONNECT without :protocol is not served");
}

static void end_request(struct pn_h2 *h2, bool is_end_stream)
{
    struct h2_head *head = &h2->head;
    struct h2_stream *stream = head->stream;
    struct pn_request_head *request = pn_arena_zalloc(stream->arena, sizeof(*request));

    begin_regular(head);
    if (!request) { /* not even an answer can be made of it */
        pn_h2_stream_fail(stream, PN_H2_INTERNAL_ERROR, PN_NOMEM, 500, "out of memory");
        return;
    }
    read_method(head);
    if (!head->fault.cause)
        check_scheme_and_host(head);
    request->method = head->method;
    request->target = head->path;
    request->host = head->authority;
    request->minor_version = 1;
    request->keep_alive = true;
    if (!head->fault.cause)
        read_path(head, request);
    if (!head->fault.cause)
        read_request_framing(head, request, is_end_stream);
    if (!head->fault.cause)
        join_crumbs(head);
    request->headers = head->headers;
    if (!head->fault.cause) {
        enum pn_rc rc = pn_http_read_expect(request, &head->fault);

        if (rc != PN_OK)
            head->rc = rc;
    }
    stream->has_final_head = true;
    stream->head.request = request;
    if (head->fault.cause) {
        stream->is_refused = true;
        stream->is_bad = head->rc == PN_MALFORMED;
        stream->pub.in.failure = head->rc;
        stream->pub.in.fault = head->fault;
        pn_h2_stream_tell(stream, H2_TELL_REFUSED);
        return;
    }
    stream->pub.protocol = head->protocol;
    stream->has_length = request->framing == PN_BODY_LENGTH;
    stream->expected_bytes = request->content_length;
    pn_h2_stream_tell(stream, H2_TELL_HEAD);
}

static void read_status(struct h2_head *head, struct pn_response_head *response, bool is_end_stream)
{
    uint64_t status = 0;

    if (head->status.len != 3 || !pn_slice_to_u64(head->status, 599, &status) || status < 100)
        malformed(head, ":status is not a number from 100 to 599");
    else if (status == 101) /* RFC 9113 §8.6 */
        malformed(head, ":status is 101, which HTTP/2 does not have");
    else if (status < 200 && is_end_stream)
        malformed(head, "an informational answer ends the stream");
    response->status = (int)status;
}

static void read_response_framing(struct h2_head *head, struct h2_stream *stream,
                                  struct pn_response_head *response, bool is_end_stream)
{
    stream->has_no_body =
        stream->is_head_request || response->status == 204 || response->status == 304;
    if (head->length.ptr && !pn_slice_to_u64(head->length, INT64_MAX, &response->content_length)) {
        malformed(head, "content-length is not a plain decimal number");
        return;
    }
    if (stream->has_no_body || (is_end_stream && !head->length.ptr)) {
        response->framing = PN_BODY_NONE;
        return;
    }
    response->framing = head->length.ptr ? PN_BODY_LENGTH : PN_BODY_STREAMED;
    if (is_end_stream && response->content_length > 0)
        malformed(head, "content-length is there, but no body");
}

static void end_response(struct pn_h2 *h2, bool is_end_stream)
{
    struct h2_head *head = &h2->head;
    struct h2_stream *stream = head->stream;
    struct h2_inform *inform = pn_arena_zalloc(stream->arena, sizeof(*inform));
    struct h2_inform **last = &stream->informs;
    struct pn_response_head *response = inform ? &inform->head : NULL;

    if (!response) {
        pn_h2_stream_fail(stream, PN_H2_INTERNAL_ERROR, PN_NOMEM, 502, "out of memory");
        return;
    }
    response->minor_version = 1;
    response->keep_alive = true;
    response->reason = pn_slice("", 0);
    response->headers = head->headers;
    if (!head->fault.cause)
        read_status(head, response, is_end_stream);
    if (!head->fault.cause && response->status >= 200)
        read_response_framing(head, stream, response, is_end_stream);
    if (head->fault.cause) {
        pn_h2_stream_fail(stream,
                          head->rc == PN_LIMIT ? PN_H2_ENHANCE_YOUR_CALM : PN_H2_PROTOCOL_ERROR,
                          head->rc, 502, head->fault.cause);
        return;
    }
    if (response->status < 200) {
        while (*last)
            last = &(*last)->next;
        *last = inform;
        pn_h2_stream_tell(stream, H2_TELL_INFORMATIONAL);
        return;
    }
    stream->has_final_head = true;
    stream->has_length = response->framing == PN_BODY_LENGTH;
    stream->expected_bytes = response->content_length;
    stream->head.response = response;
    pn_h2_stream_tell(stream, H2_TELL_HEAD);
}

static void end_trailers(struct pn_h2 *h2, bool is_end_stream)
{
    struct h2_head *head = &h2->head;

    if (!head->fault.cause && !is_end_stream) /* RFC 9113 §8.1 */
        malformed(head, "trailers do not end the stream");
    if (head->fault.cause) {
        pn_h2_stream_fail(head->stream, PN_H2_PROTOCOL_ERROR, head->rc,
                          h2->is_server ? head->fault.status : 502, head->fault.cause);
        return;
    }
    head->stream->trailers = head->headers;
}

void pn_h2_head_end(struct pn_h2 *h2, bool is_end_stream)
{
    struct h2_stream *stream = h2->head.stream;

    if (!stream || stream->is_detached)
        return;
    if (h2->head.is_trailer) {
        if (!stream->is_refused)
            end_trailers(h2, is_end_stream);
    } else if (h2->is_server) {
        end_request(h2, is_end_stream);
    } else {
        end_response(h2, is_end_stream);
    }
    h2->head.stream = NULL;
}
