/*
 * Changes of a file's extent: truncate, hole punch, preallocation.
 *
 *     shrink   the last block's rest zeroed through the page cache (it is copied on write like any store), written, and in the trees
 *              -> i_size, page cache -> ordered extents beyond waited for -> items beyond dropped, in as many transactions as it takes
 *     punch    the edges zeroed likewise -> page cache of the whole blocks -> ordered extents -> items -> page cache once more: a
 *              reader may have brought old data in between
 *     fallocate  holes become delalloc zeros: in a filesystem that never overwrites, space set aside in place is no use to a store,
 *              which needs a new place all the same; what is promised is that the blocks themselves are there
 *
 * Interface: cowfsSetSize, cowfsFallocate, endTruncate.
 * Invariants:
 *   [ct-1] nothing of the disk beyond i_size is shown again when the file grows: the last block is zero there, items are gone;
 *          on the disk as well, at every commit, for the file may grow there before any of its blocks is written again.
 *   [ct-2] a truncate that takes several transactions has an orphan item from the first to the last: mount ends it after a crash.
 *   [ct-3] what may run out of memory or space does so before pages or i_size change: what is shown is never shorter than the disk has it.
 *   [ct-4] the disk has the new size no earlier than the transaction that begins to drop items: a commit in between writes the old one.
 * Locks: i_rwsem (the caller's) -> invalidate_lock -> page locks, and apart from those a handle -> trees.
 * Why not zero at the next growth: a growth may not need space, and a read in between would show the rest.
 * Why not zero in memory alone when a file shrinks: a commit may take the new size ahead of the block, and a crash the block.
 */
import { EFBIG, ENOMEM, EOPNOTSUPP, EROFS, errPtr, isErr, ptrErr } from "../../lib/errno";
import { M_PUNCH_EDGE_WRITABLE, M_PUNCH_ORDERED, M_TRUNCATE_ORDERED, M_TRUNCATE_SIZE_LATE, M_ZERO_REST, mutant } from "../../lib/mutant";
import { xaLoad } from "../../lib/xarray";
import { PAGE_SIZE } from "../../memlayout";
import { findGetPage } from "../../mm/filemap";
import { Page, lockPage, pageAddress, unlockPage } from "../../mm/page";
import { putPage } from "../../mm/page-alloc";
import { setPageDirty } from "../../mm/page-writeback";
import { pageMkclean } from "../../mm/rmap";
import { punchPageCache, truncatePageCache } from "../../mm/truncate";
import { balanceDirtyPages, filemapCheckErrors, filemapWriteAndWait, pageUnprepare } from "../../mm/writeback";
import { downWrite, upWrite } from "../../sched/rwsem";
import { Inode, iSizeWrite, touchTimes } from "../inode";
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from "../operations";
import { scratchAlloc, scratchFree } from "../scratch";
import { pathRelease } from "./btree";
import { deleteKey, insertItem } from "./btree-edit";
import { commitTransaction } from "./commit";
import { tooManyDirtyBlocks } from "./evict";
import { dirtied, extendSize, prepareBlocks } from "./file";
import { DROP_MORE, ExtentRange, dropSome, extentAt } from "./file-extent";
import { cowInode, infoOf, inodeChanged, readOnlyInode } from "./inode-item";
import { EXTENT_DATA_BYTES, ITEM_BYTES, ORPHAN_ITEM_KEY, ORPHAN_OBJECTID } from "./layout";
import { hasOrdered, waitOrderedRange } from "./ordered";
import { delallocBits } from "./page-state";
import { TREE_FS, CowHandle, CowfsInfo } from "./state";
import {
  handleAlloc, handleReserve, isNullHandle, transactionAbort, transactionBegin, transactionEnd, transactionForget, transactionReserve,
} from "./transaction";

/** Items that one transaction of a truncate drops. */
const ITEMS_PER_TRANSACTION: u32 = 64;

function roundUp(info: CowfsInfo, bytes: u64): u64 {
  const mask = <u64>info.blockSize - 1;
  return (bytes + mask) & ~mask;
}

