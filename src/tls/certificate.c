/* SPDX-License-Identifier: Apache-2.0
 *
 * A certificate generation: facts and DER. OpenSSL's objects of it take ten times as much memory;
 * they are made once to check it, and then again for each context that uses it.
 */
#include "tls/certificate.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "signer/signer.h"

struct pn_tls_certificate {
    atomic_size_t references;
    char name[PN_CERTIFICATE_NAME_MAX];
    uint64_t generation;
    enum pn_key_use use;
    struct pn_key_id key;
    uint8_t thumbprint[PN_SHA1_BYTES];
    char thumbprint_text[2 * PN_SHA1_BYTES + 1];
    uint8_t chain_id[PN_SHA256_BYTES];
    int64_t not_before, not_after;
    struct pn_signer *signer; /* borrowed */
    size_t chain_count;
    size_t der_bytes[PN_CHAIN_MAX];
    uint8_t *der; /* of the whole chain, one behind the other */
};

/* The chain as it is sent, and its hash. */
static enum pn_rc keep_chain(struct pn_tls_certificate *certificate,
                             const struct pn_tls_certificate_spec *spec, struct pn_error *err)
{
    size_t total = 0;

    for (size_t i = 0; i < spec->chain_count; i++) {
        if (spec->chain[i].len == 0 || spec->chain[i].len > PN_IMPORT_BYTES_MAX)
            return pn_error_set(err, PN_MALFORMED, "malformed_certificate",
                                "Number %zu of the chain of '%s' is not a DER certificate", i + 1,
                                spec->name);
        total += spec->chain[i].len;
    }
    certificate->der = malloc(total);
    if (!certificate->der)
        return pn_error_set(err, PN_NOMEM, "no_memory", "No memory for a certificate chain.");
    certificate->chain_count = spec->chain_count;
    total = 0;
    for (size_t i = 0; i < spec->chain_count; i++) {
        uint8_t so_far[2 * PN_SHA256_BYTES];

        memcpy(certificate->der + total, spec->chain[i].ptr, spec->chain[i].len);
        certificate->der_bytes[i] = spec->chain[i].len;
        total += spec->chain[i].len;
        memcpy(so_far, certificate->chain_id, PN_SHA256_BYTES);
        pn_sha256(spec->chain[i], so_far + PN_SHA256_BYTES);
        pn_sha256(pn_slice(so_far, sizeof(so_far)), certificate->chain_id);
    }
    return PN_OK;
}

/** `libctx`: whether their public keys are decoded, and by what. */
static enum pn_rc parse_chain(const struct pn_tls_certificate *certificate, OSSL_LIB_CTX *libctx,
                              struct pn_tls_material *material, struct pn_error *err)
{
    const unsigned char *cursor = certificate->der;

    material->issuers = sk_X509_new_null();
    if (!material->issuers)
        return pn_error_set(err, PN_NOMEM, "no_memory", "No memory for a certificate chain.");
    for (size_t i = 0; i < certificate->chain_count; i++) {
        const unsigned char *end = cursor + certificate->der_bytes[i];
        X509 *x509 = X509_new_ex(libctx, PN_SIGNER_PROPERTIES);

        if (!x509 || !d2i_X509(&x509, &cursor, (long)certificate->der_bytes[i]) || cursor != end) {
            X509_free(x509);
            return pn_error_from_openssl(err, PN_MALFORMED, "malformed_certificate",
                                         "Number %zu of the chain of '%s' is not a DER certificate",
                                         i + 1, certificate->name);
        }
        if (i == 0) {
            material->leaf = x509;
        } else if (!sk_X509_push(material->issuers, x509)) {
            X509_free(x509);
            return pn_error_set(err, PN_NOMEM, "no_memory", "No memory for a certificate chain.");
        }
    }
    return PN_OK;
}

static bool unix_time(const ASN1_TIME *time, int64_t *unix_s)
{
    struct tm tm;

    if (ASN1_TIME_to_tm(time, &tm) != 1)
        return false;
    *unix_s = (int64_t)timegm(&tm);
    return true;
}

