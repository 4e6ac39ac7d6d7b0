/* SPDX-License-Identifier: Apache-2.0
 *
 * A certificate chain, leaf first, each followed by its issuer. Immutable and reference-counted:
 * any thread may read it.
 */
#pragma once

#include "certs/certificate.h"

#define PN_CHAIN_MAX 16 /* certificates that one PFX, PEM file or secret may hold */

struct pn_chain;

/** Orders certificates that came in any order. The leaf is the one whose public key has
 *  `leaf_spki_sha256`; when that is NULL, the one that issued none of the others (the first of
 * several, not a CA if there is a choice). What does not belong to the leaf's chain is left out.
 *  PN_INVALID: no certificate has that key; PN_NOT_FOUND: count is 0; PN_LIMIT: above PN_CHAIN_MAX;
 *  PN_NOMEM. Takes references of its own. */
enum pn_rc pn_chain_from_certificates(struct pn_certificate *const *certificates, size_t count,
                                      const uint8_t *leaf_spki_sha256, struct pn_chain **chain,
                                      struct pn_error *err) PN_MUST_USE;
/** DER certificates that are in order already (leaf first); the order is kept, nothing left out.
 *  PN_MALFORMED names the index; PN_NOT_FOUND, PN_LIMIT, PN_NOMEM. */
enum pn_rc pn_chain_from_ders(const struct pn_slice *ders, size_t count, struct pn_chain **chain,
                              struct pn_error *err) PN_MUST_USE;
/** All "CERTIFICATE" blocks of a PEM text, ordered as above. PN_NOT_FOUND: there is none. */
enum pn_rc pn_chain_from_pem(struct pn_slice pem, const uint8_t *leaf_spki_sha256,
                             struct pn_chain **chain, struct pn_error *err) PN_MUST_USE;
struct pn_chain *pn_chain_ref(struct pn_chain *chain);
void pn_chain_unref(struct pn_chain *chain);

/** At least 1. */
size_t pn_chain_count(const struct pn_chain *chain);
/** Borrowed; 0 is the leaf. */
struct pn_certificate *pn_chain_at(const struct pn_chain *chain, size_t index);
struct pn_certificate *pn_chain_leaf(const struct pn_chain *chain);
/** The last certificate is self-signed, and each is issued by the next. */
bool pn_chain_is_complete(const struct pn_chain *chain);
/** Appends PEM blocks, leaf first. PN_LIMIT, PN_NOMEM. */
enum pn_rc pn_chain_pem(const struct pn_chain *chain, struct pn_buf *out) PN_MUST_USE;
