/* SPDX-License-Identifier: Apache-2.0
 *
 * The client's side of the HTTP/2 engine against the server's, in memory; every case whole and byte
 * by byte, and with little room for output.
 */
#include "http/h2_internal.h"
#include "http/h2_lab.h"

struct pair {
    struct lab *server;
    struct lab *client;
    size_t step;
    size_t max;
};

static const struct {
    size_t step, max;
} ways[] = {{0, 16384}, {1, 16384}, {7, 64}, {0, 10}};
enum { WAYS = sizeof(ways) / sizeof(ways[0]) };

static struct pair pair_create(size_t way)
{
    struct pair pair = {lab_create(), lab_create(), ways[way].step, ways[way].max};

    return pair;
}

static void pair_open(struct pair *pair)
{
    lab_open(pair->server, PN_H2_SERVER);
    lab_open(pair->client, PN_H2_CLIENT);
}

static void pair_destroy(struct pair *pair)
{
    lab_destroy(pair->client);
    lab_destroy(pair->server);
}

/* What `from` has to say at once, to `to`. True: something was said. */
static bool carry(struct pair *pair, struct lab *from, struct lab *to)
{
    struct pn_slice rest;
    bool has_said = false;

    if (from->out_rc == PN_OK && pn_h2_wants_output(from->h2)) {
        from->out_rc = pn_h2_output(from->h2, &from->out, pair->max, from->now_ms);
        assert_true(from->out_rc == PN_OK || from->out_rc == PN_EOF);
        assert_true(from->out.len <= pair->max);
    }
    rest = pn_buf_slice(&from->out);
    while (rest.len > 0) {
        size_t len = pair->step > 0 && pair->step < rest.len ? pair->step : rest.len;

        to->rc = pn_h2_receive(to->h2, pn_slice_sub(rest, 0, len), to->now_ms);
        rest = pn_slice_sub(rest, len, rest.len);
        has_said = true;
    }
    pn_buf_clear(&from->out);
    return has_said;
}

static void talk(struct pair *pair)
{
    bool is_quiet = false;

    while (!is_quiet) {
        bool a = carry(pair, pair->client, pair->server);
        bool b = carry(pair, pair->server, pair->client);

        is_quiet = !a && !b;
    }
}

static struct call *ask(struct pair *pair, const char *method, struct pn_slice body, bool has_body)
{
    struct lab *lab = pair->client;
    struct call *call = &lab->calls[lab->count];
    struct pn_headers headers;
    struct pn_h2_request request = {
        .method = pn_slice_str(method),
        .scheme = PN_LIT("https"),
        .authority = PN_LIT("a.example"),
        .path = PN_LIT("/p?q"),
        .headers = &headers,
        .user = call,
    };

    assert_true(lab->count < CALLS);
    lab->count++;
    call->arena = pn_arena_create(4096, 1u << 22);
    pn_buf_init(&call->body, 1u << 26);
    pn_headers_init(&headers, call->arena);
    assert_int_equal(pn_headers_add(&headers, PN_LIT("X-Mixed-Case"), PN_LIT("Value")), PN_OK);
    assert_int_equal(pn_headers_add(&headers, PN_LIT("Connection"), PN_LIT("close")), PN_OK);
    assert_int_equal(pn_headers_add(&headers, PN_LIT("Host"), PN_LIT("other")), PN_OK);
    request.arena = call->arena;
    call->out_text = body;
    pn_source_init(&call->out, &lab_source_ops, !has_body);
    request.body = &call->out;
    assert_int_equal(pn_h2_request(lab->h2, &request, &call->stream), PN_OK);
    call->id = call->stream->id;
    return call;
}

static void each_way(void (*test)(struct pair *pair))
{
    for (size_t i = 0; i < WAYS; i++) {
        struct pair pair = pair_create(i);

        pair_open(&pair);
        test(&pair);
        pair_destroy(&pair);
    }
}

static void ask_and_get(struct pair *pair)
{
    struct call *mine = ask(pair, "GET", PN_LIT(""), false);
    const struct call *theirs = &pair->server->calls[0];

    assert_true(pair->client->asks > 0);
    talk(pair);
    assert_non_null(theirs->request);
    expect_slice(theirs->request->method, "GET");
    expect_slice(theirs->request->target, "/p?q");
    expect_slice(theirs->request->path, "/p");
    expect_slice(theirs->request->query, "q");
    expect_slice(theirs->request->host, "a.example");
    expect_slice(pn_headers_get(&theirs->request->headers, "host"), "a.example");
    expect_slice(pn_headers_get(&theirs->request->headers, "x-mixed-case"), "Value");
    assert_int_equal(pn_headers_count(&theirs->request->headers, "host"), 1);
    assert_false(pn_headers_has(&theirs->request->headers, "connection"));
    assert_int_equal(theirs->request->framing, PN_BODY_NONE);
    assert_non_null(mine->response);
    assert_int_equal(mine->response->status, 200);
    expect_slice(pn_headers_get(&mine->response->headers, "x-answer"), "yes");
    assert_true(mine->has_ended && mine->is_closed && theirs->is_closed && theirs->is_sent);
    assert_int_equal(mine->code, PN_H2_NO_ERROR);
    assert_int_equal(pn_h2_streams_open(pair->client->h2), 0);
    assert_int_equal(pn_h2_streams_open(pair->server->h2), 0);
}

static void a_request_is_answered(void **state)
{
    (void)state;
    each_way(ask_and_get);
}

