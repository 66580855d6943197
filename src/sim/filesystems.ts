/**
 * The filesystems that a run can put its files on.
 *
 * Interface: Filesystem, FILESYSTEM_TABLE, FILESYSTEM_NAMES, filesystemByName, filesystemFor.
 * Invariants: [simfs-1] a run's files live in the filesystem's directory and nowhere else.
 * Locks: none.
 * Why not paths in workloads: a workload is compared on every filesystem.
 */
import { pagestore } from "../fs/pagestore.js";
import { type Call, must, sys } from "../guest/sys.js";
import type { MachineConfig } from "../host/config.js";
import type { ScriptedFilesystem } from "../host/scripted-fs.js";
import { ParseError } from "./parse.js";
import { suggestion } from "./suggest.js";
import type { Workload } from "../workloads/index.js";

export interface Filesystem {
  name: string;
  summary: string;
  /** Where files go. */
  directory: string;
  /** What the machine needs for it, given the bytes that a run keeps in files. */
  machine?(fileBytes: number): Partial<MachineConfig>;
  /** Its definition, when it is written in TypeScript. Not part of a configuration: functions are no data. */
  definition?: ScriptedFilesystem;
  /** Share of memory that files may take by default: those that are written back stay below the background threshold. */
  memoryShare?: number;
  /** It has no page_mkwrite: a store to a clean page asks nobody. */
  noMkwrite?: boolean;
  /** It does not opt in to a helper: page_mkwrite keeps the fault lock under every regime. */
  noHelper?: boolean;
  /** Makes and mounts it, in a process of its own. Absent: it is there from boot. */
  setup?: () => Call<unknown>;
}

function* mkfsAndMount(type: string, mkfsOptions = "", mountOptions = mkfsOptions): Call {
  must(yield* sys.mkdir("/mnt"), "mkdir /mnt");
  must(yield* sys.mkfs(type, mkfsOptions), `mkfs ${type}`);
  return must(yield* sys.mount(type, "/mnt", mountOptions), `mount ${type}`);
}

/** cowfs with blocks below the page size: a page can be prepared in part, which is where S8 to S10 live. */
function cowfsWithBlocks(blockSize: number): Filesystem {
  return {
    name: `cowfs-${blockSize}`,
    summary: `cowfs with blocks of ${blockSize} bytes: several to a page`,
    directory: "/mnt",
    // One item a block in the worst case: trees take more room than with whole pages.
    machine: (fileBytes) => ({ diskBlocks: 3 * Math.ceil(fileBytes / 4096) + 2048 }),
    memoryShare: BELOW_BACKGROUND,
    setup: () => mkfsAndMount("cowfs", `blocksize=${blockSize}`, ""),
  };
}

/** A filesystem that overwrites in place: the files, and room for its tables and its journal. */
function inPlace(name: string, type: string, summary: string, mountOptions = "", blockSize = 4096): Filesystem {
  return {
    name,
    summary,
    directory: "/mnt",
    machine: (fileBytes) => ({ diskBlocks: Math.ceil((fileBytes / 4096) * 1.1) + 1024 }),
    memoryShare: BELOW_BACKGROUND,
    setup: () => mkfsAndMount(type, `blocksize=${blockSize}`, mountOptions),
  };
}

/** The flusher starts at 10 % of memory: a workload of the fault path should not measure the disk. */
const BELOW_BACKGROUND = 0.08;

export const FILESYSTEM_TABLE: readonly Filesystem[] = [
  { name: "ramfs", summary: "pages in memory, no page_mkwrite, no disk", directory: "/tmp", noMkwrite: true },
  {
    name: "cowfs",
    summary: "copy on write: a small btrfs, with checksums, delalloc, transactions and reservation tickets",
    directory: "/mnt",
    // Nothing is overwritten in place: twice the files, and room for trees.
    machine: (fileBytes) => ({ diskBlocks: 2 * Math.ceil(fileBytes / 4096) + 2048 }),
    memoryShare: BELOW_BACKGROUND,
    setup: () => mkfsAndMount("cowfs"),
  },
  ...[512, 1024, 2048].map(cowfsWithBlocks),
  inPlace("iomapfs", "iomapfs", "overwrites in place: a small xfs, with delalloc, unwritten extents, MMAPLOCK and a log"),
  inPlace("iomapfs-1024", "iomapfs", "iomapfs with blocks of 1024 bytes: several to a page", "", 1024),
  {
    ...inPlace("iomapfs-dax", "iomapfs", "iomapfs whose faults map the disk's own memory (DAX): no page cache, no helper", "dax"),
    noHelper: true,
  },
  inPlace("jbdfs", "jbdfs", "overwrites in place: a small ext4, with a journal whose handles may wait, ordered data and delalloc"),
  inPlace("jbdfs-nodelalloc", "jbdfs", "jbdfs that allocates in page_mkwrite, under a handle that may wait for a commit", "nodelalloc"),
  {
    name: "pagestore",
    summary: "the example of a filesystem in TypeScript: blocks are pages, reserved by page_mkwrite",
    directory: "/mnt",
    machine: (fileBytes) => ({ diskBlocks: Math.ceil(fileBytes / 4096) + 64 }),
    definition: pagestore,
    memoryShare: BELOW_BACKGROUND,
    setup: () => mkfsAndMount("pagestore"),
  },
];

export const FILESYSTEM_NAMES: readonly string[] = FILESYSTEM_TABLE.map((fs) => fs.name);

/** The filesystem of that name for a workload. Throws ParseError, also when the workload has nothing to measure on it. */
export function filesystemFor(name: string, workload: Pick<Workload, "name" | "needsMkwrite">): Filesystem {
  const fs = filesystemByName(name);
  if (workload.needsMkwrite !== true || fs.noMkwrite !== true) return fs;
  const others = FILESYSTEM_TABLE.filter((f) => f.noMkwrite !== true).map((f) => f.name);
  throw new ParseError(`${workload.name} measures page_mkwrite, and ${name} has none: use --fs ${others.join(" or ")}`);
}

/** The filesystem of that name. Throws ParseError. */
export function filesystemByName(name: string): Filesystem {
  const found = FILESYSTEM_TABLE.find((fs) => fs.name === name);
  if (!found) {
    throw new ParseError(`filesystem "${name}": expected one of ${FILESYSTEM_NAMES.join(", ")}.${suggestion(name, FILESYSTEM_NAMES)}`);
  }
  return found;
}
