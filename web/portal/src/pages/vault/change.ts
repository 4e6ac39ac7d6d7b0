// SPDX-License-Identifier: Apache-2.0
// Changes of a vault and of what is in it; afterwards what was read is read anew.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import * as arm from "../../core/arm";
import type { Vault } from "../../core/types";
import * as data from "../../core/vault";

export type Kind = "certificates" | "secrets" | "keys";
export const singular: Record<Kind, string> = { certificates: "certificate", secrets: "secret", keys: "key" };

/** A call of the vault's data plane. */
export function useVaultCall<T = unknown>(vault: Vault) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (call: { method: string; path: string; body?: unknown }) => data.call<T>(vault.name, call.path, { method: call.method, body: call.body }),
    onSuccess: () => client.invalidateQueries({ queryKey: ["vault", vault.name] }),
  });
}

/** A call of the management plane about the vault. */
export function useVaultChange(vault: Vault) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (call: { method: string; path?: string; body?: unknown; version?: string }) =>
      arm.call(`${vault.id}${call.path ?? ""}`, { method: call.method, body: call.body, version: call.version ?? data.VAULT_ARM_VERSION }),
    onSuccess: () => Promise.all([client.invalidateQueries({ queryKey: ["vaults"] }), client.invalidateQueries({ queryKey: ["vault", vault.name] })]),
  });
}
