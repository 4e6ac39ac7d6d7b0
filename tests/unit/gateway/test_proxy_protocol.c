/* SPDX-License-Identifier: Apache-2.0
 *
 * PROXY headers: what is taken, what is refused, and every header cut at every byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/proxy_protocol.h"

#define BYTES_MAX 4096

static struct pn_proxy_header header;
static const char *cause;

/* From an exact heap copy, so that a sanitizer sees one byte too far. */
static enum pn_rc parse(const char *bytes, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);
    enum pn_rc rc;

    assert_non_null(copy);
    memcpy(copy, bytes, len);
    rc = pn_proxy_header_parse(pn_slice(copy, len), BYTES_MAX, &header, &cause);
    free(copy);
    return rc;
}

static enum pn_rc parse_text(const char *text)
{
    return parse(text, strlen(text));
}

/* A whole header, then the client's bytes: every shorter piece must ask for more. */
static void check_pieces(const char *bytes, size_t len)
{
    char longer[BYTES_MAX + 16];

    for (size_t i = 0; i < len; i++)
        assert_int_equal(parse(bytes, i), PN_AGAIN);
    assert_int_equal(parse(bytes, len), PN_OK);
    assert_int_equal(header.len, len);
    memcpy(longer, bytes, len);
    memcpy(longer + len, "GET / HTTP/1.1\r\n", 16);
    assert_int_equal(parse(longer, len + 16), PN_OK);
    assert_int_equal(header.len, len);
}

static void version_1_gives_addresses_and_ports(void **state)
{
    static const uint8_t source[4] = {192, 0, 2, 7}, target[4] = {198, 51, 100, 1};
    const char *v4 = "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n";
    const char *v6 = "PROXY TCP6 2001:db8::1 ::1 0 65535\r\n";

    (void)state;
    check_pieces(v4, strlen(v4));
    assert_true(header.has_addresses);
    assert_int_equal(header.family, AF_INET);
    assert_memory_equal(header.source_ip, source, 4);
    assert_memory_equal(header.target_ip, target, 4);
    assert_int_equal(header.source_port, 56324);
    assert_int_equal(header.target_port, 443);
    check_pieces(v6, strlen(v6));
    assert_int_equal(header.family, AF_INET6);
    assert_int_equal(header.source_ip[0], 0x20);
    assert_int_equal(header.target_port, 65535);
}

static void version_1_unknown_gives_no_address_whatever_follows(void **state)
{
    const char *bare = "PROXY UNKNOWN\r\n";
    const char *worded = "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n";

    (void)state;
    check_pieces(bare, strlen(bare));
    assert_false(header.has_addresses);
    check_pieces(worded, strlen(worded));
    assert_false(header.has_addresses);
}

static void version_1_that_is_not_to_the_letter_is_refused(void **state)
{
    static const char *const bad[] = {
        "PROXY TCP4 192.0.2.7 198.51.100.1 56324\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 1\r\n",
        "PROXY  TCP4 192.0.2.7 198.51.100.1 56324 443\r\n",
        "PROXY TCP4  192.0.2.7 198.51.100.1 56324 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443 \r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 56324 65536\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 +5 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 05 443\r\n",
        "PROXY TCP4 192.0.2.7 198.51.100.1 x 443\r\n",
        "PROXY TCP4 192.0.2.07 198.51.100.1 1 443\r\n",
        "PROXY TCP4 192.0.2 198.51.100.1 1 443\r\n",
        "PROXY TCP4 2001:db8::1 ::1 1 443\r\n",
        "PROXY TCP6 192.0.2.7 198.51.100.1 1 443\r\n",
        "PROXY TCP6 [::1] ::1 1 443\r\n",
        "PROXY TCP5 192.0.2.7 198.51.100.1 1 443\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY \r\n",
        "PROXY tcp4 192.0.2.7 198.51.100.1 1 443\r\n",
        "proxy TCP4 192.0.2.7 198.51.100.1 1 443\r\n",
        "GET / HTTP/1.1\r\n",
        "\x16\x03\x01",
        "\r\nPROXY",
        "PROXZ",
    };
    char line[PN_PROXY_V1_BYTES_MAX + 1];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(parse_text(bad[i]), PN_MALFORMED);
        assert_non_null(cause);
    }
    memset(line, 'x', sizeof(line));
    memcpy(line, "PROXY UNKNOWN ", 14);
    assert_int_equal(parse(line, PN_PROXY_V1_BYTES_MAX - 1), PN_AGAIN);
    assert_int_equal(parse(line, PN_PROXY_V1_BYTES_MAX), PN_MALFORMED);
    memcpy(line + PN_PROXY_V1_BYTES_MAX - 2, "\r\n", 2);
    assert_int_equal(parse(line, PN_PROXY_V1_BYTES_MAX), PN_OK);
}

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static size_t make_v2(char *out, int command, int kind, const void *body, size_t len)
{
    memcpy(out, SIGNATURE, 12);
    out[12] = (char)command;
    out[13] = (char)kind;
    out[14] = (char)(len >> 8);
    out[15] = (char)(len & 0xff);
    memcpy(out + 16, body, len);
    return 16 + len;
}

