/*
 * Reflinks and snapshots: shared extents, counted; what is stored to one side never shows on the other; what goes is free again.
 *
 * Checks: [mk-9] [cow-7] [cow-3] [cow-2], S19, S20; references by fsck after every step.
 */
import { describe, expect, it } from "vitest";
import { MAP_SHARED, MKWRITE_REGIMES, O_CREAT, O_RDONLY, O_RDWR, mem, sys } from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { expectClean } from "../fs-suite/check-image.js";
import { staysTheSame } from "../fs-suite/sharing.js";
import { data, pattern, readAll, save } from "../fs-suite/mounted.js";
import { E, PAGE, RW, type TestMachine, must } from "../test-machine.js";
import { BLOCK_SIZES, MNT, on, withCowfs } from "./machine.js";

const PAGES = 16;
const path = (name: string): string => `${MNT}/${name}`;

function* opened(name: string): Call {
  return must(yield* sys.open(path(name), O_RDWR | O_CREAT), `open ${name}`);
}

/** Clusters that are free, or will be with the next commit, once everything is on the disk. */
function* freeClusters(t: TestMachine): Call {
  // The second one drops what the first has pinned.
  must(yield* sys.sync(), "sync");
  must(yield* sys.sync(), "sync");
  return t.stat("cowfs_free_clusters");
}

function* snapshot(name: string, directory = MNT): Call {
  const fd = must(yield* sys.open(directory, O_RDONLY), "open");
  const result = yield* sys.snapshot(fd, name);
  must(yield* sys.close(fd));
  return result;
}

