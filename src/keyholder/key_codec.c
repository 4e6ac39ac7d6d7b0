/* SPDX-License-Identifier: Apache-2.0
 *
 * Keys as bytes: PKCS#8 (RFC 5208) and SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
 */
#include <limits.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509.h>

#include "base/encode.h"
#include "certs/private_key.h"
#include "keyholder/keys.h"

enum pn_rc pn_key_id_of(const EVP_PKEY *key, struct pn_key_id *id, struct pn_buf *spki,
                        struct pn_error *err)
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(key, &der);
    enum pn_rc rc = PN_OK;

    if (len <= 0)
        return pn_error_from_openssl(err, PN_INTERNAL, "public_key", "cannot encode a public key");
    pn_sha256(pn_slice(der, (size_t)len), id->sha256);
    if (spki)
        rc = pn_buf_append(spki, der, (size_t)len);
    OPENSSL_free(der);
    return rc == PN_OK ? PN_OK : pn_error_set(err, rc, "no_memory", "no room for a public key");
}

enum pn_rc pn_key_to_pkcs8(const EVP_PKEY *key, struct pn_buf *pkcs8, struct pn_error *err)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    unsigned char *der = NULL;
    int len = info ? i2d_PKCS8_PRIV_KEY_INFO(info, &der) : 0;
    enum pn_rc rc = PN_INTERNAL;

    if (len > 0) {
        rc = pn_buf_append(pkcs8, der, (size_t)len);
        pn_wipe(der, (size_t)len);
    }
    OPENSSL_free(der);
    PKCS8_PRIV_KEY_INFO_free(info);
    if (rc == PN_OK)
        return PN_OK;
    return pn_error_from_openssl(err, rc, "private_key", "cannot encode a private key");
}

static bool is_supported_curve(const EVP_PKEY *key)
{
    static const char *const groups[] = {"prime256v1", "secp384r1", "secp521r1"};
    char group[32] = "";

    if (EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) != 1) {
        ERR_clear_error(); /* a curve by its parameters: of its maker's choice */
        return false;
    }
    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
        if (strcmp(group, groups[i]) == 0)
            return true;
    }
    return false;
}

/* What postern-import checks, once more: it may have been taken over by the file. A key that takes
 * a second for each signature is a weapon in the gateway's hand. */
static bool is_supported(const EVP_PKEY *key)
{
    int bits = EVP_PKEY_get_bits(key);

    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA:
    case EVP_PKEY_RSA_PSS:
        return bits >= (int)PN_RSA_BITS_MIN && bits <= (int)PN_RSA_BITS_MAX;
    case EVP_PKEY_EC:
        return is_supported_curve(key);
    case EVP_PKEY_ED25519:
        return true;
    default:
        return false;
    }
}

enum pn_rc pn_key_from_pkcs8(struct pn_slice pkcs8, EVP_PKEY **key, struct pn_error *err)
{
    const unsigned char *at = (const unsigned char *)pkcs8.ptr;
    PKCS8_PRIV_KEY_INFO *info = pkcs8.len > 0 && pkcs8.len <= INT_MAX
                                    ? d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)pkcs8.len)
                                    : NULL;
    EVP_PKEY *made = info ? pn_private_key_decode(info) : NULL;

    PKCS8_PRIV_KEY_INFO_free(info);
    if (!made)
        return pn_error_from_openssl(err, PN_MALFORMED, "private_key", "not a private key");
    if (!is_supported(made)) {
        EVP_PKEY_free(made);
        return pn_error_set(
            err, PN_UNSUPPORTED, "unsupported_algorithm",
            "the private key is not supported; use RSA of %u to %u bits, EC on P-256, "
            "P-384 or P-521, or Ed25519",
            PN_RSA_BITS_MIN, PN_RSA_BITS_MAX);
    }
    *key = made;
    return PN_OK;
}
