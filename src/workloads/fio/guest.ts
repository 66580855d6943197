/**
 * One clone of a fio job as a guest: open, map, IO after IO in batches, syncs in between, then what it has used.
 *
 *     start delay -> (ramp: unrecorded) -> batch | sync | batch | ... -> records of bytes, run time, faults, switches
 *
 * Interface: jobBody, RECORDERS_PER_UNIT, RECORDER.
 * Invariants:
 *   [fg-1] IOs happen in the order of ioSequence; a batch that a deadline cut short goes on where it stopped.
 *   [fg-2] a sync follows every fsync-th (fdatasync-th) write of the clone, counted from its first.
 * Locks: none of its own.
 * Why not an operation an IO: see assembly/kernel/io-batch.ts.
 */
import { MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, MS_SYNC, O_RDWR, PROT_READ, PROT_WRITE, RUSAGE_THREAD } from "../../guest/constants.js";
import { BATCH_ENTRIES, type IoEntry, type IoTarget, NO_RECORDER, ioBatch, record, timed } from "../../guest/io.js";
import { barrier, mem, now } from "../../guest/mem.js";
import { type Call, GuestError, type Rusage, must, sys } from "../../guest/sys.js";
import type { GuestFn } from "../../host/guests.js";
import type { FioJob } from "./job.js";
import { ioSequence } from "./offsets.js";
import { rngOf, seedOf } from "./random.js";

/** What each reporting unit records, by offset from its first recorder. */
export const RECORDER = { read: 0, write: 1, sync: 2, readBytes: 3, writeBytes: 4, runtime: 5, minf: 6, majf: 7, ctx: 8, cpu: 9 } as const;
export const RECORDERS_PER_UNIT = 10;

/** One clone: a job, where its file is, and who it has to wait for. */
export interface Clone {
  job: FioJob;
  path: string;
  seed: number;
  /** First recorder of its reporting unit. */
  recorder: number;
  /** Run time in force, ns; 0: none. */
  runtimeNs: number;
  /** Barriers of its phase, with how many meet there: before it begins, and once it is done. */
  begin: { id: number; parties: number } | undefined;
  end: { id: number; parties: number } | undefined;
}

interface Progress {
  ios: Generator<IoEntry, never>;
  /** Entries that a deadline put off. */
  waiting: IoEntry[];
  leftBytes: number;
  readBytes: number;
  writeBytes: number;
  writes: number;
  /** Whether the ramp is over. */
  measured: boolean;
}

interface Target {
  into: IoTarget["into"];
  sync: (data: boolean) => Call;
}

/** Opens the file and, for the mmap engine, maps it; for the others makes the buffer that their calls use. */
function* opened({ job, path }: Clone): Call<Target> {
  const fd = must(yield* sys.open(path, O_RDWR), `open ${path}`);
  const end = job.offsetBytes + job.sizeBytes;
  if (job.ioengine !== "mmap") {
    const bytes = Math.ceil(Math.max(job.readBlock[1], job.writeBlock[1]) / 4096) * 4096;
    const buffer = must(yield* sys.mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS), "mmap");
    yield* mem.touch(buffer, bytes, { write: true });
    return { into: { fd, buffer }, sync: (data) => (data ? sys.fdatasync(fd) : sys.fsync(fd)) };
  }
  const prot = job.readPercent === 100 ? PROT_READ : PROT_READ | PROT_WRITE;
  const address = must(yield* sys.mmap(0, end, prot, MAP_SHARED, fd, 0), "mmap");
  // fio's mmap engine syncs with msync, whichever sync was asked for.
  return { into: { address }, sync: () => sys.msync(address, end, MS_SYNC) };
}

/** Writes until the next sync is due, Infinity without syncs. */
function untilSync(job: FioJob, writes: number): number {
  const left = (every: number): number => (every === 0 ? Infinity : every - (writes % every));
  return Math.min(left(job.fsync), left(job.fdatasync));
}

/** Goes on until its deadline: by its own wish, or because its ramp is not over. */
function endless(clone: Clone, p: Progress): boolean {
  return clone.job.timeBased || !p.measured;
}

/** The entries of the next batch: up to the next sync, the end of the job, or a batch's room. */
function nextBatch(clone: Clone, p: Progress): IoEntry[] {
  const batch: IoEntry[] = [];
  let writes = untilSync(clone.job, p.writes);
  let bytes = endless(clone, p) ? Infinity : p.leftBytes;
  while (batch.length < BATCH_ENTRIES && writes > 0 && bytes > 0) {
    const entry = p.waiting.shift() ?? p.ios.next().value;
    batch.push(entry);
    bytes -= entry.lenBytes;
    if (entry.write) writes--;
  }
  return batch;
}

