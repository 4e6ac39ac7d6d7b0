// SPDX-License-Identifier: Apache-2.0
// The issuance policy of a vault's certificate: what its next version will be, and when it is made.
import { Button, Checkbox, Dropdown, Field, Input, Option, Radio, RadioGroup, SpinButton } from "@fluentui/react-components";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { Vault } from "../../core/types";
import * as data from "../../core/vault";
import { useVaultRights } from "../../core/vaultRights";
import { useNotify } from "../../ui/notify";
import { ActButton, ErrorBar, Hint, Loading, Panel } from "../../ui/parts";
import { useVaultCall } from "./change";
import { KeyType, keyTypes } from "./KeyType";

interface Policy {
  issuer?: { name?: string };
  key_props?: { kty?: string; key_size?: number; crv?: string; exportable?: boolean; reuse_key?: boolean };
  secret_props?: { contentType?: string };
  x509_props?: { subject?: string; sans?: { dns_names?: string[]; emails?: string[]; upns?: string[] }; ekus?: string[]; validity_months?: number };
  lifetime_actions?: { trigger: { lifetime_percentage?: number; days_before_expiry?: number }; action: { action_type: string } }[];
}

const contents: Record<string, string> = { "application/x-pkcs12": "PKCS #12", "application/x-pem-file": "PEM" };
const typeOf = (policy: Policy): string =>
  Object.entries(keyTypes).find(([, k]) => k.kty === policy.key_props?.kty && (k.crv ? k.crv === policy.key_props?.crv : k.key_size === policy.key_props?.key_size))?.[0] ?? "EC P-256";

