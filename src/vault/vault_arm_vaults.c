/* SPDX-License-Identifier: Apache-2.0
 *
 * Vaults as resources: read, list, make, change, and whether a name is free.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "vault/vault_arm.h"

#define PAGE_MAX 1000

json_t *vault_arm_json(const struct pn_store_item *item)
{
    json_t *json = json_pack("{s:s, s:O, s:s, s:O, s:O}", "id", item->id, "name",
                             json_object_get(item->body, "name"), "type", VAULT_TYPE, "location",
                             json_object_get(item->body, "location"), "properties",
                             json_object_get(item->body, "properties"));

    if (json && json_object_get(item->body, "tags"))
        json_object_set(json, "tags", json_object_get(item->body, "tags"));
    return json;
}

/* "$top" and the page's first vault; false: answered. */
static bool read_page(struct arm_call *call, uint64_t *top, uint64_t *skip)
{
    struct pn_slice text = pn_request_query(call->base.request, "$top");
    struct pn_slice token = pn_request_query(call->base.request, "$skiptoken");

    *top = PAGE_MAX;
    *skip = 0;
    if ((text.len == 0 || (pn_slice_to_u64(text, INT32_MAX, top) && *top > 0)) &&
        (token.len == 0 || pn_slice_to_u64(token, INT32_MAX, skip))) {
        if (*top > PAGE_MAX)
            *top = PAGE_MAX;
        return true;
    }
    pn_resource_error(&call->base, 400, "BadRequest",
                      "$top must be a whole number, at least 1; $skiptoken one that an answer "
                      "gave.");
    return false;
}

static json_t *next_link(struct arm_call *call, uint64_t top, uint64_t next)
{
    const struct pn_request *request = call->base.request;
    struct pn_slice version = pn_request_query(request, "api-version");

    return json_sprintf("%.*s%.*s?api-version=%.*s&$top=%llu&$skiptoken=%llu",
                        PN_FMT(request->origin), PN_FMT(request->path), PN_FMT(version),
                        (unsigned long long)top, (unsigned long long)next);
}

void vault_arm_list(struct arm_call *call)
{
    char prefix[VAULT_ID_TEXT + 1];
    struct pn_store_list list = {0};
    struct pn_error err = {0};
    uint64_t top, skip;
    json_t *value, *answer;
    enum pn_rc rc;

    if (!pn_resource_may(&call->base, VAULT_TYPE "/read", call->group_id) ||
        !read_page(call, &top, &skip))
        return;
    snprintf(prefix, sizeof prefix, "%s/", call->group_id);
    rc = pn_store_list(call->vault->store, prefix, VAULT_TYPE, &list, &err);
    if (rc != PN_OK) {
        pn_resource_failure(&call->base, rc, &err);
        return;
    }
    value = json_array();
    for (size_t i = skip; i < list.count && i < skip + top; i++)
        json_array_append_new(value, vault_arm_json(&list.items[i]));
    answer = json_pack("{s:o}", "value", value);
    if (answer && list.count > skip + top)
        json_object_set_new(answer, "nextLink", next_link(call, top, skip + top));
    pn_store_list_fini(&list);
    pn_resource_json(&call->base, 200, answer);
}

void vault_arm_not_found(struct arm_call *call)
{
    pn_resource_error(&call->base, 404, "ResourceNotFound",
                      "The Resource '" VAULT_TYPE
                      "/%.*s' under resource group '%.*s' was not found.",
                      PN_FMT(call->name), PN_FMT(call->group));
}

void vault_arm_stored(struct arm_call *call, int status)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    enum pn_rc rc = pn_store_get(call->vault->store, call->vault_id, &item, &err);

    if (rc == PN_NOT_FOUND)
        vault_arm_not_found(call);
    else if (rc != PN_OK)
        pn_resource_failure(&call->base, rc, &err);
    else
        pn_resource_json(&call->base, status, vault_arm_json(&item));
    pn_store_item_fini(&item);
}

void vault_arm_get(struct arm_call *call)
{
    if (pn_resource_may(&call->base, VAULT_TYPE "/read", call->vault_id))
        vault_arm_stored(call, 200);
}

