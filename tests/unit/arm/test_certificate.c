/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates: uploads, key vault references, keys that are forgotten, lists, deletion.
 */
#include "unit/arm/support.h"

#include <stdio.h>
#include <string.h>

#define C1 SERVICE "/certificates/c1"

static void uploaded_certificate_shows_public_facts_only(void **state)
{
    struct arm_fixture *f = *state;

    assert_int_equal(arm_put_certificate(f, "c1", "one"), 201);
    assert_string_equal(arm_text(f, "id"), C1);
    assert_string_equal(arm_text(f, "type"), "Microsoft.ApiManagement/service/certificates");
    assert_string_equal(arm_text(f, "properties/subject"), "CN=one");
    assert_int_equal(strlen(arm_text(f, "properties/thumbprint")), 40);
    assert_null(arm_at(f, "properties/data"));
    assert_null(arm_at(f, "properties/password"));
    assert_null(arm_at(f, "properties/keyVault"));
    assert_null(arm_at(f, "internal"));
    assert_int_equal(f->published, pn_store_revision(f->store));
    assert_int_equal(strlen(f->etag), 14);
    assert_int_equal(arm_call(f, "GET", C1, NULL, NULL), 200);
    assert_int_equal(arm_call(f, "HEAD", C1, NULL, NULL), 200);
    assert_int_equal(f->body.len, 0);
    assert_int_equal(strlen(f->etag), 14);
    assert_int_equal(arm_call(f, "HEAD", SERVICE "/certificates/no", NULL, NULL), 404);
    assert_int_equal(f->body.len, 0);
    assert_false(arm_is_on_disk(f, "\"secret\""));
}

static void bad_uploads_are_refused_and_change_nothing(void **state)
{
    static const struct {
        const char *body, *target;
    } bad[] = {
        {"{\"properties\":{}}", "data"},
        {"{}", "data"},
        {"{\"properties\":{\"data\":null,\"keyVault\":null}}", "data"},
        {"{\"properties\":{\"data\":\"%%%\",\"password\":\"secret\"}}", "data"},
        {"{\"properties\":{\"data\":17}}", "data"},
        {"{\"properties\":{\"data\":\"bm9ub25v\",\"password\":\"secret\"}}", "data"},
        {"{\"properties\":{\"data\":\"UEZYOm9uZQ==\",\"password\":\"wrong\"}}", "password"},
        {"{\"properties\":{\"data\":\"UEZYOm9uZQ==\"}}", "password"},
        {"{\"properties\":{\"data\":\"UEZYOm9uZQ==\",\"keyVault\":{\"secretIdentifier\":\"x\"}}}",
         "keyVault"},
        {"{\"properties\":{\"keyVault\":{}}}", "keyVault.secretIdentifier"},
    };
    struct arm_fixture *f = *state;
    uint64_t before = pn_store_revision(f->store);

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(arm_call(f, "PUT", C1, NULL, bad[i].body), 400);
        assert_string_equal(arm_text(f, "error/code"), "ValidationError");
        assert_string_equal(arm_text(f, "error/message"),
                            "One or more fields contain incorrect values:");
        assert_string_equal(arm_text(f, "error/details/0/target"), bad[i].target);
    }
    assert_int_equal(pn_store_revision(f->store), before);
    assert_int_equal(arm_call(f, "GET", C1, NULL, NULL), 404);
}

static void replaced_certificate_lets_its_old_key_be_forgotten(void **state)
{
    struct arm_fixture *f = *state;

    assert_int_equal(arm_put_certificate(f, "c1", "one"), 201);
    assert_int_equal(arm_put_certificate(f, "c1", "two"), 200);
    assert_string_equal(arm_text(f, "properties/subject"), "CN=two");
    assert_false(arm_has_key(f, "one"));
    assert_true(arm_has_key(f, "two"));
}

static void key_is_kept_while_another_certificate_has_it(void **state)
{
    struct arm_fixture *f = *state;

    assert_int_equal(arm_put_certificate(f, "c1", "one"), 201);
    assert_int_equal(arm_put_certificate(f, "c2", "one"), 201);
    assert_int_equal(arm_put_certificate(f, "c1", "one"), 200);
    assert_int_equal(arm_call(f, "DELETE", C1, "If-Match: *", NULL), 200);
    assert_true(arm_has_key(f, "one"));
    assert_int_equal(arm_call(f, "DELETE", SERVICE "/certificates/c2", NULL, NULL), 200);
    assert_false(arm_has_key(f, "one"));
    assert_int_equal(arm_call(f, "DELETE", SERVICE "/certificates/c2", NULL, NULL), 204);
}

