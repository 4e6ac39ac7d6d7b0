/* SPDX-License-Identifier: Apache-2.0
 *
 * One worker: a thread with a loop, its client connections, its pool of backend connections, its
 * connection to the keyholder, and the snapshot it serves by. Workers share nothing that is written
 * while they serve: a new snapshot comes by the mailbox and is taken between two turns; the old one
 * goes back to the main thread by the mailbox when the last request that began with it has ended.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "base/cidr.h"
#include "base/clock.h"
#include "gateway/address_count.h"
#include "gateway/catalog.h"
#include "gateway/forwarded.h"
#include "gateway/last_failure.h"
#include "gateway/limits.h"
#include "gateway/overload.h"
#include "gateway/rest.h"
#include "gateway/spread.h"
#include "upstream/exchange.h"

#define PN_WORKER_RECONNECTS_MAX 256 /* that wait for their time; above, they act at once */
#define PN_WORKER_LISTENERS_MAX  32
#define PN_LISTENER_TRUSTED_MAX  32

struct pn_worker;
struct pn_call;
struct pn_h1_turn;
struct pn_h2_turn;
struct pn_h2_memory;

#define PN_PIN_RECENT 8 /* a power of two */

/** A snapshot in use by a worker: its own count of the requests that read it. */
struct pn_pin {
    struct pn_message message; /* carries it back to the main thread */
    struct pn_worker *worker;
    struct pn_snapshot *snapshot;
    size_t users;
    struct pn_item *recent[PN_PIN_RECENT]; /* certificates of the snapshot that were asked for of
                                            * late, by a part of their names; NULL: none */
};

/** A context of the map of contexts, with what it was asked for by. */
struct pn_recent_client {
    const struct pn_trust *trust;
    const struct pn_tls_certificate *certificate; /* NULL: none */
    enum pn_alpn alpn;
    struct pn_tls_client *client; /* in the map, or NULL */
};
#define PN_WORKER_RECENT 16 /* a power of two */

struct pn_listener {
    struct pn_watch watch;
    struct pn_worker *worker;
    const struct pn_listener_socket *socket; /* the main thread's */
    bool is_paused;
    struct pn_timer resume;
};

/** A listening socket as the main thread knows it. */
struct pn_listener_socket {
    int fd;
    bool is_tls;
    bool wants_proxy;                                /* connections begin with a PROXY header */
    struct pn_cidr trusted[PN_LISTENER_TRUSTED_MAX]; /* who may send one */
    size_t trusted_count;
};

/** What the main thread gives each worker. All borrowed. */
struct pn_worker_spec {
    unsigned index;
    struct pn_loop *main_loop;
    struct pn_broker *broker; /* NULL: without a keyholder (tests) */
    struct pn_signer *signer;
    struct pn_last_failures *failures; /* NULL: nobody wants to know */
    struct pn_snapshot *snapshot;      /* the first one; the main thread has counted it for us */
    const char *dns_servers;           /* NULL: those of the system */
    bool allows_guarded;               /* backends at link-local and metadata addresses */
    struct pn_forwarding forwarding;
    bool use_own_records; /* for connections to backends */
    size_t calls_max;
    size_t idle_max;                    /* backend connections of one identity */
    struct pn_spread *spread;           /* client connections of the whole gateway */
    struct pn_address_count *addresses; /* likewise, of one address */
    struct pn_quotas *quotas;           /* likewise; NULL: the worker is alone */
    atomic_uint *accepting; /* workers that have not stopped accepting; the last one closes the
                               sockets */
    struct pn_worker *const *workers; /* all of them, by index: complete before one is started */
    const struct pn_listener_socket *sockets;
    size_t socket_count;
    /** On the main thread: a snapshot is not used any more; the worker uses the newest; drained. */
    void (*on_released)(void *ctx, struct pn_snapshot *snapshot);
    void (*on_switched)(void *ctx);
    void (*on_drained)(void *ctx);
    void *ctx;
};

struct pn_worker {
    struct pn_worker_spec spec;
    pthread_t thread;
    bool is_started;
    struct pn_loop *loop;
    struct pn_keyholder *keyholder;
    struct pn_io_buffers buffers;
    struct pn_pool *pool;
    struct pn_map *balances; /* whose turn it is, by the name of a pool of backends */
    struct pn_balance spare_balance;
    struct pn_list reconnects; /* that wait for their time (worker_backends.c) */
    size_t reconnect_count;
    struct pn_map *grants; /* policies of special backends of the newest snapshot, by name */
    struct pn_tls_clients *tls_clients;
    struct pn_map *tls_map; /* (trust policy, ALPN, certificates) -> struct pn_tls_client */
    struct pn_recent_client recent[PN_WORKER_RECENT]; /* of tls_map: asked for of late */
    struct pn_pin *pin;                               /* the newest snapshot */
    struct pn_http_limits http_limits;
    struct pn_listener listeners[PN_WORKER_LISTENERS_MAX];
    size_t listener_count;
    struct pn_list newcomers; /* connections whose PROXY header is awaited (newcomer.h) */
    struct pn_list clients;
    struct pn_call *spare_calls;
    size_t spare_call_count;
    struct pn_h1_turn *spare_h1_turns;
    size_t spare_h1_turn_count;
    struct pn_h2_turn *spare_h2_turns;
    size_t spare_h2_turn_count;
    struct pn_h2_memory *h2_memory; /* shared by the HTTP/2 connections */
    struct pn_buf h2_out;           /* frames on their way out, for a moment */
    bool is_leaving;                /* /readyz says so, all else is as before */
    bool is_draining, has_drained;
    uint64_t drain_idle_ms; /* draining: how long a connection waits for a last request */
    uint64_t drain_ends_ms; /* handing over: no request begins after that; 0: not handing over */
    struct pn_overload overload;
    struct pn_rest rest;
    uint64_t turn_end_ms;
    int64_t date_s;
    char date[PN_TIME_TEXT];
};

