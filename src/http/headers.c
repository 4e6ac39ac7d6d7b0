/* SPDX-License-Identifier: Apache-2.0
 *
 * Header lists. Linear search: a list has a handful of fields, and walking them is cheaper than
 * hashing them.
 */
#include "http/headers.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "http/h1_internal.h"

enum { FIRST_CAPACITY = 24 };

void pn_headers_init(struct pn_headers *headers, struct pn_arena *arena)
{
    *headers = (struct pn_headers){.arena = arena};
}

enum { NAMES_OF_ONE_LENGTH = 2, LONGEST = 19 };

/* The first and the last letter, in lower case. Of those of one length they differ. */
#define ENDS(first, last) (uint16_t)((unsigned char)(first) | (unsigned char)(last) << 8 | 0x2020)

/* By length. Spelt as most write them: then they are the same, and no case has to be looked at.
 * HTTP/2 has them in lower case only. */
static const struct known {
    uint16_t ends;
    enum pn_header_kind kind;
    const char *name;
    const char *lower;
} known[LONGEST + 1][NAMES_OF_ONE_LENGTH] = {
    [2] = {{ENDS('t', 'e'), PN_HEADER_TE, "TE", "te"}},
    [4] = {{ENDS('h', 't'), PN_HEADER_HOST, "Host", "host"},
           {ENDS('d', 'e'), PN_HEADER_DATE, "Date", "date"}},
    [6] = {{ENDS('e', 't'), PN_HEADER_EXPECT, "Expect", "expect"}},
    [7] = {{ENDS('u', 'e'), PN_HEADER_UPGRADE, "Upgrade", "upgrade"},
           {ENDS('t', 'r'), PN_HEADER_TRAILER, "Trailer", "trailer"}},
    [9] = {{ENDS('f', 'd'), PN_HEADER_FORWARDED, "Forwarded", "forwarded"}},
    [10] = {{ENDS('c', 'n'), PN_HEADER_CONNECTION, "Connection", "connection"},
            {ENDS('k', 'e'), PN_HEADER_KEEP_ALIVE, "Keep-Alive", "keep-alive"}},
    [14] = {{ENDS('c', 'h'), PN_HEADER_CONTENT_LENGTH, "Content-Length", "content-length"},
            {ENDS('h', 's'), PN_HEADER_HTTP2_SETTINGS, "HTTP2-Settings", "http2-settings"}},
    [15] = {{ENDS('x', 'r'), PN_HEADER_X_FORWARDED_FOR, "X-Forwarded-For", "x-forwarded-for"}},
    [16] = {{ENDS('x', 't'), PN_HEADER_X_FORWARDED_HOST, "X-Forwarded-Host", "x-forwarded-host"},
            {ENDS('p', 'n'), PN_HEADER_PROXY_CONNECTION, "Proxy-Connection", "proxy-connection"}},
    [17] = {{ENDS('t', 'g'), PN_HEADER_TRANSFER_ENCODING, "Transfer-Encoding", "transfer-encoding"},
            {ENDS('x', 'o'), PN_HEADER_X_FORWARDED_PROTO, "X-Forwarded-Proto",
             "x-forwarded-proto"}},
    [18] = {{ENDS('p', 'e'), PN_HEADER_PROXY_AUTHENTICATE, "Proxy-Authenticate",
             "proxy-authenticate"}},
    [19] = {{ENDS('p', 'n'), PN_HEADER_PROXY_AUTHORIZATION, "Proxy-Authorization",
             "proxy-authorization"}},
};

static bool is_lookalike(struct pn_slice name, const char *text)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i] == '_' ? '-' : name.ptr[i];

        if (!pn_slice_case_eq(pn_slice(&c, 1), pn_slice(text + i, 1)))
            return false;
    }
    return true;
}

/* The one that it may be; NULL: none. */
static inline const struct known *candidate(struct pn_slice name)
{
    uint16_t ends;

    if (name.len == 0 || name.len > LONGEST)
        return NULL;
    ends = ENDS(name.ptr[0], name.ptr[name.len - 1]);
    for (int i = 0; i < NAMES_OF_ONE_LENGTH; i++) {
        if (known[name.len][i].ends == ends)
            return &known[name.len][i];
    }
    return NULL;
}

