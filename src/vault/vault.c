/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of the vault server, and vault resources by name.
 */
#include "vault/vault.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "vault/vault_internal.h"
#include "vault/vault_throttle.h"

#define VAULT_NAME_MIN 3
#define VAULT_NAME_MAX 24

/* What the variable says is read once: it does not change while we run. */
static int64_t moved_clock(void)
{
    static atomic_llong moved_s = LLONG_MIN;
    long long by_s = atomic_load(&moved_s);

    if (by_s == LLONG_MIN) {
        const char *text = getenv(PN_VAULT_CLOCK_ENV);

        by_s = text ? strtoll(text, NULL, 10) : 0;
        atomic_store(&moved_s, by_s);
    }
    return pn_clock_unix_s() + by_s;
}

enum pn_rc pn_vault_create(const struct pn_vault_config *config, struct pn_vault **vault,
                           struct pn_error *err)
{
    size_t slots = sizeof((struct pn_vault *)NULL)->arm_audiences / sizeof(char *) - 1;
    struct pn_vault *made;
    const char *suffix = config->audience;

    if (strncmp(suffix, "https://", 8) != 0 || strlen(suffix) >= URL_TEXT ||
        strlen(config->authority_url) >= URL_TEXT)
        return pn_error_set(err, PN_INVALID, "vault",
                            "the vault's audience and authority must be https URLs");
    made = calloc(1, sizeof *made);
    if (!made)
        return PN_NOMEM;
    made->store = config->store;
    made->keyholder = config->keyholder;
    made->verifier = config->verifier;
    made->on_change = config->on_change;
    made->on_change_ctx = config->on_change_ctx;
    made->now_s = config->now_s ? config->now_s : moved_clock;
    snprintf(made->ca_file, sizeof made->ca_file, "%s", config->ca_file ? config->ca_file : "");
    made->throttle = vault_throttle_create();
    if (!made->throttle || vault_clock_init(&made->clock) != PN_OK) {
        vault_throttle_destroy(made->throttle);
        free(made);
        return PN_NOMEM;
    }
    snprintf(made->tenant_id, sizeof made->tenant_id, "%s", config->tenant_id);
    snprintf(made->authority_url, sizeof made->authority_url, "%s", config->authority_url);
    snprintf(made->audience, sizeof made->audience, "%s", suffix);
    snprintf(made->suffix, sizeof made->suffix, "%s", suffix + 8);
    snprintf(made->suffix_host, sizeof made->suffix_host, "%.*s", (int)strcspn(suffix + 8, ":/"),
             suffix + 8);
    for (size_t i = 0; config->arm_audiences && config->arm_audiences[i]; i++) {
        if (i < slots)
            made->arm_audiences[i] = strdup(config->arm_audiences[i]);
        if (i >= slots || !made->arm_audiences[i]) {
            pn_vault_destroy(made);
            return pn_error_set(err, PN_LIMIT, "vault", "too many audiences");
        }
    }
    snprintf(made->subscription_id, sizeof made->subscription_id, "%s",
             config->subscription_id ? config->subscription_id : "");
    made->plane = (struct pn_resource_plane){
        .store = made->store,
        .verifier = made->verifier,
        .tenant_id = made->tenant_id,
        .subscription_id = made->subscription_id,
        .control_url = made->authority_url,
        .audiences = (const char *const *)made->arm_audiences,
    };
    *vault = made;
    return PN_OK;
}

void pn_vault_destroy(struct pn_vault *vault)
{
    if (!vault)
        return;
    vault_clock_fini(&vault->clock);
    for (size_t i = 0; vault->arm_audiences[i]; i++)
        free(vault->arm_audiences[i]);
    vault_throttle_destroy(vault->throttle);
    free(vault);
}

/* 3 to 24 letters, digits and single hyphens; begins with a letter, ends with none of the hyphens.
 */
bool vault_name_is_valid(struct pn_slice name)
{
    if (name.len < VAULT_NAME_MIN || name.len > VAULT_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (is_letter || (i > 0 && c >= '0' && c <= '9'))
            continue;
        if (c != '-' || i == 0 || i + 1 == name.len || name.ptr[i - 1] == '-')
            return false;
    }
    return true;
}

