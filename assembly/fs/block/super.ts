/*
 * Mount and unmount, sync, freeze, statfs, fsync: what is one for both filesystems.
 *
 *     mount:   superblock -> recovery -> maps -> threads -> orphans -> root
 *     unmount: (the VFS has synced) completions, commit, checkpoint: the image is whole without its ring -> memory
 *
 * Interface: blockMount, blockMountRoot, blockPutSuper, blockSyncFs, blockFreezeFs, blockShutdown, blockStatfs, blockFsync, syncMetadata,
 *            blockFsOfSuper, openDevice.
 * Invariants:
 *   [sup-1] after a freeze or an unmount the ring is empty: every block is in its place.
 *   [mk-7] fsync returns after the file's data, and the transactions that say where it is, are durable.
 * Locks: none on entry but what operations.ts names.
 * Why not leave the ring to be replayed: an image that is looked at should say by itself what it holds.
 */
import { EINVAL, EIO, ENOMEM, errPtr, isErr, ptrErr } from "../../lib/errno";
import { bitmapTest } from "../../lib/bitmap";
import { crc32c } from "../../lib/crc32c";
import { listAddTail, listDelInit, listInit } from "../../lib/list";
import { kmemCacheAlloc, kmemCacheFree } from "../../lib/slab";
import { PAGE_SHIFT, PAGE_SIZE } from "../../memlayout";
import { BIO_READ } from "../../block/bio";
import { blkdevIssueFlush } from "../../block/request-queue";
import { SECTORS_PER_BLOCK } from "../../block/state";
import { GFP_KERNEL, GFP_ZERO, allocPage, putPage } from "../../mm/page-alloc";
import { Page, isNullPage, pageAddress } from "../../mm/page";
import { filemapWriteAndWait } from "../../mm/writeback";
import { TASK_UNINTERRUPTIBLE } from "../../sched/state";
import { sleepOn, waitQueueInit } from "../../sched/wait-queue";
import { VfsFile } from "../file";
import { Inode, iput, isDirectory } from "../inode";
import { MountParams, optionNumber } from "../mount";
import { Kstatfs } from "../operations";
import { SuperBlock, isNullSuper, superAlloc, superFree } from "../super";
import { Buffer, bufferCacheDrop, bufferCacheInit, bufferPut, bufferRead, isNullTxn } from "./buffer";
import { journalDestroy, journalThreadStart } from "./commit";
import { blockIget } from "./inode-table";
import { workerStart } from "./ioend";
import { journalAbort, journalAlloc, journalFlush, journalWaitCommit } from "./journal";
import {
  ROOT_INO, SBF_SHARED, SB_BITMAP, SB_BLOCK_SIZE, SB_CRC, SB_DATA_START, SB_FLAGS, SB_INODE_BITMAP, SB_INODE_TABLE, SB_JOURNAL, SB_MAGIC,
  SB_NR_BLOCKS, SB_NR_INODES, SB_ORPHANS, SB_REFCOUNTS, nodeCapacity,
} from "./layout";
import { CLUSTER_STEP } from "./mkfs";
import { blockTransfer, journalRecover } from "./recovery";
import { waitFsUnits, waitUnits } from "./reserve";
import { spaceLoad, spaceMapsInit } from "./space";
import { BlockFs, CACHE_BLOCKFS, WAIT_BLOCK_IO, blockCache, blockFsState, blockInodeOf } from "./state";
import { orphansFinish } from "./truncate";

export function blockFsOfSuper(sb: SuperBlock): BlockFs {
  return changetype<BlockFs>(sb.fsPrivate);
}

/** The superblock's fields, when it is one. Returns 0, -EINVAL for another filesystem or a bad one. */
function readGeometry(fs: BlockFs, at: usize, magic: u64, nrClusters: u32): i32 {
  if (load<u64>(at, SB_MAGIC) != magic) return -EINVAL;
  if (load<u32>(at, SB_CRC) != crc32c(blockFsState().crcTable, 0, at, SB_CRC)) return -EINVAL;
  fs.blockSize = load<u32>(at, SB_BLOCK_SIZE);
  fs.blockShift = ctz(fs.blockSize);
  fs.blocksPerPage = PAGE_SIZE / fs.blockSize;
  fs.nodeCapacity = nodeCapacity(fs.blockSize);
  fs.nrBlocks = load<u32>(at, SB_NR_BLOCKS);
  fs.orphanStart = load<u32>(at, SB_ORPHANS);
  fs.bitmapStart = load<u32>(at, SB_BITMAP);
  fs.bitmapBlocks = load<u32>(at + SB_BITMAP, 4);
  fs.refcountStart = load<u32>(at, SB_REFCOUNTS);
  fs.refcountBlocks = load<u32>(at + SB_REFCOUNTS, 4);
  fs.inodeBitmapStart = load<u32>(at, SB_INODE_BITMAP);
  fs.inodeTableStart = load<u32>(at, SB_INODE_TABLE);
  fs.nrInodes = load<u32>(at, SB_NR_INODES);
  fs.dataStart = load<u32>(at, SB_DATA_START);
  fs.hasShared = (load<u32>(at, SB_FLAGS) & SBF_SHARED) != 0 ? 1 : 0;
  return fs.nrBlocks > (nrClusters & ~(CLUSTER_STEP - 1)) * fs.blocksPerPage ? -EINVAL : 0;
}

