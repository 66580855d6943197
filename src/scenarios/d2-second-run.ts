/**
 * D2, D3: bacik-v3 prepares a page without the lock and never uses it: the callback runs again, under mmap_sem, with nobody to blame.
 */
import { MAP_ANONYMOUS, MAP_PRIVATE } from "../guest/constants.js";
import { sys } from "../guest/sys.js";
import { type Cell, type Defect, defineScenario, thread } from "./scenario.js";
import { type Mapped, PAGE, RW, byteOf, cached, cleanings, dropping, mappedFile, runs, storeByte } from "./steps.js";

const D1 = 1;
const D2 = 2;
const D3 = 4;

/** With D1, as in v1, the path is never taken: the mark says so. */
function secondRun({ mkwrite, bacikDefects = 0b111110 }: Cell, loaded: boolean): Defect | undefined {
  if (mkwrite !== "bacik-v3" || (bacikDefects & D1) !== 0) return undefined;
  const endings = ["store ok, mmap true, callbacks 2"];
  if ((bacikDefects & D2) !== 0) return { id: "D2", endings };
  return loaded && (bacikDefects & D3) !== 0 ? { id: "D3", endings } : undefined;
}

function scenario(name: string, title: string, loaded: boolean) {
  return defineScenario<Mapped, { store: string; map: boolean }>({
    id: loaded ? "D3" : "D2",
    name,
    title,
    applies: cached,
    *setup(cell) {
      const file = yield* mappedFile(cell, { lenBytes: PAGE, loaded });
      // In the page cache: the fault does not drop its lock for the disk, which it may do once.
      yield* byteOf(file.fd, 0);
      return file;
    },
    tasks: {
      store: thread(({ at }) => storeByte(at, 5)),
      map: thread(function* () {
        return (yield* sys.mmap(0, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS)) > 0;
      }),
    },
    // A page that the flusher has cleaned must be asked for again.
    ending: (end) => `store ${end.outcomes.store}, mmap ${end.outcomes.map}, callbacks ${cleanings(end) > 0 ? 1 : runs(end)}`,
    allowed: () => ["store ok, mmap true, callbacks 1"],
    defect: (cell) => secondRun(cell, loaded),
    mark: (end) => runs(end) > 0 && (!dropping(end.cell) || end.moved("mkwrite_unlocked_attempts") > 0),
  });
}

export const secondRunCold = scenario(
  "second-run",
  "the first store through a mapping runs page_mkwrite once, whoever wants mmap_sem",
  false,
);
export const secondRunLoaded = scenario("second-run-loaded", "a store to a page that was loaded from runs page_mkwrite once", true);