/** 1 when the block at a byte of the file has data, in memory or on the disk; 0; -errno. `range` is scratch. */
function hasData(inode: Inode, fileByte: u64, range: ExtentRange): i32 {
  const info = infoOf(inode);
  const page = changetype<Page>(xaLoad(inode.mapping.pages, <u32>(fileByte >> 12)));
  const block = (<u32>fileByte & (PAGE_SIZE - 1)) >> info.blockShift;
  if (changetype<usize>(page) != 0 && ((delallocBits(page) >> block) & 1) != 0) return 1;
  if (hasOrdered(inode, fileByte, fileByte + 1)) return 1;
  const error = extentAt(inode, fileByte, range);
  return error != 0 ? error : range.diskStart != 0 ? 1 : 0;
}

/** Makes the blocks of [from, to), which lies in one page, delalloc; `zero`: and its bytes zero. Returns 0 or -errno. */
function touchBlocks(inode: Inode, from: u64, to: u64, zero: bool, scratch: usize): i32 {
  const offset = <u32>from & (PAGE_SIZE - 1);
  const error = prepareBlocks(inode, <u32>(from >> 12), offset, offset + <u32>(to - from), scratch);
  if (error != 0) return error;
  const page = changetype<Page>(<usize>load<u32>(scratch));
  if (zero) {
    // A store to what is zero now asks page_mkwrite first: a truncate that holds invalidate_lock keeps it out.
    pageMkclean(page);
    memory.fill(pageAddress(page) + offset, 0, <u32>(to - from));
  }
  dirtied(infoOf(inode), page);
  unlockPage(page);
  putPage(page);
  return 0;
}

/** Zeroes [from, to), which lies in one block, as a store would; a hole is zero already. Returns 0 or -errno. */
function zeroInBlock(inode: Inode, from: u64, to: u64): i32 {
  if (from >= to) return 0;
  assert(from >> infoOf(inode).blockShift == (to - 1) >> infoOf(inode).blockShift, "what is zeroed lies in one block");
  const scratch = scratchAlloc();
  if (scratch == 0) return -ENOMEM;
  let result = hasData(inode, from, changetype<ExtentRange>(scratch));
  if (result == 1) result = touchBlocks(inode, from, to, true, scratch);
  scratchFree(scratch);
  return result;
}

/** Notes the inode's new size or times in a transaction, with a handle from before the change ([ct-3]). Returns 0, or -EROFS. */
function noteChange(inode: Inode, handle: CowHandle): i32 {
  const error = transactionBegin(handle);
  if (error != 0) return error;
  inodeChanged(handle, inode);
  transactionEnd(handle);
  return 0;
}

/** [ct-3] A handle with the space to drop items with, `orphan`: under an orphan item; not joined yet. ERR_PTR on failure. */
function dropReserve(inode: Inode, orphan: bool): usize {
  const handle = handleAlloc(infoOf(inode));
  if (isNullHandle(handle)) return errPtr(-ENOMEM);
  handleReserve(handle, TREE_FS, 1, orphan ? ITEM_BYTES : ITEM_BYTES + EXTENT_DATA_BYTES);
  const error = transactionReserve(handle, true);
  return error != 0 ? errPtr(error) : changetype<usize>(handle);
}

/** InodeOperations.setSize. */
export function cowfsSetSize(inode: Inode, sizeBytes: u64): i32 {
  const info = infoOf(inode);
  if (sizeBytes > inode.sb.maxBytes) return -EFBIG;
  if (info.readOnly != 0 || info.aborted != 0 || readOnlyInode(inode)) return -EROFS;
  const mapping = inode.mapping;
  if (sizeBytes >= mapping.sizeBytes) {
    const handle = handleAlloc(info);
    if (isNullHandle(handle)) return -ENOMEM;
    if (sizeBytes > mapping.sizeBytes) extendSize(inode, sizeBytes);
    touchTimes(inode);
    return noteChange(inode, handle);
  }
  const reserved = dropReserve(inode, true);
  if (isErr(reserved)) return ptrErr(reserved);
  downWrite(mapping.invalidateLock);
  const error = zeroRest(inode, sizeBytes);
  if (error != 0) {
    upWrite(mapping.invalidateLock);
    transactionForget(changetype<CowHandle>(reserved));
    return error;
  }
  return shrinkLocked(inode, sizeBytes, reserved);
}

