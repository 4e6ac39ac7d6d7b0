/* SPDX-License-Identifier: Apache-2.0
 *
 * Access tokens: what is believed, and what is refused with which code.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/encode.h"
#include "base/json.h"
#include "identity/jwk.h"
#include "identity/jwt.h"
#include "identity/token_verifier.h"

#define TENANT "11111111-2222-3333-4444-555555555555"
#define NOW    1800000000

static const char *const audiences[] = {"https://localhost:9443", "https://management.azure.com",
                                        NULL};
static EVP_PKEY *key, *other_key;
static struct pn_token_verifier *verifier;

static int64_t now_s(void)
{
    return NOW;
}

static int setup(void **state)
{
    unsigned char *der = NULL;
    int len;

    (void)state;
    key = EVP_RSA_gen(2048);
    other_key = EVP_RSA_gen(2048);
    assert_int_equal(pn_token_verifier_create(TENANT, now_s, &verifier), PN_OK);
    len = i2d_PUBKEY(key, &der);
    assert_int_equal(pn_token_verifier_add_key(verifier, "k1", pn_slice(der, (size_t)len), NULL),
                     PN_OK);
    OPENSSL_free(der);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    pn_token_verifier_destroy(verifier);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other_key);
    return 0;
}

static void sign(struct pn_buf *token, EVP_PKEY *with, bool pss)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *key_ctx = NULL;
    unsigned char bytes[512];
    size_t len = sizeof bytes;

    assert_int_equal(EVP_DigestSignInit(ctx, &key_ctx, EVP_sha256(), NULL, with), 1);
    if (pss) {
        EVP_PKEY_CTX_set_rsa_padding(key_ctx, RSA_PKCS1_PSS_PADDING);
        EVP_PKEY_CTX_set_rsa_pss_saltlen(key_ctx, RSA_PSS_SALTLEN_DIGEST);
    }
    assert_int_equal(
        EVP_DigestSign(ctx, bytes, &len, (const unsigned char *)token->ptr, token->len), 1);
    EVP_MD_CTX_free(ctx);
    assert_int_equal(pn_buf_append_byte(token, '.'), PN_OK);
    assert_int_equal(pn_base64url_encode(pn_slice(bytes, len), token), PN_OK);
}

static void make(struct pn_buf *token, const char *header, const char *claims, EVP_PKEY *with)
{
    pn_buf_init(token, 65536);
    assert_int_equal(pn_base64url_encode(pn_slice_str(header), token), PN_OK);
    assert_int_equal(pn_buf_append_byte(token, '.'), PN_OK);
    assert_int_equal(pn_base64url_encode(pn_slice_str(claims), token), PN_OK);
    sign(token, with, strstr(header, "PS256") != NULL);
}

#define HEADER "{\"typ\":\"JWT\",\"alg\":\"RS256\",\"kid\":\"k1\"}"
#define CLAIMS(aud, iss, nbf, exp)                                                                 \
    "{\"aud\":\"" aud "\",\"iss\":\"" iss "\",\"nbf\":" nbf ",\"exp\":" exp                        \
    ",\"oid\":\"o\",\"appid\":\"a\",\"tid\":\"" TENANT "\"}"
#define GOOD_AUD "https://localhost:9443"
#define GOOD_ISS "https://127.0.0.1:9443/" TENANT "/"

static void expect(const char *header, const char *claims, EVP_PKEY *with, const char *code)
{
    struct pn_principal principal;
    struct pn_error err = {0};
    struct pn_buf token;
    enum pn_rc rc;

    make(&token, header, claims, with);
    rc = pn_token_verify(verifier, pn_buf_slice(&token), audiences, &principal, &err);
    assert_int_equal(rc, code ? PN_DENIED : PN_OK);
    if (code) {
        assert_string_equal(err.code, code);
    } else {
        assert_string_equal(principal.object_id, "o");
        assert_string_equal(principal.app_id, "a");
        assert_string_equal(principal.tenant_id, TENANT);
    }
    pn_buf_fini(&token);
}

static void good_token_names_its_principal(void **state)
{
    (void)state;
    expect(HEADER, CLAIMS(GOOD_AUD, GOOD_ISS, "1799999990", "1800000100"), key, NULL);
    expect(HEADER, CLAIMS(GOOD_AUD "/", GOOD_ISS, "1799999990", "1800000100"), key, NULL);
    expect(HEADER,
           CLAIMS("https://management.azure.com", "https://localhost:1/" TENANT "/v2.0",
                  "1799999990.5", "1800000100.25"),
           key, NULL);
}

static void token_of_another_key_is_refused(void **state)
{
    (void)state;
    expect(HEADER, CLAIMS(GOOD_AUD, GOOD_ISS, "1799999990", "1800000100"), other_key,
           "token_signature");
    expect("{\"alg\":\"RS256\",\"kid\":\"k2\"}",
           CLAIMS(GOOD_AUD, GOOD_ISS, "1799999990", "1800000100"), key, "token_signature");
}

static void other_algorithms_are_refused(void **state)
{
    (void)state;
    expect("{\"alg\":\"none\",\"kid\":\"k1\"}",
           CLAIMS(GOOD_AUD, GOOD_ISS, "1799999990", "1800000100"), key, "token_signature");
    expect("{\"alg\":\"PS256\",\"kid\":\"k1\"}",
           CLAIMS(GOOD_AUD, GOOD_ISS, "1799999990", "1800000100"), key, "token_signature");
    expect("{\"alg\":\"RS256\",\"kid\":\"k1\",\"crit\":[\"x\"]}",
           CLAIMS(GOOD_AUD, GOOD_ISS, "1799999990", "1800000100"), key, "token_signature");
}

static void times_have_a_skew_of_five_minutes(void **state)
{
    (void)state;
    expect(HEADER, CLAIMS(GOOD_AUD, GOOD_ISS, "1700000000", "1799999701"), key, NULL);
    expect(HEADER, CLAIMS(GOOD_AUD, GOOD_ISS, "1700000000", "1799999700"), key, "token_expired");
    expect(HEADER, CLAIMS(GOOD_AUD, GOOD_ISS, "1800000300", "1900000000"), key, NULL);
    expect(HEADER, CLAIMS(GOOD_AUD, GOOD_ISS, "1800000301", "1900000000"), key,
           "token_not_yet_valid");
}

static void audience_and_issuer_must_be_ours(void **state)
{
    (void)state;
    expect(HEADER, CLAIMS("https://vault.azure.net", GOOD_ISS, "1", "1800000100"), key,
           "token_audience");
    expect(HEADER, CLAIMS(GOOD_AUD, "https://localhost:9443/other/", "1", "1800000100"), key,
           "token_issuer");
    expect(HEADER, CLAIMS(GOOD_AUD, "http://localhost:9443/" TENANT "/", "1", "1800000100"), key,
           "token_issuer");
}

static void broken_token_is_malformed_at_every_length(void **state)
{
    struct pn_principal principal;
    struct pn_error err = {0};
    struct pn_buf token;

    (void)state;
    make(&token, HEADER, CLAIMS(GOOD_AUD, GOOD_ISS, "1", "1800000100"), key);
    for (size_t len = 0; len < token.len; len++)
        assert_int_equal(
            pn_token_verify(verifier, pn_slice(token.ptr, len), audiences, &principal, &err),
            PN_DENIED);
    pn_buf_fini(&token);
}

static void bearer_scheme_has_no_case(void **state)
{
    (void)state;
    assert_true(pn_slice_eq_str(pn_bearer_token(PN_LIT("bEaReR  abc ")), "abc"));
    assert_null(pn_bearer_token(PN_LIT("Basic abc")).ptr);
    assert_null(pn_bearer_token(PN_LIT("Bearer ")).ptr);
    assert_null(pn_bearer_token(PN_LIT("")).ptr);
}

/* RFC 7515 appendix A.3: the example of ES256. */
static void es256_example_of_the_rfc_is_good_and_its_changes_are_not(void **state)
{
    static const char jwk[] =
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
        "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}";
    static const char text[] =
        "eyJhbGciOiJFUzI1NiJ9."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLm"
        "NvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-"
        "F4GawxaepmXFCgfTjDxw5djxLa8ISlSApm"
        "WQxfKTUJqPP3-Kg6NU1Q";
    json_t *document = json_loads(jwk, 0, NULL);
    EVP_PKEY *ec = pn_jwk_key(document);
    struct pn_jwt jwt;

    (void)state;
    assert_non_null(ec);
    assert_int_equal(pn_jwt_parse(pn_slice_str(text), 4096, &jwt, NULL), PN_OK);
    assert_int_equal(pn_jwt_verify(&jwt, ec, PN_JWT_ES256, NULL), PN_OK);
    assert_int_equal(pn_jwt_verify(&jwt, ec, PN_JWT_RS256 | PN_JWT_PS256, NULL), PN_UNSUPPORTED);
    assert_int_equal(pn_jwt_verify(&jwt, key, PN_JWT_ES256, NULL), PN_DENIED);
    for (size_t i = 0; i < jwt.signature_len; i++) {
        jwt.signature[i] ^= 1;
        assert_int_equal(pn_jwt_verify(&jwt, ec, PN_JWT_ES256, NULL), PN_DENIED);
        jwt.signature[i] ^= 1;
    }
    for (jwt.signature_len = 0; jwt.signature_len < 64; jwt.signature_len++)
        assert_int_equal(pn_jwt_verify(&jwt, ec, PN_JWT_ES256, NULL), PN_DENIED);
    /* All zero: the signature that some libraries took for every key (CVE-2022-21449). */
    memset(jwt.signature, 0, 64);
    jwt.signature_len = 64;
    assert_int_equal(pn_jwt_verify(&jwt, ec, PN_JWT_ES256, NULL), PN_DENIED);
    pn_jwt_fini(&jwt);
    EVP_PKEY_free(ec);
    json_decref(document);
}

