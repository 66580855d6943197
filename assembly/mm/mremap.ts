/*
 * mremap: shrink, grow in place, or move a mapping with its PTEs.
 *
 * Interface: doMremap(mm, oldAddress, oldLen, newLen, flags, newAddress).
 * Invariants:
 *   [mr-1] a move keeps pages, dirty bits and file offsets: no page is copied, no store is lost.
 *   [mr-2] on failure the old mapping is as it was.
 * Locks: mmap_sem for writing; i_mmap_rwsem while VMAs are linked.
 * Why not unmap and fault again: anonymous pages have no other home than their PTEs.
 */
import { EFAULT, EINTR, EINVAL, ENOMEM } from "../lib/errno";
import { MAX_MAP_COUNT, MMAP_MIN_ADDR, TASK_SIZE } from "../config";
import { PAGE_SHIFT } from "../memlayout";
import { downWriteKillable } from "../sched/rwsem";
import { MREMAP_FIXED, MREMAP_MAYMOVE } from "./mman";
import { destroyDetached, munmapLocked } from "./mmap";
import { MmStruct } from "./mm-struct";
import { POPULATE_AS_MAPPED, populateRange } from "./gup";
import { VM_LOCKED, VmArea, isNullVma, vmaIsAnonymous } from "./vma";
import {
  findVmaIntersection, mayExpandVm, unmappedArea, vmaCreate, vmaInsert, vmaIsolate, vmaLockShares, vmaMergeAround, vmaNext,
  vmaResize, vmaUnlockShares,
} from "./vma-ops";
import { allocTargetTables, movePageTables } from "./zap";
import { mmapWriteUnlock, vmaStartWrite } from "./vma-lock";

function pageAlign(lenBytes: u64): u64 {
  return (lenBytes + 0xfff) & ~0xfff;
}

export function doMremap(mm: MmStruct, oldAddress: u64, oldLenBytes: u64, newLenBytes: u64, flags: u32, newAddress: u64): i64 {
  if ((flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED)) != 0 || (oldAddress & 0xfff) != 0) return -EINVAL;
  if ((flags & MREMAP_FIXED) != 0 && (flags & MREMAP_MAYMOVE) == 0) return -EINVAL;
  const oldLen = pageAlign(oldLenBytes);
  const newLen = pageAlign(newLenBytes);
  if (newLen == 0 || newLen > TASK_SIZE || oldLen == 0 || oldLen > TASK_SIZE) return -EINVAL;
  if (oldAddress > TASK_SIZE || oldLen > TASK_SIZE - oldAddress) return -EINVAL;
  if (downWriteKillable(mm.mmapSem) != 0) return -EINTR;
  const locked = wasLocked(mm, oldAddress);
  const result = (flags & MREMAP_FIXED) != 0
    ? remapTo(mm, oldAddress, oldLen, newLen, newAddress)
    : remap(mm, oldAddress, oldLen, newLen, flags);
  mmapWriteUnlock(mm);
  destroyDetached();
  if (result >= 0 && locked && newLen > oldLen) populateRange(mm, <u64>result + oldLen, <u64>result + newLen, POPULATE_AS_MAPPED);
  return result;
}

function wasLocked(mm: MmStruct, address: u64): bool {
  const vma = findVmaIntersection(mm, address, address + 1);
  return !isNullVma(vma) && (vma.flags & VM_LOCKED) != 0;
}

/** The VMA that covers [address, address + len) whole, or null. */
function coveringVma(mm: MmStruct, address: u64, len: u64): VmArea {
  const vma = findVmaIntersection(mm, address, address + 1);
  if (isNullVma(vma) || vma.end < address + len) return changetype<VmArea>(0);
  return vma;
}

function remap(mm: MmStruct, oldAddress: u64, oldLen: u64, newLen: u64, flags: u32): i64 {
  if (newLen <= oldLen) {
    if (isNullVma(findVmaIntersection(mm, oldAddress, oldAddress + 1))) return -EFAULT;
    if (newLen == oldLen) return isNullVma(coveringVma(mm, oldAddress, oldLen)) ? -EFAULT : <i64>oldAddress;
    const error = munmapLocked(mm, oldAddress + newLen, oldAddress + oldLen, false);
    return error != 0 ? <i64>error : <i64>oldAddress;
  }
  const vma = coveringVma(mm, oldAddress, oldLen);
  if (isNullVma(vma)) return -EFAULT;
  const error = mayGrow(mm, vma, oldAddress, oldLen, newLen);
  if (error != 0) return error;
  if (growInPlace(mm, vma, oldAddress, oldLen, newLen)) return <i64>oldAddress;
  if ((flags & MREMAP_MAYMOVE) == 0) return -ENOMEM;
  const target = unmappedArea(mm, 0, newLen);
  if (target == 0) return -ENOMEM;
  return moveVma(mm, vma, oldAddress, oldLen, newLen, target);
}

