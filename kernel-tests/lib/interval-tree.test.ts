/*
 * The interval tree against a sorted array: insertion, removal, find_vma, overlaps in order, and the invariant walk.
 *
 * Checks: [it-1] [it-2].
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { lawOf } from "../host-harness";
import { holds } from "../property";
import { LibRoom } from "./room";

const NODE_BYTES = 40;
const POOL = 64;
const U64_MAX = 2n ** 64n - 1n;

interface Interval {
  start: bigint;
  last: bigint;
  at: number;
}

class Tree {
  readonly room = new LibRoom();
  readonly root = this.room.alloc(16);
  /** In the order of the tree: by start, last, then age. */
  members: Interval[] = [];
  private free = Array.from({ length: POOL }, () => this.room.alloc(NODE_BYTES));

  constructor() {
    this.room.call("itInit", this.root);
  }

  insert(start: bigint, last: bigint): Interval | undefined {
    const at = this.free.pop();
    if (at === undefined) return undefined;
    this.room.view.setBigUint64(at + 16, start, true);
    this.room.view.setBigUint64(at + 24, last, true);
    this.room.call("itInsert", this.root, at);
    const interval = { start, last, at };
    const after = this.members.findIndex((m) => m.start > start || (m.start === start && m.last > last));
    this.members.splice(after < 0 ? this.members.length : after, 0, interval);
    return interval;
  }

  remove(nth: number): void {
    const [gone] = this.members.splice(nth % Math.max(1, this.members.length), 1);
    if (!gone) return;
    this.room.call("itRemove", this.root, gone.at);
    this.room.bytes(gone.at, NODE_BYTES).fill(0xee);
    this.free.push(gone.at);
  }

  check(): void {
    expect(this.room.call("checkIntervalTree", this.root)).toBe(this.members.length);
  }

  /** The whole tree, forwards and backwards. */
  compareOrder(): void {
    const forwards: number[] = [];
    for (let at = this.room.call("itFirst", this.root); at !== 0; at = this.room.call("itNext", at)) forwards.push(at);
    expect(forwards).toEqual(this.members.map((m) => m.at));
    const backwards: number[] = [];
    for (let at = this.room.call("itLast", this.root); at !== 0; at = this.room.call("itPrev", at)) backwards.push(at);
    expect(backwards.reverse()).toEqual(forwards);
  }

  overlaps(start: bigint, last: bigint): number[] {
    const found: number[] = [];
    let at = this.room.call("itFirstOverlap", this.root, start, last);
    for (; at !== 0; at = this.room.call("itNextOverlap", at, start, last)) found.push(at);
    return found;
  }

  compareOverlaps(start: bigint, last: bigint): void {
    const want = this.members.filter((m) => m.start <= last && m.last >= start).map((m) => m.at);
    expect(this.overlaps(start, last), `overlaps of [${start}, ${last}]`).toEqual(want);
  }
}

const point = fc.oneof(fc.bigInt({ min: 0n, max: 40n }), fc.constantFrom(U64_MAX, U64_MAX - 1n, 2n ** 63n, 2n ** 63n - 1n));

function ordered(a: bigint, b: bigint): [bigint, bigint] {
  return a < b ? [a, b] : [b, a];
}

describe("interval tree", () => {
  it("[it-1] [it-2] holds what a sorted array holds and finds what overlaps, in order", () => {
    const op = fc.tuple(fc.nat({ max: 4 }), point, point, fc.nat({ max: POOL }));
    holds(fc.array(op, { maxLength: 80, size: "max" }), 120, (ops) => {
      const tree = new Tree();
      for (const [kind, a, b, nth] of ops) {
        if (kind < 3) tree.insert(...ordered(a, b));
        else if (kind === 3) tree.remove(nth);
        else tree.compareOverlaps(...ordered(a, b));
        tree.check();
      }
      tree.compareOrder();
      for (let at = 0n; at <= 40n; at += 3n) tree.compareOverlaps(at, at + 2n);
    });
  });

  it("finds as find_vma does: the interval with the point, or the next above", () => {
    holds(fc.uniqueArray(fc.nat({ max: 60 }), { maxLength: 30 }), 60, (starts) => {
      const tree = new Tree();
      for (const start of starts) tree.insert(BigInt(start * 4), BigInt(start * 4 + (start % 4)));
      for (let at = 0n; at < 260n; at++) {
        const want = tree.members.find((m) => m.last >= at)?.at ?? 0;
        expect(tree.room.call("itFind", tree.root, at), `find ${at}`).toBe(want);
      }
    });
  });

  it("stays shallow: 4096 intervals in order are at most 40 deep", () => {
    const room = new LibRoom();
    const root = room.alloc(16);
    room.call("itInit", root);
    const nodes = Array.from({ length: 4096 }, () => room.alloc(NODE_BYTES));
    nodes.forEach((at, i) => {
      room.view.setBigUint64(at + 16, BigInt(i), true);
      room.view.setBigUint64(at + 24, BigInt(i), true);
      room.call("itInsert", root, at);
    });
    const depthOf = (at: number): number => {
      let depth = 1;
      for (let up = room.get(at + 8); up !== 0; up = room.get(up + 8)) depth++;
      return depth;
    };
    expect(room.call("checkIntervalTree", root)).toBe(4096);
    expect(Math.max(...nodes.map(depthOf))).toBeLessThanOrEqual(40);
  });

  it("an interval that grows is found at its new end once the augmentation is mended", () => {
    const tree = new Tree();
    for (let i = 0n; i < 20n; i++) tree.insert(i * 10n, i * 10n + 1n);
    const grown = tree.members[7];
    if (!grown) throw new Error("there are twenty");
    grown.last = 500n;
    tree.room.view.setBigUint64(grown.at + 24, 500n, true);
    tree.room.call("itAugmentFixup", grown.at);
    tree.check();
    tree.compareOverlaps(300n, 400n);
    expect(tree.overlaps(300n, 400n)).toEqual([grown.at]);
  });

  it("names an empty interval, a removal from an empty tree and a wrong augmentation", () => {
    const tree = new Tree();
    expect(lawOf(() => tree.insert(5n, 4n))).toMatch("[it-1] an interval is not empty");
    const other = new Tree();
    for (let i = 0n; i < 8n; i++) other.insert(i, i);
    const root = other.room.get(other.root);
    other.room.view.setBigUint64(root + 32, 99n, true);
    expect(lawOf(() => other.check())).toMatch("[it-2] subtreeLast is the maximum below");
    const empty = new Tree();
    const node = empty.room.alloc(NODE_BYTES);
    expect(lawOf(() => empty.room.call("itRemove", empty.root, node))).toMatch("a node that is removed is in the tree");
  });
});
