/*
 * Mappings of files: what stores and loads see of writes, truncation and each other, and what reaches the disk.
 * Checks [fm-2] [tr-1] [ms-1] [mk-1] [mk-7] (without crashes), S6, S7, S8.
 */
import { MAP_PRIVATE, MAP_SHARED, MS_ASYNC, MS_SYNC, O_CREAT, O_RDWR, PROT_READ, PROT_WRITE, SIGBUS, mem, sys } from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { PAGE, RW, must } from "../test-machine.js";
import { type Case, type FilesystemSpec, MNT, data, pattern, readAll, remount, rows, save } from "./mounted.js";

const FILE = `${MNT}/f`;

/** A file with content, and its number. */
function* opened(content: Uint8Array): Call {
  yield* save(FILE, content);
  return must(yield* sys.open(FILE, O_RDWR | O_CREAT));
}

function* mapped(fd: number, pages: number, flags = MAP_SHARED, prot = RW): Call {
  return must(yield* sys.mmap(0, pages * PAGE, prot, flags, fd), "mmap");
}

const first = function* (at: number, length = 4): Call<number[]> {
  return [...data(yield* mem.load(at, length))];
};

const inFile = function* (fd: number, at: number, length = 4): Call<number[]> {
  return [...data(yield* sys.pread(fd, length, at))];
};

const WORD = Uint8Array.of(9, 8, 7, 6);
const ZEROS = [0, 0, 0, 0];
const OLD = [...pattern(4)];

/** A file of `pages` pages, mapped shared. */
function shared(name: string, pages: number, body: (fd: number, at: number) => Call<unknown>, expected: unknown): Case {
  return [
    name,
    function* () {
      const fd = yield* opened(pattern(pages * PAGE));
      return yield* body(fd, yield* mapped(fd, pages));
    },
    expected,
  ];
}

function* storeAt(at: number): Call<void> {
  must(yield* mem.store(at, WORD), "store");
}

const sharedCases: Case[] = [
  shared("a load sees the file", 2, (_fd, at) => first(at), OLD),
  shared(
    "read sees a store",
    2,
    function* (fd, at) {
      yield* storeAt(at + PAGE);
      return yield* inFile(fd, PAGE);
    },
    [...WORD],
  ),
  shared(
    "a load sees a write",
    2,
    function* (fd, at) {
      yield* first(at);
      must(yield* sys.pwrite(fd, WORD, 0));
      return yield* first(at);
    },
    [...WORD],
  ),
  shared(
    "a store after the page was written back",
    2,
    function* (fd, at) {
      yield* storeAt(at);
      must(yield* sys.fsync(fd));
      must(yield* mem.store(at, Uint8Array.of(1, 2, 3, 4)));
      return yield* inFile(fd, 0);
    },
    [1, 2, 3, 4],
  ),
  shared(
    "two mappings show the same page",
    1,
    function* (fd, at) {
      const other = yield* mapped(fd, 1);
      yield* storeAt(other);
      return yield* first(at);
    },
    [...WORD],
  ),
  shared(
    "a child's store shows in the parent",
    1,
    function* (_fd, at) {
      must(yield* sys.fork(() => storeAt(at)));
      must((yield* sys.wait()).pid);
      return yield* first(at);
    },
    [...WORD],
  ),
  shared(
    "write from the file's own mapping",
    2,
    function* (fd, at) {
      must(yield* sys.pwriteFrom(fd, at, PAGE, PAGE));
      return yield* inFile(fd, PAGE);
    },
    OLD,
  ),
  shared(
    "read into the file's own mapping",
    2,
    function* (fd, at) {
      must(yield* sys.preadTo(fd, at + PAGE, PAGE, 0));
      return yield* inFile(fd, PAGE);
    },
    OLD,
  ),
  shared(
    "stays after close and unlink",
    1,
    function* (fd, at) {
      must(yield* sys.close(fd));
      must(yield* sys.unlink(FILE));
      yield* storeAt(at);
      return yield* first(at);
    },
    [...WORD],
  ),
  shared(
    "msync",
    2,
    function* (_fd, at) {
      yield* storeAt(at);
      return [yield* sys.msync(at, 2 * PAGE, MS_SYNC), yield* sys.msync(at, PAGE, MS_ASYNC)];
    },
    [0, 0],
  ),
];

/** A hole of four pages. */
function hole(name: string, body: (fd: number, at: number) => Call<unknown>, expected: unknown): Case {
  return [
    name,
    function* () {
      const fd = yield* opened(new Uint8Array(0));
      must(yield* sys.ftruncate(fd, 4 * PAGE));
      return yield* body(fd, yield* mapped(fd, 4));
    },
    expected,
  ];
}