static void if_match_is_obeyed_and_a_refused_upload_leaves_no_key(void **state)
{
    struct arm_fixture *f = *state;
    char header[96];

    assert_int_equal(arm_put_certificate(f, "c1", "one"), 201);
    (void)snprintf(header, sizeof(header), "If-Match: %s", f->etag);
    assert_int_equal(
        arm_call(f, "PUT", C1, "If-Match: \"AAAAAAAAAAE=\"",
                 "{\"properties\":{\"data\":\"UEZYOnR3bw==\",\"password\":\"secret\"}}"),
        412);
    assert_string_equal(arm_text(f, "error/code"), "PreconditionFailed");
    assert_false(arm_has_key(f, "two"));
    assert_true(arm_has_key(f, "one"));
    assert_int_equal(arm_call(f, "DELETE", C1, "If-Match: \"AAAAAAAAAAE=\"", NULL), 412);
    assert_int_equal(
        arm_call(f, "PUT", C1, header,
                 "{\"properties\":{\"data\":\"UEZYOnR3bw==\",\"password\":\"secret\"}}"),
        200);
    assert_int_equal(arm_call(f, "DELETE", C1, header, NULL), 412); /* it is another one now */
    assert_int_equal(
        arm_call(f, "PUT", C1, "If-None-Match: *",
                 "{\"properties\":{\"data\":\"UEZYOnR3bw==\",\"password\":\"secret\"}}"),
        412);
    assert_true(arm_has_key(f, "two"));
}

static void gateway_that_does_not_answer_makes_503_but_nothing_is_lost(void **state)
{
    struct arm_fixture *f = *state;

    f->publish_rc = PN_TIMEOUT;
    assert_int_equal(arm_put_certificate(f, "c1", "one"), 503);
    assert_string_equal(arm_text(f, "error/code"), "ServiceUnavailable");
    assert_non_null(strstr(arm_text(f, "error/message"), "is stored"));
    assert_non_null(strstr(f->header_text, "Retry-After: 1\n"));
    assert_true(arm_has_key(f, "one"));
    f->publish_rc = PN_OK;
    assert_int_equal(arm_put_certificate(f, "c1", "one"), 200);
    f->publish_rc = PN_TIMEOUT;
    assert_int_equal(arm_call(f, "DELETE", C1, NULL, NULL), 503);
    assert_int_equal(arm_call(f, "DELETE", C1, NULL, NULL), 503); /* gone, but not yet live */
    f->publish_rc = PN_OK;
    assert_int_equal(arm_call(f, "DELETE", C1, NULL, NULL), 204);
}

static void keyholder_away_is_503(void **state)
{
    struct arm_fixture *f = *state;

    f->is_keyholder_away = true;
    assert_int_equal(arm_put_certificate(f, "c1", "one"), 503);
    f->is_keyholder_away = false;
    assert_int_equal(arm_call(f, "GET", C1, NULL, NULL), 404);
}

static void key_forgotten_for_another_request_is_never_stored(void **state)
{
    struct arm_fixture *f = *state;

    f->is_forgetful = true;
    assert_int_equal(arm_put_certificate(f, "c1", "one"), 503);
    assert_non_null(strstr(f->header_text, "Retry-After: 1\n"));
    assert_int_equal(arm_call(f, "GET", C1, NULL, NULL), 404);
    f->is_forgetful = false;
    assert_int_equal(arm_put_certificate(f, "c1", "one"), 201);
}

static void key_vault_certificate_is_fetched_and_refreshed(void **state)
{
    struct arm_fixture *f = *state;
    const char *body = "{\"properties\":{\"keyVault\":{\"secretIdentifier\":"
                       "\"https://local.vault.localhost:9444/secrets/kv1\","
                       "\"identityClientId\":null}}}";

    assert_int_equal(arm_call(f, "PUT", C1, NULL, body), 201);
    assert_string_equal(arm_text(f, "properties/keyVault/lastStatus/code"), "Success");
    assert_string_equal(arm_text(f, "properties/keyVault/secretIdentifier"),
                        "https://local.vault.localhost:9444/secrets/kv1");
    assert_null(arm_at(f, "properties/keyVault/identityClientId"));
    assert_true(f->rescans > 0);
    assert_int_equal(arm_call(f, "POST", C1 "/refreshSecret", NULL, NULL), 200);
    assert_int_equal(f->refreshes, 1);
    assert_string_equal(arm_text(f, "name"), "c1");
    assert_int_equal(strlen(f->etag), 14);
    assert_int_equal(arm_call(f, "POST", SERVICE "/certificates/no/refreshSecret", NULL, NULL),
                     404);
    f->refresh_code = "not_found"; /* deleted while the vault was asked */
    assert_int_equal(arm_call(f, "POST", C1 "/refreshSecret", NULL, NULL), 404);
    f->refresh_code = "certificate_changed"; /* given another source: there it is still */
    assert_int_equal(arm_call(f, "POST", C1 "/refreshSecret", NULL, NULL), 409);
}

