/* SPDX-License-Identifier: Apache-2.0
 *
 * The directory of applications, as far as an administrator needs it to log in by certificate: GET
 * and PATCH of `/msgraph/v1.0/applications(appId='{client id}')` in the form of Microsoft Graph.
 * keyCredentials is replaced as a whole: an entry with "key" (base64 of a DER certificate) is new,
 * one with "keyId" alone is kept. Only who may write roles of the subscription (its Owner) may do
 * this.
 */
#include <stdio.h>
#include <string.h>

#include "authority/authority_internal.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/log.h"
#include "store/store.h"

#define CERTIFICATE_MAX (64u * 1024)
#define ACTION          "Microsoft.Authorization/roleAssignments/write"

static void answer_error(struct pn_response *response, int status, const char *code,
                         const char *message)
{
    json_t *json = json_pack("{s:{s:s, s:s}}", "error", "code", code, "message", message);

    authority_respond_json(response, status, json);
    json_decref(json);
}

static void answer_failure(struct pn_response *response, enum pn_rc rc, const struct pn_error *err)
{
    if (rc == PN_NOT_FOUND)
        answer_error(response, 404, "Request_ResourceNotFound", "There is no such application.");
    else if (rc == PN_INVALID || rc == PN_MALFORMED || rc == PN_LIMIT || rc == PN_UNSUPPORTED)
        answer_error(response, 400, "Request_BadRequest", err->message);
    else {
        pn_log_error(PN_LOG_ERROR, "application_failed", err);
        answer_error(response, 503, "ServiceUnavailable", "The directory cannot answer right now.");
    }
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
static bool may(struct pn_authority *authority, const struct pn_request *request,
                struct pn_response *response)
{
    char arm[URL_TEXT + 16], graph[URL_TEXT + 16], scope[URL_TEXT];
    const char *const audiences[] = {authority->control_url,
                                     arm,
                                     graph,
                                     "https://management.azure.com",
                                     "https://management.core.windows.net",
                                     "https://graph.microsoft.com",
                                     NULL};
    struct pn_slice token = pn_bearer_token(pn_headers_get(&request->headers, "Authorization"));
    struct pn_principal principal;
    struct pn_error err = {0};
    enum pn_rc rc;

    snprintf(arm, sizeof arm, "%s/arm", authority->control_url);
    snprintf(graph, sizeof graph, "%s/msgraph", authority->control_url);
    if (!token.ptr ||
        pn_token_verify(authority->verifier, token, audiences, &principal, &err) != PN_OK) {
        answer_error(response, 401, "InvalidAuthenticationToken",
                     token.ptr ? err.message : "The 'Authorization' header is missing.");
        return false;
    }
    rc = find_scope(authority, scope, &err);
    if (rc == PN_OK)
        rc = pn_authorize(authority->store, &principal, ACTION, scope, &err);
    if (rc == PN_OK)
        return true;
    if (rc == PN_DENIED || rc == PN_NOT_FOUND)
        answer_error(response, 403, "Authorization_RequestDenied",
                     "Insufficient privileges: only an owner of the subscription may do this.");
    else
        answer_failure(response, rc, &err);
    return false;
}

static json_t *application_json(const json_t *body)
{
    const json_t *properties = json_object_get(body, "properties");
    const json_t *internal = json_object_get(body, "internal");
    json_t *keys = json_array(), *passwords = json_array(), *entry;
    char not_after[PN_TIME_TEXT];
    size_t index;

    json_array_foreach(json_object_get(internal, "certificates"), index, entry)
    {
        pn_time_iso8601(pn_json_int(entry, "notAfter", 0), not_after);
        json_array_append_new(
            keys, json_pack("{s:O, s:O, s:s, s:s, s:s}", "keyId", json_object_get(entry, "keyId"),
                            "customKeyIdentifier", json_object_get(entry, "sha1"), "type",
                            "AsymmetricX509Cert", "usage", "Verify", "endDateTime", not_after));
    }
    json_array_foreach(json_object_get(internal, "secrets"), index, entry)
    {
        json_array_append_new(passwords,
                              json_pack("{s:O}", "keyId", json_object_get(entry, "keyId")));
    }
    return json_pack("{s:O, s:O, s:O, s:o, s:o}", "id", json_object_get(properties, "objectId"),
                     "appId", json_object_get(properties, "clientId"), "displayName",
                     json_object_get(properties, "displayName"), "keyCredentials", keys,
                     "passwordCredentials", passwords);
}

static json_t *find_key(json_t *certificates, struct pn_slice key_id)
{
    json_t *entry;
    size_t index;

    json_array_foreach(certificates, index, entry)
    {
        if (pn_slice_case_eq(pn_json_slice(entry, "keyId"), key_id))
            return entry;
    }
    return NULL;
}

/* The list as the request wants it. */
static enum pn_rc make_list(const struct pn_authority *authority, json_t *former,
                            const json_t *given, json_t *made, struct pn_error *err)
{
    json_t *entry;
    size_t index;

    json_array_foreach(given, index, entry)
    {
        struct pn_slice key = pn_json_slice(entry, "key");
        json_t *kept = find_key(former, pn_json_slice(entry, "keyId"));
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

static enum pn_rc change_keys(struct pn_authority *authority, const char *id, const json_t *given,
                              struct pn_error *err)
{
    struct pn_store_item item = {0};
    struct pn_store_txn *txn = NULL;
    json_t *internal, *made = json_array();
    enum pn_rc rc = pn_store_begin(authority->store, &txn, err);

    if (rc == PN_OK)
        rc = pn_store_txn_get(txn, id, &item, err);
    internal = json_object_get(item.body, "internal");
    if (rc == PN_OK)
        rc = make_list(authority, json_object_get(internal, "certificates"), given, made, err);
    if (rc == PN_OK && json_object_set(internal, "certificates", made) != 0)
        rc = PN_NOMEM;
    if (rc == PN_OK)
        rc = pn_store_put(txn, item.id, CLIENT_TYPE, item.body, NULL, err);
    if (rc == PN_OK)
        rc = pn_store_commit(txn, NULL, err);
    else
        pn_store_rollback(txn);
    json_decref(made);
    pn_store_item_fini(&item);
    return rc;
}

static void patch(struct pn_authority *authority, const struct pn_request *request, const char *id,
                  struct pn_response *response)
{
    struct pn_error err = {0};
    json_t *body = NULL;
    const json_t *given;
    enum pn_rc rc = pn_json_parse(request->body, &body, &err);

    given = json_object_get(body, "keyCredentials");
    if (rc == PN_OK && !json_is_array(given))
        rc = pn_error_set(&err, PN_INVALID, "keyCredentials",
                          "the body must have a list keyCredentials: nothing else can be changed");
    if (rc == PN_OK)
        rc = change_keys(authority, id, given, &err);
    json_decref(body);
    if (rc == PN_OK)
        response->status = 204;
    else
        answer_failure(response, rc, &err);
}

static void get(struct pn_authority *authority, const char *id, struct pn_response *response)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    enum pn_rc rc = pn_store_get(authority->store, id, &item, &err);
    json_t *json;

    if (rc != PN_OK) {
        answer_failure(response, rc, &err);
        return;
    }
    json = application_json(item.body);
    authority_respond_json(response, 200, json);
    json_decref(json);
    pn_store_item_fini(&item);
}

void authority_handle_application(struct pn_authority *authority, const struct pn_request *request,
                                  struct pn_slice segment, struct pn_response *response)
{
    static const struct pn_slice head = {"applications(appId='", 20};
    struct pn_slice app_id = pn_slice_sub(segment, head.len, 36);
    char id[sizeof CLIENT_PREFIX + PN_UUID_TEXT];

    if (!may(authority, request, response))
        return;
    if (!pn_slice_case_starts_with(segment, head) || segment.len != head.len + 38 ||
        !pn_slice_ends_with(segment, PN_LIT("')")) || !pn_is_uuid(app_id)) {
        answer_error(response, 404, "Request_ResourceNotFound",
                     "The directory has applications(appId='{client id}') only.");
        return;
    }
    snprintf(id, sizeof id, CLIENT_PREFIX "%.*s", PN_FMT(app_id));
    if (pn_slice_eq_str(request->method, "GET"))
        get(authority, id, response);
    else if (pn_slice_eq_str(request->method, "PATCH"))
        patch(authority, request, id, response);
    else
        answer_error(response, 405, "Request_BadRequest", "An application takes GET and PATCH.");
}
