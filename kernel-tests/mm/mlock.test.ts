/*
 * mlock(2), munlock(2), mlockall(2), munlockall(2) and brk(2).
 *
 * Checks: [ml-1] [mm-2].
 */
import { describe, expect, it } from "vitest";
import {
  MAP_FIXED,
  MAP_LOCKED,
  MAP_PRIVATE,
  MAP_SHARED,
  MCL_CURRENT,
  MCL_FUTURE,
  PROT_NONE,
  PROT_READ,
  SIGSEGV,
  mem,
  sys,
} from "../../src/node.js";
import { ANON, E, PAGE, RW, type Row, type TestMachine, anon, layout, must, ramFile, runGuest, table } from "../test-machine.js";

const AT = 0x10_0000_0000;
const HEAP = 0x5555_0000_0000;

/** Locked memory of the process in pages, from smaps. */
function lockedPages(t: TestMachine, pid: number): number {
  const kib = [...t.machine.inspect("smaps", pid).matchAll(/Locked: +(\d+) kB/g)].map((match) => Number(match[1]));
  return kib.reduce((sum, value) => sum + value, 0) / 4;
}

/** mlock of pages [first, end) of 4 pages; faults it took, pages locked, the VMAs. */
function lock(name: string, first: number, end: number, expected: unknown): Row {
  return [
    name,
    function* (t, ctx) {
      must(yield* sys.mmap(AT, 4 * PAGE, RW, ANON | MAP_FIXED));
      const { value, counts } = yield* t.measure(sys.mlock(AT + first * PAGE, (end - first) * PAGE));
      t.check();
      return [value, counts.faults ?? 0, lockedPages(t, ctx.pid), layout(t, ctx, AT).length];
    },
    expected,
  ];
}

table("mlock", [
  lock("faults the whole in", 0, 4, [0, 4, 4, 1]),
  lock("splits off what it locks", 1, 3, [0, 2, 2, 3]),
  lock("length 0", 1, 1, [0, 0, 0, 1]),
  lock("half a page locks the page", 0.5, 0.75, [0, 1, 1, 2]),
  lock("a hole behind: what lies before is locked, then ENOMEM", 2, 6, [-E.NOMEM, 0, 0, 2]),
  ["a length that wraps", () => sys.mlock(AT, 2n ** 64n - 1n), -E.INVAL],
  ["a range beyond the address space", () => sys.mlock(2 ** 47 - PAGE, 2 * PAGE), -E.NOMEM],
  ["memory that is not mapped", () => sys.mlock(AT, PAGE), -E.NOMEM],
  [
    "memory without rights cannot be had",
    function* () {
      const at = must(yield* sys.mmap(0, PAGE, PROT_NONE, ANON));
      return yield* sys.mlock(at, PAGE);
    },
    -E.NOMEM,
  ],
  [
    "a file beyond its end cannot be had",
    function* () {
      const fd = yield* ramFile("/f", 1);
      const at = must(yield* sys.mmap(0, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0));
      return yield* sys.mlock(at, 2 * PAGE);
    },
    -E.NOMEM,
  ],
  [
    "twice, then munlock once: locks do not nest",
    function* (t, ctx) {
      const at = yield* anon(4 * PAGE);
      must(yield* sys.mlock(at, 4 * PAGE));
      must(yield* sys.mlock(at, 4 * PAGE));
      must(yield* sys.munlock(at + PAGE, PAGE));
      return [lockedPages(t, ctx.pid), layout(t, ctx, at).length];
    },
    [3, 3],
  ],
  [
    "over a range of which the end is locked already",
    function* (t, ctx) {
      const at = yield* anon(4 * PAGE);
      must(yield* sys.mlock(at + 2 * PAGE, 2 * PAGE));
      return [yield* sys.mlock(at, 4 * PAGE), lockedPages(t, ctx.pid), layout(t, ctx, at).length];
    },
    [0, 4, 1],
  ],
  [
    "munlock merges what it took apart",
    function* (t, ctx) {
      const at = yield* anon(4 * PAGE);
      must(yield* sys.mlock(at + PAGE, PAGE));
      must(yield* sys.munlock(at, 4 * PAGE));
      return [lockedPages(t, ctx.pid), layout(t, ctx, at).length];
    },
    [0, 1],
  ],
  [
    "MAP_LOCKED faults in at once",
    function* (t, ctx) {
      const { value: at, counts } = yield* t.measure(anon(3 * PAGE, ANON | MAP_LOCKED));
      return [at > 0, counts.faults, lockedPages(t, ctx.pid)];
    },
    [true, 3, 3],
  ],
  [
    "a child has no locked memory",
    function* (t) {
      const at = yield* anon(2 * PAGE, ANON | MAP_LOCKED);
      yield* mem.touch(at, PAGE);
      const pid = must(
        yield* sys.fork(function* (ctx) {
          yield* sys.exitGroup(lockedPages(t, ctx.pid));
        }),
      );
      return (yield* sys.wait(pid)).status >> 8;
    },
    0,
  ],
]);

