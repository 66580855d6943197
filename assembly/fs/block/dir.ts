/*
 * Directories: blocks of records in the manner of ext2, changed in place under a handle.
 *
 *     block   | rec | rec | rec: recLen reaches to the end |          a record's slack, behind its name, takes the next name
 *
 * Interface: dirFind, dirAddPrepare, dirAdd, dirRemove, dirSetIno, dirIsEmpty, dirIterate, foundIno, contentBlock, contentGrow.
 * Invariants:
 *   [di-1] the records of a block follow each other and fill it; two used records of a directory have different names.
 *   [di-2] a record does not move: its byte offset is its cookie.
 *   [di-3] i_size of a directory is its blocks; every one is mapped.
 * Locks: the directory's i_rwsem, for writing to change.
 * Why not a hash index: a machine's directories are small, and a scan is what a reader of the disk can follow.
 */
import { EIO, ENOSPC, errPtr, isErr, ptrErr } from "../../lib/errno";
import { downRead, downWrite, upRead, upWrite } from "../../sched/rwsem";
import { DirEntry } from "../operations";
import { S_IFDIR, S_IFLNK, S_IFREG, iSizeWrite } from "../inode";
import { Buffer, bufferNew, bufferPut, bufferRead } from "./buffer";
import { MAP_WRITTEN, extentInsert, extentLookup, mapDisk, mapState, metaClaim, metaDrop } from "./extents";
import { inodeCounts } from "./inode-table";
import { journalAbort, journalGetWrite } from "./journal";
import { DE_INO, DE_NAME, DE_NAME_LEN, DE_REC_LEN, DE_TYPE, recordBytes } from "./layout";
import { bitmapUpdate, runStart, spaceGiveBack, spaceRelease, spaceReserve, spaceTake } from "./space";
import { BlockInode, Handle } from "./state";

/** Types in records, as ext2's. */
const FT_REG: u8 = 1;
const FT_DIR: u8 = 2;
const FT_LNK: u8 = 7;

export function fileTypeOf(mode: u32): u8 {
  const type = mode & 0xf000;
  return type == S_IFDIR ? FT_DIR : type == S_IFLNK ? FT_LNK : FT_REG;
}

function modeOfType(type: u8): u32 {
  return type == FT_DIR ? S_IFDIR : type == FT_LNK ? S_IFLNK : S_IFREG;
}

export function foundIno(found: i64): u32 {
  return <u32>found;
}

function foundOffset(found: i64): u32 {
  return <u32>(found >> 32);
}

/** The nth block of a directory or of a long link: a Buffer, or ERR_PTR. */
export function contentBlock(bi: BlockInode, block: u32): usize {
  downRead(bi.sem);
  const map = extentLookup(bi, block);
  upRead(bi.sem);
  if (mapState(map) != MAP_WRITTEN) return errPtr(-EIO);
  return bufferRead(bi.fs, mapDisk(map));
}

function dirBlocks(bi: BlockInode): u32 {
  return <u32>(bi.inode.mapping.sizeBytes >> bi.fs.blockShift);
}

/** Length of the record at an offset of a block, or 0 when it is none. */
function recordLength(bi: BlockInode, data: usize, at: u32): u32 {
  const length: u32 = load<u16>(data + at, DE_REC_LEN);
  const used = recordBytes(load<u8>(data + at, DE_NAME_LEN));
  const bad = length < used || (length & 3) != 0 || at + length > bi.fs.blockSize;
  return bad ? 0 : length;
}

function isName(record: usize, name: usize, lenBytes: u32): bool {
  if (load<u32>(record, DE_INO) == 0 || <u32>load<u8>(record, DE_NAME_LEN) != lenBytes) return false;
  return memory.compare(record + DE_NAME, name, lenBytes) == 0;
}

/** The record of a name: its byte offset in the high half, its inode in the low. 0: there is none. Or -errno. */
export function dirFind(bi: BlockInode, name: usize, lenBytes: u32): i64 {
  const blocks = dirBlocks(bi);
  for (let block: u32 = 0; block < blocks; block++) {
    const got = contentBlock(bi, block);
    if (isErr(got)) return ptrErr(got);
    const buffer = changetype<Buffer>(got);
    let at: u32 = 0;
    let result: i64 = 0;
    while (at < bi.fs.blockSize && result == 0) {
      const length = recordLength(bi, buffer.data, at);
      if (length == 0) result = -EIO;
      else if (isName(buffer.data + at, name, lenBytes)) {
        result = ((<i64>((block << bi.fs.blockShift) + at)) << 32) | load<u32>(buffer.data + at, DE_INO);
      }
      at += length;
    }
    bufferPut(buffer);
    if (result != 0) return result;
  }
  return 0;
}

