/*
 * The histogram: its fields exactly, its percentiles within a bucket of the exact ones.
 *
 * Checks: [hist-1].
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { holds } from "../property";
import { LibRoom } from "./room";

const PERCENTILES = [0, 1, 10, 50, 90, 99, 99.9, 100];

class Histogram {
  readonly room = new LibRoom();
  readonly at = this.room.alloc(this.room.harness.constant("HISTOGRAM_BYTES"));

  constructor(values: readonly bigint[] = []) {
    this.room.call("histInit", this.at);
    for (const value of values) this.room.call("histRecord", this.at, value);
  }

  percentile(p: number): number {
    return this.room.call("histPercentile", this.at, p);
  }

  field(index: number): number {
    return this.room.call("histField", this.at, index);
  }
}

/** The smallest recorded value at or below which p percent of the records lie. */
function exact(sorted: readonly bigint[], p: number): number {
  const rank = Math.max(1, Math.ceil((p / 100) * sorted.length));
  return Number(sorted[rank - 1] ?? 0n);
}

describe("histogram", () => {
  it("[hist-1] values below 64 are known exactly", () => {
    const values = Array.from({ length: 64 }, (_, i) => BigInt(i));
    for (const value of values) expect(new Histogram([value, 1000n]).percentile(50)).toBe(Number(value));
  });

  it("[hist-1] percentiles are at or above the exact ones by less than a 32nd, never above the maximum", () => {
    const magnitude = fc.tuple(fc.nat({ max: 39 }), fc.bigInt({ min: 0n, max: (1n << 40n) - 1n }));
    const value = magnitude.map(([bits, mantissa]) => mantissa >> BigInt(bits));
    holds(fc.array(value, { minLength: 1, maxLength: 200, size: "max" }), 60, (values) => {
      const histogram = new Histogram(values);
      const sorted = [...values].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
      for (const p of PERCENTILES) {
        const want = exact(sorted, p);
        const got = histogram.percentile(p);
        expect(got, `p${p}`).toBeGreaterThanOrEqual(want);
        expect(got, `p${p}`).toBeLessThanOrEqual(want + want / 32);
        expect(got).toBeLessThanOrEqual(Number(sorted.at(-1)));
      }
      expect(histogram.percentile(100)).toBe(Number(sorted.at(-1)));
      const sum = values.reduce((a, b) => a + b, 0n);
      const fields = [values.length, Number(sum), Number(sorted[0]), Number(sorted.at(-1))];
      expect([0, 1, 2, 3].map((i) => histogram.field(i))).toEqual(fields);
    });
  });

  it("each power of two begins a bucket, up to 2^40 and beyond", () => {
    for (let bit = 5n; bit < 41n; bit++) {
      const edge = 1n << bit;
      const histogram = new Histogram([edge - 1n, edge, 1n << 62n]);
      expect(histogram.percentile(33), `2^${bit} - 1`).toBe(Number(edge - 1n));
      expect(histogram.percentile(66), `2^${bit}`).toBeGreaterThanOrEqual(Number(edge));
    }
    expect(new Histogram([1n << 62n]).percentile(50), "the last bucket takes the rest").toBeGreaterThan(2 ** 40);
  });

  it("an empty one answers 0", () => {
    const histogram = new Histogram();
    expect(PERCENTILES.map((p) => histogram.percentile(p))).toEqual(PERCENTILES.map(() => 0));
    expect([0, 1, 2, 3].map((i) => histogram.field(i))).toEqual([0, 0, 0, 0]);
  });
});
