/*
 * Bytes of files: read, write, holes, truncate, fallocate, fsync, unlinked files, copies and clones.
 * Checks [rw-2] [ramfs-2] [tr-1] [rm-1], and S5's eviction with the last reference.
 */
import {
  FALLOC_FL_COLLAPSE_RANGE,
  FALLOC_FL_INSERT_RANGE,
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FALLOC_FL_ZERO_RANGE,
  FICLONE,
  O_APPEND,
  O_CREAT,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  sys,
} from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { E, PAGE, must } from "../test-machine.js";
import { type Case, type FilesystemSpec, MNT, data, make, names, pattern, readAll, remount, rows, save, stat, text } from "./mounted.js";

const FILE = `${MNT}/f`;

function* open(content?: Uint8Array | string, flags = O_RDWR): Call {
  if (content !== undefined) yield* save(FILE, content);
  return must(yield* sys.open(FILE, flags | O_CREAT), "open");
}

/** The file after some calls on it, as [offset of the first byte that differs from `expected`, size]; [-1, size] when equal. */
function* compare(expected: Uint8Array): Call<unknown> {
  const found = yield* readAll(FILE);
  const length = Math.max(found.length, expected.length);
  for (let i = 0; i < length; i++) if (found[i] !== expected[i]) return [`byte ${i} is ${found[i]}, not ${expected[i]}`, found.length];
  return [-1, found.length];
}

/** Two buffers of a length: what is in the first, changed by `change`, must be what the file holds after `call`. */
function edit(name: string, size: number, call: (fd: number) => Call, change: (bytes: Uint8Array) => Uint8Array): Case {
  const before = pattern(size);
  const after = change(before.slice());
  return [
    name,
    function* () {
      const fd = yield* open(before);
      const result = yield* call(fd);
      return result < 0 ? result : yield* compare(after);
    },
    [-1, after.length],
  ];
}

const put = (bytes: Uint8Array, at: number, content: Uint8Array): Uint8Array => {
  const all = new Uint8Array(Math.max(bytes.length, at + content.length));
  all.set(bytes);
  all.set(content, at);
  return all;
};
const resized = (bytes: Uint8Array, size: number): Uint8Array => put(new Uint8Array(size), 0, bytes.subarray(0, size)).subarray(0, size);

const writes: Case[] = [
  edit(
    "at the start",
    10,
    (fd) => sys.pwrite(fd, pattern(4, 2), 0),
    (b) => put(b, 0, pattern(4, 2)),
  ),
  edit(
    "across pages",
    3 * PAGE,
    (fd) => sys.pwrite(fd, pattern(PAGE + 100, 2), PAGE - 50),
    (b) => put(b, PAGE - 50, pattern(PAGE + 100, 2)),
  ),
  edit(
    "over the end",
    100,
    (fd) => sys.pwrite(fd, pattern(300, 2), 50),
    (b) => put(b, 50, pattern(300, 2)),
  ),
  edit(
    "behind the end leaves a hole",
    100,
    (fd) => sys.pwrite(fd, pattern(10, 2), 5 * PAGE + 7),
    (b) => put(b, 5 * PAGE + 7, pattern(10, 2)),
  ),
  edit(
    "of nothing",
    100,
    (fd) => sys.pwrite(fd, new Uint8Array(0), 5 * PAGE),
    (b) => b,
  ),
  edit(
    "of 100 pages, one byte off",
    10,
    (fd) => sys.pwrite(fd, pattern(100 * PAGE, 2), 1),
    (b) => put(b, 1, pattern(100 * PAGE, 2)),
  ),
  ["with O_APPEND", () => append(), ["one, two, three", 15]],
  ["the position follows", () => positions(), [3, 6, "abcdef"]],
  ["to a file open for reading", () => wrongMode(O_RDONLY), [-E.BADF, 0]],
  ["of a file open for writing", () => wrongMode(O_WRONLY), [1, -E.BADF]],
  ["behind the end reads nothing", () => readBehind(), 0],
];

