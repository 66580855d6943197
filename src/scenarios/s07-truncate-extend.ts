/**
 * S7: the page is truncated away and the file extended again: the size is what it was, the page is another.
 */
import { sys } from "../guest/sys.js";
import { defineScenario, thread } from "./scenario.js";
import { type Mapped, PAGE, byteOf, dirtied, inFileWindow, mappedFile, nameOf, storeByte, withMkwrite } from "./steps.js";

export const truncateExtend = defineScenario<Mapped, { store: string; resize: string }, string>({
  id: "S7",
  name: "truncate-extend",
  title: "truncate and extend against a store: the store is in the new page, went with the old one, or was a SIGBUS between them",
  applies: withMkwrite,
  setup: (cell) => mappedFile(cell, { lenBytes: PAGE }),
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    resize: thread(function* ({ fd }) {
      const down = nameOf(yield* sys.ftruncate(fd, 0));
      return `${down} ${nameOf(yield* sys.ftruncate(fd, PAGE))}`;
    }),
  },
  after: ({ fd }) => byteOf(fd, 0),
  ending: ({ outcomes, after }) => `store ${outcomes.store}, truncates ${outcomes.resize}, file ${after}`,
  allowed: () => ["ok, truncates 0 0, file 5", "ok, truncates 0 0, file 0", "SIGBUS, truncates 0 0, file 0"].map((end) => `store ${end}`),
  // The store is in the file, and a page was dirtied before the one it is in.
  mark: (end) => inFileWindow(end, end.outcomes.store === "ok" && end.after === "5" && dirtied(end) > 1),
});
