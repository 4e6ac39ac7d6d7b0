/* SPDX-License-Identifier: Apache-2.0
 *
 * The directory of applications (app registrations of people and pipelines), in the form of
 * Microsoft Graph: `/msgraph/v1.0/applications` (GET, POST), `applications(appId='{client id}')`
 * (GET, PATCH of keyCredentials, DELETE) and below it `addPassword`, `removePassword` and
 * `federatedIdentityCredentials`. Only who may write roles of the subscription (its Owner) may do
 * this.
 */
#include <stdio.h>
#include <string.h>

#include "authority/authority_internal.h"
#include "base/encode.h"
#include "base/log.h"
#include "identity/roles.h"
#include "store/store.h"

#define ACTION                       "Microsoft.Authorization/roleAssignments/write"
#define DISPLAY_NAME_MAX             120
#define PN_APPLICATIONS_MAX          10000
#define APPLICATION_SECRETS_TEXT_MAX 256

void authority_directory_error(struct pn_response *response, int status, const char *code,
                               const char *message)
{
    json_t *json = json_pack("{s:{s:s, s:s}}", "error", "code", code, "message", message);

    authority_respond_json(response, status, json);
    json_decref(json);
}

void authority_directory_failure(struct pn_response *response, enum pn_rc rc,
                                 const struct pn_error *err, const char *noun)
{
    char message[80];

    if (rc == PN_NOT_FOUND) {
        snprintf(message, sizeof message, "There is no such %s.", noun);
        authority_directory_error(response, 404, "Request_ResourceNotFound", message);
    } else if (rc == PN_INVALID || rc == PN_MALFORMED || rc == PN_LIMIT || rc == PN_UNSUPPORTED) {
        authority_directory_error(response, 400, "Request_BadRequest", err->message);
    } else if (rc == PN_CONFLICT || rc == PN_EXISTS) {
        authority_directory_error(response, 409, "Request_Conflict", err->message);
    } else {
        pn_log_error(PN_LOG_ERROR, "directory_failed", err);
        authority_directory_error(response, 503, "ServiceUnavailable",
                                  "The directory cannot answer right now.");
    }
}

static void answer_failure(struct pn_response *response, enum pn_rc rc, const struct pn_error *err)
{
    authority_directory_failure(response, rc, err, "application");
}

static void answer_taken(struct pn_response *response, int status, json_t *json)
{
    authority_respond_json(response, status, json);
    json_decref(json);
}

/* The first subscription there is: its owner administers the directory. PN_NOT_FOUND. */
static enum pn_rc find_scope(struct pn_authority *authority, char scope[URL_TEXT],
                             struct pn_error *err)
{
    struct pn_store_list list = {0};
    enum pn_rc rc = pn_store_list(authority->store, "/subscriptions/",
                                  "Microsoft.Resources/subscriptions", &list, err);

    if (rc != PN_OK)
        return rc;
    if (list.count > 0)
        snprintf(scope, URL_TEXT, "%s", list.items[0].id);
    else
        rc = PN_NOT_FOUND;
    pn_store_list_fini(&list);
    return rc;
}

/* False: answered. */
bool authority_directory_caller(struct pn_authority *authority, const struct pn_request *request,
                                struct pn_response *response, struct pn_principal *principal)
{
    char arm[URL_TEXT + 16], graph[URL_TEXT + 16];
    const char *const audiences[] = {authority->control_url,
                                     arm,
                                     graph,
                                     "https://management.azure.com",
                                     "https://management.core.windows.net",
                                     "https://graph.microsoft.com",
                                     NULL};
    struct pn_slice token = pn_bearer_token(pn_headers_get(&request->headers, "Authorization"));
    struct pn_error err = {0};
    enum pn_rc rc = PN_DENIED;

