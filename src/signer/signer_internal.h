/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of the provider share: the key object and the thread's binding.
 */
#pragma once

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <stdatomic.h>

#include "signer/signer.h"

/* Our own import parameters, beside OpenSSL's for the public part. */
#define PN_SIGNER_PARAM_USE    "postern-use"    /* unsigned int: enum pn_key_use */
#define PN_SIGNER_PARAM_KEY_ID "postern-key-id" /* 32 bytes */

enum pn_signer_kind { PN_SIGNER_RSA, PN_SIGNER_RSA_PSS, PN_SIGNER_EC, PN_SIGNER_ED25519 };

/* A key as the provider sees it. The public half is an ordinary key of the process' default library
 * context, so that every fact about it (size, group, modulus) is OpenSSL's own. */
struct pn_signer_keydata {
    enum pn_signer_kind kind;
    EVP_PKEY *public_half;
    bool can_sign; /* has a name in the keyholder; false for a mere public key */
    enum pn_key_use use;
    struct pn_key_id key;
};

/* Functions for "TLS13-KDF" in the place of the default provider's: secrets.c. Called once. */
const OSSL_DISPATCH *pn_signer_watched_kdf(const OSSL_DISPATCH *original);

/* The part of OpenSSL's default provider that TLS needs, as a provider: standard.c. */
#define PN_SIGNER_STANDARD_NAME "postern-standard"
int pn_signer_standard_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in,
                            const OSSL_DISPATCH **out, void **provctx);

extern const OSSL_ALGORITHM pn_signer_keymgmt_algorithms[];
extern const OSSL_ALGORITHM pn_signer_signature_algorithms[];

/** Asks whom this thread is bound to; counts; remembers the error. */
enum pn_rc pn_signer_sign(const struct pn_signer_keydata *key, enum pn_sign_algorithm algorithm,
                          struct pn_slice message, struct pn_buf *signature);
/** Remembers an error that is not the keyholder's. */
enum pn_rc pn_signer_fail(enum pn_rc rc, const char *code, const char *sentence);
