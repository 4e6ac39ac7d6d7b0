/* SPDX-License-Identifier: Apache-2.0
 *
 * Deleted vaults: kept with everything that is in them until their retention is over or somebody
 * purges them, and brought back as they were by createMode recover.
 *
 * In the store: `/subscriptions/{s}/providers/Microsoft.KeyVault/deletedVaults/{name}` of type
 * DELETED_TYPE, body {"name", "vaultId", "deletedOn", "purgeOn", "vault": the vault's document,
 * "assignments": the roles that were given at the vault and below, "internal": {"due": purgeOn}}.
 * When the retention is over the vault is shown no more, but it is purged by the vault's clock
 * alone (vault_due.c), which knows a clock that jumped: looking destroys nothing, and its name
 * stays taken until then.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "identity/roles.h"
#include "vault/vault_arm.h"

#define DAY_S 86400

static void deleted_id(const char *subscription_id, const char *name, char id[VAULT_ID_TEXT])
{
    snprintf(id, VAULT_ID_TEXT, "/subscriptions/%s/providers/" DELETED_TYPE "/%s", subscription_id,
             name);
}

static enum pn_rc erase_below(struct pn_store_txn *txn, const char *prefix, struct pn_error *err)
{
    struct pn_store_list list = {0};
    enum pn_rc rc = pn_store_txn_list(txn, prefix, NULL, &list, err);

    for (size_t i = 0; rc == PN_OK && i < list.count; i++)
        rc = pn_store_erase(txn, list.items[i].id, err);
    pn_store_list_fini(&list);
    return rc;
}

static bool is_over(const struct pn_vault *vault, const struct pn_store_item *item)
{
    return pn_json_int(item->body, "purgeOn", 0) <= vault->now_s();
}

/* Everything that is in the vault, and the deleted vault itself. PN_NOT_FOUND: it is not deleted
 * (any more), or `only_if_over` and it was deleted anew. */
static enum pn_rc purge(struct pn_vault *vault, const char *id, const char *name, bool only_if_over,
                        struct pn_error *err)
{
    char prefix[VAULT_NAME_TEXT + 16];
    struct pn_store_item item = {0};
    struct pn_store_txn *txn = NULL;
    enum pn_rc rc = pn_store_begin(vault->store, &txn, err);

    if (rc != PN_OK)
        return rc;
    rc = pn_store_txn_get(txn, id, &item, err);
    if (rc == PN_OK && only_if_over && !is_over(vault, &item))
        rc = PN_NOT_FOUND;
    pn_store_item_fini(&item);
    snprintf(prefix, sizeof prefix, "/vault/%s/", name);
    if (rc == PN_OK)
        rc = erase_below(txn, prefix, err);
    if (rc == PN_OK)
        rc = pn_store_erase(txn, id, err);
    if (rc == PN_OK)
        rc = pn_store_commit(txn, NULL, err);
    else
        pn_store_rollback(txn);
    if (rc == PN_OK)
        pn_log(PN_LOG_INFO, "vault_purged", "vault", PN_S(name), NULL);
    return rc;
}

enum pn_rc vault_arm_purge_due(struct pn_vault *vault, const struct pn_store_item *item,
                               struct pn_error *err)
{
    return purge(vault, item->id, strrchr(item->id, '/') + 1, true, err);
}

/* The deleted vault of that name. PN_NOT_FOUND. */
static enum pn_rc find_deleted(struct pn_vault *vault, const char *subscription_id,
                               const char *name, struct pn_store_item *item, struct pn_error *err)
{
    char id[VAULT_ID_TEXT];

    deleted_id(subscription_id, name, id);
    return pn_store_get(vault->store, id, item, err);
}

