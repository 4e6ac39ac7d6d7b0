/* SPDX-License-Identifier: Apache-2.0
 *
 * Groups of connections. A group is all of one (host, port, TLS context); the context stands for
 * trust policy, certificate generation and ALPN. Within a group the connections may differ in the
 * peer's address only, so the identity that a request demands is the group's with that address.
 */
#include "upstream/pool.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/metrics.h"
#include "upstream/pool_internal.h"

#define SWEEP_INTERVAL_MS 1000

static void conn_free(void *object)
{
    struct pn_conn *conn = object;

    free(conn);
}

/* --- groups --- */

/** The key in the map: port, context, proxy, host. */
static struct pn_slice group_key(const struct pn_demand *demand, char *out)
{
    size_t len = 0;
    size_t host_len = demand->target->host.len;

    assert(host_len <= PN_TARGET_HOST_MAX);
    memcpy(out + len, &demand->target->port, sizeof(demand->target->port));
    len += sizeof(demand->target->port);
    memcpy(out + len, &demand->tls, sizeof(demand->tls));
    len += sizeof(demand->tls);
    out[len++] = demand->proxy ? 'p' : '-';
    if (demand->proxy) {
        memcpy(out + len, demand->proxy->digest, sizeof(demand->proxy->digest));
        len += sizeof(demand->proxy->digest);
    }
    for (size_t i = 0; i < host_len; i++) {
        char c = demand->target->host.ptr[i];

        out[len++] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    return pn_slice(out, len);
}

static void group_destroy(struct pn_pool_group *group)
{
    pn_tls_client_unref(group->tls);
    pn_proxy_unref(group->proxy);
    free(group);
}

static struct pn_pool_group *group_get(struct pn_pool *pool, const struct pn_demand *demand)
{
    char key[PN_POOL_KEY_MAX];
    struct pn_slice slice = group_key(demand, key);
    struct pn_pool_group *group = pn_map_get(pool->groups, slice);

