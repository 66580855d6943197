/*
 * Blocks that a file loses, and those it gets without being written: setSize, punch hole, fallocate, eviction.
 *
 *     shrink:  i_size -> pages go (promises given back) -> completions done -> handle: orphan, i_disksize -> handles: extents go,
 *              from the new end on -> the last one: no orphan any more
 *     punch:   edges of the range unprepared, then zeroed -> pages go -> completions done -> handles: extents go -> pages again:
 *              somebody may have read the old blocks in
 *
 * Interface: blockSetSize, blockFallocate, blockEvict, removeBlocks, orphansFinish.
 * Invariants:
 *   [bl-3] a truncation that a crash interrupts goes on at mount: the inode is an orphan until its last block is gone.
 *   [mk-1] before blocks of a cached page lose their space, its PTEs are write-protected and it is prepared no more.
 * Locks: i_rwsem for writing -> invalidate_lock for writing -> handles, page locks.
 * Why not one handle: a large file's tree does not fit a transaction.
 */
import { EFBIG, EIO, ENOMEM, ENOSPC, EOPNOTSUPP, isErr, ptrErr } from "../../lib/errno";
import { kmemCacheFree } from "../../lib/slab";
import { PAGE_SHIFT, PAGE_SIZE } from "../../memlayout";
import { AddressSpace } from "../../mm/address-space";
import { grabCachePage } from "../../mm/filemap";
import { putPage } from "../../mm/page-alloc";
import { isNullPage, pageAddress, unlockPage } from "../../mm/page";
import { setPageDirty } from "../../mm/page-writeback";
import { pageMkclean } from "../../mm/rmap";
import { punchPageCache, truncatePageCache } from "../../mm/truncate";
import { pageUnprepare } from "../../mm/writeback";
import { downRead, downWrite, upRead, upWrite } from "../../sched/rwsem";
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from "../operations";
import { Inode, iSizeWrite, iput, isRegular, touchTimes } from "../inode";
import { sbEndIntwrite, sbStartIntwrite } from "../super";
import {
  MAP_ERROR, MAP_HOLE, MAP_UNWRITTEN, extentCredits, extentLookup, extentRemove, mapLength, mapState, metaClaim, metaDrop, metaTrim,
} from "./extents";
import { daxZeroBytes, isDax } from "./dax-image";
import { blockIget, failChange, inodeFree, inodeWrite, orphanAdd, orphanDel, orphanIno } from "./inode-table";
import { journalStart, journalStop } from "./journal";
import { DIF_INLINE, ORPHAN_SLOTS } from "./layout";
import { dirtyBlocks, promiseBlocks } from "./page-state";
import { makeUptodate } from "./read";
import { spaceShrink, waitUnits } from "./reserve";
import { blocksFree, spaceRelease, spaceReserve } from "./space";
import { BlockFs, BlockInode, CACHE_BLOCK_INODE, Handle, blockCache, blockInodeOf } from "./state";
import { SPACE_TRIES, allocateRun, extendPrepare, lockIfCached, sizeExtend } from "./write";

/** Blocks freed under one handle: so many have their refcounts in three blocks of the table at most. */
const FREE_BATCH: u32 = 256;

/** Credits of removing one piece: tree, bitmaps, refcounts, orphan slot. */
function removeCredits(bi: BlockInode): u32 {
  return extentCredits(bi, 1) + 2 + (bi.fs.hasShared != 0 ? 3 : 0) + 1;
}

/**
 * The file's blocks [from, end) are unmapped and freed, piece by piece; `last`: the inode is an orphan no more with the last
 * piece. Returns 0 or -errno. Preconditions: no page of them is dirty or under writeback, no completion under way.
 */
export function removeBlocks(bi: BlockInode, from: u32, end: u32, last: bool): i32 {
  let more = true;
  while (more) {
    const got = journalStart(bi.fs, removeCredits(bi));
    if (isErr(got)) return ptrErr(got);
    const handle = changetype<Handle>(got);
    // A range that ends inside an extent cuts it in two. A truncation does not: it needs no space.
    const cuts = end != u32.MAX_VALUE;
    const claimed = cuts && metaClaim(bi);
    let error: i32 = cuts && !claimed ? -ENOSPC : removePiece(handle, bi, from, end);
    if (claimed) metaDrop(bi);
    more = error == 0 && handle.pieceBlocks != 0;
    if (!more && last && error == 0) error = failChange(bi.fs, orphanDel(handle, bi));
    if (error == 0) error = failChange(bi.fs, inodeWrite(handle, bi, true));
    journalStop(handle);
    metaTrim(bi);
    if (error != 0) return error;
  }
  return 0;
}