static char *pattern(size_t len)
{
    char *text = malloc(len);

    assert_non_null(text);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)(i * 7 % 251);
    return text;
}

enum { BIG = 700000 };

static void post_big(struct pair *pair)
{
    char *text = pattern(BIG);
    struct call *mine = ask(pair, "POST", pn_slice(text, BIG), true);
    const struct call *theirs = &pair->server->calls[0];

    talk(pair);
    assert_int_equal(theirs->request->framing, PN_BODY_STREAMED);
    assert_int_equal(theirs->body.len, BIG);
    assert_memory_equal(theirs->body.ptr, text, BIG);
    assert_true(theirs->has_ended && mine->is_closed && mine->is_sent);
    free(text);
}

static void a_body_larger_than_every_window_arrives(void **state)
{
    struct pair pair = pair_create(0);

    (void)state;
    pair_open(&pair);
    post_big(&pair);
    pair_destroy(&pair);
}

/* Pieces that share a frame, in an output that has to grow for it. */
static void a_body_in_pieces_arrives_whole(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 20000; piece = piece * 7 + 1) {
        struct pair pair = pair_create(0);
        char *text = pattern(60000);
        struct call *mine = NULL;

        pair_open(&pair);
        talk(&pair);
        mine = ask(&pair, "POST", pn_slice(text, 60000), true);
        mine->out_piece = piece;
        pn_buf_fini(&pair.client->out); /* begins with nothing, and holds no byte too many */
        pair.client->out.max = pair.max;
        talk(&pair);
        assert_int_equal(pair.server->calls[0].body.len, 60000);
        assert_memory_equal(pair.server->calls[0].body.ptr, text, 60000);
        free(text);
        pair_destroy(&pair);
    }
}

static void answer_with(struct call *call, struct pn_slice body)
{
    call->out_text = body;
    pn_source_init(&call->out, &lab_source_ops, false);
    assert_int_equal(pn_h2_respond(call->stream, 200, NULL, &call->out), PN_OK);
}

/* One stream of ten is not read: the others are not held up, and it goes on where it stopped. */
static void a_stalled_stream_does_not_block_the_others(void **state)
{
    struct pair pair = pair_create(0);
    char *text = pattern(BIG);

    (void)state;
    pair.server->answers = false;
    pair_open(&pair);
    for (int i = 0; i < 10; i++)
        ask(&pair, "GET", PN_LIT(""), false);
    pair.client->calls[3].reads_nothing = true;
    talk(&pair);
    for (size_t i = 0; i < 10; i++)
        answer_with(&pair.server->calls[i], pn_slice(text, BIG));
    talk(&pair);
    for (size_t i = 0; i < 10; i++) {
        const struct call *call = &pair.client->calls[i];

        assert_int_equal(call->is_closed, i != 3);
        assert_int_equal(call->body.len, i == 3 ? 0 : BIG);
        if (i != 3)
            assert_memory_equal(call->body.ptr, text, BIG);
    }
    pair.client->calls[3].reads_nothing = false;
    lab_pull(pair.client, &pair.client->calls[3]);
    assert_true(pn_h2_wants_output(pair.client->h2));
    talk(&pair);
    assert_int_equal(pair.client->calls[3].body.len, BIG);
    assert_true(pair.client->calls[3].is_closed);
    free(text);
    pair_destroy(&pair);
}

/* The end comes when the answer has been read, not when it has arrived. */
static void a_stream_is_not_closed_before_its_answer_is_read(void **state)
{
    struct pair pair = pair_create(0);
    struct call *mine = NULL;

    (void)state;
    pair.server->answers = false;
    pair_open(&pair);
    mine = ask(&pair, "GET", PN_LIT(""), false);
    mine->reads_nothing = true;
    talk(&pair);
    answer_with(&pair.server->calls[0], PN_LIT("hello"));
    talk(&pair);
    assert_true(pair.server->calls[0].is_closed);
    assert_false(mine->is_closed);
    mine->reads_nothing = false;
    lab_pull(pair.client, mine);
    talk(&pair);
    assert_true(mine->is_closed && mine->has_ended);
    assert_int_equal(mine->code, PN_H2_NO_ERROR);
    pair_destroy(&pair);
}

static void trailers_both_ways(struct pair *pair)
{
    struct call *mine = ask(pair, "POST", PN_LIT("up"), true);
    struct call *theirs = &pair->server->calls[0];
    struct pn_headers trailers;

    pn_headers_init(&trailers, mine->arena);
    assert_int_equal(pn_headers_add(&trailers, PN_LIT("X-Trailer"), PN_LIT("one")), PN_OK);
    mine->out.trailers = &trailers;
    talk(pair);
    expect_slice(pn_buf_slice(&theirs->body), "up");
    expect_slice(theirs->trailer, "one");
    answer_with(theirs, PN_LIT("down"));
    theirs->out.trailers = &trailers;
    talk(pair);
    expect_slice(pn_buf_slice(&mine->body), "down");
    expect_slice(mine->trailer, "one");
    assert_true(mine->is_closed && theirs->is_closed);
}

static void trailers_follow_bodies(void **state)
{
    (void)state;
    for (size_t i = 0; i < WAYS; i++) {
        struct pair pair = pair_create(i);

        pair.server->answers = false;
        pair_open(&pair);
        trailers_both_ways(&pair);
        pair_destroy(&pair);
    }
}

