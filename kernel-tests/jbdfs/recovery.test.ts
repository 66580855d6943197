/*
 * Recovery on another machine, and over the remains of another filesystem: the ring is replayed to its last whole transaction
 * with however little memory, and nothing of what was there before mkfs is replayed.
 *
 * Checks: [rec-1] [mkf-2].
 */
import { describe, expect, it } from "vitest";
import { O_CREAT, O_RDWR, sys } from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { make, names, unmount } from "../fs-suite/mounted.js";
import { MIB, TestMachine, must } from "../test-machine.js";
import { checkImage, expectClean } from "../fs-suite/check-image.js";
import { MNT } from "./image.js";

const DISK = 512;
const TYPES = ["iomapfs", "jbdfs"] as const;

/** Names of so many files, made in one transaction that a sync commits. */
function* makeFiles(prefix: string, count: number): Call<void> {
  for (let i = 0; i < count; i++) must(yield* make(`${MNT}/${prefix}${i}`), "make");
  must(yield* sys.sync(), "sync");
}

/** A disk as the power failed behind what the guest did; mkfs came first. */
function crashed(type: string, before: Uint8Array | undefined, body: () => Call<void>, mkfs = "blocksize=512,inodes=512"): Uint8Array {
  const t = new TestMachine({ cpus: 2, memoryBytes: 32 * MIB, diskBlocks: DISK, limitNs: 200e9 });
  if (before) t.machine.disk.load(before);
  return t.runOne(function* () {
    must(yield* sys.mkdir(MNT));
    must(yield* sys.mkfs(type, mkfs), "mkfs");
    must(yield* sys.mount(type, MNT), "mount");
    yield* body();
    return t.machine.disk.afterPowerLoss();
  });
}

/** Names on the image, mounted with so much memory. */
function namesOn(type: string, image: Uint8Array, memoryBytes: number): string[] {
  const t = new TestMachine({ cpus: 1, memoryBytes, diskBlocks: DISK, limitNs: 200e9 });
  t.machine.disk.load(image);
  const found = t.runOne(function* () {
    must(yield* sys.mkdir(MNT));
    must(yield* sys.mount(type, MNT), "mount");
    const all = yield* names(MNT);
    yield* unmount(type);
    return all;
  });
  t.finish();
  return found;
}

describe.each(TYPES)("%s", (type) => {
  it("a transaction of a machine with more memory is replayed", () => {
    // More blocks of the inode table than a sixteenth of the second machine's frames.
    const image = crashed(type, undefined, () => makeFiles("f", 600), "inodes=1024,journal=200");
    expect(checkImage(image).transactions).toBeGreaterThan(0);
    expect(namesOn(type, image, 1.5 * MIB).length).toBe(600);
  });

  it("a transaction of the filesystem before mkfs is not", () => {
    const older = crashed(type, undefined, function* () {
      yield* makeFiles("a", 3);
      yield* makeFiles("b", 3);
    });
    const image = crashed(type, older, () => makeFiles("a", 3));
    expectClean(image);
    expect(namesOn(type, image, 8 * MIB)).toEqual(["a0", "a1", "a2"]);
    expect(checkImage(image).transactions).toBe(1);
  });

  it("an open file without a name is an orphan until the next mount", () => {
    const image = crashed(type, undefined, function* () {
      const fd = must(yield* sys.open(`${MNT}/f`, O_RDWR | O_CREAT), "open");
      must(yield* sys.pwrite(fd, new Uint8Array(5000).fill(1), 0), "pwrite");
      must(yield* sys.fsync(fd), "fsync");
      must(yield* sys.unlink(`${MNT}/f`), "unlink");
      must(yield* sys.sync(), "sync");
    });
    expect(expectClean(image).orphans).toBe(1);
    expect(namesOn(type, image, 8 * MIB)).toEqual([]);
  });
});
