/*
 * IEEE 754 arithmetic in integers: binary32 and binary64 under all five rounding modes, with exact exception flags.
 *
 *     a number that is finite and not 0 is unpacked to  (-1)^sign * significand * 2^(exponent - 63),  bit 63 of the significand set;
 *     bits that are lost are ORed into bit 0 ("jam"), which stands far enough below the last kept bit to be a sticky bit
 *
 * Interface: FloatScratch, Fmt, raise, nanOf, unpack, roundPack, roundsUp, shiftJam, NV .. NX; softAdd and its kin, softFma.
 * Invariants:
 *   [sf-1] every NaN that is made is the canonical one; a signalling operand raises NV.
 *   [sf-2] tininess is detected after rounding, as RISC-V has it.
 * Locks: none; the scratch is used within one instruction.
 * Why not wasm's own operations: they round one way and keep no flags; float.ts uses them where neither matters.
 */
import { CPU_STATE } from "../../memlayout";

export const NV: u32 = 16;
export const DZ: u32 = 8;
export const OF: u32 = 4;
export const UF: u32 = 2;
export const NX: u32 = 1;

export const RNE: u32 = 0;
const RTZ: u32 = 1;
const RDN: u32 = 2;
const RUP: u32 = 3;

const SIGN: u64 = 0x8000_0000_0000_0000;
const INF_D: u64 = 0x7ff0_0000_0000_0000;
const INF_S: u64 = 0x7f80_0000;
export const NAN_D: u64 = 0x7ff8_0000_0000_0000;
export const NAN_S: u64 = 0x7fc0_0000;

/** Behind the room's state; nothing of it outlives an instruction. */
@unmanaged
export class FloatScratch {
  /** Flags raised so far. */
  flags: u32;
  /** Rounding mode. */
  rm: u32;
  /** Exponent of the number that was unpacked last. */
  exponent: i32;
  /** 1 for binary64. */
  isDouble: u32;
  /** The upper and lower half of a 128-bit number. */
  high: u64;
  low: u64;
}

export function floatScratch(): FloatScratch {
  return changetype<FloatScratch>(CPU_STATE + 0x300);
}

export function raise(flags: u32): void {
  floatScratch().flags |= flags;
}

export class Fmt {
  @inline static sign(bits: u64, d: bool): u64 {
    return d ? bits >> 63 : (bits >> 31) & 1;
  }
  @inline static inf(d: bool): u64 {
    return d ? INF_D : INF_S;
  }
  @inline static nan(d: bool): u64 {
    return d ? NAN_D : NAN_S;
  }
  @inline static magnitude(bits: u64, d: bool): u64 {
    return d ? bits & ~SIGN : bits & 0x7fff_ffff;
  }
  @inline static isNan(bits: u64, d: bool): bool {
    return Fmt.magnitude(bits, d) > Fmt.inf(d);
  }
  @inline static isInf(bits: u64, d: bool): bool {
    return Fmt.magnitude(bits, d) == Fmt.inf(d);
  }
  @inline static isZero(bits: u64, d: bool): bool {
    return Fmt.magnitude(bits, d) == 0;
  }
  @inline static isSignalling(bits: u64, d: bool): bool {
    return Fmt.isNan(bits, d) && (bits & (d ? 0x0008_0000_0000_0000 : 0x0040_0000)) == 0;
  }
  @inline static withSign(magnitude: u64, sign: u64, d: bool): u64 {
    return magnitude | (d ? sign << 63 : sign << 31);
  }
}

/** The canonical NaN, with NV when an operand signals. */
export function nanOf(a: u64, b: u64, d: bool): u64 {
  if (Fmt.isSignalling(a, d) || Fmt.isSignalling(b, d)) raise(NV);
  return Fmt.nan(d);
}

export function invalid(d: bool): u64 {
  raise(NV);
  return Fmt.nan(d);
}

/** Shifts right; what is lost is jammed. */
export function shiftJam(value: u64, by: u32): u64 {
  if (by == 0) return value;
  if (by > 63) return value != 0 ? 1 : 0;
  return (value >> by) | ((value << (64 - by)) != 0 ? 1 : 0);
}

