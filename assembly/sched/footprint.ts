/*
 * What each step of an explored machine has read and written, kept as hashes: two orders of steps that do not touch each other's memory
 * come to the same hash, and the explorer goes on from one of them only.
 *
 *     granule (8 bytes):  version = hash of the version before, of its writer's history, of its address
 *     task:               history = hash of the versions that it has read, and of the points that it has passed
 *     state:              XOR of all versions and of all histories
 *
 * The host rewrites the module so that every load and store calls noteLoad or noteStore first (src/sim/explore/instrument.ts); in the
 * module as it is built nobody calls them.
 *
 * Interface: noteLoad, noteStore, noteRead, noteWrite for the rewritten module; footprintInit, footprintExclude, footprintBegin,
 *            footprintEnter, footprintLeave, footprintEvent, footprintPoint, footprintStep, footprintSeen.
 * Invariants:
 *   [fp-1] equal hashes: every value that was computed from is of the same origin, so all tasks are where they were and memory is alike,
 *          times apart (64-bit hashes; chance alone could make two states equal).
 *   [fp-2] what is left out is what no decision of an explored machine is taken by: clocks, counters, statistics, the trace, run queues
 *          of CPUs (their tasks are in the hash), save areas (functions of their task's history).
 *   [fp-3] a note reaches no import, no assert: Asyncify would take it for something that may block, and it runs in the middle of rewinds.
 * Locks: none.
 * Why not the values themselves: a time stamp differs between any two orders, and the stack of a task that runs is not in memory.
 */
import { SCHED_STATE } from "../memlayout";
import { Event } from "./event";
import { Cpu, STRIDE_SKEW, SchedState, TASK_STRIDE, Task, cpuAt, sched } from "./state";

@unmanaged
class FootprintState {
  /** A u32 a granule: the run that wrote it last, or EXCLUDED. 0: off. */
  runs: usize;
  /** A u64 a granule: its version, when `runs` says that it is of this run. */
  versions: usize;
  /** Bytes of memory that are looked at. */
  limit: usize;
  run: u32;
  /** The history of who runs. */
  history: u64;
  state: u64;
  /** Histories of tasks that do not run, u64 each by slot. */
  histories: usize;
  /** Open addressing, 2^n words: hash in the upper 56 bits, preemptions left in the lower 8. */
  seen: usize;
  seenMask: u32;
  on: u32;
  /** A u32 a granule: step << 1 | written, of its last access; 0: steps are not recorded. */
  stamps: usize;
  /** What each step touches: granule << 1 | written, u32 each. */
  steps: usize;
  stepsEnd: usize;
  step: u32;
}

/** Between explore.ts's state and lockdep's. */
const FOOTPRINT_STATE: usize = SCHED_STATE + 0x2c0;
const EXCLUDED: u32 = u32.MAX_VALUE;
const PROBES: u32 = 16;
/** Room for the footprints of one schedule's steps. */
const STEPS_BYTES: usize = 2 << 20;

function fp(): FootprintState {
  return changetype<FootprintState>(FOOTPRINT_STATE);
}

function mix(h: u64, x: u64): u64 {
  let z = (h ^ x) * 0x9e37_79b9_7f4a_7c15;
  z = (z ^ (z >> 32)) * 0xd6e8_feb8_6659_fd93;
  return z ^ (z >> 29);
}

export function noteLoad(at: usize): void {
  const f = fp();
  if (at >= f.limit) return;
  const granule = at >> 3;
  if (f.stamps != 0) record(f, granule, 0);
  if (load<u32>(f.runs + (granule << 2)) != f.run) return;
  f.history = mix(f.history, load<u64>(f.versions + (granule << 3)));
}

export function noteStore(at: usize): void {
  const f = fp();
  if (at >= f.limit) return;
  const granule = at >> 3;
  const tag = f.runs + (granule << 2);
  const by = load<u32>(tag);
  if (by == EXCLUDED) return;
  if (f.stamps != 0) record(f, granule, 1);
  const slot = f.versions + (granule << 3);
  const old: u64 = by == f.run ? load<u64>(slot) : 0;
  const version = mix(old ^ f.history, <u64>granule);
  store<u32>(tag, f.run);
  store<u64>(slot, version);
  f.state ^= old ^ version;
}

/** The step's footprint: each granule once, twice when it is read first and written then. */
function record(f: FootprintState, granule: usize, written: u32): void {
  if (load<u32>(f.runs + (granule << 2)) == EXCLUDED) return;
  const slot = f.stamps + (granule << 2);
  const stamp = load<u32>(slot);
  if (stamp >> 1 == f.step && (stamp & 1) >= written) return;
  store<u32>(slot, (f.step << 1) | written);
  if (f.stepsEnd == f.steps + STEPS_BYTES) return;
  store<u32>(f.stepsEnd, <u32>(granule << 1) | written);
  f.stepsEnd += 4;
}

/** A step ends here: the index of the next one's footprint. */
export function footprintStep(): u32 {
  const f = fp();
  if (f.stamps == 0) return 0;
  f.step++;
  assert(f.stepsEnd < f.steps + STEPS_BYTES, "the footprints of a schedule's steps fit");
  return <u32>(f.stepsEnd - f.steps) >> 2;
}

