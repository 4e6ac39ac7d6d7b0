/* SPDX-License-Identifier: Apache-2.0
 *
 * Frames that break a rule (RFC 9113 §3 to §6, RFC 7541), and those that do not; floods and other
 * limits of a connection. Every case is read whole and byte by byte.
 */
#include "base/limits.h"
#include "http/h2_internal.h"
#include "http/h2_lab.h"

static struct lab *server(void)
{
    struct lab *lab = lab_create();

    lab->answers = false;
    lab_open(lab, PN_H2_SERVER);
    put_start(lab);
    return lab;
}

/* ---- connection errors ---- */

typedef void (*put_fn)(struct pn_buf *in);

static void put_raw(struct pn_buf *in, size_t len, int type, int flags, uint32_t id)
{
    static const char zeros[20000];

    put_frame(in, type, flags, id, pn_slice(zeros, len));
}

static void open_stream(struct pn_buf *in, uint32_t id)
{
    put_headers(in, id, 0, POST_FIELDS);
}

static void frame_too_large(struct pn_buf *in)
{
    open_stream(in, 1);
    put_raw(in, 16385, DATA, 0, 1);
}

static void headers_too_large(struct pn_buf *in)
{
    put_raw(in, 16385, HEADERS, END_HEADERS, 1);
}

static void data_on_zero(struct pn_buf *in)
{
    put_raw(in, 1, DATA, 0, 0);
}

static void data_on_idle(struct pn_buf *in)
{
    put_raw(in, 1, DATA, 0, 1);
}

static void data_padding_too_long(struct pn_buf *in)
{
    open_stream(in, 1);
    put_frame(in, DATA, PADDED, 1, PN_LIT("\x05pad"));
}

static void data_after_end(struct pn_buf *in)
{
    put_headers(in, 1, END_STREAM, GET_FIELDS);
    put_raw(in, 1, DATA, 0, 1);
}

static void data_after_reset(struct pn_buf *in)
{
    open_stream(in, 1);
    put_frame_u32(in, RST_STREAM, 1, PN_H2_CANCEL);
    put_headers(in, 3, 0, POST_FIELDS);
    put_raw(in, 0, DATA, END_STREAM, 1);
}

static void headers_after_reset(struct pn_buf *in)
{
    open_stream(in, 1);
    put_frame_u32(in, RST_STREAM, 1, PN_H2_CANCEL);
    put_headers(in, 1, END_STREAM, GET_FIELDS);
}

static void data_passed_over(struct pn_buf *in)
{
    open_stream(in, 3);
    put_raw(in, 1, DATA, 0, 1);
}

static void data_within_a_head(struct pn_buf *in)
{
    put_frame(in, HEADERS, END_STREAM, 1, PN_LIT("\x82\x86"));
    put_raw(in, 1, DATA, 0, 1);
}

static void headers_on_zero(struct pn_buf *in)
{
    put_headers(in, 0, END_STREAM, GET_FIELDS);
}

static void headers_on_even(struct pn_buf *in)
{
    put_headers(in, 2, END_STREAM, GET_FIELDS);
}

static void headers_below_another(struct pn_buf *in)
{
    put_headers(in, 7, END_STREAM, GET_FIELDS);
    put_headers(in, 3, END_STREAM, GET_FIELDS);
}

static void headers_after_end(struct pn_buf *in)
{
    put_headers(in, 1, END_STREAM, GET_FIELDS);
    put_headers(in, 1, END_STREAM, GET_FIELDS);
}

static void headers_padding_too_long(struct pn_buf *in)
{
    put_frame(in, HEADERS, END_HEADERS | PADDED, 1, PN_LIT("\x09\x82\x86"));
}

static void headers_not_continued(struct pn_buf *in)
{
    put_frame(in, HEADERS, END_STREAM, 1, PN_LIT("\x82\x86"));
    put_raw(in, 8, PING, 0, 0);
}

static void headers_continued_elsewhere(struct pn_buf *in)
{
    put_frame(in, HEADERS, END_STREAM, 1, PN_LIT("\x82\x86"));
    put_frame(in, CONTINUATION, END_HEADERS, 3, PN_LIT("\x84"));
}

static void continuation_alone(struct pn_buf *in)
{
    put_frame(in, CONTINUATION, END_HEADERS, 1, PN_LIT("\x82"));
}

static void continuation_after_end(struct pn_buf *in)
{
    put_headers(in, 1, 0, POST_FIELDS);
    put_frame(in, CONTINUATION, END_HEADERS, 1, PN_LIT("\x82"));
}

static void priority_on_zero(struct pn_buf *in)
{
    put_raw(in, 5, PRIORITY, 0, 0);
}

static void priority_of_wrong_size(struct pn_buf *in)
{
    put_raw(in, 4, PRIORITY, 0, 1);
}

static void reset_on_zero(struct pn_buf *in)
{
    put_raw(in, 4, RST_STREAM, 0, 0);
}

static void reset_on_idle(struct pn_buf *in)
{
    put_raw(in, 4, RST_STREAM, 0, 1);
}

static void reset_of_wrong_size(struct pn_buf *in)
{
    open_stream(in, 1);
    put_raw(in, 3, RST_STREAM, 0, 1);
}

static void settings_on_a_stream(struct pn_buf *in)
{
    put_raw(in, 0, SETTINGS, 0, 1);
}

static void settings_of_wrong_size(struct pn_buf *in)
{
    put_raw(in, 5, SETTINGS, 0, 0);
}

static void settings_ack_with_payload(struct pn_buf *in)
{
    put_raw(in, 6, SETTINGS, ACK, 0);
}

static void settings_push(struct pn_buf *in)
{
    put_setting(in, 2, 2);
}

static void settings_window(struct pn_buf *in)
{
    put_setting(in, 4, 0x80000000u);
}

static void settings_frame_size_small(struct pn_buf *in)
{
    put_setting(in, 5, 16383);
}

static void settings_frame_size_big(struct pn_buf *in)
{
    put_setting(in, 5, 16777216);
}

static void settings_connect(struct pn_buf *in)
{
    put_setting(in, 8, 2);
}

