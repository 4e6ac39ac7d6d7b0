/* SPDX-License-Identifier: Apache-2.0
 *
 * What may be a head in HTTP/2 (RFC 9113 §8), by tables of fields. Every case is read whole and
 * byte by byte.
 */
#include "http/h2_lab.h"

#define BEGIN ":method|GET\n:scheme|https\n:path|/\n:authority|a.example\n"

/* One request of those fields and, without END_STREAM, a body. */
static struct lab *give(const char *lines, size_t step, int flags, const char *body)
{
    struct lab *lab = lab_create();

    lab_open(lab, PN_H2_SERVER);
    put_start(lab);
    put_headers(&lab->in, 1, flags, lines);
    if (body)
        put_frame(&lab->in, DATA, END_STREAM, 1, pn_slice_str(body));
    lab_run(lab, step);
    return lab;
}

static void bad_request(const char *lines, int status)
{
    for (size_t step = 0; step < 2; step++) {
        struct lab *lab = give(lines, step, END_STREAM, NULL);
        const struct call *call = &lab->calls[0];
        const struct sent *head = find_sent(lab, HEADERS, 1);
        const struct sent *reset = find_sent(lab, RST_STREAM, 1);

        if (call->request || call->refused != status || !call->cause)
            fail_msg("wanted %d, got %d (%s): %s", status, call->refused,
                     call->cause ? call->cause : "", lines);
        assert_non_null(head);
        assert_int_equal(head->status, status);
        if (status == 400) { /* RFC 9113 §8.1.1 */
            assert_non_null(reset);
            assert_int_equal(reset->value, PN_H2_PROTOCOL_ERROR);
        }
        assert_false(lab->has_goaway);
        assert_true(call->is_closed);
        lab_destroy(lab);
    }
}

/* A connection remembers the last good one; those that only look like it are judged. */
static void a_good_authority_makes_no_other_one_good(void **state)
{
    static const struct {
        const char *authority;
        bool is_good;
    } cases[] = {
        {"a.example", true},
        {"a.example", true},
        {"a.exampl ", false},
        {"a.example", true},
        {"a.example\r", false},
        {"a.exampl", true},
        {"a.example:443", true},
        {"a.example:44x", false},
        {"a.example:443", true},
        {"u@a.example", false},
        {"", false},
        {"a.example", true},
    };

    (void)state;
    for (size_t step = 0; step < 2; step++) {
        struct lab *lab = lab_create();

        lab_open(lab, PN_H2_SERVER);
        put_start(lab);
        for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            char lines[128];

            snprintf(lines, sizeof(lines), ":method|GET\n:scheme|https\n:path|/\n:authority|%s\n",
                     cases[i].authority);
            put_headers(&lab->in, 2 * i + 1, END_STREAM, lines);
        }
        lab_run(lab, step);
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            assert_int_equal(lab->calls[i].request != NULL, cases[i].is_good);
            assert_int_equal(lab->calls[i].refused, cases[i].is_good ? 0 : 400);
        }
        lab_destroy(lab);
    }
}

