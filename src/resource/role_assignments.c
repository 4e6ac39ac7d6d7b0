/* SPDX-License-Identifier: Apache-2.0
 *
 * Role assignments: PUT, GET, DELETE of one. They are obeyed as soon as they are committed, because
 * every check reads the store.
 *
 * Invariant: the subscription keeps an owner that can log in. Taking the last one away is refused.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/log.h"
#include "resource/resource_internal.h"

#define WHERE           "/providers/" PN_ROLE_ASSIGNMENT_TYPE "/"
#define DESCRIPTION_MAX 1024

struct wanted {
    const struct pn_role_definition *role;
    char principal[PN_UUID_TEXT];
    const char *principal_type; /* as given, or NULL; borrowed from the body */
    const char *description;
};

static const char *const principal_types[] = {"User",         "Group",  "ServicePrincipal",
                                              "ForeignGroup", "Device", NULL};

/* False: answered. */
static bool read_principal(struct pn_resource_call *call, const json_t *properties,
                           struct wanted *wanted)
{
    struct pn_slice principal = pn_json_slice(properties, "principalId");
    struct pn_slice type = pn_json_slice(properties, "principalType");
    struct pn_error err = {0};
    enum pn_rc rc;

    if (!pn_is_uuid(principal)) {
        pn_resource_error(call, 400, "InvalidPrincipalId",
                          "A valid principal ID must be provided for role assignment: "
                          "properties.principalId must be a UUID.");
        return false;
    }
    snprintf(wanted->principal, sizeof wanted->principal, "%.*s", PN_FMT(principal));
    for (size_t i = 0; principal_types[i] && type.len > 0; i++) {
        if (pn_slice_case_eq_str(type, principal_types[i]))
            wanted->principal_type = principal_types[i];
    }
    if (type.len > 0 && !wanted->principal_type) {
        pn_resource_error(call, 400, "InvalidPrincipalType",
                          "properties.principalType must be User, Group, ServicePrincipal, "
                          "ForeignGroup or Device.");
        return false;
    }
    if (wanted->principal_type)
        return true;
    /* As Azure does: who gives no type gets it looked up. */
    rc = pn_principal_find(call->plane->store, principal, &err);
    wanted->principal_type = "ServicePrincipal";
    if (rc == PN_NOT_FOUND)
        pn_resource_error(
            call, 400, "PrincipalNotFound",
            "Principal %s does not exist in the directory %s. Check that you have the correct "
            "principal ID. For one that another identity provider knows, set the role assignment's "
            "principalType property to ServicePrincipal, User or Group.",
            wanted->principal, call->plane->tenant_id);
    else if (rc != PN_OK)
        pn_resource_failure(call, rc, &err);
    return rc == PN_OK;
}

/* False: answered. */
static bool read_wanted(struct pn_resource_call *call, const json_t *body, struct wanted *wanted)
{
    const json_t *properties = json_object_get(body, "properties");
    struct pn_slice role = pn_json_slice(properties, "roleDefinitionId");
    const json_t *condition = json_object_get(properties, "condition");

    *wanted = (struct wanted){.description = pn_json_str(properties, "description")};
    wanted->role = pn_role_find(role);
    if (role.len == 0 || !wanted->role) {
        pn_resource_error(call, 400, "RoleDefinitionDoesNotExist",
                          "The specified role definition with ID '%.*s' does not exist.",
                          PN_FMT(pn_slice_sub(role, 0, 200)));
        return false;
    }
    if (condition && !json_is_null(condition) && json_string_length(condition) > 0) {
        pn_resource_error(call, 400, "InvalidRoleAssignmentCondition",
                          "properties.condition: this Postern does not evaluate conditions, so an "
                          "assignment with one is refused rather than given without it.");
        return false;
    }
    if (wanted->description && strlen(wanted->description) > DESCRIPTION_MAX) {
        pn_resource_error(call, 400, "InvalidRoleAssignmentDescription",
                          "properties.description has more than %d bytes.", DESCRIPTION_MAX);
        return false;
    }
    return read_principal(call, properties, wanted);
}

static bool is_same(const json_t *body, const struct wanted *wanted)
{
    const json_t *properties = json_object_get(body, "properties");

    return pn_role_find(pn_json_slice(properties, "roleDefinitionId")) == wanted->role &&
           pn_slice_case_eq_str(pn_json_slice(properties, "principalId"), wanted->principal);
}

