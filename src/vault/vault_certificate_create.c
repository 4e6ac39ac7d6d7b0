/* SPDX-License-Identifier: Apache-2.0
 *
 * Making certificates: self-signed and by our own CA at once, by others through a request that is
 * signed elsewhere and merged. One operation for each certificate, kept in its head as `pending`:
 *
 *   create ─▶ completed                            Self, our CA
 *   create ─▶ inProgress ─▶ completed (merge)      Unknown
 *                       └─▶ cancelled (PATCH), gone (DELETE)
 *   renewal by the clock ─▶ completed, or failed with its error
 */
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "certs/certificate.h"
#include "vault/vault_certificate.h"

#define SEALED_MAX  (2u * 1024 * 1024)
#define REQUEST_MAX (64u * 1024)

/* CertificateOperation. */
static json_t *operation(const struct vault_call *call, const json_t *head)
{
    static const char *const shown[] = {"issuer", "csr",        "cancellation_requested", "status",
                                        "error",  "request_id", "status_details",         NULL};
    const char *name = pn_json_str(head, "name");
    const json_t *pending = json_object_get(json_object_get(head, "properties"), "pending");
    char path[NAME_TEXT + 16];
    json_t *json;

    snprintf(path, sizeof path, "%s/pending", name);
    json = json_pack("{s:o}", "id", vault_url(call, "certificates", path, NULL));
    for (size_t i = 0; json && shown[i]; i++) {
        if (json_object_get(pending, shown[i]))
            json_object_set(json, shown[i], json_object_get(pending, shown[i]));
    }
    if (json && pn_slice_eq_str(pn_json_slice(pending, "status"), "completed"))
        json_object_set_new(json, "target", vault_url(call, "certificates", name, NULL));
    return json;
}

static json_t *new_pending(struct vault_call *call, const json_t *policy, const char *request_id,
                           const char *version, const char *status)
{
    return json_pack("{s:s, s:s, s:s, s:b, s:O, s:I}", "request_id", request_id, "version", version,
                     "status", status, "cancellation_requested", 0, "issuer",
                     json_object_get(policy, "issuer"), "created",
                     (json_int_t)call->vault->now_s());
}

/* The key that a new version gets, if its policy says to reuse that of the former one. `sealed` is
 * what it borrows. */
static enum pn_rc reused_key(struct vault_call *call, const json_t *policy,
                             struct pn_store_item *former, struct pn_buf *sealed,
                             struct pn_vault_key *key, bool *reuses, struct pn_error *err)
{
    struct pn_store_item head = {0};
    enum pn_rc rc;

    *reuses = false;
    if (!pn_json_bool(json_object_get(policy, "key_props"), "reuse_key", false))
        return PN_OK;
    call->version[0] = '\0';
    rc = vault_find(call, KIND_CERTIFICATE, &head, former, err);
    pn_store_item_fini(&head);
    if (rc == PN_NOT_FOUND)
        return PN_OK;
    if (rc == PN_OK)
        rc = vault_sealed_bytes(former, sealed, err);
    if (rc != PN_OK)
        return rc;
    *key = (struct pn_vault_key){.context = vault_context(former->id),
                                 .sealed = pn_buf_slice(sealed),
                                 .is_certificate = true};
    *reuses = true;
    return PN_OK;
}

