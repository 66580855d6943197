/*
 * A machine of the sched room whose tasks run programs: tables of steps written here, run by kernel-tests/harness/program.ts.
 *
 * Interface: Rig, op (builders of steps), Step, LogEntry, TEST_A.. (lock classes), REASON (why dispatch returned).
 * Invariants: [rig-1] costs are 0 unless `costs` says otherwise, so every time in a log follows from the program.
 */
import { type Harness, loadHarness } from "../host-harness";

const STEP_BYTES = 32;
const LOG_BYTES = 32;
export const NORMAL = 0;
export const TIMEOUT = -1;
export const SIGNAL = -2;
export const INTERRUPTIBLE = 2;
export const UNINTERRUPTIBLE = 3;
export const KILLABLE = 4;
export const REASON = { time: 0, idle: 1, guest: 2, stop: 3 } as const;
export const STATE = { free: 0, runnable: 1, guestWait: 5, zombie: 6 } as const;
export const [TEST_A, TEST_B, TEST_C] = [21, 22, 23];
export const SIGKILL = 9;

/** An operation by its name in program.ts without OP_, and its arguments. */
export interface Step {
  readonly op: string;
  readonly args: readonly number[];
}

function step(name: string): (...args: number[]) => Step {
  return (...args) => ({ op: name, args });
}

export const op = {
  end: step("END"),
  guest: step("GUEST"),
  charge: step("CHARGE"),
  sleep: step("SLEEP"),
  wait: step("WAIT"),
  waitTimeout: step("WAIT_TIMEOUT"),
  wakeOne: step("WAKE_ONE"),
  wakeAll: step("WAKE_ALL"),
  kill: step("KILL"),
  signal: step("SIGNAL"),
  touch: step("TOUCH"),
  nest: step("NEST"),
  spawn: step("SPAWN"),
  skipUnless: step("SKIP_UNLESS"),
  downRead: step("DOWN_READ"),
  downReadKillable: step("DOWN_READ_KILLABLE"),
  tryDownRead: step("TRY_DOWN_READ"),
  upRead: step("UP_READ"),
  downWrite: step("DOWN_WRITE"),
  downWriteKillable: step("DOWN_WRITE_KILLABLE"),
  tryDownWrite: step("TRY_DOWN_WRITE"),
  upWrite: step("UP_WRITE"),
  downgrade: step("DOWNGRADE"),
  mutexLock: step("MUTEX_LOCK"),
  mutexTry: step("MUTEX_TRY"),
  mutexUnlock: step("MUTEX_UNLOCK"),
  spinLock: step("SPIN_LOCK"),
  spinUnlock: step("SPIN_UNLOCK"),
  bitLock: step("BIT_LOCK"),
  bitLockKillable: step("BIT_LOCK_KILLABLE"),
  bitTry: step("BIT_TRY"),
  bitUnlock: step("BIT_UNLOCK"),
  bitWait: step("BIT_WAIT"),
  bitWaitKillable: step("BIT_WAIT_KILLABLE"),
  bitClear: step("BIT_CLEAR"),
  percpuDownRead: step("PERCPU_DOWN_READ"),
  percpuTryRead: step("PERCPU_TRY_READ"),
  percpuUpRead: step("PERCPU_UP_READ"),
  percpuDownWrite: step("PERCPU_DOWN_WRITE"),
  percpuUpWrite: step("PERCPU_UP_WRITE"),
} as const;

export interface LogEntry {
  timeNs: number;
  task: number;
  pc: number;
  op: string;
  phase: "begin" | "end";
  result: number;
  cpu: number;
}

export interface RigOptions {
  cpus?: number;
  sockets?: number;
  tasks?: number;
  saveAreaBytes?: number;
  sliceNs?: number;
  skewNs?: number;
  seed?: number;
  /** 0 default, 1 random, 2 script. */
  policy?: number;
  limitBytes?: number;
  costs?: boolean;
  harness?: Harness;
}

const SCHED = ["clock", "horizon", "machineNs", "switches", "lineTransfers", "preemptCount", "events", "liveTasks"] as const;
const SCHED_MORE = ["saveHighWater", "current", "guestTask", "saveAreas", "saveAreaBytes"] as const;
const SCHED_FIELDS = [...SCHED, ...SCHED_MORE];
const CPU_FIELDS = ["clock", "idle", "switches", "pending", "queued", "current", "socket"] as const;
const TASK = ["state", "cpu", "onCpu", "runNs", "wakeReason", "held", "waitOn", "exitCode", "nvcsw", "nivcsw"] as const;
const TASK_FIELDS = [...TASK, "fatalSignal", "at", "saveArea"] as const;

const opNumbers = new Map<string, number>();
const opNames = new Map<number, string>();

function learnOps(harness: Harness): void {
  if (opNumbers.size > 0) return;
  for (const name of Object.keys(harness.exports).filter((key) => key.startsWith("OP_"))) {
    opNumbers.set(name.slice(3), harness.constant(name));
    opNames.set(harness.constant(name), name.slice(3));
  }
}

