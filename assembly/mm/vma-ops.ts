/*
 * The VMA tree: insert, remove, split, merge, and the search for free address space.
 *
 *     vmaSplit at x:   | a                |   ->   | a      | b       |        both keep file, flags; b.pgoff moves on
 *     vmaMerge:        | prev | new | next |  ->   |        prev       |        same flags, file and contiguous pgoff
 *
 * Interface: vmaInsert, vmaDetach, vmaUnshare, vmaSplit, vmaIsolate, vmaMergeAround, vmaCreate, vmaDestroy, unmappedArea, mayExpandVm,
 *            vmaTouched, findVmaIntersection.
 * Invariants:
 *   [vma-1] VMAs of one mm do not overlap; start < end, page aligned.
 *   [vma-2] a VMA with a file pins it and is in the file's i_mmap tree, under i_mmap_rwsem.
 *   [vma-3] every change of the tree bumps mm.vmaSeq, so that no cached VMA outlives it, and stamps the VMA anew.
 *   [vma-4] a resize, split or merge is one change under i_mmap_rwsem: no rmap walk sees a page's VMA missing. A VMA that is
 *           unmapped stays in i_mmap until its PTEs are gone, for a truncate of its pages must find them.
 * Locks: mmap_sem for writing; i_mmap_rwsem inside.
 * Why not Linux's eight merge cases in one pass: merging one neighbour at a time gives the same tree.
 */
import { IntervalNode, itFirst, itFirstOverlap, itInsert, itLast, itNext, itPrev, itRemove } from "../lib/interval-tree";
import { ENOMEM } from "../lib/errno";
import { M_VMA_SEQ_KEPT, mutant } from "../lib/mutant";
import { MAX_MAP_COUNT, MAX_TOTAL_VM, MMAP_MIN_ADDR, TASK_SIZE } from "../config";
import { PAGE_SHIFT } from "../memlayout";
import { C_VMA_CREATE, C_VMA_SPLIT, chargeCost } from "../sched/cost";
import { downWrite, upWrite } from "../sched/rwsem";
import { File, getFile, isNullFile, putFile } from "./address-space";
import { MmStruct } from "./mm-struct";
import { mmState } from "./state";
import { vmaMarkNew, vmaStartWrite } from "./vma-lock";
import { VM_LOCKED, VM_SHARED, VM_WRITE, VmArea, assertVma, isNullVma, vmaAlloc, vmaFree, vmaPages } from "./vma";

function vmaOfNode(node: IntervalNode): VmArea {
  return changetype<VmArea>(changetype<usize>(node));
}

/** The tree changed: cached VMAs are stale, and the VMA is not what it was for anybody who remembers its stamp. */
export function vmaTouched(mm: MmStruct, vma: VmArea): void {
  mm.vmaSeq++;
  if (MUTANTS && mutant(M_VMA_SEQ_KEPT) && vma.seq != 0) return;
  vma.seq = ++mmState().vmaStamp;
}

/** A VMA for [start, end) that is in no tree yet; pins the file. Null on ENOMEM. */
export function vmaCreate(mm: MmStruct, start: u64, end: u64, flags: u32, file: File, pgoff: u32): VmArea {
  assert(start < end && ((start | end) & 0xfff) == 0, "[vma-1] a VMA is a page range");
  const vma = vmaAlloc();
  if (isNullVma(vma)) return vma;
  chargeCost(C_VMA_CREATE);
  vma.mm = changetype<usize>(mm);
  vma.start = start;
  vma.end = end;
  vma.flags = flags;
  vma.pgoff = pgoff;
  vma.file = file;
  if (!isNullFile(file)) getFile(file);
  return vma;
}

/** Frees a VMA that is in no tree; unpins the file, which may close it. */
export function vmaDestroy(vma: VmArea): void {
  const file = vma.file;
  vmaFree(vma);
  if (!isNullFile(file)) putFile(file);
}

/** Takes the file's i_mmap_rwsem for writing: what follows is one change for every rmap walk. */
function lockShares(file: File): void {
  if (!isNullFile(file)) downWrite(file.mapping.iMmapRwsem);
}

function unlockShares(file: File): void {
  if (!isNullFile(file)) upWrite(file.mapping.iMmapRwsem);
}

function isSharedWritable(vma: VmArea): bool {
  return (vma.flags & (VM_SHARED | VM_WRITE)) == (VM_SHARED | VM_WRITE);
}

