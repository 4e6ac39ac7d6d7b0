/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists of header fields: their kinds, and which of them a writer looks at again.
 */
#include "http/support.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/h1.h"
#include "http/h1_internal.h"

static const struct {
    const char *name;
    enum pn_header_kind kind;
} kinds[] = {
    {"Connection", PN_HEADER_CONNECTION},
    {"Content-Length", PN_HEADER_CONTENT_LENGTH},
    {"Date", PN_HEADER_DATE},
    {"Expect", PN_HEADER_EXPECT},
    {"Forwarded", PN_HEADER_FORWARDED},
    {"Host", PN_HEADER_HOST},
    {"HTTP2-Settings", PN_HEADER_HTTP2_SETTINGS},
    {"Keep-Alive", PN_HEADER_KEEP_ALIVE},
    {"Proxy-Authenticate", PN_HEADER_PROXY_AUTHENTICATE},
    {"Proxy-Authorization", PN_HEADER_PROXY_AUTHORIZATION},
    {"Proxy-Connection", PN_HEADER_PROXY_CONNECTION},
    {"TE", PN_HEADER_TE},
    {"Trailer", PN_HEADER_TRAILER},
    {"Transfer-Encoding", PN_HEADER_TRANSFER_ENCODING},
    {"Upgrade", PN_HEADER_UPGRADE},
    {"X-Forwarded-For", PN_HEADER_X_FORWARDED_FOR},
    {"X-Forwarded-Host", PN_HEADER_X_FORWARDED_HOST},
    {"X-Forwarded-Proto", PN_HEADER_X_FORWARDED_PROTO},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static const char *lowered(const char *name, char *text)
{
    size_t len = strlen(name);

    for (size_t n = 0; n <= len; n++)
        text[n] = (char)tolower((unsigned char)name[n]);
    return text;
}

/* Each name in any case, and no name that differs in one byte. */
static void a_name_has_one_kind(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        size_t len = strlen(kinds[i].name);
        char text[32];

        for (int spelling = 0; spelling < 3; spelling++) {
            for (size_t n = 0; n < len; n++)
                text[n] = (char)(spelling == 0   ? kinds[i].name[n]
                                 : spelling == 1 ? tolower((unsigned char)kinds[i].name[n])
                                                 : toupper((unsigned char)kinds[i].name[n]));
            assert_int_equal(pn_header_kind_of(pn_slice(text, len)), kinds[i].kind);
            if (spelling == 1)
                assert_int_equal(pn_header_kind_of_lower(pn_slice(text, len)), kinds[i].kind);
        }
        expect_slice(pn_slice(pn_header_lower_name(&(struct pn_header){
                                  .name = pn_slice(kinds[i].name, len), .kind = kinds[i].kind}),
                              len),
                     lowered(kinds[i].name, text));
        for (size_t n = 0; n < len; n++) {
            for (int byte = 0; byte < 256; byte++) {
                enum pn_header_kind kind =
                    byte == '_' && kinds[i].name[n] == '-' ? PN_HEADER_LOOKALIKE : PN_HEADER_OTHER;

                memcpy(text, kinds[i].name, len);
                text[n] = (char)byte;
                if (strncasecmp(text, kinds[i].name, len) == 0)
                    continue;
                assert_int_equal(pn_header_kind_of(pn_slice(text, len)), kind);
                lowered(kinds[i].name, text);
                text[n] = (char)byte;
                assert_int_equal(pn_header_kind_of_lower(pn_slice(text, len)), kind);
            }
        }
        assert_int_equal(pn_header_kind_of(pn_slice(kinds[i].name, len - 1)), PN_HEADER_OTHER);
    }
    assert_int_equal(pn_header_kind_of(pn_slice("", 0)), PN_HEADER_OTHER);
    assert_int_equal(pn_header_kind_of(PN_LIT("A-Name-Longer-Than-All-Of-These")), PN_HEADER_OTHER);
    assert_int_equal(pn_header_kind_of_lower(pn_slice("", 0)), PN_HEADER_OTHER);
    assert_int_equal(pn_header_kind_of_lower(PN_LIT("a-name-longer-than-all-of-these")),
                     PN_HEADER_OTHER);
}

