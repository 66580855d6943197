/*
 * mremap(2): errnos, shrinking, growing in place, moving with data, dirty bits and offsets kept.
 *
 * Checks: [mr-1] [mr-2] [vma-2].
 */
import { describe, expect, it } from "vitest";
import {
  MAP_FIXED,
  MAP_LOCKED,
  MAP_PRIVATE,
  MAP_SHARED,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  PROT_NONE,
  PROT_READ,
  SIGBUS,
  SIGSEGV,
  mem,
  sys,
} from "../../src/node.js";
import { ANON, E, PAGE, RW, type Row, TestMachine, layout, must, ramFile, runGuest, table } from "../test-machine.js";

const AT = 0x10_0000_0000;
const TO = 0x11_0000_0000;
const TASK_SIZE = 2 ** 47;
const MOVE = MREMAP_MAYMOVE;
const FIXED = MREMAP_MAYMOVE | MREMAP_FIXED;

/** mremap of a mapping of 4 written pages at AT: pages of the old and new length. */
function refused(name: string, oldAt: number, oldPages: number, newPages: number, flags: number, to: number, expected: number): Row {
  return [
    name,
    function* (t, ctx) {
      must(yield* sys.mmap(AT, 4 * PAGE, RW, ANON | MAP_FIXED));
      yield* mem.touch(AT, 4 * PAGE, { write: true, value: 5 });
      const result = yield* sys.mremap(oldAt, oldPages * PAGE, newPages * PAGE, flags, to);
      t.check();
      return [result, layout(t, ctx, AT), (yield* mem.load(AT, 1)).toString()];
    },
    [-expected, ["0-4 rw-p"], "5"],
  ];
}

table("mremap refuses, and the old mapping stays as it was", [
  refused("an unaligned address", AT + 1, 4, 8, MOVE, 0, E.INVAL),
  refused("flags that do not exist", AT, 4, 8, 64, 0, E.INVAL),
  refused("MREMAP_FIXED without MREMAP_MAYMOVE", AT, 4, 8, MREMAP_FIXED, TO, E.INVAL),
  refused("new length 0", AT, 4, 0, MOVE, 0, E.INVAL),
  refused("a new length above the address space", AT, 4, 2 ** 36, MOVE, 0, E.INVAL),
  refused("an address that is not mapped", AT + 16 * PAGE, 4, 8, MOVE, 0, E.FAULT),
  refused("an old range that is not wholly mapped", AT, 5, 8, MOVE, 0, E.FAULT),
  refused("an unaligned target", AT, 4, 8, FIXED, TO + 1, E.INVAL),
  refused("a target below mmap_min_addr", AT, 4, 4, FIXED, PAGE, E.INVAL),
  refused("a target across the end of the address space", AT, 4, 4, FIXED, TASK_SIZE - PAGE, E.INVAL),
  refused("a target that overlaps the old range", AT, 4, 4, FIXED, AT + 2 * PAGE, E.INVAL),
  refused("a target that the old range overlaps", AT, 4, 4, FIXED, AT - 2 * PAGE, E.INVAL),
  refused("an old range across the end of the address space", TASK_SIZE - PAGE, 4, 8, MOVE, 0, E.INVAL),
]);

/** The first bytes of `pages` pages from `at`; -1 where a load ends in a signal. */
function* firstBytes(at: number, pages: number) {
  const seen: number[] = [];
  for (let i = 0; i < pages; i++) {
    const touch = yield* mem.tryTouch(at + i * PAGE, 1);
    const data = touch.signal === 0 ? yield* mem.load(at + i * PAGE, 1) : -1;
    seen.push(typeof data === "number" ? data : (data[0] ?? -2));
  }
  return seen;
}

/** Four pages at AT with bytes 1 to 4. */
function* numbered() {
  must(yield* sys.mmap(AT, 4 * PAGE, RW, ANON | MAP_FIXED));
  for (let i = 0; i < 4; i++) yield* mem.touch(AT + i * PAGE, 1, { write: true, value: i + 1 });
}

