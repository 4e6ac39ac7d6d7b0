// SPDX-License-Identifier: Apache-2.0
// Security > Managed identities
import { Button, Dropdown, Field, Input, Option, Switch, Tab, TabList, Text } from "@fluentui/react-components";
import { AddRegular, DeleteRegular, PersonKeyRegular } from "@fluentui/react-icons";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useSearchParams } from "react-router-dom";
import * as arm from "../core/arm";
import { useWrite } from "../core/hooks";
import { useWhyNot } from "../core/permissions";
import { useService, useServiceEntity, type Service } from "../core/service";
import { useNotify } from "../ui/notify";
import { ActButton, Blade, Confirm, Copy, Empty, ErrorBar, Facts, Hint, Loading, Panel, useStyles } from "../ui/parts";

type UserIdentity = arm.Entity<{ principalId: string; clientId: string }>;
const VERSION = "2023-01-31";

const hasSystem = (service: Service): boolean => /systemassigned/i.test(service.identity?.type ?? "");

/** The identity object for a PATCH: what is named stays, null takes away. */
const typeOf = (system: boolean, users: boolean): string => (system ? (users ? "SystemAssigned, UserAssigned" : "SystemAssigned") : users ? "UserAssigned" : "None");

function AddUser(props: { service: Service; onClose: () => void }): JSX.Element {
  const ref = useService();
  const client = useQueryClient();
  const list = useQuery({
    queryKey: ["user-identities", ref.subscription],
    queryFn: async ({ signal }) => (await arm.call<{ value: UserIdentity[] }>(`/subscriptions/${ref.subscription}/providers/Microsoft.ManagedIdentity/userAssignedIdentities`, { version: VERSION, signal })).value.value,
  });
  const [chosen, setChosen] = useState("");
  const [name, setName] = useState("");
  const [failure, setFailure] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const taken = new Set(Object.keys(props.service.identity?.userAssignedIdentities ?? {}).map((id) => id.toLowerCase()));
  const free = (list.data ?? []).filter((i) => !taken.has(i.id.toLowerCase()));
  const save = async (): Promise<void> => {
    setBusy(true);
    setFailure(undefined);
    try {
      let id = chosen;
      if (chosen === "new")
        id = (await arm.call<UserIdentity>(`/subscriptions/${ref.subscription}/resourceGroups/${ref.group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/${encodeURIComponent(name)}`, { method: "PUT", version: VERSION, body: { location: props.service.location } })).value.id;
      await arm.call(ref.id, { method: "PATCH", body: { identity: { type: typeOf(hasSystem(props.service), true), userAssignedIdentities: { [id]: {} } } } });
      await Promise.all([client.invalidateQueries({ queryKey: [ref.id] }), client.invalidateQueries({ queryKey: ["user-identities"] })]);
      props.onClose();
    } catch (error) {
      setFailure(error);
    } finally {
      setBusy(false);
    }
  };
  const isWhole = chosen === "new" ? /^[A-Za-z0-9][\w-]{2,127}$/.test(name) : chosen !== "";
  return (
    <Panel open title="Add user assigned managed identity" onClose={props.onClose} footer={<>
      <Button appearance="primary" disabledFocusable={!isWhole || busy} onClick={() => { if (isWhole && !busy) void save(); }}>Add</Button>
      <Button onClick={props.onClose}>Cancel</Button>
    </>}>
      <ErrorBar error={failure ?? list.error} title="Not added" />
      <Field label="User assigned managed identity" required>
        <Dropdown placeholder={list.isPending ? "Loading…" : "Select an identity"} value={chosen === "new" ? "Create a new one" : chosen ? arm.nameOf(chosen) : ""} selectedOptions={[chosen]} onOptionSelect={(_, d) => setChosen(d.optionValue ?? "")}>
          {free.map((i) => <Option key={i.id} value={i.id} text={i.name}>{i.name}</Option>)}
          <Option value="new" text="Create a new one">Create a new one</Option>
        </Dropdown>
      </Field>
      {chosen === "new" ? <Field label="Name" required hint="3 to 128 letters, digits, '-' and '_'."><Input value={name} autoFocus onChange={(_, d) => setName(d.value)} /></Field> : null}
    </Panel>
  );
}

