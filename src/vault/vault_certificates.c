/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates: import, get, update, policy, lists.
 */
#include <stdio.h>
#include <string.h>

#include "certs/certificate.h"
#include "vault/vault_certificate.h"

#define SEALED_MAX (2u * 1024 * 1024)

/* What stands for a certificate that is still being made: the head's body. */
static bool is_made(const struct pn_store_item *item)
{
    return item->type && strcmp(item->type, CERTIFICATE_TYPE) == 0;
}

static json_t *unmade_attributes(const struct vault_call *call, const json_t *head)
{
    json_t *pending = json_object_get(json_object_get(head, "properties"), "pending");
    json_t *properties = json_pack("{s:{s:b, s:O*, s:O*}}", "attributes", "enabled", 0, "created",
                                   json_object_get(pending, "created"), "updated",
                                   json_object_get(pending, "created"));
    json_t *body = json_pack("{s:o}", "properties", properties);
    const struct pn_store_item item = {.type = (char *)(uintptr_t)CERTIFICATE_TYPE, .body = body};
    json_t *attributes = vault_attributes(call, &item);

    json_decref(body);
    return attributes;
}

/* CertificateItem. `item`: a version, or the head of a certificate that has none yet. */
json_t *vault_certificate_item(const struct vault_call *call, const struct pn_store_item *item,
                               const char *name, bool with_version)
{
    const json_t *properties = json_object_get(item->body, "properties");
    const json_t *pending = json_object_get(properties, "pending");
    json_t *tags = json_object_get(properties, "tags");
    const char *version =
        is_made(item) ? vault_item_version(item) : pn_json_str(pending, "version");
    json_t *json = json_pack("{s:o, s:O*, s:o}", "id",
                             vault_url(call, "certificates", name, with_version ? version : NULL),
                             "x5t", json_object_get(properties, "x5t"), "attributes",
                             is_made(item) ? vault_attributes(call, item)
                                           : unmade_attributes(call, item->body));

    if (json && json_is_object(tags))
        json_object_set(json, "tags", tags);
    return json;
}

json_t *vault_certificate_policy(const struct vault_call *call, const json_t *head)
{
    char path[NAME_TEXT + 16];
    json_t *policy = json_deep_copy(json_object_get(json_object_get(head, "properties"), "policy"));

    snprintf(path, sizeof path, "%s/policy", pn_json_str(head, "name"));
    if (policy)
        json_object_set_new(policy, "id", vault_url(call, "certificates", path, NULL));
    return policy;
}

/* CertificateBundle. `item` may be empty: the certificate is still being made. */
json_t *vault_certificate_bundle(const struct vault_call *call, const json_t *head,
                                 const struct pn_store_item *item)
{
    const struct pn_store_item unmade = {.body = (json_t *)(uintptr_t)head};
    const char *name = pn_json_str(head, "name");
    char path[NAME_TEXT + 16];
    json_t *json = vault_certificate_item(call, is_made(item) ? item : &unmade, name, true);
    json_t *policy = vault_certificate_policy(call, head);

    if (!json) {
        json_decref(policy);
        return NULL;
    }
    if (is_made(item)) {
        const json_t *properties = json_object_get(item->body, "properties");
        const char *version = vault_item_version(item);

        json_object_set_new(json, "kid", vault_url(call, "keys", name, version));
        json_object_set_new(json, "sid", vault_url(call, "secrets", name, version));
        json_object_set(json, "cer", json_object_get(properties, "cer"));
        json_object_set(json, "contentType", json_object_get(properties, "contentType"));
        if (json_object_get(properties, "preserveCertOrder"))
            json_object_set(json, "preserveCertOrder",
                            json_object_get(properties, "preserveCertOrder"));
    }
    if (policy)
        json_object_set_new(json, "policy", policy);
    snprintf(path, sizeof path, "%s/pending", name);
    if (json_object_get(json_object_get(head, "properties"), "pending"))
        json_object_set_new(json, "pending",
                            json_pack("{s:o}", "id", vault_url(call, "certificates", path, NULL)));
    return json;
}

void vault_answer_certificate(struct vault_call *call, int status)
{
    struct pn_store_item head = {0}, item = {0};
    struct pn_error err = {0};
    enum pn_rc rc = vault_find(call, KIND_CERTIFICATE, &head, &item, &err);
    bool is_unmade = rc == PN_NOT_FOUND && head.body && !call->version[0] &&
                     !json_object_get(json_object_get(head.body, "properties"), "latest");

    if (rc == PN_OK || is_unmade)
        vault_answer_json(call, status, vault_certificate_bundle(call, head.body, &item));
    else
        vault_answer_find_failure(call, KIND_CERTIFICATE, rc, &err);
    pn_store_item_fini(&head);
    pn_store_item_fini(&item);
}

