/* SPDX-License-Identifier: Apache-2.0
 *
 * Ids, names, single values, schemas.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/id.h"
#include "model/name.h"
#include "model/tables.h"
#include "model/text.h"

#define ID                                                                                         \
    "/subscriptions/s/resourceGroups/RG/providers/Microsoft.ApiManagement/service/Apim/apis/Echo"

/* ---- ids ---- */

static void id_is_written_with_canonical_segments_and_the_callers_names(void **state)
{
    struct pn_id id;
    struct pn_error err = {0};
    struct pn_buf text;

    (void)state;
    assert_int_equal(
        pn_id_parse(PN_LIT("/SUBSCRIPTIONS/s/resourcegroups/RG/Providers/microsoft.apimanagement/"
                           "SERVICE/Apim/APIS/Echo/"),
                    &id, &err),
        PN_OK);
    pn_buf_init(&text, 4096);
    assert_int_equal(pn_id_format(&id, id.part_count, &text), PN_OK);
    assert_string_equal(pn_buf_str(&text), ID);
    pn_buf_clear(&text);
    assert_int_equal(pn_id_type(&id, &text), PN_OK);
    assert_string_equal(pn_buf_str(&text), "Microsoft.ApiManagement/service/apis");
    pn_buf_clear(&text);
    assert_int_equal(pn_id_format(&id, 1, &text), PN_OK);
    assert_true(pn_id_is_below(PN_LIT(ID), pn_buf_slice(&text)));
    assert_true(pn_slice_eq_str(pn_id_relative(PN_LIT(ID), pn_buf_slice(&text)), "/apis/Echo"));
    assert_true(pn_slice_eq_str(pn_id_name(&id), "Echo"));
    pn_buf_fini(&text);
}

static void short_ids_are_ids_too(void **state)
{
    struct pn_id id;

    (void)state;
    assert_int_equal(pn_id_parse(PN_LIT("/subscriptions/s"), &id, NULL), PN_OK);
    assert_null(id.resource_group.ptr);
    assert_int_equal(pn_id_parse(PN_LIT("/subscriptions/s/resourceGroups/g"), &id, NULL), PN_OK);
    assert_true(pn_slice_eq_str(id.resource_group, "g"));
    assert_int_equal(pn_id_parse(PN_LIT("/subscriptions/s/providers/Some.Where/x/y"), &id, NULL),
                     PN_OK);
    assert_int_equal(id.part_count, 1);
}

static void broken_ids_are_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "/",
                                      "subscriptions/s",
                                      "/subscriptions",
                                      "/subscriptions/",
                                      "/subscriptions//resourceGroups/g",
                                      "/subscriptions/s/resourceGroups",
                                      "/subscriptions/s/other/g",
                                      "/subscriptions/s/providers/P/service",
                                      "/subscriptions/s/providers/P/service/x//y",
                                      "/apis/echo"};
    struct pn_id id;
    struct pn_error err = {0};
    char *longest = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(pn_id_parse(pn_slice_str(bad[i]), &id, &err), PN_MALFORMED);
    assert_int_equal(
        pn_id_parse(PN_LIT("/subscriptions/s/providers/P/1/1/2/2/3/3/4/4/5/5/6/6/7/7/8/8"), &id,
                    &err),
        PN_OK);
    assert_int_equal(
        pn_id_parse(PN_LIT("/subscriptions/s/providers/P/1/1/2/2/3/3/4/4/5/5/6/6/7/7/8/8/9/9"), &id,
                    &err),
        PN_LIMIT);
    longest = calloc(1, PN_ID_BYTES_MAX + 2);
    assert_non_null(longest);
    memset(longest, 'x', PN_ID_BYTES_MAX + 1);
    memcpy(longest, "/subscriptions/", 15);
    assert_int_equal(pn_id_parse(pn_slice(longest, PN_ID_BYTES_MAX), &id, &err), PN_OK);
    assert_int_equal(pn_id_parse(pn_slice(longest, PN_ID_BYTES_MAX + 1), &id, &err), PN_LIMIT);
    free(longest);
}

static void prefix_of_a_name_is_not_an_ancestor(void **state)
{
    (void)state;
    assert_false(pn_id_is_below(PN_LIT("/a/service/apim10/x"), PN_LIT("/a/service/apim1")));
    assert_true(pn_id_is_below(PN_LIT("/A/Service/APIM1/x"), PN_LIT("/a/service/apim1")));
    assert_true(pn_id_is_below(PN_LIT("/a"), PN_LIT("/a")));
}

/* ---- names and values ---- */

