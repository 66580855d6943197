/**
 * Checks a disk image: a machine of its own walks everything that a filesystem has on it, and names the first broken law.
 *
 *   const report = fsckImage(kernel.module, image);       report.law === 0: clean
 *
 * Interface: fsckImage, fsckTypeOf, FsckReport, FsckType, describeFsck, syncedImage.
 * Invariants: [fk-3] nothing is written.
 * Locks: none.
 * Why not in TypeScript: what checks the disk should be what reads it when it is mounted.
 */
import { errnoName } from "../guest/constants.js";
import { sys } from "../guest/sys.js";
import { ConfigError } from "../host/config.js";
import { Machine } from "../host/machine.js";
import { readString } from "../host/wasm.js";
import { RunError } from "./run.js";

/** Types that have a check. */
export type FsckType = "cowfs" | "iomapfs" | "jbdfs";

export interface FsckReport {
  filesystem: FsckType;
  /** 0: clean; else the number of the first broken law (assembly/fs/cowfs/fsck.ts, assembly/fs/block/fsck-state.ts). */
  law: number;
  lawName: string;
  /** Where it is broken: `placeKind` says what the number is of. */
  place: number;
  placeKind: string;
  /** Blocks of trees, or nodes of extent trees. */
  treeBlocks: number;
  extents: number;
  dataBlocks: number;
  /** Those of snapshots are counted for each snapshot. */
  inodes: number;
  names: number;
  /** cowfs: of the superblock that was taken, and snapshots. */
  generation?: number;
  snapshots?: number;
  /** iomapfs, jbdfs: transactions in the ring that a mount would replay, orphans, blocks with several owners. */
  transactions?: number;
  orphans?: number;
  shared?: number;
}

const BLOCK = 4096;
const BROKEN = 256;
const MIB = 1 << 20;
const COWFS = {
  event: "faultline:cowfs_fsck",
  /** What event values mean: FOUND_* of fsck.ts. */
  found: ["treeBlocks", "extents", "dataBlocks", "inodes", "names", "snapshots", "generation"],
  firstLaw: 1,
  places: ["", "cluster", "cluster", "cluster", "cluster", "cluster", "byte", "byte"],
} as const;
const BLOCKFS = {
  event: "faultline:block_fsck",
  found: ["transactions", "treeBlocks", "extents", "dataBlocks", "inodes", "names", "orphans", "shared"],
  firstLaw: 33,
  places: ["", "block", "slot", "inode", "inode", "inode", "inode", "inode", "inode", "inode", "block", "block", "block"],
} as const;
const MAGICS = new Map<string, FsckType>([
  ["IOMAPFS1", "iomapfs"],
  ["JBDFS__1", "jbdfs"],
]);

/** The type of the filesystem on an image, by its superblock; what is none of the others is taken for a cowfs. */
export function fsckTypeOf(image: Uint8Array): FsckType {
  return MAGICS.get(String.fromCharCode(...image.subarray(0, 8))) ?? "cowfs";
}

/** Checks an image of a filesystem that fills it. Throws ConfigError for what is no disk, RunError when the check itself fails. */
export function fsckImage(module: WebAssembly.Module, image: Uint8Array): FsckReport {
  if (image.length === 0 || image.length % BLOCK !== 0) {
    throw new ConfigError(`an image of ${image.length} bytes: a disk has a number of blocks of ${BLOCK} bytes`);
  }
  // Tree blocks and the table of references stay in memory during the check.
  const memoryBytes = Math.max(16 * MIB, Math.min(512 * MIB, image.length));
  const machine = Machine.createSync(module, { memoryBytes, diskBlocks: image.length / BLOCK });
  machine.disk.load(image);
  const filesystem = fsckTypeOf(image);
  let law = 0;
  machine.spawn(function* () {
    law = yield* sys.fsck(filesystem);
  });
  machine.run();
  if (law < 0) throw new RunError(`the check failed: ${errnoName(-law)}`);
  const { event, found: kinds, firstLaw, places } = filesystem === "cowfs" ? COWFS : BLOCKFS;
  const found = new Map(machine.trace().flatMap(({ name, a, b }) => (name === event ? [[Number(a), Number(b)] as const] : [])));
  const counts = Object.fromEntries(kinds.map((name, what) => [name, found.get(what) ?? 0])) as Counts;
  const lawName = readString(machine.memory, machine.kernel.fsckLawName(law));
  const placeKind = law === 0 ? "" : (places[law - firstLaw] ?? "inode");
  return { filesystem, law, lawName, place: found.get(BROKEN + law) ?? 0, placeKind, ...counts };
}

type Counts = Omit<FsckReport, "filesystem" | "law" | "lawName" | "place" | "placeKind">;

/** The report in words, a line or two. */
export function describeFsck(report: FsckReport): string {
  const { filesystem, treeBlocks, extents, dataBlocks, inodes, names } = report;
  const data = `${extents} extents with ${dataBlocks} blocks of data, ${inodes} inodes, ${names} names`;
  const walked =
    filesystem === "cowfs"
      ? `generation ${report.generation ?? 0}: ${treeBlocks} tree blocks, ${data}, ${report.snapshots ?? 0} snapshots`
      : `${filesystem}: ${treeBlocks} extent nodes, ${data}, ${restOf(report)}`;
  if (report.law === 0) return `clean, ${walked}`;
  const place = report.placeKind === "" ? "" : `, ${report.placeKind} ${report.place}`;
  return `law ${report.law} is broken: ${report.lawName}${place}\nwalked until then, ${walked}`;
}

function restOf({ transactions = 0, orphans = 0, shared = 0 }: FsckReport): string {
  return `${shared} shared blocks, ${orphans} orphans, ${transactions} transactions to replay`;
}

/** The disk of a machine after a sync; what runs on it goes on meanwhile. */
export function syncedImage(machine: Machine): Uint8Array {
  const state = { done: false };
  machine.spawn(function* () {
    yield* sys.sync();
    state.done = true;
  });
  machine.run({ stopWhen: () => state.done });
  if (!state.done) throw new RunError("sync did not come to an end");
  return machine.disk.save();
}
