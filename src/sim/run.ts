/**
 * Runs: one workload, one number of tasks, one seed, from an empty machine to a result. Runs in Node and in browsers.
 *
 *   boot -> every task prepares (files, page cache) -> barrier -> warm-up -> counters to zero -> measured time -> result
 */
import { canonicalJson } from "../host/canonical.js";
import { ConfigError, type MachineConfig, kernelNumbers } from "../host/config.js";
import { type Histogram, latencyOf, mergeHistograms } from "../host/histogram.js";
import { Machine } from "../host/machine.js";
import { sha256 } from "../host/sha256.js";
import {
  type Mode,
  type Recorded,
  type RunContext,
  type Workload,
  type WorkloadInput,
  optionValues,
  workloadOf,
} from "../workloads/index.js";
import { RUN_TEXT_DEFAULTS, type RunText, commandOfText } from "./describe.js";
import { type Filesystem, filesystemFor } from "./filesystems.js";
import { type RunResult, SCHEMA, lockResult } from "./result.js";
import { type Phase, cpusOf, partiesOf, prepareMachine, startTasks } from "./start.js";

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
  /** Filesystem of the files (sim/filesystems.ts). Default ramfs. */
  fs?: string;
  /** Values that differ from the workload's own, "key=value" each. */
  set?: readonly string[];
  /** Each task begins its loop up to this much later, by the seed, ns. Default 0. */
  staggerNs?: number;
  /** A job file or trace that is the workload. */
  input?: WorkloadInput;
  config: MachineConfig;
}

/** A description with its defaults filled in. */
export type FullDescription = Required<Omit<RunDescription, "input">> & Pick<RunDescription, "input">;

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
/** A workload that ends by itself is given this long, simulated. */
const LONGEST_NS = 3600e9;
/** Recorders of a machine unless a workload records more. */
const DEFAULT_RECORDERS = 4;

/** Compiles a kernel and takes its hash. */
export async function kernelImage(bytes: Uint8Array): Promise<KernelImage> {
  return { module: await WebAssembly.compile(bytes as Uint8Array<ArrayBuffer>), sha256: await sha256(bytes) };
}

/** The default length of a task's mapping, bytes. */
export function defaultLength(workload: Workload, tasks: number, memoryBytes: number, share = 0.6): number {
  if (workload.lenBytes !== undefined) return workload.lenBytes;
  if (workload.footprint === 0) return FULL_LENGTH;
  const need = tasks * workload.footprint;
  let length = FULL_LENGTH;
  while (length > 4096 && length * need > memoryBytes * share) length /= 2;
  if (length * need > memoryBytes * Math.min(0.8, share * 1.4)) {
    const who = tasks === 1 ? "one task" : `${tasks} tasks`;
    throw new ConfigError(`memory of ${memoryBytes} bytes is too small for ${who} of ${workload.name}`);
  }
  return length;
}

/** Distributions of one run, ns. Waits are those of acquisitions that had to wait. */
export interface RunHistograms {
  fault: Histogram;
  read_wait: Histogram;
  write_wait: Histogram;
  recorded: Record<string, Histogram>;
}

/** A run under way: lets callers stop it in the middle, look, save and go on. */
export class Run {
  readonly machine: Machine;
  readonly description: FullDescription;
  /** The first process of tasks, once started. */
  targetPid = 0;
  private readonly workload: Workload;
  readonly context: RunContext;
  private readonly fs: Filesystem;
  private startNs = 0;
  private startIdleNs = 0;
  private startHost = 0;
  private hostNs = 0;

