// SPDX-License-Identifier: Apache-2.0
// Certificates and secrets of a vault: list, add, versions, delete; deleted objects.
import { Badge, Button, Dropdown, Field, Input, Option, Radio, RadioGroup, Text, Textarea } from "@fluentui/react-components";
import { AddRegular, ArrowUndoRegular, DeleteRegular, EyeRegular, HistoryRegular } from "@fluentui/react-icons";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { dateTimeText } from "../../core/format";
import * as vault from "../../core/vault";
import { useNotify, wordsOf } from "../../ui/notify";
import { Confirm, Copy, Empty, ErrorBar, Facts, Hint, Loading, Panel, useStyles } from "../../ui/parts";

export type Kind = "certificates" | "secrets" | "keys";
const noun: Record<Kind, string> = { certificates: "certificate", secrets: "secret", keys: "key" };
const when = (seconds: number | undefined): string => (seconds ? dateTimeText(new Date(seconds * 1000).toISOString()) : "");

const idOf = (item: vault.VaultItem): string => item.id ?? item.kid ?? "";

function AddCertificate(props: { vault: string; name: string | null; onClose: () => void }): JSX.Element {
  const client = useQueryClient();
  const notify = useNotify();
  const [how, setHow] = useState<"generate" | "import">("generate");
  const [name, setName] = useState(props.name ?? "");
  const [subject, setSubject] = useState(props.name ? `CN=${props.name}` : "");
  const [months, setMonths] = useState("12");
  const [key, setKey] = useState("RSA 2048");
  const [file, setFile] = useState<{ name: string; data: string } | null>(null);
  const [password, setPassword] = useState("");
  const save = useMutation({
    mutationFn: () => {
      const [type, size] = key.split(" ");
      const policy = {
        issuer: { name: "Self" }, secret_props: { contentType: "application/x-pkcs12" },
        key_props: { exportable: true, reuse_key: false, kty: type, ...(type === "RSA" ? { key_size: Number(size) } : { crv: size }) },
        x509_props: { subject: subject || `CN=${name}`, validity_months: Number(months), ekus: ["1.3.6.1.5.5.7.3.2"] },
      };
      return how === "generate" ? vault.call(props.vault, `/certificates/${name}/create`, { method: "POST", body: { policy } })
        : vault.call(props.vault, `/certificates/${name}/import`, { method: "POST", body: { value: file?.data, pwd: password } });
    },
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: ["vault", props.vault] });
      notify("success", props.name ? "New version made" : "Certificate made", name);
      props.onClose();
    },
  });
  const isWhole = /^[0-9A-Za-z-]{1,127}$/.test(name) && (how === "generate" || file !== null);
  const take = (given: File | undefined): void => {
    if (!given) return;
    const reader = new FileReader();
    reader.onload = () => setFile({ name: given.name, data: String(reader.result).replace(/^[^,]*,/, "") });
    reader.readAsDataURL(given);
  };
  return (
    <Panel open title={props.name ? `New version of ${props.name}` : "Create a certificate"} onClose={props.onClose} footer={<>
      <Button appearance="primary" disabledFocusable={!isWhole || save.isPending} onClick={() => { if (isWhole && !save.isPending) save.mutate(); }}>{save.isPending ? "Creating…" : "Create"}</Button>
      <Button onClick={props.onClose}>Cancel</Button>
    </>}>
      <ErrorBar error={save.error} title="Not created" />
      <Field label="Method of certificate creation"><RadioGroup layout="horizontal" value={how} onChange={(_, d) => setHow(d.value as "generate" | "import")}><Radio value="generate" label="Generate" /><Radio value="import" label="Import" /></RadioGroup></Field>
      <Field label="Certificate name" required><Input value={name} disabled={props.name !== null} autoFocus={props.name === null} onChange={(_, d) => { setName(d.value); setSubject(`CN=${d.value}`); }} /></Field>
      {how === "generate" ? (
        <>
          <Field label="Subject" hint="Self-signed by the vault."><Input value={subject} onChange={(_, d) => setSubject(d.value)} /></Field>
          <Field label="Validity (months)"><Input type="number" value={months} onChange={(_, d) => setMonths(d.value)} /></Field>
          <Field label="Key"><Dropdown value={key} selectedOptions={[key]} onOptionSelect={(_, d) => setKey(d.optionValue ?? key)}>{["RSA 2048", "RSA 3072", "RSA 4096", "EC P-256", "EC P-384"].map((k) => <Option key={k} value={k}>{k}</Option>)}</Dropdown></Field>
        </>
      ) : (
        <>
          <Field label="Certificate file" required hint={file?.name}><input type="file" accept=".pfx,.p12,.pem" aria-label="Certificate file" onChange={(e) => take(e.target.files?.[0])} /></Field>
          <Field label="Password"><Input type="password" autoComplete="off" value={password} onChange={(_, d) => setPassword(d.value)} /></Field>
        </>
      )}
    </Panel>
  );
}

