/*
 * Reflinks on iomapfs: shared blocks are counted, copied when either side is stored to, and free again with the last reference; whatever
 * regime the store runs page_mkwrite under, and whenever the power fails.
 *
 *   SEEDS=20 npx vitest run kernel-tests/iomapfs/reflink.test.ts      more random disks at each moment of a power failure
 * Checks: [mk-9] [mk-6] [rl-1] [sp-4] [bl-2], S19; refcounts by fsck after every guest.
 */
import { describe, expect, it } from "vitest";
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FICLONE,
  MAP_SHARED,
  MKWRITE_REGIMES,
  O_CREAT,
  O_RDWR,
  SIGBUS,
  type UnflushedWrite,
  mem,
  sys,
} from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { BlockImage, MNT } from "../jbdfs/image.js";
import { checkImage, expectClean } from "../fs-suite/check-image.js";
import { staysTheSame } from "../fs-suite/sharing.js";
import { pattern, readAll, save, stat } from "../fs-suite/mounted.js";
import { shownBelow } from "../../src/sim/crash/shown.js";
import { type FileNode, Oracle } from "../fuzz/disk-oracle.js";
import { randomOf, seedsOf } from "../oracle/random.js";
import { E, MIB, PAGE, RW, type TestConfig, TestMachine, must } from "../test-machine.js";

const BLOCK_SIZES = [4096, 1024, 512] as const;
const PAGES = 16;
const path = (name: string): string => `${MNT}/${name}`;

interface Outcome<T> {
  value: T;
  image: Uint8Array;
}

/** A guest on a fresh iomapfs, or (image) on one that is there; then umount, every walk, and fsck. */
function on<T>(body: (t: TestMachine) => Call<T>, blockSize: number, config: TestConfig = {}, image?: Uint8Array): Outcome<T> {
  const t = new TestMachine({ cpus: 2, memoryBytes: 8 * MIB, diskBlocks: 256, limitNs: 200e9, ...config });
  if (image) t.machine.disk.load(image);
  const value = t.runOne(function* () {
    must(yield* sys.mkdir(MNT));
    if (!image) must(yield* sys.mkfs("iomapfs", `blocksize=${blockSize}`), "mkfs");
    must(yield* sys.mount("iomapfs", MNT), "mount");
    return yield* body(t);
  });
  t.check();
  t.runOne(() => sys.umount(MNT));
  t.finish();
  const after = t.machine.disk.save();
  expectClean(after);
  return { value, image: after };
}

function* opened(name: string): Call {
  return must(yield* sys.open(path(name), O_RDWR | O_CREAT), `open ${name}`);
}

function* cloned(from: string, to: string): Call<void> {
  const [a, b] = [yield* opened(from), yield* opened(to)];
  must(yield* sys.ioctl(b, FICLONE, a), "clone");
  must(yield* sys.close(a));
  must(yield* sys.close(b));
}

/** Bytes that are free when all is on the disk. */
function* freeBytes(): Call {
  must(yield* sys.sync(), "sync");
  const info = yield* sys.statfs(MNT);
  if (typeof info === "number") throw new Error(`statfs: ${info}`);
  return info.bfree * info.bsize;
}

