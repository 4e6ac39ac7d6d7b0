/* SPDX-License-Identifier: Apache-2.0
 *
 * The token endpoint: who gets a token, and how the others are refused.
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

#include "authority/support.h"
#include "identity/roles.h"

#define V2          "/" TENANT "/oauth2/v2.0/token"
#define V1          "/" TENANT "/oauth2/token"
#define ADFS        "/adfs/oauth2/token"
#define ARM_SCOPE   "scope=https://localhost:9443/.default"
#define SECRET_FORM "correct+horse+battery+staple"
#define ASSERTION_TYPE                                                                             \
    "client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

static void post(struct house *house, const char *path, const char *form, const char *peer,
                 struct answer *answer)
{
    ask(house, "POST", path, "client-request-id=x", form, NULL, peer, answer);
}

static void expect_error(const struct answer *answer, int status, const char *error, int code)
{
    assert_int_equal(answer->response.status, status);
    assert_string_equal(pn_json_str(answer->json, "error"), error);
    assert_int_equal(
        json_integer_value(json_array_get(json_object_get(answer->json, "error_codes"), 0)), code);
    assert_non_null(strstr(pn_json_str(answer->json, "error_description"), "AADSTS"));
}

static void verify(struct house *house, const struct answer *answer, const char *audience)
{
    const char *const audiences[] = {audience, NULL};
    struct pn_principal principal;
    struct pn_error err = {0};

    assert_int_equal(answer->response.status, 200);
    assert_int_equal(pn_token_verify(pn_authority_verifier(house->authority),
                                     pn_json_slice(answer->json, "access_token"), audiences,
                                     &principal, &err),
                     PN_OK);
    assert_string_equal(principal.object_id, house->object_id);
    assert_string_equal(principal.app_id, house->client_id);
    assert_string_equal(pn_json_str(answer->json, "token_type"), "Bearer");
}

static void secret_gets_a_token_at_all_three_endpoints(void **state)
{
    struct house *house = *state;
    struct answer answer;
    char form[512];

    snprintf(form, sizeof form,
             "grant_type=client_credentials&client_id=%s&client_secret=" SECRET_FORM "&" ARM_SCOPE,
             house->client_id);
    post(house, V2, form, NULL, &answer);
    verify(house, &answer, ORIGIN);
    assert_int_equal(pn_json_int(answer.json, "expires_in", 0), PN_TOKEN_LIFETIME_S);
    answer_fini(&answer);
    post(house, ADFS, form, NULL, &answer);
    verify(house, &answer, ORIGIN);
    answer_fini(&answer);
    snprintf(form, sizeof form,
             "grant_type=client_credentials&client_id=%s&client_secret=" SECRET_FORM
             "&resource=https%%3A%%2F%%2Fvault.localhost%%3A9444",
             house->client_id);
    post(house, V1, form, NULL, &answer);
    verify(house, &answer, VAULT_AUDIENCE);
    assert_string_equal(pn_json_str(answer.json, "resource"), VAULT_AUDIENCE);
    assert_string_equal(pn_json_str(answer.json, "expires_on"), "1800003599");
    answer_fini(&answer);
}

static void secret_may_come_as_basic_authorization(void **state)
{
    struct house *house = *state;
    struct answer answer;
    struct pn_buf header;
    char text[256];

    snprintf(text, sizeof text, "%s:" SECRET_FORM, house->client_id);
    pn_buf_init(&header, 1024);
    assert_int_equal(pn_buf_append_str(&header, "Basic "), PN_OK);
    assert_int_equal(pn_base64_encode(pn_slice_str(text), &header), PN_OK);
    ask(house, "POST", V2, "", "grant_type=client_credentials&" ARM_SCOPE, pn_buf_str(&header),
        NULL, &answer);
    verify(house, &answer, ORIGIN);
    answer_fini(&answer);
    pn_buf_fini(&header);
}

static void default_suffix_alone_is_cut_off_the_scope(void **state)
{
    struct house *house = *state;
    struct answer answer;
    char form[512];

    snprintf(form, sizeof form,
             "grant_type=client_credentials&client_id=%s&client_secret=" SECRET_FORM
             "&scope=https%%3A%%2F%%2Flocalhost%%3A9443%%2Fmsgraph%%2F%%2F.default",
             house->client_id);
    post(house, V2, form, NULL, &answer);
    verify(house, &answer, ORIGIN "/msgraph/");
    answer_fini(&answer);
}

static void wrong_secret_and_unknown_application_are_refused(void **state)
{
    struct house *house = *state;
    struct answer answer;
    char form[512];

    snprintf(form, sizeof form,
             "grant_type=client_credentials&client_id=%s&client_secret=wrong&" ARM_SCOPE,
             house->client_id);
    post(house, V2, form, NULL, &answer);
    expect_error(&answer, 401, "invalid_client", 7000215);
    assert_null(strstr(pn_json_str(answer.json, "error_description"), "wrong&"));
    answer_fini(&answer);
    post(house, V2,
         "grant_type=client_credentials&client_id=99999999-9999-4999-8999-999999999999"
         "&client_secret=x&" ARM_SCOPE,
         NULL, &answer);
    expect_error(&answer, 400, "unauthorized_client", 700016);
    answer_fini(&answer);
    post(house, "/99999999-9999-4999-8999-999999999999/oauth2/token", form, NULL, &answer);
    expect_error(&answer, 400, "invalid_tenant", 90002);
    answer_fini(&answer);
}

static void bad_forms_are_refused(void **state)
{
    struct house *house = *state;
    struct answer answer;
    char form[512];

    post(house, V2, "grant_type=password&client_id=x", NULL, &answer);
    expect_error(&answer, 400, "unsupported_grant_type", 70003);
    answer_fini(&answer);
    post(house, V2, "", NULL, &answer);
    expect_error(&answer, 400, "invalid_request", 900144);
    answer_fini(&answer);
    post(house, V2, "client_id=a&client_id=b", NULL, &answer);
    expect_error(&answer, 400, "invalid_request", 90100);
    answer_fini(&answer);
    snprintf(form, sizeof form,
             "grant_type=client_credentials&client_id=%s&client_secret=" SECRET_FORM
             "&scope=https%%3A%%2F%%2Fevil.example%%2F.default",
             house->client_id);
    post(house, V2, form, NULL, &answer);
    expect_error(&answer, 400, "invalid_resource", 500011);
    answer_fini(&answer);
    ask(house, "GET", V2, "", "", NULL, NULL, &answer);
    assert_int_equal(answer.response.status, 405);
    answer_fini(&answer);
}

static void too_many_wrong_secrets_close_the_door_for_a_minute(void **state)
{
    struct house *house = *state;
    struct answer answer;
    char wrong[512], right[512];

    snprintf(wrong, sizeof wrong,
             "grant_type=client_credentials&client_id=%s&client_secret=wrong&" ARM_SCOPE,
             house->client_id);
    snprintf(right, sizeof right,
             "grant_type=client_credentials&client_id=%s&client_secret=" SECRET_FORM "&" ARM_SCOPE,
             house->client_id);
    for (int i = 0; i < PN_SECRET_FAILURES_MAX; i++) {
        post(house, V2, wrong, "10.0.0.1", &answer);
        assert_int_equal(answer.response.status, 401);
        answer_fini(&answer);
    }
    post(house, V2, right, "10.0.0.1", &answer);
    assert_int_equal(answer.response.status, 429);
    assert_non_null(pn_headers_get(&answer.response.headers, "Retry-After").ptr);
    answer_fini(&answer);
    post(house, V2, right, "10.0.0.2", &answer);
    assert_int_equal(answer.response.status, 200);
    answer_fini(&answer);
    house_now_s += PN_SECRET_FAILURE_WINDOW_S;
    post(house, V2, right, "10.0.0.1", &answer);
    assert_int_equal(answer.response.status, 200);
    answer_fini(&answer);
}

static void token_needs_the_keyholder(void **state)
{
    struct house *house = *state;
    struct answer answer;
    char form[512];

    snprintf(form, sizeof form,
             "grant_type=client_credentials&client_id=%s&client_secret=" SECRET_FORM "&" ARM_SCOPE,
             house->client_id);
    fake_keyholder_is_away = true;
    post(house, V2, form, NULL, &answer);
    fake_keyholder_is_away = false;
    assert_int_equal(answer.response.status, 503);
    answer_fini(&answer);
}

/* ---- assertions ---- */

