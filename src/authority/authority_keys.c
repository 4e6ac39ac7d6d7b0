/* SPDX-License-Identifier: Apache-2.0
 *
 * The RS256 keys of the authority: made and kept by the keyholder (use token), known here by their
 * certificates. A start makes a new one when the newest is older than PN_TOKEN_KEY_AGE_MAX_S;
 * former ones check what they signed, and are forgotten a day after.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authority/authority_internal.h"
#include "base/encode.h"
#include "base/log.h"
#include "certs/certificate.h"
#include "store/store.h"

#define KEY_BITS          2048
#define CERTIFICATE_TTL_S (10ll * 365 * 24 * 3600)
#define FORMER_KEY_S      (24ll * 3600)
#define DER_MAX           (16u * 1024)

static enum pn_rc make_kid(struct pn_slice der, char kid[KID_TEXT])
{
    uint8_t sha1[PN_SHA1_BYTES];
    struct pn_buf text;
    enum pn_rc rc;

    pn_sha1(der, sha1);
    pn_buf_init(&text, KID_TEXT - 1);
    rc = pn_base64url_encode(pn_slice(sha1, sizeof sha1), &text);
    if (rc == PN_OK)
        snprintf(kid, KID_TEXT, "%.*s", (int)text.len, text.ptr);
    pn_buf_fini(&text);
    return rc;
}

/* Fills *slot from a certificate; the key must be the certificate's. */
static enum pn_rc fill(struct signing_key *slot, struct pn_slice der, int64_t created_s,
                       struct pn_error *err)
{
    struct pn_certificate *certificate = NULL;
    enum pn_rc rc = pn_certificate_from_der(der, &certificate, err);

    if (rc != PN_OK)
        return rc;
    memset(slot, 0, sizeof *slot);
    pn_buf_init(&slot->certificate, DER_MAX);
    pn_buf_init(&slot->spki, DER_MAX);
    slot->created_s = created_s;
    memcpy(slot->id.sha256, pn_certificate_spki_sha256(certificate), sizeof slot->id.sha256);
    rc = make_kid(der, slot->kid);
    if (rc == PN_OK)
        rc = pn_buf_append_slice(&slot->certificate, der);
    if (rc == PN_OK)
        rc = pn_buf_append_slice(&slot->spki, pn_certificate_spki(certificate));
    pn_certificate_unref(certificate);
    return rc;
}

static void drop(struct signing_key *key)
{
    pn_buf_fini(&key->certificate);
    pn_buf_fini(&key->spki);
}

void authority_drop_keys(struct pn_authority *authority)
{
    for (size_t i = 0; i < authority->key_count; i++)
        drop(&authority->keys[i]);
    authority->key_count = 0;
}

static enum pn_rc delete_key(struct pn_authority *authority, const struct pn_store_item *item,
                             const struct pn_key_id *id, struct pn_error *err)
{
    struct pn_store_txn *txn = NULL;
    enum pn_rc rc = pn_store_begin(authority->store, &txn, err);

    if (rc != PN_OK)
        return rc;
    rc = pn_store_delete(txn, item->id, err);
    if (rc == PN_OK)
        rc = pn_store_commit(txn, NULL, err);
    else
        pn_store_rollback(txn);
    if (rc == PN_OK && id)
        rc = pn_keyholder_forget(authority->keyholder, PN_USE_TOKEN, id, err);
    return rc;
}

/* Loads one stored key; one that is outdated, or that the keyholder no longer has, is removed. */
static enum pn_rc load_key(struct pn_authority *authority, const struct pn_store_item *item,
                           struct pn_error *err)
{
    struct signing_key *slot = &authority->keys[authority->key_count];
    int64_t created_s = pn_json_int(json_object_get(item->body, "properties"), "createdOn", 0);
    struct pn_buf der, spki;
    struct pn_key_id id;
    enum pn_rc rc;

    if (authority->key_count == PN_TOKEN_KEYS_MAX)
        return PN_OK;
    memset(slot, 0, sizeof *slot);
    pn_buf_init(&der, DER_MAX);
    pn_buf_init(&spki, DER_MAX);
    rc = pn_base64_decode(pn_json_slice(json_object_get(item->body, "internal"), "certificate"),
                          &der);
    if (rc == PN_OK)
        rc = fill(slot, pn_buf_slice(&der), created_s, err);
    if (rc != PN_OK)
        goto out;
    id = slot->id;
    rc = pn_keyholder_public(authority->keyholder, PN_USE_TOKEN, &id, &spki, err);
    if (rc == PN_OK && authority->now_s() - created_s <= PN_TOKEN_KEY_AGE_MAX_S + FORMER_KEY_S) {
        authority->key_count++;
        goto out;
    }
    if (rc == PN_OK || rc == PN_NOT_FOUND) {
        pn_log(PN_LOG_INFO, "token_key_removed", "kid", PN_S(slot->kid), NULL);
        rc = delete_key(authority, item, rc == PN_OK ? &id : NULL, err);
    }
    drop(slot);
out:
    if (rc != PN_OK)
        pn_error_prefix(err, "token key %s", item->id);
    pn_buf_fini(&der);
    pn_buf_fini(&spki);
    return rc;
}

