// SPDX-License-Identifier: Apache-2.0
// What the service depends on: how far one comes, layer by layer, and what the one that fails says.
import { Badge, makeStyles, mergeClasses, Text, tokens } from "@fluentui/react-components";
import { CheckmarkCircleFilled, ChevronRightRegular, CircleRegular, DismissCircleFilled } from "@fluentui/react-icons";
import { dateTimeText } from "../../core/format";
import { useService } from "../../core/service";
import { Facts, PageLink, useStyles } from "../../ui/parts";

export interface Dependency {
  name: string;
  resourceType: string;
  status: string;
  error?: string;
  lastUpdated?: string;
  lastStatusChange?: string;
  isOptional?: boolean;
  postern?: { layer?: string; code?: string; certificate?: string; backend?: string; apis?: string[]; certificates?: string[]; certificateFrom?: string };
}
export interface Source { name: string; status: string; error?: string; lastUpdated?: string }

const useNetwork = makeStyles({
  list: { listStyleType: "none", margin: 0, padding: 0 },
  item: { padding: "12px 0", borderTop: `1px solid ${tokens.colorNeutralStroke2}`, display: "flex", flexDirection: "column", gap: "6px", minWidth: 0, overflowWrap: "anywhere" },
  layers: { listStyleType: "none", margin: 0, padding: 0, display: "flex", flexWrap: "wrap", alignItems: "center", rowGap: "4px" },
  layer: { display: "inline-flex", alignItems: "center", gap: "4px", fontSize: tokens.fontSizeBase200 },
  good: { color: tokens.colorPaletteGreenForeground1 },
  bad: { color: tokens.colorPaletteRedForeground1, fontWeight: tokens.fontWeightSemibold },
  open: { color: tokens.colorNeutralForeground3 },
});

const NAMES: Record<string, string> = {
  rule: "Network rule", dns: "Name", tcp: "TCP", tls: "TLS", proxy: "Proxy", identity: "Identity", firewall: "Firewall", role: "Permission", content: "Certificate",
};
/** What is passed one behind the other. */
const WAYS: Record<string, string[]> = {
  AzureKeyVault: ["rule", "dns", "tcp", "tls", "identity", "firewall", "role", "content"],
  AzureActiveDirectory: ["rule", "identity"],
  Backend: ["rule", "dns", "tcp", "tls", "identity"],
  Api: ["rule", "dns", "tcp", "tls", "identity"],
};
const KINDS: Record<string, string> = { AzureKeyVault: "Key vault", AzureActiveDirectory: "Token authority", Backend: "Backend", Api: "API" };

function Layers(props: { of: Dependency }): JSX.Element | null {
  const n = useNetwork();
  const { status, resourceType, postern } = props.of;
  const isPlain = resourceType !== "AzureActiveDirectory" && !/^(https|wss):/.test(props.of.name);
  const way = (WAYS[resourceType] ?? []).filter((name) => !isPlain || !["tls", "identity"].includes(name));
  // One that is not on the way (a proxy, the keyholder) is the only one that is shown.
  const layer = postern?.layer ?? "";
  const shown = status === "failure" && !way.includes(layer) ? [layer || "internal"] : way;
  const stop = status === "failure" ? shown.indexOf(layer || "internal") : status === "success" ? shown.length : 0;
  return (
    <ol className={n.layers} aria-label={`Layers of ${props.of.name}`}>
      {shown.map((name, i) => {
        const mark = i < stop ? "good" : i === stop && status === "failure" ? "bad" : "open";
        return (
          <li key={name} className={mergeClasses(n.layer, n[mark])}>
            {i > 0 ? <ChevronRightRegular className={n.open} style={{ margin: "0 4px" }} aria-hidden /> : null}
            {mark === "good" ? <CheckmarkCircleFilled aria-hidden /> : mark === "bad" ? <DismissCircleFilled aria-hidden /> : <CircleRegular aria-hidden />}
            {NAMES[name] ?? name}
            <span className="hidden-text">{mark === "good" ? " went well" : mark === "bad" ? " fails" : " not known"}</span>
          </li>
        );
      })}
    </ol>
  );
}

export function Dependencies(props: { items: Dependency[] }): JSX.Element {
  const n = useNetwork();
  const s = useStyles();
  const service = useService();
  const sorted = [...props.items].sort((a, b) => Number(b.status === "failure") - Number(a.status === "failure"));
  /** "apis/orders" or "workspaces/payments/apis/orders" */
  const page = (path: string): JSX.Element => <PageLink key={path} inline to={`${service.base}/${path.split("/").map(encodeURIComponent).join("/")}`}>{path.slice(path.lastIndexOf("/") + 1)}</PageLink>;
  return (
    <ul className={n.list}>
      {sorted.map((d) => {
        const good = d.status === "success", bad = d.status === "failure";
        const { backend, apis = [], certificate } = d.postern ?? {};
        return (
          <li key={`${d.resourceType} ${backend ?? ""} ${apis.join()} ${d.name}`} className={n.item} aria-label={`${KINDS[d.resourceType] ?? d.resourceType} ${backend ?? d.name}`}>
            <div className={s.row}>
              <Badge appearance="tint" color={bad ? "danger" : good ? "success" : "informative"}>{bad ? "fails" : good ? "answers" : "not tried yet"}</Badge>
              <Text weight="semibold">{KINDS[d.resourceType] ?? d.resourceType} {backend ? page(`backends/${backend}`) : null}{apis.map((api, i) => <span key={api}>{i > 0 ? ", " : ""}{page(api)}</span>)}</Text>
              <span className={s.mono}>{d.name}</span>
            </div>
            <Layers of={d} />
            {bad && d.error ? <Text>{d.error}</Text> : null}
            {d.lastStatusChange ? <Text size={200} className={s.subtitle}>
              {bad ? "Fails since " : good ? "Answers since " : "Since "}{dateTimeText(d.lastStatusChange)}{d.postern?.code ? `, ${d.postern.code}` : ""}{certificate ? <>, seen by certificate {page(`certificates/${certificate}`)}</> : null}
            </Text> : null}
          </li>
        );
      })}
    </ul>
  );
}

export function Sources(props: { items: Source[] }): JSX.Element {
  return (
    <Facts items={props.items.map((source): [string, JSX.Element] => [source.name, <span key={source.name}>
      <Badge appearance="tint" color={source.status === "failure" ? "danger" : source.status === "success" ? "success" : "informative"}>{source.status === "failure" ? "fails" : source.status === "success" ? "gave a token" : "not asked yet"}</Badge>{" "}
      <Text size={200}>{dateTimeText(source.lastUpdated)}{source.status === "failure" && source.error ? ` ${source.error}` : ""}</Text>
    </span>])} />
  );
}
