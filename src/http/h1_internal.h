/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of the HTTP/1.1 engine share: classes of bytes and the reading of field lines.
 */
#pragma once

#include <string.h>

#include "base/word.h"
#include "http/h1.h"

/* Classes of bytes, one bit each. A table, and inline, because every byte of every head passes
 * here, on its way in and on its way out. */
enum {
    PN_H1_TCHAR = 1,  /* RFC 9110 §5.6.2 */
    PN_H1_FIELD = 2,  /* RFC 9110 §5.5: field-vchar, obs-text, SP, HTAB */
    PN_H1_TARGET = 4, /* VCHAR but '#': what may stand in a request target */
    PN_H1_LABEL = 8,  /* letters, digits, '-', and '_', which DNS does not forbid and containers
                       * use */
};
extern const unsigned char pn_h1_classes[256];

static inline bool pn_h1_is_tchar(unsigned char c)
{
    return (pn_h1_classes[c] & PN_H1_TCHAR) != 0;
}

static inline bool pn_h1_is_field_byte(unsigned char c)
{
    return (pn_h1_classes[c] & PN_H1_FIELD) != 0;
}

static inline bool pn_h1_is_target_byte(unsigned char c)
{
    return (pn_h1_classes[c] & PN_H1_TARGET) != 0;
}

static inline bool pn_h1_is_label_byte(unsigned char c)
{
    return (pn_h1_classes[c] & PN_H1_LABEL) != 0;
}

/* Eight bytes at a time, for the bytes that nearly all heads consist of; whatever else there is,
 * the table judges. A byte's highest bit in the result says that the byte is (not) of the class;
 * the sums stay below 256, so that no byte carries into its neighbour. */
/** The bytes that are not SP to '~'. */
static inline uint64_t pn_h1_unprintable8(uint64_t eight)
{
    uint64_t low = eight & PN_WORD_EACH(0x7f);
    uint64_t above_space = low + PN_WORD_EACH(0x80 - ' ');
    uint64_t above_tilde = low + PN_WORD_EACH(0x80 - 0x7f);

    return (~above_space | above_tilde | eight) & PN_WORD_EACH(0x80);
}

/** The bytes that are not '!' to '~', or that are '#'. */
static inline uint64_t pn_h1_untargeted8(uint64_t eight)
{
    uint64_t low = eight & PN_WORD_EACH(0x7f);
    uint64_t from_bang = low + PN_WORD_EACH(0x80 - '!');
    uint64_t above_tilde = low + PN_WORD_EACH(0x80 - 0x7f);
    uint64_t no_hash = (low ^ PN_WORD_EACH('#')) + PN_WORD_EACH(0x7f);

    return (~from_bang | above_tilde | ~no_hash | eight) & PN_WORD_EACH(0x80);
}

/** The bytes that are neither letters nor '-'. */
static inline uint64_t pn_h1_unnamed8(uint64_t eight)
{
    uint64_t low = (eight | PN_WORD_EACH(0x20)) & PN_WORD_EACH(0x7f);
    uint64_t from_a = low + PN_WORD_EACH(0x80 - 'a');
    uint64_t above_z = low + PN_WORD_EACH(0x80 - ('z' + 1));
    uint64_t no_dash = ((eight ^ PN_WORD_EACH('-')) & PN_WORD_EACH(0x7f)) + PN_WORD_EACH(0x7f);

    return (((~from_a | above_z) & no_dash) | eight) & PN_WORD_EACH(0x80);
}

/** Sixteen bytes at `at`: which are not SP to '~'? Bit 0 stands for the first. */
static inline unsigned pn_h1_unprintable16(const char *at)
{
#ifdef __SSE2__
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i from_space = _mm_cmpgt_epi8(bytes, _mm_set1_epi8(' ' - 1)); /* signed: not 0x80 on */
    __m128i del = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));

    return (unsigned)_mm_movemask_epi8(_mm_andnot_si128(del, from_space)) ^ 0xffff;
#else
    return pn_word_marked(pn_h1_unprintable8(pn_word_load(at))) |
           pn_word_marked(pn_h1_unprintable8(pn_word_load(at + 8))) << 8;
#endif
}

/** Which of the sixteen are neither letters nor '-'? */
static inline unsigned pn_h1_unnamed16(const char *at)
{
#ifdef __SSE2__
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i small = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
    /* 'z' becomes the greatest number there is; what is above it wraps. */
    __m128i shifted = _mm_add_epi8(small, _mm_set1_epi8(0x7f - 'z'));
    __m128i letter = _mm_cmpgt_epi8(shifted, _mm_set1_epi8(0x7f - 26));
    __m128i dash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('-'));

    return (unsigned)_mm_movemask_epi8(_mm_or_si128(letter, dash)) ^ 0xffff;
#else
    return pn_word_marked(pn_h1_unnamed8(pn_word_load(at))) |
           pn_word_marked(pn_h1_unnamed8(pn_word_load(at + 8))) << 8;
#endif
}

static inline bool pn_h1_are_printable8(uint64_t eight)
{
    return pn_h1_unprintable8(eight) == 0;
}