static void bad_requests_are_refused_on_their_stream(void **state)
{
    static const char *const cases[] = {
        /* pseudo-headers */
        ":scheme|https\n:path|/\n:authority|a\n",
        ":method|GET\n:path|/\n:authority|a\n",
        ":method|GET\n:scheme|https\n:authority|a\n",
        ":method|GET\n:scheme|https\n:path|\n:authority|a\n",
        ":method|GET\n:scheme|https\n:path|/\n",
        ":method|GET\n:scheme|https\n:path|/\n:authority|\n",
        BEGIN ":method|GET\n",
        BEGIN ":path|/\n",
        BEGIN ":scheme|https\n",
        BEGIN ":authority|a.example\n",
        BEGIN ":status|200\n",
        BEGIN ":unknown|x\n",
        BEGIN ":|x\n",
        BEGIN ":Method|GET\n",
        ":method|GET\n:scheme|https\nx|y\n:path|/\n:authority|a\n",
        ":method|GET\n:scheme|ftp\n:path|/\n:authority|a\n",
        ":method|GET\n:scheme|\n:path|/\n:authority|a\n",
        ":method|G T\n:scheme|https\n:path|/\n:authority|a\n",
        ":method|\n:scheme|https\n:path|/\n:authority|a\n",
        ":method|GET /x HTTP/1.1\r\nA: b\n:scheme|https\n:path|/\n:authority|a\n",
        /* target */
        ":method|GET\n:scheme|https\n:path|x\n:authority|a\n",
        ":method|GET\n:scheme|https\n:path|*\n:authority|a\n",
        ":method|GET\n:scheme|https\n:path|/a b\n:authority|a\n",
        ":method|GET\n:scheme|https\n:path|/a HTTP/1.1\r\n:authority|a\n",
        ":method|GET\n:scheme|https\n:path|/a\r\n:authority|a\n",
        ":method|GET\n:scheme|https\n:path|/a#b\n:authority|a\n",
        ":method|GET\n:scheme|https\n:path|/\x01\n:authority|a\n",
        ":method|GET\n:scheme|https\n:path|/\xc3\xa4\n:authority|a\n",
        ":method|GET\n:scheme|https\n:path|http://b/\n:authority|a\n",
        ":method|GET\n:scheme|https\n:path|//b/\t\n:authority|a\n",
        /* host */
        ":method|GET\n:scheme|https\n:path|/\n:authority|u@a\n",
        ":method|GET\n:scheme|https\n:path|/\n:authority|a b\n",
        ":method|GET\n:scheme|https\n:path|/\n:authority|a/b\n",
        ":method|GET\n:scheme|https\n:path|/\n:authority|a:99999\n",
        ":method|GET\n:scheme|https\n:path|/\n:authority|a\r\nX: y\n",
        BEGIN "host|b.example\n",
        BEGIN "host|\n",
        BEGIN "host|a.example\nhost|b.example\n",
        ":method|GET\n:scheme|https\n:path|/\nhost|a\nhost|b\n",
        ":method|GET\n:scheme|https\n:path|/\nhost|a b\n",
        /* names */
        BEGIN "X-Upper|x\n",
        BEGIN "x-upPer|x\n",
        BEGIN "|x\n",
        BEGIN "x y|x\n",
        BEGIN "x:|x\n",
        BEGIN "x\r\ny|x\n",
        BEGIN "x\x7f|x\n",
        BEGIN "x\xc3\xa4|x\n",
        BEGIN "content-length |0\n",
        BEGIN "x(y)|x\n",
        /* values */
        BEGIN "x|a\rb\n",
        BEGIN "x| a\n",
        BEGIN "x|a \n",
        BEGIN "x|\ta\n",
        BEGIN "x|a\t\n",
        BEGIN "x|a\x01z\n",
        BEGIN "x|a\x7fz\n",
        /* of the connection */
        BEGIN "connection|close\n",
        BEGIN "connection|\n",
        BEGIN "keep-alive|1\n",
        BEGIN "proxy-connection|close\n",
        BEGIN "transfer-encoding|chunked\n",
        BEGIN "transfer-encoding|identity\n",
        BEGIN "upgrade|h2c\n",
        BEGIN "te|gzip\n",
        BEGIN "te|trailers, gzip\n",
        BEGIN "te|\n",
        /* length */
        BEGIN "content-length|5\n",
        BEGIN "content-length|0\ncontent-length|0\n",
        BEGIN "content-length|+0\n",
        BEGIN "content-length|-0\n",
        BEGIN "content-length|0, 0\n",
        BEGIN "content-length|0x0\n",
        BEGIN "content-length|\n",
        BEGIN "content-length|99999999999999999999\n",
        /* extended CONNECT */
        BEGIN ":protocol|websocket\n",
        ":method|CONNECT\n:protocol|web socket\n:scheme|https\n:path|/\n:authority|a\n",
        ":method|CONNECT\n:protocol|\n:scheme|https\n:path|/\n:authority|a\n",
        ":method|CONNECT\n:protocol|websocket\n:path|/\n:authority|a\n",
        ":method|CONNECT\n:protocol|websocket\n:scheme|https\n:authority|a\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        bad_request(cases[i], 400);
    bad_request(":method|CONNECT\n:authority|a:443\n", 501);
    bad_request(":method|AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n:scheme|https\n:path|/\n:authority|a\n",
                501);
    bad_request(BEGIN "expect|200-ok\n", 417);
}

/* What cannot be written in a C string. */
static void values_with_nul_or_newline_are_refused(void **state)
{
    static const struct {
        struct pn_slice name, value;
    } cases[] = {
        {{"x", 1}, {"a\0b", 3}},    {{"x", 1}, {"\0", 1}},        {{"x\0", 2}, {"a", 1}},
        {{"x", 1}, {"a\nb", 3}},    {{"x", 1}, {"a\r\nb: c", 7}}, {{"x\ny", 3}, {"a", 1}},
        {{":path", 5}, {"/\n", 2}}, {{":path", 5}, {"/\0", 2}},   {{"a", 1}, {"b\r\n\r\nGET", 8}},
        {{"host", 4}, {"a\0", 2}},  {{"cookie", 6}, {"a\nb", 3}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t step = 0; step < 2; step++) {
            struct lab *lab = lab_create();
            struct pn_buf block;

            lab_open(lab, PN_H2_SERVER);
            put_start(lab);
            pn_buf_init(&block, 1u << 20);
            put_fields(&block, ":method|GET\n:scheme|https\n:authority|a\n");
            if (cases[i].name.ptr[0] != ':')
                put_fields(&block, ":path|/\n");
            put_field(&block, cases[i].name, cases[i].value);
            put_frame(&lab->in, HEADERS, END_HEADERS | END_STREAM, 1, pn_buf_slice(&block));
            lab_run(lab, step);
            if (lab->calls[0].request || lab->calls[0].refused != 400)
                fail_msg("case %zu was not refused", i);
            pn_buf_fini(&block);
            lab_destroy(lab);
        }
    }
}

static void good(const char *lines, size_t step, void (*check)(const struct pn_request_head *r))
{
    struct lab *lab = give(lines, step, END_STREAM, NULL);
    const struct call *call = &lab->calls[0];

    if (!call->request)
        fail_msg("refused (%d %s): %s", call->refused, call->cause ? call->cause : "", lines);
    if (check)
        check(call->request);
    assert_int_equal(find_sent(lab, HEADERS, 1)->status, 200);
    assert_true(call->is_closed);
    assert_int_equal(call->code, PN_H2_NO_ERROR);
    lab_destroy(lab);
}

static void good_requests_are_taken(void **state)
{
    static const char *const cases[] = {
        BEGIN,
        ":authority|a\n:path|/\n:scheme|http\n:method|GET\n", /* any order */
        ":method|GET\n:scheme|https\n:path|/\nhost|a\n",
        BEGIN "host|a.example\n",
        BEGIN "host|A.EXAMPLE\n",
        ":method|OPTIONS\n:scheme|https\n:path|*\n:authority|a\n",
        ":method|get\n:scheme|https\n:path|/\n:authority|a\n",
        ":method|GET\n:scheme|HTTPS\n:path|/?\n:authority|[::1]:8443\n",
        ":method|GET\n:scheme|https\n:path|//a/../%2e%00\\\n:authority|a\n",
        BEGIN "te|trailers\n",
        BEGIN "content-length|0\n",
        BEGIN "x|\n",
        BEGIN "x|a b\tc\n",
        BEGIN "x|\xc3\xa4\n",
        BEGIN "x|y\nx|y\n",
        BEGIN "priority|u=1, i\n",
        BEGIN "expect|100-continue\n",
        BEGIN "!#$%&'*+-.^_`|y\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        good(cases[i], 0, NULL);
        good(cases[i], 1, NULL);
    }
}

static void check_host(const struct pn_request_head *r)
{
    expect_slice(r->host, "a.example");
    expect_slice(r->headers.items[0].name, "host");
    expect_slice(r->headers.items[0].value, "a.example");
    assert_int_equal(pn_headers_count(&r->headers, "host"), 1);
}

static void host_is_a_field_in_front(void **state)
{
    (void)state;
    good(BEGIN "x|y\n", 1, check_host);
    good(BEGIN "host|a.example\nx|y\n", 1, check_host);
    good(":method|GET\n:scheme|https\n:path|/\nhost|a.example\n", 1, check_host);
}

static void check_cookie(const struct pn_request_head *r)
{
    assert_int_equal(pn_headers_count(&r->headers, "cookie"), 1);
    expect_slice(pn_headers_get(&r->headers, "cookie"), "a=b; c=d; e=f");
    expect_slice(pn_headers_get(&r->headers, "x"), "y");
}

static void cookie_crumbs_become_one_field(void **state)
{
    (void)state;
    good(BEGIN "cookie|a=b\nx|y\ncookie|c=d\ncookie|e=f\n", 0, check_cookie);
    good(BEGIN "cookie|a=b\nx|y\ncookie|c=d\ncookie|e=f\n", 1, check_cookie);
    good(BEGIN "x|y\ncookie|a=b; c=d; e=f\n", 1, check_cookie);
    good(BEGIN "x|y\ncookie|\ncookie|a=b; c=d\ncookie|\ncookie|e=f\ncookie|\n", 1, check_cookie);
}

static void the_framing_of_a_request_is_known(void **state)
{
    static const struct {
        const char *lines, *body;
        int framing;
        uint64_t length;
        bool expects;
    } cases[] = {
        {BEGIN, NULL, PN_BODY_NONE, 0, false},
        {BEGIN, "abc", PN_BODY_STREAMED, 0, false},
        {BEGIN "content-length|3\n", "abc", PN_BODY_LENGTH, 3, false},
        {BEGIN "content-length|0\n", "", PN_BODY_LENGTH, 0, false},
        {BEGIN "content-length|0003\n", "abc", PN_BODY_LENGTH, 3, false},
        {BEGIN "content-length|3\nexpect|100-continue\n", "abc", PN_BODY_LENGTH, 3, true},
        {BEGIN "expect|100-continue\n", "abc", PN_BODY_STREAMED, 0, true},
        {BEGIN "expect|100-continue\n", NULL, PN_BODY_NONE, 0, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t step = 0; step < 2; step++) {
            struct lab *lab =
                give(cases[i].lines, step, cases[i].body ? 0 : END_STREAM, cases[i].body);
            const struct call *call = &lab->calls[0];

            assert_non_null(call->request);
            assert_int_equal(call->request->framing, cases[i].framing);
            assert_int_equal(call->request->content_length, cases[i].length);
            assert_int_equal(call->request->expects_continue, cases[i].expects);
            if (cases[i].framing == PN_BODY_LENGTH)
                expect_slice(pn_headers_get(&call->request->headers, "content-length"),
                             cases[i].length == 3 ? "3" : "0");
            assert_true(call->has_ended);
            expect_slice(pn_buf_slice(&call->body), cases[i].body ? cases[i].body : "");
            lab_destroy(lab);
        }
    }
}

/* RFC 9113 §8.1.1. */
static void a_body_must_be_as_long_as_it_says(void **state)
{
    static const struct {
        const char *lines, *body;
    } cases[] = {
        {BEGIN "content-length|4\n", "abc"},
        {BEGIN "content-length|2\n", "abc"},
        {BEGIN "content-length|0\n", "a"},
        {BEGIN "content-length|1\n", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t step = 0; step < 2; step++) {
            struct lab *lab = give(cases[i].lines, step, 0, cases[i].body);
            const struct sent *reset = find_sent(lab, RST_STREAM, 1);

            assert_non_null(reset);
            assert_int_equal(reset->value, PN_H2_PROTOCOL_ERROR);
            assert_false(lab->calls[0].has_ended);
            assert_true(lab->calls[0].is_closed);
            assert_int_equal(lab->calls[0].failure, PN_MALFORMED);
            lab_destroy(lab);
        }
    }
}

/* Limits of heads: answered on the stream, while the connection lives on. */
static void heads_over_a_limit_are_answered(void **state)
{
    static const struct {
        size_t bytes, count, target;
        int status;
    } cases[] = {
        {400, 128, 1000, 0},  {401, 128, 1000, 431}, {1000, 7, 1000, 0},
        {1000, 6, 1000, 431}, {1000, 128, 10, 0},    {1000, 128, 9, 414},
    };
    /* 7 fields; 4 pseudo-headers; bytes with 32 for each field: 400 */
    char lines[512] = {0};
    size_t fill = 400 - 7 * 32;

    (void)state;
    (void)snprintf(lines, sizeof(lines),
                   ":method|GET\n:scheme|https\n:path|/123456789\n:authority|a\n"
                   "x|y\nz|\nfill|");
    for (const char *at = lines; *at; at++)
        fill -= *at != '|' && *at != '\n' ? 1 : 0;
    memset(lines + strlen(lines), 'f', fill);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t step = 0; step < 2; step++) {
            struct lab *lab = lab_create();

            pn_h2_config_init(&lab->config, PN_H2_SERVER);
            lab->config.http.header_bytes_max = cases[i].bytes == 401 ? 399 : cases[i].bytes;
            lab->config.http.header_count_max = cases[i].count;
            lab->config.http.target_bytes_max = cases[i].target;
            lab_open(lab, PN_H2_SERVER);
            put_start(lab);
            put_headers(&lab->in, 1, 0, lines);
            put_headers(&lab->in, 3, END_STREAM,
                        ":method|GET\n:scheme|https\n:path|/\n:authority|a\n");
            put_frame(&lab->in, DATA, END_STREAM, 1, PN_LIT("body"));
            lab_run(lab, step);
            assert_int_equal(lab->calls[0].refused, cases[i].status);
            assert_int_equal(find_sent(lab, HEADERS, 1)->status,
                             cases[i].status ? cases[i].status : 200);
            assert_int_equal(find_sent(lab, HEADERS, 3)->status, 200);
            assert_false(lab->has_goaway);
            lab_destroy(lab);
        }
    }
}