table("mremap without a move", [
  [
    "same length",
    function* () {
      yield* numbered();
      return [(yield* sys.mremap(AT, 4 * PAGE, 4 * PAGE, 0)) - AT, yield* firstBytes(AT, 5)];
    },
    [0, [1, 2, 3, 4, -1]],
  ],
  [
    "shrinks at the end",
    function* (t) {
      yield* numbered();
      return [(yield* sys.mremap(AT, 4 * PAGE, PAGE + 1, 0)) - AT, yield* firstBytes(AT, 4), t.stat("anon_pages")];
    },
    [0, [1, 2, -1, -1], 2],
  ],
  [
    "grows in place where the space behind is free",
    function* (t, ctx) {
      yield* numbered();
      const at = yield* sys.mremap(AT, 4 * PAGE, 6 * PAGE, 0);
      return [at - AT, yield* firstBytes(AT, 7), layout(t, ctx, AT)];
    },
    [0, [1, 2, 3, 4, 0, 0, -1], ["0-6 rw-p"]],
  ],
  [
    "grows up to the neighbour and merges with it",
    function* (t, ctx) {
      yield* numbered();
      must(yield* sys.mmap(AT + 6 * PAGE, PAGE, RW, ANON | MAP_FIXED));
      const at = yield* sys.mremap(AT, 4 * PAGE, 6 * PAGE, 0);
      return [at - AT, layout(t, ctx, AT)];
    },
    [0, ["0-7 rw-p"]],
  ],
  [
    "does not grow into a neighbour",
    function* (t, ctx) {
      yield* numbered();
      must(yield* sys.mmap(AT + 5 * PAGE, PAGE, PROT_NONE, ANON | MAP_FIXED));
      return [yield* sys.mremap(AT, 4 * PAGE, 6 * PAGE, 0), yield* firstBytes(AT, 4), layout(t, ctx, AT)];
    },
    [-E.NOMEM, [1, 2, 3, 4], ["0-4 rw-p", "5-6 ---p"]],
  ],
  [
    "the middle of a mapping does not grow in place",
    function* () {
      yield* numbered();
      return [yield* sys.mremap(AT + PAGE, PAGE, 2 * PAGE, 0), yield* firstBytes(AT, 4)];
    },
    [-E.NOMEM, [1, 2, 3, 4]],
  ],
]);

table("mremap moves", [
  [
    "pages and all when it cannot grow in place",
    function* (t) {
      yield* numbered();
      must(yield* sys.mmap(AT + 4 * PAGE, PAGE, PROT_NONE, ANON | MAP_FIXED));
      const { value: at, counts } = yield* t.measure(sys.mremap(AT, 4 * PAGE, 6 * PAGE, MOVE));
      t.check();
      return [at !== AT, yield* firstBytes(at, 7), yield* firstBytes(AT, 4), counts.page_copy_bytes ?? 0, t.stat("anon_pages")];
    },
    [true, [1, 2, 3, 4, 0, 0, -1], [-1, -1, -1, -1], 0, 4],
  ],
  [
    "to a fixed place, over what was there",
    function* (t, ctx) {
      yield* numbered();
      must(yield* sys.mmap(TO, 8 * PAGE, RW, ANON | MAP_FIXED));
      yield* mem.touch(TO, 8 * PAGE, { write: true, value: 99 });
      const at = yield* sys.mremap(AT, 4 * PAGE, 4 * PAGE, FIXED, TO + PAGE);
      t.check();
      return [at - TO, yield* firstBytes(TO, 8), yield* firstBytes(AT, 4), layout(t, ctx, TO)];
    },
    [PAGE, [99, 1, 2, 3, 4, 99, 99, 99], [-1, -1, -1, -1], ["0-1 rw-p", "1-5 rw-p", "5-8 rw-p"]],
  ],
  [
    "the middle of a mapping out",
    function* (t, ctx) {
      yield* numbered();
      const at = yield* sys.mremap(AT + PAGE, 2 * PAGE, 2 * PAGE, FIXED, TO);
      t.check();
      return [at - TO, yield* firstBytes(TO, 3), yield* firstBytes(AT, 4), layout(t, ctx, AT)];
    },
    [0, [2, 3, -1], [1, -1, -1, 4], ["0-1 rw-p", "3-4 rw-p", `${(TO - AT) / PAGE}-${(TO - AT) / PAGE + 2} rw-p`]],
  ],
  [
    "into another hole of its own mapping",
    function* (t) {
      must(yield* sys.mmap(AT, 8 * PAGE, RW, ANON | MAP_FIXED));
      for (let i = 0; i < 8; i++) yield* mem.touch(AT + i * PAGE, 1, { write: true, value: i + 1 });
      const at = yield* sys.mremap(AT, 2 * PAGE, 2 * PAGE, FIXED, AT + 5 * PAGE);
      t.check();
      return [at - AT, yield* firstBytes(AT, 8)];
    },
    [5 * PAGE, [-1, -1, 3, 4, 5, 1, 2, 8]],
  ],
  [
    "and shrinks on the way",
    function* () {
      yield* numbered();
      const at = yield* sys.mremap(AT, 4 * PAGE, 2 * PAGE, FIXED, TO);
      return [at - TO, yield* firstBytes(TO, 3), yield* firstBytes(AT, 4)];
    },
    [0, [1, 2, -1], [-1, -1, -1, -1]],
  ],
  [
    "a read-only mapping without giving write rights",
    function* () {
      yield* numbered();
      must(yield* sys.mprotect(AT, 4 * PAGE, PROT_READ));
      const at = must(yield* sys.mremap(AT, 4 * PAGE, 4 * PAGE, FIXED, TO));
      return [(yield* mem.tryTouch(at, 1, { write: true })).signal, yield* firstBytes(at, 4)];
    },
    [SIGSEGV, [1, 2, 3, 4]],
  ],
  [
    "a locked mapping: the new pages are in at once",
    function* (t, ctx) {
      must(yield* sys.mmap(AT, 2 * PAGE, RW, ANON | MAP_FIXED | MAP_LOCKED));
      const at = must(yield* sys.mremap(AT, 2 * PAGE, 5 * PAGE, FIXED, TO));
      const { counts } = yield* t.measure(mem.touch(at, 5 * PAGE, { write: true }));
      return [counts.faults ?? 0, /Locked: +20 kB/.test(t.machine.inspect("smaps", ctx.pid))];
    },
    [0, true],
  ],
]);

