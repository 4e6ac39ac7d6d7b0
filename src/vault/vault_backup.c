/* SPDX-License-Identifier: Apache-2.0
 *
 * Backup and restore: an object with all its versions as one sealed text. It opens in this
 * installation only (as Azure's opens in its own geography), in any of its vaults; values and keys
 * in it are sealed once more for the place they come from, and anew for the place they go to.
 */
#include <stdio.h>
#include <string.h>

#include "ipc/keyholder_vault.h"
#include "vault/vault_internal.h"

#define BACKUP_MAX     (8u * 1024 * 1024)
#define SEALED_MAX     (2u * 1024 * 1024)
#define BACKUP_FORMAT  1
#define BACKUP_CONTEXT PN_LIT("backup")

static enum pn_rc collect(struct vault_call *call, enum vault_kind kind,
                          const struct pn_store_item *head, json_t **backup, struct pn_error *err)
{
    struct pn_store_list versions = {0};
    char prefix[OBJECT_ID_TEXT];
    json_t *list = json_array(), *properties;
    enum pn_rc rc;

    vault_version_id(call, kind, "", prefix);
    rc = pn_store_list(call->vault->store, prefix, vault_kinds[kind].version_type, &versions, err);
    for (size_t i = 0; rc == PN_OK && i < versions.count; i++) {
        if (json_array_append_new(list, json_pack("{s:s, s:s, s:O}", "version",
                                                  vault_item_version(&versions.items[i]), "id",
                                                  versions.items[i].id, "body",
                                                  versions.items[i].body)) != 0)
            rc = PN_NOMEM;
    }
    pn_store_list_fini(&versions);
    properties = json_copy(json_object_get(head->body, "properties"));
    json_object_del(properties, "pending"); /* an operation is not part of what it makes */
    *backup = rc == PN_OK
                  ? json_pack("{s:i, s:s, s:s, s:O, s:O}", "format", BACKUP_FORMAT, "kind",
                              vault_kinds[kind].word, "name", pn_json_str(head->body, "name"),
                              "properties", properties, "versions", list)
                  : NULL;
    json_decref(properties);
    json_decref(list);
    return rc == PN_OK && !*backup ? PN_NOMEM : rc;
}

static enum pn_rc seal_backup(struct vault_call *call, const json_t *backup, json_t **value,
                              struct pn_error *err)
{
    struct pn_buf text, sealed;
    enum pn_rc rc;

    pn_buf_init_secret(&text, BACKUP_MAX);
    pn_buf_init(&sealed, BACKUP_MAX + 64);
    rc = pn_json_dump(backup, &text);
    if (rc == PN_LIMIT)
        pn_error_set(err, rc, "BadParameter",
                     "The object with all its versions is larger than %u bytes: it cannot be "
                     "backed up",
                     BACKUP_MAX);
    if (rc == PN_OK)
        rc = pn_keyholder_seal(call->vault->keyholder, "vault", BACKUP_CONTEXT, pn_buf_slice(&text),
                               &sealed, err);
    if (rc == PN_OK) {
        struct pn_buf encoded;

        pn_buf_init(&encoded, 2 * BACKUP_MAX);
        rc = pn_base64url_encode(pn_buf_slice(&sealed), &encoded);
        *value = rc == PN_OK ? pn_json_from_slice(pn_buf_slice(&encoded)) : NULL;
        pn_buf_fini(&encoded);
    }
    pn_buf_fini(&text);
    pn_buf_fini(&sealed);
    return rc == PN_OK && !*value ? PN_NOMEM : rc;
}

static void backup_object(struct vault_call *call, enum vault_kind kind)
{
    struct pn_store_item head = {0}, item = {0};
    struct pn_error err = {0};
    json_t *backup = NULL, *value = NULL;
    enum vault_kind found = kind;
    enum pn_rc rc = vault_find(call, kind, &head, &item, &err);

    if (rc == PN_OK && (!vault_kind_of(&head, &found) || found != kind))
        rc = pn_error_set(&err, PN_CONFLICT, "managed", "%s", vault_kinds[found].word);
    if (rc == PN_OK)
        rc = collect(call, kind, &head, &backup, &err);
    if (rc == PN_OK)
        rc = seal_backup(call, backup, &value, &err);
    if (rc == PN_OK)
        vault_answer_json(call, 200, json_pack("{s:o}", "value", value));
    else if (rc == PN_NOT_FOUND)
        vault_answer_not_found(call, kind);
    else
        vault_answer_add_failure(call, kind, rc, &err);
    json_decref(backup);
    pn_store_item_fini(&head);
    pn_store_item_fini(&item);
}

