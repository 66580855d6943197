/**
 * S26: the protection goes and comes back between the passes of a fault: the PTE is another, and the fault starts from what it is now.
 */
import { PROT_NONE } from "../guest/constants.js";
import { sys } from "../guest/sys.js";
import { defineScenario, thread } from "./scenario.js";
import { type Mapped, PAGE, RW, byteOf, inWindow, mappedFile, nameOf, runs, storeByte, withMkwrite } from "./steps.js";

export const protectionToggles = defineScenario<Mapped, { store: string; toggle: string }, string>({
  id: "S26",
  name: "protection-toggles",
  title: "mprotect to none and back against a store: in the file, or a SIGSEGV and in nothing",
  applies: withMkwrite,
  setup: (cell) => mappedFile(cell, { lenBytes: PAGE }),
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    toggle: thread(function* ({ at }) {
      const off = nameOf(yield* sys.mprotect(at, PAGE, PROT_NONE));
      return `${off} ${nameOf(yield* sys.mprotect(at, PAGE, RW))}`;
    }),
  },
  after: ({ fd }) => byteOf(fd, 0),
  ending: ({ outcomes, after }) => `store ${outcomes.store}, mprotects ${outcomes.toggle}, file ${after}`,
  allowed: () => ["store ok, mprotects 0 0, file 5", "store SIGSEGV, mprotects 0 0, file 0"],
  // Made while the fault had no lock: it came back to a PTE that had been taken away and given again, or to none.
  mark: (end) => inWindow(end, end.outcomes.store === "SIGSEGV" || (runs(end) > 0 && end.moved("lock:contention_begin") > 0)),
});
