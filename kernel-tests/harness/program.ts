/*
 * Tasks that run a test's program: a table of steps in linear memory, each an operation of the sched room with its arguments.
 *
 *     step (32 bytes):       op | a | b | c | result (i32) | pad | time at the end (f64 ns)
 *     log entry (32 bytes):  time ns (u64) | task | pc | op | phase: 0 begins, 1 has ended | result (i32) | cpu
 *
 * Interface: OP_*, programsInit, programAt(slot), programTask, logAt, logCount, rwsemAt and its like, runSteps.
 * Invariants:
 *   [prog-1] a release is logged before it is made and an acquisition after it was, so logged tenures lie within real ones.
 *   [prog-2] all state of a program is in linear memory: a snapshot in the middle can be gone on from.
 * Locks: those of the program.
 * Why not a function per scenario: a table is data that TypeScript writes, an oracle can read, and a fuzzer can make.
 */
import { bootAlloc } from "../../assembly/memlayout";
import { CacheLine, touchLine } from "../../assembly/sched/cache-line";
import { scheduleTimeout, syncLine, syncPoint } from "../../assembly/sched/core";
import {
  clearBitAndWake,
  lockBit,
  lockBitKillable,
  lockBitTry,
  unlockBit,
  waitBitClear,
  waitBitClearKillable,
} from "../../assembly/sched/lock-bit";
import { Mutex, mutexInit, mutexLock, mutexTryLock, mutexUnlock } from "../../assembly/sched/mutex";
import {
  PercpuRwsem,
  percpuDownRead,
  percpuDownWrite,
  percpuRwsemInit,
  percpuTryDownRead,
  percpuUpRead,
  percpuUpWrite,
} from "../../assembly/sched/percpu-rwsem";
import {
  RwSemaphore,
  checkRwsem,
  downRead,
  downReadKillable,
  downWrite,
  downWriteKillable,
  downgradeWrite,
  rwsemInit,
  tryDownRead,
  tryDownWrite,
  upRead,
  upWrite,
} from "../../assembly/sched/rwsem";
import { SpinLock, spinInit, spinLock, spinUnlock } from "../../assembly/sched/spinlock";
import { Task, charge, currentTask, isNullTask, nowNs, sched } from "../../assembly/sched/state";
import { taskById, taskCreate, taskExit, taskKill, taskSignal, taskSlot, taskStart } from "../../assembly/sched/task";
import { WaitQueue, sleepOn, sleepOnTimeout, wakeAll, wakeOne, waitQueueInit } from "../../assembly/sched/wait-queue";

export const OP_END: u32 = 0;
export const OP_GUEST: u32 = 1;
export const OP_CHARGE: u32 = 2;
export const OP_SLEEP: u32 = 3;
export const OP_WAIT: u32 = 4;
export const OP_WAIT_TIMEOUT: u32 = 5;
export const OP_WAKE_ONE: u32 = 6;
export const OP_WAKE_ALL: u32 = 7;
export const OP_KILL: u32 = 8;
export const OP_SIGNAL: u32 = 9;
export const OP_TOUCH: u32 = 10;
export const OP_NEST: u32 = 11;
export const OP_SPAWN: u32 = 12;
/** Skips b steps unless the step before it gave a. */
export const OP_SKIP_UNLESS: u32 = 13;
export const OP_DOWN_READ: u32 = 16;
export const OP_DOWN_READ_KILLABLE: u32 = 17;
export const OP_TRY_DOWN_READ: u32 = 18;
export const OP_UP_READ: u32 = 19;
export const OP_DOWN_WRITE: u32 = 20;
export const OP_DOWN_WRITE_KILLABLE: u32 = 21;
export const OP_TRY_DOWN_WRITE: u32 = 22;
export const OP_UP_WRITE: u32 = 23;
export const OP_DOWNGRADE: u32 = 24;
export const OP_MUTEX_LOCK: u32 = 32;
export const OP_MUTEX_TRY: u32 = 33;
export const OP_MUTEX_UNLOCK: u32 = 34;
export const OP_SPIN_LOCK: u32 = 35;
export const OP_SPIN_UNLOCK: u32 = 36;
export const OP_BIT_LOCK: u32 = 40;
export const OP_BIT_LOCK_KILLABLE: u32 = 41;
export const OP_BIT_TRY: u32 = 42;
export const OP_BIT_UNLOCK: u32 = 43;
export const OP_BIT_WAIT: u32 = 44;
export const OP_BIT_WAIT_KILLABLE: u32 = 45;
export const OP_BIT_CLEAR: u32 = 46;
export const OP_PERCPU_DOWN_READ: u32 = 48;
export const OP_PERCPU_TRY_READ: u32 = 49;
export const OP_PERCPU_UP_READ: u32 = 50;
export const OP_PERCPU_DOWN_WRITE: u32 = 51;
export const OP_PERCPU_UP_WRITE: u32 = 52;