void vault_arm_tell(struct arm_call *call)
{
    char name[VAULT_NAME_TEXT];

    snprintf(name, sizeof name, "%.*s", PN_FMT(call->name));
    if (call->vault->on_change)
        call->vault->on_change(call->vault->on_change_ctx, name, NULL);
}

static bool wants_recovery(const json_t *given)
{
    return pn_slice_case_eq_str(pn_json_slice(json_object_get(given, "properties"), "createMode"),
                                "recover");
}

/* Who changes the model of permissions gives and takes rights: that needs the right to. */
static enum pn_rc check_model(struct arm_call *call, const json_t *former, const json_t *body,
                              struct pn_error *err)
{
    bool was =
        pn_json_bool(json_object_get(former, "properties"), "enableRbacAuthorization", false);
    bool is = pn_json_bool(json_object_get(body, "properties"), "enableRbacAuthorization", false);

    if (!former || was == is)
        return PN_OK;
    return pn_authorize(call->vault->store, &call->base.principal,
                        "Microsoft.Authorization/roleAssignments/write", call->vault_id, err);
}

/* The name is free, or this vault's. PN_EXISTS: another vault has it, be it a deleted one. */
static enum pn_rc check_name(struct arm_call *call, bool is_recovery, struct pn_error *err)
{
    struct pn_store_item other = {0};
    char name[VAULT_NAME_TEXT], subscription[PN_UUID_TEXT];
    bool is_mine;
    enum pn_rc rc;

    snprintf(name, sizeof name, "%.*s", PN_FMT(call->name));
    snprintf(subscription, sizeof subscription, "%.*s", PN_FMT(call->subscription));
    rc = vault_resource(call->vault, name, &other, err);
    is_mine = rc == PN_OK && pn_slice_case_eq_str(pn_slice_str(other.id), call->vault_id);
    pn_store_item_fini(&other);
    if (rc == PN_OK && !is_mine)
        return pn_error_set(err, PN_EXISTS, "VaultAlreadyExists",
                            "The vault name '%s' is already in use.", name);
    if (rc == PN_NOT_FOUND)
        return is_recovery ? PN_OK : vault_arm_refuse_deleted(call->vault, subscription, name, err);
    return rc;
}

/* Writes a PUT or PATCH; *is_new tells 201 from 200. */
static enum pn_rc write_vault(struct arm_call *call, const json_t *given, bool is_patch,
                              bool *is_new, struct pn_error *err)
{
    struct pn_store_item item = {0};
    struct pn_store_txn *txn = NULL;
    json_t *body = NULL;
    const char **references = NULL;
    enum pn_rc rc = pn_store_begin(call->vault->store, &txn, err);

    if (rc != PN_OK)
        return rc;
    rc = pn_store_txn_get(txn, call->vault_id, &item, err);
    *is_new = rc == PN_NOT_FOUND;
    if (*is_new && !is_patch && wants_recovery(given)) {
        rc = vault_arm_recover(call, txn, err);
        if (rc == PN_OK)
            rc = pn_store_commit(txn, NULL, err);
        else
            pn_store_rollback(txn);
        return rc;
    }
    /* Asked again where nobody else writes: what is in a vault is kept by its name, so two of one
     * name, in two groups, would be one. */
    if (*is_new && !is_patch) {
        rc = check_name(call, false, err);
        if (rc != PN_OK) {
            pn_store_rollback(txn);
            return rc;
        }
    }
    if (rc == PN_OK)
        rc = vault_arm_body(call, given, item.body, is_patch, &body, err);
    if (rc == PN_OK)
        rc = check_model(call, item.body, body, err);
    if (rc == PN_OK)
        rc = vault_acls_check_subnets(txn, json_object_get(body, "properties"), err);
    if (rc == PN_OK) {
        references = vault_acls_references(json_object_get(body, "properties"));
        rc = references ? pn_store_put(txn, item.id ? item.id : call->vault_id, VAULT_TYPE, body,
                                       references, err)
                        : PN_NOMEM;
    }
    if (rc == PN_OK)
        rc = pn_store_commit(txn, NULL, err);
    else
        pn_store_rollback(txn);
    free(references);
    json_decref(body);
    pn_store_item_fini(&item);
    return rc;
}

