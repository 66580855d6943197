/*
 * The operations on names: lookup, create, symlink, link, unlink, rename. Each change is one handle.
 *
 *     a change:  handle -> whatever may fail for want of space -> record, inodes -> stop; ENOSPC: flush and commit, once more
 *
 * Interface: blockLookup, blockCreate, blockSymlink, blockReadlink, blockLink, blockUnlink, blockRename, blockIsEmpty, blockIterate.
 * Invariants:
 *   [na-1] after the first change under a handle only EIO can stop an operation, and that shuts the filesystem down.
 *   [bi-2] the disk's link counts change here, memory's in the VFS.
 * Locks: as operations.ts says; handles inside.
 * Why not undo in memory: what needs space is done before what needs undoing.
 */
import { EINVAL, EIO, ENAMETOOLONG, ENOENT, ENOMEM, ENOSPC, errPtr, isErr, ptrErr } from "../../lib/errno";
import { DirEntry, RENAME_EXCHANGE, RENAME_NOREPLACE } from "../operations";
import { Inode, S_IFLNK, currentTimeNs, iSizeWrite, iput, isDirectory, isNullInode, touchTimes } from "../inode";
import { Buffer, bufferPut } from "./buffer";
import {
  contentBlock, contentGrow, dirAdd, dirAddPrepare, dirFind, dirIsEmpty, dirIterate, dirRemove, dirSetIno, fileTypeOf, foundIno,
} from "./dir";
import { extentCredits } from "./extents";
import { blockFsOf, blockIget, failChange, inodeNew, inodeWrite, orphanAdd } from "./inode-table";
import { journalGetWrite, journalStart, journalStop } from "./journal";
import { DIF_INLINE, ROOT_BYTES } from "./layout";
import { spaceShrink } from "./reserve";
import { spaceRelease, spaceReserve } from "./space";
import { BlockInode, Handle, blockInodeOf } from "./state";

/** A name in a record is as long as a byte can say. */
const NAME_LIMIT: u32 = 255;

export function blockLookup(dir: Inode, name: usize, lenBytes: u32): usize {
  const found = dirFind(blockInodeOf(dir), name, lenBytes);
  if (found == 0) return 0;
  if (found < 0) return errPtr(<i32>found);
  return blockIget(blockFsOf(dir), foundIno(found));
}

export function blockIsEmpty(dir: Inode): i32 {
  return dirIsEmpty(blockInodeOf(dir));
}

export function blockIterate(dir: Inode, pos: u64, entry: DirEntry): i64 {
  return dirIterate(blockInodeOf(dir), pos, entry);
}

/** Credits of a new name in a directory: its block, its inode, and what a new block of it needs. */
function nameCredits(dir: BlockInode): u32 {
  return extentCredits(dir, 1) + 1;
}

/** A new inode and its name. `target`: of a symbolic link, or 0. A referenced inode or ERR_PTR. */
function make(dir: Inode, name: usize, lenBytes: u32, mode: u32, target: usize, targetBytes: u32): usize {
  if (lenBytes > NAME_LIMIT) return errPtr(-ENAMETOOLONG);
  const fs = blockFsOf(dir);
  const bi = blockInodeOf(dir);
  let attempt: u32 = 0;
  while (true) {
    // Number, record; a long link's blocks: bitmap, blocks, never more extents than a root holds.
    const linkBlocks = (targetBytes + fs.blockSize - 1) >> fs.blockShift;
    const got = journalStart(fs, nameCredits(bi) + 2 + (targetBytes > ROOT_BYTES ? linkBlocks + fs.bitmapBlocks : 0));
    if (isErr(got)) return got;
    const handle = changetype<Handle>(got);
    const made = makeUnder(handle, dir, name, lenBytes, mode, target, targetBytes);
    const lost = changetype<Inode>(isErr(made) ? handle.made : 0);
    journalStop(handle);
    if (!isNullInode(lost)) iput(lost);
    if (made != errPtr(-ENOSPC) || attempt++ != 0 || !spaceShrink(fs)) return made;
  }
}

function makeUnder(handle: Handle, dir: Inode, name: usize, lenBytes: u32, mode: u32, target: usize, targetBytes: u32): usize {
  const fs = handle.fs;
  const bi = blockInodeOf(dir);
  const linkBlocks = targetBytes > ROOT_BYTES ? (targetBytes + fs.blockSize - 1) >> fs.blockShift : 0;
  if (!spaceReserve(fs, linkBlocks)) return errPtr(-ENOSPC);
  const block = dirAddPrepare(handle, bi, lenBytes);
  const got = block < 0 ? errPtr(<i32>block) : inodeNew(handle, mode);
  if (isErr(got)) {
    spaceRelease(fs, linkBlocks);
    if (got != errPtr(-ENOSPC) && got != errPtr(-ENOMEM)) return errPtr(failChange(fs, ptrErr(got)));
    // The directory may have a new, empty block: that is written all the same.
    const error = inodeWrite(handle, bi, true);
    return error != 0 ? errPtr(failChange(fs, error)) : got;
  }
  const inode = changetype<Inode>(got);
  handle.made = got;
  const made = blockInodeOf(inode);
  let error: i32 = targetBytes != 0 ? storeTarget(handle, made, target, targetBytes) : 0;
  made.diskNlink = isDirectory(inode) ? 2 : 1;
  if (error == 0) error = inodeWrite(handle, made, true);
  if (error == 0) error = dirAdd(handle, bi, <u32>block, name, lenBytes, inode.ino, fileTypeOf(mode));
  touchTimes(dir);
  if (isDirectory(inode)) bi.diskNlink++;
  if (error == 0) error = inodeWrite(handle, bi, true);
  return error != 0 ? errPtr(failChange(fs, error)) : got;
}

