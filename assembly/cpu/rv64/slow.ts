/*
 * Everything that the run loop does by a call: accesses that miss the TLB, atomics, CSRs, floating point.
 *
 * Interface: slowOp(context, ip).
 * Invariants: [slow-1] an operation that stops the loop has changed nothing but what it reports.
 * Locks: none.
 * Why not a function an operation in a table: a call through a table may block, for all that the stack-switching pass knows.
 */
import { Rv64Context, STOP_ILLEGAL, STOP_NONE, STOP_TRAP, stopAt } from "./context";
import { amo, loadReserved, storeConditional } from "./amo";
import { csr } from "./csr";
import { floatOp } from "./float";
import { readAt, writeAt } from "./memory";
import { Op } from "./ops";
import { Slot } from "./slot";

const NAN_BOX: u64 = 0xffff_ffff_0000_0000;

function address(context: Rv64Context, ip: usize): u64 {
  return load<u64>(context.x + Slot.rs1(ip)) + Slot.imm(ip);
}

function loadSize(op: i32): u32 {
  switch (op) {
    case Op.LB: case Op.LBU: return 1;
    case Op.LH: case Op.LHU: return 2;
    case Op.LW: case Op.LWU: case Op.FLW: return 4;
    default: return 8;
  }
}

function extend(op: i32, at: usize): i64 {
  switch (op) {
    case Op.LB: return <i64>load<i8>(at);
    case Op.LH: return <i64>load<i16>(at);
    case Op.LW: return <i64>load<i32>(at);
    case Op.LBU: return <i64>load<u8>(at);
    case Op.LHU: return <i64>load<u16>(at);
    case Op.LWU: return <i64>load<u32>(at);
    default: return load<i64>(at);
  }
}

function slowLoad(context: Rv64Context, ip: usize, op: i32): u32 {
  const isDiscarded = op == Op.LOAD_X0;
  const at = readAt(context, ip, address(context, ip), isDiscarded ? Slot.extra(ip) : loadSize(op));
  if (at == 0) {
    context.reservation = 0;
    return STOP_TRAP;
  }
  if (isDiscarded) return STOP_NONE;
  if (op == Op.FLW) store<u64>(context.f + Slot.rd(ip), NAN_BOX | load<u32>(at));
  else if (op == Op.FLD) store<u64>(context.f + Slot.rd(ip), load<u64>(at));
  else store<i64>(context.x + Slot.rd(ip), extend(op, at));
  return STOP_NONE;
}

function slowStore(context: Rv64Context, ip: usize, op: i32): u32 {
  const isFloat = op >= Op.FSW;
  const value = load<u64>((isFloat ? context.f : context.x) + Slot.rs2(ip));
  const lenBytes: u32 = isFloat ? 4 << (op - Op.FSW) : 1 << (op - Op.SB);
  if (writeAt(context, ip, address(context, ip), lenBytes, value)) return STOP_NONE;
  context.reservation = 0;
  return STOP_TRAP;
}

/** Carries out the operation at ip; context.left and context.pc are what the loop has. Returns STOP_NONE to go on behind it. */
export function slowOp(context: Rv64Context, ip: usize): u32 {
  const op = Slot.op(ip);
  if (op < Op.LOAD_X0) return (op >= Op.SB && op <= Op.SD) || op >= Op.FSW ? slowStore(context, ip, op) : slowLoad(context, ip, op);
  switch (op) {
    case Op.LOAD_X0: return slowLoad(context, ip, op);
    case Op.LR: return loadReserved(context, ip);
    case Op.SC: return storeConditional(context, ip);
    case Op.AMO: return amo(context, ip);
    case Op.CSR: return csr(context, ip);
    default: break;
  }
  if (floatOp(context, ip, op)) return STOP_NONE;
  context.tval = 0;
  return stopAt(context, ip, STOP_ILLEGAL);
}
