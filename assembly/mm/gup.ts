/*
 * get_user_pages: pins of user pages for IO, and faulting ranges in (populate, mlock).
 *
 * Interface: getUserPages(mm, address, nPages, flags, pages), putUserPages, populateRange, FOLL_*.
 * Invariants:
 *   [gup-1] without FOLL_UNLOCKABLE the lock is never dropped: the fault gets no ALLOW_RETRY (SCENARIOS S29).
 *   [gup-2] every page returned holds a reference of the caller.
 *   [gup-8] the VMA is asked before its PTEs: one that PROT_NONE has left present reads nothing.
 *   [gup-4] a device's frame has no reference to hold: EFAULT, as Linux says of VM_PFNMAP.
 *   [gup-7] the address space is the caller's argument, never the running task's own (SCENARIOS S25).
 *   [gup-3] populate makes progress on every pass or ends: a pass that returns RETRY is followed by one with TRIED.
 * Locks: mmap_sem for reading: held by the caller without FOLL_UNLOCKABLE, taken here with it.
 * Why not copy through the MMU as uaccess.ts: IO needs frames that stay, and other tasks' memory has no TLB here.
 */
import { EAGAIN, EFAULT, EINTR, EINVAL, ENOMEM } from "../lib/errno";
import { M_GUP_KEEPS_TRIED, mutant } from "../lib/mutant";
import { PTE_D, ptePfn, ptePresent, pteWritable } from "../cpu/pte";
import { PAGE_SIZE } from "../memlayout";
import { C_GUP, chargeCost } from "../sched/cost";
import { downReadKillable, upRead } from "../sched/rwsem";
import { currentTask } from "../sched/state";
import {
  FAULT_FLAG_ALLOW_RETRY, FAULT_FLAG_KILLABLE, FAULT_FLAG_RETRY_NOWAIT, FAULT_FLAG_TRIED, FAULT_FLAG_WRITE, VM_FAULT_COMPLETED,
  VM_FAULT_ERROR, VM_FAULT_OOM, VM_FAULT_RETRY,
} from "./fault";
import { faultGiveUp, faultPassLocked } from "./fault-lock";
import { MmStruct, findVma } from "./mm-struct";
import { putPage } from "./page-alloc";
import { Page, getPage, pfnToPage } from "./page";
import { deviceFrame } from "./pfn-map";
import { pteLookup } from "./pgtable";
import { VM_READ, VM_SHARED, VM_WRITE, isNullVma } from "./vma";

export const FOLL_WRITE: u32 = 1;
/** The lock may be dropped and taken again inside (Linux's get_user_pages_unlocked). */
export const FOLL_UNLOCKABLE: u32 = 2;
export const FOLL_NOWAIT: u32 = 4;

/** The address lies in a VMA that allows the access: asked before a PTE is looked at, which may grant what its VMA no longer does. */
function vmaAllows(mm: MmStruct, address: u64, write: bool): bool {
  const vma = findVma(mm, address);
  return !isNullVma(vma) && address >= vma.start && (vma.flags & (write ? VM_WRITE : VM_READ)) != 0;
}

/** True when the address is mapped to a frame that cannot be pinned, and the PTE allows the access ([gup-4]). */
function unpinnable(mm: MmStruct, address: u64, write: bool): bool {
  const slot = pteLookup(mm, address);
  if (slot == 0) return false;
  const pte = load<u64>(slot);
  return deviceFrame(pte) && (!write || pteWritable(pte));
}

/** The mapped page of an address, if the PTE allows the access; null otherwise. */
function followPage(mm: MmStruct, address: u64, write: bool): Page {
  const slot = pteLookup(mm, address);
  if (slot == 0) return changetype<Page>(0);
  const pte = load<u64>(slot);
  if (!ptePresent(pte) || (write && !pteWritable(pte))) return changetype<Page>(0);
  if (write) store<u64>(slot, pte | PTE_D);
  return pfnToPage(ptePfn(pte));
}

/** Faults one page in, which its VMA allows. Returns 0 or -errno; -EAGAIN: the lock was dropped, the caller starts the page again. */
function faultinPage(mm: MmStruct, address: u64, flags: u32, tried: bool): i32 {
  let faultFlags: u32 = 0;
  if ((flags & FOLL_WRITE) != 0) faultFlags |= FAULT_FLAG_WRITE;
  if ((flags & FOLL_UNLOCKABLE) != 0) faultFlags |= FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE;
  if ((flags & FOLL_NOWAIT) != 0) faultFlags |= FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_RETRY_NOWAIT;
  if (tried) faultFlags |= FAULT_FLAG_TRIED;
  const ret = faultPassLocked(mm, address, faultFlags);
  if ((ret & (VM_FAULT_RETRY | VM_FAULT_COMPLETED)) != 0) return -EAGAIN;
  if ((ret & VM_FAULT_OOM) != 0) return -ENOMEM;
  return (ret & VM_FAULT_ERROR) != 0 ? -EFAULT : 0;
}

