/*
 * The run loop: decoded slots one after the other, until something has to be done that the loop cannot do.
 *
 *     slot -> operation -> next slot ... branch -> charge the block -> linked: a slot of the same page; else by the TLB and the code page
 *
 * Interface: rv64Run(context), rv64Init.
 * Invariants:
 *   [run-1] nothing here or below blocks, nor can be unwound: the stack-switching pass leaves these functions alone (DESIGN D1).
 *           An assert counts as a call that may block: what must hold here is asserted by the caller, in checkContext.
 *   [run-2] an instruction that may fault changes nothing before its last access: the trap is precise.
 *   [rv-3] a block is entered while instructions of the budget are left, and charged for whole; what was not executed is given back.
 * Locks: none; one thread's instructions.
 * Why not functions for the operations: the loop is one function so that its state stays in the host's registers.
 */
import { sched } from "../../sched/state";
import { USER_LIMIT } from "../pte";
import { TLB_CODE, TLB_FETCH, TLB_FRAME, TLB_READ, TLB_WRITE, cpuRoom } from "../tlb";
import { divS, divU, divUW, divW, mulh, mulhsu, mulhu, orcB, remS, remU, remUW, remW, rev8 } from "./bits";
import { CODE_PAGE_BYTES, codeEntry, codePageOf, dropAllCode } from "./code-page";
import {
  F_OFFSET, Rv64Context, STOP_BUDGET, STOP_EBREAK, STOP_ECALL, STOP_ILLEGAL, STOP_NONE, STOP_TRAP, X_OFFSET, openBudget, settle, stopAt,
} from "./context";
import { decode } from "./decode";
import { fetchPage } from "./memory";
import { LINK, Op } from "./ops";
import { SLOT_BYTES, Slot } from "./slot";
import { slowOp } from "./slow";

/** Where the code page keeps its map. */
const MAP_OFFSET: usize = 64;
const PAGE_MASK_64: u64 = ~0xfff;
const NAN_BOX: u64 = 0xffff_ffff_0000_0000;

/** What follows an operation that is not done inside the switch. */
const EXIT_SLOW: u32 = 0;
const EXIT_JUMP: u32 = 1;
const EXIT_BUDGET: u32 = 2;

class R {
  @inline static s1(x: usize, ip: usize): u64 {
    return load<u64>(x + Slot.rs1(ip));
  }
  @inline static s2(x: usize, ip: usize): u64 {
    return load<u64>(x + Slot.rs2(ip));
  }
  @inline static set(x: usize, ip: usize, value: u64): void {
    store<u64>(x + Slot.rd(ip), value);
  }
  @inline static setW(x: usize, ip: usize, value: u32): void {
    store<i64>(x + Slot.rd(ip), <i64>(<i32>value));
  }
  @inline static imm(ip: usize): u64 {
    return <u64>Slot.imm(ip);
  }
  @inline static address(x: usize, ip: usize): u64 {
    return load<u64>(x + Slot.rs1(ip)) + <u64>Slot.imm(ip);
  }
}

class Tlb {
  /** The linear address of bytes that the TLB grants for reading, else 0. One compare catches a page crossing as well. */
  @inline static read(tlb: usize, mask: u32, space: u64, address: u64, last: u64): usize {
    const entry = tlb + (<u32>(address >> 7) & mask);
    if (load<u64>(entry, TLB_READ) != (((address + last) & PAGE_MASK_64) | space) || address >= USER_LIMIT) return 0;
    return <usize>load<u32>(entry, TLB_FRAME) + (<u32>address & 0xfff);
  }
  @inline static write(tlb: usize, mask: u32, space: u64, address: u64, last: u64): usize {
    const entry = tlb + (<u32>(address >> 7) & mask);
    if (load<u64>(entry, TLB_WRITE) != (((address + last) & PAGE_MASK_64) | space) || address >= USER_LIMIT) return 0;
    return <usize>load<u32>(entry, TLB_FRAME) + (<u32>address & 0xfff);
  }
}

class Link {
  /** A branch of this very code page, none when source is 0: from now on it goes there by itself. */
  @inline static to(source: usize, ip: usize, code: usize, known: usize): void {
    if (known != code || source - code >= CODE_PAGE_BYTES) return;
    Slot.setOp(source, Slot.op(source) + LINK);
    Slot.setImm(source, <i32>(ip - source));
  }
}

