/* SPDX-License-Identifier: Apache-2.0
 *
 * Role assignments: who may do what where. A principal may do an action at a scope when one of its
 * assignments at that scope or above it has a role that allows the action.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/json.h"
#include "identity/principal.h"
#include "identity/roles.h"
#include "store/store.h"

#define SCOPE_BYTES_MAX 2048
#define ASSIGNMENTS     "/providers/Microsoft.Authorization/roleAssignments/"

/* What is asked. */
struct question {
    struct pn_store *store;
    const struct pn_principal *principal;
    const char *action;
    bool is_data_action;
    const struct pn_role_definition *assigned; /* of writing an assignment; NULL: not known */
};

bool pn_principal_has_id(const struct pn_principal *principal, struct pn_slice id)
{
    if (id.len == 0)
        return false;
    if (pn_slice_case_eq_str(id, principal->object_id))
        return true;
    for (size_t i = 0; i < principal->group_count; i++) {
        if (pn_slice_case_eq_str(id, principal->groups[i]))
            return true;
    }
    return false;
}

static bool changes_assignments(const char *action)
{
    return strcasecmp(action, PN_ROLE_ASSIGNMENT_TYPE "/write") == 0 ||
           strcasecmp(action, PN_ROLE_ASSIGNMENT_TYPE "/delete") == 0;
}

static bool assignment_allows(const json_t *body, const struct question *question)
{
    const json_t *properties = json_object_get(body, "properties");
    const struct pn_role_definition *role =
        pn_role_find(pn_json_slice(properties, "roleDefinitionId"));

    return role &&
           pn_principal_has_id(question->principal, pn_json_slice(properties, "principalId")) &&
           pn_role_allows(role, pn_slice_str(question->action), question->is_data_action) &&
           (!changes_assignments(question->action) || pn_role_may_assign(role, question->assigned));
}

static enum pn_rc check_scope(const struct question *question, struct pn_slice scope,
                              struct pn_error *err)
{
    char prefix[SCOPE_BYTES_MAX + sizeof ASSIGNMENTS];
    struct pn_store_list list = {0};
    enum pn_rc rc;

    snprintf(prefix, sizeof prefix, "%.*s" ASSIGNMENTS, PN_FMT(scope));
    rc = pn_store_list(question->store, prefix, PN_ROLE_ASSIGNMENT_TYPE, &list, err);
    if (rc != PN_OK)
        return rc;
    rc = PN_DENIED;
    for (size_t i = 0; i < list.count && rc == PN_DENIED; i++) {
        if (assignment_allows(list.items[i].body, question))
            rc = PN_OK;
    }
    pn_store_list_fini(&list);
    return rc;
}

static enum pn_rc authorize(const struct question *question, const char *scope,
                            struct pn_error *err)
{
    const struct pn_principal *principal = question->principal;
    struct pn_slice at = pn_slice_str(scope);
    enum pn_rc rc;

    if (at.len > SCOPE_BYTES_MAX)
        return pn_error_set(err, PN_DENIED, "AuthorizationFailed",
                            "the scope has more than %d bytes", SCOPE_BYTES_MAX);
    while (at.len > 0 && at.ptr[at.len - 1] == '/')
        at.len--;
    /* Every prefix that ends before a '/': the ones that are no scope have no assignments. */
    for (;;) {
        rc = check_scope(question, at, err);
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
        principal->app_id, principal->object_id, question->action, scope);
}

enum pn_rc pn_authorize(struct pn_store *store, const struct pn_principal *principal,
                        const char *action, const char *scope, struct pn_error *err)
{
    const struct question question = {.store = store, .principal = principal, .action = action};

    return authorize(&question, scope, err);
}

enum pn_rc pn_authorize_data(struct pn_store *store, const struct pn_principal *principal,
                             const char *action, const char *scope, struct pn_error *err)
{
    const struct question question = {
        .store = store, .principal = principal, .action = action, .is_data_action = true};

    return authorize(&question, scope, err);
}

