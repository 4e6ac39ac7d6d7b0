/* SPDX-License-Identifier: Apache-2.0
 *
 * Listening sockets from what an operator wrote (listen_value.h). They belong to the supervisor and
 * stay open while children are restarted: a client then waits instead of being refused. A
 * supervisor that takes over from another one (hand_over.h) keeps those whose address is still
 * wanted.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "supervisor/listen_value.h"

#define PN_LISTEN_FDS_MAX 16
#define PN_LISTEN_BACKLOG 4096
#define PN_LISTEN_WAIT_MS 2000 /* for an address that is still taken */

/** One listening socket. */
struct pn_listen_socket {
    int fd;                           /* non-blocking, close-on-exec */
    char text[PN_LISTEN_ADDRESS_MAX]; /* the address that it was made for */
    bool is_unix;
    bool wants_proxy;
    char trusted[PN_LISTEN_TRUSTED_TEXT];
};

struct pn_listen_set {
    struct pn_listen_socket sockets[PN_LISTEN_FDS_MAX];
    size_t count;
    unsigned port;  /* the real one of the first address with one; 0: there is none */
    char host[256]; /* of the same, as clients on this machine would write it */
};

/** "localhost:PORT" is 127.0.0.1 and, where there is IPv6, ::1 with the same port; "[::1]:PORT";
 *  "HOST:PORT" is every address of the name; ":PORT" and "*:PORT" are every address of this
 * machine. A socket for IPv6 takes IPv6 only. "unix:/PATH": a file that nobody listens at any more
 * is replaced. `former`: sockets that are open already (or NULL); those of a wanted address are
 * moved. An address that is taken is tried again for PN_LISTEN_WAIT_MS, then it is PN_IO.
 * PN_INVALID: not of that form. PN_LIMIT: too many. PN_IO: err says what to do. */
enum pn_rc pn_listen_open(const struct pn_listen_value *value, struct pn_listen_set *former,
                          struct pn_listen_set *set, struct pn_error *err) PN_MUST_USE;
/** Closes them; `removes_files`: also the files of Unix sockets. */
void pn_listen_close(struct pn_listen_set *set, bool removes_files);
/** The addresses that it really has, such as "127.0.0.1:8080", "[::1]:8080", "unix:/run/x.sock". */
void pn_listen_address_print(const struct pn_listen_socket *socket,
                             char out[PN_LISTEN_ADDRESS_MAX]);
