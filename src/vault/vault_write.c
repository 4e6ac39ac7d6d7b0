/* SPDX-License-Identifier: Apache-2.0
 *
 * Objects of a vault: new versions and changes, each in one transaction with the head and the
 * events that follow from it.
 */
#include <stdio.h>
#include <string.h>

#include "vault/vault_internal.h"

/* --- may this name be used --- */

static enum pn_rc conflict(struct pn_error *err, const char *code, const char *message)
{
    return pn_error_set(err, PN_CONFLICT, code, "%s", message);
}

/* Is there a head of `kind`, live or deleted? */
static enum pn_rc look(struct vault_call *call, struct pn_store_txn *txn, enum vault_kind kind,
                       bool is_deleted, enum vault_kind *found, bool *is_there,
                       struct pn_error *err)
{
    struct pn_store_item item = {0};
    char id[OBJECT_ID_TEXT];
    enum pn_rc rc;

    if (is_deleted)
        vault_deleted_id(call, kind, id);
    else
        vault_head_id(call, kind, id);
    rc = pn_store_txn_get(txn, id, &item, err);
    *is_there = rc == PN_OK && vault_kind_of(&item, found);
    pn_store_item_fini(&item);
    return rc == PN_NOT_FOUND ? PN_OK : rc;
}

enum pn_rc vault_check_there(const struct vault_call *call, struct pn_store_txn *txn,
                             struct pn_error *err)
{
    struct pn_store_item now = {0};
    enum pn_rc rc = pn_store_txn_get(txn, call->item.id, &now, err);
    bool is_same = rc == PN_OK && now.created_s == call->item.created_s;

    pn_store_item_fini(&now);
    if (rc == PN_NOT_FOUND || (rc == PN_OK && !is_same))
        return conflict(err, "gone", "The key vault was deleted meanwhile.");
    return rc;
}

enum pn_rc vault_check_name(struct vault_call *call, struct pn_store_txn *txn, enum vault_kind kind,
                            struct pn_error *err)
{
    /* Which folder of names, and whether only certificates matter in it. */
    const enum vault_kind folders[] = {KIND_SECRET, KIND_KEY};
    enum pn_rc there = vault_check_there(call, txn, err);

    if (there != PN_OK)
        return there;
    for (size_t i = 0; i < 2; i++) {
        for (int is_deleted = 0; is_deleted < 2; is_deleted++) {
            enum vault_kind found = KIND_SECRET;
            bool is_there, is_own = (folders[i] == KIND_KEY) == (kind == KIND_KEY);
            enum pn_rc rc = look(call, txn, folders[i], is_deleted, &found, &is_there, err);

            if (rc != PN_OK)
                return rc;
            /* A secret and a key are two things; a certificate is all three. */
            if (!is_there || (!is_own && kind != KIND_CERTIFICATE && found != KIND_CERTIFICATE))
                continue;
            if (is_deleted)
                return conflict(err, "deleted", vault_kinds[found].word);
            if (found != kind)
                return conflict(err, found == KIND_CERTIFICATE ? "managed" : "taken",
                                vault_kinds[found].word);
        }
    }
    return PN_OK;
}

void vault_answer_add_failure(struct vault_call *call, enum vault_kind kind, enum pn_rc rc,
                              const struct pn_error *err)
{
    struct pn_response *response = call->response;
    const char *word = vault_kinds[kind].word;

    if (rc != PN_CONFLICT)
        vault_answer_failure(call, rc, err);
    else if (strcmp(err->code, "deleted") == 0)
        vault_answer_error(response, 409, "Conflict", "ObjectIsDeletedButRecoverable",
                           "%c%s %s is currently in a deleted but recoverable state, and its name "
                           "cannot be reused; in this state, the %s can only be recovered or "
                           "purged.",
                           err->message[0] - 32, err->message + 1, call->name, err->message);
    else if (strcmp(err->code, "managed") == 0)
        vault_answer_error(response, 403, "Forbidden",
                           kind == KIND_KEY ? "ManagedKey" : "ManagedSecret",
                           "The %s %s belongs to the certificate of that name and changes only "
                           "with it: import or create a new version of the certificate.",
                           word, call->name);
    else if (strcmp(err->code, "taken") == 0)
        vault_answer_error(response, 409, "Conflict", NULL,
                           "A %s named %s exists in this key vault: a %s needs a name of "
                           "its own.",
                           err->message, call->name, word);
    else
        vault_answer_error(response, 409, "Conflict", NULL, "%s", err->message);
}

