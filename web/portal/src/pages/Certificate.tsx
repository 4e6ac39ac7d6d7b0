// SPDX-License-Identifier: Apache-2.0
// One certificate: overview, usage, generations.
import { Badge, Button, makeStyles, Tab, TabList, Text, tokens } from "@fluentui/react-components";
import { ArrowClockwiseRegular, ArrowDownloadRegular, ArrowSwapRegular, CertificateRegular, DeleteRegular, LinkRegular } from "@fluentui/react-icons";
import { useState } from "react";
import { useNavigate, useParams, useSearchParams } from "react-router-dom";
import { isMissing } from "../core/arm";
import { dateText, dateTimeText } from "../core/format";
import { useEntity, useWrite } from "../core/hooks";
import { useWhyNot } from "../core/permissions";
import { useService } from "../core/service";
import { type Certificate, type Generation, warningText } from "../core/types";
import { parseIdentifier } from "../core/vault";
import { useNotify, wordsOf } from "../ui/notify";
import { Blade, Command, Copy, Empty, ErrorBar, ExpiryBadge, Facts, Hint, Loading, useStyles } from "../ui/parts";
import { CertificatePanel } from "./certificate/Panel";
import { DeleteCertificate, pathOf, StatusBadge, UsageList, useActions, useGenerations, useUsage } from "./certificate/parts";

const useTimeline = makeStyles({
  list: { listStyleType: "none", margin: 0, padding: 0, display: "flex", flexDirection: "column" },
  item: { display: "grid", gridTemplateColumns: "20px minmax(0, 1fr)", columnGap: "12px" },
  rail: { display: "flex", flexDirection: "column", alignItems: "center" },
  dot: { width: "12px", height: "12px", borderRadius: "50%", border: `2px solid ${tokens.colorNeutralStroke1}`, marginTop: "6px", flexShrink: 0, boxSizing: "border-box" },
  current: { backgroundColor: tokens.colorBrandBackground, borderTopColor: tokens.colorBrandBackground, borderRightColor: tokens.colorBrandBackground, borderBottomColor: tokens.colorBrandBackground, borderLeftColor: tokens.colorBrandBackground },
  line: { width: "2px", flexGrow: 1, backgroundColor: tokens.colorNeutralStroke2 },
  body: { paddingBottom: "24px", display: "flex", flexDirection: "column", gap: "6px", minWidth: 0 },
});

const colors: Record<string, "brand" | "informative" | "warning" | "danger" | "subtle"> = {
  current: "brand", staged: "warning", draining: "informative", retired: "subtle", refused: "danger",
};
const causes: Record<string, string> = { upload: "uploaded", poll: "new version in the vault", push: "new version in the vault", refresh: "refreshed by hand", promote: "promoted by hand" };

function Timeline(props: { certificate: Certificate }): JSX.Element {
  const s = useStyles();
  const t = useTimeline();
  const generations = useGenerations(props.certificate.name, 5000);
  const write = useWrite();
  const notify = useNotify();
  const whyNot = useWhyNot();
  const noPromote = whyNot("certificates/generations/promote/action");
  if (generations.isPending) return <Loading />;
  if (generations.error && !generations.data) return <ErrorBar error={generations.error} onRetry={() => void generations.refetch()} />;
  const sorted = [...generations.data].sort((a, b) => b.number - a.number);
  const promote = (g: Generation): void =>
    write.mutate({ method: "POST", path: `${pathOf(props.certificate.name)}/generations/${g.number}/promote`, body: { properties: { force: true } } }, {
      onSuccess: () => notify("success", `Generation ${g.number} is current`),
      onError: (error) => notify("error", "Not promoted", wordsOf(error)),
    });
  return (
    <ol className={t.list} aria-label="Generations, newest first">
      {sorted.map((g) => (
        <li key={g.number} className={t.item}>
          <span className={t.rail} aria-hidden><span className={`${t.dot} ${g.state === "current" ? t.current : ""}`} /><span className={t.line} /></span>
          <div className={t.body}>
            <div className={s.row}>
              <Text weight="semibold">Generation {g.number}</Text>
              <Badge appearance="tint" color={colors[g.state] ?? "subtle"}>{g.state}</Badge>
              {g.cause ? <Text size={200}>{causes[g.cause] ?? g.cause}</Text> : null}
              {g.state === "staged" ? <Button size="small" disabledFocusable={Boolean(noPromote) || write.isPending} title={noPromote} onClick={() => { if (!noPromote) promote(g); }}>Promote nevertheless</Button> : null}
            </div>
            {g.refusal ? <Hint intent="warning" title="It was refused:">{g.refusal}</Hint> : null}
            <Facts items={[
              ["Subject", g.subject],
              ["Thumbprint", <Copy key="t" text={g.thumbprint} label={`thumbprint of generation ${g.number}`} />],
              ["Expires", <span key="e">{dateText(g.expirationDate)} <ExpiryBadge date={g.expirationDate} /></span>],
              ["Vault version", g.secretVersion ? <span key="v" className={s.mono}>{g.secretVersion}</span> : undefined],
              ["Staged", dateTimeText(g.stagedAt)],
              ["Shown to the backends", dateTimeText(g.preflightAt)],
              ["Current since", dateTimeText(g.promotedAt)],
              [g.retiredAt ? "Retired" : "Draining since", dateTimeText(g.retiredAt ?? g.drainingAt)],
            ]} />
          </div>
        </li>
      ))}
    </ol>
  );
}

