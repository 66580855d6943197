/**
 * The filesystems whose sites are swept: those whose crashes are explored, and two that are nowhere but in memory.
 *
 * Interface: SITE_FS, SITE_FS_NAMES.
 * Invariants: none.
 * Locks: none.
 * Why not in crash/filesystems.ts: a power failure leaves nothing of the two.
 */
import { pagestore } from "../../fs/pagestore.js";
import { SECTOR } from "../../host/power-loss.js";
import { CRASH_FS, type CrashFs } from "../crash/filesystems.js";

const MEMORY_BYTES = 2 << 20;
const IN_MEMORY = { mkfs: "", mount: "", unitBytes: SECTOR, sizeStep: SECTOR, volatile: true } as const;

export const SITE_FS: readonly CrashFs[] = [
  ...CRASH_FS,
  {
    ...IN_MEMORY,
    name: "pagestore",
    type: "pagestore",
    has: [],
    definition: pagestore,
    config: { diskBlocks: 160, memoryBytes: MEMORY_BYTES },
  },
  { ...IN_MEMORY, name: "ramfs", type: "ramfs", has: ["symlink", "allocate"], config: { memoryBytes: MEMORY_BYTES } },
];

export const SITE_FS_NAMES: readonly string[] = SITE_FS.map(({ name }) => name);
