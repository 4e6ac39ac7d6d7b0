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
/** Checks the signature with an RSA public key; the header's alg must be RS256 or, when
 * `allow_pss`, PS256 (RFC 7518 §3.3, §3.5; salt of 32 bytes). PN_DENIED, PN_UNSUPPORTED (alg). */
enum pn_rc pn_jwt_verify(const struct pn_jwt *jwt, EVP_PKEY *key, bool allow_pss,
                         struct pn_error *err) PN_MUST_USE;
/** A NumericDate (RFC 7519 §2), which may have a fraction (MSAL for Python sends one), cut to whole
 *  seconds. False: missing or no number or beyond 2^53. */
bool pn_jwt_date(const json_t *claims, const char *claim, int64_t *unix_s);
/** An EVP_PKEY from a DER SubjectPublicKeyInfo, or NULL (OpenSSL's error queue is cleared). */
EVP_PKEY *pn_public_key_from_spki(struct pn_slice spki);