static EVP_PKEY *client_key;
static char x5t[64];
static const char *meant_for = ORIGIN V2;   /* the assertion's audience */
static char client_certificate_patch[4096]; /* the body that registers it over REST */

static void register_certificate(struct house *house)
{
    struct pn_authority_client client = {.client_id = house->client_id};
    X509 *certificate = X509_new();
    unsigned char *der = NULL;
    struct pn_buf text;
    uint8_t sha1[PN_SHA1_BYTES];
    int len;

    client_key = EVP_RSA_gen(2048);
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    ASN1_TIME_set(X509_getm_notBefore(certificate), 1700000000);
    ASN1_TIME_set(X509_getm_notAfter(certificate), 1900000000);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                               (const unsigned char *)"app", -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    X509_set_pubkey(certificate, client_key);
    X509_sign(certificate, client_key, EVP_sha256());
    len = i2d_X509(certificate, &der);
    client.certificate_der = pn_slice(der, (size_t)len);
    assert_int_equal(pn_authority_add_client(house->authority, &client, NULL, NULL, NULL), PN_OK);
    pn_buf_init(&text, 4000);
    assert_int_equal(pn_base64_encode(client.certificate_der, &text), PN_OK);
    snprintf(client_certificate_patch, sizeof client_certificate_patch,
             "{\"keyCredentials\":[{\"key\":\"%.*s\"}]}", (int)text.len, text.ptr);
    pn_buf_fini(&text);
    pn_sha1(client.certificate_der, sha1);
    pn_buf_init(&text, 60);
    assert_int_equal(pn_base64url_encode(pn_slice(sha1, sizeof sha1), &text), PN_OK);
    snprintf(x5t, sizeof x5t, "%.*s", (int)text.len, text.ptr);
    pn_buf_fini(&text);
    OPENSSL_free(der);
    X509_free(certificate);
}