static void settings_too_many(struct pn_buf *in)
{
    put_raw(in, 6 * 33, SETTINGS, 0, 0);
}

static void push_promise(struct pn_buf *in)
{
    put_frame(in, PUSH_PROMISE, END_HEADERS, 1, PN_LIT("\0\0\0\2\x82"));
}

static void ping_on_a_stream(struct pn_buf *in)
{
    put_raw(in, 8, PING, 0, 1);
}

static void ping_of_wrong_size(struct pn_buf *in)
{
    put_raw(in, 7, PING, 0, 0);
}

static void goaway_on_a_stream(struct pn_buf *in)
{
    put_raw(in, 8, GOAWAY, 0, 1);
}

static void goaway_of_wrong_size(struct pn_buf *in)
{
    put_raw(in, 7, GOAWAY, 0, 0);
}

static void window_of_wrong_size(struct pn_buf *in)
{
    put_raw(in, 3, WINDOW_UPDATE, 0, 0);
}

static void window_on_idle(struct pn_buf *in)
{
    put_frame_u32(in, WINDOW_UPDATE, 1, 1);
}

static void window_by_zero(struct pn_buf *in)
{
    put_frame_u32(in, WINDOW_UPDATE, 0, 0);
}

static void window_over(struct pn_buf *in)
{
    put_frame_u32(in, WINDOW_UPDATE, 0, 0x7fffffffu);
}

static void settings_make_window_over(struct pn_buf *in)
{
    open_stream(in, 1);
    put_frame_u32(in, WINDOW_UPDATE, 1, 0x7fff0000u);
    put_setting(in, 4, 0x7fffffffu);
}

static void hpack_index_zero(struct pn_buf *in)
{
    put_frame(in, HEADERS, END_HEADERS | END_STREAM, 1, PN_LIT("\x82\x80"));
}

static void hpack_index_too_high(struct pn_buf *in)
{
    put_frame(in, HEADERS, END_HEADERS | END_STREAM, 1, PN_LIT("\x82\xc6"));
}

static void hpack_huffman_eos(struct pn_buf *in)
{
    put_frame(in, HEADERS, END_HEADERS | END_STREAM, 1,
              PN_LIT("\x82\x00\x01x\x84\xff\xff\xff\xff"));
}

static void hpack_huffman_padding(struct pn_buf *in)
{
    put_frame(in, HEADERS, END_HEADERS | END_STREAM, 1, PN_LIT("\x82\x00\x01x\x82\x1f\xff"));
}

static void hpack_table_too_large(struct pn_buf *in)
{
    put_frame(in, HEADERS, END_HEADERS | END_STREAM, 1, PN_LIT("\x3f\xe2\x1f\x82"));
}

static void hpack_table_size_late(struct pn_buf *in)
{
    put_frame(in, HEADERS, END_HEADERS | END_STREAM, 1, PN_LIT("\x82\x20"));
}

static void hpack_cut_short(struct pn_buf *in)
{
    put_frame(in, HEADERS, END_HEADERS | END_STREAM, 1, PN_LIT("\x82\x00\x05x"));
}

static void hpack_integer_too_long(struct pn_buf *in)
{
    put_frame(in, HEADERS, END_HEADERS | END_STREAM, 1,
              PN_LIT("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"));
}

