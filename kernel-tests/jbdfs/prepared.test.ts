/*
 * jbdfs knows a page that is prepared already (Jan Kara's way), by counter: where a regime runs the callback twice for a fault, the
 * second run is the fast path and starts no handle; where it runs once, there is none. A page of which a block was written back is
 * not prepared.
 *
 * Checks: [jm-1] [mk-5].
 */
import { describe, expect, it } from "vitest";
import { MAP_SHARED, type MkwriteRegime, O_CREAT, O_RDWR, mem, sys } from "../../src/node.js";
import { filesystemMachine, makeAndMount } from "../mkwrite/filesystems.js";
import { PAGE, RW, must } from "../test-machine.js";

const PAGES = 10;
const PREPARED = "faultline:jbdfs_already_prepared";

/** How often the fast path was taken by one store to each of PAGES clean, mapped pages, twice over with an fsync in between. */
function fastPaths(mkwrite: MkwriteRegime, mkfs: string, mount: string): Record<string, number> {
  const fs = { name: "jbdfs", type: "jbdfs", mkfs, mount, mkwrite: true, persistent: true, small: 0 };
  const t = filesystemMachine(fs, { faultLock: "linux-4.19", mkwrite });
  const moved = t.runOne(function* () {
    yield* makeAndMount(fs);
    const fd = must(yield* sys.open("/mnt/f", O_RDWR | O_CREAT), "open");
    must(yield* sys.ftruncate(fd, PAGES * PAGE), "ftruncate");
    const at = must(yield* sys.mmap(0, PAGES * PAGE, RW, MAP_SHARED, fd), "mmap");
    yield* mem.touch(at, PAGES * PAGE);
    const before = t.counts();
    for (const value of [1, 2]) {
      yield* mem.touch(at, PAGES * PAGE, { write: true, value });
      must(yield* sys.fsync(fd), "fsync");
    }
    const counts = t.since(before);
    must(yield* sys.munmap(at, PAGES * PAGE), "munmap");
    must(yield* sys.close(fd), "close");
    must(yield* sys.umount("/mnt"), "umount");
    return counts;
  });
  t.finish();
  return { runs: moved["mkwrite_runs"] ?? 0, prepared: moved[PREPARED] ?? 0 };
}

describe("a second run of the callback is the fast path", () => {
  for (const [mkfs, mount] of [
    ["blocksize=4096", ""],
    ["blocksize=1024", ""],
    ["blocksize=1024", "nodelalloc"],
  ] as const) {
    it(`${mkfs} ${mount}`, () => {
      // bacik-v3's cached page is never used (D2): every fault runs the callback twice.
      expect(fastPaths("bacik-v3", mkfs, mount)).toEqual({ runs: 4 * PAGES, prepared: 2 * PAGES });
      // One run for each fault, and each finds a clean page.
      expect(fastPaths("generic_page_mkwrite", mkfs, mount)).toEqual({ runs: 2 * PAGES, prepared: 0 });
    });
  }
});