function* append(): Call<unknown> {
  const fd = yield* open("one", O_RDWR | O_APPEND);
  must(yield* sys.write(fd, new TextEncoder().encode(", two")));
  must(yield* sys.lseek(fd, 0, 0));
  must(yield* sys.write(fd, new TextEncoder().encode(", three")));
  return [text(yield* readAll(FILE)), yield* sys.lseek(fd, 0, 1)];
}

function* positions(): Call<unknown> {
  const fd = yield* open("");
  const first = yield* sys.write(fd, new TextEncoder().encode("abc"));
  must(yield* sys.write(fd, new TextEncoder().encode("def")));
  return [first, yield* sys.lseek(fd, 0, 1), text(yield* readAll(FILE))];
}

function* wrongMode(flags: number): Call<unknown> {
  yield* save(FILE, "");
  const fd = must(yield* sys.open(FILE, flags));
  const wrote = yield* sys.write(fd, new Uint8Array(1));
  const got = yield* sys.pread(fd, 1, 0);
  return [wrote, typeof got === "number" ? got : got.length];
}

function* readBehind(): Call {
  const fd = yield* open("abc");
  const got = yield* sys.pread(fd, 10, PAGE * 3);
  return typeof got === "number" ? got : got.length;
}

const size = (bytes: number) => (b: Uint8Array) => resized(b, bytes);
const truncations: Case[] = [
  edit("to nothing", 3 * PAGE, (fd) => sys.ftruncate(fd, 0), size(0)),
  edit("inside a page", 3 * PAGE, (fd) => sys.ftruncate(fd, PAGE + 10), size(PAGE + 10)),
  edit("at a page's end", 3 * PAGE, (fd) => sys.ftruncate(fd, PAGE), size(PAGE)),
  edit("up: zeros", 100, (fd) => sys.ftruncate(fd, 3 * PAGE + 5), size(3 * PAGE + 5)),
  edit(
    "down and up: what was cut off is zero",
    2 * PAGE,
    (fd) => downAndUp(fd, 100, 2 * PAGE),
    (b) => resized(resized(b, 100), 2 * PAGE),
  ),
  edit(
    "down and a write behind: zeros between",
    2 * PAGE,
    (fd) => downAndWrite(fd),
    (b) => put(resized(b, 700), PAGE, pattern(3, 2)),
  ),
  ["by path", () => byPath(), [0, 5]],
  ["of a directory", () => sys.truncate(MNT, 0), -E.ISDIR],
  ["of a missing file", () => sys.truncate(FILE, 0), -E.NOENT],
  ["to a negative size", () => sys.truncate(FILE, -1), -E.INVAL],
  ["with a file open for reading", () => truncateReadOnly(), -E.INVAL],
];

function* downAndUp(fd: number, down: number, up: number): Call {
  must(yield* sys.ftruncate(fd, down));
  return yield* sys.ftruncate(fd, up);
}

function* downAndWrite(fd: number): Call {
  must(yield* sys.ftruncate(fd, 700));
  return yield* sys.pwrite(fd, pattern(3, 2), PAGE);
}

function* byPath(): Call<unknown> {
  yield* save(FILE, "abcdefgh");
  return [yield* sys.truncate(FILE, 5), stat(yield* sys.stat(FILE)).size];
}

function* truncateReadOnly(): Call {
  yield* save(FILE, "abc");
  return yield* sys.ftruncate(must(yield* sys.open(FILE, O_RDONLY)), 0);
}

const zeroed = (from: number, to: number) => (b: Uint8Array) => b.fill(0, from, Math.min(to, b.length));
const falloc = (mode: number, at: number, length: number) => (fd: number) => sys.fallocate(fd, mode, at, length);
const PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
const ZERO = FALLOC_FL_ZERO_RANGE;
const without = (b: Uint8Array, from: number, to: number): Uint8Array => Uint8Array.from([...b.subarray(0, from), ...b.subarray(to)]);
const inserted = (b: Uint8Array, at: number, n: number): Uint8Array =>
  Uint8Array.from([...b.subarray(0, at), ...new Uint8Array(n), ...b.subarray(at)]);

