/*
 * Freeze and thaw: writers and stores wait, readers do not, nothing is dirty meanwhile, thaw lets everybody go on.
 * Checks [mk-8] [nm-4] [mnt-2], SCENARIOS 2.8 and S14.
 */
import { FIFREEZE, FITHAW, MAP_SHARED, O_CREAT, O_RDONLY, O_RDWR, mem, now, sys } from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { E, PAGE, RW, type TestMachine, must } from "../test-machine.js";
import { type Case, type FilesystemSpec, MNT, data, make, names, pattern, rows, save, sleepMs, stat } from "./mounted.js";

const FILE = `${MNT}/f`;

function* mountFd(): Call {
  return must(yield* sys.open(MNT, O_RDONLY));
}

/** Freezes for 50 ms while a thread makes `call`; returns how its end stands to the thaw, and its result. */
function* against(call: () => Call): Call<unknown> {
  const fd = yield* mountFd();
  const end = { at: 0, result: 0 };
  must(yield* sys.ioctl(fd, FIFREEZE), "freeze");
  must(
    yield* sys.thread(function* () {
      end.result = yield* call();
      end.at = yield* now();
    }),
  );
  yield* sleepMs(50);
  const blocked = end.at === 0;
  must(yield* sys.ioctl(fd, FITHAW), "thaw");
  yield* sleepMs(50);
  return [blocked ? "waited" : "went on", end.at !== 0 ? end.result : "never came back"];
}

/** A call against a freeze, after f was made. */
function during(name: string, call: (fd: number, at: number) => Call, expected: unknown): Case {
  return [
    name,
    function* () {
      yield* save(FILE, pattern(4 * PAGE));
      const fd = must(yield* sys.open(FILE, O_RDWR));
      const at = must(yield* sys.mmap(0, 4 * PAGE, RW, MAP_SHARED, fd));
      must(yield* mem.touch(at, PAGE));
      return yield* against(() => call(fd, at));
    },
    expected,
  ];
}

const waiting: Case[] = [
  during("write", (fd) => sys.pwrite(fd, new Uint8Array(3), 0), ["waited", 3]),
  during("ftruncate", (fd) => sys.ftruncate(fd, 10), ["waited", 0]),
  during("create", () => make(`${MNT}/new`), ["waited", 0]),
  during("mkdir", () => sys.mkdir(`${MNT}/d`), ["waited", 0]),
  during("unlink", () => sys.unlink(FILE), ["waited", 0]),
  during("rename", () => sys.rename(FILE, `${MNT}/g`), ["waited", 0]),
  during("link", () => sys.link(FILE, `${MNT}/g`), ["waited", 0]),
  during("chmod", () => sys.chmod(FILE, 0o600), ["waited", 0]),
  during("utimensat", () => sys.utimes(FILE, 1, 2), ["waited", 0]),
  during("open of a file that exists, with O_CREAT", () => make(FILE), ["went on", 0]),
  during("read", (fd) => readLength(fd), ["went on", 4 * PAGE]),
  during("stat", () => statSize(), ["went on", 4 * PAGE]),
  during("getdents", () => countNames(), ["went on", 1]),
  during("create in another filesystem", () => make("/tmp/new"), ["went on", 0]),
  during("fsync", (fd) => sys.fsync(fd), ["went on", 0]),
  during("a load", (_fd, at) => mem.touch(at, 4 * PAGE), ["went on", 4]),
];

function* readLength(fd: number): Call {
  return data(yield* sys.pread(fd, 8 * PAGE, 0)).length;
}

function* statSize(): Call {
  return stat(yield* sys.stat(FILE)).size;
}

function* countNames(): Call {
  return (yield* names(MNT)).length;
}

const stores: Case[] = [
  during("a store to a page not yet mapped", (_fd, at) => mem.touch(at + PAGE, PAGE, { write: true }), ["waited", 1]),
  during("a store to a page mapped for reading", (_fd, at) => mem.touch(at, PAGE, { write: true }), ["waited", 1]),
  [
    "a store to a page that was dirty before: the freeze has write-protected it",
    function* () {
      yield* save(FILE, pattern(PAGE));
      const fd = must(yield* sys.open(FILE, O_RDWR));
      const at = must(yield* sys.mmap(0, PAGE, RW, MAP_SHARED, fd));
      must(yield* mem.touch(at, PAGE, { write: true }));
      return yield* against(() => mem.touch(at, PAGE, { write: true }));
    },
    ["waited", 1],
  ],
];

