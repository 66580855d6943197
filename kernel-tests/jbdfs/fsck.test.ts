/*
 * fsck of iomapfs and jbdfs: each kind of damage is named, what is whole is clean, and so is the image of every workload, synced
 * and as a power failure would leave it.
 *
 * Checks: [fk-1] [fk-3], laws 33 to 49 of assembly/fs/block/fsck-state.ts.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import { FALLOC_FL_KEEP_SIZE, type KernelImage, O_CREAT, O_RDWR, Run, WORKLOADS, loadKernel, sys } from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { readAll, save } from "../fs-suite/mounted.js";
import { E, MIB, must } from "../test-machine.js";
import { checkImage, expectClean, expectCleanRun, lawOf } from "../fs-suite/check-image.js";
import { BlockImage, DI, MNT, imageOf } from "./image.js";

const TYPES = ["iomapfs", "jbdfs"] as const;
const BLOCK = 512;
const PIECES = 60;

/** A file of one block in every two, so that each is an extent of its own; in an order of the caller's. */
function* pieces(path: string, order: readonly number[]): Call<void> {
  const fd = must(yield* sys.open(path, O_RDWR | O_CREAT), "open");
  for (const i of order) {
    must(yield* sys.pwrite(fd, new Uint8Array(BLOCK).fill(i + 1), i * 2 * BLOCK), "pwrite");
    must(yield* sys.fsync(fd), "fsync");
  }
  must(yield* sys.close(fd), "close");
}

const ascending = Array.from({ length: PIECES }, (_, i) => i);

/** One of everything. */
function* someFiles(): Call<void> {
  yield* save(`${MNT}/f0`, "a file");
  yield* save(`${MNT}/f1`, new Uint8Array(3 * BLOCK).fill(7));
  yield* pieces(`${MNT}/pieces`, ascending);
  must(yield* sys.mkdir(`${MNT}/d`), "mkdir");
  must(yield* sys.mkdir(`${MNT}/e`), "mkdir");
  must(yield* sys.link(`${MNT}/f0`, `${MNT}/d/again`), "link");
  must(yield* sys.symlink("f0", `${MNT}/short`), "symlink");
  must(yield* sys.symlink("x/".repeat(400), `${MNT}/long`), "symlink");
  const fd = must(yield* sys.open(`${MNT}/room`, O_RDWR | O_CREAT), "open");
  must(yield* sys.fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 5 * BLOCK), "fallocate");
  must(yield* sys.close(fd), "close");
}

type Damage = (d: BlockImage) => void;

const FREE_INO = 200;
const lastBit = (d: BlockImage): number => d.get32(12) - 1;

