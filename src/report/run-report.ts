/**
 * The results of runs as a table, as will-it-scale's CSV, and as lock_stat.
 */
import type { RunResult } from "../sim/result.js";
import { byTasks, summarize } from "../sim/sweep.js";
import { formatBytes, formatCount, formatNs, table } from "./format.js";

function mmapSemWait(result: RunResult, mode: "read" | "write"): number {
  return result.simulated.locks.mmap_sem?.[mode].wait_ns ?? 0;
}

/** One line a number of tasks: medians over the seeds, with the 95 % interval when there are several. */
export function runTable(results: readonly RunResult[], columns = 120): string {
  const first = results[0];
  if (!first) return "no results";
  const several = byTasks(results).some((group) => group.results.length > 1);
  const header = ["tasks", "faults/s", ...(several ? ["95 %"] : []), "iterations/s", "p50", "p99", "p99.9", "max"];
  header.push("mmap_sem wait r", "w", "shootdowns", "lines", "host faults/s");
  const rows = byTasks(results).map(({ tasks, results: group }) => {
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
  return `${runHeader(first)}\n\n${table(header, rows, columns)}\n\n${runFooter(results)}`;
}

function runHeader(r: RunResult): string {
  const length = `${formatBytes(r.length_bytes)} a task`;
  return `${r.workload}, ${r.mode}, ${length}, ${formatNs(r.duration_ns)} measured after ${formatNs(r.warmup_ns)} of warm-up`;
}

function runFooter(results: readonly RunResult[]): string {
  const first = results[0];
  if (!first) return "";
  const seeds = [...new Set(results.map((r) => r.seed))].join(", ");
  const lines = [
    "All columns are simulated time but the last, which is this computer's.",
    `seed ${seeds}  config ${first.config_sha256.slice(0, 12)}  wasm ${first.wasm_sha256.slice(0, 12)}  version ${first.version}`,
  ];
  for (const r of results) lines.push(`state_sha256 ${r.state_sha256}  (${r.tasks} tasks, seed ${r.seed})`);
  return lines.join("\n");
}

/**
 * will-it-scale's CSV: tasks,processes,processes_idle,threads,threads_idle,linear. Columns of the mode that was not run are
 * empty; idle is the share of CPU time without a task, percent; linear is the first row's per-task rate times tasks.
 */
export function runCsv(results: readonly RunResult[], idlePercent: (r: RunResult) => number = () => 0): string {
  const lines = ["tasks,processes,processes_idle,threads,threads_idle,linear"];
  const groups = byTasks(results);
  const base = groups[0];
  const perTask = base ? summarize(base.results.map((r) => r.simulated.iterations_per_s)).median / base.tasks : 0;
  for (const { tasks, results: group } of groups) {
    const cell = (mode: string): string => {
      const of = group.filter((r) => r.mode === mode);
      if (of.length === 0) return ",";
      const rate = summarize(of.map((r) => r.simulated.iterations_per_s)).median;
      return `${Math.round(rate)},${summarize(of.map(idlePercent)).median.toFixed(2)}`;
    };
    lines.push(`${tasks},${cell("processes")},${cell("threads")},${Math.round(perTask * tasks)}`);
  }
  return lines.join("\n");
}

/** lock_stat as /proc/lock_stat lays it out: write and read lines apart, times in ns of simulated time. */
export function lockStatTable(result: RunResult, columns = 120): string {
  const header = ["class", "contentions", "waittime-total", "acquisitions", "holdtime-total", "hold avg"];
  const rows = Object.entries(result.simulated.locks).flatMap(([name, modes]) =>
    (["write", "read"] as const)
      .filter((mode) => modes[mode].acquisitions > 0)
      .map((mode) => {
        const lock = modes[mode];
        const held = lock.hold_ns / lock.acquisitions;
        return [
          `${name}-${mode === "write" ? "W" : "R"}`,
          String(lock.contentions),
          String(lock.wait_ns),
          String(lock.acquisitions),
          String(lock.hold_ns),
          formatNs(held),
        ];
      }),
  );
  return table(header, rows, columns);
}
