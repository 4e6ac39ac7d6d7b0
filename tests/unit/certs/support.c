/* SPDX-License-Identifier: Apache-2.0
 *
 * See support.h.
 */
#include "unit/certs/support.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/x509v3.h>

#define YEAR_2026 1767225600
#define YEAR_2036 2082758400

static EVP_PKEY *make_key(const char *what)
{
    EVP_PKEY *key = NULL;

    if (!what)
        what = "EC:P-256";
    if (strncmp(what, "RSA:", 4) == 0)
        key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)strtoul(what + 4, NULL, 10));
    else if (strncmp(what, "EC:", 3) == 0)
        key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", what + 3);
    else
        key = EVP_PKEY_Q_keygen(NULL, NULL, what);
    assert(key);
    return key;
}

static void add_extension(X509 *x509, X509V3_CTX *ctx, int nid, const char *value)
{
    X509_EXTENSION *extension;

    if (!value)
        return;
    extension = X509V3_EXT_conf_nid(NULL, ctx, nid, value);
    assert(extension);
    assert(X509_add_ext(x509, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

X509 *test_make(const struct test_certificate *what, EVP_PKEY **key)
{
    X509 *x509 = X509_new();
    X509_NAME *name = X509_NAME_new();
    const EVP_MD *digest = EVP_get_digestbyname(what->digest ? what->digest : "SHA256");
    X509V3_CTX ctx;

    if (!*key)
        *key = make_key(what->key);
    assert(x509 && name);
    assert(X509_set_version(x509, X509_VERSION_3) == 1);
    assert(ASN1_INTEGER_set(X509_get_serialNumber(x509), 0x0badcafe) == 1);
    assert(ASN1_TIME_set(X509_getm_notBefore(x509),
                         (time_t)(what->not_before ? what->not_before : YEAR_2026)));
    assert(ASN1_TIME_set(X509_getm_notAfter(x509),
                         (time_t)(what->not_after ? what->not_after : YEAR_2036)));
    for (size_t i = 0; what->name && what->name[i]; i += 2) {
        const char *value = what->name[i + 1];
        int set = value[0] == '+' ? -1 : 0;

        assert(X509_NAME_add_entry_by_txt(name, what->name[i], MBSTRING_UTF8,
                                          (const unsigned char *)value + (set ? 1 : 0), -1, -1,
                                          set) == 1);
    }
    assert(X509_set_subject_name(x509, name) == 1);
    assert(X509_set_issuer_name(x509, what->issuer ? X509_get_subject_name(what->issuer) : name));
    assert(X509_set_pubkey(x509, *key) == 1);
    X509V3_set_ctx(&ctx, what->issuer ? what->issuer : x509, x509, NULL, NULL, 0);
    add_extension(x509, &ctx, NID_basic_constraints, what->constraints);
    add_extension(x509, &ctx, NID_key_usage, what->usage);
    add_extension(x509, &ctx, NID_ext_key_usage, what->eku);
    add_extension(x509, &ctx, NID_subject_alt_name, what->san);
    if (EVP_PKEY_is_a(*key, "ED25519") && !what->issuer)
        digest = NULL;
    assert(X509_sign(x509, what->issuer ? what->issuer_key : *key, digest) > 0);
    X509_NAME_free(name);
    return x509;
}

struct pn_certificate *test_wrap(X509 *x509)
{
    struct pn_certificate *certificate = NULL;

    assert(pn_certificate_from_x509(x509, &certificate, NULL) == PN_OK);
    return certificate;
}
