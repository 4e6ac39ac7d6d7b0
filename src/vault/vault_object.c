/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects of a vault: one head for each name, and its versions. Reading, and what all kinds share.
 */
#include <stdio.h>
#include <string.h>

#include "vault/vault_internal.h"

#define SEALED_MAX        (2u * 1024 * 1024)
#define RETENTION_DEFAULT 90

const struct vault_kind_facts vault_kinds[3] = {
    [KIND_SECRET] = {"secret", "secrets", "Secret", "objects", "vault/object", "deletedobjects",
                     "vault/deletedobject", SECRET_TYPE, "SecretNotFound"},
    [KIND_CERTIFICATE] = {"certificate", "certificates", "Certificate", "objects",
                          "vault/certificateobject", "deletedobjects",
                          "vault/deletedcertificateobject", CERTIFICATE_TYPE,
                          "CertificateNotFound"},
    [KIND_KEY] = {"key", "keys", "Key", "keyobjects", "vault/keyobject", "deletedkeyobjects",
                  "vault/deletedkeyobject", KEY_TYPE, "KeyNotFound"},
};

static void object_id(const struct vault_call *call, const char *folder, char id[OBJECT_ID_TEXT])
{
    snprintf(id, OBJECT_ID_TEXT, "/vault/%s/%s/%s", call->vault_name, folder, call->key);
}

void vault_head_id(const struct vault_call *call, enum vault_kind kind, char id[OBJECT_ID_TEXT])
{
    object_id(call, vault_kinds[kind].heads, id);
}

void vault_deleted_id(const struct vault_call *call, enum vault_kind kind, char id[OBJECT_ID_TEXT])
{
    object_id(call, vault_kinds[kind].deleted, id);
}

void vault_version_id(const struct vault_call *call, enum vault_kind kind, const char *version,
                      char id[OBJECT_ID_TEXT])
{
    snprintf(id, OBJECT_ID_TEXT, "/vault/%s/%s/%s/%s", call->vault_name,
             vault_kinds[kind].collection, call->key, version);
}

bool vault_kind_of(const struct pn_store_item *item, enum vault_kind *kind)
{
    for (int i = KIND_SECRET; i <= KIND_KEY; i++) {
        if (strcmp(item->type, vault_kinds[i].head_type) == 0 ||
            strcmp(item->type, vault_kinds[i].deleted_type) == 0 ||
            strcmp(item->type, vault_kinds[i].version_type) == 0) {
            *kind = (enum vault_kind)i;
            return true;
        }
    }
    return false;
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
    return json_sprintf("%.*s/%s/%s%s%s", PN_FMT(call->origin), collection, name,
                        version ? "/" : "", version ? version : "");
}

static json_t *encoded(struct pn_slice bytes,
                       enum pn_rc (*encode)(struct pn_slice, struct pn_buf *))
{
    struct pn_buf text;
    json_t *json = NULL;

    pn_buf_init_secret(&text, SEALED_MAX);
    if (encode(bytes, &text) == PN_OK)
        json = pn_json_from_slice(pn_buf_slice(&text));
    pn_buf_fini(&text);
    return json;
}

json_t *vault_base64(struct pn_slice bytes)
{
    return encoded(bytes, pn_base64_encode);
}

json_t *vault_base64url(struct pn_slice bytes)
{
    return encoded(bytes, pn_base64url_encode);
}

enum pn_rc vault_sealed_bytes(const struct pn_store_item *item, struct pn_buf *out,
                              struct pn_error *err)
{
    enum pn_rc rc =
        pn_base64_decode(pn_json_slice(json_object_get(item->body, "internal"), "sealed"), out);

    return rc == PN_OK
               ? PN_OK
               : pn_error_set(err, PN_INTERNAL, "sealed", "'%s' has no sealed value", item->id);
}

/* --- attributes and tags --- */

json_t *vault_new_attributes(const struct vault_call *call)
{
    json_int_t now_s = (json_int_t)call->vault->now_s();

    return json_pack("{s:b, s:I, s:I}", "enabled", 1, "created", now_s, "updated", now_s);
}

int64_t vault_retention_days(const struct vault_call *call)
{
    return pn_json_int(json_object_get(call->item.body, "properties"), "softDeleteRetentionInDays",
                       RETENTION_DEFAULT);
}

