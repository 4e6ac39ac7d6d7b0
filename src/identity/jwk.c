/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON Web Keys. See jwk.h.
 */
#include "identity/jwk.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <string.h>

#include "base/buf.h"
#include "base/encode.h"
#include "base/json.h"

#define MODULUS_MAX  1024 /* bytes */
#define EXPONENT_MAX 8    /* a large one would make each check slow */
#define P256_BYTES   32
#define P256_POINT   (1 + 2 * P256_BYTES) /* uncompressed: 04, x, y */
#define UNCOMPRESSED 0x04

static BIGNUM *number_of(const json_t *jwk, const char *member, size_t max)
{
    struct pn_buf bytes;
    BIGNUM *number = NULL;

    pn_buf_init(&bytes, max);
    if (pn_base64url_decode(pn_json_slice(jwk, member), &bytes) == PN_OK && bytes.len > 0)
        number = BN_bin2bn((const unsigned char *)bytes.ptr, (int)bytes.len, NULL);
    pn_buf_fini(&bytes);
    return number;
}

/* Takes `params`. */
static EVP_PKEY *make_key(const char *type, OSSL_PARAM *params)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;

    if (ctx && params && EVP_PKEY_fromdata_init(ctx) == 1 &&
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return key;
}

static EVP_PKEY *rsa_key(const json_t *jwk)
{
    BIGNUM *n = number_of(jwk, "n", MODULUS_MAX);
    BIGNUM *e = number_of(jwk, "e", EXPONENT_MAX);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    EVP_PKEY *key = NULL;

    if (n && e && build && BN_num_bits(n) >= PN_JWK_RSA_BITS_MIN && BN_is_odd(e) && !BN_is_one(e) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1)
        params = OSSL_PARAM_BLD_to_param(build);
    if (params)
        key = make_key("RSA", params);
    OSSL_PARAM_BLD_free(build);
    BN_free(n);
    BN_free(e);
    return key;
}

/* RFC 7518 §6.2.1.2: a coordinate has all 32 bytes. */
static bool read_coordinate(const json_t *jwk, const char *member, uint8_t out[P256_BYTES])
{
    struct pn_buf bytes;
    bool is_whole;

    pn_buf_init(&bytes, P256_BYTES);
    is_whole =
        pn_base64url_decode(pn_json_slice(jwk, member), &bytes) == PN_OK && bytes.len == P256_BYTES;
    if (is_whole)
        memcpy(out, bytes.ptr, P256_BYTES);
    pn_buf_fini(&bytes);
    return is_whole;
}

/* OpenSSL refuses a point that is not on the curve. */
static EVP_PKEY *ec_key(const json_t *jwk)
{
    const char *curve = pn_json_str(jwk, "crv");
    uint8_t point[P256_POINT] = {UNCOMPRESSED};
    OSSL_PARAM_BLD *build;
    OSSL_PARAM *params = NULL;

    if (!curve || strcmp(curve, "P-256") != 0 || !read_coordinate(jwk, "x", point + 1) ||
        !read_coordinate(jwk, "y", point + 1 + P256_BYTES))
        return NULL;
    build = OSSL_PARAM_BLD_new();
    if (build &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point) == 1)
        params = OSSL_PARAM_BLD_to_param(build);
    OSSL_PARAM_BLD_free(build);
    return params ? make_key("EC", params) : NULL;
}

EVP_PKEY *pn_jwk_key(const json_t *jwk)
{
    const char *type = pn_json_str(jwk, "kty");
    const char *use = pn_json_str(jwk, "use");
    EVP_PKEY *key = NULL;

    if (use && strcmp(use, "sig") != 0)
        return NULL;
    if (type && strcmp(type, "RSA") == 0)
        key = rsa_key(jwk);
    else if (type && strcmp(type, "EC") == 0)
        key = ec_key(jwk);
    ERR_clear_error();
    return key;
}
