/*
 * The ledger: ENOSPC that is exact at every fill level, tickets that wait for flushing and commits, ordered extents, and reservations
 * that are zero when nothing is under way.
 *
 * Checks: [cow-4] [cow-5] [cow-6] [fl-1] [or-1] [mk-1] [mk-6], ENOSPC in page_mkwrite under every regime.
 */
import { describe, expect, it } from "vitest";
import { FAULT_LOCK_REGIMES, MAP_SHARED, MKWRITE_REGIMES, O_CREAT, O_RDWR, SIGBUS, mem, sys } from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { data, pattern, readAll } from "../fs-suite/mounted.js";
import { E, PAGE, RW, type TestMachine, must } from "../test-machine.js";
import { expectClean } from "../fs-suite/check-image.js";
import { BLOCK_SIZES, MNT, eventsOf, on, withCowfs } from "./machine.js";

const DISK_BLOCKS = 64;

/** What is promised and not kept yet. */
function promised(t: TestMachine): number[] {
  return ["cowfs_data_reserved", "cowfs_meta_reserved", "cowfs_ordered_extents"].map((name) => t.stat(name));
}

function* opened(name: string): Call {
  return must(yield* sys.open(`${MNT}/${name}`, O_RDWR | O_CREAT), `open ${name}`);
}

/** Stores one page after the other through a mapping until SIGBUS. Returns how many went in. */
function* storeUntilFull(fd: number, pages: number): Call {
  must(yield* sys.ftruncate(fd, pages * PAGE), "ftruncate");
  const at = must(yield* sys.mmap(0, pages * PAGE, RW, MAP_SHARED, fd), "mmap");
  let stored = 0;
  for (; stored < pages; stored++) {
    const { signal } = yield* mem.tryTouch(at + stored * PAGE, 1, { write: true, value: (stored % 250) + 1 });
    if (signal === SIGBUS) break;
    expect(signal).toBe(0);
  }
  must(yield* sys.munmap(at, pages * PAGE), "munmap");
  return stored;
}

/** Writes blocks until ENOSPC. Returns how many bytes went in. */
function* writeUntilFull(fd: number, unit: number): Call {
  let at = 0;
  for (;;) {
    const wrote = yield* sys.pwrite(fd, pattern(unit, at), at);
    if (wrote === -E.NOSPC) return at;
    at += must(wrote, "pwrite");
  }
}

describe("what was promised can be written, at every fill level", () => {
  for (const blockSize of BLOCK_SIZES) {
    it(`stores and writes to a full disk, blocks of ${blockSize}`, () => {
      const held: number[] = [];
      // The disk holds less than 48 pages of data beside its trees and superblocks.
      for (let level = 0; level <= 48; level += blockSize === 4096 ? 1 : 3) {
        const { image, value } = withCowfs({ blockSize, config: { diskBlocks: DISK_BLOCKS } }, function* (t) {
          const [base, mapped, written] = [yield* opened("base"), yield* opened("mapped"), yield* opened("written")];
          let filled = 0;
          while (filled < level && (yield* sys.pwrite(base, pattern(PAGE, filled), filled * PAGE)) === PAGE) filled++;
          must(yield* sys.fsync(base), "fsync");
          const stored = yield* storeUntilFull(mapped, DISK_BLOCKS);
          const bytes = yield* writeUntilFull(written, blockSize);
          // Every byte that was taken must find its place.
          must(yield* sys.fsync(mapped), "fsync of what was stored");
          must(yield* sys.fsync(written), "fsync of what was written");
          must(yield* sys.sync(), "sync");
          expect(promised(t), `level ${level}`).toEqual([0, 0, 0]);
          return { filled, stored, bytes };
        });
        expectClean(image, `level ${level}`);
        const there = on(image, function* () {
          return {
            mapped: yield* readAll(`${MNT}/mapped`),
            written: yield* readAll(`${MNT}/written`),
            base: yield* readAll(`${MNT}/base`),
          };
        }).value;
        const { filled, stored, bytes } = value;
        for (let i = 0; i < DISK_BLOCKS; i++) {
          expect(there.mapped[i * PAGE], `level ${level}, page ${i}`).toBe(i < stored ? (i % 250) + 1 : 0);
        }
        expect(there.written.length).toBe(bytes);
        for (let at = 0; at < bytes; at += blockSize) expect(there.written.subarray(at, at + blockSize)).toEqual(pattern(blockSize, at));
        for (let i = 0; i < filled; i++) expect(there.base.subarray(i * PAGE, (i + 1) * PAGE)).toEqual(pattern(PAGE, i));
        held.push(filled * PAGE + stored * PAGE + bytes);
      }
      // Whatever the order, the disk takes about as much: nothing leaks, little is held back.
      expect(Math.min(...held)).toBeGreaterThan(Math.max(...held) - 8 * PAGE);
      expect(Math.max(...held)).toBeGreaterThan((DISK_BLOCKS / 3) * PAGE);
    });
  }

  it("filled and emptied again and again, it takes the same", () => {
    const { value, image } = withCowfs({ config: { diskBlocks: DISK_BLOCKS } }, function* (t) {
      const sizes: number[] = [];
      for (let i = 0; i < 6; i++) {
        const fd = yield* opened("f");
        sizes.push(yield* writeUntilFull(fd, PAGE));
        must(yield* sys.fsync(fd), "fsync");
        must(yield* sys.close(fd));
        must(yield* sys.unlink(`${MNT}/f`), "unlink");
        must(yield* sys.sync());
        expect(promised(t)).toEqual([0, 0, 0]);
      }
      return sizes;
    });
    expect(new Set(value).size, value.join(" ")).toBe(1);
    expectClean(image);
  });
});

