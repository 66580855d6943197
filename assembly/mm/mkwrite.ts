/*
 * Asking the filesystem whether a page may become writable in a shared mapping: ->page_mkwrite, and under which regime.
 *
 *     regime (BootConfig.mkwrite)        who opts in: VmOperations.mkwriteHelper != 0, one line in a filesystem's table
 *     generic_page_mkwrite               the callback runs under the fault lock
 *     bacik-v3                           patch 7/7 as posted (mm/bacik.ts)
 *     generic_page_mkwrite_nommapsem     Chinner's helper (mm/nommapsem.ts)
 *     kara                               no stash: the filesystem recognises a prepared page (mm/nommapsem.ts)
 *     completed                          as the helper, and the PTE goes in at once if nothing moved (mm/nommapsem.ts)
 *
 * Interface: doPageMkwrite(vmf), callPageMkwrite(vmf, page), callPfnMkwrite(vmf), pageStillPrepared, mkwriteName, MKWRITE_*, REJECT_*.
 * Invariants:
 *   [mk-2] doPageMkwrite returns LOCKED with the page locked, dirty and prepared; the caller installs the PTE before it unlocks.
 *   [mkw-1] the callback sees vmf.file, vmf.page, vmf.pgoff, vmf.flags; never a VMA it could keep.
 *   [mk-5] at most one unlocked attempt and two callback runs per fault.
 * Locks: the fault lock on entry; on return as the code says ([mk-4]).
 * Why not a regime per filesystem: a comparison changes one thing at a time; a filesystem only says whether it takes part.
 */
import {
  M_STASH_DIRTY, M_STASH_DIRTY_ONLY, M_STASH_FORBIDDEN, M_STASH_INDEX, M_STASH_MAPPING, M_STASH_RANGE, M_STASH_UNCHECKED,
  M_STASH_WRITEBACK, mutant,
} from "../lib/mutant";
import { traceEmit } from "../lib/trace";
import { TP_PAGE_MKWRITE } from "../tracepoints";
import { PAGE_SHIFT, PAGE_SIZE } from "../memlayout";
import { sched } from "../sched/state";
import { AS_NO_MKWRITE, AS_STABLE_WRITES, AS_SWAPFILE, AddressSpace } from "./address-space";
import { bacikPageMkwrite } from "./bacik";
import {
  FAULT_FLAG_MKWRITE, FAULT_FLAG_WRITE, VM_FAULT_ERROR, VM_FAULT_LOCKED, VM_FAULT_NOPAGE, VM_FAULT_SIGBUS, VmFault,
} from "./fault";
import { genericPageMkwriteNommapsem } from "./nommapsem";
import { PG_DIRTY, PG_WRITEBACK, Page, lockPage, pageLocked, unlockPage } from "./page";
import { mmState } from "./state";

export const MKWRITE_GENERIC: u32 = 0;
export const MKWRITE_BACIK_V3: u32 = 1;
export const MKWRITE_NOMMAPSEM: u32 = 2;
export const MKWRITE_KARA: u32 = 3;
export const MKWRITE_COMPLETED: u32 = 4;
export const MKWRITE_REGIMES: u32 = 5;

export function mkwriteName(regime: u32): string {
  switch (regime) {
    case MKWRITE_GENERIC: return "generic_page_mkwrite";
    case MKWRITE_BACIK_V3: return "bacik-v3";
    case MKWRITE_NOMMAPSEM: return "generic_page_mkwrite_nommapsem";
    case MKWRITE_KARA: return "kara";
    case MKWRITE_COMPLETED: return "completed";
    default: return "";
  }
}

/** Why a page that an earlier attempt prepared cannot be used. 0: it can. Indexes of MkwriteStats.rejected. */
export const REJECT_NONE: u32 = 0;
export const REJECT_MAPPING: u32 = 1;
export const REJECT_INDEX: u32 = 2;
export const REJECT_CLEAN: u32 = 3;
export const REJECT_WRITEBACK: u32 = 4;
export const REJECT_GENERATION: u32 = 5;
export const REJECT_RANGE: u32 = 6;
export const REJECT_FORBIDDEN: u32 = 7;
export const REJECT_COUNT: u32 = 8;

/**
 * Is the page, locked by the caller, all that page_mkwrite would make of it for this fault? Every store that the PTE would let
 * through must hit a block with space: the range counts, not the dirty bit (SCENARIOS S8 to S12). Returns REJECT_*.
 */
