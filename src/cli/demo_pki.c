/* SPDX-License-Identifier: Apache-2.0
 *
 * Throw-away certificates for the demonstration, made in this process.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "base/file.h"
#include "base/secret.h"
#include "cli/demo.h"

#define VALIDITY_S     (90L * 86400)
#define PFX_BYTES_MAX  65536
#define PFX_ITERATIONS 10000
#define PEM_BYTES_MAX  65536
#define CLOCK_SLACK_S  300L

static enum pn_rc failed(struct pn_error *err)
{
    return pn_error_from_openssl(err, PN_INTERNAL, "openssl", "a demo certificate cannot be made");
}

static bool set_name(X509 *certificate, const char *common_name)
{
    X509_NAME *name = X509_get_subject_name(certificate);

    return X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8,
                                      (const unsigned char *)"Postern Demo", -1, -1, 0) == 1 &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common_name,
                                      -1, -1, 0) == 1;
}

static bool set_serial(X509 *certificate)
{
    unsigned char bytes[16];
    BIGNUM *number;
    bool is_good;

    pn_random(bytes, sizeof bytes);
    bytes[0] &= 0x7F;
    number = BN_bin2bn(bytes, (int)sizeof bytes, NULL);
    is_good = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
    BN_free(number);
    return is_good;
}

static bool add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *extension;
    bool is_good;

    X509V3_set_ctx(&ctx, issuer, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    is_good = extension && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return is_good;
}

static bool add_extensions(X509 *certificate, X509 *issuer, enum pn_demo_use use)
{
    bool is_good = add_extension(certificate, issuer, NID_subject_key_identifier, "hash");

    switch (use) {
    case PN_DEMO_CA:
        return is_good &&
               add_extension(certificate, issuer, NID_basic_constraints, "critical,CA:TRUE") &&
               add_extension(certificate, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
    case PN_DEMO_SERVER:
        return is_good &&
               add_extension(certificate, issuer, NID_authority_key_identifier, "keyid") &&
               add_extension(certificate, issuer, NID_ext_key_usage, "serverAuth") &&
               add_extension(certificate, issuer, NID_subject_alt_name,
                             "DNS:localhost,IP:127.0.0.1,IP:::1");
    case PN_DEMO_CLIENT:
        return is_good &&
               add_extension(certificate, issuer, NID_authority_key_identifier, "keyid") &&
               add_extension(certificate, issuer, NID_key_usage, "critical,digitalSignature") &&
               add_extension(certificate, issuer, NID_ext_key_usage, "clientAuth");
    }
    return false;
}

static void set_thumbprint(struct pn_demo_identity *identity)
{
    unsigned char digest[EVP_MAX_MD_SIZE] = {0};
    unsigned len = 0;

    if (X509_digest(identity->certificate, EVP_sha1(), digest, &len) == 1)
        pn_hex_upper(digest, PN_SHA1_BYTES, identity->thumbprint);
}

enum pn_rc pn_demo_issue(struct pn_demo_identity *identity, const struct pn_demo_identity *ca,
                         enum pn_demo_use use, const char *common_name, bool is_rsa,
                         struct pn_error *err)
{
    X509 *certificate = X509_new();
    X509 *issuer = ca ? ca->certificate : certificate;

    *identity = (struct pn_demo_identity){.certificate = certificate};
    identity->key = is_rsa ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048)
                           : EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    if (!certificate || !identity->key || X509_set_version(certificate, X509_VERSION_3) != 1 ||
        !set_serial(certificate) || !set_name(certificate, common_name) ||
        !X509_gmtime_adj(X509_getm_notBefore(certificate), -CLOCK_SLACK_S) ||
        !X509_gmtime_adj(X509_getm_notAfter(certificate), VALIDITY_S) ||
        X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) != 1 ||
        X509_set_pubkey(certificate, identity->key) != 1 ||
        !add_extensions(certificate, issuer, use) ||
        X509_sign(certificate, ca ? ca->key : identity->key, EVP_sha256()) <= 0) {
        pn_demo_identity_fini(identity);
        return failed(err);
    }
    set_thumbprint(identity);
    return PN_OK;
}

void pn_demo_identity_fini(struct pn_demo_identity *identity)
{
    EVP_PKEY_free(identity->key);
    X509_free(identity->certificate);
    *identity = (struct pn_demo_identity){0};
}

enum pn_rc pn_demo_pfx(const struct pn_demo_identity *identity, const struct pn_demo_identity *ca,
                       const char *password, struct pn_buf *base64, struct pn_error *err)
{
    STACK_OF(X509) *others = sk_X509_new_null();
    PKCS12 *pfx = NULL;
    unsigned char *der = NULL;
    int len = 0;
    enum pn_rc rc = PN_INTERNAL;

    if (others && sk_X509_push(others, ca->certificate) > 0)
        pfx = PKCS12_create(password, "postern demo", identity->key, identity->certificate, others,
                            NID_aes_256_cbc, NID_aes_256_cbc, PFX_ITERATIONS, PFX_ITERATIONS, 0);
    if (pfx)
        len = i2d_PKCS12(pfx, &der);
    if (len > 0)
        rc = pn_base64_encode(pn_slice(der, (size_t)len), base64);
    else
        rc = failed(err);
    OPENSSL_clear_free(der, len > 0 ? (size_t)len : 0);
    PKCS12_free(pfx);
    sk_X509_free(others);
    return rc;
}

static enum pn_rc write_bio(BIO *bio, const char *dir, const char *name, const char *ending,
                            mode_t mode, struct pn_error *err)
{
    char *bytes = NULL;
    long len = BIO_get_mem_data(bio, &bytes);
    char *path = NULL;
    enum pn_rc rc;

    if (len <= 0)
        return failed(err);
    if (asprintf(&path, "%s/%s.%s", dir, name, ending) < 0)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    rc = pn_file_write_atomic(path, pn_slice(bytes, (size_t)len), mode, err);
    pn_wipe(bytes, (size_t)len);
    free(path);
    return rc;
}

enum pn_rc pn_demo_write(const struct pn_demo_identity *identity, const char *dir, const char *name,
                         bool with_key, struct pn_error *err)
{
    BIO *pem = BIO_new(BIO_s_mem());
    BIO *key = BIO_new(BIO_s_mem());
    enum pn_rc rc = PN_OK;

    if (!pem || !key || PEM_write_bio_X509(pem, identity->certificate) != 1 ||
        PEM_write_bio_PKCS8PrivateKey(key, identity->key, NULL, NULL, 0, NULL, NULL) != 1)
        rc = failed(err);
    if (rc == PN_OK)
        rc = write_bio(pem, dir, name, "pem", 0644, err);
    if (rc == PN_OK && with_key)
        rc = write_bio(key, dir, name, "key", 0600, err);
    BIO_free(pem);
    BIO_free(key);
    return rc;
}
