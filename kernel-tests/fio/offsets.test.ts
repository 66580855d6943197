/**
 * Which blocks a fio job touches: distributions against theory, maps that cover, directions that mix. Laws: [rnd-1] [rnd-2]
 * [off-1] [off-2].
 */
import { describe, expect, test } from "vitest";
import type { IoEntry } from "../../src/guest/io.js";
import { type FioJob, parseJobFile } from "../../src/workloads/fio/job.js";
import { ioSequence } from "../../src/workloads/fio/offsets.js";
import { Shuffle, paretoBlock, rngOf, seedOf, zipfRanks } from "../../src/workloads/fio/random.js";

function job(options: string): FioJob {
  return parseJobFile(`[j]\n${options}`, "t.fio").jobs[0]!;
}

function take(options: string, count: number, seed = 1): IoEntry[] {
  const ios = ioSequence(job(options), seed);
  return Array.from({ length: count }, () => ios.next().value);
}

/** Pearson's chi-square against expected shares; cells that expect less than 5 are put together. */
function chiSquare(counts: readonly number[], shares: readonly number[]): { x2: number; cells: number } {
  const total = counts.reduce((a, b) => a + b, 0);
  let [x2, cells, seen, wanted] = [0, 0, 0, 0];
  counts.forEach((count, i) => {
    seen += count;
    wanted += total * (shares[i] ?? 0);
    if (wanted < 5 && i < counts.length - 1) return;
    x2 += (seen - wanted) ** 2 / wanted;
    cells++;
    [seen, wanted] = [0, 0];
  });
  return { x2, cells };
}

/** A chi-square of k cells exceeds this once in about 10^4 (Wilson, Hilferty). */
function limit(cells: number): number {
  const k = cells - 1;
  return k * (1 - 2 / (9 * k) + 3.72 * Math.sqrt(2 / (9 * k))) ** 3;
}

describe("zipf by rejection inversion", () => {
  test.each([
    [10, 0.5],
    [10, 1],
    [1000, 0.8],
    [1000, 0.99],
    [1000, 1],
    [1000, 1.1],
    [1000, 2],
    [100_000, 1.2],
    [1, 1.1],
    [2, 3],
  ])("of %i ranks with theta %f follows 1 / k^theta", (n, theta) => {
    const draw = zipfRanks(n, theta);
    const rng = rngOf(seedOf(n, theta * 1000));
    const counts = new Array<number>(n).fill(0);
    for (let i = 0; i < 200_000; i++) {
      const rank = draw(rng);
      expect(rank >= 1 && rank <= n && Number.isInteger(rank)).toBe(true);
      counts[rank - 1]!++;
    }
    const weights = counts.map((_, i) => (i + 1) ** -theta);
    const sum = weights.reduce((a, b) => a + b, 0);
    const { x2, cells } = chiSquare(
      counts,
      weights.map((w) => w / sum),
    );
    if (cells > 1) expect(x2).toBeLessThan(limit(cells));
  });
});

describe("pareto", () => {
  test.each([0.1, 0.2, 0.5, 0.8])("h = %f: a share h of the blocks gets a share 1 - h of the hits", (h) => {
    const n = 10_000;
    const draw = paretoBlock(n, h);
    const rng = rngOf(7);
    const cells = 20;
    const counts = new Array<number>(cells).fill(0);
    for (let i = 0; i < 200_000; i++) counts[Math.floor((draw(rng) / n) * cells)]!++;
    const power = Math.log(1 - h) / Math.log(h);
    const shares = counts.map((_, i) => ((i + 1) / cells) ** power - (i / cells) ** power);
    const found = chiSquare(counts, shares);
    expect(found.x2).toBeLessThan(limit(found.cells));
    const hot = counts.slice(0, Math.round(h * cells)).reduce((a, b) => a + b, 0) / 200_000;
    expect(hot).toBeCloseTo(1 - h, 2);
  });
});

describe("a shuffle", () => {
  test("has every place once, for every size", () => {
    for (const n of [1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 255, 257, 1000]) {
      for (const seed of [1, 2]) {
        const shuffle = new Shuffle(n, seed);
        const seen = new Set(Array.from({ length: n }, (_, i) => shuffle.at(i)));
        expect(seen.size).toBe(n);
        expect(Math.max(...seen)).toBe(n - 1);
      }
    }
  });

  test("puts no block nearer to its own place than chance does", () => {
    const n = 1000;
    const moved = Array.from({ length: 50 }, (_, seed) => {
      const shuffle = new Shuffle(n, seed);
      return Array.from({ length: n }, (_, i) => Math.abs(shuffle.at(i) - i)).reduce((a, b) => a + b, 0) / n;
    });
    // Two places drawn on their own are n / 3 apart on average.
    expect(moved.reduce((a, b) => a + b, 0) / moved.length / (n / 3)).toBeCloseTo(1, 1);
  });
});

