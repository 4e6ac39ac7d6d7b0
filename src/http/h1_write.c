/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing messages (RFC 9112 §2 to §7). Names and values are checked here, whoever made them, but
 * for those that a head was read with and nobody has changed: what reaches this point with a CR or
 * LF in it would be an injected header.
 */
#include <assert.h>
#include <string.h>

#include "http/h1_internal.h"

/* All parts or none. Room is looked for once, not for each part. */
static enum pn_rc append_parts(struct pn_buf *out, const struct pn_slice *parts, size_t count)
{
    size_t len = 0;
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; i < count; i++)
        len += parts[i].len;
    rc = pn_buf_reserve(out, len);
    if (rc != PN_OK)
        return rc;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len > 0)
            memcpy(out->ptr + out->len, parts[i].ptr, parts[i].len);
        out->len += parts[i].len;
    }
    return PN_OK;
}

#define APPEND(out, ...)                                                                           \
    append_parts(out, (const struct pn_slice[]){__VA_ARGS__},                                      \
                 sizeof((const struct pn_slice[]){__VA_ARGS__}) / sizeof(struct pn_slice))

enum { NUMBER_MAX = 20 }; /* digits of a uint64_t */

/* Without printf, which costs more than the whole field. The text is at the end of `place`. */
static struct pn_slice number(uint64_t value, unsigned base, char place[NUMBER_MAX])
{
    size_t at = NUMBER_MAX;

    do {
        at--;
        place[at] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value > 0);
    return pn_slice(place + at, NUMBER_MAX - at);
}

enum pn_rc pn_h1_write_request_line(struct pn_buf *out, struct pn_slice method,
                                    struct pn_slice target)
{
    if (!pn_header_name_is_valid(method) || target.len == 0 || !pn_h1_are_target_bytes(target))
        return PN_MALFORMED;
    return APPEND(out, method, PN_LIT(" "), target, PN_LIT(" HTTP/1.1\r\n"));
}

enum pn_rc pn_h1_write_status_line(struct pn_buf *out, int status, struct pn_slice reason)
{
    char digits[NUMBER_MAX];

    if (status < 100 || status > 599 || !pn_header_value_is_valid(reason))
        return PN_MALFORMED;
    if (reason.len == 0)
        reason = pn_slice_str(pn_http_reason(status));
    return APPEND(out, PN_LIT("HTTP/1.1 "), number((uint64_t)status, 10, digits), PN_LIT(" "),
                  reason, PN_LIT("\r\n"));
}

static inline enum pn_rc put_field(struct pn_buf *out, struct pn_slice name, struct pn_slice value)
{
    enum pn_rc rc = pn_buf_reserve(out, name.len + value.len + 4);
    char *at;

    if (rc != PN_OK)
        return rc;
    at = out->ptr + out->len;
    memcpy(at, name.ptr, name.len);
    at += name.len;
    memcpy(at, ": ", 2);
    at += 2;
    if (value.len > 0)
        memcpy(at, value.ptr, value.len);
    memcpy(at + value.len, "\r\n", 2);
    out->len += name.len + value.len + 4;
    return PN_OK;
}

enum pn_rc pn_h1_write_field(struct pn_buf *out, struct pn_slice name, struct pn_slice value)
{
    if (!pn_header_name_is_valid(name) || !pn_header_value_is_valid(value))
        return PN_MALFORMED;
    return put_field(out, name, value);
}

/* What is sound is not looked at again, but where bugs are looked for. */
static inline void expect_sound(const struct pn_header *header)
{
#ifdef PN_SANITIZED
    assert(pn_header_name_is_valid(header->name) && pn_header_value_is_valid(header->value));
    assert(!header->is_line || (header->name.ptr + header->name.len + 2 == header->value.ptr &&
                                memcmp(header->value.ptr - 2, ": ", 2) == 0 &&
                                memcmp(header->value.ptr + header->value.len, "\r\n", 2) == 0));
#else
    (void)header;
#endif
}

static inline enum pn_rc put_header(struct pn_buf *out, const struct pn_header *header)
{
    if (!header->is_sound)
        return pn_h1_write_field(out, header->name, header->value);
    expect_sound(header);
    return put_field(out, header->name, header->value);
}

/* Where the line of a field ends that is one. */
static inline const char *line_end(const struct pn_header *header)
{
    expect_sound(header);
    return header->value.ptr + header->value.len + 2;
}

enum pn_rc pn_h1_write_fields_but(struct pn_buf *out, const struct pn_headers *headers,
                                  unsigned kinds)
{
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; i < headers->count && rc == PN_OK;) {
        const struct pn_header *header = &headers->items[i++];
        const char *to;

        if ((kinds & PN_HEADER_BIT(header->kind)) != 0)
            continue;
        if (!header->is_line) {
            rc = put_header(out, header);
            continue;
        }
        to = line_end(header); /* and all lines that follow it there */
        for (;
             i < headers->count && headers->items[i].is_line && headers->items[i].name.ptr == to &&
             (kinds & PN_HEADER_BIT(headers->items[i].kind)) == 0;
             i++)
            to = line_end(&headers->items[i]);
        rc = pn_buf_append(out, header->name.ptr, (size_t)(to - header->name.ptr));
    }
    return rc;
}

enum pn_rc pn_h1_write_fields(struct pn_buf *out, const struct pn_headers *headers)
{
    return pn_h1_write_fields_but(out, headers, 0);
}

enum pn_rc pn_h1_write_content_length(struct pn_buf *out, uint64_t length)
{
    char digits[NUMBER_MAX];

    return APPEND(out, PN_LIT("Content-Length: "), number(length, 10, digits), PN_LIT("\r\n"));
}

enum pn_rc pn_h1_write_end(struct pn_buf *out)
{
    return pn_buf_append(out, "\r\n", 2);
}

enum pn_rc pn_h1_write_chunk_head(struct pn_buf *out, size_t len)
{
    char digits[NUMBER_MAX];

    return APPEND(out, number(len, 16, digits), PN_LIT("\r\n"));
}

enum pn_rc pn_h1_write_last_chunk(struct pn_buf *out, const struct pn_headers *trailers)
{
    enum pn_rc rc = pn_buf_append(out, "0\r\n", 3);

    if (rc == PN_OK && trailers)
        rc = pn_h1_write_fields(out, trailers);
    if (rc == PN_OK)
        rc = pn_h1_write_end(out);
    return rc;
}

const char *pn_http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } names[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {102, "Processing"},
        {103, "Early Hints"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {203, "Non-Authoritative Information"},
        {204, "No Content"},
        {205, "Reset Content"},
        {206, "Partial Content"},
        {207, "Multi-Status"},
        {300, "Multiple Choices"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {407, "Proxy Authentication Required"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {423, "Locked"},
        {424, "Failed Dependency"},
        {425, "Too Early"},
        {426, "Upgrade Required"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {451, "Unavailable For Legal Reasons"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
        {511, "Network Authentication Required"},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].status == status)
            return names[i].reason;
    }
    return "";
}
