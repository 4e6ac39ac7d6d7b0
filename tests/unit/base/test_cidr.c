/* SPDX-License-Identifier: Apache-2.0
 *
 * Ranges of addresses.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cidr.h"

static bool has(const char *range_text, const char *address)
{
    int family = strchr(address, ':') ? AF_INET6 : AF_INET;
    struct pn_cidr range;
    uint8_t ip[16];

    assert_int_equal(pn_cidr_parse(pn_slice_str(range_text), &range, NULL), PN_OK);
    assert_int_equal(inet_pton(family, address, ip), 1);
    return pn_cidr_has(&range, family, ip);
}

static void range_has_what_begins_with_its_bits(void **state)
{
    (void)state;
    assert_true(has("10.0.0.0/8", "10.255.1.2"));
    assert_false(has("10.0.0.0/8", "11.0.0.0"));
    assert_true(has("192.0.2.128/25", "192.0.2.128"));
    assert_false(has("192.0.2.128/25", "192.0.2.127"));
    assert_true(has("192.0.2.1", "192.0.2.1"));
    assert_false(has("192.0.2.1/32", "192.0.2.0"));
    assert_true(has("0.0.0.0/0", "255.255.255.255"));
    assert_true(has("2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(has("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(has("::/0", "::1"));
    assert_true(has("::1/128", "::1"));
}

static void families_are_never_mixed(void **state)
{
    (void)state;
    assert_false(has("0.0.0.0/0", "::1"));
    assert_false(has("::/0", "127.0.0.1"));
    assert_false(has("127.0.0.0/8", "::ffff:127.0.0.1"));
}

static void range_of_mapped_addresses_is_one_of_ipv4(void **state)
{
    (void)state;
    assert_true(has("::ffff:10.0.0.0/104", "10.1.2.3"));
    assert_false(has("::ffff:10.0.0.0/104", "11.1.2.3"));
    assert_true(has("::ffff:7f00:1", "127.0.0.1"));
    assert_true(has("::ffff:0:0/96", "192.0.2.1"));
    assert_false(has("::ffff:0:0/96", "::1"));
    assert_true(has("::/0", "2001:db8::1"));
    assert_true(has("::/64", "::1"));
    assert_true(has("::", "::"));
}

static void malformed_range_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "/8",
                                      "10.0.0.0/",
                                      "10.0.0.0/33",
                                      "10.0.0/8",
                                      "10.0.0.1/8",
                                      "10.0.0.0/ 8",
                                      "10.0.0.0/-1",
                                      "::1/129",
                                      "2001:db8::1/64",
                                      "localhost",
                                      "[::1]/128",
                                      "10.0.0.0/8/8",
                                      "64:ff9b::/96",
                                      "64:ff9b::10.0.0.0/104",
                                      "::10.0.0.1",
                                      "::10.0.0.0/104"};
    struct pn_cidr range;
    struct pn_error err;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(pn_cidr_parse(pn_slice_str(bad[i]), &range, &err), PN_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(range_has_what_begins_with_its_bits),
        cmocka_unit_test(families_are_never_mixed),
        cmocka_unit_test(range_of_mapped_addresses_is_one_of_ipv4),
        cmocka_unit_test(malformed_range_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
