/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks of single values.
 */
#include "model/text.h"

#include <string.h>

/** Bytes of the UTF-8 sequence at the front, or 0 (RFC 3629 §4: no overlong form, no surrogate). */
static size_t sequence(const unsigned char *bytes, size_t len)
{
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
    size_t more = 0;

    if (bytes[0] < 0x80)
        return 1;
    if (bytes[0] >= 0xc2 && bytes[0] <= 0xdf)
        more = 1;
    else if (bytes[0] >= 0xe0 && bytes[0] <= 0xef)
        more = 2;
    else if (bytes[0] >= 0xf0 && bytes[0] <= 0xf4)
        more = 3;
    else
        return 0;
    if (len <= more)
        return 0;
    if (bytes[0] == 0xe0)
        low = 0xa0;
    else if (bytes[0] == 0xed)
        high = 0x9f;
    else if (bytes[0] == 0xf0)
        low = 0x90;
    else if (bytes[0] == 0xf4)
        high = 0x8f;
    if (bytes[1] < low || bytes[1] > high)
        return 0;
    for (size_t i = 2; i <= more; i++)
        if (bytes[i] < 0x80 || bytes[i] > 0xbf)
            return 0;
    return more + 1;
}

bool pn_text_length(struct pn_slice text, size_t *length)
{
    size_t at = 0;

    *length = 0;
    while (at < text.len) {
        size_t step = sequence((const unsigned char *)text.ptr + at, text.len - at);

        if (step == 0)
            return false;
        at += step;
        (*length)++;
    }
    return true;
}

bool pn_text_has_control(struct pn_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return true;
    return false;
}

bool pn_text_to_i64(struct pn_slice text, int64_t *value)
{
    bool is_negative = text.len > 0 && text.ptr[0] == '-';
    uint64_t number = 0;

    if (is_negative)
        text = pn_slice_sub(text, 1, text.len - 1);
    if (!pn_slice_to_u64(text, (uint64_t)INT64_MAX, &number))
        return false;
    *value = is_negative ? -(int64_t)number : (int64_t)number;
    return true;
}

#define DURATION_UNITS_MAX UINT64_C(100000000)

/** Reads "12" or "12.5" off the front, in thousandths. */
static bool read_number(struct pn_slice *rest, uint64_t *thousandths, bool *has_fraction)
{
    uint64_t whole = 0;
    uint64_t fraction = 0;
    uint64_t place = 100;
    size_t at = 0;
    size_t start = 0;

    while (at < rest->len && rest->ptr[at] >= '0' && rest->ptr[at] <= '9')
        at++;
    if (!pn_slice_to_u64(pn_slice_sub(*rest, 0, at), DURATION_UNITS_MAX, &whole))
        return false;
    *has_fraction = at < rest->len && (rest->ptr[at] == '.' || rest->ptr[at] == ',');
    if (*has_fraction) {
        start = ++at;
        for (; at < rest->len && rest->ptr[at] >= '0' && rest->ptr[at] <= '9'; at++) {
            fraction += (uint64_t)(rest->ptr[at] - '0') * place;
            place /= 10;
        }
        if (at == start)
            return false;
    }
    *thousandths = whole * 1000 + fraction;
    *rest = pn_slice_sub(*rest, at, rest->len - at);
    return true;
}

bool pn_text_to_duration_ms(struct pn_slice text, uint64_t *ms)
{
    static const struct {
        char letter;
        bool is_time;
        uint64_t seconds;
    } units[] = {{'W', false, 604800},
                 {'D', false, 86400},
                 {'H', true, 3600},
                 {'M', true, 60},
                 {'S', true, 1}};
    size_t next = 0;
    bool in_time = false;
    bool is_done = false; /* a fraction ends it */
    size_t found = 0;

    *ms = 0;
    if (text.len < 2 || text.ptr[0] != 'P')
        return false;
    text = pn_slice_sub(text, 1, text.len - 1);
    while (text.len > 0) {
        uint64_t thousandths = 0;

        if (is_done)
            return false;
        if (text.ptr[0] == 'T' && !in_time) {
            in_time = true;
            text = pn_slice_sub(text, 1, text.len - 1);
            if (text.len == 0)
                return false;
        }
        if (!read_number(&text, &thousandths, &is_done) || text.len == 0)
            return false;
        while (next < 5 && (units[next].letter != text.ptr[0] || units[next].is_time != in_time))
            next++;
        if (next == 5)
            return false;
        *ms += thousandths * units[next].seconds;
        next++;
        found++;
        text = pn_slice_sub(text, 1, text.len - 1);
    }
    return found > 0;
}

static bool is_host_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           memchr("-._:[]", c, 6) != NULL || ((unsigned char)c & 0x80) != 0;
}

/** "host", "host:port", "[v6]:port". */
static bool is_authority(struct pn_slice authority)
{
    uint64_t port = 0;
    size_t colon = 0;

    if (authority.len == 0)
        return false;
    for (size_t i = 0; i < authority.len; i++)
        if (!is_host_byte(authority.ptr[i]))
            return false;
    if (authority.ptr[0] == '[') {
        size_t close = pn_slice_find(authority, ']');

        if (close == authority.len || close == 1)
            return false;
        colon = close + 1;
        if (colon < authority.len && authority.ptr[colon] != ':')
            return false;
    } else {
        colon = pn_slice_find(authority, ':');
        if (colon == 0)
            return false;
    }
    if (colon == authority.len)
        return true;
    return pn_slice_to_u64(pn_slice_sub(authority, colon + 1, authority.len - colon - 1), 65535,
                           &port) &&
           port > 0;
}

/** What follows "scheme://" (then *rest) when that is one of these two. */
static bool cut_scheme(struct pn_slice text, struct pn_slice plain, struct pn_slice secure,
                       struct pn_slice *rest)
{
    size_t len = 0;

    if (pn_slice_case_starts_with(text, secure))
        len = secure.len;
    else if (pn_slice_case_starts_with(text, plain))
        len = plain.len;
    *rest = pn_slice_sub(text, len, text.len - len);
    return len > 0;
}

static bool is_behind_scheme(struct pn_slice text)
{
    size_t end = 0;

    while (end < text.len && text.ptr[end] != '/' && text.ptr[end] != '?')
        end++;
    if (!is_authority(pn_slice_sub(text, 0, end)))
        return false;
    for (size_t i = end; i < text.len; i++)
        if ((unsigned char)text.ptr[i] <= ' ' || text.ptr[i] == '#' || text.ptr[i] == 0x7f)
            return false;
    return true;
}

bool pn_text_is_http_url(struct pn_slice text)
{
    struct pn_slice rest;

    return cut_scheme(text, PN_LIT("http://"), PN_LIT("https://"), &rest) && is_behind_scheme(rest);
}

bool pn_text_is_websocket_url(struct pn_slice text)
{
    struct pn_slice rest;

    return cut_scheme(text, PN_LIT("ws://"), PN_LIT("wss://"), &rest) && is_behind_scheme(rest);
}
