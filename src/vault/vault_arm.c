/* SPDX-License-Identifier: Apache-2.0
 *
 * The management plane of Microsoft.KeyVault: vaults (get, put, patch, list) and their access
 * policies. What the data plane would have to obey and does not yet (roles instead of access
 * policies, network rules that deny) is refused, never stored and ignored.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "vault/vault_internal.h"

#define ID_TEXT 512
#define GROUP   "/subscriptions/%.*s/resourceGroups/%.*s"

struct arm_call {
    struct pn_vault *vault;
    const struct pn_request *request;
    struct pn_response *response;
    struct pn_principal principal;
    struct pn_slice segments[SEGMENTS_MAX];
    size_t count;
    struct pn_slice subscription, group, name; /* ptr NULL: not in the path */
    struct pn_slice rest;      /* the part behind the vault, or behind the provider */
    struct pn_slice operation; /* of accessPolicies */
    char group_id[ID_TEXT], vault_id[ID_TEXT];
};

static void answer_error(struct arm_call *call, int status, const char *code, const char *message)
{
    vault_answer_error(call->response, status, code, NULL, "%s", message);
}

static void answer_json(struct arm_call *call, int status, json_t *json)
{
    struct vault_call data = {.vault = call->vault, .response = call->response};

    vault_answer_json(&data, status, json);
}

static void answer_failure(struct arm_call *call, enum pn_rc rc, const struct pn_error *err)
{
    if (rc == PN_INVALID || rc == PN_LIMIT || rc == PN_MALFORMED || rc == PN_UNSUPPORTED) {
        answer_error(call, 400, "BadRequest",
                     err->message[0] ? err->message : "A limit of the vault was reached.");
        return;
    }
    pn_log_error(PN_LOG_ERROR, "vault_management_failed", err);
    if (rc == PN_UNAVAILABLE || rc == PN_TIMEOUT)
        answer_error(call, 503, "ServiceUnavailable",
                     "The service cannot answer right now. Try again.");
    else
        answer_error(call, 500, "InternalServerError",
                     "The service failed to answer; its log names the cause.");
}

/* False: answered (401). */
static bool authenticate(struct arm_call *call)
{
    struct pn_vault *vault = call->vault;
    struct pn_slice token =
        pn_bearer_token(pn_headers_get(&call->request->headers, "Authorization"));
    struct pn_error err = {0};
    const char *code = "AuthenticationFailed";

    if (!token.ptr)
        pn_error_set(&err, PN_DENIED, "token_missing",
                     "Authentication failed. The 'Authorization' header is missing.");
    else if (pn_token_verify(vault->verifier, token, (const char *const *)vault->arm_audiences,
                             &call->principal, &err) == PN_OK)
        return true;
    if (token.ptr)
        code = strcmp(err.code, "token_expired") == 0 ? "ExpiredAuthenticationToken"
                                                      : "InvalidAuthenticationToken";
    pn_log(PN_LOG_WARN, "vault_management_unauthorized", "code", PN_S(err.code), NULL);
    if (pn_response_header(call->response, "WWW-Authenticate",
                           "Bearer authorization_uri=\"%s/%s\", error=\"invalid_token\"",
                           vault->authority_url, vault->tenant_id) == PN_OK)
        answer_error(call, 401, code, err.message);
    else
        call->response->status = 500;
    return false;
}

static bool may(struct arm_call *call, const char *action, const char *scope)
{
    struct pn_error err = {0};
    enum pn_rc rc = pn_authorize(call->vault->store, &call->principal, action, scope, &err);

    if (rc == PN_OK)
        return true;
    if (rc == PN_DENIED)
        answer_error(call, 403, "AuthorizationFailed", err.message);
    else
        answer_failure(call, rc, &err);
    return false;
}

static json_t *resource_json(const struct pn_store_item *item)
{
    json_t *json = json_pack("{s:s, s:O, s:s, s:O, s:O}", "id", item->id, "name",
                             json_object_get(item->body, "name"), "type", VAULT_TYPE, "location",
                             json_object_get(item->body, "location"), "properties",
                             json_object_get(item->body, "properties"));

    if (json && json_object_get(item->body, "tags"))
        json_object_set(json, "tags", json_object_get(item->body, "tags"));
    return json;
}

