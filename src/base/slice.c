/* SPDX-License-Identifier: Apache-2.0
 *
 * Borrowed runs of bytes: comparing, cutting, reading numbers, hashing.
 */
#include "base/slice.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "base/word.h"

bool pn_slice_starts_with(struct pn_slice s, struct pn_slice prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

static bool are_alike(uint64_t a, uint64_t b)
{
    return a == b || pn_word_lower(a) == pn_word_lower(b);
}

/* Both have `len` bytes, 8 or more. Apart, so that the equal ones need no registers for it. */
static __attribute__((noinline)) bool are_alike_but_for_case(const char *a, const char *b,
                                                             size_t len)
{
    for (size_t i = 0; i + 8 < len; i += 8) {
        if (!are_alike(pn_word_load(a + i), pn_word_load(b + i)))
            return false;
    }
    return are_alike(pn_word_load(a + len - 8), pn_word_load(b + len - 8));
}

bool pn_slice_case_starts_with(struct pn_slice s, struct pn_slice prefix)
{
    size_t len = prefix.len;

    if (s.len < len)
        return false;
    if (len < 8)
        return len == 0 ||
               are_alike(pn_word_load_some(s.ptr, len), pn_word_load_some(prefix.ptr, len));
    /* Mostly they are the same, byte by byte. The last eight: perhaps some of them once more. */
    for (size_t i = 0; i + 8 < len; i += 8) {
        if (pn_word_load(s.ptr + i) != pn_word_load(prefix.ptr + i))
            return are_alike_but_for_case(s.ptr, prefix.ptr, len);
    }
    return pn_word_load(s.ptr + len - 8) == pn_word_load(prefix.ptr + len - 8) ||
           are_alike_but_for_case(s.ptr, prefix.ptr, len);
}

bool pn_slice_ends_with(struct pn_slice s, struct pn_slice suffix)
{
    return s.len >= suffix.len &&
           pn_slice_eq(pn_slice_sub(s, s.len - suffix.len, suffix.len), suffix);
}

int pn_slice_compare(struct pn_slice a, struct pn_slice b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common > 0 ? memcmp(a.ptr, b.ptr, common) : 0;

    if (order != 0)
        return order;
    return (a.len > b.len) - (a.len < b.len);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct pn_slice pn_slice_trim(struct pn_slice s)
{
    while (s.len > 0 && is_space(s.ptr[0]))
        s = pn_slice_sub(s, 1, s.len);
    while (s.len > 0 && is_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

size_t pn_slice_find(struct pn_slice s, char byte)
{
    const char *hit = s.len > 0 ? memchr(s.ptr, byte, s.len) : NULL;

    return hit ? (size_t)(hit - s.ptr) : s.len;
}

size_t pn_slice_find_slice(struct pn_slice s, struct pn_slice needle)
{
    const char *hit;

    if (needle.len == 0)
        return 0;
    if (s.len < needle.len)
        return s.len;
    hit = memmem(s.ptr, s.len, needle.ptr, needle.len);
    return hit ? (size_t)(hit - s.ptr) : s.len;
}

bool pn_slice_cut(struct pn_slice *rest, char separator, struct pn_slice *part)
{
    size_t at;

    if (rest->len == 0)
        return false;
    at = pn_slice_find(*rest, separator);
    *part = pn_slice_sub(*rest, 0, at);
    *rest = pn_slice_sub(*rest, at + 1, rest->len);
    return true;
}

bool pn_slice_to_u64(struct pn_slice s, uint64_t max, uint64_t *value)
{
    uint64_t sum = 0;

    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)(unsigned char)s.ptr[i] - '0';

        if (digit > 9 || sum > (UINT64_MAX - digit) / 10)
            return false;
        sum = sum * 10 + digit;
        if (sum > max)
            return false;
    }
    *value = sum;
    return true;
}

char *pn_slice_dup(struct pn_slice s)
{
    char *copy = malloc(s.len + 1);

    if (!copy)
        return NULL;
    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = 0;
    return copy;
}

static uint64_t hash_seeds[2];
static pthread_once_t hash_seeds_once = PTHREAD_ONCE_INIT;

static void make_hash_seeds(void)
{
    pn_random(hash_seeds, sizeof(hash_seeds));
    hash_seeds[1] |= 1; /* not 0 */
}

/* Both halves of the product: every bit of the word reaches every bit of the hash. */
static uint64_t blend(uint64_t hash, uint64_t word)
{
    __extension__ unsigned __int128 product =
        (unsigned __int128)(hash ^ word) * (UINT64_C(0x9e3779b97f4a7c15) ^ hash_seeds[1]);

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash(struct pn_slice s, bool ignore_case)
{
    uint64_t h;
    size_t i = 0;

    pthread_once(&hash_seeds_once, make_hash_seeds);
    h = blend(hash_seeds[0], s.len);
    for (; i + 8 <= s.len; i += 8) {
        uint64_t word = pn_word_load(s.ptr + i);

        h = blend(h, ignore_case ? pn_word_lower(word) : word);
    }
    if (i < s.len) {
        uint64_t word = pn_word_load_some(s.ptr + i, s.len - i);

        h = blend(h, ignore_case ? pn_word_lower(word) : word);
    }
    return blend(h, hash_seeds[0]);
}

uint64_t pn_slice_hash(struct pn_slice s)
{
    return hash(s, false);
}

uint64_t pn_slice_case_hash(struct pn_slice s)
{
    return hash(s, true);
}
