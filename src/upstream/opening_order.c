/* SPDX-License-Identifier: Apache-2.0
 *
 * The order of the addresses of a name.
 */
#include "upstream/opening.h"

/** Moves the addresses of `family` to `out`, rotated by `turn`. Returns how many. */
static size_t take_family(const struct pn_peer_address *addresses, size_t count, bool is_first,
                          unsigned turn, struct pn_peer_address *out)
{
    size_t found[PN_RESOLVE_ADDRESSES_MAX];
    size_t n = 0;

    for (size_t i = 0; i < count; i++)
        if ((addresses[i].family == addresses[0].family) == is_first)
            found[n++] = i;
    for (size_t i = 0; i < n; i++)
        out[i] = addresses[found[(i + turn) % n]];
    return n;
}

void pn_opening_order(struct pn_peer_address *addresses, size_t count, unsigned turn)
{
    struct pn_peer_address first[PN_RESOLVE_ADDRESSES_MAX], second[PN_RESOLVE_ADDRESSES_MAX];
    size_t first_count, second_count, used = 0;

    if (count < 2)
        return;
    first_count = take_family(addresses, count, true, turn, first);
    second_count = take_family(addresses, count, false, turn, second);
    for (size_t i = 0; used < count; i++) {
        if (i < first_count)
            addresses[used++] = first[i];
        if (i < second_count)
            addresses[used++] = second[i];
    }
}
