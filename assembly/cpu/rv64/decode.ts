/*
 * RV64GC with Zba and Zbb: one 32-bit instruction to one slot.
 *
 * Interface: decode(ip, insn, lenBytes, offset).
 * Invariants:
 *   [dec-1] what is not an instruction of the supported extensions becomes ILLEGAL with its word as imm.
 *   [rv-4] an integer operation on x0 becomes NOP, a load LOAD_X0: the run loop never writes x0.
 * Locks: none.
 * Why not a table of masks: the encodings are regular by major opcode, and a test runs every one of them.
 */
import { Op } from "./ops";
import { Slot } from "./slot";

function field(insn: u32, hi: u32, lo: u32): u32 {
  return (insn >> lo) & ((1 << (hi - lo + 1)) - 1);
}

class Insn {
  @inline static rd(i: u32): u32 {
    return field(i, 11, 7);
  }
  @inline static rs1(i: u32): u32 {
    return field(i, 19, 15);
  }
  @inline static rs2(i: u32): u32 {
    return field(i, 24, 20);
  }
  @inline static f3(i: u32): u32 {
    return field(i, 14, 12);
  }
  @inline static f7(i: u32): u32 {
    return i >> 25;
  }
  @inline static immI(i: u32): i32 {
    return (<i32>i) >> 20;
  }
  @inline static immS(i: u32): i32 {
    return (((<i32>i) >> 25) << 5) | <i32>field(i, 11, 7);
  }
  @inline static immB(i: u32): i32 {
    return (((<i32>i) >> 31) << 12) | <i32>((field(i, 7, 7) << 11) | (field(i, 30, 25) << 5) | (field(i, 11, 8) << 1));
  }
  @inline static immJ(i: u32): i32 {
    return (((<i32>i) >> 31) << 20) | <i32>((field(i, 19, 12) << 12) | (field(i, 20, 20) << 11) | (field(i, 30, 21) << 1));
  }
}

/** OP-IMM: addi and its kin. Returns the operation; shifts and bit counts take their imm from the caller. */
function opImm(i: u32): i32 {
  const f6 = i >> 26;
  switch (Insn.f3(i)) {
    case 0: return Op.ADDI;
    case 1: return shiftLeftImm(i, f6);
    case 2: return Op.SLTI;
    case 3: return Op.SLTIU;
    case 4: return Op.XORI;
    case 5: return shiftRightImm(i, f6);
    case 6: return Op.ORI;
    default: return Op.ANDI;
  }
}

function shiftLeftImm(i: u32, f6: u32): i32 {
  if (f6 == 0) return Op.SLLI;
  if (Insn.f7(i) != 0x30) return Op.ILLEGAL;
  switch (Insn.rs2(i)) {
    case 0: return Op.CLZ;
    case 1: return Op.CTZ;
    case 2: return Op.CPOP;
    case 4: return Op.SEXT_B;
    case 5: return Op.SEXT_H;
    default: return Op.ILLEGAL;
  }
}

function shiftRightImm(i: u32, f6: u32): i32 {
  if (f6 == 0) return Op.SRLI;
  if (f6 == 0x10) return Op.SRAI;
  if (f6 == 0x18) return Op.RORI;
  if (i >> 20 == 0x287) return Op.ORC_B;
  return i >> 20 == 0x6b8 ? Op.REV8 : Op.ILLEGAL;
}

function opImm32(i: u32): i32 {
  const f7 = Insn.f7(i);
  switch (Insn.f3(i)) {
    case 0: return Op.ADDIW;
    case 1: {
      if (f7 == 0) return Op.SLLIW;
      if (i >> 26 == 2) return Op.SLLI_UW;
      if (f7 != 0x30) return Op.ILLEGAL;
      const which = Insn.rs2(i);
      return which == 0 ? Op.CLZW : which == 1 ? Op.CTZW : which == 2 ? Op.CPOPW : Op.ILLEGAL;
    }
    case 5: return f7 == 0 ? Op.SRLIW : f7 == 0x20 ? Op.SRAIW : f7 == 0x30 ? Op.RORIW : Op.ILLEGAL;
    default: return Op.ILLEGAL;
  }
}

