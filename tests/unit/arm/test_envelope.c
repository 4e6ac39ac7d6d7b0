/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens, rights, routes, api-version, bodies, error forms; subscriptions, groups, the service.
 */
#include "unit/arm/support.h"

#include <string.h>

static void call_without_token_is_401_with_a_challenge(void **state)
{
    struct arm_fixture *f = *state;

    assert_int_equal(arm_call_raw(f, "GET", SERVICE "?api-version=2024-05-01", NULL, NULL), 401);
    assert_string_equal(arm_text(f, "error/code"), "AuthenticationFailed");
    assert_non_null(strstr(f->header_text, "WWW-Authenticate: Bearer authorization_uri="
                                           "\"https://localhost:9443/" TENANT "\""));
    assert_true(json_is_null(arm_at(f, "error/details")));
}

static void bad_token_is_401_and_says_why(void **state)
{
    struct arm_fixture *f = *state;
    const char *const expired[] = {"Authorization: Bearer expired", NULL};
    const char *const wrong[] = {"Authorization: Bearer wrong", NULL};
    const char *const basic[] = {"Authorization: Basic Z29vZA==", NULL};

    assert_int_equal(arm_call_raw(f, "GET", SERVICE, expired, NULL), 401);
    assert_string_equal(arm_text(f, "error/code"), "ExpiredAuthenticationToken");
    assert_int_equal(arm_call_raw(f, "GET", SERVICE, wrong, NULL), 401);
    assert_string_equal(arm_text(f, "error/code"), "InvalidAuthenticationToken");
    assert_int_equal(arm_call_raw(f, "GET", SERVICE, basic, NULL), 401);
}

static void caller_without_the_right_is_403(void **state)
{
    struct arm_fixture *f = *state;

    f->denied_action = "Microsoft.ApiManagement/service/certificates/write";
    assert_int_equal(arm_put_certificate(f, "c1", "one"), 403);
    assert_string_equal(arm_text(f, "error/code"), "AuthorizationFailed");
    assert_non_null(strstr(arm_text(f, "error/message"), "certificates/c1"));
    assert_int_equal(arm_call(f, "GET", SERVICE "/certificates", NULL, NULL), 200);
    assert_int_equal(json_integer_value(arm_at(f, "count")), 0);
    f->denied_action = "Microsoft.ApiManagement/service/certificates/delete";
    assert_int_equal(arm_put_certificate(f, "c1", "one"), 201);
    assert_int_equal(arm_call(f, "DELETE", SERVICE "/certificates/c1", NULL, NULL), 403);
    f->denied_action = "Microsoft.ApiManagement/service/certificates/refreshSecret/action";
    assert_int_equal(arm_call(f, "POST", SERVICE "/certificates/c1/refreshSecret", NULL, NULL),
                     403);
}

static void api_version_is_needed_and_dated(void **state)
{
    struct arm_fixture *f = *state;
    const char *const good[] = {"Authorization: Bearer good", NULL};

    assert_int_equal(arm_call_raw(f, "GET", SERVICE, good, NULL), 400);
    assert_string_equal(arm_text(f, "error/code"), "MissingApiVersionParameter");
    assert_int_equal(arm_call_raw(f, "GET", SERVICE "?api-version=2019-01-01", good, NULL), 400);
    assert_string_equal(arm_text(f, "error/code"), "InvalidApiVersionParameter");
    assert_int_equal(arm_call_raw(f, "GET", SERVICE "?api-version=newest", good, NULL), 400);
    assert_int_equal(arm_call_raw(f, "GET", SERVICE "?api-version=2022-04-01-preview", good, NULL),
                     200);
    /* as some clients encode it */
    assert_int_equal(arm_call_raw(f, "GET", SERVICE "?api%2Dversion=2020-12-01", good, NULL), 200);
    assert_int_equal(arm_call_raw(f, "GET", "/subscriptions?api-version=2019-11-01", good, NULL),
                     200);
}