/**
 * Pins up to nPages from `address` on; writes their addresses (u32) to `pages`. Returns how many, or -errno when none.
 * With FOLL_UNLOCKABLE mmap_sem is taken and released here; without it the caller holds it and keeps it.
 */
export function getUserPages(mm: MmStruct, address: u64, nPages: u32, flags: u32, pages: usize): i32 {
  const own = (flags & FOLL_UNLOCKABLE) != 0;
  if (own && downReadKillable(mm.mmapSem) != 0) return -EINTR;
  const write = (flags & FOLL_WRITE) != 0;
  let pinned: u32 = 0;
  let tried = false;
  let error: i32 = 0;
  while (pinned < nPages) {
    const at = (address & ~0xfff) + <u64>pinned * PAGE_SIZE;
    chargeCost(C_GUP);
    if (!vmaAllows(mm, at, write) || unpinnable(mm, at, write)) {
      error = -EFAULT;
      break;
    }
    const page = followPage(mm, at, write);
    if (changetype<usize>(page) != 0) {
      getPage(page);
      store<u32>(pages + (pinned << 2), <u32>changetype<usize>(page));
      pinned++;
      // Somebody else has mapped the page since the lock was dropped: nobody comes back for what the fault has kept ([nm-s2]).
      if (tried) faultGiveUp();
      tried = false;
      continue;
    }
    error = faultinPage(mm, at, flags, tried);
    if (error == -EAGAIN && own) {
      if (currentTask().fatalSignal != 0 || downReadKillable(mm.mmapSem) != 0) {
        faultGiveUp();
        return pinned != 0 ? pinned : -EINTR;
      }
      tried = true;
    } else if (error != 0) break;
    // The fault is over. Should the PTE be gone or read-only again, the next one is another fault ([mk-5]).
    else if (!(MUTANTS && mutant(M_GUP_KEEPS_TRIED))) tried = false;
  }
  if (tried) faultGiveUp();
  if (own) upRead(mm.mmapSem);
  return pinned != 0 ? pinned : error;
}

export function putUserPages(pages: usize, count: u32): void {
  for (let i: u32 = 0; i < count; i++) putPage(changetype<Page>(load<u32>(pages + (i << 2))));
}

/** True when populate has nothing to do: mapped, with write access where the VMA wants it. */
function populated(mm: MmStruct, address: u64, write: bool): bool {
  const slot = pteLookup(mm, address);
  if (slot == 0) return false;
  const pte = load<u64>(slot);
  if (!ptePresent(pte)) return false;
  return !write || pteWritable(pte);
}

/** What populate does with a page: writes break COW and reserve, but shared pages are only read in, as Linux does. */
export const POPULATE_AS_MAPPED: u32 = 0;
export const POPULATE_READ: u32 = 1;
export const POPULATE_WRITE: u32 = 2;

/**
 * Faults [start, end) in. Preconditions: mmap_sem not held. Returns 0 or -errno of the first page that failed
 * (-EFAULT beyond a file's end, -EINVAL without the right that POPULATE_READ or POPULATE_WRITE needs, -ENOMEM on a hole or
 * without memory, -EINTR when killed).
 */
export function populateRange(mm: MmStruct, start: u64, end: u64, how: u32): i32 {
  const error = populatePages(mm, start, end, how);
  // A fault that came to RETRY may not have been asked for again: its page was mapped by another, or is gone ([nm-s2]).
  faultGiveUp();
  return error;
}

function populatePages(mm: MmStruct, start: u64, end: u64, how: u32): i32 {
  if (downReadKillable(mm.mmapSem) != 0) return -EINTR;
  let at = start & ~0xfff;
  let tried = false;
  while (at < end) {
    const vma = findVma(mm, at);
    if (isNullVma(vma) || at < vma.start) {
      upRead(mm.mmapSem);
      return -ENOMEM;
    }
    let write = how == POPULATE_WRITE;
    if (how != POPULATE_AS_MAPPED && (vma.flags & (write ? VM_WRITE : VM_READ)) == 0) {
      upRead(mm.mmapSem);
      return -EINVAL;
    }
    if (how == POPULATE_AS_MAPPED) write = (vma.flags & (VM_WRITE | VM_SHARED)) == VM_WRITE;
    if (!populated(mm, at, write)) {
      const flags = FOLL_UNLOCKABLE | (write ? FOLL_WRITE : 0);
      const error = vmaAllows(mm, at, write) ? faultinPage(mm, at, flags, tried) : -EFAULT;
      if (error == -EAGAIN) {
        if (currentTask().fatalSignal != 0 || downReadKillable(mm.mmapSem) != 0) return -EINTR;
        tried = true;
        continue;
      }
      if (error != 0 || currentTask().fatalSignal != 0) {
        upRead(mm.mmapSem);
        return error != 0 ? error : -EINTR;
      }
      // The fault may have found that somebody else was at the PTE: look again, and should it not be there, it is another fault ([mk-5]).
      if (!(MUTANTS && mutant(M_GUP_KEEPS_TRIED))) tried = false;
      continue;
    }
    at += PAGE_SIZE;
    tried = false;
  }
  upRead(mm.mmapSem);
  return 0;
}
