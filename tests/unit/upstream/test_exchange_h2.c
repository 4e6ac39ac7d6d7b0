/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests over HTTP/2: who shares a connection, who waits for it, what is sent again, and what a
 * reset or a lost connection does to each. The backend is our own engine, played by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/socket.h>
#include <unistd.h>

#include "http/h2.h"
#include "upstream/support.h"

#define USERS       4
#define STREAMS_MAX 16

/** The backend's end of one connection. */
struct peer {
    int fd;
    struct pn_h2 *h2;
    struct pn_arena *arena;
    struct pn_h2_stream *streams[STREAMS_MAX]; /* in the order in which they came */
    bool is_post[STREAMS_MAX];
    size_t count;
    unsigned resets; /* by the gateway */
    uint32_t reset_code;
};

struct fixture {
    struct pn_fake_backend backend;
    struct pn_fake_user users[USERS];
    struct pn_h2_memory *memory;
    struct peer peers[3];
    size_t peer_count;
};

/* --- the backend --- */

static struct pn_arena *on_begin(void *ctx, struct pn_h2_stream *stream)
{
    struct peer *peer = ctx;

    (void)stream;
    return peer->arena;
}

static void on_request(void *ctx, struct pn_h2_stream *stream,
                       const struct pn_request_head *request)
{
    struct peer *peer = ctx;

    assert_true(peer->count < STREAMS_MAX);
    peer->is_post[peer->count] = pn_slice_eq_str(request->method, "POST");
    peer->streams[peer->count++] = stream;
}

static void on_closed(void *ctx, struct pn_h2_stream *stream, uint32_t code)
{
    struct peer *peer = ctx;

    for (size_t i = 0; i < peer->count; i++) {
        if (peer->streams[i] == stream)
            peer->streams[i] = NULL;
    }
    if (!stream->is_reset_by_peer)
        return;
    peer->resets++;
    peer->reset_code = code;
}

static const struct pn_h2_events events = {
    .on_begin = on_begin,
    .on_request = on_request,
    .on_closed = on_closed,
};

static struct peer *accept_peer(struct fixture *f)
{
    struct peer *peer = &f->peers[f->peer_count];
    struct pn_h2_config config;

    peer->fd = pn_fake_accept(&f->backend);
    if (peer->fd < 0)
        return NULL;
    f->peer_count++;
    pn_h2_config_init(&config, PN_H2_SERVER);
    peer->arena = pn_arena_create(8192, 1024u * 1024);
    peer->h2 = pn_h2_create(PN_H2_SERVER, &config, &events, peer, f->memory, 0);
    assert_non_null(peer->h2);
    return peer;
}

static void end_peer(struct peer *peer)
{
    if (!peer->h2)
        return;
    pn_h2_destroy(peer->h2);
    pn_arena_destroy(peer->arena);
    close(peer->fd);
    peer->h2 = NULL;
}

static void receive(struct peer *peer)
{
    char bytes[16384];
    ssize_t got;

    for (got = recv(peer->fd, bytes, sizeof(bytes), 0); got > 0;
         got = recv(peer->fd, bytes, sizeof(bytes), 0))
        (void)!pn_h2_receive(peer->h2, pn_slice(bytes, (size_t)got), 0);
}

static void transmit(struct peer *peer)
{
    struct pn_buf out;

    pn_buf_init(&out, 65536);
    (void)!pn_h2_output(peer->h2, &out, 65536, 0);
    if (out.len > 0)
        (void)!send(peer->fd, out.ptr, out.len, MSG_NOSIGNAL);
    pn_buf_fini(&out);
}

/** Both ends say what they have to say. */
static void settle(struct fixture *f)
{
    for (int i = 0; i < 6; i++) {
        pn_fake_turns(&f->backend, 2);
        for (size_t p = 0; p < f->peer_count; p++) {
            if (f->peers[p].h2) {
                receive(&f->peers[p]);
                transmit(&f->peers[p]);
            }
        }
    }
}

static void respond(struct fixture *f, struct pn_h2_stream *stream, struct pn_source *body)
{
    struct pn_headers headers;

    pn_headers_init(&headers, f->peers[0].arena);
    assert_int_equal(pn_h2_respond(stream, 200, &headers, body), PN_OK);
}

/* --- the gateway --- */

static int set_up(void **state)
{
    static const struct pn_pool_limits limits = PN_POOL_LIMITS_DEFAULT;
    struct fixture *f = calloc(1, sizeof(*f));

    pn_fake_open(&f->backend, &limits);
    for (size_t i = 0; i < USERS; i++)
        pn_fake_user_init(&f->users[i], &f->backend);
    f->memory = pn_h2_memory_create();
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < USERS; i++)
        pn_fake_user_fini(&f->users[i]);
    for (size_t i = 0; i < f->peer_count; i++)
        end_peer(&f->peers[i]);
    pn_h2_memory_destroy(f->memory);
    pn_fake_close(&f->backend);
    free(f);
    return 0;
}