static void list_vaults(struct arm_call *call)
{
    char scope[ID_TEXT], prefix[ID_TEXT + 1];
    struct pn_store_list list = {0};
    struct pn_error err = {0};
    json_t *value;
    enum pn_rc rc;

    snprintf(scope, sizeof scope, "/subscriptions/%.*s", PN_FMT(call->subscription));
    if (!may(call, VAULT_TYPE "/read", call->group.ptr ? call->group_id : scope))
        return;
    snprintf(prefix, sizeof prefix, "%s/", call->group.ptr ? call->group_id : scope);
    rc = pn_store_list(call->vault->store, prefix, VAULT_TYPE, &list, &err);
    if (rc != PN_OK) {
        answer_failure(call, rc, &err);
        return;
    }
    value = json_array();
    for (size_t i = 0; i < list.count; i++)
        json_array_append_new(value, resource_json(&list.items[i]));
    pn_store_list_fini(&list);
    answer_json(call, 200, json_pack("{s:o}", "value", value));
}

static void answer_not_found(struct arm_call *call)
{
    vault_answer_error(call->response, 404, "ResourceNotFound", NULL,
                       "The Resource '" VAULT_TYPE
                       "/%.*s' under resource group '%.*s' was not found.",
                       PN_FMT(call->name), PN_FMT(call->group));
}

static void get_vault(struct arm_call *call)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    enum pn_rc rc;

    if (!may(call, VAULT_TYPE "/read", call->vault_id))
        return;
    rc = pn_store_get(call->vault->store, call->vault_id, &item, &err);
    if (rc == PN_NOT_FOUND)
        answer_not_found(call);
    else if (rc != PN_OK)
        answer_failure(call, rc, &err);
    else
        answer_json(call, 200, resource_json(&item));
    pn_store_item_fini(&item);
}

static json_t *read_body(struct arm_call *call)
{
    struct vault_call data = {
        .vault = call->vault, .request = call->request, .response = call->response};

    return vault_read_body(&data);
}

/* What would have to change the data plane's behaviour and does not. */
static enum pn_rc refuse_unknown_modes(const json_t *properties, struct pn_error *err)
{
    const char *action = pn_json_str(json_object_get(properties, "networkAcls"), "defaultAction");
    const char *public_access = pn_json_str(properties, "publicNetworkAccess");
    const char *mode = pn_json_str(properties, "createMode");
    const json_t *rbac = json_object_get(properties, "enableRbacAuthorization");

    /* Also "true" as a text: what is stored is what is obeyed. */
    if (rbac && !json_is_null(rbac) && !json_is_false(rbac))
        return pn_error_set(err, PN_UNSUPPORTED, "BadRequest",
                            "properties.enableRbacAuthorization: this vault authorizes by access "
                            "policies only; leave it out or set it to false");
    if (action && pn_slice_case_eq_str(pn_slice_str(action), "Deny"))
        return pn_error_set(
            err, PN_UNSUPPORTED, "BadRequest",
            "properties.networkAcls.defaultAction: this vault has no network rules; "
            "'Deny' would not be obeyed, so it is refused");
    if (public_access && pn_slice_case_eq_str(pn_slice_str(public_access), "Disabled"))
        return pn_error_set(err, PN_UNSUPPORTED, "BadRequest",
                            "properties.publicNetworkAccess: this vault has no private endpoints; "
                            "'Disabled' would not be obeyed, so it is refused");
    if (mode && pn_slice_case_eq_str(pn_slice_str(mode), "recover"))
        return pn_error_set(err, PN_INVALID, "BadRequest",
                            "properties.createMode: there is no deleted vault to recover");
    if (!pn_json_bool(properties, "enableSoftDelete", true))
        return pn_error_set(err, PN_INVALID, "BadRequest",
                            "properties.enableSoftDelete cannot be set to false");
    return PN_OK;
}

