/* SPDX-License-Identifier: Apache-2.0
 *
 * Header lists. Linear search: a list has a handful of fields, and walking them is cheaper than
 * hashing them.
 */
#include "http/headers.h"

#include <stdint.h>
#include <string.h>

#include "http/h1_internal.h"

enum { FIRST_CAPACITY = 24 };

void pn_headers_init(struct pn_headers *headers, struct pn_arena *arena)
{
    *headers = (struct pn_headers){.arena = arena};
}

enum pn_rc pn_headers_add(struct pn_headers *headers, struct pn_slice name, struct pn_slice value)
{
    if (headers->count == headers->capacity) {
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
    }
    headers->items[headers->count] = (struct pn_header){name, value};
    headers->count++;
    return PN_OK;
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

struct pn_slice pn_headers_get(const struct pn_headers *headers, const char *name)
{
    struct pn_slice wanted = pn_slice_str(name);

    for (size_t i = 0; i < headers->count; i++) {
        if (pn_slice_case_eq(headers->items[i].name, wanted))
            return headers->items[i].value;
    }
    return (struct pn_slice){NULL, 0};
}

bool pn_headers_has(const struct pn_headers *headers, const char *name)
{
    struct pn_slice wanted = pn_slice_str(name);

    for (size_t i = 0; i < headers->count; i++) {
        if (pn_slice_case_eq(headers->items[i].name, wanted))
            return true;
    }
    return false;
}

size_t pn_headers_count(const struct pn_headers *headers, const char *name)
{
    struct pn_slice wanted = pn_slice_str(name);
    size_t count = 0;

    for (size_t i = 0; i < headers->count; i++)
        count += pn_slice_case_eq(headers->items[i].name, wanted) ? 1 : 0;
    return count;
}

size_t pn_headers_remove(struct pn_headers *headers, struct pn_slice name)
{
    size_t kept = 0;
    size_t removed = 0;

    for (size_t i = 0; i < headers->count; i++) {
        if (pn_slice_case_eq(headers->items[i].name, name))
            continue;
        if (kept != i)
            headers->items[kept] = headers->items[i];
        kept++;
    }
    removed = headers->count - kept;
    headers->count = kept;
    return removed;
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
