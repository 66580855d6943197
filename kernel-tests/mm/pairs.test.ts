/*
 * Every operation against every other: two CPUs, one file mapping, each pair as threads and as processes, under seeded random
 * choices (who runs, who gets the lock, preemption). The laws are the kernel's own: no assert, every walk clean, nothing left.
 *
 * Checks: [vma-4] [rmap-1] [tr-2] [mr-1] [mem-1] [tlb-1] [mk-6] [lk-1].
 * Why not more seeds: kernel-tests/fuzz draws longer runs; this is the matrix, each cell once a seed.
 */
import { describe, expect, it } from "vitest";
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FAULT_LOCK_REGIMES,
  MADV_DONTNEED,
  MADV_POPULATE_WRITE,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  MS_SYNC,
  O_RDWR,
  PROT_NONE,
  PROT_READ,
  barrier,
  mem,
  procRead,
  sys,
} from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { PAGE, RW, TestMachine, must, ramFile } from "../test-machine.js";

const AT = 0x10_0000_0000;
const SPARE = 0x11_0000_0000;
const PAGES = 8;
const LEN = PAGES * PAGE;
const ROUNDS = 6;
const SEEDS = [1, 2];

/** What one side does again and again; results are free, as the other side may take anything away at any time. */
const OPERATIONS: Record<string, (fd: number, round: number) => Call<unknown>> = {
  load: () => mem.tryTouch(AT, LEN),
  store: () => mem.tryTouch(AT, LEN, { write: true }),
  *mprotect(_fd, round) {
    yield* sys.mprotect(AT + PAGE, 3 * PAGE, round % 3 === 0 ? PROT_NONE : PROT_READ);
    return yield* sys.mprotect(AT, LEN, RW);
  },
  *mremap() {
    yield* sys.mremap(AT + 2 * PAGE, 3 * PAGE, 3 * PAGE, 3, SPARE);
    return yield* sys.mremap(SPARE, 3 * PAGE, 3 * PAGE, 3, AT + 2 * PAGE);
  },
  *remap(fd, round) {
    yield* sys.munmap(AT + PAGE, 2 * PAGE);
    return yield* sys.mmap(AT, LEN, RW, (round % 2 === 0 ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED, fd, 0);
  },
  dontneed: () => sys.madvise(AT, LEN, MADV_DONTNEED),
  populate: () => sys.madvise(AT, LEN, MADV_POPULATE_WRITE),
  *truncate(fd) {
    yield* sys.ftruncate(fd, 2 * PAGE + 100);
    return yield* sys.ftruncate(fd, LEN);
  },
  punch: (fd, round) => sys.fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, round * 1000, 3 * PAGE),
  write: (fd) => sys.pwriteFrom(fd, AT, LEN, PAGE),
  read: (fd) => sys.preadTo(fd, AT + PAGE, 4 * PAGE, 100),
  msync: () => sys.msync(AT, LEN, MS_SYNC),
  *mlock() {
    yield* sys.mlock(AT + PAGE, 2 * PAGE);
    return yield* sys.munlock(AT, LEN);
  },
  mincore: () => sys.mincore(AT, LEN),
  *fork() {
    const pid = yield* sys.fork(function* () {
      yield* mem.tryTouch(AT, LEN, { write: true });
    });
    return pid > 0 ? yield* sys.wait(pid) : pid;
  },
  *procRead() {
    return yield* procRead("smaps", yield* sys.getpid());
  },
  *reopen() {
    const fd = yield* sys.open("/f", O_RDWR);
    yield* sys.mmap(AT, LEN, RW, MAP_SHARED | MAP_FIXED, fd, 0);
    return yield* sys.close(fd);
  },
};

function runPair(first: string, second: string, threads: boolean, seed: number, faultLock: (typeof FAULT_LOCK_REGIMES)[number]): void {
  const t = new TestMachine({ cpus: 2, seed, choices: "random", faultLock, limitNs: 1e9, limitOps: 20_000 });
  let ended = 0;
  t.runOne(function* () {
    const fd = yield* ramFile("/f", PAGES);
    must(yield* sys.mmap(AT, LEN, RW, MAP_SHARED | MAP_FIXED, fd, 0));
    yield* mem.touch(AT, LEN, { write: true });
    const side = (name: string, cpu: number) =>
      function* (): Call<void> {
        yield* sys.pin(cpu);
        yield* barrier(0, 2);
        for (let round = 0; round < ROUNDS; round++) yield* OPERATIONS[name]?.(fd, round) ?? sys.getpid();
        yield* barrier(1, 2);
        // Both sides are out of the kernel, and only the first to come back runs.
        if (ended++ === 0) t.check();
      };
    must(yield* threads ? sys.thread(side(second, 1)) : sys.fork(side(second, 1)));
    yield* side(first, 0)();
    return 0;
  });
  t.finish();
}

const NAMES = Object.keys(OPERATIONS);
describe.each(NAMES)("%s against", (first) => {
  it.each(NAMES.slice(NAMES.indexOf(first)))("%s", (second) => {
    for (const seed of SEEDS) {
      const faultLock = FAULT_LOCK_REGIMES[(NAMES.indexOf(first) + NAMES.indexOf(second) + seed) % FAULT_LOCK_REGIMES.length];
      expect(faultLock).toBeDefined();
      if (!faultLock) return;
      runPair(first, second, true, seed, faultLock);
      runPair(first, second, false, seed, faultLock);
    }
  });
});
