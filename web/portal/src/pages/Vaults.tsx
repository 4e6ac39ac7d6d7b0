// SPDX-License-Identifier: Apache-2.0
// Key vaults of the subscription.
import { Badge, Button, Field, Input, Radio, RadioGroup } from "@fluentui/react-components";
import { AddRegular, VaultRegular } from "@fluentui/react-icons";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate } from "react-router-dom";
import * as arm from "../core/arm";
import { useWhyNot } from "../core/permissions";
import { useService, useServiceEntity } from "../core/service";
import { serverFacts } from "../core/session";
import type { Vault } from "../core/types";
import { VAULT_ARM_VERSION } from "../core/vault";
import { ActButton, Blade, Command, Empty, ErrorBar, Loading, PageLink, Panel, useStyles } from "../ui/parts";
import { useVaults } from "./certificate/VaultPicker";

function AddVault(props: { onClose: (made: string | null) => void }): JSX.Element {
  const service = useService();
  const entity = useServiceEntity();
  const client = useQueryClient();
  const vaults = useVaults();
  const [name, setName] = useState("");
  const [rbac, setRbac] = useState("no");
  const [failure, setFailure] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const isName = /^[A-Za-z](?!.*--)[A-Za-z0-9-]{1,22}[A-Za-z0-9]$/.test(name);
  const save = async (): Promise<void> => {
    setBusy(true);
    setFailure(undefined);
    try {
      if ((await vaults.refetch()).data?.some((v) => v.name.toLowerCase() === name.toLowerCase()))
        throw new Error(`There is a key vault ${name} already, and it stays as it is. Choose another name.`); // a PUT would take its access policies away
      await arm.call<Vault>(`/subscriptions/${service.subscription}/resourceGroups/${service.group}/providers/Microsoft.KeyVault/vaults/${name}`, {
        method: "PUT", version: VAULT_ARM_VERSION,
        body: { location: entity.data?.value.location ?? "local", properties: { tenantId: serverFacts()?.tenantId, sku: { family: "A", name: "standard" }, accessPolicies: [], ...(rbac === "yes" ? { enableRbacAuthorization: true } : {}) } },
      });
      await client.invalidateQueries({ queryKey: ["vaults"] });
      props.onClose(name);
    } catch (error) {
      setFailure(error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Panel open title="Create key vault" onClose={() => props.onClose(null)} footer={<>
      <Button appearance="primary" disabledFocusable={!isName || busy} onClick={() => { if (isName && !busy) void save(); }}>Create</Button>
      <Button onClick={() => props.onClose(null)}>Cancel</Button>
    </>}>
      <ErrorBar error={failure} title="Not created" />
      <Field label="Key vault name" required validationMessage={name && !isName ? "3 to 24 letters, digits and '-', beginning with a letter." : undefined}><Input value={name} autoFocus onChange={(_, d) => setName(d.value)} /></Field>
      <Field label="Permission model">
        <RadioGroup value={rbac} onChange={(_, d) => setRbac(d.value)}><Radio value="no" label="Vault access policy" /><Radio value="yes" label="Azure role-based access control" /></RadioGroup>
      </Field>
    </Panel>
  );
}

export function Component(): JSX.Element {
  const s = useStyles();
  const service = useService();
  const navigate = useNavigate();
  const vaults = useVaults();
  const whyNot = useWhyNot(`/subscriptions/${service.subscription}`);
  const why = whyNot("Microsoft.KeyVault/vaults/write");
  const [adding, setAdding] = useState(false);
  const page = (name: string): string => `${service.base}/key-vaults/${encodeURIComponent(name)}`;
  return (
    <Blade title="Key vaults" subtitle="The embedded vaults of this subscription" icon={<VaultRegular />} commands={<Command icon={<AddRegular />} label="Create" onClick={() => setAdding(true)} why={why} />}>
      {vaults.isPending ? <Loading /> : null}
      <ErrorBar error={vaults.error} onRetry={() => void vaults.refetch()} />
      {vaults.data?.length === 0 ? <Empty icon={<VaultRegular />} title="No key vaults" action={<ActButton appearance="primary" icon={<AddRegular />} why={why} onClick={() => setAdding(true)}>Create key vault</ActButton>}>A vault keeps certificates and secrets, and renews them.</Empty> : null}
      <ul style={{ listStyle: "none", padding: 0, margin: 0 }} className={s.column}>
        {(vaults.data ?? []).map((v) => (
          <li key={v.id} className={s.card}>
            <div className={s.row}><PageLink to={page(v.name)}>{v.name}</PageLink><Badge appearance="tint">{v.properties.enableRbacAuthorization ? "role-based" : "access policies"}</Badge></div>
            <span className={s.mono}>{v.properties.vaultUri}</span>
          </li>
        ))}
      </ul>
      {adding ? <AddVault onClose={(made) => { setAdding(false); if (made) navigate(page(made)); }} /> : null}
    </Blade>
  );
}