describe("reflinks", () => {
  for (const blockSize of BLOCK_SIZES) {
    it(`share the extents, take no data space, and are apart afterwards, blocks of ${blockSize}`, () => {
      const content = pattern(PAGES * PAGE, 1);
      const { image, value } = withCowfs({ blockSize }, function* (t) {
        yield* save(path("a"), content);
        const before = yield* freeClusters(t);
        const [a, b] = [yield* opened("a"), yield* opened("b")];
        must(yield* sys.cloneRange(a, 0, content.length, b, 0), "clone");
        const taken = before - (yield* freeClusters(t));
        const same = yield* readAll(path("b"));
        // A write, and a store through a mapping, to each side.
        const at = must(yield* sys.mmap(0, content.length, RW, MAP_SHARED, a));
        must(yield* mem.store(at + 3 * PAGE + 5, Uint8Array.of(1, 2, 3)));
        must(yield* sys.pwrite(b, Uint8Array.of(9, 9), 5 * PAGE + 1));
        must(yield* sys.sync());
        return { taken, same, a: yield* readAll(path("a")), b: yield* readAll(path("b")) };
      });
      expect(value.taken).toBeLessThanOrEqual(2);
      expect(value.same).toEqual(content);
      const [a, b] = [content.slice(), content.slice()];
      a.set([1, 2, 3], 3 * PAGE + 5);
      b.set([9, 9], 5 * PAGE + 1);
      expect(value.a).toEqual(a);
      expect(value.b).toEqual(b);
      expectClean(image);
      const again = on(image, function* () {
        return [yield* readAll(path("a")), yield* readAll(path("b"))];
      });
      expect(again.value).toEqual([a, b]);
    });

    it(`deletion frees exactly: the last reference takes the extent with it, blocks of ${blockSize}`, () => {
      const { image, value } = withCowfs({ blockSize }, function* (t) {
        const empty = yield* freeClusters(t);
        yield* save(path("a"), pattern(PAGES * PAGE));
        const one = yield* freeClusters(t);
        const a = yield* opened("a");
        for (const name of ["b", "c"]) must(yield* sys.cloneRange(a, 0, PAGES * PAGE, yield* opened(name), 0), "clone");
        const levels: number[] = [];
        for (const name of ["a", "c"]) must(yield* sys.unlink(path(name)));
        must(yield* sys.close(a));
        levels.push(yield* freeClusters(t));
        const right = yield* readAll(path("b"));
        must(yield* sys.unlink(path("b")));
        return { empty, one, levels, right };
      });
      expect(value.right).toEqual(pattern(PAGES * PAGE));
      // Names and inodes of one file are left in the trees, whatever its name.
      expect(value.levels).toEqual([value.one]);
      expect(value.empty - value.one).toBeGreaterThanOrEqual(PAGES);
      const report = expectClean(image);
      expect([report.extents, report.dataBlocks]).toEqual([0, 0]);
      expect(on(image, (t) => freeClusters(t)).value).toBe(value.empty);
    });
  }

  it("a part of an extent keeps the whole of it, until it goes, too", () => {
    const { image } = withCowfs({}, function* () {
      yield* save(path("a"), pattern(8 * PAGE));
      const [a, b] = [yield* opened("a"), yield* opened("b")];
      must(yield* sys.fsync(a), "fsync");
      must(yield* sys.cloneRange(a, 2 * PAGE, 3 * PAGE, b, PAGE), "clone");
      must(yield* sys.close(a));
      must(yield* sys.unlink(path("a")));
    });
    const held = expectClean(image);
    expect([held.extents, held.dataBlocks]).toEqual([1, 8]);
    const { image: without, value } = on(image, function* () {
      const content = yield* readAll(path("b"));
      must(yield* sys.unlink(path("b")));
      return content;
    });
    expect(value.subarray(PAGE)).toEqual(pattern(8 * PAGE).subarray(2 * PAGE, 5 * PAGE));
    expect(value.subarray(0, PAGE).every((byte) => byte === 0)).toBe(true);
    expect(expectClean(without).extents).toBe(0);
  });

  it("a chain of clones survives its beginning", () => {
    const { image } = withCowfs({ blockSize: 1024 }, function* () {
      yield* save(path("0"), pattern(4 * PAGE));
      for (let i = 1; i < 8; i++) {
        const [from, to] = [yield* opened(String(i - 1)), yield* opened(String(i))];
        must(yield* sys.cloneRange(from, 0, 4 * PAGE, to, 0), "clone");
        must(yield* sys.pwrite(to, Uint8Array.of(i), i * 1024), "pwrite");
        must(yield* sys.close(from));
        must(yield* sys.close(to));
        must(yield* sys.unlink(path(String(i - 1))));
      }
    });
    expectClean(image);
    const wanted = pattern(4 * PAGE);
    for (let i = 1; i < 8; i++) wanted[i * 1024] = i;
    expect(on(image, () => readAll(path("7"))).value).toEqual(wanted);
  });
});

describe("stores in the meantime (S19, S20)", () => {
  for (const blockSize of [4096, 512]) {
    it.each(MKWRITE_REGIMES)(`a clone and a snapshot never show a later store, blocks of ${blockSize}, %s`, (mkwrite) => {
      const config = { cpus: 4, mkwrite, bacikDefects: 30, choices: "random", diskBlocks: 1024 } as const;
      const { image, value } = withCowfs({ blockSize, config }, function* () {
        yield* save(path("a"), pattern(4 * PAGE));
        const a = yield* opened("a");
        const at = must(yield* sys.mmap(0, 4 * PAGE, RW, MAP_SHARED, a));
        let nr = 0;
        const clone = function* (): Call<string> {
          const b = yield* opened(`clone${nr++}`);
          must(yield* sys.cloneRange(a, 0, 4 * PAGE, b, 0), "clone");
          must(yield* sys.close(b));
          return path(`clone${nr - 1}`);
        };
        const snap = function* (): Call<string> {
          must(yield* snapshot(`snap${nr++}`), "snapshot");
          return path(`snap${nr - 1}/a`);
        };
        return [yield* staysTheSame(clone, at, 4, 6), yield* staysTheSame(snap, at, 4, 6)];
      });
      expect(value).toEqual([true, true]);
      expectClean(image);
    });
  }
});