    snprintf(arm, sizeof arm, "%s/arm", authority->control_url);
    snprintf(graph, sizeof graph, "%s/msgraph", authority->control_url);
    if (token.ptr)
        rc = pn_token_verify(authority->verifier, token, audiences, principal, &err);
    if (rc != PN_OK && rc != PN_DENIED) {
        authority_directory_failure(response, rc, &err, "token");
        return false;
    }
    if (rc != PN_OK) {
        authority_directory_error(response, 401, "InvalidAuthenticationToken",
                                  token.ptr ? err.message
                                            : "The 'Authorization' header is missing.");
        return false;
    }
    return true;
}

bool authority_directory_may(struct pn_authority *authority, const struct pn_request *request,
                             struct pn_response *response)
{
    struct pn_principal principal;
    char scope[URL_TEXT];
    struct pn_error err = {0};
    enum pn_rc rc;

    if (!authority_directory_caller(authority, request, response, &principal))
        return false;
    rc = find_scope(authority, scope, &err);
    if (rc == PN_OK)
        rc = pn_authorize(authority->store, &principal, ACTION, scope, &err);
    if (rc == PN_OK)
        return true;
    if (rc == PN_DENIED || rc == PN_NOT_FOUND)
        authority_directory_error(
            response, 403, "Authorization_RequestDenied",
            "Insufficient privileges: only an owner of the subscription may do this.");
    else
        authority_directory_failure(response, rc, &err, "subscription");
    return false;
}

/* ---- one application ---- */

static void get_one(struct pn_authority *authority, const char *id, struct pn_response *response)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    enum pn_rc rc = pn_store_get(authority->store, id, &item, &err);

    if (rc == PN_OK)
        answer_taken(response, 200, authority_application_json(item.body));
    else
        answer_failure(response, rc, &err);
    pn_store_item_fini(&item);
}

static void patch_one(struct pn_authority *authority, const struct pn_request *request,
                      const char *id, struct pn_response *response)
{
    struct pn_error err = {0};
    json_t *body = NULL, *given;
    enum pn_rc rc = pn_json_parse(request->body, &body, &err);

    given = json_object_get(body, "keyCredentials");
    if (rc == PN_OK && !json_is_array(given))
        rc = pn_error_set(&err, PN_INVALID, "keyCredentials",
                          "the body must have a list keyCredentials: nothing else can be changed");
    if (rc == PN_OK)
        rc = authority_application_change(authority, id, authority_application_keys, given, &err);
    json_decref(body);
    if (rc == PN_OK)
        response->status = 204;
    else
        answer_failure(response, rc, &err);
}

static void delete_one(struct pn_authority *authority, const char *id, struct pn_response *response)
{
    struct pn_store_item item = {0};
    struct pn_store_txn *txn = NULL;
    struct pn_error err = {0};
    enum pn_rc rc = pn_store_begin(authority->store, &txn, &err);

    if (rc == PN_OK)
        rc = pn_store_txn_get(txn, id, &item, &err);
    if (rc == PN_OK)
        rc = authority_keep_owner(authority, txn, item.body, &err);
    if (rc == PN_OK)
        rc = pn_store_delete(txn, id, &err);
    if (rc == PN_OK)
        rc = pn_store_commit(txn, NULL, &err);
    else
        pn_store_rollback(txn);
    pn_store_item_fini(&item);
    if (rc == PN_OK)
        response->status = 204;
    else
        answer_failure(response, rc, &err);
}

/* Written by hand at its end: the secret must not go through JSON's memory. */
static enum pn_rc write_password(struct pn_response *response,
                                 const struct application_password *password)
{
    struct pn_buf *out = &response->body;
    enum pn_rc rc;

    pn_buf_clear(out);
    rc = pn_json_dump(password->entry, out);
    if (rc != PN_OK || out->len == 0)
        return PN_NOMEM;
    out->len--; /* the closing brace */
    rc = pn_buf_append_str(out, ",\"secretText\":\"");
    if (rc == PN_OK)
        rc = pn_buf_append_slice(out, pn_buf_slice(&password->text));
    if (rc == PN_OK)
        rc = pn_buf_append_str(out, "\"}");
    if (rc == PN_OK)
        rc = pn_response_header(response, "Content-Type", "application/json; charset=utf-8");
    return rc;
}