enum pn_header_kind pn_header_kind_of(struct pn_slice name)
{
    const struct known *one = candidate(name);

    if (!one)
        return PN_HEADER_OTHER;
    if (pn_slice_case_starts_with(name, pn_slice(one->name, name.len)))
        return one->kind;
    return is_lookalike(name, one->name) ? PN_HEADER_LOOKALIKE : PN_HEADER_OTHER;
}

enum pn_header_kind pn_header_kind_of_lower(struct pn_slice name)
{
    const struct known *one = candidate(name);

    if (!one)
        return PN_HEADER_OTHER;
    if (memcmp(name.ptr, one->lower, name.len) == 0)
        return one->kind;
    return is_lookalike(name, one->lower) ? PN_HEADER_LOOKALIKE : PN_HEADER_OTHER;
}

const char *pn_header_lower_name(const struct pn_header *field)
{
    if (field->kind == PN_HEADER_OTHER || field->kind == PN_HEADER_LOOKALIKE)
        return NULL;
    return known[field->name.len][known[field->name.len][0].kind == field->kind ? 0 : 1].lower;
}

/* Apart: the quick way is small enough to be inlined where fields are added. */
static __attribute__((noinline)) enum pn_rc grow(struct pn_headers *headers)
{
    size_t capacity = headers->capacity > 0 ? headers->capacity * 2 : FIRST_CAPACITY;
    struct pn_header *items = NULL;

    if (capacity > SIZE_MAX / sizeof(*items))
        return PN_NOMEM;
    items = pn_arena_alloc(headers->arena, capacity * sizeof(*items));
    if (!items)
        return PN_NOMEM;
    if (headers->count > 0)
        memcpy(items, headers->items, headers->count * sizeof(*items));
    headers->items = items;
    headers->capacity = capacity;
    return PN_OK;
}

/* A place for one more, of that kind; NULL: no memory. */
static inline struct pn_header *place_of(struct pn_headers *headers, enum pn_header_kind kind)
{
    if (headers->count == headers->capacity && grow(headers) != PN_OK)
        return NULL;
    headers->kinds |= PN_HEADER_BIT(kind) & ~PN_HEADER_BIT(PN_HEADER_OTHER);
    headers->count++;
    return &headers->items[headers->count - 1];
}

static inline enum pn_rc add_of(struct pn_headers *headers, enum pn_header_kind kind,
                                struct pn_slice name, struct pn_slice value, bool is_sound,
                                bool is_line)
{
    struct pn_header *place = place_of(headers, kind);

    if (!place)
        return PN_NOMEM;
    *place = (struct pn_header){name, value, kind, is_sound, is_line, false};
    return PN_OK;
}

static inline enum pn_rc add(struct pn_headers *headers, struct pn_slice name,
                             struct pn_slice value, bool is_sound, bool is_line)
{
    return add_of(headers, pn_header_kind_of(name), name, value, is_sound, is_line);
}

enum pn_rc pn_headers_add(struct pn_headers *headers, struct pn_slice name, struct pn_slice value)
{
    return add(headers, name, value, false, false);
}

enum pn_rc pn_headers_add_sound(struct pn_headers *headers, struct pn_slice name,
                                struct pn_slice value)
{
    return add(headers, name, value, true, false);
}

enum pn_rc pn_headers_add_known(struct pn_headers *headers, enum pn_header_kind kind,
                                struct pn_slice name, struct pn_slice value)
{
#ifdef PN_SANITIZED
    assert(pn_header_kind_of(name) == kind);
#endif
    return add_of(headers, kind, name, value, true, false);
}

enum pn_rc pn_headers_add_judged(struct pn_headers *headers, const struct pn_header *field)
{
    struct pn_header *place = place_of(headers, field->kind);

#ifdef PN_SANITIZED
    assert(pn_header_kind_of(field->name) == field->kind);
#endif
    if (!place)
        return PN_NOMEM;
    *place = *field;
    return PN_OK;
}

enum pn_rc pn_headers_add_line(struct pn_headers *headers, struct pn_slice name,
                               struct pn_slice value)
{
    assert(value.ptr == name.ptr + name.len + 2);
    return add(headers, name, value, true, true);
}

