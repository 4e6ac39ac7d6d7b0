/* SPDX-License-Identifier: Apache-2.0
 *
 * Every function of the room that takes memory, with arenas and buffers of every size from nothing
 * to enough: the answer is always PN_OK or a refusal, never a crash or half a result.
 */
#include "http/support.h"

#include "http/message.h"
#include "http/uri.h"

enum { STEP = 16, ENOUGH = 8192 };

/* Calls `attempt` with growing arenas until it says PN_OK; before that it must say PN_NOMEM. */
static void grow_until_ok(enum pn_rc (*attempt)(struct pn_arena *arena))
{
    for (size_t max = 32; max <= ENOUGH; max += STEP) {
        struct pn_arena *arena = pn_arena_create(32, max);
        enum pn_rc rc = PN_OK;

        if (!arena)
            continue;
        rc = attempt(arena);
        pn_arena_destroy(arena);
        if (rc == PN_OK)
            return;
        assert_int_equal(rc, PN_NOMEM);
    }
    fail_msg("no arena was large enough");
}

static enum pn_rc read_a_request(struct pn_arena *arena)
{
    struct pn_http_fault fault = {0, NULL};
    struct pn_request_head request;
    size_t head_bytes = 0;

    return read_request(arena, PN_LIT("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n"), 0, &test_limits,
                        &request, &head_bytes, &fault);
}

static enum pn_rc read_trailers(struct pn_arena *arena)
{
    struct pn_http_fault fault = {0, NULL};
    struct pn_headers trailers;
    struct pn_h1_body body;
    struct pn_slice data;
    size_t used = 0;
    enum pn_rc rc = PN_OK;

    pn_headers_init(&trailers, arena);
    pn_h1_body_init(&body, PN_H1_REQUEST, PN_BODY_STREAMED, 0, &test_limits, &trailers);
    rc = pn_h1_body_next(&body, PN_LIT("0\r\nA: b\r\n\r\n"), &data, &used, &fault);
    return rc == PN_EOF ? PN_OK : rc;
}

static enum pn_rc change_a_path(struct pn_arena *arena)
{
    struct pn_slice out;
    enum pn_rc rc = pn_path_normalise(PN_LIT("/a/../b\\c%2f"), arena, &out);

    return rc == PN_OK ? pn_path_join(PN_LIT("/base/"), out, arena, &out) : rc;
}

static enum pn_rc change_a_query(struct pn_arena *arena)
{
    struct pn_slice out;
    enum pn_rc rc = pn_query_set(PN_LIT("a=1&b=2&a=3"), PN_LIT("a"), PN_LIT("x y"), arena, &out);

    if (rc == PN_OK)
        rc = pn_query_append(out, PN_LIT("c"), PN_LIT("d"), arena, &out);
    if (rc == PN_OK)
        rc = pn_query_remove(out, PN_LIT("b"), arena, &out);
    return rc == PN_OK ? pn_uri_decode(PN_LIT("%41+"), true, arena, &out) : rc;
}

static enum pn_rc answer(struct pn_arena *arena)
{
    struct pn_response response;
    enum pn_rc rc = PN_OK;

    pn_response_init(&response, arena, 100);
    rc = pn_response_header(&response, "A", "%d", 1);
    if (rc == PN_OK)
        rc = pn_response_body(&response, 200, "text/plain", PN_LIT("b"));
    pn_response_fini(&response);
    return rc;
}

static enum pn_rc split_a_path(struct pn_arena *arena)
{
    struct pn_request request = {.arena = arena, .path = PN_LIT("/a%20b/c%20d")};
    struct pn_slice segments[2];
    size_t count = 0;

    return pn_request_segments(&request, segments, 2, &count);
}

static void every_arena_size_is_survived(void **state)
{
    (void)state;
    grow_until_ok(read_a_request);
    grow_until_ok(read_trailers);
    grow_until_ok(change_a_path);
    grow_until_ok(change_a_query);
    grow_until_ok(answer);
    grow_until_ok(split_a_path);
}

static enum pn_rc write_a_message(struct pn_buf *out, const struct pn_headers *headers)
{
    enum pn_rc rc = pn_h1_write_request_line(out, PN_LIT("GET"), PN_LIT("/"));

    if (rc == PN_OK)
        rc = pn_h1_write_status_line(out, 200, PN_LIT(""));
    if (rc == PN_OK)
        rc = pn_h1_write_fields(out, headers);
    if (rc == PN_OK)
        rc = pn_h1_write_content_length(out, 5);
    if (rc == PN_OK)
        rc = pn_h1_write_end(out);
    if (rc == PN_OK)
        rc = pn_h1_write_chunk_head(out, 5);
    return rc == PN_OK ? pn_h1_write_last_chunk(out, headers) : rc;
}

static void every_buffer_limit_is_told(void **state)
{
    struct pn_headers headers;

    pn_headers_init(&headers, *state);
    assert_int_equal(pn_headers_add(&headers, PN_LIT("A"), PN_LIT("b")), PN_OK);
    for (size_t max = 0; max < 200; max++) {
        struct pn_buf out;
        enum pn_rc rc = PN_OK;

        pn_buf_init(&out, max);
        rc = write_a_message(&out, &headers);
        assert_true(out.len <= max);
        pn_buf_fini(&out);
        if (rc == PN_OK)
            return;
        assert_int_equal(rc, PN_LIMIT);
    }
    fail_msg("no buffer was large enough");
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, make_arena, drop_arena)
    const struct CMUnitTest tests[] = {
        TEST(every_arena_size_is_survived),
        TEST(every_buffer_limit_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
