/**
 * The filesystems that scenarios run on.
 *
 * Interface: ScenarioFs, SCENARIO_FS, SCENARIO_FS_NAMES, FsFeature.
 * Invariants: [sfs-1] a disk is as small as mkfs, a few files and a commit allow: a snapshot copies what was used of it.
 * Locks: none.
 * Why not those of sim/crash: a crash wants a disk with a write log, and knows no filesystem without a disk.
 */
import { pagestore } from "../fs/pagestore.js";
import type { MachineConfig } from "../host/config.js";

/** mkwrite: has a page_mkwrite and takes part in the regimes. disk: shows after a mount what was there before the umount. */
export type FsFeature = "mkwrite" | "disk" | "clone" | "snapshot" | "small-blocks" | "stable-pages" | "dax";

export interface ScenarioFs {
  name: string;
  type: string;
  /** mkfs's options; undefined: it has no mkfs. */
  mkfs: string | undefined;
  mount: string;
  blockBytes: number;
  has: readonly FsFeature[];
  config: Partial<MachineConfig>;
}

function onDisk(name: string, type: string, blockBytes: number, has: readonly FsFeature[], mount = "", diskBlocks = 160): ScenarioFs {
  const small: readonly FsFeature[] = blockBytes < 4096 ? ["small-blocks"] : [];
  const mkfs = `blocksize=${blockBytes}`;
  return { name, type, mkfs, mount, blockBytes, has: ["mkwrite", "disk", ...small, ...has], config: { diskBlocks } };
}

export const SCENARIO_FS: readonly ScenarioFs[] = [
  onDisk("cowfs", "cowfs", 4096, ["clone", "snapshot", "stable-pages"], "", 224),
  onDisk("cowfs-1024", "cowfs", 1024, ["clone", "snapshot", "stable-pages"], "", 224),
  onDisk("iomapfs", "iomapfs", 4096, ["clone"]),
  onDisk("iomapfs-1024", "iomapfs", 1024, ["clone"]),
  onDisk("iomapfs-dax", "iomapfs", 4096, ["dax"], "dax"),
  onDisk("jbdfs", "jbdfs", 4096, []),
  onDisk("jbdfs-1024", "jbdfs", 1024, []),
  onDisk("jbdfs-nodelalloc", "jbdfs", 4096, [], "nodelalloc"),
  {
    ...{ name: "pagestore", type: "pagestore", mkfs: undefined, mount: "", blockBytes: 4096, has: ["mkwrite"] },
    config: { filesystems: [pagestore], diskBlocks: 64 },
  },
  { name: "ramfs", type: "ramfs", mkfs: undefined, mount: "", blockBytes: 4096, has: [], config: {} },
];

export const SCENARIO_FS_NAMES: readonly string[] = SCENARIO_FS.map(({ name }) => name);
