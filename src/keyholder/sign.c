/* SPDX-License-Identifier: Apache-2.0
 *
 * Signatures by OpenSSL.
 */
#include "keyholder/sign.h"

#include <openssl/err.h>
#include <openssl/rsa.h>

#include "ipc/protocol.h"

struct scheme {
    int key_type;
    const char *digest; /* NULL: the algorithm has its own */
    int padding;
};

static bool scheme_of(enum pn_sign_algorithm algorithm, struct scheme *scheme)
{
    static const struct scheme schemes[] = {
        [PN_SIGN_RSA_PKCS1_SHA256] = {EVP_PKEY_RSA, "SHA256", RSA_PKCS1_PADDING},
        [PN_SIGN_RSA_PKCS1_SHA384] = {EVP_PKEY_RSA, "SHA384", RSA_PKCS1_PADDING},
        [PN_SIGN_RSA_PKCS1_SHA512] = {EVP_PKEY_RSA, "SHA512", RSA_PKCS1_PADDING},
        [PN_SIGN_RSA_PKCS1_SHA1] = {EVP_PKEY_RSA, "SHA1", RSA_PKCS1_PADDING},
        [PN_SIGN_RSA_PSS_SHA256] = {EVP_PKEY_RSA, "SHA256", RSA_PKCS1_PSS_PADDING},
        [PN_SIGN_RSA_PSS_SHA384] = {EVP_PKEY_RSA, "SHA384", RSA_PKCS1_PSS_PADDING},
        [PN_SIGN_RSA_PSS_SHA512] = {EVP_PKEY_RSA, "SHA512", RSA_PKCS1_PSS_PADDING},
        [PN_SIGN_ECDSA_SHA256] = {EVP_PKEY_EC, "SHA256", 0},
        [PN_SIGN_ECDSA_SHA384] = {EVP_PKEY_EC, "SHA384", 0},
        [PN_SIGN_ECDSA_SHA512] = {EVP_PKEY_EC, "SHA512", 0},
        [PN_SIGN_ECDSA_SHA1] = {EVP_PKEY_EC, "SHA1", 0},
        [PN_SIGN_ED25519] = {EVP_PKEY_ED25519, NULL, 0},
    };

    if ((size_t)algorithm >= sizeof(schemes) / sizeof(schemes[0]) ||
        schemes[algorithm].key_type == 0)
        return false;
    *scheme = schemes[algorithm];
    return true;
}

/* An RSA-PSS key (RFC 4055) does everything that RSA does but PKCS#1 v1.5. */
static bool fits(const EVP_PKEY *key, const struct scheme *scheme)
{
    int type = EVP_PKEY_get_base_id(key);

    return type == scheme->key_type ||
           (type == EVP_PKEY_RSA_PSS && scheme->padding == RSA_PKCS1_PSS_PADDING);
}

static bool set_padding(EVP_PKEY_CTX *ctx, const struct scheme *scheme)
{
    if (scheme->padding == 0)
        return true;
    if (EVP_PKEY_CTX_set_rsa_padding(ctx, scheme->padding) <= 0)
        return false;
    return scheme->padding != RSA_PKCS1_PSS_PADDING ||
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) > 0;
}

enum pn_rc pn_sign(EVP_PKEY *key, enum pn_sign_algorithm algorithm, struct pn_slice message,
                   struct pn_buf *signature, struct pn_error *err)
{
    unsigned char bytes[PN_SIGNATURE_BYTES_MAX];
    size_t len = sizeof(bytes);
    EVP_PKEY_CTX *key_ctx = NULL; /* the digest context's */
    EVP_MD_CTX *ctx = NULL;
    struct scheme scheme;
    enum pn_rc rc;

    if (!scheme_of(algorithm, &scheme) || !fits(key, &scheme))
        return pn_error_set(err, PN_INVALID, "algorithm",
                            "signature algorithm %d does not fit the key", (int)algorithm);
    ctx = EVP_MD_CTX_new();
    if (!ctx)
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    if (EVP_DigestSignInit_ex(ctx, &key_ctx, scheme.digest, NULL, NULL, key, NULL) != 1 ||
        !set_padding(key_ctx, &scheme) ||
        EVP_DigestSign(ctx, bytes, &len, (const unsigned char *)message.ptr, message.len) != 1) {
        rc = pn_error_from_openssl(err, PN_INVALID, "signing", "the key cannot sign this way");
        goto out;
    }
    rc = pn_buf_append(signature, bytes, len);
    if (rc != PN_OK)
        pn_error_set(err, rc, "no_memory", "no room for a signature");
out:
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return rc;
}

enum pn_rc pn_sign_pair_check(EVP_PKEY *key, EVP_PKEY *public_key, struct pn_error *err)
{
    static const unsigned char probe[] = "postern key pair check";
    bool has_digest = EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519;
    unsigned char bytes[PN_SIGNATURE_BYTES_MAX];
    size_t len = sizeof(bytes);
    EVP_MD_CTX *signing = EVP_MD_CTX_new();
    EVP_MD_CTX *verifying = EVP_MD_CTX_new();
    const char *digest = has_digest ? "SHA256" : NULL;
    bool is_pair =
        signing && verifying &&
        EVP_DigestSignInit_ex(signing, NULL, digest, NULL, NULL, key, NULL) == 1 &&
        EVP_DigestSign(signing, bytes, &len, probe, sizeof(probe)) == 1 &&
        EVP_DigestVerifyInit_ex(verifying, NULL, digest, NULL, NULL, public_key, NULL) == 1 &&
        EVP_DigestVerify(verifying, bytes, len, probe, sizeof(probe)) == 1;

    EVP_MD_CTX_free(signing);
    EVP_MD_CTX_free(verifying);
    ERR_clear_error();
    if (!is_pair)
        return pn_error_set(err, PN_INVALID, "key_mismatch",
                            "the certificate does not belong to the private key");
    return PN_OK;
}