static void start(struct fixture *f, size_t user, const char *method, const char *text, bool ends)
{
    struct pn_exchange_spec spec = pn_fake_spec(&f->users[user], &f->backend, method, text, ends);

    spec.demand.is_h2c = true;
    f->users[user].failures = 0;
    f->users[user].heads = 0;
    assert_int_equal(pn_exchange_start(&f->users[user].exchange, &spec), PN_OK);
}

/** A request that was answered, so that there is a connection that was used before. */
static struct peer *warm_up(struct fixture *f)
{
    struct peer *peer;

    start(f, 0, "GET", NULL, true);
    peer = accept_peer(f);
    assert_non_null(peer);
    settle(f);
    assert_int_equal(peer->count, 1);
    respond(f, peer->streams[0], NULL);
    settle(f);
    assert_int_equal(f->users[0].heads, 1);
    pn_exchange_finish(&f->users[0].exchange);
    settle(f);
    return peer;
}

static void requests_wait_for_the_first_connection_and_share_it(void **state)
{
    struct fixture *f = *state;
    struct peer *peer;

    for (size_t i = 0; i < USERS; i++)
        start(f, i, "GET", NULL, true);
    peer = accept_peer(f);
    assert_non_null(peer);
    pn_fake_turns(&f->backend, 5);
    receive(peer);
    assert_int_equal(peer->count, 1); /* the others wait for its SETTINGS */
    settle(f);
    assert_int_equal(peer->count, USERS);
    assert_null(accept_peer(f));
    for (size_t i = 0; i < USERS; i++)
        respond(f, peer->streams[i], NULL);
    settle(f);
    for (size_t i = 0; i < USERS; i++) {
        assert_int_equal(f->users[i].heads, 1);
        assert_string_equal(pn_fake_answer(&f->users[i]), "");
        assert_true(f->users[i].exchange.answer->has_ended);
    }
}

static void failed_connection_fails_all_who_waited_for_it(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < USERS; i++)
        start(f, i, "GET", NULL, true);
    close(f->backend.listener);
    f->backend.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pn_fake_turns(&f->backend, 10);
    for (size_t i = 0; i < USERS; i++)
        assert_int_equal(f->users[i].failures, 1);
    assert_int_equal(pn_pool_open_count(f->backend.pool), 0);
}

static void refused_stream_is_sent_once_more_elsewhere(void **state)
{
    struct fixture *f = *state;
    struct peer *first = warm_up(f);
    struct peer *second;

    start(f, 1, "POST", NULL, true);
    settle(f);
    assert_int_equal(first->count, 2);
    pn_h2_reset(first->streams[1], PN_H2_REFUSED_STREAM);
    settle(f);
    second = accept_peer(f);
    assert_non_null(second);
    settle(f);
    assert_int_equal(second->count, 1);
    assert_true(second->is_post[0]);
    pn_h2_reset(second->streams[0], PN_H2_REFUSED_STREAM);
    settle(f);
    assert_int_equal(f->users[1].failures, 1);
    assert_string_equal(f->users[1].exchange.failure.code, "stream_refused");
    assert_true(f->users[1].exchange.failure.is_unsent);
}

static void refused_stream_whose_body_was_taken_is_not_sent_again(void **state)
{
    struct fixture *f = *state;
    struct peer *peer = warm_up(f);

    start(f, 1, "PUT", "abc", false);
    settle(f);
    assert_int_equal(peer->count, 2);
    pn_h2_reset(peer->streams[1], PN_H2_REFUSED_STREAM);
    settle(f);
    assert_int_equal(f->users[1].failures, 1);
    assert_null(accept_peer(f));
}

static void lost_connection_repeats_what_is_idempotent_and_fails_the_rest(void **state)
{
    struct fixture *f = *state;
    struct peer *first = warm_up(f);
    struct peer *second;

    start(f, 1, "GET", NULL, true);
    start(f, 2, "POST", NULL, true);
    start(f, 3, "PUT", "abc", false);
    settle(f);
    assert_int_equal(first->count, 4);
    end_peer(first);
    settle(f);
    assert_int_equal(f->users[1].failures, 0);
    assert_int_equal(f->users[2].failures, 1);
    assert_int_equal(f->users[3].failures, 1);
    assert_string_equal(f->users[2].exchange.failure.code, "connection_closed");
    second = accept_peer(f);
    assert_non_null(second);
    settle(f);
    assert_int_equal(second->count, 1);
    end_peer(second); /* a new connection: its loss is final */
    settle(f);
    assert_int_equal(f->users[1].failures, 1);
    assert_int_equal(pn_pool_open_count(f->backend.pool), 0);
}

