// SPDX-License-Identifier: Apache-2.0
// Counters of /metrics, and how they move.
import { useQuery } from "@tanstack/react-query";
import { useRef } from "react";

export type Metrics = Record<string, number>;
interface Sample { at: number; values: Metrics }
const KEPT = 60;

export function parseMetrics(text: string): Metrics {
  const values: Metrics = {};
  for (const line of text.split("\n")) {
    const found = /^([a-z_]+(?:\{[^}]*\})?) (-?[\d.e+]+)$/.exec(line);
    if (found?.[1]) values[found[1]] = Number(found[2]);
  }
  return values;
}

/** Samples since the page was opened, every five seconds. */
export function useMetrics(): { now: Metrics | null; samples: Sample[]; error: unknown } {
  const samples = useRef<Sample[]>([]);
  const query = useQuery({
    queryKey: ["metrics"],
    queryFn: async ({ signal }) => {
      const answer = await fetch("/metrics", { signal, cache: "no-store" });
      if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
      const values = parseMetrics(await answer.text());
      samples.current = [...samples.current, { at: Date.now(), values }].slice(-KEPT);
      return values;
    },
    refetchInterval: 5000, staleTime: 0,
  });
  return { now: query.data ?? null, samples: samples.current, error: query.error };
}

/** Per second, between each two samples. */
export const rates = (samples: Sample[], name: string): number[] =>
  samples.slice(1).map((s, i) => {
    const before = samples[i];
    return before ? Math.max(0, ((s.values[name] ?? 0) - (before.values[name] ?? 0)) / ((s.at - before.at) / 1000)) : 0;
  });
