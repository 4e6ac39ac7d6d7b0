// SPDX-License-Identifier: Apache-2.0
// Design: operations at the left, what happens to a request as four cards, or as code.
import { Badge, Button, Dropdown, Field, Input, makeStyles, mergeClasses, Option, Text, tokens, Tooltip } from "@fluentui/react-components";
import { AddRegular, ArrowRightRegular, CodeRegular, DeleteRegular, EditRegular, GridRegular } from "@fluentui/react-icons";
import { useState } from "react";
import { useNavigate, useSearchParams } from "react-router-dom";
import { useAll, useWrite } from "../../core/hooks";
import { useWhyNot } from "../../core/permissions";
import { useService } from "../../core/service";
import type { Api, Operation } from "../../core/types";
import { useNotify } from "../../ui/notify";
import { ActButton, Card, Confirm, ErrorBar, Facts, Loading, PageLink, Panel, useStyles } from "../../ui/parts";
import { CredentialsPanel } from "./Credentials";
import { type Credentials, credentialsOf, parse, type Section, type Statement, statements } from "./policy";
import { PolicyEditor, usePolicy } from "./PolicyEditor";

export const apiPath = (name: string): string => `/apis/${encodeURIComponent(name)}`;
export const methods: Record<string, "success" | "brand" | "warning" | "danger" | "informative"> = { GET: "brand", POST: "success", PUT: "warning", DELETE: "danger" };

const useDesign = makeStyles({
  page: { display: "grid", gridTemplateColumns: "260px minmax(0, 1fr)", gap: "20px", alignItems: "start", "@media (max-width: 900px)": { gridTemplateColumns: "minmax(0, 1fr)" } },
  list: { listStyleType: "none", margin: 0, padding: 0, border: `1px solid ${tokens.colorNeutralStroke2}`, borderRadius: tokens.borderRadiusMedium, overflow: "hidden" },
  operation: { display: "flex", gap: "8px", alignItems: "center", padding: "8px 10px", color: tokens.colorNeutralForeground1, textDecoration: "none", "&:hover": { backgroundColor: tokens.colorNeutralBackground1Hover } },
  here: { backgroundColor: tokens.colorNeutralBackground1Selected, fontWeight: tokens.fontWeightSemibold },
  cards: { display: "grid", gridTemplateColumns: "repeat(auto-fit, minmax(260px, 1fr))", gap: "12px", alignItems: "stretch" },
  statement: { fontFamily: tokens.fontFamilyMonospace, fontSize: tokens.fontSizeBase200, overflowWrap: "anywhere", padding: "4px 0", borderBottom: `1px dotted ${tokens.colorNeutralStroke2}` },
});

export function OperationList(props: { api: Api; tab: string; chosen: string | null; onAdd?: (() => void) | undefined; why?: string | undefined }): JSX.Element {
  const d = useDesign();
  const s = useStyles();
  const service = useService();
  const navigate = useNavigate();
  const operations = useAll<Operation>(`${apiPath(props.api.name)}/operations`);
  const base = `${service.base}/apis/${encodeURIComponent(props.api.name)}/${props.tab}`;
  const item = (to: string, isHere: boolean, body: JSX.Element, key: string): JSX.Element => (
    <li key={key}><a href={to} className={mergeClasses(d.operation, isHere && d.here)} aria-current={isHere ? "page" : undefined} onClick={(event) => { if (event.metaKey || event.ctrlKey) return; event.preventDefault(); navigate(to); }}>{body}</a></li>
  );
  return (
    <nav aria-label="Operations" className={s.column}>
      {props.onAdd ? <div><ActButton size="small" icon={<AddRegular />} why={props.why} onClick={props.onAdd}>Add operation</ActButton></div> : null}
      {operations.error ? <ErrorBar error={operations.error} onRetry={() => void operations.refetch()} /> : null}
      <ul className={d.list}>
        {props.tab === "design" ? item(base, props.chosen === null, <span>All operations</span>, "all") : null}
        {(operations.data ?? []).map((o) => item(`${base}/${encodeURIComponent(o.name)}`, props.chosen === o.name, <>
          <Badge appearance="tint" color={methods[o.properties.method] ?? "informative"}>{o.properties.method}</Badge><span className={s.clip}>{o.properties.displayName}</span>
        </>, o.name))}
        {operations.data?.length === 0 ? <li className={d.operation}>No operations yet: the gateway answers 404.</li> : null}
        {operations.isPending ? <li><Loading /></li> : null}
      </ul>
    </nav>
  );
}

