/* SPDX-License-Identifier: Apache-2.0
 *
 * The fields of header blocks (RFC 9113 §8.2, §8.3). nghttp2 is told to check nothing of this: it
 * would drop or reset without a reason, and what passes here must pass the rules of HTTP/1.1 too,
 * because it may be written as that. Stricter than the RFC asks, as in http/h1.h: a repeated
 * Content-Length or Host, an authority that differs from Host, "te" with more than "trailers".
 *
 * A field that breaks a rule makes the head bad, not the connection: the rest of the block is
 * decoded (HPACK has a state) and dropped. Only above head_bytes_hard_max that is no longer done.
 */
#include <string.h>

#include "base/limits.h"
#include "http/h1_internal.h"
#include "http/h2_internal.h"

enum { FIELD_OVERHEAD = 32 }; /* RFC 9113 §6.5.2 */
enum { TYPE_BYTES_MAX = 64 };

void pn_h2_head_refuse(struct h2_head *head, enum pn_rc rc, int status, const char *cause)
{
    if (head->fault.cause)
        return;
    head->rc = rc;
    head->fault = (struct pn_http_fault){status, cause};
}

static void over(struct h2_head *head, enum pn_limit limit, int status, const char *cause)
{
    pn_limit_hit(limit);
    pn_h2_head_refuse(head, PN_LIMIT, status, cause);
}

void pn_h2_head_malformed(struct h2_head *head, const char *cause)
{
    pn_h2_head_refuse(head, PN_MALFORMED, 400, cause);
}

void pn_h2_head_begin(struct pn_h2 *h2, struct h2_stream *stream, bool is_trailer)
{
    struct h2_head *head = &h2->head;
    const struct pn_http_limits *limits = &h2->config.http;

    memset(head, 0, sizeof(*head));
    head->stream = stream;
    head->is_trailer = is_trailer;
    head->bytes_max = limits->header_bytes_max;
    head->count_max = limits->header_count_max;
    if (is_trailer && limits->trailer_bytes_max < head->bytes_max)
        head->bytes_max = limits->trailer_bytes_max;
    if (is_trailer && limits->trailer_count_max < head->count_max)
        head->count_max = limits->trailer_count_max;
    if (!stream)
        return;
    pn_headers_init(&head->headers, stream->arena);
    pn_headers_init(&head->crumbs, stream->arena);
}

/* A name or a value, as nghttp2 has decoded it. */
struct text {
    struct pn_slice bytes;
    bool is_lasting; /* of nghttp2's static table, which lives for ever */
};

static inline struct text text_of(nghttp2_rcbuf *rcbuf)
{
    nghttp2_vec vec = nghttp2_rcbuf_get_buf(rcbuf);

    return (struct text){pn_slice(vec.base, vec.len), nghttp2_rcbuf_is_static(rcbuf) != 0};
}

static struct pn_slice copy_of(struct h2_head *head, struct pn_slice bytes)
{
    struct pn_slice copy = {"", 0};

    if (bytes.len == 0)
        return copy;
    copy = pn_arena_dup(head->stream->arena, bytes);
    if (!copy.ptr)
        pn_h2_head_refuse(head, PN_NOMEM, 500, "out of memory");
    return copy;
}

/* What does not last is copied into the arena of the head. */
static inline struct pn_slice keep(struct h2_head *head, const struct text *text)
{
    return text->is_lasting ? text->bytes : copy_of(head, text->bytes);
}

/* ---- fields ---- */

/* Of the length of `text`, a literal, is the name already. */
#define IS(name, text) (memcmp((name).ptr, text, sizeof(text) - 1) == 0)