/** The limits of the address space and of a file's page numbers. */
function mayGrow(mm: MmStruct, vma: VmArea, oldAddress: u64, oldLen: u64, newLen: u64): i32 {
  if (newLen <= oldLen) return 0;
  const pgoff = <u64>vma.pgoff + ((oldAddress - vma.start) >> PAGE_SHIFT);
  if (!vmaIsAnonymous(vma) && pgoff + (newLen >> PAGE_SHIFT) > <u64>u32.MAX_VALUE) return -EINVAL;
  return mayExpandVm(mm, newLen - oldLen) ? 0 : -ENOMEM;
}

/** The mapping ends where its VMA ends, and the space behind is free. */
function growInPlace(mm: MmStruct, vma: VmArea, oldAddress: u64, oldLen: u64, newLen: u64): bool {
  const oldEnd = oldAddress + oldLen;
  const newEnd = oldAddress + newLen;
  if (vma.end != oldEnd || newEnd > TASK_SIZE) return false;
  const next = vmaNext(vma);
  if (!isNullVma(next) && next.start < newEnd) return false;
  vmaResize(mm, vma, vma.start, newEnd, vma.pgoff);
  vmaMergeAround(mm, vma);
  return true;
}

/** MREMAP_FIXED: the target is given; what is mapped there goes. */
function remapTo(mm: MmStruct, oldAddress: u64, oldLen: u64, newLen: u64, target: u64): i64 {
  if ((target & 0xfff) != 0 || target < MMAP_MIN_ADDR || target > TASK_SIZE || newLen > TASK_SIZE - target) return -EINVAL;
  if (target < oldAddress + oldLen && oldAddress < target + newLen) return -EINVAL;
  const keep = newLen < oldLen ? newLen : oldLen;
  const vma = coveringVma(mm, oldAddress, keep);
  if (isNullVma(vma)) return -EFAULT;
  let error = mayGrow(mm, vma, oldAddress, oldLen, newLen);
  if (error != 0) return error;
  error = munmapLocked(mm, target, target + newLen, false);
  if (error != 0) return error;
  if (newLen < oldLen) {
    error = munmapLocked(mm, oldAddress + newLen, oldAddress + oldLen, false);
    if (error != 0) return error;
  }
  return moveVma(mm, coveringVma(mm, oldAddress, keep), oldAddress, keep, newLen, target);
}

/** Moves [oldAddress, oldAddress + oldLen) of one VMA to `target`, where the new VMA is newLen long. */
function moveVma(mm: MmStruct, vma: VmArea, oldAddress: u64, oldLen: u64, newLen: u64, target: u64): i64 {
  if (mm.mapCount + 3 >= MAX_MAP_COUNT) return -ENOMEM;
  // Cut the piece out first: once pages have moved nothing may fail.
  const piece = vmaIsolate(mm, vma, oldAddress, oldAddress + oldLen);
  if (isNullVma(piece)) return -ENOMEM;
  const moved = vmaCreate(mm, target, target + newLen, piece.flags, piece.file, piece.pgoff);
  if (isNullVma(moved)) {
    vmaMergeAround(mm, piece);
    return -ENOMEM;
  }
  vmaInsert(mm, moved);
  vmaStartWrite(mm, piece);
  // Tables first: no frame may be asked for, and so reclaimed through rmap, while the shares are locked.
  if (!allocTargetTables(mm, oldAddress, target, oldLen)) {
    // Tables that were made at the target go with its VMA.
    const undone = munmapLocked(mm, target, target + newLen, false);
    assert(undone == 0, "[mr-2] unmapping a whole VMA splits nothing");
    vmaMergeAround(mm, piece);
    return -ENOMEM;
  }
  vmaLockShares(piece);
  movePageTables(mm, oldAddress, target, oldLen);
  vmaUnlockShares(piece);
  const error = munmapLocked(mm, oldAddress, oldAddress + oldLen, false);
  assert(error == 0, "[mr-2] unmapping a whole VMA splits nothing");
  vmaMergeAround(mm, moved);
  return <i64>target;
}