/* Issues and stores a version; `given` may have attributes and tags. */
static enum pn_rc issue(struct vault_call *call, const json_t *policy, const json_t *given,
                        const char *expected, struct pn_error *err)
{
    char version[VERSION_TEXT], id[OBJECT_ID_TEXT], request_id[VERSION_TEXT];
    struct vault_addition addition = {
        .kind = KIND_CERTIFICATE, .version = version, .expected = expected};
    struct pn_store_item former = {0};
    struct pn_certificate *leaf = NULL;
    struct pn_vault_key key;
    struct pn_imported made;
    struct pn_buf sealed;
    bool reuses;
    enum pn_rc rc;

    memset(&made, 0, sizeof made);
    pn_buf_init(&sealed, SEALED_MAX);
    vault_new_version(version);
    vault_new_version(request_id);
    vault_version_id(call, KIND_CERTIFICATE, version, id);
    rc = reused_key(call, policy, &former, &sealed, &key, &reuses, err);
    if (rc == PN_OK)
        rc = vault_policy_issue(call, policy, vault_context(id), reuses ? &key : NULL, &made, err);
    if (rc == PN_OK)
        rc = pn_certificate_from_der(pn_buf_slice(&made.chain[0]), &leaf, err);
    if (rc == PN_OK)
        rc = vault_certificate_body(call, &made, leaf, policy, given, &addition.body, err);
    if (rc == PN_OK) {
        addition.policy = (json_t *)(uintptr_t)policy;
        addition.pending = new_pending(call, policy, request_id, version, "completed");
        rc = addition.pending ? vault_add_version(call, &addition, err) : PN_NOMEM;
    }
    json_decref(addition.pending);
    json_decref(addition.body);
    pn_certificate_unref(leaf);
    pn_imported_fini(&made);
    pn_buf_fini(&sealed);
    pn_store_item_fini(&former);
    return rc;
}

/* SHA-256 of the public key in a request: what the merged leaf must have. */
static json_t *key_id_of(struct pn_slice request)
{
    const unsigned char *at = (const unsigned char *)request.ptr;
    X509_REQ *read = d2i_X509_REQ(NULL, &at, (long)request.len);
    unsigned char *spki = NULL;
    int len = read ? i2d_PUBKEY(X509_REQ_get0_pubkey(read), &spki) : 0;
    char hex[65] = "";

    if (len > 0)
        pn_sha256_hex(pn_slice(spki, (size_t)len), hex);
    OPENSSL_free(spki);
    X509_REQ_free(read);
    ERR_clear_error();
    return json_string(hex);
}

/* Makes the request and the operation that waits for what becomes of it. */
static enum pn_rc begin(struct vault_call *call, const json_t *policy, const json_t *given,
                        struct pn_error *err)
{
    char version[VERSION_TEXT], request_id[VERSION_TEXT], place[OBJECT_ID_TEXT];
    struct vault_addition addition = {.kind = KIND_CERTIFICATE};
    struct pn_store_item former = {0};
    struct pn_buf old, request, sealed;
    struct pn_vault_key key;
    json_t *attributes = json_object();
    bool reuses;
    enum pn_rc rc;

    pn_buf_init(&old, SEALED_MAX);
    pn_buf_init(&request, REQUEST_MAX);
    pn_buf_init(&sealed, SEALED_MAX);
    vault_new_version(version);
    vault_new_version(request_id);
    snprintf(place, sizeof place, "vault/%s/pending/%s/%s", call->vault_name, call->key,
             request_id);
    rc = vault_read_attributes(json_object_get(given, "attributes"), attributes, err);
    if (rc == PN_OK)
        rc = vault_check_tags(json_object_get(given, "tags"), err);
    if (rc == PN_OK)
        rc = reused_key(call, policy, &former, &old, &key, &reuses, err);
    if (rc == PN_OK)
        rc = vault_policy_request(call, policy, pn_slice_str(place), reuses ? &key : NULL, &request,
                                  &sealed, err);
    if (rc == PN_OK) {
        addition.policy = (json_t *)(uintptr_t)policy;
        addition.pending = new_pending(call, policy, request_id, version, "inProgress");
        if (!addition.pending ||
            json_object_set_new(addition.pending, "csr", vault_base64(pn_buf_slice(&request))) !=
                0 ||
            json_object_set_new(addition.pending, "keyId", key_id_of(pn_buf_slice(&request))) !=
                0 ||
            json_object_set_new(addition.pending, "sealed", vault_base64(pn_buf_slice(&sealed))) !=
                0 ||
            json_object_set_new(
                addition.pending, "status_details",
                json_string("Pending certificate created. Please Perform Merge to complete the "
                            "request.")) != 0)
            rc = PN_NOMEM;
    }
    if (rc == PN_OK) { /* for the merge, which may leave them out */
        if (json_object_get(given, "attributes"))
            json_object_set(addition.pending, "attributes", json_object_get(given, "attributes"));
        if (json_object_get(given, "tags"))
            json_object_set(addition.pending, "tags", json_object_get(given, "tags"));
        rc = vault_add_version(call, &addition, err);
    }
    json_decref(addition.pending);
    json_decref(attributes);
    pn_buf_fini(&old);
    pn_buf_fini(&request);
    pn_buf_fini(&sealed);
    pn_store_item_fini(&former);
    return rc;
}

