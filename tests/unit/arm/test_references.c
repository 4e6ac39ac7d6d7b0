/* SPDX-License-Identifier: Apache-2.0
 *
 * Promise 7: nothing in use is deleted by accident. Backends, policies, and what they refer to;
 * certificates given inside a policy.
 */
#include "unit/arm/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define B1     SERVICE "/backends/b1"
#define GLOBAL SERVICE "/policies/policy"
#define ECHO   SERVICE "/apis/echo"

static int put_policy(struct arm_fixture *f, const char *target, const char *inbound)
{
    json_t *value = json_sprintf("<policies><inbound>%s</inbound><backend><forward-request/>"
                                 "</backend><outbound/><on-error/></policies>",
                                 inbound);
    json_t *body = json_pack("{s:{s:o,s:s}}", "properties", "value", value, "format", "rawxml");
    char *text = json_dumps(body, 0);
    int status = arm_call(f, "PUT", target, NULL, text);

    free(text);
    json_decref(body);
    return status;
}

static void put_api(struct arm_fixture *f)
{
    assert_int_equal(arm_call(f, "PUT", ECHO, NULL,
                              "{\"properties\":{\"path\":\"echo\",\"serviceUrl\":\"https://x\"}}"),
                     201);
}

static void backend_secrets_come_back_but_are_not_on_the_disk(void **state)
{
    struct arm_fixture *f = *state;
    const char *body =
        "{\"location\":\"x\",\"properties\":{\"url\":\"https://b:8443/base\",\"protocol\":\"HTTP\","
        "\"credentials\":{\"header\":{\"x-key\":[\"h-secret\"]},\"query\":{\"q\":[\"q-secret\"]},"
        "\"authorization\":{\"scheme\":\"Basic\",\"parameter\":\"a-secret\"}},"
        "\"proxy\":{\"url\":\"http://p:1\",\"username\":\"u\",\"password\":\"p-secret\"},"
        "\"tls\":{\"validateCertificateChain\":\"false\"},"
        "\"circuitBreaker\":{\"rules\":[{\"name\":\"r\",\"failureCondition\":{\"count\":\"3\","
        "\"interval\":\"PT1H\",\"statusCodeRanges\":[{\"min\":500,\"max\":599}]},"
        "\"tripDuration\":\"PT30S\"}]},\"unknown\":1}}";

    assert_int_equal(arm_call(f, "PUT", B1, NULL, body), 201);
    assert_int_equal(arm_call(f, "GET", B1, NULL, NULL), 200);
    assert_string_equal(arm_text(f, "properties/protocol"), "http");
    assert_string_equal(arm_text(f, "properties/credentials/header/x-key/0"), "h-secret");
    assert_string_equal(arm_text(f, "properties/credentials/query/q/0"), "q-secret");
    assert_string_equal(arm_text(f, "properties/credentials/authorization/parameter"), "a-secret");
    assert_string_equal(arm_text(f, "properties/proxy/username"), "u");
    assert_null(arm_at(f, "properties/proxy/password"));
    assert_true(json_is_false(arm_at(f, "properties/tls/validateCertificateChain")));
    assert_int_equal(
        json_integer_value(arm_at(f, "properties/circuitBreaker/rules/0/failureCondition/count")),
        3);
    assert_null(arm_at(f, "properties/unknown"));
    assert_false(arm_is_on_disk(f, "-secret"));
    /* a patch of another member keeps them */
    assert_int_equal(arm_call(f, "PATCH", B1, "If-Match: *", "{\"properties\":{\"title\":\"t\"}}"),
                     200);
    assert_string_equal(arm_text(f, "properties/credentials/header/x-key/0"), "h-secret");
    assert_string_equal(arm_text(f, "properties/title"), "t");
    assert_int_equal(arm_call(f, "PATCH", B1, NULL, "{\"properties\":{\"credentials\":null}}"),
                     200);
    assert_null(arm_at(f, "properties/credentials"));
    assert_int_equal(arm_call(f, "PATCH", SERVICE "/backends/no", "If-Match: *", "{}"), 404);
}