static enum pn_rc check_properties(const struct pn_vault *vault, const json_t *properties,
                                   bool is_patch, struct pn_error *err)
{
    const json_t *sku = json_object_get(properties, "sku");
    const json_t *policies = json_object_get(properties, "accessPolicies");
    struct pn_slice tenant = pn_json_slice(properties, "tenantId");
    const char *sku_name = pn_json_str(sku, "name");
    int64_t days = pn_json_int(properties, "softDeleteRetentionInDays", 90);

    if (!json_is_object(properties))
        return pn_error_set(err, PN_INVALID, "BadRequest", "properties must be an object");
    if ((tenant.ptr || !is_patch) && !pn_slice_case_eq_str(tenant, vault->tenant_id))
        return pn_error_set(err, PN_INVALID, "BadRequest",
                            "properties.tenantId must be this tenant, %s", vault->tenant_id);
    if ((sku || !is_patch) &&
        (!sku_name || !pn_slice_case_eq_str(pn_json_slice(sku, "family"), "A") ||
         (!pn_slice_case_eq_str(pn_slice_str(sku_name), "standard") &&
          !pn_slice_case_eq_str(pn_slice_str(sku_name), "premium"))))
        return pn_error_set(err, PN_INVALID, "BadRequest",
                            "properties.sku must be {\"family\":\"A\",\"name\":\"standard\"} or "
                            "\"premium\"");
    if (days < 7 || days > 90)
        return pn_error_set(err, PN_INVALID, "BadRequest",
                            "properties.softDeleteRetentionInDays must be 7 to 90");
    if (policies && !json_is_null(policies)) {
        enum pn_rc rc = vault_policies_check(policies, vault->tenant_id, err);

        if (rc != PN_OK)
            return rc;
    }
    return refuse_unknown_modes(properties, err);
}

/* Given members over the base's; read-only ones stay. */
static enum pn_rc merge_properties(json_t *base, const json_t *given)
{
    const char *member;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)given, member, value)
    {
        if (strcmp(member, "vaultUri") == 0 || strcmp(member, "provisioningState") == 0 ||
            strcmp(member, "createMode") == 0 || strcmp(member, "hsmPoolResourceId") == 0 ||
            json_is_null(value))
            continue;
        if (json_object_set(base, member, value) != 0)
            return PN_NOMEM;
    }
    return PN_OK;
}

/* The body to store. `former`: what is there, or NULL. */
static enum pn_rc make_body(struct arm_call *call, const json_t *given, const json_t *former,
                            bool is_patch, json_t **body, struct pn_error *err)
{
    const json_t *properties = json_object_get(given, "properties");
    struct pn_slice location = pn_json_slice(given, "location");
    json_t *tags = json_object_get(given, "tags");
    char name[VAULT_NAME_TEXT];
    json_t *merged, *made;
    enum pn_rc rc = PN_OK;

    snprintf(name, sizeof name, "%.*s", PN_FMT(call->name));
    if (properties || !is_patch)
        rc = check_properties(call->vault, properties, is_patch, err);
    if (rc == PN_OK && !is_patch && (location.len == 0 || location.len >= LOCATION_TEXT))
        rc = pn_error_set(err, PN_INVALID, "LocationRequired",
                          "location is required, a text of at most %d characters",
                          LOCATION_TEXT - 1);
    if (rc == PN_OK && tags && !json_is_null(tags) && !json_is_object(tags))
        rc = pn_error_set(err, PN_INVALID, "BadRequest", "tags must be an object");
    if (rc != PN_OK)
        return rc;
    merged = is_patch ? json_deep_copy(json_object_get(former, "properties"))
                      : vault_default_properties(call->vault, name);
    if (!merged)
        return PN_NOMEM;
    rc = merge_properties(merged, properties);
    made = former ? json_deep_copy(former) : json_pack("{s:s, s:{}}", "name", name, "tags");
    if (made && !is_patch)
        json_object_set_new(made, "tags", json_object());
    if (made && !is_patch)
        json_object_set(made, "location", json_object_get(given, "location"));
    if (made && json_is_object(tags))
        json_object_set(made, "tags", tags);
    if (!made || json_object_set_new(made, "properties", merged) != 0)
        rc = PN_NOMEM;
    if (rc != PN_OK) {
        json_decref(made);
        return rc;
    }
    *body = made;
    return PN_OK;
}

