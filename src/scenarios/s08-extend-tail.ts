/**
 * S8: the file grows inside its last page after page_mkwrite has prepared the blocks up to the old end: the page is dirty, of this
 * file, at this index, and yet not prepared for a store behind the old end.
 */
import { procMemWrite } from "../guest/mem.js";
import { sys } from "../guest/sys.js";
import { type Cell, type Defect, defineScenario, process, thread } from "./scenario.js";
import { type Mapped, PAGE, dropping, durable, inFileWindow, mappedFile, nameOf, runs, storeByte, withMkwrite } from "./steps.js";

/** Size before; the store that may come after goes behind it. */
const OLD_END = 100;
const TAIL = 3000;

function smallBlocks(cell: Cell): boolean {
  return withMkwrite(cell) && cell.fs.has.includes("small-blocks");
}

/**
 * D6, where nothing else keeps the prepared page from being used: with D2 and D3 mended. Not in this file's scenarios: the posted check
 * compares i_size as well, and that is what an extension changes.
 */
export function d6(cell: Cell, how: Omit<Defect, "id">): Defect | undefined {
  const defects = cell.bacikDefects ?? 0b111110;
  return cell.mkwrite === "bacik-v3" && dropping(cell) && (defects & 0b100111) === 0b100000 ? { id: "D6", ...how } : undefined;
}

/** The size as fstat has it. */
function* sizeOf(fd: number) {
  const stat = yield* sys.fstat(fd);
  return typeof stat === "number" ? stat : stat.size;
}

interface Stores {
  first: string;
  /** Whether the file had grown before the second store. */
  grown: boolean;
  second: string;
}

export const extendTail = defineScenario<Mapped, { stores: Stores; extend: string }, string>({
  id: "S8",
  name: "extend-tail",
  title: "the file grows inside the page that is stored to: what is stored behind the old end after that is on the disk",
  applies: smallBlocks,
  setup: (cell) => mappedFile(cell, { lenBytes: OLD_END }),
  tasks: {
    stores: thread(function* ({ at, fd }) {
      const first = yield* storeByte(at, 5);
      const grown = (yield* sizeOf(fd)) === PAGE;
      return { first, grown, second: grown ? yield* storeByte(at + TAIL, 6) : "none" };
    }),
    extend: thread(function* ({ fd }) {
      return nameOf(yield* sys.ftruncate(fd, PAGE));
    }),
  },
  after: (file, cell) => durable(cell, file, [0, TAIL]),
  ending({ outcomes: { stores, extend }, after }) {
    return `stores ${stores?.first} ${stores?.second}, extend ${extend}, disk ${after}`;
  },
  allowed: () => ["stores ok none, extend 0, disk 5,0", "stores ok ok, extend 0, disk 5,6"],
  mark: (end) => inFileWindow(end, end.outcomes.stores?.grown === true && runs(end) > 1),
});

export const extendTailRemote = defineScenario<Mapped & { pid: number }, { stores: Stores; extend: string }, string>({
  id: "S8",
  name: "extend-tail-remote",
  title: "as extend-tail, stored by another process through pinned pages",
  applies: smallBlocks,
  *setup(cell) {
    return { ...(yield* mappedFile(cell, { lenBytes: OLD_END })), pid: yield* sys.getpid() };
  },
  tasks: {
    stores: process(function* ({ pid, at, fd }) {
      const first = nameOf(yield* procMemWrite(pid, at, Uint8Array.of(5)));
      const grown = (yield* sizeOf(fd)) === PAGE;
      return { first, grown, second: grown ? nameOf(yield* procMemWrite(pid, at + TAIL, Uint8Array.of(6))) : "none" };
    }),
    extend: thread(function* ({ fd }) {
      return nameOf(yield* sys.ftruncate(fd, PAGE));
    }),
  },
  after: (file, cell) => durable(cell, file, [0, TAIL]),
  ending({ outcomes: { stores, extend }, after }) {
    return `stores ${stores?.first} ${stores?.second}, extend ${extend}, disk ${after}`;
  },
  allowed: () => ["stores 1 none, extend 0, disk 5,0", "stores 1 1, extend 0, disk 5,6"],
  // The lock is kept: /proc/PID/mem does not let it go.
  mark: (end) => end.outcomes.stores?.grown === true && end.moved("mkwrite_runs") > 0,
});
