/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening one connection: name, race of its addresses (Happy Eyeballs, RFC 8305), tunnel through a
 * proxy, TLS.
 *
 *   RESOLVING -> DIALING -> (TLS to the proxy -> TUNNEL, with a proxy) -> SECURING -> on_open
 *                   ^______________/_____________________/ another address may help
 *        \__________\______________\_____________________\-> on_failed
 *
 * The addresses take turns between the families and among equals; the next one is tried after
 * PN_OPENING_STAGGER_MS without an answer, or at once when one fails. The first that has a TCP
 * connection wins, the others are closed. A refusal that another address would repeat (the
 * backend's certificate, ours, the keyholder) ends it. It knows nothing of pools. Thread: the
 * loop's.
 */
#pragma once

#include "network/denials.h"
#include "upstream/failure.h"
#include "upstream/proxy.h"
#include "upstream/resolve.h"

#define PN_OPENING_STAGGER_MS 250 /* "Connection Attempt Delay", RFC 8305 §5 */

struct pn_opening;
struct pn_stream;
struct pn_tls_story;

/** What somebody who explains wants to see on the way. */
enum pn_opening_step {
    PN_OPENING_RESOLVED, /* peer, code, stream are NULL */
    PN_OPENING_LOST,     /* this address: `code` says why; `stream` if TLS had begun, else NULL */
    PN_OPENING_WON,      /* this address; on_open follows */
};
typedef void (*pn_opening_step_fn)(void *ctx, enum pn_opening_step step,
                                   const struct pn_peer_address *peer, const char *code,
                                   const struct pn_stream *stream);

struct pn_opening_spec {
    struct pn_loop *loop;
    struct pn_resolver *resolver;
    struct pn_slice host; /* lower case; borrowed until the end */
    uint16_t port;
    struct pn_tls_client *tls;       /* NULL: plain TCP; borrowed */
    bool is_h2c;                     /* plain TCP: it will speak HTTP/2, a part of the identity */
    const struct pn_proxy *proxy;    /* NULL: directly; borrowed */
    struct pn_tls_client *proxy_tls; /* to a proxy that is reached by TLS, else NULL; borrowed */
    uint32_t timeout_ms;             /* of one address: TCP, then tunnel and TLS */
    enum pn_outbound_kind kind;      /* as which a denial is counted */
    /** The stream is the receiver's; its events must be set. The opening is over. */
    void (*on_open)(void *ctx, struct pn_stream *stream);
    /** *failure says why. The opening is over. */
    void (*on_failed)(void *ctx);
    void *ctx;
    pn_opening_step_fn on_step; /* may be NULL; borrowed arguments, ends nothing */
    struct pn_tls_story *story; /* as in pn_stream_connect_spec; may be NULL */
    struct pn_failure *failure; /* filled before on_failed, and when it cannot start */
};

/** PN_AGAIN: *opening is under way, an event follows from the loop. Else spec->failure tells:
 *  PN_NOT_FOUND, PN_TIMEOUT, PN_UNAVAILABLE (name), PN_DENIED (guarded address, network rule),
 * PN_INVALID (certificate), PN_IO, PN_NOMEM. */
enum pn_rc pn_opening_start(const struct pn_opening_spec *spec,
                            struct pn_opening **opening) PN_MUST_USE;
/** No event follows; everything that was open is closed. NULL is fine. */
void pn_opening_cancel(struct pn_opening *opening);

/** The order in which to try: families alternate, beginning with that of the first address; within
 *  a family the addresses are rotated by `turn`. RFC 8305 §4. */
void pn_opening_order(struct pn_peer_address *addresses, size_t count, unsigned turn);
