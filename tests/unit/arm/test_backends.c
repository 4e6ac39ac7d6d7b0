/* SPDX-License-Identifier: Apache-2.0
 *
 * Backends: pools, circuit breakers, proxies, reconnect, and what is refused of them.
 */
#include "arm/arm_internal.h"
#include "unit/arm/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BACKEND(name)  SERVICE "/backends/" name
#define SINGLE(rest)   "{\"properties\":{\"url\":\"https://b\",\"protocol\":\"http\"" rest "}}"
#define POOL(services) "{\"properties\":{\"type\":\"Pool\",\"pool\":{\"services\":[" services "]}}}"
#define RULE(condition, rest)                                                                      \
    SINGLE(",\"circuitBreaker\":{\"rules\":[{\"name\":\"r\",\"failureCondition\":{" condition      \
           "}" rest "}]}")

static void put_members(struct arm_fixture *f)
{
    assert_int_equal(arm_call(f, "PUT", BACKEND("A1"), NULL, SINGLE("")), 201);
    assert_int_equal(arm_call(f, "PUT", BACKEND("a2"), NULL, SINGLE("")), 201);
}

/** internal of the feed's document. */
static json_t *feed_internal(struct arm_fixture *f, const char *id)
{
    struct pn_store_item item = {0};
    struct pn_arm_feed_item feed = {0};
    json_t *document = NULL;
    json_t *internal;

    assert_int_equal(pn_store_get(f->store, id, &item, &f->err), PN_OK);
    assert_int_equal(pn_arm_feed_item(f->arm, &item, &feed, &f->err), PN_OK);
    assert_int_equal(pn_json_parse(pn_buf_slice(&feed.json), &document, &f->err), PN_OK);
    internal = json_incref(json_object_get(document, "internal"));
    json_decref(document);
    pn_arm_feed_item_fini(&feed);
    pn_store_item_fini(&item);
    return internal;
}

static void pool_keeps_its_members_and_tells_the_gateway_their_names(void **state)
{
    struct arm_fixture *f = *state;
    json_t *internal;

    put_members(f);
    assert_int_equal(arm_call(f, "PUT", BACKEND("p"), NULL,
                              POOL("{\"id\":\"/backends/a1\",\"weight\":\"3\",\"priority\":1},"
                                   "{\"id\":\"" BACKEND("A2") "\"}")),
                     201);
    assert_string_equal(arm_text(f, "properties/pool/services/0/id"), "/backends/a1");
    assert_int_equal(json_integer_value(arm_at(f, "properties/pool/services/0/weight")), 3);
    internal = feed_internal(f, BACKEND("p"));
    assert_string_equal(json_string_value(json_array_get(json_object_get(internal, "members"), 0)),
                        "a1");
    assert_string_equal(json_string_value(json_array_get(json_object_get(internal, "members"), 1)),
                        "a2");
    json_decref(internal);
    assert_int_equal(arm_call(f, "DELETE", BACKEND("a1"), "If-Match: *", NULL), 400);
    assert_non_null(strstr(arm_text(f, "error/message"), "/backends/p\r\n"));
    assert_int_equal(arm_call(f, "DELETE", BACKEND("p"), "If-Match: *", NULL), 200);
    assert_int_equal(arm_call(f, "DELETE", BACKEND("a1"), "If-Match: *", NULL), 200);
}

static void pools_in_pools_are_refused_from_either_side(void **state)
{
    struct arm_fixture *f = *state;

    put_members(f);
    assert_int_equal(arm_call(f, "PUT", BACKEND("p"), NULL, POOL("{\"id\":\"/backends/a1\"}")),
                     201);
    assert_int_equal(arm_call(f, "PUT", BACKEND("q"), NULL, POOL("{\"id\":\"/backends/p\"}")), 400);
    assert_non_null(strstr(arm_text(f, "error/details/0/message"), "itself a pool"));
    assert_int_equal(arm_call(f, "PUT", BACKEND("a1"), NULL, POOL("{\"id\":\"/backends/a2\"}")),
                     400);
    assert_non_null(strstr(arm_text(f, "error/details/0/message"), "member of the pool 'p'"));
    assert_int_equal(arm_call(f, "PUT", BACKEND("a2"), NULL, POOL("{\"id\":\"/backends/a2\"}")),
                     400);
    assert_non_null(strstr(arm_text(f, "error/details/0/message"), "member of itself"));
    assert_int_equal(
        arm_call(f, "PUT", BACKEND("q"), NULL, POOL("{\"id\":\"/backends/a1\"},{\"id\":\"a1\"}")),
        400);
    assert_non_null(strstr(arm_text(f, "error/details/0/message"), "twice"));
}

