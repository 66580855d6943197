/**
 * Options of `faultline run` and its kin, and how they become a sweep.
 */
import type { Command } from "commander";
import { FAULT_LOCK_REGIMES, type FaultLockRegime, type MachineConfig } from "../host/config.js";
import { Machine } from "../host/machine.js";
import { ParseError, parseDuration, parseSize, parseTasks, parseWhole } from "../sim/parse.js";
import type { KernelImage } from "../sim/run.js";
import type { SweepDescription } from "../sim/sweep.js";
import { WORKLOADS, type Mode, workloadByName } from "../workloads/index.js";
import { readCostFile } from "./cost-file.js";
import { UsageError, suggestion } from "./errors.js";

export interface RunOptions {
  tasks: string;
  mode: string;
  cpus?: string;
  sockets?: string;
  memory: string;
  seed: string;
  seeds: string;
  duration: string;
  warmup: string;
  length?: string;
  costs?: string;
  faultLock: string;
  fs: string;
  checked?: boolean;
  output?: string;
  format: string;
}

const MODES = ["threads", "processes"];
export const FORMATS = ["table", "json", "csv", "trace", "chrome", "svg", "lock_stat"];

/** Adds the options that describe a machine and a run. */
export function describeRun(command: Command): Command {
  return command
    .option("-t, --tasks <list>", "numbers of tasks: 1,2,4 or 1-16", "1,2,4")
    .option("--mode <mode>", MODES.join(" or "), "threads")
    .option("--cpus <n>", "emulated CPUs (default: as many as tasks)")
    .option("--sockets <n>", "sockets the CPUs are spread over (default: 4 from four CPUs on)")
    .option("--memory <size>", "guest memory", "256M")
    .option("--seed <n>", "first seed", "1")
    .option("--seeds <n>", "number of seeds, one run each", "1")
    .option("--duration <time>", "simulated time measured", "10ms")
    .option("--warmup <time>", "simulated time before it", "1ms")
    .option("--length <size>", "bytes each task maps (default: 128M, or what fits)")
    .option("--costs <file>", "cost table overrides, JSON (see: faultline costs)")
    .option("--fault-lock <regime>", FAULT_LOCK_REGIMES.join(" or "), "linux-4.19")
    .option("--fs <name>", "filesystem of the files: ramfs", "ramfs")
    .option("--checked", "use the kernel build with every costly check");
}

/** The workload's name, checked. */
export function checkWorkload(name: string): string {
  if (workloadByName(name)) return name;
  const names = WORKLOADS.map((w) => w.name);
  throw new UsageError(`unknown workload "${name}".${suggestion(name, names)}\nThe workloads: ${names.join(", ")}`);
}

function oneOf<T extends string>(value: string, what: string, allowed: readonly T[]): T {
  const found = allowed.find((a) => a === value);
  if (found === undefined) throw new UsageError(`${what} "${value}": expected one of ${allowed.join(", ")}.${suggestion(value, allowed)}`);
  return found;
}

export function checkFormat(format: string): string {
  return oneOf(format, "format", FORMATS);
}

/** Turns options into a sweep. Throws UsageError. */
export function sweepOf(workload: string, o: RunOptions, kernel: KernelImage): SweepDescription {
  try {
    checkWorkload(workload);
    oneOf(o.fs, "filesystem", ["ramfs"]);
    const tasks = parseTasks(o.tasks);
    const first = parseWhole(o.seed, "seed", 0, Number.MAX_SAFE_INTEGER);
    const count = parseWhole(o.seeds, "seeds", 1, 10_000);
    const config: MachineConfig = {
      memoryBytes: parseSize(o.memory),
      faultLock: oneOf<FaultLockRegime>(o.faultLock, "fault lock", FAULT_LOCK_REGIMES),
    };
    if (o.cpus !== undefined) config.cpus = parseWhole(o.cpus, "cpus", 1, 128);
    if (o.sockets !== undefined) config.sockets = parseWhole(o.sockets, "sockets", 1, 128);
    if (o.costs !== undefined) config.costs = readCostFile(o.costs, costNames(kernel));
    if (o.format === "trace" || o.format === "chrome") config.trace = true;
    const sweep: SweepDescription = {
      workload,
      tasks,
      mode: oneOf<Mode>(o.mode, "mode", MODES as Mode[]),
      seeds: Array.from({ length: count }, (_, i) => first + i),
      warmupNs: parseDuration(o.warmup),
      durationNs: parseDuration(o.duration),
      config,
    };
    if (o.length !== undefined) sweep.lenBytes = parseSize(o.length);
    return sweep;
  } catch (error) {
    if (error instanceof ParseError) throw new UsageError(error.message);
    throw error;
  }
}

/** Names of the kernel's costs. */
export function costNames(kernel: KernelImage): string[] {
  return Object.keys(defaultCosts(kernel));
}

/** The default cost table, ns by name. */
export function defaultCosts(kernel: KernelImage): Record<string, number> {
  return Machine.createSync(kernel.module, { memoryBytes: 1 << 20 }).costs();
}
