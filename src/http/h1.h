/* SPDX-License-Identifier: Apache-2.0
 *
 * The HTTP/1.1 engine (RFC 9112): bytes in, facts out. No socket, no clock; nothing is copied, all
 * slices point into the caller's bytes; memory is taken only for the header list, in its arena.
 *
 * How a message is read:
 *
 *   pn_h1_scan()            finds the end of the head in what has arrived; remembers where it was
 *   pn_h1_request_parse()   reads that head (move or copy the bytes before, if they must live
 * longer) pn_h1_body_next()       cuts the body, piece by piece, out of what follows
 *
 * What is stricter than the RFC asks, on purpose, because two parsers that differ are an attack
 * (request smuggling): a bare LF or CR, folded lines, white space around names, any repeated or
 * signed Content-Length, Content-Length beside Transfer-Encoding, every transfer coding but a
 * single "chunked", Transfer-Encoding in HTTP/1.0, control characters anywhere: each is refused.
 */
#pragma once

#include "base/buf.h"
#include "http/head.h"

/* ---- heads ---- */

enum pn_h1_side { PN_H1_REQUEST, PN_H1_RESPONSE };

/** Where the search for the end of a head has come to. Zero it (or _init) for each message. */
struct pn_h1_scan {
    size_t checked; /* bytes of the head already looked at */
    size_t line;    /* where the line in work begins */
    size_t lines;   /* whole lines so far */
    size_t skipped; /* empty lines in front, RFC 9112 §2.2: at most one */
};

/** `in`: everything that has arrived from the first byte of the message on (it may have moved since
 *  the last call, but never shrinks). PN_OK: *head_bytes bytes of `in` are the head, with its empty
 *  line. PN_AGAIN: not whole yet. PN_MALFORMED, PN_LIMIT: `fault` tells. A client that cannot be
 *  speaking HTTP is refused as soon as that can be seen. */
enum pn_rc pn_h1_scan(struct pn_h1_scan *scan, enum pn_h1_side side, struct pn_slice in,
                      const struct pn_http_limits *limits, size_t *head_bytes,
                      struct pn_http_fault *fault) PN_MUST_USE;

/** Reads one whole head that pn_h1_scan found (`head` = exactly those bytes). The caller has called
 *  pn_headers_init(&request->headers, arena); all else is filled here. PN_MALFORMED, PN_LIMIT,
 *  PN_UNSUPPORTED (505, 501, 417): `fault` tells. PN_NOMEM: fault says 500. */
enum pn_rc pn_h1_request_parse(struct pn_slice head, const struct pn_http_limits *limits,
                               struct pn_request_head *request,
                               struct pn_http_fault *fault) PN_MUST_USE;

/** As above, for an answer to a request of method `method` (RFC 9112 §6.3: an answer to HEAD, and
 * 1xx, 204 and 304, have no body whatever their fields say). A 1xx is an answer of its own: read on
 * for the final one; refuse 101 unless you asked for it. */
enum pn_rc pn_h1_response_parse(struct pn_slice head, const struct pn_http_limits *limits,
                                struct pn_slice method, struct pn_response_head *response,
                                struct pn_http_fault *fault) PN_MUST_USE;

/* ---- bodies ---- */

/** Cuts one body out of a stream of bytes. Fields are private. */
struct pn_h1_body {
    enum pn_framing framing;
    enum pn_h1_side side;
    int state;
    uint64_t remaining; /* of the length or of the chunk in work */
    size_t digits;
    size_t extension_bytes;
    size_t trailer_bytes;
    size_t trailer_count;
    struct pn_headers *trailers;
    struct pn_slice connection; /* the head's: may be set after _init */
    struct pn_http_limits limits;
};

/** `trailers`: where trailer fields are copied to, or NULL: they are checked and dropped. Fields
 * that may not be trailers (RFC 9110 §6.5.1: framing, routing, authentication) are always dropped,
 * and those that body->connection names (§7.6.1).
 */
void pn_h1_body_init(struct pn_h1_body *body, enum pn_h1_side side, enum pn_framing framing,
                     uint64_t content_length, const struct pn_http_limits *limits,
                     struct pn_headers *trailers);
/** Takes what it can from the front of `in`; *used bytes of it are done with in every case.
 *    PN_OK     *data is a part of the body (never empty), a slice of `in`: call again after it
 *    PN_AGAIN  more input is needed; present the bytes behind *used again, with more. Unused are at
 *              most trailer_bytes_max bytes (a trailer line not yet whole), else none.
 *    PN_EOF    the body has ended; the bytes behind *used belong to the next message
 *    PN_MALFORMED, PN_LIMIT, PN_NOMEM: `fault` tells; the connection cannot be used again. */
enum pn_rc pn_h1_body_next(struct pn_h1_body *body, struct pn_slice in, struct pn_slice *data,
                           size_t *used, struct pn_http_fault *fault) PN_MUST_USE;
/** The peer has closed: PN_EOF when the body may end so, PN_MALFORMED when it is cut short. */
enum pn_rc pn_h1_body_close(const struct pn_h1_body *body, struct pn_http_fault *fault) PN_MUST_USE;

/* ---- writing: append to a buffer; PN_LIMIT, PN_NOMEM ---- */

/** "GET /path HTTP/1.1\r\n". PN_MALFORMED: method is no token, or target has a space or control. */
enum pn_rc pn_h1_write_request_line(struct pn_buf *out, struct pn_slice method,
                                    struct pn_slice target) PN_MUST_USE;
/** "HTTP/1.1 200 OK\r\n". An empty reason is replaced by the standard one. PN_MALFORMED. */
enum pn_rc pn_h1_write_status_line(struct pn_buf *out, int status,
                                   struct pn_slice reason) PN_MUST_USE;
/** "Name: value\r\n". PN_MALFORMED: not a valid name or value: nothing can be injected here. */
enum pn_rc pn_h1_write_field(struct pn_buf *out, struct pn_slice name,
                             struct pn_slice value) PN_MUST_USE;
/** Every field of the list, in order, but for those of `kinds` (PN_HEADER_BIT of each); those that
 * are sound are not looked at again, and lines that lie side by side are copied in one go.
 * PN_MALFORMED as above. */
enum pn_rc pn_h1_write_fields_but(struct pn_buf *out, const struct pn_headers *headers,
                                  unsigned kinds) PN_MUST_USE;
/** All of them. */
enum pn_rc pn_h1_write_fields(struct pn_buf *out, const struct pn_headers *headers) PN_MUST_USE;
enum pn_rc pn_h1_write_content_length(struct pn_buf *out, uint64_t length) PN_MUST_USE;
/** The empty line. */
enum pn_rc pn_h1_write_end(struct pn_buf *out) PN_MUST_USE;
/** "1f4\r\n": the line before `len` (> 0) bytes of a chunk; PN_H1_CHUNK_END goes behind them. */
enum pn_rc pn_h1_write_chunk_head(struct pn_buf *out, size_t len) PN_MUST_USE;
#define PN_H1_CHUNK_END PN_LIT("\r\n")
/** "0\r\n" trailers "\r\n". `trailers` may be NULL. */
enum pn_rc pn_h1_write_last_chunk(struct pn_buf *out,
                                  const struct pn_headers *trailers) PN_MUST_USE;
#define PN_H1_CONTINUE PN_LIT("HTTP/1.1 100 Continue\r\n\r\n")
