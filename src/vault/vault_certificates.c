/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates: import, create (self-signed), get, update, policy, versions, list.
 */
#include <stdio.h>
#include <string.h>

#include "certs/certificate.h"
#include "vault/vault_internal.h"

#define SEALED_MAX (2u * 1024 * 1024)

static json_t *x5t_of(const struct pn_certificate *certificate)
{
    struct pn_buf text;
    json_t *json = NULL;

    pn_buf_init(&text, 64);
    if (pn_base64url_encode(pn_slice(pn_certificate_thumbprint_bytes(certificate), PN_SHA1_BYTES),
                            &text) == PN_OK)
        json = pn_json_from_slice(pn_buf_slice(&text));
    pn_buf_fini(&text);
    return json;
}

static json_t *base64_of(struct pn_slice bytes)
{
    struct pn_buf text;
    json_t *json = NULL;

    pn_buf_init(&text, SEALED_MAX);
    if (pn_base64_encode(bytes, &text) == PN_OK)
        json = pn_json_from_slice(pn_buf_slice(&text));
    pn_buf_fini(&text);
    return json;
}

/* CertificateItem */
static json_t *certificate_item(const struct vault_call *call, const struct pn_store_item *item,
                                const char *name, bool with_version)
{
    const json_t *properties = json_object_get(item->body, "properties");
    json_t *tags = json_object_get(properties, "tags");
    json_t *json = json_pack(
        "{s:o, s:O, s:O}", "id",
        vault_url(call, "certificates", name, with_version ? vault_item_version(item) : NULL),
        "x5t", json_object_get(properties, "x5t"), "attributes",
        json_object_get(properties, "attributes"));

    if (json && json_is_object(tags))
        json_object_set(json, "tags", tags);
    return json;
}

static json_t *policy_answer(const struct vault_call *call, const json_t *head_body)
{
    const char *name = pn_json_str(head_body, "name");
    json_t *policy =
        json_deep_copy(json_object_get(json_object_get(head_body, "properties"), "policy"));

    if (policy)
        json_object_set_new(policy, "id", vault_url(call, "certificates", name, "policy"));
    return policy;
}

/* CertificateBundle */
static json_t *bundle(const struct vault_call *call, const json_t *head_body,
                      const struct pn_store_item *item)
{
    const json_t *properties = json_object_get(item->body, "properties");
    const char *name = pn_json_str(head_body, "name");
    const char *version = vault_item_version(item);
    json_t *json = certificate_item(call, item, name, true);
    json_t *policy = policy_answer(call, head_body);

    if (!json) {
        json_decref(policy);
        return NULL;
    }
    json_object_set_new(json, "kid", vault_url(call, "keys", name, version));
    json_object_set_new(json, "sid", vault_url(call, "secrets", name, version));
    json_object_set(json, "cer", json_object_get(properties, "cer"));
    json_object_set(json, "contentType", json_object_get(properties, "contentType"));
    if (policy)
        json_object_set_new(json, "policy", policy);
    if (json_object_get(json_object_get(head_body, "properties"), "pending"))
        json_object_set_new(
            json, "pending",
            json_pack("{s:o}", "id", vault_url(call, "certificates", name, "pending")));
    return json;
}

/* Reads the object anew and answers its bundle. */
static void answer_bundle(struct vault_call *call, int status)
{
    struct pn_store_item head = {0}, item = {0};
    struct pn_error err = {0};
    enum pn_rc rc = vault_find(call, "certificates", &head, &item, &err);

    if (rc == PN_NOT_FOUND)
        vault_answer_not_found(call, "certificates");
    else if (rc != PN_OK)
        vault_answer_failure(call, rc, &err);
    else
        vault_answer_json(call, status, bundle(call, head.body, &item));
    pn_store_item_fini(&head);
    pn_store_item_fini(&item);
}

