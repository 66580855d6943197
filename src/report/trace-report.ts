/**
 * The trace as ftrace prints it, and as Chrome's trace-event JSON (Perfetto, speedscope).
 */
import type { TraceEvent } from "../host/trace.js";

/** One line an event: `task-12 [003] 1234.567890: exceptions:page_fault_user: a=0x.. b=0x..`, seconds of simulated time. */
export function ftraceLine(event: TraceEvent): string {
  const task = `task-${event.task}`.padStart(16);
  const cpu = String(event.cpu).padStart(3, "0");
  const seconds = (event.timeNs / 1e9).toFixed(9).padStart(14);
  const args = argNames(event.name).map((name, i) => `${name}=0x${(i === 0 ? event.a : event.b).toString(16)}`);
  return `${task} [${cpu}] ${seconds}: ${event.name}: ${args.join(" ")}`;
}

export function ftraceText(events: readonly TraceEvent[]): string {
  return ["# tracer: faultline (simulated time, s)", ...events.map(ftraceLine)].join("\n");
}

const ARGS: Readonly<Record<string, readonly [string, string]>> = {
  "exceptions:page_fault_user": ["address", "cause"],
  "exceptions:page_fault_kernel": ["address", "write"],
  "mmap_lock:mmap_lock_start_locking": ["arg", "mm"],
  "mmap_lock:mmap_lock_acquire_returned": ["arg", "mm"],
  "mmap_lock:mmap_lock_released": ["arg", "mm"],
  "sched:sched_switch": ["prev_pid", "next_pid"],
  "sched:sched_wakeup": ["cpu", "arg"],
  "sched:sched_process_fork": ["child_pid", "child_tgid"],
  "sched:sched_process_exit": ["pid", "status"],
  "lock:contention_begin": ["lock_addr", "class"],
  "lock:contention_end": ["lock_addr", "class"],
  "filemap:mm_filemap_fault": ["pgoff", "inode"],
  "filemap:mm_filemap_add_to_page_cache": ["pgoff", "inode"],
  "filemap:mm_filemap_delete_from_page_cache": ["pgoff", "inode"],
  "tlb:tlb_flush": ["pages", "cpus"],
  "ipi:ipi_send_cpumask": ["cpus", "arg"],
  "raw_syscalls:sys_enter": ["id", "arg0"],
  "raw_syscalls:sys_exit": ["id", "ret"],
  "mmap:vm_unmapped_area": ["addr", "len"],
  "oom:mark_victim": ["pid", "rss_pages"],
};

function argNames(name: string): readonly [string, string] {
  return ARGS[name] ?? ["a", "b"];
}

interface ChromeEvent {
  name: string;
  ph: string;
  ts: number;
  pid: number;
  tid: number;
  s?: string;
  args?: Record<string, string>;
}

/** Chrome trace JSON: page faults as slices from trap to the release of mmap_sem, everything else as instants. ts in us. */
export function chromeTrace(events: readonly TraceEvent[]): { traceEvents: ChromeEvent[]; displayTimeUnit: "ns" } {
  const out: ChromeEvent[] = [];
  const open = new Set<number>();
  for (const event of events) {
    const base = { ts: event.timeNs / 1000, pid: 1, tid: event.task };
    if (event.name === "exceptions:page_fault_user") {
      if (open.has(event.task)) out.push({ ...base, name: "page_fault", ph: "E" });
      open.add(event.task);
      out.push({ ...base, name: "page_fault", ph: "B", args: { address: `0x${event.a.toString(16)}` } });
    } else if (event.name === "mmap_lock:mmap_lock_released" && open.delete(event.task)) {
      out.push({ ...base, name: "page_fault", ph: "E" });
    } else {
      const [a, b] = argNames(event.name);
      out.push({ ...base, name: event.name, ph: "i", s: "t", args: { [a]: event.a.toString(), [b]: event.b.toString() } });
    }
  }
  return { traceEvents: out, displayTimeUnit: "ns" };
}
