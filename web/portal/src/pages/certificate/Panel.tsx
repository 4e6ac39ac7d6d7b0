// SPDX-License-Identifier: Apache-2.0
// + Add, and Replace: a .pfx file, or a reference to a key vault.
import { Badge, Button, Dropdown, Field, Input, Option, Radio, RadioGroup, Spinner, Text } from "@fluentui/react-components";
import { KeyMultipleRegular } from "@fluentui/react-icons";
import { type ReactNode, useEffect, useState } from "react";
import * as arm from "../../core/arm";
import { dateText, isId } from "../../core/format";
import { useEntity, useWrite } from "../../core/hooks";
import { useService, useServiceEntity } from "../../core/service";
import { type Certificate, type CheckReport, warningText } from "../../core/types";
import { parseIdentifier } from "../../core/vault";
import { SaveError, useLookAgain } from "../../ui/conflict";
import { useNotify } from "../../ui/notify";
import { Copy, ErrorBar, ExpiryBadge, Facts, Hint, Panel, useStyles } from "../../ui/parts";
import { pathOf } from "./parts";
import { type File64, FileDrop } from "./FileDrop";
import { GrantAccess, VaultPicker } from "./VaultPicker";

export const SYSTEM = "system";

/** What the server finds in the file, before anything is saved. */
function Doctor(props: { report: CheckReport | null; error: unknown; busy: boolean }): JSX.Element | null {
  const s = useStyles();
  if (props.busy) return <Spinner size="tiny" labelPosition="after" label="Looking into the file…" />;
  if (props.error) return <ErrorBar error={props.error} title="This file cannot be used" />;
  const { report } = props;
  const leaf = report?.chain?.[0];
  if (!report || !leaf) return null;
  return (
    <section className={s.card} aria-label="What is in the file" aria-live="polite">
      <Facts items={[
        ["Subject", leaf.subject],
        ["Issuer", leaf.issuer],
        ["Thumbprint", <Copy key="t" text={leaf.thumbprint} label="thumbprint" />],
        ["Valid", <span key="v">{dateText(leaf.notBefore)} to {dateText(leaf.notAfter)} <ExpiryBadge date={leaf.notAfter} /></span>],
        ["Key", `${leaf.keyType}${leaf.curve ? ` ${leaf.curve}` : leaf.keyBits ? ` ${leaf.keyBits} bits` : ""}`],
        ["Chain", <span key="c">{report.chain?.length} certificate{report.chain?.length === 1 ? "" : "s"} <Badge appearance="tint" color={report.chainComplete ? "success" : "warning"}>{report.chainComplete ? "complete" : "incomplete"}</Badge></span>],
        ["File", report.file ? `${report.file.format}${report.file.encryption ? `, ${report.file.encryption}` : ""}` : undefined],
      ]} />
      {(report.warnings ?? []).length ? <div style={{ marginTop: 12 }}><Hint intent="warning" title="Usable, but:"><ul style={{ margin: 0, paddingLeft: 18 }}>{(report.warnings ?? []).map(warningText).map((w) => <li key={w}>{w}</li>)}</ul></Hint></div> : null}
    </section>
  );
}

/** Asks the doctor when file or password have stayed for a moment. */
function useDoctor(file: File64 | null, password: string): { report: CheckReport | null; error: unknown; busy: boolean } {
  const service = useService();
  const [state, setState] = useState<{ report: CheckReport | null; error: unknown; busy: boolean }>({ report: null, error: null, busy: false });
  useEffect(() => {
    if (!file) {
      setState({ report: null, error: null, busy: false });
      return;
    }
    const stop = new AbortController();
    const timer = setTimeout(() => {
      setState((old) => ({ ...old, busy: true }));
      arm.call<CheckReport>(`${service.id}/checkCertificate`, { method: "POST", body: { properties: { data: file.data, password } }, signal: stop.signal })
        .then(({ value }) => setState({ report: value, error: null, busy: false }))
        .catch((error: unknown) => { if (!stop.signal.aborted) setState({ report: null, error, busy: false }); });
    }, 350);
    return () => { clearTimeout(timer); stop.abort(); };
  }, [file, password, service.id]);
  return state;
}

