/*
 * The LRU lists of evictable file pages: inactive and active, second chance.
 *
 *     new --lruAdd--> inactive (tail) --referenced twice--> active (tail) --reclaim rotates--> inactive --clean, unmapped--> free
 *
 * Interface: lruAdd, lruDel, markPageAccessed, lruRotate.
 * Invariants: [lru-1] PG_LRU is set exactly on the pages in a list, PG_ACTIVE says which; the counters count them.
 * Locks: lru_lock (spinlock).
 * Why not anonymous lists: without swap an anonymous page cannot be reclaimed (DECISIONS), so it is only counted.
 */
import { listAddTail, listDel } from "../lib/list";
import { LC_LRU_LOCK } from "../sched/lock-class";
import { spinLockNoSync, spinUnlock } from "../sched/spinlock";
import { PG_ACTIVE, PG_LRU, PG_REFERENCED, Page } from "./page";
import { mmState } from "./state";

/** A page of the page cache becomes evictable. */
export function lruAdd(page: Page): void {
  const m = mmState();
  assert(!page.test(PG_LRU), "[lru-1] a page is in one list");
  spinLockNoSync(m.lruLock, LC_LRU_LOCK);
  page.set(PG_LRU);
  page.clear(PG_ACTIVE);
  listAddTail(page.lru, m.inactive);
  m.nrInactive++;
  spinUnlock(m.lruLock);
}

/** Takes the page off its list. */
export function lruDel(page: Page): void {
  const m = mmState();
  spinLockNoSync(m.lruLock, LC_LRU_LOCK);
  assert(page.test(PG_LRU), "[lru-1] the page is in a list");
  listDel(page.lru);
  page.clear(PG_LRU);
  if (page.test(PG_ACTIVE)) m.nrActive--;
  else m.nrInactive--;
  page.clear(PG_ACTIVE);
  spinUnlock(m.lruLock);
}

/** A use of the page: first REFERENCED, then active. */
export function markPageAccessed(page: Page): void {
  if (!page.test(PG_REFERENCED)) {
    page.set(PG_REFERENCED);
    return;
  }
  if (!page.test(PG_LRU) || page.test(PG_ACTIVE)) return;
  lruMove(page, true);
  page.clear(PG_REFERENCED);
}

/** Moves the page to the tail of the active or the inactive list. */
export function lruMove(page: Page, toActive: bool): void {
  const m = mmState();
  spinLockNoSync(m.lruLock, LC_LRU_LOCK);
  assert(page.test(PG_LRU), "[lru-1] the page is in a list");
  listDel(page.lru);
  if (page.test(PG_ACTIVE)) m.nrActive--;
  else m.nrInactive--;
  if (toActive) {
    page.set(PG_ACTIVE);
    listAddTail(page.lru, m.active);
    m.nrActive++;
  } else {
    page.clear(PG_ACTIVE);
    listAddTail(page.lru, m.inactive);
    m.nrInactive++;
  }
  spinUnlock(m.lruLock);
}
