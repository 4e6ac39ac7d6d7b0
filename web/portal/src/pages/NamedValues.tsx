// SPDX-License-Identifier: Apache-2.0
// APIs > Named values: what policies and backends name by {{display name}}.
import { Badge, Input, Text, Tooltip } from "@fluentui/react-components";
import { AddRegular, ArrowClockwiseRegular, ArrowSyncRegular, BracesVariableRegular, DeleteRegular, EditRegular, EyeRegular, SearchRegular } from "@fluentui/react-icons";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useSearchParams } from "react-router-dom";
import * as arm from "../core/arm";
import { containsAny } from "../core/format";
import { useMounted, useSettled, useWrite } from "../core/hooks";
import { useWhyNot } from "../core/permissions";
import { useService } from "../core/service";
import { DataTable } from "../ui/DataTable";
import { useNotify, wordsOf } from "../ui/notify";
import { ActButton, Blade, Command, Confirm, Copy, Empty, ErrorBar, useStyles } from "../ui/parts";
import { type NamedValue, NamedValuePanel, valuePath } from "./named/Panel";

function Status(props: { value: NamedValue }): JSX.Element {
  const last = props.value.properties.keyVault?.lastStatus;
  if (!last) return <></>;
  if (last.code === "Success") return <Badge appearance="tint" color="success">Active</Badge>;
  return (
    <Tooltip content={last.message ?? ""} relationship="description">
      <Badge appearance="tint" color="danger" tabIndex={0}>{`Refresh failed: ${last.code ?? "unknown"}`}</Badge>
    </Tooltip>
  );
}

const source = (v: NamedValue): string => (v.properties.keyVault ? "Key vault" : v.properties.secret ? "Secret" : "Plain");