static enum pn_rc read_facts(struct pn_tls_certificate *certificate, const X509 *leaf,
                             struct pn_error *err)
{
    if (!unix_time(X509_get0_notBefore(leaf), &certificate->not_before) ||
        !unix_time(X509_get0_notAfter(leaf), &certificate->not_after))
        return pn_error_set(err, PN_MALFORMED, "malformed_certificate",
                            "Certificate '%s' has a validity that is no time.", certificate->name);
    pn_sha1(pn_slice(certificate->der, certificate->der_bytes[0]), certificate->thumbprint);
    pn_hex_upper(certificate->thumbprint, PN_SHA1_BYTES, certificate->thumbprint_text);
    return PN_OK;
}

/** The leaf's key is the one that the keyholder has; with `pkey`, it is made. */
static enum pn_rc match_key(const struct pn_tls_certificate *certificate, const X509 *leaf,
                            EVP_PKEY **pkey, struct pn_error *err)
{
    enum pn_rc rc;
    unsigned char *spki = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &spki);
    struct pn_slice bytes = pn_slice(spki, len > 0 ? (size_t)len : 0);

    if (len <= 0)
        return pn_error_from_openssl(err, PN_MALFORMED, "malformed_certificate",
                                     "No public key in '%s'", certificate->name);
    rc = pkey ? pn_signer_key(certificate->signer, certificate->use, &certificate->key, bytes, pkey,
                              err)
              : pn_signer_key_check(certificate->signer, &certificate->key, bytes, err);
    if (rc != PN_OK)
        pn_error_prefix(err, "Certificate '%s'", certificate->name);
    OPENSSL_free(spki);
    return rc;
}

void pn_tls_material_fini(struct pn_tls_material *material)
{
    X509_free(material->leaf);
    sk_X509_pop_free(material->issuers, X509_free);
    EVP_PKEY_free(material->pkey);
    memset(material, 0, sizeof(*material));
}

enum pn_rc pn_tls_certificate_open(const struct pn_tls_certificate *certificate,
                                   struct pn_tls_material *material, struct pn_error *err)
{
    enum pn_rc rc;

    memset(material, 0, sizeof(*material));
    rc = parse_chain(certificate, pn_signer_libctx(certificate->signer), material, err);
    if (rc == PN_OK)
        rc = match_key(certificate, material->leaf, &material->pkey, err);
    if (rc != PN_OK)
        pn_tls_material_fini(material);
    return rc;
}

/* Whether it can be used, and what it says, without the work of decoding keys: that comes with
 * pn_tls_certificate_open(), which fails closed. */
static enum pn_rc check(struct pn_tls_certificate *certificate, struct pn_error *err)
{
    struct pn_tls_material material = {0};
    enum pn_rc rc =
        parse_chain(certificate, pn_signer_bare_libctx(certificate->signer), &material, err);

    if (rc == PN_OK)
        rc = read_facts(certificate, material.leaf, err);
    if (rc == PN_OK)
        rc = match_key(certificate, material.leaf, NULL, err);
    pn_tls_material_fini(&material);
    return rc;
}

enum pn_rc pn_tls_certificate_create(struct pn_signer *signer,
                                     const struct pn_tls_certificate_spec *spec,
                                     struct pn_tls_certificate **out, struct pn_error *err)
{
    enum pn_rc rc;
    struct pn_tls_certificate *certificate;

