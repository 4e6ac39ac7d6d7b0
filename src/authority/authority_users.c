/* SPDX-License-Identifier: Apache-2.0
 *
 * Local accounts: people of the directory, administered in the form of Microsoft Graph's users
 * (POST, GET, PATCH, DELETE of /msgraph/v1.0/users). A body in the store is {"name", "properties":
 * {"objectId", "displayName", "isEnabled"}, "internal": {"password", "sessionsEpoch"}}. A new
 * password, and an account that is switched off, end the sessions.
 */
#include <stdio.h>
#include <string.h>

#include "authority/authority_internal.h"
#include "base/log.h"
#include "store/store.h"

void user_fini(struct user *user)
{
    json_decref(user->body);
    memset(user, 0, sizeof *user);
}

/* Letters, digits and . _ - @, in one case: what a mail address or a login name has. */
static bool is_name(struct pn_slice name)
{
    if (name.len == 0 || name.len > USER_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (i > 0 && (c == '.' || c == '_' || c == '-' || c == '@'))))
            return false;
    }
    return true;
}

static void take_body(struct user *user, json_t *body)
{
    const json_t *properties = json_object_get(body, "properties");
    const char *display = pn_json_str(properties, "displayName");
    const char *object = pn_json_str(properties, "objectId");
    const char *name = pn_json_str(body, "name");

    snprintf(user->name, sizeof user->name, "%s", name ? name : "");
    snprintf(user->display_name, sizeof user->display_name, "%s", display ? display : user->name);
    snprintf(user->object_id, sizeof user->object_id, "%s", object ? object : "");
    user->is_enabled = pn_json_bool(properties, "isEnabled", true);
    user->sessions_epoch = pn_json_int(json_object_get(body, "internal"), "sessionsEpoch", 0);
    user->body = json_incref(body);
}

enum pn_rc authority_user_get(struct pn_authority *authority, const char *name, struct user *user,
                              struct pn_error *err)
{
    char id[sizeof USER_PREFIX + USER_NAME_MAX];
    struct pn_store_item item = {0};
    enum pn_rc rc;

    memset(user, 0, sizeof *user);
    if (!is_name(pn_slice_str(name)))
        return pn_error_set(err, PN_NOT_FOUND, "no_user", "there is no such account");
    snprintf(id, sizeof id, USER_PREFIX "%s", name);
    rc = pn_store_get(authority->store, id, &item, err);
    if (rc != PN_OK)
        return rc;
    take_body(user, item.body);
    pn_store_item_fini(&item);
    return PN_OK;
}

/* One peer may not try many names, and nobody may try one name often. */
static bool is_limited(struct pn_authority *authority, uint64_t account, uint64_t peer)
{
    return authority_is_limited(authority, account, PN_SECRET_FAILURES_MAX) ||
           authority_is_limited(authority, peer, PN_PEER_FAILURES_MAX);
}

enum pn_rc authority_check_password(struct pn_authority *authority, struct pn_slice name,
                                    struct pn_slice password, const char *peer, struct user *user,
                                    struct pn_error *err)
{
    uint64_t peer_key = authority_peer_hash(peer) * 31 + 1;
    uint64_t account_key = pn_slice_case_hash(name) ^ peer_key;
    char text[USER_NAME_MAX + 1];
    const json_t *record = NULL;
    enum pn_rc rc;

    memset(user, 0, sizeof *user);
    if (is_limited(authority, account_key, peer_key))
        return pn_error_set(err, PN_LIMIT, "temporarily_unavailable",
                            "Too many wrong passwords were sent. Wait %d seconds, then try again.",
                            PN_SECRET_FAILURE_WINDOW_S);
    snprintf(text, sizeof text, "%.*s", PN_FMT(pn_slice_sub(name, 0, USER_NAME_MAX)));
    rc = authority_user_get(authority, name.len <= USER_NAME_MAX ? text : "", user, err);
    if (rc != PN_OK && rc != PN_NOT_FOUND)
        return rc;
    if (rc == PN_OK && user->is_enabled)
        record = json_object_get(json_object_get(user->body, "internal"), "password");
    rc = authority_password_check(authority, record,
                                  pn_slice_sub(password, 0, PN_PASSWORD_BYTES_MAX + 1), err);
    if (rc != PN_DENIED)
        return rc;
    user_fini(user);
    authority_count_failure(authority, account_key);
    authority_count_failure(authority, peer_key);
    pn_log(PN_LOG_WARN, "sign_in_refused", "reason", PN_S("wrong_password"), "peer",
           PN_S(peer ? peer : ""), NULL);
    return pn_error_set(err, PN_DENIED, "invalid_grant", "The user name or the password is wrong.");
}

