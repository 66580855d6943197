/**
 * What a workload is: a few lines of guest code per task, actors beside the tasks, and what counts as one iteration of it.
 *
 *     setup (once)  ->  share (once a process)  ->  prepare (every task and actor)  ->  barrier  ->  pass, pass, pass ...
 *
 * Interface: Workload, Actor, RunContext, TaskContext, ActorContext, Recorded, Mode; touchesOf, accessesOf, mmapsOf.
 * Invariants: [wl-1] guest code is a function of its context and its results alone (host/guests.ts).
 * Locks: none.
 * Why not classes: a workload is data and generators; what is common to all lives in sim/start.ts.
 */
import type { Call } from "../guest/sys.js";
import type { GuestFn } from "../host/guests.js";
import type { MachineConfig } from "../host/config.js";
import type { Machine } from "../host/machine.js";
import type { Options, WorkloadOption } from "./options.js";

export type Mode = "threads" | "processes";

/** What everybody in a run knows. */
export interface RunContext {
  tasks: number;
  mode: Mode;
  /** Bytes that each task maps. */
  lenBytes: number;
  /** The machine's seed. */
  seed: number;
  /** Where the run's files live: a directory of the filesystem under test. */
  directory: string;
  /** Values of the workload's options. */
  options: Options;
}

/** What one task of a workload knows. */
export interface TaskContext extends RunContext {
  /** 0 to tasks - 1. */
  index: number;
  /** What `share` returned in this task's process. */
  shared: number;
}

/** What one actor knows. */
export interface ActorContext extends TaskContext {
  /** Process of the tasks that it acts on: its own for a thread, the first one for a process. */
  targetPid: number;
}

/** Somebody beside the tasks: a writer of mmap_sem, a victim. */
export interface Actor {
  name: string;
  /** A thread in every process of tasks, or a process of its own. */
  where: "thread" | "process";
  /** How many of them: in each process, or in all. */
  count: number;
  /** Called once before the barrier; what it returns is handed to `pass`. */
  prepare?(context: ActorContext): Call;
  pass(context: ActorContext, prepared: number): Call<unknown>;
}

/** What guests measure: the recorder's number is the place in the list. */
export interface Recorded {
  /** Name in results, with its unit: "victim_cmdline_ns". */
  name: string;
  summary: string;
  /** Whether this is the latency of a victim: somebody who only meets the tasks at a lock. */
  victim?: boolean;
  /** Not a latency: a number for the workload's own report. */
  internal?: boolean;
}

/** One workload: adding one is one file and one line in index.ts. */
export interface Workload {
  name: string;
  summary: string;
  /** Where its meaning comes from. */
  origin: string;
  /** Memory that a task needs, in multiples of `lenBytes`: 0 for a mapping that is never touched. */
  footprint: number;
  /** Bytes each task maps unless the user says so; absent: as much as fits, 128 MiB at most. */
  lenBytes?: number;
  /** What the workload needs of a machine beside CPUs and a filesystem: a slow disk. */
  machine?(context: RunContext): Partial<MachineConfig>;
  /** It measures page_mkwrite: a filesystem without one gives it nothing to do. */
  needsMkwrite?: boolean;
  /** Simulated time that the command line measures unless told; absent: as long as for any other. */
  duration?: string;
  /** What --set can change. */
  options?: readonly WorkloadOption[];
  /** Variants that a comparison runs side by side, "key=value" each, unless --set picks one. */
  cases?: readonly (readonly string[])[];
  recorded?: readonly Recorded[];
  /** The recorders in use, where their number depends on the run. Recorders of one name are reported together. */
  recorders?(context: RunContext): readonly Recorded[];
  /** Once, in a process of its own, before anything else: files that all tasks share. */
  setup?(context: RunContext): Call<unknown>;
  /** Once in every process of tasks, before its threads: what they have in common, such as the address of a mapping. */
  share?(context: RunContext): Call;
  /** Called once per task before the barrier; what it returns is handed to `pass`. */
  prepare(task: TaskContext): Call;
  /** One round of the endless loop; of a workload that ends, all of it. */
  pass(task: TaskContext, prepared: number): Call<unknown>;
  actors?(context: RunContext): readonly Actor[];
  /** The workload ends by itself: one pass each, measured from the barrier to the last exit. */
  ends?: boolean;
  /** Instead of tasks and actors: the processes of a workload that lays itself out. It meets nobody at the barrier. */
  processes?(context: RunContext): readonly { fn: GuestFn; cpu?: number }[];
  /** Emulated CPUs, where one a task and actor is not what the workload needs. */
  cpus?(context: RunContext): number;
  /** Iterations since statsReset, as will-it-scale counts them. */
  iterations(machine: Machine): number;
}

/** Iterations of workloads that touch each page of a fresh mapping once: translations found, failed walks left out. */
export function touchesOf(machine: Machine): number {
  return machine.stat("mmu_walks") - machine.stat("faults");
}

/** Loads and stores of guests: every translation found, at once or after a fault. */
export function accessesOf(machine: Machine): number {
  return machine.stat("mmu_hits") + touchesOf(machine);
}

/** Calls of mmap that succeeded. */
export function mmapsOf(machine: Machine): number {
  return machine.traceCounts()["mmap:vm_unmapped_area"] ?? 0;
}
