/* SPDX-License-Identifier: Apache-2.0
 *
 * A change of one stored certificate, whole: its document, the references that are found by an
 * index, evidence of each generation whose state has changed; and the keys that it leaves without a
 * use.
 */
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "base/json.h"
#include "rotation/generations.h"
#include "rotation/rotation_internal.h"
#include "store/audit.h"
#include "store/store.h"

/* What a certificate's document says of its generations, as references of the store, which has an
 * index of them: the keys of those that wait or drain, and whether there is one to watch. */
#define KEY_REFERENCE  "/postern/keys/%s"
#define REFERENCE_TEXT 96

struct references {
    char texts[PN_GENERATIONS_KEPT_MAX + 2][REFERENCE_TEXT];
    const char *list[PN_GENERATIONS_KEPT_MAX + 3];
    size_t count;
};

static void add_reference(struct references *references, const char *text)
{
    if (references->count >= PN_GENERATIONS_KEPT_MAX + 2)
        return;
    (void)snprintf(references->texts[references->count], REFERENCE_TEXT, "%s", text);
    references->list[references->count] = references->texts[references->count];
    references->count++;
}

static void make_references(const json_t *body, struct references *references)
{
    const json_t *list = json_object_get(json_object_get(body, "internal"), "generations");
    const json_t *entry;
    size_t i;

    memset(references, 0, sizeof(*references));
    if (pn_generations_find(body, "draining"))
        add_reference(references, ROTATION_DRAINING);
    json_array_foreach(list, i, entry)
    {
        const char *key = pn_json_str(json_object_get(entry, "internal"), "keyId");
        char text[REFERENCE_TEXT];

        if (!key || pn_slice_eq_str(pn_json_slice(entry, "state"), "retired"))
            continue;
        (void)snprintf(text, sizeof(text), KEY_REFERENCE, key);
        add_reference(references, text);
    }
}

enum pn_rc rotation_key_waits(struct pn_store_txn *txn, const char *key_id, bool *is_used,
                              struct pn_error *err)
{
    struct pn_store_list users = {0};
    char text[REFERENCE_TEXT];
    enum pn_rc rc;

    (void)snprintf(text, sizeof(text), KEY_REFERENCE, key_id);
    rc = pn_store_users(txn, text, &users, err);
    *is_used = users.count > 0;
    pn_store_list_fini(&users);
    return rc;
}

/* The keys that an edit left without a use are forgotten, unless something else has them. */
static void forget_left(struct pn_rotation *rotation, const json_t *before, const json_t *after)
{
    const json_t *entry;
    size_t i;

    json_array_foreach(before, i, entry)
    {
        const char *key_id = pn_json_str(json_object_get(entry, "internal"), "keyId");
        struct pn_key_id key;

        if (key_id && !pn_slice_eq_str(pn_json_slice(entry, "state"), "retired") &&
            !pn_generations_uses_key(after, key_id) &&
            pn_hex_decode(pn_slice_str(key_id), key.sha256, sizeof(key.sha256)))
            pn_rotation_forget_unused(rotation, PN_USE_CLIENT, &key);
    }
}

static json_t *state_entry(const char *certificate_id, const json_t *entry)
{
    const json_t *properties = json_object_get(entry, "properties");
    const json_t *internal = json_object_get(entry, "internal");

    return json_pack("{s:s, s:s, s:O?, s:O?, s:O?, s:O?, s:O*, s:O*, s:O*}", "kind", "generation",
                     "certificate", certificate_id, "generation", json_object_get(entry, "number"),
                     "state", json_object_get(entry, "state"), "cause",
                     json_object_get(entry, "cause"), "thumbprint",
                     json_object_get(properties, "thumbprint"), "secretVersion",
                     json_object_get(internal, "secretVersion"), "refusal",
                     json_object_get(entry, "refusal"), "usedBy", json_object_get(entry, "usedBy"));
}

/* Evidence: each generation whose state has changed, in the transaction that changes it. `before`:
 * the list as it was, or NULL: then there was one, and it was current. */
static enum pn_rc audit_states(struct pn_store_txn *txn, const char *certificate_id,
                               const json_t *before, const json_t *after, struct pn_error *err)
{
    const json_t *entry, *old;
    size_t i, k;
    enum pn_rc rc = PN_OK;

    json_array_foreach(json_object_get(json_object_get(after, "internal"), "generations"), i, entry)
    {
        struct pn_slice was = {0};
        json_t *note;

        if (!before && i == 0)
            was = PN_LIT("current");
        json_array_foreach(before, k, old)
        {
            if (pn_json_int(old, "number", 0) == pn_json_int(entry, "number", -1))
                was = pn_json_slice(old, "state");
        }
        if (rc != PN_OK || pn_slice_eq(was, pn_json_slice(entry, "state")))
            continue;
        note = state_entry(certificate_id, entry);
        rc = note ? pn_audit_add(txn, note, err)
                  : pn_error_set(err, PN_NOMEM, "out_of_memory", "out of memory");
        json_decref(note);
    }
    return rc;
}

enum pn_rc rotation_edit(struct pn_rotation *rotation, const char *certificate_id,
                         const struct rotation_edit *edit, uint64_t *revision, struct pn_error *err)
{
    struct references references;
    struct pn_store_item item = {0};
    struct pn_store_txn *txn = NULL;
    json_t *before = NULL;
    enum pn_rc rc =
        (edit->is_soon ? pn_store_begin_soon : pn_store_begin)(rotation->config.store, &txn, err);

    if (rc == PN_OK)
        rc = pn_store_txn_get(txn, certificate_id, &item, err);
    if (rc == PN_OK && edit->revision > 0 && item.revision != edit->revision)
        rc = pn_error_set(err, PN_CONFLICT, "certificate_changed",
                          "The certificate was changed by another request meanwhile.");
    if (rc == PN_OK) {
        before =
            json_deep_copy(json_object_get(json_object_get(item.body, "internal"), "generations"));
        rc = edit->apply(rotation, item.body, edit->ctx, err);
    }
    if (rc == PN_OK) {
        make_references(item.body, &references);
        rc = pn_store_put(txn, item.id, item.type, item.body, references.list, err);
    }
    if (rc == PN_OK)
        rc = audit_states(txn, item.id, before, item.body, err);
    if (rc == PN_OK && edit->note)
        rc = pn_audit_add(txn, edit->note->entry, err);
    if (rc == PN_OK)
        rc = pn_store_commit(txn, revision, err);
    else
        pn_store_rollback(txn);
    if (rc == PN_OK && edit->note)
        edit->note->is_noted = true;
    if (rc == PN_OK)
        forget_left(rotation, before, item.body);
    json_decref(before);
    pn_store_item_fini(&item);
    return rc;
}
