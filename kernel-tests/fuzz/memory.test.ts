/*
 * Memory under an oracle: threads of one process map, unmap, protect, move, drop, truncate, fork, store and load, each in a stretch
 * of its own, all in one address space, one page table, one set of TLBs; and all of them store to their own bytes of the same
 * pages of one file. Every load is compared with the byte that it must be.
 *
 *   SEED=7 npx vitest run kernel-tests/fuzz/memory.test.ts      runs one seed
 * Checks: [tlb-1] [zap-1] [mr-1] [fk-1] [tr-1] [mp-1] [mem-1].
 */
import { describe, expect, it } from "vitest";
import {
  FALLOC_FL_KEEP_SIZE,
  FALLOC_FL_PUNCH_HOLE,
  FAULT_LOCK_REGIMES,
  MADV_DONTNEED,
  MADV_POPULATE_READ,
  MADV_POPULATE_WRITE,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  MREMAP_FIXED,
  MREMAP_MAYMOVE,
  O_CREAT,
  O_RDWR,
  PROT_NONE,
  PROT_READ,
  mem,
  sys,
} from "../../src/node.js";
import type { Call } from "../../src/guest/index.js";
import { FileModel, MemoryModel, type Outcome, outcomeOfSignal } from "../oracle/memory-model.js";
import { type Random, randomOf, seedsOf } from "../oracle/random.js";
import { E, MIB, PAGE, RW, TestMachine, must } from "../test-machine.js";

const PAGES = 24;
const STEPS = 150;
const LANES = 4;
const SEEDS = seedsOf(12);
const BASE = 0x10_0000_0000;

/** One thread's side: its stretch, its files, its random numbers, and what it has done. */
class Side {
  readonly model = new MemoryModel(PAGES);
  readonly own = new FileModel(6 * PAGE, 0, 1);
  readonly common: FileModel;
  readonly r: Random;
  readonly past: string[] = [];
  readonly base: number;
  ownFd = -1;
  private time = 0;

  constructor(
    readonly seed: number,
    readonly index: number,
    readonly commonFd: number,
  ) {
    this.base = BASE + index * 0x1000_0000;
    this.common = new FileModel(8 * PAGE, index, LANES);
    this.r = randomOf(seed * 17 + index);
  }

  at(page: number): number {
    return this.base + page * PAGE;
  }

  note(text: string): void {
    this.past.push(`${this.time++} ${text}`);
    if (this.past.length > 14) this.past.shift();
  }

  where(): string {
    return `SEED=${this.seed} npx vitest run kernel-tests/fuzz/memory.test.ts (side ${this.index})\n${this.past.join("\n")}`;
  }

  /** An offset in a page that the side may store to whatever is mapped there. */
  offset(): number {
    return this.r.below(PAGE / LANES) * LANES + this.index;
  }

  range(): [first: number, count: number] {
    const first = this.r.below(PAGES);
    return [first, 1 + this.r.below(Math.min(6, PAGES - first))];
  }

  *same(got: number, want: number, what: string): Call<void> {
    this.note(`${what} = ${got}`);
    expect(got, this.where()).toBe(want);
    if (this.r.oneIn(1000)) yield* sys.schedYield();
  }
}

function* load(s: Side, page: number, offset: number): Call<void> {
  const want = s.model.load(page, offset);
  const touch = yield* mem.tryTouch(s.at(page) + offset, 1);
  let got: Outcome = outcomeOfSignal(touch.signal);
  if (touch.signal === 0) {
    const data = yield* mem.load(s.at(page) + offset, 1);
    got = typeof data === "number" ? "free" : (data[0] ?? -1);
  } else expect(touch.address, s.where()).toBe(s.at(page) + offset);
  if (want === "free") return;
  s.note(`load page ${page} + ${offset}: ${got}`);
  expect(got, s.where()).toBe(want);
}

function* store(s: Side, page: number, offset: number): Call<void> {
  const value = 1 + s.r.below(255);
  const want = s.model.store(page, offset, value);
  const touch = yield* mem.tryTouch(s.at(page) + offset, 1, { write: true, value });
  const got = touch.signal === 0 ? value : outcomeOfSignal(touch.signal);
  s.note(`store page ${page} + ${offset} ${value}: ${got}`);
  expect(got, s.where()).toBe(want);
}

