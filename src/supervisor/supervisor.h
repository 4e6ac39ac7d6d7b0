/* SPDX-License-Identifier: Apache-2.0
 *
 * `postern serve`: opens the listening sockets, starts keyholder, gateway and control, restarts
 * what dies, brokers connections between them, and stops them in order.
 */
#pragma once

/** Runs until SIGTERM or SIGINT. Returns the exit status: 0 after an orderly stop, 1 when it could
 * not start or a child would not stay up, 2 on a wrong argument or configuration. `argv[0]` is
 * "serve". */
int pn_supervisor_main(int argc, char **argv);
