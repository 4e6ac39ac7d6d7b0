/* SPDX-License-Identifier: Apache-2.0
 *
 * The pool: reuse within an identity, never across.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/metrics.h"
#include "signer/signer.h"
#include "upstream/pool.h"
#include "upstream/quota.h"

struct fixture {
    struct pn_loop *loop;
    struct pn_io_buffers buffers;
    struct pn_pool *pool;
    int listener;
    uint16_t port;
    struct pn_conn *conn;
    bool has_failed;
};

static int set_up(void **state)
{
    static const struct pn_pool_limits limits = {.connections_max = 2,
                                                 .idle_max = 1,
                                                 .queue_max = 1,
                                                 .idle_timeout_ms = 50000,
                                                 .age_max_ms = 600000,
                                                 .connect_timeout_ms = 2000,
                                                 .host_connections_max = 3,
                                                 .streams_max = 100};
    struct fixture *f = calloc(1, sizeof(*f));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);

    f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(f->listener, 16), 0);
    assert_int_equal(getsockname(f->listener, (struct sockaddr *)&address, &len), 0);
    f->port = ntohs(address.sin_port);
    assert_int_equal(pn_loop_create(&f->loop, NULL), PN_OK);
    pn_io_buffers_init(&f->buffers);
    assert_int_equal(pn_pool_create(f->loop, &limits, &f->buffers, NULL, &f->pool, NULL), PN_OK);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    pn_pool_destroy(f->pool);
    pn_loop_destroy(f->loop);
    pn_io_buffers_fini(&f->buffers);
    close(f->listener);
    free(f);
    return 0;
}

static void on_ready(void *ctx, struct pn_conn *conn)
{
    struct fixture *f = ctx;

    f->conn = conn;
}

static void on_failed(void *ctx)
{
    struct fixture *f = ctx;

    f->has_failed = true;
}

static struct pn_target target_at(const char *host, uint16_t port)
{
    return (struct pn_target){.host = pn_slice_str(host), .port = port};
}

static struct pn_conn *take(struct fixture *f, const struct pn_target *target)
{
    struct pn_acquire acquire = {.on_ready = on_ready, .on_failed = on_failed, .ctx = f};
    struct pn_demand demand = {.target = target};
    enum pn_rc rc;

    f->conn = NULL;
    f->has_failed = false;
    rc = pn_pool_take(f->pool, &acquire, &demand, (struct pn_choice){0}, &f->conn);
    for (int i = 0; rc == PN_AGAIN && !f->conn && !f->has_failed && i < 100; i++)
        assert_int_equal(pn_loop_turn(f->loop, 100, NULL), PN_OK);
    return f->conn;
}

static void connection_is_reused_by_the_same_identity_only(void **state)
{
    struct fixture *f = *state;
    struct pn_target target = target_at("127.0.0.1", f->port);
    struct pn_target other = target_at("localhost", f->port);
    struct pn_conn *first = take(f, &target);
    struct pn_conn *second;

    assert_non_null(first);
    pn_pool_give_back(first);
    assert_int_equal(pn_pool_idle_count(f->pool), 1);
    second = take(f, &other);
    assert_non_null(second);
    assert_ptr_not_equal(second, first);
    assert_ptr_equal(take(f, &target), first);
    pn_pool_drop(first);
    pn_pool_drop(second);
}

static void request_never_travels_on_a_connection_of_another_identity(void **state)
{
    struct fixture *f = *state;
    struct pn_target target = target_at("127.0.0.1", f->port);
    struct pn_target other_port = target_at("127.0.0.1", (uint16_t)(f->port ^ 1));
    struct pn_target other_host = target_at("localhost", f->port);
    struct pn_demand demand = {.target = &target};
    struct pn_signer *signer = NULL;
    struct pn_trust *trust = NULL;
    struct pn_tls_client *tls = NULL;
    struct pn_conn *conn = take(f, &target);
    int64_t before = pn_metric_get(PN_METRIC_IDENTITY_MISMATCH);

    assert_non_null(conn);
    assert_int_equal(pn_conn_check(conn, &demand), PN_OK);
    assert_int_equal(pn_metric_get(PN_METRIC_IDENTITY_MISMATCH), before);
    demand.target = &other_port;
    assert_int_equal(pn_conn_check(conn, &demand), PN_CONFLICT);
    demand.target = &other_host;
    assert_int_equal(pn_conn_check(conn, &demand), PN_CONFLICT);
    assert_int_equal(pn_signer_create(&signer, NULL), PN_OK);
    assert_int_equal(pn_trust_create(NULL, false, false, &trust, NULL), PN_OK);
    assert_int_equal(pn_tls_client_create(signer, trust, NULL, PN_ALPN_HTTP11, &tls, NULL), PN_OK);
    demand.target = &target;
    demand.tls = tls;
    assert_int_equal(pn_conn_check(conn, &demand), PN_CONFLICT);
    assert_int_equal(pn_metric_get(PN_METRIC_IDENTITY_MISMATCH), before + 3);
    pn_pool_drop(conn);
    pn_tls_client_unref(tls);
    pn_trust_unref(trust);
    pn_signer_destroy(signer);
}

static void connection_that_the_backend_closed_is_not_given(void **state)
{
    struct fixture *f = *state;
    struct pn_target target = target_at("127.0.0.1", f->port);
    struct pn_conn *conn = take(f, &target);
    int fd = accept(f->listener, NULL, NULL);

    assert_non_null(conn);
    pn_pool_give_back(conn);
    close(fd);
    for (int i = 0; pn_pool_idle_count(f->pool) > 0 && i < 100; i++)
        assert_int_equal(pn_loop_turn(f->loop, 100, NULL), PN_OK);
    assert_int_equal(pn_pool_idle_count(f->pool), 0);
}

static void waiting_requests_get_what_is_given_back_and_the_queue_has_a_bound(void **state)
{
    struct fixture *f = *state;
    struct pn_target target = target_at("127.0.0.1", f->port);
    struct pn_demand demand = {.target = &target};
    struct pn_acquire waiting = {.on_ready = on_ready, .on_failed = on_failed, .ctx = f};
    struct pn_acquire refused = waiting;
    struct pn_conn *first = take(f, &target);
    struct pn_conn *second = take(f, &target);
    struct pn_conn *third = NULL;

    assert_non_null(second);
    assert_int_equal(pn_pool_take(f->pool, &waiting, &demand, (struct pn_choice){0}, &third),
                     PN_AGAIN);
    assert_int_equal(pn_pool_take(f->pool, &refused, &demand, (struct pn_choice){0}, &third),
                     PN_LIMIT);
    assert_string_equal(refused.failure.code, "backend_queue_full");
    f->conn = NULL;
    pn_pool_give_back(first);
    for (int i = 0; !f->conn && i < 100; i++)
        assert_int_equal(pn_loop_turn(f->loop, 100, NULL), PN_OK);
    assert_ptr_equal(f->conn, first);
    pn_pool_drop(first);
    pn_pool_drop(second);
}

static void one_host_has_a_bound_over_all_its_identities(void **state)
{
    struct fixture *f = *state;
    struct pn_target target = target_at("127.0.0.1", f->port);
    struct pn_demand demand = {.target = &target};
    struct pn_demand other = {.target = &target, .is_h2c = true};
    struct pn_acquire waiting = {.on_ready = on_ready, .on_failed = on_failed, .ctx = f};
    struct pn_conn *third = NULL;
    struct pn_conn *conns[2];

    conns[0] = take(f, &target);
    conns[1] = take(f, &target);
    pn_pool_give_back(conns[1]);
    assert_int_equal(pn_pool_idle_count(f->pool), 1);
    assert_int_equal(pn_pool_open_count(f->pool), 2);
    /* The third place of the host: the connection's with another identity. */
    f->conn = NULL;
    assert_int_equal(pn_pool_take(f->pool, &waiting, &other, (struct pn_choice){0}, &third),
                     PN_AGAIN);
    for (int i = 0; !f->conn && i < 100; i++)
        assert_int_equal(pn_loop_turn(f->loop, 100, NULL), PN_OK);
    assert_non_null(f->conn);
    assert_non_null(f->conn->h2);
    assert_int_equal(pn_conn_check(f->conn, &other), PN_OK);
    assert_int_equal(pn_conn_check(f->conn, &demand), PN_CONFLICT);
    assert_int_equal(pn_pool_open_count(f->pool), 3);
    pn_pool_drop(conns[0]);
}

