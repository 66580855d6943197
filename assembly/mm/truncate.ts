/*
 * Taking pages out of a file's cache: truncate, hole punch, eviction of an inode.
 *
 *     truncate (SCENARIOS 2.8): i_size first -> unmap beyond it -> per page under its lock: wait for writeback, unmap, give back
 *     reservations, cancel dirty, out of the xarray (mapping = null) -> unmap again: a fault may have come in between
 *
 * Interface: unmapMappingRange, truncatePageCache, punchPageCache, truncateAllPages, pagecacheIsizeExtended.
 * Invariants:
 *   [tr-1] after truncatePageCache(size) no page at or beyond size is cached or mapped, and the tail of the last page is zero.
 *   [tr-2] a page leaves the cache only locked, unmapped and clean.
 * Locks: the caller holds i_rwsem and invalidate_lock (write); page lock and i_mmap_rwsem are taken here.
 * Why not i_size last: a fault between would bring back a page beyond the new end.
 */
import { XaCursor, xaFind } from "../lib/xarray";
import { IntervalNode, itFirstOverlap, itNextOverlap } from "../lib/interval-tree";
import { M_TRUNCATE_NO_SECOND_UNMAP, M_TRUNCATE_NO_WAIT, M_TRUNCATE_SKIPS_MAPPED, mutant } from "../lib/mutant";
import { PAGE_SHIFT, PAGE_SIZE } from "../memlayout";
import { downRead, upRead } from "../sched/rwsem";
import { AddressSpace } from "./address-space";
import { deleteFromPageCache, filePages } from "./filemap";
import { MmStruct } from "./mm-struct";
import { putPage } from "./page-alloc";
import { Page, getPage, lockPage, pageAddress, unlockPage, waitOnPageWriteback } from "./page";
import { cancelDirtyPage } from "./page-writeback";
import { pageMkclean, pageUnmap } from "./rmap";
import { mmState } from "./state";
import { vmaAddress, vmaOfShare, vmaPages } from "./vma";
import { zapFilePages, zapPageRange } from "./zap";

/** Unmaps [startPgoff, endPgoff] of the file from every page table; private copies of the pages only with evenCows. */
export function unmapMappingRange(mapping: AddressSpace, startPgoff: u32, endPgoff: u32, evenCows: bool): void {
  if (startPgoff > endPgoff) return;
  downRead(mapping.iMmapRwsem);
  let node = itFirstOverlap(mapping.iMmap, startPgoff, endPgoff);
  while (changetype<usize>(node) != 0) {
    unmapInVma(node, startPgoff, endPgoff, evenCows);
    node = itNextOverlap(node, startPgoff, endPgoff);
  }
  upRead(mapping.iMmapRwsem);
}

function unmapInVma(node: IntervalNode, startPgoff: u32, endPgoff: u32, evenCows: bool): void {
  const vma = vmaOfShare(changetype<usize>(node));
  const lastPgoff = vma.pgoff + vmaPages(vma) - 1;
  const first = startPgoff > vma.pgoff ? startPgoff : vma.pgoff;
  const last = endPgoff < lastPgoff ? endPgoff : lastPgoff;
  if (first > last) return;
  const start = vmaAddress(vma, first);
  const end = vmaAddress(vma, last) + PAGE_SIZE;
  if (evenCows) zapPageRange(changetype<MmStruct>(vma.mm), vma, start, end);
  else zapFilePages(changetype<MmStruct>(vma.mm), vma, start, end);
}

/** One page goes. The caller holds a reference and the page lock; true when it was still in the mapping. */
function truncatePage(mapping: AddressSpace, page: Page): bool {
  if (page.mapping != changetype<usize>(mapping)) return false;
  if (!(MUTANTS && mutant(M_TRUNCATE_NO_WAIT))) waitOnPageWriteback(page);
  if (page.mapcount != 0 && !(MUTANTS && mutant(M_TRUNCATE_SKIPS_MAPPED))) pageUnmap(page);
  const f = mapping.ops.invalidatePage;
  if (changetype<usize>(f) != 0) f(page, 0, PAGE_SIZE);
  cancelDirtyPage(page);
  deleteFromPageCache(page);
  return true;
}

