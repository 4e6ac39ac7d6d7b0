/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share.
 */
#pragma once

#include "identity/roles.h"
#include "resource/resource.h"

/** A path taken apart at its last `providers`: `/scope/providers/Namespace/type[/name[/…]]`. */
struct resource_path {
    char scope[PN_RESOURCE_ID_TEXT]; /* "/subscriptions/…", without a trailing '/'; "": root */
    size_t scope_count;              /* segments of the scope */
    struct pn_slice space;           /* "Microsoft.Authorization" */
    const struct pn_slice *rest;     /* type, name, child type, … */
    size_t rest_count;
};

/* scope.c */
/** PN_MALFORMED: there is no providers segment; PN_LIMIT: too long. */
enum pn_rc resource_path_read(const struct pn_resource_call *call,
                              struct resource_path *path) PN_MUST_USE;
/** The subscription is ours, the resource group and the resource are there. False: answered. */
bool resource_scope_exists(struct pn_resource_call *call, const struct resource_path *path);

/* role_definitions.c */
void resource_role_definitions(struct pn_resource_call *call, const struct resource_path *path);
void resource_permissions(struct pn_resource_call *call, const struct resource_path *path);
/* managed_identity.c */
void resource_identities(struct pn_resource_call *call, const struct resource_path *path);
void resource_default_identity(struct pn_resource_call *call, const struct resource_path *path);
/* role_assignments.c */
void resource_role_assignments(struct pn_resource_call *call, const struct resource_path *path);
/* role_list.c */
void resource_role_assignment_list(struct pn_resource_call *call, const struct resource_path *path);
/** An assignment as Azure shows it; NULL: no memory. */
json_t *resource_role_assignment_json(const struct pn_resource_call *call,
                                      const struct pn_store_item *item);
/** What comes after `prefix` in a $filter's term up to a closing quote, as in "principalId eq
 *  '<id>'" and "assignedTo('<id>')". False: it is none of that form. */
bool resource_filter_value(struct pn_slice term, const char *before, const char *after,
                           struct pn_slice *value);
