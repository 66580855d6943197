/**
 * One thread of a recorded trace as a guest: its events in their order, each no earlier than it was recorded.
 *
 *     0x10000  a counter a thread: events done (order.ts)          0x20000  512 KiB that read and write go through
 *
 * Interface: threadBody, openProcess, TRACE_RECORDER, Pace.
 * Invariants:
 *   [tg-1] memory lies where it lay when it was recorded: every mmap is MAP_FIXED at its recorded address.
 *   [tg-2] an operation that fails is counted and the replay goes on: the recorded program did not see it fail.
 * Locks: none of its own.
 * Why not a table of addresses: threads would have to share it, and a guest may share nothing but guest memory ([wl-1]).
 */
import {
  MADV_DONTNEED,
  MADV_WILLNEED,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  MS_ASYNC,
  MS_SYNC,
  O_RDWR,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from "../../guest/constants.js";
import { ioBatch, record, timed } from "../../guest/io.js";
import { barrier, mem, now } from "../../guest/mem.js";
import { type Call, must, sys } from "../../guest/sys.js";
import { type Ordered, pageRange } from "./order.js";
import type { TraceEvent } from "./parse.js";

/** Recorders by what they time; failed counts operations, its values are errnos and signals. */
export const TRACE_RECORDER = { store: 0, load: 1, msync: 2, write: 3, read: 4, map: 5, late: 6, failed: 7 } as const;

export type Pace = "recorded" | "fast";

const PROGRESS_AT = 0x1_0000;
const BUFFER_AT = 0x2_0000;
const BUFFER_BYTES = 512 * 1024;
const POLL_NS = 2000;
const START = 1;

function protOf(letters: string): number {
  const bit = (letter: string, value: number): number => (letters.includes(letter) ? value : 0);
  return bit("r", PROT_READ) | bit("w", PROT_WRITE) | bit("x", PROT_EXEC);
}

/** What a process of the trace needs before its first event: its files open, its counters and its buffer. Returns the fds. */
export function* openProcess(paths: readonly string[]): Call<number[]> {
  const fds: number[] = [];
  for (const path of paths) fds.push(must(yield* sys.open(path, O_RDWR), `open ${path}`));
  const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  must(yield* sys.mmap(PROGRESS_AT, 4096, PROT_READ | PROT_WRITE, flags), "mmap");
  must(yield* sys.mmap(BUFFER_AT, BUFFER_BYTES, PROT_READ | PROT_WRITE, flags), "mmap");
  yield* mem.touch(PROGRESS_AT, 4096, { write: true, value: 0 });
  return fds;
}

function counter(count: number): Uint8Array {
  const data = new Uint8Array(4);
  new DataView(data.buffer).setUint32(0, count, true);
  return data;
}

/** Waits until the others have done what the event builds on. */
function* settle(ordered: Ordered, event: TraceEvent): Call<void> {
  for (const { thread, count } of ordered.waits.get(event) ?? []) {
    for (;;) {
      const done = yield* mem.load(PROGRESS_AT + 4 * thread, 4);
      if (typeof done === "number") throw new Error("the counters are mapped");
      if (new DataView(done.buffer, done.byteOffset).getUint32(0, true) >= count) break;
      yield* sys.nanosleep(POLL_NS);
    }
  }
}

/** Touches every page of the range. Returns 0 or minus the signal of the access that failed. */
function* access(event: TraceEvent): Call {
  const { start, end } = pageRange(event);
  const { signal } = yield* mem.tryTouch(start, end - start, { write: event.op === "store" });
  return -signal;
}

/** A read or write through the buffer, in parts that it can hold. */
function* transfer(event: TraceEvent, fd: number): Call {
  for (let done = 0; done < event.bytes; done += BUFFER_BYTES) {
    const entry = { offset: event.offset + done, lenBytes: Math.min(BUFFER_BYTES, event.bytes - done), write: event.op === "write" };
    const target = { readRecorder: 0xffff, writeRecorder: 0xffff, deadlineNs: 0, into: { fd, buffer: BUFFER_AT } };
    const { errno } = yield* ioBatch([entry], target);
    if (errno !== 0) return -errno;
  }
  return event.bytes;
}

function map(event: TraceEvent, fd: number): Call {
  const flags = MAP_FIXED | (event.shared ? MAP_SHARED : MAP_PRIVATE) | (event.file < 0 ? MAP_ANONYMOUS : 0);
  return sys.mmap(event.address, event.bytes, protOf(event.prot), flags, event.file < 0 ? -1 : fd, event.offset);
}

/** The call of an event, and who records it. */
function operation(event: TraceEvent, fd: number): { recorder: number; call: Call } {
  const R = TRACE_RECORDER;
  const { address, bytes } = event;
  switch (event.op) {
    case "store":
      return { recorder: R.store, call: access(event) };
    case "load":
      return { recorder: R.load, call: access(event) };
    case "msync":
      return { recorder: R.msync, call: sys.msync(address, bytes, event.sync ? MS_SYNC : MS_ASYNC) };
    case "fsync":
      return { recorder: R.msync, call: sys.fsync(fd) };
    case "fdatasync":
      return { recorder: R.msync, call: sys.fdatasync(fd) };
    case "read":
      return { recorder: R.read, call: transfer(event, fd) };
    case "write":
      return { recorder: R.write, call: transfer(event, fd) };
    case "truncate":
      return { recorder: R.write, call: sys.ftruncate(fd, bytes) };
    case "mmap":
      return { recorder: R.map, call: map(event, fd) };
    case "munmap":
      return { recorder: R.map, call: sys.munmap(address, bytes) };
    case "mprotect":
      return { recorder: R.map, call: sys.mprotect(address, bytes, protOf(event.prot)) };
    default:
      return { recorder: R.map, call: sys.madvise(address, bytes, event.dontneed ? MADV_DONTNEED : MADV_WILLNEED) };
  }
}

/** What one thread does: `parties` threads of all processes start together. */
export function* threadBody(ordered: Ordered, thread: number, fds: readonly number[], pace: Pace, parties: number): Call<void> {
  yield* barrier(START, parties);
  const startNs = yield* now();
  const events = ordered.threads[thread] ?? [];
  for (const [i, event] of events.entries()) {
    if (pace === "recorded") {
      const earlyNs = startNs + event.timeNs - (yield* now());
      if (earlyNs > 0) yield* sys.nanosleep(earlyNs);
    }
    yield* settle(ordered, event);
    if (pace === "recorded") yield* record(TRACE_RECORDER.late, Math.max(0, (yield* now()) - startNs - event.timeNs));
    const { recorder, call } = operation(event, fds[event.file] ?? -1);
    const result = yield* timed(recorder, call);
    if (result < 0) yield* record(TRACE_RECORDER.failed, -result);
    if (ordered.awaited.has(event)) yield* mem.store(PROGRESS_AT + 4 * thread, counter(i + 1));
  }
}
