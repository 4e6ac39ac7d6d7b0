/* SPDX-License-Identifier: Apache-2.0
 *
 * Bodies that go, against a peer that keeps account of every byte of window, in orders made by
 * chance: what comes, what is resumed, windows that open and close, output with little room.
 *
 * Whenever the engine says that it has nothing to send, all has gone that had window, and every
 * end that needs none; no window was overrun; the bytes are the right ones; the end comes once.
 *
 * PN_TEST_ROUNDS=n runs more of them, PN_TEST_SEED=n one alone.
 */
#include "http/h2_internal.h"
#include "http/h2_lab.h"

enum {
    STREAMS = 6,
    STEPS = 60,
    TABLE_SETTING = 1,
    WINDOW_SETTING = 4,
    DEFAULT_WINDOW = 65535,
    ROUNDS = 3000
};

struct body {
    struct pn_source source;
    struct pn_h2_stream *stream; /* NULL: closed, or never opened */
    struct pn_arena *arena;
    struct pn_headers trailers;
    int32_t id;
    uint64_t made;  /* bytes that the source has ... */
    uint64_t shown; /* ... or will have when it is read ... */
    uint64_t given; /* ... and gave */
    uint64_t sent;  /* that came out */
    int64_t window;
    size_t piece;
    size_t informs; /* 1xx that have not come out yet */
    bool has_ended; /* nothing follows what is made */
    bool is_answered;
    bool has_trailers;
    bool drops_trailers;
    bool is_head_out;
    bool is_end_out;
    bool is_told;
    bool is_reset;
    bool is_gone; /* nothing more is expected of it */
};

struct world {
    struct pn_h2 *h2;
    struct pn_h2_memory *memory;
    struct pn_buf in;
    struct pn_buf out;
    struct pn_buf unread; /* output that is not a whole frame yet */
    struct body bodies[STREAMS];
    size_t count;
    uint64_t seed;
    int64_t window;         /* of the connection */
    int64_t initial_window; /* of streams to come */
    bool is_server;
    bool has_preface;
    bool has_table; /* the peer has changed HPACK's: an end may be trailers without a field */
};

static char pattern[1 << 16];
static uint64_t seed_now;

static uint32_t chance(struct world *world, uint32_t below)
{
    world->seed ^= world->seed << 13;
    world->seed ^= world->seed >> 7;
    world->seed ^= world->seed << 17;
    return (uint32_t)((world->seed >> 20) % below);
}

/* ---- the source ---- */

static enum pn_rc body_next(struct pn_source *source)
{
    struct body *body = PN_CONTAINER(source, struct body, source);
    uint64_t left = body->shown - body->given;
    size_t at = (size_t)body->given % 251;

    if (left == 0) {
        if (!body->has_ended || body->shown < body->made)
            return PN_AGAIN;
        source->trailers = body->has_trailers ? &body->trailers : NULL;
        return PN_EOF;
    }
    if (left > body->piece)
        left = body->piece;
    if (left > sizeof(pattern) - 251)
        left = sizeof(pattern) - 251;
    source->held = pn_slice(pattern + at, (size_t)left);
    body->given += left;
    return PN_OK;
}

/* What was made is there when it is asked for. */
static enum pn_rc body_read(struct pn_source *source)
{
    struct body *body = PN_CONTAINER(source, struct body, source);

    if (body->shown == body->made)
        return PN_AGAIN;
    body->shown = body->made;
    return PN_OK;
}

static const struct pn_source_ops body_ops = {.next = body_next, .read = body_read};

/* ---- events ---- */

static struct body *add_body(struct world *world)
{
    struct body *body = &world->bodies[world->count];

    assert_true(world->count < STREAMS);
    world->count++;
    body->arena = pn_arena_create(1024, 1u << 20);
    pn_headers_init(&body->trailers, body->arena);
    assert_int_equal(pn_headers_add(&body->trailers, PN_LIT("X-Trailer"), PN_LIT("t")), PN_OK);
    pn_source_init(&body->source, &body_ops, false);
    body->window = world->initial_window;
    body->piece = 1 + chance(world, chance(world, 2) ? 20 : 20000);
    body->has_trailers = chance(world, 4) == 0;
    return body;
}

static struct pn_arena *on_begin(void *ctx, struct pn_h2_stream *stream)
{
    struct body *body = add_body(ctx);

