/*
 * The memory of another address space: bytes to and from its pages, pinned one by one, and the copy into a page that is pinned.
 *
 * Interface: accessRemoteVm(mm, address, kernel, lenBytes, write), storeToPinned(page, offset, source, n).
 * Invariants:
 *   [gup-5] a store goes into a page of a file only under its lock and while page_mkwrite's answer holds ([mk-1]): writeback may
 *           have cleaned the page since it was pinned, and then it must be asked for again.
 *   [gup-6] accessRemoteVm holds mmap_sem from its first page to its last; whatever page_mkwrite does, it does under it.
 * Locks: mmap_sem of the other mm for reading (accessRemoteVm takes it) -> page lock.
 * Why not store without the page lock and mark the page dirty afterwards, as Linux does: a page that is dirtied behind the
 * filesystem's back has no space promised to it.
 */
import { M_PIN_STORE_UNASKED, mutant } from "../lib/mutant";
import { PAGE_SIZE } from "../memlayout";
import { C_COPY_USER_PAGE, chargeCost } from "../sched/cost";
import { downReadKillable, upRead } from "../sched/rwsem";
import { currentTask } from "../sched/state";
import { AS_UNEVICTABLE, AddressSpace } from "./address-space";
import { FOLL_WRITE, getUserPages } from "./gup";
import { REJECT_FORBIDDEN, REJECT_NONE, pageStillPrepared } from "./mkwrite";
import { MmStruct } from "./mm-struct";
import { putPage } from "./page-alloc";
import { PG_SWAPBACKED, Page, lockPage, pageAddress, unlockPage } from "./page";

/** Where a task notes the page of one pin, in its scratch; read back before anything else happens. */
const PIN_SLOT: u32 = 88;

/** [gup-5] The page, locked, takes stores as it would through a writable PTE. */
function takesStores(page: Page): bool {
  // After a fork the page is two processes', and the store is for one of them: pinning again breaks the copy on write.
  if (page.test(PG_SWAPBACKED)) return page.mapcount <= 1;
  // Of no file any more: nobody will write it back.
  if (page.mapping == 0) return true;
  const mapping = changetype<AddressSpace>(page.mapping);
  if ((mapping.flags & AS_UNEVICTABLE) != 0) return true;
  const why = pageStillPrepared(page, mapping, page.index);
  // What was forbidden after the PTE became writable does not take the PTE back.
  return why == REJECT_NONE || why == REJECT_FORBIDDEN;
}

/** Copies into a page pinned with FOLL_WRITE. False: it was cleaned since, nothing was copied, pin it again. May sleep. */
export function storeToPinned(page: Page, offset: u32, source: usize, n: u32): bool {
  assert(page.refcount > 0, "[gup-2] a page that is stored to is pinned");
  assert(offset + n <= PAGE_SIZE, "a pinned page is one page");
  lockPage(page);
  let takes = takesStores(page);
  if (MUTANTS && !takes && mutant(M_PIN_STORE_UNASKED)) takes = true;
  if (takes) {
    chargeCost(C_COPY_USER_PAGE);
    memory.copy(pageAddress(page) + offset, source, n);
  }
  unlockPage(page);
  return takes;
}

/** Copies out of a pinned page. */
function loadFromPinned(page: Page, offset: u32, target: usize, n: u32): void {
  chargeCost(C_COPY_USER_PAGE);
  memory.copy(target, pageAddress(page) + offset, n);
}

/**
 * Copies between kernel memory and [address, address + lenBytes) of `mm`, which the caller has pinned and which may be anybody's.
 * Faults get no ALLOW_RETRY ([gup-1]). Returns the bytes copied: fewer where the memory is not there or may not be had so.
 */
export function accessRemoteVm(mm: MmStruct, address: u64, kernel: usize, lenBytes: u32, write: bool): u32 {
  if (downReadKillable(mm.mmapSem) != 0) return 0;
  let done: u32 = 0;
  while (done < lenBytes && currentTask().fatalSignal == 0) {
    const at = address + done;
    const offset = <u32>at & (PAGE_SIZE - 1);
    const n = min<u32>(PAGE_SIZE - offset, lenBytes - done);
    const slot = currentTask().gather + PIN_SLOT;
    if (getUserPages(mm, at, 1, write ? FOLL_WRITE : 0, slot) != 1) break;
    const page = changetype<Page>(<usize>load<u32>(currentTask().gather + PIN_SLOT));
    let copied: bool = true;
    if (write) copied = storeToPinned(page, offset, kernel + done, n);
    else loadFromPinned(page, offset, kernel + done, n);
    putPage(page);
    if (copied) done += n;
  }
  upRead(mm.mmapSem);
  return done;
}
