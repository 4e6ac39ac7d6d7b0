/* SPDX-License-Identifier: Apache-2.0
 *
 * Applications of the directory: their view in the form of Microsoft Graph, and the changes to
 * their credentials. keyCredentials is replaced as a whole: an entry with "key" (base64 of a DER
 * certificate) is new, one with "keyId" alone is kept.
 *
 * Invariant: the subscription keeps an owner that can log in.
 */
#include <stdio.h>
#include <string.h>

#include "authority/authority_internal.h"
#include "base/clock.h"
#include "base/encode.h"
#include "identity/roles.h"
#include "store/store.h"

#define CERTIFICATE_MAX     (64u * 1024)
#define PASSWORD_BYTES      30
#define PASSWORD_LIFETIME_S (2 * 365 * 86400LL) /* as Microsoft Graph, when none is given */
#define DISPLAY_NAME_MAX    120

static json_t *credential_list(const json_t *internal, const char *member, bool is_key)
{
    json_t *list = json_array(), *entry;
    char from[PN_TIME_TEXT], to[PN_TIME_TEXT];
    size_t index;

    json_array_foreach(json_object_get(internal, member), index, entry)
    {
        int64_t not_after_s = pn_json_int(entry, "notAfter", 0);

        pn_time_iso8601(pn_json_int(entry, "createdOn", 0), from);
        pn_time_iso8601(not_after_s, to);
        json_array_append_new(
            list, is_key ? json_pack("{s:O, s:O, s:s, s:s, s:s, s:s}", "keyId",
                                     json_object_get(entry, "keyId"), "customKeyIdentifier",
                                     json_object_get(entry, "sha1"), "type", "AsymmetricX509Cert",
                                     "usage", "Verify", "startDateTime", from, "endDateTime", to)
                         : json_pack("{s:O, s:O*, s:O*, s:s, s:s?}", "keyId",
                                     json_object_get(entry, "keyId"), "displayName",
                                     json_object_get(entry, "displayName"), "hint",
                                     json_object_get(entry, "hint"), "startDateTime", from,
                                     "endDateTime", not_after_s > 0 ? to : NULL));
    }
    return list;
}

json_t *authority_application_json(const json_t *body)
{
    const json_t *properties = json_object_get(body, "properties");
    const json_t *internal = json_object_get(body, "internal");

    return json_pack("{s:O, s:O, s:O, s:o, s:o}", "id", json_object_get(properties, "objectId"),
                     "appId", json_object_get(properties, "clientId"), "displayName",
                     json_object_get(properties, "displayName"), "keyCredentials",
                     credential_list(internal, "certificates", true), "passwordCredentials",
                     credential_list(internal, "secrets", false));
}

static json_t *find_key(json_t *list, struct pn_slice key_id, size_t *position)
{
    json_t *entry;
    size_t index;

    json_array_foreach(list, index, entry)
    {
        *position = index;
        if (pn_slice_case_eq(pn_json_slice(entry, "keyId"), key_id))
            return entry;
    }
    return NULL;
}

enum pn_rc authority_application_change(struct pn_authority *authority, const char *id,
                                        application_change_fn change, void *ctx,
                                        struct pn_error *err)
{
    struct pn_store_item item = {0};
    struct pn_store_txn *txn = NULL;
    enum pn_rc rc = pn_store_begin(authority->store, &txn, err);

    if (rc != PN_OK)
        return rc;
    rc = pn_store_txn_get(txn, id, &item, err);
    if (rc == PN_OK)
        rc = change(authority, txn, item.body, ctx, err);
    if (rc == PN_OK)
        rc = pn_store_put(txn, item.id, CLIENT_TYPE, item.body, NULL, err);
    if (rc == PN_OK)
        rc = pn_store_commit(txn, NULL, err);
    else
        pn_store_rollback(txn);
    pn_store_item_fini(&item);
    return rc;
}

enum pn_rc authority_keep_owner(struct pn_authority *authority, struct pn_store_txn *txn,
                                const json_t *body, struct pn_error *err)
{
    struct pn_slice object_id = pn_json_slice(json_object_get(body, "properties"), "objectId");
    struct pn_store_list subscriptions = {0};
    bool is_left = true;
    enum pn_rc rc = pn_store_txn_list(txn, "/subscriptions/", "Microsoft.Resources/subscriptions",
                                      &subscriptions, err);

    for (size_t i = 0; rc == PN_OK && is_left && i < subscriptions.count; i++)
        rc = pn_role_other_owner(authority->store, txn, strrchr(subscriptions.items[i].id, '/') + 1,
                                 NULL, object_id, &is_left, err);
    pn_store_list_fini(&subscriptions);
    if (rc == PN_OK && !is_left)
        rc = pn_error_set(err, PN_CONFLICT, "last_owner",
                          "Without this application's credentials nobody could own the "
                          "subscription any more. Make another Owner of the subscription first.");
    return rc;
}

