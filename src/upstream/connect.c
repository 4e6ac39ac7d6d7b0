/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the pool and the opening of connections: who waits for one, and whose place it takes.
 */
#include <stdlib.h>

#include "base/metrics.h"
#include "upstream/pool_internal.h"

static enum pn_rc give_up(struct pn_acquire *acquire, enum pn_rc rc)
{
    acquire->holds_place = false;
    acquire->group->open--;
    pn_metric_add(PN_METRIC_BACKEND_FAILED, 1);
    return rc;
}

/** From a callback: the request hears of it. */
static void fail(struct pn_acquire *acquire)
{
    struct pn_pool *pool = acquire->pool;

    (void)give_up(acquire, PN_UNAVAILABLE);
    if (!pn_list_is_empty(&acquire->group->queue))
        pn_loop_soon(pool->loop, &pool->serve_task);
    pn_acquire_leave(acquire);
    acquire->on_failed(acquire->ctx);
}

static void on_failed(void *ctx)
{
    struct pn_acquire *acquire = ctx;

    acquire->opening = NULL;
    fail(acquire);
}

static void on_open(void *ctx, struct pn_stream *stream)
{
    struct pn_acquire *acquire = ctx;
    struct pn_conn *conn = calloc(1, sizeof(*conn));

    acquire->opening = NULL;
    if (!conn) {
        pn_stream_destroy(stream);
        pn_failure_set(&acquire->failure, "out_of_memory", "no memory for a connection");
        fail(acquire);
        return;
    }
    pn_list_init(&conn->entry);
    conn->group = acquire->group;
    conn->stream = stream;
    conn->idle_since_ms = pn_loop_now_ms(acquire->pool->loop);
    pn_inlet_init(&conn->inlet, acquire->pool->buffers);
    acquire->holds_place = false; /* the place is the connection's now */
    pn_metric_add(PN_METRIC_BACKEND_CONNECTIONS, 1);
    pn_metric_add(PN_METRIC_BACKEND_CONNECTED, 1);
    pn_acquire_leave(acquire);
    acquire->on_ready(acquire->ctx, conn);
}

enum pn_rc pn_acquire_connect(struct pn_acquire *acquire)
{
    struct pn_pool_group *group = acquire->group;
    struct pn_opening_spec spec = {.loop = acquire->pool->loop,
                                   .resolver = acquire->pool->resolver,
                                   .host = pn_slice(group->host, group->host_len),
                                   .port = group->port,
                                   .tls = group->tls,
                                   .proxy = group->proxy,
                                   .timeout_ms = acquire->pool->limits.connect_timeout_ms,
                                   .on_open = on_open,
                                   .on_failed = on_failed,
                                   .ctx = acquire,
                                   .failure = &acquire->failure};
    enum pn_rc rc;

    group->open++;
    acquire->holds_place = true;
    rc = pn_opening_start(&spec, &acquire->opening);
    return rc == PN_AGAIN ? rc : give_up(acquire, rc);
}
