/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON Web Signatures in compact form (RFC 7515): split, decode, check. Used for the tokens that we
 * check and for the assertions that clients send. Bytes in, facts out; no clock.
 */
#pragma once

#include <jansson.h>
#include <openssl/evp.h>

#include "base/error.h"
#include "base/slice.h"

struct pn_jwt {
    json_t *header;
    json_t *claims;
    struct pn_slice signing_input; /* points into the caller's text */
    uint8_t signature[1024];
    size_t signature_len;
};

/** Reads header and claims (both objects). Nothing is proved yet. PN_MALFORMED, PN_LIMIT (longer
 *  than `max` bytes), PN_NOMEM. Call pn_jwt_fini() in every case. */
enum pn_rc pn_jwt_parse(struct pn_slice text, size_t max, struct pn_jwt *jwt,
                        struct pn_error *err) PN_MUST_USE;
void pn_jwt_fini(struct pn_jwt *jwt);
/* Algorithms (RFC 7518 §3.3 to §3.5), a bit each. */
enum { PN_JWT_RS256 = 1, PN_JWT_PS256 = 2 /* salt of 32 bytes */, PN_JWT_ES256 = 4 };

/** Checks the signature. The header's alg must be one of `algorithms`, and the key's type that of
 *  the algorithm: the token never chooses how a key is used. PN_DENIED, PN_UNSUPPORTED (alg, crit).
 */
enum pn_rc pn_jwt_verify(const struct pn_jwt *jwt, EVP_PKEY *key, unsigned algorithms,
                         struct pn_error *err) PN_MUST_USE;
/** A NumericDate (RFC 7519 §2), which may have a fraction (MSAL for Python sends one), cut to whole
 *  seconds. False: missing or no number or beyond 2^53. */
bool pn_jwt_date(const json_t *claims, const char *claim, int64_t *unix_s);
/** exp (compulsory) and nbf against `now_s`, with a skew of PN_JWT_SKEW_S. PN_DENIED with code
 *  token_malformed, token_expired or token_not_yet_valid. */
enum pn_rc pn_jwt_check_times(const json_t *claims, int64_t now_s,
                              struct pn_error *err) PN_MUST_USE;
#define PN_JWT_SKEW_S 300
/** An EVP_PKEY from a DER SubjectPublicKeyInfo, or NULL (OpenSSL's error queue is cleared). */
EVP_PKEY *pn_public_key_from_spki(struct pn_slice spki);