export function Component(): JSX.Element {
  const { certificate: name = "" } = useParams();
  const s = useStyles();
  const service = useService();
  const navigate = useNavigate();
  const [query, setQuery] = useSearchParams();
  const entity = useEntity<Certificate["properties"]>(pathOf(name));
  const tab = query.get("tab") ?? "overview";
  if (entity.isPending) return <Blade title={name} icon={<CertificateRegular />}><Loading /></Blade>;
  if (entity.error && (!entity.data || isMissing(entity.error)))
    return (
      <Blade title={name} icon={<CertificateRegular />}>
        <ErrorBar error={entity.error} title="This certificate cannot be shown" onRetry={() => void entity.refetch()} />
      </Blade>
    );
  return <Loaded certificate={entity.data.value} tab={tab} onTab={(next) => setQuery({ tab: next })} styles={s} onDeleted={() => navigate(`${service.base}/certificates`)} />;
}

function Loaded(props: { certificate: Certificate; tab: string; onTab: (tab: string) => void; styles: ReturnType<typeof useStyles>; onDeleted: () => void }): JSX.Element {
  const { certificate } = props;
  const { keyVault } = certificate.properties;
  const actions = useActions(certificate);
  const usage = useUsage(certificate.name);
  const whyNot = useWhyNot();
  const [replacing, setReplacing] = useState(false);
  const [deleting, setDeleting] = useState(false);
  const pinned = keyVault?.secretIdentifier ? parseIdentifier(keyVault.secretIdentifier)?.version : undefined;
  return (
    <Blade title={certificate.name} subtitle="Certificate" icon={<CertificateRegular />} commands={<>
      <Command icon={<ArrowClockwiseRegular />} label="Refresh" onClick={actions.refresh} disabled={actions.busy} why={whyNot("certificates/refreshSecret/action") ?? (keyVault ? undefined : "Only certificates of a key vault are refreshed.")} />
      <Command icon={<ArrowSwapRegular />} label="Replace" onClick={() => setReplacing(true)} why={whyNot("certificates/write")} />
      <Command icon={<ArrowDownloadRegular />} label="Download .cer" onClick={() => void actions.download()} />
      <Command icon={<DeleteRegular />} label="Delete" onClick={() => setDeleting(true)} why={whyNot("certificates/delete")} />
    </>}>
      <TabList selectedValue={props.tab} onTabSelect={(_, data) => props.onTab(String(data.value))}>
        <Tab value="overview">Overview</Tab>
        <Tab value="usage">Usage</Tab>
        <Tab value="generations">Generations</Tab>
      </TabList>
      {props.tab === "overview" ? (
        <>
          {(certificate.properties.warnings ?? []).map(warningText).map((w) => <Hint key={w} intent="warning">{w}</Hint>)}
          {keyVault?.lastStatus && keyVault.lastStatus.code !== "Success"
            ? <Hint intent="warning" title={`The last refresh failed: ${keyVault.lastStatus.code ?? ""}.`}>{keyVault.lastStatus.message} The former certificate stays in use.</Hint> : null}
          {pinned ? <Hint intent="warning" title="Pinned to one version.">It does not follow new versions of the vault.</Hint> : null}
          <Facts items={[
            ["Id", <Copy key="i" text={certificate.name} label="id" />],
            ["Status", <StatusBadge key="s" certificate={certificate} />],
            ["Subject", certificate.properties.subject],
            ["Thumbprint", <Copy key="t" text={certificate.properties.thumbprint} label="thumbprint" />],
            ["Expiration", <span key="e">{dateTimeText(certificate.properties.expirationDate)} <ExpiryBadge date={certificate.properties.expirationDate} /></span>],
            ["Source", keyVault ? "Key vault" : "Custom"],
            ["Secret identifier", keyVault?.secretIdentifier ? <Copy key="k" text={keyVault.secretIdentifier} label="secret identifier" /> : undefined],
            ["Client identity", keyVault ? keyVault.identityClientId ?? "System-assigned identity" : undefined],
            ["Last refresh", keyVault?.lastStatus ? `${keyVault.lastStatus.code ?? ""}, ${dateTimeText(keyVault.lastStatus.timeStampUtc)}` : undefined],
            ["Resource id", <Copy key="r" text={certificate.id} label="resource id" />],
          ]} />
        </>
      ) : null}
      {props.tab === "usage" ? (
        usage.isPending ? <Loading /> : usage.error && !usage.data ? <ErrorBar error={usage.error} onRetry={() => void usage.refetch()} /> : usage.data.count === 0 ? (
          <Empty icon={<LinkRegular />} title="Nothing uses this certificate">Choose it in an API's Design under Backend &gt; Gateway credentials, or in a backend.</Empty>
        ) : <UsageList items={usage.data.value} truncated={usage.data.truncated} />
      ) : null}
      {props.tab === "generations" ? <Timeline certificate={certificate} /> : null}
      {replacing ? <CertificatePanel replace={certificate.name} onClose={() => setReplacing(false)} /> : null}
      {deleting ? <DeleteCertificate certificate={certificate} onClose={(gone) => { setDeleting(false); if (gone) props.onDeleted(); }} /> : null}
    </Blade>
  );
}
