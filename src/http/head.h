/* SPDX-License-Identifier: Apache-2.0
 *
 * What a request and an answer are, whichever version of HTTP carried them: their heads, limits,
 * the reason for a refusal, and the rules of RFC 9110 that all versions share.
 */
#pragma once

#include "base/limits.h"
#include "http/headers.h"

/* Fixed. */
#define PN_METHOD_BYTES_MAX 32u
#define PN_CONNECTION_BYTES_MAX                                                                    \
    1024u /* all Connection fields: their names are looked up one by one */

struct pn_http_limits {
    size_t header_bytes_max;
    size_t header_count_max;
    size_t target_bytes_max;
    size_t trailer_bytes_max;
    size_t trailer_count_max;
    size_t chunk_extension_bytes_max;
};
#define PN_HTTP_LIMITS_DEFAULT                                                                     \
    {                                                                                              \
        PN_LIMIT_HEADER_BYTES_DEFAULT, PN_LIMIT_HEADER_COUNT_DEFAULT,                              \
            PN_LIMIT_TARGET_BYTES_DEFAULT, PN_LIMIT_TRAILER_BYTES_DEFAULT,                         \
            PN_LIMIT_TRAILER_COUNT_DEFAULT, PN_LIMIT_CHUNK_EXTENSION_BYTES_DEFAULT                 \
    }
/** What base/limits.h says now; not a constant. */
#define PN_HTTP_LIMITS_IN_FORCE                                                                    \
    {                                                                                              \
        pn_limit_value(PN_LIMIT_HEADER_BYTES), pn_limit_value(PN_LIMIT_HEADER_COUNT),              \
            pn_limit_value(PN_LIMIT_TARGET_BYTES), pn_limit_value(PN_LIMIT_TRAILER_BYTES),         \
            pn_limit_value(PN_LIMIT_TRAILER_COUNT), pn_limit_value(PN_LIMIT_CHUNK_EXTENSION_BYTES) \
    }

/** Why a message was refused. `status`: what to answer a client (400, 413, 414, 417, 431, 501,
 * 505); for a bad message of a backend it is 502. `cause`: a static sentence without the peer's
 * bytes. */
struct pn_http_fault {
    int status;
    const char *cause;
};

enum pn_framing {
    PN_BODY_NONE,
    PN_BODY_LENGTH,      /* Content-Length; may be 0 */
    PN_BODY_STREAMED,    /* of unknown length: chunked in HTTP/1.1, up to END_STREAM in HTTP/2 */
    PN_BODY_UNTIL_CLOSE, /* responses only; also a tunnel (2xx to CONNECT) */
};

enum pn_target_form {
    PN_ORIGIN_FORM,    /* "/path?query" */
    PN_ABSOLUTE_FORM,  /* "http://host/path?query" */
    PN_ASTERISK_FORM,  /* "*", with OPTIONS */
    PN_AUTHORITY_FORM, /* "host:port", with CONNECT: refuse it */
};

struct pn_request_head {
    struct pn_slice method; /* a token, case matters */
    struct pn_slice target; /* as it was sent */
    enum pn_target_form form;
    struct pn_slice
        path; /* raw, starts with '/' ("/" for "*" and for an absolute target without one) */
    struct pn_slice query; /* raw, without '?'; may be empty */
    bool has_query;        /* a '?' was there */
    struct pn_slice
        host; /* "name:port" of the absolute target, else of Host; empty: HTTP/1.0 without */
    int minor_version;         /* 0 or 1 */
    struct pn_headers headers; /* all fields as sent; names keep their case */
    enum pn_framing framing;
    uint64_t content_length;    /* with PN_BODY_LENGTH */
    bool keep_alive;            /* the client lets the connection be used again (RFC 9112 §9.3) */
    struct pn_slice connection; /* all that Connection lists; empty: no such field. HTTP/1.1 */
    bool expects_continue; /* Expect: 100-continue (RFC 9110 §10.1.1), and a body is announced */
};

struct pn_response_head {
    int minor_version;
    int status; /* 100 to 599 */
    struct pn_slice reason;
    struct pn_headers headers;
    enum pn_framing framing;
    uint64_t content_length;    /* with PN_BODY_LENGTH */
    struct pn_slice connection; /* all that Connection lists; empty: no such field. HTTP/1.1 */
    bool keep_alive; /* the connection can take another request when the body has ended */
};

/* ---- rules both sides share ---- */

/** Whether the comma-separated list in the fields `name` has `token` (without case; all such
 * fields). */
bool pn_http_list_has(const struct pn_headers *headers, const char *name, const char *token);
/** Connection, Keep-Alive, Proxy-Connection, Proxy-Authenticate, Proxy-Authorization, TE, Trailer,
 *  Transfer-Encoding, Upgrade. */
bool pn_http_is_hop_by_hop(struct pn_slice name);
/** Removes those, and every field that Connection names (RFC 9110 §7.6.1), except Host and
 *  Content-Length, which a peer cannot talk us out of. */
void pn_http_strip_hop_by_hop(struct pn_headers *headers);
/** How long and for how many more requests a peer keeps the connection, as its Keep-Alive fields
 * say (RFC 2068 §19.7.1.1). UINT32_MAX: it does not say. */
struct pn_http_keep_alive {
    uint32_t timeout_s;    /* idle, from the end of the message that says it */
    uint32_t requests_max; /* after this one */
};
/** "timeout=5, max=100"; of several words on one thing the smallest. A field that is malformed says
 *  nothing, and neither do parameters that are not known. */
void pn_http_keep_alive_of(const struct pn_headers *headers, struct pn_http_keep_alive *keep);
/** RFC 9110 §9.2: GET HEAD OPTIONS TRACE; and those with PUT DELETE. */
bool pn_http_method_is_safe(struct pn_slice method);
bool pn_http_method_is_idempotent(struct pn_slice method);
/** "Not Found"; "" for a number that has no name. */
const char *pn_http_reason(int status);
