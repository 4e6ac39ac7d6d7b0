/* SPDX-License-Identifier: Apache-2.0
 *
 * What a worker keeps about backend entities from one request to the next: whose turn it is in a
 * pool, and the reconnects that were asked for.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/map.h"
#include "gateway/snapshot_internal.h"
#include "gateway/worker.h"

/* --- pools --- */

struct pn_balance *pn_worker_balance(struct pn_worker *worker, const char *pool)
{
    struct pn_slice name = pn_slice_str(pool);
    struct pn_balance *balance = pn_map_get(worker->balances, name);

    if (balance)
        return balance;
    balance = calloc(1, sizeof(*balance));
    if (balance && pn_map_set(worker->balances, name, balance, NULL) == PN_OK)
        return balance;
    free(balance);
    memset(&worker->spare_balance, 0, sizeof(worker->spare_balance));
    return &worker->spare_balance; /* no memory: the first of the best each time */
}

/* --- reconnects --- */

struct reconnect {
    struct pn_list entry;
    struct pn_worker *worker;
    struct pn_timer timer;
    uint16_t port;
    size_t host_len;
    char host[PN_TARGET_HOST_MAX];
};

static void reconnect_end(struct reconnect *reconnect)
{
    pn_loop_disarm(reconnect->worker->loop, &reconnect->timer);
    pn_list_remove(&reconnect->entry);
    reconnect->worker->reconnect_count--;
    free(reconnect);
}

static void on_reconnect(struct pn_timer *timer)
{
    struct reconnect *reconnect = timer->ctx;

    pn_pool_reconnect(reconnect->worker->pool, pn_slice(reconnect->host, reconnect->host_len),
                      reconnect->port);
    reconnect_end(reconnect);
}

/** At once when there is no room to wait: sooner is what a reconnect may be, never later. */
static void schedule(struct pn_worker *worker, const struct pn_target *target, int64_t at_ms)
{
    int64_t delay_ms = at_ms - pn_clock_unix_ms();
    struct reconnect *reconnect = NULL;

    if (delay_ms > 0 && worker->reconnect_count < PN_WORKER_RECONNECTS_MAX)
        reconnect = calloc(1, sizeof(*reconnect));
    if (!reconnect) {
        pn_pool_reconnect(worker->pool, target->host, target->port);
        return;
    }
    reconnect->worker = worker;
    reconnect->port = target->port;
    reconnect->host_len = target->host.len;
    memcpy(reconnect->host, target->host.ptr, target->host.len);
    pn_timer_init(&reconnect->timer, on_reconnect, reconnect);
    pn_list_push_back(&worker->reconnects, &reconnect->entry);
    worker->reconnect_count++;
    pn_loop_arm(worker->loop, &reconnect->timer, (uint64_t)delay_ms);
}

/** A pool is its members. */
static void reconnect_backend(struct pn_worker *worker, const struct pn_snapshot *snapshot,
                              const struct pn_backend *backend)
{
    pn_log(PN_LOG_INFO, "backend_reconnect", "backend", PN_S(backend->name), NULL);
    if (backend->member_count == 0)
        schedule(worker, &backend->target, backend->reconnect_at_ms);
    for (size_t i = 0; i < backend->member_count; i++) {
        const struct pn_backend *member = pn_snapshot_backend_in(
            snapshot, backend->scope, pn_slice_str(backend->members[i].name));

        if (member && member->member_count == 0)
            schedule(worker, &member->target, backend->reconnect_at_ms);
    }
}

/** Only what asks for a reconnect is opened to see when. */
static void reconnect_if_asked(struct pn_worker *worker, const struct pn_snapshot *former,
                               const struct pn_snapshot *now, const struct pn_item *item)
{
    const struct pn_backend *backend, *before;

    if (item->is_broken ||
        !memmem(item->text, item->text_bytes, "reconnectAtMs", sizeof("reconnectAtMs") - 1))
        return;
    backend = pn_snapshot_backend(now, pn_slice_str(item->name));
    if (!backend || backend->reconnect_at_ms == 0)
        return;
    before = pn_snapshot_backend(former, pn_slice_str(item->name));
    if (before && before->reconnect_at_ms != backend->reconnect_at_ms)
        reconnect_backend(worker, now, backend);
}

void pn_worker_backends_changed(struct pn_worker *worker, const struct pn_snapshot *former,
                                const struct pn_snapshot *now)
{
    const struct pn_item_table *table = now->backends;
    size_t known = 0; /* of the items over the same base, those that the former had too */

    if (former->backends == table)
        return;
    pn_map_destroy(worker->balances, free);
    worker->balances = pn_map_create(false);
    if (table->base == former->backends->base && table->base)
        known = former->backends->count;
    for (size_t i = known; i < table->count; i++)
        reconnect_if_asked(worker, former, now, table->items[i]);
}

void pn_worker_backends_fini(struct pn_worker *worker)
{
    struct pn_list *head = &worker->reconnects;

    for (struct pn_list *at = head->next; at && at != head;) {
        struct reconnect *reconnect = PN_CONTAINER(at, struct reconnect, entry);

        at = at->next;
        reconnect_end(reconnect);
    }
    pn_map_destroy(worker->balances, free);
    worker->balances = NULL;
}