/** Reads the superblock and makes the journal. Returns 0 or -errno. */
export function openDevice(fs: BlockFs, params: MountParams, magic: u64): i32 {
  const page: Page = allocPage(GFP_KERNEL | GFP_ZERO);
  if (isNullPage(page)) return -ENOMEM;
  const at = pageAddress(page);
  // The smallest block: the size is not known yet.
  fs.blockSize = 512;
  fs.blockShift = 9;
  fs.startSector = <u64>params.startBlock * SECTORS_PER_BLOCK;
  let error = blockTransfer(fs, BIO_READ, 0, at);
  if (error == 0) error = readGeometry(fs, at, magic, params.nrBlocks);
  if (error == 0) {
    fs.journal = journalAlloc(load<u32>(at, SB_JOURNAL), load<u32>(at + SB_JOURNAL, 4), fs.blockSize);
    if (changetype<usize>(fs.journal) == 0) error = -ENOMEM;
  }
  putPage(page);
  return error;
}

/** The superblock again: recovery may have replayed it. */
function rereadFlags(fs: BlockFs): i32 {
  const got = bufferRead(fs, 0);
  if (isErr(got)) return ptrErr(got);
  const buffer = changetype<Buffer>(got);
  fs.hasShared = (load<u32>(buffer.data, SB_FLAGS) & SBF_SHARED) != 0 ? 1 : 0;
  bufferPut(buffer);
  return 0;
}

function countFreeInodes(fs: BlockFs): i32 {
  const bits = fs.blockSize * 8;
  let free: u32 = 0;
  let ino: u32 = 0;
  while (ino < fs.nrInodes) {
    const got = bufferRead(fs, fs.inodeBitmapStart + ino / bits);
    if (isErr(got)) return ptrErr(got);
    const buffer = changetype<Buffer>(got);
    const end = ino + bits < fs.nrInodes ? ino + bits : fs.nrInodes;
    for (; ino < end; ino++) if (!bitmapTest(buffer.data, ino % bits)) free++;
    bufferPut(buffer);
  }
  fs.freeInodes = free;
  return 0;
}

/** Everything between the journal and the root directory. */
function bringUp(fs: BlockFs, params: MountParams): i32 {
  let error = journalRecover(fs);
  if (error != 0) return error;
  bufferCacheInit(fs);
  spaceMapsInit(fs, params.startBlock);
  error = rereadFlags(fs);
  if (error == 0) error = spaceLoad(fs);
  if (error == 0) error = countFreeInodes(fs);
  if (error == 0 && (!journalThreadStart() || !workerStart())) error = -ENOMEM;
  return error;
}

/**
 * Mounts: a SuperBlock without tables, its fsPrivate a BlockFs; or ERR_PTR. The caller fills in the tables and calls blockMountRoot.
 */
export function blockMount(params: MountParams, kind: u32, magic: u64, options: u32): usize {
  const commitMs = optionNumber(params, "commit", 0);
  if (commitMs < 0 || commitMs > 3_600_000) return errPtr(-EINVAL);
  const fs = changetype<BlockFs>(kmemCacheAlloc(blockCache(CACHE_BLOCKFS)));
  if (changetype<usize>(fs) == 0) return errPtr(-ENOMEM);
  fs.kind = kind;
  fs.options = options;
  listInit(fs.mountLink);
  waitQueueInit(fs.ioWait, WAIT_BLOCK_IO);
  let error = openDevice(fs, params, magic);
  if (error == 0) {
    if (commitMs != 0) fs.journal.commitIntervalNs = <u64>commitMs * 1_000_000;
    error = bringUp(fs, params);
  }
  const sb = error == 0 ? superAlloc() : changetype<SuperBlock>(0);
  if (error == 0 && isNullSuper(sb)) error = -ENOMEM;
  if (error != 0) {
    destroyFs(fs);
    return errPtr(error);
  }
  fs.sb = sb;
  sb.fsPrivate = changetype<usize>(fs);
  sb.blockSize = fs.blockSize;
  sb.magic = <u32>magic;
  // The last block that an extent's key reaches.
  const most = (<u64>0x7fff_ffff) << fs.blockShift;
  if (most < sb.maxBytes) sb.maxBytes = most;
  listAddTail(fs.mountLink, blockFsState().mounts);
  return changetype<usize>(sb);
}

