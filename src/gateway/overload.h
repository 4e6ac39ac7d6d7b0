/* SPDX-License-Identifier: Apache-2.0
 *
 * When a worker takes no new requests, so that those it has accepted are answered: its turns have
 * become long (each request waits for a whole one, whatever it does itself), or it has as many
 * requests open as it may. Knows no loop and no clock. Thread: its worker's.
 *
 * Both have a hysteresis: what refuses at the limit takes again at three quarters of it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PN_OVERLOAD_RETRY_AFTER_S 1

struct pn_overload {
    uint64_t lag_max_ms;   /* of a turn, on average; 0: not watched */
    size_t open_max;       /* requests */
    uint64_t lag_sum_ms;   /* smoothed, in quarters */
    size_t open;           /* requests now */
    bool is_slow, is_full; /* which of them refuses */
};

/** A turn took so long. */
void pn_overload_turn(struct pn_overload *overload, uint64_t turn_ms);
/** There was a pause in which nothing waited: what was before does not count any more. */
void pn_overload_rested(struct pn_overload *overload);
void pn_overload_opened(struct pn_overload *overload);
void pn_overload_closed(struct pn_overload *overload);
