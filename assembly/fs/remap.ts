/*
 * Files that share: FICLONE, FICLONERANGE, and copy_file_range, which clones where it can and copies where it cannot.
 *
 * Interface: cloneRange, sysCopyFileRange; for filesystems that clone: lockMappings, unlockMappings, dropClonedPages.
 * Invariants:
 *   [rm-1] ->remapFileRange gets ranges that lie in the source, are aligned to blocks (but for the source's end) and do not overlap.
 *   [rm-2] of two files the one at the lower address is locked first.
 * Locks: sb_writers -> i_rwsem of both files (i_rwsem, i_rwsem/1) -> (the filesystem) both invalidate_locks. The copy locks the target
 *        only, page by page of the source.
 * Why not dedupe: it compares under the same locks and then clones; nothing on the fault path tells it from a clone.
 */
import { EBADF, EFAULT, EFBIG, EINTR, EINVAL, EISDIR, ENOMEM, EOPNOTSUPP, EXDEV } from "../lib/errno";
import { M_REFLINK_UNLOCKED, mutant } from "../lib/mutant";
import { PAGE_MASK, PAGE_SHIFT, PAGE_SIZE } from "../memlayout";
import { LC_INVALIDATE_LOCK_NESTED, LC_I_RWSEM_NESTED } from "../sched/lock-class";
import { downWrite, downWriteNested, upWrite } from "../sched/rwsem";
import { currentTask } from "../sched/state";
import { putFile } from "../mm/address-space";
import { readCachePage } from "../mm/filemap";
import { GFP_KERNEL, allocPage, putPage } from "../mm/page-alloc";
import { Page, isNullPage, pageAddress } from "../mm/page";
import { punchPageCache } from "../mm/truncate";
import { copyFromUser, copyToUser } from "../mm/uaccess";
import { O_APPEND, VfsFile } from "./file";
import { Inode, isDirectory, isRegular } from "./inode";
import { writeFromKernel } from "./read-write";
import { scratchAlloc, scratchFree } from "./scratch";
import { sbEndWrite, sbStartWrite } from "./super";
import { fdHold, fileIsNull, mayRead, mayWrite } from "./syscalls";

const MAX_COPY_BYTES: u64 = 0x7fff_f000;

/** What clone and copy ask of the two files. */
function checkFiles(src: VfsFile, dst: VfsFile): i32 {
  if (isDirectory(src.host) || isDirectory(dst.host)) return -EISDIR;
  if (!isRegular(src.host) || !isRegular(dst.host)) return -EINVAL;
  if (!mayRead(src) || !mayWrite(dst) || (dst.flags & O_APPEND) != 0) return -EBADF;
  return changetype<usize>(src.host.sb) != changetype<usize>(dst.host.sb) ? -EXDEV : 0;
}

function overlaps(src: Inode, srcPos: u64, dst: Inode, dstPos: u64, lenBytes: u64): bool {
  return changetype<usize>(src) == changetype<usize>(dst) && srcPos < dstPos + lenBytes && dstPos < srcPos + lenBytes;
}

/** [rm-1] Preconditions: both inodes are locked; lenBytes is not 0. */
function checkRange(src: Inode, srcPos: u64, dst: Inode, dstPos: u64, lenBytes: u64): i32 {
  const mask = <u64>src.sb.blockSize - 1;
  const srcEnd = srcPos + lenBytes;
  const srcSize = src.mapping.sizeBytes;
  if (srcEnd < srcPos || dstPos + lenBytes < dstPos || dstPos + lenBytes > dst.sb.maxBytes) return -EINVAL;
  if (((srcPos | dstPos) & mask) != 0 || srcEnd > srcSize) return -EINVAL;
  if ((srcEnd & mask) != 0) {
    // The source's last block may be cut short, if no block of the target goes on behind it.
    if (srcEnd != srcSize || dstPos + lenBytes < dst.mapping.sizeBytes) return -EINVAL;
  }
  return overlaps(src, srcPos, dst, dstPos, lenBytes) ? -EINVAL : 0;
}