    if (!spec->chain_count || (spec->use != PN_USE_CLIENT && spec->use != PN_USE_SERVER &&
                               spec->use != PN_USE_MANAGEMENT))
        return pn_error_set(err, PN_INVALID, "certificate_invalid",
                            "A certificate needs a chain, and the use client or server.");
    if (strlen(spec->name) >= PN_CERTIFICATE_NAME_MAX)
        return pn_error_set(err, PN_INVALID, "certificate_invalid",
                            "A certificate's name has fewer than %d bytes.",
                            PN_CERTIFICATE_NAME_MAX);
    if (spec->chain_count > PN_CHAIN_MAX)
        return pn_error_set(err, PN_LIMIT, "too_many_certificates",
                            "The chain of '%s' has more than %d certificates.", spec->name,
                            PN_CHAIN_MAX);
    certificate = calloc(1, sizeof(*certificate));
    if (!certificate)
        return pn_error_set(err, PN_NOMEM, "no_memory", "No memory for a certificate.");
    atomic_init(&certificate->references, 1);
    memcpy(certificate->name, spec->name, strlen(spec->name));
    certificate->generation = spec->generation;
    certificate->use = spec->use;
    certificate->key = spec->key;
    certificate->signer = signer;
    rc = keep_chain(certificate, spec, err);
    if (rc == PN_OK)
        rc = check(certificate, err);
    if (rc != PN_OK) {
        pn_tls_certificate_unref(certificate);
        return rc;
    }
    *out = certificate;
    return PN_OK;
}

struct pn_tls_certificate *pn_tls_certificate_ref(struct pn_tls_certificate *certificate)
{
    atomic_fetch_add_explicit(&certificate->references, 1, memory_order_relaxed);
    return certificate;
}

void pn_tls_certificate_unref(struct pn_tls_certificate *certificate)
{
    if (!certificate ||
        atomic_fetch_sub_explicit(&certificate->references, 1, memory_order_acq_rel) != 1)
        return;
    free(certificate->der);
    free(certificate);
}

const char *pn_tls_certificate_name(const struct pn_tls_certificate *certificate)
{
    return certificate->name;
}

uint64_t pn_tls_certificate_generation(const struct pn_tls_certificate *certificate)
{
    return certificate->generation;
}

const uint8_t *pn_tls_certificate_thumbprint(const struct pn_tls_certificate *certificate)
{
    return certificate->thumbprint;
}

const uint8_t *pn_tls_certificate_chain_id(const struct pn_tls_certificate *certificate)
{
    return certificate->chain_id;
}

const char *pn_tls_certificate_thumbprint_text(const struct pn_tls_certificate *certificate)
{
    return certificate->thumbprint_text;
}

const struct pn_key_id *pn_tls_certificate_key(const struct pn_tls_certificate *certificate)
{
    return &certificate->key;
}

int64_t pn_tls_certificate_not_before(const struct pn_tls_certificate *certificate)
{
    return certificate->not_before;
}

int64_t pn_tls_certificate_not_after(const struct pn_tls_certificate *certificate)
{
    return certificate->not_after;
}

enum pn_key_use pn_tls_certificate_use(const struct pn_tls_certificate *certificate)
{
    return certificate->use;
}

bool pn_tls_certificate_equal(const struct pn_tls_certificate *a,
                              const struct pn_tls_certificate *b)
{
    if (!a || !b)
        return a == b;
    return a == b || (a->generation == b->generation && a->use == b->use &&
                      memcmp(a->chain_id, b->chain_id, sizeof(a->chain_id)) == 0 &&
                      strcmp(a->name, b->name) == 0);
}

enum pn_rc pn_tls_certificate_check_time(const struct pn_tls_certificate *certificate,
                                         int64_t now_unix_s, struct pn_error *err)
{
    char text[PN_TIME_TEXT];

    /* notAfter itself still counts: RFC 5280 §4.1.2.5 */
    if (now_unix_s > certificate->not_after) {
        pn_time_iso8601(certificate->not_after, text);
        return pn_error_set(
            err, PN_INVALID, "certificate_expired",
            "Certificate '%s' (%s) expired at %s; no connection is made with it. Upload or "
            "rotate to a new one.",
            certificate->name, certificate->thumbprint_text, text);
    }
    if (now_unix_s < certificate->not_before) {
        pn_time_iso8601(certificate->not_before, text);
        return pn_error_set(
            err, PN_INVALID, "certificate_not_yet_valid",
            "Certificate '%s' (%s) is valid from %s on; no connection is made with it "
            "before. Check the clock of this machine.",
            certificate->name, certificate->thumbprint_text, text);
    }
    return PN_OK;
}
