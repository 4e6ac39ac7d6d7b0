/* SPDX-License-Identifier: Apache-2.0
 *
 * What all versions of HTTP share: the connection, time, failures, the one retry. Every way out is
 * pn_exchange_finish() or pn_exchange_cancel().
 */
#include "upstream/exchange.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/metrics.h"
#include "upstream/exchange_internal.h"
#include "upstream/pool_internal.h"

void pn_exchange_arm(struct pn_exchange *exchange, uint64_t delay_ms)
{
    pn_loop_arm(pn_pool_loop(exchange->pool), &exchange->timer, delay_ms);
}

static void begin(struct pn_exchange *exchange, struct pn_conn *conn);

static void release(struct pn_exchange *exchange, bool keep)
{
    struct pn_conn *conn = exchange->conn;
    bool was_tunnel = exchange->state == PN_EXCHANGE_TUNNEL;

    if (was_tunnel)
        pn_metric_add(PN_METRIC_TUNNELS, -1);

    exchange->conn = NULL;
    exchange->awaits_continue = false;
    exchange->state = PN_EXCHANGE_IDLE;
    pn_loop_disarm(pn_pool_loop(exchange->pool), &exchange->timer);
    pn_loop_soon_cancel(&exchange->h1.again);
    if (!conn)
        return;
    if (conn->h2)
        pn_exchange_h2_release(exchange, conn);
    else if (keep)
        pn_pool_give_back(conn);
    else
        pn_pool_drop(conn);
}

/* --- failures --- */

void pn_exchange_fail(struct pn_exchange *exchange)
{
    release(exchange, false);
    exchange->events->on_failed(exchange->ctx);
}

/** Without a connection nothing can have left, but for what a first try has sent. */
static void take_acquire_failure(struct pn_exchange *exchange)
{
    exchange->failure = exchange->acquire.failure;
    exchange->failure.is_unsent = !exchange->was_retried;
}

bool pn_exchange_can_repeat_body(const struct pn_exchange *exchange)
{
    if (pn_source_can_rewind(exchange->spec.request_body))
        return true;
    pn_limit_hit(PN_LIMIT_REQUEST_REPLAY);
    return false;
}

void pn_exchange_retry(struct pn_exchange *exchange)
{
    struct pn_choice choice = {.avoid = exchange->conn};
    struct pn_pool_group *group = exchange->conn->group;
    struct pn_conn *conn = NULL;
    enum pn_rc rc;

    /* Not a mere refusal of the stream: who refuses because it is busy would get one connection
     * more for each. */
    if (!exchange->conn->h2 || pn_conn_h2_is_closing(exchange->conn))
        choice.since_ms = pn_loop_now_ms(pn_pool_loop(exchange->pool));
    pn_group_hold(group); /* it knows whether the identity has been retired */
    release(exchange, false);
    pn_source_rewind(exchange->spec.request_body);
    exchange->was_retried = true;
    exchange->state = PN_EXCHANGE_ACQUIRING;
    pn_exchange_arm(exchange, exchange->spec.timeout_ms);
    rc = pn_pool_take(exchange->pool, &exchange->acquire, &exchange->spec.demand, choice, &conn);
    pn_group_unhold(group);
    if (rc == PN_AGAIN)
        return;
    if (rc == PN_OK) {
        begin(exchange, conn);
        return;
    }
    take_acquire_failure(exchange);
    pn_exchange_fail(exchange);
}

void pn_exchange_connection_failed(struct pn_exchange *exchange)
{
    /* The report says why when TLS knows (a late alert of TLS 1.3). */
    const struct pn_tls_report *report = pn_stream_report(exchange->conn->stream);

    if (report && report->cause != PN_CAUSE_NONE)
        pn_failure_from_report(&exchange->failure, report);
    else
        pn_failure_set(&exchange->failure, "connection_closed",
                       "the backend closed the connection before it answered");
    if (report)
        snprintf(exchange->failure.peer, sizeof(exchange->failure.peer), "%s", report->peer);
    if (report && report->is_late)
        pn_pool_tell(exchange->pool, exchange->spec.demand.backend, &exchange->failure,
                     exchange->conn->stream);
    pn_exchange_fail(exchange);
}

