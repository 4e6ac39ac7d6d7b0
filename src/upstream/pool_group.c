/* SPDX-License-Identifier: Apache-2.0
 *
 * Groups of connections. A group is all of one (host, port, TLS context); the context stands for
 * trust policy, certificate generation and ALPN. Within a group the connections may differ in the
 * peer's address only, so the identity that a request demands is the group's with that address.
 *
 * Places are counted for the group, and for the host and port that it shares with others; both here
 * for this thread, and in a quota for all of them.
 */
#include <assert.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/metrics.h"
#include "upstream/pool_internal.h"

#define TURN_MS 50 /* a connection serves its own thread before it may have to give way */

/* --- hosts --- */

static struct pn_pool_host *host_get(struct pn_pool *pool, struct pn_slice key)
{
    struct pn_pool_host *host = pn_map_get(pool->hosts, key);

    if (host)
        return host;
    host = calloc(1, sizeof(*host));
    if (!host)
        return NULL;
    pn_list_init(&host->groups);
    host->key_len = key.len;
    memcpy(host->key, key.ptr, key.len);
    host->quota = pn_quota_get(pool->quotas, key);
    if (!host->quota || pn_map_set(pool->hosts, key, host, NULL) != PN_OK) {
        pn_quota_put(host->quota);
        free(host);
        return NULL;
    }
    return host;
}

static void host_leave(struct pn_pool_group *group)
{
    struct pn_pool_host *host = group->host_of;

    if (!host)
        return;
    pn_list_remove(&group->host_entry);
    if (!pn_list_is_empty(&host->groups))
        return;
    assert(host->open == 0);
    pn_map_remove(group->pool->hosts, pn_slice(host->key, host->key_len));
    pn_quota_put(host->quota);
    free(host);
}

/* --- groups --- */

/** The key in the map: context, proxy, kind, port, host. The last two are the host's key, which
 *  begins at *host_start. */
static struct pn_slice group_key(const struct pn_demand *demand, char *out, size_t *host_start)
{
    size_t len = 0;
    size_t host_len = demand->target->host.len;

    assert(host_len <= PN_TARGET_HOST_MAX);
    memcpy(out + len, &demand->tls, sizeof(demand->tls));
    len += sizeof(demand->tls);
    out[len++] = demand->proxy ? 'p' : '-';
    if (demand->proxy) {
        memcpy(out + len, demand->proxy->digest, sizeof(demand->proxy->digest));
        len += sizeof(demand->proxy->digest);
        memcpy(out + len, &demand->proxy_tls, sizeof(demand->proxy_tls));
        len += sizeof(demand->proxy_tls);
    }
    out[len++] = demand->is_h2c ? '2' : '1';
    *host_start = len;
    memcpy(out + len, &demand->target->port, sizeof(demand->target->port));
    len += sizeof(demand->target->port);
    for (size_t i = 0; i < host_len; i++) {
        char c = demand->target->host.ptr[i];

        out[len++] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    return pn_slice(out, len);
}

/** What is the same in all threads: the host, and the identity but for its address. */
static struct pn_quota *quota_of(struct pn_pool *pool, const struct pn_demand *demand,
                                 struct pn_slice host_key)
{
    struct {
        struct pn_tls_identity identity;
        unsigned char proxy[PN_PROXY_DIGEST_BYTES];
        char host[sizeof(uint16_t) + PN_TARGET_HOST_MAX];
    } key;
    struct pn_peer_address peer;

