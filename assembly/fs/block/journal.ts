/*
 * The journal, as users of it see it: handles on the running transaction, in the manner of jbd2.
 *
 *     transaction:  RUNNING --commit wanted--> LOCKED: no new handles, those open end --> FLUSH: copied, being written;
 *                   the next one runs --> COMMITTED, to be checkpointed --every buffer written in place--> gone
 *
 *     handle:       journalStart(credits) -> journalGetWrite(buffer), change it ... -> journalStop
 *
 * Interface: journalStart, journalStop, journalGetWrite, journalAbort, journalWaitCommit, journalRequestCommit, journalFlush,
 *            journalInit, fsAborted.
 * Invariants:
 *   [jnl-1] a buffer changes only under a handle that has write access to it; a handle adds no more buffers than its credits.
 *   [jnl-2] what a committing transaction writes is a copy, taken while no handle was open: changes after it are the next one's.
 *   [jnl-3] a transaction and its records fit the ring when it starts; handles wait until they do.
 *   [jnl-4] nobody waits for a commit, for a handle or for conversions holding a page lock, i_data_sem or a handle.
 * Locks: class jbd2_handle: inside invalidate_lock and i_rwsem, around page locks. A handle may wait for page locks and IO.
 * Why not a log of changes inside blocks, as xfs: whole blocks need no replay code for each kind of change.
 */
import { EIO, ENOMEM, errPtr } from "../../lib/errno";
import { listAddTail, listInit } from "../../lib/list";
import { kmemCacheAlloc, kmemCacheFree } from "../../lib/slab";
import { traceEmit } from "../../lib/trace";
import { PAGE_SIZE } from "../../memlayout";
import { mmState } from "../../mm/state";
import { LC_JBD2_HANDLE } from "../../sched/lock-class";
import { LOCK_READ, lockAcquired, lockClassHeld, lockOrder, lockReleased } from "../../sched/lockdep";
import { waitBitClear } from "../../sched/lock-bit";
import { TASK_UNINTERRUPTIBLE, isNullTask, nowNs, sched } from "../../sched/state";
import { sleepOn, waitQueueInit, wakeAll } from "../../sched/wait-queue";
import { TP_FORCE_SHUTDOWN, TP_JBD2_HANDLE_WAIT } from "../../tracepoints";
import { BUF_WRITING, Buffer, cacheAllocWait, isNullTxn } from "./buffer";
import {
  BlockFs, CACHE_HANDLE, CACHE_JOURNAL, CACHE_TRANSACTION, Handle, Journal, MAX_CREDITS, T_LOCKED, T_RUNNING, Transaction, WAIT_JOURNAL,
  blockCache, blockFsState,
} from "./state";
import { JOURNAL_HEADER } from "./layout";

/** Descriptor and commit block. */
export const RECORD_BLOCKS: u32 = 2;
/** With fewer credits mkfs makes no journal. */
export const LEAST_CREDITS: u32 = 16;
/** ext4's and jbd2's commit interval: 5 s. */
export const COMMIT_INTERVAL_NS: u64 = 5_000_000_000;

/** Mount: a journal whose ring is empty. Null on ENOMEM. */
export function journalAlloc(start: u32, blocks: u32, blockSize: u32): Journal {
  const j = changetype<Journal>(kmemCacheAlloc(blockCache(CACHE_JOURNAL)));
  if (changetype<usize>(j) == 0) return j;
  j.start = start;
  j.ringBlocks = blocks - 1;
  j.free = j.ringBlocks;
  const tags = (blockSize - JOURNAL_HEADER) / 4;
  let credits = j.ringBlocks / 2 - RECORD_BLOCKS;
  if (credits > MAX_CREDITS) credits = MAX_CREDITS;
  // A commit copies its blocks: they should take a sixteenth of memory at most.
  const share = (mmState().nFrames / 16) * (PAGE_SIZE / blockSize);
  if (credits > share) credits = share < LEAST_CREDITS ? min(credits, LEAST_CREDITS) : share;
  j.maxCredits = credits > tags ? tags : credits;
  j.commitIntervalNs = COMMIT_INTERVAL_NS;
  listInit(j.checkpointList);
  waitQueueInit(j.wait, WAIT_JOURNAL);
  return j;
}

