/* SPDX-License-Identifier: Apache-2.0
 *
 * The master key, and authenticated encryption under it.
 *
 *   sealed = "PNS1" · nonce (12 random bytes) · AES-256-GCM ciphertext · tag (16)
 *   AAD    = "PNS1" · u32 length of domain · domain · context
 *
 * Domains outside of the keyholder: "feed", "vault", "store". Its own, never to be asked for: "key"
 * (kept keys), "blob" (key and chain for the store), "check" (the key-check value). See
 * docs/adr/0021-sealing.md.
 */
#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/secret.h"

#define PN_SEAL_OVERHEAD 32u

struct pn_master {
    struct pn_secret key;
};

/** Opens the master key. `source` NULL: FOLDER/master.key, made when the folder is new; else
 * FOLDER/master.wrapped, which is made likewise and opens with what the source holds
 * (master_source.h). PN_INVALID: it is not the key that
 * this folder was sealed with, or it is missing (wrong_master_key, master_key_missing). PN_IO,
 * PN_NOMEM. */
enum pn_rc pn_master_open(const char *folder, const char *source, struct pn_master *master,
                          struct pn_error *err) PN_MUST_USE;
/** Seals the master key by another source (NULL: it lies in the folder again). One file is
 * replaced: killed at any moment, the folder opens with the former source or with the new one. What
 * is sealed under the master key stays as it is. Errors as pn_master_open. */
enum pn_rc pn_master_reseal(const char *folder, const char *from, const char *to,
                            struct pn_error *err) PN_MUST_USE;
void pn_master_fini(struct pn_master *master);

/** Appends to *sealed. PN_LIMIT, PN_NOMEM, PN_INTERNAL. Any thread. */
enum pn_rc pn_seal(const struct pn_master *master, struct pn_slice domain, struct pn_slice context,
                   struct pn_slice plain, struct pn_buf *sealed) PN_MUST_USE;
/** Appends to *plain, which must be secret. PN_DENIED: changed, or of another domain, context or
 * key. */
enum pn_rc pn_unseal(const struct pn_master *master, struct pn_slice domain,
                     struct pn_slice context, struct pn_slice sealed,
                     struct pn_buf *plain) PN_MUST_USE;