/** The target of a symbolic link: in the inode, or in blocks of its own. */
function storeTarget(handle: Handle, bi: BlockInode, target: usize, targetBytes: u32): i32 {
  const fs = bi.fs;
  if (targetBytes <= ROOT_BYTES) {
    bi.flags |= DIF_INLINE;
    memory.copy(bi.root, target, targetBytes);
    iSizeWrite(bi.inode, targetBytes);
    bi.diskSize = targetBytes;
    return 0;
  }
  for (let done: u32 = 0; done < targetBytes; done += fs.blockSize) {
    const error = contentGrow(handle, bi, true);
    if (error != 0) return error;
    const got = contentBlock(bi, done >> fs.blockShift);
    if (isErr(got)) return ptrErr(got);
    const buffer = changetype<Buffer>(got);
    journalGetWrite(handle, buffer);
    const n = targetBytes - done < fs.blockSize ? targetBytes - done : fs.blockSize;
    memory.fill(buffer.data, 0, fs.blockSize);
    memory.copy(buffer.data, target + done, n);
    bufferPut(buffer);
  }
  iSizeWrite(bi.inode, targetBytes);
  bi.diskSize = targetBytes;
  return 0;
}

export function blockCreate(dir: Inode, name: usize, lenBytes: u32, mode: u32): usize {
  return make(dir, name, lenBytes, mode, 0, 0);
}

export function blockSymlink(dir: Inode, name: usize, lenBytes: u32, target: usize, targetBytes: u32): usize {
  return make(dir, name, lenBytes, S_IFLNK | 0x1ff, target, targetBytes);
}

export function blockReadlink(inode: Inode, buffer: usize, lenBytes: u32): i32 {
  const bi = blockInodeOf(inode);
  const size = <u32>inode.mapping.sizeBytes;
  const n = size < lenBytes ? size : lenBytes;
  if ((bi.flags & DIF_INLINE) != 0) {
    memory.copy(buffer, bi.root, n);
    return n;
  }
  for (let done: u32 = 0; done < n; done += bi.fs.blockSize) {
    const got = contentBlock(bi, done >> bi.fs.blockShift);
    if (isErr(got)) return ptrErr(got);
    const block = changetype<Buffer>(got);
    memory.copy(buffer + done, block.data, n - done < bi.fs.blockSize ? n - done : bi.fs.blockSize);
    bufferPut(block);
  }
  return n;
}

export function blockLink(inode: Inode, dir: Inode, name: usize, lenBytes: u32): i32 {
  const fs = blockFsOf(dir);
  let attempt: u32 = 0;
  while (true) {
    const got = journalStart(fs, nameCredits(blockInodeOf(dir)) + 1);
    if (isErr(got)) return ptrErr(got);
    const handle = changetype<Handle>(got);
    const error = linkUnder(handle, inode, dir, name, lenBytes);
    journalStop(handle);
    if (error != -ENOSPC || attempt++ != 0 || !spaceShrink(fs)) return error;
  }
}

function linkUnder(handle: Handle, inode: Inode, dir: Inode, name: usize, lenBytes: u32): i32 {
  const fs = handle.fs;
  const bi = blockInodeOf(dir);
  const target = blockInodeOf(inode);
  const block = dirAddPrepare(handle, bi, lenBytes);
  if (block == -ENOSPC || block == -ENOMEM) return <i32>block;
  if (block < 0) return failChange(fs, <i32>block);
  let error = dirAdd(handle, bi, <u32>block, name, lenBytes, inode.ino, fileTypeOf(inode.mode));
  touchTimes(dir);
  inode.ctimeNs = currentTimeNs();
  target.diskNlink++;
  if (error == 0) error = inodeWrite(handle, target, false);
  if (error == 0) error = inodeWrite(handle, bi, true);
  return failChange(fs, error);
}

/** The inode loses a name on the disk; without another one it is an orphan until it is evicted. Two credits. */
function dropLink(handle: Handle, bi: BlockInode): i32 {
  bi.inode.ctimeNs = currentTimeNs();
  const last: u32 = isDirectory(bi.inode) ? 2 : 1;
  bi.diskNlink -= last;
  if (bi.diskNlink == 0) {
    const error = orphanAdd(handle, bi);
    if (error != 0) {
      bi.diskNlink += last;
      return error;
    }
  }
  return inodeWrite(handle, bi, false);
}

