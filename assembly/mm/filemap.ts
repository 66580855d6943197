/*
 * The page cache: lookup, insertion, removal, and the fault on a file page.
 *
 *     absent --addToPageCache (locked)--> locked, not uptodate --readPage ends--> uptodate, unlocked --deleteFromPageCache--> absent
 *
 * Interface: findGetPage, addToPageCache, deleteFromPageCache, grabCachePage, readCachePage, filemapFault, filemapMapPages.
 * Invariants:
 *   [fm-1] a page in the cache has mapping and index set and holds the cache's reference.
 *   [fm-2] filemapFault returns LOCKED with a page that is in the mapping, at the index, uptodate and below i_size.
 *   [mk-4] RETRY is returned only after the fault lock was dropped, unless RETRY_NOWAIT.
 * Locks: i_pages to change the xarray; lookups take none (one emulated step is atomic); page lock as in page.ts.
 * Why not carry the read page over the retry: the second pass finds it in the cache (SCENARIOS 2.6).
 */
import { traceEmit } from "../lib/trace";
import { xaErase, xaLoad, xaStore } from "../lib/xarray";
import { EIO, ENOMEM, EEXIST } from "../lib/errno";
import { M_TRUNCATE_KEEPS_MAPPING, mutant } from "../lib/mutant";
import { PAGE_SHIFT, PAGE_SIZE } from "../memlayout";
import { TP_MM_FILEMAP_ADD, TP_MM_FILEMAP_DELETE, TP_MM_FILEMAP_FAULT, TP_MAJOR_FAULT } from "../tracepoints";
import { C_PAGE_CACHE_INSERT, C_PAGE_CACHE_LOOKUP, chargeCost } from "../sched/cost";
import { LC_I_PAGES } from "../sched/lock-class";
import { spinLockNoSync, spinUnlock } from "../sched/spinlock";
import { syncPoint } from "../sched/core";
import { sched } from "../sched/state";
import { AS_UNEVICTABLE, AddressSpace, File } from "./address-space";
import { bacikUseCached } from "./bacik";
import { FAULT_FLAG_KILLABLE, VM_FAULT_LOCKED, VM_FAULT_MAJOR, VM_FAULT_OOM, VM_FAULT_RETRY, VM_FAULT_SIGBUS, VmFault } from "./fault";
import { maybeUnlockForIo } from "./fault-lock";
import { GFP_KERNEL, GFP_ZERO, allocPage, putPage } from "./page-alloc";
import {
  PG_ERROR, PG_UPTODATE, Page, getPage, isNullPage, lockPage, lockPageKillable, pageLocked, pageTouch, trylockPage, unlockPage,
  waitOnPageLocked,
} from "./page";
import { asyncReadahead, syncReadahead } from "./readahead";
import { lruAdd } from "./lru";
import { mmState } from "./state";

/** The page at pgoff with a reference, or null. */
export function findGetPage(mapping: AddressSpace, pgoff: u32): Page {
  syncPoint();
  chargeCost(C_PAGE_CACHE_LOOKUP);
  const page = changetype<Page>(xaLoad(mapping.pages, pgoff));
  if (isNullPage(page)) return page;
  pageTouch(page);
  getPage(page);
  return page;
}

/** Puts a locked, new page into the cache. Returns 0, -EEXIST or -ENOMEM. The cache takes a reference of its own. */
export function addToPageCache(page: Page, mapping: AddressSpace, pgoff: u32): i32 {
  assert(pageLocked(page) && page.mapping == 0, "[fm-1] a new page is locked and in no mapping");
  syncPoint();
  chargeCost(C_PAGE_CACHE_INSERT);
  spinLockNoSync(mapping.pagesLock, LC_I_PAGES);
  let result: i32 = 0;
  if (xaLoad(mapping.pages, pgoff) != 0) result = -EEXIST;
  else result = xaStore(mapping.pages, pgoff, changetype<usize>(page));
  if (result == 0) {
    page.mapping = changetype<usize>(mapping);
    page.index = pgoff;
    getPage(page);
    mapping.nrPages++;
    mmState().nrFile++;
  }
  spinUnlock(mapping.pagesLock);
  if (result != 0) return result;
  if ((mapping.flags & AS_UNEVICTABLE) == 0) lruAdd(page);
  traceEmit(sched().clockNs, TP_MM_FILEMAP_ADD, sched().cpu.id, sched().current.id, pgoff, mapping.host);
  return 0;
}

