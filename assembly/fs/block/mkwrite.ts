/*
 * ->page_mkwrite of both filesystems, in the order of Linux's (SCENARIOS 2.7).
 *
 *     freeze protection -> times (a handle: may wait for a commit) -> invalidate_lock, shared -> page lock -> still ours, below i_size?
 *     else NOPAGE -> promises -> dirty -> prepared up to the end of its last block -> stable -> all given up but the page lock
 *     ENOSPC: everything let go -> spaceShrink (flush, commit) -> once more -> SIGBUS, with the promises given back
 *
 * Interface: blockPageMkwrite, prepareDelalloc, storePrepare, checkPage, markPrepared, vmfFsError, STORE_GONE.
 * Invariants:
 *   [mk-1] LOCKED is returned with every block of the page below i_size dirty and promised its space.
 *   [mkw-1] nothing is read but vmf.file, vmf.page, vmf.pgoff and vmf.flags: there may be no fault lock.
 *   [mk-6] an error leaves no promise behind.
 * Locks: sb_pagefaults -> (handle) -> invalidate_lock -> page lock; LOCKED keeps the last.
 * Why not promises before the page lock, as btrfs: only the page knows which of its blocks need one, and ENOSPC must be exact.
 */
import { EAGAIN, EFAULT, EIO, ENOMEM, ENOSPC } from "../../lib/errno";
import { M_CALLBACK_MAPPING, mutant } from "../../lib/mutant";
import { AddressSpace } from "../../mm/address-space";
import { VM_FAULT_LOCKED, VM_FAULT_NOPAGE, VM_FAULT_OOM, VM_FAULT_SIGBUS, VmFault } from "../../mm/fault";
import { Page, lockPage, unlockPage } from "../../mm/page";
import { pagePrepare, waitForStablePage } from "../../mm/writeback";
import { downRead, upRead } from "../../sched/rwsem";
import { fileUpdateTime } from "../file";
import { Inode } from "../inode";
import { sbEndPagefault, sbStartPagefault } from "../super";
import { dirtyBlocks, pageReach, promiseBlocks } from "./page-state";
import { spaceShrink } from "./reserve";
import { BlockInode, blockInodeOf } from "./state";
import { SPACE_TRIES } from "./write";

/** storePrepare: the page left the file, or the file ends before it. */
export const STORE_GONE: i32 = 1;

/** Linux's vmf_fs_error. */
export function vmfFsError(error: i32): u32 {
  if (error == 0) return VM_FAULT_LOCKED;
  if (error == STORE_GONE || error == -EFAULT || error == -EAGAIN) return VM_FAULT_NOPAGE;
  return error == -ENOMEM ? VM_FAULT_OOM : VM_FAULT_SIGBUS;
}

/** 0 when a locked page is still the file's at its place and below the end, else STORE_GONE. */
export function checkPage(mapping: AddressSpace, page: Page, pgoff: u32, bi: BlockInode): i32 {
  if ((page.mapping != changetype<usize>(mapping) || page.index != pgoff) && !(MUTANTS && mutant(M_CALLBACK_MAPPING))) return STORE_GONE;
  return pageReach(bi.fs, page, mapping.sizeBytes) == 0 ? STORE_GONE : 0;
}

/** A locked page gets all that stores to it need ([mk-1]). Returns 0, STORE_GONE or -errno. */
export function storePrepare(bi: BlockInode, page: Page, pgoff: u32): i32 {
  const mapping = bi.inode.mapping;
  if (bi.fs.aborted != 0) return -EIO;
  const gone = checkPage(mapping, page, pgoff, bi);
  if (gone != 0) return gone;
  const reach = pageReach(bi.fs, page, mapping.sizeBytes);
  const error = promiseBlocks(bi, page, 0, reach);
  if (error != 0) return error;
  markPrepared(bi, page, reach);
  return 0;
}

/** The first `reach` blocks of a locked page have space: dirty, and prepared. */
export function markPrepared(bi: BlockInode, page: Page, reach: u32): void {
  const mapping = bi.inode.mapping;
  dirtyBlocks(page, 0, reach);
  // Stores behind the end of the file may reach the disk with its last block, while it is being written.
  if (((<u64>page.index + 1) << 12) > mapping.sizeBytes) bi.tailUnsafe = 1;
  pagePrepare(page, reach << bi.fs.blockShift);
}

/** Promises for the whole page, with the locks that takes. VM_FAULT_LOCKED with the page locked, or another code. */
export function prepareDelalloc(bi: BlockInode, page: Page, pgoff: u32): u32 {
  const mapping = bi.inode.mapping;
  let tries: u32 = 1;
  while (true) {
    downRead(mapping.invalidateLock);
    lockPage(page);
    const error = storePrepare(bi, page, pgoff);
    if (error == 0) waitForStablePage(page);
    else unlockPage(page);
    upRead(mapping.invalidateLock);
    if (error != -ENOSPC || tries++ == SPACE_TRIES || !spaceShrink(bi.fs)) return vmfFsError(error);
  }
}

/** ->pageMkwrite with delalloc. */
export function blockPageMkwrite(vmf: VmFault): u32 {
  const file = vmf.file;
  const page = vmf.page;
  const pgoff = vmf.pgoff;
  const inode = changetype<Inode>(file.inode);
  sbStartPagefault(inode.sb);
  const error = fileUpdateTime(file);
  const ret = error != 0 ? vmfFsError(error) : prepareDelalloc(blockInodeOf(inode), page, pgoff);
  sbEndPagefault(inode.sb);
  return ret;
}
