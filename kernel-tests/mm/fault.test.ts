/*
 * Page faults of one guest: the eight boxes of mm/memory.ts with their counters and tracepoints, under every fault lock;
 * signals with their addresses; fault-around; major and minor.
 *
 * Checks: [mem-1] [mk-4] [fa-2] [acc-2]. Each row's counts are all that moved of those named, so that a second fault, copy or
 * allocation that nobody asked for fails the row.
 */
import { describe, expect, it } from "vitest";
import {
  FAULT_LOCK_REGIMES,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  O_RDONLY,
  PROT_NONE,
  PROT_READ,
  SIGBUS,
  SIGSEGV,
  mem,
  sys,
  waitAll,
} from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { ANON, type Counts, PAGE, RW, type Row, anon, must, ramFile, runGuest, table } from "../test-machine.js";

const AT = 0x10_0000_0000;
const COUNTED = [
  "faults",
  "maj_flt",
  "anon_pages",
  "page_copy_bytes",
  "page_zero_bytes",
  "page_allocs",
  "tlb_shootdowns",
  "fault_around_pages",
  "exceptions:page_fault_user",
  "faultline:zero_page",
  "faultline:wp_page_copy",
  "faultline:wp_page_reuse",
  "faultline:cow_last_reference",
  "faultline:fault_nopage",
  "filemap:mm_filemap_map_pages",
  "filemap:mm_filemap_fault",
  "filemap:mm_filemap_add_to_page_cache",
];

function counted(counts: Counts): Counts {
  return Object.fromEntries(COUNTED.filter((name) => counts[name] !== undefined).map((name) => [name, counts[name] ?? 0]));
}

/** One access of a prepared page whose page tables are there; everything of COUNTED that moved. */
function box(name: string, prepare: () => Call, write: boolean, expected: Counts): Row {
  return [
    name,
    function* (t) {
      const at = yield* prepare();
      const { counts } = yield* t.measure(mem.touch(at, 1, { write }));
      t.check();
      const again = yield* t.measure(mem.touch(at, 1, { write }));
      expect(again.counts.faults, "the same access again takes no fault").toBeUndefined();
      return counted(counts);
    },
    { faults: 1, "exceptions:page_fault_user": 1, ...expected },
  ];
}

/** Anonymous memory whose neighbour has made the page tables. */
function* anonPage(): Call {
  const at = yield* anon(2 * PAGE);
  yield* mem.touch(at + PAGE, 1, { write: true });
  return at;
}

function* filePage(prot: number, flags: number, cached = true): Call {
  const fd = yield* ramFile("/f", cached ? 1 : 0);
  if (!cached) must(yield* sys.ftruncate(fd, PAGE));
  const at = must(yield* sys.mmap(AT, PAGE, prot, flags | MAP_FIXED, fd, 0));
  must(yield* sys.mmap(AT + PAGE, PAGE, RW, ANON | MAP_FIXED));
  yield* mem.touch(AT + PAGE, 1, { write: true });
  return at;
}

/** As `prepare`, read before. */
function* readBefore(prepare: Call): Call {
  const at = yield* prepare;
  yield* mem.touch(at, 1);
  return at;
}

const cacheFill = { maj_flt: 1, page_allocs: 1, "filemap:mm_filemap_add_to_page_cache": 1, "filemap:mm_filemap_fault": 1 };
const copied = { anon_pages: 1, page_allocs: 1, page_copy_bytes: PAGE };
const tried = { "filemap:mm_filemap_map_pages": 1 };

