/* SPDX-License-Identifier: Apache-2.0
 *
 * Soft delete, for all three kinds: a deleted object is its head in another folder, with a date of
 * purge; its versions stay until then. A certificate's secret and key go, come back and are purged
 * with it.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "vault/vault_internal.h"

#define DAY_S 86400

json_t *vault_add_deletion(const struct vault_call *call, enum vault_kind kind,
                           const json_t *deleted_head, json_t *json)
{
    const json_t *internal = json_object_get(deleted_head, "internal");
    char collection[32];

    if (!json)
        return NULL;
    snprintf(collection, sizeof collection, "deleted%s", vault_kinds[kind].collection);
    json_object_set_new(json, "recoveryId",
                        vault_url(call, collection, pn_json_str(deleted_head, "name"), NULL));
    json_object_set(json, "deletedDate", json_object_get(internal, "deletedDate"));
    json_object_set(json, "scheduledPurgeDate", json_object_get(internal, "scheduledPurgeDate"));
    return json;
}

/* The bundle of a deleted object, seen as `asked`. `item`: its latest version; body NULL: none. */
static json_t *deleted_bundle(const struct vault_call *call, enum vault_kind asked,
                              const json_t *head, const struct pn_store_item *item)
{
    const char *name = pn_json_str(head, "name");
    json_t *json = NULL;

    switch (asked) {
    case KIND_SECRET:
        json = vault_secret_item(call, item, name, true);
        break;
    case KIND_CERTIFICATE:
        json = vault_certificate_bundle(call, head, item);
        break;
    case KIND_KEY:
        json = vault_key_bundle(call, item, name);
        break;
    }
    return vault_add_deletion(call, asked, head, json);
}

/* The latest version of a head, deleted or not. A certificate that never had one has none. */
static enum pn_rc read_latest(struct vault_call *call, const struct pn_store_item *head,
                              struct pn_store_item *item, struct pn_error *err)
{
    const char *latest = pn_json_str(json_object_get(head->body, "properties"), "latest");
    enum vault_kind kind;
    char id[OBJECT_ID_TEXT];

    if (!latest || !vault_kind_of(head, &kind))
        return PN_OK;
    vault_version_id(call, kind, latest, id);
    return pn_store_get(call->vault->store, id, item, err);
}

static void answer_deleted(struct vault_call *call, enum vault_kind asked,
                           const struct pn_store_item *head)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    enum pn_rc rc = read_latest(call, head, &item, &err);

    if (rc == PN_OK)
        vault_answer_json(call, 200, deleted_bundle(call, asked, head->body, &item));
    else
        vault_answer_failure(call, rc, &err);
    pn_store_item_fini(&item);
}

static enum pn_rc mark_deleted(const struct vault_call *call, json_t *head)
{
    int64_t now_s = call->vault->now_s();
    int64_t purge_s = now_s + vault_retention_days(call) * DAY_S;
    json_t *internal = json_object_get(head, "internal");

    if (!internal) {
        internal = json_object();
        if (json_object_set_new(head, "internal", internal) != 0)
            return PN_NOMEM;
    }
    if (json_object_set_new(internal, "deletedDate", json_integer((json_int_t)now_s)) != 0 ||
        json_object_set_new(internal, "scheduledPurgeDate", json_integer((json_int_t)purge_s)) !=
            0 ||
        json_object_set_new(internal, "due", json_integer((json_int_t)purge_s)) != 0)
        return PN_NOMEM;
    return PN_OK;
}

/* Moves the head. *head is what was moved, the caller's. */
static enum pn_rc move_head(struct vault_call *call, enum vault_kind kind, bool is_recovery,
                            struct pn_store_item *head, struct pn_error *err)
{
    struct pn_store_item latest = {0};
    struct pn_store_txn *txn = NULL;
    char live_id[OBJECT_ID_TEXT], deleted_id[OBJECT_ID_TEXT];
    enum vault_kind found = kind;
    enum pn_rc rc = pn_store_begin(call->vault->store, &txn, err);