    memset(&key, 0, sizeof(key));
    memset(&peer, 0, sizeof(peer));
    peer.port = demand->target->port;
    /* A name that TLS cannot check will fail to open: then its host alone counts. */
    if (pn_pool_identity(demand, &peer, &key.identity) != PN_OK)
        memset(&key.identity, 0, sizeof(key.identity));
    if (demand->proxy)
        memcpy(key.proxy, demand->proxy->digest, sizeof(key.proxy));
    memcpy(key.host, host_key.ptr, host_key.len);
    return pn_quota_get(pool->quotas, pn_slice((const char *)&key, sizeof(key)));
}

static void group_destroy(struct pn_pool_group *group)
{
    host_leave(group);
    pn_quota_put(group->quota);
    pn_tls_client_unref(group->tls);
    pn_proxy_unref(group->proxy);
    pn_tls_client_unref(group->proxy_tls);
    free(group);
}

static struct pn_pool_group *group_create(struct pn_pool *pool, const struct pn_demand *demand,
                                          struct pn_slice key, size_t host_start)
{
    struct pn_pool_group *group = calloc(1, sizeof(*group));

    if (!group)
        return NULL;
    pn_list_init(&group->idle);
    pn_list_init(&group->busy);
    pn_list_init(&group->shared);
    pn_list_init(&group->queue);
    pn_list_init(&group->waiting);
    pn_list_init(&group->host_entry);
    group->pool = pool;
    group->is_h2c = demand->is_h2c;
    group->port = demand->target->port;
    group->key_len = key.len;
    memcpy(group->key, key.ptr, key.len);
    group->host_len = demand->target->host.len;
    memcpy(group->host, key.ptr + key.len - group->host_len, group->host_len);
    if (demand->tls)
        group->tls = pn_tls_client_ref(demand->tls);
    if (demand->proxy)
        group->proxy = pn_proxy_ref(demand->proxy);
    if (demand->proxy && demand->proxy_tls)
        group->proxy_tls = pn_tls_client_ref(demand->proxy_tls);
    group->host_of = host_get(pool, pn_slice_sub(key, host_start, key.len - host_start));
    if (group->host_of)
        pn_list_push_back(&group->host_of->groups, &group->host_entry);
    group->quota = quota_of(pool, demand, pn_slice_sub(key, host_start, key.len - host_start));
    if (!group->host_of || !group->quota || pn_map_set(pool->groups, key, group, NULL) != PN_OK) {
        group_destroy(group);
        return NULL;
    }
    return group;
}

/** All that makes a group, field by field. */
static bool is_of_group(const struct pn_demand *demand, const struct pn_pool_group *group)
{
    return demand->tls == group->tls && demand->is_h2c == group->is_h2c &&
           demand->target->port == group->port && pn_proxy_equal(demand->proxy, group->proxy) &&
           (!demand->proxy || demand->proxy_tls == group->proxy_tls) &&
           pn_slice_case_eq(demand->target->host, pn_slice(group->host, group->host_len));
}

/** By a part of what makes a group: many hosts share a port and a context. */
static struct pn_pool_group **recent_place(struct pn_pool *pool, const struct pn_tls_client *tls,
                                           uint16_t port, struct pn_slice host)
{
    size_t at = (uintptr_t)tls / alignof(max_align_t) + port + host.len;

    if (host.len > 0) /* without case */
        at += (size_t)((host.ptr[0] | 0x20) + (host.ptr[host.len / 2] | 0x20));
    return &pool->recent[at & (PN_POOL_RECENT - 1)];
}

struct pn_pool_group *pn_group_get(struct pn_pool *pool, const struct pn_demand *demand)
{
    struct pn_pool_group **recent =
        recent_place(pool, demand->tls, demand->target->port, demand->target->host);
    char key[PN_POOL_KEY_MAX];
    size_t host_start = 0;
    struct pn_slice slice;

