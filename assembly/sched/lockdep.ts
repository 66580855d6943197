/*
 * Lockdep: learns in which order lock classes nest, and stops the machine at the first order that closes a cycle, with both
 * chains; knows every lock a task holds; keeps lock_stat.
 *
 *     held lock of a task (16 bytes):   lock address | class | mode | pad | acquired at (ns)
 *     order graph: row[class] = 64 bits, bit b: class was held while b was taken; chain[a][b]: what was held when first seen
 *
 * Interface: lockdepInit, lockAcquired, lockReleased, lockContended, lockHeld, lockStat, LockdepReport for the host.
 * Invariants:
 *   [lk-1] the order graph has no cycle.
 *   [lk-2] nobody sleeps holding a spinlock, and no task exits holding anything.
 *   [dep-1] a lock is released by the task that holds it, unless it was handed over with lockForget.
 * Locks: none.
 * Why not a debug build only: a broken order is a bug on any run; the check is one bit test per held lock.
 */
import { bootAlloc, SCHED_STATE } from "../memlayout";
import { MAX_HELD_LOCKS } from "../config";
import { LC_MAX, LC_NONE } from "./lock-class";
import { lockWaitInit, lockWaitRecord } from "./lock-wait";
import { SchedState, Task, isNullTask, sched } from "./state";

export const LOCK_READ: u32 = 0;
export const LOCK_WRITE: u32 = 1;

@unmanaged
export class HeldLock {
  acquiredNs: u64;
  lock: usize;
  classId: u8;
  mode: u8;
  pad: u16;
}

/** lock_stat of one class in one mode. */
@unmanaged
export class LockStat {
  acquisitions: u64;
  contentions: u64;
  waitNs: u64;
  waitMaxNs: u64;
  waitMinNs: u64;
  holdNs: u64;
  holdMaxNs: u64;
  holdMinNs: u64;
}

/** The order that broke [lk-1]: the host reads it after the assert. */
@unmanaged
export class LockdepState {
  rows: usize;
  chains: usize;
  stats: usize;
  /** 1: the report below is filled in. */
  reported: u32;
  taskId: u32;
  takenClass: u32;
  heldClass: u32;
  /** Classes held now, 8 bytes, outermost first; then those of the opposite order. */
  newChain: u64;
  oldChain: u64;
  /** Wait histograms (lock-wait.ts). */
  waits: usize;
}

export const LOCKDEP_STATE: usize = SCHED_STATE + 0x300;

export function lockdepState(): LockdepState {
  return changetype<LockdepState>(LOCKDEP_STATE);
}

export function lockdepInit(): bool {
  const d = lockdepState();
  d.rows = bootAlloc(LC_MAX * 8, 8);
  d.chains = bootAlloc(LC_MAX * LC_MAX * 8, 8);
  d.stats = bootAlloc(LC_MAX * 2 * offsetof<LockStat>(), 64);
  d.reported = 0;
  return d.rows != 0 && d.chains != 0 && d.stats != 0 && lockWaitInit();
}

export function lockStat(classId: u32, mode: u32): LockStat {
  return changetype<LockStat>(lockdepState().stats + ((classId << 1) + mode) * offsetof<LockStat>());
}

function heldAt(task: Task, index: u32): HeldLock {
  return changetype<HeldLock>(task.held + index * offsetof<HeldLock>());
}

/** The classes a task holds, outermost in the lowest byte. */
function heldChain(task: Task): u64 {
  let chain: u64 = 0;
  const n = task.heldCount < 8 ? task.heldCount : 8;
  for (let i: u32 = 0; i < n; i++) chain |= <u64>heldAt(task, i).classId << (i << 3);
  return chain;
}

/** True when `to` can be reached from `from` in the order graph. */
function reaches(rows: usize, from: u32, to: u32): bool {
  let seen: u64 = (<u64>1) << from;
  let todo = seen;
  while (todo != 0) {
    const next = <u32>ctz(todo);
    todo &= todo - 1;
    const row = load<u64>(rows + (next << 3));
    if ((row >> to) & 1) return true;
    todo |= row & ~seen;
    seen |= row;
  }
  return false;
}

/**
 * What speaks against a new order: the chain in which the opposite was first seen, or, when several orders together close the
 * cycle, a path of classes through the graph. The graph has no cycle yet, so the path ends.
 */
function oppositeOf(d: LockdepState, from: u32, to: u32): u64 {
  const seen = load<u64>(d.chains + (((from << 6) + to) << 3));
  if (seen != 0 || from == to) return seen;
  let path: u64 = from;
  let at = from;
  for (let length: u32 = 1; at != to && length < 8; length++) {
    let row = load<u64>(d.rows + (at << 3));
    while (<u32>ctz(row) != to && !reaches(d.rows, <u32>ctz(row), to)) row &= row - 1;
    at = <u32>ctz(row);
    path |= <u64>at << (length << 3);
  }
  return path;
}