/* ---- /msgraph/v1.0/users -------------------------------------------------------------------- */

static json_t *user_json(const json_t *body)
{
    const json_t *properties = json_object_get(body, "properties");

    return json_pack("{s:O, s:O, s:O, s:O}", "id", json_object_get(properties, "objectId"),
                     "userPrincipalName", json_object_get(body, "name"), "displayName",
                     json_object_get(properties, "displayName"), "accountEnabled",
                     json_object_get(properties, "isEnabled"));
}

static void list_users(struct pn_authority *authority, struct pn_response *response)
{
    struct pn_store_list list = {0};
    struct pn_error err = {0};
    json_t *value = json_array(), *json;
    enum pn_rc rc = pn_store_list(authority->store, USER_PREFIX, USER_TYPE, &list, &err);

    for (size_t i = 0; rc == PN_OK && i < list.count; i++)
        json_array_append_new(value, user_json(list.items[i].body));
    pn_store_list_fini(&list);
    if (rc != PN_OK) {
        json_decref(value);
        authority_directory_failure(response, rc, &err, "user");
        return;
    }
    json = json_pack("{s:o}", "value", value);
    authority_respond_json(response, 200, json);
    json_decref(json);
}

/* Its name, or its object id: fills `id` of the store. */
static enum pn_rc find_user(struct pn_authority *authority, struct pn_slice given,
                            struct pn_store_item *item, struct pn_error *err)
{
    char id[sizeof USER_PREFIX + USER_NAME_MAX];
    struct pn_store_list list = {0};
    enum pn_rc rc;

    if (!pn_is_uuid(given)) {
        if (!is_name(given))
            return PN_NOT_FOUND;
        snprintf(id, sizeof id, USER_PREFIX "%.*s", PN_FMT(given));
        return pn_store_get(authority->store, id, item, err);
    }
    rc = pn_store_list(authority->store, USER_PREFIX, USER_TYPE, &list, err);
    id[0] = '\0';
    for (size_t i = 0; rc == PN_OK && i < list.count; i++) {
        if (pn_slice_case_eq(
                pn_json_slice(json_object_get(list.items[i].body, "properties"), "objectId"),
                given))
            snprintf(id, sizeof id, "%s", list.items[i].id);
    }
    pn_store_list_fini(&list);
    if (rc == PN_OK)
        rc = id[0] ? pn_store_get(authority->store, id, item, err) : PN_NOT_FOUND;
    return rc;
}

/* What a request says of a user. Texts are borrowed from `body`. */
struct change {
    json_t *body;
    struct pn_slice name, display_name, password;
    const json_t *is_enabled; /* NULL: not said */
    json_t *record;           /* of the password; NULL: not said. Ours */
};

static void change_fini(struct change *change)
{
    json_decref(change->record);
    json_decref(change->body);
}

/* Hashing a password takes long, so it is done here, before a transaction is begun. */
static enum pn_rc read_change(struct pn_authority *authority, const struct pn_request *request,
                              struct change *change, struct pn_error *err)
{
    enum pn_rc rc = pn_json_parse(request->body, &change->body, err);

