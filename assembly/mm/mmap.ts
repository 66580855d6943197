/*
 * mmap, munmap, brk.
 *
 *     munmap: write lock -> split at the ends -> take the VMAs out of the mm's tree -> DOWNGRADE to read -> zap PTEs, one TLB
 *             flush -> out of i_mmap -> free page tables -> read unlock -> free the VMAs, closing files
 *
 * Interface: doMmap, doMunmap, munmapLocked, destroyDetached, doBrk, wantsSharedAnonymous, sharedAnonymousFile.
 * Invariants:
 *   [mmap-1] when munmap returns 0, no VMA and no PTE is left in the range.
 *   [mmap-2] a VMA's file is closed only after every lock of this call is released.
 *   [mmap-3] page tables of a detached range go under the read lock: no fault can enter a range without VMAs.
 * Locks: mmap_sem for writing, downgraded for the zap as Linux does since 4.20.
 * Why not zap under the write lock: the write section is what every fault of the process waits for.
 */
import { EACCES, EEXIST, EINTR, EINVAL, ENODEV, ENOMEM, EOPNOTSUPP, EOVERFLOW, EPERM } from "../lib/errno";
import { traceEmit } from "../lib/trace";
import { MAX_MAP_COUNT, MMAP_MIN_ADDR, TASK_SIZE } from "../config";
import { PAGE_SHIFT } from "../memlayout";
import { TP_MMAP, TP_MUNMAP } from "../tracepoints";
import { C_MMAP, C_MUNMAP, chargeCost } from "../sched/cost";
import { downWriteKillable, upRead } from "../sched/rwsem";
import { currentTask, sched } from "../sched/state";
import { File, isNullFile } from "./address-space";
import {
  MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_LOCKED, MAP_POPULATE, MAP_PRIVATE, MAP_SHARED, MAP_TYPE, PROT_WRITE,
  protToVmFlags,
} from "./mman";
import { MMF_LOCK_FUTURE, MmStruct } from "./mm-struct";
import { freePgtables } from "./pgtable";
import { POPULATE_AS_MAPPED, populateRange } from "./gup";
import { mmState } from "./state";
import {
  VM_HEAP, VM_LOCKED, VM_MAYEXEC, VM_MAYREAD, VM_MAYSHARE, VM_MAYWRITE, VM_READ, VM_SHARED, VM_WRITE, VmArea, isNullVma,
} from "./vma";
import {
  findVmaIntersection, mayExpandVm, unmappedArea, vmaCreate, vmaDestroy, vmaDetach, vmaInsert, vmaMergeAround, vmaNext, vmaPrev,
  vmaSplit, vmaUnshare,
} from "./vma-ops";
import { zapPageRange } from "./zap";
import { mmapWriteDowngrade, mmapWriteUnlock } from "./vma-lock";

const O_ACCMODE: u32 = 3;
const O_WRONLY: u32 = 1;
const O_RDWR: u32 = 2;

function pageAlign(lenBytes: u64): u64 {
  return (lenBytes + 0xfff) & ~0xfff;
}

/** Checks of mmap that need no lock. Returns 0 or -errno. */
function checkMmap(address: u64, lenBytes: u64, prot: u32, flags: u32, file: File, pgoff: u64): i32 {
  const type = flags & MAP_TYPE;
  if (lenBytes == 0) return -EINVAL;
  const len = pageAlign(lenBytes);
  if (len == 0 || len > TASK_SIZE) return -ENOMEM;
  if (type != MAP_SHARED && type != MAP_PRIVATE && type != 3) return -EINVAL;
  if (type == 3) return isNullFile(file) ? -EINVAL : -EOPNOTSUPP;
  if ((flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) != 0) {
    if ((address & 0xfff) != 0) return -EINVAL;
    if (address > TASK_SIZE || len > TASK_SIZE - address) return -ENOMEM;
    if (address < MMAP_MIN_ADDR) return -EPERM;
  }
  if (isNullFile(file)) return 0;
  if (pgoff + (len >> PAGE_SHIFT) > <u64>u32.MAX_VALUE) return -EOVERFLOW;
  const mode = file.flags & O_ACCMODE;
  if (mode == O_WRONLY) return -EACCES;
  if (type == MAP_SHARED && (prot & PROT_WRITE) != 0 && mode != O_RDWR) return -EACCES;
  return changetype<usize>(file.vmOps) == 0 ? -ENODEV : 0;
}

function vmFlagsOf(mm: MmStruct, prot: u32, flags: u32, file: File): u32 {
  let vmFlags = protToVmFlags(prot) | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC;
  if ((flags & MAP_TYPE) == MAP_SHARED) {
    vmFlags |= VM_SHARED | VM_MAYSHARE;
    if (!isNullFile(file) && (file.flags & O_ACCMODE) != O_RDWR) vmFlags &= ~VM_MAYWRITE;
  }
  if ((flags & MAP_LOCKED) != 0 || (mm.flags & MMF_LOCK_FUTURE) != 0) vmFlags |= VM_LOCKED;
  return vmFlags;
}

