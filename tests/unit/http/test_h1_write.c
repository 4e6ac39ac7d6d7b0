/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing messages, and the rules of header lists.
 */
#include <stdlib.h>

#include "http/support.h"

static void messages_are_written(void **state)
{
    struct pn_headers headers;
    struct pn_buf out;

    pn_headers_init(&headers, *state);
    assert_int_equal(pn_headers_add(&headers, PN_LIT("Host"), PN_LIT("a")), PN_OK);
    assert_int_equal(pn_headers_add(&headers, PN_LIT("X"), PN_LIT("")), PN_OK);
    pn_buf_init(&out, 1000);
    assert_int_equal(pn_h1_write_request_line(&out, PN_LIT("GET"), PN_LIT("/a?b")), PN_OK);
    assert_int_equal(pn_h1_write_fields(&out, &headers), PN_OK);
    assert_int_equal(pn_h1_write_content_length(&out, UINT64_MAX), PN_OK);
    assert_int_equal(pn_h1_write_end(&out), PN_OK);
    expect_slice(pn_buf_slice(&out), "GET /a?b HTTP/1.1\r\nHost: a\r\nX: \r\n"
                                     "Content-Length: 18446744073709551615\r\n\r\n");
    pn_buf_clear(&out);
    assert_int_equal(pn_h1_write_status_line(&out, 404, PN_LIT("")), PN_OK);
    assert_int_equal(pn_h1_write_status_line(&out, 299, PN_LIT("Mine")), PN_OK);
    assert_int_equal(pn_h1_write_status_line(&out, 299, PN_LIT("")), PN_OK);
    expect_slice(pn_buf_slice(&out),
                 "HTTP/1.1 404 Not Found\r\nHTTP/1.1 299 Mine\r\nHTTP/1.1 299 \r\n");
    pn_buf_clear(&out);
    assert_int_equal(pn_h1_write_chunk_head(&out, 500), PN_OK);
    assert_int_equal(pn_h1_write_last_chunk(&out, NULL), PN_OK);
    assert_int_equal(pn_h1_write_last_chunk(&out, &headers), PN_OK);
    expect_slice(pn_buf_slice(&out), "1f4\r\n0\r\n\r\n0\r\nHost: a\r\nX: \r\n\r\n");
    pn_buf_fini(&out);
}

static void nothing_can_be_injected_when_writing(void **state)
{
    struct pn_buf out;

    (void)state;
    pn_buf_init(&out, 1000);
    assert_int_equal(pn_h1_write_field(&out, PN_LIT("A"), PN_LIT("b\r\nC: d")), PN_MALFORMED);
    assert_int_equal(pn_h1_write_field(&out, PN_LIT("A"), PN_LIT("b\n")), PN_MALFORMED);
    assert_int_equal(pn_h1_write_field(&out, PN_LIT("A"), PN_LIT("b\0c")), PN_MALFORMED);
    assert_int_equal(pn_h1_write_field(&out, PN_LIT("A: b"), PN_LIT("c")), PN_MALFORMED);
    assert_int_equal(pn_h1_write_field(&out, PN_LIT(""), PN_LIT("c")), PN_MALFORMED);
    assert_int_equal(pn_h1_write_request_line(&out, PN_LIT("GET"), PN_LIT("/a b")), PN_MALFORMED);
    assert_int_equal(pn_h1_write_request_line(&out, PN_LIT("GET"), PN_LIT("/a\r\nX: y")),
                     PN_MALFORMED);
    assert_int_equal(pn_h1_write_request_line(&out, PN_LIT("G T"), PN_LIT("/")), PN_MALFORMED);
    assert_int_equal(pn_h1_write_request_line(&out, PN_LIT("GET"), PN_LIT("")), PN_MALFORMED);
    assert_int_equal(pn_h1_write_status_line(&out, 200, PN_LIT("O\rK")), PN_MALFORMED);
    assert_int_equal(pn_h1_write_status_line(&out, 99, PN_LIT("Low")), PN_MALFORMED);
    assert_int_equal(pn_h1_write_status_line(&out, 600, PN_LIT("High")), PN_MALFORMED);
    assert_int_equal(out.len, 0);
    pn_buf_fini(&out);
}

static void a_line_is_written_whole_or_not_at_all(void **state)
{
    struct pn_buf out;

    (void)state;
    pn_buf_init(&out, 6);
    assert_int_equal(pn_h1_write_field(&out, PN_LIT("A"), PN_LIT("bc")), PN_LIMIT);
    assert_int_equal(out.len, 0);
    assert_int_equal(pn_h1_write_field(&out, PN_LIT("A"), PN_LIT("b")), PN_OK);
    assert_int_equal(out.len, 6);
    pn_buf_fini(&out);
}

