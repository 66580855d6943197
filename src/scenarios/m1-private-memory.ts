/**
 * M1 to M3: private memory. No page_mkwrite runs there, and yet the same slips are possible: a PTE that is not looked at again, a
 * translation that stays behind, a page that is taken for one's own.
 */
import { MAP_ANONYMOUS, MAP_PRIVATE } from "../guest/constants.js";
import { mem } from "../guest/mem.js";
import { type Call, must, sys } from "../guest/sys.js";
import { type Cell, defineScenario, process, thread } from "./scenario.js";
import { PAGE, RW, loadByte, makeAndMount, makeFile, MNT, nameOf, outcomeOf, storeByte, withMkwrite } from "./steps.js";

/** Nothing of these depends on a filesystem, and nothing on how page_mkwrite is called. */
function anonymous({ fs, mkwrite }: Cell): boolean {
  return fs.name === "ramfs" && mkwrite === "generic_page_mkwrite";
}

/** A page of private memory, `stored` its first byte; undefined: the page of zeros is mapped. */
function* privatePage(stored?: number): Call {
  const at = must(yield* sys.mmap(0, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS), "mmap");
  yield* stored === undefined ? loadByte(at) : storeByte(at, stored);
  return at;
}

/** Bytes as the MMU shows them: "5,6". */
function* shown(at: number, lenBytes: number): Call<string> {
  const bytes = yield* mem.load(at, lenBytes);
  return typeof bytes === "number" ? nameOf(bytes) : bytes.join(",");
}

export const privateStores = defineScenario<number, { first: string; second: string; reader: string }, string>({
  id: "M1",
  name: "private-stores",
  title: "two threads store to one page of zeros and a third loads from it: one copy is made, it has both stores, and all see it",
  applies: anonymous,
  *setup() {
    return yield* privatePage();
  },
  tasks: {
    first: thread((at) => storeByte(at, 5)),
    second: thread((at) => storeByte(at + 1, 6)),
    reader: thread((at) => loadByte(at)),
  },
  after: (at) => shown(at, 2),
  ending: ({ outcomes: { first, second, reader }, after }) => `stores ${first} ${second}, load ${reader}, memory ${after}`,
  allowed: () => ["stores ok ok, load ok, memory 5,6"],
  // Both were on their way to make a copy.
  mark: (end) => end.moved("faults") > 1,
});

export const forkCopies = defineScenario<number, { parent: string; child: string }, string>({
  id: "M2",
  name: "fork-copies",
  title: "parent and child store to the page that they share since fork: neither sees the other's store",
  applies: anonymous,
  *setup() {
    return yield* privatePage(1);
  },
  tasks: {
    parent: thread(function* (at) {
      return `${yield* storeByte(at, 5)} ${yield* shown(at, 2)}`;
    }),
    child: process(function* (at) {
      return `${yield* storeByte(at + 1, 6)} ${yield* shown(at, 2)}`;
    }),
  },
  after: (at) => shown(at, 2),
  ending: ({ outcomes, after }) => `parent ${outcomes.parent}, child ${outcomes.child}, memory ${after}`,
  allowed: () => ["parent ok 5,0, child ok 1,6, memory 5,0"],
  mark: (end) => end.moved("faults") > 1,
});

interface Private {
  at: number;
  fd: number;
}

export const privateTruncate = defineScenario<Private, { store: string; truncate: string }, string>({
  id: "M3",
  name: "private-truncate",
  title: "truncate against a store to a private mapping: no page is mapped behind the end afterwards, a private copy neither",
  applies: (cell) => withMkwrite(cell) && cell.mkwrite === "generic_page_mkwrite",
  *setup(cell) {
    yield* makeAndMount(cell);
    const fd = yield* makeFile(`${MNT}/f`, PAGE);
    must(yield* sys.pwrite(fd, Uint8Array.of(1), 0), "pwrite");
    return { fd, at: must(yield* sys.mmap(0, PAGE, RW, MAP_PRIVATE, fd), "mmap") };
  },
  tasks: {
    store: thread(({ at }) => storeByte(at, 5)),
    truncate: thread(function* ({ fd }) {
      return nameOf(yield* sys.ftruncate(fd, 0));
    }),
  },
  *after({ at }) {
    return outcomeOf(yield* mem.tryTouch(at, 1));
  },
  ending: ({ outcomes, after }) => `store ${outcomes.store}, truncate ${outcomes.truncate}, load ${after}`,
  allowed: () => ["store ok, truncate 0, load SIGBUS", "store SIGBUS, truncate 0, load SIGBUS"],
  mark: (end) => end.outcomes.store === "SIGBUS" || end.moved("lock:contention_begin") + end.moved("faultline:page_lock_wait") > 0,
});
