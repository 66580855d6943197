/*
 * iov_iter: an array of iovecs, copied in from the guest, worked off from front to back.
 *
 * Interface: IovIter, iovImport(iter, user, count, local), iovRelease(iter).
 * Invariants:
 *   [iov-1] the array is a copy: what the guest writes to its own afterwards changes nothing.
 *   [iov-2] `left` is the sum of what the iovecs still have, and at most MAX_RW_COUNT, or a little less than 2^63 for a remote array.
 * Locks: none; iovImport faults on user memory.
 * Why not fetch each iovec when its turn comes: a call that writes to its own array would steer itself.
 */
import { EFAULT, EINVAL, ENOMEM } from "../lib/errno";
import { PAGE_SIZE } from "../memlayout";
import { scratchAllocLong, scratchFree } from "../fs/scratch";
import { KERNEL_POINTER_BASE, copyFromUser, copyToUser, userRangeOk } from "../mm/uaccess";

/** Iovecs that one call may bring. */
export const UIO_MAXIOV: u64 = 1024;
const MAX_RW_COUNT: u64 = 0x7fff_f000;
const MAX_LEFT: u64 = 0x7fff_ffff_ffff_ffff;
const IOVEC_BYTES: u32 = 16;
const IOVECS_A_FRAME: u32 = PAGE_SIZE / IOVEC_BYTES;

@unmanaged
export class IovIter {
  /** Bytes still to come. */
  left: u64;
  /** Into the iovec at `index`. */
  offset: u64;
  index: u32;
  count: u32;
  /** Long scratch, IOVECS_A_FRAME iovecs each; 0 where there are none. */
  frame0: usize;
  frame1: usize;
  frame2: usize;
  frame3: usize;

  /** Where the i-th frame's address is kept. */
  frameSlot(i: u32): usize {
    return changetype<usize>(this) + offsetof<IovIter>("frame0") + (i << 2);
  }
  entry(i: u32): usize {
    return <usize>load<u32>(this.frameSlot(i / IOVECS_A_FRAME)) + (i % IOVECS_A_FRAME) * IOVEC_BYTES;
  }
  /** Address of the next byte. Preconditions: room() is not 0. */
  base(): u64 {
    return load<u64>(this.entry(this.index)) + this.offset;
  }
  /** Bytes of the present iovec; goes on to the next when it is used up. 0: the end. */
  room(): u64 {
    if (this.left == 0) return 0;
    while (this.index < this.count) {
      const lenBytes = load<u64>(this.entry(this.index), 8);
      if (this.offset < lenBytes) return min<u64>(lenBytes - this.offset, this.left);
      this.index++;
      this.offset = 0;
    }
    assert(false, "[iov-2] iovecs hold what is left");
    return 0;
  }
  advance(n: u64): void {
    assert(n <= this.left, "[iov-2] no iovec is overrun");
    this.offset += n;
    this.left -= n;
  }
  /** Copies up to n bytes between kernel memory and the iovecs of the running task; goes on by what was copied, and returns it. */
  copy(kernel: usize, n: u32, toUser: bool): u32 {
    let done: u32 = 0;
    while (done < n) {
      const room = this.room();
      if (room == 0) break;
      const m: u32 = room < n - done ? <u32>room : n - done;
      const missing = toUser ? copyToUser(this.base(), kernel + done, m) : copyFromUser(kernel + done, this.base(), m);
      this.advance(m - missing);
      done += m - missing;
      if (missing != 0) break;
    }
    return done;
  }
}

if (<u64>IOVECS_A_FRAME * 4 != UIO_MAXIOV) ERROR("four frames hold the longest array");

/** Copies the array into frames. Returns 0 or -errno. */
function fetchArray(iter: IovIter, user: u64, count: u32): i32 {
  for (let first: u32 = 0; first < count; first += IOVECS_A_FRAME) {
    const frame = scratchAllocLong();
    if (frame == 0) return -ENOMEM;
    store<u32>(iter.frameSlot(first / IOVECS_A_FRAME), <u32>frame);
    const n = min<u32>(count - first, IOVECS_A_FRAME);
    if (copyFromUser(frame, user + first * IOVEC_BYTES, n * IOVEC_BYTES) != 0) return -EFAULT;
  }
  return 0;
}

/**
 * Imports an array of the guest's. `local`: it is of the running task's memory, checked and clipped as Linux does. Returns 0 or
 * -EINVAL, -EFAULT, -ENOMEM; the iter must be released in either case.
 */
export function iovImport(iter: IovIter, user: u64, count: u64, local: bool): i32 {
  memory.fill(changetype<usize>(iter), 0, offsetof<IovIter>());
  if (count > UIO_MAXIOV) return -EINVAL;
  const error = fetchArray(iter, user, <u32>count);
  if (error != 0) return error;
  const limit = local ? MAX_RW_COUNT : MAX_LEFT;
  iter.count = <u32>count;
  for (let i: u32 = 0; i < iter.count; i++) {
    const base = load<u64>(iter.entry(i));
    const lenBytes = load<u64>(iter.entry(i), 8);
    if (<i64>lenBytes < 0) return -EINVAL;
    if (local && base < KERNEL_POINTER_BASE && !userRangeOk(base, lenBytes)) return -EFAULT;
    iter.left += min<u64>(lenBytes, limit - iter.left);
  }
  return 0;
}

export function iovRelease(iter: IovIter): void {
  for (let i: u32 = 0; i < 4; i++) {
    const frame = <usize>load<u32>(iter.frameSlot(i));
    store<u32>(iter.frameSlot(i), 0);
    if (frame != 0) scratchFree(frame);
  }
}
