/*
 * The machine's counters by name, for the host.
 *
 * Interface: statValue(i), statName(i), statsReset().
 * Invariants: [stat-1] resetting counters changes nothing that the machine decides by.
 * Locks: none.
 * Why not expose structs: names outlive layouts.
 */
import { cowfsStat } from "../fs/cowfs/stats";
import { bitmapTest } from "../lib/bitmap";
import { traceClear } from "../lib/trace";
import { histInit } from "../lib/histogram";
import { cpuRoom } from "../cpu/tlb";
import { freePages } from "../mm/page-alloc";
import { MmState, mmState } from "../mm/state";
import { lockdepState } from "../sched/lockdep";
import { LC_MAX } from "../sched/lock-class";
import { LockStat } from "../sched/lockdep";
import { lockWaitReset } from "../sched/lock-wait";
import { cpuAt, sched } from "../sched/state";
import { slabState } from "../lib/slab";
import { recordersReset } from "./io-batch";
import { kernelState } from "./state";

export function statName(i: u32): string {
  switch (i) {
    case 0: return "faults";
    case 1: return "maj_flt";
    case 2: return "tlb_shootdowns";
    case 3: return "ipis";
    case 4: return "cache_line_transfers";
    case 5: return "context_switches";
    case 6: return "stack_switches";
    case 7: return "page_copy_bytes";
    case 8: return "page_zero_bytes";
    case 9: return "mmu_hits";
    case 10: return "mmu_walks";
    case 11: return "free_frames";
    case 12: return "page_allocs";
    case 13: return "page_frees";
    case 14: return "syscalls";
    case 15: return "fault_retries";
    case 16: return "oom_kills";
    case 17: return "pages_scanned";
    case 18: return "pages_stolen";
    case 19: return "readahead_pages";
    case 20: return "fault_around_pages";
    case 21: return "page_tables";
    case 22: return "dirty_pages";
    case 23: return "live_tasks";
    case 24: return "processes";
    case 25: return "save_area_high_water";
    case 26: return "unknown_syscalls";
    case 27: return "last_unknown_syscall";
    case 28: return "anon_pages";
    case 29: return "slab_bytes";
    case 30: return "slab_failures";
    case 31: return "context_wraps";
    case 32: return "oom_pid";
    case 33: return "oom_rss_pages";
    default: return regimeStatName(i);
  }
}

/** Counters of the regimes and of writeback. */
function regimeStatName(i: u32): string {
  switch (i) {
    case 34: return "mkwrite_faults";
    case 35: return "mkwrite_runs";
    case 36: return "mkwrite_unlocked_attempts";
    case 37: return "mkwrite_unlocked_failures";
    case 38: return "mkwrite_stash_accepted";
    case 39: return "mkwrite_prepared";
    case 40: return "mkwrite_completed";
    case 41: return "completed_lock_missed";
    case 42: return "completed_vma_moved";
    case 43: return "stash_rejected_mapping";
    case 44: return "stash_rejected_index";
    case 45: return "stash_rejected_clean";
    case 46: return "stash_rejected_writeback";
    case 47: return "stash_rejected_generation";
    case 48: return "stash_rejected_range";
    case 49: return "stash_rejected_forbidden";
    case 50: return "vma_lock_faults";
    case 51: return "vma_lock_misses";
    case 52: return "stashes";
    case 53: return "writeback_pages";
    case 54: return "dirty_throttles";
    case 55: return "dirty_throttle_ns";
    case 56: return "page_alloc_failures";
    case 57: return "cpu_idle_ns";
    case 58: return "cowfs_data_reserved";
    case 59: return "cowfs_meta_reserved";
    case 60: return "cowfs_tickets";
    case 61: return "cowfs_flushes";
    case 62: return "cowfs_commits";
    case 63: return "cowfs_csum_errors";
    case 64: return "cowfs_ordered_extents";
    case 65: return "cowfs_free_clusters";
    case 66: return "reservation_waits";
    case 67: return "reservation_wait_ns";
    case 68: return "instructions";
    default: return "";
  }
}

function regimeStatValue(i: u32): f64 {
  const m = mmState();
  switch (i) {
    case 34: return <f64>m.mkwriteFaults;
    case 35: return <f64>m.mkwriteRuns;
    case 36: return <f64>m.unlockedAttempts;
    case 37: return <f64>m.unlockedFailures;
    case 38: return <f64>m.stashAccepted;
    case 39: return <f64>m.mkwritePrepared;
    case 40: return <f64>m.mkwriteCompleted;
    case 41: return <f64>m.completedLockMissed;
    case 42: return <f64>m.completedVmaMoved;
    case 43: return <f64>m.rejected1;
    case 44: return <f64>m.rejected2;
    case 45: return <f64>m.rejected3;
    case 46: return <f64>m.rejected4;
    case 47: return <f64>m.rejected5;
    case 48: return <f64>m.rejected6;
    case 49: return <f64>m.rejected7;
    case 50: return <f64>m.vmaLockFaults;
    case 51: return <f64>m.vmaLockMisses;
    case 52: return <f64>m.stashes;
    case 53: return <f64>m.nrWriteback;
    case 54: return <f64>m.dirtyThrottles;
    case 55: return <f64>m.dirtyThrottleNs;
    case 56: return <f64>m.pgallocFailures;
    case 57: return <f64>sumIdle();
    case 66: return <f64>m.reserveWaits;
    case 67: return <f64>m.reserveWaitNs;
    case 68: return <f64>cpuRoom().instructions;
    default: return <f64>cowfsStat(i - 58);
  }
}