function lockBoth(a: Inode, b: Inode): void {
  const aFirst = changetype<usize>(a) <= changetype<usize>(b);
  downWrite(aFirst ? a.rwsem : b.rwsem);
  if (changetype<usize>(a) != changetype<usize>(b)) downWriteNested(aFirst ? b.rwsem : a.rwsem, LC_I_RWSEM_NESTED);
}

function unlockBoth(a: Inode, b: Inode): void {
  upWrite(a.rwsem);
  if (changetype<usize>(a) != changetype<usize>(b)) upWrite(b.rwsem);
}

/** Both invalidate_locks, for writing: no store gets its page prepared, and no page is read in by a fault. */
export function lockMappings(a: Inode, b: Inode): void {
  if (MUTANTS && mutant(M_REFLINK_UNLOCKED)) return;
  const aFirst = changetype<usize>(a) <= changetype<usize>(b);
  downWrite((aFirst ? a : b).mapping.invalidateLock);
  if (changetype<usize>(a) != changetype<usize>(b)) downWriteNested((aFirst ? b : a).mapping.invalidateLock, LC_INVALIDATE_LOCK_NESTED);
}

export function unlockMappings(a: Inode, b: Inode): void {
  if (MUTANTS && mutant(M_REFLINK_UNLOCKED)) return;
  upWrite(a.mapping.invalidateLock);
  if (changetype<usize>(a) != changetype<usize>(b)) upWrite(b.mapping.invalidateLock);
}

/** Pages of the target's range go as wholes: they are clean, and what is cached of them beside the range can be read again. */
export function dropClonedPages(inode: Inode, start: u64, end: u64): void {
  const mask = <u64>PAGE_MASK;
  punchPageCache(inode.mapping, start & ~mask, (end + mask) & ~mask);
}

/** dst's range shares src's blocks. lenBytes 0: to the end of src. Returns the bytes cloned or -errno. */
export function cloneRange(src: VfsFile, srcPos: u64, dst: VfsFile, dstPos: u64, lenBytes: u64): i64 {
  const error = checkFiles(src, dst);
  if (error != 0) return error;
  const f = dst.host.sb.fileOps.remapFileRange;
  if (changetype<usize>(f) == 0) return -EOPNOTSUPP;
  const sb = dst.host.sb;
  sbStartWrite(sb);
  lockBoth(src.host, dst.host);
  const size = src.host.mapping.sizeBytes;
  let result: i64 = srcPos > size ? -EINVAL : 0;
  const n = lenBytes != 0 ? lenBytes : size - srcPos;
  if (result == 0 && n != 0) {
    result = checkRange(src.host, srcPos, dst.host, dstPos, n);
    if (result == 0) result = f(src, srcPos, dst, dstPos, n);
  }
  unlockBoth(src.host, dst.host);
  sbEndWrite(sb);
  return result;
}

/** A referenced page with [pos, pos + n) in its place: the cached one, or a copy where files have none. Null: *errno says why. */
function sourcePage(src: VfsFile, pos: u64, n: u32, errno: usize): Page {
  const direct = src.host.sb.fileOps.readKernel;
  if (changetype<usize>(direct) == 0) return readCachePage(src, <u32>(pos >> PAGE_SHIFT), errno);
  const page = allocPage(GFP_KERNEL);
  const error = isNullPage(page) ? -ENOMEM : direct(src, pageAddress(page) + (<u32>pos & PAGE_MASK), n, pos);
  if (error >= 0) return page;
  store<i32>(errno, error);
  if (!isNullPage(page)) putPage(page);
  return changetype<Page>(0);
}

