/**
 * Traces of several runs as one Chrome trace JSON (Perfetto, speedscope): a process a run, a thread a task.
 *
 * Interface: chromeTraces.
 * Invariants: [ctr-1] slices of one task nest: a fault holds its waits, a system call holds what it does.
 * Locks: none.
 * Why not begin and end events: a ring that has wrapped begins in the middle, and an end without a beginning is an error there.
 */
import type { TraceEvent } from "../host/trace.js";
import { type TracedRun, traceArgs } from "./trace-report.js";

interface ChromeEvent {
  name: string;
  ph: "X" | "i" | "M";
  pid: number;
  tid: number;
  /** Microseconds of simulated time. */
  ts?: number;
  dur?: number;
  s?: "t";
  args?: Record<string, string>;
}

/** Pairs of tracepoints that make a slice. */
const SLICES: Readonly<Record<string, { end: string; name: string }>> = {
  "raw_syscalls:sys_enter": { end: "raw_syscalls:sys_exit", name: "system call" },
  "lock:contention_begin": { end: "lock:contention_end", name: "waits for a lock" },
};
const ENDS = new Set(Object.values(SLICES).map((slice) => slice.end));
const FAULTS = new Set(["exceptions:page_fault_user", "exceptions:page_fault_kernel"]);

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}

/** The last event of a fault of `events[first]`'s task: the lock's last release before the task does something else. */
function faultEnd(events: readonly TraceEvent[], first: number): number {
  let end = events[first]?.timeNs ?? 0;
  let released = 0;
  for (let i = first + 1; i < events.length; i++) {
    const event = events[i];
    if (!event || FAULTS.has(event.name) || event.name === "raw_syscalls:sys_enter" || event.name === "raw_syscalls:sys_exit") break;
    end = event.timeNs;
    if (event.name === "mmap_lock:mmap_lock_released") released = event.timeNs;
  }
  // Under a VMA lock mmap_sem is never released: the last thing the task did is the end that the trace knows.
  return released > 0 ? released : end;
}

function taskEvents(events: readonly TraceEvent[], pid: number, tid: number): ChromeEvent[] {
  const out: ChromeEvent[] = [];
  events.forEach((event, i) => {
    const base = { pid, tid, ts: event.timeNs / 1000 };
    const slice = SLICES[event.name];
    if (FAULTS.has(event.name)) {
      const dur = (faultEnd(events, i) - event.timeNs) / 1000;
      out.push({ ...base, name: "page fault", ph: "X", dur, args: { address: hex(event.a), tracepoint: event.name } });
    } else if (slice) {
      const end = events.find((other, at) => at > i && other.name === slice.end);
      const args = traceArgs(event);
      if (end) out.push({ ...base, name: slice.name, ph: "X", dur: (end.timeNs - event.timeNs) / 1000, args });
    } else if (!ENDS.has(event.name)) {
      out.push({ ...base, name: event.name, ph: "i", s: "t", args: traceArgs(event) });
    }
  });
  return out;
}

/** One JSON object of the trace event format. */
export function chromeTraces(runs: readonly TracedRun[]): { traceEvents: ChromeEvent[]; displayTimeUnit: "ns" } {
  const traceEvents = runs.flatMap(({ name, events }, i) => {
    const pid = i + 1;
    const tasks = [...new Set(events.map((event) => event.task))].sort((a, b) => a - b);
    const meta: ChromeEvent[] = [{ name: "process_name", ph: "M", pid, tid: 0, args: { name } }];
    return tasks.reduce((all, tid) => {
      const label = tid === 0 ? "events" : `task ${tid}`;
      const own = taskEvents(
        events.filter((event) => event.task === tid),
        pid,
        tid,
      );
      return [...all, { name: "thread_name", ph: "M" as const, pid, tid, args: { name: label } }, ...own];
    }, meta);
  });
  return { traceEvents, displayTimeUnit: "ns" };
}
