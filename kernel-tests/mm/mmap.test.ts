/*
 * mmap(2) and munmap(2): values, errnos, the VMAs that result, holes, splits and merges.
 *
 * Checks: [mmap-1] [vma-1] [vma-2] [mm-2]; limits of the address space.
 */
import { describe, expect, it } from "vitest";
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  O_CREAT,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
  SIGSEGV,
  mem,
  sys,
} from "../../src/node.js";
import { ANON, E, MIB, PAGE, RW, type Row, anon, layout, must, ramFile, runGuest, table } from "../test-machine.js";

const AT = 0x10_0000_0000;
const TASK_SIZE = 2 ** 47;

/** mmap without side conditions: its result. */
function errno(name: string, args: Parameters<typeof sys.mmap>, expected: number): Row {
  return [name, () => sys.mmap(...args), -expected];
}

table("mmap refuses", [
  errno("length 0", [0, 0, RW, ANON], E.INVAL),
  errno("a length that wraps when rounded up", [0, 2n ** 64n - 1n, RW, ANON], E.NOMEM),
  errno("a length above the address space", [0, TASK_SIZE + PAGE, RW, ANON], E.NOMEM),
  errno("the whole address space", [0, TASK_SIZE, RW, ANON], E.NOMEM),
  errno("no type", [0, PAGE, RW, MAP_ANONYMOUS], E.INVAL),
  errno("both types", [0, PAGE, RW, MAP_ANONYMOUS | MAP_SHARED | MAP_PRIVATE], E.INVAL),
  errno("a type that does not exist", [0, PAGE, RW, MAP_ANONYMOUS | 0xc], E.INVAL),
  errno("MAP_FIXED, unaligned", [AT + 1, PAGE, RW, ANON | MAP_FIXED], E.INVAL),
  errno("MAP_FIXED below mmap_min_addr", [PAGE, PAGE, RW, ANON | MAP_FIXED], E.PERM),
  errno("MAP_FIXED at 0", [0, PAGE, RW, ANON | MAP_FIXED], E.PERM),
  errno("MAP_FIXED across the end of the address space", [TASK_SIZE - PAGE, 2 * PAGE, RW, ANON | MAP_FIXED], E.NOMEM),
  errno("MAP_FIXED at an address of the kernel's half", [0xffff_8000_0000_0000n, PAGE, RW, ANON | MAP_FIXED], E.NOMEM),
  errno("a file number that is not open", [0, PAGE, RW, MAP_SHARED, 7, 0], E.BADF),
  errno("a negative file number", [0, PAGE, RW, MAP_SHARED, -1, 0], E.BADF),
  errno("an unaligned offset", [0, PAGE, RW, ANON, -1, 1], E.INVAL),
]);

/** A file opened with `mode`, then mapped. */
function openedAs(mode: number, prot: number, flags: number, expected: "ok" | number): Row {
  const name = `open mode ${mode}, prot ${prot}, flags ${flags}: ${expected}`;
  return [
    name,
    function* () {
      must(yield* sys.open("/f", O_RDWR | O_CREAT));
      const fd = must(yield* sys.open("/f", mode));
      const result = yield* sys.mmap(0, PAGE, prot, flags, fd, 0);
      return result > 0 ? "ok" : -result;
    },
    expected,
  ];
}

table("prot against the open mode", [
  openedAs(O_RDONLY, PROT_READ, MAP_SHARED, "ok"),
  openedAs(O_RDONLY, PROT_READ, MAP_PRIVATE, "ok"),
  openedAs(O_RDONLY, RW, MAP_PRIVATE, "ok"),
  openedAs(O_RDONLY, RW, MAP_SHARED, E.ACCES),
  openedAs(O_RDONLY, PROT_WRITE, MAP_SHARED, E.ACCES),
  openedAs(O_WRONLY, PROT_READ, MAP_SHARED, E.ACCES),
  openedAs(O_WRONLY, PROT_READ, MAP_PRIVATE, E.ACCES),
  openedAs(O_WRONLY, PROT_WRITE, MAP_SHARED, E.ACCES),
  openedAs(O_WRONLY, PROT_NONE, MAP_PRIVATE, E.ACCES),
  openedAs(O_RDWR, RW, MAP_SHARED, "ok"),
  openedAs(O_RDWR, PROT_WRITE, MAP_SHARED, "ok"),
]);

