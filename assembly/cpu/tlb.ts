/*
 * Per-CPU TLBs: direct-mapped, tagged with the address space, separate tags for read, write and fetch.
 *
 *     entry (32 bytes):  0 read tag | 8 write tag | 16 fetch tag | 24 frame address (u32) | 28 the frame's code page (u32), 0: not known
 *     tag:   63     48 47                 12 11      0
 *           | ctx 27..12 |   virtual page    | ctx 11..0 |        all ones: matches no user address
 *
 * An access of s bytes at va looks in the entry of va's page for the tag of the page of va + s - 1: one compare that also
 * catches a page crossing. A write tag is present only once D is set, so the first store to a clean page misses.
 *
 * Interface: tlbInit, tlbTag, tlbEntry, tlbFill, tlbFlushPage, tlbFlushAll, contextTag, contextAlloc, TLB_* offsets.
 * Invariants:
 *   [tlb-1] an entry never grants what the PTE did not grant when it was filled; a PTE that loses a right is flushed by mm.
 *   [tlb-2] a context number is used by one mm between two flushes of everything.
 * Locks: none; a CPU's TLB is touched by that CPU and by shootdowns.
 * Why not clear entries to flush an address space: 4096 stores against one increment of the context.
 */
import { CPU_STATE, bootAlloc } from "../memlayout";
import { Cpu, STRIDE_SKEW, cpuAt, sched } from "../sched/state";

export const TLB_READ: u32 = 0;
export const TLB_WRITE: u32 = 8;
export const TLB_FETCH: u32 = 16;
export const TLB_FRAME: u32 = 24;
export const TLB_CODE: u32 = 28;
export const TLB_ENTRY_BYTES: u32 = 32;
const TAG_INVALID: u64 = u64.MAX_VALUE;
/** Contexts have 28 bits; the last one is never given out. */
const CONTEXT_MAX: u32 = 0x0fff_fffe;

/** pageFault's result: the fault is handled, its lock is still held. */
export const FAULT_LOCK_HELD: u32 = 2;

@unmanaged
export class CpuRoomState {
  /** TlbEntries - 1. */
  tlbMask: u32;
  nextContext: u32;
  /** Times the contexts ran out and every TLB was cleared. */
  contextWraps: u32;
  /**
   * The trap vector, filled by mm's owner at boot. faultEnter notes the trap and returns the cache line of the lock that the
   * fault will take, or 0; it never blocks; the caller touches that line. pageFault returns 0 to make the access again,
   * FAULT_LOCK_HELD when that lock is still to be released by faultLeave, else the access is given up. faultLeave
   * returns 0 or, when given up, 1.
   */
  faultEnter: (cause: u32, address: u64) => usize;
  pageFault: (cause: u32, address: u64) => u32;
  faultLeave: () => u32;
  /** Set when contexts wrapped: every mm must take a new one. */
  contextEpoch: u32;
  /** The decode cache (rv64/code-page.ts): its pool, its size, the next one to be taken, and for each frame its number plus 1. */
  codePages: usize;
  nCodePages: u32;
  codeNext: u32;
  codeOfFrame: usize;
  /** Instructions of all programs since boot or statsReset. */
  instructions: u64;
  /** rv64/run.ts, called by its number so that no pass makes it part of a caller that may be unwound. */
  runFn: (context: usize) => u32;
}

export function cpuRoom(): CpuRoomState {
  return changetype<CpuRoomState>(CPU_STATE);
}

/** Carves the TLBs of all CPUs. Returns false when memory is too small. */
export function tlbInit(entries: u32): bool {
  assert(entries != 0 && (entries & (entries - 1)) == 0, "TLB entries are a power of two");
  const room = cpuRoom();
  const s = sched();
  room.tlbMask = entries - 1;
  room.nextContext = 1;
  room.contextEpoch = 1;
  for (let id: u32 = 0; id < s.nCpus; id++) {
    const tlb = bootAlloc(entries * TLB_ENTRY_BYTES + STRIDE_SKEW, 64);
    if (tlb == 0) return false;
    cpuAt(id).tlb = tlb;
    tlbFlushAll(cpuAt(id));
    cpuAt(id).tlbContext = contextTag(0);
  }
  return true;
}

/** The tag bits of a context. */
export function contextTag(context: u32): u64 {
  return (<u64>(context >> 12) << 48) | <u64>(context & 0xfff);
}

/** A context number for an address space; clears every TLB when the numbers run out. */
export function contextAlloc(): u32 {
  const room = cpuRoom();
  if (room.nextContext >= CONTEXT_MAX) {
    room.nextContext = 1;
    room.contextWraps++;
    room.contextEpoch++;
    for (let id: u32 = 0; id < sched().nCpus; id++) tlbFlushAll(cpuAt(id));
  }
  return room.nextContext++;
}

export function tlbFlushAll(cpu: Cpu): void {
  memory.fill(cpu.tlb, 0xff, (cpuRoom().tlbMask + 1) * TLB_ENTRY_BYTES);
}

/** The entry that may hold the page of `address`. */
export function tlbEntry(cpu: Cpu, address: u64): usize {
  return cpu.tlb + ((<u32>(address >> 12) & cpuRoom().tlbMask) << 5);
}

/** Fills the entry of a page; rights that are not given get a tag that never matches. */
export function tlbFill(cpu: Cpu, address: u64, frame: u32, read: bool, write: bool, fetch: bool): void {
  const entry = tlbEntry(cpu, address);
  const tag = (address & ~0xfff) | cpu.tlbContext;
  store<u64>(entry, read ? tag : TAG_INVALID, TLB_READ);
  store<u64>(entry, write ? tag : TAG_INVALID, TLB_WRITE);
  store<u64>(entry, fetch ? tag : TAG_INVALID, TLB_FETCH);
  store<u32>(entry, frame, TLB_FRAME);
  store<u32>(entry, 0, TLB_CODE);
}

/** Drops one page of one address space from a CPU's TLB. */
export function tlbFlushPage(cpu: Cpu, address: u64, contextBits: u64): void {
  const entry = tlbEntry(cpu, address);
  const tag = (address & ~0xfff) | contextBits;
  if (load<u64>(entry, TLB_READ) == tag || load<u64>(entry, TLB_WRITE) == tag || load<u64>(entry, TLB_FETCH) == tag) {
    memory.fill(entry, 0xff, TLB_FRAME);
  }
}
