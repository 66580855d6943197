/*
 * Lock bits: a bit of a word as a sleeping lock (the page lock), with a hashed table of wait queues, as Linux's page_wait_table.
 *
 *     word: ... | WAITERS | ... | bit |       WAITERS set means: somebody sleeps in the table for this word
 *
 * Interface: lockBitInit, lockBitTry, lockBit, lockBitKillable, unlockBit, waitBitClear, wakeBit.
 * Invariants:
 *   [bit-1] an unlock with an exclusive waiter hands the bit over: it stays set and the waiter owns it.
 *   [bit-2] WAITERS is clear when nobody waits for the word.
 * Locks: this is one.
 * Why not a mutex in every page: 32 bytes a page, for locks that are almost never contended.
 */
import { ListHead, listAddTail, listDelInit, listInit, listNext } from "../lib/list";
import { M_LOCKBIT_WAKE_LOST, mutant } from "../lib/mutant";
import { traceEmit } from "../lib/trace";
import { bootAlloc } from "../memlayout";
import { TP_PAGE_LOCK_WAIT } from "../tracepoints";
import { WAKE_NORMAL, WAKE_SIGNAL, schedule, syncPoint, wakeUp } from "./core";
import { C_ATOMIC_LOCAL, C_LOCK_SLOWPATH, chargeCost } from "./cost";
import { LOCK_WRITE, lockAcquired, lockContended, lockGranted, lockOrder, lockReleasedIfHeld, lockdepState } from "./lockdep";
import { TASK_KILLABLE, TASK_UNINTERRUPTIBLE, Task, currentTask, isNullTask, sched } from "./state";
import { taskOfWaitLink } from "./wait-queue";
import { SCHED_STATE } from "../memlayout";

export const WAIT_BIT: u32 = 5;
/** The bit of a word that says: somebody sleeps for it. */
export const BIT_WAITERS: u32 = 31;
const TABLE_SIZE: u32 = 64;
/** Task.waitFlags: bit number, and whether the waiter wants to own it. */
const WANT_LOCK: u32 = 0x100;

/** Where the table's address is kept, behind the lockdep state. */
const TABLE_SLOT: usize = SCHED_STATE + 0x3f0;

export function lockBitInit(): bool {
  const table = bootAlloc(TABLE_SIZE * 8, 64);
  if (table == 0) return false;
  store<usize>(TABLE_SLOT, table);
  for (let i: u32 = 0; i < TABLE_SIZE; i++) listInit(changetype<ListHead>(table + (i << 3)));
  assert(changetype<usize>(lockdepState()) + 64 <= TABLE_SLOT, "the lockdep state ends before the slot");
  return true;
}

function bucket(word: usize): ListHead {
  const hash = (<u32>word >> 4) * 0x9e3779b1;
  return changetype<ListHead>(load<usize>(TABLE_SLOT) + ((hash >> 26) << 3));
}

/** Takes the bit if it is clear. */
export function lockBitTry(word: usize, bit: u32, classId: u32): bool {
  chargeCost(C_ATOMIC_LOCAL);
  const old = load<u32>(word);
  if ((old >> bit) & 1) return false;
  store<u32>(word, old | (1 << bit));
  lockAcquired(word, classId, LOCK_WRITE);
  return true;
}

/** Sleeps until the bit is this task's. */
export function lockBit(word: usize, bit: u32, classId: u32): void {
  lockOrder(classId);
  syncPoint();
  if (lockBitTry(word, bit, classId)) return;
  lockBitSlow(word, bit, classId, TASK_UNINTERRUPTIBLE);
}

/** As lockBit; WAKE_SIGNAL when a fatal signal came first, else 0. */
export function lockBitKillable(word: usize, bit: u32, classId: u32): i32 {
  lockOrder(classId);
  syncPoint();
  if (lockBitTry(word, bit, classId)) return 0;
  return lockBitSlow(word, bit, classId, TASK_KILLABLE);
}

function beginWait(word: usize, bit: u32, flags: u32): Task {
  const task = currentTask();
  assert(sched().preemptCount == 0, "[lk-2] sleeping function called under a spinlock");
  chargeCost(C_LOCK_SLOWPATH);
  traceEmit(sched().clockNs, TP_PAGE_LOCK_WAIT, sched().cpu.id, task.id, word, bit);
  task.stampNs = sched().clockNs;
  task.waitOn = word;
  task.waitKind = WAIT_BIT;
  task.waitFlags = bit | flags;
  store<u32>(word, load<u32>(word) | (1 << BIT_WAITERS));
  listAddTail(task.waitLink, bucket(word));
  return task;
}

