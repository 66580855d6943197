/*
 * Seeded random numbers for tests: xorshift over 32 bits, the same in every run and on every computer.
 *
 * Interface: randomOf(seed), Random, seedsOf.
 */
export interface Random {
  /** 0 to n - 1. */
  below(n: number): number;
  pick<T>(from: readonly T[]): T;
  /** True once in n. */
  oneIn(n: number): boolean;
}

export function randomOf(seed: number): Random {
  let state = (Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995) >>> 0 || 1;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state;
  };
  for (let i = 0; i < 8; i++) next();
  const below = (n: number): number => Math.floor((next() / 2 ** 32) * n);
  return {
    below,
    pick: (from) => {
      const one = from[below(from.length)];
      if (one === undefined) throw new Error("nothing to pick from");
      return one;
    },
    oneIn: (n) => below(n) === 0,
  };
}

/** The seeds of a fuzz test: SEED=7 for one, SEEDS=200 for a longer campaign, else 1 to `count`. */
export function seedsOf(count: number): number[] {
  const { SEED, SEEDS } = process.env;
  if (SEED !== undefined) return [Number(SEED)];
  return Array.from({ length: SEEDS === undefined ? count : Number(SEEDS) }, (_, i) => i + 1);
}
