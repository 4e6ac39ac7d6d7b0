// SPDX-License-Identifier: Apache-2.0
// A backend as a form, for a new one and for one that is there.
import { Accordion, AccordionHeader, AccordionItem, AccordionPanel, Button, Checkbox, Field, Input, Radio, RadioGroup, Switch, Textarea } from "@fluentui/react-components";
import { AddRegular, DeleteRegular } from "@fluentui/react-icons";
import { useRef, useState } from "react";
import * as arm from "../../core/arm";
import { isId } from "../../core/format";
import { useWrite } from "../../core/hooks";
import { useService } from "../../core/service";
import type { Backend } from "../../core/types";
import { CertificatePicker } from "../../ui/CertificatePicker";
import { SaveError, useLookAgain } from "../../ui/conflict";
import { useNotify } from "../../ui/notify";
import { Hint, Panel, useStyles } from "../../ui/parts";
import { changesOf, type Form, type Pair, toForm, toProperties } from "./model";
import { Members } from "./Members";

export const backendPath = (name: string): string => `/backends/${encodeURIComponent(name)}`;

function Pairs(props: { label: string; value: Pair[]; onChange: (value: Pair[]) => void }): JSX.Element {
  const s = useStyles();
  const set = (at: number, change: Partial<Pair>): void => props.onChange(props.value.map((p, i) => (i === at ? { ...p, ...change } : p)));
  return (
    <fieldset style={{ border: 0, padding: 0, margin: 0 }} className={s.column}>
      <legend>{props.label}</legend>
      {props.value.map((pair, i) => (
        <div key={i} style={{ display: "flex", gap: 8 }}>
          <Input style={{ minWidth: 0, flex: 1 }} aria-label={`${props.label}: name ${i + 1}`} placeholder="Name" value={pair.name} onChange={(_, d) => set(i, { name: d.value })} />
          <Input style={{ minWidth: 0, flex: 1 }} aria-label={`${props.label}: value ${i + 1}`} placeholder="Value" value={pair.value} onChange={(_, d) => set(i, { value: d.value })} />
          <Button icon={<DeleteRegular />} aria-label={`Remove ${props.label.toLowerCase()} ${i + 1}`} onClick={() => props.onChange(props.value.filter((_, k) => k !== i))} />
        </div>
      ))}
      <div><Button size="small" icon={<AddRegular />} onClick={() => props.onChange([...props.value, { name: "", value: "" }])}>Add {props.label.toLowerCase()}</Button></div>
    </fieldset>
  );
}

/** Whom this backend's certificate must come from, if not from those that all trust. */
function Authorities(props: { value: string; onChange: (value: string) => void; error?: string | undefined }): JSX.Element {
  const s = useStyles();
  const input = useRef<HTMLInputElement>(null);
  const take = (file: File | undefined): void => {
    if (file) void file.text().then((text) => props.onChange(text.trim()));
  };
  return (
    <div className={s.column} style={{ gap: 8 }}>
      <Field label="CA certificates" hint="PEM, of a private authority: then only it is trusted for this backend. Empty: those of this machine and of the service." validationMessage={props.error}>
        <Textarea value={props.value} rows={props.value ? 4 : 1} className={s.mono} resize="vertical" placeholder="-----BEGIN CERTIFICATE-----" onChange={(_, d) => props.onChange(d.value)} />
      </Field>
      <div>
        <input ref={input} type="file" accept=".pem,.crt,.cer" hidden aria-label="CA certificate file" onChange={(event) => { take(event.target.files?.[0]); event.target.value = ""; }} />
        <Button size="small" onClick={() => input.current?.click()}>Choose a CA file</Button>
      </div>
    </div>
  );
}

