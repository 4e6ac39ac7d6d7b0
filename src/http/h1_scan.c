/* SPDX-License-Identifier: Apache-2.0
 *
 * Finds the end of a head (RFC 9112 §2.1, §2.2), at whatever pace its bytes arrive.
 *
 * Nearly always a head arrives whole: a short loop finds that, and what is anything else begins
 * anew. Then every byte is looked at once: memchr to the next LF, the line's border checked, the
 * rest remembered. Bytes inside a line are judged by the parser, except in the start line of a
 * request, where what cannot become HTTP (a TLS hello on a plain port) is refused before more of it
 * is waited for.
 */
#include <string.h>

#include "http/h1_internal.h"

static enum pn_rc check_start(const struct pn_h1_scan *scan, enum pn_h1_side side,
                              struct pn_slice in, struct pn_http_fault *fault)
{
    struct pn_slice line = pn_slice_sub(in, scan->line, in.len);

    if (side == PN_H1_RESPONSE) {
        struct pn_slice version = PN_LIT("HTTP/1.");
        size_t len = line.len < version.len ? line.len : version.len;

        if (memcmp(line.ptr, version.ptr, len) != 0)
            return pn_h1_refuse(fault, PN_MALFORMED, 502, "the answer is not HTTP/1");
        return PN_OK;
    }
    for (size_t i = 0; i < line.len && line.ptr[i] != ' '; i++) {
        if (line.ptr[i] == '\r' && i == 0)
            break; /* perhaps an empty line in front */
        if (!pn_h1_is_tchar((unsigned char)line.ptr[i]))
            return pn_h1_refuse(fault, PN_MALFORMED, 400, "the request method is not a token");
        if (i >= PN_METHOD_BYTES_MAX)
            return pn_h1_refuse(fault, PN_LIMIT, 501,
                                "the request method is longer than PN_METHOD_BYTES_MAX");
    }
    return PN_OK;
}

/* The line [scan->line, lf) has ended. *is_end: it was the empty line behind the fields. */
static enum pn_rc end_line(struct pn_h1_scan *scan, enum pn_h1_side side, struct pn_slice in,
                           size_t lf, bool *is_end, struct pn_http_fault *fault)
{
    int status = side == PN_H1_REQUEST ? 400 : 502;

    if (lf == scan->line || in.ptr[lf - 1] != '\r')
        return pn_h1_refuse(fault, PN_MALFORMED, status, "a line ends with LF alone");
    if (lf - 1 == scan->line) {
        if (scan->lines > 0) {
            *is_end = true;
            return PN_OK;
        }
        if (side == PN_H1_RESPONSE || scan->skipped > 0)
            return pn_h1_refuse(fault, PN_MALFORMED, status, "an empty line stands first");
        scan->skipped++;
    } else {
        scan->lines++;
    }
    scan->line = lf + 1;
    return PN_OK;
}

/* A start line is method SP target SP version CR: what is longer has too long a target. */
static bool is_start_line_too_long(const struct pn_h1_scan *scan, enum pn_h1_side side,
                                   size_t line_bytes, const struct pn_http_limits *limits)
{
    return side == PN_H1_REQUEST && scan->lines == 0 &&
           line_bytes > limits->target_bytes_max + PN_METHOD_BYTES_MAX + sizeof("  HTTP/1.1");
}

/* What has arrived is no whole head: may there be more of it? */
static enum pn_rc check_unfinished(const struct pn_h1_scan *scan, enum pn_h1_side side,
                                   struct pn_slice in, const struct pn_http_limits *limits,
                                   struct pn_http_fault *fault)
{
    bool is_request = side == PN_H1_REQUEST;

    if (is_start_line_too_long(scan, side, in.len - scan->line, limits))
        return pn_h1_refuse(fault, PN_LIMIT, 414,
                            "the request target is longer than the limit target-bytes");
    if (in.len >= limits->header_bytes_max)
        return pn_h1_refuse(fault, PN_LIMIT, is_request ? 431 : 502,
                            "the head is longer than the limit header-bytes");
    return PN_AGAIN;
}

enum { BLOCK = 16 };

/** A whole head without anything to say about it: its length. 0: look closer. Sixteen bytes at a
 *  time, beginning behind the second one, so that there are two in front of each. */
static size_t find_plain_end(enum pn_h1_side side, struct pn_slice in,
                             const struct pn_http_limits *limits)
{
    const char *last, *lf;

    if (in.len < BLOCK + 2 || in.len > limits->header_bytes_max)
        return 0;
    if (side == PN_H1_REQUEST && in.len > limits->target_bytes_max) {
        lf = memchr(in.ptr, '\n', in.len);
        if (!lf || (size_t)(lf - in.ptr) > limits->target_bytes_max)
            return 0;
    }
    if (in.ptr[0] == '\r' || in.ptr[0] == '\n' || in.ptr[1] == '\n')
        return 0; /* an empty line in front */
    last = in.ptr + in.len - BLOCK;
    for (const char *at = in.ptr + 2;; at = last - at > BLOCK ? at + BLOCK : last) {
        unsigned lfs = pn_word_places16(at, '\n');

        if (lfs != 0) {
            unsigned behind_cr = lfs & pn_word_places16(at - 1, '\r');
            unsigned ends = behind_cr & pn_word_places16(at - 2, '\n');

            if (behind_cr != lfs)
                return 0;
            if (ends != 0)
                return (size_t)(at - in.ptr) + (size_t)__builtin_ctz(ends) + 1;
        }
        if (at == last)
            return 0;
    }
}

enum pn_rc pn_h1_scan(struct pn_h1_scan *scan, enum pn_h1_side side, struct pn_slice in,
                      const struct pn_http_limits *limits, size_t *head_bytes,
                      struct pn_http_fault *fault)
{
    bool is_end = false;

    if (scan->checked == 0 && in.len > 0 && check_start(scan, side, in, fault) == PN_OK) {
        *head_bytes = find_plain_end(side, in, limits);
        if (*head_bytes > 0) {
            scan->checked = *head_bytes;
            return PN_OK;
        }
    }
    while (scan->checked < in.len) {
        const char *lf = NULL;
        size_t at = 0;
        enum pn_rc rc = PN_OK;

        if (scan->lines == 0) {
            rc = check_start(scan, side, in, fault);
            if (rc != PN_OK)
                return rc;
        }
        lf = memchr(in.ptr + scan->checked, '\n', in.len - scan->checked);
        if (!lf) {
            scan->checked = in.len;
            break;
        }
        at = (size_t)(lf - in.ptr);
        if (is_start_line_too_long(scan, side, at - scan->line, limits))
            return pn_h1_refuse(fault, PN_LIMIT, 414,
                                "the request target is longer than the limit target-bytes");
        if (at >= limits->header_bytes_max) /* first: its line may not have been seen, either */
            return pn_h1_refuse(fault, PN_LIMIT, side == PN_H1_REQUEST ? 431 : 502,
                                "the head is longer than the limit header-bytes");
        rc = end_line(scan, side, in, at, &is_end, fault);
        if (rc != PN_OK)
            return rc;
        scan->checked = at + 1;
        if (is_end) {
            *head_bytes = scan->checked;
            return PN_OK;
        }
    }
    return check_unfinished(scan, side, in, limits, fault);
}
