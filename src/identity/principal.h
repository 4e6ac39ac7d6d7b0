/* SPDX-License-Identifier: Apache-2.0
 *
 * Who is calling: a checked bearer token's claims, and what that principal may do.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/slice.h"

#define PN_PRINCIPAL_GROUPS_MAX 64

struct pn_principal {
    char object_id[64]; /* oid */
    char app_id[64];    /* appid / azp */
    char tenant_id[64]; /* tid */
    char issuer[256];
    /** ARM id of the resource that a managed identity belongs to (xms_mirid); "": it is none. */
    char managed_by[512];
    char groups[PN_PRINCIPAL_GROUPS_MAX]
               [40]; /* of the token; those beyond the limit are left out */
    size_t group_count;
};

struct pn_token_verifier;
struct pn_store;

/** Checks an access token (RS256, RFC 7519) made by the embedded authority: signature by its
 * current and former keys, iss, exp, nbf (300 s skew), aud one of `audiences` (NULL-ended; one
 * trailing '/' is ignored); or one of an issuer that is trusted besides, for the audience that goes
 * with it (PN_UNAVAILABLE then: its keys cannot be had now). PN_DENIED; err->code: token_malformed,
 * token_signature, token_expired, token_not_yet_valid, token_audience, token_issuer. err->message
 * never holds the token. Any thread. */
enum pn_rc pn_token_verify(struct pn_token_verifier *verifier, struct pn_slice token,
                           const char *const *audiences, struct pn_principal *principal,
                           struct pn_error *err) PN_MUST_USE;
/** A refusal (PN_DENIED) of pn_token_verify() in Resource Manager's words: static texts without
 *  quotes, the description fits into a challenge. */
struct pn_token_refusal {
    const char *arm_code, *description;
};
struct pn_token_refusal pn_token_refusal_of(const struct pn_error *err);
/** Whether `id` is the principal's object id or one of its groups'. Without case. */
bool pn_principal_has_id(const struct pn_principal *principal, struct pn_slice id);
/** Role check at `scope` (an ARM id) and everything above it: is one of the principal's role
 * assignments allowing `action` ("Microsoft.ApiManagement/service/certificates/write")? The
 * administrator made at the first start is Owner of the subscription. PN_DENIED names oid, action
 * and scope; PN_IO. */
enum pn_rc pn_authorize(struct pn_store *store, const struct pn_principal *principal,
                        const char *action, const char *scope, struct pn_error *err) PN_MUST_USE;
/** The same for an action of a data plane ("Microsoft.KeyVault/vaults/secrets/getSecret/action"),
 *  which a role's dataActions allow and its actions do not. */
enum pn_rc pn_authorize_data(struct pn_store *store, const struct pn_principal *principal,
                             const char *action, const char *scope,
                             struct pn_error *err) PN_MUST_USE;
/** The same for writing or deleting an assignment of the role with GUID or id `role_id`. */
enum pn_rc pn_authorize_assignment(struct pn_store *store, const struct pn_principal *principal,
                                   const char *action, const char *scope, struct pn_slice role_id,
                                   struct pn_error *err) PN_MUST_USE;
/** Whether the directory has a principal with this object id: an application, or the identity of a
 *  resource. PN_NOT_FOUND; PN_IO. */
enum pn_rc pn_principal_find(struct pn_store *store, struct pn_slice object_id,
                             struct pn_error *err) PN_MUST_USE;
