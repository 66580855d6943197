/*
 * Wait queues: a list of sleeping tasks.
 *
 * Interface: WaitQueue (16 bytes), waitQueueInit, sleepOn(queue, state), sleepOnTimeout, wakeOne, wakeAll, waitQueueActive.
 * Invariants: [wq-1] a task is linked in at most one wait list, and leaves it before it runs on.
 * Locks: the caller re-checks its condition after every wake.
 * Why not a wait entry per sleep: a task waits for one thing at a time, so the link lives in the task.
 */
import { ListHead, listAddTail, listDelInit, listEmpty, listFirst, listInit } from "../lib/list";
import { WAKE_NORMAL, WAKE_TIMEOUT, schedule, scheduleTimeout, wakeUp } from "./core";
import { Task, currentTask } from "./state";

export const WAIT_QUEUE: u32 = 1;

@unmanaged
export class WaitQueue {
  next: u32;
  prev: u32;
  /** What the tasks wait for, for reports. */
  kind: u32;
  pad: u32;

  get list(): ListHead {
    return changetype<ListHead>(changetype<usize>(this));
  }
}

export function waitQueueInit(queue: WaitQueue, kind: u32): void {
  listInit(queue.list);
  queue.kind = kind;
}

export function waitQueueActive(queue: WaitQueue): bool {
  return !listEmpty(queue.list);
}

export function taskOfWaitLink(link: usize): Task {
  return changetype<Task>(link - offsetof<Task>("waitNext"));
}

/** Links the current task at the tail, in the sleeping state given; schedule() follows. */
function prepareToWait(queue: WaitQueue, state: u32): Task {
  const task = currentTask();
  listAddTail(task.waitLink, queue.list);
  task.waitOn = changetype<usize>(queue);
  task.waitKind = queue.kind;
  task.state = state;
  return task;
}

/** A signal or a time-out wakes a task that is still linked; a waker unlinks it. */
function finishWait(): i32 {
  const task = currentTask();
  if (task.waitOn != 0) {
    listDelInit(task.waitLink);
    task.waitOn = 0;
  }
  return task.wakeReason;
}

/** Sleeps until woken. Returns the wake reason (WAKE_NORMAL, WAKE_SIGNAL). */
export function sleepOn(queue: WaitQueue, state: u32): i32 {
  prepareToWait(queue, state);
  schedule();
  return finishWait();
}

/** Sleeps until woken or for `ns`; WAKE_TIMEOUT when the time ran out. */
export function sleepOnTimeout(queue: WaitQueue, state: u32, ns: u64): i32 {
  prepareToWait(queue, state);
  scheduleTimeout(ns);
  return finishWait();
}

/** Wakes the first waiter. Returns whether there was one. */
export function wakeOne(queue: WaitQueue): bool {
  if (listEmpty(queue.list)) return false;
  const task = taskOfWaitLink(changetype<usize>(listFirst(queue.list)));
  listDelInit(task.waitLink);
  task.waitOn = 0;
  wakeUp(task, WAKE_NORMAL);
  return true;
}

export function wakeAll(queue: WaitQueue): u32 {
  let woken: u32 = 0;
  while (wakeOne(queue)) woken++;
  return woken;
}

export function timedOut(reason: i32): bool {
  return reason == WAKE_TIMEOUT;
}
