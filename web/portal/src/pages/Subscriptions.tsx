// SPDX-License-Identifier: Apache-2.0
// APIs > Subscriptions: keys with which callers open APIs.
import { Badge, Button, Field, Input, Text } from "@fluentui/react-components";
import { AddRegular, DeleteRegular, EyeRegular, KeyRegular } from "@fluentui/react-icons";
import { useState } from "react";
import * as arm from "../core/arm";
import { dateText, isId } from "../core/format";
import { useWrite } from "../core/hooks";
import { useWhyNot } from "../core/permissions";
import { useService } from "../core/service";
import type { Access } from "../core/types";
import { ApiPicker } from "../ui/ApiPicker";
import { DataTable } from "../ui/DataTable";
import { useNotify, wordsOf } from "../ui/notify";
import { ActButton, Blade, Command, Confirm, Copy, Empty, ErrorBar, Facts, Panel } from "../ui/parts";

function AddPanel(props: { onClose: () => void }): JSX.Element {
  const service = useService();
  const [name, setName] = useState("");
  const [scope, setScope] = useState("");
  const write = useWrite();
  const id = name.trim().toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "");
  return (
    <Panel open title="New subscription" onClose={props.onClose} footer={<>
      <Button appearance="primary" disabledFocusable={!isId(id) || write.isPending} onClick={() => { if (isId(id)) write.mutate({ method: "PUT", path: `/subscriptions/${id}`, isNew: true, body: { properties: { displayName: name.trim(), scope: scope ? `${service.id}/apis/${scope}` : `${service.id}/apis` } } }, { onSuccess: props.onClose }); }}>Create</Button>
      <Button onClick={props.onClose}>Cancel</Button>
    </>}>
      <ErrorBar error={write.error} title="Not created" />
      <Field label="Display name" required><Input value={name} autoFocus placeholder="Partner A" onChange={(_, d) => setName(d.value)} /></Field>
      <Field label="Scope">
        <ApiPicker value={scope} onChange={setScope} none="All APIs" />
      </Field>
    </Panel>
  );
}

export function Component(): JSX.Element {
  const service = useService();
  const whyNot = useWhyNot();
  const notify = useNotify();
  const [adding, setAdding] = useState(false);
  const [keys, setKeys] = useState<{ name: string; primaryKey: string; secondaryKey: string } | null>(null);
  const [deleting, setDeleting] = useState<string | null>(null);
  const remove = useWrite();
  const noAdd = whyNot("subscriptions/write");
  const noKeys = whyNot("subscriptions/listSecrets/action");
  const show = (name: string): void => {
    void arm.call<{ primaryKey: string; secondaryKey: string }>(`${service.id}/subscriptions/${encodeURIComponent(name)}/listSecrets`, { method: "POST" })
      .then(({ value }) => setKeys({ name, ...value }), (error: unknown) => notify("error", "The keys cannot be shown", wordsOf(error)));
  };
  return (
    <Blade title="Subscriptions" subtitle={`${service.name} | ${service.kind}`} icon={<KeyRegular />} flush commands={<Command icon={<AddRegular />} label="Add subscription" onClick={() => setAdding(true)} why={noAdd} />}>
      <div style={{ display: "flex", flexDirection: "column", flexGrow: 1, minHeight: 0, padding: "12px" }}>
        <DataTable<Access> label="Subscriptions" path="/subscriptions" defaultSort="displayName" columns={[
          { key: "name", title: "Display name", grow: 3, min: 120, sort: "displayName", render: (a) => a.properties.displayName ?? a.name },
          { key: "scope", title: "Scope", grow: 3, from: "medium", render: (a) => { const tail = a.properties.scope.slice(service.id.length).replace(/^\/+/, ""); return tail === "" ? "The service" : tail === "apis" ? "All APIs" : tail.replace(/^apis\//, "API "); } },
          { key: "state", title: "State", grow: 1, render: (a) => <Badge appearance="tint" color={a.properties.state === "active" ? "success" : "warning"}>{a.properties.state}</Badge> },
          { key: "created", title: "Created", grow: 2, from: "wide", render: (a) => dateText(a.properties.createdDate) },
          { key: "more", title: "", grow: 1, min: 120, render: (a) => <>
            <ActButton size="small" icon={<EyeRegular />} why={noKeys} aria-label={`Show keys of ${a.name}`} onClick={() => { if (!noKeys) show(a.name); }} />
            <ActButton size="small" icon={<DeleteRegular />} why={whyNot("subscriptions/delete")} aria-label={`Delete ${a.name}`} onClick={() => setDeleting(a.name)} />
          </> },
        ]} empty={<Empty icon={<KeyRegular />} title="No subscriptions yet" action={<ActButton appearance="primary" icon={<AddRegular />} why={noAdd} onClick={() => { if (!noAdd) setAdding(true); }}>Add subscription</ActButton>}>A subscription has two keys with which a caller opens APIs.</Empty>} />
      </div>
      {adding ? <AddPanel onClose={() => setAdding(false)} /> : null}
      <Confirm open={keys !== null} title={`Keys of ${keys?.name ?? ""}`} onClose={() => setKeys(null)}>
        {keys ? <Facts items={[["Primary key", <Copy key="p" text={keys.primaryKey} label="primary key" />], ["Secondary key", <Copy key="s" text={keys.secondaryKey} label="secondary key" />]]} /> : null}
      </Confirm>
      <Confirm open={deleting !== null} title={`Delete ${deleting ?? ""}?`} action="Delete" busy={remove.isPending} onClose={() => { setDeleting(null); remove.reset(); }}
        onYes={() => remove.mutate({ method: "DELETE", path: `/subscriptions/${encodeURIComponent(deleting ?? "")}`, etag: "*" }, { onSuccess: () => setDeleting(null) })}>
        <ErrorBar error={remove.error} title="Not deleted" />
        <Text>Its keys open nothing from then on.</Text>
      </Confirm>
    </Blade>
  );
}
