/*
 * handleMmFault: one pass of a page fault, with the fault lock held and the VMA found and allowed.
 *
 *                         no PTE                                    PTE present
 *            +----------------------------------+     +----------------------------------+
 *   read     | anonymous: zero page              |     | spurious: somebody was first      |
 *            | file: map around, else ->fault    |     |                                   |
 *            +----------------------------------+     +----------------------------------+
 *   write    | anonymous: fresh page             |     | private: copy, or reuse if alone  |
 *            | private file: ->fault and copy    |     | shared: page_mkwrite, make        |
 *            | shared file: ->fault, page_mkwrite|     |         writable                  |
 *            +----------------------------------+     +----------------------------------+
 *
 * Interface: handleMmFault(vmf), wantsWriteNotify, forgetRss, finishCow, readBits. The question to the filesystem is asked in mkwrite.ts.
 * Invariants:
 *   [mk-1] a writable PTE in a shared file mapping implies that page_mkwrite ran for the page since it was last cleaned.
 *   [mk-2] the page lock is held from prepared-and-dirty until the PTE is installed.
 *   [mem-1] a PTE is installed only if the slot still is what the fault saw, else NOPAGE: the access is made again.
 * Locks: fault lock -> page lock -> leaf table lock. A page is unlocked after its PTE is in.
 * Why not one function: each case ends in a different order of unlock and put; straight lines are checked by eye.
 */
import {
  M_COW_NO_FLUSH, M_COW_REUSE_SHARED, M_COW_UNCHECKED, M_FINISH_UNCHECKED, M_PRIVATE_TAKES_STASH, M_THROTTLE_SKIPPED, M_UNLOCK_EARLY,
  M_WP_UNCHECKED, mutant,
} from "../lib/mutant";
import { traceEmit } from "../lib/trace";
import { PTE_A, PTE_D, PTE_R, PTE_SPECIAL, PTE_U, PTE_V, PTE_W, PTE_X, pteMake, ptePfn, ptePresent, pteWritable } from "../cpu/pte";
import { bootConfig } from "../config";
import { PAGE_SHIFT, PAGE_SIZE } from "../memlayout";
import {
  TP_COW_LAST_REF, TP_FAULT_NOPAGE, TP_MAP_PAGES, TP_WP_COPY, TP_WP_REUSE, TP_WP_SHARED, TP_ZERO_PAGE,
} from "../tracepoints";
import { C_FAULT_SETUP, C_MEMCG_CHARGE, C_PAGE_COPY, C_PAGE_DIRTY, C_PTE_SET, chargeCost } from "../sched/cost";
import { sched } from "../sched/state";
import { AS_UNEVICTABLE, isNullFile } from "./address-space";
import {
  FAULT_FLAG_WRITE, VM_FAULT_COMPLETED, VM_FAULT_DONE_COW, VM_FAULT_ERROR, VM_FAULT_LOCKED, VM_FAULT_NOPAGE, VM_FAULT_OOM,
  VM_FAULT_RETRY, VmFault,
} from "./fault";
import { maybeUnlockForIo, releaseFaultLock } from "./fault-lock";
import { callPfnMkwrite, doPageMkwrite } from "./mkwrite";
import { MmStruct } from "./mm-struct";
import { GFP_KERNEL, GFP_ZERO, allocPage, putPage } from "./page-alloc";
import {
  PG_DIRTY, PG_SWAPBACKED, Page, addressToPage, getPage, isNullPage, lockPage, pageAddress, pageLocked, pageToPfn, pfnToPage, unlockPage,
} from "./page";
import { setPageDirty } from "./page-writeback";
import { lockPte, pteAlloc, unlockPte } from "./pgtable";
import { pageAddRmap, pageRemoveRmap } from "./rmap";
import { FAULT_LOCK_LINUX_6_7, mmState } from "./state";
import { flushTlbPage } from "./tlbflush";
import { balanceDirtyPages } from "./writeback";
import { VM_EXEC, VM_READ, VM_SHARED, VM_WRITE, VmArea, assertVma, vmaIsAnonymous } from "./vma";

function mark(id: u32, vmf: VmFault): void {
  traceEmit(sched().clockNs, id, sched().cpu.id, sched().current.id, vmf.address, vmf.flags);
}

