// SPDX-License-Identifier: Apache-2.0
// Test: calls an operation through the gateway, and tells what the backend was shown.
import { Badge, Button, Checkbox, Field, Input, makeStyles, Spinner, Tab, TabList, Text, Textarea, tokens } from "@fluentui/react-components";
import { AddRegular, DeleteRegular, SendRegular } from "@fluentui/react-icons";
import { useMutation } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import * as arm from "../../core/arm";
import { quoted } from "../../core/format";
import { useAll } from "../../core/hooks";
import { useWhyNot } from "../../core/permissions";
import { type ServiceRef, useService, useServiceEntity } from "../../core/service";
import type { Access, Api, Certificate, Generation, Operation } from "../../core/types";
import { ActButton, Card, Copy, Empty, ErrorBar, Facts, PageLink, useStyles } from "../../ui/parts";
import { apiPath, methods, OperationList } from "./Design";

interface Answer {
  status: number;
  headers: { name: string; value: string }[];
  body: string;
  bodyIsBase64: boolean;
  bodyIsTruncated: boolean;
  timing: { connectMs: number; firstByteMs: number; totalMs: number };
  backend: { certificateThumbprint?: string; backendId?: string };
}
interface Shown { thumbprint: string; certificate?: string; generation?: number }

const useTest = makeStyles({
  page: { display: "grid", gridTemplateColumns: "260px minmax(0, 1fr)", gap: "20px", alignItems: "start", "@media (max-width: 900px)": { gridTemplateColumns: "minmax(0, 1fr)" } },
  pre: { fontFamily: tokens.fontFamilyMonospace, fontSize: tokens.fontSizeBase200, whiteSpace: "pre-wrap", overflowWrap: "anywhere", margin: 0, padding: "12px", backgroundColor: tokens.colorNeutralBackground3, borderRadius: tokens.borderRadiusMedium, maxHeight: "50vh", overflow: "auto" },
});

const pretty = (text: string): string => {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
};

/** Which certificate, and which generation of it, has this thumbprint. */
async function lookUp(service: string, thumbprint: string): Promise<Shown> {
  if (thumbprint === "none") return { thumbprint };
  const found = await arm.get<arm.Page<Certificate>>(`${service}/certificates`, { $filter: `thumbprint eq ${quoted(thumbprint)}` });
  const certificate = found.value[0]?.name;
  if (!certificate) return { thumbprint };
  const generations = await arm.get<{ value: Generation[] }>(`${service}/certificates/${encodeURIComponent(certificate)}/generations`);
  const generation = generations.value.filter((g) => g.thumbprint === thumbprint).pop()?.number;
  return { thumbprint, certificate, ...(generation !== undefined ? { generation } : {}) };
}

/** The subscription whose key is sent: the built-in one, or in a workspace one that opens the API. */
async function keyHolder(service: ServiceRef, api: Api): Promise<string> {
  if (!service.parent) return "master";
  const all = await arm.all<Access>(`${service.id}/subscriptions`);
  const found = all.find((a) => a.properties.state === "active" && [`${service.id}/apis`, `${service.id}/`, `${service.id}/apis/${api.name}`].some((scope) => scope.toLowerCase() === a.properties.scope.toLowerCase()));
  if (!found) throw new Error("No subscription of this workspace opens this API. Add one under Subscriptions, or send no key.");
  return encodeURIComponent(found.name);
}

