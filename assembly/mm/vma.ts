/*
 * vm_area_struct: a range of virtual addresses with one backing and one protection.
 *
 * Interface: VmArea, VM_*, findVma, vmaAlloc, vmaFree, vmaPgoff, vmaIsShared, vmaOfMmap, vmaDead. Insert, merge and split: vma-ops.ts.
 * Invariants:
 *   [vma-1] start < end, both page aligned; VMAs of one mm do not overlap.
 *   [vma-2] a VMA with a file pins it and is in the file's i_mmap tree.
 *   [mk-3] a freed VMA is poisoned (magic), so that a read after the lock was dropped is caught and not survived.
 * Locks: mmap_sem of the mm: write to change, read (or the per-VMA lock) to look.
 * Why not a sorted list: an interval tree answers find_vma and overlap in log n, and serves i_mmap as well.
 */
import { KmemCache, kmemCacheAlloc, kmemCacheFree } from "../lib/slab";
import { IntervalNode } from "../lib/interval-tree";
import { PAGE_SHIFT } from "../memlayout";
import { LC_VMA_LOCK } from "../sched/lock-class";
import { RwSemaphore, rwsemInit, rwsemIsLocked } from "../sched/rwsem";
import { File } from "./address-space";
import { mmState } from "./state";

export const VM_READ: u32 = 1;
export const VM_WRITE: u32 = 2;
export const VM_EXEC: u32 = 4;
export const VM_SHARED: u32 = 8;
export const VM_MAYREAD: u32 = 0x10;
export const VM_MAYWRITE: u32 = 0x20;
export const VM_MAYEXEC: u32 = 0x40;
export const VM_MAYSHARE: u32 = 0x80;
export const VM_GROWSDOWN: u32 = 0x100;
export const VM_LOCKED: u32 = 0x2000;
export const VM_DONTCOPY: u32 = 0x20000;
export const VM_HEAP: u32 = 0x0100_0000;
export const VM_STACK: u32 = 0x0200_0000;

const VMA_MAGIC: u32 = 0x564d4121;
const VMA_DEAD: u32 = 0x6b6b6b6b;

@unmanaged
export class VmArea {
  /** Node of the mm's tree, keyed by address: start..last. */
  node0: u64;
  node1: u64;
  node2: u64;
  node3: u64;
  node4: u64;
  /** Node of the file's i_mmap tree, keyed by pgoff. */
  share0: u64;
  share1: u64;
  share2: u64;
  share3: u64;
  share4: u64;
  start: u64;
  end: u64;
  magic: u32;
  flags: u32;
  mm: usize;
  file: File;
  /** File offset of `start`, in pages; for anonymous VMAs start >> PAGE_SHIFT at creation. */
  pgoff: u32;
  /** A stamp that no other VMA and no other state of this one ever has: `completed` compares it. */
  seq: u32;
  /** The mm's lockSeq when this VMA was last write-locked (mm/vma-lock.ts). */
  lockSeq: u32;
  pad: u32;
  /** Per-VMA lock: RwSemaphore, 56 bytes. */
  lock0: u64;
  lock1: u64;
  lock2: u64;
  lock3: u64;
  lock4: u64;
  lock5: u64;
  lock6: u64;

  get node(): IntervalNode {
    return changetype<IntervalNode>(changetype<usize>(this));
  }
  get lock(): RwSemaphore {
    return changetype<RwSemaphore>(changetype<usize>(this) + offsetof<VmArea>("lock0"));
  }
  get share(): IntervalNode {
    return changetype<IntervalNode>(changetype<usize>(this) + offsetof<VmArea>("share0"));
  }
}

export function isNullVma(vma: VmArea): bool {
  return changetype<usize>(vma) == 0;
}

/** The VMA whose share node this is. */
export function vmaOfShare(node: usize): VmArea {
  return changetype<VmArea>(node - offsetof<VmArea>("share0"));
}

export function vmaAlloc(): VmArea {
  assert(offsetof<IntervalNode>() == 40, "VmArea keeps 40 bytes for each IntervalNode");
  const vma = changetype<VmArea>(kmemCacheAlloc(changetype<KmemCache>(mmState().vmaCache)));
  if (isNullVma(vma)) return vma;
  assert(offsetof<RwSemaphore>() <= 56, "a RwSemaphore fits its space");
  vma.magic = VMA_MAGIC;
  rwsemInit(vma.lock, LC_VMA_LOCK);
  return vma;
}

export function vmaFree(vma: VmArea): void {
  assertVma(vma);
  assert(!rwsemIsLocked(vma.lock), "[mk-3] a VMA is freed while a fault holds its lock");
  vma.magic = VMA_DEAD;
  kmemCacheFree(changetype<KmemCache>(mmState().vmaCache), changetype<usize>(vma));
}

/** [mk-3] A VMA that is used must be alive. */
export function assertVma(vma: VmArea): void {
  assert(vma.magic == VMA_MAGIC, "[mk-3] a VMA is used after it was freed");
}

export function vmaPages(vma: VmArea): u32 {
  return <u32>((vma.end - vma.start) >> PAGE_SHIFT);
}

/** pgoff of an address within the VMA. */
export function linearPgoff(vma: VmArea, address: u64): u32 {
  return vma.pgoff + <u32>((address - vma.start) >> PAGE_SHIFT);
}

/** Address at which the VMA maps pgoff. */
export function vmaAddress(vma: VmArea, pgoff: u32): u64 {
  return vma.start + (<u64>(pgoff - vma.pgoff) << PAGE_SHIFT);
}

export function vmaIsShared(vma: VmArea): bool {
  return (vma.flags & VM_SHARED) != 0;
}

export function vmaIsAnonymous(vma: VmArea): bool {
  return changetype<usize>(vma.file) == 0;
}