    if (rc != PN_OK)
        return rc;
    vault_head_id(call, kind, live_id);
    vault_deleted_id(call, kind, deleted_id);
    rc = pn_store_txn_get(txn, is_recovery ? deleted_id : live_id, head, err);
    if (rc == PN_OK && (!vault_kind_of(head, &found) || found != kind))
        rc = found == KIND_CERTIFICATE
                 ? pn_error_set(err, PN_CONFLICT, "managed", "%s", vault_kinds[found].word)
                 : PN_NOT_FOUND;
    if (rc == PN_OK)
        rc = read_latest(call, head, &latest, err);
    if (rc == PN_OK)
        rc = pn_store_erase(txn, is_recovery ? deleted_id : live_id, err);
    if (rc == PN_OK && is_recovery) {
        json_object_del(json_object_get(head->body, "internal"), "deletedDate");
        json_object_del(json_object_get(head->body, "internal"), "scheduledPurgeDate");
        rc = vault_put_head(call, txn, kind, head->body, latest.body, err);
    } else if (rc == PN_OK) {
        rc = mark_deleted(call, head->body);
        if (rc == PN_OK)
            rc = pn_store_put(txn, deleted_id, vault_kinds[kind].deleted_type, head->body, NULL,
                              err);
    }
    if (rc == PN_OK)
        rc = pn_store_commit(txn, NULL, err);
    else
        pn_store_rollback(txn);
    if (rc == PN_OK)
        vault_tell_change(call);
    pn_store_item_fini(&latest);
    return rc;
}

static void answer_move_failure(struct vault_call *call, enum vault_kind kind, enum pn_rc rc,
                                const struct pn_error *err)
{
    if (rc == PN_CONFLICT)
        vault_answer_add_failure(call, kind, rc, err);
    else
        vault_answer_find_failure(call, kind, rc, err);
}

static void delete_object(struct vault_call *call, enum vault_kind kind)
{
    struct pn_store_item head = {0};
    struct pn_error err = {0};
    enum pn_rc rc = move_head(call, kind, false, &head, &err);

    if (rc == PN_NOT_FOUND && kind == KIND_KEY) { /* perhaps a certificate's */
        struct pn_store_item item = {0};
        struct pn_error why = {0};

        if (vault_find(call, kind, &head, &item, &why) == PN_OK)
            rc = pn_error_set(&err, PN_CONFLICT, "managed", "certificate");
        pn_store_item_fini(&item);
    }
    if (rc != PN_OK)
        answer_move_failure(call, kind, rc, &err);
    else
        answer_deleted(call, kind, &head);
    pn_store_item_fini(&head);
}

static void recover_object(struct vault_call *call, enum vault_kind kind)
{
    struct pn_store_item head = {0}, item = {0};
    struct pn_error err = {0};
    json_t *json = NULL;
    enum pn_rc rc = move_head(call, kind, true, &head, &err);

    if (rc == PN_OK)
        rc = read_latest(call, &head, &item, &err);
    if (rc != PN_OK) {
        answer_move_failure(call, kind, rc, &err);
    } else {
        json = kind == KIND_SECRET
                   ? vault_secret_item(call, &item, pn_json_str(head.body, "name"), true)
               : kind == KIND_KEY ? vault_key_bundle(call, &item, pn_json_str(head.body, "name"))
                                  : vault_certificate_bundle(call, head.body, &item);
        vault_answer_json(call, 200, json);
    }
    pn_store_item_fini(&item);
    pn_store_item_fini(&head);
}

/* The deleted head, seen as `asked`: a certificate is also a secret and a key. */
static enum pn_rc find_deleted(struct vault_call *call, enum vault_kind asked,
                               struct pn_store_item *head, enum vault_kind *kind,
                               struct pn_error *err)
{
    char id[OBJECT_ID_TEXT];
    enum pn_rc rc;

    vault_deleted_id(call, asked, id);
    rc = pn_store_get(call->vault->store, id, head, err);
    if (rc == PN_NOT_FOUND && asked == KIND_KEY) {
        vault_deleted_id(call, KIND_CERTIFICATE, id);
        rc = pn_store_get(call->vault->store, id, head, err);
    }
    if (rc == PN_OK &&
        (!vault_kind_of(head, kind) || (*kind == KIND_SECRET && asked != KIND_SECRET))) {
        pn_store_item_fini(head);
        rc = PN_NOT_FOUND;
    }
    return rc;
}

