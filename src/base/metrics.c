/* SPDX-License-Identifier: Apache-2.0
 *
 * Counters and gauges.
 */
#include "base/metrics.h"

#include <stdatomic.h>

static _Atomic int64_t cells[PN_METRIC_COUNT];

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

void pn_metric_add(enum pn_metric metric, int64_t amount)
{
    atomic_fetch_add_explicit(&cells[metric], amount, memory_order_relaxed);
}

int64_t pn_metric_get(enum pn_metric metric)
{
    return atomic_load_explicit(&cells[metric], memory_order_relaxed);
}

enum pn_rc pn_metrics_print(const int64_t *values, struct pn_buf *out)
{
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; i < PN_METRIC_COUNT && rc == PN_OK; i++) {
        const struct description *d = &descriptions[i];

        rc = pn_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %lld\n", d->name, d->help, d->name,
                           d->kind, d->name, (long long)values[i]);
    }
    return rc;
}
