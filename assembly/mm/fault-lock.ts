/*
 * The lock of a fault: which one, when it may be dropped, and the loop that retries (SCENARIOS 2.2). Traps come in here.
 *
 *     trap -> take the fault lock -> find the VMA -> access check -> handleMmFault -+-> done: release, back to the guest
 *              ^                                                                    +-> RETRY: lock is gone, once more with TRIED
 *              +--------------------------------------------------------------------+   COMPLETED: lock is gone, done
 *
 * Regimes (a regime is data, DESIGN D8):   linux-4.19  mmap_sem held throughout
 *                                          linux-5.1   dropped for read IO, and for dirty throttling (RETRY)
 *                                          linux-6.7   per-VMA lock first (user mode), mmap_sem second; else as 5.1 (COMPLETED)
 * Interface: faultEnter, handlePageFault, faultLeave (the trap vector), faultInKernel (the kernel's own accesses),
 *            releaseFaultLock, tryRetakeFaultLock, maybeUnlockForIo, faultLockName, faultPassLocked and faultGiveUp (get_user_pages).
 * Invariants:
 *   [mk-4] RETRY and COMPLETED come back with the lock dropped, all else with it held.
 *   [mk-5] a fault may drop its lock once: TRIED keeps the second pass under the lock.
 *   [mk-3] nobody reads a VMA after dropping the lock that protects it: vmf.vma is null then.
 * Locks: mmap_sem for reading, or the VMA's lock for reading.
 * Why not one loop for user and kernel faults: it is one, faultLoop; they differ in what a failure means.
 */
import { histRecord } from "../lib/histogram";
import {
  M_ACCESS_NOT_RECHECKED, M_COMPLETED_STAMP, M_MAJFLT_TWICE, M_STASH_LEAK_GUP, M_STASH_LEAK_SEGV, M_STASH_LEAK_SIGNAL, M_VMA_LOCK_LEAK,
  M_VMA_PASS_UNTRIED, mutant,
} from "../lib/mutant";
import { traceEmit } from "../lib/trace";
import {
  TP_FAULT_RETRY, TP_MMAP_LOCK_ACQUIRED, TP_MMAP_LOCK_RELEASED, TP_MMAP_LOCK_START, TP_PAGE_FAULT_KERNEL, TP_PAGE_FAULT_USER,
  TP_VMA_LOCK_MISS,
} from "../tracepoints";
import { CAUSE_FETCH_PAGE_FAULT, CAUSE_STORE_PAGE_FAULT } from "../cpu/mmu";
import { FAULT_LOCK_HELD } from "../cpu/tlb";
import { C_TRAP_ENTRY, C_TRAP_EXIT, C_VMA_CACHED, C_VMA_LOOKUP, chargeCost } from "../sched/cost";
import { downReadKillable, downReadTouched, tryDownRead, upRead } from "../sched/rwsem";
import { Task, currentTask, sched } from "../sched/state";
import { lockHeld } from "../sched/lockdep";
import {
  FAULT_FLAG_ALLOW_RETRY, FAULT_FLAG_DEFAULT, FAULT_FLAG_INSTRUCTION, FAULT_FLAG_KILLABLE, FAULT_FLAG_RETRY_NOWAIT,
  FAULT_FLAG_TRIED, FAULT_FLAG_USER, FAULT_FLAG_VMA_LOCK, FAULT_FLAG_WRITE, FAULT_LOCK_MMAP, FAULT_LOCK_NONE, FAULT_LOCK_VMA,
  VM_FAULT_COMPLETED, VM_FAULT_ERROR, VM_FAULT_MAJOR, VM_FAULT_OOM, VM_FAULT_RETRY, VM_FAULT_SIGBUS, VM_FAULT_SIGSEGV, VmFault,
  currentFault, vmFaultFini, vmFaultInit,
} from "./fault";
import { handleMmFault } from "./memory";
import { MmStruct, findVma, isNullMm } from "./mm-struct";
import { stashDrop } from "./nommapsem";
import { FAULT_LOCK_LINUX_4_19, FAULT_LOCK_LINUX_5_1, FAULT_LOCK_LINUX_6_7, mmState } from "./state";
import { VM_EXEC, VM_READ, VM_WRITE, VmArea, assertVma, isNullVma } from "./vma";
import { lockVmaUnderRcu, vmaEndRead, vmaLocksInForce } from "./vma-lock";

