/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections to backends, of one worker: opened, pooled by identity, limited, closed. Used by that
 * worker's thread only; nothing is shared between threads.
 *
 * An HTTP/1.1 connection is lent to one request at a time. An HTTP/2 connection is lent to as many
 * as its streams allow, all of exactly its identity; while the first one of an identity is opened,
 * the requests that want it wait instead of opening one each.
 *
 * Invariant: a connection carries a request only if its pn_tls_identity equals the one that the
 * request demands (peer, SNI, trust policy, certificate generation, ALPN). It is compared when a
 * connection is taken and again directly before the request is written, for each stream; a
 * difference counts in postern_identity_mismatch_total, and fails the request.
 *
 * A rotated certificate is another identity: pn_pool_retire() closes the idle connections of the
 * old one, those at work take no new request and end with those they have, at the latest when
 * drain_timeout_ms has passed. When a certificate reaches its notAfter, all its connections end
 * within that second.
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
    size_t connections_max, idle_max, queue_max; /* of one identity; idle_max: in this pool */
    uint64_t idle_timeout_ms, age_max_ms;
    uint32_t connect_timeout_ms;
    size_t host_connections_max; /* of one host and port */
    size_t streams_max;          /* of one connection */
    uint64_t ping_interval_ms, ping_timeout_ms, drain_timeout_ms;
};
#define PN_POOL_LIMITS_DEFAULT                                                                     \
    {                                                                                              \
        PN_LIMIT_BACKEND_CONNECTIONS_DEFAULT, PN_LIMIT_BACKEND_IDLE_CONNECTIONS_DEFAULT,           \
            PN_LIMIT_BACKEND_QUEUE_DEFAULT, PN_LIMIT_BACKEND_IDLE_TIMEOUT_DEFAULT,                 \
            PN_LIMIT_BACKEND_AGE_DEFAULT, PN_LIMIT_BACKEND_CONNECT_TIMEOUT_DEFAULT,                \
            PN_LIMIT_BACKEND_HOST_CONNECTIONS_DEFAULT, PN_LIMIT_H2_BACKEND_STREAMS_DEFAULT,        \
            PN_LIMIT_BACKEND_PING_INTERVAL_DEFAULT, PN_LIMIT_BACKEND_PING_TIMEOUT_DEFAULT,         \
            PN_LIMIT_BACKEND_DRAIN_TIMEOUT_DEFAULT                                                 \
    }
/** What base/limits.h says now; not a constant. */
#define PN_POOL_LIMITS_IN_FORCE                                                                    \
    {                                                                                              \
        pn_limit_value(PN_LIMIT_BACKEND_CONNECTIONS),                                              \
            pn_limit_value(PN_LIMIT_BACKEND_IDLE_CONNECTIONS),                                     \
            pn_limit_value(PN_LIMIT_BACKEND_QUEUE), pn_limit_value(PN_LIMIT_BACKEND_IDLE_TIMEOUT), \
            pn_limit_value(PN_LIMIT_BACKEND_AGE),                                                  \
            (uint32_t)pn_limit_value(PN_LIMIT_BACKEND_CONNECT_TIMEOUT),                            \
            pn_limit_value(PN_LIMIT_BACKEND_HOST_CONNECTIONS),                                     \
            pn_limit_value(PN_LIMIT_H2_BACKEND_STREAMS),                                           \
            pn_limit_value(PN_LIMIT_BACKEND_PING_INTERVAL),                                        \
            pn_limit_value(PN_LIMIT_BACKEND_PING_TIMEOUT),                                         \
            pn_limit_value(PN_LIMIT_BACKEND_DRAIN_TIMEOUT)                                         \
    }

struct pn_pool;
struct pn_quotas;
struct pn_pool_group;
struct pn_conn_h2;

/** A connection; the pool's. */
struct pn_conn {
    struct pn_list entry; /* in one of the group's lists: idle, busy, shared */
    struct pn_pool_group *group;
    struct pn_stream *stream;
    struct pn_inlet inlet;
    struct pn_conn_h2 *h2; /* NULL: HTTP/1.1, lent to one request at a time */
    uint64_t idle_since_ms;
    uint64_t requests; /* sent on it so far */
    /* HTTP/1.1: what the backend said in Keep-Alive (keep_alive.c). */
    bool is_bounded;       /* anything at all; else the next three mean nothing */
    uint64_t heard_ms;     /* its last bytes came */
    uint64_t kept_ms;      /* so long after them it is not used again; UINT64_MAX: no matter */
    uint64_t requests_max; /* in all; UINT64_MAX: no matter */
    uint64_t ends_at_ms;   /* network rules deny it since: what is at work ends then; 0: allowed */
    bool is_use;           /* noted in uses.h */
    /* Who has borrowed an HTTP/1.1 connection is told that it ends now: the drain limit. Called
     * from the loop; pn_pool_drop() must follow. NULL: it just ends. */
    void (*on_drained)(void *borrower);
    void *borrower;
    struct pn_deferred deferred;
};

/** What a request demands of its connection. Borrowed. */
struct pn_demand {
    const struct pn_target *target;
    struct pn_tls_client *tls;       /* trust policy, certificate and ALPN; NULL: plain TCP */
    struct pn_proxy *proxy;          /* NULL: directly */
    struct pn_tls_client *proxy_tls; /* to a proxy that is reached by TLS; else NULL */
    const char
        *backend; /* name of the backend entity, or key of the API; for who observes; NULL: none */
    bool is_h2c;  /* plain TCP: HTTP/2 with prior knowledge (RFC 9113 §3.3), else HTTP/1.1 */
};

