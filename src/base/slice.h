/* SPDX-License-Identifier: Apache-2.0
 *
 * A borrowed run of bytes. Never owns, never ends in NUL. A zeroed slice is the empty one.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct pn_slice {
    const char *ptr;
    size_t len;
};

/** A slice of a string literal. */
#define PN_LIT(text) ((struct pn_slice){("" text), sizeof(text) - 1})

/** For printf: printf("%.*s", PN_FMT(slice)). */
#define PN_FMT(slice) (int)(slice).len, (slice).ptr ? (slice).ptr : ""

/* The small operations are inline: every header of every request is compared with a dozen literals,
 * and the compiler makes one comparison of lengths out of most of them. The static analyzer sees
 * their declarations only: it cannot know that nothing but the empty slice is without bytes, and
 * would follow paths that do not exist. */
#ifdef __clang_analyzer__
#define PN_SLICE_FN
#else
#define PN_SLICE_FN static inline
#endif

PN_SLICE_FN struct pn_slice pn_slice(const void *ptr, size_t len);

/** `text` may be NULL: the empty slice. */
PN_SLICE_FN struct pn_slice pn_slice_str(const char *text);

PN_SLICE_FN bool pn_slice_eq(struct pn_slice a, struct pn_slice b);

PN_SLICE_FN bool pn_slice_eq_str(struct pn_slice a, const char *text);

bool pn_slice_starts_with(struct pn_slice s, struct pn_slice prefix);
bool pn_slice_case_starts_with(struct pn_slice s, struct pn_slice prefix);

/** ASCII letters compare without case; other bytes as they are. */
PN_SLICE_FN bool pn_slice_case_eq(struct pn_slice a, struct pn_slice b);

PN_SLICE_FN bool pn_slice_case_eq_str(struct pn_slice a, const char *text);

bool pn_slice_ends_with(struct pn_slice s, struct pn_slice suffix);
/** Like memcmp, shorter first. */
int pn_slice_compare(struct pn_slice a, struct pn_slice b);
/** Bytes [from, from+len), cut to what there is. */
PN_SLICE_FN struct pn_slice pn_slice_sub(struct pn_slice s, size_t from, size_t len);

/** Without leading and trailing SP, HTAB, CR, LF. */
struct pn_slice pn_slice_trim(struct pn_slice s);
/** Index of the first `byte`, or s.len. */
size_t pn_slice_find(struct pn_slice s, char byte);
/** Index of the first `needle`, or s.len. */
size_t pn_slice_find_slice(struct pn_slice s, struct pn_slice needle);
/** Cuts the part before the next `separator` off `rest` into `part`; false when rest is used up.
 *  "a,,b" gives "a", "", "b". Start with *rest = the whole and call until false. A separator at
 *  the end gives no empty last part. */
bool pn_slice_cut(struct pn_slice *rest, char separator, struct pn_slice *part);
/** Decimal digits only, no sign or space; false if empty, another byte, or above `max`. */
bool pn_slice_to_u64(struct pn_slice s, uint64_t max, uint64_t *value);
/** A NUL-terminated heap copy, or NULL when out of memory. The caller frees it. */
char *pn_slice_dup(struct pn_slice s);
/** 64-bit keyed hash (SipHash of OpenSSL is slower than needed; this multiplies eight bytes at a
 * time with a random number of the process, so that peers cannot choose collisions beforehand). */
uint64_t pn_slice_hash(struct pn_slice s);
/** The same over lower-cased ASCII. */
uint64_t pn_slice_case_hash(struct pn_slice s);

#ifndef __clang_analyzer__
static inline struct pn_slice pn_slice(const void *ptr, size_t len)
{
    return (struct pn_slice){(const char *)ptr, len};
}

static inline struct pn_slice pn_slice_str(const char *text)
{
    return (struct pn_slice){text, text ? strlen(text) : 0};
}

static inline bool pn_slice_eq(struct pn_slice a, struct pn_slice b)
{
    if (a.len != b.len)
        return false;
    if (a.len == 0)
        return true;
    assert(a.ptr && b.ptr); /* only the empty slice may have no bytes */
    return memcmp(a.ptr, b.ptr, a.len) == 0;
}

static inline bool pn_slice_eq_str(struct pn_slice a, const char *text)
{
    return pn_slice_eq(a, pn_slice_str(text));
}

static inline bool pn_slice_case_eq(struct pn_slice a, struct pn_slice b)
{
    /* Names of the same length differ in their first byte, mostly; case is one bit of it. */
    return a.len == b.len && (a.len == 0 || (((a.ptr[0] ^ b.ptr[0]) & ~0x20) == 0 &&
                                             pn_slice_case_starts_with(a, b)));
}

static inline bool pn_slice_case_eq_str(struct pn_slice a, const char *text)
{
    return pn_slice_case_eq(a, pn_slice_str(text));
}

static inline struct pn_slice pn_slice_sub(struct pn_slice s, size_t from, size_t len)
{
    if (!s.ptr)
        return (struct pn_slice){NULL, 0};
    if (from > s.len)
        from = s.len;
    if (len > s.len - from)
        len = s.len - from;
    return (struct pn_slice){s.ptr + from, len};
}
#endif