/** Sleeps until unlinked by a waker. Returns 0, or WAKE_SIGNAL with the task unlinked. */
function waitUnlinked(word: usize, state: u32): i32 {
  while (currentTask().waitOn != 0) {
    currentTask().state = state;
    schedule();
    const me = currentTask();
    if (me.waitOn != 0 && me.wakeReason == WAKE_SIGNAL && state == TASK_KILLABLE) {
      listDelInit(me.waitLink);
      me.waitOn = 0;
      clearWaitersIfNone(word);
      return WAKE_SIGNAL;
    }
  }
  return 0;
}

function lockBitSlow(word: usize, bit: u32, classId: u32, state: u32): i32 {
  beginWait(word, bit, WANT_LOCK | (classId << 16));
  const reason = waitUnlinked(word, state);
  lockContended(classId, LOCK_WRITE, sched().clockNs - currentTask().stampNs);
  return reason;
}

/** Sleeps until the bit is clear, without taking it (wait_on_page_writeback and its like). */
export function waitBitClear(word: usize, bit: u32): void {
  syncPoint();
  while ((load<u32>(word) >> bit) & 1) {
    beginWait(word, bit, 0);
    waitUnlinked(word, TASK_UNINTERRUPTIBLE);
  }
}

/** As waitBitClear; WAKE_SIGNAL when a fatal signal came first. */
export function waitBitClearKillable(word: usize, bit: u32): i32 {
  syncPoint();
  while ((load<u32>(word) >> bit) & 1) {
    beginWait(word, bit, 0);
    if (waitUnlinked(word, TASK_KILLABLE) == WAKE_SIGNAL) return WAKE_SIGNAL;
  }
  return 0;
}

function clearWaitersIfNone(word: usize): void {
  const head = bucket(word);
  let link = changetype<usize>(listNext(head));
  while (link != changetype<usize>(head)) {
    if (taskOfWaitLink(link).waitOn == word) return;
    link = changetype<usize>(listNext(changetype<ListHead>(link)));
  }
  store<u32>(word, load<u32>(word) & ~(1 << BIT_WAITERS));
}

/**
 * Wakes those who sleep for the bit, FIFO: waiters for it to clear, up to the first who wants to own it.
 * Returns that task, unlinked but not yet woken, or null.
 */
function wakeWaiters(word: usize, bit: u32): Task {
  const head = bucket(word);
  let link = changetype<usize>(listNext(head));
  let heir = changetype<Task>(0);
  while (link != changetype<usize>(head)) {
    const task = taskOfWaitLink(link);
    link = changetype<usize>(listNext(changetype<ListHead>(link)));
    if (task.waitOn != word || (task.waitFlags & 0xff) != bit) continue;
    const wants = (task.waitFlags & WANT_LOCK) != 0;
    if (wants && !isNullTask(heir)) continue;
    listDelInit(task.waitLink);
    task.waitOn = 0;
    if (wants) heir = task;
    else wakeUp(task, WAKE_NORMAL);
  }
  clearWaitersIfNone(word);
  return heir;
}

/**
 * Clears the bit, or hands it to the first task that wants it ([bit-1]). May be called from an event handler, or by a task for
 * one that has forgotten the lock: the end of a read unlocks pages that readahead locked.
 */
export function unlockBit(word: usize, bit: u32): void {
  syncPoint();
  lockReleasedIfHeld(word);
  clearOrHandOver(word, bit);
}

/** As unlockBit, of a lock that its task gave away (lockForget), by whoever completes: a handler, or a task that found no IO to do. */
export function unlockBitForgotten(word: usize, bit: u32): void {
  syncPoint();
  clearOrHandOver(word, bit);
}

function clearOrHandOver(word: usize, bit: u32): void {
  const old = load<u32>(word);
  assert(((old >> bit) & 1) != 0, "unlock of a clear lock bit");
  if ((old >> BIT_WAITERS) == 0) {
    store<u32>(word, old & ~(1 << bit));
    return;
  }
  const heir = MUTANTS && mutant(M_LOCKBIT_WAKE_LOST) ? changetype<Task>(0) : wakeWaiters(word, bit);
  if (isNullTask(heir)) {
    store<u32>(word, load<u32>(word) & ~(1 << bit));
    return;
  }
  lockGranted(heir, word, heir.waitFlags >> 16, LOCK_WRITE);
  wakeUp(heir, WAKE_NORMAL);
}

/** Clears a bit that nobody owns (writeback) and wakes those who wait for it. */
export function clearBitAndWake(word: usize, bit: u32): void {
  const old = load<u32>(word);
  store<u32>(word, old & ~(1 << bit));
  if ((old >> BIT_WAITERS) != 0) wakeWaiters(word, bit);
}