enum pn_rc pn_headers_add_copy(struct pn_headers *headers, struct pn_slice name,
                               struct pn_slice value)
{
    struct pn_slice name_copy = pn_arena_dup(headers->arena, name);
    struct pn_slice value_copy = pn_arena_dup(headers->arena, value);

    if (!name_copy.ptr || !value_copy.ptr)
        return PN_NOMEM;
    return pn_headers_add(headers, name_copy, value_copy);
}

/* What is looked for: a kind of field, or a name that has no kind. */
struct search {
    struct pn_slice name;
    enum pn_header_kind kind;
};

static struct search search_of(struct pn_slice name)
{
    enum pn_header_kind kind = pn_header_kind_of(name);

    return (struct search){name, kind == PN_HEADER_LOOKALIKE ? PN_HEADER_OTHER : kind};
}

static bool is_missing(const struct pn_headers *headers, const struct search *search)
{
    return search->kind != PN_HEADER_OTHER && !pn_headers_may_have(headers, search->kind);
}

static bool fits(const struct pn_header *header, const struct search *search)
{
    if (search->kind != PN_HEADER_OTHER)
        return header->kind == search->kind;
    return pn_slice_case_eq(header->name, search->name);
}

struct pn_slice pn_headers_find(const struct pn_headers *headers, struct pn_slice name)
{
    struct search search = search_of(name);

    for (size_t i = 0; i < headers->count && !is_missing(headers, &search); i++) {
        if (fits(&headers->items[i], &search))
            return headers->items[i].value;
    }
    return (struct pn_slice){NULL, 0};
}

bool pn_headers_has(const struct pn_headers *headers, const char *name)
{
    return pn_headers_count(headers, name) > 0;
}

bool pn_headers_has_kind(const struct pn_headers *headers, enum pn_header_kind kind)
{
    for (size_t i = 0; i < headers->count && pn_headers_may_have(headers, kind); i++) {
        if (headers->items[i].kind == kind)
            return true;
    }
    return false;
}

struct pn_slice pn_headers_get_kind(const struct pn_headers *headers, enum pn_header_kind kind)
{
    for (size_t i = 0; i < headers->count && pn_headers_may_have(headers, kind); i++) {
        if (headers->items[i].kind == kind)
            return headers->items[i].value;
    }
    return (struct pn_slice){NULL, 0};
}

size_t pn_headers_count(const struct pn_headers *headers, const char *name)
{
    struct search search = search_of(pn_slice_str(name));
    size_t count = 0;

    for (size_t i = 0; i < headers->count && !is_missing(headers, &search); i++)
        count += fits(&headers->items[i], &search) ? 1 : 0;
    return count;
}

static size_t remove_all(struct pn_headers *headers, const struct search *search)
{
    size_t kept = 0;
    size_t removed = 0;

    if (is_missing(headers, search))
        return 0;
    for (size_t i = 0; i < headers->count; i++) {
        if (fits(&headers->items[i], search))
            continue;
        if (kept != i)
            headers->items[kept] = headers->items[i];
        kept++;
    }
    removed = headers->count - kept;
    headers->count = kept;
    headers->kinds &= ~PN_HEADER_BIT(search->kind);
    return removed;
}

size_t pn_headers_remove(struct pn_headers *headers, struct pn_slice name)
{
    struct search search = search_of(name);

    return remove_all(headers, &search);
}

void pn_headers_remove_starting(struct pn_headers *headers, struct pn_slice start)
{
    size_t kept = 0;

    for (size_t i = 0; i < headers->count; i++) {
        if (pn_slice_case_starts_with(headers->items[i].name, start))
            continue;
        if (kept != i)
            headers->items[kept] = headers->items[i];
        kept++;
    }
    headers->count = kept; /* `kinds` may name more than there are */
}

void pn_headers_remove_kind(struct pn_headers *headers, enum pn_header_kind kind)
{
    struct search search = {.kind = kind};

    (void)remove_all(headers, &search);
}

bool pn_header_name_is_valid(struct pn_slice name)
{
    return name.len > 0 && pn_h1_are_tchars(name);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

bool pn_header_value_is_valid(struct pn_slice value)
{
    if (value.len == 0)
        return true;
    if (is_space(value.ptr[0]) || is_space(value.ptr[value.len - 1]))
        return false;
    return pn_h1_are_field_bytes(value);
}
