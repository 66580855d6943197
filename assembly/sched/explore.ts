/*
 * The exploring policy: at every sync point, and whenever a task cannot go on, the next step is that of any CPU with work, or the earliest
 * event. What is chosen comes from a script of deviations, from a seeded walk, or from priorities (PCT).
 *
 *     sync point of CPU 1:   candidates  cpu 0 | cpu 1 (running) | event       script: "point 17: cpu 0"       log: 17, candidates, answer
 *
 * Interface: exploreInit, exploreBegin, exploreStays, exploreNext, exploring, EXPLORE_EVENT, EXPLORE_NONE, ExplorePoint for the host.
 * Invariants:
 *   [ex-1] the same script gives the same run; the log's answers that differ from the default, as a script, are the run.
 *   [ex-2] time is one clock for all CPUs: no step begins before one that was run earlier has ended.
 *   [ex-3] a deviation that names no candidate of its point is passed over: a script stays good when it is shrunk.
 *   [ex-4] who has run FAIR points on end while another could gives way once: a task that spins does not hold the machine up.
 * Locks: none.
 * Why not choose(): its answers are numbers among n; an explorer needs to know whom they name, and who was running.
 *
 * Log, script and priorities lie behind the machine's memory: no snapshot holds them, no restore takes them back.
 */
import { SCHED_STATE } from "../memlayout";
import { prngBelow, prngSeed } from "../lib/prng";
import { CHOICE_POLICY_EXPLORE } from "./choice";
import { footprintOn, footprintPoint, footprintPrunes, footprintSeen, footprintStep } from "./footprint";
import { Cpu, SWITCH_YIELD, SchedState, Task, cpuAt, isNullTask } from "./state";

/** A candidate's name: a CPU's id, or the earliest event. */
export const EXPLORE_EVENT: u32 = 31;
/** Nobody; as `current`: the task that ran last cannot go on. */
export const EXPLORE_NONE: u32 = 0xff;
/** A script with nothing in it is the default order. */
export const EXPLORE_SCRIPT: u32 = 0;
/** One in `param` points switches, to anybody. */
export const EXPLORE_RANDOM: u32 = 1;
/** The highest priority runs; at each of `param` points the running one falls behind all others. */
export const EXPLORE_PCT: u32 = 2;
/** The default order, and nothing noted: before a race and after it. */
export const EXPLORE_QUIET: u32 = 3;
const FAIR: u32 = 2000;

/** A point of the log: 24 bytes. */
@unmanaged
export class ExplorePoint {
  /** Candidates, a bit each. */
  mask: u32;
  /** CPU of the running task, or EXPLORE_NONE. */
  current: u8;
  answer: u8;
  /** What an empty script would have answered. */
  byDefault: u8;
  pad: u8;
  timeNs: u64;
  /** Where the footprint of the step that follows begins. */
  footprint: u32;
  padEnd: u32;
}

@unmanaged
export class ExploreState {
  /** prng state, 16 bytes. */
  prng0: u64;
  prng1: u64;
  log: usize;
  /** ExplorePoints that fit; a run of more points is stopped. */
  limit: u32;
  points: u32;
  /**
   * EXPLORE_SCRIPT: point << 8 | candidate, u32 each, by point; param is the bound of preemptions, where footprints are kept.
   * EXPLORE_PCT: the points of change, then 32 priorities.
   */
  script: usize;
  scriptLength: u32;
  scriptNext: u32;
  mode: u32;
  param: u32;
  /** Chosen at a sync point for the dispatcher, or EXPLORE_NONE. */
  next: u32;
  /** The CPU that was run last. */
  running: u32;
  /** Points on end that one candidate has run while another could. */
  streak: u32;
  /** 1: the log was full. */
  overrun: u32;
  /** 1: the last step was an event's. */
  afterEvent: u32;
  /** Preemptions so far. */
  cost: u32;
  /** 1: the run came to a state that was met before, and was stopped there. */
  pruned: u32;
}

/** Between choice.ts's state and lockdep's. */
const EXPLORE_STATE: usize = SCHED_STATE + 0x260;

export function exploreState(): ExploreState {
  return changetype<ExploreState>(EXPLORE_STATE);
}

/** Where log and script are: from the host, once after boot. */
export function exploreInit(log: usize, limit: u32, script: usize): void {
  assert(limit != 0 && log < script, "the log has room, and the script lies behind it");
  const e = exploreState();
  e.log = log;
  e.limit = limit;
  e.script = script;
  e.mode = EXPLORE_QUIET;
  e.running = EXPLORE_NONE;
  e.next = EXPLORE_NONE;
}

/** Before a schedule: how it is chosen. The host has put `length` words of script in place. */
export function exploreBegin(mode: u32, seed: u64, param: u32, length: u32): void {
  assert(mode <= EXPLORE_QUIET, "a schedule is chosen in one of four ways");
  assert(mode != EXPLORE_RANDOM || param != 0, "a walk leaves the running task at one point in so many");
  const e = exploreState();
  prngSeed(EXPLORE_STATE, seed);
  e.mode = mode;
  e.param = param;
  e.points = 0;
  e.scriptLength = length;
  e.scriptNext = 0;
  e.streak = 0;
  e.overrun = 0;
  e.afterEvent = 0;
  e.cost = 0;
  e.pruned = 0;
  e.next = EXPLORE_NONE;
}

export function exploring(s: SchedState): bool {
  return s.choicePolicy == CHOICE_POLICY_EXPLORE;
}

/** CPUs with a task to run, and the event, a bit each. */
function candidates(s: SchedState): u32 {
  const busy = ~s.idle0 & ((1 << s.nCpus) - 1);
  return s.eventRoot != 0 ? busy | (1 << EXPLORE_EVENT) : busy;
}

