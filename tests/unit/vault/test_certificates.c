/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates of the vault, their secrets, and the management plane.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/pkcs12.h>

#include "base/encode.h"
#include "vault/support.h"

static json_t *file_json(bool as_pem, bool in_base64, const char *password)
{
    struct pn_buf file, text;
    json_t *json;

    pn_buf_init(&file, 1 << 20);
    pn_buf_init(&text, 1 << 20);
    fake_make_file("CN=client", as_pem, password, &file);
    if (in_base64) {
        assert_int_equal(pn_base64_encode(pn_buf_slice(&file), &text), PN_OK);
        assert_int_equal(pn_buf_append_byte(&text, '\n'), PN_OK); /* as az does */
    } else {
        assert_int_equal(pn_buf_append_slice(&text, pn_buf_slice(&file)), PN_OK);
    }
    json = json_pack("{s:s%}", "value", text.ptr, text.len);
    if (password)
        json_object_set_new(json, "pwd", json_string(password));
    pn_buf_fini(&file);
    pn_buf_fini(&text);
    return json;
}

static void import(struct house *house, const char *name, json_t *json, struct answer *answer)
{
    char path[64], *body = json_dumps(json, 0);

    snprintf(path, sizeof path, "/certificates/%s/import", name);
    ask(house, ADMIN, "POST", path, VERSION, body, NULL, answer);
    free(body);
    json_decref(json);
}

static void imported_file_is_sniffed_and_its_secret_is_the_same_form(void **state)
{
    static const struct {
        bool as_pem, in_base64;
        const char *password;
        const char *content_type;
    } cases[] = {{false, true, "secret", "application/x-pkcs12"},
                 {true, false, NULL, "application/x-pem-file"},
                 {true, true, NULL, "application/x-pem-file"}};
    struct house *house = *state;
    struct answer answer, secret;

    for (size_t i = 0; i < 3; i++) {
        import(house, "c1", file_json(cases[i].as_pem, cases[i].in_base64, cases[i].password),
               &answer);
        assert_int_equal(answer.response.status, 200);
        assert_non_null(pn_json_str(answer.json, "x5t"));
        assert_non_null(pn_json_str(answer.json, "cer"));
        assert_non_null(json_object_get(answer.json, "policy"));
        assert_memory_equal(pn_json_str(answer.json, "sid"), ORIGIN "/secrets/c1/",
                            strlen(ORIGIN "/secrets/c1/"));
        ask(house, READER, "GET", pn_json_str(answer.json, "sid") + strlen(ORIGIN), VERSION, NULL,
            NULL, &secret);
        assert_int_equal(secret.response.status, 200);
        assert_string_equal(pn_json_str(secret.json, "contentType"), cases[i].content_type);
        assert_true(pn_json_bool(secret.json, "managed", false));
        answer_fini(&secret);
        answer_fini(&answer);
    }
    assert_int_equal(house->changes, 3);
}

static void secret_of_a_certificate_opens_with_an_empty_password(void **state)
{
    struct house *house = *state;
    struct answer answer, secret;
    const unsigned char *at;
    struct pn_buf der;
    EVP_PKEY *key = NULL;
    X509 *certificate = NULL;
    PKCS12 *p12;

    import(house, "c1", file_json(true, false, NULL), &answer);
    answer_fini(&answer);
    ask(house, READER, "GET", "/secrets/c1/", VERSION "&outContentType=application%2Fx-pkcs12",
        NULL, NULL, &secret);
    assert_int_equal(secret.response.status, 200);
    pn_buf_init(&der, 1 << 20);
    assert_int_equal(pn_base64_decode(pn_json_slice(secret.json, "value"), &der), PN_OK);
    at = (const unsigned char *)der.ptr;
    p12 = d2i_PKCS12(NULL, &at, (long)der.len);
    assert_non_null(p12);
    assert_int_equal(PKCS12_parse(p12, "", &key, &certificate, NULL), 1);
    PKCS12_free(p12);
    EVP_PKEY_free(key);
    X509_free(certificate);
    pn_buf_fini(&der);
    answer_fini(&secret);
}

