/*
 * The page allocator: one zone of order-0 frames, per-CPU lists in front of it.
 *
 *     allocPage:  per-CPU list --empty--> zone (batch of 32 under zone_lock) --low--> reclaim --none--> OOM kill --none--> null
 *     putPage:    last reference -> per-CPU list --over 96--> zone
 *
 * Interface: pageAllocInit, allocPage(gfp), allocUrgent(gfp), putPage, GFP_*, slabFrame, pcpDrain, zoneFreePages, checkPageAlloc.
 * Invariants:
 *   [pa-1] a free frame has refcount 0 and no flag but BUDDY; free frames = zone + per-CPU lists + never used.
 *   [pa-2] frames above highPfn were never handed out and are all zero: a snapshot leaves them out.
 *   [pa-3] with page poisoning on, a free frame is all poison, and is checked when it is handed out.
 * Locks: zone_lock (spinlock) for the zone's list and highPfn; per-CPU lists belong to their CPU.
 * Why not a buddy system: nothing in the model needs contiguous frames; orders would only add paths that no law covers.
 */
import { bootConfig } from "../config";
import { SITE_PAGE, shouldFail } from "../lib/fault-sites";
import { ListHead, listAdd, listDel, listEmpty, listFirst, listInit } from "../lib/list";
import { bootAlloc, PAGE_SHIFT, PAGE_SIZE } from "../memlayout";
import { dropFrame } from "../cpu/rv64/code-page";
import { C_PAGE_ALLOC, C_PAGE_ALLOC_BATCH, C_PAGE_FREE, C_PAGE_ZERO, chargeCost } from "../sched/cost";
import { LC_ZONE_LOCK } from "../sched/lock-class";
import { spinInit, spinLockNoSync, spinUnlock } from "../sched/spinlock";
import { TASK_KILLABLE, TF_MEMALLOC, isNullTask, sched } from "../sched/state";
import { sleepOnTimeout } from "../sched/wait-queue";
import { PG_BUDDY, PG_LRU, PG_RESERVED, PG_SLAB, Page, isNullPage, pageAddress, pageOfLru, pageToPfn, pfnToPage } from "./page";
import { MmState, mmState } from "./state";

export const GFP_KERNEL: u32 = 0;
/** May not sleep, reclaim or kill. */
export const GFP_ATOMIC: u32 = 1;
/** The frame is wanted zeroed. */
export const GFP_ZERO: u32 = 2;

const PCP_BATCH: u32 = 32;
const PCP_HIGH: u32 = 96;
/** Rounds without progress before anybody is killed, and how long each waits: for writeback at most, else (Linux: 16, HZ / 10, a tick). */
const RECLAIM_RETRIES: u32 = 16;
const WRITEBACK_WAIT_NS: u64 = 100_000_000;
const RETRY_WAIT_NS: u64 = 1_000_000;
const POISON: u8 = 0xaa;
const POISON_WORD: u64 = 0xaaaa_aaaa_aaaa_aaaa;

@unmanaged
class PcpList {
  next: u32;
  prev: u32;
  count: u32;
  pad: u32;

  get list(): ListHead {
    return changetype<ListHead>(changetype<usize>(this));
  }
}

function pcpOf(m: MmState, cpuId: u32): PcpList {
  return changetype<PcpList>(m.pcp + cpuId * offsetof<PcpList>());
}

/** Frames [firstPfn, firstPfn + nFrames) become free. Returns false when memory is too small for the tables. */
export function pageAllocInit(nFrames: u32): bool {
  const m = mmState();
  m.memMap = bootAlloc(nFrames * offsetof<Page>(), 64);
  m.pcp = bootAlloc(sched().nCpus * offsetof<PcpList>(), 64);
  if (m.memMap == 0 || m.pcp == 0) return false;
  m.nFrames = nFrames;
  spinInit(m.zoneLock);
  spinInit(m.lruLock);
  listInit(m.freeList);
  listInit(m.inactive);
  listInit(m.active);
  listInit(m.mmList);
  listInit(m.dirtyMappings);
  for (let id: u32 = 0; id < sched().nCpus; id++) listInit(pcpOf(m, id).list);
  // Linux: min is sqrt(16 * lowmem_kbytes); low and high add a quarter and a half.
  let min: u32 = <u32>Math.sqrt(<f64>nFrames * 4.0 * 16.0) / 4;
  if (min < 8) min = 8;
  if (min > nFrames / 16) min = nFrames / 16;
  m.wmarkMin = min;
  m.wmarkLow = min + min / 4 + 1;
  m.wmarkHigh = min + min / 2 + 2;
  return true;
}

