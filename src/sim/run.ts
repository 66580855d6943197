/**
 * Runs: one workload, one number of tasks, one seed, from an empty machine to a result. Runs in Node and in browsers.
 *
 *   boot -> every task prepares (files, page cache) -> barrier -> warm-up -> counters to zero -> measured time -> result
 */
import { ConfigError, type MachineConfig } from "../host/config.js";
import type { GuestFn } from "../host/guests.js";
import { Machine } from "../host/machine.js";
import { sha256 } from "../host/sha256.js";
import { barrier } from "../guest/mem.js";
import { sys } from "../guest/sys.js";
import { type Mode, type TaskContext, type Workload, workloadByName } from "../workloads/index.js";
import { type RunResult, SCHEMA, canonicalJson, lockResult } from "./result.js";

export const VERSION = "0.1.0";

/** Everything that decides a run: with the wasm's hash it is the run, byte for byte. */
export interface RunDescription {
  workload: string;
  tasks: number;
  mode: Mode;
  /** Simulated ns of warm-up, left out of the result. Default 1 ms. */
  warmupNs?: number;
  /** Simulated ns measured. Default 10 ms. */
  durationNs?: number;
  /** Bytes each task maps. Default: 128 MiB, or the largest power of two of which `tasks` fit in 60 % of memory. */
  lenBytes?: number;
  config: MachineConfig;
}

/** The kernel and its hash. */
export interface KernelImage {
  module: WebAssembly.Module;
  sha256: string;
}

/** A run that came to an end before it was measured. */
export class RunError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "RunError";
  }
}

const MIB = 1024 * 1024;
const FULL_LENGTH = 128 * MIB;
const DEFAULT_WARMUP_NS = 1e6;
const DEFAULT_DURATION_NS = 10e6;

/** Compiles a kernel and takes its hash. */
export async function kernelImage(bytes: Uint8Array): Promise<KernelImage> {
  return { module: await WebAssembly.compile(bytes as Uint8Array<ArrayBuffer>), sha256: await sha256(bytes) };
}

/** The default length of a task's mapping, bytes. */
export function defaultLength(workload: Workload, tasks: number, memoryBytes: number): number {
  if (workload.footprint === 0) return FULL_LENGTH;
  const need = tasks * workload.footprint;
  let length = FULL_LENGTH;
  while (length > 4096 && length * need > memoryBytes * 0.6) length /= 2;
  if (length * need > memoryBytes * 0.8) throw new ConfigError(`memory of ${memoryBytes} bytes is too small for ${tasks} tasks`);
  return length;
}

interface Phase {
  ready: number;
}

/** What every task runs: prepare, meet the others, then pass after pass. */
function taskBody(workload: Workload, task: TaskContext, phase: Phase, pinCpu: number | undefined): GuestFn {
  return function* () {
    if (pinCpu !== undefined) yield* sys.pin(pinCpu);
    const prepared = yield* workload.prepare(task);
    yield* barrier(0, task.tasks);
    phase.ready++;
    for (;;) yield* workload.pass(task, prepared);
  };
}

/** The leader of a threaded run: makes the threads, then sleeps out of the way. */
function leader(bodies: GuestFn[]): GuestFn {
  return function* () {
    for (const body of bodies) yield* sys.thread(body);
    for (;;) yield* sys.nanosleep(1e18);
  };
}

function start(machine: Machine, workload: Workload, d: Required<RunDescription>, phase: Phase): void {
  const cpus = d.config.cpus ?? 1;
  const contexts = Array.from({ length: d.tasks }, (_, index) => ({
    index,
    tasks: d.tasks,
    lenBytes: d.lenBytes,
    seed: d.config.seed ?? 1,
  }));
  if (d.mode === "processes") {
    for (const task of contexts) machine.spawn(taskBody(workload, task, phase, undefined), { cpu: task.index % cpus });
  } else {
    machine.spawn(leader(contexts.map((task) => taskBody(workload, task, phase, task.index % cpus))));
  }
}

/** A run under way: lets callers stop it in the middle, look, save and go on. */
export class Run {
  readonly machine: Machine;
  readonly description: Required<RunDescription>;
  private readonly workload: Workload;
  private startNs = 0;
  private startHost = 0;
  private hostNs = 0;

  constructor(
    readonly kernel: KernelImage,
    description: RunDescription,
  ) {
    const workload = workloadByName(description.workload);
    if (!workload) throw new RunError(`unknown workload "${description.workload}"`);
    const config = { cpus: Math.min(description.tasks, 128), memoryBytes: 256 * MIB, seed: 1, ...description.config };
    const lenBytes = description.lenBytes ?? defaultLength(workload, description.tasks, config.memoryBytes);
    if (lenBytes < 4096 || lenBytes % 4096 !== 0) throw new ConfigError(`length ${lenBytes} is not a number of 4096-byte pages`);
    this.workload = workload;
    this.description = {
      ...description,
      config,
      lenBytes,
      warmupNs: description.warmupNs ?? DEFAULT_WARMUP_NS,
      durationNs: description.durationNs ?? DEFAULT_DURATION_NS,
    };
    this.machine = Machine.createSync(kernel.module, config);
    this.machine.command = commandOf(this.description);
  }

