/* SPDX-License-Identifier: Apache-2.0
 *
 * Block arena: bump allocation; big pieces get a block of their own.
 */
#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"

#define ALIGNMENT 16u

struct block {
    struct block *next; /* older */
    size_t size;        /* bytes of data */
    size_t used;
    alignas(ALIGNMENT) char data[];
};

struct pn_arena {
    size_t block_bytes;
    size_t max_bytes;
    size_t held_bytes; /* sum of the blocks' sizes */
    bool is_secret;
    bool is_exhausted;
    struct block *newest;
    struct block *first; /* kept by reset */
};

static struct block *block_create(size_t size)
{
    struct block *block = malloc(sizeof(*block) + size);

    if (!block)
        return NULL;
    block->next = NULL;
    block->size = size;
    block->used = 0;
    return block;
}

struct pn_arena *pn_arena_create(size_t block_bytes, size_t max_bytes)
{
    struct pn_arena *arena = calloc(1, sizeof(*arena));

    if (!arena)
        return NULL;
    arena->block_bytes = block_bytes;
    arena->max_bytes = max_bytes;
    arena->first = block_create(block_bytes);
    if (!arena->first) {
        free(arena);
        return NULL;
    }
    arena->newest = arena->first;
    arena->held_bytes = block_bytes;
    return arena;
}

static void block_wipe(const struct pn_arena *arena, struct block *block)
{
    if (arena->is_secret)
        pn_wipe(block->data, block->used);
}

void pn_arena_reset(struct pn_arena *arena)
{
    struct block *block = arena->newest;

    while (block) {
        struct block *next = block->next;

        block_wipe(arena, block);
        if (block != arena->first)
            free(block);
        block = next;
    }
    arena->first->next = NULL;
    arena->first->used = 0;
    arena->newest = arena->first;
    arena->held_bytes = arena->first->size;
    arena->is_exhausted = false;
}

void pn_arena_destroy(struct pn_arena *arena)
{
    if (!arena)
        return;
    pn_arena_reset(arena);
    free(arena->first);
    free(arena);
}

void pn_arena_mark_secret(struct pn_arena *arena)
{
    arena->is_secret = true;
}

/* Of its own, so that callers of the rest need not save their registers for it. */
__attribute__((noinline)) static struct block *add_block(struct pn_arena *arena, size_t rounded)
{
    size_t size = rounded > arena->block_bytes ? rounded : arena->block_bytes;
    struct block *block = NULL;

    if (size > arena->max_bytes - arena->held_bytes || arena->held_bytes > arena->max_bytes) {
        arena->is_exhausted = true;
        return NULL;
    }
    block = block_create(size);
    if (!block)
        return NULL;
    block->next = arena->newest;
    arena->newest = block;
    arena->held_bytes += size;
    return block;
}

void *pn_arena_alloc(struct pn_arena *arena, size_t len)
{
    struct block *block = arena->newest;
    size_t rounded;
    void *ptr;

    if (len > arena->max_bytes) {
        arena->is_exhausted = true;
        return NULL;
    }
    rounded = (len + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (rounded > block->size - block->used) {
        block = add_block(arena, rounded);
        if (!block)
            return NULL;
    }
    ptr = block->data + block->used;
    block->used += rounded;
    return ptr;
}

bool pn_arena_is_exhausted(const struct pn_arena *arena)
{
    return arena->is_exhausted;
}

void *pn_arena_zalloc(struct pn_arena *arena, size_t len)
{
    void *ptr = pn_arena_alloc(arena, len);

    if (ptr && len > 0)
        memset(ptr, 0, len);
    return ptr;
}

struct pn_slice pn_arena_dup(struct pn_arena *arena, struct pn_slice slice)
{
    char *copy = pn_arena_strdup(arena, slice);

    return (struct pn_slice){copy, copy ? slice.len : 0};
}

char *pn_arena_strdup(struct pn_arena *arena, struct pn_slice slice)
{
    char *copy = slice.len < SIZE_MAX ? pn_arena_alloc(arena, slice.len + 1) : NULL;

    if (!copy)
        return NULL;
    if (slice.len > 0)
        memcpy(copy, slice.ptr, slice.len);
    copy[slice.len] = 0;
    return copy;
}

char *pn_arena_printf(struct pn_arena *arena, const char *format, ...)
{
    va_list args;
    char *text;
    int len;

    va_start(args, format);
    len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0)
        return NULL;
    text = pn_arena_alloc(arena, (size_t)len + 1);
    if (!text)
        return NULL;
    va_start(args, format);
    vsnprintf(text, (size_t)len + 1, format, args);
    va_end(args);
    return text;
}

size_t pn_arena_used(const struct pn_arena *arena)
{
    size_t used = 0;

    for (const struct block *block = arena->newest; block; block = block->next)
        used += block->used;
    return used;
}
