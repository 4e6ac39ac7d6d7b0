/* SPDX-License-Identifier: Apache-2.0
 *
 * What all fronts share.
 */
#include "gateway/front.h"

#include <arpa/inet.h>

bool pn_front_may_become(struct pn_slice protocol)
{
    return pn_slice_find(protocol, ',') == protocol.len &&
           !pn_slice_case_starts_with(protocol, PN_LIT("h2")) &&
           !pn_slice_case_starts_with(protocol, PN_LIT("HTTP/")) &&
           !pn_slice_case_starts_with(protocol, PN_LIT("TLS/"));
}

struct pn_slice pn_origin_ip(struct pn_origin *origin)
{
    if (!origin->ip[0])
        (void)inet_ntop(origin->peer.family, origin->peer.ip, origin->ip, sizeof(origin->ip));
    return pn_slice_str(origin->ip);
}