static void feed_gets_backends_with_their_secrets_and_nothing_sealed(void **state)
{
    struct arm_fixture *f = *state;
    struct pn_store_item item;
    struct pn_arm_feed_item feed;

    assert_int_equal(arm_put_certificate(f, "C1", "one"), 201);
    assert_int_equal(
        arm_call(f, "PUT", SERVICE "/backends/B1", NULL,
                 "{\"properties\":{\"url\":\"https://b\",\"protocol\":\"http\",\"credentials\":{"
                 "\"header\":{\"k\":[\"v-secret\"]},\"certificateIds\":[\"" SERVICE
                 "/certificates/c1\"]},\"proxy\":{\"url\":\"http://p\",\"password\":\"p-pass\"}}}"),
        201);
    assert_int_equal(pn_store_get(f->store, B1, &item, &f->err), PN_OK);
    assert_int_equal(pn_arm_feed_item(f->arm, &item, &feed, &f->err), PN_OK);
    assert_string_equal(feed.key, "/backends/b1");
    assert_string_equal(feed.type, "backend");
    assert_non_null(memmem(feed.json.ptr, feed.json.len, "v-secret", 8));
    assert_non_null(memmem(feed.json.ptr, feed.json.len, "p-pass", 6));
    assert_non_null(memmem(feed.json.ptr, feed.json.len, "\"certificateIds\":[\"c1\"]", 23));
    assert_null(memmem(feed.json.ptr, feed.json.len, "sealed", 6));
    pn_arm_feed_item_fini(&feed);
    json_decref(item.body);
    item.body = NULL;
    assert_int_equal(pn_arm_feed_item(f->arm, &item, &feed, &f->err), PN_OK);
    assert_true(feed.is_deleted);
    assert_int_equal(feed.json.len, 0);
    pn_arm_feed_item_fini(&feed);
    pn_store_item_fini(&item);
    /* the service is "/", and what is not the gateway's is left out */
    assert_int_equal(pn_store_get(f->store, SERVICE, &item, &f->err), PN_OK);
    assert_int_equal(pn_arm_feed_item(f->arm, &item, &feed, &f->err), PN_OK);
    assert_string_equal(feed.key, "/");
    assert_null(memmem(feed.json.ptr, feed.json.len, "systemAssigned", 14));
    pn_arm_feed_item_fini(&feed);
    pn_store_item_fini(&item);
    assert_int_equal(
        pn_store_get(f->store, "/subscriptions/" SUB "/resourceGroups/rg1", &item, &f->err), PN_OK);
    assert_int_equal(pn_arm_feed_item(f->arm, &item, &feed, &f->err), PN_NOT_FOUND);
    pn_store_item_fini(&item);
}

static void bad_backends_are_refused_with_their_member(void **state)
{
    static const struct {
        const char *properties, *target;
    } bad[] = {
        {"\"protocol\":\"http\"", "url"},
        {"\"url\":\"https://b\"", "protocol"},
        {"\"url\":\"ftp://b\",\"protocol\":\"http\"", "url"},
        {"\"url\":\"https://u:p@b\",\"protocol\":\"http\"", "url"},
        {"\"url\":\"https://b\",\"protocol\":\"gopher\"", "protocol"},
        {"\"url\":\"https://b\",\"protocol\":\"http\",\"tls\":{\"validateCertificateName\":1}",
         "tls.validateCertificateName"},
        {"\"url\":\"https://b\",\"protocol\":\"http\",\"credentials\":{\"authorization\":{}}",
         "credentials.authorization.scheme"},
        {"\"url\":\"https://b\",\"protocol\":\"http\",\"credentials\":{\"header\":{\"a b\":[]}}",
         "credentials.header"},
        {"\"url\":\"https://b\",\"protocol\":\"http\",\"credentials\":{\"header\":"
         "{\"a\":[\"x\\r\\ny: z\"]}}",
         "credentials.header"},
        {"\"url\":\"https://b\",\"protocol\":\"http\",\"credentials\":{\"header\":"
         "{\"a\":[\"{{key}}\"]}}",
         "credentials.header"},
        {"\"type\":\"pool\"", "pool"},
        {"\"type\":\"pool\",\"pool\":{\"services\":[{\"id\":\"/backends/none\"}]}", "pool"},
        {"\"url\":\"https://b\",\"protocol\":\"http\",\"circuitBreaker\":{\"rules\":["
         "{\"tripDuration\":\"1h\"}]}",
         "circuitBreaker.rules[0].tripDuration"},
    };
    struct arm_fixture *f = *state;
    char body[512];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        (void)snprintf(body, sizeof(body), "{\"properties\":{%s}}", bad[i].properties);
        assert_int_equal(arm_call(f, "PUT", B1, NULL, body), 400);
        assert_string_equal(arm_text(f, "error/details/0/target"), bad[i].target);
    }
    assert_int_equal(arm_call(f, "GET", B1, NULL, NULL), 404);
}

