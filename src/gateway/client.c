/* SPDX-License-Identifier: Apache-2.0
 *
 * Connections of clients: reading heads, timeouts, keep-alive, the end.
 */
#include "gateway/client.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"
#include "gateway/call.h"

static void read_requests(struct pn_client *client);

void pn_client_arm(struct pn_client *client, uint64_t delay_ms)
{
    pn_loop_arm(client->worker->loop, &client->timer, delay_ms);
}

static void client_free(void *object)
{
    free(object);
}

void pn_client_close(struct pn_client *client, bool abort)
{
    struct pn_worker *worker = client->worker;

    if (client->state == PN_CLIENT_CLOSED)
        return;
    client->state = PN_CLIENT_CLOSED;
    if (client->call) {
        struct pn_call *call = client->call;

        client->call = NULL;
        pn_call_cancel(call);
    }
    pn_loop_disarm(worker->loop, &client->timer);
    pn_loop_soon_cancel(&client->next);
    if (abort)
        pn_stream_abort(client->stream);
    else
        pn_stream_destroy(client->stream);
    client->stream = NULL;
    pn_inlet_fini(&client->inlet);
    pn_list_remove(&client->entry);
    pn_loop_defer_free(worker->loop, &client->deferred, client_free, client);
    pn_worker_client_ended(worker);
}

/* --- heads --- */

/** A whole head is there: the call takes it from here. */
static void begin_call(struct pn_client *client, size_t head_bytes)
{
    struct pn_slice head = pn_slice_sub(pn_inlet_bytes(&client->inlet), 0, head_bytes);

    client->state = PN_CLIENT_CALL;
    memset(&client->scan, 0, sizeof(client->scan));
    client->requests++;
    pn_loop_disarm(client->worker->loop, &client->timer);
    client->call = pn_call_create(client);
    if (!client->call) {
        pn_client_close(client, true);
        return;
    }
    pn_call_begin(client->call, head);
}

/** The head cannot be read: answer, then close. */
static void refuse_head(struct pn_client *client, enum pn_rc rc, const struct pn_http_fault *fault)
{
    if (rc == PN_LIMIT)
        pn_metric_add(PN_METRIC_LIMIT_HEADER_BYTES, 1);
    client->state = PN_CLIENT_CALL;
    client->call = pn_call_create(client);
    if (!client->call) {
        pn_client_close(client, true);
        return;
    }
    pn_call_refuse(client->call, fault->status, fault->cause);
}

static void on_no_head(struct pn_client *client)
{
    if (pn_inlet_bytes(&client->inlet).len > 0 && client->state == PN_CLIENT_IDLE) {
        client->state = PN_CLIENT_HEAD;
        pn_client_arm(client, PN_CLIENT_HEADER_TIMEOUT_MS);
    }
    pn_inlet_rest(&client->inlet);
}

static void read_requests(struct pn_client *client)
{
    while (client->state == PN_CLIENT_IDLE || client->state == PN_CLIENT_HEAD) {
        struct pn_http_fault fault = {0};
        size_t head_bytes = 0;
        enum pn_rc rc = PN_AGAIN;

        if (pn_inlet_bytes(&client->inlet).len > 0)
            rc = pn_h1_scan(&client->scan, PN_H1_REQUEST, pn_inlet_bytes(&client->inlet),
                            &client->worker->http_limits, &head_bytes, &fault);
        if (rc == PN_OK) {
            begin_call(client, head_bytes);
            return;
        }
        if (rc != PN_AGAIN) {
            refuse_head(client, rc, &fault);
            return;
        }
        rc = pn_inlet_read(&client->inlet, client->stream);
        if (rc == PN_AGAIN) {
            on_no_head(client);
            return;
        }
        if (rc == PN_LIMIT) {
            fault.status = 431;
            fault.cause = "the head is too large";
            refuse_head(client, rc, &fault);
            return;
        }
        if (rc != PN_OK) {
            pn_client_close(client, false);
            return;
        }
    }
}

static void on_next(struct pn_task *task)
{
    read_requests(task->ctx);
}

