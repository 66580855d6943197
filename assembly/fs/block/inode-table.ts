/*
 * Inodes on the disk: reading one in, writing one under a handle, numbers, and the list of orphans.
 *
 *     inodeNew: a clear bit of the inode bitmap, set --> inodeWrite ... --> last name gone: orphan --evict--> bit clear, record zero
 *
 * Interface: blockIget, inodeWrite, inodeNew, inodeFree, orphanAdd, orphanDel, blockDirtyInode, inodeCounts.
 * Invariants:
 *   [bi-1] what the disk says of an inode changes with the operation, under its handle: nothing waits for a later sync, but atime.
 *   [bi-2] diskNlink and diskSize are what the disk says; inode.nlink and i_size what memory says.
 *   [bi-3] an inode without a name, or whose truncation spans transactions, is in the orphan blocks.
 * Locks: the caller's; a record changes in one emulated step.
 * Why not a dirty inode list: a record is 256 bytes in a buffer that the journal keeps anyway.
 */
import { EIO, ENOMEM, ENOSPC, errPtr, isErr, ptrErr } from "../../lib/errno";
import { bitmapClear, bitmapSet, bitmapTest } from "../../lib/bitmap";
import { kmemCacheAlloc } from "../../lib/slab";
import { LC_I_DATA_SEM } from "../../sched/lock-class";
import { rwsemInit } from "../../sched/rwsem";
import { waitQueueInit } from "../../sched/wait-queue";
import { Inode, S_IFMT, ilookup, inodeAlloc, insertInodeHash, isNullInode, iput } from "../inode";
import { Buffer, bufferPut, bufferRead } from "./buffer";
import { journalAbort, journalGetWrite, journalLastTid, journalStart, journalStop } from "./journal";
import {
  DINODE_BYTES, DI_ATIME, DI_COUNT, DI_CTIME, DI_DATA_BLOCKS, DI_EXTENTS, DI_FLAGS, DI_GENERATION, DI_LEVEL, DI_MODE, DI_MTIME,
  DI_NLINK, DI_ROOT, DI_SIZE, DI_TREE_BLOCKS, MAX_LEVEL, ORPHAN_SLOTS, ROOT_BYTES, ROOT_ENTRIES,
} from "./layout";
import { BlockFs, BlockInode, CACHE_BLOCK_INODE, Handle, WAIT_BLOCK_IO, blockCache, blockInodeOf } from "./state";

/** The file system of an inode or super block. */
export function blockFsOf(inode: Inode): BlockFs {
  return changetype<BlockFs>(inode.sb.fsPrivate);
}

/** The block of an inode's record. */
function inodeBlock(fs: BlockFs, ino: u32): u32 {
  return fs.inodeTableStart + (ino - 1) / (fs.blockSize / DINODE_BYTES);
}

function recordAt(fs: BlockFs, buffer: Buffer, ino: u32): usize {
  return buffer.data + ((ino - 1) % (fs.blockSize / DINODE_BYTES)) * DINODE_BYTES;
}

/** inode.blocks follows the counters. */
export function inodeCounts(bi: BlockInode): void {
  bi.inode.blocks = <u64>(bi.dataBlocks + bi.treeBlocks + bi.delalloc) << (bi.fs.blockShift - 9);
}

/** A BlockInode for an inode, all zero but its locks. False on ENOMEM. */
function attach(fs: BlockFs, inode: Inode): bool {
  const bi = changetype<BlockInode>(kmemCacheAlloc(blockCache(CACHE_BLOCK_INODE)));
  if (changetype<usize>(bi) == 0) return false;
  rwsemInit(bi.sem, LC_I_DATA_SEM);
  waitQueueInit(bi.ioWait, WAIT_BLOCK_IO);
  bi.fs = fs;
  bi.inode = inode;
  inode.fsPrivate = changetype<usize>(bi);
  return true;
}

/** The inode of a number: referenced, or ERR_PTR. May sleep. */
export function blockIget(fs: BlockFs, ino: u32): usize {
  const sb = fs.sb;
  if (ino == 0 || ino > fs.nrInodes) return errPtr(-EIO);
  const known = ilookup(sb, 0, ino);
  if (!isNullInode(known)) return changetype<usize>(known);
  const got = bufferRead(fs, inodeBlock(fs, ino));
  if (isErr(got)) return got;
  const buffer = changetype<Buffer>(got);
  const result = readRecord(fs, ino, recordAt(fs, buffer, ino));
  bufferPut(buffer);
  return result;
}