  constructor(
    readonly kernel: KernelImage,
    description: RunDescription,
  ) {
    const workload = workloadOf(description.workload, description.input);
    if (!workload) throw new RunError(`unknown workload "${description.workload}"`);
    this.workload = workload;
    this.fs = filesystemFor(description.fs ?? "ramfs", workload);
    // Before what follows from them: a number out of its range is to be named as such.
    kernelNumbers(description.config);
    const memoryBytes = description.config.memoryBytes ?? 256 * MIB;
    const lenBytes = description.lenBytes ?? defaultLength(workload, description.tasks, memoryBytes, this.fs.memoryShare);
    if (lenBytes < 4096 || lenBytes % 4096 !== 0) throw new ConfigError(`length ${lenBytes} is not a number of 4096-byte pages`);
    const set = description.set ?? [];
    this.context = {
      tasks: description.tasks,
      mode: description.mode,
      lenBytes,
      seed: description.config.seed ?? 1,
      directory: this.fs.directory,
      options: optionValues(workload.name, workload.options ?? [], set),
    };
    const config = { ...this.machineDefaults(), memoryBytes, seed: 1, ...description.config };
    this.description = {
      fs: "ramfs",
      staggerNs: 0,
      ...description,
      set,
      config,
      lenBytes,
      // A workload that ends is measured whole: there is no part of it to leave out or to cut off.
      warmupNs: workload.ends === true ? 0 : (description.warmupNs ?? DEFAULT_WARMUP_NS),
      durationNs: workload.ends === true ? LONGEST_NS : (description.durationNs ?? DEFAULT_DURATION_NS),
    };
    const { definition } = this.fs;
    this.machine = Machine.createSync(kernel.module, definition ? { ...config, filesystems: [definition] } : config);
    this.machine.command = commandOf(this.description, this.machineDefaults());
  }

  /** What the workload and the filesystem need of a machine. */
  private machineDefaults(): MachineConfig {
    const { workload, context, fs } = this;
    const recorders = Math.max(DEFAULT_RECORDERS, this.recorders.length);
    const fileBytes = context.tasks * context.lenBytes * Math.max(1, workload.footprint);
    return { cpus: cpusOf(workload, context), recorders, ...fs.machine?.(fileBytes), ...workload.machine?.(context) };
  }

  /** Boot to the end of the warm-up. */
  warmUp(): void {
    const { machine, description: d, workload, context } = this;
    prepareMachine(machine, this.fs, workload, context);
    const phase: Phase = { ready: 0 };
    const parties = partiesOf(workload, context);
    this.targetPid = startTasks(machine, workload, context, phase, { staggerNs: d.staggerNs });
    if (parties > 0) {
      const reason = machine.run({ stopWhen: () => phase.ready === parties });
      if (phase.ready !== parties) throw new RunError(this.failure(`the tasks did not reach their barrier (${reason})`));
    }
    if (d.warmupNs > 0 && machine.run({ forNs: d.warmupNs }) === "idle") {
      throw new RunError(this.failure("every task waits: nothing can run"));
    }
    machine.statsReset();
    this.startNs = machine.nowNs();
    this.startIdleNs = machine.stat("cpu_idle_ns");
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
    const { machine, workload } = this;
    const ends = workload.ends === true;
    if (ends && machine.guestCount === 0) return;
    this.startHost = performance.now();
    // The flusher and other timers may go on for long after the last guest: that is not the workload any more.
    const reason = machine.run(ends ? { forNs: ns, stopWhen: () => machine.guestCount === 0 } : { forNs: ns });
    this.hostNs += (performance.now() - this.startHost) * 1e6;
    if (reason === "idle" || machine.stat("oom_kills") > 0) throw new RunError(this.failure("every task waits: nothing can run"));
    if (ends && reason !== "stop" && this.measuredNs >= this.description.durationNs) {
      throw new RunError(this.failure(`the workload did not end within ${this.description.durationNs} ns`));
    }
  }

  /** What the guests record, recorder by recorder. */
  private get recorders(): readonly Recorded[] {
    return this.workload.recorders?.(this.context) ?? this.workload.recorded ?? [];
  }

  /** The distributions behind the result's percentiles. */
  histograms(): RunHistograms {
    const waits = this.machine.lockWaitHistograms("mmap_sem");
    const recorded = new Map<string, Histogram[]>();
    this.recorders.forEach(({ name, internal }, id) => {
      if (internal !== true) recorded.set(name, [...(recorded.get(name) ?? []), this.machine.recorded(id)]);
    });
    const together = [...recorded].map(([name, parts]) => [name, mergeHistograms(parts)] as const);
    const fault = this.machine.faultHistogram();
    return { fault, read_wait: waits.read, write_wait: waits.write, recorded: Object.fromEntries(together) };
  }

