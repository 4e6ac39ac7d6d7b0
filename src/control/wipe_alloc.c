/* SPDX-License-Identifier: Apache-2.0
 *
 * free(), realloc() and reallocarray() that wipe what they let go. The executable's definitions
 * take the place of the C library's for the whole process (the dynamic linker searches the
 * executable first); memory still comes from glibc, by the names it exports for this purpose.
 *
 * A block is wiped over its usable size, which is what its owner could have written to.
 */
#include "control/wipe_alloc.h"

#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(PN_SANITIZED)

bool pn_wipe_alloc_is_active(void)
{
    return false;
}

#else

/* glibc's own allocator, under the names that stay when free and realloc are replaced. */
extern void __libc_free(void *block);
extern void *__libc_malloc(size_t size);

void free(void *block)
{
    if (!block)
        return;
    explicit_bzero(block, malloc_usable_size(block));
    __libc_free(block);
}

void *realloc(void *block, size_t size)
{
    size_t usable = 0;
    void *moved = NULL;

    if (!block)
        return __libc_malloc(size);
    if (size == 0) { /* as glibc does: frees, and answers NULL */
        free(block);
        return NULL;
    }
    usable = malloc_usable_size(block);
    if (size <= usable && size >= usable / 2) { /* stays; what is cut off is wiped */
        explicit_bzero((char *)block + size, usable - size);
        return block;
    }
    moved = __libc_malloc(size);
    if (!moved)
        return NULL;
    memcpy(moved, block, size < usable ? size : usable);
    free(block);
    return moved;
}

void *reallocarray(void *block, size_t count, size_t size)
{
    size_t bytes = 0;

    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(block, bytes);
}

/* The pointer goes through here so that the compiler cannot know it was freed. */
static void *volatile probe;

bool pn_wipe_alloc_is_active(void)
{
    enum { PROBE_BYTES = 64, LINKS = 16 };
    const unsigned char *bytes = NULL;
    bool is_wiped = true;

    probe = malloc(PROBE_BYTES);
    if (!probe)
        return false;
    memset(probe, 0x5a, PROBE_BYTES);
    bytes = probe;
    free(probe);
    /* The allocator keeps its list pointers in the first bytes of a free block. */
    for (size_t i = LINKS; i < PROBE_BYTES; i++)
        is_wiped = is_wiped && *(const volatile unsigned char *)&bytes[i] == 0;
    return is_wiped;
}

#endif