static void broken_frames_end_the_connection(void **state)
{
    static const struct {
        const char *name;
        put_fn put;
        uint32_t code;
    } cases[] = {
        {"frame_too_large", frame_too_large, PN_H2_FRAME_SIZE_ERROR},
        {"headers_too_large", headers_too_large, PN_H2_FRAME_SIZE_ERROR},
        {"data_on_zero", data_on_zero, PN_H2_PROTOCOL_ERROR},
        {"data_on_idle", data_on_idle, PN_H2_PROTOCOL_ERROR},
        {"data_padding_too_long", data_padding_too_long, PN_H2_PROTOCOL_ERROR},
        {"data_after_end", data_after_end, PN_H2_STREAM_CLOSED},
        {"data_after_reset", data_after_reset, PN_H2_STREAM_CLOSED},
        {"headers_after_reset", headers_after_reset, PN_H2_STREAM_CLOSED},
        {"data_passed_over", data_passed_over, PN_H2_PROTOCOL_ERROR},
        {"data_within_a_head", data_within_a_head, PN_H2_PROTOCOL_ERROR},
        {"headers_on_zero", headers_on_zero, PN_H2_PROTOCOL_ERROR},
        {"headers_on_even", headers_on_even, PN_H2_PROTOCOL_ERROR},
        {"headers_below_another", headers_below_another, PN_H2_PROTOCOL_ERROR},
        {"headers_after_end", headers_after_end, PN_H2_STREAM_CLOSED},
        {"headers_padding_too_long", headers_padding_too_long, PN_H2_PROTOCOL_ERROR},
        {"headers_not_continued", headers_not_continued, PN_H2_PROTOCOL_ERROR},
        {"headers_continued_elsewhere", headers_continued_elsewhere, PN_H2_PROTOCOL_ERROR},
        {"continuation_alone", continuation_alone, PN_H2_PROTOCOL_ERROR},
        {"continuation_after_end", continuation_after_end, PN_H2_PROTOCOL_ERROR},
        {"priority_on_zero", priority_on_zero, PN_H2_PROTOCOL_ERROR},
        {"priority_of_wrong_size", priority_of_wrong_size, PN_H2_FRAME_SIZE_ERROR},
        {"reset_on_zero", reset_on_zero, PN_H2_PROTOCOL_ERROR},
        {"reset_on_idle", reset_on_idle, PN_H2_PROTOCOL_ERROR},
        {"reset_of_wrong_size", reset_of_wrong_size, PN_H2_FRAME_SIZE_ERROR},
        {"settings_on_a_stream", settings_on_a_stream, PN_H2_PROTOCOL_ERROR},
        {"settings_of_wrong_size", settings_of_wrong_size, PN_H2_FRAME_SIZE_ERROR},
        {"settings_ack_with_payload", settings_ack_with_payload, PN_H2_FRAME_SIZE_ERROR},
        {"settings_push", settings_push, PN_H2_PROTOCOL_ERROR},
        {"settings_window", settings_window, PN_H2_FLOW_CONTROL_ERROR},
        {"settings_frame_size_small", settings_frame_size_small, PN_H2_PROTOCOL_ERROR},
        {"settings_frame_size_big", settings_frame_size_big, PN_H2_PROTOCOL_ERROR},
        {"settings_connect", settings_connect, PN_H2_PROTOCOL_ERROR},
        {"settings_too_many", settings_too_many, PN_H2_ENHANCE_YOUR_CALM},
        {"push_promise", push_promise, PN_H2_PROTOCOL_ERROR},
        {"ping_on_a_stream", ping_on_a_stream, PN_H2_PROTOCOL_ERROR},
        {"ping_of_wrong_size", ping_of_wrong_size, PN_H2_FRAME_SIZE_ERROR},
        {"goaway_on_a_stream", goaway_on_a_stream, PN_H2_PROTOCOL_ERROR},
        {"goaway_of_wrong_size", goaway_of_wrong_size, PN_H2_FRAME_SIZE_ERROR},
        {"window_of_wrong_size", window_of_wrong_size, PN_H2_FRAME_SIZE_ERROR},
        {"window_on_idle", window_on_idle, PN_H2_PROTOCOL_ERROR},
        {"window_by_zero", window_by_zero, PN_H2_PROTOCOL_ERROR},
        {"window_over", window_over, PN_H2_FLOW_CONTROL_ERROR},
        {"hpack_index_zero", hpack_index_zero, PN_H2_COMPRESSION_ERROR},
        {"hpack_index_too_high", hpack_index_too_high, PN_H2_COMPRESSION_ERROR},
        {"hpack_huffman_eos", hpack_huffman_eos, PN_H2_COMPRESSION_ERROR},
        {"hpack_huffman_padding", hpack_huffman_padding, PN_H2_COMPRESSION_ERROR},
        {"hpack_table_too_large", hpack_table_too_large, PN_H2_COMPRESSION_ERROR},
        {"hpack_table_size_late", hpack_table_size_late, PN_H2_COMPRESSION_ERROR},
        {"hpack_cut_short", hpack_cut_short, PN_H2_COMPRESSION_ERROR},
        {"hpack_integer_too_long", hpack_integer_too_long, PN_H2_COMPRESSION_ERROR},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t step = 0; step < 2; step++) {
            struct lab *lab = server();

            cases[i].put(&lab->in);
            put_headers(&lab->in, 5, END_STREAM, GET_FIELDS); /* nobody reads on */
            lab_run(lab, step);
            if (!lab->has_goaway || lab->goaway != cases[i].code || lab->out_rc != PN_EOF)
                fail_msg("%s: GOAWAY %d with %u, wanted %u", cases[i].name, (int)lab->has_goaway,
                         lab->goaway, cases[i].code);
            for (size_t k = 0; k < lab->count; k++)
                assert_int_not_equal(lab->calls[k].id, 5);
            assert_true(strlen(pn_h2_failure(lab->h2)) > 0);
            assert_int_not_equal(pn_h2_receive(lab->h2, PN_LIT("x"), 0), PN_OK);
            lab_destroy(lab);
        }
    }
}

/* ---- errors of one stream ---- */

static void stream_window_by_zero(struct pn_buf *in)
{
    open_stream(in, 1);
    put_frame_u32(in, WINDOW_UPDATE, 1, 0);
}

static void stream_window_over(struct pn_buf *in)
{
    open_stream(in, 1);
    put_frame_u32(in, WINDOW_UPDATE, 1, 0x7fffffffu);
}

static void broken_frames_end_their_stream_only(void **state)
{
    static const struct {
        put_fn put;
        uint32_t code;
    } cases[] = {
        {stream_window_over, PN_H2_FLOW_CONTROL_ERROR},
        {settings_make_window_over, PN_H2_FLOW_CONTROL_ERROR},
        {stream_window_by_zero, PN_H2_PROTOCOL_ERROR},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t step = 0; step < 2; step++) {
            struct lab *lab = server();

            lab->answers = true;
            cases[i].put(&lab->in);
            put_headers(&lab->in, 3, END_STREAM, GET_FIELDS);
            lab_run(lab, step);
            if (lab->has_goaway) { /* RFC 9113 §5.4.1: any error may be one of the connection */
                assert_int_equal(lab->goaway, cases[i].code);
            } else {
                assert_int_equal(find_sent(lab, RST_STREAM, 1)->value, cases[i].code);
                assert_true(lab->calls[0].is_closed);
                assert_int_equal(find_sent(lab, HEADERS, 3)->status, 200);
            }
            lab_destroy(lab);
        }
    }
}

/* ---- what must be borne ---- */

/* What is remembered of streams is bounded; who is older than that is given the doubt. */
static void streams_far_behind_the_last_one_go_on(void **state)
{
    (void)state;
    for (size_t step = 0; step < 2; step++) {
        struct lab *lab = server();

        lab->answers = true;
        put_headers(&lab->in, 1, END_STREAM, GET_FIELDS);
        open_stream(&lab->in, 3);
        lab_run(lab, step);
        assert_true(lab->calls[0].is_closed);
        put_headers(&lab->in, 509, END_STREAM, GET_FIELDS); /* 3 is the 254th behind it */
        put_headers(&lab->in, 0x7ffffffd, END_STREAM, GET_FIELDS);
        put_raw(&lab->in, 100, DATA, 0, 1);
        put_raw(&lab->in, 7, DATA, END_STREAM, 3);
        put_headers(&lab->in, 0x7fffffff, END_STREAM, GET_FIELDS);
        lab_run(lab, step);
        assert_false(lab->has_goaway && lab->goaway != PN_H2_NO_ERROR);
        assert_int_equal(lab->count, 5);
        assert_int_equal(lab->calls[1].body.len, 7);
        for (size_t i = 0; i < lab->count; i++)
            assert_true(lab->calls[i].is_closed);
        put_raw(&lab->in, 1, DATA, 0, 0x7ffffffd);
        lab_run(lab, step);
        assert_int_equal(lab->goaway, PN_H2_STREAM_CLOSED);
        lab_destroy(lab);
    }
}

