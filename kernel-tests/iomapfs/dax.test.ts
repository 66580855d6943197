/*
 * iomapfs with -o dax: stores are in the disk's image at once, no page is cached, faults keep their lock under every regime, and
 * what no flush has covered may be lost.
 *
 * Checks: [dax-1] [dax-2] [pfn-1] [pfn-2] [gup-4]. That system calls keep their promises is suite.test.ts's, with dax.
 */
import { describe, expect, it } from "vitest";
import { MADV_POPULATE_WRITE, MAP_PRIVATE, O_CREAT, O_RDWR, SIGBUS, mem, now, sys, waitAll } from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { FAULT_LOCKS, MKWRITES, byteOf, mapShared } from "../mkwrite/machine.js";
import { E, MIB, PAGE, RW, type TestConfig, TestMachine, must } from "../test-machine.js";

const MNT = "/mnt";
const FILE = `${MNT}/f`;
const PUNCH_HOLE = 3;
const MS_SYNC = 4;
const PAGES = 10;

function daxMachine(config: TestConfig = {}): TestMachine {
  return new TestMachine({ cpus: 4, memoryBytes: 8 * MIB, diskBlocks: 512, limitNs: 100e9, ...config });
}

function* makeAndMount(options = "dax"): Call<void> {
  must(yield* sys.mkdir(MNT), "mkdir");
  must(yield* sys.mkfs("iomapfs"), "mkfs");
  must(yield* sys.mount("iomapfs", MNT, options), "mount");
}

function* fileOf(pages: number, path = FILE): Call {
  const fd = must(yield* sys.open(path, O_RDWR | O_CREAT), "open");
  must(yield* sys.ftruncate(fd, pages * PAGE), "ftruncate");
  return fd;
}

function* close(fd: number, at: number, pages: number): Call<void> {
  must(yield* sys.munmap(at, pages * PAGE), "munmap");
  must(yield* sys.close(fd), "close");
}

/** Blocks of the disk that hold nothing but one byte. */
function blocksOf(image: Uint8Array, byte: number): number {
  let found = 0;
  for (let at = 0; at < image.length; at += PAGE) if (image.subarray(at, at + PAGE).every((b) => b === byte)) found++;
  return found;
}

/** A guest on a DAX filesystem, and after it umount and every walk. */
function onDax<T>(body: (t: TestMachine) => Call<T>, config: TestConfig = {}): T {
  const t = daxMachine(config);
  const value = t.runOne(function* () {
    yield* makeAndMount();
    const got = yield* body(t);
    t.check();
    must(yield* sys.umount(MNT), "umount");
    return got;
  });
  t.finish();
  return value;
}

