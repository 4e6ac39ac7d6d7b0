/* SPDX-License-Identifier: Apache-2.0
 *
 * Who gets which connection: at once, after one was opened, or out of the queue.
 */
#include "upstream/pool.h"

#include <assert.h>
#include <stdlib.h>

#include "base/map.h"
#include "base/metrics.h"
#include "upstream/conn_h2.h"
#include "upstream/pool_internal.h"

#define SERVED_MAX 64 /* in a row before others get their turn */

/* --- choosing --- */

/** An HTTP/2 connection that may take one more request; the oldest, so that the others fall idle.
 *  Not `avoid`, nor one that was open before `since_ms`. */
static struct pn_conn *find_shared(struct pn_pool_group *group, uint64_t since_ms,
                                   const struct pn_conn *avoid)
{
    for (struct pn_list *at = group->shared.next; at && at != &group->shared; at = at->next) {
        struct pn_conn *conn = PN_CONTAINER(at, struct pn_conn, entry);

        if (conn != avoid && pn_stream_opened_ms(conn->stream) >= since_ms &&
            pn_conn_h2_is_usable(conn))
            return conn;
    }
    return NULL;
}

static struct pn_conn *find(struct pn_pool_group *group, uint64_t since_ms,
                            const struct pn_conn *avoid)
{
    struct pn_conn *conn = since_ms == 0 ? pn_group_take_idle(group) : NULL;

    if (!conn && !pn_list_is_empty(&group->shared))
        conn = find_shared(group, since_ms, avoid);
    if (conn)
        pn_metric_add(PN_METRIC_BACKEND_REUSED, 1);
    return conn;
}

/** A connection is on its way that this request may share. */
static bool can_wait_for_handshake(struct pn_pool_group *group, uint64_t since_ms)
{
    if (!pn_group_may_share(group))
        return false;
    if (group->connecting > 0)
        return true;
    for (struct pn_list *at = group->shared.next; at && at != &group->shared; at = at->next) {
        const struct pn_conn *conn = PN_CONTAINER(at, struct pn_conn, entry);

        if (pn_stream_opened_ms(conn->stream) >= since_ms && pn_conn_h2_is_starting(conn))
            return true;
    }
    return false;
}

/** The place of an HTTP/2 connection is free as soon as the loop's turn ends. */
static bool is_one_ending(const struct pn_pool_group *group)
{
    for (struct pn_list *at = group->shared.next; at != &group->shared; at = at->next) {
        const struct pn_conn *conn = PN_CONTAINER(at, struct pn_conn, entry);

        if (pn_conn_h2_is_closing(conn) && pn_conn_h2_is_idle(conn))
            return true;
    }
    return false;
}

/* --- taking --- */

/** The place is taken. */
static enum pn_rc connect_for(struct pn_acquire *acquire)
{
    struct pn_pool_group *group = acquire->group;
    enum pn_rc rc;

    group->connecting++;
    acquire->holds_place = true;
    rc = pn_acquire_connect(acquire);
    if (rc == PN_AGAIN)
        return rc;
    acquire->holds_place = false;
    group->connecting--;
    pn_group_free_place(group);
    pn_metric_add(PN_METRIC_BACKEND_FAILED, 1);
    return rc;
}

static enum pn_rc wait_or_connect(struct pn_acquire *acquire)
{
    struct pn_pool_group *group = acquire->group;

    if (!can_wait_for_handshake(group, acquire->since_ms) && pn_group_take_place(group))
        return connect_for(acquire);
    if (!pn_group_enqueue(group, acquire)) {
        if (group->queued == 0)
            pn_group_stop_wanting(group);
        pn_limit_hit(PN_LIMIT_BACKEND_QUEUE);
        pn_failure_set(&acquire->failure, "backend_queue_full",
                       "%zu connections to this backend are busy and %zu requests wait: the limit "
                       "backend-queue",
                       pn_quota_open(group->quota), pn_quota_queued(group->quota));
        return PN_LIMIT;
    }
    if (group->wants)
        pn_limit_hit(group->wants == group->quota ? PN_LIMIT_BACKEND_CONNECTIONS
                                                  : PN_LIMIT_BACKEND_HOST_CONNECTIONS);
    if (acquire->since_ms > 0) /* without a place an older one will do */
        pn_pool_serve_soon(group->pool);
    return PN_AGAIN;
}