static void frames_that_are_allowed_are_taken(void **state)
{
    (void)state;
    for (size_t step = 0; step < 2; step++) {
        struct lab *lab = server();
        struct pn_buf block;

        lab->answers = true;
        put_raw(&lab->in, 20, 0xfa, 0xff, 7); /* a type that nobody knows */
        put_setting(&lab->in, 0xfafa, 17);    /* a setting likewise */
        put_raw(&lab->in, 8, PING, 0, 0);
        put_raw(&lab->in, 5, PRIORITY, 0, 9); /* of an idle stream */
        put_frame_u32(&lab->in, WINDOW_UPDATE, 0, 100);
        /* HEADERS with padding and priority, and CONTINUATION, one of them empty. */
        pn_buf_init(&block, 1u << 16);
        put_fields(&block, POST_FIELDS);
        put_frame_head(&lab->in, 1 + 5 + 10 + 3, HEADERS, PADDED | WITH_PRIORITY, 1);
        put(&lab->in, "\3\0\0\0\0\x10", 6);
        put(&lab->in, block.ptr, 10);
        put(&lab->in, "\0\0\0", 3);
        put_frame(&lab->in, CONTINUATION, 0, 1, pn_slice(block.ptr + 10, 1));
        put_frame(&lab->in, CONTINUATION, 0, 1, pn_slice("", 0));
        put_frame(&lab->in, CONTINUATION, END_HEADERS, 1, pn_slice(block.ptr + 11, block.len - 11));
        put_frame_head(&lab->in, 9, GOAWAY, 0x7f, 0); /* flags that nobody knows */
        put(&lab->in, "\0\0\0\0\0\0\0\0x", 9);
        put_frame(&lab->in, DATA, 0, 1, pn_slice("", 0));
        put_frame(&lab->in, DATA, PADDED, 1, PN_LIT("\2ab\0\0"));
        put_frame_u32(&lab->in, WINDOW_UPDATE, 1, 100);
        put_frame(&lab->in, DATA, PADDED | END_STREAM, 1, PN_LIT("\0cd"));
        lab_run(lab, step);
        put_frame_u32(&lab->in, WINDOW_UPDATE, 1, 100); /* RFC 9113 §5.1: a closed stream */
        put_frame_u32(&lab->in, RST_STREAM, 1, PN_H2_CANCEL);
        lab_run(lab, step);
        assert_false(lab->has_goaway);
        assert_int_equal(lab->calls[0].refused, 0);
        assert_non_null(lab->calls[0].request);
        expect_slice(pn_buf_slice(&lab->calls[0].body), "abcd");
        assert_int_equal(find_sent(lab, HEADERS, 1)->status, 200);
        assert_non_null(find_sent(lab, PING, 0));
        assert_non_null(find_sent(lab, SETTINGS, 0));
        pn_buf_fini(&block);
        lab_destroy(lab);
    }
}

static void the_preface_must_be_right(void **state)
{
    static const char *const cases[] = {
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\rx\0\0\0\4\0\0\0\0\0",
        "PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t step = 0; step < 2; step++) {
            struct lab *lab = lab_create();

            lab_open(lab, PN_H2_SERVER);
            put(&lab->in, cases[i], strlen(cases[i]));
            lab_run(lab, step);
            assert_true(lab->has_goaway);
            assert_int_equal(lab->goaway, PN_H2_PROTOCOL_ERROR);
            assert_int_equal(pn_h2_receive(lab->h2, PN_LIT("x"), 0), PN_MALFORMED);
            lab_destroy(lab);
        }
    }
}

static void settings_must_come_first(void **state)
{
    (void)state;
    for (int side = 0; side < 2; side++) {
        struct lab *lab = lab_create();

        lab_open(lab, side == 0 ? PN_H2_SERVER : PN_H2_CLIENT);
        if (side == 0)
            put(&lab->in, PREFACE.ptr, PREFACE.len);
        put_raw(&lab->in, 8, PING, 0, 0);
        lab_run(lab, 1);
        assert_int_equal(lab->goaway, PN_H2_PROTOCOL_ERROR);
        assert_int_equal(lab->out_rc, PN_EOF);
        lab_destroy(lab);
    }
}

/* ---- windows ---- */

static void a_window_that_is_overrun_is_an_error(void **state)
{
    struct lab *lab = lab_create();

    (void)state;
    pn_h2_config_init(&lab->config, PN_H2_SERVER);
    lab->config.stream_window_bytes = 65535;
    lab->answers = false;
    lab_open(lab, PN_H2_SERVER);
    put_start(lab);
    open_stream(&lab->in, 1);
    lab_run(lab, 0);
    lab->calls[0].reads_nothing = true;
    for (int i = 0; i < 4; i++)
        put_raw(&lab->in, 16384, DATA, 0, 1);
    lab_run(lab, 0);
    assert_int_equal(find_sent(lab, RST_STREAM, 1)->value, PN_H2_FLOW_CONTROL_ERROR);
    lab_destroy(lab);
}

/* Room for four streams, which have all of their windows from the beginning. */
static struct lab *server_of_few(void)
{
    struct lab *lab = lab_create();

    pn_h2_config_init(&lab->config, PN_H2_SERVER);
    lab->config.streams_max = 4;
    lab->config.first_window_bytes = lab->config.stream_window_bytes;
    lab->config.connection_window_bytes = 4 * lab->config.stream_window_bytes;
    lab->answers = false;
    lab_open(lab, PN_H2_SERVER);
    put_start(lab);
    return lab;
}

