/* SPDX-License-Identifier: Apache-2.0
 *
 * Bodies (RFC 9112 §6, §7), cut out of the stream without copying.
 *
 *   length:       DATA ─────────────────────────────▶ END
 *   until close:  DATA, for ever
 *   chunked:      SIZE ─▶ EXTENSION ─▶ SIZE_LF ─▶ DATA ─▶ DATA_CR ─▶ DATA_LF ─┐
 *                   ▲ └────────────────▲  │ (size 0)                           │
 *                   │                     └─▶ TRAILERS ─▶ END                  │
 *                   └──────────────────────────────────────────────────────────┘
 */
#include <assert.h>
#include <string.h>

#include "base/limits.h"
#include "http/h1_internal.h"

enum state { DATA, SIZE, BLANK, EXTENSION, SIZE_LF, DATA_CR, DATA_LF, TRAILERS, END };

/* 16 hex digits fill 64 bits; a chunk larger than INT64_MAX is refused as well. */
enum { SIZE_DIGITS_MAX = 16 };

void pn_h1_body_init(struct pn_h1_body *body, enum pn_h1_side side, enum pn_framing framing,
                     uint64_t content_length, const struct pn_http_limits *limits,
                     struct pn_headers *trailers)
{
    *body = (struct pn_h1_body){
        .framing = framing, .side = side, .limits = *limits, .trailers = trailers};
    switch (framing) {
    case PN_BODY_NONE:
        body->state = END;
        break;
    case PN_BODY_LENGTH:
        body->remaining = content_length;
        body->state = content_length > 0 ? DATA : END;
        break;
    case PN_BODY_STREAMED:
        body->state = SIZE;
        break;
    case PN_BODY_UNTIL_CLOSE:
        body->remaining = UINT64_MAX;
        body->state = DATA;
        break;
    }
}

/* Counted here: who gets the fault does not know which limit it was. */
static enum pn_rc over(struct pn_http_fault *fault, enum pn_limit limit, int status,
                       const char *cause)
{
    pn_limit_hit(limit);
    return pn_h1_refuse(fault, PN_LIMIT, status, cause);
}

static int bad_status(const struct pn_h1_body *body)
{
    return body->side == PN_H1_REQUEST ? 400 : 502;
}

static enum pn_rc malformed(const struct pn_h1_body *body, struct pn_http_fault *fault,
                            const char *cause)
{
    return pn_h1_refuse(fault, PN_MALFORMED, bad_status(body), cause);
}

static enum pn_rc on_size_digit(struct pn_h1_body *body, int digit, struct pn_http_fault *fault)
{
    if (body->digits >= SIZE_DIGITS_MAX || body->remaining > (uint64_t)INT64_MAX >> 4)
        return malformed(body, fault, "a chunk size is too large");
    body->remaining = (body->remaining << 4) | (uint64_t)digit;
    body->digits++;
    return PN_OK;
}

/* chunk-size [ chunk-ext ] CR (§7.1, §7.1.1). BWS is accepted in front of ';' only. */
static enum pn_rc on_size_byte(struct pn_h1_body *body, unsigned char c,
                               struct pn_http_fault *fault)
{
    int digit = pn_h1_hex_digit(c);

    if (body->state == SIZE && digit >= 0)
        return on_size_digit(body, digit, fault);
    if (body->state == SIZE && body->digits == 0)
        return malformed(body, fault, "a chunk does not begin with its size");
    if (c == '\r' && body->state != BLANK) {
        body->state = SIZE_LF;
        return PN_OK;
    }
    if (body->state != EXTENSION && c != ';' && c != ' ' && c != '\t')
        return malformed(body, fault, "a chunk size is not a hexadecimal number");
    if (!pn_h1_is_field_byte(c))
        return malformed(body, fault, "a chunk extension has a control character");
    if (body->state != EXTENSION)
        body->state = c == ';' ? EXTENSION : BLANK;
    body->extension_bytes++;
    if (body->extension_bytes > body->limits.chunk_extension_bytes_max)
        return over(fault, PN_LIMIT_CHUNK_EXTENSION_BYTES, body->side == PN_H1_REQUEST ? 413 : 502,
                    "chunk extensions are longer than the limit chunk-extension-bytes");
    return PN_OK;
}

/* One byte of the framing between data. */
static enum pn_rc on_framing_byte(struct pn_h1_body *body, unsigned char c,
                                  struct pn_http_fault *fault)
{
    switch ((enum state)body->state) {
    case SIZE:
    case BLANK:
    case EXTENSION:
        return on_size_byte(body, c, fault);
    case SIZE_LF:
        if (c != '\n')
            return malformed(body, fault, "a chunk size line has a CR without LF");
        body->state = body->remaining > 0 ? DATA : TRAILERS;
        return PN_OK;
    case DATA_CR:
        if (c != '\r')
            return malformed(body, fault, "a chunk is longer than its size says");
        body->state = DATA_LF;
        return PN_OK;
    case DATA_LF:
        if (c != '\n')
            return malformed(body, fault, "a chunk's CR is not followed by LF");
        body->state = SIZE;
        body->digits = 0;
        return PN_OK;
    case DATA:
    case TRAILERS:
    case END:
        break;
    }
    assert(false); /* data, trailers and the end are not read byte by byte */
    return PN_INTERNAL;
}

/* As "X-Forwarded-For" and "X_FORWARDED_FOR" are the same variable to whoever makes one of them. */
static bool begins_like(struct pn_slice name, const char *text, size_t len)
{
    if (name.len < len)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = name.ptr[i];

        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if ((c == '_' ? '-' : c) != text[i])
            return false;
    }
    return true;
}