/** A writer waits in the frozen filesystem; a third party's walks through the machine go on ([nm-4]). */
function* bystander(): Call<unknown> {
  yield* save(FILE, "content");
  const fd = yield* mountFd();
  must(yield* sys.ioctl(fd, FIFREEZE));
  must(yield* sys.thread(() => make(`${MNT}/new`)));
  yield* sleepMs(5);
  const start = yield* now();
  must(yield* make("/tmp/other"));
  must(yield* sys.open(FILE, O_RDONLY));
  const took = (yield* now()) - start;
  must(yield* sys.ioctl(fd, FITHAW));
  yield* sleepMs(50);
  return [took < 1e6, yield* names(MNT)];
}

/** Writers that keep coming, and several freezes: every write is whole and in its place in the end. */
function* manyFreezes(): Call<unknown> {
  const fd = yield* mountFd();
  const writers = 3;
  const done: number[] = [];
  for (let w = 0; w < writers; w++) {
    must(
      yield* sys.thread(function* () {
        const file = must(yield* sys.open(`${MNT}/w${w}`, O_RDWR | O_CREAT));
        for (let i = 0; i < 40; i++) must(yield* sys.pwrite(file, new Uint8Array(100).fill(i + 1), i * 100));
        done.push(w);
      }),
    );
  }
  const results: number[] = [];
  for (let i = 0; i < 5; i++) {
    results.push(yield* sys.ioctl(fd, FIFREEZE));
    yield* sleepMs(1);
    results.push(yield* sys.ioctl(fd, FITHAW));
  }
  while (done.length < writers) yield* sleepMs(10);
  let whole = true;
  for (let w = 0; w < writers; w++) {
    const content = data(yield* sys.pread(must(yield* sys.open(`${MNT}/w${w}`, O_RDONLY)), 8000, 0));
    whole &&= content.length === 4000 && content.every((byte, i) => byte === Math.floor(i / 100) + 1);
  }
  return [results.every((result) => result === 0), whole];
}

function* freezeTwice(): Call<unknown> {
  const fd = yield* mountFd();
  const results = [yield* sys.ioctl(fd, FITHAW), yield* sys.ioctl(fd, FIFREEZE), yield* sys.ioctl(fd, FIFREEZE)];
  results.push(yield* sys.umount(MNT), yield* sys.ioctl(fd, FITHAW), yield* sys.ioctl(fd, FITHAW));
  return results;
}

/** [mk-8] After a freeze no page of the machine is dirty or under writeback. */
function* cleanWhenFrozen(t: TestMachine): Call<unknown> {
  yield* save(FILE, pattern(50 * PAGE));
  const fd = yield* mountFd();
  must(yield* sys.ioctl(fd, FIFREEZE));
  const dirty = /Dirty: +(\d+)/.exec(t.machine.inspect("meminfo"))?.[1];
  const writeback = t.machine.stats()["writeback_pages"];
  must(yield* sys.ioctl(fd, FITHAW));
  return [dirty, writeback];
}

const states: Case[] = [
  ["thaw, freeze, freeze, umount, thaw, thaw", () => freezeTwice(), [-E.INVAL, 0, -E.BUSY, -E.BUSY, 0, -E.INVAL]],
  ["nothing is dirty", (t) => cleanWhenFrozen(t), ["0", 0]],
  ["a walk elsewhere does not wait behind a writer that does", () => bystander(), [true, ["f", "new"]]],
  ["writers that keep coming", () => manyFreezes(), [true, true]],
];

const refused: Case[] = [
  [
    "is not supported",
    function* () {
      const fd = yield* mountFd();
      return [yield* sys.ioctl(fd, FIFREEZE), yield* sys.ioctl(fd, FITHAW)];
    },
    [-E.OPNOTSUPP, -E.INVAL],
  ],
];

export function freezeTests(spec: FilesystemSpec): void {
  if (!spec.features.freeze) {
    rows("freeze", spec, refused);
    return;
  }
  rows("freeze: who waits", spec, waiting);
  if (spec.features.symlinks) {
    rows("freeze: who waits", spec, [during("symlink", () => sys.symlink("f", `${MNT}/s`), ["waited", 0])]);
  }
  if (spec.features.mkwrite) rows("freeze: stores", spec, stores);
  rows("freeze", spec, states);
}
