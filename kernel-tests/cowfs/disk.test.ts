/*
 * What is on the disk: checksums of data and trees, the two superblocks, the order of a commit's writes, and an image that shows
 * the same files on another machine.
 *
 * Checks: [cow-8] [cow-9] [cow-1] [tb-2] [cl-1] [cm-1] [cm-3].
 */
import { describe, expect, it } from "vitest";
import { MAP_SHARED, O_CREAT, O_RDONLY, O_RDWR, SIGBUS, mem, sys } from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { data, pattern, readAll, save, tree } from "../fs-suite/mounted.js";
import { E, PAGE, RW, must } from "../test-machine.js";
import { checkImage, expectClean, lawOf } from "../fs-suite/check-image.js";
import { BLOCK_SIZES, MNT, boot, eventsOf, flipped, on, placeOf, withCowfs } from "./machine.js";

const CLUSTER = 4096;
const SUPER = 16 * CLUSTER;
const GENERATION = 72;

/** A tree with everything in it, on the disk. */
function* someFiles(): Call<string[]> {
  must(yield* sys.mkdir(`${MNT}/d`));
  must(yield* sys.mkdir(`${MNT}/d/deep`));
  yield* save(`${MNT}/d/deep/f`, pattern(5 * PAGE + 77));
  yield* save(`${MNT}/small`, "a few bytes");
  yield* save(`${MNT}/empty`, "");
  must(yield* sys.link(`${MNT}/small`, `${MNT}/d/hard`));
  must(yield* sys.symlink("d/deep/f", `${MNT}/soft`));
  must(yield* sys.symlink("nowhere", `${MNT}/d/dangling`));
  const fd = must(yield* sys.open(`${MNT}/sparse`, O_RDWR | O_CREAT));
  must(yield* sys.pwrite(fd, pattern(100, 5), 40 * PAGE));
  must(yield* sys.close(fd));
  return yield* tree(MNT);
}

describe("an image on a new machine", () => {
  for (const blockSize of BLOCK_SIZES) {
    it(`shows the same files, links and times, blocks of ${blockSize}`, () => {
      const first = withCowfs({ blockSize }, someFiles);
      const report = expectClean(first.image);
      // root, d, deep, f, small, empty, soft, dangling, sparse; a name for each but the root, and one more for the hard link.
      expect([report.inodes, report.names]).toEqual([9, 9]);
      const second = on(first.image, () => tree(MNT));
      expect(second.value).toEqual(first.value);
      expect(second.value.length).toBe(9);
      expect(on(second.image, () => readAll(`${MNT}/soft`)).value).toEqual(pattern(5 * PAGE + 77));
    });
  }

  it("a write on the second machine goes on where the first stopped", () => {
    let { image } = withCowfs({}, () => save(`${MNT}/0`, pattern(PAGE, 0)));
    for (let i = 1; i < 6; i++) ({ image } = on(image, () => save(`${MNT}/${i}`, pattern(PAGE + i, i))));
    expectClean(image);
    const found = on(image, function* () {
      const contents: Uint8Array[] = [];
      for (let i = 0; i < 6; i++) contents.push(yield* readAll(`${MNT}/${i}`));
      return contents;
    });
    expect(found.value).toEqual([0, 1, 2, 3, 4, 5].map((i) => pattern(PAGE + i, i)));
  });

  it("mount options: ro writes nothing", () => {
    const { image } = withCowfs({}, someFiles);
    const ro = on(image, () => sys.open(`${MNT}/new`, O_RDWR | O_CREAT), { mountOptions: "ro" });
    expect(ro.value).toBe(-E.ROFS);
    expect(Buffer.compare(ro.image, image)).toBe(0);
  });
});

