/*
 * The explorer's calls: where its log and its footprints are, how the next schedule is chosen, and how far it came.
 *
 * Interface: exploreInit, exploreBegin, explorePoints, explorePruned, footprints; and the notes that a rewritten module takes.
 * Invariants: [kx-1] in a build without EXPLORE these are there and say nothing.
 * Locks: none; the host calls between two steps of the machine.
 * Why not abi.ts: the explorer knows more of the rooms than any other host call: what in them no decision is taken by.
 */
import { HISTOGRAM_BYTES } from "../lib/histogram";
import { TRACE_END, traceState } from "../lib/trace";
import { MmState, mmState } from "../mm/state";
import { exploreBegin as begin, exploreInit as init, exploreState } from "../sched/explore";
import { footprintBegin, footprintExclude, footprintInit, footprintStep } from "../sched/footprint";
import { LC_MAX } from "../sched/lock-class";
import { LOCK_WAIT_BYTES } from "../sched/lock-wait";
import { LockStat, lockdepState } from "../sched/lockdep";
import { KernelState, kernelState } from "./state";

export { noteLoad, noteRead, noteStore, noteWrite } from "../sched/footprint";

/** The log (24 bytes a point, `limit` of them) and the script. */
export function exploreInit(log: u32, limit: u32, script: u32): void {
  if (EXPLORE) init(<usize>log, limit, <usize>script);
}

/** Before a schedule: EXPLORE_SCRIPT with its bound, _RANDOM or _PCT with its parameter, or _QUIET; and the words of script in place. */
export function exploreBegin(mode: u32, seed: u32, param: u32, length: u32): void {
  if (EXPLORE) begin(mode, seed, param, length);
}

/** Points of the log; -1: there were more than it holds, and the run was stopped. */
export function explorePoints(): i32 {
  const e = exploreState();
  return e.overrun != 0 ? -1 : <i32>e.points;
}

/** 1: the schedule was stopped where it came to a state that had been met before. */
export function explorePruned(): u32 {
  return exploreState().pruned;
}

/** Where footprints are kept (sched/footprint.ts), all zeroed, behind the machine's memory, which ends at `limit`. */
export function footprintsInit(runs: u32, versions: u32, limit: u32, histories: u32, seen: u32, seenWords: u32): void {
  if (!EXPLORE) return;
  footprintInit(<usize>runs, <usize>versions, <usize>limit, <usize>histories, <usize>seen, seenWords);
  const m = mmState();
  const at = changetype<usize>(m);
  footprintExclude(at + offsetof<MmState>("pgfault"), offsetof<MmState>("faultHist") - offsetof<MmState>("pgfault"));
  footprintExclude(at + offsetof<MmState>("mkwriteFaults"), offsetof<MmState>("stashes") - offsetof<MmState>("mkwriteFaults"));
  footprintExclude(at + offsetof<MmState>("dirtyThrottles"), offsetof<MmState>("igrabFn") - offsetof<MmState>("dirtyThrottles"));
  if (m.faultHist != 0) footprintExclude(m.faultHist, HISTOGRAM_BYTES);
  footprintExclude(changetype<usize>(kernelState()) + offsetof<KernelState>("syscalls"), 8);
  const d = lockdepState();
  footprintExclude(d.rows, LC_MAX * 8);
  footprintExclude(d.chains, LC_MAX * LC_MAX * 8);
  footprintExclude(d.stats, LC_MAX * 2 * offsetof<LockStat>());
  footprintExclude(d.waits, LOCK_WAIT_BYTES);
  // Up to the end of its counters; the sites of failure lie between.
  footprintExclude(changetype<usize>(traceState()), TRACE_END - changetype<usize>(traceState()));
}

/** A schedule's footprints begin: a number that none has had; 0: none are kept. `stamps`: where steps are stamped, 0 for not at all. */
export function footprintsBegin(run: u32, limit: u32, stamps: u32, steps: u32): void {
  if (EXPLORE) footprintBegin(run, <usize>limit, <usize>stamps, <usize>steps);
}

/** u32 entries of the footprints of the schedule's steps. */
export function footprintsLength(): u32 {
  return EXPLORE ? footprintStep() : 0;
}
