/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of built-in roles, and how an action matches a role's patterns.
 */
#include "identity/roles.h"

#include <string.h>

#define KV   "Microsoft.KeyVault/vaults/"
#define APIM "Microsoft.ApiManagement/service/"
#define WORK APIM "workspaces/"

static const struct pn_role_definition roles[] = {
    {PN_ROLE_OWNER,
     "Owner",
     "Full access to all resources, including roles.",
     {"*"},
     {0},
     {0},
     {0}},
    {PN_ROLE_CONTRIBUTOR,
     "Contributor",
     "Full access to all resources, but not to roles.",
     {"*"},
     {"Microsoft.Authorization/*/Delete", "Microsoft.Authorization/*/Write",
      "Microsoft.Authorization/elevateAccess/Action"},
     {0},
     {0}},
    {PN_ROLE_READER, "Reader", "View all resources.", {"*/read"}, {0}, {0}, {0}},
    {"18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
     "User Access Administrator",
     "Manage access to resources.",
     {"*/read", "Microsoft.Authorization/*"},
     {0},
     {0},
     {0}},
    {PN_ROLE_APIM_CONTRIBUTOR,
     "API Management Service Contributor",
     "Manage services and their APIs.",
     {APIM "*", "Microsoft.Authorization/*/read", "Microsoft.Resources/deployments/*",
      "Microsoft.Resources/subscriptions/read",
      "Microsoft.Resources/subscriptions/resourceGroups/read"},
     {0},
     {0},
     {0}},
    {"e022efe7-f5ba-4159-bbe4-b44f577e9b61",
     "API Management Service Operator Role",
     "Manage services, but not their APIs.",
     {APIM "*/read", APIM "read", APIM "write", APIM "delete", APIM "backup/action",
      APIM "updatehostname/action", "Microsoft.Resources/subscriptions/resourceGroups/read"},
     {APIM "users/keys/read"},
     {0},
     {0}},
    {"71522526-b88f-4d52-b57f-d31fc3546d0d",
     "API Management Service Reader Role",
     "View services and their APIs.",
     {APIM "*/read", APIM "read", "Microsoft.Authorization/*/read",
      "Microsoft.Resources/subscriptions/resourceGroups/read"},
     {APIM "users/keys/read"},
     {0},
     {0}},
    {"0c34c906-8d99-4cb7-8bb7-33f5b0a1a799",
     "API Management Workspace Contributor",
     "Manage a workspace and what is in it. To be given on the workspace.",
     {WORK "*", "Microsoft.Authorization/*/read"},
     {0},
     {0},
     {0}},
    {"ef1c2c96-4a77-49e8-b9a4-6179fe1d2fd2",
     "API Management Workspace Reader",
     "View what is in a workspace. To be given on the workspace.",
     {WORK "*/read", "Microsoft.Authorization/*/read"},
     {0},
     {0},
     {0}},
    {"56328988-075d-4c6a-8766-d93edd6725b6",
     "API Management Workspace API Developer",
     "Edit the APIs of a workspace, with their backends and certificates. To be given on the "
     "workspace.",
     {WORK "*/read", WORK "apis/*", WORK "apiVersionSets/*", WORK "policies/*", WORK "schemas/*",
      WORK "products/*", WORK "policyFragments/*", WORK "namedValues/*", WORK "tags/*",
      WORK "backends/*", WORK "certificates/*", WORK "diagnostics/*", WORK "loggers/*",
      "Microsoft.Authorization/*/read"},
     {0},
     {0},
     {0}},
    {"73c2c328-d004-4c5e-938c-35c6f5679a1f",
     "API Management Workspace API Product Manager",
     "Publish the APIs of a workspace. To be given on the workspace.",
     {WORK "*/read", WORK "products/*", WORK "subscriptions/*", WORK "groups/*", WORK "tags/*",
      WORK "notifications/*", "Microsoft.Authorization/*/read"},
     {0},
     {0},
     {0}},
    {"9565a273-41b9-4368-97d2-aeb0c976a9b3",
     "API Management Service Workspace API Developer",
     "What those who edit APIs of a workspace need of the service. To be given on the service.",
     {APIM "tags/read", APIM "tags/apiLinks/*", APIM "tags/operationLinks/*",
      APIM "tags/productLinks/*", APIM "products/read", APIM "products/apiLinks/*", APIM "read",
      "Microsoft.Authorization/*/read"},
     {0},
     {0},
     {0}},
    {"d59a3e9c-6d52-4a5a-aeed-6bf3cf0e31da",
     "API Management Service Workspace API Product Manager",
     "What those who publish APIs of a workspace need of the service. To be given on the service.",
     {APIM "users/read", APIM "tags/read", APIM "tags/apiLinks/*", APIM "tags/operationLinks/*",
      APIM "tags/productLinks/*", APIM "products/read", APIM "products/apiLinks/*",
      APIM "groups/read", APIM "groups/users/*", APIM "read", "Microsoft.Authorization/*/read"},
     {0},
     {0},
     {0}},
    {PN_ROLE_KEY_VAULT_CONTRIBUTOR,
     "Key Vault Contributor",
     "Manage vaults, without access to what is in them.",
     {"Microsoft.Authorization/*/read", "Microsoft.KeyVault/*", "Microsoft.Resources/deployments/*",
      "Microsoft.Resources/subscriptions/resourceGroups/read"},
     {"Microsoft.KeyVault/locations/deletedVaults/purge/action"},
     {0},
     {0}},
    {"00482a5a-887f-4fb3-b363-3b7fe8e74483",
     "Key Vault Administrator",
     "All data plane operations of a vault.",
     {"Microsoft.Authorization/*/read", "Microsoft.KeyVault/*/read"},
     {0},
     {KV "*"},
     {0}},
    {"db79e9a7-68ee-4b58-9aeb-b90e7c24fcba",
     "Key Vault Certificate User",
     "Read certificates with their secrets.",
     {0},
     {0},
     {KV "certificates/read", KV "secrets/getSecret/action", KV "secrets/readMetadata/action",
      KV "keys/read"},
     {0}},
    {"a4417e6f-fecd-4de8-b567-7b0420556985",
     "Key Vault Certificates Officer",
     "Any action on certificates, but not on their secrets.",
     {"Microsoft.Authorization/*/read", "Microsoft.KeyVault/*/read"},
     {0},
     {KV "certificatecas/*", KV "certificates/*", KV "certificatecontacts/write"},
     {0}},
    {PN_ROLE_KEY_VAULT_SECRETS_USER,
     "Key Vault Secrets User",
     "Read secrets.",
     {0},
     {0},
     {KV "secrets/getSecret/action", KV "secrets/readMetadata/action"},
     {0}},
    {"b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
     "Key Vault Secrets Officer",
     "Any action on secrets.",
     {"Microsoft.Authorization/*/read", "Microsoft.KeyVault/*/read"},
     {0},
     {KV "secrets/*"},
     {0}},
    {"21090545-7ca7-4776-b22c-e363652d74d2",
     "Key Vault Reader",
     "Read a vault and what is in it, but no values.",
     {"Microsoft.Authorization/*/read", "Microsoft.KeyVault/*/read"},
     {0},
     {KV "*/read", KV "secrets/readMetadata/action"},
     {0}},
    {"12338af0-0e69-4776-bea7-57ae8d297424",
     "Key Vault Crypto User",
     "Cryptographic operations with keys.",
     {0},
     {0},
     {KV "keys/read", KV "keys/update/action", KV "keys/backup/action", KV "keys/encrypt/action",
      KV "keys/decrypt/action", KV "keys/wrap/action", KV "keys/unwrap/action",
      KV "keys/sign/action", KV "keys/verify/action"},
     {0}},
    {"14b46e9e-c2b7-41b4-b07b-48a6ebf60603",
     "Key Vault Crypto Officer",
     "Any action on keys.",
     {"Microsoft.Authorization/*/read", "Microsoft.KeyVault/*/read"},
     {0},
     {KV "keys/*", KV "keyrotationpolicies/*"},
     {0}},
    {"e147488a-f6f5-4113-8e2d-b22465e65bf6",
     "Key Vault Crypto Service Encryption User",
     "Read keys, wrap and unwrap with them.",
     {0},
     {0},
     {KV "keys/read", KV "keys/wrap/action", KV "keys/unwrap/action"},
     {0}},
    {"08bbd89e-9f13-488c-ac41-acfcb10c90ab",
     "Key Vault Crypto Service Release User",
     "Release keys.",
     {0},
     {0},
     {KV "keys/release/action"},
     {0}},
    {PN_ROLE_KEY_VAULT_ACCESS_ADMINISTRATOR,
     "Key Vault Data Access Administrator",
     "Give and take the roles of the data plane of vaults, and no others.",
     {"Microsoft.Authorization/*/read", "Microsoft.Authorization/roleAssignments/write",
      "Microsoft.Authorization/roleAssignments/delete", "Microsoft.KeyVault/vaults/*/read",
      "Microsoft.Resources/deployments/*", "Microsoft.Resources/subscriptions/read",
      "Microsoft.Resources/subscriptions/resourceGroups/read"},
     {0},
     {0},
     {0}},
    {"f58310d9-a9f6-439a-9e8d-f62e7b41a168",
     "Role Based Access Control Administrator",
     "Give and take roles.",
     {"*/read", "Microsoft.Authorization/roleAssignments/write",
      "Microsoft.Authorization/roleAssignments/delete"},
     {0},
     {0},
     {0}},
    {"e40ec5ca-96e0-45a2-b4ff-59039f2c2b59",
     "Managed Identity Contributor",
     "Make, read, change and delete user-assigned identities.",
     {"Microsoft.ManagedIdentity/userAssignedIdentities/read",
      "Microsoft.ManagedIdentity/userAssignedIdentities/write",
      "Microsoft.ManagedIdentity/userAssignedIdentities/delete",
      "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/*",
      "Microsoft.Authorization/*/read", "Microsoft.Resources/deployments/*",
      "Microsoft.Resources/subscriptions/resourceGroups/read"},
     {0},
     {0},
     {0}},
    {"f1a07417-d97a-45cb-824c-7a7467783830",
     "Managed Identity Operator",
     "Read and assign user-assigned identities.",
     {"Microsoft.ManagedIdentity/userAssignedIdentities/*/read",
      "Microsoft.ManagedIdentity/userAssignedIdentities/*/assign/action",
      "Microsoft.ManagedIdentity/userAssignedIdentities/read",
      "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
      "Microsoft.Authorization/*/read", "Microsoft.Resources/deployments/*",
      "Microsoft.Resources/subscriptions/resourceGroups/read"},
     {0},
     {0},
     {0}},
    {"4d97b98b-1d4f-4787-a291-c67834d212e7",
     "Network Contributor",
     "Manage networks.",
     {"Microsoft.Network/*", "Microsoft.Authorization/*/read", "Microsoft.Resources/deployments/*",
      "Microsoft.Resources/subscriptions/resourceGroups/read"},
     {0},
     {0},
     {0}},
};