/** [ct-1] The last block of a file that is about to end at sizeBytes is zero behind that, on the disk as well. 0 or -errno. */
function zeroRest(inode: Inode, sizeBytes: u64): i32 {
  const mapping = inode.mapping;
  const end = roundUp(infoOf(inode), sizeBytes);
  assert(sizeBytes < mapping.sizeBytes, "[ct-1] the new end lies in the file");
  if (MUTANTS && end != sizeBytes && mutant(M_ZERO_REST)) return 0;
  const error = zeroInBlock(inode, sizeBytes, end < mapping.sizeBytes ? end : mapping.sizeBytes);
  if (error != 0 || end == sizeBytes) return error;
  const pgoff = <u32>(sizeBytes >> 12);
  const late = filemapWriteAndWait(mapping, pgoff, pgoff);
  waitOrderedRange(inode, end - infoOf(inode).blockSize, end);
  return late != 0 ? late : filemapCheckErrors(mapping);
}

/** i_size goes down; what the last block has beyond it is zero already. `reserved` is dropReserve's. Returns 0 or -errno. */
function shrink(inode: Inode, sizeBytes: u64, reserved: usize): i32 {
  downWrite(inode.mapping.invalidateLock);
  return shrinkLocked(inode, sizeBytes, reserved);
}

/** As shrink, with invalidate_lock held, which is given up. */
function shrinkLocked(inode: Inode, sizeBytes: u64, reserved: usize): i32 {
  const mapping = inode.mapping;
  const end = roundUp(infoOf(inode), sizeBytes);
  assert(sizeBytes <= mapping.sizeBytes, "[ct-1] a file that shrinks was larger");
  cowInode(inode).sizeBefore = mapping.sizeBytes;
  if (MUTANTS && mutant(M_TRUNCATE_SIZE_LATE)) truncatePageCache(mapping, sizeBytes);
  iSizeWrite(inode, sizeBytes);
  truncatePageCache(mapping, sizeBytes);
  upWrite(mapping.invalidateLock);
  touchTimes(inode);
  if (!(MUTANTS && mutant(M_TRUNCATE_ORDERED))) waitOrderedRange(inode, end, u64.MAX_VALUE);
  return dropItems(inode, end, u64.MAX_VALUE, true, reserved);
}

/** Ends a truncate that a crash cut short: the inode has an orphan item, and names. Returns 0 or -errno. */
export function endTruncate(inode: Inode): i32 {
  return dropItems(inode, roundUp(infoOf(inode), inode.mapping.sizeBytes), u64.MAX_VALUE, true, 0);
}

/**
 * Drops the file's items in [start, end), some in each transaction; `orphan`: under an orphan item while there are more ([ct-2]).
 * The inode's item is written along. `reserved`: dropReserve's for the first of them, or 0. Returns 0 or -errno.
 */
function dropItems(inode: Inode, start: u64, end: u64, orphan: bool, reserved: usize): i32 {
  const info = infoOf(inode);
  let next = reserved;
  while (true) {
    if (next == 0) next = dropReserve(inode, orphan);
    if (isErr(next)) return ptrErr(next);
    const handle = changetype<CowHandle>(next);
    next = 0;
    const error = transactionBegin(handle);
    if (error != 0) return error;
    cowInode(inode).sizeBefore = 0;
    const root = cowInode(inode).root;
    downWrite(root.rwsem);
    const result = dropSome(handle, inode, start, end, ITEMS_PER_TRANSACTION);
    let failed = result < 0 ? result : 0;
    if (failed == 0 && orphan) failed = markOrphan(handle, inode, result == DROP_MORE);
    if (failed == 0) inodeChanged(handle, inode);
    else transactionAbort(info, failed);
    upWrite(root.rwsem);
    transactionEnd(handle);
    if (failed != 0) return failed;
    if (result != DROP_MORE) return 0;
    if (tooManyDirtyBlocks(info)) {
      const late = commitTransaction(info);
      if (late != 0) return late;
    }
  }
}

/** The inode's orphan item is there (true) or not (false) from now on. */
function markOrphan(handle: CowHandle, inode: Inode, wanted: bool): i32 {
  const ci = cowInode(inode);
  if ((ci.orphan != 0) == wanted) return 0;
  ci.orphan = wanted ? 1 : 0;
  if (!wanted) {
    const gone = deleteKey(handle, ci.root, ORPHAN_OBJECTID, ORPHAN_ITEM_KEY, inode.ino, handle.path);
    return gone < 0 ? gone : 0;
  }
  const error = insertItem(handle, ci.root, ORPHAN_OBJECTID, ORPHAN_ITEM_KEY, inode.ino, 0, handle.path);
  if (error == 0) pathRelease(handle.path);
  return error;
}

