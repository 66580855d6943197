/*
 * The running task reads and writes the memory of another address space, through pins of its pages.
 *
 *     process_vm_readv, process_vm_writev   pins with the lock given up inside (ALLOW_RETRY): page_mkwrite may run without it
 *     /proc/PID/mem                         pins under mmap_sem held throughout (no ALLOW_RETRY): page_mkwrite runs under it
 *
 * Interface: copyRemotePage(mm, address, user, lenBytes, write), accessRemoteVm(mm, address, user, lenBytes, write).
 * Invariants:
 *   [rem-1] a store through a pin is made under the page lock, to a page that is prepared for it: whoever cleans, extends or
 *           shares the page meanwhile makes the store ask again ([mk-1]).
 *   [rem-2] no pin outlives the call ([mk-6]).
 *   [rem-3] faults are those of the address space that is given, never of the running task's (SCENARIOS S25).
 * Locks: mmap_sem of the other space for reading, then the page lock. The caller holds neither.
 * Why not Linux's dirty-after-the-copy: a page dirtied behind page_mkwrite's back has no space reserved (SCENARIOS S12).
 */
import { EAGAIN, EFAULT, EINTR } from "../lib/errno";
import { PAGE_SIZE } from "../memlayout";
import { downReadKillable, upRead } from "../sched/rwsem";
import { AS_UNEVICTABLE, AddressSpace } from "./address-space";
import { FOLL_UNLOCKABLE, FOLL_WRITE, getUserPages, putUserPages } from "./gup";
import { REJECT_NONE, pageStillPrepared } from "./mkwrite";
import { MmStruct } from "./mm-struct";
import { PG_SWAPBACKED, Page, lockPage, pageAddress, unlockPage } from "./page";
import { copyFromUserInatomic, copyToUser, faultInReadable, userRangeOk } from "./uaccess";

/** May a store go into the pinned page, locked by the caller, as it is now ([rem-1])? */
function storable(page: Page): bool {
  // After a fork the page is two processes', and the store is for one of them.
  if (page.test(PG_SWAPBACKED)) return page.mapcount <= 1;
  if (page.mapping == 0) return false;
  const mapping = changetype<AddressSpace>(page.mapping);
  return (mapping.flags & AS_UNEVICTABLE) != 0 || pageStillPrepared(page, mapping, page.index) == REJECT_NONE;
}

/** Between a pinned page and the running task's memory. Returns 0, -EFAULT of the latter, or -EAGAIN: pin again. */
function copyPinned(page: Page, offset: u32, user: u64, lenBytes: u32, write: bool): i32 {
  const at = pageAddress(page) + offset;
  if (!write) return copyToUser(user, at, lenBytes) == 0 ? 0 : -EFAULT;
  lockPage(page);
  const ready = storable(page);
  const left = ready ? copyFromUserInatomic(at, user, lenBytes) : lenBytes;
  unlockPage(page);
  if (left == 0) return 0;
  if (!ready) return -EAGAIN;
  return faultInReadable(user, lenBytes) == 0 ? -EAGAIN : -EFAULT;
}

/** Pins the page of `address` and copies. Returns 0 or -errno; nothing is pinned afterwards. */
function pinAndCopy(mm: MmStruct, address: u64, user: u64, lenBytes: u32, write: bool, foll: u32, slot: usize): i32 {
  const offset = <u32>address & (PAGE_SIZE - 1);
  assert(offset + lenBytes <= PAGE_SIZE, "a remote copy lies in one page");
  if (!userRangeOk(address, lenBytes)) return -EFAULT;
  while (true) {
    const pinned = getUserPages(mm, address, 1, foll | (write ? FOLL_WRITE : 0), slot);
    if (pinned < 0) return pinned;
    const error = copyPinned(changetype<Page>(load<u32>(slot)), offset, user, lenBytes, write);
    putUserPages(slot, 1);
    if (error != -EAGAIN) return error;
  }
}

/**
 * process_vm_*: up to the end of one page of `mm`, which the caller keeps alive; `slot` is a word of the running task's scratch.
 * Returns 0, -EFAULT, -ENOMEM, or -EINTR when killed.
 */
export function copyRemotePage(mm: MmStruct, address: u64, user: u64, lenBytes: u32, write: bool, slot: usize): i32 {
  return pinAndCopy(mm, address, user, lenBytes, write, FOLL_UNLOCKABLE, slot);
}

/**
 * access_remote_vm: as much of the range as there is, mmap_sem held all the way. `user` is in the task's operation buffer, so that
 * the copy faults nothing in under the lock. Returns bytes copied, or -EINTR when killed before the lock was had.
 */
export function accessRemoteVm(mm: MmStruct, address: u64, user: u64, lenBytes: u32, write: bool, slot: usize): i32 {
  if (downReadKillable(mm.mmapSem) != 0) return -EINTR;
  let done: u32 = 0;
  while (done < lenBytes) {
    const room = PAGE_SIZE - (<u32>(address + done) & (PAGE_SIZE - 1));
    const n = room < lenBytes - done ? room : lenBytes - done;
    if (pinAndCopy(mm, address + done, user + done, n, write, 0, slot) != 0) break;
    done += n;
  }
  upRead(mm.mmapSem);
  return done;
}
