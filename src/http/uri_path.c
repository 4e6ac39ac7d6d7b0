/* SPDX-License-Identifier: Apache-2.0
 *
 * Paths made safe to route by: two readers of the same path (our router and the backend's) must not
 * see different segments (RFC 3986 §5.2.4, §6.2.2).
 */
#include <string.h>

#include "http/h1_internal.h"
#include "http/uri.h"

static bool is_unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/* PN_OK: nothing to do. PN_AGAIN: it must be rewritten; *more: bytes the new text may be longer. */
static enum pn_rc inspect(struct pn_slice path, size_t *more)
{
    bool is_clean = path.len > 0 && path.ptr[0] == '/';

    *more = 2;
    for (size_t i = 0; i < path.len; i++) {
        unsigned char c = (unsigned char)path.ptr[i];

        if (pn_h1_is_label_byte(c))
            continue; /* a byte that means nothing to anybody */
        if (!pn_h1_is_target_byte(c) || c == '?')
            return PN_MALFORMED;
        if (c == '\\')
            *more += 2;
        if (c == '\\' || c == '%' || (c == '.' && i > 0 && path.ptr[i - 1] == '/'))
            is_clean = false;
    }
    return is_clean ? PN_OK : PN_AGAIN;
}

/* One byte or escape of `path` at *i to `out`; returns the bytes written, 0 for a broken escape. */
static size_t copy_one(struct pn_slice path, size_t *i, char *out)
{
    static const char digits[] = "0123456789ABCDEF";
    unsigned char c = (unsigned char)path.ptr[*i];
    int high = 0;
    int low = 0;

    (*i)++;
    if (c == '\\') { /* no URI byte; some servers take it for '/', so it goes on as data only */
        out[0] = '%';
        out[1] = '5';
        out[2] = 'C';
        return 3;
    }
    if (c != '%') {
        *out = (char)c;
        return 1;
    }
    if (path.len - *i < 2)
        return 0;
    high = pn_h1_hex_digit((unsigned char)path.ptr[*i]);
    low = pn_h1_hex_digit((unsigned char)path.ptr[*i + 1]);
    if (high < 0 || low < 0 || (high == 0 && low == 0))
        return 0;
    *i += 2;
    c = (unsigned char)(high << 4 | low);
    if (is_unreserved(c)) {
        *out = (char)c;
        return 1;
    }
    out[0] = '%';
    out[1] = digits[high];
    out[2] = digits[low];
    return 3;
}

/* `n` bytes are written, the last of them a '/': takes back the segment before it. */
static size_t pop_segment(const char *out, size_t n)
{
    if (n <= 1)
        return n;
    n--;
    while (out[n - 1] != '/')
        n--;
    return n;
}

static bool is_escape_at(struct pn_slice text, size_t i, const char *digits)
{
    return i + 2 < text.len && text.ptr[i] == '%' && text.ptr[i + 1] == digits[0] &&
           (text.ptr[i + 2] | 0x20) == digits[1];
}

/* Bytes of what some readers take for a slash at `i`: "%2F", "%5C", a backslash; 0: nothing of it.
 */
static size_t slash_escape_at(struct pn_slice text, size_t i)
{
    if (text.ptr[i] == '\\')
        return 1;
    return is_escape_at(text, i, "2f") || is_escape_at(text, i, "5c") ? 3 : 0;
}

/* Bytes of a dot at `i`, escaped or not; 0: there is none. */
static size_t dot_at(struct pn_slice text, size_t i)
{
    if (text.ptr[i] == '.')
        return 1;
    return is_escape_at(text, i, "2e") ? 3 : 0;
}

/* Where path parameters begin for those who know them: "..;a=b" is ".." to them. */
static bool is_parameter_at(struct pn_slice text, size_t i)
{
    return text.ptr[i] == ';' || is_escape_at(text, i, "3b");
}

bool pn_path_has_dots(struct pn_slice path)
{
    size_t i = 0;

    while (i < path.len) {
        size_t dots = 0;
        size_t len = 0;

        while (i < path.len && (len = dot_at(path, i)) > 0) {
            dots++;
            i += len;
        }
        if ((dots == 1 || dots == 2) && (i == path.len || path.ptr[i] == '/' ||
                                         slash_escape_at(path, i) > 0 || is_parameter_at(path, i)))
            return true;
        while (i < path.len && path.ptr[i] != '/' && slash_escape_at(path, i) == 0)
            i++;
        i += i < path.len && path.ptr[i] == '%' ? 3 : 1;
    }
    return false;
}

unsigned pn_path_readings(struct pn_slice path)
{
    unsigned found = 0;
    bool after_slash = false;
    bool in_parameters = false;

    for (size_t i = 0; i < path.len; i++) {
        bool is_slash = path.ptr[i] == '/';

        if (pn_h1_is_label_byte((unsigned char)path.ptr[i])) {
            after_slash = false;
            continue;
        }
        if (slash_escape_at(path, i) > 0) {
            found |=
                is_escape_at(path, i, "2f") ? PN_PATH_SLASHES_DECODED : PN_PATH_BACKSLASHES_DECODED;
            found |= in_parameters ? PN_PATH_PARAMETERS_FIRST : 0;
        }
        if (is_parameter_at(path, i)) {
            found |= path.ptr[i] == ';' ? PN_PATH_PARAMETERS_CUT : PN_PATH_ESCAPED_CUT;
            in_parameters = true;
        }
        if (is_slash && after_slash)
            found |= PN_PATH_SLASHES_MERGED;
        after_slash = is_slash;
        in_parameters = in_parameters && !is_slash;
    }
    /* a decoded slash or a segment that is nothing but parameters makes new empty segments */
    return found != 0 ? found | PN_PATH_SLASHES_MERGED : found;
}