/** The mode's rows, or one that says that it is refused. */
function mode(name: string, has: boolean, flags: number, cases: Case[]): Case[] {
  if (has) return cases;
  return [
    [
      `${name} is not supported`,
      function* () {
        return yield* falloc(flags, 0, 4 * PAGE)(yield* open(pattern(3 * PAGE)));
      },
      -E.OPNOTSUPP,
    ],
  ];
}

function fallocations({ features }: FilesystemSpec): Case[] {
  return [
    ...mode("allocate", features.allocate, 0, [
      edit("allocate inside changes nothing", 3 * PAGE, falloc(0, PAGE, PAGE), (b) => b),
      edit("allocate behind the end: zeros, and the size grows", 100, falloc(0, 0, 2 * PAGE + 3), size(2 * PAGE + 3)),
      edit("allocate inside with KEEP_SIZE", 3 * PAGE, falloc(FALLOC_FL_KEEP_SIZE, PAGE, PAGE), (b) => b),
    ]),
    ...mode("allocate with KEEP_SIZE", features.keepSize, FALLOC_FL_KEEP_SIZE, [
      edit("allocate with KEEP_SIZE", 100, falloc(FALLOC_FL_KEEP_SIZE, 0, 4 * PAGE), (b) => b),
    ]),
    ...(features.allocate && features.blocks ? [["what was allocated counts as blocks", () => allocatedBlocks(), true] as const] : []),
    ...mode("punch", features.punchHole, PUNCH, [
      edit("punch a page", 3 * PAGE, falloc(PUNCH, PAGE, PAGE), zeroed(PAGE, 2 * PAGE)),
      edit("punch inside a page", 3 * PAGE, falloc(PUNCH, PAGE + 100, 50), zeroed(PAGE + 100, PAGE + 150)),
      edit("punch across pages", 5 * PAGE, falloc(PUNCH, 100, 3 * PAGE), zeroed(100, 3 * PAGE + 100)),
      edit("punch a block of 512", 2 * PAGE, falloc(PUNCH, 1024, 512), zeroed(1024, 1536)),
      edit("punch over the end keeps the size", 2 * PAGE + 10, falloc(PUNCH, PAGE, 10 * PAGE), zeroed(PAGE, 2 * PAGE + 10)),
      edit("punch behind the end", 100, falloc(PUNCH, 5 * PAGE, PAGE), (b) => b),
    ]),
    ...mode("zero", features.zeroRange, ZERO, [
      edit("zero inside", 3 * PAGE, falloc(ZERO, 100, PAGE), zeroed(100, PAGE + 100)),
      edit("zero over the end: the size grows", 2 * PAGE, falloc(ZERO, PAGE, 3 * PAGE), (b) => resized(resized(b, PAGE), 4 * PAGE)),
      edit("zero with KEEP_SIZE", 2 * PAGE, falloc(ZERO | FALLOC_FL_KEEP_SIZE, PAGE, 3 * PAGE), zeroed(PAGE, 2 * PAGE)),
    ]),
    ...mode("collapse", features.collapseRange, FALLOC_FL_COLLAPSE_RANGE, [
      edit("collapse", 4 * PAGE + 9, falloc(FALLOC_FL_COLLAPSE_RANGE, PAGE, 2 * PAGE), (b) => without(b, PAGE, 3 * PAGE)),
    ]),
    ...mode("insert", features.insertRange, FALLOC_FL_INSERT_RANGE, [
      edit("insert", 3 * PAGE + 9, falloc(FALLOC_FL_INSERT_RANGE, PAGE, 2 * PAGE), (b) => inserted(b, PAGE, 2 * PAGE)),
    ]),
    ["an unknown mode", () => fallocMode(0x100, 0, PAGE), -E.OPNOTSUPP],
    ["PUNCH_HOLE without KEEP_SIZE", () => fallocMode(FALLOC_FL_PUNCH_HOLE, 0, PAGE), -E.OPNOTSUPP],
    ["COLLAPSE_RANGE with KEEP_SIZE", () => fallocMode(FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_KEEP_SIZE, 0, PAGE), -E.INVAL],
    ["a length of 0", () => fallocMode(0, 0, 0), -E.INVAL],
    ["a negative offset", () => fallocMode(0, -1, PAGE), -E.INVAL],
    ["beyond the largest file", () => fallocMode(0, 2 ** 62, PAGE), -E.FBIG],
  ];
}

