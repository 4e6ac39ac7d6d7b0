/* SPDX-License-Identifier: Apache-2.0
 *
 * Hash map from a byte string to a pointer. Open addressing; keys are copied unless the map borrows
 * them, values are the caller's. Not thread-safe; may be read by many threads while nobody writes.
 */
#pragma once

#include "base/rc.h"
#include "base/slice.h"

struct pn_map;

/** `ignore_case`: ASCII letters of keys compare without case. NULL: no memory. */
struct pn_map *pn_map_create(bool ignore_case);
/** As pn_map_create(), but keys are not copied: each must live until its entry is gone or set again
 *  (then the later one is kept). For keys that are a part of the value anyway. */
struct pn_map *pn_map_create_borrowing(bool ignore_case);
/** `free_value` may be NULL. */
void pn_map_destroy(struct pn_map *map, void (*free_value)(void *));
/** The value, or NULL. */
void *pn_map_get(const struct pn_map *map, struct pn_slice key);
/** Sets; the former value (or NULL) goes to *former when former is not NULL. PN_NOMEM. */
enum pn_rc pn_map_set(struct pn_map *map, struct pn_slice key, void *value,
                      void **former) PN_MUST_USE;
/** Takes the entry out and returns its value, or NULL. */
void *pn_map_remove(struct pn_map *map, struct pn_slice key);
size_t pn_map_count(const struct pn_map *map);
/** Walks all: *position starts at 0. The order is not defined. Do not change the map meanwhile. */
bool pn_map_next(const struct pn_map *map, size_t *position, struct pn_slice *key, void **value);
