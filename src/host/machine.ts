/**
 * Machine: an emulated machine, from boot to the last byte of its state. Works in Node and in browsers.
 *
 *   const machine = await Machine.create(wasmBytes, { cpus: 2, memoryBytes: 64 << 20 });
 *   machine.spawn(function* () { const at = yield* sys.mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS); ... });
 *   machine.run();
 *
 * Interface: Machine, Snapshot, GuestFailure, INSPECT_KINDS and the types of what a machine reports.
 * Invariants:
 *   [host-1] between two calls of the kernel every task that waits for the host has its next operation, or is gone.
 *   [host-2] a guest's mistake is the guest's failure; a kernel's assert or trap ends the machine (KernelPanic).
 * Locks: none; a machine belongs to one thread of the host.
 * Why not async: a run is one computation; a browser puts it into a worker.
 */
import { type BootedKernel, bootKernel, costTable } from "./boot.js";
import { canonicalJson } from "./canonical.js";
import { ConfigError, type MachineConfig } from "./config.js";
import { Disk } from "./disk.js";
import { type Histogram, type Latency, latencyOf, readHistogram, withZeros } from "./histogram.js";
import { errorText } from "./error-text.js";
import { Guest, type GuestContext, type GuestFn, type GuestState, type Op, type OpResult, randomFrom } from "./guests.js";
import { TASK_ZOMBIE, type TaskLayout, nameTable, taskLayout } from "./layout.js";
import { type LockStat, readLockStat } from "./lock-stat.js";
import { Mailbox, checkOp, needsBuffer } from "./mailbox.js";
import { type PageTableStep, walkPageTable } from "./page-table.js";
import { Console } from "./console.js";
import { type ExecOptions, type ProgramExit, exitOf, programGuest } from "./program.js";
import { HostCalls, type SavedCall } from "./scripted-fs.js";
import { KernelPanic, type PanicContext } from "./panic.js";
import { sha256OfPieces } from "./sha256.js";
import { type TraceEvent, decodeTrace } from "./trace.js";
import { KernelAbort, type KernelExports, type KernelSource, compileKernel, readString } from "./wasm.js";

const RUN_TIME = 0;
const RUN_IDLE = 1;
const RUN_GUEST = 2;
/** A task waits inside the kernel for the host. */
const RUN_HOST = 4;
/** Any limit from 9.2e18 ns on is none to the kernel. */
const FOR_EVER_NS = 9.3e18;
const ENOMEM = 12;
const SYS_EXIT = 93;
const SYS_EXIT_GROUP = 94;

/** Why run came back: the time was reached, nothing can run any more, or a host-side stop was asked for. */
export type RunReason = "time" | "idle" | "stop";

export interface RunOptions {
  /** Run until this simulated time, ns. */
  untilNs?: number;
  /** Run for this much more simulated time, ns. */
  forNs?: number;
  /** Asked after every operation that a guest got a result of: true stops the run there. */
  stopWhen?: () => boolean;
}

/** Latencies of page faults from trap to return, ns. */
export type FaultLatency = Latency;

/** A point in a machine's life. Good for this machine and for any other with the same kernel and configuration. */
export interface Snapshot {
  memory: Uint8Array;
  guests: GuestState[];
  /** Guests that are gone while the child of their fork or clone has not come to the host yet. */
  departed: GuestState[];
  /** Calls of filesystems in TypeScript that were under way. */
  calls: SavedCall[];
  /** What the machine was made from. */
  config: string;
}

export const INSPECT_KINDS = ["meminfo", "maps", "smaps", "cmdline", "stat", "lock_stat", "vmstat", "tasks", "mounts"] as const;
export type InspectKind = (typeof INSPECT_KINDS)[number];

/** A guest's own error, with the guest it came from. */
export class GuestFailure extends Error {
  constructor(
    readonly tid: number,
    override readonly cause: unknown,
  ) {
    super(`guest ${tid}: ${errorText(cause)}`);
    this.name = "GuestFailure";
  }
}

/** The guest's next operation, undefined when it has returned, or its failure. */
function nextOf(guest: Guest, result: OpResult): Op | undefined | GuestFailure {
  try {
    const op = guest.next(result);
    guest.expect(op);
    if (op) checkOp(op);
    return op;
  } catch (error) {
    return new GuestFailure(guest.tid, error);
  }
}