static void hop_by_hop_fields_are_stripped(void **state)
{
    static const char *const fields[][2] = {
        {"Host", "a"},
        {"X-Private", "1"},
        {"Connection", "x-private, close , Host, content-length"},
        {"Keep-Alive", "timeout=5"},
        {"TE", "trailers"},
        {"Upgrade", "h2c"},
        {"Transfer-Encoding", "chunked"},
        {"Content-Length", "5"},
        {"Proxy-Connection", "x"},
        {"Proxy-Authorization", "x"},
        {"Proxy-Authenticate", "x"},
        {"Trailer", "x"},
        {"connection", "X-Other"},
        {"X-Other", "2"},
        {"X-Kept", "3"},
        {"x-private", "4"},
        {"Content_Length", "6"}, /* what others may take for one of these */
        {"transfer_encoding", "chunked"},
        {"X_Forwarded-FOR", "evil"},
        {"X_Kept", "5"},
    };
    struct pn_headers headers;

    pn_headers_init(&headers, *state);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        assert_int_equal(
            pn_headers_add_copy(&headers, pn_slice_str(fields[i][0]), pn_slice_str(fields[i][1])),
            PN_OK);
    assert_int_equal(pn_headers_count(&headers, "content_length"), 1);
    assert_int_equal(pn_headers_count(&headers, "Transfer-Encoding"), 1);
    pn_http_strip_hop_by_hop(&headers);
    assert_int_equal(headers.count, 4);
    expect_slice(headers.items[3].name, "X_Kept");
    expect_slice(headers.items[0].name, "Host");
    expect_slice(headers.items[1].name, "Content-Length");
    expect_slice(headers.items[2].name, "X-Kept");
}

static void lists_are_searched_in_all_fields(void **state)
{
    struct pn_headers headers;

    pn_headers_init(&headers, *state);
    assert_int_equal(pn_headers_add(&headers, PN_LIT("Vary"), PN_LIT("a, B ,c")), PN_OK);
    assert_int_equal(pn_headers_add(&headers, PN_LIT("vary"), PN_LIT("d")), PN_OK);
    assert_true(pn_http_list_has(&headers, "VARY", "b"));
    assert_true(pn_http_list_has(&headers, "VARY", "D"));
    assert_false(pn_http_list_has(&headers, "VARY", "a, b"));
    assert_false(pn_http_list_has(&headers, "VARY", "bb"));
    assert_int_equal(pn_headers_count(&headers, "vary"), 2);
    assert_int_equal(pn_headers_remove(&headers, PN_LIT("VARY")), 2);
    assert_false(pn_headers_has(&headers, "vary"));
    assert_null(pn_headers_get(&headers, "vary").ptr);
}

static void lists_grow(void **state)
{
    struct pn_headers headers;

    pn_headers_init(&headers, *state);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(pn_headers_add(&headers, PN_LIT("A"), PN_LIT("b")), PN_OK);
    assert_int_equal(pn_headers_count(&headers, "a"), 1000);
}

static void names_and_values_are_judged(void **state)
{
    (void)state;
    assert_true(pn_header_name_is_valid(PN_LIT("X-1_a!#$%&'*+.^`|~")));
    assert_false(pn_header_name_is_valid(PN_LIT("")));
    assert_false(pn_header_name_is_valid(PN_LIT("a b")));
    assert_false(pn_header_name_is_valid(PN_LIT("a:")));
    assert_true(pn_header_value_is_valid(PN_LIT("")));
    assert_true(pn_header_value_is_valid(PN_LIT("a\tb \xc3\xa9")));
    assert_false(pn_header_value_is_valid(PN_LIT(" a")));
    assert_false(pn_header_value_is_valid(PN_LIT("a\t")));
    assert_false(pn_header_value_is_valid(PN_LIT("a\x1f"
                                                 "b")));
}

/* RFC 9110 §5.5, §5.6.2, each byte at each place of texts of each length, which end where their
 * memory does. */
static void every_byte_is_judged_at_every_place(void **state)
{
    enum { LONGEST = 20 };

    (void)state;
    for (size_t len = 1; len <= LONGEST; len++) {
        char *text = malloc(len);

        assert_non_null(text);
        memset(text, 'x', len);
        for (size_t at = 0; at < len; at++) {
            for (int c = 0; c < 256; c++) {
                bool is_space = c == ' ' || c == '\t';
                bool is_inside = at > 0 && at + 1 < len;
                bool is_alnum =
                    (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

                text[at] = (char)c;
                assert_int_equal(pn_header_name_is_valid(pn_slice(text, len)),
                                 is_alnum || (c && strchr("!#$%&'*+-.^_`|~", c)));
                assert_int_equal(pn_header_value_is_valid(pn_slice(text, len)),
                                 is_space ? is_inside : c > ' ' && c != 0x7f);
            }
            text[at] = 'x';
        }
        free(text);
    }
}

static void methods_are_classed(void **state)
{
    (void)state;
    assert_true(pn_http_method_is_safe(PN_LIT("GET")));
    assert_false(pn_http_method_is_safe(PN_LIT("get")));
    assert_false(pn_http_method_is_safe(PN_LIT("PUT")));
    assert_true(pn_http_method_is_idempotent(PN_LIT("PUT")));
    assert_false(pn_http_method_is_idempotent(PN_LIT("POST")));
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, make_arena, drop_arena)
    const struct CMUnitTest tests[] = {
        TEST(messages_are_written),
        TEST(nothing_can_be_injected_when_writing),
        TEST(a_line_is_written_whole_or_not_at_all),
        TEST(hop_by_hop_fields_are_stripped),
        TEST(lists_are_searched_in_all_fields),
        TEST(lists_grow),
        TEST(names_and_values_are_judged),
        TEST(every_byte_is_judged_at_every_place),
        TEST(methods_are_classed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
