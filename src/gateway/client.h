/* SPDX-License-Identifier: Apache-2.0
 *
 * A client's connection, from accept to close.
 *
 *   OPENING -> IDLE -> HEAD -> CALL -> IDLE …        (HEAD: a request's head is arriving)
 *              \         \______\____> LINGER        (answered; what still comes is dropped)
 *               \________> H2 ______/
 *
 * IDLE to CALL are those of HTTP/1.1, one request after the other (client_h1.c). What one request
 * needs is in its turn, which exists in state CALL only, so that an idle connection costs little.
 * H2 is chosen by ALPN, or without TLS by the preface that comes first (client_h2.c).
 */
#pragma once

#include "gateway/front.h"
#include "gateway/worker.h"

enum pn_client_state {
    PN_CLIENT_OPENING,
    PN_CLIENT_IDLE,
    PN_CLIENT_HEAD,
    PN_CLIENT_CALL,
    PN_CLIENT_H2,
    PN_CLIENT_LINGER,
    PN_CLIENT_CLOSED,
};

struct pn_h1_turn;
struct pn_h2_link;

struct pn_client {
    struct pn_list entry; /* in worker->clients */
    struct pn_worker *worker;
    struct pn_stream *stream;
    enum pn_client_state state;
    struct pn_origin origin;
    struct pn_inlet inlet;
    struct pn_h1_scan scan;
    struct pn_h1_turn *turn; /* the request under way */
    struct pn_h2_link *h2;   /* in state H2 */
    bool may_be_h2;          /* a preface may come */
    uint32_t rest_ms;        /* of the timer, once the connection has idled for a moment; or 0 */
    struct pn_timer timer;
    struct pn_task next; /* look for the next request */
    struct pn_deferred deferred;
    uint64_t requests;
};

/** Takes `fd`, whose place among the worker's connections is counted. On failure it is closed. */
void pn_client_accept(struct pn_worker *worker, int fd, bool is_tls,
                      const struct pn_peer_address *peer);
/** Ends it now. `abort`: with a reset, so that a cut answer is not taken for a whole one. */
void pn_client_close(struct pn_client *client, bool abort);
/** Half-closes and drops what still comes for a moment: a reset could destroy an answer on its way.
 */
void pn_client_linger(struct pn_client *client);
/** The connection has had as many requests as it may: this one is the last. Counted when so. */
bool pn_client_is_used_up(const struct pn_client *client);
void pn_client_arm(struct pn_client *client, uint64_t delay_ms);
/** The same for a connection that waits for a request: TLS gives its buffers back in a moment. */
void pn_client_arm_idle(struct pn_client *client, uint64_t delay_ms);
/** The others end after their answer; idle ones after one more, or without one in `idle_ms` (0:
 * now).
 */
void pn_clients_drain(struct pn_worker *worker, uint64_t idle_ms);
void pn_clients_abort(struct pn_worker *worker);