/** The slot at `target`, decoded if it must be; 0 after a fetch fault. Preconditions: everything charged for was executed. */
function resolve(context: Rv64Context, target: u64): usize {
  context.pc = target;
  const enter = context.enterSlot;
  Slot.setCount(enter, 0);
  const frame = fetchPage(context, enter, target);
  if (frame == 0) {
    context.reservation = 0;
    return 0;
  }
  const page = codePageOf(<u32>frame);
  const cpu = sched().cpu;
  store<u32>(cpu.tlb + (<u32>(target >> 7) & (cpuRoom().tlbMask << 5)), <u32>changetype<usize>(page), TLB_CODE);
  context.codePage = changetype<usize>(page);
  return codeEntry(page, <u32>target & 0xffe);
}

/** Decodes the instruction that lies across the end of the page at ip. Returns its slot, 0 after a fault. */
function resolveCross(context: Rv64Context, ip: usize, page: u64): usize {
  const frame = fetchPage(context, ip, page + 4096);
  if (frame == 0) {
    context.reservation = 0;
    return 0;
  }
  const at = context.crossSlot;
  decode(at, <u32>Slot.imm32(ip) | (<u32>load<u16>(frame) << 16), 4, 4094);
  Slot.setCount(at, 1);
  Slot.fill(at + SLOT_BYTES, Op.PAGE_END, 0, 0, 0, 0, 4098, 4098);
  return at;
}

/** fence.i, ecall, ebreak, an illegal instruction. */
function stopFor(context: Rv64Context, ip: usize, page: u64): u32 {
  const op = Slot.op(ip);
  context.pc = page + Slot.offset(ip);
  if (op == Op.ECALL) {
    context.pc += 4;
    settle(context, context.budget - context.left);
    context.reservation = 0;
    return STOP_ECALL;
  }
  if (op == Op.EBREAK) return stopAt(context, ip, STOP_EBREAK);
  context.tval = <u64>(<u32>Slot.imm32(ip));
  return stopAt(context, ip, STOP_ILLEGAL);
}

