/* SPDX-License-Identifier: Apache-2.0
 *
 * Start, run and end of the gateway process. The main thread owns the catalog and all counts of
 * snapshots; the workers get what they serve by through their mailboxes.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ares.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "gateway/gateway_internal.h"
#include "gateway/probe.h"
#include "ipc/probe.h"
#include "signer/signer.h"
#include "upstream/quota.h"

/* --- snapshots --- */

static void on_released(void *ctx, struct pn_snapshot *snapshot)
{
    (void)ctx;
    pn_snapshot_unref(snapshot);
}

static void on_switched(void *ctx)
{
    struct pn_gateway *gateway = ctx;

    gateway->switching--;
    if (gateway->switching == 0)
        pn_control_link_switched(gateway);
}

void pn_gateway_switch(struct pn_gateway *gateway)
{
    struct pn_snapshot *snapshot = pn_catalog_snapshot(gateway->catalog);

    pn_last_failures_prune(gateway->failures, gateway->catalog);
    for (unsigned i = 0; i < gateway->worker_count; i++) {
        if (pn_worker_use(gateway->workers[i], pn_snapshot_ref(snapshot)) != PN_OK)
            abort(); /* half of the workers would serve something else: start anew from the log */
        gateway->switching++;
    }
}

/* --- the end --- */

static void on_drained(void *ctx)
{
    struct pn_gateway *gateway = ctx;

    gateway->drained++;
    if (gateway->drained == gateway->worker_count)
        pn_loop_stop(gateway->loop);
}

static void on_drain_timeout(struct pn_timer *timer)
{
    struct pn_gateway *gateway = timer->ctx;
    int64_t cut = pn_metric_get(PN_METRIC_CLIENT_CONNECTIONS);

    for (int64_t i = 0; i < cut; i++)
        pn_limit_hit(gateway->is_handed_over ? PN_LIMIT_HAND_OVER_TIMEOUT : PN_LIMIT_DRAIN_TIMEOUT);
    pn_log(PN_LOG_WARN, "drain_timeout", "connections", PN_I(cut), NULL);
    pn_loop_stop(gateway->loop);
}

static void tell_workers(struct pn_gateway *gateway, enum pn_worker_end how)
{
    for (unsigned i = 0; i < gateway->worker_count; i++) {
        if (pn_worker_end(gateway->workers[i], how) != PN_OK && how != PN_WORKER_LEAVE)
            pn_loop_stop(gateway->loop);
    }
}

static void end_drain_in(struct pn_gateway *gateway, uint64_t delay_ms)
{
    gateway->drain_ends_ms = pn_loop_now_ms(gateway->loop) + delay_ms;
    pn_loop_arm(gateway->loop, &gateway->drain_timer, delay_ms);
}

/** Told to end after the hand-over: the stop's limit holds, if it ends sooner. */
static void hurry(struct pn_gateway *gateway)
{
    uint64_t stop_ms = pn_limit_value(PN_LIMIT_DRAIN_TIMEOUT);

    if (!gateway->is_handed_over ||
        pn_loop_now_ms(gateway->loop) + stop_ms >= gateway->drain_ends_ms)
        return;
    gateway->is_handed_over = false;
    pn_log(PN_LOG_INFO, "draining", "sockets", PN_S("handed over"), "ends_in_ms", PN_I(stop_ms),
           NULL);
    end_drain_in(gateway, stop_ms);
}

static void start_drain(struct pn_gateway *gateway, enum pn_worker_end how)
{
    if (gateway->is_draining)
        return;
    gateway->is_draining = true;
    gateway->is_handed_over = how == PN_WORKER_HAND_OVER;
    pn_log(PN_LOG_INFO, "draining", "sockets",
           PN_S(how == PN_WORKER_HAND_OVER ? "handed over" : "closed"), NULL);
    pn_loop_disarm(gateway->loop, &gateway->leave_timer);
    end_drain_in(gateway, pn_limit_value(gateway->is_handed_over ? PN_LIMIT_HAND_OVER_TIMEOUT
                                                                 : PN_LIMIT_DRAIN_TIMEOUT));
    tell_workers(gateway, how);
}

static void on_left(struct pn_timer *timer)
{
    start_drain(timer->ctx, PN_WORKER_DRAIN);
}

