/* SPDX-License-Identifier: Apache-2.0
 *
 * Microsoft.ManagedIdentity: user-assigned identities, their federated credentials, and the
 * system-assigned identity of a resource (…/identities/default).
 */
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "resource/tracked.h"

#define IDENTITY             "Microsoft.ManagedIdentity/userAssignedIdentities"
#define CREDENTIALS_MAX      20 /* of one identity */
#define CREDENTIAL_TEXT_MAX  600
#define CREDENTIAL_AUDIENCES 10

/* ---- identities ---- */

static enum pn_rc make_identity(const struct tracked_call *call, const json_t *given,
                                const json_t *former, json_t **properties, struct pn_error *err)
{
    char principal[PN_UUID_TEXT], client[PN_UUID_TEXT];

    (void)given;
    (void)err;
    pn_uuid_v4(principal);
    pn_uuid_v4(client);
    *properties = former ? json_deep_copy(former)
                         : json_pack("{s:s, s:s, s:s}", "tenantId", call->base->plane->tenant_id,
                                     "principalId", principal, "clientId", client);
    return *properties ? PN_OK : PN_NOMEM;
}

static const struct tracked_type identity = {
    .type = IDENTITY,
    .name_min = 3,
    .name_max = 128,
    .name_more = "-_",
    .has_patch = true,
    .make = make_identity,
};

/* ---- federated credentials ---- */

static enum pn_rc bad(struct pn_error *err, const char *message)
{
    return pn_error_set(err, PN_INVALID, "BadRequest", "%s", message);
}

static enum pn_rc make_credential(const struct tracked_call *call, const json_t *given,
                                  const json_t *former, json_t **properties, struct pn_error *err)
{
    struct pn_slice issuer = pn_json_slice(given, "issuer");
    struct pn_slice subject = pn_json_slice(given, "subject");
    const json_t *audiences = json_object_get(given, "audiences");
    json_t *audience;
    size_t index;

    (void)call;
    (void)former;
    if (!pn_slice_starts_with(issuer, PN_LIT("https://")) || issuer.len > CREDENTIAL_TEXT_MAX)
        return bad(err, "properties.issuer must be the https URL of an OpenID Connect issuer");
    if (subject.len == 0 || subject.len > CREDENTIAL_TEXT_MAX)
        return bad(err, "properties.subject must be the subject of the issuer's tokens, a text of "
                        "at most 600 bytes");
    if (!json_is_array(audiences) || json_array_size(audiences) == 0 ||
        json_array_size(audiences) > CREDENTIAL_AUDIENCES)
        return bad(err, "properties.audiences must be a list of audiences; Azure's clients ask for "
                        "api://AzureADTokenExchange");
    json_array_foreach(audiences, index, audience)
    {
        if (json_string_length(audience) == 0 || json_string_length(audience) > CREDENTIAL_TEXT_MAX)
            return bad(err, "properties.audiences must be a list of texts");
    }
    *properties = json_pack("{s:O, s:O, s:O}", "issuer", json_object_get(given, "issuer"),
                            "subject", json_object_get(given, "subject"), "audiences", audiences);
    return *properties ? PN_OK : PN_NOMEM;
}

static bool is_same(const json_t *a, const json_t *b, const char *member)
{
    return json_equal(json_object_get(a, member), json_object_get(b, member)) == 1;
}

/* At most 20, and no two for the same issuer and subject: which of them matched would be chance. */
static enum pn_rc check_credential(const struct tracked_call *call, struct pn_store_txn *txn,
                                   const json_t *properties, struct pn_error *err)
{
    char prefix[PN_RESOURCE_ID_TEXT + 64];
    struct pn_store_list others = {0};
    bool is_there = false;
    enum pn_rc rc;

    snprintf(prefix, sizeof prefix, "%s/federatedIdentityCredentials/", call->parent);
    rc = pn_store_txn_list(txn, prefix, call->type->type, &others, err);
    for (size_t i = 0; rc == PN_OK && i < others.count; i++) {
        const json_t *other = json_object_get(others.items[i].body, "properties");

        if (pn_slice_case_eq_str(pn_slice_str(others.items[i].id), call->id))
            is_there = true;
        else if (is_same(other, properties, "issuer") && is_same(other, properties, "subject"))
            rc = pn_error_set(err, PN_CONFLICT, "Conflict",
                              "Issuer and subject combination already exists for this Managed "
                              "Identity: %s.",
                              strrchr(others.items[i].id, '/') + 1);
    }
    if (rc == PN_OK && !is_there && others.count >= CREDENTIALS_MAX)
        rc = pn_error_set(err, PN_LIMIT, "BadRequest",
                          "an identity has at most %d federated credentials", CREDENTIALS_MAX);
    pn_store_list_fini(&others);
    return rc;
}

static const struct tracked_type credential = {
    .type = IDENTITY "/federatedIdentityCredentials",
    .child = "federatedIdentityCredentials",
    .name_min = 3,
    .name_max = 120,
    .name_more = "-_",
    .make = make_credential,
    .check = check_credential,
};

void resource_identities(struct pn_resource_call *call, const struct resource_path *path)
{
    bool is_child =
        path->rest_count > 2 && pn_slice_case_eq_str(path->rest[2], "federatedIdentityCredentials");

    tracked_handle(call, path, is_child ? &credential : &identity);
}

/* ---- the system-assigned identity of a resource ---- */

void resource_default_identity(struct pn_resource_call *call, const struct resource_path *path)
{
    struct pn_store_item item = {0};
    struct pn_error err = {0};
    const char *principal;
    enum pn_rc rc;

    if (path->rest_count != 2 || !pn_slice_case_eq_str(path->rest[1], "default") ||
        !pn_resource_reads(call)) {
        pn_resource_wrong_method(call, "GET, HEAD");
        return;
    }
    if (!pn_resource_may(call, "Microsoft.ManagedIdentity/identities/read", path->scope) ||
        !resource_scope_exists(call, path))
        return;
    rc = pn_store_get(call->plane->store, path->scope, &item, &err);
    principal = pn_json_str(json_object_get(item.body, "identity"), "principalId");
    if (rc != PN_OK && rc != PN_NOT_FOUND)
        pn_resource_failure(call, rc, &err);
    else if (!principal)
        pn_resource_error(call, 404, "ResourceNotFound",
                          "The resource '%s' has no system-assigned identity.", path->scope);
    else
        pn_resource_json(
            call, 200,
            json_pack(
                "{s:o, s:s, s:s, s:{s:s, s:s, s:O*}}", "id",
                json_sprintf("%s/providers/Microsoft.ManagedIdentity/identities/default", item.id),
                "name", "default", "type", "Microsoft.ManagedIdentity/identities", "properties",
                "tenantId", call->plane->tenant_id, "principalId", principal, "clientId",
                json_object_get(
                    json_object_get(json_object_get(item.body, "internal"), "systemAssigned"),
                    "clientId")));
    pn_store_item_fini(&item);
}