static void bad_imports_change_nothing(void **state)
{
    struct house *house = *state;
    struct answer answer;
    json_t *wrong = file_json(false, true, "right");

    json_object_set_new(wrong, "pwd", json_string("wrong"));
    import(house, "c1", wrong, &answer);
    assert_int_equal(answer.response.status, 400);
    assert_string_equal(error_code(&answer), "BadParameter");
    answer_fini(&answer);
    import(house, "c1", json_pack("{s:s}", "value", "!!!"), &answer);
    assert_int_equal(answer.response.status, 400);
    answer_fini(&answer);
    import(house, "c1", json_pack("{s:s}", "value", "AAAA"), &answer);
    assert_int_equal(answer.response.status, 400);
    answer_fini(&answer);
    import(house, "c1", json_object(), &answer);
    assert_int_equal(answer.response.status, 400);
    answer_fini(&answer);
    ask(house, ADMIN, "GET", "/certificates/c1/", VERSION, NULL, NULL, &answer);
    assert_int_equal(answer.response.status, 404);
    answer_fini(&answer);
    assert_int_equal(house->changes, 0);
}

static void created_certificate_is_polled_to_completion(void **state)
{
    struct house *house = *state;
    struct answer answer;

    ask(house, ADMIN, "POST", "/certificates/c3/create", VERSION,
        "{\"policy\":{\"key_props\":{},\"secret_props\":{},\"x509_props\":{\"subject\":\"CN=c3\","
        "\"sans\":{},\"validity_months\":12},\"issuer\":{\"name\":\"Self\"},\"attributes\":{}},"
        "\"attributes\":{}}",
        NULL, &answer);
    assert_int_equal(answer.response.status, 202);
    assert_string_equal(pn_json_str(answer.json, "status"), "inProgress");
    assert_non_null(pn_headers_get(&answer.response.headers, "Location").ptr);
    answer_fini(&answer);
    ask(house, ADMIN, "GET", "/certificates/c3/pending", VERSION, NULL, NULL, &answer);
    assert_int_equal(answer.response.status, 200);
    assert_string_equal(pn_json_str(answer.json, "status"), "completed");
    assert_string_equal(pn_json_str(answer.json, "target"), ORIGIN "/certificates/c3");
    answer_fini(&answer);
    ask(house, ADMIN, "GET", "/certificates/c3/", VERSION, NULL, NULL, &answer);
    assert_int_equal(answer.response.status, 200);
    assert_string_equal(
        pn_json_str(json_object_get(json_object_get(answer.json, "policy"), "secret_props"),
                    "contentType"),
        "application/x-pkcs12");
    answer_fini(&answer);
}

static void created_key_is_on_the_curve_that_was_asked_for(void **state)
{
    static const struct {
        const char *curve;
        int64_t bits;
    } cases[] = {{"P-256", 256}, {"P-384", 384}, {"P-521", 521}};
    struct house *house = *state;
    struct answer answer;
    const unsigned char *at;
    struct pn_buf der;
    char body[256];
    X509 *certificate;

    for (size_t i = 0; i < 3; i++) {
        snprintf(body, sizeof body,
                 "{\"policy\":{\"key_props\":{\"kty\":\"EC\",\"crv\":\"%s\"},\"x509_props\":"
                 "{\"subject\":\"CN=e\"},\"issuer\":{\"name\":\"Self\"}}}",
                 cases[i].curve);
        ask(house, ADMIN, "POST", "/certificates/e/create", VERSION, body, NULL, &answer);
        assert_int_equal(answer.response.status, 202);
        answer_fini(&answer);
        ask(house, ADMIN, "GET", "/certificates/e", VERSION, NULL, NULL, &answer);
        assert_int_equal(
            pn_json_int(json_object_get(json_object_get(answer.json, "policy"), "key_props"),
                        "key_size", 0),
            cases[i].bits);
        pn_buf_init(&der, 65536);
        assert_int_equal(pn_base64_decode(pn_json_slice(answer.json, "cer"), &der), PN_OK);
        at = (const unsigned char *)der.ptr;
        certificate = d2i_X509(NULL, &at, (long)der.len);
        assert_int_equal(EVP_PKEY_get_bits(X509_get0_pubkey(certificate)), cases[i].bits);
        X509_free(certificate);
        pn_buf_fini(&der);
        answer_fini(&answer);
    }
}

