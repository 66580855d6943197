/*
 * Units of data IO: up to 32 pages of one file under one read or one writeback, in as many bios as their blocks need.
 *
 *     unitAlloc -> unitAddPage, unitAddBlocks ... -> unitSubmit -> (event) last bio done: pages end -> work left: worker, else freed
 *
 * Interface: unitAlloc, unitHasBio, unitAddPage, unitAddBlocks, unitSubmit, unitFree, unitHasWork.
 * Invariants:
 *   [iu-1] `pending` counts the bios under way and the builder; who takes it to 0 ends the unit.
 *   [iu-2] a page under writeback is in one unit; a page being read is locked until its unit ends.
 *   [iu-3] a bio is had before a block is mapped: without one the block would show what its last owner left there.
 * Locks: the completion runs in an event handler and takes none.
 * Why not a counter in each page: the pages of a unit lie side by side and end together, as their bios do.
 */
import { EIO } from "../../lib/errno";
import { listAddTail, listInit } from "../../lib/list";
import { kmemCacheAlloc, kmemCacheFree } from "../../lib/slab";
import { PAGE_SHIFT, PAGE_SIZE } from "../../memlayout";
import { BIO_READ, BIO_WRITE, Bio, bioFree, isNullBio } from "../../block/bio";
import { submitBio } from "../../block/request-queue";
import { SECTOR_SHIFT } from "../../block/state";
import { PG_ERROR, PG_UPTODATE, Page, pageAddress, unlockPage } from "../../mm/page";
import { endPageWriteback } from "../../mm/page-writeback";
import { mappingSetError } from "../../mm/writeback";
import { LC_PAGE_LOCK } from "../../sched/lock-class";
import { LOCK_WRITE, lockAcquired } from "../../sched/lockdep";
import { isNullTask, sched } from "../../sched/state";
import { wakeAll } from "../../sched/wait-queue";
import { Inode, ihold } from "../inode";
import { bioAddMemory, blockBio, isNullTxn, pauseForMemory } from "./buffer";
import { PS_UPTODATE, allBlocks, psMask } from "./page-state";
import {
  BlockFs, CACHE_IO_UNIT, IoUnit, RANGE_PLAIN, Transaction, UNIT_PAGES, UNIT_RANGES, blockCache, blockFsState, blockInodeOf,
} from "./state";

/** An empty unit. Null without memory, after waiting for it; `mayWait` false: at once. */
export function unitAlloc(fs: BlockFs, inode: Inode, write: bool, mayWait: bool): IoUnit {
  let unit = changetype<IoUnit>(kmemCacheAlloc(blockCache(CACHE_IO_UNIT)));
  for (let tries: u32 = 0; changetype<usize>(unit) == 0 && mayWait && pauseForMemory(tries); tries++) {
    unit = changetype<IoUnit>(kmemCacheAlloc(blockCache(CACHE_IO_UNIT)));
  }
  if (changetype<usize>(unit) == 0) return unit;
  unit.fs = fs;
  unit.inode = inode;
  unit.write = write ? 1 : 0;
  unit.pending = 1;
  listInit(unit.link);
  if (!write || unitHasBio(unit)) return unit;
  unitFree(unit);
  return changetype<IoUnit>(0);
}

/** [iu-3] A bio is there for what is mapped next: true at once after unitAlloc. False: this unit takes no more. */
export function unitHasBio(unit: IoUnit): bool {
  if (unit.spare == 0) unit.spare = changetype<usize>(blockBio(unit.fs, BIO_WRITE, 0, 0));
  return unit.spare != 0;
}

/** The bio that was kept, or for a read a new one. Null: there is no memory. */
function takeBio(unit: IoUnit, disk: u32): Bio {
  const fs = unit.fs;
  if (unit.write == 0) return blockBio(fs, BIO_READ, 0, disk);
  const bio = changetype<Bio>(unit.spare);
  assert(!isNullBio(bio), "[iu-3] a bio is had before a block is mapped");
  unit.spare = 0;
  bio.sector = fs.startSector + (<u64>disk << (fs.blockShift - SECTOR_SHIFT));
  return bio;
}

export function unitFree(unit: IoUnit): void {
  if (unit.spare != 0) bioFree(changetype<Bio>(unit.spare));
  kmemCacheFree(blockCache(CACHE_IO_UNIT), changetype<usize>(unit));
}

export function unitAddPage(unit: IoUnit, page: Page): void {
  assert(unit.nrPages < UNIT_PAGES, "[iu-2] a unit has room for the page");
  unit.setPage(unit.nrPages++, changetype<usize>(page));
}

/** Hands the bio that is being built to the disk. */
function submitCurrent(unit: IoUnit): void {
  const bio = changetype<Bio>(unit.bio);
  unit.bio = 0;
  if (!isNullBio(bio)) submitBio(bio);
}

