/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by gateway.c and control_link.c only.
 */
#pragma once

#include "gateway/feed.h"
#include "gateway/feedlog.h"
#include "gateway/gateway.h"
#include "gateway/worker.h"

/** The connection of control; at most one, the newest. */
struct pn_control_link {
    struct pn_watch watch;
    bool is_open;
    struct pn_buf in; /* secret */
    struct pn_feed feed;
    uint64_t pending_ack; /* the revision that the workers are changing over to */
    bool owes_ack;
    char log_problem[256]; /* the batch could not be logged: answer NACK */
};

struct pn_gateway {
    struct pn_broker *broker;
    struct pn_loop *loop;
    struct pn_signer *signer;
    struct pn_keyholder *keyholder; /* the main thread's: seals the log */
    struct pn_tls_tickets *tickets;
    struct pn_catalog *catalog;
    struct pn_feed_log *log;
    bool log_is_stale; /* a batch is missing in it: it must be written anew */
    struct pn_worker *workers[PN_GATEWAY_THREADS_MAX];
    unsigned worker_count, threads;
    struct pn_forwarding forwarding;
    bool use_own_records;
    const char *dns_servers; /* NULL: those of the system */
    bool allows_guarded;
    unsigned switching; /* workers that have not changed over yet */
    unsigned drained;
    bool is_leaving, is_draining, is_handed_over;
    uint64_t drain_ends_ms; /* the drain_timer's time */
    struct pn_timer leave_timer, drain_timer;
    atomic_uint accepting; /* workers */
    struct pn_spread *spread;
    struct pn_address_count *addresses;
    struct pn_quotas *quotas; /* of the workers' pools */
    struct pn_watch incoming;
    struct pn_probes *probes;
    struct pn_last_failures *failures;
    struct pn_control_link link;
    struct pn_listener_socket sockets[PN_WORKER_LISTENERS_MAX];
    size_t socket_count;
};

/** Takes `fd`. */
void pn_control_link_open(struct pn_gateway *gateway, int fd);
void pn_control_link_close(struct pn_gateway *gateway);
/** Every worker uses the newest snapshot. */
void pn_control_link_switched(struct pn_gateway *gateway);
/** Reads the log into the catalog. */
enum pn_rc pn_gateway_replay(struct pn_gateway *gateway, struct pn_error *err) PN_MUST_USE;
/** Hands the catalog's snapshot to every worker. */
void pn_gateway_switch(struct pn_gateway *gateway);