/** Copies through the page cache. Returns the bytes copied or -errno. Preconditions: sb_writers is held. */
function copyBytes(src: VfsFile, srcPos: u64, dst: VfsFile, dstPos: u64, lenBytes: u64): i64 {
  const errno = scratchAlloc();
  if (errno == 0) return -ENOMEM;
  let done: u64 = 0;
  let result: i64 = 0;
  while (done < lenBytes && result == 0) {
    const from = srcPos + done;
    const to = dstPos + done;
    const inFrom = PAGE_SIZE - (<u32>from & PAGE_MASK);
    const inTo = PAGE_SIZE - (<u32>to & PAGE_MASK);
    let n = inFrom < inTo ? inFrom : inTo;
    if (n > lenBytes - done) n = <u32>(lenBytes - done);
    if (from + n > src.mapping.sizeBytes) break;
    if (currentTask().fatalSignal != 0) {
      result = -EINTR;
      break;
    }
    const page = sourcePage(src, from, n, errno);
    if (changetype<usize>(page) == 0) {
      result = load<i32>(errno);
      break;
    }
    const wrote = writeFromKernel(dst, pageAddress(page) + (<u32>from & PAGE_MASK), n, to);
    putPage(page);
    if (wrote < 0) result = wrote;
    else done += wrote;
  }
  scratchFree(errno);
  return done != 0 ? <i64>done : result;
}

/** Clones when the range allows it, else copies; i_rwsem of the target is held for each page only. */
function copyRange(src: VfsFile, srcPos: u64, dst: VfsFile, dstPos: u64, lenBytes: u64): i64 {
  const error = checkFiles(src, dst);
  if (error != 0) return error;
  if (srcPos + lenBytes < srcPos || dstPos + lenBytes < dstPos) return -EINVAL;
  const size = src.host.mapping.sizeBytes;
  if (srcPos >= size) return 0;
  let n = lenBytes < size - srcPos ? lenBytes : size - srcPos;
  if (n > MAX_COPY_BYTES) n = MAX_COPY_BYTES;
  if (n == 0) return 0;
  if (overlaps(src.host, srcPos, dst.host, dstPos, n)) return -EINVAL;
  if (dstPos + n > dst.host.sb.maxBytes) return -EFBIG;
  const cloned = cloneRange(src, srcPos, dst, dstPos, n);
  if (cloned > 0) return cloned;
  sbStartWrite(dst.host.sb);
  const result = copyBytes(src, srcPos, dst, dstPos, n);
  sbEndWrite(dst.host.sb);
  return result;
}

/** A position argument: *user when it is given, else the file's. Returns 0 or -EFAULT with *at set. */
function readPos(file: VfsFile, user: u64, at: usize): i32 {
  store<u64>(at, file.pos);
  return user != 0 && copyFromUser(at, user, 8) != 0 ? -EFAULT : 0;
}

function writePos(file: VfsFile, user: u64, at: usize): i32 {
  if (user != 0) return copyToUser(user, at, 8) != 0 ? -EFAULT : 0;
  file.pos = load<u64>(at);
  return 0;
}

/** copy_file_range(2). */
export function sysCopyFileRange(fdIn: u64, posIn: u64, fdOut: u64, posOut: u64, lenBytes: u64, flags: u64): i64 {
  if (flags != 0) return -EINVAL;
  const src = fdHold(fdIn);
  const dst = fdHold(fdOut);
  let result: i64 = fileIsNull(src) || fileIsNull(dst) ? -EBADF : 0;
  const at = result == 0 ? scratchAlloc() : 0;
  if (at != 0) {
    if (readPos(src, posIn, at) != 0 || readPos(dst, posOut, at + 8) != 0) result = -EFAULT;
    if (result == 0 && (load<i64>(at) < 0 || load<i64>(at, 8) < 0)) result = -EINVAL;
    if (result == 0) result = copyRange(src, load<u64>(at), dst, load<u64>(at, 8), lenBytes);
    if (result > 0) {
      store<u64>(at, load<u64>(at) + <u64>result);
      store<u64>(at, load<u64>(at, 8) + <u64>result, 8);
      if (writePos(src, posIn, at) != 0 || writePos(dst, posOut, at + 8) != 0) result = -EFAULT;
    }
    scratchFree(at);
  } else if (result == 0) result = -ENOMEM;
  if (!fileIsNull(dst)) putFile(dst);
  if (!fileIsNull(src)) putFile(src);
  return result;
}