/** Free bytes that the record at `record` has behind its name; all of it when it is unused. */
function slackOf(record: usize, length: u32): u32 {
  return load<u32>(record, DE_INO) == 0 ? length : length - recordBytes(load<u8>(record, DE_NAME_LEN));
}

/** The block with room for a name of that length; the number of blocks when there is none; or -errno. */
function blockWithRoom(bi: BlockInode, lenBytes: u32): i64 {
  const blocks = dirBlocks(bi);
  const need = recordBytes(lenBytes);
  for (let block: u32 = 0; block < blocks; block++) {
    const got = contentBlock(bi, block);
    if (isErr(got)) return ptrErr(got);
    const buffer = changetype<Buffer>(got);
    let at: u32 = 0;
    let result: i64 = -1;
    while (at < bi.fs.blockSize && result == -1) {
      const length = recordLength(bi, buffer.data, at);
      if (length == 0) result = -EIO;
      else if (slackOf(buffer.data + at, length) >= need) result = block;
      at += length;
    }
    bufferPut(buffer);
    if (result != -1) return result;
  }
  return blocks;
}

/**
 * A block with room for the name is made ready, a new one if it must be: nothing that comes after can lack space. Returns the
 * block's number, -ENOSPC or -ENOMEM with nothing changed, or another -errno. Credits: extentCredits(1) and two.
 */
export function dirAddPrepare(handle: Handle, bi: BlockInode, lenBytes: u32): i64 {
  const block = blockWithRoom(bi, lenBytes);
  if (block < 0 || block < <i64>dirBlocks(bi)) return block;
  const error = contentGrow(handle, bi, false);
  return error != 0 ? <i64>error : block;
}

/**
 * One more block at the end of a directory or link, an empty record in it; `promised`: it is reserved. Returns 0; -ENOSPC or -ENOMEM with
 * nothing changed; or -EIO with the filesystem shut down.
 */
export function contentGrow(handle: Handle, bi: BlockInode, promised: bool): i32 {
  const fs = bi.fs;
  if (!promised && !spaceReserve(fs, 1)) return -ENOSPC;
  if (!metaClaim(bi)) {
    spaceRelease(fs, 1);
    return -ENOSPC;
  }
  const disk = runStart(spaceTake(fs, 1, 0));
  // Memory first: want of it changes nothing.
  const got = bufferNew(fs, disk);
  if (isErr(got)) {
    spaceGiveBack(fs, disk, 1);
    metaDrop(bi);
    return ptrErr(got);
  }
  const buffer = changetype<Buffer>(got);
  let error = bitmapUpdate(handle, disk, 1, true);
  downWrite(bi.sem);
  if (error == 0) error = extentInsert(handle, bi, dirBlocks(bi), disk, 1, MAP_WRITTEN);
  upWrite(bi.sem);
  metaDrop(bi);
  if (error != 0) {
    // Half done: not for the caller to take as nothing done.
    bufferPut(buffer);
    journalAbort(fs, error);
    return -EIO;
  }
  journalGetWrite(handle, buffer);
  store<u16>(buffer.data, <u16>fs.blockSize, DE_REC_LEN);
  bufferPut(buffer);
  bi.dataBlocks++;
  iSizeWrite(bi.inode, bi.inode.mapping.sizeBytes + fs.blockSize);
  bi.diskSize = bi.inode.mapping.sizeBytes;
  inodeCounts(bi);
  return 0;
}

