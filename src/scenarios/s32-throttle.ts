/**
 * S32, S33: what a fault costs others and how often it is counted: dirty throttling without the lock, one fault for one store.
 */
import { MAP_ANONYMOUS, MAP_PRIVATE, RUSAGE_THREAD } from "../guest/constants.js";
import { mem } from "../guest/mem.js";
import { type Call, must, sys } from "../guest/sys.js";
import { defineScenario, thread } from "./scenario.js";
import {
  type Mapped,
  PAGE,
  RW,
  byteOf,
  cached,
  cleanings,
  dropping,
  loadByte,
  mappedFile,
  nameOf,
  outcomeOf,
  overlapped,
  storeByte,
  withMkwrite,
} from "./steps.js";
import { coldFile } from "./s27-killed.js";

/** More pages than may be dirty at a time in a machine of 128 frames. */
const PAGES = 40;

/** Maps a page elsewhere: a writer of mmap_sem. */
function* mapElsewhere(): Call<string> {
  const at = must(yield* sys.mmap(0, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS), "mmap");
  return nameOf(yield* sys.munmap(at, PAGE));
}

export const throttle = defineScenario<Mapped, { stores: string; map: string }, number>({
  id: "S32",
  name: "throttle",
  title: "a task that dirties more than may be dirty is throttled, and a writer of mmap_sem gets through",
  applies: cached,
  config: { memoryBytes: 128 * PAGE },
  setup: (cell) => mappedFile(cell, { lenBytes: PAGES * PAGE, loaded: false }),
  tasks: {
    stores: thread(function* ({ at }) {
      return outcomeOf(yield* mem.tryTouch(at, PAGES * PAGE, { write: true, value: 5 }));
    }),
    map: thread(mapElsewhere),
  },
  *after({ fd }) {
    let right = 0;
    for (let page = 0; page < PAGES; page++) if ((yield* byteOf(fd, page * PAGE)) === "5") right++;
    return right;
  },
  ending: ({ outcomes, after }) => `stores ${outcomes.stores}, munmap ${outcomes.map}, pages ${after}`,
  allowed: () => [`stores ok, munmap 0, pages ${PAGES}`],
  // Over the threshold, or saved from it by the flusher, who had been woken.
  mark: (end) => end.moved("dirty_throttles") > 0 || cleanings(end) > 0,
});

/** Faults of a thread: those that the disk was asked for, and all. */
function* faults(): Call<[major: number, all: number]> {
  const usage = yield* sys.getrusage(RUSAGE_THREAD);
  return typeof usage === "number" ? [usage, usage] : [usage.majflt, usage.minflt + usage.majflt];
}

/** What a call came to, and the faults that it took: "ok, faults 1, major 0". */
function* counted(call: Call<string>): Call<string> {
  const before = yield* faults();
  const result = yield* call;
  const after = yield* faults();
  return `${result}, faults ${after[1] - before[1]}, major ${after[0] - before[0]}`;
}

export const accounting = defineScenario<Mapped, { store: string; map: string }, string>({
  id: "S33",
  name: "accounting",
  title: "a writer of mmap_sem against a store: however often the fault comes back, it is one fault and no major one",
  applies: withMkwrite,
  setup: (cell) => mappedFile(cell, { lenBytes: PAGE }),
  tasks: {
    store: thread(({ at }) => counted(storeByte(at, 5))),
    map: thread(mapElsewhere),
  },
  after: ({ fd }) => byteOf(fd, 0),
  ending(end) {
    const { outcomes, after } = end;
    // Each cleaning of the page may take the PTE from the store once more: that is another fault.
    const again = cleanings(end) > 0 ? outcomes.store?.replace(/faults [0-9]+/, "faults 1") : outcomes.store;
    return `store ${again}, munmap ${outcomes.map}, file ${after}`;
  },
  allowed: () => ["store ok, faults 1, major 0, munmap 0, file 5"],
  mark: (end) =>
    (dropping(end.cell) ? end.moved("mkwrite_unlocked_attempts") > 0 : end.moved("mkwrite_runs") > 0) &&
    // A per-VMA lock is nothing that mmap elsewhere waits for.
    (end.moved("lock:contention_begin") > 0 || end.cell.faultLock === "linux-6.7"),
});

export const majorFault = defineScenario<Mapped, { load: string; map: string }, string>({
  id: "R6",
  name: "major-fault",
  title: "a writer of mmap_sem against a load from the disk: however often the fault comes back, it is one major fault",
  applies: (cell) => cached(cell) && cell.fs.has.includes("disk") && cell.mkwrite === "generic_page_mkwrite",
  setup: (cell) => coldFile(cell),
  tasks: {
    load: thread(({ at }) => counted(loadByte(at))),
    map: thread(mapElsewhere),
  },
  ending: ({ outcomes }) => `load ${outcomes.load}, munmap ${outcomes.map}`,
  allowed: () => ["load ok, faults 1, major 1, munmap 0"],
  mark: (end) => (end.cell.faultLock === "linux-4.19" ? end.moved("lock:contention_begin") > 0 : end.moved("fault_retries") > 0),
});

export const noFlush = defineScenario<Mapped, { first: string; second: string; map: string }, string>({
  id: "R7",
  name: "no-flush",
  title: "a fault that comes back to a good PTE shoots down no TLB",
  applies: withMkwrite,
  setup: (cell) => mappedFile(cell, { lenBytes: PAGE, loaded: false }),
  tasks: {
    first: thread(({ at }) => storeByte(at, 5)),
    second: thread(({ at }) => storeByte(at + 1, 6)),
    map: thread(function* () {
      return nameOf(must(yield* sys.mmap(0, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS), "mmap") > 0 ? 0 : -1);
    }),
  },
  ending(end) {
    const { first, second, map } = end.outcomes;
    // Writeback shoots down what it write-protects.
    const shootdowns = cleanings(end) > 0 ? 0 : end.moved("tlb_shootdowns");
    return `stores ${first} ${second}, mmap ${map}, shootdowns ${shootdowns}`;
  },
  allowed: () => ["stores ok ok, mmap 0, shootdowns 0"],
  // Both were at the page: one came to a PTE that the other had made.
  mark: (end) => overlapped(end) || end.moved("faultline:fault_nopage") > 0,
});
