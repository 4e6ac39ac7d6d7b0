/* SPDX-License-Identifier: Apache-2.0
 *
 * Secrets: set, get, update. A certificate's secret is its key and chain, as the
 * keyholder writes them for this one answer.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "vault/vault_internal.h"

#define SEALED_MAX (2u * 1024 * 1024)
#define EXPORT_MAX (1024u * 1024)

static bool is_certificate(const struct pn_store_item *item)
{
    return strcmp(item->type, CERTIFICATE_TYPE) == 0;
}

/* SecretItem, or a bundle without value. */
json_t *vault_secret_item(const struct vault_call *call, const struct pn_store_item *item,
                          const char *name, bool with_version)
{
    const json_t *properties = json_object_get(item->body, "properties");
    const char *version = vault_item_version(item);
    json_t *tags = json_object_get(properties, "tags");
    json_t *json = json_pack("{s:o, s:o}", "id",
                             vault_url(call, "secrets", name, with_version ? version : NULL),
                             "attributes", vault_attributes(call, item));

    if (!json)
        return NULL;
    if (json_object_get(properties, "contentType"))
        json_object_set(json, "contentType", json_object_get(properties, "contentType"));
    if (tags && !json_is_null(tags))
        json_object_set(json, "tags", tags);
    if (is_certificate(item)) {
        json_object_set_new(json, "managed", json_true());
        json_object_set_new(json, "kid",
                            vault_url(call, "keys", name, with_version ? version : NULL));
    }
    return json;
}

static enum pn_rc unseal_value(struct vault_call *call, const struct pn_store_item *item,
                               struct pn_buf *value, struct pn_error *err)
{
    struct pn_buf sealed;
    enum pn_rc rc;

    pn_buf_init(&sealed, SEALED_MAX);
    rc = vault_sealed_bytes(item, &sealed, err);
    if (rc == PN_OK)
        rc = pn_keyholder_unseal(call->vault->keyholder, "vault", vault_context(item->id),
                                 pn_buf_slice(&sealed), value, err);
    pn_buf_fini(&sealed);
    return rc == PN_DENIED || rc == PN_MALFORMED ? PN_INTERNAL : rc;
}

/* Of a key that may not leave: the certificates alone. */
static enum pn_rc public_value(const struct pn_store_item *item, bool as_pem, struct pn_buf *value)
{
    const json_t *properties = json_object_get(item->body, "properties");
    struct pn_slice cer = pn_json_slice(properties, "cer");
    enum pn_rc rc;

    if (!as_pem)
        return pn_buf_append_slice(value, cer);
    rc = pn_buf_append_str(value, "-----BEGIN CERTIFICATE-----\n");
    for (size_t i = 0; rc == PN_OK && i < cer.len; i += 64) {
        rc = pn_buf_append_slice(value, pn_slice_sub(cer, i, 64));
        if (rc == PN_OK)
            rc = pn_buf_append_byte(value, '\n');
    }
    return rc == PN_OK ? pn_buf_append_str(value, "-----END CERTIFICATE-----\n") : rc;
}

static enum pn_rc export_value(struct vault_call *call, const struct pn_store_item *item,
                               bool as_pem, struct pn_buf *value, struct pn_error *err)
{
    struct pn_buf sealed, file;
    enum pn_rc rc;

    if (!pn_json_bool(json_object_get(item->body, "properties"), "exportable", true))
        return public_value(item, as_pem, value);
    pn_buf_init(&sealed, SEALED_MAX);
    pn_buf_init_secret(&file, EXPORT_MAX);
    rc = vault_sealed_bytes(item, &sealed, err);
    if (rc == PN_OK)
        rc = pn_keyholder_export_sealed(call->vault->keyholder, vault_context(item->id),
                                        pn_buf_slice(&sealed),
                                        as_pem ? PN_FILE_PEM : PN_FILE_PKCS12, &file, err);
    if (rc == PN_OK)
        rc = as_pem ? pn_buf_append_slice(value, pn_buf_slice(&file))
                    : pn_base64_encode(pn_buf_slice(&file), value);
    pn_buf_fini(&file);
    pn_buf_fini(&sealed);
    return rc == PN_DENIED || rc == PN_MALFORMED ? PN_INTERNAL : rc;
}

/* Which form of the certificate's secret: as stored, or as ?outContentType= asks. False: answered.
 */