export function ClientIdentity(props: { value: string; onChange: (value: string) => void }): JSX.Element {
  const entity = useServiceEntity();
  const identity = entity.data?.value.identity;
  const hasSystem = Boolean(identity?.type?.toLowerCase().includes("systemassigned"));
  const users = Object.entries(identity?.userAssignedIdentities ?? {});
  const name = props.value === SYSTEM ? "System-assigned identity" : arm.nameOf(users.find(([, u]) => u.clientId === props.value)?.[0] ?? props.value);
  return (
    <Field label="Client identity" hint="The managed identity with which this service reads the vault."
      {...(entity.data && !hasSystem && users.length === 0 ? { validationState: "warning" as const, validationMessage: "This service has no managed identity. Switch one on under Managed identities." } : {})}>
      <Dropdown value={name} selectedOptions={[props.value]} onOptionSelect={(_, data) => props.onChange(data.optionValue ?? SYSTEM)}>
        <Option value={SYSTEM} text="System-assigned identity" disabled={entity.data !== undefined && !hasSystem}>System-assigned identity</Option>
        {users.map(([id, user]) => <Option key={id} value={user.clientId ?? id} text={arm.nameOf(id)}>{arm.nameOf(id)}</Option>)}
      </Dropdown>
    </Field>
  );
}

/** At the foot of the page: Add has put it down here, Save does it. */
function StagedBar(props: { error: unknown; busy: boolean; children: ReactNode; onSave: () => void; onEdit: () => void; onDiscard: () => void }): JSX.Element {
  const s = useStyles();
  return (
    <section className={s.card} aria-label="Not saved yet" style={{ margin: "8px 12px", display: "flex", flexDirection: "column", gap: 8, flexShrink: 0 }}>
      <ErrorBar error={props.error} title="Not saved" />
      <Text aria-live="polite">{props.children}</Text>
      <div className={s.row}>
        <Button appearance="primary" autoFocus disabledFocusable={props.busy} onClick={props.onSave}>{props.busy ? "Saving…" : "Save"}</Button>
        <Button disabledFocusable={props.busy} onClick={props.onEdit}>Edit</Button>
        <Button disabledFocusable={props.busy} onClick={props.onDiscard}>Discard</Button>
      </div>
    </section>
  );
}