/* The same role for the same principal at the same scope under another name: PN_EXISTS. */
static enum pn_rc refuse_twin(struct pn_store_txn *txn, const char *scope, const char *id,
                              const struct wanted *wanted, struct pn_error *err)
{
    char prefix[PN_RESOURCE_ID_TEXT + sizeof WHERE];
    struct pn_store_list list = {0};
    enum pn_rc rc;

    snprintf(prefix, sizeof prefix, "%s" WHERE, scope);
    rc = pn_store_txn_list(txn, prefix, PN_ROLE_ASSIGNMENT_TYPE, &list, err);
    for (size_t i = 0; rc == PN_OK && i < list.count; i++) {
        const char *other = strrchr(list.items[i].id, '/') + 1;

        if (!pn_slice_case_eq_str(pn_slice_str(list.items[i].id), id) &&
            is_same(list.items[i].body, wanted))
            rc = pn_error_set(err, PN_EXISTS, "RoleAssignmentExists",
                              "The role assignment already exists. The ID of the conflicting role "
                              "assignment is %s.",
                              other);
    }
    pn_store_list_fini(&list);
    return rc;
}

static json_t *make_body(const struct pn_resource_call *call, const struct resource_path *path,
                         const struct wanted *wanted, const json_t *former)
{
    const json_t *properties = json_object_get(former, "properties");
    const char *created = pn_json_str(properties, "createdOn");
    const char *creator = pn_json_str(properties, "createdBy");
    char now[PN_TIME_TEXT];

    pn_time_iso8601(pn_clock_unix_s(), now);
    return json_pack(
        "{s:s%, s:{s:o, s:s, s:s, s:s, s:s*, s:s, s:s, s:s, s:s}}", "name", path->rest[1].ptr,
        path->rest[1].len, "properties", "roleDefinitionId",
        json_sprintf("/providers/Microsoft.Authorization/roleDefinitions/%s", wanted->role->id),
        "principalId", wanted->principal, "principalType", wanted->principal_type, "scope",
        path->scope[0] ? path->scope : "/", "description", wanted->description, "createdOn",
        created ? created : now, "updatedOn", now, "createdBy",
        creator ? creator : call->principal.object_id, "updatedBy", call->principal.object_id);
}

static enum pn_rc store(struct pn_resource_call *call, const struct resource_path *path,
                        const char *id, const struct wanted *wanted, bool *is_new,
                        struct pn_error *err)
{
    struct pn_store_item former = {0};
    struct pn_store_txn *txn = NULL;
    json_t *body = NULL;
    enum pn_rc rc = pn_store_begin(call->plane->store, &txn, err);

    if (rc != PN_OK)
        return rc;
    rc = pn_store_txn_get(txn, id, &former, err);
    *is_new = rc == PN_NOT_FOUND;
    if (rc == PN_OK && !is_same(former.body, wanted))
        rc = pn_error_set(err, PN_CONFLICT, "RoleAssignmentUpdateNotPermitted",
                          "Role definition, principal ID and scope are not allowed to be updated: "
                          "delete the assignment and make another one.");
    else if (rc == PN_NOT_FOUND)
        rc = refuse_twin(txn, path->scope, id, wanted, err);
    if (rc == PN_OK) {
        body = make_body(call, path, wanted, former.body);
        rc = body ? pn_store_put(txn, id, PN_ROLE_ASSIGNMENT_TYPE, body, NULL, err) : PN_NOMEM;
    }
    if (rc == PN_OK)
        rc = pn_store_commit(txn, NULL, err);
    else
        pn_store_rollback(txn);
    json_decref(body);
    pn_store_item_fini(&former);
    return rc;
}

static void answer_stored(struct pn_resource_call *call, const char *id, int status)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    enum pn_rc rc = pn_store_get(call->plane->store, id, &item, &err);

    if (rc == PN_OK)
        pn_resource_json(call, status, resource_role_assignment_json(call, &item));
    else if (rc == PN_NOT_FOUND)
        pn_resource_error(call, 404, "RoleAssignmentNotFound",
                          "The role assignment '%s' is not found.", strrchr(id, '/') + 1);
    else
        pn_resource_failure(call, rc, &err);
    pn_store_item_fini(&item);
}

/* Writing needs the right for this very role. False: answered. */
static bool may_change(struct pn_resource_call *call, const char *action, const char *scope,
                       struct pn_slice role_id)
{
    struct pn_error err = {0};
    enum pn_rc rc =
        pn_authorize_assignment(call->plane->store, &call->principal, action, scope, role_id, &err);

    if (rc != PN_OK)
        pn_resource_failure(call, rc, &err);
    return rc == PN_OK;
}

static void put(struct pn_resource_call *call, const struct resource_path *path, const char *id)
{
    struct pn_error err = {0};
    struct wanted wanted;
    bool is_new = false;
    json_t *body = pn_resource_body(call);
    enum pn_rc rc;

    if (!body)
        return;
    /* Who may not do it does not learn what is wrong with the body. */
    if (!may_change(call, PN_ROLE_ASSIGNMENT_TYPE "/write", path->scope,
                    pn_json_slice(json_object_get(body, "properties"), "roleDefinitionId")) ||
        !resource_scope_exists(call, path) || !read_wanted(call, body, &wanted)) {
        json_decref(body);
        return;
    }
    rc = store(call, path, id, &wanted, &is_new, &err);
    if (rc != PN_OK) {
        pn_resource_failure(call, rc, &err);
    } else {
        pn_log(PN_LOG_INFO, "role_assigned", "scope", PN_S(path->scope), "role",
               PN_S(wanted.role->name), "principal", PN_S(wanted.principal), "by",
               PN_S(call->principal.object_id), NULL);
        answer_stored(call, id, is_new ? 201 : 200);
    }
    json_decref(body);
}