export function journalFree(j: Journal): void {
  kmemCacheFree(blockCache(CACHE_JOURNAL), changetype<usize>(j));
}

export function fsAborted(fs: BlockFs): bool {
  return fs.aborted != 0;
}

/** Something failed in the middle of a change: nothing is written any more, everything is EIO (a forced shutdown). */
export function journalAbort(fs: BlockFs, errno: i32): void {
  assert(errno < 0, "a shutdown has a reason");
  if (fs.aborted == 0) {
    fs.aborted = errno;
    traceEmit(nowNs(), TP_FORCE_SHUTDOWN, sched().cpu.id, isNullTask(sched().current) ? 0 : sched().current.id, <u64>-errno, fs.kind);
  }
  wakeAll(fs.journal.wait);
  wakeAll(blockFsState().journalWait);
}

/** The journal thread has work. */
export function kickJournal(): void {
  wakeAll(blockFsState().journalWait);
}

/** A commit of everything up to tid is wanted. */
export function journalRequestCommit(j: Journal, tid: u32): void {
  if (tid > j.requestTid) j.requestTid = tid;
  kickJournal();
}

/** A running transaction, unless somebody else was first while memory was waited for. False without memory. */
function newTransaction(fs: BlockFs): bool {
  const j = fs.journal;
  const txn = changetype<Transaction>(cacheAllocWait(CACHE_TRANSACTION));
  if (isNullTxn(txn)) return false;
  if (!isNullTxn(j.running)) {
    kmemCacheFree(blockCache(CACHE_TRANSACTION), changetype<usize>(txn));
    return true;
  }
  txn.tid = j.nextTid++;
  txn.state = T_RUNNING;
  txn.startNs = nowNs();
  txn.freedLow = u32.MAX_VALUE;
  txn.unsharedLow = u32.MAX_VALUE;
  listInit(txn.buffers);
  listInit(txn.checkpoint);
  listInit(txn.link);
  j.running = txn;
  // Its commit interval begins: the thread may sleep for ever.
  kickJournal();
  return true;
}

/** True when a handle of so many credits may join the running transaction, or start one. Asks for what it lacks. */
function hasRoom(j: Journal, credits: u32): bool {
  const txn = j.running;
  const have: u32 = isNullTxn(txn) ? 0 : txn.outstanding;
  if (!isNullTxn(txn) && txn.state == T_LOCKED) return false;
  if (have + credits > j.maxCredits) {
    journalRequestCommit(j, txn.tid);
    return false;
  }
  if (have + credits + RECORD_BLOCKS <= j.free) return true;
  if (j.wantSpace == 0) j.wantSpace = 1;
  kickJournal();
  return false;
}

/**
 * Joins the running transaction, to change at most `credits` blocks. May wait for a commit. A Handle, or ERR_PTR.
 * Preconditions: [jnl-4]; the task has no handle open.
 */
export function journalStart(fs: BlockFs, credits: u32): usize {
  const j = fs.journal;
  assert(credits != 0 && credits <= j.maxCredits, "[jnl-3] a handle fits a transaction");
  lockOrder(LC_JBD2_HANDLE);
  const handle = changetype<Handle>(cacheAllocWait(CACHE_HANDLE));
  if (changetype<usize>(handle) == 0) return errPtr(-ENOMEM);
  const error = joinRunning(fs, credits);
  if (error != 0) {
    kmemCacheFree(blockCache(CACHE_HANDLE), changetype<usize>(handle));
    return errPtr(error);
  }
  const txn = j.running;
  txn.updates++;
  txn.outstanding += credits;
  handle.fs = fs;
  handle.txn = txn;
  handle.credits = credits;
  lockAcquired(changetype<usize>(handle), LC_JBD2_HANDLE, LOCK_READ);
  return changetype<usize>(handle);
}