    if (*recent && is_of_group(demand, *recent))
        return *recent;
    slice = group_key(demand, key, &host_start);
    *recent = pn_map_get(pool->groups, slice);
    if (!*recent)
        *recent = group_create(pool, demand, slice, host_start);
    return *recent;
}

/** Out of the map, and nobody finds it any more. */
static void forget(struct pn_pool_group *group)
{
    struct pn_pool_group **recent =
        recent_place(group->pool, group->tls, group->port, pn_slice(group->host, group->host_len));

    if (*recent == group)
        *recent = NULL;
    pn_map_remove(group->pool->groups, pn_slice(group->key, group->key_len));
}

void pn_group_release_if_unused(struct pn_pool_group *group)
{
    if (group->open > 0 || group->acquires > 0)
        return;
    forget(group);
    group_destroy(group);
}

void pn_group_hold(struct pn_pool_group *group)
{
    group->acquires++;
}

void pn_group_unhold(struct pn_pool_group *group)
{
    assert(group->acquires > 0);
    group->acquires--;
    pn_group_release_if_unused(group);
}

bool pn_group_has_expired(const struct pn_pool_group *group)
{
    size_t count = 0;
    struct pn_tls_certificate *const *certificates =
        group->tls ? pn_tls_client_certificates(group->tls, &count) : NULL;
    int64_t now_s = pn_clock_unix_s();

    for (size_t i = 0; i < count; i++) {
        if (pn_tls_certificate_not_after(certificates[i]) >= now_s)
            return false;
    }
    return count > 0;
}

bool pn_group_may_share(const struct pn_pool_group *group)
{
    enum pn_alpn alpn;

    if (group->is_retired)
        return false;
    if (!group->tls)
        return group->is_h2c;
    alpn = pn_tls_client_alpn(group->tls);
    return alpn == PN_ALPN_H2 || (alpn == PN_ALPN_H2_HTTP11 && !group->speaks_h1);
}

/* --- places --- */

static bool evict_from_host(struct pn_pool_host *host)
{
    struct pn_list *at;

    for (at = host->groups.next; at != &host->groups; at = at->next) {
        if (pn_group_evict_idle(PN_CONTAINER(at, struct pn_pool_group, host_entry)))
            return true;
    }
    return false;
}

/** A place of `quota`, of which this thread has `own` already: then the next one is a poor one's.
 */
static bool take_of(struct pn_quota *quota, size_t max, size_t own)
{
    if (own > 0 && pn_quota_is_wanted_by_poor(quota))
        return false;
    return pn_quota_take(quota, max);
}

/** NULL: taken. Else the quota that has no place. */
static struct pn_quota *try_place(struct pn_pool_group *group)
{
    const struct pn_pool_limits *limits = &group->pool->limits;
    struct pn_pool_host *host = group->host_of;
    bool is_taken;

