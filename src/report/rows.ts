/**
 * Results of runs as rows of text: what the terminal aligns and the page lays out.
 *
 * Interface: Rows, runRows, latencyRows, waitRows, lockRows, runHeader, runFooter.
 * Invariants: [rows-1] every row has as many cells as the header; every number carries its unit.
 * Locks: none.
 * Why not in run-report.ts: the page must not load what only a terminal or a file needs.
 */
import type { Latency } from "../host/histogram.js";
import type { LockResult, RunResult } from "../sim/result.js";
import { byTasks, summarize } from "../sim/sweep.js";
import { formatBytes, formatCount, formatNs } from "./format.js";

/** A table before it is laid out. The first column names the row. */
export interface Rows {
  header: string[];
  rows: string[][];
}

function mmapSemWait(result: RunResult, mode: "read" | "write"): number {
  return result.simulated.locks.mmap_sem?.[mode].wait_ns ?? 0;
}

/** One row a number of tasks: medians over the seeds, with the 95 % interval when there are several. The last column is host time. */
export function runRows(results: readonly RunResult[]): Rows {
  const groups = byTasks(results);
  const several = groups.some((group) => group.results.length > 1);
  const header = ["tasks", "faults/s", ...(several ? ["95 %"] : []), "iterations/s", "p50", "p99", "p99.9", "max"];
  header.push("mmap_sem wait r", "w", "shootdowns", "lines", "host faults/s");
  const rows = groups.map(({ tasks, results: group }) => {
    const median = (pick: (r: RunResult) => number): number => summarize(group.map(pick)).median;
    const faults = summarize(group.map((r) => r.simulated.faults_per_s));
    return [
      String(tasks),
      formatCount(faults.median),
      ...(several ? [`${formatCount(faults.low)}..${formatCount(faults.high)}`] : []),
      formatCount(median((r) => r.simulated.iterations_per_s)),
      formatNs(median((r) => r.simulated.fault_ns.percentile["50"])),
      formatNs(median((r) => r.simulated.fault_ns.percentile["99"])),
      formatNs(median((r) => r.simulated.fault_ns.percentile["99.9"])),
      formatNs(median((r) => r.simulated.fault_ns.max)),
      formatNs(median((r) => mmapSemWait(r, "read"))),
      formatNs(median((r) => mmapSemWait(r, "write"))),
      formatCount(median((r) => r.simulated.tlb_shootdowns)),
      formatCount(median((r) => r.simulated.cache_line_transfers)),
      formatCount(median((r) => r.host.faults_per_s)),
    ];
  });
  return { header, rows };
}

const LATENCY_HEADER = ["min", "p50", "p90", "p99", "p99.9", "max", "mean"];

function latencyCells({ min, percentile, max, mean }: Latency): string[] {
  const times = [min, percentile["50"], percentile["90"], percentile["99"], percentile["99.9"], max, mean];
  return times.map(formatNs);
}

/** Latencies of page faults from trap to return, one row a run. */
export function latencyRows(results: readonly RunResult[]): Rows {
  const rows = results.map((r) => [
    String(r.tasks),
    String(r.seed),
    formatCount(r.simulated.fault_ns.N),
    ...latencyCells(r.simulated.fault_ns),
  ]);
  return { header: ["tasks", "seed", "faults", ...LATENCY_HEADER], rows };
}

/** Who waited for mmap_sem in one run, and what its guests recorded. Acquisitions that found the lock free waited 0 ns. */
export function waitRows({ simulated: { mmap_sem_wait_ns: waits, recorded } }: RunResult): Rows {
  const all: [string, Latency][] = [
    ["mmap_sem read wait", waits.read],
    ["mmap_sem write wait", waits.write],
    ...Object.entries(recorded).map(([name, latency]): [string, Latency] => [name.replace(/_ns$/, ""), latency]),
  ];
  return { header: ["what", "N", ...LATENCY_HEADER], rows: all.map(([name, l]) => [name, formatCount(l.N), ...latencyCells(l)]) };
}

/** lock_stat as /proc/lock_stat lays it out: write and read lines apart, times in ns of simulated time. */
export function lockRows(result: RunResult): Rows {
  const header = ["class", "contentions", "waittime-total", "acquisitions", "holdtime-total", "hold avg"];
  const row = (name: string, lock: LockResult): string[] => [
    name,
    String(lock.contentions),
    String(lock.wait_ns),
    String(lock.acquisitions),
    String(lock.hold_ns),
    formatNs(lock.hold_ns / lock.acquisitions),
  ];
  const rows = Object.entries(result.simulated.locks).flatMap(([name, modes]) =>
    (["write", "read"] as const)
      .filter((mode) => modes[mode].acquisitions > 0)
      .map((mode) => row(`${name}-${mode === "write" ? "W" : "R"}`, modes[mode])),
  );
  return { header, rows };
}

/** What was run, in one line. With more tasks in the same memory each may map less: then both ends are named. */
export function runHeader(r: RunResult, results: readonly RunResult[] = [r]): string {
  const lengths = [...new Set(results.map((result) => result.length_bytes))].sort((a, b) => b - a);
  const [longest = 0, shortest = longest] = [lengths[0], lengths.at(-1)];
  const length = `${formatBytes(longest)}${shortest < longest ? ` to ${formatBytes(shortest)}` : ""} a task`;
  return `${r.workload}, ${r.mode}, ${length}, ${formatNs(r.duration_ns)} measured after ${formatNs(r.warmup_ns)} of warm-up`;
}

/** What the columns mean, what makes the runs again, and the final state of each. */
export function runFooter(results: readonly RunResult[]): string[] {
  const first = results[0];
  if (!first) return [];
  const seeds = [...new Set(results.map((r) => r.seed))].join(", ");
  return [
    "All columns are simulated time but the last, which is this computer's.",
    `seed ${seeds}  config ${first.config_sha256.slice(0, 12)}  wasm ${first.wasm_sha256.slice(0, 12)}  version ${first.version}`,
    ...results.map((r) => `state_sha256 ${r.state_sha256}  (${r.tasks} tasks, seed ${r.seed})`),
  ];
}
