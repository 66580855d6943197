/*
 * The worker: what the completion of a write changes in the tree, in a task, because handles may wait.
 *
 *     RANGE_CONVERT   the unwritten blocks that were written become written
 *     RANGE_COW       the new blocks replace the shared ones, which lose a reference
 *     endSize         i_disksize grows to what is on the disk now
 *
 * Interface: workerStart.
 * Invariants:
 *   [ie-1] nothing on the disk says that a block holds a file's data before the data is there: the commit that says so flushes first.
 *   [ie-2] units of one page are finished in the order of their IO: the second is submitted after the first is done.
 * Locks: handle -> i_data_sem. Nobody waits for the worker holding a page lock or a handle ([jnl-4]).
 * Why not keep PG_WRITEBACK until the conversion: truncate waits for it under the page lock, and a handle may wait for that lock.
 */
import { EIO, isErr, ptrErr } from "../../lib/errno";
import { listDelInit, listEmpty, listFirst } from "../../lib/list";
import { mappingSetError } from "../../mm/writeback";
import { downWrite, upWrite } from "../../sched/rwsem";
import { TASK_INTERRUPTIBLE, TF_KTHREAD, Task, isNullTask } from "../../sched/state";
import { taskCreate, taskStart } from "../../sched/task";
import { sleepOn, wakeAll } from "../../sched/wait-queue";
import { iput } from "../inode";
import {
  MAP_ERROR, MAP_WRITTEN, extentConvert, extentCredits, extentLookup, extentRewrite, mapDisk, mapLength, mapState, metaTrim,
} from "./extents";
import { failChange, inodeWrite } from "./inode-table";
import { unitFree } from "./io-unit";
import { journalStart, journalStop } from "./journal";
import { bitmapUpdate, blocksFree, spaceGiveBack } from "./space";
import { BlockInode, Handle, IoRange, IoUnit, RANGE_COW, RANGE_PLAIN, blockFsState, blockInodeOf } from "./state";

/** Starts the thread that all mounts share, if there is none. False when there is no task for it. */
export function workerStart(): bool {
  if (!isNullTask(blockFsState().worker)) return true;
  const task = taskCreate(workerEntry, TF_KTHREAD);
  if (isNullTask(task)) return false;
  blockFsState().worker = task;
  taskStart(task);
  return true;
}

function workerEntry(task: Task): void {
  assert((task.flags & TF_KTHREAD) != 0, "the worker is a kernel thread");
  while (true) {
    const list = blockFsState().doneUnits;
    if (listEmpty(list)) {
      sleepOn(blockFsState().workWait, TASK_INTERRUPTIBLE);
      continue;
    }
    const link = changetype<usize>(listFirst(list));
    const unit = changetype<IoUnit>(link - offsetof<IoUnit>("linkNext"));
    listDelInit(unit.link);
    finish(unit);
  }
}

function finish(unit: IoUnit): void {
  const fs = unit.fs;
  const inode = unit.inode;
  const bi = blockInodeOf(inode);
  let error = unit.error;
  for (let i: u32 = 0; i < unit.nrRanges; i++) {
    const range = unit.range(i);
    if (range.kind == RANGE_PLAIN) continue;
    let done: u32 = 0;
    if (error == 0) {
      const result = range.kind == RANGE_COW ? replaceRange(bi, range, unit.endSize) : convertRange(bi, range, unit.endSize);
      if (result < 0) error = <i32>result;
      else done = <u32>result;
    }
    if (range.kind == RANGE_COW && done < range.blocks) spaceGiveBack(fs, range.disk + done, range.blocks - done);
    bi.converting -= range.blocks;
    metaTrim(bi);
  }
  if (error == 0 && unit.endSize != 0) error = growDisk(bi, unit.endSize);
  if (error != 0) mappingSetError(inode.mapping, error);
  unitFree(unit);
  if (--bi.pendingUnits == 0) wakeAll(bi.ioWait);
  iput(inode);
  if (--fs.pendingUnits == 0) wakeAll(fs.ioWait);
}

/** Blocks converted, all of the range, or -errno. */
function convertRange(bi: BlockInode, range: IoRange, endSize: u64): i64 {
  const end = range.fileBlock + range.blocks;
  let at = range.fileBlock;
  while (at < end) {
    const got = journalStart(bi.fs, extentCredits(bi, 2));
    if (isErr(got)) return ptrErr(got);
    const handle = changetype<Handle>(got);
    downWrite(bi.sem);
    const next = extentConvert(handle, bi, at, end);
    upWrite(bi.sem);
    if (next > 0) noteGrown(bi, endSize, <u32>next);
    const error = next < 0 ? <i32>next : inodeWrite(handle, bi, true);
    failChange(bi.fs, error);
    journalStop(handle);
    if (error != 0) return error;
    at = <u32>next;
  }
  return range.blocks;
}

/** Credits of one piece of a replacement: tree, bitmaps of the new blocks and of the old, refcounts. */
function replaceCredits(bi: BlockInode): u32 {
  return extentCredits(bi, 2) + 5;
}

/** Blocks replaced, all of the range, or -errno. */
function replaceRange(bi: BlockInode, range: IoRange, endSize: u64): i64 {
  let done: u32 = 0;
  while (done < range.blocks) {
    const got = journalStart(bi.fs, replaceCredits(bi));
    if (isErr(got)) return ptrErr(got);
    const handle = changetype<Handle>(got);
    const at = range.fileBlock + done;
    downWrite(bi.sem);
    const map = extentLookup(bi, at);
    const n = min(mapLength(map), range.blocks - done);
    assert(mapState(map) == MAP_WRITTEN || mapState(map) == MAP_ERROR, "[ps-1] the shared blocks are still mapped");
    let error: i32 = mapState(map) == MAP_ERROR ? -EIO : bitmapUpdate(handle, range.disk + done, n, true);
    if (error == 0) error = extentRewrite(handle, bi, at, n, range.disk + done, MAP_WRITTEN);
    upWrite(bi.sem);
    if (error == 0) error = blocksFree(handle, mapDisk(map), n, false);
    noteGrown(bi, endSize, at + n);
    if (error == 0) error = inodeWrite(handle, bi, true);
    failChange(bi.fs, error);
    journalStop(handle);
    if (error != 0) return error;
    done += n;
  }
  return done;
}

/** The file's blocks before `block` are in place: i_disksize follows, with the same handle ([bl-3]), not beyond i_size. */
function noteGrown(bi: BlockInode, endSize: u64, block: u32): void {
  let end = (<u64>block) << bi.fs.blockShift;
  if (end > endSize) end = endSize;
  if (end > bi.inode.mapping.sizeBytes) end = bi.inode.mapping.sizeBytes;
  if (end > bi.diskSize) bi.diskSize = end;
}

/** What was written in place counts as well. */
function growDisk(bi: BlockInode, endSize: u64): i32 {
  const before = bi.diskSize;
  noteGrown(bi, endSize, u32.MAX_VALUE);
  if (bi.diskSize == before) return 0;
  const got = journalStart(bi.fs, 1);
  if (isErr(got)) return ptrErr(got);
  const handle = changetype<Handle>(got);
  const error = failChange(bi.fs, inodeWrite(handle, bi, true));
  journalStop(handle);
  return error;
}
