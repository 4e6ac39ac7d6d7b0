/* SPDX-License-Identifier: Apache-2.0
 *
 * Worker threads: life, snapshots, TLS contexts. Accepting is in listener.c.
 */
#include "gateway/worker.h"

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/log.h"
#include "base/map.h"
#include "base/metrics.h"
#include "gateway/call.h"
#include "gateway/client_h1.h"
#include "gateway/client_h2.h"
#include "gateway/listener.h"
#include "gateway/newcomer.h"
#include "ipc/protocol.h"
#include "signer/signer.h"

/* --- snapshots --- */

struct pn_pin *pn_worker_pin(struct pn_worker *worker)
{
    worker->pin->users++;
    return worker->pin;
}

static void deliver_release(struct pn_message *message)
{
    struct pn_pin *pin = PN_CONTAINER(message, struct pn_pin, message);
    const struct pn_worker_spec *spec = &pin->worker->spec;

    spec->on_released(spec->ctx, pin->snapshot);
    free(pin);
}

static const struct pn_client_certificate *certificate_now(const struct pn_snapshot *snapshot,
                                                           const char *name)
{
    struct pn_slice text = pn_slice_str(name);
    struct pn_slice prefix = PN_LIT(PN_EMBEDDED_NAME_PREFIX);

    if (pn_slice_starts_with(text, prefix))
        return pn_snapshot_certificate_embedded_named(
            snapshot, pn_slice_sub(text, prefix.len, text.len - prefix.len));
    return pn_snapshot_certificate(snapshot, text);
}

#define TLS_KEY_BYTES (sizeof(void *) * (1 + PN_TLS_CERTIFICATES_MAX) + 1)

struct tls_key {
    char bytes[TLS_KEY_BYTES];
    size_t len;
};

static struct pn_slice tls_key(struct tls_key *key, const struct pn_trust *trust, enum pn_alpn alpn,
                               struct pn_tls_certificate *const *certificates, size_t count)
{
    char *cursor = key->bytes;

    memcpy(cursor, &trust, sizeof(trust));
    cursor += sizeof(trust);
    *cursor++ = (char)alpn;
    if (count > 0)
        memcpy(cursor, certificates, count * sizeof(*certificates));
    key->len = (size_t)(cursor - key->bytes) + count * sizeof(*certificates);
    return pn_slice(key->bytes, key->len);
}

/** Its policy was given up, or one of its certificates is not of the current snapshot. */
static bool is_replaced(const struct pn_worker *worker, const struct pn_map *policies,
                        const struct pn_tls_client *client)
{
    const struct pn_trust_id *policy = pn_trust_id(pn_tls_client_trust(client));
    size_t count;
    struct pn_tls_certificate *const *certificates = pn_tls_client_certificates(client, &count);

    if (policies && !pn_map_get(policies, pn_slice(policy, sizeof(*policy))))
        return true;
    for (size_t i = 0; i < count; i++) {
        const struct pn_client_certificate *now =
            certificate_now(worker->pin->snapshot, pn_tls_certificate_name(certificates[i]));

        if (!now || now->tls != certificates[i])
            return true;
    }
    return false;
}

/** One context that is not of the current snapshot, or NULL. */
static struct pn_tls_client *find_replaced(const struct pn_worker *worker,
                                           const struct pn_map *policies, struct tls_key *key)
{
    struct pn_slice found;
    size_t position = 0;
    void *value;

    while (pn_map_next(worker->tls_map, &position, &found, &value)) {
        if (!is_replaced(worker, policies, value))
            continue;
        memcpy(key->bytes, found.ptr, found.len);
        key->len = found.len;
        return value;
    }
    return NULL;
}

/** Old generations and policies: idle connections close now, the others when their request has
 * ended. */