/* As MSAL for Python writes it: padded x5t, fractional dates. */
static void make_assertion(const struct house *house, const char *jti, int64_t exp_s, bool pss,
                           EVP_PKEY *key, struct pn_buf *form)
{
    char header[160], claims[512];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *key_ctx = NULL;
    unsigned char bytes[512];
    size_t len = sizeof bytes, start;

    snprintf(header, sizeof header, "{\"alg\":\"%s\",\"x5t\":\"%s=\"}", pss ? "PS256" : "RS256",
             x5t);
    snprintf(claims, sizeof claims,
             "{\"iss\":\"%s\",\"sub\":\"%s\",\"aud\":\"%s\",\"jti\":\"%s\",\"iat\":1799999000.176,"
             "\"exp\":%lld.176}",
             house->client_id, house->client_id, meant_for, jti, (long long)exp_s);
    pn_buf_init(form, 16384);
    assert_int_equal(pn_buf_printf(form,
                                   "grant_type=client_credentials&client_id=%s&" ASSERTION_TYPE
                                   "&" ARM_SCOPE "&client_assertion=",
                                   house->client_id),
                     PN_OK);
    start = form->len;
    assert_int_equal(pn_base64url_encode(pn_slice_str(header), form), PN_OK);
    assert_int_equal(pn_buf_append_byte(form, '.'), PN_OK);
    assert_int_equal(pn_base64url_encode(pn_slice_str(claims), form), PN_OK);
    assert_int_equal(EVP_DigestSignInit(ctx, &key_ctx, EVP_sha256(), NULL, key), 1);
    if (pss) {
        EVP_PKEY_CTX_set_rsa_padding(key_ctx, RSA_PKCS1_PSS_PADDING);
        EVP_PKEY_CTX_set_rsa_pss_saltlen(key_ctx, RSA_PSS_SALTLEN_DIGEST);
    }
    assert_int_equal(EVP_DigestSign(ctx, bytes, &len, (const unsigned char *)form->ptr + start,
                                    form->len - start),
                     1);
    EVP_MD_CTX_free(ctx);
    assert_int_equal(pn_buf_append_byte(form, '.'), PN_OK);
    assert_int_equal(pn_base64url_encode(pn_slice(bytes, len), form), PN_OK);
    assert_non_null(pn_buf_str(form));
}

