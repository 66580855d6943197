/**
 * Page tables seen from the host: the walk that the emulated MMU makes, level by level, and the bits of an entry in words.
 *
 * Interface: walkPageTable, PageTableStep, pteFlags, PTE_FLAGS.
 * Invariants: [hpt-1] the walk only reads: no A or D is set, no TLB filled.
 * Locks: none; the host looks between two steps of the machine.
 * Why not a view in the kernel: the tables are Sv48's, in guest frames; who knows the root can read them.
 */

/** One level of a walk. */
export interface PageTableStep {
  /** 3 is the root, 0 the leaf table. */
  level: number;
  /** Physical address of the table. */
  table: number;
  /** Entry of the table, 0 to 511. */
  index: number;
  entry: bigint;
}

/** Sv48's flags from bit 0, and what each grants or notes. */
export const PTE_FLAGS = [
  ["V", "valid"],
  ["R", "loads allowed"],
  ["W", "stores allowed"],
  ["X", "fetches allowed"],
  ["U", "user mode"],
  ["G", "global"],
  ["A", "accessed"],
  ["D", "dirty"],
] as const;

const LEVELS = 4;
const V = 1n;

/** The entries that a walk for `address` reads, root first; it ends at the leaf or at the first entry that is not valid. */
export function walkPageTable(memory: ArrayBufferLike, root: number, address: number): PageTableStep[] {
  const view = new DataView(memory);
  const steps: PageTableStep[] = [];
  let table = root;
  for (let level = LEVELS - 1; level >= 0; level--) {
    const index = Number((BigInt(address) >> BigInt(12 + 9 * level)) & 511n);
    const entry = view.getBigUint64(table + index * 8, true);
    steps.push({ level, table, index, entry });
    if ((entry & V) === 0n) break;
    table = Number(entry >> 10n) * 4096;
  }
  return steps;
}

/** The letters of the flags that are set, in Sv48's order from V: "VRWUAD". */
export function pteFlags(entry: bigint): string {
  return PTE_FLAGS.map(([letter], bit) => ((entry >> BigInt(bit)) & 1n ? letter : "")).join("");
}