/* Where a pseudo-header is kept. NULL: none that we know. */
static inline struct pn_slice *pseudo_of(struct pn_h2 *h2, struct pn_slice name)
{
    struct h2_head *head = &h2->head;

    if (!h2->is_server)
        return name.len == 7 && IS(name, ":status") ? &head->status : NULL;
    switch (name.len) {
    case 5:
        return IS(name, ":path") ? &head->path : NULL;
    case 7:
        if (IS(name, ":method"))
            return &head->method;
        return IS(name, ":scheme") ? &head->scheme : NULL;
    case 9:
        return h2->config.allows_connect && IS(name, ":protocol") ? &head->protocol : NULL;
    case 10:
        return IS(name, ":authority") ? &head->authority : NULL;
    default:
        return NULL;
    }
}

static void on_pseudo(struct pn_h2 *h2, struct pn_slice name, const struct text *value)
{
    struct h2_head *head = &h2->head;
    struct pn_slice *place = NULL;

    if (head->is_trailer) {
        pn_h2_head_malformed(head, "a trailer begins with a colon");
        return;
    }
    if (head->has_regular) {
        pn_h2_head_malformed(head, "a pseudo-header comes after other headers");
        return;
    }
    place = pseudo_of(h2, name);
    if (!place) {
        pn_h2_head_malformed(head, "a pseudo-header is unknown here");
        return;
    }
    if (place->ptr) {
        pn_h2_head_malformed(head, "a pseudo-header is repeated");
        return;
    }
    if (place == &head->path && value->bytes.len > h2->config.http.target_bytes_max) {
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

/* A field of which on_regular() has judged name and value. */
static inline void add(struct h2_head *head, enum pn_header_kind kind, struct pn_slice name,
                       bool is_lasting, struct pn_slice value)
{
    struct pn_header field = {name, value, kind, true, false, is_lasting};

    if (pn_headers_add_judged(&head->headers, &field) != PN_OK)
        pn_h2_head_refuse(head, PN_NOMEM, 500, "out of memory");
}

/* Host is made of :authority, in front of the fields, as HTTP/1.1 has it. */
void pn_h2_head_begin_regular(struct h2_head *head)
{
    if (head->has_regular)
        return;
    head->has_regular = true;
    if (head->authority.len > 0) { /* judged when the block is whole */
        struct pn_header host = {PN_LIT("host"), head->authority, PN_HEADER_HOST,
                                 false,          false,           true};

        if (pn_headers_add_judged(&head->headers, &host) != PN_OK)
            pn_h2_head_refuse(head, PN_NOMEM, 500, "out of memory");
        head->has_host = true;
    }
}

static void on_host(struct h2_head *head, struct pn_slice value)
{
    if (!head->has_host) {
        head->has_host = true;
        head->authority = value;
        add(head, PN_HEADER_HOST, PN_LIT("host"), true, value);
    } else if (!head->is_trailer && !pn_slice_case_eq(head->authority, value)) {
        pn_h2_head_malformed(head, "host differs from :authority, or is repeated");
    }
}

static void on_length(struct h2_head *head, struct pn_slice value)
{
    if (head->length.ptr) {
        pn_h2_head_malformed(head, "content-length is repeated");
        return;
    }
    head->length = value;
    add(head, PN_HEADER_CONTENT_LENGTH, PN_LIT("content-length"), true,
        pn_http_without_zeros(value));
}

static void on_crumb(struct h2_head *head, struct pn_slice value)
{
    head->crumb_count++;
    if (head->crumb_count == 1)
        /* its value is put together at the end */
        add(head, PN_HEADER_OTHER, PN_LIT("cookie"), true, value);
    if (value.len == 0) /* at the end it would leave a space there */
        return;
    head->crumb_bytes += value.len + 2;
    if (pn_headers_add(&head->crumbs, PN_LIT("cookie"), value) != PN_OK)
        pn_h2_head_refuse(head, PN_NOMEM, 500, "out of memory");
}

static void on_regular(struct pn_h2 *h2, const struct text *name, const struct text *value)
{
    struct h2_head *head = &h2->head;
    enum pn_header_kind kind;
    struct pn_slice kept;

    if (!name->is_lasting && !is_name(name->bytes)) {
        pn_h2_head_malformed(head, "a header name is no token in lower case");
        return;
    }
    if (!value->is_lasting && !pn_header_value_is_valid(value->bytes)) {
        pn_h2_head_malformed(
            head, "a header value has a control character, or begins or ends with a space");
        return;
    }
    kind = pn_header_kind_of_lower(name->bytes);
    if ((PN_H2_OF_CONNECTION & PN_HEADER_BIT(kind)) != 0 ||
        (kind == PN_HEADER_TE && !pn_slice_case_eq_str(value->bytes, "trailers"))) {
        pn_h2_head_malformed(head, "a header of the connection, which HTTP/2 does not have");
        return;
    }
    if (!head->is_trailer)
        pn_h2_head_begin_regular(head);
    else if (!pn_http_is_trailer_allowed(name->bytes))
        return;
    kept = keep(head, value);
    if (h2->is_server && kind == PN_HEADER_HOST)
        on_host(head, kept);
    else if (kind == PN_HEADER_CONTENT_LENGTH)
        on_length(head, kept);
    else if (h2->is_server && name->bytes.len == 6 && IS(name->bytes, "cookie"))
        on_crumb(head, kept);
    else
        add(head, kind, keep(head, name), name->is_lasting, kept);
}

/* Which of the limits it was. */
static void too_big(struct h2_head *head, const struct pn_http_limits *limits)
{
    if (head->is_trailer && head->bytes > limits->trailer_bytes_max)
        over(head, PN_LIMIT_TRAILER_BYTES, 431,
             "trailer fields are longer than the limit trailer-bytes");
    else if (head->is_trailer && head->count > limits->trailer_count_max)
        over(head, PN_LIMIT_TRAILER_COUNT, 431, "more trailer fields than the limit trailer-count");
    else if (head->bytes > limits->header_bytes_max)
        over(head, PN_LIMIT_HEADER_BYTES, 431, "the head is longer than the limit header-bytes");
    else
        over(head, PN_LIMIT_HEADER_COUNT, 431, "more header fields than the limit header-count");
}

/* Of a request that is refused already: what it is of says how the refusal is worded. */
static void keep_type(struct pn_h2 *h2, const struct text *name, const struct text *value)
{
    struct h2_head *head = &h2->head;

    if (h2->is_server && !head->is_trailer && name->bytes.len == 12 &&
        IS(name->bytes, "content-type") && value->bytes.len <= TYPE_BYTES_MAX &&
        pn_header_value_is_valid(value->bytes) && !pn_headers_has(&head->headers, "content-type"))
        add(head, PN_HEADER_OTHER, PN_LIT("content-type"), true, keep(head, value));
}

void pn_h2_head_field(struct pn_h2 *h2, nghttp2_rcbuf *name_buf, nghttp2_rcbuf *value_buf)
{
    struct text name = text_of(name_buf);
    struct text value = text_of(value_buf);
    struct h2_head *head = &h2->head;

    head->bytes += name.bytes.len + value.bytes.len + FIELD_OVERHEAD;
    head->count++;
    if (head->bytes > h2->config.head_bytes_hard_max) {
        pn_limit_hit(PN_LIMIT_H2_HEAD_BYTES);
        pn_h2_fail(h2, PN_LIMIT, PN_H2_ENHANCE_YOUR_CALM,
                   "a head is longer than the limit h2-head-bytes");
        return;
    }
    if (!head->stream)
        return;
    if (!head->fault.cause && (head->bytes > head->bytes_max || head->count > head->count_max))
        too_big(head, &h2->config.http);
    if (head->fault.cause)
        keep_type(h2, &name, &value);
    else if (name.bytes.len > 0 && name.bytes.ptr[0] == ':')
        on_pseudo(h2, name.bytes, &value);
    else
        on_regular(h2, &name, &value);
}
