/*
 * The map of linear memory, and the boot-time allocator that carves it.
 *
 *     0x0000  null page: nothing lives here, so that a null struct reads zeros and a null store is easy to spot
 *     0x0400  SCHED_STATE      sched room: clock, current task, dispatcher, lockdep heads
 *     0x0800  CPU_STATE        cpu room: TLB geometry, counters, trap vector
 *     0x0c00  BLOCK_STATE      block room
 *     0x1000  LIB_STATE        lib room: slab arena, trace ring
 *     0x1400  MM_STATE         mm room: page allocator, LRU, tables of operations
 *     0x1c00  FS_STATE         fs room
 *     0x2000  KERNEL_STATE     kernel room: system-call table, statistics
 *     0x2800  BOOT_CONFIG      the host writes it before boot()
 *     0x2a00  SCRIPTED_FS      names and opt-in of filesystems that the host runs; the host writes it before boot()
 *     0x2c00  COST_TABLE       256 costs in ns (u32), named in sched/cost.ts
 *     0x3000  PANIC_TEXT       what a failed law had to say (UTF-8, for the host)
 *     0x4000  STATIC_BASE      asc's static data (function objects, assert texts): asconfig's memoryBase
 *     0x20000 BOOT_BASE        carved by bootAlloc, in boot order: cpus, tasks, save areas, tables, rings, arena
 *             ...              page frames, page aligned, to the end of memory
 *
 * Interface: the constants, bootAllocInit, bootAlloc.
 * Invariants:
 *   [layout-1] every mutable byte of the kernel is in this memory; a copy of it is a snapshot.
 *   [layout-2] nothing is carved after boot: bootAllocSeal closes the allocator.
 * Locks: none (boot only).
 * Why not wasm globals or the runtime's heap: a copy of memory does not restore a global (DESIGN D2).
 */

export const SCHED_STATE: usize = 0x0400;
export const CPU_STATE: usize = 0x0800;
export const BLOCK_STATE: usize = 0x0c00;
export const LIB_STATE: usize = 0x1000;
export const MM_STATE: usize = 0x1400;
export const FS_STATE: usize = 0x1c00;
export const KERNEL_STATE: usize = 0x2000;
export const BOOT_CONFIG: usize = 0x2800;
export const SCRIPTED_FS: usize = 0x2a00;
/** Which mutant the kernel is (lib/mutant.ts), behind the boot allocator's state. */
export const MUTANT_STATE: usize = BOOT_CONFIG + 0x3f0;
export const COST_TABLE: usize = 0x2c00;
export const PANIC_TEXT: usize = 0x3000;
export const PANIC_TEXT_BYTES: u32 = 0x1000;
export const STATIC_BASE: usize = 0x4000;
export const BOOT_BASE: usize = 0x20000;

/** Page geometry of the emulated machine (RISC-V Sv48, 4 KiB base pages). */
export const PAGE_SHIFT: u32 = 12;
export const PAGE_SIZE: u32 = 4096;
export const PAGE_MASK: u32 = 4095;

/** The carving state sits at the end of the boot configuration's 1 KiB. */
@unmanaged
export class BootAlloc {
  /** Next free byte. */
  next: usize;
  /** First byte that may not be used. */
  limit: usize;
  /** 1 after bootAllocSeal. */
  sealed: u32;
}

const BOOT_ALLOC: usize = BOOT_CONFIG + 0x3e0;

export function bootAllocInit(limit: usize): void {
  const boot = changetype<BootAlloc>(BOOT_ALLOC);
  assert(<usize>__heap_base <= BOOT_BASE, "static data runs into BOOT_BASE: raise it in memlayout.ts");
  boot.next = BOOT_BASE;
  boot.limit = limit;
  boot.sealed = 0;
}

/** Carves `lenBytes` at `alignBytes` (a power of two). Returns 0 when memory is too small; memory arrives zeroed. */
export function bootAlloc(lenBytes: usize, alignBytes: usize): usize {
  const boot = changetype<BootAlloc>(BOOT_ALLOC);
  assert(boot.sealed == 0, "[layout-2] bootAlloc after boot");
  assert((alignBytes & (alignBytes - 1)) == 0, "alignment is a power of two");
  const at = (boot.next + alignBytes - 1) & ~(alignBytes - 1);
  if (at + lenBytes > boot.limit || at + lenBytes < at) return 0;
  boot.next = at + lenBytes;
  return at;
}

/** Closes the allocator and returns the first byte that was not carved. */
export function bootAllocSeal(): usize {
  const boot = changetype<BootAlloc>(BOOT_ALLOC);
  boot.sealed = 1;
  return boot.next;
}

/** Bytes that are still to be carved. */
export function bootAllocLeft(): usize {
  const boot = changetype<BootAlloc>(BOOT_ALLOC);
  return boot.limit - boot.next;
}
