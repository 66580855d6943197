/*
 * struct vm_fault and the codes of the fault path: what travels from the trap to the filesystem and back.
 *
 * Interface: VmFault, VM_FAULT_*, FAULT_FLAG_*, vmFaultInit, vmFaultFini, currentFault.
 * Invariants:
 *   [vmf-1] vmf.file is pinned from vmFaultInit to vmFaultFini, always, so that a callback without the fault lock has it.
 *   [mk-3] after the fault lock is dropped vmf.vma is null.
 *   [mk-4] a fault returns with the lock state that its code says: RETRY and COMPLETED dropped, all else held.
 * Locks: the fault lock (mmap_sem or the per-VMA lock), named by vmf.lockKind.
 * Why not on the stack: Asyncify saves scalars; a struct must have an address, so every task keeps one vm_fault.
 */
import { M_PIN_LEAK_RETRY, M_PIN_NONE, mutant } from "../lib/mutant";
import { C_FILE_PIN, chargeCost } from "../sched/cost";
import { Task } from "../sched/state";
import { File, getFile, isNullFile, putFile } from "./address-space";
import { MmStruct } from "./mm-struct";
import { Page } from "./page";
import { VmArea, isNullVma } from "./vma";

export const VM_FAULT_OOM: u32 = 0x1;
export const VM_FAULT_SIGBUS: u32 = 0x2;
export const VM_FAULT_MAJOR: u32 = 0x4;
export const VM_FAULT_SIGSEGV: u32 = 0x40;
export const VM_FAULT_NOPAGE: u32 = 0x100;
export const VM_FAULT_LOCKED: u32 = 0x200;
export const VM_FAULT_RETRY: u32 = 0x400;
export const VM_FAULT_DONE_COW: u32 = 0x1000;
export const VM_FAULT_COMPLETED: u32 = 0x4000;
export const VM_FAULT_ERROR: u32 = VM_FAULT_OOM | VM_FAULT_SIGBUS | VM_FAULT_SIGSEGV;

export const FAULT_FLAG_WRITE: u32 = 0x1;
export const FAULT_FLAG_MKWRITE: u32 = 0x2;
export const FAULT_FLAG_ALLOW_RETRY: u32 = 0x4;
export const FAULT_FLAG_RETRY_NOWAIT: u32 = 0x8;
export const FAULT_FLAG_KILLABLE: u32 = 0x10;
export const FAULT_FLAG_TRIED: u32 = 0x20;
export const FAULT_FLAG_USER: u32 = 0x40;
export const FAULT_FLAG_REMOTE: u32 = 0x80;
export const FAULT_FLAG_INSTRUCTION: u32 = 0x100;
export const FAULT_FLAG_VMA_LOCK: u32 = 0x1000;
export const FAULT_FLAG_DEFAULT: u32 = FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_KILLABLE;

/** vmf.lockKind */
export const FAULT_LOCK_NONE: u32 = 0;
export const FAULT_LOCK_MMAP: u32 = 1;
export const FAULT_LOCK_VMA: u32 = 2;

@unmanaged
export class VmFault {
  address: u64;
  origPte: u64;
  /** Time at which the trap was taken, for the latency histogram. */
  startNs: u64;
  /** i_size when the stashed page was prepared: what bacik-v3 compares. */
  stashEnd: u64;
  vma: VmArea;
  mm: MmStruct;
  file: File;
  page: Page;
  /** Private copy being made for a write to a private mapping. */
  cowPage: Page;
  /** Page that an unlocked attempt prepared (mm/nommapsem.ts). */
  stash: Page;
  flags: u32;
  pgoff: u32;
  /** Leaf slot; 0 before the tables exist. */
  pte: usize;
  lockKind: u32;
  /** 1: the fault lock was dropped during this pass. */
  dropped: u32;
  /** ->page_mkwrite runs of this fault, unlocked attempts ([mk-5]). */
  mkwriteRuns: u32;
  unlockedAttempts: u32;
  /** Errno of a failed read, for reports. */
  error: i32;
  /** 1 while between init and fini. */
  active: u32;
  /** Generation of the stashed page when it was prepared (S9). */
  stashGeneration: u32;
  /** 1: `completed` took the fault lock again within the pass; the caller releases it and returns COMPLETED. */
  relocked: u32;
  /** bacik-v3's FAULT_FLAG_USED_CACHED. */
  usedCached: u32;
  task: Task;
}

if (offsetof<VmFault>() > 128) ERROR("a VmFault fits the task's 128 bytes");

export function currentFault(task: Task): VmFault {
  return changetype<VmFault>(task.vmf);
}

/** Starts one pass of a fault: the VMA is found and allowed, the fault lock is held. */
export function vmFaultInit(vmf: VmFault, vma: VmArea, address: u64, flags: u32): void {
  assert(vmf.active == 0, "a fault inside a fault");
  assert(!isNullVma(vma), "a fault has a VMA");
  vmf.active = 1;
  vmf.vma = vma;
  vmf.address = address & ~0xfff;
  vmf.flags = flags;
  vmf.pgoff = vma.pgoff + <u32>((vmf.address - vma.start) >> 12);
  vmf.page = changetype<Page>(0);
  vmf.cowPage = changetype<Page>(0);
  vmf.pte = 0;
  vmf.origPte = 0;
  vmf.dropped = 0;
  vmf.relocked = 0;
  vmf.usedCached = 0;
  vmf.error = 0;
  vmf.file = vma.file;
  if (!isNullFile(vmf.file)) {
    chargeCost(C_FILE_PIN);
    if (!(MUTANTS && mutant(M_PIN_NONE))) getFile(vmf.file);
  }
}

/** Ends the pass. The last reference to the file may be this one; then the file is closed here, without page or fs locks. */
export function vmFaultFini(vmf: VmFault): void {
  assert(vmf.active == 1, "[mk-6] a fault ends once");
  assert(changetype<usize>(vmf.cowPage) == 0, "[mk-6] a private copy is installed or dropped");
  vmf.active = 0;
  const file = vmf.file;
  vmf.file = changetype<File>(0);
  if (MUTANTS && vmf.dropped != 0 && mutant(M_PIN_LEAK_RETRY)) return;
  if (!isNullFile(file) && !(MUTANTS && mutant(M_PIN_NONE))) putFile(file);
}