describe.each(BLOCK_SIZES)("blocks of %i", (blockSize) => {
  it("are shared, take no space, and are apart after a store to either side", () => {
    const content = pattern(PAGES * PAGE, 1);
    const { image, value } = on(function* () {
      yield* save(path("a"), content);
      const before = yield* freeBytes();
      yield* cloned("a", "b");
      const after = yield* freeBytes();
      const same = yield* readAll(path("b"));
      const [a, b] = [yield* opened("a"), yield* opened("b")];
      const at = must(yield* sys.mmap(0, content.length, RW, MAP_SHARED, a));
      must(yield* mem.store(at + 3 * PAGE + 5, Uint8Array.of(1, 2, 3)));
      must(yield* sys.pwrite(b, Uint8Array.of(9, 9), 5 * PAGE + 1));
      return { taken: before - after, same, copies: after - (yield* freeBytes()) };
    }, blockSize);
    expect(value.taken).toBe(0);
    expect(value.same).toEqual(content);
    // A store through a mapping prepares the whole page.
    expect(value.copies).toBe(PAGE + blockSize);
    const wanted = [content.slice(), content.slice()];
    wanted[0]?.set([1, 2, 3], 3 * PAGE + 5);
    wanted[1]?.set([9, 9], 5 * PAGE + 1);
    const again = on(
      function* () {
        return [yield* readAll(path("a")), yield* readAll(path("b"))];
      },
      blockSize,
      {},
      image,
    );
    expect(again.value).toEqual(wanted);
  });

  it("are free with the last reference: unlink, truncation, hole", () => {
    const { value } = on(function* () {
      const empty = yield* freeBytes();
      yield* save(path("a"), pattern(PAGES * PAGE));
      for (const name of ["b", "c", "d"]) yield* cloned("a", name);
      const levels = [empty - (yield* freeBytes())];
      must(yield* sys.unlink(path("a")));
      must(yield* sys.truncate(path("b"), 0));
      levels.push(empty - (yield* freeBytes()));
      const right = yield* readAll(path("c"));
      const c = yield* opened("c");
      must(yield* sys.fallocate(c, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGES * PAGE));
      must(yield* sys.close(c));
      levels.push(empty - (yield* freeBytes()));
      must(yield* sys.unlink(path("d")));
      levels.push(empty - (yield* freeBytes()));
      return { right, levels };
    }, blockSize);
    expect(value.right).toEqual(pattern(PAGES * PAGE));
    const [all, two, one, none = 0] = value.levels;
    // What is left at the end is the root's first block.
    expect([all, two, one].map((level = 0) => level - none)).toEqual([PAGES * PAGE, PAGES * PAGE, PAGES * PAGE]);
  });

  it("replace what the target had, a hole and unwritten blocks come over as holes", () => {
    const { value } = on(function* () {
      const a = yield* opened("a");
      must(yield* sys.pwrite(a, pattern(2 * PAGE, 1), 0));
      must(yield* sys.pwrite(a, pattern(PAGE, 2), 6 * PAGE));
      must(yield* sys.fallocate(a, 0, 8 * PAGE, 2 * PAGE));
      yield* save(path("b"), pattern(12 * PAGE, 3));
      const b = yield* opened("b");
      must(yield* sys.fsync(b));
      must(yield* sys.cloneRange(a, 0, 10 * PAGE, b, PAGE), "clone");
      must(yield* sys.fsync(b));
      return { blocks: stat(yield* sys.fstat(b)).blocks * 512, content: yield* readAll(path("b")), a: yield* readAll(path("a")) };
    }, blockSize);
    const wanted = pattern(12 * PAGE, 3);
    wanted.set(value.a, PAGE);
    expect(value.content).toEqual(wanted);
    expect(value.blocks).toBe(5 * PAGE);
  });

  it("to the source's end, behind the target's end: what is between reads as zeros", () => {
    const size = 2 * PAGE + 700;
    const { image } = on(function* () {
      yield* save(path("a"), pattern(size, 1));
      yield* save(path("b"), pattern(3000, 2));
      const [a, b] = [yield* opened("a"), yield* opened("b")];
      // Bytes behind both ends, in memory.
      for (const fd of [a, b]) {
        const at = must(yield* sys.mmap(0, 3 * PAGE, RW, MAP_SHARED, fd));
        must(yield* mem.store(at + (fd === a ? size : 3000), pattern(60, 5)));
      }
      must(yield* sys.cloneRange(a, 0, 0, b, 4 * PAGE), "clone");
      must(yield* sys.ftruncate(b, 8 * PAGE));
    }, blockSize);
    const wanted = new Uint8Array(8 * PAGE);
    wanted.set(pattern(3000, 2));
    wanted.set(pattern(size, 1), 4 * PAGE);
    expect(on(() => readAll(path("b")), blockSize, {}, image).value).toEqual(wanted);
  });

  it("a chain of clones survives its beginning", () => {
    const { image } = on(function* () {
      yield* save(path("0"), pattern(4 * PAGE));
      for (let i = 1; i < 8; i++) {
        yield* cloned(String(i - 1), String(i));
        const fd = yield* opened(String(i));
        must(yield* sys.pwrite(fd, Uint8Array.of(i), i * 1024), "pwrite");
        must(yield* sys.close(fd));
        must(yield* sys.unlink(path(String(i - 1))));
      }
    }, blockSize);
    const wanted = pattern(4 * PAGE);
    for (let i = 1; i < 8; i++) wanted[i * 1024] = i;
    expect(on(() => readAll(path("7")), blockSize, {}, image).value).toEqual(wanted);
  });

  it("a full disk: a store to a shared block is SIGBUS or ENOSPC, and both files stay as they were", () => {
    const content = pattern(PAGES * PAGE);
    const { value } = on(function* () {
      yield* save(path("a"), content);
      yield* cloned("a", "b");
      const filler = yield* opened("filler");
      let at = 0;
      while ((yield* sys.pwrite(filler, pattern(512), at)) === 512) at += 512;
      must(yield* sys.fsync(filler), "fsync");
      const b = yield* opened("b");
      const map = must(yield* sys.mmap(0, content.length, RW, MAP_SHARED, b));
      const touched = yield* mem.tryTouch(map, content.length, { write: true, value: 7 });
      const wrote = yield* sys.pwrite(b, Uint8Array.of(1), PAGE);
      const files = [yield* readAll(path("a")), yield* readAll(path("b"))];
      // The last reference's blocks are its own: stores need no space.
      must(yield* sys.unlink(path("a")));
      must(yield* sys.sync());
      const alone = yield* mem.tryTouch(map, content.length, { write: true, value: 7 });
      return { touched, wrote, files, alone, fsync: yield* sys.fsync(b) };
    }, blockSize);
    expect(value.touched).toMatchObject({ signal: SIGBUS });
    expect(value.wrote).toBe(-E.NOSPC);
    const b = content.slice();
    for (let i = 0; i < value.touched.done; i++) b[i * PAGE] = 7;
    expect(value.files).toEqual([content, b]);
    expect(value.alone.done).toBe(PAGES);
    expect(value.fsync).toBe(0);
  });
});

