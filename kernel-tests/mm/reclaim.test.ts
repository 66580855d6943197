/*
 * Reclaim: files larger than memory go through it, on every filesystem with a disk; what is used again stays, what was used once goes.
 *
 * Checks: [vs-1] [vs-2] [lru-1], the second chance; nobody is killed for page cache that can be dropped or written.
 */
import { describe, expect, it } from "vitest";
import { MAP_SHARED, O_CREAT, O_RDWR, PROT_READ, mem, sys } from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { FILESYSTEMS, filesystemMachine, makeAndMount, unmountClean } from "../mkwrite/filesystems.js";
import { MIB, PAGE, RW, must } from "../test-machine.js";

const DISKS = FILESYSTEMS.filter(({ persistent }) => persistent);
/** More than the machine has frames for. */
const PAGES = 900;
const CONFIG = { memoryBytes: 2 * MIB, diskBlocks: 2048, limitNs: 2000e9 };
const REGIME = { faultLock: "linux-6.7", mkwrite: "generic_page_mkwrite_nommapsem" } as const;

const byteOf = (page: number): number => 1 + (page % 251);

function* fileOf(path: string, pages: number): Call {
  const fd = must(yield* sys.open(path, O_RDWR | O_CREAT), "open");
  must(yield* sys.ftruncate(fd, pages * PAGE), "ftruncate");
  return fd;
}

/** Fills the file through a mapping: each page with its own byte at its start. */
function* storeAll(fd: number, pages: number): Call<void> {
  const at = must(yield* sys.mmap(0, pages * PAGE, RW, MAP_SHARED, fd), "mmap");
  for (let page = 0; page < pages; page++) yield* mem.touch(at + page * PAGE, PAGE, { write: true, value: byteOf(page) });
  must(yield* sys.munmap(at, pages * PAGE), "munmap");
}

describe.each(DISKS)("a file larger than memory on $name", (fs) => {
  it("is stored to and read through a mapping: dirty pages are written, clean ones dropped, nobody is killed", () => {
    const t = filesystemMachine(fs, REGIME, CONFIG);
    t.runOne(function* () {
      yield* makeAndMount(fs);
      const fd = yield* fileOf("/mnt/f", PAGES);
      yield* storeAll(fd, PAGES);
      const at = must(yield* sys.mmap(0, PAGES * PAGE, PROT_READ, MAP_SHARED, fd), "mmap");
      for (let page = 0; page < PAGES; page++) {
        expect(yield* mem.load(at + page * PAGE, 1), `page ${page}`).toEqual(Uint8Array.of(byteOf(page)));
      }
      t.check();
      must(yield* sys.munmap(at, PAGES * PAGE), "munmap");
      must(yield* sys.close(fd), "close");
      yield* unmountClean(fs);
    });
    expect(PAGES * PAGE).toBeGreaterThan(CONFIG.memoryBytes);
    expect(t.stat("pages_stolen")).toBeGreaterThan(PAGES - CONFIG.memoryBytes / PAGE);
    expect(t.stat("pages_scanned")).toBeGreaterThanOrEqual(t.stat("pages_stolen"));
    expect(t.stat("oom_kills")).toBe(0);
    t.finish();
  });
});

/** Pages of [at, at + pages) that are in memory. */
function* resident(at: number, pages: number): Call {
  const bytes = yield* sys.mincore(at, pages * PAGE);
  if (typeof bytes === "number") throw new Error(`mincore: ${bytes}`);
  return bytes.reduce((sum, byte) => sum + (byte & 1), 0);
}

describe("second chance", () => {
  it("pages that are used while a stream goes by stay, pages that were used once are gone", () => {
    const cowfs = DISKS[0];
    if (!cowfs) throw new Error("there is a filesystem on a disk");
    const t = filesystemMachine(cowfs, REGIME, CONFIG);
    const SET = 32;
    const kept = t.runOne(function* () {
      yield* makeAndMount(cowfs);
      const fd = yield* fileOf("/mnt/f", PAGES);
      yield* storeAll(fd, PAGES);
      const hot = must(yield* sys.mmap(0, SET * PAGE, PROT_READ, MAP_SHARED, fd, 0), "mmap");
      const once = must(yield* sys.mmap(0, SET * PAGE, PROT_READ, MAP_SHARED, fd, SET * PAGE), "mmap");
      const stream = must(yield* sys.mmap(0, (PAGES - 2 * SET) * PAGE, PROT_READ, MAP_SHARED, fd, 2 * SET * PAGE), "mmap");
      yield* mem.touch(hot, SET * PAGE);
      yield* mem.touch(once, SET * PAGE);
      let faults = 0;
      for (let page = 0; page < PAGES - 2 * SET; page += 8) {
        yield* mem.touch(stream + page * PAGE, 8 * PAGE);
        const before = t.stat("faults");
        yield* mem.touch(hot, SET * PAGE);
        faults += t.stat("faults") - before;
      }
      const found = { hot: yield* resident(hot, SET), once: yield* resident(once, SET), faults };
      must(yield* sys.close(fd), "close");
      return found;
    });
    // Without a second chance 17 times, without promotion to the active list 6.
    expect(kept.faults).toBeLessThan(5);
    expect(kept.once).toBeLessThan(SET * 0.25);
    expect(kept.hot).toBeGreaterThan(SET * 0.75);
    t.runOne(() => sys.umount("/mnt"));
    t.finish();
  });
});
