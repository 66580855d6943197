/*
 * Truncate and hole punch under mappings: what a mapping sees, what private copies see, what comes back on growth.
 *
 * Checks: [tr-1] [tr-2] [rmap-1] [page-2].
 */
import { describe, expect, it } from "vitest";
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FAULT_LOCK_REGIMES,
  MAP_PRIVATE,
  MAP_SHARED,
  SIGBUS,
  barrier,
  mem,
  sys,
} from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { E, PAGE, RW, type Row, TestMachine, must, ramFile, runGuest, table } from "../test-machine.js";

const PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

/** What a load of a byte comes to: its value, or "SIGBUS". */
function* look(at: number): Call<number | string> {
  const touch = yield* mem.tryTouch(at, 1);
  if (touch.signal !== 0) return touch.signal === SIGBUS ? "SIGBUS" : `signal ${touch.signal}`;
  const data = yield* mem.load(at, 1);
  return typeof data === "number" ? data : (data[0] ?? -1);
}

type Change = (fd: number) => Call;

/** Four pages with bytes 1 to 4, mapped and touched, then changed: the first byte of each page, and of byte 2048 of each. */
function after(name: string, flags: number, write: boolean, change: Change, first: unknown[], middle: unknown[]): Row {
  return [
    name,
    function* (t) {
      const fd = yield* ramFile("/f", 4);
      const at = must(yield* sys.mmap(0, 4 * PAGE, RW, flags, fd, 0));
      yield* mem.touch(at + 1, 4 * PAGE - 1, { write, value: 50 });
      const { counts } = yield* t.measure(change(fd));
      t.check();
      const seen: unknown[][] = [[], []];
      for (let page = 0; page < 4; page++) {
        seen[0]?.push(yield* look(at + page * PAGE));
        seen[1]?.push(yield* look(at + page * PAGE + 2048));
      }
      t.check();
      return { seen, flushed: (counts.tlb_shootdowns ?? 0) > 0 };
    },
    { seen: [first, middle], flushed: true },
  ];
}

const truncate = (bytes: number): Change =>
  function* (fd) {
    return must(yield* sys.ftruncate(fd, bytes));
  };
const regrow: Change = function* (fd) {
  must(yield* sys.ftruncate(fd, PAGE + 100));
  return must(yield* sys.ftruncate(fd, 4 * PAGE));
};
const punch = (offset: number, length: number): Change =>
  function* (fd) {
    return must(yield* sys.fallocate(fd, PUNCH, offset, length));
  };
const B = "SIGBUS";

const ROWS = [
  after("truncate, shared, read", MAP_SHARED, false, truncate(2 * PAGE), [1, 2, B, B], [1, 2, B, B]),
  after("truncate, shared, written", MAP_SHARED, true, truncate(2 * PAGE), [1, 2, B, B], [1, 2, B, B]),
  after("truncate, private copies beyond the end go as well", MAP_PRIVATE, true, truncate(2 * PAGE), [1, 2, B, B], [1, 2, B, B]),
  after("truncate inside a page zeroes its tail", MAP_SHARED, true, truncate(PAGE + 100), [1, 2, B, B], [1, 0, B, B]),
  after("truncate inside a page leaves its private copy alone", MAP_PRIVATE, true, truncate(PAGE + 100), [1, 2, B, B], [1, 2, B, B]),
  after("truncate to nothing", MAP_SHARED, true, truncate(0), [B, B, B, B], [B, B, B, B]),
  after("down and up again: zeros", MAP_SHARED, true, regrow, [1, 2, 0, 0], [1, 0, 0, 0]),
  after("down and up again, private: the file's zeros", MAP_PRIVATE, true, regrow, [1, 2, 0, 0], [1, 2, 0, 0]),
  after("punch whole pages, shared", MAP_SHARED, true, punch(PAGE, 2 * PAGE), [1, 0, 0, 4], [1, 0, 0, 4]),
  after("punch whole pages, private and read", MAP_PRIVATE, false, punch(PAGE, 2 * PAGE), [1, 0, 0, 4], [1, 0, 0, 4]),
  after("punch across pages zeroes the edges", MAP_SHARED, true, punch(2000, 2 * PAGE), [1, 0, 0, 4], [0, 0, 3, 4]),
];
const untouched = after("punch leaves private copies", MAP_PRIVATE, true, punch(PAGE, 2 * PAGE), [1, 2, 3, 4], [1, 2, 3, 4]);
// Nothing is mapped of the file itself, so nothing is flushed.
ROWS.push([untouched[0], untouched[1], { ...(untouched[2] as object), flushed: false }]);
const inside = after("punch inside a page zeroes in place", MAP_SHARED, true, punch(PAGE + 2000, 100), [1, 2, 3, 4], [1, 0, 3, 4]);
ROWS.push([inside[0], inside[1], { ...(inside[2] as object), flushed: false }]);