/* gRPC's shape of an error: no body at all, but trailers. */
static void trailers_follow_an_empty_body(void **state)
{
    struct pair pair = pair_create(0);
    struct call *mine = NULL;
    struct pn_headers trailers;

    (void)state;
    pair.server->answers = false;
    pair_open(&pair);
    mine = ask(&pair, "GET", PN_LIT(""), false);
    talk(&pair);
    pn_headers_init(&trailers, mine->arena);
    assert_int_equal(pn_headers_add(&trailers, PN_LIT("X-Trailer"), PN_LIT("two")), PN_OK);
    answer_with(&pair.server->calls[0], PN_LIT(""));
    pair.server->calls[0].out.trailers = &trailers;
    talk(&pair);
    expect_slice(mine->trailer, "two");
    assert_int_equal(mine->body.len, 0);
    assert_true(mine->is_closed);
    pair_destroy(&pair);
}

static void informational(struct pair *pair)
{
    struct call *mine = ask(pair, "GET", PN_LIT(""), false);
    struct call *theirs = &pair->server->calls[0];

    talk(pair);
    assert_int_equal(pn_h2_inform(theirs->stream, 103, NULL), PN_OK);
    assert_int_equal(pn_h2_inform(theirs->stream, 100, NULL), PN_OK);
    assert_int_equal(pn_h2_inform(theirs->stream, 101, NULL), PN_MALFORMED);
    lab_answer(pair->server, theirs);
    assert_int_equal(pn_h2_inform(theirs->stream, 100, NULL), PN_INVALID);
    assert_int_equal(pn_h2_respond(theirs->stream, 200, NULL, NULL), PN_INVALID);
    talk(pair);
    assert_int_equal(mine->informs, 103100);
    assert_int_equal(mine->response->status, 200);
    assert_true(mine->is_closed);
}

static void informational_answers_come_before_the_final_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < WAYS; i++) {
        struct pair pair = pair_create(i);

        pair.server->answers = false;
        pair_open(&pair);
        informational(&pair);
        pair_destroy(&pair);
    }
}

/* The body of a request comes piece by piece, as its source has it. */
static void a_source_that_has_nothing_is_resumed(void **state)
{
    struct pair pair = pair_create(0);
    struct call *mine = NULL;
    struct call *theirs = &pair.server->calls[0];

    (void)state;
    pair_open(&pair);
    mine = ask(&pair, "POST", PN_LIT("one "), true);
    mine->source_rc = PN_AGAIN;
    talk(&pair);
    assert_int_equal(theirs->body.len, 0);
    assert_false(pn_h2_wants_output(pair.client->h2));
    mine->source_rc = PN_OK;
    pn_h2_resume(mine->stream);
    talk(&pair);
    expect_slice(pn_buf_slice(&theirs->body), "one ");
    assert_true(theirs->has_ended && mine->is_closed);
    pair_destroy(&pair);
}

static void a_source_that_fails_is_told(void **state)
{
    struct pair pair = pair_create(0);
    struct call *mine = NULL;
    struct call *theirs = &pair.server->calls[0];

    (void)state;
    pair_open(&pair);
    mine = ask(&pair, "POST", PN_LIT("one"), true);
    mine->source_rc = PN_IO;
    talk(&pair);
    assert_null(mine->stream);
    assert_true(theirs->is_closed && theirs->is_reset_by_peer);
    assert_int_equal(theirs->code, PN_H2_INTERNAL_ERROR);
    assert_int_equal(theirs->failure, PN_IO);
    assert_int_equal(pn_h2_streams_open(pair.client->h2), 0);
    pair_destroy(&pair);
}

static void a_reset_is_told_to_the_other_side_only(void **state)
{
    (void)state;
    for (int who = 0; who < 2; who++) {
        struct pair pair = pair_create(0);
        struct call *mine = NULL;
        struct call *theirs = &pair.server->calls[0];
        struct call *first = NULL;
        struct call *second = NULL;

        pair.server->answers = false;
        pair_open(&pair);
        mine = ask(&pair, "POST", PN_LIT(""), true);
        mine->source_rc = PN_AGAIN;
        talk(&pair);
        first = who == 0 ? mine : theirs;
        second = who == 0 ? theirs : mine;
        pn_h2_reset(first->stream, who == 0 ? PN_H2_CANCEL : PN_H2_REFUSED_STREAM);
        talk(&pair);
        assert_false(first->is_closed);
        assert_true(second->is_closed && second->is_reset_by_peer);
        assert_int_equal(second->is_unprocessed, who == 1);
        assert_int_equal(pn_h2_streams_open(pair.client->h2), 0);
        assert_int_equal(pn_h2_streams_open(pair.server->h2), 0);
        pair_destroy(&pair);
    }
}

static void a_request_is_taken_back_before_it_is_sent(void **state)
{
    struct pair pair = pair_create(0);

    (void)state;
    pair_open(&pair);
    pn_h2_reset(ask(&pair, "GET", PN_LIT(""), false)->stream, PN_H2_CANCEL);
    talk(&pair);
    assert_int_equal(pair.server->count, 0);
    assert_int_equal(pn_h2_streams_open(pair.client->h2), 0);
    pair_destroy(&pair);
}

static void an_overloaded_server_refuses_unprocessed(void **state)
{
    struct pair pair = pair_create(0);
    struct call *mine = NULL;

    (void)state;
    pair.server->is_overloaded = true;
    pair_open(&pair);
    mine = ask(&pair, "GET", PN_LIT(""), false);
    talk(&pair);
    assert_true(mine->is_closed && mine->is_unprocessed);
    assert_int_equal(mine->code, PN_H2_REFUSED_STREAM);
    pair_destroy(&pair);
}