const BOXES = [
  box("anonymous, read, no PTE: the zero page", anonPage, false, { "faultline:zero_page": 1 }),
  box("anonymous, write, no PTE: a fresh page", anonPage, true, { anon_pages: 1, page_allocs: 1, page_zero_bytes: PAGE }),
  box("anonymous, write, zero page: a fresh page and a flush", () => readBefore(anonPage()), true, {
    anon_pages: 1,
    page_allocs: 1,
    page_zero_bytes: PAGE,
    tlb_shootdowns: 1,
    "faultline:wp_page_copy": 1,
  }),
  box("file, read, no PTE, cached: mapped around", () => filePage(RW, MAP_SHARED), false, { ...tried, fault_around_pages: 1 }),
  box("private file, read, no PTE, cached: mapped around", () => filePage(RW, MAP_PRIVATE), false, { ...tried, fault_around_pages: 1 }),
  box("private file, write, no PTE: a copy", () => filePage(RW, MAP_PRIVATE), true, { ...copied, "filemap:mm_filemap_fault": 1 }),
  box("private file, write, read before: a copy and a flush", () => readBefore(filePage(RW, MAP_PRIVATE)), true, {
    ...copied,
    tlb_shootdowns: 1,
    "faultline:wp_page_copy": 1,
  }),
  box("shared file, write, no PTE: no copy", () => filePage(RW, MAP_SHARED), true, { "filemap:mm_filemap_fault": 1 }),
];

/** A page that is not in the cache: one pass under linux-4.19; the others drop the lock to read it and come again. */
function uncached(drops: boolean): Row[] {
  const passes = drops ? 2 : 1;
  const read = drops ? { ...cacheFill, "filemap:mm_filemap_fault": undefined, fault_around_pages: 1 } : cacheFill;
  return [
    box("file, read, no PTE, not cached: a major fault", () => filePage(RW, MAP_SHARED, false), false, {
      ...defined(read),
      "filemap:mm_filemap_map_pages": passes,
    }),
    box("private file, write, no PTE, not cached: read, then copied", () => filePage(RW, MAP_PRIVATE, false), true, {
      ...copied,
      ...cacheFill,
      page_allocs: 1 + passes,
    }),
    box("shared file, write, no PTE, not cached: a major fault", () => filePage(RW, MAP_SHARED, false), true, cacheFill),
  ];
}

function defined(counts: Record<string, number | undefined>): Counts {
  return Object.fromEntries(Object.entries(counts).filter((entry): entry is [string, number] => entry[1] !== undefined));
}

describe.each(FAULT_LOCK_REGIMES)("one fault under %s", (faultLock) => {
  table("the boxes", BOXES, { faultLock });
  table("the boxes, page not in the cache", uncached(faultLock !== "linux-4.19"), { faultLock });

  it("shared ramfs page, write, read before: the MMU sets D, no fault (no page_mkwrite)", () => {
    runGuest(
      function* (t) {
        const at = yield* readBefore(filePage(RW, MAP_SHARED));
        const { counts } = yield* t.measure(mem.touch(at, 1, { write: true }));
        expect(counts.faults).toBeUndefined();
        return 0;
      },
      { faultLock },
    );
  });

  it("private page, write, its other owners gone: reused without a copy", () => {
    runGuest(
      function* (t) {
        const at = yield* anonPage();
        yield* mem.touch(at, 1, { write: true });
        must(
          yield* sys.fork(function* () {
            yield* sys.getpid();
          }),
        );
        yield* waitAll();
        const { counts } = yield* t.measure(mem.touch(at, 1, { write: true }));
        expect(counted(counts)).toEqual({ faults: 1, "exceptions:page_fault_user": 1, "faultline:cow_last_reference": 1 });
        return 0;
      },
      { faultLock },
    );
  });
});

/** An access that ends in a signal: signal and address. */
function bad(name: string, prepare: () => Call, write: boolean, signal: number, offset = 0): Row {
  return [
    name,
    function* (t) {
      const at = yield* prepare();
      const before = t.stat("anon_pages");
      const touch = yield* mem.tryTouch(at + offset, 1, { write });
      t.check();
      return { ...touch, address: touch.address - at, leak: t.stat("anon_pages") - before };
    },
    { done: 0, signal, address: offset, leak: 0 },
  ];
}

function* nowhere(): Call {
  yield* sys.getpid();
  return AT;
}

function* mapped(prot: number): Call {
  return must(yield* sys.mmap(AT, 2 * PAGE, prot, ANON | MAP_FIXED));
}

/** Two pages mapped of a file that has `bytes` bytes. */
function* shortFile(bytes: number, flags: number): Call {
  const fd = yield* ramFile("/f", 0);
  must(yield* sys.ftruncate(fd, bytes));
  return must(yield* sys.mmap(AT, 2 * PAGE, RW, flags | MAP_FIXED, fd, 0));
}