/** Writes a record for the name into a block that dirAddPrepare found. Returns 0 or -errno. One credit. */
export function dirAdd(handle: Handle, bi: BlockInode, block: u32, name: usize, lenBytes: u32, ino: u32, type: u8): i32 {
  const got = contentBlock(bi, block);
  if (isErr(got)) return ptrErr(got);
  const buffer = changetype<Buffer>(got);
  journalGetWrite(handle, buffer);
  const need = recordBytes(lenBytes);
  let at = buffer.data;
  let length = recordLength(bi, buffer.data, 0);
  while (slackOf(at, length) < need) {
    at += length;
    assert(at < buffer.data + bi.fs.blockSize, "[di-1] the block has room for the name");
    length = recordLength(bi, buffer.data, <u32>(at - buffer.data));
  }
  if (load<u32>(at, DE_INO) != 0) {
    const used = recordBytes(load<u8>(at, DE_NAME_LEN));
    store<u16>(at, <u16>used, DE_REC_LEN);
    at += used;
    length -= used;
  }
  store<u32>(at, ino, DE_INO);
  store<u16>(at, <u16>length, DE_REC_LEN);
  store<u8>(at, <u8>lenBytes, DE_NAME_LEN);
  store<u8>(at, type, DE_TYPE);
  memory.copy(at + DE_NAME, name, lenBytes);
  bufferPut(buffer);
  return 0;
}

/** The record that dirFind found goes. Returns 0 or -errno. One credit. */
export function dirRemove(handle: Handle, bi: BlockInode, found: i64): i32 {
  const offset = foundOffset(found);
  const got = contentBlock(bi, offset >> bi.fs.blockShift);
  if (isErr(got)) return ptrErr(got);
  const buffer = changetype<Buffer>(got);
  journalGetWrite(handle, buffer);
  const target = offset & (bi.fs.blockSize - 1);
  const length = recordLength(bi, buffer.data, target);
  let previous: u32 = 0;
  for (let at: u32 = 0; at < target; at += recordLength(bi, buffer.data, at)) previous = at;
  if (target == 0) store<u32>(buffer.data, 0, DE_INO);
  else {
    const record = buffer.data + previous;
    store<u16>(record, <u16>(load<u16>(record, DE_REC_LEN) + length), DE_REC_LEN);
  }
  bufferPut(buffer);
  return 0;
}

/** The record that dirFind found names another inode (rename over a name, exchange). Returns 0 or -errno. One credit. */
export function dirSetIno(handle: Handle, bi: BlockInode, found: i64, ino: u32, type: u8): i32 {
  const offset = foundOffset(found);
  const got = contentBlock(bi, offset >> bi.fs.blockShift);
  if (isErr(got)) return ptrErr(got);
  const buffer = changetype<Buffer>(got);
  journalGetWrite(handle, buffer);
  const record = buffer.data + (offset & (bi.fs.blockSize - 1));
  store<u32>(record, ino, DE_INO);
  store<u8>(record, type, DE_TYPE);
  bufferPut(buffer);
  return 0;
}

/** ->iterate: the first used record at or behind a cookie; see operations.ts. A null entry only asks whether there is one. */
export function dirIterate(bi: BlockInode, pos: u64, entry: DirEntry): i64 {
  const blocks = dirBlocks(bi);
  let block = <u32>(pos >> bi.fs.blockShift);
  let from = <u32>pos & (bi.fs.blockSize - 1);
  for (; block < blocks; block++) {
    const got = contentBlock(bi, block);
    if (isErr(got)) return ptrErr(got);
    const buffer = changetype<Buffer>(got);
    let at: u32 = 0;
    let result: i64 = 0;
    while (at < bi.fs.blockSize && result == 0) {
      const length = recordLength(bi, buffer.data, at);
      if (length == 0) result = -EIO;
      else if (at >= from && load<u32>(buffer.data + at, DE_INO) != 0) {
        if (changetype<usize>(entry) != 0) fillEntry(entry, buffer.data + at);
        result = (<i64>block << bi.fs.blockShift) + at + length;
      }
      at += length;
    }
    bufferPut(buffer);
    if (result != 0) return result;
    from = 0;
  }
  return 0;
}

function fillEntry(entry: DirEntry, record: usize): void {
  const length: u32 = load<u8>(record, DE_NAME_LEN);
  entry.ino = load<u32>(record, DE_INO);
  entry.type = modeOfType(load<u8>(record, DE_TYPE));
  entry.nameLength = length;
  memory.copy(entry.name, record + DE_NAME, length);
}

/** 1 when no record is used, 0, or -errno. */
export function dirIsEmpty(bi: BlockInode): i32 {
  const next = dirIterate(bi, 0, changetype<DirEntry>(0));
  return next == 0 ? 1 : next < 0 ? <i32>next : 0;
}
