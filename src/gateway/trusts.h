/* SPDX-License-Identifier: Apache-2.0
 *
 * From configuration to trust policies (tls/trust.h): the CAs of the system, those of the service
 * (its properties.certificates), and what a backend entity asks for besides (its tls.postern). A
 * special policy is made when a request first needs it (docs/adr/0165-cas-of-the-service.md).
 */
#pragma once

#include <pthread.h>

#include "base/json.h"
#include "tls/trust.h"

#define PN_TRUST_VARIANTS 4 /* chain check on/off × name check on/off */

struct pn_map;

/** What all policies of one configuration are made of. Immutable but for the policies that were
 * asked for; counted by the main thread. */
struct pn_trust_base {
    unsigned refs;
    struct pn_trust_roots *roots;              /* the system's and the service's; NULL: none */
    struct pn_trust_roots *intermediates;      /* the service's; NULL: none */
    bool has_own_roots;                        /* some of the roots are the service's */
    struct pn_trust *plain[PN_TRUST_VARIANTS]; /* of backends that ask for nothing else:
                                                  [chain * 2 + name]; NULL: fails closed */
    pthread_mutex_t lock;
    size_t sweep_at;
    struct pn_map *granted; /* digest of a special wish -> policy; equal wishes share one */
};

/** `system` may be NULL. `certificates`: internal.caCertificates of the service,
 *  [{"store": "Root" | "CertificateAuthority", "der": base64}], or NULL. PN_INVALID, PN_MALFORMED,
 *  PN_LIMIT, PN_NOMEM. */
enum pn_rc pn_trust_base_create(struct pn_trust_roots *system, const json_t *certificates,
                                struct pn_trust_base **base, struct pn_error *err) PN_MUST_USE;
struct pn_trust_base *pn_trust_base_ref(struct pn_trust_base *base);
void pn_trust_base_unref(struct pn_trust_base *base);
/** Whether all policies would be the same. */
bool pn_trust_base_equal(const struct pn_trust_base *a, const struct pn_trust_base *b);
/** What a backend's `tls` says. */
struct pn_trust_wish {
    bool check_chain, check_name;
    bool is_special;                  /* there is a tls.postern: a policy of its own */
    struct pn_trust_roots *own_roots; /* caCertificates; NULL: those of the base */
    const char *server_name;          /* borrowed from the JSON; NULL: the host */
    bool has_tls13_only, takes_late_requests;
    uint8_t pins[PN_TRUST_PINS_MAX][PN_SHA256_BYTES];
    size_t pin_count;
    uint8_t digest[PN_SHA256_BYTES]; /* of all this, if it is special */
};

/** `tls`: of a backend's properties, may be NULL; borrowed as long as the wish. PN_INVALID,
 *  PN_MALFORMED, PN_LIMIT, PN_NOMEM; then pn_trust_wish_fini() is still to be called. */
enum pn_rc pn_trust_wish_read(const json_t *tls, struct pn_trust_wish *wish,
                              struct pn_error *err) PN_MUST_USE;
void pn_trust_wish_fini(struct pn_trust_wish *wish);
/** The policy; a new reference, also of a plain one. PN_UNAVAILABLE (no_trusted_ca): there is no CA
 *  to check a chain by. PN_NOMEM. Any thread; a special one takes a lock, so workers keep it. */
enum pn_rc pn_trust_base_grant(struct pn_trust_base *base, const struct pn_trust_wish *wish,
                               struct pn_trust **trust, struct pn_error *err) PN_MUST_USE;