/** What is changed, the law that it breaks; for one type if it is not the same for both. */
const DAMAGE: readonly [name: string, law: number, damage: Damage, type?: string][] = [
  ["a field of the superblock", 33, (d) => d.set32(64, d.get32(64) + 1)],
  ["the superblock's checksum", 33, (d) => d.set32(72, d.get32(72) ^ 1)],
  ["the journal's sequence", 34, (d) => d.set32(d.area("journal") + 8, 99)],
  ["the journal's magic", 34, (d) => d.set32(d.area("journal"), 0)],
  ["an orphan that is no inode", 35, (d) => d.set32(d.area("orphans"), d.nrInodes + 1)],
  ["an orphan that is free", 35, (d) => d.set32(d.area("orphans") + 8, FREE_INO)],
  [
    "one orphan in two slots",
    35,
    (d) => {
      d.set32(d.area("orphans"), d.inoOf("f0"));
      d.set32(d.area("orphans") + 2048, d.inoOf("f0"));
    },
  ],
  ["a free inode's bit", 36, (d) => d.flipBit(d.area("inodeBitmap"), FREE_INO - 1)],
  ["a used inode's bit", 36, (d) => d.flipBit(d.area("inodeBitmap"), d.inoOf("f0") - 1)],
  ["a file's type", 37, (d) => d.set32(d.inode(d.inoOf("f0")) + DI.mode, 0xf1a4)],
  ["the root's type", 37, (d) => d.set32(d.inode(1) + DI.mode, 0x81a4)],
  ["flags", 37, (d) => d.set32(d.inode(d.inoOf("f0")) + DI.flags, 8)],
  ["a level", 37, (d) => d.set16(d.inode(d.inoOf("f0")) + DI.level, 9)],
  ["a count of entries", 37, (d) => d.set16(d.inode(d.inoOf("f0")) + DI.count, 17)],
  ["a directory's size", 37, (d) => d.set32(d.inode(1) + DI.size, BLOCK + 1)],
  ["a node's magic", 38, (d) => d.set32(d.node(d.inoOf("pieces"), 1), 1)],
  ["a node's level", 38, (d) => d.set16(d.node(d.inoOf("pieces"), 1) + 4, 1)],
  ["a node's count", 38, (d) => d.set16(d.node(d.inoOf("pieces"), 1) + 6, 0)],
  ["a node's inode", 38, (d) => d.set32(d.node(d.inoOf("pieces"), 0) + 8, 1)],
  ["the order of extents", 39, (d) => d.set32(d.node(d.inoOf("pieces"), 0) + 16 + 5 * 12, 0)],
  ["the key above a node", 39, (d) => d.set32(d.rootEntry(d.inoOf("pieces"), 1), 90)],
  ["an extent of nothing", 39, (d) => d.set32(d.rootEntry(d.inoOf("f0"), 0) + 8, 0)],
  ["an extent in the tables", 39, (d) => d.set32(d.rootEntry(d.inoOf("f0"), 0) + 4, 3)],
  ["an extent behind the disk", 39, (d) => d.set32(d.rootEntry(d.inoOf("f1"), 0) + 4, lastBit(d))],
  ["a directory's unwritten block", 39, (d) => d.set32(d.rootEntry(1, 0) + 8, 0x8000_0001)],
  ["neighbours that fit one node", 40, (d) => d.set16(d.node(d.inoOf("pieces"), 0) + 6, 20)],
  ["the number of extents", 41, (d) => d.set32(d.inode(d.inoOf("f0")) + DI.extents, 2)],
  ["the number of blocks", 41, (d) => d.set32(d.inode(d.inoOf("f0")) + DI.dataBlocks, 2)],
  ["the number of nodes", 41, (d) => d.set32(d.inode(d.inoOf("pieces")) + DI.treeBlocks, 3)],
  ["a file's size", 42, (d) => d.set32(d.inode(d.inoOf("f1")) + DI.size, 2 * BLOCK)],
  ["room that is not unwritten", 42, (d) => d.set32(d.rootEntry(d.inoOf("room"), 0) + 8, 5)],
  ["a block of two files", 43, (d) => d.set32(d.rootEntry(d.inoOf("f1"), 0) + 4, d.get32(d.rootEntry(d.inoOf("f0"), 0) + 4)), "jbdfs"],
  ["a block of two files", 44, (d) => d.set32(d.rootEntry(d.inoOf("f1"), 0) + 4, d.get32(d.rootEntry(d.inoOf("f0"), 0) + 4)), "iomapfs"],
  ["a node that is a file's", 43, (d) => d.set32(d.rootEntry(d.inoOf("f0"), 0) + 4, d.get32(d.rootEntry(d.inoOf("pieces"), 0) + 4))],
  ["a refcount", 44, (d) => d.set16(d.area("refcounts") + 2 * lastBit(d), 1), "iomapfs"],
  ["a used block's bit", 45, (d) => d.flipBit(d.area("bitmap"), d.get32(d.rootEntry(d.inoOf("f0"), 0) + 4))],
  ["a free block's bit", 45, (d) => d.flipBit(d.area("bitmap"), lastBit(d))],
  ["a table's bit", 45, (d) => d.flipBit(d.area("bitmap"), 1)],
  ["a record's length", 46, (d) => d.set16(d.record("f1") + 4, 2)],
  ["a record's name twice", 46, (d) => (d.bytes[d.record("f1") + 9] = 0x30)],
  ["a slash in a name", 46, (d) => (d.bytes[d.record("f1") + 8] = 0x2f)],
  ["a name of a free inode", 47, (d) => d.set32(d.record("f1"), FREE_INO)],
  ["a name of no inode", 47, (d) => d.set32(d.record("f1"), d.nrInodes + 1)],
  ["a name's type", 47, (d) => (d.bytes[d.record("f1") + 7] = 2)],
  ["a file's links", 48, (d) => d.set32(d.inode(d.inoOf("f0")) + DI.nlink, 1)],
  ["a directory's links", 48, (d) => d.set32(d.inode(1) + DI.nlink, 3)],
  ["a name of another file", 48, (d) => d.set32(d.record("f1"), d.inoOf("f0"))],
  ["no name of a file", 48, (d) => d.set32(d.record("f1"), 0)],
  [
    "no name of a directory",
    49,
    (d) => {
      d.set32(d.record("e"), 0);
      d.set32(d.inode(1) + DI.nlink, 3);
    },
  ],
  ["two names of a directory", 49, (d) => d.set32(d.record("d"), d.inoOf("e"))],
  ["a name of the root", 49, (d) => d.set32(d.record("d"), 1)],
];

