/* SPDX-License-Identifier: Apache-2.0
 *
 * One request over HTTP/1.1: when it is sent again, what comes before the answer, early answers,
 * tunnels.
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

#include "upstream/support.h"

#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

struct fixture {
    struct pn_fake_backend backend;
    struct pn_fake_user user;
    int fd; /* the last connection */
};

static int set_up(void **state)
{
    static const struct pn_pool_limits limits = PN_POOL_LIMITS_DEFAULT;
    struct fixture *f = calloc(1, sizeof(*f));

    pn_fake_open(&f->backend, &limits);
    pn_fake_user_init(&f->user, &f->backend);
    f->fd = -1;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    pn_fake_user_fini(&f->user);
    if (f->fd >= 0)
        close(f->fd);
    pn_fake_close(&f->backend);
    free(f);
    return 0;
}

static void start(struct fixture *f, const struct pn_exchange_spec *spec)
{
    assert_int_equal(pn_exchange_start(&f->user.exchange, spec), PN_OK);
}

/** A first request, so that the pool has a connection. */
static void warm_up(struct fixture *f)
{
    struct pn_exchange_spec spec = pn_fake_spec(&f->user, &f->backend, "GET", NULL, true);
    unsigned former = f->user.heads;

    start(f, &spec);
    f->fd = pn_fake_accept(&f->backend);
    assert_true(f->fd >= 0);
    assert_true(pn_fake_read(&f->backend, f->fd, "\r\n\r\n"));
    pn_fake_write(&f->backend, f->fd, ANSWER);
    assert_int_equal(f->user.heads, former + 1);
    assert_string_equal(pn_fake_answer(&f->user), "ok");
    pn_exchange_finish(&f->user.exchange);
    assert_int_equal(pn_pool_idle_count(f->backend.pool), 1);
}

/** The backend reads the request on the pooled connection and closes without an answer. */
static void die_on_request(struct fixture *f)
{
    assert_true(pn_fake_read(&f->backend, f->fd, "\r\n\r\n"));
    close(f->fd);
    f->fd = pn_fake_accept(&f->backend);
}

static void idempotent_request_is_sent_once_more_after_a_stale_connection(void **state)
{
    struct fixture *f = *state;
    struct pn_exchange_spec spec;

    warm_up(f);
    spec = pn_fake_spec(&f->user, &f->backend, "GET", NULL, true);
    start(f, &spec);
    die_on_request(f);
    assert_true(f->fd >= 0);
    assert_true(pn_fake_read(&f->backend, f->fd, "\r\n\r\n"));
    pn_fake_write(&f->backend, f->fd, ANSWER);
    assert_int_equal(f->user.heads, 2);
    assert_int_equal(f->user.failures, 0);
    /* The second connection was new: its loss is final. */
    pn_exchange_cancel(&f->user.exchange);
    close(f->fd);
    warm_up(f);
    spec = pn_fake_spec(&f->user, &f->backend, "GET", NULL, true);
    start(f, &spec);
    die_on_request(f);
    close(f->fd);
    f->fd = -1;
    pn_fake_turns(&f->backend, 5);
    assert_int_equal(f->user.failures, 1);
    assert_string_equal(f->user.exchange.failure.code, "connection_closed");
}

static void request_that_may_have_had_an_effect_is_not_sent_again(void **state)
{
    struct fixture *f = *state;
    struct pn_exchange_spec spec;

    warm_up(f);
    spec = pn_fake_spec(&f->user, &f->backend, "POST", NULL, true);
    start(f, &spec);
    die_on_request(f);
    assert_int_equal(f->fd, -1);
    assert_int_equal(f->user.failures, 1);
    assert_string_equal(f->user.exchange.failure.code, "connection_closed");
}

static void request_whose_body_was_taken_is_not_sent_again(void **state)
{
    struct fixture *f = *state;
    struct pn_exchange_spec spec;

    warm_up(f);
    spec = pn_fake_spec(&f->user, &f->backend, "PUT", "abc", false);
    start(f, &spec);
    die_on_request(f);
    assert_int_equal(f->fd, -1);
    assert_int_equal(f->user.failures, 1);
}

