/*
 * ->writepages: dirty pages, unit by unit, to where they belong; and what their completion changes.
 *
 *     dirty block       iomapfs                                    jbdfs
 *     delalloc, hole    unwritten extent, converted at completion  written extent; the commit waits for the data (ordered)
 *     delalloc, shared  new blocks that replace the shared ones at completion
 *     unwritten         in place, converted at completion          the same
 *     written           in place                                   in place
 *     i_disksize        at completion                              with the handle
 *
 * Interface: blockWritepages.
 * Invariants:
 *   [wbk-1] a page is cleaned and its DIRTY bits are taken in one emulated step under its lock; its blocks are in a bio before it
 *           is unlocked, or the page is dirty again.
 *   [jnl-4] a handle is open before the first page is locked; for the writeback of a page nobody waits with one open.
 *   [wbk-2] only the first page of a unit is waited for: those behind it are tried, because the unit's own are not submitted yet.
 * Locks: handle -> page lock -> i_data_sem.
 * Why not a handle always: overwriting in place changes no metadata, and must not wait for a commit.
 */
import { EIO, ENOMEM, isErr, ptrErr } from "../../lib/errno";
import { PAGE_SHIFT, PAGE_SIZE } from "../../memlayout";
import { AddressSpace } from "../../mm/address-space";
import { putPage } from "../../mm/page-alloc";
import { PG_WRITEBACK, Page, isNullPage, lockPage, pageAddress, trylockPage, unlockPage, waitOnPageWriteback } from "../../mm/page";
import { clearPageDirtyForIo, setPageDirty, setPageWriteback } from "../../mm/page-writeback";
import { mappingSetError, nextDirtyPage, wakeFlusher } from "../../mm/writeback";
import { downRead, downWrite, upRead, upWrite } from "../../sched/rwsem";
import { TF_MEMALLOC, currentTask } from "../../sched/state";
import { inodeOfMapping } from "../inode";
import {
  MAP_ERROR, MAP_HOLE, MAP_UNWRITTEN, MAP_WRITTEN, extentCredits, extentInsert, extentLookup, mapDisk, mapLength, mapState, metaTrim,
} from "./extents";
import { failChange, inodeWrite } from "./inode-table";
import {
  unitAddBlocks, unitAddPage, unitAlloc, unitFree, unitHasBio, unitHasRange, unitHasWork, unitSubmit, unitWillWork,
} from "./io-unit";
import { journalStart, journalStop } from "./journal";
import { PS_CONVERTING, PS_DELALLOC, PS_DIRTY, firstBlock, pageReach, psClear, psMask, psTest } from "./page-state";
import { bitmapUpdate, runLength, runStart, sharedRun, spaceRelease, spaceTake } from "./space";
import {
  BlockInode, Handle, IoUnit, KIND_JBDFS, RANGE_CONVERT, RANGE_COW, RANGE_PLAIN, UNIT_PAGES, blockInodeOf,
} from "./state";
import { goalOf } from "./write";

/** What became of one page. */
const PAGE_WRITTEN: i32 = 0;
/** The unit is full, or a page behind the first is busy: submit, then come back to it. */
const PAGE_LATER: i32 = 1;
/** Nothing to write there. */
const PAGE_SKIP: i32 = 2;
/** It needs a handle and none is open. */
const PAGE_HANDLE: i32 = 3;
/** Under writeback: to be waited for without a handle. */
const PAGE_WAIT: i32 = 4;

/** ->writepages. Returns 0 or the first -errno; errors of the IO go to the mapping. */
export function blockWritepages(mapping: AddressSpace, startPgoff: u32, endPgoff: u32, sync: u32): i32 {
  const bi = blockInodeOf(inodeOfMapping(mapping));
  if ((currentTask().flags & TF_MEMALLOC) != 0) {
    // Reclaim may be inside anything, a handle among it: the flusher does it.
    wakeFlusher();
    return 0;
  }
  let at = startPgoff;
  let result: i32 = 0;
  let wantHandle = false;
  while (true) {
    if (bi.fs.aborted != 0) return dropDirty(bi, mapping, startPgoff, endPgoff);
    const next = writeUnit(bi, mapping, at, endPgoff, sync != 0, wantHandle);
    if (next < 0) {
      if (next == NEXT_HANDLE) {
        wantHandle = true;
        continue;
      }
      if (result == 0) result = <i32>next;
      return result;
    }
    wantHandle = false;
    if (next > <i64>endPgoff || next > <i64>u32.MAX_VALUE) return result;
    at = <u32>next;
  }
}

