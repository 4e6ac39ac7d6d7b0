/* SPDX-License-Identifier: Apache-2.0
 *
 * The service's identity block: system-assigned, user-assigned, both or none. What is stored has
 * the ids of each identity filled in, as it is answered.
 */
#include "arm/service_identity.h"

#include <string.h>
#include <strings.h>

#define IDENTITY_TYPE "Microsoft.ManagedIdentity/userAssignedIdentities"
#define ASSIGN_ACTION IDENTITY_TYPE "/assign/action"
#define TARGET        "identity.userAssignedIdentities"

struct work {
    struct arm_call *call;
    struct pn_store_txn *txn;
    const json_t *former; /* identity as it is; may be NULL */
    struct pn_problems *problems;
    struct pn_error *err;
};

static bool has_part(const char *type, const char *part)
{
    struct pn_slice rest = pn_slice_str(type), piece;

    while (pn_slice_cut(&rest, ',', &piece)) {
        if (pn_slice_case_eq_str(pn_slice_trim(piece), part))
            return true;
    }
    return false;
}

static bool was_assigned(const struct work *work, const char *id)
{
    const char *key;
    json_t *value;

    json_object_foreach(json_object_get(work->former, "userAssignedIdentities"), key, value)
    {
        if (strcasecmp(key, id) == 0)
            return true;
    }
    return false;
}

/* A PATCH takes an identity away by null, in whatever casing it writes the id. */
static bool is_taken_away(const struct work *work, const char *id)
{
    const json_t *given =
        json_object_get(json_object_get(work->call->body, "identity"), "userAssignedIdentities");
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)given, key, value)
    {
        if (strcasecmp(key, id) == 0)
            return json_is_null(value);
    }
    return false;
}

/* Who assigns an identity can act as it afterwards: that needs a right at the identity. */
static enum pn_rc check_right(const struct work *work, const char *id)
{
    const struct pn_arm_services *services = &work->call->arm->config.services;

    if (was_assigned(work, id))
        return PN_OK;
    return services->authorize(services->ctx, &work->call->principal, ASSIGN_ACTION, id, work->err);
}

/* Adds one identity to `assigned`. PN_INVALID: `problems` tells. */
static enum pn_rc assign(const struct work *work, const char *id, json_t *assigned)
{
    struct pn_store_item item = {0};
    const json_t *properties;
    enum pn_rc rc = pn_store_txn_get(work->txn, id, &item, work->err);

    if (rc == PN_NOT_FOUND || (rc == PN_OK && strcmp(item.type, IDENTITY_TYPE) != 0)) {
        pn_problem_add(work->problems, TARGET, "The identity '%.150s' was not found.", id);
        rc = PN_INVALID;
    }
    if (rc == PN_OK)
        rc = check_right(work, item.id);
    properties = json_object_get(item.body, "properties");
    if (rc == PN_OK &&
        json_object_set_new(assigned, item.id,
                            json_pack("{s:O, s:O}", "principalId",
                                      json_object_get(properties, "principalId"), "clientId",
                                      json_object_get(properties, "clientId"))) != 0)
        rc = PN_NOMEM;
    pn_store_item_fini(&item);
    return rc;
}

static enum pn_rc add_user_assigned(const struct work *work, const json_t *wanted, json_t *identity)
{
    json_t *given = json_object_get(wanted, "userAssignedIdentities");
    json_t *assigned = json_object();
    const char *id;
    json_t *value;
    enum pn_rc rc = assigned ? PN_OK : PN_NOMEM;

    json_object_foreach(given, id, value)
    {
        if (rc == PN_OK && !is_taken_away(work, id))
            rc = assign(work, id, assigned);
    }
    if (rc == PN_OK && json_object_size(assigned) == 0) {
        pn_problem_add(work->problems, TARGET,
                       "'identity.type' has UserAssigned, so at least one identity is needed.");
        rc = PN_INVALID;
    }
    if (rc == PN_OK && json_object_set(identity, "userAssignedIdentities", assigned) != 0)
        rc = PN_NOMEM;
    json_decref(assigned);
    return rc;
}