export function BackendPanel(props: { existing: { value: Backend; etag: string | null } | null; onClose: (saved: string | null) => void }): JSX.Element {
  const service = useService();
  const [former, setFormer] = useState(props.existing);
  const [form, setForm] = useState<Form>(() => toForm(props.existing?.value ?? null));
  const write = useWrite<Backend>();
  const notify = useNotify();
  const s = useStyles();
  const set = (change: Partial<Form>): void => setForm((old) => ({ ...old, ...change }));
  const isNew = props.existing === null;
  const isHalf = Boolean(form.scheme.trim()) !== Boolean(form.parameter);
  const isWhole = isId(form.name) && !isHalf && (form.type === "Pool" ? form.members.some((m) => m.id) : /^(https?|wss?):\/\/\S+$/i.test(form.url.trim()));
  const error = write.error instanceof arm.ApiError ? write.error : null;
  const conflict = error?.status === 412;
  const rules = former?.value.properties.circuitBreaker?.rules?.length ?? 0;
  const save = (): void => {
    const properties = toProperties(form, props.existing?.value ?? null, former?.value ?? null, service.id);
    write.mutate({ method: former ? "PATCH" : "PUT", path: backendPath(form.name), etag: former?.etag ?? null, isNew, body: { properties: former ? changesOf(former.value, properties) : properties } }, {
      onSuccess: () => {
        notify("success", isNew ? "Backend created" : "Backend saved", `${form.name}: the next request obeys it.`);
        props.onClose(form.name);
      },
    });
  };
  // Their state, our form: what we typed stays, and the next save is made over theirs.
  const again = useLookAgain();
  const lookAgain = async (): Promise<void> => {
    const fresh = await arm.call<Backend>(`${service.id}${backendPath(form.name)}`);
    setFormer({ value: fresh.value, etag: fresh.etag });
    write.reset();
  };
  return (
    <Panel open title={isNew ? "Create new backend" : `Edit ${form.name}`} onClose={() => props.onClose(null)} footer={<>
      <Button appearance="primary" disabledFocusable={!isWhole || write.isPending || again.isBusy} onClick={() => { if (isWhole) save(); }}>{write.isPending ? "Saving…" : isNew ? "Create" : "Save"}</Button>
      <Button onClick={() => props.onClose(null)}>Cancel</Button>
    </>}>
      <SaveError error={write.error} conflict={conflict ? "Somebody else has changed this backend meanwhile" : null} again={again} ways={{ "Keep mine, over theirs": lookAgain }} />
      <Field label="Name" required validationMessage={form.name && !isId(form.name) ? "1 to 80 letters, digits, '-', '_' and '.'." : undefined}>
        <Input value={form.name} disabled={!isNew} placeholder="orders" autoFocus={isNew} onChange={(_, d) => set({ name: d.value })} />
      </Field>
      <Field label="Type">
        <RadioGroup layout="horizontal" value={form.type} onChange={(_, d) => set({ type: d.value as Form["type"] })}>
          <Radio value="Single" label="Single" /><Radio value="Pool" label="Load-balanced pool" />
        </RadioGroup>
      </Field>
      {props.existing && form.type !== (props.existing.value.properties.type ?? "Single") ? (
        <Hint intent="warning">{form.type === "Pool" ? "As a pool it has no URL, credentials, checks and circuit breaker of its own: they go when it is saved. Its members have theirs." : "As a single backend it has no members: they go when it is saved."}</Hint>
      ) : null}
      {form.type === "Single" ? (
        <>
          <Field label="Runtime URL" required validationMessage={error?.about("url") ?? (form.url && !/^(https?|wss?):\/\/\S+$/i.test(form.url.trim()) ? "An address such as https://orders.internal:8443/v1." : undefined)}>
            <Input value={form.url} placeholder="https://orders.internal:8443" onChange={(_, d) => set({ url: d.value })} />
          </Field>
          <Field label="Client certificate" hint="Presented to this backend, unless a policy names another one.">
            <CertificatePicker multiple value={form.certificates} onChange={(certificates) => set({ certificates })} />
          </Field>
          <Switch checked={form.chain} onChange={(_, d) => set({ chain: d.checked })} label="Validate certificate chain" />
          <Switch checked={form.nameCheck} onChange={(_, d) => set({ nameCheck: d.checked })} label="Validate certificate name" />
          <Authorities value={form.ca} onChange={(ca) => set({ ca })} error={error?.about("caCertificates")} />
          {!form.chain || !form.nameCheck ? <Hint intent="warning">Without {!form.chain ? "the chain" : "the name"} anybody on the way may pose as this backend. Better: name its authority under CA certificates.</Hint> : null}
        </>
      ) : (
        <Members name={form.name} value={form.members} onChange={(members) => set({ members })} />
      )}
      <Accordion multiple collapsible>
        {form.type === "Single" ? (
          <AccordionItem value="credentials">
            <AccordionHeader>Authorization credentials</AccordionHeader>
            <AccordionPanel className={s.column}>
              <Pairs label="Header" value={form.headers} onChange={(headers) => set({ headers })} />
              <Pairs label="Query parameter" value={form.query} onChange={(query) => set({ query })} />
              <div className={s.row}>
                <Field label="Authorization scheme" validationMessage={isHalf ? "Scheme and parameter belong together: fill both, or none." : undefined}><Input value={form.scheme} placeholder="Bearer" onChange={(_, d) => set({ scheme: d.value })} /></Field>
                <Field label="Parameter"><Input type="password" autoComplete="off" value={form.parameter} onChange={(_, d) => set({ parameter: d.value })} /></Field>
              </div>
            </AccordionPanel>
          </AccordionItem>
        ) : null}
        {form.type === "Single" ? (
          <AccordionItem value="breaker">
            <AccordionHeader>Circuit breaker</AccordionHeader>
            <AccordionPanel className={s.column}>
              <Switch checked={form.breaker} onChange={(_, d) => set({ breaker: d.checked })} label="Let the backend rest when it fails" />
              {form.breaker ? (
                <>
                  {rules > 1 ? <Hint>{`This backend has ${rules - 1} more rule${rules > 2 ? "s" : ""}. Only the first one counts; the others are kept as they are.`}</Hint> : null}
                  <Field label="What trips it">
                    <RadioGroup value={form.measure} onChange={(_, d) => set({ measure: d.value as Form["measure"] })}>
                      <Radio value="count" label="A number of failures" /><Radio value="percentage" label="A share of the requests" />
                    </RadioGroup>
                  </Field>
                  {form.measure === "count"
                    ? <Field label="Failures" hint="So many within the interval trip it."><Input type="number" min={1} value={form.count} onChange={(_, d) => set({ count: d.value })} /></Field>
                    : <Field label="Percentage" hint="So many of a hundred requests within the interval trip it."><Input type="number" min={1} max={100} value={form.percentage} onChange={(_, d) => set({ percentage: d.value })} /></Field>}
                  <Field label="Interval (seconds)"><Input value={form.interval} onChange={(_, d) => set({ interval: d.value })} /></Field>
                  <Field label="Status codes that are failures" hint="500-599, 429"><Input value={form.statuses} onChange={(_, d) => set({ statuses: d.value })} /></Field>
                  <Field label="Trip duration (seconds)"><Input value={form.trip} onChange={(_, d) => set({ trip: d.value })} /></Field>
                  <Checkbox checked={form.retryAfter} onChange={(_, d) => set({ retryAfter: d.checked === true })} label="Obey Retry-After of the answer" />
                </>
              ) : null}
            </AccordionPanel>
          </AccordionItem>
        ) : null}
        <AccordionItem value="texts">
          <AccordionHeader>Title and description</AccordionHeader>
          <AccordionPanel className={s.column}>
            <Field label="Title"><Input value={form.title} onChange={(_, d) => set({ title: d.value })} /></Field>
            <Field label="Description"><Textarea value={form.description} onChange={(_, d) => set({ description: d.value })} /></Field>
          </AccordionPanel>
        </AccordionItem>
      </Accordion>
    </Panel>
  );
}
