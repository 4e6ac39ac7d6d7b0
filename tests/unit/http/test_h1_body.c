/* SPDX-License-Identifier: Apache-2.0
 *
 * Bodies. Every case is read whole and in pieces of 1 to 5 bytes.
 */
#include "http/support.h"

enum { STEPS = 6 };

/* Reads a chunked request body in every step; all must agree. */
static void expect_chunked(void **state, struct pn_slice in, const char *data, size_t rest)
{
    for (size_t step = 0; step < STEPS; step++) {
        struct pn_http_fault fault = {0, NULL};
        struct pn_h1_body body;
        struct pn_buf out;
        size_t left = 0;
        enum pn_rc rc = PN_OK;

        (void)state;
        pn_buf_init(&out, 1u << 20);
        pn_h1_body_init(&body, PN_H1_REQUEST, PN_BODY_STREAMED, 0, &test_limits, NULL);
        rc = read_body(&body, in, step, &out, &left, &fault);
        if (rc != PN_EOF)
            fail_msg("rc %d, %d %s: %.*s", (int)rc, fault.status, fault.cause, PN_FMT(in));
        expect_slice(pn_buf_slice(&out), data);
        assert_int_equal(left, rest);
        pn_buf_fini(&out);
    }
}

static void refuse_chunked(struct pn_slice in, const struct pn_http_limits *limits,
                           enum pn_rc wanted, int status)
{
    for (size_t step = 0; step < STEPS; step++) {
        struct pn_http_fault fault = {0, NULL};
        struct pn_h1_body body;
        struct pn_buf out;
        size_t left = 0;
        enum pn_rc rc = PN_OK;

        pn_buf_init(&out, 1u << 20);
        pn_h1_body_init(&body, PN_H1_REQUEST, PN_BODY_STREAMED, 0, limits, NULL);
        rc = read_body(&body, in, step, &out, &left, &fault);
        if (rc != wanted || fault.status != status)
            fail_msg("rc %d, %d %s: %.*s", (int)rc, fault.status, fault.cause ? fault.cause : "",
                     PN_FMT(in));
        pn_buf_fini(&out);
    }
}

static void chunked_bodies_are_put_together(void **state)
{
    expect_chunked(state, PN_LIT("0\r\n\r\n"), "", 0);
    expect_chunked(state, PN_LIT("5\r\nhello\r\n0\r\n\r\nGET"), "hello", 3);
    expect_chunked(state, PN_LIT("1\r\nh\r\nA\r\n0123456789\r\n000\r\n\r\n"), "h0123456789", 0);
    expect_chunked(state, PN_LIT("00000003;a=b;c=\"d;\\\"\"\r\nabc\r\n0 ; x\r\n\r\n"), "abc", 0);
    expect_chunked(state, PN_LIT("2\r\n\r\n\r\n0\r\nT: 1\r\nU:\r\n\r\n"), "\r\n", 0);
}