/** writeUnit: try again with a handle. No errno is so low. */
const NEXT_HANDLE: i64 = -100000;

/** A filesystem that was shut down: what is dirty is lost, and whoever asks hears of it. */
function dropDirty(bi: BlockInode, mapping: AddressSpace, startPgoff: u32, endPgoff: u32): i32 {
  let page = nextDirtyPage(mapping, startPgoff, endPgoff);
  while (!isNullPage(page)) {
    lockPage(page);
    if (page.mapping == changetype<usize>(mapping) && clearPageDirtyForIo(page)) {
      const dropped = bi.fs.blocksPerPage;
      for (let block: u32 = 0; block < dropped; block++) takePromise(bi, page, block);
      page.priv = <usize>(psMask(page, 0));
    }
    unlockPage(page);
    putPage(page);
    page = nextDirtyPage(mapping, startPgoff, endPgoff);
  }
  metaTrim(bi);
  mappingSetError(mapping, -EIO);
  return -EIO;
}

/** A dirty block's promises end here: what they were is the caller's to know. */
function takePromise(bi: BlockInode, page: Page, block: u32): void {
  if (psTest(page, PS_DELALLOC, block)) {
    spaceRelease(bi.fs, 1);
    bi.delalloc--;
  }
  if (psTest(page, PS_CONVERTING, block)) bi.converting--;
}

/** One unit from `at` on. Returns the pgoff to go on with (beyond endPgoff at the end), NEXT_HANDLE, or -errno. */
function writeUnit(bi: BlockInode, mapping: AddressSpace, at: u32, endPgoff: u32, sync: bool, wantHandle: bool): i64 {
  const fs = bi.fs;
  const first = nextDirtyPage(mapping, at, endPgoff);
  if (isNullPage(first)) return <i64>endPgoff + 1;
  const unit = unitAlloc(fs, bi.inode, true, true);
  if (changetype<usize>(unit) == 0) {
    putPage(first);
    return -ENOMEM;
  }
  let handle = changetype<Handle>(0);
  if (wantHandle || needsHandle(bi, first)) {
    const got = journalStart(fs, unitCredits(bi));
    if (isErr(got)) {
      unitFree(unit);
      putPage(first);
      return ptrErr(got);
    }
    handle = changetype<Handle>(got);
  }
  if (changetype<usize>(handle) != 0 && fs.kind == KIND_JBDFS) {
    unit.txn = handle.txn;
    unit.txn.dataInFlight++;
  }
  const next = fillUnit(unit, handle, bi, mapping, first, endPgoff, sync);
  finishUnit(unit, handle, bi);
  if (next == NEXT_WAIT) {
    waitOnPageWriteback(first);
    putPage(first);
    return at;
  }
  putPage(first);
  return next;
}

/** fillUnit: the first page is under writeback. */
const NEXT_WAIT: i64 = -100001;

/** Credits of one more allocation of a unit, the inode's included. */
function stepCredits(bi: BlockInode): u32 {
  return extentCredits(bi, 1) + 1;
}

/** A unit may make several allocations; one at least. */
function unitCredits(bi: BlockInode): u32 {
  const one = stepCredits(bi);
  const some = one * 4;
  const most = bi.fs.journal.maxCredits / 2;
  return some <= most ? some : one;
}

/** True when writing the page will change metadata at once: delalloc blocks, or (jbdfs) i_disksize. A look without its lock. */
function needsHandle(bi: BlockInode, page: Page): bool {
  if (psMask(page, PS_DELALLOC) != 0) return true;
  return bi.fs.kind == KIND_JBDFS && pageEnd(bi, page) > bi.diskSize;
}

/** Where the page's bytes of the file end. */
function pageEnd(bi: BlockInode, page: Page): u64 {
  const end = (<u64>page.index + 1) << PAGE_SHIFT;
  const size = bi.inode.mapping.sizeBytes;
  return end < size ? end : size;
}

