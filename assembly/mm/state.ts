/*
 * The mm room's state: page frames, allocator, LRU, counters, tables of operations.
 *
 * Interface: MmState, mmState().
 * Invariants: [mmst-1] everything here is set at boot or changed under the lock named beside it.
 * Locks: zone_lock, lru_lock (spinlocks kept here).
 * Why not one struct per file: the host and the snapshot see one block, and boot clears it in one place.
 */
import { MM_STATE } from "../memlayout";
import { SpinLock } from "../sched/spinlock";
import { Task } from "../sched/state";
import { WaitQueue } from "../sched/wait-queue";
import { ListHead } from "../lib/list";
import { Page } from "./page";

/** Fault-lock regimes: index is BootConfig.faultLock (mm/fault-lock.ts). */
export const FAULT_LOCK_LINUX_4_19: u32 = 0;
export const FAULT_LOCK_LINUX_5_1: u32 = 1;
export const FAULT_LOCK_LINUX_6_7: u32 = 2;
export const FAULT_LOCK_REGIMES: u32 = 3;

@unmanaged
export class MmState {
  /** First pfn managed, and the number of frames. Immutable. */
  memMap: usize;
  firstPfn: u32;
  nFrames: u32;
  /** The shared page of zeros. */
  zeroPage: usize;
  /** Highest pfn ever handed out + 1: memory above is untouched. */
  highPfn: u32;
  freeNext: u32;
  freePrev: u32;
  /** Frames free in the zone, per-CPU lists not counted. zone_lock. */
  nrFree: u32;
  /** Per-CPU lists: nCpus entries of PcpList. */
  pcp: usize;
  nrPcp: u32;
  zoneLock0: u64;
  zoneLock1: u64;
  lruLock0: u64;
  lruLock1: u64;
  /** LRU lists: inactive and active file, anonymous. lru_lock. */
  inactiveNext: u32;
  inactivePrev: u32;
  activeNext: u32;
  activePrev: u32;
  nrInactive: u32;
  nrActive: u32;
  nrAnon: u32;
  nrFile: u32;
  nrDirty: u32;
  nrWriteback: u32;
  nrPageTables: u32;
  nrMlocked: u32;
  /** All address spaces in use. */
  mmListNext: u32;
  mmListPrev: u32;
  /** Watermarks, frames: below low reclaim starts, below min only TF_MEMALLOC may allocate. */
  wmarkMin: u32;
  wmarkLow: u32;
  wmarkHigh: u32;
  nextAsid: u32;
  asidGeneration: u64;
  /** Slab caches: pointers to KmemCache. */
  mmCache: usize;
  vmaCache: usize;
  faultLock: u32;
  mkwrite: u32;
  /** Defects of bacik-v3 that are on: bit n-1 for Dn (mm/bacik.ts). */
  bacikDefects: u32;
  /** Called when memory cannot be had: kernel/oom picks and kills. Returns whether somebody was killed. */
  oomFn: () => bool;
  /** Frees up to n frames; returns how many. mm/vmscan.ts, set at boot. */
  reclaimFn: (n: u32) => u32;
  /** A fault ends in a signal: (signal, address). Kernel room. */
  signalFn: (signal: u32, address: u64) => void;
  /** Takes a page that is being freed off the LRU (mm/vmscan.ts). */
  lruDelFn: (page: Page) => void;
  /** Makes an unlinked file for a shared anonymous mapping (fs room). Null on ENOMEM. */
  shmemFileFn: (lenBytes: u64) => usize;
  nextMmId: u32;
  /** Source of VmArea.seq. */
  vmaStamp: u32;
  /** Counters, monotonic since statsReset. */
  pgfault: u64;
  pgmajfault: u64;
  pgalloc: u64;
  pgfree: u64;
  /** Frames that were asked for in vain, injected failures too. */
  pgallocFailures: u64;
  zeroBytes: u64;
  copyBytes: u64;
  tlbShootdowns: u64;
  tlbShootdownPages: u64;
  ipis: u64;
  pgscan: u64;
  pgsteal: u64;
  oomKills: u64;
  faultRetries: u64;
  readaheadPages: u64;
  faultAroundPages: u64;
  /** Cursor for walks that do not sleep (lib/xarray's XaCursor), 16 bytes. */
  cursor0: u64;
  cursor1: u64;
  /** Latency histogram of faults (lib/histogram). */
  faultHist: usize;
  /** Lowest slab of frames for the page cache's file hooks: fs supplies (fs above mm). */
  fputFn: (file: usize) => void;