/* RFC 9113 §8.1: an early answer; the rest of the request is not wanted. */
static void an_early_answer_ends_the_request(void **state)
{
    struct pair pair = pair_create(0);
    struct call *mine = NULL;

    (void)state;
    pair.server->answers = false;
    pair_open(&pair);
    mine = ask(&pair, "POST", PN_LIT(""), true);
    mine->source_rc = PN_AGAIN;
    talk(&pair);
    lab_answer(pair.server, &pair.server->calls[0]);
    talk(&pair);
    assert_int_equal(mine->response->status, 200);
    assert_true(mine->has_ended && mine->is_closed && mine->is_reset_by_peer);
    assert_int_equal(mine->code, PN_H2_NO_ERROR);
    assert_true(pair.server->calls[0].is_closed);
    pair_destroy(&pair);
}

static void a_server_shuts_down_in_two_steps(void **state)
{
    struct pair pair = pair_create(0);
    struct call *first = NULL;
    struct call *late = NULL;

    (void)state;
    pair.server->answers = false;
    pair_open(&pair);
    first = ask(&pair, "GET", PN_LIT(""), false);
    talk(&pair);
    late = ask(&pair, "GET", PN_LIT(""), false); /* under way when the notice comes */
    pn_h2_shutdown(pair.server->h2);
    talk(&pair);
    assert_int_equal(pair.client->goaways, 1);
    assert_int_equal(pair.client->peer_goaway_last_id, INT32_MAX);
    assert_int_equal(pn_h2_can_open(pair.client->h2), 0);
    pn_h2_shutdown(pair.server->h2);
    talk(&pair);
    assert_int_equal(pair.client->goaways, 2);
    assert_int_equal(pair.client->peer_goaway_last_id, late->id);
    for (size_t i = 0; i < 2; i++)
        lab_answer(pair.server, &pair.server->calls[i]);
    talk(&pair);
    assert_true(first->is_closed && late->is_closed);
    assert_int_equal(late->code, PN_H2_NO_ERROR);
    assert_int_equal(pn_h2_output(pair.server->h2, &pair.server->out, 16384, 0), PN_EOF);
    assert_int_equal(pn_h2_output(pair.client->h2, &pair.client->out, 16384, 0), PN_EOF);
    pair_destroy(&pair);
}

/* A request above the last id of GOAWAY was surely not processed. */
static void a_goaway_gives_back_what_it_does_not_name(void **state)
{
    struct pair pair = pair_create(0);
    struct call *first = NULL;
    struct call *late = NULL;

    (void)state;
    pair.server->answers = false;
    pair_open(&pair);
    first = ask(&pair, "GET", PN_LIT(""), false);
    talk(&pair);
    pn_h2_shutdown(pair.server->h2);
    pn_h2_shutdown(pair.server->h2);
    late = ask(&pair, "GET", PN_LIT(""), false);
    talk(&pair);
    assert_true(late->is_closed && late->is_unprocessed);
    assert_false(first->is_closed);
    lab_answer(pair.server, &pair.server->calls[0]);
    talk(&pair);
    assert_true(first->is_closed && !first->is_unprocessed);
    assert_int_equal(pair.server->count, 1);
    pair_destroy(&pair);
}

static void a_client_that_shuts_down_gets_its_answers(void **state)
{
    struct pair pair = pair_create(0);
    struct call *mine = NULL;

    (void)state;
    pair.server->answers = false;
    pair_open(&pair);
    mine = ask(&pair, "GET", PN_LIT(""), false);
    talk(&pair);
    pn_h2_shutdown(pair.client->h2);
    talk(&pair);
    assert_int_equal(pn_h2_can_open(pair.client->h2), 0);
    assert_false(mine->is_closed);
    lab_answer(pair.server, &pair.server->calls[0]);
    talk(&pair);
    assert_true(mine->is_closed);
    assert_int_equal(pn_h2_output(pair.client->h2, &pair.client->out, 16384, 0), PN_EOF);
    pair_destroy(&pair);
}

static void the_peers_number_of_streams_is_kept(void **state)
{
    struct pair pair = pair_create(0);
    struct pn_h2_request request = {.method = PN_LIT("GET"),
                                    .scheme = PN_LIT("https"),
                                    .authority = PN_LIT("a"),
                                    .path = PN_LIT("/")};
    struct pn_headers none = {0};
    struct pn_h2_stream *stream = NULL;

    (void)state;
    pn_h2_config_init(&pair.server->config, PN_H2_SERVER);
    pair.server->config.streams_max = 2;
    pair.server->answers = false;
    pair_open(&pair);
    assert_int_equal(pn_h2_can_open(pair.client->h2), 100);
    assert_false(pn_h2_has_settings(pair.client->h2));
    talk(&pair);
    assert_true(pn_h2_has_settings(pair.client->h2));
    assert_int_equal(pn_h2_can_open(pair.client->h2), 2);
    ask(&pair, "GET", PN_LIT(""), false);
    ask(&pair, "GET", PN_LIT(""), false);
    talk(&pair);
    request.headers = &none;
    request.arena = pair.client->calls[0].arena;
    assert_int_equal(pn_h2_request(pair.client->h2, &request, &stream), PN_AGAIN);
    pair.client->capacities = 0;
    lab_answer(pair.server, &pair.server->calls[0]);
    talk(&pair);
    assert_int_equal(pair.client->capacities, 1);
    assert_int_equal(pn_h2_can_open(pair.client->h2), 1);
    pair_destroy(&pair);
}