describe("checksums of data", () => {
  for (const blockSize of BLOCK_SIZES) {
    it(`a changed byte is EIO and a message, its neighbours are read, blocks of ${blockSize}`, () => {
      const content = pattern(8 * PAGE, 3);
      const { image } = withCowfs({ blockSize }, () => save(`${MNT}/f`, content));
      const at = placeOf(image, content.subarray(3 * PAGE, 4 * PAGE)) + 100;
      const bad = flipped(image, at);
      expect(checkImage(bad)).toMatchObject({ law: 8, lawName: "checksums of data" });
      const { value, t } = on(bad, function* (machine) {
        const fd = must(yield* sys.open(`${MNT}/f`, O_RDONLY));
        const read = yield* sys.pread(fd, PAGE, 3 * PAGE);
        const before = yield* sys.pread(fd, PAGE, 2 * PAGE);
        const after = yield* sys.pread(fd, PAGE, 4 * PAGE);
        const address = must(yield* sys.mmap(0, 8 * PAGE, 1, MAP_SHARED, fd));
        const touched = yield* mem.tryTouch(address + 3 * PAGE, PAGE);
        return { read, before, after, signal: touched.signal, errors: machine.stat("cowfs_csum_errors") };
      });
      expect(value).toMatchObject({ read: -E.IO, signal: SIGBUS });
      expect(value.before).toEqual(content.subarray(2 * PAGE, 3 * PAGE));
      expect(value.after).toEqual(content.subarray(4 * PAGE, 5 * PAGE));
      expect(value.errors).toBeGreaterThan(0);
      // The message names the block of the disk.
      const block = BigInt(at - (at % blockSize));
      expect(eventsOf(t, "faultline:cowfs_csum_failed").map((event) => event.a)).toContain(block);
    });
  }

  it("a block that is written anew is good again", () => {
    const content = pattern(4 * PAGE, 3);
    const { image } = withCowfs({}, () => save(`${MNT}/f`, content));
    const bad = flipped(image, placeOf(image, content.subarray(PAGE, 2 * PAGE)));
    const mended = on(bad, function* () {
      const fd = must(yield* sys.open(`${MNT}/f`, O_RDWR));
      // The whole page: nothing of the old block has to be read.
      must(yield* sys.pwrite(fd, content.subarray(PAGE, 2 * PAGE), PAGE));
      must(yield* sys.fsync(fd));
      return yield* readAll(`${MNT}/f`);
    });
    expect(mended.value).toEqual(content);
  });

  it("a store to a page whose block is bad is SIGBUS", () => {
    const content = pattern(4 * PAGE, 3);
    const { image } = withCowfs({}, () => save(`${MNT}/f`, content));
    const bad = flipped(image, placeOf(image, content.subarray(PAGE, 2 * PAGE)));
    const { value } = on(bad, function* () {
      const fd = must(yield* sys.open(`${MNT}/f`, O_RDWR));
      const at = must(yield* sys.mmap(0, 4 * PAGE, RW, MAP_SHARED, fd));
      return (yield* mem.tryTouch(at + PAGE, PAGE, { write: true })).signal;
    });
    expect(value).toBe(SIGBUS);
  });
});

describe("every cluster that is in use is covered", () => {
  for (const blockSize of [4096, 512]) {
    it(`a changed byte anywhere in it breaks a law, and nowhere else, blocks of ${blockSize}`, () => {
      const { image } = withCowfs({ blockSize, config: { diskBlocks: 128 } }, someFiles);
      const { treeBlocks, dataBlocks } = expectClean(image);
      let broken = 0;
      const unit = Math.min(blockSize, CLUSTER);
      for (let at = 0; at < image.length; at += unit) {
        if (at === SUPER || at === image.length - CLUSTER) continue;
        // Behind the header of a tree block, where checksums of both kinds reach.
        if (lawOf(flipped(image, at + 200)) !== 0) broken++;
      }
      expect(broken).toBe(treeBlocks * (CLUSTER / unit) + dataBlocks);
    });
  }
});

