/* SPDX-License-Identifier: Apache-2.0
 *
 * Request heads. Every case is read whole and byte by byte.
 */
#include "http/support.h"

#include <stdio.h>
#include <stdlib.h>

#define HOST "Host: a\r\n"

static void good_request(void **state, const char *text, struct pn_request_head *request)
{
    struct pn_http_fault fault = {0, NULL};

    for (size_t step = 0; step < 2; step++) {
        size_t head_bytes = 0;
        enum pn_rc rc = read_request(*state, pn_slice_str(text), step, &test_limits, request,
                                     &head_bytes, &fault);

        if (rc != PN_OK)
            fail_msg("refused (%d %s): %s", fault.status, fault.cause, text);
        assert_int_equal(head_bytes, strstr(text, "\r\n\r\n") + 4 - text);
    }
}

/* A status of 0 means: not whole, more is awaited. */
static void bad_request(void **state, struct pn_slice text, int status)
{
    for (size_t step = 0; step < 2; step++) {
        struct pn_http_fault fault = {0, NULL};
        struct pn_request_head request;
        size_t head_bytes = 0;
        enum pn_rc rc =
            read_request(*state, text, step, &test_limits, &request, &head_bytes, &fault);

        if (rc == PN_OK || fault.status != status)
            fail_msg("wanted %d, got rc %d, status %d (%s): %.*s", status, (int)rc, fault.status,
                     fault.cause ? fault.cause : "", PN_FMT(text));
        if (status != 0)
            assert_non_null(fault.cause);
    }
}

static void parts_of_a_request_are_found(void **state)
{
    struct pn_request_head r;

    good_request(state,
                 "POST /a%20b/c?x=1&y HTTP/1.1\r\nHost: api.example:8080\r\nContent-Length: 12\r\n"
                 "X-Empty:\r\nX-Space: \t v 1 \t\r\n\r\nrest",
                 &r);
    expect_slice(r.method, "POST");
    expect_slice(r.target, "/a%20b/c?x=1&y");
    expect_slice(r.path, "/a%20b/c");
    expect_slice(r.query, "x=1&y");
    expect_slice(r.host, "api.example:8080");
    assert_true(r.has_query);
    assert_int_equal(r.form, PN_ORIGIN_FORM);
    assert_int_equal(r.minor_version, 1);
    assert_int_equal(r.framing, PN_BODY_LENGTH);
    assert_int_equal(r.content_length, 12);
    assert_true(r.keep_alive);
    assert_false(r.expects_continue);
    assert_int_equal(r.headers.count, 4);
    expect_slice(pn_headers_get(&r.headers, "x-empty"), "");
    expect_slice(pn_headers_get(&r.headers, "X-SPACE"), "v 1");
}

static void a_length_goes_on_without_its_zeros(void **state)
{
    struct pn_request_head r;

    good_request(state, "PUT / HTTP/1.1\r\n" HOST "Content-Length: 0012\r\n\r\n", &r);
    assert_int_equal(r.content_length, 12);
    expect_slice(pn_headers_get(&r.headers, "content-length"), "12");
    assert_false(r.headers.items[1].is_line);
    good_request(state, "PUT / HTTP/1.1\r\n" HOST "Content-Length: 000\r\n\r\n", &r);
    expect_slice(pn_headers_get(&r.headers, "content-length"), "0");
    good_request(state, "PUT / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", &r);
    expect_slice(pn_headers_get(&r.headers, "content-length"), "0");
    assert_true(r.headers.items[1].is_line);
}

