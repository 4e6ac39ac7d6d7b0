// SPDX-License-Identifier: Apache-2.0
// Access configuration, access policies, access control.
import { Button, Checkbox, Dropdown, Field, Input, Option, Radio, RadioGroup, Tab, TabList, Text } from "@fluentui/react-components";
import { AddRegular, DeleteRegular, PeopleRegular } from "@fluentui/react-icons";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import * as arm from "../../core/arm";
import { useWhyNot } from "../../core/permissions";
import { useService, useServiceEntity } from "../../core/service";
import { serverFacts } from "../../core/session";
import type { Vault } from "../../core/types";
import { VAULT_ARM_VERSION } from "../../core/vault";
import { useNotify } from "../../ui/notify";
import { ActButton, Empty, ErrorBar, Facts, Hint, Loading, Panel, useStyles } from "../../ui/parts";

const permissions = {
  certificates: ["get", "list", "update", "create", "import", "delete", "recover", "backup", "restore", "managecontacts", "manageissuers", "getissuers", "listissuers", "setissuers", "deleteissuers", "purge"],
  secrets: ["get", "list", "set", "delete", "recover", "backup", "restore", "purge"],
  keys: ["get", "list", "update", "create", "import", "delete", "recover", "backup", "restore", "decrypt", "encrypt", "unwrapKey", "wrapKey", "verify", "sign", "purge"],
} as const;
type Part = keyof typeof permissions;

function useVaultWrite(vault: Vault) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ path = "", method, body, version = VAULT_ARM_VERSION }: { path?: string; method: string; body?: unknown; version?: string }) => arm.call(`${vault.id}${path}`, { method, version, ...(body !== undefined ? { body } : {}) }),
    onSuccess: () => Promise.all([client.invalidateQueries({ queryKey: ["vaults"] }), client.invalidateQueries({ queryKey: ["assignments", vault.id] }), client.invalidateQueries({ queryKey: ["permissions"] })]),
  });
}

interface Principal { id: string; name: string; kind: string }

/** Who can be given something: the service's identities, applications and people of the directory. */
function usePrincipals(): Principal[] {
  const entity = useServiceEntity();
  const directory = useQuery({
    queryKey: ["directory"],
    queryFn: async ({ signal }) => {
      const read = async (path: string): Promise<{ id: string; displayName: string }[]> => {
        try {
          return (await arm.call<{ value: { id: string; displayName: string }[] }>(`/msgraph/v1.0/${path}`, { signal })).value.value;
        } catch {
          return []; // who may not read the directory types the object id
        }
      };
      const [applications, users] = await Promise.all([read("applications"), read("users")]);
      return [...applications.map((a) => ({ id: a.id, name: a.displayName, kind: "application" })), ...users.map((u) => ({ id: u.id, name: u.displayName, kind: "user" }))];
    },
    staleTime: 60000,
  });
  const identity = entity.data?.value.identity;
  return [
    ...(identity?.principalId ? [{ id: identity.principalId, name: `${entity.data?.value.name ?? ""} (system-assigned identity)`, kind: "identity" }] : []),
    ...Object.entries(identity?.userAssignedIdentities ?? {}).map(([id, u]) => ({ id: u.principalId ?? "", name: arm.nameOf(id), kind: "identity" })),
    ...(directory.data ?? []),
  ];
}

function PrincipalPicker(props: { value: string; onChange: (id: string) => void }): JSX.Element {
  const principals = usePrincipals();
  return (
    <>
      <Field label="Principal" required>
        <Dropdown placeholder="Select who gets it" value={principals.find((p) => p.id === props.value)?.name ?? ""} selectedOptions={[props.value]} onOptionSelect={(_, d) => props.onChange(d.optionValue ?? "")}>
          {principals.map((p) => <Option key={p.id} value={p.id} text={p.name}>{`${p.name}, ${p.kind}`}</Option>)}
        </Dropdown>
      </Field>
      <Field label="or its object id"><Input value={props.value} onChange={(_, d) => props.onChange(d.value.trim())} placeholder="00000000-0000-0000-0000-000000000000" /></Field>
    </>
  );
}

export function AccessConfiguration(props: { vault: Vault }): JSX.Element {
  const write = useVaultWrite(props.vault);
  const notify = useNotify();
  const why = useWhyNot(props.vault.id)("Microsoft.KeyVault/vaults/write");
  const [mode, setMode] = useState(props.vault.properties.enableRbacAuthorization ? "rbac" : "policy");
  return (
    <>
      <ErrorBar error={write.error} title="Not changed" />
      <Field label="Permission model" hint="Who may reach the data of this vault, and how that is said.">
        <RadioGroup value={mode} onChange={(_, d) => setMode(d.value)}><Radio value="rbac" label="Azure role-based access control" /><Radio value="policy" label="Vault access policy" /></RadioGroup>
      </Field>
      <div><ActButton appearance="primary" why={why} disabledFocusable={write.isPending} onClick={() => why ?? write.mutate({ method: "PATCH", body: { properties: { enableRbacAuthorization: mode === "rbac" } } }, { onSuccess: () => notify("success", "Permission model changed") })}>Apply</ActButton></div>
    </>
  );
}

