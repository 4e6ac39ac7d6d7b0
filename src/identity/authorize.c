/* SPDX-License-Identifier: Apache-2.0
 *
 * Role assignments: who may do what where. A principal may do an action at a scope when one of its
 * assignments at that scope or above it has a role that allows the action.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/json.h"
#include "identity/principal.h"
#include "identity/roles.h"
#include "store/store.h"

#define SCOPE_BYTES_MAX 2048
#define ASSIGNMENTS     "/providers/Microsoft.Authorization/roleAssignments/"

static bool assignment_allows(const json_t *body, const char *object_id, const char *action)
{
    const json_t *properties = json_object_get(body, "properties");
    const struct pn_role_definition *role =
        pn_role_find(pn_json_slice(properties, "roleDefinitionId"));
    struct pn_slice principal = pn_json_slice(properties, "principalId");

    return role && principal.len > 0 && pn_slice_case_eq_str(principal, object_id) &&
           pn_role_allows(role, pn_slice_str(action), false);
}

static enum pn_rc check_scope(struct pn_store *store, struct pn_slice scope, const char *object_id,
                              const char *action, struct pn_error *err)
{
    char prefix[SCOPE_BYTES_MAX + sizeof ASSIGNMENTS];
    struct pn_store_list list = {0};
    enum pn_rc rc;

    snprintf(prefix, sizeof prefix, "%.*s" ASSIGNMENTS, PN_FMT(scope));
    rc = pn_store_list(store, prefix, PN_ROLE_ASSIGNMENT_TYPE, &list, err);
    if (rc != PN_OK)
        return rc;
    rc = PN_DENIED;
    for (size_t i = 0; i < list.count && rc == PN_DENIED; i++) {
        if (assignment_allows(list.items[i].body, object_id, action))
            rc = PN_OK;
    }
    pn_store_list_fini(&list);
    return rc;
}

enum pn_rc pn_authorize(struct pn_store *store, const struct pn_principal *principal,
                        const char *action, const char *scope, struct pn_error *err)
{
    struct pn_slice at = pn_slice_str(scope);
    enum pn_rc rc;

    if (at.len > SCOPE_BYTES_MAX)
        return pn_error_set(err, PN_DENIED, "AuthorizationFailed",
                            "the scope has more than %d bytes", SCOPE_BYTES_MAX);
    while (at.len > 0 && at.ptr[at.len - 1] == '/')
        at.len--;
    /* Every prefix that ends before a '/': the ones that are no scope have no assignments. */
    for (;;) {
        rc = check_scope(store, at, principal->object_id, action, err);
        if (rc != PN_DENIED)
            return rc == PN_OK ? rc : PN_IO;
        if (at.len == 0)
            break;
        do
            at.len--;
        while (at.len > 0 && at.ptr[at.len] != '/');
    }
    return pn_error_set(
        err, PN_DENIED, "AuthorizationFailed",
        "The client '%s' with object id '%s' does not have authorization to perform action '%s' "
        "over scope '%s' or the scope is invalid. If access was recently granted, please refresh "
        "your credentials.",
        principal->app_id, principal->object_id, action, scope);
}

static bool is_equal_assignment(const json_t *body, const struct pn_role_definition *role,
                                const char *principal_id)
{
    const json_t *properties = json_object_get(body, "properties");

    return pn_role_find(pn_json_slice(properties, "roleDefinitionId")) == role &&
           pn_slice_case_eq_str(pn_json_slice(properties, "principalId"), principal_id);
}

enum pn_rc pn_role_assign(struct pn_store_txn *txn, const char *scope, const char *role_id,
                          const char *principal_id, const char *principal_type,
                          struct pn_error *err)
{
    const struct pn_role_definition *role = pn_role_find(pn_slice_str(role_id));
    char id[SCOPE_BYTES_MAX + sizeof ASSIGNMENTS + PN_UUID_TEXT];
    char name[PN_UUID_TEXT], now[PN_TIME_TEXT], definition[160];
    struct pn_store_list list = {0};
    struct pn_slice at = pn_slice_str(scope);
    json_t *body = NULL;
    bool exists = false;
    enum pn_rc rc;

    while (at.len > 0 && at.ptr[at.len - 1] == '/')
        at.len--;
    if (!role || at.len > SCOPE_BYTES_MAX)
        return pn_error_set(err, PN_INVALID, "RoleDefinitionDoesNotExist",
                            "the role definition '%s' does not exist", role_id);
    snprintf(id, sizeof id, "%.*s" ASSIGNMENTS, PN_FMT(at));
    rc = pn_store_txn_list(txn, id, PN_ROLE_ASSIGNMENT_TYPE, &list, err);
    if (rc != PN_OK)
        return rc;
    for (size_t i = 0; i < list.count; i++)
        exists = exists || is_equal_assignment(list.items[i].body, role, principal_id);
    pn_store_list_fini(&list);
    if (exists)
        return PN_OK;
    pn_uuid_v4(name);
    snprintf(id, sizeof id, "%.*s" ASSIGNMENTS "%s", PN_FMT(at), name);
    snprintf(definition, sizeof definition, "/providers/Microsoft.Authorization/roleDefinitions/%s",
             role->id);
    pn_time_iso8601(pn_clock_unix_s(), now);
    body = json_pack("{s:s, s:{s:s, s:s, s:s, s:s%, s:s, s:s}}", "name", name, "properties",
                     "roleDefinitionId", definition, "principalId", principal_id, "principalType",
                     principal_type, "scope", at.len ? at.ptr : "/", at.len ? at.len : 1,
                     "createdOn", now, "updatedOn", now);
    if (!body)
        return PN_NOMEM;
    rc = pn_store_put(txn, id, PN_ROLE_ASSIGNMENT_TYPE, body, NULL, err);
    json_decref(body);
    return rc;
}
