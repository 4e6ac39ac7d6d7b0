// SPDX-License-Identifier: Apache-2.0
// Backend > Gateway credentials: the pencil.
import { Button, Dropdown, Field, Input, Option, Radio, RadioGroup } from "@fluentui/react-components";
import { useState } from "react";
import * as arm from "../../core/arm";
import { useRead, useWrite } from "../../core/hooks";
import { useService, useServiceEntity } from "../../core/service";
import type { Policy } from "../../core/types";
import { CertificatePicker } from "../../ui/CertificatePicker";
import { SaveError, useLookAgain } from "../../ui/conflict";
import { useNotify } from "../../ui/notify";
import { Hint, PageLink, Panel } from "../../ui/parts";
import { credentialNames, type Credentials, parse, withCredentials } from "./policy";

export function CredentialsPanel(props: { scope: string; path: string; xml: string; etag: string | null; current: Credentials; /** reads the policy again */ onAgain: () => Promise<unknown>; onClose: () => void }): JSX.Element {
  const service = useService();
  const entity = useServiceEntity();
  const any = useRead(["certificates", "any"], (signal) => arm.get<arm.Page<unknown>>(`${service.id}/certificates`, { $top: 1 }, signal));
  const [kind, setKind] = useState(props.current.kind);
  const [certificates, setCertificates] = useState(props.current.kind === "certificate" ? props.current.ids : []);
  const [username, setUsername] = useState(props.current.kind === "basic" ? props.current.username : "");
  const [password, setPassword] = useState(props.current.kind === "basic" ? props.current.password : "");
  const [resource, setResource] = useState(props.current.kind === "identity" ? props.current.resource : "");
  const [clientId, setClientId] = useState(props.current.kind === "identity" ? props.current.clientId : "");
  const [failure, setFailure] = useState<unknown>();
  const write = useWrite<Policy>();
  const notify = useNotify();
  const document = parse(props.xml);
  const several = document ? credentialNames(document) : [];
  const users = Object.entries(entity.data?.value.identity?.userAssignedIdentities ?? {});
  const chosen: Credentials = kind === "certificate" ? { kind, ids: certificates, thumbprint: "" }
    : kind === "basic" ? { kind, username, password } : kind === "identity" ? { kind, resource, clientId } : { kind: "none" };
  const isWhole = kind === "none" || (kind === "certificate" ? certificates.length > 0 : kind === "basic" ? Boolean(username && password) : Boolean(resource));
  const again = useLookAgain();
  const lookAgain = async (): Promise<void> => {
    await props.onAgain();
    write.reset();
  };
  const conflict = write.error instanceof arm.ApiError && write.error.status === 412;
  const save = (): void => {
    setFailure(undefined);
    try {
      write.mutate({ method: "PUT", path: props.path, etag: props.etag, body: { properties: { format: "xml", value: withCredentials(props.xml, chosen) } } }, {
        onSuccess: () => {
          notify("success", "Gateway credentials saved", `${props.scope}: effective from the next request.`);
          props.onClose();
        },
      });
    } catch (error) {
      setFailure(error);
    }
  };
  return (
    <Panel open title="Gateway credentials" onClose={props.onClose} footer={<>
      <Button appearance="primary" disabledFocusable={!isWhole || write.isPending || again.isBusy} onClick={() => { if (isWhole) save(); }}>{write.isPending ? "Saving…" : "Save"}</Button>
      <Button onClick={props.onClose}>Cancel</Button>
    </>}>
      <SaveError error={write.error ?? failure} conflict={conflict ? "Somebody else has changed this policy meanwhile" : null} again={again} ways={{ "Look again": lookAgain }} />
      <Field label="Credentials" hint={`How the gateway proves itself to the backend of ${props.scope}.`}>
        <RadioGroup value={kind} onChange={(_, d) => setKind(d.value as Credentials["kind"])}>
          <Radio value="none" label="None" />
          <Radio value="basic" label="Basic" />
          <Radio value="certificate" label="Client cert" />
          <Radio value="identity" label="Managed identity" disabled={service.parent !== undefined} />
        </RadioGroup>
      </Field>
      {several.length > 1 ? <Hint intent="warning">This policy has {several.length} of them: {several.join(", ")}. Saving leaves the one that is chosen here; to keep several, use the policy code.</Hint> : null}
      {kind === "certificate" ? (
        <>
          <Field label="Client certificate" required hint={any.data?.count === 0 ? <>There are none yet. <PageLink inline to={`${service.base}/certificates?add=`}>Add one</PageLink> first.</> : "Of several, the backend's request decides which is shown."}>
            <CertificatePicker multiple placeholder="Select a certificate" value={certificates} onChange={setCertificates} />
          </Field>
          {props.current.kind === "certificate" && props.current.ids.length === 0 && certificates.length === 0 ? (
            <Hint intent="warning">{props.current.thumbprint ? `Now named by thumbprint ${props.current.thumbprint}, which does not follow a rotation.` : "Now the certificate is in the document itself, and does not follow a rotation."} Choose it here, and it is written by its id.</Hint>
          ) : null}
        </>
      ) : null}
      {kind === "basic" ? (
        <>
          <Field label="User name" required><Input value={username} onChange={(_, d) => setUsername(d.value)} /></Field>
          <Field label="Password" required hint="It becomes part of the policy: sealed at rest, readable for who may read the policy."><Input type="password" autoComplete="off" value={password} onChange={(_, d) => setPassword(d.value)} /></Field>
        </>
      ) : null}
      {kind === "identity" ? (
        <>
          <Field label="Resource" required hint="Audience of the token."><Input value={resource} placeholder="https://vault.azure.net" onChange={(_, d) => setResource(d.value)} /></Field>
          {!clientId && entity.data && !/SystemAssigned/.test(entity.data.value.identity?.type ?? "") ? <Hint intent="warning">The system-assigned identity of the service is off: requests will fail until it is <PageLink inline to={`${service.base}/managed-identities`}>switched on</PageLink>.</Hint> : null}
          <Field label="Client identity">
            <Dropdown value={clientId ? arm.nameOf(users.find(([, u]) => u.clientId === clientId)?.[0] ?? clientId) : "System-assigned identity"} selectedOptions={[clientId]} onOptionSelect={(_, d) => setClientId(d.optionValue ?? "")}>
              <Option value="" text="System-assigned identity">System-assigned identity</Option>
              {users.map(([id, u]) => <Option key={id} value={u.clientId ?? ""} text={arm.nameOf(id)}>{arm.nameOf(id)}</Option>)}
            </Dropdown>
          </Field>
        </>
      ) : null}
    </Panel>
  );
}
