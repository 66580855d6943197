/*
 * mprotect: VMAs in the range get new rights; PTEs lose at once what they no longer may.
 *
 * Interface: doMprotect(mm, address, lenBytes, prot).
 * Invariants:
 *   [mp-1] when it returns 0, no PTE and no TLB entry in the range grants more than prot.
 *   [mp-2] a hole ends it with ENOMEM; what came before the hole has changed (as in Linux).
 * Locks: mmap_sem for writing.
 * Why not give W back to PTEs: the next store faults once and asks page_mkwrite, which is the law [mk-1].
 */
import { EACCES, EINTR, EINVAL, ENOMEM } from "../lib/errno";
import { TASK_SIZE } from "../config";
import { PTE_R, PTE_W, PTE_X } from "../cpu/pte";
import { downWriteKillable } from "../sched/rwsem";
import { PROT_MASK, protToVmFlags } from "./mman";
import { MmStruct } from "./mm-struct";
import { VM_EXEC, VM_READ, VM_WRITE, VmArea, isNullVma } from "./vma";
import { findVmaIntersection, vmaIsolate, vmaMergeAround, vmaNext, vmaSetFlags } from "./vma-ops";
import { changeProtection } from "./zap";
import { mmapWriteUnlock } from "./vma-lock";

export function doMprotect(mm: MmStruct, address: u64, lenBytes: u64, prot: u32): i64 {
  if ((address & 0xfff) != 0 || (prot & ~PROT_MASK) != 0) return -EINVAL;
  if (lenBytes == 0) return 0;
  const len = (lenBytes + 0xfff) & ~0xfff;
  if (len == 0 || address > TASK_SIZE || len > TASK_SIZE - address) return -ENOMEM;
  if (downWriteKillable(mm.mmapSem) != 0) return -EINTR;
  const result = protectLocked(mm, address, address + len, prot);
  mmapWriteUnlock(mm);
  return result;
}

/** The rights asked for must be among those the mapping may have (VM_MAY*). */
function allowed(vma: VmArea, prot: u32): bool {
  return (protToVmFlags(prot) & ~(vma.flags >> 4)) == 0;
}

function protectLocked(mm: MmStruct, start: u64, end: u64, prot: u32): i32 {
  let at = start;
  let vma = findVmaIntersection(mm, start, end);
  while (at < end) {
    if (isNullVma(vma) || vma.start > at) return -ENOMEM;
    if (!allowed(vma, prot)) return -EACCES;
    const flags = flagsWith(vma, prot);
    if (flags != vma.flags) {
      const piece = vmaIsolate(mm, vma, at, vma.end < end ? vma.end : end);
      if (isNullVma(piece)) return -ENOMEM;
      vma = protectVma(mm, piece, flags);
    }
    // A merge may have taken in what comes next: it has these rights already.
    assert(vma.end > at, "each step gets on");
    at = vma.end;
    vma = vmaNext(vma);
  }
  return 0;
}

function flagsWith(vma: VmArea, prot: u32): u32 {
  return (vma.flags & ~(VM_READ | VM_WRITE | VM_EXEC)) | protToVmFlags(prot);
}

/** Changes one whole VMA; returns the VMA that covers it afterwards. */
function protectVma(mm: MmStruct, vma: VmArea, flags: u32): VmArea {
  let clear: u64 = 0;
  if ((flags & (VM_READ | VM_WRITE)) == 0) clear |= PTE_R;
  if ((flags & VM_WRITE) == 0) clear |= PTE_W;
  if ((flags & VM_EXEC) == 0) clear |= PTE_X;
  const start = vma.start;
  const end = vma.end;
  vmaSetFlags(mm, vma, flags);
  // A PTE without R is given it back by the next fault, which finds it present: grant R at once instead.
  const set: u64 = (flags & (VM_READ | VM_WRITE)) != 0 ? PTE_R : 0;
  const exec: u64 = (flags & VM_EXEC) != 0 ? PTE_X : 0;
  changeProtection(mm, vma, start, end, clear, set | exec);
  return vmaMergeAround(mm, vma);
}
