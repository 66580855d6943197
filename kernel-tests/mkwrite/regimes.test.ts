/*
 * Every fault lock with every mkwrite regime: the same stores come out the same, and the counters prove which way they went.
 *
 * Checks: [mk-1] [mk-4] [mk-5] [mk-6] [mk-7], proof of path.
 */
import { describe, expect, it } from "vitest";
import { SIGBUS, mem, sys } from "../../src/node.js";
import { PAGE, must } from "../test-machine.js";
import { FAULT_LOCKS, MKWRITES, byteOf, mapShared, mkwriteMachine, storeFile } from "./machine.js";

const PAGES = 40;

/** Stores to a cold file, then again after fsync: first without a PTE, then on a read-only one. */
function stores(t: ReturnType<typeof mkwriteMachine>): Record<string, number> {
  return t.runOne(function* () {
    const fd = yield* storeFile(PAGES);
    const at = yield* mapShared(fd, PAGES);
    yield* mem.touch(at, PAGES * PAGE);
    const before = t.counts();
    yield* mem.touch(at, PAGES * PAGE, { write: true, value: 7 });
    must(yield* sys.fsync(fd), "fsync");
    yield* mem.touch(at, PAGES * PAGE, { write: true, value: 8 });
    must(yield* sys.msync(at, PAGES * PAGE, 4), "msync");
    expect(yield* byteOf(fd, 0)).toBe(8);
    expect(yield* byteOf(fd, PAGES - 1)).toBe(8);
    const moved = t.since(before);
    must(yield* sys.munmap(at, PAGES * PAGE), "munmap");
    must(yield* sys.close(fd), "close");
    must(yield* sys.unlink("/mnt/f"), "unlink");
    must(yield* sys.umount("/mnt"), "umount");
    return moved;
  });
}

/** Callback runs, unlocked attempts and what became of them, for 2 x PAGES faults on read-mapped pages. */
const EXPECTED: Record<string, Record<string, number>> = {
  generic_page_mkwrite: { mkwrite_runs: 2 * PAGES },
  // D2 and D3: the cached page is never used, so the callback runs twice for each fault.
  "bacik-v3": { mkwrite_runs: 4 * PAGES, mkwrite_unlocked_attempts: 2 * PAGES },
  generic_page_mkwrite_nommapsem: { mkwrite_runs: 2 * PAGES, mkwrite_unlocked_attempts: 2 * PAGES, mkwrite_stash_accepted: 2 * PAGES },
  kara: { mkwrite_runs: 2 * PAGES, mkwrite_unlocked_attempts: 2 * PAGES, mkwrite_prepared: 2 * PAGES },
  completed: { mkwrite_runs: 2 * PAGES, mkwrite_unlocked_attempts: 2 * PAGES, mkwrite_completed: 2 * PAGES },
};

const COUNTERS = ["mkwrite_runs", "mkwrite_unlocked_attempts", "mkwrite_stash_accepted", "mkwrite_prepared", "mkwrite_completed"];

describe("stores to a shared file mapping", () => {
  for (const faultLock of FAULT_LOCKS) {
    for (const mkwrite of MKWRITES) {
      it(`${faultLock} + ${mkwrite}`, () => {
        const t = mkwriteMachine({ faultLock, mkwrite });
        const moved = stores(t);
        const seen = Object.fromEntries(COUNTERS.filter((name) => (moved[name] ?? 0) !== 0).map((name) => [name, moved[name]]));
        expect(seen).toEqual(EXPECTED[mkwrite]);
        expect(moved["vma_lock_faults"] ?? 0).toBe(faultLock === "linux-6.7" ? moved["faults"] : 0);
        expect(t.stat("stashes")).toBe(0);
        t.finish();
      });
    }
  }
});

describe("ENOSPC in page_mkwrite is SIGBUS, under every regime, and leaves the file whole", () => {
  const BLOCKS = 20;
  for (const faultLock of FAULT_LOCKS) {
    for (const mkwrite of MKWRITES) {
      it(`${faultLock} + ${mkwrite}`, () => {
        const t = mkwriteMachine({ faultLock, mkwrite });
        t.runOne(function* () {
          const fd = yield* storeFile(BLOCKS + 5, `blocks=${BLOCKS}`);
          const at = yield* mapShared(fd, BLOCKS + 5);
          const result = yield* mem.tryTouch(at, (BLOCKS + 5) * PAGE, { write: true, value: 9 });
          expect(result).toEqual({ done: BLOCKS, signal: SIGBUS, address: at + BLOCKS * PAGE });
          // What was promised can be written ([mk-1]).
          must(yield* sys.fsync(fd), "fsync");
          for (const pgoff of [0, BLOCKS - 1]) expect(yield* byteOf(fd, pgoff)).toBe(9);
          expect(yield* byteOf(fd, BLOCKS)).toBe(0);
          // Space that comes free can be stored to.
          must(yield* sys.ftruncate(fd, (BLOCKS - 1) * PAGE), "ftruncate");
          must(yield* sys.ftruncate(fd, BLOCKS * PAGE), "ftruncate");
          const again = yield* mem.tryTouch(at + (BLOCKS - 1) * PAGE, PAGE, { write: true });
          expect(again).toMatchObject({ done: 1, signal: 0 });
          must(yield* sys.munmap(at, (BLOCKS + 5) * PAGE), "munmap");
          must(yield* sys.close(fd), "close");
          must(yield* sys.unlink("/mnt/f"), "unlink");
          // umount asserts that no block and no reservation is left ([mk-6]).
          must(yield* sys.umount("/mnt"), "umount");
        });
        t.finish();
      });
    }
  }
});
