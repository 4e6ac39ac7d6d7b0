/* SPDX-License-Identifier: Apache-2.0
 *
 * Timers of a loop: a hierarchical wheel of 6 levels with 64 slots, 1 ms per tick.
 *
 * Arming is O(1). Arming again for a later time only writes the new deadline: the entry stays where
 * it is and moves when its old slot comes round, so a timeout that is pushed on by every byte (and
 * never fires) costs one store. Only the loop's thread may touch a timer.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct pn_timer;
typedef void (*pn_timer_fn)(struct pn_timer *timer);

/** Embed it; `on_fire` finds its owner by PN_CONTAINER or by `ctx`. */
struct pn_timer {
    struct pn_list entry;
    uint64_t deadline_ms; /* when it fires; 0: not armed */
    uint64_t queued_ms;   /* the deadline it is queued under; 0: in no slot */
    uint16_t slot;        /* level * PN_TIMER_SLOTS + slot, while queued */
    pn_timer_fn on_fire;
    void *ctx;
};

#define PN_TIMER_LEVELS 6
#define PN_TIMER_SLOTS  64
/* Longer delays are cut to this: 64^6 - 1 ms, about two years. */
#define PN_TIMER_DELAY_MAX_MS ((UINT64_C(1) << 36) - 1)

struct pn_timer_wheel {
    uint64_t now_ms; /* everything up to here has fired */
    uint64_t occupied[PN_TIMER_LEVELS];
    struct pn_list slots[PN_TIMER_LEVELS][PN_TIMER_SLOTS];
};

void pn_timer_init(struct pn_timer *timer, pn_timer_fn on_fire, void *ctx);
bool pn_timer_is_armed(const struct pn_timer *timer);

void pn_timer_wheel_init(struct pn_timer_wheel *wheel, uint64_t now_ms);
/** Fires once at `deadline_ms` (of the same clock), or at the next run when that is past. */
void pn_timer_wheel_arm(struct pn_timer_wheel *wheel, struct pn_timer *timer, uint64_t deadline_ms);
void pn_timer_wheel_disarm(struct pn_timer_wheel *wheel, struct pn_timer *timer);
/** Fires all that are due at `now_ms`. Callbacks may arm and disarm any timer. */
void pn_timer_wheel_run(struct pn_timer_wheel *wheel, uint64_t now_ms);
/** Milliseconds from the wheel's last run to the next slot with an entry (a lower bound of the next
 *  fire), or UINT64_MAX when it is empty. */
uint64_t pn_timer_wheel_next_ms(const struct pn_timer_wheel *wheel);
