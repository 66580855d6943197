/*
 * The journal thread: commits, checkpoints, and the timer of the commit interval, for all mounts.
 *
 *     commit:      LOCKED, handles end -> copy every buffer -> FLUSH, the next transaction may run -> ordered data is written ->
 *                  descriptor and copies into the ring -> barrier, commit block (PREFLUSH, FUA) -> COMMITTED
 *     checkpoint:  oldest transaction: its buffers written in place -> barrier, journal super block -> its part of the ring is free
 *
 * Interface: journalThreadStart, logBlockOf.
 * Invariants:
 *   [jnl-5] the commit block is written after everything it speaks for is on the medium: copies, and data in ordered mode.
 *   [jnl-6] the tail of the ring moves only after what it leaves behind is on the medium in place.
 *   [buf-2] a buffer in the running or the committing transaction is not written in place.
 * Locks: none; only this thread commits and checkpoints.
 * Why not commit in the task that waits: a handle's wait would then depend on who came first; and one thread commits for a group.
 */
import { ENOMEM } from "../../lib/errno";
import { crc32c } from "../../lib/crc32c";
import { ListHead, listAddTail, listDelInit, listEmpty, listFirst, listNext } from "../../lib/list";
import { M_JOURNAL_DATA_UNORDERED, M_JOURNAL_NOT_DURABLE, M_JOURNAL_NO_BARRIER, mutant } from "../../lib/mutant";
import { kmemCacheFree } from "../../lib/slab";
import { traceEmit } from "../../lib/trace";
import { PAGE_SIZE } from "../../memlayout";
import { BIO_WRITE, Bio, REQ_FUA, REQ_META, REQ_PREFLUSH, REQ_SYNC, bioFree, isNullBio } from "../../block/bio";
import { submitBio, submitBioWait } from "../../block/request-queue";
import { GFP_ZERO, putPage } from "../../mm/page-alloc";
import { Page, isNullPage, pageAddress } from "../../mm/page";
import { clearBitAndWake } from "../../sched/lock-bit";
import { TASK_INTERRUPTIBLE, TASK_UNINTERRUPTIBLE, TF_KTHREAD, TF_MEMALLOC, Task, isNullTask, nowNs, sched } from "../../sched/state";
import { taskCreate, taskStart } from "../../sched/task";
import { sleepOn, sleepOnTimeout, wakeAll } from "../../sched/wait-queue";
import { TP_JBD2_CHECKPOINT, TP_JBD2_END_COMMIT, TP_JBD2_START_COMMIT } from "../../tracepoints";
import {
  BUF_WRITING, Buffer, bioAddMemory, blockBio, bufferOfCheckpoint, bufferOfLink, frameAlloc, isNullTxn, pauseForMemory,
} from "./buffer";
import { RECORD_BLOCKS, journalAbort, journalFree } from "./journal";
import {
  JH_COUNT, JH_CRC, JH_MAGIC, JH_SEQUENCE, JH_TYPE, JOURNAL_HEADER, JOURNAL_MAGIC, JT_COMMIT, JT_DESCRIPTOR, JT_SUPER,
} from "./layout";
import { spaceCommitted, spaceHoldOver } from "./space";
import {
  BlockFs, CACHE_TRANSACTION, Journal, T_COMMITTED, T_FLUSH, T_LOCKED, Transaction, blockCache, blockFsState,
} from "./state";

function txnOfLink(link: usize): Transaction {
  return changetype<Transaction>(link - offsetof<Transaction>("linkNext"));
}

function fsOfMount(link: usize): BlockFs {
  return changetype<BlockFs>(link - offsetof<BlockFs>("mountNext"));
}

/** The block on the disk at a place of the ring. */
export function logBlockOf(j: Journal, place: u32): u32 {
  return j.start + 1 + place % j.ringBlocks;
}

/** Starts the thread that all mounts share, if there is none. False when there is no task for it. */
export function journalThreadStart(): bool {
  if (!isNullTask(blockFsState().journalThread)) return true;
  const task = taskCreate(journalEntry, TF_KTHREAD | TF_MEMALLOC);
  if (isNullTask(task)) return false;
  blockFsState().journalThread = task;
  taskStart(task);
  return true;
}

function emit(id: u32, fs: BlockFs, tid: u32): void {
  const s = sched();
  traceEmit(s.clockNs, id, s.cpu.id, isNullTask(s.current) ? 0 : s.current.id, tid, changetype<usize>(fs.sb));
}

