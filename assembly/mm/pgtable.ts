/*
 * Page tables in guest frames: lookup, allocation, the lock of a leaf table, freeing.
 *
 * Interface: pgdAlloc, pteLookup, pteAlloc, pteLockOf, lockPte, unlockPte, freePgtables, pteRangeNext.
 * Invariants:
 *   [pt-1] a table's frame has PG_TABLE and refcount 1; `priv` counts the present entries of an inner table.
 *   [pt-2] a leaf slot stays valid while the fault lock is held: tables go only with the VMAs above them.
 *   [pt-3] a PTE changes only under its leaf table's lock.
 * Locks: mm.ptl for inner entries; the leaf table's own lock (its frame's line) for PTEs, as Linux's split locks.
 * Why not one lock per mm: threads would queue on it in every fault, and no kernel has done so since 2005.
 */
import { PAGE_SHIFT } from "../memlayout";
import { PTE_PPN_SHIFT, PTE_V, pteMake, ptePfn, ptePresent, vpnIndex } from "../cpu/pte";
import { C_PTE_ALLOC, chargeCost } from "../sched/cost";
import { LC_PAGE_TABLE_LOCK } from "../sched/lock-class";
import { SpinLock, spinLock, spinUnlock } from "../sched/spinlock";
import { GFP_ZERO, allocPage, putPage } from "./page-alloc";
import { MmStruct } from "./mm-struct";
import { PG_TABLE, Page, addressToPage, isNullPage, pageAddress, pageToPfn } from "./page";
import { mmState } from "./state";
import { freshContext } from "./tlbflush";

/** Gives a new mm its root table and context. Returns false on ENOMEM. */
export function pgdAlloc(mm: MmStruct): bool {
  const page = tableAlloc(mm);
  if (isNullPage(page)) return false;
  mm.root = <u32>pageAddress(page);
  freshContext(mm);
  return true;
}

function tableAlloc(mm: MmStruct): Page {
  const page = allocPage(GFP_ZERO);
  if (isNullPage(page)) return page;
  chargeCost(C_PTE_ALLOC);
  page.set(PG_TABLE);
  mm.nrTables++;
  mmState().nrPageTables++;
  return page;
}

function tableFree(mm: MmStruct, physical: usize): void {
  const page = addressToPage(physical);
  assert(page.test(PG_TABLE) && page.refcount == 1, "[pt-1] a table is freed once");
  page.clear(PG_TABLE);
  page.priv = 0;
  mm.nrTables--;
  mmState().nrPageTables--;
  putPage(page);
}

/** The leaf slot of an address, or 0 when a table on the way is missing. */
export function pteLookup(mm: MmStruct, address: u64): usize {
  let table: usize = mm.root;
  for (let level: u32 = 3; level != 0; level--) {
    const entry = load<u64>(table + (vpnIndex(address, level) << 3));
    if ((entry & PTE_V) == 0) return 0;
    table = <usize>(entry >> PTE_PPN_SHIFT) << PAGE_SHIFT;
  }
  return table + (vpnIndex(address, 0) << 3);
}

/** The leaf slot of an address, making tables as needed; 0 on ENOMEM. May sleep. */
export function pteAlloc(mm: MmStruct, address: u64): usize {
  let table: usize = mm.root;
  for (let level: u32 = 3; level != 0; level--) {
    const slot = table + (vpnIndex(address, level) << 3);
    if (!ptePresent(load<u64>(slot)) && !installTable(mm, slot)) return 0;
    table = <usize>ptePfn(load<u64>(slot)) << PAGE_SHIFT;
  }
  return table + (vpnIndex(address, 0) << 3);
}

function installTable(mm: MmStruct, slot: usize): bool {
  const page = tableAlloc(mm);
  if (isNullPage(page)) return false;
  spinLock(mm.ptl, LC_PAGE_TABLE_LOCK);
  if (ptePresent(load<u64>(slot))) {
    // Another thread was first.
    spinUnlock(mm.ptl);
    tableFree(mm, pageAddress(page));
    return true;
  }
  store<u64>(slot, pteMake(pageToPfn(page), PTE_V));
  addressToPage(slot).priv++;
  spinUnlock(mm.ptl);
  return true;
}