/* RFC 9110 §6.5.1: framing, routing, authentication, request control, response control and content
 * format stay in the head; so does what says from whom and by which way a request came, which
 * policies and we ourselves look for in the head only. Whoever merges trailers into headers must
 * not be led astray by these. */
bool pn_http_is_trailer_allowed(struct pn_slice name)
{
    static const char *const denied[] = {
        "content-length", "content-encoding", "content-type", "content-range", "content-location",
        "host", "authorization", "cache-control", "expect", "max-forwards", "pragma", "range",
        "set-cookie", "cookie", "age", "date", "expires", "location", "retry-after", "vary",
        "warning", "www-authenticate", "authentication-info", "if-match", "if-none-match",
        "if-modified-since", "if-range", "if-unmodified-since", "te", "trailer", "upgrade",
        "connection", "keep-alive", "transfer-encoding", "http2-settings", "origin", "early-data",
        "strict-transport-security", "alt-svc", "refresh",
        /* from whom, by which way, whereto */
        "forwarded", "via", "x-real-ip", "true-client-ip", "x-client-ip", "x-cluster-client-ip",
        "cdn-loop", "client-cert", "client-cert-chain", "x-client-cert", "x-original-url",
        "x-original-host", "x-rewrite-url", "x-http-method", "x-http-method-override",
        "x-method-override", "ocp-apim-subscription-key"};
    static const char *const prefixes[] = {"x-forwarded-", "x-arr-",          "x-ssl-",    "sec-",
                                           "proxy-",       "access-control-", "x-postern-"};

    for (size_t i = 0; i < sizeof(denied) / sizeof(denied[0]); i++) {
        size_t len = strlen(denied[i]);

        if (name.len == len && begins_like(name, denied[i], len))
            return false;
    }
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if (begins_like(name, prefixes[i], strlen(prefixes[i])))
            return false;
    }
    return !pn_http_is_hop_by_hop(name);
}

static enum pn_rc on_trailer(struct pn_h1_body *body, struct pn_slice line,
                             struct pn_http_fault *fault)
{
    struct pn_slice name;
    struct pn_slice value;
    enum pn_rc rc = pn_h1_read_field(line, bad_status(body), &name, &value, fault);

    if (rc != PN_OK)
        return rc;
    body->trailer_count++;
    if (body->trailer_count > body->limits.trailer_count_max)
        return over(fault, PN_LIMIT_TRAILER_COUNT, body->side == PN_H1_REQUEST ? 431 : 502,
                    "more trailer fields than the limit trailer-count");
    if (!body->trailers || !pn_http_is_trailer_allowed(name) ||
        pn_http_is_listed(body->connection, name))
        return PN_OK;
    rc = pn_headers_add_copy(body->trailers, name, value);
    if (rc != PN_OK)
        return pn_h1_refuse(fault, rc, 500, "out of memory");
    return PN_OK;
}

/* Whole trailer lines; what is not whole stays with the caller. */
static enum pn_rc take_trailers(struct pn_h1_body *body, struct pn_slice in, size_t *used,
                                struct pn_http_fault *fault)
{
    for (;;) {
        struct pn_slice rest = pn_slice_sub(in, *used, in.len);
        const char *lf = rest.len > 0 ? memchr(rest.ptr, '\n', rest.len) : NULL;
        size_t len = lf ? (size_t)(lf - rest.ptr) + 1 : rest.len;
        enum pn_rc rc = PN_OK;

        if (body->trailer_bytes + len > body->limits.trailer_bytes_max)
            return over(fault, PN_LIMIT_TRAILER_BYTES, body->side == PN_H1_REQUEST ? 431 : 502,
                        "trailer fields are longer than the limit trailer-bytes");
        if (!lf)
            return PN_AGAIN;
        if (len < 2 || rest.ptr[len - 2] != '\r')
            return malformed(body, fault, "a trailer line ends with LF alone");
        body->trailer_bytes += len;
        *used += len;
        if (len == 2) {
            body->state = END;
            return PN_EOF;
        }
        rc = on_trailer(body, pn_slice(rest.ptr, len - 2), fault);
        if (rc != PN_OK)
            return rc;
    }
}

static void take_data(struct pn_h1_body *body, struct pn_slice in, struct pn_slice *data,
                      size_t *used)
{
    struct pn_slice rest = pn_slice_sub(in, *used, in.len);

    if (rest.len > body->remaining)
        rest.len = (size_t)body->remaining;
    *data = rest;
    *used += rest.len;
    if (body->framing == PN_BODY_UNTIL_CLOSE)
        return;
    body->remaining -= rest.len;
    if (body->remaining == 0)
        body->state = body->framing == PN_BODY_STREAMED ? DATA_CR : END;
}

enum pn_rc pn_h1_body_next(struct pn_h1_body *body, struct pn_slice in, struct pn_slice *data,
                           size_t *used, struct pn_http_fault *fault)
{
    *used = 0;
    *data = (struct pn_slice){NULL, 0};
    for (;;) {
        enum pn_rc rc = PN_OK;

        if (body->state == END)
            return PN_EOF;
        if (body->state == TRAILERS)
            return take_trailers(body, in, used, fault);
        if (*used == in.len)
            return PN_AGAIN;
        if (body->state == DATA) {
            take_data(body, in, data, used);
            return PN_OK;
        }
        rc = on_framing_byte(body, (unsigned char)in.ptr[*used], fault);
        if (rc != PN_OK)
            return rc;
        (*used)++;
    }
}

enum pn_rc pn_h1_body_close(const struct pn_h1_body *body, struct pn_http_fault *fault)
{
    if (body->state == END || body->framing == PN_BODY_UNTIL_CLOSE)
        return PN_EOF;
    return malformed(body, fault, "the connection was closed before the body had ended");
}
