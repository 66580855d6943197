/*
 * fork(2) and memory: copy on write in both directions, what is shared and what is not, what a copy costs.
 *
 * Checks: [fk-1] [fk-2] [page-3] [mm-1].
 */
import { describe, expect, it } from "vitest";
import { MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PROT_READ, SIGSEGV, barrier, mem, sys, waitAll } from "../../src/node.js";
import { ANON, type Body, PAGE, RW, TestMachine, anon, must, ramFile, runGuest } from "../test-machine.js";

/** The first byte at an address. */
function* byteAt(at: number) {
  const data = yield* mem.load(at, 1);
  return typeof data === "number" ? data : (data[0] ?? -1);
}

/** Runs a child that leaves `value` behind as its exit code. */
function* childSees(value: () => ReturnType<typeof byteAt>) {
  const pid = must(
    yield* sys.fork(function* () {
      yield* sys.exitGroup(yield* value());
    }),
  );
  return (yield* sys.wait(pid)).status >> 8;
}

interface Kind {
  name: string;
  map: () => ReturnType<typeof anon>;
  /** Whether a store of one side is seen by the other. */
  shared: boolean;
}

const KINDS: Kind[] = [
  { name: "private anonymous", map: () => anon(PAGE), shared: false },
  { name: "shared anonymous", map: () => anon(PAGE, MAP_SHARED | MAP_ANONYMOUS), shared: true },
  {
    name: "private file",
    *map() {
      const fd = yield* ramFile("/f", 1);
      return must(yield* sys.mmap(0, PAGE, RW, MAP_PRIVATE, fd, 0));
    },
    shared: false,
  },
  {
    name: "shared file",
    *map() {
      const fd = yield* ramFile("/f", 1);
      return must(yield* sys.mmap(0, PAGE, RW, MAP_SHARED, fd, 0));
    },
    shared: true,
  },
];

describe.each(KINDS)("$name memory", ({ map, shared }) => {
  it.each(["parent", "child"])("a store of the %s", (who) => {
    const seen = runGuest(function* (t) {
      const at = yield* map();
      yield* mem.touch(at, 1, { write: true, value: 10 });
      const pid = must(
        yield* sys.fork(function* () {
          if (who === "child") yield* mem.touch(at, 1, { write: true, value: 20 });
          yield* barrier(0, 2);
          yield* barrier(1, 2);
          yield* sys.exitGroup(yield* byteAt(at));
        }),
      );
      yield* barrier(0, 2);
      if (who === "parent") yield* mem.touch(at, 1, { write: true, value: 20 });
      yield* barrier(1, 2);
      const mine = yield* byteAt(at);
      const { status } = yield* sys.wait(pid);
      t.check();
      return { mine, theirs: status >> 8 };
    });
    const other = shared ? 20 : 10;
    expect(seen).toEqual(who === "parent" ? { mine: 20, theirs: other } : { mine: other, theirs: 20 });
  });

  it("what was never touched before is the same afterwards", () => {
    const seen = runGuest(function* () {
      const at = yield* map();
      const child = yield* childSees(function* () {
        yield* mem.touch(at, 1, { write: true, value: 33 });
        return yield* byteAt(at);
      });
      return [child, yield* byteAt(at)];
    });
    const untouched = { "private anonymous": 0, "shared anonymous": 33, "private file": 1, "shared file": 33 };
    const name = KINDS.find((kind) => kind.map === map)?.name as keyof typeof untouched;
    expect(seen).toEqual([33, untouched[name]]);
  });
});

describe("what copy on write costs", () => {
  it("fork copies no page; the first store of either side copies once; the last owner copies nothing", () => {
    runGuest(function* (t) {
      const at = yield* anon(4 * PAGE);
      yield* mem.touch(at, 4 * PAGE, { write: true });
      const forked = yield* t.measure(
        sys.fork(function* () {
          yield* barrier(0, 2);
          const counts = (yield* t.measure(mem.touch(at, PAGE, { write: true }))).counts;
          expect(counts).toMatchObject({ faults: 1, page_copy_bytes: PAGE, "faultline:wp_page_copy": 1 });
          // The parent has left this one: the child is alone with it.
          const alone = (yield* t.measure(mem.touch(at + PAGE, PAGE, { write: true }))).counts;
          expect(alone).toMatchObject({ faults: 1, "faultline:cow_last_reference": 1 });
          expect(alone.page_copy_bytes).toBeUndefined();
        }),
      );
      expect(forked.counts.page_copy_bytes).toBeUndefined();
      expect(forked.counts.tlb_shootdowns).toBeGreaterThan(0);
      const parent = yield* t.measure(mem.touch(at + PAGE, PAGE, { write: true }));
      expect(parent.counts).toMatchObject({ faults: 1, page_copy_bytes: PAGE });
      yield* barrier(0, 2);
      yield* waitAll();
      // The child is gone: no copy any more, for any page.
      const after = yield* t.measure(mem.touch(at, 4 * PAGE, { write: true }));
      expect(after.counts).toMatchObject({ faults: 3, "faultline:cow_last_reference": 3 });
      expect(after.counts.page_copy_bytes).toBeUndefined();
      return 0;
    });
  });

  it("the zero page and pages that were only read are shared without a count", () => {
    runGuest(function* (t) {
      const at = yield* anon(4 * PAGE);
      yield* mem.touch(at, 4 * PAGE);
      const before = t.stat("free_frames");
      const pid = must(
        yield* sys.fork(function* () {
          const { counts } = yield* t.measure(mem.touch(at, 4 * PAGE));
          expect(counts.faults).toBeUndefined();
        }),
      );
      yield* sys.wait(pid);
      expect(t.stat("free_frames")).toBe(before);
      return 0;
    });
  });

  it("shared file pages are not copied into the child's table: it faults them in", () => {
    runGuest(function* (t) {
      const fd = yield* ramFile("/f", 2);
      const at = must(yield* sys.mmap(0, 2 * PAGE, RW, MAP_SHARED, fd, 0));
      yield* mem.touch(at, 2 * PAGE, { write: true });
      const pid = must(
        yield* sys.fork(function* () {
          const { counts } = yield* t.measure(mem.touch(at, 2 * PAGE, { write: true }));
          expect(counts.faults).toBe(2);
        }),
      );
      yield* sys.wait(pid);
      return 0;
    });
  });
});

