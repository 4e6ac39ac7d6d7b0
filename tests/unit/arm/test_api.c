/* SPDX-License-Identifier: Apache-2.0
 *
 * APIs, operations, subscriptions.
 */
#include "unit/arm/support.h"

#include <stdio.h>
#include <string.h>

#include "base/encode.h"

#define ECHO SERVICE "/apis/echo"
#define S1   SERVICE "/subscriptions/s1"

static int put_api(struct arm_fixture *f, const char *target, const char *path)
{
    char body[512];

    (void)snprintf(body, sizeof(body), "{\"properties\":{\"path\":\"%s\"}}", path);
    return arm_call(f, "PUT", target, NULL, body);
}

static void api_gets_its_defaults_and_a_clean_path(void **state)
{
    struct arm_fixture *f = *state;

    assert_int_equal(put_api(f, SERVICE "/apis/Echo", "/my/Echo/"), 201);
    assert_string_equal(arm_text(f, "properties/path"), "my/Echo");
    assert_string_equal(arm_text(f, "properties/displayName"), "Echo");
    assert_string_equal(arm_text(f, "properties/protocols/0"), "https");
    assert_string_equal(arm_text(f, "properties/apiRevision"), "1");
    assert_true(json_is_true(arm_at(f, "properties/isCurrent")));
    assert_true(json_is_true(arm_at(f, "properties/subscriptionRequired")));
    assert_string_equal(arm_text(f, "properties/subscriptionKeyParameterNames/header"),
                        "Ocp-Apim-Subscription-Key");
    assert_int_equal(arm_call(f, "GET", SERVICE "/apis/echo;rev=1", NULL, NULL), 200);
    assert_string_equal(arm_text(f, "name"), "Echo");
    assert_int_equal(arm_call(f, "GET", SERVICE "/apis/echo;rev=2", NULL, NULL), 404);
    assert_int_equal(arm_call(f, "PATCH", ECHO, "If-Match: *",
                              "{\"properties\":{\"subscriptionRequired\":false,\"path\":\"new\"}}"),
                     200);
    assert_string_equal(arm_text(f, "properties/path"), "new");
    assert_true(json_is_false(arm_at(f, "properties/subscriptionRequired")));
    assert_int_equal(arm_call(f, "GET", SERVICE "/apis?$filter=isCurrent+eq+true", NULL, NULL),
                     200);
    assert_int_equal(json_integer_value(arm_at(f, "count")), 1);
}

static void two_apis_cannot_have_one_path(void **state)
{
    struct arm_fixture *f = *state;

    assert_int_equal(put_api(f, ECHO, "one"), 201);
    assert_int_equal(put_api(f, SERVICE "/apis/other", "/ONE"), 400);
    assert_string_equal(arm_text(f, "error/details/0/target"), "path");
    assert_non_null(strstr(arm_text(f, "error/details/0/message"), "'echo'"));
    assert_int_equal(put_api(f, ECHO, "one"), 200);
    assert_int_equal(put_api(f, SERVICE "/apis/root", ""), 201);
    assert_int_equal(put_api(f, SERVICE "/apis/root2", "/"), 400);
}

static void what_the_gateway_cannot_do_is_refused(void **state)
{
    static const struct {
        const char *properties, *target;
    } bad[] = {
        {"\"displayName\":\"x\"", "path"},
        {"\"path\":\"a b\"", "path"},
        {"\"path\":\"a?b\"", "path"},
        {"\"path\":\"a//b\"", "path"},
        {"\"path\":\"p\",\"format\":\"wsdl\",\"value\":\"<a/>\"", "format"},
        {"\"path\":\"p\",\"format\":\"openapi-link\",\"value\":\"https://a.example\"", "format"},
        {"\"path\":\"p\",\"value\":\"openapi: 3.0.0\"", "format"},
        {"\"path\":\"p\",\"format\":\"openapi+json\",\"value\":\"{}\"", "value"},
        {"\"path\":\"p\",\"format\":\"openapi\",\"value\":\"openapi: 3.0.0\\npaths: {'/a/{x': "
         "{get: {}}}\"",
         "value"},
        {"\"path\":\"p\",\"format\":\"openapi\",\"value\":\"openapi: 3.0.0\\npaths: {'/{x}': {get: "
         "{}}, "
         "'/{y}': {get: {}}}\"",
         "value"},
        {"\"path\":\"p\",\"type\":\"graphql\"", "type"},
        {"\"path\":\"p\",\"type\":\"websocket\"", "serviceUrl"},
        {"\"path\":\"p\",\"apiVersion\":\"v1\"", "apiVersion"},
        {"\"path\":\"p\",\"apiRevision\":\"2\"", "apiRevision"},
        {"\"path\":\"p\",\"serviceUrl\":\"nowhere\"", "serviceUrl"},
        {"\"path\":\"p\",\"protocols\":[\"gopher\"]", "protocols[0]"},
    };
    struct arm_fixture *f = *state;
    char body[512];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        (void)snprintf(body, sizeof(body), "{\"properties\":{%s}}", bad[i].properties);
        assert_int_equal(arm_call(f, "PUT", ECHO, NULL, body), 400);
        assert_string_equal(arm_text(f, "error/details/0/target"), bad[i].target);
    }
    assert_int_equal(put_api(f, SERVICE "/apis/echo;rev=2", "p"), 400);
    assert_int_equal(arm_call(f, "GET", ECHO, NULL, NULL), 404);
}