/** OP by funct7, its eight functions in funct3's order. */
function opReg(i: u32): i32 {
  const f3 = Insn.f3(i);
  switch (Insn.f7(i)) {
    case 0: return opBase(f3);
    case 1: return Op.MUL + <i32>f3;
    case 0x20: return f3 == 0 ? Op.SUB : f3 == 5 ? Op.SRA : f3 == 7 ? Op.ANDN : f3 == 6 ? Op.ORN : f3 == 4 ? Op.XNOR : Op.ILLEGAL;
    case 0x10: return f3 == 2 ? Op.SH1ADD : f3 == 4 ? Op.SH2ADD : f3 == 6 ? Op.SH3ADD : Op.ILLEGAL;
    case 5: return f3 == 4 ? Op.MIN : f3 == 5 ? Op.MINU : f3 == 6 ? Op.MAX : f3 == 7 ? Op.MAXU : Op.ILLEGAL;
    case 0x30: return f3 == 1 ? Op.ROL : f3 == 5 ? Op.ROR : Op.ILLEGAL;
    default: return Op.ILLEGAL;
  }
}

function opBase(f3: u32): i32 {
  switch (f3) {
    case 0: return Op.ADD;
    case 1: return Op.SLL;
    case 2: return Op.SLT;
    case 3: return Op.SLTU;
    case 4: return Op.XOR;
    case 5: return Op.SRL;
    case 6: return Op.OR;
    default: return Op.AND;
  }
}

function opReg32(i: u32): i32 {
  const f3 = Insn.f3(i);
  switch (Insn.f7(i)) {
    case 0: return f3 == 0 ? Op.ADDW : f3 == 1 ? Op.SLLW : f3 == 5 ? Op.SRLW : Op.ILLEGAL;
    case 1: return f3 == 0 ? Op.MULW : f3 >= 4 ? Op.DIVW + <i32>(f3 - 4) : Op.ILLEGAL;
    case 0x20: return f3 == 0 ? Op.SUBW : f3 == 5 ? Op.SRAW : Op.ILLEGAL;
    case 4: return f3 == 0 ? Op.ADD_UW : f3 == 4 && Insn.rs2(i) == 0 ? Op.ZEXT_H : Op.ILLEGAL;
    case 0x10: return f3 == 2 ? Op.SH1ADD_UW : f3 == 4 ? Op.SH2ADD_UW : f3 == 6 ? Op.SH3ADD_UW : Op.ILLEGAL;
    case 0x30: return f3 == 1 ? Op.ROLW : f3 == 5 ? Op.RORW : Op.ILLEGAL;
    default: return Op.ILLEGAL;
  }
}

/** Whether an operation's imm is a shift amount. */
function isShift(op: i32): bool {
  switch (op) {
    case Op.SLLI: case Op.SRLI: case Op.SRAI: case Op.RORI: case Op.SLLI_UW: return true;
    case Op.SLLIW: case Op.SRLIW: case Op.SRAIW: case Op.RORIW: return true;
    default: return false;
  }
}

function integer(ip: usize, i: u32, op: i32, lenBytes: u32, offset: u32, withImm: bool): void {
  if (op == Op.ILLEGAL) return illegal(ip, i, lenBytes, offset);
  const rd = Insn.rd(i);
  const rs1 = Insn.rs1(i);
  const imm = !withImm ? 0 : isShift(op) ? <i32>field(i, 25, 20) : Insn.immI(i);
  let real = op;
  let source = rs1;
  if (rd == 0) real = Op.NOP;
  else if (op == Op.ADDI && rs1 == 0) real = Op.LUI;
  else if (op == Op.ADDI && imm == 0) real = Op.MV;
  else if (op == Op.ADD && rs1 == 0) {
    real = Op.MV;
    source = Insn.rs2(i);
  }
  Slot.fill(ip, real, rd, source, Insn.rs2(i), lenBytes, offset, imm);
}

function illegal(ip: usize, i: u32, lenBytes: u32, offset: u32): void {
  Slot.fill(ip, Op.ILLEGAL, 0, 0, 0, lenBytes, offset, <i32>i);
}