static bool group_is_there(struct arm_call *call)
{
    struct pn_store_item group = {0};
    struct pn_error err = {0};
    enum pn_rc rc = pn_store_get(call->vault->store, call->group_id, &group, &err);

    pn_store_item_fini(&group);
    if (rc == PN_NOT_FOUND)
        pn_resource_error(&call->base, 404, "ResourceGroupNotFound",
                          "Resource group '%.*s' could not be found.", PN_FMT(call->group));
    else if (rc != PN_OK)
        pn_resource_failure(&call->base, rc, &err);
    return rc == PN_OK;
}

/* The resource group is there, and the name is free or this vault's. False: answered. */
static bool check_place(struct arm_call *call, bool is_recovery)
{
    struct pn_error err = {0};
    enum pn_rc rc;

    if (!group_is_there(call))
        return false;
    if (!vault_name_is_valid(call->name)) {
        pn_resource_error(
            &call->base, 400, "VaultNameNotValid",
            "The vault name is invalid. A vault's name must be between 3-24 alphanumeric "
            "characters. The name must begin with a letter, end with a letter or digit, and "
            "not contain consecutive hyphens.");
        return false;
    }
    rc = check_name(call, is_recovery, &err);
    if (rc != PN_OK)
        pn_resource_failure(&call->base, rc, &err);
    return rc == PN_OK;
}

void vault_arm_change(struct arm_call *call, bool is_patch)
{
    struct pn_error err = {0};
    bool is_new = false;
    json_t *given;
    enum pn_rc rc;

    if (!pn_resource_may(&call->base, VAULT_TYPE "/write", call->vault_id))
        return;
    given = pn_resource_body(&call->base);
    if (!given)
        return;
    if (!is_patch && !check_place(call, wants_recovery(given))) {
        json_decref(given);
        return;
    }
    rc = write_vault(call, given, is_patch, &is_new, &err);
    json_decref(given);
    if (rc == PN_NOT_FOUND) {
        vault_arm_not_found(call);
    } else if (rc != PN_OK) {
        pn_resource_failure(&call->base, rc, &err);
    } else {
        vault_arm_tell(call);
        vault_arm_stored(call, is_new ? 201 : 200);
    }
}

static json_t *not_available(const char *reason, const char *message)
{
    return json_pack("{s:b, s:s, s:s}", "nameAvailable", 0, "reason", reason, "message", message);
}

void vault_arm_check_name(struct arm_call *call)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    struct pn_slice name;
    char text[VAULT_NAME_TEXT], subscription[PN_UUID_TEXT];
    json_t *given, *answer = NULL;
    enum pn_rc rc = PN_OK;

    if (!pn_resource_may(&call->base, "Microsoft.KeyVault/checkNameAvailability/read",
                         call->group_id))
        return;
    given = pn_resource_body(&call->base);
    if (!given)
        return;
    name = pn_json_slice(given, "name");
    snprintf(text, sizeof text, "%.*s", PN_FMT(pn_slice_sub(name, 0, VAULT_NAME_TEXT - 1)));
    snprintf(subscription, sizeof subscription, "%.*s", PN_FMT(call->subscription));
    if (!vault_name_is_valid(name)) {
        answer = not_available("AccountNameInvalid",
                               "The vault name is invalid: 3 to 24 letters, digits and single "
                               "hyphens, beginning with a letter.");
    } else {
        rc = vault_resource(call->vault, text, &item, &err);
        pn_store_item_fini(&item);
        if (rc == PN_OK)
            answer = not_available("AlreadyExists", "The vault name is already in use.");
        else if (rc == PN_NOT_FOUND)
            rc = vault_arm_refuse_deleted(call->vault, subscription, text, &err);
        if (rc == PN_EXISTS)
            answer = not_available("AlreadyExists", err.message);
        else if (rc == PN_OK && !answer)
            answer = json_pack("{s:b}", "nameAvailable", 1);
    }
    json_decref(given);
    if (answer)
        pn_resource_json(&call->base, 200, answer);
    else
        pn_resource_failure(&call->base, rc, &err);
}