/** Adds pages to the unit, from `first` on while they follow each other. Returns as writeUnit, or NEXT_WAIT. */
function fillUnit(unit: IoUnit, handle: Handle, bi: BlockInode, mapping: AddressSpace, first: Page, endPgoff: u32, sync: bool): i64 {
  let page = first;
  let pgoff = first.index;
  while (true) {
    const own = changetype<usize>(page) == changetype<usize>(first);
    let done = PAGE_LATER;
    if (own) lockPage(page);
    if (own || trylockPage(page)) {
      done = writePage(unit, handle, bi, mapping, page, sync);
      unlockPage(page);
    }
    if (!own) putPage(page);
    if (done < 0) return done;
    if (done == PAGE_HANDLE) return own ? NEXT_HANDLE : <i64>pgoff;
    if (done == PAGE_WAIT) return own ? NEXT_WAIT : <i64>pgoff;
    if (done == PAGE_LATER) return pgoff;
    if (pgoff >= endPgoff) return <i64>endPgoff + 1;
    if (unit.nrPages == UNIT_PAGES || !unitHasRange(unit)) return <i64>pgoff + 1;
    page = nextDirtyPage(mapping, pgoff + 1, endPgoff);
    if (isNullPage(page)) return <i64>endPgoff + 1;
    if (page.index != pgoff + 1) {
      const there = page.index;
      putPage(page);
      return there;
    }
    pgoff++;
  }
}

/** One locked page: into the unit, as far as it goes. Returns PAGE_* or -errno. */
function writePage(unit: IoUnit, handle: Handle, bi: BlockInode, mapping: AddressSpace, page: Page, sync: bool): i32 {
  if (page.mapping != changetype<usize>(mapping)) return PAGE_SKIP;
  if (page.test(PG_WRITEBACK)) return sync ? PAGE_WAIT : PAGE_SKIP;
  const open = changetype<usize>(handle) != 0;
  if (!open && needsHandle(bi, page)) return PAGE_HANDLE;
  const reach = pageReach(bi.fs, page, mapping.sizeBytes);
  // Beyond the end: a truncate is on its way to the page.
  if (reach == 0) return PAGE_SKIP;
  if (!clearPageDirtyForIo(page)) return PAGE_SKIP;
  const size = mapping.sizeBytes - ((<u64>page.index) << PAGE_SHIFT);
  if (size < PAGE_SIZE) memory.fill(pageAddress(page) + <usize>size, 0, PAGE_SIZE - <u32>size);
  setPageWriteback(page);
  unitAddPage(unit, page);
  let block: u32 = 0;
  let result = PAGE_WRITTEN;
  while (block < reach) {
    if (!psTest(page, PS_DIRTY, block)) {
      block++;
      continue;
    }
    let n: u32 = 1;
    while (block + n < reach && isLike(page, block, block + n)) n++;
    const wrote = writeRun(unit, handle, bi, page, block, n);
    if (wrote <= 0) {
      // The rest of the page stays dirty and comes with another unit; or nothing more can be done.
      setPageDirty(page);
      result = wrote == 0 ? PAGE_LATER : wrote;
      break;
    }
    block += <u32>wrote;
  }
  noteSize(unit, bi, page);
  return result;
}

/** True when another block of the page is dirty too, and promised as the first is. */
function isLike(page: Page, block: u32, other: u32): bool {
  return psTest(page, PS_DIRTY, other) && psTest(page, PS_DELALLOC, other) == psTest(page, PS_DELALLOC, block);
}

/** The file is as long on the disk as what has been written of it: at once in jbdfs, at completion in iomapfs. */
function noteSize(unit: IoUnit, bi: BlockInode, page: Page): void {
  const end = pageEnd(bi, page);
  if (end > bi.diskSize && end > unit.endSize) unit.endSize = end;
}