static void names_are_checked_at_both_sides_of_their_limits(void **state)
{
    char name[300];
    struct pn_error err = {0};

    (void)state;
    memset(name, 'n', sizeof(name));
    assert_int_equal(pn_name_check(PN_TYPE_CERTIFICATE, pn_slice(name, 80), &err), PN_OK);
    assert_int_equal(pn_name_check(PN_TYPE_CERTIFICATE, pn_slice(name, 81), &err), PN_INVALID);
    assert_string_equal(err.target, "name");
    assert_int_equal(pn_name_check(PN_TYPE_CERTIFICATE, PN_LIT(""), &err), PN_INVALID);
    assert_int_equal(pn_name_check(PN_TYPE_CERTIFICATE, PN_LIT("a+b"), &err), PN_INVALID);
    assert_int_equal(pn_name_check(PN_TYPE_CERTIFICATE, PN_LIT("a b;c.d"), &err), PN_OK);
    assert_int_equal(pn_name_check(PN_TYPE_BACKEND, PN_LIT("a+b"), &err), PN_OK);
    assert_int_equal(pn_name_check(PN_TYPE_BACKEND, PN_LIT("a\xff"), &err), PN_INVALID);
    assert_int_equal(pn_name_check(PN_TYPE_SERVICE, PN_LIT("a-1"), &err), PN_OK);
    assert_int_equal(pn_name_check(PN_TYPE_SERVICE, PN_LIT("1a"), &err), PN_INVALID);
    assert_int_equal(pn_name_check(PN_TYPE_SERVICE, PN_LIT("a-"), &err), PN_INVALID);
    assert_int_equal(pn_name_check(PN_TYPE_SERVICE, PN_LIT("a_b"), &err), PN_INVALID);
    assert_int_equal(pn_name_check(PN_TYPE_SERVICE, pn_slice(name, 51), &err), PN_INVALID);
    assert_int_equal(pn_name_check(PN_TYPE_RESOURCE_GROUP, PN_LIT("a.b(c)"), &err), PN_OK);
    assert_int_equal(pn_name_check(PN_TYPE_RESOURCE_GROUP, PN_LIT("a."), &err), PN_INVALID);
    assert_int_equal(pn_name_check(PN_TYPE_POLICY, PN_LIT("Policy"), &err), PN_OK);
    assert_int_equal(pn_name_check(PN_TYPE_POLICY, PN_LIT("other"), &err), PN_INVALID);
    /* 80 characters, not 80 bytes */
    for (size_t i = 0; i < 160; i += 2)
        memcpy(name + i, "\xc3\xa4", 2);
    assert_int_equal(pn_name_check(PN_TYPE_CERTIFICATE, pn_slice(name, 160), &err), PN_OK);
}

static void utf8_is_counted_and_broken_utf8_is_refused(void **state)
{
    static const char *const bad[] = {"\x80",         "\xc0\xaf",         "\xe0\x80\xaf",
                                      "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80",
                                      "\xc3",         "a\xe2\x82"};
    size_t length = 0;

    (void)state;
    assert_true(pn_text_length(PN_LIT("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"), &length));
    assert_int_equal(length, 4);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(pn_text_length(pn_slice_str(bad[i]), &length));
}

static void durations_are_iso_8601(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {{"PT1S", 1000},      {"PT1M", 60000},      {"PT1H30M", 5400000},
                {"P1D", 86400000},   {"P1DT1S", 86401000}, {"PT0.5S", 500},
                {"P2W", 1209600000}, {"PT0S", 0},          {"PT1.2345S", 1234}};
    static const char *const bad[] = {
        "",     "P",     "PT",       "1S",    "PT1",    "PT1X",
        "P1H",  "PT1D",  "P1Y",      "PT1S ", "PT1S1M", "PT-1S",
        "pt1s", "PT1.S", "PT1.5M1S", "P1DT",  "PTT1S",  "PT999999999999S"};
    uint64_t ms = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(pn_text_to_duration_ms(pn_slice_str(good[i].text), &ms));
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(pn_text_to_duration_ms(pn_slice_str(bad[i]), &ms));
}

