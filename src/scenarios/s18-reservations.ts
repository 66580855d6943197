/**
 * S18: what page_mkwrite has promised is given back once, whichever of its runs promised it.
 */
import { type Call, must, sys } from "../guest/sys.js";
import { defineScenario, thread } from "./scenario.js";
import { MNT, type Mapped, PAGE, drop, inFileWindow, mappedFile, nameOf, runs, storeByte, withMkwrite } from "./steps.js";

/** Free blocks once everything is written. */
function* freeBlocks(): Call {
  must(yield* sys.sync(), "sync");
  const stat = yield* sys.statfs(MNT);
  return typeof stat === "number" ? stat : stat.bfree;
}

export const reservations = defineScenario<Mapped & { free: number }, { store: string; shrink: string }, string>({
  id: "S18",
  name: "reservations",
  title: "fsync, truncate and extend against a store: with the file gone, every block is free and none is promised",
  applies: withMkwrite,
  *setup(cell) {
    const file = yield* mappedFile(cell, { lenBytes: PAGE });
    return { ...file, free: yield* freeBlocks() };
  },
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    shrink: thread(function* ({ fd }) {
      const results = [yield* sys.fsync(fd), yield* sys.ftruncate(fd, 0), yield* sys.ftruncate(fd, PAGE)];
      return results.map(nameOf).join(" ");
    }),
  },
  *after(file) {
    must(yield* sys.ftruncate(file.fd, 0), "ftruncate");
    const now = yield* freeBlocks();
    const lost = file.free - now;
    yield* drop(file);
    must(yield* sys.unlink(`${MNT}/f`), "unlink");
    return `lost ${lost}, umount ${nameOf(yield* sys.umount(MNT))}`;
  },
  ending: ({ outcomes, after }) => `store ${outcomes.store}, fsync and truncates ${outcomes.shrink}, ${after}`,
  allowed: () => ["ok", "SIGBUS"].map((store) => `store ${store}, fsync and truncates 0 0 0, lost 0, umount 0`),
  mark: (end) => inFileWindow(end, runs(end) > 1 || end.outcomes.store === "SIGBUS"),
});
