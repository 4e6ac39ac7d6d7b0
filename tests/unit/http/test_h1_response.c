/* SPDX-License-Identifier: Apache-2.0
 *
 * Response heads and where their bodies end. Every case is read whole and byte by byte.
 */
#include <stdio.h>

#include "http/support.h"

static void good_response(void **state, const char *method, const char *text,
                          struct pn_response_head *response)
{
    struct pn_http_fault fault = {0, NULL};

    for (size_t step = 0; step < 2; step++) {
        enum pn_rc rc = read_response(*state, pn_slice_str(text), step, method, response, &fault);

        if (rc != PN_OK)
            fail_msg("refused (%d %s): %s", fault.status, fault.cause, text);
    }
}

static void parts_of_a_response_are_found(void **state)
{
    struct pn_response_head r;

    good_response(state, "GET", "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\nA: b\r\n\r\n", &r);
    assert_int_equal(r.status, 404);
    expect_slice(r.reason, "Not Found");
    assert_int_equal(r.minor_version, 1);
    assert_int_equal(r.headers.count, 2);
    good_response(state, "GET", "HTTP/1.0 200\r\n\r\n", &r); /* no reason and no space before it */
    assert_int_equal(r.reason.len, 0);
    good_response(state, "GET", "HTTP/1.1 200 \r\n\r\n", &r);
    assert_int_equal(r.reason.len, 0);
}

static void the_end_of_a_body_follows_the_rfc(void **state)
{
    static const struct {
        const char *method, *text;
        enum pn_framing framing;
        bool keep;
    } cases[] = {
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", PN_BODY_LENGTH, true},
        {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", PN_BODY_LENGTH, true},
        {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", PN_BODY_STREAMED, true},
        {"GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
         PN_BODY_STREAMED, false},
        {"GET", "HTTP/1.1 200 OK\r\n\r\n", PN_BODY_UNTIL_CLOSE, false},
        {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", PN_BODY_NONE, true},
        {"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", PN_BODY_NONE, true},
        {"HEAD", "HTTP/1.1 200 OK\r\n\r\n", PN_BODY_NONE, true},
        {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", PN_BODY_NONE, true},
        {"GET", "HTTP/1.1 204 No Content\r\n\r\n", PN_BODY_NONE, true},
        {"GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", PN_BODY_NONE, true},
        {"GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", PN_BODY_NONE, false},
        {"GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", PN_BODY_NONE,
         false},
        {"GET", "HTTP/1.1 100 Continue\r\n\r\n", PN_BODY_NONE, true},
        {"GET", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", PN_BODY_NONE, true},
        {"CONNECT", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", PN_BODY_UNTIL_CLOSE, false},
        {"CONNECT", "HTTP/1.1 407 No\r\nContent-Length: 5\r\n\r\n", PN_BODY_LENGTH, true},
        {"GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", PN_BODY_LENGTH, false},
        {"GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n",
         PN_BODY_LENGTH, true},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pn_response_head r;

        good_response(state, cases[i].method, cases[i].text, &r);
        if (r.framing != cases[i].framing || r.keep_alive != cases[i].keep)
            fail_msg("framing %d, keep %d: %s", (int)r.framing, (int)r.keep_alive, cases[i].text);
    }
}

static void bad_responses_are_bad_gateway(void **state)
{
    const struct pn_slice cases[] = {
        PN_LIT("HTTP/1.1 99 Low\r\n\r\n"),
        PN_LIT("HTTP/1.1 600 High\r\n\r\n"),
        PN_LIT("HTTP/1.1 2000 Long\r\n\r\n"),
        PN_LIT("HTTP/1.1 20 Short\r\n\r\n"),
        PN_LIT("HTTP/1.1 +20 Sign\r\n\r\n"),
        PN_LIT("HTTP/1.1  200 OK\r\n\r\n"),
        PN_LIT("HTTP/1.1 200 O\0K\r\n\r\n"),
        PN_LIT("HTTP/1.1 200 O\rK\r\n\r\n"),
        PN_LIT("HTTP/1.1\r\n\r\n"),
        PN_LIT("HTTP/1.2 200 OK\r\n\r\n"),
        PN_LIT("HTTP/2.0 200 OK\r\n\r\n"),
        PN_LIT("ICY 200 OK\r\n\r\n"),
        PN_LIT("H2"),
        PN_LIT("\r\nHTTP/1.1 200 OK\r\n\r\n"),
        PN_LIT("HTTP/1.1 200 OK\n\n"),
        PN_LIT("HTTP/1.1 200 OK\r\nA: b\n\r\n"),
        PN_LIT("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n"),
        PN_LIT("HTTP/1.1 200 OK\r\nA : b\r\n\r\n"),
        PN_LIT("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"),
        PN_LIT("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
        PN_LIT("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        PN_LIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"),
        PN_LIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
        PN_LIT("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t step = 0; step < 2; step++) {
            struct pn_http_fault fault = {0, NULL};
            struct pn_response_head r;
            enum pn_rc rc = read_response(*state, cases[i], step, "GET", &r, &fault);

            if (rc == PN_OK || fault.status != 502)
                fail_msg("rc %d, status %d: %.*s", (int)rc, fault.status, PN_FMT(cases[i]));
        }
    }
}

static void what_keep_alive_says_is_read(void **state)
{
    static const struct {
        const char *fields;
        uint32_t timeout_s, requests_max;
    } cases[] = {
        {"", UINT32_MAX, UINT32_MAX},
        {"Keep-Alive: timeout=5\r\n", 5, UINT32_MAX},
        {"Keep-Alive: timeout=5, max=100\r\n", 5, 100},
        {"Keep-Alive: MAX = 0 ,, Timeout=0\r\n", 0, 0},
        {"Keep-Alive: timeout=7, x=\"a\", y\r\n", 7, UINT32_MAX},
        {"Keep-Alive: timeout=7\r\nkeep-alive: timeout=3\r\nKeep-Alive: max=2\r\n", 3, 2},
        {"Keep-Alive: timeout=7\r\nKeep-Alive: max=1, timeout=x\r\n", 7, UINT32_MAX},
        {"Keep-Alive: timeout=4294967294\r\n", UINT32_MAX - 1, UINT32_MAX},
        {"Keep-Alive: timeout=4294967296\r\n", UINT32_MAX, UINT32_MAX},
        {"Keep-Alive: timeout=-1\r\n", UINT32_MAX, UINT32_MAX},
        {"Keep-Alive: timeout=\r\n", UINT32_MAX, UINT32_MAX},
        {"Keep-Alive: timeout\r\n", UINT32_MAX, UINT32_MAX},
        {"Keep-Alive: =0\r\n", UINT32_MAX, UINT32_MAX},
        {"Keep-Alive:\r\n", UINT32_MAX, UINT32_MAX},
    };
    struct pn_response_head r;
    struct pn_http_keep_alive keep;
    char text[512];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        (void)snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\n%sContent-Length: 0\r\n\r\n",
                       cases[i].fields);
        good_response(state, "GET", text, &r);
        pn_http_keep_alive_of(&r.headers, &keep);
        if (keep.timeout_s != cases[i].timeout_s || keep.requests_max != cases[i].requests_max)
            fail_msg("%u, %u: %s", keep.timeout_s, keep.requests_max, cases[i].fields);
    }
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, make_arena, drop_arena)
    const struct CMUnitTest tests[] = {
        TEST(parts_of_a_response_are_found),
        TEST(the_end_of_a_body_follows_the_rfc),
        TEST(bad_responses_are_bad_gateway),
        TEST(what_keep_alive_says_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
