/* SPDX-License-Identifier: Apache-2.0
 *
 * The public keys as a JWK set (RFC 7517): kty, use, kid, x5t, n, e, x5c.
 */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "authority/authority_internal.h"
#include "base/encode.h"
#include "identity/jwt.h"

#define NUMBER_BYTES_MAX 1024
#define TEXT_MAX         (32u * 1024)

static json_t *text_of(enum pn_rc rc, const struct pn_buf *text)
{
    return rc == PN_OK ? pn_json_from_slice(pn_buf_slice(text)) : NULL;
}

static json_t *number_text(const EVP_PKEY *key, const char *param)
{
    unsigned char bytes[NUMBER_BYTES_MAX];
    struct pn_buf text;
    BIGNUM *number = NULL;
    json_t *json = NULL;

    pn_buf_init(&text, TEXT_MAX);
    if (EVP_PKEY_get_bn_param(key, param, &number) == 1 &&
        BN_num_bytes(number) <= NUMBER_BYTES_MAX) {
        int len = BN_bn2bin(number, bytes);

        json = text_of(pn_base64url_encode(pn_slice(bytes, (size_t)len), &text), &text);
    }
    BN_free(number);
    ERR_clear_error();
    pn_buf_fini(&text);
    return json;
}

static json_t *jwk(const struct signing_key *key, const char *issuer)
{
    EVP_PKEY *public_key = pn_public_key_from_spki(pn_buf_slice(&key->spki));
    struct pn_buf text;
    json_t *json = NULL;

    pn_buf_init(&text, TEXT_MAX);
    if (public_key)
        json = json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:[o], s:s}", "kty", "RSA", "use",
                         "sig", "alg", "RS256", "kid", key->kid, "x5t", key->kid, "n",
                         number_text(public_key, OSSL_PKEY_PARAM_RSA_N), "e",
                         number_text(public_key, OSSL_PKEY_PARAM_RSA_E), "x5c",
                         text_of(pn_base64_encode(pn_buf_slice(&key->certificate), &text), &text),
                         "issuer", issuer);
    EVP_PKEY_free(public_key);
    pn_buf_fini(&text);
    return json;
}

json_t *authority_jwks(const struct pn_authority *authority, const char *issuer)
{
    json_t *keys = json_array();

    for (size_t i = 0; i < authority->key_count; i++) {
        if (json_array_append_new(keys, jwk(&authority->keys[i], issuer)) != 0) {
            json_decref(keys);
            return NULL;
        }
    }
    return json_pack("{s:o}", "keys", keys);
}