static void operation_must_declare_its_template_parameters(void **state)
{
    struct arm_fixture *f = *state;
    const char *target = ECHO "/operations/get";

    assert_int_equal(arm_call(f, "PUT", target, NULL, "{}"), 404); /* no such API */
    assert_int_equal(put_api(f, ECHO, "echo"), 201);
    assert_int_equal(arm_call(f, "PUT", target, NULL,
                              "{\"properties\":{\"displayName\":\"g\",\"method\":\"get\","
                              "\"urlTemplate\":\"/a/{id}\"}}"),
                     400);
    assert_string_equal(arm_text(f, "error/details/0/target"), "templateParameters");
    assert_int_equal(arm_call(f, "PUT", target, NULL,
                              "{\"properties\":{\"displayName\":\"g\",\"method\":\"get\","
                              "\"urlTemplate\":\"a/{id}\",\"templateParameters\":[{\"name\":\"id\","
                              "\"type\":\"string\"}],\"responses\":[{\"statusCode\":\"200\"}]}}"),
                     201);
    assert_string_equal(arm_text(f, "properties/method"), "GET");
    assert_string_equal(arm_text(f, "properties/urlTemplate"), "/a/{id}");
    assert_int_equal(json_integer_value(arm_at(f, "properties/responses/0/statusCode")), 200);
    /* the same address under another name */
    assert_int_equal(arm_call(f, "PUT", ECHO "/operations/twin", NULL,
                              "{\"properties\":{\"displayName\":\"t\",\"method\":\"GET\","
                              "\"urlTemplate\":\"/a/{x}\",\"templateParameters\":[{\"name\":\"x\","
                              "\"type\":\"string\"}]}}"),
                     400);
    assert_string_equal(arm_text(f, "error/details/0/target"), "urlTemplate");
    assert_int_equal(arm_call(f, "PUT", ECHO "/operations/bad", NULL,
                              "{\"properties\":{\"displayName\":\"t\",\"method\":\"GET\","
                              "\"urlTemplate\":\"/a}\"}}"),
                     400);
    assert_int_equal(arm_call(f, "GET", SERVICE "/apis/echo;rev=1/operations", NULL, NULL), 200);
    assert_int_equal(json_integer_value(arm_at(f, "count")), 1);
    assert_string_equal(arm_text(f, "value/0/type"),
                        "Microsoft.ApiManagement/service/apis/operations");
    assert_int_equal(
        arm_call(f, "PATCH", target, "If-Match: *", "{\"properties\":{\"method\":\"post\"}}"), 200);
    assert_string_equal(arm_text(f, "properties/method"), "POST");
}

static void deleted_api_takes_its_children_and_keys_along(void **state)
{
    struct arm_fixture *f = *state;
    const char *policy = "{\"properties\":{\"value\":\"<policies><inbound><base/></inbound>"
                         "</policies>\"}}";

    assert_int_equal(put_api(f, ECHO, "echo"), 201);
    assert_int_equal(arm_call(f, "PUT", ECHO "/operations/get", NULL,
                              "{\"properties\":{\"displayName\":\"g\",\"method\":\"GET\","
                              "\"urlTemplate\":\"/\"}}"),
                     201);
    assert_int_equal(arm_call(f, "PUT", ECHO "/operations/get/policies/policy", NULL, policy), 201);
    assert_int_equal(arm_call(f, "PUT", S1, NULL,
                              "{\"properties\":{\"displayName\":\"s\",\"scope\":\"/apis/echo\"}}"),
                     201);
    assert_int_equal(arm_call(f, "DELETE", ECHO, NULL, NULL), 200);
    assert_int_equal(arm_call(f, "GET", ECHO "/operations/get", NULL, NULL), 404);
    assert_int_equal(arm_call(f, "GET", S1, NULL, NULL), 404);
    assert_int_equal(put_api(f, ECHO, "echo"), 201);
    assert_int_equal(arm_call(f, "GET", ECHO "/operations/get/policies/policy", NULL, NULL), 404);
    assert_int_equal(arm_call(f, "DELETE", ECHO, NULL, NULL), 200);
    assert_int_equal(arm_call(f, "DELETE", ECHO, NULL, NULL), 204);
}