static void window_is_given_back_for_what_was_used_only(void **state)
{
    struct lab *lab = server_of_few();
    uint64_t given = 0;

    (void)state;
    open_stream(&lab->in, 1);
    put_frame(&lab->in, SETTINGS, ACK, 0, pn_slice("", 0));
    lab_run(lab, 0);
    lab->calls[0].reads_nothing = true;
    lab->sent_count = 0;
    for (int i = 0; i < 15; i++)
        put_raw(&lab->in, 16384, DATA, 0, 1);
    lab_run(lab, 0);
    assert_null(find_sent(lab, WINDOW_UPDATE, 1));
    assert_null(find_sent(lab, WINDOW_UPDATE, 0));
    lab->asks = 0;
    lab->calls[0].reads_nothing = false;
    lab_pull(lab, &lab->calls[0]);
    assert_int_equal(lab->asks, 1);
    lab_run(lab, 0);
    for (size_t i = 0; i < lab->sent_count; i++)
        given +=
            lab->sent[i].type == WINDOW_UPDATE && lab->sent[i].id == 1 ? lab->sent[i].value : 0;
    assert_true(given >= 15 * 16384 / 2 && given <= 15 * 16384);
    assert_true(lab->sent_count <= 3); /* not one for each piece */
    lab_destroy(lab);
}

static uint64_t window_given(const struct lab *lab, uint32_t id)
{
    uint64_t given = 0;

    for (size_t i = 0; i < lab->sent_count; i++)
        given +=
            lab->sent[i].type == WINDOW_UPDATE && lab->sent[i].id == id ? lab->sent[i].value : 0;
    return given;
}

/* Its peer can use none. What is given back is room for other streams. */
static void a_stream_that_has_ended_is_given_no_window(void **state)
{
    struct lab *lab = server_of_few();
    size_t window = lab->config.stream_window_bytes;

    (void)state;
    put_frame(&lab->in, SETTINGS, ACK, 0, pn_slice("", 0));
    for (uint32_t id = 1; id < 40; id += 2) {
        open_stream(&lab->in, id);
        lab_run(lab, 0);
        lab->calls[id / 2].reads_nothing = true;
        for (size_t sent = 0; sent < window; sent += 16384)
            put_raw(&lab->in, 16384, DATA, sent + 16384 < window ? 0 : END_STREAM, id);
        lab_run(lab, 0);
        lab->calls[id / 2].reads_nothing = false;
        lab_pull(lab, &lab->calls[id / 2]);
        lab_run(lab, 0);
        assert_true(lab->calls[id / 2].has_ended);
        assert_int_equal(lab->calls[id / 2].body.len, window);
        assert_int_equal(window_given(lab, id), 0);
        lab_answer(lab, &lab->calls[id / 2]);
        lab_run(lab, 0);
    }
    assert_int_equal(lab->rc, PN_OK);
    assert_true(window_given(lab, 0) >= 10 * window);
    assert_int_equal(lab->h2->buffered_bytes, 0);
    lab_destroy(lab);
}

/* Who moves is lent window, as much as there is to lend, and it comes back. */
static void window_is_lent_to_streams_that_move(void **state)
{
    struct lab *lab = lab_create();
    size_t first = 0;

    (void)state;
    pn_h2_config_init(&lab->config, PN_H2_SERVER);
    lab->config.streams_max = 8;
    lab->config.first_window_bytes = 32768;
    lab->config.stream_window_bytes = 100000;
    lab->config.connection_window_bytes = 8 * 32768 + 100000; /* to one whole, to another in part */
    first = lab->config.first_window_bytes;
    lab->answers = false;
    lab_open(lab, PN_H2_SERVER);
    put_start(lab);
    put_frame(&lab->in, SETTINGS, ACK, 0, pn_slice("", 0));
    for (uint32_t id = 1; id < 10; id += 2)
        open_stream(&lab->in, id);
    put_headers(&lab->in, 11, 0, POST_FIELDS "content-length|40000\n");
    lab_run(lab, 0);
    lab->calls[3].reads_nothing = true;
    for (uint32_t id = 1; id < 12; id += 2) { /* 7 does not move; 11 needs no more */
        put_raw(&lab->in, 12000, DATA, 0, id);
        if (id != 5)
            put_raw(&lab->in, 12000, DATA, 0, id);
        lab_run(lab, 0);
    }
    assert_int_equal(lab->h2->lent_bytes, 100000);
    assert_true(window_given(lab, 1) >= 100000 - first);
    assert_true(window_given(lab, 3) >= 100000 - (100000 - first));
    assert_int_equal(window_given(lab, 5) + window_given(lab, 7), 0);
    assert_true(window_given(lab, 9) < first && window_given(lab, 11) < first);
    put_frame_u32(&lab->in, RST_STREAM, 1, PN_H2_CANCEL); /* who goes leaves it to others */
    put_raw(&lab->in, 12000, DATA, 0, 9);
    lab_run(lab, 0);
    assert_int_equal(lab->h2->lent_bytes, 100000);
    assert_true(window_given(lab, 9) >= 100000 - first);
    for (uint32_t id = 3; id < 12; id += 2)
        put_frame_u32(&lab->in, RST_STREAM, id, PN_H2_CANCEL);
    lab_run(lab, 0);
    assert_int_equal(lab->h2->lent_bytes, 0);
    assert_int_equal(lab->h2->buffered_bytes, 0);
    lab_destroy(lab);
}

static void what_nobody_reads_gives_its_window_back(void **state)
{
    struct lab *lab = server_of_few();
    uint64_t given = 0;

    (void)state;
    for (uint32_t id = 1; id < 40;
         id += 2) { /* 20 streams of 240 KB: five times what there is room for */
        open_stream(&lab->in, id);
        if (id == 1)
            put_frame(&lab->in, SETTINGS, ACK, 0, pn_slice("", 0));
        lab_run(lab, 0);
        lab->calls[id / 2].reads_nothing = true;
        for (int i = 0; i < 15; i++)
            put_raw(&lab->in, 16384, DATA, 0, id);
        lab_run(lab, 0);
        pn_h2_reset(lab->calls[id / 2].stream, PN_H2_CANCEL);
        put_raw(&lab->in, 16384, DATA, 0, id); /* still under way */
        lab_run(lab, 0);
    }
    assert_false(lab->has_goaway);
    for (size_t i = 0; i < lab->sent_count; i++)
        given +=
            lab->sent[i].type == WINDOW_UPDATE && lab->sent[i].id == 0 ? lab->sent[i].value : 0;
    assert_true(given >= 20 * 16 * 16384 - 2 * 1024 * 1024);
    assert_int_equal(pn_h2_streams_open(lab->h2), 0);
    lab_destroy(lab);
}

