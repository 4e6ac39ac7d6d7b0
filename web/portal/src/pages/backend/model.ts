// SPDX-License-Identifier: Apache-2.0
// A backend as a form, and back. What the form does not show, and what nobody has changed in it, is
// kept as it was.
import { nameOf } from "../../core/arm";
import type { Backend, BreakerRule } from "../../core/types";

export interface Pair { name: string; value: string }
export interface Member {
  id: string;
  priority: string;
  weight: string;
  /** as it is stored, with what the form does not show; null: it is new */
  former: Service | null;
}
type Service = NonNullable<Backend["properties"]["pool"]>["services"][number];
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
  /** what trips it: so many failures, or such a share of the requests */
  measure: "count" | "percentage";
  count: string;
  percentage: string;
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
  const condition = rule?.failureCondition;
  return {
    name: backend?.name ?? "", type: p.type ?? "Single", url: p.url ?? "", title: p.title ?? "", description: p.description ?? "",
    certificates: (p.credentials?.certificateIds ?? []).map(nameOf), headers: pairs(p.credentials?.header), query: pairs(p.credentials?.query),
    scheme: p.credentials?.authorization?.scheme ?? "", parameter: p.credentials?.authorization?.parameter ?? "",
    chain: p.tls?.validateCertificateChain ?? true, nameCheck: p.tls?.validateCertificateName ?? true, ca: (p.tls?.postern?.caCertificates ?? []).join("\n"),
    breaker: Boolean(rule), measure: condition?.percentage !== undefined ? "percentage" : "count",
    count: String(condition?.count ?? 3), percentage: String(condition?.percentage ?? 50), interval: seconds(condition?.interval ?? "PT1M"),
    statuses: (condition?.statusCodeRanges ?? [{ min: 500, max: 599 }]).map((r) => (r.min === r.max ? String(r.min) : `${r.min}-${r.max}`)).join(", "),
    trip: seconds(rule?.tripDuration ?? "PT30S"), retryAfter: rule?.acceptRetryAfter ?? true,
    members: (p.pool?.services ?? []).map((m) => ({ id: nameOf(m.id), priority: String(m.priority ?? ""), weight: String(m.weight ?? ""), former: m })),
  };
}

/** What trips the breaker, in words. */
export function breakerWords(rule: BreakerRule): string {
  const condition = rule.failureCondition;
  const much = condition?.percentage !== undefined ? `${condition.percentage}% failures` : `${condition?.count ?? "?"} failures`;
  return `${much} within ${seconds(condition?.interval)} s trip it for ${seconds(rule.tripDuration)} s`;
}

const PEM = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;
const isSame = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

/** Puts `value` at `name`; empty: takes the member away. */
function put<T extends object, K extends keyof T>(object: T, name: K, value: T[K] | undefined): void {
  if (value === undefined || value === "" || (typeof value === "object" && Object.keys(value as object).length === 0)) delete object[name];
  else object[name] = value;
}

/** What trips it, written into the first rule; the others stay. */
function breakerOf(form: Form, was: Form, former: Backend["properties"]["circuitBreaker"]): Backend["properties"]["circuitBreaker"] {
  const [rule, ...others] = former?.rules ?? [];
  const condition = { ...rule?.failureCondition };
  const isNew = rule === undefined;
  const changed = (...names: (keyof Form)[]): boolean => isNew || names.some((name) => form[name] !== was[name]);
  if (changed("measure", "count", "percentage")) {
    delete condition.count;
    delete condition.percentage;
    condition[form.measure] = Number(form[form.measure]);
  }
  if (changed("interval")) condition.interval = duration(form.interval);
  if (changed("statuses")) condition.statusCodeRanges = ranges(form.statuses);
  return { ...former, rules: [{
    ...rule, name: rule?.name ?? `${form.name}-breaker`, failureCondition: condition,
    ...(changed("trip") ? { tripDuration: duration(form.trip) } : {}),
    ...(changed("retryAfter") ? { acceptRetryAfter: form.retryAfter } : {}),
  }, ...others] };
}

