// SPDX-License-Identifier: Apache-2.0
// A named value is made or changed: plain, secret, or read from a key vault.
import { Button, Field, Input, Radio, RadioGroup, Textarea } from "@fluentui/react-components";
import { KeyMultipleRegular } from "@fluentui/react-icons";
import { useEffect, useState } from "react";
import * as arm from "../../core/arm";
import { isId } from "../../core/format";
import { useEntity, useWrite } from "../../core/hooks";
import { useService } from "../../core/service";
import type { KeyVaultContract } from "../../core/types";
import { parseIdentifier } from "../../core/vault";
import { SaveError, useLookAgain } from "../../ui/conflict";
import { useNotify } from "../../ui/notify";
import { ErrorBar, Hint, Loading, Panel } from "../../ui/parts";
import { ClientIdentity, SYSTEM } from "../certificate/Panel";
import { GrantAccess, VaultPicker } from "../certificate/VaultPicker";

export type NamedValue = arm.Entity<{ displayName: string; value?: string; secret?: boolean; tags?: string[]; keyVault?: KeyVaultContract }>;
export const valuePath = (name: string): string => `/namedValues/${encodeURIComponent(name)}`;

type Source = "plain" | "secret" | "vault";
const isDisplayName = (text: string): boolean => /^[A-Za-z0-9._-]{1,256}$/.test(text);

