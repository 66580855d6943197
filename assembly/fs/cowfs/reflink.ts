/*
 * Reflinks: FICLONERANGE. The target's items refer to the source's extents; what is stored to either side afterwards goes to a new
 * place, as everything does.
 *
 *     both invalidate_locks -> both ranges written and their ordered extents in the trees -> target's pages dropped -> item by item,
 *     a transaction each: target's range cut out, the source's item copied, one more reference -> target's pages dropped again
 *
 * Interface: cowfsRemapFileRange.
 * Invariants:
 *   [mk-9] neither file sees a store to the other made after the clone: pages are separate, extents are never overwritten.
 *   [S19] a store in between waits for invalidate_lock in page_mkwrite; a page prepared before was cleaned by the flush.
 * Locks: both i_rwsem (the caller's) -> both invalidate_locks, the lower address first -> page locks; a handle -> trees.
 * Why not one transaction: a large clone would keep all its leaves dirty in memory.
 */
import { EINVAL, ENOMEM, EROFS } from "../../lib/errno";
import { M_REFLINK_UNFLUSHED, mutant } from "../../lib/mutant";
import { filemapCheckErrors, filemapWriteAndWait } from "../../mm/writeback";
import { downRead, downWrite, upRead, upWrite } from "../../sched/rwsem";
import { VfsFile } from "../file";
import { Inode, iSizeWrite, touchTimes } from "../inode";
import { dropClonedPages, lockMappings, unlockMappings } from "../remap";
import { scratchAlloc, scratchFree } from "../scratch";
import { dataExtentRef } from "./extent-tree";
import { extendSize } from "./file";
import { CowItem, dropExtents, insertFileExtent, itemAtOrBehind } from "./file-extent";
import { cowInode, infoOf, inodeChanged, readOnlyInode } from "./inode-item";
import { EXTENT_DATA_BYTES, ITEM_BYTES } from "./layout";
import { waitOrderedRange } from "./ordered";
import { TREE_FS } from "./state";
import { handleAlloc, handleReserve, isNullHandle, transactionAbort, transactionEnd, transactionStart } from "./transaction";

/** Everything of [start, end) is in the trees: 0, or -errno when it could not be written. */
function settle(inode: Inode, start: u64, end: u64): i32 {
  const error = filemapWriteAndWait(inode.mapping, <u32>(start >> 12), <u32>((end - 1) >> 12));
  waitOrderedRange(inode, start, end);
  const late = filemapCheckErrors(inode.mapping);
  return error != 0 ? error : late;
}

/** FileOperations.remapFileRange. */
export function cowfsRemapFileRange(src: VfsFile, srcPos: u64, dst: VfsFile, dstPos: u64, lenBytes: u64): i64 {
  const from = src.host;
  const to = dst.host;
  const info = infoOf(to);
  if (info.readOnly != 0 || info.aborted != 0 || readOnlyInode(to)) return -EROFS;
  if (lenBytes == 0) return -EINVAL;
  const mask = <u64>info.blockSize - 1;
  const whole = (lenBytes + mask) & ~mask;
  const scratch = scratchAlloc();
  if (scratch == 0) return -ENOMEM;
  lockMappings(from, to);
  let error = MUTANTS && mutant(M_REFLINK_UNFLUSHED) ? 0 : settle(from, srcPos, srcPos + whole);
  if (error == 0) error = settle(to, dstPos, dstPos + whole);
  if (error == 0) {
    // The gap behind the target's old end reads as zeros; its page asks again before a store.
    if (dstPos > to.mapping.sizeBytes) extendSize(to, dstPos);
    dropClonedPages(to, dstPos, dstPos + whole);
    error = cloneItems(from, srcPos, to, dstPos, whole, lenBytes, changetype<CowItem>(scratch));
    dropClonedPages(to, dstPos, dstPos + whole);
  }
  unlockMappings(from, to);
  scratchFree(scratch);
  return error != 0 ? error : lenBytes;
}

/** Item by item. Returns 0 or -errno. */
function cloneItems(from: Inode, srcPos: u64, to: Inode, dstPos: u64, whole: u64, lenBytes: u64, item: CowItem): i32 {
  let at: u64 = 0;
  while (at < whole) {
    const root = cowInode(from).root;
    downRead(root.rwsem);
    const found = itemAtOrBehind(from, srcPos + at, item);
    upRead(root.rwsem);
    if (found < 0) return found;
    // What is before the item, or to the end of the range, is a hole.
    let next = whole;
    const isData = found == 0 && item.fileStart < srcPos + whole;
    if (isData && item.fileStart > srcPos + at) next = item.fileStart - srcPos;
    else if (isData && item.fileEnd - srcPos < whole) next = item.fileEnd - srcPos;
    const copies = isData && item.fileStart <= srcPos + at;
    const error = cloneOne(to, dstPos + at, dstPos + next, copies ? item : changetype<CowItem>(0), srcPos + at, dstPos + lenBytes);
    if (error != 0) return error;
    at = next;
  }
  return 0;
}

/** [start, end) of the target becomes a hole, or a reference to the item's extent from `srcByte` on; i_size grows up to `sizeEnd`. */
function cloneOne(to: Inode, start: u64, end: u64, item: CowItem, srcByte: u64, sizeEnd: u64): i32 {
  const info = infoOf(to);
  const handle = handleAlloc(info);
  if (isNullHandle(handle)) return -ENOMEM;
  // A middle cut out of the target, and the new item.
  handleReserve(handle, TREE_FS, 2, 2 * (ITEM_BYTES + EXTENT_DATA_BYTES));
  let error = transactionStart(handle, false);
  if (error != 0) return error;
  const root = cowInode(to).root;
  downWrite(root.rwsem);
  error = dropExtents(handle, to, start, end);
  if (error == 0 && changetype<usize>(item) != 0) {
    const offset = item.diskOffset + (srcByte - item.fileStart);
    error = dataExtentRef(handle, item.diskBytenr, item.diskBytes, 1);
    if (error == 0) error = insertFileExtent(handle, to, start, end - start, item.diskBytenr, item.diskBytes, offset);
  }
  if (error != 0) transactionAbort(info, error);
  else {
    const size = end < sizeEnd ? end : sizeEnd;
    if (size > to.mapping.sizeBytes) iSizeWrite(to, size);
    touchTimes(to);
    inodeChanged(handle, to);
  }
  upWrite(root.rwsem);
  transactionEnd(handle);
  return error;
}
