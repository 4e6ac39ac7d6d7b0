/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that is freed all at once: one arena per request. Out of memory or above the arena's
 * maximum gives NULL.
 */
#pragma once

#include <stdbool.h>

#include "base/rc.h"
#include "base/slice.h"

struct pn_arena;

/** `block_bytes`: size of the blocks taken from malloc; `max_bytes`: bound of the sum. NULL: no
 * memory. */
struct pn_arena *pn_arena_create(size_t block_bytes, size_t max_bytes);
void pn_arena_destroy(struct pn_arena *arena);
/** Frees all but the first block, for reuse by the next request of a connection. */
void pn_arena_reset(struct pn_arena *arena);
/** From now on, blocks are wiped when reset or destroyed. */
void pn_arena_mark_secret(struct pn_arena *arena);
/** 16-byte aligned, not zeroed. */
void *pn_arena_alloc(struct pn_arena *arena, size_t len);
void *pn_arena_zalloc(struct pn_arena *arena, size_t len);
/** A copy with a NUL behind it. On failure ptr is NULL and len 0. */
struct pn_slice pn_arena_dup(struct pn_arena *arena, struct pn_slice slice);
char *pn_arena_strdup(struct pn_arena *arena, struct pn_slice slice);
char *pn_arena_printf(struct pn_arena *arena, const char *format, ...) PN_PRINTF(2, 3);
/** An allocation since the last reset was refused because of the maximum. */
bool pn_arena_is_exhausted(const struct pn_arena *arena);
size_t pn_arena_used(const struct pn_arena *arena);
