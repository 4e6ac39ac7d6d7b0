/* SPDX-License-Identifier: Apache-2.0
 *
 * Public keys as JSON Web Keys (RFC 7517, RFC 7518 §6, RFC 8812 §3.1), and the numbers of a private
 * one as a request brings them.
 */
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "vault/vault_key.h"

#define NUMBER_MAX 1024

static const struct {
    const char *curve, *group;
    int bytes;
} curves[] = {{"P-256", "prime256v1", 32},
              {"P-384", "secp384r1", 48},
              {"P-521", "secp521r1", 66},
              {"P-256K", "secp256k1", 32}};
#define CURVES (sizeof curves / sizeof curves[0])

/* `len` 0: as many bytes as it needs. */
static json_t *number(const EVP_PKEY *key, const char *name, int len)
{
    unsigned char bytes[NUMBER_MAX];
    BIGNUM *value = NULL;
    json_t *json = NULL;

    if (EVP_PKEY_get_bn_param(key, name, &value) == 1) {
        if (len == 0)
            len = BN_num_bytes(value);
        if (len <= NUMBER_MAX && BN_bn2binpad(value, bytes, len) == len)
            json = vault_base64url(pn_slice(bytes, (size_t)len));
    }
    BN_free(value);
    return json;
}

static json_t *jwk_of_ec(const EVP_PKEY *key)
{
    char group[32] = "";

    if (EVP_PKEY_get_group_name(key, group, sizeof group, NULL) != 1)
        return NULL;
    for (size_t i = 0; i < CURVES; i++) {
        if (strcmp(curves[i].group, group) == 0)
            return json_pack("{s:s, s:s, s:o, s:o}", "kty", "EC", "crv", curves[i].curve, "x",
                             number(key, OSSL_PKEY_PARAM_EC_PUB_X, curves[i].bytes), "y",
                             number(key, OSSL_PKEY_PARAM_EC_PUB_Y, curves[i].bytes));
    }
    return NULL;
}

static json_t *jwk_of(const EVP_PKEY *key)
{
    json_t *jwk = NULL;

    if (key && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA)
        jwk = json_pack("{s:s, s:o, s:o}", "kty", "RSA", "n", number(key, OSSL_PKEY_PARAM_RSA_N, 0),
                        "e", number(key, OSSL_PKEY_PARAM_RSA_E, 0));
    else if (key && EVP_PKEY_get_base_id(key) == EVP_PKEY_EC)
        jwk = jwk_of_ec(key);
    ERR_clear_error();
    return jwk;
}

json_t *vault_jwk_of_spki(struct pn_slice spki)
{
    const unsigned char *at = (const unsigned char *)spki.ptr;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)spki.len);
    json_t *jwk = jwk_of(key);

    EVP_PKEY_free(key);
    return jwk;
}

static json_t *jwk_of_certificate(struct pn_slice cer)
{
    struct pn_buf der;
    X509 *certificate = NULL;
    const unsigned char *at;
    json_t *jwk = NULL;

    pn_buf_init(&der, PN_IMPORT_BYTES_MAX);
    if (pn_base64_decode(cer, &der) == PN_OK) {
        at = (const unsigned char *)der.ptr;
        certificate = d2i_X509(NULL, &at, (long)der.len);
    }
    if (certificate)
        jwk = jwk_of(X509_get0_pubkey(certificate));
    if (jwk)
        json_object_set_new(jwk, "key_ops", vault_key_default_operations(jwk));
    X509_free(certificate);
    pn_buf_fini(&der);
    ERR_clear_error();
    return jwk;
}

json_t *vault_key_jwk(const struct pn_store_item *item)
{
    const json_t *properties = json_object_get(item->body, "properties");

    if (strcmp(item->type, KEY_TYPE) == 0)
        return json_deep_copy(json_object_get(properties, "key"));
    return jwk_of_certificate(pn_json_slice(properties, "cer"));
}

json_t *vault_key_default_operations(const json_t *jwk)
{
    if (pn_slice_eq_str(pn_json_slice(jwk, "kty"), "RSA"))
        return json_pack("[s, s, s, s, s, s]", "encrypt", "decrypt", "sign", "verify", "wrapKey",
                         "unwrapKey");
    return json_pack("[s, s]", "sign", "verify");
}

/* The public key of a stored JWK, for OpenSSL. NULL: it cannot be used. */
EVP_PKEY *vault_key_public(const struct pn_store_item *item)
{
    struct pn_buf der;
    const unsigned char *at;
    EVP_PKEY *key = NULL;
    bool is_key = strcmp(item->type, KEY_TYPE) == 0;

    pn_buf_init(&der, PN_IMPORT_BYTES_MAX);
    if (pn_base64_decode(is_key ? pn_json_slice(json_object_get(item->body, "internal"), "spki")
                                : pn_json_slice(json_object_get(item->body, "properties"), "cer"),
                         &der) == PN_OK) {
        at = (const unsigned char *)der.ptr;
        if (is_key) {
            key = d2i_PUBKEY(NULL, &at, (long)der.len);
        } else {
            X509 *certificate = d2i_X509(NULL, &at, (long)der.len);

            key = certificate ? X509_get_pubkey(certificate) : NULL;
            X509_free(certificate);
        }
    }
    pn_buf_fini(&der);
    ERR_clear_error();
    return key;
}

/* --- the numbers of a request --- */

void vault_key_numbers_fini(struct vault_key_numbers *numbers)
{
    for (size_t i = 0; i < VAULT_KEY_NUMBERS; i++)
        pn_buf_fini(&numbers->bytes[i]);
}

enum pn_rc vault_key_numbers_read(const json_t *jwk, struct vault_key_numbers *numbers,
                                  struct pn_error *err)
{
    static const char *const members[VAULT_KEY_NUMBERS] = {"n",  "e",  "d",  "p", "q",
                                                           "dp", "dq", "qi", "x", "y"};
    struct pn_vault_key_parts *parts = &numbers->parts;
    struct pn_slice *const slices[VAULT_KEY_NUMBERS] = {
        &parts->n,  &parts->e,  &parts->d,  &parts->p, &parts->q,
        &parts->dp, &parts->dq, &parts->qi, &parts->x, &parts->y};
    const char *type = pn_json_str(jwk, "kty"), *curve = pn_json_str(jwk, "crv");

    for (size_t i = 0; i < VAULT_KEY_NUMBERS; i++)
        pn_buf_init_secret(&numbers->bytes[i], NUMBER_MAX);
    if (!type || (strcmp(type, "RSA") != 0 && strcmp(type, "EC") != 0))
        return pn_error_set(err, PN_INVALID, "BadParameter",
                            "Property key.kty has invalid value: this vault takes RSA and EC keys "
                            "(no HSM, no oct)");
    for (size_t i = 0; i < VAULT_KEY_NUMBERS; i++) {
        struct pn_slice text = pn_json_slice(jwk, members[i]);

        if (text.len > 0 && pn_base64url_decode(text, &numbers->bytes[i]) != PN_OK)
            return pn_error_set(err, PN_INVALID, "BadParameter",
                                "Property key.%s has invalid value: base64url of at most %d bytes",
                                members[i], NUMBER_MAX);
        *slices[i] = pn_buf_slice(&numbers->bytes[i]);
    }
    parts->type = type;
    parts->curve = curve ? curve : "";
    return PN_OK;
}
