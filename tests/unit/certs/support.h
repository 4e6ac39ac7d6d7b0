/* SPDX-License-Identifier: Apache-2.0
 *
 * Throw-away certificates for the tests of this room, made at run time.
 */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "certs/chain.h"

struct test_certificate {
    const char *key;         /* "RSA:1024", "EC:P-256", "ED25519"; NULL: EC:P-256 */
    const char *digest;      /* NULL: SHA256 */
    const char *const *name; /* pairs of short name and value, NULL-ended; a value that starts with
                                '+' belongs to the RDN before it */
    const char *eku, *san, *usage, *constraints; /* in OpenSSL's configuration form, or NULL */
    int64_t not_before, not_after;               /* 0: 2026-01-01 and 2036-01-01 */
    X509 *issuer;                                /* NULL: self-signed */
    EVP_PKEY *issuer_key;
};

/** Asserts on failure. *key may be NULL on entry (then one is made); the caller frees both. */
X509 *test_make(const struct test_certificate *what, EVP_PKEY **key);
struct pn_certificate *test_wrap(X509 *x509);
