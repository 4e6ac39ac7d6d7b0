/* SPDX-License-Identifier: Apache-2.0
 *
 * The data action of Azure RBAC for each permission of an access policy: what a vault with
 * enableRbacAuthorization asks the caller's roles for.
 *
 * Source: Azure's list of operations of Microsoft.KeyVault.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "identity/principal.h"
#include "vault/vault_internal.h"

#define ACTION_TEXT 128

/* Those that are not "{kind}/{permission}/action". */
static const struct {
    const char *kind, *permission, *action;
} actions[] = {
    {"secrets", "get", "secrets/getSecret/action"},
    {"secrets", "list", "secrets/readMetadata/action"},
    {"secrets", "set", "secrets/setSecret/action"},
    {"secrets", "delete", "secrets/delete"},
    {"certificates", "get", "certificates/read"},
    {"certificates", "list", "certificates/read"},
    {"certificates", "delete", "certificates/delete"},
    {"certificates", "managecontacts", "certificatecontacts/write"},
    {"certificates", "getissuers", "certificatecas/read"},
    {"certificates", "listissuers", "certificatecas/read"},
    {"certificates", "setissuers", "certificatecas/write"},
    {"certificates", "deleteissuers", "certificatecas/delete"},
    {"certificates", "manageissuers", "certificatecas/write"},
    {"keys", "get", "keys/read"},
    {"keys", "list", "keys/read"},
    {"keys", "delete", "keys/delete"},
    {"keys", "wrapkey", "keys/wrap/action"},
    {"keys", "unwrapkey", "keys/unwrap/action"},
    {"keys", "getrotationpolicy", "keyrotationpolicies/read"},
    {"keys", "setrotationpolicy", "keyrotationpolicies/write"},
};

void vault_data_action(const char *kind, const char *permission, char action[ACTION_TEXT])
{
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (strcmp(actions[i].kind, kind) == 0 &&
            strcasecmp(actions[i].permission, permission) == 0) {
            snprintf(action, ACTION_TEXT, VAULT_TYPE "/%s", actions[i].action);
            return;
        }
    }
    snprintf(action, ACTION_TEXT, VAULT_TYPE "/%s/%s/action", kind, permission);
}

/* Issuers are the vault's: one of a certificate's name is not that certificate. */
static bool is_of_object(const char *permission)
{
    size_t len = strlen(permission);

    return len < 7 || strcmp(permission + len - 7, "issuers") != 0;
}

/* A vault in lower case, with the object that the request names: the scope of its roles. */
static void make_scope(const struct vault_call *call, const char *kind, const char *permission,
                       char *out, size_t size)
{
    if (call->name[0] && is_of_object(permission))
        snprintf(out, size, "%s/%s/%s", call->item.id, kind, call->name);
    else
        snprintf(out, size, "%s", call->item.id);
    for (char *at = out; *at; at++) {
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at + 32);
    }
}

bool vault_may_by_role(struct vault_call *call, const char *kind, const char *permission)
{
    char action[ACTION_TEXT], scope[1024];
    struct pn_error err = {0};
    enum pn_rc rc;

    vault_data_action(kind, permission, action);
    make_scope(call, kind, permission, scope, sizeof scope);
    rc = pn_authorize_data(call->vault->store, &call->principal, action, scope, &err);
    if (rc == PN_OK)
        return true;
    if (rc != PN_DENIED) {
        vault_answer_failure(call, rc, &err);
        return false;
    }
    pn_log(PN_LOG_WARN, "vault_forbidden", "vault", PN_S(call->vault_name), "oid",
           PN_S(call->principal.object_id), "action", PN_S(action), "scope", PN_S(scope), NULL);
    vault_answer_error(
        call->response, 403, "Forbidden", "ForbiddenByRbac",
        "Caller is not authorized to perform action on resource.\r\n"
        "If role assignments, deny assignments or role definitions were changed recently, please "
        "observe propagation time.\r\n"
        "Caller: appid=%s;oid=%s;iss=%s\r\nAction: '%s'\r\nResource: '%s'\r\n"
        "Assignment: (not found)\r\nDenyAssignmentId: null\r\nDecisionReason: null\r\n"
        "Vault: %s;location=%s\r\n",
        call->principal.app_id, call->principal.object_id, call->principal.issuer, action, scope,
        call->vault_name, call->location);
    return false;
}