    if (group)
        return group;
    group = calloc(1, sizeof(*group));
    if (!group)
        return NULL;
    pn_list_init(&group->idle);
    pn_list_init(&group->queue);
    group->pool = pool;
    group->port = demand->target->port;
    group->key_len = slice.len;
    memcpy(group->key, key, slice.len);
    group->host_len = demand->target->host.len;
    memcpy(group->host, key + slice.len - group->host_len, group->host_len);
    if (demand->tls)
        group->tls = pn_tls_client_ref(demand->tls);
    if (demand->proxy)
        group->proxy = pn_proxy_ref(demand->proxy);
    if (pn_map_set(pool->groups, slice, group, NULL) != PN_OK) {
        group_destroy(group);
        return NULL;
    }
    return group;
}

static void group_release_if_unused(struct pn_pool_group *group)
{
    if (group->open > 0 || group->acquires > 0)
        return;
    pn_map_remove(group->pool->groups, pn_slice(group->key, group->key_len));
    group_destroy(group);
}

/* --- identity --- */

enum pn_rc pn_pool_identity(const struct pn_demand *demand, const struct pn_peer_address *peer,
                            struct pn_tls_identity *identity)
{
    if (demand->tls)
        return pn_tls_client_identity(demand->tls, peer, demand->target->host, identity);
    pn_tls_identity_init(identity, peer);
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
    if (actual && demand->tls == group->tls && demand->target->port == group->port &&
        pn_proxy_equal(demand->proxy, group->proxy) && is_peer_of(actual, demand) &&
        pn_slice_case_eq(demand->target->host, pn_slice(group->host, group->host_len))) {
        if (memcmp(&group->expected.peer, &actual->peer, sizeof(actual->peer)) != 0 &&
            pn_pool_identity(demand, &actual->peer, &group->expected) != PN_OK)
            memset(&group->expected, 0, sizeof(group->expected));
        if (pn_tls_identity_equal(&group->expected, actual))
            return PN_OK;
    }
    pn_metric_add(PN_METRIC_IDENTITY_MISMATCH, 1);
    return PN_CONFLICT;
}

/* --- idle connections --- */

void pn_pool_drop(struct pn_conn *conn)
{
    struct pn_pool_group *group = conn->group;

    pn_list_remove(&conn->entry);
    pn_stream_destroy(conn->stream);
    conn->stream = NULL;
    pn_inlet_fini(&conn->inlet);
    pn_metric_add(PN_METRIC_BACKEND_CONNECTIONS, -1);
    assert(group->open > 0);
    group->open--;
    pn_loop_defer_free(group->pool->loop, &conn->deferred, conn_free, conn);
    if (!pn_list_is_empty(&group->queue))
        pn_loop_soon(group->pool->loop, &group->pool->serve_task);
    else
        group_release_if_unused(group);
}

/** Anything that happens on an idle connection ends it: the backend closed, or speaks unasked. */
static void on_idle_event(void *ctx, struct pn_stream *stream)
{
    struct pn_conn *conn = ctx;
    char byte;
    size_t len;

    /* TLS: it may be only a new session ticket. */
    if (pn_stream_read(stream, &byte, 1, &len) == PN_AGAIN)
        return;
    conn->group->idle_count--;
    conn->group->pool->idle_count--;
    pn_pool_drop(conn);
}

static void ignore_event(void *ctx, struct pn_stream *stream)
{
    (void)ctx;
    (void)stream;
}

static const struct pn_stream_events idle_events = {
    .on_open = ignore_event,
    .on_readable = on_idle_event,
    .on_writable = ignore_event,
};

static bool certificate_has_ended(const struct pn_pool_group *group)
{
    const struct pn_tls_certificate *certificate =
        group->tls ? pn_tls_client_certificate(group->tls) : NULL;

    return certificate && pn_tls_certificate_not_after(certificate) < pn_clock_unix_s();
}

static bool is_reusable(const struct pn_conn *conn)
{
    const struct pn_pool *pool = conn->group->pool;
    uint64_t now_ms = pn_loop_now_ms(pool->loop);

    return pn_stream_opened_ms(conn->stream) >= conn->group->reconnected_ms &&
           now_ms - conn->idle_since_ms < pool->limits.idle_timeout_ms &&
           now_ms - pn_stream_opened_ms(conn->stream) < pool->limits.age_max_ms;
}

static void unlink_idle(struct pn_conn *conn)
{
    pn_list_remove(&conn->entry);
    conn->group->idle_count--;
    conn->group->pool->idle_count--;
}

/** The most recently used one: the others may then become idle enough to close. */
static struct pn_conn *take_idle(struct pn_pool_group *group)
{
    while (!pn_list_is_empty(&group->idle)) {
        struct pn_conn *conn = PN_CONTAINER(group->idle.next, struct pn_conn, entry);

        unlink_idle(conn);
        if (is_reusable(conn) && !certificate_has_ended(group))
            return conn;
        group->acquires++; /* keep the group while we are in it */
        pn_pool_drop(conn);
        group->acquires--;
    }
    return NULL;
}

void pn_pool_give_back(struct pn_conn *conn)
{
    struct pn_pool_group *group = conn->group;
    struct pn_pool *pool = group->pool;

    conn->idle_since_ms = pn_loop_now_ms(pool->loop);
    if (group->is_retired || group->idle_count >= pool->limits.idle_max ||
        conn->inlet.start != conn->inlet.end || !is_reusable(conn) ||
        certificate_has_ended(group)) {
        pn_pool_drop(conn);
        return;
    }
    pn_inlet_rest(&conn->inlet);
    pn_stream_set_events(conn->stream, &idle_events, conn);
    pn_list_push_front(&group->idle, &conn->entry);
    group->idle_count++;
    pool->idle_count++;
    if (!pn_list_is_empty(&group->queue))
        pn_loop_soon(pool->loop, &pool->serve_task);
    if (!pn_timer_is_armed(&pool->sweep_timer))
        pn_loop_arm(pool->loop, &pool->sweep_timer, SWEEP_INTERVAL_MS);
}

/** `all`: also those that could still be used. */
static void close_idle_of(struct pn_pool_group *group, bool all)
{
    group->acquires++;
    for (struct pn_list *at = group->idle.next; at != &group->idle;) {
        struct pn_conn *conn = PN_CONTAINER(at, struct pn_conn, entry);

        at = at->next;
        if (!all && is_reusable(conn) && !certificate_has_ended(group)) {
            if (pn_loop_now_ms(group->pool->loop) - conn->idle_since_ms >= SWEEP_INTERVAL_MS)
                pn_stream_trim(conn->stream);
            continue;
        }
        unlink_idle(conn);
        pn_pool_drop(conn);
    }
    group->acquires--;
}

/** Walks the groups; they may go away meanwhile, so the keys' owners are collected first. */
static void for_groups(struct pn_pool *pool, const struct pn_tls_client *tls, bool all, bool retire)
{
    size_t count = pn_map_count(pool->groups);
    struct pn_pool_group **groups = calloc(count + 1, sizeof(struct pn_pool_group *));
    struct pn_slice key;
    size_t position = 0;
    size_t n = 0;
    void *value;

    if (!groups)
        return; /* they end by their idle timeout */
    while (pn_map_next(pool->groups, &position, &key, &value))
        groups[n++] = value;
    for (size_t i = 0; i < n; i++) {
        if (tls && groups[i]->tls != tls)
            continue;
        if (retire)
            groups[i]->is_retired = true;
        close_idle_of(groups[i], all);
        group_release_if_unused(groups[i]);
    }
    free(groups);
}

void pn_pool_retire(struct pn_pool *pool, const struct pn_tls_client *tls)
{
    for_groups(pool, tls, true, true);
}

void pn_pool_close_idle(struct pn_pool *pool)
{
    for_groups(pool, NULL, true, false);
}

/** Another connection may be opened in the millisecond in which this is called: that one counts as
 * old too, and is merely opened once more. */
void pn_pool_reconnect(struct pn_pool *pool, struct pn_slice host, uint16_t port)
{
    struct pn_slice key;
    size_t position = 0;
    void *value;

    while (pn_map_next(pool->groups, &position, &key, &value)) {
        struct pn_pool_group *group = value;

        if (group->port == port && pn_slice_case_eq(host, pn_slice(group->host, group->host_len)))
            group->reconnected_ms = pn_loop_now_ms(pool->loop) + 1;
    }
    for_groups(pool, NULL, false, false);
}

static void on_sweep(struct pn_timer *timer)
{
    struct pn_pool *pool = timer->ctx;

    for_groups(pool, NULL, false, false);
    if (pool->idle_count > 0)
        pn_loop_arm(pool->loop, &pool->sweep_timer, SWEEP_INTERVAL_MS);
}

/* --- taking --- */

enum pn_rc pn_pool_take(struct pn_pool *pool, struct pn_acquire *acquire,
                        const struct pn_demand *demand, bool only_new, struct pn_conn **conn)
{
    struct pn_pool_group *group = group_get(pool, demand);
    enum pn_rc rc;

    acquire->pool = pool;
    acquire->group = NULL;
    acquire->failure.code = NULL;
    acquire->failure.peer[0] = '\0';
    pn_list_init(&acquire->entry);
    if (!group) {
        pn_failure_set(&acquire->failure, "out_of_memory", "no memory for a connection");
        return PN_NOMEM;
    }
    if (!only_new) {
        *conn = take_idle(group);
        if (*conn) {
            pn_metric_add(PN_METRIC_BACKEND_REUSED, 1);
            return PN_OK;
        }
    }
    if (certificate_has_ended(group)) {
        pn_failure_set(&acquire->failure, "client_certificate_expired",
                       "the client certificate '%s' has expired: renew it",
                       pn_tls_certificate_name(pn_tls_client_certificate(group->tls)));
        group_release_if_unused(group);
        return PN_INVALID;
    }
    acquire->group = group;
    group->acquires++;
    if (group->open < pool->limits.connections_max) {
        rc = pn_acquire_connect(acquire);
    } else if (group->queued >= pool->limits.queue_max) {
        pn_limit_hit(PN_LIMIT_BACKEND_QUEUE);
        pn_failure_set(&acquire->failure, "backend_queue_full",
                       "%zu connections to this backend are busy and %zu requests wait",
                       group->open, group->queued);
        rc = PN_LIMIT;
    } else {
        pn_list_push_back(&group->queue, &acquire->entry);
        group->queued++;
        rc = PN_AGAIN;
    }
    if (rc != PN_AGAIN)
        pn_acquire_leave(acquire);
    return rc;
}

void pn_acquire_leave(struct pn_acquire *acquire)
{
    struct pn_pool_group *group = acquire->group;

    acquire->group = NULL;
    assert(group->acquires > 0);
    group->acquires--;
    group_release_if_unused(group);
}

void pn_acquire_cancel(struct pn_acquire *acquire)
{
    if (!acquire->group)
        return;
    pn_opening_cancel(acquire->opening);
    acquire->opening = NULL;
    if (acquire->holds_place) {
        acquire->holds_place = false;
        acquire->group->open--;
        pn_loop_soon(acquire->pool->loop, &acquire->pool->serve_task);
    } else {
        pn_list_remove(&acquire->entry);
        acquire->group->queued--;
    }
    pn_acquire_leave(acquire);
}

/** Gives what became free to those who wait, oldest first. */
static bool serve_group(struct pn_pool *pool, struct pn_pool_group *group)
{
    struct pn_acquire *acquire;
    struct pn_conn *conn;
    enum pn_rc rc;

    if (pn_list_is_empty(&group->queue))
        return false;
    conn = take_idle(group);
    if (!conn && group->open >= pool->limits.connections_max)
        return false;
    acquire = PN_CONTAINER(group->queue.next, struct pn_acquire, entry);
    pn_list_remove(&acquire->entry);
    group->queued--;
    if (conn) {
        pn_acquire_leave(acquire);
        pn_metric_add(PN_METRIC_BACKEND_REUSED, 1);
        acquire->on_ready(acquire->ctx, conn);
        return true;
    }
    rc = pn_acquire_connect(acquire);
    if (rc != PN_AGAIN) {
        pn_acquire_leave(acquire);
        acquire->on_failed(acquire->ctx);
    }
    return true;
}

static void on_serve(struct pn_task *task)
{
    struct pn_pool *pool = task->ctx;
    struct pn_slice key;
    size_t position = 0;
    void *value;

    while (pn_map_next(pool->groups, &position, &key, &value)) {
        if (serve_group(pool, value)) { /* the map may have changed: go on in the next turn */
            pn_loop_soon(pool->loop, &pool->serve_task);
            return;
        }
    }
}

/* --- life --- */

enum pn_rc pn_pool_create(struct pn_loop *loop, const struct pn_pool_limits *limits,
                          struct pn_io_buffers *buffers, struct pn_pool **out, struct pn_error *err)
{
    struct pn_pool *pool = calloc(1, sizeof(*pool));
    enum pn_rc rc;