function OperationPanel(props: { api: string; existing: Operation | null; onClose: (made: string | null) => void }): JSX.Element {
  const [displayName, setDisplayName] = useState(props.existing?.properties.displayName ?? "");
  const [method, setMethod] = useState(props.existing?.properties.method ?? "GET");
  const [template, setTemplate] = useState(props.existing?.properties.urlTemplate ?? "/");
  const write = useWrite<Operation>();
  const name = props.existing?.name ?? displayName.trim().toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "");
  const parameters = [...template.matchAll(/\{\*?([^{}]+)\}/g)].map((m) => m[1] ?? "");
  const isWhole = Boolean(name) && template.startsWith("/");
  const save = (): void => write.mutate({
    method: "PUT", path: `${apiPath(props.api)}/operations/${encodeURIComponent(name)}`, etag: props.existing ? "*" : null, isNew: !props.existing,
    body: { properties: { ...props.existing?.properties, displayName: displayName.trim(), method, urlTemplate: template, templateParameters: parameters.map((p) => props.existing?.properties.templateParameters?.find((t) => t.name === p) ?? { name: p, type: "string", required: true }) } },
  }, { onSuccess: () => props.onClose(name) });
  return (
    <Panel open title={props.existing ? `Frontend of ${props.existing.properties.displayName}` : "Add operation"} onClose={() => props.onClose(null)} footer={<>
      <Button appearance="primary" disabledFocusable={!isWhole || write.isPending} onClick={() => { if (isWhole) save(); }}>Save</Button>
      <Button onClick={() => props.onClose(null)}>Cancel</Button>
    </>}>
      <ErrorBar error={write.error} title="Not saved" />
      <Field label="Display name" required><Input value={displayName} autoFocus placeholder="Get order" onChange={(_, x) => setDisplayName(x.value)} /></Field>
      <Field label="Method" required>
        <Dropdown value={method} selectedOptions={[method]} onOptionSelect={(_, x) => setMethod(x.optionValue ?? "GET")}>
          {["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"].map((m) => <Option key={m} value={m}>{m}</Option>)}
        </Dropdown>
      </Field>
      <Field label="URL" required hint="A template such as /orders/{id}."><Input value={template} onChange={(_, x) => setTemplate(x.value)} /></Field>
    </Panel>
  );
}

function Statements(props: { list: Statement[] }): JSX.Element {
  const d = useDesign();
  if (props.list.length === 0) return <Text size={200}>Nothing: outer scopes are cut off.</Text>;
  return <>{props.list.map((st, i) => (
    <div key={i} className={d.statement}>{st.name}{st.attributes.filter(([n]) => n !== "password" && n !== "body").map(([n, v]) => <div key={n}><Text size={200}>{n}: {v}</Text></div>)}</div>
  ))}</>;
}

function credentialWords(c: Credentials, base: string): JSX.Element {
  switch (c.kind) {
    case "certificate": return c.ids.length ? <>Client cert: {c.ids.map((id, i) => <span key={id}>{i ? ", " : null}<PageLink to={`${base}/certificates/${encodeURIComponent(id)}`}>{id}</PageLink></span>)}</>
      : c.thumbprint ? <>Client cert with thumbprint {c.thumbprint}</> : <>Client cert in the policy itself</>;
    case "basic": return <>Basic, as {c.username}</>;
    case "identity": return <>Managed identity for {c.resource}</>;
    default: return <>None at this scope</>;
  }
}

