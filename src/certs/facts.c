/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads the facts of a certificate out of OpenSSL's object, once.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509v3.h>

#include "certs/certificate_internal.h"

static enum pn_rc no_memory(struct pn_error *err)
{
    return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
}

static enum pn_rc read_bytes(struct pn_certificate *certificate, struct pn_error *err)
{
    unsigned char *der = NULL;
    unsigned char *spki = NULL;
    int der_len = i2d_X509(certificate->x509, &der);
    int spki_len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate->x509), &spki);
    enum pn_rc rc = PN_OK;

    if (der_len <= 0 || spki_len <= 0) {
        rc = pn_error_from_openssl(err, PN_MALFORMED, "not_a_certificate",
                                   "the certificate cannot be encoded");
        goto out;
    }
    certificate->der = malloc((size_t)der_len);
    certificate->spki = malloc((size_t)spki_len);
    if (!certificate->der || !certificate->spki) {
        rc = no_memory(err);
        goto out;
    }
    memcpy(certificate->der, der, (size_t)der_len);
    memcpy(certificate->spki, spki, (size_t)spki_len);
    certificate->der_len = (size_t)der_len;
    certificate->spki_len = (size_t)spki_len;
    pn_sha1(pn_certificate_der(certificate), certificate->sha1);
    pn_sha256(pn_certificate_spki(certificate), certificate->spki_sha256);
    pn_hex_upper(certificate->sha1, PN_SHA1_BYTES, certificate->thumbprint);
    pn_hex_lower(certificate->spki_sha256, PN_SHA256_BYTES, certificate->key_id);
out:
    OPENSSL_free(der);
    OPENSSL_free(spki);
    return rc;
}

/* Minutes and months arithmetic is OpenSSL's; the difference to 1970 is exact in days and seconds.
 */
static enum pn_rc to_unix(const ASN1_TIME *time, int64_t *unix_s)
{
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days = 0;
    int seconds = 0;
    bool is_good = epoch && ASN1_TIME_diff(&days, &seconds, epoch, time) == 1;

    ASN1_TIME_free(epoch);
    if (!is_good)
        return PN_MALFORMED;
    *unix_s = (int64_t)days * 86400 + seconds;
    return PN_OK;
}

static enum pn_rc read_validity(struct pn_certificate *certificate, struct pn_error *err)
{
    enum pn_rc rc = to_unix(X509_get0_notBefore(certificate->x509), &certificate->not_before);

    if (rc == PN_OK)
        rc = to_unix(X509_get0_notAfter(certificate->x509), &certificate->not_after);
    if (rc != PN_OK)
        return pn_error_from_openssl(err, rc, "not_a_certificate",
                                     "the certificate's validity is not readable");
    return PN_OK;
}

static enum pn_rc read_serial(struct pn_certificate *certificate, struct pn_error *err)
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate->x509), NULL);
    char *hex = number ? BN_bn2hex(number) : NULL;

    certificate->serial = hex ? pn_slice_dup(pn_slice_str(hex)) : NULL;
    OPENSSL_free(hex);
    BN_free(number);
    return certificate->serial ? PN_OK : no_memory(err);
}

static enum pn_rc read_common_name(struct pn_certificate *certificate, struct pn_error *err)
{
    const X509_NAME *subject = X509_get_subject_name(certificate->x509);
    int last = -1;
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    unsigned char *utf8 = NULL;
    int len = -1;

    for (; at >= 0; at = X509_NAME_get_index_by_NID(subject, NID_commonName, at))
        last = at;
    if (last >= 0)
        len = ASN1_STRING_to_UTF8(&utf8,
                                  X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, last)));
    if (len > 0 && memchr(utf8, '\0', (size_t)len))
        len = -1;
    certificate->common_name = pn_slice_dup(len > 0 ? pn_slice(utf8, (size_t)len) : PN_LIT(""));
    OPENSSL_free(utf8);
    return certificate->common_name ? PN_OK : no_memory(err);
}

static enum pn_rc read_dns(struct pn_certificate *certificate, struct pn_error *err)
{
    enum pn_rc rc = pn_name_format(X509_get_subject_name(certificate->x509), &certificate->subject);

    if (rc == PN_OK)
        rc = pn_name_format(X509_get_issuer_name(certificate->x509), &certificate->issuer);
    if (rc == PN_LIMIT)
        return pn_error_set(err, rc, "name_too_long", "the certificate's names are too long");
    if (rc != PN_OK)
        return pn_error_set(err, rc, "not_a_certificate", "the certificate's names are broken");
    return read_common_name(certificate, err);
}

