// SPDX-License-Identifier: Apache-2.0
// Reading and writing resources below the service.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import * as arm from "./arm";
import { useEffect, useState } from "react";
import { useService } from "./service";

/** One resource with its ETag; `path` below the service, null: none is wanted. */
export function useEntity<P>(path: string | null, query?: Record<string, string>) {
  const service = useService();
  return useQuery({
    queryKey: [service.id, path, query ?? {}],
    queryFn: ({ signal }) => arm.call<arm.Entity<P>>(`${service.id}${path}`, { signal, ...(query ? { query } : {}) }),
    enabled: path !== null,
  });
}

const SETTLED_MS = 200;

/** What was typed, when nothing more is typed for a moment: the server is asked once and not for every letter. */
export function useSettled(text: string): string {
  const [settled, setSettled] = useState(text);
  useEffect(() => {
    if (text === "") {
      setSettled(""); // everything: known already
      return;
    }
    const timer = setTimeout(() => setSettled(text), SETTLED_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return text === "" ? "" : settled;
}

/** False in the first pass: a new page's title gets the focus then, which a dialog must not lose again. */
export function useMounted(): boolean {
  const [mounted, setMounted] = useState(false);
  useEffect(() => setMounted(true), []);
  return mounted;
}

/** A whole list, for short ones. */
export function useAll<T>(path: string | null, filter?: string) {
  const service = useService();
  return useQuery({
    queryKey: [service.id, path, "all", filter ?? ""],
    queryFn: ({ signal }) => arm.all<T>(`${service.id}${path}`, 1000, { signal, ...(filter ? { query: { $filter: filter } } : {}) }),
    enabled: path !== null,
  });
}

/** Anything else that is read. */
export function useRead<T>(key: readonly unknown[], read: (signal: AbortSignal) => Promise<T>, options: { enabled?: boolean; refetchInterval?: number } = {}) {
  const service = useService();
  return useQuery({ queryKey: [service.id, ...key], queryFn: ({ signal }) => read(signal), ...options });
}

export interface Write {
  method: "PUT" | "PATCH" | "DELETE" | "POST";
  /** below the service */
  path: string;
  body?: unknown;
  etag?: string | null;
  /** must not be there yet */
  isNew?: boolean;
  query?: Record<string, string>;
}

/** A change; afterwards everything of the service is read anew. */
export function useWrite<T = unknown>() {
  const service = useService();
  const client = useQueryClient();
  return useMutation({
    mutationFn: (write: Write) =>
      arm.call<T>(`${service.id}${write.path}`, {
        method: write.method,
        body: write.body,
        ...(write.etag ? { etag: write.etag } : {}),
        ...(write.isNew ? { isNew: true } : {}),
        ...(write.query ? { query: write.query } : {}),
      }),
    onSuccess: (_, write) => {
      const again = client.invalidateQueries({ queryKey: [service.id] });
      // The page of what was deleted has to go before it learns that it shows nothing any more.
      return write.method === "DELETE" ? undefined : again;
    },
  });
}
