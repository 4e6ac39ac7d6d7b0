/* SPDX-License-Identifier: Apache-2.0
 *
 * The keyholder's questions and answers: one thread per connection. What a connection may ask is
 * decided by the service and the asker's role that the supervisor labelled it with, and once more
 * here. A frame that is none ends its connection; a refusal is an answer and a log line.
 */
#pragma once

#include "ipc/broker.h"
#include "ipc/protocol.h"
#include "keyholder/keys.h"

#define PN_KEYHOLDER_CONNECTIONS_MAX 256u
#define PN_KEYHOLDER_GATEWAY_MAX     192u /* of them: control always finds a place */
/* Memory for the gateway: questions up to SMALL at any time, larger ones (records of its feed log)
 * a few at once. A signature is always small. */
#define PN_QUESTION_SMALL_MAX (PN_SIGN_MESSAGE_BYTES_MAX + 1024u)
#define PN_GATEWAY_LARGE_MAX  4u
#define PN_IMPORTS_MAX        4u /* at once; others wait */
#define PN_IMPORT_WAIT_MS     10000

/** Connects to a service, as pn_broker_connect. */
typedef enum pn_rc (*pn_connect_fn)(void *ctx, const char *service, int *fd, struct pn_error *err);

struct pn_keyholder_server;

/** All are borrowed for its life. */
enum pn_rc pn_keyholder_server_create(const struct pn_master *master, struct pn_keys *keys,
                                      pn_connect_fn connect, void *connect_ctx,
                                      struct pn_keyholder_server **server,
                                      struct pn_error *err) PN_MUST_USE;
/** No connection may be open any more. */
void pn_keyholder_server_destroy(struct pn_keyholder_server *server);
/** Takes `fd` and serves it on a new thread. PN_LIMIT, PN_DENIED (service and role do not fit),
 * PN_NOMEM: closed. */
enum pn_rc pn_keyholder_server_take(struct pn_keyholder_server *server, int fd, const char *service,
                                    enum pn_role asker, struct pn_error *err) PN_MUST_USE;
/** Takes `fd` and serves it on this thread until it ends. For tests and for _take. */
void pn_keyholder_server_serve(struct pn_keyholder_server *server, int fd, const char *service,
                               enum pn_role asker);
/** Whether the table allows `service` for that role. */
bool pn_keyholder_may_connect(const char *service, enum pn_role asker);