/** True when a store to a clean page must be noticed: the filesystem has a page_mkwrite, or writes dirty pages back. */
export function wantsWriteNotify(vma: VmArea): bool {
  if ((vma.flags & (VM_SHARED | VM_WRITE)) != (VM_SHARED | VM_WRITE) || isNullFile(vma.file)) return false;
  return changetype<usize>(vma.file.vmOps.pageMkwrite) != 0 || (vma.file.mapping.flags & AS_UNEVICTABLE) == 0;
}

/** PTE bits of a VMA, without W: that is granted case by case. */
export function readBits(vma: VmArea): u64 {
  let bits = PTE_V | PTE_U | PTE_A;
  if ((vma.flags & (VM_READ | VM_WRITE)) != 0) bits |= PTE_R;
  if ((vma.flags & VM_EXEC) != 0) bits |= PTE_X;
  return bits;
}

/** One pass. Preconditions: vmFaultInit was called, vmf.vma allows the access. Returns VM_FAULT_* ([mk-4]). */
export function handleMmFault(vmf: VmFault): u32 {
  assertVma(vmf.vma);
  chargeCost(C_FAULT_SETUP);
  vmf.pte = pteAlloc(vmf.mm, vmf.address);
  if (vmf.pte == 0) return VM_FAULT_OOM;
  vmf.origPte = load<u64>(vmf.pte);
  const write = (vmf.flags & FAULT_FLAG_WRITE) != 0;
  if (!ptePresent(vmf.origPte)) {
    if (vmaIsAnonymous(vmf.vma)) return doAnonymousPage(vmf, write);
    if (!write) return doReadFault(vmf);
    if ((vmf.vma.flags & VM_SHARED) == 0 && !(MUTANTS && !isNullPage(vmf.stash) && mutant(M_PRIVATE_TAKES_STASH))) return doCowFault(vmf);
    return doSharedFault(vmf);
  }
  if (write && !pteWritable(vmf.origPte)) return doWpPage(vmf);
  // Spurious: another thread was first, or only A and D were missing.
  mark(TP_FAULT_NOPAGE, vmf);
  return 0;
}

/** Installs an anonymous page (its reference goes to the PTE). False when the slot changed. */
function installAnon(vmf: VmFault, page: Page, pte: u64): bool {
  lockPte(vmf.pte);
  if (load<u64>(vmf.pte) != vmf.origPte) {
    unlockPte(vmf.pte);
    return false;
  }
  chargeCost(C_PTE_SET);
  store<u64>(vmf.pte, pte);
  page.set(PG_SWAPBACKED);
  pageAddRmap(page);
  vmf.mm.rssAnon++;
  mmState().nrAnon++;
  unlockPte(vmf.pte);
  return true;
}

function doAnonymousPage(vmf: VmFault, write: bool): u32 {
  if (!write) return doZeroPage(vmf);
  const page = allocPage(GFP_KERNEL | GFP_ZERO);
  if (isNullPage(page)) return VM_FAULT_OOM;
  chargeCost(C_MEMCG_CHARGE);
  const pte = pteMake(pageToPfn(page), readBits(vmf.vma) | PTE_W | PTE_D);
  if (installAnon(vmf, page, pte)) return 0;
  putPage(page);
  mark(TP_FAULT_NOPAGE, vmf);
  return VM_FAULT_NOPAGE;
}

function doZeroPage(vmf: VmFault): u32 {
  const zero = addressToPage(mmState().zeroPage);
  lockPte(vmf.pte);
  if (load<u64>(vmf.pte) == vmf.origPte) {
    chargeCost(C_PTE_SET);
    store<u64>(vmf.pte, pteMake(pageToPfn(zero), readBits(vmf.vma) | PTE_SPECIAL));
  }
  unlockPte(vmf.pte);
  mark(TP_ZERO_PAGE, vmf);
  return 0;
}

/** Calls ->fault. On LOCKED the page is vmf.page, locked and referenced. */
function doFault(vmf: VmFault): u32 {
  const f = vmf.file.vmOps.fault;
  const ret = f(vmf);
  if ((ret & (VM_FAULT_ERROR | VM_FAULT_NOPAGE | VM_FAULT_RETRY | VM_FAULT_DONE_COW)) != 0) return ret;
  if ((ret & VM_FAULT_LOCKED) == 0) lockPage(vmf.page);
  return ret | VM_FAULT_LOCKED;
}

function failed(ret: u32): bool {
  return (ret & (VM_FAULT_ERROR | VM_FAULT_NOPAGE | VM_FAULT_RETRY)) != 0;
}

