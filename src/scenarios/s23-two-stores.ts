/**
 * S23, S24: others want the same page: a second thread, and a child of fork.
 */
import { type Call, must, sys } from "../guest/sys.js";
import { defineScenario, process, thread } from "./scenario.js";
import { type Mapped, PAGE, bytesOf, cached, inWindow, mappedFile, runs, storeByte, withMkwrite } from "./steps.js";

export const twoStores = defineScenario<Mapped, { first: string; second: string }, string>({
  id: "S23",
  name: "two-stores",
  title: "two threads store to one page: both stores are in the file, and the page is dirty once",
  applies: withMkwrite,
  setup: (cell) => mappedFile(cell, { lenBytes: PAGE, loaded: false }),
  tasks: {
    first: thread(({ at }) => storeByte(at, 5)),
    second: thread(({ at }) => storeByte(at + 1, 6)),
  },
  after: ({ fd }) => bytesOf(fd, [0, 1]),
  ending: ({ outcomes, after }) => `stores ${outcomes.first} ${outcomes.second}, file ${after}`,
  allowed: () => ["stores ok ok, file 5,6"],
  // Both threads came to fault before one of them was done.
  mark: (end) => end.moved("faults") > 1,
});

/** A child of the process that stores through its copy of the mapping. Returns how it ended. */
function* forkAndStore({ at }: Mapped): Call<string> {
  const child = must(
    yield* sys.fork(function* () {
      if ((yield* storeByte(at + 1, 6)) !== "ok") yield* sys.exit(1);
    }),
    "fork",
  );
  return String((yield* sys.wait(child)).status);
}

export const fork = defineScenario<Mapped, { store: string; fork: string }, string>({
  id: "S24",
  name: "fork",
  title: "fork against a store, and the child stores as well: both stores are in the file",
  applies: withMkwrite,
  setup: (cell) => mappedFile(cell, { lenBytes: PAGE }),
  tasks: { store: thread(({ at }) => storeByte(at, 5)), fork: thread(forkAndStore) },
  after: ({ fd }) => bytesOf(fd, [0, 1]),
  ending: ({ outcomes, after }) => `store ${outcomes.store}, child ${outcomes.fork}, file ${after}`,
  allowed: () => ["store ok, child 0, file 5,6"],
  mark: (end) => inWindow(end, runs(end) > 1 && end.moved("lock:contention_begin") > 0),
});

export const forkedStores = defineScenario<Mapped, { parent: string; child: string }, string>({
  id: "S24",
  name: "forked-stores",
  title: "parent and child store to one page through address spaces of their own: both stores are in the file",
  applies: withMkwrite,
  setup: (cell) => mappedFile(cell, { lenBytes: PAGE }),
  tasks: {
    parent: thread(({ at }) => storeByte(at, 5)),
    child: process(({ at }) => storeByte(at + 1, 6)),
  },
  after: ({ fd }) => bytesOf(fd, [0, 1]),
  ending: ({ outcomes, after }) => `stores ${outcomes.parent} ${outcomes.child}, file ${after}`,
  allowed: () => ["stores ok ok, file 5,6"],
  // Each address space asked: neither had a writable PTE from the other.
  mark: (end) => (cached(end.cell) ? runs(end) : end.moved("faults")) > 1,
});
