/* SPDX-License-Identifier: Apache-2.0
 *
 * Telling the service manager what state we are in (sd_notify(3)'s protocol: lines in a datagram to
 * the socket named by NOTIFY_SOCKET). Without a manager that asks for it, nothing happens.
 */
#pragma once

/** `state`: "READY=1", "STOPPING=1", "STATUS=…"; several by newlines. What cannot be sent is lost:
 *  the manager has its own time limits. */
void pn_notify(const char *state);
/** "RELOADING=1" with the time that the manager wants to see in it. */
void pn_notify_reloading(void);
