// SPDX-License-Identifier: Apache-2.0
// The key vault's data plane, under this server's origin: /vault/{name}/…
import * as arm from "./arm";
import { serverFacts } from "./session";

export const VAULT_VERSION = "7.4";
export const VAULT_ARM_VERSION = "2023-07-01";

export interface VaultItem {
  id: string;
  attributes?: { enabled?: boolean; nbf?: number; exp?: number; created?: number; updated?: number; recoveryLevel?: string };
  tags?: Record<string, string>;
  contentType?: string;
  x5t?: string;
  kid?: string;
  deletedDate?: number;
  scheduledPurgeDate?: number;
  recoveryId?: string;
  managed?: boolean;
}

export const call = <T>(vault: string, path: string, options: { method?: string; body?: unknown; signal?: AbortSignal } = {}): Promise<arm.Answer<T>> =>
  arm.call<T>(`/vault/${encodeURIComponent(vault)}${path}`, {
    ...options, version: VAULT_VERSION, audience: serverFacts()?.vaultAudience ?? "",
  });

/** One page of a list; `next` is what asks for the next one. */
export async function page(vault: string, path: string, from: string, signal?: AbortSignal): Promise<{ value: VaultItem[]; next?: string }> {
  const query = from ? Object.fromEntries(new URLSearchParams(from)) : { maxresults: "25" };
  const { value } = await arm.call<{ value: VaultItem[]; nextLink?: string | null }>(`/vault/${encodeURIComponent(vault)}${path}`, {
    version: VAULT_VERSION, audience: serverFacts()?.vaultAudience ?? "", query, ...(signal ? { signal } : {}),
  });
  const items = (value.value ?? []).map((item) => ({ ...item, id: item.id ?? item.kid ?? "" })); // keys are named by kid
  if (!value.nextLink) return { value: items };
  const next = new URL(value.nextLink).searchParams;
  next.delete("api-version");
  return { value: items, next: next.toString() };
}

/** Every item of a list, page by page. */
export async function list(vault: string, path: string, signal?: AbortSignal): Promise<VaultItem[]> {
  const found: VaultItem[] = [];
  let from: string | undefined = "";
  for (let count = 0; from !== undefined && count < 400; count++) {
    const one: { value: VaultItem[]; next?: string } = await page(vault, path, from, signal);
    found.push(...one.value);
    from = one.next;
  }
  return found;
}

/** The object's name in "https://v/secrets/NAME/VERSION". */
export const objectName = (id: string): string => new URL(id).pathname.split("/")[2] ?? "";
export const objectVersion = (id: string): string => new URL(id).pathname.split("/")[3] ?? "";

/** The name in "https://v/certificates/issuers/NAME". */
export const issuerName = (id: string): string => new URL(id).pathname.split("/")[3] ?? "";

/** https://{vault}/secrets|certificates/{name}[/{version}] taken apart; null: it is none. */
export function parseIdentifier(text: string): { host: string; kind: string; name: string; version: string } | null {
  try {
    const url = new URL(text.trim());
    const [, kind = "", name = "", version = "", more] = url.pathname.split("/");
    if (url.protocol !== "https:" || more !== undefined || !/^(secrets|certificates)$/i.test(kind) || !/^[0-9A-Za-z-]{1,127}$/.test(name)) return null;
    return { host: url.host, kind: kind.toLowerCase(), name, version };
  } catch {
    return null;
  }
}