/** The tables are in: orphans, and the root directory. The super block, or ERR_PTR with everything undone. */
export function blockMountRoot(sb: SuperBlock): usize {
  const fs = blockFsOfSuper(sb);
  let error = orphansFinish(fs);
  if (error == 0) {
    const got = blockIget(fs, ROOT_INO);
    if (!isErr(got) && isDirectory(changetype<Inode>(got))) {
      sb.rootInode = changetype<Inode>(got);
      return changetype<usize>(sb);
    }
    error = isErr(got) ? ptrErr(got) : -EIO;
    if (!isErr(got)) iput(changetype<Inode>(got));
  }
  if (fs.aborted == 0) journalAbort(fs, error);
  blockPutSuper(sb);
  superFree(sb);
  return errPtr(error);
}

/** Frees what a mount has, as far as it got. */
function destroyFs(fs: BlockFs): void {
  if (changetype<usize>(fs.journal) != 0) {
    while (fs.journal.busy != 0) sleepOn(fs.journal.wait, TASK_UNINTERRUPTIBLE);
    journalDestroy(fs);
    if (fs.lruNext != 0) bufferCacheDrop(fs);
  }
  kmemCacheFree(blockCache(CACHE_BLOCKFS), changetype<usize>(fs));
}

/** ->putSuper. */
export function blockPutSuper(sb: SuperBlock): void {
  const fs = blockFsOfSuper(sb);
  waitFsUnits(fs);
  journalFlush(fs, true);
  listDelInit(fs.mountLink);
  assert(fs.aborted != 0 || fs.reserved == 0, "[mk-6] an unmounted filesystem has promised nothing");
  destroyFs(fs);
  sb.fsPrivate = 0;
}

/** ->syncFs: data is written, or on its way. */
export function blockSyncFs(sb: SuperBlock, wait: u32): i32 {
  const fs = blockFsOfSuper(sb);
  if (fs.aborted != 0) return -EIO;
  if (wait == 0) return 0;
  waitFsUnits(fs);
  const error = journalFlush(fs, false);
  return error != 0 ? error : blkdevIssueFlush();
}

/** ->freezeFs: nothing is under way, and the image is whole by itself ([sup-1]). */
export function blockFreezeFs(sb: SuperBlock): i32 {
  const fs = blockFsOfSuper(sb);
  waitFsUnits(fs);
  const error = journalFlush(fs, true);
  return error != 0 ? error : blkdevIssueFlush();
}

/** ->shutdown. */
export function blockShutdown(sb: SuperBlock): void {
  journalAbort(blockFsOfSuper(sb), -EIO);
}

export function blockStatfs(sb: SuperBlock, buffer: Kstatfs): i32 {
  const fs = blockFsOfSuper(sb);
  const free = fs.freeBlocks + fs.pendingFree;
  buffer.blockSize = fs.blockSize;
  buffer.blocks = fs.nrBlocks - fs.dataStart;
  buffer.blocksFree = free;
  buffer.blocksAvailable = free - fs.reserved;
  buffer.files = fs.nrInodes;
  buffer.filesFree = fs.freeInodes;
  return 0;
}

/** ->fsync. */
export function blockFsync(file: VfsFile, startBytes: u64, endBytes: u64, dataOnly: u32): i32 {
  const inode = file.host;
  const fs = blockFsOfSuper(inode.sb);
  const last = endBytes >> PAGE_SHIFT;
  let error: i32 = 0;
  if (inode.mapping.nrDirty != 0 || inode.mapping.nrWriteback != 0) {
    error = filemapWriteAndWait(inode.mapping, <u32>(startBytes >> PAGE_SHIFT), last > u32.MAX_VALUE ? u32.MAX_VALUE : <u32>last);
  }
  return error != 0 ? error : syncMetadata(fs, inode, dataOnly != 0);
}

/** The data is written: completions, the transaction that the file's data hangs on, and a flush where no commit flushes. */
export function syncMetadata(fs: BlockFs, inode: Inode, dataOnly: bool): i32 {
  const bi = blockInodeOf(inode);
  waitUnits(bi);
  if (fs.aborted != 0) return -EIO;
  const tid = dataOnly ? bi.dataTid : bi.metaTid;
  const j = fs.journal;
  // A commit that is past its barrier, or was, did not flush what was written since.
  const flushes = tid > j.committedTid && !isNullTxn(j.running) && j.running.tid == tid;
  const error = journalWaitCommit(fs, tid);
  if (error != 0 || flushes) return error;
  return blkdevIssueFlush();
}
