/*
 * A machine with pagestore mounted on /mnt, for the tests of the mkwrite regimes; and definitions that hold a window open.
 *
 * Interface: mkwriteMachine, FAULT_LOCKS, MKWRITES, slowStore, storeFile, mapShared, lastByte.
 */
import {
  type FaultLockRegime,
  MAP_SHARED,
  type MkwriteRegime,
  O_CREAT,
  O_RDWR,
  type ScriptedFilesystem,
  pagestore,
  sys,
} from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { PAGE, RW, type TestConfig, TestMachine, must } from "../test-machine.js";

export const FAULT_LOCKS: readonly FaultLockRegime[] = ["linux-4.19", "linux-5.1", "linux-6.7"];
export const MKWRITES: readonly MkwriteRegime[] = [
  "generic_page_mkwrite",
  "bacik-v3",
  "generic_page_mkwrite_nommapsem",
  "kara",
  "completed",
];

/** pagestore whose page_mkwrite sleeps before it does anything: whatever lock it was called under is held for so long. */
export function slowStore(sleepNs: number): ScriptedFilesystem {
  return {
    ...pagestore,
    *pageMkwrite(page) {
      yield* page.sleep(sleepNs);
      return yield* pagestore.pageMkwrite(page);
    },
  };
}

export function mkwriteMachine(config: TestConfig = {}, filesystem: ScriptedFilesystem = pagestore): TestMachine {
  // A dirty page that nobody syncs is written after 30 s.
  return new TestMachine({ limitNs: 100e9, cpus: 4, memoryBytes: 16 << 20, diskBlocks: 512, filesystems: [filesystem], ...config });
}

/** Mounts and makes /mnt/f of so many pages; returns its descriptor. */
export function* storeFile(pages: number, options = ""): Call {
  must(yield* sys.mkdir("/mnt"), "mkdir");
  must(yield* sys.mount("pagestore", "/mnt", options), "mount");
  const fd = must(yield* sys.open("/mnt/f", O_RDWR | O_CREAT), "open");
  must(yield* sys.ftruncate(fd, pages * PAGE), "ftruncate");
  return fd;
}

export function* mapShared(fd: number, pages: number, offset = 0): Call {
  return must(yield* sys.mmap(0, pages * PAGE, RW, MAP_SHARED, fd, offset * PAGE), "mmap");
}

/** The first byte of a page of the file, read through a descriptor. */
export function* byteOf(fd: number, pgoff: number): Call {
  const data = yield* sys.pread(fd, 1, pgoff * PAGE);
  if (typeof data === "number") throw new Error(`pread: ${data}`);
  return data[0] ?? -1;
}