export function Component(): JSX.Element {
  const s = useStyles();
  const service = useService();
  const client = useQueryClient();
  const notify = useNotify();
  const whyNot = useWhyNot();
  const [query, setQuery] = useSearchParams();
  const [text, setText] = useState("");
  const filter = containsAny(useSettled(text), ["name", "displayName"]);
  const [shown, setShown] = useState<{ name: string; value: string } | null>(null);
  const [deleting, setDeleting] = useState<string | null>(null);
  const remove = useWrite();
  const refresh = useWrite<NamedValue>();
  const noAdd = whyNot("namedValues/write");
  const noValue = whyNot("namedValues/listValue/action");
  const noRefresh = whyNot("namedValues/refreshSecret/action");
  const noDelete = whyNot("namedValues/delete");
  const add = (): void => setQuery({ add: "" });
  const show = (name: string): void => {
    void arm.call<{ value: string }>(`${service.id}${valuePath(name)}/listValue`, { method: "POST" })
      .then(({ value }) => setShown({ name, value: value.value }), (error: unknown) => notify("error", "The value cannot be shown", wordsOf(error)));
  };
  const fetchNow = (name: string): void =>
    refresh.mutate({ method: "POST", path: `${valuePath(name)}/refreshSecret` }, {
      onSuccess: ({ value }) => {
        const last = value.properties.keyVault?.lastStatus;
        if (last?.code === "Success") notify("success", "Read from the vault", name);
        else notify("error", "Not taken over", last?.message ?? last?.code ?? "");
      },
      onError: (error) => notify("error", "Not refreshed", wordsOf(error)),
    });
  const mounted = useMounted();
  const edited = mounted ? query.get("edit") : null;
  return (
    <Blade title="Named values" subtitle={`${service.name} | ${service.kind}`} icon={<BracesVariableRegular />} flush commands={<>
      <Command icon={<AddRegular />} label="Add" onClick={add} why={noAdd} />
      <Command icon={<ArrowClockwiseRegular />} label="Refresh" onClick={() => void client.invalidateQueries({ queryKey: [service.id] })} />
    </>}>
      <div className={s.row} style={{ padding: "12px 20px" }}>
        <Input contentBefore={<SearchRegular />} placeholder="Filter by name" aria-label="Filter the named values" value={text} onChange={(_, data) => setText(data.value)} style={{ minWidth: 0, width: 320 }} />
      </div>
      <div style={{ display: "flex", flexDirection: "column", flexGrow: 1, minHeight: 0, padding: "0 12px" }}>
        <DataTable<NamedValue> label="Named values" path="/namedValues" filter={filter} defaultSort="name" columns={[
          { key: "name", title: "Name", grow: 3, min: 110, sort: "name", render: (v) => <span className={s.clip} title={v.name}>{v.name}</span> },
          { key: "displayName", title: "Display name", grow: 3, min: 110, sort: "displayName", render: (v) => <span className={s.clip} title={v.properties.displayName}>{v.properties.displayName}</span> },
          { key: "value", title: "Value", grow: 3, min: 110, from: "medium", render: (v) => (v.properties.value === undefined ? "••••••" : <span className={s.clip} title={v.properties.value}>{v.properties.value}</span>) },
          { key: "source", title: "Type", grow: 1, min: 80, from: "medium", render: source },
          { key: "status", title: "Status", grow: 2, min: 90, from: "wide", render: (v) => <Status value={v} /> },
          { key: "tags", title: "Tags", grow: 2, from: "wide", render: (v) => <span className={s.clip}>{(v.properties.tags ?? []).join(", ")}</span> },
          { key: "more", title: "", grow: 1, min: 150, render: (v) => <>
            <ActButton size="small" icon={<EditRegular />} why={noAdd} aria-label={`Edit ${v.name}`} onClick={() => { if (!noAdd) setQuery({ edit: v.name }); }} />
            <ActButton size="small" icon={<EyeRegular />} why={noValue} aria-label={`Show value of ${v.name}`} onClick={() => { if (!noValue) show(v.name); }} />
            {v.properties.keyVault ? <ActButton size="small" icon={<ArrowSyncRegular />} why={noRefresh} aria-label={`Refresh ${v.name} from the vault`} onClick={() => { if (!noRefresh) fetchNow(v.name); }} /> : null}
            <ActButton size="small" icon={<DeleteRegular />} why={noDelete} aria-label={`Delete ${v.name}`} onClick={() => { if (!noDelete) setDeleting(v.name); }} />
          </> },
        ]}
        empty={<Empty icon={<BracesVariableRegular />} title="No named values yet" action={<ActButton appearance="primary" icon={<AddRegular />} why={noAdd} onClick={() => { if (!noAdd) add(); }}>Add named value</ActButton>}>
          A text that policies and backends name as {"{{name}}"}: an address, a key, an id. A change is live everywhere at once.
        </Empty>}
        nothing={<Empty icon={<SearchRegular />} title="No named value matches">Change the filter to see others.</Empty>} />
      </div>
      {mounted && query.get("add") !== null ? <NamedValuePanel edit={null} onClose={() => setQuery({})} /> : null}
      {edited ? <NamedValuePanel key={edited} edit={edited} onClose={() => setQuery({})} /> : null}
      <Confirm open={shown !== null} title={`Value of ${shown?.name ?? ""}`} onClose={() => setShown(null)}>
        {shown ? <Copy text={shown.value} label="value" /> : null}
      </Confirm>
      <Confirm open={deleting !== null} title={`Delete ${deleting ?? ""}?`} action="Delete" busy={remove.isPending} onClose={() => { setDeleting(null); remove.reset(); }}
        onYes={() => remove.mutate({ method: "DELETE", path: valuePath(deleting ?? ""), etag: "*" }, { onSuccess: () => { notify("success", "Named value deleted", deleting ?? ""); setDeleting(null); } })}>
        <ErrorBar error={remove.error} title="Not deleted" />
        <Text>A named value that a policy, a fragment or a backend names is not deleted.</Text>
      </Confirm>
    </Blade>
  );
}
