/* SPDX-License-Identifier: Apache-2.0
 *
 * What checks the access tokens that the embedded authority makes (pn_token_verify() is in
 * identity/principal.h): the authority's current and former public keys and its tenant.
 *
 * Invariant: filled at start, immutable afterwards; then any thread may verify.
 */
#pragma once

#include "identity/jwt.h"
#include "identity/principal.h"

#define PN_TOKEN_BYTES_MAX (16u * 1024)
#define PN_TOKEN_SKEW_S    PN_JWT_SKEW_S
#define PN_TOKEN_KEYS_MAX  8

/** `tenant_id` is copied. `now_s` may be NULL: the system's clock. PN_NOMEM. */
enum pn_rc pn_token_verifier_create(const char *tenant_id, int64_t (*now_s)(void),
                                    struct pn_token_verifier **verifier) PN_MUST_USE;
void pn_token_verifier_destroy(struct pn_token_verifier *verifier);
/** Adds an RSA public key (DER SubjectPublicKeyInfo) that the header's `kid` names. PN_MALFORMED,
 *  PN_UNSUPPORTED (no RSA key, or below 2048 bits), PN_LIMIT (PN_TOKEN_KEYS_MAX), PN_NOMEM. */
enum pn_rc pn_token_verifier_add_key(struct pn_token_verifier *verifier, const char *kid,
                                     struct pn_slice spki, struct pn_error *err) PN_MUST_USE;
/** Adds the keys of a JWKS document (RFC 7517 §5); entries that are not RSA signature keys are
 *  skipped. PN_MALFORMED, PN_LIMIT, PN_NOMEM. */
enum pn_rc pn_token_verifier_add_jwks(struct pn_token_verifier *verifier, struct pn_slice jwks,
                                      struct pn_error *err) PN_MUST_USE;
/** Who else's tokens are believed. `verify` gets a token that is not proved yet. PN_NOT_FOUND: its
 *  issuer is none of them, and the token is checked as one of ours; else it is the answer. It fills
 *  *principal (zeroed) and never managed_by: what another authority says makes nobody a resource of
 *  ours. Any thread, may block. */
typedef enum pn_rc (*pn_foreign_token_fn)(void *ctx, const struct pn_jwt *jwt,
                                          struct pn_principal *principal, struct pn_error *err);
/** At start only. */
void pn_token_verifier_set_foreign(struct pn_token_verifier *verifier, pn_foreign_token_fn verify,
                                   void *ctx);
/** The token of an "Authorization: Bearer …" field value (scheme without regard to case), or a
 *  slice with ptr NULL when it is not one. */
struct pn_slice pn_bearer_token(struct pn_slice authorization);
