/* SPDX-License-Identifier: Apache-2.0
 *
 * The properties of a vault: what may be asked for, and what cannot be taken back. What would not
 * be obeyed is refused, never stored and ignored.
 */
#include <stdio.h>
#include <string.h>

#include "vault/vault_arm.h"

/* From this api-version on a new vault asks for roles unless it says otherwise. */
#define ROLES_BY_DEFAULT "2026-02-01"

static enum pn_rc bad(struct pn_error *err, const char *message)
{
    return pn_error_set(err, PN_INVALID, "BadRequest", "%s", message);
}

static bool is_given(const json_t *value)
{
    return value && !json_is_null(value);
}

/* true, false, or their texts (templates send those). False: neither. */
static bool read_bool(const json_t *value, bool *out)
{
    struct pn_slice text = pn_slice(json_string_value(value), json_string_length(value));

    *out = json_is_true(value) || pn_slice_case_eq_str(text, "true");
    return json_is_boolean(value) || *out || pn_slice_case_eq_str(text, "false");
}

static enum pn_rc check_flags(const json_t *properties, struct pn_error *err)
{
    static const char *const flags[] = {"enableRbacAuthorization",
                                        "enableSoftDelete",
                                        "enablePurgeProtection",
                                        "enabledForDeployment",
                                        "enabledForDiskEncryption",
                                        "enabledForTemplateDeployment",
                                        NULL};
    bool value;

    for (size_t i = 0; flags[i]; i++) {
        const json_t *flag = json_object_get(properties, flags[i]);

        if (!is_given(flag))
            continue;
        if (!read_bool(flag, &value))
            return pn_error_set(err, PN_INVALID, "BadRequest",
                                "properties.%s must be true or false", flags[i]);
        if (!value && strcmp(flags[i], "enableSoftDelete") == 0)
            return bad(err,
                       "The property \"enableSoftDelete\" cannot be set to false: a vault that "
                       "is deleted can always be recovered for a time.");
        if (!value && strcmp(flags[i], "enablePurgeProtection") == 0)
            return bad(err, "The property \"enablePurgeProtection\" cannot be set to false. "
                            "Enabling the purge protection for a vault is an irreversible action.");
    }
    return PN_OK;
}

/* Sent back unchanged it is fine: clients read, change and write whole vaults. */
static enum pn_rc check_retention(const json_t *properties, const json_t *former,
                                  struct pn_error *err)
{
    const json_t *days = json_object_get(properties, "softDeleteRetentionInDays");
    int64_t was = pn_json_int(former, "softDeleteRetentionInDays", 0);

    if (!is_given(days))
        return PN_OK;
    if (!json_is_integer(days) || json_integer_value(days) < 7 || json_integer_value(days) > 90)
        return bad(err, "properties.softDeleteRetentionInDays must be 7 to 90");
    if (was > 0 && json_integer_value(days) != was)
        return bad(err, "The property \"softDeleteRetentionInDays\" has been set already and it "
                        "can't be modified.");
    return PN_OK;
}

static enum pn_rc check_sku(const json_t *sku, struct pn_error *err)
{
    struct pn_slice name = pn_json_slice(sku, "name");

    if (pn_slice_case_eq_str(pn_json_slice(sku, "family"), "A") &&
        (pn_slice_case_eq_str(name, "standard") || pn_slice_case_eq_str(name, "premium")))
        return PN_OK;
    return bad(err, "properties.sku must be {\"family\":\"A\",\"name\":\"standard\"} or "
                    "\"premium\"");
}

static enum pn_rc check_properties(const struct pn_vault *vault, const json_t *properties,
                                   const json_t *former, bool is_patch, struct pn_error *err)
{
    const json_t *sku = json_object_get(properties, "sku");
    const json_t *policies = json_object_get(properties, "accessPolicies");
    struct pn_slice tenant = pn_json_slice(properties, "tenantId");
    enum pn_rc rc = PN_OK;

    if (!json_is_object(properties))
        return bad(err, "properties must be an object");
    if ((tenant.ptr || !is_patch) && !pn_slice_case_eq_str(tenant, vault->tenant_id))
        return pn_error_set(err, PN_INVALID, "BadRequest",
                            "properties.tenantId must be this tenant, %s", vault->tenant_id);
    if (sku || !is_patch)
        rc = check_sku(sku, err);
    if (rc == PN_OK)
        rc = check_flags(properties, err);
    if (rc == PN_OK)
        rc = check_retention(properties, former, err);
    if (rc == PN_OK && is_given(policies))
        rc = vault_policies_check(policies, vault->tenant_id, err);
    if (rc == PN_OK)
        rc = vault_acls_check(properties, err);
    return rc;
}