static void policies_that_cannot_be_obeyed_are_refused(void **state)
{
    static const char *const bodies[] = {
        "{}",
        "{\"policy\":{\"x509_props\":{\"subject\":\"CN=x\"},\"issuer\":{\"name\":\"nobody\"}}}",
        "{\"policy\":{\"x509_props\":{\"subject\":\"CN=x\"},\"key_props\":{\"kty\":\"RSA-HSM\"}}}",
        "{\"policy\":{\"x509_props\":{\"subject\":\"CN=x\"},\"key_props\":{\"key_size\":1024}}}",
        "{\"policy\":{\"x509_props\":{\"subject\":\"CN=x\",\"validity_months\":0}}}",
        "{\"policy\":{\"x509_props\":{}}}",
    };
    struct house *house = *state;
    struct answer answer;

    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        ask(house, ADMIN, "POST", "/certificates/c/create", VERSION, bodies[i], NULL, &answer);
        assert_int_equal(answer.response.status, 400);
        assert_string_equal(error_code(&answer), "BadParameter");
        answer_fini(&answer);
    }
    assert_int_equal(house->changes, 0);
}

static void names_are_shared_by_secrets_and_certificates(void **state)
{
    struct house *house = *state;
    struct answer answer;

    import(house, "c1", file_json(true, false, NULL), &answer);
    answer_fini(&answer);
    ask(house, ADMIN, "PUT", "/secrets/c1", VERSION, "{\"value\":\"x\"}", NULL, &answer);
    assert_int_equal(answer.response.status, 403);
    answer_fini(&answer);
    ask(house, ADMIN, "PUT", "/secrets/plain", VERSION, "{\"value\":\"x\"}", NULL, &answer);
    answer_fini(&answer);
    import(house, "plain", file_json(true, false, NULL), &answer);
    assert_int_equal(answer.response.status, 409);
    answer_fini(&answer);
    ask(house, ADMIN, "GET", "/certificates", VERSION "&includePending=true", NULL, NULL, &answer);
    assert_int_equal(json_array_size(json_object_get(answer.json, "value")), 1);
    answer_fini(&answer);
    ask(house, ADMIN, "GET", "/secrets", VERSION, NULL, NULL, &answer);
    assert_int_equal(json_array_size(json_object_get(answer.json, "value")), 2);
    answer_fini(&answer);
    ask(house, ADMIN, "GET", "/certificates/c1/versions", VERSION, NULL, NULL, &answer);
    assert_int_equal(json_array_size(json_object_get(answer.json, "value")), 1);
    answer_fini(&answer);
}

static void policy_and_attributes_change_by_patch(void **state)
{
    struct house *house = *state;
    struct answer answer;

    import(house, "c1", file_json(true, false, NULL), &answer);
    answer_fini(&answer);
    ask(house, ADMIN, "PATCH", "/certificates/c1/policy", VERSION,
        "{\"secret_props\":{},\"x509_props\":{\"validity_months\":24}}", NULL, &answer);
    assert_int_equal(answer.response.status, 200);
    assert_int_equal(pn_json_int(json_object_get(answer.json, "x509_props"), "validity_months", 0),
                     24);
    assert_string_equal(pn_json_str(json_object_get(answer.json, "secret_props"), "contentType"),
                        "application/x-pem-file");
    answer_fini(&answer);
    ask(house, ADMIN, "PATCH", "/certificates/c1/", VERSION,
        "{\"attributes\":{\"enabled\":false},\"tags\":{\"t\":\"1\"}}", NULL, &answer);
    assert_int_equal(answer.response.status, 200);
    assert_string_equal(pn_json_str(json_object_get(answer.json, "tags"), "t"), "1");
    answer_fini(&answer);
    ask(house, READER, "GET", "/secrets/c1", VERSION, NULL, NULL, &answer);
    assert_int_equal(answer.response.status, 403);
    assert_string_equal(inner_code(&answer), "SecretDisabled");
    answer_fini(&answer);
}