/** Says where the frames lie; the last step of carving. */
export function pageAllocSetBase(base: usize): void {
  const m = mmState();
  assert((base & (PAGE_SIZE - 1)) == 0, "frames are page aligned");
  m.firstPfn = <u32>(base >> PAGE_SHIFT);
  m.highPfn = m.firstPfn;
}

/** Free frames: zone, per-CPU lists, never used. */
export function freePages(): u32 {
  const m = mmState();
  return m.nrFree + m.nrPcp + (m.firstPfn + m.nFrames - m.highPfn);
}

function takeFromZone(m: MmState): Page {
  if (!listEmpty(m.freeList)) {
    const page = pageOfLru(changetype<usize>(listFirst(m.freeList)));
    listDel(page.lru);
    m.nrFree--;
    return page;
  }
  if (m.highPfn == m.firstPfn + m.nFrames) return changetype<Page>(0);
  return pfnToPage(m.highPfn++);
}

/** Refills a CPU's list; keeps `reserve` frames in the zone. */
function pcpRefill(m: MmState, pcp: PcpList, reserve: u32): void {
  spinLockNoSync(m.zoneLock, LC_ZONE_LOCK);
  chargeCost(C_PAGE_ALLOC_BATCH);
  for (let i: u32 = 0; i < PCP_BATCH; i++) {
    if (m.nrFree + (m.firstPfn + m.nFrames - m.highPfn) <= reserve) break;
    const page = takeFromZone(m);
    if (isNullPage(page)) break;
    listAdd(page.lru, pcp.list);
    page.set(PG_BUDDY);
    pcp.count++;
    m.nrPcp++;
  }
  spinUnlock(m.zoneLock);
}

/** Gives what CPUs keep back to the zone. */
export function pcpDrainAll(): void {
  const m = mmState();
  for (let id: u32 = 0; id < sched().nCpus; id++) {
    const pcp = pcpOf(m, id);
    while (pcp.count != 0) pcpToZone(m, pcp);
  }
}

function pcpToZone(m: MmState, pcp: PcpList): void {
  const page = pageOfLru(changetype<usize>(listFirst(pcp.list)));
  listDel(page.lru);
  pcp.count--;
  m.nrPcp--;
  listAdd(page.lru, m.freeList);
  m.nrFree++;
}

/** A frame with refcount 1, or null: out of memory. May reclaim and sleep unless GFP_ATOMIC. */
export function allocPage(gfp: u32): Page {
  const m = mmState();
  const s = sched();
  if (shouldFail(SITE_PAGE)) {
    m.pgallocFailures++;
    return changetype<Page>(0);
  }
  let page = allocFast(m, s.cpu.id, reserveOf(m, gfp));
  if (isNullPage(page) && (gfp & GFP_ATOMIC) == 0) page = allocSlow(m, gfp);
  if (isNullPage(page)) {
    m.pgallocFailures++;
    return page;
  }
  prepareNew(m, page);
  if ((gfp & GFP_ZERO) != 0) clearPage(page);
  return page;
}

/** Frames that this caller may not use up. */
function reserveOf(m: MmState, gfp: u32): u32 {
  const task = sched().current;
  if (!isNullTask(task) && (task.flags & TF_MEMALLOC) != 0) return 0;
  return (gfp & GFP_ATOMIC) != 0 ? m.wmarkMin / 2 : m.wmarkMin;
}

function allocFast(m: MmState, cpuId: u32, reserve: u32): Page {
  const pcp = pcpOf(m, cpuId);
  if (pcp.count == 0) {
    pcpRefill(m, pcp, reserve);
    if (pcp.count == 0) return changetype<Page>(0);
  }
  const page = pageOfLru(changetype<usize>(listFirst(pcp.list)));
  listDel(page.lru);
  pcp.count--;
  m.nrPcp--;
  chargeCost(C_PAGE_ALLOC);
  return page;
}

/**
 * Nothing could be dropped. Pages of files may still come free: those that reclaim has sent to the disk, and those whose writeback ended
 * behind its back. Waits for them; false: there are none, or nobody to wait.
 */
function waitForReclaimable(m: MmState): bool {
  const task = sched().current;
  if (m.nrActive + m.nrInactive == 0 || isNullTask(task) || task.fatalSignal != 0) return false;
  sleepOnTimeout(m.reclaimWait, TASK_KILLABLE, m.nrWriteback != 0 ? WRITEBACK_WAIT_NS : RETRY_WAIT_NS);
  return true;
}

