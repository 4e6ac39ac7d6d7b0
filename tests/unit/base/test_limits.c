/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of limits: what an operator may write, what a child gets, what is counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "base/nearest.h"

static uint64_t values[PN_LIMIT_COUNT];

static int set_defaults(void **state)
{
    (void)state;
    pn_limits_reset(values);
    pn_limits_reset(pn_limit_values);
    return 0;
}

static enum pn_rc set(const char *pair, struct pn_error *err)
{
    *err = (struct pn_error){0};
    return pn_limit_set_pair(values, pair, err);
}

static void every_default_lies_within_its_borders(void **state)
{
    (void)state;
    for (size_t i = 0; i < PN_LIMIT_COUNT; i++) {
        const struct pn_limit_row *row = &pn_limit_rows[i];

        assert_true(row->min <= row->value && row->value <= row->max);
        assert_int_equal(pn_limit_value((enum pn_limit)i), row->value);
        assert_true(strlen(row->help) > 0);
    }
}

static void names_are_kebab_case_and_unique(void **state)
{
    (void)state;
    for (size_t i = 0; i < PN_LIMIT_COUNT; i++) {
        const char *name = pn_limit_rows[i].name;

        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-"), strlen(name));
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(name, pn_limit_rows[k].name);
    }
}

static void value_takes_the_suffixes_of_its_unit(void **state)
{
    static const struct {
        const char *pair;
        enum pn_limit limit;
        uint64_t value;
    } cases[] = {
        {"client-idle-timeout=1234", PN_LIMIT_CLIENT_IDLE_TIMEOUT, 1234},
        {"client-idle-timeout=1500ms", PN_LIMIT_CLIENT_IDLE_TIMEOUT, 1500},
        {"client-idle-timeout=90 s", PN_LIMIT_CLIENT_IDLE_TIMEOUT, 90000},
        {"client-idle-timeout=2m", PN_LIMIT_CLIENT_IDLE_TIMEOUT, 120000},
        {"client-idle-timeout=24h", PN_LIMIT_CLIENT_IDLE_TIMEOUT, 86400000},
        {"header-bytes=32KiB", PN_LIMIT_HEADER_BYTES, 32768},
        {"call-memory=2MiB", PN_LIMIT_CALL_MEMORY, 2097152},
        {"call-memory=1GiB", PN_LIMIT_CALL_MEMORY, 1073741824},
        {"busy-rest=150", PN_LIMIT_BUSY_REST, 150},
        {"busy-rest=90us", PN_LIMIT_BUSY_REST, 90},
        {"busy-rest=2ms", PN_LIMIT_BUSY_REST, 2000},
        {"client-connections=1", PN_LIMIT_CLIENT_CONNECTIONS, 1},
        {"client-connections=10000000", PN_LIMIT_CLIENT_CONNECTIONS, 10000000},
    };
    struct pn_error err;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(set(cases[i].pair, &err), PN_OK);
        assert_int_equal(values[cases[i].limit], cases[i].value);
    }
}

static void value_of_another_form_or_beyond_the_borders_is_refused(void **state)
{
    static const char *const pairs[] = {"client-connections=0",
                                        "client-connections=10000001",
                                        "client-connections=",
                                        "client-connections=12x",
                                        "client-connections=-1",
                                        "client-connections=1KiB",
                                        "header-bytes=65537",
                                        "header-bytes=1s",
                                        "header-bytes=64kib",
                                        "client-idle-timeout=25h",
                                        "client-idle-timeout=1MiB",
                                        "client-idle-timeout=s",
                                        "client-idle-timeout=90us",
                                        "busy-rest=11ms",
                                        "busy-rest=1m",
                                        "client-idle-timeout=99999999999999999999",
                                        "client-idle-timeout=18446744073709551615h"};
    struct pn_error err;

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        assert_int_equal(set(pairs[i], &err), PN_INVALID);
        assert_non_null(strstr(err.message, " from "));
    }
    assert_int_equal(set("client-connections", &err), PN_INVALID);
    assert_non_null(strstr(err.message, "NAME=VALUE"));
    for (size_t i = 0; i < PN_LIMIT_COUNT; i++)
        assert_int_equal(values[i], pn_limit_rows[i].value);
}

static void unknown_name_is_answered_with_the_nearest_one(void **state)
{
    struct pn_error err;

    (void)state;
    assert_int_equal(set("client-conections=5", &err), PN_NOT_FOUND);
    assert_non_null(strstr(err.message, "did you mean 'client-connections'?"));
    assert_int_equal(set("haeder-bytes=5", &err), PN_NOT_FOUND);
    assert_non_null(strstr(err.message, "did you mean 'header-bytes'?"));
    assert_int_equal(set("colour=5", &err), PN_NOT_FOUND);
    assert_null(strstr(err.message, "did you mean"));
    assert_int_equal(set("=5", &err), PN_NOT_FOUND);
}

static const char *word_at(size_t i)
{
    static const char *const words[] = {"header-bytes", "header-count", "drain-timeout", NULL};

    return words[i];
}