/** The nth set bit of a mask that has as many. */
function nthBit(mask: u32, nth: u32): u32 {
  for (; nth != 0; nth--) mask &= mask - 1;
  return <u32>ctz(mask);
}

function byDefault(e: ExploreState, mask: u32, current: u32): u32 {
  if (current == EXPLORE_NONE) return <u32>ctz(mask);
  if (e.streak < FAIR) return current;
  e.streak = 0;
  const above = mask & ~((2 << current) - 1);
  return <u32>ctz(above != 0 ? above : mask);
}

/** The script's word for this point, when it names a candidate ([ex-3]). */
function byScript(e: ExploreState, mask: u32, fallback: u32): u32 {
  while (e.scriptNext < e.scriptLength) {
    const word = load<u32>(e.script + (e.scriptNext << 2));
    if (word >> 8 > e.points) break;
    e.scriptNext++;
    const name = word & 0xff;
    if (word >> 8 == e.points && name < 32 && ((mask >> name) & 1) != 0) return name;
  }
  return fallback;
}

function byWalk(e: ExploreState, mask: u32, current: u32): u32 {
  if (current != EXPLORE_NONE && prngBelow(EXPLORE_STATE, e.param) != 0) return current;
  return nthBit(mask, prngBelow(EXPLORE_STATE, <u32>popcnt(mask)));
}

function byPriority(e: ExploreState, mask: u32, current: u32): u32 {
  const priorities = e.script + (e.param << 2);
  for (let i: u32 = 0; i < e.param; i++) {
    // The i-th change leaves its victim above those of later ones, and below all that never changed.
    if (load<u32>(e.script + (i << 2)) == e.points && current != EXPLORE_NONE) store<u32>(priorities + (current << 2), e.param - i);
  }
  let best: u32 = EXPLORE_NONE;
  let bestPriority: u32 = 0;
  for (let rest = mask; rest != 0; rest &= rest - 1) {
    const name = <u32>ctz(rest);
    const priority = load<u32>(priorities + (name << 2));
    if (best != EXPLORE_NONE && priority <= bestPriority) continue;
    best = name;
    bestPriority = priority;
  }
  return best;
}

/** Walks do not take two events on end where a task could run: a timer that its handler arms again would be all that runs. */
function walkMask(e: ExploreState, mask: u32): u32 {
  return e.afterEvent != 0 ? mask & ~(1 << EXPLORE_EVENT) : mask;
}

/** Who takes the next step; EXPLORE_NONE: nobody can. One candidate is no point. */
function decide(s: SchedState, current: u32): u32 {
  const e = exploreState();
  const mask = candidates(s);
  if ((mask & (mask - 1)) == 0) return mask == 0 ? EXPLORE_NONE : <u32>ctz(mask);
  const usual = byDefault(e, mask, current);
  if (e.mode == EXPLORE_QUIET) {
    e.streak = usual == current ? e.streak + 1 : 0;
    return usual;
  }
  if (footprintPrunes() && pastScript(e) && footprintSeen(current, runningTask(s, current), e.param - e.cost)) {
    e.pruned = 1;
    s.stopFlag = 1;
    return usual;
  }
  let answer = usual;
  if (e.mode == EXPLORE_SCRIPT) answer = byScript(e, mask, usual);
  else if (e.mode == EXPLORE_RANDOM) answer = byWalk(e, walkMask(e, mask), current);
  // A spinning task would keep the highest priority for ever.
  else if (usual == current || current == EXPLORE_NONE) answer = byPriority(e, walkMask(e, mask), current);
  e.streak = answer == current ? e.streak + 1 : 0;
  if (answer != usual && (current != EXPLORE_NONE || answer == EXPLORE_EVENT)) e.cost++;
  if (e.points >= e.limit) {
    e.overrun = 1;
    s.stopFlag = 1;
    return usual;
  }
  const point = changetype<ExplorePoint>(e.log + e.points * offsetof<ExplorePoint>());
  point.mask = mask;
  point.current = <u8>current;
  point.answer = <u8>answer;
  point.byDefault = <u8>usual;
  point.timeNs = s.clockNs;
  point.footprint = footprintStep();
  e.points++;
  return answer;
}

/** Before the last deviation the run is one that was met before, of course. */
function pastScript(e: ExploreState): bool {
  return e.mode == EXPLORE_SCRIPT && e.scriptNext >= e.scriptLength;
}

function runningTask(s: SchedState, current: u32): Task {
  return current == EXPLORE_NONE ? changetype<Task>(0) : cpuAt(current).current;
}

/** A sync point: true, the running task goes on; false, it hands over to whoever exploreNext will name. */
export function exploreStays(s: SchedState): bool {
  const me = s.cpu.id;
  if (footprintOn()) footprintPoint();
  const answer = decide(s, me);
  if (answer == me && s.stopFlag == 0) return true;
  exploreState().next = answer;
  s.switchReason = SWITCH_YIELD;
  s.switches++;
  return false;
}

function mayGoOn(cpu: Cpu): bool {
  return !isNullTask(cpu.current);
}

/** The dispatcher's next step: a CPU, EXPLORE_EVENT, or EXPLORE_NONE. */
export function exploreNext(s: SchedState): u32 {
  const e = exploreState();
  let answer = e.next;
  e.next = EXPLORE_NONE;
  if (answer == EXPLORE_NONE) answer = decide(s, e.running < s.nCpus && mayGoOn(cpuAt(e.running)) ? e.running : EXPLORE_NONE);
  if (answer < EXPLORE_EVENT) e.running = answer;
  e.afterEvent = answer == EXPLORE_EVENT ? 1 : 0;
  return answer;
}