const memberOf = (m: Member, serviceId: string): Service => {
  const service = { ...m.former, id: m.former && nameOf(m.former.id) === m.id ? m.former.id : `${serviceId}/backends/${m.id}` };
  if (m.priority !== String(m.former?.priority ?? "")) put(service, "priority", m.priority === "" ? undefined : Number(m.priority));
  if (m.weight !== String(m.former?.weight ?? "")) put(service, "weight", m.weight === "" ? undefined : Number(m.weight));
  return service;
};

/** `opened`: what the form was filled with (null: nothing); `former`: what is stored now, which is
 *  another when somebody has saved meanwhile. What differs between form and `opened` is written over `former`. */
export function toProperties(form: Form, opened: Backend | null, former: Backend | null, serviceId: string): Backend["properties"] {
  const was = toForm(opened);
  const p = structuredClone(former?.properties ?? {});
  const isNew = former === null;
  const changed = (...names: (keyof Form)[]): boolean => isNew || names.some((name) => !isSame(form[name], was[name]));
  if (changed("type")) p.type = form.type;
  if (changed("title")) put(p, "title", form.title);
  if (changed("description")) put(p, "description", form.description);
  if (form.type === "Pool") {
    if (!isNew && changed("type")) // what the form had shown of a single one, and says that it goes: a certificate would stay in use by it
      for (const name of ["url", "credentials", "tls", "circuitBreaker"] as const) delete p[name];
    if (changed("members")) p.pool = { ...p.pool, services: form.members.filter((m) => m.id).map((m) => memberOf(m, serviceId)) };
    return p;
  }
  delete p.pool; // it is none any more
  p.protocol ??= "http";
  if (changed("url")) p.url = form.url.trim();
  const credentials = { ...p.credentials };
  if (changed("certificates")) put(credentials, "certificateIds", form.certificates.map((c) => (p.credentials?.certificateIds ?? []).find((id) => nameOf(id) === c) ?? `${serviceId}/certificates/${c}`));
  if (changed("headers")) put(credentials, "header", unpair(form.headers));
  if (changed("query")) put(credentials, "query", unpair(form.query));
  if (changed("scheme", "parameter")) put(credentials, "authorization", form.scheme && form.parameter ? { ...credentials.authorization, scheme: form.scheme, parameter: form.parameter } : undefined);
  if (changed("certificates", "headers", "query", "scheme", "parameter")) put(p, "credentials", credentials);
  if (changed("chain", "nameCheck", "ca")) {
    const postern = { ...p.tls?.postern };
    if (changed("ca")) put(postern, "caCertificates", [...(form.ca.match(PEM) ?? []), ...form.ca.replace(PEM, " ").split(/\s+/).filter(Boolean)]);
    p.tls = { ...p.tls, validateCertificateChain: form.chain, validateCertificateName: form.nameCheck };
    put(p.tls, "postern", postern);
  }
  const breaker: (keyof Form)[] = ["breaker", "measure", "count", "percentage", "interval", "statuses", "trip", "retryAfter"];
  if (!form.breaker) {
    if (changed("breaker")) delete p.circuitBreaker;
  } else if (changed(...breaker)) p.circuitBreaker = breakerOf(form, was, p.circuitBreaker);
  return p;
}

/** The members that differ, for PATCH: it replaces each as a whole, null takes it away. What no GET shows stays so, too. */
export function changesOf(former: Backend, next: Backend["properties"]): Record<string, unknown> {
  const old = former.properties as Record<string, unknown>, now = next as Record<string, unknown>;
  const names = [...new Set([...Object.keys(old), ...Object.keys(now)])].filter((name) => !isSame(old[name], now[name]));
  return Object.fromEntries(names.map((name) => [name, now[name] ?? null]));
}
