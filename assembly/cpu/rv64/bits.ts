/*
 * Integer operations of M and Zbb that wasm has no instruction for.
 *
 * Interface: mulhu, mulh, mulhsu, divS, divU, remS, remU, divW, divUW, remW, remUW, orcB.
 * Invariants: [bits-1] division by zero and overflow give RISC-V's results, never a trap of the module.
 * Locks: none.
 * Why not in the run loop: each is several operations, and rare.
 */
export function mulhu(a: u64, b: u64): u64 {
  const aLow = a & 0xffff_ffff;
  const aHigh = a >> 32;
  const bLow = b & 0xffff_ffff;
  const bHigh = b >> 32;
  const mid = aHigh * bLow + ((aLow * bLow) >> 32);
  const mid2 = aLow * bHigh + (mid & 0xffff_ffff);
  return aHigh * bHigh + (mid >> 32) + (mid2 >> 32);
}

export function mulh(a: i64, b: i64): i64 {
  return <i64>mulhu(<u64>a, <u64>b) - ((a >> 63) & b) - ((b >> 63) & a);
}

export function mulhsu(a: i64, b: u64): i64 {
  return <i64>mulhu(<u64>a, b) - ((a >> 63) & <i64>b);
}

export function divS(a: i64, b: i64): i64 {
  if (b == 0) return -1;
  return b == -1 ? 0 - a : a / b;
}

export function divU(a: u64, b: u64): u64 {
  return b == 0 ? u64.MAX_VALUE : a / b;
}

export function remS(a: i64, b: i64): i64 {
  if (b == 0) return a;
  return b == -1 ? 0 : a % b;
}

export function remU(a: u64, b: u64): u64 {
  return b == 0 ? a : a % b;
}

export function divW(a: i32, b: i32): i64 {
  if (b == 0) return -1;
  const quotient: i32 = b == -1 ? 0 - a : a / b;
  return quotient;
}

export function divUW(a: u32, b: u32): i64 {
  return b == 0 ? -1 : <i64>(<i32>(a / b));
}

export function remW(a: i32, b: i32): i64 {
  if (b == 0) return a;
  return b == -1 ? 0 : <i64>(a % b);
}

export function remUW(a: u32, b: u32): i64 {
  return <i64>(<i32>(b == 0 ? a : a % b));
}

/** Each byte that is not 0 becomes 0xff. */
export function orcB(a: u64): u64 {
  const low: u64 = 0x7f7f_7f7f_7f7f_7f7f;
  const nonZero = ((((a & low) + low) | a) >> 7) & 0x0101_0101_0101_0101;
  return nonZero * 0xff;
}

export function rev8(a: u64): u64 {
  return bswap<u64>(a);
}
