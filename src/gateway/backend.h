/* SPDX-License-Identifier: Apache-2.0
 *
 * A backend entity as the gateway uses it: a single backend, or a pool of them. Immutable but for
 * its circuit breaker, which is shared by all threads and by the successive configurations that
 * have the same rule for it. Made and freed by the main thread.
 */
#pragma once

#include "base/json.h"
#include "certs/certificate.h"
#include "gateway/trusts.h"
#include "model/limits.h"
#include "upstream/balance.h"
#include "upstream/breaker.h"
#include "upstream/proxy.h"
#include "upstream/target.h"

#define PN_BACKEND_CERTIFICATES_MAX 32 /* as in API Management */

/** A member of a pool: a single backend, looked up by its name. */
struct pn_pool_member {
    const char *name; /* lower case */
    unsigned weight, priority;
};

/** What counts as a failure. */
struct pn_breaker_match {
    struct {
        int min, max;
    } ranges[PN_BREAKER_MATCHES_MAX];
    size_t range_count;
    const char *reasons[PN_BREAKER_MATCHES_MAX];
    size_t reason_count;
    bool accept_retry_after;
};

struct pn_backend {
    const char *name;      /* of its item */
    struct pn_slice scope; /* in which its certificates and members are named */
    struct pn_target target;
    struct pn_trust_wish wish; /* what its tls says */
    /* of several the handshake takes the first that fits; ids win over thumbprints */
    const char **certificate_ids; /* names, lower case */
    size_t certificate_id_count;
    char (*thumbprints)[PN_THUMBPRINT_TEXT];
    size_t thumbprint_count;
    json_t *headers, *query; /* {"name": ["value", …]} or NULL; borrowed from the document */
    const char *authorization_scheme, *authorization_parameter; /* both or none */
    struct pn_proxy *proxy;                                     /* NULL: connect directly */
    struct pn_pool_member *members;                             /* of a pool only */
    size_t member_count;                                        /* 0: a single backend */
    struct pn_breaker *breaker;                                 /* NULL: none */
    struct pn_breaker_match *match;                             /* with a breaker */
    const json_t *breaker_json;                                 /* what it was made of */
    int64_t reconnect_at_ms; /* Unix time of the last reconnect that was asked for; 0: none */
};

/** Everything borrowed lives as long as the two documents. PN_INVALID, PN_MALFORMED, PN_NOMEM; then
 *  pn_backend_fini() is still to be called. */
enum pn_rc pn_backend_read(struct pn_backend *backend, json_t *properties, const json_t *internal,
                           struct pn_error *err) PN_MUST_USE;
void pn_backend_fini(struct pn_backend *backend);
/** `backend` takes the place of `former`: if the rule is the same, the state stays. */
void pn_backend_adopt(struct pn_backend *backend, const struct pn_backend *former);
