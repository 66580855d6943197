/**
 * S5: the fault's own pin is the last reference of an unlinked file: the fault closes it and evicts its inode.
 */
import { type Call, must, sys } from "../guest/sys.js";
import { defineScenario, thread } from "./scenario.js";
import { MNT, type Mapped, PAGE, inWindow, mappedFile, nameOf, storeByte, withMkwrite } from "./steps.js";

export const lastReference = defineScenario<Mapped, { store: string; drop: string }, string>({
  id: "S5",
  name: "last-reference",
  title: "unlink, close and munmap against a store: whoever is last takes the file down, and nothing of it is left",
  applies: withMkwrite,
  setup: (cell) => mappedFile(cell, { lenBytes: PAGE }),
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    drop: thread(function* ({ at, fd }): Call<string> {
      must(yield* sys.unlink(`${MNT}/f`), "unlink");
      must(yield* sys.close(fd), "close");
      return nameOf(yield* sys.munmap(at, PAGE));
    }),
  },
  // A pin or a reservation that is left over is EBUSY, or a broken law.
  *after() {
    return nameOf(yield* sys.umount(MNT));
  },
  ending: ({ outcomes, after }) => `store ${outcomes.store}, munmap ${outcomes.drop}, umount ${after}`,
  allowed: () => ["store ok, munmap 0, umount 0", "store SIGSEGV, munmap 0, umount 0"],
  mark: (end) => inWindow(end, end.outcomes.store === "SIGSEGV"),
});