describe("fsck", () => {
  const blockOf = (d: BlockImage, name: string): number => d.get32(d.rootEntry(d.inoOf(name), 0) + 4);
  const count = (d: BlockImage, block: number): number => d.area("refcounts") + 2 * block;
  const damage: [string, number, (d: BlockImage) => void][] = [
    ["nothing", 0, () => undefined],
    ["a count that is too low", 44, (d) => d.set16(count(d, blockOf(d, "a") + 1), 1)],
    ["a count that is too high", 44, (d) => d.set16(count(d, blockOf(d, "a") + 1), 3)],
    ["a count of nobody's block", 44, (d) => d.set16(count(d, d.get32(12) - 1), 1)],
  ];
  it.each(damage)("%s is law %i", (_, law, change) => {
    const { image } = on(function* () {
      yield* save(path("a"), pattern(4 * PAGE));
      for (const name of ["b", "c"]) yield* cloned("a", name);
    }, 1024);
    const d = new BlockImage(image);
    expect(d.get16(count(d, blockOf(d, "b") + 1))).toBe(2);
    change(d);
    const report = checkImage(image);
    expect([report.law, report.shared]).toEqual(law === 0 ? [0, (4 * PAGE) / 1024] : [law, report.shared]);
  });
});

/** Clones the source again and again while stores to it go on; whether a clone ever changes. */
function* clonesStayTheSame(t: TestMachine, pages: number): Call<{ same: boolean; unlocked: number }> {
  yield* save(path("a"), pattern(pages * PAGE));
  const a = yield* opened("a");
  const at = must(yield* sys.mmap(0, pages * PAGE, RW, MAP_SHARED, a));
  let nr = 0;
  const clone = function* (): Call<string> {
    const name = `clone${nr++}`;
    const b = yield* opened(name);
    must(yield* sys.cloneRange(a, 0, pages * PAGE, b, 0), "clone");
    must(yield* sys.close(b));
    return path(name);
  };
  const same = yield* staysTheSame(clone, at, pages, 8);
  return { same, unlocked: t.stat("mkwrite_unlocked_attempts") };
}

describe("stores in the meantime (S19)", () => {
  const rows = BLOCK_SIZES.flatMap((blockSize) => MKWRITE_REGIMES.map((mkwrite) => ({ blockSize, mkwrite })));
  it.each(rows)("a clone never shows a later store, blocks of $blockSize, $mkwrite", ({ blockSize, mkwrite }) => {
    const config = { cpus: 4, mkwrite, bacikDefects: 30, choices: "random", diskBlocks: 512 } as const;
    const { value } = on((t) => clonesStayTheSame(t, 4), blockSize, config);
    expect(value.same).toBe(true);
    expect(value.unlocked > 0).toBe(mkwrite !== "generic_page_mkwrite");
  });
});

/** Changes, each noted before it is made ([orc-1]): what a power failure at any time may leave. */
class Story {
  constructor(readonly oracle: Oracle) {}

