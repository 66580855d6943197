/*
 * Writeback: who writes dirty pages, when, and who waits for it.
 *
 *     dirty pages of the machine   0 ....... background ....... threshold .......
 *                                            flusher writes      dirtiers sleep (balanceDirtyPages)
 *
 *     flusher:  asleep --a mapping gets dirty--> asleep until the oldest is expired --expired, or over background--> writes
 *
 * Interface: writebackInit, balanceDirtyPages, nextDirtyPage, writeMapping, filemapFdatawait, filemapWriteAndWait,
 *            filemapCheckErrors, mappingSetError, fileCheckWbError, wakeFlusher, waitForStablePage, pagePrepare, pageUnprepare.
 * Invariants:
 *   [wb-3] a mapping is in the dirty list exactly while it has dirty pages, oldest first.
 *   [wb-4] a dirtier leaves balanceDirtyPages only below the threshold, killed, or when nothing can be written.
 *   [wb-5] the flusher holds a reference of the inode whose pages it writes; one that is being evicted it leaves alone.
 * Locks: none held on entry of anything here that may sleep.
 * Why not Linux's bandwidth estimation: it smooths pauses over seconds; a fault feels the threshold, and that is exact.
 */
import { EIO, ENOSPC } from "../lib/errno";
import { XA_MARK_0, XA_MARK_1, XaCursor, xaFindMarked } from "../lib/xarray";
import { ListHead, listAddTail, listDelInit, listEmpty, listFirst } from "../lib/list";
import { M_ERRSEQ_SILENT, M_MSYNC_NO_WAIT, M_UNPREPARE_SKIPPED, mutant } from "../lib/mutant";
import { traceEmit } from "../lib/trace";
import { TP_BALANCE_DIRTY_PAGES, TP_WAIT_ON_PAGE_WRITEBACK, TP_WRITEBACK_SINGLE_INODE, TP_WRITEBACK_START } from "../tracepoints";
import { C_BALANCE_DIRTY, C_PAGE_CACHE_LOOKUP, chargeCost } from "../sched/cost";
import { syncPoint } from "../sched/core";
import { Event, eventCancel } from "../sched/event";
import { LC_MMAP_SEM } from "../sched/lock-class";
import { lockClassHeld } from "../sched/lockdep";
import { TASK_INTERRUPTIBLE, TASK_KILLABLE, TF_KTHREAD, TF_MEMALLOC, Task, currentTask, isNullTask, sched } from "../sched/state";
import { taskCreate, taskStart } from "../sched/task";
import { sleepOn, sleepOnTimeout, waitQueueActive, waitQueueInit, wakeAll } from "../sched/wait-queue";
import { AS_EIO, AS_ENOSPC, AS_STABLE_WRITES, AddressSpace, File } from "./address-space";
import { errseqCheckAndAdvance, errseqSet } from "./errseq";
import { putPage } from "./page-alloc";
import { PG_WRITEBACK, Page, getPage, pageLocked, waitOnPageWriteback } from "./page";
import { mmState } from "./state";

/** Linux's vm.dirty_ratio and vm.dirty_background_ratio, percent of frames. */
const DIRTY_RATIO: u32 = 20;
const BACKGROUND_RATIO: u32 = 10;
/** Linux's vm.dirty_expire_centisecs: 30 s; and the longest pause of a throttled dirtier, 200 ms. */
const DIRTY_EXPIRE_NS: u64 = 30_000_000_000;
const MAX_PAUSE_NS: u64 = 200_000_000;
const WAIT_FLUSHER: u32 = 18;
const WAIT_THROTTLE: u32 = 19;
const WAIT_RECLAIM: u32 = 21;

/** Sets the thresholds from the frames that are free at boot. */
export function writebackInit(): void {
  const m = mmState();
  waitQueueInit(m.flusherWait, WAIT_FLUSHER);
  waitQueueInit(m.throttleWait, WAIT_THROTTLE);
  waitQueueInit(m.reclaimWait, WAIT_RECLAIM);
  m.dirtyThresh = m.nFrames / 100 * DIRTY_RATIO + ((m.nFrames % 100) * DIRTY_RATIO) / 100;
  m.dirtyBackground = m.nFrames / 100 * BACKGROUND_RATIO + ((m.nFrames % 100) * BACKGROUND_RATIO) / 100;
}

function dirtyOrInFlight(): u32 {
  return mmState().nrDirty + mmState().nrWriteback;
}

/** Called by page-writeback when a mapping's first page gets dirty. Does not sleep. */
export function mappingBecameDirty(mapping: AddressSpace): void {
  const m = mmState();
  mapping.dirtiedNs = sched().clockNs;
  listAddTail(mapping.dirtyLink, m.dirtyMappings);
  if (isNullTask(m.flusher)) startFlusher();
  else wakeAll(m.flusherWait);
}

/** Nothing left to expire: the flusher sleeps without a time, so that a machine with nothing to do is idle. */
export function mappingBecameClean(mapping: AddressSpace): void {
  listDelInit(mapping.dirtyLink);
  const m = mmState();
  if (listEmpty(m.dirtyMappings) && waitQueueActive(m.flusherWait)) eventCancel(changetype<Event>(m.flusher.timer));
}