/* The stored body of a version. `given` may have attributes and tags. */
enum pn_rc vault_certificate_body(struct vault_call *call, const struct pn_imported *imported,
                                  const struct pn_certificate *leaf, const json_t *policy,
                                  const json_t *given, json_t **body, struct pn_error *err)
{
    const char *content = pn_json_str(json_object_get(policy, "secret_props"), "contentType");
    bool exportable = pn_json_bool(json_object_get(policy, "key_props"), "exportable", true);
    json_t *attributes = vault_new_attributes(call), *chain = json_array(), *made = NULL;
    json_t *tags = json_object_get(given, "tags");
    enum pn_rc rc = vault_read_attributes(json_object_get(given, "attributes"), attributes, err);

    if (rc == PN_OK)
        rc = vault_check_tags(tags, err);
    if (rc != PN_OK)
        goto out;
    json_object_set_new(attributes, "nbf", json_integer(pn_certificate_not_before(leaf)));
    json_object_set_new(attributes, "exp", json_integer(pn_certificate_not_after(leaf)));
    for (size_t i = 0; i < imported->chain_count; i++)
        json_array_append_new(chain, vault_base64(pn_buf_slice(&imported->chain[i])));
    made = json_pack(
        "{s:s, s:{s:o, s:o, s:s, s:b, s:O}, s:{s:o, s:O}}", "name", call->name, "properties", "x5t",
        vault_base64url(pn_slice(pn_certificate_thumbprint_bytes(leaf), PN_SHA1_BYTES)), "cer",
        vault_base64(pn_certificate_der(leaf)), "contentType", content ? content : CONTENT_PKCS12,
        "exportable", exportable, "attributes", attributes, "internal", "sealed",
        vault_base64(pn_buf_slice(&imported->sealed)), "chain", chain);
    rc = made ? PN_OK : PN_NOMEM;
    if (made && json_is_object(tags))
        json_object_set(json_object_get(made, "properties"), "tags", tags);
    *body = made;
out:
    json_decref(attributes);
    json_decref(chain);
    return rc;
}

/* What clients send as `value`: PEM text, base64 of PEM text, or base64 of a PFX. Sniffed, whatever
 * the policy says. */
static enum pn_rc decode_value(struct pn_slice value, struct pn_buf *file, struct pn_error *err)
{
    enum pn_rc rc;

    if (value.len > 2 * (size_t)PN_IMPORT_BYTES_MAX)
        return pn_error_set(err, PN_LIMIT, "BadParameter",
                            "Property value has invalid value: more than %u bytes",
                            PN_IMPORT_BYTES_MAX);
    if (pn_slice_find_slice(value, PN_LIT("-----BEGIN ")) < value.len)
        return pn_buf_append_slice(file, value);
    rc = pn_base64_decode(value, file);
    if (rc == PN_MALFORMED || (rc == PN_OK && file->len == 0))
        return pn_error_set(
            err, PN_INVALID, "BadParameter",
            "Property value has invalid value: neither base64 of a PKCS#12 file, nor "
            "PEM text, nor base64 of PEM text");
    return rc;
}

static enum pn_rc import_file(struct vault_call *call, const json_t *given, const char *id,
                              struct pn_imported *imported, struct pn_error *err)
{
    struct pn_slice value = pn_json_slice(given, "value");
    struct pn_slice password = pn_json_slice(given, "pwd");
    bool is_private = !pn_json_bool(json_object_get(json_object_get(given, "policy"), "key_props"),
                                    "exportable", true);
    struct pn_buf file;
    enum pn_rc rc;

    if (value.len == 0)
        return pn_error_set(err, PN_INVALID, "BadParameter",
                            "Property value has invalid value: it must hold the certificate");
    pn_buf_init_secret(&file, PN_IMPORT_BYTES_MAX);
    rc = decode_value(value, &file, err);
    if (rc == PN_OK) {
        rc = pn_keyholder_import_sealed(call->vault->keyholder, vault_context(id),
                                        pn_buf_slice(&file), password, is_private, imported, err);
        if (rc == PN_OK && imported->chain_count == 0)
            rc = pn_error_set(err, PN_INVALID, "no_certificate", "there is no certificate in it");
        if (rc != PN_OK && rc != PN_UNAVAILABLE && rc != PN_TIMEOUT && rc != PN_INTERNAL &&
            rc != PN_NOMEM) {
            pn_error_prefix(err,
                            "The content of the certificate cannot be read, or the password is "
                            "wrong");
            rc = PN_INVALID;
        }
    }
    pn_buf_fini(&file);
    return rc;
}

/* The policy of an import: what the certificate says, with what the request says over it. */
static enum pn_rc import_policy(struct vault_call *call, const struct pn_imported *imported,
                                const struct pn_certificate *leaf, const json_t *given,
                                json_t **policy, struct pn_error *err)
{
    const json_t *own = json_object_get(given, "policy");
    const char *content;
    enum pn_rc rc = PN_OK;

    *policy =
        vault_policy_of(call, leaf, imported->format == PN_FILE_PEM ? CONTENT_PEM : CONTENT_PKCS12);
    if (!*policy)
        return PN_NOMEM;
    if (json_is_object(own))
        rc = vault_policy_merge(*policy, own, err);
    content = pn_json_str(json_object_get(*policy, "secret_props"), "contentType");
    if (rc == PN_OK &&
        (!content || (strcmp(content, CONTENT_PEM) != 0 && strcmp(content, CONTENT_PKCS12) != 0)))
        rc = pn_error_set(
            err, PN_INVALID, "BadParameter",
            "Property policy.secret_props.contentType has invalid value: " CONTENT_PKCS12
            " or " CONTENT_PEM);
    return rc;
}

