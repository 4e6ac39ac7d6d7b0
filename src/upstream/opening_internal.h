/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by opening.c, which races the addresses, and opening_tunnel.c, which asks the proxy.
 */
#pragma once

#include "upstream/opening.h"

enum pn_attempt_state { PN_ATTEMPT_UNTRIED, PN_ATTEMPT_RUNNING, PN_ATTEMPT_USED };

struct pn_attempt {
    struct pn_opening *opening;
    enum pn_attempt_state state;
    struct pn_peer_address peer;
    int fd;
    struct pn_watch watch;
    struct pn_timer timer;
};

struct pn_opening {
    struct pn_opening_spec spec;
    struct pn_resolve resolve;
    bool is_resolving;
    struct pn_attempt attempts[PN_RESOLVE_ADDRESSES_MAX];
    size_t count, running;
    struct pn_timer stagger;
    struct pn_attempt *winner;
    struct pn_buf tunnel; /* the request to the proxy, then its answer; secret */
    size_t tunnel_sent;
    bool is_answering;
    struct pn_stream *stream;
    struct pn_deferred deferred;
};

/** Ends it and tells the receiver; spec.failure is filled. */
void pn_opening_fail(struct pn_opening *opening);
/** The failure is of this address. */
void pn_opening_set_peer(struct pn_opening *opening, const struct pn_attempt *attempt);
/** The winner is connected: TLS, or a plain stream. Takes `fd` (-1: the stream connects by itself).
 *  PN_AGAIN, or failure tells. */
enum pn_rc pn_opening_secure(struct pn_opening *opening, int fd) PN_MUST_USE;
/** The winner is connected to the proxy: asks for the tunnel, then goes on as above. */
enum pn_rc pn_opening_tunnel(struct pn_opening *opening) PN_MUST_USE;
