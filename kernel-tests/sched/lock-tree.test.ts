/*
 * The lock tree in sched/lock-class.ts against what lockdep learns: every workload under every fault lock, and a filesystem with
 * page_mkwrite, renames, truncation and a fork under every mkwrite regime.
 *
 * Checks: [lk-1].
 */
import { describe, expect, it } from "vitest";
import { FAULT_LOCK_REGIMES, type KernelImage, MKWRITE_REGIMES, Run, WORKLOADS, loadKernel, sys } from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { mapShared, mkwriteMachine, storeFile } from "../mkwrite/machine";
import { mem } from "../../src/guest/index.js";
import { PAGE, must } from "../test-machine";
import { learnedOrders, lockClasses, ordersAgainstTree } from "./lock-tree";

const UNRANKED = 0xff;

describe("the lock tree", () => {
  it("[lk-1] has a place of its own for every class, the test classes apart", () => {
    const ranked = lockClasses().filter((c) => !c.name.startsWith("test_"));
    expect(ranked.filter((c) => c.rank === UNRANKED)).toEqual([]);
    expect(new Set(ranked.map((c) => c.rank)).size).toBe(ranked.length);
    expect(new Set(ranked.map((c) => c.name)).size).toBe(ranked.length);
  });
});

describe("what lockdep learned in a run of the workloads", () => {
  let kernel: Promise<KernelImage> | undefined;
  const seen = new Set<string>();

  it.each(FAULT_LOCK_REGIMES)("[lk-1] %s: every order goes down the tree", async (faultLock) => {
    kernel ??= loadKernel();
    for (const { name, needsMkwrite, ends } of WORKLOADS) {
      const config = { memoryBytes: 24 << 20, cpus: 2, faultLock };
      const run = new Run(await kernel, {
        workload: name,
        tasks: 3,
        mode: "threads",
        fs: needsMkwrite === true ? "cowfs" : "ramfs",
        ...(ends === true ? {} : { lenBytes: 256 << 10 }),
        warmupNs: 0,
        durationNs: 3e5,
        config,
      });
      run.warmUp();
      run.measure();
      expect(ordersAgainstTree(run.machine), name).toEqual([]);
      for (const { outer, inner } of learnedOrders(run.machine)) seen.add(`${outer.name} -> ${inner.name}`);
    }
  });

  it("the orders that the tree is about were seen", () => {
    expect([...seen]).toEqual(
      expect.arrayContaining(["mmap_sem -> vma_lock", "invalidate_lock -> page_lock", "page_lock -> page_table_lock"]),
    );
    expect(seen.size).toBeGreaterThan(20);
  });
});

/** Stores through a shared mapping while names change, the file is cut and the process forks. */
function* busyFilesystem(): Call {
  const fd = yield* storeFile(16);
  const at = yield* mapShared(fd, 16);
  yield* mem.touch(at, 16 * PAGE, { write: true });
  must(yield* sys.rename("/mnt/f", "/mnt/g"), "rename");
  const child = yield* sys.fork(function* () {
    yield* mem.touch(at, 8 * PAGE, { write: true });
    must(yield* sys.msync(at, 16 * PAGE, 4), "msync");
    yield* sys.exitGroup(0);
  });
  must(yield* sys.ftruncate(fd, 12 * PAGE), "ftruncate");
  must(yield* sys.pwrite(fd, new Uint8Array(3 * PAGE).fill(7), PAGE), "pwrite");
  yield* sys.wait(must(child, "fork"));
  must(yield* sys.fsync(fd), "fsync");
  must(yield* sys.munmap(at, 16 * PAGE), "munmap");
  must(yield* sys.close(fd), "close");
  must(yield* sys.unlink("/mnt/g"), "unlink");
  return must(yield* sys.umount("/mnt"), "umount");
}

describe("what lockdep learned of a filesystem with page_mkwrite", () => {
  for (const faultLock of FAULT_LOCK_REGIMES) {
    it.each(MKWRITE_REGIMES)(`[lk-1] ${faultLock} + %s: every order goes down the tree`, (mkwrite) => {
      const t = mkwriteMachine({ faultLock, mkwrite });
      expect(t.runOne(busyFilesystem)).toBe(0);
      expect(ordersAgainstTree(t.machine)).toEqual([]);
      expect(learnedOrders(t.machine).map(({ outer, inner }) => `${outer.name} -> ${inner.name}`)).toContain("sb_pagefaults -> page_lock");
    });
  }
});