function* fallocMode(flags: number, at: number, length: number): Call {
  return yield* falloc(flags, at, length)(yield* open("abc"));
}

function* allocatedBlocks(): Call<boolean> {
  const fd = yield* open("");
  must(yield* sys.fallocate(fd, 0, 0, 8 * PAGE));
  return stat(yield* sys.fstat(fd)).blocks * 512 >= 8 * PAGE;
}

const syncs: Case[] = [
  ["fsync", () => syncBy(sys.fsync), 0],
  ["fdatasync", () => syncBy(sys.fdatasync), 0],
  ["syncfs", () => syncBy(sys.syncfs), 0],
  ["sync", () => syncBy(() => sys.sync()), 0],
  ["fsync of a directory", () => syncDirectory(), 0],
  ["fsync of what is not open", () => sys.fsync(99), -E.BADF],
];

/** Nothing is dirty when the call is back. */
function* syncBy(call: (fd: number) => Call): Call {
  const fd = yield* open(pattern(20 * PAGE));
  const result = yield* call(fd);
  return result;
}

function* syncDirectory(): Call {
  must(yield* make(FILE));
  return yield* sys.fsync(must(yield* sys.open(MNT, O_RDONLY)));
}

const unlinked: Case[] = [
  ["a file that was unlinked is used until it is closed", () => useUnlinked(), [0, 5, "hello", []]],
  ["its space is for others when it is closed", () => reuseUnlinked(), true],
];

function* useUnlinked(): Call<unknown> {
  const fd = yield* open("");
  must(yield* sys.unlink(FILE));
  const links = stat(yield* sys.fstat(fd)).nlink;
  const wrote = yield* sys.write(fd, new TextEncoder().encode("hello"));
  const content = text(data(yield* sys.pread(fd, 10, 0)));
  must(yield* sys.close(fd));
  return [links, wrote, content, yield* names(MNT)];
}

/** As many files as would not fit beside each other. */
function* reuseUnlinked(): Call<boolean> {
  for (let round = 0; round < 4; round++) {
    const fd = yield* open(pattern(128 * PAGE, round));
    must(yield* sys.unlink(FILE));
    must(yield* sys.fsync(fd));
    must(yield* sys.close(fd));
  }
  return true;
}

const OTHER = `${MNT}/g`;

/** f with a pattern and an empty g, then a call on their numbers; returns its result and what g holds of the pattern. */
function copying(name: string, call: (f: number, g: number) => Call, expected: (all: Uint8Array) => [number, Uint8Array]): Case {
  const all = pattern(5 * PAGE + 100);
  const [result, content] = expected(all);
  return [
    name,
    function* () {
      const f = yield* open(all);
      const g = must(yield* sys.open(OTHER, O_RDWR | O_CREAT));
      const got = yield* call(f, g);
      return [got, [...(yield* readAll(OTHER))].join() === [...content].join()];
    },
    [result, true],
  ];
}

const copies: Case[] = [
  copying(
    "copy_file_range of all",
    (f, g) => sys.copyFileRange(f, 0, g, 0, 100 * PAGE),
    (all) => [all.length, all],
  ),
  copying(
    "copy_file_range, unaligned",
    (f, g) => sys.copyFileRange(f, 10, g, 33, PAGE),
    (all) => [PAGE, put(new Uint8Array(0), 33, all.subarray(10, 10 + PAGE))],
  ),
  copying(
    "copy_file_range behind the end",
    (f, g) => sys.copyFileRange(f, 100 * PAGE, g, 0, PAGE),
    () => [0, new Uint8Array(0)],
  ),
  copying(
    "copy_file_range onto itself, apart",
    (f) => sys.copyFileRange(f, 0, f, 6 * PAGE, 2 * PAGE),
    () => [2 * PAGE, new Uint8Array(0)],
  ),
  copying(
    "copy_file_range onto itself, overlapping",
    (f) => sys.copyFileRange(f, 0, f, PAGE, 2 * PAGE),
    () => [-E.INVAL, new Uint8Array(0)],
  ),
  ["copy_file_range to a file open for reading", () => copyReadOnly(), -E.BADF],
  ["copy_file_range to another filesystem", () => copyElsewhere((a, b) => sys.copyFileRange(a, 0, b, 0, 3)), -E.XDEV],
];