/** mmap(2). `file` is null for anonymous memory; pgoff in pages. Returns the address or -errno. */
export function doMmap(mm: MmStruct, address: u64, lenBytes: u64, prot: u32, flags: u32, file: File, pgoff: u64): i64 {
  const bad = checkMmap(address, lenBytes, prot, flags, file, pgoff);
  if (bad != 0) return bad;
  const len = pageAlign(lenBytes);
  chargeCost(C_MMAP);
  if (downWriteKillable(mm.mmapSem) != 0) return -EINTR;
  const vmFlags = vmFlagsOf(mm, prot, flags, file);
  const at = mmapLocked(mm, address, len, flags, vmFlags, file, <u32>pgoff);
  mmapWriteUnlock(mm);
  destroyDetached();
  if (at < 0) return at;
  traceEmit(sched().clockNs, TP_MMAP, sched().cpu.id, currentTask().id, <u64>at, len);
  // Failures of populate are not failures of mmap.
  if ((flags & MAP_POPULATE) != 0 || (vmFlags & VM_LOCKED) != 0) populateRange(mm, <u64>at, <u64>at + len, POPULATE_AS_MAPPED);
  return at;
}

function mmapLocked(mm: MmStruct, address: u64, len: u64, flags: u32, vmFlags: u32, file: File, pgoff: u32): i64 {
  if (mm.mapCount >= MAX_MAP_COUNT || !mayExpandVm(mm, len)) return -ENOMEM;
  let at = address;
  if ((flags & MAP_FIXED_NOREPLACE) != 0) {
    if (!isNullVma(findVmaIntersection(mm, at, at + len))) return -EEXIST;
  } else if ((flags & MAP_FIXED) != 0) {
    const error = munmapLocked(mm, at, at + len, false);
    if (error != 0) return error;
  } else {
    at = unmappedArea(mm, address, len);
    if (at == 0) return -ENOMEM;
  }
  const offset = isNullFile(file) ? <u32>(at >> PAGE_SHIFT) : pgoff;
  const vma = vmaCreate(mm, at, at + len, vmFlags, file, offset);
  if (isNullVma(vma)) return -ENOMEM;
  vmaInsert(mm, vma);
  vmaMergeAround(mm, vma);
  return <i64>at;
}

/** MAP_SHARED | MAP_ANONYMOUS: an unlinked file of that length. Null on ENOMEM; the caller puts it. */
export function sharedAnonymousFile(lenBytes: u64): File {
  const f = mmState().shmemFileFn;
  return changetype<File>(f(pageAlign(lenBytes)));
}

/** True when the flags ask for a file that the system call has to make. */
export function wantsSharedAnonymous(flags: u32): bool {
  return (flags & MAP_ANONYMOUS) != 0 && (flags & MAP_TYPE) == MAP_SHARED;
}

/** munmap(2). */
export function doMunmap(mm: MmStruct, address: u64, lenBytes: u64): i64 {
  if ((address & 0xfff) != 0 || lenBytes == 0) return -EINVAL;
  const len = pageAlign(lenBytes);
  if (len == 0 || address > TASK_SIZE || len > TASK_SIZE - address) return -EINVAL;
  chargeCost(C_MUNMAP);
  if (downWriteKillable(mm.mmapSem) != 0) return -EINTR;
  traceEmit(sched().clockNs, TP_MUNMAP, sched().cpu.id, currentTask().id, address, len);
  const error = munmapLocked(mm, address, address + len, true);
  if (error != 0) mmapWriteUnlock(mm);
  return error;
}

/** Splits the VMAs that cross the ends of [start, end). Returns 0 or -ENOMEM. */
function splitEnds(mm: MmStruct, start: u64, end: u64): i32 {
  const first = findVmaIntersection(mm, start, start + 1);
  if (!isNullVma(first) && first.start < start) {
    const error = vmaSplit(mm, first, start);
    if (error != 0) return error;
  }
  const last = findVmaIntersection(mm, end - 1, end);
  if (!isNullVma(last) && last.end > end) return vmaSplit(mm, last, end);
  return 0;
}

/**
 * Unmaps [start, end) with mmap_sem held for writing. With `release` the lock is downgraded for the zap and released on
 * success; without it, it stays held for writing. Returns 0, or -ENOMEM with the lock held for writing and nothing unmapped.
 */
