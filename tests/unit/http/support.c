/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by the tests of http/.
 */
#include "http/support.h"

#include <stdlib.h>

const struct pn_http_limits test_limits = PN_HTTP_LIMITS_DEFAULT;

int make_arena(void **state)
{
    *state = pn_arena_create(4096, 1u << 22);
    return *state ? 0 : -1;
}

int drop_arena(void **state)
{
    pn_arena_destroy(*state);
    return 0;
}

/* An exact heap copy, so that reading one byte too far is seen by the sanitizer. */
static char *copy_of(struct pn_slice text, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);

    assert_non_null(copy);
    memcpy(copy, text.ptr, len);
    return copy;
}

enum pn_rc scan_in_pieces(struct pn_slice text, size_t step, enum pn_h1_side side,
                          const struct pn_http_limits *limits, size_t *head_bytes,
                          struct pn_http_fault *fault)
{
    struct pn_h1_scan scan = {0};
    enum pn_rc rc = PN_AGAIN;
    size_t len = 0;

    if (step == 0)
        step = text.len;
    while (rc == PN_AGAIN && len < text.len) {
        char *copy = NULL;

        len = text.len - len > step ? len + step : text.len;
        copy = copy_of(text, len);
        rc = pn_h1_scan(&scan, side, pn_slice(copy, len), limits, head_bytes, fault);
        free(copy);
    }
    return rc;
}

enum pn_rc read_request(struct pn_arena *arena, struct pn_slice text, size_t step,
                        const struct pn_http_limits *limits, struct pn_request_head *request,
                        size_t *head_bytes, struct pn_http_fault *fault)
{
    enum pn_rc rc = scan_in_pieces(text, step, PN_H1_REQUEST, limits, head_bytes, fault);

    if (rc != PN_OK)
        return rc;
    pn_headers_init(&request->headers, arena);
    return pn_h1_request_parse(pn_slice(text.ptr, *head_bytes), limits, request, fault);
}

enum pn_rc read_response(struct pn_arena *arena, struct pn_slice text, size_t step,
                         const char *method, struct pn_response_head *response,
                         struct pn_http_fault *fault)
{
    size_t head_bytes = 0;
    enum pn_rc rc = scan_in_pieces(text, step, PN_H1_RESPONSE, &test_limits, &head_bytes, fault);

    if (rc != PN_OK)
        return rc;
    pn_headers_init(&response->headers, arena);
    return pn_h1_response_parse(pn_slice(text.ptr, head_bytes), &test_limits, pn_slice_str(method),
                                response, fault);
}

enum pn_rc read_body(struct pn_h1_body *body, struct pn_slice in, size_t step, struct pn_buf *data,
                     size_t *rest, struct pn_http_fault *fault)
{
    size_t done = 0;
    size_t arrived = 0;

    for (;;) {
        struct pn_slice part;
        size_t used = 0;
        char *copy = copy_of(pn_slice(in.ptr + done, arrived - done), arrived - done);
        enum pn_rc rc = pn_h1_body_next(body, pn_slice(copy, arrived - done), &part, &used, fault);

        assert_true(used <= arrived - done);
        if (rc == PN_OK) {
            assert_true(part.len > 0);
            assert_int_equal(pn_buf_append_slice(data, part), PN_OK);
        }
        free(copy);
        done += used;
        *rest = in.len - done;
        if (rc == PN_OK)
            continue;
        if (rc != PN_AGAIN)
            return rc;
        if (arrived == in.len)
            return pn_h1_body_close(body, fault);
        arrived = step == 0 || in.len - arrived < step ? in.len : arrived + step;
    }
}

void expect_slice(struct pn_slice slice, const char *text)
{
    assert_int_equal(slice.len, strlen(text));
    assert_memory_equal(slice.ptr, text, slice.len);
}
