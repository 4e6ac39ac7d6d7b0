/* SPDX-License-Identifier: Apache-2.0
 *
 * See support.h.
 */
#include "tls/support.h"

#include <assert.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX 32

static struct {
    struct pn_key_id id;
    EVP_PKEY *key;
} keys[KEYS_MAX];
static size_t key_count;
static enum pn_rc sign_answer = PN_OK;
static _Thread_local enum pn_key_use last_use;

static EVP_PKEY *make_key(const char *type)
{
    if (strncmp(type, "RSA:", 4) == 0)
        return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)strtoul(type + 4, NULL, 10));
    if (strncmp(type, "EC:", 3) == 0)
        return EVP_PKEY_Q_keygen(NULL, NULL, "EC", type + 3);
    return EVP_PKEY_Q_keygen(NULL, NULL, type);
}

static void add_extension(X509 *x509, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *extension;

    X509V3_set_ctx(&ctx, issuer, x509, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert(extension);
    assert(X509_add_ext(x509, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

struct test_pair test_pair_make(const struct test_spec *spec)
{
    static long serial = 1;
    struct test_pair pair = {.key = make_key(spec->key_type), .x509 = X509_new()};
    const struct test_pair *issuer = spec->issuer ? spec->issuer : &pair;
    int begin = spec->not_before_days || spec->not_after_days ? spec->not_before_days : -1;
    int end = spec->not_before_days || spec->not_after_days ? spec->not_after_days : 30;
    X509_NAME *name = X509_NAME_new();

    assert(pair.key && pair.x509 && name);
    assert(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                      (const unsigned char *)spec->common_name, -1, -1, 0) == 1);
    X509_set_version(pair.x509, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(pair.x509), serial++);
    X509_set_subject_name(pair.x509, name);
    X509_set_issuer_name(pair.x509,
                         spec->issuer ? X509_get_subject_name(spec->issuer->x509) : name);
    X509_gmtime_adj(X509_getm_notBefore(pair.x509), begin * 86400L);
    X509_gmtime_adj(X509_getm_notAfter(pair.x509), end * 86400L);
    X509_set_pubkey(pair.x509, pair.key);
    add_extension(pair.x509, issuer->x509, NID_basic_constraints,
                  spec->is_ca ? "critical,CA:TRUE" : "CA:FALSE");
    add_extension(pair.x509, issuer->x509, NID_subject_key_identifier, "hash");
    if (spec->san)
        add_extension(pair.x509, issuer->x509, NID_subject_alt_name, spec->san);
    assert(X509_sign(pair.x509, issuer->key,
                     EVP_PKEY_is_a(issuer->key, "ED25519") ? NULL : EVP_sha256()) > 0);
    X509_NAME_free(name);
    return pair;
}

void test_pair_fini(struct test_pair *pair)
{
    EVP_PKEY_free(pair->key);
    X509_free(pair->x509);
    *pair = (struct test_pair){0};
}

static struct pn_key_id register_key(EVP_PKEY *key)
{
    unsigned char *spki = NULL;
    int len = i2d_PUBKEY(key, &spki);
    struct pn_key_id id;

    assert(len > 0 && key_count < KEYS_MAX);
    pn_sha256(pn_slice(spki, (size_t)len), id.sha256);
    OPENSSL_free(spki);
    EVP_PKEY_up_ref(key);
    keys[key_count].id = id;
    keys[key_count++].key = key;
    return id;
}

struct pn_tls_certificate *test_certificate(struct pn_signer *signer, const char *name,
                                            uint64_t generation, enum pn_key_use use,
                                            const struct test_pair *pair,
                                            const struct test_pair *issuer)
{
    struct pn_tls_certificate *certificate = NULL;
    struct pn_error err = {0};
    unsigned char *leaf = NULL, *ca = NULL;
    struct pn_slice chain[2];
    struct pn_tls_certificate_spec spec = {.name = name,
                                           .generation = generation,
                                           .use = use,
                                           .key = register_key(pair->key),
                                           .chain = chain,
                                           .chain_count = issuer ? 2 : 1};

    chain[0] = pn_slice(NULL, (size_t)i2d_X509(pair->x509, &leaf));
    chain[0].ptr = (const char *)leaf;
    if (issuer) {
        chain[1] = pn_slice(NULL, (size_t)i2d_X509(issuer->x509, &ca));
        chain[1].ptr = (const char *)ca;
    }
    if (pn_tls_certificate_create(signer, &spec, &certificate, &err) != PN_OK) {
        (void)fprintf(stderr, "%s: %s\n", err.code, err.message);
        abort();
    }
    OPENSSL_free(leaf);
    OPENSSL_free(ca);
    return certificate;
}

static const EVP_MD *digest_of(enum pn_sign_algorithm algorithm)
{
    switch (algorithm) {
    case PN_SIGN_RSA_PKCS1_SHA1:
    case PN_SIGN_ECDSA_SHA1:
        return EVP_sha1();
    case PN_SIGN_RSA_PKCS1_SHA256:
    case PN_SIGN_RSA_PSS_SHA256:
    case PN_SIGN_ECDSA_SHA256:
        return EVP_sha256();
    case PN_SIGN_RSA_PKCS1_SHA384:
    case PN_SIGN_RSA_PSS_SHA384:
    case PN_SIGN_ECDSA_SHA384:
        return EVP_sha384();
    case PN_SIGN_RSA_PKCS1_SHA512:
    case PN_SIGN_RSA_PSS_SHA512:
    case PN_SIGN_ECDSA_SHA512:
        return EVP_sha512();
    case PN_SIGN_ED25519:
        return NULL;
    }
    return NULL;
}

static bool is_pss(enum pn_sign_algorithm algorithm)
{
    return algorithm == PN_SIGN_RSA_PSS_SHA256 || algorithm == PN_SIGN_RSA_PSS_SHA384 ||
           algorithm == PN_SIGN_RSA_PSS_SHA512;
}

enum pn_rc test_sign(void *ctx, enum pn_key_use use, const struct pn_key_id *key,
                     enum pn_sign_algorithm algorithm, struct pn_slice message,
                     struct pn_buf *signature, struct pn_error *err)
{
    unsigned char bytes[1024];
    size_t len = sizeof(bytes);
    EVP_PKEY *found = NULL;
    EVP_PKEY_CTX *pctx = NULL;
    EVP_MD_CTX *md;
    enum pn_rc rc = PN_INTERNAL;

    (void)ctx;
    last_use = use;
    if (sign_answer != PN_OK)
        return pn_error_set(err, sign_answer, "test", "The test does not sign.");
    for (size_t i = 0; i < key_count; i++) {
        if (memcmp(&keys[i].id, key, sizeof(*key)) == 0)
            found = keys[i].key;
    }
    if (!found)
        return pn_error_set(err, PN_NOT_FOUND, "no_key", "There is no such key.");
    md = EVP_MD_CTX_new();
    if (EVP_DigestSignInit(md, &pctx, digest_of(algorithm), NULL, found) == 1 &&
        (!is_pss(algorithm) ||
         (EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) > 0 &&
          EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) > 0)) &&
        EVP_DigestSign(md, bytes, &len, (const unsigned char *)message.ptr, message.len) == 1)
        rc = pn_buf_append(signature, bytes, len);
    EVP_MD_CTX_free(md);
    return rc;
}

void test_sign_fail(enum pn_rc rc)
{
    sign_answer = rc;
}

enum pn_key_use test_last_use(void)
{
    return last_use;
}

void test_keys_clear(void)
{
    while (key_count)
        EVP_PKEY_free(keys[--key_count].key);
    sign_answer = PN_OK;
}

struct pn_trust_roots *test_roots(const struct test_pair *ca)
{
    struct pn_trust_roots *roots = NULL;
    unsigned char *der = NULL;
    int len = i2d_X509(ca->x509, &der);

    if (pn_trust_roots_from(pn_slice(der, (size_t)len), &roots, NULL) != PN_OK)
        abort();
    OPENSSL_free(der);
    return roots;
}

struct pn_trust *test_trust(const struct test_pair *ca, bool check_chain, bool check_name)
{
    struct pn_trust_roots *roots = test_roots(ca);
    struct pn_trust *trust = NULL;

    if (pn_trust_create(roots, check_chain, check_name, &trust, NULL) != PN_OK)
        abort();
    pn_trust_roots_unref(roots);
    return trust;
}

static void must(bool is_fine)
{
    if (!is_fine)
        abort();
}

EVP_PKEY *test_forge(EVP_PKEY *public_half, EVP_PKEY *private_half)
{
    EVP_PKEY *forged = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params;
    BIGNUM *number = NULL;
    unsigned char point[133];
    size_t point_len = 0;

    must(EVP_PKEY_get_octet_string_param(public_half, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point),
                                         &point_len) == 1);
    must(EVP_PKEY_get_bn_param(private_half, OSSL_PKEY_PARAM_PRIV_KEY, &number) == 1);
    OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0);
    OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point, point_len);
    OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PRIV_KEY, number);
    params = OSSL_PARAM_BLD_to_param(builder);
    must(EVP_PKEY_fromdata_init(ctx) == 1);
    must(EVP_PKEY_fromdata(ctx, &forged, EVP_PKEY_KEYPAIR, params) == 1);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    BN_free(number);
    EVP_PKEY_CTX_free(ctx);
    return forged;
}