/** Takes a locked page out of the cache and drops the cache's reference. The caller holds one of its own. */
export function deleteFromPageCache(page: Page): void {
  assert(pageLocked(page), "[page-2] mapping changes under the page lock");
  assert(page.mapcount == 0, "a page leaves the cache unmapped");
  const mapping = changetype<AddressSpace>(page.mapping);
  spinLockNoSync(mapping.pagesLock, LC_I_PAGES);
  xaErase(mapping.pages, page.index);
  if (!(MUTANTS && mutant(M_TRUNCATE_KEEPS_MAPPING))) page.mapping = 0;
  assert(mapping.nrPages > 0, "[as-1] a mapping counts its pages");
  mapping.nrPages--;
  mmState().nrFile--;
  spinUnlock(mapping.pagesLock);
  traceEmit(sched().clockNs, TP_MM_FILEMAP_DELETE, sched().cpu.id, 0, page.index, mapping.host);
  putPage(page);
}

/** Makes a locked page at pgoff; another's when one came first. Null on ENOMEM. May sleep. */
function newCachePage(mapping: AddressSpace, pgoff: u32, gfp: u32): Page {
  let again = true;
  while (true) {
    const page = allocPage(gfp);
    if (isNullPage(page)) return page;
    lockPage(page);
    const result = addToPageCache(page, mapping, pgoff);
    if (result == 0) return page;
    unlockPage(page);
    // The cache's node needs a frame too, and object caches do not reclaim: one is made free for it, once.
    const spare = again && result == -ENOMEM ? allocPage(gfp) : changetype<Page>(0);
    again = false;
    putPage(page);
    if (result != -ENOMEM) return lockCached(mapping, pgoff);
    if (isNullPage(spare)) return spare;
    putPage(spare);
  }
}

/** The cached page, locked and referenced, or null when there is none (any more). */
function lockCached(mapping: AddressSpace, pgoff: u32): Page {
  while (true) {
    const page = findGetPage(mapping, pgoff);
    if (isNullPage(page)) return page;
    lockPage(page);
    if (page.mapping == changetype<usize>(mapping)) return page;
    unlockPage(page);
    putPage(page);
  }
}

/** The page at pgoff, found or new (zeroed, not uptodate), locked, referenced. Null on ENOMEM. */
export function grabCachePage(mapping: AddressSpace, pgoff: u32): Page {
  while (true) {
    const found = lockCached(mapping, pgoff);
    if (!isNullPage(found)) return found;
    const page = newCachePage(mapping, pgoff, GFP_KERNEL | GFP_ZERO);
    if (!isNullPage(page)) return page;
    if (xaLoad(mapping.pages, pgoff) == 0) return page;
  }
}

/** Reads one locked page through the filesystem and waits. Returns 0 or -errno; the page is unlocked. */
function readLockedPage(file: File, mapping: AddressSpace, page: Page): i32 {
  page.clear(PG_ERROR);
  const f = mapping.ops.readPage;
  const result = f(file, page);
  if (result != 0) return result;
  waitOnPageLocked(page);
  return page.test(PG_UPTODATE) ? 0 : -EIO;
}

/** The page at pgoff, uptodate, unlocked, referenced; null on error, which goes to *errno (i32) as -errno. */
export function readCachePage(file: File, pgoff: u32, errno: usize): Page {
  const mapping = file.mapping;
  store<i32>(errno, 0);
  while (true) {
    let page = findGetPage(mapping, pgoff);
    if (isNullPage(page)) {
      syncReadahead(file, mapping, pgoff);
      page = grabCachePage(mapping, pgoff);
      if (isNullPage(page)) {
        store<i32>(errno, -ENOMEM);
        return page;
      }
      if (page.test(PG_UPTODATE)) unlockPage(page);
    } else {
      asyncReadahead(file, mapping, page, pgoff);
      if (page.test(PG_UPTODATE)) return page;
      lockPage(page);
      if (page.mapping == 0 || page.test(PG_UPTODATE)) unlockPage(page);
    }
    if (page.mapping == 0) {
      putPage(page);
      continue;
    }
    if (page.test(PG_UPTODATE)) return page;
    const result = readLockedPage(file, mapping, page);
    if (result == 0 && page.mapping == changetype<usize>(mapping)) return page;
    putPage(page);
    if (result != 0) {
      store<i32>(errno, result);
      return changetype<Page>(0);
    }
  }
}

