/*
 * The machine's counters by name, for the host.
 *
 * Interface: statValue(i), statName(i), statsReset().
 * Invariants: [stat-1] resetting counters changes nothing that the machine decides by.
 * Locks: none.
 * Why not expose structs: names outlive layouts.
 */
import { traceClear } from "../lib/trace";
import { histInit } from "../lib/histogram";
import { cpuRoom } from "../cpu/tlb";
import { freePages } from "../mm/page-alloc";
import { mmState } from "../mm/state";
import { lockdepState } from "../sched/lockdep";
import { LC_MAX } from "../sched/lock-class";
import { LockStat } from "../sched/lockdep";
import { cpuAt, sched } from "../sched/state";
import { slabState } from "../lib/slab";
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
    default: return "";
  }
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
    default: return 0;
  }
}

/** The end of a warm-up: counters, lock_stat and the fault histogram start at zero. */
export function statsReset(): void {
  const m = mmState();
  m.pgfault = 0;
  m.pgmajfault = 0;
  m.pgalloc = 0;
  m.pgfree = 0;
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
  traceClear();
}
