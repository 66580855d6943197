/*
 * Taking PTEs away, and changing or copying ranges of them, with the gather that frees pages only after the TLB flush.
 *
 *     clear PTEs under the leaf lock, 32 at a time -> remember the pages in the gather -> one TLB flush -> drop the pages
 *
 * Interface: zapPageRange, zapFilePages, changeProtection, allocTargetTables, movePageTables, copyPageRange.
 * Invariants:
 *   [zap-1] a frame is dropped after the flush that makes its last translation go.
 *   [zap-2] D of a PTE goes to its page before the PTE is forgotten.
 * Locks: mmap_sem of the mm (read is enough once the VMAs are detached) -> leaf table lock.
 * Why not flush per page: one shootdown interrupts every CPU of the process; Linux gathers for the same reason.
 */
import { PTE_SPECIAL, PTE_W, pteDirty, ptePfn, ptePresent, pteWritable } from "../cpu/pte";
import { PAGE_SIZE } from "../memlayout";
import { ENOMEM } from "../lib/errno";
import { M_FORK_NO_FLUSH, M_FORK_PARENT_WRITABLE, M_MPROTECT_NO_FLUSH, M_MUNMAP_NO_FLUSH, M_ZAP_DIRTY_LOST, mutant } from "../lib/mutant";
import { C_FORK_PTE, C_PTE_SET, C_PTE_ZAP, chargeCost } from "../sched/cost";
import { syncPoint } from "../sched/core";
import { currentTask } from "../sched/state";
import { forgetRss } from "./memory";
import { MmStruct } from "./mm-struct";
import { GFP_ATOMIC, allocPage, putPage } from "./page-alloc";
import { PG_SWAPBACKED, Page, getPage, isNullPage, pageAddress, pfnToPage } from "./page";
import { setPageDirty } from "./page-writeback";
import { deviceFrame } from "./pfn-map";
import { lockPte, pteAlloc, pteLookup, pteRangeNext, unlockPte } from "./pgtable";
import { pageAddRmap, pageRemoveRmap } from "./rmap";
import { flushTlbMm, flushTlbRange } from "./tlbflush";
import { VM_SHARED, VmArea } from "./vma";

/** PTEs handled between two chances to hand over. */
const CHUNK: u32 = 32;
/** Pages remembered without a batch frame, as Linux's mmu_gather. */
const INLINE_PAGES: u32 = 24;
const BATCH_PAGES: u32 = PAGE_SIZE / 4;

/** mmu_gather: one per task, in the task's scratch (128 bytes). */
@unmanaged
class MmuGather {
  start: u64;
  end: u64;
  count: u32;
  batch: Page;
  /** INLINE_PAGES page pointers follow. */
  first: u32;
}

function gatherBegin(mm: MmStruct): MmuGather {
  mm.tlbFlushPending++;
  const g = changetype<MmuGather>(currentTask().gather);
  assert(g.count == 0 && isNullPage(g.batch), "a gather ends before the next begins");
  g.start = u64.MAX_VALUE;
  g.end = 0;
  g.batch = allocPage(GFP_ATOMIC);
  return g;
}

function gatherSlots(g: MmuGather): usize {
  return isNullPage(g.batch) ? changetype<usize>(g) + offsetof<MmuGather>("first") : pageAddress(g.batch);
}

/** True when the next chunk might not fit. */
function gatherFull(g: MmuGather): bool {
  return isNullPage(g.batch) ? g.count != 0 : g.count + CHUNK > BATCH_PAGES;
}

function gatherFlush(g: MmuGather, mm: MmStruct): void {
  if (g.start < g.end && !(MUTANTS && mutant(M_MUNMAP_NO_FLUSH))) flushTlbRange(mm, g.start, g.end);
  g.start = u64.MAX_VALUE;
  g.end = 0;
  const slots = gatherSlots(g);
  const n = g.count;
  for (let i: u32 = 0; i < n; i++) putPage(changetype<Page>(load<u32>(slots + (i << 2))));
  g.count = 0;
}

