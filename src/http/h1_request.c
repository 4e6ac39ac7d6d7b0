/* SPDX-License-Identifier: Apache-2.0
 *
 * Request heads (RFC 9112 §3).
 */
#include <string.h>

#include "http/h1_internal.h"
#include "http/uri.h"

/* "/path?query" into its parts. */
static void split_path(struct pn_request_head *request, struct pn_slice text)
{
    size_t question = pn_slice_find(text, '?');

    request->path = pn_slice(text.ptr, question);
    request->has_query = question < text.len;
    request->query = request->has_query ? pn_slice_sub(text, question + 1, text.len)
                                        : pn_slice(text.ptr + text.len, 0);
}

static enum pn_rc read_absolute(struct pn_request_head *request, struct pn_http_fault *fault)
{
    struct pn_uri uri;
    enum pn_rc rc = pn_uri_parse(request->target, &uri, NULL);

    if (rc != PN_OK)
        return pn_h1_refuse(fault, PN_MALFORMED, 400,
                            "the request target is neither a path nor an absolute http URI");
    if (!pn_slice_case_eq_str(uri.scheme, "http") && !pn_slice_case_eq_str(uri.scheme, "https"))
        return pn_h1_refuse(fault, PN_MALFORMED, 400,
                            "the scheme of the request target is neither http nor https");
    request->form = PN_ABSOLUTE_FORM;
    request->host = uri.authority;
    request->path = uri.path.len > 0 ? uri.path : PN_LIT("/");
    request->has_query = uri.has_query;
    request->query = uri.query;
    return PN_OK;
}

/* RFC 9112 §3.2: four forms. */
static enum pn_rc read_target(struct pn_request_head *request, struct pn_http_fault *fault)
{
    struct pn_slice target = request->target;
    struct pn_slice host;
    uint16_t port = 0;

    if (!pn_h1_are_target_bytes(target))
        return pn_h1_refuse(fault, PN_MALFORMED, 400,
                            "the request target has a byte that must be percent-encoded");
    if (pn_slice_eq_str(request->method, "CONNECT")) {
        if (pn_uri_parse_host(target, &host, &port, NULL) != PN_OK || port == 0)
            return pn_h1_refuse(fault, PN_MALFORMED, 400, "the target of CONNECT is not host:port");
        request->form = PN_AUTHORITY_FORM;
        request->host = target;
        request->path = PN_LIT("/");
        return PN_OK;
    }
    if (target.ptr[0] == '/') {
        request->form = PN_ORIGIN_FORM;
        split_path(request, target);
        return PN_OK;
    }
    if (pn_slice_eq_str(target, "*")) {
        if (!pn_slice_eq_str(request->method, "OPTIONS"))
            return pn_h1_refuse(fault, PN_MALFORMED, 400,
                                "the request target * goes with OPTIONS only");
        request->form = PN_ASTERISK_FORM;
        request->path = PN_LIT("/");
        return PN_OK;
    }
    return read_absolute(request, fault);
}

static enum pn_rc read_request_line(struct pn_slice line, const struct pn_http_limits *limits,
                                    struct pn_request_head *request, struct pn_http_fault *fault)
{
    size_t space = pn_slice_find(line, ' ');
    struct pn_slice version;
    enum pn_rc rc = PN_OK;

    request->method = pn_slice(line.ptr, space);
    if (!pn_header_name_is_valid(request->method))
        return pn_h1_refuse(fault, PN_MALFORMED, 400, "the request method is not a token");
    if (request->method.len > PN_METHOD_BYTES_MAX)
        return pn_h1_refuse(fault, PN_LIMIT, 501,
                            "the request method is longer than PN_METHOD_BYTES_MAX");
    line = pn_slice_sub(line, space + 1, line.len);
    space = pn_slice_find(line, ' ');
    request->target = pn_slice(line.ptr, space);
    if (space == line.len || space == 0)
        return pn_h1_refuse(
            fault, PN_MALFORMED, 400,
            "the request line is not: method, one space, target, one space, version");
    if (request->target.len > limits->target_bytes_max)
        return pn_h1_refuse(fault, PN_LIMIT, 414,
                            "the request target is longer than the limit target-bytes");
    version = pn_slice_sub(line, space + 1, line.len);
    rc = pn_h1_read_version(version, &request->minor_version);
    if (rc == PN_UNSUPPORTED)
        return pn_h1_refuse(fault, rc, 505, "only HTTP versions 1.0 and 1.1 are spoken here");
    if (rc != PN_OK)
        return pn_h1_refuse(fault, rc, 400, "the request line does not end with HTTP/1.1");
    return read_target(request, fault);
}

