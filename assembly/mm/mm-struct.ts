/*
 * mm_struct: an address space: page table, VMAs, counters, mmap_sem.
 *
 * Interface: MmStruct, mmAlloc, mmGet, mmPut (exit_mmap in exit.ts), findVma, currentMm, forEachMm.
 * Invariants:
 *   [mm-1] rssFile + rssAnon is the number of present PTEs, those of the zero page left out.
 *   [mm-2] mapCount is the number of VMAs in the tree; totalVm their pages.
 *   [mm-3] users counts tasks and pins; the page table and VMAs live while users > 0.
 * Locks: mmapSem guards the VMA tree; ptl the upper table levels; each leaf table has a lock of its own (pgtable.ts).
 * Why not an RCU-walked tree: mmap_sem is what is measured; the per-VMA lock comes as a regime beside it.
 */
import { KmemCache, kmemCacheAlloc } from "../lib/slab";
import { IntervalRoot, itFind, itInit } from "../lib/interval-tree";
import { ListHead, listAddTail, listInit } from "../lib/list";
import { BRK_BASE, MMAP_BASE } from "../config";
import { LC_MMAP_SEM } from "../sched/lock-class";
import { RwSemaphore, rwsemInit } from "../sched/rwsem";
import { SpinLock, spinInit } from "../sched/spinlock";
import { currentTask } from "../sched/state";
import { mmState } from "./state";
import { VmArea } from "./vma";

@unmanaged
export class MmStruct {
  sem0: u64;
  sem1: u64;
  sem2: u64;
  sem3: u64;
  sem4: u64;
  sem5: u64;
  sem6: u64;
  ptl0: u64;
  ptl1: u64;
  /** Root of the VMA tree (16 bytes). */
  vmas0: u64;
  vmas1: u64;
  mmapBase: u64;
  brkStart: u64;
  brk: u64;
  /** Highest address used by the stack mapping. */
  stackTop: u64;
  users: u32;
  id: u32;
  /** Physical address of the root page table. */
  root: u32;
  /** TLB context (cpu/tlb.ts): a new one flushes everything. */
  context: u32;
  mapCount: u32;
  totalVm: u32;
  lockedVm: u32;
  rssFile: u32;
  rssAnon: u32;
  rssShmem: u32;
  nrTables: u32;
  /** Bumped by every change of the VMA tree under mmap_sem for write: validates cached VMAs. */
  vmaSeq: u32;
  /** Write sequence of per-VMA locking. */
  lockSeq: u32;
  flags: u32;
  /** CPUs that have run this mm since it was created. */
  cpus0: u32;
  cpus1: u32;
  cpus2: u32;
  cpus3: u32;
  listNext: u32;
  listPrev: u32;
  /** Changes of PTEs under way whose TLB flush is still to come. */
  tlbFlushPending: u32;
  /** First VMA of those that are out of the tree while their PTEs go (mmap.ts), chained in address order. */
  detached: u32;

  get mmapSem(): RwSemaphore {
    return changetype<RwSemaphore>(changetype<usize>(this));
  }
  get ptl(): SpinLock {
    return changetype<SpinLock>(changetype<usize>(this) + offsetof<MmStruct>("ptl0"));
  }
  get vmas(): IntervalRoot {
    return changetype<IntervalRoot>(changetype<usize>(this) + offsetof<MmStruct>("vmas0"));
  }
  get cpuMask(): usize {
    return changetype<usize>(this) + offsetof<MmStruct>("cpus0");
  }
  get list(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<MmStruct>("listNext"));
  }
}

/** MmStruct.flags */
export const MMF_LOCK_FUTURE: u32 = 1;
export const MMF_OOM_VICTIM: u32 = 2;

export function isNullMm(mm: MmStruct): bool {
  return changetype<usize>(mm) == 0;
}

/** The running task's address space; null for kernel threads. */
export function currentMm(): MmStruct {
  return changetype<MmStruct>(currentTask().mm);
}

export function mmOfList(link: usize): MmStruct {
  return changetype<MmStruct>(link - offsetof<MmStruct>("listNext"));
}

/** A fresh address space without VMAs and without a root table (pgtable.ts gives it one). Null on ENOMEM. */
export function mmAllocRaw(): MmStruct {
  const m = mmState();
  const mm = changetype<MmStruct>(kmemCacheAlloc(changetype<KmemCache>(m.mmCache)));
  if (isNullMm(mm)) return mm;
  assert(offsetof<RwSemaphore>() <= 56, "a RwSemaphore fits its space");
  rwsemInit(mm.mmapSem, LC_MMAP_SEM);
  spinInit(mm.ptl);
  itInit(mm.vmas);
  mm.mmapBase = MMAP_BASE;
  mm.brkStart = BRK_BASE;
  mm.brk = BRK_BASE;
  mm.users = 1;
  // A VMA's lockSeq is 0 until somebody locks it.
  mm.lockSeq = 1;
  mm.id = ++m.nextMmId;
  listInit(mm.list);
  listAddTail(mm.list, m.mmList);
  return mm;
}

export function mmGet(mm: MmStruct): void {
  assert(mm.users > 0, "[mm-3] an mm in use is pinned");
  mm.users++;
}

/** The VMA that contains the address or the next above it; null when there is none. Preconditions: mmap_sem held. */
export function findVma(mm: MmStruct, address: u64): VmArea {
  return changetype<VmArea>(changetype<usize>(itFind(mm.vmas, address)));
}
