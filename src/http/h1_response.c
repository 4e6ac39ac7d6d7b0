/* SPDX-License-Identifier: Apache-2.0
 *
 * Response heads (RFC 9112 §4) and the end of their bodies (§6.3).
 */
#include "http/h1_internal.h"

static enum pn_rc read_status_line(struct pn_slice line, struct pn_response_head *response,
                                   struct pn_http_fault *fault)
{
    struct pn_slice digits = pn_slice_sub(line, 9, 3);
    uint64_t status = 0;
    enum pn_rc rc = pn_h1_read_version(pn_slice_sub(line, 0, 8), &response->minor_version);

    if (rc != PN_OK)
        return pn_h1_refuse(fault, rc, 502, "the answer's version is not HTTP/1.0 or HTTP/1.1");
    if (line.len < 12 || line.ptr[8] != ' ' || !pn_slice_to_u64(digits, 999, &status) ||
        status < 100 || status > 599)
        return pn_h1_refuse(fault, PN_MALFORMED, 502,
                            "the answer's status is not a number from 100 to 599");
    response->status = (int)status;
    response->reason = pn_slice_sub(line, 12, line.len);
    if (response->reason.len > 0) { /* many servers leave the space out when the reason is empty */
        if (response->reason.ptr[0] != ' ')
            return pn_h1_refuse(fault, PN_MALFORMED, 502,
                                "the answer's status is not followed by a space");
        response->reason = pn_slice_sub(response->reason, 1, line.len);
    }
    for (size_t i = 0; i < response->reason.len; i++) {
        if (!pn_h1_is_field_byte((unsigned char)response->reason.ptr[i]))
            return pn_h1_refuse(fault, PN_MALFORMED, 502,
                                "the answer's reason has a control character");
    }
    return PN_OK;
}

/* RFC 9112 §6.3, in its order. */
static void decide_framing(struct pn_response_head *response, struct pn_slice method,
                           const struct pn_h1_framing_fields *fields)
{
    int status = response->status;
    bool is_tunnel = pn_slice_eq_str(method, "CONNECT") && status >= 200 && status < 300;

    response->content_length = fields->length;
    if (pn_slice_eq_str(method, "HEAD") || status == 304) {
        response->framing = PN_BODY_NONE;
    } else if (status < 200 || status == 204) {
        response->framing = PN_BODY_NONE;
        /* A body announced where none can be: if it is sent, it must not be read as the next
         * answer. */
        if (fields->is_chunked || fields->length > 0)
            response->keep_alive = false;
    } else if (is_tunnel) {
        response->framing = PN_BODY_UNTIL_CLOSE;
        response->keep_alive = false;
    } else if (fields->is_chunked) {
        response->framing = PN_BODY_STREAMED;
    } else if (fields->has_length) {
        response->framing = PN_BODY_LENGTH;
    } else {
        response->framing = PN_BODY_UNTIL_CLOSE;
        response->keep_alive = false;
    }
}

enum pn_rc pn_h1_response_parse(struct pn_slice head, const struct pn_http_limits *limits,
                                struct pn_slice method, struct pn_response_head *response,
                                struct pn_http_fault *fault)
{
    struct pn_h1_framing_fields framing;
    struct pn_headers headers = response->headers;
    struct pn_slice rest = head;
    struct pn_slice line = {NULL, 0};
    enum pn_rc rc = PN_OK;

    headers.count = 0;
    headers.kinds = 0;
    *response = (struct pn_response_head){.headers = headers};
    if (!pn_h1_cut_line(&rest, &line))
        return pn_h1_refuse(fault, PN_MALFORMED, 502, "there is no whole status line");
    rc = read_status_line(line, response, fault);
    if (rc != PN_OK)
        return rc;
    rc = pn_h1_read_fields(&rest, PN_H1_RESPONSE, limits, &response->headers, fault);
    if (rc != PN_OK)
        return rc;
    rc = pn_h1_read_framing(&response->headers, response->minor_version, PN_H1_RESPONSE, &framing,
                            fault);
    if (rc != PN_OK)
        return rc;
    response->connection = framing.connection;
    response->keep_alive =
        !framing.says_close && (response->minor_version == 1 || framing.says_keep_alive);
    decide_framing(response, method, &framing);
    return PN_OK;
}