enum pn_rc vault_arm_refuse_deleted(struct pn_vault *vault, const char *subscription_id,
                                    const char *name, struct pn_error *err)
{
    struct pn_store_item item = {0};
    enum pn_rc rc = find_deleted(vault, subscription_id, name, &item, err);

    pn_store_item_fini(&item);
    if (rc == PN_NOT_FOUND)
        return PN_OK;
    if (rc != PN_OK)
        return rc;
    return pn_error_set(err, PN_EXISTS, "ConflictError",
                        "A vault with the same name already exists in deleted state. You need to "
                        "either recover or purge existing key vault (createMode 'recover', or POST "
                        "…/deletedVaults/%s/purge).",
                        name);
}

/* ---- delete and recover ---- */

/* The roles given at the vault and below it, as they are stored. */
static enum pn_rc take_assignments(struct pn_store_txn *txn, const char *vault_id, json_t *into,
                                   struct pn_error *err)
{
    char prefix[VAULT_ID_TEXT + 1];
    struct pn_store_list list = {0};
    enum pn_rc rc;

    snprintf(prefix, sizeof prefix, "%s/", vault_id);
    rc = pn_store_txn_list(txn, prefix, PN_ROLE_ASSIGNMENT_TYPE, &list, err);
    for (size_t i = 0; rc == PN_OK && i < list.count; i++) {
        if (json_object_set(into, list.items[i].id, list.items[i].body) != 0)
            rc = PN_NOMEM;
        else
            rc = pn_store_delete(txn, list.items[i].id, err);
    }
    pn_store_list_fini(&list);
    return rc;
}

static enum pn_rc move_away(struct arm_call *call, struct pn_store_txn *txn,
                            const struct pn_store_item *item, struct pn_error *err)
{
    const json_t *properties = json_object_get(item->body, "properties");
    int64_t days = pn_json_int(properties, "softDeleteRetentionInDays", RETENTION_DAYS);
    int64_t now_s = call->vault->now_s();
    const char *name = strrchr(item->id, '/') + 1;
    char id[VAULT_ID_TEXT], subscription[PN_UUID_TEXT];
    json_t *assignments = json_object();
    json_t *body;
    enum pn_rc rc = take_assignments(txn, item->id, assignments, err);

    snprintf(subscription, sizeof subscription, "%.*s", PN_FMT(call->subscription));
    deleted_id(subscription, name, id);
    body = json_pack("{s:s, s:s, s:I, s:I, s:O, s:O, s:{s:I}}", "name", name, "vaultId", item->id,
                     "deletedOn", (json_int_t)now_s, "purgeOn", (json_int_t)(now_s + days * DAY_S),
                     "vault", item->body, "assignments", assignments, "internal", "due",
                     (json_int_t)(now_s + days * DAY_S));
    json_decref(assignments);
    if (rc == PN_OK)
        rc = body ? pn_store_put(txn, id, DELETED_TYPE, body, NULL, err) : PN_NOMEM;
    if (rc == PN_OK)
        rc = pn_store_delete(txn, item->id, err);
    json_decref(body);
    return rc;
}

void vault_arm_delete(struct arm_call *call)
{
    struct pn_store_item item = {0};
    struct pn_store_txn *txn = NULL;
    struct pn_error err = {0};
    enum pn_rc rc;

    if (!pn_resource_may(&call->base, VAULT_TYPE "/delete", call->vault_id))
        return;
    rc = pn_store_begin(call->vault->store, &txn, &err);
    if (rc == PN_OK)
        rc = pn_store_txn_get(txn, call->vault_id, &item, &err);
    if (rc == PN_OK)
        rc = move_away(call, txn, &item, &err);
    if (rc == PN_OK)
        rc = pn_store_commit(txn, NULL, &err);
    else
        pn_store_rollback(txn);
    pn_store_item_fini(&item);
    if (rc == PN_OK) {
        pn_log(PN_LOG_INFO, "vault_deleted", "id", PN_S(call->vault_id), "by",
               PN_S(call->base.principal.object_id), NULL);
        vault_arm_tell(call);
        call->base.response->status = 200;
    } else if (rc == PN_NOT_FOUND) {
        call->base.response->status = 204;
    } else {
        pn_resource_failure(&call->base, rc, &err);
    }
}

