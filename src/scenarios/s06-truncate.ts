/**
 * S6: the page is truncated away while page_mkwrite prepares it, and between the two passes of the fault.
 */
import { sys } from "../guest/sys.js";
import { defineScenario, thread } from "./scenario.js";
import { type Mapped, PAGE, byteOf, inWindow, mappedFile, nameOf, storeByte, withMkwrite } from "./steps.js";

export const truncate = defineScenario<Mapped, { store: string; truncate: string }, string>({
  id: "S6",
  name: "truncate",
  title: "truncate against a store: the store goes with its page, or is a SIGBUS",
  applies: withMkwrite,
  setup: (cell) => mappedFile(cell, { lenBytes: PAGE }),
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    truncate: thread(function* ({ fd }) {
      return nameOf(yield* sys.ftruncate(fd, 0));
    }),
  },
  after: ({ fd }) => byteOf(fd, 0),
  ending: ({ outcomes, after }) => `store ${outcomes.store}, truncate ${outcomes.truncate}, file ${after}`,
  allowed: () => ["store ok, truncate 0, file eof", "store SIGBUS, truncate 0, file eof"],
  mark: (end) => inWindow(end, end.outcomes.store === "SIGBUS"),
});
