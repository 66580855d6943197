/*
 * The C extension: each 16-bit instruction as the 32-bit one that it stands for.
 *
 * Interface: expandCompressed(c).
 * Invariants: [rvc-1] 0, which is no instruction, stands for every encoding that is reserved or illegal in RV64.
 * Locks: none.
 * Why not decode into slots directly: 32-bit instructions are decoded once, in one place.
 */
const OP_LOAD: u32 = 0x03;
const OP_LOAD_FP: u32 = 0x07;
const OP_IMM: u32 = 0x13;
const OP_IMM_32: u32 = 0x1b;
const OP_STORE: u32 = 0x23;
const OP_STORE_FP: u32 = 0x27;
const OP_REG: u32 = 0x33;
const OP_LUI: u32 = 0x37;
const OP_REG_32: u32 = 0x3b;
const OP_BRANCH: u32 = 0x63;
const OP_JALR: u32 = 0x67;
const OP_JAL: u32 = 0x6f;
const EBREAK: u32 = 0x0010_0073;
const SP: u32 = 2;

/** Bits hi..lo of c. */
function bits(c: u32, hi: u32, lo: u32): u32 {
  return (c >> lo) & ((1 << (hi - lo + 1)) - 1);
}

function typeI(op: i32, f3: u32, rd: u32, rs1: u32, imm: u32): u32 {
  return (imm << 20) | (rs1 << 15) | (f3 << 12) | (rd << 7) | op;
}

function typeS(op: i32, f3: u32, rs1: u32, rs2: u32, imm: u32): u32 {
  return ((imm >> 5) << 25) | (rs2 << 20) | (rs1 << 15) | (f3 << 12) | ((imm & 31) << 7) | op;
}

function typeR(op: i32, f3: u32, f7: u32, rd: u32, rs1: u32, rs2: u32): u32 {
  return (f7 << 25) | (rs2 << 20) | (rs1 << 15) | (f3 << 12) | (rd << 7) | op;
}

function typeB(f3: u32, rs1: u32, imm: u32): u32 {
  const low = (bits(imm, 4, 1) << 8) | (bits(imm, 11, 11) << 7);
  return (bits(imm, 12, 12) << 31) | (bits(imm, 10, 5) << 25) | (rs1 << 15) | (f3 << 12) | low | OP_BRANCH;
}

function typeJ(rd: u32, imm: u32): u32 {
  return (bits(imm, 20, 20) << 31) | (bits(imm, 10, 1) << 21) | (bits(imm, 11, 11) << 20) | (bits(imm, 19, 12) << 12) | (rd << 7) | OP_JAL;
}

/** imm[5:0] of CI, sign-extended. */
function immCi(c: u32): u32 {
  const imm = (bits(c, 12, 12) << 5) | bits(c, 6, 2);
  return <u32>((<i32>(imm << 26)) >> 26);
}

function offsetWord(c: u32): u32 {
  return (bits(c, 12, 10) << 3) | (bits(c, 6, 6) << 2) | (bits(c, 5, 5) << 6);
}

function offsetDouble(c: u32): u32 {
  return (bits(c, 12, 10) << 3) | (bits(c, 6, 5) << 6);
}

function quadrant0(c: u32, f3: u32): u32 {
  const rd = 8 + bits(c, 4, 2);
  const rs1 = 8 + bits(c, 9, 7);
  switch (f3) {
    case 0: {
      const imm = (bits(c, 12, 11) << 4) | (bits(c, 10, 7) << 6) | (bits(c, 6, 6) << 2) | (bits(c, 5, 5) << 3);
      return imm == 0 ? 0 : typeI(OP_IMM, 0, rd, SP, imm);
    }
    case 1: return typeI(OP_LOAD_FP, 3, rd, rs1, offsetDouble(c));
    case 2: return typeI(OP_LOAD, 2, rd, rs1, offsetWord(c));
    case 3: return typeI(OP_LOAD, 3, rd, rs1, offsetDouble(c));
    case 5: return typeS(OP_STORE_FP, 3, rs1, rd, offsetDouble(c));
    case 6: return typeS(OP_STORE, 2, rs1, rd, offsetWord(c));
    case 7: return typeS(OP_STORE, 3, rs1, rd, offsetDouble(c));
    default: return 0;
  }
}

