/* SPDX-License-Identifier: Apache-2.0
 *
 * A hash table over key hashes. The position comes from a keyed hash of the SHA-256, the answer
 * from a comparison in constant time over all entries of the run.
 */
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "gateway/keys.h"

struct entry {
    uint8_t sha256[PN_SHA256_BYTES];
    const struct pn_subscription *subscription; /* NULL: free */
};

struct pn_key_table {
    struct entry *entries;
    size_t mask;
    size_t count;
    size_t capacity;
};

struct pn_key_table *pn_key_table_create(size_t capacity)
{
    struct pn_key_table *table = calloc(1, sizeof(*table));
    size_t size = 16;

    if (!table)
        return NULL;
    while (size < capacity * 2)
        size *= 2;
    table->entries = calloc(size, sizeof(*table->entries));
    table->mask = size - 1;
    table->capacity = capacity;
    if (!table->entries) {
        free(table);
        return NULL;
    }
    return table;
}

void pn_key_table_destroy(struct pn_key_table *table)
{
    if (!table)
        return;
    free(table->entries);
    free(table);
}

static size_t first_slot(const struct pn_key_table *table, const uint8_t *sha256)
{
    return (size_t)pn_slice_hash(pn_slice(sha256, PN_SHA256_BYTES)) & table->mask;
}

enum pn_rc pn_key_table_add(struct pn_key_table *table, const uint8_t sha256[PN_SHA256_BYTES],
                            const struct pn_subscription *subscription)
{
    size_t slot = first_slot(table, sha256);

    if (table->count == table->capacity)
        return PN_LIMIT;
    while (table->entries[slot].subscription)
        slot = (slot + 1) & table->mask;
    memcpy(table->entries[slot].sha256, sha256, PN_SHA256_BYTES);
    table->entries[slot].subscription = subscription;
    table->count++;
    return PN_OK;
}

bool pn_subscription_covers(const struct pn_subscription *subscription,
                            const struct pn_key_door *door)
{
    struct pn_slice scope = pn_slice_str(subscription->scope);
    struct pn_slice api_key = door->api_key;

    if (subscription->is_of_product) {
        for (size_t i = 0; i < door->product_count; i++)
            if (pn_slice_case_eq_str(scope, door->product_keys[i]))
                return true;
        return false;
    }
    if (pn_slice_eq_str(scope, "/"))
        return true;
    if (!pn_slice_ends_with(scope, PN_LIT("/apis")))
        return pn_slice_case_eq(scope, api_key);
    return api_key.len > scope.len && api_key.ptr[scope.len] == '/' &&
           pn_slice_case_starts_with(api_key, scope);
}

enum pn_rc pn_key_table_check(const struct pn_key_table *table, struct pn_slice key,
                              const struct pn_key_door *door, const struct pn_subscription **who)
{
    uint8_t sha256[PN_SHA256_BYTES];
    const struct pn_subscription *found = NULL;
    size_t slot;

    pn_sha256(key, sha256);
    slot = first_slot(table, sha256);
    while (table->entries[slot].subscription) {
        const struct entry *entry = &table->entries[slot];

        if (pn_equal_constant_time(pn_slice(entry->sha256, PN_SHA256_BYTES),
                                   pn_slice(sha256, PN_SHA256_BYTES)) &&
            entry->subscription->is_active && pn_subscription_covers(entry->subscription, door))
            found = entry->subscription;
        slot = (slot + 1) & table->mask;
    }
    pn_wipe(sha256, sizeof(sha256));
    if (!found)
        return PN_DENIED;
    if (who)
        *who = found;
    return PN_OK;
}