describe("pages are the disk's own", () => {
  it("a store is in the image at once, without a page in the cache and without a write to the disk", () => {
    onDax(function* (t) {
      const fd = yield* fileOf(PAGES);
      const at = yield* mapShared(fd, PAGES);
      const before = t.counts();
      yield* mem.touch(at, PAGES * PAGE);
      yield* mem.store(at + PAGE, new Uint8Array(PAGE).fill(0xa7));
      expect(blocksOf(t.machine.disk.image(), 0xa7)).toBe(1);
      expect(yield* byteOf(fd, 1)).toBe(0xa7);
      expect(yield* byteOf(fd, 2)).toBe(0);
      must(yield* sys.pwrite(fd, new Uint8Array(2 * PAGE).fill(0xa8), 3 * PAGE), "pwrite");
      expect(blocksOf(t.machine.disk.image(), 0xa8)).toBe(2);
      // Zero pages of the holes that were filled are gone.
      expect(yield* mem.load(at + 3 * PAGE, 1)).toEqual(new Uint8Array([0xa8]));
      const moved = t.since(before);
      for (const name of ["filemap:mm_filemap_add_to_page_cache", "writeback:writeback_start", "block:block_bio_queue"]) {
        expect([name, moved[name]]).toEqual([name, undefined]);
      }
      yield* close(fd, at, PAGES);
    });
  });

  it("a private mapping copies, and sees the file where it has not", () => {
    onDax(function* () {
      const fd = yield* fileOf(3);
      must(yield* sys.pwrite(fd, new Uint8Array(3 * PAGE).fill(1), 0), "pwrite");
      const at = must(yield* sys.mmap(0, 3 * PAGE, RW, MAP_PRIVATE, fd, 0), "mmap");
      // Page 0 without a PTE, page 1 with the frame mapped.
      yield* mem.touch(at + PAGE, 2 * PAGE);
      yield* mem.touch(at, 2 * PAGE, { write: true, value: 2 });
      expect([yield* byteOf(fd, 0), yield* byteOf(fd, 1)]).toEqual([1, 1]);
      expect(yield* mem.load(at + PAGE, 2)).toEqual(new Uint8Array([2, 1]));
      must(yield* sys.pwrite(fd, new Uint8Array(3 * PAGE).fill(3), 0), "pwrite");
      const seen = [];
      for (const page of [0, 1, 2]) seen.push(yield* mem.load(at + page * PAGE + 1, 1));
      expect(seen).toEqual([1, 1, 3].map((byte) => new Uint8Array([byte])));
      yield* close(fd, at, 3);
    });
  });

  it("a child of fork faults for itself, and populate ends", () => {
    onDax(function* () {
      const fd = yield* fileOf(2);
      const at = yield* mapShared(fd, 2);
      must(yield* sys.madvise(at, 2 * PAGE, MADV_POPULATE_WRITE), "madvise");
      must(yield* sys.pwrite(fd, new Uint8Array([7]), 0), "pwrite");
      const copy = must(yield* sys.mmap(0, 2 * PAGE, RW, MAP_PRIVATE, fd, 0), "mmap");
      yield* mem.touch(copy, 2 * PAGE);
      must(
        yield* sys.fork(function* () {
          yield* mem.store(at + PAGE, new Uint8Array([8]));
          yield* mem.store(copy, new Uint8Array([9]));
        }),
        "fork",
      );
      yield* waitAll();
      expect([yield* byteOf(fd, 0), yield* byteOf(fd, 1)]).toEqual([7, 8]);
      expect(yield* mem.load(copy, 1)).toEqual(new Uint8Array([7]));
      must(yield* sys.munmap(copy, 2 * PAGE), "munmap");
      yield* close(fd, at, 2);
    });
  });

  it("is refused for blocks below the page size", () => {
    const t = daxMachine();
    t.runOne(function* () {
      must(yield* sys.mkdir(MNT), "mkdir");
      must(yield* sys.mkfs("iomapfs", "blocksize=1024"), "mkfs");
      expect(yield* sys.mount("iomapfs", MNT, "dax")).toBe(-E.INVAL);
      must(yield* sys.mount("iomapfs", MNT), "mount");
      must(yield* sys.umount(MNT), "umount");
    });
    t.finish();
  });
});

describe("the fault lock is kept", () => {
  for (const faultLock of FAULT_LOCKS) {
    for (const mkwrite of MKWRITES) {
      it(`${faultLock} + ${mkwrite}`, () => {
        const moved = onDax(
          function* (t) {
            const fd = yield* fileOf(PAGES);
            const at = yield* mapShared(fd, PAGES);
            yield* mem.touch(at, PAGES * PAGE);
            const before = t.counts();
            // Zero pages of holes, then frames that fsync has write-protected.
            yield* mem.touch(at, PAGES * PAGE, { write: true, value: 7 });
            must(yield* sys.fsync(fd), "fsync");
            yield* mem.touch(at, PAGES * PAGE, { write: true, value: 8 });
            yield* mem.touch(at, PAGES * PAGE, { write: true, value: 9 });
            const counts = t.since(before);
            expect(yield* byteOf(fd, PAGES - 1)).toBe(9);
            yield* close(fd, at, PAGES);
            return counts;
          },
          { faultLock, mkwrite },
        );
        expect(moved).toMatchObject({ mkwrite_faults: 2 * PAGES, mkwrite_runs: 2 * PAGES, "fs_dax:dax_insert_pfn_mkwrite": 2 * PAGES });
        expect([moved["mkwrite_unlocked_attempts"], moved["fault_retries"]]).toEqual([undefined, undefined]);
      });
    }
  }
});

