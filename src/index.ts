/**
 * Faultline's library: the machine, its guests, its workloads. Runs in Node and in browsers.
 */
export {
  ConfigError,
  FAULT_LOCK_REGIMES,
  type FaultLockRegime,
  MKWRITE_REGIMES,
  type MachineConfig,
  type MkwriteRegime,
} from "./host/config.js";
export type { GuestContext, GuestFn, GuestGenerator, Op, OpResult } from "./host/guests.js";
export {
  type FaultLatency,
  GuestFailure,
  INSPECT_KINDS,
  type InspectKind,
  Machine,
  type RunOptions,
  type RunReason,
  type Snapshot,
} from "./host/machine.js";
export { type Histogram, type Latency, latencyOf, mergeHistograms, percentile } from "./host/histogram.js";
export type { Disk, DiskFaultHits, DiskFaults, DiskModel, UnflushedWrite } from "./host/disk.js";
export { sha256 } from "./host/sha256.js";
export type { LockStat } from "./host/lock-stat.js";
export { KernelPanic, type PanicContext } from "./host/panic.js";
export { type PageTableStep, pteFlags, walkPageTable } from "./host/page-table.js";
export {
  type FsCall,
  type FsFile,
  type FsPage,
  type FsStep,
  type ScriptedFilesystem,
  VM_FAULT_LOCKED,
  VM_FAULT_NOPAGE,
  VM_FAULT_OOM,
  VM_FAULT_SIGBUS,
} from "./host/scripted-fs.js";
export { pagestore } from "./fs/pagestore.js";
export type { ConsoleStream } from "./host/console.js";
export { ExecError, type ExecOptions, type ProgramExit, whyNotExecutable } from "./host/program.js";
export type { TraceEvent } from "./host/trace.js";
export { compileKernel, type KernelSource } from "./host/wasm.js";
export * from "./guest/index.js";