/* The stored body of a version. `given` may have attributes and tags. */
static enum pn_rc version_body(struct vault_call *call, const struct pn_imported *imported,
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
        json_array_append_new(chain, base64_of(pn_buf_slice(&imported->chain[i])));
    made = json_pack("{s:s, s:{s:o, s:o, s:s, s:b, s:O}, s:{s:o, s:O}}", "name", call->name,
                     "properties", "x5t", x5t_of(leaf), "cer", base64_of(pn_certificate_der(leaf)),
                     "contentType", content ? content : CONTENT_PKCS12, "exportable", exportable,
                     "attributes", attributes, "internal", "sealed",
                     base64_of(pn_buf_slice(&imported->sealed)), "chain", chain);
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
    struct pn_buf file;
    enum pn_rc rc;

    if (value.len == 0)
        return pn_error_set(err, PN_INVALID, "BadParameter",
                            "Property value has invalid value: it must hold the certificate");
    pn_buf_init_secret(&file, PN_IMPORT_BYTES_MAX);
    rc = decode_value(value, &file, err);
    if (rc == PN_OK) {
        rc = pn_keyholder_import_sealed(call->vault->keyholder, vault_context(id),
                                        pn_buf_slice(&file), password, imported, err);
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
    vault_version_id(call, "certificates", version, id);
    rc = import_file(call, given, id, &imported, &err);
    if (rc == PN_OK)
        rc = pn_certificate_from_der(pn_buf_slice(&imported.chain[0]), &leaf, &err);
    if (rc == PN_OK)
        rc = import_policy(call, &imported, leaf, given, &policy, &err);
    if (rc == PN_OK)
        rc = version_body(call, &imported, leaf, policy, given, &body, &err);
    if (rc == PN_OK)
        rc = vault_add_version(call, "certificate", version, body, policy, NULL, &err);
    if (rc == PN_OK)
        answer_bundle(call, 200);
    else
        vault_answer_add_failure(call, "certificate", rc, &err);
    json_decref(body);
    json_decref(policy);
    json_decref(given);
    pn_certificate_unref(leaf);
    pn_imported_fini(&imported);
}

/* CertificateOperation. */
static json_t *operation(const struct vault_call *call, const char *name, const json_t *pending,
                         const char *status)
{
    bool is_done = strcmp(status, "completed") == 0;
    json_t *json = json_pack("{s:o, s:{s:s}, s:b, s:s, s:O}", "id",
                             vault_url(call, "certificates", name, "pending"), "issuer", "name",
                             "Self", "cancellation_requested", 0, "status", status, "request_id",
                             json_object_get(pending, "request_id"));

    if (json && is_done)
        json_object_set_new(json, "target", vault_url(call, "certificates", name, NULL));
    return json;
}

static void answer_created(struct vault_call *call, const json_t *pending)
{
    struct pn_slice api_version = pn_request_query(call->request, "api-version");

    if (pn_response_header(call->response, "Location",
                           "%.*s/certificates/%s/pending?api-version=%.*s&request_id=%s",
                           PN_FMT(call->request->origin), call->name, PN_FMT(api_version),
                           pn_json_str(pending, "request_id")) != PN_OK ||
        pn_response_header(call->response, "Retry-After", "1") != PN_OK) {
        call->response->status = 500;
        return;
    }
    vault_answer_json(call, 202, operation(call, call->name, pending, "inProgress"));
}

/* The key is made before the answer; the operation that clients then poll is already completed. */
void vault_create_certificate(struct vault_call *call)
{
    char version[VERSION_TEXT], id[OBJECT_ID_TEXT], request_id[VERSION_TEXT];
    struct pn_certificate *leaf = NULL;
    struct pn_imported made;
    struct pn_error err = {0};
    json_t *given, *policy = NULL, *body = NULL, *pending = NULL;
    enum pn_rc rc;

    given = vault_read_body(call);
    if (!given)
        return;
    memset(&made, 0, sizeof made);
    vault_new_version(version);
    vault_new_version(request_id);
    vault_version_id(call, "certificates", version, id);
    pending = json_pack("{s:s, s:s}", "request_id", request_id, "version", version);
    rc = pending ? vault_policy_complete(call, json_object_get(given, "policy"), &policy, &err)
                 : PN_NOMEM;
    if (rc == PN_OK)
        rc = vault_policy_issue(call, policy, vault_context(id), &made, &err);
    if (rc == PN_OK)
        rc = pn_certificate_from_der(pn_buf_slice(&made.chain[0]), &leaf, &err);
    if (rc == PN_OK)
        rc = version_body(call, &made, leaf, policy, given, &body, &err);
    if (rc == PN_OK)
        rc = vault_add_version(call, "certificate", version, body, policy, pending, &err);
    if (rc == PN_OK)
        answer_created(call, pending);
    else
        vault_answer_add_failure(call, "certificate", rc, &err);
    json_decref(pending);
    json_decref(body);
    json_decref(policy);
    json_decref(given);
    pn_certificate_unref(leaf);
    pn_imported_fini(&made);
}

static void patch_policy(struct vault_call *call, const struct pn_store_item *head)
{
    struct vault_change change = {.head_id = head->id};
    struct pn_error err = {0};
    json_t *given = vault_read_body(call), *changed = NULL;
    enum pn_rc rc;

    if (!given)
        return;
    change.policy = given;
    rc = vault_change(call, &change, &changed, NULL, &err);
    if (rc == PN_OK)
        vault_answer_json(call, 200, policy_answer(call, changed));
    else
        vault_answer_failure(call, rc, &err);
    json_decref(changed);
    json_decref(given);
}

static void handle_pending(struct vault_call *call, const struct pn_store_item *head)
{
    const struct vault_change change = {.head_id = head->id, .drops_pending = true};
    json_t *pending = json_object_get(json_object_get(head->body, "properties"), "pending");
    struct pn_error err = {0};
    enum pn_rc rc = PN_OK;

    if (!pending) {
        vault_answer_error(call->response, 404, "PendingCertificateNotFound", NULL,
                           "Pending certificate not found: %s.", call->name);
        return;
    }
    if (pn_slice_eq_str(call->request->method, "DELETE"))
        rc = vault_change(call, &change, NULL, NULL, &err);
    if (rc == PN_OK)
        vault_answer_json(call, 200,
                          operation(call, pn_json_str(head->body, "name"), pending, "completed"));
    else
        vault_answer_failure(call, rc, &err);
}

/* The head of the certificate. False: answered. */
static bool find_head(struct vault_call *call, bool is_policy, struct pn_store_item *head)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    enum pn_rc rc = vault_find(call, "certificates", head, &item, &err);

    pn_store_item_fini(&item);
    if (rc == PN_OK)
        return true;
    if (rc == PN_NOT_FOUND && !is_policy)
        vault_answer_error(call->response, 404, "PendingCertificateNotFound", NULL,
                           "Pending certificate not found: %s.", call->name);
    else if (rc == PN_NOT_FOUND)
        vault_answer_not_found(call, "certificates");
    else
        vault_answer_failure(call, rc, &err);
    return false;
}

