// SPDX-License-Identifier: Apache-2.0
// Networking: from where the vault may be called.
import { Button, Checkbox, Field, Input, Radio, RadioGroup } from "@fluentui/react-components";
import { AddRegular, DeleteRegular } from "@fluentui/react-icons";
import { useState } from "react";
import { serverFacts } from "../../core/session";
import type { Vault } from "../../core/types";
import { useNotify } from "../../ui/notify";
import { ErrorBar, Hint, useStyles } from "../../ui/parts";
import { useVaultChange } from "./change";

/** An address or a range; whether it is a whole one, the server says. */
const isRange = (text: string): boolean => {
  const [address = "", bits = "", more] = text.split("/");
  if (more !== undefined || (text.includes("/") && !/^\d{1,3}$/.test(bits))) return false;
  if (address.includes(":")) return /^[0-9a-f:]{2,39}$/i.test(address) && Number(bits || 128) <= 128;
  return /^\d{1,3}(\.\d{1,3}){3}$/.test(address) && address.split(".").every((part) => Number(part) < 256) && Number(bits || 32) <= 32;
};

export function Networking(props: { vault: Vault }): JSX.Element {
  const s = useStyles();
  const acls = props.vault.properties.networkAcls;
  const change = useVaultChange(props.vault);
  const notify = useNotify();
  const [mode, setMode] = useState(props.vault.properties.publicNetworkAccess === "Disabled" ? "none" : acls?.defaultAction === "Deny" ? "selected" : "all");
  const [ranges, setRanges] = useState<string[]>((acls?.ipRules ?? []).map((rule) => rule.value));
  const [next, setNext] = useState("");
  const [trusted, setTrusted] = useState((acls?.bypass ?? "AzureServices") !== "None");
  const mine = serverFacts()?.clientAddress ?? "";
  const add = (): void => {
    if (isRange(next.trim()) && !ranges.includes(next.trim())) setRanges([...ranges, next.trim()]);
    setNext("");
  };
  const save = (): void =>
    change.mutate({
      method: "PATCH",
      body: {
        properties: {
          publicNetworkAccess: mode === "none" ? "Disabled" : "Enabled",
          networkAcls: {
            defaultAction: mode === "all" ? "Allow" : "Deny", bypass: trusted ? "AzureServices" : "None",
            ipRules: ranges.map((value) => ({ value })), virtualNetworkRules: acls?.virtualNetworkRules ?? [],
          },
        },
      },
    }, { onSuccess: () => notify("success", "Networking saved", "It holds from the next call on.") });
  return (
    <>
      <ErrorBar error={change.error} title="Not saved" />
      <Field label="Allow public access from">
        <RadioGroup value={mode} onChange={(_, data) => setMode(data.value)}>
          <Radio value="all" label="All networks" />
          <Radio value="selected" label="Specific virtual networks and IP addresses" />
          <Radio value="none" label="Disable public access" />
        </RadioGroup>
      </Field>
      {mode === "selected" ? (
        <section className={s.card} aria-label="Firewall">
          <h2 className={s.cardTitle}>Firewall</h2>
          <ul aria-label="Allowed addresses" style={{ listStyleType: "none", margin: 0, padding: 0 }}>
            {ranges.map((range) => (
              <li key={range} className={s.row}>
                <span className={s.mono}>{range}</span>
                <Button size="small" appearance="subtle" icon={<DeleteRegular />} aria-label={`Remove ${range}`} onClick={() => setRanges(ranges.filter((r) => r !== range))} />
              </li>
            ))}
          </ul>
          <div className={s.row}>
            <Field label="IP address or CIDR" validationMessage={next && !isRange(next.trim()) ? "An address like 203.0.113.7, or a range like 203.0.113.0/24." : undefined}>
              <Input value={next} onChange={(_, data) => setNext(data.value)} onKeyDown={(event) => { if (event.key === "Enter") add(); }} />
            </Field>
            <Button icon={<AddRegular />} disabledFocusable={!isRange(next.trim())} onClick={add}>Add</Button>
            {isRange(mine) && !ranges.includes(mine) ? <Button onClick={() => setRanges([...ranges, mine])}>Add your client IP address ({mine})</Button> : null}
          </div>
          {(acls?.virtualNetworkRules ?? []).length ? (
            <>
              <h3>Subnets</h3>
              <ul aria-label="Allowed subnets">{acls?.virtualNetworkRules?.map((rule) => <li key={rule.id} className={s.mono}>{rule.id}</li>)}</ul>
            </>
          ) : null}
          {!trusted && ranges.length === 0 ? <Hint intent="warning">Nobody could call this vault then, this portal neither.</Hint> : null}
        </section>
      ) : null}
      {mode !== "all" ? <Checkbox checked={trusted} onChange={(_, data) => setTrusted(data.checked === true)} label="Allow trusted services to bypass this firewall (this gateway's system-assigned identity)" /> : null}
      <div><Button appearance="primary" disabledFocusable={change.isPending} onClick={save}>{change.isPending ? "Saving…" : "Save"}</Button></div>
    </>
  );
}