function Console(props: { api: Api; operation: Operation }): JSX.Element {
  const t = useTest();
  const s = useStyles();
  const service = useService();
  const entity = useServiceEntity();
  const whyNot = useWhyNot();
  const o = props.operation.properties;
  const names = [...o.urlTemplate.matchAll(/\{(\*?)([^{}]+)\}/g)].map((m) => ({ name: m[2] ?? "", isRest: m[1] === "*" }));
  const [values, setValues] = useState<Record<string, string>>({});
  const [query, setQuery] = useState("");
  const [headers, setHeaders] = useState<{ name: string; value: string }[]>([]);
  const [body, setBody] = useState("");
  const [withKey, setWithKey] = useState(props.api.properties.subscriptionRequired !== false);
  const [tab, setTab] = useState("body");
  const noKey = whyNot("subscriptions/listSecrets/action");
  const path = o.urlTemplate.replace(/\{\*?([^{}]+)\}/g, (_, name: string) => (values[name] ?? "").split("/").map(encodeURIComponent).join("/")) + (query ? `?${query.replace(/^\?/, "")}` : "");
  const method = o.method === "*" ? "GET" : o.method;
  const url = `${entity.data?.value.properties.gatewayUrl ?? ""}/${props.api.properties.path}${path}`;
  const call = useMutation({
    mutationFn: async () => {
      const sent = headers.filter((h) => h.name.trim()).map((h) => ({ name: h.name.trim(), value: h.value }));
      if (withKey) {
        const keys = (await arm.call<{ primaryKey: string }>(`${service.id}/subscriptions/${await keyHolder(service, props.api)}/listSecrets`, { method: "POST" })).value;
        sent.push({ name: props.api.properties.subscriptionKeyParameterNames?.header ?? "Ocp-Apim-Subscription-Key", value: keys.primaryKey });
      }
      const { value } = await arm.call<Answer>(`${service.id}${apiPath(props.api.name)}/test`, { method: "POST", body: { properties: { method, path, headers: sent, ...(body ? { body } : {}) } } });
      const shown = value.backend.certificateThumbprint ? await lookUp(service.id, value.backend.certificateThumbprint).catch(() => ({ thumbprint: value.backend.certificateThumbprint ?? "" })) : null;
      return { answer: value, shown: shown as Shown | null };
    },
  });
  const result = call.data;
  return (
    <div className={s.column} style={{ minWidth: 0 }}>
      <div className={s.row}><Badge appearance="tint" color={methods[method] ?? "informative"}>{method}</Badge><Text as="h2" size={400} weight="semibold" style={{ margin: 0 }}>{o.displayName}</Text></div>
      <Copy text={url} label="request URL" />
      {names.length ? <div className={s.row}>{names.map(({ name, isRest }) => <Field key={name} label={name} required={!isRest}><Input value={values[name] ?? ""} onChange={(_, d) => setValues({ ...values, [name]: d.value })} /></Field>)}</div> : null}
      <Field label="Query"><Input value={query} placeholder="page=2&amp;size=10" onChange={(_, d) => setQuery(d.value)} /></Field>
      {headers.map((h, i) => (
        <div key={i} style={{ display: "flex", gap: 8 }}>
          <Input style={{ minWidth: 0, flex: 1 }} aria-label={`Header name ${i + 1}`} placeholder="Name" value={h.name} onChange={(_, d) => setHeaders(headers.map((x, k) => (k === i ? { ...x, name: d.value } : x)))} />
          <Input style={{ minWidth: 0, flex: 1 }} aria-label={`Header value ${i + 1}`} placeholder="Value" value={h.value} onChange={(_, d) => setHeaders(headers.map((x, k) => (k === i ? { ...x, value: d.value } : x)))} />
          <Button icon={<DeleteRegular />} aria-label={`Remove header ${i + 1}`} onClick={() => setHeaders(headers.filter((_, k) => k !== i))} />
        </div>
      ))}
      <div><Button size="small" icon={<AddRegular />} onClick={() => setHeaders([...headers, { name: "", value: "" }])}>Add header</Button></div>
      {method !== "GET" && method !== "HEAD" ? <Field label="Body"><Textarea value={body} onChange={(_, d) => setBody(d.value)} resize="vertical" /></Field> : null}
      <Checkbox checked={withKey} disabled={Boolean(noKey)} title={noKey} onChange={(_, d) => setWithKey(d.checked === true)} label={service.parent ? "Send a key of this workspace" : "Send the key of the built-in all-access subscription"} />
      <div className={s.row}>
        <ActButton appearance="primary" icon={<SendRegular />} why={whyNot("apis/test/action")} disabledFocusable={call.isPending || names.some((n) => !n.isRest && !values[n.name])} onClick={() => { if (!call.isPending) call.mutate(); }}>Send</ActButton>
        {call.isPending ? <Spinner size="tiny" label="Calling…" labelPosition="after" /> : null}
      </div>
      <ErrorBar error={call.error} title="The call could not be made" />
      {result ? (
        <Card title="HTTP response" action={<Badge appearance="tint" size="large" color={result.answer.status < 400 ? "success" : "danger"}>{result.answer.status}</Badge>}>
          <div className={s.column} aria-live="polite">
            <Facts items={[
              ["Client certificate", result.shown ? result.shown.thumbprint === "none" ? "none was presented" : <span key="c">{result.shown.certificate ? <><PageLink to={`${service.base}/certificates/${encodeURIComponent(result.shown.certificate)}?tab=generations`}>{result.shown.certificate}</PageLink>{result.shown.generation !== undefined ? `, generation ${result.shown.generation}` : ""}, </> : null}<span className={s.mono}>{result.shown.thumbprint}</span></span> : undefined],
              ["Backend", result.answer.backend.backendId ? <PageLink key="b" to={`${service.base}/backends/${encodeURIComponent(result.answer.backend.backendId)}`}>{result.answer.backend.backendId}</PageLink> : undefined],
              ["Time", `${result.answer.timing.totalMs.toFixed(1)} ms, first byte after ${result.answer.timing.firstByteMs.toFixed(1)} ms`],
            ]} />
            <TabList size="small" selectedValue={tab} onTabSelect={(_, d) => setTab(String(d.value))}><Tab value="body">Body</Tab><Tab value="headers">Headers</Tab><Tab value="request">Request</Tab></TabList>
            {tab === "headers" ? <pre className={t.pre} tabIndex={0}>{result.answer.headers.map((h) => `${h.name}: ${h.value}`).join("\n")}</pre>
              : tab === "request" ? <pre className={t.pre} tabIndex={0}>{`${method} /${props.api.properties.path}${path} HTTP/1.1\n${headers.filter((h) => h.name).map((h) => `${h.name}: ${h.value}`).join("\n")}${withKey ? `\n${props.api.properties.subscriptionKeyParameterNames?.header ?? "Ocp-Apim-Subscription-Key"}: ••••` : ""}${body ? `\n\n${body}` : ""}`}</pre>
              : result.answer.body ? <pre className={t.pre} tabIndex={0}>{result.answer.bodyIsBase64 ? `(no text; base64)\n${result.answer.body}` : pretty(result.answer.body)}{result.answer.bodyIsTruncated ? "\n… the rest is left out" : ""}</pre> : <Text>The answer has no body.</Text>}
          </div>
        </Card>
      ) : null}
    </div>
  );
}

export function TestConsole(props: { api: Api; operation: string | null }): JSX.Element {
  const t = useTest();
  const service = useService();
  const operations = useAll<Operation>(`${apiPath(props.api.name)}/operations`);
  const operation = operations.data?.find((o) => o.name === props.operation) ?? operations.data?.find((o) => o.properties.method === "GET") ?? operations.data?.[0];
  const [last, setLast] = useState("");
  useEffect(() => setLast(operation?.name ?? ""), [operation?.name]);
  return (
    <div className={t.page}>
      <OperationList api={props.api} tab="test" chosen={operation?.name ?? null} />
      {operation ? <Console key={`${props.api.name}/${last}`} api={props.api} operation={operation} /> : operations.data ? <Empty icon={<SendRegular />} title="Nothing to call yet" action={<PageLink to={`${service.base}/apis/${encodeURIComponent(props.api.name)}/design`}>Add an operation in Design</PageLink>}>An operation is a method and a path; what has none answers 404.</Empty> : null}
    </div>
  );
}

