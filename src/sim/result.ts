/**
 * The result of one run: schema faultline.run/1. Every field says its unit; `simulated` is the emulated machine's time,
 * `host` is this computer's.
 */
import type { FaultLatency, LockStat } from "../host/machine.js";
import type { MachineConfig } from "../host/config.js";
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
    fault_ns: FaultLatency;
    locks: Record<string, { read: LockResult; write: LockResult }>;
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

/** JSON with sorted keys: equal values have equal text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (inner === null || typeof inner !== "object" || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
