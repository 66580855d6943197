/**
 * The result of one run: schema faultline.run/1. Every field says its unit; `simulated` is the emulated machine's time,
 * `host` is this computer's.
 */
import type { MachineConfig } from "../host/config.js";
import type { Latency } from "../host/histogram.js";
import type { LockStat } from "../host/lock-stat.js";
import type { WorkloadInput } from "../workloads/index.js";
import type { Mode } from "../workloads/workload.js";

export const SCHEMA = "faultline.run/1";

export interface LockResult {
  acquisitions: number;
  contentions: number;
  wait_ns: number;
  hold_ns: number;
}

export interface RunResult {
  schema: typeof SCHEMA;
  version: string;
  workload: string;
  tasks: number;
  mode: Mode;
  seed: number;
  /** Bytes each task maps; will-it-scale's are 128 MiB. */
  length_bytes: number;
  warmup_ns: number;
  duration_ns: number;
  /** Filesystem of the files. */
  fs: string;
  /** Options of the workload that were set, "key=value" each. */
  set: string[];
  /** How much later each task began its loop at most, by the seed. */
  stagger_ns: number;
  /** The job file or trace that was the workload. */
  input?: WorkloadInput;
  config: MachineConfig;
  config_sha256: string;
  wasm_sha256: string;
  state_sha256: string;
  simulated: {
    time_ns: number;
    faults: number;
    faults_per_s: number;
    iterations: number;
    iterations_per_s: number;
    fault_ns: Latency;
    /** Over all acquisitions: those that found the lock free waited 0 ns. */
    mmap_sem_wait_ns: { read: Latency; write: Latency };
    /** What the workload's guests measured, by name. */
    recorded: Record<string, Latency>;
    locks: Record<string, { read: LockResult; write: LockResult }>;
    /** Share of the emulated CPUs' time in which no task ran. */
    idle_percent: number;
    tlb_shootdowns: number;
    cache_line_transfers: number;
    counters: Record<string, number>;
  };
  host: {
    wall_ns: number;
    faults_per_s: number;
  };
}

export function lockResult(stat: LockStat): LockResult {
  return {
    acquisitions: stat.acquisitions,
    contentions: stat.contentions,
    wait_ns: stat.waitNs,
    hold_ns: stat.holdNs,
  };
}