static void a_refused_request_that_goes_on_is_reset_after_its_answer(void **state)
{
    struct lab *lab = lab_create();

    (void)state;
    pn_h2_config_init(&lab->config, PN_H2_SERVER);
    lab->config.http.target_bytes_max = 5;
    lab_open(lab, PN_H2_SERVER);
    put_start(lab);
    put_headers(&lab->in, 1, 0, ":method|POST\n:scheme|https\n:path|/123456789\n:authority|a\n");
    lab_run(lab, 0);
    assert_int_equal(find_sent(lab, HEADERS, 1)->status, 414);
    assert_int_equal(find_sent(lab, RST_STREAM, 1)->value, PN_H2_NO_ERROR);
    put_frame(&lab->in, DATA, END_STREAM, 1, PN_LIT("under way"));
    put_headers(&lab->in, 3, END_STREAM, ":method|GET\n:scheme|https\n:path|/\n:authority|a\n");
    lab_run(lab, 0);
    assert_int_equal(find_sent(lab, HEADERS, 3)->status, 200);
    lab_destroy(lab);
}

static void the_trailers_of_a_request(void **state)
{
    static const struct {
        const char *trailers;
        int flags;
        const char *value; /* NULL: reset */
    } cases[] = {
        {"x-trailer|yes\n", END_STREAM, "yes"},
        {"content-length|7\nx-trailer|yes\nauthorization|no\n", END_STREAM, "yes"},
        {"other|x\n", END_STREAM, ""},
        {"x-trailer|yes\n", 0, NULL},
        {":path|/\n", END_STREAM, NULL},
        {"X-Trailer|yes\n", END_STREAM, NULL},
        {"x-trailer|a\rb\n", END_STREAM, NULL},
        {"connection|close\n", END_STREAM, NULL},
        {"transfer-encoding|chunked\n", END_STREAM, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t step = 0; step < 2; step++) {
            struct lab *lab = lab_create();

            lab_open(lab, PN_H2_SERVER);
            put_start(lab);
            put_headers(&lab->in, 1, 0, POST_FIELDS);
            put_frame(&lab->in, DATA, 0, 1, PN_LIT("abc"));
            put_headers(&lab->in, 1, cases[i].flags, cases[i].trailers);
            lab_run(lab, step);
            assert_int_equal(lab->calls[0].has_ended, cases[i].value != NULL);
            if (cases[i].value)
                expect_slice(lab->calls[0].trailer, cases[i].value);
            else
                assert_int_equal(find_sent(lab, RST_STREAM, 1)->value, PN_H2_PROTOCOL_ERROR);
            lab_destroy(lab);
        }
    }
}