const STEP_BYTES: u32 = 32;
export const PROGRAM_STEPS: u32 = 256;
const PROGRAM_BYTES: u32 = PROGRAM_STEPS * STEP_BYTES;
const LOG_ENTRY_BYTES: u32 = 32;
export const LOG_ENTRIES: u32 = 8192;
/** Bytes of an object of a test, of whichever kind. */
const OBJECT_BYTES: u32 = 64;
const OBJECTS: u32 = 128;

@unmanaged
class ProgramState {
  programs: usize;
  /** Program counter of each task, u32: several may run one program. */
  pcs: usize;
  log: usize;
  logged: u32;
  objects: usize;
  objectsUsed: u32;
}

/** In the mm room's bytes, which this module does not contain. */
const PROGRAM_STATE: usize = 0x1800;

function state(): ProgramState {
  return changetype<ProgramState>(PROGRAM_STATE);
}

export function programsInit(slots: u32): u32 {
  const p = state();
  p.programs = bootAlloc(slots * PROGRAM_BYTES, 64);
  p.pcs = bootAlloc(slots * 4, 64);
  p.log = bootAlloc(LOG_ENTRIES * LOG_ENTRY_BYTES, 64);
  p.objects = bootAlloc(OBJECTS * OBJECT_BYTES, 64);
  p.logged = 0;
  p.objectsUsed = 0;
  return p.objects != 0 && p.log != 0 ? 1 : 0;
}

export function programAt(slot: u32): usize {
  return state().programs + slot * PROGRAM_BYTES;
}

export function logAt(): usize {
  return state().log;
}

export function logCount(): u32 {
  return state().logged;
}

function logStep(at: usize, pc: u32, phase: u32, result: i32): void {
  const p = state();
  assert(p.logged < LOG_ENTRIES, "the test's log is large enough");
  const entry = p.log + p.logged++ * LOG_ENTRY_BYTES;
  store<u64>(entry, nowNs());
  store<u32>(entry, currentTask().id, 8);
  store<u32>(entry, pc, 12);
  store<u32>(entry, load<u32>(at), 16);
  store<u32>(entry, phase, 20);
  store<i32>(entry, result, 24);
  store<u32>(entry, sched().cpu.id, 28);
}

/** Room for one object of a test. */
function newObject(): usize {
  const p = state();
  assert(p.objectsUsed < OBJECTS, "the test's objects fit");
  return p.objects + p.objectsUsed++ * OBJECT_BYTES;
}

export function newRwsem(classId: u32): usize {
  const at = newObject();
  rwsemInit(changetype<RwSemaphore>(at), classId);
  return at;
}

export function newMutex(classId: u32): usize {
  const at = newObject();
  mutexInit(changetype<Mutex>(at), classId);
  return at;
}

export function newSpinLock(): usize {
  const at = newObject();
  spinInit(changetype<SpinLock>(at));
  return at;
}

export function newPercpuRwsem(classId: u32): usize {
  const at = newObject();
  percpuRwsemInit(changetype<PercpuRwsem>(at), classId);
  return at;
}

