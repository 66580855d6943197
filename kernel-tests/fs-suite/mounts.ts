/*
 * Mount and unmount: errnos, EBUSY, two filesystems on one disk, and a remount that shows what was there.
 * Checks [mnt-1] [mnt-2] [sb-1] [ino-3].
 */
import { describe, expect, it } from "vitest";
import { MAP_SHARED, O_CREAT, O_RDWR, PROT_READ, sys } from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { E, PAGE, TestMachine, must } from "../test-machine.js";
import {
  type Case,
  type FilesystemSpec,
  MNT,
  isPattern,
  make,
  names,
  pattern,
  readAll,
  remount,
  rows,
  save,
  stat,
  text,
  tree,
} from "./mounted.js";

const errnos = (spec: FilesystemSpec): Case[] => [
  ["a type that does not exist", () => sys.mount("nosuchfs", "/tmp"), -E.NODEV],
  ["on a missing directory", () => sys.mount(spec.name, "/missing"), -E.NOENT],
  ["on a file", () => onFile(spec), -E.NOTDIR],
  ["where something is mounted", () => sys.mount(spec.name, MNT, spec.mountOptions), -E.BUSY],
  ["on the root", () => sys.mount(spec.name, "/", spec.mountOptions), -E.BUSY],
  ["an option that does not exist", () => onTmp(spec, "nosuchoption"), -E.INVAL],
  ["umount of a directory", () => sys.umount("/tmp"), -E.INVAL],
  ["umount of a missing path", () => sys.umount("/missing"), -E.NOENT],
  ["umount of the root", () => sys.umount("/"), -E.BUSY],
  ["umount of a directory inside", () => umountInside(), -E.INVAL],
];

function* onFile(spec: FilesystemSpec): Call {
  must(yield* make("/tmp/f"));
  return yield* sys.mount(spec.name, "/tmp/f");
}

function* onTmp(spec: FilesystemSpec, options: string): Call {
  must(yield* sys.umount(MNT));
  const result = yield* sys.mount(spec.name, MNT, options);
  must(yield* sys.mount(spec.name, MNT, spec.mountOptions));
  return result;
}

function* umountInside(): Call {
  must(yield* sys.mkdir(`${MNT}/d`));
  return yield* sys.umount(`${MNT}/d`);
}

const busy: Case[] = [
  [
    "with an open file",
    () =>
      busyBy(
        () => sys.open(`${MNT}/f`, O_RDWR | O_CREAT),
        (fd) => sys.close(fd),
      ),
    [-E.BUSY, 0],
  ],
  [
    "with an open directory",
    () =>
      busyBy(
        () => sys.open(MNT, 0),
        (fd) => sys.close(fd),
      ),
    [-E.BUSY, 0],
  ],
  [
    "with a mapping of a file that was closed",
    () =>
      busyBy(
        () => mapAndClose(),
        (at) => sys.munmap(at, PAGE),
      ),
    [-E.BUSY, 0],
  ],
  [
    "with another filesystem on it",
    () =>
      busyBy(
        () => mountInside(),
        () => sys.umount(`${MNT}/d`),
      ),
    [-E.BUSY, 0],
  ],
  [
    "with an unlinked open file",
    () =>
      busyBy(
        () => openUnlinked(),
        (fd) => sys.close(fd),
      ),
    [-E.BUSY, 0],
  ],
];

/** umount while something is in use and after; mounts something else again, for the end of the test. */
function* busyBy(take: () => Call, give: (taken: number) => Call): Call<unknown> {
  const taken = must(yield* take());
  const first = yield* sys.umount(MNT);
  must(yield* give(taken));
  const second = yield* sys.umount(MNT);
  must(yield* sys.mount("ramfs", MNT));
  return [first, second];
}

function* mapAndClose(): Call {
  yield* save(`${MNT}/f`, "content");
  const fd = must(yield* sys.open(`${MNT}/f`, O_RDWR));
  const at = must(yield* sys.mmap(0, PAGE, PROT_READ, MAP_SHARED, fd));
  must(yield* sys.close(fd));
  return at;
}

function* mountInside(): Call {
  must(yield* sys.mkdir(`${MNT}/d`));
  return yield* sys.mount("ramfs", `${MNT}/d`);
}