export class Machine {
  readonly kernel: KernelExports;
  readonly memory: WebAssembly.Memory;
  private readonly booted: BootedKernel;
  private readonly guests = new Map<number, Guest>();
  /** Killed in their fork or clone: their child, should it come, takes its function from here. */
  private readonly departed = new Map<number, Guest>();
  private readonly u32: Uint32Array;
  private readonly u8: Uint8Array;
  private readonly mailbox: Mailbox;
  private readonly task: TaskLayout;
  private readonly tracepoints: string[];
  private readonly lockClasses: string[];
  private readonly statNames: string[];
  private readonly hostCalls: HostCalls;
  private dead: KernelPanic | undefined;
  private running = false;
  /** Its model, its faults, its image. */
  readonly disk: Disk;
  /** What programs write and read. */
  readonly console: Console;
  /** How processes that the host started have ended, by pid. */
  private readonly exits = new Map<number, number>();
  /** What the machine is made from, as text. */
  private readonly configText: string;
  /** What to do to see a panic again: a run's command line, or for other machines how this one was made. */
  command: string;

  private constructor(
    booted: BootedKernel,
    readonly config: MachineConfig,
  ) {
    const { kernel, memory } = booted;
    this.booted = booted;
    this.configText = canonicalJson(config);
    this.command = `Machine.create(kernel, ${this.configText}) and the same guests`;
    this.kernel = kernel;
    this.memory = memory;
    this.u32 = new Uint32Array(memory.buffer);
    this.u8 = new Uint8Array(memory.buffer);
    this.mailbox = new Mailbox(memory);
    this.disk = new Disk(memory, kernel);
    this.console = new Console(memory, kernel);
    this.hostCalls = new HostCalls(config.filesystems ?? [], new DataView(memory.buffer), kernel);
    this.task = taskLayout(kernel, memory);
    this.tracepoints = nameTable(memory, kernel.tracepointName);
    this.statNames = nameTable(memory, kernel.statName);
    this.lockClasses = [""];
    for (let id = 1; ; id++) {
      const name = readString(memory, kernel.lockClassName(id));
      if (name === "") break;
      this.lockClasses.push(name);
    }
  }

  /** Boots a machine. Throws ConfigError for a configuration that makes none. */
  static async create(source: KernelSource, config: MachineConfig = {}): Promise<Machine> {
    return Machine.createSync(await compileKernel(source), config);
  }

  /** As create, from a compiled module. */
  static createSync(module: WebAssembly.Module, config: MachineConfig = {}): Machine {
    return new Machine(bootKernel(module, config), config);
  }

  /** First byte of the linear memory that is not the machine's. */
  get endBytes(): number {
    return this.booted.endBytes;
  }

  /** The cost table in force, ns by name. */
  costs(): Record<string, number> {
    return costTable(this.booted);
  }

  /** Starts a process whose one thread runs `fn`. Returns its pid. Throws when the kernel cannot (task table, memory). */
  spawn(fn: GuestFn, options: { cpu?: number } = {}): number {
    const { cpu = -1 } = options;
    const cpus = this.config.cpus ?? 1;
    if (!Number.isInteger(cpu) || cpu < -1 || cpu >= cpus) throw new ConfigError(`cpu is ${cpu}; the machine has CPUs 0 to ${cpus - 1}`);
    const tid = this.guard(() => this.kernel.spawnProcess(cpu));
    if (tid < 0) throw new ConfigError(`spawn failed with errno ${-tid}`);
    this.addGuest(fn, tid, tid);
    return tid;
  }

  /**
   * Starts a program: an executable of riscv64 Linux, written to a path of the guest's or there already. Returns its pid. What it
   * writes goes to console.onOutput; exitOf(pid) says how it ended. Throws ConfigError on a machine without code pages.
   */
  exec(options: ExecOptions): number {
    if ((this.config.codePages ?? 0) === 0) throw new ConfigError("codePages is 0: this machine runs no programs");
    return this.spawn(programGuest(options), options.cpu === undefined ? {} : { cpu: options.cpu });
  }

  /** How a process that spawn or exec started has ended; undefined while it lives. */
  exitOf(pid: number): ProgramExit | undefined {
    const status = this.exits.get(pid);
    return status === undefined ? undefined : exitOf(status);
  }