static bool choose_form(struct vault_call *call, const struct pn_store_item *item,
                        const char **content_type)
{
    struct pn_slice wanted = pn_request_query(call->request, "outContentType");

    *content_type = pn_json_str(json_object_get(item->body, "properties"), "contentType");
    if (!wanted.ptr || wanted.len == 0 || !is_certificate(item))
        return true;
    if (pn_slice_case_eq_str(wanted, CONTENT_PEM))
        *content_type = CONTENT_PEM;
    else if (pn_slice_case_eq_str(wanted, CONTENT_PKCS12))
        *content_type = CONTENT_PKCS12;
    else {
        vault_answer_error(call->response, 400, "BadParameter", NULL,
                           "Property outContentType has invalid value: " CONTENT_PKCS12
                           " or " CONTENT_PEM ".");
        return false;
    }
    return true;
}

static void answer_value(struct vault_call *call, const struct pn_store_item *head,
                         const struct pn_store_item *item)
{
    struct pn_error err = {0};
    struct pn_buf value;
    const char *content_type = NULL;
    json_t *json = NULL;
    enum pn_rc rc;

    if (!choose_form(call, item, &content_type))
        return;
    pn_buf_init_secret(&value, 2 * EXPORT_MAX);
    if (is_certificate(item))
        rc = export_value(call, item, content_type && strcmp(content_type, CONTENT_PEM) == 0,
                          &value, &err);
    else
        rc = unseal_value(call, item, &value, &err);
    if (rc == PN_OK) {
        json = vault_secret_item(call, item, pn_json_str(head->body, "name"), true);
        if (!json ||
            json_object_set_new(json, "value", pn_json_from_slice(pn_buf_slice(&value))) != 0 ||
            (content_type &&
             json_object_set_new(json, "contentType", json_string(content_type)) != 0)) {
            json_decref(json);
            rc = PN_NOMEM;
        }
    }
    if (rc == PN_OK)
        vault_answer_json(call, 200, json);
    else
        vault_answer_failure(call, rc, &err);
    pn_buf_fini(&value);
}

void vault_get_secret(struct vault_call *call)
{
    struct pn_store_item head = {0}, item = {0};
    struct pn_error err = {0};
    enum pn_rc rc;

    rc = vault_find(call, KIND_SECRET, &head, &item, &err);
    if (rc != PN_OK)
        vault_answer_find_failure(call, KIND_SECRET, rc, &err);
    else if (!pn_json_bool(json_object_get(json_object_get(item.body, "properties"), "attributes"),
                           "enabled", true))
        vault_answer_error(call->response, 403, "Forbidden", "SecretDisabled",
                           "Operation get is not allowed on a disabled secret.");
    else
        answer_value(call, &head, &item);
    pn_store_item_fini(&head);
    pn_store_item_fini(&item);
}

static enum pn_rc check_content_type(const json_t *body, struct pn_error *err)
{
    const json_t *type = json_object_get(body, "contentType");

    if (!type || json_is_null(type) ||
        (json_is_string(type) && json_string_length(type) <= PN_VAULT_CONTENT_TYPE_MAX))
        return PN_OK;
    return pn_error_set(err, PN_INVALID, "BadParameter",
                        "Property contentType has invalid value: a text of at most %d characters",
                        PN_VAULT_CONTENT_TYPE_MAX);
}

/* The stored body of a new version, its value sealed to `id`. */
static enum pn_rc make_secret(struct vault_call *call, const json_t *given, const char *id,
                              json_t **body, struct pn_error *err)
{
    struct pn_slice value = pn_json_slice(given, "value");
    json_t *attributes = NULL, *made = NULL, *tags = json_object_get(given, "tags");
    struct pn_buf sealed, text;
    enum pn_rc rc;

    pn_buf_init(&sealed, SEALED_MAX);
    pn_buf_init(&text, SEALED_MAX);
    attributes = vault_new_attributes(call);
    rc = check_content_type(given, err);
    if (rc == PN_OK)
        rc = vault_read_attributes(json_object_get(given, "attributes"), attributes, err);
    if (rc == PN_OK)
        rc = vault_check_tags(tags, err);
    if (rc == PN_OK)
        rc = pn_keyholder_seal(call->vault->keyholder, "vault", vault_context(id), value, &sealed,
                               err);
    if (rc == PN_OK)
        rc = pn_base64_encode(pn_buf_slice(&sealed), &text);
    if (rc != PN_OK)
        goto out;
    made = json_pack("{s:s, s:{s:O}, s:{s:s%}}", "name", call->name, "properties", "attributes",
                     attributes, "internal", "sealed", text.ptr, text.len);
    if (!made) {
        rc = PN_NOMEM;
        goto out;
    }
    if (json_is_string(json_object_get(given, "contentType")))
        json_object_set(json_object_get(made, "properties"), "contentType",
                        json_object_get(given, "contentType"));
    if (json_is_object(tags))
        json_object_set(json_object_get(made, "properties"), "tags", tags);
    *body = made;
out:
    json_decref(attributes);
    pn_buf_fini(&sealed);
    pn_buf_fini(&text);
    return rc;
}