/** Waits until there is a running transaction with room. Nothing blocks after that. */
function joinRunning(fs: BlockFs, credits: u32): i32 {
  const j = fs.journal;
  let waited = false;
  while (fs.aborted == 0) {
    if (hasRoom(j, credits)) {
      if (!isNullTxn(j.running)) return 0;
      if (!newTransaction(fs)) return -ENOMEM;
      continue;
    }
    if (!waited) {
      j.handleWaits++;
      traceEmit(nowNs(), TP_JBD2_HANDLE_WAIT, sched().cpu.id, sched().current.id, isNullTxn(j.running) ? 0 : j.running.tid, credits);
    }
    waited = true;
    sleepOn(j.wait, TASK_UNINTERRUPTIBLE);
  }
  return -EIO;
}

/** The handle's changes are complete. */
export function journalStop(handle: Handle): void {
  const fs = handle.fs;
  const txn = handle.txn;
  assert(txn.updates != 0 && txn.outstanding >= handle.credits, "[jnl-1] a handle is stopped once");
  txn.outstanding -= handle.credits;
  txn.updates--;
  lockReleased(changetype<usize>(handle));
  kmemCacheFree(blockCache(CACHE_HANDLE), changetype<usize>(handle));
  if (txn.updates == 0) wakeAll(fs.journal.wait);
}

function enter(handle: Handle, buffer: Buffer): void {
  assert(handle.credits != 0, "[jnl-1] a handle adds no more buffers than its credits");
  handle.credits--;
  handle.txn.nrBuffers++;
  buffer.refcount++;
}

/** The buffer may be changed until the handle stops. May wait for IO on it. Preconditions: it is uptodate and referenced. */
export function journalGetWrite(handle: Handle, buffer: Buffer): void {
  assert(buffer.refcount != 0, "[buf-1] who changes a buffer holds a reference");
  waitBitClear(changetype<usize>(buffer), BUF_WRITING);
  const running = handle.txn;
  if (isNullTxn(buffer.txn)) {
    enter(handle, buffer);
    buffer.txn = running;
    listAddTail(buffer.link, running.buffers);
  } else if (changetype<usize>(buffer.txn) != changetype<usize>(running) && isNullTxn(buffer.nextTxn)) {
    // The committing transaction has its copy ([jnl-2]); it hands the buffer over when it is done.
    enter(handle, buffer);
    buffer.nextTxn = running;
  }
}

/** Sleeps until everything up to tid is on the disk. Returns 0 or -EIO. Preconditions: [jnl-4]. */
export function journalWaitCommit(fs: BlockFs, tid: u32): i32 {
  const j = fs.journal;
  assert(!lockClassHeld(LC_JBD2_HANDLE), "[jnl-4] nobody waits for a commit with a handle open");
  if (tid > j.committedTid) journalRequestCommit(j, tid);
  while (tid > j.committedTid) {
    if (fs.aborted != 0) return -EIO;
    sleepOn(j.wait, TASK_UNINTERRUPTIBLE);
  }
  return 0;
}

/** The transaction that a change made now would belong to, or the last one: what to wait for. */
export function journalLastTid(j: Journal): u32 {
  if (!isNullTxn(j.running)) return j.running.tid;
  return isNullTxn(j.committing) ? j.committedTid : j.committing.tid;
}

/** Commits what runs; with `empty`, also writes everything in place and leaves the ring empty. Returns 0 or -EIO. */
export function journalFlush(fs: BlockFs, empty: bool): i32 {
  const j = fs.journal;
  const error = journalWaitCommit(fs, journalLastTid(j));
  if (error != 0 || !empty) return error;
  while (j.free != j.ringBlocks) {
    if (fs.aborted != 0) return -EIO;
    j.wantSpace = 2;
    kickJournal();
    sleepOn(j.wait, TASK_UNINTERRUPTIBLE);
  }
  return 0;
}
