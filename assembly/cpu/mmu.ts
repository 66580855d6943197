/*
 * The MMU: translates, sets A and D (Svadu), fills the TLB, or says why it cannot.
 *
 * Interface: mmuRefill(cpu, address, access), mmuTranslate(cpu, address, access), ACCESS_*, CAUSE_*, mmuLoad8, mmuStore8.
 * Invariants:
 *   [mmu-1] a writable TLB entry exists only for a PTE with D set, so the first store to a clean page walks.
 *   [mmu-2] A and D are set in the PTE before the access is made.
 *   [mmu-3] a fault leaves registers, memory and TLB as they were.
 * Locks: none; setting A and D is one atomic store, as on metal.
 * Why not call the fault handler from here: it may block; the hot path stays a leaf and returns a cause (DESIGN D1).
 */
import { Cpu } from "../sched/state";
import { PTE_A, PTE_D, PTE_LEVELS, PTE_R, PTE_U, PTE_V, PTE_W, PTE_X, USER_LIMIT } from "./pte";
import { TLB_FRAME, TLB_READ, TLB_WRITE, cpuRoom, tlbFill } from "./tlb";

export const ACCESS_READ: u32 = 0;
export const ACCESS_WRITE: u32 = 1;
export const ACCESS_FETCH: u32 = 2;

/** scause values of the RISC-V privileged architecture. */
export const CAUSE_NONE: u32 = 0;
export const CAUSE_FETCH_PAGE_FAULT: u32 = 12;
export const CAUSE_LOAD_PAGE_FAULT: u32 = 13;
export const CAUSE_STORE_PAGE_FAULT: u32 = 15;

function causeOf(access: u32): u32 {
  if (access == ACCESS_WRITE) return CAUSE_STORE_PAGE_FAULT;
  return access == ACCESS_READ ? CAUSE_LOAD_PAGE_FAULT : CAUSE_FETCH_PAGE_FAULT;
}

/** Walks the page table and fills the TLB for `access`. Returns CAUSE_NONE, or the page fault's cause. */
export function mmuRefill(cpu: Cpu, address: u64, access: u32): u32 {
  cpu.mmuWalks++;
  if (address >= USER_LIMIT || cpu.satpRoot == 0) return causeOf(access);
  let table: usize = cpu.satpRoot;
  let shift: u32 = 39;
  let slot: usize = 0;
  let pte: u64 = 0;
  for (let level: u32 = 0; level < PTE_LEVELS; level++) {
    slot = table + ((<u32>(address >> shift) & 511) << 3);
    pte = load<u64>(slot);
    if ((pte & PTE_V) == 0) return causeOf(access);
    table = <usize>(pte >> 10) << 12;
    shift -= 9;
  }
  const need = access == ACCESS_WRITE ? PTE_W : access == ACCESS_READ ? PTE_R : PTE_X;
  if ((pte & need) == 0 || (pte & PTE_U) == 0) return causeOf(access);
  const set = access == ACCESS_WRITE ? PTE_A | PTE_D : PTE_A;
  if ((pte & set) != set) {
    pte |= set;
    store<u64>(slot, pte);
  }
  const writable = (pte & (PTE_W | PTE_D)) == (PTE_W | PTE_D);
  tlbFill(cpu, address, <u32>table, (pte & PTE_R) != 0, writable, (pte & PTE_X) != 0);
  return CAUSE_NONE;
}

/**
 * The linear address of a guest byte when the TLB grants `tagOffset`'s access to the whole of it, else 0. A tag keeps the high
 * bits of the context where an address outside the user half has its own, so such an address is turned away before the compare.
 */
export function tlbLookup(cpu: Cpu, address: u64, lenBytes: u32, tagOffset: u32): usize {
  if (address >= USER_LIMIT) return 0;
  const entry = cpu.tlb + ((<u32>(address >> 12) & cpuRoom().tlbMask) << 5);
  const tag = load<u64>(entry + tagOffset);
  if (tag != (((address + lenBytes - 1) & ~0xfff) | cpu.tlbContext)) return 0;
  return <usize>load<u32>(entry, TLB_FRAME) + (<u32>address & 0xfff);
}

/** As tlbLookup, walking on a miss. Returns 0 and leaves the cause to mmuRefill when the access faults. */
export function mmuTranslate(cpu: Cpu, address: u64, lenBytes: u32, access: u32): usize {
  const tagOffset = access == ACCESS_WRITE ? TLB_WRITE : access == ACCESS_READ ? TLB_READ : 16;
  const at = tlbLookup(cpu, address, lenBytes, tagOffset);
  if (at != 0) {
    cpu.mmuHits++;
    return at;
  }
  if (mmuRefill(cpu, address, access) != CAUSE_NONE) return 0;
  return tlbLookup(cpu, address, lenBytes, tagOffset);
}
