/**
 * S2: another file is mapped at the same address while page_mkwrite prepares a page of the first.
 */
import { MAP_FIXED, MAP_SHARED } from "../guest/constants.js";
import { sys } from "../guest/sys.js";
import { defineScenario, thread } from "./scenario.js";
import { MNT, type Mapped, PAGE, RW, byteOf, dirtied, inWindow, makeFile, mappedFile, storeByte, withMkwrite } from "./steps.js";

export const otherFile = defineScenario<Mapped & { other: number }, { store: string; map: boolean }, string>({
  id: "S2",
  name: "other-file",
  title: "mmap of another file over the page that is stored to: the store goes to the file that is mapped, and to no other",
  applies: withMkwrite,
  *setup(cell) {
    const file = yield* mappedFile(cell, { lenBytes: PAGE });
    return { ...file, other: yield* makeFile(`${MNT}/g`, PAGE) };
  },
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    map: thread(function* ({ at, other }) {
      return (yield* sys.mmap(at, PAGE, RW, MAP_SHARED | MAP_FIXED, other, 0)) === at;
    }),
  },
  *after({ fd, other }) {
    return `f ${yield* byteOf(fd, 0)}, g ${yield* byteOf(other, 0)}`;
  },
  ending: ({ outcomes, after }) => `store ${outcomes.store}, mmap ${outcomes.map}, ${after}`,
  allowed: () => ["store ok, mmap true, f 5, g 0", "store ok, mmap true, f 0, g 5"],
  // Both pages were dirtied: the callback had answered for the first file's.
  mark: (end) => inWindow(end, end.after === "f 0, g 5" && dirtied(end) > 1),
});
