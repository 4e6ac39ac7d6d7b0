/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections to backends, of one worker: opened, pooled by identity, limited, closed. Used by that
 * worker's thread only; nothing is shared between threads.
 *
 * Invariant: a connection carries a request only if its pn_tls_identity equals the one that the
 * request demands (peer, SNI, trust policy, certificate generation, ALPN). It is compared when a
 * connection is taken and again directly before the request is written; a difference counts in
 * postern_identity_mismatch_total, destroys the connection and fails the request.
 *
 * A rotated certificate is another identity: pn_pool_retire() closes the idle connections of the
 * old one, those at work are closed when they are given back. No connection is reused after its
 * certificate's notAfter.
 */
#pragma once

#include "base/limits.h"
#include "upstream/failure.h"
#include "upstream/opening.h"
#include "upstream/proxy.h"
#include "upstream/resolve.h"
#include "upstream/target.h"
#include "upstream/transfer.h"

struct pn_pool_limits {
    size_t connections_max, idle_max, queue_max;
    uint64_t idle_timeout_ms, age_max_ms;
    uint32_t connect_timeout_ms;
};
#define PN_POOL_LIMITS_DEFAULT                                                                     \
    {                                                                                              \
        PN_LIMIT_BACKEND_CONNECTIONS_DEFAULT, PN_LIMIT_BACKEND_IDLE_CONNECTIONS_DEFAULT,           \
            PN_LIMIT_BACKEND_QUEUE_DEFAULT, PN_LIMIT_BACKEND_IDLE_TIMEOUT_DEFAULT,                 \
            PN_LIMIT_BACKEND_AGE_DEFAULT, PN_LIMIT_BACKEND_CONNECT_TIMEOUT_DEFAULT                 \
    }
/** What base/limits.h says now; not a constant. */
#define PN_POOL_LIMITS_IN_FORCE                                                                    \
    {                                                                                              \
        pn_limit_value(PN_LIMIT_BACKEND_CONNECTIONS),                                              \
            pn_limit_value(PN_LIMIT_BACKEND_IDLE_CONNECTIONS),                                     \
            pn_limit_value(PN_LIMIT_BACKEND_QUEUE), pn_limit_value(PN_LIMIT_BACKEND_IDLE_TIMEOUT), \
            pn_limit_value(PN_LIMIT_BACKEND_AGE),                                                  \
            (uint32_t)pn_limit_value(PN_LIMIT_BACKEND_CONNECT_TIMEOUT)                             \
    }

struct pn_pool;
struct pn_pool_group;

/** A connection; the pool's, lent to one request at a time. */
struct pn_conn {
    struct pn_list entry; /* in the group's idle list */
    struct pn_pool_group *group;
    struct pn_stream *stream;
    struct pn_inlet inlet;
    uint64_t idle_since_ms;
    uint64_t requests; /* sent on it so far */
    struct pn_deferred deferred;
};

/** What a request demands of its connection. Borrowed. */
struct pn_demand {
    const struct pn_target *target;
    struct pn_tls_client *tls; /* trust policy and certificate; NULL: plain TCP */
    struct pn_proxy *proxy;    /* NULL: directly */
};

/** One request's wish for a connection; embedded by it. Zero before first use. */
struct pn_acquire {
    struct pn_list entry; /* in the group's queue */
    struct pn_pool *pool;
    struct pn_pool_group *group;
    bool holds_place;           /* counted in the group as open, while connecting */
    struct pn_opening *opening; /* while connecting */
    void (*on_ready)(void *ctx, struct pn_conn *conn);
    void (*on_failed)(void *ctx); /* acquire->failure says why */
    void *ctx;
    struct pn_failure failure;
};

/** `buffers` is borrowed. PN_NOMEM, PN_IO. */
enum pn_rc pn_pool_create(struct pn_loop *loop, const struct pn_pool_limits *limits,
                          struct pn_io_buffers *buffers, struct pn_pool **pool,
                          struct pn_error *err) PN_MUST_USE;
/** Asks these name servers ("192.0.2.1,[2001:db8::1]:5353") instead of those of the system.
 *  PN_INVALID. */
enum pn_rc pn_pool_use_dns(struct pn_pool *pool, const char *servers,
                           struct pn_error *err) PN_MUST_USE;
/** Nothing may be lent or wanted. */
void pn_pool_destroy(struct pn_pool *pool);

/** PN_OK: *conn at once, a reused one (never with `only_new`); the caller owns it until
 *  pn_pool_give_back() or pn_pool_drop(). PN_AGAIN: on_ready or on_failed follows, from the loop.
 * Else acquire->failure tells: PN_LIMIT (queue full), PN_NOT_FOUND (DNS), PN_INVALID (certificate
 * expired), PN_NOMEM, … */
enum pn_rc pn_pool_take(struct pn_pool *pool, struct pn_acquire *acquire,
                        const struct pn_demand *demand, bool only_new,
                        struct pn_conn **conn) PN_MUST_USE;
/** Neither callback comes any more. Harmless when there is nothing to cancel. */
void pn_acquire_cancel(struct pn_acquire *acquire);

/** Promise 1, asked directly before a request is written. PN_CONFLICT: counted; drop it. */
enum pn_rc pn_conn_check(const struct pn_conn *conn, const struct pn_demand *demand) PN_MUST_USE;
/** Its answer was read whole and it may carry another request. */
void pn_pool_give_back(struct pn_conn *conn);
/** Closes it. */
void pn_pool_drop(struct pn_conn *conn);

/** From now on no connection of `tls` is kept: idle ones close, those at work at their end. */
void pn_pool_retire(struct pn_pool *pool, const struct pn_tls_client *tls);
/** Nothing opened so far to that host and port, with whichever identity, carries another request:
 *  idle connections close now, those at work at their end. */
void pn_pool_reconnect(struct pn_pool *pool, struct pn_slice host, uint16_t port);
/** Closes every idle connection. */
void pn_pool_close_idle(struct pn_pool *pool);
size_t pn_pool_idle_count(const struct pn_pool *pool);
struct pn_loop *pn_pool_loop(const struct pn_pool *pool);
