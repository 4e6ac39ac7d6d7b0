/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects of a vault: one head for each name, and its versions.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "vault/vault_internal.h"

void vault_head_id(const struct vault_call *call, char id[OBJECT_ID_TEXT])
{
    snprintf(id, OBJECT_ID_TEXT, "/vault/%s/objects/%s", call->vault_name, call->key);
}

void vault_version_id(const struct vault_call *call, const char *collection, const char *version,
                      char id[OBJECT_ID_TEXT])
{
    snprintf(id, OBJECT_ID_TEXT, "/vault/%s/%s/%s/%s", call->vault_name, collection, call->key,
             version);
}

struct pn_slice vault_context(const char *id)
{
    return pn_slice_str(id + 1);
}

void vault_new_version(char version[VERSION_TEXT])
{
    uint8_t bytes[16];

    pn_random(bytes, sizeof bytes);
    pn_hex_lower(bytes, sizeof bytes, version);
}

const char *vault_item_version(const struct pn_store_item *item)
{
    const char *slash = strrchr(item->id, '/');

    return slash ? slash + 1 : item->id;
}

json_t *vault_url(const struct vault_call *call, const char *collection, const char *name,
                  const char *version)
{
    return json_sprintf("%.*s/%s/%s%s%s", PN_FMT(call->request->origin), collection, name,
                        version ? "/" : "", version ? version : "");
}

json_t *vault_new_attributes(const struct vault_call *call)
{
    json_int_t now_s = (json_int_t)call->vault->now_s();

    return json_pack("{s:b, s:I, s:I, s:s, s:i}", "enabled", 1, "created", now_s, "updated", now_s,
                     "recoveryLevel", "Recoverable+Purgeable", "recoverableDays", 90);
}

enum pn_rc vault_read_attributes(const json_t *given, json_t *attributes, struct pn_error *err)
{
    static const char *const dates[] = {"nbf", "exp"};
    const json_t *enabled = json_object_get(given, "enabled");

    if (given && !json_is_object(given) && !json_is_null(given))
        return pn_error_set(err, PN_INVALID, "BadParameter",
                            "Property attributes must be an object");
    if (enabled && !json_is_null(enabled)) {
        if (!json_is_boolean(enabled))
            return pn_error_set(err, PN_INVALID, "BadParameter",
                                "Property attributes.enabled has invalid value: true or false");
        if (json_object_set(attributes, "enabled", json_boolean(json_is_true(enabled))) != 0)
            return PN_NOMEM;
    }
    for (size_t i = 0; i < 2; i++) {
        json_t *date = json_object_get(given, dates[i]);

        if (!date || json_is_null(date))
            continue;
        if (!json_is_integer(date) || json_integer_value(date) < 0)
            return pn_error_set(err, PN_INVALID, "BadParameter",
                                "Property attributes.%s has invalid value: whole Unix seconds",
                                dates[i]);
        if (json_object_set(attributes, dates[i], date) != 0)
            return PN_NOMEM;
    }
    if (json_object_get(attributes, "nbf") && json_object_get(attributes, "exp") &&
        pn_json_int(attributes, "nbf", 0) >= pn_json_int(attributes, "exp", 0))
        return pn_error_set(err, PN_INVALID, "BadParameter",
                            "Property attributes.nbf must be before attributes.exp");
    return PN_OK;
}

enum pn_rc vault_check_tags(const json_t *tags, struct pn_error *err)
{
    const char *key;
    json_t *value;

    if (!tags || json_is_null(tags))
        return PN_OK;
    if (!json_is_object(tags))
        return pn_error_set(err, PN_INVALID, "BadParameter", "Property tags must be an object");
    if (json_object_size(tags) > PN_VAULT_TAGS_MAX)
        return pn_error_set(err, PN_INVALID, "BadParameter",
                            "Property tags has invalid value: at most %d tags", PN_VAULT_TAGS_MAX);
    json_object_foreach((json_t *)(uintptr_t)tags, key, value)
    {
        if (!json_is_string(value) || strlen(key) > PN_VAULT_TAG_BYTES_MAX ||
            json_string_length(value) > PN_VAULT_TAG_BYTES_MAX)
            return pn_error_set(err, PN_INVALID, "BadParameter",
                                "Property tags has invalid value: names and values are texts of at "
                                "most %d characters",
                                PN_VAULT_TAG_BYTES_MAX);
    }
    return PN_OK;
}