static void keys_that_are_weak_or_broken_are_none(void **state)
{
    static const char *const bad[] = {
        "{}",
        "{\"kty\":\"oct\",\"k\":\"AAAA\"}",
        "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}",
        "{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
        "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}",
        /* not on the curve */
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
        "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a1\"}",
        /* for encryption */
        "{\"kty\":\"EC\",\"use\":\"enc\",\"crv\":\"P-256\","
        "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
        "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        json_t *document = json_loads(bad[i], 0, NULL);

        assert_non_null(document);
        assert_null(pn_jwk_key(document));
        json_decref(document);
    }
}

static enum pn_rc believe_all(void *ctx, const struct pn_jwt *jwt, struct pn_principal *principal,
                              struct pn_error *err)
{
    (void)jwt;
    (void)err;
    snprintf(principal->managed_by, sizeof principal->managed_by, "/subscriptions/x");
    return *(enum pn_rc *)ctx;
}

static void foreign_token_never_is_a_resource_of_ours(void **state)
{
    struct pn_principal principal;
    enum pn_rc answer = PN_OK;
    struct pn_buf token;

    (void)state;
    make(&token, HEADER, CLAIMS(GOOD_AUD, GOOD_ISS, "1", "1800000100"), key);
    pn_token_verifier_set_foreign(verifier, believe_all, &answer);
    assert_int_equal(pn_token_verify(verifier, pn_buf_slice(&token), audiences, &principal, NULL),
                     PN_OK);
    assert_string_equal(principal.managed_by, "");
    answer = PN_DENIED; /* not one of ours either, then */
    assert_int_equal(pn_token_verify(verifier, pn_buf_slice(&token), audiences, &principal, NULL),
                     PN_DENIED);
    pn_token_verifier_set_foreign(verifier, NULL, NULL);
    pn_buf_fini(&token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_token_names_its_principal),
        cmocka_unit_test(token_of_another_key_is_refused),
        cmocka_unit_test(other_algorithms_are_refused),
        cmocka_unit_test(times_have_a_skew_of_five_minutes),
        cmocka_unit_test(audience_and_issuer_must_be_ours),
        cmocka_unit_test(broken_token_is_malformed_at_every_length),
        cmocka_unit_test(bearer_scheme_has_no_case),
        cmocka_unit_test(es256_example_of_the_rfc_is_good_and_its_changes_are_not),
        cmocka_unit_test(keys_that_are_weak_or_broken_are_none),
        cmocka_unit_test(foreign_token_never_is_a_resource_of_ours),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