static void nearest_name_is_none_when_all_are_far(void **state)
{
    char longer[200];

    (void)state;
    memset(longer, 'h', sizeof(longer));
    assert_string_equal(pn_nearest(PN_LIT("header-byte"), word_at), "header-bytes");
    assert_string_equal(pn_nearest(PN_LIT("hedaer-count"), word_at), "header-count");
    assert_null(pn_nearest(PN_LIT("x"), word_at));
    assert_null(pn_nearest(PN_LIT(""), word_at));
    assert_null(pn_nearest(pn_slice(longer, sizeof(longer)), word_at));
}

static void child_gets_what_is_not_the_default(void **state)
{
    struct pn_error err = {0};
    struct pn_buf text;

    (void)state;
    pn_buf_init(&text, 4096);
    assert_int_equal(pn_limits_export(values, &text), PN_OK);
    assert_int_equal(text.len, 0);
    assert_int_equal(set("drain-timeout=5s", &err), PN_OK);
    assert_int_equal(set("header-bytes=2KiB", &err), PN_OK);
    assert_int_equal(pn_limits_export(values, &text), PN_OK);
    assert_string_equal(pn_buf_str(&text), "header-bytes=2048,drain-timeout=5000");

    assert_int_equal(setenv(PN_LIMITS_ENV, pn_buf_str(&text), 1), 0);
    assert_int_equal(pn_limits_import(&err), PN_OK);
    assert_int_equal(pn_limit_value(PN_LIMIT_HEADER_BYTES), 2048);
    assert_int_equal(pn_limit_value(PN_LIMIT_DRAIN_TIMEOUT), 5000);
    assert_int_equal(pn_limit_value(PN_LIMIT_HEADER_COUNT), PN_LIMIT_HEADER_COUNT_DEFAULT);
    assert_int_equal(setenv(PN_LIMITS_ENV, "header-bytes=1", 1), 0);
    assert_int_equal(pn_limits_import(&err), PN_INVALID);
    assert_int_equal(unsetenv(PN_LIMITS_ENV), 0);
    assert_int_equal(pn_limits_import(&err), PN_OK);
    pn_buf_fini(&text);
}

static void hits_are_counted_and_shown_by_name(void **state)
{
    int64_t counters[PN_COUNTER_COUNT];
    int64_t before = pn_limit_hits(PN_LIMIT_BACKEND_QUEUE);
    struct pn_buf text;

    (void)state;
    pn_limit_hit(PN_LIMIT_BACKEND_QUEUE);
    pn_limit_hit(PN_LIMIT_BACKEND_QUEUE);
    assert_int_equal(pn_limit_hits(PN_LIMIT_BACKEND_QUEUE), before + 2);
    for (size_t i = 0; i < PN_COUNTER_COUNT; i++)
        counters[i] = pn_counter_get(i);
    pn_buf_init(&text, 1 << 20);
    assert_int_equal(pn_metrics_print(counters, &text), PN_OK);
    assert_non_null(
        strstr(pn_buf_str(&text), "\npostern_limit_hits_total{limit=\"backend-queue\"} 2\n"));
    assert_non_null(
        strstr(pn_buf_str(&text), "\npostern_limit_value{limit=\"header-bytes\"} 65536\n"));
    pn_buf_fini(&text);
}

static void printed_value_can_be_set_again(void **state)
{
    struct pn_error err = {0};
    char text[32];

    (void)state;
    assert_string_equal(pn_limit_text(PN_LIMIT_HEADER_BYTES, 65536, text), "64KiB");
    assert_string_equal(pn_limit_text(PN_LIMIT_HEADER_BYTES, 1500, text), "1500");
    assert_string_equal(pn_limit_text(PN_LIMIT_DRAIN_TIMEOUT, 0, text), "0");
    assert_string_equal(pn_limit_text(PN_LIMIT_DRAIN_TIMEOUT, 1500, text), "1500ms");
    for (size_t i = 0; i < PN_LIMIT_COUNT; i++) {
        const struct pn_limit_row *row = &pn_limit_rows[i];

        pn_limit_text((enum pn_limit)i, row->value, text);
        values[i] = row->min;
        assert_int_equal(pn_limit_set(values, pn_slice_str(row->name), pn_slice_str(text), &err),
                         PN_OK);
        assert_int_equal(values[i], row->value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_default_lies_within_its_borders, set_defaults),
        cmocka_unit_test_setup(names_are_kebab_case_and_unique, set_defaults),
        cmocka_unit_test_setup(value_takes_the_suffixes_of_its_unit, set_defaults),
        cmocka_unit_test_setup(value_of_another_form_or_beyond_the_borders_is_refused,
                               set_defaults),
        cmocka_unit_test_setup(unknown_name_is_answered_with_the_nearest_one, set_defaults),
        cmocka_unit_test_setup(nearest_name_is_none_when_all_are_far, set_defaults),
        cmocka_unit_test_setup(child_gets_what_is_not_the_default, set_defaults),
        cmocka_unit_test_setup(hits_are_counted_and_shown_by_name, set_defaults),
        cmocka_unit_test_setup(printed_value_can_be_set_again, set_defaults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
