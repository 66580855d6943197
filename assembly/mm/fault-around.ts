/*
 * ->map_pages of file mappings: maps what the cache already holds around a read fault, without sleeping.
 *
 * Interface: filemapMapPages(vmf, startPgoff, endPgoff).
 * Invariants:
 *   [fa-1] a page is mapped read-only, unlocked-and-uptodate or skipped; nothing sleeps, nothing is read.
 *   [fa-2] only slots of the faulting page's leaf table are filled.
 * Locks: the leaf table's lock over the whole window; pages are tried, not waited for.
 * Why not write faults: a write would need page_mkwrite for every page of the window.
 */
import { PTE_A, PTE_R, PTE_U, PTE_V, PTE_W, PTE_X, pteMake, ptePresent } from "../cpu/pte";
import { XaCursor, xaFind } from "../lib/xarray";
import { C_MAP_PAGES, chargeCost } from "../sched/cost";
import { AddressSpace } from "./address-space";
import { VmFault } from "./fault";
import { filePages } from "./filemap";
import { wantsWriteNotify } from "./memory";
import { PG_READAHEAD, PG_UPTODATE, Page, getPage, pageLocked, pageToPfn } from "./page";
import { lockPte, unlockPte } from "./pgtable";
import { pageAddRmap } from "./rmap";
import { mmState } from "./state";
import { VM_EXEC, VM_SHARED, VM_WRITE } from "./vma";

function mappable(page: Page, mapping: AddressSpace, limit: u64): bool {
  if (pageLocked(page) || !page.test(PG_UPTODATE) || page.test(PG_READAHEAD)) return false;
  return page.mapping == changetype<usize>(mapping) && page.index < limit;
}

export function filemapMapPages(vmf: VmFault, startPgoff: u32, endPgoff: u32): u32 {
  const mapping = vmf.file.mapping;
  const vma = vmf.vma;
  const limit = filePages(mapping.sizeBytes);
  let bits = PTE_V | PTE_U | PTE_R;
  if ((vma.flags & VM_EXEC) != 0) bits |= PTE_X;
  if ((vma.flags & (VM_SHARED | VM_WRITE)) == (VM_SHARED | VM_WRITE) && !wantsWriteNotify(vma)) bits |= PTE_W;
  let mapped: u32 = 0;
  const cursor = changetype<XaCursor>(mmState().cursor);
  lockPte(vmf.pte);
  let at = xaFind(mapping.pages, startPgoff, endPgoff, cursor);
  while (at != 0) {
    const page = changetype<Page>(at);
    const index = cursor.index;
    const slot = vmf.pte + (index - vmf.pgoff) * 8;
    if (mappable(page, mapping, limit) && !ptePresent(load<u64>(slot))) {
      getPage(page);
      pageAddRmap(page);
      vmf.mm.rssFile++;
      chargeCost(C_MAP_PAGES);
      store<u64>(slot, pteMake(pageToPfn(page), index == vmf.pgoff ? bits | PTE_A : bits));
      mapped++;
    }
    if (index == endPgoff) break;
    at = xaFind(mapping.pages, index + 1, endPgoff, cursor);
  }
  unlockPte(vmf.pte);
  mmState().faultAroundPages += mapped;
  return mapped;
}
