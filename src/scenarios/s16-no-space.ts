/**
 * S16: page_mkwrite fails for want of space after it has let the fault lock go.
 */
import { MAP_SHARED } from "../guest/constants.js";
import { mem } from "../guest/mem.js";
import { type Call, must, sys } from "../guest/sys.js";
import { munmap } from "./s01-munmap.js";
import { type AnyScenario, type Cell, defineScenario, thread } from "./scenario.js";
import { MNT, type Mapped, PAGE, RW, byteOf, dropping, makeFile, mappedFile, nameOf, storeByte, withMkwrite } from "./steps.js";

/** More pages than the disk has blocks. */
const FILLER_PAGES = 120;

/** Stores to a second file until there is no space, and none comes with a sync either. Leaves it open. */
export function* fill(): Call {
  const fd = yield* makeFile(`${MNT}/filler`, FILLER_PAGES * PAGE);
  const at = must(yield* sys.mmap(0, FILLER_PAGES * PAGE, RW, MAP_SHARED, fd), "mmap");
  for (let done = 0, dry = 0; dry < 2;) {
    const more = (yield* mem.tryTouch(at + done * PAGE, (FILLER_PAGES - done) * PAGE, { write: true })).done;
    dry = more === 0 ? dry + 1 : 0;
    done += more;
    must(yield* sys.sync(), "sync");
  }
  must(yield* sys.munmap(at, FILLER_PAGES * PAGE), "munmap");
  return fd;
}

interface Full extends Mapped {
  filler: number;
}

/** A page that has no block, on a disk without one. */
function* onFullDisk(cell: Cell): Call<Full> {
  const file = yield* mappedFile(cell, { lenBytes: PAGE });
  return { ...file, filler: yield* fill() };
}

export const SMALL = { diskBlocks: 96 };

/** The error path of bacik-v3 under mmap_sem: D5. */
function d5({ mkwrite, faultLock, bacikDefects = 0b111110 }: Cell): boolean {
  return mkwrite === "bacik-v3" && faultLock !== "linux-6.7" && (bacikDefects & 0b10001) === 0b10000;
}

/** S1's race. */
export const noSpace: AnyScenario = {
  ...munmap,
  id: "S16",
  name: "no-space",
  title: "munmap against a store that there is no space for: SIGBUS while the file is mapped, else SIGSEGV",
  applies: withMkwrite,
  config: SMALL,
  setup: onFullDisk,
  allowed: () => ["store SIGBUS, munmap 0, file 0", "store SIGSEGV, munmap 0, file 0"],
  defect: (cell) => (d5(cell) && dropping(cell) ? { id: "D5", panics: ["[mk-3]"] } : undefined),
};

export const spaceReturns = defineScenario<Full, { store: string; free: string }, string>({
  id: "S16",
  name: "space-returns",
  title: "space comes free while a store fails for want of it: the store is in the file, or a SIGBUS and in nothing",
  applies: withMkwrite,
  config: SMALL,
  setup: onFullDisk,
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    free: thread(function* ({ filler }) {
      return nameOf(yield* sys.ftruncate(filler, 0));
    }),
  },
  after: ({ fd }) => byteOf(fd, 0),
  ending: ({ outcomes, after }) => `store ${outcomes.store}, truncate ${outcomes.free}, file ${after}`,
  allowed: () => ["store ok, truncate 0, file 5", "store SIGBUS, truncate 0, file 0"],
  // It was told that there is none, or given what has just come free.
  mark: (end) => end.moved(dropping(end.cell) ? "mkwrite_unlocked_attempts" : "mkwrite_runs") > 0,
});