/** When the running transaction's commit interval ends; never without one. */
function commitDueNs(j: Journal): u64 {
  if (isNullTxn(j.running)) return u64.MAX_VALUE;
  return j.running.startNs + j.commitIntervalNs;
}

function commitWanted(j: Journal): bool {
  if (isNullTxn(j.running)) return false;
  return j.requestTid >= j.running.tid || nowNs() >= commitDueNs(j);
}

function checkpointWanted(j: Journal): bool {
  if (j.wantSpace == 2) return j.free != j.ringBlocks;
  if (listEmpty(j.checkpointList)) return false;
  return j.wantSpace != 0 || j.free < j.ringBlocks / 2;
}

/** A mount with work for the thread, or null; the time at which there is some goes to the caller by the wait. */
function mountWithWork(): BlockFs {
  const head = changetype<usize>(blockFsState().mounts);
  for (let link: usize = blockFsState().mounts.next; link != head; link = changetype<usize>(listNext(changetype<ListHead>(link)))) {
    const fs = fsOfMount(link);
    if (fs.aborted == 0 && (commitWanted(fs.journal) || checkpointWanted(fs.journal))) return fs;
  }
  return changetype<BlockFs>(0);
}

function nextDueNs(): u64 {
  let due = u64.MAX_VALUE;
  const head = changetype<usize>(blockFsState().mounts);
  for (let link: usize = blockFsState().mounts.next; link != head; link = changetype<usize>(listNext(changetype<ListHead>(link)))) {
    const fs = fsOfMount(link);
    const at = fs.aborted == 0 ? commitDueNs(fs.journal) : u64.MAX_VALUE;
    if (at < due) due = at;
  }
  return due;
}

function journalEntry(task: Task): void {
  assert((task.flags & TF_KTHREAD) != 0, "the journal thread is a kernel thread");
  while (true) {
    const fs = mountWithWork();
    if (changetype<usize>(fs) != 0) {
      const j = fs.journal;
      j.busy = 1;
      if (commitWanted(j)) commit(fs);
      else checkpoint(fs);
      j.busy = 0;
      wakeAll(j.wait);
      continue;
    }
    const due = nextDueNs();
    const queue = blockFsState().journalWait;
    if (due == u64.MAX_VALUE) sleepOn(queue, TASK_INTERRUPTIBLE);
    else sleepOnTimeout(queue, TASK_INTERRUPTIBLE, due > nowNs() ? due - nowNs() : 1);
  }
}

/** Frames for so many blocks of the log. False without memory. */
function stagingAlloc(fs: BlockFs, blocks: u32): bool {
  const j = fs.journal;
  const want = (blocks * fs.blockSize + PAGE_SIZE - 1) / PAGE_SIZE;
  let tries: u32 = 0;
  while (j.nrFrames < want) {
    const page = frameAlloc(GFP_ZERO);
    if (!isNullPage(page)) j.setFrame(j.nrFrames++, changetype<usize>(page));
    else if (!pauseForMemory(tries++)) return false;
  }
  return true;
}

function stagingFree(j: Journal): void {
  while (j.nrFrames != 0) putPage(changetype<Page>(j.frame(--j.nrFrames)));
}

/** Memory of the nth block of the transaction's part of the log. */
function stagingAt(fs: BlockFs, index: u32): usize {
  const byte = index * fs.blockSize;
  return pageAddress(changetype<Page>(fs.journal.frame(byte / PAGE_SIZE))) + byte % PAGE_SIZE;
}

