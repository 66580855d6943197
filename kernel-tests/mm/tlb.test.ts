/*
 * TLB shootdown: on two CPUs no translation survives what takes it away, and what is interrupted is counted.
 *
 * A thread on CPU 1 loads and stores, so that its TLB holds the translation. A thread on CPU 0 then changes the mapping, while
 * the first one waits or computes. What the first one sees after that is the table's last column.
 *
 * Checks: [tlb-1] [sd-1] [sd-2] [zap-1] [mp-1].
 */
import { describe, expect, it } from "vitest";
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FAULT_LOCK_REGIMES,
  MADV_DONTNEED,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  PROT_NONE,
  PROT_READ,
  SIGBUS,
  SIGSEGV,
  barrier,
  compute,
  mem,
  sys,
  waitAll,
} from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { ANON, PAGE, RW, TestMachine, anon, must, ramFile, runGuest } from "../test-machine.js";

const TO = 0x10_0000_0000;

interface Case {
  name: string;
  map: () => Call;
  change: (at: number) => Call<unknown>;
  /** What a load and a store of the other CPU come to: a value or a signal. */
  load: number | string;
  store: string;
}

function* file(flags: number): Call {
  const fd = yield* ramFile("/f", 1);
  return must(yield* sys.mmap(0, PAGE, RW, flags, fd, 0));
}

const own = (): Call => anon(PAGE);
const shared = (): Call => file(MAP_SHARED);

const CASES: Case[] = [
  { name: "munmap", map: own, change: (at) => sys.munmap(at, PAGE), load: "SIGSEGV", store: "SIGSEGV" },
  { name: "munmap of a file", map: shared, change: (at) => sys.munmap(at, PAGE), load: "SIGSEGV", store: "SIGSEGV" },
  { name: "mprotect to read", map: own, change: (at) => sys.mprotect(at, PAGE, PROT_READ), load: 7, store: "SIGSEGV" },
  { name: "mprotect to nothing", map: own, change: (at) => sys.mprotect(at, PAGE, PROT_NONE), load: "SIGSEGV", store: "SIGSEGV" },
  { name: "mprotect of a file to read", map: shared, change: (at) => sys.mprotect(at, PAGE, PROT_READ), load: 7, store: "SIGSEGV" },
  { name: "MADV_DONTNEED", map: own, change: (at) => sys.madvise(at, PAGE, MADV_DONTNEED), load: 0, store: "ok" },
  {
    name: "MADV_DONTNEED of a private copy",
    map: () => file(MAP_PRIVATE),
    change: (at) => sys.madvise(at, PAGE, MADV_DONTNEED),
    load: 1,
    store: "ok",
  },
  { name: "mremap away", map: own, change: (at) => sys.mremap(at, PAGE, PAGE, 3, TO), load: "SIGSEGV", store: "SIGSEGV" },
  {
    name: "mremap of another page to here",
    map: own,
    *change(at) {
      const other = yield* anon(PAGE);
      yield* mem.touch(other, 1, { write: true, value: 33 });
      return must(yield* sys.mremap(other, PAGE, PAGE, 3, at));
    },
    load: 33,
    store: "ok",
  },
  { name: "MAP_FIXED over it", map: own, change: (at) => sys.mmap(at, PAGE, RW, ANON | MAP_FIXED), load: 0, store: "ok" },
  { name: "truncate", map: shared, change: () => sys.ftruncate(0, 0), load: "SIGBUS", store: "SIGBUS" },
  {
    name: "punch",
    map: shared,
    change: () => sys.fallocate(0, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE),
    load: 0,
    store: "ok",
  },
];

const nameOf = (signal: number): string => (signal === SIGSEGV ? "SIGSEGV" : signal === SIGBUS ? "SIGBUS" : `signal ${signal}`);

function* look(at: number): Call<number | string> {
  const touch = yield* mem.tryTouch(at, 1);
  if (touch.signal !== 0) return nameOf(touch.signal);
  const data = yield* mem.load(at, 1);
  return typeof data === "number" ? data : (data[0] ?? -1);
}

