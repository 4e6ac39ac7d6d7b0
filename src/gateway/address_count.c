/* SPDX-License-Identifier: Apache-2.0
 *
 * See address_count.h. A word is hash << 20 | count; 0 is a free one.
 */
#include "gateway/address_count.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/slice.h"

#define WAYS       8 /* words of a set: one cache line */
#define COUNT_BITS 20
#define COUNT_MASK ((UINT64_C(1) << COUNT_BITS) - 1)
#define LINE_BYTES 64

struct pn_address_count {
    size_t sets; /* a power of two */
    _Atomic uint64_t *words;
};

struct pn_address_count *pn_address_count_create(size_t connections)
{
    struct pn_address_count *table = calloc(1, sizeof(*table));

    if (!table)
        return NULL;
    table->sets = 64;
    while (table->sets * WAYS < 4 * connections)
        table->sets *= 2;
    table->words = aligned_alloc(LINE_BYTES, table->sets * LINE_BYTES);
    if (!table->words) {
        free(table);
        return NULL;
    }
    for (size_t i = 0; i < table->sets * WAYS; i++)
        atomic_init(&table->words[i], 0);
    return table;
}

void pn_address_count_destroy(struct pn_address_count *table)
{
    if (!table)
        return;
    free(table->words);
    free(table);
}

/** False: it has no address. */
static bool find_set(struct pn_address_count *table, const struct pn_peer_address *peer,
                     _Atomic uint64_t **set, uint64_t *tag)
{
    size_t len = peer->family == AF_INET ? 4 : 8; /* IPv6: the /64 */
    uint64_t hash;

    if (peer->family != AF_INET && peer->family != AF_INET6)
        return false;
    hash = pn_slice_hash(pn_slice(peer->ip, len)) * UINT64_C(0x9e3779b97f4a7c15);
    *set = &table->words[(size_t)(hash & (table->sets - 1)) * WAYS];
    *tag = hash >> COUNT_BITS;
    if (*tag == 0)
        *tag = 1;
    return true;
}

static bool try_add(_Atomic uint64_t *word, uint64_t seen)
{
    return atomic_compare_exchange_strong_explicit(word, &seen, seen + 1, memory_order_relaxed,
                                                   memory_order_relaxed);
}

bool pn_address_count_add(struct pn_address_count *table, const struct pn_peer_address *peer,
                          uint64_t max)
{
    _Atomic uint64_t *set;
    uint64_t tag;

    if (!find_set(table, peer, &set, &tag))
        return true;
    for (;;) {
        _Atomic uint64_t *empty = NULL;
        uint64_t seen = 0, empty_seen = 0;
        size_t i;

        for (i = 0; i < WAYS; i++) {
            seen = atomic_load_explicit(&set[i], memory_order_relaxed);
            if (seen >> COUNT_BITS == tag && (seen & COUNT_MASK) > 0)
                break;
            if (!empty && (seen & COUNT_MASK) == 0) {
                empty = &set[i];
                empty_seen = seen;
            }
        }
        if (i < WAYS) {
            if ((seen & COUNT_MASK) >= max || (seen & COUNT_MASK) == COUNT_MASK)
                return false;
            if (try_add(&set[i], seen))
                return true;
        } else if (!empty || max == 0) {
            return max > 0;
        } else if (atomic_compare_exchange_strong_explicit(
                       empty, &empty_seen, tag << COUNT_BITS | 1, memory_order_relaxed,
                       memory_order_relaxed)) {
            return true;
        }
    }
}

void pn_address_count_drop(struct pn_address_count *table, const struct pn_peer_address *peer)
{
    _Atomic uint64_t *set;
    uint64_t tag;

    if (!find_set(table, peer, &set, &tag))
        return;
    for (size_t i = 0; i < WAYS; i++) {
        uint64_t seen = atomic_load_explicit(&set[i], memory_order_relaxed);

        while (seen >> COUNT_BITS == tag && (seen & COUNT_MASK) > 0) {
            if (atomic_compare_exchange_weak_explicit(&set[i], &seen, seen - 1,
                                                      memory_order_relaxed, memory_order_relaxed))
                return;
        }
    }
}

uint64_t pn_address_count_get(struct pn_address_count *table, const struct pn_peer_address *peer)
{
    _Atomic uint64_t *set;
    uint64_t tag, sum = 0;

    if (!find_set(table, peer, &set, &tag))
        return 0;
    for (size_t i = 0; i < WAYS; i++) {
        uint64_t seen = atomic_load_explicit(&set[i], memory_order_relaxed);

        if (seen >> COUNT_BITS == tag)
            sum += seen & COUNT_MASK;
    }
    return sum;
}
