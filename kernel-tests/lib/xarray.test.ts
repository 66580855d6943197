/*
 * The xarray against a Map: entries, marks, ordered search, and an allocation that fails at every possible place.
 *
 * Checks: [xa-1] [xa-2] [xa-3] (the walk checkXarray runs after every operation), [slab-3].
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { lawOf } from "../host-harness";
import { holds } from "../property";
import { LibRoom } from "./room";

const ENOMEM = 12;
const ARENA_BYTES = 1 << 19;
const MARKS = [0, 1, 2] as const;
const MAX_INDEX = 0xffffffff;
/** Indices around the edges of every level of the tree. */
const EDGES = [0, 6, 12, 18, 24, 30].flatMap((shift) => [2 ** shift - 1, 2 ** shift, 2 ** shift + 1, 3 * 2 ** shift]);
const INDICES = [...new Set([...EDGES, 2, 5, 62, 65, 100, 200, 5000, 0x12345, 2 ** 31, MAX_INDEX - 1, MAX_INDEX])].filter(
  (index) => index <= MAX_INDEX,
);

interface Entry {
  value: number;
  marks: Set<number>;
}

class Tree {
  readonly xa: number;
  readonly cursor: number;
  readonly model = new Map<number, Entry>();

  /** A tree in a room of its own, or in one that earlier trees are done with. */
  constructor(
    readonly room = new LibRoom(),
    arena = room.alloc(ARENA_BYTES),
  ) {
    this.xa = room.alloc(16);
    this.cursor = room.alloc(16);
    this.room.call("slabInit", arena, ARENA_BYTES);
    this.room.call("xaNodeCacheInit", 1);
    this.room.call("xaInit", this.xa);
  }

  call(name: string, ...args: number[]): number {
    return this.room.call(name, this.xa, ...args);
  }

  nodes(): number {
    return this.room.get(this.room.call("xaNodeCache") + 8);
  }

  store(index: number, value: number): number {
    const result = this.call("xaStore", index, value);
    if (result === 0) this.model.set(index, { value, marks: this.model.get(index)?.marks ?? new Set() });
    return result;
  }

  erase(index: number): void {
    expect(this.call("xaErase", index)).toBe(this.model.get(index)?.value ?? 0);
    this.model.delete(index);
  }

  setMark(index: number, mark: number): void {
    const entry = this.model.get(index);
    if (!entry) return;
    this.call("xaSetMark", index, mark);
    entry.marks.add(mark);
  }

  clearMark(index: number, mark: number): void {
    this.call("xaClearMark", index, mark);
    this.model.get(index)?.marks.delete(mark);
  }

  /** The first index in [start, max] that has the mark (any entry when undefined). */
  expected(start: number, max: number, mark: number | undefined): number | undefined {
    const fits = (i: number, e: Entry): boolean => i >= start && i <= max && (mark === undefined || e.marks.has(mark));
    const found = [...this.model].filter(([i, e]) => fits(i, e)).map(([i]) => i);
    return found.length === 0 ? undefined : Math.min(...found);
  }

  compareFind(start: number, max: number): void {
    for (const mark of [undefined, ...MARKS]) {
      const want = this.expected(start, max, mark);
      const value =
        mark === undefined ? this.call("xaFind", start, max, this.cursor) : this.call("xaFindMarked", start, max, mark, this.cursor);
      expect(value, `find from ${start} to ${max}, mark ${mark}`).toBe(want === undefined ? 0 : this.model.get(want)?.value);
      if (want !== undefined) expect(this.room.get(this.cursor)).toBe(want);
    }
  }

  compareAll(): void {
    expect(this.call("checkXarray")).toBe(this.model.size);
    for (const index of INDICES) {
      const entry = this.model.get(index);
      expect(this.call("xaLoad", index), `load ${index}`).toBe(entry?.value ?? 0);
      for (const mark of MARKS) expect(this.call("xaGetMark", index, mark)).toBe(entry?.marks.has(mark) ? 1 : 0);
    }
  }
}

type TreeOp = readonly [kind: number, at: number, mark: number];

function apply(tree: Tree, [kind, at, mark]: TreeOp, serial: number): void {
  const index = INDICES[at % INDICES.length] ?? 0;
  if (kind < 4) expect(tree.store(index, 0x1000 + serial * 4)).toBe(0);
  else if (kind < 6) tree.erase(index);
  else if (kind < 8) tree.setMark(index, mark);
  else if (kind < 9) tree.clearMark(index, mark);
  else tree.compareFind(index, INDICES[(at * 7 + mark) % INDICES.length] ?? 0);
  expect(tree.call("checkXarray")).toBe(tree.model.size);
}