bool vault_is_purge_protected(const struct vault_call *call)
{
    return pn_json_bool(json_object_get(call->item.body, "properties"), "enablePurgeProtection",
                        false);
}

json_t *vault_attributes(const struct vault_call *call, const struct pn_store_item *item)
{
    const json_t *properties = json_object_get(item->body, "properties");
    json_t *attributes = json_copy(json_object_get(properties, "attributes"));
    int64_t days = vault_retention_days(call);
    const char *level = vault_is_purge_protected(call)
                            ? (days < RETENTION_DEFAULT ? "CustomizedRecoverable" : "Recoverable")
                            : (days < RETENTION_DEFAULT ? "CustomizedRecoverable+Purgeable"
                                                        : "Recoverable+Purgeable");

    if (!attributes)
        return NULL;
    json_object_set_new(attributes, "recoveryLevel", json_string(level));
    json_object_set_new(attributes, "recoverableDays", json_integer((json_int_t)days));
    if (strcmp(item->type, KEY_TYPE) == 0)
        json_object_set_new(attributes, "exportable", json_false());
    return attributes;
}

static enum pn_rc read_enabled(const json_t *enabled, json_t *attributes, struct pn_error *err)
{
    if (!enabled || json_is_null(enabled))
        return PN_OK;
    if (!json_is_boolean(enabled))
        return pn_error_set(err, PN_INVALID, "BadParameter",
                            "Property attributes.enabled has invalid value: true or false");
    return json_object_set(attributes, "enabled", json_boolean(json_is_true(enabled))) == 0
               ? PN_OK
               : PN_NOMEM;
}

enum pn_rc vault_read_attributes(const json_t *given, json_t *attributes, struct pn_error *err)
{
    static const char *const dates[] = {"nbf", "exp"};
    enum pn_rc rc;

    if (given && !json_is_object(given) && !json_is_null(given))
        return pn_error_set(err, PN_INVALID, "BadParameter",
                            "Property attributes must be an object");
    rc = read_enabled(json_object_get(given, "enabled"), attributes, err);
    if (rc != PN_OK)
        return rc;
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

/* --- finding --- */

static enum pn_rc find_head(struct vault_call *call, enum vault_kind asked,
                            struct pn_store_item *head, enum vault_kind *kind, struct pn_error *err)
{
    struct pn_store *store = call->vault->store;
    char id[OBJECT_ID_TEXT];
    enum pn_rc rc;

    vault_head_id(call, asked, id);
    rc = pn_store_get(store, id, head, err);
    if (rc == PN_NOT_FOUND && asked == KIND_KEY) { /* then the key of a certificate */
        vault_head_id(call, KIND_CERTIFICATE, id);
        rc = pn_store_get(store, id, head, err);
    }
    if (rc == PN_OK &&
        (!vault_kind_of(head, kind) || (*kind == KIND_SECRET && asked != KIND_SECRET))) {
        pn_store_item_fini(head);
        rc = PN_NOT_FOUND;
    }
    return rc;
}

enum pn_rc vault_find(struct vault_call *call, enum vault_kind asked, struct pn_store_item *head,
                      struct pn_store_item *item, struct pn_error *err)
{
    enum vault_kind kind = asked;
    char id[OBJECT_ID_TEXT];
    const char *version;
    enum pn_rc rc = find_head(call, asked, head, &kind, err);

    if (rc != PN_OK)
        return rc;
    version = call->version[0] ? call->version
                               : pn_json_str(json_object_get(head->body, "properties"), "latest");
    if (!version)
        return PN_NOT_FOUND;
    vault_version_id(call, kind, version, id);
    return pn_store_get(call->vault->store, id, item, err);
}

void vault_answer_not_found(struct vault_call *call, enum vault_kind kind)
{
    const struct vault_kind_facts *facts = &vault_kinds[kind];

    vault_answer_error(
        call->response, 404, facts->not_found, NULL,
        "A %s with (name/id) %s%s%s was not found in this key vault. If you recently "
        "deleted this %s you may be able to recover it using the correct recovery "
        "command.",
        facts->word, call->name, call->version[0] ? "/" : "", call->version, facts->word);
}

void vault_answer_find_failure(struct vault_call *call, enum vault_kind kind, enum pn_rc rc,
                               const struct pn_error *err)
{
    if (rc == PN_NOT_FOUND)
        vault_answer_not_found(call, kind);
    else
        vault_answer_failure(call, rc, err);
}