describe("the two superblocks", () => {
  const generationOf = (image: Uint8Array, at: number): number => new DataView(image.buffer).getUint32(at + GENERATION, true);

  /** An older and a newer state of one filesystem, each with both superblocks. */
  function twoStates(): { older: Uint8Array; newer: Uint8Array; mirror: number } {
    const { image: older } = withCowfs({}, () => save(`${MNT}/f`, "older"));
    const { image: newer } = on(older, () => save(`${MNT}/f`, "newer"));
    const mirror = newer.length - CLUSTER;
    for (const image of [older, newer]) expect(generationOf(image, SUPER)).toBe(generationOf(image, mirror));
    expect(generationOf(newer, SUPER)).toBeGreaterThan(generationOf(older, SUPER));
    return { older, newer, mirror };
  }
  /** `image` with the block at `at` taken from another one, or with a byte of it changed. */
  function withBlock(image: Uint8Array, at: number, from: Uint8Array | number): Uint8Array {
    if (typeof from === "number") return flipped(image, at + from);
    const copy = image.slice();
    copy.set(from.subarray(at, at + CLUSTER), at);
    return copy;
  }
  const content = (image: Uint8Array): string =>
    on(image, function* () {
      return new TextDecoder().decode(yield* readAll(`${MNT}/f`));
    }).value;

  it("the newer valid one is taken, whichever it is", () => {
    const { older, newer, mirror } = twoStates();
    for (const at of [SUPER, mirror]) {
      const mixed = withBlock(newer, at, older);
      expect(content(mixed)).toBe("newer");
      expectClean(mixed);
    }
  });

  it("a broken one is passed over, whichever it is, wherever it is broken", () => {
    const { newer, mirror } = twoStates();
    // Checksum, address, magic, generation, root, the last byte.
    for (const at of [SUPER, mirror]) {
      for (const byte of [0, 48, 64, GENERATION, 80, CLUSTER - 1]) {
        expect(content(withBlock(newer, at, byte)), `byte ${byte}`).toBe("newer");
      }
    }
  });

  it("a generation that lies is caught by the checksum: the older state stands", () => {
    const { older, newer, mirror } = twoStates();
    const mixed = withBlock(withBlock(newer, SUPER, older), mirror, GENERATION);
    expect(content(mixed)).toBe("older");
  });

  it("a superblock at the other one's place is not valid", () => {
    const { newer, mirror } = twoStates();
    const swapped = newer.slice();
    swapped.set(newer.subarray(SUPER, SUPER + CLUSTER), mirror);
    swapped[SUPER] = (swapped[SUPER] ?? 0) ^ 1;
    expect(lawOf(swapped)).toBe(1);
  });

  it("without a valid one nothing is mounted, and law 1 is broken", () => {
    const { newer, mirror } = twoStates();
    const none = withBlock(withBlock(newer, SUPER, 1), mirror, 1);
    expect(lawOf(none)).toBe(1);
    const t = boot({}, none);
    const result = t.runOne(function* () {
      must(yield* sys.mkdir(MNT));
      return yield* sys.mount("cowfs", MNT);
    });
    t.finish();
    expect(result).toBe(-E.INVAL);
  });

  it("the next commit mends the broken one", () => {
    const { newer, mirror } = twoStates();
    for (const at of [SUPER, mirror]) {
      const mended = on(withBlock(newer, at, GENERATION), () => save(`${MNT}/g`, "x")).image;
      expect(generationOf(mended, SUPER)).toBe(generationOf(mended, mirror));
      expectClean(mended);
    }
  });
});

