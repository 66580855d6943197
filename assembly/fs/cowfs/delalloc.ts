/*
 * Delalloc: blocks of pages that are dirty, have space promised, and no place on the disk yet.
 *
 *     clean --space reserved, under the page lock: delallocSet--> delalloc --writeback: delallocTake--> part of an ordered extent
 *                                                                    \--truncate, punch: delallocDrop--> gone, space given back
 *
 * Interface: delallocSet, delallocTake, delallocDrop, blocksOfRange, preparedBytes, cowfsInvalidatePage, cowfsReleasePage,
 *            checkPrepared.
 * Invariants:
 *   [ps-1] a dirty page has a delalloc bit, a page with a delalloc bit is dirty.
 *   [mk-1] setting a bit that is set costs nothing: no block is reserved twice (SCENARIOS S18).
 *   [mk-6] dataReserved - dataAllocated and metaBlocks are the bits set, and the blocks of ordered extents under way.
 * Locks: the page lock.
 * Why not an extent tree of states, as btrfs: the bits are where the pages are, and a page is what a fault asks about.
 */
import { listAddTail, listDelInit } from "../../lib/list";
import { M_DELALLOC_KEPT, M_DELALLOC_TWICE, mutant } from "../../lib/mutant";
import { PAGE_SIZE } from "../../memlayout";
import { AddressSpace } from "../../mm/address-space";
import { PG_DIRTY, Page, pageLocked } from "../../mm/page";
import { cancelDirtyPage } from "../../mm/page-writeback";
import { pageUnprepare } from "../../mm/writeback";
import { C_DELALLOC, chargeCost } from "../../sched/cost";
import { Inode, inodeOfMapping } from "../inode";
import { cowInode, infoOf } from "./inode-item";
import { BLOCK_BITS, delallocBits } from "./page-state";
import { releaseSpace } from "./reserve";
import { CowInode, CowfsInfo } from "./state";

/** Bits of the blocks that [from, to) of a page touches. */
export function blocksOfRange(info: CowfsInfo, from: u32, to: u32): u32 {
  assert(from < to && to <= PAGE_SIZE, "a range of a page");
  const first = from >> info.blockShift;
  const last = (to - 1) >> info.blockShift;
  return ((1 << (last + 1)) - 1) & ~((1 << first) - 1);
}

/** Bits of the blocks of a page that lie wholly or partly below sizeBytes. */
export function blocksBelow(info: CowfsInfo, pgoff: u32, sizeBytes: u64): u32 {
  const start = (<u64>pgoff) << 12;
  if (sizeBytes <= start) return 0;
  const left = sizeBytes - start;
  return left >= PAGE_SIZE ? blocksOfRange(info, 0, PAGE_SIZE) : blocksOfRange(info, 0, <u32>left);
}

function countChanged(info: CowfsInfo, ci: CowInode, blocks: i32): void {
  const before = ci.delallocBlocks;
  assert(<i32>before + blocks >= 0, "[mk-6] a delalloc block goes once");
  ci.delallocBlocks += blocks;
  if (before == 0 && blocks != 0) {
    listAddTail(ci.delallocLink, info.delallocList);
    info.delallocInodes++;
  } else if (before != 0 && ci.delallocBlocks == 0) {
    listDelInit(ci.delallocLink);
    info.delallocInodes--;
  }
}

/** The blocks are delalloc from now on. Returns how many were not before: so many reservations are used. */
export function delallocSet(inode: Inode, page: Page, bits: u32): u32 {
  assert(pageLocked(page), "[ps-1] delalloc changes under the page lock");
  chargeCost(C_DELALLOC);
  const added = MUTANTS && mutant(M_DELALLOC_TWICE) ? bits : bits & ~delallocBits(page);
  const blocks = <u32>popcnt(added);
  page.priv |= added;
  if (blocks != 0) countChanged(infoOf(inode), cowInode(inode), blocks);
  return blocks;
}

/** Writeback gives the blocks a place; their reservation goes on with the ordered extent. */
export function delallocTake(inode: Inode, page: Page, bits: u32): void {
  assert(pageLocked(page) && (delallocBits(page) & bits) == bits, "[ps-1] delalloc blocks are written");
  page.priv &= ~bits;
  countChanged(infoOf(inode), cowInode(inode), -(<i32>popcnt(bits)));
}

/** Delalloc blocks are thrown away: their space is given back. */
export function delallocDrop(inode: Inode, page: Page, bits: u32): void {
  assert(pageLocked(page), "[ps-1] delalloc changes under the page lock");
  const gone = delallocBits(page) & bits;
  if (gone == 0) return;
  if (!(MUTANTS && mutant(M_DELALLOC_KEPT))) page.priv &= ~gone;
  const blocks = <u32>popcnt(gone);
  countChanged(infoOf(inode), cowInode(inode), -(<i32>blocks));
  releaseSpace(infoOf(inode), blocks, blocks);
}

/** Bytes of the page, from its start, whose blocks all have space: what a store may reach without asking again (S8, S9). */
export function preparedBytes(info: CowfsInfo, page: Page): u32 {
  const free = ~delallocBits(page) & BLOCK_BITS;
  const blocks: u32 = free == 0 ? 8 : <u32>ctz(free);
  const bytes = blocks << info.blockShift;
  return bytes < PAGE_SIZE ? bytes : PAGE_SIZE;
}

/** AddressSpaceOperations.invalidatePage: [offset, offset + len) of the page goes; only whole blocks do. Does not block. */
export function cowfsInvalidatePage(page: Page, offset: u32, lenBytes: u32): void {
  const inode = inodeOfMapping(changetype<AddressSpace>(page.mapping));
  const info = infoOf(inode);
  const size = info.blockSize;
  const first = (offset + size - 1) / size;
  const end = (offset + lenBytes) / size;
  if (first >= end) return;
  const bits = ((1 << end) - 1) & ~((1 << first) - 1);
  if ((delallocBits(page) & bits) == 0) return;
  delallocDrop(inode, page, bits);
  if (lenBytes == PAGE_SIZE) return;
  // What was prepared is so no more; and without a block to write the page is clean. No PTE lets stores through: those of a page
  // that is punched were write-protected, and the block that holds a new end of the file keeps its bit.
  pageUnprepare(page);
  if (delallocBits(page) == 0) cancelDirtyPage(page);
}

/** AddressSpaceOperations.releasePage: a page that owes nothing may go. */
export function cowfsReleasePage(page: Page): i32 {
  return page.priv == 0 ? 1 : 0;
}

/** [mk-1] [ps-1]: a page in the cache against its bits; `writable`: some PTE lets stores through. */
export function checkPrepared(page: Page, writable: bool): void {
  const inode = inodeOfMapping(changetype<AddressSpace>(page.mapping));
  const bits = delallocBits(page);
  assert((bits != 0) == page.test(PG_DIRTY), "[ps-1] a page is dirty exactly when it has delalloc blocks");
  if (!writable) return;
  const below = blocksBelow(infoOf(inode), page.index, inode.mapping.sizeBytes);
  assert((bits & below) == below, "[mk-1] a writable page has a block below i_size without space");
}