static enum pn_rc store_key(struct pn_authority *authority, const struct signing_key *key,
                            struct pn_error *err)
{
    struct pn_store_txn *txn = NULL;
    struct pn_buf text;
    char id[sizeof KEY_PREFIX + KID_TEXT], key_id[65];
    json_t *body = NULL;
    enum pn_rc rc;

    pn_buf_init(&text, 2 * DER_MAX);
    /* The name is hex: ids compare in lower case, a kid does not. */
    pn_hex_lower(key->id.sha256, sizeof key->id.sha256, key_id);
    snprintf(id, sizeof id, KEY_PREFIX "%.40s", key_id);
    rc = pn_base64_encode(pn_buf_slice(&key->certificate), &text);
    if (rc != PN_OK)
        goto out;
    body = json_pack("{s:s, s:{s:s, s:I}, s:{s:s, s:s%}}", "name", id + strlen(KEY_PREFIX),
                     "properties", "kid", key->kid, "createdOn", (json_int_t)key->created_s,
                     "internal", "keyId", key_id, "certificate", text.ptr, text.len);
    rc = body ? pn_store_begin(authority->store, &txn, err) : PN_NOMEM;
    if (rc != PN_OK)
        goto out;
    rc = pn_store_put(txn, id, KEY_TYPE, body, NULL, err);
    if (rc == PN_OK)
        rc = pn_store_commit(txn, NULL, err);
    else
        pn_store_rollback(txn);
out:
    json_decref(body);
    pn_buf_fini(&text);
    return rc;
}

static enum pn_rc make_key(struct pn_authority *authority, struct pn_error *err)
{
    static const char *const usages[] = {"digitalSignature", NULL};
    static const char *const none[] = {NULL};
    int64_t now_s = authority->now_s();
    struct pn_issue_spec spec = {
        .key_type = "RSA",
        .key_bits = KEY_BITS,
        .subject = "CN=Postern token authority",
        .dns_names = none,
        .ip_addresses = none,
        .emails = none,
        .uris = none,
        .ekus = none,
        .key_usages = usages,
        .not_before = now_s - 300,
        .not_after = now_s + CERTIFICATE_TTL_S,
    };
    struct pn_imported made;
    struct signing_key key = {0};
    enum pn_rc rc;

    memset(&made, 0, sizeof made);
    if (authority->key_count == PN_TOKEN_KEYS_MAX)
        drop(&authority->keys[--authority->key_count]);
    rc = pn_keyholder_issue(authority->keyholder, PN_USE_TOKEN, &spec, &made, err);
    if (rc == PN_OK && made.chain_count == 0)
        rc = pn_error_set(err, PN_INTERNAL, "token_key", "the keyholder made no certificate");
    if (rc == PN_OK)
        rc = fill(&key, pn_buf_slice(&made.chain[0]), now_s, err);
    if (rc == PN_OK)
        rc = store_key(authority, &key, err);
    pn_imported_fini(&made);
    if (rc != PN_OK) {
        drop(&key);
        pn_error_prefix(err, "making a token key");
        return rc;
    }
    memmove(&authority->keys[1], &authority->keys[0],
            authority->key_count * sizeof authority->keys[0]);
    authority->keys[0] = key;
    authority->key_count++;
    pn_log(PN_LOG_INFO, "token_key_made", "kid", PN_S(key.kid), NULL);
    return PN_OK;
}

static int newest_first(const void *a, const void *b)
{
    const struct signing_key *left = a, *right = b;

    return left->created_s < right->created_s ? 1 : left->created_s > right->created_s ? -1 : 0;
}

enum pn_rc authority_load_keys(struct pn_authority *authority, struct pn_error *err)
{
    struct pn_store_list list = {0};
    enum pn_rc rc = pn_store_list(authority->store, KEY_PREFIX, KEY_TYPE, &list, err);

    for (size_t i = 0; rc == PN_OK && i < list.count; i++)
        rc = load_key(authority, &list.items[i], err);
    pn_store_list_fini(&list);
    if (rc != PN_OK)
        return rc;
    qsort(authority->keys, authority->key_count, sizeof authority->keys[0], newest_first);
    if (authority->key_count == 0 ||
        authority->now_s() - authority->keys[0].created_s > PN_TOKEN_KEY_AGE_MAX_S)
        rc = make_key(authority, err);
    for (size_t i = 0; rc == PN_OK && i < authority->key_count; i++)
        rc = pn_token_verifier_add_key(authority->verifier, authority->keys[i].kid,
                                       pn_buf_slice(&authority->keys[i].spki), err);
    return rc;
}
