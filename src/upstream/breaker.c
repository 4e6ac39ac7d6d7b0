/* SPDX-License-Identifier: Apache-2.0
 *
 * The interval is a window of slots. A cell is the slot's number and its count in one word, so that
 * a cell of an earlier round is recognized and starts at 0 without anybody having to clear it.
 */
#include "upstream/breaker.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"

#define SLOTS            16u
#define STRIPES          16u
#define CACHE_LINE_BYTES 64

struct window {
    alignas(CACHE_LINE_BYTES) _Atomic uint64_t cells[SLOTS];
};

struct pn_breaker {
    _Atomic uint64_t open_until_ms; /* 0: closed; in the past: a trial may go */
    unsigned refs;
    struct pn_breaker_rule rule;
    uint64_t slot_ms;
    struct window failures;
    struct window *requests; /* STRIPES of them, of a percentage only: each thread has its own */
};

static atomic_uint threads_seen;
static _Thread_local unsigned own_stripe; /* + 1; 0: none yet */

static unsigned stripe(void)
{
    if (own_stripe == 0)
        own_stripe =
            1 + atomic_fetch_add_explicit(&threads_seen, 1, memory_order_relaxed) % STRIPES;
    return own_stripe - 1;
}

/* --- windows --- */

static uint32_t slot_at(const struct pn_breaker *breaker, uint64_t now_ms)
{
    return (uint32_t)(now_ms / breaker->slot_ms);
}

/** A thread whose clock is a little behind counts into the newer slot that it finds. */
static void window_add(struct window *window, uint32_t slot)
{
    _Atomic uint64_t *cell = &window->cells[slot % SLOTS];
    uint64_t old = atomic_load_explicit(cell, memory_order_relaxed);
    uint64_t wanted;

    do {
        bool is_older = old == 0 || (int32_t)((uint32_t)(old >> 32) - slot) < 0;

        wanted = is_older ? (uint64_t)slot << 32 | 1u : old + 1;
    } while (!atomic_compare_exchange_weak_explicit(cell, &old, wanted, memory_order_relaxed,
                                                    memory_order_relaxed));
}

static uint64_t window_sum(const struct window *window, uint32_t slot)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < SLOTS; i++) {
        uint64_t cell = atomic_load_explicit(&window->cells[i], memory_order_relaxed);

        if (slot - (uint32_t)(cell >> 32) < SLOTS)
            sum += cell & UINT32_MAX;
    }
    return sum;
}

static void window_clear(struct window *window)
{
    for (unsigned i = 0; i < SLOTS; i++)
        atomic_store_explicit(&window->cells[i], 0, memory_order_relaxed);
}

static void count_request(struct pn_breaker *breaker, uint64_t now_ms)
{
    if (breaker->requests)
        window_add(&breaker->requests[stripe()], slot_at(breaker, now_ms));
}

/** Has the rule been met? */
static bool is_met(const struct pn_breaker *breaker, uint64_t now_ms)
{
    uint32_t slot = slot_at(breaker, now_ms);
    uint64_t failures = window_sum(&breaker->failures, slot);
    uint64_t requests = 0;

    if (!breaker->requests)
        return failures >= breaker->rule.count;
    for (unsigned i = 0; i < STRIPES; i++)
        requests += window_sum(&breaker->requests[i], slot);
    return requests >= PN_BREAKER_SAMPLE_MIN &&
           failures * 100 >= requests * breaker->rule.percentage;
}

/* --- states --- */

static void clear(struct pn_breaker *breaker)
{
    window_clear(&breaker->failures);
    for (unsigned i = 0; breaker->requests && i < STRIPES; i++)
        window_clear(&breaker->requests[i]);
}

static void open_from(struct pn_breaker *breaker, uint64_t now_ms, uint64_t trip_ms)
{
    if (trip_ms == 0)
        trip_ms = breaker->rule.trip_ms;
    if (trip_ms > PN_BREAKER_TRIP_MS_MAX)
        trip_ms = PN_BREAKER_TRIP_MS_MAX;
    clear(breaker);
    atomic_store_explicit(&breaker->open_until_ms, now_ms + trip_ms, memory_order_release);
}

uint64_t pn_breaker_wait_ms(const struct pn_breaker *breaker, uint64_t now_ms)
{
    uint64_t until = atomic_load_explicit(&breaker->open_until_ms, memory_order_acquire);

    return until > now_ms ? until - now_ms : 0;
}

