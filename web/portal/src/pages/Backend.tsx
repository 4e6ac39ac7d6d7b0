// SPDX-License-Identifier: Apache-2.0
// One backend: overview, probe.
import { Tab, TabList, Text } from "@fluentui/react-components";
import { ArrowSyncRegular, DeleteRegular, EditRegular, ServerRegular } from "@fluentui/react-icons";
import { useState } from "react";
import { useNavigate, useParams } from "react-router-dom";
import { isMissing, nameOf } from "../core/arm";
import { useEntity, useWrite } from "../core/hooks";
import { useWhyNot } from "../core/permissions";
import { useService } from "../core/service";
import type { Backend } from "../core/types";
import { useNotify, wordsOf } from "../ui/notify";
import { Blade, Command, Confirm, Copy, ErrorBar, Facts, Hint, Loading, PageLink } from "../ui/parts";
import { breakerWords } from "./backend/model";
import { BackendPanel, backendPath } from "./backend/Panel";
import { ProbeTab } from "./backend/Probe";

function Overview(props: { backend: Backend }): JSX.Element {
  const service = useService();
  const p = props.backend.properties;
  const rule = p.circuitBreaker?.rules?.[0];
  const link = (kind: string, id: string): JSX.Element => <span key={id}><PageLink to={`${service.base}/${kind}/${encodeURIComponent(nameOf(id))}`}>{nameOf(id)}</PageLink> </span>;
  return (
    <Facts items={[
      ["Type", p.type ?? "Single"],
      ["Runtime URL", p.url ? <Copy key="u" text={p.url} label="URL" /> : undefined],
      ["Title", p.title], ["Description", p.description],
      ["Members", p.pool?.services.length ? <>{p.pool.services.map((m) => <div key={m.id}>{link("backends", m.id)}<Text size={200}>priority {m.priority ?? 0}, weight {m.weight ?? 1}</Text></div>)}</> : undefined],
      ["Client certificate", p.credentials?.certificateIds?.length ? <>{p.credentials.certificateIds.map((id) => link("certificates", id))}</> : p.type === "Pool" ? undefined : "none"],
      ["Headers", Object.keys(p.credentials?.header ?? {}).join(", ")],
      ["Query parameters", Object.keys(p.credentials?.query ?? {}).join(", ")],
      ["Authorization", p.credentials?.authorization?.scheme],
      ["Validate certificate chain", p.type === "Pool" ? undefined : p.tls?.validateCertificateChain === false ? "No" : "Yes"],
      ["Validate certificate name", p.type === "Pool" ? undefined : p.tls?.validateCertificateName === false ? "No" : "Yes"],
      ["Circuit breaker", rule ? breakerWords(rule) : p.type === "Pool" ? undefined : "none"],
      ["Resource id", <Copy key="r" text={props.backend.id} label="resource id" />],
    ]} />
  );
}

export function Component(): JSX.Element {
  const { backend: name = "", tab = "overview" } = useParams();
  const service = useService();
  const navigate = useNavigate();
  const notify = useNotify();
  const whyNot = useWhyNot();
  const entity = useEntity<Backend["properties"]>(backendPath(name));
  const write = useWrite();
  const remove = useWrite();
  const [editing, setEditing] = useState(false);
  const [deleting, setDeleting] = useState(false);
  if (entity.isPending) return <Blade title={name} icon={<ServerRegular />}><Loading /></Blade>;
  if (entity.error && (!entity.data || isMissing(entity.error))) return <Blade title={name} icon={<ServerRegular />}><ErrorBar error={entity.error} title="This backend cannot be shown" onRetry={() => void entity.refetch()} /></Blade>;
  const backend = entity.data.value as Backend;
  const reconnect = (): void =>
    write.mutate({ method: "POST", path: `${backendPath(name)}/reconnect`, body: {} }, {
      onSuccess: () => notify("success", "Reconnecting", "Idle connections are closed; new ones look up the name and shake hands anew."),
      onError: (error) => notify("error", "Not reconnected", wordsOf(error)),
    });
  return (
    <Blade title={name} subtitle="Backend" icon={<ServerRegular />} commands={<>
      <Command icon={<EditRegular />} label="Edit" onClick={() => setEditing(true)} why={whyNot("backends/write")} />
      <Command icon={<ArrowSyncRegular />} label="Reconnect" onClick={reconnect} why={whyNot("backends/reconnect/action")} />
      <Command icon={<DeleteRegular />} label="Delete" onClick={() => setDeleting(true)} why={whyNot("backends/delete")} />
    </>}>
      <TabList selectedValue={tab} onTabSelect={(_, data) => navigate(`${service.base}/backends/${encodeURIComponent(name)}/${String(data.value)}`)}>
        <Tab value="overview">Overview</Tab><Tab value="probe">Probe</Tab>
      </TabList>
      {tab === "probe" ? backend.properties.type === "Pool" ? <Hint>A pool is probed by its members: {(backend.properties.pool?.services ?? []).map((x, i) => <span key={x.id}>{i > 0 ? ", " : ""}<PageLink inline to={`${service.base}/backends/${encodeURIComponent(nameOf(x.id))}/probe`}>{nameOf(x.id)}</PageLink></span>)}.</Hint> : <ProbeTab backend={name} /> : <Overview backend={backend} />}
      {editing ? <BackendPanel existing={{ value: backend, etag: entity.data.etag }} onClose={() => setEditing(false)} /> : null}
      <Confirm open={deleting} title={`Delete ${name}?`} action="Delete" busy={remove.isPending} onClose={() => { setDeleting(false); remove.reset(); }}
        onYes={() => remove.mutate({ method: "DELETE", path: backendPath(name), etag: "*" }, { onSuccess: () => { notify("success", "Backend deleted", name); navigate(`${service.base}/backends`); } })}>
        <ErrorBar error={remove.error} title="Not deleted" />
        <Text>Requests that a policy sends here fail from then on. A backend that a policy names is not deleted.</Text>
      </Confirm>
    </Blade>
  );
}
