/**
 * Machines of crash work: one mounts and lives, another looks at what a power failure left.
 *
 * Interface: CrashRun, machineConfig, runGuest, mountedMachine, beforeNumber.
 * Invariants: [cmc-1] a guest runs to its end within bounds: a hang is an error that lists the tasks.
 * Locks: none.
 * Why not sim/start.ts: no workload of it ends, and none is looked at after a crash.
 */
import { type Call, must, sys } from "../../guest/sys.js";
import type { MachineConfig } from "../../host/config.js";
import type { DiskFaults, DiskModel } from "../../host/disk.js";
import { GuestFailure, Machine } from "../../host/machine.js";
import { type Regime, regimeConfig } from "../regimes.js";
import type { CrashFs } from "./filesystems.js";
import { type CrashWorkload, MNT, StepRunner } from "./steps.js";

/** What is explored: all that a machine follows from. */
export interface CrashRun {
  module: WebAssembly.Module;
  workload: CrashWorkload;
  fs: CrashFs;
  regime: Regime;
  seed: number;
  /** A slip of the kernel that lives; the one that looks at what is left is healthy. */
  mutant?: string;
  /** Faults of the disk from the first step on: planted, to see them found. */
  faults?: DiskFaults;
}

const LIMIT_NS = 100e9;
/** Writes overtake each other: one in three is slow. */
const DISK: DiskModel = { kind: "bimodal", readNs: 8000, writeNs: 8000, flushNs: 30_000, fuaNs: 8000, slowNs: 50_000, slowOneIn: 3 };

export function machineConfig(run: CrashRun): MachineConfig {
  const { fs, regime, seed } = run;
  const filesystems = fs.definition === undefined ? {} : { filesystems: [fs.definition] };
  return { cpus: 1, seed, ...fs.config, ...filesystems, ...regimeConfig(regime), disk: DISK, traceEvents: 64, trace: false };
}

/** Runs one guest to its end and returns what it returned. Throws for a hang, a panic, or the guest's own error. */
export function runGuest<T>(machine: Machine, body: () => Call<T>): T {
  const box: { value?: T; done: boolean } = { done: false };
  machine.spawn(function* () {
    box.value = yield* body();
    box.done = true;
  });
  try {
    const reason = machine.run({ forNs: LIMIT_NS, stopWhen: () => machine.guestCount === 0 });
    if (reason === "time" || machine.guestCount !== 0) throw new Error(`hung (${reason})\n${machine.inspect("tasks")}`);
  } catch (error) {
    throw error instanceof GuestFailure && error.cause instanceof Error ? error.cause : error;
  }
  if (!box.done) throw new Error("the guest was killed");
  return box.value as T;
}

/** A machine with the filesystem made and mounted, and the workload's files from before on it; no cache holds those that are on a disk. */
export function mountedMachine(run: CrashRun): Machine {
  const mutant = run.mutant === undefined ? {} : { mutant: run.mutant };
  const machine = Machine.createSync(run.module, { ...machineConfig(run), ...mutant });
  const { fs, workload } = run;
  runGuest(machine, function* () {
    must(yield* sys.mkdir(MNT), "mkdir");
    if (fs.type !== "ramfs") must(yield* sys.mkfs(fs.type, fs.mkfs), "mkfs");
    must(yield* sys.mount(fs.type, MNT, fs.mount), "mount");
    const runner = new StepRunner();
    for (const [i, step] of (workload.before ?? []).entries()) must(yield* runner.run(step, beforeNumber(i)), step.do);
  });
  if (fs.volatile === true) return machine;
  runGuest(machine, function* () {
    must(yield* sys.umount(MNT), "umount");
    must(yield* sys.mount(fs.type, MNT, fs.mount), "mount");
  });
  return machine;
}

/** Numbers of the steps from before: none of the workload's own. */
export function beforeNumber(index: number): number {
  return 1000 + index;
}
