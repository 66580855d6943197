/**
 * S4: the mapping becomes read-only, or private, while page_mkwrite runs without the fault lock.
 */
import { MAP_FIXED, MAP_PRIVATE, PROT_READ } from "../guest/constants.js";
import { mem } from "../guest/mem.js";
import { sys } from "../guest/sys.js";
import { defineScenario, thread } from "./scenario.js";
import { type Mapped, PAGE, RW, byteOf, dirtied, inWindow, mappedFile, nameOf, storeByte, withMkwrite } from "./steps.js";

export const readOnly = defineScenario<Mapped, { store: string; protect: string }, string>({
  id: "S4",
  name: "read-only",
  title: "mprotect to read-only against a store: in the file, or a SIGSEGV and in nothing",
  applies: withMkwrite,
  setup: (cell) => mappedFile(cell, { lenBytes: PAGE }),
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    protect: thread(function* ({ at }) {
      return nameOf(yield* sys.mprotect(at, PAGE, PROT_READ));
    }),
  },
  after: ({ fd }) => byteOf(fd, 0),
  ending: ({ outcomes, after }) => `store ${outcomes.store}, mprotect ${outcomes.protect}, file ${after}`,
  allowed: () => ["store ok, mprotect 0, file 5", "store SIGSEGV, mprotect 0, file 0"],
  mark: (end) => inWindow(end, end.outcomes.store === "SIGSEGV"),
});

export const privateMapping = defineScenario<Mapped, { store: string; map: boolean }, string>({
  id: "S4",
  name: "private-mapping",
  title: "a private mapping over the page that is stored to: the page prepared for the shared one takes no private store",
  applies: withMkwrite,
  setup: (cell) => mappedFile(cell, { lenBytes: PAGE }),
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    map: thread(function* ({ at, fd }) {
      return (yield* sys.mmap(at, PAGE, RW, MAP_PRIVATE | MAP_FIXED, fd, 0)) === at;
    }),
  },
  *after({ fd, at }) {
    const seen = yield* mem.load(at, 1);
    return `file ${yield* byteOf(fd, 0)}, memory ${typeof seen === "number" ? seen : seen[0]}`;
  },
  ending: ({ outcomes, after }) => `store ${outcomes.store}, mmap ${outcomes.map}, ${after}`,
  // Before the remap it is in the file, which the private mapping shows; after it, in the private copy.
  allowed: () => ["store ok, mmap true, file 5, memory 5", "store ok, mmap true, file 0, memory 5"],
  mark: (end) => inWindow(end, end.after === "file 0, memory 5" && dirtied(end) > 0),
});