static void patch_changes_all_or_nothing(void **state)
{
    struct house *house = *state;
    struct answer answer;

    import(house, "c1", file_json(true, false, NULL), &answer);
    answer_fini(&answer);
    ask(house, ADMIN, "PATCH", "/certificates/c1/", VERSION,
        "{\"policy\":{\"x509_props\":{\"validity_months\":7}},\"tags\":{\"t\":5}}", NULL, &answer);
    assert_int_equal(answer.response.status, 400);
    answer_fini(&answer);
    ask(house, ADMIN, "PATCH", "/certificates/c1/policy", VERSION,
        "{\"x509_props\":{\"validity_months\":8},\"key_props\":{\"exportable\":\"false\"}}", NULL,
        &answer);
    assert_int_equal(answer.response.status, 400);
    answer_fini(&answer);
    ask(house, ADMIN, "PATCH", "/certificates/c1/policy", VERSION, "{\"key_props\":5}", NULL,
        &answer);
    assert_int_equal(answer.response.status, 400);
    answer_fini(&answer);
    ask(house, ADMIN, "GET", "/certificates/c1/policy", VERSION, NULL, NULL, &answer);
    assert_int_not_equal(
        pn_json_int(json_object_get(answer.json, "x509_props"), "validity_months", 0), 7);
    assert_true(
        json_is_true(json_object_get(json_object_get(answer.json, "key_props"), "exportable")));
    answer_fini(&answer);
}

/* ---- management plane ---- */

#define PROPERTIES(more)                                                                           \
    "{\"location\":\"local\",\"properties\":{\"tenantId\":\"" TENANT                               \
    "\",\"sku\":{\"family\":\"A\",\"name\":\"standard\"}" more "}}"
#define POLICY(permission)                                                                         \
    "{\"properties\":{\"accessPolicies\":[{\"tenantId\":\"" TENANT "\",\"objectId\":\"" NOBODY     \
    "\",\"permissions\":{\"secrets\":[\"" permission "\"]}}]}}"

static void arm(struct house *house, const char *oid, const char *method, const char *path,
                const char *body, int status)
{
    struct answer answer;

    ask_arm(house, oid, method, path, body, &answer);
    if (answer.response.status != status)
        fprintf(stderr, "%s %s: %.*s\n", method, path, (int)answer.response.body.len,
                answer.response.body.ptr);
    assert_int_equal(answer.response.status, status);
    answer_fini(&answer);
}

static void vaults_are_made_read_and_listed(void **state)
{
    struct house *house = *state;
    struct answer answer;

    arm(house, ADMIN, "GET", VAULTS "/second", NULL, 404);
    arm(house, ADMIN, "PUT", VAULTS "/second", PROPERTIES(",\"accessPolicies\":[]"), 201);
    arm(house, ADMIN, "PUT", VAULTS "/second", PROPERTIES(""), 200);
    ask_arm(house, READER, "GET", VAULTS "/second", NULL, &answer);
    assert_string_equal(pn_json_str(json_object_get(answer.json, "properties"), "vaultUri"),
                        "https://second.vault.localhost:9444/");
    assert_string_equal(pn_json_str(answer.json, "name"), "second");
    answer_fini(&answer);
    ask_arm(house, READER, "GET", VAULTS, NULL, &answer);
    assert_int_equal(json_array_size(json_object_get(answer.json, "value")), 2);
    answer_fini(&answer);
    arm(house, ADMIN, "PATCH", VAULTS "/second", "{\"tags\":{\"a\":\"b\"}}", 200);
    arm(house, ADMIN, "GET", SUBSCRIPTION "/providers/Microsoft.KeyVault/deletedVaults", NULL, 200);
    ask(house, ADMIN, "GET", "/secrets", VERSION, NULL, "second.vault.localhost:9444", &answer);
    assert_int_equal(answer.response.status, 403);
    answer_fini(&answer);
}