/* Whether that reader sees path parameters begin at `i`. */
static bool is_cut_at(struct pn_slice path, size_t i, unsigned reading)
{
    if (path.ptr[i] == ';')
        return (reading & PN_PATH_PARAMETERS_CUT) != 0;
    return (reading & PN_PATH_ESCAPED_CUT) != 0 && is_parameter_at(path, i);
}

/* Bytes of what is a slash to that reader at `i`; 0: none. */
static size_t slash_at(struct pn_slice path, size_t i, unsigned reading)
{
    size_t len = slash_escape_at(path, i);
    bool is_slash = len == 3 && path.ptr[i + 1] == '2';

    if (path.ptr[i] == '/')
        return 1;
    return (reading & (is_slash ? PN_PATH_SLASHES_DECODED : PN_PATH_BACKSLASHES_DECODED)) ? len : 0;
}

enum pn_rc pn_path_read_as(struct pn_slice path, unsigned reading, struct pn_arena *arena,
                           struct pn_slice *out)
{
    char *text = pn_arena_alloc(arena, path.len);
    size_t n = 0;
    bool is_cutting = false;

    if (!text)
        return PN_NOMEM;
    for (size_t i = 0; i < path.len; i++) {
        size_t slash = slash_at(path, i, reading);

        if (slash > 1 && is_cutting && (reading & PN_PATH_PARAMETERS_FIRST))
            slash = 0;
        if (slash > 0) {
            is_cutting = false;
            if (n == 0 || text[n - 1] != '/' || !(reading & PN_PATH_SLASHES_MERGED))
                text[n++] = '/';
            i += slash - 1;
            continue;
        }
        is_cutting = is_cutting || is_cut_at(path, i, reading);
        if (!is_cutting)
            text[n++] = path.ptr[i];
    }
    *out = pn_slice(text, n);
    return PN_OK;
}

enum pn_rc pn_path_normalise(struct pn_slice path, struct pn_arena *arena, struct pn_slice *out)
{
    size_t more = 0;
    size_t n = 1;
    size_t segment = 1;
    size_t i = 0;
    char *text = NULL;
    enum pn_rc rc = inspect(path, &more);

    if (rc == PN_OK)
        *out = path;
    if (rc != PN_AGAIN)
        return rc;
    text = pn_arena_alloc(arena, path.len + more);
    if (!text)
        return PN_NOMEM;
    text[0] = '/';
    i = path.len > 0 && path.ptr[0] == '/' ? 1 : 0;
    for (;;) {
        struct pn_slice written;

        if (i < path.len && path.ptr[i] != '/') {
            size_t len = copy_one(path, &i, text + n);

            if (len == 0)
                return PN_MALFORMED;
            n += len;
            continue;
        }
        written = pn_slice(text + segment, n - segment);
        if (pn_slice_eq_str(written, "."))
            n = segment;
        else if (pn_slice_eq_str(written, ".."))
            n = pop_segment(text, segment);
        else if (pn_path_has_dots(written))
            return PN_MALFORMED;
        else if (i < path.len)
            text[n++] = '/';
        segment = n;
        if (i >= path.len)
            break;
        i++;
    }
    *out = pn_slice(text, n);
    return PN_OK;
}

enum pn_rc pn_path_join(struct pn_slice base, struct pn_slice rest, struct pn_arena *arena,
                        struct pn_slice *out)
{
    char *text = NULL;

    if (rest.len > 0 && rest.ptr[0] == '/')
        rest = pn_slice_sub(rest, 1, rest.len);
    if (rest.len == 0) {
        *out = base.len > 0 ? base : PN_LIT("/");
        return PN_OK;
    }
    if (base.len > 0 && base.ptr[base.len - 1] == '/')
        base.len--;
    text = pn_arena_alloc(arena, base.len + 1 + rest.len);
    if (!text)
        return PN_NOMEM;
    if (base.len > 0)
        memcpy(text, base.ptr, base.len);
    text[base.len] = '/';
    memcpy(text + base.len + 1, rest.ptr, rest.len);
    *out = pn_slice(text, base.len + 1 + rest.len);
    return PN_OK;
}

enum pn_rc pn_uri_decode(struct pn_slice text, bool plus_is_space, struct pn_arena *arena,
                         struct pn_slice *out)
{
    size_t n = 0;
    char *copy = NULL;

    if (pn_slice_find(text, '%') == text.len &&
        (!plus_is_space || pn_slice_find(text, '+') == text.len)) {
        *out = text.ptr ? text : PN_LIT("");
        return PN_OK;
    }
    copy = pn_arena_alloc(arena, text.len);
    if (!copy)
        return PN_NOMEM;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        if (c == '%') {
            int high = text.len - i > 2 ? pn_h1_hex_digit((unsigned char)text.ptr[i + 1]) : -1;
            int low = text.len - i > 2 ? pn_h1_hex_digit((unsigned char)text.ptr[i + 2]) : -1;

            if (high < 0 || low < 0)
                return PN_MALFORMED;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        copy[n++] = c;
    }
    *out = pn_slice(copy, n);
    return PN_OK;
}

enum pn_rc pn_uri_encode(struct pn_slice text, struct pn_arena *arena, struct pn_slice *out)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;
    char *copy = NULL;

    if (text.len > SIZE_MAX / 3 - 1)
        return PN_NOMEM;
    copy = pn_arena_alloc(arena, text.len * 3 + 1);
    if (!copy)
        return PN_NOMEM;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (is_unreserved(c)) {
            copy[n++] = (char)c;
            continue;
        }
        copy[n++] = '%';
        copy[n++] = digits[c >> 4];
        copy[n++] = digits[c & 15];
    }
    *out = pn_slice(copy, n);
    return PN_OK;
}
