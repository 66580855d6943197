/*
 * What the kernel keeps for a filesystem that the host runs: blocks, the ledger of reservations, a map from page to block for
 * each inode. The host keeps nothing between two calls, so that a snapshot of memory is a snapshot of the filesystem.
 *
 *     a block's life in the ledger (total = free + reserved + used)      free   reserved   used
 *       reserveBlocks(1)      page_mkwrite or write                       -1      +1
 *       allocBlock            writeback gives it a place                          -1        +1
 *       freeBlock             truncate, unlink                            +1                -1
 *       releaseBlocks(1)      the page went before writeback              +1      -1
 *
 * Interface: ScriptedSuper, ScriptedInode, spaceInit, reserveBlocks, releaseBlocks, allocBlock, freeBlock, mapGet, mapSet, mapNext,
 *            pageReserve, pageReleaseReserved, checkScripted.
 * Invariants:
 *   [sc-1] free + reserved + used == total; the bitmap has `used` bits set.
 *   [sc-2] a page with PG_PRIVATE holds one reserved block; nothing else does for longer than a call.
 *   [sc-3] what was reserved can be allocated: allocBlock with a reservation never fails.
 * Locks: each function is one emulated step.
 * Why not a map in JavaScript: [dt-1] and snapshots are of linear memory (DESIGN D2).
 */
import { EINVAL, ENOMEM, ENOSPC } from "../../lib/errno";
import { SITE_SPACE, shouldFail } from "../../lib/fault-sites";
import { bitmapClear, bitmapFindNextZero, bitmapSet, bitmapTest, bitmapWeight } from "../../lib/bitmap";
import { XArray, XaCursor, xaErase, xaFind, xaInit, xaLoad, xaStore } from "../../lib/xarray";
import { PAGE_SIZE } from "../../memlayout";
import { GFP_KERNEL, GFP_ZERO, allocPage, putPage } from "../../mm/page-alloc";
import { PG_PRIVATE, Page, isNullPage, pageAddress } from "../../mm/page";
import { mmState } from "../../mm/state";
import { Inode } from "../inode";
import { SuperBlock } from "../super";

/** Blocks that one frame's bitmap covers. */
export const SCRIPTED_MAX_BLOCKS: u32 = PAGE_SIZE * 8;

@unmanaged
export class ScriptedSuper {
  /** Index in the SCRIPTED_FS table. */
  fs: u32;
  total: u32;
  used: u32;
  reserved: u32;
  bitmap: Page;
  /** Where the next search for a free block begins. */
  cursor: u32;
  pad0: u32;
  pad1: u32;
}

@unmanaged
export class ScriptedInode {
  /** Page offset to block + 1. */
  map0: u64;
  map1: u64;

  get map(): XArray {
    return changetype<XArray>(changetype<usize>(this));
  }
}

export function scriptedSuper(sb: SuperBlock): ScriptedSuper {
  return changetype<ScriptedSuper>(sb.fsPrivate);
}

export function scriptedInode(inode: Inode): ScriptedInode {
  return changetype<ScriptedInode>(inode.fsPrivate);
}

/** Returns 0 or -errno. */
export function spaceInit(s: ScriptedSuper, blocks: u32): i32 {
  if (blocks == 0 || blocks > SCRIPTED_MAX_BLOCKS) return -EINVAL;
  const page = allocPage(GFP_KERNEL | GFP_ZERO);
  if (isNullPage(page)) return -ENOMEM;
  s.bitmap = page;
  s.total = blocks;
  s.used = 0;
  s.reserved = 0;
  s.cursor = 0;
  return 0;
}

export function spaceDrop(s: ScriptedSuper): void {
  assert(s.used == 0 && s.reserved == 0, "[mk-6] an unmounted filesystem holds no block");
  putPage(s.bitmap);
}

export function mapInit(inode: ScriptedInode): void {
  xaInit(inode.map);
}

export function reserveBlocks(s: ScriptedSuper, blocks: u32): i32 {
  if (blocks != 0 && shouldFail(SITE_SPACE)) return -ENOSPC;
  if (blocks > s.total - s.used - s.reserved) return -ENOSPC;
  s.reserved += blocks;
  return 0;
}

export function releaseBlocks(s: ScriptedSuper, blocks: u32): void {
  assert(blocks <= s.reserved, "[sc-1] no more is given back than was reserved");
  s.reserved -= blocks;
}

/** A block for one reservation of the caller's ([sc-3]). */
export function allocBlock(s: ScriptedSuper): u32 {
  assert(s.reserved != 0 && s.used < s.total, "[sc-3] a block is allocated on a reservation");
  const bits = pageAddress(s.bitmap);
  let block = bitmapFindNextZero(bits, s.total, s.cursor);
  if (block >= s.total) block = bitmapFindNextZero(bits, s.total, 0);
  assert(block < s.total, "[sc-1] the bitmap has the free blocks of the ledger");
  bitmapSet(bits, block);
  s.cursor = block + 1;
  s.reserved--;
  s.used++;
  return block;
}

export function freeBlock(s: ScriptedSuper, block: u32): i32 {
  const bits = pageAddress(s.bitmap);
  if (block >= s.total || !bitmapTest(bits, block)) return -EINVAL;
  bitmapClear(bits, block);
  s.used--;
  return 0;
}

/** The block of a page, or -1. */
export function mapGet(inode: ScriptedInode, pgoff: u32): i64 {
  const entry = <u32>xaLoad(inode.map, pgoff);
  return entry == 0 ? -1 : <i64>(entry - 1);
}

/** Sets the block of a page; -1 makes a hole. Returns 0 or -ENOMEM. */
export function mapSet(inode: ScriptedInode, pgoff: u32, block: i64): i32 {
  if (block >= 0) return xaStore(inode.map, pgoff, <usize>block + 1);
  if (xaLoad(inode.map, pgoff) != 0) xaErase(inode.map, pgoff);
  return 0;
}

/** The first mapped page offset from `pgoff` on, or -1. */
export function mapNext(inode: ScriptedInode, pgoff: u32): i64 {
  const cursor = changetype<XaCursor>(mmState().cursor);
  return xaFind(inode.map, pgoff, u32.MAX_VALUE, cursor) == 0 ? -1 : <i64>cursor.index;
}

/** One of the caller's reserved blocks becomes the page's; the page had one already: the caller's goes back. */
export function pageReserve(s: ScriptedSuper, page: Page): void {
  if (page.test(PG_PRIVATE)) releaseBlocks(s, 1);
  else page.set(PG_PRIVATE);
}

/** The page's reservation is used up, or goes back with `release`. */
export function pageReleaseReserved(s: ScriptedSuper, page: Page, release: bool): void {
  if (!page.test(PG_PRIVATE)) return;
  page.clear(PG_PRIVATE);
  if (release) releaseBlocks(s, 1);
}

export function checkScripted(s: ScriptedSuper): void {
  assert(s.used + s.reserved <= s.total, "[sc-1] no more is promised than there is");
  assert(bitmapWeight(pageAddress(s.bitmap), s.total) == s.used, "[sc-1] the bitmap has as many blocks as the ledger");
}
