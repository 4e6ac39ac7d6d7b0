/* SPDX-License-Identifier: Apache-2.0
 *
 * The TLS listener of a snapshot, made of the service (its own certificate, its switches) and of
 * the host names: which certificate is shown for which name. Live connections keep the one they
 * came with; every new connection takes the snapshot's.
 */
#pragma once

#include "gateway/item.h"

/* What clients are offered unless the service has customProperties
 * Microsoft.WindowsAzure.ApiManagement.Gateway.Protocols.Server.Http2 = "false". */
#define PN_FRONT_ALPN PN_ALPN_H2_HTTP11

/** `service` and `hostnames` are borrowed; `service` may be NULL. *server is NULL when there is no
 * certificate at all. PN_INVALID, PN_LIMIT, PN_NOMEM … as pn_tls_server_create(). */
enum pn_rc pn_listen_names_make(const struct pn_item *service, struct pn_item *const *hostnames,
                                size_t count, struct pn_tls_tickets *tickets, bool own_records,
                                struct pn_tls_server **server, struct pn_error *err) PN_MUST_USE;
