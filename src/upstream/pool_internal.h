/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by the files of the pool: pool.c (who gets what), pool_group.c (groups and places),
 * pool_conn.c (connections that nobody uses), keep_alive.c (how long backends keep them), connect.c
 * (opening), conn_h2.c (HTTP/2).
 */
#pragma once

#include <stdatomic.h>

#include "http/h2.h"
#include "upstream/pool.h"
#include "upstream/quota.h"

#define PN_POOL_KEY_MAX                                                                            \
    (2 * sizeof(void *) + 2 + PN_PROXY_DIGEST_BYTES + sizeof(uint16_t) + PN_TARGET_HOST_MAX)

#define PN_POOL_RECENT 16 /* a power of two */

/** One host and port, whatever the identity. */
struct pn_pool_host {
    struct pn_list groups;
    struct pn_quota *quota; /* of all threads */
    size_t open;            /* places taken by all of them, in this thread */
    size_t key_len;
    char key[sizeof(uint16_t) + PN_TARGET_HOST_MAX];
};

/** All connections of one (host, port, TLS context, proxy, HTTP/2 without TLS). */
struct pn_pool_group {
    struct pn_pool *pool;
    struct pn_pool_host *host_of;
    struct pn_quota *quota; /* of this identity in all threads */
    struct pn_quota *wants; /* a place of it, or of the host's; NULL: none. While it has a queue */
    bool is_poor;           /* it wants one so */
    struct pn_list host_entry;
    struct pn_tls_client *tls;       /* NULL: plain TCP */
    struct pn_proxy *proxy;          /* NULL: directly */
    struct pn_tls_client *proxy_tls; /* to the proxy; NULL: plain TCP */
    bool is_h2c;
    uint16_t port;
    char key[PN_POOL_KEY_MAX];
    size_t key_len;
    char host[PN_TARGET_HOST_MAX]; /* lower case */
    size_t host_len;
    struct pn_list idle;    /* HTTP/1.1; most recently used first */
    struct pn_list busy;    /* HTTP/1.1; lent */
    struct pn_list shared;  /* HTTP/2; oldest first */
    struct pn_list queue;   /* struct pn_acquire that wait, oldest first */
    struct pn_list waiting; /* in pool->waiting while somebody is in the queue */
    size_t idle_count;
    size_t queued;
    size_t open;       /* connections, and places taken by connecting */
    size_t connecting; /* those places */
    size_t acquires;   /* struct pn_acquire that point here */
    bool speaks_h1;    /* the last connection that was opened chose HTTP/1.1 */
    bool is_retired;
    uint64_t reconnected_ms; /* what was opened up to then carries no other request; 0: all may */
    uint64_t ends_at_ms;     /* the drain limit of what is at work; 0: not retired, not expired */
    struct pn_tls_identity expected; /* sealed, for the peer that was asked for last */
};

struct pn_pool {
    struct pn_loop *loop;
    struct pn_quotas *quotas;
    bool owns_quotas;
    struct pn_quota_member member;
    struct pn_message wake; /* posted by other threads ... */
    atomic_bool is_woken;   /* ... one at a time */
    struct pn_pool_limits limits;
    struct pn_io_buffers *buffers;
    struct pn_resolver *resolver;
    pn_pool_failure_fn on_failure; /* may be NULL */
    void *observer;
    struct pn_map *groups;
    struct pn_pool_group *recent[PN_POOL_RECENT]; /* asked for of late, by a part of what they are
                                                   * for; NULL or in the map */
    struct pn_map *hosts;
    struct pn_list waiting; /* groups with a queue; who was served goes to the end */
    size_t idle_count;
    size_t open;
    struct pn_timer sweep_timer;
    struct pn_task serve_task;
    struct pn_h2_config h2_config;
    struct pn_h2_memory *h2_memory;
};

/* --- groups and places (pool_group.c) --- */

