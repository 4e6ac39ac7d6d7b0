/* SPDX-License-Identifier: Apache-2.0
 *
 * Other identity providers: OpenID Connect issuers whose tokens are believed. Two kinds ask here:
 *
 *   trusted issuers      the operator named them; their people use the management API, the vault
 * and the portal (OpenID Connect Core, RFC 7519) federated ones       a federated credential of an
 * identity or application names one; a workload shows its token as a client assertion (RFC 7523)
 *
 * Keys come from the issuer's discovery document and JWKS (OpenID Connect Discovery §4, RFC 7517),
 * over https only, and are kept as long as the issuer says (1 minute to 24 hours); a kid that is
 * not known is looked for once more, at most every PN_OIDC_REFETCH_S. While an issuer does not
 * answer, its last keys serve for PN_OIDC_STALE_S. What a token says about itself never chooses
 * where keys are fetched: the issuer's URL is that of the configuration or the credential.
 *
 * A foreign token makes nobody a principal of ours: see docs/adr/0220-trusted-issuers.md.
 *
 * Thread: pn_oidc_create() and pn_oidc_trust() at start; all else from any thread, may block for
 * the time of two fetches.
 */
#pragma once

#include "base/buf.h"
#include "base/secret.h"
#include "identity/jwt.h"
#include "identity/principal.h"

#define PN_OIDC_TRUSTED_MAX   8
#define PN_OIDC_AUDIENCES_MAX 8
#define PN_OIDC_KNOWN_MAX     64 /* issuers whose keys are kept; above: the oldest goes */
#define PN_OIDC_KEYS_MAX      32 /* of one issuer; further ones are not seen */
#define PN_OIDC_FETCHES_MAX   2  /* at a time; others are told to try again */
#define PN_OIDC_REFETCH_S     30
#define PN_OIDC_STALE_S       86400
#define PN_OIDC_URL_MAX       512
#define PN_OIDC_NAME_MAX      64
#define PN_OIDC_CLAIM_MAX     64
#define PN_OIDC_TOKEN_MAX     (32u * 1024)

struct pn_oidc;
struct pn_store;

struct pn_trusted_issuer {
    char url[PN_OIDC_URL_MAX];
    char name[PN_OIDC_NAME_MAX];                            /* on the button: "Sign in with NAME" */
    char audiences[PN_OIDC_AUDIENCES_MAX][PN_OIDC_URL_MAX]; /* of access tokens; none: none taken */
    size_t audience_count;
    bool by_oid; /* `oid` is the principal's id as it is; else one is derived from issuer and sub */
    char groups_claim[PN_OIDC_CLAIM_MAX];
    char client_id[PN_OIDC_URL_MAX]; /* of the portal there; "": no sign-in by it */
    struct pn_secret client_secret;  /* len 0: a public client */
};

struct pn_outbound_scope;
/** `now_s` may be NULL: the system's clock; `outbound` too: no network rules. Both and `store` are
 *  borrowed. PN_NOMEM. */
enum pn_rc pn_oidc_create(struct pn_store *store, const struct pn_outbound_scope *outbound,
                          int64_t (*now_s)(void), struct pn_oidc **oidc) PN_MUST_USE;
void pn_oidc_destroy(struct pn_oidc *oidc);
/** Trusts an issuer: "URL,audience=A[,…]" as docs/operating.md has it; reads its
 *  client-secret-file. PN_INVALID, PN_LIMIT, PN_IO: err tells which part. */
enum pn_rc pn_oidc_trust(struct pn_oidc *oidc, struct pn_slice text,
                         struct pn_error *err) PN_MUST_USE;
/** The i-th trusted issuer, or NULL. Borrowed. */
const struct pn_trusted_issuer *pn_oidc_trusted(const struct pn_oidc *oidc, size_t i);

/** A pn_foreign_token_fn; ctx: the struct pn_oidc. */
enum pn_rc pn_oidc_foreign_token(void *ctx, const struct pn_jwt *jwt,
                                 struct pn_principal *principal, struct pn_error *err);

/** Whether `jwt` is signed by a key of the issuer at `url` (RS256, PS256, ES256). It says nothing
 * of the claims. PN_DENIED (code token_signature), PN_UNAVAILABLE (its keys cannot be had now). */
enum pn_rc pn_oidc_check_signature(struct pn_oidc *oidc, const char *url, const struct pn_jwt *jwt,
                                   struct pn_error *err) PN_MUST_USE;
/** Whether the claim aud is, or has, one of `count` texts. */
bool pn_oidc_has_audience(const json_t *claims, const char *const *audiences, size_t count);

/* ---- signing in: the authorization code flow (OpenID Connect Core §3.1) with PKCE ---- */

struct pn_oidc_sign_in {
    const char *redirect_uri;
    const char *state, *nonce;
    const char *code_challenge; /* S256 */
};
/** Where the browser is led. PN_UNAVAILABLE: the issuer does not answer. */
enum pn_rc pn_oidc_authorize_url(struct pn_oidc *oidc, const struct pn_trusted_issuer *issuer,
                                 const struct pn_oidc_sign_in *ask, struct pn_buf *url,
                                 struct pn_error *err) PN_MUST_USE;

struct pn_oidc_person {
    struct pn_principal principal;
    char display_name[128];
};
/** Gives the code to the issuer and believes its ID token (§3.1.3.7). PN_DENIED: it does not prove
 * anybody; PN_UNAVAILABLE. `code` and `code_verifier` are borrowed. */
enum pn_rc pn_oidc_redeem(struct pn_oidc *oidc, const struct pn_trusted_issuer *issuer,
                          const struct pn_oidc_sign_in *ask, struct pn_slice code,
                          struct pn_slice code_verifier, struct pn_oidc_person *person,
                          struct pn_error *err) PN_MUST_USE;
