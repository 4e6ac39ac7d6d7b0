/* SPDX-License-Identifier: Apache-2.0
 *
 * `postern upgrade`: asks the serving supervisor (SIGUSR2) to hand over to the executables that are
 * installed now, with the configuration as it is now, and waits for what comes of it.
 */
#pragma once

/** Exit status: 0 the new version serves; 1 it does not, the former one goes on; 2 a wrong
 *  argument; 3 nobody serves from that folder, or this user may not signal it. */
int pn_upgrade_main(int argc, char **argv);