/** Time that CPUs have had no task since boot, those that have none now included. statsReset leaves it alone. */
function sumIdle(): u64 {
  const s = sched();
  let sum: u64 = 0;
  for (let id: u32 = 0; id < s.nCpus; id++) {
    const cpu = cpuAt(id);
    sum += cpu.idleNs;
    if (bitmapTest(s.idleMask, id) && s.machineNs > cpu.clockNs) sum += s.machineNs - cpu.clockNs;
  }
  return sum;
}

function sumHits(): u64 {
  let sum: u64 = 0;
  for (let id: u32 = 0; id < sched().nCpus; id++) sum += cpuAt(id).mmuHits;
  return sum;
}

function sumWalks(): u64 {
  let sum: u64 = 0;
  for (let id: u32 = 0; id < sched().nCpus; id++) sum += cpuAt(id).mmuWalks;
  return sum;
}

function sumSwitches(): u64 {
  let sum: u64 = 0;
  for (let id: u32 = 0; id < sched().nCpus; id++) sum += cpuAt(id).switches;
  return sum;
}

export function statValue(i: u32): f64 {
  const m = mmState();
  switch (i) {
    case 0: return <f64>m.pgfault;
    case 1: return <f64>m.pgmajfault;
    case 2: return <f64>m.tlbShootdowns;
    case 3: return <f64>m.ipis;
    case 4: return <f64>sched().lineTransfers;
    case 5: return <f64>sumSwitches();
    case 6: return <f64>sched().switches;
    case 7: return <f64>m.copyBytes;
    case 8: return <f64>m.zeroBytes;
    case 9: return <f64>sumHits();
    case 10: return <f64>sumWalks();
    case 11: return <f64>freePages();
    case 12: return <f64>m.pgalloc;
    case 13: return <f64>m.pgfree;
    case 14: return <f64>kernelState().syscalls;
    case 15: return <f64>m.faultRetries;
    case 16: return <f64>m.oomKills;
    case 17: return <f64>m.pgscan;
    default: return statValueHigh(i);
  }
}

function statValueHigh(i: u32): f64 {
  const m = mmState();
  switch (i) {
    case 18: return <f64>m.pgsteal;
    case 19: return <f64>m.readaheadPages;
    case 20: return <f64>m.faultAroundPages;
    case 21: return <f64>m.nrPageTables;
    case 22: return <f64>m.nrDirty;
    case 23: return <f64>sched().liveTasks;
    case 24: return <f64>kernelState().nrProcesses;
    case 25: return <f64>sched().saveHighWater;
    case 26: return <f64>kernelState().unknownSyscalls;
    case 27: return <f64>kernelState().lastUnknown;
    case 28: return <f64>m.nrAnon;
    case 29: return <f64>(slabState().next - slabState().base);
    case 30: return <f64>slabState().failures;
    case 31: return <f64>cpuRoom().contextWraps;
    case 32: return <f64>kernelState().lastOomPid;
    case 33: return <f64>kernelState().lastOomRss;
    default: return regimeStatValue(i);
  }
}

/** The end of a warm-up: counters, lock_stat and the fault histogram start at zero. */
export function statsReset(): void {
  const m = mmState();
  m.pgfault = 0;
  m.pgmajfault = 0;
  m.pgalloc = 0;
  m.pgfree = 0;
  m.pgallocFailures = 0;
  m.zeroBytes = 0;
  m.copyBytes = 0;
  m.tlbShootdowns = 0;
  m.tlbShootdownPages = 0;
  m.ipis = 0;
  m.pgscan = 0;
  m.pgsteal = 0;
  m.faultRetries = 0;
  m.readaheadPages = 0;
  m.faultAroundPages = 0;
  m.dirtyThrottles = 0;
  m.dirtyThrottleNs = 0;
  m.reserveWaits = 0;
  m.reserveWaitNs = 0;
  const first = changetype<usize>(m) + offsetof<MmState>("mkwriteFaults");
  memory.fill(first, 0, offsetof<MmState>("stashes") - offsetof<MmState>("mkwriteFaults"));
  sched().lineTransfers = 0;
  sched().switches = 0;
  kernelState().syscalls = 0;
  for (let id: u32 = 0; id < sched().nCpus; id++) {
    cpuAt(id).mmuHits = 0;
    cpuAt(id).mmuWalks = 0;
    cpuAt(id).switches = 0;
  }
  memory.fill(lockdepState().stats, 0, LC_MAX * 2 * offsetof<LockStat>());
  if (m.faultHist != 0) histInit(m.faultHist);
  lockWaitReset();
  recordersReset();
  traceClear();
}
