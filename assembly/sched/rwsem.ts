/*
 * Reader-writer semaphore with Linux's rules (SCENARIOS 2.9).
 *
 *     readers n>0, writer 0     read-held        a new reader joins only if nobody waits
 *     readers 0,  writer t      write-held
 *     first waiter a writer, waiting > 4 ms      HANDOFF: nobody may steal the lock from it
 *
 *     free -> read-held    downRead [fast]            read-held -> free    upRead
 *     free -> write-held   downWrite, steals unless HANDOFF   write-held -> read-held  downgradeWrite
 *     held -> waiting      downRead/downWrite slow path: FIFO; readers are granted in batches of up to 256, writers are woken
 *
 * Interface: RwSemaphore (48 bytes), rwsemInit, downRead, downReadKillable, downReadTouched, tryDownRead, tryDownReadHere, downWrite,
 *            downWriteKillable, downWriteNested, tryDownWrite, upRead, upWrite, downgradeWrite, rwsemIsLocked, checkRwsem.
 * Invariants:
 *   [rwsem-1] readers > 0 and writer != 0 never hold together.
 *   [rwsem-2] a reader fails fast behind a writer, a waiter or a hand-off.
 *   [rwsem-3] a waiter that has waited RWSEM_HANDOFF_NS and is first gets the lock next.
 * Locks: this is one.
 * Why not optimistic spinning: it shortens one hand-over between running writers and needs an owner's on-CPU state that an
 * explorer would have to branch on; the wake-up latency it saves is a cost in the table.
 */
import { ListHead, listAddTail, listDelInit, listEmpty, listFirst, listInit, listNext } from "../lib/list";
import { M_RWSEM_READER_PASSES, M_RWSEM_WAKE_LOST, mutant } from "../lib/mutant";
import { traceEmit } from "../lib/trace";
import { TP_CONTENTION_BEGIN, TP_CONTENTION_END, TP_RWSEM_HANDOFF } from "../tracepoints";
import { CacheLine, lineReset, touchLine } from "./cache-line";
import { WAKE_NORMAL, WAKE_SIGNAL, schedule, scheduleTimeout, syncLine, wakeUp } from "./core";
import { C_LOCK_SLOWPATH, chargeCost } from "./cost";
import { LOCK_READ, LOCK_WRITE, lockAcquired, lockContended, lockGranted, lockOrder, lockReleased } from "./lockdep";
import { TASK_KILLABLE, TASK_UNINTERRUPTIBLE, Task, currentTask, sched } from "./state";
import { taskOfWaitLink } from "./wait-queue";

export const WAIT_RWSEM_READ: u32 = 2;
export const WAIT_RWSEM_WRITE: u32 = 3;
/** Linux's RWSEM_WAIT_TIMEOUT: 4 ms. */
export const RWSEM_HANDOFF_NS: u64 = 4_000_000;
/** Linux's MAX_READERS_WAKEUP. */
export const RWSEM_READER_BATCH: u32 = 256;

@unmanaged
export class RwSemaphore {
  lineBusyNs: u64;
  lineOwner: u32;
  lineLastNs: u32;
  readers: u32;
  writer: Task;
  /** The waiter that must get the lock next. */
  handoff: Task;
  classId: u32;
  waitNext: u32;
  waitPrev: u32;
  pad0: u32;
  pad1: u32;

  get line(): CacheLine {
    return changetype<CacheLine>(changetype<usize>(this));
  }
  get waiters(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<RwSemaphore>("waitNext"));
  }
}

function none(task: Task): bool {
  return changetype<usize>(task) == 0;
}

export function rwsemInit(sem: RwSemaphore, classId: u32): void {
  lineReset(sem.line);
  sem.readers = 0;
  sem.writer = changetype<Task>(0);
  sem.handoff = changetype<Task>(0);
  sem.classId = classId;
  listInit(sem.waiters);
}

export function checkRwsem(sem: RwSemaphore): void {
  assert(sem.readers == 0 || none(sem.writer), "[rwsem-1] readers and a writer hold the semaphore");
  assert(none(sem.handoff) || !listEmpty(sem.waiters), "[rwsem-3] a hand-off names a waiter");
}

export function rwsemIsLocked(sem: RwSemaphore): bool {
  return sem.readers != 0 || !none(sem.writer);
}

export function rwsemIsContended(sem: RwSemaphore): bool {
  return !listEmpty(sem.waiters);
}

/** [rwsem-2] */
function mayRead(sem: RwSemaphore): bool {
  return none(sem.writer) && (listEmpty(sem.waiters) || (MUTANTS && mutant(M_RWSEM_READER_PASSES)));
}

function mayWrite(sem: RwSemaphore, task: Task): bool {
  if (sem.readers != 0 || !none(sem.writer)) return false;
  return none(sem.handoff) || changetype<usize>(sem.handoff) == changetype<usize>(task);
}