function gatherEnd(g: MmuGather, mm: MmStruct): void {
  gatherFlush(g, mm);
  mm.tlbFlushPending--;
  const batch = g.batch;
  g.batch = changetype<Page>(0);
  if (!isNullPage(batch)) putPage(batch);
}

/** Forgets one PTE; its page goes into the gather. */
function zapPte(g: MmuGather, mm: MmStruct, slot: usize, pte: u64): void {
  chargeCost(C_PTE_ZAP);
  store<u64>(slot, 0);
  if ((pte & PTE_SPECIAL) != 0) return;
  const page = pfnToPage(ptePfn(pte));
  if (pteDirty(pte) && !page.test(PG_SWAPBACKED) && !(MUTANTS && mutant(M_ZAP_DIRTY_LOST))) setPageDirty(page);
  pageRemoveRmap(page);
  forgetRss(mm, page);
  store<u32>(gatherSlots(g) + (g.count << 2), <u32>changetype<usize>(page));
  g.count++;
}

/** Clears every PTE of [start, end) and drops the pages after one flush per batch. */
export function zapPageRange(mm: MmStruct, vma: VmArea, start: u64, end: u64): void {
  zapRange(mm, vma, start, end, false);
}

/** As zapPageRange, but private copies stay: unmap_mapping_range of a truncate or a hole punch. */
export function zapFilePages(mm: MmStruct, vma: VmArea, start: u64, end: u64): void {
  zapRange(mm, vma, start, end, true);
}

function zapRange(mm: MmStruct, vma: VmArea, start: u64, end: u64, keepAnon: bool): void {
  assert(start < end && ((start | end) & 0xfff) == 0, "a page range is zapped");
  assert(vma.mm == changetype<usize>(mm), "the VMA is of this mm");
  const g = gatherBegin(mm);
  let at = pteRangeNext(mm, start, end);
  while (at < end) {
    syncPoint();
    const slot = pteLookup(mm, at);
    at = zapChunk(g, mm, slot, at, end, keepAnon);
    if (gatherFull(g)) gatherFlush(g, mm);
    at = pteRangeNext(mm, at, end);
  }
  gatherEnd(g, mm);
}

function isAnonPte(pte: u64): bool {
  return (pte & PTE_SPECIAL) == 0 && pfnToPage(ptePfn(pte)).test(PG_SWAPBACKED);
}

/** Up to a chunk of one leaf table under its lock. Returns the address after it. */
function zapChunk(g: MmuGather, mm: MmStruct, firstSlot: usize, address: u64, end: u64, keepAnon: bool): u64 {
  let slot = firstSlot;
  let at = address;
  const room = isNullPage(g.batch) ? INLINE_PAGES : CHUNK;
  lockPte(firstSlot);
  for (let i: u32 = 0; i < room && at < end; i++) {
    const pte = load<u64>(slot);
    if (ptePresent(pte) && !(keepAnon && isAnonPte(pte))) {
      if (at < g.start) g.start = at;
      g.end = at + PAGE_SIZE;
      zapPte(g, mm, slot, pte);
    }
    at += PAGE_SIZE;
    slot += 8;
    if ((slot & 0xfff) == 0) break;
  }
  unlockPte(firstSlot);
  return at;
}

/** mprotect: PTEs lose what the VMA no longer grants; rights that are gained come with the next fault. */
export function changeProtection(mm: MmStruct, vma: VmArea, start: u64, end: u64, clearBits: u64, setBits: u64): void {
  let at = pteRangeNext(mm, start, end);
  let changed = false;
  mm.tlbFlushPending++;
  while (at < end) {
    const slot = pteLookup(mm, at);
    lockPte(slot);
    const pte = load<u64>(slot);
    if (ptePresent(pte)) {
      chargeCost(C_PTE_SET);
      const next = (pte & ~clearBits) | setBits;
      if (next != pte) {
        store<u64>(slot, next);
        changed = true;
      }
    }
    unlockPte(slot);
    at = pteRangeNext(mm, at + PAGE_SIZE, end);
  }
  assert(vma.mm == changetype<usize>(mm), "the VMA is of this mm");
  if (changed && !(MUTANTS && mutant(M_MPROTECT_NO_FLUSH))) flushTlbRange(mm, start, end);
  mm.tlbFlushPending--;
}