export function munmapLocked(mm: MmStruct, start: u64, end: u64, release: bool): i32 {
  assert(mm.detached == 0, "[mmap-1] one unmapping at a time");
  const error = splitEnds(mm, start, end);
  if (error != 0) return error;
  const first = findVmaIntersection(mm, start, end);
  if (isNullVma(first)) {
    if (release) mmapWriteUnlock(mm);
    return 0;
  }
  const below = vmaPrev(first);
  const floor = isNullVma(below) ? 0 : below.end;
  const chain = detachRange(mm, start, end);
  const above = findVmaIntersection(mm, end, TASK_SIZE);
  const ceiling = isNullVma(above) ? TASK_SIZE : above.start;
  if (release) mmapWriteDowngrade(mm);
  for (let vma = chain; !isNullVma(vma); vma = chainNext(vma)) zapPageRange(mm, vma, vma.start, vma.end);
  mm.detached = 0;
  // Only now: a truncate in between finds these pages by the VMA. And before its tables go: a walk may be in them.
  for (let vma = chain; !isNullVma(vma); vma = chainNext(vma)) vmaUnshare(vma);
  // No VMA can come into the hole while this lock is held, for reading or writing: tables between the neighbours are ours.
  freePgtables(mm, start, end, floor, ceiling);
  if (release) {
    upRead(mm.mmapSem);
    destroyChain(chain);
  } else deferDestroy(chain);
  return 0;
}

/** Keeps a chain until the caller of munmapLocked has released mmap_sem ([mmap-2]). */
function deferDestroy(chain: VmArea): void {
  const task = currentTask();
  let tail = chain;
  while (!isNullVma(chainNext(tail))) tail = chainNext(tail);
  tail.node.left = <u32>task.detachedVmas;
  task.detachedVmas = changetype<usize>(chain);
}

/** Frees what munmapLocked left for later. Preconditions: mmap_sem is not held. */
export function destroyDetached(): void {
  const task = currentTask();
  const chain = changetype<VmArea>(task.detachedVmas);
  task.detachedVmas = 0;
  destroyChain(chain);
}

/** Detached VMAs hang together through their tree node's `left`, which is free then. */
export function chainNext(vma: VmArea): VmArea {
  return changetype<VmArea>(<usize>vma.node.left);
}

/** Takes every VMA inside [start, end) out of the mm's tree. Returns them as a chain in address order. */
function detachRange(mm: MmStruct, start: u64, end: u64): VmArea {
  let head = changetype<VmArea>(0);
  let tail = changetype<VmArea>(0);
  let vma = findVmaIntersection(mm, start, end);
  while (!isNullVma(vma) && vma.start < end) {
    assert(vma.start >= start && vma.end <= end, "the ends were split");
    const next = vmaNext(vma);
    vmaDetach(mm, vma);
    vma.node.left = 0;
    if (isNullVma(head)) {
      head = vma;
      mm.detached = <u32>changetype<usize>(vma);
    } else tail.node.left = <u32>changetype<usize>(vma);
    tail = vma;
    vma = next;
  }
  return head;
}

function destroyChain(chain: VmArea): void {
  let vma = chain;
  while (!isNullVma(vma)) {
    const next = chainNext(vma);
    vmaDestroy(vma);
    vma = next;
  }
}

/** brk(2): the new break, or the present one when it cannot be moved. */
export function doBrk(mm: MmStruct, address: u64): i64 {
  if (downWriteKillable(mm.mmapSem) != 0) return -EINTR;
  const old = mm.brk;
  if (address < mm.brkStart || address >= TASK_SIZE) {
    mmapWriteUnlock(mm);
    return <i64>old;
  }
  const oldEnd = pageAlign(old);
  const newEnd = pageAlign(address);
  if (newEnd < oldEnd) {
    mm.brk = address;
    if (munmapLocked(mm, newEnd, oldEnd, true) == 0) return <i64>address;
    mm.brk = old;
    mmapWriteUnlock(mm);
    return <i64>old;
  }
  if (newEnd > oldEnd && !growBreak(mm, oldEnd, newEnd)) {
    mmapWriteUnlock(mm);
    return <i64>old;
  }
  mm.brk = address;
  const locked = (mm.flags & MMF_LOCK_FUTURE) != 0;
  mmapWriteUnlock(mm);
  if (locked && newEnd > oldEnd) populateRange(mm, oldEnd, newEnd, POPULATE_AS_MAPPED);
  return <i64>address;
}

function growBreak(mm: MmStruct, start: u64, end: u64): bool {
  if (!isNullVma(findVmaIntersection(mm, start, end)) || mm.mapCount >= MAX_MAP_COUNT || !mayExpandVm(mm, end - start)) return false;
  let flags = VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC | VM_HEAP;
  if ((mm.flags & MMF_LOCK_FUTURE) != 0) flags |= VM_LOCKED;
  const vma = vmaCreate(mm, start, end, flags, changetype<File>(0), <u32>(start >> PAGE_SHIFT));
  if (isNullVma(vma)) return false;
  vmaInsert(mm, vma);
  vmaMergeAround(mm, vma);
  return true;
}
