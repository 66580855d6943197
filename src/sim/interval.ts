/**
 * The median of a few runs, and how well they know it.
 *
 *     interval: order statistics. The k-th smallest and the k-th largest of n values hold the median of what they were drawn
 *     from with probability 1 - 2 P(Binomial(n, 1/2) < k), whatever the distribution; k is the largest that gives 95 %.
 *     Under six values none does: the interval is their whole range, and its coverage is said.
 *
 * Interface: Interval, intervalOf, coverageOf, INTERVAL_METHOD.
 * Invariants: [iv-1] low <= median <= high; coverage is exact.
 * Locks: none.
 * Why not a bootstrap: of five values its 95 % interval is their range as well, with a coverage that nobody states.
 */
import { medianSorted } from "simple-statistics";

export const INTERVAL_METHOD = "order statistics of the median";
const WANTED = 0.95;

export interface Interval {
  median: number;
  low: number;
  high: number;
  n: number;
  /** Probability that low..high holds the median of the distribution. */
  coverage: number;
  /** Every value, in the order of the seeds. */
  values: readonly number[];
}

/** The rank (1: the extremes) and coverage of the interval that n values give. */
export function coverageOf(n: number): { rank: number; coverage: number } {
  if (n < 2) return { rank: 1, coverage: 0 };
  // P(X < rank) for X ~ Binomial(n, 1/2), term by term, in logarithms so that n may be large.
  let logTerm = -n * Math.LN2;
  let below = Math.exp(logTerm);
  let rank = 1;
  while (2 * (rank + 1) <= n) {
    logTerm += Math.log((n - rank + 1) / rank);
    const next = below + Math.exp(logTerm);
    if (1 - 2 * next < WANTED) break;
    below = next;
    rank++;
  }
  return { rank, coverage: 1 - 2 * below };
}

/** Median and interval of at least one value. */
export function intervalOf(values: readonly number[]): Interval {
  const sorted = [...values].sort((a, b) => a - b);
  const n = sorted.length;
  if (n === 0) throw new Error("an interval needs a value");
  const { rank, coverage } = coverageOf(n);
  const at = (i: number): number => sorted[i] ?? 0;
  return { median: medianSorted(sorted), low: at(rank - 1), high: at(n - rank), n, coverage, values };
}
