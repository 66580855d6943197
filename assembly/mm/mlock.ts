/*
 * mlock, munlock, mlockall, munlockall: VMAs marked VM_LOCKED and faulted in.
 *
 * Interface: doMlock, doMunlock, doMlockall, doMunlockall.
 * Invariants: [ml-1] when mlock returns 0, every page of the range is present; lockedVm counts the pages of locked VMAs.
 * Locks: mmap_sem for writing to mark, for reading to populate.
 * Why not an unevictable list: reclaim sees a locked page as referenced through its VMA's pin of the PTE.
 */
import { EAGAIN, EINTR, EINVAL, ENOMEM } from "../lib/errno";
import { TASK_SIZE } from "../config";
import { downWriteKillable } from "../sched/rwsem";
import { POPULATE_AS_MAPPED, populateRange } from "./gup";
import { MCL_CURRENT, MCL_FUTURE } from "./mman";
import { MMF_LOCK_FUTURE, MmStruct } from "./mm-struct";
import { VM_LOCKED, VmArea, isNullVma } from "./vma";
import { findVmaIntersection, firstVma, vmaIsolate, vmaMergeAround, vmaNext, vmaSetFlags } from "./vma-ops";
import { mmapWriteUnlock } from "./vma-lock";

export function doMlock(mm: MmStruct, address: u64, lenBytes: u64): i64 {
  return changeRange(mm, address, lenBytes, true);
}

export function doMunlock(mm: MmStruct, address: u64, lenBytes: u64): i64 {
  return changeRange(mm, address, lenBytes, false);
}

function changeRange(mm: MmStruct, address: u64, lenBytes: u64, lock: bool): i64 {
  const start = address & ~0xfff;
  const len = (lenBytes + (address & 0xfff) + 0xfff) & ~0xfff;
  if (len < lenBytes) return -EINVAL;
  if (len == 0) return 0;
  if (start > TASK_SIZE || len > TASK_SIZE - start) return -ENOMEM;
  if (downWriteKillable(mm.mmapSem) != 0) return -EINTR;
  const error = markRange(mm, start, start + len, lock);
  mmapWriteUnlock(mm);
  if (error != 0 || !lock) return error;
  return populateResult(populateRange(mm, start, start + len, POPULATE_AS_MAPPED));
}

/** Linux: pages that cannot be had are EAGAIN to mlock, unless there is no memory or a hole. */
function populateResult(error: i32): i64 {
  if (error == 0 || error == -EINTR) return error;
  return error == -ENOMEM ? -EAGAIN : -ENOMEM;
}

function markRange(mm: MmStruct, start: u64, end: u64, lock: bool): i32 {
  let at = start;
  let vma = findVmaIntersection(mm, start, end);
  while (at < end) {
    if (isNullVma(vma) || vma.start > at) return -ENOMEM;
    vma = markVma(mm, vma, at, vma.end < end ? vma.end : end, lock);
    if (isNullVma(vma)) return -ENOMEM;
    // A merge may have taken in what comes next: it is marked already.
    at = vma.end;
    vma = vmaNext(vma);
  }
  return 0;
}

/** Marks [start, end) of the VMA; returns the VMA that covers it then, or null on ENOMEM. */
function markVma(mm: MmStruct, vma: VmArea, start: u64, end: u64, lock: bool): VmArea {
  const flags = lock ? vma.flags | VM_LOCKED : vma.flags & ~VM_LOCKED;
  if (flags == vma.flags) return vma;
  const piece = vmaIsolate(mm, vma, start, end);
  if (isNullVma(piece)) return piece;
  vmaSetFlags(mm, piece, flags);
  return vmaMergeAround(mm, piece);
}

export function doMlockall(mm: MmStruct, flags: u32): i64 {
  if (flags == 0 || (flags & ~(MCL_CURRENT | MCL_FUTURE)) != 0) return -EINVAL;
  if (downWriteKillable(mm.mmapSem) != 0) return -EINTR;
  if ((flags & MCL_FUTURE) != 0) mm.flags |= MMF_LOCK_FUTURE;
  else mm.flags &= ~MMF_LOCK_FUTURE;
  if ((flags & MCL_CURRENT) != 0) markAll(mm, true);
  mmapWriteUnlock(mm);
  // Linux ignores failures of the populate here.
  if ((flags & MCL_CURRENT) != 0) populateAll(mm);
  return 0;
}

export function doMunlockall(mm: MmStruct): i64 {
  if (downWriteKillable(mm.mmapSem) != 0) return -EINTR;
  mm.flags &= ~MMF_LOCK_FUTURE;
  markAll(mm, false);
  mmapWriteUnlock(mm);
  return 0;
}

function markAll(mm: MmStruct, lock: bool): void {
  let vma = firstVma(mm);
  while (!isNullVma(vma)) vma = vmaNext(markVma(mm, vma, vma.start, vma.end, lock));
}

/** Faults every VMA in, one at a time: the tree may change in between. */
function populateAll(mm: MmStruct): void {
  let at: u64 = 0;
  while (at < TASK_SIZE) {
    const vma = findVmaIntersection(mm, at, TASK_SIZE);
    if (isNullVma(vma)) return;
    const start = vma.start;
    const end = vma.end;
    if (populateRange(mm, start, end, POPULATE_AS_MAPPED) == -EINTR) return;
    at = end;
  }
}