static void a_ping_is_answered(void **state)
{
    struct pair pair = pair_create(0);

    (void)state;
    pair_open(&pair);
    pn_h2_ping(pair.client->h2);
    pn_h2_ping(pair.client->h2);
    talk(&pair);
    assert_int_equal(pair.client->pongs, 1);
    pn_h2_ping(pair.client->h2);
    talk(&pair);
    assert_int_equal(pair.client->pongs, 2);
    pair_destroy(&pair);
}

/* RFC 8441: after 200, both bodies are the tunnel. */
static void a_tunnel_carries_bytes_both_ways(void **state)
{
    struct pair pair = pair_create(0);
    struct call *mine = &pair.client->calls[0];
    struct call *theirs = &pair.server->calls[0];
    struct pn_headers none = {0};
    struct pn_h2_request request = {.method = PN_LIT("CONNECT"),
                                    .scheme = PN_LIT("https"),
                                    .authority = PN_LIT("a"),
                                    .path = PN_LIT("/chat"),
                                    .protocol = PN_LIT("websocket"),
                                    .headers = &none,
                                    .body = &mine->out,
                                    .user = mine};

    (void)state;
    pair.server->answers = false;
    pair_open(&pair);
    mine->arena = pn_arena_create(4096, 1u << 20);
    pn_buf_init(&mine->body, 1u << 20);
    pair.client->count = 1;
    request.arena = mine->arena;
    pn_source_init(&mine->out, &lab_source_ops, false);
    mine->source_rc = PN_AGAIN;
    assert_int_equal(pn_h2_request(pair.client->h2, &request, &mine->stream), PN_UNSUPPORTED);
    talk(&pair);
    assert_true(pn_h2_allows_connect(pair.client->h2));
    assert_int_equal(pn_h2_request(pair.client->h2, &request, &mine->stream), PN_OK);
    talk(&pair);
    expect_slice(theirs->request->method, "CONNECT");
    expect_slice(theirs->stream->protocol, "websocket");
    expect_slice(theirs->request->path, "/chat");
    theirs->source_rc = PN_AGAIN;
    answer_with(theirs, PN_LIT(""));
    talk(&pair);
    assert_int_equal(mine->response->status, 200);
    theirs->out_text = PN_LIT("server");
    mine->out_text = PN_LIT("client");
    theirs->source_rc = PN_OK;
    pn_h2_resume(theirs->stream); /* its end comes with it */
    talk(&pair);
    expect_slice(pn_buf_slice(&mine->body), "server");
    assert_true(mine->has_ended && !mine->is_closed && !theirs->is_closed);
    mine->source_rc = PN_OK;
    pn_h2_resume(mine->stream);
    talk(&pair);
    expect_slice(pn_buf_slice(&theirs->body), "client");
    assert_true(theirs->has_ended && theirs->is_closed && mine->is_closed);
    pair_destroy(&pair);
}

/* What a request cannot be made of. */
static void bad_requests_are_not_sent(void **state)
{
    static const struct {
        const char *method, *scheme, *authority, *path, *name, *value;
    } cases[] = {
        {"G T", "https", "a", "/", "a", "b"},      {"GET", "ht tps", "a", "/", "a", "b"},
        {"GET", "https", "a b", "/", "a", "b"},    {"GET", "https", "u@a", "/", "a", "b"},
        {"GET", "https", "a", "", "a", "b"},       {"GET", "https", "a", "p", "a", "b"},
        {"GET", "https", "a", "*", "a", "b"},      {"GET", "https", "a", "/ ", "a", "b"},
        {"GET", "https", "a", "/\r\n", "a", "b"},  {"GET", "https", "a", "/", "a:", "b"},
        {"GET", "https", "a", "/", ":path", "/b"}, {"GET", "https", "a", "/", "a", "b\nc"},
        {"GET", "https", "a", "/", "a", " b"},     {"CONNECT", "https", "a", "/", "a", "b"},
    };
    struct pair pair = pair_create(0);
    struct pn_arena *arena = pn_arena_create(4096, 1u << 20);

    (void)state;
    pair_open(&pair);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pn_headers headers;
        struct pn_h2_stream *stream = NULL;
        struct pn_h2_request request = {
            .method = pn_slice_str(cases[i].method),
            .scheme = pn_slice_str(cases[i].scheme),
            .authority = pn_slice_str(cases[i].authority),
            .path = pn_slice_str(cases[i].path),
            .headers = &headers,
            .arena = arena,
        };

        pn_headers_init(&headers, arena);
        assert_int_equal(
            pn_headers_add(&headers, pn_slice_str(cases[i].name), pn_slice_str(cases[i].value)),
            PN_OK);
        if (pn_h2_request(pair.client->h2, &request, &stream) != PN_MALFORMED)
            fail_msg("case %zu was not refused", i);
        assert_int_equal(pn_h2_streams_open(pair.client->h2), 0);
    }
    pn_arena_destroy(arena);
    pair_destroy(&pair);
}

