/**
 * S3: the same file at another offset, and the mapping moved away, while page_mkwrite runs without the fault lock.
 */
import { MAP_FIXED, MAP_SHARED, MREMAP_FIXED, MREMAP_MAYMOVE } from "../guest/constants.js";
import { sys } from "../guest/sys.js";
import { defineScenario, thread } from "./scenario.js";
import { type Mapped, PAGE, RW, bytesOf, dirtied, inWindow, mappedFile, storeByte, withMkwrite } from "./steps.js";

export const otherOffset = defineScenario<Mapped, { store: string; map: boolean }, string>({
  id: "S3",
  name: "other-offset",
  title: "mmap of another page of the file over the one that is stored to: the store goes to the page that is mapped",
  applies: withMkwrite,
  setup: (cell) => mappedFile(cell, { lenBytes: 2 * PAGE, mapBytes: PAGE }),
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    map: thread(function* ({ at, fd }) {
      return (yield* sys.mmap(at, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, PAGE)) === at;
    }),
  },
  after: ({ fd }) => bytesOf(fd, [0, PAGE]),
  ending: ({ outcomes, after }) => `store ${outcomes.store}, mmap ${outcomes.map}, pages ${after}`,
  allowed: () => ["store ok, mmap true, pages 5,0", "store ok, mmap true, pages 0,5"],
  mark: (end) => inWindow(end, end.after === "0,5" && dirtied(end) > 1),
});

/** Far from every other mapping. */
const ELSEWHERE = 0x10_0000_0000;

export const mremap = defineScenario<Mapped, { store: string; move: boolean }, string>({
  id: "S3",
  name: "mremap",
  title: "mremap moves the page that is stored to: the store is in the file, or it is a SIGSEGV and in nothing",
  applies: withMkwrite,
  setup: (cell) => mappedFile(cell, { lenBytes: PAGE }),
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    move: thread(function* ({ at }) {
      return (yield* sys.mremap(at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, ELSEWHERE)) === ELSEWHERE;
    }),
  },
  after: ({ fd }) => bytesOf(fd, [0]),
  ending: ({ outcomes, after }) => `store ${outcomes.store}, mremap ${outcomes.move}, file ${after}`,
  allowed: () => ["store ok, mremap true, file 5", "store SIGSEGV, mremap true, file 0"],
  mark: (end) => inWindow(end, end.outcomes.store === "SIGSEGV"),
});