/* Looking for a name finds the same as comparing each one would. */
static void what_was_added_is_found_until_it_is_removed(void **state)
{
    struct pn_headers headers;

    pn_headers_init(&headers, *state);
    for (size_t i = 0; i < KINDS; i++) {
        assert_false(pn_headers_has(&headers, kinds[i].name));
        assert_int_equal(pn_headers_remove(&headers, pn_slice_str(kinds[i].name)), 0);
        assert_int_equal(pn_headers_add(&headers, pn_slice_str(kinds[i].name), PN_LIT("1")), PN_OK);
        assert_int_equal(pn_headers_add(&headers, PN_LIT("X-Other"), PN_LIT("2")), PN_OK);
        assert_int_equal(pn_headers_add(&headers, pn_slice_str(kinds[i].name), PN_LIT("3")), PN_OK);
    }
    for (size_t i = 0; i < KINDS; i++) {
        assert_int_equal(pn_headers_count(&headers, kinds[i].name), 2);
        expect_slice(pn_headers_get(&headers, kinds[i].name), "1");
        assert_int_equal(pn_headers_remove(&headers, pn_slice_str(kinds[i].name)), 2);
        assert_false(pn_headers_has(&headers, kinds[i].name));
    }
    assert_int_equal(pn_headers_count(&headers, "x-other"), KINDS);
    assert_int_equal(pn_headers_add(&headers, PN_LIT("host"), PN_LIT("4")), PN_OK);
    expect_slice(pn_headers_get(&headers, "Host"), "4");
    pn_headers_remove_kind(&headers, PN_HEADER_HOST);
    assert_int_equal(headers.count, KINDS);
}

/* Only what was read and judged is written without a second look. */
static void what_nobody_judged_is_judged_when_it_is_written(void **state)
{
    static const struct {
        struct pn_slice name, value;
    } bad[] = {
        {{"A", 1}, {"b\r\nC: d", 7}}, {{"A: b", 4}, {"c", 1}}, {{"", 0}, {"c", 1}},
        {{"A", 1}, {" b", 2}},        {{"A", 1}, {"b\0", 2}},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct pn_headers headers;
        struct pn_buf out;

        pn_headers_init(&headers, *state);
        pn_buf_init(&out, 1000);
        assert_int_equal(pn_headers_add(&headers, bad[i].name, bad[i].value), PN_OK);
        assert_int_equal(pn_h1_write_fields(&out, &headers), PN_MALFORMED);
        assert_int_equal(pn_headers_add_copy(&headers, bad[i].name, bad[i].value), PN_OK);
        assert_false(headers.items[1].is_sound);
        pn_buf_fini(&out);
    }
}

/* Lines that are read eight bytes at a time, and those that are not, side by side: all are sound,
 * and sound is what the writer would find. */
static void what_is_read_is_sound(void **state)
{
    static const char text[] = "Plain: value of some length, longer than a word\r\n"
                               "X_Under-9: a\r\n"
                               "Tab:\ta\tb\t \r\n"
                               "Trailing:   b   \r\n"
                               "Empty:\r\n"
                               "Spaces:      \r\n"
                               "Latin: caf\xe9 and some more of it\r\n"
                               "Colon: a:b:c\r\n"
                               "S: x\r\n"
                               "\r\n";
    static const char *const values[] = {"value of some length, longer than a word",
                                         "a",
                                         "a\tb",
                                         "b",
                                         "",
                                         "",
                                         "caf\xe9 and some more of it",
                                         "a:b:c",
                                         "x"};
    struct pn_slice rest = pn_slice_str(text);
    struct pn_http_fault fault = {0};
    struct pn_headers headers;

    pn_headers_init(&headers, *state);
    assert_int_equal(pn_h1_read_fields(&rest, PN_H1_REQUEST, &test_limits, &headers, &fault),
                     PN_OK);
    assert_int_equal(rest.len, 0);
    assert_int_equal(headers.count, sizeof(values) / sizeof(values[0]));
    for (size_t i = 0; i < headers.count; i++) {
        expect_slice(headers.items[i].value, values[i]);
        assert_true(headers.items[i].is_sound);
        assert_true(pn_header_name_is_valid(headers.items[i].name));
        assert_true(pn_header_value_is_valid(headers.items[i].value));
    }
}

/* Each byte at each of sixteen places, as the table judges it. */
static void sixteen_bytes_are_judged_like_one(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        bool is_letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
        bool is_printable = byte >= ' ' && byte <= '~';

        for (unsigned at = 0; at < 16; at++) {
            char text[16];

            memset(text, 'x', sizeof(text));
            text[at] = (char)byte;
            assert_int_equal(pn_h1_unnamed16(text), is_letter || byte == '-' ? 0 : 1u << at);
            assert_int_equal(pn_h1_unprintable16(text), is_printable ? 0 : 1u << at);
            memset(text, '\n', sizeof(text));
            text[at] = (char)byte;
            assert_int_equal(pn_h1_unnamed16(text),
                             is_letter || byte == '-' ? 0xffff ^ 1u << at : 0xffff);
            assert_int_equal(pn_h1_unprintable16(text), is_printable ? 0xffff ^ 1u << at : 0xffff);
        }
        assert_true(
            !pn_h1_is_label_byte((unsigned char)byte) ||
            (pn_h1_is_target_byte((unsigned char)byte) && pn_h1_is_tchar((unsigned char)byte)));
        assert_int_equal(pn_h1_is_label_byte((unsigned char)byte),
                         is_letter || (byte >= '0' && byte <= '9') || byte == '-' || byte == '_');
    }
}