export function downRead(sem: RwSemaphore): void {
  downReadState(sem, TASK_UNINTERRUPTIBLE);
}

/** Returns 0, or WAKE_SIGNAL when a fatal signal came while waiting. */
export function downReadKillable(sem: RwSemaphore): i32 {
  return downReadState(sem, TASK_KILLABLE);
}

function downReadState(sem: RwSemaphore, state: u32): i32 {
  lockOrder(sem.classId);
  syncLine(sem.line);
  touchLine(sem.line);
  return readOrWait(sem, state);
}

/** As downReadKillable, for a caller that has touched the semaphore's line already (cpu/access.ts). */
export function downReadTouched(sem: RwSemaphore): i32 {
  lockOrder(sem.classId);
  return readOrWait(sem, TASK_KILLABLE);
}

function readOrWait(sem: RwSemaphore, state: u32): i32 {
  if (mayRead(sem)) {
    if (EXPLORE) assert(listEmpty(sem.waiters), "[rwsem-2] a reader passes those who wait");
    sem.readers++;
    lockAcquired(changetype<usize>(sem), sem.classId, LOCK_READ);
    return 0;
  }
  return downReadSlow(sem, state);
}

export function tryDownRead(sem: RwSemaphore): bool {
  syncLine(sem.line);
  return tryDownReadHere(sem);
}

/** As tryDownRead, for a caller that must not hand over between a look at something and this. */
export function tryDownReadHere(sem: RwSemaphore): bool {
  touchLine(sem.line);
  if (!mayRead(sem)) return false;
  sem.readers++;
  lockAcquired(changetype<usize>(sem), sem.classId, LOCK_READ);
  return true;
}

function enterWait(sem: RwSemaphore, kind: u32): Task {
  const task = currentTask();
  assert(sched().preemptCount == 0, "[lk-2] sleeping function called under a spinlock");
  chargeCost(C_LOCK_SLOWPATH);
  task.waitOn = changetype<usize>(sem);
  task.waitKind = kind;
  task.stampNs = sched().clockNs;
  listAddTail(task.waitLink, sem.waiters);
  traceEmit(sched().clockNs, TP_CONTENTION_BEGIN, sched().cpu.id, task.id, changetype<usize>(sem), sem.classId);
  return task;
}

/** Unlinks a waiter, by itself or by the one that grants it the lock. */
function leaveWait(sem: RwSemaphore, task: Task): void {
  listDelInit(task.waitLink);
  task.waitOn = 0;
  if (changetype<usize>(sem.handoff) == changetype<usize>(task)) sem.handoff = changetype<Task>(0);
}

function noteWait(sem: RwSemaphore, mode: u32): void {
  const s = sched();
  lockContended(sem.classId, mode, s.clockNs - s.current.stampNs);
  traceEmit(s.clockNs, TP_CONTENTION_END, s.cpu.id, s.current.id, changetype<usize>(sem), sem.classId);
}

function downReadSlow(sem: RwSemaphore, state: u32): i32 {
  const task = enterWait(sem, WAIT_RWSEM_READ);
  // The lock may have come free between the fast path and the queue.
  if (changetype<usize>(listFirst(sem.waiters)) == changetype<usize>(task.waitLink)) rwsemWake(sem);
  while (currentTask().waitOn != 0) {
    const me = currentTask();
    me.state = state;
    schedule();
    if (me.waitOn != 0 && me.wakeReason == WAKE_SIGNAL) {
      leaveWait(sem, me);
      rwsemWake(sem);
      noteWait(sem, LOCK_READ);
      return WAKE_SIGNAL;
    }
  }
  noteWait(sem, LOCK_READ);
  return 0;
}

export function downWrite(sem: RwSemaphore): void {
  downWriteState(sem, TASK_UNINTERRUPTIBLE);
}

/** A second lock of a class that is held already: `classId` is the place in the order that the caller knows it to have. */
export function downWriteNested(sem: RwSemaphore, classId: u32): void {
  lockOrder(classId);
  downWriteOrdered(sem, TASK_UNINTERRUPTIBLE);
}

export function downWriteKillable(sem: RwSemaphore): i32 {
  return downWriteState(sem, TASK_KILLABLE);
}

function takeWrite(sem: RwSemaphore, task: Task): void {
  assert(sem.readers == 0 && none(sem.writer), "[rwsem-1] a writer takes a free semaphore");
  sem.writer = task;
  lockAcquired(changetype<usize>(sem), sem.classId, LOCK_WRITE);
}

function downWriteState(sem: RwSemaphore, state: u32): i32 {
  lockOrder(sem.classId);
  return downWriteOrdered(sem, state);
}