/** Maps vmf.page; its reference goes to the PTE. NOPAGE when the slot changed. The page stays locked. */
function finishFault(vmf: VmFault, bits: u64): u32 {
  const page = vmf.page;
  if (MUTANTS && (bits & PTE_W) != 0 && mutant(M_UNLOCK_EARLY)) unlockPage(page);
  lockPte(vmf.pte);
  if (load<u64>(vmf.pte) != vmf.origPte && !(MUTANTS && mutant(M_FINISH_UNCHECKED))) {
    unlockPte(vmf.pte);
    mark(TP_FAULT_NOPAGE, vmf);
    return VM_FAULT_NOPAGE;
  }
  if ((bits & PTE_W) != 0) assert(pageLocked(page), "[mk-2] a writable PTE goes in under the page lock");
  chargeCost(C_PTE_SET);
  store<u64>(vmf.pte, pteMake(pageToPfn(page), bits));
  pageAddRmap(page);
  vmf.mm.rssFile++;
  unlockPte(vmf.pte);
  return 0;
}

function dropPage(page: Page): void {
  unlockPage(page);
  putPage(page);
}

function doReadFault(vmf: VmFault): u32 {
  const around = vmf.file.vmOps.mapPages;
  if (changetype<usize>(around) != 0 && bootConfig().faultAroundPages > 1 && faultAround(vmf)) return 0;
  let ret = doFault(vmf);
  if (failed(ret)) return ret;
  const vma = vmf.vma;
  let bits = readBits(vma);
  // Nobody wants to hear of the first store: the MMU alone may set D (Linux's vm_page_prot without write notify).
  if ((vma.flags & (VM_SHARED | VM_WRITE)) == (VM_SHARED | VM_WRITE) && !wantsWriteNotify(vma)) bits |= PTE_W;
  const page = vmf.page;
  const done = finishFault(vmf, bits);
  ret |= done;
  unlockPage(page);
  if (done != 0) putPage(page);
  return ret & ~VM_FAULT_LOCKED;
}

/** Maps what is cached around the address. True when the faulting page was among it. */
function faultAround(vmf: VmFault): bool {
  const window = bootConfig().faultAroundPages;
  const vma = vmf.vma;
  const first = vma.pgoff;
  const last = vma.pgoff + <u32>((vma.end - vma.start) >> PAGE_SHIFT) - 1;
  // The window is aligned and stays inside the VMA and inside one leaf table.
  const tableIndex = <u32>(vmf.address >> PAGE_SHIFT) & 511;
  const back = tableIndex % window;
  let start = vmf.pgoff - (back < vmf.pgoff - first ? back : vmf.pgoff - first);
  let end = start + window - 1;
  const tableEnd = vmf.pgoff + (511 - tableIndex);
  if (end > tableEnd) end = tableEnd;
  if (end > last) end = last;
  if (start > vmf.pgoff) start = vmf.pgoff;
  const f = vmf.file.vmOps.mapPages;
  f(vmf, start, end);
  mark(TP_MAP_PAGES, vmf);
  return ptePresent(load<u64>(vmf.pte));
}

function copyPage(target: Page, source: Page): void {
  copyFrame(target, pageAddress(source));
}

function copyFrame(target: Page, source: usize): void {
  chargeCost(C_PAGE_COPY);
  mmState().copyBytes += PAGE_SIZE;
  memory.copy(pageAddress(target), source, PAGE_SIZE);
}

/** Write to a private file mapping without a PTE: a copy of the page, the original stays as it is. */
function doCowFault(vmf: VmFault): u32 {
  const copy = allocPage(GFP_KERNEL);
  if (isNullPage(copy)) return VM_FAULT_OOM;
  vmf.cowPage = copy;
  const ret = doFault(vmf);
  vmf.cowPage = changetype<Page>(0);
  if ((ret & VM_FAULT_DONE_COW) != 0) return ret;
  if (failed(ret)) {
    putPage(copy);
    return ret;
  }
  chargeCost(C_MEMCG_CHARGE);
  copyPage(copy, vmf.page);
  const installed = installAnon(vmf, copy, pteMake(pageToPfn(copy), readBits(vmf.vma) | PTE_W | PTE_D));
  dropPage(vmf.page);
  if (installed) return ret & ~VM_FAULT_LOCKED;
  putPage(copy);
  mark(TP_FAULT_NOPAGE, vmf);
  return VM_FAULT_NOPAGE;
}

