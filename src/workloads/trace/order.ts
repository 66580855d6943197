/**
 * Which events of a trace wait for which: a mapping is there before another thread uses it, and goes when all have used it.
 *
 *     a change of the address space (mmap, munmap, mprotect, madvise)   waits for every earlier change and use of its range
 *     a use (load, store, msync)                                        waits for the last change of its range
 *
 * all by other threads of the process: a thread's own events are in order anyway. Everything else goes on at its own pace. A store
 * that takes long in the replay holds up its own thread, and whoever waits for the locks that it holds.
 *
 * Interface: orderTrace, Ordered, Wait.
 * Invariants: [to-1] a wait is for an event that stands earlier in the trace: there is no circle.
 *             [to-2] every use is of a range that is mapped by then.
 * Locks: none.
 * Why not the whole order of the recording: it would hide who waits for whom under another regime.
 */
import { type Trace, TraceError, type TraceEvent } from "./parse.js";

const PAGE = 4096;

/** Until `thread` has done `count` of its events. */
export interface Wait {
  thread: number;
  count: number;
}

export interface Ordered {
  /** Events by thread. */
  threads: TraceEvent[][];
  /** What an event waits for. */
  waits: Map<TraceEvent, Wait[]>;
  /** Events that others wait for: their thread has to tell. */
  awaited: Set<TraceEvent>;
}

interface Mapped {
  start: number;
  end: number;
  /** False once it is unmapped: who maps the range anew waits for whoever did that. */
  live: boolean;
  change: TraceEvent;
  /** The last use by each thread. */
  uses: Map<number, TraceEvent>;
}

const CHANGES = new Set(["mmap", "munmap", "mprotect", "madvise"]);
const USES = new Set(["load", "store", "msync"]);

export function pageRange(event: TraceEvent): { start: number; end: number } {
  const start = Math.floor(event.address / PAGE) * PAGE;
  return { start, end: Math.ceil((event.address + event.bytes) / PAGE) * PAGE };
}

/** What is left of a mapping outside of [start, end). */
function outside(m: Mapped, start: number, end: number): Mapped[] {
  const parts: Mapped[] = [];
  if (m.start < start) parts.push({ ...m, end: start, uses: new Map(m.uses) });
  if (m.end > end) parts.push({ ...m, start: end, uses: new Map(m.uses) });
  return parts;
}

/** The ranges of one process that are or were mapped, sorted, and who has changed and used them. */
class Space {
  private mapped: Mapped[] = [];

  private overlapping(start: number, end: number): Mapped[] {
    return this.mapped.filter((m) => m.start < end && m.end > start);
  }

  /** The events before a change that it waits for. */
  change(event: TraceEvent): TraceEvent[] {
    const { start, end } = pageRange(event);
    const hit = this.overlapping(start, end);
    const rest = this.mapped.filter((m) => !hit.includes(m)).concat(hit.flatMap((m) => outside(m, start, end)));
    const uses = (): Mapped["uses"] => new Map();
    if (event.op === "mmap" || event.op === "munmap") rest.push({ start, end, live: event.op === "mmap", change: event, uses: uses() });
    else {
      for (const m of hit) {
        rest.push({ start: Math.max(start, m.start), end: Math.min(end, m.end), live: m.live, change: event, uses: uses() });
      }
    }
    this.mapped = rest.sort((a, b) => a.start - b.start);
    return hit.flatMap((m) => [m.change, ...m.uses.values()]);
  }

  /** As change, for a use; undefined when part of its range is not mapped. */
  use(event: TraceEvent): TraceEvent[] | undefined {
    const { start, end } = pageRange(event);
    const hit = this.overlapping(start, end);
    let at = start;
    for (const m of hit) {
      if (!m.live || m.start > at) return undefined;
      at = m.end;
      m.uses.set(event.thread, event);
    }
    return at < end ? undefined : hit.map((m) => m.change);
  }
}

/** Orders a trace. Throws TraceError for a use of what is not mapped. */
export function orderTrace(trace: Trace): Ordered {
  const ordered: Ordered = { threads: trace.threads.map(() => []), waits: new Map(), awaited: new Set() };
  const spaces = new Map<number, Space>();
  const place = new Map<TraceEvent, number>();
  for (const event of trace.events) {
    const own = ordered.threads[event.thread];
    if (!own) continue;
    place.set(event, own.push(event));
    const pid = trace.threads[event.thread]?.pid ?? 0;
    const space = spaces.get(pid) ?? new Space();
    spaces.set(pid, space);
    const before = CHANGES.has(event.op) ? space.change(event) : USES.has(event.op) ? space.use(event) : [];
    if (!before) {
      const at = `0x${event.address.toString(16)}`;
      throw new TraceError(trace.name, event.line, 1, `${event.op} of ${event.bytes} bytes at ${at}: not all of it is mapped by then`);
    }
    const latest = new Map<number, TraceEvent>();
    for (const other of before) {
      if (other.thread === event.thread) continue;
      const known = latest.get(other.thread);
      if (!known || (place.get(other) ?? 0) > (place.get(known) ?? 0)) latest.set(other.thread, other);
    }
    if (latest.size === 0) continue;
    for (const other of latest.values()) ordered.awaited.add(other);
    ordered.waits.set(
      event,
      [...latest].map(([thread, other]) => ({ thread, count: place.get(other) ?? 0 })),
    );
  }
  return ordered;
}
