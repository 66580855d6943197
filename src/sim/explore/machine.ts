/**
 * A scenario's machine: set up once, then put back and run again for every schedule.
 *
 *   boot -> setup -> every task parked -> snapshot | restore -> tasks released, in the order of a schedule -> after -> laws, ending
 *
 * Interface: ExploreMachine, ScheduleResult, Problem, verdictOf, SetupError, MAX_POINTS.
 * Invariants:
 *   [xm-1] a result follows from the scenario, the cell, the kernel and the schedule alone.
 *   [xm-2] a problem is a verdict about the kernel; a mistake of the scenario or of this code is thrown.
 * Locks: none.
 * Why not a fresh machine a schedule: booting and mounting take a thousand times as long as the race.
 */
import { errorText } from "../../host/error-text.js";
import { type Call, must, sys } from "../../guest/sys.js";
import { park } from "../../guest/mem.js";
import type { MachineConfig } from "../../host/config.js";
import { GuestFailure, Machine, type Snapshot } from "../../host/machine.js";
import { KernelPanic } from "../../host/panic.js";
import type { AnyScenario, Cell, Ending } from "../../scenarios/scenario.js";
import { prioritiesOf } from "./pct.js";
import { MODE, POINT_BYTES, type Schedule, ScheduleLog } from "./schedule.js";

/** Points of one schedule: a race that takes more goes nowhere. */
export const MAX_POINTS = 32_768;
/** CPUs for the process that sets up, and for kernel threads that wake while all tasks run. */
const SPARE_CPUS = 3;
const MAX_CPUS = 12;
/** Simulated time, ns: setup and after, and the race; longer is a hang. */
const QUIET_NS = 1e12;
const SCRIPT_OFFSET = MAX_POINTS * POINT_BYTES;
const MEMORY_BYTES = 1 << 20;
const MIB = 1 << 20;
/** Words of the table of states that were met. */
const SEEN_WORDS = MIB;

export interface Problem {
  /** law: an assert. ending: one that is not allowed. deadlock, livelock, leak: as they say. guest: the scenario's own check failed. */
  kind: "law" | "ending" | "deadlock" | "livelock" | "leak" | "guest";
  text: string;
}

export interface ScheduleResult {
  /** Undefined after a problem that came before the end. */
  ending: string | undefined;
  problem: Problem | undefined;
  marked: boolean;
  points: number;
  /** It came to a state from which all has been explored, or will be: the run was stopped there. */
  pruned: boolean;
}

/** What must be zero when every process is gone ([mk-6], [lk-2]). */
const AT_REST = ["live_tasks", "processes", "anon_pages", "page_tables", "stashes"] as const;

/** A scenario that does not come to its race, and what that says of the kernel, if anything. */
export class SetupError extends Error {
  constructor(
    message: string,
    readonly problem: Problem | undefined,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = "SetupError";
  }
}

export class ExploreMachine {
  readonly machine: Machine;
  readonly log: ScheduleLog;
  readonly taskNames: readonly string[];
  private readonly snapshot: Snapshot;
  private readonly tids: Record<string, number> = {};
  private mainTid = 0;
  /** Setup is over, and every task made. */
  private parked = false;
  private shared: unknown;
  private outcomes: Record<string, unknown> = {};
  private afterValue: unknown;
  private afterDone = false;
  /** Counters, then tracepoints. */
  private readonly names: string[];
  private readonly statNames: number;
  private readonly base: Float64Array;
  private readonly now: Float64Array;
  private readonly script: Uint32Array;
  private readonly allowed: ReadonlySet<string>;
  private runs = 0;
  private stamps = 0;
  /** Whether the footprint of every step is in the log. */
  recordSteps = false;
  /** Asked of every schedule until one has entered the window. */
  wantMark = true;

  constructor(
    module: WebAssembly.Module,
    readonly scenario: AnyScenario,
    readonly cell: Cell,
    config: Partial<MachineConfig> = {},
    /** The module takes notes (instrument.ts): a script's run ends where it meets a state that was met before. */
    private readonly footprints = false,
  ) {
    this.taskNames = Object.keys(scenario.tasks);
    this.machine = Machine.createSync(module, { ...this.configOf(), ...config });
    const { machine } = this;
    machine.kernel.exploreInit(machine.endBytes, MAX_POINTS, machine.endBytes + SCRIPT_OFFSET);
    this.log = new ScheduleLog(machine.memory, machine.endBytes);
    this.script = new Uint32Array(machine.memory.buffer, machine.endBytes + SCRIPT_OFFSET);
    if (footprints) this.initFootprints();
    this.allowed = new Set(scenario.allowed(cell));
    this.setUp();
    const statNames = Object.keys(machine.stats());
    this.statNames = statNames.length;
    this.names = [...statNames, ...Object.keys(machine.traceCounts())];
    this.base = new Float64Array(this.names.length);
    this.now = new Float64Array(this.names.length);
    this.sample(this.base);
    this.snapshot = machine.snapshot();
  }