describe.each(FAULT_LOCK_REGIMES)("under %s", (faultLock) => {
  table("what a mapping sees", ROWS, { faultLock });
});

/** A guest's operation buffer is a frame of its own from its first path on. */
function* operationBuffer(): Call {
  return yield* sys.open("/not/there", 0);
}

describe("pages of several mappings", () => {
  it("a truncate takes a page out of every process, thread and mapping that has it", () => {
    runGuest(function* (t) {
      const fd = yield* ramFile("/f", 2);
      const here = must(yield* sys.mmap(0, 2 * PAGE, RW, MAP_SHARED, fd, 0));
      const there = must(yield* sys.mmap(0, PAGE, RW, MAP_SHARED, fd, PAGE));
      yield* mem.touch(here, 2 * PAGE, { write: true });
      yield* mem.touch(there, PAGE);
      const children: number[] = [];
      for (let i = 0; i < 3; i++) {
        children.push(
          must(
            yield* sys.fork(function* () {
              yield* mem.touch(here, 2 * PAGE);
              yield* barrier(0, 4);
              yield* barrier(1, 4);
              expect(yield* look(here + PAGE)).toBe(B);
              expect(yield* look(there)).toBe(B);
              expect(yield* look(here)).toBe(1);
            }),
          ),
        );
      }
      yield* barrier(0, 4);
      must(yield* sys.ftruncate(fd, PAGE));
      t.check();
      yield* barrier(1, 4);
      expect(yield* look(there)).toBe(B);
      for (const child of children) expect((yield* sys.wait(child)).status).toBe(0);
      return 0;
    });
  });

  it("an unlinked, closed file lives as long as it is mapped, and its frames go with the mapping", () => {
    runGuest(function* (t) {
      yield* operationBuffer();
      const free = t.stat("free_frames");
      const fd = yield* ramFile("/f", 4);
      const at = must(yield* sys.mmap(0, 4 * PAGE, RW, MAP_SHARED, fd, 0));
      must(yield* sys.close(fd));
      must(yield* sys.unlink("/f"));
      expect(yield* look(at + 3 * PAGE)).toBe(4);
      yield* mem.touch(at, 4 * PAGE, { write: true });
      must(yield* sys.munmap(at, 4 * PAGE));
      expect(t.stat("free_frames")).toBe(free);
      return 0;
    });
  });

  it("shared anonymous memory is given back with its last mapping", () => {
    const t = new TestMachine();
    t.runOne(function* () {
      yield* operationBuffer();
      const free = t.stat("free_frames");
      const at = must(yield* sys.mmap(0, 8 * PAGE, RW, MAP_SHARED | 0x20));
      const pid = must(
        yield* sys.fork(function* () {
          yield* mem.touch(at, 8 * PAGE, { write: true });
        }),
      );
      yield* sys.wait(pid);
      expect(yield* look(at)).toBe(1);
      must(yield* sys.munmap(at, 8 * PAGE));
      expect(t.stat("free_frames")).toBe(free);
      return 0;
    });
    t.finish();
    expect(/Cached: +0 kB/.test(t.machine.inspect("meminfo"))).toBe(true);
  });
});

table("sizes", [
  [
    "below zero",
    function* () {
      return yield* sys.ftruncate(yield* ramFile("/f", 1), -1);
    },
    -E.INVAL,
  ],
  [
    "above what a page number can hold",
    function* () {
      return yield* sys.ftruncate(yield* ramFile("/f", 1), 2 ** 45);
    },
    -E.FBIG,
  ],
  [
    "a large hole costs nothing",
    function* (t) {
      const fd = yield* ramFile("/f", 1);
      const free = t.stat("free_frames");
      must(yield* sys.ftruncate(fd, 2 ** 43));
      const at = must(yield* sys.mmap(0, PAGE, RW, MAP_SHARED, fd, 2 ** 43 - PAGE));
      yield* mem.touch(at, 1, { write: true, value: 3 });
      must(yield* sys.ftruncate(fd, PAGE));
      must(yield* sys.munmap(at, PAGE));
      return free - t.stat("free_frames");
    },
    0,
  ],
]);