/** Nothing is opened with a certificate that is over. Else acquire->failure tells. */
static enum pn_rc check_identity(struct pn_acquire *acquire, const struct pn_pool_group *group)
{
    size_t count;

    if (pn_group_has_expired(group)) {
        pn_failure_set(&acquire->failure, "client_certificate_expired",
                       "the client certificate '%s' has expired: renew it",
                       pn_tls_certificate_name(pn_tls_client_certificates(group->tls, &count)[0]));
        return PN_INVALID;
    }
    if (!group->is_retired)
        return PN_OK;
    pn_failure_set(&acquire->failure, "identity_replaced",
                   "the client certificate, or what is demanded of the backend's, was replaced "
                   "before the request had a connection");
    acquire->failure.is_replaced = true;
    return PN_CONFLICT;
}

enum pn_rc pn_pool_take(struct pn_pool *pool, struct pn_acquire *acquire,
                        const struct pn_demand *demand, struct pn_choice choice,
                        struct pn_conn **conn)
{
    struct pn_pool_group *group = pn_group_get(pool, demand);
    enum pn_rc rc;

    acquire->pool = pool;
    acquire->backend = demand->backend;
    acquire->group = NULL;
    acquire->since_ms = choice.since_ms;
    acquire->failure.code = NULL;
    acquire->failure.peer[0] = '\0';
    pn_list_init(&acquire->entry);
    if (!group) {
        pn_failure_set(&acquire->failure, "out_of_memory", "no memory for a connection");
        return PN_NOMEM;
    }
    *conn = find(group, choice.since_ms, choice.avoid);
    if (*conn)
        return PN_OK;
    rc = check_identity(acquire, group);
    if (rc != PN_OK) {
        pn_group_release_if_unused(group);
        return rc;
    }
    acquire->group = group;
    pn_group_hold(group);
    rc = wait_or_connect(acquire);
    if (rc == PN_AGAIN)
        return rc;
    if (choice.since_ms > 0)
        *conn = find_shared(group, 0, choice.avoid);
    pn_acquire_leave(acquire);
    return *conn ? PN_OK : rc;
}

void pn_acquire_leave(struct pn_acquire *acquire)
{
    struct pn_pool_group *group = acquire->group;

    acquire->group = NULL;
    pn_group_unhold(group);
}

void pn_acquire_cancel(struct pn_acquire *acquire)
{
    struct pn_pool_group *group = acquire->group;

    if (!group)
        return;
    pn_opening_cancel(acquire->opening);
    acquire->opening = NULL;
    if (acquire->holds_place) {
        acquire->holds_place = false;
        group->connecting--;
        pn_group_free_place(group);
    } else {
        pn_group_dequeue(group, acquire);
    }
    pn_acquire_leave(acquire);
}

/* --- a connection was opened, or not --- */

/** NULL: acquire->failure. */
static struct pn_conn *adopt(struct pn_acquire *acquire, struct pn_stream *stream)
{
    struct pn_pool_group *group = acquire->group;
    bool is_h2 = group->is_h2c || pn_stream_alpn(stream) == PN_ALPN_H2;
    struct pn_conn *conn;

    if (!is_h2 && group->tls && pn_tls_client_alpn(group->tls) == PN_ALPN_H2) {
        pn_stream_destroy(stream);
        pn_failure_set(&acquire->failure, "http2_not_negotiated",
                       "the backend does not offer HTTP/2 (ALPN h2), which http-version=\"2\" "
                       "demands: use \"2or1\" or \"1\"");
        return NULL;
    }
    group->speaks_h1 = !is_h2;
    conn = pn_conn_create(group, stream);
    if (conn && !is_h2) {
        pn_list_push_front(&group->busy, &conn->entry);
        return conn;
    }
    if (conn && pn_conn_h2_create(conn) == PN_OK)
        return conn;
    pn_failure_set(&acquire->failure, "out_of_memory", "no memory for a connection");
    if (conn) {
        pn_group_add_place(group); /* what ends with it; that of the acquire is given up later */
        pn_conn_end(conn);
    }
    return NULL;
}

