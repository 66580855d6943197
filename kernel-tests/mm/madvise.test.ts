/*
 * madvise(2), msync(2) and mincore(2): errnos, holes, and what they do to pages.
 *
 * Checks: [ma-1] [mi-1] [gup-3].
 */
import {
  MADV_DONTNEED,
  MADV_NORMAL,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MADV_RANDOM,
  MADV_SEQUENTIAL,
  MADV_WILLNEED,
  MAP_FIXED,
  MAP_LOCKED,
  MAP_PRIVATE,
  MAP_SHARED,
  MS_ASYNC,
  MS_INVALIDATE,
  MS_SYNC,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
  mem,
  sys,
} from "../../src/node.js";
import { ANON, E, PAGE, RW, type Row, anon, must, ramFile, table } from "../test-machine.js";

const AT = 0x10_0000_0000;
const TASK_SIZE = 2 ** 47;

table("madvise refuses", [
  ["an unaligned address", () => sys.madvise(AT + 1, PAGE, MADV_DONTNEED), -E.INVAL],
  ["advice that does not exist", () => sys.madvise(AT, PAGE, 99), -E.INVAL],
  ["advice that does not exist, over nothing", () => sys.madvise(AT, 0, 99), -E.INVAL],
  ["a length that wraps when rounded up", () => sys.madvise(AT, 2n ** 64n - 1n, MADV_DONTNEED), -E.INVAL],
  ["a range that wraps", () => sys.madvise(TASK_SIZE, 2n ** 64n - 4096n, MADV_DONTNEED), -E.INVAL],
  ["a range that is not mapped", () => sys.madvise(AT, PAGE, MADV_DONTNEED), -E.NOMEM],
  ["a range beyond the address space", () => sys.madvise(TASK_SIZE - PAGE, 2 * PAGE, MADV_DONTNEED), -E.NOMEM],
  ["length 0: nothing, successfully", () => sys.madvise(AT, 0, MADV_DONTNEED), 0],
  [
    "MADV_DONTNEED of locked memory",
    function* () {
      const at = yield* anon(PAGE, ANON | MAP_LOCKED);
      return yield* sys.madvise(at, PAGE, MADV_DONTNEED);
    },
    -E.INVAL,
  ],
]);

/** A hint that changes nothing. */
function accepted(name: string, advice: number): Row {
  return [
    name,
    function* (t) {
      const at = yield* anon(2 * PAGE);
      yield* mem.touch(at, 2 * PAGE, { write: true, value: 6 });
      const { value, counts } = yield* t.measure(sys.madvise(at, 2 * PAGE, advice));
      return [value, counts.page_frees ?? 0, (yield* mem.load(at, 1)).toString()];
    },
    [0, 0, "6"],
  ];
}

table("hints", [
  accepted("MADV_NORMAL", MADV_NORMAL),
  accepted("MADV_RANDOM", MADV_RANDOM),
  accepted("MADV_SEQUENTIAL", MADV_SEQUENTIAL),
  accepted("MADV_WILLNEED of anonymous memory", MADV_WILLNEED),
]);