/** mremap: makes the leaf tables that the PTEs of [oldStart, oldStart + lenBytes) will move into. False on ENOMEM. */
export function allocTargetTables(mm: MmStruct, oldStart: u64, newStart: u64, lenBytes: u64): bool {
  const end = oldStart + lenBytes;
  let at = pteRangeNext(mm, oldStart, end);
  while (at < end) {
    if (pteAlloc(mm, newStart + (at - oldStart)) == 0) return false;
    at = pteRangeNext(mm, at + PAGE_SIZE, end);
  }
  return true;
}

/** mremap: moves the PTEs of [oldStart, oldStart + lenBytes). Preconditions: allocTargetTables; the VMA's shares are locked. */
export function movePageTables(mm: MmStruct, oldStart: u64, newStart: u64, lenBytes: u64): void {
  const end = oldStart + lenBytes;
  let at = pteRangeNext(mm, oldStart, end);
  mm.tlbFlushPending++;
  while (at < end) {
    const target = pteLookup(mm, newStart + (at - oldStart));
    assert(target != 0, "[mr-2] the tables were made before the move");
    const slot = pteLookup(mm, at);
    lockPte(slot);
    const pte = load<u64>(slot);
    store<u64>(slot, 0);
    unlockPte(slot);
    lockPte(target);
    assert(!ptePresent(load<u64>(target)), "mremap moves into an empty range");
    store<u64>(target, pte);
    unlockPte(target);
    chargeCost(C_PTE_SET);
    at = pteRangeNext(mm, at + PAGE_SIZE, end);
  }
  flushTlbRange(mm, oldStart, end);
  mm.tlbFlushPending--;
}

/** True when fork must copy the PTEs: anonymous pages cannot be faulted in again from a file. */
function mustCopy(vma: VmArea): bool {
  return (vma.flags & VM_SHARED) == 0;
}

/** fork: the child gets the parent's PTEs; private writable ones lose W in both. Returns 0 or -ENOMEM. */
export function copyPageRange(child: MmStruct, parent: MmStruct, vma: VmArea): i32 {
  // Shared file pages are faulted in again, as Linux does (SCENARIOS S24).
  if (!mustCopy(vma)) return 0;
  let protectedAny = false;
  let result: i32 = 0;
  parent.tlbFlushPending++;
  let at = pteRangeNext(parent, vma.start, vma.end);
  while (at < vma.end) {
    const target = pteAlloc(child, at);
    if (target == 0) {
      result = -ENOMEM;
      break;
    }
    const slot = pteLookup(parent, at);
    lockPte(slot);
    let pte = load<u64>(slot);
    // A device's frame is faulted in again: no reference would keep it from a truncation that has passed the child already.
    if (ptePresent(pte) && !deviceFrame(pte)) {
      chargeCost(C_FORK_PTE);
      if (pteWritable(pte) && !(MUTANTS && mutant(M_FORK_PARENT_WRITABLE))) {
        pte &= ~PTE_W;
        store<u64>(slot, pte);
        protectedAny = true;
      }
      shareWithChild(child, target, pte);
    }
    unlockPte(slot);
    at = pteRangeNext(parent, at + PAGE_SIZE, vma.end);
  }
  if (protectedAny && !(MUTANTS && mutant(M_FORK_NO_FLUSH))) flushTlbMm(parent);
  parent.tlbFlushPending--;
  return result;
}

/** The child's slot maps the parent's page as well. The parent's leaf lock keeps the page; the child runs nothing yet. */
function shareWithChild(child: MmStruct, target: usize, pte: u64): void {
  store<u64>(target, pte & ~PTE_W);
  if ((pte & PTE_SPECIAL) != 0) return;
  const page = pfnToPage(ptePfn(pte));
  getPage(page);
  pageAddRmap(page);
  if (page.test(PG_SWAPBACKED)) child.rssAnon++;
  else child.rssFile++;
}
