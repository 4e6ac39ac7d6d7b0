/* SPDX-License-Identifier: Apache-2.0
 *
 * Which member of a pool is chosen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "upstream/balance.h"

static void weights_are_shares_and_are_mixed(void **state)
{
    struct pn_balance balance = {{0}};
    const struct pn_balance_member members[] = {{3, 0, true}, {1, 0, true}};
    const size_t expected[] = {0, 0, 1, 0, 0, 0, 1, 0};

    (void)state;
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pn_balance_choose(&balance, members, 2), expected[i]);
}

static void equal_weights_take_turns(void **state)
{
    struct pn_balance balance = {{0}};
    const struct pn_balance_member members[] = {{0, 5, true}, {0, 5, true}, {0, 5, true}};

    (void)state;
    for (size_t i = 0; i < 9; i++)
        assert_int_equal(pn_balance_choose(&balance, members, 3), i % 3);
}

static void next_priority_is_used_only_when_the_first_is_away(void **state)
{
    struct pn_balance balance = {{0}};
    struct pn_balance_member members[] = {{1, 2, true}, {1, 1, true}, {1, 1, true}};

    (void)state;
    for (size_t i = 0; i < 10; i++)
        assert_int_not_equal(pn_balance_choose(&balance, members, 3), 0);
    members[1].is_available = false;
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(pn_balance_choose(&balance, members, 3), 2);
    members[2].is_available = false;
    assert_int_equal(pn_balance_choose(&balance, members, 3), 0);
    members[0].is_available = false;
    assert_int_equal(pn_balance_choose(&balance, members, 3), PN_BALANCE_NONE);
    assert_int_equal(pn_balance_choose(&balance, members, 0), PN_BALANCE_NONE);
}

static void weight_zero_is_a_reserve_of_its_priority(void **state)
{
    struct pn_balance balance = {{0}};
    struct pn_balance_member members[] = {{0, 1, true}, {5, 1, true}};

    (void)state;
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(pn_balance_choose(&balance, members, 2), 1);
    members[1].is_available = false;
    assert_int_equal(pn_balance_choose(&balance, members, 2), 0);
}

static void one_that_comes_back_is_not_flooded(void **state)
{
    struct pn_balance balance = {{0}};
    struct pn_balance_member members[] = {{1, 0, true}, {1, 0, false}};
    size_t second = 0;

    (void)state;
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(pn_balance_choose(&balance, members, 2), 0);
    members[1].is_available = true;
    for (size_t i = 0; i < 10; i++)
        second += pn_balance_choose(&balance, members, 2);
    assert_int_equal(second, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_shares_and_are_mixed),
        cmocka_unit_test(equal_weights_take_turns),
        cmocka_unit_test(next_priority_is_used_only_when_the_first_is_away),
        cmocka_unit_test(weight_zero_is_a_reserve_of_its_priority),
        cmocka_unit_test(one_that_comes_back_is_not_flooded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
