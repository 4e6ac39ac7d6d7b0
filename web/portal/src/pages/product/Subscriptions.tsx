// SPDX-License-Identifier: Apache-2.0
// The subscriptions of a product: made, approved or rejected, and their keys shown.
import { Badge, Button, Field, Input } from "@fluentui/react-components";
import { AddRegular, CheckmarkRegular, DismissRegular, EyeRegular, KeyRegular } from "@fluentui/react-icons";
import { useState } from "react";
import { useSearchParams } from "react-router-dom";
import { dateText, isId } from "../../core/format";
import { useWrite } from "../../core/hooks";
import { useWhyNot } from "../../core/permissions";
import type { Access, Product } from "../../core/types";
import { DataTable } from "../../ui/DataTable";
import { useNotify } from "../../ui/notify";
import { ActButton, Empty, ErrorBar, Panel } from "../../ui/parts";
import { useKeys } from "../subscription/Keys";

function Add(props: { product: Product; onClose: () => void }): JSX.Element {
  const [name, setName] = useState("");
  const write = useWrite();
  const id = name.trim().toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "");
  return (
    <Panel open title={`New subscription to ${props.product.properties.displayName}`} onClose={props.onClose} footer={<>
      <Button appearance="primary" disabledFocusable={!isId(id) || write.isPending} onClick={() => { if (isId(id)) write.mutate({ method: "PUT", path: `/subscriptions/${id}`, isNew: true, body: { properties: { displayName: name.trim(), scope: props.product.id } } }, { onSuccess: props.onClose }); }}>Create</Button>
      <Button onClick={props.onClose}>Cancel</Button>
    </>}>
      <ErrorBar error={write.error} title="Not created" />
      <Field label="Display name" required {...(props.product.properties.approvalRequired ? { hint: "It opens nothing until it is approved." } : {})}><Input value={name} autoFocus placeholder="Partner A" onChange={(_, d) => setName(d.value)} /></Field>
    </Panel>
  );
}

export function ProductSubscriptions(props: { product: Product }): JSX.Element {
  const whyNot = useWhyNot();
  const notify = useNotify();
  const [query, setQuery] = useSearchParams();
  const keys = useKeys();
  const change = useWrite();
  const noWrite = whyNot("subscriptions/write");
  const noKeys = whyNot("subscriptions/listSecrets/action");
  const add = (): void => { if (!noWrite) setQuery({ add: "" }); };
  const set = (name: string, state: string, said: string): void => {
    if (!noWrite) change.mutate({ method: "PATCH", path: `/subscriptions/${encodeURIComponent(name)}`, etag: "*", body: { properties: { state } } }, { onSuccess: () => notify("success", said, name) });
  };
  return (
    <>
      <div><ActButton icon={<AddRegular />} why={noWrite} onClick={add}>Add subscription</ActButton></div>
      <ErrorBar error={change.error} title="Not changed" />
      <div style={{ display: "flex", flexDirection: "column", flexGrow: 1, minHeight: 200 }}>
        <DataTable<Access> label="Subscriptions of the product" path={`/products/${encodeURIComponent(props.product.name)}/subscriptions`} defaultSort="displayName" columns={[
          { key: "name", title: "Display name", grow: 3, min: 110, sort: "displayName", render: (a) => a.properties.displayName ?? a.name },
          { key: "owner", title: "Owner", grow: 2, from: "wide", render: (a) => a.properties.ownerId?.replace(/^.*\/users\//, "") },
          { key: "state", title: "State", grow: 1, min: 80, render: (a) => <Badge appearance="tint" color={a.properties.state === "active" ? "success" : "warning"}>{a.properties.state}</Badge> },
          { key: "created", title: "Created", grow: 2, from: "wide", render: (a) => dateText(a.properties.createdDate) },
          { key: "more", title: "", grow: 1, min: 120, render: (a) => <>
            {a.properties.state === "submitted" ? <>
              <ActButton size="small" icon={<CheckmarkRegular />} why={noWrite} aria-label={`Approve ${a.name}`} onClick={() => set(a.name, "active", "Subscription approved")} />
              <ActButton size="small" icon={<DismissRegular />} why={noWrite} aria-label={`Reject ${a.name}`} onClick={() => set(a.name, "rejected", "Subscription rejected")} />
            </> : null}
            <ActButton size="small" icon={<EyeRegular />} why={noKeys} aria-label={`Show keys of ${a.name}`} onClick={() => { if (!noKeys) keys.show(a.name); }} />
          </> },
        ]} empty={<Empty icon={<KeyRegular />} title="No subscriptions to this product yet" action={<ActButton appearance="primary" icon={<AddRegular />} why={noWrite} onClick={add}>Make one</ActButton>}>A subscription has two keys with which a caller opens the APIs of this product.</Empty>} />
      </div>
      {query.get("add") !== null ? <Add product={props.product} onClose={() => setQuery({})} /> : null}
      {keys.dialog}
    </>
  );
}
