/*
 * Object caches: zeroed and disjoint objects, poison, exhaustion, failures on request.
 *
 * Checks: [slab-1] [slab-2] [slab-3].
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { lawOf } from "../host-harness";
import { holds } from "../property";
import { LibRoom } from "./room";

const POISON = 0x6b;
const SIZES = [1, 16, 24, 33, 64, 304, 1000, 1024, 1500, 4096, 5000];

describe("slab", () => {
  it("[slab-1] [slab-2] gives zeroed objects that nobody else has, whatever order they come and go in", () => {
    const op = fc.tuple(fc.nat({ max: 2 }), fc.nat({ max: 1 }), fc.nat({ max: 200 }));
    holds(fc.tuple(fc.array(op, { maxLength: 120, size: "max" }), fc.nat({ max: 10 }), fc.nat({ max: 10 })), 60, (given) => {
      const [ops, first, second] = given;
      const room = new LibRoom();
      room.slab(1 << 20);
      const caches = [first, second].map((i) => room.cache(SIZES[i] ?? 16));
      const sizes = [first, second].map((i) => ((SIZES[i] ?? 16) + 15) & ~15);
      const live: { at: number; cache: number; tag: number }[] = [];
      ops.forEach(([kind, cache, nth], serial) => {
        if (kind < 2) {
          const at = room.call("kmemCacheAlloc", caches[cache] ?? 0);
          const bytes = room.bytes(at, sizes[cache] ?? 0);
          expect(bytes.every((byte) => byte === 0)).toBe(true);
          live.push({ at, cache, tag: serial & 0x3f });
          bytes.fill(serial & 0x3f);
        } else if (live.length > 0) {
          const [gone] = live.splice(nth % live.length, 1);
          if (gone) room.call("kmemCacheFree", caches[gone.cache] ?? 0, gone.at);
        }
      });
      for (const { at, cache, tag } of live) expect(room.bytes(at, sizes[cache] ?? 0).every((b) => b === tag)).toBe(true);
      caches.forEach((cache, i) => {
        room.call("checkKmemCache", cache);
        expect(room.get(cache + 8), "allocated").toBe(live.filter((o) => o.cache === i).length);
      });
    });
  });

  it("[slab-1] a freed object is poison behind its link", () => {
    for (const size of SIZES) {
      const room = new LibRoom();
      room.slab(1 << 18);
      const cache = room.cache(size);
      const at = room.call("kmemCacheAlloc", cache);
      room.call("kmemCacheFree", cache, at);
      const rest = room.bytes(at + 4, ((size + 15) & ~15) - 4);
      expect(
        rest.every((byte) => byte === POISON),
        `size ${size}`,
      ).toBe(true);
    }
  });

  it("[slab-1] catches a write after free at each byte behind the link, and a second free", () => {
    for (let offset = 4; offset < 48; offset++) {
      const room = new LibRoom();
      room.slab(1 << 16);
      const cache = room.cache(48);
      const at = room.call("kmemCacheAlloc", cache);
      room.call("kmemCacheFree", cache, at);
      room.bytes(at + offset, 1)[0] = 1;
      expect(
        lawOf(() => room.call("kmemCacheAlloc", cache)),
        `offset ${offset}`,
      ).toMatch("[slab-1] a freed object was written to");
    }
    const room = new LibRoom();
    room.slab(1 << 16);
    const cache = room.cache(48);
    const at = room.call("kmemCacheAlloc", cache);
    room.call("kmemCacheFree", cache, at);
    expect(lawOf(() => room.call("kmemCacheFree", cache, at))).toMatch("[slab-1] an object is freed twice");
    expect(lawOf(() => room.call("kmemCacheFree", cache, 0x400))).toMatch("an object comes from the arena");
  });

  it("[slab-3] an arena that is used up gives 0, and gives again what is freed", () => {
    for (const arenaBytes of [16, 100, 4096, 5000, 40_000]) {
      const room = new LibRoom();
      const base = room.slab(arenaBytes);
      const cache = room.cache(64);
      const got: number[] = [];
      for (let at = room.call("kmemCacheAlloc", cache); at !== 0; at = room.call("kmemCacheAlloc", cache)) got.push(at);
      expect(got.length, `objects of 64 in ${arenaBytes}`).toBe(Math.floor(arenaBytes / 64));
      for (const at of got) expect(at >= base && at + 64 <= base + arenaBytes).toBe(true);
      expect(new Set(got).size).toBe(got.length);
      expect(room.get(room.call("slabState") + 12), "failures").toBe(1);
      room.call("checkKmemCache", cache);
      if (got[0] === undefined) continue;
      room.call("kmemCacheFree", cache, got[0]);
      expect(room.call("kmemCacheAlloc", cache)).toBe(got[0]);
    }
  });

  it("the nth allocation from now fails, once", () => {
    const room = new LibRoom();
    room.slab(1 << 16);
    const cache = room.cache(32);
    for (const nth of [1, 2, 7]) {
      room.failSlabAfter(nth);
      const results = Array.from({ length: 10 }, () => room.call("kmemCacheAlloc", cache) !== 0);
      expect(results).toEqual(results.map((_, i) => i !== nth - 1));
    }
    room.call("checkKmemCache", cache);
  });
});