  private idlePercent(timeNs: number): number {
    const cpus = this.description.config.cpus ?? 1;
    const idleNs = this.machine.stat("cpu_idle_ns") - this.startIdleNs;
    // A CPU's clock may stand a little before or behind the machine's.
    return timeNs === 0 ? 0 : Math.min(100, Math.max(0, (100 * idleNs) / (cpus * timeNs)));
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
      fs: d.fs,
      set: [...d.set],
      stagger_ns: d.staggerNs,
      ...(d.input ? { input: d.input } : {}),
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
        mmap_sem_wait_ns: machine.lockWaits("mmap_sem"),
        recorded: Object.fromEntries(Object.entries(this.histograms().recorded).map(([name, h]) => [name, latencyOf(h)])),
        locks: { mmap_sem: { read: lockResult(UNUSED), write: lockResult(UNUSED) }, ...Object.fromEntries(locks) },
        idle_percent: this.idlePercent(timeNs),
        tlb_shootdowns: machine.stat("tlb_shootdowns"),
        cache_line_transfers: machine.stat("cache_line_transfers"),
        counters: machine.stats(),
      },
      host: { wall_ns: Math.round(this.hostNs), faults_per_s: Math.round(perSecond(faults, this.hostNs)) },
    };
  }
}

/** A lock class that nobody took. */
const UNUSED = { acquisitions: 0, contentions: 0, waitNs: 0, waitMaxNs: 0, waitMinNs: 0, holdNs: 0, holdMaxNs: 0, holdMinNs: 0 };

function perSecond(count: number, ns: number): number {
  return ns === 0 ? 0 : (count * 1e9) / ns;
}

/** Fields of a configuration that the command line has options for, or that a run works out itself. */
const IN_COMMAND = new Set(["cpus", "sockets", "memoryBytes", "seed", "faultLock", "mkwrite", "costs"]);

/** How many, how much, how long. */
function timesOf(d: RunDescription): Partial<RunText> {
  return {
    tasks: String(d.tasks),
    mode: d.mode,
    ...(d.lenBytes === undefined ? {} : { length: String(d.lenBytes) }),
    ...(d.durationNs === undefined ? {} : { duration: `${d.durationNs}ns` }),
    ...(d.warmupNs === undefined ? {} : { warmup: `${d.warmupNs}ns` }),
  };
}

/** The command line that makes this run again; what no option can say stands behind it as a comment. */
export function commandOf(d: RunDescription, derived: MachineConfig = {}): string {
  const { config } = d;
  const text: RunText = {
    ...RUN_TEXT_DEFAULTS,
    workload: d.workload,
    // A job file has its own tasks and times: these options would override them.
    ...(d.input ? {} : timesOf(d)),
    ...(d.fs === undefined ? {} : { fs: d.fs }),
    ...(config.faultLock === undefined ? {} : { faultLock: config.faultLock }),
    ...(config.mkwrite === undefined ? {} : { mkwrite: config.mkwrite }),
    ...(d.set === undefined || d.set.length === 0 ? {} : { set: d.set.join(",") }),
    ...(config.cpus === undefined ? {} : { cpus: String(config.cpus) }),
    ...(config.sockets === undefined ? {} : { sockets: String(config.sockets) }),
    ...(config.memoryBytes === undefined ? {} : { memory: String(config.memoryBytes) }),
    seed: String(config.seed ?? 1),
  };
  const costs = Object.keys(config.costs ?? {}).length > 0 ? ` --costs '${JSON.stringify(config.costs)}'` : "";
  const isUnsaid = ([key, value]: [string, unknown]): boolean => !IN_COMMAND.has(key) && derived[key as keyof MachineConfig] !== value;
  const more = { staggerNs: d.staggerNs === 0 ? undefined : d.staggerNs };
  const unsaid = Object.fromEntries(Object.entries({ ...config, ...more }).filter(isUnsaid));
  const rest = JSON.stringify(unsaid);
  return `${commandOfText(text)}${costs}${rest === "{}" ? "" : ` # and ${rest}`}`;
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
    fs: result.fs,
    set: result.set,
    staggerNs: result.stagger_ns,
    ...(result.input ? { input: result.input } : {}),
    config: result.config,
  };
}
