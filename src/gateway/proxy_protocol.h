/* SPDX-License-Identifier: Apache-2.0
 *
 * The PROXY protocol, versions 1 and 2 ("The PROXY protocol", HAProxy, 2020/03/05): what a proxy in
 * front of us writes before the client's first byte, so that we know the client's address. Bytes
 * in, facts out: no socket.
 *
 * Strict, because the address decides whom logs, policies and limits mean: every length, number and
 * separator must be as the specification says, and version 1's UNKNOWN must not carry addresses
 * that somebody might believe. Extensions (TLV) of version 2 must tile their space; none is used.
 */
#pragma once

#include <netinet/in.h>

#include "base/rc.h"
#include "base/slice.h"

#define PN_PROXY_V1_BYTES_MAX   107 /* with CR LF */
#define PN_PROXY_V2_FIXED_BYTES 16  /* before the addresses */

struct pn_proxy_header {
    size_t len;         /* bytes of the header: the client's own begin behind it */
    bool has_addresses; /* else the proxy speaks for itself (LOCAL) or does not know (UNKNOWN) */
    int family;         /* with addresses: AF_INET, AF_INET6, AF_UNIX */
    uint8_t source_ip[16], target_ip[16]; /* network order; AF_INET: the first 4 */
    uint16_t source_port, target_port;    /* host order */
};

/** Reads the header at the start of `in`. PN_AGAIN: it goes on. PN_LIMIT: longer than `bytes_max`.
 *  PN_MALFORMED: *cause is a static sentence. Nothing of a refused header may be used. */
enum pn_rc pn_proxy_header_parse(struct pn_slice in, size_t bytes_max,
                                 struct pn_proxy_header *header, const char **cause) PN_MUST_USE;