  /** Boot to the end of the warm-up. */
  warmUp(): void {
    const { machine, description: d } = this;
    const phase: Phase = { ready: 0 };
    start(machine, this.workload, d, phase);
    const reason = machine.run({ stopWhen: () => phase.ready === d.tasks });
    if (phase.ready !== d.tasks) throw new RunError(this.failure(`the tasks did not reach their barrier (${reason})`));
    if (machine.run({ forNs: d.warmupNs }) === "idle") throw new RunError(this.failure("every task waits: nothing can run"));
    machine.statsReset();
    this.startNs = machine.nowNs();
  }

  private failure(what: string): string {
    const oom = this.machine.stat("oom_kills");
    if (oom > 0) {
      const [pid, pages] = [this.machine.stat("oom_pid"), this.machine.stat("oom_rss_pages")];
      return `out of memory: process ${pid} was killed at ${pages} pages; raise --memory`;
    }
    return `${what}\n${this.machine.inspect("tasks")}`;
  }

  /** Simulated ns measured so far. */
  get measuredNs(): number {
    return this.machine.nowNs() - this.startNs;
  }

  /** Measures for `ns` more, or to the end of the duration. */
  measure(ns = this.description.durationNs - this.measuredNs): void {
    this.startHost = performance.now();
    const reason = this.machine.run({ forNs: ns });
    this.hostNs += (performance.now() - this.startHost) * 1e6;
    if (reason === "idle" || this.machine.stat("oom_kills") > 0) throw new RunError(this.failure("every task waits: nothing can run"));
  }

  /** What was measured. */
  async result(): Promise<RunResult> {
    const { machine, description: d } = this;
    const timeNs = this.measuredNs;
    const faults = machine.stat("faults");
    const iterations = this.workload.iterations(machine);
    const locks = Object.entries(machine.lockStat()).map(
      ([name, stat]) => [name, { read: lockResult(stat.read), write: lockResult(stat.write) }] as const,
    );
    return {
      schema: SCHEMA,
      version: VERSION,
      workload: d.workload,
      tasks: d.tasks,
      mode: d.mode,
      seed: d.config.seed ?? 1,
      length_bytes: d.lenBytes,
      warmup_ns: d.warmupNs,
      duration_ns: d.durationNs,
      config: d.config,
      config_sha256: await sha256(new TextEncoder().encode(canonicalJson(d.config))),
      wasm_sha256: this.kernel.sha256,
      state_sha256: await machine.stateSha256(),
      simulated: {
        time_ns: timeNs,
        faults,
        faults_per_s: perSecond(faults, timeNs),
        iterations,
        iterations_per_s: perSecond(iterations, timeNs),
        fault_ns: machine.faultLatency(),
        locks: Object.fromEntries(locks),
        tlb_shootdowns: machine.stat("tlb_shootdowns"),
        cache_line_transfers: machine.stat("cache_line_transfers"),
        counters: machine.stats(),
      },
      host: { wall_ns: Math.round(this.hostNs), faults_per_s: Math.round(perSecond(faults, this.hostNs)) },
    };
  }
}

function perSecond(count: number, ns: number): number {
  return ns === 0 ? 0 : (count * 1e9) / ns;
}

/** The command line that makes this run again. */
export function commandOf(d: RunDescription): string {
  const parts = ["faultline run", d.workload, `-t ${d.tasks}`, `--mode ${d.mode}`];
  if (d.config.cpus !== undefined) parts.push(`--cpus ${d.config.cpus}`);
  if (d.config.memoryBytes !== undefined) parts.push(`--memory ${d.config.memoryBytes}`);
  parts.push(`--seed ${d.config.seed ?? 1}`);
  if (d.lenBytes !== undefined) parts.push(`--length ${d.lenBytes}`);
  if (d.durationNs !== undefined) parts.push(`--duration ${d.durationNs}ns`);
  if (d.warmupNs !== undefined) parts.push(`--warmup ${d.warmupNs}ns`);
  if (d.config.faultLock !== undefined) parts.push(`--fault-lock ${d.config.faultLock}`);
  return parts.join(" ");
}

/** One run from boot to result. */
export async function runPoint(kernel: KernelImage, description: RunDescription): Promise<RunResult> {
  const run = new Run(kernel, description);
  run.warmUp();
  run.measure();
  return run.result();
}

/** The description that a result was made from. */
export function descriptionOf(result: RunResult): RunDescription {
  return {
    workload: result.workload,
    tasks: result.tasks,
    mode: result.mode,
    warmupNs: result.warmup_ns,
    durationNs: result.duration_ns,
    lenBytes: result.length_bytes,
    config: result.config,
  };
}
