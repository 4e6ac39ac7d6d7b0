/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening a connection: name, then each address in order until one is open. A refusal that another
 * address would repeat (the backend's certificate, ours, the keyholder) ends it at once.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"
#include "upstream/pool_internal.h"

static enum pn_rc connect_next(struct pn_acquire *acquire);

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

static void on_open(void *ctx, struct pn_stream *stream)
{
    struct pn_acquire *acquire = ctx;
    struct pn_conn *conn = calloc(1, sizeof(*conn));

    acquire->connecting = NULL;
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

static bool another_address_may_help(const struct pn_tls_report *report)
{
    return report->stage == PN_STAGE_CONNECT || report->cause == PN_CAUSE_HANDSHAKE_TIMEOUT ||
           report->cause == PN_CAUSE_CLOSED_IN_HANDSHAKE || report->cause == PN_CAUSE_RESET;
}

static void on_failed(void *ctx, struct pn_stream *stream, const struct pn_tls_report *report)
{
    struct pn_acquire *acquire = ctx;
    bool go_on = another_address_may_help(report);

    pn_failure_from_report(&acquire->failure, report);
    acquire->connecting = NULL;
    pn_stream_destroy(stream);
    if (go_on && acquire->next_address < acquire->resolve.count &&
        connect_next(acquire) == PN_AGAIN)
        return;
    fail(acquire);
}

static void ignore_event(void *ctx, struct pn_stream *stream)
{
    (void)ctx;
    (void)stream;
}

static const struct pn_stream_events connect_events = {
    .on_open = on_open,
    .on_failed = on_failed,
    .on_readable = ignore_event,
    .on_writable = ignore_event,
};

/** PN_AGAIN: under way. */
static enum pn_rc connect_next(struct pn_acquire *acquire)
{
    struct pn_pool_group *group = acquire->group;
    struct pn_target target = {.is_tls = group->tls != NULL,
                               .host = pn_slice(group->host, group->host_len),
                               .port = group->port};
    struct pn_demand demand = {.target = &target, .tls = group->tls};
    enum pn_rc rc = PN_UNAVAILABLE;

    while (acquire->next_address < acquire->resolve.count) {
        struct pn_peer_address peer = acquire->resolve.addresses[acquire->next_address++];
        struct pn_tls_identity identity;
        struct pn_stream_connect_spec spec = {.identity = &identity,
                                              .tls = group->tls,
                                              .timeout_ms =
                                                  acquire->pool->limits.connect_timeout_ms,
                                              .fd = -1};
        struct pn_error err = {.rc = PN_OK};

        peer.port = group->port;
        rc = pn_pool_identity(&demand, &peer, &identity);
        if (rc != PN_OK) {
            pn_failure_set(&acquire->failure, "dns_failed", "not a host name that TLS can check");
            return rc;
        }
        rc = pn_stream_connect(acquire->pool->loop, &spec, &connect_events, acquire,
                               &acquire->connecting, &err);
        if (rc == PN_OK)
            return PN_AGAIN;
        if (rc == PN_INVALID) { /* our certificate is not valid now: no connection was made */
            bool is_early = strcmp(err.code, "certificate_not_yet_valid") == 0;

            pn_failure_set(&acquire->failure,
                           is_early ? "client_certificate_not_yet_valid"
                                    : "client_certificate_expired",
                           "%s", err.message);
            return rc;
        }
        pn_failure_set(&acquire->failure,
                       rc == PN_CONFLICT ? "identity_mismatch" : "connect_failed", "%s",
                       err.message);
    }
    return rc;
}

static void set_dns_failure(struct pn_acquire *acquire)
{
    pn_failure_set(&acquire->failure, "dns_failed", "cannot resolve '%.*s': %s",
                   (int)acquire->group->host_len, acquire->group->host,
                   acquire->resolve.reason ? acquire->resolve.reason : "no answer");
}

static void on_resolved(struct pn_resolve *query)
{
    struct pn_acquire *acquire = query->ctx;

    acquire->is_resolving = false;
    if (query->rc != PN_OK)
        set_dns_failure(acquire);
    else if (connect_next(acquire) == PN_AGAIN)
        return;
    fail(acquire);
}

enum pn_rc pn_acquire_connect(struct pn_acquire *acquire)
{
    struct pn_pool_group *group = acquire->group;
    enum pn_rc rc;

    group->open++;
    acquire->holds_place = true;
    acquire->next_address = 0;
    acquire->connecting = NULL;
    acquire->resolve.on_done = on_resolved;
    acquire->resolve.ctx = acquire;
    rc = pn_resolver_start(acquire->pool->resolver, &acquire->resolve,
                           pn_slice(group->host, group->host_len));
    if (rc == PN_AGAIN) {
        acquire->is_resolving = true;
        return PN_AGAIN;
    }
    if (rc != PN_OK) {
        set_dns_failure(acquire);
        return give_up(acquire, rc);
    }
    rc = connect_next(acquire);
    return rc == PN_AGAIN ? rc : give_up(acquire, rc);
}
