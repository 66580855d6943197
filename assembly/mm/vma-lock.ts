/*
 * The per-VMA lock (linux-6.7): a fault first tries to hold only its VMA; mmap_sem's writers keep faults out VMA by VMA.
 *
 *     fault:    look the VMA up without mmap_sem -> write-locked? miss -> tryDownRead(vma.lock), else miss -> fault -> upRead
 *     writer:   mmap_sem for writing -> vmaStartWrite of each VMA it changes: waits for the faults in it, marks it with the
 *               mm's lockSeq -> mmapWriteUnlock: lockSeq + 1, which unmarks them all at once
 *
 * Interface: lockVmaUnderRcu, vmaEndRead, vmaStartWrite, vmaMarkNew, mmapWriteUnlock, mmapWriteDowngrade, vmaLocksInForce.
 * Invariants:
 *   [vl-1] vma.lockSeq == mm.lockSeq says: write-locked by the holder of mmap_sem for writing.
 *   [vl-2] between the lookup and the lock of a VMA nobody else runs, so the VMA cannot be freed in between (Linux: RCU).
 *   [vl-3] a VMA changes or goes only write-locked, so a fault that holds its lock sees one and the same VMA.
 * Locks: mmap_sem (write) -> vma_lock (write); vma_lock (read) alone.
 * Why not a plain counter: the writer's wait for the faults inside is the inversion that is left in 2023's kernels
 * (SCENARIOS section 6), and lock_stat should show it.
 */
import { syncPoint } from "../sched/core";
import { C_VMA_LOOKUP, chargeCost } from "../sched/cost";
import { downWrite, downgradeWrite, tryDownReadHere, upRead, upWrite } from "../sched/rwsem";
import { MmStruct, findVma } from "./mm-struct";
import { FAULT_LOCK_LINUX_6_7, mmState } from "./state";
import { VmArea, isNullVma } from "./vma";

export function vmaLocksInForce(): bool {
  return mmState().faultLock == FAULT_LOCK_LINUX_6_7;
}

/** The VMA of the address, read-locked, or null: the caller takes mmap_sem instead. */
export function lockVmaUnderRcu(mm: MmStruct, address: u64): VmArea {
  syncPoint();
  chargeCost(C_VMA_LOOKUP);
  const vma = findVma(mm, address);
  if (isNullVma(vma) || address < vma.start) return changetype<VmArea>(0);
  if (vma.lockSeq == mm.lockSeq || !tryDownReadHere(vma.lock)) return changetype<VmArea>(0);
  return vma;
}

export function vmaEndRead(vma: VmArea): void {
  upRead(vma.lock);
}

/** Waits for the faults in the VMA and keeps new ones out until mmap_sem is let go. Preconditions: mmap_sem for writing. */
export function vmaStartWrite(mm: MmStruct, vma: VmArea): void {
  if (!vmaLocksInForce() || vma.lockSeq == mm.lockSeq) return;
  downWrite(vma.lock);
  vma.lockSeq = mm.lockSeq;
  upWrite(vma.lock);
}

/** A VMA that comes into the tree is write-locked from the start. */
export function vmaMarkNew(mm: MmStruct, vma: VmArea): void {
  vma.lockSeq = mm.lockSeq;
}

/** Every VMA that this writer locked is open again. */
function endWriteAll(mm: MmStruct): void {
  mm.lockSeq++;
}

/** Lets mmap_sem go after writing. */
export function mmapWriteUnlock(mm: MmStruct): void {
  endWriteAll(mm);
  upWrite(mm.mmapSem);
}

/** Goes on as a reader of mmap_sem. */
export function mmapWriteDowngrade(mm: MmStruct): void {
  endWriteAll(mm);
  downgradeWrite(mm.mmapSem);
}
