/**
 * S34: the VMA is split while the fault has dropped whichever lock it had: the per-VMA lock is given back by the VMA that it was taken of.
 */
import { PROT_READ } from "../guest/constants.js";
import { sys } from "../guest/sys.js";
import { defineScenario, thread } from "./scenario.js";
import { type Mapped, PAGE, byteOf, dropping, mappedFile, nameOf, storeByte, withMkwrite } from "./steps.js";

export const splitVma = defineScenario<Mapped, { store: string; protect: string; unmap: string }, string>({
  id: "S34",
  name: "split-vma",
  title: "mprotect and munmap of a VMA's other pages against a store to its first: the store is in the file",
  applies: withMkwrite,
  setup: (cell) => mappedFile(cell, { lenBytes: PAGE, mapBytes: 3 * PAGE, loaded: false }),
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    protect: thread(function* ({ at }) {
      return nameOf(yield* sys.mprotect(at + PAGE, PAGE, PROT_READ));
    }),
    unmap: thread(function* ({ at }) {
      return nameOf(yield* sys.munmap(at + 2 * PAGE, PAGE));
    }),
  },
  after: ({ fd }) => byteOf(fd, 0),
  ending: ({ outcomes: { store, protect, unmap }, after }) => `store ${store}, mprotect ${protect}, munmap ${unmap}, file ${after}`,
  allowed: () => ["store ok, mprotect 0, munmap 0, file 5"],
  mark: (end) =>
    end.moved("lock:contention_begin") > 0 &&
    (dropping(end.cell) ? end.moved("mkwrite_unlocked_attempts") > 0 : end.moved("exceptions:page_fault_user") > 0),
});