    body->stream = stream;
    body->id = stream->id;
    stream->user = body;
    return body->arena;
}

static void on_request(void *ctx, struct pn_h2_stream *stream,
                       const struct pn_request_head *request)
{
    (void)ctx;
    (void)stream;
    (void)request;
}

static void on_response(void *ctx, struct pn_h2_stream *stream,
                        const struct pn_response_head *response)
{
    (void)ctx;
    (void)stream;
    (void)response;
}

static void on_data(void *ctx, struct pn_h2_stream *stream)
{
    (void)ctx;
    while (pn_source_peek(&stream->in) == PN_OK)
        pn_source_use(&stream->in, stream->in.held.len);
}

static void on_sent(void *ctx, struct pn_h2_stream *stream)
{
    struct body *body = stream->user;

    (void)ctx;
    assert_false(body->is_told);
    body->is_told = true;
}

static void on_closed(void *ctx, struct pn_h2_stream *stream, uint32_t code)
{
    struct body *body = stream->user;

    (void)ctx;
    (void)code;
    body->stream = NULL;
    body->is_gone = true;
}

static const struct pn_h2_events events = {
    .on_begin = on_begin,
    .on_request = on_request,
    .on_response = on_response,
    .on_data = on_data,
    .on_sent = on_sent,
    .on_closed = on_closed,
};

/* ---- the peer ---- */

static struct body *body_of(struct world *world, uint32_t id)
{
    for (size_t i = 0; i < world->count; i++) {
        if (world->bodies[i].id == (int32_t)id)
            return &world->bodies[i];
    }
    fail_msg("a frame of stream %u", id);
    return NULL;
}

static void take_data(struct world *world, struct body *body, struct pn_slice payload)
{
    assert_true(body->is_head_out && !body->is_end_out);
    if (payload.len > 0) {
        assert_true((int64_t)payload.len <= world->window);
        assert_true((int64_t)payload.len <= body->window);
    }
    for (size_t i = 0; i < payload.len; i++)
        assert_int_equal((unsigned char)payload.ptr[i], (body->sent + i) % 251);
    world->window -= (int64_t)payload.len;
    body->window -= (int64_t)payload.len;
    body->sent += payload.len;
}

static void take_frame(struct world *world, unsigned type, unsigned flags, uint32_t id,
                       struct pn_slice payload)
{
    struct body *body = NULL;

    if (type == RST_STREAM) {
        body_of(world, id)->is_reset = true;
        return;
    }
    assert_int_not_equal(type, GOAWAY);
    if (type != DATA && type != HEADERS)
        return;
    body = body_of(world, id);
    assert_false(body->is_reset);
    if (type == HEADERS && body->informs > 0) {
        body->informs--;
        return;
    }
    if (type == DATA)
        take_data(world, body, payload);
    else if (body->is_head_out)
        assert_true((flags & END_STREAM) != 0 && payload.len > 0);
    if ((flags & END_STREAM) != 0) {
        bool has_trailers = body->has_trailers && !body->drops_trailers;

        assert_false(body->is_end_out);
        assert_true(body->has_ended && body->sent == body->made);
        if (has_trailers)
            assert_true(type == HEADERS && body->is_head_out);
        else if (body->is_head_out && !world->has_table)
            assert_int_equal(type, DATA);
        body->is_end_out = true;
    }
    if (type == HEADERS)
        body->is_head_out = true;
}

static void take_output(struct world *world)
{
    struct pn_slice rest;
    size_t used = 0;

    put(&world->unread, world->out.ptr, world->out.len);
    rest = pn_buf_slice(&world->unread);
    if (!world->is_server && !world->has_preface && rest.len >= 24) {
        rest = pn_slice_sub(rest, 24, rest.len);
        world->has_preface = true;
    }
    while (rest.len >= 9 && rest.len >= 9 + (get_u32(rest.ptr) >> 8)) {
        size_t len = get_u32(rest.ptr) >> 8;

        take_frame(world, (unsigned char)rest.ptr[3], (unsigned char)rest.ptr[4],
                   get_u32(rest.ptr + 5), pn_slice_sub(rest, 9, len));
        rest = pn_slice_sub(rest, 9 + len, rest.len);
    }
    used = world->unread.len - rest.len;
    memmove(world->unread.ptr, world->unread.ptr + used, rest.len);
    world->unread.len = rest.len;
    pn_buf_clear(&world->out);
    if (chance(world, 3) == 0)
        pn_buf_fini(&world->out); /* its memory is just as large as what comes then */
}

