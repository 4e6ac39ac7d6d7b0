/* SPDX-License-Identifier: Apache-2.0
 *
 * Generations: the stored form {"properties", "internal"} of a certificate, made from what the
 * keyholder gave back, and the checks a generation must pass before it is used.
 */
#pragma once

#include <jansson.h>

#include "base/buf.h"
#include "base/error.h"

struct pn_imported;

/** Where a generation came from. Texts are borrowed. */
struct pn_generation_origin {
    uint64_t generation;            /* 1 for the first one of a certificate */
    const char *secret_identifier;  /* NULL: an uploaded PFX; all below is then ignored */
    const char *identity_client_id; /* NULL or "": absent */
    const char *secret_version;     /* the version that was fetched */
};

/** Checks chain and key: the chain's leaf is there and its public key is the imported key
 * (PN_INVALID, code key_mismatch, no_certificate, malformed_certificate). What is odd but allowed
 * is appended to `warnings` (may be NULL), one sentence per line: expired, not yet valid, EKU
 * without clientAuth, a CA certificate. `now_s`: Unix time. */
enum pn_rc pn_generation_lint(const struct pn_imported *imported, int64_t now_s,
                              struct pn_buf *warnings, struct pn_error *err) PN_MUST_USE;
/** Checks a certificate for our listener: within its validity, for servers, and for `host` (promise
 * 5: what no client would accept does not take over). PN_INVALID with code certificate_expired,
 * certificate_not_yet_valid, certificate_purpose or certificate_name. PN_NOMEM. */
enum pn_rc pn_generation_check_host(const struct pn_imported *imported, const char *host,
                                    int64_t now_s, struct pn_error *err) PN_MUST_USE;
/** New references, the caller's: properties {subject, thumbprint, expirationDate, keyVault?{
 *  secretIdentifier, identityClientId?, lastStatus Success at `now_ms`}, warnings [{code,
 * message}]: the lint's at `now_ms` and the file's} and internal {generation, keyId, chain, source
 * "pfx" or "keyVault", secretVersion?, objectVersion?}. Checks chain and key, and refuses them, as
 * pn_generation_lint() does. PN_NOMEM. */
enum pn_rc pn_generation_make(const struct pn_imported *imported,
                              const struct pn_generation_origin *origin, int64_t now_ms,
                              json_t **properties, json_t **internal,
                              struct pn_error *err) PN_MUST_USE;
/** Sets properties.keyVault.lastStatus {code, message?, timeStampUtc}. `message` may be NULL.
 * PN_NOMEM. */
enum pn_rc pn_generation_set_status(json_t *properties, const char *code, const char *message,
                                    int64_t now_ms) PN_MUST_USE;
/** The same for a stored certificate whose new generation was refused: code CertificateRefused. */
enum pn_rc pn_generation_set_refused(json_t *body, const char *message, int64_t now_ms) PN_MUST_USE;
/** Whether two properties.keyVault name one source: the secret, and the identity that asks for it.
 * NULL: from no vault. */
bool pn_generation_is_same_source(const json_t *vault, const json_t *other);