describe.each(TYPES)("damage to %s", (type) => {
  let whole: Uint8Array;
  beforeAll(() => {
    whole = imageOf(type, "blocksize=512", someFiles);
  });

  it("the whole image is clean, and everything was walked", () => {
    const report = expectClean(whole);
    // The root, d, e, f0, f1, pieces, room and two links; a name for each but the root, and the hard link's.
    expect(report).toMatchObject({ filesystem: type, inodes: 9, names: 9, orphans: 0, transactions: 0, shared: 0, treeBlocks: 2 });
    expect(report.extents).toBeGreaterThanOrEqual(PIECES + 5);
  });

  it.each(DAMAGE.filter(([, , , only]) => only === undefined || only === type))("%s is law %i", (_, law, damage) => {
    const d = new BlockImage(whole.slice());
    damage(d);
    const before = d.bytes.slice();
    const report = checkImage(d.bytes);
    expect(report.law, report.lawName).toBe(law);
    expect(report.lawName).not.toBe("");
    expect(Buffer.compare(d.bytes, before)).toBe(0);
  });

  it("every law has a row", () => {
    const laws = new Set(DAMAGE.map(([, law]) => law));
    expect([...laws].sort()).toEqual(Array.from({ length: 17 }, (_, i) => 33 + i));
  });
});

describe("extent trees", () => {
  const shuffled = ascending.map((i) => (i * 37) % PIECES);
  const orders: [string, number[]][] = [
    ["ascending", ascending],
    ["descending", [...ascending].reverse()],
    ["mixed", shuffled],
  ];
  it.each(TYPES.flatMap((type) => orders.map(([name, order]) => [type, name, order] as const)))("%s, %s", (type, _, order) => {
    let wrong: number[] = [];
    const image = imageOf(type, "blocksize=512", function* () {
      yield* pieces(`${MNT}/f`, order);
      must(yield* sys.umount(MNT), "umount");
      must(yield* sys.mount(type, MNT), "mount");
      const content = yield* readAll(`${MNT}/f`);
      wrong = ascending.filter((i) => content[i * 2 * BLOCK] !== i + 1 || (i > 0 && content[i * 2 * BLOCK - 1] !== 0));
    });
    expect(wrong).toEqual([]);
    expectClean(image);
  });
});

describe("an image written by any workload is clean", () => {
  let kernel: KernelImage;
  beforeAll(async () => {
    kernel = await loadKernel(true);
  });
  const filesystems = ["iomapfs", "jbdfs", "iomapfs-1024", "jbdfs-nodelalloc", "iomapfs-dax"];
  const rows = WORKLOADS.flatMap(({ name }, i) => [0, 1].map((n) => ({ name, fs: filesystems[(i * 2 + n) % 5] ?? "jbdfs" })));
  it.each(rows)("$name on $fs", ({ name, fs }) => {
    const config = { memoryBytes: 64 * MIB };
    const run = new Run(kernel, { workload: name, tasks: 2, mode: "threads", fs, lenBytes: MIB, durationNs: 2e6, warmupNs: 1e5, config });
    expectCleanRun(run);
  });
});

describe("faultline fsck", () => {
  const cli = fileURLToPath(new URL("../../build/dist/cli/main.js", import.meta.url));
  const fsck = (image: Uint8Array): { status: number | null; stdout: string } => {
    const directory = mkdtempSync(join(tmpdir(), "faultline-fsck-"));
    writeFileSync(join(directory, "image"), image);
    const run = spawnSync(process.execPath, [cli, "fsck", join(directory, "image")], {
      encoding: "utf8",
      env: { ...process.env, NO_COLOR: "1" },
    });
    rmSync(directory, { recursive: true });
    return run;
  };

  it.each(TYPES)("knows %s by its superblock", (type) => {
    const image = imageOf(type, "blocksize=1024", () => save(`${MNT}/f`, "content"));
    const clean = fsck(image);
    expect(clean.stdout).toBe(
      `clean, ${type}: 0 extent nodes, 2 extents with 2 blocks of data, 2 inodes, 1 names, ` +
        "0 shared blocks, 0 orphans, 0 transactions to replay\n",
    );
    expect(clean.status).toBe(0);
    const d = new BlockImage(image.slice());
    d.set32(d.inode(d.inoOf("f")) + DI.nlink, 5);
    const broken = fsck(d.bytes);
    expect(broken.stdout).toMatch(/^law 48 is broken: link counts, inode 2\n/);
    expect(broken.status).toBe(1);
  });

  it("a filesystem that is mounted, or none, is not checked", () => {
    expect(lawOf(new Uint8Array(64 * 4096))).toBe(1);
    let mounted = 0;
    imageOf("jbdfs", "", function* () {
      mounted = yield* sys.fsck("jbdfs");
    });
    expect(mounted).toBe(-E.BUSY);
  });
});