describe("mremap of file mappings", () => {
  it("moved pages keep their offset, new ones continue it, beyond the end is SIGBUS", () => {
    runGuest(function* (t) {
      const fd = yield* ramFile("/f", 6);
      const at = must(yield* sys.mmap(AT, 2 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 2 * PAGE));
      yield* mem.touch(at, 2 * PAGE, { write: true, value: 77 });
      const to = must(yield* sys.mremap(at, 2 * PAGE, 5 * PAGE, FIXED, TO));
      t.check();
      expect(yield* firstBytes(to, 4)).toEqual([77, 77, 5, 6]);
      expect(yield* mem.tryTouch(to + 4 * PAGE, 1)).toEqual({ done: 0, signal: SIGBUS, address: to + 4 * PAGE });
      expect(yield* sys.pread(fd, 1, 2 * PAGE)).toEqual(new Uint8Array([77]));
      return 0;
    });
  });

  it("a truncate finds the pages at their new place", () => {
    runGuest(function* (t) {
      const fd = yield* ramFile("/f", 4);
      must(yield* sys.mmap(AT, 4 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0));
      yield* mem.touch(AT, 4 * PAGE, { write: true });
      must(yield* sys.mremap(AT + PAGE, 2 * PAGE, 2 * PAGE, FIXED, TO));
      must(yield* sys.ftruncate(fd, PAGE));
      t.check();
      expect((yield* mem.tryTouch(TO, 1)).signal).toBe(SIGBUS);
      expect((yield* mem.tryTouch(AT, 1)).signal).toBe(0);
      return 0;
    });
  });

  it("private copies move with their mapping and merge nowhere wrong", () => {
    runGuest(function* (t, ctx) {
      const fd = yield* ramFile("/f", 4);
      must(yield* sys.mmap(AT, 4 * PAGE, RW, MAP_PRIVATE | MAP_FIXED, fd, 0));
      yield* mem.touch(AT + PAGE, 1, { write: true, value: 88 });
      must(yield* sys.mremap(AT, 2 * PAGE, 2 * PAGE, FIXED, AT + 4 * PAGE));
      t.check();
      expect(yield* firstBytes(AT + 2 * PAGE, 4)).toEqual([3, 4, 1, 88]);
      expect(layout(t, ctx, AT)).toEqual(["2-4 rw-p", "4-6 rw-p"]);
      expect(yield* sys.pread(fd, 1, PAGE)).toEqual(new Uint8Array([2]));
      return 0;
    });
  });

  it("growth beyond the last page number of a file is EINVAL", () => {
    runGuest(function* () {
      const fd = yield* ramFile("/f", 1);
      const last = 0xffff_ffff - 1;
      const at = must(yield* sys.mmap(AT, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, last * PAGE));
      expect(yield* sys.mremap(at, PAGE, 16 * PAGE, MOVE)).toBe(-E.INVAL);
      expect(yield* sys.mremap(at, PAGE, 16 * PAGE, FIXED, TO)).toBe(-E.INVAL);
      return 0;
    });
  });
});

it("growth that no address space can hold is ENOMEM and not a panic", () => {
  runGuest(function* () {
    must(yield* sys.mmap(AT, PAGE, PROT_NONE, ANON | MAP_FIXED));
    expect(yield* sys.mremap(AT, PAGE, 2 ** 46, MOVE)).toBe(-E.NOMEM);
    return 0;
  });
});

describe("mremap when memory runs out in the middle", () => {
  for (let n = 1; n <= 6; n++) {
    it(`allocation ${n} of page frames or objects fails: moved whole or not at all`, () => {
      for (const kind of ["failPageAfter", "failSlabAfter"] as const) {
        const t = new TestMachine();
        t.runOne(function* () {
          yield* numbered();
          must(yield* sys.mprotect(AT + PAGE, PAGE, RW));
          t.machine.kernel[kind](n);
          const result = yield* sys.mremap(AT + PAGE, 2 * PAGE, 3 * PAGE, FIXED, TO);
          t.machine.kernel[kind](0);
          t.check();
          if (result === TO) {
            expect(yield* firstBytes(TO, 4)).toEqual([2, 3, 0, -1]);
            expect(yield* firstBytes(AT, 4)).toEqual([1, -1, -1, 4]);
          } else {
            expect(result).toBe(-E.NOMEM);
            expect(yield* firstBytes(AT, 4)).toEqual([1, 2, 3, 4]);
            expect(yield* firstBytes(TO, 1)).toEqual([-1]);
          }
          // Whatever is left at either place goes with the process.
          must(yield* sys.munmap(AT, 4 * PAGE));
          return 0;
        });
        t.finish();
      }
    });
  }
});