void vault_get_policy(struct vault_call *call)
{
    struct pn_store_item head = {0};

    if (find_head(call, true, &head))
        vault_answer_json(call, 200, policy_answer(call, head.body));
    pn_store_item_fini(&head);
}

void vault_update_policy(struct vault_call *call)
{
    struct pn_store_item head = {0};

    if (find_head(call, true, &head))
        patch_policy(call, &head);
    pn_store_item_fini(&head);
}

void vault_get_pending(struct vault_call *call)
{
    struct pn_store_item head = {0};

    if (find_head(call, false, &head))
        handle_pending(call, &head);
    pn_store_item_fini(&head);
}

void vault_delete_pending(struct vault_call *call)
{
    vault_get_pending(call);
}

void vault_update_certificate(struct vault_call *call)
{
    struct pn_store_item head = {0}, item = {0};
    struct vault_change change = {0};
    struct pn_error err = {0};
    json_t *given, *policy;
    enum pn_rc rc;

    given = vault_read_body(call);
    if (!given)
        return;
    rc = vault_find(call, "certificates", &head, &item, &err);
    policy = json_object_get(given, "policy");
    if (rc == PN_OK) {
        change = (struct vault_change){.version_id = item.id, .given = given};
        if (json_is_object(policy)) {
            change.head_id = head.id;
            change.policy = policy;
        }
        rc = vault_change(call, &change, NULL, NULL, &err);
    }
    if (rc == PN_NOT_FOUND)
        vault_answer_not_found(call, "certificates");
    else if (rc != PN_OK)
        vault_answer_failure(call, rc, &err);
    else
        answer_bundle(call, 200);
    json_decref(given);
    pn_store_item_fini(&head);
    pn_store_item_fini(&item);
}

void vault_get_certificate(struct vault_call *call)
{
    answer_bundle(call, 200);
}

void vault_list_certificates(struct vault_call *call)
{
    vault_list_objects(call, "certificates", certificate_item);
}

void vault_list_certificate_versions(struct vault_call *call)
{
    vault_list_versions(call, "certificates", certificate_item);
}
