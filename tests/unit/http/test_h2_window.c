/* SPDX-License-Identifier: Apache-2.0
 *
 * The end of a body that is to go when the window closes: it needs none (RFC 9113 §6.9).
 */
#include "http/h2_internal.h"
#include "http/h2_lab.h"

enum { WINDOW_SETTING = 4, WINDOW_BYTES = 65535 };
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

static void give_window(struct lab *lab)
{
    put_frame_u32(&lab->in, WINDOW_UPDATE, 0, 1000);
    lab_run(lab, 0);
    assert_false(lab->has_goaway);
}

static void settings_that_close_it_do_not_hold_the_end_of_a_request(void **state)
{
    struct lab *lab = client();
    struct call *call = post(lab);

    (void)state;
    goes_on(call, pn_slice("", 0));
    put_setting(&lab->in, WINDOW_SETTING, 0); /* before there was a turn to write */
    lab_run(lab, 0);
    expect_end(lab, call);
    give_window(lab);
    expect_end(lab, call);
    lab_destroy(lab);
}

static void settings_that_close_it_hold_what_is_not_the_end(void **state)
{
    struct lab *lab = client();
    struct call *call = post(lab);

    (void)state;
    goes_on(call, PN_LIT("more"));
    put_setting(&lab->in, WINDOW_SETTING, 0);
    lab_run(lab, 0);
    assert_false(call->is_sent);
    assert_null(find_sent(lab, DATA, (uint32_t)call->id));
    put_setting(&lab->in, WINDOW_SETTING, 4);
    lab_run(lab, 0);
    expect_end(lab, call);
    lab_destroy(lab);
}

static void settings_that_close_it_do_not_hold_the_end_of_an_answer(void **state)
{
    struct lab *lab = lab_create();
    struct call *call = &lab->calls[0];
    struct pn_headers headers;

    (void)state;
    lab->answers = false;
    lab_open(lab, PN_H2_SERVER);
    put_start(lab);
    put_headers(&lab->in, 1, END_STREAM, GET_FIELDS);
    lab_run(lab, 0);
    pn_headers_init(&headers, call->arena);
    pn_source_init(&call->out, &lab_source_ops, false);
    call->source_rc = PN_AGAIN;
    assert_int_equal(pn_h2_respond(call->stream, 200, &headers, &call->out), PN_OK);
    lab_run(lab, 0);
    goes_on(call, pn_slice("", 0));
    put_setting(&lab->in, WINDOW_SETTING, 0);
    lab_run(lab, 0);
    expect_end(lab, call);
    lab_destroy(lab);
}

/* One of several takes all of the connection's window in front of those that only want to end; the
 * output has room for all of it, or is full just then. */
static void a_body_that_uses_it_up_does_not_hold_the_ends_of_others(void **state)
{
    (void)state;
    for (size_t big = 0; big < 3; big++) {
        struct lab *lab = client();
        struct call *calls[3];

        for (size_t i = 0; i < 3; i++)
            calls[i] = post(lab);
        for (size_t i = 0; i < 3; i++)
            goes_on(calls[i], pn_slice(bytes, i == big ? WINDOW_BYTES : 0));
        lab_run(lab, 0);
        for (size_t i = 0; i < 3; i++)
            expect_end(lab, calls[i]);
        give_window(lab);
        lab_destroy(lab);
    }
}

/* Likewise, when it was closed, and opened by as much as one of them takes. */
static void it_closes_a_second_time(void **state)
{
    struct lab *lab = client();
    struct call *big = post(lab);
    struct call *small[2] = {post(lab), post(lab)};

    (void)state;
    goes_on(big, pn_slice(bytes, WINDOW_BYTES));
    put_setting(&lab->in, WINDOW_SETTING, 2 * WINDOW_BYTES);
    lab_run(lab, 0);
    expect_end(lab, big);
    big = post(lab);
    goes_on(big, PN_LIT("four"));
    put_frame_u32(&lab->in, WINDOW_UPDATE, 0, 4);
    lab->rc = pn_h2_receive(lab->h2, pn_buf_slice(&lab->in), lab->now_ms);
    pn_buf_clear(&lab->in);
    goes_on(small[0], pn_slice("", 0)); /* a window is there, but it is taken */
    goes_on(small[1], pn_slice("", 0));
    lab_run(lab, 0);
    expect_end(lab, big);
    expect_end(lab, small[0]);
    expect_end(lab, small[1]);
    lab_destroy(lab);
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
        cmocka_unit_test(settings_that_close_it_do_not_hold_the_end_of_a_request),
        cmocka_unit_test(settings_that_close_it_hold_what_is_not_the_end),
        cmocka_unit_test(settings_that_close_it_do_not_hold_the_end_of_an_answer),
        cmocka_unit_test(a_body_that_uses_it_up_does_not_hold_the_ends_of_others),
        cmocka_unit_test(it_closes_a_second_time),
        cmocka_unit_test(an_end_without_bytes_has_room_for_its_header),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
