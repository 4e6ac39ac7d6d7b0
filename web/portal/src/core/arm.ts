// SPDX-License-Identifier: Apache-2.0
// Calls of the REST API: tokens, errors in the server's words, ETags.
import * as session from "./session";

export const API_VERSION = "2024-05-01";

export interface Detail {
  code?: string;
  target?: string;
  message?: string;
  innererror?: { code?: string };
}

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly details: Detail[] = [],
    readonly requestId: string | null = null,
  ) {
    super(message);
  }
  /** The server's sentence about one field, if it has one. */
  about(...targets: string[]): string | undefined {
    return this.details.find((d) => d.target && targets.some((t) => d.target === t || d.target?.endsWith(`.${t}`)))?.message;
  }
  /** All that the server said, in one text. */
  get words(): string {
    // Of users each detail tells how, the message who.
    if (this.details[0]?.innererror?.code === "in_use") return this.message;
    const details = this.details.map((d) => d.message).filter(Boolean);
    return details.length ? details.join("\n") : this.message;
  }
}

/** It is not there, or not any more. */
export const isMissing = (error: unknown): boolean => error instanceof ApiError && error.status === 404;

/** The server could not be reached at all. */
export class NetworkError extends Error {}

export interface Entity<P = Record<string, unknown>> {
  id: string;
  name: string;
  type: string;
  properties: P;
  etag?: string;
  [other: string]: unknown;
}

export interface Page<T> {
  value: T[];
  count: number;
  nextLink?: string;
}

interface CallOptions {
  method?: string;
  body?: unknown;
  etag?: string;
  /** A PUT that makes something and must not change what is there. */
  isNew?: boolean;
  query?: Record<string, string | number | undefined>;
  version?: string;
  audience?: string;
  signal?: AbortSignal;
}

export interface Answer<T> {
  value: T;
  etag: string | null;
  status: number;
  headers: Headers;
}

async function send(path: string, options: CallOptions): Promise<Response> {
  const query = new URLSearchParams({ "api-version": options.version ?? API_VERSION });
  for (const [name, value] of Object.entries(options.query ?? {})) if (value !== undefined && value !== "") query.set(name, String(value));
  const headers: Record<string, string> = {
    Accept: "application/json",
    Authorization: `Bearer ${await session.token(options.audience)}`,
  };
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  if (options.etag) headers["If-Match"] = options.etag;
  if (options.isNew) headers["If-None-Match"] = "*";
  try {
    return await fetch(`${path}?${query}`, {
      method: options.method ?? "GET",
      headers,
      cache: "no-store",
      ...(options.body !== undefined ? { body: JSON.stringify(options.body) } : {}),
      ...(options.signal ? { signal: options.signal } : {}),
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new NetworkError("The server cannot be reached. It may be starting again: try once more in a moment.");
  }
}

async function toError(answer: Response): Promise<ApiError> {
  const body = (await answer.json().catch(() => ({}))) as {
    error?: { code?: string; message?: string; details?: Detail[] | null };
  };
  const message = body.error?.message ?? `The server answered ${answer.status} ${answer.statusText}`.trim();
  return new ApiError(answer.status, body.error?.code ?? String(answer.status), message, body.error?.details ?? [], answer.headers.get("x-ms-request-id"));
}

const alreadyThere = (path: string): ApiError =>
  new ApiError(409, "AlreadyExists", `There is a ${nameOf(path)} already, and it stays as it is. Choose another name, or open that one to change it.`);

/** One call; a token that has expired meanwhile is replaced once. */
export async function call<T>(path: string, options: CallOptions = {}): Promise<Answer<T>> {
  let answer = await send(path, options);
  if (answer.status === 401) {
    session.forgetToken(options.audience);
    answer = await send(path, options);
    if (answer.status === 401) session.lose();
  }
  if (answer.status === 412 && options.isNew) throw alreadyThere(path);
  if (!answer.ok) throw await toError(answer);
  const text = answer.status === 204 ? "" : await answer.text();
  return { value: (text ? JSON.parse(text) : undefined) as T, etag: answer.headers.get("ETag"), status: answer.status, headers: answer.headers };
}

export async function get<T>(path: string, query?: CallOptions["query"], signal?: AbortSignal): Promise<T> {
  return (await call<T>(path, { ...(query ? { query } : {}), ...(signal ? { signal } : {}) })).value;
}

/** Everything of a list, for pickers: at most `limit`. */
export async function all<T>(path: string, limit = 1000, extra: Partial<CallOptions> = {}): Promise<T[]> {
  const found: T[] = [];
  for (let skip = 0; found.length < limit; skip += 100) {
    const page = (await call<Page<T>>(path, { ...extra, query: { ...extra.query, $top: 100, $skip: skip } })).value;
    found.push(...page.value);
    if (!page.nextLink) break;
  }
  return found;
}

/** The name at the end of an id. */
export const nameOf = (id: string): string => decodeURIComponent(id.slice(id.lastIndexOf("/") + 1));
