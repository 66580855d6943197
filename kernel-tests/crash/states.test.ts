/*
 * The crash states of a point against a model that builds every image piece by piece, and how a budget is shared.
 *
 * Checks: [cst-3] [cst-4].
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SECTOR } from "../../src/host/power-loss.js";
import type { CrashPoint, Piece } from "../../src/sim/crash/record.js";
import { PointStates, keyOf, maskOfKey, quotaOf } from "../../src/sim/crash/states.js";

const SECTORS = 6;
const DISK = SECTORS * SECTOR;

/** A piece of one to three sectors, each full of one of three bytes: many store what is there already. */
const piece = fc
  .record({ first: fc.nat(SECTORS - 1), fill: fc.array(fc.nat(2), { minLength: 1, maxLength: 3 }), loose: fc.boolean() })
  .map(({ first, fill, loose }): Piece => {
    const data = new Uint8Array(Math.min(fill.length, SECTORS - first) * SECTOR);
    for (let i = 0; i < data.length; i += SECTOR) data.fill(fill[i / SECTOR] ?? 0, i, i + SECTOR);
    return { firstByte: first * SECTOR, data, loose };
  });
const point = fc.array(piece, { maxLength: 4 }).map((pieces): CrashPoint => {
  return { index: 3, timeNs: 0, base: { image: new Uint8Array(DISK) }, pieces, begun: 0, returned: 0 };
});

/** Every image that the pieces may leave: each loose sector on the disk or not. */
function imagesOf({ pieces }: CrashPoint): Set<string> {
  let images = [new Uint8Array(DISK)];
  for (const { firstByte, data, loose } of pieces) {
    for (let at = 0; at < data.length; at += SECTOR) {
      images = images.flatMap((image) => {
        const with_ = image.slice();
        with_.set(data.subarray(at, at + SECTOR), firstByte + at);
        return loose ? [image, with_] : [with_];
      });
    }
  }
  return new Set(images.map((image) => image.join()));
}

function written(states: PointStates, mask: Uint8Array): string {
  const disk = new Uint8Array(DISK).fill(9);
  states.write(mask, disk);
  return disk.join();
}

describe("the states of a point", () => {
  it("are all that its pieces may leave, and no other", () => {
    fc.assert(
      fc.property(point, (p) => {
        const states = new PointStates(p);
        const images = new Set([...states.states(Infinity, 1)].map((mask) => written(states, mask)));
        expect([...images].sort()).toEqual([...imagesOf(p)].sort());
      }),
      { numRuns: 60 },
    );
  });

  it("have equal hashes exactly when their images are equal", () => {
    fc.assert(
      fc.property(point, (p) => {
        const states = new PointStates(p);
        const byHash = new Map<string, string>();
        const all = new Set<string>();
        for (const mask of states.states(300, 1)) {
          const image = written(states, mask);
          const hash = states.hashOf(mask).join();
          expect(byHash.get(hash) ?? image).toBe(image);
          byHash.set(hash, image);
          all.add(image);
        }
        expect(byHash.size).toBe(all.size);
      }),
      { numRuns: 60 },
    );
  });

  it("that are drawn are different ones, as many as asked for, nothing and everything first", () => {
    const pieces = Array.from({ length: 12 }, (_, i) => ({
      firstByte: (i % SECTORS) * SECTOR,
      data: new Uint8Array(SECTOR).fill(i + 1),
      loose: true,
    }));
    const base = { image: new Uint8Array(DISK) };
    const states = new PointStates({ index: 0, timeNs: 0, base, pieces: [...pieces, ...pieces], begun: 0, returned: 0 });
    expect(states.bits).toBe(24);
    const keys = [...states.states(500, 1)].map(keyOf);
    expect(keys.slice(0, 2)).toEqual(["000000", "ffffff"]);
    expect(new Set(keys).size).toBe(500);
    expect([...states.states(500, 2)].map(keyOf)).not.toEqual(keys);
  });

  it("have names that lead back", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(1), { maxLength: 70 }), (bits) => {
        expect([...maskOfKey(keyOf(Uint8Array.from(bits)), bits.length)]).toEqual(bits);
      }),
    );
  });
});

it("a budget is shared so that small points are done whole and no more is spent than there is", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.integer({ min: 1, max: 64 }), fc.constant(Infinity)), { minLength: 1 }),
      fc.integer({ min: 1, max: 5000 }),
      (counts, budget) => {
        const quota = quotaOf(counts, budget);
        const spent = counts.reduce((sum, count) => sum + Math.min(count, quota), 0);
        expect(spent).toBeLessThanOrEqual(Math.max(budget, counts.length));
        // One state more a point would be too many, unless every point is whole.
        const more = counts.reduce((sum, count) => sum + Math.min(count, quota + 1), 0);
        expect(more > budget || counts.every((count) => count <= quota)).toBe(true);
      },
    ),
  );
});
