/* SPDX-License-Identifier: Apache-2.0
 *
 * Field lines, and what they say about framing (RFC 9112 §5, §6; RFC 9110 §5). Both sides use this.
 */
#include <assert.h>
#include <string.h>

#include "http/h1_internal.h"

#define TCHAR  PN_H1_TCHAR
#define FIELD  PN_H1_FIELD
#define TARGET PN_H1_TARGET
#define TOK    (TCHAR | FIELD | TARGET)
#define TXT    (FIELD | TARGET)
#define WORD   (TOK | PN_H1_LABEL)

const unsigned char pn_h1_classes[256] = {
    ['\t'] = FIELD,
    [' '] = FIELD,
    ['!'] = TOK,
    ['"'] = TXT,
    ['#'] = TCHAR | FIELD,
    ['$' ... '\''] = TOK,
    ['(' ... ')'] = TXT,
    ['*' ... '+'] = TOK,
    [','] = TXT,
    ['-'] = WORD,
    ['.'] = TOK,
    ['/'] = TXT,
    ['0' ... '9'] = WORD,
    [':' ... '@'] = TXT,
    ['A' ... 'Z'] = WORD,
    ['[' ... ']'] = TXT,
    ['^'] = TOK,
    ['_'] = WORD,
    ['`'] = TOK,
    ['a' ... 'z'] = WORD,
    ['{'] = TXT,
    ['|'] = TOK,
    ['}'] = TXT,
    ['~'] = TOK,
    [0x80 ... 0xff] = FIELD,
};

