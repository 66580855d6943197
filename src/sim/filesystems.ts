/**
 * The filesystems that a run can put its files on.
 *
 * Interface: Filesystem, FILESYSTEM_TABLE, FILESYSTEM_NAMES, filesystemByName.
 * Invariants: [simfs-1] a run's files live in the filesystem's directory and nowhere else.
 * Locks: none.
 * Why not paths in workloads: a workload is compared on every filesystem.
 */
import type { Call } from "../guest/sys.js";
import type { MachineConfig } from "../host/config.js";
import { ParseError } from "./parse.js";
import { suggestion } from "./suggest.js";

export interface Filesystem {
  name: string;
  summary: string;
  /** Where files go. */
  directory: string;
  /** What the machine needs for it, given the bytes that a run keeps in files. */
  machine?(fileBytes: number): Partial<MachineConfig>;
  /** Makes and mounts it, in a process of its own. Absent: it is there from boot. */
  setup?(): Call<unknown>;
}

export const FILESYSTEM_TABLE: readonly Filesystem[] = [
  { name: "ramfs", summary: "pages in memory, no page_mkwrite, no disk", directory: "/tmp" },
];

export const FILESYSTEM_NAMES: readonly string[] = FILESYSTEM_TABLE.map((fs) => fs.name);

/** The filesystem of that name. Throws ParseError. */
export function filesystemByName(name: string): Filesystem {
  const found = FILESYSTEM_TABLE.find((fs) => fs.name === name);
  if (!found) {
    throw new ParseError(`filesystem "${name}": expected one of ${FILESYSTEM_NAMES.join(", ")}.${suggestion(name, FILESYSTEM_NAMES)}`);
  }
  return found;
}