    if (!pool)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for the pool");
    pool->loop = loop;
    pool->limits = *limits;
    pool->buffers = buffers;
    pn_timer_init(&pool->sweep_timer, on_sweep, pool);
    pn_task_init(&pool->serve_task, on_serve, pool);
    pool->groups = pn_map_create(false);
    rc = pool->groups ? pn_resolver_create(loop, &pool->resolver, err)
                      : pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for the pool");
    if (rc == PN_OK) {
        *out = pool;
        return PN_OK;
    }
    pn_pool_destroy(pool);
    return rc;
}

void pn_pool_destroy(struct pn_pool *pool)
{
    if (!pool)
        return;
    if (pool->groups)
        pn_pool_close_idle(pool);
    pn_loop_disarm(pool->loop, &pool->sweep_timer);
    pn_loop_soon_cancel(&pool->serve_task);
    pn_resolver_destroy(pool->resolver);
    pn_map_destroy(pool->groups, NULL);
    free(pool);
}

enum pn_rc pn_pool_use_dns(struct pn_pool *pool, const char *servers, struct pn_error *err)
{
    return pn_resolver_use_servers(pool->resolver, servers, err);
}

size_t pn_pool_idle_count(const struct pn_pool *pool)
{
    return pool->idle_count;
}

struct pn_loop *pn_pool_loop(const struct pn_pool *pool)
{
    return pool->loop;
}
