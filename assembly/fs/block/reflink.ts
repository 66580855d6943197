/*
 * Reflinks: FICLONERANGE. The target's extents map the source's blocks, which count one reference more; what is stored to either side
 * afterwards goes to new blocks at writeback (RANGE_COW).
 *
 *     both invalidate_locks -> the target's old end zeroed -> both ranges written, and their completions done -> target's pages dropped
 *     -> handles: piece by piece, refcounts up, the target's extent written over or cut out, i_disksize -> target's pages dropped again
 *     ENOSPC: everything let go -> spaceShrink -> once more; what is shared by then is passed over
 *
 * Interface: blockRemapFileRange.
 * Invariants:
 *   [mk-9] neither file sees a store to the other made after the clone: pages are separate, shared blocks are never overwritten.
 *   [S19] a store in between waits for invalidate_lock in page_mkwrite; a page prepared before was cleaned by the flush, and a stash of
 *         it is turned down.
 *   [rl-1] each piece leaves refcounts, trees and the superblock's flag as fsck wants them; as many as a handle has credits for are one
 *          transaction.
 *   [xt-4] a piece claims its promise of nodes before it changes anything.
 * Locks: both i_rwsem (the caller's) -> both invalidate_locks -> handle -> page locks, i_data_sem of one file at a time.
 * Why not cut the target's range out first: the nodes that frees are not free before a commit, and the tree was not promised others.
 */
import { EIO, EMLINK, ENOSPC, isErr, ptrErr } from "../../lib/errno";
import { crc32c } from "../../lib/crc32c";
import { filemapCheckErrors, filemapWriteAndWait } from "../../mm/writeback";
import { downRead, downWrite, upRead, upWrite } from "../../sched/rwsem";
import { VfsFile } from "../file";
import { Inode, touchTimes } from "../inode";
import { dropClonedPages, lockMappings, unlockMappings } from "../remap";
import { Buffer, bufferPut, bufferRead } from "./buffer";
import {
  MAP_ERROR, MAP_HOLE, MAP_WRITTEN, extentCredits, extentInsert, extentLookup, extentRemove, extentRewrite, mapDisk, mapLength, mapState,
  metaClaim, metaDrop,
} from "./extents";
import { failChange, inodeWrite } from "./inode-table";
import { journalGetWrite, journalStart, journalStop } from "./journal";
import { SBF_SHARED, SB_CRC, SB_FLAGS } from "./layout";
import { spaceShrink, waitUnits } from "./reserve";
import { blocksFree, blocksShare } from "./space";
import { BlockInode, Handle, blockFsState, blockInodeOf } from "./state";
import { SPACE_TRIES, extendPrepare, sizeExtend } from "./write";

/** Blocks of a piece: so many have their refcounts in two blocks of the table at most, and their bits in two of the bitmap. */
const PIECE: u32 = 256;

/** Credits of one piece: tree, bits and refcounts of what goes, refcounts of what comes, the superblock. */
function pieceCredits(to: BlockInode): u32 {
  return extentCredits(to, 2) + 2 + 2 + 2 + (to.fs.hasShared != 0 ? 0 : 1);
}

/** Credits of a handle: several pieces, if the journal is not a small one. */
function cloneCredits(to: BlockInode): u32 {
  const one = pieceCredits(to);
  const most = to.fs.journal.maxCredits / 2;
  return one * 4 <= most ? one * 4 : one;
}

/** FileOperations.remapFileRange. */
export function blockRemapFileRange(src: VfsFile, srcPos: u64, dst: VfsFile, dstPos: u64, lenBytes: u64): i64 {
  const from = src.host;
  const to = dst.host;
  const fs = blockInodeOf(to).fs;
  for (let tries: u32 = 1; ; tries++) {
    if (fs.aborted != 0) return -EIO;
    lockMappings(from, to);
    const error = cloneLocked(from, srcPos, to, dstPos, lenBytes);
    unlockMappings(from, to);
    if (error == -ENOSPC && tries < SPACE_TRIES && spaceShrink(fs)) continue;
    return error != 0 ? error : lenBytes;
  }
}

/** Everything of [start, end) is in the tree, and its pages are clean. Returns 0 or -errno. */
function settle(inode: Inode, start: u64, end: u64): i32 {
  const error = filemapWriteAndWait(inode.mapping, <u32>(start >> 12), <u32>((end - 1) >> 12));
  waitUnits(blockInodeOf(inode));
  const late = filemapCheckErrors(inode.mapping);
  return error != 0 ? error : late;
}

function cloneLocked(from: Inode, srcPos: u64, to: Inode, dstPos: u64, lenBytes: u64): i32 {
  const bi = blockInodeOf(to);
  const mask = <u64>bi.fs.blockSize - 1;
  const whole = (lenBytes + mask) & ~mask;
  let error = dstPos + lenBytes > to.mapping.sizeBytes ? extendPrepare(bi) : 0;
  if (error == 0) error = settle(from, srcPos, srcPos + whole);
  if (error == 0) error = settle(to, dstPos, dstPos + whole);
  if (error != 0) return error;
  dropClonedPages(to, dstPos, dstPos + whole);
  // Behind its end the source's last block may hold anything.
  bi.tailUnsafe = 1;
  error = clonePieces(blockInodeOf(from), srcPos, bi, dstPos, <u32>(whole >> bi.fs.blockShift), dstPos + lenBytes);
  dropClonedPages(to, dstPos, dstPos + whole);
  return error;
}

