/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON Web Signatures in compact form (RFC 7515 §3.1, §5.2).
 */
#include "identity/jwt.h"

#include <inttypes.h>
#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/buf.h"
#include "base/encode.h"
#include "base/json.h"

#define ES256_HALF 32 /* bytes of R, and of S */

static enum pn_rc decode_object(struct pn_slice part, const char *what, size_t max, json_t **out,
                                struct pn_error *err)
{
    struct pn_buf text;
    enum pn_rc rc;

    pn_buf_init_secret(&text, max);
    rc = pn_base64url_decode(part, &text);
    if (rc != PN_OK) {
        pn_error_set(err, rc, "token_malformed", "the token's %s is not base64url", what);
        goto out;
    }
    rc = pn_json_parse(pn_buf_slice(&text), out, NULL);
    if (rc == PN_OK && !json_is_object(*out))
        rc = PN_MALFORMED;
    if (rc != PN_OK)
        pn_error_set(err, rc, "token_malformed", "the token's %s is not a JSON object", what);
out:
    pn_buf_fini(&text);
    return rc;
}

static enum pn_rc decode_signature(struct pn_slice part, struct pn_jwt *jwt, struct pn_error *err)
{
    struct pn_buf bytes;
    enum pn_rc rc;

    pn_buf_init(&bytes, sizeof jwt->signature);
    rc = pn_base64url_decode(part, &bytes);
    if (rc == PN_OK && bytes.len == 0)
        rc = PN_MALFORMED;
    if (rc != PN_OK) {
        pn_error_set(err, rc, "token_malformed", "the token's signature is not base64url");
        goto out;
    }
    memcpy(jwt->signature, bytes.ptr, bytes.len);
    jwt->signature_len = bytes.len;
out:
    pn_buf_fini(&bytes);
    return rc;
}

enum pn_rc pn_jwt_parse(struct pn_slice text, size_t max, struct pn_jwt *jwt, struct pn_error *err)
{
    struct pn_slice header, claims, signature;
    size_t first, second;
    enum pn_rc rc;

    memset(jwt, 0, sizeof *jwt);
    if (text.len > max)
        return pn_error_set(err, PN_LIMIT, "token_malformed", "the token has more than %zu bytes",
                            max);
    first = pn_slice_find(text, '.');
    header = pn_slice_sub(text, 0, first);
    claims = pn_slice_sub(text, first + 1, text.len);
    second = pn_slice_find(claims, '.');
    signature = pn_slice_sub(claims, second + 1, claims.len);
    if (first == text.len || second == claims.len || pn_slice_find(signature, '.') != signature.len)
        return pn_error_set(err, PN_MALFORMED, "token_malformed",
                            "the token does not have the three parts of a signed JWT");
    claims.len = second;
    jwt->signing_input = pn_slice_sub(text, 0, first + 1 + second);
    rc = decode_object(header, "header", max, &jwt->header, err);
    if (rc == PN_OK)
        rc = decode_object(claims, "payload", max, &jwt->claims, err);
    if (rc == PN_OK)
        rc = decode_signature(signature, jwt, err);
    return rc;
}

void pn_jwt_fini(struct pn_jwt *jwt)
{
    if (!jwt)
        return;
    json_decref(jwt->header);
    json_decref(jwt->claims);
    memset(jwt, 0, sizeof *jwt);
}

static const struct algorithm {
    const char *name, *key_type;
    unsigned bit;
} known_algorithms[] = {
    {"RS256", "RSA", PN_JWT_RS256},
    {"PS256", "RSA", PN_JWT_PS256},
    {"ES256", "EC", PN_JWT_ES256},
};

/* NULL: not one that is allowed. */
static const struct algorithm *algorithm_of(const struct pn_jwt *jwt, unsigned allowed)
{
    const char *name = pn_json_str(jwt->header, "alg");

    for (size_t i = 0; name && i < sizeof known_algorithms / sizeof known_algorithms[0]; i++) {
        if (strcmp(known_algorithms[i].name, name) == 0 && (known_algorithms[i].bit & allowed))
            return &known_algorithms[i];
    }
    return NULL;
}

/* RFC 7518 §3.4: R and S, 32 bytes each, as the DER that OpenSSL wants. 0: malformed. */
static size_t der_signature(const struct pn_jwt *jwt, unsigned char **der)
{
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r, *s;
    int len = 0;

    if (jwt->signature_len == 2 * ES256_HALF && pair) {
        r = BN_bin2bn(jwt->signature, ES256_HALF, NULL);
        s = BN_bin2bn(jwt->signature + ES256_HALF, ES256_HALF, NULL);
        if (r && s && ECDSA_SIG_set0(pair, r, s) == 1) {
            len = i2d_ECDSA_SIG(pair, der);
        } else {
            BN_free(r);
            BN_free(s);
        }
    }
    ECDSA_SIG_free(pair);
    return len > 0 ? (size_t)len : 0;
}

