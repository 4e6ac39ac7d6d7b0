/* SPDX-License-Identifier: Apache-2.0
 *
 * The door of the data plane, and secrets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vault/support.h"
#include "vault/vault_clock.h"

static void challenge_comes_before_everything_else(void **state)
{
    static const char *const paths[] = {"/secrets/s1", "/nothing/here", "/", "/%zz"};
    struct house *house = *state;
    struct answer answer;

    for (size_t i = 0; i < 4; i++) {
        ask(house, NULL, "PUT", paths[i], "", "", i == 3 ? "nobody.example" : NULL, &answer);
        assert_int_equal(answer.response.status, 401);
        assert_true(pn_slice_eq_str(pn_headers_get(&answer.response.headers, "WWW-Authenticate"),
                                    "Bearer authorization=\"" ARM_AUDIENCE "/" TENANT
                                    "\", resource=\"" AUDIENCE "\""));
        assert_string_equal(error_code(&answer), "Unauthorized");
        answer_fini(&answer);
    }
}

static void token_for_another_audience_is_refused(void **state)
{
    struct house *house = *state;
    struct answer answer;

    ask_with_audience(house, ARM_AUDIENCE, "/secrets", &answer);
    assert_int_equal(answer.response.status, 401);
    assert_memory_equal(pn_json_str(json_object_get(answer.json, "error"), "message"),
                        "AKV10022: ", 10);
    assert_true(pn_headers_has(&answer.response.headers, "WWW-Authenticate"));
    answer_fini(&answer);
    ask_with_audience(house, "https://vault.azure.net", "/secrets", &answer);
    assert_int_equal(answer.response.status, 200);
    answer_fini(&answer);
}

static void set(struct house *house, const char *name, const char *value)
{
    struct answer answer;
    char path[64], body[128];

    snprintf(path, sizeof path, "/secrets/%s", name);
    snprintf(body, sizeof body, "{\"value\":\"%s\",\"tags\":{\"a\":\"b\"},\"attributes\":{}}",
             value);
    ask(house, ADMIN, "PUT", path, VERSION, body, NULL, &answer);
    assert_int_equal(answer.response.status, 200);
    assert_string_equal(pn_json_str(answer.json, "value"), value);
    answer_fini(&answer);
}

static void latest_version_is_read_with_and_without_a_slash(void **state)
{
    static const char *const paths[] = {"/secrets/s1", "/secrets/s1/", "//secrets/S1/"};
    struct house *house = *state;
    struct answer answer, pinned;
    const char *id;

    set(house, "s1", "one");
    set(house, "s1", "two");
    assert_int_equal(house->changes, 2);
    assert_string_equal(house->changed_name, "s1");
    for (size_t i = 0; i < 3; i++) {
        ask(house, READER, "GET", paths[i], VERSION, NULL, NULL, &answer);
        assert_int_equal(answer.response.status, 200);
        assert_string_equal(pn_json_str(answer.json, "value"), "two");
        id = pn_json_str(answer.json, "id");
        assert_memory_equal(id, ORIGIN "/secrets/s1/", strlen(ORIGIN "/secrets/s1/"));
        assert_int_equal(strlen(id), strlen(ORIGIN "/secrets/s1/") + 32);
        ask(house, READER, "GET", id + strlen(ORIGIN), VERSION, NULL, NULL, &pinned);
        assert_string_equal(pn_json_str(pinned.json, "value"), "two");
        answer_fini(&pinned);
        answer_fini(&answer);
    }
}

static void ids_begin_with_the_callers_origin(void **state)
{
    static const char *const hosts[] = {"localhost:9444", "127.0.0.1:9444", "[::1]:9444"};
    struct house *house = *state;
    struct answer answer;
    char prefix[64];

    set(house, "s1", "one");
    for (size_t i = 0; i < 3; i++) {
        ask(house, READER, "GET", "/secrets/s1", VERSION, NULL, hosts[i], &answer);
        assert_int_equal(answer.response.status, 200);
        snprintf(prefix, sizeof prefix, "https://%s/secrets/s1/", hosts[i]);
        assert_memory_equal(pn_json_str(answer.json, "id"), prefix, strlen(prefix));
        answer_fini(&answer);
    }
    ask(house, READER, "GET", "/secrets/s1", VERSION, NULL, "unknown.vault.localhost:9444",
        &answer);
    assert_int_equal(answer.response.status, 404);
    assert_string_equal(error_code(&answer), "VaultNotFound");
    answer_fini(&answer);
}

static void value_is_sealed_at_rest(void **state)
{
    struct house *house = *state;
    struct pn_store_list list = {0};
    struct pn_buf text;

    set(house, "s1", "needle-in-the-store");
    assert_int_equal(pn_store_list(house->store, "/vault/", NULL, &list, NULL), PN_OK);
    assert_int_equal(list.count, 2);
    pn_buf_init(&text, 65536);
    for (size_t i = 0; i < list.count; i++)
        assert_int_equal(pn_json_dump(list.items[i].body, &text), PN_OK);
    assert_true(pn_slice_find_slice(pn_buf_slice(&text), PN_LIT("needle")) == text.len);
    pn_buf_fini(&text);
    pn_store_list_fini(&list);
}

static void access_policies_decide(void **state)
{
    struct house *house = *state;
    struct answer answer;

    set(house, "s1", "one");
    ask(house, READER, "PUT", "/secrets/s1", VERSION, "{\"value\":\"x\"}", NULL, &answer);
    assert_int_equal(answer.response.status, 403);
    assert_string_equal(error_code(&answer), "Forbidden");
    assert_string_equal(inner_code(&answer), "ForbiddenByPolicy");
    answer_fini(&answer);
    ask(house, NOBODY, "GET", "/secrets/s1", VERSION, NULL, NULL, &answer);
    assert_int_equal(answer.response.status, 403);
    assert_non_null(
        strstr(pn_json_str(json_object_get(answer.json, "error"), "message"),
               "does not have secrets get permission on key vault 'local;location=local'"));
    answer_fini(&answer);
    ask(house, READER, "GET", "/certificates", VERSION, NULL, NULL, &answer);
    assert_int_equal(answer.response.status, 403);
    answer_fini(&answer);
}

static void disabled_secret_is_not_given(void **state)
{
    struct house *house = *state;
    struct answer answer;

    set(house, "s1", "one");
    ask(house, ADMIN, "PATCH", "/secrets/s1/", VERSION,
        "{\"attributes\":{\"enabled\":false},\"contentType\":\"text/x\"}", NULL, &answer);
    assert_int_equal(answer.response.status, 200);
    assert_null(json_object_get(answer.json, "value"));
    assert_string_equal(pn_json_str(answer.json, "contentType"), "text/x");
    answer_fini(&answer);
    ask(house, READER, "GET", "/secrets/s1", VERSION, NULL, NULL, &answer);
    assert_int_equal(answer.response.status, 403);
    assert_string_equal(inner_code(&answer), "SecretDisabled");
    answer_fini(&answer);
}

static void bad_requests_say_what_is_wrong(void **state)
{
    static const struct {
        const char *method, *path, *query, *body;
        int status;
        const char *code;
    } cases[] = {
        {"GET", "/secrets/s1", "", NULL, 400, "BadParameter"},
        {"GET", "/secrets/s1", "api-version=x", NULL, 400, "BadParameter"},
        {"GET", "/secrets/no_underscore", VERSION, NULL, 400, "BadParameter"},
        {"GET", "/secrets/missing", VERSION, NULL, 404, "SecretNotFound"},
        {"GET", "/certificates/missing", VERSION, NULL, 404, "CertificateNotFound"},
        {"GET", "/secrets/s1/notaversion", VERSION, NULL, 404, "SecretNotFound"},
        {"PUT", "/secrets/s1", VERSION, "", 400, "BadParameter"},
        {"PUT", "/secrets/s1", VERSION, "{", 400, "BadParameter"},
        {"PUT", "/secrets/s1", VERSION, "[]", 400, "BadParameter"},
        {"PUT", "/secrets/s1", VERSION, "{\"value\":1}", 400, "BadParameter"},
        {"PUT", "/secrets/s1", VERSION, "{\"value\":\"x\",\"tags\":{\"a\":1}}", 400,
         "BadParameter"},
        {"PUT", "/secrets/s1", VERSION, "{\"value\":\"x\",\"attributes\":{\"nbf\":9,\"exp\":9}}",
         400, "BadParameter"},
        {"GET", "/secrets", VERSION "&maxresults=26", NULL, 400, "BadParameter"},
        {"DELETE", "/secrets/s1/versions", VERSION, NULL, 405, "MethodNotAllowed"},
        {"GET", "/nothing/k", VERSION, NULL, 404, "NotFound"},
        {"POST", "/keys/k/v/sign", VERSION, NULL, 404, "KeyNotFound"},
    };
    struct house *house = *state;
    struct answer answer;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ask(house, ADMIN, cases[i].method, cases[i].path, cases[i].query, cases[i].body, NULL,
            &answer);
        assert_int_equal(answer.response.status, cases[i].status);
        assert_string_equal(error_code(&answer), cases[i].code);
        answer_fini(&answer);
    }
    assert_int_equal(house->changes, 0);
}

static void secret_has_a_size_limit(void **state)
{
    struct house *house = *state;
    struct answer answer;

    for (unsigned more = 0; more < 2; more++) {
        size_t len = PN_VAULT_SECRET_BYTES_MAX + more;
        char *body = malloc(len + 16);

        memcpy(body, "{\"value\":\"", 10);
        memset(body + 10, 'x', len);
        memcpy(body + 10 + len, "\"}", 3);
        ask(house, ADMIN, "PUT", "/secrets/s1", VERSION, body, NULL, &answer);
        assert_int_equal(answer.response.status, more ? 400 : 200);
        answer_fini(&answer);
        free(body);
    }
}

static size_t walk(struct house *house, const char *path, const char *query)
{
    struct answer answer;
    size_t total = 0;
    char next[512] = "", *question;

    snprintf(next, sizeof next, "%s?%s", path, query);
    while (next[0]) {
        question = strchr(next, '?');
        *question = '\0';
        ask(house, READER, "GET", next, question + 1, NULL, NULL, &answer);
        assert_int_equal(answer.response.status, 200);
        assert_true(json_array_size(json_object_get(answer.json, "value")) <= 2);
        total += json_array_size(json_object_get(answer.json, "value"));
        next[0] = '\0';
        if (pn_json_str(answer.json, "nextLink"))
            snprintf(next, sizeof next, "%s",
                     pn_json_str(answer.json, "nextLink") + strlen(ORIGIN));
        answer_fini(&answer);
    }
    return total;
}

static void lists_are_paged(void **state)
{
    struct house *house = *state;
    char name[8];

    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "s%d", i);
        set(house, name, "x");
        set(house, "many", "x");
    }
    assert_int_equal(walk(house, "/secrets", VERSION "&maxresults=2"), 6);
    assert_int_equal(walk(house, "/secrets/many/versions", VERSION "&maxresults=2"), 5);
    assert_int_equal(walk(house, "/secrets/missing/versions", VERSION "&maxresults=2"), 0);
}

static void keyholder_away_is_a_503(void **state)
{
    struct house *house = *state;
    struct answer answer;

    set(house, "s1", "one");
    fake_keyholder_is_away = true;
    ask(house, READER, "GET", "/secrets/s1", VERSION, NULL, NULL, &answer);
    assert_int_equal(answer.response.status, 503);
    answer_fini(&answer);
    ask(house, ADMIN, "PUT", "/secrets/s1", VERSION, "{\"value\":\"x\"}", NULL, &answer);
    assert_int_equal(answer.response.status, 503);
    answer_fini(&answer);
    fake_keyholder_is_away = false;
}

/* The clock reads what is due, and purges it a moment later: by then it may be another deletion. */
static void clock_does_not_purge_what_was_deleted_anew(void **state)
{
    struct house *house = *state;
    struct vault_call call = {.vault = house->vault};
    struct pn_error err = {0};
    struct answer answer;

    snprintf(call.vault_name, sizeof call.vault_name, "local");
    snprintf(call.name, sizeof call.name, "s");
    snprintf(call.key, sizeof call.key, "s");
    ask(house, ADMIN, "PUT", "/secrets/s", VERSION, "{\"value\":\"v\"}", NULL, &answer);
    answer_fini(&answer);
    assert_int_equal(vault_purge_over(&call, KIND_SECRET, &err), PN_NOT_FOUND);
    ask(house, ADMIN, "DELETE", "/secrets/s", VERSION, NULL, NULL, &answer);
    assert_int_equal(answer.response.status, 200);
    answer_fini(&answer);
    assert_int_equal(vault_purge_over(&call, KIND_SECRET, &err), PN_NOT_FOUND);
    ask(house, ADMIN, "POST", "/deletedsecrets/s/recover", VERSION, NULL, NULL, &answer);
    assert_int_equal(answer.response.status, 200);
    answer_fini(&answer);
    ask(house, ADMIN, "GET", "/secrets/s", VERSION, NULL, NULL, &answer);
    assert_string_equal(pn_json_str(answer.json, "value"), "v");
    answer_fini(&answer);
}