/** `edit`: the name of the one that is changed; null: a new one is made. */
export function NamedValuePanel(props: { edit: string | null; onClose: () => void }): JSX.Element {
  const service = useService();
  const notify = useNotify();
  const existing = useEntity<NamedValue["properties"]>(props.edit === null ? null : valuePath(props.edit));
  const write = useWrite<NamedValue>();
  const [id, setId] = useState(props.edit ?? "");
  const [displayName, setDisplayName] = useState<string | null>(null);
  const [source, setSource] = useState<Source>("plain");
  const [value, setValue] = useState("");
  const [tags, setTags] = useState("");
  const [identifier, setIdentifier] = useState("");
  const [identity, setIdentity] = useState(SYSTEM);
  const [picking, setPicking] = useState(false);
  const [filled, setFilled] = useState(props.edit === null);
  const isInWorkspace = service.parent !== undefined;
  const was = existing.data?.value.properties;
  const wasSource: Source | null = !was ? null : was.keyVault ? "vault" : was.secret ? "secret" : "plain";
  useEffect(() => {
    if (filled || !was) return;
    setDisplayName(was.displayName);
    setSource(was.keyVault ? "vault" : was.secret ? "secret" : "plain");
    setValue(was.value ?? "");
    setTags((was.tags ?? []).join(", "));
    setIdentifier(was.keyVault?.secretIdentifier ?? "");
    setIdentity(was.keyVault?.identityClientId ?? SYSTEM);
    setFilled(true);
  }, [was, filled]);
  const name = displayName ?? id;
  const parsed = parseIdentifier(identifier);
  const isVaultSecret = parsed?.kind === "secrets";
  // A secret that is there already stays when nothing is typed.
  const keeps = source === "secret" && wasSource === "secret" && value === "";
  const isWhole = isId(id) && isDisplayName(name) && (source === "vault" ? isVaultSecret : value.length > 0 || keeps) && value.length <= 4096;
  const list = tags.split(",").map((tag) => tag.trim()).filter(Boolean);
  const keyVault = { secretIdentifier: identifier.trim(), identityClientId: identity === SYSTEM ? null : identity };
  const sameVault = wasSource === "vault" && was?.keyVault?.secretIdentifier === keyVault.secretIdentifier && (was.keyVault.identityClientId ?? SYSTEM) === identity;
  const properties = {
    displayName: name, tags: list,
    ...(source === "vault" ? (sameVault ? {} : { keyVault }) : { secret: source === "secret", ...(keeps ? {} : { value }) }),
  };
  const save = (): void =>
    write.mutate({
      method: props.edit === null ? "PUT" : "PATCH", path: valuePath(id), isNew: props.edit === null,
      etag: props.edit === null ? null : existing.data?.etag ?? null, body: { properties },
    }, {
      onSuccess: () => {
        notify("success", props.edit === null ? "Named value added" : "Named value saved", `${id}: all that names it has the new value.`);
        props.onClose();
      },
    });
  const again = useLookAgain();
  const lookAgain = async (): Promise<void> => {
    await existing.refetch({ throwOnError: true });
    write.reset();
    setFilled(false); // with theirs
  };
  const conflict = write.error instanceof arm.ApiError && write.error.status === 412;
  return (
    <Panel open title={props.edit === null ? "Add named value" : `Edit ${props.edit}`} onClose={props.onClose}
      footer={<>
        <Button appearance="primary" disabledFocusable={!isWhole || write.isPending || again.isBusy} onClick={() => { if (isWhole && !write.isPending) save(); }}>{write.isPending ? "Saving…" : props.edit === null ? "Add" : "Save"}</Button>
        <Button onClick={props.onClose}>Cancel</Button>
      </>}>
      <SaveError error={write.error} conflict={conflict ? "Somebody else has changed it meanwhile" : null} again={again} ways={{ "Look again": lookAgain }} />
      {existing.error ? <ErrorBar error={existing.error} title="It cannot be shown" /> : null}
      {!filled ? <Loading /> : <>
        {props.edit === null ? (
          <Field label="Name" required validationMessage={id && !isId(id) ? "1 to 80 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit." : undefined}>
            <Input value={id} autoFocus placeholder="partner-key" onChange={(_, data) => setId(data.value)} />
          </Field>
        ) : null}
        <Field label="Display name" required hint={name && isDisplayName(name) ? `Policies and backends name it as {{${name}}}.` : undefined}
          validationMessage={name && !isDisplayName(name) ? "Letters, digits, '.', '-' and '_'." : undefined}>
          <Input value={name} onChange={(_, data) => setDisplayName(data.value)} />
        </Field>
        <Field label="Type" required {...(isInWorkspace ? { hint: "Key vault is not available in a workspace: the vault is read by the service's identity, which is not lent to workspaces." } : {})}>
          <RadioGroup layout="horizontal" value={source} onChange={(_, data) => setSource(data.value as Source)}>
            <Radio value="plain" label="Plain" />
            <Radio value="secret" label="Secret" />
            <Radio value="vault" label="Key vault" disabled={isInWorkspace} />
          </RadioGroup>
        </Field>
        {source === "vault" ? (
          <>
            <Field label="Secret identifier" required hint="https://NAME.vault.azure.net/secrets/SECRET, or choose it by Select."
              validationMessage={identifier && !isVaultSecret ? "This is no identifier of a secret of a key vault." : undefined}>
              <Input value={identifier} onChange={(_, data) => setIdentifier(data.value)} contentAfter={<Button size="small" icon={<KeyMultipleRegular />} appearance="transparent" onClick={() => setPicking(true)}>Select</Button>} />
            </Field>
            {parsed?.version ? <Hint intent="warning" title="This names one version.">It will not follow new ones.</Hint> : null}
            <ClientIdentity value={identity} onChange={setIdentity} />
            {parsed ? <GrantAccess host={parsed.host} identity={identity} /> : null}
            {was?.keyVault?.lastStatus && was.keyVault.lastStatus.code !== "Success" ? <Hint intent="warning" title={`The last read failed: ${was.keyVault.lastStatus.code ?? ""}`}>{was.keyVault.lastStatus.message}</Hint> : null}
          </>
        ) : (
          <Field label="Value" required={!keeps} hint={wasSource === "secret" && source === "secret" ? "Empty: it stays as it is." : undefined}
            validationMessage={value.length > 4096 ? "At most 4096 characters." : undefined}>
            {source === "secret" ? <Input type="password" autoComplete="off" value={value} onChange={(_, data) => setValue(data.value)} />
              : <Textarea value={value} rows={4} onChange={(_, data) => setValue(data.value)} />}
          </Field>
        )}
        <Field label="Tags" hint="By commas."><Input value={tags} onChange={(_, data) => setTags(data.value)} /></Field>
      </>}
      <VaultPicker kind="secret" open={picking} onPick={(text) => { setIdentifier(text); setPicking(false); }} onClose={() => setPicking(false)} />
    </Panel>
  );
}
