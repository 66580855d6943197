/**
 * The workloads by name.
 */
import { fork1 } from "./fork.js";
import { mixed } from "./mixed.js";
import { mmap1, mmap2 } from "./mmap.js";
import { pageFault1, pageFault2, pageFault3, pageFault4 } from "./page-fault.js";
import type { Workload } from "./workload.js";

export const WORKLOADS: readonly Workload[] = [pageFault1, pageFault2, pageFault3, pageFault4, mmap1, mmap2, fork1, mixed];

/** The workload of that name, or undefined. */
export function workloadByName(name: string): Workload | undefined {
  return WORKLOADS.find((workload) => workload.name === name);
}

export type { Mode, TaskContext, Workload } from "./workload.js";