table("mmap places", [
  [
    "one below the other, top down, merged",
    function* (t, ctx) {
      const high = yield* anon(2 * PAGE);
      const low = yield* anon(3 * PAGE);
      return [high - low, layout(t, ctx, low)];
    },
    [3 * PAGE, ["0-5 rw-p"]],
  ],
  [
    "at a free hint, rounded down",
    function* () {
      return yield* sys.mmap(AT + 5, PAGE, RW, ANON);
    },
    AT,
  ],
  [
    "elsewhere when the hint is taken",
    function* () {
      must(yield* sys.mmap(AT, PAGE, RW, ANON));
      return (yield* sys.mmap(AT, PAGE, RW, ANON)) > AT;
    },
    true,
  ],
  ["elsewhere for a hint at the very top", () => sys.mmap(0xffff_ffff_ffff_f000n, PAGE, RW, ANON), 0x7fff_f000_0000 - PAGE],
  ["elsewhere for a hint that would wrap", () => sys.mmap(2n ** 64n - 1n, 64 * PAGE, RW, ANON), 0x7fff_f000_0000 - 64 * PAGE],
  ["at mmap_min_addr for a hint below it", () => sys.mmap(PAGE, PAGE, RW, ANON), 0x10000],
  [
    "into a hole that fits exactly",
    function* () {
      const at = yield* anon(5 * PAGE);
      must(yield* sys.munmap(at + PAGE, 2 * PAGE));
      const hole = yield* anon(2 * PAGE);
      return (hole - at) / PAGE;
    },
    1,
  ],
  [
    "below a hole that is one page short",
    function* () {
      const at = yield* anon(5 * PAGE);
      must(yield* sys.munmap(at + PAGE, 2 * PAGE));
      const below = yield* anon(3 * PAGE);
      return (below - at) / PAGE;
    },
    -3,
  ],
  [
    "a length that is not whole pages: rounded up",
    function* (t, ctx) {
      const at = must(yield* sys.mmap(0, PAGE + 1, RW, ANON));
      return layout(t, ctx, at);
    },
    ["0-2 rw-p"],
  ],
  [
    "apart when rights, file or offset differ",
    function* (t, ctx) {
      const fd = yield* ramFile("/f", 4);
      const put = (page: number, prot: number, flags: number, file = -1, offset = 0) =>
        sys.mmap(AT + page * PAGE, PAGE, prot, flags | MAP_FIXED, file, offset * PAGE);
      must(yield* put(0, RW, ANON));
      must(yield* put(1, PROT_READ, ANON));
      must(yield* put(2, PROT_READ, MAP_PRIVATE, fd, 0));
      must(yield* put(3, PROT_READ, MAP_PRIVATE, fd, 1));
      must(yield* put(4, PROT_READ, MAP_PRIVATE, fd, 3));
      must(yield* put(5, PROT_READ, MAP_SHARED, fd, 0));
      return layout(t, ctx, AT).slice(0, 5);
    },
    ["0-1 rw-p", "1-2 r--p", "2-4 r--p", "4-5 r--p", "5-6 r--s"],
  ],
]);

