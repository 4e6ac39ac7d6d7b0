/* SPDX-License-Identifier: Apache-2.0
 *
 * Access policies: which principal has which permission on what is in a vault.
 */
#include <string.h>

#include "base/log.h"
#include "vault/vault_internal.h"

static const char *const secret_permissions[] = {"all",    "get",     "list",    "set",   "delete",
                                                 "backup", "restore", "recover", "purge", NULL};
static const char *const certificate_permissions[] = {
    "all",           "get",         "list",       "delete",
    "create",        "import",      "update",     "managecontacts",
    "getissuers",    "listissuers", "setissuers", "deleteissuers",
    "manageissuers", "recover",     "purge",      "backup",
    "restore",       NULL};
static const char *const key_permissions[] = {"all",
                                              "get",
                                              "list",
                                              "create",
                                              "update",
                                              "import",
                                              "delete",
                                              "backup",
                                              "restore",
                                              "recover",
                                              "purge",
                                              "encrypt",
                                              "decrypt",
                                              "wrapkey",
                                              "unwrapkey",
                                              "sign",
                                              "verify",
                                              "release",
                                              "rotate",
                                              "getrotationpolicy",
                                              "setrotationpolicy",
                                              NULL};
static const char *const storage_permissions[] = {
    "all",   "get",    "list",    "delete", "set",     "update", "regeneratekey", "recover",
    "purge", "backup", "restore", "setsas", "listsas", "getsas", "deletesas",     NULL};

static const struct {
    const char *kind;
    const char *const *known;
} kinds[] = {{"secrets", secret_permissions},
             {"certificates", certificate_permissions},
             {"keys", key_permissions},
             {"storage", storage_permissions}};
#define KINDS (sizeof kinds / sizeof kinds[0])

static bool list_has(const json_t *list, const char *permission)
{
    json_t *entry;
    size_t index;

    json_array_foreach(list, index, entry)
    {
        if (pn_slice_case_eq_str(pn_slice_str(json_string_value(entry)), permission))
            return true;
    }
    return false;
}

/* manageissuers is all that can be done with issuers. */
static bool permits(const json_t *list, const char *kind, const char *permission)
{
    size_t len = strlen(permission);

    if (list_has(list, permission) || list_has(list, "all"))
        return true;
    return strcmp(kind, "certificates") == 0 && len > 7 &&
           strcmp(permission + len - 7, "issuers") == 0 && list_has(list, "manageissuers");
}

static bool policy_is_for(const json_t *policy, const struct pn_principal *principal)
{
    struct pn_slice application = pn_json_slice(policy, "applicationId");

    return principal->object_id[0] &&
           pn_principal_has_id(principal, pn_json_slice(policy, "objectId")) &&
           (application.len == 0 || pn_slice_case_eq_str(application, principal->app_id));
}

bool vault_may(struct vault_call *call, const char *kind, const char *permission)
{
    const json_t *properties = json_object_get(call->item.body, "properties");
    json_t *policy;
    size_t index;

    /* One model or the other, never both: roles do nothing here, policies nothing there. */
    if (pn_json_bool(properties, "enableRbacAuthorization", false))
        return vault_may_by_role(call, kind, permission);
    if (strcmp(kind, "secrets") == 0 && strcmp(permission, "update") == 0)
        permission = "set"; /* policies have one word for both */
    json_array_foreach(call->access_policies, index, policy)
    {
        const json_t *list = json_object_get(json_object_get(policy, "permissions"), kind);

        if (policy_is_for(policy, &call->principal) && permits(list, kind, permission))
            return true;
    }
    pn_log(PN_LOG_WARN, "vault_forbidden", "vault", PN_S(call->vault_name), "oid",
           PN_S(call->principal.object_id), "kind", PN_S(kind), "permission", PN_S(permission),
           "name", PN_S(call->name), NULL);
    vault_answer_error(
        call->response, 403, "Forbidden", "ForbiddenByPolicy",
        "The user, group or application 'appid=%s;oid=%s;iss=%s' does not have %s %s "
        "permission on key vault '%s;location=%s'.",
        call->principal.app_id, call->principal.object_id, call->principal.issuer, kind, permission,
        call->vault_name, call->location);
    return false;
}

static enum pn_rc check_permissions(const json_t *permissions, struct pn_error *err)
{
    for (size_t k = 0; k < KINDS; k++) {
        const json_t *list = json_object_get(permissions, kinds[k].kind);
        json_t *entry;
        size_t index;

        if (list && !json_is_array(list) && !json_is_null(list))
            return pn_error_set(err, PN_INVALID, "BadRequest", "permissions.%s must be a list",
                                kinds[k].kind);
        json_array_foreach(list, index, entry)
        {
            struct pn_slice text = pn_slice_str(json_string_value(entry));
            bool known = false;

            for (size_t i = 0; kinds[k].known[i]; i++)
                known = known || pn_slice_case_eq_str(text, kinds[k].known[i]);
            if (!known)
                return pn_error_set(
                    err, PN_INVALID, "BadRequest", "'%.*s' is not a permission for %s",
                    (int)(text.len < 64 ? text.len : 64), text.ptr ? text.ptr : "", kinds[k].kind);
        }
    }
    return PN_OK;
}

