/*
 * Files: write(2) into the page cache, page_mkwrite, fsync, ioctl.
 *
 *     write_begin    space for the blocks -> page locked, uptodate, no writeback, no ordered extent -> delalloc
 *     write_end      dirty, prepared, i_size
 *     page_mkwrite   freeze protection -> space for the page -> times (a transaction) -> again: invalidate_lock, page lock, mapping
 *                    and size -> writeback waited for -> ordered extent? unlock all, wait, again -> blocks beyond the end given
 *                    back -> delalloc, tail zeroed, dirty, prepared -> LOCKED                    (SCENARIOS 2.7, btrfs)
 *
 * Interface: cowfsWriteBegin, cowfsWriteEnd, cowfsPageMkwrite, cowfsFsync, cowfsDirtyInode, cowfsIoctl, extendSize, prepareBlocks, dirtied.
 * Invariants:
 *   [mk-1] a page becomes writable with space for every block below i_size in it.
 *   [mk-2] it is returned locked, dirty and prepared.
 *   [cf-2] reservations are made before the page is locked: flushing for them may write this very page.
 *   [cf-3] only vmf.file, vmf.page, vmf.pgoff and vmf.flags are used: mmap_sem may not be held.
 * Locks: sb_pagefaults -> a transaction (times; ended) -> tickets -> invalidate_lock (read) -> page lock.
 * Why not keep the reservation of a page that is prepared already: it is given back at once; asking first would need the lock.
 */
import { EINVAL, EIO, ENOMEM, ENOTTY, EROFS, isErr, ptrErr } from "../../lib/errno";
import {
  M_CALLBACK_MAPPING, M_EXTEND_NO_MKCLEAN, M_FSYNC_ORDERED, M_ORDERED_NOT_WAITED, M_PAGE_LOCK_FIRST, M_RESERVE_LEAK_NOPAGE,
  M_RESERVE_RELEASED_TWICE, mutant,
} from "../../lib/mutant";
import { xaLoad } from "../../lib/xarray";
import { PAGE_SIZE } from "../../memlayout";
import { AddressSpace, File } from "../../mm/address-space";
import { VM_FAULT_LOCKED, VM_FAULT_NOPAGE, VM_FAULT_OOM, VM_FAULT_SIGBUS, VmFault } from "../../mm/fault";
import { grabCachePage } from "../../mm/filemap";
import {
  PG_DIRTY, PG_ERROR, PG_UPTODATE, Page, getPage, lockPage, pageAddress, pageLocked, unlockPage, waitOnPageLocked, waitOnPageWriteback,
} from "../../mm/page";
import { putPage } from "../../mm/page-alloc";
import { setPageDirty } from "../../mm/page-writeback";
import { pageMkclean } from "../../mm/rmap";
import { filemapWriteAndWait, pagePrepare } from "../../mm/writeback";
import { downRead, upRead } from "../../sched/rwsem";
import { VfsFile, fileUpdateTime } from "../file";
import { Inode, iSizeWrite, inodeOfMapping } from "../inode";
import { sbEndPagefault, sbStartPagefault } from "../super";
import { commitUpTo } from "./commit";
import { blocksBelow, blocksOfRange, delallocDrop, delallocSet, preparedBytes } from "./delalloc";
import { cowInode, infoOf, inodeChanged, readOnlyInode } from "./inode-item";
import { hasOrdered, waitOrderedRange } from "./ordered";
import { BLOCK_BITS, delallocBits } from "./page-state";
import { readPageNow } from "./read";
import { releaseSpace, reserveSpace } from "./reserve";
import { createSnapshot, isSnapshotCommand } from "./snapshot";
import { CowHandle, CowfsInfo } from "./state";
import { transactionEnd, transactionJoin } from "./transaction";

/** -errno when the inode may not change. */
function writable(info: CowfsInfo, inode: Inode): i32 {
  return info.readOnly != 0 || info.aborted != 0 || readOnlyInode(inode) ? -EROFS : 0;
}