function AddSecret(props: { vault: string; name: string | null; onClose: () => void }): JSX.Element {
  const client = useQueryClient();
  const [name, setName] = useState(props.name ?? "");
  const [value, setValue] = useState("");
  const save = useMutation({
    mutationFn: () => vault.call(props.vault, `/secrets/${name}`, { method: "PUT", body: { value } }),
    onSuccess: async () => { await client.invalidateQueries({ queryKey: ["vault", props.vault] }); props.onClose(); },
  });
  const isWhole = /^[0-9A-Za-z-]{1,127}$/.test(name) && value !== "";
  return (
    <Panel open title={props.name ? `New version of ${props.name}` : "Create a secret"} onClose={props.onClose} footer={<>
      <Button appearance="primary" disabledFocusable={!isWhole || save.isPending} onClick={() => { if (isWhole && !save.isPending) save.mutate(); }}>Create</Button>
      <Button onClick={props.onClose}>Cancel</Button>
    </>}>
      <ErrorBar error={save.error} title="Not created" />
      <Field label="Name" required><Input value={name} disabled={props.name !== null} autoFocus={props.name === null} onChange={(_, d) => setName(d.value)} /></Field>
      <Field label="Secret value" required><Textarea value={value} onChange={(_, d) => setValue(d.value)} /></Field>
    </Panel>
  );
}

function Versions(props: { vault: string; kind: Kind; name: string; onClose: () => void }): JSX.Element {
  const s = useStyles();
  const notify = useNotify();
  const [shown, setShown] = useState<{ version: string; value: string } | null>(null);
  const versions = useQuery({
    queryKey: ["vault", props.vault, props.kind, props.name, "versions"],
    queryFn: ({ signal }) => vault.list(props.vault, `/${props.kind}/${props.name}/versions`, signal),
  });
  const show = (version: string): void => {
    void vault.call<{ value: string }>(props.vault, `/secrets/${props.name}/${version}`).then(({ value }) => setShown({ version, value: value.value }), (e: unknown) => notify("error", "Not shown", wordsOf(e)));
  };
  return (
    <Panel open size="medium" title={`Versions of ${props.name}`} onClose={props.onClose}>
      {versions.isPending ? <Loading /> : null}
      <ErrorBar error={versions.error} />
      <ul style={{ listStyle: "none", padding: 0, margin: 0 }} className={s.column}>
        {[...(versions.data ?? [])].sort((a, b) => (b.attributes?.created ?? 0) - (a.attributes?.created ?? 0)).map((v, i) => {
          const version = vault.objectVersion(idOf(v));
          return (
            <li key={idOf(v)} className={s.card}>
              <div className={s.row}><Badge appearance="tint" color={i === 0 ? "brand" : "subtle"}>{i === 0 ? "Current version" : "Older version"}</Badge>{v.attributes?.enabled === false ? <Badge appearance="tint" color="warning">disabled</Badge> : null}</div>
              <Facts items={[["Version", <Copy key="v" text={version} label="version" />], ["Identifier", <Copy key="i" text={idOf(v)} label="identifier" />], ["Created", when(v.attributes?.created)], ["Expires", when(v.attributes?.exp)]]} />
              {props.kind === "secrets" ? shown?.version === version ? <Copy text={shown.value} label="secret value" /> : <Button size="small" icon={<EyeRegular />} onClick={() => show(version)}>Show secret value</Button> : null}
            </li>
          );
        })}
      </ul>
    </Panel>
  );
}

