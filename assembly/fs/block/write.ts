/*
 * write(2) into cached pages, and what an extension of a file needs first.
 *
 *     writeBegin:  extends? the old end is zeroed -> page locked -> partly written blocks read in -> promises (delalloc), or blocks
 *                  allocated under a handle (nodelalloc) -> ENOSPC: everything let go, spaceShrink, once more
 *     writeEnd:    what was copied is dirty, what was promised for nothing given back -> i_size
 *
 * Interface: blockWriteBegin, blockWriteEnd, extendPrepare, sizeExtend, allocateBlocks, allocateCredits.
 * Invariants:
 *   [ps-1] a block is dirty only when it has space.
 *   [wr-1] what lies between the old end of a file and what extends it reads as zero, in memory and after a crash.
 * Locks: i_rwsem is held for writing; handle (nodelalloc) -> page lock -> i_data_sem.
 * Why not zero a file's end whenever it moves down: what is behind it matters only when it moves up again.
 */
import { EAGAIN, EIO, ENOMEM, ENOSPC, isErr, ptrErr } from "../../lib/errno";
import { M_EXTEND_NO_MKCLEAN, mutant } from "../../lib/mutant";
import { PAGE_SHIFT, PAGE_SIZE } from "../../memlayout";
import { AddressSpace, File } from "../../mm/address-space";
import { findGetPage, grabCachePage } from "../../mm/filemap";
import { putPage } from "../../mm/page-alloc";
import { PG_UPTODATE, Page, isNullPage, lockPage, pageAddress, pageLocked, unlockPage } from "../../mm/page";
import { setPageDirty } from "../../mm/page-writeback";
import { pageMkclean } from "../../mm/rmap";
import { filemapCheckErrors, filemapWriteAndWait, pagePrepare } from "../../mm/writeback";
import { downRead, downWrite, upRead, upWrite } from "../../sched/rwsem";
import { iSizeWrite, inodeOfMapping } from "../inode";
import {
  MAP_ERROR, MAP_HOLE, MAP_UNWRITTEN, MAP_WRITTEN, extentCredits, extentInsert, extentLookup, mapDisk, mapLength, mapState, metaClaim,
  metaDrop,
} from "./extents";
import { daxSizeExtend, daxZeroBlock, isDax } from "./dax-image";
import { failChange, inodeWrite } from "./inode-table";
import { journalStart, journalStop } from "./journal";
import {
  PS_DELALLOC, PS_DIRTY, PS_UPTODATE, allBlocks, dirtyBlocks, dropPromises, firstBlock, preparedBytes, promiseBlocks, psMask, psTest,
} from "./page-state";
import { makeUptodate } from "./read";
import { spaceShrink } from "./reserve";
import { bitmapUpdate, runLength, runStart, spaceRelease, spaceReserve, spaceTake } from "./space";
import { BlockInode, Handle, OPT_NODELALLOC, blockInodeOf } from "./state";

/** Tries of an operation that lacks space: the second and third come after a flush and a commit. */
export const SPACE_TRIES: u32 = 3;

/** Credits of one run of allocateBlocks. */
export function allocateCredits(bi: BlockInode): u32 {
  return extentCredits(bi, 1) + 1;
}

/**
 * nodelalloc: holes among blocks [first, last) of a locked page get unwritten blocks at once, under the handle. Returns 0,
 * -ENOSPC or -EAGAIN (the handle's credits are used up) with what was allocated in place, or -errno with the filesystem shut down.
 */
