/*
 * Latency histogram, log-linear: 32 buckets an octave, so a value is known to about 3 %, from 1 ns to 2^40 ns.
 *
 *     bucket of v:   v < 32: v        else (octave << 5) + the 5 bits behind the leading one
 *
 * Interface: histInit(addr), histRecord(addr, ns), histPercentile(addr, p), histField, HISTOGRAM_BYTES.
 * Invariants: [hist-1] count is the sum of the buckets; percentiles return a bucket's upper edge, max exactly.
 * Locks: the owner's.
 * Why not HdrHistogram in the kernel: it is built by the host from these buckets; here a record is one add.
 */
const SUB_BITS: u32 = 5;
const SUB: u32 = 32;
const OCTAVES: u32 = 36;
const BUCKETS: u32 = OCTAVES * SUB + SUB;
const HEAD: u32 = 64;
export const HISTOGRAM_BYTES: u32 = HEAD + BUCKETS * 4;

@unmanaged
export class Histogram {
  count: u64;
  sum: u64;
  min: u64;
  max: u64;
}

export function histInit(addr: usize): void {
  memory.fill(addr, 0, HISTOGRAM_BYTES);
  changetype<Histogram>(addr).min = u64.MAX_VALUE;
}

function bucketOf(value: u64): u32 {
  if (value < SUB) return <u32>value;
  const top: u32 = 63 - <u32>clz(value);
  const octave: u32 = top - SUB_BITS + 1;
  if (octave > OCTAVES) return BUCKETS - 1;
  return octave * SUB + (<u32>(value >> (top - SUB_BITS)) & (SUB - 1));
}

/** The largest value that falls into a bucket. */
function upperEdge(bucket: u32): u64 {
  if (bucket < SUB) return bucket;
  const octave = bucket / SUB;
  const low = (<u64>(SUB + (bucket & (SUB - 1)))) << (octave - 1);
  return low + ((<u64>1) << (octave - 1)) - 1;
}

export function histRecord(addr: usize, value: u64): void {
  const h = changetype<Histogram>(addr);
  h.count++;
  h.sum += value;
  if (value < h.min) h.min = value;
  if (value > h.max) h.max = value;
  const slot = addr + HEAD + (bucketOf(value) << 2);
  store<u32>(slot, load<u32>(slot) + 1);
}

/** The value below or at which p percent of the records lie (0 without records). */
export function histPercentile(addr: usize, p: f64): f64 {
  const h = changetype<Histogram>(addr);
  if (h.count == 0) return 0;
  const want = <u64>Math.ceil((p / 100.0) * <f64>h.count);
  let seen: u64 = 0;
  for (let bucket: u32 = 0; bucket < BUCKETS; bucket++) {
    seen += load<u32>(addr + HEAD + (bucket << 2));
    if (seen >= want && seen != 0) {
      const edge = upperEdge(bucket);
      return <f64>(edge < h.max ? edge : h.max);
    }
  }
  return <f64>h.max;
}

/** 0 count, 1 sum, 2 min, 3 max. */
export function histField(addr: usize, field: u32): f64 {
  const h = changetype<Histogram>(addr);
  if (field == 0) return <f64>h.count;
  if (field == 1) return <f64>h.sum;
  if (field == 2) return h.count == 0 ? 0 : <f64>h.min;
  return <f64>h.max;
}
