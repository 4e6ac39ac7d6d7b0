// SPDX-License-Identifier: Apache-2.0
// The story of a handshake as a picture: each step, how far it went, and what to do.
import { Badge, Button, Field, makeStyles, mergeClasses, Spinner, Text, tokens } from "@fluentui/react-components";
import { CheckmarkCircleFilled, CircleRegular, DismissCircleFilled, PlayRegular, WarningFilled } from "@fluentui/react-icons";
import { useMutation } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import * as arm from "../../core/arm";
import { dateText } from "../../core/format";
import { useWhyNot } from "../../core/permissions";
import { useService } from "../../core/service";
import { CertificatePicker } from "../../ui/CertificatePicker";
import { ActButton, ErrorBar, ExpiryBadge, Hint, useStyles } from "../../ui/parts";
import { backendPath } from "./Panel";

interface Probe {
  outcome: string;
  cause?: string;
  sentence?: string;
  detail?: string;
  stage?: string;
  fix?: string;
  addresses?: { address: string; cause?: string }[];
  dnsMs?: number;
  connectMs?: number;
  handshakeMs?: number;
  tlsVersion?: string;
  cipher?: string;
  alpn?: string;
  alert?: { number: number; name: string; late?: boolean };
  certificateRequested?: boolean;
  certificateSent?: boolean;
  acceptableIssuers?: string[];
  acceptableIssuerCount?: number;
  serverChain?: { subject: string; issuer: string; thumbprint: string; notAfter: string }[];
  verifyError?: number;
  verifyText?: string;
  certificate?: { id?: string; subject?: string; thumbprint?: string } | null;
}

type Mark = "good" | "bad" | "warn" | "open";

const useProbe = makeStyles({
  steps: { listStyleType: "none", margin: 0, padding: 0, display: "flex", flexDirection: "column" },
  step: { display: "grid", gridTemplateColumns: "28px minmax(0, 1fr)", columnGap: "12px" },
  rail: { display: "flex", flexDirection: "column", alignItems: "center" },
  line: { width: "2px", flexGrow: 1, minHeight: "12px", backgroundColor: tokens.colorNeutralStroke2 },
  icon: { fontSize: "24px", lineHeight: 1 },
  good: { color: tokens.colorPaletteGreenForeground1 },
  bad: { color: tokens.colorPaletteRedForeground1 },
  warn: { color: tokens.colorPaletteDarkOrangeForeground1 },
  open: { color: tokens.colorNeutralForeground4 },
  body: { paddingBottom: "16px", minWidth: 0, overflowWrap: "anywhere" },
});

const icons: Record<Mark, ReactNode> = { good: <CheckmarkCircleFilled />, bad: <DismissCircleFilled />, warn: <WarningFilled />, open: <CircleRegular /> };
const words: Record<Mark, string> = { good: "went well", bad: "failed", warn: "look here", open: "not reached" };

/** Where it stopped, from cause and stage. */
function stops(p: Probe): number {
  const cause = p.cause ?? "";
  if (p.outcome === "accepted") return 99;
  if (/^(dns|name|resolve)/.test(cause) || !p.addresses?.length) return 0;
  if (/^connect/.test(cause) || p.addresses.every((a) => a.cause)) return 1;
  if (/client_certificate|certificate_required/.test(cause) || p.certificateRequested && p.alert) return 5;
  if (p.verifyError || /untrusted|unknown_ca|name_mismatch|expired|self_signed|server_certificate/.test(cause)) return 3;
  return 2;
}