static void what_cannot_be_obeyed_is_refused(void **state)
{
    struct house *house = *state;

    arm(house, ADMIN, "PUT", VAULTS "/second",
        PROPERTIES(",\"enableRbacAuthorization\":\"perhaps\""), 400);
    arm(house, ADMIN, "PUT", VAULTS "/second",
        PROPERTIES(",\"networkAcls\":{\"defaultAction\":\"Perhaps\"}"), 400);
    arm(house, ADMIN, "PUT", VAULTS "/second",
        PROPERTIES(",\"networkAcls\":{\"bypass\":\"AzureServices\",\"defaultAction\":\"Allow\"},"
                   "\"enableSoftDelete\":true,\"softDeleteRetentionInDays\":90"),
        201);
    arm(house, ADMIN, "PUT", VAULTS "/x", PROPERTIES(""), 400);
    arm(house, ADMIN, "PUT",
        SUBSCRIPTION "/resourceGroups/no/providers/Microsoft.KeyVault/vaults/third", PROPERTIES(""),
        404);
    arm(house, READER, "PUT", VAULTS "/third", PROPERTIES(""), 403);
    arm(house, NOBODY, "GET", VAULTS "/local", NULL, 403);
    arm(house, NULL, "GET", VAULTS "/local", NULL, 401);
    arm(house, READER, "DELETE", VAULTS "/local", NULL, 403);
}

static void access_policies_are_added_replaced_removed(void **state)
{
    struct house *house = *state;
    struct answer answer;
    const char *path = VAULTS "/local/accessPolicies/";
    char add[256], replace[256], removal[256];

    snprintf(add, sizeof add, "%sadd", path);
    snprintf(replace, sizeof replace, "%sreplace", path);
    snprintf(removal, sizeof removal, "%sremove", path);
    arm(house, ADMIN, "PUT", add, POLICY("list"), 200);
    ask(house, NOBODY, "GET", "/secrets", VERSION, NULL, NULL, &answer);
    assert_int_equal(answer.response.status, 200);
    answer_fini(&answer);
    arm(house, ADMIN, "PUT", replace, POLICY("get"), 200);
    ask(house, NOBODY, "GET", "/secrets", VERSION, NULL, NULL, &answer);
    assert_int_equal(answer.response.status, 403);
    answer_fini(&answer);
    arm(house, ADMIN, "PUT", removal, POLICY("get"), 200);
    ask(house, NOBODY, "GET", "/secrets/x", VERSION, NULL, NULL, &answer);
    assert_int_equal(answer.response.status, 403);
    answer_fini(&answer);
    arm(house, ADMIN, "PUT", add, POLICY("fly"), 400);
    assert_int_equal(house->changes, 3);
    assert_string_equal(house->changed_name, "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, house_setup, house_teardown)
    const struct CMUnitTest tests[] = {
        TEST(imported_file_is_sniffed_and_its_secret_is_the_same_form),
        TEST(secret_of_a_certificate_opens_with_an_empty_password),
        TEST(bad_imports_change_nothing),
        TEST(created_certificate_is_polled_to_completion),
        TEST(created_key_is_on_the_curve_that_was_asked_for),
        TEST(policies_that_cannot_be_obeyed_are_refused),
        TEST(names_are_shared_by_secrets_and_certificates),
        TEST(policy_and_attributes_change_by_patch),
        TEST(patch_changes_all_or_nothing),
        TEST(vaults_are_made_read_and_listed),
        TEST(what_cannot_be_obeyed_is_refused),
        TEST(access_policies_are_added_replaced_removed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
