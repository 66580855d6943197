/*
 * Limits of the machine, each with its reason, and the boot configuration that the host fills in.
 *
 * Interface: the limits, BootConfig, bootConfig().
 * Invariants: [config-1] a limit is enforced where the table is carved; exceeding it is an errno for a guest, never a trap.
 * Locks: immutable after boot.
 * Why not constants for everything: exploration wants machines of 1 MiB, measurement machines of 1 GiB.
 */
import { BOOT_CONFIG } from "./memlayout";

/** 128 CPUs fill a 4-word CPU mask; the measured scaling curve has 144, the issue asks for 128. */
export const MAX_CPUS: u32 = 128;
/** Words of a CPU mask. */
export const CPU_MASK_WORDS: u32 = 4;
/** Tasks: 128 guests, their forks, and kernel threads; the table is carved by config.maxTasks up to this. */
export const MAX_TASKS: u32 = 4096;
/** Open files of one process. Linux's default soft limit is 1024; 128 threads with a file each need more than 128. */
export const MAX_FDS: u32 = 256;
/** Nested locks of one task; Linux's lockdep allows 48, the deepest chain of SCENARIOS 2.1 is 9. */
export const MAX_HELD_LOCKS: u32 = 16;
/** Histograms for guests: ten for each of 128 jobs, and some. */
export const MAX_RECORDERS: u32 = 2048;
/** Longest path component, as in Linux. */
export const NAME_MAX: u32 = 255;
/** Longest path, as in Linux. */
export const PATH_MAX: u32 = 4096;
/** VMAs of one mm, as Linux's sysctl vm.max_map_count. */
export const MAX_MAP_COUNT: u32 = 65530;
/** Pages of one mm's VMAs together: 8 TiB, so that sums of two mappings fit a u32. Linux's bound is RLIMIT_AS and overcommit. */
export const MAX_TOTAL_VM: u64 = 0x7fff_ffff;
/** First and last+1 byte a user mapping may cover: page 0 stays unmapped (mmap_min_addr), Sv48's user half ends at 2^47. */
export const MMAP_MIN_ADDR: u64 = 0x10000;
export const TASK_SIZE: u64 = 0x8000_0000_0000;
/** mmap searches downwards from here (below it the stack's gap). */
export const MMAP_BASE: u64 = 0x7fff_f000_0000;
/** The program break starts here. */
export const BRK_BASE: u64 = 0x5555_0000_0000;

/** What the host decides about a machine. Offsets are exported through the layout table (kernel/layout.ts). */
@unmanaged
export class BootConfig {
  /** Seed of every random choice of the kernel. */
  seed: u64;
  /** Emulated CPUs, 1..MAX_CPUS. */
  cpus: u32;
  /** Sockets the CPUs are spread over, in blocks of equal size. A line moves more slowly between sockets. */
  sockets: u32;
  /** Page frames for guests and page cache. */
  frames: u32;
  /** All of linear memory. */
  memoryBytes: u32;
  /** Task table size. */
  maxTasks: u32;
  /** Bytes of a task's save area (asyncify frames). */
  saveAreaBytes: u32;
  /** TLB entries per CPU, a power of two. */
  tlbEntries: u32;
  /** Bytes of the slab arena: VMAs, inodes, xarray nodes, files ... */
  arenaBytes: u32;
  /** Trace ring capacity in events, a power of two. */
  traceEvents: u32;
  /** 1: events go into the ring; counters always run. */
  traceOn: u32;
  /** 0 default (time, FIFO), 1 seeded random, 2 scripted from the choice buffer. */
  choicePolicy: u32;
  /** Capacity of the choice log and of the choice script, entries. */
  choiceLog: u32;
  /** Fault-lock regime, index into the table of mm/fault-lock.ts. */
  faultLock: u32;
  /** page_mkwrite regime, index into the table of mm/memory.ts. */
  mkwrite: u32;
  /** Disk size in 4 KiB blocks; 0: no disk. */
  diskBlocks: u32;
  /** Time slice, ns. */
  sliceNs: u32;
  /** Readahead window of a file, pages (Linux: 32 = 128 KiB). */
  raPages: u32;
  /** Fault-around window, pages (Linux: 16 = 64 KiB). */
  faultAroundPages: u32;
  /** How far a CPU may run ahead of the others on lines that are its own, ns (sched/core.ts). */
  skewNs: u32;
  /** 1: fill freed pages with poison (Linux's page_poison). */
  pagePoison: u32;
  /** Defects of the bacik-v3 regime that are on, bit n-1 for Dn (mm/bacik.ts). */
  bacikDefects: u32;
  /** Filesystems that the host runs: entries of the SCRIPTED_FS table (memlayout.ts). */
  scriptedFs: u32;
  /** Histograms for what guests measure (kernel/io-batch.ts). */
  recorders: u32;
  /** Code pages that programs' instructions are decoded into (cpu/rv64/code-page.ts); 0: no program can be started. */
  codePages: u32;
}

export function bootConfig(): BootConfig {
  return changetype<BootConfig>(BOOT_CONFIG);
}