/** The lock of the leaf table that a slot lies in. */
export function pteLockOf(slot: usize): SpinLock {
  return changetype<SpinLock>(changetype<usize>(addressToPage(slot).line));
}

export function lockPte(slot: usize): void {
  spinLock(pteLockOf(slot), LC_PAGE_TABLE_LOCK);
}

export function unlockPte(slot: usize): void {
  spinUnlock(pteLockOf(slot));
}

/** The lowest address in [address, end) with a present PTE, or `end`. Skips missing tables whole. */
export function pteRangeNext(mm: MmStruct, address: u64, end: u64): u64 {
  let at = address;
  while (at < end) {
    let table: usize = mm.root;
    let level: u32 = 3;
    while (level != 0) {
      const entry = load<u64>(table + (vpnIndex(at, level) << 3));
      if ((entry & PTE_V) == 0) break;
      table = <usize>(entry >> PTE_PPN_SHIFT) << PAGE_SHIFT;
      level--;
    }
    if (level != 0) {
      const span = (<u64>1) << (12 + 9 * level);
      at = (at & ~(span - 1)) + span;
      continue;
    }
    let index = vpnIndex(at, 0);
    while (index < 512 && at < end) {
      if ((load<u64>(table + (index << 3)) & PTE_V) != 0) return at;
      index++;
      at += 4096;
    }
  }
  return end;
}

/**
 * Frees the tables that lie wholly inside (floor, ceiling) and cover [start, end); their PTEs are gone already.
 * floor and ceiling are the end of the VMA below and the start of the one above.
 */
export function freePgtables(mm: MmStruct, start: u64, end: u64, floor: u64, ceiling: u64): void {
  if (start >= end) return;
  freeLevel(mm, 1, start, end, floor, ceiling);
  freeLevel(mm, 2, start, end, floor, ceiling);
  freeLevel(mm, 3, start, end, floor, ceiling);
}

/** Clears the entries of `level` (1: those that point to leaf tables) whose whole span is free. */
function freeLevel(mm: MmStruct, level: u32, start: u64, end: u64, floor: u64, ceiling: u64): void {
  const span = (<u64>1) << (12 + 9 * level);
  let at = start & ~(span - 1);
  while (at < end) {
    // Missing tables above are skipped whole: the range may be terabytes.
    const slot = entrySlot(mm, level, at);
    if (slot < 4) {
      const missing = (<u64>1) << (12 + 9 * <u32>slot);
      at = (at & ~(missing - 1)) + missing;
      continue;
    }
    if (at >= floor && at + span <= ceiling) freeEntry(mm, level, slot);
    at += span;
  }
}

/** The slot of `level` for an address, or the level (1..3) at which the way down ends. */
function entrySlot(mm: MmStruct, level: u32, address: u64): usize {
  let table: usize = mm.root;
  for (let l: u32 = 3; l > level; l--) {
    const entry = load<u64>(table + (vpnIndex(address, l) << 3));
    if (!ptePresent(entry)) return l;
    table = <usize>ptePfn(entry) << PAGE_SHIFT;
  }
  return table + (vpnIndex(address, level) << 3);
}

function freeEntry(mm: MmStruct, level: u32, slot: usize): void {
  const entry = load<u64>(slot);
  if (!ptePresent(entry)) return;
  const child = <usize>ptePfn(entry) << PAGE_SHIFT;
  if (level > 1 && addressToPage(child).priv != 0) return;
  store<u64>(slot, 0);
  assert(addressToPage(slot).priv != 0, "[pt-1] an inner table counts its entries");
  addressToPage(slot).priv--;
  tableFree(mm, child);
}

/** Frees the root. Preconditions: every other table is gone. */
export function pgdFree(mm: MmStruct): void {
  assert(addressToPage(mm.root).priv == 0, "[pt-1] the root table is empty");
  tableFree(mm, mm.root);
  mm.root = 0;
  assert(mm.nrTables == 0, "[mk-6] an mm leaves no page table behind");
}
