// SPDX-License-Identifier: Apache-2.0
// Generate/Import: a certificate, a secret or a key, and new versions of them.
import { Button, Dropdown, Field, Input, Option, Radio, RadioGroup, SpinButton, Textarea } from "@fluentui/react-components";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { Vault } from "../../core/types";
import * as data from "../../core/vault";
import { useNotify } from "../../ui/notify";
import { ErrorBar, Panel } from "../../ui/parts";
import { type File64, FileDrop } from "../certificate/FileDrop";
import { type Kind, useVaultCall } from "./change";
import { KeyType, keyTypes } from "./KeyType";

interface Call { method: string; path: string; body: unknown }
interface FormProps { vault: Vault; onCall: (call: Call | null, issuer?: string) => void }

/** The issuer that stands for this service's own authority; it is made when it is first used. */
const OWN_CA = "postern-ca";

function CertificateForm(props: FormProps): JSX.Element {
  const [way, setWay] = useState("generate");
  const [subject, setSubject] = useState("");
  const [issuer, setIssuer] = useState("Self");
  const [months, setMonths] = useState(12);
  const [keyType, setKeyType] = useState("EC P-256");
  const [file, setFile] = useState<File64 | null>(null);
  const [problem, setProblem] = useState<string>();
  const [password, setPassword] = useState("");
  const issuers = useQuery({
    queryKey: ["vault", props.vault.name, "issuers"],
    queryFn: ({ signal }) => data.list(props.vault.name, "/certificates/issuers", signal),
  });
  const names = (issuers.data ?? []).map((item) => data.issuerName(item.id));
  const tell = (next: { way?: string; subject?: string; issuer?: string; months?: number; keyType?: string; file?: File64 | null; password?: string }): void => {
    const all = { way, subject, issuer, months, keyType, file, password, ...next };
    if (all.way === "import")
      props.onCall(all.file ? { method: "POST", path: "import", body: { value: all.file.data, pwd: all.password } } : null);
    else
      props.onCall(/^\s*\w+=./.test(all.subject) ? {
        method: "POST", path: "create",
        body: {
          policy: {
            issuer: { name: all.issuer }, key_props: { ...keyTypes[all.keyType], exportable: true, reuse_key: false },
            secret_props: { contentType: "application/x-pkcs12" },
            x509_props: { subject: all.subject.trim(), validity_months: all.months, ekus: ["1.3.6.1.5.5.7.3.2"] },
            lifetime_actions: [{ trigger: { lifetime_percentage: 80 }, action: { action_type: "AutoRenew" } }],
          },
        },
      } : null, all.issuer === OWN_CA && !names.includes(OWN_CA) ? OWN_CA : undefined);
  };
  return (
    <>
      <Field label="Method of creation">
        <RadioGroup layout="horizontal" value={way} onChange={(_, chosen) => { setWay(chosen.value); tell({ way: chosen.value }); }}>
          <Radio value="generate" label="Generate" />
          <Radio value="import" label="Import" />
        </RadioGroup>
      </Field>
      {way === "generate" ? (
        <>
          <Field label="Subject" required hint="As in CN=orders.example.com">
            <Input value={subject} onChange={(_, chosen) => { setSubject(chosen.value); tell({ subject: chosen.value }); }} placeholder="CN=orders" />
          </Field>
          <Field label="Issuer" hint={`Self: self-signed. ${OWN_CA}: by this service's own authority, for client authentication.`}>
            <Dropdown value={issuer} selectedOptions={[issuer]} onOptionSelect={(_, chosen) => { setIssuer(chosen.optionValue ?? "Self"); tell({ issuer: chosen.optionValue ?? "Self" }); }}>
              <Option value="Self">Self</Option>
              {[...new Set([OWN_CA, ...names])].map((name) => <Option key={name} value={name}>{name}</Option>)}
            </Dropdown>
          </Field>
          <Field label="Validity in months">
            <SpinButton min={1} max={120} value={months} onChange={(_, chosen) => { const next = chosen.value ?? (Number(chosen.displayValue) || months); setMonths(next); tell({ months: next }); }} />
          </Field>
          <KeyType value={keyType} onChange={(value) => { setKeyType(value); tell({ keyType: value }); }} />
        </>
      ) : (
        <>
          <Field label="PFX certificate file" required validationMessage={problem}>
            <FileDrop file={file} onFile={(next, told) => { setFile(next); setProblem(told); tell({ file: next }); }} />
          </Field>
          <Field label="Password" hint="Empty, if the file has none.">
            <Input type="password" autoComplete="off" value={password} onChange={(_, chosen) => { setPassword(chosen.value); tell({ password: chosen.value }); }} />
          </Field>
        </>
      )}
    </>
  );
}