/** The file's first byte on a disk after a power failure. */
function firstByteAfter(image: Uint8Array): number {
  const t = daxMachine();
  t.machine.disk.load(image);
  const byte = t.runOne(function* () {
    must(yield* sys.mkdir(MNT), "mkdir");
    must(yield* sys.mount("iomapfs", MNT, "dax"), "mount");
    const fd = must(yield* sys.open(FILE, O_RDWR), "open");
    const found = yield* byteOf(fd, 0);
    must(yield* sys.close(fd), "close");
    must(yield* sys.umount(MNT), "umount");
    return found;
  });
  t.finish();
  return byte;
}

describe("a power failure", () => {
  it("keeps what msync flushed, and keeps or loses what came after", () => {
    const images = onDax(function* (t) {
      const fd = yield* fileOf(1);
      const at = yield* mapShared(fd, 1);
      yield* mem.store(at, new Uint8Array([1]));
      must(yield* sys.msync(at, PAGE, MS_SYNC), "msync");
      const synced = t.machine.disk.afterPowerLoss();
      yield* mem.store(at, new Uint8Array([2]));
      const disks = [synced, t.machine.disk.afterPowerLoss(), t.machine.disk.afterPowerLoss(() => 0xff)];
      must(yield* sys.msync(at, PAGE, MS_SYNC), "msync");
      yield* close(fd, at, 1);
      return [...disks, t.machine.disk.afterPowerLoss()];
    });
    expect(images.map(firstByteAfter)).toEqual([1, 1, 2, 2]);
  });
});

/** What happens to the blocks of a file while another process stores to them all the time; its blocks then go to another file. */
const TAKEN: readonly { name: string; take: (fd: number) => Call; signal: number }[] = [
  { name: "truncate", take: (fd) => sys.ftruncate(fd, 0), signal: SIGBUS },
  { name: "hole punch", take: (fd) => sys.fallocate(fd, PUNCH_HOLE, 0, PAGES * PAGE), signal: 0 },
];

describe("no store reaches a block that the file has lost", () => {
  // Through the page cache as well: MMAPLOCK is the same.
  const rows = ["dax", ""].flatMap((options) => TAKEN.map((taken) => ({ ...taken, options })));
  for (const { name, take, signal, options } of rows) {
    for (let seed = 1; seed <= 4; seed++) {
      it(`${name}, ${options || "page cache"}, seed ${seed}`, () => {
        const t = daxMachine({ seed, diskBlocks: 160 });
        t.runOne(() => makeAndMount(options));
        const startNs = t.machine.nowNs();
        const storing = t.spawn(function* () {
          const fd = yield* fileOf(PAGES);
          const at = yield* mapShared(fd, PAGES);
          let last = { done: 0, signal: 0 };
          while (last.signal === 0 && (yield* now()) < startNs + 40e6) {
            last = yield* mem.tryTouch(at, PAGES * PAGE, { write: true, value: 0x55 });
            yield* sys.nanosleep(3000);
          }
          yield* close(fd, at, PAGES);
          return last.signal;
        });
        const taking = t.spawn(function* () {
          yield* sys.nanosleep(1e6 + seed * 137_000);
          const fd = must(yield* sys.open(FILE, O_RDWR), "open");
          must(yield* take(fd), name);
          // The commit frees the blocks; a file that fills the disk has them.
          must(yield* sys.sync(), "sync");
          const other = must(yield* sys.open(`${MNT}/g`, O_RDWR | O_CREAT), "open");
          let pages = 0;
          while ((yield* sys.pwrite(other, new Uint8Array(PAGE).fill(0x66), pages * PAGE)) === PAGE) pages++;
          yield* sys.nanosleep(5e6);
          let wrong = 0;
          for (let page = 0; page < pages; page++) {
            const data = yield* sys.pread(other, PAGE, page * PAGE);
            if (typeof data === "number" || !data.every((byte) => byte === 0x66)) wrong++;
          }
          must(yield* sys.close(other), "close");
          must(yield* sys.close(fd), "close");
          return { wrong, some: pages > PAGES };
        });
        t.run();
        expect(taking.result(), t.machine.command).toEqual({ wrong: 0, some: true });
        // With the disk full, a store to a hole ends in SIGBUS as well.
        expect([signal, SIGBUS]).toContain(storing.result());
        t.runOne(() => sys.umount(MNT));
        t.finish();
      });
    }
  }
});
