/**
 * S25: stores into the memory of another process, which exits meanwhile: the address space is the other's, and stays while it is used.
 */
import { MAP_ANONYMOUS, MAP_PRIVATE } from "../guest/constants.js";
import { mem, procMemWrite } from "../guest/mem.js";
import { must, sys } from "../guest/sys.js";
import { type Cell, defineScenario, process } from "./scenario.js";
import { type Mapped, PAGE, RW, bytesOf, dropping, mappedFile, nameOf, runs, storeByte, withMkwrite } from "./steps.js";

/** Where a store into another process comes from: a page of 6 at an address that every child has. */
export interface Sender extends Mapped {
  own: number;
}

export function* withSender(cell: Cell, lenBytes = PAGE) {
  const file = yield* mappedFile(cell, { lenBytes });
  const own = must(yield* sys.mmap(0, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS), "mmap");
  yield* mem.touch(own, PAGE, { write: true, value: 6 });
  return { ...file, own };
}

/** The result of the call says whether the store was made: the process was there, or gone before it, or while its page was fetched. */
const ENDINGS = ["remote 1, file 5,6", "remote ESRCH, file 5,0", "remote EFAULT, file 5,0", "remote EIO, file 5,0"];

export const exitingTarget = defineScenario<Sender, { owner: string; remote: string }, string>({
  id: "S25",
  name: "exiting-target",
  title: "process_vm_writev into a process that stores and exits: the store is made or refused, and its address space is given back once",
  applies: (cell) => withMkwrite(cell) && !cell.fs.has.includes("dax"),
  setup: (cell) => withSender(cell),
  tasks: {
    owner: process(({ at }) => storeByte(at, 5)),
    remote: process(function* ({ at, own }, _cell, tids) {
      return nameOf(yield* sys.processVmWritev(tids["owner"] ?? 0, [{ base: own, len: 1 }], [{ base: at + 1, len: 1 }]));
    }),
  },
  after: ({ fd }) => bytesOf(fd, [0, 1]),
  ending: ({ outcomes, after }) => `owner ${outcomes.owner}, remote ${outcomes.remote}, file ${after}`,
  allowed: () => ENDINGS.map((end) => `owner ok, ${end}`),
  mark: (end) => end.outcomes.remote === "1" && (dropping(end.cell) ? end.moved("mkwrite_unlocked_attempts") > 0 : runs(end) > 0),
});

export const procMem = defineScenario<Sender, { owner: string; remote: string }, string>({
  id: "S25",
  name: "proc-mem",
  title: "/proc/PID/mem of a process that stores and exits: the same, with mmap_sem held from first to last",
  applies: (cell) => withMkwrite(cell) && !cell.fs.has.includes("dax"),
  setup: (cell) => withSender(cell),
  tasks: {
    owner: process(({ at }) => storeByte(at, 5)),
    remote: process(function* ({ at }, _cell, tids) {
      return nameOf(yield* procMemWrite(tids["owner"] ?? 0, at + 1, Uint8Array.of(6)));
    }),
  },
  after: ({ fd }) => bytesOf(fd, [0, 1]),
  ending: ({ outcomes, after }) => `owner ${outcomes.owner}, remote ${outcomes.remote}, file ${after}`,
  allowed: () => ENDINGS.map((end) => `owner ok, ${end}`),
  mark: (end) => end.outcomes.remote === "1" && runs(end) > 0,
});