/** From a record to an inode in the hash; one emulated step. */
function readRecord(fs: BlockFs, ino: u32, at: usize): usize {
  const raced = ilookup(fs.sb, 0, ino);
  if (!isNullInode(raced)) return changetype<usize>(raced);
  const mode = load<u32>(at, DI_MODE);
  const level: u32 = load<u16>(at, DI_LEVEL);
  const count: u32 = load<u16>(at, DI_COUNT);
  if ((mode & S_IFMT) == 0 || level >= MAX_LEVEL || count > ROOT_ENTRIES || (level != 0 && count == 0)) return errPtr(-EIO);
  const inode = inodeAlloc(fs.sb, mode, ino);
  if (isNullInode(inode)) return errPtr(-ENOMEM);
  if (!attach(fs, inode)) {
    iput(inode);
    return errPtr(-ENOMEM);
  }
  const bi = blockInodeOf(inode);
  inode.nlink = load<u32>(at, DI_NLINK);
  inode.atimeNs = load<u64>(at, DI_ATIME);
  inode.mtimeNs = load<u64>(at, DI_MTIME);
  inode.ctimeNs = load<u64>(at, DI_CTIME);
  inode.mapping.sizeBytes = load<u64>(at, DI_SIZE);
  bi.diskNlink = inode.nlink;
  bi.diskSize = inode.mapping.sizeBytes;
  bi.flags = load<u32>(at, DI_FLAGS);
  bi.generation = load<u32>(at, DI_GENERATION);
  bi.treeBlocks = load<u32>(at, DI_TREE_BLOCKS);
  bi.extents = load<u32>(at, DI_EXTENTS);
  bi.dataBlocks = load<u32>(at, DI_DATA_BLOCKS);
  bi.level = level;
  bi.count = count;
  // Its last change may not be on the disk yet, and nobody knows which transaction's that was.
  bi.metaTid = journalLastTid(fs.journal);
  bi.dataTid = bi.metaTid;
  // What a crash left behind the end of the file nobody knows.
  bi.tailUnsafe = 1;
  memory.copy(bi.root, at + DI_ROOT, ROOT_BYTES);
  inodeCounts(bi);
  insertInodeHash(inode);
  return changetype<usize>(inode);
}

/** The inode's record says what memory says. `data`: fdatasync needs it. Returns 0 or -errno. One credit. */
export function inodeWrite(handle: Handle, bi: BlockInode, data: bool): i32 {
  const fs = bi.fs;
  const inode = bi.inode;
  const got = bufferRead(fs, inodeBlock(fs, inode.ino));
  if (isErr(got)) return ptrErr(got);
  const buffer = changetype<Buffer>(got);
  journalGetWrite(handle, buffer);
  const at = recordAt(fs, buffer, inode.ino);
  store<u32>(at, inode.mode, DI_MODE);
  store<u32>(at, bi.diskNlink, DI_NLINK);
  store<u64>(at, bi.diskSize, DI_SIZE);
  store<u64>(at, inode.atimeNs, DI_ATIME);
  store<u64>(at, inode.mtimeNs, DI_MTIME);
  store<u64>(at, inode.ctimeNs, DI_CTIME);
  store<u32>(at, bi.flags, DI_FLAGS);
  store<u32>(at, bi.generation, DI_GENERATION);
  store<u32>(at, bi.treeBlocks, DI_TREE_BLOCKS);
  store<u32>(at, bi.extents, DI_EXTENTS);
  store<u32>(at, bi.dataBlocks, DI_DATA_BLOCKS);
  store<u16>(at, <u16>bi.level, DI_LEVEL);
  store<u16>(at, <u16>bi.count, DI_COUNT);
  memory.copy(at + DI_ROOT, bi.root, ROOT_BYTES);
  bufferPut(buffer);
  bi.metaTid = handle.txn.tid;
  if (data) bi.dataTid = handle.txn.tid;
  inodeCounts(bi);
  return 0;
}

/** ->dirtyInode: times or mode changed in memory. May wait for a commit. */
export function blockDirtyInode(inode: Inode): i32 {
  const fs = blockFsOf(inode);
  const got = journalStart(fs, 1);
  if (isErr(got)) return ptrErr(got);
  const handle = changetype<Handle>(got);
  const error = inodeWrite(handle, blockInodeOf(inode), false);
  journalStop(handle);
  return error;
}

/** A free inode number, taken under the handle: the number, 0 when there is none, or -errno. One credit. */
function inoTake(handle: Handle): i32 {
  const fs = handle.fs;
  const bits = fs.blockSize * 8;
  let tried: u32 = 0;
  while (tried < fs.nrInodes) {
    const from = (fs.inodeRotor + tried) % fs.nrInodes;
    const got = bufferRead(fs, fs.inodeBitmapStart + from / bits);
    if (isErr(got)) return ptrErr(got);
    const buffer = changetype<Buffer>(got);
    const first = from - (from % bits);
    let at = from;
    while (at < fs.nrInodes && at < first + bits && bitmapTest(buffer.data, at - first)) at++;
    if (at < fs.nrInodes && at < first + bits) {
      journalGetWrite(handle, buffer);
      // The right to write may have been waited for.
      const raced = bitmapTest(buffer.data, at - first);
      if (!raced) bitmapSet(buffer.data, at - first);
      bufferPut(buffer);
      if (raced) continue;
      fs.freeInodes--;
      fs.inodeRotor = at;
      return <i32>(at + 1);
    }
    bufferPut(buffer);
    tried += at - from;
  }
  return 0;
}

