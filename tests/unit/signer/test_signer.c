/* SPDX-License-Identifier: Apache-2.0
 *
 * The provider through EVP: keys have no private part, and still sign.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/encode.h"
#include "base/metrics.h"
#include "signer/signer.h"

static struct pn_signer *signer;

/* What stands for the keyholder. */
static struct {
    EVP_PKEY *key;
    enum pn_rc answer;
    size_t signature_bytes; /* not 0: answers that many bytes of nonsense */
    enum pn_key_use use;
    struct pn_key_id id;
    enum pn_sign_algorithm algorithm;
    int calls;
} holder;

static enum pn_rc local_sign(void *ctx, enum pn_key_use use, const struct pn_key_id *key,
                             enum pn_sign_algorithm algorithm, struct pn_slice message,
                             struct pn_buf *signature, struct pn_error *err)
{
    static const char *const digests[] = {
        [PN_SIGN_RSA_PKCS1_SHA256] = "SHA256", [PN_SIGN_RSA_PKCS1_SHA384] = "SHA384",
        [PN_SIGN_RSA_PKCS1_SHA512] = "SHA512", [PN_SIGN_RSA_PKCS1_SHA1] = "SHA1",
        [PN_SIGN_RSA_PSS_SHA256] = "SHA256",   [PN_SIGN_RSA_PSS_SHA384] = "SHA384",
        [PN_SIGN_RSA_PSS_SHA512] = "SHA512",   [PN_SIGN_ECDSA_SHA256] = "SHA256",
        [PN_SIGN_ECDSA_SHA384] = "SHA384",     [PN_SIGN_ECDSA_SHA512] = "SHA512",
        [PN_SIGN_ECDSA_SHA1] = "SHA1",         [PN_SIGN_ED25519] = NULL,
    };
    unsigned char bytes[2048] = {0};
    size_t len = sizeof(bytes);
    EVP_PKEY_CTX *pctx = NULL;
    EVP_MD_CTX *md;

    (void)ctx;
    holder.calls++;
    holder.use = use;
    holder.id = *key;
    holder.algorithm = algorithm;
    if (holder.answer != PN_OK)
        return pn_error_set(err, holder.answer, "test", "No.");
    if (holder.signature_bytes)
        return pn_buf_append(signature, bytes, holder.signature_bytes);
    md = EVP_MD_CTX_new();
    assert_int_equal(
        EVP_DigestSignInit_ex(md, &pctx, digests[algorithm], NULL, NULL, holder.key, NULL), 1);
    if (algorithm >= PN_SIGN_RSA_PSS_SHA256 && algorithm <= PN_SIGN_RSA_PSS_SHA512) {
        assert_true(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) > 0);
        assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) > 0);
    }
    assert_int_equal(
        EVP_DigestSign(md, bytes, &len, (const unsigned char *)message.ptr, message.len), 1);
    EVP_MD_CTX_free(md);
    return pn_buf_append(signature, bytes, len);
}

static int setup(void **state)
{
    (void)state;
    assert_int_equal(pn_signer_create(&signer, NULL), PN_OK);
    pn_signer_bind_thread_fn(local_sign, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pn_signer_destroy(signer);
    return 0;
}

static void holder_use(EVP_PKEY *key)
{
    EVP_PKEY_free(holder.key);
    memset(&holder, 0, sizeof(holder));
    holder.key = key;
}

/* The named key of holder.key. */
static EVP_PKEY *named(enum pn_key_use use, enum pn_rc expected)
{
    unsigned char *spki = NULL;
    int len = i2d_PUBKEY(holder.key, &spki);
    struct pn_key_id id;
    EVP_PKEY *pkey = NULL;

    pn_sha256(pn_slice(spki, (size_t)len), id.sha256);
    assert_int_equal(pn_signer_key(signer, use, &id, pn_slice(spki, (size_t)len), &pkey, NULL),
                     expected);
    OPENSSL_free(spki);
    return pkey;
}

static bool sign(EVP_PKEY *pkey, const char *digest, int padding, unsigned char *out, size_t *len)
{
    EVP_PKEY_CTX *pctx = NULL;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool done = EVP_DigestSignInit_ex(md, &pctx, digest, pn_signer_libctx(signer),
                                      PN_SIGNER_PROPERTIES, pkey, NULL) == 1;

    if (done && padding)
        done = EVP_PKEY_CTX_set_rsa_padding(pctx, padding) > 0;
    if (done && padding == RSA_PKCS1_PSS_PADDING)
        done = EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) > 0;
    done = done && EVP_DigestSign(md, out, len, (const unsigned char *)"message", 7) == 1;
    EVP_MD_CTX_free(md);
    ERR_clear_error();
    return done;
}