/** For a ->fault that fills vmf.cowPage itself: maps it, while what it was copied from cannot go. DONE_COW, or NOPAGE. */
export function finishCow(vmf: VmFault): u32 {
  chargeCost(C_MEMCG_CHARGE);
  if (installAnon(vmf, vmf.cowPage, pteMake(pageToPfn(vmf.cowPage), readBits(vmf.vma) | PTE_W | PTE_D))) return VM_FAULT_DONE_COW;
  mark(TP_FAULT_NOPAGE, vmf);
  return VM_FAULT_NOPAGE;
}

/** [mk-2] What page_mkwrite, or an earlier run of it, has answered for: the PTE may go in. The range is the walks' to check. */
function assertPrepared(vmf: VmFault, page: Page): void {
  assert(pageLocked(page), "[mk-2] a page is unlocked between page_mkwrite and its PTE");
  assert(page.test(PG_DIRTY), "[mk-1] page_mkwrite returned a clean page");
  assert(page.mapping == changetype<usize>(vmf.file.mapping), "[mk-2] page_mkwrite returned a page of another file");
  assertVma(vmf.vma);
}

/** Write to a shared file mapping without a PTE (SCENARIOS 2.3). */
function doSharedFault(vmf: VmFault): u32 {
  let ret = doFault(vmf);
  if (failed(ret)) return ret;
  const page = vmf.page;
  if (changetype<usize>(vmf.file.vmOps.pageMkwrite) != 0) {
    unlockPage(page);
    const made = doPageMkwrite(vmf);
    if (made == 0 || failed(made)) {
      putPage(page);
      return made;
    }
    assertPrepared(vmf, page);
  }
  const done = finishFault(vmf, readBits(vmf.vma) | PTE_W | PTE_D);
  if (done != 0) {
    dropPage(page);
    return done;
  }
  return (ret & ~VM_FAULT_LOCKED) | faultDirtySharedPage(vmf, page, changetype<usize>(vmf.file.vmOps.pageMkwrite) != 0);
}

/**
 * The PTE is in: dirty the page, let it go, and let the dirtier be throttled, without the fault lock where the regime drops it
 * (SCENARIOS 2.3 step 5). Returns 0, or RETRY or COMPLETED with the lock dropped.
 */
function faultDirtySharedPage(vmf: VmFault, page: Page, mkwrite: bool): u32 {
  chargeCost(C_PAGE_DIRTY);
  const dirtied = setPageDirty(page);
  unlockPage(page);
  if (!dirtied && !mkwrite) return 0;
  const mapping = vmf.file.mapping;
  if (vmf.relocked != 0) {
    releaseFaultLock(vmf);
    if (!(MUTANTS && mutant(M_THROTTLE_SKIPPED))) balanceDirtyPages(mapping);
    return VM_FAULT_COMPLETED;
  }
  const dropped = maybeUnlockForIo(vmf);
  if (!(MUTANTS && mutant(M_THROTTLE_SKIPPED))) balanceDirtyPages(mapping);
  if (!dropped) return 0;
  return mmState().faultLock == FAULT_LOCK_LINUX_6_7 ? VM_FAULT_COMPLETED : VM_FAULT_RETRY;
}

/** Store to a present, read-only PTE. */
function doWpPage(vmf: VmFault): u32 {
  if ((vmf.vma.flags & VM_SHARED) != 0) return wpPageShared(vmf);
  const pte = vmf.origPte;
  if ((pte & PTE_SPECIAL) == 0) {
    const page = pfnToPage(ptePfn(pte));
    if (page.test(PG_SWAPBACKED) && page.refcount == 1) return wpPageReuse(vmf, TP_COW_LAST_REF);
    if (MUTANTS && page.test(PG_SWAPBACKED) && page.refcount == 2 && mutant(M_COW_REUSE_SHARED)) return wpPageReuse(vmf, TP_COW_LAST_REF);
  }
  return wpPageCopy(vmf);
}

/** Makes the PTE writable if it is still the one the fault saw. */
function wpPageReuse(vmf: VmFault, tracepoint: u32): u32 {
  lockPte(vmf.pte);
  let same = (load<u64>(vmf.pte) & ~(PTE_A | PTE_D)) == (vmf.origPte & ~(PTE_A | PTE_D));
  if (same) {
    chargeCost(C_PTE_SET);
    store<u64>(vmf.pte, load<u64>(vmf.pte) | PTE_W | PTE_D | PTE_A);
  } else if (MUTANTS && mutant(M_WP_UNCHECKED)) {
    same = true;
    store<u64>(vmf.pte, vmf.origPte | PTE_W | PTE_D | PTE_A);
  }
  unlockPte(vmf.pte);
  mark(same ? tracepoint : TP_FAULT_NOPAGE, vmf);
  return same ? 0 : VM_FAULT_NOPAGE;
}

