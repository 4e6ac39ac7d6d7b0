/* SPDX-License-Identifier: Apache-2.0
 *
 * Accepting client connections: every worker watches every listening socket.
 */
#pragma once

#include "gateway/worker.h"

enum pn_rc pn_listeners_open(struct pn_worker *worker, struct pn_error *err) PN_MUST_USE;
/** Stops accepting; the sockets stay the main thread's. */
void pn_listeners_close(struct pn_worker *worker);
/** Takes all connections that wait in the sockets' queues, which closing would reset, and closes
 * the sockets: for the last worker that accepted. */
void pn_listeners_finish(struct pn_worker *worker);
