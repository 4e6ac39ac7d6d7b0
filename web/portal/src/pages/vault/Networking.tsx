// SPDX-License-Identifier: Apache-2.0
// Networking: from where the vault may be called.
import { Button, Checkbox, Dropdown, Field, Input, Option, Radio, RadioGroup, Text } from "@fluentui/react-components";
import { AddRegular, DeleteRegular } from "@fluentui/react-icons";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import * as arm from "../../core/arm";
import { useWhyNot } from "../../core/permissions";
import { useService } from "../../core/service";
import { serverFacts } from "../../core/session";
import type { Vault } from "../../core/types";
import { useNotify } from "../../ui/notify";
import { ActButton, ErrorBar, Hint, useStyles } from "../../ui/parts";
import { useVaultChange } from "./change";

/** An address or a range; whether it is a whole one, the server says. */
const isRange = (text: string): boolean => {
  const [address = "", bits = "", more] = text.split("/");
  if (more !== undefined || (text.includes("/") && !/^\d{1,3}$/.test(bits))) return false;
  if (address.includes(":")) return /^[0-9a-f:]{2,39}$/i.test(address) && Number(bits || 128) <= 128;
  return /^\d{1,3}(\.\d{1,3}){3}$/.test(address) && address.split(".").every((part) => Number(part) < 256) && Number(bits || 32) <= 32;
};

type Network = arm.Entity<{ subnets?: arm.Entity<{ addressPrefix?: string; addressPrefixes?: string[] }>[] }>;

/** The subnets that may call: those of the subscription's virtual networks, and what is named already. */
function Subnets(props: { ids: string[]; onChange: (ids: string[]) => void }): JSX.Element {
  const s = useStyles();
  const service = useService();
  const networks = useQuery({
    queryKey: ["networks", service.subscription],
    queryFn: async ({ signal }) => (await arm.call<{ value: Network[] }>(`/subscriptions/${service.subscription}/providers/Microsoft.Network/virtualNetworks`, { version: "2024-05-01", signal })).value.value,
  });
  const known = (networks.data ?? []).flatMap((network) => (network.properties.subnets ?? []).map((subnet) => ({
    id: subnet.id, text: `${network.name}/${subnet.name}`, prefixes: (subnet.properties.addressPrefixes ?? [subnet.properties.addressPrefix ?? ""]).join(", "),
  })));
  const nameOf = (id: string): string => known.find((k) => k.id.toLowerCase() === id.toLowerCase())?.text ?? id;
  const free = known.filter((k) => !props.ids.some((id) => id.toLowerCase() === k.id.toLowerCase()));
  return (
    <>
      <h3>Subnets</h3>
      <ErrorBar error={networks.error} title="The virtual networks cannot be listed" onRetry={() => void networks.refetch()} />
      <ul aria-label="Allowed subnets" style={{ listStyleType: "none", margin: 0, padding: 0 }}>
        {props.ids.map((id) => (
          <li key={id} className={s.row}>
            <span className={s.mono}>{nameOf(id)}</span>
            <Button size="small" appearance="subtle" icon={<DeleteRegular />} aria-label={`Remove ${nameOf(id)}`} onClick={() => props.onChange(props.ids.filter((other) => other !== id))} />
          </li>
        ))}
      </ul>
      <Field label="Add a subnet" hint={networks.data && known.length === 0 ? "This subscription has no virtual networks." : undefined}>
        <Dropdown placeholder="Select a subnet" value="" selectedOptions={[]} disabled={free.length === 0} onOptionSelect={(_, d) => { if (d.optionValue) props.onChange([...props.ids, d.optionValue]); }}>
          {free.map((k) => <Option key={k.id} value={k.id} text={k.text}>{`${k.text} (${k.prefixes})`}</Option>)}
        </Dropdown>
      </Field>
    </>
  );
}

export function Networking(props: { vault: Vault }): JSX.Element {
  const s = useStyles();
  const acls = props.vault.properties.networkAcls;
  const change = useVaultChange(props.vault);
  const notify = useNotify();
  const [mode, setMode] = useState(props.vault.properties.publicNetworkAccess === "Disabled" ? "none" : acls?.defaultAction === "Deny" ? "selected" : "all");
  const [ranges, setRanges] = useState<string[]>((acls?.ipRules ?? []).map((rule) => rule.value));
  const [next, setNext] = useState("");
  const [trusted, setTrusted] = useState((acls?.bypass ?? "AzureServices") !== "None");
  const [subnets, setSubnets] = useState<string[]>((acls?.virtualNetworkRules ?? []).map((rule) => rule.id));
  const why = useWhyNot(props.vault.id)("Microsoft.KeyVault/vaults/write");
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
            ipRules: ranges.map((value) => ({ value })), virtualNetworkRules: subnets.map((id) => ({ id })),
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
          {ranges.length === 0 ? <Text size={200}>No address is allowed yet. Add one, or a subnet, below.</Text> : null}
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
          <Subnets ids={subnets} onChange={setSubnets} />
          {!trusted && ranges.length === 0 && subnets.length === 0 ? <Hint intent="warning">Nobody could call this vault then, this portal neither.</Hint> : null}
        </section>
      ) : null}
      {mode !== "all" ? <Checkbox checked={trusted} onChange={(_, data) => setTrusted(data.checked === true)} label="Allow trusted services to bypass this firewall (this gateway's system-assigned identity)" /> : null}
      <div><ActButton appearance="primary" why={why} disabledFocusable={change.isPending} onClick={() => { if (!why) save(); }}>{change.isPending ? "Saving…" : "Save"}</ActButton></div>
    </>
  );
}
