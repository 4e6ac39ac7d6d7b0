/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes access tokens (RFC 7519, RS256), and hands them to this process' own managed identities.
 */
#include <stdio.h>
#include <string.h>

#include "authority/authority_internal.h"
#include "base/encode.h"
#include "base/limits.h"
#include "store/store.h"

#define CLAIMS_MAX    8192
#define SIGNATURE_MAX 1024

static json_t *make_claims(const struct pn_authority *authority,
                           const struct pn_authority_grant *grant, int64_t now_s, int64_t expires_s)
{
    const char *origin = grant->origin ? grant->origin : authority->control_url;
    char issuer[URL_TEXT + 80], unique[PN_UUID_TEXT];
    bool is_v2 = grant->version == 2;
    json_t *claims;

    snprintf(issuer, sizeof issuer, is_v2 ? "%s/%s/v2.0" : "%s/%s/", origin, authority->tenant_id);
    pn_uuid_v4(unique);
    claims = json_pack("{s:s, s:s, s:I, s:I, s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "aud",
                       grant->audience, "iss", issuer, "iat", (json_int_t)now_s, "nbf",
                       (json_int_t)(now_s - PN_TOKEN_SKEW_S), "exp", (json_int_t)expires_s,
                       is_v2 ? "azp" : "appid", grant->client_id, is_v2 ? "azpacr" : "appidacr",
                       grant->by_portal        ? "0"
                       : grant->by_certificate ? "2"
                                               : "1",
                       "oid", grant->object_id, "sub", grant->object_id, "tid",
                       authority->tenant_id, "uti", unique, "ver", is_v2 ? "2.0" : "1.0");
    if (claims && !is_v2)
        json_object_set_new(claims, "idp", json_string(issuer));
    if (claims)
        json_object_set_new(claims, "idtyp",
                            json_string(grant->user_name || grant->is_person ? "user" : "app"));
    if (claims && grant->user_name)
        json_object_set_new(claims, "upn", json_string(grant->user_name));
    if (claims && grant->name)
        json_object_set_new(claims, "name", json_string(grant->name));
    if (claims && grant->group_count > 0) {
        json_t *groups = json_array();

        for (size_t i = 0; i < grant->group_count; i++)
            json_array_append_new(groups, json_string(grant->groups[i]));
        json_object_set_new(claims, "groups", groups);
    }
    if (claims && grant->managed_by)
        json_object_set_new(claims, "xms_mirid", json_string(grant->managed_by));
    return claims;
}

static enum pn_rc append_part(struct pn_buf *token, const json_t *part)
{
    struct pn_buf text;
    enum pn_rc rc;

    if (!part)
        return PN_NOMEM;
    pn_buf_init_secret(&text, CLAIMS_MAX);
    rc = pn_json_dump(part, &text);
    if (rc == PN_OK)
        rc = pn_base64url_encode(pn_buf_slice(&text), token);
    pn_buf_fini(&text);
    return rc;
}

enum pn_rc pn_authority_mint(struct pn_authority *authority, const struct pn_authority_grant *grant,
                             struct pn_buf *token, int64_t *expires_s, struct pn_error *err)
{
    const struct signing_key *key = &authority->keys[0];
    int64_t now_s = authority->now_s();
    int64_t lifetime_s = grant->lifetime_s > 0 ? grant->lifetime_s : PN_TOKEN_LIFETIME_S;
    json_t *header = json_pack("{s:s, s:s, s:s, s:s}", "typ", "JWT", "alg", "RS256", "x5t",
                               key->kid, "kid", key->kid);
    json_t *claims = make_claims(authority, grant, now_s, now_s + lifetime_s);
    struct pn_buf signature;
    enum pn_rc rc;

    pn_buf_init_secret(&signature, SIGNATURE_MAX);
    pn_buf_clear(token);
    rc = append_part(token, header);
    if (rc == PN_OK)
        rc = pn_buf_append_byte(token, '.');
    if (rc == PN_OK)
        rc = append_part(token, claims);
    if (rc != PN_OK) {
        pn_error_set(err, rc, "server_error", "cannot make a token");
        goto out;
    }
    rc = pn_keyholder_sign(authority->keyholder, PN_USE_TOKEN, &key->id, PN_SIGN_RSA_PKCS1_SHA256,
                           pn_buf_slice(token), &signature, err);
    if (rc == PN_OK)
        rc = pn_buf_append_byte(token, '.');
    if (rc == PN_OK)
        rc = pn_base64url_encode(pn_buf_slice(&signature), token);
    *expires_s = now_s + lifetime_s;
out:
    json_decref(header);
    json_decref(claims);
    pn_buf_fini(&signature);
    return rc;
}

/* Whether the identity's type ("SystemAssigned, UserAssigned") has this part. */
bool authority_identity_is_on(const json_t *identity, const char *wanted)
{
    struct pn_slice type = pn_json_slice(identity, "type"), part;

    while (pn_slice_cut(&type, ',', &part)) {
        if (pn_slice_case_eq_str(pn_slice_trim(part), wanted))
            return true;
    }
    return false;
}