static void get_deleted(struct vault_call *call, enum vault_kind asked)
{
    struct pn_store_item head = {0};
    struct pn_error err = {0};
    enum vault_kind kind;
    enum pn_rc rc = find_deleted(call, asked, &head, &kind, &err);

    if (rc == PN_OK)
        answer_deleted(call, asked, &head);
    else
        vault_answer_find_failure(call, asked, rc, &err);
    pn_store_item_fini(&head);
}

enum pn_rc vault_purge(struct vault_call *call, struct pn_store_txn *txn, enum vault_kind kind,
                       struct pn_error *err)
{
    struct pn_store_list versions = {0};
    char id[OBJECT_ID_TEXT];
    enum pn_rc rc;

    vault_version_id(call, kind, "", id);
    rc = pn_store_txn_list(txn, id, vault_kinds[kind].version_type, &versions, err);
    for (size_t i = 0; rc == PN_OK && i < versions.count; i++)
        rc = pn_store_erase(txn, versions.items[i].id, err);
    vault_deleted_id(call, kind, id);
    if (rc == PN_OK)
        rc = pn_store_erase(txn, id, err);
    pn_store_list_fini(&versions);
    return rc;
}

static void purge_object(struct vault_call *call, enum vault_kind asked)
{
    struct pn_store_item head = {0};
    struct pn_store_txn *txn = NULL;
    struct pn_error err = {0};
    enum vault_kind kind = asked;
    enum pn_rc rc = find_deleted(call, asked, &head, &kind, &err);

    pn_store_item_fini(&head);
    if (rc == PN_OK && kind != asked)
        rc = pn_error_set(&err, PN_CONFLICT, "managed", "%s", vault_kinds[kind].word);
    if (rc == PN_OK && vault_is_purge_protected(call)) {
        vault_answer_error(call->response, 403, "Forbidden", "ForbiddenByPolicy",
                           "Operation purge is not allowed because purge protection is enabled for "
                           "this vault. Key Vault service will automatically purge it after the "
                           "retention period has passed.");
        return;
    }
    if (rc == PN_OK)
        rc = pn_store_begin(call->vault->store, &txn, &err);
    if (rc == PN_OK) {
        rc = vault_purge(call, txn, kind, &err);
        if (rc == PN_OK)
            rc = pn_store_commit(txn, NULL, &err);
        else
            pn_store_rollback(txn);
    }
    if (rc == PN_OK)
        call->response->status = 204;
    else
        answer_move_failure(call, asked, rc, &err);
}

void vault_delete_secret(struct vault_call *call)
{
    delete_object(call, KIND_SECRET);
}

void vault_delete_certificate(struct vault_call *call)
{
    delete_object(call, KIND_CERTIFICATE);
}

void vault_delete_key(struct vault_call *call)
{
    delete_object(call, KIND_KEY);
}

void vault_recover_secret(struct vault_call *call)
{
    recover_object(call, KIND_SECRET);
}

void vault_recover_certificate(struct vault_call *call)
{
    recover_object(call, KIND_CERTIFICATE);
}

void vault_recover_key(struct vault_call *call)
{
    recover_object(call, KIND_KEY);
}

void vault_get_deleted_secret(struct vault_call *call)
{
    get_deleted(call, KIND_SECRET);
}

void vault_get_deleted_certificate(struct vault_call *call)
{
    get_deleted(call, KIND_CERTIFICATE);
}

void vault_get_deleted_key(struct vault_call *call)
{
    get_deleted(call, KIND_KEY);
}

void vault_purge_secret(struct vault_call *call)
{
    purge_object(call, KIND_SECRET);
}

void vault_purge_certificate(struct vault_call *call)
{
    purge_object(call, KIND_CERTIFICATE);
}

void vault_purge_key(struct vault_call *call)
{
    purge_object(call, KIND_KEY);
}

void vault_list_deleted_secrets(struct vault_call *call)
{
    vault_list_deleted(call, KIND_SECRET, vault_secret_item);
}

void vault_list_deleted_certificates(struct vault_call *call)
{
    vault_list_deleted(call, KIND_CERTIFICATE, vault_certificate_item);
}

void vault_list_deleted_keys(struct vault_call *call)
{
    vault_list_deleted(call, KIND_KEY, vault_key_item);
}
