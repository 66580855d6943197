/**
 * Checks a disk image: a machine of its own walks everything that a filesystem has on it, and names the first broken law.
 *
 *   const report = fsckImage(kernel.module, image);       report.law === 0: clean
 *
 * Interface: fsckImage, FsckReport, describeFsck, syncedImage.
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

export interface FsckReport {
  /** 0: clean; else the number of the first broken law (assembly/fs/cowfs/fsck.ts). */
  law: number;
  lawName: string;
  /** Where it is broken: a cluster for laws of tree blocks, a byte of the disk for those of extents, an inode for the rest. */
  place: number;
  /** Of the superblock that was taken. */
  generation: number;
  treeBlocks: number;
  extents: number;
  dataBlocks: number;
  /** Those of snapshots are counted for each snapshot. */
  inodes: number;
  names: number;
  snapshots: number;
}

const EVENT = "faultline:cowfs_fsck";
const BLOCK = 4096;
/** What event values mean: fsck.ts's FOUND_*. */
const FOUND = ["treeBlocks", "extents", "dataBlocks", "inodes", "names", "snapshots", "generation"] as const;
const BROKEN = 256;
const PLACES = ["", "superblock", "cluster", "cluster", "cluster", "cluster", "cluster", "byte", "byte"];
const MIB = 1 << 20;

/** Checks an image of a cowfs that fills it. Throws ConfigError for what is no disk, RunError when the check itself fails. */
export function fsckImage(module: WebAssembly.Module, image: Uint8Array): FsckReport {
  if (image.length === 0 || image.length % BLOCK !== 0) {
    throw new ConfigError(`an image of ${image.length} bytes: a disk has a number of blocks of ${BLOCK} bytes`);
  }
  // Tree blocks and the table of references stay in memory during the check.
  const memoryBytes = Math.max(16 * MIB, Math.min(512 * MIB, image.length));
  const machine = Machine.createSync(module, { memoryBytes, diskBlocks: image.length / BLOCK });
  machine.disk.load(image);
  let law = 0;
  machine.spawn(function* () {
    law = yield* sys.fsck("cowfs");
  });
  machine.run();
  if (law < 0) throw new RunError(`the check failed: ${errnoName(-law)}`);
  const found = new Map(machine.trace().flatMap(({ name, a, b }) => (name === EVENT ? [[Number(a), Number(b)] as const] : [])));
  const counts = Object.fromEntries(FOUND.map((name, what) => [name, found.get(what) ?? 0])) as Record<(typeof FOUND)[number], number>;
  const lawName = readString(machine.memory, machine.kernel.fsckLawName(law));
  return { law, lawName, place: found.get(BROKEN + law) ?? 0, ...counts };
}

/** The report in words, a line or two. */
export function describeFsck(report: FsckReport): string {
  const { treeBlocks, extents, dataBlocks, inodes, names, snapshots } = report;
  const data = `${extents} extents with ${dataBlocks} blocks of data`;
  const rest = `${inodes} inodes, ${names} names, ${snapshots} snapshots`;
  const walked = `generation ${report.generation}: ${treeBlocks} tree blocks, ${data}, ${rest}`;
  if (report.law === 0) return `clean, ${walked}`;
  const place = report.law === 1 ? "" : `, ${PLACES[report.law] ?? "inode"} ${report.place}`;
  return `law ${report.law} is broken: ${report.lawName}${place}\nwalked until then, ${walked}`;
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
