/**
 * The trace as ftrace prints it.
 *
 * Interface: TracedRun, tracedMachine, ftraceText, ftraceLine, traceArgs.
 * Invariants: [tr-1] events stand in order of time: CPUs fill the ring in the order in which the emulator ran them.
 * Locks: none.
 * Why not ftrace's own formats of each event: two numbers an event are what the ring has; they keep Linux's names.
 */
import type { Machine } from "../host/machine.js";
import type { TraceEvent } from "../host/trace.js";

/** The trace of one run. */
export interface TracedRun {
  name: string;
  events: readonly TraceEvent[];
  /** Events since boot: what the ring has lost is the difference. */
  written?: number;
  cpus?: number;
}

/** What a machine's trace ring holds now. */
export function tracedMachine(machine: Machine, name: string): TracedRun {
  return { name, events: machine.trace(), written: machine.traceWritten(), cpus: machine.config.cpus ?? 1 };
}

function inOrder(events: readonly TraceEvent[]): TraceEvent[] {
  return [...events].sort((a, b) => a.timeNs - b.timeNs);
}

/** One line an event: `task-12 [003] 1234.567890123: exceptions:page_fault_user: address=0x.. cause=15`, s of simulated time. */
export function ftraceLine(event: TraceEvent): string {
  const task = `task-${event.task}`.padStart(16);
  const cpu = String(event.cpu).padStart(3, "0");
  const seconds = (event.timeNs / 1e9).toFixed(9).padStart(14);
  const args = Object.entries(traceArgs(event)).map(([name, value]) => `${name}=${value}`);
  return `${task} [${cpu}] ${seconds}: ${event.name}: ${args.join(" ")}`;
}

/** The header is ftrace's; times are simulated. */
export function ftraceText({ name, events, written = events.length, cpus = 1 }: TracedRun): string {
  const header = [
    "# tracer: faultline",
    "#",
    `# ${name}; times in s of simulated time`,
    `# entries-in-buffer/entries-written: ${events.length}/${written}   #P:${cpus}`,
    "#",
    `#${"TASK-PID".padStart(15)} CPU# ${"TIMESTAMP".padStart(14)}  FUNCTION`,
  ];
  return [...header, ...inOrder(events).map(ftraceLine)].join("\n");
}

const ARGS: Readonly<Record<string, readonly [string, string]>> = {
  "exceptions:page_fault_user": ["address", "cause"],
  "exceptions:page_fault_kernel": ["address", "write"],
  "mmap_lock:mmap_lock_start_locking": ["write", "mm"],
  "mmap_lock:mmap_lock_acquire_returned": ["write", "mm"],
  "mmap_lock:mmap_lock_released": ["write", "mm"],
  "sched:sched_switch": ["prev_pid", "next_pid"],
  "sched:sched_wakeup": ["target_cpu", "arg"],
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

/** What is an address, or may be one, is printed as ftrace prints it. */
const HEX = new Set(["address", "addr", "lock_addr", "inode", "arg0", "len", "a", "b"]);

function argText(name: string, value: bigint): string {
  if (name === "ret") return BigInt.asIntN(64, value).toString();
  return HEX.has(name) ? `0x${value.toString(16)}` : value.toString();
}

/** What an event says, by the names of its fields. */
export function traceArgs(event: TraceEvent): Record<string, string> {
  const [a, b] = ARGS[event.name] ?? ["a", "b"];
  return { [a]: argText(a, event.a), [b]: argText(b, event.b) };
}