describe("xarray", () => {
  it("holds what a Map holds, in order, with its marks", () => {
    const op = fc.tuple(fc.nat({ max: 9 }), fc.nat({ max: INDICES.length - 1 }), fc.nat({ max: 2 }));
    holds(fc.array(op, { maxLength: 60, size: "max" }), 120, (ops) => {
      const tree = new Tree();
      ops.forEach((one, serial) => apply(tree, one, serial));
      tree.compareAll();
      for (const index of [...tree.model.keys()]) tree.erase(index);
      expect(tree.nodes(), "an empty tree has no nodes").toBe(0);
    });
  });

  it("a dense tree of 5000 entries is walked in order by its cursor", () => {
    const tree = new Tree();
    for (let i = 0; i < 5000; i++) tree.store(i * 3, 4 + i * 4);
    for (let i = 0; i < 5000; i += 7) tree.setMark(i * 3, 1);
    const walk = (name: string, ...args: number[]): number[] => {
      const seen: number[] = [];
      for (let from = 0; tree.call(name, from, MAX_INDEX, ...args, tree.cursor) !== 0;) {
        seen.push(tree.room.get(tree.cursor));
        from = (seen.at(-1) ?? 0) + 1;
      }
      return seen;
    };
    const all = Array.from({ length: 5000 }, (_, i) => i * 3);
    expect(walk("xaFind")).toEqual(all);
    expect(walk("xaFindMarked", 1)).toEqual(all.filter((_, i) => i % 7 === 0));
    expect(tree.call("checkXarray")).toBe(5000);
  });

  it("[xa-3] the root grows with the highest index and shrinks with it", () => {
    for (const [index, shift] of [
      [0, 0],
      [63, 0],
      [64, 6],
      [4095, 6],
      [4096, 12],
      [2 ** 24, 24],
      [2 ** 30, 30],
      [MAX_INDEX, 30],
    ] as const) {
      const tree = new Tree();
      tree.store(0, 4);
      tree.store(index, 8);
      expect(tree.room.get(tree.xa + 4), `shift for index ${index}`).toBe(shift);
      if (index === 0) continue;
      tree.erase(index);
      expect(tree.room.get(tree.xa + 4), `shift without index ${index}`).toBe(0);
      expect(tree.call("xaLoad", 0)).toBe(4);
    }
  });

  it("[slab-3] a store that finds no memory returns -ENOMEM and leaves the tree as it was, at each allocation", () => {
    const room = new LibRoom();
    const arena = room.alloc(ARENA_BYTES);
    const starts: number[][] = [[], [0], [5], [64], [0, 63], [4096], [0, MAX_INDEX], [2 ** 24]];
    for (const start of starts) {
      for (const index of INDICES) {
        for (let nth = 1; nth < 16; nth++) {
          const tree = new Tree(room, arena);
          start.forEach((i) => tree.store(i, 0x100 + 4));
          const before = tree.nodes();
          tree.room.failSlabAfter(nth);
          const result = tree.store(index, 8);
          const name = `store ${index} into {${start.join()}}, allocation ${nth} fails`;
          tree.room.failSlabAfter(0);
          expect(
            lawOf(() => tree.compareAll()),
            name,
          ).toBe("");
          if (result === 0) break;
          expect(result, name).toBe(-ENOMEM);
          expect(tree.nodes(), `${name}: nodes`).toBe(before);
        }
      }
    }
  });

  it("names misuse: a null entry, a mark on nothing, a broken tree", () => {
    const tree = new Tree();
    expect(lawOf(() => tree.call("xaStore", 1, 0))).toMatch("xaErase removes an entry");
    expect(lawOf(() => tree.call("xaSetMark", 1, 0))).toMatch("an entry that is marked is present");
    tree.store(70, 8);
    tree.setMark(70, 2);
    const head = tree.room.get(tree.xa);
    tree.room.bytes(head + 272 + 16, 8).fill(0);
    expect(lawOf(() => tree.call("checkXarray"))).toMatch("[xa-2] a mark is not carried up");
    tree.room.bytes(head + 272 + 16, 8).set([2]);
    expect(tree.call("checkXarray")).toBe(1);
    tree.room.set(tree.xa + 8, 2);
    expect(lawOf(() => tree.call("checkXarray"))).toMatch("[xa-1] entries are counted");
  });
});