/* --- restore --- */

static enum pn_rc open_backup(struct vault_call *call, const json_t *given, enum vault_kind kind,
                              json_t **backup, struct pn_error *err)
{
    struct pn_slice value = pn_json_slice(given, "value");
    struct pn_buf sealed, text;
    enum pn_rc rc;

    pn_buf_init(&sealed, BACKUP_MAX + 64);
    pn_buf_init_secret(&text, BACKUP_MAX);
    rc = value.len > 0 ? pn_base64url_decode(value, &sealed) : PN_INVALID;
    if (rc == PN_OK)
        rc = pn_keyholder_unseal(call->vault->keyholder, "vault", BACKUP_CONTEXT,
                                 pn_buf_slice(&sealed), &text, err);
    if (rc == PN_OK)
        rc = pn_json_parse(pn_buf_slice(&text), backup, err);
    if (rc == PN_MALFORMED || rc == PN_INVALID || rc == PN_DENIED || rc == PN_LIMIT)
        rc = pn_error_set(err, PN_INVALID, "BadParameter",
                          "The backup blob is not one of this installation, or was changed");
    else if (rc == PN_OK &&
             (pn_json_int(*backup, "format", 0) != BACKUP_FORMAT ||
              !pn_slice_eq_str(pn_json_slice(*backup, "kind"), vault_kinds[kind].word)))
        rc = pn_error_set(err, PN_INVALID, "BadParameter",
                          "The backup blob is not one of a %s, or of a newer Postern",
                          vault_kinds[kind].word);
    pn_buf_fini(&sealed);
    pn_buf_fini(&text);
    return rc;
}

/* The value or key of a version, sealed for its new place. */
static enum pn_rc move_sealed(struct vault_call *call, enum vault_kind kind, const char *from,
                              const char *to, json_t *body, struct pn_error *err)
{
    const struct pn_store_item item = {
        .id = (char *)(uintptr_t)from, .type = (char *)(uintptr_t) "", .body = body};
    struct pn_keyholder *keyholder = call->vault->keyholder;
    struct pn_buf sealed, plain, moved;
    enum pn_rc rc;

    pn_buf_init(&sealed, SEALED_MAX);
    pn_buf_init(&moved, SEALED_MAX);
    pn_buf_init_secret(&plain, SEALED_MAX);
    rc = vault_sealed_bytes(&item, &sealed, err);
    if (rc == PN_OK && kind == KIND_SECRET) {
        rc = pn_keyholder_unseal(keyholder, "vault", vault_context(from), pn_buf_slice(&sealed),
                                 &plain, err);
        if (rc == PN_OK)
            rc = pn_keyholder_seal(keyholder, "vault", vault_context(to), pn_buf_slice(&plain),
                                   &moved, err);
    } else if (rc == PN_OK) {
        const struct pn_vault_key key = {.context = vault_context(from),
                                         .sealed = pn_buf_slice(&sealed),
                                         .is_certificate = kind == KIND_CERTIFICATE};

        rc = pn_keyholder_vault_move(keyholder, &key, vault_context(to), &moved, err);
    }
    if (rc == PN_OK && json_object_set_new(json_object_get(body, "internal"), "sealed",
                                           vault_base64(pn_buf_slice(&moved))) != 0)
        rc = PN_NOMEM;
    pn_buf_fini(&sealed);
    pn_buf_fini(&moved);
    pn_buf_fini(&plain);
    return rc == PN_DENIED ? PN_INTERNAL : rc;
}

static enum pn_rc put_versions(struct vault_call *call, struct pn_store_txn *txn,
                               enum vault_kind kind, const json_t *backup, struct pn_error *err)
{
    json_t *entry;
    size_t index;

    json_array_foreach(json_object_get(backup, "versions"), index, entry)
    {
        const char *version = pn_json_str(entry, "version");
        json_t *body = json_object_get(entry, "body");
        char id[OBJECT_ID_TEXT];
        enum pn_rc rc;

        if (!version || strlen(version) >= VERSION_TEXT)
            return pn_error_set(err, PN_INVALID, "BadParameter", "The backup blob is damaged");
        vault_version_id(call, kind, version, id);
        rc = pn_store_put(txn, id, vault_kinds[kind].version_type, body, NULL, err);
        if (rc != PN_OK)
            return rc;
    }
    return PN_OK;
}

static const json_t *latest_body(const json_t *backup)
{
    const char *latest = pn_json_str(json_object_get(backup, "properties"), "latest");
    json_t *entry;
    size_t index;

    json_array_foreach(json_object_get(backup, "versions"), index, entry)
    {
        if (latest && pn_slice_eq_str(pn_json_slice(entry, "version"), latest))
            return json_object_get(entry, "body");
    }
    return NULL;
}

