/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole header blocks into heads of requests and answers, and trailers (RFC 9113 §8.1, §8.3). What
 * must not be, and where we are stricter: h2_fields.c.
 */
#include <string.h>

#include "http/h1_internal.h"
#include "http/h2_internal.h"
#include "http/uri.h"

/* RFC 9113 §8.2.3. */
static void join_crumbs(struct h2_head *head)
{
    char *joined = NULL;
    size_t len = 0;

    if (head->crumb_count < 2)
        return;
    joined = pn_arena_alloc(head->stream->arena, head->crumb_bytes + 1);
    if (!joined) {
        pn_h2_head_refuse(head, PN_NOMEM, 500, "out of memory");
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

bool pn_h2_is_authority(struct pn_h2 *h2, struct pn_slice text)
{
    struct pn_slice host;
    uint16_t port = 0;

    if (text.len > 0 && text.len == h2->authority_len &&
        memcmp(text.ptr, h2->authority, text.len) == 0)
        return true;
    if (pn_uri_parse_host(text, &host, &port, NULL) != PN_OK)
        return false;
    if (text.len > 0 && text.len <= sizeof(h2->authority)) {
        memcpy(h2->authority, text.ptr, text.len);
        h2->authority_len = text.len;
    }
    return true;
}

static void check_scheme_and_host(struct pn_h2 *h2)
{
    struct h2_head *head = &h2->head;

    if (!pn_slice_case_eq_str(head->scheme, "http") && !pn_slice_case_eq_str(head->scheme, "https"))
        pn_h2_head_malformed(head, ":scheme is missing, or neither http nor https");
    else if (!head->authority.ptr)
        pn_h2_head_malformed(head, "both :authority and host are missing");
    else if (!pn_h2_is_authority(h2, head->authority))
        pn_h2_head_malformed(head, ":authority is not a host name with optional port");
    else if (head->headers.count > 0 && head->headers.items[0].kind == PN_HEADER_HOST)
        head->headers.items[0].is_sound = true; /* see pn_h2_head_begin_regular() */
}

static void read_path(struct h2_head *head, struct pn_request_head *request)
{
    struct pn_slice target = head->path;
    size_t question = 0;

    if (target.len == 0) {
        pn_h2_head_malformed(head, ":path is missing or empty");
        return;
    }
    if (!pn_h1_are_target_bytes(target)) {
        pn_h2_head_malformed(head, ":path has a byte that must be percent-encoded");
        return;
    }
    if (pn_slice_eq_str(target, "*") && pn_slice_eq_str(head->method, "OPTIONS")) {
        request->form = PN_ASTERISK_FORM;
        request->path = PN_LIT("/");
        return;
    }
    if (target.ptr[0] != '/') {
        pn_h2_head_malformed(head, ":path does not begin with a slash");
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
        pn_h2_head_malformed(head, "content-length is not a plain decimal number");
        return;
    }
    request->framing = PN_BODY_LENGTH;
    if (is_end_stream && request->content_length > 0)
        pn_h2_head_malformed(head, "content-length is there, but no body");
}

static void read_method(struct h2_head *head)
{
    bool is_connect = pn_slice_eq_str(head->method, "CONNECT");

    if (!pn_header_name_is_valid(head->method))
        pn_h2_head_malformed(head, ":method is missing, or no token");
    else if (head->method.len > PN_METHOD_BYTES_MAX)
        pn_h2_head_refuse(head, PN_LIMIT, 501,
                          "the request method is longer than PN_METHOD_BYTES_MAX");
    else if (head->protocol.ptr && (!is_connect || !pn_header_name_is_valid(head->protocol)))
        pn_h2_head_malformed(head, ":protocol is no token, or does not go with CONNECT");
    else if (is_connect && !head->protocol.ptr) /* RFC 9113 §8.5: a proxy's tunnel */
        pn_h2_head_refuse(head, PN_UNSUPPORTED, 501, "CONNECT without :protocol is not served");
}

static void end_request(struct pn_h2 *h2, bool is_end_stream)
{
    struct h2_head *head = &h2->head;
    struct h2_stream *stream = head->stream;
    struct pn_request_head *request = pn_arena_zalloc(stream->arena, sizeof(*request));

    pn_h2_head_begin_regular(head);
    if (!request) { /* not even an answer can be made of it */
        pn_h2_stream_fail(stream, PN_H2_INTERNAL_ERROR, PN_NOMEM, 500, "out of memory");
        return;
    }
    read_method(head);
    if (!head->fault.cause)
        check_scheme_and_host(h2);
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
        pn_h2_head_malformed(head, ":status is not a number from 100 to 599");
    else if (status == 101) /* RFC 9113 §8.6 */
        pn_h2_head_malformed(head, ":status is 101, which HTTP/2 does not have");
    else if (status < 200 && is_end_stream)
        pn_h2_head_malformed(head, "an informational answer ends the stream");
    response->status = (int)status;
}

static void read_response_framing(struct h2_head *head, struct h2_stream *stream,
                                  struct pn_response_head *response, bool is_end_stream)
{
    stream->has_no_body =
        stream->is_head_request || response->status == 204 || response->status == 304;
    if (head->length.ptr && !pn_slice_to_u64(head->length, INT64_MAX, &response->content_length)) {
        pn_h2_head_malformed(head, "content-length is not a plain decimal number");
        return;
    }
    if (stream->has_no_body || (is_end_stream && !head->length.ptr)) {
        response->framing = PN_BODY_NONE;
        return;
    }
    response->framing = head->length.ptr ? PN_BODY_LENGTH : PN_BODY_STREAMED;
    if (is_end_stream && response->content_length > 0)
        pn_h2_head_malformed(head, "content-length is there, but no body");
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
        pn_h2_head_malformed(head, "trailers do not end the stream");
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
