/*
 * Bitmaps against arrays of booleans: every pattern of up to 10 bits, at every offset that crosses a word.
 *
 * Checks: [bm-1].
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { holds } from "../property";
import { LibRoom } from "./room";

const WORDS = 5;

function write(room: LibRoom, map: number, bits: readonly boolean[]): void {
  room.bytes(map, WORDS * 4).fill(0);
  bits.forEach((bit, i) => bit && room.call("bitmapSet", map, i));
}

function nextOf(bits: readonly boolean[], nBits: number, from: number): number {
  for (let i = from; i < nBits; i++) if (bits[i]) return i;
  return nBits;
}

function compare(room: LibRoom, map: number, bits: readonly boolean[], nBits: number): void {
  for (let from = 0; from <= nBits; from++) {
    const want = nextOf(bits, nBits, from);
    const got = room.call("bitmapFindNext", map, nBits, from);
    if (got !== want) expect(got, `next of ${from} below ${nBits}`).toBe(want);
  }
  expect(room.call("bitmapFindFirst", map, nBits)).toBe(nextOf(bits, nBits, 0));
  expect(room.call("bitmapWeight", map, nBits)).toBe(bits.slice(0, nBits).filter(Boolean).length);
}

describe("bitmap", () => {
  const room = new LibRoom();
  const map = room.alloc(WORDS * 4);

  it("[bm-1] finds and counts every pattern of 10 bits across a word boundary", () => {
    for (const offset of [0, 27, 54]) {
      for (let pattern = 0; pattern < 1024; pattern++) {
        const bits = Array.from({ length: offset + 10 }, (_, i) => i >= offset && ((pattern >> (i - offset)) & 1) === 1);
        write(room, map, bits);
        const from = offset;
        expect(room.call("bitmapFindNext", map, offset + 10, from)).toBe(nextOf(bits, offset + 10, from));
        expect(room.call("bitmapWeight", map, offset + 10)).toBe(bits.filter(Boolean).length);
      }
    }
  });

  it("[bm-1] answers nBits when nothing is set below it, whatever lies behind", () => {
    for (let nBits = 1; nBits <= 130; nBits++) {
      const bits = Array.from({ length: 160 }, (_, i) => i >= nBits);
      write(room, map, bits);
      compare(room, map, bits, nBits);
    }
  });

  it("set, clear and test agree with an array", () => {
    const op = fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 159 }));
    holds(fc.tuple(fc.array(op, { maxLength: 60 }), fc.integer({ min: 1, max: 160 })), 60, ([ops, nBits]) => {
      const bits = Array.from({ length: 160 }, () => false);
      write(room, map, bits);
      for (const [set, bit] of ops) {
        room.call(set ? "bitmapSet" : "bitmapClear", map, bit);
        bits[bit] = set;
        expect(room.call("bitmapTest", map, bit)).toBe(set ? 1 : 0);
      }
      compare(room, map, bits, nBits);
    });
  });
});