void pn_acquire_opened(struct pn_acquire *acquire, struct pn_stream *stream)
{
    struct pn_pool *pool = acquire->pool;
    struct pn_conn *conn;

    conn = adopt(acquire, stream);
    if (!conn) {
        pn_acquire_failed(acquire);
        return;
    }
    acquire->group->connecting--;
    acquire->holds_place = false; /* the place is the connection's now */
    pn_acquire_leave(acquire);
    pn_pool_serve_soon(pool);
    acquire->on_ready(acquire->ctx, conn);
}

/** Those who waited for the same handshake would only see it fail once more each. */
static void fail_all_who_wait(struct pn_pool_group *group, const struct pn_failure *failure)
{
    size_t count = group->queued; /* not those who come because of it */

    for (; count > 0 && group->queued > 0; count--) {
        struct pn_acquire *acquire = PN_CONTAINER(group->queue.next, struct pn_acquire, entry);

        pn_group_dequeue(group, acquire);
        acquire->failure = *failure;
        pn_acquire_leave(acquire);
        acquire->on_failed(acquire->ctx);
    }
}

/** No new one can be opened: who waits for one takes an older one. */
static void take_older(struct pn_pool_group *group)
{
    for (struct pn_list *at = group->queue.next; at != &group->queue; at = at->next)
        PN_CONTAINER(at, struct pn_acquire, entry)->since_ms = 0;
    pn_pool_serve_soon(group->pool);
}

void pn_acquire_failed(struct pn_acquire *acquire)
{
    struct pn_pool_group *group = acquire->group;
    struct pn_failure failure = acquire->failure;
    struct pn_conn *older = acquire->since_ms > 0 ? find_shared(group, 0, NULL) : NULL;
    bool is_shared =
        pn_group_may_share(group) && group->connecting == 1 && pn_list_is_empty(&group->shared);

    acquire->holds_place = false;
    group->connecting--;
    pn_metric_add(PN_METRIC_BACKEND_FAILED, 1);
    pn_group_free_place(group);
    pn_group_hold(group);
    pn_acquire_leave(acquire);
    take_older(group);
    if (older)
        acquire->on_ready(acquire->ctx, older);
    else
        acquire->on_failed(acquire->ctx);
    if (is_shared)
        fail_all_who_wait(group, &failure);
    pn_group_unhold(group);
}

/* --- serving the queue --- */

/** Behind those at the head of the queue who wait for a new connection. NULL: the head is not one
 * of these, or there are very many. */
static struct pn_acquire *first_that_takes_any(const struct pn_pool_group *group)
{
    struct pn_list *at = group->queue.next;

    for (int i = 0; at != &group->queue && i < SERVED_MAX; i++) {
        struct pn_acquire *acquire = PN_CONTAINER(at, struct pn_acquire, entry);

        if (acquire->since_ms == 0)
            return i > 0 ? acquire : NULL;
        at = at->next;
    }
    return NULL;
}

/** Gives what became free to the one who waits longest. false: there is nothing to give. */
static bool serve_group(struct pn_pool_group *group)
{
    struct pn_acquire *acquire = PN_CONTAINER(group->queue.next, struct pn_acquire, entry);
    struct pn_conn *conn = find(group, acquire->since_ms, NULL);
    bool is_over = !conn && check_identity(acquire, group) != PN_OK;

    if (!conn && !is_over && can_wait_for_handshake(group, acquire->since_ms)) {
        acquire = first_that_takes_any(group);
        conn = acquire ? find(group, 0, NULL) : NULL;
        if (!conn)
            return false;
    }
    if (!conn && !is_over && !pn_group_take_place(group)) {
        conn = acquire->since_ms > 0 && !is_one_ending(group) ? find(group, 0, NULL) : NULL;
        if (!conn)
            return false;
    }
    pn_group_dequeue(group, acquire);
    if (group->queued > 0) { /* now it is the next group's turn */
        pn_list_remove(&group->waiting);
        pn_list_push_back(&group->pool->waiting, &group->waiting);
    }
    if (!conn && !is_over) {
        if (connect_for(acquire) == PN_AGAIN)
            return true;
        if (acquire->since_ms > 0)
            conn = find_shared(group, 0, NULL);
    }
    pn_acquire_leave(acquire);
    if (conn)
        acquire->on_ready(acquire->ctx, conn);
    else
        acquire->on_failed(acquire->ctx);
    return true;
}