/** InodeOperations.dirtyInode: times changed; the commit of this transaction writes them. */
export function cowfsDirtyInode(inode: Inode): i32 {
  const info = infoOf(inode);
  const error = writable(info, inode);
  if (error != 0) return error;
  const joined = transactionJoin(info);
  if (isErr(joined)) return ptrErr(joined);
  inodeChanged(changetype<CowHandle>(joined), inode);
  transactionEnd(changetype<CowHandle>(joined));
  return 0;
}

/**
 * A locked page settles: no writeback, no ordered extent, uptodate unless it will be overwritten as a whole. Returns 0 with the page
 * locked; or with it unlocked 1 (it has left the file) or -errno.
 */
function settlePage(inode: Inode, page: Page, whole: bool): i32 {
  const mapping = inode.mapping;
  const start = <u64>page.index << 12;
  while (true) {
    waitOnPageWriteback(page);
    if (hasOrdered(inode, start, start + PAGE_SIZE)) {
      unlockPage(page);
      waitOrderedRange(inode, start, start + PAGE_SIZE);
    } else {
      if (page.test(PG_UPTODATE) || whole) return 0;
      if (start >= mapping.sizeBytes) {
        memory.fill(pageAddress(page), 0, PAGE_SIZE);
        page.set(PG_UPTODATE);
        return 0;
      }
      page.clear(PG_ERROR);
      readPageNow(inode, page);
      waitOnPageLocked(page);
      if (page.test(PG_ERROR)) return -EIO;
    }
    lockPage(page);
    if (page.mapping != changetype<usize>(mapping)) {
      unlockPage(page);
      return 1;
    }
  }
}

/** The page at pgoff for a change of [from, to), locked, settled, its blocks delalloc; *at (u32) gets its address. 0 or -errno. */
export function prepareBlocks(inode: Inode, pgoff: u32, from: u32, to: u32, at: usize): i32 {
  const mapping = inode.mapping;
  const info = infoOf(inode);
  const bits = blocksOfRange(info, from, to);
  const blocks = <u32>popcnt(bits);
  let error = writable(info, inode);
  if (error == 0) error = reserveSpace(info, blocks, blocks, 0, false);
  if (error != 0) return error;
  while (true) {
    const page = grabCachePage(mapping, pgoff);
    error = changetype<usize>(page) == 0 ? -ENOMEM : settlePage(inode, page, from == 0 && to == PAGE_SIZE);
    if (error == 0) {
      const used = delallocSet(inode, page, bits);
      releaseSpace(info, blocks - used, blocks - used);
      store<u32>(at, <u32>changetype<usize>(page));
      return 0;
    }
    if (changetype<usize>(page) != 0) putPage(page);
    if (error == 1) continue;
    releaseSpace(info, blocks, blocks);
    return error;
  }
}

/** What the page has become by a change of its bytes: dirty, prepared as far as its blocks reach. */
export function dirtied(info: CowfsInfo, page: Page): void {
  setPageDirty(page);
  pagePrepare(page, preparedBytes(info, page));
}

/** AddressSpaceOperations.writeBegin. */
export function cowfsWriteBegin(file: File, mapping: AddressSpace, pos: u64, lenBytes: u32, pagePtr: usize): i32 {
  const from = <u32>pos & (PAGE_SIZE - 1);
  assert(file.refcount != 0, "the file stays open while it is written");
  const error = prepareBlocks(inodeOfMapping(mapping), <u32>(pos >> 12), from, from + lenBytes, pagePtr);
  if (error != 0 || pos <= mapping.sizeBytes) return error;
  // The write leaves a gap behind the old end, which is on another page: that page's rest becomes part of the file first.
  const oldSize = mapping.sizeBytes;
  if ((oldSize & (PAGE_SIZE - 1)) == 0 || oldSize >> 12 == pos >> 12) return 0;
  const page = changetype<Page>(<usize>load<u32>(pagePtr));
  unlockPage(page);
  extendSize(inodeOfMapping(mapping), (oldSize + PAGE_SIZE - 1) & ~(<u64>PAGE_SIZE - 1));
  lockPage(page);
  // i_rwsem is held: nobody truncates. Writeback may have come and gone.
  return page.mapping == changetype<usize>(mapping) ? 0 : -EIO;
}

