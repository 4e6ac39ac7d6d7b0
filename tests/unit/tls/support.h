/* SPDX-License-Identifier: Apache-2.0
 *
 * For the tests of tls/: throw-away certificates made at run time, a signer that uses local keys
 * through the signer's seam, and plain OpenSSL peers.
 */
#pragma once

#include <openssl/ssl.h>

#include "signer/signer.h"
#include "tls/certificate.h"
#include "tls/session.h"

struct test_pair {
    EVP_PKEY *key;
    X509 *x509;
};

struct test_spec {
    const char *common_name;
    const char *san;                /* "DNS:localhost" or NULL */
    const char *key_type;           /* "RSA:2048", "EC:P-256", "ED25519" */
    const struct test_pair *issuer; /* NULL: self-signed */
    bool is_ca;
    int not_before_days, not_after_days; /* from now; both 0: -1 .. 30 */
};

struct test_pair test_pair_make(const struct test_spec *spec);
void test_pair_fini(struct test_pair *pair);

/** The public half of one key with the private half of another: it passes for the first one's, and
 *  signs as the second. EC P-256; the caller frees it. */
EVP_PKEY *test_forge(EVP_PKEY *public_half, EVP_PKEY *private_half);

/** A certificate whose key the seam finds: keys are registered until test_keys_clear(). */
struct pn_tls_certificate *test_certificate(struct pn_signer *signer, const char *name,
                                            uint64_t generation, enum pn_key_use use,
                                            const struct test_pair *pair,
                                            const struct test_pair *issuer);
/** Bind by pn_signer_bind_thread_fn(test_sign, NULL). */
enum pn_rc test_sign(void *ctx, enum pn_key_use use, const struct pn_key_id *key,
                     enum pn_sign_algorithm algorithm, struct pn_slice message,
                     struct pn_buf *signature, struct pn_error *err);
/** What test_sign answers instead of signing; PN_OK: it signs. */
void test_sign_fail(enum pn_rc rc);
enum pn_key_use test_last_use(void);
void test_keys_clear(void);

/** A set of this one CA; the caller's. */
struct pn_trust_roots *test_roots(const struct test_pair *ca);
struct pn_trust *test_trust(const struct test_pair *ca, bool check_chain, bool check_name);
