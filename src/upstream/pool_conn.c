/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections: life, idleness, and how those of a replaced or expired certificate end.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/metrics.h"
#include "upstream/conn_h2.h"
#include "upstream/pool_internal.h"
#include "upstream/uses.h"

#define SWEEP_INTERVAL_MS 1000

/* --- life --- */

/** Evidence: the certificate was shown on it, or on the connection whose session it resumes. */
static void note_use(struct pn_conn *conn)
{
    const struct pn_tls_report *report = pn_stream_report(conn->stream);
    const struct pn_pool_group *group = conn->group;

    if (!group->tls || !report || !report->certificate_name[0] ||
        (!report->certificate_sent && !report->is_resumed))
        return;
    conn->is_use = true;
    pn_uses_opened(report->certificate_name, report->certificate_generation,
                   report->certificate_thumbprint, pn_slice(group->host, group->host_len),
                   group->port);
}

struct pn_conn *pn_conn_create(struct pn_pool_group *group, struct pn_stream *stream)
{
    struct pn_conn *conn = calloc(1, sizeof(*conn));

    if (!conn) {
        pn_stream_destroy(stream);
        return NULL;
    }
    pn_list_init(&conn->entry);
    conn->group = group;
    conn->stream = stream;
    conn->idle_since_ms = pn_loop_now_ms(group->pool->loop);
    pn_inlet_init(&conn->inlet, group->pool->buffers);
    pn_metric_add(PN_METRIC_BACKEND_CONNECTIONS, 1);
    pn_metric_add(PN_METRIC_BACKEND_CONNECTED, 1);
    note_use(conn);
    return conn;
}

static void conn_free(void *object)
{
    free(object);
}

void pn_conn_end(struct pn_conn *conn)
{
    struct pn_pool_group *group = conn->group;

    pn_list_remove(&conn->entry);
    if (conn->is_use)
        pn_uses_closed(pn_stream_report(conn->stream)->certificate_name,
                       pn_stream_report(conn->stream)->certificate_generation,
                       pn_slice(group->host, group->host_len), group->port);
    pn_stream_destroy(conn->stream);
    conn->stream = NULL;
    pn_inlet_fini(&conn->inlet);
    pn_metric_add(PN_METRIC_BACKEND_CONNECTIONS, -1);
    pn_loop_defer_free(group->pool->loop, &conn->deferred, conn_free, conn);
    pn_group_free_place(group);
    pn_group_release_if_unused(group);
}

void pn_pool_drop(struct pn_conn *conn)
{
    assert(!conn->h2);
    pn_conn_end(conn);
}

/** For the limit backend-age. */
static bool is_aged(const struct pn_conn *conn)
{
    const struct pn_pool *pool = conn->group->pool;

    return pn_loop_now_ms(pool->loop) - pn_stream_opened_ms(conn->stream) >=
           pool->limits.age_max_ms;
}

bool pn_conn_is_old(const struct pn_conn *conn)
{
    return conn->ends_at_ms > 0 ||
           pn_stream_opened_ms(conn->stream) < conn->group->reconnected_ms || is_aged(conn);
}

bool pn_conn_must_end(const struct pn_conn *conn)
{
    return pn_conn_has_expired(conn) ||
           (conn->ends_at_ms > 0 && pn_loop_now_ms(conn->group->pool->loop) >= conn->ends_at_ms);
}

/* --- idle ones --- */

