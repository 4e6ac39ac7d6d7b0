/* SPDX-License-Identifier: Apache-2.0
 *
 * Which member of a pool a request goes to: the lowest priority number of which a member is
 * available, and within it smooth weighted round robin. With weights 3 and 1 the order is a a b a,
 * not a a a b. No clock, no memory of its own; the state belongs to one thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PN_BALANCE_MEMBERS_MAX 32
#define PN_BALANCE_NONE        SIZE_MAX

struct pn_balance_member {
    unsigned weight; /* 0: only when no other one of its priority is available */
    unsigned priority;
    bool is_available;
};

/** Zero before first use. Members keep their places while it is in use. */
struct pn_balance {
    int64_t credits[PN_BALANCE_MEMBERS_MAX];
};

/** The place of the chosen one, or PN_BALANCE_NONE. `count` at most PN_BALANCE_MEMBERS_MAX. */
size_t pn_balance_choose(struct pn_balance *balance, const struct pn_balance_member *members,
                         size_t count);