static bool is_read_only(const char *member)
{
    static const char *const members[] = {
        "vaultUri",          "provisioningState",          "createMode",
        "hsmPoolResourceId", "privateEndpointConnections", NULL};

    for (size_t i = 0; members[i]; i++) {
        if (strcmp(member, members[i]) == 0)
            return true;
    }
    return false;
}

/* Given members over the base's; read-only ones stay. */
static enum pn_rc merge_properties(json_t *base, const json_t *given)
{
    const char *member;
    json_t *value;
    bool flag;

    json_object_foreach((json_t *)(uintptr_t)given, member, value)
    {
        bool is_flag = strncmp(member, "enable", 6) == 0 && read_bool(value, &flag);

        if (is_read_only(member) || json_is_null(value))
            continue;
        if (is_flag ? json_object_set_new(base, member, json_boolean(flag)) != 0
                    : json_object_set(base, member, value) != 0)
            return PN_NOMEM;
    }
    return PN_OK;
}

/* What a PUT that does not mention it leaves as it is. */
static enum pn_rc keep_what_stays(json_t *merged, const json_t *former)
{
    static const char *const members[] = {"softDeleteRetentionInDays", "enablePurgeProtection",
                                          NULL};

    for (size_t i = 0; members[i]; i++) {
        json_t *value = json_object_get(former, members[i]);

        if (value && json_object_set(merged, members[i], value) != 0)
            return PN_NOMEM;
    }
    return PN_OK;
}

static json_t *base_properties(struct arm_call *call, const json_t *former, bool is_patch)
{
    struct pn_slice version = pn_request_query(call->base.request, "api-version");
    char name[VAULT_NAME_TEXT];
    json_t *base;

    if (is_patch)
        return json_deep_copy(former);
    snprintf(name, sizeof name, "%.*s", PN_FMT(call->name));
    base = vault_default_properties(call->vault, name);
    if (base && !former && pn_slice_compare(version, PN_LIT(ROLES_BY_DEFAULT)) >= 0)
        json_object_set_new(base, "enableRbacAuthorization", json_true());
    if (base && former && keep_what_stays(base, former) != PN_OK) {
        json_decref(base);
        return NULL;
    }
    return base;
}

static enum pn_rc check_top(const json_t *given, bool is_patch, struct pn_error *err)
{
    struct pn_slice location = pn_json_slice(given, "location");
    const json_t *tags = json_object_get(given, "tags");

    if (!is_patch && (location.len == 0 || location.len >= LOCATION_TEXT))
        return pn_error_set(err, PN_INVALID, "LocationRequired",
                            "location is required, a text of at most %d characters",
                            LOCATION_TEXT - 1);
    if (is_given(tags) && !json_is_object(tags))
        return bad(err, "tags must be an object");
    return PN_OK;
}

enum pn_rc vault_arm_body(struct arm_call *call, const json_t *given, const json_t *former,
                          bool is_patch, json_t **body, struct pn_error *err)
{
    const json_t *properties = json_object_get(given, "properties");
    const json_t *was = json_object_get(former, "properties");
    json_t *tags = json_object_get(given, "tags");
    char name[VAULT_NAME_TEXT];
    json_t *merged, *made;
    enum pn_rc rc = PN_OK;

    snprintf(name, sizeof name, "%.*s", PN_FMT(call->name));
    if (properties || !is_patch)
        rc = check_properties(call->vault, properties, was, is_patch, err);
    if (rc == PN_OK)
        rc = check_top(given, is_patch, err);
    if (rc != PN_OK)
        return rc;
    merged = base_properties(call, was, is_patch);
    if (!merged)
        return PN_NOMEM;
    rc = merge_properties(merged, properties);
    made = former ? json_deep_copy(former) : json_pack("{s:s, s:{}}", "name", name, "tags");
    if (made && !is_patch)
        json_object_set_new(made, "tags", json_object());
    if (made && !is_patch && !former)
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