/** AddressSpaceOperations.writeEnd: the bytes are in. Returns the bytes accepted. */
export function cowfsWriteEnd(file: File, mapping: AddressSpace, pos: u64, lenBytes: u32, copied: u32, page: Page): i32 {
  const inode = inodeOfMapping(mapping);
  const info = infoOf(inode);
  assert(pageLocked(page) && file.refcount != 0, "write_end gets what write_begin locked");
  const accepted = page.test(PG_UPTODATE) || copied == lenBytes ? copied : 0;
  if (accepted == 0 && !page.test(PG_DIRTY)) {
    // Nothing was written into a page that was clean: its new blocks are not wanted.
    delallocDrop(inode, page, BLOCK_BITS);
  } else {
    page.set(PG_UPTODATE);
    if (pos + accepted > mapping.sizeBytes) growInPage(inode, page, pos, pos + accepted);
    dirtied(info, page);
  }
  unlockPage(page);
  putPage(page);
  return accepted;
}

/** i_size grows to the end of a write, whose page is locked. If the old end is in this page, its PTEs are asked again (S8). */
function growInPage(inode: Inode, page: Page, pos: u64, newSize: u64): void {
  const oldSize = inode.mapping.sizeBytes;
  if (oldSize >> 12 == page.index && (oldSize & (PAGE_SIZE - 1)) != 0) {
    if (!(MUTANTS && mutant(M_EXTEND_NO_MKCLEAN)) && pageMkclean(page) != 0) setPageDirty(page);
    zeroGap(page, oldSize, pos);
  }
  iSizeWrite(inode, newSize);
}

/** Bytes between the old end and what is written now may hold stores that went beyond the end. */
function zeroGap(page: Page, from: u64, to: u64): void {
  const start = <u64>page.index << 12;
  const end = min(to, start + PAGE_SIZE);
  if (from >= end) return;
  memory.fill(pageAddress(page) + <u32>(from - start), 0, <u32>(end - from));
}

/**
 * i_size grows without data: the rest of the page that holds the old end is zero from now on, and its PTEs ask page_mkwrite
 * again, all under its lock, so that no store slips in between (S8). Preconditions: i_rwsem is held for writing.
 */
export function extendSize(inode: Inode, newSize: u64): void {
  const mapping = inode.mapping;
  const oldSize = mapping.sizeBytes;
  assert(newSize >= oldSize, "a file is extended");
  let page = changetype<Page>(0);
  if ((oldSize & (PAGE_SIZE - 1)) != 0) page = changetype<Page>(xaLoad(mapping.pages, <u32>(oldSize >> 12)));
  if (changetype<usize>(page) == 0) {
    iSizeWrite(inode, newSize);
    return;
  }
  getPage(page);
  lockPage(page);
  if (page.mapping == changetype<usize>(mapping)) {
    waitOnPageWriteback(page);
    if (!(MUTANTS && mutant(M_EXTEND_NO_MKCLEAN)) && pageMkclean(page) != 0) setPageDirty(page);
    zeroGap(page, oldSize, newSize);
  }
  iSizeWrite(inode, newSize);
  unlockPage(page);
  putPage(page);
}