static void output(struct world *world)
{
    size_t max = 10 + chance(world, chance(world, 2) ? 40 : 40000);
    enum pn_rc rc = pn_h2_output(world->h2, &world->out, max, 0);

    assert_int_equal(rc, PN_OK);
    assert_true(world->out.len <= max && world->out.len <= world->out.cap);
    take_output(world);
}

static void receive(struct world *world)
{
    enum pn_rc rc = pn_h2_receive(world->h2, pn_buf_slice(&world->in), 0);

    assert_int_equal(rc, PN_OK);
    pn_buf_clear(&world->in);
}

/* Nothing is left to be sent but what has no window. */
static void drain(struct world *world)
{
    int rounds = 0;

    receive(world);
    for (; pn_h2_wants_output(world->h2); rounds++) {
        assert_true(rounds < 100000);
        output(world);
    }
    for (size_t i = 0; i < world->count; i++) {
        const struct body *body = &world->bodies[i];

        if (body->is_gone || body->is_reset || (world->is_server && !body->is_answered))
            continue;
        assert_true(body->is_head_out);
        if (body->sent < body->made)
            assert_true(body->window <= 0 || world->window <= 0);
        else
            assert_true(body->is_end_out == body->has_ended && body->is_told == body->is_end_out);
    }
}

/* ---- what happens ---- */

static void open_one(struct world *world)
{
    static const struct pn_headers none;
    struct pn_h2_request request = {
        .method = PN_LIT("POST"),
        .scheme = PN_LIT("https"),
        .authority = PN_LIT("a.example"),
        .path = PN_LIT("/"),
        .headers = &none,
    };
    struct body *body = NULL;

    if (world->count == STREAMS)
        return;
    if (world->is_server) {
        put_headers(&world->in, (uint32_t)world->count * 2 + 1, END_STREAM, GET_FIELDS);
        receive(world);
        return;
    }
    body = add_body(world);
    body->drops_trailers = chance(world, 4) == 0;
    request.body = &body->source;
    request.arena = body->arena;
    request.user = body;
    request.drops_trailers = body->drops_trailers;
    body->has_ended = chance(world, 8) == 0;
    assert_int_equal(pn_h2_request(world->h2, &request, &body->stream), PN_OK);
    body->id = body->stream->id;
    if (body->has_ended && !body->has_trailers)
        body->drops_trailers = false;
}

/* Its owner has more, or says that this was all. */
static void go_on(struct world *world, struct body *body)
{
    if (!body->stream || body->has_ended || (world->is_server && !body->is_answered))
        return;
    if (chance(world, 3) > 0)
        body->made += chance(world, chance(world, 2) ? 30 : 40000);
    if (chance(world, 2))
        body->shown = body->made;
    body->has_ended = chance(world, 3) == 0;
    pn_h2_resume(body->stream);
}

static void answer(struct world *world, struct body *body)
{
    if (!world->is_server || body->is_answered || !body->stream)
        return;
    if (chance(world, 4) == 0) {
        assert_int_equal(pn_h2_inform(body->stream, 103, NULL), PN_OK);
        body->informs++;
    }
    body->is_answered = true;
    assert_int_equal(pn_h2_respond(body->stream, 200, NULL, &body->source), PN_OK);
}

static void give_window(struct world *world, struct body *body, uint32_t more)
{
    if (more == 0)
        more = 1;
    if (!body) {
        put_frame_u32(&world->in, WINDOW_UPDATE, 0, more);
        world->window += more;
    } else if (body->stream && body->is_head_out) {
        put_frame_u32(&world->in, WINDOW_UPDATE, (uint32_t)body->id, more);
        body->window += more;
    }
}

static void change_windows(struct world *world, int64_t size)
{
    put_setting(&world->in, WINDOW_SETTING, (uint32_t)size);
    for (size_t i = 0; i < world->count; i++)
        world->bodies[i].window += size - world->initial_window;
    world->initial_window = size;
    receive(world); /* what was sent before it came would be too much now */
}

static void change_table(struct world *world)
{
    put_setting(&world->in, TABLE_SETTING, chance(world, 4096));
    world->has_table = true;
}