/** Without a task for it (EAGAIN) dirtiers and fsync write by themselves; the next dirty mapping tries again. */
function startFlusher(): void {
  const task = taskCreate(flusherEntry, TF_KTHREAD);
  if (isNullTask(task)) return;
  mmState().flusher = task;
  taskStart(task);
}

/** Wakes the flusher: the machine is over the background threshold. */
export function wakeFlusher(): void {
  mmState().flusherKicked = 1;
  wakeAll(mmState().flusherWait);
}

function flusherEntry(task: Task): void {
  assert((task.flags & TF_KTHREAD) != 0, "the flusher is a kernel thread");
  while (true) {
    const m = mmState();
    if (listEmpty(m.dirtyMappings)) {
      m.flusherKicked = 0;
      sleepOn(m.flusherWait, TASK_INTERRUPTIBLE);
      continue;
    }
    const oldest = mappingOfDirtyLink(changetype<usize>(listFirst(m.dirtyMappings)));
    const dueNs = oldest.dirtiedNs + DIRTY_EXPIRE_NS;
    const now = sched().clockNs;
    const over = dirtyOrInFlight() > m.dirtyBackground && m.nrDirty != 0;
    if (m.flusherKicked == 0 && !over && now < dueNs) {
      sleepOnTimeout(m.flusherWait, TASK_INTERRUPTIBLE, dueNs - now);
      continue;
    }
    m.flusherKicked = 0;
    writeOldest(oldest);
  }
}

export function mappingOfDirtyLink(link: usize): AddressSpace {
  return changetype<AddressSpace>(link - offsetof<AddressSpace>("dirtyNext"));
}

/** One pass over the mapping at the head of the list, which goes to its tail. */
function writeOldest(mapping: AddressSpace): void {
  const m = mmState();
  const before = m.nrDirty;
  listDelInit(mapping.dirtyLink);
  listAddTail(mapping.dirtyLink, m.dirtyMappings);
  mapping.dirtiedNs = sched().clockNs;
  const host = mapping.host;
  const igrab = m.igrabFn;
  if (igrab(host)) {
    writeMapping(mapping, 0, u32.MAX_VALUE, false);
    const iput = mmState().iputFn;
    iput(host);
  }
  wakeAll(mmState().throttleWait);
  // No progress (every page is under writeback, the inode is being evicted, the filesystem cannot write now): wait for somebody to say so.
  if (mmState().nrDirty >= before) sleepOnTimeout(mmState().flusherWait, TASK_INTERRUPTIBLE, MAX_PAUSE_NS / 20);
}

/** ->writepages of a range, `sync` waiting for pages that are under writeback. Returns 0 or -errno of the start of IO. */
export function writeMapping(mapping: AddressSpace, startPgoff: u32, endPgoff: u32, sync: bool): i32 {
  const f = mapping.ops.writepages;
  if (changetype<usize>(f) == 0 || mapping.nrDirty == 0) return 0;
  traceEmit(sched().clockNs, TP_WRITEBACK_START, sched().cpu.id, sched().current.id, mapping.host, mapping.nrDirty);
  const result = f(mapping, startPgoff, endPgoff, sync ? 1 : 0);
  traceEmit(sched().clockNs, TP_WRITEBACK_SINGLE_INODE, sched().cpu.id, sched().current.id, mapping.host, <u64>result);
  return result;
}

function nextMarked(mapping: AddressSpace, pgoff: u32, endPgoff: u32, mark: u32): Page {
  syncPoint();
  chargeCost(C_PAGE_CACHE_LOOKUP);
  const page = changetype<Page>(xaFindMarked(mapping.pages, pgoff, endPgoff, mark, changetype<XaCursor>(mmState().cursor)));
  if (changetype<usize>(page) != 0) getPage(page);
  return page;
}

/** The first dirty page of [pgoff, endPgoff] with a reference, not locked; null when there is none. */
export function nextDirtyPage(mapping: AddressSpace, pgoff: u32, endPgoff: u32): Page {
  return nextMarked(mapping, pgoff, endPgoff, XA_MARK_0);
}

function waitTraced(page: Page, mapping: AddressSpace): void {
  if (!page.test(PG_WRITEBACK)) return;
  const s = sched();
  traceEmit(s.clockNs, TP_WAIT_ON_PAGE_WRITEBACK, s.cpu.id, s.current.id, page.index, mapping.host);
  waitOnPageWriteback(page);
}

/** Waits for all writeback of [startPgoff, endPgoff] that has begun. */
export function filemapFdatawait(mapping: AddressSpace, startPgoff: u32, endPgoff: u32): void {
  let at = startPgoff;
  while (mapping.nrWriteback != 0) {
    const page = nextMarked(mapping, at, endPgoff, XA_MARK_1);
    if (changetype<usize>(page) == 0) return;
    const index = page.index;
    waitTraced(page, mapping);
    putPage(page);
    if (index == endPgoff) return;
    at = index + 1;
  }
}