  private addGuest(fn: GuestFn, tid: number, pid: number): Guest {
    const context = (life: number): GuestContext => ({
      tid,
      pid,
      cpus: this.config.cpus ?? 1,
      random: randomFrom((this.config.seed ?? 1) * 0x10001 + tid + life * 0x9e3779b1),
    });
    const guest = new Guest(fn, tid, pid, context);
    this.guests.set(tid, guest);
    return guest;
  }

  /** Runs until the time given, or until nothing can run. Throws KernelPanic, or GuestFailure after a guest threw. */
  run(options: RunOptions = {}): RunReason {
    const forNs = options.forNs ?? Infinity;
    const untilNs = options.untilNs ?? (forNs === Infinity ? Infinity : this.nowNs() + forNs);
    if (!(untilNs >= 0)) throw new RangeError(`run until ${untilNs} ns of simulated time`);
    if (this.running) throw new Error("the machine runs already: a guest cannot run it");
    this.running = true;
    try {
      return this.runUntil(Math.min(untilNs, FOR_EVER_NS), options.stopWhen);
    } finally {
      this.running = false;
    }
  }

  private runUntil(limitNs: number, stopWhen: (() => boolean) | undefined): RunReason {
    for (;;) {
      const reason = this.guard(() => this.kernel.run(limitNs));
      this.console.drain();
      if (reason === RUN_HOST) {
        this.serveCall(this.kernel.guestTask());
        continue;
      }
      if (reason !== RUN_GUEST) return reason === RUN_IDLE ? "idle" : reason === RUN_TIME ? "time" : "stop";
      this.serve(this.kernel.guestTask());
      if (stopWhen?.() === true) return "stop";
    }
  }

  /** A task inside the kernel calls a filesystem in TypeScript. */
  private serveCall(task: number): void {
    try {
      this.guard(() => {
        if (this.console.serve(task, task + this.task.hostCall)) return;
        this.hostCalls.serve(this.field(task, this.task.id), task, task + this.task.hostCall);
      });
    } catch (error) {
      if (error instanceof KernelPanic) throw error;
      throw new GuestFailure(this.field(task, this.task.id), error);
    }
  }

  /** A task has finished an operation, or has exited. */
  private serve(task: number): void {
    const tid = this.field(task, this.task.id);
    const guest = this.guests.get(tid) ?? this.adopt(task, tid);
    if (this.field(task, this.task.state) === TASK_ZOMBIE) {
      this.guests.delete(tid);
      if (this.field(task, this.task.tgid) === tid) this.exits.set(tid, this.field(task, this.task.exitCode));
      if (guest.childWaits) this.departed.set(tid, guest);
      this.guard(() => this.kernel.guestExited(task));
      return;
    }
    let result = this.mailbox.read(task + this.task.op, guest.readBack);
    this.adoptFromParent(guest, result);
    const isThread = this.field(task, this.task.tgid) !== tid;
    for (;;) {
      const next = nextOf(guest, result);
      if (next instanceof GuestFailure) {
        this.post(task, { nr: SYS_EXIT_GROUP, args: [1] });
        throw next;
      }
      if (this.post(task, next ?? { nr: isThread ? SYS_EXIT : SYS_EXIT_GROUP, args: [0] })) return;
      result = { ret: -ENOMEM, signal: 0, faultAddress: 0, bytes: 0 };
    }
  }

  /** A task the host has not seen: the child of a guest whose fork or clone is under way. */
  private adopt(task: number, tid: number): Guest {
    const parent = this.field(task, this.task.parent);
    const fn = (this.guests.get(parent) ?? this.departed.get(parent))?.takeChild();
    this.departed.delete(parent);
    if (!fn) throw new Error(`task ${tid} has no guest function`);
    return this.addGuest(fn, tid, this.field(task, this.task.tgid));
  }

  /** A fork or clone is done: its child has its guest now, unless it has run already. */
  private adoptFromParent(parent: Guest, result: OpResult): void {
    const fn = parent.takeChild();
    if (fn && result.ret > 0) this.addGuest(fn, result.ret, parent.pendingThread ? parent.pid : result.ret);
  }