static void retire_replaced(struct pn_worker *worker)
{
    struct pn_map *policies = pn_worker_policies(worker); /* no memory: they end as they idle */
    struct tls_key key;
    struct pn_tls_client *client;

    for (client = find_replaced(worker, policies, &key); client;
         client = find_replaced(worker, policies, &key)) {
        pn_pool_retire(worker->pool, client);
        pn_worker_forget_recent(worker);
        pn_map_remove(worker->tls_map, pn_slice(key.bytes, key.len));
        pn_tls_clients_forget(worker->tls_clients, client);
        pn_tls_client_unref(client);
    }
    pn_map_destroy(policies, NULL);
    pn_tls_clients_sweep(worker->tls_clients);
}

static void pin_release(struct pn_worker *worker, struct pn_pin *pin)
{
    pin->message.deliver = deliver_release;
    if (pn_loop_post(worker->spec.main_loop, &pin->message) != PN_OK)
        pn_log(PN_LOG_ERROR, "snapshot_kept", "reason", PN_S("mailbox full"), NULL);
}

void pn_worker_unpin(struct pn_worker *worker, struct pn_pin *pin)
{
    pin->users--;
    if (pin == worker->pin || pin->users > 0)
        return;
    if (pin->snapshot->certificates != worker->pin->snapshot->certificates ||
        pin->snapshot->backends != worker->pin->snapshot->backends ||
        pin->snapshot->trusts != worker->pin->snapshot->trusts)
        retire_replaced(worker); /* its last requests may have opened connections */
    pin_release(worker, pin);
}

struct swap {
    struct pn_message message;
    struct pn_worker *worker;
    struct pn_pin *pin;
};

static void deliver_switched(struct pn_message *message)
{
    struct swap *swap = PN_CONTAINER(message, struct swap, message);
    const struct pn_worker_spec *spec = &swap->worker->spec;

    spec->on_switched(spec->ctx);
    free(swap);
}

/** From the mailbox: no callback of a request is on the stack. */
static void deliver_swap(struct pn_message *message)
{
    struct swap *swap = PN_CONTAINER(message, struct swap, message);
    struct pn_worker *worker = swap->worker;
    struct pn_pin *former = worker->pin;

    worker->pin = swap->pin;
    pn_worker_backends_changed(worker, former->snapshot, worker->pin->snapshot);
    pn_worker_trusts_changed(worker, former->snapshot);
    if (former->snapshot->outbound != worker->pin->snapshot->outbound)
        pn_pool_set_outbound(worker->pool, worker->pin->snapshot->outbound);
    retire_replaced(worker);
    if (former->users == 0)
        pin_release(worker, former);
    message->deliver = deliver_switched;
    if (pn_loop_post(worker->spec.main_loop, message) != PN_OK)
        abort(); /* the main thread has one swap at a time under way */
}

static struct pn_pin *pin_create(struct pn_worker *worker, struct pn_snapshot *snapshot)
{
    struct pn_pin *pin = calloc(1, sizeof(*pin));

    if (!pin)
        return NULL;
    pin->worker = worker;
    pin->snapshot = snapshot;
    return pin;
}

enum pn_rc pn_worker_use(struct pn_worker *worker, struct pn_snapshot *snapshot)
{
    struct swap *swap = calloc(1, sizeof(*swap));
    enum pn_rc rc = PN_NOMEM;

    if (swap)
        swap->pin = pin_create(worker, snapshot);
    if (swap && swap->pin) {
        swap->worker = worker;
        swap->message.deliver = deliver_swap;
        rc = pn_loop_post(worker->loop, &swap->message);
    }
    if (rc != PN_OK && swap) {
        free(swap->pin);
        free(swap);
    }
    return rc;
}

/* --- TLS contexts --- */

bool pn_worker_is_client_of(const struct pn_tls_client *client, const struct pn_trust *trust,
                            struct pn_tls_certificate *const *certificates, size_t count)
{
    size_t its_count;
    struct pn_tls_certificate *const *its = pn_tls_client_certificates(client, &its_count);

    if (its_count != count || memcmp(pn_trust_id(pn_tls_client_trust(client)), pn_trust_id(trust),
                                     sizeof(struct pn_trust_id)) != 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!pn_tls_certificate_equal(its[i], certificates[i]))
            return false;
    }
    return true;
}