export function newWaitQueue(): usize {
  const at = newObject();
  waitQueueInit(changetype<WaitQueue>(at), 1);
  return at;
}

/** A word of lock bits, or a cache line: zero bytes either way. */
export function newWord(): usize {
  return newObject();
}

function lockStep(op: u32, at: usize): i32 {
  const sem = changetype<RwSemaphore>(at);
  switch (op) {
    case OP_DOWN_READ:
      downRead(sem);
      return 0;
    case OP_DOWN_READ_KILLABLE:
      return downReadKillable(sem);
    case OP_TRY_DOWN_READ:
      return tryDownRead(sem) ? 1 : 0;
    case OP_UP_READ:
      upRead(sem);
      break;
    case OP_DOWN_WRITE:
      downWrite(sem);
      break;
    case OP_DOWN_WRITE_KILLABLE:
      return downWriteKillable(sem);
    case OP_TRY_DOWN_WRITE:
      return tryDownWrite(sem) ? 1 : 0;
    case OP_UP_WRITE:
      upWrite(sem);
      break;
    case OP_DOWNGRADE:
      downgradeWrite(sem);
      break;
    default:
      assert(false, "the test knows the operation");
  }
  checkRwsem(sem);
  return 0;
}

function otherLockStep(op: u32, at: usize, b: u32, c: u32): i32 {
  switch (op) {
    case OP_MUTEX_LOCK:
      mutexLock(changetype<Mutex>(at));
      return 0;
    case OP_MUTEX_TRY:
      return mutexTryLock(changetype<Mutex>(at)) ? 1 : 0;
    case OP_MUTEX_UNLOCK:
      mutexUnlock(changetype<Mutex>(at));
      return 0;
    case OP_SPIN_LOCK:
      spinLock(changetype<SpinLock>(at), b);
      return 0;
    case OP_SPIN_UNLOCK:
      spinUnlock(changetype<SpinLock>(at));
      return 0;
    case OP_BIT_LOCK:
      lockBit(at, b, c);
      return 0;
    case OP_BIT_LOCK_KILLABLE:
      return lockBitKillable(at, b, c);
    case OP_BIT_TRY:
      return lockBitTry(at, b, c) ? 1 : 0;
    case OP_BIT_UNLOCK:
      unlockBit(at, b);
      return 0;
    case OP_BIT_WAIT:
      waitBitClear(at, b);
      return 0;
    case OP_BIT_WAIT_KILLABLE:
      return waitBitClearKillable(at, b);
    case OP_BIT_CLEAR:
      clearBitAndWake(at, b);
      return 0;
    case OP_PERCPU_DOWN_READ:
      percpuDownRead(changetype<PercpuRwsem>(at));
      return 0;
    case OP_PERCPU_TRY_READ:
      return percpuTryDownRead(changetype<PercpuRwsem>(at)) ? 1 : 0;
    case OP_PERCPU_UP_READ:
      percpuUpRead(changetype<PercpuRwsem>(at));
      return 0;
    case OP_PERCPU_DOWN_WRITE:
      percpuDownWrite(changetype<PercpuRwsem>(at));
      return 0;
    case OP_PERCPU_UP_WRITE:
      percpuUpWrite(changetype<PercpuRwsem>(at));
      return 0;
    default:
      assert(false, "the test knows the operation");
  }
  return 0;
}

function chargeStep(ns: u32): i32 {
  charge(ns);
  syncPoint();
  return 0;
}

function sleepStep(ns: u32, sleepState: u32): i32 {
  currentTask().state = sleepState;
  return scheduleTimeout(ns);
}

function touchStep(at: usize): i32 {
  syncLine(changetype<CacheLine>(at));
  const before = nowNs();
  touchLine(changetype<CacheLine>(at));
  return <i32>(nowNs() - before);
}

/** 1 when there is such a task. */
function signalStep(id: u32, signal: u32, fatal: bool): i32 {
  const task = taskById(id);
  if (isNullTask(task)) return 0;
  if (fatal) taskKill(task, signal);
  else taskSignal(task, signal);
  return 1;
}

