/* SPDX-License-Identifier: Apache-2.0
 *
 * Buffered requests and answers.
 */
#include "http/support.h"

#include "http/message.h"

static void query_parameters_are_found_without_case_and_decoded(void **state)
{
    struct pn_request request = {
        .arena = *state,
        .query = PN_LIT("API-version=2024-05-01&%24filter=name+eq+%27x%27&e=&f&bad=%zz")};

    expect_slice(pn_request_query(&request, "api-version"), "2024-05-01");
    expect_slice(pn_request_query(&request, "$filter"), "name eq 'x'");
    expect_slice(pn_request_query(&request, "e"), "");
    assert_non_null(pn_request_query(&request, "f").ptr);
    assert_null(pn_request_query(&request, "g").ptr);
    expect_slice(pn_request_query(&request, "bad"), "%zz");
}

static void segments_are_split_before_they_are_decoded(void **state)
{
    struct pn_request request = {.arena = *state, .path = PN_LIT("//a%20b/c/")};
    struct pn_slice segments[2];
    size_t count = 0;

    assert_int_equal(pn_request_segments(&request, segments, 2, &count), PN_OK);
    assert_int_equal(count, 2);
    expect_slice(segments[0], "a b");
    expect_slice(segments[1], "c");
    assert_int_equal(pn_request_segments(&request, segments, 1, &count), PN_LIMIT);
    request.path = PN_LIT("/a%2Fb");
    assert_int_equal(pn_request_segments(&request, segments, 2, &count), PN_MALFORMED);
    request.path = PN_LIT("/a%00");
    assert_int_equal(pn_request_segments(&request, segments, 2, &count), PN_MALFORMED);
    request.path = PN_LIT("/a%");
    assert_int_equal(pn_request_segments(&request, segments, 2, &count), PN_MALFORMED);
    request.path = PN_LIT("/");
    assert_int_equal(pn_request_segments(&request, segments, 0, &count), PN_OK);
    assert_int_equal(count, 0);
}

static void answers_hold_status_type_and_body(void **state)
{
    struct pn_response response;

    pn_response_init(&response, *state, 10);
    assert_true(response.body.is_secret);
    assert_int_equal(pn_response_header(&response, "ETag", "\"%d\"", 7), PN_OK);
    assert_int_equal(pn_response_body(&response, 201, "text/plain", PN_LIT("0123456789")), PN_OK);
    assert_int_equal(response.status, 201);
    assert_int_equal(pn_response_body(&response, 404, "application/json", PN_LIT("{}")), PN_OK);
    expect_slice(pn_headers_get(&response.headers, "content-type"), "application/json");
    assert_int_equal(pn_headers_count(&response.headers, "content-type"), 1);
    expect_slice(pn_headers_get(&response.headers, "etag"), "\"7\"");
    expect_slice(pn_buf_slice(&response.body), "{}");
    assert_int_equal(pn_response_body(&response, 200, NULL, PN_LIT("0123456789A")), PN_LIMIT);
    pn_response_fini(&response);
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, make_arena, drop_arena)
    const struct CMUnitTest tests[] = {
        TEST(query_parameters_are_found_without_case_and_decoded),
        TEST(segments_are_split_before_they_are_decoded),
        TEST(answers_hold_status_type_and_body),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
