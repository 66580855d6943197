/*
 * mprotect(2): errnos, splits and merges, and what happens to PTEs and TLB entries at once.
 *
 * Checks: [mp-1] [mp-2] [tlb-1] [mk-1].
 */
import { expect, it } from "vitest";
import {
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  O_RDONLY,
  PROT_EXEC,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
  SIGSEGV,
  mem,
  sys,
} from "../../src/node.js";
import { ANON, E, PAGE, RW, type Row, anon, layout, must, ramFile, runGuest, table } from "../test-machine.js";

const AT = 0x10_0000_0000;
const TASK_SIZE = 2 ** 47;

table("mprotect refuses", [
  ["an unaligned address", () => sys.mprotect(AT + 1, PAGE, RW), -E.INVAL],
  ["rights that do not exist", () => sys.mprotect(AT, PAGE, 0x100), -E.INVAL],
  ["rights in the upper half of the word", () => sys.raw(226, AT, PAGE, 2n ** 40n), -E.INVAL],
  ["a range that is not mapped", () => sys.mprotect(AT, PAGE, RW), -E.NOMEM],
  ["a length that wraps", () => sys.mprotect(AT, 2n ** 64n - 1n, RW), -E.NOMEM],
  ["a range across the end of the address space", () => sys.mprotect(TASK_SIZE - PAGE, 2 * PAGE, RW), -E.NOMEM],
  ["length 0: nothing, successfully", () => sys.mprotect(AT, 0, RW), 0],
  [
    "write rights on a shared mapping of a file opened for reading",
    function* () {
      yield* ramFile("/f", 1);
      const fd = must(yield* sys.open("/f", O_RDONLY));
      const shared = must(yield* sys.mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 0));
      const own = must(yield* sys.mmap(0, PAGE, PROT_READ, MAP_PRIVATE, fd, 0));
      return [yield* sys.mprotect(shared, PAGE, RW), yield* sys.mprotect(own, PAGE, RW)];
    },
    [-E.ACCES, 0],
  ],
]);

/** mprotect of pages [first, end) of 6 anonymous pages, written before. */
function cut(name: string, first: number, end: number, prot: number, expected: string[]): Row {
  return [
    name,
    function* (t, ctx) {
      must(yield* sys.mmap(AT, 6 * PAGE, RW, ANON | MAP_FIXED));
      yield* mem.touch(AT, 6 * PAGE, { write: true, value: 3 });
      const result = yield* sys.mprotect(AT + first * PAGE, (end - first) * PAGE, prot);
      t.check();
      return [result, layout(t, ctx, AT)];
    },
    [0, expected],
  ];
}

table("mprotect splits", [
  cut("nothing for the whole", 0, 6, PROT_READ, ["0-6 r--p"]),
  cut("the head off", 0, 2, PROT_READ, ["0-2 r--p", "2-6 rw-p"]),
  cut("the tail off", 5, 6, PROT_NONE, ["0-5 rw-p", "5-6 ---p"]),
  cut("the middle out", 2, 4, PROT_READ | PROT_EXEC, ["0-2 rw-p", "2-4 r-xp", "4-6 rw-p"]),
  cut("nothing when the rights are there already", 2, 4, RW, ["0-6 rw-p"]),
]);

/** Pages with these rights one after another ("rw", "r-", "--"), then one mprotect of pages [first, end). */
function over(name: string, before: string[], first: number, end: number, prot: number, expected: unknown): Row {
  const rights: Record<string, number> = { rw: RW, "r-": PROT_READ, "--": PROT_NONE };
  return [
    name,
    function* (t, ctx) {
      for (const [page, right] of before.entries()) {
        if (right !== "") must(yield* sys.mmap(AT + page * PAGE, PAGE, rights[right] ?? 0, ANON | MAP_FIXED));
      }
      const result = yield* sys.mprotect(AT + first * PAGE, (end - first) * PAGE, prot);
      t.check();
      return [result, layout(t, ctx, AT)];
    },
    expected,
  ];
}