function arithmetic(c: u32): u32 {
  const rd = 8 + bits(c, 9, 7);
  const rs2 = 8 + bits(c, 4, 2);
  const shift = (bits(c, 12, 12) << 5) | bits(c, 6, 2);
  switch (bits(c, 11, 10)) {
    case 0: return typeI(OP_IMM, 5, rd, rd, shift);
    case 1: return typeI(OP_IMM, 5, rd, rd, shift | 0x400);
    case 2: return typeI(OP_IMM, 7, rd, rd, immCi(c) & 0xfff);
    default: break;
  }
  switch ((bits(c, 12, 12) << 2) | bits(c, 6, 5)) {
    case 0: return typeR(OP_REG, 0, 0x20, rd, rd, rs2);
    case 1: return typeR(OP_REG, 4, 0, rd, rd, rs2);
    case 2: return typeR(OP_REG, 6, 0, rd, rd, rs2);
    case 3: return typeR(OP_REG, 7, 0, rd, rd, rs2);
    case 4: return typeR(OP_REG_32, 0, 0x20, rd, rd, rs2);
    case 5: return typeR(OP_REG_32, 0, 0, rd, rd, rs2);
    default: return 0;
  }
}

function jumpTarget(c: u32): u32 {
  const low = (bits(c, 11, 11) << 4) | (bits(c, 10, 9) << 8) | (bits(c, 8, 8) << 10) | (bits(c, 7, 7) << 6) | (bits(c, 6, 6) << 7);
  const imm = (bits(c, 12, 12) << 11) | low | (bits(c, 5, 3) << 1) | (bits(c, 2, 2) << 5);
  return <u32>((<i32>(imm << 20)) >> 20);
}

function branchTarget(c: u32): u32 {
  const imm = (bits(c, 12, 12) << 8) | (bits(c, 11, 10) << 3) | (bits(c, 6, 5) << 6) | (bits(c, 4, 3) << 1) | (bits(c, 2, 2) << 5);
  return <u32>((<i32>(imm << 23)) >> 23);
}

function luiOrSp(c: u32, rd: u32): u32 {
  const imm = immCi(c);
  if (imm == 0) return 0;
  if (rd != SP) return (imm << 12) | (rd << 7) | OP_LUI;
  const low = (bits(c, 6, 6) << 4) | (bits(c, 5, 5) << 6) | (bits(c, 4, 3) << 7) | (bits(c, 2, 2) << 5);
  const sp = (bits(c, 12, 12) << 9) | low;
  return typeI(OP_IMM, 0, SP, SP, <u32>((<i32>(sp << 22)) >> 22) & 0xfff);
}

function quadrant1(c: u32, f3: u32): u32 {
  const rd = bits(c, 11, 7);
  switch (f3) {
    case 0: return typeI(OP_IMM, 0, rd, rd, immCi(c) & 0xfff);
    case 1: return rd == 0 ? 0 : typeI(OP_IMM_32, 0, rd, rd, immCi(c) & 0xfff);
    case 2: return typeI(OP_IMM, 0, rd, 0, immCi(c) & 0xfff);
    case 3: return luiOrSp(c, rd);
    case 4: return arithmetic(c);
    case 5: return typeJ(0, jumpTarget(c));
    case 6: return typeB(0, 8 + bits(c, 9, 7), branchTarget(c));
    default: return typeB(1, 8 + bits(c, 9, 7), branchTarget(c));
  }
}

function quadrant2(c: u32, f3: u32): u32 {
  const rd = bits(c, 11, 7);
  const rs2 = bits(c, 6, 2);
  const loadDouble = (bits(c, 12, 12) << 5) | (bits(c, 6, 5) << 3) | (bits(c, 4, 2) << 6);
  const storeDouble = (bits(c, 12, 10) << 3) | (bits(c, 9, 7) << 6);
  switch (f3) {
    case 0: return typeI(OP_IMM, 1, rd, rd, (bits(c, 12, 12) << 5) | rs2);
    case 1: return typeI(OP_LOAD_FP, 3, rd, SP, loadDouble);
    case 2: return rd == 0 ? 0 : typeI(OP_LOAD, 2, rd, SP, (bits(c, 12, 12) << 5) | (bits(c, 6, 4) << 2) | (bits(c, 3, 2) << 6));
    case 3: return rd == 0 ? 0 : typeI(OP_LOAD, 3, rd, SP, loadDouble);
    case 4: {
      const isLink = bits(c, 12, 12);
      if (rs2 != 0) return typeR(OP_REG, 0, 0, rd, isLink != 0 ? rd : 0, rs2);
      if (rd == 0) return isLink != 0 ? EBREAK : 0;
      return typeI(OP_JALR, 0, isLink, rd, 0);
    }
    case 5: return typeS(OP_STORE_FP, 3, SP, rs2, storeDouble);
    case 6: return typeS(OP_STORE, 2, SP, rs2, (bits(c, 12, 9) << 2) | (bits(c, 8, 7) << 6));
    default: return typeS(OP_STORE, 3, SP, rs2, storeDouble);
  }
}

/** The 32-bit instruction of a 16-bit one, whose low bits are not 11. */
export function expandCompressed(c: u32): u32 {
  const f3 = bits(c, 15, 13);
  switch (c & 3) {
    case 0: return quadrant0(c, f3);
    case 1: return quadrant1(c, f3);
    default: return quadrant2(c, f3);
  }
}
