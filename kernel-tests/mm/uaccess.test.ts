/*
 * Guest memory as an argument of system calls: faults of the kernel, EFAULT, partial copies, strings.
 *
 * Checks: [ua-1] [rw-1] [rw-2] [mk-4].
 */
import { describe, expect, it } from "vitest";
import {
  FAULT_LOCK_REGIMES,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  O_CREAT,
  O_RDWR,
  PROT_NONE,
  PROT_READ,
  PROT_WRITE,
  SYS,
  mem,
  sys,
} from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { ANON, E, PAGE, RW, type Row, anon, must, ramFile, runGuest, table } from "../test-machine.js";

const AT = 0x10_0000_0000;
const AT_FDCWD = -100;
const CWD = BigInt.asUintN(64, BigInt(AT_FDCWD));

/** Pointers that point nowhere. */
const BAD_POINTERS: [string, number | bigint][] = [
  ["null", 0],
  ["an unmapped address", AT],
  ["the end of the address space", 2 ** 47 - 8],
  ["the kernel's half", 0xffff_8000_0000_0000n],
  ["a kernel frame", 0xffff_8000_0000_0000n + 0x20000n],
  ["the highest address", 2n ** 64n - 1n],
];

interface PointerCall {
  name: string;
  call: (fd: number, pointer: number | bigint) => Call;
}

const POINTER_CALLS: PointerCall[] = [
  { name: "read", call: (fd, pointer) => sys.raw(SYS.read, fd, pointer, 100) },
  { name: "pread64", call: (fd, pointer) => sys.raw(SYS.pread64, fd, pointer, 100, 0) },
  { name: "write", call: (fd, pointer) => sys.raw(SYS.write, fd, pointer, 100) },
  { name: "pwrite64", call: (fd, pointer) => sys.raw(SYS.pwrite64, fd, pointer, 100, 0) },
  { name: "fstat", call: (fd, pointer) => sys.raw(SYS.fstat, fd, pointer) },
  { name: "openat", call: (_fd, pointer) => sys.raw(SYS.openat, CWD, pointer, O_RDWR | O_CREAT, 0o644) },
  { name: "mkdirat", call: (_fd, pointer) => sys.raw(SYS.mkdirat, CWD, pointer, 0o755) },
  { name: "unlinkat", call: (_fd, pointer) => sys.raw(SYS.unlinkat, CWD, pointer, 0) },
  { name: "renameat2", call: (_fd, pointer) => sys.raw(SYS.renameat2, CWD, pointer, CWD, pointer, 0) },
  { name: "nanosleep", call: (_fd, pointer) => sys.raw(SYS.nanosleep, pointer, 0) },
  { name: "sched_setaffinity", call: (_fd, pointer) => sys.raw(SYS.sched_setaffinity, 0, 16, pointer) },
];

describe.each(POINTER_CALLS)("$name", ({ call }) => {
  it.each(BAD_POINTERS)("EFAULT for %s, and nothing changes", (_name, pointer) => {
    runGuest(function* (t) {
      const fd = yield* ramFile("/f", 1);
      const before = yield* sys.fstat(fd);
      expect(yield* call(fd, pointer)).toBe(-E.FAULT);
      t.check();
      expect(yield* sys.fstat(fd)).toEqual(before);
      expect(yield* sys.lseek(fd, 0, 1)).toBe(0);
      return 0;
    });
  });
});

it("getdents64 and mincore: EFAULT for a bad pointer", () => {
  runGuest(function* () {
    const fd = must(yield* sys.open("/", 0));
    const at = yield* anon(PAGE);
    for (const [, pointer] of BAD_POINTERS) {
      expect(yield* sys.raw(SYS.getdents64, fd, pointer, 4096)).toBe(-E.FAULT);
      expect(yield* sys.raw(SYS.mincore, at, PAGE, pointer)).toBe(-E.FAULT);
    }
    return 0;
  });
});

