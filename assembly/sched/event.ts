/*
 * The event queue: things that happen at a time on no CPU (IO completions, timers), ordered by (time, sequence).
 *
 * Interface: Event, eventInit, eventSchedule, eventCancel, eventPending, eventNextNs, eventPop.
 * Invariants:
 *   [event-1] among equal times the order is the order of scheduling.
 *   [event-2] an event is in the queue at most once; scheduling a queued event is a bug.
 *   [event-3] a handler runs with the event out of the queue, so it may schedule it again. It never blocks.
 * Locks: none (dispatcher only).
 * Why not an array heap: an intrusive pairing heap has no capacity to overflow; events live in tasks and bios.
 */
import { SchedState, TIME_NEVER, sched } from "./state";

@unmanaged
export class Event {
  timeNs: u64;
  seq: u64;
  handler: (event: Event) => void;
  /** The object the event belongs to. */
  data: usize;
  child: Event;
  sibling: Event;
  /** Parent when first child, else the previous sibling. */
  prev: Event;
  queued: u32;
}

function isNull(event: Event): bool {
  return changetype<usize>(event) == 0;
}

export function eventInit(event: Event, handler: (event: Event) => void, data: usize): void {
  assert(offsetof<Event>() <= 48, "an Event fits the space that Task keeps for it");
  event.handler = handler;
  event.data = data;
  event.queued = 0;
}

/** a before b in (time, seq). */
function before(a: Event, b: Event): bool {
  if (a.timeNs != b.timeNs) return a.timeNs < b.timeNs;
  return a.seq < b.seq;
}

/** Melds two heaps (each without siblings) and returns the root. */
function meld(a: Event, b: Event): Event {
  if (isNull(a)) return b;
  if (isNull(b)) return a;
  let top = a;
  let low = b;
  if (before(b, a)) {
    top = b;
    low = a;
  }
  low.sibling = top.child;
  low.prev = top;
  if (!isNull(top.child)) top.child.prev = low;
  top.child = low;
  return top;
}

/** Pairs up a list of siblings into one heap: left to right, then right to left. */
function meldSiblings(first: Event): Event {
  let rest = first;
  let pairs = changetype<Event>(0);
  while (!isNull(rest)) {
    const a = rest;
    const b = a.sibling;
    rest = isNull(b) ? b : b.sibling;
    a.sibling = changetype<Event>(0);
    if (!isNull(b)) b.sibling = changetype<Event>(0);
    const pair = meld(a, b);
    pair.sibling = pairs;
    pairs = pair;
  }
  let root = changetype<Event>(0);
  while (!isNull(pairs)) {
    const next = pairs.sibling;
    pairs.sibling = changetype<Event>(0);
    root = meld(pairs, root);
    pairs = next;
  }
  if (!isNull(root)) root.prev = changetype<Event>(0);
  return root;
}

export function eventSchedule(event: Event, timeNs: u64): void {
  const s = sched();
  assert(event.queued == 0, "[event-2] the event is queued already");
  assert(timeNs != TIME_NEVER, "an event has a time");
  event.timeNs = timeNs;
  event.seq = s.eventSeq++;
  event.child = changetype<Event>(0);
  event.sibling = changetype<Event>(0);
  event.prev = changetype<Event>(0);
  event.queued = 1;
  const root = meld(changetype<Event>(s.eventRoot), event);
  root.prev = changetype<Event>(0);
  s.eventRoot = changetype<usize>(root);
  s.eventCount++;
  if (timeNs < s.dueNs) s.dueNs = timeNs;
  if (timeNs < s.nextNs) s.nextNs = timeNs;
  if (timeNs < s.horizonNs) {
    s.horizonNs = timeNs;
    const skewHorizonNs = timeNs + s.skewNs;
    s.skewHorizonNs = s.untilNs < skewHorizonNs ? s.untilNs : skewHorizonNs;
  }
}

export function eventPending(event: Event): bool {
  return event.queued != 0;
}

/** Takes an event out; no effect when it is not queued. */
export function eventCancel(event: Event): void {
  if (event.queued == 0) return;
  const s = sched();
  const children = meldSiblings(event.child);
  event.queued = 0;
  s.eventCount--;
  if (changetype<usize>(event) == s.eventRoot) {
    s.eventRoot = changetype<usize>(children);
    return;
  }
  const prev = event.prev;
  if (changetype<usize>(prev.child) == changetype<usize>(event)) prev.child = event.sibling;
  else prev.sibling = event.sibling;
  if (!isNull(event.sibling)) event.sibling.prev = prev;
  event.sibling = changetype<Event>(0);
  const root = meld(changetype<Event>(s.eventRoot), children);
  root.prev = changetype<Event>(0);
  s.eventRoot = changetype<usize>(root);
}

/** Time of the earliest event, TIME_NEVER when there is none. */
export function eventNextNs(): u64 {
  const root = changetype<SchedState>(changetype<usize>(sched())).eventRoot;
  return root == 0 ? TIME_NEVER : changetype<Event>(root).timeNs;
}

/** Takes the earliest event out. The queue is not empty. */
export function eventPop(): Event {
  const s = sched();
  assert(s.eventRoot != 0, "the queue is not empty");
  const event = changetype<Event>(s.eventRoot);
  eventCancel(event);
  return event;
}