/** Drops the cached pages [start, end]. */
function truncateRange(mapping: AddressSpace, start: u32, end: u32): void {
  let next = start;
  while (true) {
    const cursor = changetype<XaCursor>(mmState().cursor);
    const at = xaFind(mapping.pages, next, end, cursor);
    if (at == 0) return;
    const index = cursor.index;
    const page = changetype<Page>(at);
    getPage(page);
    lockPage(page);
    truncatePage(mapping, page);
    unlockPage(page);
    putPage(page);
    if (index == end) return;
    next = index + 1;
  }
}

/** Zeroes [from, to) of one cached page, so that what an extension or a hole shows is zero. */
function zeroPartial(mapping: AddressSpace, pgoff: u32, from: u32, to: u32): void {
  const page = changetype<Page>(xaFind(mapping.pages, pgoff, pgoff, changetype<XaCursor>(mmState().cursor)));
  if (changetype<usize>(page) == 0) return;
  getPage(page);
  lockPage(page);
  if (page.mapping == changetype<usize>(mapping)) {
    waitOnPageWriteback(page);
    memory.fill(pageAddress(page) + from, 0, to - from);
    const f = mapping.ops.invalidatePage;
    if (changetype<usize>(f) != 0) f(page, from, to - from);
  }
  unlockPage(page);
  putPage(page);
}

/** The file ends at newSizeBytes now. Preconditions: i_size (mapping.sizeBytes) is that already. */
export function truncatePageCache(mapping: AddressSpace, newSizeBytes: u64): void {
  assert(mapping.sizeBytes == newSizeBytes, "[tr-1] i_size is written first");
  const first = <u32>filePages(newSizeBytes);
  unmapMappingRange(mapping, first, u32.MAX_VALUE, true);
  truncateRange(mapping, first, u32.MAX_VALUE);
  // A private mapping may have faulted a page in between.
  if (!(MUTANTS && mutant(M_TRUNCATE_NO_SECOND_UNMAP))) unmapMappingRange(mapping, first, u32.MAX_VALUE, true);
  const tail = <u32>newSizeBytes & (PAGE_SIZE - 1);
  if (tail != 0) zeroPartial(mapping, <u32>(newSizeBytes >> PAGE_SHIFT), tail, PAGE_SIZE);
}

/** [startBytes, endBytes) becomes a hole: whole pages go, the edges are zeroed. */
export function punchPageCache(mapping: AddressSpace, startBytes: u64, endBytes: u64): void {
  if (startBytes >= endBytes) return;
  const first = <u32>filePages(startBytes);
  const last = <u32>(endBytes >> PAGE_SHIFT);
  if (first < last) {
    unmapMappingRange(mapping, first, last - 1, false);
    truncateRange(mapping, first, last - 1);
  }
  const startPage = <u32>(startBytes >> PAGE_SHIFT);
  const endPage = <u32>(endBytes >> PAGE_SHIFT);
  const from = <u32>startBytes & (PAGE_SIZE - 1);
  const to = <u32>endBytes & (PAGE_SIZE - 1);
  if (startPage == endPage) {
    zeroPartial(mapping, startPage, from, to);
    return;
  }
  if (from != 0) zeroPartial(mapping, startPage, from, PAGE_SIZE);
  if (to != 0) zeroPartial(mapping, endPage, 0, to);
}

/** The inode goes: every page goes. */
export function truncateAllPages(mapping: AddressSpace): void {
  truncateRange(mapping, 0, u32.MAX_VALUE);
  assert(mapping.nrPages == 0, "[tr-1] an evicted mapping is empty");
}

/**
 * i_size grew inside the page that held the old end: its PTEs are write-protected, so that page_mkwrite runs again for the
 * new blocks (SCENARIOS 2.8). The page stays dirty.
 */
export function pagecacheIsizeExtended(mapping: AddressSpace, oldSizeBytes: u64): void {
  if ((<u32>oldSizeBytes & (PAGE_SIZE - 1)) == 0) return;
  const pgoff = <u32>(oldSizeBytes >> PAGE_SHIFT);
  const page = changetype<Page>(xaFind(mapping.pages, pgoff, pgoff, changetype<XaCursor>(mmState().cursor)));
  if (changetype<usize>(page) == 0) return;
  getPage(page);
  lockPage(page);
  if (page.mapping == changetype<usize>(mapping)) pageMkclean(page);
  unlockPage(page);
  putPage(page);
}
