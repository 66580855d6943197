/**
 * The results of runs as a table, as will-it-scale's CSV, and as lock_stat.
 */
import type { RunResult } from "../sim/result.js";
import { byTasks, summarize } from "../sim/sweep.js";
import { table } from "./format.js";
import { lockRows, runFooter, runHeader, runRows } from "./rows.js";

/** One line a number of tasks, with what was run above and what makes it again below. */
export function runTable(results: readonly RunResult[], columns = 120): string {
  const first = results[0];
  if (!first) return "no results";
  const { header, rows } = runRows(results);
  return `${runHeader(first, results)}\n\n${table(header, rows, columns)}\n\n${runFooter(results).join("\n")}`;
}

/**
 * will-it-scale's CSV, its line for no tasks included. Columns of the mode that was not run are empty; idle is the share of
 * the emulated CPUs' time in which no task ran, percent; linear is the first row's per-task rate times tasks.
 */
export function runCsv(results: readonly RunResult[]): string {
  const lines = ["tasks,processes,processes_idle,threads,threads_idle,linear", "0,0,100,0,100,0"];
  const groups = byTasks(results);
  const base = groups[0];
  const perTask = base ? summarize(base.results.map((r) => r.simulated.iterations_per_s)).median / base.tasks : 0;
  for (const { tasks, results: group } of groups) {
    const cell = (mode: string): string => {
      const of = group.filter((r) => r.mode === mode);
      if (of.length === 0) return ",";
      const rate = summarize(of.map((r) => r.simulated.iterations_per_s)).median;
      return `${Math.round(rate)},${summarize(of.map((r) => r.simulated.idle_percent)).median.toFixed(2)}`;
    };
    lines.push(`${tasks},${cell("processes")},${cell("threads")},${Math.round(perTask * tasks)}`);
  }
  return lines.join("\n");
}

/** lock_stat of one run. */
export function lockStatTable(result: RunResult, columns = 120): string {
  const { header, rows } = lockRows(result);
  return table(header, rows, columns);
}
