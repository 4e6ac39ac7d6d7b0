/* SPDX-License-Identifier: Apache-2.0
 *
 * Wrong secrets and passwords, counted for a while; too many, and none is looked at.
 */
#include "authority/authority_internal.h"

/* The entry for `key`, or with `make` the one to use for it: free, else the oldest. Locked. */
static struct secret_failures *failures_of(struct pn_authority *authority, uint64_t key, bool make)
{
    struct secret_failures *oldest = &authority->failures[0];
    int64_t now_s = authority->now_s();

    for (size_t i = 0; i < FAILURES_TRACKED; i++) {
        struct secret_failures *entry = &authority->failures[i];

        if (entry->count > 0 && now_s - entry->since_s >= PN_SECRET_FAILURE_WINDOW_S)
            entry->count = 0;
        if (entry->count > 0 && entry->key == key)
            return entry;
        if (entry->count == 0 ? oldest->count > 0
                              : oldest->count > 0 && entry->since_s < oldest->since_s)
            oldest = entry;
    }
    if (!make)
        return NULL;
    *oldest = (struct secret_failures){.key = key, .since_s = now_s};
    return oldest;
}

bool authority_is_limited(struct pn_authority *authority, uint64_t key, unsigned max)
{
    struct secret_failures *entry;
    bool limited;

    pthread_mutex_lock(&authority->lock);
    entry = failures_of(authority, key, false);
    limited = entry && entry->count >= max;
    pthread_mutex_unlock(&authority->lock);
    return limited;
}

void authority_count_failure(struct pn_authority *authority, uint64_t key)
{
    pthread_mutex_lock(&authority->lock);
    failures_of(authority, key, true)->count++;
    pthread_mutex_unlock(&authority->lock);
}