    if (rc != PN_OK)
        return rc;
    change->name = pn_json_slice(change->body, "userPrincipalName");
    change->display_name = pn_json_slice(change->body, "displayName");
    change->password = pn_json_slice(json_object_get(change->body, "passwordProfile"), "password");
    change->is_enabled = json_object_get(change->body, "accountEnabled");
    if (change->is_enabled && !json_is_boolean(change->is_enabled))
        return pn_error_set(err, PN_INVALID, "accountEnabled", "accountEnabled is true or false");
    if (change->display_name.len > USER_DISPLAY_MAX)
        return pn_error_set(err, PN_INVALID, "displayName", "displayName has at most %d bytes",
                            USER_DISPLAY_MAX);
    if (change->password.ptr)
        rc = authority_password_make(authority, change->password, &change->record, err);
    return rc;
}

/* Writes what `change` says over `body`. */
static enum pn_rc apply(const struct change *change, json_t *body)
{
    json_t *properties = json_object_get(body, "properties");
    json_t *internal = json_object_get(body, "internal");
    int64_t epoch = pn_json_int(internal, "sessionsEpoch", 0);
    int failed = 0;

    if (change->display_name.len > 0)
        failed |= json_object_set_new(properties, "displayName",
                                      pn_json_from_slice(change->display_name));
    if (change->is_enabled)
        failed |= json_object_set_new(properties, "isEnabled",
                                      json_boolean(json_is_true(change->is_enabled)));
    if (change->record)
        failed |= json_object_set(internal, "password", change->record);
    if (change->record || json_is_false(change->is_enabled))
        failed |= json_object_set_new(internal, "sessionsEpoch", json_integer(epoch + 1));
    return failed ? PN_NOMEM : PN_OK;
}

static enum pn_rc check_new(struct pn_store_txn *txn, const char *id, struct pn_error *err)
{
    struct pn_store_list list = {0};
    struct pn_store_item item = {0};
    enum pn_rc rc = pn_store_txn_get(txn, id, &item, err);

    pn_store_item_fini(&item);
    if (rc == PN_OK)
        return pn_error_set(err, PN_EXISTS, "userPrincipalName",
                            "Another object with the same value for property userPrincipalName "
                            "already exists.");
    if (rc == PN_NOT_FOUND)
        rc = pn_store_txn_list(txn, USER_PREFIX, USER_TYPE, &list, err);
    if (rc == PN_OK && list.count >= PN_USERS_MAX)
        rc = pn_error_set(err, PN_LIMIT, "users", "there are %d accounts already", PN_USERS_MAX);
    pn_store_list_fini(&list);
    return rc;
}

static enum pn_rc add(struct pn_authority *authority, const char *id, json_t *body,
                      struct pn_error *err)
{
    struct pn_store_txn *txn = NULL;
    enum pn_rc rc = pn_store_begin(authority->store, &txn, err);

    if (rc != PN_OK)
        return rc;
    rc = check_new(txn, id, err);
    if (rc == PN_OK)
        rc = pn_store_put(txn, id, USER_TYPE, body, NULL, err);
    if (rc == PN_OK)
        return pn_store_commit(txn, NULL, err);
    pn_store_rollback(txn);
    return rc;
}

/* Over what is stored now, which another request may have changed since this one was read. */
static enum pn_rc change_stored(struct pn_authority *authority, const char *id,
                                const struct change *change, struct pn_error *err)
{
    struct pn_store_item item = {0};
    struct pn_store_txn *txn = NULL;
    json_t *body = NULL;
    enum pn_rc rc = pn_store_begin(authority->store, &txn, err);

    if (rc != PN_OK)
        return rc;
    rc = pn_store_txn_get(txn, id, &item, err);
    if (rc == PN_OK) {
        body = json_deep_copy(item.body);
        rc = body ? apply(change, body) : PN_NOMEM;
    }
    if (rc == PN_OK)
        rc = pn_store_put(txn, id, USER_TYPE, body, NULL, err);
    json_decref(body);
    pn_store_item_fini(&item);
    if (rc == PN_OK)
        return pn_store_commit(txn, NULL, err);
    pn_store_rollback(txn);
    return rc;
}

static void create_user(struct pn_authority *authority, const struct pn_request *request,
                        struct pn_response *response)
{
    struct change change = {0};
    struct pn_error err = {0};
    char id[sizeof USER_PREFIX + USER_NAME_MAX], object_id[PN_UUID_TEXT];
    json_t *body = NULL, *json;
    enum pn_rc rc = read_change(authority, request, &change, &err);

