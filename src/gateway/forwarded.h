/* SPDX-License-Identifier: Apache-2.0
 *
 * What a backend is told of the client: X-Forwarded-For, -Proto, -Host, and Forwarded (RFC 7239).
 * The address is the connection's, or what a trusted PROXY header said.
 */
#pragma once

#include "gateway/front.h"

enum pn_forwarding_mode {
    PN_FORWARDING_APPEND, /* X-Forwarded-For goes on where the client's ends; the others are ours */
    PN_FORWARDING_REPLACE, /* what the client says is dropped, other fields X-Forwarded-… too */
    PN_FORWARDING_OFF,     /* nothing is added, nothing dropped */
};

struct pn_forwarding {
    enum pn_forwarding_mode mode;
    bool writes_forwarded; /* Forwarded too; by `mode`, except off */
};

/** "append", "replace", "off". */
bool pn_forwarding_mode_parse(struct pn_slice text, enum pn_forwarding_mode *mode);
/** `host`: what the client asked for; may be empty. PN_NOMEM. */
enum pn_rc pn_forwarding_apply(const struct pn_forwarding *forwarding, struct pn_origin *origin,
                               struct pn_slice host, struct pn_headers *headers) PN_MUST_USE;