static void trailers_over_a_limit_reset_the_stream(void **state)
{
    struct lab *lab = lab_create();

    (void)state;
    pn_h2_config_init(&lab->config, PN_H2_SERVER);
    lab->config.http.trailer_count_max = 2;
    lab_open(lab, PN_H2_SERVER);
    put_start(lab);
    put_headers(&lab->in, 1, 0, POST_FIELDS);
    put_headers(&lab->in, 1, END_STREAM, "a|b\nc|d\n");
    put_headers(&lab->in, 3, 0, POST_FIELDS);
    put_headers(&lab->in, 3, END_STREAM, "a|b\nc|d\ne|f\n");
    lab_run(lab, 0);
    assert_true(lab->calls[0].has_ended);
    assert_int_equal(lab->calls[1].failure, PN_LIMIT);
    assert_int_equal(find_sent(lab, RST_STREAM, 3)->value, PN_H2_PROTOCOL_ERROR);
    lab_destroy(lab);
}

/* ---- answers ---- */

/* The request is on its way, and the server's SETTINGS wait to be read. */
static struct lab *asked(const char *method)
{
    struct lab *lab = lab_create();
    struct call *call = &lab->calls[0];
    struct pn_headers none = {0};
    struct pn_h2_request request = {.method = pn_slice_str(method),
                                    .scheme = PN_LIT("https"),
                                    .authority = PN_LIT("a"),
                                    .path = PN_LIT("/"),
                                    .headers = &none,
                                    .user = call};

