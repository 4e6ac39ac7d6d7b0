/* SPDX-License-Identifier: Apache-2.0
 *
 * The first start: a subscription, a resource group, one service with its identity and its global
 * policy, and the built-in subscription "master".
 */
#include <string.h>

#include "arm/arm_internal.h"
#include "base/clock.h"
#include "policy/policy.h"

#define ID_TEXT (PN_ID_BYTES_MAX + 1)

/** Puts `body` (taken) when there is nothing at `id` yet. */
static enum pn_rc put_if_missing(struct pn_store_txn *txn, const char *id, enum pn_type type,
                                 json_t *body, struct pn_error *err)
{
    struct pn_store_item item;
    enum pn_rc rc = PN_OK;

    if (!body)
        return pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    rc = pn_store_txn_get(txn, id, &item, err);
    if (rc == PN_OK)
        pn_store_item_fini(&item);
    else if (rc == PN_NOT_FOUND)
        rc = pn_store_put(txn, id, pn_type_facts(type)->type, body, NULL, err);
    json_decref(body);
    return rc;
}

static json_t *service_body(const struct pn_arm_first *first)
{
    json_t *internal =
        first->service_internal ? json_deep_copy(first->service_internal) : json_object();
    json_t *assigned =
        json_pack("{s:s,s:s}", "principalId", first->principal_id, "clientId", first->client_id);

    if (!internal || json_object_set_new(internal, "systemAssigned", assigned) != 0) {
        json_decref(internal);
        return NULL;
    }
    return json_pack("{s:s,s:s,s:{s:s,s:i},s:{},s:{s:s,s:s,s:s},s:{s:s,s:s,s:s,s:s,s:s},s:o}",
                     "name", first->service_name, "location", first->location, "sku", "name",
                     "Developer", "capacity", 1, "tags", "identity", "type", "SystemAssigned",
                     "principalId", first->principal_id, "tenantId", first->tenant_id, "properties",
                     "publisherEmail", "admin@localhost", "publisherName", "Postern",
                     "notificationSenderEmail", "admin@localhost", "virtualNetworkType", "None",
                     "publicNetworkAccess", "Enabled", "internal", internal);
}

static enum pn_rc put_master(struct pn_store_txn *txn, const struct pn_arm_services *services,
                             const char *service_id, struct pn_error *err)
{
    char id[ID_TEXT];
    char created[PN_TIME_TEXT];
    struct pn_store_item item;
    json_t *internal = NULL;
    json_t *body = NULL;
    enum pn_rc rc = PN_OK;

    (void)snprintf(id, sizeof(id), "%s/subscriptions/master", service_id);
    rc = pn_store_txn_get(txn, id, &item, err);
    if (rc == PN_OK)
        pn_store_item_fini(&item);
    if (rc != PN_NOT_FOUND)
        return rc;
    pn_time_iso8601(pn_clock_unix_s(), created);
    internal = json_pack("{s:s}", "scope", "/");
    rc = internal ? arm_access_seal(services, id, NULL, NULL, internal, err)
                  : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
    if (rc != PN_OK) {
        json_decref(internal);
        return rc;
    }
    body = json_pack("{s:s,s:{s:o,s:s,s:s,s:s,s:b},s:o}", "name", "master", "properties", "scope",
                     json_sprintf("%s/", service_id), "displayName",
                     "Built-in all-access subscription", "state", "active", "createdDate", created,
                     "allowTracing", 0, "internal", internal);
    return put_if_missing(txn, id, PN_TYPE_ACCESS, body, err);
}

enum pn_rc pn_arm_first_start(struct pn_store_txn *txn, const struct pn_arm_services *services,
                              const struct pn_arm_first *first, struct pn_error *err)
{
    char subscription[ID_TEXT / 4];
    char group[ID_TEXT / 2];
    char service[ID_TEXT - 64];
    char policy[ID_TEXT];
    enum pn_rc rc = PN_OK;

    (void)snprintf(subscription, sizeof(subscription), "/subscriptions/%s", first->subscription_id);
    (void)snprintf(group, sizeof(group), "%s/resourceGroups/%s", subscription,
                   first->resource_group);
    (void)snprintf(service, sizeof(service), "%s/providers/Microsoft.ApiManagement/service/%s",
                   group, first->service_name);
    (void)snprintf(policy, sizeof(policy), "%s/policies/policy", service);
    rc = put_if_missing(txn, subscription, PN_TYPE_SUBSCRIPTION,
                        json_pack("{s:s,s:s,s:s}", "name", first->subscription_id, "displayName",
                                  "Postern", "tenantId", first->tenant_id),
                        err);
    if (rc == PN_OK)
        rc = put_if_missing(
            txn, group, PN_TYPE_RESOURCE_GROUP,
            json_pack("{s:s,s:s}", "name", first->resource_group, "location", first->location),
            err);
    if (rc == PN_OK)
        rc = put_if_missing(txn, service, PN_TYPE_SERVICE, service_body(first), err);
    if (rc == PN_OK)
        rc = put_if_missing(txn, policy, PN_TYPE_POLICY,
                            json_pack("{s:s,s:{s:s,s:s}}", "name", "policy", "properties", "value",
                                      pn_policy_default(PN_SCOPE_GLOBAL), "format", "rawxml"),
                            err);
    if (rc == PN_OK)
        rc = put_master(txn, services, service, err);
    return rc;
}
