/*
 * The blocks of a cached page, in Page.priv, and the space that dirty ones are promised.
 *
 *     priv   31..24 CONVERTING   23..16 DELALLOC   15..8 DIRTY   7..0 UPTODATE          bit n: the nth block of the page
 *
 *     what lies under a block:    hole or shared     unwritten           written, not shared
 *     a store needs:              DELALLOC           CONVERTING          nothing
 *       promised:                 a block, nodes     nodes of the tree
 *
 * Interface: promiseBlocks, dropPromises, pageInvalidate, pageReleasable, dirtyBlocks, isPrepared, preparedBytes, PS_*, psTest, psSet,
 *            psClear, psMask, blockInodeOfPage, pageReach.
 * Invariants:
 *   [ps-1] DIRTY implies that the block has space: DELALLOC, or it is mapped and the file's own ([mk-1] block by block).
 *   [ps-2] a BlockInode's delalloc is the number of DELALLOC bits of its pages; converting that of CONVERTING bits and of blocks
 *          whose IO or conversion is under way.
 * Locks: the page lock for all of it.
 * Why not a struct a page, as iomap's: 32 bits are 32 bits, and there is nothing to allocate or to free.
 */
import { EIO, ENOSPC } from "../../lib/errno";
import { PAGE_SHIFT, PAGE_SIZE } from "../../memlayout";
import { AddressSpace } from "../../mm/address-space";
import { PG_DIRTY, Page, pageLocked } from "../../mm/page";
import { setPageDirty } from "../../mm/page-writeback";
import { pageUnprepare } from "../../mm/writeback";
import { downRead, upRead } from "../../sched/rwsem";
import { inodeOfMapping } from "../inode";
import {
  MAP_ERROR, MAP_HOLE, MAP_UNWRITTEN, MAP_WRITTEN, extentLookup, mapDisk, mapLength, mapState, metaEnsure, metaTrim,
} from "./extents";
import { runLength, runStart, sharedRun, spaceRelease, spaceReserve } from "./space";
import { BlockFs, BlockInode, blockInodeOf } from "./state";

/** Shifts of the four bit sets. */
export const PS_UPTODATE: u32 = 0;
export const PS_DIRTY: u32 = 8;
export const PS_DELALLOC: u32 = 16;
export const PS_CONVERTING: u32 = 24;

export function psTest(page: Page, set: u32, block: u32): bool {
  return ((<u32>page.priv >> (set + block)) & 1) != 0;
}

export function psSet(page: Page, set: u32, block: u32): void {
  page.priv |= 1 << (set + block);
}

export function psClear(page: Page, set: u32, block: u32): void {
  page.priv &= ~(1 << (set + block));
}

/** One set of the page, as bits 0 to 7. */
export function psMask(page: Page, set: u32): u32 {
  return (<u32>page.priv >> set) & 0xff;
}

/** All blocks of a page. */
export function allBlocks(fs: BlockFs): u32 {
  return (1 << fs.blocksPerPage) - 1;
}

export function blockInodeOfPage(page: Page): BlockInode {
  return blockInodeOf(inodeOfMapping(changetype<AddressSpace>(page.mapping)));
}

/** The block of the file that a page begins with. */
export function firstBlock(fs: BlockFs, page: Page): u32 {
  return page.index << (PAGE_SHIFT - fs.blockShift);
}

/** Blocks of the page, from its start, that lie at least partly below i_size. */
export function pageReach(fs: BlockFs, page: Page, sizeBytes: u64): u32 {
  const start = (<u64>page.index) << PAGE_SHIFT;
  if (sizeBytes <= start) return 0;
  const bytes = sizeBytes - start;
  return bytes >= PAGE_SIZE ? fs.blocksPerPage : (<u32>bytes + fs.blockSize - 1) >> fs.blockShift;
}

/** What a store to the block needs. The length of the run of which that holds comes as the run's length. Start: PS_* or 0. */
const NEED_NOTHING: u32 = 0;
const NEED_FAILED: u32 = 1;

/** A run: start is PS_DELALLOC, PS_CONVERTING, NEED_NOTHING or NEED_FAILED. May sleep for IO. */
function needOf(bi: BlockInode, block: u32): u64 {
  downRead(bi.sem);
  const map = extentLookup(bi, block);
  const state = mapState(map);
  let need: u32 = state == MAP_HOLE ? PS_DELALLOC : state == MAP_UNWRITTEN ? PS_CONVERTING : NEED_NOTHING;
  let length = mapLength(map);
  if (state == MAP_ERROR) need = NEED_FAILED;
  else if (state == MAP_WRITTEN && bi.fs.hasShared != 0) {
    const shared = sharedRun(bi.fs, mapDisk(map), length < 8 ? length : 8);
    length = runLength(shared);
    if (length == 0) need = NEED_FAILED;
    else if (runStart(shared) != 0) need = PS_DELALLOC;
  }
  upRead(bi.sem);
  return (<u64>length << 32) | need;
}

