/* SPDX-License-Identifier: Apache-2.0
 *
 * Other identity providers: OpenID Connect issuers whose tokens are believed. Two kinds ask here:
 *
 *   trusted issuers  the operator named them; their people use the management API, the vault and
 *                    the portal (OpenID Connect Core, RFC 7519)
 *   federated ones   a federated credential of an identity or application names one; a workload
 *                    shows its token as a client assertion (RFC 7523)
 *
 * Keys come from the issuer's discovery document and JWKS (OpenID Connect Discovery §4, RFC 7517),
 * over https only, and are kept as long as the issuer says (1 minute to 24 hours); a kid that is
 * not known is looked for once more, at most once in issuer-refetch. While an issuer does not
 * answer, its last keys serve for issuer-stale. What a token says about itself never chooses
 * where keys are fetched: the issuer's URL is that of the configuration or the credential.
 *
 * All times but those in tokens are of the monotonic clock: one that jumps makes no key older or
 * younger. The limits are in base/limits.h.
 *
 * A foreign token makes nobody a principal of ours: see docs/adr/0220-trusted-issuers.md.
 *
 * Thread: pn_oidc_create() and pn_oidc_trust() at start; all else from any thread, may block for
 * the time of two fetches.
 */
#pragma once

#include "base/buf.h"
#include "base/encode.h"
#include "base/secret.h"
#include "identity/jwt.h"
#include "identity/principal.h"

#define PN_OIDC_TRUSTED_MAX   10 /* the most that the limits allow */
#define PN_OIDC_AUDIENCES_MAX 32
#define PN_OIDC_URL_MAX       512
#define PN_OIDC_NAME_MAX      64
#define PN_OIDC_CLAIM_MAX     64

struct pn_oidc;
struct pn_store;

struct pn_trusted_issuer {
    char url[PN_OIDC_URL_MAX];
    char name[PN_OIDC_NAME_MAX];                            /* on the button: "Sign in with NAME" */
    char audiences[PN_OIDC_AUDIENCES_MAX][PN_OIDC_URL_MAX]; /* of access tokens; none: none taken */
    size_t audience_count;
    /* Entra ID's "common" and "organizations" speak for many tenants: those that may come in. None:
     * it is an issuer like any other, whose tokens say `url`. */
    char tenants[PN_OIDC_AUDIENCES_MAX][PN_UUID_TEXT];
    size_t tenant_count;
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
/** Whether tokens that say `iss` are the issuer's: its URL, or that of one of its tenants. */
bool pn_oidc_says(const struct pn_trusted_issuer *issuer, struct pn_slice iss);
/** The i-th trusted issuer, or NULL. Borrowed. */
const struct pn_trusted_issuer *pn_oidc_trusted(const struct pn_oidc *oidc, size_t i);

/** A pn_foreign_token_fn; ctx: the struct pn_oidc. */
enum pn_rc pn_oidc_foreign_token(void *ctx, const struct pn_jwt *jwt,
                                 struct pn_principal *principal, struct pn_error *err);

/** Whether `jwt` is signed by a key of the issuer at `url` (RS256, PS256, ES256). It says nothing
 * of the claims, but that a key which is one tenant's is not taken for another's. PN_DENIED (code
 * token_signature), PN_UNAVAILABLE (its keys cannot be had now). */
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