/** Enters the VMA into the mm's tree and, with the shares locked, into the file's. */
function linkLocked(mm: MmStruct, vma: VmArea): void {
  assertVma(vma);
  assert(isNullVma(findVmaIntersection(mm, vma.start, vma.end)), "[vma-1] VMAs do not overlap");
  vma.node.start = vma.start;
  vma.node.last = vma.end - 1;
  itInsert(mm.vmas, vma.node);
  mm.mapCount++;
  mm.totalVm += vmaPages(vma);
  if ((vma.flags & VM_LOCKED) != 0) mm.lockedVm += vmaPages(vma);
  vmaTouched(mm, vma);
  vmaMarkNew(mm, vma);
  if (isNullFile(vma.file)) return;
  const mapping = vma.file.mapping;
  vma.share.start = vma.pgoff;
  vma.share.last = vma.pgoff + vmaPages(vma) - 1;
  itInsert(mapping.iMmap, vma.share);
  if (isSharedWritable(vma)) mapping.mmapWritable++;
}

/** Takes the VMA out of both trees, with the shares locked. */
function unlinkLocked(mm: MmStruct, vma: VmArea): void {
  detach(mm, vma);
  unlinkShare(vma);
}

/** Takes the VMA out of the mm's tree. */
function detach(mm: MmStruct, vma: VmArea): void {
  assertVma(vma);
  itRemove(mm.vmas, vma.node);
  assert(mm.mapCount != 0 && mm.totalVm >= vmaPages(vma), "[mm-2] an mm counts its VMAs");
  mm.mapCount--;
  mm.totalVm -= vmaPages(vma);
  if ((vma.flags & VM_LOCKED) != 0) mm.lockedVm -= vmaPages(vma);
  vmaTouched(mm, vma);
}

/** Takes the VMA out of the file's tree, with the shares locked. */
function unlinkShare(vma: VmArea): void {
  if (isNullFile(vma.file)) return;
  const mapping = vma.file.mapping;
  itRemove(mapping.iMmap, vma.share);
  if (!isSharedWritable(vma)) return;
  assert(mapping.mmapWritable != 0, "a mapping counts its shared writable VMAs");
  mapping.mmapWritable--;
}

/** Puts a VMA into the mm's tree and the file's. */
export function vmaInsert(mm: MmStruct, vma: VmArea): void {
  lockShares(vma.file);
  linkLocked(mm, vma);
  unlockShares(vma.file);
}

/** Takes a VMA out of the mm's tree: no fault finds it any more. Its pages stay visible to rmap until vmaUnshare. */
export function vmaDetach(mm: MmStruct, vma: VmArea): void {
  vmaStartWrite(mm, vma);
  detach(mm, vma);
}

/** Takes a detached VMA out of the file's tree. Preconditions: its PTEs are gone, so that no walk can miss one. */
export function vmaUnshare(vma: VmArea): void {
  lockShares(vma.file);
  unlinkShare(vma);
  unlockShares(vma.file);
}

/** Takes the VMA's file's i_mmap_rwsem for writing while PTEs move between two VMAs of one file ([rmap-1]). */
export function vmaLockShares(vma: VmArea): void {
  lockShares(vma.file);
}

export function vmaUnlockShares(vma: VmArea): void {
  unlockShares(vma.file);
}

function resizeLocked(mm: MmStruct, vma: VmArea, start: u64, end: u64, pgoff: u32): void {
  unlinkLocked(mm, vma);
  vma.start = start;
  vma.end = end;
  vma.pgoff = pgoff;
  linkLocked(mm, vma);
}

/** Changes the extent of a VMA that is in the tree. */
export function vmaResize(mm: MmStruct, vma: VmArea, start: u64, end: u64, pgoff: u32): void {
  vmaStartWrite(mm, vma);
  lockShares(vma.file);
  resizeLocked(mm, vma, start, end, pgoff);
  unlockShares(vma.file);
}

/** Changes the flags of a VMA that is in the tree. */
export function vmaSetFlags(mm: MmStruct, vma: VmArea, flags: u32): void {
  vmaStartWrite(mm, vma);
  lockShares(vma.file);
  unlinkLocked(mm, vma);
  vma.flags = flags;
  linkLocked(mm, vma);
  unlockShares(vma.file);
}

/** Splits at `address`, which lies inside: the VMA keeps the lower part. Returns 0 or -ENOMEM. */
export function vmaSplit(mm: MmStruct, vma: VmArea, address: u64): i32 {
  assert(vma.start < address && address < vma.end, "a split is inside the VMA");
  if (mm.mapCount >= MAX_MAP_COUNT) return -ENOMEM;
  chargeCost(C_VMA_SPLIT);
  const pgoff = vma.pgoff + <u32>((address - vma.start) >> PAGE_SHIFT);
  const upper = vmaCreate(mm, address, vma.end, vma.flags, vma.file, pgoff);
  if (isNullVma(upper)) return -ENOMEM;
  vmaStartWrite(mm, vma);
  // Both halves in one change: an rmap walk in between would miss the upper half's PTEs.
  lockShares(vma.file);
  resizeLocked(mm, vma, vma.start, address, vma.pgoff);
  linkLocked(mm, upper);
  unlockShares(vma.file);
  return 0;
}