static void an_answer_that_injects_is_not_sent(void **state)
{
    struct pair pair = pair_create(0);
    struct pn_headers headers;
    struct call *mine = NULL;

    (void)state;
    pair.server->answers = false;
    pair_open(&pair);
    mine = ask(&pair, "GET", PN_LIT(""), false);
    talk(&pair);
    pn_headers_init(&headers, mine->arena);
    assert_int_equal(pn_headers_add(&headers, PN_LIT("a"), PN_LIT("b\r\nc: d")), PN_OK);
    assert_int_equal(pn_h2_respond(pair.server->calls[0].stream, 200, &headers, NULL),
                     PN_MALFORMED);
    lab_answer(pair.server, &pair.server->calls[0]);
    talk(&pair);
    assert_int_equal(mine->response->status, 200);
    pair_destroy(&pair);
}

/* What is lent to nghttp2, where a head waits, is memory of the process. */
static void an_answer_does_not_need_its_fields_any_more(void **state)
{
    struct pair pair = pair_create(0);
    char names[3][16] = {"X-Own", "DATE", "content-type"};
    char values[3][16] = {"a", "b", "c/d"};
    struct pn_headers headers;
    struct call *mine = NULL;
    struct call *theirs = &pair.server->calls[0];

    (void)state;
    pair.server->answers = false;
    pair_open(&pair);
    mine = ask(&pair, "GET", PN_LIT(""), false);
    talk(&pair);
    pn_headers_init(&headers, mine->arena);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pn_headers_add(&headers, pn_slice_str(names[i]), pn_slice_str(values[i])),
                         PN_OK);
    assert_int_equal(pn_h2_respond(theirs->stream, 200, &headers, NULL), PN_OK);
    memset(names, '?', sizeof(names));
    memset(values, '?', sizeof(values));
    memset(headers.items, '?', headers.count * sizeof(*headers.items));
    talk(&pair);
    assert_non_null(mine->response);
    assert_int_equal(mine->response->headers.count, 3);
    expect_slice(mine->response->headers.items[0].name, "x-own");
    expect_slice(mine->response->headers.items[0].value, "a");
    expect_slice(mine->response->headers.items[1].name, "date");
    expect_slice(mine->response->headers.items[1].value, "b");
    expect_slice(mine->response->headers.items[2].name, "content-type");
    expect_slice(mine->response->headers.items[2].value, "c/d");
    pair_destroy(&pair);
}

/* Names are in lower case on the wire, whoever has spelt them (RFC 9113 §8.2.1), also those that
 * came over HTTP/2 and are sent on. */
static void names_are_sent_in_lower_case(void **state)
{
    static const char *const spellings[] = {"Date",      "dATE",   "X-Forwarded-For", "EXPECT",
                                            "Forwarded", "aCCEPT", "Content_Length",  "date"};
    enum { COUNT = sizeof(spellings) / sizeof(spellings[0]) };
    struct pair pair = pair_create(0);
    struct pn_headers headers;
    struct call *mine = NULL;

    (void)state;
    pair.server->answers = false;
    pair_open(&pair);
    for (int round = 0; round < 2; round++) { /* the second time they lie in HPACK's tables */
        struct call *theirs = &pair.server->calls[round];
        const struct pn_headers *came = NULL;

        mine = ask(&pair, "GET", PN_LIT(""), false);
        talk(&pair);
        pn_headers_init(&headers, mine->arena);
        for (size_t i = 0; i < COUNT; i++)
            assert_int_equal(pn_headers_add(&headers, pn_slice_str(spellings[i]), PN_LIT("1")),
                             PN_OK);
        assert_int_equal(pn_h2_respond(theirs->stream, 200, &headers, NULL), PN_OK);
        talk(&pair);
        assert_non_null(mine->response);
        came = &mine->response->headers;
        assert_int_equal(came->count, COUNT);
        for (size_t i = 0; i < COUNT; i++) {
            assert_true(pn_slice_case_eq_str(came->items[i].name, spellings[i]));
            for (size_t n = 0; n < came->items[i].name.len; n++)
                assert_false(came->items[i].name.ptr[n] >= 'A' &&
                             came->items[i].name.ptr[n] <= 'Z');
            assert_int_equal(came->items[i].kind, pn_header_kind_of(came->items[i].name));
        }
    }
    ask(&pair, "GET", PN_LIT(""), false);
    talk(&pair);
    assert_int_equal(
        pn_h2_respond(pair.server->calls[2].stream, 200, &mine->response->headers, NULL), PN_OK);
    talk(&pair);
    assert_int_equal(pair.client->calls[2].response->headers.count, COUNT);
    for (size_t i = 0; i < COUNT; i++)
        assert_true(pn_slice_eq(pair.client->calls[2].response->headers.items[i].name,
                                mine->response->headers.items[i].name));
    pair_destroy(&pair);
}

/* RFC 9110 §9.3.2: the length is that of the answer to GET. */
static void the_answer_to_head_has_a_length_and_no_body(void **state)
{
    struct pair pair = pair_create(0);
    struct pn_headers headers;
    struct call *mine = NULL;

    (void)state;
    pair.server->answers = false;
    pair_open(&pair);
    mine = ask(&pair, "HEAD", PN_LIT(""), false);
    talk(&pair);
    pn_headers_init(&headers, mine->arena);
    assert_int_equal(pn_headers_add(&headers, PN_LIT("Content-Length"), PN_LIT("5")), PN_OK);
    assert_int_equal(pn_h2_respond(pair.server->calls[0].stream, 200, &headers, NULL), PN_OK);
    talk(&pair);
    assert_int_equal(mine->response->framing, PN_BODY_NONE);
    assert_true(mine->has_ended && mine->is_closed);
    pair_destroy(&pair);
}

