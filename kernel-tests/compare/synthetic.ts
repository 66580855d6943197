/**
 * Comparisons made by hand, for the tests of what is said about them.
 */
import { type Histogram, emptyHistogram } from "../../src/host/histogram.js";
import type { ComparePoint, CompareResult } from "../../src/sim/compare.js";
import { intervalOf } from "../../src/sim/interval.js";
import { METRICS } from "../../src/sim/metrics.js";

export const UNDER = "linux-4.19+generic_page_mkwrite";
export const HELPER = "linux-4.19+generic_page_mkwrite_nommapsem";

export function histogramOf(values: readonly number[]): Histogram {
  const sorted = [...values].sort((a, b) => a - b);
  const buckets = [...new Set(sorted)].map((value) => [value, sorted.filter((v) => v === value).length] as const);
  const sum = values.reduce((a, b) => a + b, 0);
  return { N: values.length, sum, min: sorted[0] ?? 0, max: sorted[sorted.length - 1] ?? 0, buckets };
}

export function pointOf(values: Record<string, readonly number[]>, key: Partial<ComparePoint> = {}): ComparePoint {
  const metrics = Object.fromEntries(Object.entries(values).map(([name, list]) => [name, intervalOf(list)]));
  const empty = emptyHistogram();
  const histograms = { fault: empty, read_wait: empty, write_wait: empty, recorded: {} };
  return { fs: "ramfs", case: "", regime: UNDER, tasks: 4, metrics, path: "not asked", counters: {}, histograms, state_sha256: [], ...key };
}

export function resultOf(points: ComparePoint[], change: Partial<CompareResult> = {}): CompareResult {
  return {
    schema: "faultline.compare/1",
    version: "0.0.0",
    wasm_sha256: "0".repeat(64),
    command: "faultline compare made_by_hand",
    workload: "page_fault3",
    summary: "made by hand",
    ends: false,
    mode: "threads",
    set: [],
    length_bytes: [4096],
    warmup_ns: 0,
    duration_ns: 1e6,
    stagger_ns: 0,
    tasks: [...new Set(points.map((p) => p.tasks))],
    seeds: [1, 2, 3],
    regimes: [...new Set(points.map((p) => p.regime))],
    filesystems: [...new Set(points.map((p) => p.fs))],
    config: {},
    interval: { method: "order statistics of the median", coverage: 0.75 },
    metrics: Object.fromEntries(
      METRICS.map(({ name, label, unit, better, guarded, summary }) => [
        name,
        { label, unit, better: better ?? null, guarded: guarded === true, summary },
      ]),
    ),
    points,
    ...change,
  };
}
