/* SPDX-License-Identifier: Apache-2.0
 *
 * When a worker refuses, and the connections of an address.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/address_count.h"
#include "gateway/overload.h"

static void long_turns_refuse_until_they_are_well_below_the_limit(void **state)
{
    struct pn_overload overload = {.lag_max_ms = 100, .open_max = 10};

    (void)state;
    pn_overload_turn(&overload, 300); /* one alone is no overload */
    assert_false(overload.is_slow);
    for (int i = 0; i < 20; i++)
        pn_overload_turn(&overload, 120);
    assert_true(overload.is_slow);
    for (int i = 0; i < 20; i++)
        pn_overload_turn(&overload, 80);
    assert_true(overload.is_slow);
    for (int i = 0; i < 20; i++)
        pn_overload_turn(&overload, 50);
    assert_false(overload.is_slow);
    for (int i = 0; i < 20; i++)
        pn_overload_turn(&overload, 90);
    assert_false(overload.is_slow);
}

static void pause_forgets_the_long_turns(void **state)
{
    struct pn_overload overload = {.lag_max_ms = 100, .open_max = 10};

    (void)state;
    for (int i = 0; i < 20; i++)
        pn_overload_turn(&overload, 500);
    assert_true(overload.is_slow);
    pn_overload_rested(&overload);
    assert_false(overload.is_slow);
    pn_overload_turn(&overload, 150);
    assert_false(overload.is_slow);
}

static void lag_of_zero_is_not_watched(void **state)
{
    struct pn_overload overload = {.lag_max_ms = 0, .open_max = 10};

    (void)state;
    for (int i = 0; i < 20; i++)
        pn_overload_turn(&overload, 10000);
    assert_false(overload.is_slow);
}

static void request_above_the_limit_refuses_until_a_quarter_has_ended(void **state)
{
    struct pn_overload overload = {.open_max = 8};

    (void)state;
    for (int i = 0; i < 8; i++)
        pn_overload_opened(&overload);
    assert_false(overload.is_full);
    pn_overload_opened(&overload);
    assert_true(overload.is_full);
    pn_overload_closed(&overload);
    pn_overload_closed(&overload);
    assert_true(overload.is_full); /* 7 */
    pn_overload_closed(&overload);
    assert_false(overload.is_full); /* 6 */
}

static struct pn_peer_address peer_of(const char *text)
{
    struct pn_peer_address peer = {.family = strchr(text, ':') ? AF_INET6 : AF_INET};

    assert_int_equal(inet_pton(peer.family, text, peer.ip), 1);
    return peer;
}

static void address_gets_so_many_connections_and_no_more(void **state)
{
    struct pn_address_count *table = pn_address_count_create(1000);
    struct pn_peer_address one = peer_of("192.0.2.1"), other = peer_of("192.0.2.2");

    (void)state;
    one.port = 1;
    for (int i = 0; i < 3; i++)
        assert_true(pn_address_count_add(table, &one, 3));
    one.port = 2;
    assert_false(pn_address_count_add(table, &one, 3));
    assert_true(pn_address_count_add(table, &other, 3));
    assert_int_equal(pn_address_count_get(table, &one), 3);
    pn_address_count_drop(table, &one);
    assert_true(pn_address_count_add(table, &one, 3));
    assert_false(pn_address_count_add(table, &one, 3));
    pn_address_count_destroy(table);
}

static void ipv6_client_is_its_network(void **state)
{
    struct pn_address_count *table = pn_address_count_create(1000);
    struct pn_peer_address one = peer_of("2001:db8:0:1::1"), same = peer_of("2001:db8:0:1:ff::9");
    struct pn_peer_address other = peer_of("2001:db8:0:2::1");
    struct pn_peer_address unix_peer = {.family = AF_UNSPEC};

    (void)state;
    assert_true(pn_address_count_add(table, &one, 1));
    assert_false(pn_address_count_add(table, &same, 1));
    assert_true(pn_address_count_add(table, &other, 1));
    for (int i = 0; i < 10; i++)
        assert_true(pn_address_count_add(table, &unix_peer, 1));
    pn_address_count_drop(table, &unix_peer);
    pn_address_count_destroy(table);
}

static void many_addresses_come_and_go_without_a_trace(void **state)
{
    struct pn_address_count *table = pn_address_count_create(4096);
    struct pn_peer_address peer = {.family = AF_INET};

    (void)state;
    for (unsigned round = 0; round < 8; round++) {
        for (unsigned i = 0; i < 4096; i++) {
            peer.ip[0] = (uint8_t)round;
            peer.ip[2] = (uint8_t)(i >> 8);
            peer.ip[3] = (uint8_t)i;
            assert_true(pn_address_count_add(table, &peer, 5));
        }
        for (unsigned i = 0; i < 4096; i++) {
            peer.ip[2] = (uint8_t)(i >> 8);
            peer.ip[3] = (uint8_t)i;
            pn_address_count_drop(table, &peer);
            assert_int_equal(pn_address_count_get(table, &peer), 0);
        }
    }
    pn_address_count_destroy(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(long_turns_refuse_until_they_are_well_below_the_limit),
        cmocka_unit_test(pause_forgets_the_long_turns),
        cmocka_unit_test(lag_of_zero_is_not_watched),
        cmocka_unit_test(request_above_the_limit_refuses_until_a_quarter_has_ended),
        cmocka_unit_test(address_gets_so_many_connections_and_no_more),
        cmocka_unit_test(ipv6_client_is_its_network),
        cmocka_unit_test(many_addresses_come_and_go_without_a_trace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
