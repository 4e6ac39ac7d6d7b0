// SPDX-License-Identifier: Apache-2.0
// Counters of /metrics, and how they move.
import { useQuery, useQueryClient } from "@tanstack/react-query";

export type Metrics = Record<string, number>;
export interface Sample { at: number; values: Metrics }
const KEPT = 60;

export function parseMetrics(text: string): Metrics {
  const values: Metrics = {};
  for (const line of text.split("\n")) {
    const found = /^([a-z_]+(?:\{[^}]*\})?) (-?[\d.e+]+)$/.exec(line);
    if (found?.[1]) values[found[1]] = Number(found[2]);
  }
  return values;
}

/** One more sample. Two within a second are one: between them a rate would be chance. */
export function withSample(samples: Sample[], sample: Sample): Sample[] {
  const last = samples[samples.length - 1];
  const former = last && sample.at - last.at < 1000 ? samples.slice(0, -1) : samples;
  return [...former, sample].slice(-KEPT);
}

/** Samples since a page that shows them was opened, every five seconds; all that look at them see the same. */
export function useMetrics(): { now: Metrics | null; samples: Sample[]; error: unknown } {
  const client = useQueryClient();
  const query = useQuery({
    queryKey: ["metrics"],
    queryFn: async ({ signal }) => {
      const answer = await fetch("/metrics", { signal, cache: "no-store" });
      if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
      const values = parseMetrics(await answer.text());
      return withSample(client.getQueryData<Sample[]>(["metrics"]) ?? [], { at: Date.now(), values });
    },
    refetchInterval: 5000, staleTime: 0, structuralSharing: false,
  });
  const samples = query.data ?? [];
  return { now: samples[samples.length - 1]?.values ?? null, samples, error: query.error };
}

/** Per second, between each two samples. */
export const rates = (samples: Sample[], name: string): number[] =>
  samples.slice(1).map((s, i) => {
    const before = samples[i];
    return before ? Math.max(0, ((s.values[name] ?? 0) - (before.values[name] ?? 0)) / ((s.at - before.at) / 1000)) : 0;
  });
