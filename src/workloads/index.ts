/**
 * The workloads by name.
 */
import { btrfsTail } from "./btrfs-tail.js";
import { fioWorkload } from "./fio/workload.js";
import { fork1 } from "./fork.js";
import { inversion } from "./inversion.js";
import { mixed } from "./mixed.js";
import { mmapChurn } from "./mmap-churn.js";
import { msyncStorm } from "./msync-storm.js";
import { mmap1, mmap2 } from "./mmap.js";
import { pageFault1, pageFault2, pageFault3, pageFault4 } from "./page-fault.js";
import { spawn } from "./spawn.js";
import { traceWorkload } from "./trace/workload.js";
import { truncateRace } from "./truncate-race.js";
import type { Workload } from "./workload.js";

export const WORKLOADS: readonly Workload[] = [
  pageFault1,
  pageFault2,
  pageFault3,
  pageFault4,
  mmap1,
  mmap2,
  fork1,
  mixed,
  msyncStorm,
  truncateRace,
  mmapChurn,
  spawn,
  inversion,
  btrfsTail,
];

/** A file that is a workload. */
export interface WorkloadInput {
  kind: "fio" | "trace";
  /** Its name, for messages. */
  name: string;
  text: string;
}

/** The workload of that name, or the one that the input describes; undefined for an unknown name. */
export function workloadOf(name: string, input: WorkloadInput | undefined): Workload | undefined {
  if (input?.kind === "fio") return fioWorkload(input.text, input.name);
  if (input) return traceWorkload(input.text, input.name);
  return workloadByName(name);
}

/** The workload of that name, or undefined. */
export function workloadByName(name: string): Workload | undefined {
  return WORKLOADS.find((workload) => workload.name === name);
}

export { type OptionValue, type Options, type WorkloadOption, optionHelp, optionValues } from "./options.js";
export type { Actor, ActorContext, Mode, Recorded, RunContext, TaskContext, Workload } from "./workload.js";