static void broken_chunks_are_refused(void **state)
{
    const struct pn_slice cases[] = {
        PN_LIT("\r\n"),
        PN_LIT("x\r\n"),
        PN_LIT("-1\r\n"),
        PN_LIT("+1\r\nA\r\n0\r\n\r\n"),
        PN_LIT("0x1\r\nA\r\n0\r\n\r\n"),
        PN_LIT(" 1\r\nA\r\n0\r\n\r\n"),
        PN_LIT("1 \r\nA\r\n0\r\n\r\n"),
        PN_LIT("1 1\r\nA\r\n0\r\n\r\n"),
        PN_LIT("1\nA\r\n0\r\n\r\n"),
        PN_LIT("1\rA\r\n0\r\n\r\n"),
        PN_LIT("1;a\nb\r\nA\r\n0\r\n\r\n"),
        PN_LIT("1;a\rb\r\nA\r\n0\r\n\r\n"),
        PN_LIT("1;\0\r\nA\r\n0\r\n\r\n"),
        PN_LIT("1\r\nAB\r\n0\r\n\r\n"),
        PN_LIT("1\r\nA\n0\r\n\r\n"),
        PN_LIT("1\r\nA\rX0\r\n\r\n"),
        PN_LIT("1\r\nA0\r\n\r\n"),
        PN_LIT("1\r\nA\r\n\r\n"),
        PN_LIT("8000000000000000\r\n"),
        PN_LIT("10000000000000000\r\n"),
        PN_LIT("00000000000000000\r\n"),
        PN_LIT("0\r\nT 1\r\n\r\n"),
        PN_LIT("0\r\n T: 1\r\n\r\n"),
        PN_LIT("0\r\nT: 1\n\r\n"),
        PN_LIT("0\r\nT: a\0b\r\n\r\n"),
        PN_LIT("0\r\n\n"),
        PN_LIT("0\r\nX"),
        PN_LIT("5\r\nhel"),
        PN_LIT("5"),
        PN_LIT("5\r\nhello\r\n"),
        PN_LIT("0\r\n\r"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        refuse_chunked(cases[i], &test_limits, PN_MALFORMED, 400);
}

static void limits_of_chunked_bodies_hold_on_both_sides(void **state)
{
    const struct pn_http_limits limits = {1000, 10, 100, 18, 2, 6};

    refuse_chunked(PN_LIT("1;abcde\r\nA\r\n0\r\n\r\n"), &limits, PN_EOF, 0);
    refuse_chunked(PN_LIT("1;abcdef\r\nA\r\n0\r\n\r\n"), &limits, PN_LIMIT, 413);
    refuse_chunked(PN_LIT("1;ab\r\nA\r\n1;cd\r\nA\r\n0;\r\n\r\n"), &limits, PN_LIMIT, 413);
    refuse_chunked(PN_LIT("0\r\nA: 6789\r\nB: 67\r\n\r\n"), &limits, PN_EOF, 0);
    refuse_chunked(PN_LIT("0\r\nA: 6789\r\nB: 678\r\n\r\n"), &limits, PN_LIMIT, 431);
    refuse_chunked(PN_LIT("0\r\nA: 67890123456789012345"), &limits, PN_LIMIT, 431);
    refuse_chunked(PN_LIT("0\r\nA:\r\nB:\r\n\r\n"), &limits, PN_EOF, 0);
    refuse_chunked(PN_LIT("0\r\nA:\r\nB:\r\nC:\r\n\r\n"), &limits, PN_LIMIT, 431);
    (void)state;
}

static void trailers_are_available_but_not_the_dangerous_ones(void **state)
{
    for (size_t step = 0; step < STEPS; step++) {
        struct pn_slice in = PN_LIT("1\r\nA\r\n0\r\nDigest: x\r\nContent-Length: 5\r\n"
                                    "transfer-encoding: chunked\r\nHost: b\r\nAuthorization: c\r\n"
                                    "X-Hop: y\r\nX-Sum: 2\r\n\r\n");
        struct pn_http_fault fault;
        struct pn_headers trailers;
        struct pn_h1_body body;
        struct pn_buf out;
        size_t left = 0;

        pn_buf_init(&out, 100);
        pn_headers_init(&trailers, *state);
        pn_h1_body_init(&body, PN_H1_RESPONSE, PN_BODY_STREAMED, 0, &test_limits, &trailers);
        body.connection = PN_LIT("close, x-HOP");
        assert_int_equal(read_body(&body, in, step, &out, &left, &fault), PN_EOF);
        assert_int_equal(trailers.count, 2);
        expect_slice(pn_headers_get(&trailers, "digest"), "x");
        expect_slice(pn_headers_get(&trailers, "x-sum"), "2");
        pn_buf_fini(&out);
    }
}

static void lengths_are_counted(void **state)
{
    static const struct {
        uint64_t length;
        const char *in, *data;
        enum pn_rc rc;
        size_t rest;
    } cases[] = {
        {0, "GET", "", PN_EOF, 3},
        {5, "hello", "hello", PN_EOF, 0},
        {5, "helloGET", "hello", PN_EOF, 3},
        {5, "hell", "hell", PN_MALFORMED, 0},
        {INT64_MAX, "hell", "hell", PN_MALFORMED, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t step = 0; step < STEPS; step++) {
            struct pn_http_fault fault = {0, NULL};
            struct pn_h1_body body;
            struct pn_buf out;
            size_t left = 0;

            pn_buf_init(&out, 100);
            pn_h1_body_init(&body, PN_H1_RESPONSE, PN_BODY_LENGTH, cases[i].length, &test_limits,
                            NULL);
            assert_int_equal(read_body(&body, pn_slice_str(cases[i].in), step, &out, &left, &fault),
                             cases[i].rc);
            assert_int_equal(fault.status, cases[i].rc == PN_EOF ? 0 : 502);
            expect_slice(pn_buf_slice(&out), cases[i].data);
            assert_int_equal(left, cases[i].rest);
            pn_buf_fini(&out);
        }
    }
}

static void bodies_until_close_end_when_the_peer_closes(void **state)
{
    for (size_t step = 0; step < STEPS; step++) {
        struct pn_http_fault fault;
        struct pn_h1_body body;
        struct pn_buf out;
        size_t left = 0;

        (void)state;
        pn_buf_init(&out, 100);
        pn_h1_body_init(&body, PN_H1_RESPONSE, PN_BODY_UNTIL_CLOSE, 0, &test_limits, NULL);
        assert_int_equal(read_body(&body, PN_LIT("all of it"), step, &out, &left, &fault), PN_EOF);
        expect_slice(pn_buf_slice(&out), "all of it");
        pn_buf_fini(&out);
    }
}

static void no_body_ends_at_once(void **state)
{
    struct pn_http_fault fault;
    struct pn_h1_body body;
    struct pn_slice data;
    size_t used = 9;

    (void)state;
    pn_h1_body_init(&body, PN_H1_REQUEST, PN_BODY_NONE, 0, &test_limits, NULL);
    assert_int_equal(pn_h1_body_next(&body, PN_LIT("GET"), &data, &used, &fault), PN_EOF);
    assert_int_equal(used, 0);
    assert_int_equal(pn_h1_body_close(&body, &fault), PN_EOF);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, make_arena, drop_arena)
    const struct CMUnitTest tests[] = {
        TEST(chunked_bodies_are_put_together),
        TEST(broken_chunks_are_refused),
        TEST(limits_of_chunked_bodies_hold_on_both_sides),
        TEST(trailers_are_available_but_not_the_dangerous_ones),
        TEST(lengths_are_counted),
        TEST(bodies_until_close_end_when_the_peer_closes),
        TEST(no_body_ends_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