static void backend_with_an_unknown_certificate_is_refused(void **state)
{
    struct arm_fixture *f = *state;

    assert_int_equal(
        arm_call(f, "PUT", B1, NULL,
                 "{\"properties\":{\"url\":\"https://b\",\"protocol\":\"http\",\"credentials\":{"
                 "\"certificateIds\":[\"" SERVICE "/certificates/ghost\"]}}}"),
        400);
    assert_string_equal(arm_text(f, "error/details/0/target"), "credentials");
    assert_string_equal(arm_text(f, "error/details/0/message"),
                        "Certificate with id 'ghost' not found.");
    assert_int_equal(
        arm_call(f, "PUT", B1, NULL,
                 "{\"properties\":{\"url\":\"https://b\",\"protocol\":\"http\",\"credentials\":{"
                 "\"certificate\":[\"0123456789012345678901234567890123456789\"]}}}"),
        400);
    assert_non_null(strstr(arm_text(f, "error/details/0/message"), "thumbprint"));
}

static void certificate_in_use_cannot_be_deleted(void **state)
{
    struct arm_fixture *f = *state;
    char body[512];
    char thumbprint[64];

    assert_int_equal(arm_put_certificate(f, "c1", "one"), 201);
    arm_thumbprint(f, "c1", thumbprint);
    put_api(f);
    /* by thumbprint in a backend, by id in a policy */
    (void)snprintf(body, sizeof(body),
                   "{\"properties\":{\"url\":\"https://b\",\"protocol\":\"http\",\"credentials\":{"
                   "\"certificate\":[\"%s\"]}}}",
                   thumbprint);
    assert_int_equal(arm_call(f, "PUT", B1, NULL, body), 201);
    assert_int_equal(put_policy(f, ECHO "/policies/policy",
                                "<base/><authentication-certificate certificate-id=\"C1\"/>"),
                     201);
    assert_int_equal(arm_call(f, "DELETE", SERVICE "/certificates/c1", "If-Match: *", NULL), 400);
    assert_string_equal(arm_text(f, "error/code"), "ValidationError");
    assert_int_equal(json_array_size(arm_at(f, "error/details")), 3);
    assert_string_equal(arm_text(f, "error/message"),
                        "The Certificate 'c1' is used by the following entities:\r\n"
                        "/apis/echo/policies/policy\r\n/backends/b1\r\n"
                        "and by 1 more, directly or through them (see details)\r\n");
    assert_true(arm_has_key(f, "one"));
    assert_int_equal(arm_call(f, "DELETE", B1, NULL, NULL), 200);
    assert_int_equal(arm_call(f, "DELETE", SERVICE "/certificates/c1", NULL, NULL), 400);
    assert_int_equal(arm_call(f, "DELETE", ECHO "/policies/policy", NULL, NULL), 200);
    assert_int_equal(arm_call(f, "DELETE", SERVICE "/certificates/c1", NULL, NULL), 200);
    assert_false(arm_has_key(f, "one"));
}

static void backend_in_use_cannot_be_deleted_until_its_api_is(void **state)
{
    struct arm_fixture *f = *state;

    put_api(f);
    assert_int_equal(arm_call(f, "PUT", B1, NULL,
                              "{\"properties\":{\"url\":\"https://b\",\"protocol\":\"http\"}}"),
                     201);
    assert_int_equal(
        put_policy(f, ECHO "/policies/policy", "<set-backend-service backend-id=\"b1\"/>"), 201);
    assert_int_equal(arm_call(f, "DELETE", B1, NULL, NULL), 400);
    assert_non_null(strstr(arm_text(f, "error/message"), "The Backend 'b1' is used by"));
    assert_int_equal(arm_call(f, "DELETE", ECHO "?deleteRevisions=false", "If-Match: *", NULL),
                     200);
    assert_int_equal(arm_call(f, "DELETE", B1, NULL, NULL), 200);
}

