// SPDX-License-Identifier: Apache-2.0
// A backend as a form, and back. What the form does not show is kept as it was.
import { nameOf } from "../../core/arm";
import type { Backend } from "../../core/types";

export interface Pair { name: string; value: string }
export interface Member { id: string; priority: string; weight: string }
export interface Form {
  name: string;
  type: "Single" | "Pool";
  url: string;
  title: string;
  description: string;
  certificates: string[];
  headers: Pair[];
  query: Pair[];
  scheme: string;
  parameter: string;
  chain: boolean;
  nameCheck: boolean;
  /** PEM, or base64 of DER, one behind the other */
  ca: string;
  breaker: boolean;
  count: string;
  interval: string;
  statuses: string;
  trip: string;
  retryAfter: boolean;
  members: Member[];
}

const pairs = (map: Record<string, string[]> | undefined): Pair[] =>
  Object.entries(map ?? {}).flatMap(([name, values]) => values.map((value) => ({ name, value })));

const unpair = (list: Pair[]): Record<string, string[]> => {
  const map: Record<string, string[]> = {};
  for (const { name, value } of list) if (name.trim()) (map[name.trim()] ??= []).push(value);
  return map;
};

/** PT1M30S as "90"; what is no such duration stays as it is. */
export const seconds = (text: string | undefined): string => {
  const m = /^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$/.exec(text ?? "");
  return m ? String(Number(m[1] ?? 0) * 86400 + Number(m[2] ?? 0) * 3600 + Number(m[3] ?? 0) * 60 + Number(m[4] ?? 0)) : text ?? "";
};
const duration = (text: string): string => (/^\d+(\.\d+)?$/.test(text.trim()) ? `PT${text.trim()}S` : text.trim());

const ranges = (text: string): { min: number; max: number }[] =>
  text.split(",").map((part) => part.trim()).filter(Boolean).map((part) => {
    const [min, max] = part.split("-").map((n) => Number(n.trim()));
    return { min: min ?? 0, max: max ?? min ?? 0 };
  });

export function toForm(backend: Backend | null): Form {
  const p = backend?.properties ?? {};
  const rule = p.circuitBreaker?.rules?.[0];
  return {
    name: backend?.name ?? "", type: p.type ?? "Single", url: p.url ?? "", title: p.title ?? "", description: p.description ?? "",
    certificates: (p.credentials?.certificateIds ?? []).map(nameOf), headers: pairs(p.credentials?.header), query: pairs(p.credentials?.query),
    scheme: p.credentials?.authorization?.scheme ?? "", parameter: p.credentials?.authorization?.parameter ?? "",
    chain: p.tls?.validateCertificateChain ?? true, nameCheck: p.tls?.validateCertificateName ?? true, ca: (p.tls?.postern?.caCertificates ?? []).join("\n"),
    breaker: Boolean(rule), count: String(rule?.failureCondition?.count ?? 3), interval: seconds(rule?.failureCondition?.interval ?? "PT1M"),
    statuses: (rule?.failureCondition?.statusCodeRanges ?? [{ min: 500, max: 599 }]).map((r) => `${r.min}-${r.max}`).join(", "),
    trip: seconds(rule?.tripDuration ?? "PT30S"), retryAfter: rule?.acceptRetryAfter ?? true,
    members: (p.pool?.services ?? []).map((m) => ({ id: nameOf(m.id), priority: String(m.priority ?? ""), weight: String(m.weight ?? "") })),
  };
}

const PEM = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

function tlsOf(form: Form, former: Backend | null): Backend["properties"]["tls"] {
  const postern = { ...former?.properties.tls?.postern }; // pins and the like, which are not in the form
  const ca = [...(form.ca.match(PEM) ?? []), ...form.ca.replace(PEM, " ").split(/\s+/).filter(Boolean)];
  delete postern.caCertificates;
  if (ca.length) postern.caCertificates = ca;
  return { ...former?.properties.tls, validateCertificateChain: form.chain, validateCertificateName: form.nameCheck, ...(Object.keys(postern).length ? { postern } : {}) };
}

export function toProperties(form: Form, former: Backend | null, serviceId: string): Backend["properties"] {
  const base = { ...(former?.properties ?? {}) };
  const common = { ...(form.title ? { title: form.title } : {}), ...(form.description ? { description: form.description } : {}) };
  delete base.title;
  delete base.description;
  if (form.type === "Pool")
    return {
      ...common, type: "Pool",
      pool: { services: form.members.filter((m) => m.id).map((m) => ({ id: `${serviceId}/backends/${m.id}`, ...(m.priority ? { priority: Number(m.priority) } : {}), ...(m.weight ? { weight: Number(m.weight) } : {}) })) },
    };
  const header = unpair(form.headers), query = unpair(form.query);
  const rest = former?.properties.circuitBreaker?.rules?.[0];
  delete base.credentials;
  delete base.circuitBreaker;
  delete base.pool;
  return {
    ...base, ...common, type: "Single", url: form.url.trim(), protocol: former?.properties.protocol ?? "http",
    credentials: {
      ...(form.certificates.length ? { certificateIds: form.certificates.map((c) => `${serviceId}/certificates/${c}`) } : {}),
      ...(Object.keys(header).length ? { header } : {}), ...(Object.keys(query).length ? { query } : {}),
      ...(form.scheme && form.parameter ? { authorization: { scheme: form.scheme, parameter: form.parameter } } : {}),
    },
    tls: tlsOf(form, former),
    ...(form.breaker ? { circuitBreaker: { rules: [{
      ...rest, name: rest?.name ?? `${form.name}-breaker`, tripDuration: duration(form.trip), acceptRetryAfter: form.retryAfter,
      failureCondition: { ...rest?.failureCondition, count: Number(form.count), interval: duration(form.interval), statusCodeRanges: ranges(form.statuses) },
    }] } } : {}),
  };
}
