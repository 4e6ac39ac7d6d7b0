/* SPDX-License-Identifier: Apache-2.0
 *
 * Accepted connections of a listener that wants a PROXY header, until it has come. The header is
 * looked at in the socket's buffer and taken out of it whole, so that a newcomer has no buffer of
 * its own and the client behind it finds its first byte as if nothing had been there.
 */
#pragma once

#include "gateway/worker.h"

/** Takes `fd`, whose place among the worker's connections is counted. `peer`: the proxy's address.
 * Without a header in time, with a malformed one, or from an address that is not trusted, the
 * connection ends and is counted. */
void pn_newcomer_accept(struct pn_worker *worker, const struct pn_listener_socket *socket, int fd,
                        const struct pn_peer_address *peer);
/** Ends those that still wait. */
void pn_newcomers_end(struct pn_worker *worker);
