// SPDX-License-Identifier: Apache-2.0
// Which APIs are in a product.
import { Button, Checkbox, Field, Input } from "@fluentui/react-components";
import { AddRegular, AppsListRegular, DismissRegular, SearchRegular } from "@fluentui/react-icons";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useSearchParams } from "react-router-dom";
import * as arm from "../../core/arm";
import { containsAny } from "../../core/format";
import { useAll, useRead, useSettled, useWrite } from "../../core/hooks";
import { useWhyNot } from "../../core/permissions";
import { useService } from "../../core/service";
import type { Api, Product } from "../../core/types";
import { DataTable } from "../../ui/DataTable";
import { useNotify } from "../../ui/notify";
import { ActButton, Empty, ErrorBar, Loading, PageLink, Panel, useStyles } from "../../ui/parts";

const SHOWN = 100; // of those that match; typing finds the others

function AddApis(props: { product: Product; onClose: () => void }): JSX.Element {
  const s = useStyles();
  const service = useService();
  const client = useQueryClient();
  const notify = useNotify();
  const [text, setText] = useState("");
  const [chosen, setChosen] = useState<string[]>([]);
  const filter = containsAny(useSettled(text), ["name", "displayName", "path"]);
  const path = `/products/${encodeURIComponent(props.product.name)}/apis`;
  const inside = useAll<Api>(path);
  const found = useRead<arm.Page<Api>>(["addApis", filter ?? ""], (signal) => arm.get(`${service.id}/apis`, { $top: SHOWN, ...(filter ? { $filter: filter } : {}) }, signal));
  const write = useMutation({
    mutationFn: async () => {
      for (const name of chosen) {
        await arm.call(`${service.id}${path}/${encodeURIComponent(name)}`, { method: "PUT" });
        setChosen((rest) => rest.filter((other) => other !== name));
      }
    },
    onSuccess: () => { notify("success", "APIs added", "The product's keys open them now."); props.onClose(); },
    onSettled: () => void client.invalidateQueries({ queryKey: [service.id] }),
  });
  const has = new Set((inside.data ?? []).map((api) => api.name.toLowerCase()));
  const others = (found.data?.value ?? []).filter((api) => !has.has(api.name.toLowerCase()));
  const isWhole = chosen.length > 0;
  return (
    <Panel open title="Add APIs" onClose={props.onClose} footer={<>
      <Button appearance="primary" disabledFocusable={!isWhole || write.isPending} onClick={() => { if (isWhole) write.mutate(); }}>{write.isPending ? "Adding…" : chosen.length > 1 ? `Add ${chosen.length} APIs` : "Add"}</Button>
      <Button onClick={props.onClose}>Cancel</Button>
    </>}>
      <ErrorBar error={write.error} title="Not added" />
      <ErrorBar error={found.error ?? inside.error} title="The APIs cannot be listed" />
      <Field label="Filter"><Input contentBefore={<SearchRegular />} placeholder="Name or path" value={text} autoFocus onChange={(_, d) => setText(d.value)} /></Field>
      <div className={s.column} style={{ gap: 0 }} role="group" aria-label="APIs">
        {others.map((api) => <Checkbox key={api.id} checked={chosen.includes(api.name)} label={`${api.properties.displayName} (/${api.properties.path})`}
          onChange={(_, d) => setChosen(d.checked === true ? [...chosen, api.name] : chosen.filter((name) => name !== api.name))} />)}
      </div>
      {found.isPending || inside.isPending ? <Loading /> : null}
      {found.data && inside.data && others.length === 0 ? <span>{text ? "No other API matches." : "There is no API that is not in it."}</span> : null}
      {found.data?.nextLink ? <span>There are more: type a part of the name.</span> : null}
    </Panel>
  );
}

export function ProductApis(props: { product: Product }): JSX.Element {
  const service = useService();
  const client = useQueryClient();
  const notify = useNotify();
  const whyNot = useWhyNot();
  const [query, setQuery] = useSearchParams();
  const remove = useWrite();
  const s = useStyles();
  const path = `/products/${encodeURIComponent(props.product.name)}/apis`;
  const noAdd = whyNot("products/apis/write");
  const noRemove = whyNot("products/apis/delete");
  const add = (): void => { if (!noAdd) setQuery({ add: "" }); };
  const takeOut = (api: Api): void => remove.mutate({ method: "DELETE", path: `${path}/${encodeURIComponent(api.name)}` }, {
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: [service.id] });
      notify("success", "API removed from the product", `Its keys no longer open ${api.properties.displayName}.`);
    },
  });
  return (
    <>
      <div><ActButton icon={<AddRegular />} why={noAdd} onClick={add}>Add APIs</ActButton></div>
      <ErrorBar error={remove.error} title="Not removed" />
      <div style={{ display: "flex", flexDirection: "column", flexGrow: 1, minHeight: 200 }}>
        <DataTable<Api> label="APIs of the product" path={path} defaultSort="displayName" columns={[
          { key: "name", title: "Display name", grow: 4, min: 120, sort: "displayName", render: (a) => <PageLink to={`${service.base}/apis/${encodeURIComponent(a.name)}/design`}>{a.properties.displayName ?? a.name}</PageLink> },
          { key: "path", title: "Path", grow: 3, min: 90, sort: "path", render: (a) => <span className={s.mono}>/{a.properties.path}</span> },
          { key: "more", title: "", grow: 0, min: 48, render: (a) => <ActButton appearance="subtle" icon={<DismissRegular />} why={noRemove} aria-label={`Remove ${a.name} from the product`} onClick={() => { if (!noRemove && !remove.isPending) takeOut(a); }} /> },
        ]}
        empty={<Empty icon={<AppsListRegular />} title="No APIs in this product yet" action={<ActButton appearance="primary" icon={<AddRegular />} why={noAdd} onClick={add}>Choose APIs</ActButton>}>
          Its keys open the APIs that are in it, and nothing else.
        </Empty>} />
      </div>
      {query.get("add") !== null ? <AddApis product={props.product} onClose={() => setQuery({})} /> : null}
    </>
  );
}
