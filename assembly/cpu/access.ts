/*
 * Guest accesses: loads and stores of scripted guests, each byte through the MMU, each fault a precise trap (touches: touch.ts).
 *
 * Interface: storeBytes, loadBytes, accessPage, mmuHitsOf.
 * Invariants:
 *   [acc-1] an access that faults is made again after the handler said so, or not at all.
 *   [acc-2] an access that crosses a page is made only when both pages are there: the fault names the first missing byte.
 * Locks: none held; the fault handler takes mmap_sem.
 * Why not one access per host call: crossing the boundary costs more than the access.
 */
import { PAGE_SIZE } from "../memlayout";
import { CacheLine, touchLine } from "../sched/cache-line";
import { syncLine, syncPoint } from "../sched/core";
import { C_TLB_HIT, C_TLB_WALK, chargeCost } from "../sched/cost";
import { Cpu, sched } from "../sched/state";
import {
  ACCESS_READ, ACCESS_WRITE, CAUSE_LOAD_PAGE_FAULT, CAUSE_NONE, CAUSE_STORE_PAGE_FAULT, mmuRefill, tlbLookup,
} from "./mmu";
import { FAULT_LOCK_HELD, TLB_READ, TLB_WRITE, cpuRoom } from "./tlb";

/** One trap. Returns 0: make the access again; else it is given up. */
function fault(address: u64, access: u32): u32 {
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

/** Linear address for an access that lies in one page, faulting the page in as often as needed; 0 when given up. */
export function accessPage(address: u64, lenBytes: u32, access: u32): usize {
  assert((<u32>address & 0xfff) + lenBytes <= PAGE_SIZE, "accessPage works on one page");
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
    if (fault(address, access) != 0) return 0;
  }
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