static void urls_are_absolute_http_without_user_information(void **state)
{
    static const char *const good[] = {"http://h", "https://h:8443/p?q=1", "HTTPS://h.x/",
                                       "https://[::1]:9/x", "https://127.0.0.1?x"};
    static const char *const bad[] = {"",
                                      "h",
                                      "ftp://h",
                                      "https://",
                                      "https:///p",
                                      "https://u@h",
                                      "https://h:0",
                                      "https://h:99999",
                                      "https://h:",
                                      "https://h/#f",
                                      "https://h/a b",
                                      "https://[]",
                                      "https://[::1]x"};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(pn_text_is_http_url(pn_slice_str(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(pn_text_is_http_url(pn_slice_str(bad[i])));
}

/* ---- schemas ---- */

static json_t *apply(const struct pn_field *fields, const char *text, struct pn_problems *problems)
{
    json_t *in = json_loads(text, 0, NULL);
    json_t *out = NULL;
    enum pn_rc rc = PN_OK;

    assert_non_null(in);
    memset(problems, 0, sizeof(*problems));
    rc = pn_schema_apply(fields, in, &out, problems);
    assert_int_equal(rc, problems->count > 0 ? PN_INVALID : PN_OK);
    json_decref(in);
    return out;
}

static void numbers_and_booleans_may_come_as_text(void **state)
{
    struct pn_problems problems;
    json_t *out = apply(pn_backend_fields,
                        "{\"url\":\"https://b\",\"protocol\":\"SOAP\",\"tls\":"
                        "{\"validateCertificateName\":\"False\"},\"circuitBreaker\":{\"rules\":["
                        "{\"failureCondition\":{\"count\":\" 3\"}}]}}",
                        &problems);

    (void)state;
    assert_null(out); /* " 3" is no number */
    assert_string_equal(problems.items[0].target, "circuitBreaker.rules[0].failureCondition.count");
    out = apply(pn_backend_fields,
                "{\"url\":\"https://b\",\"protocol\":\"SOAP\",\"tls\":"
                "{\"validateCertificateName\":\"False\"},\"circuitBreaker\":{\"rules\":["
                "{\"failureCondition\":{\"count\":\"3\",\"percentage\":4.0}}]}}",
                &problems);
    assert_non_null(out);
    assert_string_equal(json_string_value(json_object_get(out, "protocol")), "soap");
    assert_true(
        json_is_false(json_object_get(json_object_get(out, "tls"), "validateCertificateName")));
    json_decref(out);
}

static void every_problem_is_told_at_once(void **state)
{
    struct pn_problems problems;

    (void)state;
    assert_null(apply(pn_operation_fields, "{\"method\":7,\"responses\":[{},{\"statusCode\":99}]}",
                      &problems));
    assert_int_equal(problems.count, 5);
    assert_string_equal(problems.items[0].target, "displayName");
    assert_string_equal(problems.items[1].target, "method");
    assert_string_equal(problems.items[2].target, "urlTemplate");
    assert_string_equal(problems.items[3].target, "responses[0].statusCode");
    assert_string_equal(problems.items[4].target, "responses[1].statusCode");
}

static void problems_are_bounded_and_never_hold_values(void **state)
{
    struct pn_problems problems;
    char text[4096] = "{\"url\":\"hush-hush\",\"protocol\":\"hush-hush\",\"credentials\":{"
                      "\"authorization\":\"hush-hush\",\"certificate\":[";

    (void)state;
    for (int i = 0; i < 30; i++)
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), i ? ",7" : "7");
    (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "]}}");
    assert_null(apply(pn_backend_fields, text, &problems));
    assert_int_equal(problems.count, PN_VALIDATION_MAX);
    for (size_t i = 0; i < problems.count; i++)
        assert_null(strstr(problems.items[i].message, "hush"));
}

static void nulls_unknown_and_empty_members_are_absent(void **state)
{
    struct pn_problems problems;
    json_t *out = apply(pn_certificate_fields,
                        "{\"data\":null,\"surprise\":{},\"keyVault\":{\"secretIdentifier\":\"s\","
                        "\"identityClientId\":\"\"}}",
                        &problems);

    (void)state;
    assert_non_null(out);
    assert_int_equal(json_object_size(out), 1);
    assert_null(json_object_get(json_object_get(out, "keyVault"), "identityClientId"));
    json_decref(out);
}

static void patch_replaces_members_and_null_takes_them_out(void **state)
{
    json_t *stored = json_loads("{\"a\":1,\"b\":{\"x\":1},\"c\":3}", 0, NULL);
    json_t *patch = json_loads("{\"b\":{\"y\":2},\"c\":null,\"d\":4}", 0, NULL);
    json_t *wanted = json_loads("{\"a\":1,\"b\":{\"y\":2},\"d\":4}", 0, NULL);
    json_t *merged = pn_schema_merge(stored, patch);

    (void)state;
    assert_true(json_equal(merged, wanted));
    assert_int_equal(json_object_size(stored), 3);
    json_decref(merged);
    merged = pn_schema_merge(NULL, NULL);
    assert_int_equal(json_object_size(merged), 0);
    json_decref(merged);
    json_decref(stored);
    json_decref(patch);
    json_decref(wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(id_is_written_with_canonical_segments_and_the_callers_names),
        cmocka_unit_test(short_ids_are_ids_too),
        cmocka_unit_test(broken_ids_are_refused),
        cmocka_unit_test(prefix_of_a_name_is_not_an_ancestor),
        cmocka_unit_test(names_are_checked_at_both_sides_of_their_limits),
        cmocka_unit_test(utf8_is_counted_and_broken_utf8_is_refused),
        cmocka_unit_test(durations_are_iso_8601),
        cmocka_unit_test(urls_are_absolute_http_without_user_information),
        cmocka_unit_test(numbers_and_booleans_may_come_as_text),
        cmocka_unit_test(every_problem_is_told_at_once),
        cmocka_unit_test(problems_are_bounded_and_never_hold_values),
        cmocka_unit_test(nulls_unknown_and_empty_members_are_absent),
        cmocka_unit_test(patch_replaces_members_and_null_takes_them_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