/* Each byte at each place of values and targets, by words or one by one. */
static void long_texts_are_judged_like_each_of_their_bytes(void **state)
{
    enum { LONGEST_TEXT = 41 };
    char text[LONGEST_TEXT];

    (void)state;
    memset(text, 'x', sizeof(text));
    for (size_t len = 1; len <= LONGEST_TEXT; len++) {
        for (size_t at = 0; at < len; at++) {
            for (int byte = 0; byte < 256; byte++) {
                struct pn_slice all = pn_slice(text, len);

                text[at] = (char)byte;
                assert_int_equal(pn_h1_are_field_bytes(all),
                                 pn_h1_is_field_byte((unsigned char)byte));
                assert_int_equal(pn_h1_are_target_bytes(all),
                                 pn_h1_is_target_byte((unsigned char)byte));
                assert_int_equal(pn_h1_are_tchars(all), pn_h1_is_tchar((unsigned char)byte));
            }
            text[at] = 'x';
        }
    }
    assert_true(pn_h1_are_target_bytes(pn_slice("", 0)));
}

/* What is read is written as it was but for the white space, whichever lines lie side by side; and
 * the last line is read to its end, however few bytes stand behind it. */
static void lines_are_written_as_they_were(void **state)
{
    static const char head[] = "Host: a.example\r\n"
                               "Accept: */*\r\n"
                               "X-One:  two spaces\r\n"
                               "X-Two: a value of more than eight bytes\r\n"
                               "Connection: close\r\n"
                               "X-Three:\r\n"
                               "X-Four: trailing \r\n";
    static const char written[] = "Accept: */*\r\n"
                                  "X-One: two spaces\r\n"
                                  "X-Two: a value of more than eight bytes\r\n"
                                  "X-Three: \r\n"
                                  "X-Four: trailing\r\n";

    for (size_t len = 0; len <= 20; len++) {
        char text[sizeof(head) + 40], expected[sizeof(head) + 40];
        char *exact;
        struct pn_http_fault fault = {0};
        struct pn_headers headers;
        struct pn_slice rest;
        struct pn_buf out;

        snprintf(text, sizeof(text), "%sLast: %.*s\r\n\r\n", head, (int)len,
                 "abcdefghijklmnopqrst");
        snprintf(expected, sizeof(expected), "%sLast: %.*s\r\nX: y\r\n", written, (int)len,
                 "abcdefghijklmnopqrst");
        exact = malloc(strlen(text)); /* nothing behind it */
        assert_non_null(exact);
        memcpy(exact, text, strlen(text));
        rest = pn_slice(exact, strlen(text));
        pn_headers_init(&headers, *state);
        pn_buf_init(&out, 1000);
        assert_int_equal(pn_h1_read_fields(&rest, PN_H1_REQUEST, &test_limits, &headers, &fault),
                         PN_OK);
        assert_int_equal(rest.len, 0);
        assert_true(headers.items[0].is_line);
        assert_true(headers.items[1].is_line);
        assert_false(headers.items[2].is_line);
        assert_false(headers.items[6].is_line);
        assert_int_equal(pn_headers_add(&headers, PN_LIT("X"), PN_LIT("y")), PN_OK);
        assert_int_equal(pn_h1_write_fields_but(&out, &headers,
                                                PN_HEADER_BIT(PN_HEADER_HOST) |
                                                    PN_HEADER_BIT(PN_HEADER_CONNECTION)),
                         PN_OK);
        expect_slice(pn_buf_slice(&out), expected);
        pn_buf_fini(&out);
        free(exact);
    }
}

/* A byte that may not be, at each place of a line: it is never read over. */
static void no_control_character_is_read_over(void **state)
{
    struct pn_headers headers;

    pn_headers_init(&headers, *state);
    for (size_t at = 0; at < 30; at++) {
        for (int byte = 0; byte < 256; byte++) {
            char text[] =
                "Some-Name-Here: and some value\r\nLast: of all the lines there are\r\n\r\n";
            struct pn_slice rest = pn_slice_str(text);
            struct pn_http_fault fault = {0};
            bool in_name = at < 14;
            bool is_bad;

            if (at == 14 || (byte == ':' && in_name))
                continue; /* the colon; a shorter name */
            rest.len = sizeof(text) - 1;
            text[at] = (char)byte;
            is_bad = in_name ? !pn_h1_is_tchar((unsigned char)byte)
                             : !pn_h1_is_field_byte((unsigned char)byte);
            headers.count = 0;
            assert_int_equal(
                pn_h1_read_fields(&rest, PN_H1_RESPONSE, &test_limits, &headers, &fault),
                is_bad ? PN_MALFORMED : PN_OK);
            if (is_bad)
                assert_int_equal(fault.status, 502);
        }
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, make_arena, drop_arena)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_name_has_one_kind),
        TEST(what_was_added_is_found_until_it_is_removed),
        TEST(what_nobody_judged_is_judged_when_it_is_written),
        TEST(what_is_read_is_sound),
        TEST(sixteen_bytes_are_judged_like_one),
        TEST(long_texts_are_judged_like_each_of_their_bytes),
        TEST(lines_are_written_as_they_were),
        TEST(no_control_character_is_read_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