/** A new inode without names: referenced and in the hash, or ERR_PTR. Its record is the caller's to write. One credit. */
export function inodeNew(handle: Handle, mode: u32): usize {
  const fs = handle.fs;
  if (fs.freeInodes == 0) return errPtr(-ENOSPC);
  const ino = inoTake(handle);
  if (ino <= 0) return errPtr(ino == 0 ? -ENOSPC : ino);
  const inode = inodeAlloc(fs.sb, mode, <u32>ino);
  if (isNullInode(inode) || !attach(fs, inode)) {
    if (!isNullInode(inode)) iput(inode);
    const error = inoGive(handle, <u32>ino);
    return errPtr(error != 0 ? error : -ENOMEM);
  }
  blockInodeOf(inode).generation = handle.txn.tid;
  insertInodeHash(inode);
  return changetype<usize>(inode);
}

function inoGive(handle: Handle, ino: u32): i32 {
  const fs = handle.fs;
  const bits = fs.blockSize * 8;
  const got = bufferRead(fs, fs.inodeBitmapStart + (ino - 1) / bits);
  if (isErr(got)) return ptrErr(got);
  const buffer = changetype<Buffer>(got);
  journalGetWrite(handle, buffer);
  assert(bitmapTest(buffer.data, (ino - 1) % bits), "[bi-3] an inode is freed once");
  bitmapClear(buffer.data, (ino - 1) % bits);
  bufferPut(buffer);
  fs.freeInodes++;
  return 0;
}

/** The inode is no more: record, number, orphan slot. Returns 0 or -errno. Three credits. */
export function inodeFree(handle: Handle, bi: BlockInode): i32 {
  const fs = bi.fs;
  const ino = bi.inode.ino;
  const got = bufferRead(fs, inodeBlock(fs, ino));
  if (isErr(got)) return ptrErr(got);
  const buffer = changetype<Buffer>(got);
  journalGetWrite(handle, buffer);
  memory.fill(recordAt(fs, buffer, ino), 0, DINODE_BYTES);
  bufferPut(buffer);
  const error = orphanDel(handle, bi);
  return error != 0 ? error : inoGive(handle, ino);
}

/** The buffer of an orphan slot, or ERR_PTR. */
function orphanBuffer(fs: BlockFs, slot: u32): usize {
  return bufferRead(fs, fs.orphanStart + slot / (fs.blockSize / 4));
}

function orphanAt(fs: BlockFs, buffer: Buffer, slot: u32): usize {
  return buffer.data + (slot % (fs.blockSize / 4)) * 4;
}

/** Puts the inode into the list of orphans. Returns 0, -ENOSPC when a thousand are there, -errno. One credit. */
export function orphanAdd(handle: Handle, bi: BlockInode): i32 {
  const fs = bi.fs;
  if (bi.orphanSlot != 0) return 0;
  let slot: u32 = 0;
  while (slot < ORPHAN_SLOTS) {
    const got = orphanBuffer(fs, slot);
    if (isErr(got)) return ptrErr(got);
    const buffer = changetype<Buffer>(got);
    const first = slot;
    while (slot < first + fs.blockSize / 4 && load<u32>(orphanAt(fs, buffer, slot)) != 0) slot++;
    if (slot == first + fs.blockSize / 4) {
      bufferPut(buffer);
      continue;
    }
    journalGetWrite(handle, buffer);
    const raced = load<u32>(orphanAt(fs, buffer, slot)) != 0;
    if (!raced) store<u32>(orphanAt(fs, buffer, slot), bi.inode.ino);
    bufferPut(buffer);
    if (raced) {
      slot = first;
      continue;
    }
    bi.orphanSlot = slot + 1;
    return 0;
  }
  return -ENOSPC;
}

/** Takes it out again. One credit. */
export function orphanDel(handle: Handle, bi: BlockInode): i32 {
  if (bi.orphanSlot == 0) return 0;
  const fs = bi.fs;
  const slot = bi.orphanSlot - 1;
  const got = orphanBuffer(fs, slot);
  if (isErr(got)) return ptrErr(got);
  const buffer = changetype<Buffer>(got);
  journalGetWrite(handle, buffer);
  assert(load<u32>(orphanAt(fs, buffer, slot)) == bi.inode.ino, "[bi-3] the slot is the inode's");
  store<u32>(orphanAt(fs, buffer, slot), 0);
  bufferPut(buffer);
  bi.orphanSlot = 0;
  return 0;
}

/** The inode number in an orphan slot, 0 for an empty one, or -errno. */
export function orphanIno(fs: BlockFs, slot: u32): i32 {
  const got = orphanBuffer(fs, slot);
  if (isErr(got)) return ptrErr(got);
  const buffer = changetype<Buffer>(got);
  const ino = load<i32>(orphanAt(fs, buffer, slot));
  bufferPut(buffer);
  return ino;
}

/** A step of a change failed when something of it was done already: the filesystem is shut down. Returns the error. */
export function failChange(fs: BlockFs, error: i32): i32 {
  if (error != 0) journalAbort(fs, error);
  return error;
}