/* PN_CONFLICT: it is the subscription's last owner. */
static enum pn_rc refuse_last_owner(const struct pn_resource_call *call,
                                    const struct resource_path *path, struct pn_store_txn *txn,
                                    const struct pn_store_item *item, struct pn_error *err)
{
    const struct pn_role_definition *role =
        pn_role_find(pn_json_slice(json_object_get(item->body, "properties"), "roleDefinitionId"));
    bool is_left = false;
    enum pn_rc rc;

    if (path->scope_count > 2 || !role || strcmp(role->id, PN_ROLE_OWNER) != 0)
        return PN_OK;
    rc = pn_role_other_owner(call->plane->store, txn, call->plane->subscription_id, item->id,
                             (struct pn_slice){NULL, 0}, &is_left, err);
    if (rc != PN_OK || is_left)
        return rc;
    return pn_error_set(err, PN_CONFLICT, "CannotDeleteLastRbacAdminAssignment",
                        "Cannot delete the last RBAC admin assignment: nobody could manage this "
                        "subscription any more. Make another Owner of the subscription first.");
}

static void remove_one(struct pn_resource_call *call, const struct resource_path *path,
                       const char *id)
{
    struct pn_store_item item = {0};
    struct pn_store_txn *txn = NULL;
    struct pn_error err = {0};
    struct pn_slice role_id = {NULL, 0};
    json_t *answer = NULL;
    enum pn_rc rc = pn_store_begin(call->plane->store, &txn, &err);

    if (rc == PN_OK) {
        rc = pn_store_txn_get(txn, id, &item, &err);
        if (rc == PN_OK)
            role_id = pn_json_slice(json_object_get(item.body, "properties"), "roleDefinitionId");
    }
    if ((rc == PN_OK || rc == PN_NOT_FOUND) &&
        !may_change(call, PN_ROLE_ASSIGNMENT_TYPE "/delete", path->scope, role_id)) {
        pn_store_rollback(txn);
        pn_store_item_fini(&item);
        return;
    }
    if (rc == PN_OK)
        rc = refuse_last_owner(call, path, txn, &item, &err);
    if (rc == PN_OK)
        rc = pn_store_delete(txn, id, &err);
    if (rc == PN_OK) {
        answer = resource_role_assignment_json(call, &item);
        rc = pn_store_commit(txn, NULL, &err);
    } else {
        pn_store_rollback(txn);
    }
    if (rc == PN_OK) {
        pn_log(PN_LOG_INFO, "role_taken", "id", PN_S(id), "by", PN_S(call->principal.object_id),
               NULL);
        pn_resource_json(call, 200, answer);
    } else {
        json_decref(answer);
        if (rc == PN_NOT_FOUND)
            call->response->status = 204;
        else
            pn_resource_failure(call, rc, &err);
    }
    pn_store_item_fini(&item);
}

void resource_role_assignments(struct pn_resource_call *call, const struct resource_path *path)
{
    char id[PN_RESOURCE_ID_TEXT + sizeof WHERE + PN_UUID_TEXT];

    if (path->rest_count > 2) {
        pn_resource_error(call, 404, "InvalidResourceType",
                          "There is nothing below a role assignment.");
        return;
    }
    if (path->rest_count == 1) {
        if (!pn_resource_reads(call))
            pn_resource_wrong_method(call, "GET, HEAD");
        else if (pn_resource_may(call, PN_ROLE_ASSIGNMENT_TYPE "/read", path->scope) &&
                 resource_scope_exists(call, path))
            resource_role_assignment_list(call, path);
        return;
    }
    if (!pn_is_uuid(path->rest[1])) {
        pn_resource_error(call, 400, "InvalidRoleAssignmentId",
                          "The role assignment ID '%.*s' is not valid. The role assignment ID must "
                          "be a GUID.",
                          PN_FMT(pn_slice_sub(path->rest[1], 0, 64)));
        return;
    }
    snprintf(id, sizeof id, "%s" WHERE "%.*s", path->scope, PN_FMT(path->rest[1]));
    if (pn_resource_is(call, "PUT"))
        put(call, path, id);
    else if (pn_resource_is(call, "DELETE"))
        remove_one(call, path, id);
    else if (!pn_resource_reads(call))
        pn_resource_wrong_method(call, "GET, HEAD, PUT, DELETE");
    else if (pn_resource_may(call, PN_ROLE_ASSIGNMENT_TYPE "/read", path->scope))
        answer_stored(call, id, 200);
}
