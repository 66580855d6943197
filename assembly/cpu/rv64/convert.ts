/*
 * Conversions of F and D: to and from integers, between the formats; comparisons and classes.
 *
 * Interface: toInteger, fromInteger, toFormat, compare, minMax, classify.
 * Invariants: [cvt-1] what is out of range saturates with NV alone; a NaN counts as the largest number.
 * Locks: none.
 * Why not wasm's saturating truncations: they round towards zero only and tell nobody that they rounded.
 */
import { Fmt, NAN_D, NAN_S, NV, NX, floatScratch, nanOf, raise, roundPack, roundsUp, shiftJam, unpack } from "./soft-float";

const HALF: u64 = 0x8000_0000_0000_0000;

/** The targets of a conversion, as rs2 encodes them. */
const TO_W: u32 = 0;
const TO_WU: u32 = 1;
const TO_L: u32 = 2;

function saturated(kind: u32, isNegative: bool): i64 {
  raise(NV);
  if (kind == TO_W) return isNegative ? i32.MIN_VALUE : i32.MAX_VALUE;
  if (kind == TO_L) return isNegative ? i64.MIN_VALUE : i64.MAX_VALUE;
  return isNegative ? 0 : -1;
}

/** The largest magnitude that fits. */
function limitOf(kind: u32, isNegative: bool): u64 {
  if (kind == TO_W) return isNegative ? 0x8000_0000 : 0x7fff_ffff;
  if (kind == TO_WU) return isNegative ? 0 : 0xffff_ffff;
  if (kind == TO_L) return isNegative ? HALF : HALF - 1;
  return isNegative ? 0 : u64.MAX_VALUE;
}

export function toInteger(bits: u64, d: bool, kind: u32): i64 {
  if (Fmt.isNan(bits, d)) return saturated(kind, false);
  const sign = Fmt.sign(bits, d);
  if (Fmt.isInf(bits, d)) return saturated(kind, sign != 0);
  if (Fmt.isZero(bits, d)) return 0;
  const significand = unpack(bits, d);
  const exponent = floatScratch().exponent;
  if (exponent > 63) return saturated(kind, sign != 0);
  const shift = <u32>(63 - exponent);
  let whole: u64 = shift < 64 ? significand >> shift : 0;
  // The fraction, as 64 bits behind the point.
  const rest = shift == 0 ? 0 : shift < 64 ? significand << (64 - shift) : shiftJam(significand, shift - 64);
  if (roundsUp(floatScratch().rm, sign, (whole & 1) != 0, rest, HALF)) {
    whole++;
    if (whole == 0) return saturated(kind, sign != 0);
  }
  if (whole > limitOf(kind, sign != 0)) return saturated(kind, sign != 0);
  if (rest != 0) raise(NX);
  const value: i64 = sign != 0 ? 0 - <i64>whole : <i64>whole;
  return kind <= TO_WU ? <i64>(<i32>value) : value;
}

export function fromInteger(register: i64, kind: u32, d: bool): u64 {
  let value = register;
  if (kind == TO_W) value = <i64>(<i32>register);
  else if (kind == TO_WU) value = <i64>(<u32>register);
  const sign: u64 = (kind == TO_W || kind == TO_L) && value < 0 ? 1 : 0;
  const magnitude: u64 = sign != 0 ? 0 - <u64>value : <u64>value;
  if (magnitude == 0) return 0;
  const zeros = <u32>clz<u64>(magnitude);
  return roundPack(sign, 63 - <i32>zeros, magnitude << zeros, d);
}

/** A number of one format in the other. */
export function toFormat(bits: u64, toDouble: bool): u64 {
  const from = !toDouble;
  if (Fmt.isNan(bits, from)) {
    nanOf(bits, bits, from);
    return toDouble ? NAN_D : NAN_S;
  }
  const sign = Fmt.sign(bits, from);
  if (Fmt.isInf(bits, from)) return Fmt.withSign(Fmt.inf(toDouble), sign, toDouble);
  if (Fmt.isZero(bits, from)) return Fmt.withSign(0, sign, toDouble);
  const significand = unpack(bits, from);
  return roundPack(sign, floatScratch().exponent, significand, toDouble);
}

/** a < b of two that are no NaN, -0 below +0. */
function isBelow(a: u64, b: u64, d: bool): bool {
  const signA = Fmt.sign(a, d);
  const signB = Fmt.sign(b, d);
  if (signA != signB) return signA != 0;
  return signA != 0 ? a > b : a < b;
}

/** feq, flt, fle by funct3 (2, 1, 0). */
export function compare(a: u64, b: u64, d: bool, f3: u32): u64 {
  if (Fmt.isNan(a, d) || Fmt.isNan(b, d)) {
    if (f3 != 2 || Fmt.isSignalling(a, d) || Fmt.isSignalling(b, d)) raise(NV);
    return 0;
  }
  const isEqual = a == b || (Fmt.isZero(a, d) && Fmt.isZero(b, d));
  if (f3 == 2) return isEqual ? 1 : 0;
  if (isEqual) return f3 == 0 ? 1 : 0;
  return isBelow(a, b, d) ? 1 : 0;
}

/** fmin (0) and fmax (1): a NaN loses against a number. */
export function minMax(a: u64, b: u64, d: bool, isMax: bool): u64 {
  if (Fmt.isSignalling(a, d) || Fmt.isSignalling(b, d)) raise(NV);
  if (Fmt.isNan(a, d)) return Fmt.isNan(b, d) ? Fmt.nan(d) : b;
  if (Fmt.isNan(b, d)) return a;
  return isBelow(a, b, d) != isMax ? a : b;
}

/** fclass: one bit of ten. */
export function classify(bits: u64, d: bool): u64 {
  if (Fmt.isNan(bits, d)) return Fmt.isSignalling(bits, d) ? 1 << 8 : 1 << 9;
  const isNegative = Fmt.sign(bits, d) != 0;
  if (Fmt.isInf(bits, d)) return isNegative ? 1 : 1 << 7;
  if (Fmt.isZero(bits, d)) return isNegative ? 1 << 3 : 1 << 4;
  const isSubnormal = Fmt.magnitude(bits, d) >> (d ? 52 : 23) == 0;
  if (isSubnormal) return isNegative ? 1 << 2 : 1 << 5;
  return isNegative ? 1 << 1 : 1 << 6;
}
