/**
 * What a comparison compares: each metric's name, unit, direction, and how it is read from a run.
 *
 * Interface: Metric, METRICS, metricsOf, metricByName.
 * Invariants: [met-1] a metric that a run cannot have (no victim, no page_mkwrite) is undefined there, never 0.
 * Locks: none.
 * Why not fields of the result: the table, CSV, JSON and the baseline check walk one list.
 */
import type { Latency } from "../host/histogram.js";
import type { Workload } from "../workloads/index.js";
import { regimeOf } from "./regimes.js";
import type { RunResult } from "./result.js";

export type MetricUnit = "1/s" | "ns" | "%" | "1" | "count";

export interface Metric {
  name: string;
  /** Column head. */
  label: string;
  unit: MetricUnit;
  summary: string;
  better?: "higher" | "lower";
  /** Whether a baseline check looks at it. */
  guarded?: boolean;
  of(result: RunResult): number | undefined;
}

function counter(result: RunResult, name: string): number | undefined {
  return result.simulated.counters[name];
}

/** a / b, undefined where b is absent or 0. */
function share(a: number | undefined, b: number | undefined, scale = 1): number | undefined {
  return a === undefined || b === undefined || b === 0 ? undefined : (a * scale) / b;
}

type Quantile = "50" | "99" | "99.9" | "max";

function quantile(latency: Latency | undefined, q: Quantile): number | undefined {
  if (!latency || latency.N === 0) return undefined;
  return q === "max" ? latency.max : latency.percentile[q];
}

function latencies(
  prefix: string,
  label: string,
  what: string,
  quantiles: readonly Quantile[],
  pick: (r: RunResult) => Latency | undefined,
): Metric[] {
  return quantiles.map((q): Metric => {
    const suffix = q === "max" ? "max" : `p${q}`;
    const metric: Metric = {
      name: `${prefix}_${suffix.replace(".", "_")}_ns`,
      label: `${label} ${suffix}`,
      unit: "ns",
      summary: `${what}, ${suffix}`,
      better: "lower",
      of: (result) => quantile(pick(result), q),
    };
    // The maximum is one event: it says what can happen, not what has changed.
    return q === "max" ? metric : { ...metric, guarded: true };
  });
}

const THROUGHPUT: readonly Metric[] = [
  {
    name: "faults_per_s",
    label: "faults/s",
    unit: "1/s",
    summary: "page faults of all tasks a second of simulated time",
    better: "higher",
    guarded: true,
    of: (r) => r.simulated.faults_per_s,
  },
  {
    name: "iterations_per_s",
    label: "iterations/s",
    unit: "1/s",
    summary: "iterations as the workload counts them, a second of simulated time",
    better: "higher",
    guarded: true,
    of: (r) => r.simulated.iterations_per_s,
  },
];

/** Share of the stashed pages that the second pass found good; of a regime whose second pass never looks, 0. */
function stashAccepted(result: RunResult): number | undefined {
  const counters = result.simulated.counters;
  const accepted = counters.mkwrite_stash_accepted ?? 0;
  const rejected = Object.entries(counters).reduce((n, [name, count]) => n + (name.startsWith("stash_rejected_") ? count : 0), 0);
  if (accepted + rejected > 0) return (accepted * 100) / (accepted + rejected);
  const cameBack = (counters.mkwrite_unlocked_attempts ?? 0) - (counters.mkwrite_completed ?? 0);
  return regimeOf(result.config).mkwrite !== "kara" && cameBack > 0 ? 0 : undefined;
}

/** How page_mkwrite ran: the proof that a regime's path was taken. */
const PATH: readonly Metric[] = [
  {
    name: "callbacks_per_fault",
    label: "callbacks/fault",
    unit: "1",
    summary: "runs of ->page_mkwrite a fault that asked for it",
    better: "lower",
    of: (r) => share(counter(r, "mkwrite_runs"), counter(r, "mkwrite_faults")),
  },
  {
    name: "unlocked_attempts",
    label: "unlocked",
    unit: "count",
    summary: "runs of ->page_mkwrite without the fault lock",
    of: (r) => counter(r, "mkwrite_unlocked_attempts"),
  },
  {
    name: "stash_accepted_percent",
    label: "stash accepted",
    unit: "%",
    summary: "stashed pages that the second pass took as they were",
    better: "higher",
    of: stashAccepted,
  },
  {
    name: "completed_percent",
    label: "COMPLETED",
    unit: "%",
    summary: "unlocked attempts that ended in VM_FAULT_COMPLETED, without a second pass",
    better: "higher",
    of: (r) => share(counter(r, "mkwrite_completed"), counter(r, "mkwrite_unlocked_attempts"), 100),
  },
  {
    name: "slow_reservations_percent",
    label: "slow reservations",
    unit: "%",
    summary: "reservations of space that had to wait for it, per run of ->page_mkwrite",
    of: (r) => share(counter(r, "reservation_waits"), counter(r, "mkwrite_runs"), 100),
  },
];

const READ_WAIT = latencies(
  "read_wait",
  "read wait",
  "wait of down_read(mmap_sem), all acquisitions",
  ["50", "99", "max"],
  (r) => r.simulated.mmap_sem_wait_ns.read,
);
const WRITE_WAIT = latencies(
  "write_wait",
  "write wait",
  "wait of down_write(mmap_sem), all acquisitions",
  ["50", "99", "max"],
  (r) => r.simulated.mmap_sem_wait_ns.write,
);

/** Metrics that every workload has. */
export const METRICS: readonly Metric[] = [
  ...THROUGHPUT,
  ...latencies("fault", "fault", "page fault from trap to return", ["50", "99", "99.9"], (r) => r.simulated.fault_ns),
  ...READ_WAIT,
  ...WRITE_WAIT,
  ...PATH,
];

/** Metrics of a workload: those that every one has, and what its guests record. */
export function metricsOf(workload: Workload): Metric[] {
  const recorded = (workload.recorded ?? []).flatMap((r) => {
    if (r.internal === true) return [];
    const prefix = r.name.replace(/_ns$/, "");
    return latencies(prefix, prefix.replaceAll("_", " "), r.summary, ["50", "99", "max"], (result) => result.simulated.recorded[r.name]);
  });
  return [...METRICS, ...recorded];
}
