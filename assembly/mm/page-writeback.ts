/*
 * Dirty accounting of pages: who is dirty, in the page, in its mapping's marks, in the machine's counters.
 *
 *     clean --setPageDirty--> dirty --clearPageDirtyForIo (page locked, PTEs write-protected)--> clean, generation + 1
 *
 * Interface: setPageDirty, clearPageDirtyForIo, cancelDirtyPage, setPageWriteback, endPageWriteback.
 * Invariants:
 *   [wb-1] nrDirty of a mapping is the number of its pages with PG_DIRTY, unless it is AS_UNEVICTABLE (not accounted).
 *   [wb-2] PG_DIRTY is cleared only under the page lock, after every shared PTE was write-protected.
 * Locks: i_pages for the marks; the page lock for clearing.
 * Why not dirty bits in PTEs alone: writeback asks the mapping, not every page table.
 */
import { M_REDIRTY_LOST, M_WRITEBACK_NO_WAKE, mutant } from "../lib/mutant";
import { XA_MARK_0, XA_MARK_1, xaClearMark, xaSetMark } from "../lib/xarray";
import { traceEmit } from "../lib/trace";
import { TP_WRITEBACK_DIRTY_PAGE } from "../tracepoints";
import { clearBitAndWake } from "../sched/lock-bit";
import { LC_I_PAGES } from "../sched/lock-class";
import { spinLockNoSync, spinUnlock } from "../sched/spinlock";
import { sched } from "../sched/state";
import { AS_UNEVICTABLE, AddressSpace } from "./address-space";
import { PG_DIRTY, PG_WRITEBACK, Page, pageLocked } from "./page";
import { pageMkclean } from "./rmap";
import { mappingBecameClean, mappingBecameDirty, writebackEnded } from "./writeback";
import { mmState } from "./state";

/** Marks the page dirty. Returns true when it was clean. The page is locked, or its PTE's leaf lock is held. */
export function setPageDirty(page: Page): bool {
  if (page.test(PG_DIRTY)) return false;
  page.set(PG_DIRTY);
  if (page.mapping == 0) return true;
  const mapping = changetype<AddressSpace>(page.mapping);
  if ((mapping.flags & AS_UNEVICTABLE) != 0) return true;
  spinLockNoSync(mapping.pagesLock, LC_I_PAGES);
  xaSetMark(mapping.pages, page.index, XA_MARK_0);
  if (mapping.nrDirty++ == 0) mappingBecameDirty(mapping);
  mmState().nrDirty++;
  spinUnlock(mapping.pagesLock);
  traceEmit(sched().clockNs, TP_WRITEBACK_DIRTY_PAGE, sched().cpu.id, 0, page.index, mapping.host);
  return true;
}

function clearDirtyMark(page: Page, mapping: AddressSpace): void {
  page.clear(PG_DIRTY);
  page.generation++;
  page.preparedEnd = 0;
  if ((mapping.flags & AS_UNEVICTABLE) != 0) return;
  spinLockNoSync(mapping.pagesLock, LC_I_PAGES);
  xaClearMark(mapping.pages, page.index, XA_MARK_0);
  assert(mapping.nrDirty > 0, "[wb-1] a mapping counts its dirty pages");
  if (--mapping.nrDirty == 0) mappingBecameClean(mapping);
  mmState().nrDirty--;
  spinUnlock(mapping.pagesLock);
}

/** Writeback takes the page: shared PTEs are write-protected, then the dirty bit goes. True when it was dirty. */
export function clearPageDirtyForIo(page: Page): bool {
  assert(pageLocked(page), "[wb-2] a page is cleaned under its lock");
  const mapping = changetype<AddressSpace>(page.mapping);
  if (pageMkclean(page) != 0) setPageDirty(page);
  if (!page.test(PG_DIRTY)) return false;
  clearDirtyMark(page, mapping);
  return true;
}

/** The page is thrown away (truncate): what was dirty need not be written. */
export function cancelDirtyPage(page: Page): void {
  assert(pageLocked(page), "[wb-2] a page is cleaned under its lock");
  if (page.test(PG_DIRTY)) clearDirtyMark(page, changetype<AddressSpace>(page.mapping));
}

export function setPageWriteback(page: Page): void {
  assert(pageLocked(page) && !page.test(PG_WRITEBACK), "writeback starts once, under the page lock");
  const mapping = changetype<AddressSpace>(page.mapping);
  page.set(PG_WRITEBACK);
  spinLockNoSync(mapping.pagesLock, LC_I_PAGES);
  xaSetMark(mapping.pages, page.index, XA_MARK_1);
  mapping.nrWriteback++;
  mmState().nrWriteback++;
  spinUnlock(mapping.pagesLock);
}

/** IO is done (event handler): wakes those who wait for the page. */
export function endPageWriteback(page: Page): void {
  assert(page.test(PG_WRITEBACK), "writeback ends once");
  const mapping = changetype<AddressSpace>(page.mapping);
  spinLockNoSync(mapping.pagesLock, LC_I_PAGES);
  xaClearMark(mapping.pages, page.index, XA_MARK_1);
  mapping.nrWriteback--;
  mmState().nrWriteback--;
  spinUnlock(mapping.pagesLock);
  if (MUTANTS && page.test(PG_DIRTY) && mutant(M_REDIRTY_LOST)) clearDirtyMark(page, mapping);
  if (MUTANTS && mutant(M_WRITEBACK_NO_WAKE)) page.clear(PG_WRITEBACK);
  else clearBitAndWake(changetype<usize>(page), PG_WRITEBACK);
  writebackEnded();
}