/* A reader that gives no window, or a byte of it now and then. */
static void a_stalled_stream_is_reset(void **state)
{
    (void)state;
    for (int dribbles = 0; dribbles < 2; dribbles++) {
        struct lab *lab = server();
        struct call *call = &lab->calls[0];
        char *text = calloc(1, 4096);

        put_setting(&lab->in, 4, 0);
        put_headers(&lab->in, 1, END_STREAM, GET_FIELDS);
        lab_run(lab, 0);
        call->out_text = pn_slice(text, 4096);
        pn_source_init(&call->out, &lab_source_ops, false);
        assert_int_equal(pn_h2_respond(call->stream, 200, NULL, &call->out), PN_OK);
        for (int second = 0; second < 61; second++) {
            lab_flush(lab);
            assert_false(call->is_closed);
            if (dribbles == 1)
                put_frame_u32(&lab->in, WINDOW_UPDATE, 1, 1);
            lab_run(lab, 0);
            pn_h2_check(lab->h2, lab->now_ms);
            lab->now_ms += 1000;
        }
        pn_h2_check(lab->h2, lab->now_ms);
        lab_run(lab, 0);
        assert_true(call->is_closed);
        assert_int_equal(call->code, PN_H2_CANCEL);
        assert_int_equal(find_sent(lab, RST_STREAM, 1)->value, PN_H2_CANCEL);
        free(text);
        lab_destroy(lab);
    }
}

static void a_slow_reader_that_reads_is_not_reset(void **state)
{
    struct lab *lab = server();
    struct call *call = &lab->calls[0];
    char *text = calloc(1, 100000);

    (void)state;
    put_setting(&lab->in, 4, 0);
    put_headers(&lab->in, 1, END_STREAM, GET_FIELDS);
    lab_run(lab, 0);
    call->out_text = pn_slice(text, 100000);
    pn_source_init(&call->out, &lab_source_ops, false);
    assert_int_equal(pn_h2_respond(call->stream, 200, NULL, &call->out), PN_OK);
    for (int second = 0; second < 300; second++) {
        if (second % 50 == 0)
            put_frame_u32(&lab->in, WINDOW_UPDATE, 1, 1024);
        lab_run(lab, 0);
        pn_h2_check(lab->h2, lab->now_ms);
        lab->now_ms += 1000;
    }
    assert_false(call->is_closed);
    free(text);
    lab_destroy(lab);
}

/* The peer gives no window, but there is nothing that could go either. */
static void a_body_that_waits_for_its_source_is_not_reset(void **state)
{
    struct lab *lab = server();
    struct call *call = &lab->calls[0];

    (void)state;
    put_setting(&lab->in, 4, 0);
    put_headers(&lab->in, 1, END_STREAM, GET_FIELDS);
    lab_run(lab, 0);
    pn_source_init(&call->out, &lab_source_ops, false);
    call->source_rc = PN_AGAIN;
    assert_int_equal(pn_h2_respond(call->stream, 200, NULL, &call->out), PN_OK);
    for (int second = 0; second < 200; second++) {
        lab_run(lab, 0);
        pn_h2_check(lab->h2, lab->now_ms);
        lab->now_ms += 1000;
        if (second == 100) /* for nothing */
            pn_h2_resume(call->stream);
    }
    lab_run(lab, 0);
    assert_false(call->is_closed);
    call->source_rc = PN_OK;
    call->out_text = PN_LIT("now it has");
    pn_h2_resume(call->stream);
    for (int second = 0; second < 62; second++) {
        lab_run(lab, 0);
        pn_h2_check(lab->h2, lab->now_ms);
        lab->now_ms += 1000;
    }
    lab_run(lab, 0);
    assert_true(call->is_closed);
    lab_destroy(lab);
}

/* ---- floods ---- */

static void flood_ping(struct pn_buf *in, uint32_t i)
{
    (void)i;
    put_raw(in, 8, PING, 0, 0);
}

static void flood_settings(struct pn_buf *in, uint32_t i)
{
    (void)i;
    put_raw(in, 0, SETTINGS, 0, 0);
}

static void flood_priority(struct pn_buf *in, uint32_t i)
{
    put_raw(in, 5, PRIORITY, 0, 3 + 2 * i);
}

static void flood_empty_data(struct pn_buf *in, uint32_t i)
{
    (void)i;
    put_raw(in, 0, DATA, 0, 1);
}

static void flood_padded_data(struct pn_buf *in, uint32_t i)
{
    (void)i;
    put_frame(in, DATA, PADDED, 1, pn_slice("\0", 1));
}

static void flood_windows(struct pn_buf *in, uint32_t i)
{
    (void)i;
    put_frame_u32(in, WINDOW_UPDATE, 0, 1);
}

/* CVE-2023-44487. */
static void flood_resets(struct pn_buf *in, uint32_t i)
{
    put_headers(in, 3 + 2 * i, END_STREAM, GET_FIELDS);
    put_frame_u32(in, RST_STREAM, 3 + 2 * i, PN_H2_CANCEL);
}

/* CVE-2025-8671: the server is made to reset. */
static void flood_provoked_resets(struct pn_buf *in, uint32_t i)
{
    put_headers(in, 3 + 2 * i, 0, GET_FIELDS "content-length|1\n");
    put_frame(in, DATA, END_STREAM, 3 + 2 * i, PN_LIT("ab"));
}

static void flood_window_overflow(struct pn_buf *in, uint32_t i)
{
    put_headers(in, 3 + 2 * i, 0, GET_FIELDS);
    put_frame_u32(in, WINDOW_UPDATE, 3 + 2 * i, 0x7fffffffu);
}

