/*
 * F and D: operands out of the registers, the operation, result and flags back.
 *
 * Where rounding is to nearest and the result is a normal number, wasm's operation gives RISC-V's bits, and NX is the only flag that
 * can be raised: when it is raised already, or the error can be told (a sum's is a sum of floats), the integers are not asked.
 *
 * Interface: floatOp(context, ip, op).
 * Invariants:
 *   [fp-1] a binary32 in a register is boxed: its upper half all ones; one that is not reads as the canonical NaN.
 *   [fp-2] flags only ever accumulate.
 * Locks: none.
 * Why not wasm's operations everywhere: they know one rounding mode and no flags.
 */
import { classify, compare, fromInteger, minMax, toFormat, toInteger } from "./convert";
import { Rv64Context } from "./context";
import { Op } from "./ops";
import { Slot } from "./slot";
import { Fmt, NAN_S, NX, RNE, floatScratch, softAdd, softDiv, softFma, softMul, softSqrt } from "./soft-float";

const NAN_BOX: u64 = 0xffff_ffff_0000_0000;
const SIGN_D: u64 = 0x8000_0000_0000_0000;
const SIGN_S: u64 = 0x8000_0000;
const RM_DYNAMIC: u32 = 7;
const RM_LAST: u32 = 4;

/** The operand in a register of f, at a byte offset. */
function operand(context: Rv64Context, offset: usize, d: bool): u64 {
  const bits = load<u64>(context.f + offset);
  if (d) return bits;
  return (bits & NAN_BOX) == NAN_BOX ? bits & 0xffff_ffff : NAN_S;
}

function setF(context: Rv64Context, ip: usize, bits: u64, d: bool): void {
  store<u64>(context.f + Slot.rd(ip), d ? bits : bits | NAN_BOX);
}

function setX(context: Rv64Context, ip: usize, value: u64): void {
  if (Slot.rd(ip) != 0) store<u64>(context.x + Slot.rd(ip), value);
}

function negate(bits: u64, d: bool): u64 {
  return bits ^ (d ? SIGN_D : SIGN_S);
}

/** True for a result that is neither zero, subnormal, infinite nor NaN, and not next to such. */
function isPlainD(bits: u64): bool {
  const biased = (bits >> 52) & 0x7ff;
  return biased > 1 && biased < 0x7fe;
}

function isPlainS(bits: u32): bool {
  const biased = (bits >> 23) & 0xff;
  return biased > 1 && biased < 0xfe;
}

function nativeD(op: i32, a: f64, b: f64): f64 {
  switch (op) {
    case Op.FADD: return a + b;
    case Op.FSUB: return a - b;
    case Op.FMUL: return a * b;
    case Op.FDIV: return a / b;
    default: return Math.sqrt(a);
  }
}

function nativeS(op: i32, a: f32, b: f32): f32 {
  switch (op) {
    case Op.FADD: return a + b;
    case Op.FSUB: return a - b;
    case Op.FMUL: return a * b;
    case Op.FDIV: return a / b;
    default: return <f32>Mathf.sqrt(a);
  }
}

/** The error of a + b = sum, exact while nothing overflows. */
function sumError(a: f64, b: f64, sum: f64): f64 {
  const part = sum - a;
  return (a - (sum - part)) + (b - part);
}

/** The operation by wasm, rounding to nearest. False: the integers are to be asked. */
function fast(context: Rv64Context, ip: usize, op: i32, a: u64, b: u64, d: bool): bool {
  const isInexact = (context.fcsr & NX) != 0;
  if (d) {
    const result = nativeD(op, reinterpret<f64>(a), reinterpret<f64>(b));
    const bits = reinterpret<u64>(result);
    if (!isPlainD(bits)) return false;
    if (!isInexact) {
      if (op > Op.FSUB || !isPlainD(a) || !isPlainD(b)) return false;
      const addend = op == Op.FSUB ? -reinterpret<f64>(b) : reinterpret<f64>(b);
      if (sumError(reinterpret<f64>(a), addend, result) != 0) context.fcsr |= NX;
    }
    setF(context, ip, bits, true);
    return true;
  }
  if (!isInexact) return false;
  const bits = reinterpret<u32>(nativeS(op, reinterpret<f32>(<u32>a), reinterpret<f32>(<u32>b)));
  if (!isPlainS(bits)) return false;
  setF(context, ip, bits, false);
  return true;
}

