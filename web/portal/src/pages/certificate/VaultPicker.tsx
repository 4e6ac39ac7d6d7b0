// SPDX-License-Identifier: Apache-2.0
// Select a certificate: vault, then certificate. And: may the identity read there?
import { Button, Dialog, DialogActions, DialogBody, DialogContent, DialogSurface, DialogTitle, Dropdown, Field, Option, Spinner } from "@fluentui/react-components";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import * as arm from "../../core/arm";
import { useService, useServiceEntity } from "../../core/service";
import type { Vault } from "../../core/types";
import * as vault from "../../core/vault";
import { useNotify } from "../../ui/notify";
import { ErrorBar, Hint } from "../../ui/parts";
import { SYSTEM } from "./Panel";

export const useVaults = () => {
  const service = useService();
  return useQuery({
    queryKey: ["vaults", service.subscription],
    queryFn: async ({ signal }) =>
      (await arm.call<{ value: Vault[] }>(`/subscriptions/${service.subscription}/providers/Microsoft.KeyVault/vaults`, { version: vault.VAULT_ARM_VERSION, signal })).value.value,
  });
};

export function VaultPicker(props: { open: boolean; kind?: "certificate" | "secret"; onPick: (identifier: string) => void; onClose: () => void }): JSX.Element {
  const vaults = useVaults();
  const [chosen, setChosen] = useState("");
  const [name, setName] = useState("");
  const kind = props.kind ?? "certificate";
  const noun = kind === "secret" ? "Secret" : "Certificate";
  const certificates = useQuery({
    queryKey: ["vault", chosen, `${kind}s`],
    queryFn: ({ signal }) => vault.list(chosen, `/${kind}s`, signal),
    enabled: chosen !== "",
  });
  const pick = (): void => {
    const uri = vaults.data?.find((v) => v.name === chosen)?.properties.vaultUri ?? "";
    props.onPick(`${uri.replace(/\/$/, "")}/secrets/${name}`);
  };
  return (
    <Dialog open={props.open} onOpenChange={(_, data) => { if (!data.open) props.onClose(); }}>
      <DialogSurface>
        <DialogBody>
          <DialogTitle>Select a {kind}</DialogTitle>
          <DialogContent style={{ display: "flex", flexDirection: "column", gap: 16 }}>
            <ErrorBar error={vaults.error} title="The vaults cannot be listed" />
            <Field label="Key vault" required>
              <Dropdown placeholder={vaults.isPending ? "Loading…" : "Select a vault"} value={chosen} selectedOptions={[chosen]}
                onOptionSelect={(_, data) => { setChosen(data.optionValue ?? ""); setName(""); }}>
                {(vaults.data ?? []).map((v) => <Option key={v.id} value={v.name}>{v.name}</Option>)}
              </Dropdown>
            </Field>
            <ErrorBar error={certificates.error} title={`Its ${kind}s cannot be listed`} />
            <Field label={noun} required hint={certificates.data?.length === 0 ? (kind === "secret" ? "This vault has no secrets. Add one under Key vaults." : "This vault has no certificates. Import or generate one under Key vaults.") : undefined}>
              <Dropdown placeholder={chosen ? (certificates.isFetching ? "Loading…" : `Select a ${kind}`) : "Select a vault first"} disabled={!chosen} value={name} selectedOptions={[name]}
                onOptionSelect={(_, data) => setName(data.optionValue ?? "")}>
                {(certificates.data ?? []).map((c) => <Option key={c.id} value={vault.objectName(c.id)}>{vault.objectName(c.id)}</Option>)}
              </Dropdown>
            </Field>
          </DialogContent>
          <DialogActions>
            <Button appearance="primary" disabledFocusable={!name} onClick={() => { if (name) pick(); }}>Select</Button>
            <Button onClick={props.onClose}>Cancel</Button>
          </DialogActions>
        </DialogBody>
      </DialogSurface>
    </Dialog>
  );
}

const SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6";

/** If the identity lacks Get and List of secrets in that vault: says so, and grants them if asked. */
export function GrantAccess(props: { host: string; identity: string }): JSX.Element | null {
  const service = useService();
  const entity = useServiceEntity();
  const vaults = useVaults();
  const client = useQueryClient();
  const notify = useNotify();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const found = vaults.data?.find((v) => {
    try {
      return new URL(v.properties.vaultUri ?? "").host.toLowerCase() === props.host.toLowerCase();
    } catch {
      return false;
    }
  });
  const identity = entity.data?.value.identity;
  const objectId = props.identity === SYSTEM ? identity?.principalId
    : Object.values(identity?.userAssignedIdentities ?? {}).find((u) => u.clientId === props.identity)?.principalId;
  const assignments = useQuery({
    queryKey: ["assignments", found?.id],
    queryFn: async ({ signal }) => (await arm.call<{ value: { properties: { roleDefinitionId: string; principalId: string } }[] }>(
      `${found?.id}/providers/Microsoft.Authorization/roleAssignments`, { version: "2022-04-01", signal })).value.value,
    enabled: Boolean(found?.properties.enableRbacAuthorization),
  });
  if (!found || !objectId) return null;
  if (found.properties.enableRbacAuthorization) {
    if (!assignments.data || assignments.data.some((a) => a.properties.principalId === objectId)) return null;
  } else {
    const policy = (found.properties.accessPolicies ?? []).find((p) => p.objectId.toLowerCase() === objectId.toLowerCase());
    const held = (policy?.permissions.secrets ?? []).map((p) => p.toLowerCase());
    if (held.includes("all") || (held.includes("get") && held.includes("list"))) return null;
  }
  const grant = async (): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      if (found.properties.enableRbacAuthorization)
        await arm.call(`${found.id}/providers/Microsoft.Authorization/roleAssignments/${crypto.randomUUID()}`, {
          method: "PUT", version: "2022-04-01",
          body: { properties: { roleDefinitionId: `/subscriptions/${service.subscription}/providers/Microsoft.Authorization/roleDefinitions/${SECRETS_USER}`, principalId: objectId, principalType: "ServicePrincipal" } },
        });
      else
        await arm.call(`${found.id}/accessPolicies/add`, {
          method: "PUT", version: vault.VAULT_ARM_VERSION,
          body: { properties: { accessPolicies: [{ tenantId: found.properties.tenantId, objectId, permissions: { secrets: ["get", "list"] } }] } },
        });
      await Promise.all([client.invalidateQueries({ queryKey: ["vaults"] }), client.invalidateQueries({ queryKey: ["assignments"] })]);
      notify("success", "Access granted", `The identity may get and list the secrets of ${found.name}.`);
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <ErrorBar error={error} title="Not granted" />
      <Hint intent="warning" title="The identity may not read this vault.">
        To follow it, it needs Get and List of secrets in {found.name}.{" "}
        <Button size="small" disabledFocusable={busy} onClick={() => void grant()}>{busy ? <Spinner size="extra-tiny" /> : null}Grant Get and List</Button>
      </Hint>
    </>
  );
}
