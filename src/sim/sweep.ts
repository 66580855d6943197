/**
 * Sweeps: a workload over numbers of tasks and seeds, and what several seeds say together.
 */
import { medianSorted, quantileSorted } from "simple-statistics";
import type { RunResult } from "./result.js";
import { type KernelImage, type RunDescription, runPoint } from "./run.js";

export interface SweepDescription extends Omit<RunDescription, "tasks"> {
  tasks: readonly number[];
  seeds: readonly number[];
}

/** The points of a sweep, tasks outermost. */
export function sweepPoints(sweep: SweepDescription): RunDescription[] {
  const { tasks, seeds, ...rest } = sweep;
  return tasks.flatMap((n) => seeds.map((seed) => ({ ...rest, tasks: n, config: { ...rest.config, seed } })));
}

/** Runs every point, one after the other; `progress` hears of each. */
export async function runSweep(
  kernel: KernelImage,
  sweep: SweepDescription,
  progress?: (done: number, total: number) => void,
): Promise<RunResult[]> {
  const points = sweepPoints(sweep);
  const results: RunResult[] = [];
  for (const point of points) {
    results.push(await runPoint(kernel, point));
    progress?.(results.length, points.length);
  }
  return results;
}

export interface Summary {
  median: number;
  /** The middle 95 % of the values; with fewer than 20 values their whole range. */
  low: number;
  high: number;
  n: number;
}

/** Median and 95 % interval of at least one value. */
export function summarize(values: readonly number[]): Summary {
  const sorted = [...values].sort((a, b) => a - b);
  return {
    median: medianSorted(sorted),
    low: quantileSorted(sorted, 0.025),
    high: quantileSorted(sorted, 0.975),
    n: sorted.length,
  };
}

/** Results grouped by number of tasks, ascending. */
export function byTasks(results: readonly RunResult[]): { tasks: number; results: RunResult[] }[] {
  const groups = new Map<number, RunResult[]>();
  for (const result of results) groups.set(result.tasks, [...(groups.get(result.tasks) ?? []), result]);
  return [...groups].sort(([a], [b]) => a - b).map(([tasks, group]) => ({ tasks, results: group }));
}