  /** Gives a task its next operation and lets it run. False: no memory for the operation's buffer. */
  private post(task: number, op: Op): boolean {
    const wanted = needsBuffer(op);
    const buffer = wanted ? this.guard(() => this.kernel.opBuffer(task) >>> 0) : 0;
    if (wanted && buffer === 0) return false;
    this.mailbox.write(task + this.task.op, op, buffer);
    this.guard(() => this.kernel.guestResume(task));
    return true;
  }

  private field(at: number, offset: number): number {
    return this.u32[(at + offset) >> 2] ?? 0;
  }

  /** Calls the kernel; an assert or a trap ends the machine. */
  private guard<T>(call: () => T): T {
    if (this.dead) throw this.dead;
    try {
      return call();
    } catch (error) {
      if (!(error instanceof KernelAbort) && !(error instanceof WebAssembly.RuntimeError)) throw error;
      this.dead = this.panic(error);
      throw this.dead;
    }
  }

  private panic(error: KernelAbort | WebAssembly.RuntimeError): KernelPanic {
    const task = this.kernel.currentTaskPtr();
    const context: PanicContext = {
      seed: this.config.seed ?? 1,
      timeNs: this.nowNs(),
      cpu: task === 0 ? -1 : this.field(task, this.task.cpu),
      task: task === 0 ? 0 : this.field(task, this.task.id),
      trace: this.trace(32),
      command: this.command,
    };
    if (this.kernel.lockdepClass(0) !== 0) {
      context.lockChains = { held: this.chain(4), opposite: this.chain(12) };
      context.lockChains.held.push(this.lockClasses[this.kernel.lockdepClass(2)] ?? "?");
    }
    if (error instanceof KernelAbort) return new KernelPanic(error.law, error.place, context);
    return new KernelPanic(`trap of the module: ${error.message}`, error.stack?.split("\n")[1]?.trim() ?? "?", context);
  }

  private chain(first: number): string[] {
    const names: string[] = [];
    for (let i = 0; i < 8; i++) {
      const id = this.kernel.lockdepClass(first + i);
      if (id !== 0) names.push(this.lockClasses[id] ?? `class ${id}`);
    }
    return names;
  }

  /** Simulated time, ns. */
  nowNs(): number {
    return this.kernel.nowNs();
  }

  /** Wakes a guest that has parked (guest/mem.ts). Throws when it has not. */
  unpark(tid: number): void {
    if (this.guard(() => this.kernel.unpark(tid)) === 0) throw new Error(`guest ${tid} is not parked`);
  }

  hasGuest(tid: number): boolean {
    return this.guests.has(tid);
  }

  /** Live guests. */
  get guestCount(): number {
    return this.guests.size;
  }

  /** The machine's counters by name. */
  stats(): Record<string, number> {
    return Object.fromEntries(this.statNames.map((name, i) => [name, this.kernel.statValue(i)]));
  }

  /** One counter. Throws for a name that does not exist. */
  stat(name: string): number {
    const i = this.statNames.indexOf(name);
    if (i < 0) throw new Error(`no counter "${name}"`);
    return this.kernel.statValue(i);
  }

  /** Ends a warm-up: counters, lock_stat and latencies start at zero. */
  statsReset(): void {
    this.kernel.statsReset();
  }

  /** lock_stat of every class that was used, by name and mode. */
  lockStat(): Record<string, { read: LockStat; write: LockStat }> {
    return readLockStat(this.kernel, this.lockClasses);
  }

  /** Latencies of the faults since boot or statsReset. */
  faultLatency(): FaultLatency {
    return latencyOf(this.faultHistogram());
  }

  /** The same, bucket by bucket. */
  faultHistogram(): Histogram {
    return this.histogramAt(this.kernel.faultHistogram());
  }

  /** Waits for a lock class by those who had to wait. Throws for a class that keeps no histogram (mmap_sem and vma_lock do). */
  lockWaitHistograms(lockClass: string): { read: Histogram; write: Histogram } {
    const id = this.lockClasses.indexOf(lockClass);
    if (id < 1 || this.kernel.lockWaitHistogram(id, 0) === 0) throw new Error(`lock class "${lockClass}" keeps no wait histogram`);
    return { read: this.histogramAt(this.kernel.lockWaitHistogram(id, 0)), write: this.histogramAt(this.kernel.lockWaitHistogram(id, 1)) };
  }

