/*
 * The trace ring: fixed events, and a counter per event that always runs. The counters are the project's coverage marks.
 *
 *     event (32 bytes):  time ns (u64) | event id (u16) | cpu (u16) | task (u32) | a (u64) | b (u64)
 *
 * Interface: traceInit, traceEmit, traceState, TRACE_EVENT_BYTES.
 * Invariants: [trace-1] event n of the run is at slot n % capacity; `seq` counts all, so lost ones are known.
 * Locks: none.
 * Why not text: 32 bytes and no formatting; the host has the names.
 */
import { LIB_STATE } from "../memlayout";

export const TRACE_EVENT_BYTES: u32 = 32;
const COUNTERS: u32 = 128;

@unmanaged
export class TraceState {
  seq: u64;
  ring: usize;
  mask: u32;
  /** 1: events go into the ring. */
  enabled: u32;
  pad: u32;
}

/** Behind the slab's state. */
const TRACE_STATE: usize = LIB_STATE + 0x40;
const TRACE_COUNTS: usize = LIB_STATE + 0x100;
export const TRACE_END: usize = TRACE_COUNTS + COUNTERS * 4;

export function traceState(): TraceState {
  return changetype<TraceState>(TRACE_STATE);
}

/** `ring` has room for `capacity` events, a power of two. */
export function traceInit(ring: usize, capacity: u32): void {
  assert((capacity & (capacity - 1)) == 0, "the ring's capacity is a power of two");
  const t = traceState();
  t.ring = ring;
  t.mask = capacity - 1;
  t.seq = 0;
  memory.fill(TRACE_COUNTS, 0, COUNTERS * 4);
}

/** Times an event was emitted since the last traceInit or traceClear. */
export function traceCount(id: u32): u32 {
  return load<u32>(TRACE_COUNTS + (id << 2));
}

export function traceClear(): void {
  memory.fill(TRACE_COUNTS, 0, COUNTERS * 4);
}

export function traceEmit(timeNs: u64, id: u32, cpu: u32, task: u32, a: u64, b: u64): void {
  const count = TRACE_COUNTS + (id << 2);
  store<u32>(count, load<u32>(count) + 1);
  const t = changetype<TraceState>(TRACE_STATE);
  if (t.enabled == 0) return;
  const at = t.ring + ((<u32>t.seq & t.mask) << 5);
  t.seq++;
  store<u64>(at, timeNs);
  store<u16>(at, <u16>id, 8);
  store<u16>(at, <u16>cpu, 10);
  store<u32>(at, task, 12);
  store<u64>(at, a, 16);
  store<u64>(at, b, 24);
}
