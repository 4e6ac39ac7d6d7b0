// SPDX-License-Identifier: Apache-2.0
// APIs > Products: APIs that are offered together, with keys and a policy of their own.
import { Badge, Button, Field, Input, Switch, Textarea } from "@fluentui/react-components";
import { AddRegular, ArrowClockwiseRegular, BoxMultipleRegular, DeleteRegular, SearchRegular } from "@fluentui/react-icons";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate, useSearchParams } from "react-router-dom";
import * as arm from "../core/arm";
import { containsAny, isId } from "../core/format";
import { useSettled, useWrite } from "../core/hooks";
import { useWhyNot } from "../core/permissions";
import { useService } from "../core/service";
import type { Product } from "../core/types";
import { DataTable } from "../ui/DataTable";
import { useNotify } from "../ui/notify";
import { ActButton, Blade, Command, Empty, ErrorBar, PageLink, Panel, useStyles } from "../ui/parts";
import { DeleteProduct } from "./product/Delete";

function AddProduct(props: { onClose: (made: string | null) => void }): JSX.Element {
  const [displayName, setDisplayName] = useState("");
  const [name, setName] = useState("");
  const [description, setDescription] = useState("");
  const [keys, setKeys] = useState(true);
  const [published, setPublished] = useState(true);
  const write = useWrite<Product>();
  const notify = useNotify();
  const id = name || displayName.trim().toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "");
  const error = write.error instanceof arm.ApiError ? write.error : null;
  const isWhole = isId(id) && displayName.trim() !== "";
  const save = (): void => write.mutate({
    method: "PUT", path: `/products/${encodeURIComponent(id)}`, isNew: true,
    body: { properties: { displayName: displayName.trim(), ...(description.trim() ? { description: description.trim() } : {}), subscriptionRequired: keys, state: published ? "published" : "notPublished" } },
  }, { onSuccess: () => { notify("success", "Product created", displayName); props.onClose(id); } });
  return (
    <Panel open title="Add product" onClose={() => props.onClose(null)} footer={<>
      <Button appearance="primary" disabledFocusable={!isWhole || write.isPending} onClick={() => { if (isWhole) save(); }}>{write.isPending ? "Creating…" : "Create"}</Button>
      <Button onClick={() => props.onClose(null)}>Cancel</Button>
    </>}>
      <ErrorBar error={write.error} title="Not created" />
      <Field label="Display name" required validationMessage={error?.about("displayName")}><Input value={displayName} autoFocus placeholder="Gold" onChange={(_, d) => setDisplayName(d.value)} /></Field>
      <Field label="Name" required hint="Its id in the REST API."><Input value={id} onChange={(_, d) => setName(d.value)} /></Field>
      <Field label="Description"><Textarea value={description} resize="vertical" onChange={(_, d) => setDescription(d.value)} /></Field>
      <Switch checked={published} onChange={(_, d) => setPublished(d.checked)} label="Published" />
      <Field hint={keys ? "A key of one of its subscriptions opens its APIs." : "An open product: its APIs need no key."}><Switch checked={keys} onChange={(_, d) => setKeys(d.checked)} label="Requires subscription" /></Field>
    </Panel>
  );
}

export function Component(): JSX.Element {
  const s = useStyles();
  const service = useService();
  const navigate = useNavigate();
  const client = useQueryClient();
  const whyNot = useWhyNot();
  const [query, setQuery] = useSearchParams();
  const [text, setText] = useState("");
  const [deleting, setDeleting] = useState<Product | null>(null);
  const filter = containsAny(useSettled(text), ["name", "displayName", "description"]);
  const noAdd = whyNot("products/write");
  const noDelete = whyNot("products/delete");
  const add = (): void => setQuery({ add: "" });
  const page = (name: string): string => `${service.base}/products/${encodeURIComponent(name)}`;
  return (
    <Blade title="Products" subtitle={`${service.name} | ${service.kind}`} icon={<BoxMultipleRegular />} flush commands={<>
      <Command icon={<AddRegular />} label="Add" onClick={add} why={noAdd} />
      <Command icon={<ArrowClockwiseRegular />} label="Refresh" onClick={() => void client.invalidateQueries({ queryKey: [service.id] })} />
    </>}>
      <div className={s.row} style={{ padding: "12px 20px" }}>
        <Input contentBefore={<SearchRegular />} placeholder="Filter by name or description" aria-label="Filter the products" value={text} onChange={(_, data) => setText(data.value)} style={{ minWidth: 0, width: 320 }} />
      </div>
      <div style={{ display: "flex", flexDirection: "column", flexGrow: 1, minHeight: 0, padding: "0 12px" }}>
        <DataTable<Product> label="Products" path="/products" filter={filter} defaultSort="displayName" columns={[
          { key: "title", title: "Display name", grow: 3, min: 120, sort: "displayName", render: (p) => <PageLink to={page(p.name)}>{p.properties.displayName}</PageLink> },
          { key: "name", title: "Name", grow: 2, min: 90, sort: "name", from: "medium", render: (p) => <span className={s.mono}>{p.name}</span> },
          { key: "keys", title: "Access", grow: 2, min: 80, render: (p) => (p.properties.subscriptionRequired === false ? "Open" : "By key") },
          { key: "state", title: "State", grow: 2, from: "medium", render: (p) => <Badge appearance="tint" color={p.properties.state === "published" ? "success" : "informative"}>{p.properties.state === "published" ? "Published" : "Not published"}</Badge> },
          { key: "description", title: "Description", grow: 4, from: "wide", render: (p) => <span className={s.clip} title={p.properties.description}>{p.properties.description}</span> },
          { key: "more", title: "", grow: 0, min: 48, render: (p) => <ActButton appearance="subtle" icon={<DeleteRegular />} why={noDelete} aria-label={`Delete ${p.name}`} onClick={() => { if (!noDelete) setDeleting(p); }} /> },
        ]}
        empty={<Empty icon={<BoxMultipleRegular />} title="No products yet" action={<ActButton appearance="primary" icon={<AddRegular />} why={noAdd} onClick={add}>Add product</ActButton>}>
          A product offers APIs together: its keys open these and no others, and its policy decides which certificate their backends see.
        </Empty>}
        nothing={<Empty icon={<SearchRegular />} title="No product matches">Change the filter to see others.</Empty>} />
      </div>
      {query.get("add") !== null ? <AddProduct onClose={(made) => { if (made) navigate(page(made)); else setQuery({}); }} /> : null}
      {deleting ? <DeleteProduct product={deleting} onClose={() => setDeleting(null)} /> : null}
    </Blade>
  );
}