static void thumbprint_keeps_whoever_has_it_now_from_deletion(void **state)
{
    struct arm_fixture *f = *state;
    char thumbprint[64];
    char inbound[160];
    char backend[256];

    assert_int_equal(arm_put_certificate(f, "first", "one"), 201);
    arm_thumbprint(f, "first", thumbprint);
    snprintf(inbound, sizeof(inbound), "<authentication-certificate thumbprint=\"%s\"/>",
             thumbprint);
    snprintf(backend, sizeof(backend),
             "{\"properties\":{\"url\":\"https://b\",\"protocol\":\"http\",\"credentials\":{"
             "\"certificate\":[\"%s\"]}}}",
             thumbprint);
    assert_int_equal(put_policy(f, GLOBAL, inbound), 200);
    assert_int_equal(arm_call(f, "PUT", B1, NULL, backend), 201);
    /* a twin is free as long as the first one has the thumbprint */
    assert_int_equal(arm_put_certificate(f, "second", "one"), 201);
    assert_int_equal(arm_call(f, "DELETE", SERVICE "/certificates/second", NULL, NULL), 200);
    /* the thumbprint moves: now the second one is what the policy and the backend use */
    assert_int_equal(arm_put_certificate(f, "second", "one"), 201);
    assert_int_equal(arm_put_certificate(f, "first", "two"), 200);
    assert_int_equal(arm_call(f, "DELETE", SERVICE "/certificates/second", NULL, NULL), 400);
    assert_non_null(strstr(arm_text(f, "error/message"), "/backends/b1\r\n/policies/policy\r\n"));
    assert_int_equal(arm_call(f, "DELETE", GLOBAL, NULL, NULL), 200);
    assert_int_equal(arm_call(f, "DELETE", B1, NULL, NULL), 200);
    assert_int_equal(arm_call(f, "DELETE", SERVICE "/certificates/second", NULL, NULL), 200);
    assert_int_equal(arm_call(f, "DELETE", SERVICE "/certificates/first", NULL, NULL), 200);
}

static void policy_that_refers_to_nothing_is_refused_with_its_place(void **state)
{
    struct arm_fixture *f = *state;

    assert_int_equal(
        put_policy(f, GLOBAL, "<authentication-certificate certificate-id=\"ghost\"/>"), 400);
    assert_string_equal(arm_text(f, "error/code"), "ValidationError");
    assert_string_equal(arm_text(f, "error/details/0/target"), "authentication-certificate");
    assert_non_null(strstr(arm_text(f, "error/details/0/message"),
                           "Error in element 'authentication-certificate' on line 1, column "));
    assert_non_null(strstr(arm_text(f, "error/details/0/message"), "ghost"));
    assert_int_equal(put_policy(f, GLOBAL, "<set-backend-service backend-id=\"ghost\"/>"), 400);
    assert_string_equal(arm_text(f, "error/details/0/target"), "set-backend-service");
    assert_int_equal(put_policy(f, GLOBAL,
                                "<authentication-certificate thumbprint=\"0123456789012345678901234"
                                "567890123456789\"/>"),
                     400);
    assert_int_equal(put_policy(f, GLOBAL, "<no-such-policy/>"), 400);
    assert_string_equal(arm_text(f, "error/details/0/target"), "no-such-policy");
    assert_int_equal(arm_call(f, "GET", GLOBAL, NULL, NULL), 200);
    assert_null(strstr(arm_text(f, "properties/value"), "ghost"));
}

static void thumbprint_of_a_key_vault_certificate_is_refused(void **state)
{
    struct arm_fixture *f = *state;
    char text[256];
    char thumbprint[64];

    assert_int_equal(arm_call(f, "PUT", SERVICE "/certificates/kv", NULL,
                              "{\"properties\":{\"keyVault\":{\"secretIdentifier\":"
                              "\"https://v/secrets/kv-secret-name\"}}}"),
                     201);
    arm_thumbprint(f, "kv", thumbprint);
    (void)snprintf(text, sizeof(text), "<authentication-certificate thumbprint=\"%s\"/>",
                   thumbprint);
    assert_int_equal(put_policy(f, GLOBAL, text), 400);
    assert_non_null(strstr(arm_text(f, "error/details/0/message"), "'kv'"));
    assert_non_null(strstr(arm_text(f, "error/details/0/message"), thumbprint));
    assert_non_null(strstr(arm_text(f, "error/details/0/message"), "certificate-id"));
    assert_non_null(strstr(arm_text(f, "error/details/0/message"), "kv-secret-name"));
    /* an uploaded one with a thumbprint is fine */
    assert_int_equal(arm_put_certificate(f, "c1", "one"), 201);
    arm_thumbprint(f, "c1", thumbprint);
    (void)snprintf(text, sizeof(text), "<authentication-certificate thumbprint=\"%s\"/>",
                   thumbprint);
    assert_int_equal(put_policy(f, GLOBAL, text), 200);
    assert_int_equal(arm_call(f, "DELETE", SERVICE "/certificates/c1", NULL, NULL), 400);
}

