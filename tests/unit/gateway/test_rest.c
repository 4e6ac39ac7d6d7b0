/* SPDX-License-Identifier: Apache-2.0
 *
 * When a busy worker rests, and for how long.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "gateway/rest.h"

/* A second of turns that begin every `every_us` and work for `work_us`; each answers one request
 * that took `took_us` (0: none). The rest that the last one asks for. */
static unsigned live(struct pn_rest *rest, uint64_t every_us, uint64_t work_us, uint64_t took_us)
{
    uint64_t now_us = rest->since_us;
    uint64_t end_us = now_us + 1000000;
    unsigned length_us = 0;

    for (; now_us < end_us; now_us += every_us) {
        if (took_us > 0)
            pn_rest_served(rest, took_us);
        length_us = pn_rest_after(rest, now_us, now_us + work_us);
    }
    return length_us;
}

static void busy_thread_rests_for_a_part_of_what_requests_take(void **state)
{
    struct pn_rest rest = {.most_us = 200, .since_us = 1000000};

    (void)state;
    assert_int_equal(live(&rest, 20, 15, 300), 150);
    assert_int_equal(live(&rest, 20, 15, 1000), 200);
    assert_int_equal(live(&rest, 20, 15, 10000000), 200);
}

static void thread_that_has_time_does_not_rest(void **state)
{
    struct pn_rest rest = {.most_us = 200, .since_us = 1000000};

    (void)state;
    assert_int_equal(live(&rest, 100, 20, 1000), 0);
    assert_int_equal(live(&rest, 100, 40, 1000), 200);
    assert_int_equal(live(&rest, 100, 20, 1000), 0);
}

static void quick_requests_do_not_wait_for_slow_ones(void **state)
{
    struct pn_rest rest = {.most_us = 200, .since_us = 1000000};

    (void)state;
    assert_int_equal(live(&rest, 20, 15, 80), 0);
    assert_int_equal(live(&rest, 20, 15, 0), 0); /* none was answered */
}

/* What they take is spent in the gateway itself, so that it is busy with one alone. */
static void few_clients_one_request_after_the_other_never_wait_for_a_rest(void **state)
{
    struct pn_rest rest = {.most_us = 200, .since_us = 1000000};

    (void)state;
    assert_int_equal(live(&rest, 1000, 900, 1000), 0);
    assert_int_equal(live(&rest, 500, 450, 1500), 0);   /* three */
    assert_int_equal(live(&rest, 200, 180, 1600), 200); /* eight */
}

static void limit_of_zero_forbids_it(void **state)
{
    struct pn_rest rest = {.most_us = 0, .since_us = 1000000};

    (void)state;
    assert_int_equal(live(&rest, 20, 15, 1000), 0);
}

static void after_a_silence_nothing_rests(void **state)
{
    struct pn_rest rest = {.most_us = 200, .since_us = 1000000};
    uint64_t later_us;

    (void)state;
    assert_int_equal(live(&rest, 20, 15, 1000), 200);
    later_us = rest.since_us + 50000;
    pn_rest_served(&rest, 1000);
    assert_int_equal(pn_rest_after(&rest, later_us, later_us + 15), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(busy_thread_rests_for_a_part_of_what_requests_take),
        cmocka_unit_test(thread_that_has_time_does_not_rest),
        cmocka_unit_test(quick_requests_do_not_wait_for_slow_ones),
        cmocka_unit_test(few_clients_one_request_after_the_other_never_wait_for_a_rest),
        cmocka_unit_test(limit_of_zero_forbids_it),
        cmocka_unit_test(after_a_silence_nothing_rests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
