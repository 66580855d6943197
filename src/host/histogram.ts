/**
 * The kernel's log-linear histograms (assembly/lib/histogram.ts), read out: 32 buckets an octave, so about 3 % a value.
 *
 * Interface: Histogram, readHistogram, emptyHistogram, mergeHistograms, withZeros, percentile, latencyOf, Latency.
 * Invariants:
 *   [hh-1] `buckets` ascend, hold no zero count, and sum to N.
 *   [hh-2] a percentile is a bucket's upper edge, the maximum exactly: what the kernel's own histPercentile says.
 * Locks: none.
 * Why not one percentile call after the other: plots want every bucket, and seeds are merged bucket by bucket.
 */

const SUB_BITS = 5;
const SUB = 1 << SUB_BITS;
const BUCKETS = 36 * SUB + SUB;
const HEAD_BYTES = 64;

/** Counts by upper edge, ns. */
export type Bucket = readonly [upperNs: number, count: number];

export interface Histogram {
  N: number;
  sum: number;
  min: number;
  max: number;
  buckets: readonly Bucket[];
}

/** A latency distribution as reports carry it, ns. */
export interface Latency {
  N: number;
  min: number;
  mean: number;
  max: number;
  percentile: Record<"50" | "90" | "99" | "99.9", number>;
}

/** The largest value of a bucket. */
export function upperEdge(bucket: number): number {
  if (bucket < SUB) return bucket;
  const scale = 2 ** (Math.floor(bucket / SUB) - 1);
  return (SUB + (bucket % SUB)) * scale + scale - 1;
}

/** Reads the histogram at an address of the kernel's. */
export function readHistogram(buffer: ArrayBufferLike, at: number): Histogram {
  const view = new DataView(buffer);
  const u64 = (offset: number): number => Number(view.getBigUint64(at + offset, true));
  const N = u64(0);
  const buckets: Bucket[] = [];
  const counts = new Uint32Array(buffer, at + HEAD_BYTES, BUCKETS);
  counts.forEach((count, bucket) => {
    if (count > 0) buckets.push([upperEdge(bucket), count]);
  });
  return { N, sum: u64(8), min: N === 0 ? 0 : u64(16), max: u64(24), buckets };
}

export function emptyHistogram(): Histogram {
  return { N: 0, sum: 0, min: 0, max: 0, buckets: [] };
}

/** All records of several histograms. */
export function mergeHistograms(parts: readonly Histogram[]): Histogram {
  const used = parts.filter((part) => part.N > 0);
  const counts = new Map<number, number>();
  for (const part of used) for (const [edge, count] of part.buckets) counts.set(edge, (counts.get(edge) ?? 0) + count);
  return {
    N: used.reduce((n, part) => n + part.N, 0),
    sum: used.reduce((sum, part) => sum + part.sum, 0),
    min: used.reduce((min, part) => Math.min(min, part.min), used[0]?.min ?? 0),
    max: used.reduce((max, part) => Math.max(max, part.max), 0),
    buckets: [...counts].sort(([a], [b]) => a - b),
  };
}

/** The histogram with `zeros` more records of 0: waits of those who did not have to wait. */
export function withZeros(h: Histogram, zeros: number): Histogram {
  if (zeros <= 0) return h;
  return mergeHistograms([h, { N: zeros, sum: 0, min: 0, max: 0, buckets: [[0, zeros]] }]);
}

/** The value at or below which `percent` of the records lie; 0 without records. */
export function percentile(h: Histogram, percent: number): number {
  const want = Math.ceil((percent / 100) * h.N);
  let seen = 0;
  for (const [edge, count] of h.buckets) {
    seen += count;
    if (seen >= want && seen > 0) return Math.min(edge, h.max);
  }
  return h.max;
}

export function latencyOf(h: Histogram): Latency {
  return {
    N: h.N,
    min: h.min,
    mean: h.N === 0 ? 0 : h.sum / h.N,
    max: h.max,
    percentile: { "50": percentile(h, 50), "90": percentile(h, 90), "99": percentile(h, 99), "99.9": percentile(h, 99.9) },
  };
}
