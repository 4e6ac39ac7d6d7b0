/* SPDX-License-Identifier: Apache-2.0
 *
 * Identifiers, challenges, secrets and versions of a vault.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "keyvault/support.h"

#define V1 "0123456789abcdef0123456789abcdef"
#define V2 "fedcba9876543210fedcba9876543210"

static struct pn_keyvault_id parse(const char *text)
{
    struct pn_keyvault_id id;

    assert_int_equal(pn_keyvault_id_parse(pn_slice_str(text), &id, NULL), PN_OK);
    return id;
}

static void identifiers_are_taken_apart(void **state)
{
    struct pn_keyvault_id id = parse("https://KV1.vault.azure.net/secrets/My-Cert");

    (void)state;
    assert_string_equal(id.origin, "https://kv1.vault.azure.net");
    assert_string_equal(id.host, "kv1.vault.azure.net");
    assert_string_equal(id.name, "My-Cert");
    assert_string_equal(id.version, "");
    id = parse("https://[::1]:9444//secrets/c1/" V1 "/");
    assert_string_equal(id.origin, "https://[::1]:9444");
    assert_string_equal(id.host, "::1");
    assert_string_equal(id.version, V1);
}

static void bad_identifiers_are_refused(void **state)
{
    static const struct {
        const char *text;
        enum pn_rc rc;
    } cases[] = {
        {"", PN_MALFORMED},
        {"http://kv/secrets/a", PN_MALFORMED},
        {"https://kv/secrets", PN_MALFORMED},
        {"https://kv/secrets/a/b/c", PN_MALFORMED},
        {"https://kv/secrets/a_b", PN_MALFORMED},
        {"https://user:pw@kv/secrets/a", PN_MALFORMED},
        {"https://kv/secrets/a?x=y", PN_MALFORMED},
        {"https://kv/secrets/a#x", PN_MALFORMED},
        {"file:///secrets/a", PN_MALFORMED},
        {"kv/secrets/a", PN_MALFORMED},
        {"https://kv/certificates/a", PN_INVALID},
        {"https://kv/keys/a", PN_INVALID},
    };
    struct pn_keyvault_id id;
    struct pn_error err = {0};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(pn_keyvault_id_parse(pn_slice_str(cases[i].text), &id, &err), cases[i].rc);
    assert_int_equal(pn_keyvault_id_parse(PN_LIT("https://kv/certificates/a/" V1), &id, &err),
                     PN_INVALID);
    assert_non_null(strstr(err.message, "https://kv/secrets/a"));
}

static enum pn_rc get(const char *text, struct pn_keyvault_secret *secret, struct pn_error *err)
{
    struct pn_keyvault_id id = parse(text);
    unsigned retry_after_s;

    return pn_keyvault_get_secret(keyvault, &me, &id, secret, &retry_after_s, err);
}

static void secret_is_fetched_after_one_challenge(void **state)
{
    struct pn_keyvault_secret secret;

    (void)state;
    script.body = "{\"value\":\"v\",\"contentType\":\"application/x-pkcs12\",\"id\":\"" VAULT
                  "/secrets/c1/" V1 "\"}";
    for (int i = 0; i < 2; i++) {
        assert_int_equal(get(VAULT "/secrets/c1", &secret, NULL), PN_OK);
        assert_true(pn_slice_eq_str(pn_buf_slice(&secret.value), "v"));
        assert_string_equal(secret.version, V1);
        assert_string_equal(secret.content_type, "application/x-pkcs12");
        assert_string_equal(script.last_url, VAULT "/secrets/c1/?api-version=" API_VERSION);
        pn_keyvault_secret_fini(&secret);
    }
    assert_int_equal(script.bare, 1);
    assert_int_equal(script.authorized, 2);
}

static void no_token_goes_to_a_host_its_resource_does_not_cover(void **state)
{
    static const char *const challenges[] = {
        "Bearer authorization=\"https://a/t\", resource=\"https://vault.azure.net\"",
        "Bearer authorization=\"https://a/t\", resource=\"https://management.azure.com\"",
        "Bearer authorization=\"https://a/t\", resource=\"https://1.vault.localhost:9444\"",
        "Bearer authorization=\"https://a/t\", resource=\"https://vault.localhost:9445\"",
        "Bearer authorization=\"https://a/t\", resource=\"https://ault.localhost:9444\"",
        "Bearer authorization=\"https://a/t\", resource=\"http://vault.localhost:9444\"",
    };
    struct pn_keyvault_secret secret;
    struct pn_error err = {0};

    (void)state;
    for (size_t i = 0; i < sizeof challenges / sizeof challenges[0]; i++) {
        script.challenge = challenges[i];
        assert_int_equal(
            get(i == 4 ? "https://kv1.vault.example:9444/secrets/c" : VAULT "/secrets/c", &secret,
                &err),
            PN_DENIED);
        assert_string_equal(err.code, "vault_challenge");
    }
    script.challenge = "Basic realm=x";
    assert_int_equal(get(VAULT "/secrets/c", &secret, &err), PN_MALFORMED);
    assert_int_equal(script.authorized, 0);
}

static void name_that_begins_like_a_loopback_address_gets_no_token(void **state)
{
    struct pn_keyvault_secret secret;
    struct pn_error err = {0};

    (void)state;
    script.challenge = "Bearer authorization=\"https://a/t\", resource=\"https://localhost:9444\"";
    assert_int_equal(get("https://127.example:9444/secrets/c", &secret, &err), PN_DENIED);
    assert_string_equal(err.code, "vault_challenge");
    assert_int_equal(script.authorized, 0);
}

static void bare_loopback_names_belong_to_the_embedded_vault(void **state)
{
    struct pn_keyvault_secret secret;

    (void)state;
    script.body = "{\"value\":\"v\",\"id\":\"https://localhost:9444/secrets/c1/" V1 "\"}";
    assert_int_equal(get("https://localhost:9444/secrets/c1", &secret, NULL), PN_OK);
    pn_keyvault_secret_fini(&secret);
    assert_int_equal(get("https://127.0.0.1:9444/secrets/c1", &secret, NULL), PN_OK);
    pn_keyvault_secret_fini(&secret);
}

static void failures_name_their_layer(void **state)
{
    static const struct {
        int status;
        enum pn_rc rc;
        const char *code;
    } cases[] = {
        {401, PN_DENIED, "vault_unauthorized"},     {403, PN_DENIED, "vault_forbidden"},
        {404, PN_NOT_FOUND, "vault_not_found"},     {429, PN_UNAVAILABLE, "vault_throttled"},
        {503, PN_UNAVAILABLE, "vault_unavailable"},
    };
    const struct pn_identity_ref other = {.owner_id = "/service", .client_id = "x"};
    struct pn_keyvault_secret secret;
    struct pn_error err = {0};
    struct pn_keyvault_id id = parse(VAULT "/secrets/c");

    (void)state;
    script.body = "{\"error\":{\"code\":\"Forbidden\",\"message\":\"no\\npermission\","
                  "\"innererror\":{\"code\":\"ForbiddenByPolicy\"}}}";
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        script.status = cases[i].status;
        assert_int_equal(get(VAULT "/secrets/c", &secret, &err), cases[i].rc);
        assert_string_equal(err.code, cases[i].code);
        assert_non_null(strstr(err.message, "Forbidden/ForbiddenByPolicy: no permission"));
    }
    assert_int_equal(pn_keyvault_get_secret(keyvault, &other, &id, &secret, NULL, &err),
                     PN_UNAVAILABLE);
    assert_string_equal(err.code, "identity_not_enabled");
    script.status = 200;
    script.body = "nonsense";
    assert_int_equal(get(VAULT "/secrets/c", &secret, &err), PN_MALFORMED);
    assert_string_equal(err.code, "vault_content");
    script.is_unreachable = true;
    assert_int_equal(get(VAULT "/secrets/c", &secret, &err), PN_UNAVAILABLE);
    assert_string_equal(err.code, "vault_connect");
}

static void refused_token_is_asked_for_anew_once(void **state)
{
    struct pn_keyvault_secret secret;

    (void)state;
    script.body = "{\"value\":\"v\",\"id\":\"" VAULT "/secrets/c1/" V1 "\"}";
    assert_int_equal(get(VAULT "/secrets/c1", &secret, NULL), PN_OK);
    pn_keyvault_secret_fini(&secret);
    script.authorized = 0;
    script.refuses_first_token = true;
    assert_int_equal(get(VAULT "/secrets/c1", &secret, NULL), PN_OK);
    pn_keyvault_secret_fini(&secret);
    assert_int_equal(script.authorized, 2);
    assert_int_equal(script.bare, 1);
}

#define ITEM(version, created)                                                                     \
    "{\"id\":\"" VAULT "/secrets/c1/" version "\",\"attributes\":{\"created\":" created "}}"

static enum pn_rc newest(char version[PN_KEYVAULT_VERSION_TEXT], struct pn_error *err)
{
    struct pn_keyvault_id id = parse(VAULT "/secrets/c1");

    return pn_keyvault_newest_version(keyvault, &me, &id, version, NULL, err);
}

static void newest_version_is_found_across_pages(void **state)
{
    char version[PN_KEYVAULT_VERSION_TEXT];

    (void)state;
    script.body =
        "{\"value\":[" ITEM(V1, "5") "],\"nextLink\":\"" VAULT "/secrets/c1/versions?x\"}";
    script.next_body = "{\"value\":[" ITEM(V2, "7") "],\"nextLink\":null}";
    assert_int_equal(newest(version, NULL), PN_OK);
    assert_string_equal(version, V2);
    assert_string_equal(script.last_url, VAULT "/secrets/c1/versions?x");
}

static void list_that_cannot_tell_says_so(void **state)
{
    char version[PN_KEYVAULT_VERSION_TEXT];
    struct pn_error err = {0};

    (void)state;
    script.body = "{\"value\":[" ITEM(V1, "5") "," ITEM(V2, "5") "]}";
    assert_int_equal(newest(version, &err), PN_AGAIN);
    script.body = "{\"value\":[]}";
    assert_int_equal(newest(version, &err), PN_AGAIN);
    script.body = "{\"value\":[],\"nextLink\":\"" VAULT "/secrets/c1/versions?again\"}";
    script.authorized = 0;
    assert_int_equal(newest(version, &err), PN_AGAIN);
    assert_int_equal(script.authorized, PN_KEYVAULT_PAGES_MAX);
    script.status = 403;
    assert_int_equal(newest(version, &err), PN_AGAIN);
    script.status = 404;
    assert_int_equal(newest(version, &err), PN_NOT_FOUND);
}

static void next_link_to_another_server_is_not_followed(void **state)
{
    char version[PN_KEYVAULT_VERSION_TEXT];
    struct pn_error err = {0};

    (void)state;
    script.body = "{\"value\":[],\"nextLink\":\"https://kv1.vault.localhost:94440/x\"}";
    assert_int_equal(newest(version, &err), PN_MALFORMED);
    assert_string_equal(err.code, "vault_content");
    assert_int_equal(script.authorized, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, keyvault_setup, keyvault_teardown)
    const struct CMUnitTest tests[] = {
        TEST(identifiers_are_taken_apart),
        TEST(bad_identifiers_are_refused),
        TEST(secret_is_fetched_after_one_challenge),
        TEST(no_token_goes_to_a_host_its_resource_does_not_cover),
        TEST(name_that_begins_like_a_loopback_address_gets_no_token),
        TEST(bare_loopback_names_belong_to_the_embedded_vault),
        TEST(failures_name_their_layer),
        TEST(refused_token_is_asked_for_anew_once),
        TEST(newest_version_is_found_across_pages),
        TEST(list_that_cannot_tell_says_so),
        TEST(next_link_to_another_server_is_not_followed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
