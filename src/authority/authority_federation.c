/* SPDX-License-Identifier: Apache-2.0
 *
 * Federated credentials of an application, in the form of Microsoft Graph:
 * applications(appId='…')/federatedIdentityCredentials (GET, POST) and below it one by its name or
 * id (GET, PATCH, DELETE). They stand in the application's document at internal.federated.
 */
#include <stdio.h>
#include <string.h>

#include "authority/authority_internal.h"
#include "base/encode.h"
#include "oidc/oidc.h"
#include "store/store.h"

#define CREDENTIALS_MAX  20
#define AUDIENCES_MAX    10
#define NAME_MAX_BYTES   120
#define TEXT_BYTES_MAX   600
#define DEFAULT_AUDIENCE "api://AzureADTokenExchange"

/* What a request wants done to the list, and what it is then to answer. */
struct change {
    const json_t *given;  /* NULL: take away */
    struct pn_slice name; /* name or id; ptr NULL: a new one */
    json_t *made;         /* the caller's reference */
};

static json_t *find(json_t *list, struct pn_slice name, size_t *position)
{
    json_t *entry;
    size_t index;

    json_array_foreach(list, index, entry)
    {
        *position = index;
        if (pn_slice_case_eq(pn_json_slice(entry, "name"), name) ||
            pn_slice_case_eq(pn_json_slice(entry, "id"), name))
            return entry;
    }
    return NULL;
}

static bool is_name(struct pn_slice text)
{
    if (text.len < 3 || text.len > NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool is_alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (!is_alnum && (i == 0 || (c != '-' && c != '_')))
            return false;
    }
    return true;
}

static enum pn_rc bad(struct pn_error *err, const char *member, const char *message)
{
    return pn_error_set(err, PN_INVALID, member, "%s", message);
}

static enum pn_rc check(const json_t *entry, struct pn_error *err)
{
    struct pn_slice issuer = pn_json_slice(entry, "issuer");
    struct pn_slice subject = pn_json_slice(entry, "subject");
    const json_t *audiences = json_object_get(entry, "audiences");
    json_t *audience;
    size_t index;

    if (!is_name(pn_json_slice(entry, "name")))
        return bad(err, "name", "name must have 3 to 120 letters, digits, '-' and '_'");
    if (!pn_slice_starts_with(issuer, PN_LIT("https://")) || issuer.len >= PN_OIDC_URL_MAX)
        return bad(err, "issuer",
                   "issuer must be the https URL of an OpenID Connect issuer, as its tokens have "
                   "it");
    if (subject.len == 0 || subject.len > TEXT_BYTES_MAX)
        return bad(err, "subject",
                   "subject must be the subject of the issuer's tokens, a text of "
                   "at most 600 bytes");
    if (!json_is_array(audiences) || json_array_size(audiences) == 0 ||
        json_array_size(audiences) > AUDIENCES_MAX)
        return bad(err, "audiences", "audiences must be a list of 1 to 10 texts");
    json_array_foreach(audiences, index, audience)
    {
        if (json_string_length(audience) == 0 || json_string_length(audience) > TEXT_BYTES_MAX)
            return bad(err, "audiences", "audiences must be a list of texts");
    }
    return PN_OK;
}

/* The entry as it will be: what is given over what was. */
static json_t *merge(const json_t *given, const json_t *former)
{
    static const char *const members[] = {"issuer", "subject", "audiences", "description", NULL};
    char id[PN_UUID_TEXT];
    json_t *made;

    pn_uuid_v4(id);
    made = former ? json_deep_copy(former)
                  : json_pack("{s:s, s:O?, s:[s]}", "id", id, "name",
                              json_object_get(given, "name"), "audiences", DEFAULT_AUDIENCE);
    for (size_t i = 0; made && members[i]; i++) {
        if (json_object_get(given, members[i]) &&
            json_object_set(made, members[i], json_object_get(given, members[i])) != 0) {
            json_decref(made);
            made = NULL;
        }
    }
    return made;
}

/* No two for the same issuer and subject, and none of the same name. */
static enum pn_rc check_twins(json_t *list, const json_t *made, const json_t *former,
                              struct pn_error *err)
{
    json_t *entry;
    size_t index;

    json_array_foreach(list, index, entry)
    {
        if (entry == former)
            continue;
        if (pn_slice_case_eq(pn_json_slice(entry, "name"), pn_json_slice(made, "name")))
            return pn_error_set(err, PN_CONFLICT, "name",
                                "FederatedIdentityCredential with name %s already exists.",
                                pn_json_str(made, "name"));
        if (json_equal(json_object_get(entry, "issuer"), json_object_get(made, "issuer")) &&
            json_equal(json_object_get(entry, "subject"), json_object_get(made, "subject")))
            return pn_error_set(err, PN_CONFLICT, "subject",
                                "Issuer and subject are those of the credential %s already.",
                                pn_json_str(entry, "name"));
    }
    return PN_OK;
}