static void send_assertion(struct house *house, const char *jti, int64_t exp_s, bool pss,
                           EVP_PKEY *key, const char *peer, int code)
{
    struct answer answer;
    struct pn_buf form;

    make_assertion(house, jti, exp_s, pss, key, &form);
    post(house, V2, form.ptr, peer, &answer);
    if (code == 0)
        verify(house, &answer, ORIGIN);
    else
        expect_error(&answer, 401, "invalid_client", code);
    answer_fini(&answer);
    pn_buf_fini(&form);
}

static void assertions_are_checked(void **state)
{
    struct house *house = *state;
    EVP_PKEY *other = EVP_RSA_gen(2048);

    register_certificate(house);
    send_assertion(house, "a", house_now_s + 600, false, client_key, NULL, 0);
    send_assertion(house, "b", house_now_s + 600, true, client_key, NULL, 0);
    send_assertion(house, "c", house_now_s + 600, false, other, NULL, 700027);
    send_assertion(house, "d", house_now_s - 301, false, client_key, NULL, 700024);
    send_assertion(house, "e", house_now_s + PN_ASSERTION_LIFETIME_MAX_S + 1, false, client_key,
                   NULL, 700024);
    EVP_PKEY_free(other);
    EVP_PKEY_free(client_key);
}

static void try_audience(struct house *house, const char *jti, const char *origin,
                         const char *audience, int code)
{
    house_origin = origin;
    meant_for = audience;
    send_assertion(house, jti, house_now_s + 600, false, client_key, NULL, code);
    house_origin = ORIGIN;
    meant_for = ORIGIN V2;
}

/* Who was shown an assertion that was meant for his own server shows it here, with his Host. */
static void assertion_for_another_server_is_refused(void **state)
{
    static const char evil[] = "https://evil.example:9443";
    struct house *house = *state;

    register_certificate(house);
    try_audience(house, "a", evil, "https://evil.example:9443/adfs/oauth2/token", 700023);
    try_audience(house, "b", evil, "https://evil.example:9443/common/oauth2/v2.0/token", 700023);
    try_audience(house, "c", evil, "https://evil.example:9443/organizations/oauth2/token", 700023);
    try_audience(house, "d", "https://localhost.evil.example",
                 "https://localhost.evil.example/adfs/oauth2/token", 700023);
    try_audience(house, "e", ORIGIN, "https://evil.example:9443" V2, 700023);
    try_audience(house, "f", ORIGIN, ORIGIN "/adfs/oauth2/token", 0);
    try_audience(house, "g", "https://127.0.0.1:9443", "https://127.0.0.1:9443/adfs/oauth2/token",
                 0);
    try_audience(house, "h", "https://[::1]:9443", "https://[::1]:9443/common/oauth2/v2.0/token",
                 0);
    /* A proxy's name, with this tenant's id. */
    try_audience(house, "i", "https://proxy.example", "https://proxy.example" V2, 0);
    EVP_PKEY_free(client_key);
}

static void assertion_of_one_peer_is_a_replay_from_another(void **state)
{
    struct house *house = *state;

    register_certificate(house);
    send_assertion(house, "a", house_now_s + 600, false, client_key, "10.0.0.1", 0);
    /* The same client may use it for a second token; ::1 and 127.0.0.1 are one client. */
    send_assertion(house, "a", house_now_s + 600, false, client_key, "10.0.0.1", 0);
    send_assertion(house, "a", house_now_s + 600, false, client_key, "10.0.0.2", 700024);
    send_assertion(house, "a", house_now_s + 601, false, client_key, "10.0.0.1", 700024);
    send_assertion(house, "l", house_now_s + 600, false, client_key, "127.0.0.1", 0);
    send_assertion(house, "l", house_now_s + 600, false, client_key, "::1", 0);
    EVP_PKEY_free(client_key);
}