function Story(props: { probe: Probe }): JSX.Element {
  const p = props.probe;
  const s = useProbe();
  const parts = useStyles();
  const end = stops(p);
  const mark = (at: number): Mark => (at < end ? "good" : at === end ? "bad" : "open");
  const steps: [string, Mark, ReactNode][] = [
    ["Name (DNS)", mark(0), p.addresses?.length ? <>{p.addresses.map((a) => a.address).join(", ")}{p.dnsMs !== undefined ? ` in ${p.dnsMs} ms` : ""}</> : null],
    ["Connection (TCP)", mark(1), p.addresses?.some((a) => a.cause) ? p.addresses.map((a) => <div key={a.address}>{a.address}: {a.cause || "connected"}</div>) : end > 1 ? "connected" : null],
    ["TLS", mark(2), p.tlsVersion ? `${p.tlsVersion}, ${p.cipher ?? ""}${p.alpn ? `, ${p.alpn}` : ""}${p.handshakeMs !== undefined ? `, ${p.handshakeMs} ms` : ""}` : null],
    ["The server's chain", mark(3), p.serverChain?.length ? (
      <ul style={{ margin: 0, paddingLeft: 18 }}>{p.serverChain.map((c) => <li key={c.thumbprint}>{c.subject} <Text size={200}>issued by {c.issuer}, until {dateText(c.notAfter)}</Text> <ExpiryBadge date={c.notAfter} /></li>)}</ul>
    ) : null],
    ["Authorities that it accepts", p.certificateRequested === undefined ? "open" : mark(4), p.certificateRequested === false ? "It did not ask for a client certificate." : p.acceptableIssuers?.length ? (
      <ul style={{ margin: 0, paddingLeft: 18 }}>{p.acceptableIssuers.slice(0, 10).map((i) => <li key={i}>{i}</li>)}{(p.acceptableIssuerCount ?? 0) > 10 ? <li>and {(p.acceptableIssuerCount ?? 0) - 10} more</li> : null}</ul>
    ) : p.certificateRequested ? "Any: it asked for a certificate and named no authority." : null],
    ["What was sent", end === 5 ? "bad" : p.certificateRequested && !p.certificateSent ? "warn" : mark(5), p.certificateSent ? `${p.certificate?.subject ?? "the certificate"}${p.certificate?.thumbprint ? ` (${p.certificate.thumbprint})` : ""}` : p.tlsVersion ? "No client certificate." : null],
  ];
  const good = end === 99;
  return (
    <section aria-label="Result of the probe" aria-live="polite" className={parts.column}>
      <ol className={s.steps}>
        {steps.map(([title, m, body]) => (
          <li key={title} className={s.step}>
            <span className={s.rail}><span className={mergeClasses(s.icon, s[m])} aria-hidden>{icons[m]}</span><span className={s.line} /></span>
            <div className={s.body}><Text weight="semibold">{title}</Text> <Text size={200}>{words[m]}</Text>{body ? <div>{body}</div> : null}</div>
          </li>
        ))}
        <li className={s.step}>
          <span className={s.rail}><span className={mergeClasses(s.icon, s[good ? "good" : "bad"])} aria-hidden>{icons[good ? "good" : "bad"]}</span></span>
          <div className={s.body}>
            <div className={parts.row}><Text weight="semibold" size={400}>{good ? "The backend accepts the connection" : "The backend does not accept the connection"}</Text>{p.cause && !good ? <Badge appearance="tint" color="danger">{p.cause}</Badge> : null}</div>
            {p.sentence ? <div>{p.sentence}</div> : null}
          </div>
        </li>
      </ol>
      {p.fix ? <Hint intent={good ? "success" : "warning"} title="What to do:">{p.fix}</Hint> : null}
    </section>
  );
}

export function ProbeTab(props: { backend: string }): JSX.Element {
  const service = useService();
  const s = useStyles();
  const whyNot = useWhyNot();
  const [certificate, setCertificate] = useState("");
  const probe = useMutation({
    mutationFn: () => arm.call<Probe>(`${service.id}${backendPath(props.backend)}/probe`, {
      method: "POST", body: { properties: certificate ? { certificateId: `${service.id}/certificates/${certificate}` } : {} },
    }),
  });
  return (
    <div className={s.column}>
      <Text>The gateway shakes hands with the backend as a request would, and tells what happened. No request is sent.</Text>
      <div className={s.row} style={{ alignItems: "flex-end" }}>
        <Field label="Client certificate">
          <CertificatePicker none="As configured" value={[certificate]} onChange={([name]) => setCertificate(name ?? "")} />
        </Field>
        <ActButton appearance="primary" icon={<PlayRegular />} why={whyNot("backends/probe/action")} disabledFocusable={probe.isPending} onClick={() => { if (!probe.isPending) probe.mutate(); }}>Probe</ActButton>
        {probe.isPending ? <Spinner size="tiny" label="Shaking hands…" labelPosition="after" /> : null}
      </div>
      <ErrorBar error={probe.error} title="The probe could not be made">{probe.error ? <Button onClick={() => probe.mutate()}>Try again</Button> : null}</ErrorBar>
      {probe.data ? <Story probe={probe.data.value} /> : null}
    </div>
  );
}