static inline bool pn_h1_are_name8(uint64_t eight)
{
    return pn_h1_unnamed8(eight) == 0;
}

/* The last bytes as a whole word where that is possible: some are looked at twice. */
static inline bool pn_h1_are_field_bytes(struct pn_slice text)
{
    size_t i = 0;

    for (; i + 16 <= text.len && pn_h1_unprintable16(text.ptr + i) == 0; i += 16)
        continue;
    for (; i + 8 <= text.len && pn_h1_are_printable8(pn_word_load(text.ptr + i)); i += 8)
        continue;
    if (text.len >= 8 && i + 8 > text.len &&
        pn_h1_are_printable8(pn_word_load(text.ptr + text.len - 8)))
        return true;
    if (text.len >= 4 && text.len < 8 &&
        pn_h1_are_printable8(pn_word_load_short(text.ptr, text.len)))
        return true;
    while (i < text.len && pn_h1_is_field_byte((unsigned char)text.ptr[i]))
        i++;
    return i == text.len;
}

static inline bool pn_h1_are_tchars(struct pn_slice text)
{
    size_t i = 0;

    for (; i + 8 <= text.len && pn_h1_are_name8(pn_word_load(text.ptr + i)); i += 8)
        continue;
    if (text.len >= 8 && i + 8 > text.len && pn_h1_are_name8(pn_word_load(text.ptr + text.len - 8)))
        return true;
    if (text.len >= 4 && text.len < 8 && pn_h1_are_name8(pn_word_load_short(text.ptr, text.len)))
        return true;
    while (i < text.len && pn_h1_is_tchar((unsigned char)text.ptr[i]))
        i++;
    return i == text.len;
}

static inline bool pn_h1_are_target_bytes(struct pn_slice text)
{
    size_t i = 0;

    for (; i + 8 <= text.len && pn_h1_untargeted8(pn_word_load(text.ptr + i)) == 0; i += 8)
        continue;
    while (i < text.len && pn_h1_is_target_byte((unsigned char)text.ptr[i]))
        i++;
    return i == text.len;
}

/* The digit's value, or -1. */
int pn_h1_hex_digit(unsigned char c);

static inline enum pn_rc pn_h1_refuse(struct pn_http_fault *fault, enum pn_rc rc, int status,
                                      const char *cause)
{
    fault->status = status;
    fault->cause = cause;
    return rc;
}

/** Cuts the next line, without its CRLF, off *rest. False: there is no whole line. */
bool pn_h1_cut_line(struct pn_slice *rest, struct pn_slice *line);
/** "name: value" into its parts, OWS trimmed. `bad_status`: the status of a fault. PN_MALFORMED. */
enum pn_rc pn_h1_read_field(struct pn_slice line, int bad_status, struct pn_slice *name,
                            struct pn_slice *value, struct pn_http_fault *fault) PN_MUST_USE;
/** All lines up to the empty one. PN_MALFORMED, PN_LIMIT, PN_NOMEM. */
enum pn_rc pn_h1_read_fields(struct pn_slice *rest, enum pn_h1_side side,
                             const struct pn_http_limits *limits, struct pn_headers *headers,
                             struct pn_http_fault *fault) PN_MUST_USE;

/** What the fields say about the end of the body and of the connection. */
struct pn_h1_framing_fields {
    bool has_length;
    bool is_chunked;
    uint64_t length;
    bool says_close;
    bool says_keep_alive;
    struct pn_slice connection; /* what all Connection fields list */
};
/** RFC 9112 §6. The value of Content-Length loses its leading zeros. PN_MALFORMED, PN_UNSUPPORTED
 *  (501: a transfer coding we do not know), PN_LIMIT. */
enum pn_rc pn_h1_read_framing(struct pn_headers *headers, int minor_version, enum pn_h1_side side,
                              struct pn_h1_framing_fields *framing,
                              struct pn_http_fault *fault) PN_MUST_USE;
/** "HTTP/1.0" or "HTTP/1.1" -> 0 or 1. PN_MALFORMED; PN_UNSUPPORTED: another version. */
enum pn_rc pn_h1_read_version(struct pn_slice text, int *minor_version) PN_MUST_USE;

/* ---- what HTTP/2 reads alike ---- */

/** A number as it is written on: without leading zeros, which some readers take for octal. */
static inline struct pn_slice pn_http_without_zeros(struct pn_slice number)
{
    while (number.len > 1 && number.ptr[0] == '0')
        number = pn_slice_sub(number, 1, number.len);
    return number;
}

/** Whether a list of tokens has `token`, without case. */
bool pn_http_is_listed(struct pn_slice list, struct pn_slice token);
/** RFC 9110 §6.5.1: whether a trailer of that name is passed on. */
bool pn_http_is_trailer_allowed(struct pn_slice name);
/** Reads Expect of a request whose framing is known. PN_UNSUPPORTED (417). */
enum pn_rc pn_http_read_expect(struct pn_request_head *request,
                               struct pn_http_fault *fault) PN_MUST_USE;