static enum pn_rc add_system_assigned(const struct work *work, const json_t *internal,
                                      json_t *identity)
{
    json_t *principal = json_object_get(json_object_get(internal, "systemAssigned"), "principalId");

    if (!principal) {
        pn_problem_add(work->problems, "identity.type",
                       "This service was made without a system-assigned identity.");
        return PN_INVALID;
    }
    if (json_object_set(identity, "principalId", principal) != 0 ||
        json_object_set_new(identity, "tenantId", json_string(work->call->arm->config.tenant_id)) !=
            0)
        return PN_NOMEM;
    return PN_OK;
}

static enum pn_rc make_identity(const struct work *work, const json_t *wanted,
                                const json_t *internal, json_t *identity)
{
    const char *type = pn_json_str(wanted, "type");
    bool has_system = has_part(type, "SystemAssigned"), has_user = has_part(type, "UserAssigned");
    const char *canonical = has_system && has_user ? "SystemAssigned, UserAssigned"
                            : has_system           ? "SystemAssigned"
                                                   : "UserAssigned";
    const json_t *given =
        json_object_get(json_object_get(work->call->body, "identity"), "userAssignedIdentities");
    enum pn_rc rc = PN_OK;
    const char *id;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)given, id, value)
    {
        if (has_user || json_is_null(value) || rc != PN_OK)
            continue;
        pn_problem_add(work->problems, TARGET,
                       "'identity.type' is %s, so no user-assigned identity can be given.", type);
        rc = PN_INVALID;
    }
    if (rc == PN_OK && json_object_set_new(identity, "type", json_string(canonical)) != 0)
        rc = PN_NOMEM;
    if (rc == PN_OK && has_system)
        rc = add_system_assigned(work, internal, identity);
    if (rc == PN_OK && has_user)
        rc = add_user_assigned(work, wanted, identity);
    return rc;
}

enum pn_rc arm_service_identity(struct arm_call *call, struct pn_store_txn *txn,
                                const struct pn_store_item *former, const json_t *top, json_t *body,
                                struct pn_problems *problems, struct pn_error *err)
{
    const json_t *wanted = json_object_get(top, "identity");
    json_t *was = json_object_get(former->body, "identity");
    const struct work work = {call, txn, was, problems, err};
    json_t *identity;
    enum pn_rc rc;

    if (!wanted)
        return !was || json_object_set(body, "identity", was) == 0 ? PN_OK : PN_NOMEM;
    if (strcmp(pn_json_str(wanted, "type"), "None") == 0)
        return PN_OK;
    identity = json_object();
    rc = identity
             ? make_identity(&work, wanted, json_object_get(former->body, "internal"), identity)
             : PN_NOMEM;
    if (rc == PN_OK && json_object_set(body, "identity", identity) != 0)
        rc = PN_NOMEM;
    json_decref(identity);
    return rc;
}

bool arm_service_identity_merge(const struct pn_store_item *former, json_t *top)
{
    const json_t *was =
        json_object_get(json_object_get(former->body, "identity"), "userAssignedIdentities");
    json_t *identity = json_deep_copy(json_object_get(top, "identity"));
    json_t *assigned = json_object_get(identity, "userAssignedIdentities");
    bool failed = !identity;

    if (!failed && !json_is_object(assigned)) {
        assigned = json_object();
        failed = json_object_set_new(identity, "userAssignedIdentities", assigned) != 0;
    }
    if (!failed && was)
        failed = json_object_update_missing(assigned, (json_t *)(uintptr_t)was) != 0;
    failed = failed || json_object_set(top, "identity", identity) != 0;
    json_decref(identity);
    return !failed;
}

const char *const *arm_service_references(struct arm_call *call, const json_t *body)
{
    json_t *assigned = json_object_get(json_object_get(body, "identity"), "userAssignedIdentities");
    const char **list =
        pn_arena_alloc(call->arena, (json_object_size(assigned) + 2) * sizeof(*list));
    const char *subnet = pn_json_str(
        json_object_get(json_object_get(body, "properties"), "virtualNetworkConfiguration"),
        "subnetResourceId");
    size_t count = 0;
    const char *id;
    json_t *value;

    if (!list)
        return NULL;
    json_object_foreach(assigned, id, value)
    {
        list[count] = pn_arena_strdup(call->arena, pn_slice_str(id));
        if (!list[count])
            return NULL;
        count++;
    }
    if (subnet)
        list[count++] = pn_arena_strdup(call->arena, pn_slice_str(subnet));
    if (subnet && !list[count - 1])
        return NULL;
    list[count] = NULL;
    return list;
}