function learn(d: LockdepState, task: Task, held: u32, taken: u32): void {
  const rows = d.rows;
  if (held == taken || reaches(rows, taken, held)) {
    d.reported = 1;
    d.taskId = task.id;
    d.takenClass = taken;
    d.heldClass = held;
    d.newChain = heldChain(task);
    d.oldChain = oppositeOf(d, taken, held);
    assert(held != taken, "[lk-1] possible recursive locking detected");
    assert(false, "[lk-1] possible circular locking dependency detected");
  }
  store<u64>(rows + (held << 3), load<u64>(rows + (held << 3)) | ((<u64>1) << taken));
  store<u64>(d.chains + (((held << 6) + taken) << 3), heldChain(task) | (<u64>taken << 56));
}

/** Checks and learns the order before the current task waits for a lock, so that a deadlock is named, not entered. */
export function lockOrder(classId: u32): void {
  const task = sched().current;
  if (isNullTask(task)) return;
  const n = task.heldCount;
  if (n == 0) return;
  const d = lockdepState();
  const rows = d.rows;
  for (let i: u32 = 0; i < n; i++) {
    const held: u32 = heldAt(task, i).classId;
    if (((load<u64>(rows + (held << 3)) >> classId) & 1) == 0) learn(d, task, held, classId);
  }
}

/** Notes that the current task took the lock. Preconditions: lockOrder was called for this acquisition. */
export function lockAcquired(lock: usize, classId: u32, mode: u32): void {
  const s = sched();
  lockStat(classId, mode).acquisitions++;
  const task = s.current;
  if (isNullTask(task)) return;
  pushHeld(s, task, lock, classId, mode);
}

function pushHeld(s: SchedState, task: Task, lock: usize, classId: u32, mode: u32): void {
  const n = task.heldCount;
  assert(n < MAX_HELD_LOCKS, "a task holds more than MAX_HELD_LOCKS locks");
  const held = heldAt(task, n);
  held.acquiredNs = s.clockNs;
  held.lock = lock;
  held.classId = <u8>classId;
  held.mode = <u8>mode;
  task.heldCount = n + 1;
}

/** Notes an acquisition that somebody else made for `task` (a lock handed to a waiter). */
export function lockGranted(task: Task, lock: usize, classId: u32, mode: u32): void {
  lockStat(classId, mode).acquisitions++;
  pushHeld(sched(), task, lock, classId, mode);
}

function addHold(stat: LockStat, ns: u64): void {
  stat.holdNs += ns;
  if (ns > stat.holdMaxNs) stat.holdMaxNs = ns;
  if (stat.holdMinNs == 0 || ns < stat.holdMinNs) stat.holdMinNs = ns;
}

/** Notes that the current task let the lock go. */
export function lockReleased(lock: usize): void {
  if (isNullTask(sched().current)) return;
  const released = lockReleasedIfHeld(lock);
  assert(released, "[dep-1] a lock is released by its holder");
}

/** As lockReleased, for a lock that its holder may have forgotten (lockForget). Returns whether the current task held it. */
export function lockReleasedIfHeld(lock: usize): bool {
  const s = sched();
  const task = s.current;
  if (isNullTask(task)) return false;
  const at = findHeld(task, lock);
  if (at == u32.MAX_VALUE) return false;
  const held = heldAt(task, at);
  addHold(lockStat(held.classId, held.mode), s.clockNs - held.acquiredNs);
  dropHeld(task, at);
  return true;
}

function findHeld(task: Task, lock: usize): u32 {
  let i = task.heldCount;
  while (i != 0) {
    i--;
    if (heldAt(task, i).lock == lock) return i;
  }
  return u32.MAX_VALUE;
}

function dropHeld(task: Task, at: u32): void {
  const last = task.heldCount - 1;
  const lenBytes = (last - at) * offsetof<HeldLock>();
  if (at != last) memory.copy(changetype<usize>(heldAt(task, at)), changetype<usize>(heldAt(task, at + 1)), lenBytes);
  task.heldCount = last;
}

/** The current task gives the lock away without unlocking it: an IO completion will release it. */
export function lockForget(lock: usize): void {
  const task = sched().current;
  if (isNullTask(task)) return;
  const at = findHeld(task, lock);
  if (at != u32.MAX_VALUE) dropHeld(task, at);
}

/** Counts an acquisition that had to wait. */
export function lockContended(classId: u32, mode: u32, waitNs: u64): void {
  const stat = lockStat(classId, mode);
  lockWaitRecord(classId, mode, waitNs);
  stat.contentions++;
  stat.waitNs += waitNs;
  if (waitNs > stat.waitMaxNs) stat.waitMaxNs = waitNs;
  if (stat.waitMinNs == 0 || waitNs < stat.waitMinNs) stat.waitMinNs = waitNs;
}

/** True when the current task holds the lock. */
export function lockHeld(lock: usize): bool {
  const task = sched().current;
  return !isNullTask(task) && findHeld(task, lock) != u32.MAX_VALUE;
}

/** True when the current task holds a lock of the class. */
export function lockClassHeld(classId: u32): bool {
  const task = sched().current;
  if (isNullTask(task) || classId == LC_NONE) return false;
  for (let i: u32 = 0; i < task.heldCount; i++) if (heldAt(task, i).classId == classId) return true;
  return false;
}
