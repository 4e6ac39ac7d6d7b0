/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share.
 */
#pragma once

#include <pthread.h>

#include "oidc/oidc.h"

#define KID_TEXT 256
#define ALG_TEXT 16

struct issuer_key {
    char kid[KID_TEXT];           /* "": it has none */
    char alg[ALG_TEXT];           /* "": not said */
    char issuer[PN_OIDC_URL_MAX]; /* of an issuer with tenants: whose tokens it signs; "": all */
    EVP_PKEY *key;
};

/* What an issuer's documents say. */
struct issuer_facts {
    struct issuer_key *keys; /* at most issuer-keys */
    size_t key_count;
    bool has_tenants;
    char authorization_endpoint[PN_OIDC_URL_MAX]; /* "": none */
    char token_endpoint[PN_OIDC_URL_MAX];
    bool takes_basic; /* client_secret_basic at the token endpoint */
    uint64_t lifetime_ms;
};

/* Times are of the monotonic clock, in ms. */
struct issuer {
    char url[PN_OIDC_URL_MAX]; /* "": free */
    struct issuer_facts facts;
    bool has_facts, is_fetching;
    bool has_failed; /* the last try */
    bool was_tried, was_kid_tried;
    uint64_t fetched_ms, expires_ms, tried_ms, used_ms;
    uint64_t kid_tried_ms;   /* last fetch for a kid that was not known */
    struct pn_error failure; /* of the last try */
};

struct pn_oidc {
    struct pn_store *store;
    const struct pn_outbound_scope *outbound;
    int64_t (*now_s)(void);
    struct pn_trusted_issuer trusted[PN_OIDC_TRUSTED_MAX];
    size_t trusted_count;
    pthread_mutex_t lock; /* guards what follows; never held while something is fetched */
    pthread_cond_t fetched;
    struct issuer *known;
    size_t known_max; /* issuers-known */
    size_t fetches, waiting;
};

/* "{tenantid}": where Entra ID's documents for many tenants have the tenant. */
#define TENANT_HOLE "{tenantid}"
/* oidc.c: url with `tenant` in place of "common", "organizations" or "consumers". False: it has
 * none of them, or is too long. */
bool oidc_of_tenant(const char *url, const char *tenant, char out[PN_OIDC_URL_MAX]);

/* oidc_documents.c: fetches and reads both documents; with `has_tenants` the issuer's name is the
 * one with TENANT_HOLE. PN_UNAVAILABLE, PN_TIMEOUT, PN_MALFORMED, PN_LIMIT, PN_NOMEM. */
enum pn_rc oidc_fetch_facts(const struct pn_outbound_scope *outbound, const char *url,
                            bool has_tenants, struct issuer_facts *facts,
                            struct pn_error *err) PN_MUST_USE;
void oidc_facts_fini(struct issuer_facts *facts);

/* oidc_keys.c: endpoints of the issuer, as they are known or fetched. */
struct endpoints {
    char authorization[PN_OIDC_URL_MAX], token[PN_OIDC_URL_MAX];
    bool takes_basic;
};
enum pn_rc oidc_endpoints(struct pn_oidc *oidc, const char *url, struct endpoints *endpoints,
                          struct pn_error *err) PN_MUST_USE;

/* oidc.c: the trusted issuer at that URL, or NULL. */
const struct pn_trusted_issuer *oidc_trusted_at(const struct pn_oidc *oidc, const char *url);

/* oidc_principal.c: who the proved claims are, by the issuer's rules. PN_DENIED. */
enum pn_rc oidc_map(struct pn_oidc *oidc, const struct pn_trusted_issuer *issuer,
                    const json_t *claims, struct pn_principal *principal,
                    struct pn_error *err) PN_MUST_USE;