enum pn_rc vault_arm_recover(struct arm_call *call, struct pn_store_txn *txn, struct pn_error *err)
{
    char id[VAULT_ID_TEXT], subscription[PN_UUID_TEXT], name[VAULT_NAME_TEXT];
    struct pn_store_item item = {0};
    const char *assignment_id;
    json_t *assignment;
    enum pn_rc rc;

    snprintf(name, sizeof name, "%.*s", PN_FMT(call->name));
    snprintf(subscription, sizeof subscription, "%.*s", PN_FMT(call->subscription));
    deleted_id(subscription, name, id);
    rc = pn_store_txn_get(txn, id, &item, err);
    if (rc == PN_NOT_FOUND || (rc == PN_OK && is_over(call->vault, &item)))
        rc = pn_error_set(err, PN_INVALID, "BadRequest",
                          "properties.createMode: there is no deleted vault '%s' to recover", name);
    else if (rc == PN_OK &&
             !pn_slice_case_eq_str(pn_json_slice(item.body, "vaultId"), call->vault_id))
        rc =
            pn_error_set(err, PN_INVALID, "BadRequest",
                         "properties.createMode: the deleted vault was '%s'; it is recovered there",
                         pn_json_str(item.body, "vaultId"));
    if (rc == PN_OK) { /* a subnet that is gone meanwhile covers nobody any more */
        const json_t *vault = json_object_get(item.body, "vault");
        const char **references = vault_acls_references(json_object_get(vault, "properties"));

        rc = references ? pn_store_put(txn, pn_json_str(item.body, "vaultId"), VAULT_TYPE,
                                       (json_t *)(uintptr_t)vault, references, err)
                        : PN_NOMEM;
        free(references);
    }
    json_object_foreach(json_object_get(item.body, "assignments"), assignment_id, assignment)
    {
        if (rc == PN_OK)
            rc = pn_store_put(txn, assignment_id, PN_ROLE_ASSIGNMENT_TYPE, assignment, NULL, err);
    }
    if (rc == PN_OK)
        rc = pn_store_delete(txn, id, err);
    pn_store_item_fini(&item);
    return rc;
}

/* ---- deletedVaults ---- */

static json_t *deleted_json(const struct arm_call *call, const struct pn_store_item *item)
{
    const json_t *vault = json_object_get(item->body, "vault");
    const char *location = pn_json_str(vault, "location");
    const char *name = pn_json_str(item->body, "name");
    bool is_protected =
        pn_json_bool(json_object_get(vault, "properties"), "enablePurgeProtection", false);
    char deleted[PN_TIME_TEXT], purged[PN_TIME_TEXT];

    pn_time_iso8601(pn_json_int(item->body, "deletedOn", 0), deleted);
    pn_time_iso8601(pn_json_int(item->body, "purgeOn", 0), purged);
    return json_pack("{s:o, s:s, s:s, s:{s:O, s:s, s:s, s:s, s:O*, s:o*}}", "id",
                     json_sprintf("/subscriptions/%.*s/providers/Microsoft.KeyVault/locations/%s/"
                                  "deletedVaults/%s",
                                  PN_FMT(call->subscription), location, name),
                     "name", name, "type", DELETED_TYPE, "properties", "vaultId",
                     json_object_get(item->body, "vaultId"), "location", location, "deletionDate",
                     deleted, "scheduledPurgeDate", purged, "tags", json_object_get(vault, "tags"),
                     "purgeProtectionEnabled", is_protected ? json_true() : NULL);
}