export function allocateBlocks(handle: Handle, bi: BlockInode, page: Page, first: u32, last: u32): i32 {
  const base = firstBlock(bi.fs, page);
  let block = first;
  let changed = false;
  let error: i32 = 0;
  while (block < last && error == 0) {
    downRead(bi.sem);
    const map = extentLookup(bi, base + block);
    upRead(bi.sem);
    let n = mapLength(map) < last - block ? mapLength(map) : last - block;
    if (mapState(map) == MAP_ERROR) return failChange(bi.fs, -EIO);
    if (mapState(map) == MAP_HOLE && !psTest(page, PS_DELALLOC, block)) {
      if (changed && handle.credits < allocateCredits(bi)) {
        error = -EAGAIN;
        break;
      }
      const got = allocateRun(handle, bi, base + block, n, MAP_UNWRITTEN);
      if (got < 0) error = got;
      else n = <u32>got;
      changed = true;
    }
    block += n;
  }
  if (changed && (error == 0 || error == -ENOSPC || error == -EAGAIN)) {
    const written = inodeWrite(handle, bi, true);
    if (written != 0) error = failChange(bi.fs, written);
  }
  return error;
}

/** Up to n blocks for a hole of the file: unwritten, or (DAX) written and full of zeros. Returns how many, or -errno. */
export function allocateRun(handle: Handle, bi: BlockInode, block: u32, n: u32, state: u32): i32 {
  const fs = bi.fs;
  if (!spaceReserve(fs, n)) return -ENOSPC;
  if (!metaClaim(bi)) {
    spaceRelease(fs, n);
    return -ENOSPC;
  }
  const run = spaceTake(fs, n, goalOf(bi, block));
  const length = runLength(run);
  spaceRelease(fs, n - length);
  let error = bitmapUpdate(handle, runStart(run), length, true);
  // Before anybody can find them.
  if (state == MAP_WRITTEN) for (let i: u32 = 0; i < length; i++) daxZeroBlock(fs, runStart(run) + i);
  downWrite(bi.sem);
  if (error == 0) error = extentInsert(handle, bi, block, runStart(run), length, state);
  upWrite(bi.sem);
  metaDrop(bi);
  if (error != 0) return failChange(fs, error);
  bi.dataBlocks += length;
  return <i32>length;
}

/** Where the next block of the file would best lie: behind the one before it; 0: anywhere. */
export function goalOf(bi: BlockInode, block: u32): u32 {
  if (block == 0) return 0;
  downRead(bi.sem);
  const map = extentLookup(bi, block - 1);
  upRead(bi.sem);
  return mapState(map) == MAP_WRITTEN || mapState(map) == MAP_UNWRITTEN ? mapDisk(map) + 1 : 0;
}

/**
 * The file will be longer than its i_size: what its last page holds behind the end becomes zero, on the disk as well where it may
 * be something else. Returns 0 or -errno. Preconditions: i_rwsem is held for writing.
 */
export function extendPrepare(bi: BlockInode): i32 {
  const mapping = bi.inode.mapping;
  const size = mapping.sizeBytes;
  const offset = <u32>size & (PAGE_SIZE - 1);
  if (offset == 0 || isDax(bi)) return 0;
  const inBlock = (<u32>size & (bi.fs.blockSize - 1)) != 0;
  const unsafe = bi.tailUnsafe != 0 && inBlock && isWritten(bi, <u32>(size >> bi.fs.blockShift));
  const page = unsafe ? grabCachePage(mapping, <u32>(size >> PAGE_SHIFT)) : lockIfCached(mapping, <u32>(size >> PAGE_SHIFT));
  if (isNullPage(page)) return unsafe ? -ENOMEM : 0;
  let error = unsafe ? makeUptodate(page) : 0;
  if (error == 0) {
    // A store that came before is dirty and stays so; one that comes now runs page_mkwrite again.
    if (!(MUTANTS && mutant(M_EXTEND_NO_MKCLEAN)) && pageMkclean(page) != 0) setPageDirty(page);
    memory.fill(pageAddress(page) + offset, 0, PAGE_SIZE - offset);
    const block = offset >> bi.fs.blockShift;
    if (unsafe) error = promiseBlocks(bi, page, block, block + 1);
    if (unsafe && error == 0) dirtyBlocks(page, block, block + 1);
  }
  unlockPage(page);
  putPage(page);
  if (!unsafe || error != 0) return error;
  error = filemapWriteAndWait(mapping, <u32>(size >> PAGE_SHIFT), <u32>(size >> PAGE_SHIFT));
  if (error == 0) error = filemapCheckErrors(mapping);
  if (error == 0) bi.tailUnsafe = 0;
  return error;
}