/* Many small requests on one connection: memory goes back to where it came from. */
static void thousand_requests_leave_nothing_behind(void **state)
{
    struct pair pair = pair_create(0);

    (void)state;
    pair_open(&pair);
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < 25; i++)
            ask(&pair, i % 2 == 0 ? "GET" : "POST", PN_LIT("body"), i % 2 != 0);
        talk(&pair);
        for (int i = 0; i < 25; i++) {
            assert_true(pair.client->calls[i].is_closed);
            for (int side = 0; side < 2; side++) {
                struct call *call = &(side == 0 ? pair.client : pair.server)->calls[i];

                pn_arena_destroy(call->arena);
                pn_buf_fini(&call->body);
                memset(call, 0, sizeof(*call));
            }
        }
        pair.client->count = 0;
        pair.server->count = 0;
    }
    assert_int_equal(pn_h2_streams_total(pair.server->h2), 1000);
    assert_int_equal(pn_h2_streams_open(pair.server->h2), 0);
    pair_destroy(&pair);
}

static void streams_that_are_open_are_told_when_the_connection_goes(void **state)
{
    struct pair pair = pair_create(0);
    struct call *sent = NULL;
    struct call *unsent = NULL;

    (void)state;
    pair.server->answers = false;
    pair_open(&pair);
    sent = ask(&pair, "GET", PN_LIT(""), false);
    talk(&pair);
    unsent = ask(&pair, "GET", PN_LIT(""), false);
    pn_h2_destroy(pair.client->h2);
    pair.client->h2 = NULL;
    assert_true(sent->is_closed && !sent->is_unprocessed);
    assert_true(unsent->is_closed && unsent->is_unprocessed);
    assert_int_equal(sent->code, PN_H2_CANCEL);
    pair_destroy(&pair);
}

/* Whole in the output, it may arrive: whether or not the engine was asked for more since. */
static void a_head_that_fills_the_output_may_have_been_processed(void **state)
{
    size_t whole = SIZE_MAX;

    (void)state;
    for (size_t max = 16384; max >= whole || max == 16384;
         max = max == 16384 ? whole + 20 : max - 1) {
        struct pair pair = pair_create(0);
        struct call *call = NULL;
        bool is_whole = false;

        pair_open(&pair);
        call = ask(&pair, "GET", PN_LIT(""), false);
        assert_int_equal(pn_h2_output(pair.client->h2, &pair.client->out, max, 1), PN_OK);
        if (max == 16384)
            whole = pair.client->out.len;
        is_whole = pair.client->out.len == whole;
        assert_int_equal(is_whole, max >= whole);
        assert_true(pn_h2_has_begun(call->stream));
        pn_h2_destroy(pair.client->h2);
        pair.client->h2 = NULL;
        assert_true(call->is_closed && !call->is_unprocessed);
        pair_destroy(&pair);
    }
    for (size_t max = whole - 1; max > whole - 20; max--) {
        struct pair pair = pair_create(0);
        struct call *call = NULL;

        pair_open(&pair);
        call = ask(&pair, "GET", PN_LIT(""), false);
        assert_int_equal(pn_h2_output(pair.client->h2, &pair.client->out, max, 1), PN_OK);
        assert_false(pn_h2_has_begun(call->stream));
        pn_h2_destroy(pair.client->h2);
        pair.client->h2 = NULL;
        assert_true(call->is_closed && call->is_unprocessed);
        pair_destroy(&pair);
    }
}

/* Its end is found by a reader who comes later, when nothing else happens on the connection. */
static void the_end_that_is_read_late_is_told_soon(void **state)
{
    struct pair pair = pair_create(0);
    struct call *mine = NULL;
    struct call *theirs = &pair.server->calls[0];
    struct pn_headers headers;
    int asks = 0;

    (void)state;
    pair.server->answers = false;
    pair_open(&pair);
    mine = ask(&pair, "GET", PN_LIT(""), false);
    talk(&pair);
    pn_headers_init(&headers, theirs->arena);
    assert_int_equal(pn_headers_add(&headers, PN_LIT("X-Trailer"), PN_LIT("yes")), PN_OK);
    pn_source_init(&theirs->out, &lab_source_ops, false);
    theirs->source_rc = PN_AGAIN;
    assert_int_equal(pn_h2_respond(theirs->stream, 200, NULL, &theirs->out), PN_OK);
    talk(&pair);
    theirs->source_rc = PN_OK;
    theirs->out_text = PN_LIT("body");
    theirs->out.trailers = &headers;
    pn_h2_resume(theirs->stream);
    pair.max = 13; /* the body without the trailers */
    (void)carry(&pair, pair.server, pair.client);
    pair.max = 16384;
    assert_int_equal(mine->body.len, 4);
    mine->reads_nothing = true;
    talk(&pair);
    assert_false(mine->is_closed);
    asks = pair.client->asks;
    assert_int_equal(pn_source_peek(&mine->stream->in), PN_EOF);
    assert_true(pn_h2_wants_output(pair.client->h2));
    assert_int_equal(pair.client->asks, asks + 1);
    talk(&pair);
    assert_true(mine->is_closed);
    pair_destroy(&pair);
}

