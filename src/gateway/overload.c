/* SPDX-License-Identifier: Apache-2.0
 *
 * See overload.h.
 */
#include "gateway/overload.h"

#define SMOOTHING 4 /* a single long turn counts for a quarter */

static uint64_t low_of(uint64_t high)
{
    return high - high / 4;
}

void pn_overload_turn(struct pn_overload *overload, uint64_t turn_ms)
{
    overload->lag_sum_ms += turn_ms - overload->lag_sum_ms / SMOOTHING;
    if (overload->lag_max_ms == 0)
        return;
    if (overload->lag_sum_ms >= overload->lag_max_ms * SMOOTHING)
        overload->is_slow = true;
    else if (overload->lag_sum_ms < low_of(overload->lag_max_ms) * SMOOTHING)
        overload->is_slow = false;
}

void pn_overload_rested(struct pn_overload *overload)
{
    overload->lag_sum_ms = 0;
    overload->is_slow = false;
}

void pn_overload_opened(struct pn_overload *overload)
{
    overload->open++;
    if (overload->open > overload->open_max)
        overload->is_full = true;
}

void pn_overload_closed(struct pn_overload *overload)
{
    overload->open--;
    if (overload->open <= low_of(overload->open_max) && overload->open < overload->open_max)
        overload->is_full = false;
}
