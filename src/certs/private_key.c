/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenSSL 3.0 tries its decoders of every kind of key for EVP_PKCS82PKEY(), which takes it 0.33 ms;
 * with the kind's name it tries those of one kind: 0.09 ms. What is not read this way is left to
 * EVP_PKCS82PKEY(): other kinds of keys, and the words for what is broken.
 */
#include "certs/private_key.h"

#include <stdbool.h>

#include <openssl/crypto.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/x509.h>

/* NULL: left to EVP_PKCS82PKEY(). */
static const char *name_of(const PKCS8_PRIV_KEY_INFO *info)
{
    const ASN1_OBJECT *algorithm = NULL;

    if (PKCS8_pkey_get0(&algorithm, NULL, NULL, NULL, info) != 1)
        return NULL;
    switch (OBJ_obj2nid(algorithm)) {
    case NID_rsaEncryption:
        return "RSA";
    case NID_rsassaPss:
        return "RSA-PSS";
    case NID_X9_62_id_ecPublicKey:
        return "EC";
    case NID_ED25519:
        return "ED25519";
    default:
        return NULL;
    }
}

static EVP_PKEY *decode_as(const char *name, const unsigned char *der, size_t len)
{
    EVP_PKEY *key = NULL;
    OSSL_DECODER_CTX *ctx = OSSL_DECODER_CTX_new_for_pkey(&key, "DER", "PrivateKeyInfo", name,
                                                          EVP_PKEY_KEYPAIR, NULL, NULL);
    bool is_whole = ctx && OSSL_DECODER_from_data(ctx, &der, &len) == 1 && len == 0;

    OSSL_DECODER_CTX_free(ctx);
    if (is_whole)
        return key;
    EVP_PKEY_free(key);
    return NULL;
}

EVP_PKEY *pn_private_key_decode(const PKCS8_PRIV_KEY_INFO *info)
{
    const char *name = name_of(info);
    unsigned char *der = NULL;
    int len = name ? i2d_PKCS8_PRIV_KEY_INFO(info, &der) : 0;
    EVP_PKEY *key = NULL;

    (void)ERR_set_mark();
    if (len > 0)
        key = decode_as(name, der, (size_t)len);
    (void)ERR_pop_to_mark();
    if (len > 0)
        OPENSSL_clear_free(der, (size_t)len);
    return key ? key : EVP_PKCS82PKEY(info);
}