static const char v4_body[] = "\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb";

static void version_2_gives_addresses_and_skips_extensions(void **state)
{
    char bytes[BYTES_MAX];
    char body[300] = {0};
    size_t len = make_v2(bytes, 0x21, 0x11, v4_body, 12);

    (void)state;
    check_pieces(bytes, len);
    assert_true(header.has_addresses);
    assert_int_equal(header.family, AF_INET);
    assert_int_equal(header.source_ip[3], 7);
    assert_int_equal(header.source_port, 56324);
    assert_int_equal(header.target_port, 443);

    memcpy(body, v4_body, 12);
    memcpy(body + 12, "\x04\x00\x00\x20\x00\x02hi", 8); /* NOOP without, SSL with a value */
    len = make_v2(bytes, 0x21, 0x11, body, 20);
    check_pieces(bytes, len);
    assert_int_equal(header.source_port, 56324);

    memset(body, 0, sizeof(body));
    body[0] = 0x20;
    body[33] = 80;
    len = make_v2(bytes, 0x21, 0x21, body, 36);
    check_pieces(bytes, len);
    assert_int_equal(header.family, AF_INET6);
    assert_int_equal(header.source_port, 80);

    len = make_v2(bytes, 0x21, 0x31, body, 216);
    check_pieces(bytes, len);
    assert_int_equal(header.family, AF_UNIX);
}

static void version_2_local_or_unspecified_gives_no_address(void **state)
{
    char bytes[BYTES_MAX];
    size_t len = make_v2(bytes, 0x20, 0x00, "", 0);

    (void)state;
    check_pieces(bytes, len);
    assert_false(header.has_addresses);
    len = make_v2(bytes, 0x20, 0x11, v4_body, 12); /* a health check: ours is the connection's */
    check_pieces(bytes, len);
    assert_false(header.has_addresses);
    len = make_v2(bytes, 0x21, 0x00, v4_body, 5);
    check_pieces(bytes, len);
    assert_false(header.has_addresses);
}

static void version_2_that_is_not_to_the_letter_is_refused(void **state)
{
    char bytes[BYTES_MAX];
    char body[300] = {0};
    static const int kinds[] = {0x01, 0x10, 0x12, 0x20, 0x22, 0x32, 0x41, 0xff};
    static const int commands[] = {0x11, 0x31, 0x22, 0x2f, 0x01};

    (void)state;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        assert_int_equal(parse(bytes, make_v2(bytes, 0x21, kinds[i], body, 216)), PN_MALFORMED);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        assert_int_equal(parse(bytes, make_v2(bytes, commands[i], 0x11, v4_body, 12)),
                         PN_MALFORMED);
    assert_int_equal(parse(bytes, make_v2(bytes, 0x21, 0x11, v4_body, 11)), PN_MALFORMED);
    assert_int_equal(parse(bytes, make_v2(bytes, 0x21, 0x21, body, 35)), PN_MALFORMED);
    assert_int_equal(parse(bytes, make_v2(bytes, 0x21, 0x31, body, 215)), PN_MALFORMED);
    memcpy(body, v4_body, 12);
    body[12] = 4;
    assert_int_equal(parse(bytes, make_v2(bytes, 0x21, 0x11, body, 13)), PN_MALFORMED);
    assert_int_equal(parse(bytes, make_v2(bytes, 0x21, 0x11, body, 14)), PN_MALFORMED);
    body[14] = 2; /* two bytes are said, one is there */
    assert_int_equal(parse(bytes, make_v2(bytes, 0x21, 0x11, body, 16)), PN_MALFORMED);
}

static void header_above_the_limit_is_refused_before_it_has_come(void **state)
{
    char bytes[BYTES_MAX + 64];
    char body[BYTES_MAX] = {0};
    size_t at_limit = BYTES_MAX - 16;

    (void)state;
    assert_true(at_limit <= sizeof(body));
    assert_int_equal(parse(bytes, make_v2(bytes, 0x21, 0x00, body, at_limit)), PN_OK);
    make_v2(bytes, 0x21, 0x00, body, 0);
    bytes[14] = (char)((at_limit + 1) >> 8);
    bytes[15] = (char)((at_limit + 1) & 0xff);
    assert_int_equal(parse(bytes, 16), PN_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_1_gives_addresses_and_ports),
        cmocka_unit_test(version_1_unknown_gives_no_address_whatever_follows),
        cmocka_unit_test(version_1_that_is_not_to_the_letter_is_refused),
        cmocka_unit_test(version_2_gives_addresses_and_skips_extensions),
        cmocka_unit_test(version_2_local_or_unspecified_gives_no_address),
        cmocka_unit_test(version_2_that_is_not_to_the_letter_is_refused),
        cmocka_unit_test(header_above_the_limit_is_refused_before_it_has_come),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