describe("ENOSPC in page_mkwrite", () => {
  for (const faultLock of FAULT_LOCK_REGIMES) {
    it.each(MKWRITE_REGIMES)(`${faultLock} + %s: SIGBUS, reservations zero, the file intact`, (mkwrite) => {
      const { image, value } = withCowfs({ config: { diskBlocks: DISK_BLOCKS, faultLock, mkwrite } }, function* (t) {
        const fd = yield* opened("f");
        const stored = yield* storeUntilFull(fd, DISK_BLOCKS);
        must(yield* sys.fsync(fd), "fsync");
        expect(promised(t)).toEqual([0, 0, 0]);
        expect(t.stat("stashes")).toBe(0);
        return { stored, unlocked: t.stat("mkwrite_unlocked_attempts"), runs: t.stat("mkwrite_runs") };
      });
      expect(value.stored).toBeGreaterThan(10);
      expect(value.stored).toBeLessThan(DISK_BLOCKS);
      expect(value.unlocked > 0).toBe(mkwrite !== "generic_page_mkwrite");
      const content = on(image, () => readAll(`${MNT}/f`)).value;
      for (let i = 0; i < DISK_BLOCKS; i++) expect(content[i * PAGE]).toBe(i < value.stored ? i + 1 : 0);
      expectClean(image);
    });
  }
});