function loads(ip: usize, i: u32, lenBytes: u32, offset: u32): void {
  const f3 = Insn.f3(i);
  if (f3 == 7) return illegal(ip, i, lenBytes, offset);
  const op: i32 = Insn.rd(i) == 0 ? Op.LOAD_X0 : Op.LB + <i32>f3;
  Slot.fill(ip, op, Insn.rd(i), Insn.rs1(i), 0, lenBytes, offset, Insn.immI(i));
  Slot.setExtra(ip, 1 << (f3 & 3));
}

function stores(ip: usize, i: u32, lenBytes: u32, offset: u32): void {
  const f3 = Insn.f3(i);
  if (f3 > 3) return illegal(ip, i, lenBytes, offset);
  Slot.fill(ip, Op.SB + <i32>f3, 0, Insn.rs1(i), Insn.rs2(i), lenBytes, offset, Insn.immS(i));
}

function branches(ip: usize, i: u32, lenBytes: u32, offset: u32): void {
  const f3 = Insn.f3(i);
  if (f3 == 2 || f3 == 3) return illegal(ip, i, lenBytes, offset);
  const op = f3 < 2 ? Op.BEQ + <i32>f3 : Op.BLT + <i32>(f3 - 4);
  Slot.fill(ip, op, 0, Insn.rs1(i), Insn.rs2(i), lenBytes, offset, Insn.immB(i));
}

function jumps(ip: usize, i: u32, lenBytes: u32, offset: u32): void {
  const rd = Insn.rd(i);
  if ((i & 0x7f) == 0x6f) {
    Slot.fill(ip, rd == 0 ? Op.J : Op.JAL, rd, 0, 0, lenBytes, offset, Insn.immJ(i));
    return;
  }
  if (Insn.f3(i) != 0) return illegal(ip, i, lenBytes, offset);
  Slot.fill(ip, rd == 0 ? Op.JR : Op.JALR, rd, Insn.rs1(i), 0, lenBytes, offset, Insn.immI(i));
}

/** FENCE and FENCE.I, ECALL and EBREAK, CSRs. */
function system(ip: usize, i: u32, lenBytes: u32, offset: u32): void {
  const f3 = Insn.f3(i);
  let op: i32 = Op.ILLEGAL;
  if ((i & 0x7f) == 0x0f) op = f3 == 0 ? Op.NOP : f3 == 1 ? Op.FENCE_I : Op.ILLEGAL;
  else if (i == 0x73) op = Op.ECALL;
  else if (i == 0x0010_0073) op = Op.EBREAK;
  else if (f3 != 0 && f3 != 4) op = Op.CSR;
  if (op == Op.ILLEGAL) return illegal(ip, i, lenBytes, offset);
  if (op != Op.CSR) return Slot.fill(ip, op, 0, 0, 0, lenBytes, offset, 0);
  Slot.fill(ip, op, Insn.rd(i), Insn.rs1(i), 0, lenBytes, offset, <i32>(i >> 20));
  Slot.setExtra(ip, f3);
}

function atomics(ip: usize, i: u32, lenBytes: u32, offset: u32): void {
  const f3 = Insn.f3(i);
  const f5 = i >> 27;
  let op: i32 = Op.ILLEGAL;
  if (f3 == 2 || f3 == 3) {
    if (f5 == 2) op = Insn.rs2(i) == 0 ? Op.LR : Op.ILLEGAL;
    else if (f5 == 3) op = Op.SC;
    else if (f5 <= 1 || ((f5 & 3) == 0 && f5 <= 0x1c)) op = Op.AMO;
  }
  if (op == Op.ILLEGAL) return illegal(ip, i, lenBytes, offset);
  Slot.fill(ip, op, Insn.rd(i), Insn.rs1(i), Insn.rs2(i), lenBytes, offset, f3 == 3 ? 8 : 4);
  Slot.setExtra(ip, f5);
}