/* Writes a PUT or PATCH; *is_new tells 201 from 200. */
static enum pn_rc write_vault(struct arm_call *call, const json_t *given, bool is_patch,
                              bool *is_new, struct pn_error *err)
{
    struct pn_store_item item = {0};
    struct pn_store_txn *txn = NULL;
    json_t *body = NULL;
    enum pn_rc rc = pn_store_begin(call->vault->store, &txn, err);

    if (rc != PN_OK)
        return rc;
    rc = pn_store_txn_get(txn, call->vault_id, &item, err);
    *is_new = rc == PN_NOT_FOUND;
    if (rc == PN_OK || (rc == PN_NOT_FOUND && !is_patch))
        rc = make_body(call, given, item.body, is_patch, &body, err);
    if (rc == PN_OK)
        rc = pn_store_put(txn, item.id ? item.id : call->vault_id, VAULT_TYPE, body, NULL, err);
    if (rc == PN_OK)
        rc = pn_store_commit(txn, NULL, err);
    else
        pn_store_rollback(txn);
    json_decref(body);
    pn_store_item_fini(&item);
    return rc;
}

static void tell_change(struct arm_call *call)
{
    char name[VAULT_NAME_TEXT];

    snprintf(name, sizeof name, "%.*s", PN_FMT(call->name));
    if (call->vault->on_change)
        call->vault->on_change(call->vault->on_change_ctx, name, NULL);
}

static void answer_stored(struct arm_call *call, int status)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    enum pn_rc rc = pn_store_get(call->vault->store, call->vault_id, &item, &err);

    if (rc == PN_OK)
        answer_json(call, status, resource_json(&item));
    else
        answer_failure(call, rc, &err);
    pn_store_item_fini(&item);
}

/* The resource group is there, and the name is free or this vault's. False: answered. */
static bool check_place(struct arm_call *call)
{
    struct pn_store_item group = {0}, other = {0};
    struct pn_error err = {0};
    char name[VAULT_NAME_TEXT];
    bool is_free;
    enum pn_rc rc = pn_store_get(call->vault->store, call->group_id, &group, &err);

    pn_store_item_fini(&group);
    if (rc == PN_NOT_FOUND) {
        vault_answer_error(call->response, 404, "ResourceGroupNotFound", NULL,
                           "Resource group '%.*s' could not be found.", PN_FMT(call->group));
        return false;
    }
    if (!vault_name_is_valid(call->name)) {
        answer_error(
            call, 400, "VaultNameNotValid",
            "The vault name is invalid. A vault's name must be between 3-24 alphanumeric "
            "characters. The name must begin with a letter, end with a letter or digit, and "
            "not contain consecutive hyphens.");
        return false;
    }
    snprintf(name, sizeof name, "%.*s", PN_FMT(call->name));
    rc = vault_resource(call->vault, name, &other, &err);
    is_free = rc == PN_NOT_FOUND ||
              (rc == PN_OK && pn_slice_case_eq_str(pn_slice_str(other.id), call->vault_id));
    pn_store_item_fini(&other);
    if (!is_free)
        vault_answer_error(call->response, 409, "VaultAlreadyExists", NULL,
                           "The vault name '%s' is already in use.", name);
    return is_free;
}

static void change_vault(struct arm_call *call, bool is_patch)
{
    struct pn_error err = {0};
    bool is_new = false;
    json_t *given;
    enum pn_rc rc;

    if (!may(call, VAULT_TYPE "/write", call->vault_id))
        return;
    if (!is_patch && !check_place(call))
        return;
    given = read_body(call);
    if (!given)
        return;
    rc = write_vault(call, given, is_patch, &is_new, &err);
    json_decref(given);
    if (rc == PN_NOT_FOUND) {
        answer_not_found(call);
    } else if (rc != PN_OK) {
        answer_failure(call, rc, &err);
    } else {
        tell_change(call);
        answer_stored(call, is_new ? 201 : 200);
    }
}