describe("a commit", () => {
  const FLUSH = "flush";
  /** Writes and flushes of the last commit, by what they are. */
  function orderOf(): string[] {
    const { t } = withCowfs({}, function* (machine) {
      const fd = must(yield* sys.open(`${MNT}/f`, O_RDWR | O_CREAT));
      must(yield* sys.pwrite(fd, pattern(3 * PAGE), 0));
      must(yield* sys.fsync(fd));
      marks.from = machine.machine.traceWritten();
      must(yield* sys.pwrite(fd, pattern(2 * PAGE, 2), PAGE));
      must(yield* sys.fsync(fd));
      marks.to = machine.machine.traceWritten();
    });
    const all = t.machine.trace();
    const first = t.machine.traceWritten() - all.length;
    return all
      .slice(marks.from - first, marks.to - first)
      .flatMap((event) => (event.name === "block:block_rq_complete" || event.name === "block:block_rq_issue" ? [event] : []))
      .map((event) => `${event.name.slice(15)} ${describeBio(event.a, event.b)}`);
  }
  const marks = { from: 0, to: 0 };
  const describeBio = (sector: bigint, detail: bigint): string => {
    const op = Number(detail >> 60n);
    const cluster = Number(sector) / 8;
    return op === 2 ? FLUSH : cluster === 16 || cluster === 511 ? `super ${cluster}` : op === 1 ? "write" : "read";
  };

  it("writes data, then tree blocks, flushes, writes the superblock, its mirror, and flushes", () => {
    const order = orderOf();
    const done = order.filter((line) => line.startsWith("complete"));
    const tail = done.slice(done.indexOf(`complete ${FLUSH}`));
    expect(tail).toEqual([`complete ${FLUSH}`, "complete super 16", "complete super 511", `complete ${FLUSH}`]);
    const head = order.slice(0, order.indexOf(`issue ${FLUSH}`));
    // Everything else was done before the first flush was issued ([cow-9]).
    expect(head.filter((line) => line === "issue write").length).toBeGreaterThan(1);
    expect(head.filter((line) => line === "complete write").length).toBe(head.filter((line) => line === "issue write").length);
    expect(order.indexOf("issue super 16")).toBeGreaterThan(order.indexOf(`complete ${FLUSH}`));
  });

  it("the superblock is on the medium when its write is done, its mirror after the flush (FUA)", () => {
    // Stop at every step of the disk: the first time that the new generation is certain, no flush has come after it.
    const t = boot();
    t.runOne(function* () {
      must(yield* sys.mkfs("cowfs"), "mkfs");
      must(yield* sys.mkdir(MNT));
      must(yield* sys.mount("cowfs", MNT), "mount");
    });
    const before = generationOf(t.machine.disk.afterPowerLoss(), SUPER);
    t.spawn(function* () {
      yield* save(`${MNT}/f`, pattern(PAGE));
      return yield* sys.sync();
    });
    while (t.machine.guestCount > 0 && generationOf(t.machine.disk.afterPowerLoss(), SUPER) === before) t.machine.run({ forNs: 1000 });
    const image = t.machine.disk.afterPowerLoss();
    expect(generationOf(image, SUPER)).toBeGreaterThan(before);
    expect(generationOf(image, image.length - CLUSTER)).toBe(before);
    expectClean(image);
    t.run();
    t.runOne(() => sys.umount(MNT));
    t.finish();
  });

  const generationOf = (image: Uint8Array, at: number): number => new DataView(image.buffer).getUint32(at + GENERATION, true);
});

describe("errors of the disk", () => {
  it("a write that fails is told once to fsync, the old content stands, the filesystem goes on", () => {
    const { value } = withCowfs({}, function* (t) {
      yield* save(`${MNT}/f`, pattern(PAGE));
      const fd = must(yield* sys.open(`${MNT}/f`, O_RDWR));
      must(yield* sys.fsync(fd));
      t.machine.disk.injectFaults({ eioWriteNth: 1 });
      must(yield* sys.pwrite(fd, pattern(PAGE, 2), 0));
      const results = [yield* sys.fsync(fd), yield* sys.fsync(fd)];
      must(yield* sys.pwrite(fd, pattern(PAGE, 3), 0));
      results.push(yield* sys.fsync(fd));
      return [results, data(yield* sys.pread(fd, 8, 0))];
    });
    expect(value).toEqual([[-E.IO, 0, 0], pattern(PAGE, 3).subarray(0, 8)]);
  });

  it("a commit that fails turns the filesystem read-only, and the last transaction stands", () => {
    const { value, image } = withCowfs({}, function* (t) {
      yield* save(`${MNT}/f`, "before");
      must(yield* sys.sync());
      yield* save(`${MNT}/g`, "after");
      const fd = must(yield* sys.open(`${MNT}/g`, O_RDWR));
      t.machine.disk.injectFaults({ eioFlushNth: 1 });
      return [yield* sys.fsync(fd), yield* sys.open(`${MNT}/h`, O_RDWR | O_CREAT), yield* sys.fsync(fd)];
    });
    expect(value).toEqual([-E.IO, -E.ROFS, -E.IO]);
    expectClean(image);
    expect(on(image, () => tree(MNT)).value.map((line) => line.split(" ")[0])).toEqual([`${MNT}/f`]);
  });
});
