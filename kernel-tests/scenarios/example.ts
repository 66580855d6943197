/*
 * The scenario that docs/scenarios.md shows, as it stands there but for the paths of its imports.
 */
import { sys } from "../../src/guest/sys.js";
import { defineScenario, thread } from "../../src/scenarios/scenario.js";
import { type Mapped, PAGE, durable, inFileWindow, mappedFile, nameOf, runs, storeByte, withMkwrite } from "../../src/scenarios/steps.js";

export const fsyncTwice = defineScenario<Mapped, { store: string; fsyncs: string }, string>({
  id: "S11",
  name: "fsync-twice",
  title: "two fsyncs against a store: the store is on the disk",
  applies: withMkwrite,
  setup: (cell) => mappedFile(cell, { lenBytes: PAGE }),
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    fsyncs: thread(function* ({ fd }) {
      const first = nameOf(yield* sys.fsync(fd));
      return `${first} ${nameOf(yield* sys.fsync(fd))}`;
    }),
  },
  after: (file, cell) => durable(cell, file, [0]),
  ending: ({ outcomes, after }) => `store ${outcomes.store}, fsyncs ${outcomes.fsyncs}, disk ${after}`,
  allowed: () => ["store ok, fsyncs 0 0, disk 5"],
  mark: (end) => inFileWindow(end, runs(end) > 1),
});
