/* SPDX-License-Identifier: Apache-2.0
 *
 * What a backend must prove: a set of CAs, chain check, name check.
 *
 * A CA set is loaded once and shared by every trust policy that uses it, however many backends
 * there are. Both objects are immutable (but for what a policy remembers of verified chains),
 * reference-counted and may be used by any thread.
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

struct pn_trust;

/** Two policies with equal id are interchangeable: SHA-256 of the CA set and the switches. */
struct pn_trust_id {
    uint8_t sha256[PN_SHA256_BYTES];
};

/** Takes a reference on `roots` (NULL is allowed only when check_chain is false). PN_INVALID.
 * PN_NOMEM. `check_chain`: signed by one of the CAs, within its validity, for servers.
 *  `check_name`: the SAN names the host that was asked for (RFC 6125; no fallback to the CN unless
 * the certificate has no SAN of that kind, as OpenSSL does). */
enum pn_rc pn_trust_create(struct pn_trust_roots *roots, bool check_chain, bool check_name,
                           struct pn_trust **trust, struct pn_error *err) PN_MUST_USE;
struct pn_trust *pn_trust_ref(struct pn_trust *trust);
void pn_trust_unref(struct pn_trust *trust);
const struct pn_trust_id *pn_trust_id(const struct pn_trust *trust);
bool pn_trust_checks_chain(const struct pn_trust *trust);
bool pn_trust_checks_name(const struct pn_trust *trust);

/** That a chain was verified for a name: SHA-256 of both, and while what validity holds. */
struct pn_trust_verdict {
    uint8_t key[PN_SHA256_BYTES];
    int64_t from_s, until_s; /* Unix seconds, both included */
};
/** Whether this policy has verified it and remembers, and `now_s` is within its validity. Any
 * thread. */
bool pn_trust_knows(struct pn_trust *trust, const uint8_t key[PN_SHA256_BYTES], int64_t now_s);
/** Remembers; an older verdict may make room (limit "tls-verified-chains"). Any thread. */
void pn_trust_learn(struct pn_trust *trust, const struct pn_trust_verdict *verdict);
/** Borrowed; NULL when the policy has no CA set. */
X509_STORE *pn_trust_store(const struct pn_trust *trust);