enum pn_rc vault_resource(struct pn_vault *vault, const char *name, struct pn_store_item *item,
                          struct pn_error *err)
{
    struct pn_store_list list = {0};
    enum pn_rc rc = pn_store_list_named(vault->store, VAULT_TYPE, name, &list, err);

    if (rc == PN_OK && list.count == 0)
        rc = PN_NOT_FOUND;
    if (rc == PN_OK) {
        *item = list.items[0];
        memset(&list.items[0], 0, sizeof list.items[0]);
    }
    pn_store_list_fini(&list);
    return rc;
}

json_t *vault_default_properties(const struct pn_vault *vault, const char *name)
{
    return json_pack(
        "{s:s, s:{s:s, s:s}, s:[], s:o, s:b, s:b, s:i, s:b, s:b, s:b, s:s, s:s}", "tenantId",
        vault->tenant_id, "sku", "family", "A", "name", "standard", "accessPolicies", "vaultUri",
        json_sprintf("https://%s.%s/", name, vault->suffix), "enableRbacAuthorization", 0,
        "enableSoftDelete", 1, "softDeleteRetentionInDays", 90, "enabledForDeployment", 0,
        "enabledForDiskEncryption", 0, "enabledForTemplateDeployment", 0, "publicNetworkAccess",
        "Enabled", "provisioningState", "Succeeded");
}

enum pn_rc pn_vault_add(struct pn_vault *vault, const char *vault_id, const char *location,
                        struct pn_error *err)
{
    const char *slash = strrchr(vault_id, '/');
    const char *name = slash ? slash + 1 : vault_id;
    struct pn_store_item item = {0};
    struct pn_store_txn *txn = NULL;
    json_t *body = NULL;
    enum pn_rc rc;

    if (!vault_name_is_valid(pn_slice_str(name)))
        return pn_error_set(err, PN_INVALID, "VaultNameNotValid", "'%s' is not a vault name", name);
    rc = vault_resource(vault, name, &item, err);
    pn_store_item_fini(&item);
    if (rc == PN_OK)
        return pn_error_set(err, PN_EXISTS, "VaultAlreadyExists", "there is a vault %s", name);
    if (rc != PN_NOT_FOUND)
        return rc;
    body = json_pack("{s:s, s:s, s:{}, s:o}", "name", name, "location", location, "tags",
                     "properties", vault_default_properties(vault, name));
    rc = body ? pn_store_begin(vault->store, &txn, err) : PN_NOMEM;
    if (rc == PN_OK) {
        rc = pn_store_put(txn, vault_id, VAULT_TYPE, body, NULL, err);
        if (rc == PN_OK)
            rc = pn_store_commit(txn, NULL, err);
        else
            pn_store_rollback(txn);
    }
    json_decref(body);
    return rc;
}

static json_t *text_list(const char *const *texts)
{
    json_t *list = json_array();

    for (size_t i = 0; texts && texts[i]; i++)
        json_array_append_new(list, json_string(texts[i]));
    return list;
}

enum pn_rc pn_vault_grant(struct pn_vault *vault, const char *vault_id, const char *object_id,
                          const char *const *secrets, const char *const *certificates,
                          const char *const *keys, struct pn_error *err)
{
    json_t *changes = json_pack("[{s:s, s:s, s:{s:o, s:o, s:o}}]", "tenantId", vault->tenant_id,
                                "objectId", object_id, "permissions", "secrets", text_list(secrets),
                                "certificates", text_list(certificates), "keys", text_list(keys));
    struct pn_store_item item = {0};
    struct pn_store_txn *txn = NULL;
    json_t *policies;
    enum pn_rc rc = changes ? pn_store_begin(vault->store, &txn, err) : PN_NOMEM;

    if (rc == PN_OK)
        rc = vault_policies_check(changes, vault->tenant_id, err);
    if (rc == PN_OK)
        rc = pn_store_txn_get(txn, vault_id, &item, err);
    if (rc == PN_OK) {
        policies = json_object_get(json_object_get(item.body, "properties"), "accessPolicies");
        rc = vault_policies_change(policies, changes, POLICIES_ADD);
    }
    if (rc == PN_OK)
        rc = pn_store_put(txn, item.id, VAULT_TYPE, item.body, pn_store_keep_references, err);
    if (rc == PN_OK)
        rc = pn_store_commit(txn, NULL, err);
    else
        pn_store_rollback(txn);
    json_decref(changes);
    pn_store_item_fini(&item);
    return rc;
}
