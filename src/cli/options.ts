/**
 * Options of `faultline run` and its kin, and how they become a sweep.
 */
import type { Command } from "commander";
import { FAULT_LOCK_REGIMES, MKWRITE_REGIMES } from "../host/config.js";
import { Machine } from "../host/machine.js";
import {
  FILESYSTEMS,
  MODES,
  RUN_TEXT_DEFAULTS,
  type RunText,
  checkWorkload as knownWorkload,
  oneOf,
  sweepOfText,
} from "../sim/describe.js";
import { ParseError, parseWhole } from "../sim/parse.js";
import type { PoolOptions } from "../sim/pool.js";
import type { KernelImage } from "../sim/run.js";
import type { SweepDescription } from "../sim/sweep.js";
import { type WorkloadInput, workloadByName } from "../workloads/index.js";
import { readCosts } from "./cost-file.js";
import { UsageError } from "./errors.js";

export interface RunOptions extends Omit<RunText, "workload"> {
  costs?: string;
  checked?: boolean;
  output?: string;
  saveImage?: string;
  format: string;
}

export const FORMATS = ["table", "json", "csv", "trace", "chrome", "svg", "lock_stat"] as const;
export type Format = (typeof FORMATS)[number];

/** An option that may be given again: its values, commas between. */
export function collected(value: string, before: string | undefined): string {
  return before === undefined ? value : `${before},${value}`;
}

/** Adds the options that describe a machine and runs on it. */
export function describeRuns(command: Command): Command {
  const { tasks, seed, seeds } = RUN_TEXT_DEFAULTS;
  command
    .option("-t, --tasks <list>", "numbers of tasks: 1,2,4 or 1-16", tasks)
    .option("--seed <n>", "first seed", seed)
    .option("--seeds <n>", "number of seeds, one run each", seeds);
  return describeMachine(command);
}

/** As describeRuns, for one run. */
export function describeRun(command: Command, tasks: string): Command {
  command.option("-t, --tasks <n>", "number of tasks", tasks).option("--seed <n>", "seed", RUN_TEXT_DEFAULTS.seed);
  return describeMachine(command);
}

function describeMachine(command: Command): Command {
  const d = RUN_TEXT_DEFAULTS;
  return command
    .option("--mode <mode>", MODES.join(" or "), d.mode)
    .option("--cpus <n>", "emulated CPUs (default: as many as tasks)")
    .option("--sockets <n>", "sockets the CPUs are spread over (default: 4 from four CPUs on)")
    .option("--memory <size>", "guest memory", d.memory)
    .option("--duration <time>", "simulated time measured; workloads may have one of their own", d.duration)
    .option("--warmup <time>", "simulated time before it", d.warmup)
    .option("--length <size>", "bytes each task maps (default: 128M, or what fits)")
    .option("--costs <file>", "cost table overrides: a JSON file, or the object itself (see: faultline costs)")
    .option("--fault-lock <regime>", FAULT_LOCK_REGIMES.join(" or "), d.faultLock)
    .option("--mkwrite <regime>", `how page_mkwrite is called: ${MKWRITE_REGIMES.join(", ")}`, d.mkwrite)
    .option("--set <key=value>", "an option of the workload (see: faultline workloads); may be given again", collected)
    .option("--fs <name>", `filesystem of the files: ${FILESYSTEMS.join(" or ")}`, d.fs)
    .option("--checked", "use the kernel build with every costly check");
}

/** Runs a reader of text; what it cannot read is a usage error. */
export function usage<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof ParseError) throw new UsageError(error.message);
    throw error;
  }
}

/** As usage, for what is out of a run's range. */
export function inRange<T>(look: () => T): T {
  try {
    return look();
  } catch (error) {
    throw error instanceof RangeError ? new UsageError(error.message) : error;
  }
}

/** The job, when there is just one; else a usage error: "--at is a state of one run, not of 3: name one ...". */
export function onlyJob<T>(jobs: readonly T[], what: string, name: string): T {
  const [job] = jobs;
  if (job === undefined || jobs.length > 1) throw new UsageError(`${what}, not of ${jobs.length}: name one ${name}`);
  return job;
}

/** Worker threads as an option names them; undefined: one a core. */
export function poolOf(threads: string | undefined, what: "threads" | "workers"): Pick<PoolOptions, "threads"> {
  return threads === undefined ? {} : { threads: usage(() => parseWhole(threads, what, 1, 256)) };
}

/** The options, with the time that the workload asks for where the user names none. */
export function withDuration<T extends { duration: string }>(workload: string, options: T, command: Command): T {
  const duration = workloadByName(workload)?.duration;
  return duration === undefined || command.getOptionValueSource("duration") === "cli" ? options : { ...options, duration };
}

/** The workload's name, checked. */
export function checkWorkload(name: string): string {
  return usage(() => knownWorkload(name));
}

export function checkFormat(format: string): Format {
  return checkOneOf(format, "format", FORMATS);
}

/** One of the words that an option takes. */
export function checkOneOf<T extends string>(value: string, what: string, allowed: readonly T[]): T {
  return usage(() => oneOf(value, what, allowed));
}

/** Turns options into a sweep. Throws UsageError. */
export function sweepOf(workload: string, o: RunOptions, kernel: KernelImage, input?: WorkloadInput): SweepDescription {
  const sweep = usage(() => sweepOfText({ ...o, workload }, input));
  if (o.costs !== undefined) sweep.config.costs = readCosts(o.costs, costNames(kernel));
  return sweep;
}

/** Names of the kernel's costs. */
export function costNames(kernel: KernelImage): string[] {
  return Object.keys(defaultCosts(kernel));
}

/** The default cost table, ns by name. */
export function defaultCosts(kernel: KernelImage): Record<string, number> {
  return Machine.createSync(kernel.module, { memoryBytes: 1 << 20 }).costs();
}