/* --- places that several threads share --- */

struct waiter {
    struct pn_pool *pool;
    struct pn_acquire acquire;
    struct pn_conn *conn;
};

static void on_waiter_ready(void *ctx, struct pn_conn *conn)
{
    struct waiter *waiter = ctx;

    waiter->conn = conn;
}

static void on_waiter_failed(void *ctx)
{
    (void)ctx;
    fail();
}

static void ask(struct waiter *waiter, struct pn_pool *pool, const struct pn_target *target)
{
    struct pn_demand demand = {.target = target};

    *waiter = (struct waiter){
        .pool = pool,
        .acquire = {.on_ready = on_waiter_ready, .on_failed = on_waiter_failed, .ctx = waiter}};
    if (pn_pool_take(pool, &waiter->acquire, &demand, (struct pn_choice){0}, &waiter->conn) !=
        PN_OK)
        assert_null(waiter->conn);
}

static void turns(struct fixture *f, unsigned count)
{
    for (; count > 0; count--)
        assert_int_equal(pn_loop_turn(f->loop, 2, NULL), PN_OK);
}

/* Who has a connection leaves a free place to one who has none; when that one has his, the others
 * are told that there is another one, though nobody gives one back any more. */
static void who_held_back_for_a_poor_one_gets_what_is_left(void **state)
{
    static const struct pn_pool_limits limits = {.connections_max = 3,
                                                 .host_connections_max = 3,
                                                 .idle_max = 1,
                                                 .queue_max = 8,
                                                 .idle_timeout_ms = 50000,
                                                 .age_max_ms = 600000,
                                                 .connect_timeout_ms = 2000,
                                                 .streams_max = 100};
    struct fixture *f = *state;
    struct pn_target target = target_at("127.0.0.1", f->port);
    struct pn_quotas *quotas = pn_quotas_create();
    struct pn_pool *pools[3];
    struct waiter rich, second, poor, others[2];

    for (size_t gives_up = 0; gives_up < 2; gives_up++) {
        for (size_t i = 0; i < 3; i++)
            assert_int_equal(pn_pool_create(f->loop, &limits, &f->buffers, quotas, &pools[i], NULL),
                             PN_OK);
        ask(&rich, pools[0], &target);
        ask(&others[0], pools[2], &target);
        ask(&others[1], pools[2], &target);
        turns(f, 10);
        assert_non_null(rich.conn);
        assert_non_null(others[0].conn);
        assert_non_null(others[1].conn);
        ask(&poor, pools[1], &target);
        ask(&second, pools[0], &target);
        turns(f, 10);
        assert_null(poor.conn);
        assert_null(second.conn);
        pn_pool_drop(others[0].conn);
        pn_pool_drop(others[1].conn);
        if (gives_up) /* in the moment in which he is woken */
            pn_acquire_cancel(&poor.acquire);
        turns(f, 20);
        assert_non_null(second.conn);
        if (!gives_up)
            assert_non_null(poor.conn);
        for (size_t i = 0; i < 3; i++) {
            struct pn_conn *held[] = {i == 0                ? rich.conn
                                      : i == 1 && !gives_up ? poor.conn
                                                            : NULL,
                                      i == 0 ? second.conn : NULL};

            for (size_t k = 0; k < 2; k++) {
                if (held[k])
                    pn_pool_drop(held[k]);
            }
            pn_pool_destroy(pools[i]);
        }
        turns(f, 2);
    }
    pn_quotas_destroy(quotas);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(connection_is_reused_by_the_same_identity_only),
        TEST(request_never_travels_on_a_connection_of_another_identity),
        TEST(connection_that_the_backend_closed_is_not_given),
        TEST(one_host_has_a_bound_over_all_its_identities),
        TEST(waiting_requests_get_what_is_given_back_and_the_queue_has_a_bound),
        TEST(who_held_back_for_a_poor_one_gets_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
