/* SPDX-License-Identifier: Apache-2.0
 *
 * Circuit breaker of one backend, of the whole gateway: all threads count into the same one, so
 * that "3 failures" means three, whichever threads had them (docs/adr/0116-circuit-breaker.md).
 *
 *   CLOSED --failures of the rule--> OPEN --trip time is over--> one TRIAL at a time
 *      ^------------ the trial succeeds ------------------------/   | it fails: OPEN again
 *
 * What a request reads of it is one word that changes only when it trips or closes. Written are
 * only failures, and, under a rule of a percentage, one cell of the thread's own per request. No
 * lock. Time is a parameter, in milliseconds of the monotonic clock that all loops share.
 *
 * Thread: pn_breaker_create(), _ref() and _unref() of one thread (the one that compiles
 * configurations, which keeps it while a worker may use it); everything else of any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rc.h"

#define PN_BREAKER_SAMPLE_MIN  5     /* requests in the interval before a percentage counts */
#define PN_BREAKER_TRIAL_MS    10000 /* then another trial is let through, whatever the first does */
#define PN_BREAKER_TRIP_MS_MAX 86400000 /* also by Retry-After: one day */

struct pn_breaker_rule {
    unsigned count;      /* failures; 0: by percentage */
    unsigned percentage; /* of the requests in the interval; 0: by count */
    uint64_t interval_ms, trip_ms;
};

struct pn_breaker;

enum pn_breaker_pass {
    PN_BREAKER_CLOSED, /* send it */
    PN_BREAKER_TRIAL,  /* send it; it decides whether the breaker closes */
    PN_BREAKER_OPEN,   /* do not send it */
};

/** PN_NOMEM. */
enum pn_rc pn_breaker_create(const struct pn_breaker_rule *rule,
                             struct pn_breaker **breaker) PN_MUST_USE;
struct pn_breaker *pn_breaker_ref(struct pn_breaker *breaker);
void pn_breaker_unref(struct pn_breaker *breaker);
const struct pn_breaker_rule *pn_breaker_rule(const struct pn_breaker *breaker);

/** How long no request would be sent; 0: it would now. Takes no trial. */
uint64_t pn_breaker_wait_ms(const struct pn_breaker *breaker, uint64_t now_ms);
/** Asked once for a request that will be sent. OPEN: *wait_ms until it may be tried; TRIAL: until
 *  another one may go, whatever this one does. */
enum pn_breaker_pass pn_breaker_ask(struct pn_breaker *breaker, uint64_t now_ms, uint64_t *wait_ms);
/** The trial that was let through until `until_ms` (when it was asked, and *wait_ms later) has said
 *  nothing of the backend: another one may go at once. */
void pn_breaker_give_up(struct pn_breaker *breaker, uint64_t until_ms);
/** How the request went that got `pass`. True: this closed the breaker. */
bool pn_breaker_success(struct pn_breaker *breaker, enum pn_breaker_pass pass, uint64_t now_ms);
/** `trip_ms` 0: the rule's. True: this tripped it (or again). */
bool pn_breaker_failure(struct pn_breaker *breaker, enum pn_breaker_pass pass, uint64_t now_ms,
                        uint64_t trip_ms);