  private node(name: string): FileNode {
    const node = this.oracle.file(name);
    if (typeof node === "number") throw new Error(`${name}: ${node}`);
    return node;
  }
  *write(name: string, at: number, content: Uint8Array): Call<void> {
    if (typeof this.oracle.file(name) === "number") this.oracle.make(name, "file");
    this.oracle.put(this.node(name), at, content);
    const fd = yield* opened(name);
    must(yield* sys.pwrite(fd, content, at), "pwrite");
    must(yield* sys.close(fd));
  }
  *store(name: string, at: number, content: Uint8Array): Call<void> {
    this.oracle.put(this.node(name), at, content);
    const fd = yield* opened(name);
    const map = must(yield* sys.mmap(0, PAGES * PAGE, RW, MAP_SHARED, fd));
    must(yield* mem.store(map + at, content));
    must(yield* sys.munmap(map, PAGES * PAGE));
    must(yield* sys.close(fd));
  }
  *clone(from: string, to: string): Call<void> {
    if (typeof this.oracle.file(to) === "number") this.oracle.make(to, "file");
    this.oracle.put(this.node(to), 0, this.oracle.contentOf(this.node(from)));
    yield* cloned(from, to);
  }
  *truncate(name: string): Call<void> {
    this.oracle.write(this.node(name), new Uint8Array(0));
    must(yield* sys.truncate(path(name), 0), "truncate");
  }
  *unlink(name: string): Call<void> {
    this.oracle.remove(name, false);
    must(yield* sys.unlink(path(name)), "unlink");
  }
  *fsync(name: string): Call<void> {
    const fd = yield* opened(name);
    must(yield* sys.fsync(fd), "fsync");
    this.oracle.synced(this.node(name));
    must(yield* sys.close(fd));
  }
  *sync(): Call<void> {
    must(yield* sys.sync());
    this.oracle.allSynced();
  }
}

/** One after the other, what makes blocks shared and unshared; a flush without a commit is that of a clone. */
function* story(s: Story): Call<void> {
  yield* s.write("a", 0, pattern(4 * PAGE, 1));
  for (const name of ["b", "c"]) yield* s.clone("a", name);
  yield* s.sync();
  // The last reference but one goes, and before that is committed the last owner is written to.
  yield* s.write("a", 0, pattern(PAGE, 2));
  yield* s.truncate("c");
  yield* s.clone("a", "d");
  yield* s.write("b", 0, pattern(2 * PAGE, 3));
  yield* s.store("a", 3 * PAGE, pattern(500, 4));
  yield* s.fsync("b");
  yield* s.clone("b", "c");
  yield* s.sync();
  yield* s.unlink("c");
  yield* s.store("b", 10, pattern(3 * PAGE, 5));
  yield* s.fsync("b");
  yield* s.clone("b", "a");
  yield* s.fsync("a");
}

/** What a power failure now, with what of the unflushed is kept, leaves and should not. */
function lost(t: TestMachine, oracle: Oracle, kept: (write: UnflushedWrite) => number): string[] {
  let wrong: string[] = [];
  on(
    function* () {
      wrong = oracle.differencesAfterCrash(yield* shownBelow(MNT));
    },
    0,
    {},
    t.machine.disk.afterPowerLoss(kept),
  );
  return wrong;
}

describe("a power failure at every write", () => {
  const rows = BLOCK_SIZES.flatMap((blockSize) => seedsOf(1).map((seed) => ({ blockSize, seed })));
  it.each(rows)("shows each file as it was or as it became, blocks of $blockSize, seed $seed", ({ blockSize, seed }) => {
    const oracle = new Oracle(blockSize, true);
    const random = randomOf(seed);
    const t = new TestMachine({ cpus: 2, memoryBytes: 8 * MIB, diskBlocks: 256, limitNs: 200e9 });
    t.runOne(function* () {
      must(yield* sys.mkdir(MNT));
      must(yield* sys.mkfs("iomapfs", `blocksize=${blockSize}`), "mkfs");
      must(yield* sys.mount("iomapfs", MNT), "mount");
      must(yield* sys.sync());
    });
    t.spawn(() => story(new Story(oracle)));
    const kinds = [() => 0, () => 0xff, () => random.below(256), () => (random.oneIn(2) ? 0xff : 0)];
    let before = t.machine.disk.progress();
    let moments = 0;
    while (t.machine.guestCount > 0) {
      t.machine.run({ forNs: 10_000 });
      if (t.machine.disk.progress() === before) continue;
      before = t.machine.disk.progress();
      const kind = moments++ % kinds.length;
      expect(lost(t, oracle, kinds[kind] ?? (() => 0)), `moment ${moments}, kind ${kind}`).toEqual([]);
    }
    expect(moments).toBeGreaterThan(20);
    t.runOne(() => sys.umount(MNT));
    t.finish();
  });
});