static enum pn_rc write_policies(struct arm_call *call, const json_t *changes,
                                 enum policies_change change, json_t **result, struct pn_error *err)
{
    struct pn_store_item item = {0};
    struct pn_store_txn *txn = NULL;
    json_t *policies;
    enum pn_rc rc = pn_store_begin(call->vault->store, &txn, err);

    if (rc != PN_OK)
        return rc;
    rc = pn_store_txn_get(txn, call->vault_id, &item, err);
    policies = json_object_get(json_object_get(item.body, "properties"), "accessPolicies");
    if (rc == PN_OK)
        rc = vault_policies_change(policies, changes, change);
    if (rc == PN_OK)
        rc = pn_store_put(txn, item.id, VAULT_TYPE, item.body, NULL, err);
    if (rc == PN_OK)
        *result = json_incref(policies);
    if (rc == PN_OK)
        rc = pn_store_commit(txn, NULL, err);
    else
        pn_store_rollback(txn);
    pn_store_item_fini(&item);
    return rc;
}

static void change_policies(struct arm_call *call)
{
    struct pn_error err = {0};
    enum policies_change change;
    json_t *given, *changes, *result = NULL;
    enum pn_rc rc;

    if (pn_slice_case_eq_str(call->operation, "add"))
        change = POLICIES_ADD;
    else if (pn_slice_case_eq_str(call->operation, "replace"))
        change = POLICIES_REPLACE;
    else if (pn_slice_case_eq_str(call->operation, "remove"))
        change = POLICIES_REMOVE;
    else {
        answer_error(call, 400, "BadRequest", "accessPolicies takes add, replace or remove.");
        return;
    }
    if (!may(call, VAULT_TYPE "/accessPolicies/write", call->vault_id))
        return;
    given = read_body(call);
    if (!given)
        return;
    changes = json_object_get(json_object_get(given, "properties"), "accessPolicies");
    rc = vault_policies_check(changes, call->vault->tenant_id, &err);
    if (rc == PN_OK)
        rc = write_policies(call, changes, change, &result, &err);
    if (rc == PN_NOT_FOUND) {
        answer_not_found(call);
    } else if (rc != PN_OK) {
        answer_failure(call, rc, &err);
    } else {
        tell_change(call);
        answer_json(call, 200,
                    json_pack("{s:o, s:s, s:{s:O}}", "id",
                              json_sprintf("%s/accessPolicies/", call->vault_id), "type",
                              VAULT_TYPE "/accessPolicies", "properties", "accessPolicies",
                              result));
    }
    json_decref(result);
    json_decref(given);
}

static void check_name(struct arm_call *call)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    struct pn_slice name;
    char text[VAULT_NAME_TEXT];
    json_t *given, *answer;
    enum pn_rc rc;

    given = read_body(call);
    if (!given)
        return;
    name = pn_json_slice(given, "name");
    snprintf(text, sizeof text, "%.*s", PN_FMT(pn_slice_sub(name, 0, VAULT_NAME_TEXT - 1)));
    if (!vault_name_is_valid(name)) {
        answer = json_pack("{s:b, s:s, s:s}", "nameAvailable", 0, "reason", "AccountNameInvalid",
                           "message", "The vault name is invalid.");
    } else {
        rc = vault_resource(call->vault, text, &item, &err);
        answer = rc == PN_NOT_FOUND
                     ? json_pack("{s:b}", "nameAvailable", 1)
                     : json_pack("{s:b, s:s, s:s}", "nameAvailable", 0, "reason", "AlreadyExists",
                                 "message", "The vault name is already in use.");
        pn_store_item_fini(&item);
    }
    json_decref(given);
    answer_json(call, 200, answer);
}