/** Makes loop, pool and listeners; the thread starts with pn_worker_start(). */
enum pn_rc pn_worker_create(const struct pn_worker_spec *spec, struct pn_worker **worker,
                            struct pn_error *err) PN_MUST_USE;
enum pn_rc pn_worker_start(struct pn_worker *worker, struct pn_error *err) PN_MUST_USE;
/** Stops the loop and joins; the main loop must then deliver what the worker has posted. */
void pn_worker_stop(struct pn_worker *worker);
/** Stopped or never started. The newest snapshot is handed to on_released. */
void pn_worker_destroy(struct pn_worker *worker);

/* --- from the main thread --- */

/** The worker takes `snapshot` (counted for it) between two turns and then on_switched comes.
 *  PN_NOMEM, PN_LIMIT. */
enum pn_rc pn_worker_use(struct pn_worker *worker, struct pn_snapshot *snapshot) PN_MUST_USE;
enum pn_worker_end {
    PN_WORKER_LEAVE,     /* tell balancers, by /readyz; serve on */
    PN_WORKER_DRAIN,     /* stop accepting: what waits at the sockets is taken, then they close */
    PN_WORKER_HAND_OVER, /* stop accepting: another process goes on at the same sockets */
};
/** DRAIN and HAND_OVER: each connection gets one more answer at most; those without a request wait
 *  for one for a moment (limit drain-idle). Then on_drained. PN_NOMEM, PN_LIMIT. */
enum pn_rc pn_worker_end(struct pn_worker *worker, enum pn_worker_end how) PN_MUST_USE;

/* --- from the worker's own thread --- */

struct pn_pin *pn_worker_pin(struct pn_worker *worker);
void pn_worker_unpin(struct pn_worker *worker, struct pn_pin *pin);
/** The TLS context for these; borrowed until a certificate or the policy is replaced. `count`: at
 *  most PN_TLS_CERTIFICATES_MAX, 0: none is presented. PN_NOMEM, PN_INTERNAL. */
enum pn_rc pn_worker_tls_client(struct pn_worker *worker,
                                struct pn_tls_certificate *const *certificates, size_t count,
                                struct pn_trust *trust, enum pn_alpn alpn,
                                struct pn_tls_client **client, struct pn_error *err) PN_MUST_USE;
/** The same out of the map, or made (worker.c); pn_worker_tls_client() looks among the recent ones
 * first (worker_recent.c). */
enum pn_rc pn_worker_find_client(struct pn_worker *worker,
                                 struct pn_tls_certificate *const *certificates, size_t count,
                                 struct pn_trust *trust, enum pn_alpn alpn,
                                 struct pn_tls_client **client, struct pn_error *err) PN_MUST_USE;
/** Whether the context is for exactly these. */
bool pn_worker_is_client_of(const struct pn_tls_client *client, const struct pn_trust *trust,
                            struct pn_tls_certificate *const *certificates, size_t count);
/** Before a context leaves the map. */
void pn_worker_forget_recent(struct pn_worker *worker);
/** What pn_snapshot_certificate_in() says of the pin's snapshot. */
const struct pn_client_certificate *pn_pin_certificate(struct pn_pin *pin, struct pn_slice scope,
                                                       struct pn_slice name);
/** The policy that `backend` of the snapshot `pin` is checked by (NULL: an address without an
 * entity): a new reference. PN_UNAVAILABLE (no_trusted_ca), PN_NOMEM (worker_trusts.c). */
enum pn_rc pn_worker_trust(struct pn_worker *worker, const struct pn_pin *pin,
                           const struct pn_backend *backend, struct pn_trust **trust,
                           struct pn_error *err) PN_MUST_USE;
/** Between two turns: the newest snapshot has taken the place of `former`. */
void pn_worker_trusts_changed(struct pn_worker *worker, const struct pn_snapshot *former);
/** The ids of all policies that backends of the newest snapshot are checked by, as far as they were
 *  asked for; the caller's. NULL: no memory. */
struct pn_map *pn_worker_policies(const struct pn_worker *worker);
void pn_worker_trusts_fini(struct pn_worker *worker);
/** Whose turn it is in the pool of that name. Borrowed until the turn ends; never NULL. */
struct pn_balance *pn_worker_balance(struct pn_worker *worker, const char *pool);
/** Between two turns: `now` has taken the place of `former`. */
void pn_worker_backends_changed(struct pn_worker *worker, const struct pn_snapshot *former,
                                const struct pn_snapshot *now);
void pn_worker_backends_fini(struct pn_worker *worker);
/** The Date field's value, made once a second. */
struct pn_slice pn_worker_date(struct pn_worker *worker);
/** No new request should be taken: answer 503 with Retry-After PN_OVERLOAD_RETRY_AFTER_S. Counts
 *  the limit that says so. */
bool pn_worker_is_overloaded(struct pn_worker *worker);
/** A connection that pn_spread_enter() has counted for it has gone. Draining, the last one:
 *  on_drained, once. */
void pn_worker_left(struct pn_worker *worker);
/** Draining: how long a connection without a request waits for one from now on. */
uint64_t pn_worker_last_wait_ms(const struct pn_worker *worker);
/** Handed over, and its time is up: who begins a request now must not be served by what we know. */
bool pn_worker_is_over(const struct pn_worker *worker);
