/*
 * A page frame: `struct page`. One 64-byte entry per frame, so that two CPUs never share a line over two pages.
 *
 *     0 flags | 4 refcount | 8 mapping | 12 index | 16 mapcount | 20 priv | 24 lru.next | 28 lru.prev
 *     32 line busy until (8) | 40 owner, socket | 44 last transfer | 48 generation | 52 memcg | 56 prepared end (8)
 *
 *     flags:  31 WAITERS | ... | 9 MLOCKED | 8 SWAPBACKED | 7 ACTIVE | 6 REFERENCED | 5 LRU
 *             4 ERROR | 3 WRITEBACK | 2 UPTODATE | 1 DIRTY | 0 LOCKED
 *
 * Interface: Page, PG_*, pfnToPage, pageToPfn, pageAddress, getPage, pageTouch, lockPage, trylockPage, unlockPage,
 *            waitOnPageLocked, waitOnPageWriteback, checkPage. putPage lives in page-alloc.ts.
 * Invariants:
 *   [page-1] refcount > 0 on every page in use; a free page has refcount 0 and no flags.
 *   [page-2] mapping != 0 means: the page is in that address_space's xarray at `index` (or on its way in or out, locked).
 *   [page-3] mapcount counts the PTEs that map the page; each also holds a reference.
 *   [page-4] LOCKED is held to change mapping, and from prepared-and-dirty until the PTE is installed ([mk-2]).
 * Locks: the page lock is bit 0 of flags; lru links under lru_lock; mapping under page lock and i_pages.
 * Why not folios: one page size keeps every race of SCENARIOS visible; S22's split is out of the model.
 */
import { CacheLine, touchLine } from "../sched/cache-line";
import { lockBit, lockBitKillable, lockBitTry, unlockBit, unlockBitForgotten, waitBitClear, waitBitClearKillable } from "../sched/lock-bit";
import { LC_PAGE_LOCK } from "../sched/lock-class";
import { lockForget } from "../sched/lockdep";
import { syncPoint } from "../sched/core";
import { PAGE_SHIFT } from "../memlayout";
import { ListHead } from "../lib/list";
import { mmState } from "./state";

export const PG_LOCKED: u32 = 0;
export const PG_DIRTY: u32 = 1;
export const PG_UPTODATE: u32 = 2;
export const PG_WRITEBACK: u32 = 3;
export const PG_ERROR: u32 = 4;
export const PG_LRU: u32 = 5;
export const PG_REFERENCED: u32 = 6;
export const PG_ACTIVE: u32 = 7;
export const PG_SWAPBACKED: u32 = 8;
export const PG_MLOCKED: u32 = 9;
/** Readahead marker: touching this page starts the next window. */
export const PG_READAHEAD: u32 = 10;
/** The frame holds a page table. */
export const PG_TABLE: u32 = 11;
/** The frame is in a free list. */
export const PG_BUDDY: u32 = 12;
/** Never freed, never counted: the zero page. */
export const PG_RESERVED: u32 = 13;
/** Filesystem's own use. */
export const PG_PRIVATE: u32 = 14;
/** The frame holds objects (lib/slab.ts), for ever. */
export const PG_SLAB: u32 = 15;

@unmanaged
export class Page {
  flags: u32;
  refcount: i32;
  mapping: usize;
  index: u32;
  mapcount: i32;
  priv: usize;
  lruNext: u32;
  lruPrev: u32;
  lineBusyNs: u64;
  lineOwner: u32;
  lineLastNs: u32;
  /** Bumped when the dirty bit is cleared: "the same dirty" can be told from "dirty again" (S9). */
  generation: u32;
  pad: u32;
  /** Bytes of the page, from its start, that page_mkwrite has prepared (S8). */
  preparedEnd: u64;

  get line(): CacheLine {
    return changetype<CacheLine>(changetype<usize>(this) + offsetof<Page>("lineBusyNs"));
  }
  get lru(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<Page>("lruNext"));
  }
  @inline test(bit: u32): bool {
    return ((this.flags >> bit) & 1) != 0;
  }
  @inline set(bit: u32): void {
    this.flags |= 1 << bit;
  }
  @inline clear(bit: u32): void {
    this.flags &= ~(1 << bit);
  }
}

if (offsetof<Page>() != 64) ERROR("a Page is one cache line");

export function isNullPage(page: Page): bool {
  return changetype<usize>(page) == 0;
}

export function pfnToPage(pfn: u32): Page {
  const m = mmState();
  return changetype<Page>(m.memMap + (pfn - m.firstPfn) * offsetof<Page>());
}

export function pageToPfn(page: Page): u32 {
  const m = mmState();
  return m.firstPfn + <u32>(changetype<usize>(page) - m.memMap) / offsetof<Page>();
}

/** Where the frame lies in linear memory: the guest-physical address and the host's are one. */
export function pageAddress(page: Page): usize {
  return <usize>pageToPfn(page) << PAGE_SHIFT;
}

export function addressToPage(physical: usize): Page {
  return pfnToPage(<u32>(physical >> PAGE_SHIFT));
}

export function pageOfLru(link: usize): Page {
  return changetype<Page>(link - offsetof<Page>("lruNext"));
}

export function getPage(page: Page): void {
  assert(page.refcount > 0, "[page-1] a reference is taken on a page in use");
  page.refcount++;
}

/** An atomic on the page's line (refcount, lock bit): charged once per visit, the rest of the visit is local. */
export function pageTouch(page: Page): void {
  touchLine(page.line);
}

export function pageLocked(page: Page): bool {
  return page.test(PG_LOCKED);
}

export function trylockPage(page: Page): bool {
  syncPoint();
  return lockBitTry(changetype<usize>(page), PG_LOCKED, LC_PAGE_LOCK);
}

export function lockPage(page: Page): void {
  lockBit(changetype<usize>(page), PG_LOCKED, LC_PAGE_LOCK);
}

/** Returns 0, or WAKE_SIGNAL when a fatal signal came first. */
export function lockPageKillable(page: Page): i32 {
  return lockBitKillable(changetype<usize>(page), PG_LOCKED, LC_PAGE_LOCK);
}

export function unlockPage(page: Page): void {
  unlockBit(changetype<usize>(page), PG_LOCKED);
}

/** The running task leaves the page lock to an IO completion, which will unlock the page. */
export function forgetPageLock(page: Page): void {
  lockForget(changetype<usize>(page));
}

/** Unlocks a page whose lock was given away with forgetPageLock, in whatever context its read ends. */
export function unlockForgottenPage(page: Page): void {
  unlockBitForgotten(changetype<usize>(page), PG_LOCKED);
}

export function waitOnPageLocked(page: Page): void {
  waitBitClear(changetype<usize>(page), PG_LOCKED);
}

export function waitOnPageLockedKillable(page: Page): i32 {
  return waitBitClearKillable(changetype<usize>(page), PG_LOCKED);
}

export function waitOnPageWriteback(page: Page): void {
  if (page.test(PG_WRITEBACK)) waitBitClear(changetype<usize>(page), PG_WRITEBACK);
}

export function checkPage(page: Page): void {
  assert(page.refcount >= 0, "[page-1] refcount below zero");
  assert(page.mapcount >= 0, "[page-3] mapcount below zero");
  if (page.refcount == 0) assert(page.mapcount == 0, "[page-1] a free page is mapped");
  else assert(page.refcount >= page.mapcount, "[page-3] every PTE holds a reference");
}