/** Descriptor, copies and commit block as they will lie in the log ([jnl-2]). Returns the number of blocks. */
function copyBuffers(fs: BlockFs, txn: Transaction): u32 {
  const crcTable = blockFsState().crcTable;
  const descriptor = stagingAt(fs, 0);
  store<u32>(descriptor, JOURNAL_MAGIC, JH_MAGIC);
  store<u32>(descriptor, JT_DESCRIPTOR, JH_TYPE);
  store<u32>(descriptor, txn.tid, JH_SEQUENCE);
  store<u32>(descriptor, txn.nrBuffers, JH_COUNT);
  let n: u32 = 0;
  const head = changetype<usize>(txn.buffers);
  for (let link: usize = txn.buffers.next; link != head; link = changetype<usize>(listNext(changetype<ListHead>(link)))) {
    const buffer = bufferOfLink(link);
    store<u32>(descriptor + JOURNAL_HEADER + (n << 2), buffer.block);
    n++;
    memory.copy(stagingAt(fs, n), buffer.data, fs.blockSize);
  }
  assert(n == txn.nrBuffers, "[jnl-1] a transaction counts its buffers");
  let crc: u32 = 0;
  for (let i: u32 = 0; i <= n; i++) crc = crc32c(crcTable, crc, stagingAt(fs, i), fs.blockSize);
  const record = stagingAt(fs, n + 1);
  store<u32>(record, JOURNAL_MAGIC, JH_MAGIC);
  store<u32>(record, JT_COMMIT, JH_TYPE);
  store<u32>(record, txn.tid, JH_SEQUENCE);
  store<u32>(record, n, JH_COUNT);
  store<u32>(record, crc, JH_CRC);
  return n + RECORD_BLOCKS;
}

function journalIoEnd(bio: Bio): void {
  const j = changetype<Journal>(bio.privateData);
  if (bio.status != 0 && j.ioError == 0) j.ioError = bio.status;
  bioFree(bio);
  if (--j.ioPending == 0) wakeAll(j.wait);
}

/** Waits for the bios of this commit or checkpoint. Returns the first error. */
function waitIo(j: Journal): i32 {
  while (j.ioPending != 0) sleepOn(j.wait, TASK_UNINTERRUPTIBLE);
  const error = j.ioError;
  j.ioError = 0;
  return error;
}

/** Descriptor and copies, `count` blocks, into the ring from the transaction's place on. Returns 0 or -errno. */
function writeLog(fs: BlockFs, txn: Transaction, count: u32): i32 {
  const j = fs.journal;
  let bio = changetype<Bio>(0);
  for (let i: u32 = 0; i < count; i++) {
    const block = logBlockOf(j, txn.logStart + i);
    const joins = !isNullBio(bio) && block == logBlockOf(j, txn.logStart + i - 1) + 1;
    if (joins && bioAddMemory(bio, stagingAt(fs, i), fs.blockSize)) continue;
    if (!isNullBio(bio)) submitBio(bio);
    bio = blockBio(fs, BIO_WRITE, REQ_META | REQ_SYNC, block);
    if (isNullBio(bio)) {
      waitIo(j);
      return -ENOMEM;
    }
    bio.endIo = journalIoEnd;
    bio.privateData = changetype<usize>(j);
    j.ioPending++;
    bioAddMemory(bio, stagingAt(fs, i), fs.blockSize);
  }
  if (!isNullBio(bio)) submitBio(bio);
  return waitIo(j);
}

/** One block behind a barrier, durable on return ([jnl-5] [jnl-6]). */
function writeBehindBarrier(fs: BlockFs, block: u32, memoryAt: usize): i32 {
  const before = MUTANTS && mutant(M_JOURNAL_NO_BARRIER) ? 0 : REQ_PREFLUSH;
  const durable = MUTANTS && mutant(M_JOURNAL_NOT_DURABLE) ? 0 : REQ_FUA;
  const bio = blockBio(fs, BIO_WRITE, REQ_META | REQ_SYNC | before | durable, block);
  if (isNullBio(bio)) return -ENOMEM;
  bioAddMemory(bio, memoryAt, fs.blockSize);
  const status = submitBioWait(bio);
  bioFree(bio);
  return status;
}

/** Commits the running transaction. */
function commit(fs: BlockFs): void {
  const j = fs.journal;
  const txn = j.running;
  emit(TP_JBD2_START_COMMIT, fs, txn.tid);
  txn.state = T_LOCKED;
  while (txn.updates != 0) sleepOn(j.wait, TASK_UNINTERRUPTIBLE);
  if (!stagingAlloc(fs, txn.nrBuffers + RECORD_BLOCKS)) {
    stagingFree(j);
    journalAbort(fs, -ENOMEM);
    return;
  }
  const blocks = copyBuffers(fs, txn);
  assert(blocks <= j.free, "[jnl-3] a transaction fits the ring");
  txn.logStart = j.head;
  txn.logBlocks = blocks;
  j.head = (j.head + blocks) % j.ringBlocks;
  j.free -= blocks;
  txn.state = T_FLUSH;
  j.committing = txn;
  j.running = changetype<Transaction>(0);
  wakeAll(j.wait);
  while (txn.dataInFlight != 0 && !(MUTANTS && mutant(M_JOURNAL_DATA_UNORDERED))) sleepOn(j.wait, TASK_UNINTERRUPTIBLE);
  assert(txn.dataInFlight == 0, "[jnl-5] ordered data is on the disk before what refers to it");
  let error = writeLog(fs, txn, blocks - 1);
  if (error == 0) error = writeBehindBarrier(fs, logBlockOf(j, txn.logStart + blocks - 1), stagingAt(fs, blocks - 1));
  stagingFree(j);
  if (error != 0) {
    journalAbort(fs, error);
    return;
  }
  finishCommit(fs, txn);
  emit(TP_JBD2_END_COMMIT, fs, txn.tid);
}

