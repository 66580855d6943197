/*
 * read and write through the page cache: the generic file operations.
 *
 *     write, per page:  fault the user's bytes in (no lock) -> write_begin (page locked) -> copy without faulting -> write_end
 *                       (dirty, i_size, unlock) -> a short copy is tried again
 *
 * Interface: genericFileRead, genericFileWrite, writeFromKernel, simpleWriteBegin, simpleWriteEnd.
 * Invariants:
 *   [rw-1] no page lock is held while user memory may fault (SCENARIOS S15): the copy under it does not fault.
 *   [rw-2] results count the bytes that moved; an error is returned only when none did.
 * Locks: i_rwsem for writing in write; none in read. The caller of write holds sb_writers (freeze protection).
 * Why not copy straight from the user's page: it may be the page that is written to.
 */
import { EFAULT, EFBIG, EINTR, ENOMEM } from "../lib/errno";
import { PAGE_SHIFT, PAGE_SIZE } from "../memlayout";
import { C_COPY_USER_PAGE, chargeCost } from "../sched/cost";
import { downWrite, upWrite } from "../sched/rwsem";
import { currentTask } from "../sched/state";
import { AddressSpace, File } from "../mm/address-space";
import { grabCachePage, readCachePage } from "../mm/filemap";
import { markPageAccessed } from "../mm/lru";
import { putPage } from "../mm/page-alloc";
import { PG_UPTODATE, Page, pageAddress, unlockPage } from "../mm/page";
import { setPageDirty } from "../mm/page-writeback";
import { balanceDirtyPages } from "../mm/writeback";
import { copyFromUserInatomic, copyToUser, faultInReadable } from "../mm/uaccess";
import { O_APPEND, VfsFile, fileUpdateTime, noteWrittenTo } from "./file";
import { currentTimeNs, iSizeWrite, inodeOfMapping } from "./inode";

/** read(2) of a file in the page cache, from pos. Returns bytes read or -errno. */
export function genericFileRead(file: VfsFile, user: u64, count: u32, pos: u64): i64 {
  const mapping = file.mapping;
  const errno = currentTask().gather + 64;
  let done: u32 = 0;
  while (done < count) {
    const at = pos + done;
    if (at >= mapping.sizeBytes) break;
    if (currentTask().fatalSignal != 0) return done != 0 ? <i64>done : -EINTR;
    const offset = <u32>at & (PAGE_SIZE - 1);
    let n = PAGE_SIZE - offset;
    if (n > count - done) n = count - done;
    if (<u64>n > mapping.sizeBytes - at) n = <u32>(mapping.sizeBytes - at);
    const page = readCachePage(file, <u32>(at >> PAGE_SHIFT), errno);
    if (changetype<usize>(page) == 0) return done != 0 ? <i64>done : load<i32>(errno);
    chargeCost(C_COPY_USER_PAGE);
    const left = copyToUser(user + done, pageAddress(page) + offset, n);
    markPageAccessed(page);
    putPage(page);
    done += n - left;
    if (left != 0) return done != 0 ? <i64>done : -EFAULT;
  }
  // Never written to a disk, as with lazytime.
  file.host.atimeNs = currentTimeNs();
  return done;
}

/** The page for [pos, pos + len), locked, uptodate where the write leaves bytes of it alone. Returns 0 or -errno. */
export function simpleWriteBegin(file: File, mapping: AddressSpace, pos: u64, lenBytes: u32, pagePtr: usize): i32 {
  const page = grabCachePage(mapping, <u32>(pos >> PAGE_SHIFT));
  if (changetype<usize>(page) == 0) return -ENOMEM;
  if (!page.test(PG_UPTODATE) && lenBytes != PAGE_SIZE) memory.fill(pageAddress(page), 0, PAGE_SIZE);
  store<u32>(pagePtr, <u32>changetype<usize>(page));
  return file.refcount != 0 ? 0 : -EFAULT;
}