static bool begin_verify(EVP_MD_CTX *ctx, EVP_PKEY *key, unsigned bit)
{
    EVP_PKEY_CTX *key_ctx = NULL;

    if (!ctx || EVP_DigestVerifyInit(ctx, &key_ctx, EVP_sha256(), NULL, key) != 1)
        return false;
    if (bit == PN_JWT_ES256)
        return true;
    if (EVP_PKEY_CTX_set_rsa_padding(key_ctx, bit == PN_JWT_PS256 ? RSA_PKCS1_PSS_PADDING
                                                                  : RSA_PKCS1_PADDING) != 1)
        return false;
    return bit == PN_JWT_RS256 ||
           EVP_PKEY_CTX_set_rsa_pss_saltlen(key_ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
}

enum pn_rc pn_jwt_verify(const struct pn_jwt *jwt, EVP_PKEY *key, unsigned algorithms,
                         struct pn_error *err)
{
    const struct algorithm *algorithm = algorithm_of(jwt, algorithms);
    const unsigned char *signature = jwt->signature;
    size_t signature_len = jwt->signature_len;
    unsigned char *der = NULL;
    EVP_MD_CTX *ctx = NULL;
    enum pn_rc rc = PN_DENIED;

    if (!algorithm)
        return pn_error_set(err, PN_UNSUPPORTED, "token_signature",
                            "the token's algorithm is not RS256%s%s",
                            algorithms & PN_JWT_PS256 ? " or PS256" : "",
                            algorithms & PN_JWT_ES256 ? " or ES256" : "");
    /* RFC 7515 §4.1.11: what a header calls critical must be understood; we understand nothing. */
    if (json_object_get(jwt->header, "crit"))
        return pn_error_set(err, PN_UNSUPPORTED, "token_signature",
                            "the token has critical header members");
    if (!EVP_PKEY_is_a(key, algorithm->key_type))
        return pn_error_set(err, PN_DENIED, "token_signature",
                            "the key is not one for the token's algorithm");
    if (algorithm->bit == PN_JWT_ES256) {
        signature_len = der_signature(jwt, &der);
        signature = der;
    }
    ctx = EVP_MD_CTX_new();
    if (!begin_verify(ctx, key, algorithm->bit)) {
        rc = pn_error_from_openssl(err, PN_INTERNAL, "token_signature", "cannot check a signature");
        goto out;
    }
    if (signature_len > 0 && EVP_DigestVerify(ctx, signature, signature_len,
                                              (const unsigned char *)jwt->signing_input.ptr,
                                              jwt->signing_input.len) == 1)
        rc = PN_OK;
    else
        pn_error_set(err, rc, "token_signature", "the token's signature is wrong");
out:
    ERR_clear_error();
    OPENSSL_free(der);
    EVP_MD_CTX_free(ctx);
    return rc;
}

bool pn_jwt_date(const json_t *claims, const char *claim, int64_t *unix_s)
{
    const json_t *value = json_object_get(claims, claim);
    double number;

    if (!json_is_number(value))
        return false;
    number = json_number_value(value);
    if (!(number >= 0 && number < 9007199254740992.0))
        return false;
    *unix_s = (int64_t)number; /* cuts: it is not negative */
    return true;
}

enum pn_rc pn_jwt_check_times(const json_t *claims, int64_t now_s, struct pn_error *err)
{
    int64_t exp, nbf;

    if (!pn_jwt_date(claims, "exp", &exp))
        return pn_error_set(err, PN_DENIED, "token_malformed", "the token has no expiry");
    if (now_s >= exp + PN_JWT_SKEW_S)
        return pn_error_set(err, PN_DENIED, "token_expired",
                            "the token expired %" PRId64 " seconds ago", now_s - exp);
    if (json_object_get(claims, "nbf") &&
        (!pn_jwt_date(claims, "nbf", &nbf) || now_s + PN_JWT_SKEW_S < nbf))
        return pn_error_set(err, PN_DENIED, "token_not_yet_valid", "the token is not valid yet");
    return PN_OK;
}

EVP_PKEY *pn_public_key_from_spki(struct pn_slice spki)
{
    const unsigned char *at = (const unsigned char *)spki.ptr;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)spki.len);

    if (key && at != (const unsigned char *)spki.ptr + spki.len) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    ERR_clear_error();
    return key;
}
