/*
 * generic_page_mkwrite_nommapsem: ->page_mkwrite without the fault lock, for any filesystem that opts in (DESIGN section 4).
 *
 *     1st attempt: drop the fault lock -> callback -> LOCKED? keep the page, unlocked, in the fault's stash -> RETRY
 *     2nd attempt: lock re-taken, VMA re-found -> lock the stashed page -> still prepared? LOCKED, else callback under the lock
 *
 *     kara        1st: page recognised as prepared? LOCKED. Else as above, but nothing is kept
 *                 2nd: page recognised as prepared? LOCKED, else callback under the lock
 *     completed   1st: as above; after the callback the lock is tried, without queueing; the VMA has not moved? LOCKED with the
 *                 lock held again: the PTE goes in now, the caller returns COMPLETED. Else the stash and RETRY
 *
 * Interface: genericPageMkwriteNommapsem(vmf, page, regime), stashDrop(vmf), mayDropFaultLock(vmf), STASH counters in MmState.
 * Invariants:
 *   [mk-3] between drop and return nothing reads vmf.vma; the VMA's address is kept as a number, to be compared only.
 *   [mk-4] RETRY is returned with the lock dropped; LOCKED, 0, NOPAGE and errors with it held.
 *   [mk-5] at most one unlocked attempt per fault, at most two callback runs.
 *   [nm-s1] an error of the unlocked attempt becomes RETRY: the locked pass finds it again, or it is gone (SCENARIOS S16 b).
 *   [nm-s2] the stash holds one reference of its page, given back by stashDrop on every way out of the fault (S22).
 * Locks: fault lock on entry; page lock on LOCKED.
 * Why not carry the page locked over the retry: mmap_sem nests outside the page lock.
 */
import {
  M_COMPLETED_QUEUES, M_ERROR_AFTER_DROP, M_NOPAGE_AFTER_DROP, M_RETRY_LOCKED, M_STASH_DIRTY_ONLY, M_STASH_GENERATION, M_STASH_LEAK_REJECT,
  M_STASH_SAVED_MAPPING, M_STASH_UNCHECKED, M_TRIED_IGNORED, M_UNLOCKABLE_IGNORED, M_VMA_AFTER_DROP, M_VMA_PASS_UNTRIED, mutant,
} from "../lib/mutant";
import { traceEmit } from "../lib/trace";
import {
  TP_MKWRITE_COMPLETED, TP_MKWRITE_PREPARED, TP_MKWRITE_STASH_ACCEPTED, TP_MKWRITE_STASH_REJECTED, TP_MKWRITE_UNLOCKED,
} from "../tracepoints";
import { downRead, upRead } from "../sched/rwsem";
import { sched } from "../sched/state";
import { AddressSpace } from "./address-space";
import {
  FAULT_FLAG_ALLOW_RETRY, FAULT_FLAG_RETRY_NOWAIT, FAULT_FLAG_TRIED, FAULT_LOCK_MMAP, VM_FAULT_ERROR, VM_FAULT_LOCKED, VM_FAULT_NOPAGE,
  VM_FAULT_RETRY, VmFault,
} from "./fault";
import { releaseFaultLock, tryRetakeFaultLock } from "./fault-lock";
import {
  MKWRITE_COMPLETED, MKWRITE_KARA, REJECT_GENERATION, REJECT_MAPPING, REJECT_NONE, callPageMkwrite, pageStillPrepared,
} from "./mkwrite";
import { putPage } from "./page-alloc";
import { Page, getPage, isNullPage, lockPage, unlockPage } from "./page";
import { MmState, mmState } from "./state";
import { VmArea, assertVma } from "./vma";

function emit(id: u32, vmf: VmFault, b: u64): void {
  const s = sched();
  traceEmit(s.clockNs, id, s.cpu.id, s.current.id, vmf.address, b);
}

/** First attempt of a fault that may come back: the lock may go. */
export function mayDropFaultLock(vmf: VmFault): bool {
  if ((vmf.flags & FAULT_FLAG_ALLOW_RETRY) == 0 && !(MUTANTS && mutant(M_UNLOCKABLE_IGNORED))) return false;
  if (MUTANTS && mutant(M_TRIED_IGNORED)) return true;
  if (MUTANTS && mutant(M_VMA_PASS_UNTRIED)) return (vmf.flags & (FAULT_FLAG_TRIED | FAULT_FLAG_RETRY_NOWAIT)) == 0;
  return (vmf.flags & (FAULT_FLAG_TRIED | FAULT_FLAG_RETRY_NOWAIT)) == 0 && vmf.unlockedAttempts == 0;
}

/** Gives back what an earlier pass kept. Safe when there is nothing. */
export function stashDrop(vmf: VmFault): void {
  const page = vmf.stash;
  if (isNullPage(page)) return;
  vmf.stash = changetype<Page>(0);
  assert(mmState().stashes != 0, "[mk-6] stashes are counted");
  mmState().stashes--;
  putPage(page);
}

/** Keeps a page that the callback prepared; it is locked and gets unlocked. */
export function stashKeep(vmf: VmFault, page: Page): void {
  assert(isNullPage(vmf.stash), "[nm-s2] one stash a fault");
  getPage(page);
  vmf.stash = page;
  vmf.stashGeneration = page.generation;
  if (MUTANTS && mutant(M_STASH_SAVED_MAPPING)) vmf.stashEnd = page.mapping;
  mmState().stashes++;
  unlockPage(page);
}

