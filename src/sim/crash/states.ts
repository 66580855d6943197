/**
 * The crash states of one point: which sectors of the loose pieces are on the disk.
 *
 *     bit      one sector of one loose piece that can change what the disk shows, in order
 *     state    a bit each; "12:0b" is the state with bits 0, 1 and 3 at point 12 (hex, four bits a digit, lowest first)
 *
 * Interface: PointStates (bits, pieces, hashOf, write), statesOf(point, quota, seed), keyOf, maskOf, ImageHash.
 * Invariants:
 *   [cst-3] of two kept writes to one sector the later one shows; what is certain (FUA) always shows.
 *   [cst-4] a point with at most `quota` states, and at most 2^12, has them all looked at; the rest are drawn by the seed.
 * Locks: none.
 * Why not whole pieces only: a disk promises a sector, and a filesystem that trusts in more is wrong.
 */
import { randomWords } from "../../host/guests.js";
import { SECTOR } from "../../host/power-loss.js";
import type { Base, CrashPoint } from "./record.js";

/** Two 32-bit hashes: 10^5 images among 2^64. */
export type ImageHash = readonly [number, number];
/** A byte for each bit, 0 or 1. */
export type Mask = Uint8Array;

interface Writer {
  /** -1: certain. */
  bit: number;
  data: Uint8Array;
  hash: ImageHash;
}

const EXHAUSTIVE_BITS = 12;
const PIECE_BITS = 10;
const bases = new WeakMap<Base, { sectors: Uint32Array; whole: ImageHash }>();

/** FNV-1a over words, twice, the sector's place mixed in. */
function sectorHash(words: Uint32Array, from: number, sector: number): ImageHash {
  let a = Math.imul(0x811c9dc5 ^ sector, 0x01000193);
  let b = Math.imul(0x9e3779b9 ^ sector, 0x85ebca6b);
  for (let i = from; i < from + SECTOR / 4; i++) {
    const word = words[i] ?? 0;
    a = Math.imul(a ^ word, 0x01000193);
    a ^= a >>> 15;
    b = Math.imul(b ^ word, 0xc2b2ae35);
    b ^= b >>> 13;
  }
  return [a >>> 0, b >>> 0];
}

function hashOfData(data: Uint8Array, sector: number): ImageHash {
  const copy = data.slice();
  return sectorHash(new Uint32Array(copy.buffer), 0, sector);
}

function hashesOf(base: Base): { sectors: Uint32Array; whole: ImageHash } {
  const known = bases.get(base);
  if (known) return known;
  const words = new Uint32Array(base.image.buffer, base.image.byteOffset, base.image.length / 4);
  const count = base.image.length / SECTOR;
  const sectors = new Uint32Array(2 * count);
  let [a, b] = [0, 0];
  for (let sector = 0; sector < count; sector++) {
    const hash = sectorHash(words, (sector * SECTOR) / 4, sector);
    sectors.set(hash, 2 * sector);
    a ^= hash[0];
    b ^= hash[1];
  }
  const made = { sectors, whole: [a >>> 0, b >>> 0] as const };
  bases.set(base, made);
  return made;
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < SECTOR; i++) if (a[i] !== b[i]) return false;
  return true;
}

export class PointStates {
  /** For each loose piece its bits: [first, end). */
  readonly pieces: (readonly [number, number])[] = [];
  readonly bits: number;
  private readonly writers = new Map<number, Writer[]>();

  constructor(readonly point: CrashPoint) {
    let bits = 0;
    for (const { firstByte, data, loose } of point.pieces) {
      const first = bits;
      for (let at = 0; at < data.length; at += SECTOR) {
        const sector = (firstByte + at) / SECTOR;
        const bytes = data.subarray(at, at + SECTOR);
        const list = this.writers.get(sector) ?? [];
        // What stores the same as what lies there changes nothing, kept or not.
        if (list.length === 0 && same(bytes, this.below(sector))) continue;
        list.push({ bit: loose ? bits++ : -1, data: bytes, hash: hashOfData(bytes, sector) });
        this.writers.set(sector, list);
      }
      if (bits > first) this.pieces.push([first, bits]);
    }
    this.bits = bits;
  }

  private below(sector: number): Uint8Array {
    return this.point.base.image.subarray(sector * SECTOR, (sector + 1) * SECTOR);
  }

