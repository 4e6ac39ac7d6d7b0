/* SPDX-License-Identifier: Apache-2.0
 *
 * Smooth weighted round robin: each turn everybody in the group gains their weight, the richest one
 * is chosen and pays the sum of all weights.
 */
#include "upstream/balance.h"

#include <assert.h>

/** The best group: its priority and the sum of its weights. False: nobody is available. */
static bool best_group(const struct pn_balance_member *members, size_t count, unsigned *priority,
                       int64_t *total)
{
    bool is_found = false;

    *total = 0;
    for (size_t i = 0; i < count; i++) {
        if (!members[i].is_available || (is_found && members[i].priority > *priority))
            continue;
        if (!is_found || members[i].priority < *priority)
            *total = 0;
        is_found = true;
        *priority = members[i].priority;
        *total += members[i].weight;
    }
    return is_found;
}

size_t pn_balance_choose(struct pn_balance *balance, const struct pn_balance_member *members,
                         size_t count)
{
    size_t chosen = PN_BALANCE_NONE;
    unsigned priority = 0;
    int64_t total = 0;
    bool are_equal;

    assert(count <= PN_BALANCE_MEMBERS_MAX);
    if (!best_group(members, count, &priority, &total))
        return PN_BALANCE_NONE;
    are_equal = total == 0; /* all weights are 0: they share alike */
    for (size_t i = 0; i < count; i++) {
        const struct pn_balance_member *member = &members[i];

        if (!member->is_available || member->priority != priority ||
            (!are_equal && member->weight == 0))
            continue;
        balance->credits[i] += are_equal ? 1 : member->weight;
        if (are_equal)
            total++;
        if (chosen == PN_BALANCE_NONE || balance->credits[i] > balance->credits[chosen])
            chosen = i;
    }
    balance->credits[chosen] -= total;
    return chosen;
}