/** VmOperations.pageMkwrite. */
export function cowfsPageMkwrite(vmf: VmFault): u32 {
  const inode = inodeOfMapping(vmf.file.mapping);
  const info = infoOf(inode);
  const blocks = info.clusterBlocks;
  if (writable(info, inode) != 0) return VM_FAULT_SIGBUS;
  sbStartPagefault(inode.sb);
  if (MUTANTS && mutant(M_PAGE_LOCK_FIRST)) lockPage(vmf.page);
  let error = reserveSpace(info, blocks, blocks, 0, false);
  if (MUTANTS && mutant(M_PAGE_LOCK_FIRST)) unlockPage(vmf.page);
  if (error == 0) {
    error = fileUpdateTime(vmf.file);
    if (error != 0) releaseSpace(info, blocks, blocks);
  }
  let ret: u32 = error == 0 ? 0 : error == -ENOMEM ? VM_FAULT_OOM : VM_FAULT_SIGBUS;
  if (error == 0) ret = mkwriteLocked(vmf, inode, info, blocks);
  sbEndPagefault(inode.sb);
  return ret;
}

/** The part with locks, `blocks` reserved. */
function mkwriteLocked(vmf: VmFault, inode: Inode, info: CowfsInfo, blocks: u32): u32 {
  const mapping = inode.mapping;
  const page = vmf.page;
  const start = <u64>vmf.pgoff << 12;
  while (true) {
    downRead(mapping.invalidateLock);
    lockPage(page);
    const size = mapping.sizeBytes;
    const moved = page.mapping != changetype<usize>(mapping) || page.index != vmf.pgoff;
    if ((moved || start >= size) && !(MUTANTS && mutant(M_CALLBACK_MAPPING))) {
      unlockPage(page);
      upRead(mapping.invalidateLock);
      if (!(MUTANTS && mutant(M_RESERVE_LEAK_NOPAGE))) releaseSpace(info, blocks, blocks);
      return VM_FAULT_NOPAGE;
    }
    waitOnPageWriteback(page);
    if ((MUTANTS && mutant(M_ORDERED_NOT_WAITED)) || !hasOrdered(inode, start, start + PAGE_SIZE)) break;
    unlockPage(page);
    upRead(mapping.invalidateLock);
    waitOrderedRange(inode, start, start + PAGE_SIZE);
  }
  // Blocks beyond round_up(i_size) were promised in vain, and so were those that are delalloc already.
  const used = delallocSet(inode, page, blocksBelow(info, vmf.pgoff, mapping.sizeBytes));
  releaseSpace(info, blocks - used, blocks - used);
  if (MUTANTS && mutant(M_RESERVE_RELEASED_TWICE)) releaseSpace(info, blocks - used, blocks - used);
  const left = mapping.sizeBytes - start;
  if (left < PAGE_SIZE) memory.fill(pageAddress(page) + <u32>left, 0, PAGE_SIZE - <u32>left);
  dirtied(info, page);
  upRead(mapping.invalidateLock);
  assert(delallocBits(page) != 0, "[mk-1] a prepared page has space");
  return VM_FAULT_LOCKED;
}

/** FileOperations.fsync. */
export function cowfsFsync(file: VfsFile, startBytes: u64, endBytes: u64, dataOnly: u32): i32 {
  const inode = file.host;
  const info = infoOf(inode);
  const last = endBytes >> 12;
  const error = filemapWriteAndWait(inode.mapping, <u32>(startBytes >> 12), last > u32.MAX_VALUE ? u32.MAX_VALUE : <u32>last);
  if (!(MUTANTS && mutant(M_FSYNC_ORDERED))) waitOrderedRange(inode, startBytes, endBytes == u64.MAX_VALUE ? endBytes : endBytes + 1);
  // Nothing of what a file needs to be found is written ahead of its transaction, so a commit it is, for data alone as well.
  const transid = cowInode(inode).lastTrans;
  const result = info.readOnly != 0 || transid <= info.committed ? 0 : commitUpTo(info, transid);
  assert(dataOnly <= 1, "fsync or fdatasync");
  if (error != 0) return error;
  return result == -EROFS ? -EIO : result;
}

/** FileOperations.ioctl. */
export function cowfsIoctl(file: VfsFile, cmd: u32, arg: u64): i64 {
  if (!isSnapshotCommand(cmd)) return -ENOTTY;
  return arg == 0 ? -EINVAL : createSnapshot(file, cmd, arg);
}