function SecretForm(props: FormProps): JSX.Element {
  const [value, setValue] = useState("");
  const [type, setType] = useState("");
  const tell = (nextValue: string, nextType: string): void =>
    props.onCall(nextValue ? { method: "PUT", path: "", body: { value: nextValue, ...(nextType ? { contentType: nextType } : {}) } } : null);
  return (
    <>
      <Field label="Secret value" required>
        <Textarea value={value} autoComplete="off" onChange={(_, chosen) => { setValue(chosen.value); tell(chosen.value, type); }} />
      </Field>
      <Field label="Content type" hint="What the value is, for people.">
        <Input value={type} onChange={(_, chosen) => { setType(chosen.value); tell(value, chosen.value); }} />
      </Field>
    </>
  );
}

function KeyForm(props: FormProps): JSX.Element {
  const [type, setType] = useState("EC P-256");
  const call = (name: string): Call => ({ method: "POST", path: "create", body: keyTypes[name] });
  return (
    <>
      <KeyType value={type} onChange={(value) => { setType(value); props.onCall(call(value)); }} />
    </>
  );
}

const forms: Record<Kind, (props: FormProps) => JSX.Element> = { certificates: CertificateForm, secrets: SecretForm, keys: KeyForm };

export function CreatePanel(props: { vault: Vault; kind: Kind; name: string; title: string; onClose: () => void }): JSX.Element {
  const [name, setName] = useState(props.name);
  const [issuer, setIssuer] = useState<string>();
  const [wanted, setWanted] = useState<Call | null>(props.kind === "keys" ? { method: "POST", path: "create", body: keyTypes["EC P-256"] } : null);
  const call = useVaultCall(props.vault);
  const notify = useNotify();
  const Form = forms[props.kind];
  const isName = /^[0-9A-Za-z-]{1,127}$/.test(name);
  const isWhole = isName && wanted !== null;
  const save = (): void => {
    if (issuer)
      call.mutate({ method: "PUT", path: `/certificates/issuers/${issuer}`, body: { provider: "PosternCA" } }, { onSuccess: create });
    else
      create();
  };
  const create = (): void => {
    if (!wanted) return;
    call.mutate({ ...wanted, path: `/${props.kind}/${name}${wanted.path ? `/${wanted.path}` : ""}` }, {
      onSuccess: () => { notify("success", props.name ? `New version of ${name}` : `${name} was created`); props.onClose(); },
    });
  };
  return (
    <Panel open title={props.title} onClose={props.onClose} footer={<>
      <Button appearance="primary" disabledFocusable={!isWhole || call.isPending} onClick={() => { if (isWhole) save(); }}>{call.isPending ? "Creating…" : "Create"}</Button>
      <Button onClick={props.onClose}>Cancel</Button>
    </>}>
      <ErrorBar error={call.error} title="Not created" />
      <Field label="Name" required validationMessage={name && !isName ? "Letters, digits and hyphens; at most 127." : undefined}>
        <Input value={name} disabled={props.name !== ""} autoFocus={props.name === ""} onChange={(_, chosen) => setName(chosen.value)} />
      </Field>
      <Form vault={props.vault} onCall={(next, needed) => { setWanted(next); setIssuer(needed); }} />
    </Panel>
  );
}
