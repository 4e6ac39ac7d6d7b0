/* SPDX-License-Identifier: Apache-2.0
 *
 * A set of CA certificates: trust anchors, or intermediates to complete chains with. Loaded once
 * and shared by every trust policy that uses it, however many backends there are. Immutable,
 * reference-counted, any thread.
 */
#pragma once

#include <openssl/x509.h>

#include "base/encode.h"
#include "base/error.h"

#define PN_TRUST_ROOTS_MAX 4096 /* certificates in one CA set */

struct pn_trust_roots;

/** The CAs of this system, read once and whole (no file is needed later): what $SSL_CERT_FILE and
 *  $SSL_CERT_DIR name, and only that, if one is set; else the distribution's bundle, else OpenSSL's
 *  default folder. PN_NOT_FOUND: no certificate there (err tells what to do). PN_MALFORMED: a
 * bundle cannot be read. PN_LIMIT. PN_NOMEM. */
enum pn_rc pn_trust_roots_system(struct pn_trust_roots **roots, struct pn_error *err) PN_MUST_USE;
/** From PEM text or one DER certificate after the other. PN_MALFORMED, PN_NOT_FOUND (empty),
 * PN_LIMIT. */
enum pn_rc pn_trust_roots_from(struct pn_slice certificates, struct pn_trust_roots **roots,
                               struct pn_error *err) PN_MUST_USE;
size_t pn_trust_roots_count(const struct pn_trust_roots *roots);
struct pn_trust_roots *pn_trust_roots_ref(struct pn_trust_roots *roots);
void pn_trust_roots_unref(struct pn_trust_roots *roots);
/** All certificates of both (NULL counts as empty; of two NULL *joined is NULL). PN_LIMIT,
 * PN_NOMEM. */
enum pn_rc pn_trust_roots_join(struct pn_trust_roots *a, struct pn_trust_roots *b,
                               struct pn_trust_roots **joined, struct pn_error *err) PN_MUST_USE;
/** Borrowed. */
X509_STORE *pn_trust_roots_store(const struct pn_trust_roots *roots);
/** PN_SHA256_BYTES: two sets with equal ids have the same certificates. */
const uint8_t *pn_trust_roots_id(const struct pn_trust_roots *roots);