/** Promises one block of a locked page what it needs. False: no space. */
function promise(bi: BlockInode, page: Page, block: u32, need: u32): bool {
  if (need == PS_DELALLOC) {
    if (!spaceReserve(bi.fs, 1)) return false;
    bi.delalloc++;
  } else bi.converting++;
  if (metaEnsure(bi)) {
    psSet(page, need, block);
    return true;
  }
  if (need == PS_DELALLOC) {
    spaceRelease(bi.fs, 1);
    bi.delalloc--;
  } else bi.converting--;
  return false;
}

/**
 * Gives blocks [first, last) of a locked page the space that stores to them need. Returns 0, -ENOSPC or -EIO, then with what this
 * call promised given back. Never waits for space: see spaceShrink.
 */
export function promiseBlocks(bi: BlockInode, page: Page, first: u32, last: u32): i32 {
  assert(pageLocked(page), "[ps-1] blocks are promised under the page lock");
  const base = firstBlock(bi.fs, page);
  let block = first;
  while (block < last) {
    if (psTest(page, PS_DIRTY, block) || psTest(page, PS_DELALLOC, block) || psTest(page, PS_CONVERTING, block)) {
      block++;
      continue;
    }
    const run = needOf(bi, base + block);
    const need = <u32>run;
    const length = <u32>(run >> 32);
    for (let n: u32 = 0; n < length && block < last; n++, block++) {
      if (need == NEED_NOTHING || psTest(page, PS_DIRTY, block)) continue;
      if (psTest(page, PS_DELALLOC, block) || psTest(page, PS_CONVERTING, block)) continue;
      if (need != NEED_FAILED && promise(bi, page, block, need)) continue;
      dropPromises(bi, page, first, last);
      return need == NEED_FAILED ? -EIO : -ENOSPC;
    }
    if (need == NEED_FAILED) {
      dropPromises(bi, page, first, last);
      return -EIO;
    }
  }
  return 0;
}

/** Takes back what blocks were promised that did not become dirty. */
export function dropPromises(bi: BlockInode, page: Page, first: u32, last: u32): void {
  for (let block = first; block < last; block++) if (!psTest(page, PS_DIRTY, block)) dropPromise(bi, page, block);
  metaTrim(bi);
}

function dropPromise(bi: BlockInode, page: Page, block: u32): void {
  if (psTest(page, PS_DELALLOC, block)) {
    psClear(page, PS_DELALLOC, block);
    spaceRelease(bi.fs, 1);
    assert(bi.delalloc != 0, "[ps-2] delalloc blocks are counted");
    bi.delalloc--;
  }
  if (psTest(page, PS_CONVERTING, block)) {
    psClear(page, PS_CONVERTING, block);
    assert(bi.converting != 0, "[ps-2] blocks to convert are counted");
    bi.converting--;
  }
}

/** Blocks [first, last) of a locked page hold new bytes; they have been promised. */
export function dirtyBlocks(page: Page, first: u32, last: u32): void {
  for (let block = first; block < last; block++) {
    psSet(page, PS_DIRTY, block);
    psSet(page, PS_UPTODATE, block);
  }
  setPageDirty(page);
}

/** True when every block of a locked page below i_size is dirty, so has its space, and the page is dirty. */
export function isPrepared(bi: BlockInode, page: Page, sizeBytes: u64): bool {
  const reach = pageReach(bi.fs, page, sizeBytes);
  const want: u32 = (1 << reach) - 1;
  return page.test(PG_DIRTY) && reach != 0 && (psMask(page, PS_DIRTY) & want) == want;
}

/** Bytes from the start of the page whose blocks are all dirty: what page_mkwrite may call prepared. */
export function preparedBytes(fs: BlockFs, page: Page): u32 {
  return ctz(~psMask(page, PS_DIRTY)) << fs.blockShift;
}

/** ->invalidatePage: bytes [offset, offset + len) of a locked page go. Whole blocks lose their promises and their dirt. */
export function pageInvalidate(page: Page, offset: u32, lenBytes: u32): void {
  const bi = blockInodeOfPage(page);
  const fs = bi.fs;
  const first = (offset + fs.blockSize - 1) >> fs.blockShift;
  const last = (offset + lenBytes) >> fs.blockShift;
  for (let block = first; block < last; block++) {
    psClear(page, PS_DIRTY, block);
    dropPromise(bi, page, block);
    // The bytes are zero now, as those of a hole.
    if (lenBytes != PAGE_SIZE) psSet(page, PS_UPTODATE, block);
  }
  metaTrim(bi);
  if (lenBytes == PAGE_SIZE) page.priv = 0;
  else if (first < last) pageUnprepare(page);
}

/** ->releasePage: a clean page may go, unless a completion still has to make the disk say where its bytes are. */
export function pageReleasable(page: Page): i32 {
  const bi = blockInodeOfPage(page);
  if (bi.pendingUnits != 0 || (<u32>page.priv & ~0xff) != 0) return 0;
  page.priv = 0;
  return 1;
}