static void on_signal(void *ctx, int signal_number)
{
    struct pn_gateway *gateway = ctx;
    uint64_t delay_ms = pn_limit_value(PN_LIMIT_DRAIN_DELAY);

    if (signal_number == SIGUSR2) {
        start_drain(gateway, PN_WORKER_HAND_OVER);
    } else if (gateway->is_draining) {
        hurry(gateway);
    } else if (delay_ms == 0 || gateway->is_leaving) {
        start_drain(gateway, PN_WORKER_DRAIN);
    } else {
        gateway->is_leaving = true;
        pn_log(PN_LOG_INFO, "leaving", "drain_in_ms", PN_I(delay_ms), NULL);
        tell_workers(gateway, PN_WORKER_LEAVE);
        pn_loop_arm(gateway->loop, &gateway->leave_timer, delay_ms);
    }
}

/* --- what the supervisor brings --- */

static void on_incoming(struct pn_watch *watch, unsigned events)
{
    struct pn_gateway *gateway = watch->ctx;
    char service[32];
    enum pn_role asker;
    int fd;
    enum pn_rc rc = pn_broker_accept(gateway->broker, service, &asker, &fd);

    (void)events;
    if (rc == PN_EOF) { /* the supervisor is gone: nobody would start us again */
        pn_loop_unwatch(&gateway->incoming);
        start_drain(gateway, PN_WORKER_DRAIN);
        return;
    }
    if (rc != PN_OK)
        return;
    if (strcmp(service, PN_SERVICE_FEED) == 0 && asker == PN_ROLE_CONTROL)
        pn_control_link_open(gateway, fd);
    else if (strcmp(service, PN_SERVICE_PROBE) == 0 && asker == PN_ROLE_CONTROL)
        pn_probes_open(gateway->probes, fd);
    else
        close(fd);
}

static enum pn_rc read_trusted(struct pn_listener_socket *to, struct pn_slice list,
                               struct pn_error *err)
{
    struct pn_slice word;

    while (pn_slice_cut(&list, ' ', &word)) {
        enum pn_rc rc;

        if (to->trusted_count == PN_LISTENER_TRUSTED_MAX)
            return pn_error_set(err, PN_LIMIT, "too_many_ranges",
                                "a listener trusts at most %d ranges of addresses",
                                PN_LISTENER_TRUSTED_MAX);
        rc = pn_cidr_parse(word, &to->trusted[to->trusted_count++], err);
        if (rc != PN_OK)
            return rc;
    }
    return PN_OK;
}

static enum pn_rc find_listeners(struct pn_gateway *gateway, const char *name, bool is_tls,
                                 struct pn_error *err)
{
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; rc == PN_OK; i++) {
        int fd = pn_listen_fd(name, i);
        struct pn_listener_socket *to = &gateway->sockets[gateway->socket_count];
        struct pn_slice trusted = {NULL, 0};

        if (fd < 0)
            break;
        if (gateway->socket_count == PN_WORKER_LISTENERS_MAX)
            return pn_error_set(err, PN_LIMIT, "too_many_listeners",
                                "more than %d listening sockets", PN_WORKER_LISTENERS_MAX);
        *to = (struct pn_listener_socket){.fd = fd, .is_tls = is_tls};
        to->wants_proxy = pn_listen_wants_proxy(fd, &trusted);
        rc = read_trusted(to, trusted, err);
        gateway->socket_count++;
    }
    return rc;
}

/* --- life --- */

/** Without the system's CAs, backends that need one fail closed; the others work. */
static enum pn_rc load_roots(struct pn_gateway *gateway, struct pn_error *err)
{
    struct pn_error reason = {.rc = PN_OK};
    struct pn_trust_roots *roots = NULL;
    enum pn_rc rc = PN_OK;

    if (pn_trust_roots_system(&roots, &reason) != PN_OK)
        pn_log_error(PN_LOG_WARN, "no_trusted_ca", &reason);
    else
        rc = pn_catalog_use_roots(gateway->catalog, roots, err);
    pn_trust_roots_unref(roots);
    return rc;
}

/** One set of keys for the TLS listeners of all workers, and of all snapshots. */
static enum pn_rc make_tickets(struct pn_gateway *gateway, struct pn_error *err)
{
    struct pn_tls_tickets_spec spec = {
        .lifetime_s = (uint32_t)(pn_limit_value(PN_LIMIT_TLS_TICKET_LIFETIME) / 1000),
        .rotation_s = (uint32_t)(pn_limit_value(PN_LIMIT_TLS_TICKET_ROTATION) / 1000),
    };