static void informational_answers_pass_and_have_a_bound(void **state)
{
    struct fixture *f = *state;
    struct pn_exchange_spec spec = pn_fake_spec(&f->user, &f->backend, "GET", NULL, true);

    start(f, &spec);
    f->fd = pn_fake_accept(&f->backend);
    pn_fake_write(&f->backend, f->fd, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    assert_int_equal(f->user.informational, 1);
    for (int i = 0; i < PN_LIMIT_BACKEND_INFORMATIONAL_DEFAULT; i++)
        pn_fake_write(&f->backend, f->fd, "HTTP/1.1 103 Early Hints\r\n\r\n");
    assert_int_equal(f->user.failures, 1);
    assert_string_equal(f->user.exchange.failure.code, "malformed_response");
}

static struct pn_exchange_spec expecting(struct fixture *f)
{
    struct pn_exchange_spec spec = pn_fake_spec(&f->user, &f->backend, "POST", "", false);

    f->user.body.text = NULL;
    spec.expects_continue = true;
    return spec;
}

static void expect_goes_to_the_backend_and_its_100_lets_the_body_come(void **state)
{
    struct fixture *f = *state;
    struct pn_exchange_spec spec = expecting(f);

    start(f, &spec);
    f->fd = pn_fake_accept(&f->backend);
    assert_true(pn_fake_read(&f->backend, f->fd, "\r\n\r\n"));
    assert_non_null(strstr(f->backend.in, "Expect: 100-continue\r\n"));
    assert_int_equal(f->user.continues, 0);
    assert_false(pn_exchange_wants_body(&f->user.exchange));
    pn_fake_write(&f->backend, f->fd, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_int_equal(f->user.continues, 1);
    assert_true(pn_exchange_wants_body(&f->user.exchange));
    f->user.body.text = "abc";
    f->user.body.ends = true;
    pn_exchange_send(&f->user.exchange);
    assert_true(pn_fake_read(&f->backend, f->fd, "3\r\nabc\r\n0\r\n\r\n"));
    pn_fake_write(&f->backend, f->fd, ANSWER);
    assert_int_equal(f->user.heads, 1);
}

static void final_answer_instead_of_100_asks_for_no_body_and_ends_the_connection(void **state)
{
    struct fixture *f = *state;
    struct pn_exchange_spec spec = expecting(f);

    start(f, &spec);
    f->fd = pn_fake_accept(&f->backend);
    pn_fake_write(&f->backend, f->fd, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(f->user.continues, 0);
    assert_int_equal(f->user.status, 403);
    pn_exchange_finish(&f->user.exchange);
    assert_true(pn_fake_is_closed(&f->backend, f->fd)); /* half a request is on it */
}

static void continue_timeout_of_the_policy_fails_the_request(void **state)
{
    struct fixture *f = *state;
    struct pn_exchange_spec spec = expecting(f);

    spec.continue_timeout_ms = 20;
    start(f, &spec);
    f->fd = pn_fake_accept(&f->backend);
    pn_fake_turns(&f->backend, 60);
    assert_int_equal(f->user.continues, 0);
    assert_int_equal(f->user.failures, 1);
    assert_string_equal(f->user.exchange.failure.code, "continue_timeout");
    assert_true(f->user.exchange.failure.is_timeout);
}

static void early_answer_reaches_the_client_while_the_body_goes_on(void **state)
{
    struct fixture *f = *state;
    struct pn_exchange_spec spec = pn_fake_spec(&f->user, &f->backend, "POST", "abc", false);

    start(f, &spec);
    f->fd = pn_fake_accept(&f->backend);
    pn_fake_write(&f->backend, f->fd, ANSWER);
    assert_int_equal(f->user.heads, 1);
    f->user.body.text = "def";
    f->user.body.ends = true;
    pn_exchange_send(&f->user.exchange);
    assert_true(pn_fake_read(&f->backend, f->fd, "def\r\n0\r\n\r\n"));
    assert_string_equal(pn_fake_answer(&f->user), "ok");
    pn_exchange_finish(&f->user.exchange);
    assert_int_equal(pn_pool_idle_count(f->backend.pool), 1);
}

static void te_trailers_goes_along_and_trailers_come_back(void **state)
{
    struct fixture *f = *state;
    struct pn_exchange_spec spec = pn_fake_spec(&f->user, &f->backend, "GET", NULL, true);

    spec.accepts_trailers = true;
    start(f, &spec);
    f->fd = pn_fake_accept(&f->backend);
    assert_true(pn_fake_read(&f->backend, f->fd, "TE: trailers\r\nConnection: keep-alive, TE\r\n"));
    pn_fake_write(&f->backend, f->fd,
                  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"
                  "Sum: 7\r\n\r\n");
    assert_string_equal(pn_fake_answer(&f->user), "ok");
    assert_true(pn_slice_eq_str(pn_headers_get(f->user.exchange.answer->trailers, "Sum"), "7"));
}

static struct pn_exchange_spec upgrading(struct fixture *f)
{
    struct pn_exchange_spec spec = pn_fake_spec(&f->user, &f->backend, "GET", NULL, true);

    spec.upgrade = PN_LIT("websocket");
    return spec;
}

static void tunnel_carries_bytes_both_ways_and_half_closes_each_way(void **state)
{
    struct fixture *f = *state;
    struct pn_exchange_spec spec = upgrading(f);

    start(f, &spec);
    f->fd = pn_fake_accept(&f->backend);
    assert_true(pn_fake_read(&f->backend, f->fd, "Upgrade: websocket\r\nConnection: Upgrade\r\n"));
    pn_fake_write(&f->backend, f->fd,
                  "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                  "Upgrade: WebSocket\r\n\r\nfirst");
    assert_int_equal(f->user.status, 101);
    assert_int_equal(f->user.exchange.state, PN_EXCHANGE_TUNNEL);
    assert_string_equal(pn_fake_answer(&f->user), "first");
    pn_source_init(&f->user.body.source, f->user.body.source.ops, false);
    f->user.body.text = "raw";
    pn_exchange_tunnel(&f->user.exchange, &f->user.body.source);
    assert_true(pn_fake_read(&f->backend, f->fd, "raw"));
    assert_string_equal(f->backend.in, "raw");
    f->user.body.ends = true;
    f->user.body.source.held = pn_slice("", 0);
    pn_exchange_send(&f->user.exchange);
    assert_int_equal(f->user.sent, 1);
    assert_true(pn_fake_is_closed(&f->backend, f->fd)); /* our half */
    pn_fake_write(&f->backend, f->fd, "last");
    assert_string_equal(pn_fake_answer(&f->user), "last");
    shutdown(f->fd, SHUT_WR);
    pn_fake_turns(&f->backend, 3);
    assert_string_equal(pn_fake_answer(&f->user), "");
    assert_true(f->user.exchange.answer->has_ended);
    pn_exchange_finish(&f->user.exchange);
    assert_int_equal(pn_pool_idle_count(f->backend.pool), 0);
}

static void switch_that_nobody_asked_for_is_refused(void **state)
{
    struct fixture *f = *state;
    struct pn_exchange_spec spec = upgrading(f);

    start(f, &spec);
    f->fd = pn_fake_accept(&f->backend);
    pn_fake_write(&f->backend, f->fd, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n");
    assert_int_equal(f->user.failures, 1);
    assert_string_equal(f->user.exchange.failure.code, "malformed_response");
    spec.upgrade.ptr = NULL;
    close(f->fd);
    start(f, &spec);
    f->fd = pn_fake_accept(&f->backend);
    pn_fake_write(&f->backend, f->fd,
                  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
    assert_int_equal(f->user.failures, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(idempotent_request_is_sent_once_more_after_a_stale_connection),
        TEST(request_that_may_have_had_an_effect_is_not_sent_again),
        TEST(request_whose_body_was_taken_is_not_sent_again),
        TEST(informational_answers_pass_and_have_a_bound),
        TEST(expect_goes_to_the_backend_and_its_100_lets_the_body_come),
        TEST(final_answer_instead_of_100_asks_for_no_body_and_ends_the_connection),
        TEST(continue_timeout_of_the_policy_fails_the_request),
        TEST(early_answer_reaches_the_client_while_the_body_goes_on),
        TEST(te_trailers_goes_along_and_trailers_come_back),
        TEST(tunnel_carries_bytes_both_ways_and_half_closes_each_way),
        TEST(switch_that_nobody_asked_for_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