  /** The mkwrite regimes' counters (mm/mkwrite.ts): faults that asked, callback runs, unlocked attempts and their failures. */
  mkwriteFaults: u64;
  mkwriteRuns: u64;
  unlockedAttempts: u64;
  unlockedFailures: u64;
  stashAccepted: u64;
  mkwritePrepared: u64;
  mkwriteCompleted: u64;
  /** Times that `completed` found the lock taken, or the VMA moved. */
  completedLockMissed: u64;
  completedVmaMoved: u64;
  /** Stashes rejected, by REJECT_*; entry 0 stays 0. */
  rejected0: u64;
  rejected1: u64;
  rejected2: u64;
  rejected3: u64;
  rejected4: u64;
  rejected5: u64;
  rejected6: u64;
  rejected7: u64;
  /** Faults that tried the per-VMA lock, and those that had to take mmap_sem after all. */
  vmaLockFaults: u64;
  vmaLockMisses: u64;
  /** Stashes held now. */
  stashes: u32;
  /** Mappings with dirty pages, oldest first. */
  dirtyNext: u32;
  dirtyPrev: u32;
  flusher: Task;
  flusherKicked: u32;
  /** Frames that may be dirty or under writeback before the flusher writes, and before dirtiers sleep. */
  dirtyBackground: u32;
  dirtyThresh: u32;
  flusherWait0: u64;
  flusherWait1: u64;
  throttleWait0: u64;
  throttleWait1: u64;
  /** Allocations that wait for pages on their way to the disk. */
  reclaimWait0: u64;
  reclaimWait1: u64;
  dirtyThrottles: u64;
  dirtyThrottleNs: u64;
  /** Reservations of space that had to wait, and for how long (filesystems count them). */
  reserveWaits: u64;
  reserveWaitNs: u64;
  /** Pins and unpins an inode for the flusher (fs room). igrab is false for an inode on its way out: whoever evicts it does the rest. */
  igrabFn: (host: usize) => bool;
  iputFn: (host: usize) => void;
  /** fsync of bytes [start, end] of a file (fs room). */
  fsyncFn: (file: usize, startBytes: u64, endBytes: u64) => i32;

  get dirtyMappings(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<MmState>("dirtyNext"));
  }
  get flusherWait(): WaitQueue {
    return changetype<WaitQueue>(changetype<usize>(this) + offsetof<MmState>("flusherWait0"));
  }
  get throttleWait(): WaitQueue {
    return changetype<WaitQueue>(changetype<usize>(this) + offsetof<MmState>("throttleWait0"));
  }
  get reclaimWait(): WaitQueue {
    return changetype<WaitQueue>(changetype<usize>(this) + offsetof<MmState>("reclaimWait0"));
  }
  get cursor(): usize {
    return changetype<usize>(this) + offsetof<MmState>("cursor0");
  }
  get zoneLock(): SpinLock {
    return changetype<SpinLock>(changetype<usize>(this) + offsetof<MmState>("zoneLock0"));
  }
  get lruLock(): SpinLock {
    return changetype<SpinLock>(changetype<usize>(this) + offsetof<MmState>("lruLock0"));
  }
  get freeList(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<MmState>("freeNext"));
  }
  get inactive(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<MmState>("inactiveNext"));
  }
  get active(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<MmState>("activeNext"));
  }
  get mmList(): ListHead {
    return changetype<ListHead>(changetype<usize>(this) + offsetof<MmState>("mmListNext"));
  }
}

export function mmState(): MmState {
  return changetype<MmState>(MM_STATE);
}
