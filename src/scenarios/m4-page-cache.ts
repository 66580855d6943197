/**
 * M4 to M7, R6: what the page cache owes a mapping, beside the races of SCENARIOS.md: pages that are mapped while they are truncated, bytes
 * behind the end of the file, throttling, and how faults are counted.
 */
import { RUSAGE_THREAD } from "../guest/constants.js";
import { mem } from "../guest/mem.js";
import { type Call, must, sys } from "../guest/sys.js";
import { type Cell, defineScenario, thread } from "./scenario.js";
import {
  MNT,
  type Mapped,
  PAGE,
  byteOf,
  bytesOf,
  cached,
  drop,
  dropping,
  loadByte,
  makeAndMount,
  makeFile,
  mapShared,
  mappedFile,
  nameOf,
  outcomeOf,
  remount,
  storeByte,
  withMkwrite,
} from "./steps.js";

/** A page of the file in the cache, mapped, and not touched yet. */
function* cachedPage(cell: Cell): Call<Mapped> {
  yield* makeAndMount(cell);
  const fd = yield* makeFile(`${MNT}/f`, PAGE);
  must(yield* sys.pwrite(fd, Uint8Array.of(1), 0), "pwrite");
  return { fd, at: yield* mapShared(fd, 1), lenBytes: PAGE };
}

export const loadTruncate = defineScenario<Mapped, { load: string; truncate: string }, string>({
  id: "M4",
  name: "load-truncate",
  title: "truncate against the first load of a page: no page is mapped behind the end afterwards",
  applies: cached,
  setup: cachedPage,
  tasks: {
    load: thread(({ at }) => loadByte(at)),
    truncate: thread(function* ({ fd }) {
      return nameOf(yield* sys.ftruncate(fd, 0));
    }),
  },
  *after({ at }) {
    return outcomeOf(yield* mem.tryTouch(at, 1));
  },
  ending: ({ outcomes, after }) => `load ${outcomes.load}, truncate ${outcomes.truncate}, load again ${after}`,
  allowed: () => ["load ok, truncate 0, load again SIGBUS", "load SIGBUS, truncate 0, load again SIGBUS"],
  mark: (end) => end.outcomes.load === "SIGBUS" || end.moved("lock:contention_begin") + end.moved("faultline:page_lock_wait") > 0,
});

/** Where the file ends, and where the stores go. */
const END = 100;
const BEHIND = 700;

export const behindTheEnd = defineScenario<Mapped, { store: string; sync: string }, string>({
  id: "M5",
  name: "behind-the-end",
  title: "a store behind the end of the file, against fsync: when the file grows over it later, there is a zero",
  applies: (cell) => withMkwrite(cell) && cell.fs.has.includes("disk") && cached(cell),
  setup: (cell) => mappedFile(cell, { lenBytes: END, mapBytes: PAGE }),
  tasks: {
    store: thread(function* ({ at }) {
      return `${yield* storeByte(at, 5)} ${yield* storeByte(at + BEHIND, 6)}`;
    }),
    sync: thread(function* ({ fd }) {
      return nameOf(yield* sys.fsync(fd));
    }),
  },
  *after(file, cell) {
    must(yield* sys.fsync(file.fd), "fsync");
    yield* drop(file);
    yield* remount(cell);
    const fd = must(yield* sys.open(`${MNT}/f`, 2), "open");
    must(yield* sys.ftruncate(fd, PAGE), "ftruncate");
    const found = yield* bytesOf(fd, [0, BEHIND]);
    must(yield* sys.close(fd), "close");
    return found;
  },
  ending: ({ outcomes, after }) => `stores ${outcomes.store}, fsync ${outcomes.sync}, grown ${after}`,
  allowed: () => ["stores ok ok, fsync 0, grown 5,0"],
  mark: (end) => end.moved("lock:contention_begin") + end.moved("faultline:page_lock_wait") + end.moved("mkwrite_runs") > 1,
});

/** Of 256 pages a fifth may be dirty; whoever dirties one more has its page dirty when it comes to wait. */
const MAY_BE_DIRTY = 52;
const MANY = 96;