void vault_arm_list_deleted(struct arm_call *call)
{
    char prefix[VAULT_ID_TEXT];
    struct pn_store_list list = {0};
    struct pn_error err = {0};
    json_t *value;
    enum pn_rc rc;

    if (!pn_resource_may(&call->base, DELETED_TYPE "/read", call->group_id))
        return;
    snprintf(prefix, sizeof prefix, "%s/providers/" DELETED_TYPE "/", call->group_id);
    rc = pn_store_list(call->vault->store, prefix, DELETED_TYPE, &list, &err);
    if (rc != PN_OK) {
        pn_resource_failure(&call->base, rc, &err);
        return;
    }
    value = json_array();
    for (size_t i = 0; i < list.count; i++) {
        if (!is_over(call->vault, &list.items[i]))
            json_array_append_new(value, deleted_json(call, &list.items[i]));
    }
    pn_store_list_fini(&list);
    pn_resource_list(&call->base, value);
}

static void answer_not_deleted(struct arm_call *call, struct pn_slice name)
{
    pn_resource_error(&call->base, 404, "DeletedVaultNotFound",
                      "The specified deleted vault '%.*s' does not exist.",
                      PN_FMT(pn_slice_sub(name, 0, VAULT_NAME_TEXT)));
}

static void purge_one(struct arm_call *call, const struct pn_store_item *item, const char *name)
{
    const json_t *properties = json_object_get(json_object_get(item->body, "vault"), "properties");
    struct pn_error err = {0};
    enum pn_rc rc;

    if (pn_json_bool(properties, "enablePurgeProtection", false)) {
        pn_resource_error(&call->base, 405, "MethodNotAllowed",
                          "Operation 'DeletedVaultPurge' is not allowed: the vault has purge "
                          "protection and stays until its scheduledPurgeDate.");
        return;
    }
    rc = purge(call->vault, item->id, name, false, &err);
    if (rc == PN_OK || rc == PN_NOT_FOUND)
        call->base.response->status = 200;
    else
        pn_resource_failure(&call->base, rc, &err);
}

void vault_arm_deleted(struct arm_call *call, const struct pn_slice *rest, size_t count)
{
    bool is_purge = count == 4 && pn_slice_case_eq_str(rest[3], "purge");
    char name[VAULT_NAME_TEXT], subscription[PN_UUID_TEXT], scope[VAULT_ID_TEXT];
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    enum pn_rc rc;

    if (count < 3 || count > 4 || (count == 4 && !is_purge) || rest[2].len >= VAULT_NAME_TEXT) {
        pn_resource_error(&call->base, 404, "InvalidResourceType",
                          "A deleted vault is at locations/{location}/deletedVaults/{name}, and "
                          "takes purge.");
        return;
    }
    if (is_purge ? !pn_resource_is(&call->base, "POST") : !pn_resource_reads(&call->base)) {
        pn_resource_wrong_method(&call->base, is_purge ? "POST" : "GET, HEAD");
        return;
    }
    snprintf(scope, sizeof scope,
             "%s/providers/Microsoft.KeyVault/locations/%.*s/deletedVaults/%.*s", call->group_id,
             PN_FMT(pn_slice_sub(rest[0], 0, 64)), PN_FMT(rest[2]));
    if (!pn_resource_may(&call->base,
                         is_purge ? "Microsoft.KeyVault/locations/deletedVaults/purge/action"
                                  : "Microsoft.KeyVault/locations/deletedVaults/read",
                         scope))
        return;
    snprintf(name, sizeof name, "%.*s", PN_FMT(rest[2]));
    snprintf(subscription, sizeof subscription, "%.*s", PN_FMT(call->subscription));
    rc = find_deleted(call->vault, subscription, name, &item, &err);
    if (rc == PN_NOT_FOUND || (rc == PN_OK && is_over(call->vault, &item) && !is_purge) ||
        (rc == PN_OK && !pn_slice_case_eq_str(
                            rest[0], pn_json_str(json_object_get(item.body, "vault"), "location"))))
        answer_not_deleted(call, rest[2]);
    else if (rc != PN_OK)
        pn_resource_failure(&call->base, rc, &err);
    else if (is_purge)
        purge_one(call, &item, name);
    else
        pn_resource_json(&call->base, 200, deleted_json(call, &item));
    pn_store_item_fini(&item);
}
