/* SPDX-License-Identifier: Apache-2.0
 *
 * Queries: "a=1&b". Names are compared decoded; bytes nobody asked about are never rewritten.
 */
#include <string.h>

#include "http/h1_internal.h"
#include "http/uri.h"

/* Cuts the next part, which may be empty; false when there is none. */
static bool next_part(struct pn_slice *rest, struct pn_slice *part)
{
    size_t end = 0;

    if (!rest->ptr)
        return false;
    end = pn_slice_find(*rest, '&');
    *part = pn_slice(rest->ptr, end);
    if (end == rest->len)
        *rest = (struct pn_slice){NULL, 0};
    else
        *rest = pn_slice(rest->ptr + end + 1, rest->len - end - 1);
    return true;
}

static unsigned char lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c + ('a' - 'A')) : c;
}

/* Compares a raw name with a decoded one; a broken escape stands for its own bytes. */
static bool name_matches(struct pn_slice raw, struct pn_slice name, bool ignore_case)
{
    size_t n = 0;

    for (size_t i = 0; i < raw.len; i++, n++) {
        unsigned char c = (unsigned char)raw.ptr[i];
        unsigned char wanted = 0;

        if (c == '+') {
            c = ' ';
        } else if (c == '%' && raw.len - i > 2) {
            int high = pn_h1_hex_digit((unsigned char)raw.ptr[i + 1]);
            int low = pn_h1_hex_digit((unsigned char)raw.ptr[i + 2]);

            if (high >= 0 && low >= 0) {
                c = (unsigned char)(high << 4 | low);
                i += 2;
            }
        }
        if (n >= name.len)
            return false;
        wanted = (unsigned char)name.ptr[n];
        if (ignore_case ? lower(c) != lower(wanted) : c != wanted)
            return false;
    }
    return n == name.len;
}

static struct pn_slice part_name(struct pn_slice part)
{
    return pn_slice_sub(part, 0, pn_slice_find(part, '='));
}

bool pn_query_next(struct pn_slice *rest, struct pn_slice *name, struct pn_slice *value)
{
    struct pn_slice part;

    while (next_part(rest, &part)) {
        if (part.len == 0)
            continue;
        *name = part_name(part);
        *value = (struct pn_slice){NULL, 0};
        if (name->len < part.len)
            *value = pn_slice(part.ptr + name->len + 1, part.len - name->len - 1);
        return true;
    }
    return false;
}

bool pn_query_find(struct pn_slice query, struct pn_slice name, bool ignore_case,
                   struct pn_slice *value)
{
    struct pn_slice raw_name;
    struct pn_slice raw_value;

    while (pn_query_next(&query, &raw_name, &raw_value)) {
        if (!name_matches(raw_name, name, ignore_case))
            continue;
        if (value)
            *value = raw_value;
        return true;
    }
    return false;
}

/* Puts `replacement` (or nothing, when its ptr is NULL) in place of the first part of that name,
 * and nothing in place of the others. */
static enum pn_rc replace(struct pn_slice query, struct pn_slice name, struct pn_slice replacement,
                          struct pn_arena *arena, struct pn_slice *out)
{
    char *text = pn_arena_alloc(arena, query.len + replacement.len + 1);
    struct pn_slice part;
    size_t n = 0;
    bool is_first = true;

    if (!text)
        return PN_NOMEM;
    while (next_part(&query, &part)) {
        if (part.len > 0 && name_matches(part_name(part), name, false)) {
            part = replacement;
            replacement = (struct pn_slice){NULL, 0};
            if (!part.ptr)
                continue;
        }
        if (!is_first)
            text[n++] = '&';
        is_first = false;
        if (part.len > 0)
            memcpy(text + n, part.ptr, part.len);
        n += part.len;
    }
    *out = pn_slice(text, n);
    return PN_OK;
}

enum pn_rc pn_query_remove(struct pn_slice query, struct pn_slice name, struct pn_arena *arena,
                           struct pn_slice *out)
{
    if (!pn_query_find(query, name, false, NULL)) {
        *out = query;
        return PN_OK;
    }
    return replace(query, name, (struct pn_slice){NULL, 0}, arena, out);
}

static enum pn_rc encode_pair(struct pn_slice name, struct pn_slice value, struct pn_arena *arena,
                              struct pn_slice *out)
{
    struct pn_slice raw_name;
    struct pn_slice raw_value;
    char *text = NULL;
    enum pn_rc rc = pn_uri_encode(name, arena, &raw_name);

    if (rc != PN_OK)
        return rc;
    rc = pn_uri_encode(value, arena, &raw_value);
    if (rc != PN_OK)
        return rc;
    text = pn_arena_alloc(arena, raw_name.len + 1 + raw_value.len);
    if (!text)
        return PN_NOMEM;
    memcpy(text, raw_name.ptr, raw_name.len);
    text[raw_name.len] = '=';
    memcpy(text + raw_name.len + 1, raw_value.ptr, raw_value.len);
    *out = pn_slice(text, raw_name.len + 1 + raw_value.len);
    return PN_OK;
}

enum pn_rc pn_query_join(struct pn_slice a, struct pn_slice b, struct pn_arena *arena,
                         struct pn_slice *out)
{
    char *text = NULL;

    if (a.len == 0 || b.len == 0) {
        *out = a.len > 0 ? a : b;
        return PN_OK;
    }
    text = pn_arena_alloc(arena, a.len + 1 + b.len);
    if (!text)
        return PN_NOMEM;
    memcpy(text, a.ptr, a.len);
    text[a.len] = '&';
    memcpy(text + a.len + 1, b.ptr, b.len);
    *out = pn_slice(text, a.len + 1 + b.len);
    return PN_OK;
}

enum pn_rc pn_query_append(struct pn_slice query, struct pn_slice name, struct pn_slice value,
                           struct pn_arena *arena, struct pn_slice *out)
{
    struct pn_slice pair;
    enum pn_rc rc = encode_pair(name, value, arena, &pair);

    if (rc != PN_OK)
        return rc;
    return pn_query_join(query, pair, arena, out);
}

enum pn_rc pn_query_set(struct pn_slice query, struct pn_slice name, struct pn_slice value,
                        struct pn_arena *arena, struct pn_slice *out)
{
    struct pn_slice pair;
    enum pn_rc rc = encode_pair(name, value, arena, &pair);

    if (rc != PN_OK)
        return rc;
    if (!pn_query_find(query, name, false, NULL))
        return pn_query_join(query, pair, arena, out);
    return replace(query, name, pair, arena, out);
}