table("MAP_FIXED and MAP_FIXED_NOREPLACE", [
  [
    "MAP_FIXED replaces the middle of a mapping, old pages and all",
    function* (t, ctx) {
      must(yield* sys.mmap(AT, 4 * PAGE, RW, ANON | MAP_FIXED));
      yield* mem.touch(AT, 4 * PAGE, { write: true, value: 9 });
      must(yield* sys.mmap(AT + PAGE, 2 * PAGE, PROT_READ, ANON | MAP_FIXED));
      const seen = [];
      for (let i = 0; i < 4; i++) seen.push((yield* mem.load(AT + i * PAGE, 1)).toString());
      return [layout(t, ctx, AT), seen, t.stat("anon_pages")];
    },
    [["0-1 rw-p", "1-3 r--p", "3-4 rw-p"], ["9", "0", "0", "9"], 2],
  ],
  [
    "MAP_FIXED_NOREPLACE on free space maps",
    function* () {
      return yield* sys.mmap(AT, PAGE, RW, ANON | MAP_FIXED_NOREPLACE);
    },
    AT,
  ],
  [
    "MAP_FIXED_NOREPLACE over one page of a mapping changes nothing",
    function* (t, ctx) {
      must(yield* sys.mmap(AT + PAGE, PAGE, RW, ANON | MAP_FIXED));
      return [yield* sys.mmap(AT, 2 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE), layout(t, ctx, AT)];
    },
    [-E.EXIST, ["1-2 rw-p"]],
  ],
]);

describe("MAP_POPULATE", () => {
  const populate = (prot: number, flags: number, file: boolean) =>
    runGuest(function* (t) {
      const fd = file ? yield* ramFile("/f", 4) : -1;
      const { value: at, counts } = yield* t.measure(sys.mmap(0, 4 * PAGE, prot, flags | MAP_POPULATE, fd, 0));
      const later = yield* t.measure(mem.touch(must(at), 4 * PAGE, { write: (prot & PROT_WRITE) !== 0 }));
      return [counts.faults ?? 0, counts.anon_pages ?? 0, later.counts.faults ?? 0];
    });
  it.each([
    ["anonymous: written in", RW, ANON, false, [4, 4, 0]],
    ["anonymous, read only: the zero page", PROT_READ, ANON, false, [4, 0, 0]],
    ["private file, writable: copied at once", RW, MAP_PRIVATE, true, [4, 4, 0]],
    ["private file, read only: mapped by one fault-around", PROT_READ, MAP_PRIVATE, true, [1, 0, 0]],
    ["shared ramfs file: read in, writable without page_mkwrite", RW, MAP_SHARED, true, [1, 0, 0]],
    ["PROT_NONE: nothing, and no error", PROT_NONE, ANON, false, [0, 0, 0]],
  ] as const)("%s", (_name, prot, flags, file, expected) => {
    if (prot === PROT_NONE) {
      const at = runGuest(() => sys.mmap(0, 4 * PAGE, prot, flags | MAP_POPULATE, -1, 0));
      expect(at).toBeGreaterThan(0);
    } else expect(populate(prot, flags, file)).toEqual(expected);
  });
});

table("munmap refuses", [
  ["an unaligned address", () => sys.munmap(AT + 1, PAGE), -E.INVAL],
  ["length 0", () => sys.munmap(AT, 0), -E.INVAL],
  ["a length that wraps", () => sys.munmap(AT, 2n ** 64n - 1n), -E.INVAL],
  ["a range across the end of the address space", () => sys.munmap(TASK_SIZE - PAGE, 2 * PAGE), -E.INVAL],
  ["an address of the kernel's half", () => sys.munmap(0xffff_8000_0000_0000n, PAGE), -E.INVAL],
]);

/** Unmaps pages [first, end) of a mapping of 6 written pages; what is left, and what a load of every page comes to. */
function unmapping(name: string, first: number, end: number, left: string[]): Row {
  return [
    name,
    function* (t, ctx) {
      must(yield* sys.mmap(AT, 6 * PAGE, RW, ANON | MAP_FIXED));
      yield* mem.touch(AT, 6 * PAGE, { write: true });
      const result = yield* sys.munmap(AT + first * PAGE, (end - first) * PAGE);
      t.check();
      const gone: number[] = [];
      for (let page = 0; page < 6; page++) {
        const touch = yield* mem.tryTouch(AT + page * PAGE, 1);
        if (touch.signal === SIGSEGV && touch.address === AT + page * PAGE) gone.push(page);
      }
      const want = Array.from({ length: 6 }, (_, page) => page).filter((page) => page >= first && page < end);
      expect(gone).toEqual(want);
      return [result, layout(t, ctx, AT)];
    },
    [0, left],
  ];
}

