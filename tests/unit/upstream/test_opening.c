/* SPDX-License-Identifier: Apache-2.0
 *
 * In which order the addresses of a name are tried.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "upstream/opening.h"

/** "4a 4b 6a": family and a letter, which becomes the first byte of the address. */
static size_t read_list(const char *text, struct pn_peer_address *addresses)
{
    size_t count = 0;

    memset(addresses, 0, sizeof(*addresses) * PN_RESOLVE_ADDRESSES_MAX);
    for (; *text; text += text[2] ? 3 : 2) {
        addresses[count].family = text[0] == '4' ? AF_INET : AF_INET6;
        addresses[count++].ip[0] = (uint8_t)text[1];
    }
    return count;
}

static void assert_order(const char *given, unsigned turn, const char *expected)
{
    struct pn_peer_address addresses[PN_RESOLVE_ADDRESSES_MAX], wanted[PN_RESOLVE_ADDRESSES_MAX];
    size_t count = read_list(given, addresses);

    assert_int_equal(read_list(expected, wanted), count);
    pn_opening_order(addresses, count, turn);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(addresses[i].family, wanted[i].family);
        assert_int_equal(addresses[i].ip[0], wanted[i].ip[0]);
    }
}

static void families_take_turns_beginning_with_the_first(void **state)
{
    (void)state;
    assert_order("6a 6b 6c 4a 4b", 0, "6a 4a 6b 4b 6c");
    assert_order("4a 6a 6b", 0, "4a 6a 6b");
    assert_order("4a 4b 4c 6a", 0, "4a 6a 4b 4c");
}

static void equals_are_rotated_within_their_family(void **state)
{
    (void)state;
    assert_order("4a 4b 4c", 1, "4b 4c 4a");
    assert_order("4a 4b 4c", 3, "4a 4b 4c");
    assert_order("6a 6b 4a 4b", 1, "6b 4b 6a 4a");
    assert_order("6a 6b 4a", 4294967295u, "6b 4a 6a");
}

static void one_address_and_eight_are_fine(void **state)
{
    (void)state;
    assert_order("4a", 7, "4a");
    assert_order("4a 4b 4c 4d 6a 6b 6c 6d", 0, "4a 6a 4b 6b 4c 6c 4d 6d");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_take_turns_beginning_with_the_first),
        cmocka_unit_test(equals_are_rotated_within_their_family),
        cmocka_unit_test(one_address_and_eight_are_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
