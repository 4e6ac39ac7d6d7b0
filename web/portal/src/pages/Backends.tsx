// SPDX-License-Identifier: Apache-2.0
// APIs > Backends
import { Badge, Input } from "@fluentui/react-components";
import { AddRegular, ArrowClockwiseRegular, SearchRegular, ServerRegular } from "@fluentui/react-icons";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate, useSearchParams } from "react-router-dom";
import { nameOf } from "../core/arm";
import { containsAny } from "../core/format";
import { useSettled } from "../core/hooks";
import { useWhyNot } from "../core/permissions";
import { useService } from "../core/service";
import type { Backend } from "../core/types";
import { DataTable } from "../ui/DataTable";
import { ActButton, Blade, Command, Empty, PageLink, useStyles } from "../ui/parts";
import { BackendPanel } from "./backend/Panel";

export function Component(): JSX.Element {
  const s = useStyles();
  const service = useService();
  const client = useQueryClient();
  const navigate = useNavigate();
  const whyNot = useWhyNot();
  const [query, setQuery] = useSearchParams();
  const [text, setText] = useState("");
  const filter = containsAny(useSettled(text), ["name", "title", "url"]);
  const noAdd = whyNot("backends/write");
  const add = (): void => setQuery({ add: "" });
  const page = (b: Backend): string => `${service.base}/backends/${encodeURIComponent(b.name)}`;
  return (
    <Blade title="Backends" subtitle={`${service.name} | ${service.kind}`} icon={<ServerRegular />} flush commands={<>
      <Command icon={<AddRegular />} label="Create new backend" onClick={add} why={noAdd} />
      <Command icon={<ArrowClockwiseRegular />} label="Refresh" onClick={() => void client.invalidateQueries({ queryKey: [service.id] })} />
    </>}>
      <div className={s.row} style={{ padding: "12px 20px" }}>
        <Input contentBefore={<SearchRegular />} placeholder="Filter by name or URL" aria-label="Filter the backends" value={text} onChange={(_, data) => setText(data.value)} style={{ minWidth: 0, width: 320 }} />
      </div>
      <div style={{ display: "flex", flexDirection: "column", flexGrow: 1, minHeight: 0, padding: "0 12px" }}>
        <DataTable<Backend> label="Backends" path="/backends" filter={filter} defaultSort="name" columns={[
          { key: "name", title: "Name", grow: 3, min: 110, sort: "name", render: (b) => <PageLink to={page(b)}>{b.name}</PageLink> },
          { key: "url", title: "Runtime URL", grow: 5, min: 140, sort: "url", render: (b) => <span className={s.clip} title={b.properties.url}>{b.properties.type === "Pool" ? `Pool of ${b.properties.pool?.services.length ?? 0}` : b.properties.url}</span> },
          { key: "type", title: "Type", grow: 1, from: "medium", render: (b) => b.properties.type ?? "Single" },
          { key: "certificates", title: "Client certificate", grow: 3, from: "medium", render: (b) => {
            const ids = b.properties.credentials?.certificateIds ?? [];
            if (b.properties.type === "Pool") return "of its members";
            return ids.length ? <>{ids.map((id) => <PageLink key={id} to={`${service.base}/certificates/${encodeURIComponent(nameOf(id))}`}>{nameOf(id)}</PageLink>)}</> : "none";
          } },
          { key: "checks", title: "Checks", grow: 2, min: 130, from: "wide", render: (b) => {
            if (b.properties.type === "Pool") return "of its members";
            const off = [b.properties.tls?.validateCertificateChain === false ? "chain" : "", b.properties.tls?.validateCertificateName === false ? "name" : ""].filter(Boolean);
            return off.length ? <Badge appearance="tint" color="warning">{off.join(" and ")} not checked</Badge> : <Badge appearance="tint" color="success">chain and name</Badge>;
          } },
        ]}
        empty={<Empty icon={<ServerRegular />} title="No backends yet" action={<ActButton appearance="primary" icon={<AddRegular />} why={noAdd} onClick={add}>Create new backend</ActButton>}>
          A backend says where requests go and how: address, credentials, TLS checks, circuit breaker, or a pool of several.
        </Empty>}
        nothing={<Empty icon={<SearchRegular />} title="No backend matches">Change the filter to see others.</Empty>} />
      </div>
      {query.get("add") !== null ? <BackendPanel existing={null} onClose={(name) => { if (name) navigate(`${service.base}/backends/${encodeURIComponent(name)}`); else setQuery({}); }} /> : null}
    </Blade>
  );
}