static void four_forms_of_targets(void **state)
{
    struct pn_request_head r;

    good_request(state, "GET http://b.example:81/p?q HTTP/1.1\r\n" HOST "\r\n", &r);
    assert_int_equal(r.form, PN_ABSOLUTE_FORM);
    expect_slice(r.host, "b.example:81"); /* RFC 9112 §3.2.2: Host is overridden */
    expect_slice(r.path, "/p");
    expect_slice(r.query, "q");
    good_request(state, "GET https://[::1]?q HTTP/1.1\r\n" HOST "\r\n", &r);
    expect_slice(r.host, "[::1]");
    expect_slice(r.path, "/");
    expect_slice(r.query, "q");
    good_request(state, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", &r);
    assert_int_equal(r.form, PN_ASTERISK_FORM);
    good_request(state, "CONNECT a:443 HTTP/1.1\r\n" HOST "\r\n", &r);
    assert_int_equal(r.form, PN_AUTHORITY_FORM);
    good_request(state, "GET /? HTTP/1.1\r\n" HOST "\r\n", &r);
    assert_true(r.has_query);
    assert_int_equal(r.query.len, 0);
    good_request(state, "GET //x\\y HTTP/1.1\r\n" HOST "\r\n", &r);
    expect_slice(r.path, "//x\\y");
}

static void one_empty_line_may_come_first(void **state)
{
    struct pn_request_head r;

    good_request(state, "\r\nGET / HTTP/1.1\r\n" HOST "\r\n", &r);
    bad_request(state, PN_LIT("\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n"), 400);
}

static void connection_is_kept_or_closed(void **state)
{
    static const struct {
        const char *text;
        bool keep;
    } cases[] = {
        {"GET / HTTP/1.1\r\n" HOST "\r\n", true},
        {"GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: x, Close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: x\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\n" HOST "Connection: closed\r\n\r\n", true},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
        {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pn_request_head r;

        good_request(state, cases[i].text, &r);
        assert_int_equal(r.keep_alive, cases[i].keep);
    }
}

static void continue_is_expected_only_with_a_body(void **state)
{
    struct pn_request_head r;

    good_request(state,
                 "PUT / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\n", &r);
    assert_true(r.expects_continue);
    good_request(
        state,
        "PUT / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nTransfer-Encoding: Chunked\r\n\r\n", &r);
    assert_true(r.expects_continue);
    assert_int_equal(r.framing, PN_BODY_STREAMED);
    good_request(state,
                 "PUT / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n", &r);
    assert_false(r.expects_continue);
    good_request(state, "PUT / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n", &r);
    assert_false(r.expects_continue);
    bad_request(state, PN_LIT("PUT / HTTP/1.1\r\n" HOST "Expect: tea\r\n\r\n"), 417);
}

/* Each of these has two readings somewhere in the world; each is refused. */
static void requests_with_two_readings_are_refused(void **state)
{
#define REQ(fields) PN_LIT("POST / HTTP/1.1\r\n" HOST fields "\r\n")
    const struct {
        struct pn_slice text;
        int status;
    } cases[] = {
        {REQ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400},
        {REQ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), 400},
        {REQ("Content-Length: 5\r\nContent-Length: 5\r\n"), 400},
        {REQ("Content-Length: 5\r\ncontent-length: 6\r\n"), 400},
        {REQ("Content-Length: 5, 5\r\n"), 400},
        {REQ("Content-Length: +5\r\n"), 400},
        {REQ("Content-Length: -5\r\n"), 400},
        {REQ("Content-Length: 0x5\r\n"), 400},
        {REQ("Content-Length: 5 5\r\n"), 400},
        {REQ("Content-Length: 5.0\r\n"), 400},
        {REQ("Content-Length: \"5\"\r\n"), 400},
        {REQ("Content-Length:\r\n"), 400},
        {REQ("Content-Length: 9223372036854775808\r\n"), 400},
        {REQ("Content-Length: 99999999999999999999999\r\n"), 400},
        {REQ("Content-Length : 5\r\n"), 400},
        {REQ("Content-Length\t: 5\r\n"), 400},
        {REQ(" Content-Length: 5\r\n"), 400},
        {REQ("X: 1\r\n Content-Length: 5\r\n"), 400},
        {REQ("X: 1\r\n\tfolded\r\n"), 400},
        {REQ("Content-Length: 5\n"), 400},
        {REQ("X: 1\nTransfer-Encoding: chunked\r\n"), 400},
        {REQ("X: 1\rTransfer-Encoding: chunked\r\n"), 400},
        {REQ("X: 1\r\r\nY: 2\r\n"), 400},
        {REQ("X: a\0b\r\n"), 400},
        {REQ("X: a\x01"
             "b\r\n"),
         400},
        {REQ("X: a\x7f\r\n"), 400},
        {REQ("X\0: a\r\n"), 400},
        {REQ("X\x80: a\r\n"), 400},
        {REQ(": a\r\n"), 400},
        {REQ("no colon\r\n"), 400},
        {REQ("X(): a\r\n"), 400},
        {REQ("Transfer-Encoding: identity\r\n"), 400},
        {REQ("Transfer-Encoding: chunked, identity\r\n"), 400},
        {REQ("Transfer-Encoding: chunked, chunked\r\n"), 501},
        {REQ("Transfer-Encoding: gzip, chunked\r\n"), 501},
        {REQ("Transfer-Encoding: xchunked\r\n"), 400},
        {REQ("Transfer-Encoding: chunked;x=1\r\n"), 400},
        {REQ("Transfer-Encoding: chunked,\r\n"), 400},
        {REQ("Transfer-Encoding: \"chunked\"\r\n"), 400},
        {REQ("Transfer-Encoding: \x0b"
             "chunked\r\n"),
         400},
        {REQ("Transfer-Encoding:\r\n"), 400},
        {REQ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400},
        {REQ("Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n"), 400},
        {REQ("Transfer-Encoding\t: chunked\r\n"), 400},
        {REQ("Host: b\r\n"), 400},
        {PN_LIT("GET / HTTP/1.1\r\n\r\n"), 400},
        {PN_LIT("GET / HTTP/1.1\r\nHost:\r\n\r\n"), 400},
        {PN_LIT("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), 400},
        {PN_LIT("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"), 400},
        {PN_LIT("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), 400},
        {PN_LIT("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"), 400},
        {PN_LIT("GET / HTTP/1.1\r\nHost: a:0\r\n\r\n"), 400},
        {PN_LIT("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"), 400},
        {PN_LIT("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), 400},
        {PN_LIT("POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"), 400},
        {PN_LIT("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), 400},
        {PN_LIT("GET  / HTTP/1.1\r\n" HOST "\r\n"), 400},
        {PN_LIT("GET /  HTTP/1.1\r\n" HOST "\r\n"), 400},
        {PN_LIT("GET\t/ HTTP/1.1\r\n" HOST "\r\n"), 400},
        {PN_LIT("GET / HTTP/1.1 \r\n" HOST "\r\n"), 400},
        {PN_LIT(" GET / HTTP/1.1\r\n" HOST "\r\n"), 400},
        {PN_LIT("GET /a b HTTP/1.1\r\n" HOST "\r\n"), 400},
        {PN_LIT("GET /\r\n" HOST "\r\n"), 400},
        {PN_LIT("GET / HTTP/1.1\n" HOST "\r\n"), 400},
        {PN_LIT("GET / HTTP/1.1\r\n" HOST "\n"), 400},
        {PN_LIT("GET /a#b HTTP/1.1\r\n" HOST "\r\n"), 400},
        {PN_LIT("GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n"), 400},
        {PN_LIT("GET /a\0b HTTP/1.1\r\n" HOST "\r\n"), 400},
        {PN_LIT("GET a HTTP/1.1\r\n" HOST "\r\n"), 400},
        {PN_LIT("GET * HTTP/1.1\r\n" HOST "\r\n"), 400},
        {PN_LIT("GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n"), 400},
        {PN_LIT("GET http://u:p@a/ HTTP/1.1\r\n" HOST "\r\n"), 400},
        {PN_LIT("GET http:///p HTTP/1.1\r\n" HOST "\r\n"), 400},
        {PN_LIT("CONNECT / HTTP/1.1\r\n" HOST "\r\n"), 400},
        {PN_LIT("G(T / HTTP/1.1\r\n" HOST "\r\n"), 400},
        {PN_LIT("\x16\x03\x01\x02"), 400}, /* a TLS hello on a plain port: at once */
        {PN_LIT("GET / http/1.1\r\n" HOST "\r\n"), 400},
        {PN_LIT("GET / HTTP/1.10\r\n" HOST "\r\n"), 400},
        {PN_LIT("GET / HTTP/1.2\r\n" HOST "\r\n"), 505},
        {PN_LIT("GET / HTTP/2.0\r\n" HOST "\r\n"), 505},
        {PN_LIT("PRI * HTTP/2.0\r\n\r\n"), 505},
        {PN_LIT("GET / HTTP/0.9\r\n" HOST "\r\n"), 505},
        {PN_LIT("GET / HTTP/1.1\r\n" HOST), 0},
        {PN_LIT("GET / HTTP/1.1\r\n" HOST "\r"), 0},
        {PN_LIT("GE"), 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        bad_request(state, cases[i].text, cases[i].status);
}

/* A request whose target has `target` bytes and whose whole head has `bytes` (0: as it comes). */
static struct pn_slice sized_request(size_t target, size_t fields, size_t bytes)
{
    size_t room = target + fields * 8 + bytes + 256;
    char *text = malloc(room);
    size_t n = 0;

    assert_non_null(text);
    n = (size_t)snprintf(text, room, "GET /");
    memset(text + n, 'a', target - 1);
    n += target - 1;
    n += (size_t)snprintf(text + n, room - n, " HTTP/1.1\r\n" HOST);
    for (size_t i = 1; i < fields; i++)
        n += (size_t)snprintf(text + n, room - n, "X: y\r\n");
    if (bytes > 0) {
        size_t pad = bytes - n - strlen("P: \r\n\r\n");

        n += (size_t)snprintf(text + n, room - n, "P: ");
        memset(text + n, 'p', pad);
        n += pad;
        n += (size_t)snprintf(text + n, room - n, "\r\n");
    }
    n += (size_t)snprintf(text + n, room - n, "\r\n");
    return pn_slice(text, n);
}

static int status_of(struct pn_arena *arena, struct pn_slice text, size_t step)
{
    struct pn_http_limits limits = {2000, 8, 500, 100, 2, 10};
    struct pn_http_fault fault = {200, NULL};
    struct pn_request_head request;
    size_t head_bytes = 0;
    enum pn_rc rc = read_request(arena, text, step, &limits, &request, &head_bytes, &fault);

    assert_true(rc == PN_OK || rc == PN_LIMIT);
    return rc == PN_OK ? 200 : fault.status;
}

static void limits_hold_on_both_sides_of_the_border(void **state)
{
    static const struct {
        size_t target, fields, bytes;
        int status;
    } cases[] = {
        {500, 1, 0, 200}, {501, 1, 0, 414},   {3000, 1, 0, 414},  {10, 8, 0, 200},
        {10, 9, 0, 431},  {10, 1, 2000, 200}, {10, 1, 2001, 431}, {10, 1, 9000, 431},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pn_slice text = sized_request(cases[i].target, cases[i].fields, cases[i].bytes);

        assert_int_equal(status_of(*state, text, 0), cases[i].status);
        assert_int_equal(status_of(*state, text, 1), cases[i].status);
        assert_int_equal(status_of(*state, text, 7), cases[i].status);
        free((void *)(uintptr_t)text.ptr);
    }
}

/* What is wrong behind the limit is not looked at, at whatever pace it comes. */
static void a_broken_line_behind_the_limit_is_above_the_limit(void **state)
{
    struct pn_slice text = sized_request(10, 1, 1996);
    char *bytes = malloc(text.len + 8);

    assert_non_null(bytes);
    memcpy(bytes, text.ptr, text.len - 2); /* without the empty line */
    for (size_t more = 0; more < 8; more++) {
        size_t len = text.len - 2 + more;

        memset(bytes + text.len - 2, 'x', more);
        bytes[len - 1] = '\n'; /* alone */
        for (size_t step = 0; step < 9; step++) {
            struct pn_http_limits limits = {2000, 8, 500, 100, 2, 10};
            struct pn_http_fault fault = {200, NULL};
            struct pn_request_head request;
            size_t head_bytes = 0;

            if (more == 0)
                continue;
            assert_int_not_equal(read_request(*state, pn_slice(bytes, len), step, &limits, &request,
                                              &head_bytes, &fault),
                                 PN_OK);
            assert_int_equal(fault.status, len <= 2000 ? 400 : 431);
        }
    }
    free(bytes);
    free((void *)(uintptr_t)text.ptr);
}

static void long_methods_and_connection_lists_are_refused(void **state)
{
    char text[4096];
    char filler[PN_CONNECTION_BYTES_MAX + 2];
    struct pn_request_head r;

    memset(filler, 'M', sizeof(filler));
    for (int more = 0; more < 2; more++) {
        (void)snprintf(text, sizeof(text), "%.*s / HTTP/1.1\r\n" HOST "\r\n",
                       (int)PN_METHOD_BYTES_MAX + more, filler);
        if (more == 0)
            good_request(state, text, &r);
        else
            bad_request(state, pn_slice_str(text), 501);
        (void)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" HOST "Connection: %.*s\r\n\r\n",
                       (int)PN_CONNECTION_BYTES_MAX + more, filler);
        if (more == 0)
            good_request(state, text, &r);
        else
            bad_request(state, pn_slice_str(text), 431);
    }
}

static void a_used_request_can_be_parsed_into_again(void **state)
{
    struct pn_http_fault fault;
    struct pn_request_head r;
    size_t head_bytes = 0;

    good_request(state, "GET http://x/y?z HTTP/1.0\r\nA: b\r\nC: d\r\n\r\n", &r);
    assert_int_equal(read_request(*state, PN_LIT("GET /2 HTTP/1.1\r\n" HOST "\r\n"), 0,
                                  &test_limits, &r, &head_bytes, &fault),
                     PN_OK);
    expect_slice(r.host, "a");
    assert_int_equal(r.headers.count, 1);
    assert_false(r.has_query);
}

static void a_full_arena_is_told(void **state)
{
    struct pn_arena *small = pn_arena_create(64, 64);
    struct pn_http_fault fault = {0, NULL};
    struct pn_request_head r;
    size_t head_bytes = 0;

    (void)state;
    assert_non_null(small);
    assert_int_equal(read_request(small, PN_LIT("GET / HTTP/1.1\r\n" HOST "\r\n"), 0, &test_limits,
                                  &r, &head_bytes, &fault),
                     PN_NOMEM);
    assert_int_equal(fault.status, 500);
    pn_arena_destroy(small);
}

/* A head that is there at once is scanned in another way than one that comes byte by byte. */
static void a_head_ends_where_it_ends_byte_by_byte(void **state)
{
    static const char *const parts[] = {"\r\n", "\r\n", "\n", "\r", "a", "bcd", "efghijklmnopqrst"};
    uint64_t random = 1;
    size_t ended = 0;

    (void)state;
    for (size_t run = 0; run < 30000; run++) {
        const char *start = run % 2 == 0 ? "G / " : "HTTP/1.1";
        enum pn_h1_side side = run % 2 == 0 ? PN_H1_REQUEST : PN_H1_RESPONSE;
        struct pn_http_limits limits = test_limits;
        struct pn_http_fault fault[2] = {{0}, {0}};
        size_t head_bytes[2] = {0, 0};
        enum pn_rc rc[2];
        char text[128];
        size_t len = strlen(start);

        memcpy(text, start, len);
        for (random = random * 6364136223846793005u + 1442695040888963407u;
             len < 16 + (random >> 32) % 80;) {
            const char *part = parts[(random >> 48) % 7];

            if (run % 3 != 0 && (random >> 60) < 14 && (part[0] == '\n' || part[1] == 0))
                part = "\r\n"; /* mostly good ones */
            memcpy(text + len, part, strlen(part));
            len += strlen(part);
            random = random * 6364136223846793005u + 1442695040888963407u;
        }
        limits.header_bytes_max = run % 5 == 0 ? 40 : 1000;
        limits.target_bytes_max = run % 7 == 0 ? 8 : 1000;
        for (size_t step = 0; step < 2; step++)
            rc[step] = scan_in_pieces(pn_slice(text, len), step, side, &limits, &head_bytes[step],
                                      &fault[step]);
        assert_int_equal(rc[0], rc[1]);
        assert_int_equal(head_bytes[0], head_bytes[1]);
        if (rc[0] != PN_LIMIT) /* of two limits, either may be seen first */
            assert_int_equal(fault[0].status, fault[1].status);
        ended += rc[0] == PN_OK;
    }
    assert_true(ended > 1000 && ended < 29000);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, make_arena, drop_arena)
    const struct CMUnitTest tests[] = {
        TEST(parts_of_a_request_are_found),
        TEST(a_length_goes_on_without_its_zeros),
        TEST(four_forms_of_targets),
        TEST(one_empty_line_may_come_first),
        TEST(connection_is_kept_or_closed),
        TEST(continue_is_expected_only_with_a_body),
        TEST(requests_with_two_readings_are_refused),
        TEST(limits_hold_on_both_sides_of_the_border),
        TEST(a_broken_line_behind_the_limit_is_above_the_limit),
        TEST(long_methods_and_connection_lists_are_refused),
        TEST(a_used_request_can_be_parsed_into_again),
        TEST(a_full_arena_is_told),
        TEST(a_head_ends_where_it_ends_byte_by_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