static void what_the_gateway_could_not_act_on_is_refused(void **state)
{
    static const struct {
        const char *body;
        const char *target;
    } cases[] = {
        {RULE("\"interval\":\"PT1M\"", ""), "circuitBreaker.rules"},
        {RULE("\"count\":1,\"percentage\":1", ""), "circuitBreaker.rules"},
        {RULE("\"count\":1,\"interval\":\"PT0S\"", ""), "circuitBreaker.rules"},
        {RULE("\"count\":1", ",\"tripDuration\":\"P2D\""), "circuitBreaker.rules"},
        {RULE("\"count\":1,\"statusCodeRanges\":[{\"min\":599,\"max\":500}]", ""),
         "circuitBreaker.rules"},
        {SINGLE(",\"circuitBreaker\":{\"rules\":[{\"name\":\"r\"}]}"), "circuitBreaker.rules"},
        {SINGLE(",\"proxy\":{\"url\":\"ftp://p:1\"}"), "proxy.url"},
        {SINGLE(",\"proxy\":{\"url\":\"http://p:1\",\"username\":\"a:b\"}"), "proxy.username"},
        {SINGLE(",\"proxy\":{\"url\":\"http://p:1\",\"username\":\"a\",\"password\":\"\\r\\n\"}"),
         "proxy.password"},
        {SINGLE(",\"pool\":{\"services\":[{\"id\":\"/backends/a1\"}]}"), "pool"},
        {POOL(""), "pool.services"},
        {POOL("{\"id\":\"/backends/a1\",\"weight\":101}"), "pool.services[0].weight"},
    };
    struct arm_fixture *f = *state;

    put_members(f);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (arm_call(f, "PUT", BACKEND("bad"), NULL, cases[i].body) != 400)
            fail_msg("accepted: %s", cases[i].body);
        if (strcmp(arm_text(f, "error/details/0/target"), cases[i].target) != 0)
            fail_msg("%s: target %s", cases[i].body, arm_text(f, "error/details/0/target"));
    }
    assert_int_equal(arm_call(f, "PUT", BACKEND("good"), NULL,
                              RULE("\"percentage\":\"50\",\"interval\":\"PT1M\","
                                   "\"errorReasons\":[\"Server errors\"]",
                                   ",\"tripDuration\":\"PT30S\",\"acceptRetryAfter\":\"true\"")),
                     201);
}

static void reconnect_is_202_without_a_body_and_reaches_the_gateway(void **state)
{
    struct arm_fixture *f = *state;
    uint64_t before = 0;
    json_t *internal;
    json_int_t at_ms;

    put_members(f);
    assert_int_equal(arm_call(f, "PUT", BACKEND("p"), NULL, POOL("{\"id\":\"/backends/a1\"}")),
                     201);
    before = f->published;
    assert_int_equal(arm_call(f, "POST", BACKEND("p") "/reconnect", NULL,
                              "{\"properties\":{\"after\":\"PT3S\"}}"),
                     202);
    assert_int_equal(f->body.len, 0);
    assert_true(f->published > before);
    internal = feed_internal(f, BACKEND("p"));
    at_ms = json_integer_value(json_object_get(internal, "reconnectAtMs"));
    assert_true(at_ms > 3000);
    json_decref(internal);
    /* what it refers to is kept */
    assert_int_equal(arm_call(f, "DELETE", BACKEND("a1"), "If-Match: *", NULL), 400);
    assert_int_equal(arm_call(f, "POST", BACKEND("p") "/reconnect", NULL, NULL), 202);
    assert_int_equal(arm_call(f, "GET", BACKEND("p"), NULL, NULL), 200);
    assert_null(arm_at(f, "properties/reconnectAtMs"));
    assert_int_equal(arm_call(f, "POST", BACKEND("no") "/reconnect", NULL, NULL), 404);
    assert_int_equal(arm_call(f, "POST", BACKEND("p") "/reconnect", NULL,
                              "{\"properties\":{\"after\":\"soon\"}}"),
                     400);
    assert_int_equal(arm_call(f, "POST", BACKEND("p") "/reconnect", NULL,
                              "{\"properties\":{\"after\":\"P2D\"}}"),
                     400);
    assert_string_equal(arm_text(f, "error/details/0/target"), "after");
}

static void patch_keeps_the_sealed_members_that_it_does_not_name(void **state)
{
    struct arm_fixture *f = *state;
    struct pn_store_item item = {0};
    json_t *properties = NULL;

    assert_int_equal(arm_call(f, "PUT", BACKEND("s"), NULL,
                              SINGLE(",\"proxy\":{\"url\":\"http://p:1\",\"username\":\"u\","
                                     "\"password\":\"p-secret\"}")),
                     201);
    assert_int_equal(arm_call(f, "PATCH", BACKEND("s"), "If-Match: *",
                              "{\"properties\":{\"description\":\"d\"}}"),
                     200);
    assert_null(arm_at(f, "properties/proxy/password"));
    assert_int_equal(pn_store_get(f->store, BACKEND("s"), &item, &f->err), PN_OK);
    assert_int_equal(arm_backend_open(f->arm, &item, &properties, &f->err), PN_OK);
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(properties, "proxy"), "password")),
        "p-secret");
    json_decref(properties);
    pn_store_item_fini(&item);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ARM_TEST(pool_keeps_its_members_and_tells_the_gateway_their_names),
        ARM_TEST(pools_in_pools_are_refused_from_either_side),
        ARM_TEST(what_the_gateway_could_not_act_on_is_refused),
        ARM_TEST(reconnect_is_202_without_a_body_and_reaches_the_gateway),
        ARM_TEST(patch_keeps_the_sealed_members_that_it_does_not_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