/* A client that has just asked is told to come back, also when all is done already. */
static json_t *begun(json_t *json)
{
    if (json) {
        json_object_set_new(json, "status", json_string("inProgress"));
        json_object_del(json, "target");
    }
    return json;
}

static void answer_created(struct vault_call *call)
{
    struct pn_slice api_version = pn_request_query(call->request, "api-version");
    struct pn_store_item head = {0};
    const char *request_id;

    if (!vault_find_certificate(call, &head))
        return;
    request_id = pn_json_str(json_object_get(json_object_get(head.body, "properties"), "pending"),
                             "request_id");
    if (pn_response_header(call->response, "Location",
                           "%.*s/certificates/%s/pending?api-version=%.*s&request_id=%s",
                           PN_FMT(call->origin), call->name, PN_FMT(api_version),
                           request_id ? request_id : "") != PN_OK ||
        pn_response_header(call->response, "Retry-After", "1") != PN_OK)
        call->response->status = 500;
    else
        vault_answer_json(call, 202, begun(operation(call, head.body)));
    pn_store_item_fini(&head);
}

void vault_create_certificate(struct vault_call *call)
{
    json_t *given = vault_read_body(call), *policy = NULL;
    const json_t *own;
    struct pn_store_item head = {0}, item = {0};
    struct pn_error err = {0}, none = {0};
    enum pn_rc rc = PN_OK;

    if (!given)
        return;
    /* Without a policy the certificate's own one is used again. */
    own = json_object_get(given, "policy");
    if (!json_is_object(own) && vault_find(call, KIND_CERTIFICATE, &head, &item, &none) == PN_OK)
        own = json_object_get(json_object_get(head.body, "properties"), "policy");
    rc = vault_policy_complete(call, own, &policy, &err);
    if (rc == PN_OK)
        rc = vault_issuer_check(call, policy, &err);
    if (rc == PN_OK && vault_source_of(policy) == SOURCE_UNKNOWN)
        rc = begin(call, policy, given, &err);
    else if (rc == PN_OK)
        rc = issue(call, policy, given, NULL, &err);
    if (rc == PN_OK)
        answer_created(call);
    else
        vault_answer_add_failure(call, KIND_CERTIFICATE, rc, &err);
    json_decref(policy);
    json_decref(given);
    pn_store_item_fini(&head);
    pn_store_item_fini(&item);
}

enum pn_rc vault_certificate_renew(struct vault_call *call, const json_t *head,
                                   const struct pn_store_item *former, struct pn_error *err)
{
    const json_t *properties = json_object_get(former->body, "properties");
    json_t *given = json_pack("{s:O*}", "tags", json_object_get(properties, "tags"));
    enum pn_rc rc = PN_NOMEM;

    if (given)
        rc = issue(call, json_object_get(json_object_get(head, "properties"), "policy"), given,
                   vault_item_version(former), err);
    json_decref(given);
    return rc;
}

/* --- the operation --- */

/* False: answered. */
static bool find_pending(struct vault_call *call, struct pn_store_item *head)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    enum pn_rc rc;

    call->version[0] = '\0';
    rc = vault_find(call, KIND_CERTIFICATE, head, &item, &err);
    pn_store_item_fini(&item);
    if (rc != PN_OK && rc != PN_NOT_FOUND) {
        vault_answer_failure(call, rc, &err);
        return false;
    }
    if (head->body && json_object_get(json_object_get(head->body, "properties"), "pending"))
        return true;
    vault_answer_error(call->response, 404, "PendingCertificateNotFound", NULL,
                       "Pending certificate not found: %s.", call->name);
    return false;
}

void vault_get_pending(struct vault_call *call)
{
    struct pn_store_item head = {0};

    if (find_pending(call, &head))
        vault_answer_json(call, 200, operation(call, head.body));
    pn_store_item_fini(&head);
}