export function CertificatePanel(props: { replace: string | null; onClose: () => void }): JSX.Element {
  const isInWorkspace = useService().parent !== undefined;
  const existing = useEntity<Certificate["properties"]>(props.replace ? pathOf(props.replace) : null);
  const [id, setId] = useState(props.replace ?? "");
  const [source, setSource] = useState<"custom" | "vault">("custom");
  const [file, setFile] = useState<File64 | null>(null);
  const [fileProblem, setFileProblem] = useState<string>();
  const [password, setPassword] = useState("");
  const [identifier, setIdentifier] = useState("");
  const [identity, setIdentity] = useState(SYSTEM);
  const [picking, setPicking] = useState(false);
  const [loaded, setLoaded] = useState(false);
  const [isStaged, setStaged] = useState(false);
  const doctor = useDoctor(source === "custom" ? file : null, password);
  const write = useWrite<Certificate>();
  const notify = useNotify();
  const again = useLookAgain();

  // Replace begins with what there is.
  useEffect(() => {
    const vault = existing.data?.value.properties.keyVault;
    if (!existing.data || loaded) return;
    setLoaded(true);
    if (vault) {
      setSource("vault");
      setIdentifier(vault.secretIdentifier ?? "");
      setIdentity(vault.identityClientId ?? SYSTEM);
    }
  }, [existing.data, loaded]);

  const parsed = parseIdentifier(identifier);
  const idProblem = id && !isId(id) ? "1 to 80 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit." : undefined;
  const isWhole = isId(id) && (source === "custom" ? Boolean(file) && !doctor.busy && Boolean(doctor.report) : Boolean(parsed));
  const save = (): void =>
    write.mutate({
      method: "PUT", path: pathOf(id),
      // A new one must be new; a replaced one must be the one that was looked at.
      etag: props.replace ? existing.data?.etag ?? null : null, isNew: props.replace === null,
      body: {
        properties: source === "custom" && file ? { data: file.data, password }
          : { keyVault: { secretIdentifier: identifier.trim(), ...(identity === SYSTEM ? {} : { identityClientId: identity }) } },
      },
    }, {
      onSuccess: ({ value }) => {
        notify("success", props.replace ? "Certificate replaced" : "Certificate added", `${id}: ${value.properties.subject}, thumbprint ${value.properties.thumbprint}. It is in use from the next connection on.`);
        props.onClose();
      },
    });
  // What waits for Save is lost with the page: the browser asks.
  useEffect(() => {
    if (!isStaged) return undefined;
    const ask = (event: BeforeUnloadEvent): void => event.preventDefault();
    window.addEventListener("beforeunload", ask);
    return () => window.removeEventListener("beforeunload", ask);
  }, [isStaged]);
  if (isStaged)
    return (
      <StagedBar error={write.error} busy={write.isPending} onSave={save} onEdit={() => { write.reset(); setStaged(false); }} onDiscard={props.onClose}>
        {id} is to be added: {source === "custom" ? doctor.report?.chain?.[0]?.subject ?? file?.name : identifier.trim()}. Nothing is stored before you save.
      </StagedBar>
    );
  const lookAgain = async (): Promise<void> => {
    await existing.refetch({ throwOnError: true });
    write.reset();
  };
  const conflict = write.error instanceof arm.ApiError && write.error.status === 412;
  return (
      <Panel open title={props.replace ? `Replace ${props.replace}` : "Add certificate"} onClose={props.onClose}
        footer={<>
          <Button appearance="primary" disabledFocusable={!isWhole || write.isPending || again.isBusy} onClick={() => { if (!isWhole) return; if (props.replace) save(); else setStaged(true); }}>{write.isPending ? "Saving…" : props.replace ? "Save" : "Add"}</Button>
          <Button onClick={props.onClose}>Cancel</Button>
        </>}>
        <SaveError error={write.error} conflict={conflict ? "Somebody else has changed this certificate meanwhile" : null} again={again} ways={{ "Look again": lookAgain }} />
        <Field label="Id" required validationMessage={idProblem}>
          <Input value={id} disabled={props.replace !== null} onChange={(_, data) => setId(data.value)} placeholder="orders-client" autoFocus={props.replace === null} />
        </Field>
        <Field label="Certificate" required
          {...(isInWorkspace ? { hint: "Key vault is not available in a workspace: the vault is read by the service's identity, which is not lent to workspaces. Upload the file here, or keep the certificate at the service." } : {})}>
          <RadioGroup layout="horizontal" value={source} onChange={(_, data) => setSource(data.value === "vault" ? "vault" : "custom")}>
            <Radio value="custom" label="Custom" />
            <Radio value="vault" label="Key vault" disabled={isInWorkspace} />
          </RadioGroup>
        </Field>
        {source === "custom" ? (
          <>
            <Field label="PFX certificate file" required validationMessage={fileProblem}>
              <FileDrop file={file} onFile={(next, problem) => { setFile(next); setFileProblem(problem); }} />
            </Field>
            <Field label="Password" hint="Empty, if the file has none.">
              <Input type="password" autoComplete="off" value={password} onChange={(_, data) => setPassword(data.value)} />
            </Field>
            <Doctor {...doctor} />
          </>
        ) : (
          <>
            <Field label="Secret identifier" required hint="https://NAME.vault.azure.net/secrets/CERTIFICATE, or choose it by Select."
              validationMessage={identifier && !parsed ? "This is no identifier of a secret or certificate of a key vault." : undefined}>
              <Input value={identifier} onChange={(_, data) => setIdentifier(data.value)} contentAfter={<Button size="small" icon={<KeyMultipleRegular />} appearance="transparent" onClick={() => setPicking(true)}>Select</Button>} />
            </Field>
            {parsed?.version ? <Hint intent="warning" title="This names one version.">It will not rotate: when the vault renews the certificate, this service goes on with version {parsed.version.slice(0, 8)}… until it expires. <Button size="small" onClick={() => setIdentifier(identifier.trim().replace(/\/[^/]+$/, ""))}>Follow new versions instead</Button></Hint> : null}
            <ClientIdentity value={identity} onChange={setIdentity} />
            {parsed ? <GrantAccess host={parsed.host} identity={identity} /> : null}
          </>
        )}
        <VaultPicker open={picking} onPick={(text) => { setIdentifier(text); setPicking(false); }} onClose={() => setPicking(false)} />
      </Panel>
  );
}