enum pn_rc pn_worker_find_client(struct pn_worker *worker,
                                 struct pn_tls_certificate *const *certificates, size_t count,
                                 struct pn_trust *trust, enum pn_alpn alpn,
                                 struct pn_tls_client **out, struct pn_error *err)
{
    struct pn_tls_client *client;
    struct tls_key key;
    struct pn_slice slice = tls_key(&key, trust, alpn, certificates, count);
    enum pn_rc rc;

    *out = pn_map_get(worker->tls_map, slice);
    if (*out && pn_worker_is_client_of(*out, trust, certificates, count))
        return PN_OK;
    /* The key is made of addresses. A context may have been kept under those of an equal
     * certificate or policy of an older snapshot, which is gone, and now another one lies there. */
    pn_worker_forget_recent(worker);
    if (*out)
        pn_tls_client_unref(pn_map_remove(worker->tls_map, slice));
    *out = NULL;
    rc = pn_tls_clients_get_of(worker->tls_clients, trust, certificates, count, alpn, &client, err);
    if (rc != PN_OK)
        return rc;
    rc = pn_map_set(worker->tls_map, slice, client, NULL);
    if (rc != PN_OK) {
        pn_tls_client_unref(client);
        return pn_error_set(err, rc, "out_of_memory", "no memory for a TLS context");
    }
    *out = client;
    return PN_OK;
}

struct pn_slice pn_worker_date(struct pn_worker *worker)
{
    int64_t now_s = pn_clock_unix_s();

    if (now_s != worker->date_s) {
        worker->date_s = now_s;
        pn_time_http_date(now_s, worker->date);
    }
    return pn_slice_str(worker->date);
}

/* --- between two turns --- */

#define PAUSE_MS      5    /* without events: nothing has waited */
#define REST_SLACK_NS 1000 /* how much longer a rest may last; the kernel's own choice is 50 us */

static void on_turn_end(void *ctx)
{
    struct pn_worker *worker = ctx;
    uint64_t end_us = pn_clock_monotonic_us();

    worker->turn_end_ms = end_us / 1000;
    pn_overload_turn(&worker->overload, worker->turn_end_ms - pn_loop_now_ms(worker->loop));
    if (pn_loop_has_rested(worker->loop))
        pn_metric_add(PN_METRIC_RESTS, 1);
    pn_loop_rest(worker->loop, pn_rest_after(&worker->rest, pn_loop_now_us(worker->loop), end_us));
}

bool pn_worker_is_overloaded(struct pn_worker *worker)
{
    struct pn_overload *overload = &worker->overload;

    if (overload->is_slow && pn_loop_now_ms(worker->loop) >= worker->turn_end_ms + PAUSE_MS)
        pn_overload_rested(overload);
    if (overload->is_full)
        pn_limit_hit(PN_LIMIT_OPEN_REQUESTS);
    else if (overload->is_slow)
        pn_limit_hit(PN_LIMIT_OVERLOAD_LAG);
    return overload->is_full || overload->is_slow;
}

/* --- drain --- */

struct order {
    struct pn_message message;
    struct pn_worker *worker;
    enum pn_worker_end how;
};

static void deliver_drained(struct pn_message *message)
{
    struct order *order = PN_CONTAINER(message, struct order, message);
    const struct pn_worker_spec *spec = &order->worker->spec;

    spec->on_drained(spec->ctx);
    free(order);
}

/** Nothing is left to be finished, and nothing comes. */
static void tell_drained(struct pn_worker *worker)
{
    struct order *order;

    if (!worker->is_draining || worker->has_drained ||
        !pn_spread_close(worker->spec.spread, worker->spec.index))
        return;
    worker->has_drained = true;
    order = calloc(1, sizeof(*order));
    if (!order)
        return; /* the main thread's drain timer ends it */
    order->worker = worker;
    order->message.deliver = deliver_drained;
    if (pn_loop_post(worker->spec.main_loop, &order->message) != PN_OK)
        free(order);
}

