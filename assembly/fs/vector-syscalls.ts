/*
 * Vectored reads and writes: readv, writev, preadv, pwritev.
 *
 * Interface: sysReadv, sysWritev, sysPreadv, sysPwritev (six u64) => value or -errno.
 * Invariants: [vec-1] the result is the sum of what the pieces gave; an error counts only when nothing was moved before it.
 * Locks: those of each piece; a vector is not one step to others, as in Linux on most filesystems.
 * Why not iov_iter inside the filesystems: pieces are calls of read and write, which is what they cost.
 */
import { EFAULT, EINVAL, ENOMEM } from "../lib/errno";
import { PAGE_SIZE } from "../memlayout";
import { copyFromUser } from "../mm/uaccess";
import { scratchAllocLong, scratchFree } from "./scratch";
import { sysPread64, sysPwrite64, sysRead, sysWrite } from "./syscalls";

const IOV_BYTES: u32 = 16;
/** Linux's UIO_MAXIOV is 1024: what fits a page here is copied at a time. */
const IOV_MAX: u64 = 1024;
const IOV_PAGE: u32 = PAGE_SIZE / IOV_BYTES;
const NO_POSITION: u64 = u64.MAX_VALUE;

function piece(fd: u64, user: u64, count: u64, pos: u64, write: bool): i64 {
  if (pos == NO_POSITION) return write ? sysWrite(fd, user, count, 0, 0, 0) : sysRead(fd, user, count, 0, 0, 0);
  return write ? sysPwrite64(fd, user, count, pos, 0, 0) : sysPread64(fd, user, count, pos, 0, 0);
}

/** Moves the pieces in the scratch. Returns the bytes moved or -errno. */
function moveBatch(fd: u64, iov: usize, n: u32, pos: u64, write: bool): i64 {
  let moved: i64 = 0;
  for (let i: u32 = 0; i < n; i++) {
    const count = load<u64>(iov + i * IOV_BYTES, 8);
    if (count == 0 && n > 1) continue;
    const at = pos == NO_POSITION ? pos : pos + <u64>moved;
    const result = piece(fd, load<u64>(iov + i * IOV_BYTES), count, at, write);
    if (result < 0) return moved != 0 ? moved : result;
    moved += result;
    if (<u64>result < count) break;
  }
  return moved;
}

/** Bytes that the pieces in the scratch ask for. */
function wanted(iov: usize, n: u32): u64 {
  let sum: u64 = 0;
  for (let i: u32 = 0; i < n; i++) sum += load<u64>(iov + i * IOV_BYTES, 8);
  return sum;
}

function vector(fd: u64, user: u64, count: u64, pos: u64, write: bool): i64 {
  if (count > IOV_MAX) return -EINVAL;
  const iov = scratchAllocLong();
  if (iov == 0) return -ENOMEM;
  let moved: i64 = 0;
  for (let done: u64 = 0; done < count; done += IOV_PAGE) {
    const n = count - done < IOV_PAGE ? <u32>(count - done) : IOV_PAGE;
    let result: i64 = -EFAULT;
    if (copyFromUser(iov, user + done * IOV_BYTES, n * IOV_BYTES) == 0) {
      result = moveBatch(fd, iov, n, pos == NO_POSITION ? pos : pos + <u64>moved, write);
    }
    if (result < 0) {
      if (moved == 0) moved = result;
      break;
    }
    moved += result;
    if (<u64>result < wanted(iov, n)) break;
  }
  scratchFree(iov);
  return moved;
}

export function sysReadv(fd: u64, iov: u64, count: u64, a3: u64, a4: u64, a5: u64): i64 {
  return vector(fd, iov, count, NO_POSITION, false);
}

export function sysWritev(fd: u64, iov: u64, count: u64, a3: u64, a4: u64, a5: u64): i64 {
  return vector(fd, iov, count, NO_POSITION, true);
}

/** The position comes in one register on 64 bits. */
export function sysPreadv(fd: u64, iov: u64, count: u64, pos: u64, a4: u64, a5: u64): i64 {
  return <i64>pos < 0 ? -EINVAL : vector(fd, iov, count, pos, false);
}

export function sysPwritev(fd: u64, iov: u64, count: u64, pos: u64, a4: u64, a5: u64): i64 {
  return <i64>pos < 0 ? -EINVAL : vector(fd, iov, count, pos, true);
}
