/* SPDX-License-Identifier: Apache-2.0
 *
 * Eight bytes of a text at once, in one register. The order of the bytes within the word is the
 * machine's; only pn_word_first() depends on it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/** A word of which each byte is `byte`. */
#define PN_WORD_EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

static inline uint64_t pn_word_load(const char *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    return word;
}

/** All of `len` bytes, 4 to 7; some are in it twice, so that the word is full. */
static inline uint64_t pn_word_load_short(const char *at, size_t len)
{
    uint32_t first, last;

    memcpy(&first, at, sizeof(first));
    memcpy(&last, at + len - sizeof(last), sizeof(last));
    return first | (uint64_t)last << 32;
}

/** All of `len` bytes, 1 to 7. The same `len` and the same word: the same bytes. */
static inline uint64_t pn_word_load_some(const char *at, size_t len)
{
    if (len >= 4)
        return pn_word_load_short(at, len);
    return (uint64_t)(unsigned char)at[0] | (uint64_t)(unsigned char)at[len / 2] << 8 |
           (uint64_t)(unsigned char)at[len - 1] << 16;
}

/** 'A' to 'Z' become small letters; every other byte stays. The sums stay below 256, so that no
 * byte carries into its neighbour. */
static inline uint64_t pn_word_lower(uint64_t word)
{
    uint64_t low = word & PN_WORD_EACH(0x7f);
    uint64_t from_a = low + PN_WORD_EACH(0x80 - 'A');
    uint64_t above_z = low + PN_WORD_EACH(0x80 - ('Z' + 1));
    uint64_t is_upper = from_a & ~above_z & ~word & PN_WORD_EACH(0x80);

    return word | is_upper >> 2; /* 0x80 to 0x20, which is between 'A' and 'a' */
}

/** Which byte, from 0, is the first in the text whose highest bit is set in `marks`, not 0. */
static inline size_t pn_word_first(uint64_t marks)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (size_t)__builtin_ctzll(marks) / 8;
#else
    return (size_t)__builtin_clzll(marks) / 8;
#endif
}

/* --- sixteen bytes --- */

/** Which bytes have their highest bit set in `marks`: bit 0 stands for the first in the text. */
static inline unsigned pn_word_marked(uint64_t marks)
{
    marks = (marks & PN_WORD_EACH(0x80)) >> 7;
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    marks = __builtin_bswap64(marks);
#endif
    return (unsigned)(marks * UINT64_C(0x0102040810204080) >> 56);
}

/** Which of the eight bytes are `byte`. */
static inline unsigned pn_word_places(uint64_t word, char byte)
{
    uint64_t other = word ^ PN_WORD_EACH((unsigned char)byte);

    return pn_word_marked(~(((other & PN_WORD_EACH(0x7f)) + PN_WORD_EACH(0x7f)) | other));
}

/** Which of the sixteen bytes at `at` are `byte`: bit 0 stands for the first. */
static inline unsigned pn_word_places16(const char *at, char byte)
{
#ifdef __SSE2__ /* every x86-64 */
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);

    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte)));
#else
    return pn_word_places(pn_word_load(at), byte) | pn_word_places(pn_word_load(at + 8), byte) << 8;
#endif
}
