/**
 * truncate-race: tasks store all over a shared file while a thread truncates and extends it: faults meet pages that go and come
 * back, and a store beyond the end is a SIGBUS that the task survives.
 */
import { timed } from "../guest/io.js";
import { mem, now } from "../guest/mem.js";
import { must, sys } from "../guest/sys.js";
import { numberOption } from "./options.js";
import { makeShared, mapShared, openShared } from "./shared-file.js";
import { VICTIM_OPTIONS, procVictim, victimRecord } from "./victim.js";
import { type Workload, accessesOf } from "./workload.js";

const TRUNCATE = 0;
const VICTIM = 1;
/** Pages of one batch of stores. */
const BATCH_PAGES = 32;

export const truncateRace: Workload = {
  name: "truncate-race",
  summary: "stores to a shared file that is truncated and extended meanwhile",
  origin: "Faultline",
  footprint: 1,
  lenBytes: 4 << 20,
  options: [
    { name: "truncaters", kind: "count", default: "1", min: 1, max: 16, summary: "threads that truncate and extend" },
    { name: "truncate_pause", kind: "duration", default: "20us", summary: "between two calls of ftruncate" },
    ...VICTIM_OPTIONS,
  ],
  recorded: [{ name: "ftruncate_ns", summary: "one call of ftruncate" }, victimRecord()],
  setup: makeShared,
  share: mapShared,
  prepare: () => sys.gettid(),
  *pass({ shared, lenBytes, index }) {
    const pages = lenBytes / 4096;
    const first = Math.floor((yield* now()) / 97 + index * 1009) % pages;
    const count = Math.min(BATCH_PAGES, pages - first);
    yield* mem.tryTouch(shared + first * 4096, count * 4096, { write: true });
  },
  actors({ options, lenBytes }) {
    const pauseNs = numberOption(options, "truncate_pause");
    return [
      {
        name: "truncater",
        where: "thread",
        count: numberOption(options, "truncaters"),
        prepare: openShared,
        *pass(_context, fd) {
          // Odd ends on purpose: the page that straddles the end is where most of the races are (SCENARIOS S8).
          const size = Math.floor((yield* now()) * 7919) % lenBytes;
          must(yield* timed(TRUNCATE, sys.ftruncate(fd, size)), "ftruncate");
          if (pauseNs > 0) yield* sys.nanosleep(pauseNs);
          must(yield* timed(TRUNCATE, sys.ftruncate(fd, lenBytes)), "ftruncate");
          if (pauseNs > 0) yield* sys.nanosleep(pauseNs);
        },
      },
      procVictim(options, VICTIM),
    ];
  },
  iterations: accessesOf,
};
