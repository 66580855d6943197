/**
 * S1: the mapping goes while page_mkwrite runs without the fault lock.
 */
import { sys } from "../guest/sys.js";
import { defineScenario, thread } from "./scenario.js";
import { type Mapped, PAGE, byteOf, inWindow, mappedFile, nameOf, storeByte, withMkwrite } from "./steps.js";

export const munmap = defineScenario<Mapped, { store: string; unmap: string }, string>({
  id: "S1",
  name: "munmap",
  title: "munmap against a store: the store is in the file, or it is a SIGSEGV and in nothing",
  applies: withMkwrite,
  setup: (cell) => mappedFile(cell, { lenBytes: PAGE }),
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    unmap: thread(function* ({ at }) {
      return nameOf(yield* sys.munmap(at, PAGE));
    }),
  },
  after: ({ fd }) => byteOf(fd, 0),
  ending: ({ outcomes, after }) => `store ${outcomes.store}, munmap ${outcomes.unmap}, file ${after}`,
  allowed: () => ["store ok, munmap 0, file 5", "store SIGSEGV, munmap 0, file 0"],
  mark: (end) => inWindow(end, end.outcomes.store === "SIGSEGV"),
});