export function Objects(props: { vault: string; kind: Kind }): JSX.Element {
  const s = useStyles();
  const client = useQueryClient();
  const notify = useNotify();
  const list = useQuery({ queryKey: ["vault", props.vault, props.kind], queryFn: ({ signal }) => vault.list(props.vault, `/${props.kind}`, signal) });
  const [adding, setAdding] = useState<string | null | undefined>(undefined);
  const [versions, setVersions] = useState<string | null>(null);
  const [deleting, setDeleting] = useState<string | null>(null);
  const remove = useMutation({
    mutationFn: (name: string) => vault.call(props.vault, `/${props.kind}/${name}`, { method: "DELETE" }),
    onSuccess: async (_, name) => { await client.invalidateQueries({ queryKey: ["vault", props.vault] }); setDeleting(null); notify("success", `${name} is deleted`, "It can be recovered under Deleted objects."); },
  });
  const items = (list.data ?? []).filter((i) => !i.managed);
  return (
    <>
      {props.kind !== "keys" ? <div><Button icon={<AddRegular />} onClick={() => setAdding(null)}>{props.kind === "certificates" ? "Generate/Import" : "Generate"}</Button></div> : null}
      {list.isPending ? <Loading /> : null}
      <ErrorBar error={list.error} title={`The ${props.kind} cannot be listed`} onRetry={() => void list.refetch()} />
      {list.data && items.length === 0 ? <Empty icon={<HistoryRegular />} title={`No ${props.kind} in this vault`}>{props.kind === "certificates" ? "Generate one here, or import a .pfx." : props.kind === "keys" ? "Keys are made by the REST API and the SDKs." : "A secret is a text with versions."}</Empty> : null}
      <ul style={{ listStyle: "none", padding: 0, margin: 0 }} className={s.column}>
        {items.map((item) => {
          const name = vault.objectName(idOf(item));
          return (
            <li key={idOf(item)} className={s.card}>
              <div className={s.row} style={{ justifyContent: "space-between" }}>
                <div className={s.row}><Text weight="semibold">{name}</Text><Badge appearance="tint" color={item.attributes?.enabled === false ? "warning" : "success"}>{item.attributes?.enabled === false ? "Disabled" : "Enabled"}</Badge>{item.attributes?.exp ? <Text size={200}>expires {when(item.attributes.exp)}</Text> : null}</div>
                <div className={s.row}>
                  <Button size="small" icon={<HistoryRegular />} aria-label={`Versions of ${name}`} onClick={() => setVersions(name)}>Versions</Button>
                  {props.kind !== "keys" ? <Button size="small" icon={<AddRegular />} aria-label={`New version of ${name}`} onClick={() => setAdding(name)}>New version</Button> : null}
                  <Button size="small" icon={<DeleteRegular />} aria-label={`Delete ${name}`} onClick={() => setDeleting(name)} />
                </div>
              </div>
            </li>
          );
        })}
      </ul>
      {adding !== undefined ? props.kind === "certificates" ? <AddCertificate vault={props.vault} name={adding} onClose={() => setAdding(undefined)} /> : <AddSecret vault={props.vault} name={adding} onClose={() => setAdding(undefined)} /> : null}
      {versions ? <Versions vault={props.vault} kind={props.kind} name={versions} onClose={() => setVersions(null)} /> : null}
      <Confirm open={deleting !== null} title={`Delete ${deleting ?? ""}?`} action="Delete" busy={remove.isPending} onYes={() => remove.mutate(deleting ?? "")} onClose={() => { setDeleting(null); remove.reset(); }}>
        <ErrorBar error={remove.error} title="Not deleted" />
        <Text>All versions of this {noun[props.kind]} go. Services that follow it keep what they have.</Text>
      </Confirm>
    </>
  );
}

export function DeletedObjects(props: { vault: string }): JSX.Element {
  const s = useStyles();
  const client = useQueryClient();
  const notify = useNotify();
  const list = useQuery({
    queryKey: ["vault", props.vault, "deleted"],
    queryFn: async ({ signal }) => {
      const [certificates, secrets] = await Promise.all([vault.list(props.vault, "/deletedcertificates", signal), vault.list(props.vault, "/deletedsecrets", signal)]);
      return [...certificates.map((i) => ({ ...i, kind: "certificates" as const })), ...secrets.filter((i) => !i.managed).map((i) => ({ ...i, kind: "secrets" as const }))];
    },
  });
  const act = useMutation({
    mutationFn: ({ path, method }: { path: string; method: string }) => vault.call(props.vault, path, { method }),
    onSuccess: () => client.invalidateQueries({ queryKey: ["vault", props.vault] }),
    onError: (error) => notify("error", "Not done", wordsOf(error)),
  });
  if (list.isPending) return <Loading />;
  if (list.error) return <ErrorBar error={list.error} title="Deleted objects cannot be listed" onRetry={() => void list.refetch()} />;
  if (list.data.length === 0) return <Empty icon={<ArrowUndoRegular />} title="Nothing is deleted">What is deleted can be recovered here until it is purged.</Empty>;
  return (
    <ul style={{ listStyle: "none", padding: 0, margin: 0 }} className={s.column}>
      {list.data.map((item) => {
        const name = vault.objectName(idOf(item));
        return (
          <li key={`${item.kind}${idOf(item)}`} className={s.card}>
            <div className={s.row} style={{ justifyContent: "space-between" }}>
              <div><Text weight="semibold">{name}</Text> <Text size={200}>{noun[item.kind]}, deleted {when(item.deletedDate)}{item.scheduledPurgeDate ? `, purged ${when(item.scheduledPurgeDate)}` : ""}</Text></div>
              <div className={s.row}>
                <Button size="small" icon={<ArrowUndoRegular />} aria-label={`Recover ${name}`} onClick={() => act.mutate({ path: `/deleted${item.kind}/${name}/recover`, method: "POST" })}>Recover</Button>
                <Button size="small" icon={<DeleteRegular />} aria-label={`Purge ${name}`} onClick={() => act.mutate({ path: `/deleted${item.kind}/${name}`, method: "DELETE" })}>Purge</Button>
              </div>
            </div>
          </li>
        );
      })}
      <Hint>Purging cannot be undone.</Hint>
    </ul>
  );
}
