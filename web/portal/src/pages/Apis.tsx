// SPDX-License-Identifier: Apache-2.0
// APIs
import { Button, Field, Input, Switch } from "@fluentui/react-components";
import { AddRegular, AppsListRegular, ArrowClockwiseRegular, CodeRegular, SearchRegular } from "@fluentui/react-icons";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { useNavigate, useSearchParams } from "react-router-dom";
import * as arm from "../core/arm";
import { containsAny, isId } from "../core/format";
import { useSettled } from "../core/hooks";
import { useWhyNot } from "../core/permissions";
import { useService } from "../core/service";
import type { Api } from "../core/types";
import { BackendPicker } from "../ui/BackendPicker";
import { DataTable } from "../ui/DataTable";
import { useNotify } from "../ui/notify";
import { ActButton, Blade, Command, Empty, ErrorBar, PageLink, Panel, useStyles } from "../ui/parts";
import { PolicyPanel } from "./api/PolicyPanel";

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
const sendsTo = (backend: string): string =>
  `<policies><inbound><base /><set-backend-service backend-id="${backend.replace(/&/g, "&amp;").replace(/"/g, "&quot;").replace(/</g, "&lt;")}" /></inbound><backend><base /></backend><outbound><base /></outbound><on-error><base /></on-error></policies>`;

function AddApi(props: { onClose: (made: string | null) => void }): JSX.Element {
  const [displayName, setDisplayName] = useState("");
  const [name, setName] = useState("");
  const [path, setPath] = useState("");
  const [url, setUrl] = useState("");
  const [backend, setBackend] = useState("");
  const [keys, setKeys] = useState(true);
  const [whole, setWhole] = useState(true);
  const service = useService();
  const client = useQueryClient();
  const notify = useNotify();
  const id = name || displayName.trim().toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "");
  const begun = useRef(""); // the id of what we made ourselves: a second try goes on where the first one ended
  const write = useMutation({
    mutationFn: async () => {
      const api = `${service.id}/apis/${encodeURIComponent(id)}`;
      await arm.call(api, { method: "PUT", isNew: begun.current !== id, body: { properties: { displayName: displayName.trim(), path: path.trim(), ...(!backend && url.trim() ? { serviceUrl: url.trim() } : {}), protocols: ["http", "https"], subscriptionRequired: keys } } });
      begun.current = id;
      if (backend)
        await arm.call(`${api}/policies/policy`, { method: "PUT", body: { properties: { format: "rawxml", value: sendsTo(backend) } } });
      if (whole)
        await Promise.all(METHODS.map((method) => arm.call(`${api}/operations/${method.toLowerCase()}`, {
          method: "PUT", body: { properties: { displayName: method, method, urlTemplate: "/{*path}", templateParameters: [{ name: "path", type: "string", required: true }] } },
        })));
    },
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: [service.id] });
      notify("success", "API created", displayName);
      props.onClose(id);
    },
  });
  const error = write.error instanceof arm.ApiError ? write.error : null;
  const isWhole = isId(id) && displayName.trim() !== "";
  return (
    <Panel open title="Create an HTTP API" onClose={() => props.onClose(null)} footer={<>
      <Button appearance="primary" disabledFocusable={!isWhole || write.isPending} onClick={() => { if (isWhole) write.mutate(); }}>{write.isPending ? "Creating…" : "Create"}</Button>
      <Button onClick={() => props.onClose(null)}>Cancel</Button>
    </>}>
      <ErrorBar error={write.error} title="Not created" />
      <Field label="Display name" required><Input value={displayName} autoFocus placeholder="Orders" onChange={(_, d) => setDisplayName(d.value)} /></Field>
      <Field label="Name" required hint="Its id in the REST API."><Input value={id} onChange={(_, d) => setName(d.value)} /></Field>
      <Field label="Sends to" hint="A backend brings its certificates and checks along.">
        <BackendPicker value={backend} onChange={setBackend} none="Web service URL" />
      </Field>
      {backend ? null : <Field label="Web service URL" hint="Where requests go, unless a policy sends them elsewhere." validationMessage={error?.about("serviceUrl")}><Input value={url} placeholder="https://orders.internal:8443" onChange={(_, d) => setUrl(d.value)} /></Field>}
      <Field label="API URL suffix" hint="What follows the gateway's address." validationMessage={error?.about("path")}><Input value={path} placeholder="orders" onChange={(_, d) => setPath(d.value)} /></Field>
      <Switch checked={whole} onChange={(_, d) => setWhole(d.checked)} label="Operations for every method and path" />
      <Switch checked={keys} onChange={(_, d) => setKeys(d.checked)} label="Subscription required" />
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
  const filter = containsAny(useSettled(text), ["name", "displayName", "path"]);
  const noAdd = whyNot("apis/write");
  const add = (): void => setQuery({ add: "" });
  const page = (name: string): string => `${service.base}/apis/${encodeURIComponent(name)}/design`;
  return (
    <Blade title="APIs" subtitle={`${service.name} | ${service.kind}`} icon={<AppsListRegular />} flush commands={<>
      <Command icon={<AddRegular />} label="Add API" onClick={add} why={noAdd} />
      <Command icon={<CodeRegular />} label="Policies of all APIs" onClick={() => setQuery({ policies: "" })} />
      <Command icon={<ArrowClockwiseRegular />} label="Refresh" onClick={() => void client.invalidateQueries({ queryKey: [service.id] })} />
    </>}>
      <div className={s.row} style={{ padding: "12px 20px" }}>
        <Input contentBefore={<SearchRegular />} placeholder="Filter by name or path" aria-label="Filter the APIs" value={text} onChange={(_, data) => setText(data.value)} style={{ minWidth: 0, width: 320 }} />
      </div>
      <div style={{ display: "flex", flexDirection: "column", flexGrow: 1, minHeight: 0, padding: "0 12px" }}>
        <DataTable<Api> label="APIs" path="/apis" filter={filter} defaultSort="displayName" columns={[
          { key: "name", title: "Display name", grow: 4, min: 120, sort: "displayName", render: (a) => <PageLink to={page(a.name)}>{a.properties.displayName}</PageLink> },
          { key: "path", title: "Path", grow: 3, min: 90, sort: "path", render: (a) => <span className={s.mono}>/{a.properties.path}</span> },
          { key: "url", title: "Web service URL", grow: 4, from: "medium", render: (a) => <span className={s.clip}>{a.properties.serviceUrl ?? "by policy"}</span> },
          { key: "keys", title: "Subscription", grow: 1, min: 100, from: "wide", render: (a) => (a.properties.subscriptionRequired === false ? "not required" : "required") },
        ]}
        empty={<Empty icon={<AppsListRegular />} title="No APIs yet" action={<ActButton appearance="primary" icon={<AddRegular />} why={noAdd} onClick={add}>Add API</ActButton>}>
          An API is a path of the gateway and the backend behind it.
        </Empty>}
        nothing={<Empty icon={<SearchRegular />} title="No API matches">Change the filter to see others.</Empty>} />
      </div>
      {query.get("add") !== null ? <AddApi onClose={(made) => { if (made) navigate(page(made)); else setQuery({}); }} /> : null}
      {query.get("policies") !== null ? <PolicyPanel title="Policies of all APIs" path="/policies/policy" onClose={() => setQuery({})} /> : null}
    </Blade>
  );
}
