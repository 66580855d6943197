/*
 * Every filesystem under every regime: three threads store to their own bytes of a file's pages through a shared mapping, while
 * another truncates, punches holes, unmaps, forks, writes and syncs. After each round every byte of the file must be one that
 * the round can have left; at the end the file, read from the disk again, is what memory said.
 *
 *   SEED=7 npx vitest run kernel-tests/mkwrite/filesystems.test.ts      runs one seed
 * Checks: [mk-1] to [mk-6], [tr-1], S1, S6, S7, S8, S10, S11, S23, S24; proof of path by counters.
 */
import { describe, expect, it } from "vitest";
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  MAP_FIXED,
  MAP_SHARED,
  MS_SYNC,
  O_CREAT,
  O_RDWR,
  barrier,
  mem,
  sys,
  waitAll,
} from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { type Random, randomOf, seedsOf } from "../oracle/random.js";
import { PAGE, RW, type TestMachine, must } from "../test-machine.js";
import { FILESYSTEMS, type Regime, type TestFilesystem, filesystemMachine, makeAndMount, mountAgain, unmountClean } from "./filesystems.js";
import { FAULT_LOCKS, MKWRITES } from "./machine.js";

const PAGES = 12;
/** The end of the file lies inside its last page, and inside a block of 1024 bytes. */
const SIZE = (PAGES - 1) * PAGE + 1700;
const LANES = 3;
/** Bytes of the task that does everything else, and of its children. */
const WRITE_LANE = LANES;
const CHILD_LANE = LANES + 1;
const ROUNDS = 6;
const STORES = 8;
const BARRIER = 1;
const SEEDS = seedsOf(2);

/** The file as it may be: one value for each byte, and what the running round has done. */
class FileOracle {
  private readonly known = new Uint8Array(SIZE);
  private readonly stored = new Map<number, number>();
  private readonly zeroed: [start: number, end: number][] = [];

  note(at: number, value: number): void {
    this.stored.set(at, value);
  }
  zero(start: number, end: number): void {
    this.zeroed.push([start, Math.min(end, SIZE)]);
  }

  /** The round is over: what is wrong with the file's content. */
  settle(content: Uint8Array): string[] {
    const wrong: string[] = [];
    for (let at = 0; at < SIZE; at++) {
      const was = this.known[at] ?? 0;
      const stored = this.stored.get(at);
      const mayBeZero = this.zeroed.some(([start, end]) => at >= start && at < end);
      const found = content[at] ?? -1;
      const right = found === stored || (mayBeZero && found === 0) || (stored === undefined && !mayBeZero && found === was);
      if (!right) wrong.push(`page ${Math.floor(at / PAGE)}+${at % PAGE}: ${found}, was ${was}, stored ${stored}, zeroed ${mayBeZero}`);
      this.known[at] = found;
    }
    this.stored.clear();
    this.zeroed.length = 0;
    return wrong;
  }

  /** Bytes in which a content is not the file's. */
  differences(content: Uint8Array): string[] {
    if (content.length !== SIZE) return [`${content.length} bytes`];
    const all = [...content.keys()].filter((at) => content[at] !== this.known[at]);
    return all.map((at) => `page ${Math.floor(at / PAGE)}+${at % PAGE}: ${content[at]}, memory had ${this.known[at]}`);
  }
}

/** A byte of a lane: in any block of any page of the file. */
function place(r: Random, lane: number): number {
  let at = SIZE;
  while (at >= SIZE) at = r.below(PAGES) * PAGE + r.below(8) * 512 + lane;
  return at;
}

interface Run {
  t: TestMachine;
  r: Random;
  oracle: FileOracle;
  fd: number;
  at: number;
}

function* storeSome(run: Run, r: Random, lane: number): Call<void> {
  for (let i = 0; i < STORES; i++) {
    const at = place(r, lane);
    const value = 1 + r.below(255);
    const result = yield* mem.tryTouch(run.at + at, 1, { write: true, value });
    // A signal says that the page was not mapped, or beyond the end of the file, at that time.
    if (result.signal === 0) run.oracle.note(at, value);
    if (r.oneIn(3)) yield* sys.nanosleep(1000 + r.below(60_000));
  }
}

/** Truncation to any byte, and back to the size. */
function* truncate(run: Run): Call<void> {
  const to = run.r.below(SIZE);
  run.oracle.zero(to, SIZE);
  must(yield* sys.ftruncate(run.fd, to), "ftruncate");
  yield* sys.nanosleep(run.r.below(50_000));
  must(yield* sys.ftruncate(run.fd, SIZE), "ftruncate");
}

function* punch(run: Run): Call<void> {
  const start = run.r.below(SIZE);
  const length = 1 + run.r.below(3 * PAGE);
  run.oracle.zero(start, start + length);
  const done = yield* sys.fallocate(run.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start, length);
  if (done !== 0) throw new Error(`punch: ${done}`);
}

function* remap(run: Run): Call<void> {
  must(yield* sys.munmap(run.at, PAGES * PAGE), "munmap");
  yield* sys.nanosleep(run.r.below(20_000));
  must(yield* sys.mmap(run.at, PAGES * PAGE, RW, MAP_SHARED | MAP_FIXED, run.fd, 0), "mmap");
}

