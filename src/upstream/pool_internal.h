/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by pool.c and connect.c only.
 */
#pragma once

#include "upstream/pool.h"

#define PN_POOL_KEY_MAX                                                                            \
    (sizeof(uint16_t) + sizeof(void *) + 1 + PN_PROXY_DIGEST_BYTES + PN_TARGET_HOST_MAX)

struct pn_pool_group {
    struct pn_pool *pool;
    struct pn_tls_client *tls; /* NULL: plain TCP */
    struct pn_proxy *proxy;    /* NULL: directly */
    uint16_t port;
    char key[PN_POOL_KEY_MAX];
    size_t key_len;
    char host[PN_TARGET_HOST_MAX]; /* lower case */
    size_t host_len;
    struct pn_list idle;  /* most recently used first */
    struct pn_list queue; /* struct pn_acquire that wait, oldest first */
    size_t idle_count;
    size_t queued;
    size_t open;     /* connections, and places taken by connecting */
    size_t acquires; /* struct pn_acquire that point here */
    bool is_retired;
    uint64_t reconnected_ms; /* what was opened up to then carries no other request; 0: all may */
    struct pn_tls_identity expected; /* sealed, for the peer that was asked for last */
};

struct pn_pool {
    struct pn_loop *loop;
    struct pn_pool_limits limits;
    struct pn_io_buffers *buffers;
    struct pn_resolver *resolver;
    struct pn_map *groups;
    size_t idle_count;
    struct pn_timer sweep_timer;
    struct pn_task serve_task;
};

/** The identity that `demand` means at the address `peer`, sealed. PN_INVALID. */
enum pn_rc pn_pool_identity(const struct pn_demand *demand, const struct pn_peer_address *peer,
                            struct pn_tls_identity *identity) PN_MUST_USE;
/** Starts to connect for acquire->group. PN_AGAIN, or acquire->failure tells. */
enum pn_rc pn_acquire_connect(struct pn_acquire *acquire) PN_MUST_USE;
/** It points to its group no longer. */
void pn_acquire_leave(struct pn_acquire *acquire);