export class Rig {
  readonly harness: Harness;
  readonly bootOk: boolean;
  private slots = 0;

  constructor(readonly options: RigOptions = {}) {
    this.harness = options.harness ?? loadHarness({ bytes: 8 << 20 });
    learnOps(this.harness);
    const { cpus = 1, sockets = 1, tasks = 16, saveAreaBytes = 4096, sliceNs = 1e6, skewNs = 0 } = options;
    const { seed = 1, policy = 0, costs = false } = options;
    const limit = options.limitBytes ?? this.harness.memory.buffer.byteLength;
    const shape = [cpus, sockets, tasks, saveAreaBytes, sliceNs, skewNs];
    this.bootOk = this.call("machineBoot", ...shape, seed, policy, limit, costs ? 1 : 0) === 1;
    if (this.bootOk) this.bootOk = this.call("programsInit", tasks) === 1;
  }

  call(name: string, ...args: (number | bigint)[]): number {
    return this.harness.call(name, ...args);
  }

  text(at: number): string {
    return this.harness.text(at);
  }

  rwsem(classId = TEST_A): number {
    return this.call("newRwsem", classId);
  }
  mutex(classId = TEST_A): number {
    return this.call("newMutex", classId);
  }
  spin(): number {
    return this.call("newSpinLock");
  }
  percpu(classId = TEST_A): number {
    return this.call("newPercpuRwsem", classId);
  }
  queue(): number {
    return this.call("newWaitQueue");
  }
  word(): number {
    return this.call("newWord");
  }

  /** Writes a program without starting a task for it; for op.spawn. Returns its slot. */
  program(steps: readonly Step[]): number {
    const slot = this.slots++;
    const view = new DataView(this.harness.memory.buffer, this.call("programAt", slot));
    const all = steps.at(-1)?.op === "END" ? steps : [...steps, op.end(0)];
    if (all.length > this.harness.constant("PROGRAM_STEPS")) throw new Error("the program is too long");
    all.forEach(({ op: name, args }, i) => {
      const number = opNumbers.get(name);
      if (number === undefined) throw new Error(`no operation ${name}`);
      [number, ...args].forEach((word, k) => view.setUint32(i * STEP_BYTES + k * 4, word >>> 0, true));
    });
    return slot;
  }

  /** Starts a task; pinned to `cpu` when given. Returns its id, 0 when the table is full. */
  task(steps: readonly Step[], cpu = -1): number {
    return this.call("programTask", this.program(steps), cpu);
  }

  /** Runs until `untilNs`; exited tasks are reaped unless `keep`. Returns a REASON. */
  run(untilNs = 1e15, keep = false): number {
    return this.call("machineRun", untilNs, keep ? 0 : 1);
  }

  sched(field: (typeof SCHED_FIELDS)[number]): number {
    return this.call("schedField", SCHED_FIELDS.indexOf(field));
  }
  cpu(id: number, field: (typeof CPU_FIELDS)[number]): number {
    return this.call("cpuField", id, CPU_FIELDS.indexOf(field));
  }
  taskField(id: number, field: (typeof TASK_FIELDS)[number]): number {
    return this.call("taskField", id, TASK_FIELDS.indexOf(field));
  }

  /** Everything the programs did so far. */
  log(): LogEntry[] {
    const view = new DataView(this.harness.memory.buffer, this.call("logAt"));
    return Array.from({ length: this.call("logCount") }, (_, i) => {
      const word = (offset: number): number => view.getUint32(i * LOG_BYTES + offset, true);
      return {
        timeNs: Number(view.getBigUint64(i * LOG_BYTES, true)),
        task: word(8),
        pc: word(12),
        op: opNames.get(word(16)) ?? `op ${word(16)}`,
        phase: word(20) === 0 ? "begin" : "end",
        result: view.getInt32(i * LOG_BYTES + 24, true),
        cpu: word(28),
      };
    });
  }

  /** The ends of steps: who did what when, as `[time, task, op, result]`. */
  ends(...ops: string[]): [number, number, string, number][] {
    return this.log()
      .filter((e) => e.phase === "end" && (ops.length === 0 || ops.includes(e.op)))
      .map((e) => [e.timeNs, e.task, e.op, e.result]);
  }

  /** Results of a task's steps, by program counter. */
  results(task: number): number[] {
    return this.log()
      .filter((e) => e.phase === "end" && e.task === task)
      .map((e) => e.result);
  }

  u32(at: number): number {
    return new DataView(this.harness.memory.buffer).getUint32(at, true);
  }
  setU32(at: number, value: number): void {
    new DataView(this.harness.memory.buffer).setUint32(at, value, true);
  }
  setCost(name: string, ns: number): void {
    this.setU32(this.harness.constant("COST_TABLE") + this.harness.constant(name) * 4, ns);
  }
  traceCount(name: string): number {
    return this.call("traceCount", this.harness.constant(name));
  }
}
