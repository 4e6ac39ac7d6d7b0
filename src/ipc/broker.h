/* SPDX-License-Identifier: Apache-2.0
 *
 * How Postern's processes find each other. No process can name another: the supervisor is the
 * broker. A child asks it on descriptor 3 ("connect me to the keyholder's signer"), the supervisor
 * checks its table of who may talk to whom, makes a socket pair, gives one end to the asker and
 * pushes the other end, labelled with service and asker, to the service's process on descriptor 4.
 * If that process is just being restarted, the end waits in the supervisor and is delivered when it
 * is back; so connecting never fails for a restart, the first question just takes longer.
 *
 *   service           asked by                      served by
 *   keyholder.sign    gateway, control              keyholder   sign (client, server) and seal
 * "feed" keyholder.admin   control                       keyholder   everything gateway.feed
 * control                       gateway     the feed of resources gateway.probe
 * control                       gateway     handshakes that explain import            keyholder a
 * fresh postern-import, started for this call
 *
 * Listening sockets are opened by the supervisor before it starts the children and stay open while
 * they are restarted; a child finds them in PN_LISTEN_FDS="gateway=5,gateway=6,gateway-tls=7".
 * Child arguments: --data DIR and what main/ documents. When descriptor 3 ends, the child exits.
 */
#pragma once

#include "base/error.h"
#include "base/slice.h"

#define PN_SERVICE_SIGN   "keyholder.sign"
#define PN_SERVICE_ADMIN  "keyholder.admin"
#define PN_SERVICE_FEED   "gateway.feed"
#define PN_SERVICE_IMPORT "import"

enum pn_role {
    PN_ROLE_SUPERVISOR = 1,
    PN_ROLE_KEYHOLDER,
    PN_ROLE_GATEWAY,
    PN_ROLE_CONTROL,
    PN_ROLE_IMPORT
};

struct pn_broker;

/** From descriptors 3 and 4. Thread-safe after. PN_UNAVAILABLE: not started by a supervisor. */
enum pn_rc pn_broker_create(struct pn_broker **broker, struct pn_error *err) PN_MUST_USE;
void pn_broker_destroy(struct pn_broker *broker);
/** A connected, blocking, close-on-exec socket to `service`; the caller's. PN_DENIED: the table
 * says no. PN_UNAVAILABLE: the supervisor is away. PN_TIMEOUT after 2 s. Any thread. */
enum pn_rc pn_broker_connect(struct pn_broker *broker, const char *service, int *fd,
                             struct pn_error *err) PN_MUST_USE;
/** Tells the supervisor that this process serves. `facts`: JSON object text that the supervisor
 *  merges into ready.json (control: tenantId, subscriptionId, …); may be empty. */
enum pn_rc pn_broker_ready(struct pn_broker *broker, struct pn_slice facts) PN_MUST_USE;
/** Readable when a connection is waiting; for a loop. */
int pn_broker_incoming_fd(const struct pn_broker *broker);
/** Takes one waiting connection. PN_AGAIN: none now. PN_EOF: the supervisor is gone: exit. */
enum pn_rc pn_broker_accept(struct pn_broker *broker, char service[32], enum pn_role *asker,
                            int *fd) PN_MUST_USE;
/** The index-th listening socket of that name from PN_LISTEN_FDS, or -1. */
int pn_listen_fd(const char *name, size_t index);
/** Whether connections of that socket must begin with a PROXY header. *trusted: the address ranges
 *  of the proxies that are believed, separated by spaces; static. */
bool pn_listen_wants_proxy(int fd, struct pn_slice *trusted);
