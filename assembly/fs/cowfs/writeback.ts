/*
 * Writeback of a file's pages: delalloc blocks get space, all of it new, and go to the disk as ordered extents.
 *
 *     per dirty page, under its lock: write-protect and clean -> bytes beyond i_size zeroed -> PG_WRITEBACK -> each run of delalloc
 *     blocks into the open ordered extent if it goes on there, else into a new one, as long as the delalloc blocks that follow
 *
 * Interface: cowfsWritepages.
 * Invariants:
 *   [cow-1] data is never written where a block of the file lies now.
 *   [cw-1] one task writes a file's pages at a time, so the blocks an extent is taken for are still there when it is filled.
 *   [mk-2] the page is locked from cleaned to PG_WRITEBACK; stable pages: it does not change until the IO is done.
 * Locks: the page lock, one page at a time. Waits under it: for a commit that is being written (space), which needs no page.
 * Why not called by reclaim: it may run under a tree's lock; the flusher and fsync write, reclaim takes what is clean.
 */
import { EIO, ENOMEM, errPtr, isErr, ptrErr } from "../../lib/errno";
import { M_TAIL_NOT_ZEROED, mutant } from "../../lib/mutant";
import { xaLoad } from "../../lib/xarray";
import { PAGE_SIZE } from "../../memlayout";
import { AddressSpace } from "../../mm/address-space";
import { PG_DIRTY, PG_WRITEBACK, Page, lockPage, pageAddress, unlockPage, waitOnPageWriteback } from "../../mm/page";
import { putPage } from "../../mm/page-alloc";
import { clearPageDirtyForIo, setPageDirty, setPageWriteback } from "../../mm/page-writeback";
import { mappingSetError, nextDirtyPage } from "../../mm/writeback";
import { TASK_UNINTERRUPTIBLE, TF_MEMALLOC, currentTask } from "../../sched/state";
import { sleepOn, wakeAll } from "../../sched/wait-queue";
import { Inode, inodeOfMapping } from "../inode";
import { blocksBelow, delallocDrop, delallocTake } from "./delalloc";
import { cowInode, infoOf } from "./inode-item";
import { MAX_EXTENT_BLOCKS, MAX_EXTENT_PAGES } from "./layout";
import { OrderedExtent, isNullOrdered, orderedAddPage, orderedAlloc, orderedEnd, orderedSubmit } from "./ordered";
import { BLOCK_BITS, delallocBits, pageWriteDone, pageWriteStarted } from "./page-state";
import { dataAlloc, dataReturn } from "./space";
import { CowfsInfo } from "./state";
import { waitForCommitting } from "./transaction";

/** AddressSpaceOperations.writepages. `sync`: pages under writeback are waited for and written again. Returns 0 or -errno. */
export function cowfsWritepages(mapping: AddressSpace, start: u32, end: u32, sync: u32): i32 {
  if ((currentTask().flags & TF_MEMALLOC) != 0) return 0;
  const inode = inodeOfMapping(mapping);
  const info = infoOf(inode);
  const ci = cowInode(inode);
  while (ci.writing != 0) {
    if (sync == 0) return 0;
    sleepOn(info.orderedWait, TASK_UNINTERRUPTIBLE);
  }
  ci.writing = 1;
  const error = writeRange(info, inode, start, end, sync != 0);
  ci.writing = 0;
  wakeAll(info.orderedWait);
  return error;
}

function writeRange(info: CowfsInfo, inode: Inode, start: u32, end: u32, sync: bool): i32 {
  const mapping = inode.mapping;
  let ordered = changetype<OrderedExtent>(0);
  let pgoff = start;
  let error: i32 = 0;
  while (error == 0) {
    const page = nextDirtyPage(mapping, pgoff, end);
    if (changetype<usize>(page) == 0) break;
    const index = page.index;
    // An open extent whose pages others wait for is not kept open over a sleep.
    if (page.test(PG_WRITEBACK) || info.orderedCount >= info.orderedLimit) {
      ordered = close(info, ordered);
      while (info.orderedCount >= info.orderedLimit) sleepOn(info.orderedWait, TASK_UNINTERRUPTIBLE);
    }
    lockPage(page);
    if (sync) waitOnPageWriteback(page);
    if (page.mapping == changetype<usize>(mapping) && page.test(PG_DIRTY) && !page.test(PG_WRITEBACK)) {
      const open = writePage(info, inode, page, ordered, end);
      ordered = changetype<OrderedExtent>(isErr(open) ? <usize>0 : open);
      if (isErr(open)) error = ptrErr(open);
    }
    unlockPage(page);
    putPage(page);
    if (index == end) break;
    pgoff = index + 1;
  }
  close(info, ordered);
  return error;
}

function close(info: CowfsInfo, ordered: OrderedExtent): OrderedExtent {
  if (!isNullOrdered(ordered)) orderedSubmit(info, ordered);
  return changetype<OrderedExtent>(0);
}