static void unlink_idle(struct pn_conn *conn)
{
    pn_list_remove(&conn->entry);
    conn->group->idle_count--;
    conn->group->pool->idle_count--;
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
    unlink_idle(conn);
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

static bool has_idled_enough(const struct pn_conn *conn)
{
    const struct pn_pool *pool = conn->group->pool;

    return pn_loop_now_ms(pool->loop) - conn->idle_since_ms >= pool->limits.idle_timeout_ms;
}

bool pn_conn_has_expired(const struct pn_conn *conn)
{
    const struct pn_tls_certificate *certificate = pn_stream_certificate(conn->stream);

    return certificate && pn_tls_certificate_not_after(certificate) < pn_clock_unix_s_of_tick();
}

static bool is_reusable(const struct pn_conn *conn)
{
    return !pn_conn_has_expired(conn) && !pn_stream_peer_ended(conn->stream) &&
           !has_idled_enough(conn) && !pn_conn_is_old(conn) &&
           !(conn->is_bounded && pn_conn_is_announced_over(conn));
}

/** One that is not used again, if it is for a limit. */
static void count_end(const struct pn_conn *conn)
{
    if (pn_stream_peer_ended(conn->stream))
        return;
    if (has_idled_enough(conn))
        pn_limit_hit(PN_LIMIT_BACKEND_IDLE_TIMEOUT);
    else if (is_aged(conn))
        pn_limit_hit(PN_LIMIT_BACKEND_AGE);
}

struct pn_conn *pn_group_take_idle(struct pn_pool_group *group)
{
    while (!pn_list_is_empty(&group->idle)) {
        struct pn_conn *conn = PN_CONTAINER(group->idle.next, struct pn_conn, entry);

        unlink_idle(conn);
        if (is_reusable(conn)) {
            pn_list_push_front(&group->busy, &conn->entry);
            return conn;
        }
        count_end(conn);
        group->acquires++; /* keep the group while we are in it */
        pn_pool_drop(conn);
        group->acquires--;
    }
    return NULL;
}

bool pn_group_evict_idle(struct pn_pool_group *group)
{
    struct pn_conn *conn;

    if (pn_list_is_empty(&group->idle))
        return false;
    conn = PN_CONTAINER(group->idle.prev, struct pn_conn, entry);
    unlink_idle(conn);
    pn_pool_drop(conn);
    return true;
}

/** Bytes behind the answer would be taken for the next one. What waits in the TLS, or in a socket
 * whose event is over, no event tells of: only a read does. TLS: it may be only a session ticket.
 */
static bool has_said_more(const struct pn_conn *conn)
{
    char byte;
    size_t len;

    return conn->inlet.start != conn->inlet.end ||
           (!pn_stream_is_quiet(conn->stream) &&
            pn_stream_read(conn->stream, &byte, 1, &len) != PN_AGAIN);
}

void pn_pool_give_back(struct pn_conn *conn)
{
    struct pn_pool_group *group = conn->group;
    struct pn_pool *pool = group->pool;

    conn->on_drained = NULL;
    conn->idle_since_ms = pn_loop_now_ms(pool->loop);
    if (!group->is_retired && pool->limits.idle_max > 0 &&
        group->idle_count >= pool->limits.idle_max)
        pn_limit_hit(PN_LIMIT_BACKEND_IDLE_CONNECTIONS);
    count_end(conn);
    if (group->is_retired || group->idle_count >= pool->limits.idle_max || !is_reusable(conn) ||
        pn_group_gives_way(group) || pn_conn_has_had_its_turn(conn) || has_said_more(conn)) {
        pn_pool_drop(conn);
        return;
    }
    pn_inlet_rest(&conn->inlet);
    pn_stream_settle(conn->stream);
    pn_stream_set_events(conn->stream, &idle_events, conn);
    pn_list_remove(&conn->entry);
    pn_list_push_front(&group->idle, &conn->entry);
    group->idle_count++;
    pool->idle_count++;
    pn_pool_serve_soon(pool);
}

/** `all`: also those that could still be used. */
static void close_idle_of(struct pn_pool_group *group, bool all)
{
    for (struct pn_list *at = group->idle.next; at != &group->idle;) {
        struct pn_conn *conn = PN_CONTAINER(at, struct pn_conn, entry);

        at = at->next;
        if (!all && is_reusable(conn)) {
            if (pn_loop_now_ms(group->pool->loop) - conn->idle_since_ms >= SWEEP_INTERVAL_MS)
                pn_stream_trim(conn->stream);
            continue;
        }
        count_end(conn);
        unlink_idle(conn);
        pn_pool_drop(conn);
    }
}

/* --- the end of an identity --- */

/** Those at work have had their time. */
static void end_busy_of(struct pn_pool_group *group)
{
    while (!pn_list_is_empty(&group->busy)) {
        struct pn_conn *conn = PN_CONTAINER(group->busy.next, struct pn_conn, entry);

        pn_list_remove(&conn->entry);
        if (conn->on_drained)
            conn->on_drained(conn->borrower);
    }
}

void pn_conn_fail_drained(const struct pn_conn *conn, struct pn_failure *failure)
{
    if (pn_conn_has_expired(conn)) {
        pn_failure_set(failure, "client_certificate_expired",
                       "the connection's client certificate has expired while the request was at "
                       "work");
        return;
    }
    pn_limit_hit(PN_LIMIT_BACKEND_DRAIN_TIMEOUT);
    if (conn->ends_at_ms > 0 && !conn->group->is_retired) {
        pn_failure_set(failure, "network_rule",
                       "a network rule denies the connection by now, and the request did not end "
                       "within the drain limit");
        return;
    }
    pn_failure_set(failure, "drain_timeout",
                   "the connection's certificate was replaced, and the request did not end within "
                   "the drain limit");
}

/** Of several certificates one can end before the others: with it end the connections that show it.
 * Likewise those that network rules deny. */
static void end_expired_of(struct pn_pool_group *group)
{
    for (struct pn_list *at = group->busy.next; at != &group->busy; at = at->next) {
        struct pn_conn *conn = PN_CONTAINER(at, struct pn_conn, entry);

        if (!pn_conn_must_end(conn))
            continue;
        pn_list_remove(&conn->entry);
        if (conn->on_drained)
            conn->on_drained(conn->borrower);
        at = &group->busy; /* the list may be another one now */
    }
}

/** Starts the drain of a group that takes no new request, and ends it. Nothing outlives notAfter:
 * then there is no drain, or no more of it. */
static void drain(struct pn_pool_group *group)
{
    uint64_t now_ms = pn_loop_now_ms(group->pool->loop);

    end_expired_of(group);
    if (!group->is_retired && !pn_group_has_expired(group))
        return;
    if (pn_group_has_expired(group))
        group->ends_at_ms = now_ms;
    else if (group->ends_at_ms == 0)
        group->ends_at_ms = now_ms + group->pool->limits.drain_timeout_ms + 1;
    if (now_ms >= group->ends_at_ms)
        end_busy_of(group);
}

/** Another thread waits for a place: what idles is closed. */
static void give_way(struct pn_pool_group *group)
{
    if (!pn_group_gives_way(group))
        return;
    while (pn_group_evict_idle(group))
        ;
    for (struct pn_list *at = group->shared.next; at != &group->shared; at = at->next) {
        struct pn_conn *conn = PN_CONTAINER(at, struct pn_conn, entry);

        if (pn_conn_h2_is_idle(conn))
            pn_conn_h2_close(conn);
    }
}

enum work { SWEEP, CLOSE_IDLE, RETIRE, END, GIVE_WAY };

static void work_on(struct pn_pool_group *group, enum work work)
{
    pn_group_hold(group);
    if (work == GIVE_WAY) {
        give_way(group);
        pn_group_unhold(group);
        return;
    }
    if (work == RETIRE) {
        group->is_retired = true;
        pn_pool_serve_soon(group->pool); /* who waits is told */
    }
    drain(group);
    close_idle_of(group, work != SWEEP);
    for (struct pn_list *at = group->shared.next; at != &group->shared;) {
        struct pn_conn *conn = PN_CONTAINER(at, struct pn_conn, entry);

        at = at->next;
        if (work == END)
            pn_conn_h2_end(conn);
        else if (work == CLOSE_IDLE)
            pn_conn_h2_close(conn);
        else
            pn_conn_h2_tick(conn);
    }
    pn_group_unhold(group);
}

/** Walks the groups; they may go away meanwhile, so the keys' owners are collected first. */
static void for_groups(struct pn_pool *pool, const struct pn_tls_client *tls, enum work work)
{
    size_t count = pn_map_count(pool->groups);
    struct pn_pool_group **groups = calloc(count + 1, sizeof(struct pn_pool_group *));
    struct pn_slice key;
    size_t position = 0;
    size_t n = 0;
    void *value;

    if (!groups)
        return; /* they end by their idle timeout */
    while (pn_map_next(pool->groups, &position, &key, &value)) {
        struct pn_pool_group *group = value;

        if (tls && group->tls != tls && group->proxy_tls != tls)
            continue;
        pn_group_hold(group); /* work on one may end another */
        groups[n++] = group;
    }
    for (size_t i = 0; i < n; i++)
        work_on(groups[i], work);
    for (size_t i = 0; i < n; i++)
        pn_group_unhold(groups[i]);
    free(groups);
}

void pn_pool_retire(struct pn_pool *pool, const struct pn_tls_client *tls)
{
    for_groups(pool, tls, RETIRE);
}

void pn_pool_give_way(struct pn_pool *pool)
{
    for_groups(pool, NULL, GIVE_WAY);
}

void pn_pool_close_idle(struct pn_pool *pool)
{
    for_groups(pool, NULL, CLOSE_IDLE);
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
    for_groups(pool, NULL, SWEEP);
}

/** One whose address cannot be told any more is on its end anyway. */
static bool is_denied(const struct pn_pool *pool, const struct pn_conn *conn)
{
    const struct pn_pool_group *group = conn->group;
    struct pn_slice host =
        group->proxy ? pn_slice_str(group->proxy->host) : pn_slice(group->host, group->host_len);
    struct sockaddr_storage address;
    struct pn_peer_address peer;
    socklen_t len = sizeof(address);

    return getpeername(pn_stream_fd(conn->stream), (struct sockaddr *)&address, &len) != 0 ||
           pn_peer_address_from((const struct sockaddr *)&address, &peer) != PN_OK ||
           !pn_resolver_may_connect(pool->resolver, host, &peer);
}

static void judge_all(const struct pn_pool *pool, const struct pn_list *list)
{
    for (struct pn_list *at = list->next; at != list; at = at->next) {
        struct pn_conn *conn = PN_CONTAINER(at, struct pn_conn, entry);

        if (!is_denied(pool, conn))
            conn->ends_at_ms = 0;
        else if (conn->ends_at_ms == 0)
            conn->ends_at_ms = pn_loop_now_ms(pool->loop) + pool->limits.drain_timeout_ms + 1;
    }
}

void pn_pool_set_outbound(struct pn_pool *pool, struct pn_outbound *rules)
{
    struct pn_slice key;
    size_t position = 0;
    void *value;

    pn_resolver_set_outbound(pool->resolver, rules);
    while (pn_map_next(pool->groups, &position, &key, &value)) {
        const struct pn_pool_group *group = value;

        judge_all(pool, &group->idle);
        judge_all(pool, &group->busy);
        judge_all(pool, &group->shared);
    }
    for_groups(pool, NULL, SWEEP);
}

/** At the next full second: that is when certificates end. */
void pn_pool_sweep_later(struct pn_pool *pool)
{
    uint64_t into_ms = (uint64_t)pn_clock_unix_ms() % SWEEP_INTERVAL_MS;

    if (!pn_timer_is_armed(&pool->sweep_timer))
        pn_loop_arm(pool->loop, &pool->sweep_timer, SWEEP_INTERVAL_MS - into_ms + 1);
}

void pn_pool_on_sweep(struct pn_timer *timer)
{
    struct pn_pool *pool = timer->ctx;

    for_groups(pool, NULL, SWEEP);
    if (pool->open > 0)
        pn_pool_sweep_later(pool);
}

void pn_pool_end_all(struct pn_pool *pool)
{
    for_groups(pool, NULL, END);
}
