/**
 * One point of a comparison, run from boot to everything that reports want of it. Works in Node, in workers, in browsers.
 *
 * Interface: PointJob, PointOutcome, runJob.
 * Invariants: [oc-1] an outcome is plain data: it crosses a worker's boundary unchanged.
 * Locks: none.
 * Why not a Run: a run holds a machine, and a machine cannot be posted.
 */
import type { TraceEvent } from "../host/trace.js";
import type { RunResult } from "./result.js";
import { type KernelImage, Run, type RunDescription, type RunHistograms } from "./run.js";

export interface PointJob {
  description: RunDescription;
  /** Keep the last events of the trace ring. */
  trace?: boolean;
}

export interface PointOutcome {
  result: RunResult;
  histograms: RunHistograms;
  trace?: TraceEvent[];
  /** Events since boot: the ring keeps the last of them. */
  traceWritten?: number;
}

export async function runJob(kernel: KernelImage, job: PointJob): Promise<PointOutcome> {
  const run = new Run(kernel, job.description);
  run.warmUp();
  run.measure();
  const outcome: PointOutcome = { result: await run.result(), histograms: run.histograms() };
  return job.trace === true ? { ...outcome, trace: run.machine.trace(), traceWritten: run.machine.traceWritten() } : outcome;
}