/* --- heads --- */

/* The issuer is in use as long as a policy names it. */
static const char *issuer_of(const json_t *head)
{
    const char *name = pn_json_str(
        json_object_get(json_object_get(json_object_get(head, "properties"), "policy"), "issuer"),
        "name");

    return !name || pn_slice_case_eq_str(pn_slice_str(name), "Self") ||
                   pn_slice_case_eq_str(pn_slice_str(name), "Unknown")
               ? NULL
               : name;
}

enum pn_rc vault_put_head(struct vault_call *call, struct pn_store_txn *txn, enum vault_kind kind,
                          json_t *head, const json_t *version, struct pn_error *err)
{
    char id[OBJECT_ID_TEXT], issuer_id[OBJECT_ID_TEXT];
    const char *references[2] = {NULL, NULL};
    const char *issuer = issuer_of(head);
    int64_t due = vault_head_due(head, kind, version);
    json_t *internal = json_object_get(head, "internal");

    if (!internal) {
        internal = json_object();
        if (json_object_set_new(head, "internal", internal) != 0)
            return PN_NOMEM;
    }
    json_object_del(internal, "due");
    if (due > 0 && json_object_set_new(internal, "due", json_integer((json_int_t)due)) != 0)
        return PN_NOMEM;
    if (issuer) {
        snprintf(issuer_id, sizeof issuer_id, "/vault/%s/issuers/%s", call->vault_name, issuer);
        references[0] = issuer_id;
    }
    vault_head_id(call, kind, id);
    return pn_store_put(txn, id, vault_kinds[kind].head_type, head, references, err);
}

/* The head as it will be: a new one, or the stored one. */
static enum pn_rc next_head(struct vault_call *call, struct pn_store_txn *txn, enum vault_kind kind,
                            json_t **head, struct pn_error *err)
{
    struct pn_store_item item = {0};
    char id[OBJECT_ID_TEXT];
    enum pn_rc rc = vault_check_name(call, txn, kind, err);

    if (rc != PN_OK)
        return rc;
    vault_head_id(call, kind, id);
    rc = pn_store_txn_get(txn, id, &item, err);
    if (rc == PN_NOT_FOUND) {
        *head = json_pack("{s:s, s:{s:s, s:i, s:i}}", "name", call->name, "properties", "kind",
                          vault_kinds[kind].word, "versions", 0, "order", 0);
        return *head ? PN_OK : PN_NOMEM;
    }
    if (rc == PN_OK)
        *head = json_incref(item.body);
    pn_store_item_fini(&item);
    return rc;
}