/** Reclaims, then asks for a victim, a bounded number of times. Page cache that can be written is no reason to kill. */
function allocSlow(m: MmState, gfp: u32): Page {
  assert(sched().inHandler == 0 && sched().preemptCount == 0, "[lk-2] a sleeping allocation in atomic context");
  for (let round: u32 = 0; round < RECLAIM_RETRIES + 16; round++) {
    const f = m.reclaimFn;
    const freed = f(PCP_BATCH);
    pcpDrainAll();
    let page = allocFast(mmState(), sched().cpu.id, reserveOf(mmState(), gfp));
    if (!isNullPage(page)) return page;
    if (freed != 0 || (round < RECLAIM_RETRIES && waitForReclaimable(mmState()))) continue;
    const oom = mmState().oomFn;
    if (!oom()) break;
    page = allocFast(mmState(), sched().cpu.id, reserveOf(mmState(), gfp));
    if (!isNullPage(page)) return page;
  }
  return changetype<Page>(0);
}

function prepareNew(m: MmState, page: Page): void {
  assert(page.refcount == 0, "[pa-1] a frame is handed out while in use");
  assert((page.flags & ~(1 << PG_BUDDY)) == 0, "[pa-1] a free frame has flags");
  if (bootConfig().pagePoison != 0 && page.priv != 0) checkPoison(page);
  page.flags = 0;
  page.refcount = 1;
  page.mapping = 0;
  page.priv = 0;
  page.mapcount = 0;
  page.preparedEnd = 0;
  page.lineOwner = 0;
  m.pgalloc++;
}

function checkPoison(page: Page): void {
  const base = pageAddress(page);
  for (let at = base; at < base + PAGE_SIZE; at += 8) {
    assert(load<u64>(at) == POISON_WORD, "[pa-3] a free frame was written to");
  }
}

/**
 * A frame for those who may neither sleep nor do without: when the CPU's own list and the zone have none, the other CPUs' lists, which on a
 * small machine hold all that is free, are given back first. Null: nothing is free.
 */
export function allocUrgent(gfp: u32): Page {
  const page = allocPage(gfp | GFP_ATOMIC);
  if (!isNullPage(page) || mmState().nrPcp == 0) return page;
  pcpDrainAll();
  return allocPage(gfp | GFP_ATOMIC);
}

/** A frame for the object caches (SlabState.frameFn), 0 when memory is short. */
export function slabFrame(): usize {
  const page = allocUrgent(0);
  if (isNullPage(page)) return 0;
  page.set(PG_SLAB);
  return pageAddress(page);
}

export function clearPage(page: Page): void {
  chargeCost(C_PAGE_ZERO);
  mmState().zeroBytes += PAGE_SIZE;
  memory.fill(pageAddress(page), 0, PAGE_SIZE);
}

/** Drops a reference; the last one frees the frame. */
export function putPage(page: Page): void {
  assert(page.refcount > 0, "[page-1] a reference is dropped that nobody holds");
  if (--page.refcount == 0) freePage(page);
}

function freePage(page: Page): void {
  const m = mmState();
  assert(page.mapcount == 0, "[page-3] a mapped page is freed");
  assert(page.mapping == 0, "[page-2] a page in a mapping is freed");
  assert(!page.test(PG_RESERVED), "the zero page is never freed");
  if (page.test(PG_LRU)) {
    const f = m.lruDelFn;
    f(page);
  }
  chargeCost(C_PAGE_FREE);
  dropFrame(<u32>pageAddress(page));
  m.pgfree++;
  page.flags = 1 << PG_BUDDY;
  page.priv = 0;
  if (bootConfig().pagePoison != 0) {
    memory.fill(pageAddress(page), POISON, PAGE_SIZE);
    page.priv = 1;
  }
  const pcp = pcpOf(m, sched().cpu.id);
  listAdd(page.lru, pcp.list);
  pcp.count++;
  m.nrPcp++;
  if (pcp.count > PCP_HIGH) pcpDrain(m, pcp);
}

function pcpDrain(m: MmState, pcp: PcpList): void {
  spinLockNoSync(m.zoneLock, LC_ZONE_LOCK);
  chargeCost(C_PAGE_ALLOC_BATCH);
  for (let i: u32 = 0; i < PCP_BATCH && pcp.count != 0; i++) pcpToZone(m, pcp);
  spinUnlock(m.zoneLock);
}

/** [pa-1]: every frame is either in use or counted free. Walks all frames. */
export function checkPageAlloc(): void {
  const m = mmState();
  let inUse: u32 = 0;
  for (let pfn = m.firstPfn; pfn < m.highPfn; pfn++) {
    const page = pfnToPage(pfn);
    assert(pageToPfn(page) == pfn, "pfn and page agree");
    if (page.refcount != 0) inUse++;
    else assert(page.mapcount == 0 && page.mapping == 0, "[pa-1] a free frame is mapped");
  }
  assert(inUse + freePages() == m.nFrames, "[pa-1] frames in use and free frames add up");
}