/* PN_CONFLICT: it was the last credential of the last owner. */
static enum pn_rc keep_credential(struct pn_authority *authority, struct pn_store_txn *txn,
                                  const json_t *body, struct pn_error *err)
{
    const json_t *internal = json_object_get(body, "internal");

    if (json_array_size(json_object_get(internal, "secrets")) > 0 ||
        json_array_size(json_object_get(internal, "certificates")) > 0)
        return PN_OK;
    return authority_keep_owner(authority, txn, body, err);
}

/* The list as the request wants it. */
static enum pn_rc make_list(const struct pn_authority *authority, json_t *former,
                            const json_t *given, json_t *made, struct pn_error *err)
{
    json_t *entry;
    size_t index, position;

    json_array_foreach(given, index, entry)
    {
        struct pn_slice key = pn_json_slice(entry, "key");
        json_t *kept = find_key(former, pn_json_slice(entry, "keyId"), &position);
        struct pn_buf der;
        enum pn_rc rc;

        if (key.len == 0 && !kept)
            return pn_error_set(
                err, PN_INVALID, "keyCredentials",
                "keyCredentials[%zu] has neither a key nor the keyId of a known one", index);
        pn_buf_init(&der, CERTIFICATE_MAX);
        if (key.len == 0)
            rc = json_array_append(made, kept) == 0 ? PN_OK : PN_NOMEM;
        else if (pn_base64_decode(key, &der) != PN_OK)
            rc = pn_error_set(err, PN_INVALID, "keyCredentials",
                              "keyCredentials[%zu].key is not base64 of a DER certificate", index);
        else
            rc = authority_certificate_add(made, pn_buf_slice(&der), authority->now_s(), err);
        pn_buf_fini(&der);
        if (rc != PN_OK)
            return rc;
    }
    return PN_OK;
}

enum pn_rc authority_application_keys(struct pn_authority *authority, struct pn_store_txn *txn,
                                      json_t *body, void *given, struct pn_error *err)
{
    json_t *internal = json_object_get(body, "internal");
    json_t *made = json_array();
    enum pn_rc rc =
        make_list(authority, json_object_get(internal, "certificates"), given, made, err);

    if (rc == PN_OK && json_object_set(internal, "certificates", made) != 0)
        rc = PN_NOMEM;
    json_decref(made);
    return rc == PN_OK ? keep_credential(authority, txn, body, err) : rc;
}

/* ---- passwords ---- */

static enum pn_rc read_password(const struct pn_authority *authority, const json_t *given,
                                struct authority_secret *secret, struct pn_error *err)
{
    struct pn_slice end = pn_json_slice(given, "endDateTime");

    secret->display_name = pn_json_str(given, "displayName");
    secret->not_after_s = authority->now_s() + PASSWORD_LIFETIME_S;
    if (secret->display_name && strlen(secret->display_name) > DISPLAY_NAME_MAX)
        return pn_error_set(err, PN_INVALID, "displayName",
                            "passwordCredential.displayName has more than %d bytes",
                            DISPLAY_NAME_MAX);
    if (end.len > 0 && (!pn_time_parse_iso8601(end, &secret->not_after_s) ||
                        secret->not_after_s <= authority->now_s()))
        return pn_error_set(err, PN_INVALID, "endDateTime",
                            "passwordCredential.endDateTime must be a time in the future, as "
                            "2030-01-31T00:00:00Z");
    return PN_OK;
}

enum pn_rc authority_password_add(struct pn_authority *authority, struct pn_store_txn *txn,
                                  json_t *body, void *ctx, struct pn_error *err)
{
    struct application_password *password = ctx;
    json_t *internal = json_object_get(body, "internal");
    struct authority_secret secret = {0};
    uint8_t random[PASSWORD_BYTES];
    json_t *made;
    enum pn_rc rc = read_password(authority, password->given, &secret, err);

    (void)txn;
    if (rc != PN_OK)
        return rc;
    pn_random(random, sizeof random);
    rc = pn_base64url_encode(pn_slice(random, sizeof random), &password->text);
    pn_wipe(random, sizeof random);
    secret.text = pn_buf_slice(&password->text);
    if (rc == PN_OK)
        rc = authority_secret_add(internal, &secret, authority->now_s(), err);
    if (rc != PN_OK)
        return rc;
    made = credential_list(internal, "secrets", false);
    password->entry = json_incref(json_array_get(made, json_array_size(made) - 1));
    json_decref(made);
    return password->entry ? PN_OK : PN_NOMEM;
}

enum pn_rc authority_password_remove(struct pn_authority *authority, struct pn_store_txn *txn,
                                     json_t *body, void *key_id, struct pn_error *err)
{
    json_t *secrets = json_object_get(json_object_get(body, "internal"), "secrets");
    size_t position = 0;

    if (!find_key(secrets, pn_slice_str(key_id), &position))
        return pn_error_set(err, PN_INVALID, "keyId", "No password credential found with keyId.");
    json_array_remove(secrets, position);
    return keep_credential(authority, txn, body, err);
}
