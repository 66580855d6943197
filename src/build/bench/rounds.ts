/*
 * Samples of host time on a machine that does other things as well: rounds, medians, quartiles.
 *
 * Interface: Spread, Step, spreadOf, ratios, inRounds.
 * Invariants: [bench-1] every round takes one sample of every step, each second round in reverse order: what drifts, drifts for all.
 *             [bench-2] a ratio is taken within rounds, of samples that stand next to each other in time.
 * Locks: none.
 * Why not means: one sample during which the machine was busy elsewhere moves a mean as far as it likes.
 */
import { median, quantileSorted } from "simple-statistics";

/** Median and quartiles. */
export interface Spread {
  median: number;
  low: number;
  high: number;
}

/** Something to measure: takes one sample. */
export interface Step {
  name: string;
  sample: () => number | Promise<number>;
}

/** Throws for no samples at all: there is no figure to show. */
export function spreadOf(samples: readonly number[]): Spread {
  if (samples.length === 0) throw new RangeError("no samples");
  const sorted = [...samples].sort((a, b) => a - b);
  return { median: median(sorted), low: quantileSorted(sorted, 0.25), high: quantileSorted(sorted, 0.75) };
}

/** Samples of one step over those of another, round by round. */
export function ratios(over: readonly number[], under: readonly number[]): number[] {
  if (over.length !== under.length) throw new RangeError(`${over.length} samples over ${under.length}`);
  return over.map((value, round) => value / (under[round] ?? NaN));
}

/** Samples of every step, by its name. A first round, in which everything is still cold, is left out. */
export async function inRounds(count: number, steps: readonly Step[], tick: () => void = () => undefined): Promise<Map<string, number[]>> {
  const samples = new Map(steps.map(({ name }) => [name, [] as number[]]));
  for (let round = -1; round < count; round++) {
    for (const { name, sample } of round % 2 === 0 ? steps : [...steps].reverse()) {
      const value = await sample();
      if (round >= 0) samples.get(name)?.push(value);
      tick();
    }
  }
  return samples;
}
