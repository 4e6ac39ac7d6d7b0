// SPDX-License-Identifier: Apache-2.0
// Who is signed in, and access tokens for the REST API.
//
// The session has two halves: a cookie that no script can read, and a key that this origin keeps.
// Both together get an authorization code (PKCE), and the code an access token, which lives for ten
// minutes in this module's memory and nowhere else.

export interface Person {
  displayName: string;
  userName?: string;
  objectId: string;
  expiresOn: string;
}

interface Facts {
  tenantId: string;
  clientId: string;
  vaultAudience: string;
  version: string;
  /** as the server sees this browser */
  clientAddress?: string;
  /** identity providers by which people sign in */
  issuers?: { name: string; path: string }[];
  session?: Person;
}

export class SignInError extends Error {
  constructor(message: string, readonly status: number) {
    super(message);
  }
}

type State =
  | { kind: "unknown" }
  | { kind: "unreachable"; message: string }
  | { kind: "out"; lost: boolean }
  | { kind: "in"; person: Person };

const KEY = "postern.session-key";
const SESSION = "/signin/session";

let state: State = { kind: "unknown" };
let facts: Facts | undefined;
const listeners = new Set<() => void>();
const tokens = new Map<string, { token: string; expires: number }>();
const pending = new Map<string, Promise<string>>();

function set(next: State): void {
  state = next;
  listeners.forEach((listener) => listener());
}

export const subscribe = (listener: () => void): (() => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};
export const current = (): State => state;
export const serverFacts = (): Facts | undefined => facts;

function headers(extra: Record<string, string> = {}): Record<string, string> {
  const key = localStorage.getItem(KEY);
  return { Accept: "application/json", ...(key ? { "X-Postern-Session-Key": key } : {}), ...extra };
}

/** Asks the server who we are. */
export async function load(): Promise<void> {
  try {
    const answer = await fetch(SESSION, { headers: headers(), cache: "no-store" });
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    facts = (await answer.json()) as Facts;
    set(facts.session ? { kind: "in", person: facts.session } : { kind: "out", lost: false });
  } catch (error) {
    set({ kind: "unreachable", message: String(error instanceof Error ? error.message : error) });
  }
}

export async function signIn(proof: { code: string } | { userName: string; password: string }): Promise<void> {
  const answer = await fetch(SESSION, {
    method: "POST",
    headers: headers({ "Content-Type": "application/json" }),
    body: JSON.stringify(proof),
  });
  const body = (await answer.json().catch(() => ({}))) as { sessionKey?: string; error?: { message?: string } };
  if (!answer.ok || !body.sessionKey)
    throw new SignInError(body.error?.message ?? `The server answered ${answer.status}.`, answer.status);
  tokens.clear();
  localStorage.setItem(KEY, body.sessionKey);
  await load();
}

export async function signOut(): Promise<void> {
  const mine = headers();
  tokens.clear();
  localStorage.removeItem(KEY);
  try {
    await fetch(SESSION, { method: "DELETE", headers: mine });
  } finally {
    set({ kind: "out", lost: false });
  }
}

/** The server no longer takes us: what is on the screen stays, and asks to sign in again. */
export function lose(): void {
  tokens.clear();
  if (state.kind === "in") set({ kind: "out", lost: true });
}

// Another tab has signed in or out.
window.addEventListener("storage", (event) => {
  if (event.key !== KEY) return;
  tokens.clear();
  void load();
});

const base64url = (bytes: Uint8Array): string =>
  btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

async function fetchToken(audience: string): Promise<string> {
  if (!facts) throw new Error("not loaded yet");
  const verifier = base64url(crypto.getRandomValues(new Uint8Array(48)));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  const oauth = `/${facts.tenantId}/oauth2/v2.0`;
  const redirect = `${location.origin}/signin/callback`;
  const state = base64url(crypto.getRandomValues(new Uint8Array(16)));
  const query = new URLSearchParams({
    client_id: facts.clientId, redirect_uri: redirect, response_type: "code", prompt: "none", state,
    scope: `${audience}/.default`, code_challenge: base64url(new Uint8Array(digest)), code_challenge_method: "S256",
  });
  const led = await fetch(`${oauth}/authorize?${query}`, { headers: headers(), cache: "no-store" });
  const back = new URL(led.url).searchParams;
  if (back.get("error") === "login_required") {
    lose();
    throw new SignInError("Your session has ended. Sign in again.", 401);
  }
  if (!back.get("code") || back.get("state") !== state)
    throw new Error(back.get("error") ?? `The server answered ${led.status} when it was asked for a token.`);
  const answer = await fetch(`${oauth}/token`, {
    method: "POST",
    headers: { Accept: "application/json", "Content-Type": "application/x-www-form-urlencoded" },
    body: new URLSearchParams({
      grant_type: "authorization_code", client_id: facts.clientId, redirect_uri: redirect,
      code: back.get("code") ?? "", code_verifier: verifier,
    }).toString(),
  });
  const body = (await answer.json()) as { access_token?: string; expires_in?: number; error_description?: string };
  if (!body.access_token) throw new Error(body.error_description ?? `The server answered ${answer.status}.`);
  tokens.set(audience, { token: body.access_token, expires: Date.now() + ((body.expires_in ?? 600) - 60) * 1000 });
  return body.access_token;
}

/** A token for the management API, or for the vault. */
export const MANAGEMENT = "https://management.azure.com";

export async function token(audience: string = MANAGEMENT): Promise<string> {
  const kept = tokens.get(audience);
  if (kept && kept.expires > Date.now()) return kept.token;
  let asked = pending.get(audience);
  if (!asked) {
    asked = fetchToken(audience).finally(() => pending.delete(audience));
    pending.set(audience, asked);
  }
  return asked;
}

export function forgetToken(audience: string = MANAGEMENT): void {
  tokens.delete(audience);
}