describe("snapshots", () => {
  it("show what was there when they were made, also after a remount, and take nothing that is written", () => {
    const content = pattern(3 * PAGE + 9);
    const { image } = withCowfs({ blockSize: 1024 }, function* () {
      must(yield* sys.mkdir(path("d")));
      yield* save(path("d/f"), content);
      must(yield* sys.link(path("d/f"), path("hard")));
      must(yield* sys.symlink("d/f", path("soft")));
      must(yield* snapshot("before"), "snapshot");
      yield* save(path("d/f"), "another content");
      must(yield* sys.unlink(path("hard")));
      must(yield* sys.rename(path("d"), path("e")));
      must(yield* snapshot("after"), "snapshot");
    });
    const report = expectClean(image);
    expect(report.snapshots).toBe(2);
    const { value } = on(image, function* () {
      return {
        before: yield* readAll(path("before/d/f")),
        hard: yield* readAll(path("before/hard")),
        target: yield* sys.readlink(path("before/soft")),
        now: new TextDecoder().decode(yield* readAll(path("e/f"))),
        after: new TextDecoder().decode(yield* readAll(path("after/e/f"))),
        write: yield* sys.open(path("before/d/f"), O_RDWR),
        create: yield* sys.open(path("before/new"), O_RDWR | O_CREAT),
        unlink: yield* sys.unlink(path("before/soft")),
        mkdir: yield* sys.mkdir(path("before/new")),
      };
    });
    expect(value).toMatchObject({ target: "d/f", now: "another content", after: "another content" });
    expect(value.before).toEqual(content);
    expect(value.hard).toEqual(content);
    for (const refused of [value.create, value.unlink, value.mkdir]) expect(refused).toBe(-E.ROFS);
  });

  it("hold the space of what is deleted, and are a source for clones", () => {
    const { image, value } = withCowfs({}, function* (t) {
      yield* save(path("f"), pattern(PAGES * PAGE));
      must(yield* snapshot("s"), "snapshot");
      const before = yield* freeClusters(t);
      must(yield* sys.unlink(path("f")));
      const after = yield* freeClusters(t);
      const from = must(yield* sys.open(path("s/f"), O_RDONLY));
      const back = yield* opened("back");
      must(yield* sys.cloneRange(from, 0, PAGES * PAGE, back, 0), "clone");
      return { freed: after - before, right: data(yield* sys.pread(back, PAGES * PAGE, 0)) };
    });
    expect(value.freed).toBeLessThan(4);
    expect(value.right).toEqual(pattern(PAGES * PAGE));
    const report = expectClean(image);
    expect(report.dataBlocks).toBe(PAGES);
  });

  it("what the ioctl refuses", () => {
    const { value } = withCowfs({}, function* () {
      yield* save(path("f"), "x");
      const file = yield* opened("f");
      const results = [yield* snapshot("s"), yield* snapshot("s"), yield* snapshot("f"), yield* sys.snapshot(file, "t")];
      for (const name of ["", ".", "..", "a/b"]) results.push(yield* snapshot(name));
      results.push(yield* snapshot("n".repeat(256)), yield* snapshot("t", path("s")), yield* sys.rmdir(path("s")));
      return results;
    });
    const invalid = [-E.INVAL, -E.INVAL, -E.INVAL, -E.INVAL];
    expect(value).toEqual([0, -E.EXIST, -E.EXIST, -E.NOTDIR, ...invalid, -E.NAMETOOLONG, -E.ROFS, -E.NOTEMPTY]);
  });

  it("a disk that cannot take the copies to come refuses the snapshot, and stays whole", () => {
    const { image, value } = withCowfs({ config: { diskBlocks: 64 } }, function* () {
      const fd = yield* opened("f");
      let at = 0;
      while ((yield* sys.pwrite(fd, pattern(PAGE, at), at * PAGE)) === PAGE) at++;
      must(yield* sys.fsync(fd));
      const results: number[] = [];
      for (let i = 0; i < 3; i++) results.push(yield* snapshot(`s${i}`));
      must(yield* sys.fsync(fd));
      return results;
    });
    expect(value).toContain(-E.NOSPC);
    expectClean(image);
  });
});