static void add_password(struct pn_authority *authority, const struct pn_request *request,
                         const char *id, struct pn_response *response)
{
    struct application_password password = {0};
    struct pn_error err = {0};
    json_t *body = NULL;
    enum pn_rc rc = PN_OK;

    pn_buf_init_secret(&password.text, APPLICATION_SECRETS_TEXT_MAX);
    if (pn_slice_trim(request->body).len > 0)
        rc = pn_json_parse(request->body, &body, &err);
    password.given = json_object_get(body, "passwordCredential");
    if (rc == PN_OK)
        rc = authority_application_change(authority, id, authority_password_add, &password, &err);
    if (rc == PN_OK)
        rc = write_password(response, &password);
    if (rc != PN_OK)
        answer_failure(response, rc, &err);
    pn_buf_fini(&password.text);
    json_decref(password.entry);
    json_decref(body);
}

static void remove_password(struct pn_authority *authority, const struct pn_request *request,
                            const char *id, struct pn_response *response)
{
    struct pn_error err = {0};
    char key_id[PN_UUID_TEXT] = "";
    json_t *body = NULL;
    enum pn_rc rc = pn_json_parse(request->body, &body, &err);

    if (rc == PN_OK && !pn_is_uuid(pn_json_slice(body, "keyId")))
        rc = pn_error_set(&err, PN_INVALID, "keyId", "the body must have keyId, a UUID");
    if (rc == PN_OK) {
        snprintf(key_id, sizeof key_id, "%s", pn_json_str(body, "keyId"));
        rc = authority_application_change(authority, id, authority_password_remove, key_id, &err);
    }
    json_decref(body);
    if (rc == PN_OK)
        response->status = 204;
    else
        answer_failure(response, rc, &err);
}

static void handle_one(struct pn_authority *authority, const struct pn_request *request,
                       const struct pn_slice *segments, size_t count, struct pn_response *response)
{
    static const struct pn_slice head = {"applications(appId='", 20};
    struct pn_slice app_id = pn_slice_sub(segments[0], head.len, 36);
    bool is_post = pn_slice_eq_str(request->method, "POST");
    char id[sizeof CLIENT_PREFIX + PN_UUID_TEXT];

    bool is_federation =
        count > 1 && pn_slice_case_eq_str(segments[1], "federatedIdentityCredentials");

    if (!pn_slice_case_starts_with(segments[0], head) || segments[0].len != head.len + 38 ||
        !pn_slice_ends_with(segments[0], PN_LIT("')")) || !pn_is_uuid(app_id) ||
        count > (is_federation ? 3u : 2u)) {
        authority_directory_error(
            response, 404, "Request_ResourceNotFound",
            "The directory has applications and applications(appId='{client id}') only.");
        return;
    }
    snprintf(id, sizeof id, CLIENT_PREFIX "%.*s", PN_FMT(app_id));
    if (is_federation)
        authority_handle_federation(authority, request, id, count == 3 ? &segments[2] : NULL,
                                    response);
    else if (count == 1 && pn_slice_eq_str(request->method, "GET"))
        get_one(authority, id, response);
    else if (count == 1 && pn_slice_eq_str(request->method, "PATCH"))
        patch_one(authority, request, id, response);
    else if (count == 1 && pn_slice_eq_str(request->method, "DELETE"))
        delete_one(authority, id, response);
    else if (count == 2 && is_post && pn_slice_case_eq_str(segments[1], "addPassword"))
        add_password(authority, request, id, response);
    else if (count == 2 && is_post && pn_slice_case_eq_str(segments[1], "removePassword"))
        remove_password(authority, request, id, response);
    else
        authority_directory_error(
            response, 405, "Request_BadRequest",
            "An application takes GET, PATCH and DELETE, and POST of addPassword and "
            "removePassword.");
}

/* ---- all of them ---- */