static void fixed_segments_ignore_case_and_empty_segments_are_dropped(void **state)
{
    struct arm_fixture *f = *state;

    assert_int_equal(arm_call(f, "GET",
                              "//subscriptions/" SUB "/resourcegroups/RG1/providers/"
                              "microsoft.apimanagement/SERVICE/APIM1/",
                              NULL, NULL),
                     200);
    assert_string_equal(arm_text(f, "id"), SERVICE);
    assert_string_equal(arm_text(f, "name"), "apim1");
    assert_int_equal(arm_put_certificate(f, "MyCert", "one"), 201);
    assert_int_equal(arm_call(f, "GET",
                              "/SUBSCRIPTIONS/" SUB "/RESOURCEGROUPS/rg1/PROVIDERS/"
                              "MICROSOFT.APIMANAGEMENT/service/Apim1/CERTIFICATES/mycert",
                              NULL, NULL),
                     200);
    assert_string_equal(arm_text(f, "id"), SERVICE "/certificates/MyCert");
}

static void unknown_addresses_are_404_and_wrong_methods_405(void **state)
{
    struct arm_fixture *f = *state;

    assert_int_equal(arm_call(f, "GET", "/nothing", NULL, NULL), 404);
    assert_int_equal(arm_call(f, "GET", SERVICE "/nothing", NULL, NULL), 404);
    assert_string_equal(arm_text(f, "error/code"), "InvalidResourceType");
    assert_int_equal(arm_call(f, "GET",
                              "/subscriptions/" SUB "/resourceGroups/rg1/providers/Other.Thing/x/y",
                              NULL, NULL),
                     404);
    assert_string_equal(arm_text(f, "error/code"), "InvalidResourceNamespace");
    assert_int_equal(arm_call(f, "PATCH", SERVICE "/certificates/c1", NULL, "{}"), 405);
    assert_non_null(strstr(f->header_text, "Allow: GET, HEAD, PUT, DELETE\n"));
    assert_int_equal(arm_call(f, "GET", SERVICE "/certificates/c1/refreshSecret", NULL, NULL), 405);
    assert_int_equal(
        arm_call(f, "GET", "/subscriptions/00000000-0000-0000-0000-000000000000", NULL, NULL), 404);
    assert_string_equal(arm_text(f, "error/code"), "SubscriptionNotFound");
    assert_int_equal(arm_call(f, "GET",
                              "/subscriptions/" SUB "/resourceGroups/rg1/providers/"
                              "Microsoft.ApiManagement/service/other/apis",
                              NULL, NULL),
                     404);
    assert_string_equal(arm_text(f, "error/code"), "ResourceNotFound");
}

static void broken_json_is_400_with_its_place_and_without_its_content(void **state)
{
    struct arm_fixture *f = *state;

    assert_int_equal(arm_call(f, "PUT", SERVICE "/certificates/c1", NULL,
                              "{\"properties\":\n{\"password\":\"hush-hush\" oops}}"),
                     400);
    assert_non_null(strstr(arm_text(f, "error/message"), "line 2"));
    assert_null(strstr(arm_text(f, "error/message"), "hush"));
    assert_int_equal(arm_call(f, "PUT", SERVICE "/certificates/c1", NULL, ""), 400);
    assert_int_equal(arm_call(f, "PUT", SERVICE "/certificates/c1", NULL, "[]"), 400);
    assert_int_equal(arm_call(f, "PUT", SERVICE "/certificates/c1", NULL, "{\"properties\":7}"),
                     400);
    assert_string_equal(arm_text(f, "error/details/0/target"), "properties");
}

static void bad_names_are_refused(void **state)
{
    struct arm_fixture *f = *state;

    assert_int_equal(arm_put_certificate(f, "a%2Ab", "one"), 400);
    assert_string_equal(arm_text(f, "error/code"), "ValidationError");
    assert_string_equal(arm_text(f, "error/details/0/target"), "name");
    assert_int_equal(arm_put_certificate(f, "a%0Ab", "one"), 400);
    assert_int_equal(arm_put_certificate(f, "a%2Fb", "one"), 400);
    assert_false(arm_has_key(f, "one"));
}

static void request_ids_come_back(void **state)
{
    struct arm_fixture *f = *state;
    const char *const headers[] = {"Authorization: Bearer good", "x-ms-client-request-id: abc",
                                   "x-ms-return-client-request-id: true", NULL};

    arm_call_raw(f, "GET", SERVICE "?api-version=2024-05-01", headers, NULL);
    assert_non_null(strstr(f->header_text, "x-ms-client-request-id: abc\n"));
    assert_non_null(
        strstr(f->header_text, "x-ms-request-id: cccccccc-2222-4333-8444-555555555555\n"));
    assert_non_null(strstr(f->header_text, "Cache-Control: no-cache\n"));
}