/** SCENARIOS 2.4: shared page, read-only PTE. */
function wpPageShared(vmf: VmFault): u32 {
  if (changetype<usize>(vmf.file) == 0) return wpPageReuse(vmf, TP_WP_REUSE);
  // A frame of a device, or the zero page in its place: there is no page to lock.
  if ((vmf.origPte & PTE_SPECIAL) != 0) return callPfnMkwrite(vmf);
  const page = pfnToPage(ptePfn(vmf.origPte));
  const mkwrite = changetype<usize>(vmf.file.vmOps.pageMkwrite) != 0;
  getPage(page);
  vmf.page = page;
  if (mkwrite) {
    const made = doPageMkwrite(vmf);
    if (made == 0 || failed(made)) {
      putPage(page);
      return made;
    }
    assertPrepared(vmf, page);
  } else lockPage(page);
  let ret = wpPageReuse(vmf, mkwrite ? TP_WP_SHARED : TP_WP_REUSE);
  if (ret != 0) unlockPage(page);
  else ret = faultDirtySharedPage(vmf, page, mkwrite);
  putPage(page);
  return ret;
}

/** Copy on write: of an anonymous page shared after fork, of the zero page, or of a private mapping's file page. */
function wpPageCopy(vmf: VmFault): u32 {
  const pte = vmf.origPte;
  const special = (pte & PTE_SPECIAL) != 0;
  const zero = special && ptePfn(pte) == pageToPfn(addressToPage(mmState().zeroPage));
  const old = pfnToPage(ptePfn(pte));
  // The old page must not change hands while the copy sleeps for memory.
  if (!special) getPage(old);
  const copy = allocPage(zero ? GFP_KERNEL | GFP_ZERO : GFP_KERNEL);
  if (isNullPage(copy)) {
    if (!special) putPage(old);
    return VM_FAULT_OOM;
  }
  chargeCost(C_MEMCG_CHARGE);
  if (!special) copyPage(copy, old);
  const ok = replacePte(vmf, old, copy, special);
  if (!special) putPage(old);
  if (!ok) putPage(copy);
  mark(ok ? TP_WP_COPY : TP_FAULT_NOPAGE, vmf);
  return ok ? 0 : VM_FAULT_NOPAGE;
}

/** Swaps the copy in for the old page. False when the slot changed. */
function replacePte(vmf: VmFault, old: Page, copy: Page, special: bool): bool {
  const mm = vmf.mm;
  lockPte(vmf.pte);
  if ((load<u64>(vmf.pte) & ~PTE_A) != (vmf.origPte & ~PTE_A) && !(MUTANTS && mutant(M_COW_UNCHECKED))) {
    unlockPte(vmf.pte);
    return false;
  }
  // No reference holds a device's frame; the PTE does, while its lock is held.
  const frame = ptePfn(vmf.origPte);
  if (special && frame != pageToPfn(addressToPage(mmState().zeroPage))) copyFrame(copy, <usize>frame << PAGE_SHIFT);
  chargeCost(C_PTE_SET);
  store<u64>(vmf.pte, pteMake(pageToPfn(copy), readBits(vmf.vma) | PTE_W | PTE_D));
  copy.set(PG_SWAPBACKED);
  pageAddRmap(copy);
  if (!special) {
    pageRemoveRmap(old);
    forgetRss(mm, old);
  }
  mm.rssAnon++;
  mmState().nrAnon++;
  // The old translation may be in TLBs, with another frame: it must go before the lock does.
  if (!(MUTANTS && mutant(M_COW_NO_FLUSH))) flushTlbPage(mm, vmf.address);
  unlockPte(vmf.pte);
  if (!special) putPage(old);
  return true;
}

/** A PTE of this page went away. */
export function forgetRss(mm: MmStruct, page: Page): void {
  if (page.test(PG_SWAPBACKED)) {
    assert(mm.rssAnon > 0, "[mm-1] rss counts present PTEs");
    mm.rssAnon--;
    if (page.mapcount == 0) mmState().nrAnon--;
    return;
  }
  assert(mm.rssFile > 0, "[mm-1] rss counts present PTEs");
  mm.rssFile--;
}