table("mlockall", [
  ["no flags", () => sys.mlockall(0), -E.INVAL],
  ["flags that do not exist", () => sys.mlockall(64), -E.INVAL],
  [
    "MCL_CURRENT: what is mapped, not what comes",
    function* (t, ctx) {
      const at = yield* anon(2 * PAGE);
      must(yield* sys.mmap(at - 8 * PAGE, PAGE, PROT_READ, ANON | MAP_FIXED));
      must(yield* sys.mlockall(MCL_CURRENT));
      const now = lockedPages(t, ctx.pid);
      must(yield* sys.mmap(AT, 4 * PAGE, RW, ANON | MAP_FIXED));
      return [now, (yield* sys.mincore(at, 2 * PAGE)).toString(), lockedPages(t, ctx.pid)];
    },
    [2, "1,1", 2],
  ],
  [
    "MCL_FUTURE: what comes, the heap included, not what is mapped",
    function* (t) {
      const old = yield* anon(2 * PAGE);
      must(yield* sys.mlockall(MCL_FUTURE));
      const mapped = yield* t.measure(sys.mmap(AT, 4 * PAGE, RW, ANON | MAP_FIXED));
      const heap = yield* t.measure(sys.brk(HEAP + 2 * PAGE));
      return [mapped.counts.faults, heap.counts.faults, (yield* sys.mincore(old, 2 * PAGE)).toString()];
    },
    [4, 2, "0,0"],
  ],
  [
    "munlockall ends both",
    function* (t, ctx) {
      yield* anon(2 * PAGE);
      must(yield* sys.mlockall(MCL_CURRENT | MCL_FUTURE));
      must(yield* sys.munlockall());
      yield* anon(2 * PAGE);
      return lockedPages(t, ctx.pid);
    },
    0,
  ],
  [
    "a private file mapping, written: its pages are the process's own at once",
    function* (t) {
      const fd = yield* ramFile("/f", 2);
      const at = must(yield* sys.mmap(0, 2 * PAGE, RW, MAP_PRIVATE, fd, 0));
      must(yield* sys.mlockall(MCL_CURRENT));
      const { counts } = yield* t.measure(mem.touch(at, 2 * PAGE, { write: true }));
      return counts.faults ?? 0;
    },
    0,
  ],
]);

describe("brk", () => {
  it("grows by pages, gives bytes back, shrinks with its memory, and is one VMA", () => {
    runGuest(function* (t, ctx) {
      expect(yield* sys.brk(0)).toBe(HEAP);
      expect(yield* sys.brk(HEAP + 100)).toBe(HEAP + 100);
      expect(yield* sys.brk(HEAP + 3 * PAGE)).toBe(HEAP + 3 * PAGE);
      expect(layout(t, ctx, HEAP)).toEqual(["0-3 rw-p"]);
      expect(t.machine.inspect("maps", ctx.pid)).toContain("[heap]");
      yield* mem.touch(HEAP, 3 * PAGE, { write: true, value: 4 });
      expect(yield* sys.brk(HEAP + PAGE + 1)).toBe(HEAP + PAGE + 1);
      expect(t.stat("anon_pages")).toBe(2);
      expect((yield* mem.tryTouch(HEAP + 2 * PAGE, 1)).signal).toBe(SIGSEGV);
      expect(yield* sys.brk(HEAP + 3 * PAGE)).toBe(HEAP + 3 * PAGE);
      expect(yield* mem.load(HEAP + 2 * PAGE, 1)).toEqual(new Uint8Array([0]));
      expect(yield* mem.load(HEAP, 1)).toEqual(new Uint8Array([4]));
      return 0;
    });
  });

  it("below its start, beyond the address space and into a mapping it stays where it is", () => {
    runGuest(function* () {
      must(yield* sys.mmap(HEAP + 4 * PAGE, PAGE, RW, ANON | MAP_FIXED));
      expect(yield* sys.brk(HEAP + 2 * PAGE)).toBe(HEAP + 2 * PAGE);
      for (const to of [0, HEAP - 1, HEAP + 5 * PAGE, 2 ** 47, 2n ** 64n - 1n, 2 ** 46]) {
        expect(yield* sys.brk(to)).toBe(HEAP + 2 * PAGE);
      }
      expect(yield* sys.brk(HEAP + 4 * PAGE)).toBe(HEAP + 4 * PAGE);
      return 0;
    });
  });

  it("a heap with a hole made by munmap shrinks across it", () => {
    runGuest(function* (t, ctx) {
      must(yield* sys.brk(HEAP + 6 * PAGE));
      must(yield* sys.munmap(HEAP + 2 * PAGE, 2 * PAGE));
      expect(yield* sys.brk(HEAP + PAGE)).toBe(HEAP + PAGE);
      expect(layout(t, ctx, HEAP)).toEqual(["0-1 rw-p"]);
      return 0;
    });
  });
});
