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
                                          "fd20:ce::254"};
    static const char *const free_ones[] = {"127.0.0.1",   "::1",         "10.0.0.1",
                                            "192.168.1.1", "169.253.0.1", "fec0::1",
                                            "2001:db8::1", "fd00::1",     "::ffff:10.0.0.1"};

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_writing_is_the_same_address),
        cmocka_unit_test(what_is_no_address_is_in_no_range),
        cmocka_unit_test(metadata_and_link_local_addresses_are_guarded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
