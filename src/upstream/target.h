/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a backend is: the parts of its base URL. A value type that borrows the URL's text.
 */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

#define PN_TARGET_HOST_MAX 255 /* bytes of a host name */

struct pn_target {
    bool is_tls;
    bool is_ipv6; /* host is an IPv6 address, without brackets */
    struct pn_slice host;
    uint16_t port;
    struct pn_slice authority; /* for the Host field: "host" or "host:port", as written */
    struct pn_slice path;      /* prefix of every request's path; may be empty */
    struct pn_slice query;     /* without '?'; may be empty */
};

/** An absolute http or https URL. PN_INVALID, PN_MALFORMED, PN_LIMIT; err says what is wrong. The
 *  slices point into `url`. */
enum pn_rc pn_target_parse(struct pn_slice url, struct pn_target *target,
                           struct pn_error *err) PN_MUST_USE;
/** The request target for `path` and `query` of one request: prefix + path, "?" and both queries.
 *  In the arena. PN_NOMEM. */
enum pn_rc pn_target_request(const struct pn_target *target, struct pn_slice path,
                             struct pn_slice query, struct pn_arena *arena,
                             struct pn_slice *out) PN_MUST_USE;