const SIGNALS = [
  bad("load from nowhere", nowhere, false, SIGSEGV, 123),
  bad("store to nowhere", nowhere, true, SIGSEGV, 123),
  bad("store to a read-only mapping", () => mapped(PROT_READ), true, SIGSEGV, 5),
  bad("load from PROT_NONE", () => mapped(PROT_NONE), false, SIGSEGV),
  bad("one byte behind a mapping", () => mapped(RW), false, SIGSEGV, 2 * PAGE),
  bad("one byte before a mapping", () => mapped(RW), true, SIGSEGV, -1),
  bad("load beyond the end of a file", () => shortFile(PAGE, MAP_SHARED), false, SIGBUS, PAGE + 7),
  bad("store beyond the end of a file", () => shortFile(PAGE, MAP_SHARED), true, SIGBUS, PAGE),
  bad("store beyond the end of a privately mapped file", () => shortFile(PAGE, MAP_PRIVATE), true, SIGBUS, PAGE),
  bad("load from a mapping of an empty file", () => shortFile(0, MAP_SHARED), false, SIGBUS),
  bad("bytes behind the end inside the last page are there", () => shortFile(100, MAP_SHARED), false, 0, 200),
];
// The last one is no signal: one touch is made.
SIGNALS[SIGNALS.length - 1] = [
  "bytes behind the end inside the last page are there",
  function* () {
    return yield* mem.tryTouch((yield* shortFile(100, MAP_SHARED)) + 200, 1);
  },
  { done: 1, signal: 0, address: 0 },
];

describe.each(FAULT_LOCK_REGIMES)("bad accesses under %s", (faultLock) => {
  table("signals", SIGNALS, { faultLock });
});

describe("where a batch ends", () => {
  it("touches before the bad one are made; the address is the bad one's", () => {
    runGuest(function* () {
      const at = yield* anon(3 * PAGE);
      expect(yield* mem.tryTouch(at, 8 * PAGE, { write: true })).toEqual({ done: 3, signal: SIGSEGV, address: at + 3 * PAGE });
      return 0;
    });
  });

  it("a store over the end of a mapping names the first byte that is missing and stores the bytes before it", () => {
    runGuest(function* (t) {
      const at = yield* anon(PAGE);
      const pid = must(
        yield* sys.fork(function* () {
          yield* mem.store(at + PAGE - 4, new Uint8Array(8).fill(7));
        }),
      );
      expect((yield* sys.wait(pid)).status).toBe(SIGSEGV);
      expect(t.machine.traceCounts()["signal:signal_generate"]).toBe(1);
      return 0;
    });
  });

  it.each([
    ["address 0", 0],
    ["the highest byte of user memory", 2 ** 47 - 1],
    ["the first byte of the kernel's half", 2 ** 47],
    ["an address of the kernel's", 0xffff_8000_0000_0000n],
    ["the highest address", 2n ** 64n - 1n],
  ])("a store to %s is SIGSEGV", (_name, address) => {
    runGuest(function* () {
      const result = yield* mem.tryTouch(address, 1, { write: true });
      expect(result).toEqual({ done: 0, signal: SIGSEGV, address: Number(address) });
      return 0;
    });
  });
});

/** One load in a file of 40 cached pages mapped from `first`, `count` pages: faults of reading all of it from there on. */
function around(name: string, window: number, first: number, count: number, at: number, pages: number, expected: unknown): Row {
  return [
    `${name} (window ${window})`,
    function* (t) {
      const fd = yield* ramFile("/f", 40);
      must(yield* sys.mmap(AT + first * PAGE, count * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, first * PAGE));
      const one = yield* t.measure(mem.touch(AT + at * PAGE, 1));
      const rest = yield* t.measure(mem.touch(AT + first * PAGE, pages * PAGE));
      return [one.counts.fault_around_pages ?? 0, rest.counts.faults ?? 0];
    },
    expected,
  ];
}