function Form(props: { vault: Vault; name: string; policy: Policy; onClose: () => void }): JSX.Element {
  const { policy } = props;
  const call = useVaultCall(props.vault);
  const notify = useNotify();
  const why = useVaultRights(props.vault)("certificates", "update");
  const renewal = policy.lifetime_actions?.find((a) => a.action.action_type === "AutoRenew") ?? policy.lifetime_actions?.[0];
  const [subject, setSubject] = useState(policy.x509_props?.subject ?? "");
  const [names, setNames] = useState((policy.x509_props?.sans?.dns_names ?? []).join(", "));
  const [issuer, setIssuer] = useState(policy.issuer?.name ?? "Self");
  const [months, setMonths] = useState(policy.x509_props?.validity_months ?? 12);
  const [keyType, setKeyType] = useState(typeOf(policy));
  const [reuse, setReuse] = useState(policy.key_props?.reuse_key ?? false);
  const [exportable, setExportable] = useState(policy.key_props?.exportable ?? true);
  const [content, setContent] = useState(policy.secret_props?.contentType ?? "application/x-pkcs12");
  const [action, setAction] = useState(renewal?.action.action_type ?? "AutoRenew");
  const [when, setWhen] = useState(renewal?.trigger.days_before_expiry ? "days" : "percentage");
  const [days, setDays] = useState(renewal?.trigger.days_before_expiry ?? 30);
  const [percentage, setPercentage] = useState(renewal?.trigger.lifetime_percentage ?? 80);
  const issuers = useQuery({
    queryKey: ["vault", props.vault.name, "issuers"],
    queryFn: ({ signal }) => data.list(props.vault.name, "/certificates/issuers", signal),
  });
  const known = [...new Set(["Self", "Unknown", issuer, ...(issuers.data ?? []).map((item) => data.issuerName(item.id))])];
  const number = (chosen: { value?: number | null; displayValue?: string }, former: number): number => chosen.value ?? (Number(chosen.displayValue) || former);
  const list = names.split(",").map((name) => name.trim()).filter(Boolean);
  const save = (): void =>
    call.mutate({
      method: "PATCH", path: `/certificates/${props.name}/policy`,
      body: {
        issuer: { ...policy.issuer, name: issuer },
        key_props: { ...keyTypes[keyType], exportable, reuse_key: reuse },
        secret_props: { contentType: content },
        x509_props: { ...policy.x509_props, subject: subject.trim(), validity_months: months, sans: { ...policy.x509_props?.sans, dns_names: list } },
        lifetime_actions: [{ trigger: when === "days" ? { days_before_expiry: days } : { lifetime_percentage: percentage }, action: { action_type: action } }],
      },
    }, { onSuccess: () => { notify("success", "Issuance policy saved", `${props.name}: it holds for the next version.`); props.onClose(); } });
  return (
    <Panel open title={`Issuance policy of ${props.name}`} onClose={props.onClose} footer={<>
      <ActButton appearance="primary" why={why} disabledFocusable={call.isPending} onClick={() => { if (!why) save(); }}>{call.isPending ? "Saving…" : "Save"}</ActButton>
      <Button onClick={props.onClose}>Cancel</Button>
    </>}>
      <ErrorBar error={call.error} title="Not saved" />
      <Hint>It says what the next version is like and when it is made. Versions that are there stay as they are.</Hint>
      <Field label="Subject" required hint="As in CN=orders.example.com"><Input value={subject} onChange={(_, d) => setSubject(d.value)} /></Field>
      <Field label="DNS names" hint="Separated by commas."><Input value={names} onChange={(_, d) => setNames(d.value)} /></Field>
      <Field label="Issuer"><Dropdown value={issuer} selectedOptions={[issuer]} onOptionSelect={(_, d) => setIssuer(d.optionValue ?? issuer)}>{known.map((name) => <Option key={name} value={name}>{name}</Option>)}</Dropdown></Field>
      <Field label="Validity in months"><SpinButton min={1} max={120} value={months} onChange={(_, d) => setMonths(number(d, months))} /></Field>
      <KeyType value={keyType} onChange={setKeyType} />
      <Checkbox label="Reuse the key on renewal" checked={reuse} onChange={(_, d) => setReuse(d.checked === true)} />
      <Checkbox label="The private key can be exported (the gateway needs that)" checked={exportable} onChange={(_, d) => setExportable(d.checked === true)} />
      <Field label="Content type"><RadioGroup layout="horizontal" value={content} onChange={(_, d) => setContent(d.value)}>{Object.entries(contents).map(([value, label]) => <Radio key={value} value={value} label={label} />)}</RadioGroup></Field>
      <Field label="Lifetime action type"><RadioGroup layout="horizontal" value={action} onChange={(_, d) => setAction(d.value)}><Radio value="AutoRenew" label="Renew automatically" /><Radio value="EmailContacts" label="Tell the contacts" /></RadioGroup></Field>
      <Field label="When"><RadioGroup layout="horizontal" value={when} onChange={(_, d) => setWhen(d.value)}><Radio value="percentage" label="At a percentage of the lifetime" /><Radio value="days" label="Days before expiry" /></RadioGroup></Field>
      {when === "days" ? <Field label="Days before expiry"><SpinButton min={1} max={3650} value={days} onChange={(_, d) => setDays(number(d, days))} /></Field>
        : <Field label="Percentage of the lifetime"><SpinButton min={1} max={99} value={percentage} onChange={(_, d) => setPercentage(number(d, percentage))} /></Field>}
    </Panel>
  );
}

export function CertificatePolicy(props: { vault: Vault; name: string; onClose: () => void }): JSX.Element {
  const policy = useQuery({
    queryKey: ["vault", props.vault.name, "certificates", props.name, "policy"],
    queryFn: async ({ signal }) => (await data.call<Policy>(props.vault.name, `/certificates/${props.name}/policy`, { signal })).value,
  });
  if (policy.data) return <Form {...props} policy={policy.data} />;
  return (
    <Panel open title={`Issuance policy of ${props.name}`} onClose={props.onClose}>
      {policy.isPending ? <Loading /> : null}
      <ErrorBar error={policy.error} title="The policy cannot be read" onRetry={() => void policy.refetch()} />
    </Panel>
  );
}