/* The head as it will be: a new one, or a copy of the stored one. */
static enum pn_rc next_head(struct vault_call *call, struct pn_store_txn *txn, const char *id,
                            const char *kind, json_t **head, struct pn_error *err)
{
    struct pn_store_item item = {0};
    const char *former;
    enum pn_rc rc = pn_store_txn_get(txn, id, &item, err);

    if (rc == PN_NOT_FOUND) {
        *head = json_pack("{s:s, s:{s:s, s:i, s:i}}", "name", call->name, "properties", "kind",
                          kind, "versions", 0, "order", 0);
        return *head ? PN_OK : PN_NOMEM;
    }
    if (rc != PN_OK)
        return rc;
    former = pn_json_str(json_object_get(item.body, "properties"), "kind");
    if (!former || strcmp(former, kind) != 0) {
        rc = pn_error_set(err, PN_CONFLICT, "Conflict", "the name is in use by a %s",
                          former ? former : "?");
    } else {
        *head = json_deep_copy(item.body);
        rc = *head ? PN_OK : PN_NOMEM;
    }
    pn_store_item_fini(&item);
    return rc;
}

static enum pn_rc put_version(struct vault_call *call, struct pn_store_txn *txn, const char *kind,
                              const char *version, json_t *version_body, json_t *policy,
                              json_t *pending, struct pn_error *err)
{
    bool is_secret = strcmp(kind, "secret") == 0;
    char head_id[OBJECT_ID_TEXT], id[OBJECT_ID_TEXT];
    json_t *head = NULL, *properties;
    int64_t order, versions;
    enum pn_rc rc;

    vault_head_id(call, head_id);
    vault_version_id(call, is_secret ? "secrets" : "certificates", version, id);
    rc = next_head(call, txn, head_id, kind, &head, err);
    if (rc != PN_OK)
        return rc;
    properties = json_object_get(head, "properties");
    order = pn_json_int(properties, "order", 0) + 1;
    versions = pn_json_int(properties, "versions", 0) + 1;
    if (versions > PN_VAULT_VERSIONS_MAX) {
        json_decref(head);
        return pn_error_set(err, PN_LIMIT, "BadParameter",
                            "%s has %d versions already, the most there may be", call->name,
                            PN_VAULT_VERSIONS_MAX);
    }
    if (json_object_set_new(properties, "order", json_integer((json_int_t)order)) != 0 ||
        json_object_set_new(properties, "versions", json_integer((json_int_t)versions)) != 0 ||
        json_object_set_new(properties, "latest", json_string(version)) != 0 ||
        (policy && json_object_set(properties, "policy", policy) != 0) ||
        (pending && json_object_set(properties, "pending", pending) != 0) ||
        json_object_set_new(json_object_get(version_body, "internal"), "order",
                            json_integer((json_int_t)order)) != 0)
        rc = PN_NOMEM;
    if (rc == PN_OK)
        rc = pn_store_put(txn, id, is_secret ? SECRET_TYPE : CERTIFICATE_TYPE, version_body, NULL,
                          err);
    if (rc == PN_OK)
        rc = pn_store_put(txn, head_id, OBJECT_TYPE, head, NULL, err);
    json_decref(head);
    return rc;
}

enum pn_rc vault_add_version(struct vault_call *call, const char *kind, const char *version,
                             json_t *version_body, json_t *policy, json_t *pending,
                             struct pn_error *err)
{
    struct pn_vault *vault = call->vault;
    struct pn_store_txn *txn = NULL;
    enum pn_rc rc = pn_store_begin(vault->store, &txn, err);

    if (rc != PN_OK)
        return rc;
    rc = put_version(call, txn, kind, version, version_body, policy, pending, err);
    if (rc != PN_OK) {
        pn_store_rollback(txn);
        return rc;
    }
    rc = pn_store_commit(txn, NULL, err);
    if (rc == PN_OK && vault->on_change)
        vault->on_change(vault->on_change_ctx, call->vault_name, call->key);
    return rc;
}

void vault_answer_add_failure(struct vault_call *call, const char *kind, enum pn_rc rc,
                              const struct pn_error *err)
{
    if (rc != PN_CONFLICT)
        vault_answer_failure(call, rc, err);
    else if (strcmp(kind, "secret") == 0)
        vault_answer_error(call->response, 403, "Forbidden", "ManagedSecret",
                           "The secret %s belongs to the certificate of that name and changes only "
                           "with it: import or create a new version of the certificate.",
                           call->name);
    else
        vault_answer_error(
            call->response, 409, "Conflict", NULL,
            "A secret named %s exists in this key vault: a certificate needs a name of "
            "its own.",
            call->name);
}

enum pn_rc vault_find(struct vault_call *call, const char *collection, struct pn_store_item *head,
                      struct pn_store_item *item, struct pn_error *err)
{
    struct pn_store *store = call->vault->store;
    char id[OBJECT_ID_TEXT];
    const json_t *properties;
    const char *kind, *version;
    bool is_certificate;
    enum pn_rc rc;