function CreatePolicy(props: { vault: Vault; onClose: () => void }): JSX.Element {
  const s = useStyles();
  const write = useVaultWrite(props.vault);
  const principals = usePrincipals();
  const [step, setStep] = useState<"permissions" | "principal" | "review">("permissions");
  const [chosen, setChosen] = useState<Record<Part, string[]>>({ certificates: [], secrets: [], keys: [] });
  const [principal, setPrincipal] = useState("");
  const isUuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(principal);
  const given = (Object.entries(chosen) as [Part, string[]][]).filter(([, list]) => list.length);
  const steps = ["permissions", "principal", "review"] as const;
  const next = steps[steps.indexOf(step) + 1];
  const isReady = step === "permissions" ? given.length > 0 : isUuid;
  const save = (): void => write.mutate({ path: "/accessPolicies/add", method: "PUT", body: { properties: { accessPolicies: [{ tenantId: serverFacts()?.tenantId, objectId: principal, permissions: Object.fromEntries(given) }] } } }, { onSuccess: props.onClose });
  return (
    <Panel open size="medium" title="Create an access policy" onClose={props.onClose} footer={<>
      <Button appearance="primary" disabledFocusable={!isReady || write.isPending} onClick={() => { if (!isReady) return; if (next) setStep(next); else save(); }}>{next ? "Next" : "Create"}</Button>
      <Button onClick={props.onClose}>Cancel</Button>
    </>}>
      <TabList selectedValue={step} onTabSelect={(_, d) => setStep(d.value as typeof step)}><Tab value="permissions">Permissions</Tab><Tab value="principal" disabled={given.length === 0}>Principal</Tab><Tab value="review" disabled={given.length === 0 || !isUuid}>Review + create</Tab></TabList>
      <ErrorBar error={write.error} title="Not created" />
      {step === "permissions" ? (Object.keys(permissions) as Part[]).map((part) => (
        <fieldset key={part} className={s.card}>
          <legend>{part[0]?.toUpperCase()}{part.slice(1)} permissions</legend>
          <Checkbox label="Select all" checked={chosen[part].length === permissions[part].length ? true : chosen[part].length ? "mixed" : false} onChange={(_, d) => setChosen({ ...chosen, [part]: d.checked === true ? [...permissions[part]] : [] })} />
          <div style={{ display: "grid", gridTemplateColumns: "repeat(auto-fill, minmax(140px, 1fr))" }}>
            {permissions[part].map((p) => <Checkbox key={p} label={p} checked={chosen[part].includes(p)} onChange={(_, d) => setChosen({ ...chosen, [part]: d.checked === true ? [...chosen[part], p] : chosen[part].filter((x) => x !== p) })} />)}
          </div>
        </fieldset>
      )) : null}
      {step === "principal" ? <PrincipalPicker value={principal} onChange={setPrincipal} /> : null}
      {step === "review" ? <Facts items={[["Principal", `${principals.find((p) => p.id === principal)?.name ?? ""} ${principal}`], ...given.map(([part, list]): [string, string] => [part, list.join(", ")])]} /> : null}
    </Panel>
  );
}

export function AccessPolicies(props: { vault: Vault }): JSX.Element {
  const s = useStyles();
  const write = useVaultWrite(props.vault);
  const principals = usePrincipals();
  const [adding, setAdding] = useState(false);
  const why = useWhyNot(props.vault.id)("Microsoft.KeyVault/vaults/accessPolicies/write");
  const list = props.vault.properties.accessPolicies ?? [];
  return (
    <>
      {props.vault.properties.enableRbacAuthorization ? <Hint intent="warning">This vault uses roles: these policies are not looked at.</Hint> : null}
      <div><ActButton icon={<AddRegular />} why={why} onClick={() => { if (!why) setAdding(true); }}>Create</ActButton></div>
      <ErrorBar error={write.error} title="Not changed" />
      {list.length === 0 ? <Empty icon={<PeopleRegular />} title="No access policies" action={<ActButton appearance="primary" icon={<AddRegular />} why={why} onClick={() => { if (!why) setAdding(true); }}>Add access policy</ActButton>}>Nobody may reach the data of this vault. A policy says who may do what with its certificates, secrets and keys.</Empty> : null}
      <ul style={{ listStyle: "none", padding: 0, margin: 0 }} className={s.column}>
        {list.map((p) => {
          const name = principals.find((x) => x.id.toLowerCase() === p.objectId.toLowerCase())?.name ?? p.objectId;
          return (
            <li key={p.objectId} className={s.card}>
              <div className={s.row} style={{ justifyContent: "space-between" }}><Text weight="semibold">{name}</Text><ActButton size="small" why={why} icon={<DeleteRegular />} aria-label={`Remove the policy of ${name}`} onClick={() => why ?? write.mutate({ path: "/accessPolicies/remove", method: "PUT", body: { properties: { accessPolicies: [p] } } })}>Remove</ActButton></div>
              <Facts items={[["Object id", <span key="o" className={s.mono}>{p.objectId}</span>], ["Certificates", (p.permissions.certificates ?? []).join(", ")], ["Secrets", (p.permissions.secrets ?? []).join(", ")], ["Keys", (p.permissions.keys ?? []).join(", ")]]} />
            </li>
          );
        })}
      </ul>
      {adding ? <CreatePolicy vault={props.vault} onClose={() => setAdding(false)} /> : null}
    </>
  );
}

