/* SPDX-License-Identifier: Apache-2.0
 *
 * What a caller needs to know to give the service access to a key vault, when a fetch was refused:
 * who asked, which vault it was, and by which model that vault decides. The portal and the command
 * line offer the grant from this, and make it when a person consents.
 */
#include <string.h>
#include <strings.h>

#include "arm/arm_internal.h"

#define VAULT_TYPE "Microsoft.KeyVault/vaults"

/* Object id of the identity that asked: the user-assigned one with that client id, or the service's
 * own. NULL: it has none. */
static const char *asker(const json_t *service, const char *client_id)
{
    const json_t *identity = json_object_get(service, "identity");
    const char *id;
    json_t *entry;

    if (!client_id)
        return pn_json_str(identity, "principalId");
    json_object_foreach(json_object_get(identity, "userAssignedIdentities"), id, entry)
    {
        const char *known = pn_json_str(entry, "clientId");

        if (known && strcasecmp(known, client_id) == 0)
            return pn_json_str(entry, "principalId");
    }
    return NULL;
}

/* "https://name.vault.localhost:9444/secrets/x" begins with the vault's "vaultUri". */
static bool is_of_vault(const char *identifier, const json_t *vault)
{
    const char *uri = pn_json_str(json_object_get(vault, "properties"), "vaultUri");

    return uri && strncasecmp(identifier, uri, strlen(uri)) == 0;
}

/* The embedded vault that an identifier names; PN_NOT_FOUND: it is another server's. */
static enum pn_rc find_vault(struct arm_call *call, const char *identifier,
                             struct pn_store_item *found)
{
    const char *host = strstr(identifier, "://");
    struct pn_store_list list = {0};
    struct pn_error err = {0};
    char name[64];
    enum pn_rc rc;

    if (!host)
        return PN_NOT_FOUND;
    (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(host + 3, ".:/"), host + 3);
    rc = pn_store_list_named(call->arm->config.store, VAULT_TYPE, name, &list, &err);
    if (rc != PN_OK)
        return rc;
    rc = PN_NOT_FOUND;
    for (size_t i = 0; i < list.count && rc == PN_NOT_FOUND; i++) {
        if (!is_of_vault(identifier, list.items[i].body))
            continue;
        *found = list.items[i];
        memset(&list.items[i], 0, sizeof(list.items[i]));
        rc = PN_OK;
    }
    pn_store_list_fini(&list);
    return rc;
}

void arm_answer_vault_forbidden(struct arm_call *call, const json_t *key_vault,
                                const struct pn_error *err)
{
    const char *identifier = pn_json_str(key_vault, "secretIdentifier");
    const char *principal = asker(call->service.body, pn_json_str(key_vault, "identityClientId"));
    struct pn_store_item vault = {0};
    bool is_ours = identifier && find_vault(call, identifier, &vault) == PN_OK;
    bool by_role =
        pn_json_bool(json_object_get(vault.body, "properties"), "enableRbacAuthorization", false);
    const char *reason = strstr(err->message, "ForbiddenByFirewall") ? "ForbiddenByFirewall"
                         : strstr(err->message, "ForbiddenByRbac")   ? "ForbiddenByRbac"
                                                                     : "ForbiddenByPolicy";
    json_t *inner =
        json_pack("{s:s, s:s, s:s?, s:s, s:s?, s:s?}", "code", "VaultForbidden", "reason", reason,
                  "principalId", principal, "tenantId", call->arm->config.tenant_id, "vaultId",
                  is_ours ? vault.id : NULL, "permissionModel",
                  !is_ours  ? NULL
                  : by_role ? "Rbac"
                            : "AccessPolicy");

    arm_answer_cause_with(call, err->target[0] ? err->target : "keyVault.secretIdentifier", inner,
                          err->message);
    pn_store_item_fini(&vault);
}
