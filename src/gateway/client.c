/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections of clients: accept, events and timeouts by state, drain, the end.
 */
#include "gateway/client.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"
#include "gateway/client_h1.h"
#include "gateway/client_h2.h"

#define DROPS_MAX 64 /* reads in a row of what nobody wants */

#define TRIM_AFTER_MS 1000 /* so that a busy connection keeps its buffers */

void pn_client_arm(struct pn_client *client, uint64_t delay_ms)
{
    client->rest_ms = 0;
    pn_loop_arm(client->worker->loop, &client->timer, delay_ms);
}

void pn_client_arm_idle(struct pn_client *client, uint64_t delay_ms)
{
    bool is_long = client->origin.is_tls && delay_ms > 2 * TRIM_AFTER_MS;

    pn_client_arm(client, is_long ? TRIM_AFTER_MS : delay_ms);
    if (is_long)
        client->rest_ms = (uint32_t)(delay_ms - TRIM_AFTER_MS);
}

bool pn_client_is_used_up(const struct pn_client *client)
{
    uint64_t max = pn_limit_value(PN_LIMIT_CLIENT_REQUESTS);

    if (max == 0 || client->requests < max)
        return false;
    pn_limit_hit(PN_LIMIT_CLIENT_REQUESTS);
    return true;
}

static void client_free(void *object)
{
    free(object);
}

/** Whether its address may have one more connection; counted. */
static bool admit(struct pn_worker *worker, const struct pn_peer_address *peer)
{
    if (!worker->spec.addresses ||
        pn_address_count_add(worker->spec.addresses, peer,
                             pn_limit_value(PN_LIMIT_CLIENT_CONNECTIONS_PER_ADDRESS)))
        return true;
    pn_limit_hit(PN_LIMIT_CLIENT_CONNECTIONS_PER_ADDRESS);
    return false;
}

static void dismiss(struct pn_worker *worker, const struct pn_peer_address *peer)
{
    if (worker->spec.addresses)
        pn_address_count_drop(worker->spec.addresses, peer);
}

void pn_client_close(struct pn_client *client, bool abort)
{
    struct pn_worker *worker = client->worker;

    if (client->state == PN_CLIENT_CLOSED)
        return;
    client->state = PN_CLIENT_CLOSED;
    if (client->turn)
        pn_h1_cancel(client);
    if (client->h2)
        pn_h2_cancel(client);
    pn_loop_disarm(worker->loop, &client->timer);
    pn_loop_soon_cancel(&client->next);
    if (abort)
        pn_stream_abort(client->stream);
    else
        pn_stream_destroy(client->stream);
    client->stream = NULL;
    pn_inlet_fini(&client->inlet);
    pn_list_remove(&client->entry);
    dismiss(worker, &client->origin.peer);
    pn_loop_defer_free(worker->loop, &client->deferred, client_free, client);
    pn_metric_add(PN_METRIC_CLIENT_CONNECTIONS, -1);
    pn_worker_left(worker);
}

static void drop_input(struct pn_client *client)
{
    enum pn_rc rc = PN_OK;

    for (int i = 0; rc == PN_OK && i < DROPS_MAX; i++) {
        pn_inlet_consume(&client->inlet, pn_inlet_bytes(&client->inlet).len);
        rc = pn_inlet_read(&client->inlet, client->stream);
    }
    if (rc == PN_OK)
        pn_loop_soon(client->worker->loop, &client->next);
    else if (rc != PN_AGAIN)
        pn_client_close(client, false);
}

void pn_client_linger(struct pn_client *client)
{
    client->state = PN_CLIENT_LINGER;
    pn_stream_shutdown(client->stream);
    pn_client_arm(client, PN_CLIENT_LINGER_MS);
    client->inlet.is_drained = false;
    pn_loop_soon(client->worker->loop, &client->next);
}

/* --- events --- */

static void on_open(void *ctx, struct pn_stream *stream)
{
    struct pn_client *client = ctx;
    struct pn_worker *worker = client->worker;

    if (pn_worker_is_over(worker)) {
        pn_limit_hit(PN_LIMIT_DRAIN_IDLE);
        pn_client_close(client, false);
        return;
    }
    if (client->origin.is_tls && pn_stream_alpn(stream) == PN_ALPN_H2) {
        pn_h2_begin(client);
        return;
    }
    client->state = PN_CLIENT_IDLE;
    client->may_be_h2 = !client->origin.is_tls;
    if (worker->is_draining)
        pn_client_arm(client, pn_worker_last_wait_ms(worker));
    else
        pn_client_arm_idle(client, PN_CLIENT_HEADER_TIMEOUT_MS);
    pn_h1_read_requests(client);
}

static void on_failed(void *ctx, struct pn_stream *stream, const struct pn_tls_report *report)
{
    (void)stream;
    pn_log(PN_LOG_DEBUG, "client_handshake_failed", "cause", PN_S(pn_tls_cause_name(report->cause)),
           NULL);
    if (report->cause == PN_CAUSE_HANDSHAKE_TIMEOUT)
        pn_limit_hit(PN_LIMIT_CLIENT_TLS_TIMEOUT);
    pn_client_close(ctx, false);
}

