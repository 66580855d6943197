/*
 * ENOSPC on purpose in page_mkwrite, on every filesystem that has one and under every regime: SIGBUS for the guest, what was stored
 * before is whole, what is unwritten is zero, and nothing stays promised: the same space can be used again, to the same byte.
 *
 * Checks: [mk-1] [mk-5] [mk-6], S16.
 */
import { describe, expect, it } from "vitest";
import { MAP_SHARED, O_CREAT, O_RDWR, SIGBUS, type TouchResult, mem, sys } from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { PAGE, RW, must } from "../test-machine.js";
import { FILESYSTEMS, type Regime, type TestFilesystem, filesystemMachine, makeAndMount, mountAgain } from "./filesystems.js";
import { FAULT_LOCKS, MKWRITES, byteOf } from "./machine.js";

const VALUE = 9;

/** Stores to a fresh file of more pages than the disk has blocks, one store a page, until there is no space. */
function* fill(path: string, pages: number): Call<TouchResult> {
  const fd = must(yield* sys.open(path, O_RDWR | O_CREAT), "open");
  must(yield* sys.ftruncate(fd, pages * PAGE), "ftruncate");
  const at = must(yield* sys.mmap(0, pages * PAGE, RW, MAP_SHARED, fd), "mmap");
  const result = yield* mem.tryTouch(at, pages * PAGE, { write: true, value: VALUE });
  expect(result.signal, "the disk is full").toBe(SIGBUS);
  expect(result.address).toBe(at + result.done * PAGE);
  // What was promised can be written ([mk-1]).
  must(yield* sys.fsync(fd), "fsync");
  yield* expectContent(fd, result.done, pages);
  must(yield* sys.munmap(at, pages * PAGE), "munmap");
  must(yield* sys.close(fd), "close");
  return result;
}

function* expectContent(fd: number, stored: number, pages: number): Call<void> {
  for (let pgoff = 0; pgoff < pages; pgoff++) {
    const found = yield* byteOf(fd, pgoff);
    if (found !== (pgoff < stored ? VALUE : 0)) throw new Error(`page ${pgoff} of ${stored} begins with ${found}`);
  }
}

function play(fs: TestFilesystem, regime: Regime): void {
  const pages = fs.small + 8;
  const t = filesystemMachine(fs, regime, { diskBlocks: fs.small });
  t.runOne(function* () {
    yield* makeAndMount(fs);
    const first = yield* fill("/mnt/f", pages);
    expect(first.done).toBeGreaterThan(8);
    if (fs.persistent) {
      yield* mountAgain(fs);
      const fd = must(yield* sys.open("/mnt/f", O_RDWR), "open");
      yield* expectContent(fd, first.done, pages);
      must(yield* sys.close(fd), "close");
    }
    must(yield* sys.unlink("/mnt/f"), "unlink");
    must(yield* sys.sync(), "sync");
    // A promise that was kept by mistake would show as a page less.
    const second = yield* fill("/mnt/g", pages);
    expect(second.done).toBe(first.done);
    must(yield* sys.unlink("/mnt/g"), "unlink");
    // umount asserts that nothing is promised to anybody ([mk-6]).
    must(yield* sys.umount("/mnt"), "umount");
  });
  expect(t.stat("stashes")).toBe(0);
  t.finish();
}

for (const fs of FILESYSTEMS.filter((one) => one.mkwrite)) {
  describe(fs.name, () => {
    for (const faultLock of FAULT_LOCKS) {
      for (const mkwrite of MKWRITES) {
        it(`${faultLock} + ${mkwrite}`, () => {
          play(fs, { faultLock, mkwrite });
        });
      }
    }
  });
}
