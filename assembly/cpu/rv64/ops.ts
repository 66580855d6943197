/*
 * Numbers of the decoded operations: what the run loop branches on.
 *
 *     0 .. COLD-1   carried out in the run loop itself (run.ts)
 *     COLD ..       carried out by a call (slow.ts): atomics, CSRs, floating point, and every access that misses the TLB
 *
 * Interface: Op.
 * Invariants: [op-2] a linked branch stands LINK behind its form that is not linked; its imm is a distance between slots.
 * Locks: none.
 * Why not the instruction words: extracting fields costs more than the operation.
 */
export const enum Op {
  /** The context's own slot: goes to context.pc. */
  ENTER, NOP, LUI, AUIPC, MV,
  ADDI, SLTI, SLTIU, XORI, ORI, ANDI, SLLI, SRLI, SRAI,
  ADD, SUB, SLL, SLT, SLTU, XOR, SRL, SRA, OR, AND,
  ADDIW, SLLIW, SRLIW, SRAIW, ADDW, SUBW, SLLW, SRLW, SRAW,
  MUL, MULH, MULHSU, MULHU, DIV, DIVU, REM, REMU, MULW, DIVW, DIVUW, REMW, REMUW,
  ADD_UW, SH1ADD, SH2ADD, SH3ADD, SH1ADD_UW, SH2ADD_UW, SH3ADD_UW, SLLI_UW,
  ANDN, ORN, XNOR, CLZ, CTZ, CPOP, CLZW, CTZW, CPOPW, MAX, MAXU, MIN, MINU, SEXT_B, SEXT_H, ZEXT_H,
  ROL, ROLW, ROR, RORI, RORIW, RORW, ORC_B, REV8,
  LB, LH, LW, LD, LBU, LHU, LWU, SB, SH, SW, SD, FLW, FLD, FSW, FSD,
  BEQ, BNE, BLT, BGE, BLTU, BGEU, J, JAL,
  /** The same, their target known: in the same order. */
  BEQ_LINKED, BNE_LINKED, BLT_LINKED, BGE_LINKED, BLTU_LINKED, BGEU_LINKED, J_LINKED, JAL_LINKED,
  JALR, JR,
  /** Goes on at another slot of the page: a block runs into one that was decoded before. */
  GOTO,
  /** Goes on at page + imm: behind the page's last instruction. */
  PAGE_END,
  /** A 32-bit instruction whose second half lies in the next page. */
  CROSS,
  FENCE_I, ECALL, EBREAK, ILLEGAL,
  /** From here on: slow.ts. */
  LOAD_X0, LR, SC, AMO, CSR,
  FADD, FSUB, FMUL, FDIV, FSQRT, FMADD, FMSUB, FNMSUB, FNMADD,
  FSGNJ, FMINMAX, FCMP, FCLASS, FMV_TO_X, FMV_FROM_X, FCVT_TO_INT, FCVT_FROM_INT, FCVT_FORMAT,
}

/** From a branch to its linked form. */
export const LINK: i32 = 8;
