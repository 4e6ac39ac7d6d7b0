/* SPDX-License-Identifier: Apache-2.0
 *
 * Serves probes (ipc/probe.h) on the gateway's main thread: name, connection and handshake like a
 * worker's, with a TLS context of its own, so that nothing of a probe is ever used by a request.
 */
#pragma once

#include "gateway/gateway_internal.h"

struct pn_probes;

/** Borrows the gateway's loop, signer and roots. PN_NOMEM, PN_IO. */
enum pn_rc pn_probes_create(struct pn_gateway *gateway, struct pn_probes **probes,
                            struct pn_error *err) PN_MUST_USE;
/** Ends those under way. NULL is fine. */
void pn_probes_destroy(struct pn_probes *probes);
/** Takes `fd`, a connection of control. Above PN_PROBES_MAX it is closed. */
void pn_probes_open(struct pn_probes *probes, int fd);
