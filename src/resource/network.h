/* SPDX-License-Identifier: Apache-2.0
 *
 * Microsoft.Network inside this room: what virtual networks and network security groups share.
 * Their children (subnets, rules) are stored in the parent's document, so that a change of one is a
 * change of the whole: checked together, in one transaction.
 */
#pragma once

#include "resource/tracked.h"

#define NETWORK_TYPE "Microsoft.Network/virtualNetworks"
#define GROUP_TYPE   "Microsoft.Network/networkSecurityGroups"

struct network_kind {
    const char *type;   /* NETWORK_TYPE */
    const char *member; /* "subnets": of the parent's properties, and the word in the path */
    const char *child_type;
    const struct tracked_type *tracked;
};

/** A child's PUT, GET, DELETE and list: `path->rest` is type/name/member[/child]. */
void network_child(struct pn_resource_call *call, const struct resource_path *path,
                   const struct network_kind *kind);
/** Gives each child id, type and provisioningState. */
void network_view_children(const struct pn_store_item *item, const struct network_kind *kind,
                           json_t *properties);
/** A child's name, and that no two have the same one. PN_INVALID. */
enum pn_rc network_check_names(const json_t *children, const char *member,
                               struct pn_error *err) PN_MUST_USE;
enum pn_rc network_bad(struct pn_error *err, const char *code, const char *format, ...)
    PN_PRINTF(3, 4);

/** What governs the service's connections may have changed: pn_outbound_refresh(). */
enum pn_rc network_settle(const struct pn_resource_call *call, struct pn_store_txn *txn,
                          struct pn_error *err) PN_MUST_USE;

void resource_networks(struct pn_resource_call *call, const struct resource_path *path);
void resource_security_groups(struct pn_resource_call *call, const struct resource_path *path);
