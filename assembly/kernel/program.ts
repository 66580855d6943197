/*
 * What a program's task does: instructions until the loop stops, then whatever it stopped for.
 *
 *     RUN --page fault--> FAULT --hand over?--> LOCK --its line--> hand over? --> TRAP --handled--> LEAVE --> RUN
 *      |--ecall--> system call --> RUN           the same steps, at the same points, as a scripted touch (cpu/touch.ts)
 *      +--ebreak, illegal instruction--> signal
 *
 * Interface: programEntry(task), contextOf(task).
 * Invariants:
 *   [prog-1] the entry returns only after a hand-over was noted ([core-5]) or when the task has exited; where a fault under way stands
 *            is in the context.
 *   [prog-2] the run loop is called through its number in memory: inlined here it would be taken apart to be unwound (DESIGN D1).
 * Locks: none at entry and at exit ([lk-2]), but for mmap_sem between TRAP and LEAVE.
 * Why not the guest's entry: there is no host to ask for the next operation.
 */
import { cpuRoom, FAULT_LOCK_HELD } from "../cpu/tlb";
import { Rv64Context, checkContext, STOP_BUDGET, STOP_EBREAK, STOP_ECALL, STOP_ILLEGAL, STOP_TRAP } from "../cpu/rv64/context";
import { CacheLine, touchLine } from "../sched/cache-line";
import { handsOver, handsOverLine } from "../sched/core";
import { traceEmit } from "../lib/trace";
import { TP_SYS_EXIT } from "../tracepoints";
import { TASK_ZOMBIE, Task, currentTask, sched } from "../sched/state";
import { doExit, forceSignal, processOf } from "./process";
import { systemCall } from "./system-call";

/** Rv64Context.phase. */
const PHASE_RUN: u32 = 0;
/** Handed over between instructions: it is this task's turn now. */
const PHASE_TURN: u32 = 1;
const PHASE_FAULT: u32 = 2;
const PHASE_LOCK: u32 = 3;
const PHASE_TRAP: u32 = 4;
const PHASE_LEAVE: u32 = 5;

const SIGILL: u32 = 4;
const SIGTRAP: u32 = 5;
const SIGBUS: u32 = 7;
const SYS_EXECVE: u64 = 221;
/** scause of misaligned accesses, which only atomics have. */
const CAUSE_MISALIGNED_LAST: u32 = 6;

export function contextOf(task: Task): Rv64Context {
  return changetype<Rv64Context>(task.regs);
}

/** Leaves a fault where it is: true, for the entry to return. */
function leavesAt(context: Rv64Context, phase: u32): bool {
  context.phase = phase;
  return true;
}

/** Goes on with a page fault. True: it has handed over. */
function faultHandsOver(context: Rv64Context): bool {
  const cause = context.cause;
  const address = context.tval;
  let phase = context.phase;
  assert(phase <= PHASE_LEAVE, "[prog-1] a fault stands at one of its steps");
  if (phase == PHASE_FAULT) {
    const enter = cpuRoom().faultEnter;
    context.line = enter(cause, address);
    if (context.line != 0 && handsOverLine(changetype<CacheLine>(context.line))) return leavesAt(context, PHASE_LOCK);
    phase = PHASE_LOCK;
  }
  if (phase == PHASE_LOCK && context.line != 0) {
    touchLine(changetype<CacheLine>(context.line));
    if (handsOver()) return leavesAt(context, PHASE_TRAP);
  }
  let result: u32 = FAULT_LOCK_HELD;
  if (phase != PHASE_LEAVE) {
    const handle = cpuRoom().pageFault;
    result = handle(cause, address);
    if (result == FAULT_LOCK_HELD && context.line != 0 && handsOverLine(changetype<CacheLine>(context.line))) {
      return leavesAt(context, PHASE_LEAVE);
    }
  }
  if (result == FAULT_LOCK_HELD) {
    const leave = cpuRoom().faultLeave;
    leave();
  }
  context.phase = PHASE_RUN;
  return false;
}

/** A system call by registers: a7 its number, a0 to a5 its arguments, a0 its result. */
function environmentCall(task: Task): void {
  const x = contextOf(task).x;
  const nr = load<u64>(x, 17 * 8);
  const small: u32 = nr > 0xffff ? 0xffff : <u32>nr;
  const result = systemCall(
    small, load<u64>(x, 80), load<u64>(x, 88), load<u64>(x, 96), load<u64>(x, 104), load<u64>(x, 112), load<u64>(x, 120),
  );
  const me = currentTask();
  if (me.state == TASK_ZOMBIE) return;
  traceEmit(sched().clockNs, TP_SYS_EXIT, sched().cpu.id, me.id, small, <u64>result);
  // The registers after execve are the new program's.
  if (nr == SYS_EXECVE && result == 0) return;
  store<i64>(contextOf(me).x, result, 80);
}

/** What the run loop has stopped for, page faults apart. */
function stopped(task: Task, why: u32): void {
  const context = contextOf(task);
  assert(why <= STOP_ILLEGAL && context.phase == PHASE_RUN, "[prog-1] the loop stops for what is known");
  if (why == STOP_ECALL) environmentCall(task);
  else if (why == STOP_TRAP) forceSignal(SIGBUS, context.tval);
  else forceSignal(why == STOP_EBREAK ? SIGTRAP : SIGILL, context.pc);
}

/** The entry of every program's task; called afresh after each hand-over. */
export function programEntry(task: Task): void {
  assert(task.regs != 0, "[prog-1] a program has registers");
  while (true) {
    const me = currentTask();
    if (me.state == TASK_ZOMBIE) return;
    const context = contextOf(me);
    if (context.phase >= PHASE_FAULT) {
      if (faultHandsOver(context)) return;
      continue;
    }
    if (me.fatalSignal != 0) {
      doExit(processOf(me).status);
      return;
    }
    if (context.phase == PHASE_RUN && handsOver()) {
      context.phase = PHASE_TURN;
      context.reservation = 0;
      return;
    }
    context.phase = PHASE_RUN;
    const run = cpuRoom().runFn;
    const why = run(changetype<usize>(context));
    checkContext(context);
    if (why == STOP_BUDGET) continue;
    if (why == STOP_TRAP && context.cause > CAUSE_MISALIGNED_LAST) context.phase = PHASE_FAULT;
    else stopped(me, why);
  }
}
