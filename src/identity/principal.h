/* SPDX-License-Identifier: Apache-2.0
 *
 * Who is calling: a checked bearer token's claims, and what that principal may do.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/slice.h"

struct pn_principal {
    char object_id[64]; /* oid */
    char app_id[64];    /* appid / azp */
    char tenant_id[64]; /* tid */
    char issuer[256];
};

struct pn_token_verifier;
struct pn_store;

/** Checks an access token (RS256, RFC 7519) made by the embedded authority: signature by its
 * current and former keys, iss, exp, nbf (300 s skew), aud one of `audiences` (NULL-ended; one
 * trailing '/' is ignored). PN_DENIED; err->code: token_malformed, token_signature, token_expired,
 *  token_not_yet_valid, token_audience, token_issuer. err->message never holds the token.
 *  Any thread. */
enum pn_rc pn_token_verify(struct pn_token_verifier *verifier, struct pn_slice token,
                           const char *const *audiences, struct pn_principal *principal,
                           struct pn_error *err) PN_MUST_USE;
/** Role check at `scope` (an ARM id) and everything above it: is one of the principal's role
 * assignments allowing `action` ("Microsoft.ApiManagement/service/certificates/write")? The
 * administrator made at the first start is Owner of the subscription. PN_DENIED names oid, action
 * and scope; PN_IO. */
enum pn_rc pn_authorize(struct pn_store *store, const struct pn_principal *principal,
                        const char *action, const char *scope, struct pn_error *err) PN_MUST_USE;
