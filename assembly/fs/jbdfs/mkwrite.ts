/*
 * ->page_mkwrite of jbdfs.
 *
 *     already prepared?        page dirty, every block below the end of the file dirty: LOCKED, and no handle, no time, no promise.
 *                              The fast path that Jan Kara asked for in 2018: a second callback run then costs next to nothing
 *     delalloc (default)       as block/mkwrite.ts: the handle is that of the time update
 *     nodelalloc               times -> invalidate_lock -> handle (may wait for a commit) -> page lock -> holes get unwritten blocks ->
 *                              dirty; ENOSPC: flush and commit, then again
 *
 * Interface: jbdfsPageMkwrite.
 * Invariants:
 *   [jm-1] the fast path finds what the slow one leaves: isPrepared is [mk-1] read back, with punches and truncates kept out.
 *   Those of block/mkwrite.ts.
 * Locks: sb_pagefaults -> invalidate_lock -> handle -> page lock.
 * Why not the fast path in mm: the filesystem knows its blocks; mm's kara regime asks pageStillPrepared, which is as far as mm sees.
 */
import { EAGAIN, ENOSPC, isErr, ptrErr } from "../../lib/errno";
import { traceEmit } from "../../lib/trace";
import { VM_FAULT_LOCKED, VmFault } from "../../mm/fault";
import { Page, lockPage, unlockPage } from "../../mm/page";
import { pagePrepare, waitForStablePage } from "../../mm/writeback";
import { downRead, upRead } from "../../sched/rwsem";
import { sched } from "../../sched/state";
import { TP_JBDFS_PREPARED } from "../../tracepoints";
import { journalStart, journalStop } from "../block/journal";
import { checkPage, markPrepared, prepareDelalloc, vmfFsError } from "../block/mkwrite";
import { isPrepared, pageReach, promiseBlocks } from "../block/page-state";
import { spaceShrink } from "../block/reserve";
import { BlockInode, Handle, OPT_NODELALLOC, blockInodeOf } from "../block/state";
import { SPACE_TRIES, allocateBlocks, allocateCredits } from "../block/write";
import { fileUpdateTime } from "../file";
import { Inode } from "../inode";
import { sbEndPagefault, sbStartPagefault } from "../super";

/**
 * The page as it is will do: it is locked, and stays so. invalidate_lock is taken all the same: a hole punch write-protects the edges of
 * its range first and takes their blocks' promises later, and between the two the blocks look prepared.
 */
function alreadyPrepared(bi: BlockInode, page: Page, pgoff: u32): bool {
  const mapping = bi.inode.mapping;
  downRead(mapping.invalidateLock);
  const prepared = lockPrepared(bi, page, pgoff);
  upRead(mapping.invalidateLock);
  return prepared;
}

function lockPrepared(bi: BlockInode, page: Page, pgoff: u32): bool {
  const mapping = bi.inode.mapping;
  lockPage(page);
  if (bi.fs.aborted != 0 || checkPage(mapping, page, pgoff, bi) != 0 || !isPrepared(bi, page, mapping.sizeBytes)) {
    unlockPage(page);
    return false;
  }
  pagePrepare(page, pageReach(bi.fs, page, mapping.sizeBytes) << bi.fs.blockShift);
  waitForStablePage(page);
  bi.fs.fastPaths++;
  const s = sched();
  traceEmit(s.clockNs, TP_JBDFS_PREPARED, s.cpu.id, s.current.id, pgoff, bi.inode.ino);
  return true;
}

/** One locked page under a handle: allocated, dirty. Returns 0, STORE_GONE or -errno. */
function allocateLocked(handle: Handle, bi: BlockInode, page: Page, pgoff: u32): i32 {
  const mapping = bi.inode.mapping;
  const gone = checkPage(mapping, page, pgoff, bi);
  if (gone != 0) return gone;
  const reach = pageReach(bi.fs, page, mapping.sizeBytes);
  let error = allocateBlocks(handle, bi, page, 0, reach);
  if (error == 0) error = promiseBlocks(bi, page, 0, reach);
  if (error == 0) markPrepared(bi, page, reach);
  return error;
}

/** nodelalloc: blocks now, not at writeback. */
function allocate(bi: BlockInode, page: Page, pgoff: u32): u32 {
  const mapping = bi.inode.mapping;
  let tries: u32 = 1;
  while (true) {
    downRead(mapping.invalidateLock);
    const got = journalStart(bi.fs, allocateCredits(bi));
    let error = isErr(got) ? ptrErr(got) : 0;
    if (error == 0) {
      const handle = changetype<Handle>(got);
      lockPage(page);
      error = allocateLocked(handle, bi, page, pgoff);
      if (error != 0) unlockPage(page);
      journalStop(handle);
    }
    upRead(mapping.invalidateLock);
    // The page's holes are many: the handle did some of them.
    if (error == -EAGAIN) continue;
    if (error != -ENOSPC || tries++ == SPACE_TRIES || !spaceShrink(bi.fs)) return vmfFsError(error);
  }
}

export function jbdfsPageMkwrite(vmf: VmFault): u32 {
  const file = vmf.file;
  const page = vmf.page;
  const pgoff = vmf.pgoff;
  const inode = changetype<Inode>(file.inode);
  const bi = blockInodeOf(inode);
  sbStartPagefault(inode.sb);
  let ret = VM_FAULT_LOCKED;
  if (!alreadyPrepared(bi, page, pgoff)) {
    const error = fileUpdateTime(file);
    if (error != 0) ret = vmfFsError(error);
    else ret = (bi.fs.options & OPT_NODELALLOC) != 0 ? allocate(bi, page, pgoff) : prepareDelalloc(bi, page, pgoff);
  }
  sbEndPagefault(inode.sb);
  return ret;
}
