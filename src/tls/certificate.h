/* SPDX-License-Identifier: Apache-2.0
 *
 * One generation of a certificate as TLS needs it: chain, key handle, and the facts that name it.
 * Immutable, reference-counted, any thread. The private key is in the keyholder.
 */
#pragma once

#include <openssl/x509.h>

#include "base/encode.h"
#include "base/error.h"
#include "ipc/keyholder.h"

#define PN_CERTIFICATE_NAME_MAX 192 /* bytes, with NUL */

struct pn_signer;
struct pn_tls_certificate;

struct pn_tls_certificate_spec {
    const char *name; /* what the user calls it: "c1"; shorter than PN_CERTIFICATE_NAME_MAX */
    uint64_t generation;
    enum pn_key_use use;          /* PN_USE_CLIENT, _SERVER or _MANAGEMENT */
    struct pn_key_id key;         /* must be the leaf's public key */
    const struct pn_slice *chain; /* DER, leaf first; sent whole and in this order */
    size_t chain_count;           /* 1..PN_CHAIN_MAX */
};

/** PN_MALFORMED: not a certificate (err names which). PN_INVALID: the leaf has another public key
 * than `key`, or the spec breaks a rule above. PN_UNSUPPORTED: a kind of key that we cannot sign
 * with. PN_LIMIT: chain too long. PN_NOMEM. An expired one is no error here: see _check_time(). */
enum pn_rc pn_tls_certificate_create(struct pn_signer *signer,
                                     const struct pn_tls_certificate_spec *spec,
                                     struct pn_tls_certificate **certificate,
                                     struct pn_error *err) PN_MUST_USE;
struct pn_tls_certificate *pn_tls_certificate_ref(struct pn_tls_certificate *certificate);
void pn_tls_certificate_unref(struct pn_tls_certificate *certificate);

const char *pn_tls_certificate_name(const struct pn_tls_certificate *certificate);
uint64_t pn_tls_certificate_generation(const struct pn_tls_certificate *certificate);
/** SHA-1 of the leaf, as API Management names certificates. */
const uint8_t *pn_tls_certificate_thumbprint(const struct pn_tls_certificate *certificate);
/** PN_SHA256_BYTES: over the whole chain as it is sent, in its order. */
const uint8_t *pn_tls_certificate_chain_id(const struct pn_tls_certificate *certificate);
/** The thumbprint as 40 upper-case hex digits. */
const char *pn_tls_certificate_thumbprint_text(const struct pn_tls_certificate *certificate);
const struct pn_key_id *pn_tls_certificate_key(const struct pn_tls_certificate *certificate);
/** Unix seconds. */
int64_t pn_tls_certificate_not_before(const struct pn_tls_certificate *certificate);
int64_t pn_tls_certificate_not_after(const struct pn_tls_certificate *certificate);
/** What OpenSSL needs of a certificate. */
struct pn_tls_material {
    X509 *leaf;
    STACK_OF(X509) * issuers;
    EVP_PKEY *pkey; /* signs by the keyholder */
};
/** Made anew for each caller, who ends it with pn_tls_material_fini(): a context keeps what it was
 *  given, and of thousands of certificates few have one. PN_NOMEM, PN_INTERNAL. Any thread. */
enum pn_rc pn_tls_certificate_open(const struct pn_tls_certificate *certificate,
                                   struct pn_tls_material *material,
                                   struct pn_error *err) PN_MUST_USE;
void pn_tls_material_fini(struct pn_tls_material *material);
enum pn_key_use pn_tls_certificate_use(const struct pn_tls_certificate *certificate);
/** Whether both are one generation: name, number and whole chain. NULL equals NULL only. */
bool pn_tls_certificate_equal(const struct pn_tls_certificate *a,
                              const struct pn_tls_certificate *b);
/** Fail closed: PN_INVALID with code certificate_expired or certificate_not_yet_valid. */
enum pn_rc pn_tls_certificate_check_time(const struct pn_tls_certificate *certificate,
                                         int64_t now_unix_s, struct pn_error *err) PN_MUST_USE;