export const SIGBUS: u32 = 7;
export const SIGSEGV: u32 = 11;

export function faultLockName(regime: u32): string {
  switch (regime) {
    case FAULT_LOCK_LINUX_4_19: return "linux-4.19";
    case FAULT_LOCK_LINUX_5_1: return "linux-5.1";
    case FAULT_LOCK_LINUX_6_7: return "linux-6.7";
    default: return "";
  }
}

function dropsForReadIo(regime: u32): bool {
  return regime != FAULT_LOCK_LINUX_4_19;
}

function trace(id: u32, mm: MmStruct, a: u64): void {
  const s = sched();
  traceEmit(s.clockNs, id, s.cpu.id, s.current.id, a, mm.id);
}

/** Takes mmap_sem for reading; `touched`: the trap vector has paid for its line. False: a fatal signal came first. */
function takeMmapSem(mm: MmStruct, touched: bool): bool {
  trace(TP_MMAP_LOCK_START, mm, 0);
  if ((touched ? downReadTouched(mm.mmapSem) : downReadKillable(mm.mmapSem)) != 0) return false;
  trace(TP_MMAP_LOCK_ACQUIRED, mm, 0);
  return true;
}

function dropMmapSem(mm: MmStruct): void {
  upRead(mm.mmapSem);
  trace(TP_MMAP_LOCK_RELEASED, mm, 0);
}

/** Releases whichever lock protects the fault; vmf.vma is gone with it ([mk-3]). */
export function releaseFaultLock(vmf: VmFault): void {
  const kind = vmf.lockKind;
  assert(kind != FAULT_LOCK_NONE, "[mk-4] the fault lock is held");
  const vma = vmf.vma;
  vmf.vma = changetype<VmArea>(0);
  vmf.lockKind = FAULT_LOCK_NONE;
  vmf.dropped = 1;
  if (kind == FAULT_LOCK_VMA) vmaEndRead(vma);
  else dropMmapSem(vmf.mm);
}

/**
 * `completed`: takes the lock of the kind given again, without queueing, if the VMA at vmaAt still is what it was (its stamp).
 * The page lock may be held: nothing here sleeps for a lock.
 */
export function tryRetakeFaultLock(vmf: VmFault, kind: u32, vmaAt: usize, vmaSeq: u32): bool {
  const m = mmState();
  let vma: VmArea;
  if (kind == FAULT_LOCK_VMA) {
    vma = lockVmaUnderRcu(vmf.mm, vmf.address);
    if (isNullVma(vma)) {
      m.completedLockMissed++;
      return false;
    }
  } else {
    if (!tryDownRead(vmf.mm.mmapSem)) {
      m.completedLockMissed++;
      return false;
    }
    chargeCost(C_VMA_CACHED);
    vma = findVma(vmf.mm, vmf.address);
  }
  vmf.lockKind = kind;
  if (changetype<usize>(vma) == vmaAt && ((MUTANTS && mutant(M_COMPLETED_STAMP)) || vma.seq == vmaSeq)) {
    vmf.vma = vma;
    vmf.dropped = 0;
    return true;
  }
  m.completedVmaMoved++;
  vmf.vma = vma;
  releaseFaultLock(vmf);
  return false;
}

/** Drops the fault lock before a wait for IO, if this is the first attempt and the regime does so. */
export function maybeUnlockForIo(vmf: VmFault): bool {
  if (vmf.dropped != 0) return true;
  if (!dropsForReadIo(mmState().faultLock)) return false;
  const flags = vmf.flags;
  if ((flags & FAULT_FLAG_ALLOW_RETRY) == 0 || (flags & (FAULT_FLAG_TRIED | FAULT_FLAG_RETRY_NOWAIT)) != 0) return false;
  releaseFaultLock(vmf);
  return true;
}

/** The VMA that holds the address or null. A thread's last VMA is remembered until the tree changes. */
function lookupVma(mm: MmStruct, task: Task, address: u64): VmArea {
  if (task.vmaCacheSeq == mm.vmaSeq && task.vmaCache != 0 && task.mm == changetype<usize>(mm)) {
    const cached = changetype<VmArea>(task.vmaCache);
    if (cached.start <= address && address < cached.end) {
      chargeCost(C_VMA_CACHED);
      return cached;
    }
  }
  chargeCost(C_VMA_LOOKUP);
  const vma = findVma(mm, address);
  if (isNullVma(vma) || address < vma.start) return changetype<VmArea>(0);
  if (task.mm == changetype<usize>(mm)) {
    task.vmaCache = changetype<usize>(vma);
    task.vmaCacheSeq = mm.vmaSeq;
  }
  return vma;
}