function* map(s: Side): Call<void> {
  const [first, count] = s.range();
  const prot = s.r.pick([RW, RW, RW, PROT_READ, PROT_NONE]);
  const kind = s.r.below(5);
  const file = kind < 2 ? undefined : kind === 4 ? s.common : s.own;
  const shared = kind === 3 || (kind === 4 && s.r.oneIn(2));
  const pgoff = s.r.below(6);
  const fd = !file ? -1 : file === s.own ? s.ownFd : s.commonFd;
  const flags = (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED | (file ? 0 : MAP_ANONYMOUS);
  const at = yield* sys.mmap(s.at(first), count * PAGE, prot, flags, fd, file ? pgoff * PAGE : 0);
  s.model.map(first, count, prot, file, shared, pgoff);
  const what = !file ? "anonymous" : file === s.own ? "own file" : "common file";
  yield* s.same(at, s.at(first), `map ${what} ${shared ? "shared" : "private"} pages ${first}+${count} prot ${prot} pgoff ${pgoff}`);
}

function* unmap(s: Side): Call<void> {
  const [first, count] = s.range();
  const result = yield* sys.munmap(s.at(first), count * PAGE);
  s.model.unmap(first, count);
  yield* s.same(result, 0, `munmap pages ${first}+${count}`);
}

function* protect(s: Side): Call<void> {
  const [first, count] = s.range();
  const prot = s.r.pick([RW, RW, PROT_READ, PROT_NONE]);
  const result = yield* sys.mprotect(s.at(first), count * PAGE, prot);
  const hole = s.model.protect(first, count, prot);
  yield* s.same(result, hole ? -E.NOMEM : 0, `mprotect pages ${first}+${count} ${prot}`);
}

function* move(s: Side): Call<void> {
  const [first, count] = s.range();
  const to = s.r.below(PAGES - count + 1);
  const overlaps = to < first + count && first < to + count;
  const result = yield* sys.mremap(s.at(first), count * PAGE, count * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, s.at(to));
  s.note(`mremap pages ${first}+${count} to ${to} = ${result}`);
  if (result === s.at(to) && !overlaps) s.model.move(first, to, count);
  else {
    // EFAULT also where two mappings meet, which the model does not know.
    expect(result, s.where()).toBe(overlaps ? -E.INVAL : -E.FAULT);
    if (!overlaps && count === 1) expect(s.model.isMapped(first, 1), s.where()).toBe(false);
  }
}

function* drop(s: Side): Call<void> {
  const [first, count] = s.range();
  const result = yield* sys.madvise(s.at(first), count * PAGE, MADV_DONTNEED);
  const hole = s.model.dontneed(first, count);
  yield* s.same(result, hole ? -E.NOMEM : 0, `dontneed pages ${first}+${count}`);
}

/** Faults pages in; those that could be are as they were, so the model has nothing to change but private copies. */
function* populate(s: Side): Call<void> {
  const [first, count] = s.range();
  const write = s.r.oneIn(2);
  const result = yield* sys.madvise(s.at(first), count * PAGE, write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ);
  s.note(`populate ${write ? "write" : "read"} pages ${first}+${count} = ${result}`);
  for (let page = first; page < first + count; page++) {
    const can = write ? s.model.store(page, PAGE - 1, 0) : s.model.load(page, s.index);
    if (typeof can !== "number" && can !== "free") {
      expect(result, s.where()).toBeLessThan(0);
      return;
    }
    if (write) yield* mem.tryTouch(s.at(page) + PAGE - 1, 1, { write: true, value: 0 });
  }
  expect(result, s.where()).toBe(0);
}

function* resize(s: Side): Call<void> {
  const size = s.r.below(8) * PAGE + s.r.pick([0, 0, 1, 100, 4000]);
  const result = yield* sys.ftruncate(s.ownFd, size);
  s.model.truncated(s.own, size);
  yield* s.same(result, 0, `ftruncate ${size}`);
}

function* punch(s: Side): Call<void> {
  const start = s.r.below(6 * PAGE);
  const length = 1 + s.r.below(3 * PAGE);
  const result = yield* sys.fallocate(s.ownFd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start, length);
  s.own.pages.fill(0, start, start + length);
  yield* s.same(result, 0, `punch ${start}+${length}`);
}

function* write(s: Side): Call<void> {
  const start = s.r.below(6 * PAGE);
  const bytes = Uint8Array.from({ length: 1 + s.r.below(300) }, () => s.r.below(256));
  const result = yield* sys.pwrite(s.ownFd, bytes, start);
  if (start + bytes.length > s.own.size) s.own.resize(start + bytes.length);
  s.own.pages.set(bytes, start);
  yield* s.same(result, bytes.length, `pwrite ${start}+${bytes.length}`);
}

function* read(s: Side): Call<void> {
  const start = s.r.below(6 * PAGE);
  const data = yield* sys.pread(s.ownFd, 200, start);
  s.note(`pread ${start}`);
  const want = s.own.pages.subarray(start, Math.max(start, Math.min(start + 200, s.own.size)));
  expect(typeof data === "number" ? data : Buffer.compare(data, want), s.where()).toBe(0);
}

/** A child that finds its anonymous pages as they were, stores to them, and goes. The parent waits, or goes on meanwhile. */
function* fork(s: Side, children: number[]): Call<void> {
  const copy = s.model.forked();
  const seed = s.r.below(1e6);
  const where = s.where();
  const pid = yield* sys.fork(function* () {
    const r = randomOf(seed);
    for (let i = 0; i < 12; i++) {
      const page = r.below(PAGES);
      const at = copy.pages[page];
      if (!at || at.file || (at.prot & PROT_READ) === 0) continue;
      const offset = r.below(PAGE);
      const data = yield* mem.load(s.at(page) + offset, 1);
      expect(typeof data === "number" ? data : data[0], `child of ${where}: page ${page} + ${offset}`).toBe(copy.load(page, offset));
      if ((at.prot & 2) === 0) continue;
      const value = r.below(256);
      copy.store(page, offset, value);
      yield* mem.touch(s.at(page) + offset, 1, { write: true, value });
    }
    yield* sys.exitGroup(9);
  });
  s.note(`fork = ${pid}`);
  expect(pid, s.where()).toBeGreaterThan(0);
  children.push(pid);
  if (s.r.oneIn(2)) yield* reap(s, children);
}

function* reap(s: Side, children: number[]): Call<void> {
  for (const pid of children.splice(0)) {
    const { status } = yield* sys.wait(pid);
    expect(status, s.where()).toBe(9 << 8);
  }
}

const OPERATIONS: [weight: number, run: (s: Side) => Call<void>][] = [
  [9, map],
  [3, unmap],
  [5, protect],
  [4, move],
  [4, drop],
  [2, populate],
  [3, resize],
  [2, punch],
  [3, write],
  [2, read],
];
const WEIGHT = OPERATIONS.reduce((sum, [weight]) => sum + weight, 0);

function* side(s: Side): Call<void> {
  s.ownFd = must(yield* sys.open(`/own-${s.index}`, O_RDWR | O_CREAT));
  must(yield* sys.ftruncate(s.ownFd, s.own.size));
  const children: number[] = [];
  for (let step = 0; step < STEPS; step++) {
    if (s.r.oneIn(12)) yield* fork(s, children);
    let left = s.r.below(WEIGHT);
    for (const [weight, run] of OPERATIONS) {
      left -= weight;
      if (left >= 0) continue;
      yield* run(s);
      break;
    }
    for (let i = 0; i < 3; i++) {
      const page = s.r.below(PAGES);
      if (s.r.oneIn(2)) yield* store(s, page, s.offset());
      else yield* load(s, page, s.offset());
    }
  }
  yield* reap(s, children);
  for (let page = 0; page < PAGES; page++) for (let offset = s.index; offset < PAGE; offset += 512) yield* load(s, page, offset);
}

describe("every byte", () => {
  it.each(SEEDS)("seed %i", (seed) => {
    const t = new TestMachine({
      cpus: 1 + (seed % 3),
      memoryBytes: 4 * MIB,
      seed,
      choices: seed % 4 === 0 ? "default" : "random",
      faultLock: FAULT_LOCK_REGIMES[seed % FAULT_LOCK_REGIMES.length] ?? "linux-4.19",
      tlbEntries: seed % 2 === 0 ? 16 : 64,
      limitOps: 200_000,
    });
    let running = 3;
    t.runOne(function* () {
      const common = must(yield* sys.open("/common", O_RDWR | O_CREAT));
      must(yield* sys.ftruncate(common, 8 * PAGE));
      for (let index = 0; index < 3; index++) {
        must(
          yield* sys.thread(function* () {
            yield* side(new Side(seed, index, common));
            running--;
          }),
        );
      }
      while (running > 0) yield* sys.nanosleep(100_000);
      return 0;
    });
    t.finish();
  });
});
