/*
 * Reading data pages: ->readPage, ->readahead, and one page read in for the filesystem's own use.
 *
 *     each block that is not uptodate:  hole, unwritten: zero      mapped: a piece of a bio
 *
 * Interface: blockReadPage, blockReadahead, readPageLocked, makeUptodate.
 * Invariants: [rd-3] a block that is dirty is uptodate: what is in memory is never read over.
 * Locks: the page lock from the start to the end of the IO; i_data_sem for reading inside.
 * Why not whole pages: a page may have dirty blocks while others were never read.
 */
import { EIO, ENOMEM } from "../../lib/errno";
import { xaLoad } from "../../lib/xarray";
import { AddressSpace, File } from "../../mm/address-space";
import {
  PG_ERROR, PG_UPTODATE, Page, forgetPageLock, lockPage, pageAddress, pageLocked, unlockPage, waitOnPageLocked,
} from "../../mm/page";
import { downRead, upRead } from "../../sched/rwsem";
import { inodeOfMapping } from "../inode";
import { MAP_ERROR, MAP_WRITTEN, extentLookup, mapDisk, mapLength, mapState } from "./extents";
import { pageReadDone, unitAddBlocks, unitAddPage, unitAlloc, unitFree, unitSubmit, unlockForgotten } from "./io-unit";
import { PS_DIRTY, PS_UPTODATE, firstBlock, psSet, psTest } from "./page-state";
import { BlockInode, IoUnit, UNIT_PAGES, blockInodeOf } from "./state";

/** Reads what a locked page lacks into the unit. Returns 0 or -errno. */
function readBlocks(unit: IoUnit, bi: BlockInode, page: Page): i32 {
  const fs = bi.fs;
  const base = firstBlock(fs, page);
  let block: u32 = 0;
  while (block < fs.blocksPerPage) {
    if (psTest(page, PS_UPTODATE, block)) {
      block++;
      continue;
    }
    assert(!psTest(page, PS_DIRTY, block), "[rd-3] a dirty block is uptodate");
    downRead(bi.sem);
    const map = extentLookup(bi, base + block);
    upRead(bi.sem);
    if (mapState(map) == MAP_ERROR) return -EIO;
    let n: u32 = 1;
    while (block + n < fs.blocksPerPage && n < mapLength(map) && !psTest(page, PS_UPTODATE, block + n)) n++;
    const at = pageAddress(page) + (block << fs.blockShift);
    if (mapState(map) == MAP_WRITTEN) {
      const error = unitAddBlocks(unit, mapDisk(map), at, n);
      if (error != 0) return error;
    } else {
      memory.fill(at, 0, n << fs.blockShift);
      for (let i: u32 = 0; i < n; i++) psSet(page, PS_UPTODATE, block + i);
    }
    block += n;
  }
  return 0;
}

/** ->readPage: the page is locked by the caller and unlocked when it has been read. */
export function blockReadPage(file: File, page: Page): i32 {
  assert(page.mapping == changetype<usize>(file.mapping), "the page is the file's");
  return readPageLocked(page);
}

/** As ->readPage. Returns 0 when the read has begun, or -errno; the page is, or will be, unlocked. */
export function readPageLocked(page: Page): i32 {
  assert(pageLocked(page), "a page is read under its lock");
  const inode = inodeOfMapping(changetype<AddressSpace>(page.mapping));
  const bi = blockInodeOf(inode);
  const unit = unitAlloc(bi.fs, inode, false, true);
  if (changetype<usize>(unit) == 0) {
    unlockPage(page);
    return -ENOMEM;
  }
  const error = readBlocks(unit, bi, page);
  if (unit.pending == 1) {
    // No block lies on the disk.
    if (error == 0) pageReadDone(bi.fs, page, inode.mapping.sizeBytes);
    else page.set(PG_ERROR);
    unitFree(unit);
    unlockPage(page);
    return error;
  }
  if (error != 0) unit.error = error;
  unitAddPage(unit, page);
  forgetPageLock(page);
  unitSubmit(unit);
  return 0;
}

/** A locked page becomes uptodate, and is locked on return. Returns 0, -EIO, or -ENOMEM. */
export function makeUptodate(page: Page): i32 {
  const mapping = page.mapping;
  while (!page.test(PG_UPTODATE)) {
    page.clear(PG_ERROR);
    const error = readPageLocked(page);
    if (error == 0) waitOnPageLocked(page);
    lockPage(page);
    if (error != 0) return error;
    if (page.mapping != mapping || page.test(PG_ERROR)) return -EIO;
  }
  return 0;
}

/** ->readahead: `count` new, locked pages from pgoff on; each is unlocked by its completion. */
export function blockReadahead(mapping: AddressSpace, pgoff: u32, count: u32): void {
  const inode = inodeOfMapping(mapping);
  const bi = blockInodeOf(inode);
  let unit = changetype<IoUnit>(0);
  for (let i: u32 = 0; i < count; i++) {
    const page = changetype<Page>(xaLoad(mapping.pages, pgoff + i));
    assert(changetype<usize>(page) != 0 && pageLocked(page), "readahead has put its pages into the cache");
    if (changetype<usize>(unit) == 0) unit = unitAlloc(bi.fs, inode, false, false);
    if (changetype<usize>(unit) == 0) {
      // Whoever wants the page will read it.
      unlockForgotten(page);
      continue;
    }
    const before = unit.pending;
    const error = readBlocks(unit, bi, page);
    if (error != 0) unit.error = error;
    if (unit.pending == before && unit.bio == 0 && error == 0) {
      pageReadDone(bi.fs, page, inode.mapping.sizeBytes);
      unlockForgotten(page);
    } else unitAddPage(unit, page);
    if (unit.nrPages < UNIT_PAGES && error == 0) continue;
    unitSubmit(unit);
    unit = changetype<IoUnit>(0);
  }
  if (changetype<usize>(unit) != 0) unitSubmit(unit);
}
