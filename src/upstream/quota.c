/* SPDX-License-Identifier: Apache-2.0
 *
 * See quota.h. The counts are atomics, in the order of all threads; the table of keys and the list
 * of pools have a lock.
 */
#include "upstream/quota.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

struct pn_quotas {
    pthread_mutex_t lock;
    struct pn_map *table; /* key -> struct pn_quota */
    size_t refusing;      /* that are kept for what is known of them */
    struct pn_list members;
};

struct pn_quota {
    struct pn_quotas *owner;
    size_t references; /* under the lock */
    atomic_size_t open, queued, wanted, poor;
    atomic_bool refuses_trailers;
    size_t key_len;
    char key[];
};

struct pn_quotas *pn_quotas_create(void)
{
    struct pn_quotas *quotas = calloc(1, sizeof(*quotas));

    if (!quotas)
        return NULL;
    quotas->table = pn_map_create(false);
    if (!quotas->table) {
        free(quotas);
        return NULL;
    }
    pthread_mutex_init(&quotas->lock, NULL);
    pn_list_init(&quotas->members);
    return quotas;
}

void pn_quotas_destroy(struct pn_quotas *quotas)
{
    if (!quotas)
        return;
    pn_map_destroy(quotas->table, free);
    pthread_mutex_destroy(&quotas->lock);
    free(quotas);
}

void pn_quotas_join(struct pn_quotas *quotas, struct pn_quota_member *member)
{
    pthread_mutex_lock(&quotas->lock);
    pn_list_push_back(&quotas->members, &member->entry);
    pthread_mutex_unlock(&quotas->lock);
}

void pn_quotas_leave(struct pn_quotas *quotas, struct pn_quota_member *member)
{
    pthread_mutex_lock(&quotas->lock);
    pn_list_remove(&member->entry);
    pthread_mutex_unlock(&quotas->lock);
}

static void wake_others(struct pn_quotas *quotas, const struct pn_quota_member *self)
{
    pthread_mutex_lock(&quotas->lock);
    for (struct pn_list *at = quotas->members.next; at != &quotas->members; at = at->next) {
        struct pn_quota_member *member = PN_CONTAINER(at, struct pn_quota_member, entry);

        if (member != self)
            member->wake(member);
    }
    pthread_mutex_unlock(&quotas->lock);
}

/* --- keys --- */

static struct pn_quota *quota_make(struct pn_quotas *quotas, struct pn_slice key)
{
    struct pn_quota *quota = calloc(1, sizeof(*quota) + key.len);

    if (!quota)
        return NULL;
    quota->owner = quotas;
    quota->key_len = key.len;
    memcpy(quota->key, key.ptr, key.len);
    if (pn_map_set(quotas->table, key, quota, NULL) == PN_OK)
        return quota;
    free(quota);
    return NULL;
}

struct pn_quota *pn_quota_get(struct pn_quotas *quotas, struct pn_slice key)
{
    struct pn_quota *quota;

    pthread_mutex_lock(&quotas->lock);
    quota = pn_map_get(quotas->table, key);
    if (!quota)
        quota = quota_make(quotas, key);
    if (quota)
        quota->references++;
    pthread_mutex_unlock(&quotas->lock);
    return quota;
}

void pn_quota_put(struct pn_quota *quota)
{
    struct pn_quotas *quotas;

    if (!quota)
        return;
    quotas = quota->owner;
    pthread_mutex_lock(&quotas->lock);
    if (--quota->references == 0) {
        assert(atomic_load(&quota->open) == 0 && atomic_load(&quota->queued) == 0);
        (void)pn_map_remove(quotas->table, pn_slice(quota->key, quota->key_len));
        free(quota);
    }
    pthread_mutex_unlock(&quotas->lock);
}

/* --- counts --- */

/** One more, if it stays within `max`. */
static bool count_up(atomic_size_t *count, size_t max)
{
    size_t now = atomic_load(count);

    while (now < max) {
        if (atomic_compare_exchange_weak(count, &now, now + 1))
            return true;
    }
    return false;
}

static void count_down(atomic_size_t *count)
{
    size_t former = atomic_fetch_sub(count, 1);

    assert(former > 0);
    (void)former;
}

bool pn_quota_take(struct pn_quota *quota, size_t max)
{
    return count_up(&quota->open, max);
}

void pn_quota_add(struct pn_quota *quota)
{
    atomic_fetch_add(&quota->open, 1);
}

void pn_quota_free(struct pn_quota *quota, const struct pn_quota_member *self)
{
    count_down(&quota->open);
    if (atomic_load(&quota->wanted) > 0)
        wake_others(quota->owner, self);
}

size_t pn_quota_open(const struct pn_quota *quota)
{
    return atomic_load(&quota->open);
}

void pn_quota_refuse_trailers(struct pn_quota *quota)
{
    struct pn_quotas *quotas = quota->owner;

    pthread_mutex_lock(&quotas->lock);
    if (!atomic_exchange(&quota->refuses_trailers, true) &&
        quotas->refusing < PN_QUOTA_REFUSING_MAX) {
        quotas->refusing++;
        quota->references++; /* for ever */
    }
    pthread_mutex_unlock(&quotas->lock);
}

bool pn_quota_refuses_trailers(const struct pn_quota *quota)
{
    return atomic_load_explicit(&quota->refuses_trailers, memory_order_relaxed);
}

bool pn_quota_enqueue(struct pn_quota *quota, size_t max)
{
    return count_up(&quota->queued, max);
}

void pn_quota_dequeue(struct pn_quota *quota)
{
    count_down(&quota->queued);
}

size_t pn_quota_queued(const struct pn_quota *quota)
{
    return atomic_load(&quota->queued);
}

void pn_quota_want(struct pn_quota *quota, bool is_poor, const struct pn_quota_member *self)
{
    atomic_fetch_add(&quota->wanted, 1);
    if (is_poor)
        atomic_fetch_add(&quota->poor, 1);
    wake_others(quota->owner, self);
}

void pn_quota_unwant(struct pn_quota *quota, bool is_poor, const struct pn_quota_member *self)
{
    count_down(&quota->wanted);
    if (!is_poor)
        return;
    count_down(&quota->poor);
    /* Who has a connection held back while there was a poor one, and was woken in vain. */
    if (atomic_load(&quota->poor) == 0 && atomic_load(&quota->wanted) > 0)
        wake_others(quota->owner, self);
}

bool pn_quota_is_wanted(const struct pn_quota *quota)
{
    return atomic_load(&quota->wanted) > 0;
}

bool pn_quota_is_wanted_by_poor(const struct pn_quota *quota)
{
    return atomic_load(&quota->poor) > 0;
}