/** The last one closes the sockets: no other watches them by then. */
static void stop_accepting(struct pn_worker *worker, enum pn_worker_end how)
{
    bool is_last;

    pn_listeners_close(worker);
    is_last = worker->spec.accepting && atomic_fetch_sub(worker->spec.accepting, 1) == 1;
    if (how == PN_WORKER_DRAIN && is_last)
        pn_listeners_finish(worker);
}

static void deliver_order(struct pn_message *message)
{
    struct order *order = PN_CONTAINER(message, struct order, message);
    struct pn_worker *worker = order->worker;
    uint64_t idle_ms = pn_limit_value(PN_LIMIT_DRAIN_IDLE);

    if (order->how == PN_WORKER_LEAVE) {
        worker->is_leaving = true;
    } else if (!worker->is_draining) {
        if (order->how == PN_WORKER_HAND_OVER && idle_ms > PN_HAND_OVER_IDLE_MS)
            idle_ms = PN_HAND_OVER_IDLE_MS;
        worker->is_draining = true;
        worker->drain_idle_ms = idle_ms;
        if (order->how == PN_WORKER_HAND_OVER)
            worker->drain_ends_ms = pn_loop_now_ms(worker->loop) + idle_ms;
        stop_accepting(worker, order->how);
        pn_clients_drain(worker, idle_ms);
        tell_drained(worker);
    }
    free(order);
}

enum pn_rc pn_worker_end(struct pn_worker *worker, enum pn_worker_end how)
{
    struct order *order = calloc(1, sizeof(*order));
    enum pn_rc rc;

    if (!order)
        return PN_NOMEM;
    order->worker = worker;
    order->how = how;
    order->message.deliver = deliver_order;
    rc = pn_loop_post(worker->loop, &order->message);
    if (rc != PN_OK)
        free(order);
    return rc;
}

void pn_worker_left(struct pn_worker *worker)
{
    pn_spread_leave(worker->spec.spread, worker->spec.index);
    tell_drained(worker);
}

uint64_t pn_worker_last_wait_ms(const struct pn_worker *worker)
{
    uint64_t now_ms = pn_loop_now_ms(worker->loop);

    if (worker->drain_ends_ms == 0)
        return worker->drain_idle_ms;
    return now_ms < worker->drain_ends_ms ? worker->drain_ends_ms - now_ms : 0;
}

bool pn_worker_is_over(const struct pn_worker *worker)
{
    return worker->drain_ends_ms > 0 && pn_worker_last_wait_ms(worker) == 0;
}

/* --- life --- */

static void *worker_main(void *ctx)
{
    struct pn_worker *worker = ctx;
    struct pn_error err = {.rc = PN_OK};

    pn_signer_bind_thread(worker->keyholder);
    (void)prctl(PR_SET_TIMERSLACK, REST_SLACK_NS, 0, 0, 0);
    if (pn_loop_run(worker->loop, &err) != PN_OK) {
        pn_log_error(PN_LOG_ERROR, "worker_failed", &err);
        abort(); /* the supervisor starts the gateway anew */
    }
    pn_newcomers_end(worker);
    pn_clients_abort(worker);
    pn_pool_close_idle(worker->pool);
    pn_signer_bind_thread(NULL);
    return NULL;
}

static void on_backend_failure(void *ctx, const char *backend, const struct pn_failure *failure,
                               const struct pn_stream *stream)
{
    const struct pn_worker *worker = ctx;

    pn_last_failures_note(worker->spec.failures, backend, failure, stream);
}

enum pn_rc pn_worker_create(const struct pn_worker_spec *spec, struct pn_worker **out,
                            struct pn_error *err)
{
    struct pn_pool_limits pool_limits = PN_POOL_LIMITS_IN_FORCE;
    struct pn_worker *worker = calloc(1, sizeof(*worker));
    enum pn_rc rc;

