/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two readers (PKCS#12, PEM) give to the common part, which checks and orders it.
 */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "pfx/pfx.h"

struct pn_parts {
    EVP_PKEY *key;                 /* NULL: the file has none */
    STACK_OF(X509) * certificates; /* in the file's order */
};

/** Both fill *parts, which the caller frees. `password` is NUL-terminated, or NULL: none given. */
enum pn_rc pn_pkcs12_read(struct pn_slice file, const char *password, struct pn_parts *parts,
                          struct pn_error *err) PN_MUST_USE;
enum pn_rc pn_pem_read(struct pn_slice file, const char *password, struct pn_parts *parts,
                       struct pn_error *err) PN_MUST_USE;

enum pn_rc pn_pfx_no_memory(struct pn_error *err);
/** Whether OpenSSL's error queue names an algorithm it does not have. */
bool pn_pfx_queue_says_unsupported(void);
/** The same sentence from both readers. */
enum pn_rc pn_pfx_wrong_password(struct pn_error *err, const char *password);