export const throttled = defineScenario<Mapped, { stores: string; other: string }, string>({
  id: "M6",
  name: "throttled",
  title: "stores through a mapping to more pages than may be dirty: whoever dirties them waits for writeback (S32)",
  applies: (cell) => cell.fs.name === "cowfs" && dropping(cell),
  config: { memoryBytes: 1 << 20, diskBlocks: 400 },
  setup: (cell) => mappedFile(cell, { lenBytes: MANY * PAGE, loaded: false }),
  tasks: {
    stores: thread(function* ({ at }) {
      const { done } = yield* mem.tryTouch(at, MANY * PAGE, { write: true });
      return String(done);
    }),
    other: thread(({ fd }) => byteOf(fd, 0)),
  },
  ending({ outcomes, moved }) {
    const left = moved("dirty_pages") + moved("writeback_pages");
    return `stores ${outcomes.stores}, ${left <= MAY_BE_DIRTY ? "as many dirty as may be" : `${left} pages dirty`}`;
  },
  allowed: () => [`stores ${MANY}, as many dirty as may be`],
  mark: (end) => end.moved("mkwrite_unlocked_attempts") > 0,
});

/** How many faults of each kind the calling thread has had. */
function* faults(): Call<{ major: number; all: number }> {
  const usage = yield* sys.getrusage(RUSAGE_THREAD);
  if (typeof usage === "number") throw new Error(`getrusage: ${nameOf(usage)}`);
  return { major: usage.majflt, all: usage.majflt + usage.minflt };
}

export const faultCounts = defineScenario<Mapped, { store: string; other: string }, string>({
  id: "R6",
  name: "fault-counts",
  title: "a store to a page that is in memory is no major fault, however often the fault comes back",
  applies: (cell) => cell.fs.has.includes("disk") && cached(cell),
  setup: cachedPage,
  tasks: {
    store: thread(function* ({ at }) {
      const before = yield* faults();
      const result = yield* storeByte(at, 5);
      const now = yield* faults();
      return `${result}, ${now.all > before.all ? "counted" : "not counted"}, major ${now.major - before.major}`;
    }),
    other: thread(({ fd }) => byteOf(fd, 0)),
  },
  ending: ({ outcomes }) => `store ${outcomes.store}`,
  // More than one fault where writeback has cleaned the page before the store came to it.
  allowed: () => ["store ok, counted, major 0"],
  mark: (end) => (dropping(end.cell) ? end.moved("mkwrite_unlocked_attempts") > 0 : end.moved("faults") > 0),
});

/** Stores a page to a file through a descriptor and syncs it. */
function* writeAndSync(fd: number, value: number): Call<string> {
  const wrote = yield* sys.pwrite(fd, new Uint8Array(PAGE).fill(value), 0);
  return wrote === PAGE ? nameOf(yield* sys.fsync(fd)) : nameOf(wrote);
}

export const twoSyncs = defineScenario<Mapped & { other: number }, { first: string; second: string }, string>({
  id: "M7",
  name: "two-syncs",
  title: "two files are written and synced at once: a commit for the one waits for the data of the other that it speaks for",
  applies: (cell) => cell.fs.has.includes("disk") && cached(cell) && cell.mkwrite === "generic_page_mkwrite",
  *setup(cell) {
    return { ...(yield* mappedFile(cell, { lenBytes: PAGE })), other: yield* makeFile(`${MNT}/g`, PAGE) };
  },
  tasks: {
    first: thread(({ fd }) => writeAndSync(fd, 5)),
    second: thread(({ other }) => writeAndSync(other, 6)),
  },
  *after({ other, ...file }, cell) {
    yield* drop(file);
    must(yield* sys.close(other), "close");
    yield* remount(cell);
    const fd = must(yield* sys.open(`${MNT}/f`, 0), "open");
    const found = yield* byteOf(fd, 0);
    must(yield* sys.close(fd), "close");
    return found;
  },
  ending: ({ outcomes, after }) => `fsyncs ${outcomes.first} ${outcomes.second}, disk ${after}`,
  allowed: () => ["fsyncs 0 0, disk 5"],
  mark: (end) => end.moved("lock:contention_begin") + end.moved("faultline:page_lock_wait") > 0,
});
