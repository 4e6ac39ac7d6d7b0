/* SPDX-License-Identifier: Apache-2.0
 *
 * Promises about the generations of one certificate, as plain data.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "rotation/generations.h"

#define T0 INT64_C(1800000000000)

static json_t *candidate(const char *thumbprint, json_t **internal)
{
    *internal =
        json_pack("{s:s, s:[s], s:i}", "keyId", thumbprint, "chain", thumbprint, "generation", 1);
    return json_pack("{s:s}", "thumbprint", thumbprint);
}

static json_t *make_body(const char *thumbprint)
{
    json_t *internal, *properties = candidate(thumbprint, &internal);

    return json_pack("{s:s, s:o, s:o}", "name", "c", "properties", properties, "internal",
                     internal);
}

static uint64_t stage(json_t *body, const char *thumbprint)
{
    json_t *internal, *properties = candidate(thumbprint, &internal);
    uint64_t number = pn_generations_stage(body, properties, internal, "upload", T0);

    json_decref(properties);
    json_decref(internal);
    return number;
}

static const char *state_of(const json_t *body, uint64_t number)
{
    return pn_json_str(pn_generations_at(body, number), "state");
}

static const char *serving(const json_t *body)
{
    return pn_json_str(json_object_get(body, "properties"), "thumbprint");
}

static void a_staged_one_changes_nothing_that_is_served(void **state)
{
    json_t *body = make_body("A");

    (void)state;
    assert_int_equal(stage(body, "B"), 2);
    assert_string_equal(serving(body), "A");
    assert_string_equal(state_of(body, 1), "current");
    assert_string_equal(state_of(body, 2), "staged");
    assert_true(pn_generations_uses_key(body, "B"));
    json_decref(body);
}

static void the_same_again_is_not_another_one(void **state)
{
    json_t *body = make_body("A");

    (void)state;
    assert_int_equal(stage(body, "A"), 1);
    assert_int_equal(stage(body, "B"), 2);
    assert_int_equal(stage(body, "B"), 2);
    assert_int_equal(stage(body, "C"), 3);
    assert_string_equal(state_of(body, 2), "retired"); /* only the newest waits */
    json_decref(body);
}

static void a_promoted_one_serves_and_the_former_drains_then_retires(void **state)
{
    json_t *body = make_body("A");
    struct pn_error err = {0};
    int64_t next_ms = INT64_MAX;

    (void)state;
    assert_int_equal(stage(body, "B"), 2);
    assert_int_equal(pn_generations_promote(body, 2, "upload", T0, T0 + 1000, &err), PN_OK);
    assert_string_equal(serving(body), "B");
    assert_int_equal(pn_json_int(json_object_get(body, "internal"), "generation", 0), 2);
    assert_string_equal(state_of(body, 1), "draining");
    assert_false(pn_generations_retire(body, T0 + 999, &next_ms));
    assert_int_equal(next_ms, T0 + 1000);
    assert_true(pn_generations_uses_key(body, "A"));
    assert_true(pn_generations_retire(body, T0 + 1000, &next_ms));
    assert_string_equal(state_of(body, 1), "retired");
    assert_false(pn_generations_uses_key(body, "A"));
    assert_int_equal(pn_generations_promote(body, 1, "promoted", T0, T0, &err), PN_INVALID);
    assert_int_equal(pn_generations_promote(body, 2, "promoted", T0, T0, &err), PN_INVALID);
    assert_int_equal(pn_generations_promote(body, 9, "promoted", T0, T0, &err), PN_NOT_FOUND);
    json_decref(body);
}

static void a_draining_one_can_come_back(void **state)
{
    json_t *body = make_body("A");
    struct pn_error err = {0};

    (void)state;
    assert_int_equal(stage(body, "B"), 2);
    assert_int_equal(pn_generations_promote(body, 2, "upload", T0, T0 + 1000, &err), PN_OK);
    assert_int_equal(pn_generations_promote(body, 1, "rolled back", T0, T0 + 1000, &err), PN_OK);
    assert_string_equal(serving(body), "A");
    assert_string_equal(state_of(body, 1), "current");
    assert_string_equal(state_of(body, 2), "draining");
    json_decref(body);
}