export function Design(props: { api: Api; operation: string | null }): JSX.Element {
  const d = useDesign();
  const s = useStyles();
  const service = useService();
  const navigate = useNavigate();
  const notify = useNotify();
  const whyNot = useWhyNot();
  const [query, setQuery] = useSearchParams();
  const operations = useAll<Operation>(`${apiPath(props.api.name)}/operations`);
  const operation = operations.data?.find((o) => o.name === props.operation) ?? null;
  const scopePath = `${apiPath(props.api.name)}${props.operation ? `/operations/${encodeURIComponent(props.operation)}` : ""}/policies/policy`;
  const policy = usePolicy(scopePath, "xml");
  const [credentials, setCredentials] = useState(false);
  const [frontend, setFrontend] = useState<"add" | "edit" | null>(null);
  const [deleting, setDeleting] = useState(false);
  const remove = useWrite();
  const isCode = query.get("view") === "code";
  const scope = operation ? operation.properties.displayName : `all operations of ${props.api.properties.displayName}`;
  const document = policy.value === undefined ? null : parse(policy.value);
  const noPolicy = whyNot(props.operation ? "apis/operations/policies/write" : "apis/policies/write");
  const noOperation = whyNot("apis/operations/write");
  const current = document ? credentialsOf(document) : null;
  const of = (name: Section): Statement[] => (document ? statements(document, name) : []);
  const url = document ? of("inbound").concat(of("backend")).filter((st) => st.name === "set-backend-service").pop() : undefined;
  const page = `${service.base}/apis/${encodeURIComponent(props.api.name)}/design`;
  const backend = url?.attributes.find(([n]) => n === "backend-id")?.[1];
  const pencil = (label: string, why: string | undefined, act: () => void): JSX.Element => (
    <Tooltip content={why ?? label} relationship={why ? "description" : "label"}><Button size="small" appearance="subtle" icon={<EditRegular />} aria-label={label} disabledFocusable={Boolean(why)} onClick={() => { if (!why) act(); }} /></Tooltip>
  );
  return (
    <div className={d.page}>
      <OperationList api={props.api} tab="design" chosen={props.operation} onAdd={() => setFrontend("add")} why={noOperation} />
      <div className={s.column} style={{ minWidth: 0 }}>
        <div className={s.row} style={{ justifyContent: "space-between" }}>
          <Text as="h2" size={400} weight="semibold" style={{ margin: 0 }}>{operation ? operation.properties.displayName : "All operations"}</Text>
          <div className={s.row}>
            {operation ? <ActButton size="small" icon={<DeleteRegular />} why={whyNot("apis/operations/delete")} onClick={() => setDeleting(true)}>Delete operation</ActButton> : null}
            <Button size="small" icon={isCode ? <GridRegular /> : <CodeRegular />} onClick={() => setQuery(isCode ? {} : { view: "code" })}>{isCode ? "Form" : "Policy code"}</Button>
          </div>
        </div>
        {isCode ? <PolicyEditor key={scopePath} path={scopePath} label={`Policy of ${scope}`} onSaved={() => void policy.refetch()} /> : (
          <>
            {policy.error ? <ErrorBar error={policy.error} title="The policy cannot be shown" onRetry={() => void policy.refetch()} /> : null}
            {policy.isPending ? <Loading /> : null}
            {policy.value !== undefined && !document ? <ErrorBar error={new Error("The policy document cannot be read here. Use the code view.")} /> : null}
            {document && current ? (
              <div className={d.cards}>
                <Card title="Frontend" action={operation ? pencil("Edit the frontend", noOperation, () => setFrontend("edit")) : undefined}>
                  {operation ? <Facts items={[["Method", operation.properties.method], ["URL", <span key="u" className={s.mono}>{operation.properties.urlTemplate}</span>]]} />
                    : <Facts items={[["Path", <span key="p" className={s.mono}>/{props.api.properties.path}</span>], ["Operations", String(operations.data?.length ?? "")]]} />}
                </Card>
                <Card title="Inbound processing" action={pencil("Edit the inbound policies", noPolicy, () => setQuery({ view: "code" }))}><Statements list={of("inbound")} /></Card>
                <Card title="Backend" action={pencil("Gateway credentials", noPolicy, () => setCredentials(true))}>
                  <Facts stacked items={[
                    ["Target", backend ? <PageLink key="b" to={`${service.base}/backends/${encodeURIComponent(backend)}`}>{backend}</PageLink> : url?.attributes.find(([n]) => n === "base-url")?.[1] ?? props.api.properties.serviceUrl ?? "not said here"],
                    ["Gateway credentials", <span key="c">{credentialWords(current, service.base)}</span>],
                  ]} />
                  <Statements list={of("backend")} />
                </Card>
                <Card title="Outbound processing" action={pencil("Edit the outbound policies", noPolicy, () => setQuery({ view: "code" }))}><Statements list={of("outbound")} /></Card>
              </div>
            ) : null}
            {document ? <Text size={200}><ArrowRightRegular aria-hidden /> A request goes from left to right, and its answer back. <em>base</em> stands for the policies of the outer scope.</Text> : null}
          </>
        )}
      </div>
      {credentials && policy.value !== undefined && current ? (
        <CredentialsPanel scope={scope} path={scopePath} xml={policy.value} etag={policy.etag} current={current} onAgain={() => policy.reread()} onClose={() => setCredentials(false)} />
      ) : null}
      {frontend ? <OperationPanel api={props.api.name} existing={frontend === "edit" ? operation : null} onClose={(made) => { setFrontend(null); if (made) navigate(`${page}/${encodeURIComponent(made)}`); }} /> : null}
      <Confirm open={deleting} title={`Delete ${operation?.properties.displayName ?? ""}?`} action="Delete" busy={remove.isPending} onClose={() => setDeleting(false)}
        onYes={() => remove.mutate({ method: "DELETE", path: `${apiPath(props.api.name)}/operations/${encodeURIComponent(props.operation ?? "")}`, etag: "*" }, { onSuccess: () => { setDeleting(false); notify("success", "Operation deleted"); navigate(page); } })}>
        <ErrorBar error={remove.error} title="Not deleted" />
        <Text>Requests to it get 404 from then on. Its policy goes with it.</Text>
      </Confirm>
    </div>
  );
}