int pn_h1_hex_digit(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool pn_h1_cut_line(struct pn_slice *rest, struct pn_slice *line)
{
    const char *lf = rest->len > 0 ? memchr(rest->ptr, '\n', rest->len) : NULL;
    size_t len = 0;

    if (!lf)
        return false;
    len = (size_t)(lf - rest->ptr);
    if (len == 0 || rest->ptr[len - 1] != '\r')
        return false;
    *line = pn_slice(rest->ptr, len - 1);
    *rest = pn_slice(rest->ptr + len + 1, rest->len - len - 1);
    return true;
}

enum pn_rc pn_h1_read_field(struct pn_slice line, int bad_status, struct pn_slice *name,
                            struct pn_slice *value, struct pn_http_fault *fault)
{
    const char *colon = line.len > 0 ? memchr(line.ptr, ':', line.len) : NULL;
    size_t i = colon ? (size_t)(colon - line.ptr) : line.len;
    size_t end = line.len;

    if (line.len > 0 && (line.ptr[0] == ' ' || line.ptr[0] == '\t'))
        return pn_h1_refuse(fault, PN_MALFORMED, bad_status, /* RFC 9112 §5.2: obs-fold */
                            "a header line begins with white space; folded lines are not accepted");
    *name = pn_slice(line.ptr, i);
    if (!colon || !pn_h1_are_tchars(*name))
        return pn_h1_refuse(fault, PN_MALFORMED, bad_status,
                            "a header name is followed by something other than a colon");
    if (i == 0)
        return pn_h1_refuse(fault, PN_MALFORMED, bad_status, "a header has no name");
    i++;
    while (i < end && (line.ptr[i] == ' ' || line.ptr[i] == '\t'))
        i++;
    while (end > i && (line.ptr[end - 1] == ' ' || line.ptr[end - 1] == '\t'))
        end--;
    *value = pn_slice(line.ptr + i, end - i);
    if (!pn_h1_are_field_bytes(*value))
        return pn_h1_refuse(fault, PN_MALFORMED, bad_status,
                            "a header value has a control character");
    return PN_OK;
}

/** The last bytes of a text, fewer than eight, as a word with zeros behind them. There are eight
 *  from `from` on. */
static inline uint64_t last_word(const char *from, const char *at, const char *end)
{
    size_t missing = 8 - (size_t)(end - at);

    assert(end - from >= 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return pn_word_load(end - 8) >> missing * 8;
#else
    return pn_word_load(end - 8) << missing * 8;
#endif
}

/** Where the name at `at` ends, if it is one of letters and '-' and sixteen or whole words of eight
 *  bytes tell so; else NULL. */
static inline const char *end_of_plain_name(const char *at, const char *end)
{
    for (; end - at >= 16; at += 16) {
        unsigned marks = pn_h1_unnamed16(at);

        if (marks)
            return at + __builtin_ctz(marks);
    }
    for (; end - at >= 8; at += 8) {
        uint64_t marks = pn_h1_unnamed8(pn_word_load(at));

        if (marks)
            return at + pn_word_first(marks);
    }
    return NULL;
}

/** The same for printable bytes; of the text, there are eight from `from` on. */
static inline const char *end_of_plain_value(const char *from, const char *at, const char *end)
{
    uint64_t marks;

    for (; end - at >= 16; at += 16) {
        unsigned places = pn_h1_unprintable16(at);

        if (places)
            return at + __builtin_ctz(places);
    }
    for (; end - at >= 8; at += 8) {
        marks = pn_h1_unprintable8(pn_word_load(at));
        if (marks)
            return at + pn_word_first(marks);
    }
    if (at == end)
        return NULL;
    marks = pn_h1_unprintable8(last_word(from, at, end)); /* what is missing is not printable */
    return at + pn_word_first(marks);
}

/** The line that nearly all are: a name of letters and '-', a colon, a value of printable bytes.
 *  False: it is another one, and pn_h1_read_field() shall say what it is; nothing has changed.
 *  Every byte is looked at once, together with its neighbours. *is_line: one space, and nothing but
 *  the line's end behind the value. */
static inline bool take_plain_field(struct pn_slice *rest, struct pn_slice *name,
                                    struct pn_slice *value, bool *is_line)
{
    const char *end = rest->ptr + rest->len;
    const char *colon = end_of_plain_name(rest->ptr, end);
    const char *from;
    const char *to;
    const char *cr;

    if (!colon || *colon != ':' || colon == rest->ptr)
        return false;
    for (from = colon + 1; from < end && *from == ' '; from++)
        continue;
    cr = end_of_plain_value(rest->ptr, from, end); /* a word was read for the name */
    if (!cr || end - cr < 2 || cr[0] != '\r' || cr[1] != '\n')
        return false;
    for (to = cr; to > from && to[-1] == ' '; to--)
        continue;
    *name = pn_slice(rest->ptr, (size_t)(colon - rest->ptr));
    *value = pn_slice(from, (size_t)(to - from));
    *is_line = from - colon == 2 && to == cr;
    *rest = pn_slice(cr + 2, (size_t)(end - cr) - 2);
    return true;
}

static enum pn_rc take_line(struct pn_slice *rest, int bad_status, struct pn_slice *name,
                            struct pn_slice *value, bool *is_line, struct pn_http_fault *fault)
{
    struct pn_slice line;

    if (take_plain_field(rest, name, value, is_line))
        return PN_OK;
    *is_line = false;
    if (pn_slice_starts_with(*rest, PN_LIT("\r\n"))) {
        *rest = pn_slice(rest->ptr + 2, rest->len - 2);
        return PN_EOF;
    }
    if (!pn_h1_cut_line(rest, &line))
        return pn_h1_refuse(fault, PN_MALFORMED, bad_status,
                            "the head does not end with an empty line");
    return pn_h1_read_field(line, bad_status, name, value, fault);
}

enum pn_rc pn_h1_read_fields(struct pn_slice *rest, enum pn_h1_side side,
                             const struct pn_http_limits *limits, struct pn_headers *headers,
                             struct pn_http_fault *fault)
{
    bool is_request = side == PN_H1_REQUEST;

    for (;;) {
        struct pn_slice name;
        struct pn_slice value;
        bool is_line;
        enum pn_rc rc = PN_OK;

        if (headers->count >= limits->header_count_max &&
            !pn_slice_starts_with(*rest, PN_LIT("\r\n")))
            return pn_h1_refuse(fault, PN_LIMIT, is_request ? 431 : 502,
                                "more header fields than the limit header-count");
        rc = take_line(rest, is_request ? 400 : 502, &name, &value, &is_line, fault);
        if (rc == PN_EOF)
            return PN_OK;
        if (rc != PN_OK)
            return rc;
        rc = is_line ? pn_headers_add_line(headers, name, value)
                     : pn_headers_add_sound(headers, name, value);
        if (rc != PN_OK)
            return pn_h1_refuse(fault, rc, 500, "out of memory");
    }
}

enum pn_rc pn_h1_read_version(struct pn_slice text, int *minor_version)
{
    /* RFC 9112 §2.3: "HTTP" "/" DIGIT "." DIGIT, case matters. */
    if (text.len != 8 || memcmp(text.ptr, "HTTP/", 5) != 0 || text.ptr[5] < '0' ||
        text.ptr[5] > '9' || text.ptr[6] != '.' || text.ptr[7] < '0' || text.ptr[7] > '9')
        return PN_MALFORMED;
    if (text.ptr[5] != '1' || text.ptr[7] > '1')
        return PN_UNSUPPORTED;
    *minor_version = text.ptr[7] - '0';
    return PN_OK;
}

static enum pn_rc read_transfer_encoding(struct pn_slice value, int status,
                                         struct pn_h1_framing_fields *framing,
                                         struct pn_http_fault *fault)
{
    if (framing->is_chunked)
        return pn_h1_refuse(fault, PN_MALFORMED, status, "Transfer-Encoding is repeated");
    if (!pn_slice_case_eq_str(value, "chunked")) {
        size_t last = value.len; /* where the list's last element begins */
        bool ends_chunked = false;

        while (last > 0 && value.ptr[last - 1] != ',')
            last--;
        ends_chunked =
            pn_slice_case_eq_str(pn_slice_trim(pn_slice_sub(value, last, value.len)), "chunked");
        /* RFC 9112 §6.1, §6.3: an unknown coding is 501; one that hides the end of the body is 400.
         */
        if (ends_chunked)
            return pn_h1_refuse(fault, PN_UNSUPPORTED, status == 400 ? 501 : status,
                                "the only transfer coding accepted is a single chunked");
        return pn_h1_refuse(fault, PN_MALFORMED, status,
                            "Transfer-Encoding does not end with chunked");
    }
    framing->is_chunked = true;
    return PN_OK;
}

static enum pn_rc read_content_length(struct pn_header *field, int status,
                                      struct pn_h1_framing_fields *framing,
                                      struct pn_http_fault *fault)
{
    struct pn_slice plain = pn_http_without_zeros(field->value);

    /* RFC 9112 §6.3 lets equal ones be merged; we do not: "5, 5" and two fields are refused. */
    if (framing->has_length)
        return pn_h1_refuse(fault, PN_MALFORMED, status, "Content-Length is repeated");
    if (!pn_slice_to_u64(field->value, INT64_MAX, &framing->length))
        return pn_h1_refuse(fault, PN_MALFORMED, status,
                            "Content-Length is not a plain decimal number");
    if (plain.len != field->value.len) {
        field->value = plain;
        field->is_line = false;
    }
    framing->has_length = true;
    return PN_OK;
}

static enum pn_rc read_connection(struct pn_slice value, struct pn_arena *arena, int status,
                                  struct pn_h1_framing_fields *framing, struct pn_http_fault *fault)
{
    struct pn_slice part;
    const char *both;

    if (framing->connection.len + value.len > PN_CONNECTION_BYTES_MAX)
        return pn_h1_refuse(fault, PN_LIMIT, status == 400 ? 431 : status,
                            "Connection is longer than PN_CONNECTION_BYTES_MAX");
    if (framing->connection.len == 0) {
        framing->connection = value;
    } else {
        both = pn_arena_printf(arena, "%.*s,%.*s", PN_FMT(framing->connection), PN_FMT(value));
        if (!both)
            return pn_h1_refuse(fault, PN_NOMEM, 500, "out of memory");
        framing->connection = pn_slice_str(both);
    }
    while (pn_slice_cut(&value, ',', &part)) {
        part = pn_slice_trim(part);
        framing->says_close = framing->says_close || pn_slice_case_eq_str(part, "close");
        framing->says_keep_alive =
            framing->says_keep_alive || pn_slice_case_eq_str(part, "keep-alive");
    }
    return PN_OK;
}

#define OF_FRAMING                                                                                 \
    (PN_HEADER_BIT(PN_HEADER_CONNECTION) | PN_HEADER_BIT(PN_HEADER_CONTENT_LENGTH) |               \
     PN_HEADER_BIT(PN_HEADER_TRANSFER_ENCODING))

enum pn_rc pn_h1_read_framing(struct pn_headers *headers, int minor_version, enum pn_h1_side side,
                              struct pn_h1_framing_fields *framing, struct pn_http_fault *fault)
{
    int status = side == PN_H1_REQUEST ? 400 : 502;

    *framing = (struct pn_h1_framing_fields){0};
    for (size_t i = 0; i < headers->count && (headers->kinds & OF_FRAMING) != 0; i++) {
        struct pn_header *field = &headers->items[i];
        enum pn_rc rc = PN_OK;

        if (field->kind == PN_HEADER_CONNECTION)
            rc = read_connection(field->value, headers->arena, status, framing, fault);
        else if (field->kind == PN_HEADER_CONTENT_LENGTH)
            rc = read_content_length(field, status, framing, fault);
        else if (field->kind == PN_HEADER_TRANSFER_ENCODING)
            rc = read_transfer_encoding(field->value, status, framing, fault);
        if (rc != PN_OK)
            return rc;
    }
    if (framing->is_chunked && framing->has_length) /* RFC 9112 §6.1, §6.3: an attack; refused */
        return pn_h1_refuse(fault, PN_MALFORMED, status,
                            "both Transfer-Encoding and Content-Length are there");
    if (framing->is_chunked && minor_version == 0) /* RFC 9112 §6.1: faulty framing */
        return pn_h1_refuse(fault, PN_MALFORMED, status, "Transfer-Encoding in HTTP/1.0");
    return PN_OK;
}