function downWriteOrdered(sem: RwSemaphore, state: u32): i32 {
  syncLine(sem.line);
  touchLine(sem.line);
  if (mayWrite(sem, currentTask())) {
    takeWrite(sem, currentTask());
    return 0;
  }
  return downWriteSlow(sem, state);
}

export function tryDownWrite(sem: RwSemaphore): bool {
  syncLine(sem.line);
  touchLine(sem.line);
  if (!mayWrite(sem, currentTask())) return false;
  takeWrite(sem, currentTask());
  return true;
}

function downWriteSlow(sem: RwSemaphore, state: u32): i32 {
  enterWait(sem, WAIT_RWSEM_WRITE);
  while (true) {
    const me = currentTask();
    if (mayWrite(sem, me)) {
      leaveWait(sem, me);
      takeWrite(sem, me);
      noteWait(sem, LOCK_WRITE);
      return 0;
    }
    const waitedNs = sched().clockNs - me.stampNs;
    const isFirst = changetype<usize>(listFirst(sem.waiters)) == changetype<usize>(me.waitLink);
    me.state = state;
    if (waitedNs >= RWSEM_HANDOFF_NS) {
      if (isFirst) setHandoff(sem, me);
      schedule();
    } else {
      scheduleTimeout(RWSEM_HANDOFF_NS - waitedNs);
    }
    const again = currentTask();
    if (again.wakeReason == WAKE_SIGNAL) {
      leaveWait(sem, again);
      rwsemWake(sem);
      noteWait(sem, LOCK_WRITE);
      return WAKE_SIGNAL;
    }
    touchLine(sem.line);
  }
}

function setHandoff(sem: RwSemaphore, task: Task): void {
  if (!none(sem.handoff)) return;
  sem.handoff = task;
  traceEmit(sched().clockNs, TP_RWSEM_HANDOFF, sched().cpu.id, task.id, changetype<usize>(sem), sem.classId);
}

/** Lets the first waiter go on: a writer is woken to try; readers are granted, all of them up to the batch. */
function rwsemWake(sem: RwSemaphore): void {
  if (listEmpty(sem.waiters)) return;
  const first = taskOfWaitLink(changetype<usize>(listFirst(sem.waiters)));
  if (first.waitKind == WAIT_RWSEM_WRITE) {
    if (sched().clockNs - first.stampNs >= RWSEM_HANDOFF_NS) setHandoff(sem, first);
    if (sem.readers == 0 && none(sem.writer)) wakeUp(first, WAKE_NORMAL);
    return;
  }
  if (!none(sem.writer)) {
    if (sched().clockNs - first.stampNs >= RWSEM_HANDOFF_NS) setHandoff(sem, first);
    return;
  }
  let granted: u32 = 0;
  let link = changetype<usize>(listFirst(sem.waiters));
  while (link != changetype<usize>(sem.waiters) && granted < RWSEM_READER_BATCH) {
    const task = taskOfWaitLink(link);
    link = changetype<usize>(listNext(changetype<ListHead>(link)));
    if (task.waitKind != WAIT_RWSEM_READ) continue;
    leaveWait(sem, task);
    sem.readers++;
    lockGranted(task, changetype<usize>(sem), sem.classId, LOCK_READ);
    wakeUp(task, WAKE_NORMAL);
    granted++;
  }
}

export function upRead(sem: RwSemaphore): void {
  syncLine(sem.line);
  touchLine(sem.line);
  assert(sem.readers != 0, "[rwsem-1] up_read of a semaphore that nobody reads");
  lockReleased(changetype<usize>(sem));
  sem.readers--;
  if (sem.readers == 0) rwsemWake(sem);
}

export function upWrite(sem: RwSemaphore): void {
  syncLine(sem.line);
  touchLine(sem.line);
  assert(changetype<usize>(sem.writer) == changetype<usize>(currentTask()), "[rwsem-1] up_write by its writer");
  lockReleased(changetype<usize>(sem));
  sem.writer = changetype<Task>(0);
  if (!(MUTANTS && mutant(M_RWSEM_WAKE_LOST))) rwsemWake(sem);
}

/** The writer goes on as a reader; waiting readers join it. */
export function downgradeWrite(sem: RwSemaphore): void {
  syncLine(sem.line);
  touchLine(sem.line);
  assert(changetype<usize>(sem.writer) == changetype<usize>(currentTask()), "[rwsem-1] downgrade by its writer");
  lockReleased(changetype<usize>(sem));
  sem.writer = changetype<Task>(0);
  sem.readers = 1;
  lockAcquired(changetype<usize>(sem), sem.classId, LOCK_READ);
  if (!listEmpty(sem.waiters)) {
    const first = taskOfWaitLink(changetype<usize>(listFirst(sem.waiters)));
    if (first.waitKind == WAIT_RWSEM_READ) rwsemWake(sem);
  }
}