    pn_uuid_v4(object_id);
    if (rc == PN_OK && !is_name(change.name))
        rc = pn_error_set(&err, PN_INVALID, "userPrincipalName",
                          "userPrincipalName must have 1 to %d letters, digits and . _ - @, and "
                          "begin with a letter or digit",
                          USER_NAME_MAX);
    if (rc == PN_OK && !change.password.ptr)
        rc = pn_error_set(&err, PN_INVALID, "passwordProfile",
                          "passwordProfile.password is missing");
    if (rc == PN_OK) {
        snprintf(id, sizeof id, USER_PREFIX "%.*s", PN_FMT(change.name));
        body = json_pack("{s:s%, s:{s:s, s:s%, s:b}, s:{}}", "name", change.name.ptr,
                         change.name.len, "properties", "objectId", object_id, "displayName",
                         change.name.ptr, change.name.len, "isEnabled", 1, "internal");
        rc = body ? apply(&change, body) : PN_NOMEM;
    }
    if (rc == PN_OK)
        rc = add(authority, id, body, &err);
    if (rc == PN_OK) {
        json = user_json(body);
        authority_respond_json(response, 201, json);
        json_decref(json);
        pn_log(PN_LOG_INFO, "user_added", "object", PN_S(object_id), NULL);
    } else {
        authority_directory_failure(response, rc, &err, "user");
    }
    json_decref(body);
    change_fini(&change);
}

static void change_user(struct pn_authority *authority, const struct pn_request *request,
                        const struct pn_store_item *item, struct pn_response *response)
{
    struct change change = {0};
    struct pn_error err = {0};
    enum pn_rc rc = read_change(authority, request, &change, &err);

    if (rc == PN_OK)
        rc = change_stored(authority, item->id, &change, &err);
    if (rc == PN_OK)
        response->status = 204;
    else
        authority_directory_failure(response, rc, &err, "user");
    change_fini(&change);
}

static void delete_user(struct pn_authority *authority, const struct pn_store_item *item,
                        struct pn_response *response)
{
    struct pn_store_txn *txn = NULL;
    struct pn_error err = {0};
    enum pn_rc rc = pn_store_begin(authority->store, &txn, &err);

    if (rc == PN_OK)
        rc = pn_store_delete(txn, item->id, &err);
    if (rc == PN_OK)
        rc = pn_store_commit(txn, NULL, &err);
    else
        pn_store_rollback(txn);
    if (rc == PN_OK)
        response->status = 204;
    else
        authority_directory_failure(response, rc, &err, "user");
}

static void handle_one(struct pn_authority *authority, const struct pn_request *request,
                       struct pn_slice segment, struct pn_response *response)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    enum pn_rc rc = find_user(authority, segment, &item, &err);

    if (rc != PN_OK) {
        authority_directory_failure(response, rc, &err, "user");
    } else if (pn_slice_eq_str(request->method, "GET")) {
        json_t *json = user_json(item.body);

        authority_respond_json(response, 200, json);
        json_decref(json);
    } else if (pn_slice_eq_str(request->method, "PATCH")) {
        change_user(authority, request, &item, response);
    } else if (pn_slice_eq_str(request->method, "DELETE")) {
        delete_user(authority, &item, response);
    } else {
        authority_directory_error(response, 405, "Request_BadRequest",
                                  "A user takes GET, PATCH and DELETE.");
    }
    pn_store_item_fini(&item);
}

void authority_handle_users(struct pn_authority *authority, const struct pn_request *request,
                            const struct pn_slice *segment, struct pn_response *response)
{
    if (!authority_directory_may(authority, request, response))
        return;
    if (segment)
        handle_one(authority, request, *segment, response);
    else if (pn_slice_eq_str(request->method, "GET"))
        list_users(authority, response);
    else if (pn_slice_eq_str(request->method, "POST"))
        create_user(authority, request, response);
    else
        authority_directory_error(response, 405, "Request_BadRequest", "Users take GET and POST.");
}