    if (!worker)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for a worker");
    worker->spec = *spec;
    worker->http_limits = (struct pn_http_limits)PN_HTTP_LIMITS_IN_FORCE;
    pn_list_init(&worker->clients);
    pn_list_init(&worker->reconnects);
    pn_list_init(&worker->newcomers);
    pn_io_buffers_init(&worker->buffers);
    pool_limits.idle_max = spec->idle_max;
    rc = pn_loop_create(&worker->loop, err);
    if (rc == PN_OK)
        rc = pn_h2_worker_init(worker);
    if (rc == PN_OK)
        rc = pn_pool_create(worker->loop, &pool_limits, &worker->buffers, spec->quotas,
                            &worker->pool, err);
    if (rc == PN_OK && spec->dns_servers)
        rc = pn_pool_use_dns(worker->pool, spec->dns_servers, err);
    if (rc == PN_OK && spec->failures)
        pn_pool_observe(worker->pool, on_backend_failure, worker);
    if (rc == PN_OK && spec->allows_guarded)
        pn_pool_allow_guarded(worker->pool);
    if (rc == PN_OK)
        rc = pn_tls_clients_create(spec->signer, &worker->tls_clients);
    if (rc == PN_OK && spec->use_own_records)
        pn_tls_clients_use_own_records(worker->tls_clients);
    if (rc == PN_OK && spec->broker)
        rc = pn_keyholder_create(spec->broker, PN_SERVICE_SIGN, &worker->keyholder, err);
    if (rc == PN_OK) {
        worker->tls_map = pn_map_create(false);
        worker->balances = pn_map_create(false);
        worker->grants = pn_map_create(false);
        worker->pin = pin_create(worker, spec->snapshot);
        if (!worker->tls_map || !worker->balances || !worker->grants || !worker->pin)
            rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for a worker");
        pn_pool_set_outbound(worker->pool, spec->snapshot->outbound);
    }
    worker->overload.lag_max_ms = pn_limit_value(PN_LIMIT_OVERLOAD_LAG);
    worker->rest.most_us = pn_limit_value(PN_LIMIT_BUSY_REST);
    worker->overload.open_max = spec->calls_max > 0 ? spec->calls_max : SIZE_MAX;
    if (rc == PN_OK && pn_loop_add_hook(worker->loop, on_turn_end, worker) != PN_OK)
        rc = pn_error_set(err, PN_LIMIT, "too_many_hooks", "the loop takes no further hook");
    if (rc == PN_OK)
        rc = pn_listeners_open(worker, err);
    if (rc == PN_OK) {
        *out = worker;
        return PN_OK;
    }
    if (!worker->pin)
        spec->on_released(spec->ctx, spec->snapshot);
    pn_worker_destroy(worker);
    return rc;
}

enum pn_rc pn_worker_start(struct pn_worker *worker, struct pn_error *err)
{
    int error = pthread_create(&worker->thread, NULL, worker_main, worker);

    if (error != 0)
        return pn_error_from_errno(err, error, "cannot start a worker thread");
    worker->is_started = true;
    return PN_OK;
}

static void tls_client_unref(void *client)
{
    pn_tls_client_unref(client);
}

void pn_worker_stop(struct pn_worker *worker)
{
    if (!worker->is_started)
        return;
    pn_loop_stop(worker->loop);
    pthread_join(worker->thread, NULL);
    worker->is_started = false;
}

void pn_worker_destroy(struct pn_worker *worker)
{
    if (!worker)
        return;
    pn_worker_stop(worker);
    pn_listeners_close(worker);
    pn_h1_turns_free_spare(worker);
    pn_h2_worker_fini(worker);
    pn_calls_free_spare(worker);
    pn_worker_backends_fini(worker);
    pn_worker_trusts_fini(worker);
    pn_pool_destroy(worker->pool);
    pn_map_destroy(worker->tls_map, tls_client_unref);
    pn_tls_clients_destroy(worker->tls_clients);
    pn_loop_destroy(worker->loop);
    pn_io_buffers_fini(&worker->buffers);
    pn_keyholder_destroy(worker->keyholder);
    if (worker->pin) {
        worker->spec.on_released(worker->spec.ctx, worker->pin->snapshot);
        free(worker->pin);
    }
    free(worker);
}