static bool verify(const char *digest, int padding, const unsigned char *signature, size_t len)
{
    EVP_PKEY_CTX *pctx = NULL;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool done = EVP_DigestVerifyInit_ex(md, &pctx, digest, NULL, NULL, holder.key, NULL) == 1 &&
                (!padding || EVP_PKEY_CTX_set_rsa_padding(pctx, padding) > 0) &&
                EVP_DigestVerify(md, signature, len, (const unsigned char *)"message", 7) == 1;

    EVP_MD_CTX_free(md);
    return done;
}

static void every_kind_of_key_signs_with_every_hash(void **state)
{
    static const struct {
        const char *type, *param, *digest;
        int padding;
        enum pn_sign_algorithm algorithm;
    } cases[] = {
        {"RSA", NULL, "SHA256", RSA_PKCS1_PADDING, PN_SIGN_RSA_PKCS1_SHA256},
        {"RSA", NULL, "SHA384", RSA_PKCS1_PADDING, PN_SIGN_RSA_PKCS1_SHA384},
        {"RSA", NULL, "SHA512", 0, PN_SIGN_RSA_PKCS1_SHA512},
        {"RSA", NULL, "SHA1", RSA_PKCS1_PADDING, PN_SIGN_RSA_PKCS1_SHA1},
        {"RSA", NULL, "SHA256", RSA_PKCS1_PSS_PADDING, PN_SIGN_RSA_PSS_SHA256},
        {"RSA", NULL, "SHA384", RSA_PKCS1_PSS_PADDING, PN_SIGN_RSA_PSS_SHA384},
        {"RSA", NULL, "SHA512", RSA_PKCS1_PSS_PADDING, PN_SIGN_RSA_PSS_SHA512},
        {"RSA-PSS", NULL, "SHA256", RSA_PKCS1_PSS_PADDING, PN_SIGN_RSA_PSS_SHA256},
        {"EC", "P-256", "SHA256", 0, PN_SIGN_ECDSA_SHA256},
        {"EC", "P-384", "SHA384", 0, PN_SIGN_ECDSA_SHA384},
        {"EC", "P-521", "SHA512", 0, PN_SIGN_ECDSA_SHA512},
        {"EC", "P-256", "SHA1", 0, PN_SIGN_ECDSA_SHA1},
        {"ED25519", NULL, NULL, 0, PN_SIGN_ED25519},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned char signature[1024];
        size_t len = sizeof(signature);
        EVP_PKEY *pkey;
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, cases[i].type, NULL);
        EVP_PKEY *key = NULL;

        assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
        if (cases[i].param)
            assert_int_equal(EVP_PKEY_CTX_set_group_name(ctx, cases[i].param), 1);
        assert_int_equal(EVP_PKEY_generate(ctx, &key), 1);
        EVP_PKEY_CTX_free(ctx);
        holder_use(key);
        pkey = named(PN_USE_CLIENT, PN_OK);
        assert_int_equal(EVP_PKEY_get_bits(pkey), EVP_PKEY_get_bits(key));
        assert_int_equal(EVP_PKEY_get_size(pkey), EVP_PKEY_get_size(key));
        assert_int_equal(EVP_PKEY_get_security_bits(pkey), EVP_PKEY_get_security_bits(key));
        assert_true(sign(pkey, cases[i].digest, cases[i].padding, signature, &len));
        assert_int_equal(holder.algorithm, cases[i].algorithm);
        assert_int_equal(holder.use, PN_USE_CLIENT);
        assert_true(verify(cases[i].digest, cases[i].padding, signature, len));
        EVP_PKEY_free(pkey);
    }
}