/**
 * i_size grows, and in the same step under the lock of the page with the old end what stores put behind that since extendPrepare is
 * gone: their blocks have no space, and would be zero on the disk ([wr-1]). Its PTEs are write-protected ([mk-1]).
 */
export function sizeExtend(bi: BlockInode, sizeBytes: u64): void {
  const mapping = bi.inode.mapping;
  const before = mapping.sizeBytes;
  assert(sizeBytes >= before, "[wr-1] a size that shrinks is a truncation");
  if (isDax(bi)) {
    daxSizeExtend(bi, sizeBytes, sizeBytes);
    return;
  }
  const offset = <u32>before & (PAGE_SIZE - 1);
  const page = offset != 0 ? lockIfCached(mapping, <u32>(before >> PAGE_SHIFT)) : changetype<Page>(0);
  if (!isNullPage(page)) zeroBehind(page, offset, PAGE_SIZE);
  iSizeWrite(bi.inode, sizeBytes);
  if (isNullPage(page)) return;
  unlockPage(page);
  putPage(page);
}

/** Bytes [from, to) of a locked page become zero, whatever stores are under way. */
function zeroBehind(page: Page, from: u32, to: u32): void {
  assert(pageLocked(page), "[wr-1] a tail is zeroed under the page lock");
  if (!(MUTANTS && mutant(M_EXTEND_NO_MKCLEAN)) && pageMkclean(page) != 0) setPageDirty(page);
  if (from < to) memory.fill(pageAddress(page) + from, 0, to - from);
}

/** As sizeExtend, by a write to another page, whose lock does not nest: the size has grown already. */
function zeroOldTail(mapping: AddressSpace, before: u64): void {
  const page = lockIfCached(mapping, <u32>(before >> PAGE_SHIFT));
  if (isNullPage(page)) return;
  zeroBehind(page, <u32>before & (PAGE_SIZE - 1), PAGE_SIZE);
  unlockPage(page);
  putPage(page);
}

function isWritten(bi: BlockInode, block: u32): bool {
  downRead(bi.sem);
  const map = extentLookup(bi, block);
  upRead(bi.sem);
  return mapState(map) == MAP_WRITTEN;
}

/** The page if it is cached: locked, referenced. */
export function lockIfCached(mapping: AddressSpace, pgoff: u32): Page {
  const page = findGetPage(mapping, pgoff);
  if (isNullPage(page)) return page;
  lockPage(page);
  if (page.mapping == changetype<usize>(mapping)) return page;
  unlockPage(page);
  putPage(page);
  return changetype<Page>(0);
}

/** Blocks of the page that a write of [offset, end) only partly covers must be uptodate. The page stays locked. */
function readEdges(bi: BlockInode, page: Page, offset: u32, end: u32): i32 {
  const fs = bi.fs;
  const mask = fs.blockSize - 1;
  const first = offset >> fs.blockShift;
  const last = (end - 1) >> fs.blockShift;
  const firstPartly = (offset & mask) != 0 || (first == last && (end & mask) != 0);
  const lastPartly = (end & mask) != 0;
  if ((!firstPartly || psTest(page, PS_UPTODATE, first)) && (!lastPartly || psTest(page, PS_UPTODATE, last))) return 0;
  return makeUptodate(page);
}

function beginLocked(handle: Handle, bi: BlockInode, page: Page, offset: u32, end: u32): i32 {
  assert(pageLocked(page), "[ps-1] blocks are promised under the page lock");
  const fs = bi.fs;
  let error = readEdges(bi, page, offset, end);
  const first = offset >> fs.blockShift;
  const last = ((end - 1) >> fs.blockShift) + 1;
  if (error == 0 && changetype<usize>(handle) != 0) error = allocateBlocks(handle, bi, page, first, last);
  return error != 0 ? error : promiseBlocks(bi, page, first, last);
}