static void floods_are_ended_at_their_limit(void **state)
{
    static const struct {
        const char *name;
        void (*put)(struct pn_buf *in, uint32_t i);
        enum pn_limit limit;
        uint32_t extra; /* of that kind, that belong to the beginning */
    } cases[] = {
        {"ping", flood_ping, PN_LIMIT_H2_PINGS, 0},
        {"settings", flood_settings, PN_LIMIT_H2_SETTINGS, 1},
        {"priority", flood_priority, PN_LIMIT_H2_PRIORITIES, 0},
        {"empty data", flood_empty_data, PN_LIMIT_H2_EMPTY_DATA, 0},
        {"padded data", flood_padded_data, PN_LIMIT_H2_EMPTY_DATA, 0},
        {"windows", flood_windows, PN_LIMIT_H2_WINDOW_UPDATES, 0},
        {"resets", flood_resets, PN_LIMIT_H2_RESETS, 0},
        {"provoked resets", flood_provoked_resets, PN_LIMIT_H2_RESETS, 0},
        {"window overflow", flood_window_overflow, PN_LIMIT_H2_RESETS, 0},
    };
    enum { MANY = 20 };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct lab *lab = lab_create();
        int64_t hits = pn_limit_hits(cases[i].limit);

        pn_h2_config_init(&lab->config, PN_H2_SERVER);
        lab->config.resets_per_minute = MANY;
        lab->config.pings_per_minute = MANY;
        lab->config.settings_per_minute = MANY;
        lab->config.priorities_per_minute = MANY;
        lab->config.empty_data_per_minute = MANY;
        lab->config.window_updates_per_minute = MANY;
        lab->answers = false;
        lab_open(lab, PN_H2_SERVER);
        put_start(lab);
        open_stream(&lab->in, 1);
        for (uint32_t k = 0; k < MANY - cases[i].extra; k++)
            cases[i].put(&lab->in, k);
        lab_run(lab, 0);
        if (lab->has_goaway)
            fail_msg("%s: below the limit", cases[i].name);
        lab->now_ms += 60000 / MANY; /* one more may come now */
        cases[i].put(&lab->in, MANY);
        lab_run(lab, 0);
        if (lab->has_goaway)
            fail_msg("%s: at the limit", cases[i].name);
        cases[i].put(&lab->in, MANY + 1);
        lab_run(lab, 0);
        if (!lab->has_goaway || lab->goaway != PN_H2_ENHANCE_YOUR_CALM)
            fail_msg("%s: above the limit (%d, %u)", cases[i].name, (int)lab->has_goaway,
                     lab->goaway);
        assert_int_equal(pn_h2_receive(lab->h2, PN_LIT("x"), 0), PN_LIMIT);
        assert_int_equal(pn_limit_hits(cases[i].limit), hits + 1);
        lab_destroy(lab);
    }
}

/* Who takes his answers may go on as long as he likes. */
static void cancelling_now_and_then_is_no_flood(void **state)
{
    struct lab *lab = lab_create();

    (void)state;
    pn_h2_config_init(&lab->config, PN_H2_SERVER);
    lab->config.resets_per_minute = 10;
    lab_open(lab, PN_H2_SERVER);
    put_start(lab);
    for (uint32_t round = 0; round < 1000; round++) {
        lab->count = 0;
        memset(lab->calls, 0, 3 * sizeof(lab->calls[0]));
        put_headers(&lab->in, 4 * round + 1, 0, GET_FIELDS);
        put_frame_u32(&lab->in, RST_STREAM, 4 * round + 1, PN_H2_CANCEL);
        put_headers(&lab->in, 4 * round + 3, END_STREAM, GET_FIELDS);
        lab->sent_count = 0;
        lab_run(lab, 0);
        assert_false(lab->has_goaway);
        for (size_t i = 0; i < lab->count; i++) {
            pn_arena_destroy(lab->calls[i].arena);
            pn_buf_fini(&lab->calls[i].body);
        }
        lab->count = 0;
    }
    lab_destroy(lab);
}

/* CVE-2024-27316: a head without an end. */
static void continuations_have_a_limit(void **state)
{
    (void)state;
    for (size_t step = 0; step < 2; step++) {
        for (int extra = 0; extra < 2; extra++) {
            int64_t hits = pn_limit_hits(PN_LIMIT_H2_CONTINUATIONS);
            struct lab *lab = server();
            struct pn_buf block;

            pn_buf_init(&block, 1u << 16);
            put_fields(&block, GET_FIELDS);
            put_frame(&lab->in, HEADERS, END_STREAM, 1, pn_buf_slice(&block));
            for (unsigned i = 1; i < PN_LIMIT_H2_CONTINUATIONS_DEFAULT; i++)
                put_frame(&lab->in, CONTINUATION, 0, 1, PN_LIT("\0\1x\1y"));
            if (extra == 1)
                put_frame(&lab->in, CONTINUATION, 0, 1, PN_LIT("\0\1x\1y"));
            put_frame(&lab->in, CONTINUATION, END_HEADERS, 1, PN_LIT("\0\1x\1y"));
            lab_run(lab, step);
            assert_int_equal(lab->has_goaway, extra == 1);
            assert_int_equal(pn_limit_hits(PN_LIMIT_H2_CONTINUATIONS), hits + extra);
            if (extra == 1)
                assert_int_equal(lab->goaway, PN_H2_ENHANCE_YOUR_CALM);
            else
                assert_non_null(lab->calls[0].request);
            pn_buf_fini(&block);
            lab_destroy(lab);
        }
    }
}

/* A few bytes that unpack into many: one entry of the table, named again and again. */
static void an_hpack_bomb_has_a_limit(void **state)
{
    int64_t hits = pn_limit_hits(PN_LIMIT_H2_HEAD_BYTES);
    struct lab *lab = server();
    struct pn_buf block;
    char value[3000];

    (void)state;
    memset(value, 'v', sizeof(value));
    pn_buf_init(&block, 1u << 20);
    put_fields(&block, GET_FIELDS);
    put(&block, "\x40", 1); /* with indexing: becomes entry 62 */
    put_hpack_string(&block, PN_LIT("x"));
    put_hpack_string(&block, pn_slice(value, sizeof(value)));
    for (int i = 0; i < 30; i++)
        put(&block, "\xbe", 1);
    put_frame(&lab->in, HEADERS, END_HEADERS | END_STREAM, 1, pn_buf_slice(&block));
    lab_run(lab, 0);
    assert_false(lab->has_goaway); /* 93 KB: refused on its stream */
    assert_int_equal(lab->calls[0].refused, 431);
    pn_buf_clear(&block);
    for (int i = 0; i < 100; i++)
        put(&block, "\xbe", 1);
    put_frame(&lab->in, HEADERS, END_HEADERS | END_STREAM, 3, pn_buf_slice(&block));
    lab_run(lab, 0);
    assert_true(lab->has_goaway); /* 303 KB */
    assert_int_equal(pn_limit_hits(PN_LIMIT_H2_HEAD_BYTES), hits + 1);
    assert_int_equal(lab->goaway, PN_H2_ENHANCE_YOUR_CALM);
    pn_buf_fini(&block);
    lab_destroy(lab);
}

