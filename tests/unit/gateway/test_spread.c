/* SPDX-License-Identifier: Apache-2.0
 *
 * Which worker serves a connection, and how many there may be.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/spread.h"

static void limit_is_of_all_together(void **state)
{
    struct pn_spread *spread = pn_spread_create(3, 2);
    unsigned whose;

    (void)state;
    assert_true(pn_spread_enter(spread, 0, true, &whose));
    assert_true(pn_spread_enter(spread, 0, true, &whose));
    assert_false(pn_spread_enter(spread, 0, true, &whose));
    assert_false(pn_spread_enter(spread, 2, false, &whose));
    pn_spread_leave(spread, 0);
    assert_true(pn_spread_enter(spread, 2, true, &whose));
    assert_int_equal(whose, 2);
    pn_spread_destroy(spread);
}

static void who_has_many_gives_to_who_has_fewest(void **state)
{
    struct pn_spread *spread = pn_spread_create(4, 1000);
    unsigned counts[4] = {0}, whose, most = 0, least = 1000;

    (void)state;
    for (int i = 0; i < 400; i++) {
        assert_true(pn_spread_enter(spread, 1, true, &whose));
        counts[whose]++;
    }
    for (int i = 0; i < 4; i++) {
        most = counts[i] > most ? counts[i] : most;
        least = counts[i] < least ? counts[i] : least;
    }
    assert_true(least > 85 && most < 125);
    pn_spread_destroy(spread);
}

static void few_stay_where_they_came(void **state)
{
    struct pn_spread *spread = pn_spread_create(2, 1000);
    unsigned whose;

    (void)state;
    for (int i = 0; i < 8; i++) {
        assert_true(pn_spread_enter(spread, 0, true, &whose));
        assert_int_equal(whose, 0);
    }
    assert_true(pn_spread_enter(spread, 0, true, &whose));
    assert_int_equal(whose, 1);
    assert_true(pn_spread_enter(spread, 0, false, &whose));
    assert_int_equal(whose, 0);
    pn_spread_destroy(spread);
}

static void who_has_drained_gets_nothing(void **state)
{
    struct pn_spread *spread = pn_spread_create(2, 1000);
    unsigned whose;

    (void)state;
    for (int i = 0; i < 9; i++)
        assert_true(pn_spread_enter(spread, 0, true, &whose));
    assert_int_equal(whose, 1);
    assert_false(pn_spread_close(spread, 1)); /* one is on its way */
    pn_spread_move(spread, 1, 0);
    assert_true(pn_spread_close(spread, 1));
    assert_false(pn_spread_close(spread, 1));
    assert_true(pn_spread_enter(spread, 0, true, &whose));
    assert_int_equal(whose, 0);
    pn_spread_destroy(spread);
}

#define THREADS 4
#define ROUNDS  20000

struct visitor {
    pthread_t thread;
    struct pn_spread *spread;
    unsigned self;
};

static void *come_and_go(void *context)
{
    struct visitor *visitor = context;

    for (int i = 0; i < ROUNDS; i++) {
        unsigned first, second;
        bool has_first = pn_spread_enter(visitor->spread, visitor->self, true, &first);
        bool has_second = pn_spread_enter(visitor->spread, visitor->self, true, &second);

        if (has_first)
            pn_spread_leave(visitor->spread, first);
        if (has_second)
            pn_spread_leave(visitor->spread, second);
    }
    return NULL;
}

static void counts_come_out_even_from_several_threads(void **state)
{
    struct pn_spread *spread = pn_spread_create(THREADS, 5);
    struct visitor visitors[THREADS];
    unsigned whose;

    (void)state;
    for (unsigned i = 0; i < THREADS; i++) {
        visitors[i] = (struct visitor){.spread = spread, .self = i};
        assert_int_equal(pthread_create(&visitors[i].thread, NULL, come_and_go, &visitors[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(visitors[i].thread, NULL);
    for (int i = 0; i < 5; i++)
        assert_true(pn_spread_enter(spread, 0, false, &whose));
    assert_false(pn_spread_enter(spread, 0, false, &whose));
    for (int i = 0; i < 5; i++)
        pn_spread_leave(spread, 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_true(pn_spread_close(spread, i));
    pn_spread_destroy(spread);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limit_is_of_all_together),
        cmocka_unit_test(who_has_many_gives_to_who_has_fewest),
        cmocka_unit_test(few_stay_where_they_came),
        cmocka_unit_test(who_has_drained_gets_nothing),
        cmocka_unit_test(counts_come_out_even_from_several_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
