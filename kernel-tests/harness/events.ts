/*
 * Events with handlers for tests of the queue and of the dispatcher: what a handler may do, and what it may not.
 *
 * Interface: handlerEvent(at, timeNs, kind, periodNs, times), handlerRuns, HANDLER_*.
 * Invariants: none.
 * Locks: those of the test.
 * Why not a handler of the block room: the queue is tested below the rooms that use it.
 */
import { schedule } from "../../assembly/sched/core";
import { Event, eventInit, eventPending, eventSchedule } from "../../assembly/sched/event";
import { SpinLock, spinInit, spinLock } from "../../assembly/sched/spinlock";
import { charge } from "../../assembly/sched/state";
import { LC_TEST_A } from "../../assembly/sched/lock-class";

/** Counts its runs, and schedules itself again while `times` lasts. */
export const HANDLER_COUNT: u32 = 0;
export const HANDLER_BLOCK: u32 = 1;
export const HANDLER_KEEP_SPINLOCK: u32 = 2;
/** Takes simulated time, as an interrupt does. */
export const HANDLER_CHARGE: u32 = 3;

/** An Event and, behind it, what its handler needs; 112 bytes. */
const KIND: usize = 48;
const PERIOD: usize = 52;
const TIMES: usize = 56;
const RUNS: usize = 60;
const LOCK: usize = 64;

function handler(event: Event): void {
  const at = changetype<usize>(event);
  assert(!eventPending(event), "[event-3] a handler runs with its event out of the queue");
  store<u32>(at, load<u32>(at, RUNS) + 1, RUNS);
  const kind = load<u32>(at, KIND);
  if (kind == HANDLER_BLOCK) schedule();
  if (kind == HANDLER_KEEP_SPINLOCK) {
    spinInit(changetype<SpinLock>(at + LOCK));
    spinLock(changetype<SpinLock>(at + LOCK), LC_TEST_A);
  }
  if (kind == HANDLER_CHARGE) charge(load<u32>(at, PERIOD));
  const left = load<u32>(at, TIMES);
  if (left == 0) return;
  store<u32>(at, left - 1, TIMES);
  eventSchedule(event, event.timeNs + load<u32>(at, PERIOD));
}

export function handlerEvent(at: usize, timeNs: f64, kind: u32, periodNs: u32, times: u32): void {
  eventInit(changetype<Event>(at), handler, 0);
  store<u32>(at, kind, KIND);
  store<u32>(at, periodNs, PERIOD);
  store<u32>(at, times, TIMES);
  store<u32>(at, 0, RUNS);
  eventSchedule(changetype<Event>(at), <u64>timeNs);
}

export function handlerRuns(at: usize): u32 {
  return load<u32>(at, RUNS);
}