table("MADV_DONTNEED", [
  [
    "anonymous memory reads as zeros afterwards",
    function* (t) {
      const at = yield* anon(4 * PAGE);
      yield* mem.touch(at, 4 * PAGE, { write: true, value: 6 });
      const { value, counts } = yield* t.measure(sys.madvise(at + PAGE, 2 * PAGE, MADV_DONTNEED));
      t.check();
      const seen: string[] = [];
      for (let i = 0; i < 4; i++) seen.push((yield* mem.load(at + i * PAGE, 1)).toString());
      return [value, counts.anon_pages, counts.tlb_shootdowns, seen];
    },
    [0, -2, 1, ["6", "0", "0", "6"]],
  ],
  [
    "a private copy of a file page falls back to the file",
    function* () {
      const fd = yield* ramFile("/f", 1);
      const at = must(yield* sys.mmap(0, PAGE, RW, MAP_PRIVATE, fd, 0));
      yield* mem.touch(at, PAGE, { write: true, value: 77 });
      const before = yield* mem.load(at, 1);
      must(yield* sys.madvise(at, PAGE, MADV_DONTNEED));
      return [before.toString(), (yield* mem.load(at, 1)).toString()];
    },
    ["77", "1"],
  ],
  [
    "a shared file page keeps what was stored",
    function* () {
      const fd = yield* ramFile("/f", 1);
      const at = must(yield* sys.mmap(0, PAGE, RW, MAP_SHARED, fd, 0));
      yield* mem.touch(at, PAGE, { write: true, value: 77 });
      must(yield* sys.madvise(at, PAGE, MADV_DONTNEED));
      return [(yield* mem.load(at, 1)).toString(), yield* sys.pread(fd, 1, 0)];
    },
    ["77", new Uint8Array([77])],
  ],
  [
    "across a hole: the mapped parts are dropped, then ENOMEM",
    function* (t) {
      for (const page of [0, 2]) must(yield* sys.mmap(AT + page * PAGE, PAGE, RW, ANON | MAP_FIXED));
      yield* mem.touch(AT, 3 * PAGE, { write: true, stride: 2 * PAGE });
      return [yield* sys.madvise(AT, 3 * PAGE, MADV_DONTNEED), t.stat("anon_pages")];
    },
    [-E.NOMEM, 0],
  ],
  [
    "of memory that was never touched",
    function* (t) {
      const at = yield* anon(4 * PAGE);
      const { value, counts } = yield* t.measure(sys.madvise(at, 4 * PAGE, MADV_DONTNEED));
      return [value, counts.tlb_shootdowns ?? 0];
    },
    [0, 0],
  ],
]);

/** Populates 4 pages and then touches them; faults in the call, anonymous pages made, faults in the touch. */
function populate(name: string, prot: number, file: "anon" | "private" | "shared", advice: number, expected: unknown): Row {
  return [
    name,
    function* (t) {
      const fd = file === "anon" ? -1 : yield* ramFile("/f", 4);
      const flags = file === "anon" ? ANON : file === "private" ? MAP_PRIVATE : MAP_SHARED;
      const at = must(yield* sys.mmap(0, 4 * PAGE, prot, flags, fd, 0));
      const { value, counts } = yield* t.measure(sys.madvise(at, 4 * PAGE, advice));
      if (value !== 0) return value;
      const touch = yield* t.measure(mem.touch(at, 4 * PAGE, { write: advice === MADV_POPULATE_WRITE }));
      return [counts.faults ?? 0, counts.anon_pages ?? 0, touch.counts.faults ?? 0];
    },
    expected,
  ];
}

table("MADV_POPULATE_READ and MADV_POPULATE_WRITE", [
  populate("READ: the zero page", RW, "anon", MADV_POPULATE_READ, [4, 0, 0]),
  populate("WRITE: pages of its own", RW, "anon", MADV_POPULATE_WRITE, [4, 4, 0]),
  populate("READ of a private file", PROT_READ, "private", MADV_POPULATE_READ, [1, 0, 0]),
  populate("WRITE of a private file copies", RW, "private", MADV_POPULATE_WRITE, [4, 4, 0]),
  populate("WRITE of a shared file", RW, "shared", MADV_POPULATE_WRITE, [4, 0, 0]),
  populate("READ without read rights", PROT_NONE, "anon", MADV_POPULATE_READ, -E.INVAL),
  populate("WRITE without write rights", PROT_READ, "anon", MADV_POPULATE_WRITE, -E.INVAL),
  populate("WRITE with write rights alone", PROT_WRITE, "anon", MADV_POPULATE_WRITE, [4, 4, 0]),
  [
    "beyond the end of the file",
    function* () {
      const fd = yield* ramFile("/f", 1);
      const at = must(yield* sys.mmap(0, 2 * PAGE, RW, MAP_SHARED, fd, 0));
      return [yield* sys.madvise(at, 2 * PAGE, MADV_POPULATE_READ), yield* sys.madvise(at, 2 * PAGE, MADV_POPULATE_WRITE)];
    },
    [-E.FAULT, -E.FAULT],
  ],
  [
    "across a hole",
    function* () {
      must(yield* sys.mmap(AT, PAGE, RW, ANON | MAP_FIXED));
      return yield* sys.madvise(AT, 2 * PAGE, MADV_POPULATE_WRITE);
    },
    -E.NOMEM,
  ],
]);

