/**
 * S9: the page is cleaned by writeback and made dirty again by a write to one of its blocks: the dirty bit says nothing of the others.
 */
import { mem } from "../guest/mem.js";
import { type Call, must, sys } from "../guest/sys.js";
import { type Cell, defineScenario, process, thread } from "./scenario.js";
import { type Mapped, PAGE, cached, durable, inFileWindow, mappedFile, nameOf, runs, storeByte } from "./steps.js";
import { d6 } from "./s08-extend-tail.js";

/** Where the store goes: in another block than the write, if blocks are smaller than pages. */
const STORED = 3000;

function onDisk(cell: Cell): boolean {
  return cached(cell) && cell.fs.has.includes("disk");
}

function* cleanAndWrite({ fd }: Mapped): Call<string> {
  const synced = nameOf(yield* sys.fsync(fd));
  return `${synced} ${nameOf(yield* sys.pwrite(fd, Uint8Array.of(7), 0))}`;
}

const ENDING = "store ok, fsync and write 0 1, disk 7,5";

export const dirtyAgain = defineScenario<Mapped, { store: string; write: string }, string>({
  id: "S9",
  name: "dirty-again",
  title: "fsync and a write to one block against a store to another: both are on the disk",
  applies: onDisk,
  setup: (cell) => mappedFile(cell, { lenBytes: PAGE }),
  tasks: { store: thread(({ at }) => storeByte(at + STORED, 5)), write: thread(cleanAndWrite) },
  after: (file, cell) => durable(cell, file, [0, STORED]),
  ending: ({ outcomes, after }) => `store ${outcomes.store}, fsync and write ${outcomes.write}, disk ${after}`,
  allowed: () => [ENDING],
  // Where writeback knows dirty blocks one by one, not where it writes the whole page (cowfs).
  defect: (cell) =>
    cell.fs.has.includes("small-blocks") && cell.fs.type !== "cowfs"
      ? d6(cell, { endings: [ENDING.replace("7,5", "7,0")], panics: ["[mk-1]"] })
      : undefined,
  mark: (end) => inFileWindow(end, runs(end) > 1),
});

export const dirtyAgainRemote = defineScenario<Mapped & { pid: number; own: number }, { store: string; write: string }, string>({
  id: "S9",
  name: "dirty-again-remote",
  title: "as dirty-again, stored by another process through a pinned page, which the writeback cleans under the pin",
  applies: onDisk,
  *setup(cell) {
    const file = yield* mappedFile(cell, { lenBytes: PAGE });
    // Page 0 of a file in memory: what the other process stores comes from here.
    const own = must(yield* sys.mmap(0, PAGE, 3, 0x22), "mmap");
    yield* mem.touch(own, PAGE, { write: true, value: 5 });
    return { ...file, own, pid: yield* sys.getpid() };
  },
  tasks: {
    store: process(function* ({ at, pid, own }) {
      return nameOf(yield* sys.processVmWritev(pid, [{ base: own, len: 1 }], [{ base: at + STORED, len: 1 }]));
    }),
    write: thread(cleanAndWrite),
  },
  after: (file, cell) => durable(cell, file, [0, STORED]),
  ending: ({ outcomes, after }) => `store ${outcomes.store}, fsync and write ${outcomes.write}, disk ${after}`,
  allowed: () => [ENDING.replace("store ok", "store 1")],
  mark: (end) => runs(end) > 1,
});