static void subscription_keys_are_secret_until_asked_for(void **state)
{
    struct arm_fixture *f = *state;
    char primary[64];
    char secondary[64];

    assert_int_equal(arm_call(f, "PUT", S1, NULL,
                              "{\"properties\":{\"displayName\":\"mine\",\"scope\":\"" SERVICE
                              "/apis\"}}"),
                     201);
    assert_string_equal(arm_text(f, "properties/state"), "active");
    assert_string_equal(arm_text(f, "properties/scope"), SERVICE "/apis");
    assert_null(arm_at(f, "properties/primaryKey"));
    assert_int_equal(arm_call(f, "POST", S1 "/listSecrets", NULL, NULL), 200);
    (void)snprintf(primary, sizeof(primary), "%s", arm_text(f, "primaryKey"));
    (void)snprintf(secondary, sizeof(secondary), "%s", arm_text(f, "secondaryKey"));
    assert_int_equal(strlen(primary), 32);
    assert_string_not_equal(primary, secondary);
    assert_false(arm_is_on_disk(f, primary));
    assert_int_equal(arm_call(f, "POST", S1 "/regeneratePrimaryKey", NULL, NULL), 204);
    assert_int_equal(arm_call(f, "POST", S1 "/listSecrets", NULL, NULL), 200);
    assert_string_not_equal(arm_text(f, "primaryKey"), primary);
    assert_string_equal(arm_text(f, "secondaryKey"), secondary);
    (void)snprintf(primary, sizeof(primary), "%s", arm_text(f, "primaryKey"));
    assert_int_equal(
        arm_call(f, "PATCH", S1, "If-Match: *", "{\"properties\":{\"state\":\"Suspended\"}}"), 200);
    assert_string_equal(arm_text(f, "properties/state"), "suspended");
    assert_int_equal(arm_call(f, "PUT", S1, NULL,
                              "{\"properties\":{\"displayName\":\"mine\",\"scope\":\"/apis\"}}"),
                     200);
    assert_int_equal(arm_call(f, "POST", S1 "/listSecrets", NULL, NULL), 200);
    assert_string_equal(arm_text(f, "primaryKey"), primary);
}

static void subscription_hashes_reach_the_gateway_and_keys_do_not(void **state)
{
    struct arm_fixture *f = *state;
    struct pn_store_item item;
    struct pn_arm_feed_item feed;
    char hash[65];

    assert_int_equal(put_api(f, SERVICE "/apis/Echo", "echo"), 201);
    assert_int_equal(arm_call(f, "PUT", S1, NULL,
                              "{\"properties\":{\"displayName\":\"s\",\"scope\":\"/apis/ECHO\","
                              "\"primaryKey\":\"my-primary\"}}"),
                     201);
    assert_string_equal(arm_text(f, "properties/scope"), SERVICE "/apis/Echo");
    assert_int_equal(pn_store_get(f->store, S1, &item, &f->err), PN_OK);
    assert_int_equal(pn_arm_feed_item(f->arm, &item, &feed, &f->err), PN_OK);
    pn_sha256_hex(PN_LIT("my-primary"), hash);
    assert_string_equal(feed.key, "/subscriptions/s1");
    assert_string_equal(feed.type, "subscription");
    assert_non_null(memmem(feed.json.ptr, feed.json.len, hash, 64));
    assert_non_null(memmem(feed.json.ptr, feed.json.len, "\"scope\":\"/apis/echo\"", 20));
    assert_null(memmem(feed.json.ptr, feed.json.len, "my-primary", 10));
    assert_null(memmem(feed.json.ptr, feed.json.len, "sealedKeys", 10));
    pn_arm_feed_item_fini(&feed);
    pn_store_item_fini(&item);
    assert_int_equal(arm_call(f, "PUT", SERVICE "/subscriptions/s2", NULL,
                              "{\"properties\":{\"displayName\":\"s\",\"scope\":\"/apis\","
                              "\"secondaryKey\":\"my-primary\"}}"),
                     400);
    assert_string_equal(arm_text(f, "error/details/0/target"), "primaryKey");
}