  /** Waits for a lock class over all acquisitions: those that found the lock free waited 0 ns. */
  lockWaits(lockClass: string): { read: Latency; write: Latency } {
    const waits = this.lockWaitHistograms(lockClass);
    const stat = this.lockStat()[lockClass];
    const free = (mode: "read" | "write"): number => (stat ? stat[mode].acquisitions - stat[mode].contentions : 0);
    return { read: latencyOf(withZeros(waits.read, free("read"))), write: latencyOf(withZeros(waits.write, free("write"))) };
  }

  /** What guests recorded under a number (guest/mem.ts: record). */
  recorded(id: number): Histogram {
    const at = this.kernel.recorderHistogram(id);
    if (at === 0) throw new Error(`no recorder ${id}: MachineConfig.recorders is too low`);
    return this.histogramAt(at);
  }

  private histogramAt(at: number): Histogram {
    return readHistogram(this.memory.buffer, at >>> 0);
  }

  /** The last events of the trace ring, oldest first. */
  trace(count?: number): TraceEvent[] {
    const { kernel } = this;
    const capacity = kernel.traceCapacity();
    return decodeTrace(this.memory.buffer, kernel.tracePtr(), capacity, kernel.traceSeq(), this.tracepoints, count);
  }

  /** Events written into the ring since boot; those that trace() does not return are lost. */
  traceWritten(): number {
    return this.kernel.traceSeq();
  }

  /** Times each tracepoint was passed, by name: counted whether or not the ring is on. */
  traceCounts(): Record<string, number> {
    return Object.fromEntries(this.tracepoints.map((name, id) => [name, this.kernel.traceCount(id)]));
  }

  /** A /proc-like view as text. Throws when the process does not exist. */
  inspect(kind: InspectKind, pid = 0): string {
    const length = this.guard(() => this.kernel.inspect(INSPECT_KINDS.indexOf(kind), pid));
    if (length < 0) throw new Error(`inspect ${kind} of ${pid}: errno ${-length}`);
    const at = this.kernel.inspectPtr();
    return new TextDecoder().decode(this.u8.slice(at, at + length));
  }

  /** The page table entries of a process's address, root first. Throws when the process does not exist. */
  pageTable(pid: number, address: number): PageTableStep[] {
    const root = this.guard(() => this.kernel.pageTableRoot(pid));
    if (root === 0) throw new Error(`no process ${pid}`);
    return walkPageTable(this.memory.buffer, root, address);
  }

  /** Runs every invariant walk of the kernel. Throws KernelPanic on a broken law. */
  check(): void {
    this.guard(() => this.kernel.checkMachine());
  }

  /** Bytes of memory that may differ from zero. */
  get usedBytes(): number {
    return this.kernel.usedBytes() >>> 0;
  }

  /** The state of the machine and of its guests. */
  snapshot(): Snapshot {
    const guests = [...this.guests.values()].map((guest) => guest.state());
    const departed = [...this.departed.values()].map((guest) => guest.state());
    return { memory: this.u8.slice(0, this.usedBytes), guests, departed, calls: this.hostCalls.save(), config: this.configText };
  }

  /** Puts a snapshot back, of this machine or of another with the same kernel and configuration. Throws for one of another kind. */
  restore(snapshot: Snapshot): void {
    if (snapshot.config !== this.configText) {
      throw new ConfigError(`the snapshot is of a machine ${snapshot.config}, this one is ${this.configText}`);
    }
    const used = this.usedBytes;
    this.u8.set(snapshot.memory, 0);
    if (used > snapshot.memory.length) this.u8.fill(0, snapshot.memory.length, used);
    this.dead = undefined;
    this.guests.clear();
    for (const state of snapshot.guests) this.guests.set(state.tid, Guest.restored(state));
    this.departed.clear();
    for (const state of snapshot.departed) this.departed.set(state.tid, Guest.restored(state));
    this.hostCalls.restore(snapshot.calls);
    this.console.forget();
    this.exits.clear();
  }

  /**
   * SHA-256 over all memory in use (in pieces of 64 MiB), hex: equal runs have equal hashes, in Node and in browsers, stopped
   * on the way or not. Await it before the machine runs on.
   */
  async stateSha256(): Promise<string> {
    this.kernel.hashPrepare();
    return sha256OfPieces(this.u8.subarray(0, this.usedBytes));
  }
}
