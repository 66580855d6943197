/*
 * The A extension: LR, SC and the AMOs.
 *
 * Interface: loadReserved, storeConditional, amo.
 * Invariants:
 *   [amo-1] an atomic that is not aligned is a trap, before any access is made.
 *   [amo-2] a reservation ends with SC, with a trap, and when another thread runs: nobody else can have stored meanwhile.
 * Locks: none; an instruction is one emulated step.
 * Why not a table of reserved lines that stores look into: every store would pay for it, and ending early is allowed.
 */
import { ACCESS_READ, ACCESS_WRITE } from "../mmu";
import { Rv64Context, STOP_NONE, STOP_TRAP, stopAt } from "./context";
import { addressOf } from "./memory";
import { Slot } from "./slot";

const CAUSE_LOAD_MISALIGNED: u32 = 4;
const CAUSE_STORE_MISALIGNED: u32 = 6;

/** Where the word of an atomic is, 0 after a trap. */
function wordAt(context: Rv64Context, ip: usize, access: u32): usize {
  const address = load<u64>(context.x + Slot.rs1(ip));
  const lenBytes = <u32>Slot.imm32(ip);
  if ((address & (lenBytes - 1)) != 0) {
    context.cause = access == ACCESS_READ ? CAUSE_LOAD_MISALIGNED : CAUSE_STORE_MISALIGNED;
    context.tval = address;
    stopAt(context, ip, STOP_TRAP);
    return 0;
  }
  const at = addressOf(context, ip, address, lenBytes, access);
  if (at == 0) context.reservation = 0;
  return at;
}

function setRd(context: Rv64Context, ip: usize, value: i64): void {
  if (Slot.rd(ip) != 0) store<i64>(context.x + Slot.rd(ip), value);
}

function word(at: usize, lenBytes: i32): i64 {
  return lenBytes == 8 ? load<i64>(at) : <i64>load<i32>(at);
}

function storeWord(at: usize, lenBytes: i32, value: i64): void {
  if (lenBytes == 8) store<i64>(at, value);
  else store<i32>(at, <i32>value);
}

export function loadReserved(context: Rv64Context, ip: usize): u32 {
  const at = wordAt(context, ip, ACCESS_READ);
  if (at == 0) return STOP_TRAP;
  context.reservation = at;
  setRd(context, ip, word(at, Slot.imm32(ip)));
  return STOP_NONE;
}

export function storeConditional(context: Rv64Context, ip: usize): u32 {
  const at = wordAt(context, ip, ACCESS_WRITE);
  if (at == 0) return STOP_TRAP;
  const isOurs = context.reservation == at;
  context.reservation = 0;
  if (isOurs) storeWord(at, Slot.imm32(ip), load<i64>(context.x + Slot.rs2(ip)));
  setRd(context, ip, isOurs ? 0 : 1);
  return STOP_NONE;
}

/** The new value; a 32-bit operation has both operands sign-extended, which keeps their unsigned order. */
function combine(f5: u32, old: i64, operand: i64): i64 {
  switch (f5) {
    case 0: return old + operand;
    case 1: return operand;
    case 4: return old ^ operand;
    case 8: return old | operand;
    case 12: return old & operand;
    case 16: return old < operand ? old : operand;
    case 20: return old > operand ? old : operand;
    case 24: return <u64>old < <u64>operand ? old : operand;
    default: return <u64>old > <u64>operand ? old : operand;
  }
}

export function amo(context: Rv64Context, ip: usize): u32 {
  const at = wordAt(context, ip, ACCESS_WRITE);
  if (at == 0) return STOP_TRAP;
  const lenBytes = Slot.imm32(ip);
  const old = word(at, lenBytes);
  const register = load<i64>(context.x + Slot.rs2(ip));
  const operand = lenBytes == 8 ? register : <i64>(<i32>register);
  storeWord(at, lenBytes, combine(Slot.extra(ip), old, operand));
  setRd(context, ip, old);
  return STOP_NONE;
}
