/*
 * Reverse mapping: from a page to the PTEs that map it. File pages only, through the mapping's i_mmap tree.
 *
 * Interface: pageAddRmap, pageRemoveRmap, rmapWalkFile via pageMkclean, pageUnmap, pageReferenced, mappedWritable.
 * Invariants:
 *   [page-3] mapcount counts the PTEs that map the page.
 *   [rmap-1] under i_mmap_rwsem (read) and the leaf locks a walk sees every PTE of the page, or the page lock keeps new ones out.
 * Locks: i_mmap_rwsem -> leaf table lock; the page lock is held by the caller.
 * Why not for anonymous pages: nothing looks for their PTEs, because they are never written back nor reclaimed: there is no
 * swap (DECISIONS: anonymous memory under pressure ends in an OOM kill).
 */
import { itFirstOverlap, itNextOverlap } from "../lib/interval-tree";
import { M_MKCLEAN_KEEPS_WRITE, M_MKCLEAN_NO_FLUSH, mutant } from "../lib/mutant";
import { PTE_A, PTE_D, PTE_W, pteDirty, ptePfn, ptePresent, pteWritable } from "../cpu/pte";
import { PAGE_SIZE } from "../memlayout";
import { C_PAGE_MKCLEAN, C_RMAP, chargeCost } from "../sched/cost";
import { downRead, upRead } from "../sched/rwsem";
import { AddressSpace } from "./address-space";
import { MmStruct } from "./mm-struct";
import { Page, pageLocked, pageToPfn } from "./page";
import { lockPte, pteLookup, pteRangeNext, unlockPte } from "./pgtable";
import { flushTlbPage } from "./tlbflush";
import { VM_SHARED, VmArea, vmaAddress, vmaOfShare } from "./vma";
import { setPageDirty } from "./page-writeback";
import { putPage } from "./page-alloc";

/** A PTE now maps the page. Preconditions: the leaf lock is held; the caller gives its reference to the PTE. */
export function pageAddRmap(page: Page): void {
  chargeCost(C_RMAP);
  page.mapcount++;
}

/** A PTE no longer maps the page; its reference goes to the caller. */
export function pageRemoveRmap(page: Page): void {
  assert(page.mapcount > 0, "[page-3] a PTE is taken away that nobody counted");
  page.mapcount--;
}

const WALK_MKCLEAN: u32 = 0;
const WALK_UNMAP: u32 = 1;
const WALK_REFERENCED: u32 = 2;

/** Does `what` to one PTE; returns 1 when it found something (dirty, unmapped, referenced). */
function visitPte(vma: VmArea, page: Page, what: u32): u32 {
  const mm = changetype<MmStruct>(vma.mm);
  const address = vmaAddress(vma, page.index);
  const slot = pteLookup(mm, address);
  if (slot == 0) return 0;
  lockPte(slot);
  const pte = load<u64>(slot);
  let hit: u32 = 0;
  if (ptePresent(pte) && ptePfn(pte) == pageToPfn(page)) hit = changePte(mm, page, slot, pte, address, what);
  unlockPte(slot);
  return hit;
}

function changePte(mm: MmStruct, page: Page, slot: usize, pte: u64, address: u64, what: u32): u32 {
  if (what == WALK_MKCLEAN) {
    if (!pteDirty(pte) && !pteWritable(pte)) return 0;
    store<u64>(slot, MUTANTS && mutant(M_MKCLEAN_KEEPS_WRITE) ? pte & ~PTE_D : pte & ~(PTE_W | PTE_D));
    if (!(MUTANTS && mutant(M_MKCLEAN_NO_FLUSH))) flushTlbPage(mm, address);
    return pteDirty(pte) ? 1 : 0;
  }
  if (what == WALK_REFERENCED) {
    if ((pte & PTE_A) == 0) return 0;
    store<u64>(slot, pte & ~PTE_A);
    return 1;
  }
  store<u64>(slot, 0);
  flushTlbPage(mm, address);
  if (pteDirty(pte)) setPageDirty(page);
  pageRemoveRmap(page);
  assert(mm.rssFile > 0, "[mm-1] rss counts present PTEs");
  mm.rssFile--;
  putPage(page);
  return 1;
}

/** True when a PTE of some shared mapping of the file lets stores through. A walk for laws: it takes no lock and no time. */
export function mappedWritable(mapping: AddressSpace): bool {
  let node = itFirstOverlap(mapping.iMmap, 0, u32.MAX_VALUE);
  while (changetype<usize>(node) != 0) {
    const vma = vmaOfShare(changetype<usize>(node));
    const mm = changetype<MmStruct>(vma.mm);
    for (let at = pteRangeNext(mm, vma.start, vma.end); at < vma.end; at = pteRangeNext(mm, at + PAGE_SIZE, vma.end)) {
      if ((vma.flags & VM_SHARED) != 0 && pteWritable(load<u64>(pteLookup(mm, at)))) return true;
    }
    node = itNextOverlap(node, 0, u32.MAX_VALUE);
  }
  return false;
}

function walk(page: Page, what: u32): u32 {
  assert(pageLocked(page), "[rmap-1] rmap walks hold the page lock");
  if (page.mapcount == 0 || page.mapping == 0) return 0;
  const mapping = changetype<AddressSpace>(page.mapping);
  downRead(mapping.iMmapRwsem);
  let hits: u32 = 0;
  let node = itFirstOverlap(mapping.iMmap, page.index, page.index);
  while (changetype<usize>(node) != 0) {
    const vma = vmaOfShare(changetype<usize>(node));
    const next = itNextOverlap(node, page.index, page.index);
    if (what != WALK_MKCLEAN || (vma.flags & VM_SHARED) != 0) {
      chargeCost(C_PAGE_MKCLEAN);
      hits += visitPte(vma, page, what);
    }
    node = next;
  }
  upRead(mapping.iMmapRwsem);
  return hits;
}

/** Write-protects and cleans every shared PTE of the page. Returns how many were dirty. */
export function pageMkclean(page: Page): u32 {
  return walk(page, WALK_MKCLEAN);
}

/** Takes the page out of every page table. Returns how many PTEs went. */
export function pageUnmap(page: Page): u32 {
  return walk(page, WALK_UNMAP);
}

/** How many PTEs had A set; clears it, without a flush, as Linux does. */
export function pageReferenced(page: Page): u32 {
  return walk(page, WALK_REFERENCED);
}