function removePiece(handle: Handle, bi: BlockInode, from: u32, end: u32): i32 {
  downWrite(bi.sem);
  let error = extentRemove(handle, bi, from, end, FREE_BATCH);
  upWrite(bi.sem);
  if (error == 0 && handle.pieceBlocks != 0) {
    bi.dataBlocks -= handle.pieceBlocks;
    error = blocksFree(handle, handle.pieceDisk, handle.pieceBlocks, !isRegular(bi.inode));
  }
  return failChange(bi.fs, error);
}

/** ->setSize. */
export function blockSetSize(inode: Inode, sizeBytes: u64): i32 {
  const bi = blockInodeOf(inode);
  if (sizeBytes > inode.sb.maxBytes) return -EFBIG;
  const mapping = inode.mapping;
  const before = mapping.sizeBytes;
  if (sizeBytes >= before) return grow(bi, sizeBytes);
  downWrite(mapping.invalidateLock);
  let error = startTruncate(bi, sizeBytes);
  if (error != 0) {
    upWrite(mapping.invalidateLock);
    return error;
  }
  truncatePageCache(mapping, sizeBytes);
  const cut = isDax(bi) ? daxZeroBytes(bi, sizeBytes, (sizeBytes + PAGE_SIZE - 1) & ~(<u64>PAGE_SIZE - 1)) : 0;
  waitUnits(bi);
  error = cut;
  const first = <u32>((sizeBytes + bi.fs.blockSize - 1) >> bi.fs.blockShift);
  if (error == 0) error = removeBlocks(bi, first, u32.MAX_VALUE, true);
  upWrite(mapping.invalidateLock);
  return error;
}

/**
 * The inode is an orphan, and as short as it will be, in memory and on the disk in one step: nothing has changed when there is no handle to
 * be had. Returns 0 or -errno.
 */
function startTruncate(bi: BlockInode, sizeBytes: u64): i32 {
  const got = journalStart(bi.fs, 2);
  if (isErr(got)) return ptrErr(got);
  const handle = changetype<Handle>(got);
  let error = orphanAdd(handle, bi);
  if (error == 0) {
    touchTimes(bi.inode);
    iSizeWrite(bi.inode, sizeBytes);
    // The disk still has what the last block held behind the new end.
    bi.tailUnsafe = 1;
    bi.diskSize = sizeBytes;
    error = failChange(bi.fs, inodeWrite(handle, bi, true));
  }
  journalStop(handle);
  return error;
}

function grow(bi: BlockInode, sizeBytes: u64): i32 {
  const inode = bi.inode;
  const before = inode.mapping.sizeBytes;
  if (sizeBytes > before) {
    for (let tries: u32 = 1; ; tries++) {
      const error = extendPrepare(bi);
      if (error == 0) break;
      if (error != -ENOSPC || tries == SPACE_TRIES || !spaceShrink(bi.fs)) return error;
    }
  }
  const got = journalStart(bi.fs, 1);
  if (isErr(got)) return ptrErr(got);
  const handle = changetype<Handle>(got);
  touchTimes(inode);
  sizeExtend(bi, sizeBytes);
  bi.diskSize = sizeBytes;
  const error = failChange(bi.fs, inodeWrite(handle, bi, true));
  journalStop(handle);
  return error;
}

/** The page of an edge of a hole: write-protected, prepared no more ([mk-1]). */
function unprepare(mapping: AddressSpace, at: u64): void {
  if ((<u32>at & (PAGE_SIZE - 1)) == 0) return;
  const page = lockIfCached(mapping, <u32>(at >> PAGE_SHIFT));
  if (isNullPage(page)) return;
  if (pageMkclean(page) != 0) setPageDirty(page);
  pageUnprepare(page);
  unlockPage(page);
  putPage(page);
}

/**
 * Zeroes bytes [from, end) of one block, on their way to the disk; a hole is left alone, and what is behind the end of the file, where
 * nothing is written. Returns 0 or -errno.
 */