/* A request that found its vault, and writes when the vault is deleted, purged or made anew. */
static void vault_that_went_meanwhile_takes_nothing(void **state)
{
    struct house *house = *state;
    struct vault_call call = {.vault = house->vault};
    struct pn_store_txn *txn = NULL;
    struct pn_error err = {0};
    struct answer answer;

    snprintf(call.vault_name, sizeof call.vault_name, "local");
    snprintf(call.name, sizeof call.name, "s");
    snprintf(call.key, sizeof call.key, "s");
    assert_int_equal(pn_store_get(house->store, VAULTS "/local", &call.item, &err), PN_OK);
    assert_int_equal(pn_store_begin(house->store, &txn, &err), PN_OK);
    assert_int_equal(vault_check_name(&call, txn, KIND_SECRET, &err), PN_OK);
    pn_store_rollback(txn);
    ask_arm(house, ADMIN, "DELETE", VAULTS "/local", NULL, &answer);
    assert_int_equal(answer.response.status, 200);
    answer_fini(&answer);
    assert_int_equal(pn_store_begin(house->store, &txn, &err), PN_OK);
    assert_int_equal(vault_check_name(&call, txn, KIND_SECRET, &err), PN_CONFLICT);
    pn_store_rollback(txn);
    pn_store_item_fini(&call.item);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, house_setup, house_teardown)
    const struct CMUnitTest tests[] = {
        TEST(challenge_comes_before_everything_else),
        TEST(token_for_another_audience_is_refused),
        TEST(latest_version_is_read_with_and_without_a_slash),
        TEST(ids_begin_with_the_callers_origin),
        TEST(value_is_sealed_at_rest),
        TEST(access_policies_decide),
        TEST(disabled_secret_is_not_given),
        TEST(bad_requests_say_what_is_wrong),
        TEST(secret_has_a_size_limit),
        TEST(lists_are_paged),
        TEST(keyholder_away_is_a_503),
        TEST(clock_does_not_purge_what_was_deleted_anew),
        TEST(vault_that_went_meanwhile_takes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