/** msync of 2 pages of a shared file mapping at AT. */
function msync(name: string, at: number, len: number | bigint, flags: number, expected: number): Row {
  return [
    name,
    function* () {
      const fd = yield* ramFile("/f", 2);
      must(yield* sys.mmap(AT, 2 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0));
      yield* mem.touch(AT, 2 * PAGE, { write: true });
      return yield* sys.msync(at, len, flags);
    },
    expected,
  ];
}

table("msync", [
  msync("MS_SYNC", AT, 2 * PAGE, MS_SYNC, 0),
  msync("MS_ASYNC", AT, 2 * PAGE, MS_ASYNC, 0),
  msync("no flags", AT, 2 * PAGE, 0, 0),
  msync("length 0", AT, 0, MS_SYNC, 0),
  msync("part of a page", AT, 1, MS_SYNC, 0),
  msync("both ways at once", AT, PAGE, MS_SYNC | MS_ASYNC, -E.INVAL),
  msync("flags that do not exist", AT, PAGE, 8, -E.INVAL),
  msync("an unaligned address", AT + 1, PAGE, MS_SYNC, -E.INVAL),
  msync("a length that wraps", AT, 2n ** 64n - 1n, MS_SYNC, -E.NOMEM),
  msync("beyond the mapping", AT, 3 * PAGE, MS_SYNC, -E.NOMEM),
  msync("before the mapping", AT - PAGE, 2 * PAGE, MS_SYNC, -E.NOMEM),
  msync("MS_INVALIDATE of memory that is not locked", AT, PAGE, MS_SYNC | MS_INVALIDATE, 0),
  [
    "MS_INVALIDATE of locked memory",
    function* () {
      const at = yield* anon(PAGE, ANON | MAP_LOCKED);
      return yield* sys.msync(at, PAGE, MS_ASYNC | MS_INVALIDATE);
    },
    -E.BUSY,
  ],
]);

table("mincore", [
  ["an unaligned address", () => sys.mincore(AT + 1, PAGE), -E.INVAL],
  ["a range that is not mapped", () => sys.mincore(AT, PAGE), -E.NOMEM],
  [
    "a vector that cannot be written",
    function* () {
      const at = yield* anon(PAGE);
      return yield* sys.raw(232, at, PAGE, 16);
    },
    -E.FAULT,
  ],
  [
    "anonymous memory: the pages that are there",
    function* () {
      const at = yield* anon(5 * PAGE);
      yield* mem.touch(at, PAGE, { write: true });
      yield* mem.touch(at + 3 * PAGE, PAGE);
      return yield* sys.mincore(at, 5 * PAGE);
    },
    new Uint8Array([1, 0, 0, 1, 0]),
  ],
  [
    "a file mapping: the pages in the cache, mapped or not; a hole is not",
    function* () {
      const fd = yield* ramFile("/f", 2);
      must(yield* sys.ftruncate(fd, 5 * PAGE));
      must(yield* sys.pwrite(fd, new Uint8Array(1), 3 * PAGE));
      const at = must(yield* sys.mmap(0, 5 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0));
      return yield* sys.mincore(at, 4 * PAGE + 1);
    },
    new Uint8Array([1, 1, 0, 1, 0]),
  ],
  [
    "more pages than one batch",
    function* () {
      const at = yield* anon(300 * PAGE);
      yield* mem.touch(at, 300 * PAGE, { write: true, stride: 3 * PAGE });
      const vector = yield* sys.mincore(at, 300 * PAGE);
      return typeof vector === "number" ? vector : vector.every((byte, i) => byte === (i % 3 === 0 ? 1 : 0));
    },
    true,
  ],
]);