export function pageStillPrepared(page: Page, mapping: AddressSpace, pgoff: u32): u32 {
  assert(pageLocked(page), "[mk-2] a page is judged under its lock");
  if (page.mapping != changetype<usize>(mapping) && !(MUTANTS && mutant(M_STASH_MAPPING))) return REJECT_MAPPING;
  if (page.index != pgoff && !(MUTANTS && mutant(M_STASH_INDEX))) return REJECT_INDEX;
  if (MUTANTS && mutant(M_STASH_UNCHECKED)) return REJECT_NONE;
  if (!page.test(PG_DIRTY) && !(MUTANTS && mutant(M_STASH_DIRTY))) return REJECT_CLEAN;
  if (page.test(PG_WRITEBACK) && (mapping.flags & AS_STABLE_WRITES) != 0) {
    if (!(MUTANTS && mutant(M_STASH_WRITEBACK))) return REJECT_WRITEBACK;
  }
  if (MUTANTS && (mutant(M_STASH_RANGE) || mutant(M_STASH_DIRTY_ONLY))) return REJECT_NONE;
  if (page.preparedEnd < reachEnd(mapping, pgoff)) return REJECT_RANGE;
  // Last: who has a writable PTE already, or a pin, asks for all but this (access-remote.ts).
  if ((mapping.flags & (AS_SWAPFILE | AS_NO_MKWRITE)) != 0 && !(MUTANTS && mutant(M_STASH_FORBIDDEN))) return REJECT_FORBIDDEN;
  return REJECT_NONE;
}

/** Bytes of the page, from its start, that lie below i_size. Beyond the end: more than any page has. */
function reachEnd(mapping: AddressSpace, pgoff: u32): u64 {
  const start = (<u64>pgoff) << PAGE_SHIFT;
  if (mapping.sizeBytes <= start) return u64.MAX_VALUE;
  const reach = mapping.sizeBytes - start;
  return reach > PAGE_SIZE ? PAGE_SIZE : reach;
}

/**
 * Runs ->page_mkwrite once (SCENARIOS 2.5). Returns an error or NOPAGE as the filesystem gave it, 0 when the page left the
 * mapping (the access is made again), else LOCKED with the page locked. `extraFlags` are flags the callback sees as well.
 */
export function callPageMkwrite(vmf: VmFault, page: Page, extraFlags: u32): u32 {
  const s = sched();
  traceEmit(s.clockNs, TP_PAGE_MKWRITE, s.cpu.id, s.current.id, vmf.address, vmf.flags);
  mmState().mkwriteRuns++;
  vmf.mkwriteRuns++;
  assert(vmf.mkwriteRuns <= 2, "[mk-5] at most two callback runs per fault");
  if ((vmf.file.mapping.flags & (AS_SWAPFILE | AS_NO_MKWRITE)) != 0) return VM_FAULT_SIGBUS;
  const flags = vmf.flags;
  vmf.page = page;
  vmf.flags = FAULT_FLAG_WRITE | FAULT_FLAG_MKWRITE | extraFlags;
  const f = vmf.file.vmOps.pageMkwrite;
  const ret = f(vmf);
  vmf.flags = flags;
  if ((ret & (VM_FAULT_ERROR | VM_FAULT_NOPAGE)) != 0) return ret;
  if ((ret & VM_FAULT_LOCKED) == 0) {
    lockPage(page);
    if (page.mapping == 0) {
      unlockPage(page);
      return 0;
    }
  }
  assert(pageLocked(page), "[mk-2] page_mkwrite returns LOCKED with the page locked");
  // Asked again under the page lock, which Linux does not: after swapon, which takes it next, nothing becomes writable (SCENARIOS S31).
  if ((vmf.file.mapping.flags & (AS_SWAPFILE | AS_NO_MKWRITE)) != 0) {
    unlockPage(page);
    return VM_FAULT_SIGBUS;
  }
  return ret | VM_FAULT_LOCKED;
}

/** ->pfn_mkwrite: a store to a frame that is no page. Always under the fault lock: the callback needs the VMA to set the PTE. */
export function callPfnMkwrite(vmf: VmFault): u32 {
  const s = sched();
  traceEmit(s.clockNs, TP_PAGE_MKWRITE, s.cpu.id, s.current.id, vmf.address, vmf.flags);
  mmState().mkwriteFaults++;
  mmState().mkwriteRuns++;
  vmf.mkwriteRuns++;
  const f = vmf.file.vmOps.pfnMkwrite;
  return f(vmf);
}

/** vmf.page may become writable? Under the regime in force, if the file's filesystem takes part. */
export function doPageMkwrite(vmf: VmFault): u32 {
  const page = vmf.page;
  // A fault that comes back after an unlocked attempt has asked once already.
  if (vmf.mkwriteRuns == 0) mmState().mkwriteFaults++;
  if (vmf.file.vmOps.mkwriteHelper != 0) {
    const regime = mmState().mkwrite;
    if (regime == MKWRITE_BACIK_V3) return bacikPageMkwrite(vmf, page);
    if (regime != MKWRITE_GENERIC) return genericPageMkwriteNommapsem(vmf, page, regime);
  }
  return callPageMkwrite(vmf, page, 0);
}
