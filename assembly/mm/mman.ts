/*
 * Flags of the memory system calls, with Linux's values (asm-generic).
 *
 * Interface: PROT_*, MAP_*, MREMAP_*, MADV_*, MS_*, MCL_*, protToVmFlags.
 * Invariants: none.
 * Locks: none.
 * Why not beside each call: programs combine them, and the host's guest API reads the same table.
 */
import { VM_EXEC, VM_READ, VM_WRITE } from "./vma";

export const PROT_READ: u32 = 1;
export const PROT_WRITE: u32 = 2;
export const PROT_EXEC: u32 = 4;
export const PROT_MASK: u32 = 7;

export const MAP_SHARED: u32 = 0x1;
export const MAP_PRIVATE: u32 = 0x2;
export const MAP_TYPE: u32 = 0xf;
export const MAP_FIXED: u32 = 0x10;
export const MAP_ANONYMOUS: u32 = 0x20;
export const MAP_GROWSDOWN: u32 = 0x100;
export const MAP_DENYWRITE: u32 = 0x800;
export const MAP_LOCKED: u32 = 0x2000;
export const MAP_NORESERVE: u32 = 0x4000;
export const MAP_POPULATE: u32 = 0x8000;
export const MAP_NONBLOCK: u32 = 0x10000;
export const MAP_STACK: u32 = 0x20000;
export const MAP_FIXED_NOREPLACE: u32 = 0x100000;

export const MREMAP_MAYMOVE: u32 = 1;
export const MREMAP_FIXED: u32 = 2;

export const MADV_NORMAL: u32 = 0;
export const MADV_RANDOM: u32 = 1;
export const MADV_SEQUENTIAL: u32 = 2;
export const MADV_WILLNEED: u32 = 3;
export const MADV_DONTNEED: u32 = 4;
export const MADV_POPULATE_READ: u32 = 22;
export const MADV_POPULATE_WRITE: u32 = 23;

export const MS_ASYNC: u32 = 1;
export const MS_INVALIDATE: u32 = 2;
export const MS_SYNC: u32 = 4;

export const MCL_CURRENT: u32 = 1;
export const MCL_FUTURE: u32 = 2;

if (VM_READ != PROT_READ || VM_WRITE != PROT_WRITE || VM_EXEC != PROT_EXEC) ERROR("PROT_* and VM_* share their low bits");

export function protToVmFlags(prot: u32): u32 {
  return prot & PROT_MASK;
}