/** The bytes are in: uptodate, dirty, i_size, unlock. Returns the bytes accepted. */
export function simpleWriteEnd(file: File, mapping: AddressSpace, pos: u64, lenBytes: u32, copied: u32, page: Page): i32 {
  const accepted = page.test(PG_UPTODATE) || copied == lenBytes || lenBytes < PAGE_SIZE ? copied : 0;
  if (accepted != 0) {
    page.set(PG_UPTODATE);
    setPageDirty(page);
    if (pos + accepted > mapping.sizeBytes) iSizeWrite(inodeOfMapping(mapping), pos + accepted);
  }
  assert(file.refcount != 0, "the file stays open while it is written");
  unlockPage(page);
  putPage(page);
  return accepted;
}

/** One page's worth. Returns bytes written, 0 to try again, or -errno. */
function writeOnce(file: VfsFile, user: u64, n: u32, pos: u64): i32 {
  const mapping = file.mapping;
  if (faultInReadable(user, n) != 0) {
    if (faultInReadable(user, 1) != 0) return -EFAULT;
    // Part of the range is there: write that part.
    n = n - faultInReadable(user, n);
    if (n == 0) return -EFAULT;
  }
  const begin = mapping.ops.writeBegin;
  const pagePtr = currentTask().gather + 72;
  const error = begin(file, mapping, pos, n, pagePtr);
  if (error != 0) return error;
  const page = changetype<Page>(<usize>load<u32>(currentTask().gather + 72));
  chargeCost(C_COPY_USER_PAGE);
  const offset = <u32>pos & (PAGE_SIZE - 1);
  const left = copyFromUserInatomic(pageAddress(page) + offset, user, n);
  const end = mapping.ops.writeEnd;
  return end(file, mapping, pos, n, n - left, page);
}

/** write(2) into the page cache, at pos or at the end with O_APPEND. Returns bytes written or -errno, and notes where they end. */
export function genericFileWrite(file: VfsFile, user: u64, count: u32, pos: u64): i64 {
  const inode = file.host;
  downWrite(inode.rwsem);
  const start = (file.flags & O_APPEND) != 0 ? inode.mapping.sizeBytes : pos;
  const result = writeLocked(file, user, count, start);
  upWrite(inode.rwsem);
  if (result > 0) noteWrittenTo(start + <u64>result);
  return result;
}

function writeLocked(file: VfsFile, user: u64, count: u32, pos: u64): i64 {
  const inode = file.host;
  if (pos >= inode.sb.maxBytes) return count == 0 ? 0 : -EFBIG;
  if (count == 0) return 0;
  const error = fileUpdateTime(file);
  if (error != 0) return error;
  let done: u32 = 0;
  while (done < count) {
    if (currentTask().fatalSignal != 0) return done != 0 ? <i64>done : -EINTR;
    const at = pos + done;
    let n = PAGE_SIZE - (<u32>at & (PAGE_SIZE - 1));
    if (n > count - done) n = count - done;
    if (at + n > inode.sb.maxBytes) return done != 0 ? <i64>done : -EFBIG;
    const wrote = writeOnce(file, user + done, n, at);
    if (wrote < 0) return done != 0 ? <i64>done : wrote;
    done += wrote;
    balanceDirtyPages(inode.mapping);
  }
  return done;
}

/** Writes bytes of kernel memory within one page. Returns bytes written or -errno. Preconditions: sb_writers is held. */
export function writeFromKernel(file: VfsFile, source: usize, n: u32, pos: u64): i32 {
  const inode = file.host;
  const mapping = inode.mapping;
  const direct = inode.sb.fileOps.writeKernel;
  if (changetype<usize>(direct) != 0) return direct(file, source, n, pos);
  downWrite(inode.rwsem);
  let result = fileUpdateTime(file);
  const pagePtr = currentTask().gather + 72;
  if (result == 0) {
    const begin = mapping.ops.writeBegin;
    result = begin(file, mapping, pos, n, pagePtr);
  }
  if (result == 0) {
    const page = changetype<Page>(<usize>load<u32>(currentTask().gather + 72));
    chargeCost(C_COPY_USER_PAGE);
    memory.copy(pageAddress(page) + (<u32>pos & (PAGE_SIZE - 1)), source, n);
    const end = mapping.ops.writeEnd;
    result = end(file, mapping, pos, n, n, page);
  }
  upWrite(inode.rwsem);
  balanceDirtyPages(mapping);
  return result;
}