static void failed_fetch_tells_why_and_stores_nothing(void **state)
{
    struct arm_fixture *f = *state;
    const char *body =
        "{\"properties\":{\"keyVault\":{\"secretIdentifier\":\"https://v/secrets/x\"}}}";

    f->fetch_code = "vault_forbidden";
    assert_int_equal(arm_call(f, "PUT", C1, NULL, body), 400);
    assert_string_equal(arm_text(f, "error/code"), "ValidationError");
    assert_non_null(strstr(arm_text(f, "error/details/0/message"), "the vault said no"));
    f->fetch_code = "identity_not_enabled";
    assert_int_equal(arm_call(f, "PUT", C1, NULL, body), 400);
    assert_string_equal(arm_text(f, "error/code"), "InvalidOperation");
    assert_int_equal(arm_call(f, "GET", C1, NULL, NULL), 404);
}

static void refresh_of_an_uploaded_certificate_is_refused(void **state)
{
    struct arm_fixture *f = *state;

    assert_int_equal(arm_put_certificate(f, "c1", "one"), 201);
    assert_int_equal(arm_call(f, "POST", C1 "/refreshSecret", NULL, NULL), 400);
    assert_int_equal(f->refreshes, 0);
}

static void lists_filter_page_and_link(void **state)
{
    struct arm_fixture *f = *state;

    assert_int_equal(arm_put_certificate(f, "c1", "alpha"), 201);
    assert_int_equal(arm_put_certificate(f, "c2", "beta"), 201);
    assert_int_equal(arm_put_certificate(f, "c3", "alphabet"), 201);
    assert_int_equal(arm_call(f, "GET", SERVICE "/certificates", NULL, NULL), 200);
    assert_int_equal(json_integer_value(arm_at(f, "count")), 3);
    assert_null(arm_at(f, "nextLink"));
    assert_int_equal(
        arm_call(f, "GET", SERVICE "/certificates?$filter=contains(subject%2C%27Alpha%27)&$top=1",
                 NULL, NULL),
        200);
    assert_int_equal(json_integer_value(arm_at(f, "count")), 2);
    assert_int_equal(json_array_size(arm_at(f, "value")), 1);
    assert_string_equal(arm_text(f, "value/0/name"), "c1");
    assert_string_equal(arm_text(f, "nextLink"),
                        "https://localhost:9443" SERVICE
                        "/certificates?$filter=contains(subject%2C%27Alpha%27)&"
                        "api-version=2024-05-01&%24top=1&%24skip=1");
    assert_int_equal(arm_call(f, "GET", SERVICE "/certificates?%24skip=2&%24top=2", NULL, NULL),
                     200);
    assert_string_equal(arm_text(f, "value/0/name"), "c3");
    assert_null(arm_at(f, "nextLink"));
    assert_int_equal(
        arm_call(f, "GET",
                 SERVICE "/certificates?$filter=name+eq+'C2'+or+startswith(subject,'CN=alphab')",
                 NULL, NULL),
        200);
    assert_int_equal(json_integer_value(arm_at(f, "count")), 2);
    assert_int_equal(arm_call(f, "GET",
                              SERVICE "/certificates?$filter=not(name+eq+'c1')+and+"
                                      "expirationDate+gt+datetime'2020-01-01T00:00:00Z'",
                              NULL, NULL),
                     200);
    assert_int_equal(json_integer_value(arm_at(f, "count")), 2);
    assert_int_equal(
        arm_call(f, "GET", SERVICE "/certificates?isKeyVaultRefreshFailed=true", NULL, NULL), 200);
    assert_int_equal(json_integer_value(arm_at(f, "count")), 0);
}

static void bad_list_parameters_are_400(void **state)
{
    static const char *const bad[] = {"$top=0",
                                      "$top=x",
                                      "$skip=-1",
                                      "$filter=secret+eq+'x'",
                                      "$filter=name+eq",
                                      "$filter=name+like+'x'",
                                      "$filter=contains(name,'x'",
                                      "$filter=name+eq+'x'+name",
                                      "$filter=((((((((((((((((((((((((((((((((((((name+eq+'x'",
                                      "$filter='"};
    struct arm_fixture *f = *state;
    char target[512];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        (void)snprintf(target, sizeof(target), SERVICE "/certificates?%s", bad[i]);
        assert_int_equal(arm_call(f, "GET", target, NULL, NULL), 400);
        assert_string_equal(arm_text(f, "error/code"), "ValidationError");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARM_TEST(uploaded_certificate_shows_public_facts_only),
        ARM_TEST(bad_uploads_are_refused_and_change_nothing),
        ARM_TEST(replaced_certificate_lets_its_old_key_be_forgotten),
        ARM_TEST(key_is_kept_while_another_certificate_has_it),
        ARM_TEST(if_match_is_obeyed_and_a_refused_upload_leaves_no_key),
        ARM_TEST(gateway_that_does_not_answer_makes_503_but_nothing_is_lost),
        ARM_TEST(keyholder_away_is_503),
        ARM_TEST(key_forgotten_for_another_request_is_never_stored),
        ARM_TEST(key_vault_certificate_is_fetched_and_refreshed),
        ARM_TEST(failed_fetch_tells_why_and_stores_nothing),
        ARM_TEST(refresh_of_an_uploaded_certificate_is_refused),
        ARM_TEST(lists_filter_page_and_link),
        ARM_TEST(bad_list_parameters_are_400),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