/** `blocks` blocks of memory within one page frame go to or come from the disk. Returns 0 or -ENOMEM's like. */
export function unitAddBlocks(unit: IoUnit, disk: u32, at: usize, blocks: u32): i32 {
  const fs = unit.fs;
  const bytes = blocks << fs.blockShift;
  let bio = changetype<Bio>(unit.bio);
  if (!isNullBio(bio)) {
    const next = bio.sector + (bio.sizeBytes >> SECTOR_SHIFT);
    const here = fs.startSector + (<u64>disk << (fs.blockShift - SECTOR_SHIFT));
    if (next == here && bioAddMemory(bio, at, bytes)) return 0;
    submitCurrent(unit);
  }
  bio = takeBio(unit, disk);
  if (isNullBio(bio)) return -EIO;
  bio.endIo = unitBioEnd;
  bio.privateData = changetype<usize>(unit);
  unit.pending++;
  unit.bio = changetype<usize>(bio);
  bioAddMemory(bio, at, bytes);
  return 0;
}

/** Everything is in: what is left goes to the disk, and the unit ends with its last bio. */
export function unitSubmit(unit: IoUnit): void {
  submitCurrent(unit);
  unitPut(unit);
}

/** Event handler: one bio of a unit is done. */
function unitBioEnd(bio: Bio): void {
  const unit = changetype<IoUnit>(bio.privateData);
  if (bio.status != 0 && unit.error == 0) unit.error = bio.status;
  bioFree(bio);
  unitPut(unit);
}

function unitPut(unit: IoUnit): void {
  assert(unit.pending != 0, "[iu-1] a unit ends once");
  if (--unit.pending != 0) return;
  if (unit.write != 0) endWrite(unit);
  else endRead(unit);
}

function endRead(unit: IoUnit): void {
  const inode = unit.inode;
  const size = inode.mapping.sizeBytes;
  for (let i: u32 = 0; i < unit.nrPages; i++) {
    const page = changetype<Page>(unit.page(i));
    if (unit.error != 0) page.set(PG_ERROR);
    else pageReadDone(unit.fs, page, size);
    unlockForgotten(page);
  }
  unitFree(unit);
}

/** Unlocks a page whose lock its task has left to the completion; perhaps that task itself. */
export function unlockForgotten(page: Page): void {
  if (!isNullTask(sched().current)) lockAcquired(changetype<usize>(page), LC_PAGE_LOCK, LOCK_WRITE);
  unlockPage(page);
}

/** All blocks of the page are in memory: what lies behind the end of the file reads as zero. */
export function pageReadDone(fs: BlockFs, page: Page, sizeBytes: u64): void {
  const start = (<u64>page.index) << PAGE_SHIFT;
  const end = sizeBytes <= start ? 0 : sizeBytes - start;
  if (end < PAGE_SIZE) memory.fill(pageAddress(page) + <usize>end, 0, PAGE_SIZE - <u32>end);
  page.priv |= allBlocks(fs) << PS_UPTODATE;
  assert(psMask(page, PS_UPTODATE) == allBlocks(fs), "[ps-1] a page that is uptodate is so in all its blocks");
  page.set(PG_UPTODATE);
}

/** True when the completion has to change the tree or the size on the disk. */
export function unitHasWork(unit: IoUnit): bool {
  if (unit.endSize != 0) return true;
  for (let i: u32 = 0; i < unit.nrRanges; i++) if (unit.range(i).kind != RANGE_PLAIN) return true;
  return false;
}

/** Room for one more range. */
export function unitHasRange(unit: IoUnit): bool {
  return unit.nrRanges < UNIT_RANGES;
}

/** The unit will have work: it holds its inode until the worker has done it. */
export function unitWillWork(unit: IoUnit): void {
  ihold(unit.inode);
  blockInodeOf(unit.inode).pendingUnits++;
  unit.fs.pendingUnits++;
}

function endWrite(unit: IoUnit): void {
  const fs = unit.fs;
  const mapping = unit.inode.mapping;
  if (unit.error != 0) mappingSetError(mapping, unit.error);
  const work = unitHasWork(unit);
  if (!isNullTxn(unit.txn)) {
    // Ordered mode: the commit may go on.
    if (--unit.txn.dataInFlight == 0) wakeAll(fs.journal.wait);
    unit.txn = changetype<Transaction>(0);
  }
  for (let i: u32 = 0; i < unit.nrPages; i++) endPageWriteback(changetype<Page>(unit.page(i)));
  if (!work) {
    unitFree(unit);
    return;
  }
  listAddTail(unit.link, blockFsState().doneUnits);
  wakeAll(blockFsState().workWait);
}
