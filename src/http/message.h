/* SPDX-License-Identifier: Apache-2.0
 *
 * A whole (buffered) request and its answer: what the handlers of the management plane (arm, vault,
 * authority) get and fill. They know no socket; tests call them directly.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "http/headers.h"

struct pn_request {
    struct pn_arena *arena; /* lives as long as the request; wiped when it ends */
    struct pn_slice method; /* "GET" */
    struct pn_slice path;   /* raw path of the target, "/a%20b": split first, decode after */
    struct pn_slice query;  /* raw query without '?'; may be empty */
    struct pn_headers headers;
    struct pn_slice body;   /* whole body, after transfer decoding */
    struct pn_slice host;   /* Host as sent, "local.vault.localhost:9444" */
    struct pn_slice origin; /* "https://" + host: ids and links start with it */
    const char *peer;       /* the client's address as text */
    const char *request_id; /* a UUID, also in x-ms-request-id */
};

struct pn_response {
    struct pn_arena *arena; /* the request's */
    int status;
    struct pn_headers headers; /* Content-Length, Date and Connection are the server's business */
    struct pn_buf body;        /* secret buffer; empty for 204 and HEAD */
};

/** First query parameter of that name; names and values are percent-decoded, `+` is a space, names
 *  compare without case. A slice with ptr NULL when it is missing. Lives in the arena. */
struct pn_slice pn_request_query(const struct pn_request *request, const char *name);
/** Splits the path at '/', decodes each segment, drops empty ones ("//", trailing "/").
 *  PN_MALFORMED: broken escape, NUL, or a decoded '/' inside a segment; PN_LIMIT: above `max`. */
enum pn_rc pn_request_segments(const struct pn_request *request, struct pn_slice *segments,
                               size_t max, size_t *count) PN_MUST_USE;
void pn_response_init(struct pn_response *response, struct pn_arena *arena, size_t body_bytes_max);
void pn_response_fini(struct pn_response *response);
/** Adds a header; `format` is printf's. The value must be valid (asserted). PN_NOMEM. */
enum pn_rc pn_response_header(struct pn_response *response, const char *name, const char *format,
                              ...) PN_PRINTF(3, 4) PN_MUST_USE;
/** Sets status, Content-Type and body. PN_LIMIT, PN_NOMEM. */
enum pn_rc pn_response_body(struct pn_response *response, int status, const char *content_type,
                            struct pn_slice body) PN_MUST_USE;
