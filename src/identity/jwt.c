/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON Web Signatures in compact form (RFC 7515 §3.1, §5.2).
 */
#include "identity/jwt.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "base/buf.h"
#include "base/encode.h"
#include "base/json.h"

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

enum pn_rc pn_jwt_verify(const struct pn_jwt *jwt, EVP_PKEY *key, bool allow_pss,
                         struct pn_error *err)
{
    const char *alg = pn_json_str(jwt->header, "alg");
    bool is_pss = allow_pss && alg && strcmp(alg, "PS256") == 0;
    EVP_MD_CTX *ctx = NULL;
    EVP_PKEY_CTX *key_ctx = NULL;
    enum pn_rc rc = PN_DENIED;
    int good;

    if (!alg || (!is_pss && strcmp(alg, "RS256") != 0))
        return pn_error_set(err, PN_UNSUPPORTED, "token_signature",
                            "the token's algorithm is not %s",
                            allow_pss ? "RS256 or PS256" : "RS256");
    /* RFC 7515 §4.1.11: what a header calls critical must be understood; we understand nothing. */
    if (json_object_get(jwt->header, "crit"))
        return pn_error_set(err, PN_UNSUPPORTED, "token_signature",
                            "the token has critical header members");
    if (!EVP_PKEY_is_a(key, "RSA"))
        return pn_error_set(err, PN_DENIED, "token_signature", "the key is not an RSA key");
    ctx = EVP_MD_CTX_new();
    good = ctx && EVP_DigestVerifyInit(ctx, &key_ctx, EVP_sha256(), NULL, key) == 1 &&
           EVP_PKEY_CTX_set_rsa_padding(key_ctx,
                                        is_pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING) == 1;
    if (good && is_pss)
        good = EVP_PKEY_CTX_set_rsa_pss_saltlen(key_ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
    if (!good) {
        rc = pn_error_from_openssl(err, PN_INTERNAL, "token_signature", "cannot check a signature");
        goto out;
    }
    good = EVP_DigestVerify(ctx, jwt->signature, jwt->signature_len,
                            (const unsigned char *)jwt->signing_input.ptr, jwt->signing_input.len);
    if (good == 1)
        rc = PN_OK;
    else
        pn_error_set(err, rc, "token_signature", "the token's signature is wrong");
out:
    ERR_clear_error();
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
