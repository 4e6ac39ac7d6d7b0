/* SPDX-License-Identifier: Apache-2.0
 *
 * The settings document. See settings.h.
 */
#include "control/settings.h"

#include "base/json.h"
#include "store/store.h"

static enum pn_rc put_text(json_t *object, const char *member, const char *text)
{
    return json_object_set_new(object, member, json_string(text)) == 0 ? PN_OK : PN_NOMEM;
}

static enum pn_rc put_uuid(json_t *object, const char *member)
{
    char text[PN_UUID_TEXT];

    pn_uuid_v4(text);
    return put_text(object, member, text);
}

static enum pn_rc make_ids(json_t *body)
{
    static const char *const uuids[] = {"tenantId",        "subscriptionId", "servicePrincipalId",
                                        "serviceClientId", "adminClientId",  "adminObjectId"};
    enum pn_rc rc = PN_OK;

    for (size_t i = 0; i < sizeof(uuids) / sizeof(uuids[0]) && rc == PN_OK; i++)
        rc = put_uuid(body, uuids[i]);
    if (rc == PN_OK)
        rc = put_text(body, "resourceGroup", "postern");
    if (rc == PN_OK)
        rc = put_text(body, "serviceName", "postern");
    if (rc == PN_OK)
        rc = put_text(body, "location", "local");
    return rc;
}

static enum pn_rc read_members(struct pn_settings *settings, struct pn_error *err)
{
    const json_t *body = settings->body;

    settings->tenant_id = pn_json_str(body, "tenantId");
    settings->subscription_id = pn_json_str(body, "subscriptionId");
    settings->resource_group = pn_json_str(body, "resourceGroup");
    settings->service_name = pn_json_str(body, "serviceName");
    settings->location = pn_json_str(body, "location");
    settings->service_principal_id = pn_json_str(body, "servicePrincipalId");
    settings->service_client_id = pn_json_str(body, "serviceClientId");
    settings->admin_client_id = pn_json_str(body, "adminClientId");
    settings->admin_object_id = pn_json_str(body, "adminObjectId");
    settings->is_complete = pn_json_bool(body, "isComplete", false);
    if (!settings->tenant_id || !settings->subscription_id || !settings->resource_group ||
        !settings->service_name || !settings->location || !settings->service_principal_id ||
        !settings->service_client_id || !settings->admin_client_id || !settings->admin_object_id)
        return pn_error_set(
            err, PN_INVALID, "damaged_settings",
            "the settings in the store lack an id: restore the data folder from a backup");
    return PN_OK;
}

enum pn_rc pn_settings_load(struct pn_store *store, struct pn_settings *settings,
                            struct pn_error *err)
{
    struct pn_store_item item = {0};
    enum pn_rc rc = pn_store_get(store, PN_SETTINGS_ID, &item, err);

    *settings = (struct pn_settings){0};
    if (rc == PN_OK) {
        settings->body = json_incref(item.body);
    } else if (rc == PN_NOT_FOUND) {
        settings->body = json_object();
        rc = settings->body ? make_ids(settings->body) : PN_NOMEM;
        if (rc == PN_OK)
            rc = pn_settings_save(store, settings, err);
        else
            pn_error_set(err, rc, "no_memory", "out of memory");
    }
    pn_store_item_fini(&item);
    return rc == PN_OK ? read_members(settings, err) : rc;
}

enum pn_rc pn_settings_save(struct pn_store *store, struct pn_settings *settings,
                            struct pn_error *err)
{
    struct pn_store_txn *txn = NULL;
    enum pn_rc rc = pn_store_begin(store, &txn, err);

    if (rc != PN_OK)
        return rc;
    rc = pn_store_put(txn, PN_SETTINGS_ID, PN_SETTINGS_TYPE, settings->body, NULL, err);
    if (rc != PN_OK) {
        pn_store_rollback(txn);
        return rc;
    }
    return pn_store_commit(txn, NULL, err);
}

void pn_settings_fini(struct pn_settings *settings)
{
    json_decref(settings->body);
    *settings = (struct pn_settings){0};
}
