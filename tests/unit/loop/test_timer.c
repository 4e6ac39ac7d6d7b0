/* SPDX-License-Identifier: Apache-2.0
 *
 * The timer wheel, with a clock of our own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "loop/timer.h"

#define START UINT64_C(0x123456789)

struct probe {
    struct pn_timer timer;
    uint64_t wanted_ms;
    uint64_t fired_ms;
    int fired;
    struct pn_timer_wheel *wheel;
    struct probe *victim;
};

static void on_fire(struct pn_timer *timer)
{
    struct probe *probe = timer->ctx;

    probe->fired++;
    probe->fired_ms = probe->wheel->now_ms;
    if (probe->victim)
        pn_timer_wheel_disarm(probe->wheel, &probe->victim->timer);
}

static void probe_init(struct probe *probe, struct pn_timer_wheel *wheel)
{
    *probe = (struct probe){.wheel = wheel};
    pn_timer_init(&probe->timer, on_fire, probe);
}

static void every_delay_fires_exactly_at_its_deadline(void **state)
{
    static const uint64_t delays[] = {1,    2,    63,     64,       65,      4095,
                                      4096, 4097, 262144, 16777217, 1u << 30};
    struct pn_timer_wheel *wheel = malloc(sizeof(*wheel));

    (void)state;
    for (uint64_t start = START; start < START + 130; start++) {
        pn_timer_wheel_init(wheel, start);
        for (size_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
            struct probe probe;
            uint64_t begin = wheel->now_ms;

            probe_init(&probe, wheel);
            pn_timer_wheel_arm(wheel, &probe.timer, begin + delays[i]);
            pn_timer_wheel_run(wheel, begin + delays[i] - 1);
            assert_int_equal(probe.fired, 0);
            assert_true(pn_timer_is_armed(&probe.timer));
            pn_timer_wheel_run(wheel, begin + delays[i]);
            assert_int_equal(probe.fired, 1);
            assert_false(pn_timer_is_armed(&probe.timer));
            assert_true(pn_timer_wheel_next_ms(wheel) == UINT64_MAX);
        }
    }
    free(wheel);
}

static void timers_fire_in_the_order_of_their_deadlines(void **state)
{
    struct pn_timer_wheel *wheel = malloc(sizeof(*wheel));
    struct probe *probes = calloc(1000, sizeof(*probes));
    uint64_t random = 42;

    (void)state;
    pn_timer_wheel_init(wheel, START);
    for (int i = 0; i < 1000; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        probe_init(&probes[i], wheel);
        probes[i].wanted_ms = START + 1 + (random >> 40) % 500000;
        pn_timer_wheel_arm(wheel, &probes[i].timer, probes[i].wanted_ms);
    }
    pn_timer_wheel_run(wheel, START + 1000000);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(probes[i].fired, 1);
        assert_true(probes[i].fired_ms == probes[i].wanted_ms);
    }
    free(probes);
    free(wheel);
}

static void arming_later_moves_the_deadline_without_moving_the_entry(void **state)
{
    struct pn_timer_wheel *wheel = malloc(sizeof(*wheel));
    struct probe probe;
    uint64_t now = START;

    (void)state;
    pn_timer_wheel_init(wheel, now);
    probe_init(&probe, wheel);
    pn_timer_wheel_arm(wheel, &probe.timer, now + 100);
    for (int i = 0; i < 50; i++) {
        now += 7;
        pn_timer_wheel_run(wheel, now);
        pn_timer_wheel_arm(wheel, &probe.timer, now + 100);
        assert_int_equal(probe.fired, 0);
    }
    pn_timer_wheel_run(wheel, now + 99);
    assert_int_equal(probe.fired, 0);
    pn_timer_wheel_run(wheel, now + 100);
    assert_int_equal(probe.fired, 1);
    free(wheel);
}

static void arming_earlier_fires_earlier(void **state)
{
    struct pn_timer_wheel *wheel = malloc(sizeof(*wheel));
    struct probe probe;

    (void)state;
    pn_timer_wheel_init(wheel, START);
    probe_init(&probe, wheel);
    pn_timer_wheel_arm(wheel, &probe.timer, START + 5000);
    pn_timer_wheel_arm(wheel, &probe.timer, START + 10);
    pn_timer_wheel_run(wheel, START + 10);
    assert_int_equal(probe.fired, 1);
    pn_timer_wheel_run(wheel, START + 6000);
    assert_int_equal(probe.fired, 1);
    free(wheel);
}

static void timer_disarmed_by_a_timer_of_the_same_tick_does_not_fire(void **state)
{
    struct pn_timer_wheel *wheel = malloc(sizeof(*wheel));
    struct probe first, second;

    (void)state;
    pn_timer_wheel_init(wheel, START);
    probe_init(&first, wheel);
    probe_init(&second, wheel);
    first.victim = &second;
    pn_timer_wheel_arm(wheel, &first.timer, START + 10);
    pn_timer_wheel_arm(wheel, &second.timer, START + 10);
    pn_timer_wheel_run(wheel, START + 20);
    assert_int_equal(first.fired, 1);
    assert_int_equal(second.fired, 0);
    pn_timer_wheel_disarm(wheel, &second.timer);
    free(wheel);
}

static void past_deadline_fires_at_the_next_run(void **state)
{
    struct pn_timer_wheel *wheel = malloc(sizeof(*wheel));
    struct probe probe;

    (void)state;
    pn_timer_wheel_init(wheel, START);
    probe_init(&probe, wheel);
    pn_timer_wheel_arm(wheel, &probe.timer, 5);
    pn_timer_wheel_run(wheel, START + 1);
    assert_int_equal(probe.fired, 1);
    free(wheel);
}

static void deadline_beyond_the_wheel_is_cut_to_its_maximum(void **state)
{
    struct pn_timer_wheel *wheel = malloc(sizeof(*wheel));
    struct probe probe;

    (void)state;
    pn_timer_wheel_init(wheel, START);
    probe_init(&probe, wheel);
    pn_timer_wheel_arm(wheel, &probe.timer, UINT64_MAX);
    pn_timer_wheel_run(wheel, START + PN_TIMER_DELAY_MAX_MS - 1);
    assert_int_equal(probe.fired, 0);
    pn_timer_wheel_run(wheel, START + PN_TIMER_DELAY_MAX_MS);
    assert_int_equal(probe.fired, 1);
    free(wheel);
}

static void wheel_works_when_the_clock_passes_its_range(void **state)
{
    struct pn_timer_wheel *wheel = malloc(sizeof(*wheel));
    uint64_t border = UINT64_C(1) << 36;
    struct probe probe;

    (void)state;
    pn_timer_wheel_init(wheel, border - 5);
    probe_init(&probe, wheel);
    pn_timer_wheel_arm(wheel, &probe.timer, border + 70);
    pn_timer_wheel_run(wheel, border + 69);
    assert_int_equal(probe.fired, 0);
    pn_timer_wheel_run(wheel, border + 70);
    assert_int_equal(probe.fired, 1);
    free(wheel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_delay_fires_exactly_at_its_deadline),
        cmocka_unit_test(timers_fire_in_the_order_of_their_deadlines),
        cmocka_unit_test(arming_later_moves_the_deadline_without_moving_the_entry),
        cmocka_unit_test(arming_earlier_fires_earlier),
        cmocka_unit_test(timer_disarmed_by_a_timer_of_the_same_tick_does_not_fire),
        cmocka_unit_test(past_deadline_fires_at_the_next_run),
        cmocka_unit_test(deadline_beyond_the_wheel_is_cut_to_its_maximum),
        cmocka_unit_test(wheel_works_when_the_clock_passes_its_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
