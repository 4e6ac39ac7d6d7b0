/* SPDX-License-Identifier: Apache-2.0
 *
 * Circuit breakers; the clock is a number.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/metrics.h"
#include "upstream/breaker.h"

#define START 1000000u

static struct pn_breaker *make(unsigned count, unsigned percentage)
{
    struct pn_breaker_rule rule = {
        .count = count, .percentage = percentage, .interval_ms = 16000, .trip_ms = 30000};
    struct pn_breaker *breaker = NULL;

    assert_int_equal(pn_breaker_create(&rule, &breaker), PN_OK);
    return breaker;
}

static enum pn_breaker_pass ask(struct pn_breaker *breaker, uint64_t now_ms)
{
    uint64_t wait_ms = 0;

    return pn_breaker_ask(breaker, now_ms, &wait_ms);
}

static bool is_open(const struct pn_breaker *breaker, uint64_t now_ms)
{
    return pn_breaker_wait_ms(breaker, now_ms) > 0;
}

static bool fail_at(struct pn_breaker *breaker, uint64_t now_ms)
{
    assert_int_equal(ask(breaker, now_ms), PN_BREAKER_CLOSED);
    return pn_breaker_failure(breaker, PN_BREAKER_CLOSED, now_ms, 0);
}

static void the_third_failure_trips_and_says_for_how_long(void **state)
{
    struct pn_breaker *breaker = make(3, 0);
    uint64_t wait_ms = 0;

    (void)state;
    assert_false(fail_at(breaker, START));
    assert_false(fail_at(breaker, START + 10));
    assert_false(is_open(breaker, START + 10));
    assert_true(fail_at(breaker, START + 20));
    assert_int_equal(pn_breaker_ask(breaker, START + 1020, &wait_ms), PN_BREAKER_OPEN);
    assert_int_equal(wait_ms, 29000);
    assert_int_equal(pn_metric_get(PN_METRIC_BACKENDS_TRIPPED), 1);
    pn_breaker_unref(breaker);
    assert_int_equal(pn_metric_get(PN_METRIC_BACKENDS_TRIPPED), 0);
}

static void a_trial_that_is_given_up_makes_room_for_another(void **state)
{
    struct pn_breaker *breaker = make(1, 0);
    uint64_t now_ms = START + 31000;
    uint64_t wait_ms = 0;

    (void)state;
    assert_true(fail_at(breaker, START));
    assert_int_equal(pn_breaker_ask(breaker, now_ms, &wait_ms), PN_BREAKER_TRIAL);
    assert_int_equal(wait_ms, PN_BREAKER_TRIAL_MS);
    assert_int_equal(ask(breaker, now_ms + 1), PN_BREAKER_OPEN);
    pn_breaker_give_up(breaker, now_ms + 1); /* another one's */
    assert_int_equal(ask(breaker, now_ms + 1), PN_BREAKER_OPEN);
    pn_breaker_give_up(breaker, now_ms + PN_BREAKER_TRIAL_MS);
    assert_false(is_open(breaker, now_ms + 1));
    assert_int_equal(ask(breaker, now_ms + 1), PN_BREAKER_TRIAL);
    assert_true(pn_breaker_failure(breaker, PN_BREAKER_TRIAL, now_ms + 2, 0));
    pn_breaker_give_up(breaker, now_ms + 1 + PN_BREAKER_TRIAL_MS); /* it has decided: too late */
    assert_true(is_open(breaker, now_ms + 3));
    assert_int_equal(pn_metric_get(PN_METRIC_BACKENDS_TRIPPED), 1);
    pn_breaker_unref(breaker);
    assert_int_equal(pn_metric_get(PN_METRIC_BACKENDS_TRIPPED), 0);
}

static void failures_older_than_the_interval_do_not_count(void **state)
{
    struct pn_breaker *breaker = make(3, 0);

    (void)state;
    for (uint64_t i = 0; i < 50; i++)
        assert_false(fail_at(breaker, START + i * 9000)); /* never three within 16 s */
    assert_false(fail_at(breaker, START + 50 * 9000));
    assert_true(fail_at(breaker, START + 50 * 9000 + 10));
    pn_breaker_unref(breaker);
}

static void one_trial_decides_after_the_trip(void **state)
{
    struct pn_breaker *breaker = make(1, 0);

    (void)state;
    assert_true(fail_at(breaker, START));
    assert_int_equal(ask(breaker, START + 29999), PN_BREAKER_OPEN);
    assert_int_equal(ask(breaker, START + 30000), PN_BREAKER_TRIAL);
    assert_int_equal(ask(breaker, START + 30001), PN_BREAKER_OPEN);
    assert_true(pn_breaker_failure(breaker, PN_BREAKER_TRIAL, START + 30100, 0));
    assert_int_equal(ask(breaker, START + 60099), PN_BREAKER_OPEN);
    assert_int_equal(ask(breaker, START + 60100), PN_BREAKER_TRIAL);
    assert_true(pn_breaker_success(breaker, PN_BREAKER_TRIAL, START + 60200));
    assert_int_equal(ask(breaker, START + 60200), PN_BREAKER_CLOSED);
    assert_int_equal(pn_metric_get(PN_METRIC_BACKENDS_TRIPPED), 0);
    pn_breaker_unref(breaker);
}