static void subscription_scopes_are_checked(void **state)
{
    struct arm_fixture *f = *state;
    static const char *const bad[] = {"/products/p1", "/apis/none", "/apis/a/b", "/x", "apis"};
    char body[256];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        (void)snprintf(body, sizeof(body),
                       "{\"properties\":{\"displayName\":\"s\",\"scope\":\"%s\"}}", bad[i]);
        assert_int_equal(arm_call(f, "PUT", S1, NULL, body), 400);
        assert_string_equal(arm_text(f, "error/details/0/target"), "scope");
    }
    assert_int_equal(arm_call(f, "GET", S1, NULL, NULL), 404);
}

static void master_subscription_is_there_and_stays(void **state)
{
    struct arm_fixture *f = *state;

    assert_int_equal(arm_call(f, "GET", SERVICE "/subscriptions/master", NULL, NULL), 200);
    assert_string_equal(arm_text(f, "properties/scope"), SERVICE "/");
    assert_int_equal(arm_call(f, "POST", SERVICE "/subscriptions/master/listSecrets", NULL, NULL),
                     200);
    assert_int_equal(strlen(arm_text(f, "primaryKey")), 32);
    assert_int_equal(arm_call(f, "DELETE", SERVICE "/subscriptions/master", NULL, NULL), 400);
}

/* One such item would make the gateway refuse this commit and every later one. */
static void what_the_gateway_cannot_read_is_refused_at_put(void **state)
{
    static const char *const urls[] = {"https://a..b", "https://[:::]", "https://\xc3\xa9.example",
                                       "https://a/\xc3\xa9", "https://."};
    static const char *const templates[] = {"/{x}{y}", "/%zz",      "/*/b",    "/{*x}/b",
                                            "/a?b=%",  "/a?b={x}c", "/a?{x}=b"};
    struct arm_fixture *f = *state;
    char body[512];

    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        snprintf(body, sizeof(body), "{\"properties\":{\"path\":\"p\",\"serviceUrl\":\"%s\"}}",
                 urls[i]);
        assert_int_equal(arm_call(f, "PUT", SERVICE "/apis/bad", NULL, body), 400);
        assert_string_equal(arm_text(f, "error/details/0/target"), "serviceUrl");
        snprintf(body, sizeof(body), "{\"properties\":{\"url\":\"%s\",\"protocol\":\"http\"}}",
                 urls[i]);
        assert_int_equal(arm_call(f, "PUT", SERVICE "/backends/bad", NULL, body), 400);
        assert_string_equal(arm_text(f, "error/details/0/target"), "url");
    }
    assert_int_equal(arm_call(f, "PUT", SERVICE "/apis/good", NULL,
                              "{\"properties\":{\"path\":\"p\",\"serviceUrl\":\"https://a\"}}"),
                     201);
    for (size_t i = 0; i < sizeof(templates) / sizeof(templates[0]); i++) {
        snprintf(body, sizeof(body),
                 "{\"properties\":{\"displayName\":\"o\",\"method\":\"GET\",\"urlTemplate\":\"%s\","
                 "\"templateParameters\":[{\"name\":\"x\",\"type\":\"string\"},"
                 "{\"name\":\"y\",\"type\":\"string\"}]}}",
                 templates[i]);
        assert_int_equal(arm_call(f, "PUT", SERVICE "/apis/good/operations/o", NULL, body), 400);
        assert_string_equal(arm_text(f, "error/details/0/target"), "urlTemplate");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARM_TEST(api_gets_its_defaults_and_a_clean_path),
        ARM_TEST(two_apis_cannot_have_one_path),
        ARM_TEST(what_the_gateway_cannot_do_is_refused),
        ARM_TEST(operation_must_declare_its_template_parameters),
        ARM_TEST(deleted_api_takes_its_children_and_keys_along),
        ARM_TEST(subscription_keys_are_secret_until_asked_for),
        ARM_TEST(subscription_hashes_reach_the_gateway_and_keys_do_not),
        ARM_TEST(subscription_scopes_are_checked),
        ARM_TEST(what_the_gateway_cannot_read_is_refused_at_put),
        ARM_TEST(master_subscription_is_there_and_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