/* What two sides have to say, until one of them has no memory left. False: it has none. */
static bool talk_hungrily(struct pair *pair)
{
    for (int round = 0; round < 100; round++) {
        for (int side = 0; side < 2; side++) {
            struct lab *from = side == 0 ? pair->client : pair->server;
            struct lab *to = side == 0 ? pair->server : pair->client;

            if (pn_h2_wants_output(from->h2))
                from->out_rc = pn_h2_output(from->h2, &from->out, pair->max, from->now_ms);
            if (from->out.len > 0)
                to->rc = pn_h2_receive(to->h2, pn_buf_slice(&from->out), to->now_ms);
            pn_buf_clear(&from->out);
            if (from->out_rc == PN_NOMEM || to->rc == PN_NOMEM)
                return false;
            assert_true(from->out_rc == PN_OK || from->out_rc == PN_EOF);
            assert_true(to->rc == PN_OK || to->rc == PN_EOF || to->rc == PN_MALFORMED);
        }
    }
    return true;
}

static void hungry_request(struct pair *pair, const char *text)
{
    struct lab *lab = pair->client;
    struct call *call = &lab->calls[0];
    struct pn_headers headers;
    struct pn_h2_request request = {.method = PN_LIT("POST"),
                                    .scheme = PN_LIT("https"),
                                    .authority = PN_LIT("a"),
                                    .path = PN_LIT("/"),
                                    .headers = &headers,
                                    .user = call};
    enum pn_rc rc = PN_OK;

    lab->count = 1;
    call->arena = pn_arena_create(4096, 1u << 22);
    pn_buf_init(&call->body, 1u << 26);
    pn_headers_init(&headers, call->arena);
    for (int i = 0; i < 80; i++)
        assert_int_equal(pn_headers_add(&headers, PN_LIT("a"), PN_LIT("b")), PN_OK);
    request.arena = call->arena;
    call->out_text = pn_slice(text, 50000);
    pn_source_init(&call->out, &lab_source_ops, false);
    call->out.trailers = &headers;
    request.body = &call->out;
    rc = pn_h2_request(lab->h2, &request, &call->stream);
    assert_true(rc == PN_OK || rc == PN_NOMEM);
    if (rc == PN_OK)
        (void)talk_hungrily(pair);
}

/* One side has no memory after so many blocks: it says so, and leaves nothing behind. */
static void no_memory_is_told_and_nothing_is_lost(void **state)
{
    char *text = pattern(50000);

    (void)state;
    for (int side = 0; side < 2; side++) {
        bool was_enough = false;

        for (size_t blocks = 0; blocks < 1000 && !was_enough; blocks++) {
            struct pair pair = pair_create(0);
            struct lab *hungry = side == 0 ? pair.server : pair.client;

            pn_h2_config_init(&pair.server->config, PN_H2_SERVER);
            pn_h2_config_init(&pair.client->config, PN_H2_CLIENT);
            pair.server->config.http.trailer_count_max = 80;
            pair.server->answers = false;
            pn_h2_memory_starve(hungry->memory, blocks);
            pair.server->h2 = pn_h2_create(PN_H2_SERVER, &pair.server->config, &lab_events,
                                           pair.server, pair.server->memory, 1);
            pair.client->h2 = pn_h2_create(PN_H2_CLIENT, &pair.client->config, &lab_events,
                                           pair.client, pair.client->memory, 1);
            if (pair.server->h2 && pair.client->h2) {
                hungry_request(&pair, text);
                was_enough = pair.server->calls[0].has_ended;
            }
            pair_destroy(&pair);
        }
        assert_true(was_enough);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_answered),
        cmocka_unit_test(a_body_larger_than_every_window_arrives),
        cmocka_unit_test(a_body_in_pieces_arrives_whole),
        cmocka_unit_test(a_stalled_stream_does_not_block_the_others),
        cmocka_unit_test(a_stream_is_not_closed_before_its_answer_is_read),
        cmocka_unit_test(trailers_follow_bodies),
        cmocka_unit_test(trailers_follow_an_empty_body),
        cmocka_unit_test(informational_answers_come_before_the_final_one),
        cmocka_unit_test(a_source_that_has_nothing_is_resumed),
        cmocka_unit_test(a_source_that_fails_is_told),
        cmocka_unit_test(a_reset_is_told_to_the_other_side_only),
        cmocka_unit_test(a_request_is_taken_back_before_it_is_sent),
        cmocka_unit_test(an_overloaded_server_refuses_unprocessed),
        cmocka_unit_test(an_early_answer_ends_the_request),
        cmocka_unit_test(a_server_shuts_down_in_two_steps),
        cmocka_unit_test(a_goaway_gives_back_what_it_does_not_name),
        cmocka_unit_test(a_client_that_shuts_down_gets_its_answers),
        cmocka_unit_test(the_peers_number_of_streams_is_kept),
        cmocka_unit_test(a_ping_is_answered),
        cmocka_unit_test(a_tunnel_carries_bytes_both_ways),
        cmocka_unit_test(bad_requests_are_not_sent),
        cmocka_unit_test(an_answer_that_injects_is_not_sent),
        cmocka_unit_test(an_answer_does_not_need_its_fields_any_more),
        cmocka_unit_test(names_are_sent_in_lower_case),
        cmocka_unit_test(the_answer_to_head_has_a_length_and_no_body),
        cmocka_unit_test(a_head_that_fills_the_output_may_have_been_processed),
        cmocka_unit_test(the_end_that_is_read_late_is_told_soon),
        cmocka_unit_test(thousand_requests_leave_nothing_behind),
        cmocka_unit_test(no_memory_is_told_and_nothing_is_lost),
        cmocka_unit_test(streams_that_are_open_are_told_when_the_connection_goes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