/* A value of another type must not turn "this application only" into "any". */
static bool application_is_valid(const json_t *id)
{
    struct pn_slice text = pn_slice(json_string_value(id), json_string_length(id));

    return !id || json_is_null(id) || (json_is_string(id) && (text.len == 0 || pn_is_uuid(text)));
}

enum pn_rc vault_policies_check(const json_t *policies, const char *tenant_id, struct pn_error *err)
{
    json_t *policy;
    size_t index;

    if (!json_is_array(policies))
        return pn_error_set(err, PN_INVALID, "BadRequest", "accessPolicies must be a list");
    if (json_array_size(policies) > PN_VAULT_POLICIES_MAX)
        return pn_error_set(err, PN_INVALID, "BadRequest", "a vault has at most %d access policies",
                            PN_VAULT_POLICIES_MAX);
    json_array_foreach(policies, index, policy)
    {
        enum pn_rc rc;

        if (!pn_slice_case_eq_str(pn_json_slice(policy, "tenantId"), tenant_id))
            return pn_error_set(err, PN_INVALID, "BadRequest",
                                "accessPolicies[%zu].tenantId must be this tenant, %s", index,
                                tenant_id);
        if (!pn_is_uuid(pn_json_slice(policy, "objectId")))
            return pn_error_set(err, PN_INVALID, "BadRequest",
                                "accessPolicies[%zu].objectId must be the UUID of a principal",
                                index);
        if (!application_is_valid(json_object_get(policy, "applicationId")))
            return pn_error_set(err, PN_INVALID, "BadRequest",
                                "accessPolicies[%zu].applicationId must be a UUID", index);
        if (!json_is_object(json_object_get(policy, "permissions")))
            return pn_error_set(err, PN_INVALID, "BadRequest",
                                "accessPolicies[%zu].permissions must be an object", index);
        rc = check_permissions(json_object_get(policy, "permissions"), err);
        if (rc != PN_OK) {
            pn_error_prefix(err, "accessPolicies[%zu]", index);
            return rc;
        }
    }
    return PN_OK;
}

static json_t *find_policy(json_t *policies, const json_t *like, size_t *position)
{
    json_t *policy;
    size_t index;

    json_array_foreach(policies, index, policy)
    {
        *position = index;
        if (pn_slice_case_eq(pn_json_slice(policy, "objectId"), pn_json_slice(like, "objectId")) &&
            pn_slice_case_eq(pn_json_slice(policy, "applicationId"),
                             pn_json_slice(like, "applicationId")))
            return policy;
    }
    return NULL;
}

static enum pn_rc join_permissions(json_t *into, const json_t *from)
{
    for (size_t k = 0; k < KINDS; k++) {
        json_t *list = json_object_get(into, kinds[k].kind);
        json_t *entry;
        size_t index;

        if (!json_is_array(list)) {
            list = json_array();
            if (json_object_set_new(into, kinds[k].kind, list) != 0)
                return PN_NOMEM;
        }
        json_array_foreach(json_object_get(from, kinds[k].kind), index, entry)
        {
            if (!list_has(list, json_string_value(entry)) && json_array_append(list, entry) != 0)
                return PN_NOMEM;
        }
    }
    return PN_OK;
}

/* True when nothing is left. */
static bool take_permissions(json_t *from, const json_t *what)
{
    size_t left = 0;

    for (size_t k = 0; k < KINDS; k++) {
        json_t *list = json_object_get(from, kinds[k].kind);
        const json_t *removed = json_object_get(what, kinds[k].kind);

        for (size_t i = json_array_size(list); i > 0; i--) {
            if (list_has(removed, json_string_value(json_array_get(list, i - 1))))
                json_array_remove(list, i - 1);
        }
        left += json_array_size(list);
    }
    return left == 0;
}

enum pn_rc vault_policies_change(json_t *policies, const json_t *changes,
                                 enum policies_change change)
{
    json_t *given;
    size_t index;

    json_array_foreach(changes, index, given)
    {
        size_t position = 0;
        json_t *policy = find_policy(policies, given, &position);
        json_t *permissions = json_object_get(policy, "permissions");
        enum pn_rc rc = PN_OK;

        if (change == POLICIES_REMOVE) {
            if (policy && take_permissions(permissions, json_object_get(given, "permissions")))
                json_array_remove(policies, position);
        } else if (!policy) {
            if (json_array_size(policies) >= PN_VAULT_POLICIES_MAX)
                return PN_LIMIT;
            if (json_array_append_new(policies, json_deep_copy(given)) != 0)
                return PN_NOMEM;
        } else if (change == POLICIES_REPLACE) {
            if (json_array_set_new(policies, position, json_deep_copy(given)) != 0)
                return PN_NOMEM;
        } else {
            rc = join_permissions(permissions, json_object_get(given, "permissions"));
        }
        if (rc != PN_OK)
            return rc;
    }
    return PN_OK;
}
