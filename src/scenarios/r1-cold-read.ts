/**
 * R1, R3, R4, R5: what the merged read half got wrong: the VMA used after the drop, mlockall and populate that make no progress, errors
 * that are retried away.
 */
import { MADV_POPULATE_READ, MAP_ANONYMOUS, MAP_PRIVATE, MCL_CURRENT } from "../guest/constants.js";
import { must, sys } from "../guest/sys.js";
import { type Cell, defineScenario, thread } from "./scenario.js";
import {
  MNT,
  type Mapped,
  PAGE,
  RW,
  byteOf,
  cached,
  dropping,
  loadByte,
  makeFile,
  mappedFile,
  nameOf,
  runs,
  storeByte,
  withMkwrite,
} from "./steps.js";
import { SMALL, fill } from "./s16-no-space.js";
import { CONFIG, ballast } from "./s17-out-of-memory.js";
import { coldFile } from "./s27-killed.js";

/** The read half does not depend on how page_mkwrite is called. */
function readHalf(cell: Cell): boolean {
  return cached(cell) && cell.fs.has.includes("disk") && cell.mkwrite === "generic_page_mkwrite";
}

/** A load that the disk is asked for without the lock, or under it where the regime keeps it. */
function waitedForDisk(end: { cell: Cell; moved: (name: string) => number }): boolean {
  return end.cell.faultLock === "linux-4.19" ? end.moved("lock:contention_begin") > 0 : end.moved("fault_retries") > 0;
}

export const coldRead = defineScenario<Mapped, { load: string; unmap: string }, string>({
  id: "R1",
  name: "cold-read",
  title: "munmap against a load that waits for the disk: loaded, or a SIGSEGV, and the VMA is not looked at again",
  applies: readHalf,
  setup: (cell) => coldFile(cell),
  tasks: {
    load: thread(({ at }) => loadByte(at)),
    unmap: thread(function* ({ at }) {
      return nameOf(yield* sys.munmap(at, PAGE));
    }),
  },
  ending: ({ outcomes }) => `load ${outcomes.load}, munmap ${outcomes.unmap}`,
  allowed: () => ["load ok, munmap 0", "load SIGSEGV, munmap 0"],
  mark: (end) => waitedForDisk(end) && (end.cell.faultLock === "linux-4.19" || end.outcomes.load === "SIGSEGV"),
});

export const mlockall = defineScenario<Mapped, { lock: string; map: boolean }, string>({
  id: "R3",
  name: "mlockall",
  title: "mlockall of a cold file without readahead, against a writer of mmap_sem: it ends",
  applies: readHalf,
  config: { raPages: 0 },
  setup: (cell) => coldFile(cell, 3 * PAGE),
  tasks: {
    lock: thread(function* () {
      return nameOf(yield* sys.mlockall(MCL_CURRENT));
    }),
    map: thread(function* () {
      return (yield* sys.mmap(0, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS)) > 0;
    }),
  },
  *after() {
    return nameOf(yield* sys.munlockall());
  },
  ending: ({ outcomes, after }) => `mlockall ${outcomes.lock}, mmap ${outcomes.map}, munlockall ${after}`,
  allowed: () => ["mlockall 0, mmap true, munlockall 0"],
  mark: waitedForDisk,
});

const POPULATED = 12;
const READ = 40;

export const populateReclaim = defineScenario<Mapped & { other: number }, { populate: string; read: string }, string>({
  id: "R4",
  name: "populate-reclaim",
  title: "populate of a cold file while reclaim takes pages: it makes progress on every pass, and ends",
  applies: readHalf,
  config: CONFIG,
  *setup(cell) {
    const file = yield* coldFile(cell, POPULATED * PAGE);
    const other = yield* makeFile(`${MNT}/g`, READ * PAGE);
    yield* ballast();
    return { ...file, other };
  },
  tasks: {
    populate: thread(function* ({ at, lenBytes }) {
      return nameOf(yield* sys.madvise(at, lenBytes, MADV_POPULATE_READ));
    }),
    read: thread(function* ({ other }) {
      let byte = "0";
      for (let page = 0; page < READ && byte === "0"; page++) byte = yield* byteOf(other, page * PAGE);
      return byte;
    }),
  },
  ending: ({ outcomes }) => `populate ${outcomes.populate}, read ${outcomes.read}`,
  allowed: () => ["populate 0, read 0"],
  mark: (end) => end.moved("pages_scanned") > 0,
});

export const errorReported = defineScenario<Mapped, { store: string; map: boolean }, string>({
  id: "R5",
  name: "error-reported",
  title: "an error after the drop is found again by the locked pass, and told",
  applies: withMkwrite,
  config: SMALL,
  *setup(cell) {
    const file = yield* mappedFile(cell, { lenBytes: PAGE });
    must(yield* sys.close(yield* fill()), "close");
    return file;
  },
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    map: thread(function* () {
      return (yield* sys.mmap(0, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS)) > 0;
    }),
  },
  after: ({ fd }) => byteOf(fd, 0),
  ending: ({ outcomes, after }) => `store ${outcomes.store}, mmap ${outcomes.map}, file ${after}`,
  allowed: () => ["store SIGBUS, mmap true, file 0"],
  mark: (end) => (dropping(end.cell) ? end.moved("mkwrite_unlocked_failures") > 0 : runs(end) > 0),
});
