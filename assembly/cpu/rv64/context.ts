/*
 * The register file and state of one program thread, and how its instructions become simulated time.
 *
 *     0 scalars (below) | 128 three slots of its own | 256 x0 .. x31 | 512 f0 .. f31 | 768 end
 *
 * Interface: Rv64Context, X_OFFSET, F_OFFSET, RV64_CONTEXT_BYTES, STOP_*, contextInit, checkContext; settle, openBudget, pauseAt, resumeAt,
 *            stopAt.
 * Invariants:
 *   [rv-1] budget - left is the number of instructions that were charged for at block entries and not settled yet.
 *   [rv-2] n instructions take n * cost / 1000 ns, whatever slices they run in: the remainder is kept.
 *   [rv-3] the loop leaves at the first block entry at which the clock is past the horizon, wherever the host stops it.
 *   [rv-4] x0 is 0: no operation has it for its rd.
 * Locks: none; the thread's own.
 * Why not time a TLB hit apart: an instruction's cost has it in.
 */
import { C_THOUSAND_INSTRUCTIONS, cost } from "../../sched/cost";
import { sched } from "../../sched/state";
import { cpuRoom } from "../tlb";
import { Op } from "./ops";
import { SLOT_BYTES, Slot } from "./slot";

export const X_OFFSET: usize = 256;
export const F_OFFSET: usize = 512;
export const RV64_CONTEXT_BYTES: u32 = 768;
const SLOTS_OFFSET: usize = 128;

/** Why the run loop returned. */
export const STOP_NONE: u32 = 0;
/** The budget is used up, or a hand-over may be due. */
export const STOP_BUDGET: u32 = 1;
/** A page fault or a misaligned atomic: context.cause, context.tval. */
export const STOP_TRAP: u32 = 2;
/** pc is behind the instruction. */
export const STOP_ECALL: u32 = 3;
/** pc is at the instruction. */
export const STOP_EBREAK: u32 = 4;
export const STOP_ILLEGAL: u32 = 5;

/** Instructions between two returns at most: V8 replaces a function's code only when it is called again. */
const BUDGET_MAX: u64 = 1 << 20;

@unmanaged
export class Rv64Context {
  pc: u64;
  /** The address that faulted, or the instruction word that is illegal. */
  tval: u64;
  /** Instructions that were executed and settled. */
  instructions: u64;
  /** A load that crosses a page is put together here. */
  bounce0: u64;
  bounce1: u64;
  /** scause of the last trap. */
  cause: u32;
  /** Instructions of the budget that are left; see [rv-1]. */
  left: i32;
  budget: i32;
  /** Thousandths of a ns that are not on the clock yet. */
  remainder: u32;
  /** fflags in bits 4..0, frm in bits 7..5. */
  fcsr: u32;
  /** Linear address that LR has reserved, 0: none. */
  reservation: usize;
  /** The code page that pc is in, while the loop runs. */
  codePage: usize;
  /** The kernel room's: where a fault under way stands, and the line of its lock. */
  phase: u32;
  line: usize;

  get x(): usize {
    return changetype<usize>(this) + X_OFFSET;
  }
  get f(): usize {
    return changetype<usize>(this) + F_OFFSET;
  }
  /** The slot that enters at pc. */
  get enterSlot(): usize {
    return changetype<usize>(this) + SLOTS_OFFSET;
  }
  /** Where an instruction that crosses a page is decoded, with a PAGE_END behind it. */
  get crossSlot(): usize {
    return changetype<usize>(this) + SLOTS_OFFSET + SLOT_BYTES;
  }
}

if (offsetof<Rv64Context>() > SLOTS_OFFSET) ERROR("the scalars end before the slots");

/** Makes zeroed memory a context. */
export function contextInit(context: Rv64Context): void {
  Slot.setOp(context.enterSlot, Op.ENTER);
}

/** Puts n executed instructions on the clock. */
export function settle(context: Rv64Context, n: i32): void {
  context.instructions += <u64>n;
  cpuRoom().instructions += <u64>n;
  const total = <u64>n * cost(C_THOUSAND_INSTRUCTIONS) + context.remainder;
  sched().clockNs += total / 1000;
  context.remainder = <u32>(total % 1000);
}

/** Instructions until the clock is past the horizon; at least one, so that a thread which stays on gets on. */
export function openBudget(context: Rv64Context): void {
  const s = sched();
  const unit: u64 = cost(C_THOUSAND_INSTRUCTIONS);
  let n: u64 = BUDGET_MAX;
  if (s.clockNs > s.skewHorizonNs) n = 1;
  else if (unit != 0 && s.skewHorizonNs - s.clockNs < BUDGET_MAX * unit / 1000) {
    n = ((s.skewHorizonNs - s.clockNs + 1) * 1000 - context.remainder + unit - 1) / unit;
    if (n > BUDGET_MAX) n = BUDGET_MAX;
    if (n == 0) n = 1;
  }
  context.budget = <i32>n;
  context.left = <i32>n;
}

/** Settles what was executed before the instruction at ip, which may trap or cost time of its own. */
export function pauseAt(context: Rv64Context, ip: usize): void {
  settle(context, context.budget - context.left - Slot.count(ip));
}

/** Goes on with the instruction at ip after pauseAt. */
export function resumeAt(context: Rv64Context, ip: usize): void {
  openBudget(context);
  context.left -= Slot.count(ip);
}

/** What must hold whenever the loop has returned; it may not assert by itself (run.ts). */
export function checkContext(context: Rv64Context): void {
  assert(load<u64>(context.x) == 0, "[rv-4] x0 is 0");
  assert((context.pc & 1) == 0, "instructions lie at even addresses");
  assert(context.remainder < 1000, "[rv-2] a remainder is less than a ns");
  assert(context.left <= context.budget, "[rv-1] instructions are charged for once");
}

/** Ends the loop at the instruction at ip, which is not executed. */
export function stopAt(context: Rv64Context, ip: usize, reason: u32): u32 {
  pauseAt(context, ip);
  context.reservation = 0;
  return reason;
}