static void a_trial_that_never_ends_makes_room_for_another(void **state)
{
    struct pn_breaker *breaker = make(1, 0);

    (void)state;
    assert_true(fail_at(breaker, START));
    assert_int_equal(ask(breaker, START + 30000), PN_BREAKER_TRIAL);
    assert_int_equal(ask(breaker, START + 30000 + PN_BREAKER_TRIAL_MS - 1), PN_BREAKER_OPEN);
    assert_int_equal(ask(breaker, START + 30000 + PN_BREAKER_TRIAL_MS), PN_BREAKER_TRIAL);
    pn_breaker_unref(breaker);
}

static void late_results_of_before_the_trip_change_nothing(void **state)
{
    struct pn_breaker *breaker = make(1, 0);

    (void)state;
    assert_int_equal(ask(breaker, START), PN_BREAKER_CLOSED);
    assert_true(fail_at(breaker, START));
    assert_false(pn_breaker_success(breaker, PN_BREAKER_CLOSED, START + 5));
    assert_false(pn_breaker_failure(breaker, PN_BREAKER_CLOSED, START + 20000, 0));
    assert_int_equal(ask(breaker, START + 29999), PN_BREAKER_OPEN);
    assert_int_equal(ask(breaker, START + 30000), PN_BREAKER_TRIAL);
    pn_breaker_unref(breaker);
}

static void retry_after_sets_the_time_up_to_a_day(void **state)
{
    struct pn_breaker *breaker = make(1, 0);

    (void)state;
    assert_true(pn_breaker_failure(breaker, PN_BREAKER_CLOSED, START, 5000));
    assert_true(is_open(breaker, START + 4999));
    assert_int_equal(ask(breaker, START + 5000), PN_BREAKER_TRIAL);
    assert_true(pn_breaker_failure(breaker, PN_BREAKER_TRIAL, START, UINT64_MAX / 2));
    assert_true(is_open(breaker, START + PN_BREAKER_TRIP_MS_MAX - 1));
    assert_false(is_open(breaker, START + PN_BREAKER_TRIP_MS_MAX));
    pn_breaker_unref(breaker);
}

static void percentage_is_of_the_requests_in_the_interval(void **state)
{
    struct pn_breaker *breaker = make(0, 50);

    (void)state;
    for (unsigned i = 0; i < PN_BREAKER_SAMPLE_MIN - 1; i++)
        assert_false(fail_at(breaker, START)); /* too few to tell */
    for (int i = 0; i < 10; i++)
        assert_false(pn_breaker_success(breaker, PN_BREAKER_CLOSED, START + 1000));
    for (int i = 0; i < 5; i++)
        assert_false(fail_at(breaker, START + 2000)); /* 9 of 19 */
    assert_true(fail_at(breaker, START + 2000));      /* 10 of 20 */
    pn_breaker_unref(breaker);

    breaker = make(0, 50);
    for (int i = 0; i < 1000; i++)
        (void)pn_breaker_success(breaker, PN_BREAKER_CLOSED, START);
    for (unsigned i = 0; i < PN_BREAKER_SAMPLE_MIN - 1; i++)
        assert_false(fail_at(breaker, START + 17000)); /* the good times are over */
    assert_true(fail_at(breaker, START + 17000));
    pn_breaker_unref(breaker);
}

static void *fail_often(void *ctx)
{
    struct pn_breaker *breaker = ctx;
    uintptr_t trips = 0;

    for (int i = 0; i < 100; i++)
        trips += pn_breaker_failure(breaker, PN_BREAKER_CLOSED, START, 0);
    return (void *)trips;
}

static void threads_count_into_one_and_only_one_of_them_trips_it(void **state)
{
    struct pn_breaker *breaker = make(400, 0);
    pthread_t threads[4];
    uintptr_t trips = 0;

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, fail_often, breaker), 0);
    for (int i = 0; i < 4; i++) {
        void *result = NULL;

        assert_int_equal(pthread_join(threads[i], &result), 0);
        trips += (uintptr_t)result;
    }
    assert_int_equal(trips, 1);
    pn_breaker_unref(breaker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trial_that_is_given_up_makes_room_for_another),
        cmocka_unit_test(the_third_failure_trips_and_says_for_how_long),
        cmocka_unit_test(failures_older_than_the_interval_do_not_count),
        cmocka_unit_test(one_trial_decides_after_the_trip),
        cmocka_unit_test(a_trial_that_never_ends_makes_room_for_another),
        cmocka_unit_test(late_results_of_before_the_trip_change_nothing),
        cmocka_unit_test(retry_after_sets_the_time_up_to_a_day),
        cmocka_unit_test(percentage_is_of_the_requests_in_the_interval),
        cmocka_unit_test(threads_count_into_one_and_only_one_of_them_trips_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