/** Add, subtract, multiply, divide, square root, and the fused ones, in the mode of the scratch. */
function arithmetic(context: Rv64Context, ip: usize, op: i32, d: bool): void {
  const a = operand(context, Slot.rs1(ip), d);
  const b = operand(context, Slot.rs2(ip), d);
  if (op <= Op.FSQRT && floatScratch().rm == RNE && fast(context, ip, op, a, b, d)) return;
  let result: u64 = 0;
  switch (op) {
    case Op.FADD: { result = softAdd(a, b, d); break; }
    case Op.FSUB: { result = softAdd(a, Fmt.isNan(b, d) ? b : negate(b, d), d); break; }
    case Op.FMUL: { result = softMul(a, b, d); break; }
    case Op.FDIV: { result = softDiv(a, b, d); break; }
    case Op.FSQRT: { result = softSqrt(a, d); break; }
    default: { result = fused(context, ip, op, a, b, d); break; }
  }
  setF(context, ip, result, d);
}

function fused(context: Rv64Context, ip: usize, op: i32, a: u64, b: u64, d: bool): u64 {
  const c = operand(context, <usize>(Slot.extra(ip) >> 3) << 3, d);
  const negatesProduct = op == Op.FNMADD || op == Op.FNMSUB;
  const negatesAddend = op == Op.FMSUB || op == Op.FNMADD;
  return softFma(negatesProduct ? negate(a, d) : a, b, negatesAddend ? negate(c, d) : c, d);
}

/** Conversions, in the mode of the scratch. */
function conversion(context: Rv64Context, ip: usize, op: i32, d: bool): void {
  const kind = Slot.extra(ip) >> 3;
  if (op == Op.FCVT_TO_INT) setX(context, ip, <u64>toInteger(operand(context, Slot.rs1(ip), d), d, kind));
  else if (op == Op.FCVT_FROM_INT) setF(context, ip, fromInteger(load<i64>(context.x + Slot.rs1(ip)), kind, d), d);
  else setF(context, ip, toFormat(operand(context, Slot.rs1(ip), !d), d), d);
}

function signInjection(a: u64, b: u64, d: bool, f3: u32): u64 {
  const mask = d ? SIGN_D : SIGN_S;
  const sign = f3 == 0 ? b : f3 == 1 ? ~b : a ^ b;
  return (a & ~mask) | (sign & mask);
}

/** Operations that do not round. */
function exact(context: Rv64Context, ip: usize, op: i32, d: bool): void {
  const f3 = Slot.extra(ip) & 7;
  if (op == Op.FMV_FROM_X) return setF(context, ip, d ? load<u64>(context.x + Slot.rs1(ip)) : load<u32>(context.x + Slot.rs1(ip)), d);
  if (op == Op.FMV_TO_X) {
    const raw = load<u64>(context.f + Slot.rs1(ip));
    return setX(context, ip, d ? raw : <u64>(<i64>(<i32>raw)));
  }
  const a = operand(context, Slot.rs1(ip), d);
  if (op == Op.FCLASS) return setX(context, ip, classify(a, d));
  const b = operand(context, Slot.rs2(ip), d);
  if (op == Op.FSGNJ) return setF(context, ip, signInjection(a, b, d, f3), d);
  if (op == Op.FMINMAX) return setF(context, ip, minMax(a, b, d, f3 != 0), d);
  setX(context, ip, compare(a, b, d, f3));
}

/** Carries out a floating-point operation. False: its rounding mode is none, and nothing was changed. */
export function floatOp(context: Rv64Context, ip: usize, op: i32): bool {
  const d = Slot.imm32(ip) != 0;
  const s = floatScratch();
  s.flags = 0;
  if (op >= Op.FSGNJ && op <= Op.FMV_FROM_X) {
    exact(context, ip, op, d);
  } else {
    let rm = Slot.extra(ip) & 7;
    if (rm == RM_DYNAMIC) rm = (context.fcsr >> 5) & 7;
    if (rm > RM_LAST) return false;
    s.rm = rm;
    if (op < Op.FSGNJ) arithmetic(context, ip, op, d);
    else conversion(context, ip, op, d);
  }
  context.fcsr |= floatScratch().flags;
  return true;
}
