/**
 * Random numbers of jobs, and the distributions that fio draws blocks from. Deterministic: a seed is a sequence.
 *
 *     zipf      P(rank k) ~ 1 / k^theta, k = 1 .. n, by rejection inversion (Hoermann, Derflinger 1996): exact for any n and any
 *               theta above 0, no table
 *     pareto    block n * u^(log h / log(1 - h)): a share h of the blocks gets a share 1 - h of the hits, fio's formula
 *     shuffled  every block once, in a random order: a Feistel permutation of [0, 4^k) walked until it lands in [0, n)
 *
 * Interface: Rng, rngOf, zipfRanks, paretoBlock, Shuffle.
 * Invariants: [rnd-1] the same seed gives the same sequence on every host: integers only, but for one log and one power a draw.
 *             [rnd-2] a shuffle is a bijection of [0, n).
 * Locks: none.
 * Why not a map of used blocks, as fio: a permutation needs no memory and cannot end in a search for the last free block.
 */

export interface Rng {
  /** [0, 1), 53 bits. */
  unit(): number;
  /** [0, n), n below 2^32. */
  below(n: number): number;
}

function mix(z0: number): number {
  let z = z0 >>> 0;
  z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
  z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
  return (z ^ (z >>> 16)) >>> 0;
}

/** A number that depends on every part, and on their order. */
export function seedOf(...parts: readonly number[]): number {
  return parts.reduce((seed, part) => mix(seed ^ mix((part % 2 ** 32) + Math.floor(part / 2 ** 32) * 0x9e3779b9) ^ 0x2545f491), 0x9e3779b9);
}

/** sfc32: 128 bits of state, passes PractRand. */
export function rngOf(seed: number): Rng {
  let a = mix(seed);
  let b = mix(a ^ 0x9e3779b9);
  let c = mix(b ^ 0x7f4a7c15);
  let counter = 1;
  const next = (): number => {
    const sum = (((a + b) >>> 0) + counter) >>> 0;
    counter = (counter + 1) >>> 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) >>> 0;
    c = (((c << 21) | (c >>> 11)) + sum) >>> 0;
    return sum;
  };
  for (let i = 0; i < 12; i++) next();
  return {
    unit: () => (next() * 2 ** 21 + (next() >>> 11)) / 2 ** 53,
    below: (n) => {
      // Draws from the part of 2^32 that n does not divide would favour low answers.
      const unfair = 2 ** 32 % n;
      let draw = next();
      while (draw < unfair) draw = next();
      return draw % n;
    },
  };
}

/** Ranks 1 to n with P(k) ~ 1 / k^theta. */
export function zipfRanks(n: number, theta: number): (rng: Rng) => number {
  const h = (x: number): number => Math.exp(-theta * Math.log(x));
  // The integral of h, and its inverse; both are series near theta = 1, where the closed form is 0 / 0.
  const integral = (x: number): number => {
    const logX = Math.log(x);
    return expm1Over((1 - theta) * logX) * logX;
  };
  const inverse = (y: number): number => {
    const t = Math.max(-1, y * (1 - theta));
    return Math.exp(log1pOver(t) * y);
  };
  const first = integral(1.5) - 1;
  const last = integral(n + 0.5);
  const near = 2 - inverse(integral(2.5) - h(2));
  return (rng) => {
    for (;;) {
      const u = last + rng.unit() * (first - last);
      const x = inverse(u);
      const k = Math.min(n, Math.max(1, Math.round(x)));
      if (k - x <= near || u >= integral(k + 0.5) - h(k)) return k;
    }
  };
}

/** (e^x - 1) / x */
function expm1Over(x: number): number {
  return Math.abs(x) > 1e-8 ? Math.expm1(x) / x : 1 + (x / 2) * (1 + (x / 3) * (1 + x / 4));
}

/** log(1 + x) / x */
function log1pOver(x: number): number {
  return Math.abs(x) > 1e-8 ? Math.log1p(x) / x : 1 - x * (0.5 - x * (1 / 3 - 0.25 * x));
}

/** A block of [0, n): a share h of the blocks, the low ones, gets a share 1 - h of the hits. */
export function paretoBlock(n: number, h: number): (rng: Rng) => number {
  const power = Math.log(h) / Math.log(1 - h);
  return (rng) => Math.min(n - 1, Math.floor(n * rng.unit() ** power));
}

/** A random order of [0, n), place by place. */
export class Shuffle {
  private readonly halfBits: number;
  private readonly mask: number;
  private readonly keys: number[];

  constructor(
    readonly n: number,
    seed: number,
  ) {
    let bits = 1;
    while (4 ** bits < n) bits++;
    this.halfBits = bits;
    this.mask = 2 ** bits - 1;
    this.keys = Array.from({ length: ROUNDS }, (_, i) => seedOf(seed, i));
  }

  /** The block at a place of the order. */
  at(place: number): number {
    let value = place;
    do value = this.round(value);
    while (value >= this.n);
    return value;
  }

  private round(value: number): number {
    let left = Math.floor(value / 2 ** this.halfBits);
    let right = value % 2 ** this.halfBits;
    for (const key of this.keys) [left, right] = [right, (left ^ mix(right ^ key)) & this.mask];
    return left * 2 ** this.halfBits + (right >>> 0);
  }
}

const ROUNDS = 6;
