/* SPDX-License-Identifier: Apache-2.0
 *
 * Accepting client connections: every worker watches every listening socket.
 */
#pragma once

#include "gateway/worker.h"

enum pn_rc pn_listeners_open(struct pn_worker *worker, struct pn_error *err) PN_MUST_USE;
/** Stops accepting; the sockets stay the main thread's. */
void pn_listeners_close(struct pn_worker *worker);
