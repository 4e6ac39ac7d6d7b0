/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by opening.c, which races the addresses, and opening_tunnel.c, which asks the proxy.
 */
#pragma once

#include "network/security_rule.h"
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
    struct pn_stream *outer; /* TLS to the proxy; NULL: none (any more) */
    struct pn_buf tunnel;    /* the request to the proxy, then its answer; secret */
    size_t tunnel_sent;
    bool is_answering;
    struct pn_stream *stream;
    struct pn_deferred deferred;
    char denied_by[PN_RULE_NAME_MAX + 1]; /* the rule; see pn_opening_may_connect() */
};

/** Ends it and tells the receiver; spec.failure is filled. */
void pn_opening_fail(struct pn_opening *opening);
/** Its socket, if it is still the attempt's, and what watches it. */
void pn_opening_close_attempt(struct pn_attempt *attempt);
/** The failure is of this address. */
void pn_opening_set_peer(struct pn_opening *opening, const struct pn_attempt *attempt);
/** By the network rules in force now; false: failure tells. */
bool pn_opening_may_connect(struct pn_opening *opening, const struct pn_peer_address *peer);
/** This address is out; the others go on. False: there is none, the caller fails. */
bool pn_opening_go_on(struct pn_opening *opening);
void pn_opening_tell(const struct pn_opening *opening, enum pn_opening_step step,
                     const struct pn_attempt *attempt, const struct pn_stream *stream);
/** What another address of the name may do better. */
bool pn_opening_may_help(const struct pn_tls_report *report);
/** The winner is connected: TLS, or a plain stream. Takes `fd` (-1: the stream connects by itself)
 *  or `below`, the stream that the tunnel is in (NULL: none). PN_AGAIN, or failure tells. */
enum pn_rc pn_opening_secure(struct pn_opening *opening, int fd,
                             struct pn_stream *below) PN_MUST_USE;
/** The winner is connected to the proxy: TLS with it, if it wants that, asks for the tunnel, then
 *  goes on as above. */
enum pn_rc pn_opening_tunnel(struct pn_opening *opening) PN_MUST_USE;