static void goaway_takes_no_new_request_and_lets_the_others_end(void **state)
{
    struct fixture *f = *state;
    struct peer *first = warm_up(f);
    struct peer *second;

    start(f, 1, "GET", NULL, true);
    settle(f);
    pn_h2_shutdown(first->h2);
    settle(f);
    start(f, 2, "GET", NULL, true);
    second = accept_peer(f);
    assert_non_null(second);
    settle(f);
    assert_int_equal(second->count, 1);
    respond(f, first->streams[1], NULL);
    settle(f);
    assert_int_equal(f->users[1].heads, 1);
    pn_exchange_finish(&f->users[1].exchange);
    settle(f);
    assert_int_equal(pn_pool_open_count(f->backend.pool), 1);
}

static void reset_behind_the_head_breaks_the_answer_with_its_code(void **state)
{
    static const struct {
        uint32_t code, out;
    } codes[] = {{PN_H2_CANCEL, PN_H2_CANCEL},
                 {PN_H2_ENHANCE_YOUR_CALM, PN_H2_ENHANCE_YOUR_CALM},
                 {PN_H2_INADEQUATE_SECURITY, PN_H2_INADEQUATE_SECURITY},
                 {PN_H2_REFUSED_STREAM, PN_H2_INTERNAL_ERROR},
                 {PN_H2_PROTOCOL_ERROR, PN_H2_INTERNAL_ERROR}};
    struct fixture *f = *state;
    struct peer *peer = warm_up(f);

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        struct pn_fake_source body = {.text = "part"};
        struct pn_h2_stream *stream;

        start(f, 1, "GET", NULL, true);
        settle(f);
        stream = peer->streams[peer->count - 1];
        pn_fake_source_init(&body);
        respond(f, stream, &body.source);
        settle(f);
        assert_int_equal(f->users[1].heads, 1);
        assert_string_equal(pn_fake_answer(&f->users[1]), "part");
        pn_h2_reset(stream, codes[i].code);
        settle(f);
        assert_int_not_equal(f->users[1].exchange.answer->failure, PN_OK);
        assert_int_equal(f->users[1].exchange.reset_code, codes[i].out);
        assert_int_equal(f->users[1].failures, 0);
        pn_exchange_cancel(&f->users[1].exchange);
    }
}

static void cancelled_request_is_reset_and_leaves_the_others_alone(void **state)
{
    struct fixture *f = *state;
    struct peer *peer = warm_up(f);

    start(f, 1, "GET", NULL, true);
    start(f, 2, "GET", NULL, true);
    settle(f);
    pn_exchange_cancel(&f->users[1].exchange);
    settle(f);
    assert_int_equal(peer->resets, 1);
    assert_int_equal(peer->reset_code, PN_H2_CANCEL);
    respond(f, peer->streams[2], NULL);
    settle(f);
    assert_int_equal(f->users[2].heads, 1);
}

static void body_in_many_pieces_arrives_as_it_was(void **state)
{
    struct fixture *f = *state;
    struct peer *peer = warm_up(f);
    char expected[2000];
    size_t len = 0;

    start(f, 1, "POST", "piece 0,", false);
    settle(f);
    for (int i = 0; i < 100; i++) {
        f->users[1].body.text = "another piece";
        pn_exchange_send(&f->users[1].exchange);
        settle(f);
    }
    f->users[1].body.ends = true;
    pn_exchange_send(&f->users[1].exchange);
    settle(f);
    memcpy(expected, "piece 0,", 8);
    for (len = 8; len < 8 + 100 * 13; len += 13)
        memcpy(expected + len, "another piece", 13);
    for (size_t at = 0; at < len;) {
        struct pn_source *in = &peer->streams[1]->in;

        assert_int_equal(pn_source_peek(in), PN_OK);
        assert_memory_equal(in->held.ptr, expected + at, in->held.len);
        at += in->held.len;
        pn_source_use(in, in->held.len);
    }
    assert_int_equal(pn_source_peek(&peer->streams[1]->in), PN_EOF);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(requests_wait_for_the_first_connection_and_share_it),
        TEST(failed_connection_fails_all_who_waited_for_it),
        TEST(refused_stream_is_sent_once_more_elsewhere),
        TEST(refused_stream_whose_body_was_taken_is_not_sent_again),
        TEST(lost_connection_repeats_what_is_idempotent_and_fails_the_rest),
        TEST(goaway_takes_no_new_request_and_lets_the_others_end),
        TEST(reset_behind_the_head_breaks_the_answer_with_its_code),
        TEST(cancelled_request_is_reset_and_leaves_the_others_alone),
        TEST(body_in_many_pieces_arrives_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