/** One page, locked, dirty. Returns the ordered extent that is open afterwards (or 0), or ERR_PTR with none open. */
function writePage(info: CowfsInfo, inode: Inode, page: Page, open: OrderedExtent, end: u32): usize {
  const below = blocksBelow(info, page.index, inode.mapping.sizeBytes);
  // Beyond the end: a truncate is about to take it away.
  if (below == 0 || !clearPageDirtyForIo(page)) return changetype<usize>(open);
  if (info.aborted != 0) return giveUp(info, inode, page, open);
  if (!(MUTANTS && mutant(M_TAIL_NOT_ZEROED))) zeroTail(inode, page);
  delallocDrop(inode, page, ~below & BLOCK_BITS);
  assert(delallocBits(page) != 0, "[mk-1] a dirty page has space for a block");
  setPageWriteback(page);
  pageWriteStarted(page);
  let ordered = open;
  let failed: usize = 0;
  while (delallocBits(page) != 0 && failed == 0) {
    const first = <u32>ctz(delallocBits(page));
    const count = <u32>ctz(~(delallocBits(page) >> first));
    const next = writeRun(info, inode, page, first, count, ordered, end);
    if (isErr(next)) failed = next;
    else ordered = changetype<OrderedExtent>(next);
  }
  // What found no place is dirty still, and will be tried again.
  if (delallocBits(page) != 0) setPageDirty(page);
  pageWriteDone(page);
  return failed != 0 ? failed : changetype<usize>(ordered);
}

/** Bytes beyond i_size, where stores through mappings may have been, go to the disk as zeros. */
function zeroTail(inode: Inode, page: Page): void {
  const start = <u64>page.index << 12;
  const left = inode.mapping.sizeBytes - start;
  if (left < PAGE_SIZE) memory.fill(pageAddress(page) + <u32>left, 0, PAGE_SIZE - <u32>left);
}

/** After an abort nothing is written: the page is clean, the loss is told. */
function giveUp(info: CowfsInfo, inode: Inode, page: Page, open: OrderedExtent): usize {
  delallocDrop(inode, page, BLOCK_BITS);
  mappingSetError(inode.mapping, -EIO);
  close(info, open);
  return 0;
}

/** Some of `count` delalloc blocks of the page from `first` on go into an ordered extent. Returns the open one, or ERR_PTR. */
function writeRun(info: CowfsInfo, inode: Inode, page: Page, first: u32, count: u32, open: OrderedExtent, end: u32): usize {
  const fileStart = (<u64>page.index << 12) + ((<u64>first) << info.blockShift);
  let ordered = open;
  const goesOn = !isNullOrdered(ordered) && ordered.blocks < ordered.allocated && orderedEnd(info, ordered) == fileStart;
  if (!goesOn) {
    ordered = close(info, ordered);
    const opened = openExtent(info, inode, page, first, fileStart, end);
    if (isErr(opened)) return opened;
    ordered = changetype<OrderedExtent>(opened);
  }
  const n = min(count, ordered.allocated - ordered.blocks);
  const added = orderedAddPage(info, ordered, page, first, n);
  assert(added, "[cl-2] an ordered extent's pages fit its bio");
  delallocTake(inode, page, ((1 << n) - 1) << first);
  return changetype<usize>(ordered);
}

/** A new ordered extent for the run of delalloc blocks that begins at block `first` of the page. */
function openExtent(info: CowfsInfo, inode: Inode, page: Page, first: u32, fileStart: u64, end: u32): usize {
  const want = runLength(info, inode, page, first, end);
  let space = dataAlloc(info, want);
  while (space == 0) {
    assert(info.committing != 0, "[cow-5] data that was promised cannot be placed");
    waitForCommitting(info);
    if (info.aborted != 0) return errPtr(-EIO);
    space = dataAlloc(info, want);
  }
  const sector = <u32>(space >> 32);
  const ordered = orderedAlloc(info, inode, fileStart, sector, <u32>space);
  if (!isNullOrdered(ordered)) return changetype<usize>(ordered);
  dataReturn(info, sector, <u32>space);
  return errPtr(-ENOMEM);
}

/** Delalloc blocks in a row from block `first` of the page on, over the dirty pages that follow, as many as one extent takes. */
function runLength(info: CowfsInfo, inode: Inode, page: Page, first: u32, end: u32): u32 {
  const perPage = info.clusterBlocks;
  let run = <u32>ctz(~(delallocBits(page) >> first));
  if (run > perPage - first) run = perPage - first;
  let goesOn = first + run == perPage;
  let pages: u32 = 1;
  for (let index = page.index; goesOn && index < end && run < MAX_EXTENT_BLOCKS && pages < MAX_EXTENT_PAGES; pages++) {
    index++;
    const next = changetype<Page>(xaLoad(inode.mapping.pages, index));
    if (changetype<usize>(next) == 0 || !next.test(PG_DIRTY) || next.test(PG_WRITEBACK)) break;
    const bits = delallocBits(next) & blocksBelow(info, index, inode.mapping.sizeBytes);
    const more = <u32>ctz(~bits);
    run += more;
    goesOn = more == perPage;
  }
  return min(run, MAX_EXTENT_BLOCKS);
}