export function Component(): JSX.Element {
  const s = useStyles();
  const entity = useServiceEntity();
  const notify = useNotify();
  const whyNot = useWhyNot();
  const write = useWrite();
  const [query, setQuery] = useSearchParams();
  const [off, setOff] = useState(false);
  const [adding, setAdding] = useState(false);
  const why = whyNot("Microsoft.ApiManagement/service/write");
  const tab = query.get("tab") ?? "system";
  if (entity.isPending) return <Blade title="Managed identities" icon={<PersonKeyRegular />}><Loading /></Blade>;
  if (entity.error && (!entity.data || arm.isMissing(entity.error))) return <Blade title="Managed identities" icon={<PersonKeyRegular />}><ErrorBar error={entity.error} onRetry={() => void entity.refetch()} /></Blade>;
  const service = entity.data.value;
  const users = Object.entries(service.identity?.userAssignedIdentities ?? {});
  const isOn = hasSystem(service);
  const setSystem = (on: boolean): void => write.mutate({ method: "PATCH", path: "", body: { identity: { type: typeOf(on, users.length > 0) } } }, {
    onSuccess: () => { setOff(false); notify("success", on ? "System-assigned identity is on" : "System-assigned identity is off"); },
  });
  const removeUser = (id: string): void => write.mutate({ method: "PATCH", path: "", body: { identity: { type: typeOf(isOn, users.length > 1), userAssignedIdentities: { [id]: null } } } }, {
    onSuccess: () => notify("success", "Identity removed from the service", arm.nameOf(id)),
  });
  return (
    <Blade title="Managed identities" subtitle={`${service.name} | API Management service`} icon={<PersonKeyRegular />}>
      <TabList selectedValue={tab} onTabSelect={(_, d) => setQuery({ tab: String(d.value) })}><Tab value="system">System assigned</Tab><Tab value="user">User assigned</Tab></TabList>
      <ErrorBar error={write.error} title="Not changed" />
      {tab === "system" ? (
        <>
          <Text>A system-assigned identity belongs to this service alone, and goes with it. Key vaults give it access by its object id.</Text>
          <Switch checked={isOn} label={isOn ? "Status: On" : "Status: Off"} disabled={Boolean(why) || write.isPending} title={why} onChange={(_, d) => { if (d.checked) setSystem(true); else setOff(true); }} />
          {why ? <Text size={200}>{why}</Text> : null}
          {isOn ? <Facts items={[["Object (principal) ID", <Copy key="o" text={service.identity?.principalId ?? ""} label="object id" />], ["Tenant ID", <Copy key="t" text={service.identity?.tenantId ?? ""} label="tenant id" />]]} />
            : <Hint>While it is off, certificates of key vaults cannot be followed with it.</Hint>}
        </>
      ) : (
        <>
          <div><ActButton icon={<AddRegular />} why={why} onClick={() => setAdding(true)}>Add</ActButton></div>
          {users.length === 0 ? <Empty icon={<PersonKeyRegular />} title="No user-assigned identities" action={<ActButton appearance="primary" icon={<AddRegular />} why={why} onClick={() => { if (!why) setAdding(true); }}>Add user-assigned identity</ActButton>}>A user-assigned identity is a resource of its own, which several services can share.</Empty> : (
            <ul style={{ listStyle: "none", padding: 0, margin: 0 }} className={s.column}>
              {users.map(([id, u]) => (
                <li key={id} className={s.card}>
                  <div className={s.row} style={{ justifyContent: "space-between" }}><Text weight="semibold">{arm.nameOf(id)}</Text><ActButton size="small" icon={<DeleteRegular />} why={why} aria-label={`Remove ${arm.nameOf(id)}`} onClick={() => removeUser(id)}>Remove</ActButton></div>
                  <Facts items={[["Client ID", <Copy key="c" text={u.clientId ?? ""} label="client id" />], ["Object (principal) ID", <Copy key="p" text={u.principalId ?? ""} label="object id" />]]} />
                </li>
              ))}
            </ul>
          )}
        </>
      )}
      {adding ? <AddUser service={service} onClose={() => setAdding(false)} /> : null}
      <Confirm open={off} title="Switch the system-assigned identity off?" action="Switch off" busy={write.isPending} onYes={() => setSystem(false)} onClose={() => setOff(false)}>
        <Text>Certificates that follow a key vault with it are no longer renewed; they stay in use until they expire.</Text>
      </Confirm>
    </Blade>
  );
}
