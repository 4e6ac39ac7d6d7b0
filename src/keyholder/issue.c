/* SPDX-License-Identifier: Apache-2.0
 *
 * New keys and certificates.
 */
#include "keyholder/issue.h"

#include <limits.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "base/encode.h"
#include "keyholder/subject.h"

#define SERIAL_BYTES 16

enum pn_rc pn_issue_invalid(struct pn_error *err, const char *member, const char *why)
{
    pn_error_set(err, PN_INVALID, "issue", "the certificate cannot be made: %s: %s", member, why);
    return pn_error_target(err, member);
}

static enum pn_rc generate(const struct pn_issue_spec *spec, EVP_PKEY **key, struct pn_error *err)
{
    unsigned bits = spec->key_bits;

    if (spec->key_type && strcmp(spec->key_type, "RSA") == 0) {
        if (bits != 2048 && bits != 3072 && bits != 4096)
            return pn_issue_invalid(err, "key_bits", "RSA keys have 2048, 3072 or 4096 bits");
        *key = EVP_RSA_gen(bits);
    } else if (spec->key_type && strcmp(spec->key_type, "EC") == 0) {
        if (bits != 256 && bits != 384 && bits != 521)
            return pn_issue_invalid(err, "key_bits", "EC keys have 256, 384 or 521 bits");
        *key = EVP_EC_gen(bits == 256 ? "P-256" : bits == 384 ? "P-384" : "P-521");
    } else {
        return pn_issue_invalid(err, "key_type", "RSA or EC");
    }
    if (!*key)
        return pn_error_from_openssl(err, PN_INTERNAL, "issue", "cannot generate a key");
    return PN_OK;
}

/* RFC 5280 §4.1.2.2: positive, unique; 128 random bits. */
static bool set_serial(X509 *certificate)
{
    unsigned char bytes[SERIAL_BYTES];
    BIGNUM *number;
    bool is_set;

    pn_random(bytes, sizeof(bytes));
    bytes[0] &= 0x7f;
    bytes[0] |= 0x40; /* never zero, always the same length */
    number = BN_bin2bn(bytes, sizeof(bytes), NULL);
    is_set = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
    BN_free(number);
    return is_set;
}

static const EVP_MD *digest_for(const EVP_PKEY *signer)
{
    if (EVP_PKEY_get_base_id(signer) == EVP_PKEY_ED25519)
        return NULL;
    if (EVP_PKEY_get_base_id(signer) == EVP_PKEY_EC && EVP_PKEY_get_bits(signer) > 384)
        return EVP_sha512();
    if (EVP_PKEY_get_base_id(signer) == EVP_PKEY_EC && EVP_PKEY_get_bits(signer) > 256)
        return EVP_sha384();
    return EVP_sha256();
}

static enum pn_rc read_issuer(const struct pn_issue_spec *spec, const EVP_PKEY *issuer_key,
                              X509 **issuer, struct pn_error *err)
{
    const unsigned char *at = (const unsigned char *)spec->issuer_certificate.ptr;
    size_t len = spec->issuer_certificate.len;
    X509 *read = len > 0 && len <= INT_MAX ? d2i_X509(NULL, &at, (long)len) : NULL;
    EVP_PKEY *public_key = read ? X509_get0_pubkey(read) : NULL;

    ERR_clear_error();
    if (!public_key || EVP_PKEY_eq(public_key, issuer_key) != 1 || X509_check_ca(read) == 0) {
        X509_free(read);
        ERR_clear_error();
        return pn_issue_invalid(err, "issuer_certificate",
                                "it is no CA certificate of the issuing key");
    }
    *issuer = read;
    return PN_OK;
}

static enum pn_rc fill(const struct pn_issue_spec *spec, X509 *certificate, X509 *issuer,
                       EVP_PKEY *key, EVP_PKEY *signer, struct pn_error *err)
{
    X509_NAME *subject = NULL;
    enum pn_rc rc = pn_subject_parse(pn_slice_str(spec->subject), &subject, err);

    if (rc != PN_OK)
        return rc;
    if (X509_set_version(certificate, X509_VERSION_3) != 1 || !set_serial(certificate) ||
        X509_set_subject_name(certificate, subject) != 1 ||
        X509_set_issuer_name(
            certificate, issuer == certificate ? subject : X509_get_subject_name(issuer)) != 1 ||
        !ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)spec->not_before) ||
        !ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)spec->not_after) ||
        X509_set_pubkey(certificate, key) != 1)
        rc = pn_error_from_openssl(err, PN_INTERNAL, "issue", "cannot make the certificate");
    X509_NAME_free(subject);
    if (rc == PN_OK)
        rc = pn_issue_extensions(spec, certificate, issuer, err);
    if (rc == PN_OK && X509_sign(certificate, signer, digest_for(signer)) == 0)
        rc = pn_error_from_openssl(err, PN_INTERNAL, "issue", "cannot sign the certificate");
    return rc;
}

enum pn_rc pn_issue(const struct pn_issue_spec *spec, EVP_PKEY *issuer_key,
                    struct pn_bundle *bundle, struct pn_error *err)
{
    return pn_issue_for(spec, issuer_key, NULL, bundle, err);
}

enum pn_rc pn_issue_for(const struct pn_issue_spec *spec, EVP_PKEY *issuer_key, EVP_PKEY *own_key,
                        struct pn_bundle *bundle, struct pn_error *err)
{
    struct pn_bundle made = {
        .format = PN_FILE_PEM, .is_private = spec->is_private, .chain = sk_X509_new_null()};
    X509 *certificate = X509_new();
    X509 *issuer = NULL;
    enum pn_rc rc = PN_OK;

    if (!made.chain || !certificate)
        rc = pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    if (rc == PN_OK && spec->not_before >= spec->not_after)
        rc = pn_issue_invalid(err, "not_after", "it is not after not_before");
    if (rc == PN_OK && issuer_key)
        rc = read_issuer(spec, issuer_key, &issuer, err);
    if (rc == PN_OK && own_key && EVP_PKEY_up_ref(own_key) == 1)
        made.key = own_key;
    else if (rc == PN_OK)
        rc = generate(spec, &made.key, err);
    if (rc == PN_OK)
        rc = fill(spec, certificate, issuer ? issuer : certificate, made.key,
                  issuer_key ? issuer_key : made.key, err);
    if (rc == PN_OK && sk_X509_push(made.chain, certificate)) {
        certificate = NULL;
        if (issuer && sk_X509_push(made.chain, issuer))
            issuer = NULL;
    }
    if (rc == PN_OK && (certificate || issuer))
        rc = pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    X509_free(certificate);
    X509_free(issuer);
    if (rc != PN_OK)
        pn_bundle_fini(&made);
    else
        *bundle = made;
    return rc;
}
