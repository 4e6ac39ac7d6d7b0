/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share about a certificate.
 */
#pragma once

#include <stdatomic.h>

#include <openssl/x509.h>

#include "certs/certificate.h"

#define PN_CURVE_TEXT     32
#define PN_ALGORITHM_TEXT 64

struct pn_certificate {
    atomic_uint references;
    X509 *x509;
    uint8_t *der;
    size_t der_len;
    uint8_t *spki;
    size_t spki_len;
    uint8_t sha1[PN_SHA1_BYTES];
    uint8_t spki_sha256[PN_SHA256_BYTES];
    char thumbprint[PN_THUMBPRINT_TEXT];
    char key_id[PN_SPKI_HASH_TEXT];
    char *subject;
    char *issuer;
    char *common_name;
    char *serial;
    int64_t not_before;
    int64_t not_after;
    enum pn_key_type key_type;
    int key_bits;
    char curve[PN_CURVE_TEXT];
    char signature_algorithm[PN_ALGORITHM_TEXT];
    char signature_digest[PN_ALGORITHM_TEXT];
    bool is_ca;
    bool is_self_signed;
    bool has_key_usage;
    bool allows_client_auth;
    bool allows_server_auth;
    unsigned key_usage;
    char **ekus;
    size_t eku_count;
    struct pn_san *sans;
    char **san_texts; /* owns what sans[] points to */
    size_t san_count;
};

/** Fills all but `references` and `x509`. PN_MALFORMED, PN_LIMIT, PN_NOMEM. */
enum pn_rc pn_certificate_read_facts(struct pn_certificate *certificate,
                                     struct pn_error *err) PN_MUST_USE;
/** The subjectAltName and extendedKeyUsage members. PN_MALFORMED, PN_LIMIT, PN_NOMEM. */
enum pn_rc pn_certificate_read_names(struct pn_certificate *certificate,
                                     struct pn_error *err) PN_MUST_USE;
/** The next "CERTIFICATE" block at or behind *offset, which moves behind it. PN_NOT_FOUND. */
enum pn_rc pn_certificate_next_pem(struct pn_slice pem, size_t *offset,
                                   struct pn_certificate **certificate,
                                   struct pn_error *err) PN_MUST_USE;
