/* SPDX-License-Identifier: Apache-2.0
 *
 * What backends are told of clients, for each setting.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>

#include "gateway/forwarded.h"

struct fixture {
    struct pn_arena *arena;
    struct pn_headers headers;
    struct pn_origin origin;
};

static int setup(void **state)
{
    static struct fixture f;

    memset(&f, 0, sizeof(f));
    f.arena = pn_arena_create(4096, 65536);
    assert_non_null(f.arena);
    pn_headers_init(&f.headers, f.arena);
    f.origin.peer.family = AF_INET;
    memcpy(f.origin.peer.ip, (uint8_t[]){192, 0, 2, 7}, 4);
    f.origin.is_tls = true;
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    pn_arena_destroy(f->arena);
    return 0;
}

static void add(struct fixture *f, const char *name, const char *value)
{
    assert_int_equal(pn_headers_add(&f->headers, pn_slice_str(name), pn_slice_str(value)), PN_OK);
}

static void apply(struct fixture *f, enum pn_forwarding_mode mode, bool writes_forwarded)
{
    const struct pn_forwarding forwarding = {mode, writes_forwarded};

    assert_int_equal(
        pn_forwarding_apply(&forwarding, &f->origin, PN_LIT("api.example:8443"), &f->headers),
        PN_OK);
}

/** `expected` NULL: no such field. Else exactly one. */
static void expect(struct fixture *f, const char *name, const char *expected)
{
    struct pn_slice value = pn_headers_get(&f->headers, name);

    assert_int_equal(pn_headers_count(&f->headers, name), expected ? 1 : 0);
    if (expected && !pn_slice_eq_str(value, expected))
        fail_msg("%s: %.*s, not %s", name, PN_FMT(value), expected);
}

static void append_goes_on_where_every_field_of_the_client_ends(void **state)
{
    struct fixture *f = *state;

    add(f, "X-Forwarded-For", "198.51.100.1");
    add(f, "x-forwarded-for", "198.51.100.2, 198.51.100.3");
    add(f, "X-Forwarded-Proto", "gopher");
    add(f, "X-Forwarded-Host", "evil.example");
    add(f, "Forwarded", "for=198.51.100.1");
    apply(f, PN_FORWARDING_APPEND, false);
    expect(f, "X-Forwarded-For", "198.51.100.1, 198.51.100.2, 198.51.100.3, 192.0.2.7");
    expect(f, "X-Forwarded-Proto", "https");
    expect(f, "X-Forwarded-Host", "api.example:8443");
    expect(f, "Forwarded", "for=198.51.100.1");
}

static void replace_believes_nothing(void **state)
{
    struct fixture *f = *state;

    add(f, "X-Forwarded-For", "198.51.100.1");
    add(f, "Forwarded", "for=198.51.100.1");
    add(f, "x-forwarded-port", "1");
    add(f, "X-Forwarded-Prefix", "/admin");
    add(f, "X-Forwarder", "stays");
    apply(f, PN_FORWARDING_REPLACE, false);
    expect(f, "X-Forwarded-For", "192.0.2.7");
    expect(f, "X-Forwarded-Port", NULL);
    expect(f, "X-Forwarded-Prefix", NULL);
    expect(f, "X-Forwarder", "stays");
    expect(f, "X-Forwarded-Proto", "https");
    expect(f, "Forwarded", NULL);
}

static void off_touches_nothing(void **state)
{
    struct fixture *f = *state;

    add(f, "X-Forwarded-For", "198.51.100.1");
    apply(f, PN_FORWARDING_OFF, true);
    expect(f, "X-Forwarded-For", "198.51.100.1");
    expect(f, "X-Forwarded-Proto", NULL);
    expect(f, "X-Forwarded-Host", NULL);
    expect(f, "Forwarded", NULL);
}

static void forwarded_has_one_element_for_each_hop(void **state)
{
    struct fixture *f = *state;

    add(f, "Forwarded", "for=198.51.100.1");
    apply(f, PN_FORWARDING_APPEND, true);
    expect(f, "Forwarded", "for=198.51.100.1, for=192.0.2.7;proto=https;host=\"api.example:8443\"");
}

static void ipv6_addresses_are_quoted(void **state)
{
    struct fixture *f = *state;

    f->origin.peer.family = AF_INET6;
    memset(f->origin.peer.ip, 0, 16);
    f->origin.peer.ip[0] = 0x20;
    f->origin.peer.ip[1] = 0x01;
    f->origin.peer.ip[15] = 0x01;
    f->origin.is_tls = false;
    apply(f, PN_FORWARDING_REPLACE, true);
    expect(f, "X-Forwarded-For", "2001::1");
    expect(f, "Forwarded", "for=\"[2001::1]\";proto=http;host=\"api.example:8443\"");
}

static void a_unix_socket_has_no_address(void **state)
{
    struct fixture *f = *state;

    f->origin.peer.family = AF_UNSPEC;
    add(f, "X-Forwarded-For", "198.51.100.1");
    apply(f, PN_FORWARDING_APPEND, true);
    expect(f, "X-Forwarded-For", "198.51.100.1");
    expect(f, "Forwarded", "for=unknown;proto=https;host=\"api.example:8443\"");
}

static void modes_have_names(void **state)
{
    enum pn_forwarding_mode mode = PN_FORWARDING_OFF;

    (void)state;
    assert_true(pn_forwarding_mode_parse(PN_LIT("append"), &mode));
    assert_int_equal(mode, PN_FORWARDING_APPEND);
    assert_true(pn_forwarding_mode_parse(PN_LIT("replace"), &mode));
    assert_int_equal(mode, PN_FORWARDING_REPLACE);
    assert_true(pn_forwarding_mode_parse(PN_LIT("off"), &mode));
    assert_int_equal(mode, PN_FORWARDING_OFF);
    assert_false(pn_forwarding_mode_parse(PN_LIT("on"), &mode));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(append_goes_on_where_every_field_of_the_client_ends, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(replace_believes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(off_touches_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(forwarded_has_one_element_for_each_hop, setup, teardown),
        cmocka_unit_test_setup_teardown(ipv6_addresses_are_quoted, setup, teardown),
        cmocka_unit_test_setup_teardown(a_unix_socket_has_no_address, setup, teardown),
        cmocka_unit_test(modes_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