/** The transaction is on the disk: its buffers are to be checkpointed, its freed data blocks may be used again. */
function finishCommit(fs: BlockFs, txn: Transaction): void {
  const j = fs.journal;
  while (!listEmpty(txn.buffers)) {
    const buffer = bufferOfLink(changetype<usize>(listFirst(txn.buffers)));
    listDelInit(buffer.link);
    // An older transaction's copy in the ring is no longer needed: this one's is newer.
    if (!isNullTxn(buffer.checkpointTxn)) listDelInit(buffer.checkpointLink);
    else buffer.refcount++;
    buffer.checkpointTxn = txn;
    listAddTail(buffer.checkpointLink, txn.checkpoint);
    buffer.refcount--;
    buffer.txn = buffer.nextTxn;
    buffer.nextTxn = changetype<Transaction>(0);
    if (!isNullTxn(buffer.txn)) listAddTail(buffer.link, buffer.txn.buffers);
  }
  txn.state = T_COMMITTED;
  listAddTail(txn.link, j.checkpointList);
  spaceCommitted(fs, txn);
  j.committing = changetype<Transaction>(0);
  j.committedTid = txn.tid;
  j.commits++;
}

function checkpointEnd(bio: Bio): void {
  const buffer = changetype<Buffer>(bio.privateData);
  const j = buffer.fs.journal;
  if (bio.status != 0 && j.ioError == 0) j.ioError = bio.status;
  bioFree(bio);
  clearBitAndWake(changetype<usize>(buffer), BUF_WRITING);
  if (--j.ioPending == 0) wakeAll(j.wait);
}

/** Writes the transaction's buffers in place. Returns 1 when all are, 0 when one belongs to the running transaction, -errno. */
function writeInPlace(fs: BlockFs, txn: Transaction): i32 {
  const j = fs.journal;
  let held = false;
  const head = changetype<usize>(txn.checkpoint);
  let link: usize = txn.checkpoint.next;
  while (link != head) {
    const buffer = bufferOfCheckpoint(link);
    link = changetype<usize>(listNext(changetype<ListHead>(link)));
    if (!isNullTxn(buffer.txn)) {
      held = true;
      continue;
    }
    const bio = blockBio(fs, BIO_WRITE, REQ_META, buffer.block);
    if (isNullBio(bio)) {
      waitIo(j);
      return -ENOMEM;
    }
    // The wait for memory may have let somebody change the buffer.
    if (!isNullTxn(buffer.txn)) {
      bioFree(bio);
      held = true;
      continue;
    }
    bio.endIo = checkpointEnd;
    bio.privateData = changetype<usize>(buffer);
    buffer.flags |= 1 << BUF_WRITING;
    j.ioPending++;
    listDelInit(buffer.checkpointLink);
    buffer.checkpointTxn = changetype<Transaction>(0);
    buffer.refcount--;
    bioAddMemory(bio, buffer.data, fs.blockSize);
    submitBio(bio);
  }
  const error = waitIo(j);
  return error != 0 ? error : held ? 0 : 1;
}