static enum pn_rc apply(struct pn_authority *authority, struct pn_store_txn *txn, json_t *body,
                        void *ctx, struct pn_error *err)
{
    struct change *change = ctx;
    json_t *internal = json_object_get(body, "internal");
    json_t *list = json_object_get(internal, "federated"), *former = NULL;
    size_t position = 0;
    enum pn_rc rc;

    (void)authority;
    (void)txn;
    if (!list) {
        list = json_array();
        if (json_object_set_new(internal, "federated", list) != 0)
            return PN_NOMEM;
    }
    if (change->name.ptr) {
        former = find(list, change->name, &position);
        if (!former)
            return PN_NOT_FOUND;
    }
    if (!change->given)
        return json_array_remove(list, position) == 0 ? PN_OK : PN_INTERNAL;
    if (!former && json_array_size(list) >= CREDENTIALS_MAX)
        return pn_error_set(err, PN_LIMIT, "federatedIdentityCredentials",
                            "an application has at most %d federated credentials", CREDENTIALS_MAX);
    change->made = merge(change->given, former);
    if (!change->made)
        return PN_NOMEM;
    rc = check(change->made, err);
    if (rc == PN_OK)
        rc = check_twins(list, change->made, former, err);
    if (rc != PN_OK)
        return rc;
    return (former ? json_array_set(list, position, change->made)
                   : json_array_append(list, change->made)) == 0
               ? PN_OK
               : PN_NOMEM;
}

static void read(struct pn_authority *authority, const char *id, struct pn_slice name,
                 struct pn_response *response)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    json_t *list, *json = NULL;
    size_t position;
    enum pn_rc rc = pn_store_get(authority->store, id, &item, &err);

    list = json_object_get(json_object_get(item.body, "internal"), "federated");
    if (rc == PN_OK && name.ptr) {
        json = json_incref(find(list, name, &position));
        rc = json ? PN_OK : PN_NOT_FOUND;
    } else if (rc == PN_OK) {
        json = json_pack("{s:o}", "value", list ? json_incref(list) : json_array());
    }
    if (rc == PN_OK)
        authority_respond_json(response, 200, json);
    else
        authority_directory_failure(response, rc, &err,
                                    item.body ? "federated credential" : "application");
    json_decref(json);
    pn_store_item_fini(&item);
}

static void write(struct pn_authority *authority, const struct pn_request *request, const char *id,
                  struct pn_slice name, struct pn_response *response)
{
    struct change change = {.name = name};
    struct pn_error err = {0};
    json_t *body = NULL;
    enum pn_rc rc = pn_json_parse(request->body, &body, &err);

    if (rc == PN_OK && !json_is_object(body))
        rc = bad(&err, "body", "the body must be a JSON object");
    change.given = body;
    if (rc == PN_OK)
        rc = authority_application_change(authority, id, apply, &change, &err);
    if (rc != PN_OK)
        authority_directory_failure(response, rc, &err, "application or federated credential");
    else if (name.ptr)
        response->status = 204;
    else
        authority_respond_json(response, 201, change.made);
    json_decref(change.made);
    json_decref(body);
}

static void take_away(struct pn_authority *authority, const char *id, struct pn_slice name,
                      struct pn_response *response)
{
    struct change change = {.name = name};
    struct pn_error err = {0};
    enum pn_rc rc = authority_application_change(authority, id, apply, &change, &err);

    if (rc == PN_OK)
        response->status = 204;
    else
        authority_directory_failure(response, rc, &err, "application or federated credential");
}

void authority_handle_federation(struct pn_authority *authority, const struct pn_request *request,
                                 const char *id, const struct pn_slice *segment,
                                 struct pn_response *response)
{
    struct pn_slice name = segment ? *segment : (struct pn_slice){NULL, 0};

    if (pn_slice_eq_str(request->method, "GET"))
        read(authority, id, name, response);
    else if (!segment && pn_slice_eq_str(request->method, "POST"))
        write(authority, request, id, name, response);
    else if (segment && pn_slice_eq_str(request->method, "PATCH"))
        write(authority, request, id, name, response);
    else if (segment && pn_slice_eq_str(request->method, "DELETE"))
        take_away(authority, id, name, response);
    else
        authority_directory_error(response, 405, "Request_BadRequest",
                                  "Federated credentials take GET and POST, one of them GET, PATCH "
                                  "and DELETE.");
}
