/**
 * S11, S12, S13: writeback cleans the page between the passes of a fault, is under way when it is stored to, and comes between the answer
 * of page_mkwrite and the PTE.
 */
import { mem } from "../guest/mem.js";
import { sys } from "../guest/sys.js";
import { type Cell, defineScenario, thread } from "./scenario.js";
import {
  type Mapped,
  PAGE,
  cached,
  dropping,
  durable,
  inFileWindow,
  mappedFile,
  nameOf,
  overlapped,
  runs,
  storeByte,
  withMkwrite,
} from "./steps.js";

const ENDING = "store ok, fsync 0, disk 5";

function ended(store: string | undefined, fsync: string | undefined, disk: string | undefined): string {
  return `store ${store}, fsync ${fsync}, disk ${disk}`;
}

export const writeback = defineScenario<Mapped, { store: string; fsync: string }, string>({
  id: "S11",
  name: "writeback",
  title: "fsync against a store to a page that is mapped read-only: the store is on the disk",
  applies: withMkwrite,
  setup: (cell) => mappedFile(cell, { lenBytes: PAGE }),
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    fsync: thread(function* ({ fd }) {
      return nameOf(yield* sys.fsync(fd));
    }),
  },
  after: (file, cell) => durable(cell, file, [0]),
  ending: ({ outcomes, after }) => ended(outcomes.store, outcomes.fsync, after),
  allowed: () => [ENDING],
  mark: (end) =>
    dropping(end.cell)
      ? inFileWindow(end, runs(end) > 1)
      : end.moved(cached(end.cell) ? "writeback:writeback_start" : "fs_dax:dax_writeback_range") > 0,
});

function stable({ fs }: Cell): boolean {
  return fs.has.includes("stable-pages");
}

export const stablePages = defineScenario<Mapped, { store: string; write: string; fsync: string }, string>({
  id: "S12",
  name: "stable-pages",
  title: "a store and a write to a page that is being written: neither changes what the checksum was taken of",
  applies: stable,
  *setup(cell) {
    const file = yield* mappedFile(cell, { lenBytes: PAGE });
    yield* storeByte(file.at, 1);
    return file;
  },
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    write: thread(function* ({ fd }) {
      return nameOf(yield* sys.pwrite(fd, Uint8Array.of(6), 1));
    }),
    fsync: thread(function* ({ fd }) {
      return nameOf(yield* sys.fsync(fd));
    }),
  },
  after: (file, cell) => durable(cell, file, [0, 1]),
  ending: ({ outcomes, after }) => `${ended(outcomes.store, outcomes.fsync, after)}, write ${outcomes.write}`,
  // A checksum that does not fit is EIO in place of the byte.
  allowed: () => ["store ok, fsync 0, disk 5,6, write 1"],
  mark: (end) => runs(end) > 0 && end.moved("writeback:wait_on_page_writeback") > 0,
});

export const firstPte = defineScenario<Mapped, { store: string; write: string }, string>({
  id: "S13",
  name: "first-pte",
  title: "a write and fsync against the first store through a mapping: prepared, dirty and mapped are one step for writeback",
  applies: cached,
  setup: (cell) => mappedFile(cell, { lenBytes: PAGE, loaded: false }),
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    write: thread(function* ({ fd }) {
      const wrote = yield* sys.pwrite(fd, Uint8Array.of(6), 1);
      return `${nameOf(wrote)} ${nameOf(yield* sys.fsync(fd))}`;
    }),
  },
  *after(file, cell) {
    const loaded = yield* mem.load(file.at, 2);
    return `memory ${typeof loaded === "number" ? loaded : [...loaded].join(",")}, disk ${yield* durable(cell, file, [0, 1])}`;
  },
  ending: ({ outcomes, after }) => `store ${outcomes.store}, write and fsync ${outcomes.write}, ${after}`,
  allowed: () => ["store ok, write and fsync 1 0, memory 5,6, disk 5,6"],
  mark: overlapped,
});