/** A child that stores through its copy of the mapping. */
function* fork(run: Run): Call<void> {
  const at = place(run.r, CHILD_LANE);
  const value = 1 + run.r.below(255);
  const child = yield* sys.fork(function* () {
    const result = yield* mem.tryTouch(run.at + at, 1, { write: true, value });
    if (result.signal === 0) run.oracle.note(at, value);
  });
  must(child, "fork");
  yield* waitAll();
}

function* write(run: Run): Call<void> {
  const at = place(run.r, WRITE_LANE);
  const value = 1 + run.r.below(255);
  must(yield* sys.pwrite(run.fd, new Uint8Array([value]), at), "pwrite");
  run.oracle.note(at, value);
}

const ACTIONS: readonly ((run: Run) => Call<unknown>)[] = [
  truncate,
  punch,
  remap,
  fork,
  write,
  (run) => sys.fsync(run.fd),
  (run) => sys.msync(run.at, PAGES * PAGE, MS_SYNC),
];

function* contentOf(fd: number): Call<Uint8Array> {
  const content = yield* sys.pread(fd, SIZE + 1, 0);
  if (typeof content === "number") throw new Error(`pread: ${content}`);
  return content;
}

function* rounds(run: Run, seed: number): Call<void> {
  for (let lane = 0; lane < LANES; lane++) {
    const r = randomOf(seed * 31 + lane + 1);
    const thread = yield* sys.thread(function* () {
      for (let round = 0; round < ROUNDS; round++) {
        yield* barrier(BARRIER, LANES + 1);
        yield* storeSome(run, r, lane);
        yield* barrier(BARRIER, LANES + 1);
      }
    });
    must(thread, "thread");
  }
  // In the first round the stores are alone: what the counters say of them is certain.
  for (let round = 0; round < ROUNDS; round++) {
    yield* barrier(BARRIER, LANES + 1);
    for (let i = 0; round > 0 && i < 3; i++) {
      const done = yield* run.r.pick(ACTIONS)(run);
      if (typeof done === "number") must(done, "action");
    }
    yield* barrier(BARRIER, LANES + 1);
    const wrong = run.oracle.settle(yield* contentOf(run.fd));
    if (wrong.length > 0) throw new Error(`round ${round}: ${wrong.length} bytes\n${wrong.slice(0, 5).join("\n")}`);
    // Everything is clean, so that the next round's stores ask the filesystem again.
    must(yield* sys.fsync(run.fd), "fsync");
  }
}

/** A whole run; what moved while the threads stored. */
function play(t: TestMachine, fs: TestFilesystem, seed: number): Readonly<Record<string, number>> {
  return t.runOne(function* () {
    yield* makeAndMount(fs);
    const fd = must(yield* sys.open("/mnt/f", O_RDWR | O_CREAT), "open");
    must(yield* sys.ftruncate(fd, SIZE), "ftruncate");
    const at = must(yield* sys.mmap(0, PAGES * PAGE, RW, MAP_SHARED, fd), "mmap");
    yield* mem.touch(at, PAGES * PAGE);
    const run: Run = { t, r: randomOf(seed), oracle: new FileOracle(), fd, at };
    const before = t.counts();
    yield* rounds(run, seed);
    const moved = t.since(before);
    must(yield* sys.munmap(at, PAGES * PAGE), "munmap");
    must(yield* sys.close(fd), "close");
    if (fs.persistent) {
      yield* mountAgain(fs);
      const again = must(yield* sys.open("/mnt/f", O_RDWR), "open");
      expect(run.oracle.differences(yield* contentOf(again)), `seed ${seed}: the disk against memory`).toEqual([]);
      must(yield* sys.close(again), "close");
    }
    must(yield* sys.unlink("/mnt/f"), "unlink");
    // umount asserts that nothing is promised to anybody ([mk-6]).
    yield* unmountClean(fs);
    return moved;
  });
}

/** How a regime's own way shows: the counter that moves when a store takes it. */
const PROOF: Record<string, string> = {
  "bacik-v3": "mkwrite_unlocked_attempts",
  generic_page_mkwrite_nommapsem: "mkwrite_stash_accepted",
  kara: "mkwrite_prepared",
  completed: "mkwrite_completed",
};

function expectPath(moved: Readonly<Record<string, number>>, fs: TestFilesystem, regime: Regime): void {
  const count = (name: string): number => moved[name] ?? 0;
  expect(count("mkwrite_runs") > 0).toBe(fs.mkwrite);
  const proof = PROOF[regime.mkwrite];
  expect(count("mkwrite_unlocked_attempts") > 0).toBe(fs.mkwrite && proof !== undefined);
  if (proof !== undefined && fs.mkwrite) expect(count(proof), proof).toBeGreaterThan(0);
  expect(count("vma_lock_faults") > 0).toBe(regime.faultLock === "linux-6.7");
}

for (const fs of FILESYSTEMS) {
  describe(fs.name, () => {
    for (const faultLock of FAULT_LOCKS) {
      for (const mkwrite of MKWRITES) {
        it(`${faultLock} + ${mkwrite}`, () => {
          for (const seed of SEEDS) {
            const t = filesystemMachine(fs, { faultLock, mkwrite });
            expectPath(play(t, fs, seed), fs, { faultLock, mkwrite });
            expect(t.stat("stashes")).toBe(0);
            t.finish();
          }
        });
      }
    }
  });
}