describe("random numbers", () => {
  test("are even, and below(n) has no favourites", () => {
    const rng = rngOf(3);
    const counts = new Array<number>(7).fill(0);
    for (let i = 0; i < 70_000; i++) counts[rng.below(7)]!++;
    expect(chiSquare(counts, new Array<number>(7).fill(1 / 7)).x2).toBeLessThan(limit(7));
    const units = Array.from({ length: 10_000 }, () => rng.unit());
    expect(units.every((u) => u >= 0 && u < 1)).toBe(true);
    expect(units.reduce((a, b) => a + b, 0) / units.length).toBeCloseTo(0.5, 1);
  });

  test("differ with every part of a seed and with their order", () => {
    const seeds = [seedOf(1, 2), seedOf(2, 1), seedOf(1, 2, 0), seedOf(1), seedOf(2 ** 32 + 1, 2)];
    expect(new Set(seeds).size).toBe(seeds.length);
  });
});

describe("a sequence of IOs", () => {
  test("sequential goes through the file and starts again", () => {
    expect(take("rw=write\nsize=16k", 6).map((e) => e.offset)).toEqual([0, 4096, 8192, 12288, 0, 4096]);
    expect(take("rw=read\nsize=10k\nbs=4k\noffset=1m", 3).map((e) => [e.offset, e.lenBytes])).toEqual([
      [1 << 20, 4096],
      [(1 << 20) + 4096, 4096],
      [1 << 20, 4096],
    ]);
  });

  test("mixed and sequential has a place for each direction", () => {
    const ios = take("rw=rw\nsize=1m", 200);
    for (const write of [true, false]) {
      const own = ios.filter((e) => e.write === write).map((e) => e.offset);
      expect(own).toEqual(own.map((_, i) => i * 4096));
    }
  });

  test.each([
    ["rw=randread", 0],
    ["rw=randwrite", 1],
    ["rw=randrw", 0.5],
    ["rw=randrw\nrwmixread=80", 0.2],
  ])("%s: share of writes %f", (options, share) => {
    const ios = take(`${options}\nsize=1m`, 4000);
    expect(Math.abs(ios.filter((e) => e.write).length / 4000 - share)).toBeLessThan(0.03);
  });

  test("random with a map touches every block once before any twice, in another order each time", () => {
    const ios = take("rw=randrw\nsize=256k", 128).map((e) => e.offset);
    const [first, second] = [ios.slice(0, 64), ios.slice(64)];
    expect(new Set(first).size).toBe(64);
    expect(new Set(second).size).toBe(64);
    expect(second).not.toEqual(first);
  });

  test("random without a map draws evenly, with repeats", () => {
    const counts = new Array<number>(64).fill(0);
    for (const { offset } of take("rw=randread\nsize=256k\nnorandommap", 20_000)) counts[offset / 4096]!++;
    expect(chiSquare(counts, new Array<number>(64).fill(1 / 64)).x2).toBeLessThan(limit(64));
  });

  test("zipf has one block hotter than all, not always the first", () => {
    const hottest = [1, 2, 3, 4].map((seed) => {
      const counts = new Map<number, number>();
      for (const { offset } of take("rw=randwrite\nsize=1m\nrandom_distribution=zipf:1.2", 5000, seed)) {
        counts.set(offset, (counts.get(offset) ?? 0) + 1);
      }
      const [offset, count] = [...counts].sort((a, b) => b[1] - a[1])[0]!;
      const sum = Array.from({ length: 256 }, (_, i) => (i + 1) ** -1.2).reduce((a, b) => a + b, 0);
      expect(Math.abs(count / 5000 - 1 / sum)).toBeLessThan(0.03);
      return offset;
    });
    expect(new Set(hottest).size).toBeGreaterThan(1);
  });

  test("stays in its file, aligned, with lengths of its range", () => {
    for (const rw of ["randrw", "rw"]) {
      for (const { offset, lenBytes } of take(`rw=${rw}\nsize=1m\nbsrange=2k-16k\noffset=64k`, 3000)) {
        expect(offset).toBeGreaterThanOrEqual(65536);
        expect(offset + lenBytes).toBeLessThanOrEqual(65536 + (1 << 20));
        expect(offset % 2048).toBe(0);
        expect(lenBytes % 2048).toBe(0);
        expect(lenBytes).toBeLessThanOrEqual(16384);
      }
    }
  });

  test("is a function of job and seed", () => {
    const options = "rw=randrw\nsize=1m\nrandom_distribution=pareto:0.2\nbsrange=1k-4k";
    expect(take(options, 500, 9)).toEqual(take(options, 500, 9));
    expect(take(options, 500, 9)).not.toEqual(take(options, 500, 10));
  });
});
