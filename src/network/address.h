/* SPDX-License-Identifier: Apache-2.0
 *
 * IP addresses and the prefixes of network rules. An IPv4 address in IPv6 form (::ffff:a.b.c.d) is
 * that IPv4 address here, so that no rule can be walked around by writing it differently.
 */
#pragma once

#include <jansson.h>
#include <sys/socket.h>

#include "base/cidr.h"

struct pn_address {
    int family; /* AF_INET, AF_INET6; 0: none (a Unix socket, an unknown peer) */
    uint8_t ip[16];
};

/** "10.0.0.1", "::1", "[::1]", with or without "%zone". False: it is no address. */
bool pn_address_parse(struct pn_slice text, struct pn_address *address);
/** Also what other programs take for an IPv4 address (inet_aton(3)): "2852039166", "0xa9fea9fe",
 *  "0251.254.43518". For names that somebody else will look up. */
bool pn_address_parse_loosely(struct pn_slice text, struct pn_address *address);
/** Of a socket address; family 0 for what is no IP. */
struct pn_address pn_address_of(const struct sockaddr *socket_address);
bool pn_address_in(const struct pn_address *address, const struct pn_cidr *range);
/** Whether it is in one of a JSON list of texts ("10.0.0.0/8"); entries that are none match
 * nothing.
 */
bool pn_address_in_list(const struct pn_address *address, const json_t *prefixes);
/** The named kind of an address that must not be reached on behalf of others: "link-local",
 *  "metadata", "unspecified"; NULL: it is none of these. Metadata services of clouds have
 *  link-local or well-known addresses (169.254.169.254, fd00:ec2::254, 100.100.100.200,
 *  168.63.129.16). An IPv6 address that a translator or a tunnel turns into such an IPv4 one is
 * one, too: NAT64 (RFC 6052, RFC 8215), 6to4 (RFC 3056), Teredo (RFC 4380), ISATAP (RFC 5214), SIIT
 *  (RFC 2765). */
const char *pn_address_is_guarded(const struct pn_address *address);
/** "localhost", a name below it, or a loopback address, with or without brackets: this machine and
 *  no other (RFC 6761 §6.3). "127.example" is a name like any other. */
bool pn_host_is_loopback(const char *host);
/** Writes it as text; "unknown" for none. `out` has PN_ADDRESS_TEXT bytes. */
void pn_address_text(const struct pn_address *address, char *out);
#define PN_ADDRESS_TEXT 64
