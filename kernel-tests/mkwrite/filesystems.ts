/*
 * The filesystems that the tests of the mkwrite regimes run on, and a machine with one of them at /mnt.
 *
 * Interface: TestFilesystem, FILESYSTEMS, filesystemMachine, makeAndMount, unmountClean, mountAgain.
 * Invariants: [mkt-1] a filesystem that has a page_mkwrite has a disk of a size that a test can fill.
 */
import { type FaultLockRegime, type MkwriteRegime, pagestore, sys } from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { MIB, type TestConfig, TestMachine, must } from "../test-machine.js";

export interface TestFilesystem {
  /** What a test is named after. */
  name: string;
  type: string;
  mkfs?: string;
  mount?: string;
  /** Whether it has a page_mkwrite, and so takes part in a regime. */
  mkwrite: boolean;
  /** Whether a mount shows what was there before the umount. */
  persistent: boolean;
  /** Blocks of 4 KiB of the disk of a test that fills it. */
  small: number;
}

function onDisk(type: string, mkfs: string, small: number, mount = ""): TestFilesystem {
  return { name: [type, mkfs, mount].filter(Boolean).join(" "), type, mkfs, mount, mkwrite: true, persistent: true, small };
}

export const FILESYSTEMS: readonly TestFilesystem[] = [
  { name: "ramfs", type: "ramfs", mkwrite: false, persistent: false, small: 0 },
  onDisk("cowfs", "blocksize=4096", 96),
  onDisk("cowfs", "blocksize=1024", 96),
  onDisk("iomapfs", "blocksize=4096", 96),
  onDisk("iomapfs", "blocksize=1024", 96),
  onDisk("jbdfs", "blocksize=4096", 96),
  onDisk("jbdfs", "blocksize=1024", 96),
  onDisk("jbdfs", "blocksize=1024", 96, "nodelalloc"),
  { name: "pagestore", type: "pagestore", mkwrite: true, persistent: false, small: 64 },
];

export interface Regime {
  faultLock: FaultLockRegime;
  mkwrite: MkwriteRegime;
}

export function filesystemMachine(fs: TestFilesystem, regime: Regime, config: TestConfig = {}): TestMachine {
  return new TestMachine({
    limitNs: 200e9,
    cpus: 4,
    memoryBytes: 8 * MIB,
    ...(fs.type === "ramfs" ? {} : { diskBlocks: 512 }),
    ...(fs.type === "pagestore" ? { filesystems: [pagestore] } : {}),
    ...regime,
    ...config,
  });
}

export function* makeAndMount(fs: TestFilesystem): Call<void> {
  must(yield* sys.mkdir("/mnt"), "mkdir");
  if (fs.mkfs !== undefined) must(yield* sys.mkfs(fs.type, fs.mkfs), "mkfs");
  must(yield* sys.mount(fs.type, "/mnt", fs.mount ?? ""), "mount");
}

/** Unmounts; what is on the disk then must break no law of the filesystem's. */
export function* unmountClean(fs: TestFilesystem): Call<void> {
  must(yield* sys.umount("/mnt"), "umount");
  if (!fs.persistent) return;
  const law = yield* sys.fsck(fs.type);
  if (law !== 0) throw new Error(`fsck of ${fs.name}: law ${law}`);
}

export function* mountAgain(fs: TestFilesystem): Call<void> {
  yield* unmountClean(fs);
  must(yield* sys.mount(fs.type, "/mnt", fs.mount ?? ""), "mount again");
}
