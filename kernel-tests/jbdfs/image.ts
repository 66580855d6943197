/*
 * Images of iomapfs and jbdfs: made, read and changed field by field, as layout.ts says.
 *
 *   const image = imageOf("jbdfs", "blocksize=512", someFiles);
 *   const d = new BlockImage(image.slice());  d.set32(d.inode(d.inoOf("f")) + DI.nlink, 7);  expect(lawOf(d.bytes)).toBe(48);
 *
 * Interface: MNT, imageOf, BlockImage, DI.
 * Invariants: [bit-1] every machine is checked as a whole at its end.
 */
import { sys } from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { MIB, TestMachine, must } from "../test-machine.js";

export const MNT = "/mnt";

/** Fields of an inode record. */
export const DI = { mode: 0, nlink: 4, size: 8, flags: 40, treeBlocks: 48, extents: 52, dataBlocks: 56, level: 60, count: 62, root: 64 };

/** The disk after mkfs, mount, the guest, umount. */
export function imageOf(type: string, mkfs: string, body: () => Call<unknown>, diskBlocks = 256): Uint8Array {
  const t = new TestMachine({ cpus: 2, memoryBytes: 8 * MIB, diskBlocks, limitNs: 200e9 });
  t.runOne(function* () {
    must(yield* sys.mkdir(MNT));
    must(yield* sys.mkfs(type, mkfs), "mkfs");
    must(yield* sys.mount(type, MNT), "mount");
    yield* body();
    must(yield* sys.umount(MNT), "umount");
  });
  t.finish();
  return t.machine.disk.save();
}

/** An image to read and to damage. Offsets are bytes of the image. */
export class BlockImage {
  readonly view: DataView;
  readonly blockSize: number;

  constructor(readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.blockSize = this.get32(8);
  }
  get32(at: number): number {
    return this.view.getUint32(at, true);
  }
  set32(at: number, value: number): void {
    this.view.setUint32(at, value, true);
  }
  get16(at: number): number {
    return this.view.getUint16(at, true);
  }
  set16(at: number, value: number): void {
    this.view.setUint16(at, value, true);
  }
  flipBit(at: number, bit: number): void {
    this.bytes[at + (bit >> 3)] = (this.bytes[at + (bit >> 3)] ?? 0) ^ (1 << (bit & 7));
  }
  block(number: number): number {
    return number * this.blockSize;
  }
  /** Start of an area by its field in the superblock. */
  area(field: "journal" | "orphans" | "bitmap" | "refcounts" | "inodeBitmap" | "inodes"): number {
    return this.block(this.get32({ journal: 16, orphans: 24, bitmap: 32, refcounts: 40, inodeBitmap: 48, inodes: 56 }[field]));
  }
  get nrInodes(): number {
    return this.get32(60);
  }
  /** The record of an inode. */
  inode(ino: number): number {
    return this.area("inodes") + (ino - 1) * 256;
  }
  /** The nth entry of an inode's root, or of a node. */
  rootEntry(ino: number, n: number): number {
    return this.inode(ino) + DI.root + n * 12;
  }
  /** The node below the nth entry of an inode's root. */
  node(ino: number, n: number): number {
    return this.block(this.get32(this.rootEntry(ino, n) + 4));
  }
  /** The record of a name in a directory of one block. */
  record(name: string, dir = 1): number {
    const start = this.block(this.get32(this.rootEntry(dir, 0) + 4));
    for (let at = start; at < start + this.blockSize; at += this.get16(at + 4)) {
      const found = String.fromCharCode(...this.bytes.subarray(at + 8, at + 8 + (this.bytes[at + 6] ?? 0)));
      if (this.get32(at) !== 0 && found === name) return at;
    }
    throw new Error(`no record of ${name}`);
  }
  inoOf(name: string, dir = 1): number {
    return this.get32(this.record(name, dir));
  }
}
