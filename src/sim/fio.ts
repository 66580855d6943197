/**
 * What a job file's run measured, in the shape of fio's own JSON: programs that read fio's reports read this one.
 *
 * Interface: fioReport, FioReport, FioJobReport, FioDirection.
 * Invariants: [fr-1] every figure is of simulated time; what the machine does not know (usr_cpu, sys_cpu) is left out, never guessed.
 * Locks: none.
 * Why not sub-objects of our own: clat_ns.percentile is what people's scripts look for.
 */
import { type Histogram, emptyHistogram, percentile } from "../host/histogram.js";
import { RECORDER } from "../workloads/fio/guest.js";
import { type FioJobFile, parseJobFile } from "../workloads/fio/job.js";
import { type FioUnit, planOf } from "../workloads/fio/workload.js";
import type { WorkloadInput } from "../workloads/index.js";
import type { RunResult } from "./result.js";
import { type Run, RunError, VERSION } from "./run.js";

const PERCENTILES = [1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.5, 99.9, 99.95, 99.99];

export interface FioLatency {
  min: number;
  max: number;
  mean: number;
  /** From the histogram's buckets, so to about 3 %. */
  stddev: number;
  N: number;
  percentile?: Record<string, number>;
}

export interface FioDirection {
  io_bytes: number;
  io_kbytes: number;
  bw_bytes: number;
  /** KiB a second. */
  bw: number;
  iops: number;
  /** ms, as fio has it, and ns: simulated runs may be shorter than one ms. */
  runtime: number;
  runtime_ns: number;
  total_ios: number;
  clat_ns: FioLatency;
}

export interface FioJobReport {
  jobname: string;
  groupid: number;
  error: 0;
  /** Clones that the entry stands for. */
  jobs: number;
  "job options": Record<string, string>;
  read: FioDirection;
  write: FioDirection;
  sync: { total_ios: number; lat_ns: FioLatency };
  /** ms: the longest of the clones. */
  job_runtime: number;
  ctx: number;
  majf: number;
  minf: number;
  /** Time on a CPU, ns, all clones; the machine does not split it into user and kernel time. */
  cpu_ns: number;
}

export interface FioReport {
  "fio version": string;
  "global options": Record<string, string>;
  jobs: FioJobReport[];
  /** What ran, so that it can run again. */
  faultline: Pick<RunResult, "version" | "fs" | "seed" | "set" | "config" | "config_sha256" | "wasm_sha256" | "state_sha256"> & {
    time_ns: number;
    faults: number;
    fault_ns: RunResult["simulated"]["fault_ns"];
    mmap_sem_wait_ns: RunResult["simulated"]["mmap_sem_wait_ns"];
    warnings: string[];
  };
}

function stddev(h: Histogram, mean: number): number {
  if (h.N < 2) return 0;
  const squares = h.buckets.reduce((sum, [edge, count]) => sum + count * (Math.min(edge, h.max) - mean) ** 2, 0);
  return Math.sqrt(squares / h.N);
}

function latencyOfIo(h: Histogram): FioLatency {
  const mean = h.N === 0 ? 0 : h.sum / h.N;
  const latency: FioLatency = { min: h.min, max: h.max, mean, stddev: stddev(h, mean), N: h.N };
  if (h.N === 0) return latency;
  return { ...latency, percentile: Object.fromEntries(PERCENTILES.map((p) => [p.toFixed(6), percentile(h, p)])) };
}

function directionOf(clat: Histogram, bytes: number, runtimeNs: number): FioDirection {
  const perSecond = (count: number): number => (runtimeNs === 0 ? 0 : (count * 1e9) / runtimeNs);
  // A direction that moved nothing ran no time, as in fio.
  const ran = clat.N === 0 ? 0 : runtimeNs;
  return {
    io_bytes: bytes,
    io_kbytes: Math.floor(bytes / 1024),
    bw_bytes: Math.round(perSecond(bytes)),
    bw: Math.round(perSecond(bytes) / 1024),
    iops: perSecond(clat.N),
    runtime: Math.round(ran / 1e6),
    runtime_ns: ran,
    total_ios: clat.N,
    clat_ns: latencyOfIo(clat),
  };
}

function jobReport(run: Run, file: FioJobFile, unit: FioUnit): FioJobReport {
  const at = (offset: number): Histogram => run.machine.recorded(unit.recorder + offset);
  const runtimeNs = at(RECORDER.runtime).max;
  if (at(RECORDER.runtime).N !== unit.clones) throw new RunError(`job ${unit.jobname}: not every clone came to its end`);
  const sync = at(RECORDER.sync);
  return {
    jobname: unit.jobname,
    groupid: unit.groupid,
    error: 0,
    jobs: unit.clones,
    "job options": file.jobOptions[unit.job] ?? {},
    read: directionOf(at(RECORDER.read), at(RECORDER.readBytes).sum, runtimeNs),
    write: directionOf(at(RECORDER.write), at(RECORDER.writeBytes).sum, runtimeNs),
    sync: { total_ios: sync.N, lat_ns: latencyOfIo(sync.N === 0 ? emptyHistogram() : sync) },
    job_runtime: Math.round(runtimeNs / 1e6),
    ctx: at(RECORDER.ctx).sum,
    majf: at(RECORDER.majf).sum,
    minf: at(RECORDER.minf).sum,
    cpu_ns: at(RECORDER.cpu).sum,
  };
}

/** The report of a finished run of a job file. */
export function fioReport(run: Run, input: WorkloadInput, result: RunResult): FioReport {
  const file = parseJobFile(input.text, input.name);
  const { version, fs, seed, set, config, config_sha256, wasm_sha256, state_sha256, simulated } = result;
  return {
    "fio version": `faultline ${VERSION}`,
    "global options": file.globalOptions,
    jobs: planOf(file, run.context).units.map((unit) => jobReport(run, file, unit)),
    faultline: {
      ...{ version, fs, seed, set, config, config_sha256, wasm_sha256, state_sha256 },
      time_ns: simulated.time_ns,
      faults: simulated.faults,
      fault_ns: simulated.fault_ns,
      mmap_sem_wait_ns: simulated.mmap_sem_wait_ns,
      warnings: file.warnings.map(({ at, message }) => `${input.name}:${at.line}:${at.column}: ${message}`),
    },
  };
}
