/*
 * Space: statfs, and a filesystem that runs full. What was promised is there, what was refused has left nothing behind.
 */
import { MAP_SHARED, O_CREAT, O_RDWR, SIGBUS, type StatFs, mem, sys } from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { E, PAGE, RW, must } from "../test-machine.js";
import { type Case, type FilesystemSpec, MNT, data, pattern, readAll, remount, rows, stat } from "./mounted.js";

function statfs(result: StatFs | number): StatFs {
  if (typeof result === "number") throw new Error(`no statfs: errno ${-result}`);
  return result;
}

const CHUNK = pattern(64 * PAGE);

/** Writes one file until there is no space. Returns the bytes that went in. */
function* fill(path: string): Call {
  const fd = must(yield* sys.open(path, O_RDWR | O_CREAT));
  let at = 0;
  for (;;) {
    const wrote = yield* sys.pwrite(fd, CHUNK.subarray(at % CHUNK.length), at);
    if (wrote === -E.NOSPC) break;
    at += must(wrote, "write");
  }
  // What went in must be what the disk can take.
  must(yield* sys.fsync(fd), "fsync of a full filesystem");
  must(yield* sys.close(fd));
  return at;
}

function* intact(path: string, length: number): Call<boolean> {
  const content = yield* readAll(path);
  return content.length === length && content.every((byte, i) => byte === CHUNK[i % CHUNK.length]);
}

const figures: Case[] = [
  [
    "statfs",
    function* () {
      const info = statfs(yield* sys.statfs(MNT));
      return [info.namelen, info.bsize >= 512 && info.bsize <= PAGE, info.bfree <= info.blocks, info.bavail <= info.bfree, info.blocks > 0];
    },
    [255, true, true, true, true],
  ],
  ["statfs of a missing path", () => sys.statfs(`${MNT}/missing`), -E.NOENT],
  [
    "a file takes blocks, and gives them back",
    function* () {
      const fd = must(yield* sys.open(`${MNT}/f`, O_RDWR | O_CREAT));
      const before = statfs(yield* sys.statfs(MNT));
      must(yield* sys.pwrite(fd, CHUNK, 0));
      must(yield* sys.fsync(fd));
      const full = statfs(yield* sys.statfs(MNT));
      must(yield* sys.ftruncate(fd, 0));
      must(yield* sys.syncfs(fd));
      const after = statfs(yield* sys.statfs(MNT));
      // Metadata may come and go besides.
      const slack = 8 * PAGE;
      return [before.bfree, after.bfree].map((free) => (free - full.bfree) * full.bsize >= CHUNK.length - slack);
    },
    [true, true],
  ],
];

const blocks: Case[] = [
  [
    "i_blocks counts what a file has, holes left out",
    function* () {
      const fd = must(yield* sys.open(`${MNT}/f`, O_RDWR | O_CREAT));
      const count = function* (): Call {
        must(yield* sys.fsync(fd));
        return stat(yield* sys.fstat(fd)).blocks * 512;
      };
      must(yield* sys.pwrite(fd, CHUNK, 1024 * PAGE));
      const written = yield* count();
      must(yield* sys.ftruncate(fd, 0));
      return [written >= CHUNK.length, written < 2 * CHUNK.length, yield* count()];
    },
    [true, true, 0],
  ],
];

/** [mk-6] Reservations end as they began: a full filesystem that is emptied takes as much again. */
const full = (spec: FilesystemSpec): Case[] => [
  [
    "what fits is intact, also after a remount",
    function* () {
      const length = yield* fill(`${MNT}/big`);
      const before = yield* intact(`${MNT}/big`, length);
      yield* remount(spec);
      return [length > 0, before, yield* intact(`${MNT}/big`, length)];
    },
    [true, true, true],
  ],
  [
    "emptied, it takes nearly as much again",
    function* () {
      const first = yield* fill(`${MNT}/big`);
      must(yield* sys.unlink(`${MNT}/big`));
      must(yield* sys.sync());
      const second = yield* fill(`${MNT}/again`);
      return second > 0.9 * first;
    },
    true,
  ],
  [
    "a full filesystem lets files be removed and truncated",
    function* () {
      yield* fill(`${MNT}/big`);
      const cut = yield* sys.truncate(`${MNT}/big`, PAGE);
      return [cut, yield* sys.unlink(`${MNT}/big`)];
    },
    [0, 0],
  ],
  [
    "a store into a hole of a full filesystem is SIGBUS, and the file is intact",
    function* () {
      const fd = must(yield* sys.open(`${MNT}/sparse`, O_RDWR | O_CREAT));
      must(yield* sys.ftruncate(fd, 1024 * PAGE));
      const at = must(yield* sys.mmap(0, 1024 * PAGE, RW, MAP_SHARED, fd));
      yield* fill(`${MNT}/big`);
      const touched = yield* mem.tryTouch(at, 1024 * PAGE, { write: true, value: 7 });
      const done = touched.done;
      const content = data(yield* sys.pread(fd, 1024 * PAGE, 0));
      const right = content.every((byte, i) => byte === (i % PAGE === 0 && i / PAGE < done ? 7 : 0));
      return [touched.signal, right, yield* sys.fsync(fd)];
    },
    [SIGBUS, true, 0],
  ],
  [
    "fallocate that does not fit",
    function* () {
      const fd = must(yield* sys.open(`${MNT}/f`, O_RDWR | O_CREAT));
      const info = statfs(yield* sys.statfs(MNT));
      return yield* sys.fallocate(fd, 0, 0, (info.blocks + 1000) * info.bsize);
    },
    spec.features.allocate ? -E.NOSPC : -E.OPNOTSUPP,
  ],
];

export function spaceTests(spec: FilesystemSpec): void {
  if (spec.features.blocks) rows("space of a file", spec, blocks);
  rows("space", spec, spec.features.mkfs ? figures : figures.slice(0, 2));
  if (spec.features.enospc) rows("a full filesystem", spec, full(spec));
}