  private initFootprints(): void {
    const { kernel, endBytes } = this.machine;
    const seen = endBytes + MIB;
    const histories = seen + 8 * SEEN_WORDS;
    const versions = histories + (MIB >> 4);
    const runs = versions + endBytes;
    this.stamps = runs + endBytes / 2;
    this.log.footprints = this.stamps + endBytes / 2;
    kernel.footprintsInit(runs, versions, endBytes, histories, seen, SEEN_WORDS);
  }

  /** Forgets every state that was met: before another search. */
  forget(): void {
    if (this.footprints) new Uint8Array(this.machine.memory.buffer).fill(0, this.machine.endBytes + MIB, this.machine.endBytes + 9 * MIB);
  }

  private configOf(): MachineConfig {
    const { scenario, cell } = this;
    const regime = { faultLock: cell.faultLock, mkwrite: cell.mkwrite };
    return {
      cpus: Math.min(MAX_CPUS, this.taskNames.length + SPARE_CPUS),
      sockets: 1,
      maxTasks: this.taskNames.length + 12,
      memoryBytes: MEMORY_BYTES,
      tlbEntries: 16,
      traceEvents: 64,
      trace: false,
      recorders: 0,
      ...cell.fs.config,
      ...scenario.config,
      ...regime,
      ...(cell.bacikDefects === undefined ? {} : { bacikDefects: cell.bacikDefects }),
      choices: "explore",
    };
  }

  private setUp(): void {
    const { machine, scenario, cell } = this;
    const main = function* (this: ExploreMachine): Call<void> {
      this.shared = yield* scenario.setup(cell);
      for (const name of this.taskNames) this.tids[name] = must(yield* this.start(name), `start of ${name}`);
      this.parked = true;
      yield* park(() => this.finisher());
    }.bind(this);
    this.mainTid = machine.spawn(main);
    let reason;
    try {
      reason = machine.run({ forNs: QUIET_NS });
    } catch (error) {
      throw new SetupError(`setup of ${scenario.name} on ${cell.fs.name}: ${errorText(error)}`, verdictOf(error), { cause: error });
    }
    if (this.parked && reason === "idle") return;
    const text = `setup of ${scenario.name} on ${cell.fs.name} hangs\n${machine.inspect("tasks")}`;
    throw new SetupError(text, { kind: "deadlock", text });
  }

  /** Makes a task that parks at once. */
  private start(name: string): Call {
    const task = this.scenario.tasks[name];
    if (!task) throw new Error(`no task ${name}`);
    const race = function* (this: ExploreMachine): Call<void> {
      this.outcomes[name] = yield* task.run(this.shared, this.cell, this.tids);
    }.bind(this);
    const child = (): Call<never> => park(race);
    return task.kind === "thread" ? sys.thread(child) : sys.fork(child);
  }

  private *finisher(): Call<void> {
    if (this.scenario.after) this.afterValue = yield* this.scenario.after(this.shared, this.cell);
    this.afterDone = true;
  }

  private sample(into: Float64Array): void {
    const { kernel } = this.machine;
    const stats = this.statNames;
    for (let i = 0; i < stats; i++) into[i] = kernel.statValue(i);
    for (let i = stats; i < into.length; i++) into[i] = kernel.traceCount(i - stats);
  }

  /** The name of a task that races, "setup" for the process that ran setup; a kernel thread's id. */
  taskName(tid: number): string {
    if (tid === this.mainTid) return "setup";
    return this.taskNames.find((name) => this.tids[name] === tid) ?? `kthread ${tid}`;
  }

  private moved(name: string): number {
    const i = this.names.indexOf(name);
    if (i < 0) throw new Error(`${this.scenario.name}: no counter or tracepoint "${name}"`);
    return (this.now[i] ?? 0) - (this.base[i] ?? 0);
  }

  /** Runs one schedule from the snapshot. With a bound of preemptions, and footprints, it may end as pruned. */
  run(schedule: Schedule, bound?: number): ScheduleResult {
    this.machine.restore(this.snapshot);
    this.outcomes = {};
    this.afterValue = undefined;
    this.afterDone = false;
    this.begin(schedule, bound);
    const result: ScheduleResult = { ending: undefined, problem: undefined, marked: false, points: 0, pruned: false };
    try {
      result.problem = this.race();
      this.readLog();
      result.points = this.log.length;
      result.pruned = this.machine.kernel.explorePruned() !== 0;
      if (!result.problem && !result.pruned) this.finish(result);
    } catch (error) {
      // What comes after the race has begun a log of its own.
      if (result.points === 0) this.readLog();
      result.points = this.log.length;
      result.problem = problemOf(error);
    }
    return result;
  }

