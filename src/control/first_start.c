/* SPDX-License-Identifier: Apache-2.0
 *
 * The first start. See first_start.h.
 */
#include "control/first_start.h"

#include <limits.h>
#include <stdio.h>

#include "authority/authority.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "control/listeners.h"
#include "identity/roles.h"
#include "vault/vault.h"

#define ADMIN_SECRET_BYTES 32
#define ID_TEXT            512

/* The service as it is in the store gets the listener that the gateway is to present. */
static enum pn_rc renew_listener(struct pn_store_txn *txn, const char *service_id,
                                 const json_t *listener, struct pn_error *err)
{
    struct pn_store_item item = {0};
    json_t *internal;
    enum pn_rc rc = pn_store_txn_get(txn, service_id, &item, err);

    if (rc != PN_OK)
        return rc;
    internal = json_object_get(item.body, "internal");
    if (!json_is_object(internal)) {
        internal = json_object();
        if (json_object_set_new(item.body, "internal", internal) != 0)
            rc = PN_NOMEM;
    }
    if (rc == PN_OK && json_object_update(internal, (json_t *)(uintptr_t)listener) != 0)
        rc = PN_NOMEM;
    if (rc == PN_OK)
        rc = pn_store_put(txn, item.id, item.type, item.body, pn_store_keep_references, err);
    pn_store_item_fini(&item);
    return rc;
}

static bool has_listener(struct pn_store_txn *txn, const char *service_id, const json_t *listener)
{
    struct pn_store_item item = {0};
    bool answer = false;

    if (pn_store_txn_get(txn, service_id, &item, NULL) == PN_OK)
        answer =
            json_equal(json_object_get(json_object_get(item.body, "internal"), "listenerKeyId"),
                       json_object_get(listener, "listenerKeyId"));
    pn_store_item_fini(&item);
    return answer;
}

static enum pn_rc make_resources(const struct pn_first_start *parts,
                                 const struct pn_settings *settings, const json_t *listener,
                                 struct pn_error *err)
{
    struct pn_arm_first first = {
        .tenant_id = settings->tenant_id,
        .subscription_id = settings->subscription_id,
        .resource_group = settings->resource_group,
        .service_name = settings->service_name,
        .location = settings->location,
        .principal_id = settings->service_principal_id,
        .client_id = settings->service_client_id,
        .service_internal = listener,
    };
    struct pn_store_txn *txn = NULL;
    char service_id[ID_TEXT];
    char scope[128];
    enum pn_rc rc = pn_store_begin(parts->store, &txn, err);

    if (rc != PN_OK)
        return rc;
    snprintf(scope, sizeof(scope), "/subscriptions/%s", settings->subscription_id);
    snprintf(service_id, sizeof(service_id),
             "%s/resourceGroups/%s/providers/Microsoft.ApiManagement/service/%s", scope,
             settings->resource_group, settings->service_name);
    if (!settings->is_complete) {
        rc = pn_arm_first_start(txn, parts->services, &first, err);
        if (rc == PN_OK)
            rc = pn_role_assign(txn, scope, PN_ROLE_OWNER, settings->admin_object_id,
                                "ServicePrincipal", err);
    }
    if (rc == PN_OK && !has_listener(txn, service_id, listener)) {
        rc = renew_listener(txn, service_id, listener, err);
        /* The service may have been deleted on purpose; then there is nothing to present. */
        if (rc == PN_NOT_FOUND && settings->is_complete)
            rc = PN_OK;
    }
    if (rc != PN_OK) {
        pn_store_rollback(txn);
        return rc;
    }
    return pn_store_commit(txn, NULL, err);
}

/* The file is written before the hash is stored: a kill in between leaves a file that the next
 * start replaces, never a hash whose secret nobody knows. */
static enum pn_rc make_administrator(const struct pn_first_start *parts,
                                     const struct pn_settings *settings, struct pn_error *err)
{
    struct pn_authority_client client = {
        .client_id = settings->admin_client_id,
        .object_id = settings->admin_object_id,
        .display_name = "Postern administrator",
    };
    uint8_t random[ADMIN_SECRET_BYTES];
    char path[PATH_MAX];
    struct pn_buf secret;
    enum pn_rc rc;

    snprintf(path, sizeof(path), "%s/admin.secret", parts->data_dir);
    pn_buf_init_secret(&secret, 128);
    pn_random(random, sizeof(random));
    rc = pn_base64url_encode(pn_slice(random, sizeof(random)), &secret);
    pn_wipe(random, sizeof(random));
    if (rc == PN_OK)
        rc = pn_file_write_atomic(path, pn_buf_slice(&secret), 0600, err);
    client.secret = pn_buf_slice(&secret);
    if (rc == PN_OK)
        rc = pn_authority_add_client(parts->authority, &client, NULL, NULL, err);
    pn_buf_fini(&secret);
    return rc;
}

static enum pn_rc make_vault(const struct pn_first_start *parts, const struct pn_settings *settings,
                             struct pn_error *err)
{
    static const char *const all[] = {"all", NULL};
    static const char *const read[] = {"get", "list", NULL};
    char id[ID_TEXT];
    enum pn_rc rc;

    snprintf(id, sizeof(id),
             "/subscriptions/%s/resourceGroups/%s/providers/Microsoft.KeyVault/vaults/%s",
             settings->subscription_id, settings->resource_group, PN_VAULT_DEFAULT_NAME);
    rc = pn_vault_add(parts->vault, id, settings->location, err);
    if (rc == PN_EXISTS)
        rc = PN_OK;
    if (rc == PN_OK)
        rc = pn_vault_grant(parts->vault, id, settings->admin_object_id, all, all, all, err);
    if (rc == PN_OK)
        rc =
            pn_vault_grant(parts->vault, id, settings->service_principal_id, read, NULL, NULL, err);
    return rc;
}

enum pn_rc pn_first_start_run(const struct pn_first_start *parts, struct pn_settings *settings,
                              struct pn_error *err)
{
    json_t *listener = pn_listener_for_gateway(settings);
    enum pn_rc rc;

    if (!listener)
        return pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    rc = make_resources(parts, settings, listener, err);
    json_decref(listener);
    if (rc != PN_OK || settings->is_complete)
        return rc;
    rc = make_vault(parts, settings, err);
    if (rc == PN_OK)
        rc = make_administrator(parts, settings, err);
    if (rc == PN_OK && json_object_set_new(settings->body, "isComplete", json_true()) != 0)
        rc = pn_error_set(err, PN_NOMEM, "no_memory", "out of memory");
    if (rc == PN_OK)
        rc = pn_settings_save(parts->store, settings, err);
    if (rc != PN_OK)
        return rc;
    settings->is_complete = true;
    pn_log(PN_LOG_INFO, "first_start_done", "tenant", PN_S(settings->tenant_id), "subscription",
           PN_S(settings->subscription_id), "administrator", PN_S(settings->admin_client_id), NULL);
    return PN_OK;
}
