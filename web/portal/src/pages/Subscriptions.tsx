// SPDX-License-Identifier: Apache-2.0
// APIs > Subscriptions: keys with which callers open APIs.
import { Badge, Button, Field, Input, Text } from "@fluentui/react-components";
import { AddRegular, DeleteRegular, EyeRegular, KeyRegular } from "@fluentui/react-icons";
import { useState } from "react";
import { dateText, isId } from "../core/format";
import { useWrite } from "../core/hooks";
import { useWhyNot } from "../core/permissions";
import { useService } from "../core/service";
import type { Access, Product } from "../core/types";
import { ApiPicker } from "../ui/ApiPicker";
import { DataTable } from "../ui/DataTable";
import { ResourcePicker } from "../ui/ResourcePicker";
import { ActButton, Blade, Command, Confirm, Empty, ErrorBar, Panel } from "../ui/parts";
import { useKeys } from "./subscription/Keys";

function AddPanel(props: { onClose: () => void }): JSX.Element {
  const service = useService();
  const [name, setName] = useState("");
  const [scope, setScope] = useState("");
  const [product, setProduct] = useState("");
  const write = useWrite();
  const id = name.trim().toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "");
  return (
    <Panel open title="New subscription" onClose={props.onClose} footer={<>
      <Button appearance="primary" disabledFocusable={!isId(id) || write.isPending} onClick={() => { if (isId(id)) write.mutate({ method: "PUT", path: `/subscriptions/${id}`, isNew: true, body: { properties: { displayName: name.trim(), scope: product ? `${service.id}/products/${product}` : scope ? `${service.id}/apis/${scope}` : `${service.id}/apis` } } }, { onSuccess: props.onClose }); }}>Create</Button>
      <Button onClick={props.onClose}>Cancel</Button>
    </>}>
      <ErrorBar error={write.error} title="Not created" />
      <Field label="Display name" required><Input value={name} autoFocus placeholder="Partner A" onChange={(_, d) => setName(d.value)} /></Field>
      <Field label="Scope">
        <ApiPicker value={scope} onChange={setScope} none="All APIs" />
      </Field>
      <Field label="Product" hint="Instead of the scope: the APIs of this product, with its policy.">
        <ResourcePicker<Product> value={[product]} onChange={(value) => setProduct(value[0] ?? "")} none="None" path="/products" fields={["displayName", "name"]} noun="product" searched="name"
          textOf={(p) => (p.properties.displayName === p.name ? p.name : `${p.properties.displayName} (${p.name})`)} />
      </Field>
    </Panel>
  );
}

export function Component(): JSX.Element {
  const service = useService();
  const whyNot = useWhyNot();
  const [adding, setAdding] = useState(false);
  const keys = useKeys();
  const [deleting, setDeleting] = useState<string | null>(null);
  const remove = useWrite();
  const noAdd = whyNot("subscriptions/write");
  const noKeys = whyNot("subscriptions/listSecrets/action");
  return (
    <Blade title="Subscriptions" subtitle={`${service.name} | ${service.kind}`} icon={<KeyRegular />} flush commands={<Command icon={<AddRegular />} label="Add subscription" onClick={() => setAdding(true)} why={noAdd} />}>
      <div style={{ display: "flex", flexDirection: "column", flexGrow: 1, minHeight: 0, padding: "12px" }}>
        <DataTable<Access> label="Subscriptions" path="/subscriptions" defaultSort="displayName" columns={[
          { key: "name", title: "Display name", grow: 3, min: 120, sort: "displayName", render: (a) => a.properties.displayName ?? a.name },
          { key: "scope", title: "Scope", grow: 3, from: "medium", render: (a) => { const tail = a.properties.scope.slice(service.id.length).replace(/^\/+/, ""); return tail === "" ? "The service" : tail === "apis" ? "All APIs" : tail.replace(/^apis\//, "API ").replace(/^products\//, "Product "); } },
          { key: "state", title: "State", grow: 1, render: (a) => <Badge appearance="tint" color={a.properties.state === "active" ? "success" : "warning"}>{a.properties.state}</Badge> },
          { key: "created", title: "Created", grow: 2, from: "wide", render: (a) => dateText(a.properties.createdDate) },
          { key: "more", title: "", grow: 1, min: 120, render: (a) => <>
            <ActButton size="small" icon={<EyeRegular />} why={noKeys} aria-label={`Show keys of ${a.name}`} onClick={() => { if (!noKeys) keys.show(a.name); }} />
            <ActButton size="small" icon={<DeleteRegular />} why={whyNot("subscriptions/delete")} aria-label={`Delete ${a.name}`} onClick={() => setDeleting(a.name)} />
          </> },
        ]} empty={<Empty icon={<KeyRegular />} title="No subscriptions yet" action={<ActButton appearance="primary" icon={<AddRegular />} why={noAdd} onClick={() => { if (!noAdd) setAdding(true); }}>Add subscription</ActButton>}>A subscription has two keys with which a caller opens APIs.</Empty>} />
      </div>
      {adding ? <AddPanel onClose={() => setAdding(false)} /> : null}
      {keys.dialog}
      <Confirm open={deleting !== null} title={`Delete ${deleting ?? ""}?`} action="Delete" busy={remove.isPending} onClose={() => { setDeleting(null); remove.reset(); }}
        onYes={() => remove.mutate({ method: "DELETE", path: `/subscriptions/${encodeURIComponent(deleting ?? "")}`, etag: "*" }, { onSuccess: () => setDeleting(null) })}>
        <ErrorBar error={remove.error} title="Not deleted" />
        <Text>Its keys open nothing from then on.</Text>
      </Confirm>
    </Blade>
  );
}
