/*
 * bacik-v3: patch 7/7 of October 2018 as posted, with its defects, each of which can be mended by a switch (SCENARIOS section 4).
 *
 *     D1  (v1) ALLOW_RETRY never reaches page_mkwrite: the path never runs            off in v3
 *     D2  the flag "use the cached page" is masked off: the callback runs twice, the second time under mmap_sem
 *     D3  the flag is set by ->fault only: a store to a read-mapped page never uses the cached page
 *     D4  the second attempt has lost ALLOW_RETRY: if the check fails, the whole callback runs under the lock
 *     D5  an error after the drop re-takes mmap_sem and returns, with a VMA that may be gone
 *     D6  "valid" is PageDirty and an unchanged i_size: not enough below the page size (S8 to S10)
 *
 * Interface: bacikPageMkwrite(vmf, page), bacikUseCached(vmf, mapping), BACIK_D1..D6, BACIK_V3_DEFECTS.
 * Invariants: [bv-1] with a defect's bit clear that defect is gone; with all clear the path is the helper's, step for step.
 * Locks: fault lock on entry; page lock on LOCKED; with D5 on, mmap_sem re-taken on errors.
 * Why not leave it out: "why was it never merged" is answered by running it.
 */
import { FAULT_FLAG_ALLOW_RETRY, FAULT_LOCK_MMAP, VM_FAULT_LOCKED, VM_FAULT_RETRY, VmFault } from "./fault";
import { releaseFaultLock } from "./fault-lock";
import { callPageMkwrite, pageStillPrepared, REJECT_NONE } from "./mkwrite";
import { mayDropFaultLock, stashDrop, stashKeep } from "./nommapsem";
import { PG_DIRTY, Page, isNullPage, lockPage, unlockPage } from "./page";
import { downRead } from "../sched/rwsem";
import { AddressSpace } from "./address-space";
import { mmState } from "./state";
import { VmArea } from "./vma";

export const BACIK_D1: u32 = 1;
export const BACIK_D2: u32 = 2;
export const BACIK_D3: u32 = 4;
export const BACIK_D4: u32 = 8;
export const BACIK_D5: u32 = 16;
export const BACIK_D6: u32 = 32;
export const BACIK_V3_DEFECTS: u32 = BACIK_D2 | BACIK_D3 | BACIK_D4 | BACIK_D5 | BACIK_D6;

function has(defect: u32): bool {
  return (mmState().bacikDefects & defect) != 0;
}

/** ->fault of the second pass asks: is the stashed page the one at this offset? Then FAULT_FLAG_USED_CACHED is set. */
export function bacikUseCached(vmf: VmFault, mapping: AddressSpace): void {
  const stash = vmf.stash;
  vmf.usedCached = 0;
  if (isNullPage(stash)) return;
  if (stash.mapping == changetype<usize>(mapping) && stash.index == vmf.pgoff) vmf.usedCached = 1;
}

/** The posted check under the page lock, or the helper's when D6 is mended. */
function cachedIsValid(vmf: VmFault, page: Page): bool {
  if (!has(BACIK_D6)) {
    if (pageStillPrepared(page, vmf.file.mapping, vmf.pgoff) != REJECT_NONE) return false;
    return page.generation == vmf.stashGeneration;
  }
  return vmf.stashEnd == vmf.file.mapping.sizeBytes && page.test(PG_DIRTY);
}

/** "If everything is OK then return VM_FAULT_LOCKED, otherwise do the mkwrite again." */
function useCached(vmf: VmFault): bool {
  if (isNullPage(vmf.stash)) return false;
  // D3: in wp_page_shared nobody called ->fault.
  if (!has(BACIK_D3)) bacikUseCached(vmf, vmf.file.mapping);
  if (vmf.usedCached == 0 || has(BACIK_D2)) return false;
  const page = vmf.stash;
  lockPage(page);
  if (cachedIsValid(vmf, page)) {
    mmState().stashAccepted++;
    stashDrop(vmf);
    return true;
  }
  unlockPage(page);
  return false;
}

export function bacikPageMkwrite(vmf: VmFault, page: Page): u32 {
  if (useCached(vmf)) return VM_FAULT_LOCKED;
  stashDrop(vmf);
  if (has(BACIK_D1) || !mayDropFaultLock(vmf)) return callPageMkwrite(vmf, page, 0);
  const kind = vmf.lockKind;
  const vmaAt = changetype<usize>(vmf.vma);
  vmf.unlockedAttempts++;
  mmState().unlockedAttempts++;
  releaseFaultLock(vmf);
  const ret = callPageMkwrite(vmf, page, FAULT_FLAG_ALLOW_RETRY);
  if ((ret & VM_FAULT_LOCKED) != 0) {
    vmf.stashEnd = vmf.file.mapping.sizeBytes;
    stashKeep(vmf, page);
    return VM_FAULT_RETRY;
  }
  mmState().unlockedFailures++;
  if (!has(BACIK_D5) || kind != FAULT_LOCK_MMAP) return VM_FAULT_RETRY;
  return errorWithLockRetaken(vmf, ret, vmaAt);
}

/** D5: the lock is held again, the error goes up, and the VMA is the one from before the drop, alive or not. */
function errorWithLockRetaken(vmf: VmFault, ret: u32, vmaAt: usize): u32 {
  downRead(vmf.mm.mmapSem);
  vmf.lockKind = FAULT_LOCK_MMAP;
  vmf.dropped = 0;
  vmf.vma = changetype<VmArea>(vmaAt);
  return ret;
}
