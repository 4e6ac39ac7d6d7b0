/* SPDX-License-Identifier: Apache-2.0
 *
 * Counters and gauges.
 */
#include "base/metrics.h"

#include <stdalign.h>
#include <stdatomic.h>

/* Threads count in stripes of their own, so that no cache line goes to and fro between them with
 * each request; a value is the sum. More threads than stripes share some, which is correct, only
 * slower. */
#define STRIPES          16u
#define CACHE_LINE_BYTES 64

struct stripe {
    alignas(CACHE_LINE_BYTES) _Atomic int64_t cells[PN_COUNTER_COUNT];
};

static struct stripe stripes[STRIPES];
static atomic_uint threads_seen;
static _Thread_local struct stripe *own;

struct description {
    const char *name;
    const char *kind;
    const char *help;
};

static const struct description descriptions[PN_METRIC_COUNT] = {
#define PN_METRIC_ROW(symbol, name, kind, help) {name, kind, help},
    PN_METRICS(PN_METRIC_ROW)
#undef PN_METRIC_ROW
};

static void add(size_t i, int64_t amount)
{
    if (!own)
        own = &stripes[atomic_fetch_add_explicit(&threads_seen, 1, memory_order_relaxed) % STRIPES];
    atomic_fetch_add_explicit(&own->cells[i], amount, memory_order_relaxed);
}

void pn_metric_add(enum pn_metric metric, int64_t amount)
{
    add(metric, amount);
}

int64_t pn_counter_get(size_t i)
{
    int64_t sum = 0;

    for (size_t k = 0; k < STRIPES; k++)
        sum += atomic_load_explicit(&stripes[k].cells[i], memory_order_relaxed);
    return sum;
}

int64_t pn_metric_get(enum pn_metric metric)
{
    return pn_counter_get(metric);
}

void pn_limit_hit(enum pn_limit limit)
{
    add((size_t)PN_METRIC_COUNT + limit, 1);
}

int64_t pn_limit_hits(enum pn_limit limit)
{
    return pn_counter_get((size_t)PN_METRIC_COUNT + limit);
}

static enum pn_rc print_limits(const int64_t *hits, struct pn_buf *out)
{
    enum pn_rc rc = pn_buf_printf(
        out, "# HELP postern_limit_hits_total What was refused, ended or dropped because of a "
             "limit.\n# TYPE postern_limit_hits_total counter\n");

    for (size_t i = 0; i < PN_LIMIT_COUNT && rc == PN_OK; i++)
        rc = pn_buf_printf(out, "postern_limit_hits_total{limit=\"%s\"} %lld\n",
                           pn_limit_rows[i].name, (long long)hits[i]);
    if (rc == PN_OK)
        rc = pn_buf_printf(out, "# HELP postern_limit_value The limit in force: bytes, a count or "
                                "milliseconds.\n# TYPE postern_limit_value gauge\n");
    for (size_t i = 0; i < PN_LIMIT_COUNT && rc == PN_OK; i++)
        rc = pn_buf_printf(out, "postern_limit_value{limit=\"%s\"} %llu\n", pn_limit_rows[i].name,
                           (unsigned long long)pn_limit_values[i]);
    return rc;
}

enum pn_rc pn_metrics_print(const int64_t *values, struct pn_buf *out)
{
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; i < PN_METRIC_COUNT && rc == PN_OK; i++) {
        const struct description *d = &descriptions[i];

        rc = pn_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %lld\n", d->name, d->help, d->name,
                           d->kind, d->name, (long long)values[i]);
    }
    return rc == PN_OK ? print_limits(values + PN_METRIC_COUNT, out) : rc;
}