function accessAllowed(vma: VmArea, flags: u32): bool {
  if ((flags & FAULT_FLAG_WRITE) != 0) return (vma.flags & VM_WRITE) != 0;
  if ((flags & FAULT_FLAG_INSTRUCTION) != 0) return (vma.flags & VM_EXEC) != 0;
  // Write implies read; a mapping that may only be executed cannot be loaded from (riscv).
  return (vma.flags & (VM_READ | VM_WRITE)) != 0;
}

/** [mk-4] What the code says about the lock must be so. */
function checkLockState(vmf: VmFault, ret: u32): void {
  const gone = (ret & (VM_FAULT_RETRY | VM_FAULT_COMPLETED)) != 0;
  if (gone && (vmf.flags & FAULT_FLAG_RETRY_NOWAIT) != 0) return;
  assert(gone == (vmf.lockKind == FAULT_LOCK_NONE), "[mk-4] a fault's code and its lock state disagree");
  if (gone) {
    assert(!lockHeld(changetype<usize>(vmf.mm.mmapSem)), "[mk-4] a fault's code and mmap_sem disagree");
    return;
  }
  // The lock is held, so the VMA it protects is alive: an error that came back with the lock re-taken is caught here (D5).
  assertVma(vmf.vma);
  const lock = vmf.lockKind == FAULT_LOCK_VMA ? changetype<usize>(vmf.vma.lock) : changetype<usize>(vmf.mm.mmapSem);
  assert(lockHeld(lock), "[mk-4] a fault's code and its lock disagree");
}

/** One pass with the lock held: find, check, handle. The lock is held afterwards unless the code says otherwise. */
function faultPass(vmf: VmFault, address: u64, flags: u32, task: Task): u32 {
  const vma = lookupVma(vmf.mm, task, address);
  if (isNullVma(vma)) return VM_FAULT_SIGSEGV;
  if (!accessAllowed(vma, flags)) {
    if (!(MUTANTS && (flags & FAULT_FLAG_TRIED) != 0 && mutant(M_ACCESS_NOT_RECHECKED))) return VM_FAULT_SIGSEGV;
  }
  return handleInVma(vmf, vma, address, flags);
}

function handleInVma(vmf: VmFault, vma: VmArea, address: u64, flags: u32): u32 {
  vmFaultInit(vmf, vma, address, flags);
  const ret = handleMmFault(vmf);
  checkLockState(vmf, ret);
  vmFaultFini(vmf);
  return ret;
}

/** The VMA lock could not be had, or does not do for this access: take mmap_sem. */
const VMA_LOCK_MISSED: u32 = 0x4000_0000;

/** The pass under the VMA's lock (linux-6.7, user mode). Nothing is held afterwards. */
function vmaLockPass(vmf: VmFault, mm: MmStruct, address: u64, flags: u32): u32 {
  mmState().vmaLockFaults++;
  const vma = lockVmaUnderRcu(mm, address);
  if (isNullVma(vma) || !accessAllowed(vma, flags)) {
    if (!isNullVma(vma) && !(MUTANTS && mutant(M_VMA_LOCK_LEAK))) vmaEndRead(vma);
    mmState().vmaLockMisses++;
    trace(TP_VMA_LOCK_MISS, mm, address);
    return VMA_LOCK_MISSED;
  }
  vmf.mm = mm;
  vmf.lockKind = FAULT_LOCK_VMA;
  const ret = handleInVma(vmf, vma, address, flags | FAULT_FLAG_VMA_LOCK);
  if (vmf.lockKind == FAULT_LOCK_VMA) vmaEndRead(vma);
  vmf.lockKind = FAULT_LOCK_NONE;
  return ret;
}

/** Code of a fault that ended because the task is being killed. */
const FAULT_KILLED: u32 = 0x8000_0000;

/** Beside a fault's code: mmap_sem is still held and the caller's to release. */
const MMAP_SEM_HELD: u32 = 0x2000_0000;