const ends: Case[] = [
  hole("a hole loads zeros", (_fd, at) => first(at), ZEROS),
  hole(
    "a store into a hole",
    function* (fd, at) {
      yield* storeAt(at + 2 * PAGE);
      return [yield* inFile(fd, 2 * PAGE), yield* inFile(fd, PAGE)];
    },
    [[...WORD], ZEROS],
  ),
  shared(
    "a load behind the end is SIGBUS",
    1,
    function* (fd) {
      const at = yield* mapped(fd, 2);
      return (yield* mem.tryTouch(at + PAGE, 1)).signal;
    },
    SIGBUS,
  ),
  shared(
    "a load of what was cut off is SIGBUS",
    2,
    function* (fd, at) {
      yield* first(at + PAGE);
      must(yield* sys.ftruncate(fd, PAGE));
      return (yield* mem.tryTouch(at + PAGE, 1)).signal;
    },
    SIGBUS,
  ),
  shared(
    "cut off and grown again: zeros",
    2,
    function* (fd, at) {
      yield* storeAt(at + PAGE);
      must(yield* sys.ftruncate(fd, PAGE));
      must(yield* sys.ftruncate(fd, 2 * PAGE));
      return yield* first(at + PAGE);
    },
    ZEROS,
  ),
  shared(
    "cut off inside a page: the rest of it is zero",
    1,
    function* (fd, at) {
      must(yield* sys.ftruncate(fd, 8));
      return [yield* first(at), yield* first(at + 8)];
    },
    [OLD, ZEROS],
  ),
  shared(
    "a store behind the end of the last page does not grow the file",
    1,
    function* (fd, at) {
      must(yield* sys.ftruncate(fd, 100));
      yield* storeAt(at + 200);
      must(yield* sys.ftruncate(fd, 300));
      return (yield* inFile(fd, 0, 400)).length;
    },
    300,
  ),
];

/** Bytes on the disk: what is read after the filesystem was mounted again. */
function afterRemount(
  spec: FilesystemSpec,
  name: string,
  body: (fd: number, at: number) => Call<unknown>,
  expected: (all: Uint8Array) => void,
): Case {
  const all = pattern(4 * PAGE);
  const wanted = all.slice();
  expected(wanted);
  return [
    name,
    function* () {
      const fd = yield* opened(all);
      const at = yield* mapped(fd, 4);
      yield* body(fd, at);
      must(yield* sys.munmap(at, 4 * PAGE));
      must(yield* sys.close(fd));
      yield* remount(spec);
      const found = yield* readAll(FILE);
      return found.findIndex((byte, i) => byte !== wanted[i]);
    },
    -1,
  ];
}

const persistence = (spec: FilesystemSpec): Case[] => [
  afterRemount(
    spec,
    "a store",
    (_fd, at) => storeAt(at + PAGE),
    (all) => all.set(WORD, PAGE),
  ),
  afterRemount(
    spec,
    "a store, msync, a store",
    function* (_fd, at) {
      yield* storeAt(at);
      must(yield* sys.msync(at, PAGE, MS_SYNC));
      yield* storeAt(at + 100);
    },
    (all) => {
      all.set(WORD, 0);
      all.set(WORD, 100);
    },
  ),
  afterRemount(
    spec,
    "every page, with a sync in the middle",
    function* (_fd, at) {
      for (let i = 0; i < 4; i++) {
        yield* storeAt(at + i * PAGE);
        if (i === 1) must(yield* sys.sync());
      }
      for (let i = 0; i < 4; i++) yield* storeAt(at + i * PAGE + 512);
    },
    (all) => {
      for (let i = 0; i < 4; i++) {
        all.set(WORD, i * PAGE);
        all.set(WORD, i * PAGE + 512);
      }
    },
  ),
  afterRemount(
    spec,
    "a private store does not reach the file",
    function* (fd) {
      const own = yield* mapped(fd, 1, MAP_PRIVATE);
      yield* storeAt(own);
      must(yield* sys.munmap(own, PAGE));
    },
    () => undefined,
  ),
  afterRemount(
    spec,
    "the file grows inside the last page under a writable mapping (S8)",
    function* (fd, at) {
      must(yield* sys.ftruncate(fd, 3 * PAGE + 100));
      yield* storeAt(at + 3 * PAGE);
      must(yield* sys.ftruncate(fd, 4 * PAGE));
      yield* storeAt(at + 3 * PAGE + 2048);
    },
    (all) => {
      all.fill(0, 3 * PAGE + 100);
      all.set(WORD, 3 * PAGE);
      all.set(WORD, 3 * PAGE + 2048);
    },
  ),
  afterRemount(
    spec,
    "write and store to the same page",
    function* (fd, at) {
      yield* storeAt(at + 8);
      must(yield* sys.pwrite(fd, WORD, 16));
      yield* storeAt(at + 24);
    },
    (all) => [8, 16, 24].forEach((place) => all.set(WORD, place)),
  ),
];

const privateCases: Case[] = [
  [
    "a private store is its process's own",
    function* () {
      const fd = yield* opened(pattern(PAGE));
      const at = yield* mapped(fd, 1, MAP_PRIVATE);
      yield* storeAt(at);
      return [yield* first(at), yield* inFile(fd, 0)];
    },
    [[...WORD], OLD],
  ],
  [
    "a private page that was not stored to shows a write",
    function* () {
      const fd = yield* opened(pattern(PAGE));
      const at = yield* mapped(fd, 1, MAP_PRIVATE, PROT_READ | PROT_WRITE);
      yield* first(at);
      must(yield* sys.pwrite(fd, WORD, 0));
      return yield* first(at);
    },
    [...WORD],
  ],
];

export function mappingTests(spec: FilesystemSpec): void {
  rows("shared mappings", spec, sharedCases);
  rows("private mappings", spec, privateCases);
  rows("mappings and the end of the file", spec, ends);
  if (spec.features.persistent) rows("mappings, mounted again", spec, persistence(spec));
}