static enum pn_rc write_restored(struct vault_call *call, struct pn_store_txn *txn,
                                 enum vault_kind kind, const json_t *backup, struct pn_error *err)
{
    struct pn_store_item item = {0};
    char id[OBJECT_ID_TEXT];
    json_t *head;
    enum pn_rc rc = vault_check_name(call, txn, kind, err);

    if (rc != PN_OK)
        return rc;
    vault_head_id(call, kind, id);
    rc = pn_store_txn_get(txn, id, &item, err);
    pn_store_item_fini(&item);
    if (rc == PN_OK)
        return pn_error_set(err, PN_CONFLICT, "exists",
                            "The %s %s exists already in this key vault: a restored one does not "
                            "replace it.",
                            vault_kinds[kind].word, call->name);
    if (rc != PN_NOT_FOUND)
        return rc;
    rc = put_versions(call, txn, kind, backup, err);
    if (rc != PN_OK)
        return rc;
    head = json_pack("{s:s, s:O}", "name", call->name, "properties",
                     json_object_get(backup, "properties"));
    rc = head ? vault_put_head(call, txn, kind, head, latest_body(backup), err) : PN_NOMEM;
    json_decref(head);
    return rc;
}

/* All sealing is done before the transaction begins: the keyholder may be slow. */
static enum pn_rc restore(struct vault_call *call, enum vault_kind kind, const json_t *backup,
                          struct pn_error *err)
{
    struct pn_store_txn *txn = NULL;
    json_t *entry;
    size_t index;
    enum pn_rc rc = PN_OK;

    json_array_foreach(json_object_get(backup, "versions"), index, entry)
    {
        const char *from = pn_json_str(entry, "id"), *version = pn_json_str(entry, "version");
        char id[OBJECT_ID_TEXT];

        if (!from || from[0] != '/' || !version)
            return pn_error_set(err, PN_INVALID, "BadParameter", "The backup blob is damaged");
        vault_version_id(call, kind, version, id);
        rc = move_sealed(call, kind, from, id, json_object_get(entry, "body"), err);
        if (rc != PN_OK)
            return rc;
    }
    rc = pn_store_begin(call->vault->store, &txn, err);
    if (rc != PN_OK)
        return rc;
    rc = write_restored(call, txn, kind, backup, err);
    if (rc == PN_OK)
        rc = pn_store_commit(txn, NULL, err);
    else
        pn_store_rollback(txn);
    if (rc == PN_OK)
        vault_tell_change(call);
    return rc;
}

static void restore_object(struct vault_call *call, enum vault_kind kind)
{
    struct pn_store_item head = {0}, item = {0};
    struct pn_error err = {0};
    json_t *given = vault_read_body(call), *backup = NULL;
    const char *name;
    enum pn_rc rc;

    if (!given)
        return;
    rc = open_backup(call, given, kind, &backup, &err);
    name = pn_json_str(backup, "name");
    if (rc == PN_OK) {
        snprintf(call->name, sizeof call->name, "%s", name ? name : "");
        vault_lower(call->key, pn_slice_str(call->name));
        rc = restore(call, kind, backup, &err);
    }
    if (rc == PN_OK)
        rc = vault_find(call, kind, &head, &item, &err);
    if (rc != PN_OK)
        vault_answer_add_failure(call, kind, rc, &err);
    else if (kind == KIND_SECRET)
        vault_answer_json(call, 200, vault_secret_item(call, &item, call->name, true));
    else if (kind == KIND_KEY)
        vault_answer_json(call, 200, vault_key_bundle(call, &item, call->name));
    else
        vault_answer_json(call, 200, vault_certificate_bundle(call, head.body, &item));
    json_decref(given);
    json_decref(backup);
    pn_store_item_fini(&head);
    pn_store_item_fini(&item);
}

void vault_backup_secret(struct vault_call *call)
{
    backup_object(call, KIND_SECRET);
}

void vault_backup_certificate(struct vault_call *call)
{
    backup_object(call, KIND_CERTIFICATE);
}

void vault_backup_key(struct vault_call *call)
{
    backup_object(call, KIND_KEY);
}

void vault_restore_secret(struct vault_call *call)
{
    restore_object(call, KIND_SECRET);
}

void vault_restore_certificate(struct vault_call *call)
{
    restore_object(call, KIND_CERTIFICATE);
}

void vault_restore_key(struct vault_call *call)
{
    restore_object(call, KIND_KEY);
}
