/**
 * The filesystems whose crashes are explored.
 *
 * Interface: CrashFs, CRASH_FS, crashFsByName.
 * Invariants: [cfs-1] unitBytes is what a power failure leaves whole or not at all: cowfs's block, a sector where data is overwritten.
 * Locks: none.
 * Why not sim/filesystems.ts: that one sizes a disk for a measurement; a crash wants the smallest that does the job.
 */
import type { ScriptedFilesystem } from "../../host/scripted-fs.js";
import type { MachineConfig } from "../../host/config.js";
import { SECTOR } from "../../host/power-loss.js";
import { ParseError } from "../parse.js";
import { suggestion } from "../suggest.js";
import type { Feature } from "./steps.js";

export interface CrashFs {
  name: string;
  type: string;
  mkfs: string;
  mount: string;
  /** What is on the disk whole or not at all. */
  unitBytes: number;
  /** A file's size on the disk grows in multiples of it. */
  sizeStep: number;
  has: readonly Feature[];
  /** Nothing of it outlives an unmount. */
  volatile?: true;
  /** Its definition, when it is written in TypeScript. */
  definition?: ScriptedFilesystem;
  config: Pick<MachineConfig, "diskBlocks" | "memoryBytes">;
}

const MEMORY_BYTES = 2 << 20;
/** What every filesystem on the disk has. */
const ALL: readonly Feature[] = ["symlink", "allocate"];

function cowfs(name: string, blockSize: number): CrashFs {
  const config = { diskBlocks: 224, memoryBytes: MEMORY_BYTES };
  const mkfs = `blocksize=${blockSize}`;
  const has: Feature[] = [...ALL, "clone", "snapshot"];
  return { name, type: "cowfs", mkfs, mount: "", unitBytes: blockSize, sizeStep: SECTOR, has, config };
}

function inPlace(name: string, type: string, blockSize: number, mount = "", has: readonly Feature[] = []): CrashFs {
  const config = { diskBlocks: 160, memoryBytes: MEMORY_BYTES };
  return { name, type, mkfs: `blocksize=${blockSize}`, mount, unitBytes: SECTOR, sizeStep: SECTOR, has: [...ALL, ...has], config };
}

export const CRASH_FS: readonly CrashFs[] = [
  cowfs("cowfs", 4096),
  cowfs("cowfs-1024", 1024),
  inPlace("iomapfs", "iomapfs", 4096, "", ["clone"]),
  inPlace("iomapfs-1024", "iomapfs", 1024, "", ["clone"]),
  inPlace("jbdfs", "jbdfs", 4096),
  inPlace("jbdfs-1024", "jbdfs", 1024),
  inPlace("jbdfs-nodelalloc", "jbdfs", 4096, "nodelalloc"),
];

export const CRASH_FS_NAMES: readonly string[] = CRASH_FS.map(({ name }) => name);

/** The filesystem of that name. Throws ParseError. */
export function crashFsByName(name: string, among: readonly CrashFs[] = CRASH_FS): CrashFs {
  const found = among.find((fs) => fs.name === name);
  if (!found) {
    const names = among.map((fs) => fs.name);
    throw new ParseError(`filesystem "${name}": expected one of ${names.join(", ")}.${suggestion(name, names)}`);
  }
  return found;
}
