/**
 * Median and interval of a few values: ranks and coverage against exact sums, and against draws. Law: [iv-1].
 */
import { describe, expect, test } from "vitest";
import { randomFrom } from "../../src/host/guests.js";
import { coverageOf, intervalOf } from "../../src/sim/interval.js";

/** P(low..high holds the median), summed over the binomial's terms in whole numbers. */
function exactCoverage(n: number, rank: number): number {
  let term = 1n;
  let outside = 0n;
  for (let i = 0; i < rank; i++) {
    outside += term;
    term = (term * BigInt(n - i)) / BigInt(i + 1);
  }
  const scale = 10n ** 12n;
  return 1 - (2 * Number((outside * scale) / 2n ** BigInt(n))) / 1e12;
}

describe("an interval of the median", () => {
  test("has the largest rank that gives 95 %, and says its coverage exactly", () => {
    for (let n = 2; n <= 200; n++) {
      const { rank, coverage } = coverageOf(n);
      expect(coverage).toBeCloseTo(exactCoverage(n, rank), 9);
      if (n >= 6) expect(coverage).toBeGreaterThanOrEqual(0.95);
      else expect(rank).toBe(1);
      if (2 * (rank + 1) <= n) expect(exactCoverage(n, rank + 1)).toBeLessThan(0.95);
    }
  });

  test.each([
    [[7], 7, 7, 7, 0],
    [[3, 1], 2, 1, 3, 0.5],
    [[5, 1, 4, 2, 3], 3, 1, 5, 0.9375],
    [[1, 2, 3, 4, 5, 6], 3.5, 1, 6, 0.96875],
  ])("%j", (values, median, low, high, coverage) => {
    expect(intervalOf(values)).toEqual({ median, low, high, n: values.length, coverage, values });
  });

  test("of a thousand values stays finite", () => {
    const { rank, coverage } = coverageOf(10_000);
    expect(coverage).toBeGreaterThanOrEqual(0.95);
    expect(coverage).toBeLessThan(0.96);
    // The normal approximation: n/2 - 1.96 sqrt(n)/2.
    expect(Math.abs(rank - (5000 - 98))).toBeLessThanOrEqual(1);
  });

  test("holds the median of a skewed distribution as often as it says", () => {
    const random = randomFrom(20181009);
    const trials = 20_000;
    for (const n of [5, 9, 20]) {
      let held = 0;
      for (let t = 0; t < trials; t++) {
        const { low, high } = intervalOf(Array.from({ length: n }, () => -Math.log(1 - random())));
        if (low <= Math.LN2 && Math.LN2 <= high) held++;
      }
      expect(Math.abs(held / trials - coverageOf(n).coverage)).toBeLessThan(0.01);
    }
  });

  test("of nothing is a mistake of the caller", () => {
    expect(() => intervalOf([])).toThrow("needs a value");
  });
});