function* openUnlinked(): Call {
  const fd = must(yield* sys.open(`${MNT}/f`, O_RDWR | O_CREAT));
  must(yield* sys.write(fd, pattern(3 * PAGE)));
  must(yield* sys.unlink(`${MNT}/f`));
  return fd;
}

const covering: Case[] = [
  [
    "/proc/mounts",
    function* (t) {
      must(yield* sys.mkdir(`${MNT}/d`));
      must(yield* sys.mkdir(`${MNT}/d/e`));
      must(yield* sys.mount("ramfs", `${MNT}/d/e`));
      const mounted = t.machine
        .inspect("mounts")
        .split("\n")
        .map((line) => line.split(" ")[1]);
      must(yield* sys.umount(`${MNT}/d/e`));
      return mounted;
    },
    ["/", MNT, `${MNT}/d/e`, undefined],
  ],
  [
    "the directory below shows again",
    function* () {
      must(yield* make(`${MNT}/above`));
      must(yield* sys.umount(MNT));
      must(yield* make(`${MNT}/below`));
      const below = yield* names(MNT);
      must(yield* sys.mount("ramfs", MNT));
      return [below, yield* names(MNT)];
    },
    [["below"], []],
  ],
  [
    "dot dot goes out of it, and devices differ",
    function* () {
      must(yield* sys.mkdir(`${MNT}/d`));
      const [outside, above] = [stat(yield* sys.stat("/")), stat(yield* sys.stat(`${MNT}/d/../..`))];
      const inside = stat(yield* sys.stat(MNT));
      return [outside.ino === above.ino && outside.dev === above.dev, inside.dev !== outside.dev];
    },
    [true, true],
  ],
];

/** A little of everything. */
function* population(): Call<void> {
  must(yield* sys.mkdir(`${MNT}/a`));
  must(yield* sys.mkdir(`${MNT}/a/b`));
  yield* save(`${MNT}/a/small`, "a few bytes");
  yield* save(`${MNT}/a/b/large`, pattern(70 * PAGE + 123));
  must(yield* sys.link(`${MNT}/a/small`, `${MNT}/hard`));
  must(yield* sys.symlink("a/b/large", `${MNT}/soft`));
  const fd = must(yield* sys.open(`${MNT}/sparse`, O_RDWR | O_CREAT));
  must(yield* sys.pwrite(fd, pattern(10), 33 * PAGE + 5));
  must(yield* sys.close(fd));
  for (let i = 0; i < 60; i++) yield* save(`${MNT}/a/many-${i}`, pattern(i * 37, i));
  for (let i = 0; i < 60; i += 3) must(yield* sys.unlink(`${MNT}/a/many-${i}`));
  must(yield* sys.rename(`${MNT}/a/many-1`, `${MNT}/moved`));
}

const again = (spec: FilesystemSpec): Case[] => [
  [
    "shows the same tree",
    function* () {
      yield* population();
      const before = yield* tree(MNT);
      yield* remount(spec);
      const after = yield* tree(MNT);
      return after.filter((line, i) => line !== before[i]).concat(before.length === after.length ? [] : [`${before.length} lines before`]);
    },
    [],
  ],
  [
    "hard links are one inode still",
    function* () {
      yield* population();
      yield* remount(spec);
      yield* save(`${MNT}/hard`, "changed");
      const [hard, small] = [stat(yield* sys.stat(`${MNT}/hard`)), stat(yield* sys.stat(`${MNT}/a/small`))];
      return [hard.ino === small.ino, hard.nlink, text(yield* readAll(`${MNT}/a/small`))];
    },
    [true, 2, "changed"],
  ],
  [
    "mkfs while it is mounted",
    function* () {
      const mounted = yield* sys.mkfs(spec.name, spec.mkfsOptions);
      must(yield* sys.umount(MNT));
      const unmounted = yield* sys.mkfs(spec.name, spec.mkfsOptions);
      must(yield* sys.mount(spec.name, MNT, spec.mountOptions));
      return [mounted, unmounted];
    },
    [-E.BUSY, 0],
  ],
  [
    "a file that was unlinked while open is gone, and so is its space",
    function* () {
      const fd = yield* openUnlinked();
      must(yield* sys.fsync(fd));
      must(yield* sys.close(fd));
      yield* remount(spec);
      return yield* names(MNT);
    },
    [],
  ],
  [
    "ten times",
    function* () {
      for (let i = 0; i < 10; i++) {
        yield* save(`${MNT}/round-${i}`, pattern(1000 * i, i));
        yield* remount(spec);
      }
      const found = yield* names(MNT);
      return [found.length, isPattern(yield* readAll(`${MNT}/round-9`), 9000, 9)];
    },
    [10, true],
  ],
];

