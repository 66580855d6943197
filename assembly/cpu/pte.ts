/*
 * Page table entries, as RISC-V Sv48 lays them out, and the walk's geometry.
 *
 *      63      54 53                        10 9  8 7 6 5 4 3 2 1 0
 *     +----------+----------------------------+----+-+-+-+-+-+-+-+-+
 *     | reserved |            PPN             | RSW|D|A|G|U|X|W|R|V|
 *     +----------+----------------------------+----+-+-+-+-+-+-+-+-+
 *      a leaf has R, W or X; an inner entry has V only. RSW bit 8: SPECIAL (no struct page accounting: the zero page).
 *
 * Interface: PTE_*, pteMake, ptePfn, ptePresent, pteWritable, pteDirty, vpnIndex, PTE_LEVELS, PTE_TABLE_BYTES.
 * Invariants: [pte-1] W without R is reserved and never made.
 * Locks: the table's lock (mm/pgtable.ts) to change an entry; the MMU sets A and D without it (Svadu).
 * Why not a private format: an instruction-level CPU will walk the same tables.
 */
export const PTE_V: u64 = 1;
export const PTE_R: u64 = 2;
export const PTE_W: u64 = 4;
export const PTE_X: u64 = 8;
export const PTE_U: u64 = 16;
export const PTE_G: u64 = 32;
export const PTE_A: u64 = 64;
export const PTE_D: u64 = 128;
export const PTE_SPECIAL: u64 = 256;

export const PTE_PPN_SHIFT: u32 = 10;
export const PTE_LEVELS: u32 = 4;
export const PTRS_PER_TABLE: u32 = 512;
/** Bytes of address space under one leaf table: 2 MiB. */
export const PMD_SIZE: u64 = 0x20_0000;
/** Sv48: bits 63..47 of a user address are zero. */
export const USER_LIMIT: u64 = 0x8000_0000_0000;

export function pteMake(pfn: u32, flags: u64): u64 {
  return (<u64>pfn << PTE_PPN_SHIFT) | flags;
}

export function ptePfn(pte: u64): u32 {
  return <u32>(pte >> PTE_PPN_SHIFT);
}

export function ptePresent(pte: u64): bool {
  return (pte & PTE_V) != 0;
}

export function pteWritable(pte: u64): bool {
  return (pte & PTE_W) != 0;
}

export function pteDirty(pte: u64): bool {
  return (pte & PTE_D) != 0;
}

export function pteLeaf(pte: u64): bool {
  return (pte & (PTE_R | PTE_W | PTE_X)) != 0;
}

/** Index into the table of `level` (3 root .. 0 leaf). */
export function vpnIndex(address: u64, level: u32): u32 {
  return <u32>(address >> (12 + 9 * level)) & 511;
}