/** The significand of a finite number that is not 0; its exponent goes to the scratch. */
export function unpack(bits: u64, d: bool): u64 {
  const fraction = d ? bits & 0x000f_ffff_ffff_ffff : bits & 0x007f_ffff;
  const biased = <i32>(d ? (bits >> 52) & 0x7ff : (bits >> 23) & 0xff);
  const s = floatScratch();
  const width: u32 = d ? 52 : 23;
  const bias: i32 = d ? 1023 : 127;
  if (biased != 0) {
    s.exponent = biased - bias;
    return SIGN | (fraction << (63 - width));
  }
  const zeros = <u32>clz<u64>(fraction);
  s.exponent = 1 - bias - <i32>(zeros - (63 - width));
  return fraction << zeros;
}

/** Whether a significand whose bits below the last kept one are `rest` is rounded away from zero. */
export function roundsUp(rm: u32, sign: u64, isOdd: bool, rest: u64, half: u64): bool {
  switch (rm) {
    case RNE: return rest > half || (rest == half && isOdd);
    case RTZ: return false;
    case RDN: return sign != 0 && rest != 0;
    case RUP: return sign == 0 && rest != 0;
    default: return rest >= half;
  }
}

function overflowed(sign: u64, d: bool, rm: u32): u64 {
  raise(OF | NX);
  const toInf = rm == RNE || rm == 4 || (rm == RUP && sign == 0) || (rm == RDN && sign != 0);
  return Fmt.withSign(toInf ? Fmt.inf(d) : Fmt.inf(d) - 1, sign, d);
}

/** Rounds a normalised, jammed significand to the format. */
export function roundPack(sign: u64, exponent: i32, significand: u64, d: bool): u64 {
  const rm = floatScratch().rm;
  const drop: i32 = d ? 11 : 40;
  const least: i32 = d ? -1022 : -126;
  const most: i32 = d ? 1023 : 127;
  const half: u64 = (<u64>1) << (drop - 1);
  const restMask: u64 = ((<u64>1) << drop) - 1;
  let s = significand;
  let e = exponent;
  let isTiny = false;
  if (e < least) {
    // Tiny unless rounding with an exponent of any size would have carried it up to the least normal number.
    const carries = e == least - 1 && s >> drop == u64.MAX_VALUE >> drop && roundsUp(rm, sign, true, s & restMask, half);
    isTiny = !carries;
    s = shiftJam(s, <u32>(least - e));
    e = least;
  }
  const rest = s & restMask;
  let m = s >> drop;
  if (rest != 0) {
    raise(isTiny ? UF | NX : NX);
    if (roundsUp(rm, sign, (m & 1) != 0, rest, half)) m++;
  }
  const hidden: u64 = (<u64>1) << (63 - drop);
  if (m == hidden << 1) {
    m = hidden;
    e++;
  }
  if (e > most) return overflowed(sign, d, rm);
  // A subnormal has the biased exponent 0, which is what its missing hidden bit leaves.
  const biased: u64 = m < hidden ? 0 : <u64>(e - least + 1);
  return Fmt.withSign((biased << (63 - drop)) + (m & (hidden - 1)), sign, d);
}

/** The sign of a sum that is exactly zero. */
function zeroSum(d: bool): u64 {
  return Fmt.withSign(0, floatScratch().rm == RDN ? 1 : 0, d);
}

function addSpecial(a: u64, b: u64, d: bool): u64 {
  if (Fmt.isNan(a, d) || Fmt.isNan(b, d)) return nanOf(a, b, d);
  if (Fmt.isInf(a, d)) return Fmt.isInf(b, d) && Fmt.sign(a, d) != Fmt.sign(b, d) ? invalid(d) : a;
  if (Fmt.isInf(b, d)) return b;
  if (!Fmt.isZero(a, d)) return a;
  if (!Fmt.isZero(b, d)) return b;
  return a == b ? a : zeroSum(d);
}

export function softAdd(a: u64, b: u64, d: bool): u64 {
  const inf = Fmt.inf(d);
  const magnitudeA = Fmt.magnitude(a, d);
  const magnitudeB = Fmt.magnitude(b, d);
  if (magnitudeA >= inf || magnitudeB >= inf || magnitudeA == 0 || magnitudeB == 0) return addSpecial(a, b, d);
  const large = magnitudeA >= magnitudeB ? a : b;
  const small = magnitudeA >= magnitudeB ? b : a;
  const sign = Fmt.sign(large, d);
  const significandL = unpack(large, d) >> 1;
  const exponentL = floatScratch().exponent;
  const unpackedS = unpack(small, d) >> 1;
  const significandS = shiftJam(unpackedS, <u32>(exponentL - floatScratch().exponent));
  const sum = sign == Fmt.sign(small, d) ? significandL + significandS : significandL - significandS;
  if (sum == 0) return zeroSum(d);
  const zeros = <u32>clz<u64>(sum);
  return roundPack(sign, exponentL + 1 - <i32>zeros, sum << zeros, d);
}