    lab->count = 1;
    call->arena = pn_arena_create(4096, 1u << 20);
    pn_buf_init(&call->body, 1u << 20);
    request.arena = call->arena;
    lab_open(lab, PN_H2_CLIENT);
    assert_int_equal(pn_h2_request(lab->h2, &request, &call->stream), PN_OK);
    lab_flush(lab);
    pn_buf_clear(&lab->out);
    put_frame(&lab->in, SETTINGS, 0, 0, pn_slice("", 0));
    return lab;
}

/* A client that has asked, and an answer of those fields. */
static struct lab *answered(const char *method, const char *lines, const char *body, int flags,
                            size_t step)
{
    struct lab *lab = asked(method);

    put_headers(&lab->in, 1, flags, lines);
    if (body)
        put_frame(&lab->in, DATA, END_STREAM, 1, pn_slice_str(body));
    lab_run(lab, step);
    return lab;
}

static void bad_answers_are_refused(void **state)
{
    static const struct {
        const char *method, *lines, *body;
        int flags;
    } cases[] = {
        {"GET", "x|y\n", NULL, END_STREAM},
        {"GET", ":status|20\n", NULL, END_STREAM},
        {"GET", ":status|2000\n", NULL, END_STREAM},
        {"GET", ":status|abc\n", NULL, END_STREAM},
        {"GET", ":status|099\n", NULL, END_STREAM},
        {"GET", ":status|600\n", NULL, END_STREAM},
        {"GET", ":status|+20\n", NULL, END_STREAM},
        {"GET", ":status|101\n", NULL, 0},
        {"GET", ":status|100\n", NULL, END_STREAM},
        {"GET", ":status|100\n", "abc", 0},
        {"GET", ":status|200\n:status|200\n", NULL, END_STREAM},
        {"GET", ":status|200\n:path|/\n", NULL, END_STREAM},
        {"GET", "x|y\n:status|200\n", NULL, END_STREAM},
        {"GET", ":status|200\nX|y\n", NULL, END_STREAM},
        {"GET", ":status|200\nx|a\rb\n", NULL, END_STREAM},
        {"GET", ":status|200\nx| a\n", NULL, END_STREAM},
        {"GET", ":status|200\nconnection|close\n", NULL, END_STREAM},
        {"GET", ":status|200\ntransfer-encoding|chunked\n", NULL, END_STREAM},
        {"GET", ":status|200\nupgrade|h2c\n", NULL, END_STREAM},
        {"GET", ":status|200\ncontent-length|5\n", NULL, END_STREAM},
        {"GET", ":status|200\ncontent-length|5\n", "abc", 0},
        {"GET", ":status|200\ncontent-length|2\n", "abc", 0},
        {"GET", ":status|200\ncontent-length|3, 3\n", "abc", 0},
        {"GET", ":status|200\ncontent-length|3\ncontent-length|3\n", "abc", 0},
        {"HEAD", ":status|200\n", "abc", 0},
        {"GET", ":status|204\n", "abc", 0},
        {"GET", ":status|304\ncontent-length|3\n", "abc", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t step = 0; step < 2; step++) {
            struct lab *lab =
                answered(cases[i].method, cases[i].lines, cases[i].body, cases[i].flags, step);
            const struct call *call = &lab->calls[0];

            if (!call->is_closed || call->code != PN_H2_PROTOCOL_ERROR || !call->cause ||
                call->has_ended)
                fail_msg("taken: %s %s", cases[i].lines, cases[i].body ? cases[i].body : "");
            assert_int_equal(find_sent(lab, RST_STREAM, 1)->value, PN_H2_PROTOCOL_ERROR);
            assert_false(call->is_unprocessed);
            lab_destroy(lab);
        }
    }
}