table("munmap cuts", [
  unmapping("the whole", 0, 6, []),
  unmapping("the head", 0, 2, ["2-6 rw-p"]),
  unmapping("the tail", 4, 6, ["0-4 rw-p"]),
  unmapping("the middle", 2, 4, ["0-2 rw-p", "4-6 rw-p"]),
  unmapping("beyond both ends", -3, 9, []),
]);

table("munmap and holes", [
  ["of nothing is 0", () => sys.munmap(AT, 16 * PAGE), 0],
  [
    "over several mappings with holes between them",
    function* (t, ctx) {
      for (const page of [0, 2, 4, 6]) must(yield* sys.mmap(AT + page * PAGE, PAGE, RW, ANON | MAP_FIXED));
      yield* mem.touch(AT, PAGE, { write: true });
      yield* mem.touch(AT + 4 * PAGE, PAGE, { write: true });
      return [yield* sys.munmap(AT + PAGE, 4 * PAGE), layout(t, ctx, AT), t.stat("anon_pages")];
    },
    [0, ["0-1 rw-p", "6-7 rw-p"], 1],
  ],
  [
    "frees page tables that no neighbour needs, and only those",
    function* (t) {
      const free = t.stat("free_frames");
      must(yield* sys.mmap(AT, 4 * MIB, RW, ANON | MAP_FIXED));
      yield* mem.touch(AT, 4 * MIB, { write: true, stride: 2 * MIB });
      const both = t.stat("page_tables");
      must(yield* sys.munmap(AT, 2 * MIB));
      const one = t.stat("page_tables");
      must(yield* sys.munmap(AT + 2 * MIB, 2 * MIB));
      return [both, one, t.stat("page_tables"), t.stat("free_frames") - free];
    },
    [5, 4, 1, 0],
  ],
]);

describe("limits of an address space", () => {
  it("terabytes mapped again and again end in ENOMEM, and can be given back", () => {
    runGuest(function* () {
      const huge = 2 ** 43;
      const mapped: number[] = [];
      for (let i = 0; i < 20; i++) {
        const at = yield* sys.mmap(0, huge, PROT_NONE, ANON);
        if (at === -E.NOMEM) break;
        mapped.push(must(at));
      }
      expect(mapped.length).toBeLessThan(20);
      for (const at of mapped) expect(yield* sys.munmap(at, huge)).toBe(0);
      return 0;
    });
  });

  it("a file offset that its page number cannot hold is EOVERFLOW", () => {
    runGuest(function* () {
      const fd = yield* ramFile("/f", 1);
      expect(yield* sys.mmap(0, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 2n ** 64n - 4096n)).toBe(-E.OVERFLOW);
      expect(yield* sys.mmap(0, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0xffff_ffff * PAGE)).toBe(-E.OVERFLOW);
      return 0;
    });
  });

  it("mmap of many single pages with holes between them ends in ENOMEM, and everything can be unmapped", () => {
    runGuest(function* () {
      let n = 0;
      while (n < 40_000) {
        const at = yield* sys.mmap(AT + 2 * n * PAGE, PAGE, PROT_READ, ANON | MAP_FIXED);
        if (at === -E.NOMEM) break;
        must(at);
        n++;
      }
      expect(n).toBeGreaterThan(100);
      expect(n).toBeLessThan(40_000);
      expect(yield* sys.munmap(AT, 2 * n * PAGE)).toBe(0);
      return 0;
    });
  });
});