for (const faultLock of FAULT_LOCK_REGIMES) {
  describe.each(CASES)(`$name, ${faultLock}`, (row) => {
    it.each(["waits", "computes"])("while the other CPU %s", (what) => {
      const t = new TestMachine({ cpus: 2, faultLock });
      t.runOne(function* () {
        yield* sys.pin(0);
        const at = yield* row.map();
        const seen: (number | string)[] = [];
        must(
          yield* sys.thread(function* () {
            yield* sys.pin(1);
            yield* mem.touch(at, 1, { write: true, value: 7 });
            expect(yield* look(at)).toBe(7);
            yield* barrier(0, 2);
            if (what === "computes") yield* compute(200_000);
            yield* barrier(1, 2);
            seen.push(yield* look(at));
            const store = yield* mem.tryTouch(at, 1, { write: true, value: 8 });
            seen.push(store.signal === 0 ? "ok" : nameOf(store.signal));
            yield* barrier(2, 2);
          }),
        );
        yield* barrier(0, 2);
        if (what === "computes") yield* compute(20_000);
        const { value, counts } = yield* t.measure(row.change(at));
        if (typeof value === "number") must(value);
        expect(counts.tlb_shootdowns).toBeGreaterThan(0);
        expect(counts.ipis ?? 0).toBe(what === "computes" ? counts.tlb_shootdowns : 0);
        yield* barrier(1, 2);
        yield* barrier(2, 2);
        t.check();
        expect(seen).toEqual([row.load, row.store]);
        return 0;
      });
      t.finish();
    });
  });
}

it("a copy on write by one thread is what the other one reads afterwards", () => {
  runGuest(
    function* (t) {
      const at = yield* anon(PAGE);
      yield* mem.touch(at, 1, { write: true, value: 1 });
      must(
        yield* sys.fork(function* () {
          yield* barrier(4, 2);
          expect(yield* look(at)).toBe(1);
        }),
      );
      must(
        yield* sys.thread(function* () {
          yield* sys.pin(1);
          expect(yield* look(at)).toBe(1);
          yield* barrier(0, 2);
          yield* barrier(1, 2);
          expect(yield* look(at)).toBe(2);
          yield* mem.touch(at, 1, { write: true, value: 3 });
          yield* barrier(2, 2);
        }),
      );
      yield* sys.pin(0);
      yield* barrier(0, 2);
      const { counts } = yield* t.measure(mem.touch(at, 1, { write: true, value: 2 }));
      expect(counts.page_copy_bytes).toBe(PAGE);
      yield* barrier(1, 2);
      yield* barrier(2, 2);
      expect(yield* look(at)).toBe(3);
      yield* barrier(4, 2);
      yield* waitAll();
      return 0;
    },
    { cpus: 2 },
  );
});

it("after fork no thread of the parent stores into what the child sees", () => {
  runGuest(
    function* () {
      const at = yield* anon(PAGE);
      yield* sys.pin(0);
      must(
        yield* sys.thread(function* () {
          yield* sys.pin(1);
          yield* mem.touch(at, 1, { write: true, value: 1 });
          yield* barrier(0, 2);
          yield* barrier(1, 2);
          yield* mem.touch(at, 1, { write: true, value: 2 });
          yield* barrier(2, 3);
        }),
      );
      yield* barrier(0, 2);
      const pid = must(
        yield* sys.fork(function* () {
          yield* barrier(2, 3);
          yield* sys.exitGroup(Number(yield* look(at)));
        }),
      );
      yield* barrier(1, 2);
      yield* barrier(2, 3);
      expect((yield* sys.wait(pid)).status >> 8).toBe(1);
      expect(yield* look(at)).toBe(2);
      return 0;
    },
    { cpus: 2 },
  );
});

describe("what a shootdown costs", () => {
  /** munmap of `pages` written pages while `others` threads compute on CPUs of their own: shootdowns and interrupts. */
  function shootdown(pages: number, others: number, sameMm: boolean): unknown {
    return runGuest(
      function* (t) {
        yield* sys.pin(0);
        const at = yield* anon(pages * PAGE, MAP_PRIVATE | MAP_ANONYMOUS);
        yield* mem.touch(at, pages * PAGE, { write: true });
        for (let i = 1; i <= others; i++) {
          const busy = function* (): Call<void> {
            yield* sys.pin(i);
            yield* mem.tryTouch(at, 1);
            yield* barrier(0, others + 1);
            yield* compute(500_000);
          };
          must(yield* sameMm ? sys.thread(busy) : sys.fork(busy));
        }
        yield* barrier(0, others + 1);
        yield* compute(20_000);
        const { counts } = yield* t.measure(sys.munmap(at, pages * PAGE));
        yield* waitAll();
        return [counts.tlb_shootdowns, counts.ipis ?? 0];
      },
      { cpus: others + 1 },
    );
  }

  it.each([
    ["one page, alone", 1, 0, true, [1, 0]],
    ["many pages, alone: still one", 60, 0, true, [1, 0]],
    ["one page, three other threads", 1, 3, true, [1, 3]],
    ["many pages, three other threads: one interrupt each", 60, 3, true, [1, 3]],
    ["three other processes are not interrupted", 1, 3, false, [1, 0]],
  ] as const)("%s", (_name, pages, others, sameMm, expected) => {
    expect(shootdown(pages, others, sameMm)).toEqual(expected);
  });
});