/** Memory of 3 pages at AT with these rights; the middle one may be missing. */
function* pages(rights: readonly (number | undefined)[]): Call<void> {
  for (const [page, prot] of rights.entries()) {
    if (prot !== undefined) must(yield* sys.mmap(AT + page * PAGE, PAGE, prot, ANON | MAP_FIXED));
  }
}

/** A transfer between a file of 3 pages (bytes 1, 2, 3) and memory: its result, then position and size of the file. */
function transfer(name: string, rights: (number | undefined)[], write: boolean, offset: number, bytes: number, expected: unknown): Row {
  return [
    name,
    function* (t) {
      const fd = yield* ramFile("/f", 3);
      yield* pages(rights);
      const result = yield* write ? sys.writeFrom(fd, AT + offset, bytes) : sys.readTo(fd, AT + offset, bytes);
      t.check();
      const stat = yield* sys.fstat(fd);
      return [result, yield* sys.lseek(fd, 0, 1), typeof stat === "number" ? stat : stat.size];
    },
    expected,
  ];
}

const S3 = 3 * PAGE;
const TRANSFERS = [
  transfer("read into fresh memory", [RW, RW, RW], false, 0, S3, [S3, S3, S3]),
  transfer("read at odd addresses", [RW, RW, RW], false, 100, 2 * PAGE, [2 * PAGE, 2 * PAGE, S3]),
  transfer("read more than there is", [RW, RW, RW], false, 0, 9 * PAGE, [S3, S3, S3]),
  transfer("read stops at a hole in memory", [RW, undefined, RW], false, 0, S3, [PAGE, PAGE, S3]),
  transfer("read stops in the middle of a page", [RW, undefined], false, 1000, S3, [PAGE - 1000, PAGE - 1000, S3]),
  transfer("read into memory that may only be read", [PROT_READ], false, 0, 10, [-E.FAULT, 0, S3]),
  transfer("read stops before memory that may only be read", [RW, PROT_READ], false, 0, S3, [PAGE, PAGE, S3]),
  transfer("read into memory that may only be written", [PROT_WRITE], false, 0, 10, [10, 10, S3]),
  transfer("write from fresh memory", [RW, RW, RW], true, 0, S3, [S3, S3, S3]),
  transfer("write from memory that may only be read", [PROT_READ], true, 0, 10, [10, 10, S3]),
  transfer("write from PROT_NONE", [PROT_NONE], true, 0, 10, [-E.FAULT, 0, S3]),
  transfer("write stops at a hole in memory", [RW, undefined, RW], true, 0, S3, [PAGE, PAGE, S3]),
  transfer("write stops in the middle of a page", [RW, undefined], true, 1000, S3, [PAGE - 1000, PAGE - 1000, S3]),
  transfer("write stops where its memory is no more readable", [RW, PROT_NONE], true, 4000, S3, [96, 96, S3]),
  transfer("nothing", [undefined], true, 0, 0, [0, 0, S3]),
];

describe.each(FAULT_LOCK_REGIMES)("under %s", (faultLock) => {
  table("transfers", TRANSFERS, { faultLock });
});