describe("nests and rights", () => {
  it("grandchildren: four generations each see their own store and their ancestors'", () => {
    const seen = runGuest(function* (t) {
      const at = yield* anon(4 * PAGE);
      const generation = (depth: number): Body<void> =>
        function* (_t, ctx) {
          yield* mem.touch(at + depth * PAGE, 1, { write: true, value: depth + 1 });
          if (depth < 3) {
            const pid = must(yield* sys.fork((child) => generation(depth + 1)(t, child)));
            expect((yield* sys.wait(pid)).status).toBe(0);
          }
          const bytes: number[] = [];
          for (let i = 0; i < 4; i++) bytes.push(yield* byteAt(at + i * PAGE));
          expect(bytes).toEqual([1, 2, 3, 4].map((value) => (value <= depth + 1 ? value : 0)));
          expect(ctx.pid).toBeGreaterThan(0);
        };
      yield* generation(0)(t, { tid: 1, pid: 1, cpus: 1, random: () => 0 });
      return t.stat("anon_pages");
    });
    expect(seen).toBe(1);
  });

  it("a read-only mapping stays read-only in the child, and mprotect in one does not reach the other", () => {
    runGuest(function* () {
      const at = yield* anon(PAGE);
      yield* mem.touch(at, PAGE, { write: true });
      must(yield* sys.mprotect(at, PAGE, PROT_READ));
      const pid = must(
        yield* sys.fork(function* () {
          expect((yield* mem.tryTouch(at, 1, { write: true })).signal).toBe(SIGSEGV);
          must(yield* sys.mprotect(at, PAGE, RW));
          yield* mem.touch(at, 1, { write: true, value: 9 });
          expect(yield* byteAt(at)).toBe(9);
        }),
      );
      yield* sys.wait(pid);
      expect((yield* mem.tryTouch(at, 1, { write: true })).signal).toBe(SIGSEGV);
      expect(yield* byteAt(at)).toBe(1);
      return 0;
    });
  });

  it("munmap, mremap and madvise of the child leave the parent's memory alone", () => {
    runGuest(function* (t) {
      const at = yield* anon(4 * PAGE);
      yield* mem.touch(at, 4 * PAGE, { write: true, value: 5 });
      const pid = must(
        yield* sys.fork(function* () {
          must(yield* sys.munmap(at, PAGE));
          must(yield* sys.madvise(at + PAGE, PAGE, 4));
          must(yield* sys.mremap(at + 2 * PAGE, PAGE, PAGE, 3, 0x10_0000_0000));
          expect(yield* byteAt(0x10_0000_0000)).toBe(5);
          t.check();
        }),
      );
      yield* sys.wait(pid);
      for (let i = 0; i < 4; i++) expect(yield* byteAt(at + i * PAGE)).toBe(5);
      return 0;
    });
  });

  it("mlock, mprotect and a hundred children at once: everything is given back", () => {
    const t = new TestMachine({ cpus: 2 });
    t.runOne(function* () {
      const at = must(yield* sys.mmap(0, 8 * PAGE, RW, ANON));
      yield* mem.touch(at, 8 * PAGE, { write: true });
      for (let round = 0; round < 5; round++) {
        for (let i = 0; i < 20; i++) {
          must(
            yield* sys.fork(function* () {
              yield* mem.touch(at, 4 * PAGE, { write: true, value: i });
              expect(yield* byteAt(at)).toBe(i);
              must(yield* sys.munmap(at, 8 * PAGE));
            }),
          );
        }
        const statuses = yield* waitAll();
        expect([...statuses.values()]).toEqual(Array.from({ length: 20 }, () => 0));
      }
      return 0;
    });
    t.finish();
  });
});
