// SPDX-License-Identifier: Apache-2.0
// What one may do with the data of a vault: by its access policies, or by roles.
import { isDataAllowed, usePermissions } from "./permissions";
import { current } from "./session";
import type { Vault } from "./types";

export type VaultKind = "certificates" | "secrets" | "keys";

/** Roles name some of the permissions otherwise; the server has the same table. */
const actions: Record<string, string> = {
  "secrets/get": "secrets/getSecret/action", "secrets/list": "secrets/readMetadata/action", "secrets/set": "secrets/setSecret/action", "secrets/delete": "secrets/delete",
  "certificates/get": "certificates/read", "certificates/list": "certificates/read", "certificates/delete": "certificates/delete",
  "keys/get": "keys/read", "keys/list": "keys/read", "keys/delete": "keys/delete",
};

/** Why the signed-in person may not do this with the vault's objects, or undefined. */
export function useVaultRights(vault: Vault): (kind: VaultKind, permission: string) => string | undefined {
  const roles = usePermissions(vault.id);
  const me = current();
  const objectId = me.kind === "in" ? me.person.objectId.toLowerCase() : "";
  return (kind, permission) => {
    if (vault.properties.enableRbacAuthorization) {
      const action = `Microsoft.KeyVault/vaults/${actions[`${kind}/${permission}`] ?? `${kind}/${permission}/action`}`;
      return !roles.data || isDataAllowed(roles.data, action) ? undefined : `Your roles do not allow ${action}. Ask an owner of the vault.`;
    }
    const given = (vault.properties.accessPolicies ?? []).filter((p) => p.objectId.toLowerCase() === objectId).flatMap((p) => p.permissions[kind] ?? []);
    return given.some((p) => [permission.toLowerCase(), "all"].includes(p.toLowerCase())) ? undefined
      : `No access policy of this vault gives you ${kind}/${permission}. Ask an owner of the vault.`;
  };
}