/** The client may send the body that it holds back. */
static void go_on(struct pn_exchange *exchange)
{
    exchange->awaits_continue = false;
    pn_exchange_arm(exchange, exchange->spec.timeout_ms);
    exchange->events->on_continue(exchange->ctx);
}

/** Over HTTP/2 the timer is not armed anew with each byte of the body: what was taken since? */
static bool is_moving(const struct pn_exchange *exchange)
{
    return exchange->state == PN_EXCHANGE_SENDING && exchange->conn->h2 &&
           exchange->spec.request_body->taken_bytes != exchange->h2.taken_bytes;
}

static void on_timeout(struct pn_timer *timer)
{
    struct pn_exchange *exchange = timer->ctx;
    bool has_no_connection = exchange->state == PN_EXCHANGE_ACQUIRING;
    bool is_unsent =
        has_no_connection || (exchange->state == PN_EXCHANGE_SENDING && exchange->conn->h2 &&
                              pn_exchange_h2_is_unsent(exchange));

    if (exchange->awaits_continue && exchange->spec.continue_timeout_ms == 0) {
        pn_limit_hit(PN_LIMIT_BACKEND_CONTINUE_TIMEOUT);
        go_on(exchange);
        return;
    }
    if (is_moving(exchange)) {
        pn_exchange_sent_some(exchange);
        return;
    }
    pn_metric_add(PN_METRIC_TIMEOUTS, 1);
    if (has_no_connection)
        pn_acquire_cancel(&exchange->acquire);
    if (exchange->state == PN_EXCHANGE_ANSWERING) {
        pn_limit_hit(PN_LIMIT_BACKEND_BODY_TIMEOUT);
        exchange->reset_code = PN_H2_CANCEL;
        exchange->answer->failure = PN_TIMEOUT;
        exchange->events->on_body(exchange->ctx);
        return;
    }
    pn_limit_hit(exchange->awaits_continue ? PN_LIMIT_BACKEND_CONTINUE_TIMEOUT
                                           : PN_LIMIT_BACKEND_RESPONSE_TIMEOUT);
    if (exchange->awaits_continue)
        pn_failure_set(&exchange->failure, "continue_timeout",
                       "the backend did not ask for the body with 100 Continue within %llu ms",
                       (unsigned long long)exchange->spec.continue_timeout_ms);
    else
        pn_failure_set(&exchange->failure, "timeout", "the backend did not answer within %llu ms",
                       (unsigned long long)exchange->spec.timeout_ms);
    exchange->failure.is_timeout = true;
    exchange->failure.is_unsent = is_unsent && !exchange->was_retried;
    pn_exchange_fail(exchange);
}

bool pn_exchange_check_identity(struct pn_exchange *exchange)
{
    if (pn_conn_check(exchange->conn, &exchange->spec.demand) == PN_OK)
        return true;
    /* Counted there; nothing was written. */
    pn_failure_set(&exchange->failure, "identity_mismatch",
                   "the connection carries another identity than the request demands");
    pn_exchange_fail(exchange);
    return false;
}

/* --- heads --- */

enum pn_rc pn_exchange_malformed(struct pn_exchange *exchange, enum pn_rc rc, const char *cause)
{
    pn_failure_set(&exchange->failure,
                   rc == PN_LIMIT   ? "response_header_too_large"
                   : rc == PN_NOMEM ? "out_of_memory"
                                    : "malformed_response",
                   "the backend's answer: %s", cause);
    return rc;
}

static enum pn_rc check_switch(struct pn_exchange *exchange)
{
    struct pn_slice asked = exchange->spec.upgrade;

    if (!asked.ptr)
        return pn_exchange_malformed(exchange, PN_MALFORMED, "101 to a request without Upgrade");
    if (!pn_slice_case_eq(pn_headers_get(&exchange->response.headers, "Upgrade"), asked))
        return pn_exchange_malformed(exchange, PN_MALFORMED,
                                     "101 with another Upgrade than was asked for");
    return PN_OK;
}

