/*
 * Guest accesses in batches: touches, loads and stores of scripted guests, each byte through the MMU, each fault a precise trap.
 *
 * Interface: touchRange, storeBytes, loadBytes, touchRandom, accessPage.
 * Invariants:
 *   [acc-1] an access that faults is made again after the handler said so, or not at all.
 *   [acc-2] an access that crosses a page is made only when both pages are there: the fault names the first missing byte.
 * Locks: none held; the fault handler takes mmap_sem.
 * Why not one access per host call: crossing the boundary costs more than the access.
 */
import { PAGE_SHIFT, PAGE_SIZE } from "../memlayout";
import { CacheLine, touchLine } from "../sched/cache-line";
import { syncLine, syncPoint } from "../sched/core";
import { C_TLB_HIT, C_TLB_WALK, chargeCost } from "../sched/cost";
import { Cpu, sched } from "../sched/state";
import { prngBelow } from "../lib/prng";
import {
  ACCESS_READ, ACCESS_WRITE, CAUSE_LOAD_PAGE_FAULT, CAUSE_NONE, CAUSE_STORE_PAGE_FAULT, mmuRefill, tlbLookup,
} from "./mmu";
import { FAULT_LOCK_HELD, TLB_READ, TLB_WRITE, cpuRoom } from "./tlb";

/**
 * The slow path of an access, written into its callers: a task that hands over here has few frames to unwind, and a fault
 * under contention hands over twice, before its lock is taken and before it is released (DECISIONS: hand over where the stack
 * is shallow).
 */
class Access {
  /** Linear address for an access that lies in one page, faulting the page in as often as needed; 0 when given up. */
  @inline static page(address: u64, lenBytes: u32, access: u32): usize {
    const tagOffset = access == ACCESS_WRITE ? TLB_WRITE : TLB_READ;
    let at = tlbLookup(sched().cpu, address, lenBytes, tagOffset);
    if (at != 0) {
      sched().cpu.mmuHits++;
      chargeCost(C_TLB_HIT);
      return at;
    }
    while (true) {
      chargeCost(C_TLB_WALK);
      if (mmuRefill(sched().cpu, address, access) == CAUSE_NONE) {
        at = tlbLookup(sched().cpu, address, lenBytes, tagOffset);
        assert(at != 0, "[mmu-1] a refill serves the access that asked for it");
        return at;
      }
      if (Access.fault(address, access) != 0) return 0;
    }
  }

  /** One trap. Returns 0: make the access again; else it is given up. */
  @inline static fault(address: u64, access: u32): u32 {
    const cause = access == ACCESS_WRITE ? CAUSE_STORE_PAGE_FAULT : CAUSE_LOAD_PAGE_FAULT;
    const enter = cpuRoom().faultEnter;
    const line = enter(cause, address);
    if (line != 0) {
      syncLine(changetype<CacheLine>(line));
      // The lock's atomic, paid here: under contention the line comes late, and what comes after waits for its turn.
      touchLine(changetype<CacheLine>(line));
      syncPoint();
    }
    const handle = cpuRoom().pageFault;
    const result = handle(cause, address);
    if (result != FAULT_LOCK_HELD) return result;
    if (line != 0) syncLine(changetype<CacheLine>(line));
    const leave = cpuRoom().faultLeave;
    return leave();
  }
}

/** As Access.page, as a call: for accesses that are rare or long. */
export function accessPage(address: u64, lenBytes: u32, access: u32): usize {
  assert((<u32>address & 0xfff) + lenBytes <= PAGE_SIZE, "accessPage works on one page");
  return Access.page(address, lenBytes, access);
}

/**
 * Touches one byte every `stride` bytes of [address, address + lenBytes): stores `value`, or loads.
 * Returns the number of touches made; fewer than asked for when an access was given up.
 */
export function touchRange(address: u64, lenBytes: u64, stride: u64, write: bool, value: u8): u64 {
  let done: u64 = 0;
  const access = write ? ACCESS_WRITE : ACCESS_READ;
  for (let offset: u64 = 0; offset < lenBytes; offset += stride) {
    syncPoint();
    const at = Access.page(address + offset, 1, access);
    if (at == 0) return done;
    if (write) store<u8>(at, value);
    else load<u8>(at);
    done++;
  }
  return done;
}

/** Touches `count` random pages of the range, `writePercent` of them with a store. Returns touches made. */
export function touchRandom(address: u64, lenBytes: u64, count: u64, writePercent: u32, prng: usize): u64 {
  const pages = <u32>(lenBytes >> PAGE_SHIFT);
  if (pages == 0) return 0;
  for (let done: u64 = 0; done < count; done++) {
    syncPoint();
    const page = prngBelow(prng, pages);
    const write = prngBelow(prng, 100) < writePercent;
    const at = Access.page(address + (<u64>page << PAGE_SHIFT), 1, write ? ACCESS_WRITE : ACCESS_READ);
    if (at == 0) return done;
    if (write) store<u8>(at, <u8>done);
    else load<u8>(at);
  }
  return count;
}

/** Bytes from `address` to the end of its page, `limit` at most. */
function inPage(address: u64, limit: u32): u32 {
  const room = PAGE_SIZE - (<u32>address & 0xfff);
  return room < limit ? room : limit;
}

/** Copies `lenBytes` from linear memory into guest memory. Returns bytes copied. */
export function storeBytes(address: u64, source: usize, lenBytes: u32): u32 {
  let done: u32 = 0;
  while (done < lenBytes) {
    syncPoint();
    const n = inPage(address + done, lenBytes - done);
    const at = accessPage(address + done, n, ACCESS_WRITE);
    if (at == 0) return done;
    memory.copy(at, source + done, n);
    done += n;
  }
  return done;
}

/** Copies `lenBytes` of guest memory into linear memory. Returns bytes copied. */
export function loadBytes(address: u64, target: usize, lenBytes: u32): u32 {
  let done: u32 = 0;
  while (done < lenBytes) {
    syncPoint();
    const n = inPage(address + done, lenBytes - done);
    const at = accessPage(address + done, n, ACCESS_READ);
    if (at == 0) return done;
    memory.copy(target + done, at, n);
    done += n;
  }
  return done;
}

/** Counts for statistics: TLB hits and walks of all CPUs. */
export function mmuHitsOf(cpu: Cpu): u64 {
  return cpu.mmuHits;
}