static void login_finds_the_subscription(void **state)
{
    struct arm_fixture *f = *state;

    assert_int_equal(arm_call(f, "GET", "/subscriptions", NULL, NULL), 200);
    assert_string_equal(arm_text(f, "value/0/subscriptionId"), SUB);
    assert_string_equal(arm_text(f, "value/0/state"), "Enabled");
    assert_int_equal(arm_call(f, "GET", "/subscriptions/" SUB, NULL, NULL), 200);
    assert_string_equal(arm_text(f, "tenantId"), TENANT);
    assert_int_equal(arm_call(f, "GET", "/tenants", NULL, NULL), 200);
    assert_string_equal(arm_text(f, "value/0/tenantId"), TENANT);
    f->denied_action = "Microsoft.Resources/subscriptions/read";
    assert_int_equal(arm_call(f, "GET", "/subscriptions", NULL, NULL), 200);
    assert_int_equal(json_array_size(arm_at(f, "value")), 0);
}

static void resource_groups_are_made_and_found(void **state)
{
    struct arm_fixture *f = *state;
    const char *group = "/subscriptions/" SUB "/resourcegroups/Group-2";

    assert_int_equal(arm_call(f, "GET", group, NULL, NULL), 404);
    assert_string_equal(arm_text(f, "error/code"), "ResourceGroupNotFound");
    assert_int_equal(arm_call(f, "PUT", group, NULL, "{}"), 400);
    assert_int_equal(arm_call(f, "PUT", group, NULL, "{\"location\":\"local\"}"), 201);
    assert_string_equal(arm_text(f, "id"), "/subscriptions/" SUB "/resourceGroups/Group-2");
    assert_int_equal(
        arm_call(f, "PUT", group, NULL, "{\"location\":\"local\",\"tags\":{\"a\":\"b\"}}"), 200);
    assert_int_equal(arm_call(f, "GET", group, NULL, NULL), 200);
    assert_string_equal(arm_text(f, "tags/a"), "b");
    assert_int_equal(arm_call(f, "HEAD", group, NULL, NULL), 204);
    assert_int_equal(f->body.len, 0);
    assert_int_equal(arm_call(f, "GET", "/subscriptions/" SUB "/resourceGroups", NULL, NULL), 200);
    assert_int_equal(json_integer_value(arm_at(f, "count")), 2);
    assert_int_equal(arm_call(f, "GET",
                              "/subscriptions/" SUB "/resources?$filter=resourceType%20eq%20%27"
                              "Microsoft.ApiManagement%2Fservice%27",
                              NULL, NULL),
                     200);
    assert_string_equal(arm_text(f, "value/0/id"), SERVICE);
}

static void service_shows_its_facts_and_lists(void **state)
{
    struct arm_fixture *f = *state;

    assert_int_equal(arm_call(f, "GET", SERVICE, NULL, NULL), 200);
    assert_string_equal(arm_text(f, "type"), "Microsoft.ApiManagement/service");
    assert_string_equal(arm_text(f, "identity/type"), "SystemAssigned");
    assert_string_equal(arm_text(f, "identity/tenantId"), TENANT);
    assert_string_equal(arm_text(f, "properties/provisioningState"), "Succeeded");
    assert_string_equal(arm_text(f, "properties/gatewayUrl"), "http://localhost:8080");
    assert_null(arm_at(f, "internal"));
    /* the header's tag is the body's in quotes */
    assert_int_equal(strlen(f->etag), strlen(arm_text(f, "etag")) + 2);
    assert_int_equal(arm_call(f, "GET",
                              "/subscriptions/" SUB "/providers/Microsoft.ApiManagement/service",
                              NULL, NULL),
                     200);
    assert_string_equal(arm_text(f, "value/0/id"), SERVICE);
    assert_int_equal(arm_call(f, "GET",
                              "/subscriptions/" SUB
                              "/resourceGroups/rg1/providers/Microsoft.ApiManagement/service",
                              NULL, NULL),
                     200);
    assert_int_equal(json_integer_value(arm_at(f, "count")), 1);
}

