/* SPDX-License-Identifier: Apache-2.0
 *
 * An ordered list of header fields in an arena (RFC 9110 §5). Names compare without case. Names and
 * values are slices that live as long as the arena, or as the caller's buffer when borrowed.
 */
#pragma once

#include "base/arena.h"
#include "base/slice.h"

struct pn_header {
    struct pn_slice name;
    struct pn_slice value;
};

struct pn_headers {
    struct pn_arena *arena;
    struct pn_header *items;
    size_t count;
    size_t capacity;
};

/** The list uses `arena` for its own memory. */
void pn_headers_init(struct pn_headers *headers, struct pn_arena *arena);
/** Name and value are borrowed, not copied. PN_NOMEM. */
enum pn_rc pn_headers_add(struct pn_headers *headers, struct pn_slice name,
                          struct pn_slice value) PN_MUST_USE;
/** Name and value are copied into the arena. PN_NOMEM. */
enum pn_rc pn_headers_add_copy(struct pn_headers *headers, struct pn_slice name,
                               struct pn_slice value) PN_MUST_USE;
/** First value, or an empty slice with ptr NULL. */
struct pn_slice pn_headers_get(const struct pn_headers *headers, const char *name);
bool pn_headers_has(const struct pn_headers *headers, const char *name);
size_t pn_headers_count(const struct pn_headers *headers, const char *name);
/** Removes every field of that name; returns how many. Order of the others stays. */
size_t pn_headers_remove(struct pn_headers *headers, struct pn_slice name);
/** RFC 9110 §5.1 token; and §5.5 field value without CR, LF, NUL, leading or trailing space. */
bool pn_header_name_is_valid(struct pn_slice name);
bool pn_header_value_is_valid(struct pn_slice value);