describe("tickets", () => {
  it("space that a commit sets free is waited for, and is there", () => {
    const { value } = withCowfs({ config: { diskBlocks: 128 } }, function* (t) {
      const fd = yield* opened("f");
      must(yield* sys.pwrite(fd, pattern(70 * PAGE), 0), "pwrite");
      must(yield* sys.fsync(fd), "fsync");
      must(yield* sys.close(fd));
      must(yield* sys.unlink(`${MNT}/f`), "unlink");
      // Pinned: the last transaction on the disk refers to it still.
      const before = { tickets: t.stat("cowfs_tickets"), flushes: t.stat("cowfs_flushes"), commits: t.stat("cowfs_commits") };
      const g = yield* opened("g");
      const wrote = yield* sys.pwrite(g, pattern(70 * PAGE, 2), 0);
      const moved = {
        tickets: t.stat("cowfs_tickets") - before.tickets,
        flushes: t.stat("cowfs_flushes") - before.flushes,
        commits: t.stat("cowfs_commits") - before.commits,
      };
      must(yield* sys.fsync(g), "fsync");
      expect(promised(t)).toEqual([0, 0, 0]);
      return { wrote, moved, right: data(yield* sys.pread(g, 70 * PAGE, 0)) };
    });
    expect(value.wrote).toBe(70 * PAGE);
    expect(value.moved.tickets).toBeGreaterThan(0);
    expect(value.moved.flushes).toBeGreaterThan(0);
    expect(value.moved.commits).toBeGreaterThan(0);
    expect(value.right).toEqual(pattern(70 * PAGE, 2));
  });

  it("metadata that was promised for the worst case comes back when delalloc is flushed", () => {
    const { value, t } = withCowfs({ blockSize: 512, config: { diskBlocks: 128 } }, function* (machine) {
      // Scattered blocks promise an item each in three trees; written, they are far fewer tree blocks.
      const fd = yield* opened("f");
      let blocks = 0;
      const before = machine.stat("cowfs_tickets");
      for (; machine.stat("cowfs_tickets") === before && blocks < 2000; blocks++) {
        must(yield* sys.pwrite(fd, pattern(512, blocks), blocks * 1024), "pwrite");
      }
      must(yield* sys.fsync(fd), "fsync");
      expect(promised(machine)).toEqual([0, 0, 0]);
      return blocks;
    });
    expect(value).toBeLessThan(2000);
    const steps = eventsOf(t, "btrfs:btrfs_flush_space").map((event) => Number(event.a));
    expect(steps[0]).toBe(1);
    expect(t.machine.traceCounts()["btrfs:btrfs_reserve_ticket"]).toBeGreaterThan(0);
  });

  it("a ticket is a wait of the task: others go on, and a fatal signal ends it", () => {
    const { value } = withCowfs({ config: { diskBlocks: 128, cpus: 4 } }, function* (t) {
      const fd = yield* opened("f");
      must(yield* sys.pwrite(fd, pattern(70 * PAGE), 0));
      must(yield* sys.fsync(fd));
      must(yield* sys.unlink(`${MNT}/f`));
      must(yield* sys.close(fd));
      t.machine.disk.setModel({ kind: "fixed", flushNs: 50e6 });
      const g = yield* opened("g");
      const end = { wrote: 0, atNs: 0, killed: 0 };
      must(
        yield* sys.thread(function* () {
          end.wrote = yield* sys.pwrite(g, pattern(70 * PAGE), 0);
        }),
      );
      const child = must(
        yield* sys.fork(function* () {
          yield* sys.pwrite(g, pattern(70 * PAGE), 70 * PAGE);
        }),
      );
      yield* sys.nanosleep(10e6);
      const waiting = end.wrote === 0;
      must(yield* sys.kill(child, 9), "kill");
      end.killed = (yield* sys.wait(child)).status;
      while (end.wrote === 0) yield* sys.nanosleep(1e6);
      must(yield* sys.fsync(g));
      expect(promised(t)).toEqual([0, 0, 0]);
      return [waiting, end.wrote, end.killed];
    });
    expect(value).toEqual([true, 70 * PAGE, 9]);
  });
});

describe("ordered extents", () => {
  it("a store to a page whose extent is under way waits for it, and nothing is lost", () => {
    for (const mkwrite of MKWRITE_REGIMES) {
      const { t, image } = withCowfs({ config: { cpus: 4, mkwrite, choices: "random" } }, function* () {
        const fd = yield* opened("f");
        must(yield* sys.ftruncate(fd, 4 * PAGE));
        const at = must(yield* sys.mmap(0, 4 * PAGE, RW, MAP_SHARED, fd));
        const state = { running: true };
        must(
          yield* sys.thread(function* () {
            for (let i = 0; i < 40; i++) must(yield* sys.fsync(fd));
            state.running = false;
          }),
        );
        let value = 0;
        while (state.running) {
          value = (value + 1) % 200;
          yield* mem.touch(at, 4 * PAGE, { write: true, value });
          yield* sys.nanosleep(30_000);
        }
        yield* mem.touch(at, 4 * PAGE, { write: true, value: 255 });
        must(yield* sys.fsync(fd));
      });
      const counts = t.machine.traceCounts();
      expect(counts["btrfs:btrfs_ordered_extent_add"], mkwrite).toBeGreaterThan(10);
      expect(counts["btrfs:btrfs_ordered_extent_start"], mkwrite).toBeGreaterThan(0);
      const content = on(image, () => readAll(`${MNT}/f`)).value;
      expect([0, 1, 2, 3].map((i) => content[i * PAGE])).toEqual([255, 255, 255, 255]);
    }
  });
});
