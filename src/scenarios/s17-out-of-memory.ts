/**
 * S17, S22: memory runs out under a store, and reclaim looks for pages while page_mkwrite runs without the fault lock.
 */
import { MAP_ANONYMOUS, MAP_PRIVATE, O_CREAT, O_RDWR } from "../guest/constants.js";
import { mem } from "../guest/mem.js";
import { type Call, must, sys } from "../guest/sys.js";
import { defineScenario, process, thread } from "./scenario.js";
import {
  MNT,
  type Mapped,
  PAGE,
  RW,
  byteOf,
  cached,
  dropping,
  durable,
  makeFile,
  mappedFile,
  outcomeOf,
  runs,
  storeByte,
} from "./steps.js";

/** Of 128 frames: with the filesystem in place, and BALLAST_PAGES in a file that nobody may reclaim, some 40 are free. */
export const CONFIG = { memoryBytes: 128 * PAGE };
const BALLAST_PAGES = 75;

export function* ballast(): Call<void> {
  const fd = must(yield* sys.open("/ballast", O_RDWR | O_CREAT), "open");
  must(yield* sys.pwrite(fd, new Uint8Array(BALLAST_PAGES * PAGE).fill(1), 0), "pwrite");
  must(yield* sys.close(fd), "close");
}

/** Pages that the hungry process asks for: more than there are. */
const HUNGRY_PAGES = 60;

export const outOfMemory = defineScenario<Mapped, { store: string; hungry: string }, string>({
  id: "S17",
  name: "out-of-memory",
  title: "a process eats all memory beside a store: the process that has most of it is killed, and the store is on the disk",
  applies: cached,
  config: CONFIG,
  *setup(cell) {
    const file = yield* mappedFile(cell, { lenBytes: PAGE });
    yield* ballast();
    return file;
  },
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    hungry: process(function* () {
      const at = must(yield* sys.mmap(0, HUNGRY_PAGES * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS), "mmap");
      return outcomeOf(yield* mem.tryTouch(at, HUNGRY_PAGES * PAGE, { write: true }));
    }),
  },
  *after(file, cell) {
    must(yield* sys.unlink("/ballast"), "unlink");
    return yield* durable(cell, file, [0]);
  },
  ending: ({ outcomes, after }) => `store ${outcomes.store}, hungry ${outcomes.hungry ?? "killed"}, disk ${after}`,
  allowed: () => ["store ok, hungry killed, disk 5"],
  mark: (end) => end.moved("oom_kills") > 0 && runs(end) > 0,
});

/** Pages of a second file that are read in, each of which takes a frame from somebody. */
const READ_PAGES = 50;

export const reclaim = defineScenario<Mapped & { other: number }, { store: string; read: string }, string>({
  id: "S22",
  name: "reclaim",
  title: "reclaim against a store: the page that page_mkwrite has prepared stays, and the store is on the disk",
  applies: cached,
  config: CONFIG,
  *setup(cell) {
    const file = yield* mappedFile(cell, { lenBytes: PAGE });
    const other = yield* makeFile(`${MNT}/g`, READ_PAGES * PAGE);
    yield* ballast();
    return { ...file, other };
  },
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    read: thread(function* ({ other }) {
      let pages = 0;
      let byte = "0";
      while (pages < READ_PAGES && byte === "0") byte = yield* byteOf(other, pages++ * PAGE);
      return `${pages} ${byte}`;
    }),
  },
  *after(file, cell) {
    must(yield* sys.unlink("/ballast"), "unlink");
    must(yield* sys.close(file.other), "close");
    return yield* durable(cell, file, [0]);
  },
  ending: ({ outcomes, after }) => `store ${outcomes.store}, read ${outcomes.read}, disk ${after}`,
  allowed: () => [`store ok, read ${READ_PAGES} 0, disk 5`],
  mark: (end) => end.moved("pages_scanned") > 0 && end.moved(dropping(end.cell) ? "mkwrite_unlocked_attempts" : "mkwrite_runs") > 0,
});
