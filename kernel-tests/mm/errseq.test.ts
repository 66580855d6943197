/*
 * Errors of writeback: every file that was open hears of one once, whoever asks first; one that nobody has heard of waits for the next.
 *
 * Checks: [es-1] [es-2].
 */
import { describe, expect, it } from "vitest";
import { MAP_SHARED, MS_SYNC, O_CREAT, O_RDWR, mem, sys } from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { FILESYSTEMS, filesystemMachine, makeAndMount } from "../mkwrite/filesystems.js";
import { E, PAGE, RW, type TestMachine, must } from "../test-machine.js";

const REGIME = { faultLock: "linux-6.7", mkwrite: "generic_page_mkwrite" } as const;

function* opened(): Call {
  return must(yield* sys.open("/mnt/f", O_RDWR | O_CREAT), "open");
}

describe.each(FILESYSTEMS.filter(({ persistent }) => persistent))("on $name", (fs) => {
  function told<T>(body: (t: TestMachine, fd: number) => Call<T>): T {
    const t = filesystemMachine(fs, REGIME);
    const value = t.runOne(function* () {
      yield* makeAndMount(fs);
      const fd = yield* opened();
      must(yield* sys.pwrite(fd, new Uint8Array(PAGE).fill(1), 0), "pwrite");
      must(yield* sys.fsync(fd), "fsync");
      return yield* body(t, fd);
    });
    t.finish();
    expect(t.machine.disk.faultHits().eioWrite).toBe(1);
    return value;
  }

  /** The next write of the file's content fails. */
  function* dirty(t: TestMachine, fd: number): Call<void> {
    must(yield* sys.pwrite(fd, new Uint8Array(PAGE).fill(2), 0), "pwrite");
    t.machine.disk.injectFaults({ eioWriteNth: 1 });
  }

  it("each of three files that were open is told once", () => {
    const results = told(function* (t, a) {
      const [b, c] = [yield* opened(), yield* opened()];
      yield* dirty(t, a);
      const all: number[] = [];
      for (const fd of [b, b, a, c, c, a]) all.push(yield* sys.fsync(fd));
      return all;
    });
    expect(results).toEqual([-E.IO, 0, -E.IO, -E.IO, 0, 0]);
  });

  it("msync tells as fsync does, and a file that is opened after somebody was told is not", () => {
    const results = told(function* (t, a) {
      const b = yield* opened();
      const at = must(yield* sys.mmap(0, PAGE, RW, MAP_SHARED, a), "mmap");
      yield* mem.touch(at, PAGE, { write: true, value: 3 });
      t.machine.disk.injectFaults({ eioWriteNth: 1 });
      const all = [yield* sys.msync(at, PAGE, MS_SYNC)];
      const late = yield* opened();
      for (const fd of [late, b, a]) all.push(yield* sys.fsync(fd));
      return all;
    });
    expect(results).toEqual([-E.IO, 0, -E.IO, 0]);
  });

  it("a file that is opened before anybody was told is", () => {
    const results = told(function* (t, a) {
      yield* dirty(t, a);
      // sync(2) has no way to tell.
      must(yield* sys.sync(), "sync");
      const late = yield* opened();
      return [yield* sys.fsync(late), yield* sys.fsync(a)];
    });
    expect(results).toEqual([-E.IO, -E.IO]);
  });
});