/** `blocks` blocks, in as many handles as it takes. Returns 0 or -errno. */
function clonePieces(from: BlockInode, srcPos: u64, to: BlockInode, dstPos: u64, blocks: u32, sizeEnd: u64): i32 {
  const fs = to.fs;
  const srcBlock = <u32>(srcPos >> fs.blockShift);
  const dstBlock = <u32>(dstPos >> fs.blockShift);
  let at: u32 = 0;
  let error: i32 = 0;
  while (at < blocks && error == 0) {
    const got = journalStart(fs, cloneCredits(to));
    if (isErr(got)) return ptrErr(got);
    const handle = changetype<Handle>(got);
    while (at < blocks && handle.credits >= pieceCredits(to)) {
      const done = clonePiece(handle, from, srcBlock + at, to, dstBlock + at, blocks - at, sizeEnd);
      if (done < 0) {
        error = <i32>done;
        break;
      }
      at += <u32>done;
    }
    journalStop(handle);
  }
  return error;
}

/**
 * The first piece of up to `most` blocks that lie in one extent or hole of either file. Returns its blocks; -ENOSPC with nothing
 * changed; or -errno.
 */
function clonePiece(handle: Handle, from: BlockInode, srcBlock: u32, to: BlockInode, dstBlock: u32, most: u32, sizeEnd: u64): i64 {
  downRead(from.sem);
  const src = extentLookup(from, srcBlock);
  upRead(from.sem);
  downRead(to.sem);
  const dst = extentLookup(to, dstBlock);
  upRead(to.sem);
  if (mapState(src) == MAP_ERROR || mapState(dst) == MAP_ERROR) return -EIO;
  // Unwritten blocks read as zeros, as a hole does, and are not shared.
  const shares = mapState(src) == MAP_WRITTEN;
  const had = mapState(dst) != MAP_HOLE;
  let n = min(most, min(mapLength(src), mapLength(dst)));
  if ((shares || had) && n > PIECE) n = PIECE;
  if (!metaClaim(to)) return -ENOSPC;
  let error: i32 = 0;
  if (shares) error = shareBlocks(handle, to, dstBlock, n, mapDisk(src), dst);
  else if (had) error = unmapBlocks(handle, to, dstBlock, n);
  metaDrop(to);
  if (error != 0) return error;
  const end = min((<u64>(dstBlock + n)) << to.fs.blockShift, sizeEnd);
  if (end > to.inode.mapping.sizeBytes) sizeExtend(to, end);
  if (end > to.diskSize) to.diskSize = end;
  touchTimes(to.inode);
  error = failChange(to.fs, inodeWrite(handle, to, true));
  return error != 0 ? <i64>error : <i64>n;
}

/** The target's blocks, mapped as `dst` says, are the n blocks from `disk` on. Returns 0 or -errno. */
function shareBlocks(handle: Handle, to: BlockInode, block: u32, n: u32, disk: u32, dst: u64): i32 {
  const fs = to.fs;
  const had = mapState(dst) != MAP_HOLE;
  if (had && mapState(dst) == MAP_WRITTEN && mapDisk(dst) == disk) return 0;
  let error = markShared(handle);
  if (error == 0) error = blocksShare(handle, disk, n);
  // Nothing has changed: a block that has as many owners as can be counted is no reason for a shutdown.
  if (error == -EMLINK) return error;
  if (error != 0) return failChange(fs, error);
  downWrite(to.sem);
  error = had ? extentRewrite(handle, to, block, n, disk, MAP_WRITTEN) : extentInsert(handle, to, block, disk, n, MAP_WRITTEN);
  upWrite(to.sem);
  if (error == 0 && had) error = blocksFree(handle, mapDisk(dst), n, false);
  if (error == 0 && !had) to.dataBlocks += n;
  return failChange(fs, error);
}

/** A hole of the source is one of the target. Returns 0 or -errno. */
function unmapBlocks(handle: Handle, to: BlockInode, block: u32, n: u32): i32 {
  downWrite(to.sem);
  let error = extentRemove(handle, to, block, block + n, n);
  upWrite(to.sem);
  assert(error != 0 || handle.pieceBlocks == n, "[bl-1] one extent maps the piece");
  if (error == 0) {
    to.dataBlocks -= n;
    error = blocksFree(handle, handle.pieceDisk, n, false);
  }
  return failChange(to.fs, error);
}

/** The superblock says, with the transaction that shares the first block, that refcounts must be looked at. Returns 0 or -errno. */
function markShared(handle: Handle): i32 {
  const fs = handle.fs;
  if (fs.hasShared != 0) return 0;
  const got = bufferRead(fs, 0);
  if (isErr(got)) return ptrErr(got);
  const buffer = changetype<Buffer>(got);
  journalGetWrite(handle, buffer);
  store<u32>(buffer.data, load<u32>(buffer.data, SB_FLAGS) | SBF_SHARED, SB_FLAGS);
  store<u32>(buffer.data, crc32c(blockFsState().crcTable, 0, buffer.data, SB_CRC), SB_CRC);
  bufferPut(buffer);
  fs.hasShared = 1;
  return 0;
}