enum pn_rc pn_exchange_take_head(struct pn_exchange *exchange)
{
    int status = exchange->response.status;

    if (status >= 200)
        return PN_OK;
    if (status == 101)
        return check_switch(exchange);
    if (++exchange->informational > pn_limit_value(PN_LIMIT_BACKEND_INFORMATIONAL)) {
        pn_limit_hit(PN_LIMIT_BACKEND_INFORMATIONAL);
        return pn_exchange_malformed(exchange, PN_MALFORMED,
                                     "more 1xx answers than the limit backend-informational");
    }
    if (status != 100)
        exchange->events->on_informational(exchange->ctx);
    else if (exchange->awaits_continue)
        go_on(exchange);
    return PN_AGAIN;
}

void pn_exchange_sending(struct pn_exchange *exchange)
{
    uint64_t wait_ms = exchange->spec.continue_timeout_ms;

    exchange->conn->requests++;
    exchange->awaits_continue = exchange->spec.expects_continue;
    if (!exchange->awaits_continue)
        wait_ms = exchange->spec.timeout_ms;
    else if (wait_ms == 0)
        wait_ms = pn_limit_value(PN_LIMIT_BACKEND_CONTINUE_TIMEOUT);
    pn_exchange_arm(exchange, wait_ms);
}

void pn_exchange_sent_some(struct pn_exchange *exchange)
{
    /* A client that does not wait for the 100 has answered for the backend. */
    if (exchange->awaits_continue && exchange->spec.request_body->taken_bytes == 0)
        return;
    exchange->awaits_continue = false;
    exchange->h2.taken_bytes = exchange->spec.request_body->taken_bytes;
    if (exchange->state == PN_EXCHANGE_SENDING)
        pn_exchange_arm(exchange, exchange->spec.timeout_ms);
}

void pn_exchange_answering(struct pn_exchange *exchange)
{
    exchange->awaits_continue = false;
    if (exchange->response.status == 101) {
        exchange->state = PN_EXCHANGE_TUNNEL;
        pn_metric_add(PN_METRIC_TUNNELS, 1);
        exchange->request_sent = true; /* until there is somebody who sends */
        pn_exchange_hold(exchange);
    } else {
        exchange->state = PN_EXCHANGE_ANSWERING;
        pn_exchange_wait(exchange);
    }
    exchange->events->on_head(exchange->ctx);
}

/* --- life --- */

/** The connection's identity is over, and so is the time to finish. */
static void on_drained(void *borrower)
{
    struct pn_exchange *exchange = borrower;

    pn_conn_fail_drained(exchange->conn, &exchange->failure);
    if (exchange->state == PN_EXCHANGE_ANSWERING || exchange->state == PN_EXCHANGE_TUNNEL) {
        exchange->reset_code = PN_H2_CANCEL;
        exchange->answer->failure = PN_TIMEOUT;
        exchange->events->on_body(exchange->ctx);
        return;
    }
    pn_exchange_fail(exchange);
}

static void begin(struct pn_exchange *exchange, struct pn_conn *conn)
{
    exchange->conn = conn;
    exchange->is_reused = conn->requests > 0;
    exchange->state = PN_EXCHANGE_SENDING;
    exchange->request_sent = false;
    exchange->h2.taken_bytes = 0;
    pn_headers_init(&exchange->trailers, exchange->spec.arena);
    if (conn->h2) {
        pn_exchange_h2_begin(exchange);
        return;
    }
    conn->on_drained = on_drained;
    conn->borrower = exchange;
    pn_exchange_h1_begin(exchange);
}

static void on_acquired(void *ctx, struct pn_conn *conn)
{
    begin(ctx, conn);
}

static void on_acquire_failed(void *ctx)
{
    struct pn_exchange *exchange = ctx;

    take_acquire_failure(exchange);
    pn_exchange_fail(exchange);
}