/** Up to n dirty blocks of one kind: mapped, and into a bio. Returns how many, 0 when the unit has no room for them, -errno. */
function writeRun(unit: IoUnit, handle: Handle, bi: BlockInode, page: Page, block: u32, n: u32): i32 {
  const fs = bi.fs;
  const fileBlock = firstBlock(fs, page) + block;
  if (!unitHasRange(unit) || !unitHasBio(unit)) return 0;
  downRead(bi.sem);
  const map = extentLookup(bi, fileBlock);
  upRead(bi.sem);
  const state = mapState(map);
  if (state == MAP_ERROR) return failChange(fs, -EIO);
  let length = mapLength(map) < n ? mapLength(map) : n;
  let disk = mapDisk(map);
  let kind: u32 = state == MAP_UNWRITTEN ? RANGE_CONVERT : RANGE_PLAIN;
  if (psTest(page, PS_DELALLOC, block)) {
    if (changetype<usize>(handle) == 0 || handle.credits < stepCredits(bi)) return 0;
    let isNew = state == MAP_HOLE;
    if (state == MAP_WRITTEN) {
      const shared = sharedRun(fs, disk, length);
      if (runLength(shared) == 0) return failChange(fs, -EIO);
      length = runLength(shared);
      if (runStart(shared) != 0) {
        isNew = true;
        kind = RANGE_COW;
      }
    }
    if (isNew) {
      const run = takeBlocks(handle, bi, fileBlock, length, kind == RANGE_COW);
      if (runLength(run) == 0) return -EIO;
      disk = runStart(run);
      length = runLength(run);
      if (kind != RANGE_COW) kind = fs.kind == KIND_JBDFS ? RANGE_PLAIN : RANGE_CONVERT;
    } else {
      // Somebody gave the block its space in between (fallocate; the copy of a shared one).
      spaceRelease(fs, length);
      bi.delalloc -= length;
      if (kind == RANGE_CONVERT) bi.converting += length;
    }
  } else assert(state != MAP_HOLE, "[ps-1] a dirty block has space");
  return addRun(unit, bi, page, block, length, fileBlock, disk, kind);
}

/** New blocks out of the delalloc promise: mapped at once, or (shared) kept aside for completion. The run; length 0: failed. */
function takeBlocks(handle: Handle, bi: BlockInode, fileBlock: u32, length: u32, aside: bool): u64 {
  const fs = bi.fs;
  const run = spaceTake(fs, length, goalOf(bi, fileBlock));
  const got = runLength(run);
  assert(bi.delalloc >= got, "[ps-2] delalloc blocks are counted");
  bi.delalloc -= got;
  const ordered = fs.kind == KIND_JBDFS;
  if (aside || !ordered) bi.converting += got;
  if (aside) return run;
  let error = bitmapUpdate(handle, runStart(run), got, true);
  downWrite(bi.sem);
  if (error == 0) error = extentInsert(handle, bi, fileBlock, runStart(run), got, ordered ? MAP_WRITTEN : MAP_UNWRITTEN);
  upWrite(bi.sem);
  bi.dataBlocks += got;
  if (error == 0) error = inodeWrite(handle, bi, true);
  if (error == 0) return run;
  failChange(fs, error);
  return 0;
}

/** The blocks' DIRTY bits become a range of the unit. What waits to be converted stays counted until it is. */
function addRun(unit: IoUnit, bi: BlockInode, page: Page, block: u32, length: u32, fileBlock: u32, disk: u32, kind: u32): i32 {
  for (let i = block; i < block + length; i++) {
    const promised = psTest(page, PS_DELALLOC, i);
    const converting = psTest(page, PS_CONVERTING, i);
    psClear(page, PS_DIRTY, i);
    psClear(page, PS_DELALLOC, i);
    psClear(page, PS_CONVERTING, i);
    if (converting && kind == RANGE_PLAIN) bi.converting--;
    assert(converting || promised || kind == RANGE_PLAIN, "[ps-1] a dirty block in an unwritten extent is counted");
  }
  noteRange(unit, fileBlock, disk, length, kind);
  const error = unitAddBlocks(unit, disk, pageAddress(page) + (block << bi.fs.blockShift), length);
  if (error == 0) return <i32>length;
  // Nothing of the unit is converted: the blocks' bytes did not get to the disk.
  unit.error = error;
  return error;
}

function noteRange(unit: IoUnit, fileBlock: u32, disk: u32, length: u32, kind: u32): void {
  if (unit.nrRanges != 0) {
    const last = unit.range(unit.nrRanges - 1);
    if (last.kind == kind && last.fileBlock + last.blocks == fileBlock && last.disk + last.blocks == disk) {
      last.blocks += length;
      return;
    }
  }
  const range = unit.range(unit.nrRanges++);
  range.fileBlock = fileBlock;
  range.disk = disk;
  range.blocks = length;
  range.kind = kind;
}

/** The unit goes to the disk, the handle ends. */
function finishUnit(unit: IoUnit, handle: Handle, bi: BlockInode): void {
  if (bi.fs.kind == KIND_JBDFS && unit.endSize != 0) {
    if (unit.endSize > bi.diskSize) bi.diskSize = unit.endSize;
    unit.endSize = 0;
    failChange(bi.fs, inodeWrite(handle, bi, true));
  }
  if (unitHasWork(unit)) unitWillWork(unit);
  metaTrim(bi);
  unitSubmit(unit);
  if (changetype<usize>(handle) != 0) journalStop(handle);
}