static void put_without_identity_leaves_the_identity(void **state)
{
    struct arm_fixture *f = *state;
    const char *body =
        "{\"location\":\"local\",\"sku\":{\"name\":\"Developer\",\"capacity\":\"1\"},"
        "\"properties\":{\"publisherEmail\":\"a@b\",\"publisherName\":\"n\","
        "\"gatewayUrl\":\"echoed\"}}";

    assert_int_equal(arm_call(f, "PUT", SERVICE, NULL, body), 200);
    assert_string_equal(arm_text(f, "identity/type"), "SystemAssigned");
    assert_string_equal(arm_text(f, "properties/publisherEmail"), "a@b");
    assert_string_equal(arm_text(f, "properties/gatewayUrl"), "http://localhost:8080");
    assert_int_equal(arm_call(f, "PUT", SERVICE, NULL, "{\"location\":\"local\"}"), 400);
}

static void identity_goes_only_with_none_and_comes_back_the_same(void **state)
{
    struct arm_fixture *f = *state;

    assert_int_equal(arm_call(f, "PATCH", SERVICE, NULL, "{\"tags\":{\"x\":\"y\"}}"), 200);
    assert_string_equal(arm_text(f, "identity/type"), "SystemAssigned");
    assert_string_equal(arm_text(f, "tags/x"), "y");
    assert_int_equal(arm_call(f, "PATCH", SERVICE, NULL, "{\"identity\":{\"type\":\"none\"}}"),
                     200);
    assert_null(arm_at(f, "identity"));
    assert_int_equal(arm_call(f, "PATCH", SERVICE, NULL, "{\"tags\":{}}"), 200);
    assert_null(arm_at(f, "identity"));
    assert_int_equal(arm_call(f, "PATCH", SERVICE, NULL,
                              "{\"identity\":{\"type\":\"SystemAssigned\",\"principalId\":\"x\"}}"),
                     200);
    assert_string_equal(arm_text(f, "identity/principalId"),
                        "aaaaaaaa-2222-4333-8444-555555555555");
    assert_int_equal(
        arm_call(f, "PATCH", SERVICE, NULL, "{\"identity\":{\"type\":\"UserAssigned\"}}"), 400);
    assert_string_equal(arm_text(f, "error/details/0/target"), "identity.userAssignedIdentities");
}

static void another_service_is_refused(void **state)
{
    struct arm_fixture *f = *state;

    assert_int_equal(arm_call(f, "PUT",
                              "/subscriptions/" SUB "/resourceGroups/rg1/providers/"
                              "Microsoft.ApiManagement/service/second",
                              NULL, "{}"),
                     409);
}

static void service_names_are_checked(void **state)
{
    struct arm_fixture *f = *state;
    const char *target =
        "/subscriptions/" SUB "/providers/Microsoft.ApiManagement/checkNameAvailability";

    assert_int_equal(arm_call(f, "POST", target, NULL, "{\"name\":\"free\"}"), 200);
    assert_true(json_is_true(arm_at(f, "nameAvailable")));
    assert_int_equal(arm_call(f, "POST", target, NULL, "{\"name\":\"APIM1\"}"), 200);
    assert_string_equal(arm_text(f, "reason"), "AlreadyExists");
    assert_int_equal(arm_call(f, "POST", target, NULL, "{\"name\":\"-x\"}"), 200);
    assert_string_equal(arm_text(f, "reason"), "Invalid");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARM_TEST(call_without_token_is_401_with_a_challenge),
        ARM_TEST(bad_token_is_401_and_says_why),
        ARM_TEST(caller_without_the_right_is_403),
        ARM_TEST(api_version_is_needed_and_dated),
        ARM_TEST(fixed_segments_ignore_case_and_empty_segments_are_dropped),
        ARM_TEST(unknown_addresses_are_404_and_wrong_methods_405),
        ARM_TEST(broken_json_is_400_with_its_place_and_without_its_content),
        ARM_TEST(bad_names_are_refused),
        ARM_TEST(request_ids_come_back),
        ARM_TEST(login_finds_the_subscription),
        ARM_TEST(resource_groups_are_made_and_found),
        ARM_TEST(service_shows_its_facts_and_lists),
        ARM_TEST(put_without_identity_leaves_the_identity),
        ARM_TEST(identity_goes_only_with_none_and_comes_back_the_same),
        ARM_TEST(another_service_is_refused),
        ARM_TEST(service_names_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