static void private_part_is_never_exported(void **state)
{
    OSSL_PARAM *params = NULL;
    unsigned char *der = NULL;
    BIGNUM *number = NULL;
    EVP_PKEY *pkey;

    (void)state;
    holder_use(EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048));
    pkey = named(PN_USE_CLIENT, PN_OK);
    assert_int_not_equal(EVP_PKEY_todata(pkey, EVP_PKEY_KEYPAIR, &params), 1);
    assert_null(params);
    assert_int_equal(EVP_PKEY_todata(pkey, EVP_PKEY_PUBLIC_KEY, &params), 1);
    assert_null(OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_RSA_D));
    OSSL_PARAM_free(params);
    assert_true(i2d_PrivateKey(pkey, &der) <= 0);
    assert_int_not_equal(EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_D, &number), 1);
    assert_int_equal(EVP_PKEY_eq(pkey, holder.key), 1);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
}

static void failed_signature_leaves_its_reason(void **state)
{
    static const enum pn_rc answers[] = {PN_UNAVAILABLE, PN_TIMEOUT, PN_DENIED, PN_NOT_FOUND};
    unsigned char signature[1024];
    EVP_PKEY *pkey;

    (void)state;
    holder_use(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"));
    pkey = named(PN_USE_SERVER, PN_OK);
    for (size_t i = 0; i < 4; i++) {
        size_t len = sizeof(signature);
        int64_t before = pn_metric_get(PN_METRIC_SIGNATURES_FAILED);

        pn_signer_clear_error();
        assert_int_equal(pn_signer_last_error()->rc, PN_OK);
        holder.answer = answers[i];
        assert_false(sign(pkey, "SHA256", 0, signature, &len));
        assert_int_equal(pn_signer_last_error()->rc, answers[i]);
        assert_true(pn_metric_get(PN_METRIC_SIGNATURES_FAILED) == before + 1);
    }
    holder.answer = PN_OK;
    holder.signature_bytes = 200; /* longer than any P-256 signature */
    for (int i = 0; i < 2; i++) {
        size_t len = sizeof(signature);

        assert_false(sign(pkey, "SHA256", 0, signature, &len));
        holder.signature_bytes = 1500; /* above PN_SIGNATURE_BYTES_MAX */
    }
    EVP_PKEY_free(pkey);
}

static void thread_without_binding_signs_nothing(void **state)
{
    unsigned char signature[1024];
    size_t len = sizeof(signature);
    EVP_PKEY *pkey;

    (void)state;
    holder_use(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"));
    pkey = named(PN_USE_CLIENT, PN_OK);
    pn_signer_bind_thread(NULL);
    assert_false(sign(pkey, "SHA256", 0, signature, &len));
    assert_int_equal(pn_signer_last_error()->rc, PN_UNAVAILABLE);
    assert_int_equal(holder.calls, 0);
    pn_signer_bind_thread_fn(local_sign, NULL);
    EVP_PKEY_free(pkey);
}

static void unsuitable_keys_and_hashes_are_refused(void **state)
{
    struct pn_key_id id = {{0}};
    unsigned char signature[1024];
    size_t len = sizeof(signature);
    EVP_PKEY *pkey = NULL;
    struct pn_error err;

    (void)state;
    holder_use(EVP_PKEY_Q_keygen(NULL, NULL, "X25519"));
    assert_null(named(PN_USE_CLIENT, PN_UNSUPPORTED));
    holder_use(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "secp256k1"));
    assert_null(named(PN_USE_CLIENT, PN_UNSUPPORTED));
    assert_int_equal(pn_signer_key(signer, PN_USE_CLIENT, &id, PN_LIT("garbage"), &pkey, &err),
                     PN_INVALID);
    pn_sha256(PN_LIT("garbage"), id.sha256);
    assert_int_equal(pn_signer_key(signer, PN_USE_CLIENT, &id, PN_LIT("garbage"), &pkey, &err),
                     PN_MALFORMED);
    holder_use(EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048));
    pkey = named(PN_USE_CLIENT, PN_OK);
    assert_false(sign(pkey, "MD5", 0, signature, &len));
    assert_false(sign(pkey, "SHA1", RSA_PKCS1_PSS_PADDING, signature, &len));
    assert_false(sign(pkey, "SHA256", RSA_NO_PADDING, signature, &len));
    assert_int_equal(holder.calls, 0);
    EVP_PKEY_free(pkey);
    holder_use(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_key_signs_with_every_hash),
        cmocka_unit_test(private_part_is_never_exported),
        cmocka_unit_test(failed_signature_leaves_its_reason),
        cmocka_unit_test(thread_without_binding_signs_nothing),
        cmocka_unit_test(unsuitable_keys_and_hashes_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