void vault_update_pending(struct vault_call *call)
{
    struct vault_change change = {.kind = KIND_CERTIFICATE};
    struct pn_store_item head = {0};
    struct pn_error err = {0};
    json_t *given = vault_read_body(call), *changed = NULL;
    enum pn_rc rc;

    if (!given)
        return;
    change.cancels = json_object_get(given, "cancellation_requested");
    if (!json_is_boolean(change.cancels)) {
        vault_answer_error(call->response, 400, "BadParameter", NULL,
                           "Property cancellation_requested has invalid value: true or false.");
    } else if (find_pending(call, &head)) {
        rc = vault_change(call, &change, &changed, NULL, &err);
        if (rc == PN_OK)
            vault_answer_json(call, 200, operation(call, changed));
        else
            vault_answer_add_failure(call, KIND_CERTIFICATE, rc, &err);
    }
    json_decref(changed);
    json_decref(given);
    pn_store_item_fini(&head);
}

/* A certificate that never had a version goes with its operation. */
void vault_delete_pending(struct vault_call *call)
{
    const struct vault_change change = {.kind = KIND_CERTIFICATE, .drops_pending = true};
    struct pn_store_item head = {0};
    struct pn_error err = {0};
    enum pn_rc rc;

    if (find_pending(call, &head)) {
        rc = vault_change(call, &change, NULL, NULL, &err);
        if (rc == PN_OK)
            vault_answer_json(call, 200, operation(call, head.body));
        else
            vault_answer_add_failure(call, KIND_CERTIFICATE, rc, &err);
    }
    pn_store_item_fini(&head);
}

/* --- merge --- */

static enum pn_rc not_a_chain(struct pn_error *err)
{
    return pn_error_set(err, PN_INVALID, "BadParameter",
                        "Property x5c has invalid value: 1 to %d certificates, base64 of DER, the "
                        "one that was made for the request among them",
                        PN_CHAIN_MAX);
}

/* Reads x5c into `ders`; the certificate of our key comes first, the others keep their order. */
static enum pn_rc read_chain(const json_t *given, const char *key_id,
                             struct pn_buf ders[PN_CHAIN_MAX], struct pn_slice chain[PN_CHAIN_MAX],
                             size_t *count, struct pn_error *err)
{
    const json_t *list = json_object_get(given, "x5c");
    bool has_leaf = false;
    json_t *entry;
    size_t index;

    *count = json_array_size(list);
    if (*count == 0 || *count > PN_CHAIN_MAX)
        return not_a_chain(err);
    json_array_foreach(list, index, entry)
    {
        struct pn_certificate *certificate = NULL;
        struct pn_slice text = pn_slice(json_string_value(entry), json_string_length(entry));
        struct pn_slice der;

        if (text.len == 0 || pn_base64_decode(text, &ders[index]) != PN_OK ||
            pn_certificate_from_der(pn_buf_slice(&ders[index]), &certificate, err) != PN_OK)
            return not_a_chain(err);
        der = pn_buf_slice(&ders[index]);
        if (!has_leaf && key_id && strcmp(pn_certificate_key_id(certificate), key_id) == 0) {
            memmove(chain + 1, chain, index * sizeof *chain);
            chain[0] = der;
            has_leaf = true;
        } else {
            chain[index] = der;
        }
        pn_certificate_unref(certificate);
    }
    return has_leaf ? PN_OK : not_a_chain(err);
}

static enum pn_rc join(struct vault_call *call, const json_t *pending, const json_t *policy,
                       const char *id, const struct pn_slice *chain, size_t count,
                       struct pn_imported *made, struct pn_error *err)
{
    const char *content = pn_json_str(json_object_get(policy, "secret_props"), "contentType");
    bool is_private = !pn_json_bool(json_object_get(policy, "key_props"), "exportable", true);
    int format = content && strcmp(content, CONTENT_PEM) == 0 ? PN_FILE_PEM : PN_FILE_PKCS12;
    char place[OBJECT_ID_TEXT];
    struct pn_vault_key key = {0};
    struct pn_buf sealed;
    enum pn_rc rc;