    if (spec.rotation_s < spec.lifetime_s / 60)
        spec.rotation_s = spec.lifetime_s / 60;
    return pn_tls_tickets_create(&spec, &gateway->tickets, err);
}

static enum pn_rc open_log(struct pn_gateway *gateway, const char *data_dir, struct pn_error *err)
{
    struct pn_feed_seal seal = pn_feed_seal_keyholder(gateway->keyholder);
    char path[4096];
    int len = snprintf(path, sizeof(path), "%s/gateway", data_dir);
    enum pn_rc rc;

    if (len < 0 || (size_t)len + sizeof("/feed.log") > sizeof(path))
        return pn_error_set(err, PN_LIMIT, "path_too_long", "the data folder's path is too long");
    rc = pn_dir_make(path, 0700, err);
    if (rc != PN_OK)
        return rc;
    memcpy(path + len, "/feed.log", sizeof("/feed.log"));
    return pn_feed_log_create(path, &seal, &gateway->log, err);
}

static enum pn_rc set_up_loop(struct pn_gateway *gateway, struct pn_error *err)
{
    sigset_t signals;
    enum pn_rc rc = pn_loop_create(&gateway->loop, err);

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGUSR2); /* another gateway takes over */
    if (rc == PN_OK)
        rc = pn_loop_signals(gateway->loop, &signals, on_signal, gateway, err);
    if (rc == PN_OK)
        rc =
            pn_loop_watch(gateway->loop, &gateway->incoming, pn_broker_incoming_fd(gateway->broker),
                          PN_LOOP_READ, PN_WATCH_LEVEL, on_incoming, gateway);
    pn_timer_init(&gateway->drain_timer, on_drain_timeout, gateway);
    pn_timer_init(&gateway->leave_timer, on_left, gateway);
    return rc;
}

enum pn_rc pn_gateway_create(struct pn_broker *broker, const struct pn_gateway_options *options,
                             struct pn_gateway **out, struct pn_error *err)
{
    struct pn_gateway *gateway = calloc(1, sizeof(*gateway));
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    enum pn_rc rc;

    if (!gateway)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory for the gateway");
    gateway->broker = broker;
    gateway->threads = options->threads > 0 ? options->threads : (cores > 0 ? (unsigned)cores : 1);
    if (gateway->threads > PN_GATEWAY_THREADS_MAX)
        gateway->threads = PN_GATEWAY_THREADS_MAX;
    gateway->dns_servers = options->dns_servers;
    gateway->allows_guarded = options->allows_guarded;
    gateway->forwarding = options->forwarding;
    gateway->use_own_records = !options->use_openssl_records;
    rc = find_listeners(gateway, "gateway", false, err);
    if (rc == PN_OK)
        rc = find_listeners(gateway, "gateway-tls", true, err);
    if (rc == PN_OK && ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
        rc = pn_error_set(err, PN_INTERNAL, "dns_init_failed", "c-ares cannot start");
    if (rc == PN_OK)
        rc = set_up_loop(gateway, err);
    gateway->spread =
        pn_spread_create(gateway->threads, (size_t)pn_limit_value(PN_LIMIT_CLIENT_CONNECTIONS));
    gateway->addresses =
        pn_address_count_create((size_t)pn_limit_value(PN_LIMIT_CLIENT_CONNECTIONS));
    gateway->quotas = pn_quotas_create();
    if (rc == PN_OK && (!gateway->spread || !gateway->addresses || !gateway->quotas))
        rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory to count connections in");
    if (rc == PN_OK)
        rc = pn_signer_create(&gateway->signer, err);
    if (rc == PN_OK)
        rc = pn_keyholder_create(broker, PN_SERVICE_SIGN, &gateway->keyholder, err);
    if (rc == PN_OK)
        rc = open_log(gateway, options->data_dir, err);
    if (rc == PN_OK)
        rc = make_tickets(gateway, err);
    if (rc == PN_OK)
        rc = pn_catalog_create(gateway->signer, gateway->tickets, &gateway->catalog, err);
    if (rc == PN_OK && gateway->use_own_records)
        pn_catalog_use_own_records(gateway->catalog);
    if (rc == PN_OK)
        rc = load_roots(gateway, err);
    gateway->failures = pn_last_failures_create();
    if (rc == PN_OK && !gateway->failures)
        rc = pn_error_set(err, PN_NOMEM, "out_of_memory", "no memory to keep failures in");
    if (rc == PN_OK)
        rc = pn_probes_create(gateway, &gateway->probes, err);
    if (rc == PN_OK) {
        *out = gateway;
        return PN_OK;
    }
    pn_gateway_destroy(gateway);
    return rc;
}

/** At least one each: a limit below the number of threads counts as that number. */
static size_t share_of(enum pn_limit limit, unsigned threads)
{
    uint64_t share = pn_limit_value(limit) / threads;

    return share > 0 ? (size_t)share : 1;
}

static enum pn_rc start_workers(struct pn_gateway *gateway, struct pn_error *err)
{
    struct pn_worker_spec spec = {
        .main_loop = gateway->loop,
        .broker = gateway->broker,
        .signer = gateway->signer,
        .dns_servers = gateway->dns_servers,
        .allows_guarded = gateway->allows_guarded,
        .forwarding = gateway->forwarding,
        .use_own_records = gateway->use_own_records,
        .calls_max = share_of(PN_LIMIT_OPEN_REQUESTS, gateway->threads),
        .idle_max = pn_limit_value(PN_LIMIT_BACKEND_IDLE_CONNECTIONS) > 0
                        ? share_of(PN_LIMIT_BACKEND_IDLE_CONNECTIONS, gateway->threads)
                        : 0,
        .spread = gateway->spread,
        .addresses = gateway->addresses,
        .failures = gateway->failures,
        .quotas = gateway->quotas,
        .accepting = &gateway->accepting,
        .workers = gateway->workers,
        .sockets = gateway->sockets,
        .socket_count = gateway->socket_count,
        .on_released = on_released,
        .on_switched = on_switched,
        .on_drained = on_drained,
        .ctx = gateway};
    enum pn_rc rc = PN_OK;