static void on_serve(struct pn_task *task)
{
    struct pn_pool *pool = task->ctx;
    struct pn_list *at = pool->waiting.next;
    unsigned served = 0;

    while (at != &pool->waiting) {
        struct pn_pool_group *group = PN_CONTAINER(at, struct pn_pool_group, waiting);

        if (!serve_group(group)) {
            at = at->next;
            continue;
        }
        if (++served == SERVED_MAX) {
            pn_pool_serve_soon(pool);
            return;
        }
        at = pool->waiting.next; /* the list may have changed */
    }
}

/* --- other threads --- */

/** From another thread. */
static void wake(struct pn_quota_member *member)
{
    struct pn_pool *pool = PN_CONTAINER(member, struct pn_pool, member);

    if (!atomic_exchange(&pool->is_woken, true) && pn_loop_post(pool->loop, &pool->wake) != PN_OK)
        atomic_store(&pool->is_woken, false); /* its own connections serve its queue */
}

static void on_woken(struct pn_message *message)
{
    struct pn_pool *pool = message->ctx;

    atomic_store(&pool->is_woken, false);
    pn_pool_give_way(pool);
    pn_pool_serve_soon(pool);
}

/* --- life --- */

enum pn_rc pn_pool_create(struct pn_loop *loop, const struct pn_pool_limits *limits,
                          struct pn_io_buffers *buffers, struct pn_quotas *quotas,
                          struct pn_pool **out, struct pn_error *err)
{
    struct pn_pool *pool = calloc(1, sizeof(*pool));
    enum pn_rc rc;

    if (!pool)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for the pool");
    pool->loop = loop;
    pool->limits = *limits;
    pool->buffers = buffers;
    pn_list_init(&pool->waiting);
    pool->quotas = quotas ? quotas : pn_quotas_create();
    pool->owns_quotas = !quotas;
    pool->member.wake = wake;
    pn_list_init(&pool->member.entry);
    pool->wake.deliver = on_woken;
    pool->wake.ctx = pool;
    if (pool->quotas)
        pn_quotas_join(pool->quotas, &pool->member);
    pn_timer_init(&pool->sweep_timer, pn_pool_on_sweep, pool);
    pn_task_init(&pool->serve_task, on_serve, pool);
    pn_h2_config_init(&pool->h2_config, PN_H2_CLIENT);
    pool->groups = pn_map_create(false);
    pool->hosts = pn_map_create(false);
    pool->h2_memory = pn_h2_memory_create();
    rc = pool->groups && pool->hosts && pool->h2_memory && pool->quotas
             ? pn_resolver_create(loop, &pool->resolver, err)
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
    if (pool->quotas)
        pn_quotas_leave(pool->quotas, &pool->member);
    if (pool->groups)
        pn_pool_end_all(pool);
    pn_loop_disarm(pool->loop, &pool->sweep_timer);
    pn_loop_soon_cancel(&pool->serve_task);
    pn_resolver_destroy(pool->resolver);
    pn_h2_memory_destroy(pool->h2_memory);
    pn_map_destroy(pool->groups, NULL);
    pn_map_destroy(pool->hosts, NULL);
    if (pool->owns_quotas)
        pn_quotas_destroy(pool->quotas);
    free(pool);
}

void pn_pool_allow_guarded(struct pn_pool *pool)
{
    pn_resolver_allow_guarded(pool->resolver);
}

enum pn_rc pn_pool_use_dns(struct pn_pool *pool, const char *servers, struct pn_error *err)
{
    return pn_resolver_use_servers(pool->resolver, servers, err);
}

void pn_pool_observe(struct pn_pool *pool, pn_pool_failure_fn on_failure, void *ctx)
{
    pool->on_failure = on_failure;
    pool->observer = ctx;
}

void pn_pool_tell(const struct pn_pool *pool, const char *backend, const struct pn_failure *failure,
                  const struct pn_stream *stream)
{
    if (pool->on_failure && backend)
        pool->on_failure(pool->observer, backend, failure, stream);
}

size_t pn_pool_idle_count(const struct pn_pool *pool)
{
    return pool->idle_count;
}

size_t pn_pool_open_count(const struct pn_pool *pool)
{
    return pool->open;
}

struct pn_loop *pn_pool_loop(const struct pn_pool *pool)
{
    return pool->loop;
}
