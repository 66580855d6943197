/*
 * Mutex: one owner, FIFO waiters, handed over on unlock.
 *
 * Interface: Mutex (40 bytes), mutexInit, mutexLock, mutexTryLock, mutexUnlock, mutexIsLocked.
 * Invariants: [mutex-1] only the owner unlocks; the lock goes straight to the first waiter.
 * Locks: this is one.
 * Why not stealing as Linux's fast path allows: hand-over makes the order of service a function of arrival alone.
 */
import { ListHead, listAddTail, listDelInit, listEmpty, listFirst, listInit } from "../lib/list";
import { CacheLine, lineReset, touchLine } from "./cache-line";
import { WAKE_NORMAL, schedule, syncLine, wakeUp } from "./core";
import { C_LOCK_SLOWPATH, chargeCost } from "./cost";
import { LOCK_WRITE, lockAcquired, lockContended, lockGranted, lockOrder, lockReleased } from "./lockdep";
import { TASK_UNINTERRUPTIBLE, Task, currentTask, sched } from "./state";
import { taskOfWaitLink } from "./wait-queue";

export const WAIT_MUTEX: u32 = 4;

@unmanaged
export class Mutex {
  lineBusyNs: u64;
  lineOwner: u32;
  lineLastNs: u32;
  owner: Task;
  classId: u32;
  waitNext: u32;
  waitPrev: u32;

  get line(): CacheLine {
    return changetype<CacheLine>(changetype<usize>(this));
  }
  get waiters(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<Mutex>("waitNext"));
  }
}

export function mutexInit(mutex: Mutex, classId: u32): void {
  lineReset(mutex.line);
  mutex.owner = changetype<Task>(0);
  mutex.classId = classId;
  listInit(mutex.waiters);
}

export function mutexIsLocked(mutex: Mutex): bool {
  return changetype<usize>(mutex.owner) != 0;
}

export function mutexTryLock(mutex: Mutex): bool {
  syncLine(mutex.line);
  touchLine(mutex.line);
  if (mutexIsLocked(mutex)) return false;
  mutex.owner = currentTask();
  lockAcquired(changetype<usize>(mutex), mutex.classId, LOCK_WRITE);
  return true;
}

export function mutexLock(mutex: Mutex): void {
  lockOrder(mutex.classId);
  if (mutexTryLock(mutex)) return;
  const task = currentTask();
  assert(sched().preemptCount == 0, "[lk-2] sleeping function called under a spinlock");
  chargeCost(C_LOCK_SLOWPATH);
  task.stampNs = sched().clockNs;
  task.waitOn = changetype<usize>(mutex);
  task.waitKind = WAIT_MUTEX;
  listAddTail(task.waitLink, mutex.waiters);
  while (currentTask().waitOn != 0) {
    currentTask().state = TASK_UNINTERRUPTIBLE;
    schedule();
  }
  lockContended(mutex.classId, LOCK_WRITE, sched().clockNs - currentTask().stampNs);
}

export function mutexUnlock(mutex: Mutex): void {
  syncLine(mutex.line);
  touchLine(mutex.line);
  assert(changetype<usize>(mutex.owner) == changetype<usize>(currentTask()), "[mutex-1] a mutex is unlocked by its owner");
  lockReleased(changetype<usize>(mutex));
  if (listEmpty(mutex.waiters)) {
    mutex.owner = changetype<Task>(0);
    return;
  }
  const next = taskOfWaitLink(changetype<usize>(listFirst(mutex.waiters)));
  listDelInit(next.waitLink);
  next.waitOn = 0;
  mutex.owner = next;
  lockGranted(next, changetype<usize>(mutex), mutex.classId, LOCK_WRITE);
  wakeUp(next, WAKE_NORMAL);
}
