/*
 * Bitmaps: bits in 32-bit words at an address.
 *
 * Interface: bitmapSet, bitmapClear, bitmapTest, bitmapFindFirst, bitmapFindNext, bitmapFindNextZero, bitmapWeight.
 * Invariants: [bm-1] bit i is bit i % 32 of word i / 32; searches return nBits when nothing is found.
 * Locks: the owner's.
 * Why not bytes: a CPU mask is asked for its next member, which is one ctz per word.
 */
export function bitmapSet(map: usize, bit: u32): void {
  const word = map + ((bit >> 5) << 2);
  store<u32>(word, load<u32>(word) | (1 << (bit & 31)));
}

export function bitmapClear(map: usize, bit: u32): void {
  const word = map + ((bit >> 5) << 2);
  store<u32>(word, load<u32>(word) & ~(1 << (bit & 31)));
}

export function bitmapTest(map: usize, bit: u32): bool {
  return ((load<u32>(map + ((bit >> 5) << 2)) >> (bit & 31)) & 1) != 0;
}

/** The lowest set bit at or above `from`, or nBits. */
export function bitmapFindNext(map: usize, nBits: u32, from: u32): u32 {
  let index = from >> 5;
  const words = (nBits + 31) >> 5;
  if (from >= nBits) return nBits;
  let word = load<u32>(map + (index << 2)) & (u32.MAX_VALUE << (from & 31));
  while (word == 0) {
    if (++index >= words) return nBits;
    word = load<u32>(map + (index << 2));
  }
  const bit = (index << 5) + ctz(word);
  return bit < nBits ? bit : nBits;
}

/** The lowest clear bit at or above `from`, or nBits. */
export function bitmapFindNextZero(map: usize, nBits: u32, from: u32): u32 {
  if (from >= nBits) return nBits;
  const words = (nBits + 31) >> 5;
  let index = from >> 5;
  let word = ~load<u32>(map + (index << 2)) & (u32.MAX_VALUE << (from & 31));
  while (word == 0) {
    if (++index >= words) return nBits;
    word = ~load<u32>(map + (index << 2));
  }
  const bit = (index << 5) + ctz(word);
  return bit < nBits ? bit : nBits;
}

export function bitmapFindFirst(map: usize, nBits: u32): u32 {
  return bitmapFindNext(map, nBits, 0);
}

export function bitmapWeight(map: usize, nBits: u32): u32 {
  let count: u32 = 0;
  let bit = bitmapFindFirst(map, nBits);
  while (bit < nBits) {
    count++;
    bit = bitmapFindNext(map, nBits, bit + 1);
  }
  return count;
}