table("fault-around", [
  around("the aligned window around the address", 16, 0, 40, 5, 16, [16, 0]),
  around("the next window is the next fault's", 16, 0, 40, 5, 32, [16, 1]),
  around("it starts with the VMA", 16, 10, 20, 12, 16, [16, 0]),
  around("clipped by the VMA's end", 16, 0, 4, 2, 4, [4, 0]),
  around("the last, short window of a file", 16, 0, 40, 39, 40, [8, 2]),
]);
table("fault-around turned off", [around("a fault a page", 1, 0, 40, 5, 16, [0, 15])], { faultAroundPages: 1 });
table("fault-around as wide as it goes", [around("the whole file", 64, 0, 40, 5, 40, [40, 0])], { faultAroundPages: 64 });

describe("fault-around", () => {
  it("does not leave the leaf table", () => {
    runGuest(function* (t) {
      const fd = yield* ramFile("/f", 32);
      // Page 8 of the file is the first of a leaf table.
      const start = 2 ** 37 - 8 * PAGE;
      must(yield* sys.mmap(start, 32 * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0));
      const low = yield* t.measure(mem.touch(start + 7 * PAGE, 1));
      expect(low.counts.fault_around_pages).toBe(8);
      const high = yield* t.measure(mem.touch(start + 8 * PAGE, 1));
      expect(high.counts.fault_around_pages).toBe(16);
      t.check();
      return 0;
    });
  });

  it("skips holes of the file and pages that are mapped already, and maps nothing beyond its end", () => {
    runGuest(function* (t) {
      const fd = yield* ramFile("/f", 3);
      must(yield* sys.ftruncate(fd, 8 * PAGE));
      must(yield* sys.pwrite(fd, new Uint8Array([9]), 6 * PAGE));
      const at = must(yield* sys.mmap(AT, 16 * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0));
      const first = yield* t.measure(mem.touch(at, 1));
      expect(first.counts).toMatchObject({ faults: 1, fault_around_pages: 4 });
      const hole = yield* t.measure(mem.touch(at + 4 * PAGE, 1));
      expect(hole.counts).toMatchObject({ faults: 1, maj_flt: 1 });
      expect(hole.counts.fault_around_pages).toBeUndefined();
      expect((yield* mem.tryTouch(at + 8 * PAGE, 1)).signal).toBe(SIGBUS);
      return 0;
    });
  });

  it("grants no write to a private mapping and none to a file opened for reading", () => {
    runGuest(function* (t) {
      yield* ramFile("/f", 4);
      const fd = must(yield* sys.open("/f", O_RDONLY));
      const own = must(yield* sys.mmap(0, 4 * PAGE, RW, MAP_PRIVATE, fd, 0));
      yield* mem.touch(own, 4 * PAGE);
      const { counts } = yield* t.measure(mem.touch(own, 4 * PAGE, { write: true, value: 99 }));
      expect(counts).toMatchObject({ faults: 4, page_copy_bytes: 4 * PAGE });
      expect(yield* sys.pread(fd, 1, 0)).toEqual(new Uint8Array([1]));
      return 0;
    });
  });
});

it("the counters of faults agree: the machine's, the process's, the histogram's, the trap's", () => {
  runGuest(function* (t, ctx) {
    const fd = yield* ramFile("/f", 0);
    must(yield* sys.ftruncate(fd, 4 * PAGE));
    const file = must(yield* sys.mmap(0, 4 * PAGE, RW, MAP_SHARED, fd, 0));
    const own = yield* anon(8 * PAGE, MAP_PRIVATE | MAP_ANONYMOUS);
    yield* mem.touch(file, 4 * PAGE, { write: true });
    yield* mem.touch(own, 8 * PAGE);
    yield* mem.touch(own, 4 * PAGE, { write: true });
    const stat = t.machine.inspect("stat", ctx.pid);
    const field = (name: string): number => Number(new RegExp(`^${name}: +(\\d+)`, "m").exec(stat)?.[1]);
    expect([t.stat("faults"), t.stat("maj_flt")]).toEqual([16, 4]);
    expect([field("minflt"), field("majflt")]).toEqual([12, 4]);
    expect(t.machine.faultLatency().N).toBe(16);
    expect(t.machine.traceCounts()["exceptions:page_fault_user"]).toBe(16);
    return 0;
  });
});