/** Writes the oldest transactions in place until there is room, or all of them, and moves the tail. */
function checkpoint(fs: BlockFs): void {
  const j = fs.journal;
  const all = j.wantSpace == 2;
  let freed: u32 = 0;
  while (!listEmpty(j.checkpointList)) {
    const txn = txnOfLink(changetype<usize>(listFirst(j.checkpointList)));
    if (!all && freed != 0 && j.free + freed >= j.ringBlocks / 2 + j.maxCredits / 2) break;
    const written = writeInPlace(fs, txn);
    if (written < 0) {
      journalAbort(fs, written);
      return;
    }
    if (written == 0) {
      // Its newer content has to be in the ring before the older may leave it.
      if (isNullTxn(j.running)) break;
      j.requestTid = j.running.tid;
      break;
    }
    emit(TP_JBD2_CHECKPOINT, fs, txn.tid);
    freed += txn.logBlocks;
    listDelInit(txn.link);
    kmemCacheFree(blockCache(CACHE_TRANSACTION), changetype<usize>(txn));
    j.checkpoints++;
  }
  if (freed != 0) {
    const error = moveTail(fs);
    if (error != 0) {
      journalAbort(fs, error);
      return;
    }
    spaceHoldOver(fs, oldestTid(j));
    j.free += freed;
  }
  if (freed != 0 || j.free == j.ringBlocks) j.wantSpace = 0;
}

/** The oldest transaction that is not wholly in place, or the next one. */
function oldestTid(j: Journal): u32 {
  if (!listEmpty(j.checkpointList)) return txnOfLink(changetype<usize>(listFirst(j.checkpointList))).tid;
  return isNullTxn(j.running) ? j.nextTid : j.running.tid;
}

/** The journal super block says where the oldest transaction is that mount must replay ([jnl-6]). */
function moveTail(fs: BlockFs): i32 {
  const j = fs.journal;
  let place = j.head;
  if (!listEmpty(j.checkpointList)) place = txnOfLink(changetype<usize>(listFirst(j.checkpointList))).logStart;
  j.tailWrites++;
  return writeJournalSuper(fs, oldestTid(j), place);
}

/** Behind a barrier: what was written before is durable before the tail is. */
export function writeJournalSuper(fs: BlockFs, sequence: u32, place: u32): i32 {
  if (!stagingAlloc(fs, 1)) return -ENOMEM;
  const at = stagingAt(fs, 0);
  memory.fill(at, 0, fs.blockSize);
  journalSuperFill(at, sequence, place);
  const error = writeBehindBarrier(fs, fs.journal.start, at);
  stagingFree(fs.journal);
  return error;
}

/** Unmount: what a shutdown left of transactions goes, and the journal. */
export function journalDestroy(fs: BlockFs): void {
  const j = fs.journal;
  assert(j.busy == 0, "the journal thread is elsewhere");
  assert(fs.aborted != 0 || (isNullTxn(j.running) && isNullTxn(j.committing) && listEmpty(j.checkpointList)), "[jnl-6] the ring is empty");
  if (!isNullTxn(j.running)) dropTransaction(j.running);
  if (!isNullTxn(j.committing)) dropTransaction(j.committing);
  while (!listEmpty(j.checkpointList)) {
    const txn = txnOfLink(changetype<usize>(listFirst(j.checkpointList)));
    listDelInit(txn.link);
    dropTransaction(txn);
  }
  journalFree(j);
}

/** Buffers forget the transaction, content and all. */
function dropTransaction(txn: Transaction): void {
  while (!listEmpty(txn.buffers)) {
    const buffer = bufferOfLink(changetype<usize>(listFirst(txn.buffers)));
    listDelInit(buffer.link);
    buffer.txn = changetype<Transaction>(0);
    buffer.refcount--;
    if (isNullTxn(buffer.nextTxn)) continue;
    buffer.nextTxn = changetype<Transaction>(0);
    buffer.refcount--;
  }
  while (!listEmpty(txn.checkpoint)) {
    const buffer = bufferOfCheckpoint(changetype<usize>(listFirst(txn.checkpoint)));
    listDelInit(buffer.checkpointLink);
    buffer.checkpointTxn = changetype<Transaction>(0);
    buffer.refcount--;
  }
  kmemCacheFree(blockCache(CACHE_TRANSACTION), changetype<usize>(txn));
}

export function journalSuperFill(at: usize, sequence: u32, place: u32): void {
  store<u32>(at, JOURNAL_MAGIC, JH_MAGIC);
  store<u32>(at, JT_SUPER, JH_TYPE);
  store<u32>(at, sequence, JH_SEQUENCE);
  store<u32>(at, place, JH_COUNT);
  store<u32>(at, crc32c(blockFsState().crcTable, 0, at, JH_CRC), JH_CRC);
}