/** NULL: no memory. */
struct pn_pool_group *pn_group_get(struct pn_pool *pool, const struct pn_demand *demand);
void pn_group_release_if_unused(struct pn_pool_group *group);
/** It may become unused only after pn_group_unhold(). */
void pn_group_hold(struct pn_pool_group *group);
void pn_group_unhold(struct pn_pool_group *group);
/** Why what was at work on the connection has been ended; counts it. */
void pn_conn_fail_drained(const struct pn_conn *conn, struct pn_failure *failure);
/** Its certificate's notAfter has passed; of several, that of all. */
bool pn_group_has_expired(const struct pn_pool_group *group);
/** Several requests may share a connection of it. */
bool pn_group_may_share(const struct pn_pool_group *group);
/** A place is a connection, open or being opened. True: one is taken, perhaps because an idle
 *  connection of another identity to the same host was closed for it. False: it is wanted now, by
 *  who enters the queue. */
bool pn_group_take_place(struct pn_pool_group *group);
/** One more, whatever the limits. */
void pn_group_add_place(struct pn_pool_group *group);
/** Another thread waits for a place of it, and nobody here. */
bool pn_group_gives_way(const struct pn_pool_group *group);
/** The connection has had its time, and a thread that has none waits for its place. */
bool pn_conn_has_had_its_turn(const struct pn_conn *conn);
/** Those who wait are served in this turn. */
void pn_group_free_place(struct pn_pool_group *group);
/** False: the queue is full. */
bool pn_group_enqueue(struct pn_pool_group *group, struct pn_acquire *acquire);
/** After a place was not taken, and nobody waits for it. */
void pn_group_stop_wanting(struct pn_pool_group *group);
void pn_group_dequeue(struct pn_pool_group *group, struct pn_acquire *acquire);
/** Something became free: somebody who waits may get it, in this turn. */
void pn_pool_serve_soon(struct pn_pool *pool);
/** The identity that `demand` means at the address `peer`, sealed. PN_INVALID. */
enum pn_rc pn_pool_identity(const struct pn_demand *demand, const struct pn_peer_address *peer,
                            struct pn_tls_identity *identity) PN_MUST_USE;

/* --- connections that nobody uses (pool_conn.c) --- */

/** The most recently used one that may still be used, or NULL. */
struct pn_conn *pn_group_take_idle(struct pn_pool_group *group);
/** Closes the one that idles longest; false: none does. */
bool pn_group_evict_idle(struct pn_pool_group *group);
/** A connection over `stream`, which is open; the group's place is its from now on. NULL: no
 *  memory, the stream is destroyed. */
struct pn_conn *pn_conn_create(struct pn_pool_group *group, struct pn_stream *stream);
/** Closes and frees it, and its place. */
void pn_conn_end(struct pn_conn *conn);
/** Its backend is about to close it, by its own word (keep_alive.c). */
bool pn_conn_is_announced_over(const struct pn_conn *conn);
/** It is older than age_max_ms, or than the last pn_pool_reconnect(). */
bool pn_conn_is_old(const struct pn_conn *conn);
/** The notAfter of the certificate that it was opened with has passed. */
bool pn_conn_has_expired(const struct pn_conn *conn);
/** It has, or what network rules deny has had its drain time. */
bool pn_conn_must_end(const struct pn_conn *conn);
/** Another thread wants places. */
void pn_pool_give_way(struct pn_pool *pool);
void pn_pool_sweep_later(struct pn_pool *pool);
void pn_pool_on_sweep(struct pn_timer *timer);
/** All of them, also those at work: for the end of the pool. */
void pn_pool_end_all(struct pn_pool *pool);

/* --- opening (connect.c) --- */

/** Starts to connect for acquire->group. PN_AGAIN, or acquire->failure tells. */
enum pn_rc pn_acquire_connect(struct pn_acquire *acquire) PN_MUST_USE;

/* --- what it ends with (pool.c) --- */

/** `stream` is open: its taker is told. */
void pn_acquire_opened(struct pn_acquire *acquire, struct pn_stream *stream);
/** acquire->failure says why it is not, and its taker is told. */
void pn_acquire_failed(struct pn_acquire *acquire);
/** It points to its group no longer. */
void pn_acquire_leave(struct pn_acquire *acquire);
