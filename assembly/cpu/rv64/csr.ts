/*
 * The CSRs of user level: fflags, frm, fcsr, and the counters that Linux lets programs read.
 *
 * Interface: csr(context, ip).
 * Invariants: [csr-1] a CSR that user level may not access so is an illegal instruction, with nothing changed.
 * Locks: none.
 * Why not hardware performance counters: Linux keeps them from programs.
 */
import { sched } from "../../sched/state";
import { Rv64Context, STOP_ILLEGAL, STOP_NONE, pauseAt, resumeAt, stopAt } from "./context";
import { Slot } from "./slot";

const FFLAGS: u32 = 1;
const FRM: u32 = 2;
const FCSR: u32 = 3;
const CYCLE: u32 = 0xc00;
const TIME: u32 = 0xc01;
const INSTRET: u32 = 0xc02;

function read(context: Rv64Context, ip: usize, number: u32): u64 {
  if (number == FFLAGS) return context.fcsr & 31;
  if (number == FRM) return (context.fcsr >> 5) & 7;
  if (number == FCSR) return context.fcsr & 255;
  pauseAt(context, ip);
  resumeAt(context, ip);
  return number == TIME ? sched().clockNs : context.instructions;
}

function write(context: Rv64Context, number: u32, value: u64): void {
  const v = <u32>value;
  if (number == FFLAGS) context.fcsr = (context.fcsr & ~31) | (v & 31);
  else if (number == FRM) context.fcsr = (context.fcsr & 31) | ((v & 7) << 5);
  else context.fcsr = v & 255;
}

/** The word of a CSR instruction, as an illegal instruction reports it. */
function wordOf(ip: usize): u32 {
  const registers = (<u32>Slot.rs1(ip) << 12) | (<u32>Slot.rd(ip) << 4);
  return (<u32>Slot.imm32(ip) << 20) | registers | (Slot.extra(ip) << 12) | 0x73;
}

/** CSRRW and its kin: funct3 in extra, the CSR's number in imm. */
export function csr(context: Rv64Context, ip: usize): u32 {
  const number = <u32>Slot.imm32(ip);
  const f3 = Slot.extra(ip);
  const isFloat = number >= FFLAGS && number <= FCSR;
  const isCounter = number >= CYCLE && number <= INSTRET;
  const source = Slot.rs1(ip);
  const writes = (f3 & 3) == 1 || source != 0;
  if (!isFloat && (!isCounter || writes)) {
    context.tval = wordOf(ip);
    return stopAt(context, ip, STOP_ILLEGAL);
  }
  const old = read(context, ip, number);
  const operand: u64 = f3 >= 4 ? <u64>(source >> 3) : load<u64>(context.x + source);
  if (writes) {
    const kind = f3 & 3;
    write(context, number, kind == 1 ? operand : kind == 2 ? old | operand : old & ~operand);
  }
  if (Slot.rd(ip) != 0) store<u64>(context.x + Slot.rd(ip), old);
  return STOP_NONE;
}