/** One request's wish for a connection; embedded by it. Zero before first use. */
struct pn_acquire {
    struct pn_list entry; /* in the group's queue */
    struct pn_pool *pool;
    struct pn_pool_group *group;
    const char *backend;        /* of the demand */
    uint64_t since_ms;          /* of the choice; 0 when none can be opened */
    bool is_told;               /* the observer knows of this failure */
    bool holds_place;           /* counted in the group as open, while connecting */
    struct pn_opening *opening; /* while connecting */
    void (*on_ready)(void *ctx, struct pn_conn *conn);
    void (*on_failed)(void *ctx); /* acquire->failure says why */
    void *ctx;
    struct pn_failure failure;
};

/** How a connection is chosen. */
struct pn_choice {
    /* None that was open before that (the loop's clock), as long as one can be opened: a request
     * was lost on one of these, and the others may be about to end as well. 0: any. */
    uint64_t since_ms;
    const struct pn_conn *avoid; /* an HTTP/2 connection that refused the request; or NULL */
};

/** `buffers` and `quotas` are borrowed: what the pools of all threads count together; NULL: this
 * pool is alone. PN_NOMEM, PN_IO. */
enum pn_rc pn_pool_create(struct pn_loop *loop, const struct pn_pool_limits *limits,
                          struct pn_io_buffers *buffers, struct pn_quotas *quotas,
                          struct pn_pool **pool, struct pn_error *err) PN_MUST_USE;
/** pn_resolver_allow_guarded() */
void pn_pool_allow_guarded(struct pn_pool *pool);
/** The network rules of connections from now on (a reference is taken; NULL: none). Those that are
 * open and that they deny carry no further request: idle ones close now, those at work end with
 * their request, at the latest when drain_timeout_ms has passed. */
void pn_pool_set_outbound(struct pn_pool *pool, struct pn_outbound *rules);
/** Asks these name servers ("192.0.2.1,[2001:db8::1]:5353") instead of those of the system.
 *  PN_INVALID. */
enum pn_rc pn_pool_use_dns(struct pn_pool *pool, const char *servers,
                           struct pn_error *err) PN_MUST_USE;
/** Who wants to know of connections that could not be opened, or were refused after the handshake.
 *  `stream`: what is known of the server (pn_stream_report(), pn_stream_story()); NULL: nothing.
 * All is borrowed; nothing of the pool may be called. */
typedef void (*pn_pool_failure_fn)(void *ctx, const char *backend, const struct pn_failure *failure,
                                   const struct pn_stream *stream);
void pn_pool_observe(struct pn_pool *pool, pn_pool_failure_fn on_failure, void *ctx);
/** Tells the observer; `backend` NULL: nobody is told. */
void pn_pool_tell(const struct pn_pool *pool, const char *backend, const struct pn_failure *failure,
                  const struct pn_stream *stream);
/** Nothing may be lent or wanted. */
void pn_pool_destroy(struct pn_pool *pool);

/** PN_OK: *conn at once, one that is open already. One of HTTP/1.1 is the caller's until
 *  pn_pool_give_back() or pn_pool_drop(); on one of HTTP/2 the caller opens a stream before it
 *  returns to the loop. PN_AGAIN: on_ready or on_failed follows, from the loop.
 * Else acquire->failure tells: PN_LIMIT (queue full), PN_NOT_FOUND (DNS), PN_INVALID (certificate
 * expired), PN_CONFLICT (retired: demand what took its place), PN_NOMEM, … */
enum pn_rc pn_pool_take(struct pn_pool *pool, struct pn_acquire *acquire,
                        const struct pn_demand *demand, struct pn_choice choice,
                        struct pn_conn **conn) PN_MUST_USE;
/** Neither callback comes any more. Harmless when there is nothing to cancel. */
void pn_acquire_cancel(struct pn_acquire *acquire);

/** Promise 1, asked directly before a request is written. PN_CONFLICT: counted; drop it. */
enum pn_rc pn_conn_check(const struct pn_conn *conn, const struct pn_demand *demand) PN_MUST_USE;
/** HTTP/1.1: its answer was read whole and it may carry another request. */
void pn_pool_give_back(struct pn_conn *conn);
/** HTTP/1.1: closes it. */
void pn_pool_drop(struct pn_conn *conn);

/** From now on no connection of `tls` takes a request, and none is opened: idle ones close, those
 * at work at their end. Who waits for one fails (failure.is_replaced), from the loop. */
void pn_pool_retire(struct pn_pool *pool, const struct pn_tls_client *tls);
/** Nothing opened so far to that host and port, with whichever identity, carries another request:
 *  idle connections close now, those at work at their end. */
void pn_pool_reconnect(struct pn_pool *pool, struct pn_slice host, uint16_t port);
/** Closes every idle connection. */
void pn_pool_close_idle(struct pn_pool *pool);
/** HTTP/1.1 connections that nobody has borrowed. */
size_t pn_pool_idle_count(const struct pn_pool *pool);
/** All open connections. */
size_t pn_pool_open_count(const struct pn_pool *pool);
struct pn_loop *pn_pool_loop(const struct pn_pool *pool);
