/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two readers (PKCS#12, PEM) give to the common part, which chooses, checks and orders it.
 */
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "pfx/pfx.h"

#define PN_PFX_KEYS_MAX         16  /* private keys of one file */
#define PN_PFX_CERTIFICATES_MAX 256 /* that are looked through; PN_CHAIN_MAX of them are kept */
#define PN_PFX_BAGS_MAX         1024
#define PN_PFX_DEPTH_MAX        4 /* safe contents within safe contents (RFC 7292 §4.2.6) */
/* Rounds of key derivation that one file may cost, all tries together: some seconds. Exporters use
 * up to 1,000,000 for each of integrity, key and certificates. */
#define PN_PFX_ROUNDS_MAX   UINT64_C(10000000)
#define PN_PFX_KEY_ID_BYTES 64

struct pn_found_key {
    EVP_PKEY *key;
    char name[PN_FRIENDLY_NAME_MAX]; /* UTF-8; "": it has none */
};

struct pn_parts {
    struct pn_found_key keys[PN_PFX_KEYS_MAX]; /* in the file's order */
    size_t key_count;
    size_t strange_keys;           /* private keys of an algorithm that OpenSSL does not have */
    STACK_OF(X509) * certificates; /* in the file's order */
    uint64_t rounds;               /* spent so far */
    struct pn_opened *out;         /* for notes and facts */
};

/** Both fill *parts, which the caller frees. */
enum pn_rc pn_pkcs12_read(struct pn_slice file, const struct pn_passwords *passwords,
                          struct pn_parts *parts, struct pn_error *err) PN_MUST_USE;
enum pn_rc pn_pem_read(struct pn_slice file, const struct pn_passwords *passwords,
                       struct pn_parts *parts, struct pn_error *err) PN_MUST_USE;

/** Takes `key`. PN_LIMIT. */
enum pn_rc pn_parts_add_key(struct pn_parts *parts, EVP_PKEY *key, const char *name,
                            struct pn_error *err) PN_MUST_USE;
/** Takes `certificate`. PN_LIMIT, PN_NOMEM. */
enum pn_rc pn_parts_add_certificate(struct pn_parts *parts, X509 *certificate,
                                    struct pn_error *err) PN_MUST_USE;
/** The key that is meant, with its certificate first and the issuers behind it, into parts->out.
 * PN_INVALID (no_key, no_certificate, key_mismatch), PN_UNSUPPORTED, PN_LIMIT, PN_NOMEM. */
enum pn_rc pn_parts_choose(struct pn_parts *parts, struct pn_error *err) PN_MUST_USE;
/** Counts what deriving a key by `algorithm` costs, before it is done. PN_LIMIT: too much;
 *  PN_MALFORMED: parameters that cannot be read. */
enum pn_rc pn_pfx_charge(struct pn_parts *parts, const X509_ALGOR *algorithm,
                         struct pn_error *err) PN_MUST_USE;
enum pn_rc pn_pfx_charge_rounds(struct pn_parts *parts, uint64_t rounds,
                                struct pn_error *err) PN_MUST_USE;
/** "PBES2 with aes-256-cbc": appended once to parts->out->facts. */
void pn_pfx_note_encryption(struct pn_parts *parts, const X509_ALGOR *algorithm);

/** The MAC of RFC 9579 over `content`: PN_OK, PN_DENIED (not this password), else err. */
enum pn_rc pn_pbmac1_check(struct pn_parts *parts, const X509_ALGOR *algorithm,
                           const ASN1_OCTET_STRING *mac, struct pn_slice content,
                           const struct pn_password *password, struct pn_error *err) PN_MUST_USE;

enum pn_rc pn_pfx_no_memory(struct pn_error *err);
/** Whether OpenSSL's error queue names an algorithm it does not have. */
bool pn_pfx_queue_says_unsupported(void);
/** PN_UNSUPPORTED; empties the error queue. `algorithm` may be NULL. */
enum pn_rc pn_pfx_unsupported(struct pn_error *err, const char *what, const ASN1_OBJECT *algorithm);
/** The same sentence from both readers. */
enum pn_rc pn_pfx_wrong_password(struct pn_error *err, const struct pn_passwords *passwords);
