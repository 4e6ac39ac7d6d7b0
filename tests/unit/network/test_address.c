/* SPDX-License-Identifier: Apache-2.0
 *
 * Addresses of network rules.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "network/address.h"

static struct pn_address of(const char *text)
{
    struct pn_address address;

    assert_true(pn_address_parse(pn_slice_str(text), &address));
    return address;
}

static void another_writing_is_the_same_address(void **state)
{
    static const char *const same[] = {"10.1.2.3", "::ffff:10.1.2.3", "[::ffff:a01:203]",
                                       "64:ff9b::10.1.2.3", "::10.1.2.3"};
    struct pn_cidr range;
    char text[PN_ADDRESS_TEXT];

    (void)state;
    assert_int_equal(pn_cidr_parse(PN_LIT("10.1.2.3"), &range, NULL), PN_OK);
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        struct pn_address address = of(same[i]);

        assert_true(pn_address_in(&address, &range));
        pn_address_text(&address, text);
        assert_string_equal(text, "10.1.2.3");
    }
}

static void what_is_no_address_is_in_no_range(void **state)
{
    static const char *const wrong[] = {"", "unknown", "10.1.2", "10.1.2.3.4", "[::1", "1::2::3"};
    struct pn_cidr all;
    struct pn_address address;

    (void)state;
    assert_int_equal(pn_cidr_parse(PN_LIT("0.0.0.0/0"), &all, NULL), PN_OK);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(pn_address_parse(pn_slice_str(wrong[i]), &address));
        assert_false(pn_address_in(&address, &all));
        assert_null(pn_address_is_guarded(&address));
    }
}

static void metadata_and_link_local_addresses_are_guarded(void **state)
{
    static const char *const guarded[] = {"169.254.169.254",
                                          "169.254.0.1",
                                          "::ffff:169.254.169.254",
                                          "64:ff9b::a9fe:a9fe",
                                          "fe80::1",
                                          "fe80::1%eth0",
                                          "febf::1",
                                          "fd00:ec2::254",
                                          "100.100.100.200",
                                          "168.63.129.16",
                                          "0.0.0.0",
                                          "0.1.2.3",
                                          "::",
                                          "fd20:ce::254",
                                          "fd00:ec2::23",
                                          "fd00:c1::a9fe:a9fe",
                                          "fd00:42::42",
                                          "2002:a9fe:a9fe::1",
                                          "2002:6464:64c8::",
                                          "2001:0:1:2:3:4:5601:5601",
                                          "2001:0:a9fe:a9fe::1",
                                          "64:ff9b:1::169.254.169.254",
                                          "64:ff9b:1:a9fe:a9:fe00::",
                                          "::ffff:0:169.254.169.254",
                                          "2001:db8::5efe:169.254.169.254",
                                          "2001:db8::200:5efe:169.254.1.1"};
    static const char *const free_ones[] = {"127.0.0.1",
                                            "::1",
                                            "10.0.0.1",
                                            "192.168.1.1",
                                            "169.253.0.1",
                                            "fec0::1",
                                            "2001:db8::1",
                                            "fd00::1",
                                            "::ffff:10.0.0.1",
                                            "2002:a00:1::1",
                                            "64:ff9b:1::10.0.0.1",
                                            "2001:0:808:808::f5ff:fffe",
                                            "2001:db8::5efe:10.0.0.1"};

    (void)state;
    for (size_t i = 0; i < sizeof guarded / sizeof guarded[0]; i++) {
        struct pn_address address = of(guarded[i]);

        if (!pn_address_is_guarded(&address))
            fail_msg("%s is not guarded", guarded[i]);
    }
    for (size_t i = 0; i < sizeof free_ones / sizeof free_ones[0]; i++) {
        struct pn_address address = of(free_ones[i]);

        if (pn_address_is_guarded(&address))
            fail_msg("%s is guarded", free_ones[i]);
    }
}

static void what_others_take_for_an_address_is_read(void **state)
{
    static const char *const same[] = {"169.254.169.254", "2852039166",      "0xa9fea9fe",
                                       "0xa9.254.43518",  "0251.0376.43518", "169.254.169.254."};
    static const char *const wrong[] = {"",          "localhost", "169.254.169.254.5",
                                        "256.1.1.1", "a9fea9fe",  "1 2"};
    struct pn_address address;
    char text[PN_ADDRESS_TEXT];

    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        assert_true(pn_address_parse_loosely(pn_slice_str(same[i]), &address));
        pn_address_text(&address, text);
        assert_string_equal(text, "169.254.169.254");
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(pn_address_parse_loosely(pn_slice_str(wrong[i]), &address));
}

static void only_this_machine_is_loopback(void **state)
{
    static const char *const own[] = {"localhost", "LocalHost.",      "vault.localhost",
                                      "127.0.0.1", "127.9.9.9",       "::1",
                                      "[::1]",     "::ffff:127.0.0.1"};
    static const char *const others[] = {"",           "127.example",       "127.0.0.1.example",
                                         "alocalhost", "localhost.example", "128.0.0.1",
                                         "::2",        "[::ffff:10.0.0.1]"};

    (void)state;
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (!pn_host_is_loopback(own[i]))
            fail_msg("%s is this machine", own[i]);
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (pn_host_is_loopback(others[i]))
            fail_msg("%s is not this machine", others[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_writing_is_the_same_address),
        cmocka_unit_test(what_is_no_address_is_in_no_range),
        cmocka_unit_test(metadata_and_link_local_addresses_are_guarded),
        cmocka_unit_test(what_others_take_for_an_address_is_read),
        cmocka_unit_test(only_this_machine_is_loopback),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