enum pn_breaker_pass pn_breaker_ask(struct pn_breaker *breaker, uint64_t now_ms, uint64_t *wait_ms)
{
    uint64_t until = atomic_load_explicit(&breaker->open_until_ms, memory_order_acquire);

    if (until == 0)
        return PN_BREAKER_CLOSED;
    /* Others wait for the trial; one that never ends must not keep the breaker open for ever. */
    if (until <= now_ms && atomic_compare_exchange_strong(&breaker->open_until_ms, &until,
                                                          now_ms + PN_BREAKER_TRIAL_MS)) {
        *wait_ms = PN_BREAKER_TRIAL_MS;
        return PN_BREAKER_TRIAL;
    }
    if (until == 0)
        return PN_BREAKER_CLOSED;
    *wait_ms = until > now_ms ? until - now_ms : 1;
    return PN_BREAKER_OPEN;
}

void pn_breaker_give_up(struct pn_breaker *breaker, uint64_t until_ms)
{
    /* Not if another trial has gone or decided meanwhile. 1: long past, and not closed. */
    (void)atomic_compare_exchange_strong(&breaker->open_until_ms, &until_ms, 1);
}

bool pn_breaker_success(struct pn_breaker *breaker, enum pn_breaker_pass pass, uint64_t now_ms)
{
    count_request(breaker, now_ms);
    if (pass != PN_BREAKER_TRIAL ||
        atomic_exchange_explicit(&breaker->open_until_ms, 0, memory_order_acq_rel) == 0)
        return false;
    pn_metric_add(PN_METRIC_BACKENDS_TRIPPED, -1);
    return true;
}

bool pn_breaker_failure(struct pn_breaker *breaker, enum pn_breaker_pass pass, uint64_t now_ms,
                        uint64_t trip_ms)
{
    uint64_t closed = 0;

    if (pass == PN_BREAKER_TRIAL) {
        if (atomic_load_explicit(&breaker->open_until_ms, memory_order_acquire) == 0)
            return false; /* another trial has closed it meanwhile */
        open_from(breaker, now_ms, trip_ms);
        pn_metric_add(PN_METRIC_BACKEND_TRIPS, 1);
        return true;
    }
    if (atomic_load_explicit(&breaker->open_until_ms, memory_order_acquire) != 0)
        return false; /* sent before it tripped */
    count_request(breaker, now_ms);
    window_add(&breaker->failures, slot_at(breaker, now_ms));
    if (!is_met(breaker, now_ms) ||
        !atomic_compare_exchange_strong(&breaker->open_until_ms, &closed, now_ms + 1))
        return false;
    open_from(breaker, now_ms, trip_ms);
    pn_metric_add(PN_METRIC_BACKENDS_TRIPPED, 1);
    pn_metric_add(PN_METRIC_BACKEND_TRIPS, 1);
    return true;
}

/* --- life --- */

enum pn_rc pn_breaker_create(const struct pn_breaker_rule *rule, struct pn_breaker **out)
{
    struct pn_breaker *breaker = aligned_alloc(CACHE_LINE_BYTES, sizeof(*breaker));

    if (!breaker)
        return PN_NOMEM;
    memset(breaker, 0, sizeof(*breaker));
    breaker->refs = 1;
    breaker->rule = *rule;
    breaker->slot_ms = rule->interval_ms / SLOTS > 0 ? rule->interval_ms / SLOTS : 1;
    if (rule->count == 0) {
        breaker->requests = aligned_alloc(CACHE_LINE_BYTES, STRIPES * sizeof(struct window));
        if (!breaker->requests) {
            free(breaker);
            return PN_NOMEM;
        }
        memset(breaker->requests, 0, STRIPES * sizeof(struct window));
    }
    *out = breaker;
    return PN_OK;
}

struct pn_breaker *pn_breaker_ref(struct pn_breaker *breaker)
{
    breaker->refs++;
    return breaker;
}

void pn_breaker_unref(struct pn_breaker *breaker)
{
    if (!breaker || --breaker->refs > 0)
        return;
    if (atomic_load_explicit(&breaker->open_until_ms, memory_order_acquire) != 0)
        pn_metric_add(PN_METRIC_BACKENDS_TRIPPED, -1);
    free(breaker->requests);
    free(breaker);
}

const struct pn_breaker_rule *pn_breaker_rule(const struct pn_breaker *breaker)
{
    return &breaker->rule;
}
