/* SPDX-License-Identifier: Apache-2.0
 *
 * A client's connection: HTTP/1.1 requests one after the other.
 *
 *   OPENING -> IDLE -> HEAD -> CALL -> IDLE …        (HEAD: a request's head is arriving)
 *                        \______\____> LINGER        (answered; what still comes is dropped)
 *
 * What one request needs is in its pn_call, which exists in state CALL only, so that an idle
 * connection costs little.
 */
#pragma once

#include <netinet/in.h>

#include "gateway/worker.h"

enum pn_client_state {
    PN_CLIENT_OPENING,
    PN_CLIENT_IDLE,
    PN_CLIENT_HEAD,
    PN_CLIENT_CALL,
    PN_CLIENT_LINGER,
    PN_CLIENT_CLOSED,
};

struct pn_client {
    struct pn_list entry; /* in worker->clients */
    struct pn_worker *worker;
    struct pn_stream *stream;
    enum pn_client_state state;
    bool is_tls;
    struct pn_peer_address peer;
    char ip[INET6_ADDRSTRLEN]; /* of `peer`, as text; empty until the first request */
    struct pn_inlet inlet;
    struct pn_h1_scan scan;
    struct pn_call *call;
    struct pn_timer timer;
    struct pn_task next; /* look for the next request */
    struct pn_deferred deferred;
    uint64_t requests;
};

/** Takes `fd`. On failure it is closed. */
void pn_client_accept(struct pn_worker *worker, int fd, bool is_tls,
                      const struct pn_peer_address *peer);
/** The call is over and has been given back. `keep`: the connection may carry another request. */
void pn_client_call_ended(struct pn_client *client, bool keep);
/** Ends it now. `abort`: with a reset, so that a cut answer is not taken for a whole one. */
void pn_client_close(struct pn_client *client, bool abort);
void pn_client_arm(struct pn_client *client, uint64_t delay_ms);
/** Ends the idle ones; the others end after their answer. */
void pn_clients_drain(struct pn_worker *worker);
void pn_clients_abort(struct pn_worker *worker);
