/* SPDX-License-Identifier: Apache-2.0
 *
 * Sessions of the portal. A session is proved by two halves: a cookie that no script can read, and
 * a key that the page keeps in its own storage and sends as a header. Cookies know no ports: the
 * cookie alone also reaches whatever else serves on this host name, so it is worth nothing alone.
 * The header is what no other site can send, so no request can be forged. Stored is the hash of
 * both, and a restart keeps the sessions.
 */
#include <stdio.h>
#include <string.h>

#include "authority/authority_internal.h"
#include "base/log.h"
#include "store/store.h"

#define HALF_BYTES 32
#define HALF_TEXT  64

static void make_id(struct pn_slice cookie, struct pn_slice key, char id[65])
{
    struct pn_buf both;

    pn_buf_init_secret(&both, 2 * HALF_TEXT + 1);
    if (cookie.len == 0 || cookie.len > HALF_TEXT || key.len == 0 || key.len > HALF_TEXT ||
        pn_buf_printf(&both, "%.*s.%.*s", PN_FMT(cookie), PN_FMT(key)) != PN_OK)
        id[0] = '\0';
    else
        pn_sha256_hex(pn_buf_slice(&both), id);
    pn_buf_fini(&both);
}

static void take_body(struct session *session, const char *id, const json_t *body)
{
    const json_t *properties = json_object_get(body, "properties");
    const char *user = pn_json_str(properties, "userName");
    const char *name = pn_json_str(properties, "displayName");
    const char *client = pn_json_str(properties, "clientId");
    const char *object = pn_json_str(properties, "objectId");
    const char *issuer = pn_json_str(properties, "issuer");
    json_t *group;
    size_t index;

    memset(session, 0, sizeof *session);
    snprintf(session->id, sizeof session->id, "%s", id);
    snprintf(session->user_name, sizeof session->user_name, "%s", user ? user : "");
    snprintf(session->display_name, sizeof session->display_name, "%s", name ? name : "");
    snprintf(session->client_id, sizeof session->client_id, "%s", client ? client : "");
    snprintf(session->object_id, sizeof session->object_id, "%s", object ? object : "");
    snprintf(session->issuer, sizeof session->issuer, "%s", issuer ? issuer : "");
    json_array_foreach(json_object_get(properties, "groups"), index, group)
    {
        if (json_string_length(group) > 0 &&
            json_string_length(group) < sizeof session->groups[0] &&
            session->group_count < PN_PRINCIPAL_GROUPS_MAX)
            snprintf(session->groups[session->group_count++], sizeof session->groups[0], "%s",
                     json_string_value(group));
    }
    session->epoch = pn_json_int(properties, "epoch", 0);
    session->expires_s = pn_json_int(properties, "expiresS", 0);
}

/* People still sign in by that issuer. */
static bool is_trusted(const struct pn_authority *authority, const char *issuer)
{
    const struct pn_trusted_issuer *trusted;

    for (size_t i = 0; i < PN_OIDC_TRUSTED_MAX; i++) {
        trusted = pn_oidc_trusted(authority->oidc, i);
        if (trusted && trusted->client_id[0] && strcmp(trusted->url, issuer) == 0)
            return true;
    }
    return false;
}

/* The person, or the application, is still there and may still sign in. */
static enum pn_rc check_owner(struct pn_authority *authority, struct session *session,
                              struct pn_error *err)
{
    struct user user = {0};
    struct client client = {0};
    enum pn_rc rc;

    if (session->issuer[0])
        return is_trusted(authority, session->issuer) ? PN_OK : PN_NOT_FOUND;
    if (session->user_name[0]) {
        rc = authority_user_get(authority, session->user_name, &user, err);
        if (rc == PN_OK &&
            (!user.is_enabled || user.sessions_epoch != session->epoch ||
             !pn_slice_case_eq_str(pn_slice_str(user.object_id), session->object_id)))
            rc = PN_NOT_FOUND;
        if (rc == PN_OK)
            snprintf(session->display_name, sizeof session->display_name, "%s", user.display_name);
        user_fini(&user);
        return rc;
    }
    rc = authority_client_get(authority, session->client_id, &client, err);
    if (rc == PN_OK && !pn_slice_case_eq_str(pn_slice_str(client.object_id), session->object_id))
        rc = PN_NOT_FOUND;
    client_fini(&client);
    return rc;
}

enum pn_rc authority_session_get(struct pn_authority *authority, const char *id,
                                 struct session *session, struct pn_error *err)
{
    char key[sizeof SESSION_PREFIX + 65];
    struct pn_store_item item = {0};
    enum pn_rc rc;

    memset(session, 0, sizeof *session);
    if (strlen(id) != 64)
        return PN_NOT_FOUND;
    snprintf(key, sizeof key, SESSION_PREFIX "%s", id);
    rc = pn_store_get(authority->store, key, &item, err);
    if (rc != PN_OK)
        return rc;
    take_body(session, id, item.body);
    pn_store_item_fini(&item);
    if (authority->now_s() >= session->expires_s)
        return PN_NOT_FOUND;
    return check_owner(authority, session, err);
}