/** Two on one disk, each in its part; and machines without a disk. */
function disks(spec: FilesystemSpec): void {
  describe("parts of the disk", () => {
    it("two filesystems on one disk do not touch each other", () => {
      const blocks = spec.config?.diskBlocks ?? 0;
      const half = Math.floor(blocks / 2);
      const t = new TestMachine({ memoryBytes: 8 * 1024 * 1024, limitNs: 200e9, ...spec.config });
      const part = (start: number): string => [spec.mountOptions, `start=${start}`, `blocks=${half}`].filter(Boolean).join();
      const made = (start: number): string => [spec.mkfsOptions, `start=${start}`, `blocks=${half}`].filter(Boolean).join();
      const result = t.runOne(function* () {
        for (const [i, start] of [0, half].entries()) {
          must(yield* sys.mkdir(`/m${i}`));
          must(yield* sys.mkfs(spec.name, made(start)), "mkfs");
          must(yield* sys.mount(spec.name, `/m${i}`, part(start)), "mount");
        }
        yield* save("/m0/f", pattern(20 * PAGE, 1));
        yield* save("/m1/f", pattern(20 * PAGE, 2));
        const overlap = yield* sys.mount(spec.name, "/tmp", part(half - 1));
        for (const i of [0, 1]) must(yield* sys.umount(`/m${i}`));
        must(yield* sys.mount(spec.name, "/m0", part(0)));
        must(yield* sys.mount(spec.name, "/m1", part(half)));
        const [a, b] = [yield* readAll("/m0/f"), yield* readAll("/m1/f")];
        for (const i of [0, 1]) must(yield* sys.umount(`/m${i}`));
        return [overlap, isPattern(a, 20 * PAGE, 1), isPattern(b, 20 * PAGE, 2)];
      });
      expect(result).toEqual([-E.BUSY, true, true]);
      t.check();
    });

    it("bad parts are refused", () => {
      const t = new TestMachine({ memoryBytes: 8 * 1024 * 1024, ...spec.config });
      const bad = ["start=99999999", "blocks=0", "blocks=99999999", "start=x", "start=", "start=-1"];
      const results = t.runOne(function* () {
        const found: number[] = [];
        for (const options of bad) found.push(yield* sys.mkfs(spec.name, options));
        return found;
      });
      expect(results).toEqual(bad.map(() => -E.INVAL));
    });

    it("an empty disk is not mounted", () => {
      const t = new TestMachine({ memoryBytes: 8 * 1024 * 1024, ...spec.config });
      expect(t.runOne(() => sys.mount(spec.name, "/tmp", spec.mountOptions))).toBe(-E.INVAL);
    });

    it("without a disk there is nothing to mount", () => {
      const t = new TestMachine({ memoryBytes: 8 * 1024 * 1024, ...spec.config, diskBlocks: 0 });
      const NXIO = 6;
      expect(t.runOne(() => sys.mount(spec.name, "/tmp", spec.mountOptions))).toBe(-NXIO);
      expect(t.runOne(() => sys.mkfs(spec.name, spec.mkfsOptions))).toBe(-NXIO);
    });
  });
}

export function mountTests(spec: FilesystemSpec): void {
  rows("mount and umount", spec, errnos(spec));
  rows("umount, busy", spec, busy);
  rows("mount point", spec, covering);
  if (!spec.features.mkfs) rows("mkfs", spec, [["is not supported", () => sys.mkfs(spec.name), -E.OPNOTSUPP]]);
  if (!spec.features.persistent) return;
  rows("mounted again", spec, again(spec));
  disks(spec);
}