function zeroInBlock(bi: BlockInode, from: u64, end: u64): i32 {
  const fs = bi.fs;
  const to = min(end, bi.inode.mapping.sizeBytes);
  if (from >= to) return 0;
  if (isDax(bi)) return daxZeroBytes(bi, from, to);
  downRead(bi.sem);
  const map = extentLookup(bi, <u32>(from >> fs.blockShift));
  upRead(bi.sem);
  const page = grabCachePage(bi.inode.mapping, <u32>(from >> PAGE_SHIFT));
  if (isNullPage(page)) return -ENOMEM;
  let error = mapState(map) == MAP_ERROR ? -EIO : makeUptodate(page);
  const offset = <u32>from & (PAGE_SIZE - 1);
  const block = offset >> fs.blockShift;
  // A hole may have become delalloc: then it is dirty and its zeros will be written.
  if (error == 0 && mapState(map) != MAP_HOLE) error = promiseBlocks(bi, page, block, block + 1);
  if (error == 0) {
    memory.fill(pageAddress(page) + offset, 0, <u32>(to - from));
    if (mapState(map) != MAP_HOLE) dirtyBlocks(page, block, block + 1);
  }
  unlockPage(page);
  putPage(page);
  return error;
}

/** Bytes of the range that lie in blocks of which it covers only a part. */
function zeroEdges(bi: BlockInode, start: u64, end: u64): i32 {
  const mask = <u64>(bi.fs.blockSize - 1);
  const firstFull = (start + mask) & ~mask;
  const lastFull = end & ~mask;
  if (firstFull > lastFull) return zeroInBlock(bi, start, end);
  const error = zeroInBlock(bi, start, firstFull);
  return error != 0 ? error : zeroInBlock(bi, lastFull, end);
}

/** The pages that would have made i_disksize grow may go with the hole (ext4_update_disksize_before_punch). */
function growDiskFirst(bi: BlockInode): i32 {
  if (bi.diskSize >= bi.inode.mapping.sizeBytes) return 0;
  const got = journalStart(bi.fs, 1);
  if (isErr(got)) return ptrErr(got);
  const handle = changetype<Handle>(got);
  bi.diskSize = bi.inode.mapping.sizeBytes;
  const error = failChange(bi.fs, inodeWrite(handle, bi, true));
  journalStop(handle);
  return error;
}

function punchHole(bi: BlockInode, start: u64, end: u64): i32 {
  const mapping = bi.inode.mapping;
  const fs = bi.fs;
  const from = <u32>((start + fs.blockSize - 1) >> fs.blockShift);
  const to = <u32>(end >> fs.blockShift);
  let tries: u32 = 1;
  while (true) {
    downWrite(mapping.invalidateLock);
    unprepare(mapping, start);
    unprepare(mapping, end);
    let error = end >= mapping.sizeBytes ? growDiskFirst(bi) : 0;
    if (error == 0) error = zeroEdges(bi, start, end);
    if (error == 0) {
      punchPageCache(mapping, start, end);
      waitUnits(bi);
      if (from < to) error = removeBlocks(bi, from, to, false);
      punchPageCache(mapping, start, end);
    }
    upWrite(mapping.invalidateLock);
    if (error != -ENOSPC || tries++ == SPACE_TRIES || !spaceShrink(fs)) return error;
  }
}

/** Holes of blocks [from, to), counted; u32.MAX_VALUE: the tree cannot be read. */
function countHoles(bi: BlockInode, from: u32, to: u32): u32 {
  let holes: u32 = 0;
  let at = from;
  downRead(bi.sem);
  while (at < to && holes != u32.MAX_VALUE) {
    const map = extentLookup(bi, at);
    const n = mapLength(map) < to - at ? mapLength(map) : to - at;
    if (mapState(map) == MAP_ERROR) holes = u32.MAX_VALUE;
    else if (mapState(map) == MAP_HOLE) holes += n;
    at += n;
  }
  upRead(bi.sem);
  return holes;
}

/** Unwritten blocks for the holes of [from, to). Returns 0 or -errno; ENOSPC before anything is done. */
function preallocate(bi: BlockInode, from: u32, to: u32): i32 {
  const fs = bi.fs;
  for (let tries: u32 = 1; ; tries++) {
    const holes = countHoles(bi, from, to);
    if (holes == u32.MAX_VALUE) return -EIO;
    if (spaceReserve(fs, holes)) {
      // A promise to see whether there is room: allocateRun takes its own.
      spaceRelease(fs, holes);
      break;
    }
    if (tries == SPACE_TRIES || !spaceShrink(fs)) return -ENOSPC;
  }
  let at = from;
  while (at < to) {
    downRead(bi.sem);
    const map = extentLookup(bi, at);
    upRead(bi.sem);
    if (mapState(map) == MAP_ERROR) return -EIO;
    let n = mapLength(map) < to - at ? mapLength(map) : to - at;
    if (mapState(map) == MAP_HOLE) {
      const got = preallocateRun(bi, at, n < fs.blockSize * 4 ? n : fs.blockSize * 4);
      if (got < 0) return got;
      n = <u32>got;
    }
    at += n;
  }
  return 0;
}