/** a * b, 128 bits, to the scratch. */
function multiply(a: u64, b: u64): void {
  const s = floatScratch();
  const low = (a & 0xffff_ffff) * (b & 0xffff_ffff);
  const mid = (a >> 32) * (b & 0xffff_ffff) + (low >> 32);
  const mid2 = (a & 0xffff_ffff) * (b >> 32) + (mid & 0xffff_ffff);
  s.high = (a >> 32) * (b >> 32) + (mid >> 32) + (mid2 >> 32);
  s.low = a * b;
}

export function softMul(a: u64, b: u64, d: bool): u64 {
  if (Fmt.isNan(a, d) || Fmt.isNan(b, d)) return nanOf(a, b, d);
  const sign = Fmt.sign(a, d) ^ Fmt.sign(b, d);
  const isInf = Fmt.isInf(a, d) || Fmt.isInf(b, d);
  const isZero = Fmt.isZero(a, d) || Fmt.isZero(b, d);
  if (isInf && isZero) return invalid(d);
  if (isInf) return Fmt.withSign(Fmt.inf(d), sign, d);
  if (isZero) return Fmt.withSign(0, sign, d);
  const s = floatScratch();
  const significandA = unpack(a, d);
  const exponentA = s.exponent;
  const significandB = unpack(b, d);
  const exponent = exponentA + s.exponent + 1;
  multiply(significandA, significandB);
  const product = s.high | (s.low != 0 ? 1 : 0);
  const zeros = <u32>clz<u64>(product);
  return roundPack(sign, exponent - <i32>zeros, product << zeros, d);
}

export function softDiv(a: u64, b: u64, d: bool): u64 {
  if (Fmt.isNan(a, d) || Fmt.isNan(b, d)) return nanOf(a, b, d);
  const sign = Fmt.sign(a, d) ^ Fmt.sign(b, d);
  if (Fmt.isInf(a, d)) return Fmt.isInf(b, d) ? invalid(d) : Fmt.withSign(Fmt.inf(d), sign, d);
  if (Fmt.isInf(b, d)) return Fmt.withSign(0, sign, d);
  if (Fmt.isZero(b, d)) {
    if (Fmt.isZero(a, d)) return invalid(d);
    raise(DZ);
    return Fmt.withSign(Fmt.inf(d), sign, d);
  }
  if (Fmt.isZero(a, d)) return Fmt.withSign(0, sign, d);
  let rest = unpack(a, d) >> 1;
  const exponentA = floatScratch().exponent;
  const divisor = unpack(b, d) >> 1;
  const exponent = exponentA - floatScratch().exponent;
  let quotient: u64 = 0;
  // 62 bits: more than binary64 keeps, and the rest is jammed.
  for (let i: u32 = 0; i < 62; i++) {
    quotient <<= 1;
    if (rest >= divisor) {
      rest -= divisor;
      quotient |= 1;
    }
    rest <<= 1;
  }
  const jammed = (quotient << 1) | (rest != 0 ? 1 : 0);
  const zeros = <u32>clz<u64>(jammed);
  return roundPack(sign, exponent + 1 - <i32>zeros, jammed << zeros, d);
}

export function softSqrt(a: u64, d: bool): u64 {
  if (Fmt.isNan(a, d)) return nanOf(a, a, d);
  if (Fmt.isZero(a, d)) return a;
  if (Fmt.sign(a, d) != 0) return invalid(d);
  if (Fmt.isInf(a, d)) return a;
  const significand = unpack(a, d);
  const exponent = floatScratch().exponent;
  // Pairs of bits from the top: the first is 01 under an even exponent, 1x under an odd one.
  let radicand = (exponent & 1) != 0 ? significand : significand >> 1;
  let root: u64 = 0;
  let rest: u64 = 0;
  for (let i: u32 = 0; i < 58; i++) {
    rest = (rest << 2) | (radicand >> 62);
    radicand <<= 2;
    const trial = (root << 2) | 1;
    root <<= 1;
    if (rest >= trial) {
      rest -= trial;
      root |= 1;
    }
  }
  return roundPack(0, exponent >> 1, (root << 6) | (rest != 0 ? 1 : 0), d);
}