    if (!take_of(group->quota, limits->connections_max, group->open))
        return group->quota;
    do
        is_taken = take_of(host->quota, limits->host_connections_max, host->open);
    while (!is_taken && evict_from_host(host));
    if (is_taken)
        return NULL;
    pn_quota_free(group->quota, &group->pool->member);
    return host->quota;
}

static void count_place(struct pn_pool_group *group)
{
    group->open++;
    group->host_of->open++;
    group->pool->open++;
    pn_pool_sweep_later(group->pool);
}

void pn_group_stop_wanting(struct pn_pool_group *group)
{
    struct pn_quota *quota = group->wants;

    group->wants = NULL;
    if (quota)
        pn_quota_unwant(quota, group->is_poor, &group->pool->member);
}

/** Announces that a place of `quota` is wanted. False: that is known. */
static bool want(struct pn_pool_group *group, struct pn_quota *quota)
{
    bool is_poor = (quota == group->quota ? group->open : group->host_of->open) == 0;

    if (group->wants == quota && group->is_poor == is_poor)
        return false;
    pn_group_stop_wanting(group);
    group->wants = quota;
    group->is_poor = is_poor;
    pn_quota_want(quota, is_poor, &group->pool->member);
    return true;
}

bool pn_group_take_place(struct pn_pool_group *group)
{
    struct pn_quota *full = try_place(group);

    while (full && want(group, full)) /* one may have become free before that */
        full = try_place(group);
    if (full)
        return false;
    pn_group_stop_wanting(group);
    count_place(group);
    return true;
}

void pn_group_add_place(struct pn_pool_group *group)
{
    pn_quota_add(group->quota);
    pn_quota_add(group->host_of->quota);
    count_place(group);
}

void pn_group_free_place(struct pn_pool_group *group)
{
    assert(group->open > 0);
    group->open--;
    group->host_of->open--;
    group->pool->open--;
    pn_quota_free(group->quota, &group->pool->member);
    pn_quota_free(group->host_of->quota, &group->pool->member);
    pn_pool_serve_soon(group->pool);
}

bool pn_group_gives_way(const struct pn_pool_group *group)
{
    return group->queued == 0 &&
           (pn_quota_is_wanted(group->quota) || pn_quota_is_wanted(group->host_of->quota));
}

bool pn_conn_has_had_its_turn(const struct pn_conn *conn)
{
    const struct pn_pool_group *group = conn->group;

    return (pn_quota_is_wanted_by_poor(group->quota) ||
            pn_quota_is_wanted_by_poor(group->host_of->quota)) &&
           pn_loop_now_ms(group->pool->loop) - pn_stream_opened_ms(conn->stream) >= TURN_MS;
}

/* --- the queue --- */

bool pn_group_enqueue(struct pn_pool_group *group, struct pn_acquire *acquire)
{
    if (!pn_quota_enqueue(group->quota, group->pool->limits.queue_max))
        return false;
    pn_list_push_back(&group->queue, &acquire->entry);
    if (group->queued++ == 0)
        pn_list_push_back(&group->pool->waiting, &group->waiting);
    return true;
}

void pn_group_dequeue(struct pn_pool_group *group, struct pn_acquire *acquire)
{
    pn_list_remove(&acquire->entry);
    pn_quota_dequeue(group->quota);
    if (--group->queued > 0)
        return;
    pn_list_remove(&group->waiting);
    pn_group_stop_wanting(group);
}

void pn_pool_serve_soon(struct pn_pool *pool)
{
    if (!pn_list_is_empty(&pool->waiting))
        pn_loop_soon(pool->loop, &pool->serve_task);
}

/* --- identity --- */

enum pn_rc pn_pool_identity(const struct pn_demand *demand, const struct pn_peer_address *peer,
                            struct pn_tls_identity *identity)
{
    if (demand->tls)
        return pn_tls_client_identity(demand->tls, peer, demand->target->host, identity);
    pn_tls_identity_init(identity, peer);
    if (demand->is_h2c)
        identity->alpn = PN_ALPN_H2;
    pn_tls_identity_seal(identity);
    return PN_OK;
}

/** A tunnel's peer is its proxy and the port behind it; without a proxy it is an address. */
static bool is_peer_of(const struct pn_tls_identity *actual, const struct pn_demand *demand)
{
    struct pn_peer_address peer;

    if (!demand->proxy)
        return actual->peer.family != AF_UNSPEC && actual->peer.port == demand->target->port;
    pn_proxy_peer(demand->proxy, demand->target->port, &peer);
    return memcmp(&peer, &actual->peer, sizeof(peer)) == 0;
}

enum pn_rc pn_conn_check(const struct pn_conn *conn, const struct pn_demand *demand)
{
    const struct pn_tls_identity *actual = pn_stream_identity(conn->stream);
    struct pn_pool_group *group = conn->group;

    /* The demanded identity is sealed once per group and peer address, not once per request; that
     * the demand is the group's is compared in full, field by field. */
    if (actual && is_of_group(demand, group) && is_peer_of(actual, demand)) {
        if (memcmp(&group->expected.peer, &actual->peer, sizeof(actual->peer)) != 0 &&
            pn_pool_identity(demand, &actual->peer, &group->expected) != PN_OK)
            memset(&group->expected, 0, sizeof(group->expected));
        if (pn_tls_identity_equal(&group->expected, actual))
            return PN_OK;
    }
    pn_metric_add(PN_METRIC_IDENTITY_MISMATCH, 1);
    return PN_CONFLICT;
}
