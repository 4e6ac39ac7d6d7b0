// SPDX-License-Identifier: Apache-2.0
// Overview: essentials, health, requests, what expires, what rotated.
import { Badge, makeStyles, Text, tokens } from "@fluentui/react-components";
import { HomeRegular } from "@fluentui/react-icons";
import { useQuery } from "@tanstack/react-query";
import * as arm from "../core/arm";
import { dateText, dateTimeText, daysLeft } from "../core/format";
import { rates, useMetrics } from "../core/metrics";
import { useRead } from "../core/hooks";
import { useService, useServiceEntity } from "../core/service";
import { serverFacts } from "../core/session";
import type { Certificate } from "../core/types";
import { Blade, Card, Copy, ErrorBar, ExpiryBadge, Facts, Loading, PageLink, useStyles } from "../ui/parts";

const useOverview = makeStyles({
  grid: { display: "grid", gridTemplateColumns: "repeat(auto-fit, minmax(300px, 1fr))", gap: "16px" },
  number: { fontSize: tokens.fontSizeHero700, lineHeight: tokens.lineHeightHero700, fontWeight: tokens.fontWeightSemibold },
  spark: { width: "100%", height: "56px", display: "block" },
  line: { fill: "none", stroke: tokens.colorBrandStroke1, strokeWidth: 2, vectorEffect: "non-scaling-stroke" },
  bad: { fill: "none", stroke: tokens.colorPaletteRedBorder2, strokeWidth: 2, vectorEffect: "non-scaling-stroke" },
  months: { display: "grid", gridTemplateColumns: "repeat(auto-fit, minmax(72px, 1fr))", gap: "6px" },
  month: { border: `1px solid ${tokens.colorNeutralStroke2}`, borderRadius: tokens.borderRadiusMedium, padding: "6px", textAlign: "center" },
  hot: { backgroundColor: tokens.colorPaletteYellowBackground1 },
  list: { margin: 0, padding: 0, listStyleType: "none", display: "flex", flexDirection: "column", gap: "6px" },
});

function Spark(props: { values: number[]; label: string; bad?: boolean }): JSX.Element {
  const o = useOverview();
  const top = Math.max(1, ...props.values);
  const [only] = props.values;
  const values = props.values.length === 1 && only !== undefined ? [only, only] : props.values; // one makes no line yet
  const points = values.map((v, i) => `${(i / Math.max(1, values.length - 1)) * 100},${38 - (v / top) * 36}`).join(" ");
  return (
    <svg className={o.spark} viewBox="0 0 100 40" preserveAspectRatio="none" role="img" aria-label={props.label}>
      <polyline className={props.bad ? o.bad : o.line} points={points || "0,38 100,38"} />
    </svg>
  );
}

function Health(): JSX.Element {
  const s = useStyles();
  const { now, error } = useMetrics();
  const ready = useQuery({ queryKey: ["readyz"], queryFn: async () => { const a = await fetch("/readyz", { cache: "no-store" }); return { ok: a.ok, text: (await a.text()).trim() }; }, refetchInterval: 5000 });
  const up = now?.postern_gateway_up === 1;
  const tripped = now?.postern_backends_tripped ?? 0;
  const mismatch = now?.postern_identity_mismatch_total ?? 0;
  return (
    <Card title="Health">
      {error ? <ErrorBar error={error} /> : null}
      {ready.data && !ready.data.ok ? <ErrorBar error={new Error(ready.data.text)} /> : null}
      <Facts items={[
        ["Management", <Badge key="m" appearance="tint" color={ready.data?.ok ? "success" : "danger"}>{ready.data ? ready.data.ok ? "ready" : "not ready" : "unknown"}</Badge>],
        ["Gateway", <Badge key="g" appearance="tint" color={up ? "success" : "danger"}>{up ? "up" : "does not answer"}</Badge>],
        ["Open circuit breakers", <Badge key="b" appearance="tint" color={tripped ? "warning" : "success"}>{String(tripped)}</Badge>],
        ["Identity mismatches", <Badge key="i" appearance="tint" color={mismatch ? "danger" : "success"}>{String(mismatch)}</Badge>],
        ["Connections", now ? `${now.postern_client_connections ?? 0} of clients, ${now.postern_backend_connections ?? 0} to backends` : undefined],
      ]} />
      <Text size={200} className={s.subtitle}>A mismatch would be a request on another identity's connection; it is never sent, and stays 0.</Text>
    </Card>
  );
}

function Requests(): JSX.Element {
  const o = useOverview();
  const { now, samples } = useMetrics();
  const all = rates(samples, "postern_requests_total");
  const failed = rates(samples, "postern_requests_failed_total");
  return (
    <>
      <Card title="Requests">
        <div className={o.number}>{(all[all.length - 1] ?? 0).toFixed(1)} <Text size={300}>per second</Text></div>
        <Spark values={all} label="Requests per second since this page was opened" />
        <Text size={200}>{(now?.postern_requests_total ?? 0).toLocaleString()} since the gateway was started</Text>
      </Card>
      <Card title="Errors">
        <div className={o.number}>{(failed[failed.length - 1] ?? 0).toFixed(1)} <Text size={300}>per second</Text></div>
        <Spark values={failed} bad label="Failed requests per second since this page was opened" />
        <Text size={200}>{(now?.postern_requests_failed_total ?? 0).toLocaleString()} failed, {(now?.postern_backend_failed_total ?? 0).toLocaleString()} connections to backends failed</Text>
      </Card>
    </>
  );
}

