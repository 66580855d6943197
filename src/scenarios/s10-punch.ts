/**
 * S10: a hole is punched where the store goes: with small blocks into a page that stays, else the whole page goes.
 */
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from "../guest/constants.js";
import { sys } from "../guest/sys.js";
import { defineScenario, thread } from "./scenario.js";
import { type Mapped, PAGE, byteOf, dirtied, durable, inFileWindow, mappedFile, nameOf, runs, storeByte, withMkwrite } from "./steps.js";
import { d6 } from "./s08-extend-tail.js";

/** In the third of four blocks of 1024 bytes. */
const STORED = 2500;

export const punch = defineScenario<Mapped, { store: string; punch: string }, string>({
  id: "S10",
  name: "punch",
  title: "a hole punch against a store: what memory shows afterwards is what the disk has",
  applies: withMkwrite,
  *setup(cell) {
    const file = yield* mappedFile(cell, { lenBytes: PAGE });
    // The block is there: punching it frees something. The page is clean again.
    yield* storeByte(file.at + STORED, 1);
    yield* sys.fsync(file.fd);
    return file;
  },
  tasks: {
    store: thread(({ at }) => storeByte(at + STORED, 5)),
    punch: thread(function* ({ fd }, { fs }) {
      const start = STORED - (STORED % fs.blockBytes);
      return nameOf(yield* sys.fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start, fs.blockBytes));
    }),
  },
  *after(file, cell) {
    const shown = yield* byteOf(file.fd, STORED);
    return `file ${shown}, disk ${yield* durable(cell, file, [STORED])}`;
  },
  ending: ({ outcomes, after }) => `store ${outcomes.store}, punch ${outcomes.punch}, ${after}`,
  allowed: () => ["store ok, punch 0, file 5, disk 5", "store ok, punch 0, file 0, disk 0"],
  defect: (cell) =>
    cell.fs.has.includes("small-blocks") ? d6(cell, { endings: ["store ok, punch 0, file 5, disk 0"], panics: ["[mk-1]"] }) : undefined,
  mark: (end) => inFileWindow(end, end.after?.startsWith("file 5") === true && (runs(end) > 1 || dirtied(end) > 1)),
});