function* copyReadOnly(): Call {
  const f = yield* open("abc");
  return yield* sys.copyFileRange(f, 0, must(yield* sys.open(FILE, O_RDONLY)), PAGE, 3);
}

function* copyElsewhere(call: (a: number, b: number) => Call): Call {
  const f = yield* open("abc");
  return yield* call(f, must(yield* sys.open("/tmp/g", O_RDWR | O_CREAT)));
}

function clones(spec: FilesystemSpec): Case[] {
  if (!spec.features.reflink) {
    return [
      copying(
        "is not supported",
        (f, g) => sys.cloneRange(f, 0, 0, g, 0),
        () => [-E.OPNOTSUPP, new Uint8Array(0)],
      ),
    ];
  }
  return [
    copying(
      "of all",
      (f, g) => sys.ioctl(g, FICLONE, f),
      (all) => [0, all],
    ),
    copying(
      "of a range",
      (f, g) => sys.cloneRange(f, PAGE, 2 * PAGE, g, PAGE),
      (all) => [0, put(new Uint8Array(0), PAGE, all.subarray(PAGE, 3 * PAGE))],
    ),
    copying(
      "unaligned",
      (f, g) => sys.cloneRange(f, 10, PAGE, g, 0),
      () => [-E.INVAL, new Uint8Array(0)],
    ),
    copying(
      "a length inside a block",
      (f, g) => sys.cloneRange(f, 0, PAGE + 10, g, 0),
      () => [-E.INVAL, new Uint8Array(0)],
    ),
    copying(
      "behind the end",
      (f, g) => sys.cloneRange(f, 0, 100 * PAGE, g, 0),
      () => [-E.INVAL, new Uint8Array(0)],
    ),
    copying(
      "onto itself, overlapping",
      (f) => sys.cloneRange(f, 0, 2 * PAGE, f, PAGE),
      () => [-E.INVAL, new Uint8Array(0)],
    ),
    ["of another filesystem's file", () => copyElsewhere((a, b) => sys.ioctl(a, FICLONE, b)), -E.XDEV],
    ["a store to one does not show in the other", () => diverge(spec), [true, true, true, true]],
  ];
}

/** [mk-9] */
function* diverge(spec: FilesystemSpec): Call<unknown> {
  const all = pattern(6 * PAGE);
  const f = yield* open(all);
  const g = must(yield* sys.open(OTHER, O_RDWR | O_CREAT));
  must(yield* sys.ioctl(g, FICLONE, f));
  must(yield* sys.pwrite(f, pattern(100, 3), 2 * PAGE));
  must(yield* sys.pwrite(g, pattern(100, 4), 4 * PAGE));
  const same = function* (path: string, expected: Uint8Array): Call<boolean> {
    return [...(yield* readAll(path))].join() === [...expected].join();
  };
  const first = put(all, 2 * PAGE, pattern(100, 3));
  const second = put(all, 4 * PAGE, pattern(100, 4));
  const before = [yield* same(FILE, first), yield* same(OTHER, second)];
  must(yield* sys.close(f));
  must(yield* sys.close(g));
  yield* remount(spec);
  return [...before, yield* same(FILE, first), yield* same(OTHER, second)];
}

export function dataTests(spec: FilesystemSpec): void {
  rows("read and write", spec, writes);
  rows("truncate", spec, truncations);
  rows("fallocate", spec, fallocations(spec));
  rows("sync", spec, syncs);
  rows("unlinked files", spec, unlinked);
  rows("copy", spec, copies);
  rows("clone", spec, clones(spec));
}