function runStep(at: usize): i32 {
  const op = load<u32>(at);
  const a = load<u32>(at, 4);
  const b = load<u32>(at, 8);
  const c = load<u32>(at, 12);
  switch (op) {
    case OP_CHARGE:
      return chargeStep(a);
    case OP_SLEEP:
      return sleepStep(a, b);
    case OP_WAIT:
      return sleepOn(changetype<WaitQueue>(<usize>a), b);
    case OP_WAIT_TIMEOUT:
      return sleepOnTimeout(changetype<WaitQueue>(<usize>a), b, c);
    case OP_WAKE_ONE:
      return wakeOne(changetype<WaitQueue>(<usize>a)) ? 1 : 0;
    case OP_WAKE_ALL:
      return wakeAll(changetype<WaitQueue>(<usize>a));
    case OP_KILL:
      return signalStep(a, b, true);
    case OP_SIGNAL:
      return signalStep(a, b, false);
    case OP_TOUCH:
      return touchStep(a);
    case OP_NEST:
      return nested(a, b, c);
    case OP_SPAWN:
      return <i32>programTask(a, b);
    case OP_SKIP_UNLESS:
      return skipStep(at, a, b);
    default:
      return op < OP_MUTEX_LOCK ? lockStep(op, a) : otherLockStep(op, a, b, c);
  }
}

function pcAddress(task: Task): usize {
  return state().pcs + (taskSlot(task) << 2);
}

/** The step after a lock that was not got must not release it. */
function skipStep(at: usize, wanted: i32, steps: u32): i32 {
  if (load<i32>(at - STEP_BYTES, 16) == wanted) return 0;
  const pcAt = pcAddress(currentTask());
  store<u32>(pcAt, load<u32>(pcAt) + steps);
  return 1;
}

/** Runs `count` steps at the bottom of `depth` calls, each with locals that must outlive the switches below it. */
function nested(depth: u32, count: u32, salt: u32): u32 {
  const mine = (salt ^ depth) * 0x9e37_79b1;
  const wide: f64 = <f64>mine * 0.5;
  let sum: u32 = 0;
  if (depth != 0) sum = nested(depth - 1, count, mine);
  else for (let i: u32 = 0; i < count; i++) sum += <u32>nextStep();
  return (sum ^ mine) + (wide * 2.0 == <f64>mine ? 1 : 0);
}

/** Runs the step at the program counter of the current task. Returns its result. */
function nextStep(): i32 {
  const slot = currentTask().arg;
  const pcAt = pcAddress(currentTask());
  const pc = load<u32>(pcAt);
  const at = programAt(slot) + pc * STEP_BYTES;
  store<u32>(pcAt, pc + 1);
  logStep(at, pc, 0, 0);
  const result = runStep(at);
  store<i32>(at, result, 16);
  store<f64>(at, <f64>nowNs(), 24);
  logStep(at, pc, 1, result);
  return result;
}

function runProgram(task: Task): void {
  while (true) {
    const slot = currentTask().arg;
    const pcAt = pcAddress(currentTask());
    const at = programAt(slot) + load<u32>(pcAt) * STEP_BYTES;
    const op = load<u32>(at);
    if (op == OP_END) {
      taskExit(load<i32>(at, 4));
      return;
    }
    if (op == OP_GUEST) {
      store<u32>(pcAt, load<u32>(pcAt) + 1);
      return;
    }
    nextStep();
    assert(changetype<usize>(task) == changetype<usize>(currentTask()), "[switch-1] a resumed stack is its task's");
  }
}

/** Starts a task that runs program `slot`, on a CPU of its own if `pinned` is not -1. Returns its id, 0 when the table is full. */
export function programTask(slot: u32, pinned: i32): u32 {
  const task = taskCreate(runProgram, 0);
  if (isNullTask(task)) return 0;
  task.arg = slot;
  task.pinnedCpu = pinned;
  store<u32>(pcAddress(task), 0);
  taskStart(task);
  return task.id;
}