/** InodeOperations.fallocate: FALLOC_FL_PUNCH_HOLE | KEEP_SIZE, 0, or KEEP_SIZE up to i_size. */
export function cowfsFallocate(inode: Inode, mode: u32, offset: u64, lenBytes: u64): i32 {
  const info = infoOf(inode);
  const end = offset + lenBytes;
  if (info.readOnly != 0 || info.aborted != 0 || readOnlyInode(inode)) return -EROFS;
  if (mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)) return punch(inode, offset, end);
  if ((mode & ~FALLOC_FL_KEEP_SIZE) != 0) return -EOPNOTSUPP;
  const size = inode.mapping.sizeBytes;
  // Blocks beyond the end are never written, so there is nothing to keep.
  if (mode != 0 && end > size) return -EOPNOTSUPP;
  const reserved = dropReserve(inode, true);
  if (isErr(reserved)) return ptrErr(reserved);
  if (end > size) extendSize(inode, end);
  const error = allocate(inode, offset, end);
  if (error == 0) {
    touchTimes(inode);
    return noteChange(inode, changetype<CowHandle>(reserved));
  }
  // What was not promised is not part of the file. Behind its old end there are only zeros, so nothing needs a new place.
  if (end > size) shrink(inode, size, reserved);
  else transactionForget(changetype<CowHandle>(reserved));
  return error;
}

/** Holes in [start, end) become delalloc blocks of zeros. */
function allocate(inode: Inode, start: u64, end: u64): i32 {
  const info = infoOf(inode);
  const size = <u64>info.blockSize;
  const scratch = scratchAlloc();
  if (scratch == 0) return -ENOMEM;
  let error: i32 = 0;
  for (let at = start & ~(size - 1); at < end && error == 0; at += size) {
    const data = hasData(inode, at, changetype<ExtentRange>(scratch));
    if (data < 0) error = data;
    else if (data == 0) {
      error = touchBlocks(inode, at, at + size, false, scratch);
      balanceDirtyPages(inode.mapping);
    }
  }
  scratchFree(scratch);
  return error;
}

/**
 * A byte at which a punch begins or ends: the page around it stays mapped and loses blocks, so its PTEs must ask page_mkwrite before
 * the next store (SCENARIOS S10), and what asked before, and has no PTE yet, must ask again: it holds no lock but the page's.
 * Preconditions: invalidate_lock is held for writing.
 */
function protectEdge(inode: Inode, fileByte: u64): void {
  if ((fileByte & (PAGE_SIZE - 1)) == 0) return;
  const page = findGetPage(inode.mapping, <u32>(fileByte >> 12));
  if (changetype<usize>(page) == 0) return;
  lockPage(page);
  if (page.mapping != 0 && !(MUTANTS && mutant(M_PUNCH_EDGE_WRITABLE))) {
    if (pageMkclean(page) != 0) setPageDirty(page);
    pageUnprepare(page);
  }
  unlockPage(page);
  putPage(page);
}

function punch(inode: Inode, start: u64, wanted: u64): i32 {
  const info = infoOf(inode);
  const mapping = inode.mapping;
  const size = mapping.sizeBytes;
  if (start >= size) return 0;
  const end = wanted < size ? wanted : size;
  const mask = <u64>info.blockSize - 1;
  const first = roundUp(info, start);
  // The block that holds the end of the file goes as a whole: beyond it there is nothing.
  const last = end == size ? roundUp(info, end) : end & ~mask;
  let error = zeroInBlock(inode, start, first < end ? first : end);
  if (error == 0 && end != size && last >= first) error = zeroInBlock(inode, last, end);
  if (error != 0) return error;
  const reserved = dropReserve(inode, false);
  if (isErr(reserved)) return ptrErr(reserved);
  if (first < last) {
    downWrite(mapping.invalidateLock);
    protectEdge(inode, first);
    protectEdge(inode, last);
    punchPageCache(mapping, first, last);
    if (!(MUTANTS && mutant(M_PUNCH_ORDERED))) waitOrderedRange(inode, first, last);
    // The inode's item goes along.
    touchTimes(inode);
    error = dropItems(inode, first, last, false, reserved);
    punchPageCache(mapping, first, last);
    upWrite(mapping.invalidateLock);
    return error;
  }
  touchTimes(inode);
  return noteChange(inode, changetype<CowHandle>(reserved));
}