  private readLog(): void {
    const points = this.machine.kernel.explorePoints();
    this.log.length = points < 0 ? MAX_POINTS : points;
    this.log.footprintEnd = this.recordSteps ? this.machine.kernel.footprintsLength() : 0;
  }

  private begin(schedule: Schedule, bound: number | undefined): void {
    const { kernel, endBytes } = this.machine;
    if (bound === undefined || !this.footprints) kernel.footprintsBegin(0, 0, 0, 0);
    else kernel.footprintsBegin(++this.runs, endBytes, this.recordSteps ? this.stamps : 0, this.log.footprints);
    if (schedule.kind === "script") {
      schedule.script.forEach(({ point, name }, i) => (this.script[i] = ((point << 8) | name) >>> 0));
      kernel.exploreBegin(MODE.script, 0, bound ?? 0, schedule.script.length);
    } else if (schedule.kind === "random") {
      kernel.exploreBegin(MODE.random, schedule.seed, schedule.oneIn, 0);
    } else {
      const words = prioritiesOf(schedule);
      this.script.set(words);
      kernel.exploreBegin(MODE.pct, schedule.seed, schedule.changes, words.length);
    }
    for (const tid of Object.values(this.tids)) this.machine.unpark(tid);
  }

  /** Every task that races is gone; so is the process that ran setup, when one of its threads was killed. */
  private raceIsOver(): boolean {
    const { machine, mainTid } = this;
    return machine.guestCount === 0 || (machine.guestCount === 1 && machine.hasGuest(mainTid));
  }

  private race(): Problem | undefined {
    const { machine } = this;
    const reason = machine.run({ stopWhen: () => this.raceIsOver() });
    if (this.raceIsOver() || machine.kernel.explorePruned() !== 0) return undefined;
    const tasks = machine.inspect("tasks");
    if (reason === "idle") return { kind: "deadlock", text: `nobody can run\n${tasks}` };
    return { kind: "livelock", text: `no end within ${MAX_POINTS} points\n${tasks}` };
  }

  private finish(result: ScheduleResult): void {
    const { machine, scenario } = this;
    this.sample(this.now);
    machine.kernel.footprintsBegin(0, 0, 0, 0);
    // While address spaces, PTEs and TLBs are as the race has left them.
    machine.check();
    const end: Ending<unknown, Record<string, unknown>, unknown> = {
      cell: this.cell,
      shared: this.shared,
      outcomes: this.outcomes,
      after: undefined,
      moved: (name) => this.moved(name),
    };
    machine.kernel.exploreBegin(MODE.quiet, 0, 0, 0);
    if (machine.hasGuest(this.mainTid)) machine.unpark(this.mainTid);
    const reason = machine.run({ forNs: QUIET_NS, stopWhen: () => machine.guestCount === 0 });
    if (machine.guestCount !== 0) {
      result.problem = { kind: reason === "idle" ? "deadlock" : "livelock", text: `after the race\n${machine.inspect("tasks")}` };
      return;
    }
    end.after = this.afterDone ? this.afterValue : undefined;
    machine.check();
    const left = AT_REST.filter((name) => machine.stat(name) !== 0);
    if (left.length > 0) {
      result.problem = { kind: "leak", text: `left behind: ${left.map((name) => `${name} ${machine.stat(name)}`).join(", ")}` };
      return;
    }
    result.ending = scenario.ending(end);
    if (this.wantMark) result.marked = scenario.mark(end);
    if (!this.allowed.has(result.ending)) {
      const right = [...this.allowed].map((text) => `"${text}"`).join(", ");
      result.problem = { kind: "ending", text: `"${result.ending}" is none of: ${right}` };
    }
  }
}

/** What a thrown thing says of the kernel; undefined for a mistake in the code of a scenario, or of this. */
export function verdictOf(error: unknown): Problem | undefined {
  if (error instanceof KernelPanic) return { kind: "law", text: `${error.law} (${error.place})` };
  const isSlip = (cause: unknown): boolean => cause instanceof TypeError || cause instanceof ReferenceError;
  return error instanceof GuestFailure && !isSlip(error.cause) ? { kind: "guest", text: error.message } : undefined;
}

function problemOf(error: unknown): Problem {
  const problem = verdictOf(error);
  if (!problem) throw error;
  return problem;
}
