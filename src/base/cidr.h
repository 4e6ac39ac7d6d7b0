/* SPDX-License-Identifier: Apache-2.0
 *
 * Ranges of IP addresses: "10.0.0.0/8", "2001:db8::/32", and one address as a range of itself.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/slice.h"

struct pn_cidr {
    int family;     /* AF_INET, AF_INET6 */
    uint8_t ip[16]; /* the first 4 or all bytes, in network order */
    unsigned bits;  /* that count */
};

/** A range of ::ffff:a.b.c.d becomes one of a.b.c.d. PN_INVALID: no address, more bits than it has,
 *  bits set behind the prefix, or IPv4 addresses in another IPv6 form (64:ff9b::a.b.c.d,
 * ::a.b.c.d).
 */
enum pn_rc pn_cidr_parse(struct pn_slice text, struct pn_cidr *range,
                         struct pn_error *err) PN_MUST_USE;
/** `ip`: 4 or 16 bytes as `family` says. An IPv4 address in IPv6 form is no IPv4 address here. */
bool pn_cidr_has(const struct pn_cidr *range, int family, const uint8_t *ip);