/** Runs instructions. Returns STOP_*; context.pc is where to go on. Preconditions: the thread's address space is in force. */
export function rv64Run(at: usize): u32 {
  const context = changetype<Rv64Context>(at);
  const x = at + X_OFFSET;
  const f = at + F_OFFSET;
  const tlb = sched().cpu.tlb;
  const space = sched().cpu.tlbContext;
  const mask = cpuRoom().tlbMask << 5;
  let ip = context.enterSlot;
  let page: u64 = 0;
  let code: usize = 0;
  let target: u64 = 0;
  let from: usize = 0;
  let exit: u32 = EXIT_SLOW;
  openBudget(context);
  let left = context.left;
  while (true) {
    switch (Slot.op(ip)) {
      case Op.ENTER: { target = context.pc; exit = EXIT_JUMP; break; }
      case Op.NOP: { ip += SLOT_BYTES; continue; }
      case Op.LUI: { R.set(x, ip, R.imm(ip)); ip += SLOT_BYTES; continue; }
      case Op.AUIPC: { R.set(x, ip, page + Slot.offset(ip) + R.imm(ip)); ip += SLOT_BYTES; continue; }
      case Op.MV: { R.set(x, ip, R.s1(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.ADDI: { R.set(x, ip, R.s1(x, ip) + R.imm(ip)); ip += SLOT_BYTES; continue; }
      case Op.SLTI: { R.set(x, ip, <i64>R.s1(x, ip) < Slot.imm(ip) ? 1 : 0); ip += SLOT_BYTES; continue; }
      case Op.SLTIU: { R.set(x, ip, R.s1(x, ip) < R.imm(ip) ? 1 : 0); ip += SLOT_BYTES; continue; }
      case Op.XORI: { R.set(x, ip, R.s1(x, ip) ^ R.imm(ip)); ip += SLOT_BYTES; continue; }
      case Op.ORI: { R.set(x, ip, R.s1(x, ip) | R.imm(ip)); ip += SLOT_BYTES; continue; }
      case Op.ANDI: { R.set(x, ip, R.s1(x, ip) & R.imm(ip)); ip += SLOT_BYTES; continue; }
      case Op.SLLI: { R.set(x, ip, R.s1(x, ip) << R.imm(ip)); ip += SLOT_BYTES; continue; }
      case Op.SRLI: { R.set(x, ip, R.s1(x, ip) >> R.imm(ip)); ip += SLOT_BYTES; continue; }
      case Op.SRAI: { R.set(x, ip, <u64>(<i64>R.s1(x, ip) >> Slot.imm(ip))); ip += SLOT_BYTES; continue; }
      case Op.ADD: { R.set(x, ip, R.s1(x, ip) + R.s2(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.SUB: { R.set(x, ip, R.s1(x, ip) - R.s2(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.SLL: { R.set(x, ip, R.s1(x, ip) << R.s2(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.SLT: { R.set(x, ip, <i64>R.s1(x, ip) < <i64>R.s2(x, ip) ? 1 : 0); ip += SLOT_BYTES; continue; }
      case Op.SLTU: { R.set(x, ip, R.s1(x, ip) < R.s2(x, ip) ? 1 : 0); ip += SLOT_BYTES; continue; }
      case Op.XOR: { R.set(x, ip, R.s1(x, ip) ^ R.s2(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.SRL: { R.set(x, ip, R.s1(x, ip) >> R.s2(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.SRA: { R.set(x, ip, <u64>(<i64>R.s1(x, ip) >> <i64>R.s2(x, ip))); ip += SLOT_BYTES; continue; }
      case Op.OR: { R.set(x, ip, R.s1(x, ip) | R.s2(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.AND: { R.set(x, ip, R.s1(x, ip) & R.s2(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.ADDIW: { R.setW(x, ip, <u32>R.s1(x, ip) + <u32>Slot.imm32(ip)); ip += SLOT_BYTES; continue; }
      case Op.SLLIW: { R.setW(x, ip, <u32>R.s1(x, ip) << Slot.imm32(ip)); ip += SLOT_BYTES; continue; }
      case Op.SRLIW: { R.setW(x, ip, <u32>R.s1(x, ip) >> Slot.imm32(ip)); ip += SLOT_BYTES; continue; }
      case Op.SRAIW: { R.setW(x, ip, <i32>R.s1(x, ip) >> Slot.imm32(ip)); ip += SLOT_BYTES; continue; }
      case Op.ADDW: { R.setW(x, ip, <u32>R.s1(x, ip) + <u32>R.s2(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.SUBW: { R.setW(x, ip, <u32>R.s1(x, ip) - <u32>R.s2(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.SLLW: { R.setW(x, ip, <u32>R.s1(x, ip) << <u32>R.s2(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.SRLW: { R.setW(x, ip, <u32>R.s1(x, ip) >> <u32>R.s2(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.SRAW: { R.setW(x, ip, <i32>R.s1(x, ip) >> <i32>R.s2(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.MUL: { R.set(x, ip, R.s1(x, ip) * R.s2(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.MULH: { R.set(x, ip, <u64>mulh(<i64>R.s1(x, ip), <i64>R.s2(x, ip))); ip += SLOT_BYTES; continue; }
      case Op.MULHSU: { R.set(x, ip, <u64>mulhsu(<i64>R.s1(x, ip), R.s2(x, ip))); ip += SLOT_BYTES; continue; }
      case Op.MULHU: { R.set(x, ip, mulhu(R.s1(x, ip), R.s2(x, ip))); ip += SLOT_BYTES; continue; }
      case Op.DIV: { R.set(x, ip, <u64>divS(<i64>R.s1(x, ip), <i64>R.s2(x, ip))); ip += SLOT_BYTES; continue; }
      case Op.DIVU: { R.set(x, ip, divU(R.s1(x, ip), R.s2(x, ip))); ip += SLOT_BYTES; continue; }
      case Op.REM: { R.set(x, ip, <u64>remS(<i64>R.s1(x, ip), <i64>R.s2(x, ip))); ip += SLOT_BYTES; continue; }
      case Op.REMU: { R.set(x, ip, remU(R.s1(x, ip), R.s2(x, ip))); ip += SLOT_BYTES; continue; }
      case Op.MULW: { R.setW(x, ip, <u32>R.s1(x, ip) * <u32>R.s2(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.DIVW: { R.set(x, ip, <u64>divW(<i32>R.s1(x, ip), <i32>R.s2(x, ip))); ip += SLOT_BYTES; continue; }
      case Op.DIVUW: { R.set(x, ip, <u64>divUW(<u32>R.s1(x, ip), <u32>R.s2(x, ip))); ip += SLOT_BYTES; continue; }
      case Op.REMW: { R.set(x, ip, <u64>remW(<i32>R.s1(x, ip), <i32>R.s2(x, ip))); ip += SLOT_BYTES; continue; }
      case Op.REMUW: { R.set(x, ip, <u64>remUW(<u32>R.s1(x, ip), <u32>R.s2(x, ip))); ip += SLOT_BYTES; continue; }
      case Op.ADD_UW: { R.set(x, ip, <u64>(<u32>R.s1(x, ip)) + R.s2(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.SH1ADD: { R.set(x, ip, (R.s1(x, ip) << 1) + R.s2(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.SH2ADD: { R.set(x, ip, (R.s1(x, ip) << 2) + R.s2(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.SH3ADD: { R.set(x, ip, (R.s1(x, ip) << 3) + R.s2(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.SH1ADD_UW: { R.set(x, ip, (<u64>(<u32>R.s1(x, ip)) << 1) + R.s2(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.SH2ADD_UW: { R.set(x, ip, (<u64>(<u32>R.s1(x, ip)) << 2) + R.s2(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.SH3ADD_UW: { R.set(x, ip, (<u64>(<u32>R.s1(x, ip)) << 3) + R.s2(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.SLLI_UW: { R.set(x, ip, <u64>(<u32>R.s1(x, ip)) << R.imm(ip)); ip += SLOT_BYTES; continue; }
      case Op.ANDN: { R.set(x, ip, R.s1(x, ip) & ~R.s2(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.ORN: { R.set(x, ip, R.s1(x, ip) | ~R.s2(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.XNOR: { R.set(x, ip, ~(R.s1(x, ip) ^ R.s2(x, ip))); ip += SLOT_BYTES; continue; }
      case Op.CLZ: { R.set(x, ip, clz<u64>(R.s1(x, ip))); ip += SLOT_BYTES; continue; }
      case Op.CTZ: { R.set(x, ip, ctz<u64>(R.s1(x, ip))); ip += SLOT_BYTES; continue; }
      case Op.CPOP: { R.set(x, ip, popcnt<u64>(R.s1(x, ip))); ip += SLOT_BYTES; continue; }
      case Op.CLZW: { R.set(x, ip, clz<u32>(<u32>R.s1(x, ip))); ip += SLOT_BYTES; continue; }
      case Op.CTZW: { R.set(x, ip, ctz<u32>(<u32>R.s1(x, ip))); ip += SLOT_BYTES; continue; }
      case Op.CPOPW: { R.set(x, ip, popcnt<u32>(<u32>R.s1(x, ip))); ip += SLOT_BYTES; continue; }
      case Op.MAX: { R.set(x, ip, <i64>R.s1(x, ip) > <i64>R.s2(x, ip) ? R.s1(x, ip) : R.s2(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.MAXU: { R.set(x, ip, R.s1(x, ip) > R.s2(x, ip) ? R.s1(x, ip) : R.s2(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.MIN: { R.set(x, ip, <i64>R.s1(x, ip) < <i64>R.s2(x, ip) ? R.s1(x, ip) : R.s2(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.MINU: { R.set(x, ip, R.s1(x, ip) < R.s2(x, ip) ? R.s1(x, ip) : R.s2(x, ip)); ip += SLOT_BYTES; continue; }
      case Op.SEXT_B: { R.set(x, ip, <u64>(<i64>(<i8>R.s1(x, ip)))); ip += SLOT_BYTES; continue; }
      case Op.SEXT_H: { R.set(x, ip, <u64>(<i64>(<i16>R.s1(x, ip)))); ip += SLOT_BYTES; continue; }
      case Op.ZEXT_H: { R.set(x, ip, R.s1(x, ip) & 0xffff); ip += SLOT_BYTES; continue; }
      case Op.ROL: { R.set(x, ip, rotl<u64>(R.s1(x, ip), R.s2(x, ip))); ip += SLOT_BYTES; continue; }
      case Op.ROLW: { R.setW(x, ip, rotl<u32>(<u32>R.s1(x, ip), <u32>R.s2(x, ip))); ip += SLOT_BYTES; continue; }
      case Op.ROR: { R.set(x, ip, rotr<u64>(R.s1(x, ip), R.s2(x, ip))); ip += SLOT_BYTES; continue; }
      case Op.RORI: { R.set(x, ip, rotr<u64>(R.s1(x, ip), R.imm(ip))); ip += SLOT_BYTES; continue; }
      case Op.RORIW: { R.setW(x, ip, rotr<u32>(<u32>R.s1(x, ip), <u32>Slot.imm32(ip))); ip += SLOT_BYTES; continue; }
      case Op.RORW: { R.setW(x, ip, rotr<u32>(<u32>R.s1(x, ip), <u32>R.s2(x, ip))); ip += SLOT_BYTES; continue; }
      case Op.ORC_B: { R.set(x, ip, orcB(R.s1(x, ip))); ip += SLOT_BYTES; continue; }
      case Op.REV8: { R.set(x, ip, rev8(R.s1(x, ip))); ip += SLOT_BYTES; continue; }
      case Op.LB: {
        const p = Tlb.read(tlb, mask, space, R.address(x, ip), 0);
        if (p == 0) break;
        R.set(x, ip, <u64>(<i64>load<i8>(p))); ip += SLOT_BYTES; continue;
      }
      case Op.LH: {
        const p = Tlb.read(tlb, mask, space, R.address(x, ip), 1);
        if (p == 0) break;
        R.set(x, ip, <u64>(<i64>load<i16>(p))); ip += SLOT_BYTES; continue;
      }
      case Op.LW: {
        const p = Tlb.read(tlb, mask, space, R.address(x, ip), 3);
        if (p == 0) break;
        R.set(x, ip, <u64>(<i64>load<i32>(p))); ip += SLOT_BYTES; continue;
      }
      case Op.LD: {
        const p = Tlb.read(tlb, mask, space, R.address(x, ip), 7);
        if (p == 0) break;
        R.set(x, ip, load<u64>(p)); ip += SLOT_BYTES; continue;
      }
      case Op.LBU: {
        const p = Tlb.read(tlb, mask, space, R.address(x, ip), 0);
        if (p == 0) break;
        R.set(x, ip, load<u8>(p)); ip += SLOT_BYTES; continue;
      }
      case Op.LHU: {
        const p = Tlb.read(tlb, mask, space, R.address(x, ip), 1);
        if (p == 0) break;
        R.set(x, ip, load<u16>(p)); ip += SLOT_BYTES; continue;
      }
      case Op.LWU: {
        const p = Tlb.read(tlb, mask, space, R.address(x, ip), 3);
        if (p == 0) break;
        R.set(x, ip, load<u32>(p)); ip += SLOT_BYTES; continue;
      }
      case Op.SB: {
        const p = Tlb.write(tlb, mask, space, R.address(x, ip), 0);
        if (p == 0) break;
        store<u8>(p, <u8>R.s2(x, ip)); ip += SLOT_BYTES; continue;
      }
      case Op.SH: {
        const p = Tlb.write(tlb, mask, space, R.address(x, ip), 1);
        if (p == 0) break;
        store<u16>(p, <u16>R.s2(x, ip)); ip += SLOT_BYTES; continue;
      }
      case Op.SW: {
        const p = Tlb.write(tlb, mask, space, R.address(x, ip), 3);
        if (p == 0) break;
        store<u32>(p, <u32>R.s2(x, ip)); ip += SLOT_BYTES; continue;
      }
      case Op.SD: {
        const p = Tlb.write(tlb, mask, space, R.address(x, ip), 7);
        if (p == 0) break;
        store<u64>(p, R.s2(x, ip)); ip += SLOT_BYTES; continue;
      }
      case Op.FLW: {
        const p = Tlb.read(tlb, mask, space, R.address(x, ip), 3);
        if (p == 0) break;
        R.set(f, ip, NAN_BOX | load<u32>(p)); ip += SLOT_BYTES; continue;
      }
      case Op.FLD: {
        const p = Tlb.read(tlb, mask, space, R.address(x, ip), 7);
        if (p == 0) break;
        R.set(f, ip, load<u64>(p)); ip += SLOT_BYTES; continue;
      }
      case Op.FSW: {
        const p = Tlb.write(tlb, mask, space, R.address(x, ip), 3);
        if (p == 0) break;
        store<u32>(p, <u32>R.s2(f, ip)); ip += SLOT_BYTES; continue;
      }
      case Op.FSD: {
        const p = Tlb.write(tlb, mask, space, R.address(x, ip), 7);
        if (p == 0) break;
        store<u64>(p, R.s2(f, ip)); ip += SLOT_BYTES; continue;
      }
      case Op.BEQ: {
        if (R.s1(x, ip) == R.s2(x, ip)) { target = page + Slot.offset(ip) + R.imm(ip); from = ip; exit = EXIT_JUMP; break; }
        ip += SLOT_BYTES;
        if (left <= 0) { exit = EXIT_BUDGET; break; }
        left -= Slot.count(ip);
        continue;
      }
      case Op.BNE: {
        if (R.s1(x, ip) != R.s2(x, ip)) { target = page + Slot.offset(ip) + R.imm(ip); from = ip; exit = EXIT_JUMP; break; }
        ip += SLOT_BYTES;
        if (left <= 0) { exit = EXIT_BUDGET; break; }
        left -= Slot.count(ip);
        continue;
      }
      case Op.BLT: {
        if (<i64>R.s1(x, ip) < <i64>R.s2(x, ip)) { target = page + Slot.offset(ip) + R.imm(ip); from = ip; exit = EXIT_JUMP; break; }
        ip += SLOT_BYTES;
        if (left <= 0) { exit = EXIT_BUDGET; break; }
        left -= Slot.count(ip);
        continue;
      }
      case Op.BGE: {
        if (<i64>R.s1(x, ip) >= <i64>R.s2(x, ip)) { target = page + Slot.offset(ip) + R.imm(ip); from = ip; exit = EXIT_JUMP; break; }
        ip += SLOT_BYTES;
        if (left <= 0) { exit = EXIT_BUDGET; break; }
        left -= Slot.count(ip);
        continue;
      }
      case Op.BLTU: {
        if (R.s1(x, ip) < R.s2(x, ip)) { target = page + Slot.offset(ip) + R.imm(ip); from = ip; exit = EXIT_JUMP; break; }
        ip += SLOT_BYTES;
        if (left <= 0) { exit = EXIT_BUDGET; break; }
        left -= Slot.count(ip);
        continue;
      }
      case Op.BGEU: {
        if (R.s1(x, ip) >= R.s2(x, ip)) { target = page + Slot.offset(ip) + R.imm(ip); from = ip; exit = EXIT_JUMP; break; }
        ip += SLOT_BYTES;
        if (left <= 0) { exit = EXIT_BUDGET; break; }
        left -= Slot.count(ip);
        continue;
      }
      case Op.J: { target = page + Slot.offset(ip) + R.imm(ip); from = ip; exit = EXIT_JUMP; break; }
      case Op.JAL: {
        R.set(x, ip, page + Slot.offset(ip) + Slot.lenBytes(ip));
        target = page + Slot.offset(ip) + R.imm(ip); from = ip; exit = EXIT_JUMP; break;
      }
      case Op.BEQ_LINKED: {
        ip += R.s1(x, ip) == R.s2(x, ip) ? <usize>Slot.imm32(ip) : SLOT_BYTES;
        if (left <= 0) { exit = EXIT_BUDGET; break; }
        left -= Slot.count(ip);
        continue;
      }
      case Op.BNE_LINKED: {
        if (R.s1(x, ip) != R.s2(x, ip)) ip += <usize>Slot.imm32(ip);
        else ip += SLOT_BYTES;
        if (left <= 0) { exit = EXIT_BUDGET; break; }
        left -= Slot.count(ip);
        continue;
      }
      case Op.BLT_LINKED: {
        if (<i64>R.s1(x, ip) < <i64>R.s2(x, ip)) ip += <usize>Slot.imm32(ip);
        else ip += SLOT_BYTES;
        if (left <= 0) { exit = EXIT_BUDGET; break; }
        left -= Slot.count(ip);
        continue;
      }
      case Op.BGE_LINKED: {
        if (<i64>R.s1(x, ip) >= <i64>R.s2(x, ip)) ip += <usize>Slot.imm32(ip);
        else ip += SLOT_BYTES;
        if (left <= 0) { exit = EXIT_BUDGET; break; }
        left -= Slot.count(ip);
        continue;
      }
      case Op.BLTU_LINKED: {
        if (R.s1(x, ip) < R.s2(x, ip)) ip += <usize>Slot.imm32(ip);
        else ip += SLOT_BYTES;
        if (left <= 0) { exit = EXIT_BUDGET; break; }
        left -= Slot.count(ip);
        continue;
      }
      case Op.BGEU_LINKED: {
        if (R.s1(x, ip) >= R.s2(x, ip)) ip += <usize>Slot.imm32(ip);
        else ip += SLOT_BYTES;
        if (left <= 0) { exit = EXIT_BUDGET; break; }
        left -= Slot.count(ip);
        continue;
      }
      case Op.J_LINKED: {
        ip += <usize>Slot.imm32(ip);
        if (left <= 0) { exit = EXIT_BUDGET; break; }
        left -= Slot.count(ip);
        continue;
      }
      case Op.JAL_LINKED: {
        R.set(x, ip, page + Slot.offset(ip) + Slot.lenBytes(ip));
        ip += <usize>Slot.imm32(ip);
        if (left <= 0) { exit = EXIT_BUDGET; break; }
        left -= Slot.count(ip);
        continue;
      }
      case Op.JALR: {
        target = R.address(x, ip) & ~1;
        R.set(x, ip, page + Slot.offset(ip) + Slot.lenBytes(ip));
        exit = EXIT_JUMP; break;
      }
      case Op.JR: { target = R.address(x, ip) & ~1; exit = EXIT_JUMP; break; }
      case Op.GOTO: { ip += <usize>Slot.imm32(ip); continue; }
      case Op.PAGE_END: { target = page + R.imm(ip); exit = EXIT_JUMP; break; }
      case Op.CROSS: {
        context.left = left;
        context.pc = page + 4094;
        ip = resolveCross(context, ip, page);
        if (ip == 0) return STOP_TRAP;
        left = context.left;
        continue;
      }
      case Op.FENCE_I: { dropAllCode(); target = page + Slot.offset(ip) + 4; exit = EXIT_JUMP; break; }
      case Op.ECALL: case Op.EBREAK: case Op.ILLEGAL: {
        context.left = left;
        return stopFor(context, ip, page);
      }
      default: break;
    }
    if (exit == EXIT_JUMP) {
      exit = EXIT_SLOW;
      const source = from;
      from = 0;
      const entry = tlb + (<u32>(target >> 7) & mask);
      const inPage = target & PAGE_MASK_64;
      const known = <usize>load<u32>(entry, TLB_CODE);
      ip = 0;
      if (load<u64>(entry, TLB_FETCH) == (inPage | space) && target < USER_LIMIT && known != 0) {
        const map = load<u32>(known) == load<u32>(entry, TLB_FRAME) ? load<u16>(known + (<u32>target & 0xffe), MAP_OFFSET) : 0;
        if (map != 0) {
          ip = known + (<usize>map << 4);
          Link.to(source, ip, code, known);
          code = known;
        }
      }
      if (ip == 0) {
        context.left = left;
        ip = resolve(context, target);
        if (ip == 0) return STOP_TRAP;
        left = context.left;
        code = context.codePage;
      }
      page = inPage;
      if (left <= 0) exit = EXIT_BUDGET;
      else {
        left -= Slot.count(ip);
        continue;
      }
    }
    if (exit == EXIT_BUDGET) {
      context.pc = page + Slot.offset(ip);
      context.left = left;
      settle(context, context.budget - left);
      return STOP_BUDGET;
    }
    context.left = left;
    context.pc = page + Slot.offset(ip);
    const stop = slowOp(context, ip);
    if (stop != STOP_NONE) return stop;
    left = context.left;
    ip += SLOT_BYTES;
  }
}

/** Puts the loop where those find it that may be unwound. */
export function rv64Init(): void {
  cpuRoom().runFn = rv64Run;
}
