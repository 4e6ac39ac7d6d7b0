/* SPDX-License-Identifier: Apache-2.0
 *
 * The end of a body that is to go when the window closes: it needs none (RFC 9113 §6.9).
 */
#include "http/h2_internal.h"
#include "http/h2_lab.h"

enum { WINDOW_BYTES = 65535 };
static char bytes[WINDOW_BYTES];

static struct lab *client(void)
{
    struct lab *lab = lab_create();

    lab_open(lab, PN_H2_CLIENT);
    put_frame(&lab->in, SETTINGS, 0, 0, pn_slice("", 0));
    lab_run(lab, 0);
    return lab;
}

/* A POST whose head has gone, and whose body has nothing yet. */
static struct call *post(struct lab *lab)
{
    struct call *call = &lab->calls[lab->count++];
    struct pn_headers headers;
    struct pn_h2_request request = {
        .method = PN_LIT("POST"),
        .scheme = PN_LIT("https"),
        .authority = PN_LIT("a.example"),
        .path = PN_LIT("/"),
        .headers = &headers,
        .body = &call->out,
        .user = call,
    };

    assert_true(lab->count < CALLS);
    call->arena = request.arena = pn_arena_create(4096, 1u << 22);
    pn_buf_init(&call->body, 1u << 26);
    pn_headers_init(&headers, call->arena);
    pn_source_init(&call->out, &lab_source_ops, false);
    call->source_rc = PN_AGAIN;
    assert_int_equal(pn_h2_request(lab->h2, &request, &call->stream), PN_OK);
    call->id = call->stream->id;
    lab_run(lab, 0);
    assert_null(find_sent(lab, DATA, (uint32_t)call->id));
    return call;
}

/* What is left of the body, and its end, are there. */
static void goes_on(struct call *call, struct pn_slice text)
{
    call->source_rc = PN_OK;
    call->out_text = text;
    pn_h2_resume(call->stream);
}

static void expect_end(struct lab *lab, const struct call *call)
{
    const struct sent *sent = NULL;

    for (size_t i = 0; i < lab->sent_count; i++) {
        if (lab->sent[i].id == (uint32_t)call->id && (lab->sent[i].flags & END_STREAM) != 0 &&
            (lab->sent[i].type == DATA || lab->sent[i].type == HEADERS)) {
            assert_null(sent);
            sent = &lab->sent[i];
        }
    }
    assert_non_null(sent);
    assert_true(call->is_sent);
}

/* However full the output's memory is: the end alone has a header, too. */
static void an_end_without_bytes_has_room_for_its_header(void **state)
{
    (void)state;
    for (size_t len = 0; len < 600; len++) {
        struct lab *lab = client();
        struct call *first = post(lab);
        struct call *second = post(lab);

        pn_buf_fini(&lab->out);
        goes_on(first, pn_slice(bytes, len));
        goes_on(second, pn_slice("", 0));
        lab_flush(lab);
        assert_int_equal(lab->out.len, (len > 0 ? 9 + len : 9) + 9);
        lab_parse(lab);
        expect_end(lab, first);
        expect_end(lab, second);
        lab_destroy(lab);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_end_without_bytes_has_room_for_its_header),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