/** Faults until it is done. Returns VM_FAULT_* without RETRY, perhaps MMAP_SEM_HELD, or FAULT_KILLED. Nothing is stashed. */
function faultLoop(mm: MmStruct, address: u64, firstFlags: u32, task: Task): u32 {
  const vmf = currentFault(task);
  vmf.mkwriteRuns = 0;
  vmf.unlockedAttempts = 0;
  vmf.task = task;
  let flags = firstFlags;
  let major: u32 = 0;
  if ((flags & FAULT_FLAG_USER) != 0 && vmaLocksInForce()) {
    const ret = vmaLockPass(vmf, mm, address, flags);
    if ((ret & (VM_FAULT_RETRY | VMA_LOCK_MISSED)) == 0) return ret;
    if ((ret & VM_FAULT_RETRY) != 0) {
      if (!retry(mm, address, task)) return FAULT_KILLED;
      // Linux sets TRIED here for a major fault only, so that a callback could run three times (SCENARIOS S28).
      if (!(MUTANTS && mutant(M_VMA_PASS_UNTRIED))) flags |= FAULT_FLAG_TRIED;
      major = ret & VM_FAULT_MAJOR;
    }
  }
  return mmapSemLoop(vmf, mm, address, flags, task) | major;
}

/** Counts a pass that ended in RETRY. False: the task is being killed, and what the pass kept is given back. */
function retry(mm: MmStruct, address: u64, task: Task): bool {
  mmState().faultRetries++;
  trace(TP_FAULT_RETRY, mm, address);
  if (MUTANTS && mutant(M_MAJFLT_TWICE)) account(task, VM_FAULT_MAJOR);
  if (task.fatalSignal == 0) return true;
  if (!(MUTANTS && mutant(M_STASH_LEAK_SIGNAL))) stashDrop(currentFault(task));
  return false;
}

function mmapSemLoop(vmf: VmFault, mm: MmStruct, address: u64, firstFlags: u32, task: Task): u32 {
  let flags = firstFlags;
  let major: u32 = 0;
  let touched = (flags & FAULT_FLAG_USER) != 0 && !vmaLocksInForce();
  assert((flags & FAULT_FLAG_KILLABLE) != 0, "a fault that may loop can be killed");
  while (true) {
    const taken = takeMmapSem(mm, touched);
    touched = false;
    if (!taken) {
      if (!(MUTANTS && mutant(M_STASH_LEAK_SIGNAL))) stashDrop(vmf);
      return FAULT_KILLED;
    }
    vmf.mm = mm;
    vmf.lockKind = FAULT_LOCK_MMAP;
    const ret = faultPass(vmf, address, flags, task);
    major |= ret & VM_FAULT_MAJOR;
    if ((ret & VM_FAULT_RETRY) != 0) {
      if (!retry(mm, address, task)) return FAULT_KILLED;
      flags |= FAULT_FLAG_TRIED;
      continue;
    }
    vmf.lockKind = FAULT_LOCK_NONE;
    // What an earlier pass kept was not asked for again: the VMA changed, or access was refused.
    if (!(MUTANTS && (ret & VM_FAULT_SIGSEGV) != 0 && mutant(M_STASH_LEAK_SEGV))) stashDrop(vmf);
    return ret | major | ((ret & VM_FAULT_COMPLETED) == 0 ? MMAP_SEM_HELD : 0);
  }
}

function account(task: Task, ret: u32): void {
  mmState().pgfault++;
  if ((ret & VM_FAULT_MAJOR) != 0) {
    task.majFlt++;
    mmState().pgmajfault++;
  } else task.minFlt++;
}

/** Delivers what a failed fault of the guest ends in. */
function failFault(ret: u32, address: u64): void {
  if ((ret & VM_FAULT_OOM) != 0) {
    // pagefault_out_of_memory: somebody is killed, the access is made again; with nobody to kill, it is this task.
    const oom = mmState().oomFn;
    if (oom()) return;
  }
  const f = mmState().signalFn;
  f((ret & VM_FAULT_SIGBUS) != 0 ? SIGBUS : SIGSEGV, address);
}

/** The trap vector's entry: notes the trap. Returns the line of the lock that the fault takes first, 0 for a VMA's. */
export function faultEnter(cause: u32, address: u64): usize {
  const s = sched();
  const task = s.current;
  currentFault(task).startNs = s.clockNs;
  traceEmit(s.clockNs, TP_PAGE_FAULT_USER, s.cpu.id, task.id, address, cause);
  chargeCost(C_TRAP_ENTRY);
  return vmaLocksInForce() ? 0 : changetype<usize>(changetype<MmStruct>(task.mm).mmapSem.line);
}