static void the_way_back_leads_to_what_served_last_and_was_not_refused(void **state)
{
    json_t *body = make_body("A");
    struct pn_error err = {0};

    (void)state;
    assert_null(pn_generations_former(body));
    assert_int_equal(stage(body, "B"), 2);
    assert_int_equal(pn_generations_promote(body, 2, "upload", T0, T0 + 1000, &err), PN_OK);
    assert_ptr_equal(pn_generations_former(body), pn_generations_at(body, 1));
    /* B is refused later: A serves again, and B drains */
    assert_int_equal(pn_generations_promote(body, 1, "rolled back", T0 + 1, T0 + 1001, &err),
                     PN_OK);
    assert_ptr_equal(pn_generations_former(body), pn_generations_at(body, 2));
    assert_int_equal(stage(body, "C"), 3);
    assert_int_equal(pn_generations_promote(body, 3, "upload", T0 + 2, T0 + 1002, &err), PN_OK);
    assert_ptr_equal(pn_generations_former(body), pn_generations_at(body, 1));
    /* also when the clock went back meanwhile */
    assert_int_equal(pn_generations_note(body, 2, NULL, "refused", T0), PN_OK);
    assert_int_equal(
        json_object_set_new(pn_generations_at(body, 1), "drainUntilMs", json_integer(T0 - 5000)),
        0);
    assert_ptr_equal(pn_generations_former(body), pn_generations_at(body, 1));
    json_decref(body);
}

static void history_is_bounded_and_never_loses_what_has_a_key(void **state)
{
    json_t *body = make_body("A");
    struct pn_error err = {0};
    int64_t next_ms = INT64_MAX;
    char name[16];

    (void)state;
    for (int i = 0; i < 3 * PN_GENERATIONS_KEPT_MAX; i++) {
        uint64_t number;

        snprintf(name, sizeof(name), "G%d", i);
        number = stage(body, name);
        assert_true(number > 0);
        assert_int_equal(pn_generations_promote(body, number, "upload", T0, T0, &err), PN_OK);
        (void)pn_generations_retire(body, T0, &next_ms);
        assert_true(json_array_size(json_object_get(json_object_get(body, "internal"),
                                                    "generations")) <= PN_GENERATIONS_KEPT_MAX + 1);
    }
    assert_string_equal(serving(body), name);
    assert_non_null(pn_generations_find(body, "current"));
    json_decref(body);
}

static void history_is_bounded_also_when_rotations_come_faster_than_they_drain(void **state)
{
    json_t *body = make_body("A");
    struct pn_error err = {0};
    char name[16];
    uint64_t number = 0;

    (void)state;
    for (int i = 0; i < 3 * PN_GENERATIONS_KEPT_MAX; i++) {
        snprintf(name, sizeof(name), "G%d", i);
        number = stage(body, name);
        assert_true(number > 0);
        assert_int_equal(pn_generations_promote(body, number, "vault", T0, T0 + 1000000, &err),
                         PN_OK);
        assert_true(json_array_size(json_object_get(json_object_get(body, "internal"),
                                                    "generations")) <= PN_GENERATIONS_KEPT_MAX);
    }
    assert_string_equal(serving(body), name);
    /* the way back is still there */
    assert_string_equal(state_of(body, number - 1), "draining");
    json_decref(body);
}

static void the_view_has_neither_chains_nor_keys(void **state)
{
    json_t *body = make_body("SECRET-KEY-NAME");
    json_t *view;
    char *text;

    (void)state;
    for (int i = 0; i < 2; i++) { /* without and with entries */
        view = pn_generations_view(body);
        assert_true(json_array_size(view) == (size_t)i + 1);
        text = json_dumps(view, 0);
        assert_null(strstr(text, "keyId"));
        assert_null(strstr(text, "chain"));
        free(text);
        json_decref(view);
        assert_int_equal(stage(body, "B"), 2);
    }
    json_decref(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_staged_one_changes_nothing_that_is_served),
        cmocka_unit_test(the_same_again_is_not_another_one),
        cmocka_unit_test(a_promoted_one_serves_and_the_former_drains_then_retires),
        cmocka_unit_test(a_draining_one_can_come_back),
        cmocka_unit_test(the_way_back_leads_to_what_served_last_and_was_not_refused),
        cmocka_unit_test(history_is_bounded_and_never_loses_what_has_a_key),
        cmocka_unit_test(history_is_bounded_also_when_rotations_come_faster_than_they_drain),
        cmocka_unit_test(the_view_has_neither_chains_nor_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