static void answer_new(struct vault_call *call, const char *id, json_t *body, const json_t *value)
{
    struct pn_store_item item = {
        .id = (char *)(uintptr_t)id, .type = (char *)(uintptr_t)SECRET_TYPE, .body = body};
    json_t *json = vault_secret_item(call, &item, call->name, true);

    if (json)
        json_object_set(json, "value", (json_t *)(uintptr_t)value);
    vault_answer_json(call, 200, json);
}

void vault_set_secret(struct vault_call *call)
{
    char version[VERSION_TEXT], id[OBJECT_ID_TEXT];
    struct pn_error err = {0};
    json_t *given, *body = NULL;
    const json_t *value;
    enum pn_rc rc;

    given = vault_read_body(call);
    if (!given)
        return;
    value = json_object_get(given, "value");
    if (!json_is_string(value)) {
        vault_answer_error(call->response, 400, "BadParameter", NULL,
                           "Property value has invalid value: it must be a text.");
        goto out;
    }
    if (json_string_length(value) > PN_VAULT_SECRET_BYTES_MAX) {
        vault_answer_error(call->response, 400, "BadParameter", NULL,
                           "Property value has invalid value: a secret has at most %u bytes.",
                           PN_VAULT_SECRET_BYTES_MAX);
        goto out;
    }
    vault_new_version(version);
    vault_version_id(call, KIND_SECRET, version, id);
    rc = make_secret(call, given, id, &body, &err);
    if (rc == PN_OK)
        rc = vault_add_version(
            call, &(struct vault_addition){.kind = KIND_SECRET, .version = version, .body = body},
            &err);
    if (rc == PN_OK)
        answer_new(call, id, body, value);
    else
        vault_answer_add_failure(call, KIND_SECRET, rc, &err);
out:
    json_decref(body);
    json_decref(given);
}

void vault_update_secret(struct vault_call *call)
{
    struct pn_store_item head = {0}, item = {0};
    struct pn_error err = {0};
    json_t *given, *body = NULL;
    enum pn_rc rc;

    given = vault_read_body(call);
    if (!given)
        return;
    rc = vault_find(call, KIND_SECRET, &head, &item, &err);
    if (rc != PN_OK)
        vault_answer_find_failure(call, KIND_SECRET, rc, &err);
    else if (is_certificate(&item))
        vault_answer_error(call->response, 403, "Forbidden", "ManagedSecret",
                           "The secret %s belongs to the certificate of that name: change the "
                           "certificate.",
                           call->name);
    else if (check_content_type(given, &err) != PN_OK)
        vault_answer_failure(call, PN_INVALID, &err);
    else {
        const struct vault_change change = {
            .kind = KIND_SECRET, .version = vault_item_version(&item), .given = given};

        rc = vault_change(call, &change, NULL, &body, &err);
        if (rc == PN_OK) {
            struct pn_store_item changed = item;

            changed.body = body;
            vault_answer_json(
                call, 200, vault_secret_item(call, &changed, pn_json_str(head.body, "name"), true));
        } else {
            vault_answer_failure(call, rc, &err);
        }
    }
    json_decref(body);
    json_decref(given);
    pn_store_item_fini(&head);
    pn_store_item_fini(&item);
}

void vault_list_secrets(struct vault_call *call)
{
    vault_list_objects(call, KIND_SECRET, vault_secret_item);
}

void vault_list_secret_versions(struct vault_call *call)
{
    vault_list_versions(call, KIND_SECRET, vault_secret_item);
}