/** ->writeBegin: the page for [pos, pos + len), locked, its blocks promised, at *pagePtr. Returns 0 or -errno. */
export function blockWriteBegin(file: File, mapping: AddressSpace, pos: u64, lenBytes: u32, pagePtr: usize): i32 {
  const bi = blockInodeOf(inodeOfMapping(mapping));
  assert(file.refcount != 0 && lenBytes != 0, "an open file is written to");
  const offset = <u32>pos & (PAGE_SIZE - 1);
  let tries: u32 = 1;
  while (true) {
    let error: i32 = pos + lenBytes > mapping.sizeBytes ? extendPrepare(bi) : 0;
    let handle = changetype<Handle>(0);
    if (error == 0 && (bi.fs.options & OPT_NODELALLOC) != 0) {
      const got = journalStart(bi.fs, allocateCredits(bi));
      if (isErr(got)) return ptrErr(got);
      handle = changetype<Handle>(got);
    }
    if (error == 0) error = beginPage(handle, bi, mapping, <u32>(pos >> PAGE_SHIFT), offset, offset + lenBytes, pagePtr);
    if (changetype<usize>(handle) != 0) journalStop(handle);
    if (error == -EAGAIN) continue;
    if (error != -ENOSPC || tries++ == SPACE_TRIES || !spaceShrink(bi.fs)) return error;
  }
}

function beginPage(
  handle: Handle, bi: BlockInode, mapping: AddressSpace, pgoff: u32, offset: u32, end: u32, pagePtr: usize,
): i32 {
  const page = grabCachePage(mapping, pgoff);
  if (isNullPage(page)) return -ENOMEM;
  const error = beginLocked(handle, bi, page, offset, end);
  if (error == 0) {
    store<u32>(pagePtr, <u32>changetype<usize>(page));
    return 0;
  }
  unlockPage(page);
  putPage(page);
  return error;
}

/** ->writeEnd: dirties what was copied and gives back the rest. Returns the bytes accepted. */
export function blockWriteEnd(file: File, mapping: AddressSpace, pos: u64, lenBytes: u32, copied: u32, page: Page): i32 {
  const inode = inodeOfMapping(mapping);
  const bi = blockInodeOf(inode);
  const fs = bi.fs;
  assert(file.refcount != 0, "the file stays open while it is written");
  const offset = <u32>pos & (PAGE_SIZE - 1);
  const first = offset >> fs.blockShift;
  const last = ((offset + lenBytes - 1) >> fs.blockShift) + 1;
  let accepted = copied;
  const cut = (offset + copied) >> fs.blockShift;
  // A block that was to be written whole, was not, and holds nothing else: it does not count.
  if (copied < lenBytes && ((offset + copied) & (fs.blockSize - 1)) != 0 && !psTest(page, PS_UPTODATE, cut)) {
    const start = cut << fs.blockShift;
    accepted = start > offset ? start - offset : 0;
  }
  if (accepted != 0) dirtyBlocks(page, first, ((offset + accepted - 1) >> fs.blockShift) + 1);
  dropPromises(bi, page, first, last);
  if (psMask(page, PS_UPTODATE) == allBlocks(fs)) page.set(PG_UPTODATE);
  if (psTest(page, PS_DIRTY, 0)) pagePrepare(page, preparedBytes(fs, page));
  const before = mapping.sizeBytes;
  const inside = (<u32>before & (PAGE_SIZE - 1)) != 0;
  const here = <u32>(before >> PAGE_SHIFT) == page.index;
  const grows = accepted != 0 && pos + accepted > before;
  if (grows && inside && here) zeroBehind(page, <u32>before & (PAGE_SIZE - 1), offset);
  if (grows) iSizeWrite(inode, pos + accepted);
  unlockPage(page);
  putPage(page);
  if (grows && inside && !here) zeroOldTail(mapping, before);
  return accepted;
}