enum pn_rc pn_authorize_assignment(struct pn_store *store, const struct pn_principal *principal,
                                   const char *action, const char *scope, struct pn_slice role_id,
                                   struct pn_error *err)
{
    const struct question question = {.store = store,
                                      .principal = principal,
                                      .action = action,
                                      .assigned = pn_role_find(role_id)};

    return authorize(&question, scope, err);
}

/* ---- the directory ---- */

/* Where a principal's object id stands in a document of this type. */
static const struct {
    const char *prefix, *type, *object, *member;
} principals[] = {
    {"/authority/clients/", "authority/client", "properties", "objectId"},
    {"/authority/users/", "authority/user", "properties", "objectId"},
    {"/subscriptions/", "Microsoft.ManagedIdentity/userAssignedIdentities", "properties",
     "principalId"},
    {"/subscriptions/", "Microsoft.ApiManagement/service", "identity", "principalId"},
};

enum pn_rc pn_principal_find(struct pn_store *store, struct pn_slice object_id,
                             struct pn_error *err)
{
    bool is_found = false;

    for (size_t p = 0; p < sizeof principals / sizeof principals[0] && !is_found; p++) {
        struct pn_store_list list = {0};
        enum pn_rc rc = pn_store_list(store, principals[p].prefix, principals[p].type, &list, err);

        if (rc != PN_OK)
            return PN_IO;
        for (size_t i = 0; i < list.count && !is_found; i++)
            is_found = pn_slice_case_eq(
                object_id, pn_json_slice(json_object_get(list.items[i].body, principals[p].object),
                                         principals[p].member));
        pn_store_list_fini(&list);
    }
    return is_found ? PN_OK
                    : pn_error_set(err, PN_NOT_FOUND, "PrincipalNotFound",
                                   "there is no principal %.*s", PN_FMT(object_id));
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

static bool is_other_owner(struct pn_store *store, const struct pn_store_item *item,
                           const char *except_id, struct pn_slice except_principal)
{
    const json_t *properties = json_object_get(item->body, "properties");
    const struct pn_role_definition *role =
        pn_role_find(pn_json_slice(properties, "roleDefinitionId"));
    struct pn_slice principal = pn_json_slice(properties, "principalId");

    if (!role || strcmp(role->id, PN_ROLE_OWNER) != 0 ||
        (except_id && strcasecmp(item->id, except_id) == 0) ||
        (except_principal.len > 0 && pn_slice_case_eq(principal, except_principal)))
        return false;
    /* Users and groups are another identity provider's; an application must be there. */
    return !pn_slice_case_eq_str(pn_json_slice(properties, "principalType"), "ServicePrincipal") ||
           pn_principal_find(store, principal, NULL) == PN_OK;
}

enum pn_rc pn_role_other_owner(struct pn_store *store, struct pn_store_txn *txn,
                               const char *subscription_id, const char *except_id,
                               struct pn_slice except_principal, bool *is_left,
                               struct pn_error *err)
{
    char prefixes[2][160];
    enum pn_rc rc = PN_OK;

    *is_left = false;
    snprintf(prefixes[0], sizeof prefixes[0], "/subscriptions/%s" ASSIGNMENTS, subscription_id);
    snprintf(prefixes[1], sizeof prefixes[1], ASSIGNMENTS);
    for (int p = 0; p < 2 && rc == PN_OK && !*is_left; p++) {
        struct pn_store_list list = {0};

        rc = pn_store_txn_list(txn, prefixes[p], PN_ROLE_ASSIGNMENT_TYPE, &list, err);
        for (size_t i = 0; rc == PN_OK && i < list.count && !*is_left; i++)
            *is_left = is_other_owner(store, &list.items[i], except_id, except_principal);
        pn_store_list_fini(&list);
    }
    return rc;
}