/** rs2 of an operation that has none: its function. */
function floatOp(i: u32): i32 {
  const f3 = Insn.f3(i);
  const rs2 = Insn.rs2(i);
  switch (i >> 27) {
    case 0: return Op.FADD;
    case 1: return Op.FSUB;
    case 2: return Op.FMUL;
    case 3: return Op.FDIV;
    case 0x0b: return rs2 == 0 ? Op.FSQRT : Op.ILLEGAL;
    case 4: return f3 < 3 ? Op.FSGNJ : Op.ILLEGAL;
    case 5: return f3 < 2 ? Op.FMINMAX : Op.ILLEGAL;
    case 0x14: return f3 < 3 ? Op.FCMP : Op.ILLEGAL;
    case 0x18: return rs2 < 4 ? Op.FCVT_TO_INT : Op.ILLEGAL;
    case 0x1a: return rs2 < 4 ? Op.FCVT_FROM_INT : Op.ILLEGAL;
    case 8: return rs2 < 2 && rs2 != field(i, 25, 25) ? Op.FCVT_FORMAT : Op.ILLEGAL;
    case 0x1c: return rs2 != 0 ? Op.ILLEGAL : f3 == 0 ? Op.FMV_TO_X : f3 == 1 ? Op.FCLASS : Op.ILLEGAL;
    case 0x1e: return rs2 == 0 && f3 == 0 ? Op.FMV_FROM_X : Op.ILLEGAL;
    default: return Op.ILLEGAL;
  }
}

/** imm: 1 for D, 0 for S. extra: funct3 (rm) | rs2 << 3, or | rs3 << 3. */
function floats(ip: usize, i: u32, lenBytes: u32, offset: u32): void {
  const format = field(i, 26, 25);
  const major = i & 0x7f;
  const isFused = major != 0x53;
  const op: i32 = isFused ? Op.FMADD + <i32>((major >> 2) & 3) : floatOp(i);
  if (format > 1 || op == Op.ILLEGAL) return illegal(ip, i, lenBytes, offset);
  Slot.fill(ip, op, Insn.rd(i), Insn.rs1(i), Insn.rs2(i), lenBytes, offset, <i32>format);
  Slot.setExtra(ip, Insn.f3(i) | ((isFused ? i >> 27 : Insn.rs2(i)) << 3));
}

function floatAccess(ip: usize, i: u32, lenBytes: u32, offset: u32): void {
  const f3 = Insn.f3(i);
  if (f3 != 2 && f3 != 3) return illegal(ip, i, lenBytes, offset);
  if ((i & 0x7f) == 0x07) Slot.fill(ip, Op.FLW + <i32>(f3 - 2), Insn.rd(i), Insn.rs1(i), 0, lenBytes, offset, Insn.immI(i));
  else Slot.fill(ip, Op.FSW + <i32>(f3 - 2), 0, Insn.rs1(i), Insn.rs2(i), lenBytes, offset, Insn.immS(i));
}

/** Decodes an instruction into the slot at ip. lenBytes is 2 for one that was compressed; offset is its place in the page. */
export function decode(ip: usize, i: u32, lenBytes: u32, offset: u32): void {
  switch (i & 0x7f) {
    case 0x03: return loads(ip, i, lenBytes, offset);
    case 0x07: case 0x27: return floatAccess(ip, i, lenBytes, offset);
    case 0x0f: case 0x73: return system(ip, i, lenBytes, offset);
    case 0x13: return integer(ip, i, opImm(i), lenBytes, offset, true);
    case 0x1b: return integer(ip, i, opImm32(i), lenBytes, offset, true);
    case 0x17: return upper(ip, i, Op.AUIPC, lenBytes, offset);
    case 0x37: return upper(ip, i, Op.LUI, lenBytes, offset);
    case 0x23: return stores(ip, i, lenBytes, offset);
    case 0x2f: return atomics(ip, i, lenBytes, offset);
    case 0x33: return integer(ip, i, opReg(i), lenBytes, offset, false);
    case 0x3b: return integer(ip, i, opReg32(i), lenBytes, offset, false);
    case 0x43: case 0x47: case 0x4b: case 0x4f: case 0x53: return floats(ip, i, lenBytes, offset);
    case 0x63: return branches(ip, i, lenBytes, offset);
    case 0x67: case 0x6f: return jumps(ip, i, lenBytes, offset);
    default: return illegal(ip, i, lenBytes, offset);
  }
}

function upper(ip: usize, i: u32, op: i32, lenBytes: u32, offset: u32): void {
  Slot.fill(ip, Insn.rd(i) == 0 ? Op.NOP : op, Insn.rd(i), 0, 0, lenBytes, offset, <i32>(i & 0xffff_f000));
}