static void streams_above_the_number_are_refused(void **state)
{
    (void)state;
    for (int has_acked = 0; has_acked < 2; has_acked++) {
        int64_t hits = pn_limit_hits(PN_LIMIT_H2_STREAMS);
        struct lab *lab = lab_create();

        pn_h2_config_init(&lab->config, PN_H2_SERVER);
        lab->config.streams_max = 3;
        lab->answers = false;
        lab_open(lab, PN_H2_SERVER);
        put_start(lab);
        if (has_acked == 1)
            put_frame(&lab->in, SETTINGS, ACK, 0, pn_slice("", 0));
        lab_run(lab, 0);
        for (uint32_t id = 1; id < 9; id += 2)
            put_headers(&lab->in, id, END_STREAM, GET_FIELDS);
        lab_run(lab, 0);
        assert_int_equal(lab->count, 3);
        assert_int_equal(pn_limit_hits(PN_LIMIT_H2_STREAMS), hits + 1);
        if (has_acked == 1)
            assert_int_equal(lab->goaway, PN_H2_PROTOCOL_ERROR);
        else
            assert_int_equal(find_sent(lab, RST_STREAM, 7)->value, PN_H2_REFUSED_STREAM);
        lab_destroy(lab);
    }
}

/* A peer that asks and does not read: nothing grows without a bound. */
static void answers_that_nobody_reads_have_a_limit(void **state)
{
    int64_t hits = pn_limit_hits(PN_LIMIT_H2_QUEUED_FRAMES);
    struct lab *lab = lab_create();
    bool was_full = false;

    (void)state;
    pn_h2_config_init(&lab->config, PN_H2_SERVER);
    lab->config.pings_per_minute = 100000;
    lab->config.queued_frames_max = 100;
    lab_open(lab, PN_H2_SERVER);
    put_start(lab);
    lab_run(lab, 0);
    for (int i = 0; i < 102; i++) {
        put_raw(&lab->in, 8, PING, 0, 0);
        lab->rc = pn_h2_receive(lab->h2, pn_buf_slice(&lab->in), lab->now_ms);
        pn_buf_clear(&lab->in);
        if (lab->rc == PN_OK && !pn_h2_wants_input(lab->h2))
            was_full = true;
    }
    assert_true(was_full);
    assert_int_equal(lab->rc, PN_LIMIT);
    assert_int_equal(pn_limit_hits(PN_LIMIT_H2_QUEUED_FRAMES), hits + 1);
    lab_run(lab, 0);
    assert_int_equal(lab->goaway, PN_H2_ENHANCE_YOUR_CALM);
    lab_destroy(lab);
}

static void termination_says_why(void **state)
{
    struct lab *lab = server();

    (void)state;
    put_headers(&lab->in, 1, END_STREAM, GET_FIELDS);
    lab_run(lab, 0);
    pn_h2_terminate(lab->h2, PN_H2_ENHANCE_YOUR_CALM);
    lab_run(lab, 0);
    assert_int_equal(lab->goaway, PN_H2_ENHANCE_YOUR_CALM);
    assert_int_equal(lab->out_rc, PN_EOF);
    lab_destroy(lab);
}

static void the_peers_goaway_is_told_and_ends_when_streams_have(void **state)
{
    struct lab *lab = server();

    (void)state;
    put_headers(&lab->in, 1, END_STREAM, GET_FIELDS);
    put_raw(&lab->in, 8, GOAWAY, 0, 0);
    lab_run(lab, 0);
    assert_int_equal(lab->goaways, 1);
    assert_int_equal(lab->rc, PN_OK);
    lab_answer(lab, &lab->calls[0]);
    lab_run(lab, 0);
    assert_int_equal(find_sent(lab, HEADERS, 1)->status, 200);
    assert_int_equal(lab->out_rc, PN_EOF);
    assert_false(pn_h2_wants_input(lab->h2));
    lab_destroy(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_frames_end_the_connection),
        cmocka_unit_test(broken_frames_end_their_stream_only),
        cmocka_unit_test(streams_far_behind_the_last_one_go_on),
        cmocka_unit_test(frames_that_are_allowed_are_taken),
        cmocka_unit_test(the_preface_must_be_right),
        cmocka_unit_test(settings_must_come_first),
        cmocka_unit_test(a_window_that_is_overrun_is_an_error),
        cmocka_unit_test(window_is_given_back_for_what_was_used_only),
        cmocka_unit_test(a_stream_that_has_ended_is_given_no_window),
        cmocka_unit_test(window_is_lent_to_streams_that_move),
        cmocka_unit_test(what_nobody_reads_gives_its_window_back),
        cmocka_unit_test(a_stalled_stream_is_reset),
        cmocka_unit_test(a_body_that_waits_for_its_source_is_not_reset),
        cmocka_unit_test(a_slow_reader_that_reads_is_not_reset),
        cmocka_unit_test(floods_are_ended_at_their_limit),
        cmocka_unit_test(cancelling_now_and_then_is_no_flood),
        cmocka_unit_test(continuations_have_a_limit),
        cmocka_unit_test(an_hpack_bomb_has_a_limit),
        cmocka_unit_test(streams_above_the_number_are_refused),
        cmocka_unit_test(answers_that_nobody_reads_have_a_limit),
        cmocka_unit_test(termination_says_why),
        cmocka_unit_test(the_peers_goaway_is_told_and_ends_when_streams_have),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