/** Writes the dirty pages of a range and waits for them. Returns -errno of the start; errors of the IO: fileCheckWbError. */
export function filemapWriteAndWait(mapping: AddressSpace, startPgoff: u32, endPgoff: u32): i32 {
  const error = writeMapping(mapping, startPgoff, endPgoff, true);
  if (!(MUTANTS && mutant(M_MSYNC_NO_WAIT))) filemapFdatawait(mapping, startPgoff, endPgoff);
  return error;
}

/**
 * Writeback of the mapping failed: every file open on it will hear of it once, and so will every file open on the filesystem, by
 * syncfs. May be called from an event handler.
 */
export function mappingSetError(mapping: AddressSpace, errno: i32): void {
  errseqSet(changetype<usize>(mapping) + offsetof<AddressSpace>("wbErr"), errno);
  if (mapping.sbErr != 0) errseqSet(mapping.sbErr, errno);
  mapping.flags |= errno == -ENOSPC ? AS_ENOSPC : AS_EIO;
}

/** For those that write a range and are no fsync: -ENOSPC or -EIO when writeback failed since it was last asked. */
export function filemapCheckErrors(mapping: AddressSpace): i32 {
  const flags = mapping.flags;
  mapping.flags = flags & ~(AS_ENOSPC | AS_EIO);
  if ((flags & AS_EIO) != 0) return -EIO;
  return (flags & AS_ENOSPC) != 0 ? -ENOSPC : 0;
}

/** -errno when writeback failed since this file last asked. Who asks next for a range of its own is not told of that again. */
export function fileCheckWbError(file: File): i32 {
  file.mapping.flags &= ~(AS_ENOSPC | AS_EIO);
  const at = changetype<usize>(file.mapping) + offsetof<AddressSpace>("wbErr");
  if (MUTANTS && mutant(M_ERRSEQ_SILENT)) return 0;
  return errseqCheckAndAdvance(at, changetype<usize>(file) + offsetof<File>("wbErr"));
}

/** Pages that may still be dirtied before somebody must look at the thresholds. */
export function overDirtyThreshold(): bool {
  return dirtyOrInFlight() > mmState().dirtyThresh;
}

/**
 * A dirtier passes by after it dirtied pages of the mapping: over the background threshold it wakes the flusher, over the
 * threshold it sleeps until writeback has caught up ([wb-4]).
 */
export function balanceDirtyPages(mapping: AddressSpace): void {
  const m = mmState();
  if (changetype<usize>(mapping.ops.writepages) == 0 || (currentTask().flags & (TF_MEMALLOC | TF_KTHREAD)) != 0) return;
  if (dirtyOrInFlight() <= m.dirtyBackground) return;
  chargeCost(C_BALANCE_DIRTY);
  wakeFlusher();
  if (!overDirtyThreshold()) return;
  const s = sched();
  const startNs = s.clockNs;
  const locked = lockClassHeld(LC_MMAP_SEM);
  while (overDirtyThreshold() && currentTask().fatalSignal == 0) {
    if (mmState().nrDirty == 0 && mmState().nrWriteback == 0) break;
    if (isNullTask(mmState().flusher)) writeMapping(mapping, 0, u32.MAX_VALUE, false);
    sleepOnTimeout(mmState().throttleWait, TASK_KILLABLE, MAX_PAUSE_NS);
  }
  const after = sched();
  mmState().dirtyThrottleNs += after.clockNs - startNs;
  mmState().dirtyThrottles++;
  traceEmit(after.clockNs, TP_BALANCE_DIRTY_PAGES, after.cpu.id, after.current.id, after.clockNs - startNs, locked ? 1 : 0);
}

/** IO of a page has ended: dirtiers that wait may look again. */
export function writebackEnded(): void {
  const m = mmState();
  if (dirtyOrInFlight() <= m.dirtyThresh) wakeAll(m.throttleWait);
  wakeAll(m.reclaimWait);
}

/** Where the filesystem needs pages that do not change under IO: waits for the writeback of one. */
export function waitForStablePage(page: Page): void {
  if (page.mapping == 0) return;
  const mapping = changetype<AddressSpace>(page.mapping);
  if ((mapping.flags & AS_STABLE_WRITES) != 0) waitTraced(page, mapping);
}

/** Blocks of the first endBytes of the page have space: what page_mkwrite promises ([mk-1]). The page is locked. */
export function pagePrepare(page: Page, endBytes: u64): void {
  assert(pageLocked(page), "[mk-2] a page is prepared under its lock");
  if (page.preparedEnd < endBytes) page.preparedEnd = endBytes;
}

/** Blocks of the page lost their space (a partial hole punch): prepared before is not prepared now (S9, S10). */
export function pageUnprepare(page: Page): void {
  assert(pageLocked(page), "[mk-2] a page is prepared under its lock");
  if (MUTANTS && mutant(M_UNPREPARE_SKIPPED)) return;
  page.preparedEnd = 0;
  page.generation++;
}

/** The dirty list, for walks. */
export function dirtyMappingsHead(): ListHead {
  return mmState().dirtyMappings;
}