const AUTHORIZATION = "2022-04-01";
type Assignment = arm.Entity<{ roleDefinitionId: string; principalId: string; principalType?: string; scope: string }>;

export function AccessControl(props: { vault: Vault }): JSX.Element {
  const s = useStyles();
  const service = useService();
  const principals = usePrincipals();
  const write = useVaultWrite(props.vault);
  const [role, setRole] = useState("");
  const [principal, setPrincipal] = useState("");
  const [adding, setAdding] = useState(false);
  const whyNot = useWhyNot(props.vault.id);
  const noAdd = whyNot("Microsoft.Authorization/roleAssignments/write");
  const noRemove = whyNot("Microsoft.Authorization/roleAssignments/delete");
  const roles = useQuery({ queryKey: ["roles", service.subscription], queryFn: async ({ signal }) => (await arm.call<{ value: arm.Entity<{ roleName: string; description?: string }>[] }>(`/subscriptions/${service.subscription}/providers/Microsoft.Authorization/roleDefinitions`, { version: AUTHORIZATION, signal })).value.value, staleTime: 600000 });
  const list = useQuery({ queryKey: ["assignments", props.vault.id], queryFn: async ({ signal }) => (await arm.call<{ value: Assignment[] }>(`${props.vault.id}/providers/Microsoft.Authorization/roleAssignments`, { version: AUTHORIZATION, signal })).value.value });
  const roleName = (id: string): string => roles.data?.find((r) => r.name === arm.nameOf(id))?.properties.roleName ?? arm.nameOf(id);
  const isWhole = role !== "" && principal.length === 36;
  return (
    <>
      <div><ActButton icon={<AddRegular />} why={noAdd} onClick={() => { if (!noAdd) setAdding(true); }}>Add role assignment</ActButton></div>
      {list.isPending ? <Loading /> : null}
      <ErrorBar error={list.error ?? roles.error ?? write.error} />
      {list.data?.length === 0 ? <Empty icon={<PeopleRegular />} title="No role assignments" action={<ActButton appearance="primary" icon={<AddRegular />} why={noAdd} onClick={() => { if (!noAdd) setAdding(true); }}>Assign a role</ActButton>}>Nobody has a role on this vault, or inherits one. A role says what a person or an identity may do with it.</Empty> : null}
      <ul style={{ listStyle: "none", padding: 0, margin: 0 }} className={s.column}>
        {(list.data ?? []).map((a) => {
          const name = principals.find((p) => p.id.toLowerCase() === a.properties.principalId.toLowerCase())?.name ?? a.properties.principalId;
          const isHere = a.properties.scope.toLowerCase() === props.vault.id.toLowerCase();
          return (
            <li key={a.id} className={s.card}>
              <div className={s.row} style={{ justifyContent: "space-between" }}>
                <div><Text weight="semibold">{roleName(a.properties.roleDefinitionId)}</Text> {name} <Text size={200}>{isHere ? "this vault" : `inherited from ${a.properties.scope}`}</Text></div>
                {isHere ? <ActButton size="small" why={noRemove} icon={<DeleteRegular />} aria-label={`Remove ${roleName(a.properties.roleDefinitionId)} of ${name}`} onClick={() => noRemove ?? write.mutate({ path: `/providers/Microsoft.Authorization/roleAssignments/${a.name}`, method: "DELETE", version: AUTHORIZATION })}>Remove</ActButton> : null}
              </div>
            </li>
          );
        })}
      </ul>
      {adding ? (
        <Panel open title="Add role assignment" onClose={() => setAdding(false)} footer={<>
          <Button appearance="primary" disabledFocusable={!isWhole || write.isPending} onClick={() => { if (isWhole) write.mutate({ path: `/providers/Microsoft.Authorization/roleAssignments/${crypto.randomUUID()}`, method: "PUT", version: AUTHORIZATION, body: { properties: { roleDefinitionId: `/subscriptions/${service.subscription}/providers/Microsoft.Authorization/roleDefinitions/${role}`, principalId: principal } } }, { onSuccess: () => setAdding(false) }); }}>Assign</Button>
          <Button onClick={() => setAdding(false)}>Cancel</Button>
        </>}>
          <ErrorBar error={write.error} title="Not assigned" />
          <Field label="Role" required><Dropdown value={roles.data?.find((r) => r.name === role)?.properties.roleName ?? ""} selectedOptions={[role]} placeholder="Select a role" onOptionSelect={(_, d) => setRole(d.optionValue ?? "")}>{(roles.data ?? []).map((r) => <Option key={r.name} value={r.name}>{r.properties.roleName}</Option>)}</Dropdown></Field>
          <PrincipalPicker value={principal} onChange={setPrincipal} />
        </Panel>
      ) : null}
    </>
  );
}
