/*
 * Every free choice is a recorded choice (DESIGN D4): who gets a lock, which of several CPUs due at one time runs, whether to
 * preempt here, which IO completes first.
 *
 * Interface: choose(kind, n), CHOICE_* kinds and policies, choiceInit, ChoiceState for the host.
 * Invariants:
 *   [choice-1] choose returns 0 <= k < n, and 0 under the default policy: the order by time and FIFO.
 *   [choice-2] the same policy, seed and script give the same answers; each answer is in the log while there is room.
 * Locks: none.
 * Why not a callback into the host: a choice is on the fault path; crossing out of wasm costs more than the fault.
 */
import { bootAlloc } from "../memlayout";
import { prngBelow, prngSeed } from "../lib/prng";
import { SCHED_STATE } from "../memlayout";
import { sched } from "./state";

export const CHOICE_POLICY_DEFAULT: u32 = 0;
export const CHOICE_POLICY_RANDOM: u32 = 1;
export const CHOICE_POLICY_SCRIPT: u32 = 2;
/** Every hand-over is explored (explore.ts); other choices are by time and FIFO. The explorer's build alone has it. */
export const CHOICE_POLICY_EXPLORE: u32 = 3;

export const CHOICE_CPU: u32 = 0;
export const CHOICE_LOCK: u32 = 1;
export const CHOICE_PREEMPT: u32 = 2;
export const CHOICE_IO: u32 = 3;
export const CHOICE_WAKE_CPU: u32 = 4;

@unmanaged
export class ChoiceState {
  /** prng state, 16 bytes. */
  prng0: u64;
  prng1: u64;
  /** Entries (u32): kind << 24 | n << 12 | answer. */
  log: usize;
  capacity: u32;
  /** Choices made since boot (may exceed the capacity). */
  made: u32;
  /** Answers to play back (u32 each); past its end the default answers. */
  script: usize;
  scriptLength: u32;
  scriptNext: u32;
  /** Random policy: one preemption in so many chances. */
  preemptOneIn: u32;
}

/** Behind SchedState in the room's kilobyte. */
export const CHOICE_STATE: usize = SCHED_STATE + 0x200;

export function choiceState(): ChoiceState {
  return changetype<ChoiceState>(CHOICE_STATE);
}

export function choiceInit(policy: u32, seed: u64, capacity: u32): bool {
  const c = choiceState();
  prngSeed(CHOICE_STATE, seed);
  c.capacity = capacity;
  c.log = 0;
  c.script = 0;
  if (capacity != 0) {
    c.log = bootAlloc(capacity << 2, 8);
    c.script = bootAlloc(capacity << 2, 8);
    if (c.log == 0 || c.script == 0) return false;
  }
  c.preemptOneIn = 16;
  sched().choicePolicy = !EXPLORE && policy == CHOICE_POLICY_EXPLORE ? CHOICE_POLICY_DEFAULT : policy;
  return true;
}

/** One of n: 0 <= answer < n. n of 1 is no choice and is not recorded. */
export function choose(kind: u32, n: u32): u32 {
  assert(n > 0, "[choice-1] there is something to choose");
  const policy = sched().choicePolicy;
  if (n == 1 || policy == CHOICE_POLICY_DEFAULT || policy == CHOICE_POLICY_EXPLORE) return 0;
  const c = choiceState();
  let answer: u32 = 0;
  if (policy == CHOICE_POLICY_RANDOM) {
    if (kind == CHOICE_PREEMPT) answer = prngBelow(CHOICE_STATE, c.preemptOneIn) == 0 ? 1 : 0;
    else answer = prngBelow(CHOICE_STATE, n);
  } else if (c.scriptNext < c.scriptLength) {
    answer = load<u32>(c.script + (c.scriptNext++ << 2));
    assert(answer < n, "[choice-1] the script's answer is one of the choices");
  }
  if (c.made < c.capacity) store<u32>(c.log + (c.made << 2), (kind << 24) | (n << 12) | answer);
  c.made++;
  return answer;
}