describe("faults of the kernel", () => {
  it("are counted as such, and take a page once", () => {
    runGuest(function* (t) {
      const fd = yield* ramFile("/f", 4);
      const at = yield* anon(4 * PAGE);
      const read = yield* t.measure(sys.readTo(fd, at, 4 * PAGE));
      expect(read.counts).toMatchObject({ faults: 4, anon_pages: 4, "exceptions:page_fault_kernel": 4 });
      expect(read.counts["exceptions:page_fault_user"]).toBeUndefined();
      const again = yield* t.measure(sys.preadTo(fd, at, 4 * PAGE, 0));
      expect(again.counts.faults).toBeUndefined();
      const data = yield* mem.load(at, 4 * PAGE);
      expect(typeof data === "number" ? data : [0, 1, 2, 3].map((page) => data[page * PAGE + 77])).toEqual([1, 2, 3, 4]);
      return 0;
    });
  });

  it("break copy on write: the child's read does not reach the parent", () => {
    runGuest(function* () {
      const fd = yield* ramFile("/f", 1);
      const at = yield* anon(PAGE);
      yield* mem.touch(at, 1, { write: true, value: 9 });
      const pid = must(
        yield* sys.fork(function* () {
          expect(yield* sys.preadTo(fd, at, 10, 0)).toBe(10);
          expect(yield* mem.load(at, 1)).toEqual(new Uint8Array([1]));
        }),
      );
      expect((yield* sys.wait(pid)).status).toBe(0);
      expect(yield* mem.load(at, 1)).toEqual(new Uint8Array([9]));
      return 0;
    });
  });

  it.each([
    ["write of a file from its own shared mapping, onto itself", MAP_SHARED, 0],
    ["write of a file from its own private mapping, one page on", MAP_PRIVATE, PAGE],
    ["write of a file from its own shared mapping, overlapping", MAP_SHARED, 100],
  ])("%s", (_name, flags, to) => {
    runGuest(function* () {
      const fd = yield* ramFile("/f", 3);
      const at = must(yield* sys.mmap(0, 2 * PAGE, RW, flags, fd, 0));
      expect(yield* sys.pwriteFrom(fd, at, PAGE, to)).toBe(PAGE);
      expect(yield* sys.pread(fd, 1, to)).toEqual(new Uint8Array([1]));
      return 0;
    });
  });

  it("read of a file into its own shared mapping beyond the end of the file is EFAULT, not SIGBUS", () => {
    runGuest(function* () {
      const fd = yield* ramFile("/f", 1);
      const at = must(yield* sys.mmap(0, 2 * PAGE, RW, MAP_SHARED, fd, 0));
      expect(yield* sys.preadTo(fd, at + PAGE, 10, 0)).toBe(-E.FAULT);
      expect(yield* sys.preadTo(fd, at + PAGE - 4, 10, 0)).toBe(4);
      return 0;
    });
  });
});

/** A path in guest memory, ending (with its NUL or without) at the end of the page at AT. */
function path(name: string, text: string, nul: boolean, next: number | undefined, expected: number): Row {
  return [
    name,
    function* () {
      const bytes = new TextEncoder().encode(nul ? `${text}\0` : text);
      yield* pages([RW, next]);
      yield* mem.store(AT + PAGE - bytes.length, bytes);
      const result = yield* sys.raw(SYS.openat, CWD, AT + PAGE - bytes.length, O_RDWR | O_CREAT, 0o644);
      return result >= 0 ? 0 : result;
    },
    expected,
  ];
}

table("strings", [
  path("that end with the page, nothing behind", "/name", true, undefined, 0),
  path("that run over the end of the page into zeros", "/name", false, RW, 0),
  path("that run over the end of memory", "/name", false, undefined, -E.FAULT),
  path("of 4095 bytes", `/${"a/".repeat(2046)}.`.slice(0, 4095), true, RW, -E.NOENT),
  path("without an end", `/${"a/".repeat(2047)}`.slice(0, 4095), false, PROT_READ, -E.NOENT),
  path("of 256 bytes a component", `/${"b".repeat(256)}`, true, RW, -E.NAMETOOLONG),
  path("of 255 bytes a component", `/${"b".repeat(255)}`, true, RW, 0),
  path("that are empty", "", true, RW, -E.NOENT),
  [
    "of 4096 bytes and more",
    function* () {
      yield* pages([RW, RW, RW]);
      yield* mem.store(AT, new Uint8Array(2 * PAGE).fill(0x2f));
      return yield* sys.raw(SYS.openat, CWD, AT, O_RDWR, 0);
    },
    -E.NAMETOOLONG,
  ],
]);
