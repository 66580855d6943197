/**
 * One program run: a machine made for it, its filesystem, the program, and what it cost.
 *
 * Interface: ExecDescription, ExecResult, runProgram, startProgram.
 * Invariants: [exec-s1] equal descriptions give equal results, wherever the run is looked at.
 * Locks: none.
 * Why not a workload: a program ends by itself, and nothing of it is warmed up or repeated.
 */
import type { MachineConfig } from "../host/config.js";
import { Machine } from "../host/machine.js";
import type { ConsoleStream } from "../host/console.js";
import type { ExecOptions, ProgramExit } from "../host/program.js";
import { syscallName } from "../host/syscall-names.js";
import { filesystemByName } from "./filesystems.js";

export interface ExecDescription {
  /** Name of a filesystem (FILESYSTEM_TABLE). */
  fs: string;
  /** The executable and its name there. */
  name: string;
  bytes: Uint8Array;
  /** Arguments after the program's name. */
  args: readonly string[];
  env: readonly string[];
  stdin?: Uint8Array;
  config: MachineConfig;
}

export interface ExecResult {
  schema: "faultline-exec-1";
  program: string;
  args: readonly string[];
  fs: string;
  exit: ProgramExit;
  config: MachineConfig;
  simulated: { ns: number; instructions: number; faults: number; maj_flt: number; syscalls: number; tlb_misses: number };
  /** Calls that the kernel does not have, by name. */
  unknown_syscalls: Record<string, number>;
}

/** Bytes that a program's files are given on a disk. */
const DISK_FILE_BYTES = 128 << 20;
/** Places in the kernel's table (assembly/kernel/state.ts). */
const SYSCALLS = 512;
/** Simulated time between two looks at the host's event loop. */
const SLICE_NS = 20e6;

export interface StartedProgram {
  machine: Machine;
  pid: number;
}

/** A machine with the program started on it; nothing has run yet. */
export function startProgram(module: WebAssembly.Module, description: ExecDescription): StartedProgram {
  const fs = filesystemByName(description.fs);
  const config: MachineConfig = { codePages: 512, tlbEntries: 4096, ...fs.machine?.(DISK_FILE_BYTES), ...description.config };
  if (fs.definition) config.filesystems = [fs.definition];
  const machine = Machine.createSync(module, config);
  if (description.stdin) machine.console.input = description.stdin;
  const path = `${fs.directory}/${description.name}`;
  const { bytes, args, env, name } = description;
  const options: ExecOptions = { path, bytes, argv: [name, ...args], env };
  if (fs.setup) options.setup = fs.setup;
  const pid = machine.exec(options);
  return { machine, pid };
}

/** Calls that the kernel does not have, by name, and how often they were made. */
function unknownSyscalls(machine: Machine): Record<string, number> {
  const counts: Record<string, number> = {};
  for (let nr = 0; nr < SYSCALLS; nr++) {
    const count = machine.kernel.unknownCalls(nr) >>> 0;
    if (count > 0) counts[syscallName(nr)] = count;
  }
  return counts;
}

export function resultOf({ machine, pid }: StartedProgram, description: ExecDescription): ExecResult {
  const exit = machine.exitOf(pid);
  if (!exit) throw new Error(`the program has not ended, and nothing of the machine can run any more`);
  const config = { ...machine.config };
  delete config.filesystems;
  return {
    schema: "faultline-exec-1",
    program: description.name,
    args: description.args,
    fs: description.fs,
    exit,
    config,
    simulated: {
      ns: machine.nowNs(),
      instructions: machine.stat("instructions"),
      faults: machine.stat("faults"),
      maj_flt: machine.stat("maj_flt"),
      syscalls: machine.stat("syscalls"),
      tlb_misses: machine.stat("mmu_walks"),
    },
    unknown_syscalls: unknownSyscalls(machine),
  };
}

/** Runs a program to its end. `onOutput` gets what it writes; `yields` is awaited now and then, for the host's other work. */
export async function runProgram(
  module: WebAssembly.Module,
  description: ExecDescription,
  onOutput: (stream: ConsoleStream, bytes: Uint8Array) => void,
  yields: () => Promise<void>,
): Promise<ExecResult> {
  const started = startProgram(module, description);
  const { machine, pid } = started;
  machine.console.onOutput = onOutput;
  while (machine.exitOf(pid) === undefined) {
    if (machine.run({ forNs: SLICE_NS, stopWhen: () => machine.exitOf(pid) !== undefined }) === "idle") break;
    await yields();
  }
  return resultOf(started, description);
}
