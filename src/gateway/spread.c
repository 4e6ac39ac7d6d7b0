/* SPDX-License-Identifier: Apache-2.0
 *
 * See spread.h. A worker's word is its count, with CLOSED above it; each is a cache line of its
 * own.
 */
#include "gateway/spread.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#define LINE_BYTES 64
#define CLOSED     (UINT64_C(1) << 63)
#define SLACK      8 /* so much apart, and an eighth, is even: giving away costs a wake-up */

struct count {
    _Alignas(LINE_BYTES) _Atomic uint64_t word;
};

struct pn_spread {
    struct count all;
    uint64_t most;
    unsigned workers;
    struct count of[];
};

struct pn_spread *pn_spread_create(unsigned workers, size_t connections)
{
    size_t bytes = sizeof(struct pn_spread) + workers * sizeof(struct count);
    struct pn_spread *spread = aligned_alloc(LINE_BYTES, bytes);

    if (!spread)
        return NULL;
    atomic_init(&spread->all.word, 0);
    spread->most = connections;
    spread->workers = workers;
    for (unsigned i = 0; i < workers; i++)
        atomic_init(&spread->of[i].word, 0);
    return spread;
}

void pn_spread_destroy(struct pn_spread *spread)
{
    free(spread);
}

static uint64_t count_of(const struct pn_spread *spread, unsigned worker)
{
    return atomic_load_explicit(&spread->of[worker].word, memory_order_relaxed);
}

/** Who should serve what `self` has accepted. A closed one has more than anybody. */
static unsigned choose(const struct pn_spread *spread, unsigned self)
{
    uint64_t own = count_of(spread, self), least = own;
    unsigned found = self;

    for (unsigned i = 0; i < spread->workers; i++) {
        uint64_t count = count_of(spread, i);

        if (count < least) {
            least = count;
            found = i;
        }
    }
    return own >= least + SLACK + least / 8 ? found : self;
}

/** False: it is closed. */
static bool add(struct pn_spread *spread, unsigned worker)
{
    uint64_t seen = count_of(spread, worker);

    while (!(seen & CLOSED)) {
        if (atomic_compare_exchange_weak_explicit(&spread->of[worker].word, &seen, seen + 1,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    }
    return false;
}

static void take(struct pn_spread *spread, unsigned worker)
{
    bool is_open = add(spread, worker);

    assert(is_open); /* who is drained accepts nothing and gives nothing away */
}

bool pn_spread_enter(struct pn_spread *spread, unsigned self, bool may_give, unsigned *worker)
{
    if (atomic_fetch_add_explicit(&spread->all.word, 1, memory_order_relaxed) >= spread->most) {
        atomic_fetch_sub_explicit(&spread->all.word, 1, memory_order_relaxed);
        return false;
    }
    *worker = may_give ? choose(spread, self) : self;
    if (*worker != self && add(spread, *worker))
        return true;
    *worker = self;
    take(spread, self);
    return true;
}

void pn_spread_move(struct pn_spread *spread, unsigned from, unsigned to)
{
    take(spread, to);
    atomic_fetch_sub_explicit(&spread->of[from].word, 1, memory_order_relaxed);
}

void pn_spread_leave(struct pn_spread *spread, unsigned worker)
{
    atomic_fetch_sub_explicit(&spread->of[worker].word, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&spread->all.word, 1, memory_order_relaxed);
}

bool pn_spread_close(struct pn_spread *spread, unsigned worker)
{
    uint64_t none = 0;

    return atomic_compare_exchange_strong_explicit(&spread->of[worker].word, &none, CLOSED,
                                                   memory_order_relaxed, memory_order_relaxed);
}