static void certificate_in_a_policy_is_taken_out_and_lives_as_long_as_its_reference(void **state)
{
    struct arm_fixture *f = *state;
    const char *with_body =
        "<authentication-certificate body=\"UEZYOm9uZQ==\" password=\"secret\"/>";
    char *stored = NULL;
    json_t *again = NULL;

    assert_int_equal(put_policy(f, GLOBAL,
                                "<authentication-certificate body=\"UEZYOm9uZQ==\" "
                                "password=\"nope-nope\"/>"),
                     400);
    assert_non_null(strstr(arm_text(f, "error/details/0/message"), "The password is wrong."));
    assert_null(strstr(arm_text(f, "error/details/0/message"), "nope-nope"));
    assert_int_equal(put_policy(f, GLOBAL, with_body), 200);
    assert_non_null(strstr(arm_text(f, "properties/value"), "postern:embedded:"));
    assert_null(strstr(arm_text(f, "properties/value"), "UEZYOm9uZQ"));
    assert_null(strstr(arm_text(f, "properties/value"), "secret"));
    assert_false(arm_is_on_disk(f, "UEZYOm9uZQ"));
    assert_true(arm_has_key(f, "one"));
    /* reading it and writing it back works */
    assert_int_equal(arm_call(f, "GET", GLOBAL "?format=rawxml", NULL, NULL), 200);
    again = json_pack("{s:{s:O,s:s}}", "properties", "value", arm_at(f, "properties/value"),
                      "format", "rawxml");
    stored = json_dumps(again, 0);
    assert_int_equal(arm_call(f, "PUT", GLOBAL, NULL, stored), 200);
    assert_true(arm_has_key(f, "one"));
    /* without it the key goes; then the old reference is worth nothing */
    assert_int_equal(arm_call(f, "DELETE", GLOBAL, NULL, NULL), 200);
    assert_false(arm_has_key(f, "one"));
    assert_int_equal(arm_call(f, "GET", GLOBAL, NULL, NULL), 200);
    assert_non_null(strstr(arm_text(f, "properties/value"), "forward-request"));
    assert_int_equal(arm_call(f, "PUT", GLOBAL, NULL, stored), 400);
    free(stored);
    json_decref(again);
}

static void policy_is_answered_in_the_form_asked_for(void **state)
{
    struct arm_fixture *f = *state;

    assert_int_equal(arm_call(f, "GET", ECHO "/policies/policy", NULL, NULL), 404);
    put_api(f);
    assert_int_equal(arm_call(f, "GET", ECHO "/policies/policy?format=xml", NULL, NULL), 404);
    assert_string_equal(arm_text(f, "error/code"), "ResourceNotFound");
    assert_string_equal(arm_text(f, "error/message"), "Policy not found.");
    assert_int_equal(put_policy(f, ECHO "/policies/policy",
                                "<base/><set-header name=\"a\"><value>1</value></set-header>"),
                     201);
    assert_string_equal(arm_text(f, "type"), "Microsoft.ApiManagement/service/apis/policies");
    assert_string_equal(arm_text(f, "id"), ECHO "/policies/policy");
    assert_string_equal(arm_text(f, "properties/format"), "rawxml");
    assert_int_equal(arm_call(f, "GET", ECHO "/policies/Policy", NULL, NULL), 200);
    assert_string_equal(arm_text(f, "properties/format"), "xml");
    assert_non_null(strstr(arm_text(f, "properties/value"), "\r\n"));
    assert_int_equal(arm_call(f, "GET", ECHO "/policies", NULL, NULL), 200);
    assert_int_equal(json_integer_value(arm_at(f, "count")), 1);
    assert_int_equal(arm_call(f, "HEAD", ECHO "/policies/policy", NULL, NULL), 200);
    assert_int_equal(arm_call(f, "PUT", ECHO "/policies/policy", NULL,
                              "{\"properties\":{\"format\":\"xml-link\",\"value\":\"http://x\"}}"),
                     400);
    assert_string_equal(arm_text(f, "error/details/0/target"), "format");
    assert_int_equal(put_policy(f, ECHO "/policies/other", "<base/>"), 400);
    assert_int_equal(put_policy(f, SERVICE "/apis/no/policies/policy", "<base/>"), 404);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARM_TEST(backend_secrets_come_back_but_are_not_on_the_disk),
        ARM_TEST(feed_gets_backends_with_their_secrets_and_nothing_sealed),
        ARM_TEST(bad_backends_are_refused_with_their_member),
        ARM_TEST(backend_with_an_unknown_certificate_is_refused),
        ARM_TEST(certificate_in_use_cannot_be_deleted),
        ARM_TEST(backend_in_use_cannot_be_deleted_until_its_api_is),
        ARM_TEST(thumbprint_keeps_whoever_has_it_now_from_deletion),
        ARM_TEST(policy_that_refers_to_nothing_is_refused_with_its_place),
        ARM_TEST(thumbprint_of_a_key_vault_certificate_is_refused),
        ARM_TEST(certificate_in_a_policy_is_taken_out_and_lives_as_long_as_its_reference),
        ARM_TEST(policy_is_answered_in_the_form_asked_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
