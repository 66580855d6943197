/*
 * Copies between the kernel and user memory of the running task, through the MMU, with faults on the way.
 *
 *     user address       0 .. 2^47            the task's page table
 *     kernel pointer     0xffff_8000_0000_0000 + p   valid only inside the task's own operation buffer (scripted guests
 *                                             pass strings and data there: they have no memory of their own for them)
 *
 * Interface: copyFromUser, copyToUser, copyFromUserInatomic, copyToUserInatomic, faultInReadable, faultInWriteable,
 *            userRangeOk, strncpyFromUser.
 * Invariants: [ua-1] results count the bytes NOT copied; a bad pointer is EFAULT to the caller, never an assert.
 * Locks: the sleeping copies take mmap_sem, so the caller holds neither it nor a page lock nor a spinlock.
 * Why not pin pages first: a copy touches each page once; pinning is for IO that outlives the call (gup.ts).
 */
import { EFAULT, ENAMETOOLONG } from "../lib/errno";
import { PAGE_SIZE } from "../memlayout";
import { ACCESS_READ, ACCESS_WRITE, mmuTranslate } from "../cpu/mmu";
import { USER_LIMIT } from "../cpu/pte";
import { TASK_OP_OFFSET, currentTask, sched } from "../sched/state";
import { faultInKernel } from "./fault-lock";

export const KERNEL_POINTER_BASE: u64 = 0xffff_8000_0000_0000;
/** Where the mailbox keeps the address and size of the operation buffer (kernel/mailbox.ts). */
export const OP_BUFFER_ADDRESS: u32 = 80;
export const OP_BUFFER_BYTES: u32 = PAGE_SIZE;

/** True when [user, user + len) is one range of user addresses. */
export function userRangeOk(user: u64, lenBytes: u64): bool {
  return user <= USER_LIMIT && lenBytes <= USER_LIMIT - user;
}

/** The linear address of a kernel pointer, or 0 when [user, user + len) is not wholly in the task's buffer. */
function kernelPointer(user: u64, lenBytes: u32): usize {
  const buffer = load<u32>(changetype<usize>(currentTask()) + TASK_OP_OFFSET + OP_BUFFER_ADDRESS);
  const at = user - KERNEL_POINTER_BASE;
  if (buffer == 0 || at < buffer || at + lenBytes > <u64>buffer + OP_BUFFER_BYTES) return 0;
  return <usize>at;
}

function bytesInPage(user: u64, lenBytes: u32): u32 {
  const room = PAGE_SIZE - (<u32>user & 0xfff);
  return room < lenBytes ? room : lenBytes;
}

/** Linear address of user bytes within one page, faulting them in unless `atomic`. 0: cannot be had. */
function userPage(user: u64, lenBytes: u32, access: u32, atomic: bool): usize {
  while (true) {
    const at = mmuTranslate(sched().cpu, user, lenBytes, access);
    if (at != 0 || atomic) return at;
    if (!faultInKernel(user, access == ACCESS_WRITE)) return 0;
  }
}

function copy(kernel: usize, user: u64, lenBytes: u32, access: u32, atomic: bool): u32 {
  if (user >= KERNEL_POINTER_BASE) {
    const pointer = kernelPointer(user, lenBytes);
    if (pointer == 0) return lenBytes;
    if (access == ACCESS_WRITE) memory.copy(pointer, kernel, lenBytes);
    else memory.copy(kernel, pointer, lenBytes);
    return 0;
  }
  if (!userRangeOk(user, lenBytes)) return lenBytes;
  let done: u32 = 0;
  while (done < lenBytes) {
    const n = bytesInPage(user + done, lenBytes - done);
    const at = userPage(user + done, n, access, atomic);
    if (at == 0) return lenBytes - done;
    if (access == ACCESS_WRITE) memory.copy(at, kernel + done, n);
    else memory.copy(kernel + done, at, n);
    done += n;
  }
  return 0;
}

export function copyFromUser(target: usize, user: u64, lenBytes: u32): u32 {
  return copy(target, user, lenBytes, ACCESS_READ, false);
}

export function copyToUser(user: u64, source: usize, lenBytes: u32): u32 {
  return copy(source, user, lenBytes, ACCESS_WRITE, false);
}

/** As copyFromUser, without faulting: for use under a page lock. */
export function copyFromUserInatomic(target: usize, user: u64, lenBytes: u32): u32 {
  return copy(target, user, lenBytes, ACCESS_READ, true);
}

export function copyToUserInatomic(user: u64, source: usize, lenBytes: u32): u32 {
  return copy(source, user, lenBytes, ACCESS_WRITE, true);
}

function faultInRange(user: u64, lenBytes: u32, access: u32): u32 {
  if (user >= KERNEL_POINTER_BASE) return kernelPointer(user, lenBytes) == 0 ? lenBytes : 0;
  if (!userRangeOk(user, lenBytes)) return lenBytes;
  let done: u32 = 0;
  while (done < lenBytes) {
    if (userPage(user + done, 1, access, false) == 0) return lenBytes - done;
    done += bytesInPage(user + done, lenBytes - done);
  }
  return 0;
}

/** Faults the range in for reading. Returns the bytes that could not be. */
export function faultInReadable(user: u64, lenBytes: u32): u32 {
  return faultInRange(user, lenBytes, ACCESS_READ);
}

export function faultInWriteable(user: u64, lenBytes: u32): u32 {
  return faultInRange(user, lenBytes, ACCESS_WRITE);
}

/** Copies a NUL-terminated string of at most `limit` bytes. Returns its length, -EFAULT, or -ENAMETOOLONG. */
export function strncpyFromUser(target: usize, user: u64, limit: u32): i32 {
  let done: u32 = 0;
  while (done < limit) {
    const n = bytesInPage(user + done, limit - done);
    const source = user >= KERNEL_POINTER_BASE ? kernelPointer(user + done, n) : stringPage(user + done, n);
    if (source == 0) return -EFAULT;
    for (let i: u32 = 0; i < n; i++) {
      const byte = load<u8>(source + i);
      store<u8>(target + done + i, byte);
      if (byte == 0) return done + i;
    }
    done += n;
  }
  return -ENAMETOOLONG;
}

function stringPage(user: u64, lenBytes: u32): usize {
  return userRangeOk(user, lenBytes) ? userPage(user, lenBytes, ACCESS_READ, false) : 0;
}