enum pn_rc authority_session_of(struct pn_authority *authority, const struct pn_request *request,
                                struct session *session, struct pn_error *err)
{
    char id[65];

    make_id(authority_cookie(request, SESSION_COOKIE),
            pn_headers_get(&request->headers, SESSION_KEY_FIELD), id);
    return authority_session_get(authority, id, session, err);
}

/* Lets go of what has ended; of more than the limit, of the one that ends first. */
static enum pn_rc prune(struct pn_authority *authority, struct pn_store_txn *txn,
                        struct pn_error *err)
{
    struct pn_store_list list = {0};
    const char *first = NULL;
    int64_t first_s = INT64_MAX;
    size_t alive = 0;
    enum pn_rc rc = pn_store_txn_list(txn, SESSION_PREFIX, SESSION_TYPE, &list, err);

    for (size_t i = 0; rc == PN_OK && i < list.count; i++) {
        int64_t expires_s =
            pn_json_int(json_object_get(list.items[i].body, "properties"), "expiresS", 0);

        if (expires_s <= authority->now_s()) {
            rc = pn_store_delete(txn, list.items[i].id, err);
            continue;
        }
        alive++;
        if (expires_s < first_s) {
            first_s = expires_s;
            first = list.items[i].id;
        }
    }
    if (rc == PN_OK && alive >= PN_SESSIONS_MAX && first)
        rc = pn_store_delete(txn, first, err);
    pn_store_list_fini(&list);
    return rc;
}

static enum pn_rc store(struct pn_authority *authority, const struct session *session,
                        struct pn_error *err)
{
    char key[sizeof SESSION_PREFIX + 65];
    struct pn_store_txn *txn = NULL;
    json_t *body, *groups;
    enum pn_rc rc = pn_store_begin(authority->store, &txn, err);

    if (rc != PN_OK)
        return rc;
    groups = json_array();
    snprintf(key, sizeof key, SESSION_PREFIX "%s", session->id);
    rc = prune(authority, txn, err);
    for (size_t i = 0; session->issuer[0] && i < session->group_count; i++)
        json_array_append_new(groups, json_string(session->groups[i]));
    body = json_pack("{s:s, s:{s:s, s:s, s:s, s:s, s:s*, s:O*, s:I, s:I}}", "name", session->id,
                     "properties", "userName", session->user_name, "displayName",
                     session->display_name, "clientId", session->client_id, "objectId",
                     session->object_id, "issuer", session->issuer[0] ? session->issuer : NULL,
                     "groups", session->issuer[0] ? groups : NULL, "epoch",
                     (json_int_t)session->epoch, "expiresS", (json_int_t)session->expires_s);
    json_decref(groups);
    if (rc == PN_OK && !body)
        rc = PN_NOMEM;
    if (rc == PN_OK)
        rc = pn_store_put(txn, key, SESSION_TYPE, body, NULL, err);
    json_decref(body);
    if (rc == PN_OK)
        return pn_store_commit(txn, NULL, err);
    pn_store_rollback(txn);
    return rc;
}

enum pn_rc authority_session_begin(struct pn_authority *authority, struct session *session,
                                   struct pn_response *response, struct pn_buf *key,
                                   struct pn_error *err)
{
    uint8_t random[HALF_BYTES];
    struct pn_buf cookie;
    enum pn_rc rc;

    pn_buf_init_secret(&cookie, HALF_TEXT);
    pn_random(random, sizeof random);
    rc = pn_base64url_encode(pn_slice(random, sizeof random), &cookie);
    pn_random(random, sizeof random);
    if (rc == PN_OK)
        rc = pn_base64url_encode(pn_slice(random, sizeof random), key);
    pn_wipe(random, sizeof random);
    make_id(pn_buf_slice(&cookie), pn_buf_slice(key), session->id);
    session->expires_s = authority->now_s() + PN_SESSION_LIFETIME_S;
    if (rc == PN_OK)
        rc = store(authority, session, err);
    if (rc == PN_OK)
        rc = pn_response_header(response, "Set-Cookie",
                                SESSION_COOKIE "=%.*s; Path=/; Max-Age=%d; Secure; HttpOnly; "
                                               "SameSite=Strict",
                                PN_FMT(pn_buf_slice(&cookie)), PN_SESSION_LIFETIME_S);
    if (rc == PN_OK)
        pn_log(PN_LOG_INFO, "signed_in", "object", PN_S(session->object_id), NULL);
    pn_buf_fini(&cookie);
    return rc;
}

enum pn_rc authority_session_end(struct pn_authority *authority, const char *id,
                                 struct pn_error *err)
{
    char key[sizeof SESSION_PREFIX + 65];
    struct pn_store_txn *txn = NULL;
    enum pn_rc rc = pn_store_begin(authority->store, &txn, err);

    if (rc != PN_OK)
        return rc;
    snprintf(key, sizeof key, SESSION_PREFIX "%.64s", id);
    rc = pn_store_delete(txn, key, err);
    if (rc == PN_OK)
        return pn_store_commit(txn, NULL, err);
    pn_store_rollback(txn);
    return rc == PN_NOT_FOUND ? PN_OK : rc;
}