/* /subscriptions/{s}[/resourceGroups/{g}]/providers/Microsoft.KeyVault/… */
static bool read_path(struct arm_call *call)
{
    struct pn_slice *at = call->segments;
    size_t left = 0;

    if (pn_request_segments(call->request, call->segments, SEGMENTS_MAX, &left) != PN_OK ||
        left < 5 || !pn_slice_case_eq_str(at[0], "subscriptions") || !pn_is_uuid(at[1]))
        return false;
    call->subscription = at[1];
    at += 2;
    left -= 2;
    if (pn_slice_case_eq_str(at[0], "resourceGroups")) {
        call->group = at[1];
        at += 2;
        left -= 2;
    }
    if (left < 3 || call->group.len > 90 || !pn_slice_case_eq_str(at[0], "providers") ||
        !pn_slice_case_eq_str(at[1], "Microsoft.KeyVault"))
        return false;
    call->rest = at[2];
    call->count = left - 2;
    if (call->count > 1)
        call->name = at[3];
    if (call->count > 2)
        call->rest = at[4];
    if (call->count > 3)
        call->operation = at[5];
    if (call->count > 1 && !pn_slice_case_eq_str(at[2], "vaults"))
        return false;
    snprintf(call->group_id, sizeof call->group_id, GROUP, PN_FMT(call->subscription),
             PN_FMT(call->group));
    snprintf(call->vault_id, sizeof call->vault_id, GROUP "/providers/" VAULT_TYPE "/%.*s",
             PN_FMT(call->subscription), PN_FMT(call->group),
             PN_FMT(pn_slice_sub(call->name, 0, VAULT_NAME_TEXT - 1)));
    return call->name.len < VAULT_NAME_TEXT;
}

static void route_vault(struct arm_call *call)
{
    struct pn_slice method = call->request->method;

    if (pn_slice_eq_str(method, "GET"))
        get_vault(call);
    else if (pn_slice_eq_str(method, "PUT"))
        change_vault(call, false);
    else if (pn_slice_eq_str(method, "PATCH"))
        change_vault(call, true);
    else
        answer_error(call, 501, "NotImplemented",
                     "A vault can be read, made and changed here; it cannot be deleted yet.");
}

static void route(struct arm_call *call)
{
    struct pn_slice method = call->request->method;
    bool is_get = pn_slice_eq_str(method, "GET");
    bool is_vaults = call->count == 1 && pn_slice_case_eq_str(call->rest, "vaults");

    if (is_vaults && is_get)
        list_vaults(call);
    else if (call->count == 1 && !call->group.ptr && is_get &&
             (pn_slice_case_eq_str(call->rest, "deletedVaults") ||
              pn_slice_case_eq_str(call->rest, "deletedManagedHSMs")))
        answer_json(call, 200, json_pack("{s:[]}", "value"));
    else if (call->count == 1 && !call->group.ptr && pn_slice_eq_str(method, "POST") &&
             pn_slice_case_eq_str(call->rest, "checkNameAvailability"))
        check_name(call);
    else if (call->count == 2 && call->group.ptr)
        route_vault(call);
    else if (call->count == 4 && call->group.ptr && pn_slice_eq_str(method, "PUT") &&
             pn_slice_case_eq_str(call->rest, "accessPolicies"))
        change_policies(call);
    else
        answer_error(call, 404, "InvalidResourceType",
                     "The resource type or operation could not be found in the namespace "
                     "'Microsoft.KeyVault'.");
}

void pn_vault_handle_arm(struct pn_vault *vault, const struct pn_request *request,
                         struct pn_response *response)
{
    struct arm_call call = {.vault = vault, .request = request, .response = response};
    struct pn_slice version;

    if (pn_response_header(response, "Cache-Control", "no-cache") != PN_OK) {
        response->status = 500;
        return;
    }
    if (!authenticate(&call))
        return;
    version = pn_request_query(request, "api-version");
    if (!version.ptr || version.len == 0)
        answer_error(
            &call, 400, "MissingApiVersionParameter",
            "The api-version query parameter (?api-version=) is required for all requests.");
    else if (version.len > 32 || pn_slice_compare(version, PN_LIT("2015-06-01")) < 0 ||
             version.ptr[0] != '2')
        answer_error(&call, 400, "InvalidApiVersionParameter",
                     "The api-version is invalid: use 2016-10-01 or later.");
    else if (!read_path(&call))
        answer_error(&call, 404, "InvalidResourceType",
                     "The path does not name a subscription, a resource group and a vault.");
    else
        route(&call);
}