function Expiring(): JSX.Element {
  const o = useOverview();
  const service = useService();
  const list = useRead(["expiring"], (signal) => arm.get<arm.Page<Certificate>>(`${service.id}/certificates`, { $top: 100, $orderby: "expirationDate" }, signal));
  const value = list.data?.value ?? [];
  const start = new Date();
  const months = Array.from({ length: 12 }, (_, i) => new Date(start.getFullYear(), start.getMonth() + i, 1));
  const inMonth = (m: Date): Certificate[] => value.filter((c) => { const d = new Date(c.properties.expirationDate); return d.getFullYear() === m.getFullYear() && d.getMonth() === m.getMonth(); });
  return (
    <Card title="Expiring certificates" action={<PageLink to={`${service.base}/certificates`}>All {list.data?.count ?? ""}</PageLink>}>
      {list.error ? <ErrorBar error={list.error} /> : null}
      <div className={o.months} role="group" aria-label="Calendar of the next twelve months">
        {months.map((m) => {
          const count = inMonth(m).length;
          return <div key={m.toISOString()} className={`${o.month} ${count ? o.hot : ""}`} title={inMonth(m).map((c) => c.name).join(", ")}><div>{m.toLocaleDateString(undefined, { month: "short", year: "2-digit" })}</div><Text weight="semibold">{count}</Text></div>;
        })}
      </div>
      <ul className={o.list} style={{ marginTop: 12 }}>
        {value.filter((c) => daysLeft(c.properties.expirationDate) < 90).slice(0, 5).map((c) => (
          <li key={c.id}><PageLink to={`${service.base}/certificates/${encodeURIComponent(c.name)}`}>{c.name}</PageLink> {dateText(c.properties.expirationDate)} <ExpiryBadge date={c.properties.expirationDate} /></li>
        ))}
        {list.data && !value.some((c) => daysLeft(c.properties.expirationDate) < 90) ? <li><Text>None within 90 days.</Text></li> : null}
      </ul>
    </Card>
  );
}

interface Rotation { id: string; name: string; time: string; generation: number; cause: string; thumbprint?: string; usedBy?: { count: number } }
/** Why a generation became the current one, in words. */
const causes: Record<string, string> = { upload: "replaced", vault: "from the key vault", refresh: "refreshed by hand", promoted: "promoted by hand", forced: "promoted by force" };

function Rotations(): JSX.Element {
  const o = useOverview();
  const service = useService();
  const list = useRead(["rotations"], (signal) => arm.get<{ value: Rotation[] }>(`${service.id}/rotations`, { $top: 6 }, signal), { refetchInterval: 15000 });
  const failed = useRead(["refresh-failed"], (signal) => arm.get<arm.Page<Certificate>>(`${service.id}/certificates`, { $top: 3, isKeyVaultRefreshFailed: "true" }, signal));
  const page = (name: string): string => `${service.base}/certificates/${encodeURIComponent(name)}?tab=generations`;
  const more = (failed.data?.count ?? 0) - (failed.data?.value.length ?? 0);
  return (
    <Card title="Last rotations">
      <ErrorBar error={list.error ?? failed.error} />
      {list.isPending ? <Loading /> : null}
      <ul className={o.list}>
        {(failed.data?.value ?? []).map((c) => <li key={c.id}><PageLink to={page(c.name)}>{c.name}</PageLink> <Badge appearance="tint" color="danger">not refreshed: {c.properties.keyVault?.lastStatus?.code}</Badge> <Text size={200}>{dateTimeText(c.properties.keyVault?.lastStatus?.timeStampUtc)}</Text></li>)}
        {more > 0 ? <li><Text size={200}>and {more.toLocaleString()} more that could not be refreshed</Text></li> : null}
        {(list.data?.value ?? []).map((r) => <li key={`${r.id} ${r.generation} ${r.time}`}><PageLink to={page(r.name)}>{r.name}</PageLink> <Badge appearance="tint" color="success">generation {r.generation}</Badge> <Text size={200}>{causes[r.cause] ?? r.cause}, {dateTimeText(r.time)}</Text></li>)}
        {list.data?.value.length === 0 ? <li><Text>No certificate has got another generation yet. Replace one, or let it follow a key vault, and it is shown here.</Text></li> : null}
      </ul>
    </Card>
  );
}

export function Component(): JSX.Element {
  const o = useOverview();
  const entity = useServiceEntity();
  if (entity.isPending) return <Blade title="Overview" icon={<HomeRegular />}><Loading /></Blade>;
  if (entity.error && (!entity.data || arm.isMissing(entity.error))) return <Blade title="Overview" icon={<HomeRegular />}><ErrorBar error={entity.error} onRetry={() => void entity.refetch()} /></Blade>;
  const service = entity.data.value;
  return (
    <Blade title={service.name} subtitle="API Management service" icon={<HomeRegular />}>
      <Facts items={[
        ["Resource group", service.id.split("/")[4]],
        ["Gateway URL", service.properties.gatewayUrl ? <Copy key="g" text={service.properties.gatewayUrl} label="gateway URL" /> : "none: it listens at Unix sockets"],
        ["Management API URL", service.properties.managementApiUrl ? <Copy key="m" text={service.properties.managementApiUrl} label="management URL" /> : undefined],
        ["Subscription ID", <Copy key="s" text={service.id.split("/")[2] ?? ""} label="subscription id" />],
        ["Created", dateTimeText(service.properties.createdAtUtc)],
        ["Version", serverFacts()?.version],
      ]} />
      <div className={o.grid}><Health /><Requests /><Expiring /><Rotations /></div>
    </Blade>
  );
}
