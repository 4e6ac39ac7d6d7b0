/* SPDX-License-Identifier: Apache-2.0
 *
 * When a busy worker rests for a moment although it will have something to do soon. A worker that
 * is faster than its clients and backends goes to sleep after each of their packets and is woken up
 * by the next one, which costs it, and whoever sends, up to a sixth of a request. During a rest
 * several packets arrive and are worked off together (as network cards do: interrupt coalescing).
 * ADR 284.
 *
 * Only where nobody waits much longer for it: the thread is busy and serves several requests at a
 * time, so packets come closely, and a rest is a part of what they take anyway. Knows no loop and
 * no clock. Thread: its worker's.
 */
#pragma once

#include <stdint.h>

struct pn_rest {
    uint64_t most_us;   /* of a rest; 0: never (limit busy-rest) */
    uint64_t since_us;  /* when the time began over which the sums go */
    uint64_t busy_us;   /* of turns */
    uint64_t served_us; /* of requests that were answered */
    unsigned served;
    unsigned length_us; /* of a rest, as the last such time has it; 0: none */
};

#define PN_REST_SERVED_MAX_US 4000 /* a slow request counts no more than that */

/** A request was answered that took so long. */
static inline void pn_rest_served(struct pn_rest *rest, uint64_t took_us)
{
    rest->served++;
    rest->served_us += took_us < PN_REST_SERVED_MAX_US ? took_us : PN_REST_SERVED_MAX_US;
}

/** A turn has worked from `began_us` to `end_us` (monotonic). Returns for how many microseconds to
 * rest if nothing has happened meanwhile; 0: not at all. */
unsigned pn_rest_after(struct pn_rest *rest, uint64_t began_us, uint64_t end_us);