/* What the Key Vault Data Access Administrator may give and take: the condition of Azure's role. */
static const char *const vault_roles[] = {
    "00482a5a-887f-4fb3-b363-3b7fe8e74483", "a4417e6f-fecd-4de8-b567-7b0420556985",
    "14b46e9e-c2b7-41b4-b07b-48a6ebf60603", "e147488a-f6f5-4113-8e2d-b22465e65bf6",
    "12338af0-0e69-4776-bea7-57ae8d297424", "21090545-7ca7-4776-b22c-e363652d74d2",
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7", PN_ROLE_KEY_VAULT_SECRETS_USER,
};

bool pn_role_may_assign(const struct pn_role_definition *role,
                        const struct pn_role_definition *assigned)
{
    if (strcmp(role->id, PN_ROLE_KEY_VAULT_ACCESS_ADMINISTRATOR) != 0)
        return true;
    for (size_t i = 0; assigned && i < sizeof vault_roles / sizeof vault_roles[0]; i++) {
        if (strcmp(assigned->id, vault_roles[i]) == 0)
            return true;
    }
    return false;
}

const struct pn_role_definition *pn_roles(size_t *count)
{
    *count = sizeof roles / sizeof roles[0];
    return roles;
}

const struct pn_role_definition *pn_role_find(struct pn_slice id)
{
    for (size_t i = id.len; i > 0; i--) {
        if (id.ptr[i - 1] == '/') {
            id = pn_slice_sub(id, i, id.len);
            break;
        }
    }
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (pn_slice_case_eq_str(id, roles[i].id))
            return &roles[i];
    }
    return NULL;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* Greedy with one step back: linear in practice, never more than pattern * action. */
bool pn_action_matches(struct pn_slice pattern, struct pn_slice action)
{
    size_t p = 0, a = 0, star = SIZE_MAX, resume = 0;

    while (a < action.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = p++;
            resume = a;
        } else if (p < pattern.len && lower(pattern.ptr[p]) == lower(action.ptr[a])) {
            p++;
            a++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            a = ++resume;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*')
        p++;
    return p == pattern.len;
}

static bool any_matches(const char *const *patterns, struct pn_slice action)
{
    for (size_t i = 0; i < PN_ROLE_PATTERNS_MAX && patterns[i]; i++) {
        if (pn_action_matches(pn_slice_str(patterns[i]), action))
            return true;
    }
    return false;
}

bool pn_role_allows(const struct pn_role_definition *role, struct pn_slice action,
                    bool is_data_action)
{
    if (is_data_action)
        return any_matches(role->data_actions, action) &&
               !any_matches(role->not_data_actions, action);
    return any_matches(role->actions, action) && !any_matches(role->not_actions, action);
}
