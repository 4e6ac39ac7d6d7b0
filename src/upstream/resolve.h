/* SPDX-License-Identifier: Apache-2.0
 *
 * Host names to addresses, on the loop: c-ares (RFC 1035, /etc/hosts, resolv.conf) behind a cache.
 * IP addresses and "localhost" need no query. One resolver per thread.
 *
 * Both families are asked for at once, and c-ares waits for both answers. A name server, or what
 * stands before it, that says nothing to one of them would cost seconds. So when no answer has come
 * for PN_RESOLVE_PATIENCE_MS, each family is asked for by itself, and who has addresses first is
 * believed until the answer for both is there (RFC 8305 §3).
 */
#pragma once

#include "loop/loop.h"
#include "tls/identity.h"

#define PN_RESOLVE_ADDRESSES_MAX 8    /* of one name; more are left out */
#define PN_RESOLVE_CACHE_MAX     4096 /* names; above, the query fails with PN_LIMIT */
#define PN_RESOLVE_TIMEOUT_MS    2000 /* of one try at one server */
#define PN_RESOLVE_TRIES         2
#define PN_RESOLVE_PATIENCE_MS   250 /* then the families are asked for apart as well */
#define PN_RESOLVE_TTL_MIN_S     1
#define PN_RESOLVE_TTL_MAX_S     300
#define PN_RESOLVE_TTL_FAILED_S  1 /* how long a failure is remembered */
#define PN_RESOLVE_STALE_S       300 /* so long after their time addresses serve if no server answers */

struct pn_outbound;
struct pn_resolver;
struct pn_resolve;
typedef void (*pn_resolve_fn)(struct pn_resolve *query);

/** One question; lives in the caller's object. */
struct pn_resolve {
    struct pn_list entry;
    pn_resolve_fn on_done;
    void *ctx;
    enum pn_rc rc;      /* PN_OK, PN_NOT_FOUND, PN_TIMEOUT, PN_UNAVAILABLE, PN_NOMEM */
    const char *reason; /* static text when rc is not PN_OK */
    struct pn_peer_address addresses[PN_RESOLVE_ADDRESSES_MAX]; /* ports are the caller's */
    size_t count;
    unsigned turn; /* counts up from one answer to the next: for a rotation among equals */
};

/** PN_IO, PN_NOMEM. */
enum pn_rc pn_resolver_create(struct pn_loop *loop, struct pn_resolver **resolver,
                              struct pn_error *err) PN_MUST_USE;
/** "192.0.2.1,[2001:db8::1]:5353" instead of the system's. PN_INVALID. */
enum pn_rc pn_resolver_use_servers(struct pn_resolver *resolver, const char *servers,
                                   struct pn_error *err) PN_MUST_USE;
/** Backends may have link-local addresses and those of metadata services (network/address.h): they
 * are refused otherwise, because an API's URL must not lead to what only this machine may ask. */
void pn_resolver_allow_guarded(struct pn_resolver *resolver);
bool pn_resolver_allows(const struct pn_resolver *resolver, const struct pn_peer_address *peer);
/** The network rules that each address is judged by before it is connected to (a reference is
 * taken); NULL: none. */
void pn_resolver_set_outbound(struct pn_resolver *resolver, struct pn_outbound *rules);
/** Whether the rules allow a connection to `peer` (with its port), which `host` led to. */
bool pn_resolver_may_connect(const struct pn_resolver *resolver, struct pn_slice host,
                             const struct pn_peer_address *peer);
/** Why they do not: a sentence in `out`, and the rule as it is counted by, which lives as long as
 *  the rules. */
const char *pn_resolver_explain(const struct pn_resolver *resolver, struct pn_slice host,
                                const struct pn_peer_address *peer, char *out, size_t size);
/** No question may be open. */
void pn_resolver_destroy(struct pn_resolver *resolver);
/** PN_OK: answered at once. PN_AGAIN: on_done comes, from the loop. Otherwise query->rc and
 *  ->reason. */
enum pn_rc pn_resolver_start(struct pn_resolver *resolver, struct pn_resolve *query,
                             struct pn_slice host) PN_MUST_USE;
/** on_done does not come any more. Harmless for one that is over. */
void pn_resolve_cancel(struct pn_resolve *query);