/** Pages that a file of this size has. */
export function filePages(sizeBytes: u64): u64 {
  return (sizeBytes + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

/** Locks the fault's page; drops the fault lock for a wait when the regime and the flags allow. False: RETRY follows. */
function lockPageMaybeDrop(vmf: VmFault, page: Page): bool {
  if (trylockPage(page)) return true;
  if (maybeUnlockForIo(vmf)) {
    if ((vmf.flags & FAULT_FLAG_KILLABLE) != 0) {
      if (lockPageKillable(page) != 0) return false;
    } else lockPage(page);
    return true;
  }
  lockPage(page);
  return true;
}

/** ->fault of a file mapping: the page at vmf.pgoff, locked. */
export function filemapFault(vmf: VmFault): u32 {
  const file = vmf.file;
  const mapping = file.mapping;
  if (vmf.pgoff >= filePages(mapping.sizeBytes)) return VM_FAULT_SIGBUS;
  bacikUseCached(vmf, mapping);
  let page = findGetPage(mapping, vmf.pgoff);
  let major: u32 = 0;
  if (isNullPage(page)) {
    major = VM_FAULT_MAJOR;
    traceEmit(sched().clockNs, TP_MAJOR_FAULT, sched().cpu.id, sched().current.id, vmf.address, vmf.pgoff);
    page = missingPage(vmf, mapping);
    if (isNullPage(page)) return vmf.dropped != 0 ? VM_FAULT_RETRY : VM_FAULT_OOM;
  } else {
    asyncReadahead(file, mapping, page, vmf.pgoff);
    if (!lockPageMaybeDrop(vmf, page)) {
      putPage(page);
      return VM_FAULT_RETRY;
    }
  }
  return checkFaultPage(vmf, mapping, page, major);
}

/** Starts the read of a missing page; returns it locked, or null (ENOMEM). */
function missingPage(vmf: VmFault, mapping: AddressSpace): Page {
  syncReadahead(vmf.file, mapping, vmf.pgoff);
  let page = findGetPage(mapping, vmf.pgoff);
  if (isNullPage(page)) page = newCachePage(mapping, vmf.pgoff, GFP_KERNEL);
  else if (!lockPageMaybeDrop(vmf, page)) {
    putPage(page);
    return changetype<Page>(0);
  }
  return page;
}

/** The page is locked: is it still ours, uptodate, below i_size? */
function checkFaultPage(vmf: VmFault, mapping: AddressSpace, page: Page, major: u32): u32 {
  if (page.mapping != changetype<usize>(mapping)) {
    unlockPage(page);
    putPage(page);
    return vmf.dropped != 0 ? VM_FAULT_RETRY : filemapFault(vmf);
  }
  if (!page.test(PG_UPTODATE)) {
    maybeUnlockForIo(vmf);
    const result = readLockedPage(vmf.file, mapping, page);
    if (result != 0) {
      vmf.error = result;
      putPage(page);
      // An error after the drop is found again by the locked pass (SCENARIOS S16 b).
      return vmf.dropped != 0 ? VM_FAULT_RETRY : VM_FAULT_SIGBUS;
    }
    if (vmf.dropped != 0) {
      putPage(page);
      return VM_FAULT_RETRY | major;
    }
    lockPage(page);
    return checkFaultPage(vmf, mapping, page, major);
  }
  if (vmf.dropped != 0 || vmf.pgoff >= filePages(mapping.sizeBytes)) {
    unlockPage(page);
    putPage(page);
    return vmf.dropped != 0 ? VM_FAULT_RETRY | major : VM_FAULT_SIGBUS;
  }
  traceEmit(sched().clockNs, TP_MM_FILEMAP_FAULT, sched().cpu.id, sched().current.id, vmf.pgoff, mapping.host);
  vmf.page = page;
  return VM_FAULT_LOCKED | major;
}