/** Runs one batch and accounts for what was done of it. False when the deadline came first. */
function* runBatch(clone: Clone, target: Target, p: Progress, deadlineNs: number): Call<boolean> {
  const batch = nextBatch(clone, p);
  const to = (offset: number): number => (p.measured ? clone.recorder + offset : NO_RECORDER);
  const result = yield* ioBatch(batch, {
    readRecorder: to(RECORDER.read),
    writeRecorder: to(RECORDER.write),
    deadlineNs,
    into: target.into,
  });
  if (result.errno !== 0) throw new GuestError(`${clone.job.name}: IO ${result.done} of a batch`, result.errno);
  for (const entry of batch.slice(0, result.done)) {
    p.leftBytes -= entry.lenBytes;
    if (entry.write) p.writes++;
    if (p.measured) p[entry.write ? "writeBytes" : "readBytes"] += entry.lenBytes;
  }
  p.waiting.unshift(...batch.slice(result.done));
  return result.done === batch.length;
}

/** The syncs that are due after the writes made so far. */
function* syncs(clone: Clone, target: Target, p: Progress): Call<void> {
  const { fsync, fdatasync } = clone.job;
  const due = (every: number): boolean => every > 0 && p.writes > 0 && p.writes % every === 0;
  for (const [every, data] of [
    [fsync, false],
    [fdatasync, true],
  ] as const) {
    if (!due(every)) continue;
    const call = target.sync(data);
    must(p.measured ? yield* timed(clone.recorder + RECORDER.sync, call) : yield* call, "sync");
  }
}

/** IOs until the job is done or the deadline has come. */
function* runUntil(clone: Clone, target: Target, p: Progress, deadlineNs: number): Call<void> {
  const over = function* (): Call<boolean> {
    return deadlineNs > 0 && (yield* now()) >= deadlineNs;
  };
  while (endless(clone, p) || p.leftBytes > 0) {
    const before = p.writes;
    const whole = yield* runBatch(clone, target, p, deadlineNs);
    if (p.writes !== before) yield* syncs(clone, target, p);
    if (!whole || (yield* over())) return;
  }
}

function* usage(): Call<Rusage> {
  const used = yield* sys.getrusage(RUSAGE_THREAD);
  if (typeof used === "number") throw new GuestError("getrusage", -used);
  return used;
}

/** Records what the clone has used since `before`. */
function* account(clone: Clone, p: Progress, startNs: number, before: Rusage): Call<void> {
  const after = yield* usage();
  const values: [number, number][] = [
    [RECORDER.readBytes, p.readBytes],
    [RECORDER.writeBytes, p.writeBytes],
    [RECORDER.runtime, (yield* now()) - startNs],
    [RECORDER.minf, after.minflt - before.minflt],
    [RECORDER.majf, after.majflt - before.majflt],
    [RECORDER.ctx, after.nvcsw + after.nivcsw - before.nvcsw - before.nivcsw],
    [RECORDER.cpu, after.utimeNs - before.utimeNs],
  ];
  for (const [offset, value] of values) yield* record(clone.recorder + offset, value);
}

/** Bytes that a clone moves in all. */
function bytesOf(job: FioJob): number {
  return (job.ioSizeBytes === 0 ? job.sizeBytes : job.ioSizeBytes) * job.loops;
}

/** What one clone runs. */
export function jobBody(clone: Clone): GuestFn {
  return function* () {
    const { job, begin, end } = clone;
    if (begin) yield* barrier(begin.id, begin.parties);
    const [low, high] = job.startDelayNs;
    const delayNs = low + Math.floor(rngOf(seedOf(clone.seed, 6)).unit() * (high - low));
    if (delayNs > 0) yield* sys.nanosleep(delayNs);
    const target = yield* opened(clone);
    const p: Progress = {
      ios: ioSequence(job, clone.seed),
      waiting: [],
      leftBytes: bytesOf(job),
      readBytes: 0,
      writeBytes: 0,
      writes: 0,
      measured: job.rampNs === 0,
    };
    if (!p.measured) yield* runUntil(clone, target, p, (yield* now()) + job.rampNs);
    if (!p.measured) p.leftBytes = bytesOf(job);
    p.measured = true;
    const before = yield* usage();
    const startNs = yield* now();
    yield* runUntil(clone, target, p, clone.runtimeNs === 0 ? 0 : startNs + clone.runtimeNs);
    if (job.endFsync) must(yield* timed(clone.recorder + RECORDER.sync, target.sync(false)), "sync");
    yield* account(clone, p, startNs, before);
    if (end) yield* barrier(end.id, end.parties);
  };
}