void pn_client_call_ended(struct pn_client *client, bool keep)
{
    client->call = NULL;
    if (client->state == PN_CLIENT_CLOSED)
        return;
    if (keep && !client->worker->is_draining) {
        client->state = PN_CLIENT_IDLE;
        memset(&client->scan, 0, sizeof(client->scan));
        pn_client_arm(client, PN_CLIENT_IDLE_TIMEOUT_MS);
        if (pn_inlet_bytes(&client->inlet).len > 0 || !client->inlet.is_drained)
            pn_loop_soon(client->worker->loop, &client->next);
        else
            pn_inlet_rest(&client->inlet);
        return;
    }
    /* Half-close and read on for a moment: a reset could destroy the answer on its way. */
    client->state = PN_CLIENT_LINGER;
    pn_stream_shutdown(client->stream);
    pn_client_arm(client, PN_CLIENT_LINGER_MS);
    client->inlet.is_drained = false;
    pn_loop_soon(client->worker->loop, &client->next);
}

static void drop_input(struct pn_client *client)
{
    enum pn_rc rc = PN_OK;

    for (int i = 0; rc == PN_OK && i < 64; i++) {
        pn_inlet_consume(&client->inlet, pn_inlet_bytes(&client->inlet).len);
        rc = pn_inlet_read(&client->inlet, client->stream);
    }
    if (rc == PN_OK)
        pn_loop_soon(client->worker->loop, &client->next);
    else if (rc != PN_AGAIN)
        pn_client_close(client, false);
}

/* --- events --- */

static void on_open(void *ctx, struct pn_stream *stream)
{
    struct pn_client *client = ctx;

    (void)stream;
    client->state = PN_CLIENT_IDLE;
    pn_client_arm(client, PN_CLIENT_HEADER_TIMEOUT_MS);
    read_requests(client);
}

static void on_failed(void *ctx, struct pn_stream *stream, const struct pn_tls_report *report)
{
    (void)stream;
    pn_log(PN_LOG_DEBUG, "client_handshake_failed", "cause", PN_S(pn_tls_cause_name(report->cause)),
           NULL);
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
        read_requests(client);
        return;
    case PN_CLIENT_CALL:
        pn_call_on_readable(client->call);
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
        pn_call_on_writable(client->call);
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
    else
        on_next(task);
}

static void on_timer(struct pn_timer *timer)
{
    struct pn_client *client = timer->ctx;
    struct pn_http_fault fault = {.status = 408, .cause = "the request's head took too long"};

    switch (client->state) {
    case PN_CLIENT_HEAD:
        pn_metric_add(PN_METRIC_TIMEOUTS, 1);
        refuse_head(client, PN_TIMEOUT, &fault);
        return;
    case PN_CLIENT_CALL:
        pn_call_on_timeout(client->call);
        return;
    case PN_CLIENT_OPENING:
    case PN_CLIENT_IDLE:
    case PN_CLIENT_LINGER:
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
    if (!client) {
        pn_metric_add(PN_METRIC_CLIENT_REFUSED, 1);
        close(fd);
        return;
    }
    client->worker = worker;
    client->is_tls = is_tls;
    client->peer = *peer;
    pn_inlet_init(&client->inlet, &worker->buffers);
    pn_timer_init(&client->timer, on_timer, client);
    pn_task_init(&client->next, on_soon, client);
    if (pn_stream_accept(worker->loop, fd, server, PN_CLIENT_TLS_TIMEOUT_MS, &client_events, client,
                         &client->stream) != PN_OK) {
        free(client);
        pn_metric_add(PN_METRIC_CLIENT_REFUSED, 1);
        return;
    }
    pn_list_push_back(&worker->clients, &client->entry);
    worker->client_count++;
    pn_metric_add(PN_METRIC_CLIENT_CONNECTIONS, 1);
    pn_metric_add(PN_METRIC_CLIENT_ACCEPTED, 1);
}

void pn_clients_drain(struct pn_worker *worker)
{
    for (struct pn_list *at = worker->clients.next; at != &worker->clients;) {
        struct pn_client *client = PN_CONTAINER(at, struct pn_client, entry);

        at = at->next;
        if (client->state == PN_CLIENT_IDLE || client->state == PN_CLIENT_OPENING)
            pn_client_close(client, false);
    }
}

void pn_clients_abort(struct pn_worker *worker)
{
    while (!pn_list_is_empty(&worker->clients))
        pn_client_close(PN_CONTAINER(worker->clients.next, struct pn_client, entry), true);
}