function preallocateRun(bi: BlockInode, at: u32, n: u32): i32 {
  const got = journalStart(bi.fs, extentCredits(bi, 1) + 2);
  if (isErr(got)) return ptrErr(got);
  const handle = changetype<Handle>(got);
  let result = allocateRun(handle, bi, at, n, MAP_UNWRITTEN);
  if (result > 0) {
    const error = failChange(bi.fs, inodeWrite(handle, bi, true));
    if (error != 0) result = error;
  }
  journalStop(handle);
  return result;
}

/** ->fallocate: unwritten blocks, or a hole. */
export function blockFallocate(inode: Inode, mode: u32, offset: u64, lenBytes: u64): i32 {
  const bi = blockInodeOf(inode);
  const end = offset + lenBytes;
  if (mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)) {
    touchTimes(inode);
    const size = inode.mapping.sizeBytes;
    const shift = bi.fs.blockShift;
    // Blocks behind the end of the file go as well, but there is nothing to zero in them.
    return punchHole(bi, offset, end < size || offset >= size ? end : ((end + bi.fs.blockSize - 1) >> shift) << shift);
  }
  if ((mode & ~FALLOC_FL_KEEP_SIZE) != 0) return -EOPNOTSUPP;
  if (end > inode.sb.maxBytes) return -EFBIG;
  const shift = bi.fs.blockShift;
  const error = preallocate(bi, <u32>(offset >> shift), <u32>((end + bi.fs.blockSize - 1) >> shift));
  if (error != 0) return error;
  if ((mode & FALLOC_FL_KEEP_SIZE) != 0 || end <= inode.mapping.sizeBytes) return 0;
  return grow(bi, end);
}

/** ->evict: memory goes; without a name the file goes from the disk, too. */
export function blockEvict(inode: Inode): void {
  if (inode.fsPrivate == 0) return;
  const bi = blockInodeOf(inode);
  waitUnits(bi);
  if (inode.nlink == 0 && bi.fs.aborted == 0) {
    sbStartIntwrite(inode.sb);
    destroy(bi);
    sbEndIntwrite(inode.sb);
  }
  metaTrim(bi);
  assert(bi.delalloc == 0 && bi.converting == 0 && bi.metaReserved == 0, "[mk-6] an inode that goes has no promises");
  inode.fsPrivate = 0;
  kmemCacheFree(blockCache(CACHE_BLOCK_INODE), changetype<usize>(bi));
}

/** Blocks, record and number are free again. An error is that of a filesystem shut down, or leaves an orphan for the next mount. */
function destroy(bi: BlockInode): void {
  if ((bi.flags & DIF_INLINE) == 0 && bi.extents != 0) {
    if (removeBlocks(bi, 0, u32.MAX_VALUE, false) != 0) return;
  }
  const got = journalStart(bi.fs, 3);
  if (isErr(got)) return;
  const handle = changetype<Handle>(got);
  failChange(bi.fs, inodeFree(handle, bi));
  journalStop(handle);
}

/** Mount: what a crash left of unlinked files and truncations. Returns 0 or -errno. */
export function orphansFinish(fs: BlockFs): i32 {
  for (let slot: u32 = 0; slot < ORPHAN_SLOTS; slot++) {
    const ino = orphanIno(fs, slot);
    if (ino < 0) return ino;
    if (ino == 0) continue;
    const got = blockIget(fs, <u32>ino);
    if (isErr(got)) return ptrErr(got);
    const inode = changetype<Inode>(got);
    const bi = blockInodeOf(inode);
    bi.orphanSlot = slot + 1;
    let error: i32 = 0;
    if (inode.nlink != 0) {
      const first = <u32>((inode.mapping.sizeBytes + fs.blockSize - 1) >> fs.blockShift);
      error = removeBlocks(bi, first, u32.MAX_VALUE, true);
    }
    iput(inode);
    if (error != 0) return error;
  }
  return 0;
}
