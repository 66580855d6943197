/*
 * Accesses of instructions that the run loop's compare did not grant: a TLB miss, a page crossing, a fault.
 *
 * Interface: readAt, writeAt, fetchPage, addressOf.
 * Invariants:
 *   [rvm-1] nothing of an access that crosses a page is made before both pages are there.
 *   [rvm-2] a miss takes the time of a walk, as a scripted touch does; the instructions before it are settled first.
 * Locks: none.
 * Why not in the run loop: a miss is rare, and a call in its place keeps the loop small.
 */
import { C_TLB_WALK, chargeCost } from "../../sched/cost";
import { sched } from "../../sched/state";
import { ACCESS_FETCH, ACCESS_READ, ACCESS_WRITE, CAUSE_NONE, mmuRefill, tlbLookup } from "../mmu";
import { TLB_FETCH, TLB_READ, TLB_WRITE } from "../tlb";
import { Rv64Context, pauseAt, resumeAt } from "./context";

const PAGE_LAST: u64 = 4095;

function tagOf(access: u32): u32 {
  return access == ACCESS_WRITE ? TLB_WRITE : access == ACCESS_READ ? TLB_READ : TLB_FETCH;
}

/** Linear address of bytes within one page, by the TLB or by a walk; 0: a fault, noted in the context, and settled up to ip. */
export function addressOf(context: Rv64Context, ip: usize, address: u64, lenBytes: u32, access: u32): usize {
  const cpu = sched().cpu;
  const at = tlbLookup(cpu, address, lenBytes, tagOf(access));
  if (at != 0) return at;
  pauseAt(context, ip);
  chargeCost(C_TLB_WALK);
  const cause = mmuRefill(cpu, address, access);
  if (cause != CAUSE_NONE) {
    context.cause = cause;
    context.tval = address;
    return 0;
  }
  resumeAt(context, ip);
  // [mmu-1]: a refill serves the access that asked for it.
  return tlbLookup(cpu, address, lenBytes, tagOf(access));
}

function crosses(address: u64, lenBytes: u32): bool {
  return (address & PAGE_LAST) + lenBytes > PAGE_LAST + 1;
}

/** Where the bytes of a load are: in their page, or put together in the context. 0: a fault. */
export function readAt(context: Rv64Context, ip: usize, address: u64, lenBytes: u32): usize {
  if (!crosses(address, lenBytes)) return addressOf(context, ip, address, lenBytes, ACCESS_READ);
  const head = <u32>(PAGE_LAST + 1 - (address & PAGE_LAST));
  const low = addressOf(context, ip, address, head, ACCESS_READ);
  if (low == 0) return 0;
  const high = addressOf(context, ip, address + head, lenBytes - head, ACCESS_READ);
  if (high == 0) return 0;
  const bounce = changetype<usize>(context) + offsetof<Rv64Context>("bounce0");
  memory.copy(bounce, low, head);
  memory.copy(bounce + head, high, lenBytes - head);
  return bounce;
}

/** Stores the low bytes of a value. False: a fault, and nothing is stored. */
export function writeAt(context: Rv64Context, ip: usize, address: u64, lenBytes: u32, value: u64): bool {
  const bounce = changetype<usize>(context) + offsetof<Rv64Context>("bounce0");
  store<u64>(bounce, value);
  const isSplit = crosses(address, lenBytes);
  const head = isSplit ? <u32>(PAGE_LAST + 1 - (address & PAGE_LAST)) : lenBytes;
  const low = addressOf(context, ip, address, head, ACCESS_WRITE);
  if (low == 0) return false;
  if (isSplit) {
    const high = addressOf(context, ip, address + head, lenBytes - head, ACCESS_WRITE);
    if (high == 0) return false;
    memory.copy(high, bounce + head, lenBytes - head);
  }
  memory.copy(low, bounce, head);
  return true;
}

/** Linear address of the frame that holds the instruction at `address`. 0: a fault. */
export function fetchPage(context: Rv64Context, ip: usize, address: u64): usize {
  const at = addressOf(context, ip, address, 2, ACCESS_FETCH);
  return at & ~(<usize>PAGE_LAST);
}