/** The trap vector's page fault: 0, the access is made again; 1, a signal is on its way; FAULT_LOCK_HELD, faultLeave follows. */
export function handlePageFault(cause: u32, address: u64): u32 {
  const task = currentTask();
  let flags = FAULT_FLAG_DEFAULT | FAULT_FLAG_USER;
  if (cause == CAUSE_STORE_PAGE_FAULT) flags |= FAULT_FLAG_WRITE;
  if (cause == CAUSE_FETCH_PAGE_FAULT) flags |= FAULT_FLAG_INSTRUCTION;
  const mm = changetype<MmStruct>(task.mm);
  assert(!isNullMm(mm), "a guest has an address space");
  const ret = faultLoop(mm, address, flags, task);
  if (ret == FAULT_KILLED) return 1;
  account(task, ret);
  if ((ret & VM_FAULT_ERROR) != 0) {
    if ((ret & MMAP_SEM_HELD) != 0) dropMmapSem(mm);
    failFault(ret, address);
    if ((ret & VM_FAULT_OOM) == 0 || task.fatalSignal != 0) return 1;
  } else if ((ret & MMAP_SEM_HELD) != 0) return FAULT_LOCK_HELD;
  return leaveTrap(task);
}

/** The trap vector's exit: releases mmap_sem, which handlePageFault left held. */
export function faultLeave(): u32 {
  const task = currentTask();
  dropMmapSem(changetype<MmStruct>(task.mm));
  return leaveTrap(task);
}

function leaveTrap(task: Task): u32 {
  chargeCost(C_TRAP_EXIT);
  const hist = mmState().faultHist;
  if (hist != 0) histRecord(hist, sched().clockNs - currentFault(task).startNs);
  return task.fatalSignal != 0 ? 1 : 0;
}

/**
 * The kernel touches user memory of the running task and finds it missing. Returns true when the access may be made again.
 * Preconditions: no spinlock, no page lock, mmap_sem not held by this task.
 */
export function faultInKernel(address: u64, write: bool): bool {
  const task = currentTask();
  const mm = changetype<MmStruct>(task.mm);
  if (isNullMm(mm)) return false;
  chargeCost(C_TRAP_ENTRY);
  traceEmit(sched().clockNs, TP_PAGE_FAULT_KERNEL, sched().cpu.id, task.id, address, write ? 1 : 0);
  const ret = faultLoop(mm, address, FAULT_FLAG_DEFAULT | (write ? FAULT_FLAG_WRITE : 0), task);
  if (ret == FAULT_KILLED) return false;
  if ((ret & MMAP_SEM_HELD) != 0) dropMmapSem(mm);
  account(task, ret);
  chargeCost(C_TRAP_EXIT);
  if ((ret & VM_FAULT_OOM) != 0) {
    const oom = mmState().oomFn;
    return oom() && task.fatalSignal == 0;
  }
  return (ret & VM_FAULT_ERROR) == 0 && task.fatalSignal == 0;
}

/** One pass for get_user_pages: mmap_sem is held by the caller. On RETRY and COMPLETED it is not any more. */
export function faultPassLocked(mm: MmStruct, address: u64, flags: u32): u32 {
  const task = currentTask();
  const vmf = currentFault(task);
  vmf.mm = mm;
  vmf.task = task;
  vmf.lockKind = FAULT_LOCK_MMAP;
  if ((flags & FAULT_FLAG_TRIED) == 0) {
    stashDrop(vmf);
    vmf.mkwriteRuns = 0;
    vmf.unlockedAttempts = 0;
  }
  const ret = faultPass(vmf, address, flags, task);
  vmf.lockKind = FAULT_LOCK_NONE;
  if ((ret & VM_FAULT_RETRY) != 0) {
    mmState().faultRetries++;
    return ret;
  }
  stashDrop(vmf);
  account(task, ret);
  return ret;
}

/** get_user_pages will not come back after a RETRY: what the pass kept is given back. */
export function faultGiveUp(): void {
  if (!(MUTANTS && mutant(M_STASH_LEAK_GUP))) stashDrop(currentFault(currentTask()));
}
