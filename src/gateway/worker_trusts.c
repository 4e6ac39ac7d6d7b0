/* SPDX-License-Identifier: Apache-2.0
 *
 * Which trust policy a worker's requests are under. Those of backends with wishes of their own are
 * made by the snapshot's base, under a lock; the worker keeps what it was given, by the backend's
 * name, as long as the newest snapshot wishes the same.
 */
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "gateway/worker.h"

struct grant {
    char *name;
    uint8_t digest[PN_SHA256_BYTES]; /* of the wish */
    struct pn_trust *trust;
};

static void grant_free(void *value)
{
    struct grant *grant = value;

    pn_trust_unref(grant->trust);
    free(grant->name);
    free(grant);
}

static struct grant *grant_create(const struct pn_backend *backend, struct pn_trust *trust)
{
    struct grant *grant = calloc(1, sizeof(*grant));

    if (!grant)
        return NULL;
    grant->trust = pn_trust_ref(trust);
    grant->name = strdup(backend->name);
    memcpy(grant->digest, backend->wish.digest, sizeof(grant->digest));
    if (grant->name)
        return grant;
    grant_free(grant);
    return NULL;
}

/** Without memory it is asked for again. */
static void keep(struct pn_worker *worker, const struct pn_backend *backend, struct pn_trust *trust)
{
    struct grant *grant = grant_create(backend, trust);
    void *former = NULL;

    if (!grant)
        return;
    if (pn_map_set(worker->grants, pn_slice_str(grant->name), grant, &former) != PN_OK)
        grant_free(grant);
    else if (former)
        grant_free(former);
}

static bool is_wished(const struct grant *grant, const struct pn_backend *backend)
{
    return memcmp(grant->digest, backend->wish.digest, sizeof(grant->digest)) == 0;
}

enum pn_rc pn_worker_trust(struct pn_worker *worker, const struct pn_pin *pin,
                           const struct pn_backend *backend, struct pn_trust **trust,
                           struct pn_error *err)
{
    static const struct pn_trust_wish usual = {.check_chain = true, .check_name = true};
    const struct pn_trust_wish *wish = backend ? &backend->wish : &usual;
    struct pn_trust_base *base = pin->snapshot->trusts;
    bool is_newest = base == worker->pin->snapshot->trusts;
    const struct grant *grant;
    enum pn_rc rc;

    if (!backend || !wish->is_special)
        return pn_trust_base_grant(base, wish, trust, err);
    grant = is_newest ? pn_map_get(worker->grants, pn_slice_str(backend->name)) : NULL;
    if (grant && is_wished(grant, backend)) {
        *trust = pn_trust_ref(grant->trust);
        return PN_OK;
    }
    rc = pn_trust_base_grant(base, wish, trust, err);
    /* A request of an older snapshot may wish what nobody wishes any more. */
    if (rc == PN_OK && pin == worker->pin)
        keep(worker, backend, *trust);
    return rc;
}

/** What the newest snapshot gives for the same wish; NULL: it has no such wish. */
static struct pn_trust *grant_again(const struct pn_worker *worker, const struct grant *grant)
{
    const struct pn_snapshot *now = worker->pin->snapshot;
    const struct pn_backend *backend = pn_snapshot_backend(now, pn_slice_str(grant->name));
    struct pn_trust *trust = NULL;
    struct pn_error err;

    if (!backend || !backend->wish.is_special || !is_wished(grant, backend) ||
        pn_trust_base_grant(now->trusts, &backend->wish, &trust, &err) != PN_OK)
        return NULL;
    return trust;
}

/** Puts what `grant` becomes into `kept`, if there is anything. */
static void renew(const struct pn_worker *worker, const struct grant *grant, struct pn_map *kept)
{
    struct pn_trust *trust = grant_again(worker, grant);
    struct grant *next = trust ? calloc(1, sizeof(*next)) : NULL;

    if (next) {
        next->name = strdup(grant->name);
        next->trust = pn_trust_ref(trust);
        memcpy(next->digest, grant->digest, sizeof(next->digest));
        if (!next->name || pn_map_set(kept, pn_slice_str(next->name), next, NULL) != PN_OK)
            grant_free(next);
    }
    pn_trust_unref(trust);
}

void pn_worker_trusts_changed(struct pn_worker *worker, const struct pn_snapshot *former)
{
    const struct pn_snapshot *now = worker->pin->snapshot;
    struct pn_map *kept;
    struct pn_slice name;
    size_t position = 0;
    void *value;

    if (former->backends == now->backends && former->trusts == now->trusts)
        return;
    kept = pn_map_create(false);
    while (pn_map_next(worker->grants, &position, &name, &value)) {
        if (kept)
            renew(worker, value, kept);
        else /* no memory: nobody wishes that, so it is asked for again */
            memset(((struct grant *)value)->digest, 0, PN_SHA256_BYTES);
    }
    if (!kept)
        return;
    pn_map_destroy(worker->grants, grant_free);
    worker->grants = kept;
}

static bool add_policy(struct pn_map *policies, const struct pn_trust *trust)
{
    const struct pn_trust_id *id = pn_trust_id(trust);

    return pn_map_set(policies, pn_slice(id, sizeof(*id)), (void *)(uintptr_t)trust, NULL) == PN_OK;
}

struct pn_map *pn_worker_policies(const struct pn_worker *worker)
{
    const struct pn_trust_base *base = worker->pin->snapshot->trusts;
    struct pn_map *policies = pn_map_create(false);
    bool is_whole = policies != NULL;
    struct pn_slice name;
    size_t position = 0;
    void *value;

    for (unsigned i = 0; is_whole && i < PN_TRUST_VARIANTS; i++)
        is_whole = !base->plain[i] || add_policy(policies, base->plain[i]);
    while (is_whole && pn_map_next(worker->grants, &position, &name, &value))
        is_whole = add_policy(policies, ((const struct grant *)value)->trust);
    if (is_whole)
        return policies;
    pn_map_destroy(policies, NULL);
    return NULL;
}

void pn_worker_trusts_fini(struct pn_worker *worker)
{
    pn_map_destroy(worker->grants, grant_free);
    worker->grants = NULL;
}