export function blockUnlink(dir: Inode, name: usize, lenBytes: u32, inode: Inode): i32 {
  const fs = blockFsOf(dir);
  const bi = blockInodeOf(dir);
  const found = dirFind(bi, name, lenBytes);
  if (found <= 0) return found == 0 ? -ENOENT : <i32>found;
  if (foundIno(found) != inode.ino) return -EIO;
  const got = journalStart(fs, 4);
  if (isErr(got)) return ptrErr(got);
  const handle = changetype<Handle>(got);
  let error = dropLink(handle, blockInodeOf(inode));
  if (error != -ENOSPC) {
    if (error == 0) error = dirRemove(handle, bi, found);
    touchTimes(dir);
    if (isDirectory(inode)) bi.diskNlink--;
    if (error == 0) error = inodeWrite(handle, bi, true);
    failChange(fs, error);
  }
  journalStop(handle);
  return error;
}

export function blockRename(
  oldDir: Inode, oldName: usize, oldLenBytes: u32, newDir: Inode, newName: usize, newLenBytes: u32, inode: Inode,
  replaced: Inode, flags: u32,
): i32 {
  if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0) return -EINVAL;
  const fs = blockFsOf(oldDir);
  let attempt: u32 = 0;
  while (true) {
    const from = dirFind(blockInodeOf(oldDir), oldName, oldLenBytes);
    const to = dirFind(blockInodeOf(newDir), newName, newLenBytes);
    if (from <= 0 || to < 0) return from == 0 ? -ENOENT : from < 0 ? <i32>from : <i32>to;
    if ((to != 0) != (changetype<usize>(replaced) != 0)) return -EIO;
    const got = journalStart(fs, nameCredits(blockInodeOf(newDir)) + 5);
    if (isErr(got)) return ptrErr(got);
    const handle = changetype<Handle>(got);
    let error: i32;
    if ((flags & RENAME_EXCHANGE) != 0) error = exchangeUnder(handle, oldDir, from, newDir, to, inode, replaced);
    else error = renameUnder(handle, oldDir, from, newDir, to, newName, newLenBytes, inode, replaced);
    journalStop(handle);
    if (error != -ENOSPC || attempt++ != 0 || !spaceShrink(fs)) return error;
  }
}

/** Times of both directories and of what moved; all records. */
function finishRename(handle: Handle, oldDir: Inode, newDir: Inode, inode: Inode): i32 {
  touchTimes(oldDir);
  touchTimes(newDir);
  inode.ctimeNs = currentTimeNs();
  let error = inodeWrite(handle, blockInodeOf(inode), false);
  if (error == 0) error = inodeWrite(handle, blockInodeOf(oldDir), true);
  if (error == 0) error = inodeWrite(handle, blockInodeOf(newDir), true);
  return error;
}

function renameUnder(
  handle: Handle, oldDir: Inode, from: i64, newDir: Inode, to: i64, newName: usize, newLenBytes: u32, inode: Inode, replaced: Inode,
): i32 {
  const fs = handle.fs;
  const a = blockInodeOf(oldDir);
  const b = blockInodeOf(newDir);
  let error: i32 = 0;
  if (to != 0) {
    error = dropLink(handle, blockInodeOf(replaced));
    if (error == -ENOSPC) return error;
    if (error == 0) error = dirSetIno(handle, b, to, inode.ino, fileTypeOf(inode.mode));
    if (isDirectory(replaced)) b.diskNlink--;
  } else {
    const block = dirAddPrepare(handle, b, newLenBytes);
    if (block == -ENOSPC || block == -ENOMEM) return <i32>block;
    error = block < 0 ? <i32>block : dirAdd(handle, b, <u32>block, newName, newLenBytes, inode.ino, fileTypeOf(inode.mode));
  }
  if (error == 0) error = dirRemove(handle, a, from);
  if (isDirectory(inode)) {
    a.diskNlink--;
    b.diskNlink++;
  }
  if (error == 0) error = finishRename(handle, oldDir, newDir, inode);
  return failChange(fs, error);
}

function exchangeUnder(handle: Handle, oldDir: Inode, from: i64, newDir: Inode, to: i64, inode: Inode, replaced: Inode): i32 {
  const a = blockInodeOf(oldDir);
  const b = blockInodeOf(newDir);
  let error = dirSetIno(handle, a, from, replaced.ino, fileTypeOf(replaced.mode));
  if (error == 0) error = dirSetIno(handle, b, to, inode.ino, fileTypeOf(inode.mode));
  if (isDirectory(inode) && !isDirectory(replaced)) {
    a.diskNlink--;
    b.diskNlink++;
  } else if (!isDirectory(inode) && isDirectory(replaced)) {
    a.diskNlink++;
    b.diskNlink--;
  }
  replaced.ctimeNs = currentTimeNs();
  if (error == 0) error = inodeWrite(handle, blockInodeOf(replaced), false);
  if (error == 0) error = finishRename(handle, oldDir, newDir, inode);
  return failChange(handle.fs, error);
}