void vault_import_certificate(struct vault_call *call)
{
    char version[VERSION_TEXT], id[OBJECT_ID_TEXT];
    struct pn_certificate *leaf = NULL;
    struct pn_imported imported;
    struct pn_error err = {0};
    json_t *given, *policy = NULL, *body = NULL;
    enum pn_rc rc;

    given = vault_read_body(call);
    if (!given)
        return;
    memset(&imported, 0, sizeof imported);
    vault_new_version(version);
    vault_version_id(call, KIND_CERTIFICATE, version, id);
    rc = import_file(call, given, id, &imported, &err);
    if (rc == PN_OK)
        rc = pn_certificate_from_der(pn_buf_slice(&imported.chain[0]), &leaf, &err);
    if (rc == PN_OK)
        rc = import_policy(call, &imported, leaf, given, &policy, &err);
    if (rc == PN_OK)
        rc = vault_certificate_body(call, &imported, leaf, policy, given, &body, &err);
    if (rc == PN_OK)
        rc = vault_add_version(
            call,
            &(struct vault_addition){
                .kind = KIND_CERTIFICATE, .version = version, .body = body, .policy = policy},
            &err);
    if (rc == PN_OK)
        vault_answer_certificate(call, 200);
    else
        vault_answer_add_failure(call, KIND_CERTIFICATE, rc, &err);
    json_decref(body);
    json_decref(policy);
    json_decref(given);
    pn_certificate_unref(leaf);
    pn_imported_fini(&imported);
}

void vault_get_policy(struct vault_call *call)
{
    struct pn_store_item head = {0};

    if (vault_find_certificate(call, &head))
        vault_answer_json(call, 200, vault_certificate_policy(call, head.body));
    pn_store_item_fini(&head);
}

/* A change of the policy, by itself or with a version. PN_NOT_FOUND: the issuer that it names. */
static enum pn_rc change_certificate(struct vault_call *call, const struct vault_change *change,
                                     json_t **head, struct pn_error *err)
{
    enum pn_rc rc = change->policy ? vault_issuer_check(call, change->policy, err) : PN_OK;

    if (rc == PN_OK)
        rc = vault_change(call, change, head, NULL, err);
    if (rc == PN_OK && change->policy)
        vault_wake(call->vault);
    return rc;
}

void vault_update_policy(struct vault_call *call)
{
    struct vault_change change = {.kind = KIND_CERTIFICATE};
    json_t *given = vault_read_body(call), *changed = NULL;
    struct pn_store_item head = {0};
    struct pn_error err = {0};
    enum pn_rc rc;

    if (!given)
        return;
    if (vault_find_certificate(call, &head)) {
        change.policy = given;
        rc = change_certificate(call, &change, &changed, &err);
        if (rc == PN_OK)
            vault_answer_json(call, 200, vault_certificate_policy(call, changed));
        else
            vault_answer_failure(call, rc, &err);
    }
    json_decref(changed);
    json_decref(given);
    pn_store_item_fini(&head);
}

void vault_update_certificate(struct vault_call *call)
{
    struct pn_store_item head = {0}, item = {0};
    struct vault_change change = {.kind = KIND_CERTIFICATE};
    struct pn_error err = {0};
    json_t *given = vault_read_body(call), *policy;
    enum pn_rc rc;

    if (!given)
        return;
    rc = vault_find(call, KIND_CERTIFICATE, &head, &item, &err);
    policy = json_object_get(given, "policy");
    if (rc != PN_OK) {
        vault_answer_find_failure(call, KIND_CERTIFICATE, rc, &err);
    } else {
        change.version = vault_item_version(&item);
        change.given = given;
        change.policy = json_is_object(policy) ? policy : NULL;
        rc = change_certificate(call, &change, NULL, &err);
        if (rc == PN_OK)
            vault_answer_certificate(call, 200);
        else
            vault_answer_failure(call, rc, &err);
    }
    json_decref(given);
    pn_store_item_fini(&head);
    pn_store_item_fini(&item);
}

bool vault_find_certificate(struct vault_call *call, struct pn_store_item *head)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    enum pn_rc rc;

    call->version[0] = '\0';
    rc = vault_find(call, KIND_CERTIFICATE, head, &item, &err);
    pn_store_item_fini(&item);
    if (rc == PN_OK || (rc == PN_NOT_FOUND && head->body)) /* perhaps still being made */
        return true;
    vault_answer_find_failure(call, KIND_CERTIFICATE, rc, &err);
    return false;
}

void vault_get_certificate(struct vault_call *call)
{
    vault_answer_certificate(call, 200);
}

void vault_list_certificates(struct vault_call *call)
{
    vault_list_objects(call, KIND_CERTIFICATE, vault_certificate_item);
}

void vault_list_certificate_versions(struct vault_call *call)
{
    vault_list_versions(call, KIND_CERTIFICATE, vault_certificate_item);
}
