/**
 * What a workload is: a few lines of guest code per task, and what counts as one iteration of it.
 */
import type { Machine } from "../host/machine.js";
import type { Call } from "../guest/sys.js";

export type Mode = "threads" | "processes";

/** What one task of a workload knows. */
export interface TaskContext {
  /** 0 to tasks - 1. */
  index: number;
  tasks: number;
  /** Bytes that this task maps. */
  lenBytes: number;
  /** The machine's seed. */
  seed: number;
}

/** One workload: adding one is one file and one line in index.ts. */
export interface Workload {
  name: string;
  summary: string;
  /** Where its meaning comes from. */
  origin: string;
  /** Memory that a task needs, in multiples of `lenBytes`: 0 for a mapping that is never touched. */
  footprint: number;
  /** Called once per task before the barrier; what it returns is handed to `pass`. */
  prepare(task: TaskContext): Call;
  /** One round of the endless loop. */
  pass(task: TaskContext, prepared: number): Call<unknown>;
  /** Iterations since statsReset, as will-it-scale counts them. */
  iterations(machine: Machine): number;
}

/** Iterations of workloads that touch each page of a fresh mapping once: translations found, failed walks left out. */
export function touchesOf(machine: Machine): number {
  return machine.stat("mmu_walks") - machine.stat("faults");
}

/** Calls of mmap that succeeded. */
export function mmapsOf(machine: Machine): number {
  return machine.traceCounts()["mmap:vm_unmapped_area"] ?? 0;
}
