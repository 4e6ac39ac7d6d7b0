/* SPDX-License-Identifier: Apache-2.0
 *
 * What clients ask of Azure Resource Manager itself: tenants, subscriptions, resource groups, and
 * the list of resources by type.
 */
#include "arm/arm_internal.h"

#include <string.h>

static bool may(struct arm_call *call, const char *action, const char *scope)
{
    const struct pn_arm_services *services = &call->arm->config.services;
    struct pn_error err = {0};

    return scope &&
           services->authorize(services->ctx, &call->principal, action, scope, &err) == PN_OK;
}

void arm_tenants(struct arm_call *call)
{
    const char *tenant = call->arm->config.tenant_id;

    arm_answer_json(call, 200,
                    json_pack("{s:[{s:o,s:s,s:s,s:s}]}", "value", "id",
                              json_sprintf("/tenants/%s", tenant), "tenantId", tenant,
                              "displayName", "Postern", "tenantCategory", "Home"),
                    0);
}

static json_t *subscription_view(struct arm_call *call)
{
    const struct pn_arm_config *config = &call->arm->config;

    return json_pack("{s:o,s:s,s:s,s:s,s:s,s:s,s:{s:s,s:s,s:s}}", "id",
                     json_sprintf("/subscriptions/%s", config->subscription_id), "subscriptionId",
                     config->subscription_id, "tenantId", config->tenant_id, "displayName",
                     "Postern", "state", "Enabled", "authorizationSource", "RoleBased",
                     "subscriptionPolicies", "locationPlacementId", "Internal_2014-09-01",
                     "quotaId", "Internal_2014-09-01", "spendingLimit", "Off");
}

void arm_subscriptions(struct arm_call *call)
{
    const char *scope =
        pn_arena_printf(call->arena, "/subscriptions/%s", call->arm->config.subscription_id);
    json_t *value = json_array();

    if (value && may(call, "Microsoft.Resources/subscriptions/read", scope) &&
        json_array_append_new(value, subscription_view(call)) != 0) {
        json_decref(value);
        value = NULL;
    }
    arm_answer_json(call, 200,
                    value ? json_pack("{s:o,s:{s:s,s:i}}", "value", value, "count", "type", "Total",
                                      "value", (int)json_array_size(value))
                          : NULL,
                    0);
}

void arm_subscription_get(struct arm_call *call)
{
    arm_answer_json(call, 200, subscription_view(call), 0);
}

/* ---- resource groups ---- */

static json_t *group_view(struct arm_call *call, const struct pn_store_item *item,
                          struct pn_error *err)
{
    const char *slash = strrchr(item->id, '/');
    const char *location = pn_json_str(item->body, "location");
    json_t *tags = json_object_get(item->body, "tags");
    json_t *view =
        json_pack("{s:s,s:s,s:s,s:s,s:{s:s},s:O*}", "id", item->id, "name", slash + 1, "type",
                  "Microsoft.Resources/resourceGroups", "location", location ? location : "local",
                  "properties", "provisioningState", "Succeeded", "tags", tags);

    (void)call;
    if (!view)
        pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    return view;
}

void arm_groups(struct arm_call *call)
{
    static const char *const fields[] = {"name", NULL};
    struct arm_list_rule rule = {
        .prefix = pn_arena_printf(call->arena, "%s/resourceGroups/", call->id),
        .type = pn_type_facts(PN_TYPE_RESOURCE_GROUP)->type,
        .fields = fields,
        .view = group_view,
    };

    arm_list(call, &rule);
}

void arm_group_get(struct arm_call *call)
{
    struct pn_store_item item;
    struct pn_error err = {0};
    json_t *view = NULL;

    if (pn_store_get(call->arm->config.store, call->id, &item, &err) != PN_OK) {
        if (err.rc == PN_NOT_FOUND)
            arm_answer_error(call, 404, "ResourceGroupNotFound",
                             "Resource group '%.*s' could not be found.", PN_FMT(arm_name(call)));
        else
            arm_answer_failure(call, &err);
        return;
    }
    if (pn_slice_eq_str(call->request->method, "HEAD")) {
        arm_answer_empty(call, 204); /* as Resource Manager answers "does it exist?" */
    } else {
        view = group_view(call, &item, &err);
        arm_answer_json(call, 200, view, 0);
    }
    pn_store_item_fini(&item);
}

void arm_group_put(struct arm_call *call)
{
    struct pn_store_txn *txn = NULL;
    struct pn_store_item former;
    struct pn_problems problems = {0};
    struct pn_error err = {0};
    struct pn_store_item item = {0};
    json_t *body = NULL;
    uint64_t revision = 0;
    bool is_put = false;
    enum pn_rc rc = pn_schema_apply(pn_group_fields, call->body, &body, &problems);

    if (rc == PN_INVALID) {
        arm_answer_problems(call, &problems);
        return;
    }
    if (rc != PN_OK) {
        arm_answer_error(call, 500, "InternalServerError", "out of memory");
        return;
    }
    if (!arm_begin(call, &txn, &former))
        goto out;
    is_put =
        json_object_set_new(body, "name",
                            json_string(strrchr(former.id ? former.id : call->id, '/') + 1)) == 0 &&
        pn_store_put(txn, call->id, pn_type_facts(PN_TYPE_RESOURCE_GROUP)->type, body, NULL,
                     &err) == PN_OK &&
        pn_store_txn_get(txn, call->id, &item, &err) == PN_OK;
    if (!is_put) {
        pn_store_rollback(txn);
        arm_answer_failure(call, &err);
    } else if (arm_commit(call, txn, &revision)) {
        arm_answer_json(call, former.id ? 200 : 201, group_view(call, &item, &err), 0);
    }
    pn_store_item_fini(&item);
    pn_store_item_fini(&former);
out:
    json_decref(body);
}

/* ---- resources ---- */

static json_t *resource_view(struct arm_call *call, const struct pn_store_item *item,
                             struct pn_error *err)
{
    const char *slash = strrchr(item->id, '/');
    const char *location = pn_json_str(item->body, "location");
    json_t *tags = json_object_get(item->body, "tags");
    /* resourceType is what $filter names; it is not part of a resource's own form */
    json_t *view = json_pack("{s:s,s:s,s:s,s:s,s:O*,s:{s:s}}", "id", item->id, "name", slash + 1,
                             "type", item->type, "location", location ? location : "local", "tags",
                             tags, "properties", "resourceType", item->type);

    (void)call;
    if (!view)
        pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    return view;
}

static bool is_tracked(const struct arm_call *call, const struct pn_store_item *item)
{
    (void)call;
    return strcmp(item->type, "Microsoft.ApiManagement/service") == 0 ||
           strcmp(item->type, "Microsoft.KeyVault/vaults") == 0 ||
           strcmp(item->type, "Microsoft.ManagedIdentity/userAssignedIdentities") == 0 ||
           strcmp(item->type, "Microsoft.Network/virtualNetworks") == 0;
}

void arm_resources(struct arm_call *call)
{
    static const char *const fields[] = {"name", "resourceType", NULL};
    struct arm_list_rule rule = {
        .prefix = pn_arena_printf(call->arena, "%s/resourceGroups/", call->id),
        .fields = fields,
        .view = resource_view,
        .keep = is_tracked,
    };

    arm_list(call, &rule);
}