    atomic_store(&gateway->accepting, gateway->threads);
    for (unsigned i = 0; rc == PN_OK && i < gateway->threads; i++) {
        spec.index = i;
        spec.snapshot = pn_snapshot_ref(pn_catalog_snapshot(gateway->catalog));
        rc = pn_worker_create(&spec, &gateway->workers[i], err);
        if (rc == PN_OK)
            gateway->worker_count++;
    }
    for (unsigned i = 0; rc == PN_OK && i < gateway->worker_count; i++)
        rc = pn_worker_start(gateway->workers[i], err);
    return rc;
}

enum pn_rc pn_gateway_run(struct pn_gateway *gateway, struct pn_error *err)
{
    enum pn_rc rc = pn_gateway_replay(gateway, err);

    if (rc != PN_OK) { /* control has everything: serve what could be read until it comes */
        pn_log_error(PN_LOG_ERROR, "feed_log_unreadable", err);
        gateway->log_is_stale = true;
    }
    rc = start_workers(gateway, err);
    if (rc == PN_OK)
        rc = pn_broker_ready(gateway->broker, pn_slice("", 0));
    if (rc == PN_OK) {
        pn_log(PN_LOG_INFO, "serving", "threads", PN_I(gateway->worker_count), NULL);
        rc = pn_loop_run(gateway->loop, err);
    }
    return rc;
}

void pn_gateway_destroy(struct pn_gateway *gateway)
{
    struct pn_error err;

    if (!gateway)
        return;
    for (unsigned i = 0; i < gateway->worker_count; i++)
        pn_worker_stop(gateway->workers[i]);
    if (gateway->loop && pn_loop_turn(gateway->loop, 0, &err) != PN_OK) /* what they posted */
        pn_log_error(PN_LOG_WARN, "last_turn_failed", &err);
    for (unsigned i = 0; i < gateway->worker_count; i++)
        pn_worker_destroy(gateway->workers[i]);
    pn_control_link_close(gateway);
    pn_probes_destroy(gateway->probes);
    pn_last_failures_destroy(gateway->failures);
    pn_catalog_destroy(gateway->catalog);
    pn_tls_tickets_unref(gateway->tickets);
    pn_feed_log_destroy(gateway->log);
    pn_keyholder_destroy(gateway->keyholder);
    pn_signer_destroy(gateway->signer);
    pn_loop_unwatch(&gateway->incoming);
    pn_loop_destroy(gateway->loop);
    pn_spread_destroy(gateway->spread);
    pn_address_count_destroy(gateway->addresses);
    pn_quotas_destroy(gateway->quotas);
    ares_library_cleanup();
    free(gateway);
}