static void owner_registers_a_certificate_over_rest(void **state)
{
    struct house *house = *state;
    struct pn_authority_grant grant = {.audience = ORIGIN "/msgraph/",
                                       .client_id = house->client_id,
                                       .object_id = house->object_id,
                                       .version = 1};
    struct pn_store_txn *txn = NULL;
    json_t *subscription = json_pack("{s:s}", "name", "s");
    struct pn_buf token;
    struct answer answer;
    char path[128], header[4096];
    int64_t expires_s;

    snprintf(path, sizeof path, "/msgraph/v1.0/applications(appId='%s')", house->client_id);
    pn_buf_init_secret(&token, PN_TOKEN_BYTES_MAX);
    assert_int_equal(pn_authority_mint(house->authority, &grant, &token, &expires_s, NULL), PN_OK);
    snprintf(header, sizeof header, "Bearer %.*s", (int)token.len, token.ptr);
    pn_buf_fini(&token);
    ask(house, "GET", path, "", NULL, NULL, NULL, &answer);
    assert_int_equal(answer.response.status, 401);
    answer_fini(&answer);
    ask(house, "GET", path, "", NULL, header, NULL, &answer);
    assert_int_equal(answer.response.status, 403);
    answer_fini(&answer);
    assert_int_equal(pn_store_begin(house->store, &txn, NULL), PN_OK);
    assert_int_equal(pn_store_put(txn, "/subscriptions/s", "Microsoft.Resources/subscriptions",
                                  subscription, NULL, NULL),
                     PN_OK);
    assert_int_equal(pn_role_assign(txn, "/subscriptions/s", PN_ROLE_OWNER, house->object_id,
                                    "ServicePrincipal", NULL),
                     PN_OK);
    assert_int_equal(pn_store_commit(txn, NULL, NULL), PN_OK);
    json_decref(subscription);
    ask(house, "PATCH", path, "", "{\"keyCredentials\":[{\"key\":\"AAAA\"}]}", header, NULL,
        &answer);
    assert_int_equal(answer.response.status, 400);
    answer_fini(&answer);
    register_certificate(house);
    ask(house, "GET", path, "", NULL, header, NULL, &answer);
    assert_int_equal(answer.response.status, 200);
    assert_int_equal(json_array_size(json_object_get(answer.json, "keyCredentials")), 1);
    answer_fini(&answer);
    ask(house, "PATCH", path, "", client_certificate_patch, header, NULL, &answer);
    assert_int_equal(answer.response.status, 204);
    answer_fini(&answer);
    send_assertion(house, "rest", house_now_s + 600, false, client_key, NULL, 0);
    ask(house, "PATCH", path, "", "{\"keyCredentials\":[]}", header, NULL, &answer);
    assert_int_equal(answer.response.status, 204);
    answer_fini(&answer);
    send_assertion(house, "gone", house_now_s + 600, false, client_key, NULL, 700027);
    EVP_PKEY_free(client_key);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, house_setup, house_teardown)
    const struct CMUnitTest tests[] = {
        TEST(secret_gets_a_token_at_all_three_endpoints),
        TEST(secret_may_come_as_basic_authorization),
        TEST(default_suffix_alone_is_cut_off_the_scope),
        TEST(wrong_secret_and_unknown_application_are_refused),
        TEST(bad_forms_are_refused),
        TEST(too_many_wrong_secrets_close_the_door_for_a_minute),
        TEST(token_needs_the_keyholder),
        TEST(assertions_are_checked),
        TEST(assertion_for_another_server_is_refused),
        TEST(assertion_of_one_peer_is_a_replay_from_another),
        TEST(owner_registers_a_certificate_over_rest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
