/**
 * A recorded trace as a workload: its processes and threads, its files, and what it measures.
 *
 * Interface: traceWorkload.
 * Invariants: [tw-1] a file has its recorded size before the first event, its blocks allocated and its pages in the cache.
 * Locks: none.
 * Why not cold files: a trace does not know what was cached; warm ones leave the fault path alone with its locks.
 */
import { MAP_SHARED, O_CREAT, O_RDWR } from "../../guest/constants.js";
import { type Call, must, sys } from "../../guest/sys.js";
import type { GuestFn } from "../../host/guests.js";
import { textOption } from "../options.js";
import { mapTouchUnmap } from "../page-fault.js";
import type { Recorded, RunContext, Workload } from "../workload.js";
import { type Pace, TRACE_RECORDER, openProcess, threadBody } from "./guest.js";
import { type Ordered, orderTrace } from "./order.js";
import { type Trace, TraceError, parseTrace } from "./parse.js";

/** CPUs of a machine. */
const MAX_THREADS = 128;
const PAGE = 4096;

const RECORDED: readonly Recorded[] = [
  { name: "store_ns", summary: "a recorded store: all pages of its range" },
  { name: "load_ns", summary: "a recorded load: all pages of its range" },
  { name: "msync_ns", summary: "msync, fsync or fdatasync" },
  { name: "write_ns", summary: "write or truncate of a file" },
  { name: "read_ns", summary: "read of a file" },
  { name: "map_ns", summary: "mmap, munmap, mprotect or madvise" },
  { name: "late_ns", summary: "how much later than recorded an operation began" },
  { name: "failed", summary: "", internal: true },
];

function pathOf(context: RunContext, index: number): string {
  return `${context.directory}/trace-${index}`;
}

function* layOut(context: RunContext, trace: Trace): Call<void> {
  for (const [i, { sizeBytes }] of trace.files.entries()) {
    const fd = must(yield* sys.open(pathOf(context, i), O_RDWR | O_CREAT), "open");
    if (sizeBytes > 0) {
      must(yield* sys.ftruncate(fd, sizeBytes), "ftruncate");
      yield* mapTouchUnmap({ lenBytes: Math.ceil(sizeBytes / PAGE) * PAGE }, MAP_SHARED, fd, true);
      must(yield* sys.fsync(fd), "fsync");
    }
    must(yield* sys.close(fd), "close");
  }
}

/** The process `pid`: opens its files, makes its threads, and lives until the last of them is done. */
function processOf(trace: Trace, ordered: Ordered, pid: number, context: RunContext): GuestFn {
  const pace = textOption(context.options, "pace") as Pace;
  const paths = trace.files.map((_, i) => pathOf(context, i));
  return function* (ctx) {
    const fds = yield* openProcess(paths);
    for (const [thread, { pid: owner }] of trace.threads.entries()) {
      if (owner !== pid) continue;
      const body: GuestFn = function* () {
        yield* sys.pin(thread % ctx.cpus);
        yield* threadBody(ordered, thread, fds, pace, trace.threads.length);
      };
      must(yield* sys.thread(body), "clone");
    }
    yield* sys.exit(0);
  };
}

/** The workload of a trace. Throws TraceError for a text that means nothing. */
export function traceWorkload(text: string, name: string): Workload {
  const trace = parseTrace(text, name);
  const ordered = orderTrace(trace);
  const { threads, files } = trace;
  if (threads.length > MAX_THREADS) {
    throw new TraceError(name, 1, 1, `the trace has ${threads.length} threads; a machine has ${MAX_THREADS} CPUs, one for each`);
  }
  const pids = [...new Set(threads.map((thread) => thread.pid))];
  const largest = files.map((file, i) => {
    const ends = trace.events.map((e) => (e.file === i && e.op !== "mmap" ? e.offset + e.bytes : 0));
    return ends.reduce((most, end) => Math.max(most, end), file.sizeBytes);
  });
  const fileBytes = largest.reduce((sum, bytes) => sum + Math.ceil(bytes / PAGE) * PAGE, 0);
  return {
    name,
    summary: `recorded trace: ${trace.events.length} events of ${threads.length} threads in ${pids.length} processes`,
    origin: "recorded",
    footprint: 1,
    lenBytes: Math.max(PAGE, fileBytes),
    options: [
      {
        name: "pace",
        kind: "choice",
        default: "recorded",
        choices: ["recorded", "fast"],
        summary: "whether an operation waits for the time at which it was recorded",
      },
    ],
    recorded: RECORDED,
    ends: true,
    setup: (context) => layOut(context, trace),
    prepare: () => sys.gettid(),
    pass: () => sys.gettid(),
    cpus: () => threads.length,
    processes: (context) => pids.map((pid) => ({ fn: processOf(trace, ordered, pid, context) })),
    iterations: (machine) =>
      [TRACE_RECORDER.store, TRACE_RECORDER.load, TRACE_RECORDER.msync, TRACE_RECORDER.write, TRACE_RECORDER.read, TRACE_RECORDER.map]
        .map((id) => machine.recorded(id).N)
        .reduce((a, b) => a + b, 0),
  };
}