/* The user-assigned identity with that client id, if it is assigned. False: it is not. */
static bool user_identity(const json_t *body, const char *wanted, struct pn_authority_grant *grant)
{
    const json_t *identity = json_object_get(body, "identity");
    const char *id;
    json_t *entry;

    if (!authority_identity_is_on(identity, "UserAssigned"))
        return false;
    json_object_foreach(json_object_get(identity, "userAssignedIdentities"), id, entry)
    {
        if (!pn_slice_case_eq_str(pn_json_slice(entry, "clientId"), wanted))
            continue;
        grant->client_id = pn_json_str(entry, "clientId");
        grant->object_id = pn_json_str(entry, "principalId");
        grant->managed_by = id;
        return grant->object_id != NULL;
    }
    return false;
}

/* Ids of the system-assigned identity of the store item `owner`. False: it has none. */
bool authority_system_identity(const json_t *body, const char **object_id, const char **client_id)
{
    const json_t *identity = json_object_get(body, "identity");
    const json_t *internal = json_object_get(json_object_get(body, "internal"), "systemAssigned");
    bool is_on = authority_identity_is_on(identity, "SystemAssigned");

    *object_id = pn_json_str(internal, "principalId");
    if (!*object_id)
        *object_id = pn_json_str(identity, "principalId");
    *client_id = pn_json_str(internal, "clientId");
    if (!*client_id)
        *client_id = *object_id;
    return is_on && *object_id;
}

static bool is_ours(const struct pn_authority *authority, const char *resource)
{
    struct pn_slice text = pn_slice_str(resource);

    if (text.len > 0 && text.ptr[text.len - 1] == '/')
        text.len--;
    return pn_slice_case_eq_str(text, authority->vault_audience) ||
           pn_slice_case_eq_str(text, authority->control_url);
}

/* What the token is for, in the words of errors. */
struct purpose {
    const char *what, *member;
    bool is_policys;
};
static const struct purpose for_vault = {"access a Key Vault", "identityClientId", false};
static const struct purpose for_policy = {"get a token", "client-id", true};

static enum pn_rc mint_managed(struct pn_authority *authority, const json_t *body,
                               const struct purpose *purpose, const char *owner_id,
                               const char *client_id, const char *resource, struct pn_secret *token,
                               int64_t *expires_s, struct pn_error *err)
{
    struct pn_authority_grant grant = {
        .audience = resource, .managed_by = owner_id, .version = 1, .by_certificate = true};
    struct pn_buf text;
    enum pn_rc rc;

    if (client_id && client_id[0]) {
        if (!user_identity(body, client_id, &grant))
            return pn_error_set(
                err, PN_INVALID, "identity_not_enabled",
                "The user-assigned identity with client id %.64s is not assigned to "
                "the service %s, which is required to %s as it; "
                "assign it (identity.userAssignedIdentities of the service), or "
                "leave %s out to use the system-assigned identity",
                client_id, owner_id, purpose->what, purpose->member);
    } else if (!authority_system_identity(body, &grant.object_id, &grant.client_id))
        return pn_error_set(err, PN_INVALID, "identity_not_enabled",
                            "Managed Service Identity (system-assigned) is not enabled on the "
                            "service %s, which is required to %s",
                            owner_id, purpose->what);
    if (purpose->is_policys)
        grant.lifetime_s = (int64_t)(pn_limit_value(PN_LIMIT_IDENTITY_TOKEN_LIFETIME) / 1000);
    pn_buf_init_secret(&text, PN_TOKEN_BYTES_MAX);
    rc = pn_authority_mint(authority, &grant, &text, expires_s, err);
    if (rc == PN_OK)
        rc = pn_secret_from(token, text.ptr, text.len);
    pn_buf_fini(&text);
    return rc;
}

static enum pn_rc managed_token(struct pn_authority *authority, const struct purpose *purpose,
                                const struct pn_identity_ref *identity, const char *resource,
                                struct pn_secret *token, int64_t *expires_s, struct pn_error *err)
{
    struct pn_store_item item = {0};
    enum pn_rc rc = pn_store_get(authority->store, identity->owner_id, &item, err);

    if (rc == PN_NOT_FOUND)
        return pn_error_set(err, PN_INVALID, "identity_not_enabled", "there is no service %s",
                            identity->owner_id);
    if (rc != PN_OK)
        return rc;
    rc = mint_managed(authority, item.body, purpose, item.id, identity->client_id, resource, token,
                      expires_s, err);
    pn_store_item_fini(&item);
    return rc;
}

enum pn_rc pn_authority_managed_token(struct pn_authority *authority, const char *owner_id,
                                      const char *client_id, const char *resource,
                                      struct pn_secret *token, int64_t *expires_s,
                                      struct pn_error *err)
{
    const struct pn_identity_ref identity = {owner_id, client_id};

    return managed_token(authority, &for_policy, &identity, resource, token, expires_s, err);
}

static enum pn_rc provide(void *ctx, const struct pn_identity_ref *identity,
                          const struct pn_token_target *target, struct pn_secret *token,
                          int64_t *expires_s, struct pn_error *err)
{
    struct pn_authority *authority = ctx;
    enum pn_rc rc;

    if (!is_ours(authority, target->resource))
        return pn_error_set(err, PN_NOT_FOUND, "foreign_resource",
                            "the embedded authority makes tokens for %s only, and another server "
                            "would not trust them",
                            authority->vault_audience);
    rc = managed_token(authority, &for_vault, identity, target->resource, token, expires_s, err);
    *expires_s = 0; /* not to be kept: the identity may be switched off, and making one is cheap */
    return rc;
}

struct pn_token_provider pn_authority_provider(struct pn_authority *authority)
{
    return (struct pn_token_provider){
        .name = "embedded authority", .get = provide, .ctx = authority};
}