    vault_head_id(call, id);
    rc = pn_store_get(store, id, head, err);
    if (rc != PN_OK)
        return rc;
    properties = json_object_get(head->body, "properties");
    kind = pn_json_str(properties, "kind");
    version = call->version[0] ? call->version : pn_json_str(properties, "latest");
    is_certificate = kind && strcmp(kind, "certificate") == 0;
    if (!version || (!is_certificate && strcmp(collection, "certificates") == 0)) {
        rc = PN_NOT_FOUND;
    } else {
        vault_version_id(call, is_certificate ? "certificates" : "secrets", version, id);
        rc = pn_store_get(store, id, item, err);
    }
    if (rc != PN_OK) {
        pn_store_item_fini(head);
        memset(head, 0, sizeof *head);
    }
    return rc;
}

const char *vault_not_found_code(const char *collection)
{
    if (strcmp(collection, "secrets") == 0)
        return "SecretNotFound";
    return strcmp(collection, "keys") == 0 ? "KeyNotFound" : "CertificateNotFound";
}

void vault_answer_not_found(struct vault_call *call, const char *collection)
{
    bool is_secret = strcmp(collection, "secrets") == 0;

    vault_answer_error(
        call->response, 404, vault_not_found_code(collection), NULL,
        "A %s with (name/id) %s%s%s was not found in this key vault. If you recently "
        "deleted this %s you may be able to recover it using the correct recovery "
        "command.",
        is_secret ? "secret" : "certificate", call->name, call->version[0] ? "/" : "",
        call->version, is_secret ? "secret" : "certificate");
}

static enum pn_rc change_head(struct vault_call *call, struct pn_store_txn *txn,
                              const struct vault_change *change, json_t **body,
                              struct pn_error *err)
{
    struct pn_store_item item = {0};
    json_t *properties, *policy;
    enum pn_rc rc = pn_store_txn_get(txn, change->head_id, &item, err);

    if (rc != PN_OK)
        return rc;
    properties = json_object_get(item.body, "properties");
    policy = json_object_get(properties, "policy");
    if (change->policy) {
        rc = vault_policy_merge(policy, change->policy, err);
        json_object_set_new(json_object_get(policy, "attributes"), "updated",
                            json_integer((json_int_t)call->vault->now_s()));
    }
    if (change->drops_pending)
        json_object_del(properties, "pending");
    if (rc == PN_OK)
        rc = pn_store_put(txn, item.id, OBJECT_TYPE, item.body, NULL, err);
    if (rc == PN_OK && body)
        *body = json_incref(item.body);
    pn_store_item_fini(&item);
    return rc;
}

static enum pn_rc change_version(struct vault_call *call, struct pn_store_txn *txn,
                                 const struct vault_change *change, json_t **body,
                                 struct pn_error *err)
{
    json_t *given = change->given, *tags = json_object_get(given, "tags");
    json_t *content_type = json_object_get(given, "contentType");
    struct pn_store_item item = {0};
    json_t *properties, *attributes;
    enum pn_rc rc = pn_store_txn_get(txn, change->version_id, &item, err);

    if (rc != PN_OK)
        return rc;
    properties = json_object_get(item.body, "properties");
    attributes = json_object_get(properties, "attributes");
    rc = vault_read_attributes(json_object_get(given, "attributes"), attributes, err);
    if (rc == PN_OK)
        rc = vault_check_tags(tags, err);
    if (rc == PN_OK && ((tags && json_object_set(properties, "tags", tags) != 0) ||
                        (json_is_string(content_type) && strcmp(item.type, SECRET_TYPE) == 0 &&
                         json_object_set(properties, "contentType", content_type) != 0) ||
                        json_object_set_new(attributes, "updated",
                                            json_integer((json_int_t)call->vault->now_s())) != 0))
        rc = PN_NOMEM;
    if (rc == PN_OK)
        rc = pn_store_put(txn, item.id, item.type, item.body, NULL, err);
    if (rc == PN_OK && body)
        *body = json_incref(item.body);
    pn_store_item_fini(&item);
    return rc;
}

enum pn_rc vault_change(struct vault_call *call, const struct vault_change *change, json_t **head,
                        json_t **version, struct pn_error *err)
{
    struct pn_vault *vault = call->vault;
    struct pn_store_txn *txn = NULL;
    enum pn_rc rc = pn_store_begin(vault->store, &txn, err);

    if (rc != PN_OK)
        return rc;
    if (change->head_id)
        rc = change_head(call, txn, change, head, err);
    if (rc == PN_OK && change->version_id)
        rc = change_version(call, txn, change, version, err);
    if (rc != PN_OK) {
        pn_store_rollback(txn);
        return rc;
    }
    rc = pn_store_commit(txn, NULL, err);
    if (rc == PN_OK && change->version_id && vault->on_change)
        vault->on_change(vault->on_change_ctx, call->vault_name, call->key);
    return rc;
}
