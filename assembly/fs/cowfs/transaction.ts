/*
 * Transactions: everything that changes the trees between two superblocks reaches the disk together or not at all.
 *
 *     RUNNING --a commit begins--> BLOCKED --handles ended, trees settled: generation + 1--> RUNNING (the next one)
 *        |  new handles join          |  new handles wait                                       |  the old one is being written:
 *        |                            |                                                         |  `committing`, until `committed`
 *
 * Interface: handleAlloc, handleReserve, handleFree, transactionStart, transactionReserve, transactionBegin, transactionForget,
 *            transactionJoin, transactionEnd, transactionAbort, waitForCommitting, TRANS_*.
 * Invariants:
 *   [tx-1] a handle belongs to the transaction that runs, from start to end; a commit waits for all of them.
 *   [tx-2] reservations are made before the transaction is joined: no handle waits for space that only a commit can give.
 *   [tx-3] at most one transaction is being written while the next one runs.
 *   [tx-4] after an abort nothing reaches the disk; every change is EROFS, the last transaction on the disk stands.
 * Locks: a handle is a reader of fs_transaction for lockdep: sb_pagefaults, i_rwsem, invalidate_lock -> handle -> tree rwsems.
 * Why not stop everybody until the commit is on the disk: page_mkwrite joins a transaction for the times, and would feel the disk.
 */
import { ENOMEM, EROFS, errPtr } from "../../lib/errno";
import { kmemCacheAlloc, kmemCacheFree } from "../../lib/slab";
import { traceEmit } from "../../lib/trace";
import { TP_COWFS_ABORT } from "../../tracepoints";
import { syncPoint } from "../../sched/core";
import { C_TRANSACTION_START, chargeCost } from "../../sched/cost";
import { LC_COWFS_TRANS } from "../../sched/lock-class";
import { LOCK_READ, lockAcquired, lockOrder, lockReleased } from "../../sched/lockdep";
import { TASK_UNINTERRUPTIBLE, currentTask, nowNs, sched } from "../../sched/state";
import { sleepOn, wakeAll } from "../../sched/wait-queue";
import { isNullPath, pathAlloc, pathFree } from "./btree";
import { failTickets, grantTickets, reserveCount, reserveSpace } from "./reserve";
import { CACHE_HANDLE, CowHandle, CowfsInfo, cowCache, cowfsState } from "./state";

export const TRANS_RUNNING: u32 = 0;
export const TRANS_BLOCKED: u32 = 1;

/** A handle that has not joined yet, with a path; the caller fills in its reservation. Null on ENOMEM. */
export function handleAlloc(info: CowfsInfo): CowHandle {
  const handle = changetype<CowHandle>(kmemCacheAlloc(cowCache(CACHE_HANDLE)));
  if (isNullHandle(handle)) return handle;
  handle.info = info;
  handle.path = pathAlloc();
  if (!isNullPath(handle.path)) return handle;
  kmemCacheFree(cowCache(CACHE_HANDLE), changetype<usize>(handle));
  return changetype<CowHandle>(0);
}

export function isNullHandle(handle: CowHandle): bool {
  return changetype<usize>(handle) == 0;
}

/** Frees a handle that is in no transaction. */
export function handleFree(handle: CowHandle): void {
  pathFree(handle.path);
  kmemCacheFree(cowCache(CACHE_HANDLE), changetype<usize>(handle));
}

/** Joins the running transaction; waits while one is settling. */
function join(handle: CowHandle): i32 {
  const info = handle.info;
  chargeCost(C_TRANSACTION_START);
  lockOrder(LC_COWFS_TRANS);
  syncPoint();
  while (info.state == TRANS_BLOCKED && info.aborted == 0) sleepOn(info.transWait, TASK_UNINTERRUPTIBLE);
  if (info.aborted != 0) return -EROFS;
  info.writers++;
  info.changed = 1;
  handle.transid = info.transid;
  lockAcquired(changetype<usize>(info) + 4, LC_COWFS_TRANS, LOCK_READ);
  armCommit(info);
  return 0;
}

/** The first change after a commit sets the date of the next one. */
function armCommit(info: CowfsInfo): void {
  if (info.commitDueNs != 0 || info.commitIntervalNs == 0) return;
  info.commitDueNs = nowNs() + info.commitIntervalNs;
  wakeAll(cowfsState().flushWait);
}

/**
 * Reserves what handle.reserve says and joins. `frees`: the caller will set space free (reserve.ts). Returns 0, or -errno with the
 * handle freed.
 */
export function transactionStart(handle: CowHandle, frees: bool): i32 {
  const error = transactionReserve(handle, frees);
  return error != 0 ? error : transactionBegin(handle);
}

/** The first half of it, for those that must know before they change anything in memory. Then transactionBegin or transactionForget. */
export function transactionReserve(handle: CowHandle, frees: bool): i32 {
  const info = handle.info;
  const error = info.readOnly != 0 ? -EROFS : reserveSpace(info, 0, 0, changetype<usize>(handle), frees);
  if (error != 0) handleFree(handle);
  return error;
}

/** Joins with what was reserved. Returns 0, or -EROFS with the handle freed: the filesystem has shut down. */
export function transactionBegin(handle: CowHandle): i32 {
  const error = join(handle);
  if (error != 0) transactionForget(handle);
  return error;
}

/** Gives back what a handle has reserved that has not joined. */
export function transactionForget(handle: CowHandle): void {
  reserveCount(handle.info, changetype<usize>(handle), -1);
  grantTickets(handle.info);
  handleFree(handle);
}

/** Joins without a reservation: for changes that insert nothing, or that bring their reservation along. ERR_PTR on failure. */
export function transactionJoin(info: CowfsInfo): usize {
  const handle = handleAlloc(info);
  if (isNullHandle(handle)) return errPtr(-ENOMEM);
  const error = info.readOnly != 0 ? -EROFS : join(handle);
  if (error == 0) return changetype<usize>(handle);
  handleFree(handle);
  return errPtr(error);
}

/** Gives back what is left of the reservation and leaves the transaction. */
export function transactionEnd(handle: CowHandle): void {
  const info = handle.info;
  assert(info.writers != 0, "[tx-1] a handle ends once");
  lockReleased(changetype<usize>(info) + 4);
  reserveCount(info, changetype<usize>(handle), -1);
  grantTickets(info);
  handleFree(handle);
  if (--info.writers == 0 && info.state == TRANS_BLOCKED) wakeAll(info.transWait);
}

/** Something went wrong that left the trees half changed: nothing more is written ([tx-4]). Returns the error. */
export function transactionAbort(info: CowfsInfo, error: i32): i32 {
  assert(error < 0, "an abort has a reason");
  if (info.aborted != 0) return error;
  info.aborted = error;
  traceEmit(nowNs(), TP_COWFS_ABORT, sched().cpu.id, currentTask().id, info.transid, <u64>(<i64>error));
  failTickets(info);
  wakeAll(info.transWait);
  wakeAll(info.orderedWait);
  return error;
}

/** Sleeps until no transaction is being written. Handles of the running transaction may be held: writing needs none of them. */
export function waitForCommitting(info: CowfsInfo): void {
  while (info.committing != 0 && info.aborted == 0) sleepOn(info.transWait, TASK_UNINTERRUPTIBLE);
}

/** What a reservation consists of, for callers of transactionStart. */
export function handleReserve(handle: CowHandle, tree: u32, items: u32, bytes: u32): void {
  handle.reserve.add(tree, items, bytes);
}
