/* SPDX-License-Identifier: Apache-2.0
 *
 * Open addressing with linear probing and backward-shift deletion; at most 3/4 full.
 */
#include "base/map.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SLOTS 4 /* three entries: the operation and the policy of an API, and itself */

struct slot {
    const char *key; /* NULL: free; ours unless the map borrows */
    size_t key_len;
    uint64_t hash;
    void *value;
};

struct pn_map {
    struct slot *slots;
    size_t slot_count; /* a power of two, or 0 */
    size_t count;
    bool ignore_case;
    bool borrows;
};

struct pn_map *pn_map_create(bool ignore_case)
{
    struct pn_map *map = calloc(1, sizeof(*map));

    if (map)
        map->ignore_case = ignore_case;
    return map;
}

struct pn_map *pn_map_create_borrowing(bool ignore_case)
{
    struct pn_map *map = pn_map_create(ignore_case);

    if (map)
        map->borrows = true;
    return map;
}

static void key_free(const struct pn_map *map, const struct slot *slot)
{
    if (!map->borrows)
        free((void *)(uintptr_t)slot->key);
}

void pn_map_destroy(struct pn_map *map, void (*free_value)(void *))
{
    if (!map)
        return;
    for (size_t i = 0; i < map->slot_count; i++) {
        if (!map->slots[i].key)
            continue;
        if (free_value)
            free_value(map->slots[i].value);
        key_free(map, &map->slots[i]);
    }
    free(map->slots);
    free(map);
}

static uint64_t hash_of(const struct pn_map *map, struct pn_slice key)
{
    return map->ignore_case ? pn_slice_case_hash(key) : pn_slice_hash(key);
}

/* The slot that holds the key, or the free one where it would go. slot_count must not be 0. */
static size_t probe(const struct pn_map *map, struct pn_slice key, uint64_t hash)
{
    size_t at = hash & (map->slot_count - 1);

    for (; map->slots[at].key; at = (at + 1) & (map->slot_count - 1)) {
        struct pn_slice there = pn_slice(map->slots[at].key, map->slots[at].key_len);

        if (map->slots[at].hash == hash &&
            (map->ignore_case ? pn_slice_case_eq(there, key) : pn_slice_eq(there, key)))
            break;
    }
    return at;
}

static enum pn_rc grow(struct pn_map *map)
{
    struct slot *old = map->slots;
    size_t old_count = map->slot_count;
    size_t count = old_count > 0 ? old_count * 2 : FIRST_SLOTS;
    struct slot *slots = calloc(count, sizeof(*slots));

    if (!slots)
        return PN_NOMEM;
    map->slots = slots;
    map->slot_count = count;
    for (size_t i = 0; i < old_count; i++) {
        size_t at;

        if (!old[i].key)
            continue;
        at = old[i].hash & (count - 1);
        while (slots[at].key)
            at = (at + 1) & (count - 1);
        slots[at] = old[i];
    }
    free(old);
    return PN_OK;
}

void *pn_map_get(const struct pn_map *map, struct pn_slice key)
{
    size_t at;

    if (map->count == 0)
        return NULL;
    at = probe(map, key, hash_of(map, key));
    return map->slots[at].key ? map->slots[at].value : NULL;
}

enum pn_rc pn_map_set(struct pn_map *map, struct pn_slice key, void *value, void **former)
{
    uint64_t hash = hash_of(map, key);
    size_t at;
    const char *copy;

    if (former)
        *former = NULL;
    if (map->count + 1 > map->slot_count / 4 * 3) {
        enum pn_rc rc = grow(map);

        if (rc != PN_OK)
            return rc;
    }
    at = probe(map, key, hash);
    if (map->slots[at].key) {
        if (former)
            *former = map->slots[at].value;
        map->slots[at].value = value;
        if (map->borrows)
            map->slots[at].key = key.ptr;
        return PN_OK;
    }
    copy = map->borrows ? key.ptr : pn_slice_dup(key);
    if (!copy)
        return PN_NOMEM;
    map->slots[at] = (struct slot){copy, key.len, hash, value};
    map->count++;
    return PN_OK;
}

/* Moves later entries of the run back over the hole, so that no probe ends too early. */
static void close_hole(struct pn_map *map, size_t hole)
{
    size_t mask = map->slot_count - 1;

    for (size_t at = (hole + 1) & mask; map->slots[at].key; at = (at + 1) & mask) {
        size_t home = map->slots[at].hash & mask;

        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        map->slots[hole] = map->slots[at];
        hole = at;
    }
    map->slots[hole] = (struct slot){0};
}

void *pn_map_remove(struct pn_map *map, struct pn_slice key)
{
    size_t at;
    void *value;

    if (map->count == 0)
        return NULL;
    at = probe(map, key, hash_of(map, key));
    if (!map->slots[at].key)
        return NULL;
    value = map->slots[at].value;
    key_free(map, &map->slots[at]);
    map->count--;
    close_hole(map, at);
    return value;
}

size_t pn_map_count(const struct pn_map *map)
{
    return map->count;
}

bool pn_map_next(const struct pn_map *map, size_t *position, struct pn_slice *key, void **value)
{
    while (*position < map->slot_count) {
        const struct slot *slot = &map->slots[(*position)++];

        if (!slot->key)
            continue;
        if (key)
            *key = pn_slice(slot->key, slot->key_len);
        if (value)
            *value = slot->value;
        return true;
    }
    return false;
}