    snprintf(place, sizeof place, "vault/%s/pending/%s/%s", call->vault_name, call->key,
             pn_json_str(pending, "request_id"));
    pn_buf_init(&sealed, SEALED_MAX);
    rc = pn_base64_decode(pn_json_slice(pending, "sealed"), &sealed);
    key.context = pn_slice_str(place);
    key.sealed = pn_buf_slice(&sealed);
    if (rc == PN_OK)
        rc = pn_keyholder_vault_merge(call->vault->keyholder, &key, vault_context(id), format,
                                      is_private, chain, count, made, err);
    pn_buf_fini(&sealed);
    return rc == PN_DENIED || rc == PN_MALFORMED ? PN_INTERNAL : rc;
}

static enum pn_rc merge(struct vault_call *call, const json_t *given, const json_t *head,
                        struct pn_error *err)
{
    const json_t *properties = json_object_get(head, "properties");
    const json_t *pending = json_object_get(properties, "pending");
    json_t *policy = json_object_get(properties, "policy");
    struct pn_buf ders[PN_CHAIN_MAX];
    struct pn_slice chain[PN_CHAIN_MAX] = {{0}};
    struct vault_addition addition = {.kind = KIND_CERTIFICATE,
                                      .version = pn_json_str(pending, "version"),
                                      .request_id = pn_json_str(pending, "request_id")};
    struct pn_certificate *leaf = NULL;
    struct pn_imported made;
    json_t *wanted;
    char id[OBJECT_ID_TEXT];
    size_t count = 0;
    enum pn_rc rc;

    if (!pn_slice_eq_str(pn_json_slice(pending, "status"), "inProgress"))
        return pn_error_set(err, PN_CONFLICT, "pending",
                            "The certificate operation is no longer in progress.");
    memset(&made, 0, sizeof made);
    for (size_t i = 0; i < PN_CHAIN_MAX; i++)
        pn_buf_init(&ders[i], PN_CERTIFICATE_BYTES_MAX);
    vault_version_id(call, KIND_CERTIFICATE, addition.version, id);
    /* What create said holds where merge says nothing. */
    wanted = json_pack("{s:O*, s:O*}", "attributes", json_object_get(pending, "attributes"), "tags",
                       json_object_get(pending, "tags"));
    if (json_is_object(json_object_get(given, "attributes")))
        json_object_set(wanted, "attributes", json_object_get(given, "attributes"));
    if (json_is_object(json_object_get(given, "tags")))
        json_object_set(wanted, "tags", json_object_get(given, "tags"));
    rc = read_chain(given, pn_json_str(pending, "keyId"), ders, chain, &count, err);
    if (rc == PN_OK)
        rc = join(call, pending, policy, id, chain, count, &made, err);
    if (rc == PN_OK)
        rc = pn_certificate_from_der(pn_buf_slice(&made.chain[0]), &leaf, err);
    if (rc == PN_OK)
        rc = vault_certificate_body(call, &made, leaf, policy, wanted, &addition.body, err);
    if (rc == PN_OK) {
        addition.pending =
            new_pending(call, policy, addition.request_id, addition.version, "completed");
        if (addition.pending)
            json_object_set(addition.pending, "csr", json_object_get(pending, "csr"));
        rc = addition.pending ? vault_add_version(call, &addition, err) : PN_NOMEM;
    }
    json_decref(wanted);
    json_decref(addition.pending);
    json_decref(addition.body);
    pn_certificate_unref(leaf);
    pn_imported_fini(&made);
    for (size_t i = 0; i < PN_CHAIN_MAX; i++)
        pn_buf_fini(&ders[i]);
    return rc;
}

void vault_merge_certificate(struct vault_call *call)
{
    json_t *given = vault_read_body(call);
    struct pn_store_item head = {0};
    struct pn_error err = {0};
    enum pn_rc rc;

    if (!given)
        return;
    if (find_pending(call, &head)) {
        rc = merge(call, given, head.body, &err);
        if (rc == PN_OK)
            vault_answer_certificate(call, 201);
        else
            vault_answer_add_failure(call, KIND_CERTIFICATE, rc, &err);
    }
    json_decref(given);
    pn_store_item_fini(&head);
}
