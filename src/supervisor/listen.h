/* SPDX-License-Identifier: Apache-2.0
 *
 * Listening sockets from HOST:PORT. They belong to the supervisor and stay open while children are
 * restarted: a client then waits instead of being refused.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

#define PN_LISTEN_FDS_MAX 8
#define PN_LISTEN_BACKLOG 4096

struct pn_listen_set {
    int fds[PN_LISTEN_FDS_MAX]; /* non-blocking, close-on-exec */
    size_t count;
    unsigned port; /* the real one */
};

/** "localhost:PORT" is 127.0.0.1 and, where there is IPv6, ::1 with the same port; "[::1]:PORT";
 *  "HOST:PORT" is every address of the name; ":PORT" is every address of this machine. PN_INVALID:
 * not of that form. PN_IO: err says what to do. */
enum pn_rc pn_listen_open(const char *address, struct pn_listen_set *set,
                          struct pn_error *err) PN_MUST_USE;
void pn_listen_close(struct pn_listen_set *set);
/** The host part as clients on this machine would write it: "localhost" for loopback and wildcard.
 */
void pn_listen_host(const char *address, char out[256]);
