// SPDX-License-Identifier: Apache-2.0
// Deployment + infrastructure > Network: where it listens, and whether what it depends on answers.
import { Badge, Text } from "@fluentui/react-components";
import { ArrowClockwiseRegular, NetworkCheckRegular } from "@fluentui/react-icons";
import { useQueryClient } from "@tanstack/react-query";
import * as arm from "../core/arm";
import { dateTimeText } from "../core/format";
import { useRead } from "../core/hooks";
import { useMetrics } from "../core/metrics";
import { useService, useServiceEntity } from "../core/service";
import { Blade, Card, Command, Copy, ErrorBar, Facts, Hint, Loading, useStyles } from "../ui/parts";
import { type Dependency, Dependencies, type Source, Sources } from "./network/Dependencies";

interface Status { connectivityStatus: Dependency[]; postern?: { tokenSources?: Source[]; notTried?: number; warnings?: string[] } }

export function Component(): JSX.Element {
  const s = useStyles();
  const service = useService();
  const client = useQueryClient();
  const entity = useServiceEntity();
  const { now, error } = useMetrics();
  // Every backend is tried by it: when the page is opened and when somebody asks, not by the clock.
  const status = useRead<{ location: string; networkStatus: Status }[]>(["networkstatus"], (signal) => arm.get(`${service.id}/networkstatus`, undefined, signal));
  const badge = (good: boolean, yes: string, no: string): JSX.Element => <Badge appearance="tint" color={good ? "success" : "danger"}>{good ? yes : no}</Badge>;
  const all = (status.data ?? []).flatMap((place) => place.networkStatus.connectivityStatus);
  const notTried = (status.data ?? []).reduce((sum, place) => sum + (place.networkStatus.postern?.notTried ?? 0), 0);
  const warnings = (status.data ?? []).flatMap((place) => place.networkStatus.postern?.warnings ?? []);
  const sources = (status.data ?? []).flatMap((place) => place.networkStatus.postern?.tokenSources ?? []);
  const failing = all.filter((d) => d.status === "failure").length;
  return (
    <Blade title="Network" subtitle={`${service.name} | API Management service`} icon={<NetworkCheckRegular />} commands={<Command icon={<ArrowClockwiseRegular />} label="Refresh" onClick={() => void client.invalidateQueries()} />}>
      <ErrorBar error={entity.error ?? error} />
      <Card title="Listeners">
        <Facts items={[
          ["Gateway", entity.data?.value.properties.gatewayUrl ? <Copy key="g" text={entity.data.value.properties.gatewayUrl} label="gateway URL" /> : "none with a URL"],
          ["Management", entity.data?.value.properties.managementApiUrl ? <Copy key="m" text={entity.data.value.properties.managementApiUrl} label="management URL" /> : undefined],
          ["Host names", entity.data?.value.properties.hostnameConfigurations?.map((h) => <div key={`${h.type}${h.hostName}`}>{h.hostName} <Text size={200}>{h.type}{h.certificateSource ? `, certificate: ${h.certificateSource}` : ""}</Text></div>)],
          ["Gateway process", now || error ? badge(now?.postern_gateway_up === 1, "answers", "does not answer") : undefined],
          ["Open circuit breakers", now ? badge((now.postern_backends_tripped ?? 0) === 0, "none", String(now.postern_backends_tripped ?? "")) : undefined],
        ]} />
      </Card>
      <Card title="Network connectivity status" action={status.data ? <Badge appearance="tint" color={failing ? "danger" : "success"}>{failing ? `${failing} of ${all.length} fail` : `all ${all.length} answer`}</Badge> : null}>
        <ErrorBar error={status.error} title="The status cannot be shown" onRetry={() => void status.refetch()} />
        {status.isPending ? <Loading label="Trying what the service depends on…" /> : null}
        {status.data ? <Dependencies items={all} /> : null}
        {warnings.map((text) => <Hint key={text} intent="warning">{`${text.charAt(0).toUpperCase()}${text.slice(1)}.`}</Hint>)}
        {notTried ? <Hint intent="warning">{`${notTried.toLocaleString()} more backends and APIs were not tried. Open one of them and choose Probe.`}</Hint> : null}
        {status.data ? <div className={s.subtitle} style={{ marginTop: 8 }}>Key vaults: what the last fetch from them said. All else: tried {dateTimeText(new Date(status.dataUpdatedAt).toISOString())}, by name, TCP and TLS, without a request.</div> : null}
      </Card>
      {sources.length ? <Card title="Token sources"><Sources items={sources} /></Card> : null}
    </Blade>
  );
}
