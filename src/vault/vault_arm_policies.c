/* SPDX-License-Identifier: Apache-2.0
 *
 * …/vaults/{name}/accessPolicies/{add|replace|remove}.
 */
#include "vault/vault_arm.h"

static enum pn_rc write_policies(struct arm_call *call, const json_t *changes,
                                 enum policies_change change, json_t **result, struct pn_error *err)
{
    struct pn_store_item item = {0};
    struct pn_store_txn *txn = NULL;
    json_t *policies;
    enum pn_rc rc = pn_store_begin(call->vault->store, &txn, err);

    if (rc != PN_OK)
        return rc;
    rc = pn_store_txn_get(txn, call->vault_id, &item, err);
    policies = json_object_get(json_object_get(item.body, "properties"), "accessPolicies");
    if (rc == PN_OK)
        rc = vault_policies_change(policies, changes, change);
    if (rc == PN_LIMIT)
        pn_error_set(err, rc, "BadRequest", "a vault has at most %d access policies",
                     PN_VAULT_POLICIES_MAX);
    if (rc == PN_OK)
        rc = pn_store_put(txn, item.id, VAULT_TYPE, item.body, pn_store_keep_references, err);
    if (rc == PN_OK)
        *result = json_incref(policies);
    if (rc == PN_OK)
        rc = pn_store_commit(txn, NULL, err);
    else
        pn_store_rollback(txn);
    pn_store_item_fini(&item);
    return rc;
}

void vault_arm_policies(struct arm_call *call, struct pn_slice operation)
{
    struct pn_error err = {0};
    enum policies_change change;
    json_t *given, *changes, *result = NULL;
    enum pn_rc rc;

    if (pn_slice_case_eq_str(operation, "add"))
        change = POLICIES_ADD;
    else if (pn_slice_case_eq_str(operation, "replace"))
        change = POLICIES_REPLACE;
    else if (pn_slice_case_eq_str(operation, "remove"))
        change = POLICIES_REMOVE;
    else {
        pn_resource_error(&call->base, 400, "BadRequest",
                          "accessPolicies takes add, replace or remove.");
        return;
    }
    if (!pn_resource_may(&call->base, VAULT_TYPE "/accessPolicies/write", call->vault_id))
        return;
    given = pn_resource_body(&call->base);
    if (!given)
        return;
    changes = json_object_get(json_object_get(given, "properties"), "accessPolicies");
    rc = vault_policies_check(changes, call->vault->tenant_id, &err);
    if (rc == PN_OK)
        rc = write_policies(call, changes, change, &result, &err);
    if (rc == PN_NOT_FOUND) {
        vault_arm_not_found(call);
    } else if (rc != PN_OK) {
        pn_resource_failure(&call->base, rc, &err);
    } else {
        vault_arm_tell(call);
        pn_resource_json(&call->base, 200,
                         json_pack("{s:o, s:s, s:{s:O}}", "id",
                                   json_sprintf("%s/accessPolicies/", call->vault_id), "type",
                                   VAULT_TYPE "/accessPolicies", "properties", "accessPolicies",
                                   result));
    }
    json_decref(result);
    json_decref(given);
}