/* RFC 9112 §3.2: exactly one Host in HTTP/1.1; an absolute target overrides it (§3.2.2). */
static enum pn_rc read_host(struct pn_request_head *request, struct pn_http_fault *fault)
{
    struct pn_slice value = {NULL, 0};
    struct pn_slice host;
    uint16_t port = 0;

    for (size_t i = 0; i < request->headers.count; i++) {
        if (request->headers.items[i].kind != PN_HEADER_HOST)
            continue;
        if (value.ptr)
            return pn_h1_refuse(fault, PN_MALFORMED, 400, "Host is repeated");
        value = request->headers.items[i].value;
    }
    if (!value.ptr) {
        if (request->minor_version == 1)
            return pn_h1_refuse(fault, PN_MALFORMED, 400, "Host is missing");
        return PN_OK;
    }
    if (pn_uri_parse_host(value, &host, &port, NULL) != PN_OK)
        return pn_h1_refuse(fault, PN_MALFORMED, 400, "Host is not a host name with optional port");
    if (!request->host.ptr)
        request->host = value;
    return PN_OK;
}

enum pn_rc pn_http_read_expect(struct pn_request_head *request, struct pn_http_fault *fault)
{
    for (size_t i = 0;
         i < request->headers.count && pn_headers_may_have(&request->headers, PN_HEADER_EXPECT);
         i++) {
        const struct pn_header *field = &request->headers.items[i];

        if (field->kind != PN_HEADER_EXPECT)
            continue;
        if (!pn_slice_case_eq_str(field->value, "100-continue"))
            return pn_h1_refuse(fault, PN_UNSUPPORTED, 417,
                                "the only expectation that can be met is 100-continue");
        /* RFC 9110 §10.1.1: ignored from HTTP/1.0, and where there is no body. */
        request->expects_continue =
            request->minor_version == 1 &&
            (request->framing == PN_BODY_STREAMED ||
             (request->framing == PN_BODY_LENGTH && request->content_length > 0));
    }
    return PN_OK;
}

enum pn_rc pn_h1_request_parse(struct pn_slice head, const struct pn_http_limits *limits,
                               struct pn_request_head *request, struct pn_http_fault *fault)
{
    struct pn_h1_framing_fields framing;
    struct pn_headers headers = request->headers;
    struct pn_slice rest = head;
    struct pn_slice line = {NULL, 0};
    enum pn_rc rc = PN_OK;

    headers.count = 0;
    headers.kinds = 0;
    *request = (struct pn_request_head){.headers = headers};
    if (!pn_h1_cut_line(&rest, &line) || (line.len == 0 && !pn_h1_cut_line(&rest, &line)))
        return pn_h1_refuse(fault, PN_MALFORMED, 400, "there is no whole request line");
    rc = read_request_line(line, limits, request, fault);
    if (rc != PN_OK)
        return rc;
    rc = pn_h1_read_fields(&rest, PN_H1_REQUEST, limits, &request->headers, fault);
    if (rc != PN_OK)
        return rc;
    rc = read_host(request, fault);
    if (rc != PN_OK)
        return rc;
    rc = pn_h1_read_framing(&request->headers, request->minor_version, PN_H1_REQUEST, &framing,
                            fault);
    if (rc != PN_OK)
        return rc;
    if (framing.is_chunked)
        request->framing = PN_BODY_STREAMED;
    else if (framing.has_length)
        request->framing = PN_BODY_LENGTH;
    else
        request->framing = PN_BODY_NONE; /* RFC 9112 §6.3: a request without both has none */
    request->content_length = framing.length;
    request->connection = framing.connection;
    request->keep_alive =
        !framing.says_close && (request->minor_version == 1 || framing.says_keep_alive);
    return pn_http_read_expect(request, fault);
}
