/* SPDX-License-Identifier: Apache-2.0
 *
 * A private key with its certificates: what comes out of an import or an issue, goes into a sealed
 * blob for the store, and is exported as a file.
 */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "ipc/keyholder.h"
#include "keyholder/seal.h"

struct pn_bundle {
    int format;      /* PN_FILE_PKCS12 or PN_FILE_PEM: of the file it came from */
    bool is_private; /* the key is used here, and exported to nobody */
    EVP_PKEY *key;
    STACK_OF(X509) * chain;     /* leaf first */
    struct pn_file_facts facts; /* of that file; not kept */
};

void pn_bundle_fini(struct pn_bundle *bundle);
/** From DER parts; checks once more that leaf and key belong together. Fills *bundle only when
 * PN_OK. */
enum pn_rc pn_bundle_make(int format, struct pn_slice pkcs8, const struct pn_slice *chain,
                          size_t count, struct pn_bundle *bundle, struct pn_error *err) PN_MUST_USE;

/** The blob for the store, appended: sealed in the domain "blob", bound to `context`. */
enum pn_rc pn_bundle_seal(const struct pn_bundle *bundle, const struct pn_master *master,
                          struct pn_slice context, struct pn_buf *sealed,
                          struct pn_error *err) PN_MUST_USE;
/** PN_DENIED: not sealed here, changed, or of another context. */
enum pn_rc pn_bundle_unseal(const struct pn_master *master, struct pn_slice context,
                            struct pn_slice sealed, struct pn_bundle *bundle,
                            struct pn_error *err) PN_MUST_USE;
/** Appends a PKCS#12 with an empty password (AES-256, SHA-256) or PEM (PKCS#8 key, then the chain)
 * to a secret buffer. PN_DENIED: the key is private. */
enum pn_rc pn_bundle_export(const struct pn_bundle *bundle, int format, struct pn_buf *out,
                            struct pn_error *err) PN_MUST_USE;
