// SPDX-License-Identifier: Apache-2.0
// Security > Certificates
import { Dropdown, Input, mergeClasses, Option, Text } from "@fluentui/react-components";
import { AddRegular, ArrowClockwiseRegular, CertificateRegular, SearchRegular } from "@fluentui/react-icons";
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { useSearchParams } from "react-router-dom";
import { containsAny, dateText } from "../core/format";
import { useSettled } from "../core/hooks";
import { useWhyNot } from "../core/permissions";
import { useService } from "../core/service";
import type { Certificate } from "../core/types";
import { DataTable } from "../ui/DataTable";
import { ActButton, Blade, Command, Copy, Empty, ExpiryBadge, PageLink, useStyles } from "../ui/parts";
import { CertificatePanel } from "./certificate/Panel";
import { RowMenu, StatusBadge, useUsage } from "./certificate/parts";

/** Asked only once the row has stayed for a moment, so that scrolling by asks nothing. */
function UsedBy(props: { certificate: Certificate }): JSX.Element {
  const service = useService();
  const [ready, setReady] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setReady(true), 250);
    return () => clearTimeout(timer);
  }, []);
  const usage = useUsage(props.certificate.name, ready);
  if (!usage.data) return <span aria-hidden>…</span>;
  if (usage.data.count === 0) return <Text size={200}>Not used</Text>;
  return (
    <PageLink to={`${service.base}/certificates/${encodeURIComponent(props.certificate.name)}?tab=usage`} label={`${props.certificate.name} is used by ${usage.data.count}`}>
      {usage.data.count}{usage.data.truncated ? "+" : ""}
    </PageLink>
  );
}

const states: Record<string, string> = { "": "All", soon: "Expire within 30 days", expired: "Expired" };

function filterOf(text: string, state: string): string | undefined {
  const words = containsAny(text, ["name", "subject", "thumbprint"]);
  const now = new Date().toISOString();
  const soon = new Date(Date.now() + 30 * 86400000).toISOString();
  const dates = state === "soon" ? `expirationDate ge datetime'${now}' and expirationDate le datetime'${soon}'`
    : state === "expired" ? `expirationDate lt datetime'${now}'` : undefined;
  return words && dates ? `(${words}) and ${dates}` : words ?? dates;
}

export function Component(): JSX.Element {
  const s = useStyles();
  const service = useService();
  const client = useQueryClient();
  const whyNot = useWhyNot();
  const [query, setQuery] = useSearchParams();
  const [text, setText] = useState(query.get("filter") ?? "");
  const wanted = useSettled(text);
  const state = query.get("expiry") ?? "";
  const panel = query.get("add") !== null ? "add" : query.get("replace");
  const noAdd = whyNot("certificates/write");
  const open = (change: Record<string, string | null>): void =>
    setQuery((old) => {
      const next = new URLSearchParams(old);
      for (const [name, value] of Object.entries(change)) if (value === null) next.delete(name); else next.set(name, value);
      return next;
    });
  const add = (): void => open({ add: "" });
  return (
    <Blade title="Certificates" subtitle={`${service.name} | ${service.kind}`} icon={<CertificateRegular />} flush
      commands={<>
        <Command icon={<AddRegular />} label="Add" onClick={add} why={noAdd} />
        <Command icon={<ArrowClockwiseRegular />} label="Refresh" onClick={() => void client.invalidateQueries({ queryKey: [service.id] })} />
      </>}>
      <div className={s.row} style={{ padding: "12px 20px" }}>
        <Input contentBefore={<SearchRegular />} placeholder="Filter by id, subject or thumbprint" aria-label="Filter the certificates" value={text}
          onChange={(_, data) => setText(data.value)} style={{ minWidth: 0, width: 320 }} />
        <Dropdown aria-label="Expiry" value={states[state] ?? "All"} selectedOptions={[state]} onOptionSelect={(_, data) => open({ expiry: data.optionValue || null })}>
          {Object.entries(states).map(([key, name]) => <Option key={key} value={key}>{name}</Option>)}
        </Dropdown>
      </div>
      <div style={{ display: "flex", flexDirection: "column", flexGrow: 1, minHeight: 0, padding: "0 12px" }}>
        <DataTable<Certificate>
          label="Certificates" path="/certificates" filter={filterOf(wanted, state)} defaultSort="name"
          columns={[
            { key: "id", title: "Id", grow: 3, min: 110, sort: "name", render: (c) => <PageLink to={`${service.base}/certificates/${encodeURIComponent(c.name)}`}>{c.name}</PageLink> },
            { key: "subject", title: "Subject", grow: 4, min: 140, sort: "subject", from: "medium", render: (c) => <span className={s.clip} title={c.properties.subject}>{c.properties.subject}</span> },
            { key: "thumbprint", title: "Thumbprint", grow: 3, min: 150, sort: "thumbprint", from: "wide", render: (c) => <Copy text={c.properties.thumbprint} label={`thumbprint of ${c.name}`} clip /> },
            { key: "source", title: "Source", grow: 1, min: 80, from: "wide", render: (c) => (c.properties.keyVault ? "Key vault" : "Custom") },
            { key: "expiry", title: "Expiration", grow: 3, min: 200, compact: true, sort: "expirationDate", render: (c) => <><span className={mergeClasses(s.clip, "roomy")}>{dateText(c.properties.expirationDate)}</span><ExpiryBadge date={c.properties.expirationDate} /></> },
            { key: "status", title: "Status", grow: 2, min: 90, from: "medium", render: (c) => <StatusBadge certificate={c} /> },
            { key: "used", title: "Used by", grow: 1, min: 70, from: "wide", render: (c) => <UsedBy certificate={c} /> },
            { key: "more", title: "", grow: 0, min: 48, render: (c) => <RowMenu certificate={c} onReplace={() => open({ replace: c.name })} /> },
          ]}
          empty={
            <Empty icon={<CertificateRegular />} title="No certificates yet" action={<ActButton appearance="primary" icon={<AddRegular />} onClick={add} why={noAdd}>Add certificate</ActButton>}>
              Add the certificate that your backend wants to see: a .pfx file, or a reference to one in a key vault that is followed when it is renewed.
            </Empty>
          }
          nothing={<Empty icon={<SearchRegular />} title="No certificate matches">Change the filter to see others.</Empty>}
        />
      </div>
      {panel ? <CertificatePanel replace={panel === "add" ? null : panel} onClose={() => open({ add: null, replace: null })} /> : null}
    </Blade>
  );
}