static bool same_text(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static enum pn_rc check_addition(const struct vault_addition *addition, const json_t *properties,
                                 struct pn_error *err)
{
    const json_t *pending = json_object_get(properties, "pending");
    const char *status = pn_json_str(pending, "status");

    if (addition->expected && !same_text(pn_json_str(properties, "latest"), addition->expected))
        return conflict(err, "moved", "There is a newer version meanwhile.");
    if (addition->request_id &&
        (!same_text(pn_json_str(pending, "request_id"), addition->request_id) ||
         !same_text(status, "inProgress")))
        return conflict(err, "pending", "The certificate operation is no longer in progress.");
    if (!addition->request_id && addition->pending && same_text(status, "inProgress"))
        return conflict(err, "pending",
                        "A certificate operation is in progress: wait for it, cancel it or "
                        "delete it.");
    return PN_OK;
}

static enum pn_rc fill_head(const struct vault_addition *addition, json_t *properties,
                            int64_t order, int64_t versions)
{
    bool is_fine =
        json_object_set_new(properties, "order", json_integer((json_int_t)order)) == 0 &&
        json_object_set_new(properties, "versions", json_integer((json_int_t)versions)) == 0 &&
        json_object_set_new(properties, "latest", json_string(addition->version)) == 0 &&
        (!addition->policy || json_object_set(properties, "policy", addition->policy) == 0) &&
        (!addition->pending || json_object_set(properties, "pending", addition->pending) == 0) &&
        json_object_set_new(json_object_get(addition->body, "internal"), "order",
                            json_integer((json_int_t)order)) == 0;

    return is_fine ? PN_OK : PN_NOMEM;
}

/* The latest version's body, if there is one: vault_put_head() wants it. */
static enum pn_rc read_latest(struct vault_call *call, struct pn_store_txn *txn,
                              enum vault_kind kind, const json_t *head, struct pn_store_item *item,
                              struct pn_error *err)
{
    const char *latest = pn_json_str(json_object_get(head, "properties"), "latest");
    char id[OBJECT_ID_TEXT];

    if (!latest)
        return PN_OK;
    vault_version_id(call, kind, latest, id);
    return pn_store_txn_get(txn, id, item, err);
}

static enum pn_rc begin_operation(struct vault_call *call, struct pn_store_txn *txn,
                                  const struct vault_addition *addition, json_t *head,
                                  struct pn_error *err)
{
    json_t *properties = json_object_get(head, "properties");
    struct pn_store_item latest = {0};
    enum pn_rc rc = read_latest(call, txn, addition->kind, head, &latest, err);

    if (rc == PN_OK && (json_object_set(properties, "policy", addition->policy) != 0 ||
                        json_object_set(properties, "pending", addition->pending) != 0))
        rc = PN_NOMEM;
    if (rc == PN_OK)
        rc = vault_put_head(call, txn, addition->kind, head, latest.body, err);
    pn_store_item_fini(&latest);
    return rc;
}

static enum pn_rc put_version(struct vault_call *call, struct pn_store_txn *txn,
                              const struct vault_addition *addition, struct pn_error *err)
{
    enum vault_kind kind = addition->kind;
    char id[OBJECT_ID_TEXT];
    json_t *head = NULL, *properties;
    int64_t order, versions;
    enum pn_rc rc = next_head(call, txn, kind, &head, err);

    if (rc != PN_OK)
        return rc;
    properties = json_object_get(head, "properties");
    order = pn_json_int(properties, "order", 0) + 1;
    versions = pn_json_int(properties, "versions", 0) + 1;
    rc = check_addition(addition, properties, err);
    if (rc == PN_OK && !addition->version) { /* an operation begins */
        rc = begin_operation(call, txn, addition, head, err);
        json_decref(head);
        return rc;
    }
    if (rc == PN_OK && versions > PN_VAULT_VERSIONS_MAX)
        rc = pn_error_set(err, PN_LIMIT, "BadParameter",
                          "%s has %d versions already, the most there may be", call->name,
                          PN_VAULT_VERSIONS_MAX);
    if (rc == PN_OK)
        rc = fill_head(addition, properties, order, versions);
    vault_version_id(call, kind, addition->version, id);
    if (rc == PN_OK)
        rc = pn_store_put(txn, id, vault_kinds[kind].version_type, addition->body, NULL, err);
    if (rc == PN_OK)
        rc = vault_put_head(call, txn, kind, head, addition->body, err);
    if (rc == PN_OK)
        rc = vault_event_put(
            call, txn, kind, "NewVersionCreated", pn_json_str(head, "name"), addition->version,
            json_object_get(json_object_get(addition->body, "properties"), "attributes"), err);
    json_decref(head);
    return rc;
}

enum pn_rc vault_add_version(struct vault_call *call, const struct vault_addition *addition,
                             struct pn_error *err)
{
    struct pn_vault *vault = call->vault;
    struct pn_store_txn *txn = NULL;
    enum pn_rc rc = pn_store_begin(vault->store, &txn, err);

    if (rc != PN_OK)
        return rc;
    rc = put_version(call, txn, addition, err);
    if (rc != PN_OK) {
        pn_store_rollback(txn);
        return rc;
    }
    rc = pn_store_commit(txn, NULL, err);
    if (rc == PN_OK)
        vault_tell_change(call);
    return rc;
}

void vault_tell_change(struct vault_call *call)
{
    if (call->vault->on_change)
        call->vault->on_change(call->vault->on_change_ctx, call->vault_name, call->key);
    vault_wake(call->vault);
}

/* --- changes --- */

static enum pn_rc change_pending(const struct vault_change *change, json_t *properties,
                                 struct pn_error *err)
{
    json_t *pending = json_object_get(properties, "pending");

    if (!pending && (change->cancels || change->drops_pending))
        return pn_error_set(err, PN_NOT_FOUND, "pending", "there is no operation");
    if (change->drops_pending) {
        json_object_del(properties, "pending");
        return PN_OK;
    }
    if (!change->cancels)
        return PN_OK;
    /* Of one that is over the wish is noted, and nothing else: it came too late. */
    if (json_object_set(pending, "cancellation_requested", (json_t *)(uintptr_t)change->cancels) !=
            0 ||
        (json_is_true(change->cancels) && same_text(pn_json_str(pending, "status"), "inProgress") &&
         json_object_set_new(pending, "status", json_string("cancelled")) != 0))
        return PN_NOMEM;
    return PN_OK;
}

static enum pn_rc change_head(struct vault_call *call, const struct vault_change *change,
                              json_t *head, struct pn_error *err)
{
    json_t *properties = json_object_get(head, "properties");
    json_t *policy = json_object_get(properties, "policy");
    enum pn_rc rc = PN_OK;

    if (change->policy) {
        rc = vault_policy_change(policy, change->policy, err);
        json_object_set_new(json_object_get(policy, "attributes"), "updated",
                            json_integer((json_int_t)call->vault->now_s()));
    }
    if (rc == PN_OK && change->rotation &&
        json_object_set(properties, "rotation", (json_t *)(uintptr_t)change->rotation) != 0)
        rc = PN_NOMEM;
    if (rc == PN_OK)
        rc = change_pending(change, properties, err);
    return rc;
}

static enum pn_rc change_version(struct vault_call *call, const struct vault_change *change,
                                 const char *type, json_t *body, struct pn_error *err)
{
    const json_t *given = change->given;
    json_t *tags = json_object_get(given, "tags");
    json_t *content_type = json_object_get(given, "contentType");
    json_t *operations = json_object_get(given, "key_ops");
    json_t *properties = json_object_get(body, "properties");
    json_t *attributes = json_object_get(properties, "attributes");
    enum pn_rc rc = vault_read_attributes(json_object_get(given, "attributes"), attributes, err);

    if (rc == PN_OK)
        rc = vault_check_tags(tags, err);
    if (rc == PN_OK &&
        ((tags && json_object_set(properties, "tags", tags) != 0) ||
         (json_is_string(content_type) && strcmp(type, SECRET_TYPE) == 0 &&
          json_object_set(properties, "contentType", content_type) != 0) ||
         (json_is_array(operations) && strcmp(type, KEY_TYPE) == 0 &&
          json_object_set(json_object_get(properties, "key"), "key_ops", operations) != 0) ||
         json_object_set_new(attributes, "updated",
                             json_integer((json_int_t)call->vault->now_s())) != 0))
        rc = PN_NOMEM;
    return rc;
}

static enum pn_rc change_all(struct vault_call *call, struct pn_store_txn *txn,
                             const struct vault_change *change, json_t **head_body,
                             json_t **version_body, struct pn_error *err)
{
    struct pn_store_item head = {0}, version = {0}, latest = {0};
    char id[OBJECT_ID_TEXT];
    enum pn_rc rc;

    vault_head_id(call, change->kind, id);
    rc = pn_store_txn_get(txn, id, &head, err);
    if (rc == PN_OK)
        rc = change_head(call, change, head.body, err);
    if (rc == PN_OK && change->version) {
        vault_version_id(call, change->kind, change->version, id);
        rc = pn_store_txn_get(txn, id, &version, err);
        if (rc == PN_OK)
            rc = change_version(call, change, version.type, version.body, err);
        if (rc == PN_OK)
            rc = pn_store_put(txn, version.id, version.type, version.body, NULL, err);
    }
    if (rc == PN_OK)
        rc = read_latest(call, txn, change->kind, head.body, &latest, err);
    if (rc == PN_OK && change->drops_pending && !latest.body)
        rc = pn_store_erase(txn, head.id, err); /* it never was a certificate */
    else if (rc == PN_OK)
        rc = vault_put_head(call, txn, change->kind, head.body, latest.body, err);
    if (rc == PN_OK && head_body)
        *head_body = json_incref(head.body);
    if (rc == PN_OK && version_body)
        *version_body = json_incref(version.body);
    pn_store_item_fini(&head);
    pn_store_item_fini(&version);
    pn_store_item_fini(&latest);
    return rc;
}

enum pn_rc vault_change(struct vault_call *call, const struct vault_change *change, json_t **head,
                        json_t **version, struct pn_error *err)
{
    struct pn_store_txn *txn = NULL;
    enum pn_rc rc = pn_store_begin(call->vault->store, &txn, err);

    if (rc != PN_OK)
        return rc;
    rc = change_all(call, txn, change, head, version, err);
    if (rc != PN_OK) {
        pn_store_rollback(txn);
        return rc;
    }
    rc = pn_store_commit(txn, NULL, err);
    if (rc == PN_OK && change->version)
        vault_tell_change(call);
    return rc;
}