/** Splits so that one VMA covers exactly [start, end), which lies inside. Null on ENOMEM, with the VMA whole again. */
export function vmaIsolate(mm: MmStruct, vma: VmArea, start: u64, end: u64): VmArea {
  assert(vma.start <= start && end <= vma.end && start < end, "what is isolated lies inside");
  let piece = vma;
  if (piece.start < start) {
    if (vmaSplit(mm, piece, start) != 0) return changetype<VmArea>(0);
    piece = vmaNext(piece);
  }
  if (piece.end == end || vmaSplit(mm, piece, end) == 0) return piece;
  vmaMergeAround(mm, piece);
  return changetype<VmArea>(0);
}

/** True when `next` continues `prev`: adjacent, same flags, same file at the following offset. */
function mergeable(prev: VmArea, next: VmArea): bool {
  if (prev.end != next.start || prev.flags != next.flags) return false;
  if (changetype<usize>(prev.file) != changetype<usize>(next.file)) return false;
  return prev.pgoff + vmaPages(prev) == next.pgoff;
}

/** Merges a VMA with its neighbours where they continue each other. Returns the VMA that covers it now. */
export function vmaMergeAround(mm: MmStruct, vma: VmArea): VmArea {
  let kept = vma;
  const before = itPrev(vma.node);
  if (changetype<usize>(before) != 0 && mergeable(vmaOfNode(before), vma)) kept = absorb(mm, vmaOfNode(before), vma);
  const after = itNext(kept.node);
  if (changetype<usize>(after) != 0 && mergeable(kept, vmaOfNode(after))) kept = absorb(mm, kept, vmaOfNode(after));
  return kept;
}

function absorb(mm: MmStruct, lower: VmArea, upper: VmArea): VmArea {
  const end = upper.end;
  vmaStartWrite(mm, lower);
  vmaStartWrite(mm, upper);
  lockShares(lower.file);
  unlinkLocked(mm, upper);
  resizeLocked(mm, lower, lower.start, end, lower.pgoff);
  unlockShares(lower.file);
  vmaDestroy(upper);
  return lower;
}

/** The first VMA that overlaps [start, end), or null. */
export function findVmaIntersection(mm: MmStruct, start: u64, end: u64): VmArea {
  return changetype<VmArea>(changetype<usize>(itFirstOverlap(mm.vmas, start, end - 1)));
}

/** The VMA after this one, or null. */
export function vmaNext(vma: VmArea): VmArea {
  return changetype<VmArea>(changetype<usize>(itNext(vma.node)));
}

export function vmaPrev(vma: VmArea): VmArea {
  return changetype<VmArea>(changetype<usize>(itPrev(vma.node)));
}

export function firstVma(mm: MmStruct): VmArea {
  return changetype<VmArea>(changetype<usize>(itFirst(mm.vmas)));
}

export function lastVma(mm: MmStruct): VmArea {
  return changetype<VmArea>(changetype<usize>(itLast(mm.vmas)));
}

/** True when the mm may map `lenBytes` more. */
export function mayExpandVm(mm: MmStruct, lenBytes: u64): bool {
  return mm.totalVm + (lenBytes >> PAGE_SHIFT) <= MAX_TOTAL_VM;
}

/** Free address space for `lenBytes`: the hint if it is free, else top-down from the mmap base. 0: none. */
export function unmappedArea(mm: MmStruct, hint: u64, lenBytes: u64): u64 {
  assert(lenBytes <= TASK_SIZE, "a mapping fits the address space");
  if (hint != 0) {
    const at = hint < MMAP_MIN_ADDR ? MMAP_MIN_ADDR : hint & ~0xfff;
    if (at <= TASK_SIZE - lenBytes && isNullVma(findVmaIntersection(mm, at, at + lenBytes))) return at;
  }
  if (lenBytes > mm.mmapBase - MMAP_MIN_ADDR) return 0;
  let top = mm.mmapBase;
  let vma = changetype<VmArea>(changetype<usize>(lastBelow(mm, top)));
  while (!isNullVma(vma)) {
    if (vma.end <= top && top - vma.end >= lenBytes) return top - lenBytes;
    if (vma.start < top) top = vma.start;
    if (top < MMAP_MIN_ADDR + lenBytes) return 0;
    vma = vmaPrev(vma);
  }
  return top - lenBytes;
}

/** The highest VMA that starts below `address`, or null. */
function lastBelow(mm: MmStruct, address: u64): IntervalNode {
  let node = itLast(mm.vmas);
  while (changetype<usize>(node) != 0 && node.start >= address) node = itPrev(node);
  return node;
}