export function noteRead(at: usize, lenBytes: usize): void {
  if (lenBytes == 0) return;
  for (let granule = at & ~7; granule < at + lenBytes; granule += 8) noteLoad(granule);
}

export function noteWrite(at: usize, lenBytes: usize): void {
  if (lenBytes == 0) return;
  for (let granule = at & ~7; granule < at + lenBytes; granule += 8) noteStore(granule);
}

/** Where the host keeps it all, behind the machine's memory of `limit` bytes. `histories` and `seen` come zeroed. */
export function footprintInit(runs: usize, versions: usize, limit: usize, histories: usize, seen: usize, seenWords: u32): void {
  assert((seenWords & (seenWords - 1)) == 0, "the table of states is a power of two");
  const f = fp();
  f.runs = runs;
  f.versions = versions;
  f.histories = histories;
  f.seen = seen;
  f.seenMask = seenWords - 1;
  f.limit = 0;
  excludeScheduler(sched(), limit);
}

/** Leaves out bytes that no decision is taken by. */
export function footprintExclude(at: usize, lenBytes: usize): void {
  const f = fp();
  for (let granule = at >> 3; granule < (at + lenBytes + 7) >> 3; granule++) store<u32>(f.runs + (granule << 2), EXCLUDED);
}

function excludeScheduler(s: SchedState, limit: usize): void {
  assert(limit >> 3 != 0, "there is memory to look at");
  footprintExclude(SCHED_STATE, 0x400);
  for (let id: u32 = 0; id < s.nCpus; id++) {
    // Clock, slice, switches, current, run queue: who can run is known from the tasks.
    footprintExclude(changetype<usize>(cpuAt(id)), offsetof<Cpu>("activeMm") & ~7);
    footprintExclude(changetype<usize>(cpuAt(id)) + offsetof<Cpu>("mmuHits"), 8);
  }
  footprintExclude(s.treeKeys, s.treeLeaves << 4);
  footprintExclude(s.treeIds, s.treeLeaves << 3);
  footprintExclude(s.saveAreas, s.nTasks * (s.saveAreaBytes + STRIDE_SKEW));
}

/** A schedule begins: `run` is a number that no schedule has had; 0 turns it off. With `stamps` steps are recorded, at `steps`. */
export function footprintBegin(run: u32, limit: usize, stamps: usize, steps: usize): void {
  const f = fp();
  f.stamps = stamps;
  f.steps = steps;
  f.stepsEnd = steps;
  f.step = run << 10;
  f.on = run;
  f.run = run;
  f.limit = run == 0 ? 0 : limit;
  f.history = 0;
  f.state = 0;
  if (run != 0) memory.fill(f.histories, 0, sched().nTasks << 3);
}

function slotOf(task: Task): usize {
  const index = (changetype<usize>(task) - sched().tasks) / TASK_STRIDE;
  return fp().histories + (index << 3);
}

/** A task is about to run. */
export function footprintEnter(task: Task): void {
  const f = fp();
  if (f.on != 0) f.history = mix(load<u64>(slotOf(task)), <u64>task.id);
}

/** It does not run any more. */
export function footprintLeave(task: Task): void {
  const f = fp();
  if (f.on != 0) store<u64>(slotOf(task), f.history);
}

/** A handler's history begins with its event. */
export function footprintEvent(event: Event): void {
  const f = fp();
  if (f.on != 0) f.history = mix(event.data, <u64>changetype<usize>(event.handler));
}

/** The running task passes a point. */
export function footprintPoint(): void {
  const f = fp();
  f.history = mix(f.history, 1);
}

/** Events in the order in which they are due: times are not in the hash, their order is. */
function eventsHash(event: Event, hash: u64): u64 {
  if (changetype<usize>(event) == 0) return hash;
  hash = mix(hash ^ event.data, <u64>changetype<usize>(event.handler));
  return eventsHash(event.sibling, eventsHash(event.child, hash));
}

/** Whether a state like this one was met with as many preemptions left; notes it when not. */
export function footprintSeen(current: u32, task: Task, left: u32): bool {
  const f = fp();
  const s = sched();
  let hash = mix(f.state, current);
  for (let slot: u32 = 0; slot < s.nTasks; slot++) {
    const at = f.histories + (slot << 3);
    const runs = changetype<usize>(task) != 0 && slotOf(task) == at;
    hash = mix(hash, runs ? f.history : load<u64>(at));
  }
  hash = eventsHash(changetype<Event>(s.eventRoot), hash);
  const key = hash & ~0xff;
  for (let probe: u32 = 0; probe < PROBES; probe++) {
    const at = f.seen + (((<u32>(hash >> 32) + probe) & f.seenMask) << 3);
    const word = load<u64>(at);
    if (word == 0 || (word & ~0xff) == key) {
      if (word != 0 && <u32>(word & 0xff) > left) return true;
      store<u64>(at, key | <u64>(left + 1));
      return false;
    }
  }
  return false;
}

export function footprintOn(): bool {
  return fp().on != 0;
}

/** Whether states that were met are looked up: not where steps are recorded, since a sleeping step makes a state met in part only. */
export function footprintPrunes(): bool {
  return fp().on != 0 && fp().stamps == 0;
}