function reject(vmf: VmFault, why: u32): void {
  const counter = changetype<usize>(mmState()) + offsetof<MmState>("rejected0") + (why << 3);
  store<u64>(counter, load<u64>(counter) + 1);
  emit(TP_MKWRITE_STASH_REJECTED, vmf, why);
}

/** A mutant's: the stash has no generation, and a page that was cleaned and dirtied again is "the same dirty" (S9). */
function cleanedUnseen(): bool {
  return mutant(M_STASH_GENERATION) || mutant(M_STASH_DIRTY_ONLY) || mutant(M_STASH_UNCHECKED);
}

/** Second attempt: is the stashed page what this fault needs? True: it is locked and stays so. The stash is empty afterwards. */
function stashAccept(vmf: VmFault, page: Page): bool {
  const stash = vmf.stash;
  if (isNullPage(stash)) return false;
  lockPage(stash);
  let why = pageStillPrepared(stash, vmf.file.mapping, vmf.pgoff);
  if (MUTANTS && why == REJECT_MAPPING && mutant(M_STASH_SAVED_MAPPING)) {
    why = pageStillPrepared(stash, changetype<AddressSpace>(<usize>vmf.stashEnd), vmf.pgoff);
  }
  if (why == REJECT_NONE && stash.generation != vmf.stashGeneration && !(MUTANTS && cleanedUnseen())) why = REJECT_GENERATION;
  // ->fault found the page of this offset in the cache; a page of the mapping at the index is that page.
  if (why == REJECT_NONE) assert(changetype<usize>(stash) == changetype<usize>(page), "[page-2] one page an index");
  else {
    unlockPage(stash);
    reject(vmf, why);
  }
  if (MUTANTS && why != REJECT_NONE && mutant(M_STASH_LEAK_REJECT)) vmf.stash = changetype<Page>(0);
  stashDrop(vmf);
  if (why != REJECT_NONE) return false;
  mmState().stashAccepted++;
  emit(TP_MKWRITE_STASH_ACCEPTED, vmf, page.index);
  return true;
}

/** kara: the filesystem's own fast path. True: the page is prepared as it is, locked. */
function recognise(vmf: VmFault, page: Page): bool {
  lockPage(page);
  if (pageStillPrepared(page, vmf.file.mapping, vmf.pgoff) != REJECT_NONE) {
    unlockPage(page);
    return false;
  }
  mmState().mkwritePrepared++;
  emit(TP_MKWRITE_PREPARED, vmf, page.index);
  return true;
}

/** The helper. `page` is referenced by the caller and not locked. Returns as doPageMkwrite does. */
export function genericPageMkwriteNommapsem(vmf: VmFault, page: Page, regime: u32): u32 {
  if (regime == MKWRITE_KARA) {
    if (recognise(vmf, page)) return VM_FAULT_LOCKED;
  } else if (stashAccept(vmf, page)) return VM_FAULT_LOCKED;
  if (!mayDropFaultLock(vmf)) return callPageMkwrite(vmf, page, 0);
  return unlockedAttempt(vmf, page, regime);
}

/** A mutant's: RETRY is returned with mmap_sem taken again, as v1 of the patch did (D1). */
function retakeBlindly(vmf: VmFault): void {
  downRead(vmf.mm.mmapSem);
  vmf.lockKind = FAULT_LOCK_MMAP;
}

/** A mutant's: the lock is waited for with the page locked. */
function queueForFaultLock(vmf: VmFault): void {
  downRead(vmf.mm.mmapSem);
  upRead(vmf.mm.mmapSem);
}

function unlockedAttempt(vmf: VmFault, page: Page, regime: u32): u32 {
  const kind = vmf.lockKind;
  const vmaAt = changetype<usize>(vmf.vma);
  const vmaSeq = vmf.vma.seq;
  vmf.unlockedAttempts++;
  mmState().unlockedAttempts++;
  emit(TP_MKWRITE_UNLOCKED, vmf, kind);
  assert(vmf.unlockedAttempts == 1, "[mk-5] at most one unlocked attempt per fault");
  releaseFaultLock(vmf);
  const ret = callPageMkwrite(vmf, page, 0);
  if (MUTANTS && mutant(M_VMA_AFTER_DROP)) assertVma(changetype<VmArea>(vmaAt));
  if ((ret & VM_FAULT_LOCKED) == 0) {
    mmState().unlockedFailures++;
    if (MUTANTS && (ret & VM_FAULT_ERROR) != 0 && mutant(M_ERROR_AFTER_DROP)) return ret;
    if (MUTANTS && (ret & VM_FAULT_NOPAGE) != 0 && mutant(M_NOPAGE_AFTER_DROP)) return ret;
    if (MUTANTS && mutant(M_RETRY_LOCKED)) retakeBlindly(vmf);
    return VM_FAULT_RETRY;
  }
  if (MUTANTS && regime == MKWRITE_COMPLETED && mutant(M_COMPLETED_QUEUES)) queueForFaultLock(vmf);
  if (regime == MKWRITE_COMPLETED && tryRetakeFaultLock(vmf, kind, vmaAt, vmaSeq)) {
    vmf.relocked = 1;
    mmState().mkwriteCompleted++;
    emit(TP_MKWRITE_COMPLETED, vmf, page.index);
    return ret;
  }
  if (regime == MKWRITE_KARA) unlockPage(page);
  else stashKeep(vmf, page);
  return VM_FAULT_RETRY;
}