static void list_all(struct pn_authority *authority, struct pn_response *response)
{
    struct pn_store_list list = {0};
    struct pn_error err = {0};
    json_t *value = json_array();
    enum pn_rc rc = pn_store_list(authority->store, CLIENT_PREFIX, CLIENT_TYPE, &list, &err);

    for (size_t i = 0; rc == PN_OK && i < list.count; i++)
        json_array_append_new(value, authority_application_json(list.items[i].body));
    pn_store_list_fini(&list);
    if (rc == PN_OK) {
        answer_taken(response, 200, json_pack("{s:o}", "value", value));
    } else {
        json_decref(value);
        answer_failure(response, rc, &err);
    }
}

static enum pn_rc create(struct pn_authority *authority, const char *display_name, json_t **made,
                         struct pn_error *err)
{
    char client_id[PN_UUID_TEXT], object_id[PN_UUID_TEXT];
    char id[sizeof CLIENT_PREFIX + PN_UUID_TEXT];
    struct pn_store_txn *txn = NULL;
    struct pn_store_list list = {0};
    json_t *body;
    enum pn_rc rc;

    pn_uuid_v4(client_id);
    pn_uuid_v4(object_id);
    snprintf(id, sizeof id, CLIENT_PREFIX "%s", client_id);
    body = json_pack("{s:s, s:{s:s, s:s, s:s}, s:{s:[], s:[]}}", "name", client_id, "properties",
                     "clientId", client_id, "objectId", object_id, "displayName", display_name,
                     "internal", "secrets", "certificates");
    if (!body)
        return PN_NOMEM;
    rc = pn_store_begin(authority->store, &txn, err);
    if (rc == PN_OK) {
        rc = pn_store_txn_list(txn, CLIENT_PREFIX, CLIENT_TYPE, &list, err);
        if (rc == PN_OK && list.count >= PN_APPLICATIONS_MAX)
            rc = pn_error_set(err, PN_LIMIT, "applications",
                              "the directory has %d applications, which is the limit",
                              PN_APPLICATIONS_MAX);
        pn_store_list_fini(&list);
        if (rc == PN_OK)
            rc = pn_store_put(txn, id, CLIENT_TYPE, body, NULL, err);
        if (rc == PN_OK)
            rc = pn_store_commit(txn, NULL, err);
        else
            pn_store_rollback(txn);
    }
    if (rc == PN_OK)
        *made = authority_application_json(body);
    json_decref(body);
    return rc;
}

static void create_one(struct pn_authority *authority, const struct pn_request *request,
                       struct pn_response *response)
{
    struct pn_error err = {0};
    json_t *body = NULL, *made = NULL;
    const char *name;
    enum pn_rc rc = pn_json_parse(request->body, &body, &err);

    name = pn_json_str(body, "displayName");
    if (rc == PN_OK && (!name || !*name || strlen(name) > DISPLAY_NAME_MAX))
        rc = pn_error_set(&err, PN_INVALID, "displayName",
                          "displayName is required, a text of at most %d bytes", DISPLAY_NAME_MAX);
    if (rc == PN_OK)
        rc = create(authority, name, &made, &err);
    json_decref(body);
    if (rc == PN_OK)
        answer_taken(response, 201, made);
    else
        answer_failure(response, rc, &err);
}

void authority_handle_directory(struct pn_authority *authority, const struct pn_request *request,
                                const struct pn_slice *segments, size_t count,
                                struct pn_response *response)
{
    if (!authority_directory_may(authority, request, response))
        return;
    if (count > 1 || !pn_slice_case_eq_str(segments[0], "applications"))
        handle_one(authority, request, segments, count, response);
    else if (pn_slice_eq_str(request->method, "GET"))
        list_all(authority, response);
    else if (pn_slice_eq_str(request->method, "POST"))
        create_one(authority, request, response);
    else
        authority_directory_error(response, 405, "Request_BadRequest",
                                  "Applications take GET and POST.");
}
