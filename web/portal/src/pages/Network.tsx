// SPDX-License-Identifier: Apache-2.0
// Deployment + infrastructure > Network: where it listens, and whether what it depends on answers.
import { Badge, Text } from "@fluentui/react-components";
import { ArrowClockwiseRegular, NetworkCheckRegular } from "@fluentui/react-icons";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import * as arm from "../core/arm";
import { useAll } from "../core/hooks";
import { useMetrics } from "../core/metrics";
import { useService, useServiceEntity } from "../core/service";
import type { Certificate } from "../core/types";
import { Blade, Card, Command, Copy, ErrorBar, Facts, PageLink, useStyles } from "../ui/parts";
import { dateTimeText } from "../core/format";

export function Component(): JSX.Element {
  const s = useStyles();
  const service = useService();
  const client = useQueryClient();
  const entity = useServiceEntity();
  const { now } = useMetrics();
  const certificates = useAll<Certificate>("/certificates");
  const status = useQuery({
    queryKey: [service.id, "networkstatus"],
    queryFn: async ({ signal }) => {
      try {
        return await arm.get<unknown>(`${service.id}/networkstatus`, undefined, signal);
      } catch (error) {
        if (error instanceof arm.ApiError && error.status === 404) return null;
        throw error;
      }
    },
  });
  // A vault is as reachable as the last fetch from it was.
  const vaults = new Map<string, { good: boolean; text: string; at: string; from: string }>();
  for (const c of certificates.data ?? []) {
    const kv = c.properties.keyVault;
    if (!kv?.secretIdentifier || !kv.lastStatus?.timeStampUtc) continue;
    const host = new URL(kv.secretIdentifier).host;
    const old = vaults.get(host);
    if (!old || old.at < kv.lastStatus.timeStampUtc) vaults.set(host, { good: kv.lastStatus.code === "Success", text: kv.lastStatus.message ?? "", at: kv.lastStatus.timeStampUtc, from: c.name });
  }
  const badge = (good: boolean, yes: string, no: string): JSX.Element => <Badge appearance="tint" color={good ? "success" : "danger"}>{good ? yes : no}</Badge>;
  return (
    <Blade title="Network" subtitle={`${service.name} | API Management service`} icon={<NetworkCheckRegular />} commands={<Command icon={<ArrowClockwiseRegular />} label="Refresh" onClick={() => void client.invalidateQueries()} />}>
      <ErrorBar error={entity.error ?? certificates.error ?? status.error} />
      <Card title="Listeners">
        <Facts items={[
          ["Gateway", entity.data?.value.properties.gatewayUrl ? <Copy key="g" text={entity.data.value.properties.gatewayUrl} label="gateway URL" /> : "none with a URL"],
          ["Management", entity.data?.value.properties.managementApiUrl ? <Copy key="m" text={entity.data.value.properties.managementApiUrl} label="management URL" /> : undefined],
          ["Host names", entity.data?.value.properties.hostnameConfigurations?.map((h) => <div key={`${h.type}${h.hostName}`}>{h.hostName} <Text size={200}>{h.type}{h.certificateSource ? `, certificate: ${h.certificateSource}` : ""}</Text></div>)],
        ]} />
      </Card>
      <Card title="Network connectivity status">
        <Facts items={[
          ["Gateway process", badge(now?.postern_gateway_up === 1, "answers", "does not answer")],
          ["Open circuit breakers", badge((now?.postern_backends_tripped ?? 0) === 0, "none", String(now?.postern_backends_tripped ?? ""))],
          ...[...vaults.entries()].map(([host, v]): [string, JSX.Element] => [host, <span key={host}>{badge(v.good, "reached", "failed")} <Text size={200}>{dateTimeText(v.at)}, for <PageLink inline to={`${service.base}/certificates/${encodeURIComponent(v.from)}`}>{v.from}</PageLink>{v.text && !v.good ? `: ${v.text}` : ""}</Text></span>]),
        ]} />
        {vaults.size === 0 ? <Text size={200}>No certificate follows a key vault yet.</Text> : null}
        <div className={s.subtitle} style={{ marginTop: 8 }}>Backends are tried on demand: open one under <PageLink inline to={`${service.base}/backends`}>Backends</PageLink> and choose Probe.</div>
      </Card>
    </Blade>
  );
}