enum pn_rc pn_exchange_start(struct pn_exchange *exchange, const struct pn_exchange_spec *spec)
{
    struct pn_conn *conn = NULL;
    enum pn_rc rc;

    exchange->spec = *spec;
    exchange->was_retried = spec->was_retried;
    exchange->reset_code = PN_H2_INTERNAL_ERROR;
    exchange->informational = 0;
    exchange->failure.code = NULL;
    exchange->failure.peer[0] = '\0';
    exchange->failure.is_timeout = false;
    exchange->state = PN_EXCHANGE_ACQUIRING;
    rc = pn_pool_take(exchange->pool, &exchange->acquire, &spec->demand, (struct pn_choice){0},
                      &conn);
    if (rc == PN_OK) {
        begin(exchange, conn);
        return PN_OK;
    }
    if (rc == PN_AGAIN) {
        pn_exchange_arm(exchange, spec->timeout_ms);
        return PN_OK;
    }
    take_acquire_failure(exchange);
    exchange->state = PN_EXCHANGE_IDLE;
    return rc;
}

void pn_exchange_send(struct pn_exchange *exchange)
{
    if (!exchange->conn || exchange->request_sent)
        return;
    if (exchange->conn->h2)
        pn_exchange_h2_send(exchange);
    else
        pn_exchange_h1_send(exchange);
}

void pn_exchange_tunnel(struct pn_exchange *exchange, struct pn_source *client)
{
    assert(exchange->state == PN_EXCHANGE_TUNNEL);
    exchange->spec.request_body = client;
    exchange->request_sent = false;
    if (!exchange->conn)
        exchange->request_sent = true; /* its stream has ended meanwhile */
    else if (exchange->conn->h2)
        pn_exchange_h2_send(exchange);
    else
        pn_exchange_h1_tunnel(exchange);
}

bool pn_exchange_wants_body(struct pn_exchange *exchange)
{
    if (exchange->state != PN_EXCHANGE_SENDING || exchange->awaits_continue)
        return false;
    if (!exchange->conn->h2 && !pn_exchange_h1_wants_body(exchange))
        return false;
    return pn_source_peek(exchange->spec.request_body) == PN_AGAIN;
}

void pn_exchange_hold(struct pn_exchange *exchange)
{
    pn_loop_disarm(pn_pool_loop(exchange->pool), &exchange->timer);
}

void pn_exchange_wait(struct pn_exchange *exchange)
{
    if (exchange->state != PN_EXCHANGE_TUNNEL)
        pn_exchange_arm(exchange, pn_limit_value(PN_LIMIT_BACKEND_BODY_TIMEOUT));
}

void pn_exchange_finish(struct pn_exchange *exchange)
{
    release(exchange, exchange->conn && !exchange->conn->h2 &&
                          exchange->state == PN_EXCHANGE_ANSWERING &&
                          pn_exchange_h1_is_clean(exchange));
}

void pn_exchange_cancel(struct pn_exchange *exchange)
{
    if (exchange->state == PN_EXCHANGE_IDLE && !exchange->conn)
        return; /* finished, as nearly always: release() has left nothing */
    if (exchange->state == PN_EXCHANGE_ACQUIRING)
        pn_acquire_cancel(&exchange->acquire);
    release(exchange, false);
}

void pn_exchange_init(struct pn_exchange *exchange, struct pn_pool *pool,
                      const struct pn_exchange_events *events, void *ctx)
{
    memset(exchange, 0, sizeof(*exchange));
    exchange->pool = pool;
    exchange->events = events;
    exchange->ctx = ctx;
    exchange->reset_code = PN_H2_INTERNAL_ERROR;
    exchange->acquire.on_ready = on_acquired;
    exchange->acquire.on_failed = on_acquire_failed;
    exchange->acquire.ctx = exchange;
    pn_timer_init(&exchange->timer, on_timeout, exchange);
    pn_exchange_h1_init(exchange);
}

void pn_exchange_fini(struct pn_exchange *exchange)
{
    pn_exchange_cancel(exchange);
    pn_exchange_h1_fini(exchange);
}
