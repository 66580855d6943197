/*
 * Readahead: a miss reads a window; touching the window's marker page starts the next one before it is needed.
 *
 *     |<-- window: raSize pages from raStart -->|         first window 4 pages (or raPages if the read is at offset 0),
 *        ...   marker (PG_READAHEAD) ...                  each next one twice as long, up to the machine's raPages
 *
 * Interface: syncReadahead(file, mapping, pgoff), asyncReadahead(file, mapping, page, pgoff).
 * Invariants: [ra-1] readahead never reads beyond i_size and never sleeps for a page lock.
 * Locks: pages are added locked, as filemap.ts; the filesystem's completion unlocks them.
 * Why not Linux's whole heuristics: interleaved streams and thrashing detection change no lock on the fault path.
 */
import { traceEmit } from "../lib/trace";
import { xaLoad } from "../lib/xarray";
import { bootConfig } from "../config";
import { TP_READAHEAD, TP_READAHEAD_HIT } from "../tracepoints";
import { sched } from "../sched/state";
import { AddressSpace, File } from "./address-space";
import { addToPageCache, filePages } from "./filemap";
import { GFP_ATOMIC, allocPage, putPage } from "./page-alloc";
import { PG_READAHEAD, Page, forgetPageLock, isNullPage, trylockPage, unlockPage } from "./page";
import { mmState } from "./state";

const FIRST_WINDOW: u32 = 4;

function canReadahead(mapping: AddressSpace): bool {
  return changetype<usize>(mapping.ops.readahead) != 0 && bootConfig().raPages != 0;
}

/** A miss at pgoff: reads a window that starts there. Returns without waiting. */
export function syncReadahead(file: File, mapping: AddressSpace, pgoff: u32): void {
  if (!canReadahead(mapping)) return;
  const max = bootConfig().raPages;
  const sequential = pgoff == file.raPrev + 1 || pgoff == file.raStart + file.raSize;
  let size = sequential ? file.raSize * 2 : FIRST_WINDOW;
  if (size < FIRST_WINDOW) size = FIRST_WINDOW;
  if (size > max) size = max;
  file.raStart = pgoff;
  file.raSize = size;
  readWindow(file, mapping, pgoff, size, size / 2);
}

/** A cached page is used: if it carries the marker, the next window is read. */
export function asyncReadahead(file: File, mapping: AddressSpace, page: Page, pgoff: u32): void {
  file.raPrev = pgoff;
  if (!page.test(PG_READAHEAD)) return;
  page.clear(PG_READAHEAD);
  traceEmit(sched().clockNs, TP_READAHEAD_HIT, sched().cpu.id, sched().current.id, pgoff, mapping.host);
  const max = bootConfig().raPages;
  const start = file.raStart + file.raSize;
  let size = file.raSize * 2;
  if (size > max) size = max;
  file.raStart = start;
  file.raSize = size;
  readWindow(file, mapping, start, size, 0);
}

/** Adds the missing pages of [start, start + size) locked and hands each run of them to the filesystem. */
function readWindow(file: File, mapping: AddressSpace, start: u32, size: u32, markerOffset: u32): void {
  const limit = filePages(mapping.sizeBytes);
  const end = <u64>start + size < limit ? start + size : <u32>limit;
  traceEmit(sched().clockNs, TP_READAHEAD, sched().cpu.id, sched().current.id, start, size);
  let runStart = start;
  for (let pgoff = start; pgoff < end; pgoff++) {
    const added = addOne(mapping, pgoff, pgoff == start + markerOffset && pgoff != start);
    if (added) continue;
    submitRun(mapping, runStart, pgoff);
    runStart = pgoff + 1;
  }
  if (runStart < end) submitRun(mapping, runStart, end);
  assert(file.refcount > 0, "the file stays pinned while it is read");
}

function submitRun(mapping: AddressSpace, start: u32, end: u32): void {
  if (start >= end) return;
  mmState().readaheadPages += end - start;
  const f = mapping.ops.readahead;
  f(mapping, start, end - start);
}

/** A new locked page at pgoff; its lock goes to the completion. False when it is there already, or memory is short. */
function addOne(mapping: AddressSpace, pgoff: u32, marker: bool): bool {
  if (xaLoad(mapping.pages, pgoff) != 0) return false;
  const page = allocPage(GFP_ATOMIC);
  if (isNullPage(page)) return false;
  const locked = trylockPage(page);
  assert(locked, "a new page is nobody's");
  if (addToPageCache(page, mapping, pgoff) != 0) {
    unlockPage(page);
    putPage(page);
    return false;
  }
  if (marker) page.set(PG_READAHEAD);
  forgetPageLock(page);
  putPage(page);
  return true;
}