  private *shown(mask: Mask): Generator<[number, Writer]> {
    for (const [sector, list] of this.writers) {
      for (let i = list.length - 1; i >= 0; i--) {
        const writer = list[i];
        if (!writer || (writer.bit >= 0 && mask[writer.bit] === 0)) continue;
        yield [sector, writer];
        break;
      }
    }
  }

  /** What names the image of a state. */
  hashOf(mask: Mask): ImageHash {
    const { sectors, whole } = hashesOf(this.point.base);
    let [a, b] = whole;
    for (const [sector, { hash }] of this.shown(mask)) {
      a ^= (sectors[2 * sector] ?? 0) ^ hash[0];
      b ^= (sectors[2 * sector + 1] ?? 0) ^ hash[1];
    }
    return [a >>> 0, b >>> 0];
  }

  /** Writes the image of a state into a disk. */
  write(mask: Mask, disk: Uint8Array): void {
    disk.set(this.point.base.image);
    for (const [sector, { data }] of this.shown(mask)) disk.set(data, sector * SECTOR);
  }

  /** States there are, when they can be counted on; Infinity beyond. */
  get count(): number {
    return this.bits <= EXHAUSTIVE_BITS ? 2 ** this.bits : Infinity;
  }

  /** As many states as the quota allows: all, or what tells the most and then draws. */
  *states(quota: number, seed: number): Generator<Mask> {
    if (this.count <= quota) {
      for (let n = 0; n < this.count; n++) yield Uint8Array.from({ length: this.bits }, (_, bit) => (n >> bit) & 1);
      return;
    }
    const seen = new Set<string>();
    for (const mask of this.drawn(seed)) {
      const key = keyOf(mask);
      if (seen.has(key)) continue;
      seen.add(key);
      yield mask;
      if (seen.size >= quota) return;
    }
  }

  private *drawn(seed: number): Generator<Mask> {
    const count = this.pieces.length;
    const whole = (kept: (piece: number) => boolean): Mask => this.maskOf((piece) => (kept(piece) ? () => 1 : () => 0));
    yield whole(() => false);
    yield whole(() => true);
    for (let one = 0; one < count; one++) {
      yield whole((piece) => piece === one);
      yield whole((piece) => piece !== one);
      yield whole((piece) => piece <= one);
    }
    if (count <= PIECE_BITS) for (let n = 0; n < 2 ** count; n++) yield whole((piece) => ((n >> piece) & 1) === 1);
    const word = randomWords(seed ^ (this.point.index * 0x9e3779b1));
    const random = (below: number): number => word() % below;
    // The states there are end the draw as well: a small space is found whole long before.
    for (let n = 0; n < 1e6; n++) {
      const torn = random(count);
      const way = random(3);
      const density = 1 + random(7);
      yield this.maskOf((piece) => {
        const kept = Number(random(2) === 0);
        if (way === 0 || (way === 1 && piece === torn)) return () => Number(random(8) < density);
        return () => kept;
      });
    }
  }

  private maskOf(kept: (piece: number) => () => number): Mask {
    const mask = new Uint8Array(this.bits);
    this.pieces.forEach(([first, end], piece) => {
      const bit = kept(piece);
      for (let i = first; i < end; i++) mask[i] = bit();
    });
    return mask;
  }
}

/** A mask as hex, four bits a digit, the lowest bits first. */
export function keyOf(mask: Mask): string {
  let text = "";
  for (let i = 0; i < mask.length; i += 4) {
    text += ((mask[i] ?? 0) + 2 * (mask[i + 1] ?? 0) + 4 * (mask[i + 2] ?? 0) + 8 * (mask[i + 3] ?? 0)).toString(16);
  }
  return text === "" ? "0" : text;
}

/** The mask of a hex text; bits that it does not name are 0. */
export function maskOfKey(key: string, bits: number): Mask {
  return Uint8Array.from({ length: bits }, (_, bit) => (parseInt(key[bit >> 2] ?? "0", 16) >> (bit & 3)) & 1);
}

/**
 * How many states each point may have looked at, of `budget` in all: points that have few have all of them, and the rest share
 * what is left alike.
 */
export function quotaOf(counts: readonly number[], budget: number): number {
  const sorted = [...counts].sort((a, b) => a - b);
  let left = budget;
  for (const [i, count] of sorted.entries()) {
    const share = left / (sorted.length - i);
    if (count > share) return Math.max(1, Math.floor(share));
    left -= count;
  }
  return 2 ** EXHAUSTIVE_BITS;
}
