/**
 * mmap-churn: tasks fault on files of their own while writers map and unmap at a set rate: each takes mmap_sem for writing, and
 * while it queues no new reader gets in.
 */
import { MADV_DONTNEED, MAP_ANONYMOUS, MAP_PRIVATE } from "../guest/constants.js";
import { record } from "../guest/io.js";
import { mem, now } from "../guest/mem.js";
import { must, sys } from "../guest/sys.js";
import { numberOption } from "./options.js";
import { RW, ownMapping } from "./shared-file.js";
import { VICTIM_OPTIONS, procVictim, victimRecord } from "./victim.js";
import { type Actor, type TaskContext, type Workload, touchesOf } from "./workload.js";

const CHURN = 0;
const VICTIM = 1;
const CHURN_BYTES = 64 * 1024;
/** What a pass touches: short enough for a task to be stopped between two. */
const PASS_BYTES = 64 * 4096;

/** Stores one byte in each page of the next part of the mapping, whose PTEs are dropped first: every store faults. */
export function* faultAgain(task: TaskContext, at: number) {
  const parts = Math.max(1, Math.floor(task.lenBytes / PASS_BYTES));
  const bytes = Math.min(task.lenBytes, PASS_BYTES);
  const part = Math.floor((yield* now()) / 1000 + task.index) % parts;
  must(yield* sys.madvise(at + part * bytes, bytes, MADV_DONTNEED), "madvise");
  yield* mem.touch(at + part * bytes, bytes, { write: true });
}

/** mmap and munmap of 64 KiB, at most `rate` a second each; what both took goes to the recorder. */
export function churner(recorder: number, count: number, rate: number): Actor {
  const periodNs = Math.floor(1e9 / rate);
  return {
    name: "churner",
    where: "thread",
    count,
    *pass() {
      const startNs = yield* now();
      const at = must(yield* sys.mmap(0, CHURN_BYTES, RW, MAP_PRIVATE | MAP_ANONYMOUS), "mmap");
      const mappedNs = yield* now();
      yield* record(recorder, mappedNs - startNs);
      must(yield* sys.munmap(at, CHURN_BYTES), "munmap");
      const endNs = yield* now();
      yield* record(recorder, endNs - mappedNs);
      const leftNs = periodNs - (endNs - startNs);
      if (leftNs > 0) yield* sys.nanosleep(leftNs);
    },
  };
}

export const mmapChurn: Workload = {
  name: "mmap-churn",
  summary: "faults on own files while writers mmap and munmap at a set rate",
  origin: "Faultline",
  footprint: 1,
  lenBytes: 4 << 20,
  options: [
    { name: "writers", kind: "count", default: "1", min: 1, max: 64, summary: "threads that mmap and munmap" },
    { name: "rate", kind: "count", default: "5000", min: 1, max: 1_000_000, summary: "pairs of mmap and munmap a second, each writer" },
    ...VICTIM_OPTIONS,
  ],
  recorded: [{ name: "churn_ns", summary: "one call of mmap or munmap of 64 KiB" }, victimRecord()],
  prepare: ownMapping,
  pass: faultAgain,
  actors: ({ options }) => [churner(CHURN, numberOption(options, "writers"), numberOption(options, "rate")), procVictim(options, VICTIM)],
  iterations: touchesOf,
};