static void reset(struct world *world, struct body *body)
{
    if (!body->stream)
        return;
    if (chance(world, 2) && body->is_head_out) {
        put_frame_u32(&world->in, RST_STREAM, (uint32_t)body->id, PN_H2_CANCEL);
        receive(world);
    } else {
        pn_h2_reset(body->stream, PN_H2_CANCEL);
        body->stream = NULL;
    }
    body->is_gone = true;
}

static uint32_t some_bytes(struct world *world)
{
    return chance(world, chance(world, 2) ? 30 : 30000);
}

static void step(struct world *world)
{
    struct body *body =
        world->count > 0 ? &world->bodies[chance(world, (uint32_t)world->count)] : NULL;
    uint32_t what = chance(world, 100);

    if (what < 12 || !body)
        open_one(world);
    else if (what < 40)
        go_on(world, body);
    else if (what < 50)
        answer(world, body);
    else if (what < 60)
        give_window(world, body, some_bytes(world));
    else if (what < 70)
        give_window(world, NULL, some_bytes(world));
    else if (what < 76)
        change_windows(world, chance(world, 3) ? some_bytes(world) : 0);
    else if (what < 78)
        reset(world, body);
    else if (what < 90)
        output(world);
    else if (what < 95)
        drain(world);
    else if (what < 97)
        change_table(world);
    if (chance(world, 3))
        receive(world);
}

/* Everything is said and every window is open: every body arrives. */
static void finish(struct world *world)
{
    drain(world);
    for (size_t i = 0; i < world->count; i++) {
        answer(world, &world->bodies[i]);
        if (world->bodies[i].stream && !world->bodies[i].has_ended) {
            world->bodies[i].has_ended = true;
            pn_h2_resume(world->bodies[i].stream);
        }
    }
    drain(world);
    change_windows(world, 1 << 24);
    give_window(world, NULL, 1 << 24);
    drain(world);
    for (size_t i = 0; i < world->count; i++)
        assert_true(world->bodies[i].is_end_out || world->bodies[i].is_gone);
}

static void begin(struct world *world, uint64_t seed)
{
    struct pn_h2_config config;
    enum pn_h2_side side;

    memset(world, 0, sizeof(*world));
    world->seed = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    for (int i = 0; i < 10; i++)
        (void)chance(world, 2);
    world->is_server = chance(world, 2);
    side = world->is_server ? PN_H2_SERVER : PN_H2_CLIENT;
    pn_buf_init(&world->in, 1u << 20);
    pn_buf_init(&world->out, 1u << 20);
    pn_buf_init(&world->unread, 1u << 20);
    world->memory = pn_h2_memory_create();
    pn_h2_config_init(&config, side);
    config.settings_per_minute = UINT32_MAX;
    config.window_updates_per_minute = UINT32_MAX;
    world->window = world->initial_window = DEFAULT_WINDOW;
    world->h2 = pn_h2_create(side, &config, &events, world, world->memory, 0);
    assert_non_null(world->h2);
    if (world->is_server)
        put(&world->in, PREFACE.ptr, PREFACE.len);
    put_frame(&world->in, SETTINGS, 0, 0, pn_slice("", 0));
    receive(world);
}

static void end(struct world *world)
{
    pn_h2_destroy(world->h2);
    pn_h2_memory_destroy(world->memory);
    for (size_t i = 0; i < world->count; i++)
        pn_arena_destroy(world->bodies[i].arena);
    pn_buf_fini(&world->in);
    pn_buf_fini(&world->out);
    pn_buf_fini(&world->unread);
}

static void run_one(uint64_t seed)
{
    struct world world;

    seed_now = seed;
    begin(&world, seed);
    for (int i = 0; i < STEPS; i++)
        step(&world);
    finish(&world);
    end(&world);
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void whatever_happens_what_can_go_goes(void **state)
{
    uint64_t rounds = number_of("PN_TEST_ROUNDS", ROUNDS);
    uint64_t seed = number_of("PN_TEST_SEED", 0);

    (void)state;
    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (char)(i % 251);
    if (seed > 0) {
        run_one(seed);
        return;
    }
    for (seed = 1; seed <= rounds; seed++)
        run_one(seed);
    seed_now = 0;
}

static int tell_seed(void **state)
{
    (void)state;
    if (seed_now > 0)
        print_error("again by PN_TEST_SEED=%llu\n", (unsigned long long)seed_now);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(whatever_happens_what_can_go_goes, tell_seed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
