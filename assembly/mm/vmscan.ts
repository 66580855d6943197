/*
 * Reclaim: when frames run short, clean file pages are dropped, second chance first.
 *
 *     inactive head --locked, writeback, pinned--> tail        --referenced--> active (or tail, once)
 *                   --mapped--> unmapped through rmap           --dirty--> writepages, tail
 *                   --clean, unmapped, only the cache's reference--> out of the cache, free
 *     active head moves to inactive while inactive is the smaller list
 *
 * Interface: reclaimPages(n), vmscanInit.
 * Invariants:
 *   [vs-1] a page is dropped only locked, clean, not under writeback, unmapped, with refcount 2 (cache and reclaim).
 *   [vs-2] reclaim does not recurse: it runs with TF_MEMALLOC.
 * Locks: lru_lock to pick; page lock by trying, never by waiting.
 * Why not kswapd as well: direct reclaim is the part that a fault feels; a background thread would only hide it.
 */
import { listEmpty, listFirst } from "../lib/list";
import { traceEmit } from "../lib/trace";
import { TP_VMSCAN_RECLAIM_BEGIN, TP_VMSCAN_RECLAIM_END } from "../tracepoints";
import { C_LRU_SCAN, chargeCost } from "../sched/cost";
import { TF_MEMALLOC, isNullTask, sched } from "../sched/state";
import { AddressSpace } from "./address-space";
import { deleteFromPageCache } from "./filemap";
import { lruDel, lruMove } from "./lru";
import { putPage } from "./page-alloc";
import { PG_DIRTY, PG_REFERENCED, PG_WRITEBACK, Page, getPage, pageOfLru, trylockPage, unlockPage } from "./page";
import { pageReferenced, pageUnmap } from "./rmap";
import { mmState } from "./state";

/** Pages looked at per page wanted, at most. */
const SCAN_FACTOR: u32 = 8;

export function vmscanInit(): void {
  const m = mmState();
  m.reclaimFn = reclaimPages;
  m.lruDelFn = lruDel;
}

/** Balances the lists: the head of active goes to inactive while active is the longer one. */
function shrinkActive(): void {
  const m = mmState();
  let moves: u32 = 32;
  while (moves != 0 && m.nrActive > m.nrInactive && !listEmpty(m.active)) {
    const page = pageOfLru(changetype<usize>(listFirst(m.active)));
    page.clear(PG_REFERENCED);
    lruMove(page, false);
    moves--;
  }
}

/** Tries to drop one page, which is locked and referenced by the caller. True when it left the cache. */
function tryDrop(page: Page): bool {
  if (page.mapping == 0 || page.test(PG_WRITEBACK)) return false;
  const referenced = pageReferenced(page) != 0;
  if (referenced || page.test(PG_REFERENCED)) {
    // Second chance: the first sighting costs the flag, the second promotes.
    if (referenced && page.test(PG_REFERENCED)) lruMove(page, true);
    if (referenced) page.set(PG_REFERENCED);
    else page.clear(PG_REFERENCED);
    return false;
  }
  if (page.mapcount != 0) pageUnmap(page);
  if (page.mapcount != 0 || page.test(PG_DIRTY)) return false;
  const mapping = changetype<AddressSpace>(page.mapping);
  const release = mapping.ops.releasePage;
  if (changetype<usize>(release) != 0 && release(page) == 0) return false;
  // [vs-1] Somebody else's reference keeps the page.
  if (page.refcount != 2 || page.mapcount != 0 || page.test(PG_DIRTY)) return false;
  deleteFromPageCache(page);
  return true;
}

/** Starts writeback of the page's file around it, if the filesystem can. */
function writeAround(page: Page): void {
  if (page.mapping == 0 || !page.test(PG_DIRTY)) return;
  const mapping = changetype<AddressSpace>(page.mapping);
  const f = mapping.ops.writepages;
  if (changetype<usize>(f) != 0) f(mapping, page.index, page.index + 31, 0);
}

function scanOne(): bool {
  const m = mmState();
  const page = pageOfLru(changetype<usize>(listFirst(m.inactive)));
  m.pgscan++;
  chargeCost(C_LRU_SCAN);
  getPage(page);
  lruMove(page, false);
  let dropped: bool = false;
  if (trylockPage(page)) {
    dropped = tryDrop(page);
    unlockPage(page);
    if (!dropped) writeAround(page);
  }
  putPage(page);
  if (dropped) mmState().pgsteal++;
  return dropped;
}

/** Frees up to `want` frames; returns how many. May sleep in writeback. */
export function reclaimPages(want: u32): u32 {
  const task = sched().current;
  if (isNullTask(task) || (task.flags & TF_MEMALLOC) != 0) return 0;
  task.flags |= TF_MEMALLOC;
  traceEmit(sched().clockNs, TP_VMSCAN_RECLAIM_BEGIN, sched().cpu.id, task.id, want, mmState().nrInactive);
  let freed: u32 = 0;
  let scans = want * SCAN_FACTOR + mmState().nrInactive;
  shrinkActive();
  while (freed < want && scans != 0 && !listEmpty(mmState().inactive)) {
    if (scanOne()) freed++;
    scans--;
    if ((scans & 31) == 0) shrinkActive();
  }
  sched().current.flags &= ~TF_MEMALLOC;
  traceEmit(sched().clockNs, TP_VMSCAN_RECLAIM_END, sched().cpu.id, sched().current.id, freed, 0);
  return freed;
}
