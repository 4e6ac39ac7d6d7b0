/* SPDX-License-Identifier: Apache-2.0
 *
 * The network rules of the service's outgoing connections, in the management plane: from the stored
 * service, its subnet and the subnet's security group to one document, which the gateway gets with
 * the feed and control's own connections are judged by (network/outbound.h, ADR 225).
 *
 * The document is a resource of its own below the service ("…/posternOutbound/rules"), written in
 * the transaction of whatever changes it: a group's rules are in force at the gateway when their
 * PUT answers. No document: nothing is governed.
 */
#pragma once

#include "network/outbound.h"
#include "store/store.h"

/** Which service is governed, and where own vaults and authorities are. Borrowed, immutable. */
struct pn_outbound_scope {
    struct pn_store *store;
    const char *service_id;
    json_t *tags; /* {"AzureKeyVault": [{"host", "port", "addresses"}], …} */
};

/** "https://localhost:9444" as a place of a tag: {"host", "port", "addresses"}: those that `host`
 * is here, if it is an address or the loopback's name. NULL: no memory, or no such URL. */
json_t *pn_outbound_place(const char *url);

/** Writes, changes or deletes the document by what the transaction has. The store's errors. */
enum pn_rc pn_outbound_refresh(const struct pn_outbound_scope *scope, struct pn_store_txn *txn,
                               struct pn_error *err) PN_MUST_USE;
/** Whether `id` is a subnet of a virtual network that is stored. */
enum pn_rc pn_outbound_find_subnet(struct pn_store_txn *txn, const char *id, bool *is_there,
                                   struct pn_error *err) PN_MUST_USE;
/** The same in a transaction of its own, if anything differs: at start. */
enum pn_rc pn_outbound_refresh_now(const struct pn_outbound_scope *scope,
                                   struct pn_error *err) PN_MUST_USE;
/** The rules in force; *rules NULL: none. Rules that cannot be read refuse everything. PN_NOMEM. */
enum pn_rc pn_outbound_rules_now(const struct pn_outbound_scope *scope, struct pn_outbound **rules,
                                 struct pn_error *err) PN_MUST_USE;

/** A format: how many ("%lld"), " is" or "s are", "governs" or "govern". */
#define PN_INBOUND_WARNING                                                                         \
    "%lld inbound rule%s kept and %s nothing: who may connect is decided by the listeners' "       \
    "addresses and this machine's firewall"
/** Appends a sentence for each thing in the rules in force that has no effect. The store's errors,
 *  PN_NOMEM. */
enum pn_rc pn_outbound_warn(const struct pn_outbound_scope *scope, json_t *list,
                            struct pn_error *err) PN_MUST_USE;

/** Whether a connection to an own service at `url` would be allowed, when it is not made because
 * the service is in this process. `is_counted`: as a denied connection to an authority, if it is
 * one. PN_DENIED (network_rule), PN_NOMEM. */
enum pn_rc pn_outbound_check_service(const struct pn_outbound_scope *scope, const char *url,
                                     enum pn_service_tag service, bool is_counted,
                                     struct pn_error *err) PN_MUST_USE;