static void on_readable(void *ctx, struct pn_stream *stream)
{
    struct pn_client *client = ctx;

    (void)stream;
    client->inlet.is_drained = false;
    switch (client->state) {
    case PN_CLIENT_IDLE:
    case PN_CLIENT_HEAD:
        pn_h1_read_requests(client);
        return;
    case PN_CLIENT_CALL:
        pn_h1_on_readable(client);
        return;
    case PN_CLIENT_H2:
        pn_h2_on_readable(client);
        return;
    case PN_CLIENT_LINGER:
        drop_input(client);
        return;
    case PN_CLIENT_OPENING:
    case PN_CLIENT_CLOSED:
        return;
    }
}

static void on_writable(void *ctx, struct pn_stream *stream)
{
    struct pn_client *client = ctx;

    (void)stream;
    if (client->state == PN_CLIENT_CALL)
        pn_h1_on_writable(client);
    else if (client->state == PN_CLIENT_H2)
        pn_h2_on_writable(client);
}

static const struct pn_stream_events client_events = {
    .on_open = on_open,
    .on_failed = on_failed,
    .on_readable = on_readable,
    .on_writable = on_writable,
};

static void on_soon(struct pn_task *task)
{
    struct pn_client *client = task->ctx;

    if (client->state == PN_CLIENT_LINGER)
        drop_input(client);
    else if (client->state == PN_CLIENT_H2)
        pn_h2_on_soon(client);
    else
        pn_h1_read_requests(client);
}

static void on_timer(struct pn_timer *timer)
{
    struct pn_client *client = timer->ctx;

    switch (client->state) {
    case PN_CLIENT_HEAD:
        pn_limit_hit(PN_LIMIT_CLIENT_HEADER_TIMEOUT);
        pn_metric_add(PN_METRIC_TIMEOUTS, 1);
        pn_h1_head_timeout(client);
        return;
    case PN_CLIENT_CALL:
        pn_h1_on_timeout(client);
        return;
    case PN_CLIENT_H2:
        pn_h2_on_timer(client);
        return;
    case PN_CLIENT_IDLE:
        if (client->rest_ms > 0) {
            pn_stream_trim(client->stream);
            pn_client_arm(client, client->rest_ms);
            return;
        }
        pn_limit_hit(client->worker->is_draining ? PN_LIMIT_DRAIN_IDLE
                     : client->requests > 0      ? PN_LIMIT_CLIENT_IDLE_TIMEOUT
                                                 : PN_LIMIT_CLIENT_HEADER_TIMEOUT);
        pn_client_close(client, false);
        return;
    case PN_CLIENT_OPENING: /* the stream has a timer of its own */
        pn_client_close(client, false);
        return;
    case PN_CLIENT_LINGER:
        pn_limit_hit(PN_LIMIT_CLIENT_LINGER_TIMEOUT);
        pn_client_close(client, false);
        return;
    case PN_CLIENT_CLOSED:
        return;
    }
}

void pn_client_accept(struct pn_worker *worker, int fd, bool is_tls,
                      const struct pn_peer_address *peer)
{
    struct pn_tls_server *server = is_tls ? pn_snapshot_listener(worker->pin->snapshot) : NULL;
    struct pn_client *client = NULL;

    if (!is_tls || server) /* TLS without a certificate yet: refuse */
        client = calloc(1, sizeof(*client));
    if (client && !admit(worker, peer)) {
        free(client);
        client = NULL;
    }
    if (!client) {
        pn_metric_add(PN_METRIC_CLIENT_REFUSED, 1);
        close(fd);
        pn_worker_left(worker);
        return;
    }
    client->worker = worker;
    client->origin.is_tls = is_tls;
    client->origin.peer = *peer;
    pn_inlet_init(&client->inlet, &worker->buffers);
    pn_timer_init(&client->timer, on_timer, client);
    pn_task_init(&client->next, on_soon, client);
    if (pn_stream_accept(worker->loop, fd, server, PN_CLIENT_TLS_TIMEOUT_MS, &client_events, client,
                         &client->stream) != PN_OK) {
        free(client);
        dismiss(worker, peer);
        pn_metric_add(PN_METRIC_CLIENT_REFUSED, 1);
        pn_worker_left(worker);
        return;
    }
    client->origin.stream = client->stream;
    pn_list_push_back(&worker->clients, &client->entry);
    pn_metric_add(PN_METRIC_CLIENT_CONNECTIONS, 1);
    pn_metric_add(PN_METRIC_CLIENT_ACCEPTED, 1);
}

void pn_clients_drain(struct pn_worker *worker, uint64_t idle_ms)
{
    for (struct pn_list *at = worker->clients.next; at != &worker->clients;) {
        struct pn_client *client = PN_CONTAINER(at, struct pn_client, entry);

        at = at->next;
        if (client->state == PN_CLIENT_H2) {
            pn_h2_drain(client, idle_ms);
        } else if (client->state == PN_CLIENT_IDLE || client->state == PN_CLIENT_OPENING) {
            if (idle_ms == 0)
                pn_client_close(client, false);
            else if (client->state == PN_CLIENT_IDLE) /* its next request may be on its way */
                pn_client_arm(client, idle_ms);
        }
    }
}

void pn_clients_abort(struct pn_worker *worker)
{
    while (!pn_list_is_empty(&worker->clients))
        pn_client_close(PN_CONTAINER(worker->clients.next, struct pn_client, entry), true);
}