table("mprotect over several mappings", [
  over("the second has the rights already", ["rw", "r-"], 0, 2, PROT_READ, [0, ["0-2 r--p"]]),
  over("the first has the rights already", ["r-", "rw"], 0, 2, PROT_READ, [0, ["0-2 r--p"]]),
  over("every other one has the rights already", ["rw", "r-", "rw", "r-", "rw"], 0, 5, PROT_READ, [0, ["0-5 r--p"]]),
  over("merges with the one behind the range", ["rw", "r-"], 0, 1, PROT_READ, [0, ["0-2 r--p"]]),
  over("merges with the one before the range", ["r-", "rw"], 1, 2, PROT_READ, [0, ["0-2 r--p"]]),
  over("merges on both sides", ["r-", "rw", "r-"], 1, 2, PROT_READ, [0, ["0-3 r--p"]]),
  over("a hole: what lies before it has changed", ["rw", "", "rw"], 0, 3, PROT_READ, [-E.NOMEM, ["0-1 r--p", "2-3 rw-p"]]),
  over("a hole at the start: nothing changes", ["", "rw"], 0, 2, PROT_READ, [-E.NOMEM, ["1-2 rw-p"]]),
  over("a hole at the end: what lies before it has changed", ["rw", "r-", ""], 0, 3, PROT_READ, [-E.NOMEM, ["0-2 r--p"]]),
]);

/** Stores, changes the rights, and then loads and stores: signals, and the value that a load sees. */
function rights(name: string, prot: number, load: number, store: number): Row {
  return [
    name,
    function* (t) {
      const at = yield* anon(PAGE);
      yield* mem.touch(at, PAGE, { write: true, value: 7 });
      must(yield* sys.mprotect(at, PAGE, prot));
      t.check();
      const loaded = yield* mem.tryTouch(at, 1);
      const stored = yield* mem.tryTouch(at, 1, { write: true });
      return [loaded.signal, stored.signal, loaded.signal === 0 ? (yield* mem.load(at, 1)).toString() : ""];
    },
    [load, store, load === 0 ? (store === 0 ? "1" : "7") : ""],
  ];
}

table("rights that are gone are gone at once, and the data stays", [
  rights("PROT_READ", PROT_READ, 0, SIGSEGV),
  rights("PROT_NONE", PROT_NONE, SIGSEGV, SIGSEGV),
  rights("PROT_WRITE grants reads as well", PROT_WRITE, 0, 0),
  rights("PROT_EXEC does not grant stores", PROT_EXEC, SIGSEGV, SIGSEGV),
  [
    "and come back with their data",
    function* () {
      const at = yield* anon(PAGE);
      yield* mem.touch(at, PAGE, { write: true, value: 7 });
      must(yield* sys.mprotect(at, PAGE, PROT_NONE));
      must(yield* sys.mprotect(at, PAGE, RW));
      const before = yield* mem.load(at, 1);
      yield* mem.touch(at, PAGE, { write: true, value: 8 });
      return [before.toString(), (yield* mem.load(at, 1)).toString()];
    },
    ["7", "8"],
  ],
]);

it("one flush for a range, none when no PTE lost a right; W comes back by a fault that copies nothing", () => {
  runGuest(function* (t) {
    const at = yield* anon(8 * PAGE);
    const untouched = yield* t.measure(sys.mprotect(at, 8 * PAGE, PROT_READ));
    expect(untouched.counts.tlb_shootdowns).toBeUndefined();
    must(yield* sys.mprotect(at, 8 * PAGE, RW));
    yield* mem.touch(at, 8 * PAGE, { write: true });
    const taken = yield* t.measure(sys.mprotect(at, 8 * PAGE, PROT_READ));
    expect(taken.counts).toMatchObject({ tlb_shootdowns: 1 });
    must(yield* sys.mprotect(at, 8 * PAGE, RW));
    const back = yield* t.measure(mem.touch(at, 8 * PAGE, { write: true }));
    expect(back.counts).toMatchObject({ faults: 8, "faultline:cow_last_reference": 8 });
    expect(back.counts.page_copy_bytes).toBeUndefined();
    return 0;
  });
});

it("a shared file page keeps its dirty data through a loss and return of write rights", () => {
  runGuest(function* (t) {
    const fd = yield* ramFile("/f", 1);
    const at = must(yield* sys.mmap(0, PAGE, RW, MAP_SHARED, fd, 0));
    yield* mem.touch(at, PAGE, { write: true, value: 42 });
    must(yield* sys.mprotect(at, PAGE, PROT_READ));
    expect((yield* mem.tryTouch(at, 1, { write: true })).signal).toBe(SIGSEGV);
    must(yield* sys.mprotect(at, PAGE, RW));
    const { counts } = yield* t.measure(mem.touch(at, PAGE, { write: true, value: 43 }));
    expect(counts).toMatchObject({ faults: 1, "faultline:wp_page_reuse": 1 });
    expect(yield* sys.pread(fd, 1, 0)).toEqual(new Uint8Array([43]));
    return 0;
  });
});