/** Shifts the 128 bits of the scratch right, jamming. */
function shiftJam128(by: u32): void {
  const s = floatScratch();
  if (by == 0) return;
  if (by >= 128) {
    s.low = (s.high | s.low) != 0 ? 1 : 0;
    s.high = 0;
    return;
  }
  if (by >= 64) {
    const lost = s.low != 0;
    s.low = shiftJam(s.high, by - 64) | (lost ? 1 : 0);
    s.high = 0;
    return;
  }
  const lost = (s.low << (64 - by)) != 0;
  s.low = (s.low >> by) | (s.high << (64 - by)) | (lost ? 1 : 0);
  s.high >>= by;
}

/** a * b + c of finite numbers, a and b not 0, c not 0: the product is in the scratch, bit 126 or 125 its leading one. */
function addToProduct(signP: u64, exponentP: i32, signC: u64, exponentC: i32, significandC: u64, d: bool): u64 {
  const s = floatScratch();
  let highC = significandC >> 1;
  let lowC: u64 = significandC << 63;
  let exponent = exponentP;
  if (exponentC > exponentP) {
    shiftJam128(<u32>(exponentC - exponentP));
    exponent = exponentC;
  } else {
    const highP = s.high;
    const lowP = s.low;
    s.high = highC;
    s.low = lowC;
    shiftJam128(<u32>(exponentP - exponentC));
    highC = s.high;
    lowC = s.low;
    s.high = highP;
    s.low = lowP;
  }
  let sign = signP;
  if (signP == signC) {
    const low = s.low + lowC;
    s.high += highC + (low < lowC ? 1 : 0);
    s.low = low;
  } else if (s.high > highC || (s.high == highC && s.low >= lowC)) {
    s.high = s.high - highC - (s.low < lowC ? 1 : 0);
    s.low -= lowC;
  } else {
    s.high = highC - s.high - (lowC < s.low ? 1 : 0);
    s.low = lowC - s.low;
    sign = signC;
  }
  if ((s.high | s.low) == 0) return zeroSum(d);
  return packProduct(sign, exponent, d);
}

/** Rounds the 128 bits of the scratch, whose bit 126 counts 2^exponent. */
function packProduct(sign: u64, exponent: i32, d: bool): u64 {
  const s = floatScratch();
  let e = exponent + 1;
  let high = s.high;
  let low = s.low;
  if (high == 0) {
    high = low;
    low = 0;
    e -= 64;
  }
  const zeros = <u32>clz<u64>(high);
  if (zeros != 0) {
    high = (high << zeros) | (low >> (64 - zeros));
    low <<= zeros;
  }
  return roundPack(sign, e - <i32>zeros, high | (low != 0 ? 1 : 0), d);
}

/** a * b + c with one rounding. */
export function softFma(a: u64, b: u64, c: u64, d: bool): u64 {
  const signP = Fmt.sign(a, d) ^ Fmt.sign(b, d);
  const infTimesZero = (Fmt.isInf(a, d) && Fmt.isZero(b, d)) || (Fmt.isZero(a, d) && Fmt.isInf(b, d));
  if (infTimesZero) {
    // NV even when c is a quiet NaN.
    raise(NV);
    return Fmt.nan(d);
  }
  if (Fmt.isNan(a, d) || Fmt.isNan(b, d) || Fmt.isNan(c, d)) {
    if (Fmt.isSignalling(c, d)) raise(NV);
    return nanOf(a, b, d);
  }
  if (Fmt.isInf(a, d) || Fmt.isInf(b, d)) {
    if (Fmt.isInf(c, d) && Fmt.sign(c, d) != signP) return invalid(d);
    return Fmt.withSign(Fmt.inf(d), signP, d);
  }
  if (Fmt.isInf(c, d)) return c;
  const isZero = Fmt.isZero(a, d) || Fmt.isZero(b, d);
  if (isZero) {
    if (!Fmt.isZero(c, d)) return c;
    return Fmt.sign(c, d) == signP ? c : zeroSum(d);
  }
  const s = floatScratch();
  const significandA = unpack(a, d) >> 1;
  const exponentA = s.exponent;
  const significandB = unpack(b, d);
  const exponentP = exponentA + s.exponent + 1;
  // Bit 126 counts 2^exponentP: room for a carry above it.
  multiply(significandA, significandB);
  if (Fmt.isZero(c, d)) return packProduct(signP, exponentP, d);
  const high = s.high;
  const low = s.low;
  const significandC = unpack(c, d);
  const exponentC = s.exponent;
  s.high = high;
  s.low = low;
  return addToProduct(signP, exponentP, Fmt.sign(c, d), exponentC, significandC, d);
}