static void good_answers_are_taken(void **state)
{
    static const struct {
        const char *method, *lines, *body;
        int flags, framing;
    } cases[] = {
        {"GET", ":status|200\n", NULL, END_STREAM, PN_BODY_NONE},
        {"GET", ":status|200\n", "abc", 0, PN_BODY_STREAMED},
        {"GET", ":status|200\n", "", 0, PN_BODY_STREAMED},
        {"GET", ":status|200\ncontent-length|3\n", "abc", 0, PN_BODY_LENGTH},
        {"GET", ":status|200\ncontent-length|0\n", NULL, END_STREAM, PN_BODY_LENGTH},
        {"HEAD", ":status|200\ncontent-length|3\n", NULL, END_STREAM, PN_BODY_NONE},
        {"HEAD", ":status|200\ncontent-length|3\n", "", 0, PN_BODY_NONE},
        {"GET", ":status|304\ncontent-length|3\n", NULL, END_STREAM, PN_BODY_NONE},
        {"GET", ":status|204\n", "", 0, PN_BODY_NONE},
        {"GET", ":status|599\nx|\n", NULL, END_STREAM, PN_BODY_NONE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t step = 0; step < 2; step++) {
            struct lab *lab =
                answered(cases[i].method, cases[i].lines, cases[i].body, cases[i].flags, step);
            const struct call *call = &lab->calls[0];

            if (!call->response || !call->is_closed || call->code != PN_H2_NO_ERROR)
                fail_msg("refused: %s (%s)", cases[i].lines, call->cause ? call->cause : "");
            assert_int_equal(call->response->framing, cases[i].framing);
            assert_true(call->has_ended);
            expect_slice(pn_buf_slice(&call->body), cases[i].body ? cases[i].body : "");
            lab_destroy(lab);
        }
    }
}