static void read_curve(struct pn_certificate *certificate, const EVP_PKEY *key)
{
    static const struct {
        const char *group, *curve;
    } curves[] = {
        {"prime256v1", "P-256"},
        {"secp384r1", "P-384"},
        {"secp521r1", "P-521"},
        {"secp256k1", "P-256K"},
    };
    char group[PN_CURVE_TEXT] = "";
    size_t len = 0;

    if (EVP_PKEY_get_group_name(key, group, sizeof group, &len) != 1)
        group[0] = '\0';
    memcpy(certificate->curve, group, sizeof group);
    for (size_t i = 0; i < sizeof curves / sizeof *curves; i++)
        if (strcmp(curves[i].group, group) == 0)
            snprintf(certificate->curve, sizeof certificate->curve, "%s", curves[i].curve);
}

static void read_key(struct pn_certificate *certificate)
{
    static const struct {
        const char *name;
        enum pn_key_type type;
    } types[] = {
        {"RSA", PN_KEY_RSA},         {"RSA-PSS", PN_KEY_RSA_PSS}, {"EC", PN_KEY_EC},
        {"ED25519", PN_KEY_ED25519}, {"ED448", PN_KEY_ED448},
    };
    const EVP_PKEY *key = X509_get0_pubkey(certificate->x509);

    certificate->key_type = PN_KEY_OTHER;
    if (!key) { /* an algorithm that OpenSSL does not know */
        ERR_clear_error();
        return;
    }
    certificate->key_bits = EVP_PKEY_get_bits(key);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (EVP_PKEY_is_a(key, types[i].name))
            certificate->key_type = types[i].type;
    if (certificate->key_type == PN_KEY_EC)
        read_curve(certificate, key);
    ERR_clear_error();
}

static void read_signature(struct pn_certificate *certificate)
{
    int digest = NID_undef;
    const char *name;

    name = OBJ_nid2ln(X509_get_signature_nid(certificate->x509));
    snprintf(certificate->signature_algorithm, sizeof certificate->signature_algorithm, "%s",
             name ? name : "");
    if (X509_get_signature_info(certificate->x509, &digest, NULL, NULL, NULL) != 1 ||
        digest == NID_undef)
        name = "";
    else
        name = OBJ_nid2sn(digest);
    snprintf(certificate->signature_digest, sizeof certificate->signature_digest, "%s",
             name ? name : "");
    ERR_clear_error();
}

/* The bits of X509_get_key_usage() are in another order than RFC 5280's. */
static unsigned usage_bits(uint32_t flags)
{
    static const struct {
        uint32_t openssl;
        unsigned ours;
    } bits[] = {
        {KU_DIGITAL_SIGNATURE, PN_USAGE_DIGITAL_SIGNATURE},
        {KU_NON_REPUDIATION, PN_USAGE_NON_REPUDIATION},
        {KU_KEY_ENCIPHERMENT, PN_USAGE_KEY_ENCIPHERMENT},
        {KU_DATA_ENCIPHERMENT, PN_USAGE_DATA_ENCIPHERMENT},
        {KU_KEY_AGREEMENT, PN_USAGE_KEY_AGREEMENT},
        {KU_KEY_CERT_SIGN, PN_USAGE_KEY_CERT_SIGN},
        {KU_CRL_SIGN, PN_USAGE_CRL_SIGN},
        {KU_ENCIPHER_ONLY, PN_USAGE_ENCIPHER_ONLY},
        {KU_DECIPHER_ONLY, PN_USAGE_DECIPHER_ONLY},
    };
    unsigned result = 0;

    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++)
        if (flags & bits[i].openssl)
            result |= bits[i].ours;
    return result;
}

static void read_constraints(struct pn_certificate *certificate)
{
    X509 *x509 = certificate->x509;
    uint32_t flags;

    (void)X509_check_purpose(x509, -1, 0); /* decodes and caches every extension */
    flags = X509_get_extension_flags(x509);
    certificate->has_key_usage = (flags & EXFLAG_KUSAGE) != 0;
    if (certificate->has_key_usage)
        certificate->key_usage = usage_bits(X509_get_key_usage(x509));
    certificate->is_self_signed =
        X509_NAME_cmp(X509_get_subject_name(x509), X509_get_issuer_name(x509)) == 0 &&
        X509_get0_pubkey(x509) && X509_verify(x509, X509_get0_pubkey(x509)) == 1;
    certificate->is_ca =
        (flags & EXFLAG_CA) != 0 || ((flags & EXFLAG_V1) != 0 && certificate->is_self_signed);
    ERR_clear_error();
}

enum pn_rc pn_certificate_read_facts(struct pn_certificate *certificate, struct pn_error *err)
{
    enum pn_rc rc = read_bytes(certificate, err);

    if (rc == PN_OK)
        rc = read_validity(certificate, err);
    if (rc == PN_OK)
        rc = read_serial(certificate, err);
    if (rc == PN_OK)
        rc = read_dns(certificate, err);
    if (rc != PN_OK)
        return rc;
    read_key(certificate);
    read_signature(certificate);
    read_constraints(certificate);
    return pn_certificate_read_names(certificate, err);
}
