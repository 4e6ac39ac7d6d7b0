/* SPDX-License-Identifier: Apache-2.0
 *
 * Free lists: what a request needs of nghttp2 and of the engine was there for the one before it.
 * Under a sanitizer nothing is kept, so that it sees every use after the end.
 */
#include <stdlib.h>
#include <string.h>

#include "http/h2_internal.h"

enum {
    SMALLEST = 64, /* bytes of a block of the first class; each next one is twice as big */
    CLASSES = 10,  /* up to 32 KB */
    KEPT_BYTES = 512 * 1024, /* of each class */
};

struct list;

struct block {
    union {
        struct block *next; /* in a free list */
        struct list *list;  /* that it goes to */
    } u;
    size_t size; /* bytes that may be used */
    char bytes[];
};
_Static_assert(sizeof(struct block) % 16 == 0, "what follows must be aligned as malloc's");

struct list {
    struct block *first;
    size_t room; /* for so many more; of what is too big for any class, and under a sanitizer: 0 */
};

struct pn_h2_memory {
    struct list lists[CLASSES + 1]; /* the last one: of what is too big */
    size_t left;                    /* blocks that malloc() may still be asked for */
    nghttp2_mem mem;
    nghttp2_session_callbacks *callbacks;
};

/* Twenty times in a request: without a loop. Of 0 bytes: too big, as len - 1 is. */
static inline size_t class_of(size_t len)
{
    size_t class =
        (size_t)(__builtin_clzll(SMALLEST - 1) - __builtin_clzll((len - 1) | (SMALLEST - 1)));

    return class < CLASSES ? class : CLASSES;
}

/* Apart, so that the quick way needs no registers for it. */
static __attribute__((noinline)) struct block *make_block(struct pn_h2_memory *memory, size_t class,
                                                          size_t len)
{
    struct block *block = NULL;
    size_t size = len;

#ifndef PN_SANITIZED
    if (class < CLASSES)
        size = (size_t)SMALLEST << class;
#endif
    if (size > UINT32_MAX || memory->left == 0)
        return NULL;
    memory->left--;
    block = malloc(sizeof(*block) + size);
    if (!block)
        return NULL;
    block->size = size;
    block->u.list = &memory->lists[class];
    return block;
}

void *pn_h2_alloc(struct pn_h2_memory *memory, size_t len)
{
    size_t class = class_of(len);
    struct list *list = &memory->lists[class];
    struct block *block = list->first;

    if (!block) {
        block = make_block(memory, class, len);
        return block ? block->bytes : NULL;
    }
    list->first = block->u.next;
    list->room++;
    block->u.list = list;
    return block->bytes;
}

void pn_h2_free(void *bytes)
{
    struct block *block = NULL;
    struct list *list = NULL;

    if (!bytes)
        return;
    block = PN_CONTAINER(bytes, struct block, bytes);
    list = block->u.list;
    if (list->room == 0) {
        free(block);
        return;
    }
    block->u.next = list->first;
    list->first = block;
    list->room--;
}

static void *on_malloc(size_t size, void *user)
{
    return pn_h2_alloc(user, size);
}

static void on_free(void *ptr, void *user)
{
    (void)user;
    pn_h2_free(ptr);
}

static void *on_calloc(size_t count, size_t size, void *user)
{
    void *ptr = NULL;

    if (size > 0 && count > SIZE_MAX / size)
        return NULL;
    ptr = pn_h2_alloc(user, count * size);
    if (ptr)
        memset(ptr, 0, count * size);
    return ptr;
}

static void *on_realloc(void *ptr, size_t size, void *user)
{
    struct block *block = NULL;
    void *moved = NULL;

    if (!ptr)
        return pn_h2_alloc(user, size);
    block = PN_CONTAINER(ptr, struct block, bytes);
    if (size <= block->size)
        return ptr;
    moved = pn_h2_alloc(user, size);
    if (!moved)
        return NULL;
    memcpy(moved, ptr, block->size);
    pn_h2_free(ptr);
    return moved;
}

struct pn_h2_memory *pn_h2_memory_create(void)
{
    struct pn_h2_memory *memory = calloc(1, sizeof(*memory));

    if (!memory)
        return NULL;
    memory->left = SIZE_MAX;
#ifndef PN_SANITIZED
    for (size_t i = 0; i < CLASSES; i++)
        memory->lists[i].room = ((size_t)KEPT_BYTES >> i) / SMALLEST;
#endif
    memory->mem = (nghttp2_mem){memory, on_malloc, on_free, on_calloc, on_realloc};
    if (nghttp2_session_callbacks_new(&memory->callbacks) != 0) {
        free(memory);
        return NULL;
    }
    pn_h2_receive_callbacks(memory->callbacks);
    pn_h2_send_callbacks(memory->callbacks);
    pn_h2_body_callbacks(memory->callbacks);
    return memory;
}

void pn_h2_memory_destroy(struct pn_h2_memory *memory)
{
    if (!memory)
        return;
    for (size_t i = 0; i < CLASSES; i++) {
        while (memory->lists[i].first) {
            struct block *block = memory->lists[i].first;

            memory->lists[i].first = block->u.next;
            free(block);
        }
    }
    nghttp2_session_callbacks_del(memory->callbacks);
    free(memory);
}

void pn_h2_memory_starve(struct pn_h2_memory *memory, size_t blocks)
{
    memory->left = blocks;
}

nghttp2_mem *pn_h2_memory_of_nghttp2(struct pn_h2_memory *memory)
{
    return &memory->mem;
}

nghttp2_session_callbacks *pn_h2_memory_callbacks(struct pn_h2_memory *memory)
{
    return memory->callbacks;
}
