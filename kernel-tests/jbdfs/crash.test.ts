/*
 * Power failures of iomapfs and jbdfs: at every write of a short history the disk is taken as it may be then, with none, all or
 * random sectors of what was not flushed; a new machine mounts it, which replays the journal, and every file that an fsync had
 * covered by then is there, whole; what was renamed has one of its names; a second mount shows the same tree; fsck finds nothing,
 * before the first mount and after each.
 *
 *   SEEDS=100 npx vitest run kernel-tests/jbdfs/crash.test.ts      more random disks at each point
 * Checks: [mk-7] [jnl-2] [bl-3] [sup-1] [fk-1].
 */
import { describe, expect, it } from "vitest";
import { O_CREAT, O_RDWR, sys } from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { isPattern, make, names, pattern, readAll, tree, unmount } from "../fs-suite/mounted.js";
import { randomOf, seedsOf } from "../oracle/random.js";
import { MIB, PAGE, TestMachine, must } from "../test-machine.js";

const MNT = "/mnt";
const CONFIG = { cpus: 2, memoryBytes: 8 * MIB, diskBlocks: 160, limitNs: 200e9 };
const FILES = 5;
const SEEDS = seedsOf(1);

interface Moment {
  image: Uint8Array;
  /** Files that were durable then, by index. */
  durable: number;
}

const lengthOf = (i: number): number => 700 + i * 2900;

/** Files one after the other, each synced; each is then renamed and cut, which nobody waits for. */
function* history(note: (durable: number) => void): Call<void> {
  for (let i = 0; i < FILES; i++) {
    const fd = must(yield* sys.open(`${MNT}/f${i}`, O_RDWR | O_CREAT), "open");
    must(yield* sys.pwrite(fd, pattern(lengthOf(i), i), 0), "pwrite");
    must(yield* sys.fsync(fd), "fsync");
    note(i + 1);
    must(yield* sys.close(fd), "close");
    must(yield* sys.rename(`${MNT}/f${i}`, `${MNT}/g${i}`), "rename");
    const more = must(yield* sys.open(`${MNT}/temporary`, O_RDWR | O_CREAT), "open");
    must(yield* sys.pwrite(more, pattern(2 * PAGE), 0), "pwrite");
    must(yield* sys.unlink(`${MNT}/temporary`), "unlink");
    must(yield* sys.close(more), "close");
  }
}

/** The disk at every write and flush that was done, for each seed. */
function moments(type: string, mkfs: string): Moment[] {
  const t = new TestMachine(CONFIG);
  t.runOne(function* () {
    must(yield* sys.mkdir(MNT));
    must(yield* sys.mkfs(type, mkfs));
    must(yield* sys.mount(type, MNT));
    must(yield* sys.sync());
  });
  const found: Moment[] = [];
  const { disk } = t.machine;
  let durable = 0;
  let before = disk.progress();
  t.spawn(function* () {
    yield* history((n) => (durable = n));
  });
  while (t.machine.guestCount > 0) {
    t.machine.run({ forNs: 20_000 });
    const now = disk.progress();
    if (now === before) continue;
    before = now;
    for (const seed of SEEDS) {
      const r = randomOf(seed * 1000 + found.length);
      const image = disk.afterPowerLoss([() => 0, () => 0xff, () => r.below(256)][found.length % 3]);
      found.push({ image, durable });
    }
  }
  return found;
}

/** What is wrong with a disk after a power failure. */
function* look(durable: number): Call<string[]> {
  const wrong: string[] = [];
  const present = yield* names(MNT);
  for (let i = 0; i < durable; i++) {
    const mine = present.filter((name) => name === `f${i}` || name === `g${i}`);
    if (mine.length !== 1) wrong.push(`file ${i} has the names [${mine.join()}]`);
    else if (!isPattern(yield* readAll(`${MNT}/${mine[0] ?? ""}`), lengthOf(i), i)) wrong.push(`file ${i} has another content`);
  }
  return wrong;
}

function check(type: string, { image, durable }: Moment): string[] {
  const t = new TestMachine(CONFIG);
  t.machine.disk.load(image);
  const wrong = t.runOne(function* () {
    // Before the journal is replayed, by what it holds; after it; and after an unmount.
    must(yield* sys.mkdir(MNT));
    expect(yield* sys.fsck(type), "fsck after a power failure").toBe(0);
    must(yield* sys.mount(type, MNT), "mount after a power failure");
    const found = yield* look(durable);
    const first = yield* tree(MNT);
    yield* unmount(type);
    must(yield* sys.mount(type, MNT), "mount again");
    const second = yield* tree(MNT);
    if (first.join() !== second.join()) found.push("another mount shows another tree");
    yield* unmount(type);
    return found;
  });
  t.finish();
  return wrong;
}

describe("a power failure at every write", () => {
  for (const type of ["iomapfs", "jbdfs"]) {
    for (const mkfs of ["blocksize=4096", "blocksize=1024"]) {
      it(`${type} ${mkfs}`, () => {
        const all = moments(type, mkfs);
        expect(all.length).toBeGreaterThan(FILES * 2);
        for (const [i, moment] of all.entries()) expect(check(type, moment), `moment ${i} of ${all.length}`).toEqual([]);
      });
    }
  }
});

describe("fsync of an inode that memory had forgotten", () => {
  const NAMES = 1300;
  /** More names than the cache of names holds: an eighth of memory. */
  const SMALL = { ...CONFIG, memoryBytes: 4 * MIB, diskBlocks: 512 };

  it.each(["iomapfs", "jbdfs"])("is of what was not committed then, too: %s", (type) => {
    const t = new TestMachine(SMALL);
    const image = t.runOne(function* () {
      must(yield* sys.mkdir(MNT));
      must(yield* sys.mkfs(type, "inodes=1600"), "mkfs");
      must(yield* sys.mount(type, MNT), "mount");
      for (let i = 0; i < NAMES; i++) must(yield* make(`${MNT}/f${i}`), "make");
      must(yield* sys.sync());
      must(yield* make(`${MNT}/new`), "make");
      for (let i = 0; i < 8 * NAMES; i++) yield* sys.stat(`${MNT}/f${i % NAMES}`);
      const fd = must(yield* sys.open(`${MNT}/new`, O_RDWR), "open");
      must(yield* sys.fsync(fd), "fsync");
      const left = t.machine.disk.afterPowerLoss(() => 0);
      must(yield* sys.close(fd), "close");
      return left;
    });
    t.runOne(() => sys.umount(MNT));
    t.finish();
    const after = new TestMachine(SMALL);
    after.machine.disk.load(image);
    const found = after.runOne(function* () {
      must(yield* sys.mkdir(MNT));
      must(yield* sys.mount(type, MNT), "mount after a power failure");
      const there = (yield* names(MNT)).includes("new");
      yield* unmount(type);
      return there;
    });
    after.finish();
    expect(found).toBe(true);
  });
});
