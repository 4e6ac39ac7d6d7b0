/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON Web Keys (RFC 7517): public keys for signatures, RSA of 2048 to 8192 bits (RFC 7518 §6.3)
 * and P-256 (§6.2). Anything else is no key for us.
 */
#pragma once

#include <jansson.h>
#include <openssl/evp.h>

#define PN_JWK_RSA_BITS_MIN 2048

/** The public key of `jwk`; NULL: it is none, or not one of ours, or `use` says it is for something
 *  else than signatures. The caller's; OpenSSL's error queue is cleared. */
EVP_PKEY *pn_jwk_key(const json_t *jwk);