static void a_reset_that_is_no_error_ends_an_answer_of_full_length(void **state)
{
    static const struct {
        const char *lines, *body;
        uint32_t code;
        bool is_whole;
    } cases[] = {
        {":status|200\ncontent-length|3\n", "abc", PN_H2_NO_ERROR, true},
        {":status|200\ncontent-length|0\n", NULL, PN_H2_NO_ERROR, true},
        {":status|200\ncontent-length|3\n", "abc", PN_H2_CANCEL, false},
        {":status|200\ncontent-length|4\n", "abc", PN_H2_NO_ERROR, false},
        {":status|200\n", "abc", PN_H2_NO_ERROR, false},
        {":status|103\n", NULL, PN_H2_NO_ERROR, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t step = 0; step < 2; step++) {
            struct lab *lab = asked("GET");
            const struct call *call = &lab->calls[0];

            put_headers(&lab->in, 1, 0, cases[i].lines);
            if (cases[i].body)
                put_frame(&lab->in, DATA, 0, 1, pn_slice_str(cases[i].body));
            put_frame_u32(&lab->in, RST_STREAM, 1, cases[i].code);
            lab_run(lab, step);
            if (!call->is_closed || call->has_ended != cases[i].is_whole)
                fail_msg("case %zu", i);
            if (cases[i].is_whole)
                expect_slice(pn_buf_slice(&call->body), cases[i].body ? cases[i].body : "");
            lab_destroy(lab);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_requests_are_refused_on_their_stream),
        cmocka_unit_test(a_good_authority_makes_no_other_one_good),
        cmocka_unit_test(values_with_nul_or_newline_are_refused),
        cmocka_unit_test(good_requests_are_taken),
        cmocka_unit_test(host_is_a_field_in_front),
        cmocka_unit_test(cookie_crumbs_become_one_field),
        cmocka_unit_test(the_framing_of_a_request_is_known),
        cmocka_unit_test(a_body_must_be_as_long_as_it_says),
        cmocka_unit_test(heads_over_a_limit_are_answered),
        cmocka_unit_test(a_refused_request_that_goes_on_is_reset_after_its_answer),
        cmocka_unit_test(a_reset_that_is_no_error_ends_an_answer_of_full_length),
        cmocka_unit_test(the_trailers_of_a_request),
        cmocka_unit_test(trailers_over_a_limit_reset_the_stream),
        cmocka_unit_test(bad_answers_are_refused),
        cmocka_unit_test(good_answers_are_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
